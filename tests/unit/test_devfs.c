/* tests/unit/test_devfs.c - /dev holds the allow-list and the sandbox's own terminals; /sys is small and read-only. */
#include "tests/unit/foreign_fixture.h"
#include "tests/unit/foreign_fixture_impl.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <termios.h>

typedef struct Ctx {
	Fixture *fx;
	const CowForeignOps *pts, *sys;
	void *fs;
	SupCaller caller;
	CowReq req;
} Ctx;

static void be(Ctx *c, pid_t guest)
{
	c->caller = (SupCaller){ .tid = guest, .tgid = guest };
	c->req = (CowReq){ .caller = &c->caller };
}

static int setup(void **state)
{
	Ctx *c = calloc(1, sizeof(*c));

	c->fx = fixture_new();
	c->pts = fixture_pin("/dev/pts", &c->fs);
	c->sys = fixture_pin("/sys", &c->fs);
	be(c, fixture_guest(c->fx, GUEST_PLAIN));
	*state = c;
	return 0;
}

static int teardown(void **state)
{
	Ctx *c = *state;

	fixture_free(c->fx);
	free(c);
	return 0;
}

static int look(Ctx *c, const CowForeignOps *ops, const char *path)
{
	CowForeignKind kind;

	return ops->lookup(c->fs, &c->req, path, &kind);
}

static int open_as(Ctx *c, const CowForeignOps *ops, const char *path, int flags, int *fd)
{
	*fd = -1;
	return ops->open(c->fs, &c->req, path, flags, fd);
}

static int open_errno(Ctx *c, const CowForeignOps *ops, const char *path, int flags)
{
	CLEAN_FD int fd = -1;

	return open_as(c, ops, path, flags, &fd);
}

static int add_name(void *ctx, const char *name, uint64_t ino, unsigned char d_type)
{
	(void)ino, (void)d_type;
	strcat(strcat(strcat(ctx, "<"), name), ">");
	return 0;
}

static void names_of(Ctx *c, const CowForeignOps *ops, const char *path, char *all)
{
	*all = 0;
	assert_int_equal(ops->list(c->fs, &c->req, path, add_name, all), 0);
}

static void dev_is_an_allow_list(void **state)
{
	(void)state;
	assert_string_equal(fixture_plain_pin("/dev"), "dir");
	assert_string_equal(fixture_plain_pin("/dev/null"), "device");
	assert_string_equal(fixture_plain_pin("/dev/urandom"), "device");
	assert_string_equal(fixture_plain_pin("/dev/fd"), "link:/proc/self/fd");
	assert_string_equal(fixture_plain_pin("/dev/stdout"), "link:/proc/self/fd/1");
	assert_string_equal(fixture_plain_pin("/dev/ptmx"), "link:pts/ptmx");
	assert_string_equal(fixture_plain_pin("/dev/tty"), "link:pts/tty");
	assert_string_equal(fixture_plain_pin("/dev/shm"), "dir");
	assert_null(fixture_plain_pin("/dev/console"));
	assert_null(fixture_plain_pin("/dev/kmsg"));
	assert_null(fixture_plain_pin("/dev/mqueue"));
	assert_null(fixture_plain_pin("/dev/mem"));
}

