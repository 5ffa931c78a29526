#include "control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fleet.h"
#include "played.h"

static void an_unreadable_batch_gets_one_answer_without_a_command(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *text;
		const char *error;
	} cases[] = {
		{"", "json.syntax"},
		{"x", "json.syntax"},
		{"{", "json.syntax"},
		{"[]", "json.syntax"},
		{"\"commands\"", "json.syntax"},
		{"{}", "json.field"},
		{"{\"commands\":[]}", "json.field"},
		{"{\"commands\":{}}", "json.field"},
		{"{\"commands\":\"x\"}", "json.field"},
		{"{\"commands\":[{\"command\":\"status\"}],\"x\":1}", "json.field"},
		{"{\"Commands\":[{\"command\":\"status\"}]}", "json.field"},
		{"{\"commands\":[{\"command\":\"status\"}]}x", "json.syntax"},
		{"{\"commands\":[{\"command\":\"status\"}],\"commands\":[]}", "json.syntax"},
		{"{\"commands\":[{\"command\":\"status\",\"command\":\"status\"}]}", "json.syntax"},
		{"{\"commands\":[{\"command\":\"sta\\u0000tus\"}]}", "json.syntax"},
		{"{\"commands\":[{\"command\":\"\xff\"}]}", "json.syntax"},
		{"{\"commands\":[[[[[[[[[[]]]]]]]]]]}", "msg.size"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char start[64];
		const char *answer = ask(f, cases[i].text);
		(void)snprintf(start, sizeof(start), "{\"responses\":[{\"error\":\"%s\",",
			       cases[i].error);
		if (strncmp(answer, start, strlen(start)) != 0) {
			fail_msg("%s: %s", cases[i].text, answer);
		}
		assert_int_equal(f->played.actions, 0);
		assert_int_equal(f->played.refused_count, 1);
		assert_string_equal(f->played.refused_fields, "actor=op:alice ");
	}
}

static void a_batch_over_its_size_is_not_parsed(void **state)
{
	struct fixture *f = *state;
	size_t len = (size_t)KT_CONTROL_SIZE_MAX + 1;
	char *text = malloc(len + 1);
	assert_non_null(text);
	memset(text, ' ', len);
	text[len] = '\0';
	assert_string_equal(ask(f, text),
			    "{\"responses\":[{\"error\":\"msg.size\",\"detail\":\"the batch is too "
			    "large, too deep or has too many parts\"}]}");
	free(text);
}

/* --- what is refused --- */

