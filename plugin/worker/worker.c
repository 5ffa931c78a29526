/*
 * worker - the threads and their two queues. What a job does is in worker_job.c.
 */
#include "worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct queue {
	struct kt_job *head;
	struct kt_job *tail;
};

struct kt_worker_pool {
	struct kt_jobs jobs; /* the port; ctx is this pool */
	pthread_mutex_t lock;
	pthread_cond_t work;	/* something to do, or stop */
	pthread_cond_t list;	/* the same for the thread that writes files */
	pthread_cond_t started; /* a thread has its bench, or failed */
	struct queue waiting;
	struct queue strangers; /* waiting, too, but last */
	struct queue lists;	/* for the thread that writes files alone */
	struct queue done;
	size_t count;	       /* jobs between submit and take */
	size_t stranger_count; /* of them */
	bool stop;
	const struct kt_signing *signing; /* during kt_worker_pool_new only */
	unsigned started_count;
	enum kt_err start_err;
	void (*wake)(void *ctx);
	void *wake_ctx;
	pthread_t *threads;
	unsigned thread_count; /* those that run */
};

static void queue_push(struct queue *queue, struct kt_job *job)
{
	job->next = NULL;
	if (queue->tail == NULL)
		queue->head = job;
	else
		queue->tail->next = job;
	queue->tail = job;
}

static struct kt_job *queue_pop(struct queue *queue)
{
	struct kt_job *job = queue->head;

	if (job == NULL)
		return NULL;
	queue->head = job->next;
	if (queue->head == NULL)
		queue->tail = NULL;
	job->next = NULL;
	return job;
}

static void queue_clear(struct queue *queue)
{
	struct kt_job *job;

	while ((job = queue_pop(queue)) != NULL)
		kt_job_free(job);
}

static bool is_strangers(const struct kt_job *job)
{
	return (job->kind == KT_JOB_OPEN || job->kind == KT_JOB_SEAL) && job->is_claim;
}

/* NULL: the pool stops. What waits then is dropped by kt_worker_pool_free. */
static struct kt_job *next_job(struct kt_worker_pool *pool)
{
	struct kt_job *job = NULL;

	pthread_mutex_lock(&pool->lock);
	while (!pool->stop && pool->waiting.head == NULL && pool->strangers.head == NULL)
		pthread_cond_wait(&pool->work, &pool->lock);
	if (!pool->stop)
		job = queue_pop(pool->waiting.head != NULL ? &pool->waiting : &pool->strangers);
	pthread_mutex_unlock(&pool->lock);
	return job;
}

static struct kt_job *next_list(struct kt_worker_pool *pool)
{
	struct kt_job *job = NULL;

	pthread_mutex_lock(&pool->lock);
	while (!pool->stop && pool->lists.head == NULL)
		pthread_cond_wait(&pool->list, &pool->lock);
	if (!pool->stop)
		job = queue_pop(&pool->lists);
	pthread_mutex_unlock(&pool->lock);
	return job;
}

static void put_result(struct kt_worker_pool *pool, struct kt_job *job)
{
	bool is_first;

	pthread_mutex_lock(&pool->lock);
	is_first = pool->done.head == NULL;
	queue_push(&pool->done, job);
	pthread_mutex_unlock(&pool->lock);
	/* One call for all results that nobody has come for yet. */
	if (is_first && pool->wake != NULL)
		pool->wake(pool->wake_ctx);
}

/* The bench is made here, not by the creator: the library's point tables belong to a thread. */
static void run(struct kt_worker_pool *pool, struct kt_job *(*next)(struct kt_worker_pool *pool))
{
	struct kt_bench *bench = NULL;
	struct kt_job *job;
	enum kt_err err;

	err = kt_bench_new(pool->signing, &bench);
	pthread_mutex_lock(&pool->lock);
	pool->started_count++;
	if (err != KT_ERR_OK)
		pool->start_err = err;
	pthread_cond_signal(&pool->started);
	pthread_mutex_unlock(&pool->lock);
	if (err != KT_ERR_OK)
		return;
	while ((job = next(pool)) != NULL) {
		kt_job_run(bench, job);
		put_result(pool, job);
	}
	kt_bench_free(bench);
}

static void *run_worker(void *arg)
{
	(void)pthread_setname_np(pthread_self(), "keyturn-worker");
	run(arg, next_job);
	return NULL;
}

static void *run_lists(void *arg)
{
	(void)pthread_setname_np(pthread_self(), "keyturn-list");
	run(arg, next_list);
	return NULL;
}

static bool writes_file(const struct kt_job *job)
{
	return job->kind == KT_JOB_CRL || job->kind == KT_JOB_HEAD || job->kind == KT_JOB_METRICS;
}

static bool has_name(const char *file)
{
	return file != NULL && file[0] != '\0';
}

