/*
 * What keyturnctl reads: the first byte chooses a command, then come messages: a byte for the
 * topic, two for the length, the text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_ctl.h"
#include "fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/*
 * Nothing that a terminal would obey gets to the operator, whatever the plugin's answers hold.
 * JSON, for programs, may be UTF-8.
 */
static void check_output(const char *text, bool is_json)
{
	for (const char *c = text; *c != '\0'; c++)
		FUZZ_REQUIRE(((unsigned char)*c >= ' ' && (is_json || (unsigned char)*c < 0x7f)) ||
			     *c == '\n' || *c == '\t');
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const char *const lines[] = {"status",
					    "list",
					    "list --json",
					    "show hub-1",
					    "pending",
					    "events",
					    "events --json",
					    "rotate hub-1 hub-2",
					    "challenge hub-1 hub-2 --wait",
					    "ticket hub-1 --broker b:1",
					    "revoke hub-1 --yes",
					    "operator list",
					    "approve aabb",
					    "audit"};
	static const char *const topics[] = {NULL, "keyturn/v1/events/challenge.answered",
					     "keyturn/v1/events/x", "other"};
	struct fuzz_input in = {bytes, len};
	const char *line = lines[fuzz_below(&in, sizeof(lines) / sizeof(lines[0]))];
	struct fake_ctl fake = {.end_err = KT_ERR_CLOSED};
	char *texts[FAKE_CTL_MESSAGES] = {NULL};

	for (size_t i = 0; i < FAKE_CTL_MESSAGES && fuzz_has_more(&in); i++) {
		const unsigned topic = fuzz_below(&in, 4);
		const struct kt_bytes text = fuzz_take(&in, fuzz_u16(&in));

		texts[i] = strndup((const char *)text.p, text.len);
		FUZZ_REQUIRE(texts[i] != NULL);
		fake.topic[i] = topics[topic];
		fake.text[i] = texts[i];
	}
	(void)fake_ctl_run(&fake, line);
	FUZZ_REQUIRE(fake.out != NULL && fake.err != NULL);
	check_output(fake.out, strstr(line, "--json") != NULL);
	check_output(fake.err, false);
	for (size_t i = 0; i < FAKE_CTL_MESSAGES; i++)
		free(texts[i]);
	fake_ctl_clear(&fake);
	return 0;
}
