#include "bench_hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "durable_file.h"
#include "jws.h"
#include "secmem.h"
#include "topic.h"

enum { FILE_MAX = 16384 };

struct signing {
	struct kt_crypto *crypto;
	const struct kt_key *key;
};

static void need(const char *what, enum kt_err err)
{
	if (err != KT_ERR_OK)
		bench_fail(what, kt_err_text(err));
}

void bench_hubs_init(struct bench_hubs *hubs, uint16_t port, const char *trust_domain,
		     const char *dir)
{
	hubs->port = port;
	hubs->trust_domain = trust_domain;
	hubs->dir = dir;
	need("crypto", kt_crypto_new(&hubs->crypto));
}

/* --- identities --- */

static void read_leaf(struct bench_identity *identity, struct kt_bytes der)
{
	struct kt_cert cert;

	need(identity->path, kt_cert_decode(der.p, der.len, &cert));
	identity->fp = cert.fingerprint;
	if (!kt_cert_generation(&cert, &identity->generation))
		bench_fail(identity->path, "not one of ours");
}

void bench_identity_load(const struct bench_hubs *hubs, size_t i, struct bench_identity *out)
{
	struct kt_secret *pem = NULL;
	uint8_t *storage = NULL;
	struct kt_bytes chain[KT_CHAIN_MAX];
	size_t count = 0;
	const char *key_at;

	memset(out, 0, sizeof(*out));
	snprintf(out->device, sizeof(out->device), "bench-%zu", i);
	snprintf(out->path, sizeof(out->path), "%s/%zu.pem", hubs->dir, i);
	need(out->path, kt_file_read(kt_fs_posix(), out->path, FILE_MAX, &pem));
	need(out->path, kt_pem_certs(kt_secret_bytes(pem), kt_secret_len(pem), chain, KT_CHAIN_MAX,
				     &count, &storage));
	read_leaf(out, chain[0]);
	key_at = memmem(kt_secret_bytes(pem), kt_secret_len(pem), "-----BEGIN PRIVATE", 18);
	if (key_at == NULL)
		bench_fail(out->path, "holds no key");
	need(out->path, kt_key_from_pem(hubs->crypto, (const uint8_t *)key_at,
					kt_secret_len(pem) - (size_t)((const uint8_t *)key_at -
								      kt_secret_bytes(pem)),
					&out->key));
	free(storage);
	kt_secret_free(pem);
}

void bench_identity_take(const struct bench_hubs *hubs, const struct bench_identity *old,
			 struct kt_key *key, const struct kt_chain *chain,
			 struct bench_identity *out)
{
	struct kt_secret *key_pem = NULL;
	FILE *file = NULL;

	memset(out, 0, sizeof(*out));
	memcpy(out->device, old->device, sizeof(out->device));
	snprintf(out->path, sizeof(out->path), "%s/%s.new.pem", hubs->dir, old->device);
	out->key = key;
	file = fopen(out->path, "w");
	if (file == NULL)
		bench_fail(out->path, "cannot be written");
	for (size_t i = 0; i < chain->count; i++) {
		char *pem = NULL;

		need(out->path, kt_pem_from_cert(chain->cert[i].der, chain->cert[i].len, &pem));
		(void)fputs(pem, file);
		free(pem);
	}
	need(out->path, kt_key_to_pem(key, &key_pem));
	(void)fwrite(kt_secret_bytes(key_pem), 1, kt_secret_len(key_pem), file);
	if (ferror(file) != 0 || fclose(file) != 0)
		bench_fail(out->path, "cannot be written");
	kt_secret_free(key_pem);
	read_leaf(out, (struct kt_bytes){chain->cert[0].der, chain->cert[0].len});
}

void bench_identity_clear(struct bench_identity *identity)
{
	kt_key_free(identity->key);
	identity->key = NULL;
}

/* --- sessions --- */

struct bench_client *bench_program(const struct bench_hubs *hubs,
				   const struct bench_identity *identity, const char *tag)
{
	struct bench_client *client = bench_tls(hubs->port, identity->path);
	char id[KT_DEVICE_ID_MAX + 16];

	snprintf(id, sizeof(id), "%s%s", identity->device, tag);
	bench_connect(client, id);
	return client;
}

static enum kt_err sign(void *ctx, const uint8_t *msg, size_t len,
			uint8_t sig[static KT_SIGNATURE_MAX])
{
	const struct signing *signing = ctx;

	return kt_key_sign(signing->crypto, signing->key, msg, len, sig);
}

struct kt_message *bench_session_message(const struct bench_hubs *hubs,
					 const struct bench_session *session,
					 enum kt_message_type type)
{
	struct kt_message *message = kt_message_new(type);

	if (message == NULL || !kt_device_id_set(&message->device, session->identity->device,
						 strlen(session->identity->device)))
		bench_fail("message", "no memory");
	snprintf(message->trust_domain, sizeof(message->trust_domain), "%s", hubs->trust_domain);
	if (type == KT_MESSAGE_HELLO)
		message->dn = session->dn;
	else
		message->sn = session->sn;
	return message;
}

