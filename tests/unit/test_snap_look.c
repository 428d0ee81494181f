/* tests/unit/test_snap_look.c - looking into snapshots fetches little: look-ups, two snapshots compared, a file compared with a content. */
#include "tests/unit/snap_fixture.h"

enum { RECORDS = 30000 };

/* Records without contents: value i is 40 bytes that begin with values[i]; 0: no such record. */
static SnapId take(SnapStore *s, const uint32_t values[RECORDS], const SnapId *parent)
{
	SnapWriterConfig config = {.parent = parent, .threads = 1};
	SnapWriter *w;
	SnapId id;

	assert_int_equal(snap_writer_begin(s, &config, &w, NULL), 0);
	for (uint32_t i = 0; i < RECORDS; i++) {
		char key[40], value[40] = "";
		size_t len = (size_t)snprintf(key, sizeof key, "record/%06u", i);
		memcpy(value, &values[i], 4);
		for (size_t k = 4; k < sizeof value; k++)
			value[k] = (char)hash_u64(i * 64 + k, 5);
		if (values[i])
			assert_int_equal(snap_writer_record(w, &(Record){.key = key, .key_len = len, .value = value, .value_len = sizeof value}), 0);
	}
	assert_int_equal(snap_writer_finish(w, NULL, 0, &id, NULL, NULL), 0);
	snap_writer_free(w);
	return id;
}

static SnapReader *open_reader(SnapStore *s, const SnapId *id)
{
	SnapReader *r;

	assert_int_equal(snap_reader_open(s, id, &r, NULL), 0);
	return r;
}

static void a_look_up_reads_a_piece_once(void **state)
{
	MemStore *mem = mem_new();
	uint32_t *values = calloc(RECORDS, sizeof *values);
	uint8_t *content, *value;
	size_t content_len, value_len;
	SnapStore *s;

	(void)state;
	assert_int_equal(snap_store_open(&mem->base, NULL, &s, NULL), 0);
	for (uint32_t i = 0; i < RECORDS; i++)
		values[i] = i + 1;
	SnapId id = take(s, values, NULL);
	SnapReader *r = open_reader(s, &id);
	uint64_t before = snap_store_traffic(s).received, first = 0;
	for (uint32_t i = 0; i < RECORDS; i += 7) {
		char key[40];
		size_t len = (size_t)snprintf(key, sizeof key, "record/%06u", i);
		uint32_t got;
		assert_int_equal(snap_reader_find(r, key, len, &content, &content_len, &value, &value_len, NULL), 0);
		memcpy(&got, value, 4);
		assert_int_equal(got, i + 1);
		free(content);
		free(value);
		if (i == 0)
			first = snap_store_traffic(s).received - before;
	}
	assert_true(first > 0 && first < 400000);
	/* All of it, and not more than once: a manifest of 1.5 MB that hardly compresses. */
	uint64_t all = snap_store_traffic(s).received - before;
	assert_true(all > 1000000 && all < 1600000);
	snap_reader_close(r);
	snap_store_close(s);
	object_close(&mem->base);
	free(values);
}

static void a_lost_pack_is_no_missing_record(void **state)
{
	MemStore *mem = mem_new();
	World world = {.seeds = {1}, .sizes = {50}};
	uint8_t *content, *value;
	size_t content_len, value_len;
	char *err = NULL;
	SnapStore *s;

	(void)state;
	assert_int_equal(snap_store_open(&mem->base, NULL, &s, NULL), 0);
	SnapId id = snap_take(s, &world, NULL, NULL);
	SnapReader *r = open_reader(s, &id);
	assert_int_equal(snap_reader_find(r, "file/0001", 9, &content, &content_len, &value, &value_len, NULL), -ENOENT);
	snap_reader_close(r);
	r = open_reader(s, &id);
	for (size_t i = 0; i < mem->n; i++)
		if (strncmp(mem->objects[i].name, "packs/", 6) == 0)
			mem->objects[i].name[6] = '!';
	assert_int_equal(snap_reader_find(r, "file/0000", 9, &content, &content_len, &value, &value_len, &err), -EBADMSG);
	assert_non_null(err);
	free(err);
	snap_reader_close(r);
	snap_store_close(s);
	object_close(&mem->base);
}

static int append(void *ctx, const void *data, size_t len)
{
	bytes_put(ctx, data, len);
	return 0;
}

typedef struct Contents {
	SnapReader *r;
	const World *world;
	size_t next, count;
} Contents;

