/* supervisor/procfs_link.c - the links of /proc/<pid>: cwd, root, exe, fd/N, ns/NAME.
 *
 * On Linux they jump past every path check, so none is ever followed by the host for a guest: each leads to the view's object (root to
 * the view's root). What a descriptor refers to may have no place in the view: a pipe, a socket, an anonymous inode, a memory
 * file, a terminal, a file that was given as stdin. follow() then answers with a COW_FOREIGN object whose path is the link's with a
 * trailing slash: no walk makes such a path, so it can only come from here. Opening it reopens that very object (procfs_open_target). */
#include "supervisor/procfs_internal.h"

#include <fcntl.h>
#include <sys/vfs.h>

#define PIPEFS_MAGIC 0x50495045

static int target_loc(const Foreign *f, const char *path, CowLoc *out)
{
	size_t len = strlen(path);
	char *with_slash = malloc(len + 2);

	if (!with_slash)
		return -ENOMEM;
	memcpy(with_slash, path, len);
	memcpy(with_slash + len, "/", 2);
	*out = (CowLoc){ .kind = COW_FOREIGN, .foreign = f->fs[FOREIGN_PROC], .path = with_slash };
	return 0;
}

static int fd_number(const ProcPath *at)
{
	long n = strtol(at->name, NULL, 10);

	return n <= INT_MAX ? (int)n : -1;
}

static int fd_loc(const Foreign *f, const ProcPath *at, const struct stat *st, CowLoc *out)
{
	if (foreign_is_given(f, st))
		return -ENOENT;
	return f->env.loc_of_fd(f->env.sup, at->tid, fd_number(at), out);
}

static int follow_fd(const Foreign *f, const ProcPath *at, const char *path, CowLoc *out)
{
	struct stat st;

	if (fstatat(at->dirfd, at->rel, &st, 0) < 0)
		return errno == ESRCH ? -ENOENT : bv_neg_errno();
	if (fd_loc(f, at, &st, out) == 0)
		return 0;
	/* A directory outside the view would be a way out; nothing else leads further. */
	return S_ISDIR(st.st_mode) ? -ENOENT : target_loc(f, path, out);
}

static int follow_exe(const Foreign *f, const CowReq *req, const ProcPath *at, CowLoc *out)
{
	char text[PATH_MAX];
	struct stat st;

	if (fstatat(at->dirfd, at->rel, &st, 0) < 0)
		return errno == ESRCH ? -ENOENT : bv_neg_errno();
	int r = cowfs_by_identity(f->env.fs, st.st_dev, st.st_ino, out);
	if (r == -ESTALE && foreign_readlinkat(at->dirfd, at->rel, text, sizeof(text)) > 0)
		r = cowfs_by_host_path(f->env.fs, req, text, st.st_dev, st.st_ino, out);
	if (r < 0 && f->env.exe_of(f->env.sup, at->ref->tgid, text, sizeof(text)) == 0)
		r = cowfs_resolve(f->env.fs, req, NULL, text, 0, 0, out);
	return r < 0 ? -ENOENT : 0;
}

int procfs_follow(void *ctx, const CowReq *req, const char *path, CowLoc *out)
{
	Foreign *f = ctx;
	ProcPath at;
	int r = procfs_parse(f, req, path, &at);

	if (r < 0)
		return r;
	switch (at.target ? PROC_RAW : at.row->kind) {
	case PROC_ROOT:
		r = cowfs_resolve(f->env.fs, req, NULL, "/", 0, 0, out);
		break;
	case PROC_CWD:
		r = f->env.loc_of_cwd(f->env.sup, at.tid, out);
		break;
	case PROC_EXE:
		r = follow_exe(f, req, &at, out);
		break;
	case PROC_FD:
		r = follow_fd(f, &at, path, out);
		break;
	case PROC_NS:
		r = target_loc(f, path, out);
		break;
	default:
		r = -EINVAL;
	}
	procfs_release_path(f, &at);
	return r;
}

/* ---- reading ---- */

/* The virtual path of the object, if it has one. NAMELESS: it is the view's, but never had a name. */
#define NAMELESS (-ESTALE)
static int virtual_path(const Foreign *f, const ProcPath *at, char *text, size_t size)
{
	CLEAN_LOC CowLoc loc = { .kind = COW_NONE };
	struct stat st;
	int r = -ENOENT;

	switch (at->row->kind) {
	case PROC_EXE:
		return f->env.exe_of(f->env.sup, at->ref->tgid, text, size);
	case PROC_CWD:
		r = f->env.loc_of_cwd(f->env.sup, at->tid, &loc);
		break;
	case PROC_FD:
		if (fstatat(at->dirfd, at->rel, &st, 0) == 0)
			r = fd_loc(f, at, &st, &loc);
		break;
	default:
		break;
	}
	if (r < 0)
		return r == NAMELESS ? -ENOENT : r; /* no object of the view at all */
	ssize_t n = cowfs_virtual_path(f->env.fs, &loc, text, size - 1);
	if (n == -ENOENT) {
		n = cowfs_removed_path(f->env.fs, &loc, text, size - strlen(DELETED) - 1);
		if (n < 0)
			return NAMELESS;
		memcpy(text + n, DELETED, strlen(DELETED));
		n += (ssize_t)strlen(DELETED);
	}
	if (n < 0)
		return (int)n;
	text[n] = 0;
	return 0;
}

