/* What a device is selected by: its group, its labels, its agent's version. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "encoding.h"
#include "fake_ports.h"

#define LEAF "spiffe://" FLEET_TD "/device/hub-17|1600000000|253402300799|g1"

enum { AGENT = 16 };

static int setup(void **state)
{
	struct kt_registry *registry = fleet_new();

	(void)fleet_active(registry, "hub-17", "west", LEAF);
	*state = fake_new(registry);
	return 0;
}

static int teardown(void **state)
{
	fake_free(*state);
	return 0;
}

static const struct kt_device *hub(struct fake *f)
{
	return kt_registry_find_device(f->registry, "hub-17");
}

static void a_device_is_set_once(void **state)
{
	struct fake *f = *state;
	uint64_t seq = kt_registry_seq(f->registry);

	assert_int_equal(kt_device_set(f->core, hub(f), "south", "a,b", "op:test").reason,
			 KT_REASON_NONE);
	assert_null(fake_event(f, "device.set"));
	fake_durable(f);
	assert_string_equal(fake_event(f, "device.set"),
			    "{\"event\":\"device.set\",\"time\":\"1700000010000000\","
			    "\"device\":\"hub-17\",\"actor\":\"op:test\",\"group\":\"south\","
			    "\"labels\":\"a,b\"}");
	assert_string_equal(hub(f)->group, "south");
	assert_string_equal(hub(f)->labels, "a,b");
	assert_int_equal(kt_device_set(f->core, hub(f), "south", "a,b", "op:test").reason,
			 KT_REASON_NONE);
	assert_int_equal(kt_registry_seq(f->registry), seq + 1);
	assert_int_equal(kt_device_set(f->core, hub(f), "", "", "op:test").reason, KT_REASON_NONE);
	assert_string_equal(hub(f)->group, "");
	assert_string_equal(hub(f)->labels, "");
	(void)kt_device_delete(f->core, hub(f), "op:test");
	assert_int_equal(kt_device_set(f->core, hub(f), "", "", "op:test").reason, KT_REASON_STATE);
}

/* What the device has is replaced by the record: the event must not be made of it. */
static void a_group_that_stays_is_told_when_labels_change(void **state)
{
	struct fake *f = *state;

	assert_int_equal(kt_device_set(f->core, hub(f), "south", "a", "op:test").reason,
			 KT_REASON_NONE);
	fake_durable(f);
	fake_forget(f);
	assert_int_equal(
		kt_device_set(f->core, hub(f), hub(f)->group, hub(f)->labels, "op:test").reason,
		KT_REASON_NONE);
	assert_int_equal(kt_device_set(f->core, hub(f), hub(f)->group, "b", "op:test").reason,
			 KT_REASON_NONE);
	assert_int_equal(kt_device_set(f->core, hub(f), "east", hub(f)->labels, "op:test").reason,
			 KT_REASON_NONE);
	fake_durable(f);
	assert_string_equal(fake_event(f, "device.set"),
			    "{\"event\":\"device.set\",\"time\":\"1700000010000000\","
			    "\"device\":\"hub-17\",\"actor\":\"op:test\",\"group\":\"east\","
			    "\"labels\":\"b\"}");
	assert_string_equal(hub(f)->group, "east");
	assert_string_equal(hub(f)->labels, "b");
}

static void the_agents_version_is_that_of_the_last_hello(void **state)
{
	struct fake *f = *state;
	struct kt_message *m;
	uint64_t version = 0;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	assert_true(hub(f)->agent_version == 0); /* its word says no number */
	m = fake_message(f, AGENT, KT_MESSAGE_HELLO);
	(void)snprintf(m->u.hello.agent, sizeof(m->u.hello.agent), "1.4.2");
	fake_say(f, AGENT, m, NULL);
	assert_true(kt_version_decode("1.4.2", &version));
	assert_true(hub(f)->agent_version == version);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_device_is_set_once),
		T(a_group_that_stays_is_told_when_labels_change),
		T(the_agents_version_is_that_of_the_last_hello),
	};

	return cmocka_run_group_tests_name("device_set", tests, NULL, NULL);
}
