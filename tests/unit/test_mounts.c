/* tests/unit/test_mounts.c - other names that bind mounts give to a path, and where the kernel shows itself. */
#include "lib/mounts.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char text[] = "21 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
			   "22 21 0:20 / /proc rw - proc proc rw\n"
			   "23 21 254:0 /home /mnt/homes rw - ext4 /dev/vda rw\n"
			   "24 21 254:0 /home/u/.ssh /srv/with\\040blank rw - ext4 /dev/vda rw\n"
			   "25 21 254:0 /home/u/.ssh/part /srv/part rw - ext4 /dev/vda rw\n"
			   "26 21 8:1 / /data rw - ext4 /dev/sda1 rw\n"
			   "27 21 8:1 /store /home/v rw - ext4 /dev/sda1 rw\n"
			   "30 21 0:21 / /srv/root/sys rw shared:1 master:2 - sysfs sysfs rw\n"
			   "31 21 0:22 / /home/u/- rw - tmpfs proc rw\n"
			   "28 21 0:4 net:[4026531840] /run/netns/a rw - nsfs nsfs rw\n"
			   "29 21\n";

/* The names in one text, each with a blank behind it. NULL: those of the kernel's. */
static char *aliases_of(const char *path)
{
	CLEAN_STRV Strv list = NULL;
	Mounts *mounts;
	char *all = strdup("");

	assert_int_equal(mounts_parse(text, &mounts), 0);
	assert_int_equal(path ? mounts_aliases(mounts, path, &list) : mounts_of_kernel(mounts, &list), 0);
	mounts_free(mounts);
	for (size_t i = 0; list && list[i]; i++) {
		char *longer = bv_asprintf("%s%s ", all, list[i]);
		free(all);
		all = longer;
	}
	return all;
}

static void check(const char *path, const char *expected)
{
	CLEAN_FREE char *all = aliases_of(path);

	assert_string_equal(all, expected);
}

static void a_mount_of_a_directory_above_gives_a_name(void **state)
{
	(void)state;
	check("/home/u/.gnupg", "/mnt/homes/u/.gnupg ");
	check("/mnt/homes/u/.gnupg", "/home/u/.gnupg ");
}

static void a_mount_of_itself_gives_a_name_and_one_of_a_part_does_not(void **state)
{
	(void)state;
	check("/home/u/.ssh", "/mnt/homes/u/.ssh /srv/with blank ");
	check("/home/u/.ssh/key", "/mnt/homes/u/.ssh/key /srv/with blank/key ");
	check("/home/u/.ssh/part/x", "/mnt/homes/u/.ssh/part/x /srv/with blank/part/x /srv/part/x ");
}

static void what_is_on_a_mount_is_of_that_file_system(void **state)
{
	(void)state;
	check("/home/v/.ssh", "/data/store/.ssh ");
	check("/data/store", "/home/v ");
	check("/data/other", "");
	check("/data", "");
	check("/etc/passwd", "");
	check("/homes", "");
}

static void file_systems_of_the_kernel_are_told_by_their_type(void **state)
{
	(void)state;
	check(NULL, "/proc /srv/root/sys ");
}

static void the_mounts_of_this_process_can_be_read(void **state)
{
	CLEAN_STRV Strv list = NULL;
	Mounts *mounts;

	(void)state;
	assert_int_equal(mounts_read(&mounts), 0);
	assert_int_equal(mounts_aliases(mounts, "/nowhere/at/all", &list), 0);
	mounts_free(mounts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mount_of_a_directory_above_gives_a_name),
		cmocka_unit_test(a_mount_of_itself_gives_a_name_and_one_of_a_part_does_not),
		cmocka_unit_test(what_is_on_a_mount_is_of_that_file_system),
		cmocka_unit_test(file_systems_of_the_kernel_are_told_by_their_type),
		cmocka_unit_test(the_mounts_of_this_process_can_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
