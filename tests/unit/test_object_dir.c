/* tests/unit/test_object_dir.c - what is particular to objects in a directory: how they lie there, links, what dead writers leave. */
#include "backends/object.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

static char dir[64];
static ObjectStore *store;

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/var/tmp/bvisor-objdir-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(object_open(dir, false, &store, NULL), 0); /* a plain path */
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	object_close(TAKE_PTR(store));
	assert_int_equal(bv_remove_tree_at(AT_FDCWD, dir), 0);
	return 0;
}

static char *at(const char *name)
{
	static char path[4][256];
	static int next;
	char *out = path[next++ % 4];

	snprintf(out, sizeof path[0], "%s/%s", dir, name);
	return out;
}

static void write_file(const char *path, const char *text)
{
	CLEAN_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(bv_write_full(fd, text, strlen(text)), 0);
}

static int count(void *ctx, const char *name, uint64_t size, int64_t age)
{
	(void)name, (void)size, (void)age;
	++*(int *)ctx;
	return 0;
}

static void an_object_is_a_plain_file(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(object_put(store, "packs/one", "text", 4, 0, NULL), 0);
	assert_int_equal(stat(at("packs/one"), &st), 0);
	assert_int_equal(st.st_size, 4);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(object_put(store, "packs/two", "text", 4, OBJECT_IF_ABSENT, NULL), 0);
	assert_int_equal(stat(at("packs/two"), &st), 0);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(rmdir(at(".tmp")), 0); /* nothing is left in it */
}

static void a_missing_directory_is_enodev_unless_it_is_made(void **state)
{
	ObjectStore *other = store;
	char *err = NULL;

	(void)state;
	assert_int_equal(object_open(at("none/here"), false, &other, &err), -ENODEV);
	assert_ptr_equal(other, store);
	assert_non_null(strstr(err, "none/here"));
	assert_int_equal(access(at("none"), F_OK), -1);
	assert_int_equal(object_open(at("none/here"), true, &other, &err), 0);
	object_close(other);
	write_file(at("file"), "");
	assert_int_equal(object_open(at("file"), false, &other, &err), -ENODEV);
	assert_int_equal(object_open("dir:", false, &other, &err), -EINVAL);
	assert_int_equal(object_open("gopher:hole", false, &other, &err), -EINVAL);
	assert_non_null(strstr(err, "gopher"));
	free(err);
}

static void links_are_never_followed(void **state)
{
	uint8_t *body;
	size_t n;
	uint64_t size;
	int shown = 0;
	char *err = NULL;

	(void)state;
	char *outside = bv_asprintf("%s.outside", dir);
	assert_int_equal(mkdir(outside, 0700), 0);
	char *victim = bv_asprintf("%s/victim", outside);
	write_file(victim, "secret");
	assert_int_equal(symlink(outside, at("way")), 0);
	assert_int_equal(symlink(victim, at("leaf")), 0);
	assert_true(object_get(store, "way/victim", 0, 0, &body, &n, NULL) < 0);
	assert_int_equal(object_get(store, "leaf", 0, 0, &body, &n, &err), -EIO);
	assert_non_null(strstr(err, "symbolic link"));
	assert_true(object_head(store, "way/victim", &size, NULL) < 0);
	assert_true(object_put(store, "way/new", "x", 1, 0, NULL) < 0);
	IGNORE_RESULT(object_delete(store, "way/victim", NULL)); /* whatever it says */
	free(err);
	err = NULL;
	assert_int_equal(object_list(store, "wa", count, &shown, &err), -EIO);
	assert_true(strstr(err, "way") && strstr(err, "symbolic link"));
	assert_int_equal(object_list(store, "way/", count, &shown, NULL), -EIO);
	assert_int_equal(object_list(store, "wa/", count, &shown, NULL), 0); /* elsewhere it is in nobody's way */
	assert_int_equal(shown, 0);
	assert_int_equal(object_put(store, "leaf", "mine", 4, 0, NULL), 0); /* replaces the link */
	char *text = NULL;
	assert_int_equal(bv_read_file_at(AT_FDCWD, victim, 100, &text), 6);
	assert_string_equal(text, "secret");
	assert_int_equal(bv_remove_tree_at(AT_FDCWD, outside), 0);
	free(text);
	free(victim);
	free(outside);
	free(err);
}

