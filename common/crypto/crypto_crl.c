/*
 * crypto_crl - the list of what is out before its time (RFC 5280 section 5), for other servers.
 *
 * Always complete: no delta, no distribution point, no indirect entries. Writes what our issuing CA
 * signs, and reads of a list what its successor has to know. Any thread.
 */
#include <stdlib.h>
#include <string.h>

#include "crypto_asn1.h"

enum {
	ENTRY_MAX = 64,	 /* bytes of one entry; 57 at most */
	FRAME_MAX = 512, /* bytes of all else but the CA's name */
	NUMBER_LEN = 8,
	VERSION_2 = 1,
	KT_DER_ENUMERATED = 0x0a,
	CE_CRL_NUMBER = 0x14,
	CE_REASON_CODE = 0x15,
	CE_AUTHORITY_KEY_ID = 0x23
};

static const char label[] = "X509 CRL";

/* --- writing --- */

static void put_entry(struct kt_der_writer *w, const struct kt_crl_entry *entry)
{
	const uint8_t reason = (uint8_t)entry->reason;
	uint8_t buffer[8];
	struct kt_der_writer value = kt_der_writer_of(buffer, sizeof(buffer));
	size_t mark = kt_der_open(w, KT_DER_SEQUENCE);
	size_t list;

	kt_der_put_unsigned(w, entry->serial, sizeof(entry->serial));
	kt_der_put_time(w, entry->revoked_s);
	list = kt_der_open(w, KT_DER_SEQUENCE);
	kt_der_put(&value, KT_DER_ENUMERATED, &reason, 1);
	kt_extension_put_ce(w, CE_REASON_CODE, false, &value);
	kt_der_close(w, list);
	kt_der_close(w, mark);
}

static void put_number(struct kt_der_writer *w, uint64_t number)
{
	uint8_t magnitude[NUMBER_LEN];
	uint8_t buffer[NUMBER_LEN + 4];
	struct kt_der_writer value = kt_der_writer_of(buffer, sizeof(buffer));

	for (size_t i = 0; i < NUMBER_LEN; i++)
		magnitude[i] = (uint8_t)(number >> (8 * (NUMBER_LEN - 1 - i)));
	kt_der_put_unsigned(&value, magnitude, sizeof(magnitude));
	kt_extension_put_ce(w, CE_CRL_NUMBER, false, &value);
}

static void put_tbs(struct kt_der_writer *w, const struct kt_issuer *issuer,
		    const struct kt_crl_head *head, const struct kt_crl_entry *entries)
{
	static const uint8_t version = VERSION_2;
	size_t tbs = kt_der_open(w, KT_DER_SEQUENCE);
	size_t mark;
	size_t list;

	kt_der_put_unsigned(w, &version, 1);
	kt_der_put_es256(w);
	kt_der_put_raw(w, issuer->subject, issuer->subject_len);
	kt_der_put_time(w, head->this_update_s);
	kt_der_put_time(w, head->next_update_s);
	/* RFC 5280 section 5.1.2.6: where nothing is revoked the list must be absent. */
	if (head->entry_count > 0) {
		mark = kt_der_open(w, KT_DER_SEQUENCE);
		for (size_t i = 0; i < head->entry_count; i++)
			put_entry(w, &entries[i]);
		kt_der_close(w, mark);
	}
	mark = kt_der_open(w, KT_DER_EXPLICIT);
	list = kt_der_open(w, KT_DER_SEQUENCE);
	kt_issuer_put_key_id(w, issuer);
	put_number(w, head->number);
	kt_der_close(w, list);
	kt_der_close(w, mark);
	kt_der_close(w, tbs);
}

/* --- reading --- */

struct crl_parts { /* views borrow the DER */
	struct kt_signed signature;
	struct kt_bytes inner_algorithm;
	struct kt_bytes issuer;
	struct kt_bytes number; /* magnitude */
	int64_t this_update_s;
	int64_t next_update_s;
	size_t entry_count;
};

