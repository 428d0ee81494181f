/* tests/oracle/killtest.c - kill -9 at random moments: what was fsynced is there, and the rest is a consistent prefix.
 *
 * A child runs random changes of names and metadata on the view and is killed. It numbers them: after operation i it sets the xattr
 * "user.seq" of a marker outside the compared tree to i. The log is written in order, so a view that shows seq = j must be the
 * state after the first j operations, or after j + 1 with the last marker missing. The parent replays the record on the real
 * copy up to there and compares the trees. j must be at least what the child had seen a completed fsync for.
 *
 * Contents are written natively and are not part of the prefix; the child appends to a journal file of its own instead
 * and fsyncs it: every record before a completed fsync must be there. */
#include "tests/oracle/oracle.h"

#include <getopt.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>

typedef struct Progress { /* shared with the child */
	_Atomic size_t synced;	 /* operations covered by a completed fsync */
	_Atomic size_t journal;	 /* records in the journal covered by a completed fsync */
	_Atomic bool ready;
	char why[400];
	int32_t answer[MAX_OPS]; /* of each operation, to name the first on which the replay differs */
} Progress;

static Progress *progress;

static CowReq request(World *w)
{
	return (CowReq){.cred = &w->cred, .may_block = true};
}

static const char *beside(World *w, const char *name, char *buf, size_t size)
{
	snprintf(buf, size, "%s/lower/%s", w->dir, name);
	return buf;
}

static bool is_metadata(const Op *op)
{
	switch (op->kind) {
	case OP_OPEN:
		return !(op->flags & O_TRUNC) && (op->flags & O_TMPFILE) != O_TMPFILE;
	case OP_MKDIR:
	case OP_RMDIR:
	case OP_UNLINK:
	case OP_RENAME:
	case OP_LINK:
	case OP_SYMLINK:
	case OP_MKNOD:
	case OP_CHMOD:
	case OP_CHOWN:
	case OP_SETXATTR:
	case OP_REMOVEXATTR:
		return op->at1 < 0 && op->at2 < 0;
	default:
		return false;
	}
}

/* ---- the child ---- */

static _Noreturn void give_up(const char *what, int r)
{
	snprintf(progress->why, sizeof progress->why, "%s: %s", what, strerror(-r));
	_exit(1);
}

static void number_operation(World *w, size_t n)
{
	CowReq req = request(w);
	char path[300];
	uint64_t seq = n;
	int r = cowfs_setxattr(w->fs, &req, NULL, beside(w, "marker", path, sizeof path), 0, "user.seq", &seq, sizeof seq, 0);

	if (r < 0)
		give_up("numbering", r);
}

static void journal(World *w, size_t n)
{
	struct open_how how = {.flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, .mode = 0600};
	CowReq req = request(w);
	CLEAN_LOC CowLoc loc = {0};
	CowFile file = {.fd = -1};
	uint64_t value = atomic_load(&progress->journal);
	char path[300];
	int r = cowfs_openat(w->fs, &req, NULL, beside(w, "journal", path, sizeof path), &how, &file);

	if (r < 0)
		give_up("opening the journal", r);
	r = bv_write_full(file.fd, &value, sizeof value);
	close(file.fd);
	if (r == 0)
		r = cowfs_resolve(w->fs, &req, NULL, path, 0, 0, &loc);
	if (r == 0)
		r = cowfs_fsync(w->fs, &req, &loc);
	if (r < 0)
		give_up("syncing the journal", r);
	atomic_store(&progress->journal, value + 1);
	atomic_store(&progress->synced, n);
}

static _Noreturn void child(World *w, uint64_t seed)
{
	uint64_t random = seed;
	static Result res;

	if (cow_open_world(w, false) < 0) {
		snprintf(progress->why, sizeof progress->why, "%.390s", w->why);
		_exit(1);
	}
	atomic_store(&progress->ready, true);
	for (size_t i = 0; i < MAX_OPS; i++) {
		Op op;
		do
			op_generate(w, &random, record_keep, &op);
		while (!is_metadata(&op));
		record->ops[record->count++] = op;
		cow_do(w, &op, &res);
		progress->answer[i] = (int32_t)res.ret;
		number_operation(w, i + 1);
		if (random_below(&random, 40) == 0)
			journal(w, i + 1);
	}
	_exit(0);
}

/* ---- the parent ---- */

static int check_database(World *w)
{
	char path[300];
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	const char *answer = "no answer";
	int r = 0;

	snprintf(path, sizeof path, "%s/meta.db", w->dir);
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
	    sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
		answer = (const char *)sqlite3_column_text(st, 0);
	if (!answer || strcmp(answer, "ok") != 0)
		r = world_fail(w, "integrity_check: %s", answer ? answer : "no answer");
	sqlite3_finalize(st);
	sqlite3_close(db);
	return r;
}

static int read_seq(World *w, uint64_t *seq)
{
	CowReq req = request(w);
	char path[300];
	ssize_t n = cowfs_getxattr(w->fs, &req, NULL, beside(w, "marker", path, sizeof path), 0, "user.seq", seq, sizeof *seq);

	return n == sizeof *seq ? 0 : world_fail(w, "the marker has no number (%zd)", n);
}

