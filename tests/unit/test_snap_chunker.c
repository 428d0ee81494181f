/* tests/unit/test_snap_chunker.c - cuts depend on the content alone: not on how it arrives, and hardly on what stands before. */
#include "base/hmap.h"
#include "snapshot/chunker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { SIZE = 48 << 20, CUTS = 400 };

static Gear gear;
static uint8_t *data;

static int set_up(void **state)
{
	(void)state;
	gear_init(&gear, 0);
	data = malloc(SIZE + 100);
	for (uint64_t i = 0; i < SIZE; i += 8) {
		uint64_t v = hash_u64(i, 7);
		memcpy(data + i, &v, 8);
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(data);
	return 0;
}

/* The ends of all chunks; the last one ends with the data. */
static size_t cuts_of(const uint8_t *at, size_t len, size_t step, size_t cuts[CUTS])
{
	Chunker c = {.gear = &gear};
	size_t n = 0, done = 0;

	while (done < len) {
		size_t piece = MIN(step, len - done), cut = chunker_cut(&c, at + done, piece);
		assert_true(cut <= piece);
		done += cut ? cut : piece;
		if (cut)
			cuts[n++] = done;
	}
	if (n == 0 || cuts[n - 1] != len)
		cuts[n++] = len;
	return n;
}

static void sizes_are_within_the_limits_and_near_the_average(void **state)
{
	size_t cuts[CUTS], n = cuts_of(data, SIZE, SIZE, cuts), last = 0;

	(void)state;
	for (size_t i = 0; i < n; last = cuts[i++]) {
		assert_true(cuts[i] - last <= CHUNK_MAX);
		assert_true(cuts[i] - last >= CHUNK_MIN || i + 1 == n);
	}
	print_message("%zu chunks, average %zu KiB\n", n, (size_t)SIZE / n >> 10);
	assert_in_range(n, SIZE / CHUNK_AVERAGE * 6 / 10, SIZE / CHUNK_AVERAGE * 14 / 10);
}

static void cuts_do_not_depend_on_the_reads(void **state)
{
	static const size_t steps[] = {1, 777, 4096, 262144, 1 << 20, 5 << 20};
	size_t cuts[CUTS], again[CUTS], n = cuts_of(data, 12 << 20, SIZE, cuts);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		assert_int_equal(cuts_of(data, 12 << 20, steps[i], again), n);
		assert_memory_equal(cuts, again, n * sizeof *cuts);
	}
}

static void an_insertion_changes_few_chunks(void **state)
{
	size_t cuts[CUTS], moved[CUTS], n = cuts_of(data, SIZE, SIZE, cuts);

	(void)state;
	for (size_t place = 1000; place < SIZE; place += SIZE / 9) {
		CLEAN_FREE uint8_t *longer = malloc(SIZE + 10);
		memcpy(longer, data, place);
		memset(longer + place, 'x', 10);
		memcpy(longer + place + 10, data + place, SIZE - place);
		size_t m = cuts_of(longer, SIZE + 10, SIZE, moved), same = 0;
		for (size_t i = 0; i < n; i++)
			for (size_t j = 0; j < m; j++)
				same += moved[j] == cuts[i] + (cuts[i] > place ? 10 : 0);
		assert_true(same + 4 >= n);
	}
}

static void equal_bytes_are_cut_at_the_maximum(void **state)
{
	size_t cuts[CUTS];
	CLEAN_FREE uint8_t *zeros = calloc(1, 10 << 20);

	(void)state;
	assert_int_equal(cuts_of(zeros, 10 << 20, 100000, cuts), 3);
	assert_int_equal(cuts[0], CHUNK_MAX);
	assert_int_equal(cuts[1], 2 * CHUNK_MAX);
}

static void another_seed_cuts_elsewhere(void **state)
{
	size_t cuts[CUTS], others[CUTS], n = cuts_of(data, SIZE, SIZE, cuts), same = 0;

	(void)state;
	gear_init(&gear, 99);
	size_t m = cuts_of(data, SIZE, SIZE, others);
	gear_init(&gear, 0);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < m; j++)
			same += others[j] == cuts[i];
	assert_true(same <= 2);
}

/* Each piece of 4 MiB stands there twice: much of the second one is cut as the first was. */
static void what_is_repeated_is_soon_cut_the_same(void **state)
{
	enum { PIECE = 4 << 20, PIECES = 12 };
	uint8_t *twice = malloc(2 * PIECE);
	size_t again = 0;

	(void)state;
	for (size_t p = 0; p < PIECES; p++) {
		size_t cuts[CUTS];
		memcpy(twice, data + p * PIECE, PIECE);
		memcpy(twice + PIECE, data + p * PIECE, PIECE);
		size_t n = cuts_of(twice, 2 * PIECE, PIECE, cuts);
		for (size_t i = 1; i < n; i++)
			for (size_t k = 1; k < i; k++) /* a chunk is known if both its ends were ends one piece earlier */
				again += cuts[i] == cuts[k] + PIECE && cuts[i - 1] == cuts[k - 1] + PIECE ? cuts[i] - cuts[i - 1] : 0;
	}
	free(twice);
	assert_in_range(again, (size_t)PIECES * PIECE * 45 / 100, (size_t)PIECES * PIECE);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_within_the_limits_and_near_the_average),
		cmocka_unit_test(what_is_repeated_is_soon_cut_the_same),
		cmocka_unit_test(cuts_do_not_depend_on_the_reads),
		cmocka_unit_test(an_insertion_changes_few_chunks),
		cmocka_unit_test(equal_bytes_are_cut_at_the_maximum),
		cmocka_unit_test(another_seed_cuts_elsewhere),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