char *bench_session_seal(const struct bench_hubs *hubs, const struct bench_session *session,
			 struct kt_message *message, size_t *len)
{
	struct signing signing = {hubs->crypto, session->identity->key};
	const struct kt_signer signer = {.alg = KT_ALG_ES256, .sign = sign, .ctx = &signing};
	char *payload = NULL;
	char *text = NULL;

	need("message", kt_message_encode(message, &payload, len));
	need("message", kt_jws_sign(&signer, KT_JWS_FROM_DEVICE, (struct kt_bytes){NULL, 0},
				    (struct kt_bytes){(const uint8_t *)payload, *len}, &text, len));
	free(payload);
	kt_message_free(message);
	return text;
}

int64_t bench_session_send(const struct bench_hubs *hubs, const struct bench_session *session,
			   struct kt_message *message)
{
	size_t len = 0;
	char *text = bench_session_seal(hubs, session, message, &len);
	int64_t sent_us = bench_publish(session->client, KT_TOPIC_DEVICE_IN, text, len);

	free(text);
	return sent_us;
}

struct kt_message *bench_session_expect(struct bench_session *session, enum kt_message_type type,
					int64_t *at_us)
{
	for (;;) {
		struct kt_message *message = NULL;
		struct bench_packet packet;
		struct kt_jws jws;
		enum kt_reason reason;

		bench_expect(session->client, BENCH_PUBLISH, &packet);
		need("JWS", kt_jws_decode(packet.payload, packet.payload_len,
					  KT_JWS_FROM_CONTROLLER, &jws, &reason));
		need("payload",
		     kt_message_decode(jws.payload, jws.payload_len, false, &message, &reason));
		kt_jws_clear(&jws);
		if (message->type == type) {
			if (at_us != NULL)
				*at_us = packet.at_us;
			return message;
		}
		if (message->type == KT_MESSAGE_REJECT)
			bench_fail("rejected", kt_reason_name(message->u.reject.reason));
		kt_message_free(message);
	}
}

void bench_session_open(const struct bench_hubs *hubs, const struct bench_identity *identity,
			const char *tag, enum kt_device_phase phase, uint64_t op,
			struct bench_session *out)
{
	struct kt_message *message = NULL;

	memset(out, 0, sizeof(*out));
	out->identity = identity;
	out->client = bench_program(hubs, identity, tag);
	need("random", kt_random(hubs->crypto, out->dn.b, sizeof(out->dn.b)));
	message = bench_session_message(hubs, out, KT_MESSAGE_HELLO);
	snprintf(message->u.hello.agent, sizeof(message->u.hello.agent), "bench");
	snprintf(message->u.hello.store, sizeof(message->u.hello.store), "file");
	message->u.hello.generation = identity->generation;
	message->u.hello.fp = identity->fp;
	message->u.hello.phase = phase;
	message->u.hello.op = op;
	(void)bench_session_send(hubs, out, message);
	message = bench_session_expect(out, KT_MESSAGE_WELCOME, NULL);
	out->sn = message->sn;
	kt_message_free(message);
}

void bench_session_clear(struct bench_session *session)
{
	bench_client_free(session->client);
	session->client = NULL;
}

/* --- the operator --- */

struct bench_client *bench_operator(const char *socket)
{
	struct bench_client *client = bench_unix(socket);

	bench_connect(client, "op:bench");
	return client;
}

bool bench_has_answer(struct bench_client *client, int64_t *at_us)
{
	struct bench_packet packet;

	while (bench_take(client, &packet)) {
		if (packet.kind != BENCH_PUBLISH)
			continue;
		if (memmem(packet.payload, packet.payload_len, "\"error\"", 7) != NULL) {
			(void)fwrite(packet.payload, 1, packet.payload_len, stderr);
			bench_fail("command", "refused");
		}
		*at_us = packet.at_us;
		return true;
	}
	return false;
}

void bench_await_answer(struct bench_client *client)
{
	int64_t at_us;

	while (!bench_has_answer(client, &at_us)) {
		if (!bench_wait(&client, 1, BENCH_PATIENCE_MS))
			bench_fail("command", "no answer");
	}
}

int64_t bench_order(struct bench_client *client, const char *name, const char *device,
		    const char *more)
{
	char text[512];
	int len = snprintf(text, sizeof(text),
			   "{\"commands\":[{\"command\":\"%s\",\"device\":\"%s\"%s}]}", name,
			   device, more);

	return bench_publish(client, KT_TOPIC_CONTROL, text, (size_t)len);
}

static void ask_ticks(struct bench_client *client, struct bench_packet *answer)
{
	(void)bench_publish(client, "$CONTROL/bench/v1", "", 0);
	bench_expect(client, BENCH_PUBLISH, answer);
}

void bench_print_ticks(struct bench_client *operator_client, int wait_ms)
{
	struct bench_packet answer;

	ask_ticks(operator_client, &answer);
	(void)usleep((useconds_t)wait_ms * 1000);
	ask_ticks(operator_client, &answer);
	printf("tick %.*s\n", (int)answer.payload_len, (const char *)answer.payload);
	(void)fflush(stdout);
}
