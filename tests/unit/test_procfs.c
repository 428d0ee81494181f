/* tests/unit/test_procfs.c - each classic way out of a sandbox through /proc is closed, and what programs need is there. */
#include "supervisor/procfs_internal.h"
#include "tests/unit/foreign_fixture.h"
#include "tests/unit/foreign_fixture_impl.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

typedef struct Ctx {
	Fixture *fx;
	const CowForeignOps *ops;
	void *fs;
	pid_t guest;
	SupCaller caller;
	CowReq req;
	char path[128];
} Ctx;

static int setup(void **state)
{
	Ctx *c = calloc(1, sizeof(*c));

	c->fx = fixture_new();
	c->ops = fixture_pin("/proc", &c->fs);
	c->guest = fixture_guest(c->fx, GUEST_PLAIN);
	c->caller = (SupCaller){ .tid = c->guest, .tgid = c->guest };
	c->req = (CowReq){ .caller = &c->caller, .may_block = false };
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

static const char *of(Ctx *c, pid_t pid, const char *leaf)
{
	snprintf(c->path, sizeof(c->path), "%d%s%s", (int)pid, *leaf ? "/" : "", leaf);
	return c->path;
}

static int look(Ctx *c, const char *path)
{
	CowForeignKind kind;

	return c->ops->lookup(c->fs, &c->req, path, &kind);
}

static CowForeignKind kind_of(Ctx *c, const char *path)
{
	CowForeignKind kind = COW_F_NONE;

	assert_int_equal(c->ops->lookup(c->fs, &c->req, path, &kind), 0);
	return kind;
}

static const char *link_text(Ctx *c, const char *path)
{
	static char text[PATH_MAX];
	ssize_t n = c->ops->readlink(c->fs, &c->req, path, text, sizeof(text) - 1);

	assert_true(n >= 0);
	text[n] = 0;
	return text;
}

static int open_errno(Ctx *c, const char *path, int flags)
{
	int fd = -1, r = c->ops->open(c->fs, &c->req, path, flags, &fd);

	if (r == 0)
		close(fd);
	return r;
}

static char *read_all(Ctx *c, const char *path)
{
	int fd = -1;

	assert_int_equal(c->ops->open(c->fs, &c->req, path, O_RDONLY, &fd), 0);
	size_t cap = 1 << 20, len = 0;
	char *text = calloc(1, cap);

	for (ssize_t n; (n = read(fd, text + len, cap - len - 1)) > 0;)
		len += (size_t)n;
	close(fd);
	return text;
}

static void self_is_the_caller(void **state)
{
	Ctx *c = *state;
	char expected[64];

	snprintf(expected, sizeof(expected), "%d", (int)c->guest);
	assert_string_equal(link_text(c, "self"), expected);
	snprintf(expected, sizeof(expected), "%d/task/%d", (int)c->guest, (int)c->guest);
	assert_string_equal(link_text(c, "thread-self"), expected);
	assert_int_equal(kind_of(c, "self"), COW_F_SYMLINK);
	/* Nothing is found through the word itself: the walk must go over the number. */
	assert_int_equal(look(c, "self/status"), -ENOENT);
	CowReq nobody = { 0 };
	CowForeignKind kind;
	assert_int_equal(c->ops->lookup(c->fs, &nobody, "self", &kind), -ENOENT);
}

static void *sleep_thread(void *tid)
{
	__atomic_store_n((pid_t *)tid, gettid(), __ATOMIC_SEQ_CST);
	for (;;)
		pause();
	return NULL;
}

static void processes_and_threads_of_others_do_not_exist(void **state)
{
	Ctx *c = *state;
	pid_t tid = 0;
	char path[64];
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, sleep_thread, &tid), 0);
	while (!__atomic_load_n(&tid, __ATOMIC_SEQ_CST))
		sched_yield();
	assert_int_equal(look(c, of(c, 1, "")), -ENOENT);
	assert_int_equal(look(c, of(c, getpid(), "")), -ENOENT); /* the supervisor */
	assert_int_equal(look(c, of(c, getpid(), "status")), -ENOENT);
	assert_int_equal(look(c, of(c, tid, "")), -ENOENT); /* its thread */
	assert_int_equal(look(c, of(c, c->fx->init, "")), -ENOENT);
	assert_int_equal(open_errno(c, of(c, getpid(), "mem"), O_RDWR), -ENOENT);
	snprintf(path, sizeof(path), "%d/task/%d/status", (int)c->guest, (int)tid);
	assert_int_equal(look(c, path), -ENOENT);
	snprintf(path, sizeof(path), "%d/task/%d", (int)getpid(), (int)getpid());
	assert_int_equal(look(c, path), -ENOENT);
	pthread_cancel(thread);
	pthread_join(thread, NULL);
}

