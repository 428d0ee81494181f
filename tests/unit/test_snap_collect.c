/* tests/unit/test_snap_collect.c - collection: what nobody needs goes, in two rounds; what a ref leads to, or a writer is about to publish, never does. */
#include "tests/unit/snap_fixture.h"

#include "snapshot/housekeeping.h"
#include "snapshot/writer.h"

typedef struct Fixture {
	MemStore *mem;
	SnapStore *store;
} Fixture;

static Fixture fixture(void)
{
	Fixture f = {.mem = mem_new()};

	f.mem->at_once = true;
	assert_int_equal(snap_store_open(&f.mem->base, NULL, &f.store, NULL), 0);
	return f;
}

static void fixture_end(Fixture *f)
{
	snap_store_close(f->store);
	object_close(&f->mem->base);
}

static void fresh_store(Fixture *f)
{
	snap_store_close(f->store);
	assert_int_equal(snap_store_open(&f->mem->base, NULL, &f->store, NULL), 0);
}

static SnapCollectResult collect(Fixture *f)
{
	SnapCollectConfig config = {0};
	SnapCollectResult result;
	char *err = NULL;

	if (snap_collect(f->store, &config, &result, &err) < 0)
		fail_msg("%s", err);
	return result;
}

static void is_clean(Fixture *f)
{
	SnapCheckConfig config = {.read_data = true};
	SnapCheckResult result;
	char *err = NULL;

	if (snap_check(f->store, &config, &result, &err) < 0)
		fail_msg("%s", err);
	assert_int_equal(result.damaged, 0);
}

static World world_of(uint64_t seed, unsigned files)
{
	World world = {0};

	world_change(&world, files, &seed);
	return world;
}

static size_t count(const Fixture *f, const char *prefix)
{
	size_t n;

	mem_bytes(f->mem, prefix, &n);
	return n;
}

static void what_no_ref_leads_to_goes_in_rounds(void **state)
{
	Fixture f = fixture();
	World a = world_of(1, 50), b = world_of(2, 50);

	(void)state;
	SnapId kept = snap_take(f.store, &a, NULL, "kept");
	snap_take(f.store, &b, NULL, "gone");
	assert_int_equal(snap_ref_delete(f.store, "gone", 0, NULL), 0);
	assert_int_equal(collect(&f).condemned, 0); /* all is young */
	f.mem->now += SNAP_GRACE;
	SnapCollectResult result = collect(&f);
	assert_int_equal(result.condemned, 1); /* the snapshot; what it leads to is needed as long as somebody could name it again */
	assert_int_equal(result.removed, 0);
	result = collect(&f);
	assert_int_equal(result.condemned, 2); /* index, pack */
	f.mem->now += SNAP_GRACE - 1;
	assert_int_equal(collect(&f).removed, 0);
	f.mem->now += 1;
	result = collect(&f);
	assert_int_equal(result.removed, 3);
	assert_true(result.removed_bytes > 1000);
	assert_int_equal(count(&f, "packs/"), 1);
	assert_int_equal(count(&f, "snapshots/"), 1);
	assert_int_equal(count(&f, "index/"), 1);
	assert_snap_equal(f.store, &kept, &a);
	is_clean(&f);
	collect(&f); /* nothing lists the pack any more: its name is forgotten */
	unsigned long puts = f.mem->puts;
	result = collect(&f);
	assert_int_equal(result.removed + result.condemned, 0);
	assert_int_equal(f.mem->puts, puts); /* nothing new to say */
	fixture_end(&f);
}

static void a_dry_run_changes_nothing(void **state)
{
	Fixture f = fixture();
	World a = world_of(1, 50);
	SnapCollectConfig config = {.dry_run = true};
	SnapCollectResult result;

	(void)state;
	snap_take(f.store, &a, NULL, NULL);
	f.mem->now += 2 * SNAP_GRACE;
	unsigned long puts = f.mem->puts;
	assert_int_equal(snap_collect(f.store, &config, &result, NULL), 0);
	assert_int_equal(result.condemned, 1);
	assert_int_equal(f.mem->puts, puts);
	fixture_end(&f);
}