/* Streams the content, and compares the file with it, with one that differs in one byte at any place, and with one that is longer. */
static int look_at(void *ctx, const Record *record)
{
	Contents *c = ctx;
	CLEAN_BYTES Bytes got = {0};

	while (!c->world->seeds[c->next])
		c->next++;
	size_t i = c->next++, size = c->world->sizes[i];
	CLEAN_FREE uint8_t *want = content_of(c->world->seeds[i], size, c->world->holes[i]);
	assert_int_equal(snap_reader_stream(c->r, record->content, record->content_len, append, &got, NULL), 0);
	assert_int_equal(got.len, size);
	assert_memory_equal(got.data ? (char *)got.data : "", want, size);
	for (unsigned dense = 0; dense < 2; dense++) {
		CLEAN_FD int fd = fd_of(c->world->seeds[i], size, dense ? 0 : c->world->holes[i]);
		if (dense)
			assert_int_equal(pwrite(fd, want, size, 0), (ssize_t)size);
		assert_int_equal(snap_reader_same(c->r, record->content, record->content_len, fd, NULL), 1);
		for (size_t at = 0; at < size; at += 1 + size / 5) {
			uint8_t byte = (uint8_t)(want[at] ^ 1);
			assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
			assert_int_equal(snap_reader_same(c->r, record->content, record->content_len, fd, NULL), 0);
			assert_int_equal(pwrite(fd, &want[at], 1, (off_t)at), 1);
		}
		assert_int_equal(snap_reader_same(c->r, record->content, record->content_len, fd, NULL), 1);
		assert_int_equal(ftruncate(fd, (off_t)size + 1), 0);
		assert_int_equal(snap_reader_same(c->r, record->content, record->content_len, fd, NULL), 0);
	}
	c->count++;
	return 0;
}

static void contents_are_streamed_and_compared(void **state)
{
	MemStore *mem = mem_new();
	SnapStore *s;

	(void)state;
	assert_int_equal(snap_store_open(&mem->base, NULL, &s, NULL), 0);
	/* Empty, in the record, one chunk, several, a hole in a small one, over several chunks, over all but the ends; a list of chunks that is one itself is 8 GiB. */
	World world = {.seeds = {1, 2, 3, 4, 5, 6, 7}, .sizes = {0, 60, 5000, 20000000, 30000, 12000000, 9000000}, .holes = {0, 0, 0, 0, 9000, 6000000, 5000000}};
	SnapId id = snap_take(s, &world, NULL, NULL);
	Contents c = {.r = open_reader(s, &id), .world = &world};
	assert_int_equal(snap_reader_walk(c.r, NULL, 0, look_at, &c, NULL), 0);
	assert_int_equal(c.count, 7);
	snap_reader_close(c.r);
	snap_store_close(s);
	object_close(&mem->base);
}

static void comparing_a_file_fetches_nothing(void **state)
{
	MemStore *mem = mem_new();
	World world = {.seeds = {1}, .sizes = {3000000}};
	uint8_t *content, *value;
	size_t content_len, value_len;
	SnapStore *s;

	(void)state;
	assert_int_equal(snap_store_open(&mem->base, NULL, &s, NULL), 0);
	SnapId id = snap_take(s, &world, NULL, NULL);
	SnapReader *r = open_reader(s, &id);
	assert_int_equal(snap_reader_find(r, "file/0000", 9, &content, &content_len, &value, &value_len, NULL), 0);
	SnapTraffic before = snap_store_traffic(s);
	CLEAN_FD int fd = fd_of(1, 3000000, 0);
	assert_int_equal(snap_reader_same(r, content, content_len, fd, NULL), 1);
	assert_int_equal(snap_store_traffic(s).gets, before.gets);
	content[content_len - 1] ^= 1;
	assert_true(snap_reader_same(r, content, content_len, fd, NULL) <= 0);
	free(content);
	free(value);
	snap_reader_close(r);
	snap_store_close(s);
	object_close(&mem->base);
}

typedef struct Seen {
	const uint32_t *before, *after;
	uint8_t seen[RECORDS];
	uint32_t last;
} Seen;

