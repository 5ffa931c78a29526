#include "message.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* What was read is written again, and reads as the same message. */
static void check_round_trip(const struct kt_message *message, bool from_device)
{
	enum kt_reason reason = KT_REASON_NONE;
	struct kt_message *again = NULL;
	char *text = NULL;
	size_t len = 0;

	if (kt_message_encode(message, &text, &len) != KT_ERR_OK)
		abort();
	if (kt_message_decode((const uint8_t *)text, len, from_device, &again, &reason) !=
	    KT_ERR_OK)
		abort();
	if (message->type != again->type || memcmp(message, again, kt_message_size(message)) != 0)
		abort();
	free(text);
	kt_message_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	for (int i = 0; i < 2; i++) {
		const bool from_device = i == 0;
		enum kt_reason reason = KT_REASON_NONE;
		struct kt_message *message = NULL;

		if (kt_message_decode(bytes, len, from_device, &message, &reason) == KT_ERR_OK)
			check_round_trip(message, from_device);
		else if (message != NULL || reason == KT_REASON_NONE)
			abort();
		kt_message_free(message);
	}
	return 0;
}
