/* libbvisor as a program with threads uses it, with real supervisors: many sandboxes at once, one sandbox shared, captured output. */
#include "include/bvisor/bvisor.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define THREADS 6

static char store[] = "/tmp/bvisor-test-XXXXXX";

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(store) ? 0 : -1;
}

static int remove_entry(void *ctx, const BvSandboxInfo *info)
{
	BvSandbox *sb = NULL;

	(void)ctx;
	if (bv_sandbox_open(store, info->name, &sb, NULL) == 0)
		bv_sandbox_remove(sb, 1, NULL);
	bv_sandbox_close(sb);
	return 0;
}

static int tear_down(void **state)
{
	char *sandboxes = NULL, *log = NULL;

	(void)state;
	bv_sandbox_list(store, remove_entry, NULL, NULL);
	if (asprintf(&sandboxes, "%s/sandboxes", store) < 0 || asprintf(&log, "%s/supervisor.log", store) < 0)
		return -1;
	rmdir(sandboxes);
	unlink(log);
	free(sandboxes);
	free(log);
	return rmdir(store); /* nothing is left in it */
}

static BvSandbox *create(const char *name)
{
	BvCreateOptions options = BV_CREATE_OPTIONS_INIT;
	BvSandbox *sb = NULL;
	BvError *err = NULL;

	options.store = store;
	options.name = name;
	if (bv_sandbox_create(&options, &sb, &err) < 0)
		print_error("%s\n", bv_error_message(err));
	bv_error_free(err);
	return sb;
}

static int run(BvSandbox *sb, const char *script, const char *input, int timeout_ms, BvOutput *out)
{
	const char *const argv[] = {"/bin/sh", "-c", script, NULL};
	BvSpawnOptions options = BV_SPAWN_OPTIONS_INIT;
	BvError *err = NULL;
	int r;

	options.argv = argv;
	options.cwd = "/tmp";
	if (!input)
		options.fds[0] = BV_FD_NULL;
	r = bv_sandbox_exec(sb, &options, input, input ? strlen(input) : 0, timeout_ms, out, &err);
	if (r < 0)
		print_error("%s\n", bv_error_message(err));
	bv_error_free(err);
	return r;
}

static void free_output(BvOutput *out)
{
	bv_free(out->out);
	bv_free(out->err);
}

static int count(void *ctx, const BvChange *change)
{
	(void)change;
	++*(int *)ctx;
	return 0;
}

/* A whole life: create, run twice, look, remove. Returns NULL, or what went wrong (static text). */
static void *live(void *arg)
{
	char name[32], script[200], wanted[32];
	BvOutput out = {0};
	int number = *(int *)arg, changes = 0;
	BvSandbox *sb;
	const char *wrong = NULL;

	snprintf(name, sizeof(name), "thread-%d", number);
	snprintf(script, sizeof(script), "cat; echo err >&2; echo %d > bvisor-library-test; exit %d", number, number);
	snprintf(wanted, sizeof(wanted), "%d\n", number);
	sb = create(name);
	if (!sb)
		return (void *)(uintptr_t) "create";
	if (run(sb, script, "in", -1, &out) < 0 || out.status.exit_code != number || strcmp(out.out, "in") != 0 || strcmp(out.err, "err\n") != 0)
		wrong = "the first command";
	free_output(&out);
	out = (BvOutput){0};
	if (!wrong && (run(sb, "cat bvisor-library-test", NULL, -1, &out) < 0 || strcmp(out.out, wanted) != 0))
		wrong = "the second command";
	free_output(&out);
	if (!wrong && (bv_sandbox_diff(sb, NULL, count, &changes, NULL) < 0 || changes != 1))
		wrong = "diff";
	if (!wrong && bv_sandbox_remove(sb, 1, NULL) < 0)
		wrong = "remove";
	bv_sandbox_close(sb);
	return (void *)(uintptr_t)wrong;
}

static void threads_have_sandboxes_of_their_own(void **state)
{
	pthread_t threads[THREADS];
	int numbers[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, live, &numbers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		void *wrong;
		pthread_join(threads[i], &wrong);
		if (wrong)
			fail_msg("thread %d: %s", i, (const char *)wrong);
	}
	assert_int_not_equal(access("/tmp/bvisor-library-test", F_OK), 0);
}