/* Extensions of ours and no other: any that we skipped might change what the list means. */
static void take_extensions(struct kt_der *d, struct crl_parts *out)
{
	static const uint8_t number_oid[] = {0x55, 0x1d, CE_CRL_NUMBER};
	static const uint8_t key_id_oid[] = {0x55, 0x1d, CE_AUTHORITY_KEY_ID};
	struct kt_der outer = kt_der_enter(d, KT_DER_EXPLICIT);
	struct kt_der list = kt_der_enter(&outer, KT_DER_SEQUENCE);

	while (kt_der_has_more(&list)) {
		struct kt_der extension = kt_der_enter(&list, KT_DER_SEQUENCE);
		struct kt_bytes oid = kt_der_take(&extension, KT_DER_OID);
		struct kt_der value = kt_der_of(kt_der_take(&extension, KT_DER_OCTET_STRING));

		if (kt_bytes_are(oid, number_oid, sizeof(number_oid)) && out->number.len == 0)
			out->number = kt_der_take_unsigned(&value);
		else if (kt_bytes_are(oid, key_id_oid, sizeof(key_id_oid)))
			(void)kt_der_take(&value, KT_DER_SEQUENCE);
		else
			kt_der_fail(&list);
		if (!kt_der_is_done(&extension) || !kt_der_is_done(&value))
			kt_der_fail(&list);
	}
	if (!kt_der_is_done(&list) || !kt_der_is_done(&outer) || out->number.len == 0)
		kt_der_fail(d);
}

static enum kt_err take_apart(struct kt_bytes der, struct crl_parts *out)
{
	char name[KT_DEVICE_ID_MAX + 1];
	struct kt_der body;
	struct kt_der list;
	struct kt_der d;

	memset(out, 0, sizeof(*out));
	if (kt_signed_decode(der, &out->signature) != KT_ERR_OK)
		return KT_ERR_INVALID;
	body = kt_der_of(out->signature.body);
	d = kt_der_enter(&body, KT_DER_SEQUENCE);
	if (kt_der_take_small(&d) != VERSION_2)
		kt_der_fail(&d);
	out->inner_algorithm = kt_der_take_whole(&d, KT_DER_SEQUENCE);
	out->issuer = kt_name_take(&d, name);
	out->this_update_s = kt_der_take_time(&d);
	out->next_update_s = kt_der_take_time(&d);
	if (kt_der_is_next(&d, KT_DER_SEQUENCE)) {
		list = kt_der_enter(&d, KT_DER_SEQUENCE);
		while (kt_der_has_more(&list)) {
			(void)kt_der_take(&list, KT_DER_SEQUENCE);
			out->entry_count++;
		}
		if (!kt_der_is_done(&list) || out->entry_count == 0)
			kt_der_fail(&d);
	}
	take_extensions(&d, out);
	return kt_der_is_done(&d) ? KT_ERR_OK : KT_ERR_INVALID;
}

static enum kt_err number_of(struct kt_bytes magnitude, uint64_t *out)
{
	*out = 0;
	if (magnitude.len > NUMBER_LEN)
		return KT_ERR_RANGE;
	for (size_t i = 0; i < magnitude.len; i++)
		*out = *out << 8 | magnitude.p[i];
	return *out == 0 || *out > INT64_MAX ? KT_ERR_RANGE : KT_ERR_OK;
}

/* Who signed it comes before all that it says. */
static enum kt_err read_head(const struct crl_parts *crl, struct kt_bytes issuer_name,
			     const struct kt_public_key *issuer_key, struct kt_crl_head *out)
{
	uint64_t number = 0;
	enum kt_err err;

	if (!kt_bytes_are(crl->issuer, issuer_name.p, issuer_name.len) ||
	    !kt_bytes_are(crl->signature.algorithm, crl->inner_algorithm.p,
			  crl->inner_algorithm.len))
		return KT_ERR_VERIFY;
	err = kt_signed_verify(&crl->signature, issuer_key);
	if (err != KT_ERR_OK)
		return err;
	err = number_of(crl->number, &number);
	if (err != KT_ERR_OK)
		return err;
	out->number = number;
	out->this_update_s = crl->this_update_s;
	out->next_update_s = crl->next_update_s;
	out->entry_count = crl->entry_count;
	return KT_ERR_OK;
}

