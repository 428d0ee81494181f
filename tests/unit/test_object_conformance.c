/* tests/unit/test_object_conformance.c - the contract of backends/object.h, sentence by sentence, for every store that can be reached.
 *
 * A directory always; the locations that BVISOR_TEST_S3 names (separated by blanks, like s3://bucket?endpoint=http://127.0.0.1:8080) with the
 * credentials of the environment. Each test has a store of its own: a fresh directory, or a fresh prefix that is emptied afterwards. */
#include "backends/object.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/random.h>

#include <cmocka.h>

#define MIB ((size_t)1 << 20)

typedef struct Place {
	char dir[64];	    /* scratch of a directory store */
	char location[512]; /* of the store */
	ObjectStore *store;
	bool remote;
	bool if_absent;
} Place;

static ObjectStore *open_at(const char *location)
{
	ObjectStore *store = NULL;
	char *err = NULL;
	int r = object_open(location, true, &store, &err);

	if (r < 0)
		fail_msg("open %s: %d %s", location, r, err ? err : "(no message)");
	assert_null(err);
	return store;
}

/* BASE[?OPTIONS] with PART put before the options. */
static void below(char *out, size_t size, const char *base, const char *part)
{
	size_t head = strcspn(base, "?");

	snprintf(out, size, "%.*s/%s%s", (int)head, base, part, base + head);
}

static int setup(void **state)
{
	Place *p = calloc(1, sizeof *p);
	const char *base = *state;
	char *err = NULL;

	if (base) {
		char part[40];
		uint64_t random;
		assert_int_equal(getrandom(&random, sizeof random, 0), sizeof random);
		snprintf(part, sizeof part, "conf-%016jx", (uintmax_t)random);
		below(p->location, sizeof p->location, base, part);
		p->remote = true;
	} else {
		snprintf(p->dir, sizeof p->dir, "/var/tmp/bvisor-objects-XXXXXX");
		assert_non_null(mkdtemp(p->dir));
		snprintf(p->location, sizeof p->location, "dir:%s/a/store", p->dir);
	}
	p->store = open_at(p->location);
	int r = object_has_if_absent(p->store, &err);
	if (r < 0)
		fail_msg("has_if_absent: %d %s", r, err);
	p->if_absent = r == 1;
	*state = p;
	return 0;
}

typedef struct Names {
	char **names;
	uint64_t *sizes;
	int n;
} Names;

static int collect(void *ctx, const char *name, uint64_t size, int64_t age)
{
	Names *list = ctx;

	assert_true(age >= 0 && age < 600);
	assert_true(object_name_valid(name));
	if (list->n) /* in order of bytes, no name twice */
		assert_true(strcmp(list->names[list->n - 1], name) < 0);
	list->names = realloc(list->names, (size_t)(list->n + 1) * sizeof *list->names);
	list->sizes = realloc(list->sizes, (size_t)(list->n + 1) * sizeof *list->sizes);
	list->names[list->n] = strdup(name);
	list->sizes[list->n++] = size;
	return 0;
}

static void names_release(Names *list)
{
	for (int i = 0; i < list->n; i++)
		free(list->names[i]);
	free(list->names);
	free(list->sizes);
}

static Names list_of(ObjectStore *store, const char *prefix)
{
	Names list = {0};
	char *err = NULL;
	int r = object_list(store, prefix, collect, &list, &err);

	if (r < 0)
		fail_msg("list %s: %d %s", prefix, r, err);
	return list;
}

static atomic_int under_way;
static atomic_int went_wrong;

static void count_down(ObjectRequest *request)
{
	if (request->result < 0 && request->result != -ECANCELED) {
		print_message("%s\n", request->error ? request->error : "(no message)");
		atomic_fetch_add(&went_wrong, 1);
	}
	atomic_fetch_sub(&under_way, 1);
}

static void wait_for_all(void)
{
	while (atomic_load(&under_way))
		usleep(1000);
	assert_int_equal(atomic_load(&went_wrong), 0);
}

static void delete_all(Place *p, const Names *list)
{
	ObjectRequest *requests = calloc((size_t)list->n + 1, sizeof *requests);

	atomic_store(&under_way, list->n);
	atomic_store(&went_wrong, 0);
	for (int i = 0; i < list->n; i++) {
		requests[i] = (ObjectRequest){.verb = OBJECT_DELETE, .name = list->names[i], .done = count_down};
		object_submit(p->store, &requests[i]);
	}
	wait_for_all();
	for (int i = 0; i < list->n; i++)
		object_request_release(&requests[i]);
	free(requests);
}