typedef struct Shared {
	BvSandbox *sb;
	int number;
	int code;
} Shared;

static void *use_shared(void *arg)
{
	Shared *s = arg;
	BvOutput out = {0};
	char script[100];

	snprintf(script, sizeof(script), "echo x > shared-%d; sleep 0.1; exit %d", s->number, s->number);
	s->code = run(s->sb, script, NULL, -1, &out) < 0 ? -1 : out.status.exit_code;
	free_output(&out);
	return NULL;
}

static void threads_share_one_sandbox(void **state)
{
	BvSandbox *sb = create("shared");
	pthread_t threads[THREADS];
	Shared shared[THREADS];
	int changes = 0;

	(void)state;
	assert_non_null(sb);
	for (int i = 0; i < THREADS; i++) {
		shared[i] = (Shared){sb, i, -1};
		pthread_create(&threads[i], NULL, use_shared, &shared[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(shared[i].code, i);
	}
	assert_int_equal(bv_sandbox_diff(sb, NULL, count, &changes, NULL), 0);
	assert_int_equal(changes, THREADS);
	bv_sandbox_close(sb);
}

/* How many times slower than a machine of today this one is: an emulated one. */
static int slower(void)
{
	const char *text = getenv("BVISOR_TEST_SLOWER");
	long times = text ? strtol(text, NULL, 10) : 1;

	return times > 0 && times < 1000 ? (int)times : 1;
}

static void a_timeout_kills_and_keeps_the_output(void **state)
{
	BvSandbox *sb = create(NULL);
	BvOutput out = {0};

	(void)state;
	assert_int_equal(run(sb, "echo early; exec sleep 600", NULL, 500 * slower(), &out), 0);
	assert_true(out.timed_out);
	assert_int_equal(out.status.signal, SIGKILL);
	assert_string_equal(out.out, "early\n");
	free_output(&out);
	bv_sandbox_close(sb);
}

static void large_streams_do_not_block_each_other(void **state)
{
	BvSandbox *sb = create(NULL);
	size_t size = 3 << 20;
	char *input = malloc(size + 1);
	BvOutput out = {0};

	(void)state;
	memset(input, 'i', size);
	input[size] = '\0';
	assert_int_equal(run(sb, "head -c 2000000 /dev/zero >&2; cat; head -c 1000000 /dev/zero >&2", input, -1, &out), 0);
	assert_int_equal(out.out_len, size);
	assert_int_equal(out.err_len, 3000000);
	assert_memory_equal(out.out, input, size);
	free_output(&out);
	assert_int_equal(run(sb, "exit 4", input, -1, &out), 0); /* it never reads: no SIGPIPE for us */
	assert_int_equal(out.status.exit_code, 4);
	free_output(&out);
	free(input);
	bv_sandbox_close(sb);
}

static void ignored_signals_stay_ignored_unless_default_ones_are_asked_for(void **state)
{
	const char *const argv[] = {"/bin/sh", "-c", "kill -PIPE $$; echo survived", NULL};
	BvSandbox *sb = create("signals");

	(void)state;
	assert_non_null(sb);
	void (*before)(int) = signal(SIGPIPE, SIG_IGN);
	for (unsigned flags = 0; flags <= BV_SPAWN_DEFAULT_SIGNALS; flags += BV_SPAWN_DEFAULT_SIGNALS) {
		BvSpawnOptions options = BV_SPAWN_OPTIONS_INIT;
		BvOutput out;
		options.argv = argv;
		options.flags = flags;
		assert_int_equal(bv_sandbox_exec(sb, &options, NULL, 0, -1, &out, NULL), 0);
		assert_int_equal(out.status.signal, flags ? SIGPIPE : 0);
		bv_free(out.out);
		bv_free(out.err);
	}
	signal(SIGPIPE, before);
	bv_sandbox_close(sb);
}

static BvSandbox *create_ephemeral(char dir[4096])
{
	BvCreateOptions options = BV_CREATE_OPTIONS_INIT;
	BvSandbox *sb = NULL;

	options.store = store;
	options.flags = BV_CREATE_EPHEMERAL;
	assert_int_equal(bv_sandbox_create(&options, &sb, NULL), 0);
	snprintf(dir, 4096, "%s", bv_sandbox_dir(sb));
	return sb;
}

static bool goes_within(int seconds, bool (*is_there)(const void *what), const void *what)
{
	for (int i = 0; i < seconds * 100 && is_there(what); i++)
		usleep(10000);
	return !is_there(what);
}

static bool is_process(const void *pid)
{
	return kill(*(const pid_t *)pid, 0) == 0;
}

static bool is_path(const void *path)
{
	return access(path, F_OK) == 0;
}

static void an_ephemeral_sandbox_that_was_never_used_is_gone_with_its_handle(void **state)
{
	char dir[4096];
	BvSandbox *sb = create_ephemeral(dir);

	(void)state;
	assert_true(is_path(dir));
	bv_sandbox_close(sb);
	assert_false(is_path(dir));
}

static void the_end_of_an_ephemeral_sandbox_takes_its_daemons_along(void **state)
{
	char dir[4096];
	BvSandbox *sb = create_ephemeral(dir);
	BvOutput out = {0};

	(void)state;
	assert_int_equal(run(sb, "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!", NULL, -1, &out), 0);
	pid_t pid = (pid_t)strtol(out.out, NULL, 10);
	assert_true(pid > 0 && is_process(&pid));
	bv_free(out.out);
	bv_free(out.err);
	bv_sandbox_close(sb);
	assert_true(goes_within(20, is_process, &pid));
	assert_true(goes_within(20, is_path, dir));
}

/* Another process that has a sandbox open: it says so with a byte, and then, when it is told to, runs a command in it. */
typedef struct Other {
	pid_t pid;
	int sock;
} Other;

/* What was inherited of the fork's handle is given up first, which deletes nothing. */
static _Noreturn void be_other(BvSandbox *inherited, int sock)
{
	BvSandbox *sb = NULL;
	BvOutput out = {0};
	char byte = 0;

	if (bv_sandbox_open(store, bv_sandbox_name(inherited), &sb, NULL) < 0)
		_exit(1);
	bv_sandbox_close(inherited);
	if (write(sock, "o", 1) != 1 || read(sock, &byte, 1) != 1)
		_exit(2);
	if (byte == 'r' && (run(sb, "cat bvisor-ephemeral-test", NULL, -1, &out) < 0 || strcmp(out.out, "kept\n") != 0))
		_exit(3);
	bv_sandbox_close(sb);
	_exit(0);
}

static Other start_other(BvSandbox *sb)
{
	int pair[2];
	char byte = 0;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(pair[0]);
		be_other(sb, pair[1]);
	}
	close(pair[1]);
	assert_int_equal(read(pair[0], &byte, 1), 1);
	return (Other){pid, pair[0]};
}

static void end_other(Other *o, char how)
{
	int status = -1;

	if (how == 'k')
		assert_int_equal(kill(o->pid, SIGKILL), 0);
	else
		assert_int_equal(write(o->sock, &how, 1), 1);
	assert_int_equal(waitpid(o->pid, &status, 0), o->pid);
	assert_int_equal(status, how == 'k' ? SIGKILL : 0);
	close(o->sock);
}

static void write_kept(BvSandbox *sb)
{
	BvOutput out = {0};

	assert_int_equal(run(sb, "echo kept >bvisor-ephemeral-test", NULL, -1, &out), 0);
	free_output(&out);
}

/* The other process ends as `how` says: then it goes, and not before. */
static void check_open_elsewhere(char how)
{
	char dir[4096];
	BvSandbox *sb = create_ephemeral(dir);
	Other other = start_other(sb);

	write_kept(sb);
	bv_sandbox_close(sb);
	usleep(300000);
	assert_true(is_path(dir));
	end_other(&other, how);
	assert_true(goes_within(20, is_path, dir));
}

static void an_ephemeral_sandbox_stays_while_another_process_has_it_open(void **state)
{
	(void)state;
	check_open_elsewhere('r');
}

static void an_ephemeral_sandbox_is_gone_when_who_has_it_open_is_killed(void **state)
{
	(void)state;
	check_open_elsewhere('k');
}

static void an_ephemeral_sandbox_that_was_never_used_stays_for_the_last_handle(void **state)
{
	char dir[4096];
	BvSandbox *sb = create_ephemeral(dir);
	Other other = start_other(sb);

	(void)state;
	bv_sandbox_close(sb);
	assert_true(is_path(dir));
	end_other(&other, 'c');
	assert_false(is_path(dir));
}

static void an_ephemeral_sandbox_that_is_open_elsewhere_can_be_removed_without_force_once_that_is_closed(void **state)
{
	char dir[4096];
	BvSandbox *sb = create_ephemeral(dir);
	Other other = start_other(sb);

	(void)state;
	write_kept(sb);
	end_other(&other, 'r');
	assert_int_equal(bv_sandbox_remove(sb, 0, NULL), 0);
	assert_false(is_path(dir));
	bv_sandbox_close(sb);
}

/* Each round of the other process makes, uses and gives up a sandbox of that name. */
static _Noreturn void come_and_go(int rounds)
{
	BvCreateOptions options = BV_CREATE_OPTIONS_INIT;

	options.store = store;
	options.flags = BV_CREATE_EPHEMERAL;
	options.name = "comes-and-goes";
	for (int i = 0; i < rounds;) {
		BvSandbox *sb = NULL;
		BvOutput out = {0};
		int r = bv_sandbox_create(&options, &sb, NULL);
		if (r == -EEXIST) { /* the opener has that of the last round */
			usleep(1000);
			continue;
		}
		if (r < 0 || (i % 4 && run(sb, "echo kept >bvisor-ephemeral-test", NULL, -1, &out) < 0))
			_exit(1);
		free_output(&out);
		bv_sandbox_close(sb);
		i++;
	}
	_exit(0);
}

static void who_opens_an_ephemeral_sandbox_at_its_end_gets_it_or_is_told_that_there_is_none(void **state)
{
	pid_t pid = fork();
	int status = -1, opened = 0, none = 0;

	(void)state;
	if (pid == 0)
		come_and_go(40);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		BvSandbox *sb = NULL;
		BvOutput out = {0};
		int r = bv_sandbox_open(store, "comes-and-goes", &sb, NULL);
		if (r < 0) {
			assert_int_equal(r, -ENOENT);
			none++;
			continue;
		}
		if (opened++ % 2)
			usleep(20000);
		assert_int_equal(run(sb, "true", NULL, -1, &out), 0);
		assert_int_equal(out.status.exit_code, 0);
		free_output(&out);
		bv_sandbox_close(sb);
	}
	assert_int_equal(status, 0);
	assert_true(opened > 0 && none > 0);
}