struct refusal {
	const char *command;
	const char *members;
	const char *error;
	const char *detail; /* a part of it */
};

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct refusal refusals[] = {
	{"Rotate", "\"device\":\"hub-1\"", "command.unknown", "command"},
	{"", "", "command.unknown", "command"},
	{A64, "", "json.field", "command is missing, no string, or too long"},
	{"status", "\"device\":\"hub-1\"", "json.field", "does not belong here"},
	{"status", "\"correlationData\":7", "json.field", "correlationData"},
	{"status", "\"correlationData\":\"" A64 A64 "a\"", "msg.size", "correlationData"},
	{"createDevice", "", "json.field", "device is missing"},
	{"createDevice", "\"device\":7", "json.field", "device is of another type"},
	{"createDevice", "\"device\":\"\"", "json.field", "device is no device id"},
	{"createDevice", "\"device\":\"a/b\"", "json.field", "device is no device id"},
	{"createDevice", "\"device\":\"a+\"", "json.field", "device is no device id"},
	{"createDevice", "\"device\":\"-a\"", "json.field", "device is no device id"},
	{"createDevice", "\"device\":\"OP\"", "json.field", "device is no device id"},
	{"createDevice", "\"device\":\"claim\"", "json.field", "device is no device id"},
	{"createDevice", "\"device\":\"" A64 "\"", "msg.size", "device is longer"},
	{"createDevice", "\"device\":\"h\",\"group\":\"\"", "json.field", "group is not 1 to 63"},
	{"createDevice", "\"device\":\"h\",\"group\":\"a/#\"", "json.field", "group is not"},
	{"createDevice", "\"device\":\"h\",\"group\":\"a*\"", "json.field", "group is not"},
	{"createDevice", "\"device\":\"h\",\"group\":\"" A64 "\"", "msg.size", "group"},
	{"createDevice", "\"device\":\"h\",\"keyId\":\"ab\"", "json.field", "keyId is not 64"},
	{"createDevice", "\"device\":\"h\",\"keyId\":\"" A64 "a\"", "msg.size", "keyId"},
	{"createDevice",
	 "\"device\":\"h\",\"keyId\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	 "AAAAAA\"",
	 "json.field", "keyId is not 64 lower-case"},
	{"createTicket", "", "json.field", "device or group together with pattern"},
	{"createTicket", "\"group\":\"g\"", "json.field", "exactly one of both"},
	{"createTicket", "\"pattern\":\"p\"", "json.field", "exactly one of both"},
	{"createTicket", "\"device\":\"h\",\"group\":\"g\",\"pattern\":\"p\"", "json.field",
	 "exactly one of both"},
	{"createTicket", "\"device\":\"h\",\"pattern\":\"p\"", "json.field", "exactly one"},
	{"createTicket", "\"group\":\"g\",\"pattern\":\"h?\"", "json.field", "pattern is not"},
	{"createTicket", "\"device\":\"h\",\"validFor\":0", "json.field",
	 "validFor is not from 1 to 31536000"},
	{"createTicket", "\"device\":\"h\",\"validFor\":31536001", "json.field", "validFor"},
	{"createTicket", "\"device\":\"h\",\"validFor\":\"1d\"", "json.field", "validFor"},
	{"createTicket", "\"device\":\"h\",\"broker\":\"b\"", "json.field",
	 "broker is not host:port"},
	{"createTicket", "\"device\":\"h\",\"broker\":\"b:0\"", "json.field", "broker"},
	{"createTicket", "\"device\":\"h\",\"broker\":\"b:99999\"", "json.field", "broker"},
	{"createTicket", "\"device\":\"h\",\"broker\":\"a b:1\"", "json.field", "broker"},
	{"createTicket", "\"device\":\"h\",\"broker\":\"\"", "json.field", "broker"},
	{"listDevices", "\"count\":0", "json.field", "count is not from 1 to 200"},
	{"listDevices", "\"count\":201", "json.field", "count is not from 1 to 200"},
	{"listDevices", "\"offset\":-1", "json.field", "offset is not from 0"},
	{"listDevices", "\"state\":\"Active\"", "json.field", "state has state= without"},
	{"listDevices", "\"state\":\"\"", "json.field", "state has state= without"},
	{"listPending", "\"count\":201", "json.field", "count"},
	{"getDevice", "", "json.field", "device is missing"},
	{"getDevice", "\"device\":\"hub-9\"", "not.found", "device does not exist"},
	{"getDevice", "\"device\":\"HUB-1\"", "not.found", "device does not exist"},
	{"approve", "\"device\":\"h\"", "json.field", "keyId is missing"},
	{"approve", "\"keyId\":\"" KEY "\"", "json.field", "device is missing"},
	{"deny", "", "json.field", "keyId is missing"},
	{"deny", "\"keyId\":\"\"", "json.field", "keyId is not 64"},
	{"rotate", "", "json.field", "device or devices or all or select: exactly one"},
	{"rotate", "\"device\":\"hub-1\",\"all\":true,\"expect\":3", "json.field", "exactly one"},
	{"rotate", "\"device\":\"hub-9\"", "not.found", "device does not exist"},
	{"rotate", "\"device\":\"hub-1\",\"expect\":2", "expect", "expect is not the number"},
	{"rotate", "\"devices\":[]", "json.field", "devices is empty"},
	{"rotate", "\"devices\":[7],\"expect\":1", "json.field", "devices holds something"},
	{"rotate", "\"devices\":[\"hub-1\",\"hub-2\"]", "expect", "expect is missing"},
	{"rotate", "\"devices\":[\"hub-1\",\"hub-2\"],\"expect\":3", "expect", "expect is not"},
	{"rotate", "\"devices\":[\"hub-1\",\"hub-1\"],\"expect\":2", "json.field",
	 "devices names one twice"},
	{"rotate", "\"devices\":[\"hub-1\",\"hub-9\"],\"expect\":2", "not.found",
	 "devices names one that does not exist"},
	{"rotate", "\"all\":false,\"expect\":0", "json.field", "all can only be true"},
	{"rotate", "\"all\":true", "expect", "expect is missing"},
	{"rotate", "\"all\":true,\"expect\":2", "expect", "expect is not the number"},
	{"rotate", "\"all\":true,\"expect\":4", "expect", "expect is not the number"},
	{"rotate", "\"all\":1,\"expect\":3", "json.field", "all is of another type"},
	{"rotate", "\"select\":[\"group=north\"],\"all\":true,\"expect\":1", "json.field",
	 "exactly one"},
	{"rotate", "\"select\":[\"group=north\"],\"device\":\"hub-1\"", "json.field",
	 "exactly one"},
	{"rotate", "\"select\":[\"group=north\"]", "expect", "expect is missing"},
	{"rotate", "\"select\":[\"group=north\"],\"expect\":2", "expect", "expect is not"},
	{"rotate", "\"select\":[],\"expect\":3", "json.field", "select is empty"},
	{"rotate", "\"select\":[7],\"expect\":3", "json.field", "select holds something"},
	{"rotate", "\"select\":\"group=north\",\"expect\":1", "json.field",
	 "select is of another type"},
	{"rotate", "\"select\":[\"hub-1\"],\"expect\":1", "json.field",
	 "select has a word that is none of"},
	{"rotate", "\"select\":[\"state=active\",\"group=\"],\"expect\":1", "json.field",
	 "select has group= without"},
	{"rotate", "\"device\":\"hub-9\",\"dryRun\":true", "not.found", "device"},
	{"rotate", "\"device\":\"hub-1\",\"dryRun\":1", "json.field", "dryRun"},
	{"revoke", "", "json.field", "exactly one"},
	{"revoke", "\"all\":true", "expect", "expect is missing"},
	{"revoke", "\"devices\":[\"hub-1\",\"hub-9\"],\"expect\":2", "not.found",
	 "devices names one that does not exist"},
	{"deleteDevice", "\"select\":[\"state=active\"],\"expect\":2", "expect", "expect is not"},
	{"listDevices", "\"select\":[\"x\"]", "json.field", "select has a word"},
	{"setDevice", "\"device\":\"hub-1\"", "json.field", "at least one of them"},
	{"setDevice", "\"group\":\"a\"", "json.field", "exactly one"},
	{"setDevice", "\"device\":\"hub-9\",\"group\":\"a\"", "not.found", "device"},
	{"setDevice", "\"device\":\"hub-1\",\"group\":\"a b\"", "json.field",
	 "group is not 1 to 63"},
	{"setDevice", "\"device\":\"hub-1\",\"group\":\"" A64 "\"", "msg.size", "group"},
	{"setDevice", "\"device\":\"hub-1\",\"addLabels\":[\"a\",\"b c\"]", "json.field",
	 "no label"},
	{"setDevice", "\"device\":\"hub-1\",\"addLabels\":[7]", "json.field", "no label"},
	{"setDevice", "\"device\":\"hub-1\",\"removeLabels\":[\"\"]", "json.field", "no label"},
	{"setDevice", "\"device\":\"hub-1\",\"removeLabels\":[null]", "json.field", "no label"},
	{"cancel", "\"device\":\"hub-9\"", "not.found", "device"},
	{"challenge", "\"device\":\"hub-9\"", "not.found", "device"},
	{"quarantine", "\"device\":\"hub-9\"", "not.found", "device"},
	{"quarantine", "\"device\":\"hub-1\",\"note\":\"" A64 A64 "\"", "msg.size", "note"},
	{"release", "\"device\":\"hub-9\"", "not.found", "device"},
	{"release", "\"device\":\"hub-1\",\"freeze\":\"true\"", "json.field", "freeze"},
	{"confirmClock", "\"device\":\"hub-1\"", "json.field", "does not belong here"},
	{"endReconcile", "\"device\":\"hub-1\"", "json.field", "does not belong here"},
	{"revoke", "\"device\":\"hub-9\"", "not.found", "device"},
	{"revoke", "\"device\":\"hub-1\",\"emergency\":1", "json.field", "emergency"},
	{"revoke", "\"device\":\"hub-1\",\"wipe\":null", "json.field", "wipe"},
	{"deleteDevice", "\"device\":\"hub-9\"", "not.found", "device"},
	{"addOperator", "", "json.field", "name is missing"},
	{"addOperator", "\"name\":\"carol\",\"role\":\"viewer\"", "json.field", "fp is missing"},
	{"addOperator", "\"name\":\"carol\",\"fp\":\"" KEY "\"", "json.field", "role is missing"},
	{"addOperator", "\"name\":\"\",\"fp\":\"" KEY "\",\"role\":\"admin\"", "json.field",
	 "name is no operator's name"},
	{"addOperator", "\"name\":\"a/b\",\"fp\":\"" KEY "\",\"role\":\"admin\"", "json.field",
	 "name is no operator's name"},
	{"addOperator", "\"name\":\"op\",\"fp\":\"" KEY "\",\"role\":\"admin\"", "json.field",
	 "name is no operator's name"},
	{"addOperator", "\"name\":\"" A64 "\",\"fp\":\"" KEY "\",\"role\":\"admin\"", "msg.size",
	 "name is longer"},
	{"addOperator", "\"name\":\"carol\",\"fp\":\"ab\",\"role\":\"admin\"", "json.field",
	 "fp is not 64 lower-case"},
	{"addOperator", "\"name\":\"carol\",\"fp\":\"" A64 "a\",\"role\":\"admin\"", "msg.size",
	 "fp is longer"},
	{"addOperator", "\"name\":\"carol\",\"fp\":\"" KEY "\",\"role\":\"Admin\"", "json.field",
	 "role is none of"},
	{"addOperator", "\"name\":\"carol\",\"fp\":\"" KEY "\",\"role\":\"none\"", "json.field",
	 "role is none of"},
	{"addOperator", "\"name\":\"carol\",\"fp\":\"" KEY "\",\"role\":\"\"", "json.field",
	 "role is none of"},
	{"addOperator",
	 "\"name\":\"carol\",\"fp\":\"" KEY "\",\"role\":\"admin\",\"note\":\"" A64 A64 "\"",
	 "msg.size", "note"},
	{"removeOperator", "", "json.field", "name is missing"},
	{"removeOperator", "\"name\":\"a b\"", "json.field", "name is no operator's name"},
	{"removeOperator", "\"name\":\"carol\",\"role\":\"admin\"", "json.field",
	 "does not belong here"},
	{"listOperators", "\"count\":201", "json.field", "count is not from 1 to 200"},
	{"listOperators", "\"removed\":1", "json.field", "removed is of another type"},
	{"beginCampaign", "", "json.field", "campaign is missing"},
	{"beginCampaign", "\"campaign\":\"roll\",\"all\":true,\"expect\":3", "json.field",
	 "action is missing"},
	{"beginCampaign", "\"action\":\"rotate\",\"all\":true,\"expect\":3", "json.field",
	 "campaign is missing"},
	{"beginCampaign", "\"campaign\":7,\"action\":\"rotate\",\"all\":true", "json.field",
	 "campaign is of another type"},
	{"beginCampaign", "\"campaign\":\"\",\"action\":\"rotate\",\"all\":true,\"expect\":3",
	 "json.field", "campaign is no campaign's name"},
	{"beginCampaign", "\"campaign\":\"a b\",\"action\":\"rotate\",\"all\":true,\"expect\":3",
	 "json.field", "campaign is no campaign's name"},
	{"beginCampaign", "\"campaign\":\"a/b\",\"action\":\"rotate\",\"all\":true,\"expect\":3",
	 "json.field", "campaign is no campaign's name"},
	{"beginCampaign", "\"campaign\":\"-a\",\"action\":\"rotate\",\"all\":true,\"expect\":3",
	 "json.field", "campaign is no campaign's name"},
	{"beginCampaign", "\"campaign\":\"roll*\",\"action\":\"rotate\",\"all\":true,\"expect\":3",
	 "json.field", "campaign is no campaign's name"},
	{"beginCampaign", "\"campaign\":\"" A64 "\",\"action\":\"rotate\",\"all\":true", "msg.size",
	 "campaign is longer"},
	{"beginCampaign", "\"campaign\":\"roll\",\"action\":\"revoke\",\"all\":true,\"expect\":3",
	 "json.field", "action is neither rotate nor challenge"},
	{"beginCampaign", "\"campaign\":\"roll\",\"action\":\"Rotate\",\"all\":true,\"expect\":3",
	 "json.field", "action is neither rotate nor challenge"},
	{"beginCampaign", "\"campaign\":\"roll\",\"action\":\"\",\"all\":true,\"expect\":3",
	 "json.field", "action is neither rotate nor challenge"},
	{"beginCampaign", "\"campaign\":\"roll\",\"action\":\"aaaaaaaaaaaaaaaaa\",\"all\":true",
	 "msg.size", "action is longer"},
	{"beginCampaign",
	 "\"campaign\":\"roll\",\"action\":\"rotate\",\"all\":true,\"expect\":3,\"plan\":\"canary="
	 "1\"",
	 "json.field", "plan is of another type"},
	{"beginCampaign",
	 "\"campaign\":\"roll\",\"action\":\"rotate\",\"all\":true,\"expect\":3,\"plan\":[7]",
	 "json.field", "plan holds something that is no string"},
	{"beginCampaign",
	 "\"campaign\":\"roll\",\"action\":\"rotate\",\"all\":true,\"expect\":3,\"plan\":[\"canary="
	 "1\",\"speed=1\"]",
	 "json.field", "plan has a word that is none of canary="},
	{"beginCampaign",
	 "\"campaign\":\"roll\",\"action\":\"rotate\",\"all\":true,\"expect\":3,\"plan\":[\"canary="
	 "0\"]",
	 "json.field", "plan has canary= with something else"},
	{"beginCampaign",
	 "\"campaign\":\"roll\",\"action\":\"rotate\",\"all\":true,\"expect\":3,\"plan\":[\"hold="
	 "600\"]",
	 "json.field", "plan has hold= with"},
	{"beginCampaign",
	 "\"campaign\":\"roll\",\"action\":\"rotate\",\"all\":true,\"expect\":3,\"plan\":["
	 "\"failures=101%\"]",
	 "json.field", "out of range (0 to 100)"},
	{"beginCampaign",
	 "\"campaign\":\"roll\",\"action\":\"rotate\",\"all\":true,\"dryRun\":true,\"plan\":["
	 "\"rate=0\"]",
	 "json.field", "plan has rate= with"},
	{"beginCampaign",
	 "\"campaign\":\"roll\",\"action\":\"rotate\",\"all\":true,\"expect\":3,\"plan\":[\"hold="
	 "0\",\"hold=0\",\"hold=0\",\"hold=0\",\"hold=0\",\"hold=0\",\"hold=0\",\"hold=0\",\"hold="
	 "0\",\"hold=0\",\"hold=0\",\"hold=0\",\"hold=0\",\"hold=0\",\"hold=0\",\"hold=0\",\"hold="
	 "0\"]",
	 "msg.size", "plan"},
	{"beginCampaign", "\"campaign\":\"roll\",\"action\":\"rotate\"", "json.field",
	 "device or devices or all or select: exactly one"},
	{"beginCampaign",
	 "\"campaign\":\"roll\",\"action\":\"rotate\",\"all\":true,\"device\":\"hub-1\"",
	 "json.field", "exactly one"},
	{"beginCampaign", "\"campaign\":\"roll\",\"action\":\"rotate\",\"all\":true", "expect",
	 "expect is missing"},
	{"beginCampaign", "\"campaign\":\"roll\",\"action\":\"rotate\",\"all\":true,\"expect\":2",
	 "expect", "expect is not the number"},
	{"beginCampaign",
	 "\"campaign\":\"roll\",\"action\":\"rotate\",\"all\":true,\"expect\":4,\"dryRun\":true",
	 "expect", "expect is not the number"},
	{"beginCampaign",
	 "\"campaign\":\"roll\",\"action\":\"rotate\",\"select\":[\"group=north\"]", "expect",
	 "expect is missing"},
	{"beginCampaign",
	 "\"campaign\":\"roll\",\"action\":\"rotate\",\"select\":[\"group=north\"],\"expect\":2",
	 "expect", "expect is not"},
	{"beginCampaign",
	 "\"campaign\":\"roll\",\"action\":\"rotate\",\"select\":[\"group=mars\"],\"expect\":1",
	 "expect", "expect is not"},
	{"beginCampaign",
	 "\"campaign\":\"roll\",\"action\":\"rotate\",\"select\":[\"group=mars\"],\"expect\":0",
	 "not.found", "select means no device"},
	{"beginCampaign",
	 "\"campaign\":\"roll\",\"action\":\"rotate\",\"select\":[\"group=mars\"],\"dryRun\":true",
	 "not.found", "select means no device"},
	{"beginCampaign",
	 "\"campaign\":\"roll\",\"action\":\"rotate\",\"select\":[\"hub-1\"],\"expect\":1",
	 "json.field", "select has a word that is none of"},
	{"beginCampaign", "\"campaign\":\"roll\",\"action\":\"rotate\",\"select\":[],\"expect\":3",
	 "json.field", "select is empty"},
	{"beginCampaign", "\"campaign\":\"roll\",\"action\":\"rotate\",\"devices\":[],\"expect\":0",
	 "json.field", "devices is empty"},
	{"beginCampaign",
	 "\"campaign\":\"roll\",\"action\":\"rotate\",\"devices\":[\"hub-1\",\"hub-1\"],\"expect\":"
	 "2",
	 "json.field", "devices names one twice"},
	{"beginCampaign",
	 "\"campaign\":\"roll\",\"action\":\"rotate\",\"devices\":[\"hub-1\",\"hub-9\"],\"expect\":"
	 "2",
	 "not.found", "devices names one that does not"},
	{"beginCampaign",
	 "\"campaign\":\"roll\",\"action\":\"rotate\",\"devices\":[\"hub-1\",\"hub-2\"]", "expect",
	 "expect is missing"},
	{"beginCampaign", "\"campaign\":\"roll\",\"action\":\"rotate\",\"device\":\"hub-9\"",
	 "not.found", "device does not exist"},
	{"beginCampaign",
	 "\"campaign\":\"roll\",\"action\":\"rotate\",\"device\":\"hub-1\",\"expect\":2", "expect",
	 "expect is not"},
	{"beginCampaign",
	 "\"campaign\":\"roll\",\"action\":\"rotate\",\"device\":\"hub-1\",\"note\":\"" A64 "" A64
	 "\"",
	 "msg.size", "note"},
	{"beginCampaign",
	 "\"campaign\":\"roll\",\"action\":\"rotate\",\"device\":\"hub-1\",\"dryRun\":\"yes\"",
	 "json.field", "dryRun is of another type"},
	{"beginCampaign",
	 "\"campaign\":\"roll\",\"action\":\"rotate\",\"device\":\"hub-1\",\"emergency\":true",
	 "json.field", "does not belong here"},
	{"pauseCampaign", "", "json.field", "campaign is missing"},
	{"pauseCampaign", "\"campaign\":\"a b\"", "json.field", "campaign is no campaign's name"},
	{"pauseCampaign", "\"campaign\":\"roll\"", "not.found", "campaign does not exist"},
	{"pauseCampaign", "\"campaign\":\"roll\",\"all\":true", "json.field",
	 "does not belong here"},
	{"pauseCampaign", "\"campaign\":\"roll\",\"note\":7", "json.field",
	 "note is of another type"},
	{"resumeCampaign", "", "json.field", "campaign is missing"},
	{"resumeCampaign", "\"campaign\":\"a b\"", "json.field", "campaign is no campaign's name"},
	{"resumeCampaign", "\"campaign\":\"roll\"", "not.found", "campaign does not exist"},
	{"resumeCampaign", "\"campaign\":\"roll\",\"all\":true", "json.field",
	 "does not belong here"},
	{"resumeCampaign", "\"campaign\":\"roll\",\"note\":7", "json.field",
	 "note is of another type"},
	{"abortCampaign", "", "json.field", "campaign is missing"},
	{"abortCampaign", "\"campaign\":\"a b\"", "json.field", "campaign is no campaign's name"},
	{"abortCampaign", "\"campaign\":\"roll\"", "not.found", "campaign does not exist"},
	{"abortCampaign", "\"campaign\":\"roll\",\"all\":true", "json.field",
	 "does not belong here"},
	{"abortCampaign", "\"campaign\":\"roll\",\"note\":7", "json.field",
	 "note is of another type"},
	{"getCampaign", "", "json.field", "campaign is missing"},
	{"getCampaign", "\"campaign\":\"a b\"", "json.field", "campaign is no campaign's name"},
	{"getCampaign", "\"campaign\":\"roll\"", "not.found", "campaign does not exist"},
	{"getCampaign", "\"campaign\":\"roll\",\"all\":true", "json.field", "does not belong here"},
	{"getCampaign", "\"campaign\":\"roll\",\"note\":\"x\"", "json.field",
	 "does not belong here"},
	{"getCampaign", "\"campaign\":\"roll\",\"count\":201", "not.found",
	 "campaign does not exist"},
	{"listCampaigns", "\"campaign\":\"roll\"", "json.field", "does not belong here"},
};

