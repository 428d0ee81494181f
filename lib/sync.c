/* lib/sync.c - see sync.h.
 *
 * Who follows holds a POSIX lock on DIR/syncing (its pid is told by the kernel) and a connection to the supervisor, which does not end before that closes. What it has to wait for, the end of the
 * last command, the supervisor tells (request "idle"); between snapshots it sleeps. A place that cannot be reached is tried again, less and less often; the sandbox goes on, and what it has is
 * on the disk. When the supervisor is gone (killed, or stopped by force) a last snapshot is taken of what is there. */
#include "lib/sync.h"
#include "lib/hold.h"
#include "lib/launch.h"
#include "lib/snapshots.h"
#include "lib/store.h"

#include <fcntl.h>
#include <signal.h>
#include <time.h>

enum {
	KEEP = 2,	   /* states */
	SLOWEST = 60,	   /* seconds between tries while nothing works */
	GIVE_UP = 600,	   /* ... and for how long, when the sandbox has stopped */
};

bool sync_is_name(const char *name)
{
	size_t n = strlen(name), suffix = strlen(SYNC_SUFFIX);

	return n > suffix && strcmp(name + n - suffix, SYNC_SUFFIX) == 0;
}

/* ---- one state ---- */

typedef struct Older {
	const Snapshots *s;
	uint64_t newest;
	const char *instance; /* what made them */
} Older;

/* Another machine may have a sandbox of that name. What is not removed now is so by the next one. */
static int drop_older(void *ctx, const SnapRef *ref)
{
	const Older *older = ctx;
	SnapInfo info = {0};

	if (ref->number + KEEP > older->newest || snap_info_load(older->s->store, &ref->id, &info, NULL) < 0)
		return 0;
	CLEAN_FREE char *made_by = snapshots_field(&info, "instance");
	if (made_by && strcmp(made_by, older->instance) == 0)
		IGNORE_RESULT(snap_ref_delete(older->s->store, ref->name, ref->number, NULL));
	snap_info_release(&info);
	return 0;
}

int bv_sandbox_sync(BvSandbox *sb, const BvKeyOptions *key, BvSnapshotReceipt *receipt, BvError **err)
{
	CLEAN_SNAPSHOTS Snapshots s = {0};
	BvSnapshotOptions o = BV_SNAPSHOT_OPTIONS_INIT;
	BvSnapshotReceipt made = BV_SNAPSHOT_RECEIPT_INIT;
	CLEAN_FREE char *name = bv_asprintf("%s" SYNC_SUFFIX, sb->config.name);

	CLEAN_FREE char *instance = hold_name(&sb->config);
	if (!name || !instance)
		return lib_fail(err, -ENOMEM, "out of memory");
	if (!backend_is_place(sb->config.backend))
		return lib_fail(err, -EINVAL, "sandbox '%s' has no bucket as its backend: `bvisor snapshot %s --to PLACE` keeps it somewhere", sb->config.name, sb->config.name);
	o.name = name;
	o.key = key ? key : sb->key.size ? &sb->key : NULL;
	int r = snapshots_open(sb->config.backend, sb->store, o.key, true, &s, err);
	if (r == 0)
		r = snapshot_take(sb, TAKE_IF_CHANGED, &s, &o, &made, err);
	if (r == 0 && made.number > KEEP)
		IGNORE_RESULT(snap_ref_list(s.store, name, drop_older, &(Older){&s, made.number, instance}, NULL));
	if (r >= 0)
		lib_give(receipt, &made, sizeof(made));
	return r < 0 ? r : r == 0;
}

/* ---- following ---- */

