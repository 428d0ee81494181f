/* backends/s3/object_s3.c - `s3://BUCKET[/PREFIX][?OPTIONS]`: opening a bucket, and the requests on one object, each a job of one to three calls. */
#include "backends/s3/store.h"

#include <curl/curl.h>
#include <stdio.h>

typedef struct Job {
	S3Call call;
	S3Store *store;
	ObjectRequest *request;
	S3Waiter waiter;
	char range[64];
	char nonce[40];
	size_t size; /* PUT */
	char sha256[S3_HASH_TEXT];
} Job;

void s3_answer(ObjectRequest *request, int result, char **message)
{
	request->result = result;
	request->error = result < 0 ? TAKE_PTR(*message) : NULL;
	request->done(request);
}

/* Ends the request as the last call ended. */
static void job_end(Job *job, int result)
{
	ObjectRequest *request = job->request;
	CLEAN_FREE char *message = TAKE_PTR(job->call.error);

	free(job->call.body);
	free(job);
	s3_answer(request, result, &message);
}

/* Begins the next call of a job; all but these fields are empty. */
static void job_call(Job *job, const char *doing, const char *method, void (*done)(S3Call *call))
{
	free(job->call.body);
	free(job->call.error);
	job->call = (S3Call){.doing = doing, .method = method, .name = job->request->name, .done = done, .user = job, .context = job};
}

static void note_bucket(S3Store *store, const S3Call *call)
{
	if (call->result == 0)
		atomic_store(&store->bucket_seen, true);
}

/* ---- HEAD, DELETE ---- */

/* An answer to HEAD does not tell a missing bucket from a missing object; this one has a body. */
static void bucket_asked(S3Call *call)
{
	Job *job = call->user;
	char *message = NULL;

	note_bucket(job->store, call);
	if (call->result == -ENODEV) {
		job_end(job, -ENODEV);
		return;
	}
	CLEAN_FREE char *where = s3_where(&job->store->wire.config, job->request->name);
	bv_fail(&message, -ENOENT, "cannot look at %s: there is no such object", where ? where : job->request->name);
	free(call->error);
	call->error = message;
	job_end(job, -ENOENT);
}

static void head_done(S3Call *call)
{
	Job *job = call->user;

	note_bucket(job->store, call);
	if (call->result == -ENOENT && !atomic_load(&job->store->bucket_seen)) {
		job_call(job, "look at", "GET", bucket_asked);
		job->call.name = NULL;
		job->call.params[0] = (S3Pair){"list-type", "2"};
		job->call.params[1] = (S3Pair){"max-keys", "1"};
		s3_call_begin(&job->store->wire, &job->call);
		return;
	}
	if (call->result == 0)
		job->request->size = (uint64_t)MAX(call->length, (int64_t)0);
	job_end(job, call->result);
}

static void delete_done(S3Call *call)
{
	Job *job = call->user;

	note_bucket(job->store, call);
	job_end(job, call->result == -ENOENT ? 0 : call->result);
}

/* ---- GET ---- */

static int check_get(S3Call *call)
{
	const ObjectRequest *request = ((Job *)call->context)->request;
	struct iovec in = {call->body, call->n_body};
	char hash[S3_HASH_TEXT];

	if (call->status == 206)
		return call->range_start >= 0 && (uint64_t)call->range_start == request->offset && call->whole >= 0 ? 0 : -EBADMSG;
	if (call->length >= 0 && (uint64_t)call->length != call->n_body)
		return -EBADMSG;
	if (strlen(call->sha256) != S3_HASH_TEXT - 1) /* put by another program */
		return 0;
	if (s3_hash(&in, 1, 0, in.iov_len, hash) < 0)
		return -EIO;
	return strcmp(hash, call->sha256) == 0 ? 0 : -EBADMSG;
}

