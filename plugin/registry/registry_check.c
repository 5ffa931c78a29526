#include <string.h>

#include "registry_internal.h"
#include "ticket.h"

/*
 * The fold: what each record requires of the registry, and what it makes of it. Every other record
 * is KT_ERR_STATE and changes nothing. seq is always the next one; "there" = known and no
 * tombstone; "close the op" = phase IDLE, closed_op = op, its pending ABANDONED; "key is free" = no
 * certificate was ever issued for it (I4) and no other device has it registered.
 *
 * record        | requires                                 | effect
 * --------------+------------------------------------------+------------------------------------
 * ledger.begin  | seq 1, once                              | trust domain set
 * device.create | id unknown (ignoring case) or the very   | device NEW; a tombstone's generation
 *               | same tombstone; key, if any, free and    | and op counters go on; key registered
 *               | not denied                               |
 * device.set    | there                                    | group and labels as in the record
 * ticket.create | ticket unknown; a device's ticket: id    | ticket open; the device's older ones
 *               | unknown (ignoring case) or there         | void, its pending enrolment closed
 * approve       | id unknown (ignoring case) or there; key | device made if need be; key registered
 *               | free                                     | in place of an older one, denial ends
 * deny          | -                                        | key denied; its registration dropped,
 *               |                                          | its pending enrolment closed
 * op.open       | ACTIVE, not frozen, not enrolling,       | older op closed; phase OPEN
 *               | op > device.op                           |
 * op.close      | there, phase not IDLE, op = device.op    | op closed
 * issue, for    | no ticket, phase OPEN, op = device.op,   | credential PENDING, phase ISSUED
 *  a rotation   | same alg; generation = last + 1, key     |
 *               | free, fingerprint unknown                |
 * issue, for an | op > device.op; key, fingerprint and     | open op or older pending enrolment
 *  enrolment    | generation as above, key not denied;     | closed; device made if need be (by a
 *               | open ticket that allows the device, or   | ticket); op, nonce taken over;
 *               | the device's registered key              | credential PENDING, phase ISSUED,
 *               |                                          | enrolling; ticket used by this key
 * commit        | ISSUED, op and fp are pending's          | old current SUPERSEDED by op; pending
 *               |                                          | CURRENT, ACTIVE, IDLE; an enrolment's
 *               |                                          | ends a freeze; adopted no more; an
 *               |                                          | enrolment's, reconciling: lost end
 * promoted      | ACTIVE, 0 < op <= last committed         | promoted_op raised
 * failed        | there, 0 < op <= device.op               | reason and op remembered, no more
 * freeze        | ACTIVE, not IDLE, op = device.op, not    | op closed, frozen
 *               | enrolling                                |
 * unfreeze      | there, frozen                            | not frozen
 * quarantine    | there, not quarantined                   | quarantined
 * release       | there, quarantined or adopted            | neither
 * revoke        | there                                    | current, pending REVOKED; op closed;
 *               |                                          | open tickets for it void; unused
 *               |                                          | registered key dropped; REVOKED;
 *               |                                          | reconciling: lost end
 * device.delete | there                                    | as revoke; any registered key dropped,
 *               |                                          | tombstone
 * op.raise      | ACTIVE, not enrolling, op > device.op    | open op closed, op raised
 * clock.confirm | -                                        | registry time = the record's
 * ledger.       | -                                        | every op closed, its pending LOST;
 *  restore      |                                          | every operator removed; reconciling
 *               |                                          | from here on
 * restore.      | reconciling; id unknown (ignoring case)  | device made NEW if need be; op and
 *  device       | or known and IDLE                        | generation raised; frozen if it was
 * restore.      | reconciling, known; SUPERSEDED, REVOKED, | so remembered; a current one that was
 *  credential   | ABANDONED or LOST; new: key free;        | put out leaves the device NEW; both
 *               | known: this device's, of this key, and   | generations raised
 *               | CURRENT or LOST that was put out since   |
 * ticket.void   | reconciling, ticket open                 | used, by nobody
 * credential.   | reconciling; id unknown (ignoring case), | device made if need be; a rotation is
 *  adopt        | or NEW or ACTIVE; generation higher than | closed; old current SUPERSEDED by the
 *               | every proven one; key not denied and     | next op; this one CURRENT, ACTIVE,
 *               | free, fingerprint unknown, or both LOST  | adopted
 * credential.   | not reconciling; id unknown (ignoring    | device made if need be; CURRENT as
 *  import       | case), a tombstone, or NEW, IDLE and     | generation 0, ACTIVE
 *               | without a registered key; key not denied |
 *               | and free, fingerprint unknown, or both   |
 *               | LOST                                     |
 * reconcile.end | reconciling                              | not reconciling
 * operator.add  | name unknown (ignoring case), or the very| there, with this certificate and role
 *               | same, removed                            |
 * operator.     | there                                    | removed; the name stays known
 *  remove       |                                          |
 *
 * An enrolment's pending credential may lie in a box for months: nothing that the old hub does
 * (op.open, op.raise, freeze) may end it. A void ticket is used, by nobody (key id zero). Expiry of
 * a ticket is judged by whoever writes the issue: the fold must not depend on a clock.
 *
 * Lost end: generation and proven generation jump over all that the lost records can have given the
 * device. An operator's word of now is worth more than what its old hub may still show.
 *
 * An import is an operator's word alone. While reconciling, what it names may have been superseded
 * in the lost records: then it is not taken.
 *
 * What a restore brings back takes rights away or gives none: a certificate that was in force in
 * the lost records is LOST until its hub shows it. Then its generation speaks, signed by our CA.
 */

