/* backends/s3v2/object_libs3.c - `s3v2://BUCKET[/PREFIX][?OPTIONS]`: old servers that know signature version 2 only, by way of libs3.
 *
 * Location, environment and credentials are as for s3:. What libs3 2.0 lacks is lacking here: session tokens, conditional puts, multipart uploads, the region, a
 * certificate authority of one's own. It blocks, so a pool of threads calls it; each call is tried several times. A blank in a key would be stored as
 * '+', so a prefix may only have what names may have.
 *
 * Invariant: the keys outlive every call, as the bucket context points into them. libs3 is initialised once and never torn down. */
#include "backends/object_pool.h"
#include "backends/object_plugin.h"
#include "backends/s3/cred.h"
#include "backends/s3/sign.h"

#include <libs3.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#define META_HASH "bvisor-sha256"

typedef struct OldStore {
	ObjectStore base;
	S3Config config;
	S3Keys *keys;
	char *host;
	ObjectPool pool;
} OldStore;

/* One call of libs3 and what comes of it. */
typedef struct Exchange {
	S3Status status;
	bool has_properties;
	uint64_t size; /* Content-Length */
	char sha256[S3_HASH_TEXT];
	char detail[160];
	const ObjectRequest *request; /* PUT */
	size_t sent, total;
	uint8_t *body; /* GET */
	size_t n_body;
	bool out_of_memory;
	/* list */
	const OldStore *store;
	int (*visit)(void *ctx, const char *name, uint64_t size, int64_t age);
	void *ctx;
	char marker[1100];
	bool truncated;
	int visited; /* what visit answered */
} Exchange;

static const ObjectOps old_ops;

static OldStore *old_store_of(ObjectStore *store)
{
	return CONTAINER_OF(store, OldStore, base);
}

/* ---- callbacks of libs3 ---- */

static S3Status on_properties(const S3ResponseProperties *p, void *user)
{
	Exchange *x = user;

	x->has_properties = true;
	x->size = p->contentLength;
	for (int i = 0; i < p->metaDataCount; i++)
		if (strcasecmp(p->metaData[i].name, META_HASH) == 0)
			snprintf(x->sha256, sizeof x->sha256, "%s", p->metaData[i].value);
	return S3StatusOK;
}

static void on_complete(S3Status status, const S3ErrorDetails *details, void *user)
{
	Exchange *x = user;

	x->status = status;
	if (details && details->message)
		snprintf(x->detail, sizeof x->detail, "%s", details->message);
}

static int on_send(int room, char *buffer, void *user)
{
	Exchange *x = user;
	size_t skip = x->sent, done = 0;

	for (int i = 0; i < x->request->n_in && done < (size_t)room; i++) {
		const struct iovec *in = &x->request->in[i];
		size_t n = skip < in->iov_len ? MIN(in->iov_len - skip, (size_t)room - done) : 0;
		if (n)
			memcpy(buffer + done, (const uint8_t *)in->iov_base + skip, n);
		skip = n ? 0 : skip - in->iov_len;
		done += n;
	}
	x->sent += done;
	return (int)done;
}

static S3Status on_receive(int n, const char *data, void *user)
{
	Exchange *x = user;
	uint8_t *bigger = x->n_body + (size_t)n > x->total ? realloc(x->body, x->total = MAX(x->size, (x->n_body + (size_t)n) * 2)) : x->body;

	if (!bigger) {
		x->out_of_memory = true;
		return S3StatusAbortedByCallback;
	}
	x->body = bigger;
	memcpy(x->body + x->n_body, data, (size_t)n);
	x->n_body += (size_t)n;
	return S3StatusOK;
}

static S3Status on_list(int truncated, const char *next, int n, const S3ListBucketContent *contents, int n_common, const char **common, void *user)
{
	Exchange *x = user;
	size_t skip = strlen(x->store->config.prefix);

	(void)n_common, (void)common;
	x->truncated = truncated && (n || (next && *next));
	for (int i = 0; i < n && x->visited == 0; i++) {
		const char *key = contents[i].key;
		snprintf(x->marker, sizeof x->marker, "%s", key);
		if (strncmp(key, x->store->config.prefix, skip) == 0 && object_name_valid(key + skip))
			x->visited = x->visit(x->ctx, key + skip, contents[i].size, MAX((int64_t)time(NULL) - contents[i].lastModified, (int64_t)0));
	}
	if (next && *next)
		snprintf(x->marker, sizeof x->marker, "%s", next);
	return x->visited ? S3StatusAbortedByCallback : S3StatusOK;
}

/* ---- what an answer means ---- */