static int open_lock(const BvSandbox *sb)
{
	return openat(sb->dirfd, "syncing", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* 0: nobody. */
static pid_t follower_of(const BvSandbox *sb)
{
	CLEAN_FD int fd = openat(sb->dirfd, "syncing", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? lock.l_pid : 0;
}

void sync_stop(const BvSandbox *sb)
{
	pid_t pid = sb->config.continuous ? follower_of(sb) : 0;

	if (pid <= 0 || pid == getpid())
		return;
	kill(pid, SIGTERM);
	for (int i = 0; i < 500 && follower_of(sb) == pid; i++)
		nanosleep(&(struct timespec){0, 10000000}, NULL);
}

int sync_launch(const BvSandbox *sb, BvError **err)
{
	if (follower_of(sb))
		return 0;
	const char *argv[10] = {"bvisor", "sync", "--follow"};
	size_t n = 3;
	CLEAN_FREE char *handed_on = sb->key_fd >= 0 ? bv_asprintf("/proc/self/fd/%d", LAUNCH_FD) : NULL;
	if (sb->key.size && sb->key.key_file) {
		argv[n++] = "--key-file";
		argv[n++] = handed_on ? handed_on : sb->key.key_file;
	}
	if (sb->key.size && sb->key.passphrase_file) {
		argv[n++] = "--passphrase-file";
		argv[n++] = handed_on ? handed_on : sb->key.passphrase_file;
	}
	argv[n++] = sb->config.name;
	CLEAN_FREE char *home = bv_asprintf("BVISOR_HOME=%s", sb->store);
	CLEAN_FREE char *log = bv_asprintf("%s/sync.log", sb->store);
	return home && log ? launch_program("bvisor", argv, home, log, sb->key_fd, err) : lib_fail(err, -ENOMEM, "out of memory");
}

typedef struct Follow {
	BvSandbox *sb;
	const BvFollowOptions *o;
	Conn *conn;
	ConnCall idle;
	bool asked, ended; /* the supervisor was asked to tell the end; there is no command left */
	double wait;
} Follow;

static void ask_idle(Follow *f)
{
	f->asked = f->conn && conn_begin(f->conn, &f->idle, conn_request("idle"), NULL, 0) == 0;
	if (!f->asked) { /* it has ended */
		conn_put(TAKE_PTR(f->conn));
		f->ended = true;
	}
}

static void disconnect(Follow *f)
{
	if (f->asked)
		conn_forget(f->conn, &f->idle);
	f->asked = false;
	conn_put(TAKE_PTR(f->conn));
}

/* Until it is time for the next state, or the end. */
static void wait_for_work(Follow *f)
{
	int ms = (int)(f->wait * 1000);

	if (!f->asked) {
		nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
		return;
	}
	int r = conn_wait(f->conn, &f->idle, ms);
	if (r == -ETIMEDOUT)
		return;
	f->asked = false;
	f->ended = true;
	if (r == 0)
		cJSON_Delete(f->idle.answer);
	else
		disconnect(f);
}

/* 0: it is there now. */
static int sync_now(Follow *f)
{
	BvError *err = NULL;
	BvSnapshotReceipt receipt = BV_SNAPSHOT_RECEIPT_INIT;
	int r = bv_sandbox_sync(f->sb, f->o->key, &receipt, &err);

	if (f->o->visit)
		f->o->visit(f->o->ctx, r == 1 ? &receipt : NULL, r < 0 ? bv_error_message(err) : NULL);
	bv_error_free(err);
	return MIN(r, 0);
}

static bool is_over(int r)
{
	return r == -EINVAL || r == -ENOKEY || r == -ENOENT || r == -EUCLEAN;
}

/* The supervisor may have been left by somebody else's command meanwhile, or started anew. */
static bool goes_on(Follow *f)
{
	if (f->conn) {
		ask_idle(f);
		if (f->asked && conn_wait(f->conn, &f->idle, 0) == -ETIMEDOUT)
			return true;
		disconnect(f);
		return false;
	}
	return launch_connect(f->sb->dirfd, &f->conn) == 0;
}

static int follow(Follow *f)
{
	double lost = 0;
	int r = 0;

	if (launch_connect(f->sb->dirfd, &f->conn) < 0)
		f->conn = NULL;
	ask_idle(f);
	f->wait = f->o->seconds;
	for (;;) {
		if (!f->ended)
			wait_for_work(f);
		r = sync_now(f);
		if (is_over(r))
			break;
		if (r == 0) {
			f->wait = f->o->seconds;
			if (f->ended && !goes_on(f))
				break;
			f->ended = false;
			if (!f->asked)
				ask_idle(f);
			continue;
		}
		f->wait = MIN(MAX(f->wait * 2, 1), SLOWEST);
		if (f->ended) { /* the supervisor is not kept for that long: the data are on the disk */
			disconnect(f);
			lost += f->wait;
			if (lost > GIVE_UP)
				break;
			nanosleep(&(struct timespec){(time_t)f->wait, 0}, NULL);
		}
	}
	disconnect(f);
	return r;
}

int bv_sandbox_follow(BvSandbox *sb, const BvFollowOptions *options, BvError **err)
{
	BvFollowOptions o = BV_FOLLOW_OPTIONS_INIT;
	Follow f = {.sb = sb, .o = &o};

	if (lib_take_options(&o, sizeof(o), options) < 0)
		return lib_fail(err, -EINVAL, "the options have a size that this library does not know");
	if (!backend_is_place(sb->config.backend))
		return lib_fail(err, -EINVAL, "sandbox '%s' has no bucket as its backend", sb->config.name);
	if (o.seconds <= 0)
		o.seconds = 5;
	CLEAN_FD int lock = open_lock(sb);
	if (lock < 0)
		return lib_fail(err, bv_neg_errno(), "cannot open %s/syncing: %s", sb->dir, strerror(errno));
	if (fcntl(lock, F_SETLK, &(struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET}) < 0)
		return lib_fail(err, -EALREADY, "sandbox '%s' is followed already", sb->config.name);
	int r = follow(&f);
	return r < 0 ? lib_fail(err, r, "the last state of sandbox '%s' is not in %s: it is here, and goes there with the next command, or `bvisor sync %s`", sb->config.name, sb->config.backend,
				sb->config.name)
		     : 0;
}