/* Hands the body over: what was asked for, even if the server sent all. */
static int take_body(ObjectRequest *request, S3Call *call)
{
	bool all = call->status != 206;
	uint64_t skip = all ? MIN(request->offset, (uint64_t)call->n_body) : 0, n = call->n_body - skip;

	request->size = all ? call->n_body : (uint64_t)call->whole;
	if (request->length)
		n = MIN(n, request->length);
	if (skip)
		memmove(call->body, call->body + skip, n);
	if (!call->body && !(call->body = malloc(1)))
		return bv_fail(&call->error, -ENOMEM, "out of memory");
	request->body = TAKE_PTR(call->body);
	request->n_body = n;
	return 0;
}

/* The range was behind the end: an empty answer, with the size. */
static void nothing_left(Job *job, uint64_t size)
{
	job->request->size = size;
	job->request->body = malloc(1);
	job_end(job, job->request->body ? 0 : -ENOMEM);
}

static void sized(S3Call *call)
{
	Job *job = call->user;

	if (call->result == 0)
		nothing_left(job, (uint64_t)MAX(call->length, (int64_t)0));
	else
		job_end(job, call->result);
}

static void get_done(S3Call *call)
{
	Job *job = call->user;

	note_bucket(job->store, call);
	if (call->result == 0) {
		job_end(job, take_body(job->request, call));
	} else if (call->result == S3_RANGE_BEYOND && call->whole >= 0) {
		nothing_left(job, (uint64_t)call->whole);
	} else if (call->result == S3_RANGE_BEYOND) {
		job_call(job, "get", "HEAD", sized);
		s3_call_begin(&job->store->wire, &job->call);
	} else {
		job_end(job, call->result);
	}
}

static void begin_get(Job *job)
{
	const ObjectRequest *request = job->request;
	uint64_t last = request->offset + request->length - 1;

	job_call(job, "get", "GET", get_done);
	job->call.check = check_get;
	if (request->length && last >= request->offset)
		snprintf(job->range, sizeof job->range, "bytes=%ju-%ju", (uintmax_t)request->offset, (uintmax_t)last);
	else if (request->offset)
		snprintf(job->range, sizeof job->range, "bytes=%ju-", (uintmax_t)request->offset);
	if (job->range[0])
		job->call.headers[0] = (S3Pair){"range", job->range};
	s3_call_begin(&job->store->wire, &job->call);
}

/* ---- PUT ---- */

/* After "it is there already": is what is there ours? An earlier attempt may have been carried out without an answer; libcurl repeats a request on its own, too, when a kept
 * connection turns out to be closed, so this is asked always. */
static void owner_known(S3Call *call)
{
	Job *job = call->user;
	char *message = NULL;

	if (call->result == 0 && strcmp(call->nonce, job->nonce) == 0) {
		job_end(job, 0);
	} else if (call->result == 0 || call->result == -ENOENT) {
		CLEAN_FREE char *where = s3_where(&job->store->wire.config, job->request->name);
		bv_fail(&message, -EEXIST, "cannot put %s: it is there already", where ? where : "");
		free(call->error);
		call->error = message;
		job_end(job, -EEXIST);
	} else {
		job_end(job, call->result);
	}
}

static void put_done(S3Call *call)
{
	Job *job = call->user;

	note_bucket(job->store, call);
	if (call->result == -EEXIST) {
		job_call(job, "put", "HEAD", owner_known);
		s3_call_begin(&job->store->wire, &job->call);
		return;
	}
	job_end(job, call->result);
}

static void begin_put(Job *job)
{
	size_t n = 0;

	job_call(job, "put", "PUT", put_done);
	job->call.in = job->request->in;
	job->call.n_in = job->request->n_in;
	job->call.size = job->size;
	memcpy(job->call.payload, job->sha256, sizeof job->sha256);
	job->call.headers[n++] = (S3Pair){"x-amz-meta-bvisor-sha256", job->sha256};
	if (job->request->flags & OBJECT_IF_ABSENT) {
		job->call.conditional = true;
		job->call.headers[n++] = (S3Pair){"if-none-match", "*"};
		job->call.headers[n++] = (S3Pair){"x-amz-meta-bvisor-put", job->nonce};
	}
	s3_call_begin(&job->store->wire, &job->call);
}

