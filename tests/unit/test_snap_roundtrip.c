/* tests/unit/test_snap_roundtrip.c - what was snapshotted is read back: random sandboxes, every size, holes, keys; and what is known already is not sent again. */
#include "tests/unit/snap_fixture.h"

#include "snapshot/chunker.h"
#include "snapshot/content.h"

static const uint8_t master[32] = {9, 9, 9};

typedef struct Fixture {
	MemStore *mem;
	SnapStore *store;
	SnapKey *key;
} Fixture;

static Fixture fixture(bool encrypted)
{
	Fixture f = {.mem = mem_new()};

	if (encrypted)
		assert_int_equal(snap_key_new(master, &f.key), 0);
	assert_int_equal(snap_store_open(&f.mem->base, f.key, &f.store, NULL), 0);
	return f;
}

static void fixture_end(Fixture *f)
{
	snap_store_close(f->store);
	object_close(&f->mem->base);
	snap_key_free(f->key);
}

static void random_sandboxes(bool encrypted, uint64_t seed)
{
	Fixture f = fixture(encrypted);
	enum { ROUNDS = 6 };
	World worlds[ROUNDS] = {0};
	SnapId ids[ROUNDS];

	for (size_t i = 0; i < ROUNDS; i++) {
		if (i)
			worlds[i] = worlds[i - 1];
		world_change(&worlds[i], i ? 5 : 150, &seed);
		ids[i] = snap_take(f.store, &worlds[i], i ? &ids[i - 1] : NULL, "box");
	}
	for (size_t i = 0; i < ROUNDS; i++) {
		SnapRef ref;
		assert_snap_equal(f.store, &ids[i], &worlds[i]);
		assert_int_equal(snap_ref_read(f.store, "box", i + 1, &ref, NULL), 0);
		assert_true(id_equal(&ref.id, &ids[i]));
	}
	fixture_end(&f);
}

static void random_sandboxes_are_read_back(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		random_sandboxes(false, seed);
		random_sandboxes(true, seed + 100);
	}
}

static void an_empty_sandbox_is_a_snapshot_too(void **state)
{
	Fixture f = fixture(false);
	World none = {0};

	(void)state;
	SnapId id = snap_take(f.store, &none, NULL, "empty");
	assert_snap_equal(f.store, &id, &none);
	fixture_end(&f);
}

static void fields_are_kept(void **state)
{
	Fixture f = fixture(false);
	World none = {0};
	SnapInfo info;
	const uint8_t *value;
	size_t len;

	(void)state;
	SnapId first = snap_take(f.store, &none, NULL, NULL), id = snap_take(f.store, &none, &first, NULL);
	assert_int_equal(snap_info_load(f.store, &id, &info, NULL), 0);
	assert_true(info.has_parent);
	assert_true(id_equal(&info.parent, &first));
	assert_true(info.seconds > 1000000000);
	assert_int_equal(snap_info_field(&info, "message", &value, &len), 0);
	assert_int_equal(len, 5);
	assert_memory_equal(value, "hello", 5);
	assert_int_equal(snap_info_field(&info, "other", &value, &len), -ENOENT);
	snap_info_release(&info);
	fixture_end(&f);
}

static void nothing_new_sends_three_small_objects(void **state)
{
	Fixture f = fixture(false);
	World world = {0};
	uint64_t seed = 5;

	(void)state;
	world_change(&world, 200, &seed);
	SnapId first = snap_take(f.store, &world, NULL, "box");
	unsigned long puts = f.mem->puts;
	uint64_t bytes = f.mem->bytes_in;
	SnapId second = snap_take(f.store, &world, &first, "box");
	assert_int_equal(f.mem->puts - puts, 3); /* snapshot, ref, hint */
	assert_true(f.mem->bytes_in - bytes < 2000);
	assert_snap_equal(f.store, &second, &world);
	fixture_end(&f);
}

