/* Does each job do its work, refuse what is not right with the right reason, and do the threads
 * keep every job? */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bytes.h"
#include "worker.h"

enum { TAMPER_STEP = 50, MANY = 1000, WAIT_S = 60 };

#define TD "fleet.example"

struct fixture {
	struct kt_signing signing;
	struct kt_secret *issuer_key;
	struct kt_secret *controller_key;
	struct kt_secret *other_key;
	uint8_t *storage[3];
	struct kt_bytes root;
	struct kt_crypto *crypto;
	struct kt_bench *bench;
	struct kt_key *key;	/* of the device, on record */
	struct kt_key *new_key; /* of the request */
	uint8_t leaf[KT_CERT_MAX];
	size_t leaf_len;
};

/* --- what the tests stand on --- */

static struct kt_bytes load_cert(const char *path, uint8_t **storage)
{
	struct kt_bytes der = {NULL, 0};
	size_t len = 0;
	size_t count = 0;
	uint8_t *pem = read_file(path, &len);

	assert_int_equal(kt_pem_certs(pem, len, &der, 1, &count, storage), KT_ERR_OK);
	assert_int_equal(count, 1);
	free(pem);
	return der;
}

static struct kt_secret *load_key(const char *path)
{
	struct kt_secret *secret = NULL;
	size_t len = 0;
	uint8_t *pem = read_file(path, &len);

	assert_int_equal(kt_secret_copy(pem, len, &secret), KT_ERR_OK);
	free(pem);
	return secret;
}

static struct kt_job *issue_job(const struct fixture *f, const struct kt_key *key)
{
	struct kt_job *job = kt_job_new(KT_JOB_ISSUE, 7);

	(void)f;
	assert_non_null(job);
	assert_true(kt_device_id_set(&job->device, "hub-17", 6));
	job->generation = 3;
	job->key = *kt_key_public(key);
	job->not_after_s = KT_CERT_NO_END;
	return job;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct kt_job *job;

	assert_non_null(f);
	f->root = load_cert(KT_VECTORS "/pki/root.pem", &f->storage[0]);
	f->signing.issuer_cert_der = load_cert(KT_VECTORS "/pki/issuing.pem", &f->storage[1]);
	f->signing.controller_cert_der =
		load_cert(KT_VECTORS "/pki/controller.pem", &f->storage[2]);
	f->issuer_key = load_key(KT_VECTORS "/pki/issuing.key");
	f->controller_key = load_key(KT_VECTORS "/pki/controller.key");
	f->other_key = load_key(KT_VECTORS "/pki/other-root.key");
	f->signing.trust_domain = TD;
	f->signing.issuer_key_pem = f->issuer_key;
	f->signing.controller_key_pem = f->controller_key;
	assert_int_equal(kt_bench_new(&f->signing, &f->bench), KT_ERR_OK);
	assert_int_equal(kt_crypto_new(&f->crypto), KT_ERR_OK);
	assert_int_equal(kt_key_new(f->crypto, KT_ALG_ES256, &f->key), KT_ERR_OK);
	assert_int_equal(kt_key_new(f->crypto, KT_ALG_ES256, &f->new_key), KT_ERR_OK);
	job = issue_job(f, f->key);
	kt_job_run(f->bench, job);
	assert_int_equal(job->err, KT_ERR_OK);
	memcpy(f->leaf, job->leaf_der, job->leaf_len);
	f->leaf_len = job->leaf_len;
	kt_job_free(job);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	kt_key_free(f->key);
	kt_key_free(f->new_key);
	kt_bench_free(f->bench);
	kt_crypto_free(f->crypto);
	kt_secret_free(f->issuer_key);
	kt_secret_free(f->controller_key);
	kt_secret_free(f->other_key);
	for (size_t i = 0; i < 3; i++)
		free(f->storage[i]);
	free(f);
	return 0;
}

struct key_signer {
	struct kt_crypto *crypto;
	const struct kt_key *key;
};

static enum kt_err sign(void *ctx, const uint8_t *msg, size_t len,
			uint8_t sig[static KT_SIGNATURE_MAX])
{
	struct key_signer *s = ctx;

	return kt_key_sign(s->crypto, s->key, msg, len, sig);
}

/* A device's JWS over @message (freed here). */
static char *sealed_by(const struct fixture *f, const struct kt_key *key,
		       struct kt_message *message, size_t *out_len)
{
	struct key_signer s = {f->crypto, key};
	struct kt_signer signer = {KT_ALG_ES256, sign, &s};
	struct kt_bytes none = {NULL, 0};
	struct kt_bytes body = {NULL, 0};
	char *payload = NULL;
	char *text = NULL;

	assert_int_equal(kt_message_encode(message, &payload, &body.len), KT_ERR_OK);
	body.p = (const uint8_t *)payload;
	assert_int_equal(kt_jws_sign(&signer, KT_JWS_FROM_DEVICE, none, body, &text, out_len),
			 KT_ERR_OK);
	free(payload);
	kt_message_free(message);
	return text;
}

static struct kt_message *message_of(enum kt_message_type type)
{
	struct kt_message *m = kt_message_new(type);

	assert_non_null(m);
	(void)strcpy(m->trust_domain, TD);
	assert_true(kt_device_id_set(&m->device, "hub-17", 6));
	return m;
}

static struct kt_message *hello(void)
{
	struct kt_message *m = message_of(KT_MESSAGE_HELLO);

	memset(m->dn.b, 0x11, sizeof(m->dn.b));
	(void)strcpy(m->u.hello.agent, "1.0.0");
	(void)strcpy(m->u.hello.store, "file");
	m->u.hello.generation = 3;
	m->u.hello.phase = KT_PHASE_STABLE;
	return m;
}

