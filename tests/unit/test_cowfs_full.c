/* tests/unit/test_cowfs_full.c - disks that are full or read-only: a clear error, and what is there stays readable. */
#include "tests/unit/cowfs_view.h"

#include <sys/mount.h>

extern int (*cowfs_fault_hook)(const char *step); /* of cowfs/internal.h */
static const char *failing; /* the step that answers ENOSPC */

static int full_disk(const char *step)
{
	return failing && strcmp(step, failing) == 0 ? -ENOSPC : 0;
}

static int teardown_full(void **state)
{
	failing = NULL;
	cowfs_fault_hook = NULL;
	IGNORE_RESULT(umount2(at("small"), MNT_DETACH)); /* of a test that failed */
	return teardown(state);
}

static void no_space_for_a_new_file(void **state)
{
	struct statx st;
	(void)state;
	put("h/first", "1");
	cowfs_fault_hook = full_disk;
	failing = "blob create";
	assert_int_equal(open_in("h/new", O_CREAT | O_WRONLY), -ENOSPC);
	assert_int_equal(cowfs_mknod(fs, &req, NULL, at("h/fifo"), S_IFIFO | 0600, 0), -ENOSPC);
	assert_int_equal(stat_in("h/new", &st), -ENOENT);
	assert_int_equal(stat_in("h/fifo", &st), -ENOENT);
	assert_text("h/first", "1");
	failing = NULL;
	put("h/new", "2");
	reopen_view();
	assert_text("h/new", "2");
}

static void no_space_for_a_copy(void **state)
{
	CowfsStats stats;
	(void)state;
	cowfs_fault_hook = full_disk;
	failing = "copy";
	assert_int_equal(open_in("h/a", O_WRONLY), -ENOSPC);
	assert_int_equal(cowfs_truncate(fs, &req, NULL, at("h/a"), 3), -ENOSPC);
	assert_text("h/a", "alpha");
	cowfs_stats(fs, &stats);
	assert_int_equal(stats.blobs, 0);
	failing = NULL;
	assert_int_equal(cowfs_truncate(fs, &req, NULL, at("h/a"), 3), 0);
	reopen_view();
	assert_text("h/a", "alp");
}

static void no_space_for_a_commit(void **state)
{
	static const char *const steps[] = {"database create" /* the first write of all */, "database exec", "database step"};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		cowfs_fault_hook = full_disk;
		failing = steps[i];
		put("h/new", "new");
		int made = cowfs_mkdir(fs, &req, NULL, at("h/dir"), 0755);
		assert_true(made == 0 || made == -ENOSPC); /* if that took 50 ms */
		assert_int_equal(cowfs_commit(fs, true), -ENOSPC);
		assert_text("h/new", "new");
		failing = NULL;
		assert_int_equal(cowfs_commit(fs, true), 0);
		if (made < 0)
			assert_int_equal(cowfs_mkdir(fs, &req, NULL, at("h/dir"), 0755), 0);
		reopen_view();
		assert_text("h/new", "new");
		assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/new"), 0), 0);
		assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/dir"), AT_REMOVEDIR), 0);
	}
}

/* While batches fail, nothing is promised that would need one; what may make room is done. */
static void changes_are_refused_while_commits_fail(void **state)
{
	static const CowAttr chmod_600 = {.set = COW_SET_MODE, .mode = 0600};
	struct statx st;
	(void)state;
	put("h/first", "1");
	put("h/second", "2");
	assert_int_equal(cowfs_commit(fs, true), 0);
	cowfs_fault_hook = full_disk;
	failing = "database exec";
	put("h/third", "3");
	assert_int_equal(cowfs_commit(fs, true), -ENOSPC);
	assert_int_equal(cowfs_commit(fs, true), -ENOSPC);
	assert_int_equal(cowfs_mkdir(fs, &req, NULL, at("h/dir"), 0755), -ENOSPC);
	assert_int_equal(open_in("h/new", O_CREAT | O_WRONLY), -ENOSPC);
	assert_int_equal(open_in("h/a", O_WRONLY), -ENOSPC);
	assert_int_equal(cowfs_setattr(fs, &req, NULL, at("h/a"), 0, &chmod_600), -ENOSPC);
	assert_int_equal(cowfs_setxattr(fs, &req, NULL, at("h/a"), 0, "user.x", "1", 1, 0), -ENOSPC);
	assert_int_equal(cowfs_link(fs, &req, NULL, at("h/first"), NULL, at("h/link"), 0), -ENOSPC);
	assert_int_equal(cowfs_symlink(fs, &req, "a", NULL, at("h/link")), -ENOSPC);
	assert_int_equal(cowfs_rename(fs, &req, NULL, at("h/first"), NULL, at("h/moved"), 0), -ENOSPC);
	assert_int_equal(cowfs_mkdir(fs, &req, NULL, at("h/first"), 0755), -EEXIST);
	assert_text("h/first", "1");
	assert_int_equal(cowfs_truncate(fs, &req, NULL, at("h/second"), 0), 0);
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/first"), 0), 0);
	failing = NULL;
	assert_int_equal(cowfs_commit(fs, false), 0);
	assert_int_equal(cowfs_mkdir(fs, &req, NULL, at("h/dir"), 0755), 0);
	reopen_view();
	assert_int_equal(stat_in("h/first", &st), -ENOENT);
	assert_changes("A h/dir\nA h/second\nA h/third\n");
}