static void a_wait_may_be_repeated_and_kill_ends_it(void **state)
{
	const char *const argv[] = {"/bin/sleep", "60", NULL};
	BvSpawnOptions options = BV_SPAWN_OPTIONS_INIT;
	BvSandbox *sb = create(NULL);
	BvProcess *process = NULL;
	BvStatus status;
	BvError *err = NULL;

	(void)state;
	options.argv = argv;
	assert_int_equal(bv_sandbox_spawn(sb, &options, &process, NULL), 0);
	assert_true(bv_process_pid(process) > 0);
	assert_int_equal(bv_process_wait(process, 50, &status, &err), -110 /* ETIMEDOUT */);
	assert_int_equal(bv_process_kill(process, 1000, NULL), -22 /* EINVAL */);
	assert_int_equal(bv_process_kill(process, SIGTERM, NULL), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(bv_process_wait(process, -1, &status, NULL), 0);
		assert_int_equal(status.signal, SIGTERM);
	}
	bv_error_free(err);
	bv_process_close(process);
	bv_sandbox_close(sb);
}

static void no_child_of_the_library_is_left_to_wait_for(void **state)
{
	BvSandbox *sb = create(NULL);
	BvOutput out = {0};

	(void)state;
	assert_int_equal(run(sb, ":", NULL, -1, &out), 0);
	free_output(&out);
	bv_sandbox_close(sb);
	assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1); /* ECHILD */
}