static size_t request_of(const struct fixture *f, const struct kt_key *key,
			 uint8_t out[static KT_CSR_MAX])
{
	size_t len = 0;

	assert_int_equal(kt_csr_new(f->crypto, key, "hub-17", "binding", out, &len), KT_ERR_OK);
	return len;
}

static struct kt_message *csr(const struct fixture *f)
{
	struct kt_message *m = message_of(KT_MESSAGE_CSR);

	memset(m->sn.b, 0x22, sizeof(m->sn.b));
	m->u.csr.op = 5;
	m->u.csr.csr_len = request_of(f, f->new_key, m->u.csr.csr);
	return m;
}

static struct kt_message *enroll(const struct fixture *f, const struct kt_key *key)
{
	struct kt_message *m = message_of(KT_MESSAGE_ENROLL);

	memset(m->dn.b, 0x33, sizeof(m->dn.b));
	m->u.enroll.has_ticket = true;
	memset(m->u.enroll.ticket, 0x44, sizeof(m->u.enroll.ticket));
	m->u.enroll.csr_len = request_of(f, key, m->u.enroll.csr);
	return m;
}

/* @text is moved. */
static struct kt_job *open_job(const struct fixture *f, char *text, size_t len, bool is_claim)
{
	struct kt_job *job = kt_job_new(KT_JOB_OPEN, 7);

	assert_non_null(job);
	job->text = (uint8_t *)text;
	job->text_len = len;
	job->is_claim = is_claim;
	if (!is_claim) {
		job->cert_der = malloc(f->leaf_len);
		assert_non_null(job->cert_der);
		memcpy(job->cert_der, f->leaf, f->leaf_len);
		job->cert_der_len = f->leaf_len;
	}
	return job;
}

static void expect_refused(const struct fixture *f, struct kt_job *job, enum kt_err err,
			   enum kt_reason reason)
{
	static const struct kt_csr empty;

	kt_job_run(f->bench, job);
	assert_int_equal(job->err, err);
	assert_int_equal(job->reason, reason);
	assert_null(job->message);
	assert_memory_equal(&job->csr, &empty, sizeof(empty));
	kt_job_free(job);
}

/* --- OPEN --- */

static void opens_a_message_of_the_sessions_key(void **state)
{
	struct fixture *f = *state;
	size_t len = 0;
	char *text = sealed_by(f, f->key, hello(), &len);
	struct kt_job *job = open_job(f, text, len, false);

	kt_job_run(f->bench, job);
	assert_int_equal(job->err, KT_ERR_OK);
	assert_int_equal(job->reason, KT_REASON_NONE);
	assert_int_equal(job->session, 7);
	assert_int_equal(job->message->type, KT_MESSAGE_HELLO);
	assert_string_equal(job->message->device.s, "hub-17");
	assert_int_equal(job->message->u.hello.generation, 3);
	kt_job_free(job);
}

static void opens_a_request_of_another_key_under_the_sessions_key(void **state)
{
	struct fixture *f = *state;
	struct kt_key_id want = kt_key_id_of(kt_key_public(f->new_key));
	size_t len = 0;
	char *text = sealed_by(f, f->key, csr(f), &len);
	struct kt_job *job = open_job(f, text, len, false);

	kt_job_run(f->bench, job);
	assert_int_equal(job->err, KT_ERR_OK);
	assert_int_equal(job->message->type, KT_MESSAGE_CSR);
	assert_true(kt_key_id_eq(&job->csr.key_id, &want));
	assert_string_equal(job->csr.challenge_password, "binding");
	kt_job_free(job);
}

static void opens_an_enrolment_with_the_requests_own_key(void **state)
{
	struct fixture *f = *state;
	struct kt_key_id want = kt_key_id_of(kt_key_public(f->new_key));
	size_t len = 0;
	char *text = sealed_by(f, f->new_key, enroll(f, f->new_key), &len);
	struct kt_job *job = open_job(f, text, len, true);

	kt_job_run(f->bench, job);
	assert_int_equal(job->err, KT_ERR_OK);
	assert_int_equal(job->message->type, KT_MESSAGE_ENROLL);
	assert_true(job->message->u.enroll.has_ticket);
	assert_true(kt_key_id_eq(&job->csr.key_id, &want));
	kt_job_free(job);
}

static void refuses_a_message_of_another_key(void **state)
{
	struct fixture *f = *state;
	size_t len = 0;
	char *text = sealed_by(f, f->new_key, hello(), &len);

	expect_refused(f, open_job(f, text, len, false), KT_ERR_VERIFY, KT_REASON_JWS_SIG);
}

/* Nothing but the names of the two keys that the signature fits; and only where it is the fault. */
static void says_of_which_keys_a_wrong_signature_may_be(void **state)
{
	struct fixture *f = *state;
	const struct kt_key_id want = kt_key_id_of(kt_key_public(f->new_key));
	size_t len = 0;
	char *text = sealed_by(f, f->new_key, hello(), &len);
	struct kt_job *job = open_job(f, text, len, false);

	kt_job_run(f->bench, job);
	assert_int_equal(job->reason, KT_REASON_JWS_SIG);
	assert_null(job->message);
	assert_int_equal(job->signed_by_count, 2);
	assert_true(kt_key_id_eq(&job->signed_by[0], &want) ||
		    kt_key_id_eq(&job->signed_by[1], &want));
	kt_job_free(job);
	text = sealed_by(f, f->key, hello(), &len);
	job = open_job(f, text, len, false);
	kt_job_run(f->bench, job);
	assert_int_equal(job->err, KT_ERR_OK);
	assert_int_equal(job->signed_by_count, 0);
	kt_job_free(job);
}

