#include "ticket.h"

#include <stdlib.h>
#include <string.h>

#include "encoding.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check(const char *text)
{
	struct kt_ticket ticket;
	struct kt_ticket again;
	char out[KT_TICKET_MAX];

	if (kt_ticket_decode(text, &ticket) != KT_ERR_OK)
		return;
	if (kt_ticket_encode(&ticket, out) != KT_ERR_OK ||
	    kt_ticket_decode(out, &again) != KT_ERR_OK ||
	    memcmp(&ticket, &again, sizeof(ticket)) != 0)
		abort();
	(void)kt_ticket_pattern_matches(ticket.pattern, "hub-17");
}

/* The input as a ticket's text, and as the JSON inside one: chance finds no base64url of JSON. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const size_t prefix_len = strlen(KT_TICKET_PREFIX);
	const size_t cap = prefix_len + KT_B64URL_LEN(len) + 1;
	char *text = malloc(len + 1);
	char *wrapped = malloc(cap);

	if (text == NULL || wrapped == NULL)
		abort();
	if (len > 0)
		memcpy(text, bytes, len);
	text[len] = '\0';
	check(text);
	memcpy(wrapped, KT_TICKET_PREFIX, prefix_len);
	if (kt_b64url_encode(bytes, len, wrapped + prefix_len, cap - prefix_len) != KT_ERR_OK)
		abort();
	check(wrapped);
	free(text);
	free(wrapped);
	return 0;
}