static void a_short_grace_is_refused_but_when_alone(void **state)
{
	Fixture f = fixture();
	World a = world_of(1, 50);
	SnapCollectConfig config = {.grace = 60};
	SnapCollectResult result;
	char *err = NULL;

	(void)state;
	snap_take(f.store, &a, NULL, NULL);
	assert_int_equal(snap_collect(f.store, &config, &result, &err), -EINVAL);
	assert_non_null(strstr(err, "grace period"));
	free(err);
	config = (SnapCollectConfig){.alone = true};
	for (int i = 0; i < 3; i++)
		assert_int_equal(snap_collect(f.store, &config, &result, NULL), 0);
	assert_int_equal(count(&f, "packs/"), 0);
	fixture_end(&f);
}

/* A chain in which most of the first pack is dead at the end. */
static void packs_that_are_mostly_dead_are_written_anew(void **state)
{
	Fixture f = fixture();
	World first = world_of(1, 150), last = first;
	uint64_t seed = 9;

	(void)state;
	SnapId a = snap_take(f.store, &first, NULL, "old");
	for (size_t i = 0; i < FILES; i++)
		if (i % 5)
			last.seeds[i] = 0;
	SnapId b = snap_take(f.store, &last, &a, "new");
	assert_int_equal(snap_ref_delete(f.store, "old", 0, NULL), 0);
	size_t packs;
	uint64_t before = mem_bytes(f.mem, "packs/", &packs);
	f.mem->now += SNAP_GRACE;
	collect(&f);
	SnapCollectResult result = collect(&f);
	assert_int_equal(result.repacked, 1);
	assert_true(result.moved_bytes > 0);
	assert_snap_equal(f.store, &b, &last);
	is_clean(&f);
	/* Before the old pack goes, and after. */
	World next = last;
	world_change(&next, 3, &seed);
	SnapId c = snap_take(f.store, &next, &b, "new");
	f.mem->now += SNAP_GRACE;
	assert_true(collect(&f).removed > 0);
	fresh_store(&f);
	assert_true(mem_bytes(f.mem, "packs/", &packs) < before * 7 / 10);
	assert_snap_equal(f.store, &b, &last);
	assert_snap_equal(f.store, &c, &next);
	World after = next;
	world_change(&after, 3, &seed);
	uint64_t sent = f.mem->bytes_in;
	SnapId d = snap_take(f.store, &after, &b, "new"); /* what was moved is found by writers, too */
	assert_true(f.mem->bytes_in - sent < before / 2);
	fresh_store(&f);
	assert_snap_equal(f.store, &d, &after);
	is_clean(&f);
	for (int i = 0; i < 4; i++) {
		f.mem->now += SNAP_GRACE;
		collect(&f);
		assert_snap_equal(f.store, &b, &last);
		assert_snap_equal(f.store, &d, &after);
		is_clean(&f);
	}
	fixture_end(&f);
}

/* The parent's index lists a pack of which no snapshot needs anything: it goes, and what it held is stored again when it comes back. */
static void what_an_index_lists_in_vain_is_not_shared(void **state)
{
	Fixture f = fixture();
	World first = {.seeds = {5}, .sizes = {50000}}, second = {.seeds = {6}, .sizes = {50000}};

	(void)state;
	SnapId a = snap_take(f.store, &first, NULL, "a"), b = snap_take(f.store, &second, &a, "b");
	assert_int_equal(snap_ref_delete(f.store, "a", 0, NULL), 0);
	for (uint32_t i = 0; i < 8; i++) { /* there is always something else to say */
		World other = {.seeds = {7}, .sizes = {60000 + i}};
		snap_take(f.store, &other, NULL, NULL);
		f.mem->now += SNAP_GRACE;
		collect(&f);
	}
	assert_true(count(&f, "packs/") <= 4); /* b, and the others that are on their way */
	SnapId c = snap_take(f.store, &first, &b, "c");
	fresh_store(&f);
	assert_snap_equal(f.store, &c, &first);
	is_clean(&f);
	fixture_end(&f);
}

