#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "secmem.h"

/*
 * Chained tables of a fixed size: a connect never pays for a bigger table, whatever the number of
 * clients. Untouched pages of a calloc cost nothing.
 */
#ifndef KT_SESSION_BUCKETS
#define KT_SESSION_BUCKETS                                                                         \
	(1 << 16) /* a power of two; fuzzers, who make tables by the thousand, take fewer */
#endif

enum { BUCKETS = KT_SESSION_BUCKETS, CHUNK = 1024, CHUNKS_MAX = 4096 };

enum table { BY_CLIENT, BY_NUMBER, BY_CLIENT_ID, BY_DEVICE, TABLES };

struct entry {
	struct kt_session session; /* first: a session is its entry */
	struct entry *next[TABLES];
	bool linked[TABLES];
	struct entry *next_gone;
	size_t index; /* in the dense list */
};

struct kt_sessions {
	struct entry **bucket[TABLES];
	struct entry **chunk[CHUNKS_MAX]; /* dense list of all, in pieces */
	size_t count;
	struct entry *gone;
	uint64_t last_number;
};

static struct entry *entry_of(struct kt_session *session)
{
	return (struct entry *)session;
}

static size_t hash_u64(uint64_t value)
{
	value ^= value >> 33;
	value *= UINT64_C(0xff51afd7ed558ccd);
	value ^= value >> 33;
	return (size_t)(value & (BUCKETS - 1));
}

static size_t hash_text(const char *text)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (; *text != '\0'; text++)
		hash = (hash ^ (uint8_t)*text) * UINT64_C(1099511628211);
	return hash_u64(hash);
}

static size_t hash_of(const struct entry *entry, enum table table)
{
	switch (table) {
	case BY_CLIENT:
		return hash_u64((uint64_t)entry->session.client);
	case BY_NUMBER:
		return hash_u64(entry->session.number);
	case BY_CLIENT_ID:
		return hash_text(entry->session.client_id);
	case BY_DEVICE:
		return hash_u64((uint64_t)(uintptr_t)entry->session.device);
	case TABLES:
		break;
	}
	return 0;
}

static void table_add(struct kt_sessions *sessions, struct entry *entry, enum table table)
{
	struct entry **head = &sessions->bucket[table][hash_of(entry, table)];

	entry->next[table] = *head;
	entry->linked[table] = true;
	*head = entry;
}

static void table_remove(struct kt_sessions *sessions, struct entry *entry, enum table table)
{
	struct entry **at = &sessions->bucket[table][hash_of(entry, table)];

	if (!entry->linked[table])
		return;
	while (*at != entry)
		at = &(*at)->next[table];
	*at = entry->next[table];
	entry->linked[table] = false;
}

static struct entry **dense_slot(struct kt_sessions *sessions, size_t index)
{
	return &sessions->chunk[index / CHUNK][index % CHUNK];
}

static enum kt_err dense_add(struct kt_sessions *sessions, struct entry *entry)
{
	size_t piece = sessions->count / CHUNK;

	if (piece >= CHUNKS_MAX)
		return KT_ERR_NOMEM;
	if (sessions->chunk[piece] == NULL) {
		sessions->chunk[piece] = calloc(CHUNK, sizeof(*sessions->chunk[piece]));
		if (sessions->chunk[piece] == NULL)
			return KT_ERR_NOMEM;
	}
	entry->index = sessions->count;
	*dense_slot(sessions, sessions->count) = entry;
	sessions->count++;
	return KT_ERR_OK;
}

static void dense_remove(struct kt_sessions *sessions, struct entry *entry)
{
	struct entry *last = *dense_slot(sessions, sessions->count - 1);

	last->index = entry->index;
	*dense_slot(sessions, entry->index) = last;
	sessions->count--;
}

static void entry_free(struct entry *entry)
{
	for (size_t i = 0; i < entry->session.waiting_count; i++) {
		/* an enroll may carry a ticket */
		kt_wipe(entry->session.waiting[i].text, entry->session.waiting[i].len);
		free(entry->session.waiting[i].text);
	}
	free(entry->session.cert_der);
	free(entry);
}

enum kt_err kt_sessions_new(struct kt_sessions **out)
{
	struct kt_sessions *sessions = calloc(1, sizeof(*sessions));

	*out = NULL;
	if (sessions == NULL)
		return KT_ERR_NOMEM;
	for (size_t i = 0; i < TABLES; i++) {
		sessions->bucket[i] = calloc(BUCKETS, sizeof(*sessions->bucket[i]));
		if (sessions->bucket[i] == NULL) {
			kt_sessions_free(sessions);
			return KT_ERR_NOMEM;
		}
	}
	*out = sessions;
	return KT_ERR_OK;
}

void kt_sessions_free(struct kt_sessions *sessions)
{
	if (sessions == NULL)
		return;
	for (size_t i = 0; i < sessions->count; i++)
		entry_free(*dense_slot(sessions, i));
	for (size_t i = 0; i < CHUNKS_MAX && sessions->chunk[i] != NULL; i++)
		free(sessions->chunk[i]);
	for (size_t i = 0; i < TABLES; i++)
		free(sessions->bucket[i]);
	free(sessions);
}

static void mark_gone(struct kt_sessions *sessions, struct entry *entry)
{
	if (entry->session.gone)
		return;
	entry->session.gone = true;
	entry->next_gone = sessions->gone;
	sessions->gone = entry;
}