static int check_journal(World *w)
{
	char path[300];
	uint64_t value, expected = 0, synced = atomic_load(&progress->journal);
	CLEAN_FD int fd = -1;
	int r = cowfs_open_virtual(w->fs, beside(w, "journal", path, sizeof path), O_RDONLY, &fd);

	if (r < 0)
		return synced ? world_fail(w, "the fsynced journal is gone: %s", strerror(-r)) : 0;
	while (bv_read_full(fd, &value, sizeof value) == sizeof value) {
		/* A record whose fsync was interrupted by the kill is written again with the same number. */
		if (value != expected && value + 1 != expected)
			return world_fail(w, "journal record %ju where %ju belongs", (uintmax_t)value, (uintmax_t)expected);
		expected = value + 1;
	}
	return expected >= synced ? 0 : world_fail(w, "journal has %ju records, %ju were fsynced", (uintmax_t)expected, (uintmax_t)synced);
}

static int replay(World *w, size_t i)
{
	static Result res;
	char text[600];

	real_do(w, &record->ops[i], &res);
	if (res.ret == progress->answer[i])
		return 0;
	return world_fail(w, "operation %zu: real answered %ld, the view %d: %.500s", i, res.ret, progress->answer[i],
			  op_text(&record->ops[i], text, sizeof text));
}

/* Replays on the real copy until the trees agree at seq or seq + 1 operations. */
static int match_prefix(World *w, uint64_t seq)
{
	char why[sizeof w->why], next[sizeof w->why];
	const int64_t mark_sec = w->mark_sec, mark_nsec = w->mark_nsec;

	for (size_t i = 0; i < seq; i++)
		if (replay(w, i) < 0)
			return -1;
	if (tree_compare(w) == 0)
		return 0;
	memcpy(why, w->why, sizeof why);
	w->why[0] = 0;
	tree_forget(w);
	if (seq < record->count) {
		static Result res; /* without an answer to compare: the kill may have come before it */
		w->mark_sec = mark_sec; /* what the view did is older than the comparison that failed */
		w->mark_nsec = mark_nsec;
		real_do(w, &record->ops[seq], &res);
		if (tree_compare(w) == 0)
			return 0;
	}
	snprintf(next, sizeof next, "%s", w->why);
	w->why[0] = 0;
	return world_fail(w, "no prefix of the history: after %ju operations: %.250s; after one more: %.250s", (uintmax_t)seq, why, next);
}

static int verify(World *w)
{
	uint64_t seq = 0;

	if (cow_open_world(w, false) < 0 || read_seq(w, &seq) < 0)
		return -1;
	if (seq > record->count || seq < atomic_load(&progress->synced))
		return world_fail(w, "%ju operations survived; %zu were made, %zu before the last fsync", (uintmax_t)seq, record->count,
				  atomic_load(&progress->synced));
	if (check_journal(w) < 0 || match_prefix(w, seq) < 0)
		return -1;
	if (cow_close_world(w) < 0)
		return -1;
	return check_database(w);
}

static int kill_once(World *w, uint64_t *random)
{
	struct timespec pause = {.tv_nsec = 1000000L * (long)random_below(random, 150)};
	uint64_t seed = random_u64(random);
	int status;
	pid_t pid;

	record->count = record->used = 0;
	atomic_store(&progress->synced, 0);
	atomic_store(&progress->ready, false);
	pid = fork();
	if (pid == 0)
		child(w, seed);
	while (!atomic_load(&progress->ready) && waitpid(pid, &status, WNOHANG) == 0)
		usleep(200);
	nanosleep(&pause, NULL);
	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		return world_fail(w, "the child died of signal %d", WTERMSIG(status));
	if (progress->why[0])
		return world_fail(w, "in the child: %s", progress->why);
	return verify(w);
}

/* Operation numbers start anew for each child. */
static int reset_marker(World *w)
{
	CowReq req = request(w);
	char path[300];
	uint64_t zero = 0;
	int r;

	if (cow_open_world(w, false) < 0)
		return -1;
	r = cowfs_setxattr(w->fs, &req, NULL, beside(w, "marker", path, sizeof path), 0, "user.seq", &zero, sizeof zero, 0);
	if (r < 0)
		return world_fail(w, "resetting the marker: %s", strerror(-r));
	return cow_close_world(w);
}

static int run(const char *base, const char *scheme, uint64_t seed, unsigned kills)
{
	World *w = calloc(1, sizeof *w);
	uint64_t random = seed;
	char path[300];
	size_t operations = 0;
	int r = world_init(w, base, scheme, seed);

	if (r == 0 && mkdir(beside(w, "marker", path, sizeof path), 0700) < 0)
		r = world_fail(w, "%s: %s", path, strerror(errno));
	if (r == 0 && (tree_compare(w) < 0 || cow_close_world(w) < 0))
		r = -1;
	for (unsigned i = 0; i < kills && r == 0; i++) {
		r = reset_marker(w);
		if (r == 0)
			r = kill_once(w, &random);
		if (r < 0)
			fprintf(stderr, "kill %u of seed %ju: %s\n", i + 1, (uintmax_t)seed, w->why);
		operations += record->count;
	}
	if (r == 0)
		printf("%u kills, %zu operations: every view was a consistent prefix with all that was fsynced\n", kills, operations);
	else
		fprintf(stderr, "seed %ju: %s\n", (uintmax_t)seed, w->why);
	world_release(w, false);
	free(w);
	return r < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"kills", 1, 0, 'k'}, {"seed", 1, 0, 's'}, {"dir", 1, 0, 'd'}, {"backend", 1, 0, 'b'}, {0}};
	const char *base = "/var/tmp", *scheme = "dir";
	uint64_t seed = 1;
	unsigned kills = 20;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'k')
			kills = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 's')
			seed = strtoull(optarg, NULL, 10);
		else if (c == 'd')
			base = optarg;
		else if (c == 'b')
			scheme = optarg;
		else
			return 2;
	}
	umask(0);
	record_init();
	progress = shared_alloc(sizeof *progress);
	return run(base, scheme, seed, kills);
}