static void each_wrong_command_is_refused_and_nothing_is_done(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		char error[64];
		const char *answer = ask_one(f, refusals[i].command, refusals[i].members);
		(void)snprintf(error, sizeof(error), "\"error\":\"%s\",", refusals[i].error);
		if (strstr(answer, error) == NULL || strstr(answer, refusals[i].detail) == NULL ||
		    strstr(answer, "\"data\"") != NULL || f->played.actions != 0 ||
		    f->played.refused_count != 1 || f->played.done != 0) {
			fail_msg("%s %s: %s", refusals[i].command, refusals[i].members, answer);
		}
	}
}

static void a_ticket_needs_a_broker_from_somewhere(void **state)
{
	struct fixture *f = *state;
	f->config.broker_address[0] = '\0';
	const char *answer = ask_one(f, "createTicket", "\"device\":\"h\"");
	assert_non_null(strstr(answer, "broker is missing, and broker_address is not configured"));
	assert_int_equal(f->played.actions, 0);
}

/* Anybody with a password may take another client id over while the answer is on its way. */
static void a_ticket_goes_to_a_client_id_of_operators_alone(void **state)
{
	static const char *const others[] = {"x", "mosq-abc", "opx", "op", "OP:x"};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		const char *answer = NULL;

		(void)snprintf(f->operator->client_id, sizeof(f->operator->client_id), "%s",
			       others[i]);
		answer = ask_one(f, "createTicket", "\"device\":\"h\"");
		assert_non_null(strstr(answer, "\"error\":\"denied\""));
		assert_non_null(strstr(answer, "begins with op:"));
		assert_null(strstr(answer, "keyturn-ticket"));
		assert_int_equal(f->played.actions, 0);
	}
}