static void a_closed_descriptor_of_the_host_program_stays_closed(void **state)
{
	const char *const argv[] = {"/bin/sh", "-c", "test ! -e /proc/self/fd/0", NULL};
	BvSpawnOptions options = BV_SPAWN_OPTIONS_INIT;
	int kept = fcntl(0, F_DUPFD_CLOEXEC, 3);
	BvProcess *process = NULL;
	BvStatus status = {0};

	(void)state;
	assert_true(kept > 2);
	close(0);
	options.argv = argv;
	BvSandbox *sb = create(NULL);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(fcntl(0, F_GETFD), -1); /* nothing that the library keeps took its place */
		options.fds[1] = i == 1 ? BV_FD_PIPE : BV_FD_INHERIT;
		options.fds[2] = i == 2 ? BV_FD_NULL : BV_FD_INHERIT;
		assert_int_equal(bv_sandbox_spawn(sb, &options, &process, NULL), 0);
		assert_int_equal(fcntl(0, F_GETFD), -1);
		assert_int_equal(bv_process_wait(process, -1, &status, NULL), 0);
		assert_int_equal(status.exit_code, 0);
		bv_process_close(process);
	}
	bv_sandbox_close(sb);
	assert_int_equal(dup2(kept, 0), 0);
	close(kept);
}

