/* What Paho says of a connection is of that one, whatever its link does meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <MQTTClient.h>
#include <cmocka.h>
#include <poll.h>

#include "clock.h"
#include "failing_alloc.h"
#include "transport_paho_internal.h"

enum { HANDLES = 8, PATIENCE_MS = 10000 };

struct handle { /* what the Paho of this test knows of one connection */
	void *context;
	MQTTClient_disconnected *disconnected;
	MQTTClient_connectionLost *lost;
	unsigned published;
	unsigned destroyed;
	unsigned goodbyes;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct handle handles[HANDLES];
static size_t handle_count;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* shut: a connect does not return */
static int receive_rc;					 /* FAILURE: Paho's own thread reads */

/* --- in place of Paho, and of the TLS library --- */

int MQTTClient_createWithOptions(MQTTClient *handle, const char *uri, const char *client_id,
				 int persistence, void *context, MQTTClient_createOptions *options)
{
	(void)uri, (void)client_id, (void)persistence, (void)context, (void)options;
	pthread_mutex_lock(&lock);
	*handle = handle_count < HANDLES ? &handles[handle_count++] : NULL;
	pthread_mutex_unlock(&lock);
	return *handle != NULL ? MQTTCLIENT_SUCCESS : MQTTCLIENT_FAILURE;
}

int MQTTClient_setCallbacks(MQTTClient handle, void *context, MQTTClient_connectionLost *lost,
			    MQTTClient_messageArrived *arrived, MQTTClient_deliveryComplete *done)
{
	struct handle *own = handle;

	(void)arrived, (void)done;
	own->context = context;
	own->lost = lost;
	return MQTTCLIENT_SUCCESS;
}

int MQTTClient_setDisconnected(MQTTClient handle, void *context,
			       MQTTClient_disconnected *disconnected)
{
	struct handle *own = handle;

	assert_ptr_equal(own->context, context);
	own->disconnected = disconnected;
	return MQTTCLIENT_SUCCESS;
}

MQTTResponse MQTTClient_connect5(MQTTClient handle, MQTTClient_connectOptions *options,
				 MQTTProperties *connect, MQTTProperties *will)
{
	const MQTTResponse response = MQTTResponse_initializer;

	(void)handle, (void)options, (void)connect, (void)will;
	pthread_mutex_lock(&gate);
	pthread_mutex_unlock(&gate);
	return response;
}

int MQTTClient_disconnect5(MQTTClient handle, int timeout, enum MQTTReasonCodes reason,
			   MQTTProperties *props)
{
	struct handle *own = handle;

	(void)timeout, (void)reason, (void)props;
	pthread_mutex_lock(&lock);
	own->goodbyes++;
	pthread_mutex_unlock(&lock);
	return MQTTCLIENT_SUCCESS;
}

MQTTResponse MQTTClient_subscribe5(MQTTClient handle, const char *topic, int qos,
				   MQTTSubscribe_options *options, MQTTProperties *props)
{
	const MQTTResponse response = MQTTResponse_initializer;

	(void)handle, (void)topic, (void)qos, (void)options, (void)props;
	return response;
}

MQTTResponse MQTTClient_publish5(MQTTClient handle, const char *topic, int len, const void *payload,
				 int qos, int retained, MQTTProperties *properties,
				 MQTTClient_deliveryToken *token)
{
	const MQTTResponse response = MQTTResponse_initializer;
	struct handle *own = handle;

	(void)topic, (void)len, (void)payload, (void)qos, (void)retained, (void)properties;
	(void)token;
	pthread_mutex_lock(&lock);
	own->published++;
	pthread_mutex_unlock(&lock);
	return response;
}

int MQTTClient_receive(MQTTClient handle, char **topic, int *topic_len,
		       MQTTClient_message **message, unsigned long timeout)
{
	(void)handle, (void)topic, (void)topic_len, (void)message, (void)timeout;
	return receive_rc;
}

void MQTTClient_destroy(MQTTClient *handle)
{
	struct handle *own = *handle;

	pthread_mutex_lock(&lock);
	own->destroyed++;
	pthread_mutex_unlock(&lock);
	*handle = NULL;
}

void MQTTClient_freeMessage(MQTTClient_message **message)
{
	(void)message;
}

void MQTTClient_free(void *ptr)
{
	(void)ptr;
}

void MQTTResponse_free(MQTTResponse response)
{
	(void)response;
}

