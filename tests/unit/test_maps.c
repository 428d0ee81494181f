/* tests/unit/test_maps.c - which files a process has mapped. */
#include "base/maps.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static char file[] = "/var/tmp/maps-test-XXXXXX";
static struct stat st;
static int as_shared, as_private, as_deleted;

static void count(void *ctx, const char *path, uint64_t ino, bool shared)
{
	(void)ctx;
	if (strncmp(path, file, strlen(file)) != 0)
		return;
	assert_int_equal(ino, st.st_ino);
	as_shared += shared;
	as_private += !shared;
	as_deleted += strcmp(path + strlen(file), " (deleted)") == 0;
}

static void reset(void)
{
	as_shared = as_private = as_deleted = 0;
}

static void what_is_mapped_is_seen_after_its_descriptor_was_closed(void **state)
{
	(void)state;
	int fd = open(file, O_RDONLY);
	void *shared = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0), *own = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	assert_true(shared != MAP_FAILED && own != MAP_FAILED);
	close(fd);
	reset();
	assert_int_equal(maps_of_process(getpid(), count, NULL), 0);
	assert_true(as_shared == 1 && as_private == 1 && as_deleted == 0);
	munmap(own, 1);
	reset();
	assert_int_equal(maps_of_all("/proc", NULL, NULL, count, NULL), 0);
	assert_true(as_shared == 1 && as_private == 0);
	munmap(shared, 1);
	reset();
	assert_int_equal(maps_of_process(getpid(), count, NULL), 0);
	assert_true(as_shared == 0 && as_private == 0);
}

/* Of the first thread, which shows none any more when it has ended. */
static bool has_memory(void)
{
	CLEAN_FREE char *text = NULL;

	return bv_read_file_at(AT_FDCWD, "/proc/self/maps", 1 << 20, &text) > 0;
}

static void *wait_for_the_end(void *ctx)
{
	char byte = 0;

	while (has_memory())
		usleep(1000);
	IGNORE_RESULT(write(*(int *)ctx, &byte, 1));
	while (pause() < 0)
		;
	return NULL;
}

static void a_process_whose_first_thread_has_ended_is_seen(void **state)
{
	int ready[2], status;
	char byte;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	if (pid == 0) {
		pthread_t thread;
		int fd = open(file, O_RDWR);
		if (mmap(NULL, 1, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED || unlink(file) < 0 || pthread_create(&thread, NULL, wait_for_the_end, &ready[1]) != 0)
			_exit(1);
		close(fd);
		pthread_exit(NULL);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	reset();
	assert_int_equal(maps_of_process(pid, count, NULL), 0);
	assert_true(as_shared >= 1 && as_deleted == as_shared);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	reset();
	assert_int_equal(maps_of_process(pid, count, NULL), 0);
	assert_int_equal(as_shared, 0);
}

static int make_file(void **state)
{
	int fd = mkstemp(file);

	(void)state;
	int rc = fd < 0 || ftruncate(fd, 1) < 0 || fstat(fd, &st) < 0 ? -1 : 0;
	close(fd);
	return rc;
}

static int remove_file(void **state)
{
	(void)state;
	unlink(file);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_mapped_is_seen_after_its_descriptor_was_closed),
		cmocka_unit_test(a_process_whose_first_thread_has_ended_is_seen),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
