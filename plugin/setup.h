/*
 * setup - what the core stands on: built at start in one order, undone in reverse.
 *
 * Owns the checks of the start (configuration, the broker's own settings, keys, certificates,
 * directories) and the sentences that say what to do. Knows no Mosquitto. Broker's thread.
 */
#ifndef KT_SETUP_H
#define KT_SETUP_H

#include "broker_conf.h"
#include "config.h"
#include "core.h"
#include "crypto.h"
#include "err.h"
#include "log.h"
#include "policies.h"
#include "store/store.h"
#include "waker.h"
#include "worker.h"

struct kt_setup_request { /* borrowed for the call; @log for the life of the setup */
	const char *config_path;
	const char *plugin_path; /* our own file as the broker names it; NULL: not known */
	struct kt_bytes cmdline; /* the broker's, NUL-separated */
	int64_t now_us;
	struct kt_log *log;
};

struct kt_setup {		     /* all owned */
	struct kt_config *config;    /* as of the start */
	struct kt_policies policies; /* the same; count 0: there is no policy file */
	char *config_path;
	struct kt_broker_conf broker_conf;
	bool has_broker_conf; /* false: the broker's file could not be read */
	struct kt_crypto *crypto;
	struct kt_entropy entropy; /* from crypto */
	uint8_t *storage[3];	   /* of root, issuer and controller certificate */
	struct kt_bytes issuer_cert_der;
	struct kt_bytes controller_cert_der;
	uint8_t root_sha256[32];
	struct kt_crl_head last_crl; /* of the file at crl_file; zeros: none of ours is there */
	struct kt_waker *waker;	     /* NULL: off */
	struct kt_worker_pool *pool;
	struct kt_registry *registry;
	struct kt_store *store;
};

/*
 * KT_ERR_*: whatever stands in the way; *why is one sentence with the file or option and what to
 * do. Nothing on disk has been touched unless all but the store itself was in order.
 */
KT_MUST_CHECK enum kt_err kt_setup_new(const struct kt_setup_request *request,
				       struct kt_setup **out, char why[static 512]);
struct kt_reloaded { /* what SIGHUP brings */
	struct kt_site_acl acl;
	struct kt_policies policies; /* count 0: there is no policy file */
};
/*
 * SIGHUP: reads configuration and policy file again and says in the log what there is to say.
 * KT_ERR_OK: all of *out is to be put in force. Else nothing of it: what was in force stays.
 */
KT_MUST_CHECK enum kt_err kt_setup_reload(const struct kt_setup *setup, struct kt_log *log,
					  struct kt_reloaded *out);
/* Joins all threads, closes the store. The core must be gone. NULL is fine. */
void kt_setup_free(struct kt_setup *setup);

#endif
