/*
 * worker_job - one job, done: the crypto that the plugin's threads, the tests and the simulator
 * share.
 */
#include "worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "durable_file.h"
#include "head_file.h"
#include "secmem.h"

struct kt_bench {
	struct kt_crypto *crypto;
	struct kt_issuer *issuer;
	struct kt_key *controller;
	uint8_t *controller_cert; /* DER: x5c of every message */
	size_t controller_cert_len;
	char *crl_file;	     /* NULL: none */
	char *heads_file;    /* NULL: none */
	char *metrics_file;  /* NULL: none */
	uint64_t heads_size; /* kt_head_file_append's */
	char trust_domain[KT_TRUST_DOMAIN_MAX + 1];
};

enum { CRL_FILE_MODE = 0644 }; /* other servers read it, and it says nothing that is not public */
enum { WARM_UP_ROUNDS = 3 };

/* --- jobs --- */

struct kt_job *kt_job_new(enum kt_job_kind kind, uint64_t session)
{
	struct kt_job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return NULL;
	job->kind = kind;
	job->session = session;
	job->err = KT_ERR_INTERNAL;
	return job;
}

static void wipe_free(void *p, size_t len)
{
	if (p == NULL)
		return;
	kt_wipe(p, len);
	free(p);
}

void kt_job_free(struct kt_job *job)
{
	if (job == NULL)
		return;
	wipe_free(job->text, job->text_len); /* an enrolment's carries a ticket */
	wipe_free(job->cert_der, job->cert_der_len);
	wipe_free(job->leaf_der, job->leaf_len);
	wipe_free(job->sealed, job->sealed_len);
	kt_message_free(job->message);
	free(job->crl_entries);
	wipe_free(job, sizeof(*job));
}

/* --- the bench --- */

static enum kt_err sign_as_controller(void *ctx, const uint8_t *msg, size_t len,
				      uint8_t sig[static KT_SIGNATURE_MAX])
{
	struct kt_bench *bench = ctx;

	return kt_key_sign(bench->crypto, bench->controller, msg, len, sig);
}

static enum kt_err seal(struct kt_bench *bench, enum kt_jws_from from, struct kt_bytes body,
			char **out, size_t *out_len)
{
	struct kt_signer signer = {
		.alg = KT_ALG_ES256,
		.sign = sign_as_controller,
		.ctx = bench,
	};
	struct kt_bytes x5c = {bench->controller_cert, bench->controller_cert_len};

	return kt_jws_sign(&signer, from, x5c, body, out, out_len);
}

/*
 * Signs and verifies a few empty messages: the first uses of a point build tables that later ones
 * need, and a bench whose signatures do not verify must not be used at all.
 */
static enum kt_err warm_up(struct kt_bench *bench)
{
	static const struct kt_bytes empty = {(const uint8_t *)"{}", 2};
	enum kt_err err = KT_ERR_INTERNAL;
	enum kt_reason reason;
	char *sealed = NULL;
	size_t sealed_len = 0;
	struct kt_jws jws;

	memset(&jws, 0, sizeof(jws));
	for (int i = 0; i < WARM_UP_ROUNDS; i++) {
		err = seal(bench, KT_JWS_FROM_CONTROLLER, empty, &sealed, &sealed_len);
		if (err != KT_ERR_OK)
			goto out;
		err = kt_jws_decode((const uint8_t *)sealed, sealed_len, KT_JWS_FROM_CONTROLLER,
				    &jws, &reason);
		if (err != KT_ERR_OK)
			goto out;
		err = kt_jws_verify(&jws, kt_key_public(bench->controller), &reason);
		if (err != KT_ERR_OK)
			goto out;
		kt_jws_clear(&jws);
		memset(&jws, 0, sizeof(jws));
		free(sealed);
		sealed = NULL;
	}
	err = KT_ERR_OK;
out:
	kt_jws_clear(&jws);
	free(sealed);
	return err;
}

static enum kt_err take_issuer(struct kt_bench *bench, const struct kt_signing *signing)
{
	enum kt_err err = KT_ERR_INTERNAL;
	struct kt_bytes pem = kt_secret_view(signing->issuer_key_pem);
	struct kt_key *key = NULL;

