/* tests/unit/test_cowfs_quota.c - bounds on what a layer takes: what is refused, what is counted, what is free again. */
#include "tests/unit/cowfs_view.h"

#include <stdatomic.h>

#define KIB 1024u

static atomic_uint wakes;

static void wake(void *ctx)
{
	(void)ctx;
	atomic_fetch_add(&wakes, 1);
}

static void bound(uint64_t bytes, uint64_t files)
{
	const CowQuotaConfig config = {.bytes = bytes, .files = files, .wake = wake};

	assert_int_equal(cowfs_quota_start(fs, &config), 0);
}

static void fill(int fd, size_t kib)
{
	static char block[KIB];

	memset(block, 'x', sizeof block);
	for (size_t i = 0; i < kib; i++)
		assert_int_equal(bv_write_full(fd, block, sizeof block), 0);
}

static size_t look(CowGrowing *growing, size_t room)
{
	size_t n = room;

	assert_true(cowfs_quota_look(fs, growing, &n) > 0);
	return n;
}

static uint64_t used(void)
{
	CowQuotaUsage u;

	look(NULL, 0);
	cowfs_quota_usage(fs, &u);
	return u.bytes;
}

static void new_records_beyond_the_bound_are_refused(void **state)
{
	struct statx st;

	(void)state;
	bound(0, 6); /* h, and what leads to it, are records, too */
	int made = 0;
	for (char name[] = "h/0"; name[2] < '9'; name[2]++) {
		int r = cowfs_mkdir(fs, &req, NULL, at(name), 0755);
		assert_true(r == 0 || r == -EDQUOT);
		made += r == 0;
	}
	assert_in_range(made, 1, 5);
	assert_int_equal(cowfs_quota_full(fs), COW_FULL_FILES);
	assert_int_equal(open_in("h/new", O_CREAT | O_WRONLY), -EDQUOT);
	assert_int_equal(cowfs_symlink(fs, &req, "x", NULL, at("h/link")), -EDQUOT);
	assert_int_equal(cowfs_mknod(fs, &req, NULL, at("h/fifo"), S_IFIFO | 0600, 0), -EDQUOT);
	assert_int_equal(open_in("h/a", O_WRONLY), -EDQUOT);
	assert_int_equal(cowfs_truncate(fs, &req, NULL, at("h/a"), 0), -EDQUOT);
	assert_int_equal(cowfs_rename(fs, &req, NULL, at("h/a"), NULL, at("h/moved"), 0), -EDQUOT);
	assert_int_equal(stat_in("h/new", &st), -ENOENT);
	assert_text("h/a", "alpha");
	/* What makes room is never refused. */
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/0"), AT_REMOVEDIR), 0);
	assert_int_equal(open_in("h/no/way", O_CREAT | O_WRONLY), -ENOENT); /* the kernel's order: it looks first */
	int fd = open_in("h/new", O_CREAT | O_WRONLY);
	assert_true(fd >= 0);
	close(fd);
}