/* Writes a file of one size with holes at random and reads it back. */
static void large_file(SnapStore *s, uint64_t size, unsigned holes, uint64_t seed)
{
	int fd = memfd_create("large", MFD_CLOEXEC), back = memfd_create("back", MFD_CLOEXEC);
	SnapWriterConfig config = {.threads = 2};
	CLEAN_FREE uint8_t *all = calloc(1, size + 1), *got = calloc(1, size + 1);
	SnapWriter *w;
	uint64_t number, said;
	const uint8_t *ref;
	char *err = NULL;
	SnapReader *r;
	size_t len;
	SnapId id;

	for (uint64_t at = 0; at < size;) {
		uint64_t n = holes ? size / holes / 2 + dice(&seed) % (size / holes) : size;
		n = MIN(n, size - at);
		if (!holes || dice(&seed) % 2) {
			for (uint64_t i = 0; i < n; i++)
				all[at + i] = (uint8_t)(i % 100 < 50 ? dice(&seed) : 7);
			assert_int_equal(pwrite(fd, all + at, n, (off_t)at), (ssize_t)n);
		}
		at += n;
	}
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(snap_writer_begin(s, &config, &w, &err), 0);
	assert_int_equal(snap_writer_add_fd(w, fd, &number), 0);
	assert_int_equal(snap_writer_content(w, number, &ref, &len), 0);
	assert_true(len <= CONTENT_REF_MAX + 100);
	assert_int_equal(snap_content_size(ref, len, &said), 0);
	assert_true(said == size);
	assert_int_equal(snap_writer_record(w, &(Record){.key = "k", .key_len = 1, .content = ref, .content_len = len}), 0);
	if (snap_writer_finish(w, NULL, 0, &id, NULL, &err) < 0)
		fail_msg("%s", err);
	assert_int_equal(snap_reader_open(s, &id, &r, &err), 0);
	if (snap_reader_fetch_fd(r, ref, len, back, &err) < 0)
		fail_msg("%s", err);
	struct stat st;
	assert_int_equal(fstat(back, &st), 0);
	assert_int_equal(st.st_size, size);
	assert_int_equal(pread(back, got, size, 0), (ssize_t)size);
	assert_memory_equal(all, got, size);
	for (int i = 0; i < 40; i++) {
		uint64_t from = dice(&seed) % (size + 10), length = dice(&seed) % (i % 2 ? 1000 : size + 1);
		uint8_t *part;
		size_t n;
		assert_int_equal(snap_reader_fetch_range(r, ref, len, from, length, &part, &n, &err), 0);
		assert_int_equal(n, from >= size ? 0 : MIN(length, size - from));
		assert_memory_equal(part, all + MIN(from, size), n);
		free(part);
	}
	snap_writer_free(w);
	snap_reader_close(r);
	close(back);
}

static void files_of_every_size_and_shape_are_read_back(void **state)
{
	static const uint64_t sizes[] = {0, 1, CONTENT_INLINE, CONTENT_INLINE + 1, 4096, CHUNK_WHOLE, CHUNK_WHOLE + 1, 5000000, 30000000};
	Fixture f = fixture(false);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		large_file(f.store, sizes[i], 0, i + 1);
		if (sizes[i] > 4096)
			large_file(f.store, sizes[i], 9, i + 50);
	}
	large_file(f.store, 20000000, 1200, 3); /* so many holes that they go into a list */
	fixture_end(&f);
}

static void holes_stay_holes(void **state)
{
	Fixture f = fixture(false);
	int fd = memfd_create("sparse", MFD_CLOEXEC), back = memfd_create("back", MFD_CLOEXEC);
	SnapWriterConfig config = {.threads = 2};
	SnapWriter *w;
	const uint8_t *ref;
	uint64_t number;
	size_t len;
	SnapId id;
	SnapReader *r;
	struct stat st;

	(void)state;
	assert_int_equal(ftruncate(fd, 1LL << 40), 0);
	assert_int_equal(pwrite(fd, "end", 3, (1LL << 40) - 3), 3);
	assert_int_equal(snap_writer_begin(f.store, &config, &w, NULL), 0);
	assert_int_equal(snap_writer_add_fd(w, fd, &number), 0);
	assert_int_equal(snap_writer_content(w, number, &ref, &len), 0);
	assert_int_equal(snap_writer_finish(w, NULL, 0, &id, NULL, NULL), 0);
	assert_int_equal(snap_reader_open(f.store, &id, &r, NULL), 0);
	assert_int_equal(snap_reader_fetch_fd(r, ref, len, back, NULL), 0);
	assert_int_equal(fstat(back, &st), 0);
	assert_true(st.st_size == 1LL << 40);
	assert_true(st.st_blocks * 512 < 1 << 20);
	char end[3];
	assert_int_equal(pread(back, end, 3, (1LL << 40) - 3), 3);
	assert_memory_equal(end, "end", 3);
	close(back);
	snap_writer_free(w);
	snap_reader_close(r);
	fixture_end(&f);
}

