/* sys_dir.c - chdir, fchdir, getcwd, getdents. Sources: chdir(2), getcwd(3), getdents(2), fs/readdir.c.
 *
 * Directory descriptors are real: the host's own for a directory that was clean when it was opened, a marker directory for a changed one, so that
 * the position lives in the kernel's open file (lseek is native). Three cases in getdents:
 *   clean lower directory        the kernel lists it (CONTINUE: only the descriptor, a value, was looked at)
 *   marker or foreign directory  cowfs lists; position = the open file's
 *   raw lower, changed meanwhile kernel records read through our duplicate, filtered, then the sandbox's own entries; how far those were
 *                                handed out is kept per (thread group, fd) and starts again with the kernel's position */
#include "supervisor/foreign.h"
#include "supervisor/handlers.h"
#include "supervisor/sysargs.h"

#include <dirent.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define MAX_DENTS (256 * 1024)

/* Does the kernel, resolving the guest's own string, arrive at this very directory? */
static bool kernel_agrees(Call *call, const char *path, const struct statx *want)
{
	char buf[PATH_MAX + 32];
	struct statx st;
	int n = path[0] == '/' ? snprintf(buf, sizeof buf, "%s", path) : snprintf(buf, sizeof buf, "/proc/%d/cwd/%s", call->tid, path);

	if (n < 0 || (size_t)n >= sizeof buf || statx(AT_FDCWD, buf, 0, STATX_BASIC_STATS, &st) < 0)
		return false;
	return st.stx_ino == want->stx_ino && st.stx_dev_major == want->stx_dev_major && st.stx_dev_minor == want->stx_dev_minor;
}

static int do_chdir(Call *call, const CowLoc *at, const char *path, unsigned flags)
{
	CLEAN_LOC CowLoc dir = {0};
	CLEAN_FD int fd = -1;
	char place[PATH_MAX], link[48];
	struct statx st;

	int r = cowfs_resolve(call->sup->fs, &call->req, at, path, flags | COW_DIRECTORY, 0, &dir);
	if (r == 0)
		r = cowfs_access(call->sup->fs, &call->req, &dir, "", COW_EMPTY_PATH, X_OK);
	if (r == 0)
		r = cowfs_cwd_place(call->sup->fs, &call->req, &dir, &fd, place, sizeof place);
	if (r == -ENOENT && cowfs_is_removed(call->sup->fs, &dir) && guest_held_dir(call, &dir, link) == 0) {
		/* removed: nobody gets there any more, but the guest has it. If it exchanges the descriptor meanwhile, this is an fchdir. */
		snprintf(place, sizeof place, "/proc/%s", link);
		const Rewrite back = {.nr = SYS_chdir, .arg_offsets = 1, .data = place, .len = strlen(place) + 1};
		return call_rewrite(call, &back);
	}
	if (r < 0)
		return r;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st) < 0)
		return bv_neg_errno();
	if (kernel_agrees(call, path, &st))
		return CALL_CONTINUE;
	const Rewrite rw = {.nr = SYS_chdir, .arg_offsets = 1, .data = place, .len = strlen(place) + 1};
	return call_rewrite(call, &rw);
}

int sys_chdir(Call *call)
{
	CLEAN_PATH PathArg p = {0};

	if (task_take_expected(call))
		return CALL_CONTINUE;
	int r = patharg_get(call, AT_FDCWD, call->args[0], false, &p);
	return r < 0 ? r : do_chdir(call, patharg_at(&p), p.path, 0);
}

/* The descriptor is a real directory of the host already; the view only decides whether it may be entered. */
int sys_fchdir(Call *call)
{
	CLEAN_LOC CowLoc dir = {0};
	struct statx raw;
	int r = ARG_FD(call, 0) < 0 ? -EBADF : guest_fd_loc(call, ARG_FD(call, 0), &dir, &raw);

	if (r == -EXDEV)
		return -ENOTDIR;
	if (r < 0)
		return r;
	if (!S_ISDIR(raw.stx_mode))
		return -ENOTDIR;
	r = cowfs_access(call->sup->fs, &call->req, &dir, "", COW_EMPTY_PATH, X_OK);
	return r < 0 ? r : CALL_CONTINUE;
}

int sys_getcwd(Call *call)
{
	CLEAN_LOC CowLoc cwd = {0};
	char path[PATH_MAX];
	int r = guest_cwd_loc(call->sup, call->tid, &cwd);

	if (r < 0)
		return r == -EXDEV ? -ENOENT : r;
	ssize_t n = cowfs_virtual_path(call->sup->fs, &cwd, path, sizeof path);
	if (n < 0)
		return (int)(n == -ERANGE ? -ENAMETOOLONG : n);
	if ((uint64_t)n + 1 > call->args[1])
		return -ERANGE;
	r = mem_write(call, call->args[0], path, (size_t)n + 1);
	return r < 0 ? r : (int)n + 1;
}

