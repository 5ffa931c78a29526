/*
 * bench_floor - what a rotation cannot do without, each alone and in memory: the floor that the
 * cryptography sets.
 *
 *   bench_floor all PKI_DIR IDENTITIES COUNT ROUNDS SCRATCH_DIR
 *   bench_floor handshake PKI_DIR IDENTITIES COUNT ROUNDS
 *
 * all: one line of JSON, processor time of one thread in microseconds, medians of ROUNDS:
 *
 *   handshake   the server's side of a full TLS 1.3 handshake with a client certificate, by
 *               OpenSSL, with the broker's certificate, NumTickets 0, no sockets; the clients are
 *               IDENTITIES/0.pem ... COUNT - 1 in turn
 *   sign, verify
 *               ES256 as the plugin does it, each verified key seen anew, on a second thread, as
 *               its workers are (the first one's memory comes from elsewhere, and costs more)
 *   openssl_sign, openssl_verify
 *               the same by OpenSSL with a key that is ready
 *   der         a certificate read, and hashed
 *   record      one of 64 records that are written and synced together
 *
 * handshake: those alone, and how many there were; for callgrind, which is told to count within
 * serve_begin(), serve() and serve_end().
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <unistd.h>

#include "bench_client.h"
#include "crypto.h"

enum {
	IDENTITIES_MAX = 1000,
	STEPS_MAX = 16,
	MESSAGE = 1000, /* about as long as a message with its certificate */
	GROUP = 64,
	RECORD = 304,
	BIO_MAX = 65536
};

struct floor {
	SSL_CTX *server;
	SSL_CTX *client[IDENTITIES_MAX];
	size_t client_count;
	uint8_t cert[8192]; /* DER of the first client's */
	size_t cert_len;
	EVP_PKEY *key; /* the first client's */
	struct kt_crypto *crypto;
};

static int64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a;
	const int64_t y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static double median_us(int64_t *ns, size_t count)
{
	qsort(ns, count, sizeof(*ns), by_value);
	return (double)ns[count / 2] / 1000.0;
}

static int64_t *samples(size_t count)
{
	int64_t *ns = calloc(count, sizeof(*ns));

	if (ns == NULL)
		bench_fail("samples", "no memory");
	return ns;
}

/* --- handshakes --- */

static SSL_CTX *server_context(const char *pki)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	char cert[512];
	char key[512];
	char ca[512];

	snprintf(cert, sizeof(cert), "%s/broker.pem", pki);
	snprintf(key, sizeof(key), "%s/broker.key", pki);
	snprintf(ca, sizeof(ca), "%s/clients.pem", pki);
	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1 ||
	    SSL_CTX_set_num_tickets(ctx, 0) != 1)
		bench_fail(pki, "no server of it");
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	return ctx;
}

static SSL_CTX *client_context(const char *dir, size_t i)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	char path[512];

	snprintf(path, sizeof(path), "%s/%zu.pem", dir, i);
	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_use_certificate_chain_file(ctx, path) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM) != 1)
		bench_fail(path, "cannot be used");
	return ctx;
}

static void open_floor(struct floor *floor, const char *pki, const char *dir, size_t count)
{
	uint8_t *der = floor->cert;
	X509 *cert;

	if (count == 0 || count > IDENTITIES_MAX)
		bench_fail("identities", "too many, or none");
	floor->server = server_context(pki);
	floor->client_count = count;
	for (size_t i = 0; i < count; i++)
		floor->client[i] = client_context(dir, i);
	cert = SSL_CTX_get0_certificate(floor->client[0]);
	if (i2d_X509(cert, NULL) > (int)sizeof(floor->cert))
		bench_fail("certificate", "too long");
	floor->cert_len = (size_t)i2d_X509(cert, &der);
	floor->key = SSL_CTX_get0_privatekey(floor->client[0]);
	if (kt_crypto_new(&floor->crypto) != KT_ERR_OK)
		bench_fail("crypto", "cannot begin");
}

static void close_floor(struct floor *floor)
{
	for (size_t i = 0; i < floor->client_count; i++)
		SSL_CTX_free(floor->client[i]);
	SSL_CTX_free(floor->server);
	kt_crypto_free(floor->crypto);
}

/* What the server does, in functions of its own, so that callgrind can be told of them. */
__attribute__((noinline)) static SSL *serve_begin(SSL_CTX *ctx)
{
	return SSL_new(ctx);
}

__attribute__((noinline)) static int serve(SSL *server)
{
	return SSL_accept(server);
}

__attribute__((noinline)) static void serve_end(SSL *server)
{
	SSL_free(server);
}

