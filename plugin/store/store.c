#include "store.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "encoding.h"
#include "store_start.h"
#include "store_writer.h"

enum { NOMEM_PAUSE_NS = 50000000, NOMEM_TRIES_MAX = 60 /* of a broker that ends: three seconds */ };

struct kt_store {
	struct kt_journal journal;
	struct kt_log *log;
	void (*wake)(void *ctx);
	void *wake_ctx;
	int lock_fd;
	int ledger_lock_fd;
	bool has_thread;
	bool has_lock;
	pthread_t thread;
	bool has_told_failed;		/* broker's thread: logged once */
	bool has_told_index_failed;	/* broker's thread */
	struct kt_store_item *reserved; /* broker's thread: room for the next record */
	bool has_queued;		/* broker's thread: since the last hand-over */

	struct kt_store_writer writer; /* the ledger thread's own, once it runs */

	pthread_mutex_t mutex; /* guards all below */
	pthread_cond_t cond;
	struct kt_store_item *first;
	struct kt_store_item *last;
	bool is_stopping;
	struct kt_store_status status;
};

/* --- the broker's side ------------------------------------------------------------------------ */

static enum kt_err reserve(void *ctx, const struct kt_record *record)
{
	struct kt_store *store = ctx;

	kt_store_items_free(store->reserved);
	return kt_store_item_new(record, &store->reserved);
}

/*
 * A record that is lost here leaves a gap that no later record may jump: the ledger counts as
 * failed then. Lost images are harmless: the index stays where it is until the next start.
 */
static enum kt_err append(void *ctx, const struct kt_record *record, struct kt_registry *registry)
{
	struct kt_store *store = ctx;
	struct kt_index_batch *batch = NULL;
	struct kt_store_item *item = store->reserved;
	bool is_reserved = item != NULL && item->record.seq == record->seq;
	enum kt_err err = is_reserved ? KT_ERR_OK : KT_ERR_INTERNAL;
	bool has_images = kt_index_collect(registry, &batch) == KT_ERR_OK;

	store->reserved = NULL; /* moved */
	(void)pthread_mutex_lock(&store->mutex);
	if (err != KT_ERR_OK)
		store->status.failed = true;
	else if (store->status.failed)
		err = KT_ERR_STATE;
	if (!has_images)
		store->status.index_failed = true;
	if (err == KT_ERR_OK) {
		item->batch = batch;
		if (store->last != NULL)
			store->last->next = item;
		else
			store->first = item;
		store->last = item;
		item = NULL;  /* moved */
		batch = NULL; /* moved */
		store->has_queued = true;
	}
	(void)pthread_mutex_unlock(&store->mutex);
	kt_store_items_free(item);
	kt_index_batch_free(batch);
	return err;
}

static uint64_t newest(void *ctx, uint8_t hash[static 32])
{
	struct kt_store *store = ctx;
	uint64_t seq;

	(void)pthread_mutex_lock(&store->mutex);
	seq = store->status.durable_seq;
	memcpy(hash, store->status.head, sizeof(store->status.head));
	(void)pthread_mutex_unlock(&store->mutex);
	return seq;
}

static void tell(struct kt_store *store, enum kt_event event, uint64_t durable_seq)
{
	char seq[KT_U64_DIGITS_MAX + 1];

	kt_u64_encode(durable_seq, seq);
	(void)kt_log_event(store->log, event, &(struct kt_field){"durable_seq", seq}, 1);
}

void kt_store_hand_over(struct kt_store *store)
{
	if (!store->has_queued)
		return;
	store->has_queued = false;
	(void)pthread_cond_signal(&store->cond);
}

void kt_store_poll(struct kt_store *store, struct kt_store_status *out)
{
	kt_store_hand_over(store);
	(void)pthread_mutex_lock(&store->mutex);
	*out = store->status;
	(void)pthread_mutex_unlock(&store->mutex);
	if (out->failed && !store->has_told_failed) {
		store->has_told_failed = true;
		tell(store, KT_EVENT_LEDGER_FAILED, out->durable_seq);
	}
	if (out->index_failed && !store->has_told_index_failed) {
		store->has_told_index_failed = true;
		tell(store, KT_EVENT_INDEX_FAILED, out->durable_seq);
	}
}