static int teardown(void **state)
{
	Place *p = *state;

	if (p->remote) {
		Names all = list_of(p->store, "");
		delete_all(p, &all);
		names_release(&all);
	}
	object_close(p->store);
	if (!p->remote)
		assert_int_equal(bv_remove_tree_at(AT_FDCWD, p->dir), 0);
	free(p);
	return 0;
}

static void put(Place *p, const char *name, const void *data, size_t size)
{
	char *err = NULL;
	int r = object_put(p->store, name, data, size, 0, &err);

	if (r < 0)
		fail_msg("put %s: %d %s", name, r, err);
	assert_null(err);
}

static void expect(Place *p, const char *name, uint64_t offset, uint64_t length, const void *data, size_t size)
{
	uint8_t *body = NULL;
	size_t n = 0;
	char *err = NULL;
	int r = object_get(p->store, name, offset, length, &body, &n, &err);

	if (r < 0)
		fail_msg("get %s: %d %s", name, r, err);
	assert_int_equal(n, size);
	assert_non_null(body);
	assert_memory_equal(body, data, size);
	free(body);
}

/* Bytes that do not repeat. */
static uint8_t *pattern(size_t size, uint64_t seed)
{
	uint8_t *data = malloc(size + 8);

	for (size_t i = 0; i < size; i += 8) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		memcpy(data + i, &seed, 8);
	}
	return data;
}

static void post(ObjectRequest *request)
{
	sem_post(request->user);
}

static void submit_and_wait(Place *p, ObjectRequest *request)
{
	sem_t done;

	sem_init(&done, 0, 0);
	request->done = post;
	request->user = &done;
	object_submit(p->store, request);
	while (sem_wait(&done) < 0)
		;
	sem_destroy(&done);
}

/* ---- reading and writing ---- */

static void what_was_put_is_read(void **state)
{
	Place *p = *state;
	static const size_t sizes[] = {0, 1, 4095, 4096, 65537, 3 * MIB + 1};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		CLEAN_FREE uint8_t *data = pattern(sizes[i], i);
		char name[32];
		uint64_t size = 99;
		snprintf(name, sizeof name, "data/%zu", sizes[i]);
		put(p, name, data, sizes[i]);
		expect(p, name, 0, 0, data, sizes[i]);
		assert_int_equal(object_head(p->store, name, &size, NULL), 0);
		assert_int_equal(size, sizes[i]);
	}
}

static void a_put_gathers_its_pieces(void **state)
{
	Place *p = *state;
	struct iovec in[] = {{(void *)(uintptr_t) "one ", 4}, {NULL, 0}, {(void *)(uintptr_t) "two", 3}};
	ObjectRequest request = {.verb = OBJECT_PUT, .name = "pieces", .in = in, .n_in = 3};

	submit_and_wait(p, &request);
	assert_int_equal(request.result, 0);
	object_request_release(&request);
	object_request_release(&request); /* may be repeated */
	expect(p, "pieces", 0, 0, "one two", 7);
}

static void a_put_replaces_what_is_there(void **state)
{
	Place *p = *state;

	put(p, "same", "a longer first text", 19);
	put(p, "same", "second", 6);
	expect(p, "same", 0, 0, "second", 6);
}

static void ranges_are_cut_at_the_end_of_the_object(void **state)
{
	Place *p = *state;
	CLEAN_FREE uint8_t *data = pattern(100000, 7);

	put(p, "range", data, 100000);
	expect(p, "range", 0, 1, data, 1);
	expect(p, "range", 5, 10, data + 5, 10);
	expect(p, "range", 50000, 0, data + 50000, 50000);
	expect(p, "range", 99999, 1, data + 99999, 1);
	expect(p, "range", 99990, 1000, data + 99990, 10);
	expect(p, "range", 0, 1000000, data, 100000);
	expect(p, "range", 100000, 0, "", 0);
	expect(p, "range", 100000, 5, "", 0);
	expect(p, "range", 1ull << 40, 5, "", 0);
	put(p, "empty", "", 0);
	expect(p, "empty", 0, 10, "", 0);
	expect(p, "empty", 3, 0, "", 0);
}

