/* tests/oracle/oracle.c - runs random operations on both sides until they differ, and then looks for the shortest history that still does.
 *
 * Each run is a child process that records its operations in shared memory, so that a crash is a finding like any other:
 * the parent replays subsets of the record in new children (delta debugging) and prints what is left. */
#include "tests/oracle/oracle.h"

#include <getopt.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct Options {
	uint64_t seed, seeds;
	size_t ops, ops_per_check;
	const char *base, *scheme;
	unsigned shrink_seconds;
	bool verbose, keep;
} options = {.seed = 1, .seeds = 1, .ops = 20000, .ops_per_check = 200, .base = "/var/tmp", .scheme = "dir", .shrink_seconds = 60};

/* ---- one operation on both sides ---- */

static int compare_results(World *w, const Op *op, const Result *real, const Result *cow)
{
	const Meta *a = &real->meta, *b = &cow->meta;

	if (w->why[0])
		return -1;
	if (cow->skip)
		return 0;
	if (real->ret != cow->ret)
		return world_fail(w, "real answered %ld (%s), the view %ld (%s)", real->ret, real->ret < 0 ? strerror((int)-real->ret) : "ok", cow->ret,
				  cow->ret < 0 ? strerror((int)-cow->ret) : "ok");
	if (real->len != cow->len || memcmp(real->data, cow->data, real->len) != 0)
		return world_fail(w, "data differs (%zu and %zu bytes)", real->len, cow->len);
	if (real->has_meta != cow->has_meta)
		return world_fail(w, "only one side could be looked at");
	if (!real->has_meta || (a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && a->nlink == b->nlink && a->size == b->size &&
				a->mtime_sec == b->mtime_sec && a->mtime_nsec == b->mtime_nsec))
		return 0;
	(void)op;
	return world_fail(w, "stat: real mode 0%o owner %u:%u nlink %u size %jd mtime %jd.%jd, view 0%o %u:%u %u %jd %jd.%jd", a->mode, a->uid, a->gid,
			  a->nlink, (intmax_t)a->size, (intmax_t)a->mtime_sec, (intmax_t)a->mtime_nsec, b->mode, b->uid, b->gid, b->nlink,
			  (intmax_t)b->size, (intmax_t)b->mtime_sec, (intmax_t)b->mtime_nsec);
}

static int do_both(World *w, const Op *op)
{
	static Result real, cow;

	real.ret = cow.ret = 0;
	real.len = cow.len = 0;
	real.has_meta = cow.has_meta = real.skip = cow.skip = false;
	real_do(w, op, &real);
	cow_do(w, op, &cow);
	return compare_results(w, op, &real, &cow);
}

/* After each operation, what its paths show: a difference is found where it arises. */
static int look_at_paths(World *w, const Op *op)
{
	Op look = {.kind = OP_STAT, .at1 = op->at1, .at2 = -1, .flags = AT_SYMLINK_NOFOLLOW, .p1 = op->p1, .p2 = ""};

	if (op->kind >= OP_CLOSE && op->kind <= OP_FSYNC)
		return 0;
	if (op->kind >= OP_LIST)
		return 0;
	if (do_both(w, &look) < 0)
		return -1;
	if (op->kind != OP_RENAME && op->kind != OP_LINK && op->kind != OP_FLINK)
		return 0;
	look.at1 = op->at2;
	look.p1 = op->p2;
	return do_both(w, &look);
}

static int check_lower(World *w, const char *before, const char *root)
{
	CLEAN_FREE char *now = manifest_take(root, true);
	const char *a = before, *b = now;

	if (strcmp(before, now) == 0)
		return 0;
	while (*a == *b)
		a++, b++;
	while (a > before && a[-1] != '\n')
		a--, b--;
	return world_fail(w, "the lower tree was touched: before %.300s, now %.300s", a, b);
}

typedef struct Plan {
	const size_t *replay; /* indices into the record; NULL: generate */
	size_t count;
	size_t per_check;
} Plan;

