#include "ticket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "encoding.h"
#include "vector_file.h"

#define ROOT	 "e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
#define SECRET	 "gIGCg4SFhoeIiYqLjI2Oj5CRkpOUlZaXmJmam5ydnp8"
#define DEVICE	 "\"device\":\"hub-17\""
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The two tickets of the vectors. */
static struct kt_ticket device_ticket(void)
{
	struct kt_ticket t;

	memset(&t, 0, sizeof(t));
	strcpy(t.broker, "broker.fleet.example:8883");
	strcpy(t.trust_domain, "fleet.example");
	strcpy(t.device, "hub-17");
	t.expires_us = 1753604800000000;
	for (size_t i = 0; i < 32; i++) {
		t.root_sha256[i] = (uint8_t)(0xe0 + i);
		t.secret[i] = (uint8_t)(0x80 + i);
	}
	return t;
}

static struct kt_ticket group_ticket(void)
{
	struct kt_ticket t = device_ticket();

	memset(t.device, 0, sizeof(t.device));
	strcpy(t.group, "line-4");
	strcpy(t.pattern, "hub-*");
	return t;
}

static void is_written_and_read_as(const struct kt_ticket *ticket, const char *vector_path)
{
	char *vector = vector_file_load(vector_path);
	char text[KT_TICKET_MAX];
	struct kt_ticket back;

	assert_non_null(vector);
	assert_int_equal(kt_ticket_encode(ticket, text), KT_ERR_OK);
	assert_string_equal(text, vector);
	assert_int_equal(kt_ticket_decode(vector, &back), KT_ERR_OK);
	assert_memory_equal(&back, ticket, sizeof(back));
	free(vector);
}

static void both_kinds_are_written_and_read_as_their_vectors_say(void **state)
{
	const struct kt_ticket for_device = device_ticket();
	const struct kt_ticket for_group = group_ticket();

	(void)state;
	is_written_and_read_as(&for_device, "ticket/device-1.txt");
	is_written_and_read_as(&for_group, "ticket/group-1.txt");
}

static void blanks_around_a_ticket_do_no_harm(void **state)
{
	char *vector = vector_file_load("ticket/device-1.txt");
	const struct kt_ticket expected = device_ticket();
	struct kt_ticket back;
	char text[KT_TICKET_MAX + 16];

	(void)state;
	assert_non_null(vector);
	(void)snprintf(text, sizeof(text), " \t\n%s \r\n\n", vector);
	assert_int_equal(kt_ticket_decode(text, &back), KT_ERR_OK);
	assert_memory_equal(&back, &expected, sizeof(back));
	free(vector);
}

static void the_longest_ticket_fits(void **state)
{
	struct kt_ticket t = group_ticket();
	struct kt_ticket back;
	char text[KT_TICKET_MAX];

	(void)state;
	memset(t.broker, 'b', KT_BROKER_MAX);
	memcpy(t.broker + KT_BROKER_MAX - 6, ":65535", 6);
	memset(t.trust_domain, 't', KT_TRUST_DOMAIN_MAX);
	memset(t.group, 'g', KT_GROUP_MAX);
	memset(t.pattern, '*', KT_DEVICE_ID_MAX);
	t.expires_us = INT64_MAX;
	assert_int_equal(kt_ticket_encode(&t, text), KT_ERR_OK);
	assert_int_equal(kt_ticket_decode(text, &back), KT_ERR_OK);
	assert_memory_equal(&back, &t, sizeof(back));
}

/* Makes a ticket of any JSON text. */
static void wrap(const char *json, char *out, size_t cap)
{
	const size_t prefix_len = strlen(KT_TICKET_PREFIX);

	memcpy(out, KT_TICKET_PREFIX, prefix_len);
	assert_int_equal(kt_b64url_encode((const uint8_t *)json, strlen(json), out + prefix_len,
					  cap - prefix_len),
			 KT_ERR_OK);
}

static void refused(const char *text, enum kt_err expected)
{
	static const struct kt_ticket zero;
	struct kt_ticket out;

	memset(&out, 0xff, sizeof(out));
	if (kt_ticket_decode(text, &out) != expected)
		fail_msg("not %s: %s", kt_err_name(expected), text);
	assert_memory_equal(&out, &zero, sizeof(out));
}

