/* tests/fault/fault.c - the N-th call fails, for every N: after it the view is as if the failed operation had not been made.
 *
 * One run: the oracle's world, a fixed history of operations, one failing libc, SQLite or backend call. An operation during which the
 * fault fired and that answers an error must have had no effect: it is not made on the real copy, and the trees are compared at the
 * end, and again after closing and reopening. A fault during opening must give an error with a message, and the next attempt must work.
 * What a completed fsync covered is part of the reopened tree. Built with AddressSanitizer, leaks are findings, too. */
#include "tests/fault/wrap.h"
#include "tests/oracle/oracle.h"

#include <getopt.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct Options {
	uint64_t seed;
	size_t ops;
	unsigned long from, to, stride;
	const char *base, *scheme;
} options = {.seed = 1, .ops = 80, .from = 1, .to = ~0UL, .stride = 1, .base = "/dev/shm", .scheme = "dir"};

static unsigned long *calls_made; /* shared: how many calls the history makes */

/* Every way of changing things at least once, then random ones. */
static const Op fixed[] = {
	{.kind = OP_OPEN, .at1 = -1, .slot = 0, .flags = O_RDWR | O_CREAT, .mode = 0644, .p1 = "fresh", .p2 = ""},
	{.kind = OP_WRITE, .slot = 0, .a = 5, .b = 500, .p1 = "", .p2 = ""},
	{.kind = OP_FSYNC, .slot = 0, .p1 = "", .p2 = ""},
	{.kind = OP_OPEN, .at1 = -1, .slot = 1, .flags = O_RDWR, .p1 = "big", .p2 = ""},
	{.kind = OP_PWRITE, .slot = 1, .a = 1000, .b = 300, .p1 = "", .p2 = ""},
	{.kind = OP_OPEN, .at1 = -1, .slot = 2, .flags = O_WRONLY, .p1 = "d1/d2/sparse", .p2 = ""},
	{.kind = OP_OPEN, .at1 = -1, .slot = 2, .flags = O_WRONLY, .p1 = "sparse", .p2 = ""},
	{.kind = OP_OPEN, .at1 = -1, .slot = 2, .flags = O_WRONLY | O_TRUNC, .p1 = "d1/f1", .p2 = ""},
	{.kind = OP_MKDIR, .at1 = -1, .mode = 0755, .p1 = "made", .p2 = ""},
	{.kind = OP_RENAME, .at1 = -1, .at2 = -1, .p1 = "d1", .p2 = "made/d1"},
	{.kind = OP_RENAME, .at1 = -1, .at2 = -1, .p1 = "f2", .p2 = "f3"},
	{.kind = OP_RENAME, .at1 = -1, .at2 = -1, .flags = 2 /* EXCHANGE */, .p1 = "d2", .p2 = "made"},
	{.kind = OP_LINK, .at1 = -1, .at2 = -1, .p1 = "d3/f1", .p2 = "made"},
	{.kind = OP_LINK, .at1 = -1, .at2 = -1, .p1 = "d3/f1", .p2 = "linked"},
	{.kind = OP_SYMLINK, .at1 = -1, .p1 = "sym", .p2 = "@/d3"},
	{.kind = OP_MKNOD, .at1 = -1, .mode = S_IFIFO | 0600, .p1 = "pipe", .p2 = ""},
	{.kind = OP_CHMOD, .at1 = -1, .mode = 0600, .p1 = "d3/f3", .p2 = ""},
	{.kind = OP_UTIMENS, .at1 = -1, .a = 5, .b = 6, .p1 = "d3/f3", .p2 = ""},
	{.kind = OP_SETXATTR, .at1 = -1, .a = 20, .b = 3, .p1 = "d3/f2", .p2 = "user.new"},
	{.kind = OP_REMOVEXATTR, .at1 = -1, .p1 = "d3/f2", .p2 = "user.one"},
	{.kind = OP_TRUNCATE, .at1 = -1, .a = 100, .p1 = "d3/new\nline", .p2 = ""},
	{.kind = OP_UNLINK, .at1 = -1, .p1 = "f1", .p2 = ""},
	{.kind = OP_UNLINK, .at1 = -1, .p1 = "fresh", .p2 = ""},
	{.kind = OP_OPEN, .at1 = -1, .slot = 3, .flags = O_RDWR | O_TMPFILE, .mode = 0600, .p1 = ".", .p2 = ""},
	{.kind = OP_FLINK, .at2 = -1, .slot = 3, .p1 = "", .p2 = "appeared"},
	{.kind = OP_RMDIR, .at1 = -1, .p1 = "d3/d3/d1", .p2 = ""},
	{.kind = OP_RMDIR, .at1 = -1, .p1 = "d3/d3", .p2 = ""},
	{.kind = OP_COMMIT, .b = 1, .p1 = "", .p2 = ""},
};