static void a_get_tells_the_size_of_the_whole_object(void **state)
{
	Place *p = *state;
	static const struct {
		uint64_t offset, length;
	} ranges[] = {{0, 0}, {2, 3}, {10, 0}, {11, 4}};

	put(p, "ten", "0123456789", 10);
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		ObjectRequest request = {.verb = OBJECT_GET, .name = "ten", .offset = ranges[i].offset, .length = ranges[i].length};
		submit_and_wait(p, &request);
		assert_int_equal(request.result, 0);
		assert_int_equal(request.size, 10);
		object_request_release(&request);
	}
}

/* Above the bound where S3 stores cut an object into parts. */
static void a_large_object_is_whole(void **state)
{
	Place *p = *state;
	size_t size = 70 * MIB + 12345;
	CLEAN_FREE uint8_t *data = pattern(size, 3);
	uint64_t told = 0;

	put(p, "large/one", data, size);
	expect(p, "large/one", 0, 0, data, size);
	expect(p, "large/one", 64 * MIB - 10, 20, data + 64 * MIB - 10, 20);
	assert_int_equal(object_head(p->store, "large/one", &told, NULL), 0);
	assert_int_equal(told, size);
}

static void a_missing_object_is_enoent_and_named(void **state)
{
	Place *p = *state;
	uint8_t *body = (uint8_t *)p;
	size_t n = 7;
	uint64_t size = 7;
	char *err = NULL;

	assert_int_equal(object_get(p->store, "no/such.thing", 0, 0, &body, &n, &err), -ENOENT);
	assert_non_null(strstr(err, "no/such.thing"));
	assert_ptr_equal(body, p); /* outputs are untouched */
	assert_int_equal(n, 7);
	assert_int_equal(object_get(p->store, "no/such.thing", 5, 10, &body, &n, &err), -ENOENT);
	assert_int_equal(object_head(p->store, "no/such.thing", &size, &err), -ENOENT);
	assert_non_null(strstr(err, "no/such.thing"));
	assert_int_equal(size, 7);
	assert_int_equal(object_get(p->store, "no", 0, 0, &body, &n, NULL), -ENOENT);
	free(err);
}

static void part_of_a_name_is_no_object(void **state)
{
	Place *p = *state;
	uint8_t *body = NULL;
	size_t n;

	put(p, "deep/er/object", "x", 1);
	assert_int_equal(object_get(p->store, "deep", 0, 0, &body, &n, NULL), -ENOENT);
	assert_int_equal(object_get(p->store, "deep/er", 0, 0, &body, &n, NULL), -ENOENT);
	assert_int_equal(object_get(p->store, "deep/er/object/more", 0, 0, &body, &n, NULL), -ENOENT);
	assert_int_equal(object_delete(p->store, "deep/er/object/more", NULL), 0);
	expect(p, "deep/er/object", 0, 0, "x", 1);
}

static void deleting_is_idempotent(void **state)
{
	Place *p = *state;
	uint64_t size;

	put(p, "gone", "x", 1);
	assert_int_equal(object_delete(p->store, "gone", NULL), 0);
	assert_int_equal(object_head(p->store, "gone", &size, NULL), -ENOENT);
	assert_int_equal(object_delete(p->store, "gone", NULL), 0);
	assert_int_equal(object_delete(p->store, "never/was", NULL), 0);
	put(p, "gone", "again", 5);
	expect(p, "gone", 0, 0, "again", 5);
}

/* ---- only if absent ---- */

static void if_absent_puts_only_once(void **state)
{
	Place *p = *state;
	char *err = NULL;

	if (!p->if_absent) {
		assert_int_equal(object_put(p->store, "once", "first", 5, OBJECT_IF_ABSENT, &err), -EOPNOTSUPP);
		assert_non_null(strstr(err, "once"));
		free(err);
		return;
	}
	assert_int_equal(object_put(p->store, "once", "first", 5, OBJECT_IF_ABSENT, &err), 0);
	assert_int_equal(object_put(p->store, "once", "second", 6, OBJECT_IF_ABSENT, &err), -EEXIST);
	assert_non_null(strstr(err, "once"));
	expect(p, "once", 0, 0, "first", 5);
	assert_int_equal(object_delete(p->store, "once", NULL), 0);
	assert_int_equal(object_put(p->store, "once", "third", 5, OBJECT_IF_ABSENT, NULL), 0);
	expect(p, "once", 0, 0, "third", 5);
	free(err);
}

