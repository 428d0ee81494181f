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

static CowState state; /* as was asked last */

static Name name_of_state(void)
{
	Name name;

	snprintf(name.text, sizeof name.text, "%s", state.name);
	return name;
}

/* Of a view in use. */
static Name now(void)
{
	size_t writers;

	assert_int_equal(cowfs_freeze_prepare(fs, &writers), 0);
	assert_int_equal(cowfs_freeze(fs), 0);
	cowfs_state(fs, &state);
	assert_int_equal(cowfs_thaw(fs), 0);
	return name_of_state();
}

/* Of one that nobody has open. */
static Name stopped(bool *written)
{
	CowfsConfig config = {.db_path = at("meta.db"), .flags = COWFS_READONLY, .mapped = list_own_maps};
	CowExport *e;
	char *err = NULL;
	bool ignored;

	assert_int_equal(blob_ops_find("dir")->open(at("blobs"), BLOB_OPEN_READONLY, &config.blobs, &err), 0);
	assert_int_equal(cow_export_open(&config, false, &e, &err), 0);
	bool has = cow_export_state(e, &state, written ? written : &ignored);
	assert_int_equal(has, *state.name != 0);
	cow_export_close(e);
	return name_of_state();
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

static void what_is_done_by_name_is_a_change(void **unused)
{
	CowAttr mode = {.set = COW_SET_MODE, .mode = 0600}, times = {.set = COW_SET_MTIME, .mtime = {7, 8}};
	Name name = now();

	(void)unused;
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

static void who_has_a_descriptor_may_have_written(void **unused)
{
	(void)unused;
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

static void a_name_outlives_who_had_the_view_open(void **unused)
{
	(void)unused;
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
static void a_descriptor_that_outlives_the_view_leaves_it_without_a_name(void **unused)
{
	bool written;

	(void)unused;
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

static bool is_touched(const char *name)
{
	struct statx st;

	assert_int_equal(stat_in(name, &st), 0);
	for (size_t i = 0; i < state.n_touched; i++)
		if (((UINT64_C(1) << 51) + state.touched[i]) == st.stx_ino)
			return true;
	return false;
}

static void what_differs_from_the_last_moment_is_told(void **unused)
{
	(void)unused;
	for (const char *const *name = (const char *const[]){"h/quiet", "h/read", "h/written", "h/cut", "h/held", "h/renamed", NULL}; *name; name++)
		put(*name, "before");
	Name first = now();
	int held = open_in("h/held", O_RDWR);
	assert_text("h/read", "before");
	put("h/written", "after");
	assert_int_equal(cowfs_truncate(fs, &req, NULL, at("h/cut"), 1), 0);
	assert_int_equal(cowfs_rename(fs, &req, NULL, at("h/renamed"), NULL, at("h/moved"), 0), 0);
	Name second = now();
	assert_string_equal(state.since, first.text);
	assert_int_equal(state.n_touched, 4);
	assert_true(is_touched("h/held") && is_touched("h/read") && is_touched("h/written") && is_touched("h/cut"));
	assert_false(is_touched("h/quiet") || is_touched("h/moved"));
	Name third = now();
	assert_string_equal(state.since, second.text);
	assert_int_equal(state.n_touched, 1);
	assert_true(is_touched("h/held"));
	close(held);
	put("h/quiet", "after"); /* also across two ends, of which nobody was told */
	close_view();
	assert_int_equal(open_view(0), 0);
	put("h/written", "again");
	close_view();
	Name last = stopped(NULL);
	assert_string_equal(state.since, third.text);
	assert_int_equal(state.n_touched, 3); /* the one that was held, too */
	assert_int_equal(open_view(0), 0);
	assert_true(is_touched("h/quiet") && is_touched("h/written") && is_touched("h/held"));
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/quiet"), 0), 0);
	close_view();
	stopped(NULL);
	assert_string_equal(state.since, last.text);
	assert_int_equal(state.n_touched, 0);
	assert_int_equal(open_view(0), 0);
}

static void more_than_can_be_told_is_not_told(void **unused)
{
	char name[40];

	(void)unused;
	now();
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof name, "h/f%d", i);
		put(name, "1");
	}
	Name first = now();
	assert_true(*first.text);
	assert_string_equal(state.since, "");
	put("h/f7", "2");
	now();
	assert_string_equal(state.since, first.text);
	assert_int_equal(state.n_touched, 1);
}

static void who_is_killed_leaves_no_name(void **unused)
{
	int status;

	(void)unused;
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

static void more_than_can_be_asked_at_the_end_is_asked_later(void **unused)
{
	char name[40];

	(void)unused;
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

static void a_file_that_gets_its_name_late_is_written_to(void **unused)
{
	struct open_how how = {.flags = O_TMPFILE | O_RDWR, .mode = 0600};
	CLEAN_LOC CowLoc loc = {0};
	CowFile file = {.fd = -1};
	struct stat st;

	(void)unused;
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

static void a_freeze_that_fails_forgets_no_writer(void **unused)
{
	(void)unused;
	int a = open_in("h/x", O_CREAT | O_RDWR), b = open_in("h/y", O_CREAT | O_RDWR);
	assert_writers(2);
	put_host("blobs/kept", "in the way");
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
		cmocka_unit_test_setup_teardown(what_differs_from_the_last_moment_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(more_than_can_be_told_is_not_told, setup, teardown),
		cmocka_unit_test_setup_teardown(who_is_killed_leaves_no_name, setup, teardown),
		cmocka_unit_test_setup_teardown(more_than_can_be_asked_at_the_end_is_asked_later, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_that_gets_its_name_late_is_written_to, setup, teardown),
		cmocka_unit_test_setup_teardown(a_freeze_that_fails_forgets_no_writer, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
