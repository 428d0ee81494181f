/* Names, paths, the description of a sandbox, what was applied: the parts of libbvisor that need no supervisor. */
#include "lib/applied.h"
#include "lib/store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cmocka.h>

static char dir[] = "/tmp/bvisor-test-XXXXXX";
static int dirfd_;

static int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/bvisor-test-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dirfd_ < 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(dirfd_);
	return bv_remove_tree_at(AT_FDCWD, dir);
}

static void names_are_portable_file_names(void **state)
{
	char longest[BV_NAME_MAX + 2];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[BV_NAME_MAX] = '\0';
	assert_true(name_is_valid("a") && name_is_valid("0.x_y-Z") && name_is_valid(longest));
	longest[BV_NAME_MAX] = 'a';
	longest[BV_NAME_MAX + 1] = '\0';
	const char *bad[] = {"", ".", "..", ".x", "-x", "_x", "a/b", "a b", "\xc3\xa9", "a\n", longest};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(name_is_valid(bad[i]));
}

static void made_up_names_are_valid(void **state)
{
	char name[BV_NAME_MAX + 1];

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		name_generate(i % 3 ? i : 0, name);
		assert_true(name_is_valid(name));
	}
}

static void expect_path(const char *given, const char *wanted)
{
	char *got = path_absolute(given);

	assert_string_equal(got, wanted);
	free(got);
}

static void paths_are_made_absolute_as_text(void **state)
{
	char *here = getcwd(NULL, 0), *below = bv_asprintf("%s/x", here);

	(void)state;
	expect_path("/", "/");
	expect_path("//a///b/", "/a/b");
	expect_path("/a/./b/../c", "/a/c");
	expect_path("/../..", "/");
	expect_path("/a/..b/.c", "/a/..b/.c");
	expect_path("x", below);
	expect_path("y/../x/.", below);
	free(here);
	free(below);
}

static void below_means_whole_components(void **state)
{
	(void)state;
	assert_true(path_is_below("/a/b", "/a") && path_is_below("/a", "/a") && path_is_below("/a", "/"));
	assert_false(path_is_below("/ab", "/a") || path_is_below("/", "/a"));
	assert_true(path_is_selected("/x", NULL));
	assert_true(path_is_selected("/x/y", (const char *const[]){"/q", "/x", NULL}));
	assert_false(path_is_selected("/xy", (const char *const[]){"/q", "/x", NULL}));
}

static void a_description_comes_back_as_it_was_written(void **state)
{
	SandboxConfig written = {.name = strdup("n"), .backend = strdup("tmpfs"), .data_dir = strdup("/d"), .created_sec = 1795489792, .created_nsec = 999999999, .ro = true};
	SandboxConfig read = {0};

	(void)state;
	assert_int_equal(strv_add(&written.command, "sh\n\"\\\xff"), 0);
	assert_int_equal(strv_add(&written.rw, "/rw"), 0);
	assert_int_equal(config_write(dirfd_, &written, NULL), 0);
	assert_int_equal(config_read(dirfd_, &read, NULL), 0);
	assert_string_equal(read.name, "n");
	assert_string_equal(read.backend, "tmpfs");
	assert_string_equal(read.data_dir, "/d");
	assert_null(read.cwd);
	assert_string_equal(read.command[0], "sh\n\"\\\xff");
	assert_string_equal(read.rw[0], "/rw");
	assert_null(read.hide);
	assert_true(read.ro && !read.unnamed && read.created_sec == written.created_sec && read.created_nsec == written.created_nsec);
	config_release(&written);
	config_release(&read);
}

static int read_text(const char *text)
{
	SandboxConfig config = {0};
	BvError *err = NULL;
	int fd = openat(dirfd_, "sandbox.json", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), r;

	assert_int_equal(bv_write_full(fd, text, strlen(text)), 0);
	close(fd);
	r = config_read(dirfd_, &config, &err);
	assert_true(r == 0 || strstr(bv_error_message(err), "sandbox.json"));
	bv_error_free(err);
	config_release(&config);
	return r;
}