static void if_absent_holds_for_large_objects(void **state)
{
	Place *p = *state;
	size_t size = 66 * MIB + 7;

	if (!p->if_absent)
		skip(); /* jumps: nothing is held yet */
	CLEAN_FREE uint8_t *data = pattern(size, 4);
	assert_int_equal(object_put(p->store, "big/once", data, size, OBJECT_IF_ABSENT, NULL), 0);
	data[0]++;
	assert_int_equal(object_put(p->store, "big/once", data, size, OBJECT_IF_ABSENT, NULL), -EEXIST);
	data[0]--;
	expect(p, "big/once", 0, 0, data, size);
}

typedef struct Racer {
	ObjectStore *store;
	pthread_barrier_t *start;
	char text[16];
	int result;
} Racer;

static void *race(void *arg)
{
	Racer *racer = arg;

	pthread_barrier_wait(racer->start);
	racer->result = object_put(racer->store, "race/target", racer->text, strlen(racer->text), OBJECT_IF_ABSENT, NULL);
	return NULL;
}

static void one_of_many_wins_if_absent(void **state)
{
	Place *p = *state;
	ObjectStore *other = open_at(p->location);
	pthread_barrier_t start;
	pthread_t threads[16];
	Racer racers[16] = {0}, *winner = NULL;

	if (!p->if_absent) {
		object_close(other);
		skip();
	}
	pthread_barrier_init(&start, NULL, ARRAY_LEN(racers));
	for (size_t i = 0; i < ARRAY_LEN(racers); i++) {
		racers[i].store = i % 2 ? other : p->store;
		racers[i].start = &start;
		snprintf(racers[i].text, sizeof racers[i].text, "racer %zu", i);
		assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(racers); i++) {
		pthread_join(threads[i], NULL);
		if (racers[i].result == 0) {
			assert_null(winner);
			winner = &racers[i];
		} else {
			assert_int_equal(racers[i].result, -EEXIST);
		}
	}
	assert_non_null(winner);
	expect(p, "race/target", 0, 0, winner->text, strlen(winner->text));
	pthread_barrier_destroy(&start);
	object_close(other);
}

/* ---- listing ---- */

static void list_shows_names_with_a_prefix_in_order(void **state)
{
	Place *p = *state;
	static const char *const names[] = {"a-b/1", "a.b", "a/1", "a/2/x", "a/2.y", "a0", "b", "packs/00", "packs/01"};
	static const struct {
		const char *prefix;
		int n;
		const char *first, *last;
	} cases[] = {{"", 9, "a-b/1", "packs/01"}, {"a", 6, "a-b/1", "a0"},	{"a/", 3, "a/1", "a/2/x"},   {"a/2", 2, "a/2.y", "a/2/x"}, {"a/2/", 1, "a/2/x", "a/2/x"},
		     {"b", 1, "b", "b"},	   {"packs/0", 2, "packs/00", "packs/01"}, {"c", 0, NULL, NULL}, {"b/", 0, NULL, NULL},	   {"packs/00/", 0, NULL, NULL}};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		put(p, names[(i * 4) % ARRAY_LEN(names)], "12345", (i * 4) % ARRAY_LEN(names) % 5);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		Names list = list_of(p->store, cases[i].prefix);
		assert_int_equal(list.n, cases[i].n);
		if (list.n) {
			assert_string_equal(list.names[0], cases[i].first);
			assert_string_equal(list.names[list.n - 1], cases[i].last);
		}
		if (cases[i].n == 9)
			for (int k = 0; k < list.n; k++)
				assert_int_equal(list.sizes[k], strcmp(list.names[k], "a/1") == 0 ? 2 : strcmp(list.names[k], "b") == 0 ? 6 % 5 : list.sizes[k]);
		names_release(&list);
	}
}

static int stop_at_third(void *ctx, const char *name, uint64_t size, int64_t age)
{
	(void)name, (void)size, (void)age;
	return ++*(int *)ctx == 3 ? -12345 : 0;
}