	err = kt_key_from_pem(bench->crypto, pem.p, pem.len, &key);
	if (err != KT_ERR_OK)
		goto out;
	err = kt_issuer_new(bench->crypto, signing->issuer_cert_der.p, signing->issuer_cert_der.len,
			    key, &bench->issuer);
	if (err != KT_ERR_OK)
		goto out;
	(void)kt_key_speed_up(key);
	key = NULL; /* moved */
out:
	kt_key_free(key);
	return err;
}

static enum kt_err take_controller(struct kt_bench *bench, const struct kt_signing *signing)
{
	enum kt_err err = KT_ERR_INTERNAL;
	struct kt_bytes pem = kt_secret_view(signing->controller_key_pem);
	struct kt_bytes der = signing->controller_cert_der;
	struct kt_key_id key_id;
	struct kt_cert cert;

	err = kt_cert_decode(der.p, der.len, &cert);
	if (err != KT_ERR_OK)
		return err;
	err = kt_key_from_pem(bench->crypto, pem.p, pem.len, &bench->controller);
	if (err != KT_ERR_OK)
		return err;
	(void)kt_key_speed_up(bench->controller);
	key_id = kt_key_id_of(kt_key_public(bench->controller));
	if (!kt_key_id_eq(&key_id, &cert.key_id))
		return KT_ERR_VERIFY;
	bench->controller_cert = malloc(der.len);
	if (bench->controller_cert == NULL)
		return KT_ERR_NOMEM;
	memcpy(bench->controller_cert, der.p, der.len);
	bench->controller_cert_len = der.len;
	return KT_ERR_OK;
}

/* Of a file; NULL or "" for none. */
static enum kt_err take_name(const char *name, char **out)
{
	if (name == NULL || name[0] == '\0')
		return KT_ERR_OK;
	*out = strdup(name);
	return *out != NULL ? KT_ERR_OK : KT_ERR_NOMEM;
}

enum kt_err kt_bench_new(const struct kt_signing *signing, struct kt_bench **out)
{
	enum kt_err err = KT_ERR_INTERNAL;
	struct kt_bench *bench = NULL;
	size_t td_len = strlen(signing->trust_domain);

	*out = NULL;
	if (!kt_is_trust_domain(signing->trust_domain, td_len))
		return KT_ERR_INVALID;
	bench = calloc(1, sizeof(*bench));
	if (bench == NULL)
		return KT_ERR_NOMEM;
	memcpy(bench->trust_domain, signing->trust_domain, td_len + 1);
	err = take_name(signing->crl_file, &bench->crl_file);
	if (err == KT_ERR_OK)
		err = take_name(signing->heads_file, &bench->heads_file);
	if (err == KT_ERR_OK)
		err = take_name(signing->metrics_file, &bench->metrics_file);
	if (err != KT_ERR_OK)
		goto out;
	err = kt_crypto_new(&bench->crypto);
	if (err != KT_ERR_OK)
		goto out;
	err = take_issuer(bench, signing);
	if (err != KT_ERR_OK)
		goto out;
	err = take_controller(bench, signing);
	if (err != KT_ERR_OK)
		goto out;
	err = warm_up(bench);
	if (err != KT_ERR_OK)
		goto out;
	*out = bench;
	bench = NULL; /* moved */
out:
	kt_bench_free(bench);
	return err;
}

void kt_bench_free(struct kt_bench *bench)
{
	if (bench == NULL)
		return;
	kt_key_free(bench->controller);
	kt_issuer_free(bench->issuer);
	free(bench->controller_cert);
	free(bench->crl_file);
	free(bench->heads_file);
	free(bench->metrics_file);
	kt_crypto_free(bench->crypto);
	free(bench);
}

/* --- OPEN --- */

/* The request inside a csr or an enroll, verified with its own key; nothing for other types. */
static enum kt_err open_request(struct kt_job *job, const struct kt_message *message)
{
	enum kt_err err = KT_ERR_OK;

	job->reason = KT_REASON_CSR_SYNTAX;
	if (message->type == KT_MESSAGE_CSR)
		err = kt_csr_decode(message->u.csr.csr, message->u.csr.csr_len, &job->csr,
				    &job->reason);
	else if (message->type == KT_MESSAGE_ENROLL)
		err = kt_csr_decode(message->u.enroll.csr, message->u.enroll.csr_len, &job->csr,
				    &job->reason);
	return err;
}