/* A stranger's: whoever floods the claim lane pays for no work but that of one signature. */
static void of_a_claimant_nobody_asks_whose_it_is(void **state)
{
	struct fixture *f = *state;
	size_t len = 0;
	char *text = sealed_by(f, f->key, enroll(f, f->new_key), &len);
	struct kt_job *job = open_job(f, text, len, true);

	kt_job_run(f->bench, job);
	assert_int_equal(job->reason, KT_REASON_JWS_SIG);
	assert_int_equal(job->signed_by_count, 0);
	kt_job_free(job);
}

static void refuses_a_message_for_the_other_direction(void **state)
{
	struct fixture *f = *state;
	struct kt_job *sealed = kt_job_new(KT_JOB_SEAL, 7);
	struct kt_job *job;

	assert_non_null(sealed);
	sealed->message = message_of(KT_MESSAGE_COMMITTED);
	sealed->message->u.committed.op = 9;
	kt_job_run(f->bench, sealed);
	assert_int_equal(sealed->err, KT_ERR_OK);
	job = open_job(f, sealed->sealed, sealed->sealed_len, false);
	sealed->sealed = NULL; /* moved */
	expect_refused(f, job, KT_ERR_INVALID, KT_REASON_JWS_HEADER);
	kt_job_free(sealed);
}

static void refuses_an_enrolment_signed_by_another_key_than_its_request(void **state)
{
	struct fixture *f = *state;
	size_t len = 0;
	char *text = sealed_by(f, f->key, enroll(f, f->new_key), &len);

	expect_refused(f, open_job(f, text, len, true), KT_ERR_VERIFY, KT_REASON_JWS_SIG);
}

static void refuses_an_enrolment_in_a_devices_session(void **state)
{
	struct fixture *f = *state;
	size_t len = 0;
	char *text = sealed_by(f, f->key, enroll(f, f->new_key), &len);

	expect_refused(f, open_job(f, text, len, false), KT_ERR_DENIED, KT_REASON_MSG_TYPE);
}

static void refuses_all_but_an_enrolment_from_a_claimant(void **state)
{
	struct fixture *f = *state;
	size_t len = 0;
	char *text = sealed_by(f, f->key, hello(), &len);

	expect_refused(f, open_job(f, text, len, true), KT_ERR_DENIED, KT_REASON_MSG_TYPE);
	text = sealed_by(f, f->new_key, csr(f), &len);
	expect_refused(f, open_job(f, text, len, true), KT_ERR_DENIED, KT_REASON_MSG_TYPE);
}

static void refuses_a_request_that_its_own_key_does_not_vouch_for(void **state)
{
	struct fixture *f = *state;
	struct kt_message *m = csr(f);
	size_t len = 0;
	char *text;

	m->u.csr.csr[m->u.csr.csr_len - 1] ^= 1; /* inside the signature */
	text = sealed_by(f, f->key, m, &len);
	expect_refused(f, open_job(f, text, len, false), KT_ERR_VERIFY, KT_REASON_CSR_SIG);
	m = csr(f);
	m->u.csr.csr_len -= 1;
	text = sealed_by(f, f->key, m, &len);
	expect_refused(f, open_job(f, text, len, false), KT_ERR_INVALID, KT_REASON_CSR_SYNTAX);
}

static void refuses_a_message_changed_at_any_place(void **state)
{
	struct fixture *f = *state;

	for (int claim = 0; claim < 2; claim++) {
		size_t len = 0;
		char *text = claim ? sealed_by(f, f->new_key, enroll(f, f->new_key), &len)
				   : sealed_by(f, f->key, csr(f), &len);

		for (size_t at = 0; at < len; at += TAMPER_STEP) {
			char *copy = malloc(len);
			struct kt_job *job;

			assert_non_null(copy);
			memcpy(copy, text, len);
			copy[at] = (char)(copy[at] ^ 1);
			job = open_job(f, copy, len, claim == 1);
			kt_job_run(f->bench, job);
			if (job->err == KT_ERR_OK)
				fail_msg("a change of byte %zu got through", at);
			assert_int_not_equal(job->reason, KT_REASON_NONE);
			assert_int_not_equal(job->reason, KT_REASON_BUSY);
			assert_null(job->message);
			kt_job_free(job);
		}
		free(text);
	}
}

static void refuses_nothing_at_all(void **state)
{
	struct fixture *f = *state;
	struct kt_job *job = kt_job_new(KT_JOB_OPEN, 7);

	assert_non_null(job);
	job->text = malloc(1);
	assert_non_null(job->text);
	kt_job_run(f->bench, job);
	assert_int_equal(job->err, KT_ERR_INVALID);
	assert_int_equal(job->reason, KT_REASON_JSON_SYNTAX);
	kt_job_free(job);
}

static void refuses_a_session_whose_certificate_cannot_be_read(void **state)
{
	struct fixture *f = *state;
	size_t len = 0;
	char *text = sealed_by(f, f->key, hello(), &len);
	struct kt_job *job = open_job(f, text, len, false);

	job->cert_der_len -= 1;
	expect_refused(f, job, KT_ERR_INVALID, KT_REASON_CERT_KEY);
}

/* --- ISSUE and SEAL --- */

