/*
 * bench_burst - many hubs whose requests for a certificate come in one moment.
 *
 *   bench_burst PORT TRUST_DOMAIN IDENTITIES FIRST COUNT
 *
 * COUNT sessions of :agent, with IDENTITIES/FIRST.pem and those behind it; "ready" on stdout. For
 * each line on stdin, in turn: the first waits until all of them have been told to rotate, and
 * signs their requests: "armed"; the second sends them all and waits until everybody has its
 * certificate: one line of JSON, with how many came, how many were told to come back, and the
 * microseconds. Who is told so, or told nothing for ten seconds, asks again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_hub.h"
#include "jws.h"
#include "topic.h"

enum { COUNT_MAX = 4000, REPEAT_US = 10000000, PATIENCE_US = 180000000, LINE = 64 };

struct hub {
	struct bench_identity identity;
	struct bench_session session;
	char *request; /* signed, owned */
	size_t request_len;
	int64_t again_us; /* when it asks once more */
	bool is_done;
};

struct burst {
	struct bench_hubs hubs;
	struct hub *hub;
	struct bench_client **clients;
	size_t count;
	size_t done;
	size_t rejected;
	size_t repeated;
};

static void enter(struct burst *burst, size_t first)
{
	for (size_t i = 0; i < burst->count; i++) {
		struct hub *hub = &burst->hub[i];

		bench_identity_load(&burst->hubs, first + i, &hub->identity);
		bench_session_open(&burst->hubs, &hub->identity, ":agent", KT_PHASE_STABLE, 0,
				   &hub->session);
		burst->clients[i] = hub->session.client;
	}
}

static void arm(struct burst *burst, struct hub *hub)
{
	struct kt_message *rotate = bench_session_expect(&hub->session, KT_MESSAGE_ROTATE, NULL);
	struct kt_message *message =
		bench_session_message(&burst->hubs, &hub->session, KT_MESSAGE_CSR);
	struct kt_key *key = NULL;
	char challenge[44];

	message->u.csr.op = rotate->u.rotate.op;
	message->u.csr.nonce = rotate->u.rotate.nonce;
	kt_csr_binding(burst->hubs.trust_domain, hub->identity.device, message->u.csr.op,
		       &message->u.csr.nonce, challenge);
	if (kt_key_new(burst->hubs.crypto, KT_ALG_ES256, &key) != KT_ERR_OK ||
	    kt_csr_new(burst->hubs.crypto, key, hub->identity.device, challenge, message->u.csr.csr,
		       &message->u.csr.csr_len) != KT_ERR_OK)
		bench_fail("csr", "cannot be made");
	kt_key_free(key);
	kt_message_free(rotate);
	hub->request = bench_session_seal(&burst->hubs, &hub->session, message, &hub->request_len);
	hub->is_done = false;
}

static void ask(struct hub *hub)
{
	hub->again_us = bench_publish(hub->session.client, KT_TOPIC_DEVICE_IN, hub->request,
				      hub->request_len) +
			REPEAT_US;
}

static void take(struct burst *burst, struct hub *hub, const struct bench_packet *packet)
{
	struct kt_message *message = NULL;
	enum kt_reason reason;
	struct kt_jws jws;

	if (packet->kind != BENCH_PUBLISH)
		return;
	if (kt_jws_decode(packet->payload, packet->payload_len, KT_JWS_FROM_CONTROLLER, &jws,
			  &reason) != KT_ERR_OK ||
	    kt_message_decode(jws.payload, jws.payload_len, false, &message, &reason) != KT_ERR_OK)
		bench_fail(hub->identity.device, "cannot read what the plugin says");
	kt_jws_clear(&jws);
	if (message->type == KT_MESSAGE_CERT && !hub->is_done) {
		hub->is_done = true;
		burst->done++;
	} else if (message->type == KT_MESSAGE_REJECT) {
		burst->rejected++;
		if (message->u.reject.retry_s == 0)
			bench_fail(hub->identity.device, kt_reason_name(message->u.reject.reason));
		hub->again_us = bench_mono_us() + (int64_t)message->u.reject.retry_s * 1000000;
	}
	kt_message_free(message);
}

static void repeat(struct burst *burst)
{
	const int64_t now_us = bench_mono_us();

	for (size_t i = 0; i < burst->count; i++) {
		struct hub *hub = &burst->hub[i];

		if (hub->is_done || hub->again_us > now_us)
			continue;
		burst->repeated++;
		ask(hub);
	}
}

static void fire(struct burst *burst)
{
	const int64_t begun_us = bench_mono_us();
	struct bench_packet packet;

	burst->done = 0;
	burst->rejected = 0;
	burst->repeated = 0;
	for (size_t i = 0; i < burst->count; i++)
		ask(&burst->hub[i]);
	while (burst->done < burst->count) {
		if (bench_mono_us() - begun_us > PATIENCE_US)
			bench_fail("burst", "not everybody has a certificate");
		(void)bench_wait(burst->clients, burst->count, 100);
		for (size_t i = 0; i < burst->count; i++) {
			while (bench_take(burst->clients[i], &packet))
				take(burst, &burst->hub[i], &packet);
			if (bench_closed_us(burst->clients[i]) != 0)
				bench_fail(burst->hub[i].identity.device, "was thrown out");
		}
		repeat(burst);
	}
	printf("{\"certs\":%zu,\"rejected\":%zu,\"repeated\":%zu,\"us\":%lld}\n", burst->done,
	       burst->rejected, burst->repeated, (long long)(bench_mono_us() - begun_us));
	for (size_t i = 0; i < burst->count; i++) {
		free(burst->hub[i].request);
		burst->hub[i].request = NULL;
	}
}

static void obey(struct burst *burst)
{
	char line[LINE];
	bool is_armed = false;

	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (is_armed) {
			fire(burst);
		} else {
			for (size_t i = 0; i < burst->count; i++)
				arm(burst, &burst->hub[i]);
			puts("armed");
		}
		is_armed = !is_armed;
		(void)fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	static struct burst burst;

	if (argc != 6) {
		(void)fputs("usage: bench_burst PORT TRUST_DOMAIN IDENTITIES FIRST COUNT\n",
			    stderr);
		return 2;
	}
	bench_raise_limits();
	burst.count = bench_number(argv[5], COUNT_MAX);
	burst.hub = calloc(burst.count, sizeof(*burst.hub));
	burst.clients = (struct bench_client **)calloc(burst.count, sizeof(*burst.clients));
	if (burst.count == 0 || burst.hub == NULL || burst.clients == NULL)
		bench_fail("burst", "nobody is there");
	bench_hubs_init(&burst.hubs, (uint16_t)bench_number(argv[1], UINT16_MAX), argv[2], argv[3]);
	enter(&burst, bench_number(argv[4], 1000000));
	puts("ready");
	(void)fflush(stdout);
	obey(&burst);
	for (size_t i = 0; i < burst.count; i++) {
		free(burst.hub[i].request);
		bench_session_clear(&burst.hub[i].session);
		bench_identity_clear(&burst.hub[i].identity);
	}
	free(burst.hub);
	free((void *)burst.clients);
	kt_crypto_free(burst.hubs.crypto);
	return 0;
}
