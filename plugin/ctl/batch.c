#include "batch.h"

#include <stdlib.h>
#include <string.h>

#include "print.h"
#include "secmem.h"
#include "topic.h"

/* A page of 200 devices is some 40 KB; whatever is larger than this is no answer of the plugin. */
static const struct kt_json_limits limits = {
	.size_max = 1048576, .depth_max = KT_JSON_DEPTH_MAX, .tokens_max = 65536};

void kt_ctl_message_clear(struct kt_ctl_message *message)
{
	kt_wipe(message->payload, message->len);
	free(message->payload);
	free(message->topic);
	memset(message, 0, sizeof(*message));
}

/* --- the connection --------------------------------------------------------------------------- */

int64_t kt_ctl_until(const struct kt_ctl *ctl, int64_t wait_ms)
{
	return ctl->transport.now_ms(ctl->transport.ctx) + wait_ms;
}

enum kt_ctl_exit kt_ctl_explain(const struct kt_ctl *ctl, enum kt_err err, const char *what,
				int64_t wait_ms)
{
	FILE *file = ctl->env->err;

	if (err == KT_ERR_NOMEM || err == KT_ERR_INTERNAL) {
		kt_print(file, "keyturnctl: %s: %s", what, kt_err_text(err));
		return KT_CTL_EXIT_LOCAL;
	}
	if (err == KT_ERR_AGAIN) {
		kt_print(file, "keyturnctl: %s: nothing within %lld s", what,
			 (long long)(wait_ms / 1000));
		return KT_CTL_EXIT_TIMEOUT;
	}
	kt_print(file, "keyturnctl: %s: %s", what, ctl->transport.why(ctl->transport.ctx));
	return KT_CTL_EXIT_CONNECTION;
}

enum kt_ctl_exit kt_ctl_connect(struct kt_ctl *ctl)
{
	const struct kt_ctl_address *address = &ctl->args->address;
	const char *where = address->unix_path != NULL ? address->unix_path : address->host;
	enum kt_ctl_exit code;
	enum kt_err err;

	if (ctl->transport.close != NULL)
		return KT_CTL_EXIT_OK;
	err = ctl->env->open_transport(address, ctl->env->token, &ctl->transport);
	if (err != KT_ERR_OK) {
		kt_print(ctl->env->err, "keyturnctl: %s", kt_err_text(err));
		return KT_CTL_EXIT_LOCAL;
	}
	err = ctl->transport.connect(ctl->transport.ctx, kt_ctl_until(ctl, ctl->args->timeout_ms));
	if (err == KT_ERR_OK)
		return KT_CTL_EXIT_OK;
	code = kt_ctl_explain(ctl, err, where, ctl->args->timeout_ms);
	/* who cannot be reached is not late with an answer */
	return code == KT_CTL_EXIT_TIMEOUT ? KT_CTL_EXIT_CONNECTION : code;
}

/* --- the question ----------------------------------------------------------------------------- */

enum kt_ctl_exit kt_batch_begin(struct kt_ctl *ctl, struct kt_batch *batch)
{
	*batch = (struct kt_batch){.ctl = ctl};
	if (kt_json_writer_new(&batch->writer) != KT_ERR_OK) {
		kt_print(ctl->env->err, "keyturnctl: %s", kt_err_text(KT_ERR_NOMEM));
		return KT_CTL_EXIT_LOCAL;
	}
	kt_json_open_object(batch->writer, NULL);
	kt_json_open_array(batch->writer, "commands");
	return KT_CTL_EXIT_OK;
}

static void make_correlation(const struct kt_ctl *ctl, size_t index, char out[static 48])
{
	(void)snprintf(out, 48, "%s-%zu", ctl->env->token, index);
}

struct kt_json_writer *kt_batch_add(struct kt_batch *batch, const char *command)
{
	char correlation[48];

	make_correlation(batch->ctl, batch->count++, correlation);
	kt_json_open_object(batch->writer, NULL);
	kt_json_put_string(batch->writer, "command", command);
	kt_json_put_string(batch->writer, "correlationData", correlation);
	return batch->writer;
}

void kt_batch_end(struct kt_batch *batch)
{
	kt_json_close_object(batch->writer);
}

void kt_batch_free(struct kt_batch *batch)
{
	kt_json_writer_free(batch->writer);
	batch->writer = NULL;
}

/* --- the answer ------------------------------------------------------------------------------- */

static bool is_text(const struct kt_json_value *item, const char *name)
{
	const struct kt_json_value *value = kt_json_member(item, name);

	return value != NULL && kt_json_is(value, KT_JSON_STRING);
}

static bool is_absent(const struct kt_json_value *item, const char *name)
{
	return kt_json_member(item, name) == NULL;
}

/* Either it was done, with data, or there is an error; every member is of its type. */
static bool is_reply(const struct kt_json_value *item)
{
	const struct kt_json_value *data;

	if (!kt_json_is(item, KT_JSON_OBJECT))
		return false;
	data = kt_json_member(item, "data");
	return (data == NULL || kt_json_is(data, KT_JSON_OBJECT)) &&
	       (is_absent(item, "detail") || is_text(item, "detail")) &&
	       (is_absent(item, "error") ? data != NULL : is_text(item, "error"));
}

static bool is_reply_to(const struct kt_json_value *item, const struct kt_ctl *ctl, size_t index)
{
	char correlation[48];

	make_correlation(ctl, index, correlation);
	return is_reply(item) && is_text(item, "correlationData") &&
	       strcmp(kt_json_string(item, "correlationData"), correlation) == 0;
}

