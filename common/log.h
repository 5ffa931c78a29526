/*
 * log - one line, one event: event=rotation.committed device=hub-17 gen=7 ...
 *
 * Owns the list of events, the key=value form, the escaping of values (a peer cannot forge a line)
 * and the rate limit of events that a stranger can cause. Does not own where lines go: the program
 * gives a sink. No global: a struct kt_log is passed in. One thread per struct kt_log.
 */
#ifndef KT_LOG_H
#define KT_LOG_H

#include "err.h"
#include "reason.h"
#include "types.h"

enum kt_log_level { KT_LOG_ERROR, KT_LOG_WARN, KT_LOG_INFO, KT_LOG_DEBUG };

/*
 * X(CODE, "noun.past_verb", LEVEL, LIMITED, "text"). LIMITED = 1: a stranger can cause it, at most
 * KT_LOG_BURST in KT_LOG_WINDOW_MS are written; the next line that passes carries dropped=N, or,
 * where none comes, kt_log_settle says so. What is told of a device, and could hide the same of
 * another one, is limited by device (kt_core_alarm) and not here.
 */
#define KT_EVENT_LIST(X)                                                                           \
	/* plugin: life */                                                                         \
	X(PLUGIN_STARTED, "plugin.started", INFO, 0, "the plugin is ready")                        \
	X(PLUGIN_REFUSED, "plugin.refused", ERROR, 0, "the plugin refuses to start")               \
	X(PLUGIN_STOPPED, "plugin.stopped", INFO, 0, "the plugin has stopped")                     \
	X(PLUGIN_RELOADED, "plugin.reloaded", INFO, 0, "SIGHUP was handled")                       \
	X(CONFIG_WARNED, "config.warned", WARN, 0, "a setting deserves a look")                    \
	X(CONFIG_RELOADED, "config.reloaded", INFO, 0, "the site's topics were read again")        \
	X(POLICIES_RELOADED, "policies.reloaded", INFO, 0, "the policy file was read again")       \
	X(CONFIG_REFUSED, "config.refused", ERROR, 0, "a changed file is refused, the old holds")  \
	X(LEDGER_CUT, "ledger.cut", WARN, 0, "an incomplete tail was cut off the ledger")          \
	X(LEDGER_FAILED, "ledger.failed", ERROR, 0, "the ledger cannot be written any more")       \
	X(INDEX_REBUILT, "index.rebuilt", WARN, 0, "the index was rebuilt from the ledger")        \
	X(INDEX_FAILED, "index.failed", ERROR, 0, "the index cannot be written, the ledger can")   \
	X(CRL_WRITTEN, "crl.written", INFO, 0, "the revocation list was written")                  \
	X(CRL_FAILED, "crl.failed", ERROR, 0, "the revocation list cannot be written")             \
	X(LEDGER_SIGNED, "ledger.signed", INFO, 0, "the ledger's newest record was signed")        \
	X(LEDGER_UNSIGNED, "ledger.unsigned", ERROR, 0, "a signed head could not be made or kept") \
	X(METRICS_FAILED, "metrics.failed", WARN, 0, "the metrics cannot be written")              \
	X(CLOCK_JUMPED, "clock.jumped", ERROR, 0, "the clock jumped, finite certificates pause")   \
	/* plugin: the door */                                                                     \
	X(CLIENT_REFUSED, "client.refused", WARN, 1, "a client was not let in")                    \
	X(CLIENT_WOULD_REFUSE, "client.would_refuse", WARN, 1,                                     \
	  "a client was let in that enforce = on refuses")                                         \
	X(SESSION_STARTED, "session.started", INFO, 0, "a client was let in")                      \
	X(SESSION_ENDED, "session.ended", INFO, 0, "a session was ended by the plugin")            \
	X(CLAIM_STARTED, "claim.started", INFO, 1, "a claimant was let in")                        \
	X(CLAIM_ENDED, "claim.ended", INFO, 1, "a claimant's session was ended by the plugin")     \
	X(SESSION_CONTENDED, "session.contended", WARN, 0,                                         \
	  "two addresses take one client id from each other")                                      \
	X(ACCESS_DENIED, "access.denied", WARN, 1, "a topic was denied")                           \
	X(ACCESS_WOULD_DENY, "access.would_deny", WARN, 1,                                         \
	  "a topic was left to others that enforce = on denies")                                   \
	X(MESSAGE_REFUSED, "message.refused", WARN, 1, "a device message was refused")             \
	X(COMMAND_REFUSED, "command.refused", WARN, 1, "an operator command was refused")          \
	X(COMMAND_DONE, "command.done", INFO, 0, "an operator command was carried out")            \
	/* plugin: facts about devices */                                                          \
	X(DEVICE_CREATED, "device.created", INFO, 0, "a device was registered")                    \
	X(DEVICE_ENROLLED, "device.enrolled", INFO, 0, "a device got its first credential")        \
	X(DEVICE_WAITING, "device.waiting", INFO, 1, "a claimant waits for approval")              \
	X(DEVICE_APPROVED, "device.approved", INFO, 0, "an operator approved a key")               \
	X(DEVICE_DENIED, "device.denied", INFO, 0, "an operator denied a key")                     \
	X(DEVICE_REVOKED, "device.revoked", WARN, 0, "a device was revoked")                       \
	X(DEVICE_DELETED, "device.deleted", WARN, 0, "a device was deleted")                       \
	X(DEVICE_SET, "device.set", INFO, 0, "an operator changed a device's group or labels")     \
	X(DEVICE_QUARANTINED, "device.quarantined", WARN, 0, "a device has Keyturn topics only")   \
	X(DEVICE_RELEASED, "device.released", INFO, 0, "quarantine or freeze was ended")           \
	X(DEVICE_ADOPTED, "device.adopted", WARN, 0,                                               \
	  "a newer certificate than the registry's was taken over")                                \
	X(DEVICE_IMPORTED, "device.imported", INFO, 0,                                             \
	  "a certificate of another CA was taken over")                                            \
	X(TICKET_CREATED, "ticket.created", INFO, 0, "a ticket was given out")                     \
	X(ENROLL_REFUSED, "enroll.refused", WARN, 1, "an enrolment was refused")                   \
	X(ENROLL_CONFLICTED, "enroll.conflict", WARN, 0, "a ticket came with a second key")        \
	X(ROTATION_OPENED, "rotation.opened", INFO, 0, "a rotation was ordered")                   \
	X(ROTATION_ISSUED, "rotation.issued", INFO, 0, "a pending certificate was issued")         \
	X(ROTATION_COMMITTED, "rotation.committed", INFO, 0, "the new credential is current")      \
	X(ROTATION_PROMOTED, "rotation.promoted", INFO, 0, "the device has dropped the old key")   \
	X(ROTATION_FAILED, "rotation.failed", WARN, 0, "the device reports a failure")             \
	X(ROTATION_CLOSED, "rotation.closed", INFO, 0, "an operation was closed without commit")   \
	X(ROTATION_FROZEN, "rotation.frozen", ERROR, 0, "rotation of a device is frozen")          \
	X(PROMOTE_OVERDUE, "promote.overdue", WARN, 0, "no promoted after a commit")               \
	X(CLONE_SUSPECTED, "clone.suspected", WARN, 0,                                             \
	  "a second party may hold a device's identity")                                           \
	X(CLONE_ALARMED, "clone.alarmed", ERROR, 0, "a second party holds a device's identity")    \
	X(REGISTRY_BEHIND, "registry.behind", ERROR, 0,                                            \
	  "a device knows a newer operation than we")                                              \
	X(REGISTRY_RECONCILING, "registry.reconciling", WARN, 0,                                   \
	  "an older ledger was accepted, newer certificates are taken over")                       \
	X(REGISTRY_RECONCILED, "registry.reconciled", INFO, 0, "an operator ended reconciling")    \
	X(OPERATOR_ADDED, "operator.added", WARN, 0, "somebody was made an operator")              \
	X(OPERATOR_REMOVED, "operator.removed", WARN, 0, "somebody is an operator no more")        \
	X(CHALLENGE_ANSWERED, "challenge.answered", INFO, 0, "a device proved its key")            \
	X(CHALLENGE_MISSED, "challenge.missed", WARN, 0, "a challenge had no answer in time")      \
	X(DEVICE_AGING, "device.aging", WARN, 0,                                                   \
	  "a device that is offline has a key near its end")                                       \
	X(CAMPAIGN_STARTED, "campaign.started", INFO, 0, "a campaign began")                       \
	X(CAMPAIGN_ADVANCED, "campaign.advanced", INFO, 0, "its next wave began")                  \
	X(CAMPAIGN_PAUSED, "campaign.paused", INFO, 0, "an operator paused it")                    \
	X(CAMPAIGN_RESUMED, "campaign.resumed", INFO, 0, "an operator let it go on")               \
	X(CAMPAIGN_ABORTED, "campaign.aborted", ERROR, 0, "it orders nobody any more")             \
	X(CAMPAIGN_SETTLED, "campaign.settled", INFO, 0, "what became of one of its devices")      \
	X(CAMPAIGN_ENDED, "campaign.ended", INFO, 0, "nobody of it is under way any more")         \
	/* both */                                                                                 \
	X(LOG_DROPPED, "log.dropped", WARN, 0, "lines were left out, too many of one kind")        \
	/* agent */                                                                                \
	X(AGENT_STARTED, "agent.started", INFO, 0, "the agent runs")                               \
	X(AGENT_STOPPED, "agent.stopped", INFO, 0, "the agent stops")                              \
	X(AGENT_FAILED, "agent.failed", ERROR, 0, "the agent cannot go on")                        \
	X(LINK_UP, "link.up", INFO, 0, "connected to the broker")                                  \
	X(LINK_DOWN, "link.down", WARN, 0, "connection lost or not made")                          \
	X(LINK_REFUSED, "link.refused", WARN, 0, "the broker refused a credential")                \
	X(STORE_RECOVERED, "store.recovered", INFO, 0, "the identity store was checked at start")  \
	X(PHASE_CHANGED, "phase.changed", INFO, 0, "the rollover moved on")                        \
	X(KEY_MADE, "key.made", INFO, 0, "a new key was made")                                     \
	X(KEY_WIPED, "key.wiped", INFO, 0, "an old key was deleted")                               \
	X(HOOK_RAN, "hook.ran", INFO, 0, "a hook ran")                                             \
	X(HOOK_FAILED, "hook.failed", WARN, 0, "a hook failed or took too long")                   \
	X(REPLY_REFUSED, "reply.refused", WARN, 1, "a message of the plugin was refused")          \
	X(CLOCK_AHEAD, "clock.ahead", WARN, 0, "judged at the floor time: the clock is ahead")