static SnapId many_records(SnapStore *s, const SnapId *parent, unsigned changed)
{
	SnapWriterConfig config = {.parent = parent};
	SnapWriter *w;
	SnapId id;

	assert_int_equal(snap_writer_begin(s, &config, &w, NULL), 0);
	for (unsigned i = 0; i < 100000; i++) {
		char key[30], value[100];
		int len = snprintf(key, sizeof key, "d%08uname%06u", i / 50, i);
		memset(value, 'v', sizeof value);
		snprintf(value, sizeof value, "%064x", i * 2654435761u + (i == changed));
		assert_int_equal(snap_writer_record(w, &(Record){.key = key, .key_len = (size_t)len, .value = value, .value_len = 80}), 0);
	}
	assert_int_equal(snap_writer_finish(w, "many", UINT64_MAX, &id, NULL, NULL), 0);
	snap_writer_free(w);
	return id;
}

static void one_change_in_a_large_manifest_sends_little(void **state)
{
	Fixture f = fixture(false);

	(void)state;
	SnapId first = many_records(f.store, NULL, UINT32_MAX);
	uint64_t whole = f.mem->bytes_in;
	many_records(f.store, &first, 77777);
	print_message("%llu bytes, then %llu\n", (unsigned long long)whole, (unsigned long long)(f.mem->bytes_in - whole));
	assert_true(f.mem->bytes_in - whole < 100000);
	fixture_end(&f);
}

static void the_same_again_is_another_object(void **state)
{
	Fixture f = fixture(false);
	World world = {.seeds = {3}, .sizes = {1000}};
	size_t packs, indexes;

	(void)state;
	snap_take(f.store, &world, NULL, NULL);
	snap_take(f.store, &world, NULL, NULL);
	mem_bytes(f.mem, "packs/", &packs);
	mem_bytes(f.mem, "index/", &indexes);
	assert_int_equal(packs, 2); /* or a collector that is about to remove the first one would take it away */
	assert_int_equal(indexes, 2);
	fixture_end(&f);
}

static void keys_must_rise(void **state)
{
	Fixture f = fixture(false);
	SnapWriterConfig config = {.threads = 1};
	SnapWriter *w;

	(void)state;
	assert_int_equal(snap_writer_begin(f.store, &config, &w, NULL), 0);
	assert_int_equal(snap_writer_record(w, &(Record){.key = "b", .key_len = 1}), 0);
	assert_int_equal(snap_writer_record(w, &(Record){.key = "b", .key_len = 1}), -EINVAL);
	assert_int_equal(snap_writer_record(w, &(Record){.key = "a", .key_len = 1}), -EINVAL);
	assert_int_equal(snap_writer_record(w, &(Record){.key = "", .key_len = 0}), -EINVAL);
	assert_int_equal(snap_writer_record(w, &(Record){.key = "ba", .key_len = 2, .content = "\7", .content_len = 1}), -EINVAL);
	assert_int_equal(snap_writer_record(w, &(Record){.key = "ba", .key_len = 2}), 0);
	snap_writer_free(w);
	fixture_end(&f);
}