static void issues_a_leaf_that_verifies_under_the_root(void **state)
{
	struct fixture *f = *state;
	struct kt_job *job = issue_job(f, f->new_key);
	struct kt_fingerprint fp;
	struct kt_bytes chain[2];
	struct kt_cert cert;
	enum kt_dates dates;
	uint32_t generation = 0;

	kt_job_run(f->bench, job);
	assert_int_equal(job->err, KT_ERR_OK);
	assert_int_equal(job->reason, KT_REASON_NONE);
	chain[0].p = job->leaf_der;
	chain[0].len = job->leaf_len;
	chain[1] = f->signing.issuer_cert_der;
	assert_int_equal(kt_chain_verify(f->root, chain, 2, -1, &dates), KT_ERR_OK);
	assert_int_equal(kt_cert_decode(job->leaf_der, job->leaf_len, &cert), KT_ERR_OK);
	assert_string_equal(cert.uri, "spiffe://" TD "/device/hub-17");
	assert_true(kt_cert_generation(&cert, &generation));
	assert_int_equal(generation, 3);
	fp = kt_fingerprint_of(job->leaf_der, job->leaf_len);
	assert_true(kt_fingerprint_eq(&fp, &job->leaf_fp));
	kt_job_free(job);
}

static void issues_nothing_without_a_key(void **state)
{
	struct fixture *f = *state;
	struct kt_job *job = issue_job(f, f->new_key);

	memset(&job->key, 0, sizeof(job->key));
	kt_job_run(f->bench, job);
	assert_int_not_equal(job->err, KT_ERR_OK);
	assert_int_equal(job->reason, KT_REASON_BUSY);
	assert_null(job->leaf_der);
	assert_int_equal(job->leaf_len, 0);
	kt_job_free(job);
}

static void seals_what_the_controllers_key_opens(void **state)
{
	struct fixture *f = *state;
	struct kt_job *job = kt_job_new(KT_JOB_SEAL, 7);
	struct kt_cert cert;
	struct kt_jws jws;
	struct kt_message *message = NULL;
	enum kt_reason reason;

	assert_non_null(job);
	job->message = message_of(KT_MESSAGE_COMMITTED);
	job->message->u.committed.op = 9;
	memset(job->message->dn.b, 0x55, sizeof(job->message->dn.b));
	kt_job_run(f->bench, job);
	assert_int_equal(job->err, KT_ERR_OK);
	assert_int_equal(kt_jws_decode((const uint8_t *)job->sealed, job->sealed_len,
				       KT_JWS_FROM_CONTROLLER, &jws, &reason),
			 KT_ERR_OK);
	assert_int_equal(jws.x5c_len, f->signing.controller_cert_der.len);
	assert_memory_equal(jws.x5c, f->signing.controller_cert_der.p, jws.x5c_len);
	assert_int_equal(kt_cert_decode(jws.x5c, jws.x5c_len, &cert), KT_ERR_OK);
	assert_int_equal(kt_jws_verify(&jws, &cert.key, &reason), KT_ERR_OK);
	assert_int_equal(kt_message_decode(jws.payload, jws.payload_len, false, &message, &reason),
			 KT_ERR_OK);
	assert_int_equal(message->u.committed.op, 9);
	kt_message_free(message);
	kt_jws_clear(&jws);
	kt_job_free(job);
}

static void seals_no_message_that_breaks_its_limits(void **state)
{
	struct fixture *f = *state;
	struct kt_job *job = kt_job_new(KT_JOB_SEAL, 7);

	assert_non_null(job);
	kt_job_run(f->bench, job); /* without a message */
	assert_int_equal(job->err, KT_ERR_INVALID);
	job->message = message_of(KT_MESSAGE_CERT);
	job->message->u.cert.op = 1; /* a chain of none */
	kt_job_run(f->bench, job);
	assert_int_not_equal(job->err, KT_ERR_OK);
	assert_null(job->sealed);
	kt_job_free(job);
}

/* --- the bench --- */

static void a_bench_wants_matching_keys(void **state)
{
	struct fixture *f = *state;
	struct kt_signing signing = f->signing;
	struct kt_bench *bench = NULL;

	signing.issuer_key_pem = f->other_key;
	assert_int_equal(kt_bench_new(&signing, &bench), KT_ERR_VERIFY);
	assert_null(bench);
	signing = f->signing;
	signing.controller_key_pem = f->other_key;
	assert_int_equal(kt_bench_new(&signing, &bench), KT_ERR_VERIFY);
	signing = f->signing;
	signing.issuer_cert_der = f->signing.controller_cert_der; /* no CA */
	signing.issuer_key_pem = f->controller_key;
	assert_int_equal(kt_bench_new(&signing, &bench), KT_ERR_VERIFY);
	signing = f->signing;
	signing.trust_domain = "Not A Domain";
	assert_int_equal(kt_bench_new(&signing, &bench), KT_ERR_INVALID);
	assert_null(bench);
}

static void a_pool_with_a_wrong_key_does_not_start(void **state)
{
	struct fixture *f = *state;
	struct kt_signing signing = f->signing;
	struct kt_worker_pool *pool = NULL;

	signing.controller_key_pem = f->other_key;
	assert_int_equal(kt_worker_pool_new(&signing, 2, NULL, NULL, &pool), KT_ERR_VERIFY);
	assert_null(pool);
	assert_int_equal(kt_worker_pool_new(&f->signing, 0, NULL, NULL, &pool), KT_ERR_RANGE);
	assert_null(pool);
}

/* --- the threads --- */

static void submit(struct kt_worker_pool *pool, struct kt_job *job)
{
	const struct kt_jobs *jobs = kt_worker_pool_jobs(pool);

	assert_int_equal(jobs->submit(jobs->ctx, job), KT_ERR_OK);
}

static struct kt_job *seal_job(uint64_t session)
{
	struct kt_job *job = kt_job_new(KT_JOB_SEAL, session);

