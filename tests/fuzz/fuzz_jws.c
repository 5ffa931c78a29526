#include "jws.h"

#include <stdlib.h>
#include <string.h>

#include "message.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void try_from(const uint8_t *bytes, size_t len, enum kt_jws_from from)
{
	static const struct kt_jws nothing;
	struct kt_jws jws;
	enum kt_reason reason;
	enum kt_err err = kt_jws_decode(bytes, len, from, &jws, &reason);

	if ((err == KT_ERR_OK) != (reason == KT_REASON_NONE))
		abort();
	if (err != KT_ERR_OK) {
		if (memcmp(&jws, &nothing, sizeof(jws)) != 0)
			abort();
		return;
	}
	if (len > KT_MESSAGE_MAX || jws.alg != KT_ALG_ES256 || jws.from != from ||
	    jws.payload == NULL || jws.payload_len == 0 || jws.payload_len > KT_PAYLOAD_MAX ||
	    (jws.x5c != NULL) != (from != KT_JWS_FROM_DEVICE) ||
	    memchr(jws.signing_input, '.', jws.signing_input_len) == NULL)
		abort();
	kt_jws_clear(&jws);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	try_from(bytes, len, KT_JWS_FROM_DEVICE);
	try_from(bytes, len, KT_JWS_FROM_CONTROLLER);
	try_from(bytes, len, KT_JWS_HEAD);
	return 0;
}
