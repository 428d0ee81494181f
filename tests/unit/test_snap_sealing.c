/* tests/unit/test_snap_sealing.c - a store is encrypted with one key or not at all: the first writer decides, a lost or damaged note of it is found out, and nothing plain is
 * taken from an encrypted store. */
#include "tests/unit/snap_fixture.h"

typedef struct Fixture {
	MemStore *mem;
	SnapStore *store; /* opened without a key */
	SnapKey *key;
} Fixture;

static Fixture fixture(void)
{
	static const uint8_t master[32] = {1, 2, 3};
	Fixture f = {.mem = mem_new()};

	f.mem->at_once = true;
	assert_int_equal(snap_key_new(master, &f.key), 0);
	assert_int_equal(snap_store_open(&f.mem->base, NULL, &f.store, NULL), 0);
	return f;
}

static void fixture_end(Fixture *f)
{
	snap_store_close(f->store);
	snap_key_free(f->key);
	object_close(&f->mem->base);
}

static SnapSealing sealing_of(Fixture *f)
{
	SnapSealing sealing;
	char *err = NULL;

	if (snap_sealing_read(f->store, &sealing, &err) < 0)
		fail_msg("%s", err);
	return sealing;
}

static World small_world(void)
{
	World world = {0};
	uint64_t seed = 5;

	world_change(&world, 4, &seed);
	return world;
}

static MemObject *object_of(Fixture *f, const char *name)
{
	bool found;
	size_t at = mem_find(f->mem, name, &found);

	assert_true(found);
	return &f->mem->objects[at];
}

static void the_first_one_decides(void **state)
{
	(void)state;
	for (int leases = 0; leases < 2; leases++) {
		Fixture f = fixture();
		char id[2 * KEY_ID_SIZE + 1], *err = NULL;

		f.mem->no_if_absent = leases;
		assert_int_equal(sealing_of(&f).by, SNAP_UNDECIDED);
		assert_int_equal(snap_sealing_decide(f.store, SNAP_KEY_FILE, f.key, NULL), 0);
		assert_int_equal(snap_sealing_decide(f.store, SNAP_PLAIN, NULL, &err), -EEXIST);
		free(err);
		SnapSealing sealing = sealing_of(&f);
		snap_key_name(snap_key_id(f.key), id);
		assert_int_equal(sealing.by, SNAP_KEY_FILE);
		assert_string_equal(sealing.key_id, id);
		fixture_end(&f);
	}
}

static void a_damaged_note_is_found_out(void **state)
{
	Fixture f = fixture();
	SnapSealing sealing;

	(void)state;
	assert_int_equal(snap_sealing_decide(f.store, SNAP_PLAIN, NULL, NULL), 0);
	MemObject *o = object_of(&f, "sealing/0000000000000001");
	for (size_t i = 0; i < o->size; i++) {
		char *err = NULL;
		o->data[i] ^= 0x01;
		int r = snap_sealing_read(f.store, &sealing, &err);
		assert_true(r == -EBADMSG || r == -EPROTO);
		assert_non_null(strstr(err, "sealing/0000000000000001"));
		free(err);
		o->data[i] ^= 0x01;
	}
	assert_int_equal(sealing_of(&f).by, SNAP_PLAIN);
	fixture_end(&f);
}

/* What the snapshots themselves say, without a note of it. */
static void a_lost_note_costs_nothing(void **state)
{
	char id[2 * KEY_ID_SIZE + 1], name[64];
	World world = small_world();

	(void)state;
	for (int kind = SNAP_PLAIN; kind <= SNAP_PASSPHRASE; kind++) {
		Fixture f = fixture();
		SnapStore *sealed;
		assert_int_equal(snap_store_open(&f.mem->base, kind == SNAP_PLAIN ? NULL : f.key, &sealed, NULL), 0);
		snap_take(sealed, &world, NULL, "box");
		snap_key_name(snap_key_id(f.key), id);
		snprintf(name, sizeof name, "keys/%s", id);
		if (kind == SNAP_PASSPHRASE)
			assert_int_equal(object_put(&f.mem->base, name, "x", 1, 0, NULL), 0);
		SnapSealing sealing = sealing_of(&f);
		assert_int_equal(sealing.by, kind);
		if (kind != SNAP_PLAIN)
			assert_string_equal(sealing.key_id, id);
		snap_store_close(sealed);
		fixture_end(&f);
	}
}

static void nothing_plain_is_taken_for_sealed(void **state)
{
	World world = small_world();
	Fixture f = fixture();
	SnapStore *sealed;
	SnapInfo info;
	char *err = NULL;
	SnapId id = snap_take(f.store, &world, NULL, "box");

	(void)state;
	assert_int_equal(snap_store_open(&f.mem->base, f.key, &sealed, NULL), 0);
	assert_int_equal(snap_info_load(sealed, &id, &info, &err), -EBADMSG);
	assert_non_null(strstr(err, "not encrypted"));
	free(err);
	snap_store_close(sealed);
	fixture_end(&f);
}

static void one_key_is_opened_by_its_id(void **state)
{
	Fixture f = fixture();
	SnapKey *first, *second, *again;
	char id[2 * KEY_ID_SIZE + 1], *err = NULL;

	(void)state;
	assert_int_equal(snap_key_create(&f.mem->base, "secret", &first, NULL), 0);
	assert_int_equal(snap_key_create(&f.mem->base, "secret", &second, NULL), 0);
	SnapKey *const keys[] = {first, second};
	for (size_t i = 0; i < 2; i++) {
		snap_key_name(snap_key_id(keys[i]), id);
		assert_int_equal(snap_key_open_id(&f.mem->base, id, "secret", &again, NULL), 0);
		assert_memory_equal(snap_key_id(again), snap_key_id(keys[i]), KEY_ID_SIZE);
		snap_key_free(again);
		assert_int_equal(snap_key_open_id(&f.mem->base, id, "wrong", &again, &err), -ENOKEY);
		free(TAKE_PTR(err));
	}
	assert_int_equal(snap_key_delete(&f.mem->base, second, NULL), 0);
	assert_int_equal(snap_key_open_id(&f.mem->base, id, "secret", &again, &err), -ENOENT);
	free(err);
	snap_key_free(first);
	snap_key_free(second);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(the_first_one_decides), cmocka_unit_test(a_damaged_note_is_found_out), cmocka_unit_test(a_lost_note_costs_nothing),
					   cmocka_unit_test(nothing_plain_is_taken_for_sealed), cmocka_unit_test(one_key_is_opened_by_its_id)};

	return cmocka_run_group_tests_name("sealing of a store", tests, NULL, NULL);
}
