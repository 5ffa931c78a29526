/* Claimants that wait, and how often each batch and address may ask. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "enroll.h"

struct waiting {
	struct kt_claim claim;
	uint64_t session;
};

struct tries { /* what may still be tried, and who of the others may be told */
	struct kt_bucket taken;
	struct kt_bucket told;
};

struct lane { /* one batch from one address */
	char name[KT_ACTOR_MAX + KT_ADDRESS_MAX + 2];
	int64_t at_ms;
	struct tries tries;
};

static const struct kt_rate lane_rate = {.per_1000s = 1000, .burst = KT_LANE_BURST};

struct kt_claims {
	struct waiting waiting[KT_CLAIMS_MAX]; /* in order of first arrival */
	size_t count;
	struct lane lane[KT_LANES_MAX];
	size_t lanes;
	struct tries all[2]; /* of claimants without and with a certificate */
};

enum kt_err kt_claims_new(struct kt_claims **out)
{
	*out = calloc(1, sizeof(**out));
	return *out == NULL ? KT_ERR_NOMEM : KT_ERR_OK;
}

void kt_claims_free(struct kt_claims *claims)
{
	free(claims);
}

/* The one that was silent for longest makes room: by then it has its full burst back. */
static struct lane *find_lane(struct kt_claims *claims, const char *name, int64_t now_ms)
{
	struct lane *oldest = &claims->lane[0];

	for (size_t i = 0; i < claims->lanes; i++) {
		struct lane *lane = &claims->lane[i];

		if (strcmp(lane->name, name) == 0)
			return lane;
		if (lane->at_ms < oldest->at_ms)
			oldest = lane;
	}
	if (claims->lanes < KT_LANES_MAX)
		oldest = &claims->lane[claims->lanes++];
	memset(oldest, 0, sizeof(*oldest));
	(void)snprintf(oldest->name, sizeof(oldest->name), "%s", name);
	oldest->at_ms = now_ms;
	return oldest;
}

/* Takes one of both, or of neither: a lane pays for what it gets alone. */
static bool take_both(struct kt_bucket *lane, struct kt_bucket *all, struct kt_rate all_rate,
		      int64_t now_ms)
{
	return kt_bucket_has(all, all_rate, now_ms) && kt_bucket_take(lane, lane_rate, now_ms) &&
	       kt_bucket_take(all, all_rate, now_ms);
}

enum kt_try kt_claims_try(struct kt_claims *claims, const struct kt_session *session, unsigned rate,
			  int64_t now_ms)
{
	const struct kt_rate all_rate = {.per_1000s = rate * 1000, .burst = rate};
	const bool has_batch = strncmp(session->actor, "claim:", 6) == 0;
	struct tries *all = &claims->all[has_batch ? 1 : 0];
	char name[KT_ACTOR_MAX + KT_ADDRESS_MAX + 2];
	struct lane *lane;

	(void)snprintf(name, sizeof(name), "%s %s", session->actor, session->address);
	lane = find_lane(claims, name, now_ms);
	lane->at_ms = now_ms;
	if (take_both(&lane->tries.taken, &all->taken, all_rate, now_ms))
		return KT_TRY_TAKEN;
	if (take_both(&lane->tries.told, &all->told, all_rate, now_ms))
		return KT_TRY_TOLD;
	return KT_TRY_DROPPED;
}

static void drop_at(struct kt_claims *claims, size_t index)
{
	claims->count--;
	memmove(&claims->waiting[index], &claims->waiting[index + 1],
		(claims->count - index) * sizeof(claims->waiting[0]));
}

static bool find(const struct kt_claims *claims, const struct kt_key_id *key_id, size_t *index)
{
	for (*index = 0; *index < claims->count; (*index)++) {
		if (kt_key_id_eq(&claims->waiting[*index].claim.key_id, key_id))
			return true;
	}
	return false;
}

static size_t oldest_silent(const struct kt_claims *claims)
{
	size_t oldest = 0;

	for (size_t i = 1; i < claims->count; i++) {
		if (claims->waiting[i].claim.last_us < claims->waiting[oldest].claim.last_us)
			oldest = i;
	}
	return oldest;
}

bool kt_claims_wait(struct kt_claims *claims, const struct kt_claim *claim, uint64_t session)
{
	struct waiting *waiting;
	size_t index;

	if (find(claims, &claim->key_id, &index)) {
		waiting = &claims->waiting[index];
		waiting->session = session;
		waiting->claim.last_us = claim->last_us;
		waiting->claim.device = claim->device;
		memcpy(waiting->claim.address, claim->address, sizeof(claim->address));
		if (waiting->claim.tries < UINT32_MAX)
			waiting->claim.tries++;
		return false;
	}
	if (claims->count == KT_CLAIMS_MAX)
		drop_at(claims, oldest_silent(claims));
	waiting = &claims->waiting[claims->count++];
	waiting->claim = *claim;
	waiting->claim.tries = 1;
	waiting->session = session;
	return true;
}

bool kt_claims_take(struct kt_claims *claims, const struct kt_key_id *key_id, uint64_t *session)
{
	size_t index;

	*session = 0;
	if (!find(claims, key_id, &index))
		return false;
	*session = claims->waiting[index].session;
	drop_at(claims, index);
	return true;
}

bool kt_enroll_claim_at(const struct kt_core *core, size_t index, struct kt_claim *out)
{
	if (index >= core->claims->count)
		return false;
	*out = core->claims->waiting[index].claim;
	return true;
}