static int see(void *ctx, const Record *before, const Record *after)
{
	Seen *s = ctx;
	const Record *any = before ? before : after;
	char key[40];
	uint32_t value;

	assert_true(any->key_len < sizeof key);
	memcpy(key, any->key, any->key_len);
	key[any->key_len] = 0;
	uint32_t i = (uint32_t)strtoul(key + strlen("record/"), NULL, 10);
	assert_true(i < RECORDS && (i == 0 || i >= s->last) && !s->seen[i]);
	s->last = i + 1;
	s->seen[i] = 1;
	for (int side = 0; side < 2; side++) {
		const Record *r = side ? after : before;
		uint32_t expected = side ? s->after[i] : s->before[i];
		assert_int_equal(r != NULL, expected != 0);
		if (r) {
			memcpy(&value, r->value, 4);
			assert_int_equal(value, expected);
		}
	}
	return 0;
}

static void assert_diff(SnapStore *s, const uint32_t *before, const uint32_t *after, const SnapId *a, const SnapId *b)
{
	Seen *seen = calloc(1, sizeof *seen);
	SnapReader *x = open_reader(s, a), *y = open_reader(s, b);

	seen->before = before;
	seen->after = after;
	assert_int_equal(snap_reader_diff(x, y, see, seen, NULL), 0);
	for (uint32_t i = 0; i < RECORDS; i++)
		assert_int_equal(seen->seen[i], before[i] != after[i]);
	snap_reader_close(x);
	snap_reader_close(y);
	free(seen);
}

/* Some changed, added, removed: alone, in a row, all. */
static void two_snapshots_are_compared(void **state)
{
	MemStore *mem = mem_new();
	uint32_t *a = calloc(RECORDS, sizeof *a), *b = calloc(RECORDS, sizeof *b);
	uint64_t seed = 7;
	SnapStore *s;

	(void)state;
	assert_int_equal(snap_store_open(&mem->base, NULL, &s, NULL), 0);
	SnapId none = take(s, a, NULL);
	for (uint32_t i = 0; i < RECORDS; i++)
		a[i] = dice(&seed) % 4 ? i + 1 : 0;
	SnapId first = take(s, a, NULL);
	assert_diff(s, b, a, &none, &first);
	assert_diff(s, a, b, &first, &none);
	assert_diff(s, a, a, &first, &first);
	for (unsigned round = 0; round < 12; round++) {
		memcpy(b, a, RECORDS * sizeof *b);
		uint32_t n = round < 6 ? 1 + round * 3 : RECORDS / 3, at = (uint32_t)(dice(&seed) % RECORDS);
		for (uint32_t i = 0; i < n; i++) {
			at = round % 2 ? (at + 1) % RECORDS : (uint32_t)(dice(&seed) % RECORDS);
			b[at] = round % 3 == 0 ? 0 : round % 3 == 1 ? b[at] + 5 : (uint32_t)(dice(&seed) % 3);
		}
		SnapId second = take(s, b, &first);
		assert_diff(s, a, b, &first, &second);
		assert_diff(s, b, a, &second, &first);
	}
	snap_store_close(s);
	object_close(&mem->base);
	free(a);
	free(b);
}

static void comparing_reads_only_what_differs(void **state)
{
	MemStore *mem = mem_new();
	uint32_t *a = calloc(RECORDS, sizeof *a), *b = calloc(RECORDS, sizeof *b);
	SnapStore *s;

	(void)state;
	assert_int_equal(snap_store_open(&mem->base, NULL, &s, NULL), 0);
	for (uint32_t i = 0; i < RECORDS; i++)
		a[i] = b[i] = i + 1;
	b[12345] = 5;
	b[23456] = 0;
	SnapId first = take(s, a, NULL), second = take(s, b, &first);
	SnapReader *x = open_reader(s, &first), *y = open_reader(s, &second);
	Seen *seen = calloc(1, sizeof *seen);
	*seen = (Seen){.before = a, .after = b};
	uint64_t before = snap_store_traffic(s).received;
	assert_int_equal(snap_reader_diff(x, y, see, seen, NULL), 0);
	assert_true(seen->seen[12345] && seen->seen[23456]);
	/* Of each a root and two or three pieces; all would be 2.4 MB. */
	assert_true(snap_store_traffic(s).received - before < 900000);
	snap_reader_close(x);
	snap_reader_close(y);
	snap_store_close(s);
	object_close(&mem->base);
	free(a);
	free(b);
	free(seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_look_up_reads_a_piece_once),
		cmocka_unit_test(a_lost_pack_is_no_missing_record),
		cmocka_unit_test(contents_are_streamed_and_compared),
		cmocka_unit_test(comparing_a_file_fetches_nothing),
		cmocka_unit_test(two_snapshots_are_compared),
		cmocka_unit_test(comparing_reads_only_what_differs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