static void carry(BIO *from, BIO *to)
{
	static uint8_t bytes[BIO_MAX];
	int len = BIO_read(from, bytes, sizeof(bytes));

	if (len > 0 && BIO_write(to, bytes, len) != len)
		bench_fail("handshake", "no memory");
}

static void give_bios(SSL *ssl, BIO **in, BIO **out)
{
	*in = BIO_new(BIO_s_mem());
	*out = BIO_new(BIO_s_mem());
	if (ssl == NULL || *in == NULL || *out == NULL)
		bench_fail("handshake", "no memory");
	SSL_set_bio(ssl, *in, *out);
}

/* One full handshake; the server's processor time in nanoseconds. */
static int64_t handshake(const struct floor *floor, size_t i)
{
	BIO *server_in;
	BIO *server_out;
	BIO *client_in;
	BIO *client_out;
	SSL *client = SSL_new(floor->client[i % floor->client_count]);
	int64_t begun_ns = cpu_ns();
	SSL *server = serve_begin(floor->server);
	int64_t used_ns = cpu_ns() - begun_ns;
	int rc = 0;

	give_bios(client, &client_in, &client_out);
	give_bios(server, &server_in, &server_out);
	for (int step = 0; rc != 1; step++) {
		if (step == STEPS_MAX)
			bench_fail("handshake", "does not come to its end");
		(void)SSL_connect(client);
		carry(client_out, server_in);
		begun_ns = cpu_ns();
		rc = serve(server);
		used_ns += cpu_ns() - begun_ns;
		carry(server_out, client_in);
	}
	if (SSL_version(server) != TLS1_3_VERSION || SSL_session_reused(server) != 0 ||
	    SSL_get_verify_result(server) != X509_V_OK || SSL_get0_peer_certificate(server) == NULL)
		bench_fail("handshake", "not what was to be measured");
	SSL_free(client);
	begun_ns = cpu_ns();
	serve_end(server);
	used_ns += cpu_ns() - begun_ns;
	ERR_clear_error();
	return used_ns;
}

static double handshakes(const struct floor *floor, size_t rounds)
{
	int64_t *ns = samples(rounds);
	double us;

	for (size_t i = 0; i < rounds; i++)
		ns[i] = handshake(floor, i);
	us = median_us(ns, rounds);
	free(ns);
	return us;
}

/* --- the plugin's primitives --- */

static void need(const char *what, enum kt_err err)
{
	if (err != KT_ERR_OK)
		bench_fail(what, kt_err_text(err));
}

struct signing { /* what its thread is given, and gives back */
	const struct floor *floor;
	size_t rounds;
	double sign_us;
	double verify_us;
};

static void *run_signatures(void *arg)
{
	struct signing *signing = arg;
	const struct floor *floor = signing->floor;
	const size_t rounds = signing->rounds;
	int64_t *sign_ns = samples(rounds);
	int64_t *verify_ns = samples(rounds);
	uint8_t message[MESSAGE] = {0};
	uint8_t signature[KT_SIGNATURE_MAX];

	for (size_t i = 0; i < rounds; i++) {
		struct kt_key *key = NULL;
		int64_t begun_ns;

		need("key", kt_key_new(floor->crypto, KT_ALG_ES256, &key));
		if (!kt_key_speed_up(key))
			bench_fail("key", "libcrypto does not take it");
		memcpy(message, &i, sizeof(i));
		begun_ns = cpu_ns();
		need("sign", kt_key_sign(floor->crypto, key, message, sizeof(message), signature));
		sign_ns[i] = cpu_ns() - begun_ns;
		begun_ns = cpu_ns();
		need("verify", kt_verify(kt_key_public(key), message, sizeof(message), signature,
					 sizeof(signature)));
		verify_ns[i] = cpu_ns() - begun_ns;
		kt_key_free(key);
	}
	signing->sign_us = median_us(sign_ns, rounds);
	signing->verify_us = median_us(verify_ns, rounds);
	free(sign_ns);
	free(verify_ns);
	return NULL;
}

static void signatures(struct signing *signing)
{
	pthread_t thread;
	int rc = pthread_create(&thread, NULL, run_signatures, signing);

	if (rc == 0)
		rc = pthread_join(thread, NULL);
	if (rc != 0)
		bench_fail("thread", strerror(rc));
}

static double reading(const struct floor *floor, size_t rounds)
{
	int64_t *ns = samples(rounds);
	double us;

	for (size_t i = 0; i < rounds; i++) {
		struct kt_cert cert;
		int64_t begun_ns = cpu_ns();
		struct kt_fingerprint fp = kt_fingerprint_of(floor->cert, floor->cert_len);

		need("certificate", kt_cert_decode(floor->cert, floor->cert_len, &cert));
		ns[i] = cpu_ns() - begun_ns;
		(void)fp;
	}
	us = median_us(ns, rounds);
	free(ns);
	return us;
}

