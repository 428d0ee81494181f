/* tests/unit/test_cowfs_pins.c - what the front end lays over the view is never in the database, whatever guests did there before and after. */
#include "tests/unit/cowfs_view.h"

#include <sys/sysmacros.h>

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

/* Guests of an earlier run may have moved what is above a hidden name or a grant, or put something else in its place. */
static void a_hidden_name_is_found_by_its_place_on_the_host(void **state)
{
	struct statx st;
	(void)state;
	assert_int_equal(mkdir(at("h/sub/deep"), 0755), 0);
	put_host("h/sub/deep/key", "secret");
	put_host("h/sub/deep/other", "o");
	assert_int_equal(cowfs_rename(fs, &req, NULL, at("h/sub/deep"), NULL, at("h/moved"), 0), 0);
	assert_int_equal(cowfs_mkdir(fs, &req, NULL, at("h/sub/deep"), 0755), 0);
	put("h/sub/deep/key", "own");
	reopen_view();
	assert_int_equal(cowfs_pin_hide(fs, at("h/sub/deep/key")), 0);
	assert_int_equal(stat_in("h/moved/key", &st), -ENOENT);
	assert_text("h/moved/other", "o");
	assert_text("h/sub/deep/key", "own");
	assert_int_equal(cowfs_rename(fs, &req, NULL, at("h/moved/other"), NULL, at("h/moved/key"), 0), 0);
	reopen_view();
	assert_int_equal(cowfs_pin_hide(fs, at("h/sub/deep/key")), 0);
	assert_text("h/moved/key", "o"); /* the guest's own, though it rests on a file of the host */
}

static void what_is_above_a_hidden_name_may_be_gone(void **state)
{
	struct statx st;
	(void)state;
	assert_int_equal(mkdir(at("h/sub/deep"), 0755), 0);
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/sub/deep"), AT_REMOVEDIR), 0);
	reopen_view();
	assert_int_equal(cowfs_pin_hide(fs, at("h/sub/deep/key")), 0);
	assert_int_equal(stat_in("h/sub/deep", &st), -ENOENT);
	assert_int_equal(cowfs_pin_hide(fs, at("h/none/key")), 0);
	assert_int_equal(stat_in("h/none", &st), -ENOENT);
}

static void a_link_is_hidden_with_what_it_leads_to(void **state)
{
	struct statx st;
	(void)state;
	assert_int_equal(symlink("sub/b", at("h/link")), 0);
	assert_int_equal(cowfs_pin_hide(fs, at("h/link")), 0);
	assert_int_equal(stat_in("h/link", &st), -ENOENT);
	assert_int_equal(stat_in("h/sub/b", &st), -ENOENT);
	assert_int_equal(stat_in("h/sub", &st), 0);
}

/* A command that is started later may know of a secret that the first one did not. */
static void a_name_is_hidden_while_guests_run(void **state)
{
	CowAttr attr = {.set = COW_SET_MODE, .mode = 0600};
	struct statx st;
	char text[8] = "";
	(void)state;
	put_host("h/sub/key", "secret");
	int seen = open_in("h/sub/key", O_RDONLY);
	assert_true(seen >= 0);
	assert_int_equal(cowfs_rename(fs, &req, NULL, at("h/sub/b"), NULL, at("h/sub/c"), 0), 0); /* nothing of it is lost */
	for (int i = 0; i < 2; i++)
		assert_int_equal(cowfs_pin_hide(fs, at("h/sub/key")), 0);
	assert_int_equal(stat_in("h/sub/key", &st), -ENOENT);
	assert_int_equal(open_in("h/sub/key", O_RDONLY), -ENOENT);
	assert_int_equal(read(seen, text, sizeof text), 6);
	close(seen);
	put("h/sub/key", "own");
	assert_int_equal(cowfs_pin_hide(fs, at("h/sub/key")), 0);
	assert_text("h/sub/key", "own");
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/sub/key"), 0), 0);
	assert_int_equal(stat_in("h/sub/key", &st), -ENOENT);
	reopen_view();
	assert_text("h/sub/key", "secret");
	assert_text("h/sub/c", "beta");
	assert_int_equal(cowfs_setattr(fs, &req, NULL, at("h/sub/key"), 0, &attr), 0);
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/a"), 0), 0);
	assert_int_equal(cowfs_pin_hide(fs, at("h/sub/key")), 0); /* its own mode was not stored yet */
	assert_int_equal(cowfs_pin_hide(fs, at("h/a")), 0);	  /* nor that it was deleted */
	assert_int_equal(stat_in("h/sub/key", &st), -ENOENT);
	reopen_view();
	assert_int_equal(stat_in("h/sub/key", &st), 0);
	assert_int_equal(st.stx_mode & 07777, 0600);
	assert_int_equal(stat_in("h/a", &st), -ENOENT);
}

