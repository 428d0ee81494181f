#include "snapshot/store.h"
#include "snapshot/libraries.h"

#include <pthread.h>
#include <stdio.h>

void pack_name(const SnapId *id, ObjectName out)
{
	char hex[65];

	id_hex(id, hex);
	snprintf(out, OBJECT_NAME_MAX + 1, "packs/%.2s/%s", hex, hex);
}

void index_name(const SnapId *id, ObjectName out)
{
	char hex[65];

	id_hex(id, hex);
	snprintf(out, OBJECT_NAME_MAX + 1, "index/%s", hex);
}

void snapshot_name(const SnapId *id, ObjectName out)
{
	char hex[65];

	id_hex(id, hex);
	snprintf(out, OBJECT_NAME_MAX + 1, "snapshots/%s", hex);
}

int snap_store_open(ObjectStore *objects, const SnapKey *key, SnapStore **out, char **err)
{
	SnapStore *s;

	if (!libraries_get(err))
		return -ENOSYS;
	s = calloc(1, sizeof *s);
	if (!s)
		return bv_fail(err, -ENOMEM, "not enough memory");
	s->objects = objects;
	s->key = key;
	s->if_absent = -1;
	pthread_mutex_init(&s->cache_lock, NULL);
	gear_init(&s->gear, snap_key_chunk_seed(key));
	*out = s;
	return 0;
}

void snap_store_close(SnapStore *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < ARRAY_LEN(s->cache); i++)
		free(s->cache[i].plain);
	pthread_mutex_destroy(&s->cache_lock);
	free(s);
}

SnapTraffic snap_store_traffic(const SnapStore *s)
{
	return (SnapTraffic){.gets = s->gets, .puts = s->puts, .others = s->others, .sent = s->sent, .received = s->received};
}

static void count(SnapStore *s, const ObjectRequest *request)
{
	if (request->verb == OBJECT_PUT) {
		s->puts++;
		for (int i = 0; i < request->n_in; i++)
			s->sent += request->in[i].iov_len;
	} else if (request->verb == OBJECT_GET) {
		s->gets++;
	} else {
		s->others++;
	}
}

void kept_submit(SnapStore *s, ObjectRequest *request)
{
	count(s, request);
	object_submit(s->objects, request);
}

/* Counts, submits and waits. *err gets the store's message, or at least the name of the object. */
static int run(SnapStore *s, ObjectRequest *request, char **err)
{
	count(s, request);
	int r = object_run(s->objects, request, err);
	return r < 0 && err && !*err ? bv_fail(err, r, "%s", request->name) : r;
}

int kept_put(SnapStore *s, const char *name, const void *data, size_t len, unsigned flags, char **err)
{
	struct iovec in = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
	ObjectRequest request = {.verb = OBJECT_PUT, .name = name, .in = &in, .n_in = 1, .flags = flags};
	int r = run(s, &request, err);

	object_request_release(&request);
	return r;
}

int kept_get(SnapStore *s, const char *name, uint64_t offset, uint64_t length, uint8_t **body, size_t *n, uint64_t *size, char **err)
{
	ObjectRequest request = {.verb = OBJECT_GET, .name = name, .offset = offset, .length = length};
	int r = run(s, &request, err);

	if (r == 0 && length && request.n_body != length)
		r = bv_fail(err, -EBADMSG, "%s is damaged: it ends within what should be there", name);
	if (r == 0) {
		s->received += request.n_body;
		*body = TAKE_PTR(request.body);
		*n = request.n_body;
		if (size)
			*size = request.size;
	}
	object_request_release(&request);
	return r;
}

int err_settle(char **err, char **why, int r)
{
	if (r < 0)
		bv_fail(err, r, "%s", *why ? *why : strerror(-r));
	free(TAKE_PTR(*why));
	return r;
}

int kept_get_maybe(SnapStore *s, const char *name, uint8_t **body, size_t *n, char **err)
{
	char *why = NULL;
	int r = kept_get(s, name, 0, 0, body, n, NULL, &why);

	if (r == -ENOENT) {
		free(why);
		return r;
	}
	return err_settle(err, &why, r);
}