static void fill_disk(const char *name)
{
	static char junk[65536];
	int fd = open_in(name, O_CREAT | O_WRONLY);

	assert_true(fd >= 0);
	for (ssize_t n = sizeof junk; n > 0; n /= 2)
		while (write(fd, junk, (size_t)n) > 0)
			;
	close(fd);
}

static int mount_small(void)
{
	char *err = NULL;

	assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
	assert_int_equal(mkdir(at("small"), 0755), 0);
	if (mount("tmpfs", at("small"), "tmpfs", 0, "size=3m") < 0)
		return open_view(0), -1;
	CowfsConfig config = {.db_path = at("small/meta.db"), .mark_dir = at("mark"), .flags = COWFS_CREATE};
	assert_int_equal(blob_ops_find("dir")->open(at("small/blobs"), BLOB_OPEN_CREATE, &config.blobs, &err), 0);
	assert_int_equal(cowfs_open(&config, &fs, &err), 0);
	return 0;
}

/* What fills the disk is removed: that can be written, and then there is room. `written`: the database had rows before. */
static void a_full_disk_is_emptied_by_a_removal(void **state)
{
	struct stat st;
	(void)state;
	for (int written = 0; written < 2; written++) {
		if (mount_small() < 0)
			skip(); /* only root may mount */
		put("h/one", "first");
		if (written)
			assert_int_equal(cowfs_commit(fs, false), 0);
		fill_disk("h/big");
		IGNORE_RESULT(cowfs_commit(fs, false));
		assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/big"), 0), 0);
		int rc = -ENOSPC;
		for (int i = 0; i < 100 && rc == -ENOSPC; i++) {
			usleep(50000);
			rc = cowfs_mkdir(fs, &req, NULL, at("h/dir"), 0755);
		}
		assert_int_equal(rc, 0);
		assert_int_equal(cowfs_commit(fs, false), 0);
		assert_int_equal(stat(at("small/meta.db"), &st), 0);
		assert_true(st.st_blocks * 512 >= st.st_size + (512 << 10)); /* room is kept again */
		assert_changes("A h/dir\nA h/one\n");
		assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
		assert_int_equal(umount(at("small")), 0);
		assert_int_equal(rmdir(at("small")), 0);
		assert_int_equal(open_view(0), 0);
	}
}

/* As another user, who may look at the sandbox but not write beside the database. */
static int open_as_looker(void)
{
	assert_int_equal(chmod(base, 0555), 0);
	assert_int_equal(chmod(at("meta.db"), 0444), 0);
	IGNORE_RESULT(chmod(at("meta.db-wal"), 0444)); /* it need not be there */
	assert_int_equal(chmod(at("blobs"), 0755), 0);
	assert_int_equal(chmod(at("blobs/format"), 0444), 0);
	assert_int_equal(chmod(at("blobs/0"), 0755), 0);
	assert_int_equal(seteuid(65534), 0);
	char *err = NULL;
	CowfsConfig config = {.db_path = at("meta.db"), .flags = COWFS_READONLY};
	int rc = blob_ops_find("dir")->open(at("blobs"), BLOB_OPEN_READONLY, &config.blobs, &err);
	if (rc == 0)
		rc = cowfs_open(&config, &fs, &err);
	if (rc < 0)
		print_message("%s\n", err);
	free(err);
	return rc;
}

static void looking_needs_no_right_to_write(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip(); /* only root can become another user */
	for (int last = 0; last < 3; last++) {
		if (last)
			assert_int_equal(open_view(0), 0);
		put("h/new", last ? "again" : "new");
		assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
		if (last != 1)
			IGNORE_RESULT(unlink(at("meta.db-shm"))); /* as after a copy of the directory */
		int rc = open_as_looker();
		if (rc == 0)
			assert_changes("A h/new\n");
		assert_int_equal(seteuid(0), 0);
		assert_int_equal(rc, 0);
		assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
		assert_int_equal(chmod(base, 0755), 0);
		assert_int_equal(chmod(at("meta.db"), 0600), 0);
	}
	assert_int_equal(open_view(0), 0);
}

#define FULL(f) cmocka_unit_test_setup_teardown(f, setup, teardown_full)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FULL(no_space_for_a_new_file),
		FULL(no_space_for_a_copy),
		FULL(no_space_for_a_commit),
		FULL(changes_are_refused_while_commits_fail),
		FULL(a_full_disk_is_emptied_by_a_removal),
		FULL(looking_needs_no_right_to_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