static void all_of_a_large_fleet_is_refused(void **state)
{
	struct fixture *f = *state;
	add_devices(f, 998);
	const char *answer = ask_one(f, "rotate", "\"all\":true,\"expect\":1001");
	assert_non_null(strstr(answer, "\"error\":\"msg.size\""));
	assert_int_equal(f->played.actions, 0);
}

/* Every command, and who may give it: written down once more, so that a slip in a table shows. */
static const struct {
	const char *command;
	const char *who; /* v, r, e, k for revoker, a */
} matrix[] = {
	{"createDevice", "ea"},	  {"createTicket", "ea"},     {"listDevices", "vreka"},
	{"getDevice", "vreka"},	  {"listPending", "vreka"},   {"approve", "ea"},
	{"deny", "ea"},		  {"rotate", "ra"},	      {"cancel", "ra"},
	{"challenge", "ra"},	  {"quarantine", "ka"},	      {"release", "a"},
	{"confirmClock", "a"},	  {"endReconcile", "a"},      {"revoke", "ka"},
	{"deleteDevice", "a"},	  {"status", "vreka"},	      {"addOperator", "a"},
	{"removeOperator", "a"},  {"listOperators", "vreka"}, {"importCertificate", "ea"},
	{"setDevice", "a"},	  {"beginCampaign", "ra"},    {"pauseCampaign", "ra"},
	{"resumeCampaign", "ra"}, {"abortCampaign", "ra"},    {"listCampaigns", "vreka"},
	{"getCampaign", "vreka"},
};

