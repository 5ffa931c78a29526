#include "played.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "campaign.h"
#include "fleet.h"

static struct played *stage; /* of the test in hand: the actions have no other way to it */

static void __attribute__((format(printf, 1, 2))) note(const char *format, ...)
{
	size_t len = strlen(stage->calls);
	va_list args;
	va_start(args, format);
	(void)vsnprintf(stage->calls + len, sizeof(stage->calls) - len, format, args);
	va_end(args);
}

static struct kt_outcome play(void)
{
	stage->actions++;
	return stage->has_second && stage->actions > 1 ? stage->second : stage->outcome;
}

struct kt_outcome kt_rotation_order(struct kt_core *core, const struct kt_device *device,
				    const char *actor, const char *words)
{
	(void)core;
	note("rotate(%s,%s,%s) ", device->id.s, actor, words);
	return play();
}

struct kt_outcome kt_rotation_cancel(struct kt_core *core, const struct kt_device *device,
				     const char *actor)
{
	(void)core;
	note("cancel(%s,%s) ", device->id.s, actor);
	return play();
}

struct kt_outcome kt_device_unfreeze(struct kt_core *core, const struct kt_device *device,
				     const char *actor)
{
	(void)core;
	note("unfreeze(%s,%s) ", device->id.s, actor);
	return play();
}

struct kt_outcome kt_device_quarantine(struct kt_core *core, const struct kt_device *device,
				       const char *actor, const char *words)
{
	(void)core;
	note("quarantine(%s,%s,%s) ", device->id.s, actor, words);
	return play();
}

struct kt_outcome kt_device_release(struct kt_core *core, const struct kt_device *device,
				    const char *actor)
{
	(void)core;
	note("release(%s,%s) ", device->id.s, actor);
	return play();
}

struct kt_outcome kt_device_revoke(struct kt_core *core, const struct kt_device *device,
				   const char *actor, const struct kt_revoke_order *order)
{
	(void)core;
	note("revoke(%s,%s,%d,%d,%s) ", device->id.s, actor, order->emergency, order->wipe,
	     order->note);
	return play();
}

struct kt_outcome kt_device_delete(struct kt_core *core, const struct kt_device *device,
				   const char *actor)
{
	(void)core;
	note("delete(%s,%s) ", device->id.s, actor);
	return play();
}

struct kt_outcome kt_device_create(struct kt_core *core, const char *id, const char *group,
				   const struct kt_key_id *key_id, const char *actor)
{
	(void)core;
	note("create(%s,%s,%02x,%s) ", id, group, key_id != NULL ? key_id->b[31] : 0, actor);
	return play();
}

struct kt_outcome kt_device_set(struct kt_core *core, const struct kt_device *device,
				const char *group, const char *labels, const char *actor)
{
	(void)core;
	note("set(%s,%s,%s,%s) ", device->id.s, group, labels, actor);
	return play();
}

struct kt_outcome kt_device_import(struct kt_core *core, const struct kt_import *import,
				   const char *actor, struct kt_imported *out)
{
	(void)core;
	note("import(%s,%s,%.*s,%d,%s) ", import->device, import->group,
	     (int)import->certificate.len, (const char *)import->certificate.p, import->is_check,
	     actor);
	*out = stage->imported;
	return play();
}

struct kt_outcome kt_clock_confirm(struct kt_core *core, const char *actor)
{
	(void)core;
	note("clock(%s) ", actor);
	return play();
}

struct kt_outcome kt_reconcile_end(struct kt_core *core, const char *actor, const char *words)
{
	(void)core;
	note("reconciled(%s,%s) ", actor, words);
	return play();
}

struct kt_outcome kt_operator_add(struct kt_core *core, const struct kt_new_operator *new_operator,
				  const char *actor, const char *words)
{
	(void)core;
	note("addOperator(%s,%02x,%s,%s,%s) ", new_operator->name.s, new_operator->fp.b[31],
	     kt_role_name(new_operator->role), actor, words);
	return play();
}