/* Whose signature is it, if not the session's? Twice the work of one that holds, and no more. */
static void note_signers(struct kt_job *job, const struct kt_jws *jws)
{
	struct kt_public_key keys[KT_RECOVERED_MAX];

	job->signed_by_count =
		kt_recover(jws->signing_input, jws->signing_input_len, jws->signature, keys);
	for (size_t i = 0; i < job->signed_by_count; i++)
		job->signed_by[i] = kt_key_id_of(&keys[i]);
}

/*
 * A session's message: nothing of the payload is looked at before its signature holds. The key is
 * that of the certificate which the session showed.
 */
static enum kt_err open_session(struct kt_job *job, const struct kt_jws *jws,
				struct kt_message **message)
{
	enum kt_err err;
	struct kt_cert cert;

	job->reason = KT_REASON_CERT_KEY;
	err = kt_cert_decode(job->cert_der, job->cert_der_len, &cert);
	if (err != KT_ERR_OK)
		return err;
	err = kt_jws_verify(jws, &cert.key, &job->reason);
	if (err == KT_ERR_VERIFY && job->reason == KT_REASON_JWS_SIG)
		note_signers(job, jws);
	if (err != KT_ERR_OK)
		return err;
	err = kt_message_decode(jws->payload, jws->payload_len, true, message, &job->reason);
	if (err != KT_ERR_OK)
		return err;
	if ((*message)->type == KT_MESSAGE_ENROLL) {
		job->reason = KT_REASON_MSG_TYPE;
		return KT_ERR_DENIED;
	}
	return open_request(job, *message);
}

/* A claimant's: the key that vouches for it is inside, so the payload has to be read first. */
static enum kt_err open_claim(struct kt_job *job, const struct kt_jws *jws,
			      struct kt_message **message)
{
	enum kt_err err;

	err = kt_message_decode(jws->payload, jws->payload_len, true, message, &job->reason);
	if (err != KT_ERR_OK)
		return err;
	if ((*message)->type != KT_MESSAGE_ENROLL) {
		job->reason = KT_REASON_MSG_TYPE;
		return KT_ERR_DENIED;
	}
	err = open_request(job, *message);
	if (err != KT_ERR_OK)
		return err;
	return kt_jws_verify(jws, &job->csr.key, &job->reason);
}

static enum kt_err run_open(struct kt_job *job)
{
	enum kt_err err = KT_ERR_INTERNAL;
	struct kt_message *message = NULL;
	struct kt_jws jws;

	memset(&jws, 0, sizeof(jws));
	err = kt_jws_decode(job->text, job->text_len, KT_JWS_FROM_DEVICE, &jws, &job->reason);
	if (err != KT_ERR_OK)
		goto out;
	err = job->is_claim ? open_claim(job, &jws, &message) : open_session(job, &jws, &message);
	if (err != KT_ERR_OK)
		goto out;
	job->message = message;
	message = NULL; /* moved */
out:
	if (err != KT_ERR_OK)
		kt_wipe(&job->csr, sizeof(job->csr)); /* never half an answer */
	kt_message_free(message);
	kt_jws_clear(&jws);
	return err;
}

/* --- ISSUE --- */

static enum kt_err run_issue(struct kt_bench *bench, struct kt_job *job)
{
	enum kt_err err = KT_ERR_INTERNAL;
	uint8_t *der = NULL;
	size_t len = 0;
	struct kt_leaf_request request = {
		.device = job->device.s,
		.trust_domain = bench->trust_domain,
		.generation = job->generation,
		.key = &job->key,
		.not_after_s = job->not_after_s,
	};

	der = malloc(KT_CERT_MAX);
	if (der == NULL)
		return KT_ERR_NOMEM;
	err = kt_leaf_issue(bench->crypto, bench->issuer, &request, der, &len);
	if (err != KT_ERR_OK)
		goto out;
	job->leaf_fp = kt_fingerprint_of(der, len);
	job->leaf_len = len;
	job->leaf_der = der;
	der = NULL; /* moved */
out:
	free(der);
	return err;
}

/* --- SEAL --- */

static enum kt_err run_seal(struct kt_bench *bench, struct kt_job *job)
{
	enum kt_err err = KT_ERR_INTERNAL;
	char *payload = NULL;
	size_t payload_len = 0;

	if (job->message == NULL)
		return KT_ERR_INVALID;
	err = kt_message_encode(job->message, &payload, &payload_len);
	if (err != KT_ERR_OK)
		goto out;
	err = seal(bench, KT_JWS_FROM_CONTROLLER,
		   (struct kt_bytes){(const uint8_t *)payload, payload_len}, &job->sealed,
		   &job->sealed_len);
out:
	free(payload);
	return err;
}

