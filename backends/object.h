/* backends/object.h - where snapshots are kept: named, immutable byte strings in a directory or an S3 bucket.
 *
 * An object store knows names and bytes: no path of a guest, no snapshot, no SQL. Names are made by the caller from
 * [0-9A-Za-z._-] with '/' between parts (no empty part, no part that begins with '.'), at most 512 bytes and 255 a part: they need no escaping
 * anywhere. Where an object "a/b" is, no object "a" can be (a directory cannot hold both; a bucket could, but nobody may rely on it).
 * An object is there as a whole or not at all, never in part. Who reads a whole object reads what was put, or gets -EBADMSG; of a part of one
 * only the transport is checked, so callers check the content (TLS does it for them, plain http does not).
 *
 * Work is done by requests: the caller fills one, submits it, and its `done` is called exactly once, from a thread of the store (or
 * from object_submit itself) and without a lock held. Many may be under way; the store bounds how many it runs at once and keeps the others queued. Retries, backoff,
 * timeouts and renewed credentials are the store's matter: an answer is final.
 *
 * All functions are thread-safe. A store belongs to the process that opened it: a child must not use it after a fork, as it has none of its threads.
 * `done` may submit further requests, also the same one again; it may not close the store.
 * Errors are negative errnos:
 *  -EINVAL (a name or prefix that breaks the rules above), -ENOENT (no such object), -EEXIST (OBJECT_IF_ABSENT, and it is there), -EACCES (keys or permission), -ENODEV (no such bucket or
 *  directory), -ETIMEDOUT, -ECONNREFUSED, -EHOSTUNREACH (not reachable, after all retries), -EBADMSG (the bytes that came are not those that were sent),
 *  -ENOSPC, -EROFS, -EOPNOTSUPP (the store has no such operation), -ECANCELED (the store was closed), -ENOMEM, -EIO.
 * With each comes a message for people that names the object, the reason and the way out, never a secret. */
#ifndef BACKENDS_OBJECT_H
#define BACKENDS_OBJECT_H

#include "base/util.h"

#include <sys/uio.h> /* struct iovec */

typedef struct ObjectStore ObjectStore;
typedef struct ObjectRequest ObjectRequest;

typedef enum ObjectVerb {
	OBJECT_PUT,    /* stores in[0..n_in) as one object, replacing what is there; with OBJECT_IF_ABSENT only if nothing is there, atomically */
	OBJECT_GET,    /* reads `length` bytes from `offset` (length 0: to the end) into `body`; less than asked for only at the end of the object, and
			* nothing (success, n_body 0) from there on */
	OBJECT_HEAD,   /* sets `size` */
	OBJECT_DELETE, /* removes it; a missing object is success */
} ObjectVerb;

enum {
	OBJECT_IF_ABSENT = 1, /* PUT */
};

struct ObjectRequest {
	/* Set by the caller; what they point to stays valid until `done`. */
	ObjectVerb verb;
	unsigned flags;
	const char *name;
	const struct iovec *in; /* PUT */
	int n_in;
	uint64_t offset, length; /* GET */
	void (*done)(ObjectRequest *request);
	void *user;

	/* Set by the store before `done`. */
	int result;	/* 0 or negative errno */
	char *error;	/* a message if result < 0 (NULL when out of memory); freed by object_request_release */
	uint8_t *body;	/* GET: malloc'ed, never NULL on success; freed by object_request_release unless taken (TAKE_PTR) */
	size_t n_body;
	uint64_t size;	/* GET, HEAD: the size of the whole object */

	void *store_private; /* the store's, between submit and done */
};

typedef struct ObjectOps {
	/* The word before the colon of a location: `dir:PATH`, `s3://BUCKET/PREFIX`. */
	const char *scheme;

	/* Opens the store at `location` (without `scheme:`). With `create`, a directory that is not there is made; a bucket never is. *err gets a
	 * message. May do I/O to read credentials; need not reach the server. The errors above, and -EINVAL (a malformed location). */
	int (*open)(const char *location, bool create, ObjectStore **out, char **err);
	/* Requests that are queued or under way end with -ECANCELED; then everything is freed. NULL is allowed. */
	void (*close)(ObjectStore *store);
	/* Begins a request. Always ends with one call of request->done, also for errors. */
	void (*submit)(ObjectStore *store, ObjectRequest *request);
	/* Calls `visit` for each object whose name begins with `prefix`, in order of names (bytes), with its size and age in seconds (by the store's clock);
	 * stops at the first non-zero answer and returns it. Objects put or deleted meanwhile may or may not be shown. `visit` may not call the store.
	 * For gc and fsck; nothing on a hot path lists. */
	int (*list)(ObjectStore *store, const char *prefix, int (*visit)(void *ctx, const char *name, uint64_t size, int64_t age), void *ctx, char **err);
	/* Whether OBJECT_IF_ABSENT is atomic among machines here: 1, 0 (puts with it answer -EOPNOTSUPP), or a negative errno. Asks the store once. */
	int (*has_if_absent)(ObjectStore *store, char **err);
} ObjectOps;

struct ObjectStore {
	const ObjectOps *ops; /* set by ops->open; the store's own struct embeds this one first */
};

/* Opens a location by its scheme: `dir:PATH`, `s3://BUCKET[/PREFIX]`, or a plain absolute or relative path, which is `dir:`. -EINVAL for an unknown scheme; else as ops->open. */
/* -ENOSYS: the scheme is known, but the part of bvisor that speaks it is not installed. */
int object_open(const char *location, bool create, ObjectStore **out, char **err) MUST_CHECK;
/* The registry: NULL-terminated rows. */
const ObjectOps *const *object_ops_all(void);
/* Whether a name keeps the rules above; object_prefix_valid: whether names can begin so (empty, or cut anywhere). */
bool object_name_valid(const char *name);
bool object_prefix_valid(const char *prefix);

/* Callers use these, never store->ops->f. */
static inline void object_close(ObjectStore *s)
{
	if (s)
		s->ops->close(s);
}
/* Clears what the store sets and checks the name, so that a store sees good names only. */
void object_submit(ObjectStore *s, ObjectRequest *request);
int object_list(ObjectStore *s, const char *prefix, int (*visit)(void *ctx, const char *name, uint64_t size, int64_t age), void *ctx, char **err);
static inline int object_has_if_absent(ObjectStore *s, char **err)
{
	return s->ops->has_if_absent(s, err);
}
/* Frees error and body. The request itself is the caller's. */
void object_request_release(ObjectRequest *request);

/* Submits a request and waits for it (its done and user are taken). Returns its result; the message goes to *err, body stays in the request. */
int object_run(ObjectStore *s, ObjectRequest *request, char **err) MUST_CHECK;
/* One request, waited for. *err gets the message. object_get: *body is the caller's to free; length 0 reads to the end. */
int object_put(ObjectStore *s, const char *name, const void *data, size_t size, unsigned flags, char **err) MUST_CHECK;
int object_get(ObjectStore *s, const char *name, uint64_t offset, uint64_t length, uint8_t **body, size_t *n_body, char **err) MUST_CHECK;
int object_head(ObjectStore *s, const char *name, uint64_t *size, char **err) MUST_CHECK;
int object_delete(ObjectStore *s, const char *name, char **err) MUST_CHECK;

#endif
