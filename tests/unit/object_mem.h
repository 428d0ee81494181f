/* tests/unit/object_mem.h - an object store in memory, complete, with two threads that answer; it counts, fails or stops where a test wants it to.
 *
 * Names are checked against the contract. mem->lock guards everything; `done` is called without it. */
#ifndef TESTS_OBJECT_MEM_H
#define TESTS_OBJECT_MEM_H

#include "backends/object.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

typedef struct MemObject {
	char *name;
	uint8_t *data;
	size_t size;
	int64_t put_at;
} MemObject;

typedef struct MemQueued {
	struct MemQueued *next;
	ObjectRequest *request;
} MemQueued;

typedef struct MemStore {
	ObjectStore base;
	pthread_mutex_t lock;
	pthread_cond_t work;
	MemObject *objects; /* sorted by name */
	size_t n;
	MemQueued *queue, **queue_end;
	pthread_t threads[2];
	bool stop, no_if_absent;
	bool at_once; /* answers within submit: no threads take part */
	int64_t now; /* its clock */
	/* What a test sets and reads. */
	unsigned long calls, puts, gets, lists;
	uint64_t bytes_in, bytes_out;
	unsigned long fail_at;	/* the call with this number (from 1 on) fails; 0: none */
	bool fail_on;		/* and all after it: the machine is gone */
	int fail_with;
	unsigned long stop_after_puts; /* changes after so many answer, but are not made... and everything fails: a crash; 0: never */
} MemStore;

