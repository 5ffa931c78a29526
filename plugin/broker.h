/*
 * broker - what the plugin's core needs from the world: four ports, each a const table and a ctx.
 *
 * The real ones: plugin_mosquitto.c (broker), store/store.c (journal), worker.c (jobs), crypto
 * (entropy). Tests and the simulator bring their own. No port calls back into the core from inside
 * a call: results come as events (core.h). Broker's thread only.
 */
#ifndef KT_BROKER_H
#define KT_BROKER_H

#include "err.h"
#include "log.h"
#include "types.h"

struct kt_record;
struct kt_registry;
struct kt_job;

/* One moment. wall_us: microseconds since 1970, UTC; mono_ms: milliseconds, never goes back. */
struct kt_now {
	int64_t wall_us;
	int64_t mono_ms;
};

struct kt_broker {
	void *ctx;
	/*
	 * @client_id: to this client alone, whether subscribed or not; NULL: to the subscribers of
	 * @topic. @payload is copied. KT_ERR_NOMEM, KT_ERR_SYS.
	 */
	enum kt_err (*publish)(void *ctx, const char *client_id, const char *topic,
			       struct kt_bytes payload, bool retain);
	/* Ends the session that holds @client_id, without its will. Never from ACL or BASIC_AUTH.
	 */
	enum kt_err (*kick)(void *ctx, const char *client_id);
};

struct kt_journal {
	void *ctx;
	/*
	 * Keeps room for @record, which is as it will be appended: what is applied can always be
	 * written. In place of what was reserved before. KT_ERR_NOMEM: nothing has changed.
	 */
	enum kt_err (*reserve)(void *ctx, const struct kt_record *record);
	/*
	 * Queues @record, for which room is reserved, and which was applied to @registry just now
	 * (its changed rows are collected for the index). Records become durable in this order;
	 * kt_core_durable tells how far. KT_ERR_STATE after a failed write.
	 */
	enum kt_err (*append)(void *ctx, const struct kt_record *record,
			      struct kt_registry *registry);
	/* The newest durable record and its hash; 0: there is none. */
	uint64_t (*head)(void *ctx, uint8_t hash[static 32]);
};

struct kt_jobs {
	void *ctx;
	/* Takes @job over (moved) on KT_ERR_OK; KT_ERR_BUSY: the queue is full, @job stays the
	 * caller's. */
	enum kt_err (*submit)(void *ctx, struct kt_job *job);
};

struct kt_entropy {
	void *ctx;
	enum kt_err (*bytes)(void *ctx, uint8_t *out, size_t len);
};

struct kt_ports { /* all borrowed for the life of the core */
	const struct kt_broker *broker;
	const struct kt_journal *journal;
	const struct kt_jobs *jobs;
	const struct kt_entropy *entropy;
	struct kt_log *log;
};

#endif