static void what_is_kept_need_not_be_read_again(void **state)
{
	Fixture f = fixture(false);
	World world = {0};
	uint64_t seed = 8;
	SnapWriter *w;
	uint8_t *content, *value;
	size_t content_len, value_len;
	SnapReader *r;

	(void)state;
	world_change(&world, 200, &seed);
	SnapId first = snap_take(f.store, &world, NULL, NULL);
	SnapWriterConfig config = {.threads = 1, .parent = &first};
	assert_int_equal(snap_writer_begin(f.store, &config, &w, NULL), 0);
	assert_int_equal(snap_reader_open(f.store, &first, &r, NULL), 0);
	for (size_t i = 0; i < FILES; i++) {
		char key[40];
		size_t len = key_of(i, key);
		if (!world.seeds[i])
			continue;
		assert_int_equal(snap_reader_find(r, key, len, &content, &content_len, &value, &value_len, NULL), 0);
		assert_int_equal(snap_writer_keep(w, content, content_len), 1);
		if (content[0] == CONTENT_IS_CHUNKS) {
			content[content_len - 10] ^= 1;
			assert_true(snap_writer_keep(w, content, content_len) <= 0);
		}
		free(content);
		free(value);
	}
	assert_int_equal(snap_reader_find(r, "nothing", 7, &content, &content_len, &value, &value_len, NULL), -ENOENT);
	snap_reader_close(r);
	snap_writer_free(w);
	fixture_end(&f);
}

static void the_wrong_key_is_told(void **state)
{
	Fixture f = fixture(true);
	World world = {.seeds = {1}, .sizes = {5000}};
	SnapStore *none;
	char *err = NULL;

	(void)state;
	SnapId id = snap_take(f.store, &world, NULL, NULL);
	assert_int_equal(snap_store_open(&f.mem->base, NULL, &none, NULL), 0);
	assert_int_equal(snap_compare(none, &id, &world, &err), -ENOKEY);
	assert_non_null(strstr(err, "encrypted"));
	free(err);
	snap_store_close(none);
	fixture_end(&f);
}

static void a_passphrase_opens_its_key(void **state)
{
	Fixture f = fixture(false);
	World world = {.seeds = {1, 2}, .sizes = {5000, 70}};
	SnapKey *key, *again, *second;
	SnapStore *s;
	char *err = NULL;

	(void)state;
	assert_int_equal(snap_key_open(&f.mem->base, "secret", &key, &err), -ENOENT);
	free(TAKE_PTR(err));
	assert_int_equal(snap_key_create(&f.mem->base, "secret", &key, NULL), 0);
	assert_int_equal(snap_key_create(&f.mem->base, "other", &second, NULL), 0);
	assert_int_equal(snap_store_open(&f.mem->base, key, &s, NULL), 0);
	SnapId id = snap_take(s, &world, NULL, "box");
	snap_store_close(s);
	assert_int_equal(snap_key_open(&f.mem->base, "wrong", &again, &err), -ENOKEY);
	assert_non_null(strstr(err, "passphrase"));
	assert_null(strstr(err, "wrong"));
	free(err);
	assert_int_equal(snap_key_open(&f.mem->base, "secret", &again, NULL), 0);
	assert_memory_equal(snap_key_id(key), snap_key_id(again), KEY_ID_SIZE);
	assert_int_equal(snap_store_open(&f.mem->base, again, &s, NULL), 0);
	assert_snap_equal(s, &id, &world);
	snap_store_close(s);
	snap_key_free(key);
	snap_key_free(again);
	snap_key_free(second);
	fixture_end(&f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_sandboxes_are_read_back),
		cmocka_unit_test(an_empty_sandbox_is_a_snapshot_too),
		cmocka_unit_test(fields_are_kept),
		cmocka_unit_test(nothing_new_sends_three_small_objects),
		cmocka_unit_test(files_of_every_size_and_shape_are_read_back),
		cmocka_unit_test(holes_stay_holes),
		cmocka_unit_test(one_change_in_a_large_manifest_sends_little),
		cmocka_unit_test(the_same_again_is_another_object),
		cmocka_unit_test(keys_must_rise),
		cmocka_unit_test(what_is_kept_need_not_be_read_again),
		cmocka_unit_test(the_wrong_key_is_told),
		cmocka_unit_test(a_passphrase_opens_its_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