static void list_stops_when_told(void **state)
{
	Place *p = *state;
	int calls = 0;
	char *err = NULL;

	for (int i = 0; i < 5; i++) {
		char name[16];
		snprintf(name, sizeof name, "n/%d", i);
		put(p, name, "", 0);
	}
	assert_int_equal(object_list(p->store, "", stop_at_third, &calls, &err), -12345);
	assert_null(err);
	assert_int_equal(calls, 3);
}

/* More than one page of a bucket, with requests under way side by side. For slow servers BVISOR_TEST_OBJECTS says how many (and BVISOR_S3_PAGE how many a page has). */
static void many_requests_at_once_and_a_long_list(void **state)
{
	Place *p = *state;
	const char *given = getenv("BVISOR_TEST_OBJECTS");
	const int N = p->remote && given ? (int)strtol(given, NULL, 10) : 1100;
	ObjectRequest *requests = calloc((size_t)N, sizeof *requests);
	char(*names)[16] = calloc((size_t)N, sizeof *names);
	struct iovec *in = calloc((size_t)N, sizeof *in);

	atomic_store(&under_way, N);
	atomic_store(&went_wrong, 0);
	for (int i = 0; i < N; i++) {
		snprintf(names[i], sizeof names[i], "many/%04d", i);
		in[i] = (struct iovec){names[i], strlen(names[i])};
		requests[i] = (ObjectRequest){.verb = OBJECT_PUT, .name = names[i], .in = &in[i], .n_in = 1, .done = count_down};
		object_submit(p->store, &requests[i]);
	}
	wait_for_all();
	Names list = list_of(p->store, "many/");
	assert_int_equal(list.n, N);
	names_release(&list);
	atomic_store(&under_way, N);
	for (int i = 0; i < N; i++) {
		object_request_release(&requests[i]);
		requests[i] = (ObjectRequest){.verb = OBJECT_GET, .name = names[i], .done = count_down};
		object_submit(p->store, &requests[i]);
	}
	wait_for_all();
	for (int i = 0; i < N; i++) {
		assert_int_equal(requests[i].n_body, 9);
		assert_memory_equal(requests[i].body, names[i], 9);
		object_request_release(&requests[i]);
	}
	free(requests);
	free(names);
	free(in);
}

/* ---- names, opening, closing ---- */

static void bad_names_are_refused(void **state)
{
	Place *p = *state;
	char longest[514], *err = NULL;
	static const char *const bad[] = {"", "/", "/a", "a/", "a//b", ".", "..", ".hidden", "a/.b", "a/../b", "a b", "a+b", "a%2fb", "a\\b", "a\nb", "\xc3\xa4", "a?b", "a:b", "a~"};
	uint64_t size;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(object_put(p->store, bad[i], "x", 1, 0, &err), -EINVAL);
		assert_int_equal(object_head(p->store, bad[i], &size, NULL), -EINVAL);
	}
	assert_non_null(err);
	for (size_t i = 0; i < sizeof longest - 1; i++)
		longest[i] = i % 100 == 99 ? '/' : 'n';
	longest[513] = 0;
	assert_int_equal(object_put(p->store, longest, "x", 1, 0, NULL), -EINVAL);
	longest[395] = 0;
	put(p, longest, "long", 4);
	expect(p, longest, 0, 0, "long", 4);
	put(p, "A-Za-z_0.9/x-", "dots", 4);
	expect(p, "A-Za-z_0.9/x-", 0, 0, "dots", 4);
	assert_int_equal(object_list(p->store, "../", collect, NULL, NULL), -EINVAL);
	free(err);
}

static void what_was_put_is_there_for_another_store(void **state)
{
	Place *p = *state;

	put(p, "kept", "content", 7);
	object_close(p->store);
	p->store = open_at(p->location);
	expect(p, "kept", 0, 0, "content", 7);
}