#define JSON(v, broker, td, root, whom, expires, secret)                                           \
	"{\"v\":" v ",\"broker\":" broker ",\"td\":" td ",\"root\":" root "," whom                 \
	",\"expires\":" expires ",\"secret\":" secret "}"
#define BROKER	"\"broker.fleet.example:8883\""
#define TD	"\"fleet.example\""
#define EXPIRES "\"1753604800000000\""
#define Q(s)	"\"" s "\""

static void well_formed_variants_are_read(void **state)
{
	static const char *const good[] = {
		JSON("1", BROKER, TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET)),
		JSON("1", Q("[::1]:8883"), TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET)),
		JSON("1", Q("127.0.0.1:1"), TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET)),
		JSON("1", BROKER, TD, Q(ROOT), "\"pattern\":\"*\",\"group\":\"g\"", EXPIRES,
		     Q(SECRET)),
	};
	char text[2 * KT_TICKET_MAX];
	struct kt_ticket out;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		wrap(good[i], text, sizeof(text));
		if (kt_ticket_decode(text, &out) != KT_ERR_OK)
			fail_msg("refused: %s", good[i]);
	}
}

static void malformed_tickets_are_refused(void **state)
{
	static const char *const bad[] = {
		"{}",
		"[]",
		"",
		"x",
		JSON("0", BROKER, TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET)),
		JSON("-1", BROKER, TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET)),
		JSON("\"1\"", BROKER, TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET)),
		JSON("1", "1", TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET)),
		JSON("1", Q(""), TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET)),
		JSON("1", Q("broker"), TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET)),
		JSON("1", Q(":8883"), TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET)),
		JSON("1", Q("broker:"), TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET)),
		JSON("1", Q("broker:0"), TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET)),
		JSON("1", Q("broker:65536"), TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET)),
		JSON("1", Q("broker:08883"), TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET)),
		JSON("1", Q("broker:88 83"), TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET)),
		JSON("1", Q("bro ker:8883"), TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET)),
		JSON("1", Q("tls://broker:8883"), TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET)),
		JSON("1", Q("::1:8883"), TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET)),
		JSON("1", Q("[]:8883"), TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET)),
		JSON("1", Q("[::1:8883"), TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET)),
		JSON("1", BROKER, Q(""), Q(ROOT), DEVICE, EXPIRES, Q(SECRET)),
		JSON("1", BROKER, Q("Fleet"), Q(ROOT), DEVICE, EXPIRES, Q(SECRET)),
		JSON("1", BROKER, TD, Q(""), DEVICE, EXPIRES, Q(SECRET)),
		JSON("1", BROKER, TD, Q("E0" ROOT), DEVICE, EXPIRES, Q(SECRET)),
		JSON("1", BROKER, TD, Q(ROOT), "\"device\":\"\"", EXPIRES, Q(SECRET)),
		JSON("1", BROKER, TD, Q(ROOT), "\"device\":\"op\"", EXPIRES, Q(SECRET)),
		JSON("1", BROKER, TD, Q(ROOT), "\"device\":\"a/b\"", EXPIRES, Q(SECRET)),
		JSON("1", BROKER, TD, Q(ROOT), "\"group\":\"g\"", EXPIRES, Q(SECRET)),
		JSON("1", BROKER, TD, Q(ROOT), "\"pattern\":\"*\"", EXPIRES, Q(SECRET)),
		JSON("1", BROKER, TD, Q(ROOT), "\"group\":\"\",\"pattern\":\"*\"", EXPIRES,
		     Q(SECRET)),
		JSON("1", BROKER, TD, Q(ROOT), "\"group\":\"g\",\"pattern\":\"\"", EXPIRES,
		     Q(SECRET)),
		JSON("1", BROKER, TD, Q(ROOT), "\"group\":\"g\",\"pattern\":\"a?b\"", EXPIRES,
		     Q(SECRET)),
		JSON("1", BROKER, TD, Q(ROOT), "\"group\":\"a b\",\"pattern\":\"*\"", EXPIRES,
		     Q(SECRET)),
		JSON("1", BROKER, TD, Q(ROOT), DEVICE ",\"group\":\"g\",\"pattern\":\"*\"", EXPIRES,
		     Q(SECRET)),
		JSON("1", BROKER, TD, Q(ROOT), DEVICE ",\"pattern\":\"\"", EXPIRES, Q(SECRET)),
		JSON("1", BROKER, TD, Q(ROOT), DEVICE "," DEVICE, EXPIRES, Q(SECRET)),
		JSON("1", BROKER, TD, Q(ROOT), DEVICE ",\"extra\":1", EXPIRES, Q(SECRET)),
		JSON("1", BROKER, TD, Q(ROOT), DEVICE, Q("0"), Q(SECRET)),
		JSON("1", BROKER, TD, Q(ROOT), DEVICE, Q("01"), Q(SECRET)),
		JSON("1", BROKER, TD, Q(ROOT), DEVICE, Q("-1"), Q(SECRET)),
		JSON("1", BROKER, TD, Q(ROOT), DEVICE, Q("9223372036854775808"), Q(SECRET)),
		JSON("1", BROKER, TD, Q(ROOT), DEVICE, "1753604800000000", Q(SECRET)),
		JSON("1", BROKER, TD, Q(ROOT), DEVICE, EXPIRES, Q("")),
		JSON("1", BROKER, TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET "=")),
		JSON("1", BROKER, TD, Q(ROOT), DEVICE, EXPIRES, Q("gIGCg4SFhoeIiYqLjI2Oj5CRkpOU")),
		JSON("1", BROKER, TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET) ",\"x\":{\"y\":[1]}"),
		JSON("1", BROKER, TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET)) " {}",
	};
	char text[2 * KT_TICKET_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		wrap(bad[i], text, sizeof(text));
		refused(text, KT_ERR_INVALID);
	}
}

