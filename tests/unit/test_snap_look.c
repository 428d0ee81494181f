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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_look_up_reads_a_piece_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