	assert_non_null(job);
	job->message = message_of(KT_MESSAGE_COMMITTED);
	job->message->u.committed.op = session + 1;
	return job;
}

/* The next result; a clock that has run too long fails the test instead of hanging it. */
static struct kt_job *take(struct kt_worker_pool *pool)
{
	const struct timespec pause = {0, 200000};
	time_t end = time(NULL) + WAIT_S;
	struct kt_job *job;

	while ((job = kt_worker_pool_take(pool)) == NULL) {
		assert_true(time(NULL) < end);
		(void)nanosleep(&pause, NULL);
	}
	return job;
}

static void a_full_queue_takes_no_more_until_a_result_is_taken(void **state)
{
	struct fixture *f = *state;
	struct kt_worker_pool *pool = NULL;
	const struct kt_jobs *jobs;
	struct kt_job *extra = kt_job_new(KT_JOB_SEAL, 9999);

	assert_int_equal(kt_worker_pool_new(&f->signing, 1, NULL, NULL, &pool), KT_ERR_OK);
	jobs = kt_worker_pool_jobs(pool);
	for (uint64_t i = 0; i < KT_JOBS_MAX; i++)
		submit(pool, kt_job_new(KT_JOB_SEAL, i)); /* without a message: quickly refused */
	assert_int_equal(jobs->submit(jobs->ctx, extra), KT_ERR_BUSY);
	assert_int_equal(extra->session, 9999); /* still ours */
	kt_job_free(take(pool));
	submit(pool, extra);
	kt_worker_pool_free(pool);
}

static struct kt_job *claim_job(uint64_t session)
{
	struct kt_job *job = kt_job_new(KT_JOB_OPEN, session);

	assert_non_null(job);
	job->is_claim = true; /* without a text: quickly refused */
	return job;
}

static void strangers_never_fill_the_queue(void **state)
{
	struct fixture *f = *state;
	struct kt_worker_pool *pool = NULL;
	const struct kt_jobs *jobs;
	struct kt_job *extra = claim_job(9999);

	assert_int_equal(kt_worker_pool_new(&f->signing, 1, NULL, NULL, &pool), KT_ERR_OK);
	jobs = kt_worker_pool_jobs(pool);
	for (uint64_t i = 0; i < KT_CLAIM_JOBS_MAX; i++)
		submit(pool, claim_job(i));
	assert_int_equal(jobs->submit(jobs->ctx, extra), KT_ERR_BUSY);
	submit(pool, kt_job_new(KT_JOB_SEAL, 5000)); /* a hub's */
	kt_job_free(take(pool));
	kt_job_free(take(pool)); /* of two one was a stranger's */
	submit(pool, extra);
	kt_worker_pool_free(pool);
}

/* The worker that has a first result stands here until the test opens the door. */
static void wait_at_the_door(void *ctx)
{
	(void)pthread_mutex_lock(ctx);
	(void)pthread_mutex_unlock(ctx);
}

static void hubs_are_served_before_strangers(void **state)
{
	struct fixture *f = *state;
	struct kt_worker_pool *pool = NULL;
	pthread_mutex_t door = PTHREAD_MUTEX_INITIALIZER;
	const uint64_t order[] = {1, 4, 2, 3};

	assert_int_equal(kt_worker_pool_new(&f->signing, 1, wait_at_the_door, &door, &pool),
			 KT_ERR_OK);
	assert_int_equal(pthread_mutex_lock(&door), 0);
	for (uint64_t i = 1; i <= 3; i++)
		submit(pool, claim_job(i));
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		struct kt_job *job = take(pool);

		assert_int_equal(job->session, order[i]);
		kt_job_free(job);
		if (i > 0)
			continue;
		submit(pool, kt_job_new(KT_JOB_SEAL, 4));
		assert_int_equal(pthread_mutex_unlock(&door), 0);
	}
	kt_worker_pool_free(pool);
}

static void wake(void *ctx)
{
	__atomic_add_fetch((unsigned *)ctx, 1, __ATOMIC_RELAXED);
}

static void a_thousand_jobs_come_back_once_each(void **state)
{
	struct fixture *f = *state;
	struct kt_worker_pool *pool = NULL;
	bool seen[MANY] = {false};
	unsigned woken = 0;

	assert_int_equal(kt_worker_pool_new(&f->signing, 2, wake, &woken, &pool), KT_ERR_OK);
	for (uint64_t i = 0; i < MANY; i++)
		submit(pool, seal_job(i));
	for (size_t i = 0; i < MANY; i++) {
		struct kt_job *job = take(pool);

		assert_int_equal(job->err, KT_ERR_OK);
		assert_true(job->sealed_len > 0);
		assert_true(job->session < MANY);
		assert_false(seen[job->session]);
		seen[job->session] = true;
		kt_job_free(job);
	}
	assert_null(kt_worker_pool_take(pool));
	kt_worker_pool_free(pool);
	assert_in_range(woken, 1, MANY);
}

static void one_thread_keeps_the_order(void **state)
{
	struct fixture *f = *state;
	struct kt_worker_pool *pool = NULL;

	assert_int_equal(kt_worker_pool_new(&f->signing, 1, NULL, NULL, &pool), KT_ERR_OK);
	for (uint64_t i = 0; i < 20; i++)
		submit(pool, seal_job(i));
	for (uint64_t i = 0; i < 20; i++) {
		struct kt_job *job = take(pool);

		assert_int_equal(job->session, i);
		kt_job_free(job);
	}
	kt_worker_pool_free(pool);
}

