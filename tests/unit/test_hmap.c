/* tests/unit/test_hmap.c - base/hmap.h: the table behaves like a multiset of nodes keyed by hash, at every size and with every collision. */
#include "base/hmap.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct Item {
	HmapNode node;
	unsigned value;
	bool present;
} Item;

enum { ITEMS = 5000 };

static Item *lookup(Hmap *map, uint64_t hash, unsigned value)
{
	for (HmapNode *n = hmap_first(map, hash); n; n = hmap_next(n)) {
		assert_true(n->hash == hash);
		Item *item = CONTAINER_OF(n, Item, node);
		if (item->value == value)
			return item;
	}
	return NULL;
}

static void an_empty_table_finds_and_visits_nothing(void **state)
{
	Hmap map;

	(void)state;
	assert_int_equal(hmap_init(&map), 0);
	assert_null(hmap_first(&map, 0));
	assert_null(hmap_first(&map, UINT64_MAX));
	HMAP_FOREACH_SAFE (&map, n, tmp)
		fail();
	hmap_release(&map);
	hmap_release(&map); /* a second time is harmless */
}

static void everything_inserted_is_found_through_growth(void **state)
{
	Item *items = calloc(ITEMS, sizeof *items);
	Hmap map;

	(void)state;
	assert_int_equal(hmap_init(&map), 0);
	for (unsigned i = 0; i < ITEMS; i++) {
		items[i].value = i;
		hmap_insert(&map, &items[i].node, hash_u64(i, 1));
		assert_ptr_equal(lookup(&map, hash_u64(i / 2, 1), i / 2), &items[i / 2]);
	}
	assert_int_equal(map.count, ITEMS);
	for (unsigned i = 0; i < ITEMS; i++)
		assert_ptr_equal(lookup(&map, hash_u64(i, 1), i), &items[i]);
	assert_null(lookup(&map, hash_u64(ITEMS, 1), ITEMS));
	hmap_release(&map);
	free(items);
}

static void equal_hashes_are_kept_apart(void **state)
{
	Item items[200] = {0};
	Hmap map;

	(void)state;
	assert_int_equal(hmap_init(&map), 0);
	for (unsigned i = 0; i < ARRAY_LEN(items); i++) {
		items[i].value = i;
		hmap_insert(&map, &items[i].node, i % 3); /* also neighbours in one bucket after masking */
	}
	for (unsigned i = 0; i < ARRAY_LEN(items); i += 2)
		hmap_remove(&map, &items[i].node);
	for (unsigned i = 0; i < ARRAY_LEN(items); i++)
		assert_ptr_equal(lookup(&map, i % 3, i), i % 2 ? &items[i] : NULL);
	assert_int_equal(map.count, ARRAY_LEN(items) / 2);
	hmap_release(&map);
}

static void foreach_visits_each_once_and_allows_removal(void **state)
{
	Item *items = calloc(ITEMS, sizeof *items);
	Hmap map;
	unsigned visited = 0;

	(void)state;
	assert_int_equal(hmap_init(&map), 0);
	for (unsigned i = 0; i < ITEMS; i++)
		hmap_insert(&map, &items[i].node, hash_u64(i % 100, 2));
	HMAP_FOREACH_SAFE (&map, n, tmp) {
		Item *item = CONTAINER_OF(n, Item, node);
		assert_false(item->present);
		item->present = true;
		visited++;
		hmap_remove(&map, n);
	}
	assert_int_equal(visited, ITEMS);
	assert_int_equal(map.count, 0);
	HMAP_FOREACH_SAFE (&map, n, tmp)
		fail();
	hmap_release(&map);
	free(items);
}

static void random_operations_agree_with_a_flag_per_item(void **state)
{
	Item *items = calloc(ITEMS, sizeof *items);
	Hmap map;
	size_t count = 0;
	uint64_t random = 12345;

	(void)state;
	assert_int_equal(hmap_init(&map), 0);
	for (unsigned i = 0; i < ITEMS; i++)
		items[i].value = i;
	for (unsigned step = 0; step < 200000; step++) {
		random = hash_u64(random + step, 3);
		unsigned i = random % ITEMS;
		uint64_t hash = i / 2; /* pairs collide */
		assert_ptr_equal(lookup(&map, hash, i), items[i].present ? &items[i] : NULL);
		if (items[i].present)
			hmap_remove(&map, &items[i].node);
		else
			hmap_insert(&map, &items[i].node, hash);
		items[i].present = !items[i].present;
		count += items[i].present ? 1 : (size_t)-1;
		assert_int_equal(map.count, count);
	}
	hmap_release(&map);
	free(items);
}

static void hashes_depend_on_every_byte_length_and_seed(void **state)
{
	unsigned char a[40] = {0}, b[40] = {0};

	(void)state;
	for (size_t len = 0; len <= sizeof a; len++) {
		assert_true(hash_bytes(a, len, 1) == hash_bytes(b, len, 1));
		assert_true(hash_bytes(a, len, 1) != hash_bytes(a, len, 2));
		assert_true(hash_stable(a, len) == hash_stable(b, len));
		if (len < sizeof a)
			assert_true(hash_stable(a, len) != hash_stable(a, len + 1)); /* zeros count */
		for (size_t i = 0; i < len; i++) {
			b[i] = 1;
			assert_true(hash_bytes(a, len, 1) != hash_bytes(b, len, 1));
			assert_true(hash_stable(a, len) != hash_stable(b, len));
			b[i] = 0;
		}
	}
}

static void the_stable_hash_never_changes(void **state)
{
	(void)state;
	/* Directory positions are kept by guests across a stop: these values are a format. */
	assert_true(hash_stable("a", 1) == 0x61fc8965650b11a0ULL);
	assert_true(hash_stable("hello world", 11) == 0x91c005bd0144c89dULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_table_finds_and_visits_nothing),
		cmocka_unit_test(everything_inserted_is_found_through_growth),
		cmocka_unit_test(equal_hashes_are_kept_apart),
		cmocka_unit_test(foreach_visits_each_once_and_allows_removal),
		cmocka_unit_test(random_operations_agree_with_a_flag_per_item),
		cmocka_unit_test(hashes_depend_on_every_byte_length_and_seed),
		cmocka_unit_test(the_stable_hash_never_changes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