static void told(S3Waiter *waiter, int answer, const char *message)
{
	Job *job = CONTAINER_OF(waiter, Job, waiter);

	if (answer > 0) {
		begin_put(job);
		return;
	}
	CLEAN_FREE char *where = s3_where(&job->store->wire.config, job->request->name);
	if (answer == 0)
		answer = bv_fail(&job->call.error, -EOPNOTSUPP, "cannot put %s only if it is not there: this server has no conditional put", where ? where : "");
	else
		bv_fail(&job->call.error, answer, "cannot put %s: %s", where ? where : "", message ? message : strerror(-answer));
	job_end(job, answer);
}

/* Hashes in the caller's thread, so that many callers hash at once. */
static void submit_put(Job *job)
{
	ObjectRequest *request = job->request;
	int r;

	for (int i = 0; i < request->n_in; i++)
		job->size += request->in[i].iov_len;
	r = s3_hash(request->in, request->n_in, 0, job->size, job->sha256);
	if (r < 0) {
		bv_fail(&job->call.error, r, "cannot hash the data of %s", request->name);
		job_end(job, r);
	} else if (request->flags & OBJECT_IF_ABSENT) { /* of any size: the parts of a large one have no condition everywhere */
		s3_nonce(job->nonce);
		s3_ask_if_absent(job->store, &job->waiter);
	} else if (job->size > S3_SINGLE_MAX) {
		s3_put_parts(job->store, request, job->size, job->sha256);
		free(job);
	} else {
		begin_put(job);
	}
}

/* ---- the store ---- */

static void submit(ObjectStore *store, ObjectRequest *request)
{
	Job *job = calloc(1, sizeof *job);

	if (!job) {
		char *none = NULL;
		s3_answer(request, -ENOMEM, &none);
		return;
	}
	job->store = s3_store_of(store);
	job->request = request;
	job->waiter.told = told;
	switch (request->verb) {
	case OBJECT_PUT:
		submit_put(job);
		return;
	case OBJECT_GET:
		begin_get(job);
		return;
	case OBJECT_HEAD:
		job_call(job, "look at", "HEAD", head_done);
		break;
	case OBJECT_DELETE:
		job_call(job, "delete", "DELETE", delete_done);
		break;
	}
	s3_call_begin(&job->store->wire, &job->call);
}

static void close_store(ObjectStore *store)
{
	S3Store *s3;

	if (!store)
		return;
	s3 = s3_store_of(store);
	s3_wire_release(&s3->wire);
	pthread_mutex_destroy(&s3->lock);
	free(s3);
}

static void init_curl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int configure(const char *location, S3Config *config, char **err)
{
	S3Profiles profiles = {0};
	const char *id = getenv("AWS_ACCESS_KEY_ID");
	int r = s3_profiles_load(&profiles, err);

	if (r < 0 && r != -ENOMEM && id && *id) { /* they are not needed */
		if (err)
			free(TAKE_PTR(*err));
		r = 0;
	}
	if (r == 0)
		r = s3_config_init(config, location, &profiles, err);
	s3_profiles_release(&profiles);
	return r;
}

/* A bucket is never made. */
static int open_store(const char *location, bool create, ObjectStore **out, char **err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	S3Config config = {0};
	S3Store *s3;
	int r;

	(void)create;
	pthread_once(&once, init_curl);
	r = configure(location, &config, err);
	if (r < 0)
		return r;
	s3 = calloc(1, sizeof *s3);
	if (!s3) {
		s3_config_release(&config);
		return -ENOMEM;
	}
	r = s3_wire_init(&s3->wire, &config, err);
	if (r < 0) {
		free(s3);
		return r;
	}
	s3->base.ops = &object_s3_ops;
	pthread_mutex_init(&s3->lock, NULL);
	*out = &s3->base;
	return 0;
}

const ObjectOps object_s3_ops = {
	.scheme = "s3",
	.open = open_store,
	.close = close_store,
	.submit = submit,
	.list = s3_store_list,
	.has_if_absent = s3_store_has_if_absent,
};