static void closing_answers_every_request(void **state)
{
	Place *p = *state;
	enum { N = 200 };
	ObjectRequest *requests = calloc(N, sizeof *requests);
	struct iovec in = {(void *)(uintptr_t) "text", 4};
	char(*names)[16] = calloc(N, sizeof *names);
	ObjectStore *other = open_at(p->location);
	int done = 0, canceled = 0;

	atomic_store(&under_way, N);
	for (int i = 0; i < N; i++) {
		snprintf(names[i], sizeof names[i], "close/%04d", i);
		requests[i] = (ObjectRequest){.verb = OBJECT_PUT, .name = names[i], .in = &in, .n_in = 1, .done = count_down};
		object_submit(other, &requests[i]);
	}
	object_close(other);
	assert_int_equal(atomic_load(&under_way), 0);
	for (int i = 0; i < N; i++) {
		done += requests[i].result == 0;
		canceled += requests[i].result == -ECANCELED;
		if (requests[i].result == 0)
			expect(p, names[i], 0, 0, "text", 4);
		object_request_release(&requests[i]);
	}
	assert_int_equal(done + canceled, N);
	Names list = list_of(p->store, "close/");
	assert_true(list.n >= done);
	for (int i = 0; i < list.n; i++)
		assert_int_equal(list.sizes[i], 4); /* whole or absent */
	names_release(&list);
	free(requests);
	free(names);
	object_close(NULL);
}

static void a_writer_that_waits_in_done_does_not_stop_others(void **state)
{
	Place *p = *state;
	CLEAN_FREE uint8_t *data = pattern(MIB, 5);

	for (int round = 0; round < 5; round++) {
		char name[16];
		snprintf(name, sizeof name, "seq/%d", round);
		put(p, name, data, MIB);
		expect(p, name, 0, 0, data, MIB);
	}
}

typedef struct Chain {
	ObjectStore *store;
	struct iovec in;
	int left;
	sem_t done;
} Chain;

/* Put, get, put, ... */
static void next_link(ObjectRequest *request)
{
	Chain *chain = request->user;

	if (request->result < 0 || --chain->left == 0) {
		sem_post(&chain->done);
		return;
	}
	object_request_release(request);
	request->verb = request->verb == OBJECT_PUT ? OBJECT_GET : OBJECT_PUT;
	object_submit(chain->store, request);
}

static void done_may_submit_the_next_request(void **state)
{
	Place *p = *state;
	Chain chain = {.store = p->store, .in = {(void *)(uintptr_t) "link", 4}, .left = 20};
	ObjectRequest request = {.verb = OBJECT_PUT, .name = "chain", .in = &chain.in, .n_in = 1, .done = next_link, .user = &chain};

	sem_init(&chain.done, 0, 0);
	object_submit(p->store, &request);
	while (sem_wait(&chain.done) < 0)
		;
	assert_int_equal(request.result, 0);
	assert_int_equal(chain.left, 0);
	assert_int_equal(request.n_body, 4); /* the last was a get */
	object_request_release(&request);
	sem_destroy(&chain.done);
}

#define TEST(f) {#f, f, setup, teardown, NULL}
static const struct CMUnitTest body[] = {
	TEST(what_was_put_is_read),
	TEST(a_put_gathers_its_pieces),
	TEST(a_put_replaces_what_is_there),
	TEST(ranges_are_cut_at_the_end_of_the_object),
	TEST(a_get_tells_the_size_of_the_whole_object),
	TEST(a_large_object_is_whole),
	TEST(a_missing_object_is_enoent_and_named),
	TEST(part_of_a_name_is_no_object),
	TEST(deleting_is_idempotent),
	TEST(if_absent_puts_only_once),
	TEST(if_absent_holds_for_large_objects),
	TEST(one_of_many_wins_if_absent),
	TEST(list_shows_names_with_a_prefix_in_order),
	TEST(list_stops_when_told),
	TEST(many_requests_at_once_and_a_long_list),
	TEST(bad_names_are_refused),
	TEST(what_was_put_is_there_for_another_store),
	TEST(closing_answers_every_request),
	TEST(done_may_submit_the_next_request),
	TEST(a_writer_that_waits_in_done_does_not_stop_others),
};

static int run_for(char *location)
{
	struct CMUnitTest tests[ARRAY_LEN(body)];
	CLEAN_FREE char *title = bv_asprintf("objects in %s", location ? location : "a directory");

	memcpy(tests, body, sizeof tests);
	for (size_t i = 0; i < ARRAY_LEN(tests); i++)
		tests[i].initial_state = location;
	return _cmocka_run_group_tests(title, tests, ARRAY_LEN(tests), NULL, NULL);
}

int main(void)
{
	const char *named = getenv("BVISOR_TEST_S3");
	CLEAN_FREE char *locations = strdup(named ? named : "");
	int failed = run_for(NULL);

	for (char *rest = locations, *one; (one = strsep(&rest, " "));)
		if (*one)
			failed += run_for(one);
	return failed;
}
