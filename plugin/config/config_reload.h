/*
 * config_reload - keyturn.conf read again while the broker runs (SIGHUP).
 *
 * Owns what may change then, the site's topics, and the lines of the log that say what was refused
 * or has to wait for a restart. Puts nothing in force: that is the caller's. Broker's thread.
 */
#ifndef KT_CONFIG_RELOAD_H
#define KT_CONFIG_RELOAD_H

#include "config.h"
#include "err.h"
#include "log.h"

/*
 * Reads @path. KT_ERR_OK: *out is what acl, device_acl and other_acl say there, all of it; options
 * that differ from @running, which the broker was started with, are named in one line
 * config.warned. Errors as of kt_config_load: a line config.refused with the sentence, *out is all
 * zero and must not be used.
 */
KT_MUST_CHECK enum kt_err kt_config_reload(const char *path, const struct kt_config *running,
					   struct kt_log *log, struct kt_site_acl *out);
/* The line config.refused, for who refuses what the file says for a reason of his own. */
void kt_config_tell_refused(struct kt_log *log, enum kt_err err, const char *why);

#endif
