/* Files of a sandbox, changed from outside while a hostile process of that sandbox does what it can: every call comes back, with its success or an error, and nothing else is touched or seen. */
#include "tests/unit/sandbox_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#define PYTHON(script) (const char *const[]){"python3", "-c", "import os, sys, time\nos.write(1, b'x')\n" script, NULL}
#define RUN_SECONDS (getenv("BVISOR_LONG") ? 20.0 : 1.0) /* of each attack */
#define BOUND 20.0	/* of each call, on a busy machine */

/* One call that has to come back. */
#define BOUNDED(call) \
	__extension__({ \
		double bounded_began = seconds(); \
		int bounded_r = (call); \
		if (seconds() - bounded_began > BOUND) \
			fail_msg("%s took %.1f s", #call, seconds() - bounded_began); \
		bounded_r; \
	})

static void who_kills_or_stops_it_gives_an_error(void **state)
{
	BvSandbox *sb = create_plain();
	BvProcess *killer = attacker(sb, PYTHON("import signal\n"
						"while True:\n"
						"  for s in (signal.SIGSTOP, signal.SIGKILL, signal.SIGTSTP, signal.SIGUSR1):\n"
						"    for i in range(20):\n"
						"      try: os.kill(-1, s)\n"
						"      except OSError: pass"));
	double until = seconds() + RUN_SECONDS;
	int killed = 0, done = 0;

	(void)state;
	while (seconds() < until || !killed) {
		int r = BOUNDED(WRITE(sb, at("file"), "x", 0));
		if (r == 0)
			done++;
		else if (r == -ECANCELED)
			killed++;
		else
			fail_msg("%d", r);
		assert_true(seconds() < until + 60);
	}
	end(killer);
	print_message("killed or stopped: %d of %d\n", killed, killed + done);
	assert_int_equal(WRITE(sb, at("file"), "whole", 0), 0);
	guest(sb, "cat file", "whole");
	discard(sb);
}

/* A stopped one would let init wait, and so everybody. */
static void commands_that_are_stopped_at_their_start_do_not_stop_the_others(void **state)
{
	BvSandbox *sb = create_plain();
	BvProcess *stopper = attacker(sb, PYTHON("import signal\n"
						 "while True:\n"
						 "  try: os.kill(-1, signal.SIGSTOP)\n"
						 "  except OSError: pass"));
	double until = seconds() + RUN_SECONDS;
	BvSpawnOptions options = BV_SPAWN_OPTIONS_INIT;

	(void)state;
	options.argv = (const char *const[]){"/bin/true", NULL};
	while (seconds() < until) {
		BvProcess *process = NULL;
		double began = seconds();
		if (bv_sandbox_spawn(sb, &options, &process, NULL) == 0)
			bv_process_kill(process, SIGKILL, NULL);
		bv_process_close(process);
		assert_true(seconds() - began < BOUND);
	}
	end(stopper);
	guest(sb, "echo alive", "alive\n");
	discard(sb);
}

static void a_tree_that_is_exchanged_for_links_leads_nowhere(void **state)
{
	BvSandbox *sb = create_plain();
	double until = seconds() + 2 * RUN_SECONDS;
	int removed = 0, refused = 0;

	(void)state;
	guest(sb, "mkdir -p keep/sub/deep; touch keep/a keep/sub/b keep/sub/deep/c", "");
	BvProcess *swapper = attacker(sb, PYTHON("def attempt(f, *a):\n"
						 "  try: f(*a)\n"
						 "  except OSError: pass\n"
						 "while True:\n"
						 "  attempt(os.makedirs, 'tree/sub/deep/x')\n"
						 "  attempt(os.rename, 'tree/sub', 'aside')\n"
						 "  attempt(os.symlink, '../keep', 'tree/sub')\n"
						 "  attempt(os.unlink, 'tree/sub')\n"
						 "  attempt(os.rename, 'aside', 'tree/sub')\n"
						 "  attempt(os.rename, 'tree', 'old')\n"
						 "  attempt(os.symlink, 'keep', 'tree')\n"
						 "  attempt(os.unlink, 'tree')\n"
						 "  attempt(os.rename, 'old', 'tree')\n"
						 "  attempt(os.rename, 'tree/sub/deep', 'keep/moved')\n"
						 "  attempt(os.rename, 'keep/moved', 'tree/sub/deep')"));
	while (seconds() < until || !removed || !refused) {
		int r = BOUNDED(TRY(bv_sandbox_remove_file, sb, at("tree"), BV_FILE_RECURSIVE));
		assert_true(seconds() < until + 120);
		removed += r == 0;
		refused += r < 0;
		if (r < 0 && r != -ENOENT && r != -ENOTEMPTY && r != -EBUSY && r != -ENOTDIR && r != -ELOOP)
			fail_msg("%d", r);
	}
	end(swapper);
	print_message("removed %d times, refused %d times\n", removed, refused);
	guest(sb, "rm -rf keep/moved; find keep | sort", "keep\nkeep/a\nkeep/sub\nkeep/sub/b\nkeep/sub/deep\nkeep/sub/deep/c\n");
	discard(sb);
}

static void a_tree_that_grows_meanwhile_ends(void **state)
{
	BvSandbox *sb = create_plain();
	double until = seconds() + RUN_SECONDS;

	(void)state;
	BvProcess *filler = attacker(sb, PYTHON("n = 0\n"
						"while True:\n"
						"  n += 1\n"
						"  try: os.makedirs(f'tree/{n % 7}/{n}'); open(f'tree/{n % 7}/{n}/f', 'w').close(); open(f'tree/{n}', 'w').close()\n"
						"  except OSError: pass"));
	while (seconds() < until) {
		int r = BOUNDED(TRY(bv_sandbox_remove_file, sb, at("tree"), BV_FILE_RECURSIVE));
		assert_true(r == 0 || r == -ENOENT || r == -ENOTEMPTY);
	}
	end(filler);
	int r = TRY(bv_sandbox_remove_file, sb, at("tree"), BV_FILE_RECURSIVE);
	assert_true(r == 0 || r == -ENOENT);
	discard(sb);
}

static void a_name_that_becomes_something_else_keeps_nobody_waiting(void **state)
{
	BvSandbox *sb = create_plain();
	double until = seconds() + RUN_SECONDS;

	(void)state;
	BvProcess *changer = attacker(sb, PYTHON("import socket\n"
						 "def listen(n): s = socket.socket(socket.AF_UNIX); s.bind(n); s.close()\n"
						 "kinds = [os.mkfifo, os.mkdir, lambda n: os.symlink(n, n), lambda n: os.symlink('/dev/full', n), lambda n: os.symlink('/dev/tty', n), listen,\n"
						 "         lambda n: os.symlink('/proc/self/fd/1', n)]\n"
						 "while True:\n"
						 "  for k in kinds:\n"
						 "    try: k('n'); os.rename('n', 'name') if k is not os.mkdir else 0\n"
						 "    except OSError: pass\n"
						 "    for f in (os.unlink, os.rmdir):\n"
						 "      for n in ('n', 'name'):\n"
						 "        try: f(n)\n"
						 "        except OSError: pass"));
	while (seconds() < until) {
		BOUNDED(WRITE(sb, at("name"), "x", 0));
		BOUNDED(WRITE(sb, at("name/below"), "x", BV_FILE_PARENTS));
		BOUNDED(TRY(bv_sandbox_make_dir, sb, at("name/a/b"), BV_FILE_PARENTS, 0755));
		BvWatch *w = NULL;
		BOUNDED(TRY(bv_sandbox_watch, sb, at("name"), 1, &w));
		bv_watch_close(w);
	}
	end(changer);
	discard(sb);
}

static int find_pid(void *ctx, const BvProcessInfo *info)
{
	*(pid_t *)ctx = info->pid;
	return 0;
}

/* What a process that writes to a pipe says next. */
static void assert_said(BvProcess *process, const char *expected)
{
	char buf[300];
	ssize_t n = read(bv_process_fd(process, 1), buf, sizeof(buf) - 1);

	assert_true(n >= 0);
	buf[n] = '\0';
	assert_string_equal(buf, expected);
}

/* Of the memory, arguments, environment and descriptors of these processes, and of commands at their start. */
static void nothing_of_who_asks_is_seen_and_nothing_is_forged(void **state)
{
	const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
	BvSpawnOptions options = BV_SPAWN_OPTIONS_INIT;
	BvProcess *reader = NULL, *process = NULL;
	BvWatch *w = NULL;
	BvStatus status;
	char data[200], buf[300], pid[20];
	pid_t watcher = 0;

	(void)state;
	setenv("FILES_TEST_SECRET", "a-secret-of-the-caller", 1);
	BvSandbox *sb = create_plain();
	assert_int_equal(TRY(bv_sandbox_watch, sb, at("."), 0, &w), 0); /* one that stays */
	assert_int_equal(bv_sandbox_ps(sb, find_pid, &watcher, NULL), 0);
	snprintf(pid, sizeof(pid), "%d", (int)watcher);
	options.env = env;
	options.cwd = host;
	options.argv = (const char *const[]){"python3", "-c",
					     "import glob, os, sys\n"
					     "watcher = sys.argv[1]\n"
					     "passes = 0\n"
					     "while not os.path.exists('enough'):\n"
					     "  if watcher not in os.listdir('/proc'): print('not looked at')\n"
					     "  for p in glob.glob('/proc/[0-9]*'):\n"
					     "    for f in ('environ', 'cmdline', 'maps', 'mem', 'fd/0'):\n"
					     "      if p == f'/proc/{os.getpid()}': continue\n"
					     "      try:\n"
					     "        fd = os.open(p + '/' + f, os.O_RDWR | os.O_NONBLOCK if f[:2] in ('fd', 'me') else os.O_RDONLY)\n"
					     "      except OSError: continue\n"
					     "      try:\n"
					     "        text = os.read(fd, 1 << 20)\n"
					     "        if b'secret-of' in text: print('secret in', f)\n"
					     "        if f == 'mem': print('memory')\n"
					     "        if f[:2] == 'fd' and text[:7] == b'data of': os.pwrite(fd, b'FORGED', 0); print('forged')\n"
					     "      except OSError: pass\n"
					     "      finally: os.close(fd)\n"
					     "  if not passes: print('begun', flush=True)\n"
					     "  passes += 1\n",
					     pid,
					     NULL};
	options.fds[0] = BV_FD_NULL;
	options.fds[1] = BV_FD_PIPE;
	assert_int_equal(bv_sandbox_spawn(sb, &options, &reader, NULL), 0);
	options.argv = (const char *const[]){"/bin/true", NULL};
	options.fds[1] = BV_FD_NULL;
	assert_said(reader, "begun\n"); /* it has looked at each of them once */
	double until = seconds() + 2 * RUN_SECONDS;
	for (int i = 0; seconds() < until; i++) {
		int fd = -1;
		snprintf(data, sizeof(data), "data of %d", i);
		assert_int_equal(WRITE(sb, at("file"), data, 0), 0);
		assert_int_equal(bv_sandbox_open_file(sb, at("file"), &fd, NULL), 0);
		assert_int_equal(read(fd, buf, sizeof(buf)), strlen(data));
		assert_memory_equal(buf, data, strlen(data));
		close(fd);
		assert_int_equal(bv_sandbox_spawn(sb, &options, &process, NULL), 0);
		assert_int_equal(bv_process_wait(process, -1, &status, NULL), 0);
		bv_process_close(process);
	}
	assert_int_equal(WRITE(sb, at("enough"), "", 0), 0);
	assert_said(reader, ""); /* at its end: it has seen nothing */
	end(reader);
	bv_watch_close(w);
	unsetenv("FILES_TEST_SECRET");
	discard(sb);
}

typedef struct Writer {
	BvSandbox *sb;
	atomic_bool stop;
	int done, failed;
} Writer;

static void *write_on(void *arg)
{
	Writer *w = arg;

	while (!w->stop) {
		w->failed += bv_sandbox_write_file(w->sb, at("file"), "x", 1, BV_FILE_APPEND, 0644, NULL) < 0;
		w->done++;
	}
	return NULL;
}

static void moments_of_snapshots_only_let_it_wait(void **state)
{
	Writer w = {.sb = create_plain()};
	BvSnapshotOptions options = BV_SNAPSHOT_OPTIONS_INIT;
	char place[300], wanted[30];
	pthread_t thread;

	(void)state;
	snprintf(place, sizeof(place), "%s/place", store);
	options.to = place;
	BvProcess *writer = attacker(w.sb, (const char *const[]){"/bin/sh", "-c", "exec 3>>open; echo x; while :; do echo x >&3; done", NULL});
	assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
	for (int i = 0; i < 5; i++) {
		BvError *err = NULL;
		int r = bv_sandbox_snapshot(w.sb, &options, NULL, &err);
		fail_error("snapshot", r, err);
		assert_int_equal(r, 0);
	}
	w.stop = true;
	pthread_join(thread, NULL);
	assert_int_equal(w.failed, 0);
	assert_true(w.done > 5);
	end(writer);
	snprintf(wanted, sizeof(wanted), "%d\n", w.done);
	guest(w.sb, "stat -c %s file", wanted);
	discard(w.sb);
	snprintf(place, sizeof(place), "rm -rf %s/place", store);
	assert_int_equal(system(place), 0);
}

static pid_t parent_of(pid_t pid)
{
	char path[64], text[512];
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	assert_true(fgets(text, sizeof(text), f) && sscanf(strrchr(text, ')') + 1, " %*c %d", &parent) == 1);
	fclose(f);
	return parent;
}

static void a_supervisor_that_dies_is_said_and_the_next_call_starts_one(void **state)
{
	BvSandbox *sb = create_plain();
	BvWatch *w = NULL;
	pid_t pid = 0;
	int r = 0;

	(void)state;
	assert_int_equal(TRY(bv_sandbox_watch, sb, host, 0, &w), 0);
	assert_int_equal(bv_sandbox_ps(sb, find_pid, &pid, NULL), 0);
	assert_int_equal(kill(parent_of(parent_of(pid)), SIGKILL), 0);
	for (int i = 0; i < 10 && r == 0; i++)
		r = BOUNDED(WRITE(sb, at("file"), "x", 0));
	assert_int_equal(r, -ECONNRESET);
	r = TRY(bv_watch_read, w, 10000, NULL, NULL);
	assert_true(r == -ECONNRESET);
	bv_watch_close(w);
	assert_int_equal(BOUNDED(WRITE(sb, at("file"), "again", 0)), 0);
	guest(sb, "cat file", "again");
	discard(sb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_kills_or_stops_it_gives_an_error),
		cmocka_unit_test(commands_that_are_stopped_at_their_start_do_not_stop_the_others),
		cmocka_unit_test(a_tree_that_is_exchanged_for_links_leads_nowhere),
		cmocka_unit_test(a_tree_that_grows_meanwhile_ends),
		cmocka_unit_test(a_name_that_becomes_something_else_keeps_nobody_waiting),
		cmocka_unit_test(nothing_of_who_asks_is_seen_and_nothing_is_forged),
		cmocka_unit_test(moments_of_snapshots_only_let_it_wait),
		cmocka_unit_test(a_supervisor_that_dies_is_said_and_the_next_call_starts_one),
	};

	return cmocka_run_group_tests(tests, set_up_store, tear_down_store);
}