static void a_new_terminal_is_the_guests_until_its_master_closes(void **state)
{
	Ctx *c = *state;
	int master, slave;
	unsigned number;
	char name[32], host[64], word[40], all[4096];
	struct statx seen;
	struct stat st;

	assert_int_equal(open_as(c, c->pts, "ptmx", O_RDWR, &master), 0);
	assert_int_equal(ioctl(master, TIOCGPTN, &number), 0);
	assert_int_equal(unlockpt(master), 0);
	snprintf(name, sizeof(name), "%u", number);
	snprintf(word, sizeof(word), "<%u>", number);
	snprintf(host, sizeof(host), "/dev/pts/%u", number);
	assert_int_equal(look(c, c->pts, name), 0);
	assert_int_equal(c->pts->statx(c->fs, &c->req, name, STATX_BASIC_STATS, &seen), 0);
	assert_int_equal(open_as(c, c->pts, name, O_RDWR, &slave), 0);
	assert_int_equal(isatty(slave), 1);
	assert_int_equal(fstat(slave, &st), 0); /* what ttyname(3) compares */
	assert_int_equal(st.st_rdev, makedev(seen.stx_rdev_major, seen.stx_rdev_minor));
	assert_int_equal(st.st_ino, seen.stx_ino);
	names_of(c, c->pts, "", all);
	assert_non_null(strstr(all, word));
	close(slave);
	close(master);
	assert_int_equal(look(c, c->pts, name), -ENOENT);
	names_of(c, c->pts, "", all);
	assert_string_equal(all, "<ptmx>");
}

static void terminals_of_the_host_do_not_exist(void **state)
{
	Ctx *c = *state;
	CLEAN_FD int host = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC); /* made by an outsider */
	unsigned number;
	char name[32];

	assert_true(host >= 0);
	assert_int_equal(ioctl(host, TIOCGPTN, &number), 0);
	snprintf(name, sizeof(name), "%u", number);
	assert_int_equal(look(c, c->pts, name), -ENOENT);
	assert_int_equal(open_errno(c, c->pts, name, O_RDWR), -ENOENT);
	assert_int_equal(look(c, c->pts, "00"), -ENOENT);
	assert_int_equal(look(c, c->pts, "../null"), -ENOENT);
}

static void a_number_used_again_by_the_host_is_not_the_guests(void **state)
{
	Ctx *c = *state;
	int master;
	unsigned number, again;
	char name[32];

	assert_int_equal(open_as(c, c->pts, "ptmx", O_RDWR, &master), 0);
	assert_int_equal(ioctl(master, TIOCGPTN, &number), 0);
	close(master);
	CLEAN_FD int host = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_int_equal(ioctl(host, TIOCGPTN, &again), 0);
	if (again != number)
		skip();
	snprintf(name, sizeof(name), "%u", number);
	assert_int_equal(look(c, c->pts, name), -ENOENT);
	assert_int_equal(open_errno(c, c->pts, name, O_RDWR), -ENOENT);
}

static void dev_tty_is_the_callers_terminal(void **state)
{
	Ctx *c = *state;
	int fd;
	char path[64], text[64], name[64], all[4096];

	/* The plain guest inherited the session of this test: only a terminal of its own descriptors could be opened. */
	pid_t guest = fixture_guest(c->fx, GUEST_TTY);
	be(c, guest);
	assert_int_equal(open_as(c, c->pts, "tty", O_RDWR, &fd), 0);
	assert_int_equal(isatty(fd), 1);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(path, text, sizeof(text) - 1);
	assert_true(n > 9);
	text[n] = 0;
	close(fd);
	snprintf(path, sizeof(path), "/proc/%d/fd/0", (int)guest);
	char held[64];
	n = readlink(path, held, sizeof(held) - 1);
	assert_true(n > 0);
	held[n] = 0;
	assert_string_equal(text, held);
	/* Then it has a name, too. */
	snprintf(name, sizeof(name), "%s", text + strlen("/dev/pts/"));
	assert_int_equal(look(c, c->pts, name), 0);
	names_of(c, c->pts, "", all);
	assert_non_null(strstr(all, name));
	/* Asking did not give the supervisor a terminal: it has the one it had before. */
	assert_int_equal(open_errno(c, c->pts, "tty", O_RDONLY | O_DIRECTORY), -ENOTDIR);
}

static void dev_tty_without_a_terminal_is_enxio(void **state)
{
	Ctx *c = *state;
	CowReq nobody = { 0 };
	int fd;

	assert_int_equal(c->pts->open(c->fs, &nobody, "tty", O_RDWR, &fd), -ENXIO);
	be(c, getpid()); /* an outsider, whatever terminal it has */
	assert_int_equal(open_errno(c, c->pts, "tty", O_RDWR), -ENXIO);
}