/* One reply per command, in their order; or one without a name, which refuses them all. */
static bool is_answer(const struct kt_batch *batch, struct kt_answer *answer)
{
	const struct kt_json_value *root = kt_json_root(answer->json);
	size_t at = 0;

	answer->responses = kt_json_member(root, "responses");
	if (answer->responses == NULL || !kt_json_is(answer->responses, KT_JSON_ARRAY))
		return false;
	answer->count = kt_json_array_len(answer->responses);
	if (answer->count == 1) {
		const struct kt_json_value *only = kt_json_array_item(answer->responses, 0);

		answer->is_whole = is_reply(only) && is_absent(only, "correlationData") &&
				   is_text(only, "error");
		if (answer->is_whole)
			return true;
	}
	if (answer->count != batch->count)
		return false;
	for (const struct kt_json_value *item = kt_json_first(answer->responses); item != NULL;
	     item = kt_json_next(item)) {
		if (!is_reply_to(item, batch->ctl, at++))
			return false;
	}
	return true;
}

enum kt_ctl_exit kt_ctl_not_understood(const struct kt_ctl *ctl)
{
	kt_print(ctl->env->err,
		 "keyturnctl: the answer cannot be understood; was the command carried out? "
		 "(is this keyturnctl as new as the plugin?)");
	return KT_CTL_EXIT_LOCAL;
}

/* A broker of 2.1 answers in the place of a plugin that is not there: an error and nothing else. */
static bool is_of_the_broker(const struct kt_answer *answer)
{
	const struct kt_json_value *root = kt_json_root(answer->json);

	return kt_json_is(root, KT_JSON_OBJECT) && is_absent(root, "responses") &&
	       is_text(root, "error");
}

static enum kt_ctl_exit nobody_there(const struct kt_batch *batch, const struct kt_answer *answer)
{
	kt_print(batch->ctl->env->err,
		 "keyturnctl: the broker says: %s; nothing was carried out. Does the broker load "
		 "the plugin?",
		 kt_json_string(kt_json_root(answer->json), "error"));
	return KT_CTL_EXIT_CONNECTION;
}

static enum kt_ctl_exit read_answer(const struct kt_batch *batch,
				    const struct kt_ctl_message *message, struct kt_answer *out)
{
	enum kt_ctl_exit code;
	const enum kt_err err = kt_json_parse(message->payload, message->len, &limits, &out->json);

	if (err == KT_ERR_NOMEM) {
		kt_print(batch->ctl->env->err, "keyturnctl: %s", kt_err_text(err));
		return KT_CTL_EXIT_LOCAL;
	}
	if (err == KT_ERR_OK && is_answer(batch, out))
		return KT_CTL_EXIT_OK;
	code = err == KT_ERR_OK && is_of_the_broker(out) ? nobody_there(batch, out)
							 : kt_ctl_not_understood(batch->ctl);
	kt_answer_clear(out);
	return code;
}

/* What comes on another topic meanwhile is an event, and older than the answer. */
static enum kt_err receive_answer(struct kt_ctl *ctl, struct kt_ctl_message *out)
{
	const int64_t until = kt_ctl_until(ctl, ctl->args->timeout_ms);
	enum kt_err err;

	for (;;) {
		err = ctl->transport.receive(ctl->transport.ctx, until, out);
		if (err != KT_ERR_OK || strcmp(out->topic, KT_TOPIC_CONTROL_RESPONSE) == 0)
			return err;
		kt_ctl_message_clear(out);
	}
}

enum kt_ctl_exit kt_batch_exchange(struct kt_batch *batch, struct kt_answer *out)
{
	struct kt_ctl *ctl = batch->ctl;
	struct kt_ctl_message message = {0};
	char *text = NULL;
	size_t len = 0;
	enum kt_err err;
	enum kt_ctl_exit code;

	memset(out, 0, sizeof(*out));
	kt_json_close_array(batch->writer);
	kt_json_close_object(batch->writer);
	err = kt_json_writer_take(batch->writer, &text, &len);
	if (err == KT_ERR_INVALID) {
		kt_print(ctl->env->err, "keyturnctl: an argument is not UTF-8");
		return KT_CTL_EXIT_USAGE;
	}
	if (err != KT_ERR_OK)
		return kt_ctl_explain(ctl, err, "the command", 0);
	code = kt_ctl_connect(ctl);
	if (code != KT_CTL_EXIT_OK)
		goto out;
	err = ctl->transport.publish(ctl->transport.ctx, KT_TOPIC_CONTROL,
				     (struct kt_bytes){(const uint8_t *)text, len});
	if (err == KT_ERR_OK)
		err = receive_answer(ctl, &message);
	if (err == KT_ERR_AGAIN)
		kt_print(ctl->env->err, "keyturnctl: the command was sent; whether it was carried "
					"out is not known. Does the broker load the plugin?");
	code = err == KT_ERR_OK ? read_answer(batch, &message, out)
				: kt_ctl_explain(ctl, err, "the answer", ctl->args->timeout_ms);
out:
	kt_ctl_message_clear(&message);
	free(text);
	return code;
}

void kt_answer_clear(struct kt_answer *answer)
{
	kt_json_free(answer->json);
	memset(answer, 0, sizeof(*answer));
}

struct kt_reply kt_answer_reply(const struct kt_answer *answer, size_t index)
{
	const struct kt_json_value *item =
		kt_json_array_item(answer->responses, answer->is_whole ? 0 : index);
	const char *detail = kt_json_string(item, "detail");

	return (struct kt_reply){.error = kt_json_string(item, "error"),
				 .detail = detail != NULL ? detail : "",
				 .data = kt_json_member(item, "data")};
}
