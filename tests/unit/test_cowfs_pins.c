/* tests/unit/test_cowfs_pins.c - what the front end lays over the view is never in the database, whatever guests did there before and after. */
#include "tests/unit/cowfs_view.h"

static void nothing_is_stored_of_pins_alone(void **state)
{
	CowfsStats stats;
	(void)state;
	assert_int_equal(cowfs_pin_dir(fs, at("h/sub"), 0755), 0);
	assert_int_equal(cowfs_pin_hide(fs, at("h/a")), 0);
	assert_int_equal(cowfs_commit(fs, false), 0);
	cowfs_stats(fs, &stats);
	assert_int_equal(stats.commits, 0);
	reopen_view();
	assert_text("h/sub/b", "beta");
	assert_text("h/a", "alpha");
}

static void pins_over_changes_that_are_not_committed_yet(void **state)
{
	(void)state;
	put("h/a", "changed");
	assert_int_equal(cowfs_mkdir(fs, &req, NULL, at("h/made"), 0755), 0);
	put("h/made/x", "x");
	put("h/sub/b", "changed");
	assert_int_equal(cowfs_pin_symlink(fs, at("h/a"), "nowhere"), 0);
	assert_int_equal(cowfs_pin_dir(fs, at("h/made"), 0755), 0);
	assert_int_equal(cowfs_pin_dir(fs, at("h/sub"), 0755), 0);
	put("h/sub/mine", "m");
	reopen_view();
	assert_text("h/sub/b", "changed");
	put("h/other", "o");
	reopen_view();
	assert_text("h/other", "o");
}

static void pins_inside_pins_in_any_order(void **state)
{
	struct statx st;
	(void)state;
	for (int inner_first = 0; inner_first < 2; inner_first++) {
		if (inner_first)
			assert_int_equal(cowfs_pin_symlink(fs, at("h/sub/b"), "x"), 0);
		assert_int_equal(cowfs_pin_dir(fs, at("h/sub"), 0755), 0);
		if (!inner_first)
			assert_int_equal(cowfs_pin_symlink(fs, at("h/sub/b"), "x"), 0);
		put("h/kept", "k");
		reopen_view();
		assert_text("h/kept", "k");
		assert_int_equal(stat_in("h/sub/b", &st), 0);
		assert_true(S_ISREG(st.stx_mode));
	}
}

static void a_change_deep_in_untouched_directories_is_found_again(void **state)
{
	CowAttr attr = {.set = COW_SET_MODE, .mode = 0700};
	struct statx st;
	(void)state;
	assert_int_equal(mkdir(at("h/sub/deep"), 0755), 0);
	assert_int_equal(mkdir(at("h/sub/deep/er"), 0755), 0);
	assert_int_equal(cowfs_pin_hide(fs, at("h/sub/deep/er/hidden")), 0); /* makes records of all directories above it */
	assert_int_equal(cowfs_setattr(fs, &req, NULL, at("h/sub/deep"), 0, &attr), 0);
	reopen_view();
	assert_int_equal(stat_in("h/sub/deep", &st), 0);
	assert_int_equal(st.stx_mode & 07777, 0700);
	put("h/sub/deep/er/file", "f");
	reopen_view();
	assert_text("h/sub/deep/er/file", "f");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(nothing_is_stored_of_pins_alone),
		CASE(pins_over_changes_that_are_not_committed_yet),
		CASE(pins_inside_pins_in_any_order),
		CASE(a_change_deep_in_untouched_directories_is_found_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
