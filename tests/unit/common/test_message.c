#include "message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vector_file.h"

static const uint64_t OP = 1753000000000001u;
static const uint64_t DEADLINE = 1753086400000000u;

static void count_up(uint8_t *out, size_t len, unsigned from, unsigned step)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(from + i * step);
}

static void fill_chain(struct kt_chain *chain)
{
	chain->count = 2;
	chain->cert[0].len = 200;
	count_up(chain->cert[0].der, 200, 0, 3);
	chain->cert[1].len = 151;
	count_up(chain->cert[1].der, 151, 0, 5);
}

static void fill_answer(struct kt_msg_answer *answer)
{
	count_up(answer->nonce.b, sizeof(answer->nonce.b), 0x40, 1);
	count_up(answer->fp.b, sizeof(answer->fp.b), 0xa0, 1);
	strcpy(answer->report.agent, "1.0.0");
	strcpy(answer->report.store, "file");
	answer->report.generation = 7;
	answer->report.phase = KT_PHASE_STABLE;
}

static void fill_hello(struct kt_msg_hello *hello)
{
	strcpy(hello->agent, "1.0.0");
	strcpy(hello->store, "file");
	hello->generation = 7;
	count_up(hello->fp.b, sizeof(hello->fp.b), 0xa0, 1);
	hello->phase = KT_PHASE_KEY;
	hello->op = OP;
}

static void fill_rotate(struct kt_msg_rotate *rotate)
{
	rotate->op = OP;
	count_up(rotate->nonce.b, sizeof(rotate->nonce.b), 0x20, 1);
	rotate->alg = KT_ALG_ES256;
	rotate->deadline_us = DEADLINE;
	count_up(rotate->cur.b, sizeof(rotate->cur.b), 0xc0, 1);
}

static void fill_from_device(struct kt_message *m)
{
	uint8_t *const fp_of_promoted = m->u.promoted.fp.b;

	switch ((int)m->type) {
	case KT_MESSAGE_HELLO:
		fill_hello(&m->u.hello);
		break;
	case KT_MESSAGE_ANSWER:
		fill_answer(&m->u.answer);
		break;
	case KT_MESSAGE_CSR:
		m->u.csr.op = OP;
		count_up(m->u.csr.nonce.b, KT_NONCE_LEN, 0x20, 1);
		m->u.csr.csr_len = 100;
		count_up(m->u.csr.csr, 100, 0, 7);
		break;
	case KT_MESSAGE_CONFIRM:
		m->u.confirm.op = OP;
		count_up(m->u.confirm.nonce.b, KT_NONCE_LEN, 0x20, 1);
		count_up(m->u.confirm.fp.b, KT_FINGERPRINT_LEN, 0xa0, 1);
		break;
	case KT_MESSAGE_PROMOTED:
		m->u.promoted.op = OP;
		count_up(fp_of_promoted, KT_FINGERPRINT_LEN, 0xa0, 1);
		break;
	case KT_MESSAGE_FAILED:
		m->u.failed.op = OP;
		m->u.failed.reason = KT_REASON_HOOK;
		break;
	case KT_MESSAGE_ENROLL:
		m->u.enroll.csr_len = 100;
		count_up(m->u.enroll.csr, 100, 0, 7);
		m->u.enroll.has_ticket = true;
		count_up(m->u.enroll.ticket, KT_TICKET_SECRET_LEN, 0x60, 1);
		break;
	default:
		fail_msg("%s is not from the device", kt_message_type_name(m->type));
	}
}

static void fill_about_op(struct kt_message *m)
{
	switch ((int)m->type) {
	case KT_MESSAGE_ROTATE:
		fill_rotate(&m->u.rotate);
		break;
	case KT_MESSAGE_CERT:
		m->u.cert.op = OP;
		fill_chain(&m->u.cert.chain);
		break;
	case KT_MESSAGE_COMMITTED:
		m->u.committed.op = OP;
		count_up(m->u.committed.fp.b, KT_FINGERPRINT_LEN, 0xa0, 1);
		break;
	case KT_MESSAGE_NOTED:
		m->u.noted.op = OP;
		m->u.noted.of = KT_MESSAGE_PROMOTED;
		break;
	case KT_MESSAGE_ENROLLED:
		m->u.enrolled.op = OP;
		count_up(m->u.enrolled.nonce.b, KT_NONCE_LEN, 0x20, 1);
		fill_chain(&m->u.enrolled.chain);
		break;
	default:
		fail_msg("%s is not filled", kt_message_type_name(m->type));
	}
}

