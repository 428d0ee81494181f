/* pool.c - the threads on which jobs run. They belong to the process, and outlive the environments that gave them work. */
#include "addon.h"

#include <signal.h>
#include <time.h>

enum {
	POOL_THREADS = 16,
	IDLE_SECONDS = 10,
	STACK_BYTES = 1 << 20,
};

static struct {
	pthread_mutex_t mu; /* protects what follows */
	pthread_cond_t work;
	Job *first, **last;
	unsigned threads, idle;
} pool = {.mu = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER};

static void run_one(Job *job)
{
	job->code = job->op->run(job);
	if (job->sandbox && !(job->op->flags & OP_SHUTS))
		sandbox_leave(job->sandbox);
	if (job->environment)
		environment_finish(job->environment, job);
	else
		job_free(job);
}

static void *run_alone(void *job)
{
	run_one(job);
	return NULL;
}

/* NULL: nothing came for a while, and this thread is not counted any more. */
static Job *next_job(void)
{
	struct timespec until;
	Job *job;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += IDLE_SECONDS;
	pthread_mutex_lock(&pool.mu);
	pool.idle++;
	while (!pool.first && r == 0)
		r = pthread_cond_timedwait(&pool.work, &pool.mu, &until);
	pool.idle--;
	job = pool.first;
	if (job)
		pool.first = job->next;
	else
		pool.threads--;
	pthread_mutex_unlock(&pool.mu);
	return job;
}

static void *run_many(void *unused)
{
	Job *job;

	while ((job = next_job()) != NULL)
		run_one(job);
	return unused;
}

/* Signals are for the threads of the program. */
static int start_thread(void *(*body)(void *), void *arg)
{
	pthread_attr_t attr;
	sigset_t all, before;
	pthread_t thread;
	int r;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&thread, &attr, body, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -r;
}

static int refuse(Job *job)
{
	(void)job;
	return -EAGAIN;
}

/* There is no thread for it. It fails, as a result that comes later, like any other. */
static void fail(Job *job)
{
	static const Op refused = {"refused", 0, refuse};

	if (job->sandbox && (job->op->flags & OP_SHUTS)) /* without a thread it has to be now */
		sandbox_shut(job->sandbox);
	else if (job->sandbox)
		sandbox_leave(job->sandbox);
	sandbox_put(TAKE_PTR(job->sandbox));
	job->op = &refused;
	run_one(job);
}

static void enqueue(Job *job)
{
	bool stuck = false;

	pthread_mutex_lock(&pool.mu);
	if (!pool.first)
		pool.last = &pool.first;
	job->next = NULL;
	*pool.last = job;
	pool.last = &job->next;
	unsigned waiting = 0;
	for (Job *j = pool.first; j && waiting <= pool.idle; j = j->next)
		waiting++;
	if (waiting > pool.idle && pool.threads < POOL_THREADS) {
		bool started = start_thread(run_many, NULL) == 0;
		pool.threads += started;
		stuck = !started && pool.threads == 0;
	}
	if (stuck) /* it is the only one */
		pool.first = NULL;
	pthread_cond_signal(&pool.work);
	pthread_mutex_unlock(&pool.mu);
	if (stuck)
		fail(job);
}

void pool_run(Job *job)
{
	if (!(job->op->flags & OP_OWN_THREAD) || start_thread(run_alone, job) < 0)
		enqueue(job);
}
