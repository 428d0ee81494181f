/* tests/unit/test_cowfs_unchanged.c - names of states: the same name only if nothing can have changed, whoever would have done it, and however. */
#include "cowfs/records.h"
#include "tests/unit/cowfs_view.h"

#include <sys/mman.h>
#include <sys/wait.h>

typedef struct Name {
	char text[COW_STATE_NAME];
} Name;

static bool same(const Name *a, const Name *b)
{
	return *a->text && strcmp(a->text, b->text) == 0;
}

/* Of a view in use. */
static Name now(void)
{
	size_t writers;
	Name name;

	assert_int_equal(cowfs_freeze_prepare(fs, &writers), 0);
	assert_int_equal(cowfs_freeze(fs), 0);
	cowfs_state_name(fs, name.text);
	assert_int_equal(cowfs_thaw(fs), 0);
	return name;
}

/* Of one that nobody has open. */
static Name stopped(bool *written)
{
	CowfsConfig config = {.db_path = at("meta.db"), .flags = COWFS_READONLY};
	CowExport *e;
	Name name;
	char *err = NULL;
	bool ignored;

	assert_int_equal(blob_ops_find("dir")->open(at("blobs"), BLOB_OPEN_READONLY, &config.blobs, &err), 0);
	assert_int_equal(cow_export_open(&config, false, &e, &err), 0);
	bool has = cow_export_state(e, name.text, written ? written : &ignored);
	assert_int_equal(has, *name.text != 0);
	cow_export_close(e);
	return name;
}

static void close_view(void)
{
	assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
}

static void assert_kept(Name *name)
{
	Name next = now();

	assert_true(same(name, &next));
}

static void assert_changed(Name *name)
{
	Name next = now();

	assert_true(*next.text);
	assert_false(same(name, &next));
	*name = next;
}

static void what_is_done_by_name_is_a_change(void **state)
{
	CowAttr mode = {.set = COW_SET_MODE, .mode = 0600}, times = {.set = COW_SET_MTIME, .mtime = {7, 8}};
	Name name = now();

	(void)state;
	assert_kept(&name);
	put("h/x", "1");
	assert_changed(&name);
	assert_kept(&name);
	put("h/x", "2");
	assert_changed(&name);
	assert_int_equal(cowfs_truncate(fs, &req, NULL, at("h/x"), 0), 0);
	assert_changed(&name);
	assert_int_equal(cowfs_setattr(fs, &req, NULL, at("h/x"), 0, &times), 0);
	assert_changed(&name);
	assert_int_equal(cowfs_setattr(fs, &req, NULL, at("h/a"), 0, &mode), 0);
	assert_changed(&name);
	assert_int_equal(cowfs_setxattr(fs, &req, NULL, at("h/x"), 0, "user.a", "b", 1, 0), 0);
	assert_changed(&name);
	assert_int_equal(cowfs_rename(fs, &req, NULL, at("h/x"), NULL, at("h/y"), 0), 0);
	assert_changed(&name);
	assert_text("h/y", "");
	assert_changed(&name); /* when it was read last is told, too */
	assert_text("h/sub/b", "beta");
	assert_int_equal(stat_in("h/y", &(struct statx){0}), 0);
	assert_kept(&name);
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/y"), 0), 0);
	assert_changed(&name);
	assert_kept(&name);
}

