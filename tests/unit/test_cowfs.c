/* tests/unit/test_cowfs.c - the view on a small host tree: what is kept, what is shown after opening again, what is reported as changed. */
#include "tests/unit/cowfs_view.h"

static void writing_leaves_the_host_as_it_was_and_survives_reopening(void **state)
{
	char buf[16] = "";
	(void)state;
	put("h/a", "changed");
	put("h/new", "new");
	assert_changes("M h/a\nA h/new\n");
	reopen_view();
	assert_text("h/a", "changed");
	assert_text("h/new", "new");
	assert_changes("M h/a\nA h/new\n");
	int fd = open(at("h/a"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(bv_read_full(fd, buf, sizeof buf), 5);
	assert_string_equal(buf, "alpha");
	close(fd);
	assert_int_equal(access(at("h/new"), F_OK), -1);
}

static void identity_does_not_change_by_copy_up_or_rename(void **state)
{
	struct statx before, after;
	(void)state;
	assert_int_equal(stat_in("h/a", &before), 0);
	put("h/a", "longer than before");
	assert_int_equal(cowfs_rename(fs, &req, NULL, at("h/a"), NULL, at("h/sub/moved"), 0), 0);
	assert_int_equal(stat_in("h/sub/moved", &after), 0);
	assert_true(before.stx_ino == after.stx_ino && before.stx_dev_minor == after.stx_dev_minor);
	assert_int_equal(stat_in("h/a", &after), -ENOENT);
}

static void a_renamed_host_directory_is_one_change(void **state)
{
	(void)state;
	assert_int_equal(cowfs_rename(fs, &req, NULL, at("h/sub"), NULL, at("h/dir"), 0), 0);
	assert_text("h/dir/b", "beta");
	assert_changes("R h/dir < h/sub\n");
	put("h/dir/b", "gamma");
	reopen_view();
	assert_text("h/dir/b", "gamma");
	assert_changes("R h/dir < h/sub\nM h/dir/b\n");
}

static void removed_names_stay_removed(void **state)
{
	struct statx st;
	(void)state;
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/sub"), AT_REMOVEDIR), -ENOTEMPTY);
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/sub/b"), 0), 0);
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/sub"), AT_REMOVEDIR), 0);
	reopen_view();
	assert_int_equal(stat_in("h/sub", &st), -ENOENT);
	assert_changes("D h/sub\n");
	assert_int_equal(cowfs_mkdir(fs, &req, NULL, at("h/sub"), 0755), 0);
	assert_int_equal(stat_in("h/sub/b", &st), -ENOENT);
	assert_changes("D h/sub/b\n");
}

static void changed_back_is_not_a_change(void **state)
{
	CowAttr attr = {.set = COW_SET_ATIME | COW_SET_MTIME};
	struct statx st;
	(void)state;
	assert_int_equal(stat_in("h/a", &st), 0);
	put("h/a", "alpha");
	attr.atime = attr.mtime = (struct timespec){st.stx_mtime.tv_sec, st.stx_mtime.tv_nsec};
	assert_int_equal(cowfs_setattr(fs, &req, NULL, at("h/a"), 0, &attr), 0);
	assert_changes("");
}

static void hard_links_of_a_host_file_move_together(void **state)
{
	struct statx st;
	(void)state;
	assert_int_equal(link(at("h/a"), at("h/sub/a2")), 0);
	put("h/a", "both");
	assert_text("h/sub/a2", "both");
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/a"), 0), 0);
	assert_int_equal(stat_in("h/sub/a2", &st), 0);
	assert_int_equal(st.stx_nlink, 1);
	reopen_view();
	assert_text("h/sub/a2", "both");
}

static void an_unlinked_file_is_readable_while_open_and_its_blob_goes_afterwards(void **state)
{
	CowfsStats stats;
	char buf[8] = "";
	(void)state;
	put("h/gone", "here");
	int fd = open_in("h/gone", O_RDONLY);
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/gone"), 0), 0);
	assert_int_equal(read(fd, buf, sizeof buf), 4);
	close(fd);
	reopen_view();
	cowfs_stats(fs, &stats);
	assert_int_equal(stats.blobs, 0);
}

static void hidden_is_not_deleted_even_after_a_guest_made_its_own(void **state)
{
	struct statx st;
	(void)state;
	assert_int_equal(cowfs_pin_hide(fs, at("h/a")), 0);
	assert_int_equal(stat_in("h/a", &st), -ENOENT);
	assert_changes("");
	put("h/a", "own");
	assert_changes("A h/a\n");
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/a"), 0), 0);
	assert_changes("");
}

static void a_grant_changes_the_host_and_a_read_only_one_refuses(void **state)
{
	(void)state;
	assert_int_equal(cowfs_pin_grant(fs, at("h/sub"), true), 0);
	put("h/sub/direct", "d");
	assert_int_equal(access(at("h/sub/direct"), F_OK), 0);
	assert_int_equal(cowfs_rename(fs, &req, NULL, at("h/sub/direct"), NULL, at("h/out"), 0), -EXDEV);
	assert_changes("");
	assert_int_equal(cowfs_pin_grant(fs, at("h"), false), 0);
	assert_int_equal(open_in("h/no", O_CREAT | O_WRONLY), -EROFS);
}

static void what_is_in_a_pinned_directory_is_not_kept(void **state)
{
	struct statx st;
	(void)state;
	assert_int_equal(cowfs_pin_dir(fs, at("h/sub"), 01777), 0);
	assert_int_equal(stat_in("h/sub/b", &st), -ENOENT);
	put("h/sub/mine", "m");
	assert_changes("");
	reopen_view();
	assert_text("h/sub/b", "beta");
}

static void a_socket_without_server_can_be_opened_as_a_path_also_in_the_next_run(void **state)
{
	(void)state;
	assert_int_equal(cowfs_mknod(fs, &req, NULL, at("h/socket"), S_IFSOCK | 0600, 0), 0);
	for (int run = 0; run < 2; run++) {
		struct statx named, opened;
		int fd = open_in("h/socket", O_PATH | O_NOFOLLOW);
		assert_true(fd >= 0);
		assert_int_equal(stat_in("h/socket", &named), 0);
		assert_int_equal(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &opened), 0);
		close(fd);
		cowfs_translate_statx(fs, &opened);
		assert_true(S_ISSOCK(opened.stx_mode) && opened.stx_ino == named.stx_ino);
		assert_int_equal(open_in("h/socket", O_RDONLY), -ENXIO);
		reopen_view();
	}
}

static int remove_blob(void *ctx, BlobId id)
{
	return blob_remove(ctx, id);
}

static void a_missing_blob_is_refused(void **state)
{
	BlobStore *blobs = NULL;
	(void)state;
	put("h/a", "changed");
	assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
	assert_int_equal(blob_ops_find("dir")->open(at("blobs"), 0, &blobs, NULL), 0);
	assert_int_equal(blob_iterate(blobs, remove_blob, blobs), 0);
	blob_close(blobs);
	assert_int_equal(open_view(0), -EUCLEAN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(writing_leaves_the_host_as_it_was_and_survives_reopening),
		CASE(identity_does_not_change_by_copy_up_or_rename),
		CASE(a_renamed_host_directory_is_one_change),
		CASE(removed_names_stay_removed),
		CASE(changed_back_is_not_a_change),
		CASE(hard_links_of_a_host_file_move_together),
		CASE(an_unlinked_file_is_readable_while_open_and_its_blob_goes_afterwards),
		CASE(hidden_is_not_deleted_even_after_a_guest_made_its_own),
		CASE(a_grant_changes_the_host_and_a_read_only_one_refuses),
		CASE(what_is_in_a_pinned_directory_is_not_kept),
		CASE(a_socket_without_server_can_be_opened_as_a_path_also_in_the_next_run),
		CASE(a_missing_blob_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
