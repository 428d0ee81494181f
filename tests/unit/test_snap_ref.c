/* tests/unit/test_snap_ref.c - names of snapshots: generations in order, whoever writes; the newest is found whatever the hint says. */
#include "tests/unit/snap_fixture.h"

#include "snapshot/log.h"

typedef struct Fixture {
	MemStore *mem;
	SnapStore *store;
	SnapId ids[3];
} Fixture;

static Fixture fixture(bool if_absent)
{
	Fixture f = {.mem = mem_new()};
	World world = {0};

	f.mem->no_if_absent = !if_absent;
	assert_int_equal(snap_store_open(&f.mem->base, NULL, &f.store, NULL), 0);
	for (size_t i = 0; i < 3; i++) {
		world.seeds[i] = i + 1;
		world.sizes[i] = 100;
		f.ids[i] = snap_take(f.store, &world, NULL, NULL);
	}
	return f;
}

static void fixture_end(Fixture *f)
{
	snap_store_close(f->store);
	object_close(&f->mem->base);
}

static void assert_newest(Fixture *f, const char *name, uint64_t number, const SnapId *id)
{
	SnapRef ref;
	char *err = NULL;

	if (snap_ref_read(f->store, name, 0, &ref, &err) < 0)
		fail_msg("%s", err);
	assert_true(ref.number == number);
	assert_true(id_equal(&ref.id, id));
	assert_string_equal(ref.name, name);
}

static void generations_count_up(void **state)
{
	for (int mode = 0; mode < 2; mode++) {
		Fixture f = fixture(mode);
		SnapRef ref;
		char *err = NULL;
		(void)state;
		assert_int_equal(snap_ref_read(f.store, "a", 0, &ref, &err), -ENOENT);
		assert_non_null(strstr(err, "\"a\""));
		free(err);
		err = NULL;
		assert_int_equal(snap_ref_append(f.store, "a", 0, &f.ids[0], NULL, NULL), 0);
		assert_int_equal(snap_ref_append(f.store, "a", 0, &f.ids[1], NULL, &err), -EEXIST);
		assert_non_null(strstr(err, "changed meanwhile"));
		free(err);
		assert_int_equal(snap_ref_append(f.store, "a", 1, &f.ids[1], &ref, NULL), 0);
		assert_int_equal(ref.number, 2);
		assert_int_equal(snap_ref_append(f.store, "a", UINT64_MAX, &f.ids[2], &ref, NULL), 0);
		assert_newest(&f, "a", 3, &f.ids[2]);
		assert_int_equal(snap_ref_read(f.store, "a", 2, &ref, NULL), 0);
		assert_true(id_equal(&ref.id, &f.ids[1]));
		fixture_end(&f);
	}
}