const struct kt_journal *kt_store_journal(struct kt_store *store)
{
	return &store->journal;
}

/* --- the ledger's thread ---------------------------------------------------------------------- */

/* All that is durable, into the index. It stops for good at its first error. */
static void write_index(struct kt_store *store, bool has_failed)
{
	if (has_failed) {
		kt_store_writer_drop(&store->writer);
		return;
	}
	if (kt_store_writer_index(&store->writer) == KT_ERR_OK)
		return;
	(void)pthread_mutex_lock(&store->mutex);
	store->status.index_failed = true;
	(void)pthread_mutex_unlock(&store->mutex);
	if (store->wake != NULL)
		store->wake(store->wake_ctx);
}

/* Takes up to KT_STORE_GROUP off the queue; NULL when there is none. Under the mutex. */
static struct kt_store_item *take_group(struct kt_store *store, size_t *count)
{
	struct kt_store_item *first = store->first;
	struct kt_store_item *last = first;

	*count = 0;
	if (first == NULL)
		return NULL;
	for (*count = 1; last->next != NULL && *count < KT_STORE_GROUP; (*count)++)
		last = last->next;
	store->first = last->next;
	if (store->first == NULL)
		store->last = NULL;
	last->next = NULL;
	return first;
}

static bool store_is_stopping(struct kt_store *store)
{
	bool is_stopping = false;

	(void)pthread_mutex_lock(&store->mutex);
	is_stopping = store->is_stopping;
	(void)pthread_mutex_unlock(&store->mutex);
	return is_stopping;
}

/* What has become durable is told; false: it has to be tried again, for there was no memory. */
static bool commit_some(struct kt_store *store, struct kt_store_item *group, size_t count,
			bool is_last_try, struct kt_ledger_state *state)
{
	enum kt_err err = kt_store_writer_append(&store->writer, group, count, state);
	bool is_done = err != KT_ERR_NOMEM || (is_last_try && store_is_stopping(store));

	(void)pthread_mutex_lock(&store->mutex);
	store->status.durable_seq = state->seq;
	memcpy(store->status.head, state->head, sizeof(store->status.head));
	if (err != KT_ERR_OK && is_done)
		store->status.failed = true;
	(void)pthread_mutex_unlock(&store->mutex);
	if (store->wake != NULL)
		store->wake(store->wake_ctx);
	return is_done;
}

/*
 * A group that there is no memory for waits, and what rests on it with it: nothing of it was
 * written, so unlike after a failed write the disk is as it was. A broker that ends does not wait
 * for ever.
 */
static void commit_group(struct kt_store *store, struct kt_store_item *group, size_t count)
{
	const struct timespec pause = {.tv_nsec = NOMEM_PAUSE_NS};
	struct kt_ledger_state state;
	unsigned tries = 1;

	while (!commit_some(store, group, count, tries >= NOMEM_TRIES_MAX, &state)) {
		for (; group != NULL && group->record.seq <= state.seq; group = group->next)
			count--;
		tries++;
		(void)nanosleep(&pause, NULL);
	}
}

/*
 * The ledger comes first: the index is written when nothing waits for the ledger, or when there is
 * no room for the images of another group.
 */
static void *run(void *arg)
{
	struct kt_store *store = arg;

	(void)pthread_setname_np(pthread_self(), "keyturn-ledger");
	for (;;) {
		struct kt_store_item *group;
		size_t count;
		bool is_stopping;
		bool index_failed;

		(void)pthread_mutex_lock(&store->mutex);
		while (store->first == NULL && !store->is_stopping &&
		       store->writer.waiting_count == 0)
			(void)pthread_cond_wait(&store->cond, &store->mutex);
		group = take_group(store, &count);
		is_stopping = store->is_stopping;
		index_failed = store->status.index_failed;
		(void)pthread_mutex_unlock(&store->mutex);

		if (group == NULL || kt_store_writer_is_full(&store->writer)) {
			if (store->writer.waiting_count > 0)
				write_index(store, index_failed);
			else if (is_stopping)
				return NULL;
		}
		if (group != NULL)
			commit_group(store, group, count);
		kt_store_items_free(group);
	}
}