struct kt_outcome kt_operator_remove(struct kt_core *core, const char *name,
				     const struct kt_session *asker, const char *words)
{
	(void)core;
	assert_ptr_equal(asker, stage->asker);
	note("removeOperator(%s,%s) ", name, words);
	return play();
}

struct kt_outcome kt_challenge_send(struct kt_core *core, const struct kt_device *device,
				    const char *actor)
{
	(void)core;
	note("challenge(%s,%s) ", device->id.s, actor);
	return play();
}

struct kt_outcome kt_enroll_ticket(struct kt_core *core, struct kt_ticket *ticket,
				   const char *actor)
{
	(void)core;
	note("ticket(%s,%s,%s,%s,%lld,%s) ", ticket->device, ticket->group, ticket->pattern,
	     ticket->broker, (long long)ticket->expires_us, actor);
	(void)snprintf(ticket->trust_domain, sizeof(ticket->trust_domain), FLEET_TD);
	memset(ticket->root_sha256, 0x22, sizeof(ticket->root_sha256));
	memset(ticket->secret, 0x77, sizeof(ticket->secret));
	return play();
}

struct kt_outcome kt_enroll_approve(struct kt_core *core, const char *device_id,
				    const struct kt_key_id *key_id, const char *group,
				    const char *actor)
{
	(void)core;
	note("approve(%s,%02x,%s,%s) ", device_id, key_id->b[31], group, actor);
	return play();
}

struct kt_outcome kt_enroll_deny(struct kt_core *core, const struct kt_key_id *key_id,
				 const char *actor)
{
	(void)core;
	note("deny(%02x,%s) ", key_id->b[31], actor);
	return play();
}

bool kt_enroll_claim_at(const struct kt_core *core, size_t index, struct kt_claim *out)
{
	(void)core;
	memset(out, 0, sizeof(*out));
	if (index >= stage->claims) {
		return false;
	}
	out->key_id.b[0] = (uint8_t)index;
	(void)snprintf(out->batch, sizeof(out->batch), "b1");
	(void)snprintf(out->address, sizeof(out->address), "192.0.2.1");
	out->first_us = INT64_C(1700000000000000);
	out->last_us = INT64_C(1700000001500000);
	out->tries = 3;
	return true;
}

void kt_core_reply(struct kt_core *core, const struct kt_session *session, char *json,
		   uint64_t after_seq)
{
	(void)core;
	assert_ptr_equal(session, stage->asker);
	stage->answers++;
	free(stage->answer);
	stage->answer = json;
	stage->answer_seq = after_seq;
}

static void write_fields(char *out, size_t cap, const struct kt_field *fields, size_t count)
{
	size_t len = strlen(out);
	for (size_t i = 0; i < count; i++) {
		if (fields[i].value != NULL) {
			len += (size_t)snprintf(out + len, cap - len, "%s=%s ", fields[i].key,
						fields[i].value);
		}
	}
}

void kt_core_fact(struct kt_core *core, enum kt_event event, const struct kt_device *device,
		  const struct kt_field *fields, size_t field_count, uint64_t after_seq)
{
	(void)core;
	(void)device;
	(void)after_seq;
	assert_int_equal(event, KT_EVENT_COMMAND_DONE);
	stage->done++;
	stage->done_fields[0] = '\0';
	write_fields(stage->done_fields, sizeof(stage->done_fields), fields, field_count);
}

void kt_core_refused(struct kt_core *core, enum kt_event event, enum kt_reason reason,
		     const struct kt_field *fields, size_t field_count)
{
	(void)core;
	assert_int_equal(event, KT_EVENT_COMMAND_REFUSED);
	stage->refused[stage->refused_count++] = reason;
	stage->refused_fields[0] = '\0';
	write_fields(stage->refused_fields, sizeof(stage->refused_fields), fields, field_count);
}

/* --- fixture --- */

