#include "tls_openssl.h"

#include "crypto.h"

#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <dlfcn.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

enum { CHAIN_MAX = 8, SECURITY_LEVEL = 2 };

/*
 * Paho passes no context through the functions we stand in for. This is the one thread-local of the
 * agent: set by the thread that is about to connect, read by the same thread inside Paho's connect.
 */
static _Thread_local struct kt_tls_watch *next_watch;

void kt_tls_watch_next(struct kt_tls_watch *watch)
{
	next_watch = watch;
	if (watch == NULL)
		return;
	watch->has_alert = false;
	watch->alert = 0;
	watch->is_alert_authenticated = false;
	watch->is_untrusted = false;
	watch->is_clock_ahead = false;
	watch->floor_s = 0;
}

bool kt_tls_is_refusal(const struct kt_tls_watch *watch)
{
	static const int about_us[] = {
		SSL_AD_BAD_CERTIFICATE,	       SSL_AD_UNSUPPORTED_CERTIFICATE,
		SSL_AD_CERTIFICATE_REVOKED,    SSL_AD_CERTIFICATE_EXPIRED,
		SSL_AD_CERTIFICATE_UNKNOWN,    SSL_AD_UNKNOWN_CA,
		SSL_AD_ACCESS_DENIED,	       SSL_AD_DECRYPT_ERROR,
		TLS13_AD_CERTIFICATE_REQUIRED,
	};

	if (!watch->has_alert || !watch->is_alert_authenticated)
		return false;
	for (size_t i = 0; i < sizeof(about_us) / sizeof(about_us[0]); i++) {
		if (watch->alert == about_us[i])
			return true;
	}
	return false;
}

/* --- the recorder --- */

/* OpenSSL gives out a number per call, and all threads must use the same one. */
static pthread_once_t index_once = PTHREAD_ONCE_INIT;
static int index_number = -1;

static void take_index(void)
{
	index_number = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

static int watch_index(void)
{
	(void)pthread_once(&index_once, take_index);
	return index_number;
}

/* In TLS 1.3 everything after ServerHello is encrypted, alerts included (RFC 8446 section 5). */
static bool has_handshake_keys(const SSL *ssl)
{
	OSSL_HANDSHAKE_STATE state = SSL_get_state(ssl);

	return SSL_version(ssl) == TLS1_3_VERSION && state != TLS_ST_BEFORE &&
	       state != TLS_ST_CW_CLNT_HELLO && state != TLS_ST_CR_SRVR_HELLO &&
	       SSL_get_current_cipher(ssl) != NULL;
}

static void record_alert(const SSL *ssl, int where, int value)
{
	struct kt_tls_watch *watch = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), watch_index());
	bool is_fatal = (value >> 8) == SSL3_AL_FATAL;

	if (watch == NULL || (where & SSL_CB_READ_ALERT) != SSL_CB_READ_ALERT || !is_fatal)
		return;
	watch->alert = value & 0xff;
	watch->is_alert_authenticated = has_handshake_keys(ssl);
	watch->has_alert = true;
}

/* --- the broker's chain --- */

/* The chain that OpenSSL built, without the root, as DER; storage is one block to OPENSSL_free
 * each. */
static size_t built_chain(X509_STORE_CTX *store, struct kt_bytes *certs, unsigned char **storage)
{
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(store);
	int count = chain == NULL ? 0 : sk_X509_num(chain);
	size_t taken = 0;

	for (int i = 0; i + 1 < count && taken < CHAIN_MAX; i++) {
		int len = i2d_X509(sk_X509_value(chain, i), &storage[taken]);

		if (len <= 0)
			return 0;
		certs[taken] = (struct kt_bytes){storage[taken], (size_t)len};
		taken++;
	}
	return taken;
}

/*
 * OpenSSL builds the chain, checks signatures, purpose and path without dates; the dates are judged
 * by the rule that cannot lock a hub out (trust.h).
 */
static int verify_broker(X509_STORE_CTX *store, void *arg)
{
	struct kt_tls_watch *watch = arg;
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(store);
	unsigned char *storage[CHAIN_MAX] = {NULL};
	struct kt_bytes certs[CHAIN_MAX];
	struct kt_verdict verdict = {0};
	size_t count = 0;
	int is_good = 0;

	(void)X509_VERIFY_PARAM_set_flags(param,
					  X509_V_FLAG_NO_CHECK_TIME | X509_V_FLAG_X509_STRICT);
	if (X509_verify_cert(store) != 1)
		goto out;
	count = built_chain(store, certs, storage);
	if (count == 0 || kt_trust_chain(&watch->trust, certs, count, &verdict) != KT_ERR_OK) {
		X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_HAS_EXPIRED);
		goto out;
	}
	watch->is_clock_ahead = verdict.clock_ahead;
	watch->floor_s = verdict.floor_s;
	is_good = 1;
out:
	for (size_t i = 0; i < CHAIN_MAX; i++)
		OPENSSL_free(storage[i]);
	if (!is_good)
		watch->is_untrusted = true;
	return is_good;
}