static void errors_name_what_failed(void **state)
{
	const char *const argv[] = {"/no/such/program", NULL};
	BvSpawnOptions options = BV_SPAWN_OPTIONS_INIT;
	BvSandbox *sb = create(NULL), *other = NULL;
	BvProcess *process = NULL;
	BvError *err = NULL;

	(void)state;
	options.argv = argv;
	assert_int_equal(bv_sandbox_spawn(sb, &options, &process, &err), -2 /* ENOENT */);
	assert_string_equal(bv_error_stage(err), "exec");
	options.cwd = "/no/such/directory";
	assert_int_equal(bv_sandbox_spawn(sb, &options, &process, &err), -2);
	assert_string_equal(bv_error_stage(err), "cwd");
	options.argv = NULL;
	assert_int_equal(bv_sandbox_spawn(sb, &options, &process, &err), -22);
	assert_int_equal(bv_sandbox_open(store, "no-such-sandbox", &other, &err), -2);
	assert_non_null(strstr(bv_error_message(err), "no-such-sandbox"));
	assert_true(!process && !other);
	bv_error_free(err);
	bv_sandbox_close(sb);
}

static int find_disk(void *ctx, const BvLimitInfo *info)
{
	if (strcmp(info->name, "disk") == 0)
		*(BvLimitInfo *)ctx = *info;
	return 0;
}

/* Only such limits as hold for every user of every machine. */
static BvSandbox *create_limited(double cpus, int *result, BvError **err)
{
	BvCreateOptions options = BV_CREATE_OPTIONS_INIT;
	BvLimits limits = BV_LIMITS_INIT;
	BvSandbox *sb = NULL;

	limits.disk = 8 << 20;
	limits.cpus = cpus;
	options.store = store;
	options.name = "limited";
	options.limits = &limits;
	*result = bv_sandbox_create(&options, &sb, err);
	return sb;
}

static void flags_that_nobody_knows_are_refused(void **state)
{
	const char *const argv[] = {"true", NULL};
	BvCreateOptions options = BV_CREATE_OPTIONS_INIT;
	BvSpawnOptions spawn = BV_SPAWN_OPTIONS_INIT;
	BvRestoreOptions restore = BV_RESTORE_OPTIONS_INIT;
	BvImportOptions import = BV_IMPORT_OPTIONS_INIT;
	BvLimits limits = BV_LIMITS_INIT;
	BvSandbox *sb = create(NULL), *other = NULL;
	BvProcess *process = NULL;
	BvError *err = NULL;

	(void)state;
	options.store = restore.store = import.store = store;
	spawn.argv = argv;
	options.flags = spawn.flags = restore.flags = import.flags = limits.flags = 1U << 30;
	assert_int_equal(bv_sandbox_create(&options, &other, &err), -EINVAL);
	assert_non_null(strstr(bv_error_message(err), "0x40000000"));
	options.flags = 0;
	options.limits = &limits;
	assert_int_equal(bv_sandbox_create(&options, &other, &err), -EINVAL);
	assert_int_equal(bv_sandbox_spawn(sb, &spawn, &process, &err), -EINVAL);
	assert_int_equal(bv_snapshot_restore("none", &restore, &other, NULL, &err), -EINVAL);
	assert_int_equal(bv_sandbox_import(-1, &import, &other, &err), -EINVAL);
	assert_non_null(strstr(bv_error_message(err), "0x40000000"));
	assert_true(!other && !process);
	bv_error_free(err);
	bv_sandbox_close(sb);
}