enum kt_err kt_sessions_add(struct kt_sessions *sessions, uintptr_t client, const char *client_id,
			    struct kt_session **out)
{
	struct kt_session *old = kt_sessions_find(sessions, client);
	struct entry *entry = calloc(1, sizeof(*entry));
	size_t len = client_id == NULL ? 0 : strnlen(client_id, KT_CLIENT_ID_MAX);

	*out = NULL;
	if (entry == NULL)
		return KT_ERR_NOMEM;
	if (dense_add(sessions, entry) != KT_ERR_OK) {
		free(entry);
		return KT_ERR_NOMEM;
	}
	if (old != NULL) {
		table_remove(sessions, entry_of(old), BY_CLIENT);
		mark_gone(sessions, entry_of(old));
	}
	sessions->last_number++;
	entry->session.client = client;
	entry->session.number = sessions->last_number;
	if (len > 0 && len < KT_CLIENT_ID_MAX)
		memcpy(entry->session.client_id, client_id, len);
	table_add(sessions, entry, BY_CLIENT);
	table_add(sessions, entry, BY_NUMBER);
	if (entry->session.client_id[0] != '\0')
		table_add(sessions, entry, BY_CLIENT_ID);
	*out = &entry->session;
	return KT_ERR_OK;
}

void kt_sessions_take_over(struct kt_sessions *sessions, const struct kt_session *session)
{
	struct entry *entry;

	if (session->client_id[0] == '\0')
		return;
	entry = sessions->bucket[BY_CLIENT_ID][hash_text(session->client_id)];
	for (; entry != NULL; entry = entry->next[BY_CLIENT_ID]) {
		if (&entry->session != session &&
		    strcmp(entry->session.client_id, session->client_id) == 0)
			mark_gone(sessions, entry);
	}
}

void kt_sessions_set_device(struct kt_sessions *sessions, struct kt_session *session,
			    const struct kt_device *device)
{
	struct entry *entry = entry_of(session);

	table_remove(sessions, entry, BY_DEVICE);
	session->device = device;
	if (device != NULL)
		table_add(sessions, entry, BY_DEVICE);
}

struct kt_session *kt_sessions_find(struct kt_sessions *sessions, uintptr_t client)
{
	struct entry *entry = sessions->bucket[BY_CLIENT][hash_u64((uint64_t)client)];

	while (entry != NULL && entry->session.client != client)
		entry = entry->next[BY_CLIENT];
	return entry == NULL ? NULL : &entry->session;
}

struct kt_session *kt_sessions_by_number(struct kt_sessions *sessions, uint64_t number)
{
	struct entry *entry = sessions->bucket[BY_NUMBER][hash_u64(number)];

	while (entry != NULL && entry->session.number != number)
		entry = entry->next[BY_NUMBER];
	return entry == NULL || entry->session.gone ? NULL : &entry->session;
}

struct kt_session *kt_sessions_by_client_id(struct kt_sessions *sessions, const char *client_id)
{
	struct entry *entry;

	if (client_id == NULL || client_id[0] == '\0')
		return NULL;
	/* new entries stand in front, so the first live one is the newest */
	entry = sessions->bucket[BY_CLIENT_ID][hash_text(client_id)];
	while (entry != NULL &&
	       (entry->session.gone || strcmp(entry->session.client_id, client_id) != 0))
		entry = entry->next[BY_CLIENT_ID];
	return entry == NULL ? NULL : &entry->session;
}

struct kt_session *kt_sessions_next_of(struct kt_sessions *sessions, const struct kt_device *device,
				       struct kt_session *cursor)
{
	struct entry *entry =
		cursor != NULL ? entry_of(cursor)->next[BY_DEVICE]
			       : sessions->bucket[BY_DEVICE][hash_u64((uint64_t)(uintptr_t)device)];

	while (entry != NULL && (entry->session.gone || entry->session.device != device))
		entry = entry->next[BY_DEVICE];
	return entry == NULL ? NULL : &entry->session;
}

struct kt_session *kt_sessions_next(struct kt_sessions *sessions, size_t *cursor)
{
	while (*cursor < sessions->count) {
		struct entry *entry = *dense_slot(sessions, (*cursor)++);

		if (!entry->session.gone)
			return &entry->session;
	}
	return NULL;
}

void kt_sessions_mark_gone(struct kt_sessions *sessions, uintptr_t client)
{
	struct kt_session *session = kt_sessions_find(sessions, client);

	if (session != NULL)
		mark_gone(sessions, entry_of(session));
}

void kt_sessions_sweep(struct kt_sessions *sessions)
{
	while (sessions->gone != NULL) {
		struct entry *entry = sessions->gone;

		sessions->gone = entry->next_gone;
		for (size_t i = 0; i < TABLES; i++)
			table_remove(sessions, entry, (enum table)i);
		dense_remove(sessions, entry);
		entry_free(entry);
	}
}

size_t kt_sessions_count(const struct kt_sessions *sessions)
{
	return sessions->count;
}

enum kt_role kt_session_role(const struct kt_session *session)
{
	const struct kt_operator_entry *entry = session->operator_entry;

	if (entry != NULL && (entry->is_removed || entry->changed_seq != session->operator_seq))
		return KT_ROLE_NONE;
	return session->role;
}