/* ---- getdents ---- */

/* An open directory of the guest: our duplicate where the kernel allows it, else a descriptor of our own with the same position that
 * takes the guest's place afterwards. */
typedef struct OpenDir {
	int fd;
	bool replace;
	int flags;
	uint64_t pos;
} OpenDir;

static int opendir_any(Call *call, int guest_fd, OpenDir *d)
{
	char link[64];
	int flags;

	d->replace = false;
	d->fd = guest_fd_dup_fast(call, guest_fd);
	if (d->fd >= 0) {
		d->pos = (uint64_t)lseek(d->fd, 0, SEEK_CUR);
		return 0;
	}
	if (d->fd != -ENOSYS)
		return d->fd;
	int r = guest_fd_info(call, guest_fd, &d->pos, &flags);
	if (r < 0)
		return r;
	snprintf(link, sizeof link, "/proc/%d/fd/%d", call->tid, guest_fd);
	d->fd = open(link, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->fd < 0)
		return bv_neg_errno();
	d->replace = true;
	d->flags = flags;
	lseek(d->fd, (off_t)d->pos, SEEK_SET);
	return 0;
}

/* `raw` is what was looked at: another thread may have put another directory (of /proc, say) in its place. */
static int opendir_of(Call *call, int guest_fd, const struct statx *raw, OpenDir *d)
{
	struct stat st;
	int r = opendir_any(call, guest_fd, d);

	if (r < 0)
		return r;
	if (fstat(d->fd, &st) == 0 && st.st_ino == raw->stx_ino && st.st_dev == makedev(raw->stx_dev_major, raw->stx_dev_minor))
		return 0;
	close(d->fd);
	return -ENOENT;
}

static int opendir_done(Call *call, int guest_fd, OpenDir *d)
{
	int r = 0;

	if (d->replace)
		r = call_replace_fd(call, d->fd, guest_fd, d->flags & O_CLOEXEC);
	close(d->fd);
	return r;
}

/* How far the sandbox's own entries of a raw, changed directory were handed out. A small ring: an entry that fell out starts again. */
typedef struct UpperCursor {
	pid_t tgid;
	int fd;
	uint64_t dev, ino, cursor;
} UpperCursor;
static struct {
	pthread_mutex_t lock;
	UpperCursor ring[256];
	unsigned next;
} cursors = {.lock = PTHREAD_MUTEX_INITIALIZER};

static UpperCursor *cursor_locked(pid_t tgid, int fd, const struct statx *raw, bool create)
{
	uint64_t dev = makedev(raw->stx_dev_major, raw->stx_dev_minor);

	for (size_t i = 0; i < ARRAY_LEN(cursors.ring); i++) {
		UpperCursor *c = &cursors.ring[i];
		if (c->tgid == tgid && c->fd == fd && c->dev == dev && c->ino == raw->stx_ino)
			return c;
	}
	if (!create)
		return NULL;
	UpperCursor *c = &cursors.ring[cursors.next++ % ARRAY_LEN(cursors.ring)];
	*c = (UpperCursor){tgid, fd, dev, raw->stx_ino, 0};
	return c;
}

static uint64_t cursor_load(Call *call, int fd, const struct statx *raw)
{
	pthread_mutex_lock(&cursors.lock);
	UpperCursor *c = cursor_locked(caller_tgid(&call->caller), fd, raw, false);
	uint64_t v = c ? c->cursor : 0;
	pthread_mutex_unlock(&cursors.lock);
	return v;
}

static void cursor_store(Call *call, int fd, const struct statx *raw, uint64_t value)
{
	pthread_mutex_lock(&cursors.lock);
	UpperCursor *c = cursor_locked(caller_tgid(&call->caller), fd, raw, value != 0);
	if (c)
		c->cursor = value;
	pthread_mutex_unlock(&cursors.lock);
}

static ssize_t raw_changed_dents(Call *call, int guest_fd, const CowLoc *dir, const struct statx *raw, OpenDir *d, char *buf, size_t size)
{
	for (;;) {
		long n = syscall(SYS_getdents64, d->fd, buf, size);
		if (n < 0)
			return bv_neg_errno();
		if (n == 0)
			break;
		cursor_store(call, guest_fd, raw, 0);
		size_t kept = cowfs_filter_dents(call->sup->fs, dir, buf, (size_t)n);
		if (kept)
			return (ssize_t)kept;
	}
	uint64_t cursor = d->pos == 0 ? 0 : cursor_load(call, guest_fd, raw);
	ssize_t n = cowfs_upper_dents(call->sup->fs, dir, &cursor, buf, size);
	if (n > 0)
		cursor_store(call, guest_fd, raw, cursor);
	return n;
}

