#include "topic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define TD	 "fleet.example"

static void builds_the_command_topic_and_client_id_of_a_device(void **state)
{
	struct kt_device_id device;
	char topic[KT_TOPIC_MAX];
	char id[KT_CLIENT_ID_MAX];
	char uri[KT_URI_MAX + 1];

	(void)state;
	assert_true(kt_device_id_set(&device, "hub-17", 6));
	kt_topic_device_cmd(&device, topic);
	assert_string_equal(topic, "keyturn/v1/device/hub-17/cmd");
	kt_client_id_of(&device, KT_TAG_AGENT, id);
	assert_string_equal(id, "hub-17:agent");
	kt_uri_device(TD, "hub-17", uri);
	assert_string_equal(uri, "spiffe://fleet.example/device/hub-17");
}

static void the_longest_names_fit(void **state)
{
	struct kt_device_id device;
	struct kt_client_name name;
	const char *uri_name = NULL;
	char longest[KT_TRUST_DOMAIN_MAX + 1];
	char topic[KT_TOPIC_MAX];
	char id[KT_CLIENT_ID_MAX];
	char uri[KT_URI_MAX + 1];

	(void)state;
	memset(longest, 'a', sizeof(longest) - 1);
	longest[KT_TRUST_DOMAIN_MAX] = '\0';
	assert_true(kt_device_id_set(&device, longest, KT_DEVICE_ID_MAX));
	kt_topic_device_cmd(&device, topic);
	assert_int_equal(strlen(topic), strlen(KT_TOPIC_DEVICE_PREFIX) + KT_DEVICE_ID_MAX + 4);
	kt_client_id_of(&device, longest + KT_TRUST_DOMAIN_MAX - KT_TAG_MAX, id);
	kt_client_name_decode(id, &name);
	assert_int_equal(name.kind, KT_CLIENT_TAGGED);
	assert_string_equal(name.device.s, device.s);
	kt_uri_device(longest, device.s, uri);
	assert_int_equal(kt_uri_decode(uri, longest, &uri_name), KT_URI_DEVICE);
	assert_string_equal(uri_name, device.s);
}

static const struct {
	const char *id;
	enum kt_client_kind kind;
	const char *device;
} client_ids[] = {
	{NULL, KT_CLIENT_OTHER, ""},
	{"", KT_CLIENT_OTHER, ""},
	{"hub-17", KT_CLIENT_DEVICE, "hub-17"},
	{"HUB-17", KT_CLIENT_DEVICE, "HUB-17"},
	{"opx", KT_CLIENT_DEVICE, "opx"},
	{"claims", KT_CLIENT_DEVICE, "claims"},
	{"hub-17:agent", KT_CLIENT_AGENT, "hub-17"},
	{"hub-17:trial", KT_CLIENT_TRIAL, "hub-17"},
	{"hub-17:Agent", KT_CLIENT_TAGGED, "hub-17"},
	{"hub-17:agents", KT_CLIENT_TAGGED, "hub-17"},
	{"hub-17:cam.1", KT_CLIENT_TAGGED, "hub-17"},
	{"hub-17:op", KT_CLIENT_TAGGED, "hub-17"},
	{"hub-17:", KT_CLIENT_RESERVED, "hub-17"},
	{"hub-17:a:b", KT_CLIENT_RESERVED, "hub-17"},
	{"hub-17:agent ", KT_CLIENT_RESERVED, "hub-17"},
	{"hub-17:agent:", KT_CLIENT_RESERVED, "hub-17"},
	{"hub-17:a/b", KT_CLIENT_RESERVED, "hub-17"},
	{"hub-17:abcdefghijklmnopqrstuvwxyz0123456", KT_CLIENT_RESERVED, "hub-17"},
	{"claim:AAAAAAAAAAAAAAAAAAAAAA", KT_CLIENT_CLAIM, ""},
	{"claim:_-zzzzzzzzzzzzzzzzzz09", KT_CLIENT_CLAIM, ""},
	{"claim:AAAAAAAAAAAAAAAAAAAAA", KT_CLIENT_RESERVED, ""},
	{"claim:AAAAAAAAAAAAAAAAAAAAAAA", KT_CLIENT_RESERVED, ""},
	{"claim:AAAAAAAAAAAAAAAAAAAAA=", KT_CLIENT_RESERVED, ""},
	{"claim:AAAAAAAAAAAAAAAAAAAAA+", KT_CLIENT_RESERVED, ""},
	{"claim:AAAAAAAAAAAAAAAAAAAAA:", KT_CLIENT_RESERVED, ""},
	{"claim:agent", KT_CLIENT_RESERVED, ""},
	{"claim:", KT_CLIENT_RESERVED, ""},
	{"claim", KT_CLIENT_RESERVED, ""},
	{"Claim", KT_CLIENT_RESERVED, ""},
	{"CLAIM:AAAAAAAAAAAAAAAAAAAAAA", KT_CLIENT_RESERVED, ""},
	{"op:alice", KT_CLIENT_OPERATOR, ""},
	{"op:keyturnctl-8f2c", KT_CLIENT_OPERATOR, ""},
	{"op:agent", KT_CLIENT_OPERATOR, ""},
	{"op:", KT_CLIENT_RESERVED, ""},
	{"op: alice", KT_CLIENT_RESERVED, ""},
	{"op:a:b", KT_CLIENT_RESERVED, ""},
	{"op:#", KT_CLIENT_RESERVED, ""},
	{"op", KT_CLIENT_RESERVED, ""},
	{"OP", KT_CLIENT_RESERVED, ""},
	{"Op:alice", KT_CLIENT_RESERVED, ""},
	{":agent", KT_CLIENT_OTHER, ""},
	{"-hub:agent", KT_CLIENT_OTHER, ""},
	{"hub 17", KT_CLIENT_OTHER, ""},
	{"hub/17:agent", KT_CLIENT_OTHER, ""},
	{"hub+17", KT_CLIENT_OTHER, ""},
	{"h\xc3\xbc"
	 "b:agent",
	 KT_CLIENT_OTHER, ""},
	{"a234567890123456789012345678901234567890123456789012345678901234", KT_CLIENT_OTHER, ""},
};

