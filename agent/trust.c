#include "trust.h"

#include <string.h>

/* Latest notBefore of the chain and its root: time cannot be earlier than that. */
static enum kt_err raise_floor(const struct kt_trust *trust, const struct kt_bytes *certs,
			       size_t count, int64_t *floor_s)
{
	struct kt_cert cert;
	enum kt_err err = kt_cert_decode(trust->root_der.p, trust->root_der.len, &cert);

	if (err != KT_ERR_OK)
		return err;
	if (cert.not_before_s > *floor_s)
		*floor_s = cert.not_before_s;
	for (size_t i = 0; i < count; i++) {
		err = kt_cert_decode(certs[i].p, certs[i].len, &cert);
		if (err != KT_ERR_OK)
			return err;
		if (cert.not_before_s > *floor_s)
			*floor_s = cert.not_before_s;
	}
	return KT_ERR_OK;
}

/*
 * The dates of a chain, where our clock and what we know disagree. The floor is a moment that has
 * passed for sure; nothing else about the true time is known. So:
 * - expired by the clock, not at the floor: the clock may be ahead, and is told so;
 * - expired at the floor: expired, whatever the clock says;
 * - not yet valid at the floor, and our clock is past its end or itself below the floor: the window
 *   lies after the floor, the true time may be in it, and the clock that says otherwise is the one
 *   in doubt. To refuse would lock the hub out until somebody sets its clock;
 * - not yet valid by a clock that runs: refused, or a certificate of the far future would raise the
 *   floor beyond all that are good now.
 */
static enum kt_err settle_dates(const struct kt_trust *trust, const struct kt_bytes *certs,
				size_t count, bool *clock_ahead)
{
	const int64_t now_s = trust->system_s > trust->floor_s ? trust->system_s : trust->floor_s;
	enum kt_dates dates = KT_DATES_GOOD;
	int64_t latest_s = trust->floor_s;
	enum kt_err err = KT_ERR_OK;

	*clock_ahead = false;
	err = kt_chain_verify(trust->root_der, certs, count, now_s, &dates);
	if (err == KT_ERR_DATES && dates == KT_DATES_EXPIRED && now_s > trust->floor_s) {
		*clock_ahead = true;
		err = kt_chain_verify(trust->root_der, certs, count, trust->floor_s, &dates);
	}
	if (err != KT_ERR_DATES || dates != KT_DATES_NOT_YET ||
	    (!*clock_ahead && trust->system_s >= trust->floor_s))
		return err;
	/* at its latest notBefore the chain is valid as a whole, or no moment fits it */
	err = raise_floor(trust, certs, count, &latest_s);
	return err == KT_ERR_OK ? kt_chain_verify(trust->root_der, certs, count, latest_s, &dates)
				: KT_ERR_VERIFY;
}

enum kt_err kt_trust_chain(const struct kt_trust *trust, const struct kt_bytes *certs, size_t count,
			   struct kt_verdict *verdict)
{
	int64_t floor_s = trust->floor_s;
	bool clock_ahead = false;
	enum kt_err err = settle_dates(trust, certs, count, &clock_ahead);

	memset(verdict, 0, sizeof(*verdict));
	if (err != KT_ERR_OK)
		return err;
	if (raise_floor(trust, certs, count, &floor_s) != KT_ERR_OK)
		return KT_ERR_VERIFY;
	verdict->clock_ahead = clock_ahead;
	verdict->floor_s = floor_s;
	verdict->controller_n = trust->controller_n;
	return KT_ERR_OK;
}

/* The payload of a JWS whose controller certificate verified. */
static enum kt_err open_payload(const struct kt_trust *trust, const struct kt_jws *jws,
				const struct kt_device_id *device, struct kt_opened *out)
{
	struct kt_message *message = NULL;
	enum kt_err err =
		kt_message_decode(jws->payload, jws->payload_len, false, &message, &out->reason);

	if (err != KT_ERR_OK)
		return err;
	if (strcmp(message->trust_domain, trust->trust_domain) != 0 ||
	    (device->s[0] != '\0' && strcmp(message->device.s, device->s) != 0)) {
		kt_message_free(message);
		out->reason = KT_REASON_ID_MISMATCH;
		return KT_ERR_VERIFY;
	}
	out->reason = KT_REASON_NONE;
	out->message = message; /* moved */
	return KT_ERR_OK;
}

enum kt_err kt_trust_open(const struct kt_trust *trust, const struct kt_device_id *device,
			  struct kt_bytes text, struct kt_opened *out)
{
	struct kt_jws jws = {0};
	struct kt_public_key key = {0};
	struct kt_bytes chain = {0};
	uint32_t number = 0;
	enum kt_err err = KT_ERR_INTERNAL;

	memset(out, 0, sizeof(*out));
	err = kt_jws_decode(text.p, text.len, KT_JWS_FROM_CONTROLLER, &jws, &out->reason);
	if (err != KT_ERR_OK)
		goto out;
	out->reason = KT_REASON_CERT_CHAIN;
	chain = (struct kt_bytes){jws.x5c, jws.x5c_len};
	err = kt_trust_chain(trust, &chain, 1, &out->verdict);
	if (err != KT_ERR_OK)
		goto out;
	err = kt_jws_controller(&jws, trust->trust_domain, &key, &number);
	if (err == KT_ERR_OK && number < trust->controller_n)
		err = KT_ERR_VERIFY;
	if (err != KT_ERR_OK)
		goto out;
	err = kt_jws_verify(&jws, &key, &out->reason);
	if (err != KT_ERR_OK)
		goto out;
	err = open_payload(trust, &jws, device, out);
	if (err == KT_ERR_OK)
		out->verdict.controller_n = number;
out:
	if (err == KT_ERR_NOMEM)
		out->reason = KT_REASON_BUSY; /* nothing is wrong with it */
	kt_jws_clear(&jws);
	return err;
}
