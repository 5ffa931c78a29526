#include "status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypto.h"
#include "durable_file.h"
#include "temp_dir.h"

struct world {
	char dir[64];
	char file[80];
	struct kt_crypto *crypto;
	struct kt_key_store *keys;
	struct kt_identity_store *store; /* holds the lock */
};

static void open_store(struct world *w)
{
	const struct kt_identity_config config = {.state_dir = w->dir,
						  .key_group = (gid_t)-1,
						  .fs = kt_fs_posix(),
						  .keys = w->keys,
						  .crypto = w->crypto};
	char why[512];

	assert_int_equal(kt_identity_open(&config, &w->store, why), KT_ERR_OK);
}

static void close_store(struct world *w)
{
	kt_identity_close(w->store);
	w->store = NULL;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	temp_dir_make(w->dir);
	(void)snprintf(w->file, sizeof(w->file), "%s/status", w->dir);
	assert_int_equal(kt_crypto_new(&w->crypto), KT_ERR_OK);
	assert_int_equal(kt_key_store_file_new(kt_fs_posix(), w->crypto, &w->keys), KT_ERR_OK);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	close_store(w);
	kt_key_store_close(w->keys);
	kt_crypto_free(w->crypto);
	temp_dir_remove(w->dir);
	free(w);
	return 0;
}

static void write_file(const struct world *w, const char *text)
{
	FILE *file = fopen(w->file, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void save(const struct world *w, enum kt_agent_health health)
{
	struct kt_agent_status now = {.health = health, .last_session_s = 1753000000};

	(void)snprintf(now.last_reason, sizeof(now.last_reason), "key.known");
	assert_int_equal(kt_status_save(w->dir, &now), KT_ERR_OK);
}

static struct kt_status load(const struct world *w)
{
	struct kt_status status;

	assert_int_equal(kt_status_load(w->dir, &status), KT_ERR_OK);
	return status;
}

static void nothing_is_there_before_the_first_start(void **state)
{
	struct world *w = *state;
	struct kt_status status;

	assert_int_equal(kt_status_load(w->dir, &status), KT_ERR_NOT_FOUND);
	assert_int_equal(kt_status_load("/tmp/keyturn-status.none", &status), KT_ERR_NOT_FOUND);
}

static void what_the_running_agent_wrote_is_shown(void **state)
{
	struct world *w = *state;
	struct kt_status status;

	open_store(w);
	save(w, KT_HEALTH_IN_SESSION);
	status = load(w);
	assert_true(status.is_running);
	assert_string_equal(status.health, "in_session");
	assert_string_equal(status.last_reason, "key.known");
	assert_int_equal(status.last_session_s, 1753000000);
	assert_true(kt_status_is_good(&status));
}

static void only_a_session_is_good(void **state)
{
	static const struct {
		enum kt_agent_health health;
		bool is_good;
	} cases[] = {
		{KT_HEALTH_CONNECTING, false}, {KT_HEALTH_ENROLLING, false},
		{KT_HEALTH_IN_SESSION, true},  {KT_HEALTH_ROTATING, true},
		{KT_HEALTH_REVOKED, false},    {KT_HEALTH_STUCK, false},
	};
	struct world *w = *state;

	open_store(w);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kt_status status;

		save(w, cases[i].health);
		status = load(w);
		assert_string_equal(status.health, kt_agent_health_name(cases[i].health));
		assert_int_equal(kt_status_is_good(&status), cases[i].is_good);
	}
}

static void without_an_agent_it_is_stopped(void **state)
{
	struct world *w = *state;
	struct kt_status status;

	open_store(w);
	save(w, KT_HEALTH_IN_SESSION);
	close_store(w);
	status = load(w);
	assert_false(status.is_running);
	assert_string_equal(status.health, "stopped");
	assert_string_equal(status.last_reason, "key.known");
	assert_false(kt_status_is_good(&status));
}

static void an_earlier_agents_file_says_nothing_of_a_later_one(void **state)
{
	struct world *w = *state;
	struct kt_status status;
	int ended = 0;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		struct kt_agent_status now = {.health = KT_HEALTH_IN_SESSION};

		_exit(kt_status_save(w->dir, &now) == KT_ERR_OK ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &ended, 0), child);
	assert_int_equal(ended, 0);
	open_store(w);
	status = load(w);
	assert_true(status.is_running);
	assert_string_equal(status.health, "connecting");
	assert_false(kt_status_is_good(&status));
}