static void fill_from_plugin(struct kt_message *m)
{
	switch ((int)m->type) {
	case KT_MESSAGE_WELCOME:
		count_up(m->sn.b, KT_NONCE_LEN, 0x10, 1);
		m->u.welcome.time_us = 1753000000123456u;
		count_up(m->u.welcome.fp.b, KT_FINGERPRINT_LEN, 0xa0, 1);
		m->u.welcome.next = KT_NEXT_CERT;
		m->u.welcome.op = OP;
		break;
	case KT_MESSAGE_CHALLENGE:
		count_up(m->u.challenge.nonce.b, KT_CHALLENGE_LEN, 0x40, 1);
		m->u.challenge.deadline_us = DEADLINE;
		break;
	case KT_MESSAGE_REJECT:
		m->u.reject.reason = KT_REASON_NONCE_WRONG;
		m->u.reject.retry_s = 60;
		m->u.reject.op = OP;
		break;
	case KT_MESSAGE_REVOKED:
		m->u.revoked.reason = KT_REASON_REVOKED;
		m->u.revoked.wipe = true;
		break;
	case KT_MESSAGE_PENDING:
		m->u.pending.retry_s = 300;
		break;
	default:
		fill_about_op(m);
	}
}

static bool is_from_device(enum kt_message_type type)
{
#define KT_DIRECTION(code, name, from_device) [KT_MESSAGE_##code] = from_device,
	static const bool directions[] = {KT_MESSAGE_LIST(KT_DIRECTION)};
#undef KT_DIRECTION
	return directions[type];
}

/* The message that stands in the vector of its type. */
static struct kt_message *example(enum kt_message_type type)
{
	struct kt_message *m = kt_message_new(type);

	assert_non_null(m);
	strcpy(m->trust_domain, "fleet.example");
	assert_true(kt_device_id_set(&m->device, "hub-17", 6));
	if (is_from_device(type) && type != KT_MESSAGE_HELLO && type != KT_MESSAGE_ENROLL)
		count_up(m->sn.b, KT_NONCE_LEN, 0x10, 1);
	else
		count_up(m->dn.b, KT_NONCE_LEN, 0, 1);
	if (is_from_device(type))
		fill_from_device(m);
	else
		fill_from_plugin(m);
	return m;
}

static char *vector_of(enum kt_message_type type)
{
	char path[64];
	char *text = NULL;

	(void)snprintf(path, sizeof(path), "messages/%s.json", kt_message_type_name(type));
	text = vector_file_load(path);
	if (text == NULL)
		fail_msg("no vector %s", path);
	return text;
}

static struct kt_message *decoded(const char *text, bool from_device)
{
	enum kt_reason reason = KT_REASON_NONE;
	struct kt_message *m = NULL;

	if (kt_message_decode((const uint8_t *)text, strlen(text), from_device, &m, &reason) !=
	    KT_ERR_OK)
		fail_msg("%s: %s", kt_reason_name(reason), text);
	assert_int_equal(reason, KT_REASON_NONE);
	return m;
}

/* Encodes, decodes again, compares; the text must be @expected unless that is NULL. */
static void goes_round(const struct kt_message *m, const char *expected)
{
	struct kt_message *back = NULL;
	char *text = NULL;
	size_t len = 0;

	assert_int_equal(kt_message_encode(m, &text, &len), KT_ERR_OK);
	assert_int_equal(len, strlen(text));
	if (expected != NULL)
		assert_string_equal(text, expected);
	back = decoded(text, is_from_device(m->type));
	assert_int_equal(back->type, m->type);
	assert_memory_equal(back, m, kt_message_size(m));
	kt_message_free(back);
	free(text);
}

static void every_type_is_written_and_read_as_its_vector_says(void **state)
{
	(void)state;
	for (int i = 0; i < (int)KT_MESSAGE_COUNT; i++) {
		struct kt_message *m = example((enum kt_message_type)i);
		char *vector = vector_of((enum kt_message_type)i);

		goes_round(m, vector);
		free(vector);
		kt_message_free(m);
	}
}

