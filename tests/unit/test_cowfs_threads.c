/* tests/unit/test_cowfs_threads.c - look-ups, changes and commits from several threads at once. Built with ThreadSanitizer it finds races; built
 * without, the invariants at the end must hold. */
#include "tests/unit/cowfs_view.h"

#include <pthread.h>

#define ROUNDS 400

static _Atomic int surprises; /* cmocka's assertions work in the main thread only */

static void expect(bool good)
{
	if (!good)
		surprises++;
}

static void name_of(char out[PATH_MAX], const char *name)
{
	snprintf(out, PATH_MAX, "%s/h/%s", base, name);
}

static void new_name(char out[PATH_MAX], int i)
{
	snprintf(out, PATH_MAX, "%s/h/sub/new%d", base, i % 16);
}

static void *look(void *arg)
{
	char path[PATH_MAX], buf[4096];
	struct statx st;

	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		new_name(path, i);
		if (i % 2)
			name_of(path, "sub/b");
		int rc = cowfs_statx(fs, &req, NULL, path, COW_NOFOLLOW, STATX_BASIC_STATS, &st);
		expect(rc == 0 || rc == -ENOENT);
		if (rc == 0)
			cowfs_translate_statx(fs, &st);
		struct open_how how = {.flags = O_RDONLY};
		CowFile file;
		rc = cowfs_openat(fs, &req, NULL, path, &how, &file);
		expect(rc == 0 || rc == -ENOENT);
		if (rc == 0)
			close(file.fd);
		CowLoc dir = {0};
		uint64_t pos = 0;
		name_of(path, "sub");
		if (cowfs_resolve(fs, &req, NULL, path, COW_DIRECTORY, 0, &dir) == 0) {
			expect(cowfs_getdents(fs, &req, &dir, &pos, buf, sizeof buf) > 0);
			cowloc_release(&dir);
		}
	}
	return NULL;
}

static void *change(void *arg)
{
	char path[PATH_MAX], other[PATH_MAX];
	int first = *(int *)arg;

	for (int i = 0; i < ROUNDS; i++) {
		struct open_how how = {.flags = O_CREAT | O_RDWR, .mode = 0644};
		CowFile file;
		new_name(path, first + i);
		new_name(other, first + i + 5);
		int rc = cowfs_openat(fs, &req, NULL, path, &how, &file);
		expect(rc == 0);
		if (rc == 0) {
			expect(write(file.fd, "x", 1) == 1);
			close(file.fd);
		}
		rc = i % 3 ? cowfs_unlink(fs, &req, NULL, path, 0) : cowfs_rename(fs, &req, NULL, path, NULL, other, 0);
		expect(rc == 0 || rc == -ENOENT);
		CowAttr attr = {.set = COW_SET_MODE, .mode = (mode_t)(0600 + i % 64)};
		name_of(path, "a");
		expect(cowfs_setattr(fs, &req, NULL, path, 0, &attr) == 0);
	}
	return NULL;
}

static void *commit(void *arg)
{
	CowfsStats stats;

	(void)arg;
	for (int i = 0; i < ROUNDS / 10; i++) {
		expect(cowfs_commit(fs, i % 2) == 0);
		cowfs_stats(fs, &stats);
	}
	return NULL;
}

static void threads_may_do_anything_at_once(void **state)
{
	void *(*const work[])(void *) = {look, look, change, change, commit};
	pthread_t threads[ARRAY_LEN(work)];
	int first[ARRAY_LEN(work)];
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(work); i++) {
		first[i] = (int)i * 3;
		assert_int_equal(pthread_create(&threads[i], NULL, work[i], &first[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(work); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(surprises, 0);
	char *err = NULL;
	assert_int_equal(cowfs_check(fs, &err), 0);
	reopen_view();
}

static void *open_for_writing(void *arg)
{
	struct open_how how = {.flags = O_RDWR};
	CowFile file;
	int rc = cowfs_openat(fs, &req, NULL, arg, &how, &file);

	expect(rc == 0);
	if (rc == 0)
		close(file.fd);
	return NULL;
}

static void large_copy_ups_of_one_file_at_once_give_one_body(void **state)
{
	pthread_t threads[3];
	char path[PATH_MAX];
	CowfsStats stats;
	(void)state;
	int fd = open(at("h/large"), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
	assert_int_equal(ftruncate(fd, 4 * COWFS_INLINE_COPY), 0);
	assert_int_equal(pwrite(fd, "end", 3, 4 * COWFS_INLINE_COPY - 3), 3);
	close(fd);
	name_of(path, "large");
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, open_for_writing, path), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(surprises, 0);
	cowfs_stats(fs, &stats);
	assert_int_equal(stats.blobs, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(threads_may_do_anything_at_once),
		CASE(large_copy_ups_of_one_file_at_once_give_one_body),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