static void a_client_id_says_by_its_shape_whose_it_claims_to_be(void **state)
{
	struct kt_client_name name;

	(void)state;
	for (size_t i = 0; i < COUNT(client_ids); i++) {
		kt_client_name_decode(client_ids[i].id, &name);
		if (name.kind != client_ids[i].kind)
			fail_msg("\"%s\" is kind %d", client_ids[i].id, (int)name.kind);
		assert_string_equal(name.device.s, client_ids[i].device);
	}
}

static const struct {
	const char *uri;
	enum kt_uri_kind kind;
	const char *name;
	bool is_ours;
} uris[] = {
	{"spiffe://fleet.example/device/hub-17", KT_URI_DEVICE, "hub-17", true},
	{"spiffe://fleet.example/claim/batch.7", KT_URI_CLAIM, "batch.7", true},
	{"spiffe://fleet.example/operator/alice", KT_URI_OPERATOR, "alice", true},
	{"spiffe://fleet.example/controller/12", KT_URI_CONTROLLER, "12", true},
	{"spiffe://fleet.example/broker/b.example", KT_URI_BROKER, "b.example", true},
	{"spiffe://fleet.example/device/op", KT_URI_OTHER, "", true},
	{"spiffe://fleet.example/device/", KT_URI_OTHER, "", true},
	{"spiffe://fleet.example/device", KT_URI_OTHER, "", true},
	{"spiffe://fleet.example/device/a/b", KT_URI_OTHER, "", true},
	{"spiffe://fleet.example/device/hub-17/", KT_URI_OTHER, "", true},
	{"spiffe://fleet.example/device/hub-17?x", KT_URI_OTHER, "", true},
	{"spiffe://fleet.example/device/%68ub", KT_URI_OTHER, "", true},
	{"spiffe://fleet.example//device/hub-17", KT_URI_OTHER, "", true},
	{"spiffe://fleet.example/Device/hub-17", KT_URI_OTHER, "", true},
	{"spiffe://fleet.example/devices/hub-17", KT_URI_OTHER, "", true},
	{"spiffe://fleet.example/operator/..", KT_URI_OTHER, "", true},
	{"spiffe://fleet.example/operator/-a", KT_URI_OTHER, "", true},
	{"spiffe://fleet.example", KT_URI_OTHER, "", true},
	{"spiffe://fleet.example:8883/device/hub-17", KT_URI_OTHER, "", true},
	{"spiffe://fleet.example?/device/hub-17", KT_URI_OTHER, "", true},
	{"spiffe://Fleet.example/device/hub-17", KT_URI_OTHER, "", true},
	{"SPIFFE://fleet.example/device/hub-17", KT_URI_OTHER, "", true},
	{"spiffe://fleet.example2/device/hub-17", KT_URI_OTHER, "", false},
	{"spiffe://fleet.example.org/device/hub-17", KT_URI_OTHER, "", false},
	{"spiffe://fleet.exampl/device/hub-17", KT_URI_OTHER, "", false},
	{"spiffe://x.fleet.example/device/hub-17", KT_URI_OTHER, "", false},
	{"https://fleet.example/device/hub-17", KT_URI_OTHER, "", false},
	{" spiffe://fleet.example/device/hub-17", KT_URI_OTHER, "", false},
	{"", KT_URI_OTHER, "", false},
};

