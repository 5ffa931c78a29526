#include "campaigns.h"

#include <stdlib.h>
#include <string.h>

#include "registry_internal.h"

enum { CHUNK = 1024 /* members */ };

const char *kt_campaign_state_name(enum kt_campaign_state state)
{
	static const char *const names[] = {"gathering", "running", "paused", "aborted", "ended"};

	return (unsigned)state <= KT_CAMPAIGN_ENDED ? names[state] : "?";
}

/* --- who is known ----------------------------------------------------------------------------- */

struct kt_campaign *kt_registry_campaign(const struct kt_registry *registry, size_t index)
{
	return index < registry->campaign_count ? registry->campaigns[index] : NULL;
}

struct kt_campaign *kt_registry_find_campaign(const struct kt_registry *registry, const char *name)
{
	for (size_t i = 0; i < registry->campaign_count; i++) {
		if (strcmp(registry->campaigns[i]->name.s, name) == 0)
			return registry->campaigns[i];
	}
	return NULL;
}

uint32_t kt_device_row(const struct kt_device *device)
{
	return ((const struct kt_device_row *)(const void *)device)->row; /* d is its first */
}

struct kt_member *kt_campaign_member(const struct kt_campaign *campaign, size_t index)
{
	return &campaign->chunks[index / CHUNK][index % CHUNK];
}

