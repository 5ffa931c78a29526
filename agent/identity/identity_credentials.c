#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "encoding.h"
#include "identity_internal.h"
#include "rollover.h"
#include "topic.h"

/*
 * Is @text a *leaf and its chain, for @key, with the private key @pem behind it? KT_ERR_INVALID:
 * no; KT_ERR_NOMEM.
 */
static enum kt_err check_identity(struct kt_bytes text, const struct kt_public_key *key,
				  struct kt_bytes pem, struct kt_cert *leaf)
{
	struct kt_bytes certs[KT_CHAIN_MAX + 1];
	uint8_t *storage = NULL;
	size_t count = 0;
	enum kt_err err = KT_ERR_INVALID;

	if (pem.len > text.len || !kt_ct_equal(text.p + text.len - pem.len, pem.p, pem.len))
		return err;
	err = kt_pem_certs(text.p, text.len, certs, KT_CHAIN_MAX + 1, &count, &storage);
	if (err == KT_ERR_OK)
		err = kt_cert_decode(certs[0].p, certs[0].len, leaf);
	free(storage);
	if (err != KT_ERR_OK)
		return err == KT_ERR_NOMEM ? err : KT_ERR_INVALID;
	return leaf->key.alg == key->alg && leaf->key.spki_len == key->spki_len &&
			       memcmp(leaf->key.spki, key->spki, key->spki_len) == 0
		       ? KT_ERR_OK
		       : KT_ERR_INVALID;
}

enum usable {
	USABLE_NOT,	/* missing or damaged for good */
	USABLE_UNKNOWN, /* could not be read now */
	USABLE_KEY,
	USABLE_OTHER,	  /* its key, and a whole certificate that the record does not name */
	USABLE_CREDENTIAL /* as the record says */
};

bool kt_identity_is_gone(enum kt_err err)
{
	return err == KT_ERR_NOT_FOUND || err == KT_ERR_INVALID || err == KT_ERR_UNSUPPORTED ||
	       err == KT_ERR_TOO_LONG;
}

/* What of @slot can still be used, by what its files hold; UNKNOWN leaves *@why_not. *leaf: of a
 * whole certificate. */
static enum usable what_is_usable(struct kt_identity_store *store, const struct kt_slot *slot,
				  struct kt_cert *leaf, enum kt_err *why_not)
{
	struct kt_key_store *keys = store->config.keys;
	struct kt_identity_path path;
	struct kt_secret *text = NULL;
	struct kt_secret *pem = NULL;
	struct kt_public_key key;
	enum usable usable = USABLE_NOT;
	enum kt_err err = KT_ERR_NOT_FOUND;

	if (slot->dir != 0)
		err = kt_identity_dir(store, slot->dir, "", &path);
	if (err == KT_ERR_OK)
		err = keys->public_key(keys->ctx, path.s, &key);
	if (err == KT_ERR_OK)
		err = keys->pem(keys->ctx, path.s, &pem);
	if (err != KT_ERR_OK)
		goto out;
	usable = USABLE_KEY;
	err = kt_identity_dir(store, slot->dir, "/identity.pem", &path);
	if (err == KT_ERR_OK)
		err = kt_file_read_private(store->config.fs, path.s, KT_IDENTITY_PEM_MAX, S_IRGRP,
					   &text);
	if (err == KT_ERR_OK)
		err = check_identity(kt_secret_view(text), &key, kt_secret_view(pem), leaf);
	if (err == KT_ERR_OK)
		usable = kt_fingerprint_eq(&leaf->fingerprint, &slot->fp) ? USABLE_CREDENTIAL
									  : USABLE_OTHER;
out:
	if (err != KT_ERR_OK && !kt_identity_is_gone(err)) {
		usable = USABLE_UNKNOWN;
		*why_not = err;
	}
	kt_secret_free(text);
	kt_secret_free(pem);
	return usable;
}

static bool is_of_device(const struct kt_cert *leaf, const struct kt_agent_record *record)
{
	const char *name = NULL;

	return kt_uri_decode(leaf->uri, record->trust_domain, &name) == KT_URI_DEVICE &&
	       strcmp(name, record->device.s) == 0;
}

/*
 * As what_is_usable(), for what is decided once and for good: a read that failed is repeated, and
 * for want of memory (KT_ERR_NOMEM) there is no start.
 */
static enum kt_err look_well(struct kt_identity_store *store, const struct kt_slot *slot,
			     struct kt_cert *leaf, enum usable *usable)
{
	enum kt_err unknown = KT_ERR_OK;

	*usable = USABLE_UNKNOWN;
	for (int i = 0; i < 2 && *usable == USABLE_UNKNOWN; i++)
		*usable = what_is_usable(store, slot, leaf, &unknown);
	return *usable == USABLE_UNKNOWN && unknown == KT_ERR_NOMEM ? unknown : KT_ERR_OK;
}

