/*
 * broker_conf - reads mosquitto.conf as the broker does and refuses what would open the door.
 *
 * Owns the list of settings that break Keyturn's promises (facts of Mosquitto 2.0.11 to 2.1):
 * use_identity_as_username, use_subject_as_username, use_username_as_clientid (true),
 * per_listener_settings true, check_retain_source false, memory_limit, our plugin twice, any other
 * plugin before ours, no listener that asks for certificates, disable_client_cert_date_checks,
 * enable_proxy_protocol; and of those that deserve a warning. Follows include_dir as the broker
 * does (*.conf, in order). Changes nothing.
 */
#ifndef KT_BROKER_CONF_H
#define KT_BROKER_CONF_H

#include "err.h"
#include "types.h"

struct kt_broker_conf { /* what the plugin wants to know about it */
	bool has_certificate_listener;
	bool has_acl_file;
	bool has_plugin_after; /* another plugin line after ours */
	bool checks_retain_source;
	bool has_crlfile;
	bool sets_tcp_nodelay;
};

/* @warn gets one sentence with file:line for each setting that deserves a look. */
typedef void kt_broker_conf_warn(void *ctx, const char *sentence);

/*
 * @path: the file given to the broker's -c; @plugin_path: our own .so as far as known, or NULL
 * (then any plugin line whose file name is mosquitto_keyturn.so). KT_ERR_DENIED and *why
 * ("file:line: setting: what it opens, what to write instead"); KT_ERR_SYS and *why: cannot be
 * read.
 */
KT_MUST_CHECK enum kt_err kt_broker_conf_check(const char *path, const char *plugin_path,
					       kt_broker_conf_warn *warn, void *warn_ctx,
					       struct kt_broker_conf *out, char why[static 512]);
/* The -c argument in a NUL-separated command line (/proc/self/cmdline); NULL if none. Borrowed. */
const char *kt_broker_conf_from_cmdline(const char *cmdline, size_t len);

#endif