enum kt_err kt_crl_decode(struct kt_bytes der, struct kt_bytes issuer_der, struct kt_crl_head *out)
{
	struct kt_cert_parts issuer;
	struct crl_parts crl;
	enum kt_err err;

	memset(out, 0, sizeof(*out));
	err = kt_cert_take_apart(issuer_der, &issuer);
	if (err == KT_ERR_OK)
		err = take_apart(der, &crl);
	return err == KT_ERR_OK ? read_head(&crl, issuer.subject, &issuer.key, out) : err;
}

enum kt_err kt_crl_from_pem(struct kt_bytes pem, struct kt_bytes issuer_der,
			    struct kt_crl_head *out)
{
	struct kt_bytes rest = pem;
	uint8_t *der = malloc(pem.len + 1);
	size_t len = 0;
	enum kt_err err;

	memset(out, 0, sizeof(*out));
	if (der == NULL)
		return KT_ERR_NOMEM;
	err = kt_pem_take(&rest, label, der, pem.len, &len);
	if (err == KT_ERR_OK)
		err = kt_crl_decode((struct kt_bytes){der, len}, issuer_der, out);
	free(der);
	return err;
}

/* --- issuing --- */

/* Reads back what was made, as a stranger would. */
static enum kt_err check_made(struct kt_bytes der, const struct kt_issuer *issuer,
			      const struct kt_crl_head *want)
{
	const struct kt_bytes name = {issuer->subject, issuer->subject_len};
	struct kt_crl_head made;
	struct crl_parts crl;

	if (take_apart(der, &crl) != KT_ERR_OK ||
	    read_head(&crl, name, kt_key_public(issuer->key), &made) != KT_ERR_OK ||
	    made.number != want->number || made.this_update_s != want->this_update_s ||
	    made.next_update_s != want->next_update_s || made.entry_count != want->entry_count)
		return KT_ERR_INTERNAL;
	return KT_ERR_OK;
}

static enum kt_err sign(struct kt_crypto *c, const struct kt_issuer *issuer,
			const struct kt_crl_head *head, struct kt_bytes tbs, uint8_t **out,
			size_t *out_len)
{
	const size_t cap = tbs.len + FRAME_MAX;
	uint8_t *der = malloc(cap);
	struct kt_der_writer w = kt_der_writer_of(der, cap);
	enum kt_err err = KT_ERR_NOMEM;

	if (der == NULL)
		goto out;
	err = kt_signed_put(c, issuer->key, tbs, &w);
	if (err == KT_ERR_OK)
		err = check_made((struct kt_bytes){der, w.len}, issuer, head);
	if (err != KT_ERR_OK)
		goto out;
	*out_len = w.len;
	*out = der;
	der = NULL; /* moved */
out:
	free(der);
	return err;
}

enum kt_err kt_crl_issue(struct kt_crypto *c, const struct kt_issuer *issuer,
			 const struct kt_crl_head *head, const struct kt_crl_entry *entries,
			 uint8_t **out, size_t *out_len)
{
	enum kt_err err = KT_ERR_INTERNAL;
	struct kt_der_writer w;
	uint8_t *tbs = NULL;
	size_t cap;

	*out = NULL;
	*out_len = 0;
	if (head->number == 0 || head->number > INT64_MAX ||
	    head->entry_count > KT_CRL_ENTRIES_MAX || head->next_update_s <= head->this_update_s)
		return KT_ERR_RANGE;
	cap = head->entry_count * ENTRY_MAX + issuer->subject_len + FRAME_MAX;
	tbs = malloc(cap);
	if (tbs == NULL)
		return KT_ERR_NOMEM;
	w = kt_der_writer_of(tbs, cap);
	put_tbs(&w, issuer, head, entries);
	err = w.bad ? KT_ERR_RANGE /* a year that no certificate can name */
		    : sign(c, issuer, head, (struct kt_bytes){tbs, w.len}, out, out_len);
	free(tbs);
	return err;
}