static const char *who_may(const char *command)
{
	for (size_t i = 0; i < sizeof(matrix) / sizeof(matrix[0]); i++) {
		if (strcmp(matrix[i].command, command) == 0)
			return matrix[i].who;
	}
	fail_msg("%s is not in the matrix", command);
	return "";
}

static void each_role_may_what_the_matrix_says(void **state)
{
	static const struct {
		enum kt_role role;
		char letter;
		const char *name;
	} all[] = {{KT_ROLE_VIEWER, 'v', "viewer"},
		   {KT_ROLE_ROTATOR, 'r', "rotator"},
		   {KT_ROLE_ENROLLER, 'e', "enroller"},
		   {KT_ROLE_REVOKER, 'k', "revoker"},
		   {KT_ROLE_ADMIN, 'a', "admin"}};
	struct fixture *f = *state;

	assert_int_equal(sizeof(matrix) / sizeof(matrix[0]), KT_COMMAND_COUNT);
	assert_int_equal(sizeof(all) / sizeof(all[0]), KT_ROLE_COUNT - 1);
	for (size_t r = 0; r < sizeof(all) / sizeof(all[0]); r++) {
		assert_string_equal(kt_role_name(all[r].role), all[r].name);
		assert_int_equal(kt_role_from_name(all[r].name), all[r].role);
		f->operator->role = all[r].role;
		for (unsigned i = 0; i < KT_COMMAND_COUNT; i++) {
			const char *name = kt_command_name((enum kt_command)i);
			const bool may = strchr(who_may(name), all[r].letter) != NULL;
			/* a field that no command has: whoever may is told so, and does nothing */
			const char *answer = ask_one(f, name, "\"colour\":\"blue\"");

			if ((strstr(answer, "\"error\":\"denied\"") == NULL) != may ||
			    (strstr(answer, "\"error\":\"json.field\"") != NULL) != may)
				fail_msg("%s %s: %s", all[r].name, name, answer);
			assert_int_equal(f->played.actions, 0);
		}
	}
}

