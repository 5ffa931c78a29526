#include "record.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* Whatever is accepted is the very text that the record is written as. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct kt_record record;
	uint8_t prev[32];
	char *text = NULL;
	size_t text_len = 0;

	if (kt_record_decode((const char *)bytes, len, &record, prev) != KT_ERR_OK)
		return 0;
	if (kt_record_encode(&record, prev, &text, &text_len) != KT_ERR_OK || text_len != len ||
	    memcmp(text, bytes, len) != 0)
		abort();
	kt_record_clear(&record);
	free(text);
	return 0;
}
