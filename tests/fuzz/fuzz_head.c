#include "head.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* The input as a payload: what is read can be written, and is the same then. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const struct kt_head zero;
	struct kt_head head;
	struct kt_head again;
	char *text = NULL;
	size_t text_len = 0;

	if (kt_head_decode(bytes, len, &head) != KT_ERR_OK) {
		if (memcmp(&head, &zero, sizeof(head)) != 0)
			abort();
		return 0;
	}
	if (kt_head_encode(&head, &text, &text_len) != KT_ERR_OK ||
	    kt_head_decode((const uint8_t *)text, text_len, &again) != KT_ERR_OK ||
	    memcmp(&head, &again, sizeof(head)) != 0)
		abort();
	free(text);
	return 0;
}