static inline bool mem_name_ok(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > 512 || strspn(name, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._-/") != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((i == 0 || name[i - 1] == '/') && (name[i] == '/' || name[i] == '.'))
			return false;
	return name[len - 1] != '/';
}

static inline size_t mem_find(const MemStore *m, const char *name, bool *found)
{
	size_t low = 0, high = m->n;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (strcmp(m->objects[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*found = low < m->n && strcmp(m->objects[low].name, name) == 0;
	return low;
}

static inline void mem_remove_at(MemStore *m, size_t at)
{
	free(m->objects[at].name);
	free(m->objects[at].data);
	memmove(m->objects + at, m->objects + at + 1, (--m->n - at) * sizeof *m->objects);
}

static inline int mem_put(MemStore *m, ObjectRequest *q)
{
	bool found;
	size_t at = mem_find(m, q->name, &found), size = 0, done = 0;

	if (q->flags & OBJECT_IF_ABSENT && m->no_if_absent)
		return -EOPNOTSUPP;
	if (q->flags & OBJECT_IF_ABSENT && found)
		return -EEXIST;
	for (int i = 0; i < q->n_in; i++)
		size += q->in[i].iov_len;
	uint8_t *data = malloc(size + 1);
	for (int i = 0; i < q->n_in; done += q->in[i++].iov_len)
		memcpy(data + done, q->in[i].iov_base, q->in[i].iov_len);
	if (found)
		mem_remove_at(m, at);
	m->objects = realloc(m->objects, (m->n + 1) * sizeof *m->objects);
	memmove(m->objects + at + 1, m->objects + at, (m->n++ - at) * sizeof *m->objects);
	m->objects[at] = (MemObject){strdup(q->name), data, size, m->now};
	m->puts++;
	m->bytes_in += size;
	return 0;
}

static inline int mem_get(MemStore *m, ObjectRequest *q)
{
	bool found;
	size_t at = mem_find(m, q->name, &found);

	if (!found)
		return -ENOENT;
	const MemObject *o = &m->objects[at];
	q->size = o->size;
	if (q->verb == OBJECT_HEAD)
		return 0;
	size_t from = MIN(q->offset, o->size), n = q->length ? MIN(q->length, o->size - from) : o->size - from;
	q->body = malloc(n + 1);
	memcpy(q->body, o->data + from, n);
	q->n_body = n;
	m->gets++;
	m->bytes_out += n;
	return 0;
}

static inline int mem_fault(MemStore *m)
{
	m->calls++;
	if (m->stop_after_puts && m->puts >= m->stop_after_puts)
		return -ECONNREFUSED;
	if (m->fail_at && (m->calls == m->fail_at || (m->fail_on && m->calls > m->fail_at)))
		return m->fail_with ? m->fail_with : -EIO;
	return 0;
}

static inline void mem_run(MemStore *m, ObjectRequest *q)
{
	static const char *const verbs[] = {"put", "get", "head", "delete"};
	bool found;

	pthread_mutex_lock(&m->lock);
	int r = mem_name_ok(q->name) ? mem_fault(m) : -EINVAL;
	if (r == 0 && q->verb == OBJECT_PUT)
		r = mem_put(m, q);
	else if (r == 0 && q->verb != OBJECT_DELETE)
		r = mem_get(m, q);
	else if (r == 0) {
		size_t at = mem_find(m, q->name, &found);
		if (found)
			mem_remove_at(m, at);
	}
	pthread_mutex_unlock(&m->lock);
	q->result = r;
	if (r < 0)
		q->error = bv_asprintf("%s: cannot %s it: %s", q->name, verbs[q->verb], strerror(-r));
	q->done(q);
}

static inline void *mem_thread(void *arg)
{
	MemStore *m = arg;

	for (;;) {
		pthread_mutex_lock(&m->lock);
		while (!m->queue && !m->stop)
			pthread_cond_wait(&m->work, &m->lock);
		MemQueued *item = m->queue;
		if (item) {
			m->queue = item->next;
			if (!m->queue)
				m->queue_end = &m->queue;
		}
		pthread_mutex_unlock(&m->lock);
		if (!item)
			return NULL;
		mem_run(m, item->request);
		free(item);
	}
}

static inline void mem_submit(ObjectStore *store, ObjectRequest *request)
{
	MemStore *m = (MemStore *)store;

	if (m->at_once) {
		mem_run(m, request);
		return;
	}
	MemQueued *item = calloc(1, sizeof *item);
	item->request = request;
	pthread_mutex_lock(&m->lock);
	*m->queue_end = item;
	m->queue_end = &item->next;
	pthread_cond_signal(&m->work);
	pthread_mutex_unlock(&m->lock);
}

static inline void mem_close(ObjectStore *store)
{
	MemStore *m = (MemStore *)store;

	pthread_mutex_lock(&m->lock);
	m->stop = true;
	pthread_cond_broadcast(&m->work);
	pthread_mutex_unlock(&m->lock);
	for (size_t i = 0; i < ARRAY_LEN(m->threads); i++)
		pthread_join(m->threads[i], NULL);
	while (m->n)
		mem_remove_at(m, m->n - 1);
	free(m->objects);
	free(m);
}

static inline int mem_list(ObjectStore *store, const char *prefix, int (*visit)(void *ctx, const char *name, uint64_t size, int64_t age), void *ctx, char **err)
{
	MemStore *m = (MemStore *)store;

	pthread_mutex_lock(&m->lock);
	int r = mem_fault(m);
	m->lists++;
	for (size_t i = 0; r == 0 && i < m->n; i++)
		if (strncmp(m->objects[i].name, prefix, strlen(prefix)) == 0)
			r = visit(ctx, m->objects[i].name, m->objects[i].size, m->now - m->objects[i].put_at);
	pthread_mutex_unlock(&m->lock);
	return r < 0 ? bv_fail(err, r, "%s: cannot list it: %s", prefix, strerror(-r)) : r;
}

static inline int mem_has_if_absent(ObjectStore *store, char **err)
{
	(void)err;
	return !((MemStore *)store)->no_if_absent;
}

static const ObjectOps mem_ops = {.scheme = "mem", .close = mem_close, .submit = mem_submit, .list = mem_list, .has_if_absent = mem_has_if_absent};

static inline MemStore *mem_new(void)
{
	MemStore *m = calloc(1, sizeof *m);

	m->base.ops = &mem_ops;
	m->queue_end = &m->queue;
	m->now = 1000000;
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->work, NULL);
	for (size_t i = 0; i < ARRAY_LEN(m->threads); i++)
		if (pthread_create(&m->threads[i], NULL, mem_thread, m))
			abort();
	return m;
}

/* What is there: total bytes and number of objects below prefix. */
static inline uint64_t mem_bytes(const MemStore *m, const char *prefix, size_t *count)
{
	uint64_t total = 0;

	*count = 0;
	for (size_t i = 0; i < m->n; i++) {
		if (strncmp(m->objects[i].name, prefix, strlen(prefix)) != 0)
			continue;
		total += m->objects[i].size;
		++*count;
	}
	return total;
}

/* Writes the objects below a directory, as files of their names. */
static inline int mem_save(const MemStore *m, const char *dir)
{
	for (size_t i = 0; i < m->n; i++) {
		CLEAN_FREE char *path = bv_asprintf("%s/%s", dir, m->objects[i].name);
		char *slash = strrchr(path, '/');
		*slash = 0;
		int r = bv_mkdir_all(path);
		*slash = '/';
		CLEAN_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (r < 0 || fd < 0 || bv_write_full(fd, m->objects[i].data, m->objects[i].size) < 0)
			return -EIO;
	}
	return 0;
}

#endif
