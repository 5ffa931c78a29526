/*
 * The input is a certificate of the issuing CA and a revocation list behind it; it is tried as a
 * PEM file under that CA too, and as a certificate whose serial is asked for.
 */
#include "crypto.h"
#include "der.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check_head(enum kt_err err, const struct kt_crl_head *head)
{
	static const struct kt_crl_head none;

	if (err != KT_ERR_OK && (head->number != none.number || head->entry_count != 0 ||
				 head->this_update_s != 0 || head->next_update_s != 0))
		abort();
	if (err == KT_ERR_OK &&
	    (head->number == 0 || head->number > INT64_MAX || head->this_update_s > KT_CERT_NO_END))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct kt_bytes whole = {bytes, len};
	struct kt_der d = kt_der_of(whole);
	struct kt_bytes issuer = kt_der_take_whole(&d, KT_DER_SEQUENCE);
	uint8_t serial[KT_SERIAL_LEN];
	struct kt_crl_head head;
	struct kt_cert cert;

	if (len == 0)
		return 0;
	if (kt_cert_decode(bytes, len, &cert) == KT_ERR_OK && kt_cert_serial(whole, serial) &&
	    (cert.serial_len != KT_SERIAL_LEN || memcmp(serial, cert.serial, KT_SERIAL_LEN) != 0))
		abort();
	if (d.bad)
		return 0;
	check_head(kt_crl_decode((struct kt_bytes){d.p, d.left}, issuer, &head), &head);
	check_head(kt_crl_from_pem((struct kt_bytes){d.p, d.left}, issuer, &head), &head);
	return 0;
}