static int meaning(S3Status status, const char **advice)
{
	switch (status) {
	case S3StatusErrorNoSuchKey:
	case S3StatusHttpErrorNotFound:
		*advice = "there is no such object";
		return -ENOENT;
	case S3StatusErrorNoSuchBucket:
		*advice = "there is no such bucket; make it, or check the spelling and the endpoint";
		return -ENODEV;
	case S3StatusErrorAccessDenied:
	case S3StatusHttpErrorForbidden:
		*advice = "these keys may not do this here; check the keys, AWS_PROFILE, and the policy of the bucket";
		return -EACCES;
	case S3StatusErrorInvalidAccessKeyId:
		*advice = "the server does not know this access key; check AWS_ACCESS_KEY_ID or AWS_PROFILE, and the endpoint";
		return -EACCES;
	case S3StatusErrorSignatureDoesNotMatch:
		*advice = "the secret key is wrong; check AWS_SECRET_ACCESS_KEY or AWS_PROFILE";
		return -EACCES;
	case S3StatusErrorRequestTimeTooSkewed:
		*advice = "the clock of this machine differs from the server's; set it";
		return -EACCES;
	case S3StatusNameLookupError:
		*advice = "the name of the server cannot be resolved; check the endpoint and the network";
		return -EHOSTUNREACH;
	case S3StatusFailedToConnect:
		*advice = "the server takes no connection; check the endpoint, and whether it runs";
		return -ECONNREFUSED;
	case S3StatusServerFailedVerification:
		*advice = "its certificate is not trusted";
		return -EIO;
	case S3StatusConnectionFailed:
		*advice = "the connection broke";
		return -EHOSTUNREACH;
	case S3StatusOutOfMemory:
		*advice = "out of memory";
		return -ENOMEM;
	case S3StatusErrorNotImplemented:
		*advice = "the server cannot do this";
		return -EOPNOTSUPP;
	default:
		*advice = "the server refused; a server that wants signature version 4 needs s3:// instead";
		return -EIO;
	}
}

static int explain(const OldStore *s, const char *doing, const char *name, Exchange *x, char **err)
{
	const char *advice, *host = s->host;
	int r = meaning(x->out_of_memory ? S3StatusOutOfMemory : x->status, &advice);

	s3_keys_scrub(s->keys, x->detail);
	return bv_fail(err, r, "cannot %s s3v2://%s/%s%s: %s at %s: %s%s%s%s", doing, s->config.bucket, s->config.prefix, name, S3_get_status_name(x->status), host, advice,
		       x->detail[0] ? " (" : "", x->detail, x->detail[0] ? ")" : "");
}

/* Sleeps before attempt number `attempt` (from 1), longer each time, half of it by chance. */
static void back_off(int attempt)
{
	uint32_t random = 0;
	uint64_t ms = MIN(100u << MIN(attempt - 1, 6), 5000u);

	IGNORE_RESULT(getrandom(&random, sizeof random, GRND_NONBLOCK));
	ms = ms / 2 + random % (ms / 2 + 1);
	struct timespec wait = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
	nanosleep(&wait, NULL);
}

static bool worth_another(const OldStore *s, const Exchange *x, int attempt)
{
	bool damaged = x->status == S3StatusErrorBadDigest || x->status == S3StatusErrorIncompleteBody || x->status == S3StatusHttpErrorUnknown || x->status == S3StatusErrorUnknown;

	return attempt < s->config.attempts && !x->out_of_memory && x->visited == 0 && (S3_status_is_retryable(x->status) || damaged);
}

/* ---- requests ---- */

static S3BucketContext context_of(const OldStore *s)
{
	return (S3BucketContext){s->host, s->config.bucket, s->config.tls ? S3ProtocolHTTPS : S3ProtocolHTTP, s->config.path_style ? S3UriStylePath : S3UriStyleVirtualHost,
				 s->keys->id, s->keys->secret};
}

typedef void Call(const S3BucketContext *bucket, const char *key, Exchange *x, uint64_t offset, uint64_t length);

static void call_put(const S3BucketContext *bucket, const char *key, Exchange *x, uint64_t offset, uint64_t length)
{
	static const S3PutObjectHandler handler = {{on_properties, on_complete}, on_send};
	char hash[S3_HASH_TEXT] = "";
	S3NameValue meta = {META_HASH, hash};
	S3PutProperties properties = {.expires = -1, .metaDataCount = 1, .metaData = &meta};

	(void)offset;
	if (s3_hash(x->request->in, x->request->n_in, 0, length, hash) < 0)
		properties.metaDataCount = 0;
	S3_put_object(bucket, key, length, &properties, NULL, &handler, x);
}