int kept_head(SnapStore *s, const char *name, uint64_t *size, char **err)
{
	ObjectRequest request = {.verb = OBJECT_HEAD, .name = name};
	int r = run(s, &request, err);

	if (r == 0)
		*size = request.size;
	object_request_release(&request);
	return r;
}

int kept_delete(SnapStore *s, const char *name, char **err)
{
	ObjectRequest request = {.verb = OBJECT_DELETE, .name = name};
	int r = run(s, &request, err);

	object_request_release(&request);
	return r;
}

int kept_list(SnapStore *s, const char *prefix, int (*visit)(void *ctx, const char *name, uint64_t size, int64_t age), void *ctx, char **err)
{
	s->others++;
	return object_list(s->objects, prefix, visit, ctx, err);
}

int kept_if_absent(SnapStore *s, char **err)
{
	if (s->if_absent < 0) {
		int r = object_has_if_absent(s->objects, err);
		if (r < 0)
			return r;
		s->if_absent = r > 0;
	}
	return s->if_absent;
}

int kept_load(SnapStore *s, Coder *coder, const char *magic, void (*name_of)(const SnapId *, ObjectName), const SnapId *id, uint8_t **plain, size_t *n,
	       char **err)
{
	CLEAN_FREE uint8_t *body = NULL;
	ObjectName name;
	SnapId have;
	size_t len;

	name_of(id, name);
	int r = kept_get(s, name, 0, 0, &body, &len, NULL, err);
	if (r < 0)
		return r;
	if (coder_hash(coder, body, len, &have) < 0 || !id_equal(&have, id))
		return bv_fail(err, -EBADMSG, "%s is damaged: its bytes are not those that it is named after", name);
	return envelope_decode(coder, magic, name, body, len, plain, n, err);
}

static uint8_t *cached(SnapStore *s, const SnapId *id, size_t *n)
{
	uint8_t *copy = NULL;

	pthread_mutex_lock(&s->cache_lock);
	for (size_t i = 0; i < ARRAY_LEN(s->cache) && !copy; i++) {
		const struct CachedIndex *c = &s->cache[i];
		if (!c->plain || !id_equal(&c->id, id) || !(copy = malloc(c->n + 1)))
			continue;
		memcpy(copy, c->plain, c->n);
		*n = c->n;
	}
	pthread_mutex_unlock(&s->cache_lock);
	return copy;
}

/* Takes plain over. */
static void remember(SnapStore *s, const SnapId *id, uint8_t *plain, size_t n)
{
	if (n <= CACHED_INDEX_MAX) {
		pthread_mutex_lock(&s->cache_lock);
		struct CachedIndex *c = &s->cache[s->cache_at++ % ARRAY_LEN(s->cache)];
		uint8_t *old = c->plain;
		*c = (struct CachedIndex){*id, plain, n};
		plain = old;
		pthread_mutex_unlock(&s->cache_lock);
	}
	free(plain);
}

int kept_load_index(SnapStore *s, Coder *coder, const SnapId *id, IndexList *list, size_t *plain_len, char **err)
{
	size_t n;
	uint8_t *plain = cached(s, id, &n);
	bool had = plain != NULL;
	int r = had ? 0 : kept_load(s, coder, MAGIC_INDEX, index_name, id, &plain, &n, err);

	if (r < 0)
		return r;
	r = index_list_decode(plain, n, list);
	if (r == 0 && plain_len)
		*plain_len = n;
	if (r == 0 && !had)
		remember(s, id, TAKE_PTR(plain), n);
	free(plain);
	if (r < 0) {
		ObjectName name;
		index_name(id, name);
		return bv_fail(err, r, "%s is damaged: it is no index", name);
	}
	return 0;
}

int kept_save(SnapStore *s, Coder *coder, const char *magic, void (*name_of)(const SnapId *, ObjectName), const Bytes *plain, SnapId *id, char **err)
{
	CLEAN_BYTES Bytes out = {0};
	ObjectName name;
	int r = plain->failed ? -ENOMEM : envelope_encode(coder, magic, plain->data, plain->len, &out);

	if (r == 0)
		r = coder_hash(coder, out.data, out.len, id);
	if (r < 0)
		return bv_fail(err, r, "not enough memory for the snapshot");
	name_of(id, name);
	return kept_put(s, name, out.data, out.len, 0, err);
}