/* --- the same by OpenSSL --- */

static void openssl_signatures(const struct floor *floor, size_t rounds, double *sign_us,
			       double *verify_us)
{
	int64_t *sign_ns = samples(rounds);
	int64_t *verify_ns = samples(rounds);
	EVP_PKEY_CTX *signer = EVP_PKEY_CTX_new(floor->key, NULL);
	EVP_PKEY_CTX *verifier = EVP_PKEY_CTX_new(floor->key, NULL);
	uint8_t hash[32] = {0};
	uint8_t signature[128];

	if (signer == NULL || verifier == NULL || EVP_PKEY_sign_init(signer) != 1 ||
	    EVP_PKEY_verify_init(verifier) != 1)
		bench_fail("OpenSSL", "cannot sign");
	for (size_t i = 0; i < rounds; i++) {
		size_t len = sizeof(signature);
		int64_t begun_ns = cpu_ns();

		memcpy(hash, &i, sizeof(i));
		if (EVP_PKEY_sign(signer, signature, &len, hash, sizeof(hash)) != 1)
			bench_fail("OpenSSL", "does not sign");
		sign_ns[i] = cpu_ns() - begun_ns;
		begun_ns = cpu_ns();
		if (EVP_PKEY_verify(verifier, signature, len, hash, sizeof(hash)) != 1)
			bench_fail("OpenSSL", "does not verify");
		verify_ns[i] = cpu_ns() - begun_ns;
	}
	EVP_PKEY_CTX_free(signer);
	EVP_PKEY_CTX_free(verifier);
	*sign_us = median_us(sign_ns, rounds);
	*verify_us = median_us(verify_ns, rounds);
	free(sign_ns);
	free(verify_ns);
}

/* --- the disk --- */

static double records(const char *dir, size_t rounds)
{
	int64_t *ns = samples(rounds);
	char path[512];
	uint8_t record[RECORD];
	double us;
	int fd;

	snprintf(path, sizeof(path), "%s/records.bench", dir);
	memset(record, 'r', sizeof(record));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		bench_fail(path, strerror(errno));
	for (size_t i = 0; i < rounds; i++) {
		int64_t begun_ns = cpu_ns();

		for (size_t k = 0; k < GROUP; k++) {
			if (write(fd, record, sizeof(record)) != sizeof(record))
				bench_fail(path, strerror(errno));
		}
		if (fdatasync(fd) != 0)
			bench_fail(path, strerror(errno));
		ns[i] = (cpu_ns() - begun_ns) / GROUP;
	}
	(void)close(fd);
	(void)unlink(path);
	us = median_us(ns, rounds);
	free(ns);
	return us;
}

static void print_all(const struct floor *floor, size_t rounds, const char *scratch)
{
	struct signing signing = {.floor = floor, .rounds = rounds};
	double openssl_sign_us = 0;
	double openssl_verify_us = 0;
	double handshake_us;

	(void)handshakes(floor, floor->client_count); /* everything has been used once */
	handshake_us = handshakes(floor, rounds);
	signatures(&signing);
	openssl_signatures(floor, rounds, &openssl_sign_us, &openssl_verify_us);
	printf("{\"handshake\":%.2f,\"sign\":%.2f,\"verify\":%.2f,\"openssl_sign\":%.2f,"
	       "\"openssl_verify\":%.2f,\"der\":%.2f,\"record\":%.3f}\n",
	       handshake_us, signing.sign_us, signing.verify_us, openssl_sign_us, openssl_verify_us,
	       reading(floor, rounds), records(scratch, rounds / 8 + 1));
}

int main(int argc, char **argv)
{
	static struct floor floor;
	const bool is_all = argc == 7 && strcmp(argv[1], "all") == 0;
	size_t rounds;

	if (!is_all && !(argc == 6 && strcmp(argv[1], "handshake") == 0)) {
		(void)fputs("usage: bench_floor all PKI_DIR IDENTITIES COUNT ROUNDS SCRATCH_DIR |\n"
			    "  handshake PKI_DIR IDENTITIES COUNT ROUNDS\n",
			    stderr);
		return 2;
	}
	open_floor(&floor, argv[2], argv[3], bench_number(argv[4], IDENTITIES_MAX));
	rounds = bench_number(argv[5], 1000000);
	if (rounds == 0)
		bench_fail("rounds", "none");
	if (is_all) {
		print_all(&floor, rounds, argv[6]);
	} else {
		for (size_t i = 0; i < rounds; i++)
			(void)handshake(&floor, i);
		printf("%zu handshakes\n", rounds);
	}
	close_floor(&floor);
	return 0;
}