static ssize_t read_jump(const Foreign *f, const ProcPath *at, char *buf, size_t size)
{
	char host[PATH_MAX + 16], text[PATH_MAX + 32];
	ssize_t n = foreign_readlinkat(at->dirfd, at->rel, host, sizeof(host));

	if (n < 0)
		return n;
	if (at->row->kind == PROC_ROOT)
		return foreign_cut("/", buf, size);
	/* A text without a slash ("pipe:[1]", "socket:[1]", "net:[1]") is no path and names no object of the view. */
	int r = host[0] == '/' ? virtual_path(f, at, text, sizeof(text)) : -EINVAL;
	if (r == NAMELESS)
		snprintf(text, sizeof(text), "(unreachable) (deleted)");
	else if (r < 0)
		foreign_guest_text(f, host, text, sizeof(text));
	return foreign_cut(text, buf, size);
}

ssize_t procfs_readlink(void *ctx, const CowReq *req, const char *path, char *buf, size_t size)
{
	Foreign *f = ctx;
	SupCaller *caller = foreign_caller(req);
	char text[64];
	ProcPath at;
	ssize_t r = procfs_parse(f, req, path, &at);

	if (r < 0)
		return r;
	switch (at.target ? PROC_RAW : at.row->kind) {
	case PROC_SELF:
	case PROC_THREAD_SELF:
		if (!caller) {
			r = -ENOENT;
			break;
		}
		snprintf(text, sizeof(text), at.row->kind == PROC_SELF ? "%d" : "%d/task/%d", (int)caller_tgid(caller), (int)caller->tid);
		r = foreign_cut(text, buf, size);
		break;
	case PROC_LINK:
		r = foreign_cut(at.row->target, buf, size);
		break;
	case PROC_CWD:
	case PROC_ROOT:
	case PROC_EXE:
	case PROC_FD:
	case PROC_NS:
		r = read_jump(f, &at, buf, size);
		break;
	default:
		r = -EINVAL;
	}
	procfs_release_path(f, &at);
	return r;
}

/* ---- reopening ---- */

typedef struct Held {
	long flags;
	long long mnt_id, ino;
} Held;

static long long info_field(const char *text, const char *key, int base)
{
	const char *at = strstr(text, key);

	return at ? strtoll(at + strlen(key), NULL, base) : -1;
}

/* What fdinfo says of the descriptor: one read, so the three belong together. */
static int read_held(const ProcPath *at, Held *out)
{
	CLEAN_FREE char *text = NULL;
	char path[sizeof(at->rel) + 8];
	int prefix = (int)(at->name - at->rel) - (int)strlen("fd/");

	snprintf(path, sizeof(path), "%.*sfdinfo/%s", prefix, at->rel, at->name);
	ssize_t n = bv_read_file_at(at->dirfd, path, 1024 * 1024, &text);
	if (n < 0)
		return n == -ESRCH ? -ENOENT : (int)n;
	*out = (Held){ .flags = (long)info_field(text, "flags:", 8),
		       .mnt_id = info_field(text, "mnt_id:", 10),
		       .ino = info_field(text, "ino:", 10) };
	return out->flags < 0 ? -EACCES : 0;
}

static bool within(long held, int wanted)
{
	int have = (int)(held & O_ACCMODE), want = wanted & O_ACCMODE;

	return !(held & O_PATH) && (have == O_RDWR || have == want) && !((wanted & O_TRUNC) && have == O_RDONLY);
}

/* The guest may replace descriptor N at any moment. So the object is pinned first (`pin`), and what allows the access is a
 * descriptor of the guest on that same object (mount and inode), not whatever N was at another moment. */
static int check_access(const Foreign *f, const ProcPath *at, int pin, int flags)
{
	struct statx stx;
	struct stat st;
	Held held = { .flags = -1 };

	if (fstat(pin, &st) < 0 || statx(pin, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &stx) < 0)
		return bv_neg_errno();
	/* Both ends of a guest's own pipe are the guest's. */
	if (S_ISFIFO(st.st_mode) && !foreign_is_given(f, &st))
		return 0;
	int r = read_held(at, &held);
	if (r < 0)
		return r;
	bool same = held.ino == (long long)stx.stx_ino && (stx.stx_mask & STATX_MNT_ID) && held.mnt_id == (long long)stx.stx_mnt_id;
	return same && within(held.flags, flags) ? 0 : -EACCES;
}

/* Only a named FIFO waits for its peer. */
static bool would_wait(int pin, int flags)
{
	struct statfs fs;
	struct stat st;

	return !(flags & O_NONBLOCK) && fstat(pin, &st) == 0 && S_ISFIFO(st.st_mode) && fstatfs(pin, &fs) == 0 && fs.f_type != PIPEFS_MAGIC;
}

int procfs_open_target(Foreign *f, const ProcPath *at, int flags, int *fd)
{
	char own[40];

	if (at->row->kind != PROC_FD)
		return -EACCES;
	CLEAN_FD int pin = openat(at->dirfd, at->rel, O_PATH | O_CLOEXEC);
	if (pin < 0)
		return errno == ESRCH ? -ENOENT : bv_neg_errno();
	if (flags & O_PATH) {
		*fd = TAKE_FD(pin);
		return 0;
	}
	int r = check_access(f, at, pin, flags);
	if (r < 0)
		return r;
	if (!at->may_block && would_wait(pin, flags))
		return -EINPROGRESS;
	snprintf(own, sizeof(own), "self/fd/%d", pin); /* the supervisor's own descriptor: the pinned object */
	int opened = openat(f->proc_fd, own, (foreign_open_flags(flags) & ~O_NOFOLLOW) | (flags & O_TRUNC));
	if (opened < 0)
		return bv_neg_errno();
	*fd = opened;
	return 0;
}