static void numbers_in_other_spellings_do_not_exist(void **state)
{
	Ctx *c = *state;
	char path[64];

	snprintf(path, sizeof(path), "0%d", (int)c->guest);
	assert_int_equal(look(c, path), -ENOENT);
	snprintf(path, sizeof(path), "%dx/status", (int)c->guest);
	assert_int_equal(look(c, path), -ENOENT);
	snprintf(path, sizeof(path), "%d/fd/07", (int)c->guest);
	assert_int_equal(look(c, path), -ENOENT);
	snprintf(path, sizeof(path), "%d/../1/status", (int)c->guest);
	assert_int_equal(look(c, path), -ENOENT);
	assert_int_equal(look(c, "99999999999999999999/status"), -ENOENT);
}

static void guests_see_their_children_and_each_other(void **state)
{
	Ctx *c = *state;
	pid_t second = fixture_guest(c->fx, GUEST_SECOND);

	assert_int_equal(kind_of(c, of(c, second, "")), COW_F_DIR);
	assert_int_equal(kind_of(c, of(c, second, "status")), COW_F_FILE);
	assert_true(proctree_is_guest(foreign_proctree(c->fx->foreign), second));
	assert_false(proctree_is_guest(foreign_proctree(c->fx->foreign), getpid()));
	assert_false(proctree_is_guest(foreign_proctree(c->fx->foreign), c->fx->init));
}

static void orphans_still_belong(void **state)
{
	Ctx *c = *state;
	pid_t second = fixture_guest(c->fx, GUEST_SECOND), parent = 0;
	char path[64], *text = NULL;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)second);
	assert_true(bv_read_file_at(AT_FDCWD, path, 8192, &text) > 0);
	parent = (pid_t)atoi(strstr(text, "PPid:") + 5);
	free(text);
	fixture_kill(c->fx, parent);
	assert_int_equal(look(c, of(c, second, "stat")), 0);
}

static int count_name(void *ctx, const char *name, uint64_t ino, unsigned char d_type)
{
	(void)ino, (void)d_type;
	char *all = ctx;
	strcat(strcat(all, " "), name);
	return 0;
}

static void listing_shows_guests_only(void **state)
{
	Ctx *c = *state;
	char all[8192] = "", word[32];

	assert_int_equal(c->ops->list(c->fs, &c->req, "", count_name, all), 0);
	strcat(all, " ");
	snprintf(word, sizeof(word), " %d ", (int)c->guest);
	assert_non_null(strstr(all, word));
	snprintf(word, sizeof(word), " %d ", (int)getpid());
	assert_null(strstr(all, word));
	snprintf(word, sizeof(word), " %d ", (int)c->fx->init);
	assert_null(strstr(all, word));
	assert_null(strstr(all, " 1 "));
	assert_null(strstr(all, " kcore "));
	assert_non_null(strstr(all, " self "));
	all[0] = 0;
	assert_int_equal(c->ops->list(c->fs, &c->req, of(c, c->guest, ""), count_name, all), 0);
	assert_null(strstr(all, " map_files"));
	assert_non_null(strstr(all, " maps"));
	all[0] = 0;
	assert_int_equal(c->ops->list(c->fs, &c->req, of(c, c->guest, "fd"), count_name, all), 0);
	assert_non_null(strstr(all, " 7"));
	all[0] = 0;
	assert_int_equal(c->ops->list(c->fs, &c->req, of(c, c->guest, "task"), count_name, all), 0);
	snprintf(word, sizeof(word), " %d", (int)c->guest);
	assert_string_equal(all, word);
	assert_int_equal(c->ops->list(c->fs, &c->req, of(c, getpid(), "fd"), count_name, all), -ENOENT);
}

static void dangerous_files_do_not_exist(void **state)
{
	static const char *const names[] = { "kcore", "kmsg", "keys", "kallsyms", "sysrq-trigger", "modules", "slabinfo", "timer_list",
					     "cmdline", "bus", "irq", "sys/kernel/core_pattern", "sys/kernel/modprobe", "sys/vm/drop_caches",
					     "sys/kernel/sysrq", "zoneinfo", "fs", "driver", "acpi", "sys/fs/binfmt_misc", "1", "net/tcp" };
	static const char *const of_process[] = { "map_files", "syscall", "stack", "autogroup", "cwd/etc", "root/etc", "root/proc",
						  "fd/9/etc", "net/nf_conntrack", "net/fib_trie", "task/1", "task/abc" };
	Ctx *c = *state;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_int_equal(look(c, names[i]), -ENOENT);
	for (size_t i = 0; i < ARRAY_LEN(of_process); i++)
		assert_int_equal(look(c, of(c, c->guest, of_process[i])), -ENOENT);
	assert_int_equal(open_errno(c, of(c, c->guest, "pagemap"), O_RDONLY), -EACCES);
}