static void what_is_written_natively_is_counted(void **state)
{
	CowGrowing growing[4];
	struct statx st;

	(void)state;
	bound(256 * KIB, 0);
	atomic_store(&wakes, 0);
	int fd = open_in("h/new", O_CREAT | O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(atomic_load(&wakes), 1);
	fill(fd, 200);
	assert_int_equal(look(growing, 4), 0); /* it grows, but there is room */
	assert_in_range(used(), 200 * KIB, 230 * KIB);
	fill(fd, 100);
	assert_int_equal(look(growing, 4), 1);
	assert_int_equal(stat_in("h/new", &st), 0);
	struct stat host;
	assert_int_equal(fstat(fd, &host), 0);
	assert_true(growing[0].ino == host.st_ino && growing[0].dev == host.st_dev);
	assert_int_equal(look(growing, 4), 0); /* too much, and it does not grow */
	assert_int_equal(cowfs_quota_full(fs), COW_FULL_BYTES);
	assert_int_equal(open_in("h/more", O_CREAT | O_WRONLY), -EDQUOT);
	assert_int_equal(cowfs_quota_promise(fs, 1), -EDQUOT);
	/* A look of somebody else does not take the growth away from who stops writers. */
	fill(fd, 10);
	look(NULL, 0);
	assert_int_equal(look(growing, 4), 1);
	close(fd);
}

static void what_goes_is_free_again(void **state)
{
	(void)state;
	bound(256 * KIB, 0);
	for (int i = 0; i < 3; i++) { /* stored, and then not */
		int fd = open_in("h/new", O_CREAT | O_WRONLY);
		assert_true(fd >= 0);
		fill(fd, 250);
		close(fd);
		assert_true(used() >= 250 * KIB);
		if (i == 0)
			assert_int_equal(cowfs_commit(fs, false), 0);
		assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/new"), 0), 0);
		cowfs_quota_settle(fs);
		assert_true(used() < 50 * KIB);
	}
	int fd = open_in("h/open", O_CREAT | O_WRONLY);
	assert_true(fd >= 0);
	fill(fd, 250);
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/open"), 0), 0);
	cowfs_quota_settle(fs);
	assert_true(used() >= 250 * KIB); /* somebody has it open */
	close(fd);
	cowfs_quota_settle(fs);
	assert_true(used() < 50 * KIB);
	fd = open_in("h/cut", O_CREAT | O_WRONLY);
	assert_true(fd >= 0);
	fill(fd, 250);
	close(fd);
	look(NULL, 0);
	look(NULL, 0);
	assert_int_equal(cowfs_truncate(fs, &req, NULL, at("h/cut"), 0), 0);
	assert_true(used() < 50 * KIB);
}

static void a_copy_that_does_not_fit_is_not_made(void **state)
{
	CowfsStats stats;

	(void)state;
	int fd = open(at("h/big"), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	fill(fd, 300);
	close(fd);
	bound(256 * KIB, 0);
	assert_int_equal(open_in("h/big", O_WRONLY), -EDQUOT);
	assert_int_equal(cowfs_truncate(fs, &req, NULL, at("h/big"), 5), -EDQUOT);
	cowfs_stats(fs, &stats);
	assert_int_equal(stats.blobs, 0);
	assert_true(used() < 50 * KIB); /* nothing stays reserved */
	fd = open_in("h/big", O_WRONLY | O_TRUNC);
	assert_true(fd >= 0);
	close(fd);
	fd = open_in("h/a", O_WRONLY);
	assert_true(fd >= 0);
	close(fd);
}

static void a_promise_counts_for_a_moment(void **state)
{
	(void)state;
	bound(1024 * KIB, 0);
	assert_int_equal(cowfs_quota_promise(fs, 900 * KIB), 0);
	assert_int_equal(cowfs_quota_promise(fs, 900 * KIB), -EDQUOT);
	cowfs_quota_settle(fs); /* it was not kept */
	assert_int_equal(cowfs_quota_promise(fs, 900 * KIB), 0);
	assert_int_equal(cowfs_quota_promise(fs, UINT64_MAX), -EDQUOT);
}

static void what_was_there_counts(void **state)
{
	CowQuotaUsage u;
	struct statfs st;

	(void)state;
	int fd = open_in("h/old", O_CREAT | O_WRONLY);
	fill(fd, 200);
	close(fd);
	reopen_view();
	bound(256 * KIB, 100);
	cowfs_quota_usage(fs, &u);
	assert_true(u.bytes >= 200 * KIB);
	assert_in_range(u.files, 1, 10);
	assert_int_equal(cowfs_statfs(fs, &req, NULL, at("h"), 0, &st), 0);
	assert_int_equal(st.f_blocks * (uint64_t)st.f_bsize, 256 * KIB);
	assert_true(st.f_bavail * (uint64_t)st.f_bsize <= 56 * KIB);
	assert_int_equal(st.f_files, 100);
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/old"), 0), 0);
	cowfs_quota_settle(fs);
	cowfs_quota_usage(fs, &u);
	assert_true(u.bytes < 50 * KIB);
}

static void attributes_take_room(void **state)
{
	char value[4096] = "";

	(void)state;
	bound(64 * KIB, 0);
	int fd = open_in("h/new", O_CREAT | O_WRONLY);
	fill(fd, 100);
	close(fd);
	look(NULL, 0);
	assert_int_equal(cowfs_setxattr(fs, &req, NULL, at("h/new"), 0, "user.x", value, sizeof value, 0), -EDQUOT);
	const CowAttr mode = {.set = COW_SET_MODE, .mode = 0600};
	assert_int_equal(cowfs_setattr(fs, &req, NULL, at("h/new"), 0, &mode), 0); /* the record is there */
	assert_int_equal(cowfs_setattr(fs, &req, NULL, at("h/a"), 0, &mode), -EDQUOT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(new_records_beyond_the_bound_are_refused), CASE(what_is_written_natively_is_counted), CASE(what_goes_is_free_again), CASE(a_copy_that_does_not_fit_is_not_made),
	    CASE(a_promise_counts_for_a_moment),	    CASE(what_was_there_counts),	       CASE(attributes_take_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
