/* backends/object.c - opening object stores by their scheme, and requests that are waited for. */
#include "backends/object.h"
#include "backends/backends.h"

#include <ctype.h>
#include <pthread.h>

static const ObjectOps *const rows[] = {&object_dir_ops, &object_s3_loader_ops, &object_s3v2_loader_ops, NULL};

const ObjectOps *const *object_ops_all(void)
{
	return rows;
}

/* ---- opening ---- */

/* The length of the scheme that the location begins with; 0 for a path. */
static size_t scheme_length(const char *location)
{
	size_t len = strcspn(location, ":/");

	if (location[len] != ':')
		return 0;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)location[i]))
			return 0;
	return len;
}

int object_open(const char *location, bool create, ObjectStore **out, char **err)
{
	size_t len = scheme_length(location);

	if (len == 0)
		return object_dir_ops.open(location, create, out, err);
	for (const ObjectOps *const *row = rows; *row; row++)
		if (strlen((*row)->scheme) == len && memcmp((*row)->scheme, location, len) == 0)
			return (*row)->open(location + len + 1, create, out, err);
	return bv_fail(err, -EINVAL, "%s: no store has the scheme \"%.*s\"; use dir:PATH or s3://BUCKET/PREFIX, or ./%s for a directory of that name", location, (int)len,
		       location, location);
}

/* ---- requests ---- */

void object_submit(ObjectStore *s, ObjectRequest *request)
{
	request->result = 0;
	request->error = NULL;
	request->body = NULL;
	request->n_body = 0;
	request->size = 0;
	request->store_private = NULL;
	if (object_name_valid(request->name)) {
		s->ops->submit(s, request);
		return;
	}
	request->result = bv_fail(&request->error, -EINVAL, "\"%.80s\" is no name for an object; this is a fault of the program", request->name);
	request->done(request);
}

int object_list(ObjectStore *s, const char *prefix, int (*visit)(void *ctx, const char *name, uint64_t size, int64_t age), void *ctx, char **err)
{
	if (!object_prefix_valid(prefix))
		return bv_fail(err, -EINVAL, "no name of an object begins with \"%.80s\"; this is a fault of the program", prefix);
	return s->ops->list(s, prefix, visit, ctx, err);
}

void object_request_release(ObjectRequest *request)
{
	free(TAKE_PTR(request->error));
	free(TAKE_PTR(request->body));
}

typedef struct Waiter {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done;
} Waiter;

static void wake(ObjectRequest *request)
{
	Waiter *waiter = request->user;

	pthread_mutex_lock(&waiter->lock);
	waiter->done = true;
	pthread_cond_signal(&waiter->changed); /* under the lock: afterwards the waiter may be gone */
	pthread_mutex_unlock(&waiter->lock);
}

int object_run(ObjectStore *s, ObjectRequest *request, char **err)
{
	Waiter waiter = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

	request->done = wake;
	request->user = &waiter;
	object_submit(s, request);
	pthread_mutex_lock(&waiter.lock);
	while (!waiter.done)
		pthread_cond_wait(&waiter.changed, &waiter.lock);
	pthread_mutex_unlock(&waiter.lock);
	pthread_cond_destroy(&waiter.changed);
	pthread_mutex_destroy(&waiter.lock);
	if (request->result < 0 && err) {
		free(*err);
		*err = TAKE_PTR(request->error);
	}
	return request->result;
}

int object_put(ObjectStore *s, const char *name, const void *data, size_t size, unsigned flags, char **err)
{
	struct iovec in = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
	ObjectRequest request = {.verb = OBJECT_PUT, .flags = flags, .name = name, .in = &in, .n_in = 1};
	int r = object_run(s, &request, err);

	object_request_release(&request);
	return r;
}

int object_get(ObjectStore *s, const char *name, uint64_t offset, uint64_t length, uint8_t **body, size_t *n_body, char **err)
{
	ObjectRequest request = {.verb = OBJECT_GET, .name = name, .offset = offset, .length = length};
	int r = object_run(s, &request, err);

	if (r == 0) {
		*body = TAKE_PTR(request.body);
		*n_body = request.n_body;
	}
	object_request_release(&request);
	return r;
}

int object_head(ObjectStore *s, const char *name, uint64_t *size, char **err)
{
	ObjectRequest request = {.verb = OBJECT_HEAD, .name = name};
	int r = object_run(s, &request, err);

	if (r == 0)
		*size = request.size;
	object_request_release(&request);
	return r;
}

int object_delete(ObjectStore *s, const char *name, char **err)
{
	ObjectRequest request = {.verb = OBJECT_DELETE, .name = name};
	int r = object_run(s, &request, err);

	object_request_release(&request);
	return r;
}
