#include "crypto.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const struct kt_csr nothing;
	struct kt_public_key again;
	struct kt_key_id id;
	struct kt_csr csr;
	enum kt_reason reason;
	enum kt_err err = kt_csr_decode(bytes, len, &csr, &reason);

	if ((err == KT_ERR_OK) != (reason == KT_REASON_NONE))
		abort();
	if (err != KT_ERR_OK) {
		if (memcmp(&csr, &nothing, sizeof(csr)) != 0)
			abort();
		return 0;
	}
	/* What was accepted is short, ends, and has a key that is one of ours. */
	if (len > KT_CSR_MAX || strlen(csr.common_name) > KT_DEVICE_ID_MAX ||
	    strlen(csr.challenge_password) > KT_DEVICE_ID_MAX)
		abort();
	if (kt_public_key_from_spki(csr.key.spki, csr.key.spki_len, &again) != KT_ERR_OK)
		abort();
	id = kt_key_id_of(&again);
	if (!kt_key_id_eq(&id, &csr.key_id))
		abort();
	return 0;
}