static void call_get(const S3BucketContext *bucket, const char *key, Exchange *x, uint64_t offset, uint64_t length)
{
	static const S3GetObjectHandler handler = {{on_properties, on_complete}, on_receive};
	S3GetConditions none = {-1, -1, NULL, NULL};

	S3_get_object(bucket, key, &none, offset, length, NULL, &handler, x);
}

static void call_head(const S3BucketContext *bucket, const char *key, Exchange *x, uint64_t offset, uint64_t length)
{
	static const S3ResponseHandler handler = {on_properties, on_complete};

	(void)offset, (void)length;
	S3_head_object(bucket, key, NULL, &handler, x);
}

static void call_delete(const S3BucketContext *bucket, const char *key, Exchange *x, uint64_t offset, uint64_t length)
{
	static const S3ResponseHandler handler = {on_properties, on_complete};

	(void)offset, (void)length;
	S3_delete_object(bucket, key, NULL, &handler, x);
}

/* Whether all that was announced came, and a whole object is what was put. */
static bool damaged(const Exchange *x, bool whole)
{
	struct iovec in = {x->body, x->n_body};
	char hash[S3_HASH_TEXT];

	if (x->n_body != x->size)
		return true;
	return whole && strlen(x->sha256) == S3_HASH_TEXT - 1 && s3_hash(&in, 1, 0, in.iov_len, hash) == 0 && strcmp(hash, x->sha256) != 0;
}

/* Calls until it works or is hopeless; *x is the last answer. 0 or the errno. */
static int attempt(const OldStore *s, const char *doing, const ObjectRequest *request, Call *call, uint64_t offset, uint64_t length, Exchange *x, char **err)
{
	S3BucketContext bucket = context_of(s);
	CLEAN_FREE char *key = bv_asprintf("%s%s", s->config.prefix, request->name);
	bool bad;

	for (int n = 1; key; n++) {
		*x = (Exchange){.request = request};
		call(&bucket, key, x, offset, length);
		bad = x->status == S3StatusOK && call == call_get && damaged(x, offset == 0 && length == 0);
		if (x->status == S3StatusOK && !bad)
			return 0;
		free(TAKE_PTR(x->body));
		if (bad ? n >= s->config.attempts : !worth_another(s, x, n))
			return bad ? bv_fail(err, -EBADMSG, "cannot get s3v2://%s/%s: what came is not what was put; the object or the way to it is damaged", s->config.bucket, key)
				   : explain(s, doing, request->name, x, err);
		back_off(n);
	}
	return bv_fail(err, -ENOMEM, "out of memory");
}

static int do_put(OldStore *s, ObjectRequest *request)
{
	size_t size = 0;
	Exchange x;

	if (request->flags & OBJECT_IF_ABSENT)
		return bv_fail(&request->error, -EOPNOTSUPP, "cannot put s3v2://%s/%s%s only if it is not there: this protocol has no conditional put", s->config.bucket, s->config.prefix,
			       request->name);
	for (int i = 0; i < request->n_in; i++)
		size += request->in[i].iov_len;
	return attempt(s, "put", request, call_put, 0, size, &x, &request->error);
}

static int do_head(OldStore *s, ObjectRequest *request)
{
	Exchange x;
	int r = attempt(s, "look at", request, call_head, 0, 0, &x, &request->error);

	if (r == 0)
		request->size = x.size;
	return r;
}

/* The answer to a range does not tell the size of the whole, so that is asked for first. */
static int do_get(OldStore *s, ObjectRequest *request)
{
	uint64_t offset = request->offset, length = request->length;
	bool part = offset || length;
	Exchange x = {0};
	int r = part ? do_head(s, request) : 0;

	if (r == 0 && part) {
		length = offset < request->size ? request->size - offset : 0;
		length = request->length ? MIN(length, request->length) : length;
	}
	if (r == 0 && (!part || length))
		r = attempt(s, "get", request, call_get, offset, length, &x, &request->error);
	if (r < 0)
		return r;
	if (!x.body && !(x.body = malloc(1)))
		return bv_fail(&request->error, -ENOMEM, "out of memory");
	if (!part)
		request->size = x.n_body;
	request->body = x.body;
	request->n_body = x.n_body;
	return 0;
}

static int do_delete(OldStore *s, ObjectRequest *request)
{
	Exchange x;
	int r = attempt(s, "delete", request, call_delete, 0, 0, &x, &request->error);

	return r == -ENOENT ? 0 : r;
}