static void a_damaged_file_is_as_good_as_none(void **state)
{
	static const char *const damaged[] = {
		"",
		"{",
		"[]",
		"{}",
		"{\"v\":1,\"pid\":1,\"health\":\"in_session\",\"reason\":\"\"}",
		"{\"v\":2,\"pid\":1,\"health\":\"in_session\",\"reason\":\"\",\"session\":0}",
		"{\"v\":1,\"pid\":\"1\",\"health\":\"in_session\",\"reason\":\"\",\"session\":0}",
		"{\"v\":1,\"pid\":-1,\"health\":\"in_session\",\"reason\":\"\",\"session\":0}",
		"{\"v\":1,\"pid\":0,\"health\":\"in_session\",\"reason\":\"\",\"session\":0}",
		"{\"v\":1,\"pid\":4294967297,\"health\":\"in_session\",\"reason\":\"\",\"session\":"
		"0}",
		"{\"v\":1,\"pid\":1,\"health\":\"in_session_for_ever\",\"reason\":\"\",\"session\":"
		"0}",
		"{\"v\":1,\"pid\":1,\"health\":\"in_session\",\"reason\":\"\",\"session\":0,\"x\":"
		"1}",
	};
	struct world *w = *state;

	open_store(w);
	for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
		struct kt_status status;

		write_file(w, damaged[i]);
		status = load(w);
		assert_string_equal(status.health, "connecting");
		assert_int_equal(status.last_session_s, 0);
	}
}

static void json_has_every_member_and_escapes(void **state)
{
	struct kt_status status = {.is_running = true, .health = "rotating", .last_reason = "a\"b"};
	char *json = NULL;

	(void)state;
	(void)snprintf(status.record.trust_domain, sizeof(status.record.trust_domain),
		       "fleet.example");
	assert_true(kt_device_id_set(&status.record.device, "hub-17", 6));
	status.record.phase = KT_AGENT_CERT;
	status.record.active = (struct kt_slot){.dir = 5, .generation = 3};
	memset(status.record.active.fp.b, 0xa0, sizeof(status.record.active.fp.b));
	status.record.op = UINT64_C(1753000000000001);
	status.last_session_s = 1753000000;
	assert_int_equal(kt_status_json(&status, &json), KT_ERR_OK);
	assert_string_equal(
		json,
		"{\"device\":\"hub-17\",\"trustDomain\":\"fleet.example\",\"running\":true,"
		"\"health\":\"rotating\",\"phase\":\"cert\",\"step\":\"none\",\"generation\":3,"
		"\"fingerprint\":"
		"\"a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0\","
		"\"op\":\"1753000000000001\",\"lastReason\":\"a\\\"b\",\"lastSession\":"
		"1753000000}");
	free(json);
}

static void a_path_that_is_too_long_is_refused(void **state)
{
	const struct kt_agent_status now = {.health = KT_HEALTH_IN_SESSION};
	char *path = malloc(5000);

	(void)state;
	assert_non_null(path);
	memset(path, 'a', 4999);
	path[0] = '/';
	path[4999] = '\0';
	assert_int_equal(kt_status_save(path, &now), KT_ERR_TOO_LONG);
	free(path);
	assert_int_equal(kt_status_save("/tmp/keyturn-status.none", &now), KT_ERR_SYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_is_there_before_the_first_start, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_the_running_agent_wrote_is_shown, setup,
						teardown),
		cmocka_unit_test_setup_teardown(only_a_session_is_good, setup, teardown),
		cmocka_unit_test_setup_teardown(without_an_agent_it_is_stopped, setup, teardown),
		cmocka_unit_test_setup_teardown(an_earlier_agents_file_says_nothing_of_a_later_one,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_damaged_file_is_as_good_as_none, setup, teardown),
		cmocka_unit_test(json_has_every_member_and_escapes),
		cmocka_unit_test(a_path_that_is_too_long_is_refused),
	};

	return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
