/*
 * A registry that was restored from a backup: hubs that have rotated since show what is missing.
 *
 * Which certificate may be adopted is access.c's rule and the registry's; here it is recorded, its
 * hub gets a rotation, and an operator ends it all.
 */
#include <stdio.h>
#include <string.h>

#include "encoding.h"
#include "rotation.h"

void kt_adoption_take(struct kt_core *core, struct kt_admission *admission)
{
	const struct kt_adoption *adoption = &admission->adoption;
	struct kt_record record;
	struct kt_rotation_words words;
	/* the names of a known one were nobody else's; a fleet that comes back is a walk for each
	 */
	const bool is_known = kt_registry_find_device(core->registry, adoption->device.s) != NULL;
	const struct kt_device *device;
	char actor[KT_ACTOR_MAX + 1];
	enum kt_reason reason;

	memset(&record, 0, sizeof(record));
	record.kind = KT_RECORD_ADOPT;
	record.device = adoption->device;
	record.fp = admission->fp;
	record.key_id = adoption->key_id;
	record.has_key_id = true;
	record.generation = adoption->generation;
	record.not_after_s = admission->not_after_s;
	(void)snprintf(actor, sizeof(actor), "device:%s", adoption->device.s);
	if (kt_core_change(core, &record, actor, &reason) != KT_ERR_OK) {
		admission->reason = reason;
		return;
	}
	device = kt_registry_find_device(core->registry, adoption->device.s);
	if (device == NULL || device->current == NULL)
		return;
	kt_rotation_describe(&words, device->op, device->current, KT_REASON_NONE);
	kt_core_fact(core, KT_EVENT_DEVICE_ADOPTED, device, words.fields, words.count, record.seq);
	if (!is_known)
		kt_core_evict(core, device);
	kt_rotation_retire(core, device, record.seq);
	kt_rotation_end_trials(core, device, record.seq);
}

void kt_adoption_tell_start(struct kt_core *core)
{
	const uint64_t seq = kt_registry_restore_seq(core->registry);
	char text[KT_U64_DIGITS_MAX + 1];
	const struct kt_field fields[] = {{"seq", text}};

	if (seq == 0)
		return;
	kt_u64_encode(seq, text);
	(void)kt_log_event(core->ports.log, KT_EVENT_REGISTRY_RECONCILING, fields, 1);
}

struct kt_outcome kt_reconcile_end(struct kt_core *core, const char *actor, const char *note)
{
	struct kt_outcome outcome = {.reason = KT_REASON_NONE};
	const struct kt_field fields[] = {{"actor", actor}};
	struct kt_record record;

	memset(&record, 0, sizeof(record));
	record.kind = KT_RECORD_RECONCILE_END;
	if (note != NULL)
		(void)snprintf(record.note, sizeof(record.note), "%s", note);
	if (kt_core_change(core, &record, actor, &outcome.reason) != KT_ERR_OK)
		return outcome;
	outcome.seq = record.seq;
	kt_core_fact(core, KT_EVENT_REGISTRY_RECONCILED, NULL, fields, 1, record.seq);
	return outcome;
}
