/* tests/unit/test_cowfs.c - the view on a small host tree: what is kept, what is shown after opening again, what is reported as changed. */
#include "cowfs/cowfs.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/xattr.h>

#include <cmocka.h>

static char base[64];
static Cowfs *fs;
static const CowCred cred = {.uid = 0};
static const CowReq req = {.cred = &cred, .may_block = true};

static const char *at(const char *rest)
{
	static char buf[4][PATH_MAX];
	static int turn;
	char *out = buf[turn++ % 4];

	snprintf(out, PATH_MAX, "%s/%s", base, rest);
	return out;
}

static void put_host(const char *name, const char *text)
{
	int fd = open(at(name), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(bv_write_full(fd, text, strlen(text)), 0);
	close(fd);
}

static int open_view(unsigned flags)
{
	char *err = NULL;
	CowfsConfig config = {.db_path = at("meta.db"), .mark_dir = at("mark"), .flags = flags};

	assert_int_equal(blob_ops_find("dir")->open(at("blobs"), BLOB_OPEN_CREATE, &config.blobs, &err), 0);
	int rc = cowfs_open(&config, &fs, &err);
	if (rc < 0) {
		print_message("%s\n", err);
		fs = NULL;
	}
	free(err);
	return rc;
}

static void reopen_view(void)
{
	assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
	assert_int_equal(open_view(0), 0);
}

static int setup(void **state)
{
	(void)state;
	strcpy(base, "/var/tmp/cowfs-test-XXXXXX");
	assert_non_null(mkdtemp(base));
	assert_int_equal(mkdir(at("h"), 0755), 0);
	assert_int_equal(mkdir(at("h/sub"), 0755), 0);
	assert_int_equal(mkdir(at("mark"), 0700), 0);
	put_host("h/a", "alpha");
	put_host("h/sub/b", "beta");
	assert_int_equal(open_view(COWFS_CREATE), 0);
	return 0;
}

static int teardown(void **state)
{
	char *err = NULL;

	(void)state;
	if (fs) {
		assert_int_equal(cowfs_check(fs, &err), 0);
		assert_int_equal(cowfs_close(fs), 0);
	}
	fs = NULL;
	return bv_remove_tree_at(AT_FDCWD, base);
}

static int open_in(const char *name, int flags)
{
	struct open_how how = {.flags = (unsigned)flags, .mode = flags & O_CREAT ? 0644 : 0};
	CowFile file = {.fd = -1};
	int rc = cowfs_openat(fs, &req, NULL, at(name), &how, &file);

	return rc < 0 ? rc : file.fd;
}

static void put(const char *name, const char *text)
{
	int fd = open_in(name, O_CREAT | O_TRUNC | O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(bv_write_full(fd, text, strlen(text)), 0);
	close(fd);
}

static void assert_text(const char *name, const char *text)
{
	char buf[64] = "";
	int fd = open_in(name, O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(bv_read_full(fd, buf, sizeof buf - 1), strlen(text));
	assert_string_equal(buf, text);
	close(fd);
}

static int stat_in(const char *name, struct statx *st)
{
	return cowfs_statx(fs, &req, NULL, at(name), COW_NOFOLLOW, STATX_BASIC_STATS, st);
}

static char told[4096];

static int tell(void *ctx, const CowChange *c)
{
	size_t n = strlen(told), skip = strlen(base) + 1;

	(void)ctx;
	snprintf(told + n, sizeof told - n, "%c %s%s%s\n", "AMDTR"[c->kind], c->path + skip, c->old_path ? " < " : "", c->old_path ? c->old_path + skip : "");
	return 0;
}

static void assert_changes(const char *expected)
{
	told[0] = '\0';
	assert_int_equal(cowfs_changes(fs, false, tell, NULL), 0);
	assert_string_equal(told, expected);
}

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

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

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
		CASE(a_missing_blob_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