static int run_ops(World *w, const Plan *plan, uint64_t seed)
{
	uint64_t random = seed * 7919 + 1;
	char text[600];

	for (size_t i = 0; i < plan->count; i++) {
		Op generated;
		const Op *op = &generated;
		if (plan->replay) {
			op = &record->ops[plan->replay[i]];
		} else {
			op_generate(w, &random, record_keep, &generated);
			record->ops[record->count++] = generated;
		}
		if (options.verbose)
			fprintf(stderr, "%zu: %s\n", i, op_text(op, text, sizeof text));
		bool check = (i + 1) % plan->per_check == 0 || op->kind == OP_REOPEN || op->kind == OP_LIST || i + 1 == plan->count;
		if (do_both(w, op) < 0 || look_at_paths(w, op) < 0 || (check && tree_compare(w) < 0))
			return -1;
	}
	return 0;
}

/* In a child: 0 agreed, 1 differed (the reason is printed unless quiet). */
static int run(const Plan *plan, uint64_t seed, bool quiet)
{
	World *w = calloc(1, sizeof *w);
	CLEAN_FREE char *before = NULL;
	CLEAN_FREE char *lower = NULL;
	int r = world_init(w, options.base, options.scheme, seed);

	lower = bv_asprintf("%s/lower", w->dir);
	if (r == 0)
		before = manifest_take(lower, true);
	if (r == 0)
		r = tree_compare(w);
	if (r == 0)
		r = run_ops(w, plan, seed);
	if (r == 0)
		r = cow_close_world(w);
	if (r == 0)
		r = cow_open_world(w, false);
	if (r == 0)
		r = tree_compare(w);
	if (r == 0 && check_lower(w, before, lower) < 0)
		r = -1;
	if (r < 0 && !quiet)
		fprintf(stderr, "seed %ju: %s\n", (uintmax_t)seed, w->why);
	world_release(w, options.keep);
	free(w);
	return r < 0 ? 1 : 0;
}

/* ---- children ---- */

static int run_in_child(const Plan *plan, uint64_t seed, bool quiet, unsigned seconds)
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		if (quiet) {
			int null = open("/dev/null", O_WRONLY);
			dup2(null, 2);
		}
		alarm(seconds);
		exit(run(plan, seed, quiet));
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		perror("fork");
		exit(2);
	}
	if (WIFSIGNALED(status) && !quiet)
		fprintf(stderr, "seed %ju: killed by signal %d (%s)\n", (uintmax_t)seed, WTERMSIG(status), strsignal(WTERMSIG(status)));
	return status;
}

/* Most failures need only what came just before: tries the last 1, 4, 16 ... operations alone. Returns how many are left. */
static size_t shrink_to_tail(size_t *kept, size_t count, uint64_t seed)
{
	for (size_t n = 1; n < count; n *= 4) {
		Plan plan = {.replay = kept + count - n, .count = n, .per_check = 1};
		if (run_in_child(&plan, seed, true, 60) == 0)
			continue;
		memmove(kept, kept + count - n, n * sizeof *kept);
		return n;
	}
	return count;
}

/* Removes chunk after chunk of the history as long as it still fails. Returns the number of operations left in `kept`. */
static size_t shrink(size_t *kept, size_t count, uint64_t seed)
{
	uint64_t until = bv_now_ns() + (uint64_t)options.shrink_seconds * 1000000000ULL;
	CLEAN_FREE size_t *trial = calloc(count, sizeof *trial);

	for (size_t chunk = (count + 1) / 2; chunk >= 1; chunk = chunk > 1 ? (chunk + 1) / 2 : 0) {
		for (size_t at = 0; at < count && bv_now_ns() < until;) {
			size_t n = MIN(chunk, count - at);
			memcpy(trial, kept, at * sizeof *trial);
			memcpy(trial + at, kept + at + n, (count - at - n) * sizeof *trial);
			Plan plan = {.replay = trial, .count = count - n, .per_check = count > 500 ? options.ops_per_check : 1};
			if (run_in_child(&plan, seed, true, 60) != 0) {
				count -= n;
				memcpy(kept, trial, count * sizeof *trial);
			} else {
				at += n;
			}
		}
	}
	return count;
}