/* False: there is no watch, so there must be no connection. */
static bool harden(SSL_CTX *ctx)
{
	struct kt_tls_watch *watch = next_watch;
	int min = 0;

	if (watch == NULL)
		return false;
	min = watch->min_version == KT_TLS_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION;
	SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
	SSL_CTX_set_cert_verify_callback(ctx, verify_broker, watch);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
	return SSL_CTX_set_ex_data(ctx, watch_index(), watch) == 1 &&
	       SSL_CTX_set_min_proto_version(ctx, min) == 1;
}

/* --- what Paho calls instead of OpenSSL's own --- */

typedef int load_verify_fn(SSL_CTX *ctx, const char *file, const char *path);
typedef int use_key_fn(SSL_CTX *ctx, const char *file, int type);
typedef void info_fn(SSL_CTX *ctx, void (*callback)(const SSL *ssl, int type, int value));

/* Copies OpenSSL's own function into *@fn: C has no cast from an object to a function pointer. */
static bool find_next(const char *name, void *fn, size_t fn_size)
{
	void *symbol = dlsym(RTLD_NEXT, name);

	if (symbol == NULL || fn_size != sizeof(symbol))
		return false;
	memcpy(fn, &symbol, fn_size);
	return true;
}

__attribute__((visibility("default"))) int
SSL_CTX_load_verify_locations(SSL_CTX *ctx, const char *CAfile, const char *CApath)
{
	load_verify_fn *next = NULL;

	if (!find_next("SSL_CTX_load_verify_locations", &next, sizeof(next)) || !harden(ctx))
		return 0;
	return next(ctx, CAfile, CApath);
}

__attribute__((visibility("default"))) int SSL_CTX_use_PrivateKey_file(SSL_CTX *ctx,
								       const char *file, int type)
{
	use_key_fn *next = NULL;

	if (!find_next("SSL_CTX_use_PrivateKey_file", &next, sizeof(next)) || !harden(ctx))
		return 0;
	return next(ctx, file, type);
}

/* Paho sets a callback that only traces; ours records, and Paho's is not needed. */
__attribute__((visibility("default"))) void
SSL_CTX_set_info_callback(SSL_CTX *ctx, void (*cb)(const SSL *ssl, int type, int val))
{
	info_fn *next = NULL;

	(void)cb;
	if (find_next("SSL_CTX_set_info_callback", &next, sizeof(next)))
		next(ctx, record_alert);
}

/* --- the root, out of the broker's chain --- */

static int connect_within(const char *host, const char *port, int timeout_ms)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
	struct addrinfo *list = NULL;
	int fd = -1;

	if (getaddrinfo(host, port, &hints, &list) != 0)
		return -1;
	for (const struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next) {
		const struct timeval limit = {.tv_sec = timeout_ms / 1000,
					      .tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000};

		fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
		if (fd < 0)
			continue;
		/* SO_SNDTIMEO also bounds connect(2) on Linux (socket(7)) */
		if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0 ||
		    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0 ||
		    connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
			(void)close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(list);
	return fd;
}

static enum kt_err find_in_chain(const SSL *ssl, const uint8_t sha256[static 32], uint8_t **der,
				 size_t *der_len)
{
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
	int count = chain == NULL ? 0 : sk_X509_num(chain);

	for (int i = 0; i < count && i < CHAIN_MAX; i++) {
		unsigned char *bytes = NULL;
		int len = i2d_X509(sk_X509_value(chain, i), &bytes);
		uint8_t hash[32] = {0};
		bool is_it = false;

		if (len <= 0)
			continue;
		kt_sha256(bytes, (size_t)len, hash);
		is_it = kt_ct_equal(hash, sha256, sizeof(hash));
		*der = is_it ? malloc((size_t)len) : NULL;
		if (*der != NULL) {
			memcpy(*der, bytes, (size_t)len);
			*der_len = (size_t)len;
		}
		OPENSSL_free(bytes);
		if (is_it)
			return *der != NULL ? KT_ERR_OK : KT_ERR_NOMEM;
	}
	return KT_ERR_NOT_FOUND;
}

enum kt_err kt_tls_fetch_root(const char *host, const char *port, int timeout_ms,
			      const uint8_t sha256[static 32], uint8_t **der, size_t *der_len)
{
	enum kt_err err = KT_ERR_NOMEM;
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = NULL;
	char name[256];
	int fd = -1;

	*der = NULL;
	*der_len = 0;
	if (ctx == NULL)
		goto out;
	ssl = SSL_new(ctx);
	if (ssl == NULL)
		goto out;
	err = KT_ERR_SYS;
	fd = connect_within(host, port, timeout_ms);
	if (fd < 0 || SSL_set_fd(ssl, fd) != 1)
		goto out;
	/* SSL_set_tlsext_host_name, with a name that it may take without const */
	(void)snprintf(name, sizeof(name), "%s", host);
	(void)SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name);
	/* believes nothing: the chain is only searched for the certificate whose hash we know */
	SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
	(void)SSL_connect(ssl);
	err = find_in_chain(ssl, sha256, der, der_len);
out:
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	if (fd >= 0)
		(void)close(fd);
	return err;
}
