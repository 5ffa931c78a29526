#include "control_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encoding.h"
#include "selector.h"

/* --- listDevices --- */

static bool is_online(struct kt_core *core, const struct kt_device *device)
{
	return kt_sessions_next_of(core->sessions, device, NULL) != NULL;
}

/* "state" is the older way to say one word of "select". */
static bool list_selector(struct kt_control *c, char word[static KT_SELECTOR_WORD_MAX + 1],
			  struct kt_selector *out)
{
	const char *state = kt_json_string(c->item, "state");
	const char *why = "";

	if (!kt_control_selector(c, out))
		return false;
	if (state == NULL)
		return true;
	(void)snprintf(word, KT_SELECTOR_WORD_MAX + 1, "%s%s",
		       kt_selector_prefix(KT_SELECTOR_STATE), state);
	return kt_selector_add(out, word, &why) ||
	       kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "state", why);
}

bool kt_control_page(struct kt_control *c, struct kt_control_page *out)
{
	static const int64_t offsets[2] = {0, INT32_MAX};
	static const int64_t counts[2] = {1, KT_CONTROL_PAGE_MAX};
	*out = (struct kt_control_page){.offset = 0, .count = KT_CONTROL_PAGE_MAX};
	return kt_field_number(c->item, "offset", offsets, &out->offset, &c->refusal) &&
	       kt_field_number(c->item, "count", counts, &out->count, &c->refusal);
}

bool kt_control_is_on_page(const struct kt_control_page *page, int64_t index)
{
	return index >= page->offset && index < page->offset + page->count;
}

/* What a list shows of a device, and getDevice too. */
static void put_summary(struct kt_core *core, struct kt_json_writer *w,
			const struct kt_device *device)
{
	kt_json_put_string(w, "device", device->id.s);
	if (device->group[0] != '\0') {
		kt_json_put_string(w, "group", device->group);
	}
	if (device->labels[0] != '\0') {
		kt_json_put_string(w, "labels", device->labels);
	}
	kt_json_put_string(w, "state", kt_device_state_name(device->state));
	kt_json_put_string(w, "phase", kt_server_phase_name(device->phase));
	kt_json_put_number(w, "generation",
			   device->current != NULL ? (int64_t)device->current->generation : 0);
	kt_json_put_bool(w, "quarantined", device->quarantined);
	kt_json_put_bool(w, "frozen", device->frozen);
	kt_json_put_bool(w, "adopted", device->adopted);
	kt_json_put_bool(w, "online", is_online(core, device));
}

struct listing {
	struct kt_control_page page;
	struct kt_selector selector;
	char word[KT_SELECTOR_WORD_MAX + 1]; /* of the selector */
	size_t cursor;
	int64_t total;
};

/* To the end of the fleet, a piece at a time: the total is of all of it. */
static void list_some(struct kt_control *c)
{
	struct listing *listing = c->work;
	const struct kt_device *device;

	while (c->budget > 0) {
		device = kt_registry_next_device(c->core->registry, &listing->cursor);
		if (device == NULL) {
			kt_json_close_array(c->writer);
			kt_json_put_number(c->writer, "offset", listing->page.offset);
			kt_json_put_number(c->writer, "total", listing->total);
			c->step = NULL;
			return;
		}
		c->budget -= KT_CONTROL_LOOK;
		if (!kt_selector_means(&listing->selector, device, c->core->now.wall_us, false)) {
			continue;
		}
		if (kt_control_is_on_page(&listing->page, listing->total)) {
			c->budget -= KT_CONTROL_ROW;
			kt_json_open_object(c->writer, NULL);
			put_summary(c->core, c->writer, device);
			kt_json_close_object(c->writer);
		}
		listing->total++;
	}
}

void kt_command_list_devices(struct kt_control *c)
{
	struct listing *listing = calloc(1, sizeof(*listing));

	if (listing == NULL) {
		(void)kt_refuse(&c->refusal, KT_REASON_BUSY, "", "out of memory, try again");
		return;
	}
	c->work = listing;
	if (!kt_control_page(c, &listing->page) ||
	    !list_selector(c, listing->word, &listing->selector)) {
		return;
	}
	kt_json_open_array(kt_control_data(c), "devices");
	c->step = list_some;
	list_some(c);
}

/* --- getDevice --- */