/*
 * The copy that is lost may have said CERT, and the server may have committed since: then the old
 * credential, which is all that phase KEY tries, is refused for good. A certificate for the key
 * that the record names was verified before it was written, and CERT tries both: so it is tried.
 * The copy is written anew and this is the only time to see it.
 */
static enum kt_err adopt_certificate(struct kt_identity_store *store, struct kt_agent_record *next)
{
	enum usable usable;
	struct kt_cert leaf;
	enum kt_err err;

	if (!store->is_alone || next->phase != KT_AGENT_KEY || next->pending.op == 0)
		return KT_ERR_OK;
	err = look_well(store, &next->pending, &leaf, &usable);
	if (usable == USABLE_OTHER && is_of_device(&leaf, next) &&
	    kt_cert_generation(&leaf, &next->pending.generation)) {
		next->pending.fp = leaf.fingerprint;
		next->phase = KT_AGENT_CERT;
	}
	return err;
}

/*
 * Another ticket's enrolment had taken this one's place, as only the lost copy said, and its key is
 * deleted: what had been put aside for it takes its place again.
 */
static enum kt_err end_lost_claim(struct kt_identity_store *store, struct kt_agent_record *next)
{
	enum usable usable;
	struct kt_cert leaf;
	enum kt_err err;

	if (next->phase != KT_AGENT_KEY || next->pending.op != 0)
		return KT_ERR_OK;
	err = look_well(store, &next->pending, &leaf, &usable);
	if (usable == USABLE_NOT)
		kt_rollover_end_claim(next);
	return err;
}

/* Of three credentials the one that an enrolment had put aside is all that can be used. */
static bool use_aside(struct kt_identity_store *store, struct kt_agent_record *next,
		      enum kt_err *why_not)
{
	struct kt_cert leaf;

	if (next->retired.dir == 0 || next->step != KT_STEP_NONE ||
	    what_is_usable(store, &next->retired, &leaf, why_not) != USABLE_CREDENTIAL)
		return false;
	next->active = next->retired;
	next->retired = (struct kt_slot){0};
	next->step = KT_STEP_LINK; /* `current` leads to what is damaged */
	next->step_op = next->active.op;
	return true;
}

static void say_nothing_is_usable(const struct kt_identity_store *store, enum kt_err err,
				  char why[static KT_IDENTITY_WHY])
{
	if (err != KT_ERR_CORRUPT)
		kt_identity_say_err(why, "read the credentials in", store->state_dir, err);
	else
		kt_identity_say(why,
				"no credential in %s/identity can be used: enrol again with a "
				"ticket",
				store->state_dir);
}

enum kt_err kt_identity_check_credentials(struct kt_identity_store *store,
					  char why[static KT_IDENTITY_WHY])
{
	struct kt_agent_record next = store->record;
	struct kt_cert leaf;
	enum kt_err err = KT_ERR_CORRUPT;
	enum usable active = what_is_usable(store, &next.active, &leaf, &err);
	enum usable pending = USABLE_NOT;
	bool is_changed;

	if (adopt_certificate(store, &next) != KT_ERR_OK ||
	    end_lost_claim(store, &next) != KT_ERR_OK) {
		kt_identity_say_err(why, "read the credentials in", store->state_dir, KT_ERR_NOMEM);
		return KT_ERR_NOMEM;
	}
	is_changed =
		next.phase != store->record.phase || next.pending.dir != store->record.pending.dir;
	if (next.phase == KT_AGENT_NEW || next.phase == KT_AGENT_CERT)
		pending = what_is_usable(store, &next.pending, &leaf, &err);
	if (pending == USABLE_OTHER)
		pending = USABLE_KEY;
	if (active == USABLE_CREDENTIAL && pending == USABLE_KEY) {
		next.phase = KT_AGENT_KEY;
		memset(&next.pending.fp, 0, sizeof(next.pending.fp));
	} else if (active == USABLE_CREDENTIAL || pending == USABLE_CREDENTIAL) {
		if (!is_changed)
			return KT_ERR_OK;
	} else if (next.phase == KT_AGENT_NEW && pending != USABLE_UNKNOWN) {
		if (next.pending.dir == 0 || pending == USABLE_KEY)
			return KT_ERR_OK;
		next.pending = (struct kt_slot){0}; /* nothing hangs on it: a new one is made */
	} else if (!use_aside(store, &next, &err)) {
		say_nothing_is_usable(store, err, why);
		return err;
	}
	err = kt_identity_save(store, &next);
	if (err != KT_ERR_OK)
		kt_identity_say_err(why, "repair the record in", store->state_dir, KT_ERR_SYS);
	/* an adoption has no second time, and a claim without its key must not go on */
	return is_changed ? err : KT_ERR_OK;
}
