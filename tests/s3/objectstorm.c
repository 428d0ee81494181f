/* tests/s3/objectstorm.c - random transfers, each answer of which is checked against a model.
 *
 *   objectstorm LOCATION COUNT SEED
 *
 * Eight threads, each with names of its own, so that each knows what must be there. An operation may end with an error (the network may be worse than
 * the retries can bear): then the object is what it was or what it was to be, as a whole, and the next read says which. Anything else is wrong. Prints
 * "storm: N transfers, N given up, N wrong" and fails if something was wrong, or a tenth was given up. */
#include "backends/object.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define THREADS 8
#define NAMES 12

/* What may be there: the sizes and seeds of at most two contents; size -1 is no object. */
typedef struct State {
	int64_t size[2];
	uint64_t seed[2];
	int n;
} State;

typedef struct Worker {
	pthread_t thread;
	int number;
	uint64_t random;
	State states[NAMES];
} Worker;

static ObjectStore *store;
static bool conditional;
static atomic_int left, transfers, given_up, wrong;

static uint64_t next(Worker *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random * 2685821657736338717ull;
}

static void fill(uint8_t *data, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i += 8) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		memcpy(data + i, &seed, MIN(size - i, (size_t)8));
	}
}

static void complain(const char *what, const char *name, int r, const char *err)
{
	atomic_fetch_add(&wrong, 1);
	printf("WRONG: %s %s: %d %s\n", what, name, r, err ? err : "");
}

/* An error that a bad network may lead to, with a message that names the object. */
static void check_error(const char *what, const char *name, int r, const char *err)
{
	static const int allowed[] = {-EIO, -EBADMSG, -ETIMEDOUT, -EHOSTUNREACH, -ECONNREFUSED};
	bool known = false;

	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		known |= r == allowed[i];
	if (!known || !err || !strstr(err, name)) {
		complain(what, name, r, err);
		return;
	}
	atomic_fetch_add(&given_up, 1);
	printf("given up: %s\n", err);
}

/* Which of the states the content is: the others are dropped. */
static void settle(State *s, const uint8_t *body, int64_t n, const char *what, const char *name)
{
	for (int i = 0; i < s->n; i++) {
		CLEAN_FREE uint8_t *want = malloc(n > 0 ? (size_t)n : 1);
		if (s->size[i] != n)
			continue;
		if (n > 0)
			fill(want, (size_t)n, s->seed[i]);
		if (n > 0 && body && memcmp(want, body, (size_t)n) != 0)
			continue;
		s->size[0] = s->size[i];
		s->seed[0] = s->seed[i];
		s->n = body || n < 0 ? 1 : s->n;
		return;
	}
	complain(what, name, (int)n, "this was never put");
}

static void do_get(Worker *w, State *s, const char *name)
{
	CLEAN_FREE uint8_t *body = NULL;
	CLEAN_FREE char *err = NULL;
	size_t n = 0;
	int r = object_get(store, name, 0, 0, &body, &n, &err);

	(void)w;
	if (r == 0)
		settle(s, body, (int64_t)n, "get", name);
	else if (r == -ENOENT)
		settle(s, NULL, -1, "get", name);
	else
		check_error("get", name, r, err);
}

static void do_range(Worker *w, State *s, const char *name)
{
	CLEAN_FREE uint8_t *body = NULL;
	CLEAN_FREE char *err = NULL;
	size_t n = 0;
	if (s->n != 1 || s->size[0] < 1) {
		do_get(w, s, name);
		return;
	}
	size_t size = (size_t)s->size[0], offset = next(w) % size, length = next(w) % size;
	int r = object_get(store, name, offset, length, &body, &n, &err);
	CLEAN_FREE uint8_t *want = malloc(size);

	fill(want, size, s->seed[0]);
	if (length == 0 || offset + length > size)
		length = size - offset;
	if (r < 0)
		check_error("range", name, r, err);
	else if (n != length || memcmp(body, want + offset, n) != 0)
		complain("range", name, (int)n, "other bytes");
}

