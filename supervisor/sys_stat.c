/* sys_stat.c - stat, lstat, fstat, newfstatat, statx, access*, readlink*, statfs*. Sources: stat(2), statx(2), access(2), readlink(2), fs/stat.c. */
#include "supervisor/handlers.h"
#include "supervisor/sysargs.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#define STAT_MASK (STATX_BASIC_STATS | STATX_MNT_ID)

static void stat_from_statx(const struct statx *x, struct stat *st)
{
	memset(st, 0, sizeof *st);
	st->st_dev = makedev(x->stx_dev_major, x->stx_dev_minor);
	st->st_ino = x->stx_ino;
	st->st_mode = x->stx_mode;
	st->st_nlink = x->stx_nlink;
	st->st_uid = x->stx_uid;
	st->st_gid = x->stx_gid;
	st->st_rdev = makedev(x->stx_rdev_major, x->stx_rdev_minor);
	st->st_size = (off_t)x->stx_size;
	st->st_blksize = (blksize_t)x->stx_blksize;
	st->st_blocks = (blkcnt_t)x->stx_blocks;
	st->st_atim = (struct timespec){x->stx_atime.tv_sec, x->stx_atime.tv_nsec};
	st->st_mtim = (struct timespec){x->stx_mtime.tv_sec, x->stx_mtime.tv_nsec};
	st->st_ctim = (struct timespec){x->stx_ctime.tv_sec, x->stx_ctime.tv_nsec};
}

static int write_stat(Call *call, uint64_t addr, const struct statx *x)
{
	struct stat st;

	stat_from_statx(x, &st);
	return mem_write(call, addr, &st, sizeof st);
}

static int fd_statx(Call *call, int fd, unsigned mask, struct statx *x)
{
	int r = guest_fd_statx(call, fd, mask, x);

	if (r == 0)
		cowfs_translate_statx(call->sup->fs, x);
	return r;
}

static int at_statx(Call *call, int fd, uint64_t path, int at_flags, unsigned mask, struct statx *x)
{
	CLEAN_PATH PathArg p = {0};

	if ((at_flags & AT_EMPTY_PATH) && path == 0 && call->sup->features.null_path)
		return fd_statx(call, fd, mask, x);
	int r = mem_read_path(call, path, p.path);
	if (r < 0)
		return r;
	if (p.path[0] == 0)
		return at_flags & AT_EMPTY_PATH ? fd_statx(call, fd, mask, x) : -ENOENT;
	r = guest_at(call, fd, p.path, false, &p.at);
	if (r < 0)
		return r;
	return cowfs_statx(call->sup->fs, &call->req, patharg_at(&p), p.path, walk_flags(at_flags), mask, x);
}

static int do_stat(Call *call, int fd, uint64_t path, uint64_t buf, int at_flags)
{
	struct statx x;

	if (at_flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH))
		return -EINVAL;
	int r = at_statx(call, fd, path, at_flags, STATX_BASIC_STATS, &x);
	return r < 0 ? r : write_stat(call, buf, &x);
}

int sys_stat(Call *call)
{
	return do_stat(call, AT_FDCWD, call->args[0], call->args[1], 0);
}

int sys_lstat(Call *call)
{
	return do_stat(call, AT_FDCWD, call->args[0], call->args[1], AT_SYMLINK_NOFOLLOW);
}

int sys_newfstatat(Call *call)
{
	return do_stat(call, ARG_FD(call, 0), call->args[1], call->args[2], ARG_INT(call, 3));
}

int sys_fstat(Call *call)
{
	struct statx x;
	int fd = ARG_FD(call, 0);
	int r = fd < 0 ? -EBADF : fd_statx(call, fd, STATX_BASIC_STATS, &x);

	return r < 0 ? r : write_stat(call, call->args[1], &x);
}

int sys_statx(Call *call)
{
	struct statx x;
	int flags = ARG_INT(call, 2);
	unsigned mask = (unsigned)call->args[3];

	if (mask & STATX__RESERVED)
		return -EINVAL;
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE))
		return -EINVAL;
	if ((flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE)
		return -EINVAL;
	int r = at_statx(call, ARG_FD(call, 0), call->args[1], flags, mask | STAT_MASK, &x);
	return r < 0 ? r : mem_write(call, call->args[4], &x, sizeof x);
}

