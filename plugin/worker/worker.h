/*
 * worker - crypto off the broker's thread: jobs in, done jobs out.
 *
 * A job is a value: it names a session by number, carries copies of all it needs, and touches
 * neither registry nor broker. kt_job_run does the work and is the same function in the plugin's
 * threads, in unit tests and in the simulator. Threads block all signals, use libc malloc alone.
 * What writes a file has a thread to itself, the revocation list and the heads of the ledger: a
 * list may be long, and a disk may hang.
 */
#ifndef KT_WORKER_H
#define KT_WORKER_H

#include "broker.h"
#include "crypto.h"
#include "err.h"
#include "head.h"
#include "jws.h"
#include "message.h"
#include "types.h"

/*
 * Jobs between submit and take. Strangers' words and what they are told (OPEN and SEAL of a
 * claimant) take half of the room at most, and their turn comes when nothing else waits: who floods
 * the claim lane stops no hub.
 */
enum { KT_JOBS_MAX = 1024, KT_CLAIM_JOBS_MAX = KT_JOBS_MAX / 2 };

#define KT_HEADS_FILE "heads.jsonl" /* in state_dir */

enum kt_job_kind {
	KT_JOB_OPEN,   /* a device's JWS: verify, decode; csr and enroll: the request too */
	KT_JOB_ISSUE,  /* a leaf certificate */
	KT_JOB_SEAL,   /* a plugin message: encode, sign */
	KT_JOB_CRL,    /* a revocation list: sign, write its file; on a thread of its own */
	KT_JOB_HEAD,   /* a head of the ledger: sign, append to its file; on that thread, too */
	KT_JOB_METRICS /* a text for a collector: write its file; there, too */
};

struct kt_job { /* owned by one side at a time; kt_job_free */
	enum kt_job_kind kind;
	uint64_t session; /* number */
	enum kt_err err;
	enum kt_reason reason; /* where err is not OK */
	/* METRICS in: text. OPEN in. enroll (@is_claim): verified with the request's own key,
	 * @cert_der is not used
	 */
	uint8_t *text;
	size_t text_len;
	uint8_t *cert_der;
	size_t cert_der_len;
	bool is_claim;
	/* OPEN out, SEAL in */
	struct kt_message *message;
	struct kt_csr csr; /* OPEN of csr and enroll, verified with its own key */
	/* OPEN with JWS_SIG of a session: the keys of which the signature may be instead */
	struct kt_key_id signed_by[KT_RECOVERED_MAX];
	size_t signed_by_count;
	/* ISSUE in */
	struct kt_device_id device;
	uint64_t op;
	struct kt_nonce nonce;
	uint32_t generation;
	struct kt_public_key key;
	struct kt_key_id key_id;
	int64_t not_after_s;
	bool has_ticket;
	uint8_t ticket_sha256[32];
	/* ISSUE out */
	uint8_t *leaf_der;
	size_t leaf_len;
	struct kt_fingerprint leaf_fp;
	/* SEAL out, HEAD out */
	char *sealed;
	size_t sealed_len;
	/* CRL in */
	struct kt_crl_head crl;
	struct kt_crl_entry *crl_entries; /* crl.entry_count */
	/* HEAD in */
	struct kt_head head;
	/* HEAD out: signed it may be though its file could not be written */
	enum kt_err file_err;
	/* CRL out, HEAD out, METRICS out */
	char file_why[128];  /* where err or file_err is not OK */
	struct kt_job *next; /* for queues */
};

struct kt_job *kt_job_new(enum kt_job_kind kind, uint64_t session); /* NULL: out of memory */
void kt_job_free(struct kt_job *job);				    /* wipes; NULL is fine */

struct kt_signing { /* the plugin's own credentials, as PEM/DER; each worker makes its own copy */
	const char *trust_domain;
	struct kt_bytes issuer_cert_der;
	struct kt_bytes controller_cert_der;
	const struct kt_secret *issuer_key_pem;
	const struct kt_secret *controller_key_pem;
	const char *crl_file;	  /* where a KT_JOB_CRL writes; NULL or "": there is none */
	const char *metrics_file; /* where a KT_JOB_METRICS writes; the same */
	const char *heads_file;	  /* where a KT_JOB_HEAD appends; NULL or "": nowhere */
};

struct kt_bench; /* one thread's keys and random source: what kt_job_run works with */
/* KT_ERR_VERIFY: key and certificate do not match. KT_ERR_INVALID, KT_ERR_CRYPTO, KT_ERR_NOMEM. */
KT_MUST_CHECK enum kt_err kt_bench_new(const struct kt_signing *signing, struct kt_bench **out);
void kt_bench_free(struct kt_bench *bench);
/* Fills the out members, err and reason. Never fails as such. */
void kt_job_run(struct kt_bench *bench, struct kt_job *job);

struct kt_worker_pool;
/* @signing is used up during the call. @wake: called on a worker's thread after a result; or NULL.
 */
KT_MUST_CHECK enum kt_err kt_worker_pool_new(const struct kt_signing *signing,
					     unsigned thread_count, void (*wake)(void *ctx),
					     void *wake_ctx, struct kt_worker_pool **out);
/* Joins the threads; drops what waits. */
void kt_worker_pool_free(struct kt_worker_pool *pool);
const struct kt_jobs *kt_worker_pool_jobs(struct kt_worker_pool *pool);
/* A done job (moved), or NULL. Broker's thread. */
struct kt_job *kt_worker_pool_take(struct kt_worker_pool *pool);

#endif