static void a_given_terminal_has_a_name(void **state)
{
	Ctx *c = *state;
	CLEAN_FD int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	char name[64];

	assert_int_equal(unlockpt(master), 0);
	assert_int_equal(ptsname_r(master, name, sizeof(name)), 0);
	CLEAN_FD int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_int_equal(look(c, c->pts, name + strlen("/dev/pts/")), -ENOENT);
	assert_int_equal(foreign_add_terminal(c->fx->foreign, slave), 0);
	assert_int_equal(look(c, c->pts, name + strlen("/dev/pts/")), 0);
	CLEAN_FD int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(foreign_add_terminal(c->fx->foreign, null), -ENOTTY);
}

static void sys_has_what_runtimes_read(void **state)
{
	Ctx *c = *state;
	CLEAN_FD int fd = -1;
	char text[256], all[65536], path[64];
	struct stat st;

	assert_int_equal(open_as(c, c->sys, "devices/system/cpu/online", O_RDONLY, &fd), 0);
	assert_true(read(fd, text, sizeof(text)) > 1);
	names_of(c, c->sys, "devices/system/cpu", all);
	assert_non_null(strstr(all, "<cpu0>"));
	assert_null(strstr(all, "<vulnerabilities>"));
	names_of(c, c->sys, "", all);
	assert_non_null(strstr(all, "<devices>"));
	assert_null(strstr(all, "<class>"));
	assert_null(strstr(all, "<firmware>"));
	CLEAN_FD int dir = -1;
	assert_int_equal(open_as(c, c->sys, "devices/system/cpu", O_RDONLY | O_DIRECTORY, &dir), 0);
	assert_int_equal(fstat(dir, &st), 0);
	assert_int_equal(c->sys->by_identity(c->fs, st.st_dev, st.st_ino, path, sizeof(path)), 0);
	assert_string_equal(path, "devices/system/cpu");
	assert_int_equal(c->pts->by_identity(c->fs, st.st_dev, st.st_ino, path, sizeof(path)), -ENOENT);
}

static void sys_is_read_only_and_has_no_way_out(void **state)
{
	static const char *const absent[] = { "class", "class/net", "kernel/debug", "kernel/security", "block", "bus", "firmware", "module", "power",
					      "power/state", "devices/system/cpu/cpu0/subsystem", "devices/system/cpu/cpu0/driver",
					      "devices/system/cpu/../../../kernel", "devices/virtual", "kernel/notes", "fs/cgroup/../../power",
					      "devices/system/cpu/cpufreq", "fs/ext4", "devices/system/cpu/probe", "fs/cgroup/cgroup.procs/x" };
	Ctx *c = *state;
	CowLoc loc;
	char text[64];

	for (size_t i = 0; i < ARRAY_LEN(absent); i++)
		assert_int_equal(look(c, c->sys, absent[i]), -ENOENT);
	assert_int_equal(open_errno(c, c->sys, "devices/system/cpu/online", O_WRONLY), -EACCES);
	assert_int_equal(open_errno(c, c->sys, "devices/system/cpu/online", O_RDONLY | O_TRUNC), -EACCES);
	assert_int_equal(open_errno(c, c->sys, "kernel", O_WRONLY), -EISDIR);
	assert_int_equal(c->sys->follow(c->fs, &c->req, "devices", &loc), -EINVAL);
	assert_int_equal(c->sys->readlink(c->fs, &c->req, "devices", text, sizeof(text)), -EINVAL);
}