/* Is this descriptor the host's own directory, rather than one of our markers? */
static bool is_raw_lower(Call *call, int guest_fd)
{
	char link[48], host[PATH_MAX];
	size_t len = strlen(call->sup->mark_dir);

	snprintf(link, sizeof link, "%d/fd/%d", call->tid, guest_fd);
	ssize_t n = readlinkat(call->sup->proc_fd, link, host, sizeof host);
	return n > 0 && ((size_t)n < len || memcmp(host, call->sup->mark_dir, len) != 0);
}

static ssize_t list_dir(Call *call, int guest_fd, const CowLoc *dir, const struct statx *raw, char *buf, size_t size)
{
	OpenDir d;
	int r = opendir_of(call, guest_fd, raw, &d);

	if (r < 0)
		return r;
	ssize_t n;
	if (dir->kind != COW_FOREIGN && is_raw_lower(call, guest_fd)) {
		n = raw_changed_dents(call, guest_fd, dir, raw, &d, buf, size);
	} else {
		uint64_t pos = d.pos;
		n = cowfs_getdents(call->sup->fs, &call->req, dir, &pos, buf, size);
		if (n > 0 && lseek(d.fd, (off_t)pos, SEEK_SET) < 0)
			n = bv_neg_errno();
	}
	r = opendir_done(call, guest_fd, &d);
	return r < 0 ? r : n;
}

/* May the kernel list the descriptor by itself? Not if it might be another one by then, one in which it would show all of the host. */
static bool may_continue(const Call *call)
{
	return !(atomic_load(&call->sup->files_shared) && foreign_was_opened(call->sup->foreign));
}

/* What the kernel lists in a clean host directory, through our duplicate. */
static ssize_t kernel_dents(Call *call, int guest_fd, const struct statx *raw, char *buf, size_t size)
{
	OpenDir d;
	int r = opendir_of(call, guest_fd, raw, &d);

	if (r < 0)
		return r;
	ssize_t n = syscall(SYS_getdents64, d.fd, buf, size);
	if (n < 0)
		n = bv_neg_errno();
	r = opendir_done(call, guest_fd, &d);
	return r < 0 ? r : n;
}

/* linux_dirent of getdents(2): the type is the byte behind the name. Same record length or shorter, converted in place. */
static size_t to_old_dents(char *buf, size_t len)
{
	struct old {
		unsigned long d_ino, d_off;
		unsigned short d_reclen;
		char d_name[];
	};

	for (size_t at = 0; at < len;) {
		struct dirent64 e;
		memcpy(&e, buf + at, offsetof(struct dirent64, d_name));
		unsigned char type = e.d_type;
		char *name = buf + at + offsetof(struct dirent64, d_name);
		struct old o = {.d_ino = e.d_ino, .d_off = (unsigned long)e.d_off, .d_reclen = e.d_reclen};
		memmove(buf + at + offsetof(struct old, d_name), name, strlen(name) + 1);
		memcpy(buf + at, &o, offsetof(struct old, d_name));
		buf[at + e.d_reclen - 1] = (char)type;
		at += e.d_reclen;
	}
	return len;
}

static int do_getdents(Call *call, bool old)
{
	CLEAN_LOC CowLoc dir = {0};
	CLEAN_FREE char *buf = NULL;
	struct statx raw;
	int fd = ARG_FD(call, 0);
	size_t size = MIN((size_t)(unsigned)call->args[2], (size_t)MAX_DENTS);
	int r = fd < 0 ? -EBADF : guest_fd_loc(call, fd, &dir, &raw);

	if (r == -EBADF)
		return r;
	if (r == -ENOENT && S_ISDIR(raw.stx_mode))
		return -ENOENT; /* removed meanwhile, and forgotten */
	if (r < 0 || !S_ISDIR(raw.stx_mode)) {
		r = guest_fd_usable(call, fd);
		return r < 0 ? r : -ENOTDIR;
	}
	bool clean = dir.kind == COW_LOWER && cowfs_dir_is_clean(call->sup->fs, &dir);
	if (clean && may_continue(call))
		return CALL_CONTINUE;
	r = clean ? 0 : guest_fd_usable(call, fd); /* else the kernel looks at it */
	if (r < 0)
		return r;
	if (cowfs_is_removed(call->sup->fs, &dir))
		return -ENOENT; /* iterate_dir() of the kernel */
	buf = malloc(size + 1);
	if (!buf)
		return -ENOMEM;
	ssize_t n = clean ? kernel_dents(call, fd, &raw, buf, size) : list_dir(call, fd, &dir, &raw, buf, size);
	if (n <= 0)
		return (int)n;
	if (old)
		n = (ssize_t)to_old_dents(buf, (size_t)n);
	r = mem_write(call, call->args[1], buf, (size_t)n);
	return r < 0 ? r : (int)n;
}

int sys_getdents(Call *call)
{
	return do_getdents(call, true);
}

int sys_getdents64(Call *call)
{
	return do_getdents(call, false);
}