static void a_uri_is_ours_only_in_its_exact_form(void **state)
{
	const char *name = NULL;

	(void)state;
	for (size_t i = 0; i < COUNT(uris); i++) {
		if (kt_uri_decode(uris[i].uri, TD, &name) != uris[i].kind)
			fail_msg("%s: wrong kind", uris[i].uri);
		assert_string_equal(name, uris[i].name);
		if (kt_uri_is_ours(uris[i].uri, TD) != uris[i].is_ours)
			fail_msg("%s: in the trust domain or not?", uris[i].uri);
	}
}

static const char *const touching[] = {
	"#",
	"+",
	"+/#",
	"+/+",
	"+/+/#",
	"+/v1/events/+",
	"+/v1/device/hub-17/cmd",
	"+/v1/",
	"+/status",
	"+//",
	"keyturn",
	"keyturn/",
	"keyturn/#",
	"keyturn/+",
	"keyturn//",
	"keyturn//#",
	"keyturn/v1",
	"keyturn/v1/device/hub-17/cmd",
	"keyturn/v1/device/hub-17/cmd/",
	"keyturn/v1/device/+/cmd",
	"keyturn/v2/anything",
	"keyturn/+/claim/cmd",
	"$CONTROL/#",
	"$CONTROL/+",
	"$CONTROL/+/v1",
	"$CONTROL/keyturn",
	"$CONTROL/keyturn/#",
	"$CONTROL/keyturn/v1",
	"$CONTROL/keyturn/v1/dev",
	"$CONTROL/keyturn/v1/response",
	"$CONTROL/+/v1/response",
	"$SYS/#",
	"$SYS/broker/#",
	"$SYS/broker/+",
	"$SYS/+/keyturn/devices",
	"$SYS/+/+/devices",
	"$SYS/broker/keyturn/#",
	"$SYS/broker/keyturn",
	"$share/g/#",
	"$share/g/+/#",
	"$share/g/+",
	"$share/g/keyturn/#",
	"$share/g/$CONTROL/#",
	"$share/g/$CONTROL/keyturn/v1/response",
	"$share/a b/keyturn/v1/events/#",
};

static const char *const not_understood[] = {
	"",
	"##",
	"#/",
	"#/x",
	"a/#/b",
	"a#",
	"a/b#",
	"a/+b",
	"a+/b",
	"++",
	"+a",
	"sport/+#",
	"$share",
	"$share/",
	"$share/g",
	"$share//a",
	"$share/g/",
	"$share/+/a",
	"$share/#",
	"$share/#/a",
	"$share/g/a#",
	"$share/g/$share/h/devices/x",
};

static const char *const clear[] = {
	"keyturn2",
	"keyturn2/#",
	"keyturn-x/v1",
	"Keyturn/#",
	"KEYTURN/v1/events/#",
	"keytur",
	"keytur/n",
	"/keyturn",
	"/keyturn/#",
	"//keyturn/#",
	"/#",
	"/+",
	"/",
	"//",
	"devices/#",
	"devices/keyturn/#",
	"devices/+/keyturn/v1",
	"a/+/#",
	"$CONTROL",
	"$CONTROL/",
	"$CONTROL/dynamic-security/#",
	"$CONTROL/keyturn2/#",
	"$CONTROL//keyturn",
	"$control/keyturn/#",
	"$CONTROL/dynamic-security/v1/response",
	"$SYS",
	"$SYS/broker",
	"$SYS/broker/clients/#",
	"$SYS/broker/clients/+",
	"$SYS/bridge/keyturn/#",
	"$share/g/devices/#",
	"$share/keyturn/devices/#",
	"$share/$CONTROL/devices/#",
	"$sharex/keyturn/#",
	"$shared/#",
	"$other/keyturn/#",
};