void kt_tls_watch_next(struct kt_tls_watch *watch)
{
	(void)watch;
}

bool kt_tls_is_refusal(const struct kt_tls_watch *watch)
{
	(void)watch;
	return false;
}

/* --- the link --- */

static int setup(void **state)
{
	static const struct kt_paho_config config;
	struct kt_paho *paho = NULL;

	memset(handles, 0, sizeof(handles));
	handle_count = 0;
	receive_rc = MQTTCLIENT_FAILURE;
	if (kt_paho_new(&config, &paho) != KT_ERR_OK)
		return -1;
	*state = paho;
	return 0;
}

/* What was parted lives as long as Paho's own threads may: in a process, to its end. */
static int teardown(void **state)
{
	const bool is_clean = kt_paho_free(*state);

	for (size_t i = 0; i < handle_count; i++) {
		if (handles[i].destroyed == 0)
			free(handles[i].context);
	}
	return is_clean ? 0 : -1;
}

static void open_link(struct kt_paho *paho)
{
	static const struct kt_link_request request = {.client_id = "hub:agent"};
	const struct kt_transport *port = kt_paho_transport(paho);

	assert_int_equal(port->open(port->ctx, KT_LINK_AGENT, &request, "topic"), KT_ERR_OK);
}

static void close_link(struct kt_paho *paho)
{
	const struct kt_transport *port = kt_paho_transport(paho);

	port->close(port->ctx, KT_LINK_AGENT);
}

static void expect(struct kt_paho *paho, enum kt_link_event_kind kind, enum kt_link_cause cause)
{
	struct pollfd fd = {.fd = kt_paho_fd(paho), .events = POLLIN};
	struct kt_link_event event;

	while (!kt_paho_take(paho, &event))
		assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
	assert_int_equal(event.kind, kind);
	if (kind == KT_LINK_DOWN)
		assert_int_equal(event.cause, cause);
}

static unsigned published(size_t i)
{
	unsigned count = 0;

	pthread_mutex_lock(&lock);
	count = handles[i].published;
	pthread_mutex_unlock(&lock);
	return count;
}

/* All that was told before has been dealt with: a message has left over this connection. */
static void expect_to_send(struct kt_paho *paho, size_t i)
{
	const struct kt_transport *port = kt_paho_transport(paho);
	const unsigned before = published(i);

	assert_int_equal(port->send(port->ctx, KT_LINK_AGENT, "x", 1), KT_ERR_OK);
	for (int ms = 0; published(i) == before && ms < PATIENCE_MS; ms++)
		(void)poll(NULL, 0, 1);
	assert_int_equal(published(i), before + 1);
}

static void expect_nothing(struct kt_paho *paho)
{
	struct kt_link_event event;

	assert_false(kt_paho_take(paho, &event));
}

static void a_kick_of_the_connection_in_use_ends_it(void **state)
{
	struct kt_paho *paho = *state;

	open_link(paho);
	expect(paho, KT_LINK_UP, 0);
	expect_to_send(paho, 0);
	handles[0].disconnected(handles[0].context, NULL, MQTTREASONCODE_ADMINISTRATIVE_ACTION);
	expect(paho, KT_LINK_DOWN, KT_CAUSE_KICKED);
	expect_nothing(paho);
}

static void a_kick_of_an_older_connection_does_not_end_the_next(void **state)
{
	struct kt_paho *paho = *state;

	open_link(paho);
	expect(paho, KT_LINK_UP, 0);
	close_link(paho);
	expect(paho, KT_LINK_DOWN, KT_CAUSE_CLOSED);
	open_link(paho);
	expect(paho, KT_LINK_UP, 0);
	handles[0].disconnected(handles[0].context, NULL, MQTTREASONCODE_ADMINISTRATIVE_ACTION);
	expect_to_send(paho, 1);
	expect_nothing(paho);
	handles[1].disconnected(handles[1].context, NULL, MQTTREASONCODE_SESSION_TAKEN_OVER);
	expect(paho, KT_LINK_DOWN, KT_CAUSE_TAKEN_OVER);
}

static void the_loss_of_an_older_connection_does_not_end_the_next(void **state)
{
	struct kt_paho *paho = *state;
	char cause[] = "";

	open_link(paho);
	expect(paho, KT_LINK_UP, 0);
	close_link(paho);
	open_link(paho); /* not yet carried out, perhaps, when the old one is lost */
	handles[0].lost(handles[0].context, cause);
	expect(paho, KT_LINK_DOWN, KT_CAUSE_CLOSED);
	expect(paho, KT_LINK_UP, 0);
	expect_to_send(paho, 1);
	expect_nothing(paho);
}

