/* backends/s3/store.h - an object store in a bucket: what its files share.
 *
 * Each object is one object of the bucket, named PREFIX/NAME, with two metadata of ours: x-amz-meta-bvisor-sha256, the hash of its content, which a GET of the whole
 * compares, and, where it was put only if absent, x-amz-meta-bvisor-put, a random number by which a put whose answer was lost knows itself again.
 *
 * Locks: S3Store.lock guards if_absent and the waiters; it is a leaf and no callback runs under it. All jobs advance on the thread of the wire. */
#ifndef BACKENDS_S3_STORE_H
#define BACKENDS_S3_STORE_H

#include "backends/object.h"
#include "backends/s3/wire.h"

#include <stdatomic.h>

#define S3_SINGLE_MAX ((size_t)64 << 20) /* larger ones go up in parts */
#define S3_PART_SIZE ((size_t)16 << 20)

typedef struct S3Store S3Store;

/* Somebody who wants to know whether puts only if absent can be trusted; `told` gets 1, 0, or a negative errno with a message (not its own). */
typedef struct S3Waiter {
	void (*told)(struct S3Waiter *waiter, int answer, const char *message);
	struct S3Waiter *next;
} S3Waiter;

struct S3Store {
	ObjectStore base;
	S3Wire wire;
	atomic_bool bucket_seen; /* an answer showed that it is there */
	pthread_mutex_t lock;
	enum { S3_UNKNOWN, S3_ASKING, S3_YES, S3_NO } if_absent;
	S3Waiter *waiters;
};

static inline S3Store *s3_store_of(ObjectStore *store)
{
	return CONTAINER_OF(store, S3Store, base);
}

/* probe.c: tells the waiter, perhaps at once, perhaps after asking the server by two puts of one name. */
void s3_ask_if_absent(S3Store *store, S3Waiter *waiter);
int s3_store_has_if_absent(ObjectStore *store, char **err);
/* 32 random hex digits. */
void s3_nonce(char out[40]);

/* multipart.c: puts a large object; calls request->done. The payload is its hash. */
void s3_put_parts(S3Store *store, ObjectRequest *request, size_t size, const char *payload);

/* list.c */
int s3_store_list(ObjectStore *store, const char *prefix, int (*visit)(void *ctx, const char *name, uint64_t size, int64_t age), void *ctx, char **err);

/* Ends a request: takes *message. */
void s3_answer(ObjectRequest *request, int result, char **message);

extern const ObjectOps object_s3_ops;

#endif