static void names_are_restricted(void **state)
{
	static const char *const wrong[] = {"", ".a", "a/b", "a b", "\303\244", "..", "%41"};
	char long_name[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(snap_ref_valid(wrong[i]), -EINVAL);
	memset(long_name, 'a', 129);
	long_name[129] = 0;
	assert_int_equal(snap_ref_valid(long_name), -EINVAL);
	long_name[128] = 0;
	assert_int_equal(snap_ref_valid(long_name), 0);
}

static void a_ref_needs_its_snapshot(void **state)
{
	Fixture f = fixture(true);
	SnapId none = {{1, 2, 3}};

	(void)state;
	assert_int_equal(snap_ref_append(f.store, "a", 0, &none, NULL, NULL), -ENOENT);
	fixture_end(&f);
}

static void the_newest_is_found_whatever_the_hint_says(void **state)
{
	static const char *const hints[] = {"0000000000000001\n", "0000000000000004\n", "0000000000000009\n", "rubbish", "0000000000000000\n", "zzzzzzzzzzzzzzzz\n"};
	Fixture f = fixture(true);

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(snap_ref_append(f.store, "a", i, &f.ids[i % 3], NULL, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(hints); i++) {
		assert_int_equal(kept_put(f.store, "refs/a/hint", hints[i], strlen(hints[i]), 0, NULL), 0);
		assert_newest(&f, "a", 4, &f.ids[0]);
	}
	assert_int_equal(kept_delete(f.store, "refs/a/hint", NULL), 0);
	assert_newest(&f, "a", 4, &f.ids[0]);
	/* Generations that were removed below an old hint. */
	assert_int_equal(snap_ref_delete(f.store, "a", 1, NULL), 0);
	assert_int_equal(snap_ref_delete(f.store, "a", 2, NULL), 0);
	assert_newest(&f, "a", 4, &f.ids[0]);
	assert_int_equal(kept_put(f.store, "refs/a/hint", "0000000000000001\n", 17, 0, NULL), 0);
	assert_newest(&f, "a", 4, &f.ids[0]);
	fixture_end(&f);
}

static void finding_the_newest_does_not_list(void **state)
{
	Fixture f = fixture(true);

	(void)state;
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(snap_ref_append(f.store, "a", i, &f.ids[0], NULL, NULL), 0);
	unsigned long lists = f.mem->lists, calls = f.mem->calls;
	assert_newest(&f, "a", 20, &f.ids[0]);
	assert_int_equal(f.mem->lists, lists);
	assert_int_equal(f.mem->calls - calls, 3); /* hint, 20, 21 */
	fixture_end(&f);
}

static void removing_keeps_what_the_name_means(void **state)
{
	Fixture f = fixture(true);
	SnapRef ref;

	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(snap_ref_append(f.store, "a", i, &f.ids[i], NULL, NULL), 0);
	assert_int_equal(snap_ref_append(f.store, "ab", 0, &f.ids[0], NULL, NULL), 0);
	assert_int_equal(snap_ref_delete(f.store, "a", 3, NULL), -EBUSY);
	assert_int_equal(snap_ref_delete(f.store, "a", 1, NULL), 0);
	assert_newest(&f, "a", 3, &f.ids[2]);
	assert_int_equal(snap_ref_delete(f.store, "a", 0, NULL), 0);
	assert_int_equal(snap_ref_read(f.store, "a", 0, &ref, NULL), -ENOENT);
	assert_int_equal(snap_ref_delete(f.store, "a", 0, NULL), -ENOENT);
	assert_newest(&f, "ab", 1, &f.ids[0]);
	assert_int_equal(snap_ref_append(f.store, "a", 0, &f.ids[1], NULL, NULL), 0);
	assert_newest(&f, "a", 1, &f.ids[1]);
	fixture_end(&f);
}

typedef struct Racer {
	Fixture *f;
	pthread_t thread;
	SnapStore *store;
	unsigned done;
} Racer;

static void *race(void *arg)
{
	Racer *racer = arg;

	for (unsigned i = 0; i < 20; i++)
	{
		char *err = NULL;
		int r = snap_ref_append(racer->store, "raced", UINT64_MAX, &racer->f->ids[i % 3], NULL, &err);
		if (r < 0)
			print_message("%d: %s\n", r, err);
		racer->done += r == 0;
		free(err);
	}
	return NULL;
}

static void racing_writers_take_different_numbers(void **state)
{
	Fixture f = fixture(true);
	Racer racers[4] = {{0}};
	SnapRef ref;
	unsigned total = 0;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		racers[i].f = &f;
		assert_int_equal(snap_store_open(&f.mem->base, NULL, &racers[i].store, NULL), 0);
		assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
	}
	for (size_t i = 0; i < 4; i++) {
		pthread_join(racers[i].thread, NULL);
		snap_store_close(racers[i].store);
		total += racers[i].done;
	}
	assert_int_equal(total, 80);
	assert_int_equal(snap_ref_read(f.store, "raced", 0, &ref, NULL), 0);
	assert_int_equal(ref.number, 80);
	fixture_end(&f);
}

static void without_atomic_puts_a_lease_keeps_others_out(void **state)
{
	Fixture f = fixture(false);
	char text[100], *err = NULL;
	int len = snprintf(text, sizeof text, "bvlease 1\ntoken %032d\nuntil %lld\n", 7, (long long)time(NULL) + 30);

	(void)state;
	assert_int_equal(kept_put(f.store, "refs/a/lease", text, (size_t)len, 0, NULL), 0);
	assert_int_equal(snap_ref_append(f.store, "a", 0, &f.ids[0], NULL, &err), -EBUSY);
	assert_non_null(strstr(err, "another writer's"));
	free(err);
	len = snprintf(text, sizeof text, "bvlease 1\ntoken %032d\nuntil %lld\n", 7, (long long)time(NULL) - 1);
	assert_int_equal(kept_put(f.store, "refs/a/lease", text, (size_t)len, 0, NULL), 0);
	assert_int_equal(snap_ref_append(f.store, "a", 0, &f.ids[0], NULL, NULL), 0);
	uint64_t size;
	assert_int_equal(kept_head(f.store, "refs/a/lease", &size, NULL), -ENOENT);
	fixture_end(&f);
}

static void one_ref_in_the_place_of_another_is_found_out(void **state)
{
	Fixture f = fixture(true);
	uint8_t *body;
	size_t n;
	SnapRef ref;
	char *err = NULL;

	(void)state;
	assert_int_equal(snap_ref_append(f.store, "a", 0, &f.ids[0], NULL, NULL), 0);
	assert_int_equal(snap_ref_append(f.store, "b", 0, &f.ids[1], NULL, NULL), 0);
	assert_int_equal(kept_get(f.store, "refs/a/0000000000000001", 0, 0, &body, &n, NULL, NULL), 0);
	assert_int_equal(kept_put(f.store, "refs/b/0000000000000001", body, n, 0, NULL), 0);
	free(body);
	assert_int_equal(snap_ref_read(f.store, "b", 0, &ref, &err), -EBADMSG);
	assert_non_null(strstr(err, "refs/b/"));
	free(err);
	fixture_end(&f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(generations_count_up),
		cmocka_unit_test(names_are_restricted),
		cmocka_unit_test(a_ref_needs_its_snapshot),
		cmocka_unit_test(the_newest_is_found_whatever_the_hint_says),
		cmocka_unit_test(finding_the_newest_does_not_list),
		cmocka_unit_test(removing_keeps_what_the_name_means),
		cmocka_unit_test(racing_writers_take_different_numbers),
		cmocka_unit_test(without_atomic_puts_a_lease_keeps_others_out),
		cmocka_unit_test(one_ref_in_the_place_of_another_is_found_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