static void a_connection_that_was_closed_was_told_so(void **state)
{
	struct kt_paho *paho = *state;

	open_link(paho);
	expect(paho, KT_LINK_UP, 0);
	close_link(paho);
	expect(paho, KT_LINK_DOWN, KT_CAUSE_CLOSED);
	assert_int_equal(handles[0].goodbyes, 1);
	assert_int_equal(handles[0].destroyed, 0); /* Paho may still be using it */
	for (size_t i = 1; i <= 2; i++) {
		open_link(paho);
		expect(paho, KT_LINK_UP, 0);
		expect_to_send(paho, i);
		handles[i].disconnected(handles[i].context, NULL,
					MQTTREASONCODE_ADMINISTRATIVE_ACTION);
		expect(paho, KT_LINK_DOWN, KT_CAUSE_KICKED);
	}
	assert_int_equal(handles[0].destroyed, 1);
}

static void a_connection_that_nobody_reads_does_not_come_up(void **state)
{
	struct kt_paho *paho = *state;

	receive_rc = MQTTCLIENT_SUCCESS;
	open_link(paho);
	expect(paho, KT_LINK_DOWN, KT_CAUSE_NO_ANSWER);
	expect_nothing(paho);
	assert_int_equal(handles[0].goodbyes, 1);
	assert_int_equal(handles[0].destroyed, 0);
	receive_rc = MQTTCLIENT_FAILURE;
	open_link(paho);
	expect(paho, KT_LINK_UP, 0);
	expect_to_send(paho, 1);
	expect_nothing(paho);
}

static void one_that_ended_before_it_was_up_says_why(void **state)
{
	struct kt_paho *paho = *state;

	receive_rc = MQTTCLIENT_DISCONNECTED;
	open_link(paho);
	expect(paho, KT_LINK_UP, 0);
	handles[0].disconnected(handles[0].context, NULL, MQTTREASONCODE_ADMINISTRATIVE_ACTION);
	expect(paho, KT_LINK_DOWN, KT_CAUSE_KICKED);
}

static void a_call_that_does_not_return_is_noticed(void **state)
{
	struct kt_paho *paho = *state;
	const int64_t before_ms = kt_mono_ms();
	int64_t stuck_ms = 0;

	assert_true(kt_paho_stuck_at_ms(paho) == INT64_MAX);
	pthread_mutex_lock(&gate);
	open_link(paho);
	close_link(paho); /* what waits behind it does not make it younger */
	stuck_ms = kt_paho_stuck_at_ms(paho);
	assert_in_range(stuck_ms, before_ms + 60000, kt_mono_ms() + 60000);
	(void)poll(NULL, 0, 20);
	close_link(paho);
	assert_true(kt_paho_stuck_at_ms(paho) <= stuck_ms + 10);
	pthread_mutex_unlock(&gate);
	expect(paho, KT_LINK_UP, 0);
	expect(paho, KT_LINK_DOWN, KT_CAUSE_CLOSED);
	for (int ms = 0; kt_paho_stuck_at_ms(paho) != INT64_MAX && ms < PATIENCE_MS; ms++)
		(void)poll(NULL, 0, 1);
	assert_true(kt_paho_stuck_at_ms(paho) == INT64_MAX);
}

static void without_memory_for_a_connection_the_link_is_down(void **state)
{
	struct kt_paho *paho = *state;

	failing_alloc_set(1);
	open_link(paho);
	expect(paho, KT_LINK_DOWN, KT_CAUSE_NO_ANSWER);
	assert_true(failing_alloc_end());
	assert_int_equal(handle_count, 0);
	open_link(paho);
	expect(paho, KT_LINK_UP, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_kick_of_the_connection_in_use_ends_it, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_kick_of_an_older_connection_does_not_end_the_next,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			the_loss_of_an_older_connection_does_not_end_the_next, setup, teardown),
		cmocka_unit_test_setup_teardown(a_connection_that_was_closed_was_told_so, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_connection_that_nobody_reads_does_not_come_up,
						setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_ended_before_it_was_up_says_why, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_call_that_does_not_return_is_noticed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(without_memory_for_a_connection_the_link_is_down,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