/* What is open is used on, and what is changed of it is in the database. A copy that the guest has made is its own. */
static void a_changed_file_is_hidden_while_it_is_open(void **state)
{
	CowAttr attr = {.set = COW_SET_MODE, .mode = 0600};
	char path[PATH_MAX];
	struct statx st;
	CowLoc loc = {0};
	(void)state;
	assert_int_equal(cowfs_setattr(fs, &req, NULL, at("h/a"), 0, &attr), 0);
	int fd = open_in("h/a", O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(cowfs_pin_hide(fs, at("h/a")), 0);
	assert_int_equal(stat_in("h/a", &st), -ENOENT);
	assert_int_equal(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st), 0);
	assert_int_equal(cowfs_by_identity(fs, makedev(st.stx_dev_major, st.stx_dev_minor), st.stx_ino, &loc), 0);
	assert_true(cowfs_virtual_path(fs, &loc, path, sizeof path) < 0);
	attr.mode = 0640;
	assert_int_equal(cowfs_setattr(fs, &req, &loc, "", COW_EMPTY_PATH, &attr), 0);
	assert_int_equal(cowfs_commit(fs, true), 0);
	cowloc_release(&loc);
	close(fd);
	reopen_view();
	assert_text("h/a", "alpha");
	assert_int_equal(stat_in("h/a", &st), 0);
	assert_int_equal(st.stx_mode & 07777, 0640);
	put("h/a", "omega");
	assert_int_equal(cowfs_pin_hide(fs, at("h/a")), 0);
	assert_text("h/a", "omega");
}

/* Where changes go straight to the host nothing is changed of what is hidden. */
static void a_name_below_a_grant_is_hidden_while_guests_run(void **state)
{
	struct statx st;
	(void)state;
	assert_int_equal(cowfs_pin_grant(fs, at("h"), true), 0);
	put("h/sub/key", "secret");
	assert_int_equal(cowfs_pin_hide(fs, at("h/sub/key")), 0);
	assert_int_equal(stat_in("h/sub/key", &st), -ENOENT);
	assert_text("h/sub/b", "beta");
	put("h/sub/other", "o");
	assert_int_equal(access(at("h/sub/other"), F_OK), 0);
	assert_int_equal(access(at("h/sub/key"), F_OK), 0);
}

static void a_grant_moves_with_its_directory(void **state)
{
	(void)state;
	assert_int_equal(mkdir(at("h/up"), 0755), 0);
	assert_int_equal(mkdir(at("h/up/rw"), 0755), 0);
	assert_int_equal(cowfs_rename(fs, &req, NULL, at("h/up"), NULL, at("h/moved"), 0), 0);
	reopen_view();
	assert_int_equal(cowfs_pin_grant(fs, at("h/up/rw"), true), 0);
	put("h/moved/rw/direct", "d");
	assert_int_equal(access(at("h/up/rw/direct"), F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(nothing_is_stored_of_pins_alone),
		CASE(pins_over_changes_that_are_not_committed_yet),
		CASE(pins_inside_pins_in_any_order),
		CASE(a_change_deep_in_untouched_directories_is_found_again),
		CASE(a_hidden_name_is_found_by_its_place_on_the_host),
		CASE(what_is_above_a_hidden_name_may_be_gone),
		CASE(a_link_is_hidden_with_what_it_leads_to),
		CASE(a_name_is_hidden_while_guests_run),
		CASE(a_changed_file_is_hidden_while_it_is_open),
		CASE(a_name_below_a_grant_is_hidden_while_guests_run),
		CASE(a_grant_moves_with_its_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
