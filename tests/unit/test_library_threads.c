/* libbvisor in a program with many threads, which also starts programs of its own: nothing of the one sandbox is seen in the other, or by those programs, and nothing is left. */
#include "tests/unit/sandbox_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>

#define THREADS 8
#define ROUNDS 4

static int wants_one(void *ctx, const BvEntry *e)
{
	*(uint64_t *)ctx = e->bytes;
	return 0;
}

static const char *use(BvSandbox *sb, int number)
{
	BvSpawnOptions options = BV_SPAWN_OPTIONS_INIT;
	const char *wrong = NULL;
	char path[100], text[20];
	uint64_t bytes = 0;
	BvWatch *w = NULL;
	BvOutput out = {0};

	snprintf(path, sizeof(path), "/tmp/bvisor-thread-%d/file", number);
	snprintf(text, sizeof(text), "%d", number);
	if (bv_sandbox_write_file(sb, path, text, strlen(text), BV_FILE_PARENTS, 0644, NULL) < 0)
		return "write_file";
	if (bv_sandbox_watch(sb, path, 0, &w, NULL) < 0)
		return "watch";
	if (bv_sandbox_stat(sb, path, 0, wants_one, &bytes, NULL) < 0 || bytes != strlen(text))
		wrong = "stat";
	options.argv = (const char *const[]){"/bin/ls", "/proc/self/fd", NULL}; /* stdio, and the directory itself */
	options.cwd = "/";
	if (!wrong && (bv_sandbox_exec(sb, &options, "x", 1, 60000, &out, NULL) < 0 || strcmp(out.out, "0\n1\n2\n3\n") != 0))
		wrong = out.out ? strdup(out.out) : "exec";
	bv_free(out.out);
	bv_free(out.err);
	bv_watch_close(w);
	return wrong;
}

static void *live(void *arg)
{
	BvCreateOptions o = BV_CREATE_OPTIONS_INIT;
	const char *wrong = NULL;

	o.store = store;
	for (int i = 0; i < ROUNDS && !wrong; i++) {
		BvSandbox *sb = NULL;
		o.flags = i % 2 ? BV_CREATE_EPHEMERAL : 0;
		if (bv_sandbox_create(&o, &sb, NULL) < 0)
			return (void *)(uintptr_t) "create";
		wrong = use(sb, *(int *)arg * 100 + i);
		if (!wrong && i % 2 == 0 && bv_sandbox_remove(sb, 1, NULL) < 0)
			wrong = "remove";
		bv_sandbox_close(sb);
	}
	return (void *)(uintptr_t)wrong;
}

/* What a program of the host program's own finds open. */
static char *descriptors_of_a_child(void)
{
	static char text[4096];
	FILE *f = popen("exec ls /proc/self/fd", "re");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	text[n] = '\0';
	return f && pclose(f) == 0 ? text : NULL;
}

static int live_in_threads(void)
{
	pthread_t threads[THREADS];
	int numbers[THREADS], failed = 0;

	for (int i = 0; i < THREADS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, live, &numbers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		void *wrong;
		pthread_join(threads[i], &wrong);
		if (wrong)
			print_error("thread %d: %s\n", i, (const char *)wrong);
		failed += wrong != NULL;
	}
	return failed;
}

typedef struct Other {
	char *wanted;
	atomic_bool stop;
	int rounds, strangers;
} Other;

static void *start_programs(void *arg)
{
	Other *o = arg;

	for (; !o->stop; o->rounds++) {
		char *seen = descriptors_of_a_child();
		if (!seen || strcmp(seen, o->wanted) != 0) {
			print_error("%s", seen ? seen : "ls failed\n");
			o->strangers++;
		}
	}
	return NULL;
}

static void sandboxes_come_and_go_in_many_threads(void **state)
{
	Other other = {0};
	pthread_t thread;

	(void)state;
	other.wanted = strdup(descriptors_of_a_child());
	int before = descriptors();
	assert_int_equal(pthread_create(&thread, NULL, start_programs, &other), 0);
	int failed = live_in_threads();
	other.stop = true;
	pthread_join(thread, NULL);
	assert_int_equal(failed, 0);
	assert_int_equal(other.strangers, 0);
	assert_true(other.rounds > 0);
	assert_int_equal(descriptors(), before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1); /* and no child */
	free(other.wanted);
}

static void *write_one(void *arg)
{
	BvSandbox *sb = arg;
	long failed = 0;

	for (int i = 0; i < 10; i++)
		failed += bv_sandbox_write_file(sb, "/tmp/bvisor-thread/file", "x", 1, BV_FILE_APPEND | BV_FILE_PARENTS, 0644, NULL) < 0;
	return (void *)(uintptr_t)failed;
}

static void threads_change_files_of_one_sandbox(void **state)
{
	BvSandbox *sb = create_plain();
	pthread_t threads[THREADS];
	uint64_t bytes = 0;

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_one, sb), 0);
	for (int i = 0; i < THREADS; i++) {
		void *failed;
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(TRY(bv_sandbox_stat, sb, "/tmp/bvisor-thread/file", 0, wants_one, &bytes), 0);
	assert_int_equal(bytes, THREADS * 10);
	discard(sb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sandboxes_come_and_go_in_many_threads),
		cmocka_unit_test(threads_change_files_of_one_sandbox),
	};

	return cmocka_run_group_tests(tests, set_up_store, tear_down_store);
}
