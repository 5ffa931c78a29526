/*
 * The input is certificates one behind the other, leaf first and root last; the first byte says at
 * what time they are judged. It is tried as a PEM file too.
 */
#include "crypto.h"
#include "der.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check_cert(struct kt_bytes der, bool is_issuer)
{
	struct kt_cert cert;
	enum kt_err err = kt_cert_decode(der.p, der.len, &cert);

	if (err != KT_ERR_OK) {
		if (cert.serial_len != 0 || cert.key.alg != KT_ALG_NONE)
			abort();
		return;
	}
	if (cert.serial_len == 0 || cert.serial_len > sizeof(cert.serial) ||
	    strlen(cert.common_name) > KT_DEVICE_ID_MAX || strlen(cert.uri) > KT_URI_MAX ||
	    cert.not_after_s > KT_CERT_NO_END || cert.not_before_s > KT_CERT_NO_END)
		abort();
	if (is_issuer && (!cert.is_ca || !cert.may_sign_certs || cert.key.alg != KT_ALG_ES256))
		abort();
}

static void try_chain(const uint8_t *bytes, size_t len)
{
	struct kt_bytes certs[KT_CHAIN_MAX + 1];
	struct kt_bytes all = {bytes + 1, len - 1};
	struct kt_der d = kt_der_of(all);
	int64_t time_s = bytes[0] == 0xff ? -1 : (int64_t)bytes[0] * 31556952;
	enum kt_dates dates;
	size_t count = 0;
	enum kt_err err;

	while (count <= KT_CHAIN_MAX && kt_der_has_more(&d)) {
		certs[count] = kt_der_take_whole(&d, KT_DER_SEQUENCE);
		if (!d.bad)
			check_cert(certs[count++], false);
	}
	if (count < 2)
		return;
	err = kt_chain_verify(certs[count - 1], certs, count - 1, time_s, &dates);
	if (err != KT_ERR_OK && err != KT_ERR_DATES && err != KT_ERR_VERIFY)
		abort();
	if ((err == KT_ERR_DATES) != (dates != KT_DATES_GOOD))
		abort();
	for (size_t i = 1; err != KT_ERR_VERIFY && i < count; i++)
		check_cert(certs[i], true);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct kt_bytes whole = {bytes, len};
	struct kt_bytes certs[3];
	uint8_t *storage = NULL;
	size_t count;

	if (len == 0)
		return 0;
	check_cert(whole, false);
	try_chain(bytes, len);
	if (kt_pem_certs(bytes, len, certs, 3, &count, &storage) == KT_ERR_OK) {
		if (count == 0 || count > 3 || storage == NULL)
			abort();
		for (size_t i = 0; i < count; i++)
			check_cert(certs[i], false);
	} else if (count != 0 || storage != NULL) {
		abort();
	}
	free(storage);
	return 0;
}