static struct queue *queue_of(struct kt_worker_pool *pool, const struct kt_job *job)
{
	if (writes_file(job))
		return &pool->lists;
	return is_strangers(job) ? &pool->strangers : &pool->waiting;
}

static enum kt_err submit(void *ctx, struct kt_job *job)
{
	struct kt_worker_pool *pool = ctx;
	const bool is_stranger = is_strangers(job);
	enum kt_err err = KT_ERR_BUSY;

	pthread_mutex_lock(&pool->lock);
	if (pool->count < KT_JOBS_MAX &&
	    !(is_stranger && pool->stranger_count >= KT_CLAIM_JOBS_MAX)) {
		pool->count++;
		pool->stranger_count += is_stranger ? 1 : 0;
		queue_push(queue_of(pool, job), job);
		pthread_cond_signal(writes_file(job) ? &pool->list : &pool->work);
		err = KT_ERR_OK;
	}
	pthread_mutex_unlock(&pool->lock);
	return err;
}

/* Signals belong to the broker's thread: its handlers must never run on one of ours. */
static enum kt_err start_threads(struct kt_worker_pool *pool, unsigned thread_count)
{
	const bool has_lists = has_name(pool->signing->crl_file) ||
			       has_name(pool->signing->heads_file) ||
			       has_name(pool->signing->metrics_file);
	enum kt_err err = KT_ERR_OK;
	sigset_t all;
	sigset_t old;
	int rc = 0;

	sigfillset(&all);
	if (pthread_sigmask(SIG_BLOCK, &all, &old) != 0)
		return KT_ERR_SYS;
	while (pool->thread_count < thread_count + (has_lists ? 1 : 0)) {
		rc = pthread_create(&pool->threads[pool->thread_count], NULL,
				    pool->thread_count < thread_count ? run_worker : run_lists,
				    pool);
		if (rc != 0) {
			err = KT_ERR_SYS;
			break;
		}
		pool->thread_count++;
	}
	if (pthread_sigmask(SIG_SETMASK, &old, NULL) != 0)
		err = KT_ERR_SYS;
	pthread_mutex_lock(&pool->lock);
	while (pool->started_count < pool->thread_count)
		pthread_cond_wait(&pool->started, &pool->lock);
	if (err == KT_ERR_OK)
		err = pool->start_err;
	pool->signing = NULL; /* used up */
	pthread_mutex_unlock(&pool->lock);
	if (rc != 0)
		errno = rc; /* pthread_create says it there alone */
	return err;
}

enum kt_err kt_worker_pool_new(const struct kt_signing *signing, unsigned thread_count,
			       void (*wake)(void *ctx), void *wake_ctx, struct kt_worker_pool **out)
{
	enum kt_err err = KT_ERR_INTERNAL;
	struct kt_worker_pool *pool = NULL;

	*out = NULL;
	if (thread_count == 0)
		return KT_ERR_RANGE;
	pool = calloc(1, sizeof(*pool));
	if (pool == NULL)
		return KT_ERR_NOMEM;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	pthread_cond_init(&pool->list, NULL);
	pthread_cond_init(&pool->started, NULL);
	pool->jobs.ctx = pool;
	pool->jobs.submit = submit;
	pool->signing = signing;
	pool->wake = wake;
	pool->wake_ctx = wake_ctx;
	pool->threads = calloc((size_t)thread_count + 1, sizeof(*pool->threads));
	if (pool->threads == NULL) {
		err = KT_ERR_NOMEM;
		goto out;
	}
	err = start_threads(pool, thread_count);
	if (err != KT_ERR_OK)
		goto out;
	*out = pool;
	pool = NULL; /* moved */
out:
	kt_worker_pool_free(pool);
	return err;
}

void kt_worker_pool_free(struct kt_worker_pool *pool)
{
	if (pool == NULL)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->stop = true;
	pthread_cond_broadcast(&pool->work);
	pthread_cond_broadcast(&pool->list);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->thread_count; i++)
		pthread_join(pool->threads[i], NULL);
	queue_clear(&pool->waiting);
	queue_clear(&pool->strangers);
	queue_clear(&pool->lists);
	queue_clear(&pool->done);
	pthread_cond_destroy(&pool->started);
	pthread_cond_destroy(&pool->list);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->lock);
	free(pool->threads);
	free(pool);
}

const struct kt_jobs *kt_worker_pool_jobs(struct kt_worker_pool *pool)
{
	return &pool->jobs;
}

struct kt_job *kt_worker_pool_take(struct kt_worker_pool *pool)
{
	struct kt_job *job;

	pthread_mutex_lock(&pool->lock);
	job = queue_pop(&pool->done);
	if (job != NULL) {
		pool->count--;
		pool->stranger_count -= is_strangers(job) ? 1 : 0;
	}
	pthread_mutex_unlock(&pool->lock);
	return job;
}
