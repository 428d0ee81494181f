/* sandbox_fixture.h - for tests of libbvisor with real supervisors: a store of the test's own, a directory of the host to play in, and short forms. */
#ifndef TESTS_SANDBOX_FIXTURE_H
#define TESTS_SANDBOX_FIXTURE_H

#include "include/bvisor/bvisor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define UNUSED __attribute__((unused))

static char store[] = "/var/tmp/bvisor-test-XXXXXX";
static char host[] = "/var/tmp/bvisor-host-XXXXXX"; /* what it shows is the host's: no test may change it */

static UNUSED int set_up_store(void **state)
{
	(void)state;
	umask(022);
	return mkdtemp(store) && mkdtemp(host) ? 0 : -1;
}

static UNUSED int remove_sandbox(void *ctx, const BvSandboxInfo *info)
{
	BvSandbox *sb = NULL;

	(void)ctx;
	if (bv_sandbox_open(store, info->name, &sb, NULL) == 0)
		bv_sandbox_remove(sb, 1, NULL);
	bv_sandbox_close(sb);
	return 0;
}

/* Nothing else may be left in the store. */
static UNUSED int tear_down_store(void **state)
{
	char path[200];

	(void)state;
	bv_sandbox_list(store, remove_sandbox, NULL, NULL);
	snprintf(path, sizeof(path), "%s/sandboxes", store);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/supervisor.log", store);
	unlink(path);
	snprintf(path, sizeof(path), "rm -rf %s", host);
	return rmdir(store) == 0 && strlen(host) > strlen("/var/tmp/") && system(path) == 0 ? 0 : -1;
}

static UNUSED void fail_error(const char *what, int r, BvError *err)
{
	if (r < 0)
		print_error("%s: %d %s\n", what, r, bv_error_message(err));
	bv_error_free(err);
}

static UNUSED BvSandbox *create_with(const BvCreateOptions *options)
{
	BvCreateOptions o = *options;
	BvSandbox *sb = NULL;
	BvError *err = NULL;

	o.store = store;
	fail_error("create", bv_sandbox_create(&o, &sb, &err), err);
	assert_non_null(sb);
	return sb;
}

static UNUSED BvSandbox *create_plain(void)
{
	const BvCreateOptions o = BV_CREATE_OPTIONS_INIT;

	return create_with(&o);
}

static UNUSED void discard(BvSandbox *sb)
{
	BvError *err = NULL;
	int r = bv_sandbox_remove(sb, 1, &err);

	fail_error("remove", r, err);
	assert_int_equal(r, 0);
	bv_sandbox_close(sb);
}

/* A script in the sandbox, in the directory `host`; its output is the caller's to free. */
static UNUSED char *guest_in(BvSandbox *sb, const char *const *argv, int *code)
{
	BvSpawnOptions options = BV_SPAWN_OPTIONS_INIT;
	BvError *err = NULL;
	BvOutput out = {0};

	options.argv = argv;
	options.cwd = host;
	options.fds[0] = BV_FD_NULL;
	options.fds[2] = 2;
	int r = bv_sandbox_exec(sb, &options, NULL, 0, 120000, &out, &err);
	fail_error(argv[2], r, err);
	assert_int_equal(r, 0);
	*code = out.status.exit_code;
	return out.out;
}

static UNUSED void guest(BvSandbox *sb, const char *script, const char *wanted)
{
	int code;
	char *out = guest_in(sb, (const char *const[]){"/bin/sh", "-c", script, NULL}, &code);

	assert_string_equal(out, wanted);
	assert_int_equal(code, 0);
	bv_free(out);
}

/* One that goes on; it prints something when it has begun. */
static UNUSED BvProcess *attacker(BvSandbox *sb, const char *const *argv)
{
	BvSpawnOptions options = BV_SPAWN_OPTIONS_INIT;
	BvProcess *process = NULL;
	BvError *err = NULL;
	char ready = 0;

	options.argv = argv;
	options.cwd = host;
	options.fds[0] = BV_FD_NULL;
	options.fds[1] = BV_FD_PIPE;
	options.fds[2] = 2;
	fail_error("attacker", bv_sandbox_spawn(sb, &options, &process, &err), err);
	assert_non_null(process);
	assert_int_equal(read(bv_process_fd(process, 1), &ready, 1), 1);
	return process;
}

static UNUSED void end(BvProcess *process)
{
	BvStatus status;

	bv_process_kill(process, 9, NULL);
	assert_int_equal(bv_process_wait(process, 30000, &status, NULL), 0);
	bv_process_close(process);
}

/* DIR/name, of a few at a time. */
static UNUSED const char *below(const char *dir, const char *name)
{
	static char paths[8][4400];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static UNUSED const char *at(const char *name)
{
	return below(host, name);
}

static UNUSED void put_host(const char *name, const char *text)
{
	FILE *f = fopen(at(name), "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* Open ones of this process. */
static UNUSED int descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = -1;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static UNUSED double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Functions of bvisor.h without their error, which has to be there exactly if they fail. */
static UNUSED int checked(int r, BvError *err)
{
	if (r < 0) {
		assert_non_null(err);
		assert_int_equal(bv_error_code(err), r);
		assert_true(strlen(bv_error_message(err)) > 0 && !strchr(bv_error_message(err), '\n'));
		assert_string_equal(bv_error_stage(err), "");
	} else {
		assert_null(err);
	}
	bv_error_free(err);
	return r;
}
#define TRY(function, ...) \
	__extension__({ \
		BvError *try_err = NULL; \
		int try_r = function(__VA_ARGS__, &try_err); \
		checked(try_r, try_err); \
	})
#define WRITE(sb, path, text, flags) TRY(bv_sandbox_write_file, sb, path, text, strlen(text), flags, 0644)

#endif