static bool is_there(const struct kt_device *d)
{
	return d != NULL && d->state != KT_DEVICE_DELETED;
}

static bool is_active(const struct kt_device *d)
{
	return d != NULL && d->state == KT_DEVICE_ACTIVE;
}

/* May a device of this id be made: valid, and nobody has it in another case? */
static bool is_id_free(const struct kt_registry *r, const char *id)
{
	return kt_is_device_id(id, strlen(id)) && kt_row_device_nocase(r, id) == NULL;
}

static bool is_key_free(const struct kt_registry *r, const struct kt_key_id *key,
			const struct kt_device *d)
{
	const struct kt_device_row *owner = kt_row_registered(r, key);

	return kt_row_key(r, key) == NULL && (owner == NULL || &owner->d == d);
}

static bool check_begin(const struct kt_registry *r, const struct kt_record *rec,
			const struct kt_device *d)
{
	(void)d;
	return r->seq == 0 && kt_is_trust_domain(rec->trust_domain, strlen(rec->trust_domain));
}

static bool check_create(const struct kt_registry *r, const struct kt_record *rec,
			 const struct kt_device *d)
{
	if (d != NULL ? d->state != KT_DEVICE_DELETED : !is_id_free(r, rec->device.s))
		return false;
	return !rec->has_key_id ||
	       (is_key_free(r, &rec->key_id, d) && !kt_registry_is_key_denied(r, &rec->key_id));
}

static bool check_ticket(const struct kt_registry *r, const struct kt_record *rec,
			 const struct kt_device *d)
{
	if (kt_row_ticket(r, rec->ticket_sha256) != NULL)
		return false;
	if (rec->device.s[0] == '\0')
		return rec->pattern[0] != '\0';
	return rec->pattern[0] == '\0' && (is_there(d) || is_id_free(r, rec->device.s));
}

static bool check_approve(const struct kt_registry *r, const struct kt_record *rec,
			  const struct kt_device *d)
{
	return (is_there(d) || (d == NULL && is_id_free(r, rec->device.s))) &&
	       is_key_free(r, &rec->key_id, d);
}

static bool check_always(const struct kt_registry *r, const struct kt_record *rec,
			 const struct kt_device *d)
{
	(void)r;
	(void)rec;
	(void)d;
	return true;
}

static bool check_op_open(const struct kt_registry *r, const struct kt_record *rec,
			  const struct kt_device *d)
{
	if (rec->campaign.s[0] != '\0' && !kt_campaigns_check(r, rec, d))
		return false;
	return is_active(d) && !d->frozen && !d->enrolling && rec->op > d->op;
}

