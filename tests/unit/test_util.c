/* tests/unit/test_util.c - base/util.h: ownership helpers, whole reads and writes, trees. */
#include "base/util.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static char dir[] = "/tmp/bvisor-util-XXXXXX";

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	return chdir("/") == 0 ? bv_remove_tree_at(AT_FDCWD, dir) : -1;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static int hand_over(int fd, bool take)
{
	CLEAN_FD int mine = fd;

	return take ? TAKE_FD(mine) : -1;
}

static void clean_fd_closes_unless_taken_and_keeps_errno(void **state)
{
	int fd = dup(0);

	(void)state;
	errno = ENOTTY;
	assert_int_equal(hand_over(fd, true), fd);
	assert_true(is_open(fd));
	errno = ENOTTY;
	assert_int_equal(hand_over(fd, false), -1);
	assert_int_equal(errno, ENOTTY);
	assert_false(is_open(fd));
}

static void take_ptr_leaves_null(void **state)
{
	char *p = strdup("x"), *q;

	(void)state;
	q = TAKE_PTR(p);
	assert_null(p);
	assert_string_equal(q, "x");
	free(q);
}

static void neg_errno_is_never_success(void **state)
{
	(void)state;
	errno = ENOENT;
	assert_int_equal(bv_neg_errno(), -ENOENT);
	errno = 0;
	assert_true(bv_neg_errno() < 0);
}

static void fail_replaces_the_message_and_returns_the_code(void **state)
{
	char *err = NULL;

	(void)state;
	assert_int_equal(bv_fail(&err, -EINVAL, "%s %d", "first", 1), -EINVAL);
	assert_string_equal(err, "first 1");
	assert_int_equal(bv_fail(&err, -EIO, "second: %s", err), -EIO); /* may use the old one */
	assert_string_equal(err, "second: first 1");
	assert_int_equal(bv_fail(NULL, -EIO, "%s", "nobody listens"), -EIO);
	free(err);
}

static void read_full_gathers_short_reads_of_a_pipe(void **state)
{
	int p[2], status;
	char buf[300000];

	(void)state;
	assert_int_equal(pipe(p), 0);
	pid_t pid = fork();
	if (pid == 0) {
		char data[300000];
		memset(data, 'd', sizeof data);
		_exit(bv_write_full(p[1], data, sizeof data) == 0 ? 0 : 1);
	}
	close(p[1]);
	assert_int_equal(bv_read_full(p[0], buf, 100), 100);
	assert_int_equal(bv_read_full(p[0], buf, sizeof buf), sizeof buf - 100);
	assert_int_equal(buf[sizeof buf - 101], 'd');
	assert_int_equal(bv_read_full(p[0], buf, 10), 0);
	close(p[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void read_and_write_full_report_errors(void **state)
{
	char c = 0;

	(void)state;
	assert_int_equal(bv_read_full(-1, &c, 1), -EBADF);
	assert_int_equal(bv_write_full(-1, &c, 1), -EBADF);
	CLEAN_FD int full = open("/dev/full", O_WRONLY);
	assert_int_equal(bv_write_full(full, &c, 1), -ENOSPC);
}

static void put(const char *path, const char *text)
{
	CLEAN_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(bv_write_full(fd, text, strlen(text)), 0);
}

static void read_file_gives_everything_terminated_or_efbig(void **state)
{
	char *text = NULL, big[10001];

	(void)state;
	memset(big, 'b', sizeof big);
	big[10000] = 0;
	put("f", big);
	assert_int_equal(bv_read_file_at(AT_FDCWD, "f", 10000, &text), 10000);
	assert_string_equal(text, big);
	free(TAKE_PTR(text));
	assert_int_equal(bv_read_file_at(AT_FDCWD, "f", 9999, &text), -EFBIG);
	assert_int_equal(bv_read_file_at(AT_FDCWD, "none", 9999, &text), -ENOENT);
	assert_null(text);
	put("f", "");
	assert_int_equal(bv_read_file_at(AT_FDCWD, "f", 0, &text), 0);
	assert_string_equal(text, "");
	free(TAKE_PTR(text));
	assert_true(bv_read_file_at(AT_FDCWD, "/proc/self/status", 65536, &text) > 100);
	free(text);
}

static void mkdir_all_makes_what_is_missing(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(bv_mkdir_all("m/a/b/c"), 0);
	assert_int_equal(stat("m/a/b/c", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(bv_mkdir_all("m/a/b/c"), 0);
	assert_int_equal(bv_mkdir_all("m/a/b/d/"), 0);
	assert_int_equal(stat("m/a/b/d", &st), 0);
	put("m/file", "");
	assert_int_equal(bv_mkdir_all("m/file/x"), -ENOTDIR);
}

static void remove_tree_takes_the_tree_and_no_link_target(void **state)
{
	(void)state;
	assert_int_equal(bv_mkdir_all("t/x/y"), 0);
	assert_int_equal(bv_mkdir_all("keep"), 0);
	put("keep/file", "kept");
	put("t/x/file", "");
	assert_int_equal(symlink("../../keep", "t/x/link"), 0);
	assert_int_equal(mkfifo("t/fifo", 0600), 0);
	assert_int_equal(bv_remove_tree_at(AT_FDCWD, "t"), 0);
	assert_int_equal(access("t", F_OK), -1);
	assert_int_equal(access("keep/file", F_OK), 0);
	assert_int_equal(bv_remove_tree_at(AT_FDCWD, "t"), 0);
	assert_int_equal(symlink("keep", "link"), 0);
	assert_int_equal(bv_remove_tree_at(AT_FDCWD, "link"), 0);
	assert_int_equal(access("keep/file", F_OK), 0);
	assert_int_equal(bv_remove_tree_at(AT_FDCWD, "keep/file"), 0);
	assert_int_equal(access("keep/file", F_OK), -1);
}

static void remove_tree_copes_with_many_entries(void **state)
{
	char name[32];

	(void)state;
	assert_int_equal(bv_mkdir_all("many"), 0);
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof name, "many/%d", i);
		put(name, "");
	}
	assert_int_equal(bv_remove_tree_at(AT_FDCWD, "many"), 0);
	assert_int_equal(access("many", F_OK), -1);
}

static void clocks_do_not_run_backwards(void **state)
{
	uint64_t last = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		uint64_t now = bv_now_ns();
		assert_true(now >= last);
		assert_true(bv_now_coarse_ns() <= now + 20000000);
		last = now;
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean_fd_closes_unless_taken_and_keeps_errno),
		cmocka_unit_test(take_ptr_leaves_null),
		cmocka_unit_test(neg_errno_is_never_success),
		cmocka_unit_test(fail_replaces_the_message_and_returns_the_code),
		cmocka_unit_test(read_full_gathers_short_reads_of_a_pipe),
		cmocka_unit_test(read_and_write_full_report_errors),
		cmocka_unit_test(read_file_gives_everything_terminated_or_efbig),
		cmocka_unit_test(mkdir_all_makes_what_is_missing),
		cmocka_unit_test(remove_tree_takes_the_tree_and_no_link_target),
		cmocka_unit_test(remove_tree_copes_with_many_entries),
		cmocka_unit_test(clocks_do_not_run_backwards),
	};
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
