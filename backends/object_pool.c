#include "backends/object_pool.h"

#include <signal.h>

static ObjectRequest *pop_locked(ObjectPool *pool)
{
	ObjectRequest *request = pool->first;

	if (request) {
		pool->first = request->store_private;
		if (!pool->first)
			pool->last = &pool->first;
		request->store_private = NULL;
	}
	return request;
}

static void do_one(ObjectPool *pool, ObjectRequest *request, bool canceled)
{
	pool->work(pool->ctx, request, canceled);
	request->done(request);
}

static void *serve(void *arg)
{
	ObjectPool *pool = arg;

	pthread_mutex_lock(&pool->lock);
	while (!pool->closing) {
		ObjectRequest *request = pop_locked(pool);
		if (!request) {
			pool->n_idle++;
			pthread_cond_wait(&pool->changed, &pool->lock);
			pool->n_idle--;
			continue;
		}
		pthread_mutex_unlock(&pool->lock);
		do_one(pool, request, false);
		pthread_mutex_lock(&pool->lock);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* Signals are for the threads of the program. */
static void start_locked(ObjectPool *pool)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&pool->threads[pool->n_threads], NULL, serve, pool) == 0)
		pool->n_threads++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void object_pool_init(ObjectPool *pool, int max, void (*work)(void *ctx, ObjectRequest *request, bool canceled), void *ctx)
{
	*pool = (ObjectPool){.work = work, .ctx = ctx, .max = MIN(max, OBJECT_POOL_MAX)};
	pool->last = &pool->first;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->changed, NULL);
}

void object_pool_release(ObjectPool *pool)
{
	ObjectRequest *left;

	pthread_mutex_lock(&pool->lock);
	pool->closing = true;
	pthread_cond_broadcast(&pool->changed);
	pthread_mutex_unlock(&pool->lock);
	for (int i = 0; i < pool->n_threads; i++)
		pthread_join(pool->threads[i], NULL);
	while ((left = pop_locked(pool))) /* nobody else is left who could use the lock */
		do_one(pool, left, true);
	pthread_cond_destroy(&pool->changed);
	pthread_mutex_destroy(&pool->lock);
}

void object_pool_submit(ObjectPool *pool, ObjectRequest *request)
{
	bool here;

	pthread_mutex_lock(&pool->lock);
	if (pool->n_idle == 0 && pool->n_threads < pool->max && !pool->closing)
		start_locked(pool);
	here = pool->n_threads == 0; /* no thread to be had */
	if (!here) {
		/* The queue has no field of its own: `last` points to where the pointer to the next one is stored. */
		request->store_private = NULL;
		*pool->last = request;
		pool->last = (ObjectRequest **)&request->store_private;
		pthread_cond_signal(&pool->changed);
	}
	pthread_mutex_unlock(&pool->lock);
	if (here)
		do_one(pool, request, false);
}
