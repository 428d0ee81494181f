/* tests/unit/test_snap_check.c - damage: each byte of a small store is flipped, each object removed; reading gives what was stored or an error, and fsck finds it. */
#include "tests/unit/snap_fixture.h"

#include "snapshot/housekeeping.h"

typedef struct Fixture {
	MemStore *mem;
	SnapStore *store;
	SnapKey *key;
	World worlds[2];
	SnapId ids[2];
} Fixture;

static Fixture fixture(bool encrypted)
{
	static const uint8_t master[32] = {4};
	Fixture f = {.mem = mem_new()};

	f.mem->at_once = true; /* thousands of walks */
	if (encrypted)
		assert_int_equal(snap_key_new(master, &f.key), 0);
	assert_int_equal(snap_store_open(&f.mem->base, f.key, &f.store, NULL), 0);
	for (size_t i = 0; i < 8; i++) {
		f.worlds[0].seeds[i] = i + 1;
		f.worlds[0].sizes[i] = (uint32_t)(i * 70);
	}
	f.worlds[1] = f.worlds[0];
	f.worlds[1].seeds[3] = 77;
	f.ids[0] = snap_take(f.store, &f.worlds[0], NULL, "box");
	f.ids[1] = snap_take(f.store, &f.worlds[1], &f.ids[0], "box");
	return f;
}

static void fixture_end(Fixture *f)
{
	snap_store_close(f->store);
	object_close(&f->mem->base);
	snap_key_free(f->key);
}

static void fresh_store(Fixture *f)
{
	snap_store_close(f->store);
	assert_int_equal(snap_store_open(&f->mem->base, f->key, &f->store, NULL), 0);
}

typedef struct Hurt {
	bool refs[3];
	unsigned damages;
} Hurt;

static void note_hurt(void *ctx, const SnapRef *ref, const char *message)
{
	Hurt *hurt = ctx;

	assert_non_null(message);
	hurt->refs[ref->number] = true;
}

static void note_damage(void *ctx, const char *object, const char *message)
{
	Hurt *hurt = ctx;

	assert_non_null(object);
	assert_non_null(message);
	hurt->damages++;
}

static SnapCheckResult check(Fixture *f, bool read_data, Hurt *hurt)
{
	SnapCheckConfig config = {.read_data = read_data, .hurt = note_hurt, .damage = note_damage, .ctx = hurt};
	SnapCheckResult result;
	char *err = NULL;

	*hurt = (Hurt){0};
	if (snap_check(f->store, &config, &result, &err) < 0)
		fail_msg("%s", err);
	assert_int_equal(hurt->damages, result.damaged);
	return result;
}

static void a_healthy_store_is_clean(void **state)
{
	(void)state;
	for (int encrypted = 0; encrypted < 2; encrypted++) {
		Fixture f = fixture(encrypted);
		Hurt hurt;
		for (int read_data = 0; read_data < 2; read_data++) {
			SnapCheckResult result = check(&f, read_data, &hurt);
			assert_int_equal(result.damaged, 0);
			assert_int_equal(result.hurt, 0);
			assert_int_equal(result.refs, 2);
			assert_int_equal(result.snapshots, 2);
			assert_int_equal(result.packs, 2);
		}
		fixture_end(&f);
	}
}

/* After some damage: wrong data never; whatever a reader misses, fsck names. Returns whether fsck saw anything. */
static bool look(Fixture *f, const char *what)
{
	bool readable[2];
	Hurt hurt;

	fresh_store(f);
	for (size_t i = 0; i < 2; i++) {
		SnapRef ref;
		char *err = NULL;
		int r = snap_ref_read(f->store, "box", i + 1, &ref, &err);
		if (r == 0)
			r = snap_compare(f->store, &ref.id, &f->worlds[i], &err);
		assert_true((r < 0) == (err != NULL));
		readable[i] = r == 0;
		free(err);
	}
	SnapCheckResult result = check(f, true, &hurt);
	for (size_t i = 0; i < 2; i++)
		if (readable[i] == hurt.refs[i + 1] && !strstr(what, "refs/"))
			fail_msg("%s: generation %zu can%s be read, and fsck does not say so", what, i + 1, readable[i] ? "" : "not");
	return result.damaged > 0;
}