/* --- life ------------------------------------------------------------------------------------- */

static enum kt_err start_thread(struct kt_store *store)
{
	enum kt_err err = kt_store_start_thread(&store->thread, run, store);

	store->has_thread = err == KT_ERR_OK;
	return err;
}

static enum kt_err store_new(const struct kt_store_config *config, struct kt_log *log,
			     struct kt_store **out)
{
	struct kt_store *store = calloc(1, sizeof(*store));

	*out = NULL;
	if (store == NULL)
		return KT_ERR_NOMEM;
	store->lock_fd = -1;
	store->ledger_lock_fd = -1;
	store->log = log;
	store->wake = config->wake;
	store->wake_ctx = config->wake_ctx;
	store->journal.ctx = store;
	store->journal.reserve = reserve;
	store->journal.append = append;
	store->journal.head = newest;
	if (pthread_mutex_init(&store->mutex, NULL) != 0)
		goto out;
	if (pthread_cond_init(&store->cond, NULL) != 0) {
		(void)pthread_mutex_destroy(&store->mutex);
		goto out;
	}
	store->has_lock = true;
	*out = store;
	store = NULL; /* moved */
out:
	free(store);
	return *out != NULL ? KT_ERR_OK : KT_ERR_NOMEM;
}

enum kt_err kt_store_open(const struct kt_store_config *config, struct kt_log *log, int64_t now_us,
			  struct kt_registry *registry, struct kt_store **out, char why[static 512])
{
	struct kt_store *store = NULL;
	struct kt_store_start start = {.config = config,
				       .fs = kt_fs_posix(),
				       .log = log,
				       .now_us = now_us,
				       .registry = registry,
				       .why = why};
	char text[KT_ERR_CAUSE_MAX];
	enum kt_err err;
	int saved;

	*out = NULL;
	start.lock_fd = -1;
	start.ledger_lock_fd = -1;
	why[0] = '\0';
	err = store_new(config, log, &store);
	if (err == KT_ERR_OK)
		err = kt_store_check_dirs(&start);
	if (err == KT_ERR_OK)
		err = kt_store_take_locks(&start);
	if (err == KT_ERR_OK)
		err = kt_store_recover(&start);
	if (err != KT_ERR_OK)
		goto out;
	store->lock_fd = start.lock_fd;
	store->ledger_lock_fd = start.ledger_lock_fd;
	start.lock_fd = -1;	   /* moved */
	start.ledger_lock_fd = -1; /* moved */
	store->writer.ledger = start.ledger;
	store->writer.index = start.index;
	store->status.index_failed = start.index_failed;
	store->status.durable_seq = start.state.seq;
	memcpy(store->status.head, start.state.head, sizeof(store->status.head));
	err = start_thread(store);
	if (err != KT_ERR_OK)
		goto out;
	*out = store;
	store = NULL; /* moved */
out:
	saved = errno;
	kt_store_release_locks(&start);
	if (err != KT_ERR_OK && why[0] == '\0')
		(void)snprintf(why, 512, "the store could not be opened: %s",
			       kt_err_cause(err, saved, text));
	kt_store_close(store);
	return err;
}

void kt_store_close(struct kt_store *store)
{
	int saved = errno;

	if (store == NULL)
		return;
	if (store->has_thread) {
		(void)pthread_mutex_lock(&store->mutex);
		store->is_stopping = true;
		(void)pthread_cond_signal(&store->cond);
		(void)pthread_mutex_unlock(&store->mutex);
		(void)pthread_join(store->thread, NULL);
	}
	kt_store_items_free(store->first);
	kt_store_items_free(store->reserved);
	kt_store_writer_close(&store->writer);
	if (store->ledger_lock_fd >= 0)
		(void)close(store->ledger_lock_fd); /* the locks go with them */
	if (store->lock_fd >= 0)
		(void)close(store->lock_fd);
	if (store->has_lock) {
		(void)pthread_cond_destroy(&store->cond);
		(void)pthread_mutex_destroy(&store->mutex);
	}
	free(store);
	errno = saved;
}
