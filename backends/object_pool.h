/* backends/object_pool.h - a few threads that do the requests of a store whose operations block. They start when there is work, and each takes the oldest request.
 *
 * Lock: ObjectPool.lock, a leaf; no callback runs under it. */
#ifndef BACKENDS_OBJECT_POOL_H
#define BACKENDS_OBJECT_POOL_H

#include "backends/object.h"

#include <pthread.h>

#define OBJECT_POOL_MAX 16

typedef struct ObjectPool {
	/* Does the request in this thread and sets its outputs; with `canceled` only the error. Does not call done. */
	void (*work)(void *ctx, ObjectRequest *request, bool canceled);
	void *ctx;
	int max;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	ObjectRequest *first, **last; /* the queue; linked by store_private */
	pthread_t threads[OBJECT_POOL_MAX];
	int n_threads, n_idle;
	bool closing;
} ObjectPool;

void object_pool_init(ObjectPool *pool, int max, void (*work)(void *ctx, ObjectRequest *request, bool canceled), void *ctx);
/* Waits for what is under way and cancels what is queued. */
void object_pool_release(ObjectPool *pool);
void object_pool_submit(ObjectPool *pool, ObjectRequest *request);

#endif