/* --- CRL --- */

static enum kt_err sign_and_write(struct kt_bench *bench, const struct kt_job *job)
{
	const struct kt_file_mode mode = {CRL_FILE_MODE, (gid_t)-1};
	enum kt_err err = KT_ERR_INTERNAL;
	struct kt_bytes file = {NULL, 0};
	uint8_t *der = NULL;
	char *pem = NULL;
	size_t len = 0;

	if (bench->crl_file == NULL)
		return KT_ERR_STATE;
	err = kt_crl_issue(bench->crypto, bench->issuer, &job->crl, job->crl_entries, &der, &len);
	if (err != KT_ERR_OK)
		goto out;
	err = kt_pem_from_crl(der, len, &pem);
	if (err != KT_ERR_OK)
		goto out;
	file.p = (const uint8_t *)pem;
	file.len = strlen(pem);
	err = kt_file_write(kt_fs_posix(), bench->crl_file, file, mode);
out:
	free(pem);
	free(der);
	return err;
}

static void explain(struct kt_job *job, enum kt_err err)
{
	int cause = errno;
	char buf[KT_ERR_CAUSE_MAX];

	if (err != KT_ERR_OK)
		(void)snprintf(job->file_why, sizeof(job->file_why), "%s",
			       kt_err_cause(err, cause, buf));
}

static enum kt_err run_crl(struct kt_bench *bench, struct kt_job *job)
{
	enum kt_err err = sign_and_write(bench, job);

	explain(job, err);
	return err;
}

/* --- METRICS --- */

/* Whole or not at all: a collector may read it at any time. */
static enum kt_err run_metrics(const struct kt_bench *bench, struct kt_job *job)
{
	const struct kt_file_mode mode = {CRL_FILE_MODE, (gid_t)-1};
	enum kt_err err = KT_ERR_STATE;

	if (bench->metrics_file != NULL)
		err = kt_file_write(kt_fs_posix(), bench->metrics_file,
				    (struct kt_bytes){job->text, job->text_len}, mode);
	explain(job, err);
	return err;
}

/* --- HEAD --- */

static enum kt_err sign_head(struct kt_bench *bench, struct kt_job *job)
{
	char *payload = NULL;
	size_t payload_len = 0;
	enum kt_err err;

	memcpy(job->head.trust_domain, bench->trust_domain, sizeof(job->head.trust_domain));
	err = kt_head_encode(&job->head, &payload, &payload_len);
	if (err == KT_ERR_OK)
		err = seal(bench, KT_JWS_HEAD,
			   (struct kt_bytes){(const uint8_t *)payload, payload_len}, &job->sealed,
			   &job->sealed_len);
	free(payload);
	return err;
}

static enum kt_err run_head(struct kt_bench *bench, struct kt_job *job)
{
	enum kt_err err = sign_head(bench, job);

	if (err == KT_ERR_OK && bench->heads_file != NULL) {
		job->file_err = kt_head_file_append(
			kt_fs_posix(), bench->heads_file,
			(struct kt_bytes){(const uint8_t *)job->sealed, job->sealed_len},
			&bench->heads_size);
		explain(job, job->file_err);
	} else {
		explain(job, err);
	}
	return err;
}

void kt_job_run(struct kt_bench *bench, struct kt_job *job)
{
	enum kt_err err = KT_ERR_INTERNAL;

	job->reason = KT_REASON_BUSY; /* our own failures; what the peer did wrong overwrites it */
	switch (job->kind) {
	case KT_JOB_OPEN:
		err = run_open(job);
		break;
	case KT_JOB_ISSUE:
		err = run_issue(bench, job);
		break;
	case KT_JOB_SEAL:
		err = run_seal(bench, job);
		break;
	case KT_JOB_CRL:
		err = run_crl(bench, job);
		break;
	case KT_JOB_HEAD:
		err = run_head(bench, job);
		break;
	case KT_JOB_METRICS:
		err = run_metrics(bench, job);
		break;
	}
	job->err = err;
	if (err == KT_ERR_OK)
		job->reason = KT_REASON_NONE;
	else if (err == KT_ERR_NOMEM)
		job->reason = KT_REASON_BUSY;
}