static void do_head(Worker *w, State *s, const char *name)
{
	CLEAN_FREE char *err = NULL;
	uint64_t size = 0;
	int r = object_head(store, name, &size, &err);

	(void)w;
	if (r == 0)
		settle(s, NULL, (int64_t)size, "head", name);
	else if (r == -ENOENT)
		settle(s, NULL, -1, "head", name);
	else
		check_error("head", name, r, err);
}

static void do_put(Worker *w, State *s, const char *name, unsigned flags)
{
	static const size_t bounds[] = {1, 100, 100, 5000, 5000, 60000, 300000, 2000000};
	CLEAN_FREE char *err = NULL;
	uint64_t seed = next(w);
	size_t size = next(w) % bounds[next(w) % ARRAY_LEN(bounds)];
	if (next(w) % 400 == 0)
		size = ((size_t)65 << 20) + size; /* in parts */
	CLEAN_FREE uint8_t *data = malloc(size + 1);
	fill(data, size, seed);
	int r = object_put(store, name, data, size, flags, &err);

	if (r == 0 && flags && s->n == 1 && s->size[0] >= 0)
		complain("put-new over an object", name, r, err);
	if (r == 0) {
		*s = (State){{(int64_t)size}, {seed}, 1};
	} else if (r == -EEXIST && flags) {
		if (s->n == 1 && s->size[0] < 0)
			complain("put-new", name, r, err);
	} else {
		printf("(a put of %zu bytes%s)\n", size, flags ? ", if absent" : "");
		check_error("put", name, r, err);
		do_get(w, s, name); /* of more than two states nothing is kept */
		if (s->n == 1)
			s->size[1] = (int64_t)size, s->seed[1] = seed, s->n = 2;
	}
}

static void do_delete(Worker *w, State *s, const char *name)
{
	CLEAN_FREE char *err = NULL;
	int r = object_delete(store, name, &err);

	(void)w;
	if (r == 0) {
		*s = (State){{-1}, {0}, 1};
		return;
	}
	check_error("delete", name, r, err);
	if (s->n == 1)
		s->size[1] = -1, s->n = 2;
}

static void *storm(void *arg)
{
	Worker *w = arg;

	while (atomic_fetch_sub(&left, 1) > 0) {
		char name[40];
		uint64_t dice = next(w) % 100;
		int which = (int)(next(w) % NAMES);
		State *s = &w->states[which];
		snprintf(name, sizeof name, "w%d/object-%d", w->number, which);
		atomic_fetch_add(&transfers, 1);
		if (s->n == 2)
			do_get(w, s, name); /* first find out */
		else if (dice < 30)
			do_put(w, s, name, 0);
		else if (dice < 40)
			do_put(w, s, name, conditional ? OBJECT_IF_ABSENT : 0);
		else if (dice < 65)
			do_get(w, s, name);
		else if (dice < 80)
			do_range(w, s, name);
		else if (dice < 90)
			do_head(w, s, name);
		else
			do_delete(w, s, name);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static Worker workers[THREADS];
	char *err = NULL;

	if (argc < 4)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (object_open(argv[1], false, &store, &err) < 0) {
		printf("%s\n", err);
		return 1;
	}
	conditional = object_has_if_absent(store, NULL) == 1;
	atomic_store(&left, (int)strtol(argv[2], NULL, 10));
	for (int i = 0; i < THREADS; i++) {
		Worker *w = &workers[i];
		w->number = i;
		w->random = strtoull(argv[3], NULL, 10) * 1000003 + (uint64_t)i + 1;
		for (int k = 0; k < NAMES; k++)
			w->states[k] = (State){{-1}, {0}, 1};
		if (pthread_create(&w->thread, NULL, storm, w) != 0)
			return 1;
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	object_close(store);
	printf("storm: %d transfers, %d given up, %d wrong%s\n", transfers, given_up, wrong, conditional ? "" : " (no conditional put)");
	return wrong > 0 || given_up > transfers / 10;
}