static bool check_op_close(const struct kt_registry *r, const struct kt_record *rec,
			   const struct kt_device *d)
{
	(void)r;
	return is_there(d) && d->phase != KT_SERVER_IDLE && rec->op == d->op;
}

bool kt_registry_is_rotation(const struct kt_record *record, const struct kt_device *d)
{
	return d != NULL && !record->has_ticket && d->phase == KT_SERVER_OPEN &&
	       record->op == d->op;
}

static bool is_ticket_good(const struct kt_registry *r, const struct kt_record *rec)
{
	const struct kt_ticket_row *row = kt_row_ticket(r, rec->ticket_sha256);

	if (row == NULL || row->t.used)
		return false;
	if (row->t.device.s[0] != '\0')
		return strcmp(row->t.device.s, rec->device.s) == 0;
	return kt_ticket_pattern_matches(row->t.pattern, rec->device.s);
}

static bool check_enrolment(const struct kt_registry *r, const struct kt_record *rec,
			    const struct kt_device *d)
{
	if (kt_registry_is_key_denied(r, &rec->key_id) || rec->op <= (d != NULL ? d->op : 0))
		return false;
	if (rec->has_ticket)
		return is_ticket_good(r, rec);
	return d != NULL && d->has_registered_key && kt_key_id_eq(&d->registered_key, &rec->key_id);
}

static bool check_issue(const struct kt_registry *r, const struct kt_record *rec,
			const struct kt_device *d)
{
	uint64_t generation = d != NULL ? d->generation : 0;

	if (d != NULL ? !is_there(d) : !is_id_free(r, rec->device.s))
		return false;
	if (rec->generation != generation + 1 || rec->der.p == NULL || rec->der.len == 0 ||
	    rec->der.len > KT_CERT_MAX || kt_row_credential(r, &rec->fp) != NULL ||
	    !is_key_free(r, &rec->key_id, d))
		return false;
	return kt_registry_is_rotation(rec, d) ? rec->alg == d->op_alg : check_enrolment(r, rec, d);
}

static bool check_commit(const struct kt_registry *r, const struct kt_record *rec,
			 const struct kt_device *d)
{
	(void)r;
	return is_there(d) && d->phase == KT_SERVER_ISSUED && rec->op == d->op &&
	       kt_fingerprint_eq(&d->pending->fp, &rec->fp);
}

static bool check_promoted(const struct kt_registry *r, const struct kt_record *rec,
			   const struct kt_device *d)
{
	(void)r;
	return is_active(d) && rec->op > 0 && rec->op <= d->last_committed_op;
}

static bool check_failed(const struct kt_registry *r, const struct kt_record *rec,
			 const struct kt_device *d)
{
	(void)r;
	return is_there(d) && rec->op > 0 && rec->op <= d->op && rec->reason > KT_REASON_NONE &&
	       rec->reason < KT_REASON_COUNT;
}

static bool check_freeze(const struct kt_registry *r, const struct kt_record *rec,
			 const struct kt_device *d)
{
	(void)r;
	return is_active(d) && d->phase != KT_SERVER_IDLE && !d->enrolling && rec->op == d->op;
}

static bool check_unfreeze(const struct kt_registry *r, const struct kt_record *rec,
			   const struct kt_device *d)
{
	(void)r;
	(void)rec;
	return is_there(d) && d->frozen;
}

static bool check_quarantine(const struct kt_registry *r, const struct kt_record *rec,
			     const struct kt_device *d)
{
	(void)r;
	(void)rec;
	return is_there(d) && !d->quarantined;
}

static bool check_release(const struct kt_registry *r, const struct kt_record *rec,
			  const struct kt_device *d)
{
	(void)r;
	(void)rec;
	return is_there(d) && (d->quarantined || d->adopted);
}

static bool check_there(const struct kt_registry *r, const struct kt_record *rec,
			const struct kt_device *d)
{
	(void)r;
	(void)rec;
	return is_there(d);
}

static bool check_op_raise(const struct kt_registry *r, const struct kt_record *rec,
			   const struct kt_device *d)
{
	(void)r;
	return is_active(d) && !d->enrolling && rec->op > d->op;
}

