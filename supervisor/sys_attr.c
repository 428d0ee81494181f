/* sys_attr.c - chmod, chown, utime*, truncate and their variants, file_getattr/setattr. Sources: the man pages, fs/open.c, fs/utimes.c. */
#include "supervisor/handlers.h"
#include "supervisor/sysargs.h"

#include <sys/time.h>

static int set_at(Call *call, int fd, uint64_t path, int at_flags, const CowAttr *attr)
{
	CLEAN_PATH PathArg p = {0};
	int r = patharg_get(call, fd, path, at_flags & AT_EMPTY_PATH, &p);

	if (r < 0)
		return r == -EXDEV ? -EPERM : r;
	return cowfs_setattr(call->sup->fs, &call->req, patharg_at(&p), p.path, walk_flags(at_flags), attr);
}

/* fchmod, fchown and futimens on a descriptor. Those that are no object of the view (pipe, memfd, socket) are done on our own
 * duplicate, where the kernel checks. */
static int set_fd(Call *call, int fd, const CowAttr *attr, int (*native)(int fd, const CowAttr *attr))
{
	CLEAN_LOC CowLoc loc = {0};
	int r = fd < 0 ? -EBADF : guest_fd_loc(call, fd, &loc, NULL);

	if (r == -EXDEV) {
		CLEAN_FD int dup = guest_fd_dup(call, fd);
		return dup < 0 ? dup : native(dup, attr) < 0 ? bv_neg_errno() : 0;
	}
	if (r == 0)
		r = guest_fd_usable(call, fd);
	if (r < 0)
		return r;
	return cowfs_setattr(call->sup->fs, &call->req, &loc, "", COW_EMPTY_PATH, attr);
}

static int native_chmod(int fd, const CowAttr *a)
{
	return fchmod(fd, a->mode);
}

static int native_chown(int fd, const CowAttr *a)
{
	return fchown(fd, (a->set & COW_SET_UID) ? a->uid : (uid_t)-1, (a->set & COW_SET_GID) ? a->gid : (gid_t)-1);
}

static int native_times(int fd, const CowAttr *a)
{
	struct timespec t[2] = {a->atime, a->mtime};

	if (!(a->set & COW_SET_ATIME))
		t[0].tv_nsec = UTIME_OMIT;
	if (!(a->set & COW_SET_MTIME))
		t[1].tv_nsec = UTIME_OMIT;
	return futimens(fd, t);
}

static CowAttr mode_attr(uint64_t mode)
{
	return (CowAttr){.set = COW_SET_MODE, .mode = (mode_t)mode & 07777};
}

int sys_chmod(Call *call)
{
	CowAttr a = mode_attr(call->args[1]);

	return set_at(call, AT_FDCWD, call->args[0], 0, &a);
}

int sys_fchmod(Call *call)
{
	CowAttr a = mode_attr(call->args[1]);

	return set_fd(call, ARG_FD(call, 0), &a, native_chmod);
}

int sys_fchmodat(Call *call)
{
	CowAttr a = mode_attr(call->args[2]);

	return set_at(call, ARG_FD(call, 0), call->args[1], 0, &a);
}

int sys_fchmodat2(Call *call)
{
	CowAttr a = mode_attr(call->args[2]);
	int flags = ARG_INT(call, 3);

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return set_at(call, ARG_FD(call, 0), call->args[1], flags, &a);
}

static CowAttr owner_attr(uint64_t uid, uint64_t gid)
{
	CowAttr a = {.set = COW_CHOWN, .uid = (uid_t)uid, .gid = (gid_t)gid};

	if (a.uid != (uid_t)-1)
		a.set |= COW_SET_UID;
	if (a.gid != (gid_t)-1)
		a.set |= COW_SET_GID;
	return a;
}

int sys_chown(Call *call)
{
	CowAttr a = owner_attr(call->args[1], call->args[2]);

	return set_at(call, AT_FDCWD, call->args[0], 0, &a);
}

int sys_lchown(Call *call)
{
	CowAttr a = owner_attr(call->args[1], call->args[2]);

	return set_at(call, AT_FDCWD, call->args[0], AT_SYMLINK_NOFOLLOW, &a);
}

int sys_fchown(Call *call)
{
	CowAttr a = owner_attr(call->args[1], call->args[2]);

	return set_fd(call, ARG_FD(call, 0), &a, native_chown);
}

int sys_fchownat(Call *call)
{
	CowAttr a = owner_attr(call->args[2], call->args[3]);
	int flags = ARG_INT(call, 4);

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return set_at(call, ARG_FD(call, 0), call->args[1], flags, &a);
}

static CowAttr now_attr(void)
{
	return (CowAttr){.set = COW_SET_ATIME | COW_SET_MTIME | COW_TIMES_NOW_OK, .atime = {.tv_nsec = UTIME_NOW}, .mtime = {.tv_nsec = UTIME_NOW}};
}

static bool bad_nsec(const struct timespec *t)
{
	return t->tv_nsec != UTIME_NOW && t->tv_nsec != UTIME_OMIT && (t->tv_nsec < 0 || t->tv_nsec > 999999999);
}