static void what_is_no_role_may_nothing(void **state)
{
	static const enum kt_role none[] = {KT_ROLE_NONE, KT_ROLE_COUNT, (enum kt_role)99};

	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		for (unsigned permit = 1; permit <= KT_PERMIT_ADMIN; permit <<= 1)
			assert_false(kt_role_may(none[i], (enum kt_permit)permit));
	}
	assert_string_equal(kt_role_name(KT_ROLE_NONE), "none");
	assert_string_equal(kt_role_name(KT_ROLE_COUNT), "?");
	assert_int_equal(kt_role_from_name("none"), KT_ROLE_NONE);
	assert_int_equal(kt_role_from_name("Admin"), KT_ROLE_NONE);
	assert_int_equal(kt_role_from_name(""), KT_ROLE_NONE);
}

static void without_a_role_nothing_is_answered_but_denied(void **state)
{
	struct fixture *f = *state;
	f->operator->role = KT_ROLE_NONE;
	for (unsigned i = 0; i < KT_COMMAND_COUNT; i++) {
		const char *answer = ask_one(f, kt_command_name((enum kt_command)i), "");
		assert_non_null(strstr(answer, "\"error\":\"denied\""));
	}
}

static void the_table_holds_every_command(void **state)
{
	(void)state;
	for (unsigned i = 0; i < KT_COMMAND_COUNT; i++) {
		size_t count = 0;
		assert_non_null(kt_command_rules((enum kt_command)i, &count));
		assert_true(count >= 2);
	}
	size_t count = 7;
	assert_null(kt_command_rules(KT_COMMAND_COUNT, &count));
	assert_int_equal(count, 0);
	assert_string_equal(kt_command_name(KT_COMMAND_COUNT), "?");
	assert_int_equal(kt_command_permit(KT_COMMAND_COUNT), KT_PERMIT_ADMIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FLEET(an_unreadable_batch_gets_one_answer_without_a_command),
		WITH_FLEET(a_batch_over_its_size_is_not_parsed),
		WITH_FLEET(each_wrong_command_is_refused_and_nothing_is_done),
		WITH_FLEET(a_ticket_needs_a_broker_from_somewhere),
		WITH_FLEET(a_ticket_goes_to_a_client_id_of_operators_alone),
		WITH_FLEET(all_of_a_large_fleet_is_refused),
		WITH_FLEET(each_role_may_what_the_matrix_says),
		cmocka_unit_test(what_is_no_role_may_nothing),
		WITH_FLEET(without_a_role_nothing_is_answered_but_denied),
		cmocka_unit_test(the_table_holds_every_command),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