static void a_damaged_description_is_refused(void **state)
{
	(void)state;
	assert_int_equal(read_text(""), -EUCLEAN);
	assert_int_equal(read_text("{"), -EUCLEAN);
	assert_int_equal(read_text("[1]"), -EUCLEAN);
	assert_int_equal(read_text("{\"format\": 1}"), -EUCLEAN);
	assert_int_equal(read_text("{\"format\": 2}"), -EPROTO);
	assert_int_equal(read_text("{\"format\":1,\"name\":\"n\",\"created\":1,\"created_nsec\":0,\"backend\":\"dir\",\"data\":\"relative\",\"command\":[],\"rw\":[],"
				   "\"hide\":[],\"show\":[]}"),
			 -EUCLEAN);
	assert_int_equal(read_text("{\"format\":1,\"name\":\"n\",\"created\":1,\"created_nsec\":0,\"backend\":\"dir\",\"command\":[1],\"rw\":[],\"hide\":[],\"show\":[]}"),
			 -EUCLEAN);
	assert_int_equal(read_text("{\"format\":1,\"name\":\"n\",\"created\":1,\"created_nsec\":0,\"backend\":\"dir\",\"command\":[],\"rw\":[],\"hide\":[],\"show\":[]}"), 0);
}

static void a_claim_keeps_removers_out_and_readers_in(void **state)
{
	int reader = openat(dirfd_, ".", O_RDONLY | O_DIRECTORY), second = openat(dirfd_, ".", O_RDONLY | O_DIRECTORY);

	(void)state;
	assert_int_equal(store_claim(reader, LOCK_SH), 0);
	assert_int_equal(store_claim(second, LOCK_SH), 0);
	assert_int_equal(store_claim(dirfd_, LOCK_EX), -EBUSY);
	close(reader);
	assert_int_equal(store_claim(second, LOCK_EX), 0);
	assert_int_equal(store_claim(dirfd_, LOCK_SH), -EBUSY);
	close(second);
	assert_int_equal(store_claim(dirfd_, LOCK_SH), 0);
}

static void what_was_applied_is_recognised_until_it_changes(void **state)
{
	char path[] = "/a\nb", other[] = "/c";
	AppliedItem first[] = {{.path = other, .is = {.known = true, .ino = 1, .mode = S_IFREG}},
			       {.path = path, .is = {.known = true, .ino = 7, .size = 3, .mtime = {5, 6}, .ctime = {-8, 9}, .mode = S_IFREG | 0644}}};
	AppliedItem second[] = {{.path = other}};
	struct statx st = {.stx_ino = 7, .stx_size = 3, .stx_mtime = {.tv_sec = 5, .tv_nsec = 6}, .stx_ctime = {.tv_sec = -8, .tv_nsec = 9}, .stx_mode = S_IFREG | 0644};
	Applied none = {0}, loaded = {0};

	(void)state;
	assert_int_equal(applied_load(dirfd_, &none), 0);
	assert_false(applied_matches(&none, path, &st));
	assert_int_equal(applied_update(dirfd_, &none, first, 2), 0);
	assert_int_equal(applied_load(dirfd_, &loaded), 0);
	assert_int_equal(loaded.count, 2);
	assert_true(applied_matches(&loaded, path, &st));
	st.stx_mtime.tv_nsec++;
	assert_false(applied_matches(&loaded, path, &st));
	assert_int_equal(applied_update(dirfd_, &loaded, second, 1), 0);
	applied_release(&loaded);
	assert_int_equal(applied_load(dirfd_, &loaded), 0);
	assert_int_equal(loaded.count, 1);
	assert_string_equal(loaded.items[0].path, path);
	applied_release(&loaded);
	applied_release(&none);
}

static void older_option_structs_keep_their_defaults(void **state)
{
	struct {
		size_t size;
		int a, b;
	} mine = {sizeof(mine), 1, 2}, theirs = {sizeof(size_t) + sizeof(int), 7, 9};

	(void)state;
	assert_int_equal(lib_take_options(&mine, sizeof(mine), &theirs), 0);
	assert_true(mine.size == sizeof(mine) && mine.a == 7 && mine.b == 2);
	theirs.size = 3;
	assert_int_equal(lib_take_options(&mine, sizeof(mine), &theirs), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_portable_file_names),
		cmocka_unit_test(made_up_names_are_valid),
		cmocka_unit_test(paths_are_made_absolute_as_text),
		cmocka_unit_test(below_means_whole_components),
		cmocka_unit_test_setup_teardown(a_description_comes_back_as_it_was_written, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_damaged_description_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_claim_keeps_removers_out_and_readers_in, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_applied_is_recognised_until_it_changes, set_up, tear_down),
		cmocka_unit_test(older_option_structs_keep_their_defaults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