static void what_was_moved_is_moved_again(void **state)
{
	Fixture f = fixture();
	World world = world_of(1, 200);
	uint64_t repacked = 0;

	(void)state;
	SnapId id = snap_take(f.store, &world, NULL, "a");
	for (unsigned every = 2; every < 20; every += 3) {
		for (size_t i = 0; i < FILES; i++)
			if (i % every)
				world.seeds[i] = 0;
		id = snap_take(f.store, &world, &id, "b");
		assert_int_equal(snap_ref_delete(f.store, every == 2 ? "a" : "c", 0, NULL), 0);
		assert_int_equal(snap_ref_append(f.store, "c", 0, &id, NULL, NULL), 0);
		assert_int_equal(snap_ref_delete(f.store, "b", 0, NULL), 0);
		for (int i = 0; i < 3; i++) {
			f.mem->now += SNAP_GRACE;
			repacked += collect(&f).repacked;
			fresh_store(&f);
			assert_snap_equal(f.store, &id, &world);
			is_clean(&f);
		}
	}
	print_message("%d packs were written anew\n", (int)repacked);
	assert_true(repacked >= 2);
	fixture_end(&f);
}

static void a_writer_does_not_share_what_is_condemned(void **state)
{
	Fixture f = fixture();
	World a = world_of(1, 50);
	SnapRef ref;
	char *err = NULL;

	(void)state;
	SnapId old = snap_take(f.store, &a, NULL, NULL);
	f.mem->now += SNAP_GRACE;
	assert_int_equal(collect(&f).condemned, 1);
	assert_int_equal(collect(&f).condemned, 2);
	/* A fork of it is refused; a writer that has it as parent stores all again. */
	assert_int_equal(snap_ref_append(f.store, "fork", 0, &old, &ref, &err), -ESTALE);
	assert_non_null(strstr(err, "will be removed"));
	free(err);
	SnapId fresh = snap_take(f.store, &a, &old, "fresh");
	f.mem->now += SNAP_GRACE;
	collect(&f);
	fresh_store(&f);
	assert_snap_equal(f.store, &fresh, &a);
	is_clean(&f);
	fixture_end(&f);
}

static void what_a_writer_shares_survives_if_it_is_quick(void **state)
{
	Fixture f = fixture();
	World a = world_of(1, 50), b = a;
	SnapWriterConfig config = {.threads = 2};
	uint64_t seed = 4, numbers[FILES];
	SnapWriter *w;
	SnapId id;
	char *err = NULL;

	(void)state;
	SnapId old = snap_take(f.store, &a, NULL, "a");
	world_change(&b, 3, &seed);
	f.mem->now += SNAP_GRACE;
	config.parent = &old;
	assert_int_equal(snap_writer_begin(f.store, &config, &w, NULL), 0);
	assert_int_equal(snap_ref_delete(f.store, "a", 0, NULL), 0);
	assert_int_equal(collect(&f).condemned, 1); /* right after the writer looked */
	assert_int_equal(collect(&f).condemned, 2);
	for (size_t i = 0; i < FILES; i++)
		if (b.seeds[i])
			assert_int_equal(snap_writer_add_fd(w, fd_of(b.seeds[i], b.sizes[i], b.holes[i]), &numbers[i]), 0);
	for (size_t i = 0; i < FILES; i++) {
		const uint8_t *content;
		size_t len;
		char key[40];
		if (!b.seeds[i])
			continue;
		assert_int_equal(snap_writer_content(w, numbers[i], &content, &len), 0);
		Record record = {.key = key, .key_len = key_of(i, key), .content = content, .content_len = len, .value = &b.seeds[i], .value_len = 8};
		assert_int_equal(snap_writer_record(w, &record), 0);
	}
	f.mem->now += SNAP_GRACE / 2;
	assert_int_equal(snap_writer_finish(w, "b", 0, &id, NULL, &err), 0);
	snap_writer_free(w);
	for (int i = 0; i < 3; i++) {
		f.mem->now += SNAP_GRACE / 2;
		collect(&f);
		fresh_store(&f);
		assert_snap_equal(f.store, &id, &b);
		is_clean(&f);
	}
	fixture_end(&f);
}