static void root_is_the_root_of_the_view(void **state)
{
	Ctx *c = *state;
	CLEAN_LOC CowLoc loc = { 0 };

	assert_int_equal(kind_of(c, of(c, c->guest, "root")), COW_F_MAGIC);
	assert_int_equal(c->ops->follow(c->fs, &c->req, of(c, c->guest, "root"), &loc), 0);
	assert_int_equal(loc.kind, COW_NODE); /* what cowfs_resolve("/") gave */
	assert_string_equal(loc.path, "/");
	assert_string_equal(link_text(c, c->path), "/");
	assert_int_equal(open_errno(c, c->path, O_RDONLY | O_DIRECTORY), -ELOOP); /* never opened on the host */
}

static void cwd_and_exe_are_the_views(void **state)
{
	Ctx *c = *state;
	CowLoc loc = { 0 };

	assert_int_equal(c->ops->follow(c->fs, &c->req, of(c, c->guest, "cwd"), &loc), 0);
	assert_string_equal(loc.path, FIX_CWD);
	cowloc_release(&loc);
	assert_string_equal(link_text(c, of(c, c->guest, "cwd")), FIX_CWD);
	assert_string_equal(link_text(c, of(c, c->guest, "exe")), FIX_EXE);
	assert_int_equal(open_errno(c, of(c, c->guest, "exe"), O_RDONLY), -ELOOP);
	assert_int_equal(c->ops->follow(c->fs, &c->req, of(c, c->guest, "exe"), &loc), 0);
	assert_int_equal(loc.kind, COW_LOWER); /* through cowfs_by_host_path */
	cowloc_release(&loc);
	assert_int_equal(c->ops->follow(c->fs, &c->req, of(c, getpid(), "exe"), &loc), -ENOENT);
	assert_int_equal(c->ops->follow(c->fs, &c->req, of(c, getpid(), "root"), &loc), -ENOENT);
	assert_int_equal(c->ops->follow(c->fs, &c->req, of(c, c->fx->init, "cwd"), &loc), -ENOENT);
}

static void a_directory_outside_the_view_is_not_reached_by_fd(void **state)
{
	Ctx *c = *state;
	CowLoc loc = { 0 };

	assert_int_equal(c->ops->follow(c->fs, &c->req, of(c, c->guest, "fd/9"), &loc), -ENOENT);
	assert_int_equal(c->ops->follow(c->fs, &c->req, of(c, c->guest, "fd/99"), &loc), -ENOENT);
	assert_int_equal(open_errno(c, of(c, c->guest, "fd/9"), O_RDONLY), -ELOOP);
	assert_int_equal(open_errno(c, of(c, c->guest, "fd/9/"), O_WRONLY), -EACCES);
}

static void a_descriptor_is_reopened_with_no_more_access_than_it_has(void **state)
{
	Ctx *c = *state;
	CLEAN_LOC CowLoc loc = { 0 };
	struct statx st;
	int fd = -1;
	char text[16] = "";

	assert_int_equal(c->ops->follow(c->fs, &c->req, of(c, c->guest, "fd/7"), &loc), 0);
	assert_int_equal(loc.kind, COW_FOREIGN);
	assert_int_equal(kind_of(c, loc.path), COW_F_FILE);
	assert_int_equal(c->ops->statx(c->fs, &c->req, loc.path, STATX_BASIC_STATS, &st), 0);
	assert_true(S_ISREG(st.stx_mode));
	assert_int_equal(open_errno(c, loc.path, O_RDWR), -EACCES);
	assert_int_equal(open_errno(c, loc.path, O_WRONLY), -EACCES);
	assert_int_equal(open_errno(c, loc.path, O_RDONLY | O_TRUNC), -EACCES);
	assert_int_equal(c->ops->open(c->fs, &c->req, loc.path, O_RDONLY, &fd), 0);
	assert_int_equal(read(fd, text, sizeof(text)), 8);
	close(fd);
	assert_string_equal(text, "content\n");
	assert_string_equal(link_text(c, of(c, c->guest, "fd/7")), "/virtual/blob");
}

static void swap_now(void *ctx)
{
	Ctx *c = ctx;
	char link[64], text[64] = "";

	snprintf(link, sizeof(link), "/proc/%d/fd/7", (int)c->caller.tgid);
	kill(c->caller.tgid, SIGUSR1);
	while (readlink(link, text, sizeof(text) - 1) > 0 && strncmp(text, "/memfd:", 7) != 0)
		sched_yield();
	c->fx->on_given = NULL;
}