static int take_start(void *ctx, const BvProcessInfo *info)
{
	*(int64_t *)ctx = info->start;
	return 0;
}

static void ps_tells_when_a_process_was_started(void **state)
{
	const char *const argv[] = {"sleep", "100", NULL};
	BvSpawnOptions options = BV_SPAWN_OPTIONS_INIT;
	BvSandbox *sb = create(NULL);
	BvProcess *process = NULL;
	int64_t start = 0, before = (int64_t)time(NULL);

	(void)state;
	options.argv = argv;
	assert_int_equal(bv_sandbox_spawn(sb, &options, &process, NULL), 0);
	assert_int_equal(bv_sandbox_ps(sb, take_start, &start, NULL), 0);
	assert_in_range(start, before - 2, (int64_t)time(NULL) + 2);
	assert_int_equal(bv_sandbox_kill(sb, SIGKILL, NULL), 0);
	assert_int_equal(bv_process_wait(process, -1, NULL, NULL), 0); /* who does not want to know */
	bv_process_close(process);
	bv_sandbox_close(sb);
}

static void limits_are_kept_and_reported(void **state)
{
	BvLimitInfo disk = {0};
	BvError *err = NULL;
	BvOutput out;
	int r;

	(void)state;
	assert_null(create_limited(-1, &r, &err));
	assert_int_equal(r, -EINVAL);
	BvSandbox *sb = create_limited(1, &r, &err);
	assert_int_equal(r, 0);
	bv_sandbox_close(sb); /* it is in the description */
	assert_int_equal(bv_sandbox_open(store, "limited", &sb, NULL), 0);
	assert_int_equal(run(sb, "nproc; fallocate -l 16M /tmp/too-much 2>&1; fallocate -l 4M /tmp/much", NULL, -1, &out), 0);
	assert_int_equal(out.status.exit_code, 0);
	assert_true(strncmp(out.out, "1\n", 2) == 0 && strstr(out.out, "quota"));
	assert_null(bv_sandbox_warning(sb));
	bv_free(out.out);
	bv_free(out.err);
	assert_int_equal(bv_sandbox_limits(sb, find_disk, &disk, NULL), 0);
	assert_true(disk.limit == 8 << 20 && disk.hits == 1 && disk.peak >= 4 << 20 && disk.peak <= 8 << 20);
	assert_int_equal(bv_sandbox_stop(sb, NULL), 0);
	disk = (BvLimitInfo){0};
	assert_int_equal(bv_sandbox_limits(sb, find_disk, &disk, &err), 0);
	assert_true(disk.hits == 1);
	assert_int_equal(bv_sandbox_remove(sb, 1, NULL), 0);
	bv_sandbox_close(sb);
	bv_error_free(err);
}

