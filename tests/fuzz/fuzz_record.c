#include "record.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* Whatever is accepted can be written again, and reads as the same text. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct kt_record record;
	struct kt_record again;
	uint8_t prev[32];
	char *text = NULL;
	char *text_again = NULL;
	size_t text_len = 0;
	size_t again_len = 0;

	if (kt_record_decode((const char *)bytes, len, &record, prev) != KT_ERR_OK)
		return 0;
	if (kt_record_encode(&record, prev, &text, &text_len) != KT_ERR_OK ||
	    kt_record_decode(text, text_len, &again, prev) != KT_ERR_OK ||
	    kt_record_encode(&again, prev, &text_again, &again_len) != KT_ERR_OK ||
	    text_len != again_len || memcmp(text, text_again, text_len) != 0)
		abort();
	kt_record_clear(&record);
	kt_record_clear(&again);
	free(text);
	free(text_again);
	return 0;
}