static void optional_members_may_be_left_out(void **state)
{
	struct kt_message *m = example(KT_MESSAGE_REJECT);

	(void)state;
	m->u.reject.op = 0;
	memset(&m->device, 0, sizeof(m->device));
	goes_round(m, "{\"v\":1,\"type\":\"reject\",\"td\":\"fleet.example\",\"device\":\"\","
		      "\"dn\":\"AAECAwQFBgcICQoLDA0ODw\",\"reason\":\"nonce.wrong\","
		      "\"retry_s\":60}");
	kt_message_free(m);

	m = example(KT_MESSAGE_ENROLL);
	m->u.enroll.has_ticket = false;
	memset(m->u.enroll.ticket, 0, sizeof(m->u.enroll.ticket));
	memset(&m->device, 0, sizeof(m->device));
	m->u.enroll.csr_len = 1;
	memset(m->u.enroll.csr, 0, sizeof(m->u.enroll.csr));
	goes_round(m, "{\"v\":1,\"type\":\"enroll\",\"td\":\"fleet.example\",\"device\":\"\","
		      "\"dn\":\"AAECAwQFBgcICQoLDA0ODw\",\"csr\":\"AA\"}");
	kt_message_free(m);

	m = example(KT_MESSAGE_PENDING);
	memset(&m->device, 0, sizeof(m->device));
	goes_round(m, NULL);
	kt_message_free(m);
}

static void the_ends_of_every_range_go_round(void **state)
{
	struct kt_message *m = example(KT_MESSAGE_HELLO);

	(void)state;
	m->u.hello.op = 0;
	m->u.hello.generation = 0; /* of a certificate that was taken over */
	goes_round(m, NULL);
	m->u.hello.generation = UINT32_MAX;
	memset(m->u.hello.agent, '~', KT_AGENT_NAME_MAX);
	memset(m->u.hello.store, '!', KT_AGENT_NAME_MAX);
	memset(m->trust_domain, 'a', KT_TRUST_DOMAIN_MAX);
	memset(m->device.s, 'b', KT_DEVICE_ID_MAX);
	goes_round(m, NULL);
	kt_message_free(m);

	m = example(KT_MESSAGE_WELCOME);
	m->u.welcome.op = 0;
	m->u.welcome.time_us = UINT64_MAX;
	memset(&m->u.welcome.fp, 0, sizeof(m->u.welcome.fp));
	goes_round(m, NULL);
	kt_message_free(m);

	m = example(KT_MESSAGE_NOTED);
	m->u.noted.op = KT_OP_MAX;
	m->u.noted.of = KT_MESSAGE_FAILED;
	goes_round(m, NULL);
	kt_message_free(m);

	m = example(KT_MESSAGE_PENDING);
	m->u.pending.retry_s = KT_RETRY_MAX_S;
	goes_round(m, NULL);
	m->u.pending.retry_s = 0;
	goes_round(m, NULL);
	kt_message_free(m);

	m = example(KT_MESSAGE_CSR);
	m->u.csr.csr_len = KT_CSR_MAX;
	count_up(m->u.csr.csr, KT_CSR_MAX, 9, 11);
	goes_round(m, NULL);
	kt_message_free(m);
}

static void every_phase_next_step_and_peer_reason_goes_round(void **state)
{
	struct kt_message *hello = example(KT_MESSAGE_HELLO);
	struct kt_message *welcome = example(KT_MESSAGE_WELCOME);
	struct kt_message *failed = example(KT_MESSAGE_FAILED);

	(void)state;
	for (int i = 0; i <= (int)KT_PHASE_CERT; i++) {
		hello->u.hello.phase = (enum kt_device_phase)i;
		goes_round(hello, NULL);
	}
	for (int i = 0; i <= (int)KT_NEXT_CLOSED; i++) {
		welcome->u.welcome.next = (enum kt_next)i;
		goes_round(welcome, NULL);
	}
	for (int i = 0; i < (int)KT_REASON_COUNT; i++) {
		char *text = NULL;
		size_t len = 0;

		failed->u.failed.reason = (enum kt_reason)i;
		if (i != KT_REASON_NONE && kt_reason_is_for_peer((enum kt_reason)i)) {
			goes_round(failed, NULL);
			continue;
		}
		assert_int_equal(kt_message_encode(failed, &text, &len), KT_ERR_INVALID);
	}
	kt_message_free(hello);
	kt_message_free(welcome);
	kt_message_free(failed);
}

static void refuses_to_write(struct kt_message *m, enum kt_err expected)
{
	char *text = (char *)m;
	size_t len = 1;

	assert_int_equal(kt_message_encode(m, &text, &len), expected);
	assert_null(text);
	assert_int_equal(len, 0);
	kt_message_free(m);
}