static void put_credential(struct kt_json_writer *w, const char *name,
			   const struct kt_credential *credential)
{
	if (credential == NULL) {
		return;
	}
	kt_json_open_object(w, name);
	kt_json_put_hex(w, "fp", credential->fp.b, sizeof(credential->fp.b));
	kt_json_put_hex(w, "keyId", credential->key_id.b, sizeof(credential->key_id.b));
	kt_json_put_number(w, "generation", (int64_t)credential->generation);
	kt_json_put_string(w, "status", kt_credential_status_name(credential->status));
	kt_json_put_u64(w, "op", credential->op);
	if (credential->not_after_s != KT_CERT_NO_END) {
		kt_control_put_time(w, "notAfter", credential->not_after_s * 1000000);
	}
	kt_json_close_object(w);
}

static void put_op(struct kt_json_writer *w, const char *name, uint64_t op)
{
	if (op != 0) {
		kt_json_put_u64(w, name, op);
	}
}

static void put_operations(struct kt_json_writer *w, const struct kt_device *device)
{
	if (device->phase != KT_SERVER_IDLE) {
		put_op(w, "op", device->op);
		kt_json_put_bool(w, "enrolling", device->enrolling);
		kt_control_put_time(w, "deadline", device->op_deadline_us);
	}
	put_op(w, "lastOp", device->op);
	put_op(w, "committedOp", device->last_committed_op);
	put_op(w, "promotedOp", device->promoted_op);
	put_op(w, "closedOp", device->closed_op);
	if (device->failed_reason != KT_REASON_NONE) {
		put_op(w, "failedOp", device->failed_op);
		kt_json_put_string(w, "failedReason", kt_reason_name(device->failed_reason));
	}
}

static const char *session_kind_name(enum kt_session_kind kind)
{
	switch (kind) {
	case KT_SESSION_AGENT:
		return "agent";
	case KT_SESSION_TRIAL:
		return "trial";
	case KT_SESSION_DEVICE:
		return "device";
	case KT_SESSION_CLAIM:
		return "claim";
	case KT_SESSION_OPERATOR:
		return "operator";
	case KT_SESSION_OTHER:
		return "other";
	}
	return "?";
}

/* Sessions are timed by the clock that never goes back; told in wall-clock time. */
static void put_sessions(struct kt_core *core, struct kt_json_writer *w,
			 const struct kt_device *device)
{
	int64_t shown = 0;
	kt_json_open_array(w, "sessions");
	for (struct kt_session *s = kt_sessions_next_of(core->sessions, device, NULL);
	     s != NULL && shown < KT_CONTROL_PAGE_MAX;
	     s = kt_sessions_next_of(core->sessions, device, s), shown++) {
		kt_json_open_object(w, NULL);
		kt_json_put_string(w, "clientId", s->client_id);
		kt_json_put_string(w, "kind", session_kind_name(s->kind));
		kt_json_put_string(w, "address", s->address);
		kt_control_put_time(w, "since",
				    core->now.wall_us - (core->now.mono_ms - s->started_ms) * 1000);
		if (s->credential != NULL) {
			kt_json_put_number(w, "generation", (int64_t)s->credential->generation);
		}
		kt_json_close_object(w);
	}
	kt_json_close_array(w);
}

static void put_agent_version(struct kt_json_writer *w, uint64_t version)
{
	char text[KT_VERSION_TEXT_MAX + 1];

	if (version == 0)
		return;
	kt_version_encode(version, text);
	kt_json_put_string(w, "agentVersion", text);
}

void kt_command_get_device(struct kt_control *c)
{
	const struct kt_device *device = kt_control_device(c);
	if (device == NULL) {
		return;
	}
	struct kt_json_writer *w = kt_control_data(c);
	put_summary(c->core, w, device);
	put_credential(w, "current", device->current);
	put_credential(w, "pending", device->pending);
	if (device->has_registered_key) {
		kt_json_put_hex(w, "registeredKeyId", device->registered_key.b,
				sizeof(device->registered_key.b));
	}
	put_operations(w, device);
	put_agent_version(w, device->agent_version);
	kt_control_put_time(w, "created", device->created_us);
	kt_control_put_time(w, "committed", device->committed_us);
	if (device->state == KT_DEVICE_REVOKED) {
		kt_control_put_time(w, "revoked", device->revoked_us);
		kt_json_put_bool(w, "wipe", device->wipe);
	}
	put_sessions(c->core, w, device);
}

/* --- listPending --- */