static void work(void *ctx, ObjectRequest *request, bool canceled)
{
	static int (*const verbs[])(OldStore *s, ObjectRequest *request) = {[OBJECT_PUT] = do_put, [OBJECT_GET] = do_get, [OBJECT_HEAD] = do_head, [OBJECT_DELETE] = do_delete};
	OldStore *s = ctx;

	if (canceled)
		request->result = bv_fail(&request->error, -ECANCELED, "s3v2://%s/%s%s: not done: the store was closed", s->config.bucket, s->config.prefix, request->name);
	else
		request->result = verbs[request->verb](s, request);
	if (request->result == 0)
		free(TAKE_PTR(request->error));
}

static void submit(ObjectStore *store, ObjectRequest *request)
{
	object_pool_submit(&old_store_of(store)->pool, request);
}

static int list(ObjectStore *store, const char *prefix, int (*visit)(void *ctx, const char *name, uint64_t size, int64_t age), void *ctx, char **err)
{
	static const S3ListBucketHandler handler = {{on_properties, on_complete}, on_list};
	OldStore *s = old_store_of(store);
	S3BucketContext bucket = context_of(s);
	CLEAN_FREE char *whole = bv_asprintf("%s%s", s->config.prefix, prefix);
	char from[sizeof((Exchange *)0)->marker] = "";
	Exchange x = {.truncated = true};

	for (int n = 1; whole && x.truncated; n++) {
		x = (Exchange){.store = s, .visit = visit, .ctx = ctx};
		snprintf(x.marker, sizeof x.marker, "%s", from);
		S3_list_bucket(&bucket, whole, from[0] ? from : NULL, NULL, s->config.page, NULL, &handler, &x);
		if (x.visited)
			return x.visited;
		if (x.status != S3StatusOK && !worth_another(s, &x, n))
			return explain(s, "list", prefix, &x, err);
		if (x.status == S3StatusOK)
			n = 0;
		else
			x.truncated = true, back_off(n);
		snprintf(from, sizeof from, "%s", x.marker); /* what was shown is not shown again */
	}
	return whole ? 0 : -ENOMEM;
}

static int has_if_absent(ObjectStore *store, char **err)
{
	(void)store, (void)err;
	return 0;
}

/* ---- opening ---- */

static void close_store(ObjectStore *store)
{
	OldStore *s;

	if (!store)
		return;
	s = old_store_of(store);
	object_pool_release(&s->pool);
	s3_keys_put(s->keys);
	s3_config_release(&s->config);
	free(s->host);
	free(s);
}

static int configure(OldStore *s, const char *location, char **err)
{
	S3Profiles profiles = {0};
	S3Credentials credentials;
	int r = s3_profiles_load(&profiles, err);

	if (r == 0)
		r = s3_config_init(&s->config, location, &profiles, err);
	s3_profiles_release(&profiles);
	if (r < 0)
		return r;
	if (!object_prefix_valid(s->config.prefix))
		return bv_fail(err, -EINVAL, "s3v2:%s: a prefix here may only have letters, digits, and . _ - /", location);
	s3_credentials_init(&credentials, &s->config);
	r = s3_credentials_get(&credentials, false, &s->keys, err);
	s3_credentials_release(&credentials);
	if (r == 0 && s->keys->token[0])
		return bv_fail(err, -EACCES, "s3v2://%s: this protocol has no session tokens; use keys that need none, or s3://", s->config.bucket);
	/* Without the bucket: libs3 puts it there. */
	if (r == 0 && !(s->host = s->config.authority ? strdup(s->config.authority) : strdup("s3.amazonaws.com")))
		r = -ENOMEM;
	return r;
}

static S3Status initialised;

static void initialise(void)
{
	initialised = S3_initialize("bvisor", S3_INIT_ALL, NULL);
}

static int open_store(const char *location, bool create, ObjectStore **out, char **err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	OldStore *s = calloc(1, sizeof *s);
	int r;

	(void)create;
	if (!s)
		return -ENOMEM;
	pthread_once(&once, initialise);
	object_pool_init(&s->pool, 8, work, s);
	r = initialised == S3StatusOK ? configure(s, location, err) : bv_fail(err, -EIO, "libs3 cannot be used: %s", S3_get_status_name(initialised));
	if (r < 0) {
		close_store(&s->base);
		return r;
	}
	s->base.ops = &old_ops;
	*out = &s->base;
	return 0;
}

static const ObjectOps old_ops = {
	.scheme = "s3v2",
	.open = open_store,
	.close = close_store,
	.submit = submit,
	.list = list,
	.has_if_absent = has_if_absent,
};

extern __attribute__((visibility("default"))) const ObjectPlugin bvisor_object_plugin;
const ObjectPlugin bvisor_object_plugin = {OBJECT_PLUGIN_NUMBER, sizeof(ObjectRequest), sizeof(ObjectOps), &old_ops};