/* Where the row stands, or would. */
static size_t place_of(const struct kt_campaign *campaign, uint32_t row)
{
	size_t low = 0;
	size_t high = campaign->member_count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (kt_campaign_member(campaign, middle)->device < row)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct kt_member *kt_campaign_find(const struct kt_campaign *campaign,
				   const struct kt_device *device)
{
	const uint32_t row = kt_device_row(device);
	const size_t at = place_of(campaign, row);

	return at < campaign->member_count && kt_campaign_member(campaign, at)->device == row
		       ? kt_campaign_member(campaign, at)
		       : NULL;
}

const struct kt_device *kt_member_device(const struct kt_registry *registry,
					 const struct kt_member *member)
{
	const struct kt_device_row *row = kt_slab_at(&registry->devices, member->device);

	return &row->d;
}

static bool is_final(const struct kt_member *member)
{
	return member->status >= KT_MEMBER_DONE;
}

static bool is_rotation(const struct kt_campaign *campaign)
{
	return campaign->plan.action == KT_CAMPAIGN_ROTATE;
}

/* --- the check -------------------------------------------------------------------------------- */

static bool check_begin(const struct kt_registry *r, const struct kt_record *rec)
{
	size_t running = 0;

	for (size_t i = 0; i < r->campaign_count; i++)
		running += r->campaigns[i]->state != KT_CAMPAIGN_ENDED ? 1 : 0;
	return running < KT_CAMPAIGNS_RUNNING_MAX &&
	       kt_registry_find_campaign(r, rec->campaign.s) == NULL;
}

/* The next of the ids in @rest; NULL: there is none, or no such device. */
static const struct kt_device *next_device(const struct kt_registry *r, const char **rest)
{
	const size_t len = strcspn(*rest, " ");
	struct kt_device_id id = {""};

	if (len == 0 || len >= sizeof(id.s))
		return NULL;
	memcpy(id.s, *rest, len);
	*rest += len + ((*rest)[len] == ' ' ? 1 : 0);
	return kt_registry_find_device(r, id.s);
}

/* They are known, and new to it, and in their order, so that none comes twice. */
static bool check_add(const struct kt_registry *r, const struct kt_record *rec,
		      const struct kt_campaign *campaign)
{
	const char *rest = rec->text;
	int64_t last = -1;

	if (campaign->member_count > 0)
		last = kt_campaign_member(campaign, campaign->member_count - 1)->device;
	while (*rest != '\0') {
		const struct kt_device *device = next_device(r, &rest);

		if (device == NULL || (int64_t)kt_device_row(device) <= last)
			return false;
		last = kt_device_row(device);
	}
	return true;
}

/* The challenge of one that was left behind by an abort may still have been answered. */
static bool check_device(const struct kt_campaign *campaign, const struct kt_device *device)
{
	const struct kt_member *member = device != NULL ? kt_campaign_find(campaign, device) : NULL;

	if (member == NULL || campaign->state == KT_CAMPAIGN_ENDED)
		return false;
	return !is_final(member) || (!is_rotation(campaign) && member->status == KT_MEMBER_LEFT);
}

static bool check_order(const struct kt_campaign *campaign, const struct kt_device *device)
{
	const struct kt_member *member = device != NULL ? kt_campaign_find(campaign, device) : NULL;

	return member != NULL && !is_final(member) && is_rotation(campaign) &&
	       campaign->state == KT_CAMPAIGN_RUNNING;
}

bool kt_campaigns_check(const struct kt_registry *registry, const struct kt_record *record,
			const struct kt_device *device)
{
	const struct kt_campaign *campaign =
		kt_registry_find_campaign(registry, record->campaign.s);

	if (record->kind == KT_RECORD_CAMPAIGN_BEGIN)
		return check_begin(registry, record);
	if (campaign == NULL)
		return false;
	if (record->kind == KT_RECORD_OP_OPEN)
		return check_order(campaign, device);
	if (record->kind == KT_RECORD_CAMPAIGN_DEVICE)
		return check_device(campaign, device);
	switch (campaign->state) {
	case KT_CAMPAIGN_GATHERING:
		if (record->kind == KT_RECORD_CAMPAIGN_ADD)
			return check_add(registry, record, campaign);
		return record->kind == KT_RECORD_CAMPAIGN_ABORT ||
		       (record->kind == KT_RECORD_CAMPAIGN_START && campaign->member_count > 0);
	case KT_CAMPAIGN_RUNNING:
		return record->kind == KT_RECORD_CAMPAIGN_PAUSE ||
		       record->kind == KT_RECORD_CAMPAIGN_ABORT ||
		       (campaign->count[KT_MEMBER_ORDERED] == 0 &&
			(record->kind == KT_RECORD_CAMPAIGN_WAVE ||
			 record->kind == KT_RECORD_CAMPAIGN_END));
	case KT_CAMPAIGN_PAUSED:
		return record->kind == KT_RECORD_CAMPAIGN_RESUME ||
		       record->kind == KT_RECORD_CAMPAIGN_ABORT;
	case KT_CAMPAIGN_ABORTED:
		return record->kind == KT_RECORD_CAMPAIGN_END &&
		       campaign->count[KT_MEMBER_ORDERED] == 0;
	case KT_CAMPAIGN_ENDED:
		break;
	}
	return false;
}

/* --- room ------------------------------------------------------------------------------------- */

static void free_campaign(struct kt_campaign *campaign)
{
	if (campaign == NULL)
		return;
	free(campaign->select);
	for (size_t i = 0; i < campaign->chunk_count; i++)
		free(campaign->chunks[i]);
	free((void *)campaign->chunks);
	free(campaign);
}

static enum kt_err reserve_campaign(struct kt_registry *r, const struct kt_record *rec)
{
	struct kt_campaign *fresh = calloc(1, sizeof(*fresh));

	free_campaign(r->campaign_reserved);
	r->campaign_reserved = fresh;
	if (fresh == NULL)
		return KT_ERR_NOMEM;
	fresh->select = strdup(rec->text);
	return fresh->select != NULL ? KT_ERR_OK : KT_ERR_NOMEM;
}

/* In chunks: a hundred thousand are never moved, which would hold the broker's loop. */
static enum kt_err add_chunk(struct kt_campaign *campaign)
{
	struct kt_member **grown = realloc((void *)campaign->chunks,
					   (campaign->chunk_count + 1) * sizeof(*campaign->chunks));

	if (grown == NULL)
		return KT_ERR_NOMEM;
	campaign->chunks = grown;
	grown[campaign->chunk_count] = calloc(CHUNK, sizeof(struct kt_member));
	if (grown[campaign->chunk_count] == NULL)
		return KT_ERR_NOMEM;
	campaign->chunk_count++;
	return KT_ERR_OK;
}

static enum kt_err reserve_members(struct kt_campaign *campaign)
{
	enum kt_err err = KT_ERR_OK;

	if (campaign == NULL)
		return KT_ERR_OK; /* never: the check has found it */
	while (err == KT_ERR_OK &&
	       campaign->chunk_count * CHUNK < campaign->member_count + KT_RECORD_DEVICES_MAX)
		err = add_chunk(campaign);
	return err;
}

enum kt_err kt_campaigns_reserve(struct kt_registry *registry, const struct kt_record *record)
{
	switch ((int)record->kind) {
	case KT_RECORD_CAMPAIGN_BEGIN:
		return reserve_campaign(registry, record);
	case KT_RECORD_CAMPAIGN_ADD:
		return reserve_members(kt_registry_find_campaign(registry, record->campaign.s));
	default:
		return KT_ERR_OK;
	}
}

void kt_campaigns_clear(struct kt_registry *registry)
{
	for (size_t i = 0; i < registry->campaign_count; i++)
		free_campaign(registry->campaigns[i]);
	free_campaign(registry->campaign_reserved);
	registry->campaign_count = 0;
	registry->campaign_reserved = NULL;
}

/* --- the fold --------------------------------------------------------------------------------- */

static void set_status(struct kt_campaign *campaign, struct kt_member *member,
		       enum kt_member_status status, enum kt_reason reason)
{
	const bool was_ordered = member->status == KT_MEMBER_ORDERED;

	campaign->count[member->status]--;
	campaign->count[status]++;
	member->status = (uint8_t)status;
	member->reason = (uint16_t)reason;
	member->is_again = false;
	member->due_ms = 0;
	/* no record tells of an order to answer a challenge, but of what became of it */
	if (is_final(member) &&
	    (was_ordered || (!is_rotation(campaign) && status <= KT_MEMBER_SILENT)))
		campaign->wave_done++;
}

/* Its turn comes again, unless nobody's does. */
static void take_back(struct kt_campaign *campaign, struct kt_member *member)
{
	set_status(campaign, member,
		   campaign->state == KT_CAMPAIGN_ABORTED ? KT_MEMBER_LEFT : KT_MEMBER_WAITING,
		   KT_REASON_NONE);
}

void kt_member_note_order(struct kt_campaign *campaign, struct kt_member *member, bool is_ordered)
{
	if (!is_ordered) {
		take_back(campaign, member);
		return;
	}
	if (member->tries < UINT8_MAX)
		member->tries++;
	set_status(campaign, member, KT_MEMBER_ORDERED, KT_REASON_NONE);
}

/* Those whose turn never comes. */
static void end_waiting(struct kt_campaign *campaign, const struct kt_record *rec,
			enum kt_member_status status)
{
	for (size_t i = 0; i < campaign->member_count; i++) {
		struct kt_member *member = kt_campaign_member(campaign, i);

		if (member->status != KT_MEMBER_WAITING)
			continue;
		set_status(campaign, member, status, KT_REASON_NONE);
		member->since_us = rec->time_us;
	}
}

/* The oldest one that has ended, if there is no room. */
static void make_room(struct kt_registry *r)
{
	size_t i = 0;

	if (r->campaign_count < KT_CAMPAIGNS_MAX)
		return;
	while (r->campaigns[i]->state != KT_CAMPAIGN_ENDED)
		i++; /* never to the end: the check lets fewer run than are known */
	free_campaign(r->campaigns[i]);
	memmove(&r->campaigns[i], &r->campaigns[i + 1],
		(r->campaign_count - i - 1) * sizeof(struct kt_campaign *));
	r->campaign_count--;
}

static void apply_begin(struct kt_registry *r, const struct kt_record *rec)
{
	struct kt_campaign *campaign = r->campaign_reserved;

	make_room(r);
	campaign->name = rec->campaign;
	campaign->plan = rec->plan;
	campaign->began_us = rec->time_us;
	memcpy(campaign->by, rec->actor, sizeof(campaign->by));
	memcpy(campaign->note, rec->note, sizeof(campaign->note));
	r->campaigns[r->campaign_count++] = campaign;
	r->campaign_reserved = NULL; /* moved */
}

static void apply_add(struct kt_registry *r, const struct kt_record *rec,
		      struct kt_campaign *campaign)
{
	const char *rest = rec->text;

	while (*rest != '\0') {
		const struct kt_device *device = next_device(r, &rest);

		if (device == NULL)
			return; /* never: the check has found it */
		*kt_campaign_member(campaign, campaign->member_count++) = (struct kt_member){
			.device = kt_device_row(device), .since_us = rec->time_us};
		campaign->count[KT_MEMBER_WAITING]++;
	}
}

static void apply_end(struct kt_campaign *campaign, const struct kt_record *rec)
{
	end_waiting(campaign, rec, KT_MEMBER_MISSED);
	campaign->state = KT_CAMPAIGN_ENDED;
	campaign->ended_us = rec->time_us;
}

static void apply_to_campaign(struct kt_registry *r, const struct kt_record *rec,
			      struct kt_campaign *campaign)
{
	switch ((int)rec->kind) {
	case KT_RECORD_CAMPAIGN_ADD:
		apply_add(r, rec, campaign);
		break;
	case KT_RECORD_CAMPAIGN_START:
		campaign->state = KT_CAMPAIGN_RUNNING;
		break;
	case KT_RECORD_CAMPAIGN_WAVE:
		campaign->wave++;
		campaign->wave_done = 0;
		break;
	case KT_RECORD_CAMPAIGN_PAUSE:
		campaign->state = KT_CAMPAIGN_PAUSED;
		memcpy(campaign->why, rec->note, sizeof(campaign->why));
		break;
	case KT_RECORD_CAMPAIGN_RESUME:
		campaign->state = KT_CAMPAIGN_RUNNING;
		campaign->why[0] = '\0';
		break;
	case KT_RECORD_CAMPAIGN_ABORT:
		campaign->state = KT_CAMPAIGN_ABORTED;
		campaign->is_aborted = true;
		memcpy(campaign->why, rec->note, sizeof(campaign->why));
		end_waiting(campaign, rec, KT_MEMBER_LEFT);
		break;
	case KT_RECORD_CAMPAIGN_END:
		apply_end(campaign, rec);
		break;
	default:
		break;
	}
}

static void apply_order(struct kt_campaign *campaign, struct kt_member *member,
			const struct kt_record *rec)
{
	kt_member_note_order(campaign, member, true);
	member->op = rec->op;
	member->since_us = rec->time_us;
}

/* A rotation of the device, by whatever order, has moved on. */
static void note_rotation(struct kt_campaign *campaign, struct kt_member *member,
			  const struct kt_record *rec)
{
	const bool is_ordered = member->status == KT_MEMBER_ORDERED;
	const bool is_of_it = is_ordered && member->op == rec->op;

	switch ((int)rec->kind) {
	case KT_RECORD_OP_OPEN: /* another order took the place of ours: its end is ours, too */
	case KT_RECORD_ISSUE:
		if (is_ordered)
			member->op = rec->op;
		return;
	case KT_RECORD_COMMIT:
		member->op = rec->op;
		set_status(campaign, member, KT_MEMBER_DONE, KT_REASON_NONE);
		break;
	case KT_RECORD_FAILED:
		if (is_of_it)
			member->reason = (uint16_t)rec->reason;
		return;
	case KT_RECORD_OP_CLOSE:
		if (!is_of_it)
			return;
		if (strcmp(rec->actor, "keyturn") == 0) { /* its time was over */
			member->reason = KT_REASON_OP_CLOSED;
			return;
		}
		set_status(campaign, member, KT_MEMBER_SKIPPED, KT_REASON_OP_CLOSED);
		break;
	case KT_RECORD_FREEZE:
		if (!is_ordered)
			return;
		set_status(campaign, member, KT_MEMBER_FAILED, KT_REASON_KEY_SECOND);
		break;
	case KT_RECORD_OP_RAISE:
	case KT_RECORD_ADOPT:
		if (!is_ordered)
			return;
		take_back(campaign, member);
		break;
	default:
		return;
	}
	member->since_us = rec->time_us;
}

static void note_device(struct kt_campaign *campaign, struct kt_member *member,
			const struct kt_record *rec)
{
	if (is_final(member))
		return;
	if (rec->kind == KT_RECORD_REVOKE || rec->kind == KT_RECORD_DELETE) {
		set_status(campaign, member, KT_MEMBER_SKIPPED,
			   rec->kind == KT_RECORD_REVOKE ? KT_REASON_REVOKED : KT_REASON_DELETED);
		member->since_us = rec->time_us;
	} else if (rec->kind == KT_RECORD_OP_OPEN &&
		   strcmp(rec->campaign.s, campaign->name.s) == 0) {
		apply_order(campaign, member, rec);
	} else if (is_rotation(campaign)) {
		note_rotation(campaign, member, rec);
	}
}

/* What was under way was closed with the ledger that is lost. */
static void apply_restore(struct kt_campaign *campaign, const struct kt_record *rec)
{
	campaign->is_aborted = true;
	memcpy(campaign->why, "an older ledger was accepted",
	       sizeof("an older ledger was accepted"));
	for (size_t i = 0; i < campaign->member_count; i++) {
		struct kt_member *member = kt_campaign_member(campaign, i);

		if (member->status == KT_MEMBER_ORDERED)
			set_status(campaign, member, KT_MEMBER_WAITING, KT_REASON_NONE);
	}
	end_waiting(campaign, rec, KT_MEMBER_LEFT);
	apply_end(campaign, rec);
}

static void apply_device(struct kt_campaign *campaign, const struct kt_record *rec,
			 const struct kt_device *device)
{
	struct kt_member *member = kt_campaign_find(campaign, device);

	set_status(campaign, member, rec->result, rec->reason);
	member->since_us = rec->time_us;
}

void kt_campaigns_apply(struct kt_registry *registry, const struct kt_record *record,
			const struct kt_device *device)
{
	struct kt_campaign *named;

	if (record->kind == KT_RECORD_CAMPAIGN_BEGIN) {
		apply_begin(registry, record);
		return;
	}
	if (registry->campaign_count == 0)
		return;
	named = kt_registry_find_campaign(registry, record->campaign.s);
	if (record->kind == KT_RECORD_CAMPAIGN_DEVICE) {
		apply_device(named, record, kt_registry_find_device(registry, record->device.s));
		return;
	}
	if (named != NULL && record->kind != KT_RECORD_OP_OPEN)
		apply_to_campaign(registry, record, named);
	for (size_t i = 0; i < registry->campaign_count; i++) {
		struct kt_campaign *campaign = registry->campaigns[i];
		struct kt_member *member;

		if (campaign->state == KT_CAMPAIGN_ENDED)
			continue;
		if (record->kind == KT_RECORD_RESTORE)
			apply_restore(campaign, record);
		member = device != NULL ? kt_campaign_find(campaign, device) : NULL;
		if (member != NULL)
			note_device(campaign, member, record);
	}
}