static void limits_of_a_stopped_sandbox_can_be_changed(void **state)
{
	BvLimits limits = BV_LIMITS_INIT, given = BV_LIMITS_INIT;
	BvError *err = NULL;
	BvOutput out;
	int r;

	(void)state;
	BvSandbox *sb = create_limited(1, &r, NULL);
	assert_int_equal(r, 0);
	assert_int_equal(bv_sandbox_given_limits(sb, &given, NULL), 0);
	assert_true(given.disk == 8 << 20 && given.cpus == 1 && !given.nofile);
	assert_int_equal(run(sb, "true", NULL, -1, &out), 0);
	bv_free(out.out);
	bv_free(out.err);
	limits.nofile = 77;
	assert_int_equal(bv_sandbox_set_limits(sb, &limits, &err), -EBUSY);
	assert_non_null(strstr(bv_error_message(err), "while it runs"));
	assert_int_equal(bv_sandbox_stop(sb, NULL), 0);
	limits.cpus = -1;
	assert_int_equal(bv_sandbox_set_limits(sb, &limits, &err), -EINVAL);
	limits.cpus = 0;
	assert_int_equal(bv_sandbox_set_limits(sb, &limits, NULL), 0);
	bv_sandbox_close(sb); /* it is in its directory */
	assert_int_equal(bv_sandbox_open(store, "limited", &sb, NULL), 0);
	assert_int_equal(bv_sandbox_given_limits(sb, &given, NULL), 0);
	assert_true(!given.disk && !given.cpus && given.nofile == 77);
	assert_int_equal(run(sb, "ulimit -n; fallocate -l 16M /tmp/much", NULL, -1, &out), 0);
	assert_int_equal(out.status.exit_code, 0);
	assert_string_equal(out.out, "77\n");
	bv_free(out.out);
	bv_free(out.err);
	assert_int_equal(bv_sandbox_stop(sb, NULL), 0);
	assert_int_equal(bv_sandbox_set_limits(sb, NULL, NULL), 0);
	assert_int_equal(bv_sandbox_given_limits(sb, &given, NULL), 0);
	assert_true(!given.nofile);
	assert_int_equal(bv_sandbox_remove(sb, 1, NULL), 0);
	bv_sandbox_close(sb);
	bv_error_free(err);
}

static void output_is_cut_at_its_limit(void **state)
{
	const char *const argv[] = {"/bin/sh", "-c", "while :; do echo 0123456; echo 7890123 >&2; done", NULL};
	BvSpawnOptions options = BV_SPAWN_OPTIONS_INIT;
	BvSandbox *sb = create("flood");
	BvOutput out;

	(void)state;
	options.argv = argv;
	options.output_limit = 100001;
	options.fds[0] = BV_FD_NULL;
	assert_int_equal(bv_sandbox_exec(sb, &options, NULL, 0, -1, &out, NULL), 0);
	assert_int_equal(out.timed_out, BV_KILLED_OUTPUT);
	assert_int_equal(out.out_len + out.err_len, 100001);
	assert_int_equal(out.status.signal, SIGKILL);
	bv_free(out.out);
	bv_free(out.err);
	assert_int_equal(bv_sandbox_remove(sb, 1, NULL), 0);
	bv_sandbox_close(sb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_have_sandboxes_of_their_own),
		cmocka_unit_test(threads_share_one_sandbox),
		cmocka_unit_test(a_timeout_kills_and_keeps_the_output),
		cmocka_unit_test(large_streams_do_not_block_each_other),
		cmocka_unit_test(ignored_signals_stay_ignored_unless_default_ones_are_asked_for),
		cmocka_unit_test(an_ephemeral_sandbox_that_was_never_used_is_gone_with_its_handle),
		cmocka_unit_test(the_end_of_an_ephemeral_sandbox_takes_its_daemons_along),
		cmocka_unit_test(an_ephemeral_sandbox_stays_while_another_process_has_it_open),
		cmocka_unit_test(an_ephemeral_sandbox_is_gone_when_who_has_it_open_is_killed),
		cmocka_unit_test(an_ephemeral_sandbox_that_was_never_used_stays_for_the_last_handle),
		cmocka_unit_test(an_ephemeral_sandbox_that_is_open_elsewhere_can_be_removed_without_force_once_that_is_closed),
		cmocka_unit_test(who_opens_an_ephemeral_sandbox_at_its_end_gets_it_or_is_told_that_there_is_none),
		cmocka_unit_test(a_wait_may_be_repeated_and_kill_ends_it),
		cmocka_unit_test(no_child_of_the_library_is_left_to_wait_for),
		cmocka_unit_test(a_closed_descriptor_of_the_host_program_stays_closed),
		cmocka_unit_test(errors_name_what_failed),
		cmocka_unit_test(flags_that_nobody_knows_are_refused),
		cmocka_unit_test(ps_tells_when_a_process_was_started),
		cmocka_unit_test(limits_are_kept_and_reported),
		cmocka_unit_test(limits_of_a_stopped_sandbox_can_be_changed),
		cmocka_unit_test(output_is_cut_at_its_limit),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
