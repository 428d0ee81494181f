/* tests/unit/test_progress.c - what takes long says how far it is: the library to its caller, the command line on a terminal. */
#include "base/util.h"
#include "cli/cli.h"

#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define FILES 20

static char root[] = "/tmp/bvisor-test-XXXXXX";

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return bv_remove_tree_at(AT_FDCWD, root);
}

typedef struct Told {
	uint64_t calls, last, total;
	bool in_order;
} Told;

static void on_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
	Told *told = ctx;

	assert_true(what[0] != '\0');
	told->in_order = (told->calls == 0 || told->in_order) && done > told->last && (told->total == 0 || told->total == total);
	told->calls++;
	told->last = done;
	told->total = total;
}

static void is_told(const Told *told)
{
	assert_true(told->calls >= FILES && told->in_order);
}

static int on_item(void *ctx, const BvApplyItem *item)
{
	(void)ctx;
	assert_int_equal(item->result, BV_APPLIED);
	return 0;
}

static BvSandbox *with_files(const char *store, const char *work)
{
	char *script = xasprintf("mkdir -p %s; cd %s; i=0; while [ $i -lt %d ]; do echo $i >f$i; i=$((i+1)); done", work, work, FILES);
	const char *const argv[] = {"/bin/sh", "-c", script, NULL};
	BvCreateOptions create = BV_CREATE_OPTIONS_INIT;
	BvSpawnOptions spawn = BV_SPAWN_OPTIONS_INIT;
	BvSandbox *sb = NULL;
	BvOutput out;

	create.store = store;
	create.name = "many";
	spawn.argv = argv;
	spawn.cwd = "/";
	spawn.fds[0] = BV_FD_NULL;
	assert_int_equal(bv_sandbox_create(&create, &sb, NULL), 0);
	assert_int_equal(bv_sandbox_exec(sb, &spawn, NULL, 0, -1, &out, NULL), 0);
	assert_int_equal(out.status.exit_code, 0);
	bv_free(out.out);
	bv_free(out.err);
	free(script);
	return sb;
}

static void snapshot_restore_and_apply_tell_how_far_they_are(void **state)
{
	char *store = xasprintf("%s/store", root), *work = xasprintf("%s/work", root), *place = xasprintf("%s/kept", root);
	BvSandbox *sb = with_files(store, work), *again = NULL;
	BvSnapshotOptions snapshot = BV_SNAPSHOT_OPTIONS_INIT;
	BvRestoreOptions restore = BV_RESTORE_OPTIONS_INIT;
	BvApplyOptions apply = BV_APPLY_OPTIONS_INIT;
	Told told[3] = {0};

	(void)state;
	snapshot.to = restore.from = place;
	snapshot.progress = restore.progress = apply.progress = on_progress;
	snapshot.progress_ctx = &told[0];
	restore.progress_ctx = &told[1];
	apply.progress_ctx = &told[2];
	restore.store = store;
	restore.name = "again";
	assert_int_equal(bv_sandbox_snapshot(sb, &snapshot, NULL, NULL), 0);
	assert_int_equal(bv_snapshot_restore("many", &restore, &again, NULL, NULL), 0);
	assert_int_equal(bv_sandbox_apply(sb, &apply, on_item, NULL, NULL), 0);
	for (size_t i = 0; i < 3; i++)
		is_told(&told[i]);
	assert_int_equal(told[0].total, 0); /* it would take a walk of its own */
	assert_true(told[1].last == told[1].total && told[2].last == told[2].total);
	assert_int_equal(bv_sandbox_remove(again, 1, NULL), 0);
	assert_int_equal(bv_sandbox_remove(sb, 1, NULL), 0);
	bv_sandbox_close(again);
	bv_sandbox_close(sb);
	free(store);
	free(work);
	free(place);
}

/* What a child that reports for a while writes to a terminal of that width, which is its stderr if `tty`. The caller's to free. */
static char *shown(unsigned short columns, const char *term, bool tty, const char *what, uint64_t total)
{
	struct winsize size = {.ws_row = 24, .ws_col = columns};
	char *text = calloc(1, 65536);
	size_t len = 0;
	int master, slave, status;

	assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
	pid_t pid = fork();
	if (pid == 0) {
		if (tty)
			dup2(slave, STDERR_FILENO);
		setenv("TERM", term, 1);
		for (uint64_t i = 1; i <= 60; i++, usleep(10000))
			progress_show(NULL, what, i * 1024, total);
		progress_end();
		_exit(0);
	}
	close(slave);
	for (ssize_t n; (n = read(master, text + len, 65535 - len)) > 0;)
		len += (size_t)n;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(master);
	return text;
}

static void is_shown(unsigned short columns, const char *term, bool tty, const char *what, uint64_t total, const char *want)
{
	char *whole = shown(columns, term, tty, what, total), *text = whole;

	if (want ? !strstr(text, want) : *text != '\0')
		fail_msg("%s on %u columns: %s", want ? want : "nothing", columns, text);
	while (want && (text = strchr(text, '\r'))) {
		char *clear = strstr(++text, "\033[K");
		assert_non_null(clear);
		assert_true(clear - text < columns);
		if (!strchr(text, '\r'))
			assert_ptr_equal(clear, text); /* nothing is left of it */
	}
	free(whole);
}

static void a_terminal_shows_a_bar_that_fits_and_goes(void **state)
{
	(void)state;
	is_shown(80, "xterm", true, "bytes", 60 << 10, "] ");
	is_shown(80, "xterm", true, "bytes", 60 << 10, " of 60.0 KiB");
	is_shown(80, "xterm", true, "files", 60 << 10, " of 61440 files");
	is_shown(80, "xterm", true, "files", 0, " files");
	is_shown(20, "xterm", true, "bytes", 60 << 10, "KiB of");
	is_shown(80, "dumb", true, "bytes", 60 << 10, NULL);
	is_shown(80, "xterm", false, "bytes", 60 << 10, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(snapshot_restore_and_apply_tell_how_far_they_are),
		cmocka_unit_test(a_terminal_shows_a_bar_that_fits_and_goes),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