static void a_filter_touches_keyturn_if_it_can_match_a_topic_of_ours(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(touching); i++) {
		if (!kt_filter_touches_keyturn(touching[i]))
			fail_msg("\"%s\" touches", touching[i]);
	}
	for (size_t i = 0; i < COUNT(clear); i++) {
		if (kt_filter_touches_keyturn(clear[i]))
			fail_msg("\"%s\" does not touch", clear[i]);
	}
}

static void a_malformed_filter_counts_as_touching(void **state)
{
	char *longest = malloc(65537);

	(void)state;
	assert_non_null(longest);
	assert_true(kt_filter_touches_keyturn(NULL));
	for (size_t i = 0; i < COUNT(not_understood); i++) {
		if (!kt_filter_touches_keyturn(not_understood[i]))
			fail_msg("\"%s\" must count as touching", not_understood[i]);
		assert_false(kt_filter_matches(
			not_understood[i][0] == '$' ? "##" : not_understood[i], "a/b"));
	}
	memset(longest, 'a', 65536);
	longest[65536] = '\0';
	assert_true(kt_filter_touches_keyturn(longest));
	longest[65535] = '\0';
	assert_false(kt_filter_touches_keyturn(longest));
	free(longest);
}

static const struct {
	const char *filter;
	const char *topic;
	bool is_match;
} matches[] = {
	{"a/b", "a/b", true},
	{"a/b", "a/b/", false},
	{"a/b/", "a/b", false},
	{"a/b", "a/B", false},
	{"a/+", "a/b", true},
	{"a/+", "a/", true},
	{"a/+", "a", false},
	{"a/+", "a/b/c", false},
	{"a/+/c", "a/b/c", true},
	{"a/+/c", "a//c", true},
	{"a/#", "a", true},
	{"a/#", "a/", true},
	{"a/#", "a/b/c", true},
	{"a/#", "ab", false},
	{"a/b/#", "a", false},
	{"#", "a/b", true},
	{"#", "/a", true},
	{"#", "$SYS/x", false},
	{"+/x", "$SYS/x", false},
	{"+", "a", true},
	{"+", "/a", false},
	{"+/+", "/a", true},
	{"/+", "/a", true},
	{"$SYS/#", "$SYS/x", true},
	{"$SYS/+", "$SYS/x", true},
	{"a", "", false},
	{"", "a", false},
	{"", "", false},
	/* a filter on the right: is it covered? */
	{"a/#", "a/#", true},
	{"a/#", "a/+", true},
	{"a/#", "a/+/#", true},
	{"a/#", "a/+/c", true},
	{"a/#", "#", false},
	{"a/#", "+/b", false},
	{"a/+", "a/+", true},
	{"a/+", "a/#", false},
	{"a/+/c", "a/+/c", true},
	{"a/+/c", "a/+/+", false},
	{"a/b", "a/+", false},
	{"a/b", "a/#", false},
	{"a", "a/#", false},
	{"#", "+/x", true},
	{"#", "$SYS/#", false},
	{"a/#", "a/b#", false},
};

static void filters_match_as_mqtt_5_says(void **state)
{
	(void)state;
	assert_false(kt_filter_matches(NULL, "a"));
	assert_false(kt_filter_matches("a", NULL));
	for (size_t i = 0; i < COUNT(matches); i++) {
		if (kt_filter_matches(matches[i].filter, matches[i].topic) != matches[i].is_match)
			fail_msg("\"%s\" against \"%s\"", matches[i].filter, matches[i].topic);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(builds_the_command_topic_and_client_id_of_a_device),
		cmocka_unit_test(the_longest_names_fit),
		cmocka_unit_test(a_client_id_says_by_its_shape_whose_it_claims_to_be),
		cmocka_unit_test(a_uri_is_ours_only_in_its_exact_form),
		cmocka_unit_test(a_filter_touches_keyturn_if_it_can_match_a_topic_of_ours),
		cmocka_unit_test(a_malformed_filter_counts_as_touching),
		cmocka_unit_test(filters_match_as_mqtt_5_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