void kt_command_list_pending(struct kt_control *c)
{
	struct kt_control_page page;
	struct kt_claim claim;
	size_t total = 0;
	if (!kt_control_page(c, &page)) {
		return;
	}
	kt_json_open_array(kt_control_data(c), "pending");
	for (; kt_enroll_claim_at(c->core, total, &claim); total++) {
		if (!kt_control_is_on_page(&page, (int64_t)total)) {
			continue;
		}
		kt_json_open_object(c->writer, NULL);
		kt_json_put_hex(c->writer, "keyId", claim.key_id.b, sizeof(claim.key_id.b));
		if (claim.device.s[0] != '\0') {
			kt_json_put_string(c->writer, "device", claim.device.s);
		}
		kt_json_put_string(c->writer, "batch", claim.batch);
		kt_json_put_string(c->writer, "address", claim.address);
		kt_control_put_time(c->writer, "first", claim.first_us);
		kt_control_put_time(c->writer, "last", claim.last_us);
		kt_json_put_number(c->writer, "tries", (int64_t)claim.tries);
		kt_json_close_object(c->writer);
	}
	kt_json_close_array(c->writer);
	kt_json_put_number(c->writer, "offset", page.offset);
	kt_json_put_number(c->writer, "total", (int64_t)total);
}

/* --- status --- */

static void put_counts(struct kt_json_writer *w, const struct kt_core *core)
{
	const struct kt_registry_counts counts = kt_registry_counts(core->registry);
	const struct {
		const char *name;
		size_t value;
	} rows[] = {
		{"devices", counts.devices},
		{"active", counts.active},
		{"revoked", counts.revoked},
		{"quarantined", counts.quarantined},
		{"frozen", counts.frozen},
		{"adopted", counts.adopted},
		{"openOps", counts.open_ops},
		{"credentials", counts.credentials},
		{"openTickets", counts.tickets_open},
		{"sessions", kt_sessions_count(core->sessions)},
	};
	kt_json_open_object(w, "counts");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		kt_json_put_number(w, rows[i].name, (int64_t)rows[i].value);
	}
	kt_json_close_object(w);
}

static void put_crl(struct kt_json_writer *w, const struct kt_core *core)
{
	struct kt_crl_status crl;
	kt_crl_status(core, &crl);
	if (!crl.is_on) {
		return;
	}
	kt_json_open_object(w, "crl");
	kt_json_put_bool(w, "ok", !crl.has_failed);
	kt_json_put_u64(w, "number", crl.head.number);
	kt_json_put_number(w, "entries", (int64_t)crl.head.entry_count);
	kt_json_put_number(w, "leftOut", (int64_t)crl.left_out);
	kt_control_put_time(w, "thisUpdate", crl.head.this_update_s * 1000000);
	kt_control_put_time(w, "nextUpdate", crl.head.next_update_s * 1000000);
	kt_json_close_object(w);
}

static void put_refusals(struct kt_json_writer *w, const char *name,
			 const uint64_t counts[static KT_REASON_COUNT])
{
	kt_json_open_object(w, name);
	for (unsigned i = 0; i < KT_REASON_COUNT; i++) {
		if (counts[i] > 0) {
			kt_json_put_u64(w, kt_reason_name((enum kt_reason)i), counts[i]);
		}
	}
	kt_json_close_object(w);
}

void kt_command_status(struct kt_control *c)
{
	const struct kt_core *core = c->core;
	struct kt_json_writer *w = kt_control_data(c);
	kt_json_put_string(w, "version", KT_VERSION);
	kt_json_put_string(w, "trustDomain", core->config->trust_domain);
	kt_control_put_time(w, "time", core->now.wall_us);
	kt_json_put_u64(w, "seq", kt_registry_seq(core->registry));
	kt_json_put_u64(w, "durableSeq", core->durable_seq);
	kt_json_put_bool(w, "ledgerOk", !core->journal_failed);
	kt_json_put_bool(w, "clockJumped", core->clock_jumped);
	kt_json_put_string(w, "enforce",
			   core->config->enforce == KT_ENFORCE_OBSERVE ? "observe" : "on");
	kt_json_put_bool(w, "reconciling", kt_registry_restore_seq(core->registry) != 0);
	put_counts(w, core);
	put_crl(w, core);
	put_refusals(w, "refusals", core->refusals);
	put_refusals(w, "wouldRefuse", core->would_refuse);
}