enum kt_event {
#define KT_EVENT_ENUM(code, name, level, limited, text) KT_EVENT_##code,
	KT_EVENT_LIST(KT_EVENT_ENUM) KT_EVENT_COUNT
#undef KT_EVENT_ENUM
};

enum {
	KT_LOG_LINE_MAX = 900, /* bytes; Mosquitto cuts at 1,000 */
	KT_LOG_BURST = 20,
	KT_LOG_WINDOW_MS = 10000
};

struct kt_field { /* one key=value; both borrowed for the call; value NULL is left out */
	const char *key;
	const char *value;
};

/* Where lines go: @line is one escaped line without a newline, borrowed. */
typedef void kt_log_sink(void *ctx, enum kt_log_level level, const char *line);

struct kt_log {
	kt_log_sink *sink;
	void *ctx;
	enum kt_log_level max_level; /* lines above it are not written */
	int64_t now_ms; /* monotonic, kept up to date by the owner; for the rate limit */
	struct {
		int64_t window_start_ms;
		uint32_t written;
		uint32_t dropped;
	} limit[KT_EVENT_COUNT];
};

/* The sink and its @ctx are borrowed for the life of @log. */
void kt_log_init(struct kt_log *log, kt_log_sink *sink, void *ctx, enum kt_log_level max_level);

/*
 * Writes "event=NAME key=value ..." to the sink. Values of [A-Za-z0-9._:/@+-] go as they are,
 * others in double quotes with \" \\ and \xNN. A line that would pass KT_LOG_LINE_MAX is cut at a
 * field and ends in "cut=1". Returns false if the rate limit swallowed it.
 */
bool kt_log_event(struct kt_log *log, enum kt_event event, const struct kt_field *fields,
		  size_t field_count);

/*
 * Tells of what was dropped and not told yet, event by event, where the window is over: "of" says
 * of which, "count" how many. To be called now and then; costs a look at the list.
 */
void kt_log_settle(struct kt_log *log);

const char *kt_event_name(enum kt_event event);
const char *kt_event_text(enum kt_event event);
enum kt_log_level kt_event_level(enum kt_event event);
/* "error", "warn", "info", "debug" */
const char *kt_log_level_name(enum kt_log_level level);

#endif
