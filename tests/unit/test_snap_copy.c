/* tests/unit/test_snap_copy.c - copies from one store into another, with any keys: the same snapshot, only what lacks is read and sent, and a failed request or a crash at any moment
 * leaves nothing half. */
#include "tests/unit/snap_fixture.h"

#include "snapshot/housekeeping.h"

typedef struct Side {
	MemStore *mem;
	SnapKey *key;
	SnapStore *store;
} Side;

static Side side(int master)
{
	uint8_t bytes[32] = {0};
	Side s = {.mem = mem_new()};

	s.mem->at_once = true;
	bytes[0] = (uint8_t)master;
	if (master)
		assert_int_equal(snap_key_new(bytes, &s.key), 0);
	assert_int_equal(snap_store_open(&s.mem->base, s.key, &s.store, NULL), 0);
	return s;
}

static void side_end(Side *s)
{
	snap_store_close(s->store);
	snap_key_free(s->key);
	object_close(&s->mem->base);
}

static World world_of(uint64_t seed)
{
	World world = {0};

	world_change(&world, 40, &seed);
	world.seeds[3] = 7; /* more than waits in memory, and with a hole */
	world.sizes[3] = 3000000;
	world.holes[3] = 500000;
	return world;
}

static SnapId copy(Side *from, const SnapId *id, Side *to, const SnapId *from_base, const SnapId *to_base, SnapProgress *progress)
{
	SnapCopyConfig config = {.from_base = from_base, .to_base = to_base};
	char *err = NULL;
	SnapId made;

	if (snap_copy(from->store, id, to->store, &config, &made, progress, &err) < 0)
		fail_msg("%s", err);
	return made;
}

static void assert_whole(Side *s)
{
	SnapCheckConfig config = {.read_data = true};
	SnapCheckResult result;

	assert_int_equal(snap_check(s->store, &config, &result, NULL), 0);
	assert_int_equal(result.damaged, 0);
}

static const int keys[][2] = {{0, 0}, {0, 1}, {1, 0}, {1, 1}, {1, 2}};

static void a_copy_is_the_same_snapshot(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		Side from = side(keys[i][0]), to = side(keys[i][1]);
		World world = world_of(3);
		SnapProgress progress;
		SnapInfo a, b;
		char origin[65], hex[65];
		const uint8_t *value;
		size_t n;
		SnapId id = snap_take(from.store, &world, NULL, "box"), made = copy(&from, &id, &to, NULL, NULL, &progress);

		assert_snap_equal(to.store, &made, &world);
		assert_int_equal(snap_ref_append(to.store, "box", 0, &made, NULL, NULL), 0);
		assert_whole(&to);
		assert_int_equal(snap_info_load(from.store, &id, &a, NULL), 0);
		assert_int_equal(snap_info_load(to.store, &made, &b, NULL), 0);
		assert_true(a.seconds == b.seconds && a.nanoseconds == b.nanoseconds);
		assert_true(a.totals.records == b.totals.records && a.totals.content_bytes == b.totals.content_bytes);
		assert_int_equal(snap_info_field(&b, "message", &value, &n), 0);
		assert_memory_equal(value, "hello", 5);
		id_hex(&id, hex);
		assert_int_equal(snap_origin(&a, origin), 0);
		assert_string_equal(origin, hex);
		assert_int_equal(snap_origin(&b, origin), 0);
		assert_string_equal(origin, hex);
		SnapId back = copy(&to, &made, &from, NULL, &id, &progress); /* a copy of a copy */
		snap_info_release(&a);
		assert_int_equal(snap_info_load(from.store, &back, &a, NULL), 0);
		assert_int_equal(snap_origin(&a, origin), 0);
		assert_string_equal(origin, hex);
		assert_snap_equal(from.store, &back, &world);
		snap_info_release(&a);
		snap_info_release(&b);
		side_end(&from);
		side_end(&to);
	}
}

static void only_what_lacks_is_read_and_sent(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		Side from = side(keys[i][0]), to = side(keys[i][1]);
		World world = world_of(3);
		SnapProgress first, second, third;
		SnapId id = snap_take(from.store, &world, NULL, "box"), made = copy(&from, &id, &to, NULL, NULL, &first);

		world.seeds[10] = 4711;
		world.sizes[10] = 5000;
		SnapId next = snap_take(from.store, &world, &id, "box"), made_next = copy(&from, &next, &to, &id, &made, &second);
		assert_snap_equal(to.store, &made_next, &world);
		assert_true(first.contents > 20 && first.content_bytes > 3000000);
		assert_int_equal(second.contents, 1);
		assert_int_equal(second.content_bytes, 5000);
		assert_true(second.sent < 50000);
		copy(&from, &next, &to, &next, &made_next, &third);
		assert_int_equal(third.contents, 0);
		side_end(&from);
		side_end(&to);
	}
}

/* Each request of either side fails: an error with a message, or the same snapshot. */
static void any_request_may_fail(void **state)
{
	(void)state;
	for (int which = 0; which < 2; which++) {
		Side from = side(0), to = side(1);
		World world = world_of(5);
		SnapId id = snap_take(from.store, &world, NULL, "box"), made;
		unsigned long failures = 0;
		for (unsigned long at = 1; at < 1000; at++) {
			MemStore *mem = which ? to.mem : from.mem;
			SnapCopyConfig config = {0};
			SnapProgress progress;
			char *err = NULL;
			mem->calls = 0;
			mem->fail_at = at;
			int r = snap_copy(from.store, &id, to.store, &config, &made, &progress, &err);
			mem->fail_at = 0;
			bool reached = mem->calls >= at;
			if (r == 0) {
				assert_snap_equal(to.store, &made, &world);
			} else {
				assert_non_null(err);
				failures++;
			}
			free(err);
			if (!reached)
				break;
		}
		assert_true(failures > 3);
		side_end(&from);
		side_end(&to);
	}
}

static void a_damaged_source_is_not_copied(void **state)
{
	Side from = side(0), to = side(0);
	World world = world_of(5);
	SnapId id = snap_take(from.store, &world, NULL, "box"), made;
	SnapCopyConfig config = {0};
	SnapProgress progress;

	(void)state;
	for (size_t i = 0; i < from.mem->n; i++) {
		MemObject *o = &from.mem->objects[i];
		if (strncmp(o->name, "packs/", 6) != 0)
			continue;
		char *err = NULL;
		size_t at = o->size / 3;
		o->data[at] ^= 0x20;
		assert_int_equal(snap_copy(from.store, &id, to.store, &config, &made, &progress, &err), -EBADMSG);
		assert_non_null(strstr(err, "damaged"));
		free(err);
		o->data[at] ^= 0x20;
	}
	bool found;
	size_t first = mem_find(to.mem, "snapshots/", &found);
	assert_true(first == to.mem->n || strncmp(to.mem->objects[first].name, "snapshots/", 10) != 0);
	side_end(&from);
	side_end(&to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_copy_is_the_same_snapshot), cmocka_unit_test(only_what_lacks_is_read_and_sent), cmocka_unit_test(any_request_may_fail),
					   cmocka_unit_test(a_damaged_source_is_not_copied)};

	return cmocka_run_group_tests_name("copies between stores", tests, NULL, NULL);
}