/* One group, the sandbox's, whatever the host has. */
static void control_groups_of_the_host_do_not_exist(void **state)
{
	Ctx *c = *state;
	char path[512], all[65536], text[64] = "";
	CLEAN_FD int fd = -1;
	struct statx a, b;
	DIR *d = opendir("/sys/fs/cgroup");

	if (!d || look(c, c->sys, "fs/cgroup") < 0)
		skip();
	names_of(c, c->sys, "fs/cgroup", all);
	assert_non_null(strstr(all, "<memory.max>"));
	assert_null(strstr(all, "<tasks>"));
	for (const struct dirent *e; (e = readdir(d));) {
		snprintf(path, sizeof(path), "fs/cgroup/%s", e->d_name);
		if (e->d_name[0] != '.' && e->d_type == DT_DIR)
			assert_int_equal(look(c, c->sys, path), -ENOENT);
	}
	closedir(d);
	c->fx->view.memory = 64 << 20;
	c->fx->view.quota = 1.5;
	assert_int_equal(open_as(c, c->sys, "fs/cgroup/memory.max", O_RDONLY, &fd), 0);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "67108864\n");
	bv_close_fd(&fd);
	assert_int_equal(open_as(c, c->sys, "fs/cgroup/cpu.max", O_RDONLY, &fd), 0);
	memset(text, 0, sizeof(text));
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "150000 100000\n");
	assert_int_equal(open_errno(c, c->sys, "fs/cgroup/memory.max", O_WRONLY), -EACCES);
	assert_int_equal(open_errno(c, c->sys, "fs/cgroup/memory.max", O_RDONLY | O_DIRECTORY), -ENOTDIR);
	assert_int_equal(c->sys->statx(c->fs, &c->req, "fs/cgroup/memory.max", STATX_BASIC_STATS, &a), 0);
	assert_int_equal(c->sys->statx(c->fs, &c->req, "fs/cgroup/cpu.max", STATX_BASIC_STATS, &b), 0);
	assert_true(S_ISREG(a.stx_mode) && a.stx_ino != b.stx_ino);
}

static void read_as(Ctx *c, const char *path, char *text, size_t size)
{
	CLEAN_FD int fd = -1;

	memset(text, 0, size);
	assert_int_equal(open_as(c, c->sys, path, O_RDONLY, &fd), 0);
	assert_true(read(fd, text, size - 1) > 0);
}

static void processors_that_were_not_given_do_not_exist(void **state)
{
	Ctx *c = *state;
	char text[4096], all[65536];

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		skip();
	c->fx->view.all_cpus = false;
	CPU_SET(1, &c->fx->view.cpus);
	read_as(c, "devices/system/cpu/online", text, sizeof(text));
	assert_string_equal(text, "1\n");
	read_as(c, "devices/system/cpu/present", text, sizeof(text));
	assert_string_equal(text, "1\n");
	read_as(c, "devices/system/cpu/possible", text, sizeof(text));
	assert_string_equal(text, "0-1\n");
	read_as(c, "devices/system/cpu/offline", text, sizeof(text));
	assert_string_equal(text, "0\n");
	read_as(c, "devices/system/cpu/cpu1/topology/thread_siblings_list", text, sizeof(text));
	assert_string_equal(text, "1\n");
	read_as(c, "devices/system/cpu/cpu1/topology/core_siblings", text, sizeof(text));
	assert_int_equal(strtoul(text + strlen(text) - 2, NULL, 16), 2);
	names_of(c, c->sys, "devices/system/cpu", all);
	assert_null(strstr(all, "<cpu0>"));
	assert_non_null(strstr(all, "<cpu1>"));
	assert_int_equal(look(c, c->sys, "devices/system/cpu/cpu0/topology"), -ENOENT);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(dev_is_an_allow_list),
		T(a_new_terminal_is_the_guests_until_its_master_closes),
		T(terminals_of_the_host_do_not_exist),
		T(a_number_used_again_by_the_host_is_not_the_guests),
		T(dev_tty_is_the_callers_terminal),
		T(dev_tty_without_a_terminal_is_enxio),
		T(a_given_terminal_has_a_name),
		T(sys_has_what_runtimes_read),
		T(sys_is_read_only_and_has_no_way_out),
		T(control_groups_of_the_host_do_not_exist),
		T(processors_that_were_not_given_do_not_exist),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
