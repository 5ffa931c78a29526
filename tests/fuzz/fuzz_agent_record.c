#include "agent_record.h"

#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "encoding.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { HASH_HEX = 64, FRAME = HASH_HEX + 3 };

/* Whatever is accepted can be written again, and reads as the same record. */
static void check(const uint8_t *block, size_t len)
{
	struct kt_agent_record record;
	struct kt_agent_record again;
	uint8_t written[KT_AGENT_RECORD_BLOCK];
	uint8_t rewritten[KT_AGENT_RECORD_BLOCK];

	if (kt_agent_record_decode(block, len, &record) != KT_ERR_OK) {
		if (record.seq != 0)
			abort();
		return;
	}
	if (kt_agent_record_encode(&record, written) != KT_ERR_OK ||
	    kt_agent_record_decode(written, sizeof(written), &again) != KT_ERR_OK ||
	    kt_agent_record_encode(&again, rewritten) != KT_ERR_OK ||
	    memcmp(written, rewritten, sizeof(written)) != 0)
		abort();
}

/* The input as a block, and as the JSON of a block whose hash is right. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	uint8_t block[KT_AGENT_RECORD_BLOCK];
	uint8_t hash[32];
	char hex[HASH_HEX + 1];

	check(bytes, len);
	if (len > sizeof(block) - FRAME)
		return 0;
	memset(block, ' ', sizeof(block));
	kt_sha256(bytes, len, hash);
	if (kt_hex_encode(hash, sizeof(hash), hex, sizeof(hex)) != KT_ERR_OK)
		abort();
	if (len > 0)
		memcpy(block, bytes, len);
	block[len] = '\n';
	memcpy(block + len + 1, hex, HASH_HEX);
	block[len + 1 + HASH_HEX] = '\n';
	block[sizeof(block) - 1] = '\n';
	check(block, sizeof(block));
	return 0;
}