static void a_slow_writer_looks_again_and_gives_up(void **state)
{
	Fixture f = fixture();
	World a = world_of(1, 50);
	SnapWriterConfig config = {.threads = 2};
	SnapWriter *w;
	SnapId id;
	char *err = NULL;

	(void)state;
	SnapId old = snap_take(f.store, &a, NULL, "a");
	f.mem->now += SNAP_GRACE;
	config.parent = &old;
	assert_int_equal(snap_writer_begin(f.store, &config, &w, NULL), 0);
	assert_int_equal(snap_ref_delete(f.store, "a", 0, NULL), 0);
	for (int i = 0; i < 5; i++) { /* it is removed already */
		collect(&f);
		f.mem->now += SNAP_GRACE;
	}
	assert_int_equal(count(&f, "packs/"), 0);
	w->checked -= 3 * SNAP_GRACE;
	assert_int_equal(snap_writer_finish(w, "b", 0, &id, NULL, &err), -ESTALE);
	assert_non_null(strstr(err, "take it again"));
	free(err);
	snap_writer_free(w);
	fixture_end(&f);
}

static void packs_of_a_writer_at_work_are_left_alone(void **state)
{
	Fixture f = fixture();
	SnapWriterConfig config = {.threads = 1};
	SnapWriter *w;
	uint64_t number;
	char *err = NULL;
	SnapId id;

	(void)state;
	assert_int_equal(snap_writer_begin(f.store, &config, &w, NULL), 0);
	w->session_put = -SESSION_SECONDS; /* long ago */
	for (uint64_t i = 0; i < 26; i++) { /* 3 MB each, of which half is left by zstd; the second pack tells of the first one */
		assert_int_equal(snap_writer_add_fd(w, fd_of(100 + i, 3000000, 0), &number), 0);
		if (i == 13)
			assert_int_equal(workers_drain(w), 0);
	}
	assert_int_equal(workers_drain(w), 0);
	assert_true(count(&f, "packs/") >= 2);
	assert_int_equal(count(&f, "sessions/"), 1);
	size_t packs = count(&f, "packs/");
	f.mem->now += SNAP_GRACE - 1; /* the session is younger than the grace */
	for (size_t i = 0; i < f.mem->n; i++)
		if (strncmp(f.mem->objects[i].name, "packs/", 6) == 0)
			f.mem->objects[i].put_at -= SNAP_GRACE;
	SnapCollectResult result = collect(&f);
	assert_in_range(result.condemned, 0, packs - 1);
	assert_int_equal(count(&f, "packs/"), packs);
	assert_int_equal(snap_writer_finish(w, "b", 0, &id, NULL, &err), 0);
	assert_int_equal(count(&f, "sessions/"), 0);
	snap_writer_free(w);
	fixture_end(&f);
}

static void a_damaged_ref_stops_collection(void **state)
{
	Fixture f = fixture();
	World a = world_of(1, 50);
	SnapCollectConfig config = {0};
	SnapCollectResult result;
	char *err = NULL;

	(void)state;
	snap_take(f.store, &a, NULL, "a");
	f.mem->now += 2 * SNAP_GRACE;
	bool found;
	size_t at = mem_find(f.mem, "refs/a/0000000000000001", &found);
	assert_true(found);
	f.mem->objects[at].data[30] ^= 1;
	size_t n = f.mem->n;
	assert_int_equal(snap_collect(f.store, &config, &result, &err), -EBADMSG);
	assert_non_null(strstr(err, "nothing was collected"));
	free(err);
	assert_int_equal(f.mem->n, n);
	fixture_end(&f);
}

/* A store with something to remove, something to repack and something to keep. */
static Fixture busy_store(World worlds[3], SnapId ids[3])
{
	Fixture f = fixture();

	worlds[0] = world_of(1, 80);
	worlds[1] = worlds[0];
	for (size_t i = 0; i < FILES; i++)
		if (i % 4)
			worlds[1].seeds[i] = 0;
	worlds[2] = world_of(3, 20);
	ids[0] = snap_take(f.store, &worlds[0], NULL, "a");
	ids[1] = snap_take(f.store, &worlds[1], &ids[0], "b");
	ids[2] = snap_take(f.store, &worlds[2], NULL, "c");
	assert_int_equal(snap_ref_delete(f.store, "a", 0, NULL), 0);
	f.mem->now += SNAP_GRACE;
	return f;
}

