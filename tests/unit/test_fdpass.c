/* tests/unit/test_fdpass.c - descriptors through a socket while the user has too many on their way. */
#include "base/fdpass.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

enum { LIMIT = 64, OTHER_USER = 65533 };

static void *drain(void *arg)
{
	int *pair = arg;

	nanosleep(&(struct timespec){0, 100000000}, NULL);
	close(pair[0]);
	close(pair[1]);
	return NULL;
}

/* In a process of its own without privilege, as the kernel does not hold root to the limit. The number of the step that failed. */
static int crowded(void)
{
	struct rlimit limit = {LIMIT, LIMIT};
	int full[2], pair[2], fds[FDPASS_MAX] = {0}, r = 0;
	pthread_t drainer;

	if (geteuid() == 0 && (setresgid(OTHER_USER, OTHER_USER, OTHER_USER) < 0 || setresuid(OTHER_USER, OTHER_USER, OTHER_USER) < 0))
		return 1;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, full) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return 2;
	for (int i = 0; r == 0 && i <= LIMIT; i++)
		r = bv_send_fds(full[0], "x", 1, fds, FDPASS_MAX, 0);
	if (r != -ETOOMANYREFS)
		return 3;
	if (bv_send_fds(pair[0], "x", 1, NULL, 0, 0) < 0) /* without descriptors nothing is counted */
		return 4;
	if (pthread_create(&drainer, NULL, drain, full) != 0)
		return 5;
	r = bv_send_fds(pair[0], "x", 1, fds, 1, FDPASS_PATIENCE);
	pthread_join(drainer, NULL);
	return r < 0 ? 6 : 0;
}

static void waits_until_there_is_room(void **state)
{
	int status;

	(void)state;
	pid_t pid = fork();
	if (pid == 0)
		_exit(crowded());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void says_what_is_wrong(void **state)
{
	int pair[2], fds[FDPASS_MAX + 1] = {0}, none = -1;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(bv_send_fds(pair[0], "x", 1, fds, FDPASS_MAX + 1, 0), -EINVAL);
	assert_int_equal(bv_send_fds(pair[0], "x", 1, &none, 1, 0), -EBADF);
	close(pair[1]);
	assert_int_equal(bv_send_fds(pair[0], "x", 1, fds, 1, FDPASS_PATIENCE), -EPIPE);
	close(pair[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_until_there_is_room),
		cmocka_unit_test(says_what_is_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