static void explain(uint64_t seed)
{
	size_t count = record->count;
	CLEAN_FREE size_t *kept = calloc(count + 1, sizeof *kept);
	char text[600];

	for (size_t i = 0; i < count; i++)
		kept[i] = i;
	if (count)
		fprintf(stderr, "failing operation %zu: %s\n", count - 1, op_text(&record->ops[count - 1], text, sizeof text));
	if (options.shrink_seconds && count)
		count = shrink(kept, shrink_to_tail(kept, count, seed), seed);
	fprintf(stderr, "history that fails (%zu operations):\n", count);
	for (size_t i = count > 60 ? count - 60 : 0; i < count; i++)
		fprintf(stderr, "  %zu: %s\n", kept[i], op_text(&record->ops[kept[i]], text, sizeof text));
	Plan plan = {.replay = kept, .count = count, .per_check = count > 500 ? options.ops_per_check : 1};
	if (run_in_child(&plan, seed, false, 60) == 0)
		fprintf(stderr, "(this history passes when run again: the failure depends on timing)\n");
}

static int run_seed(uint64_t seed)
{
	Plan plan = {.count = options.ops, .per_check = options.ops_per_check};
	uint64_t start = bv_now_ns();

	record->count = record->used = 0;
	if (run_in_child(&plan, seed, false, 0) == 0) {
		printf("seed %ju: %zu operations agree (%.1f s)\n", (uintmax_t)seed, record->count, (double)(bv_now_ns() - start) / 1e9);
		return 0;
	}
	explain(seed);
	return 1;
}

static _Noreturn void usage(void)
{
	fprintf(stderr, "usage: oracle [--ops N] [--seed S] [--seeds COUNT] [--ops-per-check M] [--dir SCRATCH] [--backend dir|tmpfs]\n"
			"              [--shrink SECONDS] [--verbose] [--keep] [--watch]\n");
	exit(2);
}

static void parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{"ops", 1, 0, 'n'},	{"seed", 1, 0, 's'},   {"seeds", 1, 0, 'S'},   {"ops-per-check", 1, 0, 'm'}, {"dir", 1, 0, 'd'},
		{"backend", 1, 0, 'b'}, {"shrink", 1, 0, 'k'}, {"verbose", 0, 0, 'v'}, {"keep", 0, 0, 'K'},	     {"watch", 0, 0, 'w'},
		{0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'n':
			options.ops = MIN(strtoull(optarg, NULL, 10), MAX_OPS);
			break;
		case 's':
			options.seed = strtoull(optarg, NULL, 10);
			break;
		case 'S':
			options.seeds = strtoull(optarg, NULL, 10);
			break;
		case 'm':
			options.ops_per_check = MAX(strtoull(optarg, NULL, 10), 1);
			break;
		case 'd':
			options.base = optarg;
			break;
		case 'b':
			options.scheme = optarg;
			break;
		case 'k':
			options.shrink_seconds = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'v':
			options.verbose = true;
			break;
		case 'w':
			oracle_watches = true;
			break;
		case 'K':
			options.keep = true;
			break;
		default:
			usage();
		}
	}
	if (optind < argc || !blob_ops_find(options.scheme))
		usage();
}

int main(int argc, char **argv)
{
	int failed = 0;

	parse(argc, argv);
	umask(0);
	signal(SIGPIPE, SIG_IGN); /* a write to a FIFO without a reader: EPIPE on both sides */
	options.base = realpath(options.base, NULL);
	if (!options.base) {
		perror("--dir");
		return 2;
	}
	record_init();
	for (uint64_t seed = options.seed; seed < options.seed + options.seeds; seed++)
		failed += run_seed(seed);
	return failed ? 1 : 0;
}