static void a_pool_is_freed_while_jobs_wait(void **state)
{
	struct fixture *f = *state;
	struct kt_worker_pool *pool = NULL;
	unsigned woken = 0;

	assert_int_equal(kt_worker_pool_new(&f->signing, 2, wake, &woken, &pool), KT_ERR_OK);
	for (uint64_t i = 0; i < 200; i++)
		submit(pool, seal_job(i));
	kt_job_free(take(pool)); /* some done, some in work, most waiting */
	kt_worker_pool_free(pool);
	kt_worker_pool_free(NULL);
}

static volatile sig_atomic_t handled_elsewhere;
static pthread_t test_thread;

static void on_usr1(int number)
{
	(void)number;
	if (!pthread_equal(pthread_self(), test_thread))
		handled_elsewhere = 1;
}

static void signals_stay_with_the_callers_thread(void **state)
{
	struct fixture *f = *state;
	struct kt_worker_pool *pool = NULL;
	struct sigaction action;
	struct sigaction old;
	sigset_t blocked;
	sigset_t before;

	memset(&action, 0, sizeof(action));
	action.sa_handler = on_usr1;
	test_thread = pthread_self();
	assert_int_equal(sigaction(SIGUSR1, &action, &old), 0);
	assert_int_equal(kt_worker_pool_new(&f->signing, 2, NULL, NULL, &pool), KT_ERR_OK);
	/* Blocked here, it would go to any other thread that lets it in. */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &blocked, &before), 0);
	assert_int_equal(kill(getpid(), SIGUSR1), 0);
	for (uint64_t i = 0; i < 4; i++)
		submit(pool, seal_job(i));
	for (uint64_t i = 0; i < 4; i++)
		kt_job_free(take(pool));
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
	assert_int_equal(handled_elsewhere, 0);
	kt_worker_pool_free(pool);
	assert_int_equal(sigaction(SIGUSR1, &old, NULL), 0);
}

/* --- CRL --- */

struct crl_place {
	char dir[32];
	char path[64];
	struct kt_signing signing;
	struct kt_bench *bench;
};

static void begin_crl(const struct fixture *f, struct crl_place *p)
{
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/keyturn-crl.XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	(void)snprintf(p->path, sizeof(p->path), "%s/crl.pem", p->dir);
	p->signing = f->signing;
	p->signing.crl_file = p->path;
	assert_int_equal(kt_bench_new(&p->signing, &p->bench), KT_ERR_OK);
}

static void end_crl(struct crl_place *p)
{
	kt_bench_free(p->bench);
	(void)unlink(p->path);
	assert_int_equal(rmdir(p->dir), 0); /* nothing else was left there */
}

static struct kt_job *crl_job(uint64_t number, size_t count)
{
	struct kt_job *job = kt_job_new(KT_JOB_CRL, 0);

	assert_non_null(job);
	job->crl.number = number;
	job->crl.this_update_s = 1767323045;
	job->crl.next_update_s = 1767927845;
	job->crl.entry_count = count;
	job->crl_entries = calloc(count + 1, sizeof(*job->crl_entries));
	assert_non_null(job->crl_entries);
	for (size_t i = 0; i < count; i++) {
		job->crl_entries[i].serial[0] = 0x4b;
		job->crl_entries[i].reason = KT_CRL_SUPERSEDED;
		job->crl_entries[i].revoked_s = 1767323045;
	}
	return job;
}

static void run_crl(struct crl_place *p, struct kt_job *job, enum kt_err err)
{
	kt_job_run(p->bench, job);
	assert_int_equal(job->err, err);
	kt_job_free(job);
}

/* What the file says: its number; the list must be whole. */
static uint64_t number_on_disk(const struct fixture *f, const struct crl_place *p)
{
	struct kt_crl_head head;
	size_t len = 0;
	uint8_t *pem = read_file(p->path, &len);

	assert_int_equal(
		kt_crl_from_pem((struct kt_bytes){pem, len}, f->signing.issuer_cert_der, &head),
		KT_ERR_OK);
	free(pem);
	return head.number;
}