static int times_attr(const struct timespec t[2], CowAttr *a)
{
	if (bad_nsec(&t[0]) || bad_nsec(&t[1]))
		return -EINVAL;
	if (t[0].tv_nsec == UTIME_NOW && t[1].tv_nsec == UTIME_NOW) {
		*a = now_attr();
		return 0;
	}
	*a = (CowAttr){.atime = t[0], .mtime = t[1]};
	if (t[0].tv_nsec != UTIME_OMIT)
		a->set |= COW_SET_ATIME;
	if (t[1].tv_nsec != UTIME_OMIT)
		a->set |= COW_SET_MTIME;
	return 0;
}

/* Impossible times are told only after the lookup (vfs_utimes). */
static int lookup_then(Call *call, int fd, uint64_t path, int at_flags, int error)
{
	CLEAN_PATH PathArg p = {0};
	CLEAN_LOC CowLoc loc = {0};
	int r = patharg_get(call, fd, path, at_flags & AT_EMPTY_PATH, &p);

	if (r == 0)
		r = cowfs_resolve(call->sup->fs, &call->req, patharg_at(&p), p.path, walk_flags(at_flags), 0, &loc);
	return r < 0 && r != -EXDEV ? r : error;
}

int sys_utimensat(Call *call)
{
	struct timespec t[2];
	CowAttr a = now_attr();
	int flags = ARG_INT(call, 3), r, bad = 0;

	if (call->args[2]) {
		r = mem_read(call, call->args[2], t, sizeof t);
		if (r < 0)
			return r;
		if (t[0].tv_nsec == UTIME_OMIT && t[1].tv_nsec == UTIME_OMIT)
			return 0; /* before any look at the path: do_utimes */
		bad = times_attr(t, &a);
	}
	if (call->args[1] == 0 && ARG_FD(call, 0) != AT_FDCWD)
		return flags || bad ? -EINVAL : set_fd(call, ARG_FD(call, 0), &a, native_times);
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (bad)
		return lookup_then(call, ARG_FD(call, 0), call->args[1], flags, bad);
	return set_at(call, ARG_FD(call, 0), call->args[1], flags, &a);
}

static int timeval_attr(Call *call, uint64_t addr, CowAttr *a)
{
	struct timeval tv[2];

	*a = now_attr();
	if (addr == 0)
		return 0;
	int r = mem_read(call, addr, tv, sizeof tv);
	if (r < 0)
		return r;
	if (tv[0].tv_usec < 0 || tv[0].tv_usec >= 1000000 || tv[1].tv_usec < 0 || tv[1].tv_usec >= 1000000)
		return -EINVAL;
	*a = (CowAttr){.set = COW_SET_ATIME | COW_SET_MTIME,
		       .atime = {tv[0].tv_sec, tv[0].tv_usec * 1000},
		       .mtime = {tv[1].tv_sec, tv[1].tv_usec * 1000}};
	return 0;
}

int sys_utimes(Call *call)
{
	CowAttr a;
	int r = timeval_attr(call, call->args[1], &a);

	return r < 0 ? r : set_at(call, AT_FDCWD, call->args[0], 0, &a);
}

int sys_futimesat(Call *call)
{
	CowAttr a;
	int r = timeval_attr(call, call->args[2], &a);

	if (r == 0 && call->args[1] == 0 && ARG_FD(call, 0) != AT_FDCWD)
		return set_fd(call, ARG_FD(call, 0), &a, native_times);
	return r < 0 ? r : set_at(call, ARG_FD(call, 0), call->args[1], 0, &a);
}

int sys_utime(Call *call)
{
	int64_t t[2];
	CowAttr a = now_attr();

	if (call->args[1]) {
		int r = mem_read(call, call->args[1], t, sizeof t);
		if (r < 0)
			return r;
		a = (CowAttr){.set = COW_SET_ATIME | COW_SET_MTIME, .atime = {t[0], 0}, .mtime = {t[1], 0}};
	}
	return set_at(call, AT_FDCWD, call->args[0], 0, &a);
}

int sys_truncate(Call *call)
{
	CLEAN_PATH PathArg p = {0};

	if ((int64_t)call->args[1] < 0)
		return -EINVAL;
	int r = patharg_get(call, AT_FDCWD, call->args[0], false, &p);
	return r < 0 ? r : cowfs_truncate(call->sup->fs, &call->req, patharg_at(&p), p.path, call->args[1]);
}

/* Inode flags (chattr) are not kept: the walk's errors first, as on a file system without them. */
int sys_file_attr(Call *call)
{
	CLEAN_PATH PathArg p = {0};
	CLEAN_LOC CowLoc loc = {0};
	int flags = ARG_INT(call, 4);

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (call->args[3] > 4096) /* a page: more than any future struct file_attr */
		return -E2BIG;
	if (call->args[3] < 24) /* its first version */
		return -EINVAL;
	int r = patharg_get(call, ARG_FD(call, 0), call->args[1], flags & AT_EMPTY_PATH, &p);
	if (r == 0)
		r = cowfs_resolve(call->sup->fs, &call->req, patharg_at(&p), p.path, walk_flags(flags), 0, &loc);
	return r < 0 ? (r == -EXDEV ? -EOPNOTSUPP : r) : -EOPNOTSUPP;
}