static bool check_restore_device(const struct kt_registry *r, const struct kt_record *rec,
				 const struct kt_device *d)
{
	if (r->restore_seq == 0)
		return false;
	return d != NULL ? d->phase == KT_SERVER_IDLE : is_id_free(r, rec->device.s);
}

/* Rights only shrink: nothing of what it puts in, and nothing that it changes, lets anybody in. */
static bool may_become(const struct kt_credential_row *row, enum kt_credential_status status)
{
	const bool was_put_out =
		status == KT_CREDENTIAL_SUPERSEDED || status == KT_CREDENTIAL_REVOKED;

	if (row == NULL)
		return was_put_out || status == KT_CREDENTIAL_ABANDONED ||
		       status == KT_CREDENTIAL_LOST;
	if (row->c.status == KT_CREDENTIAL_CURRENT)
		return was_put_out;
	return row->c.status == KT_CREDENTIAL_LOST &&
	       (was_put_out || status == KT_CREDENTIAL_ABANDONED);
}

/* Is it the same certificate: of this device, for this key, of this generation? */
static bool is_same(const struct kt_credential_row *row, const struct kt_record *rec,
		    const struct kt_device *d)
{
	const uint32_t generation = rec->kind == KT_RECORD_IMPORT ? 0 : rec->generation;

	return row->c.device == d && kt_key_id_eq(&row->c.key_id, &rec->key_id) &&
	       row->c.generation == generation;
}

static bool check_restore_credential(const struct kt_registry *r, const struct kt_record *rec,
				     const struct kt_device *d)
{
	const struct kt_credential_row *row = kt_row_credential(r, &rec->fp);

	if (r->restore_seq == 0 || d == NULL || !may_become(row, rec->status))
		return false;
	return row != NULL ? is_same(row, rec, d) : is_key_free(r, &rec->key_id, d);
}

static bool check_ticket_void(const struct kt_registry *r, const struct kt_record *rec,
			      const struct kt_device *d)
{
	const struct kt_ticket_row *row = kt_row_ticket(r, rec->ticket_sha256);

	(void)d;
	return r->restore_seq != 0 && row != NULL && !row->t.used;
}

static bool check_adopt(const struct kt_registry *r, const struct kt_record *rec,
			const struct kt_device *d)
{
	const struct kt_credential_row *row = kt_row_credential(r, &rec->fp);

	if (r->restore_seq == 0 || kt_registry_is_key_denied(r, &rec->key_id))
		return false;
	if (d == NULL ? !is_id_free(r, rec->device.s)
		      : d->state != KT_DEVICE_NEW && d->state != KT_DEVICE_ACTIVE)
		return false;
	if (rec->generation <= (d != NULL ? d->proven_generation : 0))
		return false;
	if (row != NULL)
		return row->c.status == KT_CREDENTIAL_LOST && is_same(row, rec, d);
	return is_key_free(r, &rec->key_id, d);
}

static bool may_import(const struct kt_device *d)
{
	return d->state == KT_DEVICE_DELETED ||
	       (d->state == KT_DEVICE_NEW && d->phase == KT_SERVER_IDLE && !d->has_registered_key);
}

static bool check_import(const struct kt_registry *r, const struct kt_record *rec,
			 const struct kt_device *d)
{
	const struct kt_credential_row *row = kt_row_credential(r, &rec->fp);

	if (r->restore_seq != 0 || kt_registry_is_key_denied(r, &rec->key_id))
		return false;
	if (d == NULL ? !is_id_free(r, rec->device.s) : !may_import(d))
		return false;
	if (row != NULL)
		return row->c.status == KT_CREDENTIAL_LOST && is_same(row, rec, d);
	return is_key_free(r, &rec->key_id, d);
}

static bool check_reconciling(const struct kt_registry *r, const struct kt_record *rec,
			      const struct kt_device *d)
{
	(void)rec;
	(void)d;
	return r->restore_seq != 0;
}

