#include "fake_ctl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "topic.h"

/* The port has no context before it is open, and a test program runs one command at a time. */
static struct fake_ctl *present;

static enum kt_err fake_connect(void *ctx, int64_t until_ms)
{
	const struct fake_ctl *fake = ctx;

	(void)until_ms;
	return fake->connect_err;
}

static enum kt_err fake_subscribe(void *ctx, const char *filter, int64_t until_ms)
{
	struct fake_ctl *fake = ctx;

	(void)until_ms;
	(void)snprintf(fake->filter, sizeof(fake->filter), "%s", filter);
	return fake->subscribe_err;
}

static enum kt_err fake_publish(void *ctx, const char *topic, struct kt_bytes payload)
{
	struct fake_ctl *fake = ctx;
	char *copy = NULL;

	assert_string_equal(topic, KT_TOPIC_CONTROL);
	if (fake->publish_err != KT_ERR_OK)
		return fake->publish_err;
	assert_true(fake->sent_count < FAKE_CTL_MESSAGES);
	/* the C library's own memory: a test that makes allocations fail means keyturnctl's */
	copy = strndup((const char *)payload.p, payload.len);
	assert_non_null(copy);
	fake->sent[fake->sent_count++] = copy;
	return KT_ERR_OK;
}

static enum kt_err fake_receive(void *ctx, int64_t until_ms, struct kt_ctl_message *out)
{
	struct fake_ctl *fake = ctx;
	const char *text = fake->taken < FAKE_CTL_MESSAGES ? fake->text[fake->taken] : NULL;
	const char *topic = text != NULL ? fake->topic[fake->taken] : NULL;

	memset(out, 0, sizeof(*out));
	if (text == NULL) {
		fake->now_ms = until_ms;
		return fake->end_err != KT_ERR_OK ? fake->end_err : KT_ERR_AGAIN;
	}
	fake->taken++;
	out->topic = strdup(topic != NULL ? topic : KT_TOPIC_CONTROL_RESPONSE);
	out->len = strlen(text);
	out->payload = (uint8_t *)strdup(text);
	assert_non_null(out->topic);
	assert_non_null(out->payload);
	return KT_ERR_OK;
}

static int64_t fake_now(void *ctx)
{
	const struct fake_ctl *fake = ctx;

	return fake->now_ms;
}

static const char *fake_why(void *ctx)
{
	(void)ctx;
	return "the broker said why";
}

static void fake_close(void *ctx)
{
	struct fake_ctl *fake = ctx;

	assert_false(fake->is_closed);
	fake->is_closed = true;
}

static enum kt_err fake_open(const struct kt_ctl_address *address, const char *token,
			     struct kt_transport *out)
{
	memset(out, 0, sizeof(*out));
	assert_string_equal(token, FAKE_CTL_TOKEN);
	if (present->open_err != KT_ERR_OK)
		return present->open_err;
	(void)snprintf(present->broker, sizeof(present->broker), "%s:%u",
		       address->unix_path != NULL ? address->unix_path : address->host,
		       address->unix_path != NULL ? 0 : (unsigned)address->port);
	*out = (struct kt_transport){.ctx = present,
				     .connect = fake_connect,
				     .subscribe = fake_subscribe,
				     .publish = fake_publish,
				     .receive = fake_receive,
				     .now_ms = fake_now,
				     .why = fake_why,
				     .close = fake_close};
	return KT_ERR_OK;
}

enum { WORDS_MAX = 24, LINE_MAX_LEN = 1024 };

static int split(char *line, char *words[WORDS_MAX])
{
	int count = 0;
	char *at = line;

	words[count++] = at;
	for (; *at != '\0'; at++) {
		if (*at == ' ') {
			*at = '\0';
			assert_true(count < WORDS_MAX);
			words[count++] = at + 1;
		} else if (*at == '|') {
			*at = ' ';
		}
	}
	words[count] = NULL;
	return count;
}

enum kt_ctl_exit fake_ctl_run(struct fake_ctl *fake, const char *line)
{
	char text[LINE_MAX_LEN];
	char typed[128];
	char *words[WORDS_MAX + 1];
	size_t out_len = 0;
	size_t err_len = 0;
	int count = 0;
	enum kt_ctl_exit code = KT_CTL_EXIT_LOCAL;
	struct kt_ctl_env env = {.token = FAKE_CTL_TOKEN, .open_transport = fake_open};

	(void)snprintf(text, sizeof(text), "keyturnctl%s%s", line[0] != '\0' ? " " : "", line);
	(void)snprintf(typed, sizeof(typed), "%s", fake->in != NULL ? fake->in : "");
	count = split(text, words);
	env.in = typed[0] != '\0' ? fmemopen(typed, strlen(typed), "r") : fopen("/dev/null", "r");
	env.out = fake->out_path != NULL ? fopen(fake->out_path, "w")
					 : open_memstream(&fake->out, &out_len);
	env.err = open_memstream(&fake->err, &err_len);
	env.has_terminal = fake->in != NULL;
	assert_non_null(env.in);
	assert_non_null(env.out);
	assert_non_null(env.err);
	present = fake;
	code = kt_ctl_main(count, words, &env);
	present = NULL;
	assert_int_equal(fclose(env.in), 0);
	assert_true(fclose(env.out) == 0 || fake->out_path != NULL);
	assert_int_equal(fclose(env.err), 0);
	return code;
}

void fake_ctl_clear(struct fake_ctl *fake)
{
	for (size_t i = 0; i < fake->sent_count; i++)
		free(fake->sent[i]);
	free(fake->out);
	free(fake->err);
	memset(fake, 0, sizeof(*fake));
}