/* The guest replaces its descriptor after the object was pinned and before its access mode is looked up. */
static void swapping_a_descriptor_during_the_open_gains_nothing(void **state)
{
	Ctx *c = *state;
	pid_t guest = fixture_guest(c->fx, GUEST_SWAP);
	char path[64], host[64];
	struct stat st;

	c->caller = (SupCaller){ .tid = guest, .tgid = guest };
	snprintf(host, sizeof(host), "/proc/%d/fd/7", (int)guest);
	snprintf(path, sizeof(path), "%d/fd/7/", (int)guest);
	assert_int_equal(stat(host, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	c->fx->given_dev = st.st_dev;
	c->fx->given_ino = st.st_ino;
	c->fx->on_given = swap_now;
	c->fx->on_given_ctx = c;
	assert_int_equal(open_errno(c, path, O_WRONLY), -EACCES); /* the pipe, which it may only read */
	assert_null(c->fx->on_given);				  /* the swap did happen in between */
	assert_int_equal(open_errno(c, path, O_WRONLY), 0);	  /* the memory file */
}

static void an_own_pipe_is_reopened_both_ways_and_a_given_one_is_not(void **state)
{
	Ctx *c = *state;
	CLEAN_LOC CowLoc loc = { 0 };
	struct stat st;
	char host[64];

	assert_memory_equal(link_text(c, of(c, c->guest, "fd/8")), "pipe:[", 6);
	assert_int_equal(c->ops->follow(c->fs, &c->req, of(c, c->guest, "fd/8"), &loc), 0);
	assert_int_equal(open_errno(c, loc.path, O_RDONLY | O_NONBLOCK), 0);
	assert_int_equal(open_errno(c, loc.path, O_RDWR), 0);
	snprintf(host, sizeof(host), "/proc/%d/fd/8", (int)c->guest);
	assert_int_equal(stat(host, &st), 0);
	c->fx->given_dev = st.st_dev;
	c->fx->given_ino = st.st_ino;
	assert_int_equal(open_errno(c, loc.path, O_RDONLY), 0);
	assert_int_equal(open_errno(c, loc.path, O_WRONLY), -EACCES);
}

static void what_was_given_is_reopened_as_it_is(void **state)
{
	Ctx *c = *state;
	CLEAN_FD int given = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	struct stat st;
	CowLoc loc = { 0 };
	char host[64];

	c->fx->foreign->env.is_given = NULL; /* as in the supervisor */
	snprintf(host, sizeof(host), "/proc/%d/fd/8", (int)c->guest);
	assert_int_equal(stat(host, &st), 0);
	assert_false(foreign_is_given(c->fx->foreign, &st));
	CLEAN_FD int pipe_end = open(host, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_int_equal(foreign_add_given(c->fx->foreign, pipe_end), 0);
	assert_true(foreign_is_given(c->fx->foreign, &st));
	assert_int_equal(c->ops->follow(c->fs, &c->req, of(c, c->guest, "fd/8"), &loc), 0);
	assert_int_equal(open_errno(c, loc.path, O_WRONLY), -EACCES);
	cowloc_release(&loc);
	assert_int_equal(foreign_add_given(c->fx->foreign, given), 0);
	assert_int_equal(fstat(given, &st), 0);
	assert_true(foreign_is_given(c->fx->foreign, &st));
	CLEAN_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC), root = open("/", O_RDONLY | O_CLOEXEC);
	assert_int_equal(foreign_add_given(c->fx->foreign, null), 0);
	assert_int_equal(fstat(null, &st), 0);
	assert_false(foreign_is_given(c->fx->foreign, &st)); /* everybody's */
	assert_int_equal(foreign_add_given(c->fx->foreign, root), 0);
	assert_int_equal(fstat(root, &st), 0);
	assert_false(foreign_is_given(c->fx->foreign, &st));
}

static void namespaces_can_be_read_but_not_opened(void **state)
{
	Ctx *c = *state;
	CLEAN_LOC CowLoc loc = { 0 };
	struct statx st;

	assert_memory_equal(link_text(c, of(c, c->guest, "ns/net")), "net:[", 5);
	assert_int_equal(c->ops->follow(c->fs, &c->req, of(c, c->guest, "ns/net"), &loc), 0);
	assert_int_equal(c->ops->statx(c->fs, &c->req, loc.path, STATX_INO, &st), 0);
	assert_int_equal(open_errno(c, loc.path, O_RDONLY), -EACCES);
	assert_int_equal(open_errno(c, loc.path, O_PATH), -EACCES);
}

static void memory_is_the_callers_own_only(void **state)
{
	Ctx *c = *state;
	pid_t other = fixture_guest(c->fx, GUEST_PLAIN);

	assert_int_equal(open_errno(c, of(c, other, "mem"), O_RDONLY), -EACCES);
	assert_int_equal(open_errno(c, of(c, other, "clear_refs"), O_WRONLY), -EACCES);
	assert_int_equal(open_errno(c, of(c, other, "comm"), O_WRONLY), -EACCES);
	assert_int_equal(open_errno(c, of(c, other, "oom_score_adj"), O_RDWR), -EACCES);
	assert_int_equal(open_errno(c, of(c, c->guest, "mem"), O_RDWR), 0);
	assert_int_equal(open_errno(c, of(c, c->guest, "comm"), O_WRONLY | O_TRUNC), 0);
	assert_int_equal(open_errno(c, of(c, c->guest, "status"), O_WRONLY), -EACCES);
	assert_int_equal(open_errno(c, of(c, c->guest, "uid_map"), O_WRONLY), -EACCES);
	assert_int_equal(open_errno(c, of(c, c->guest, "attr/current"), O_WRONLY), -EACCES);
	char *text = read_all(c, of(c, c->guest, "environ"));
	assert_string_equal(text, "FIXTURE=guest");
	free(text);
}

static void before_its_exec_a_child_of_init_is_hidden(void **state)
{
	Ctx *c = *state;
	pid_t forked = fixture_guest(c->fx, GUEST_FORKED);

	assert_true(proctree_is_guest(foreign_proctree(c->fx->foreign), forked)); /* it can be killed */
	assert_int_equal(look(c, of(c, forked, "")), -ENOENT);
	assert_int_equal(open_errno(c, of(c, forked, "environ"), O_RDONLY), -ENOENT);
	assert_int_equal(open_errno(c, of(c, forked, "maps"), O_RDONLY), -ENOENT);
}

static void kernel_settings_are_read_only(void **state)
{
	Ctx *c = *state;

	assert_int_equal(open_errno(c, "sys/kernel/hostname", O_WRONLY), -EACCES);
	assert_int_equal(open_errno(c, "sys/kernel/pid_max", O_RDWR), -EACCES);
	assert_int_equal(open_errno(c, "sys/kernel/pid_max", O_RDONLY | O_TRUNC), -EACCES);
	assert_int_equal(open_errno(c, "sys", O_WRONLY), -EISDIR);
	assert_int_equal(open_errno(c, "cpuinfo", O_WRONLY), -EACCES);
	char *text = read_all(c, "sys/kernel/ostype");
	assert_string_equal(text, "Linux\n");
	free(text);
}

static void texts_do_not_name_the_store(void **state)
{
	Ctx *c = *state;
	int fd = -1;

	char *maps = read_all(c, of(c, c->guest, "maps"));
	assert_null(strstr(maps, c->fx->scratch));
	assert_non_null(strstr(maps, FIX_EXE)); /* the program's own mapping */
	assert_non_null(strstr(maps, "[stack]"));
	free(maps);
	char *mounts = read_all(c, of(c, c->guest, "mountinfo"));
	assert_non_null(strstr(mounts, " / "));
	free(mounts);
	assert_int_equal(c->ops->open(c->fs, &c->req, of(c, c->guest, "maps"), O_RDONLY, &fd), 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_true(fcntl(fd, F_GET_SEALS) & F_SEAL_WRITE);
	char first[32], again[32];
	assert_int_equal(read(fd, first, sizeof(first)), sizeof(first));
	assert_int_equal(pread(fd, again, sizeof(again), 0), sizeof(again));
	assert_memory_equal(first, again, sizeof(first));
	close(fd);
}

static void render(Ctx *c, int (*make)(const Foreign *, const ProcPath *, char *, FILE *), const char *name, const char *in, char *out, size_t size)
{
	ProcPath at = { .name = name };
	CLEAN_FREE char *copy = strdup(in);

	assert_int_equal(proctree_get(foreign_proctree(c->fx->foreign), c->guest, &at.ref), 0);
	memset(out, 0, size);
	FILE *f = fmemopen(out, size, "w");
	assert_int_equal(make(c->fx->foreign, &at, copy, f), 0);
	fclose(f);
	proctree_put(foreign_proctree(c->fx->foreign), at.ref);
}

static void mappings_show_virtual_paths(void **state)
{
	Ctx *c = *state;
	char in[2048], out[2048];

	snprintf(in, sizeof(in),
		 "7f00-7f01 r-xp 00000000 08:01 5      %s\n7f01-7f02 r-xp 00000000 08:01 6      %s/gone (deleted)\n"
		 "7f02-7f03 rw-p 00000000 00:00 0      [heap]\nSize:   4 kB\n7f03-7f04 rw-s 00000000 00:01 9      /memfd:x (deleted)\n",
		 c->fx->file, c->fx->scratch);
	render(c, procfs_render_maps, "smaps", in, out, sizeof(out));
	assert_string_equal(out, "7f00-7f01 r-xp 00000000 08:01 5      /virtual/blob\n7f01-7f02 r-xp 00000000 08:01 6      (unreachable) (deleted)\n"
				 "7f02-7f03 rw-p 00000000 00:00 0      [heap]\nSize:   4 kB\n7f03-7f04 rw-s 00000000 00:01 9      /memfd:x (deleted)\n");
	snprintf(in, sizeof(in), "7f00 default file=%s mapped=1\n7f01 default file=/a\\040b mapped=2\n7f02 default heap\n", c->fx->file);
	render(c, procfs_render_numa_maps, "numa_maps", in, out, sizeof(out));
	assert_string_equal(out, "7f00 default file=/virtual/blob mapped=1\n7f01 default file=/a\\040b mapped=2\n7f02 default heap\n");
}

static void mounts_are_the_views_alone(void **state)
{
	Ctx *c = *state;
	struct stat st;
	char line[64];

	c->req.may_block = true;
	char *info = read_all(c, of(c, c->guest, "mountinfo"));
	assert_int_equal(stat("/", &st), 0);
	snprintf(line, sizeof(line), "1 0 %u:%u / / rw", major(st.st_dev), minor(st.st_dev));
	assert_memory_equal(info, line, strlen(line));
	for (char *at = info; (at = strchr(at, '\n')) && at[1]; at++) /* " / " is the root of each; its parent is there */
		assert_non_null(strstr(at, " - "));
	assert_null(strstr(info, c->fx->scratch));
	char *mounts = read_all(c, of(c, c->guest, "mounts"));
	assert_memory_equal(mounts, "bvisor / ", 9);
	assert_non_null(strstr(mounts, "\nproc /proc proc "));
	char *stats = read_all(c, of(c, c->guest, "mountstats"));
	assert_memory_equal(stats, "device bvisor mounted on / with fstype ", 39);
	free(info), free(mounts), free(stats);
}

static void counters_become_nothing_and_names_stay(void **state)
{
	Ctx *c = *state;
	char out[512];

	render(c, procfs_render_counters, "dev", " face |bytes\n eth0: 315   18 -1\nIcmp6: In6 12\nIp6InReceives\t313\n", out, sizeof(out));
	assert_string_equal(out, " face |bytes\n eth0:   0    0  0\nIcmp6: In6  0\nIp6InReceives\t  0\n");
	render(c, procfs_render_header, "swaps", "Filename Type\n/swap file\n", out, sizeof(out));
	assert_string_equal(out, "Filename Type\n");
	render(c, procfs_render_file_nr, "file-nr", "1234\t0\t99\n", out, sizeof(out));
	assert_string_equal(out, "0\t0\t99\n");
	render(c, procfs_render_cgroups, "cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t4\t77\t1\n", out, sizeof(out));
	assert_string_equal(out, "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t0\t1\t1\n");
}

/* Two packages of two cores with two threads each, of which three threads are the sandbox's. */
static void processors_that_were_not_given_are_not_in_cpuinfo(void **state)
{
	Ctx *c = *state;
	char in[4096] = "", out[4096];

	for (int i = 0; i < 8; i++)
		snprintf(in + strlen(in), sizeof(in) - strlen(in), "processor\t: %d\nphysical id\t: %d\nsiblings\t: 4\ncore id\t\t: %d\ncpu cores\t: 2\nflags\t\t: x\n\n", i, i / 4,
			 i / 2 % 2);
	c->fx->view.all_cpus = false;
	CPU_SET(2, &c->fx->view.cpus);
	CPU_SET(3, &c->fx->view.cpus);
	CPU_SET(7, &c->fx->view.cpus);
	render(c, procfs_render_cpuinfo, "cpuinfo", in, out, sizeof(out));
	assert_string_equal(out, "processor\t: 2\nphysical id\t: 0\nsiblings\t: 2\ncore id\t\t: 1\ncpu cores\t: 1\nflags\t\t: x\n\n"
				 "processor\t: 3\nphysical id\t: 0\nsiblings\t: 2\ncore id\t\t: 1\ncpu cores\t: 1\nflags\t\t: x\n\n"
				 "processor\t: 7\nphysical id\t: 1\nsiblings\t: 1\ncore id\t\t: 1\ncpu cores\t: 1\nflags\t\t: x\n\n");
	/* Whatever has no blocks of processors stays. */
	render(c, procfs_render_cpuinfo, "cpuinfo", "processor\t: 0\nBogoMIPS\t: 1\n\nHardware\t: board\n", out, sizeof(out));
	assert_string_equal(out, "Hardware\t: board\n\n");
}

static void times_count_from_the_start_of_the_sandbox(void **state)
{
	Ctx *c = *state;
	unsigned long long hz = (unsigned long long)sysconf(_SC_CLK_TCK), start = c->fx->view.start, btime = 0;
	char in[512], out[512], want[512];

	c->req.may_block = true;
	const char format[] = "7 (a) b) %c 1 7 7 0 -1 4194560 0 0 0 0 1 2 3 4 20 0 1 0 %llu 100 5 18446744073709551615\n";
	snprintf(in, sizeof(in), format, 'S', (start + 5) * hz);
	snprintf(want, sizeof(want), format, 'S', 5 * hz);
	render(c, procfs_render_task_stat, "stat", in, out, sizeof(out));
	assert_string_equal(out, want);
	char *uptime = read_all(c, "uptime");
	assert_true(strtod(uptime, NULL) < 60);
	char *stat = read_all(c, "stat");
	assert_non_null(strstr(stat, "\ncpu0 "));
	btime = strtoull(strstr(stat, "\nbtime ") + 7, NULL, 10);
	assert_true((unsigned long long)time(NULL) - btime < 60);
	free(uptime), free(stat);
}

/* A minute of one processor: e^-1 of what was there is left of the first average. Times do not go back when processes have gone. */
static void load_is_how_many_processors_were_kept_busy(void **state)
{
	Ctx *c = *state;
	HostView *v = &c->fx->view;
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK), second = 1000000000;
	struct timespec now;
	HostUsage u;

	assert_int_equal(hostview_usage(v, foreign_proctree(c->fx->foreign), 0, true, &u), 0);
	assert_true(u.processes >= 1 && u.threads >= u.processes && u.loads[0] == 0 && u.newest > 1);
	clock_gettime(CLOCK_BOOTTIME, &now);
	v->sampled = 1;
	v->load_at = (uint64_t)now.tv_sec * second + (uint64_t)now.tv_nsec - 60 * second;
	v->load_ticks = 0;
	v->usage.user = 50 * hz;
	v->usage.system = 10 * hz;
	assert_int_equal(hostview_usage(v, foreign_proctree(c->fx->foreign), 0, true, &u), 0);
	assert_true(u.user >= 50 * hz && u.user < 51 * hz);
	assert_in_range(u.loads[0], (1 << HOSTVIEW_LOAD_BITS) * 60 / 100, (1 << HOSTVIEW_LOAD_BITS) * 66 / 100); /* 1 - e^-1 */
	assert_in_range(u.loads[1], (1 << HOSTVIEW_LOAD_BITS) * 16 / 100, (1 << HOSTVIEW_LOAD_BITS) * 20 / 100); /* 1 - e^-0.2 */
	assert_int_equal(hostview_usage(v, foreign_proctree(c->fx->foreign), 60 * second, false, &u), 0); /* young enough */
	assert_int_equal(hostview_usage(v, foreign_proctree(c->fx->foreign), 0, false, &u), -EINPROGRESS);
}

static void names_that_are_too_long_are_refused(void **state)
{
	char name[HOSTVIEW_NAME + 1];
	HostView v;

	(void)state;
	memset(name, 'x', sizeof(name));
	name[HOSTVIEW_NAME] = 0;
	assert_int_equal(hostview_init(&v, NULL, name, NULL), -EINVAL);
	assert_int_equal(hostview_init(&v, NULL, NULL, name), -EINVAL);
	name[HOSTVIEW_NAME - 1] = 0;
	assert_int_equal(hostview_init(&v, NULL, name, name), 0);
}

/* What programs keep open is made anew while they do, and not when nobody does. */
static void texts_that_are_held_open_are_kept_up_to_date(void **state)
{
	Ctx *c = *state;
	char first[64] = "", again[64] = "";
	int fd = -1;

	c->req.may_block = true;
	assert_false(foreign_tick(c->fx->foreign));
	assert_int_equal(c->ops->open(c->fs, &c->req, "uptime", O_RDONLY, &fd), 0);
	assert_true(pread(fd, first, sizeof(first) - 1, 0) > 0);
	for (int i = 0; i < 100; i++) {
		assert_true(foreign_tick(c->fx->foreign));
		assert_true(pread(fd, again, sizeof(again) - 1, 0) > 0);
		if (strtod(again, NULL) > strtod(first, NULL))
			break;
		usleep(20000);
	}
	assert_true(strtod(again, NULL) > strtod(first, NULL));
	assert_true(write(fd, "x", 1) < 0);
	close(fd);
	for (int i = 0; i < 100 && foreign_tick(c->fx->foreign); i++)
		usleep(20000);
	assert_false(foreign_tick(c->fx->foreign));
}

static void what_takes_long_is_not_made_by_who_may_not_wait(void **state)
{
	Ctx *c = *state;

	assert_int_equal(open_errno(c, "loadavg", O_RDONLY), -EINPROGRESS);
	assert_int_equal(open_errno(c, of(c, c->guest, "net/tcp"), O_RDONLY), -EINPROGRESS);
	c->req.may_block = true;
	assert_int_equal(open_errno(c, "loadavg", O_RDONLY), 0);
	assert_int_equal(open_errno(c, of(c, c->guest, "net/tcp"), O_RDONLY), 0);
}

static void a_directory_descriptor_does_not_come_to_mean_another_process(void **state)
{
	Ctx *c = *state;
	pid_t other = fixture_guest(c->fx, GUEST_PLAIN);
	char path[64];
	struct stat st;
	ProcRef *ref;
	int fd = -1;

	assert_int_equal(c->ops->open(c->fs, &c->req, of(c, other, "fd"), O_RDONLY | O_DIRECTORY, &fd), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(c->ops->by_identity(c->fs, st.st_dev, st.st_ino, path, sizeof(path)), 0);
	assert_string_equal(path, of(c, other, "fd"));
	assert_int_equal(c->ops->by_identity(c->fs, st.st_dev, st.st_ino + 1, path, sizeof(path)), -ENOENT);
	assert_int_equal(proctree_get(foreign_proctree(c->fx->foreign), other, &ref), 0);
	fixture_kill(c->fx, other);
	assert_int_equal(c->ops->by_identity(c->fs, st.st_dev, st.st_ino, path, sizeof(path)), -ENOENT);
	assert_int_equal(faccessat(ref->fd, "status", F_OK, 0), -1);
	proctree_put(foreign_proctree(c->fx->foreign), ref);
	close(fd);
}

/* Gives the number of a dead guest to an outsider (needs the right to choose the next number). */
static pid_t outsider_with_pid(pid_t wanted)
{
	for (int i = 0; i < 50; i++) {
		char text[16];
		int n = snprintf(text, sizeof(text), "%d", (int)wanted - 1);
		CLEAN_FD int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, text, (size_t)n) != n)
			return -1;
		pid_t pid = fork();
		if (pid == 0) {
			for (;;)
				pause();
		}
		if (pid == wanted)
			return pid;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return -1;
}

static void a_reused_pid_is_an_outsider(void **state)
{
	Ctx *c = *state;
	pid_t other = fixture_guest(c->fx, GUEST_PLAIN);
	ProcRef *ref;

	assert_int_equal(look(c, of(c, other, "status")), 0);
	assert_int_equal(proctree_get(foreign_proctree(c->fx->foreign), other, &ref), 0);
	fixture_kill(c->fx, other);
	pid_t outsider = outsider_with_pid(other);
	if (outsider < 0) {
		proctree_put(foreign_proctree(c->fx->foreign), ref);
		skip();
	}
	assert_int_equal(look(c, of(c, other, "status")), -ENOENT);
	assert_int_equal(proctree_kill(foreign_proctree(c->fx->foreign), other, SIGKILL), -ESRCH);
	assert_int_equal(kill(outsider, 0), 0);
	assert_int_equal(faccessat(ref->fd, "status", F_OK, 0), -1); /* the old reference does not reach it */
	proctree_put(foreign_proctree(c->fx->foreign), ref);
	kill(outsider, SIGKILL);
	waitpid(outsider, NULL, 0);
}

static void kill_reaches_guests_only(void **state)
{
	Ctx *c = *state;
	ProcTree *tree = foreign_proctree(c->fx->foreign);

	assert_int_equal(proctree_kill(tree, c->fx->init, SIGKILL), -ESRCH);
	assert_int_equal(proctree_kill(tree, getpid(), SIGKILL), -ESRCH);
	assert_int_equal(proctree_kill(tree, 1, SIGKILL), -ESRCH);
	assert_int_equal(proctree_kill(tree, c->guest, SIGKILL), 0);
	assert_int_equal(proctree_tgid(getpid()), getpid());
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(self_is_the_caller),
		T(processes_and_threads_of_others_do_not_exist),
		T(numbers_in_other_spellings_do_not_exist),
		T(guests_see_their_children_and_each_other),
		T(orphans_still_belong),
		T(listing_shows_guests_only),
		T(dangerous_files_do_not_exist),
		T(root_is_the_root_of_the_view),
		T(cwd_and_exe_are_the_views),
		T(a_directory_outside_the_view_is_not_reached_by_fd),
		T(a_descriptor_is_reopened_with_no_more_access_than_it_has),
		T(swapping_a_descriptor_during_the_open_gains_nothing),
		T(an_own_pipe_is_reopened_both_ways_and_a_given_one_is_not),
		T(what_was_given_is_reopened_as_it_is),
		T(namespaces_can_be_read_but_not_opened),
		T(memory_is_the_callers_own_only),
		T(before_its_exec_a_child_of_init_is_hidden),
		T(kernel_settings_are_read_only),
		T(texts_do_not_name_the_store),
		T(mappings_show_virtual_paths),
		T(mounts_are_the_views_alone),
		T(counters_become_nothing_and_names_stay),
		T(processors_that_were_not_given_are_not_in_cpuinfo),
		T(times_count_from_the_start_of_the_sandbox),
		T(load_is_how_many_processors_were_kept_busy),
		T(names_that_are_too_long_are_refused),
		T(texts_that_are_held_open_are_kept_up_to_date),
		T(what_takes_long_is_not_made_by_who_may_not_wait),
		T(a_directory_descriptor_does_not_come_to_mean_another_process),
		T(a_reused_pid_is_an_outsider),
		T(kill_reaches_guests_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