static void who_has_a_descriptor_may_have_written(void **state)
{
	(void)state;
	put("h/x", "before");
	int fd = open_in("h/x", O_RDWR);
	Name name = now();
	assert_changed(&name);
	char *map = mmap(NULL, 6, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	close(fd);
	assert_changed(&name);
	map[0] = 'B';
	assert_changed(&name);
	munmap(map, 6);
	assert_changed(&name); /* it was there after the last moment */
	assert_kept(&name);
	fd = open_in("h/x", O_WRONLY);
	close(fd);
	assert_changed(&name);
	assert_kept(&name);
}

static void a_name_outlives_who_had_the_view_open(void **state)
{
	(void)state;
	put("h/x", "1");
	Name name = now();
	close_view();
	Name later = stopped(NULL);
	assert_true(same(&name, &later));
	later = stopped(NULL);
	assert_true(same(&name, &later));
	assert_int_equal(open_view(0), 0);
	assert_int_equal(access(at("closed"), F_OK), -1);
	assert_kept(&name);
	close_view();
	later = stopped(NULL);
	assert_true(same(&name, &later));
	assert_int_equal(open_view(0), 0);
	put("h/x", "2");
	close_view();
	later = stopped(NULL);
	assert_true(*later.text);
	assert_false(same(&name, &later));
	assert_int_equal(open_view(0), 0);
}

/* A process of the host that was given it. */
static void a_descriptor_that_outlives_the_view_leaves_it_without_a_name(void **state)
{
	bool written;

	(void)state;
	int fd = open_in("h/x", O_CREAT | O_RDWR);
	assert_int_equal(bv_write_full(fd, "1", 1), 0);
	close_view();
	assert_string_equal(stopped(&written).text, "");
	assert_true(written);
	assert_int_equal(open_view(0), 0);
	assert_string_equal(now().text, "");
	put("h/y", "1");
	assert_string_equal(now().text, "");
	close_view();
	assert_string_equal(stopped(&written).text, "");
	close(fd);
	Name name = stopped(&written);
	assert_true(*name.text);
	assert_false(written);
	assert_int_equal(open_view(0), 0);
	assert_kept(&name);
}

static void who_is_killed_leaves_no_name(void **state)
{
	int status;

	(void)state;
	put("h/x", "1");
	close_view();
	Name name = stopped(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		int fd = open_view(0) < 0 ? -1 : open_in("h/x", O_WRONLY);
		_exit(fd < 0 || pwrite(fd, "2", 1, 0) != 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	Name later = stopped(NULL);
	assert_true(*later.text);
	assert_false(same(&name, &later));
	assert_int_equal(open_view(0), 0);
	assert_kept(&later);
}

static void more_than_can_be_asked_at_the_end_is_asked_later(void **state)
{
	char name[40];

	(void)state;
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof name, "h/f%d", i);
		put(name, "1");
	}
	close_view();
	assert_int_equal(access(at("closed"), F_OK), -1);
	Name first = stopped(NULL), second = stopped(NULL);
	assert_true(same(&first, &second));
	put_host("closed", "half a na");
	assert_false(*first.text == 0);
	second = stopped(NULL);
	assert_false(same(&first, &second));
	assert_int_equal(open_view(0), 0);
}

/* ---- who writes (seal.c) ---- */

static void assert_writers(size_t want)
{
	size_t writers = 99;

	assert_int_equal(cowfs_freeze_prepare(fs, &writers), 0);
	assert_int_equal(writers, want);
}

static void a_file_that_gets_its_name_late_is_written_to(void **state)
{
	struct open_how how = {.flags = O_TMPFILE | O_RDWR, .mode = 0600};
	CLEAN_LOC CowLoc loc = {0};
	CowFile file = {.fd = -1};
	struct stat st;

	(void)state;
	assert_int_equal(cowfs_openat(fs, &req, NULL, at("h"), &how, &file), 0);
	assert_int_equal(fstat(file.fd, &st), 0);
	assert_int_equal(cowfs_by_identity(fs, st.st_dev, st.st_ino, &loc), 0);
	assert_int_equal(cowfs_link(fs, &req, &loc, "", NULL, at("h/x"), AT_EMPTY_PATH), 0);
	assert_writers(1);
	assert_int_equal(cowfs_thaw(fs), 0);
	Name name = now();
	assert_changed(&name);
	close(file.fd);
}

static void a_freeze_that_fails_forgets_no_writer(void **state)
{
	(void)state;
	int a = open_in("h/x", O_CREAT | O_RDWR), b = open_in("h/y", O_CREAT | O_RDWR);
	put_host("blobs/kept", "in the way");
	assert_writers(2);
	assert_true(cowfs_freeze(fs) < 0);
	assert_writers(2);
	assert_int_equal(cowfs_freeze(fs), 0);
	assert_int_equal(cowfs_thaw(fs), 0);
	close(a);
	close(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_done_by_name_is_a_change, setup, teardown),
		cmocka_unit_test_setup_teardown(who_has_a_descriptor_may_have_written, setup, teardown),
		cmocka_unit_test_setup_teardown(a_name_outlives_who_had_the_view_open, setup, teardown),
		cmocka_unit_test_setup_teardown(a_descriptor_that_outlives_the_view_leaves_it_without_a_name, setup, teardown),
		cmocka_unit_test_setup_teardown(who_is_killed_leaves_no_name, setup, teardown),
		cmocka_unit_test_setup_teardown(more_than_can_be_asked_at_the_end_is_asked_later, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_that_gets_its_name_late_is_written_to, setup, teardown),
		cmocka_unit_test_setup_teardown(a_freeze_that_fails_forgets_no_writer, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