static void what_dead_writers_left_is_hidden_and_removed_after_a_day(void **state)
{
	struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
	int shown = 0;

	(void)state;
	assert_int_equal(mkdir(at(".tmp"), 0700), 0);
	write_file(at(".tmp/dead"), "half");
	write_file(at(".tmp/alive"), "half");
	assert_int_equal(utimensat(AT_FDCWD, at(".tmp/dead"), old, 0), 0);
	assert_int_equal(object_put(store, "first", "x", 1, 0, NULL), 0);
	assert_int_equal(access(at(".tmp/dead"), F_OK), -1);
	assert_int_equal(access(at(".tmp/alive"), F_OK), 0);
	assert_int_equal(object_list(store, "", count, &shown, NULL), 0);
	assert_int_equal(shown, 1);
}

static void an_object_where_a_directory_is_needed_is_told(void **state)
{
	char *err = NULL;

	(void)state;
	assert_int_equal(object_put(store, "a/b", "x", 1, 0, NULL), 0);
	assert_int_equal(object_put(store, "a", "x", 1, 0, &err), -EIO);
	assert_non_null(strstr(err, "another object"));
	assert_int_equal(object_put(store, "a/b/c", "x", 1, 0, &err), -EIO);
	free(err);
}

static void foreign_files_are_not_shown(void **state)
{
	int shown = 0;

	(void)state;
	write_file(at("with blank"), "");
	write_file(at(".hidden"), "");
	assert_int_equal(object_list(store, "", count, &shown, NULL), 0);
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
	assert_int_equal(object_list(store, "fif", count, &shown, NULL), -EIO); /* an object may have been there */
	assert_int_equal(object_list(store, "f/", count, &shown, NULL), 0);
	assert_int_equal(shown, 0);
	uint8_t *body;
	size_t n;
	assert_int_equal(object_get(store, "fifo", 0, 0, &body, &n, NULL), -EIO); /* without waiting for a writer */
}

/* Not what can be taken for one that was removed: who collects garbage would collect what it holds. */
static void what_cannot_be_looked_at_is_an_error(void **state)
{
	char *err = NULL;
	int shown = 0;

	(void)state;
	if (geteuid() == 0)
		skip(); /* root looks at everything */
	assert_int_equal(object_put(store, "refs/s/1", "x", 1, 0, NULL), 0);
	assert_int_equal(chmod(at("refs"), 0600), 0);
	int named = object_list(store, "refs/", count, &shown, &err);
	assert_int_equal(chmod(at("refs"), 0000), 0);
	int closed = object_list(store, "refs/", count, &shown, NULL);
	assert_int_equal(object_list(store, "packs/", count, &shown, NULL), 0);
	assert_int_equal(chmod(at("refs"), 0700), 0);
	assert_true(named < 0 && closed < 0 && strstr(err, "refs/s"));
	assert_int_equal(shown, 0);
	assert_int_equal(object_list(store, "refs/", count, &shown, NULL), 0);
	assert_int_equal(shown, 1);
	free(err);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_object_is_a_plain_file),
		TEST(a_missing_directory_is_enodev_unless_it_is_made),
		TEST(links_are_never_followed),
		TEST(what_dead_writers_left_is_hidden_and_removed_after_a_day),
		TEST(an_object_where_a_directory_is_needed_is_told),
		TEST(foreign_files_are_not_shown),
		TEST(what_cannot_be_looked_at_is_an_error),
	};

	return cmocka_run_group_tests_name("objects in a directory", tests, NULL, NULL);
}