#define REFUSES(type, member, bad)                                                                 \
	do {                                                                                       \
		struct kt_message *m = example(KT_MESSAGE_##type);                                 \
		m->member = (bad);                                                                 \
		refuses_to_write(m, KT_ERR_INVALID);                                               \
	} while (0)

static void writes_nothing_that_it_would_not_read(void **state)
{
	(void)state;
	REFUSES(HELLO, trust_domain[0], '\0');
	REFUSES(HELLO, trust_domain[0], 'F');
	REFUSES(HELLO, device.s[0], '\0');
	REFUSES(HELLO, device.s[0], '-');
	REFUSES(ENROLL, device.s[0], '-');
	REFUSES(ENROLLED, device.s[0], '\0');
	REFUSES(HELLO, u.hello.agent[0], '\0');
	REFUSES(HELLO, u.hello.agent[0], ' ');
	REFUSES(HELLO, u.hello.store[0], '\x7f');
	REFUSES(HELLO, u.hello.op, KT_OP_MAX + 1);
	REFUSES(HELLO, u.hello.phase, (enum kt_device_phase)(KT_PHASE_CERT + 1));
	REFUSES(WELCOME, u.welcome.next, (enum kt_next)(KT_NEXT_CLOSED + 1));
	REFUSES(ANSWER, u.answer.report.agent[0], '\0');
	REFUSES(ROTATE, u.rotate.op, 0);
	REFUSES(ROTATE, u.rotate.alg, KT_ALG_NONE);
	REFUSES(CSR, u.csr.csr_len, 0);
	REFUSES(CSR, u.csr.csr_len, KT_CSR_MAX + 1);
	REFUSES(CERT, u.cert.op, 0);
	REFUSES(CERT, u.cert.chain.count, 0);
	REFUSES(CERT, u.cert.chain.count, KT_CHAIN_MAX + 1);
	REFUSES(CERT, u.cert.chain.cert[1].len, 0);
	REFUSES(CERT, u.cert.chain.cert[1].len, KT_CERT_MAX + 1);
	REFUSES(CONFIRM, u.confirm.op, 0);
	REFUSES(NOTED, u.noted.of, KT_MESSAGE_CSR);
	REFUSES(REJECT, u.reject.reason, KT_REASON_NONE);
	REFUSES(REJECT, u.reject.reason, KT_REASON_CERT_UNKNOWN);
	REFUSES(REJECT, u.reject.retry_s, KT_RETRY_MAX_S + 1);
	REFUSES(REJECT, u.reject.op, KT_OP_MAX + 1);
	REFUSES(REVOKED, u.revoked.reason, KT_REASON_COUNT);
	REFUSES(PENDING, u.pending.retry_s, KT_RETRY_MAX_S + 1);
	REFUSES(PENDING, type, KT_MESSAGE_COUNT);
}

static void names_without_an_end_are_not_read_past_their_array(void **state)
{
	struct kt_message *m = example(KT_MESSAGE_HELLO);

	(void)state;
	memset(m->u.hello.agent, 'a', sizeof(m->u.hello.agent));
	refuses_to_write(m, KT_ERR_INVALID);
	m = example(KT_MESSAGE_HELLO);
	memset(m->device.s, 'a', sizeof(m->device.s));
	refuses_to_write(m, KT_ERR_INVALID);
	m = example(KT_MESSAGE_HELLO);
	memset(m->trust_domain, 'a', sizeof(m->trust_domain));
	refuses_to_write(m, KT_ERR_INVALID);
}

static void a_payload_over_its_limit_is_not_written(void **state)
{
	struct kt_message *m = example(KT_MESSAGE_CERT);

	(void)state;
	m->u.cert.chain.count = 3;
	for (size_t i = 0; i < 3; i++)
		m->u.cert.chain.cert[i].len = KT_CERT_MAX;
	refuses_to_write(m, KT_ERR_TOO_LONG);
}

static void what_lies_outside_the_lists_has_no_name(void **state)
{
	(void)state;
	assert_string_equal(kt_message_type_name(KT_MESSAGE_ENROLL), "enroll");
	assert_string_equal(kt_message_type_name(KT_MESSAGE_COUNT), "?");
	assert_string_equal(kt_phase_name((enum kt_device_phase)(KT_PHASE_CERT + 1)), "?");
	assert_string_equal(kt_next_name((enum kt_next)(KT_NEXT_CLOSED + 1)), "?");
	kt_message_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_is_written_and_read_as_its_vector_says),
		cmocka_unit_test(optional_members_may_be_left_out),
		cmocka_unit_test(the_ends_of_every_range_go_round),
		cmocka_unit_test(every_phase_next_step_and_peer_reason_goes_round),
		cmocka_unit_test(writes_nothing_that_it_would_not_read),
		cmocka_unit_test(names_without_an_end_are_not_read_past_their_array),
		cmocka_unit_test(a_payload_over_its_limit_is_not_written),
		cmocka_unit_test(what_lies_outside_the_lists_has_no_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