static void every_member_is_needed(void **state)
{
	static const char *const members[] = {"\"v\":1,",
					      "\"broker\":" BROKER ",",
					      "\"td\":" TD ",",
					      "\"root\":" Q(ROOT) ",",
					      DEVICE ",",
					      "\"expires\":" EXPIRES ",",
					      ",\"secret\":" Q(SECRET)};
	char text[2 * KT_TICKET_MAX];
	char json[1024];

	(void)state;
	for (size_t i = 0; i < COUNT(members); i++) {
		char *at;

		strcpy(json, JSON("1", BROKER, TD, Q(ROOT), DEVICE, EXPIRES, Q(SECRET)));
		at = strstr(json, members[i]);
		assert_non_null(at);
		memmove(at, at + strlen(members[i]), strlen(at + strlen(members[i])) + 1);
		wrap(json, text, sizeof(text));
		refused(text, KT_ERR_INVALID);
	}
}

static void a_later_version_is_told_from_nonsense(void **state)
{
	char text[2 * KT_TICKET_MAX];

	(void)state;
	refused("keyturn-ticket-2.anything", KT_ERR_VERSION);
	refused("keyturn-ticket-10.", KT_ERR_VERSION);
	refused("keyturn-ticket-0.e30", KT_ERR_INVALID);
	refused("keyturn-ticket-01.e30", KT_ERR_INVALID);
	refused("keyturn-ticket-1", KT_ERR_INVALID);
	refused("keyturn-ticket-1.", KT_ERR_INVALID);
	refused("keyturn-ticket-.e30", KT_ERR_INVALID);
	refused("keyturn-ticket-", KT_ERR_INVALID);
	refused("Keyturn-ticket-1.e30", KT_ERR_INVALID);
	refused("", KT_ERR_INVALID);
	refused(" \n", KT_ERR_INVALID);
	wrap("{\"v\":2,\"anything\":true}", text, sizeof(text));
	refused(text, KT_ERR_VERSION);
}

static void a_ticket_cut_off_or_damaged_anywhere_is_refused(void **state)
{
	char *vector = vector_file_load("ticket/device-1.txt");
	const size_t len = vector == NULL ? 0 : strlen(vector);

	(void)state;
	assert_non_null(vector);
	for (size_t i = 0; i < len; i++) {
		struct kt_ticket out;
		const char last = vector[i];

		vector[i] = '\0';
		assert_int_not_equal(kt_ticket_decode(vector, &out), KT_ERR_OK);
		vector[i] = '=';
		assert_int_not_equal(kt_ticket_decode(vector, &out), KT_ERR_OK);
		vector[i] = ' ';
		assert_int_not_equal(kt_ticket_decode(vector, &out), KT_ERR_OK);
		vector[i] = last;
	}
	free(vector);
}