static int do_access(Call *call, int fd, uint64_t path, int mode, int at_flags)
{
	CLEAN_PATH PathArg p = {0};
	struct statx x;

	if (mode & ~(R_OK | W_OK | X_OK))
		return -EINVAL;
	if (at_flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	int r = patharg_get(call, fd, path, at_flags & AT_EMPTY_PATH, &p);
	if (r == -EXDEV) /* a pipe, socket or memfd: its own mode bits, and it is ours */
		return guest_fd_statx(call, fd, STATX_MODE, &x) < 0 ? -EBADF : (mode & X_OK) && !(x.stx_mode & 0111) ? -EACCES : 0;
	if (r < 0)
		return r;
	return cowfs_access(call->sup->fs, &call->req, patharg_at(&p), p.path, walk_flags(at_flags), mode);
}

int sys_access(Call *call)
{
	return do_access(call, AT_FDCWD, call->args[0], ARG_INT(call, 1), 0);
}

int sys_faccessat(Call *call)
{
	return do_access(call, ARG_FD(call, 0), call->args[1], ARG_INT(call, 2), 0);
}

int sys_faccessat2(Call *call)
{
	return do_access(call, ARG_FD(call, 0), call->args[1], ARG_INT(call, 2), ARG_INT(call, 3));
}

static int do_readlink(Call *call, int fd, uint64_t path, uint64_t buf, int size)
{
	CLEAN_PATH PathArg p = {0};
	char text[PATH_MAX];

	if (size <= 0)
		return -EINVAL;
	/* An empty path means the descriptor itself, without any flag (since 2.6.39). */
	int r = mem_read_path(call, path, p.path);
	if (r == 0 && p.path[0] == 0 && fd == AT_FDCWD)
		r = -ENOENT;
	if (r == 0)
		r = guest_at(call, fd, p.path, true, &p.at);
	if (r < 0)
		return r == -EXDEV ? -ENOENT : r;
	ssize_t n = cowfs_readlink(call->sup->fs, &call->req, patharg_at(&p), p.path, p.path[0] ? 0 : COW_EMPTY_PATH, text,
				   MIN((size_t)size, sizeof text));
	if (n < 0)
		return p.path[0] == 0 && n == -EINVAL ? -ENOENT : (int)n;
	r = mem_write(call, buf, text, (size_t)n);
	return r < 0 ? r : (int)n;
}

int sys_readlink(Call *call)
{
	return do_readlink(call, AT_FDCWD, call->args[0], call->args[1], ARG_INT(call, 2));
}

int sys_readlinkat(Call *call)
{
	return do_readlink(call, ARG_FD(call, 0), call->args[1], call->args[2], ARG_INT(call, 3));
}

int sys_statfs(Call *call)
{
	CLEAN_PATH PathArg p = {0};
	struct statfs sf;
	int r = patharg_get(call, AT_FDCWD, call->args[0], false, &p);

	if (r == 0)
		r = cowfs_statfs(call->sup->fs, &call->req, patharg_at(&p), p.path, 0, &sf);
	return r < 0 ? r : mem_write(call, call->args[1], &sf, sizeof sf);
}

int sys_fstatfs(Call *call)
{
	CLEAN_LOC CowLoc loc = {0};
	struct statfs sf;
	char link[64];
	int fd = ARG_FD(call, 0);
	int r = fd < 0 ? -EBADF : guest_fd_loc(call, fd, &loc, NULL);

	if (r == 0) {
		r = cowfs_statfs(call->sup->fs, &call->req, &loc, "", COW_EMPTY_PATH, &sf);
	} else if (r != -EBADF) { /* pipe, socket, memfd, or an object without a name */
		snprintf(link, sizeof link, "/proc/%d/fd/%d", call->tid, fd);
		r = statfs(link, &sf) < 0 ? bv_neg_errno() : 0;
	}
	return r < 0 ? r : mem_write(call, call->args[1], &sf, sizeof sf);
}