static void arm(bool on)
{
	atomic_store(&fault.armed, on);
}

/* On the view with the fault armed, then on the real copy unless the fault made it fail. */
static int do_both(World *w, const Op *op)
{
	static Result real, cow;
	unsigned long fired = atomic_load(&fault.fired);

	real.ret = cow.ret = 0;
	real.len = cow.len = 0;
	cow.skip = false;
	arm(true);
	cow_do(w, op, &cow);
	arm(false);
	if (atomic_load(&fault.fired) != fired && (cow.ret < 0 || w->why[0])) {
		w->why[0] = 0; /* a failed commit is an answer, too */
		return 0;
	}
	if (w->why[0])
		return -1;
	real_do(w, op, &real);
	if (real.ret != cow.ret && !cow.skip && atomic_load(&fault.fired) == fired)
		return world_fail(w, "real answered %ld, the view %ld", real.ret, cow.ret);
	return 0;
}

static int run_history(World *w)
{
	uint64_t random = options.seed;
	char text[600];

	for (size_t i = 0; i < options.ops; i++) {
		Op generated;
		const Op *op = &generated;
		if (i < ARRAY_LEN(fixed)) {
			op = &fixed[i];
		} else {
			do
				op_generate(w, &random, record_keep, &generated);
			while (generated.kind == OP_REOPEN || (generated.kind >= OP_LIST && generated.kind <= OP_LIST_END));
		}
		if (do_both(w, op) < 0) {
			fprintf(stderr, "%s\n", op_text(op, text, sizeof text));
			return -1;
		}
	}
	return 0;
}

static int reopen_with_fault(World *w)
{
	int r;

	if (cow_close_world(w) < 0) {
		if (!atomic_load(&fault.fired))
			return -1;
		w->why[0] = 0;
	}
	arm(true);
	r = cow_open_world(w, false);
	arm(false);
	if (r == 0)
		return 0;
	if (!atomic_load(&fault.fired) || strstr(w->why, "invariant"))
		return -1;
	w->why[0] = 0;
	cow_close_world(w);
	return cow_open_world(w, false);
}

static int run(unsigned long n)
{
	World *w = calloc(1, sizeof *w);
	int r = world_init(w, options.base, options.scheme, 1);

	if (r == 0)
		r = tree_compare(w);
	atomic_store(&fault.fail_at, n);
	if (r == 0)
		r = run_history(w);
	if (r == 0)
		r = tree_compare(w);
	if (r == 0)
		r = reopen_with_fault(w);
	if (r == 0)
		r = tree_compare(w);
	if (r < 0)
		fprintf(stderr, "call %lu (%s) failing: %s\n", n, fault.name ? fault.name : "none", w->why);
	if (n == 0)
		*calls_made = atomic_load(&fault.calls);
	world_release(w, false);
	free(w);
	return r < 0 ? 1 : 0;
}

static int run_in_child(unsigned long n)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		alarm(60);
		exit(run(n));
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	if (status != 0)
		fprintf(stderr, "call %lu: %s %d\n", n, WIFSIGNALED(status) ? "killed by signal" : "exit code",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return status;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"ops", 1, 0, 'n'},    {"seed", 1, 0, 's'}, {"from", 1, 0, 'f'},	{"to", 1, 0, 't'},
					      {"stride", 1, 0, 'S'}, {"dir", 1, 0, 'd'},  {"backend", 1, 0, 'b'}, {0}};
	unsigned long failed = 0, runs = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		unsigned long value = optarg ? strtoul(optarg, NULL, 10) : 0;
		switch (c) {
		case 'n':
			options.ops = value;
			break;
		case 's':
			options.seed = value;
			break;
		case 'f':
			options.from = value;
			break;
		case 't':
			options.to = value;
			break;
		case 'S':
			options.stride = MAX(value, 1UL);
			break;
		case 'd':
			options.base = optarg;
			break;
		case 'b':
			options.scheme = optarg;
			break;
		default:
			return 2;
		}
	}
	umask(0);
	record_init();
	calls_made = shared_alloc(sizeof *calls_made);
	if (run_in_child(0) != 0)
		return 1;
	for (unsigned long n = options.from; n <= MIN(options.to, *calls_made); n += options.stride, runs++)
		failed += run_in_child(n) != 0;
	printf("%lu of %lu calls made to fail, one at a time: %lu left something wrong\n", runs, *calls_made, failed);
	return failed || !runs ? 1 : 0;
}