static void a_ticket_over_the_limit_is_refused(void **state)
{
	char *text = malloc(20000);

	(void)state;
	assert_non_null(text);
	memset(text, 'A', 20000);
	memcpy(text, KT_TICKET_PREFIX, strlen(KT_TICKET_PREFIX));
	text[19999] = '\0';
	refused(text, KT_ERR_INVALID);
	free(text);
}

static void refuses_to_write(const struct kt_ticket *ticket)
{
	char text[KT_TICKET_MAX] = "x";

	assert_int_equal(kt_ticket_encode(ticket, text), KT_ERR_INVALID);
	assert_string_equal(text, "");
}

static void writes_nothing_that_it_would_not_read(void **state)
{
	struct kt_ticket t = device_ticket();

	(void)state;
	t.expires_us = 0;
	refuses_to_write(&t);
	t = device_ticket();
	t.expires_us = -1;
	refuses_to_write(&t);
	t = device_ticket();
	memset(t.device, 0, sizeof(t.device));
	refuses_to_write(&t);
	t = device_ticket();
	strcpy(t.device, "claim");
	refuses_to_write(&t);
	t = device_ticket();
	strcpy(t.group, "g");
	refuses_to_write(&t);
	t = device_ticket();
	strcpy(t.pattern, "*");
	refuses_to_write(&t);
	t = group_ticket();
	t.pattern[0] = '\0';
	refuses_to_write(&t);
	t = group_ticket();
	strcpy(t.pattern, "hub-?");
	refuses_to_write(&t);
	t = device_ticket();
	strcpy(t.broker, "broker");
	refuses_to_write(&t);
	t = device_ticket();
	strcpy(t.broker, "\"broker:8883");
	refuses_to_write(&t);
	t = device_ticket();
	t.trust_domain[0] = '\0';
	refuses_to_write(&t);
	t = device_ticket();
	memset(t.broker, 'b', sizeof(t.broker));
	refuses_to_write(&t);
	t = device_ticket();
	memset(t.device, 'b', sizeof(t.device));
	refuses_to_write(&t);
}

static void a_pattern_covers_the_whole_id(void **state)
{
	static const struct {
		const char *pattern;
		const char *device;
		bool is_match;
	} rows[] = {
		{"*", "hub-17", true},
		{"hub-17", "hub-17", true},
		{"hub-*", "hub-17", true},
		{"hub-*", "hub-", true},
		{"*17", "hub-17", true},
		{"*-*", "hub-17", true},
		{"h*b*7", "hub-17", true},
		{"**", "hub-17", true},
		{"hub-17*", "hub-17", true},
		{"*ab", "aab", true},
		{"*a*ab", "aaab", true},
		{"*", "", true},
		{"", "", true},
		{"a*b*c", "aXbYbZc", true},
		{"hub-17", "hub-170", false},
		{"hub-17", "hub-1", false},
		{"hub-*", "Hub-17", false},
		{"hub-*", "xhub-17", false},
		{"*17", "hub-171", false},
		{"h*b*8", "hub-17", false},
		{"", "hub-17", false},
		{"hub-17", "", false},
		{"*a", "", false},
		{"a*b*c", "abc-", false},
		{"a*a", "a", false},
		{"hub.17", "hub-17", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (kt_ticket_pattern_matches(rows[i].pattern, rows[i].device) != rows[i].is_match)
			fail_msg("\"%s\" against \"%s\"", rows[i].pattern, rows[i].device);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_kinds_are_written_and_read_as_their_vectors_say),
		cmocka_unit_test(blanks_around_a_ticket_do_no_harm),
		cmocka_unit_test(the_longest_ticket_fits),
		cmocka_unit_test(well_formed_variants_are_read),
		cmocka_unit_test(malformed_tickets_are_refused),
		cmocka_unit_test(every_member_is_needed),
		cmocka_unit_test(a_later_version_is_told_from_nonsense),
		cmocka_unit_test(a_ticket_cut_off_or_damaged_anywhere_is_refused),
		cmocka_unit_test(a_ticket_over_the_limit_is_refused),
		cmocka_unit_test(writes_nothing_that_it_would_not_read),
		cmocka_unit_test(a_pattern_covers_the_whole_id),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