static bool check_operator_add(const struct kt_registry *r, const struct kt_record *rec,
			       const struct kt_device *d)
{
	const struct kt_operator_row *row = kt_row_operator_nocase(r, rec->name.s);

	(void)d;
	if (rec->role <= KT_ROLE_NONE || rec->role >= KT_ROLE_COUNT)
		return false;
	if (row == NULL)
		return kt_is_device_id(rec->name.s, strlen(rec->name.s));
	return row->o.is_removed && strcmp(row->o.name.s, rec->name.s) == 0;
}

static bool check_operator_remove(const struct kt_registry *r, const struct kt_record *rec,
				  const struct kt_device *d)
{
	const struct kt_operator_row *row = kt_row_operator(r, rec->name.s);

	(void)d;
	return row != NULL && !row->o.is_removed;
}

static bool (*const checks[KT_RECORD_COUNT])(const struct kt_registry *r,
					     const struct kt_record *rec,
					     const struct kt_device *d) = {
	[KT_RECORD_LEDGER_BEGIN] = check_begin,
	[KT_RECORD_DEVICE_CREATE] = check_create,
	[KT_RECORD_DEVICE_SET] = check_there,
	[KT_RECORD_TICKET_CREATE] = check_ticket,
	[KT_RECORD_APPROVE] = check_approve,
	[KT_RECORD_DENY] = check_always,
	[KT_RECORD_OP_OPEN] = check_op_open,
	[KT_RECORD_OP_CLOSE] = check_op_close,
	[KT_RECORD_ISSUE] = check_issue,
	[KT_RECORD_COMMIT] = check_commit,
	[KT_RECORD_PROMOTED] = check_promoted,
	[KT_RECORD_FAILED] = check_failed,
	[KT_RECORD_FREEZE] = check_freeze,
	[KT_RECORD_UNFREEZE] = check_unfreeze,
	[KT_RECORD_QUARANTINE] = check_quarantine,
	[KT_RECORD_RELEASE] = check_release,
	[KT_RECORD_REVOKE] = check_there,
	[KT_RECORD_DELETE] = check_there,
	[KT_RECORD_OP_RAISE] = check_op_raise,
	[KT_RECORD_CLOCK_CONFIRM] = check_always,
	[KT_RECORD_RESTORE] = check_always,
	[KT_RECORD_RESTORE_DEVICE] = check_restore_device,
	[KT_RECORD_RESTORE_CREDENTIAL] = check_restore_credential,
	[KT_RECORD_TICKET_VOID] = check_ticket_void,
	[KT_RECORD_ADOPT] = check_adopt,
	[KT_RECORD_IMPORT] = check_import,
	[KT_RECORD_RECONCILE_END] = check_reconciling,
	[KT_RECORD_OPERATOR_ADD] = check_operator_add,
	[KT_RECORD_OPERATOR_REMOVE] = check_operator_remove,
	[KT_RECORD_CAMPAIGN_BEGIN] = kt_campaigns_check,
	[KT_RECORD_CAMPAIGN_ADD] = kt_campaigns_check,
	[KT_RECORD_CAMPAIGN_START] = kt_campaigns_check,
	[KT_RECORD_CAMPAIGN_WAVE] = kt_campaigns_check,
	[KT_RECORD_CAMPAIGN_PAUSE] = kt_campaigns_check,
	[KT_RECORD_CAMPAIGN_RESUME] = kt_campaigns_check,
	[KT_RECORD_CAMPAIGN_ABORT] = kt_campaigns_check,
	[KT_RECORD_CAMPAIGN_DEVICE] = kt_campaigns_check,
	[KT_RECORD_CAMPAIGN_END] = kt_campaigns_check,
};

enum kt_err kt_registry_check(const struct kt_registry *registry, const struct kt_record *record)
{
	if (record->seq != registry->seq + 1 || (unsigned)record->kind >= KT_RECORD_COUNT)
		return KT_ERR_STATE;
	if (registry->seq == 0 && record->kind != KT_RECORD_LEDGER_BEGIN)
		return KT_ERR_STATE;
	if (!checks[record->kind](registry, record,
				  kt_registry_find_device(registry, record->device.s)))
		return KT_ERR_STATE;
	return KT_ERR_OK;
}