static void each_request_of_a_collection_fails(void **state)
{
	World worlds[3];
	SnapId ids[3];

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (unsigned long n = 1;; n++) {
			Fixture f = busy_store(worlds, ids);
			SnapCollectConfig config = {0};
			SnapCollectResult result;
			char *err = NULL;
			if (round) {
				collect(&f);
				f.mem->now += SNAP_GRACE;
			}
			fresh_store(&f);
			f.mem->calls = 0;
			f.mem->fail_at = n;
			f.mem->fail_on = n % 2;
			int r = snap_collect(f.store, &config, &result, &err);
			bool reached = f.mem->calls >= n;
			assert_true((r < 0) == (err != NULL));
			free(err);
			f.mem->fail_at = 0;
			for (int i = 0; i < 3; i++) {
				fresh_store(&f);
				assert_snap_equal(f.store, &ids[1], &worlds[1]);
				assert_snap_equal(f.store, &ids[2], &worlds[2]);
				is_clean(&f);
				f.mem->now += SNAP_GRACE;
				collect(&f);
			}
			assert_int_equal(count(&f, "snapshots/"), 2);
			fixture_end(&f);
			if (!reached)
				break;
		}
	}
}

typedef struct Named {
	char name[20];
	SnapId id;
	World world;
} Named;

/* Writers, forks, removals and collections in any order, with time going on by less than half the grace between the steps of each. */
static void a_random_life(uint64_t seed)
{
	enum { NAMES = 6 };
	Fixture f = fixture();
	Named named[NAMES] = {0};

	for (unsigned step = 0; step < 60; step++) {
		Named *one = &named[dice(&seed) % NAMES], *other = &named[dice(&seed) % NAMES];
		unsigned kind = dice(&seed) % 10;
		snprintf(one->name, sizeof one->name, "n%d", (int)(one - named));
		static const SnapId none;
		bool has = !id_equal(&one->id, &none), other_has = !id_equal(&other->id, &none);
		fresh_store(&f);
		if (kind < 4) {
			World next = other_has ? other->world : one->world;
			world_change(&next, 1 + dice(&seed) % 20, &seed);
			one->id = snap_take(f.store, &next, other_has ? &other->id : NULL, one->name);
			one->world = next;
		} else if (kind == 4 && other_has) {
			assert_int_equal(snap_ref_append(f.store, one->name, UINT64_MAX, &other->id, NULL, NULL), 0);
			one->id = other->id;
			one->world = other->world;
		} else if (kind < 7 && has) {
			assert_int_equal(snap_ref_delete(f.store, one->name, 0, NULL), 0);
			one->id = none;
		} else {
			collect(&f);
		}
		f.mem->now += (int64_t)(dice(&seed) % SNAP_GRACE);
		if (step % 10 != 9)
			continue;
		for (size_t i = 0; i < NAMES; i++)
			if (!id_equal(&named[i].id, &none))
				assert_snap_equal(f.store, &named[i].id, &named[i].world);
		is_clean(&f);
	}
	fixture_end(&f);
}

static void random_lives_lose_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++)
		a_random_life(seed * 1000);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_no_ref_leads_to_goes_in_rounds),
		cmocka_unit_test(a_dry_run_changes_nothing),
		cmocka_unit_test(a_short_grace_is_refused_but_when_alone),
		cmocka_unit_test(packs_that_are_mostly_dead_are_written_anew),
		cmocka_unit_test(what_an_index_lists_in_vain_is_not_shared),
		cmocka_unit_test(what_was_moved_is_moved_again),
		cmocka_unit_test(a_writer_does_not_share_what_is_condemned),
		cmocka_unit_test(what_a_writer_shares_survives_if_it_is_quick),
		cmocka_unit_test(a_slow_writer_looks_again_and_gives_up),
		cmocka_unit_test(packs_of_a_writer_at_work_are_left_alone),
		cmocka_unit_test(a_damaged_ref_stops_collection),
		cmocka_unit_test(each_request_of_a_collection_fails),
		cmocka_unit_test(random_lives_lose_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
