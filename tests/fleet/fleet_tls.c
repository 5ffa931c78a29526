#include "fleet_tls.h"

#include <limits.h>
#include <stdlib.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

enum { SECURITY_LEVEL = 2 };

struct fleet_tls {
	X509_STORE *root;
	X509_VERIFY_PARAM *param;
};

enum kt_err fleet_tls_new(const char *root_path, const char *address, struct fleet_tls **out)
{
	struct fleet_tls *tls = calloc(1, sizeof(*tls));
	enum kt_err err = KT_ERR_NOMEM;

	*out = NULL;
	if (tls == NULL)
		return err;
	tls->root = X509_STORE_new();
	tls->param = X509_VERIFY_PARAM_new();
	if (tls->root == NULL || tls->param == NULL)
		goto out;
	err = KT_ERR_INVALID;
	if (X509_VERIFY_PARAM_set1_ip_asc(tls->param, address) != 1)
		goto out;
	(void)X509_VERIFY_PARAM_set_flags(tls->param, X509_V_FLAG_X509_STRICT);
	err = KT_ERR_SYS;
	if (X509_STORE_load_file(tls->root, root_path) != 1)
		goto out;
	*out = tls;
	tls = NULL; /* moved */
	err = KT_ERR_OK;
out:
	fleet_tls_free(tls);
	return err;
}

void fleet_tls_free(struct fleet_tls *tls)
{
	if (tls == NULL)
		return;
	X509_STORE_free(tls->root);
	X509_VERIFY_PARAM_free(tls->param);
	free(tls);
}

/* --- alerts --- */

static bool has_handshake_keys(const SSL *ssl)
{
	OSSL_HANDSHAKE_STATE state = SSL_get_state(ssl);

	return SSL_version(ssl) == TLS1_3_VERSION && state != TLS_ST_BEFORE &&
	       state != TLS_ST_CW_CLNT_HELLO && state != TLS_ST_CR_SRVR_HELLO;
}

/* The callback gets no argument of ours: the context leads to the alert. */
static void record_alert(const SSL *ssl, int where, int value)
{
	struct fleet_alert *alert = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	if (alert == NULL || (where & SSL_CB_READ_ALERT) != SSL_CB_READ_ALERT ||
	    (value >> 8) != SSL3_AL_FATAL)
		return;
	alert->is_there = true;
	alert->number = value & 0xff;
	alert->is_authenticated = has_handshake_keys(ssl);
}

bool fleet_alert_is_refusal(const struct fleet_alert *alert)
{
	if (!alert->is_there || !alert->is_authenticated)
		return false;
	switch (alert->number) {
	case SSL_AD_BAD_CERTIFICATE:
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
	case SSL_AD_CERTIFICATE_REVOKED:
	case SSL_AD_CERTIFICATE_EXPIRED:
	case SSL_AD_CERTIFICATE_UNKNOWN:
	case SSL_AD_UNKNOWN_CA:
	case SSL_AD_ACCESS_DENIED:
	case SSL_AD_DECRYPT_ERROR:
	case TLS13_AD_CERTIFICATE_REQUIRED:
		return true;
	default:
		return false;
	}
}

/* --- contexts --- */

static bool use_chain(SSL_CTX *ctx, BIO *pem)
{
	X509 *cert = PEM_read_bio_X509(pem, NULL, NULL, NULL);
	bool is_good = cert != NULL && SSL_CTX_use_certificate(ctx, cert) == 1;

	X509_free(cert);
	while (is_good && (cert = PEM_read_bio_X509(pem, NULL, NULL, NULL)) != NULL) {
		is_good = SSL_CTX_add1_chain_cert(ctx, cert) == 1;
		X509_free(cert);
	}
	return is_good;
}

static bool use_identity(SSL_CTX *ctx, struct kt_bytes identity)
{
	BIO *pem = identity.len <= INT_MAX ? BIO_new_mem_buf(identity.p, (int)identity.len) : NULL;
	EVP_PKEY *key = NULL;
	bool is_good = pem != NULL && use_chain(ctx, pem) && BIO_reset(pem) == 1;

	if (is_good)
		key = PEM_read_bio_PrivateKey(pem, NULL, NULL, NULL); /* skips the certificates */
	is_good = key != NULL && SSL_CTX_use_PrivateKey(ctx, key) == 1;
	EVP_PKEY_free(key);
	BIO_free(pem);
	return is_good;
}

void *fleet_tls_context(const struct fleet_tls *tls, struct kt_bytes identity,
			struct fleet_alert *alert)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	bool is_good = ctx != NULL;

	*alert = (struct fleet_alert){0};
	if (!is_good)
		return NULL;
	SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_info_callback(ctx, record_alert);
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set1_cert_store(ctx, tls->root);
	is_good = SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
		  SSL_CTX_set1_param(ctx, tls->param) == 1 &&
		  SSL_CTX_set_app_data(ctx, alert) == 1 &&
		  (identity.len == 0 || use_identity(ctx, identity));
	if (!is_good) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}