static void writes_a_revocation_list_that_others_can_read(void **state)
{
	struct fixture *f = *state;
	struct crl_place p;
	struct stat st;

	begin_crl(f, &p);
	run_crl(&p, crl_job(7, 0), KT_ERR_OK);
	assert_true(number_on_disk(f, &p) == 7);
	run_crl(&p, crl_job(8, 3), KT_ERR_OK);
	assert_true(number_on_disk(f, &p) == 8);
	assert_int_equal(stat(p.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	end_crl(&p);
}

static void a_list_that_cannot_be_written_leaves_the_old_one(void **state)
{
	struct fixture *f = *state;
	struct crl_place p;
	char aside[80];
	struct kt_job *job = crl_job(8, 1);

	begin_crl(f, &p);
	run_crl(&p, crl_job(7, 0), KT_ERR_OK);
	(void)snprintf(aside, sizeof(aside), "%s.tmp", p.path); /* what it is written as first */
	assert_int_equal(mkdir(aside, 0700), 0);
	kt_job_run(p.bench, job);
	assert_int_equal(job->err, KT_ERR_SYS);
	assert_string_equal(job->file_why, "Is a directory");
	kt_job_free(job);
	assert_true(number_on_disk(f, &p) == 7);
	assert_int_equal(rmdir(aside), 0);
	run_crl(&p, crl_job(0, 0), KT_ERR_RANGE);
	assert_true(number_on_disk(f, &p) == 7);
	run_crl(&p, crl_job(9, 1), KT_ERR_OK);
	assert_true(number_on_disk(f, &p) == 9);
	end_crl(&p);
}

static void a_directory_that_is_gone_is_named(void **state)
{
	struct fixture *f = *state;
	struct crl_place p;
	struct kt_job *job = crl_job(7, 1);

	begin_crl(f, &p);
	assert_int_equal(rmdir(p.dir), 0);
	kt_job_run(p.bench, job);
	assert_int_equal(job->err, KT_ERR_SYS);
	assert_string_equal(job->file_why, "No such file or directory");
	kt_job_free(job);
	assert_int_equal(mkdir(p.dir, 0700), 0);
	end_crl(&p);
}

static void without_a_place_there_is_no_list(void **state)
{
	struct fixture *f = *state;
	struct kt_job *job = crl_job(7, 1);

	kt_job_run(f->bench, job);
	assert_int_equal(job->err, KT_ERR_STATE);
	assert_true(strlen(job->file_why) > 0);
	kt_job_free(job);
}

static void metrics_have_a_file_of_their_own(void **state)
{
	struct fixture *f = *state;
	struct crl_place p;
	struct kt_job *job = kt_job_new(KT_JOB_METRICS, 0);

	assert_non_null(job);
	job->text = (uint8_t *)strdup("keyturn_devices 7\n");
	job->text_len = strlen("keyturn_devices 7\n");
	kt_job_run(f->bench, job);
	assert_int_equal(job->err, KT_ERR_STATE); /* nowhere to go */
	begin_crl(f, &p);
	kt_bench_free(p.bench);
	p.signing.crl_file = NULL;
	p.signing.metrics_file = p.path;
	assert_int_equal(kt_bench_new(&p.signing, &p.bench), KT_ERR_OK);
	kt_job_run(p.bench, job);
	assert_int_equal(job->err, KT_ERR_OK);
	kt_job_free(job);
	end_crl(&p);
}

/* The one worker goes on while a long list is made. */
static void a_long_list_keeps_nobody_waiting(void **state)
{
	enum { LONG = 300000 };
	struct fixture *f = *state;
	struct kt_worker_pool *pool = NULL;
	struct crl_place p;
	struct kt_job *job;

	begin_crl(f, &p);
	assert_int_equal(kt_worker_pool_new(&p.signing, 1, NULL, NULL, &pool), KT_ERR_OK);
	submit(pool, crl_job(7, LONG));
	for (uint64_t i = 0; i < 3; i++)
		submit(pool, seal_job(i));
	for (uint64_t i = 0; i < 3; i++) {
		job = take(pool);
		assert_int_equal(job->kind, KT_JOB_SEAL);
		assert_int_equal(job->err, KT_ERR_OK);
		kt_job_free(job);
	}
	job = take(pool);
	assert_int_equal(job->kind, KT_JOB_CRL);
	assert_int_equal(job->err, KT_ERR_OK);
	kt_job_free(job);
	submit(pool, crl_job(8, LONG));
	kt_worker_pool_free(pool); /* whatever it was doing */
	end_crl(&p);
}

/* --- heads of the ledger --- */

static struct kt_job *head_job(uint64_t seq)
{
	struct kt_job *job = kt_job_new(KT_JOB_HEAD, 0);

	assert_non_null(job);
	job->head.seq = seq;
	memset(job->head.hash, 0xab, sizeof(job->head.hash));
	job->head.time_us = INT64_C(1767323045000000);
	return job;
}

struct head_place {
	char dir[32];
	char path[64];
	struct kt_signing signing;
	struct kt_bench *bench;
};

static void begin_heads(const struct fixture *f, struct head_place *p)
{
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/keyturn-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	(void)snprintf(p->path, sizeof(p->path), "%s/" KT_HEADS_FILE, p->dir);
	p->signing = f->signing;
	p->signing.heads_file = p->path;
	assert_int_equal(kt_bench_new(&p->signing, &p->bench), KT_ERR_OK);
}

static void end_heads(struct head_place *p)
{
	kt_bench_free(p->bench);
	(void)unlink(p->path);
	assert_int_equal(rmdir(p->dir), 0);
}

static void signs_a_head_and_appends_it(void **state)
{
	const struct fixture *f = *state;
	struct head_place p;
	struct kt_head head;
	struct stat st;
	uint32_t n = 0;
	uint8_t *file;
	size_t len = 0;
	size_t at = 0;

	begin_heads(f, &p);
	for (uint64_t seq = 7; seq < 9; seq++) {
		struct kt_job *job = head_job(seq);

		kt_job_run(p.bench, job);
		assert_int_equal(job->err, KT_ERR_OK);
		assert_int_equal(job->file_err, KT_ERR_OK);
		assert_int_equal(
			kt_head_open((struct kt_bytes){(uint8_t *)job->sealed, job->sealed_len},
				     f->root, &head, &n),
			KT_ERR_OK);
		assert_string_equal(head.trust_domain, TD);
		assert_true(head.seq == seq);
		assert_int_equal(head.hash[31], 0xab);
		assert_true(head.time_us == INT64_C(1767323045000000));
		file = read_file(p.path, &len);
		assert_int_equal(len, at + job->sealed_len + 1);
		assert_memory_equal(file + at, job->sealed, job->sealed_len);
		assert_int_equal(file[len - 1], '\n');
		at = len;
		free(file);
		kt_job_free(job);
	}
	assert_int_equal(stat(p.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	end_heads(&p);
}

static void a_head_that_cannot_be_written_is_signed_all_the_same(void **state)
{
	const struct fixture *f = *state;
	struct head_place p;
	struct kt_job *job = head_job(7);

	begin_heads(f, &p);
	assert_int_equal(mkdir(p.path, 0700), 0);
	kt_job_run(p.bench, job);
	assert_int_equal(job->err, KT_ERR_OK);
	assert_int_equal(job->file_err, KT_ERR_SYS);
	assert_string_equal(job->file_why, "Is a directory");
	assert_non_null(job->sealed);
	kt_job_free(job);
	assert_int_equal(rmdir(p.path), 0);
	end_heads(&p);
}

static void no_head_is_made_of_nothing(void **state)
{
	const struct fixture *f = *state;
	struct kt_job *job = head_job(0);

	kt_job_run(f->bench, job);
	assert_int_equal(job->err, KT_ERR_INVALID);
	assert_null(job->sealed);
	assert_true(job->file_why[0] != '\0');
	kt_job_free(job);
}

/* Whoever sends one back to the plugin has said nothing. */
static void a_head_is_no_devices_message(void **state)
{
	const struct fixture *f = *state;

	for (int is_claim = 0; is_claim < 2; is_claim++) {
		struct kt_job *head = head_job(7);
		struct kt_job *job = kt_job_new(KT_JOB_OPEN, 7);

		kt_job_run(f->bench, head);
		assert_int_equal(head->err, KT_ERR_OK);
		assert_non_null(job);
		job->is_claim = is_claim != 0;
		job->text = (uint8_t *)strdup(head->sealed);
		job->text_len = head->sealed_len;
		job->cert_der = malloc(f->signing.controller_cert_der.len);
		assert_non_null(job->cert_der);
		job->cert_der_len = f->signing.controller_cert_der.len;
		memcpy(job->cert_der, f->signing.controller_cert_der.p, job->cert_der_len);
		kt_job_run(f->bench, job);
		assert_int_equal(job->err, KT_ERR_INVALID);
		assert_int_equal(job->reason, KT_REASON_JWS_HEADER);
		assert_null(job->message);
		kt_job_free(head);
		kt_job_free(job);
	}
}

/* They wait for the thread that writes files, and nobody waits for them. */
static void heads_are_made_where_lists_are(void **state)
{
	const struct fixture *f = *state;
	struct kt_worker_pool *pool = NULL;
	struct head_place p;

	begin_heads(f, &p);
	assert_int_equal(kt_worker_pool_new(&p.signing, 1, NULL, NULL, &pool), KT_ERR_OK);
	for (uint64_t i = 1; i <= 3; i++)
		submit(pool, head_job(i));
	for (uint64_t i = 1; i <= 3; i++) {
		struct kt_job *job = take(pool);

		assert_int_equal(job->kind, KT_JOB_HEAD);
		assert_int_equal(job->err, KT_ERR_OK);
		assert_true(job->head.seq == i);
		kt_job_free(job);
	}
	submit(pool, head_job(4));
	kt_worker_pool_free(pool); /* whatever it was doing */
	end_heads(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_a_message_of_the_sessions_key),
		cmocka_unit_test(opens_a_request_of_another_key_under_the_sessions_key),
		cmocka_unit_test(opens_an_enrolment_with_the_requests_own_key),
		cmocka_unit_test(refuses_a_message_of_another_key),
		cmocka_unit_test(says_of_which_keys_a_wrong_signature_may_be),
		cmocka_unit_test(of_a_claimant_nobody_asks_whose_it_is),
		cmocka_unit_test(refuses_a_message_for_the_other_direction),
		cmocka_unit_test(refuses_an_enrolment_signed_by_another_key_than_its_request),
		cmocka_unit_test(refuses_an_enrolment_in_a_devices_session),
		cmocka_unit_test(refuses_all_but_an_enrolment_from_a_claimant),
		cmocka_unit_test(refuses_a_request_that_its_own_key_does_not_vouch_for),
		cmocka_unit_test(refuses_a_message_changed_at_any_place),
		cmocka_unit_test(refuses_nothing_at_all),
		cmocka_unit_test(refuses_a_session_whose_certificate_cannot_be_read),
		cmocka_unit_test(issues_a_leaf_that_verifies_under_the_root),
		cmocka_unit_test(issues_nothing_without_a_key),
		cmocka_unit_test(seals_what_the_controllers_key_opens),
		cmocka_unit_test(seals_no_message_that_breaks_its_limits),
		cmocka_unit_test(a_bench_wants_matching_keys),
		cmocka_unit_test(a_pool_with_a_wrong_key_does_not_start),
		cmocka_unit_test(a_full_queue_takes_no_more_until_a_result_is_taken),
		cmocka_unit_test(strangers_never_fill_the_queue),
		cmocka_unit_test(hubs_are_served_before_strangers),
		cmocka_unit_test(a_thousand_jobs_come_back_once_each),
		cmocka_unit_test(one_thread_keeps_the_order),
		cmocka_unit_test(a_pool_is_freed_while_jobs_wait),
		cmocka_unit_test(signals_stay_with_the_callers_thread),
		cmocka_unit_test(writes_a_revocation_list_that_others_can_read),
		cmocka_unit_test(a_list_that_cannot_be_written_leaves_the_old_one),
		cmocka_unit_test(a_directory_that_is_gone_is_named),
		cmocka_unit_test(without_a_place_there_is_no_list),
		cmocka_unit_test(metrics_have_a_file_of_their_own),
		cmocka_unit_test(a_long_list_keeps_nobody_waiting),
		cmocka_unit_test(signs_a_head_and_appends_it),
		cmocka_unit_test(a_head_that_cannot_be_written_is_signed_all_the_same),
		cmocka_unit_test(no_head_is_made_of_nothing),
		cmocka_unit_test(a_head_is_no_devices_message),
		cmocka_unit_test(heads_are_made_where_lists_are),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