static void each_flipped_byte_is_found(bool encrypted)
{
	Fixture f = fixture(encrypted);
	size_t flips = 0;

	for (size_t i = 0; i < f.mem->n; i++) {
		CLEAN_FREE char *name = strdup(f.mem->objects[i].name);
		bool is_hint = strstr(name, "hint") != NULL;
		for (size_t at = 0; at < f.mem->objects[i].size; at++) {
			f.mem->objects[i].data[at] ^= (uint8_t)(1 << at % 8);
			if (!look(&f, name) && !is_hint)
				fail_msg("%s: byte %zu was flipped, and fsck does not say so", name, at);
			f.mem->objects[i].data[at] ^= (uint8_t)(1 << at % 8);
			flips++;
		}
	}
	print_message("%zu flips\n", flips);
	Hurt hurt;
	assert_int_equal(check(&f, true, &hurt).damaged, 0);
	fixture_end(&f);
}

static void each_flipped_byte_of_a_store_is_found(void **state)
{
	(void)state;
	each_flipped_byte_is_found(false);
}

static void each_flipped_byte_of_an_encrypted_store_is_found(void **state)
{
	(void)state;
	each_flipped_byte_is_found(true);
}

static void each_missing_or_short_object_is_found(void **state)
{
	(void)state;
	for (int cut = 0; cut < 2; cut++) {
		for (size_t i = 0;; i++) {
			Fixture f = fixture(false);
			if (i == f.mem->n) {
				fixture_end(&f);
				break;
			}
			CLEAN_FREE char *name = strdup(f.mem->objects[i].name);
			if (cut)
				f.mem->objects[i].size /= 2;
			else
				mem_remove_at(f.mem, i);
			bool found = look(&f, name);
			/* A ref that is gone is no damage: somebody removed it. */
			if (!found && !strstr(name, "hint") && (cut || !strstr(name, "refs/")))
				fail_msg("%s is %s, and fsck does not say so", name, cut ? "short" : "gone");
			fixture_end(&f);
		}
	}
}

static void a_lost_index_is_made_again_from_the_packs(void **state)
{
	Fixture f = fixture(false);
	uint64_t packs;
	Hurt hurt;
	char *err = NULL;

	(void)state;
	for (size_t i = f.mem->n; i-- > 0;)
		if (strncmp(f.mem->objects[i].name, "index/", 6) == 0)
			mem_remove_at(f.mem, i);
	fresh_store(&f);
	assert_true(snap_compare(f.store, &f.ids[0], &f.worlds[0], NULL) < 0);
	if (snap_rebuild_index(f.store, &packs, &err) < 0)
		fail_msg("%s", err);
	assert_int_equal(packs, 2);
	fresh_store(&f);
	assert_snap_equal(f.store, &f.ids[0], &f.worlds[0]);
	assert_snap_equal(f.store, &f.ids[1], &f.worlds[1]);
	SnapCheckResult result = check(&f, true, &hurt);
	assert_int_equal(result.hurt, 0);
	fixture_end(&f);
}

static void a_writer_does_without_a_lost_index(void **state)
{
	Fixture f = fixture(false);
	World next = f.worlds[1];

	(void)state;
	next.seeds[5] = 1234;
	for (size_t i = f.mem->n; i-- > 0;)
		if (strncmp(f.mem->objects[i].name, "index/", 6) == 0)
			mem_remove_at(f.mem, i);
	fresh_store(&f);
	SnapId id = snap_take(f.store, &next, &f.ids[1], "box");
	fresh_store(&f);
	assert_snap_equal(f.store, &id, &next);
	fixture_end(&f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_healthy_store_is_clean),
		cmocka_unit_test(each_flipped_byte_of_a_store_is_found),
		cmocka_unit_test(each_flipped_byte_of_an_encrypted_store_is_found),
		cmocka_unit_test(each_missing_or_short_object_is_found),
		cmocka_unit_test(a_writer_does_without_a_lost_index),
		cmocka_unit_test(a_lost_index_is_made_again_from_the_packs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