int played_set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	stage = &f->played;
	f->core.config = &f->config;
	f->core.registry = fleet_new();
	assert_int_equal(kt_sessions_new(&f->core.sessions), KT_ERR_OK);
	assert_int_equal(kt_batches_new(&f->core.batches), KT_ERR_OK);
	f->core.now = (struct kt_now){.wall_us = INT64_C(1700000100000000), .mono_ms = 90000};
	f->core.durable_seq = 3;
	(void)fleet_active(f->core.registry, "hub-1", "north", "cert-1");
	(void)fleet_active(f->core.registry, "hub-2", "", "cert-2");
	(void)fleet_active(f->core.registry, "hub-3", "", "cert-3");
	(void)snprintf(f->config.trust_domain, sizeof(f->config.trust_domain), FLEET_TD);
	(void)snprintf(f->config.broker_address, sizeof(f->config.broker_address), "b:8883");
	assert_int_equal(kt_sessions_add(f->core.sessions, 1, "op:x", &f->operator), KT_ERR_OK);
	f->operator->kind = KT_SESSION_OPERATOR;
	f->operator->role = KT_ROLE_ADMIN;
	(void)snprintf(f->operator->actor, sizeof(f->operator->actor), "op:alice");
	f->played.asker = f->operator;
	f->played.outcome.seq = 40;
	*state = f;
	return 0;
}

int played_tear_down(void **state)
{
	struct fixture *f = *state;
	free(f->played.answer);
	kt_batches_free(f->core.batches);
	kt_sessions_free(f->core.sessions);
	kt_registry_free(f->core.registry);
	free(f);
	return 0;
}

void send(struct fixture *f, const char *text)
{
	kt_control_batch(&f->core, f->operator,(struct kt_bytes){.p = (const uint8_t *)text,
								 .len = strlen(text)});
}

const char *ask(struct fixture *f, const char *text)
{
	f->played.calls[0] = '\0';
	f->played.actions = 0;
	f->played.answers = 0;
	f->played.done = 0;
	f->played.refused_count = 0;
	send(f, text);
	while (kt_control_is_busy(&f->core))
		kt_control_tick(&f->core);
	assert_int_equal(f->played.answers, 1);
	return f->played.answer;
}

void add_devices(struct fixture *f, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		char id[32];
		char cert[32];

		(void)snprintf(id, sizeof(id), "x%u", i);
		(void)snprintf(cert, sizeof(cert), "cx%u", i);
		(void)fleet_active(f->core.registry, id, "", cert);
	}
}

const char *ask_one(struct fixture *f, const char *command, const char *members)
{
	char text[4096];
	int n = snprintf(text, sizeof(text), "{\"commands\":[{\"command\":\"%s\"%s%s}]}", command,
			 members[0] != '\0' ? "," : "", members);
	assert_true(n > 0 && n < (int)sizeof(text));
	return ask(f, text);
}

/* --- campaigns: one is known, and its devices are those that were added --- */

struct kt_outcome kt_campaign_begin(struct kt_core *core, const struct kt_new_campaign *fresh,
				    const char *actor)
{
	(void)core;
	note("campaign(%s,%s,%s) ", fresh->name->s, fresh->select, actor);
	return play();
}

struct kt_outcome kt_campaign_add(struct kt_core *core, struct kt_campaign *campaign,
				  const char *devices, const char *actor)
{
	(void)core;
	note("add(%s,%s,%s) ", campaign->name.s, devices, actor);
	return play();
}

struct kt_outcome kt_campaign_start(struct kt_core *core, struct kt_campaign *campaign,
				    const char *actor)
{
	(void)core;
	note("start(%s,%s) ", campaign->name.s, actor);
	return play();
}

struct kt_outcome kt_campaign_pause(struct kt_core *core, struct kt_campaign *campaign,
				    const char *actor, const char *words)
{
	(void)core;
	note("pause(%s,%s,%s) ", campaign->name.s, actor, words);
	return play();
}

struct kt_outcome kt_campaign_resume(struct kt_core *core, struct kt_campaign *campaign,
				     const char *actor, const char *words)
{
	(void)core;
	note("resume(%s,%s,%s) ", campaign->name.s, actor, words);
	return play();
}

struct kt_outcome kt_campaign_abort(struct kt_core *core, struct kt_campaign *campaign,
				    const char *actor, const char *words)
{
	(void)core;
	note("abort(%s,%s,%s) ", campaign->name.s, actor, words);
	return play();
}
