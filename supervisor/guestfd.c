/* guestfd.c - from a guest's descriptor or cwd to an object of the view. The kernel's open file is asked each time: there is no table of
 * descriptors that could go stale. */
#include "supervisor/call.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

static void fd_link(char *buf, size_t size, pid_t tid, int fd)
{
	if (fd == AT_FDCWD)
		snprintf(buf, size, "%d/cwd", tid);
	else
		snprintf(buf, size, "%d/fd/%d", tid, fd);
}

static int raw_statx(Supervisor *sup, pid_t tid, int fd, unsigned mask, struct statx *out)
{
	char link[48];

	if (fd < 0 && fd != AT_FDCWD)
		return -EBADF;
	fd_link(link, sizeof link, tid, fd);
	if (statx(sup->proc_fd, link, 0, mask, out) == 0)
		return 0;
	return errno == ENOENT && fd != AT_FDCWD ? -EBADF : bv_neg_errno();
}

int guest_fd_statx(Call *call, int fd, unsigned mask, struct statx *out)
{
	return raw_statx(call->sup, call->tid, fd, mask, out);
}

static int loc_of(Supervisor *sup, pid_t tid, int fd, CowLoc *out, struct statx *raw)
{
	char link[48], host[PATH_MAX];
	struct statx st;
	CowReq req = {.cred = &sup->cred};
	SupCaller caller = {.tid = tid, .sup = sup};
	int r = raw_statx(sup, tid, fd, STATX_BASIC_STATS, &st);

	if (r < 0)
		return r;
	if (raw)
		*raw = st;
	dev_t dev = makedev(st.stx_dev_major, st.stx_dev_minor);
	r = cowfs_by_identity(sup->fs, dev, st.stx_ino, out);
	if (r != -ESTALE)
		return r;
	fd_link(link, sizeof link, tid, fd);
	ssize_t n = readlinkat(sup->proc_fd, link, host, sizeof host - 1);
	if (n < 0)
		return bv_neg_errno();
	host[n] = 0;
	if (host[0] != '/' || strncmp(host, "/memfd:", 7) == 0)
		return -EXDEV;
	req.caller = &caller;
	return cowfs_by_host_path(sup->fs, &req, host, dev, st.stx_ino, out);
}

int guest_fd_loc(Call *call, int fd, CowLoc *out, struct statx *raw)
{
	return loc_of(call->sup, call->tid, fd, out, raw);
}

int guest_cwd_loc(Supervisor *sup, pid_t tid, CowLoc *out)
{
	return loc_of(sup, tid, AT_FDCWD, out, NULL);
}

/* The object behind `path` below `dirfd`, a directory of /proc. */
static bool is_object_at(Supervisor *sup, int dirfd, const char *path, const CowLoc *loc)
{
	CLEAN_LOC CowLoc found = {0};
	struct stat st;

	return fstatat(dirfd, path, &st, *path ? 0 : AT_EMPTY_PATH) == 0 && S_ISDIR(st.st_mode) &&
	       cowfs_by_identity(sup->fs, st.st_dev, st.st_ino, &found) == 0 && found.kind == COW_NODE && found.node == loc->node;
}

bool guest_is_object(Supervisor *sup, int fd, const CowLoc *loc)
{
	return is_object_at(sup, fd, "", loc);
}

int guest_held_dir(Call *call, const CowLoc *dir, char link[48])
{
	snprintf(link, 48, "%d/cwd", call->tid);
	if (is_object_at(call->sup, call->sup->proc_fd, link, dir))
		return 0;
	snprintf(link, 48, "%d/fd", call->tid);
	int fds = openat(call->sup->proc_fd, link, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fds < 0 ? NULL : fdopendir(fds);
	int r = -ENOENT;

	for (struct dirent *e; r < 0 && stream && (e = readdir(stream));)
		if (e->d_name[0] != '.' && is_object_at(call->sup, fds, e->d_name, dir)) {
			snprintf(link, 48, "%d/fd/%.10s", call->tid, e->d_name);
			r = 0;
		}
	if (stream)
		closedir(stream);
	else
		bv_close_fd(&fds);
	return r;
}

int guest_at(Call *call, int fd, const char *path, bool empty_ok, CowLoc *out)
{
	struct statx raw;

	*out = (CowLoc){0};
	if (path[0] == '/')
		return 0;
	int r = loc_of(call->sup, call->tid, fd, out, &raw);
	if (r == -EXDEV)
		return path[0] == 0 && empty_ok ? -EXDEV : -ENOTDIR;
	if (r < 0)
		return r;
	if (path[0] != 0 && !S_ISDIR(raw.stx_mode)) {
		cowloc_release(out);
		*out = (CowLoc){0};
		return -ENOTDIR;
	}
	return 0;
}

int guest_fd_dup_fast(Call *call, int fd)
{
	if (!call->sup->features.pidfd_getfd)
		return -ENOSYS;
	/* The thread itself: it may have a table of its own, and its leader may have ended. Before 6.9 only the leader can be named. */
	CLEAN_FD int pidfd = (int)syscall(SYS_pidfd_open, call->tid, PIDFD_THREAD);
	if (pidfd < 0 && errno == EINVAL)
		pidfd = (int)syscall(SYS_pidfd_open, caller_tgid(&call->caller), 0);
	if (pidfd < 0)
		return -ENOSYS;
	int dup = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	if (dup < 0)
		return errno == EBADF ? -EBADF : -ENOSYS;
	return dup;
}

int guest_fd_dup(Call *call, int fd)
{
	int dup = guest_fd_dup_fast(call, fd);
	struct statx st;

	if (dup != -ENOSYS)
		return dup;
	int r = raw_statx(call->sup, call->tid, fd, STATX_TYPE, &st);
	return r < 0 ? r : call_take_fd(call, fd);
}

int guest_fd_usable(Call *call, int fd)
{
	char link[48];
	struct stat st;
	uint64_t pos;
	int flags;

	if (fd < 0)
		return -EBADF;
	fd_link(link, sizeof link, call->tid, fd);
	if (fstatat(call->sup->proc_fd, link, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? -EBADF : bv_neg_errno();
	if (st.st_mode & (S_IRUSR | S_IWUSR)) /* proc(5): what the descriptor may do; an O_PATH one may do neither */
		return 0;
	int r = guest_fd_info(call, fd, &pos, &flags);
	return r < 0 || (flags & O_PATH) ? -EBADF : 0;
}

/* Numbers below `limit` that are in use; above it there are some where the limit was lowered. */
static rlim_t used_below(const Call *call, rlim_t limit)
{
	char path[48];
	rlim_t used = 0;

	snprintf(path, sizeof path, "%d/fd", call->tid);
	int fds = openat(call->sup->proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fds < 0 ? NULL : fdopendir(fds);
	for (struct dirent *e; stream && (e = readdir(stream));)
		used += e->d_name[0] != '.' && strtoull(e->d_name, NULL, 10) < limit;
	if (stream)
		closedir(stream);
	else
		bv_close_fd(&fds);
	return used;
}

int guest_fd_free(Call *call)
{
	char link[48];
	struct stat st;
	struct rlimit own;

	if (prlimit(call->tid, RLIMIT_NOFILE, NULL, &own) < 0 || own.rlim_cur > INT_MAX)
		return 0;
	if (own.rlim_cur == 0)
		return -EMFILE;
	fd_link(link, sizeof link, call->tid, (int)(own.rlim_cur - 1));
	if (fstatat(call->sup->proc_fd, link, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	rlim_t used = used_below(call, own.rlim_cur) - (call->held != NULL); /* its channel (call_take_fd) is gone when the call ends */
	return used < own.rlim_cur ? 0 : -EMFILE;
}

int guest_fd_info(Call *call, int fd, uint64_t *pos, int *flags)
{
	char path[48];
	CLEAN_FREE char *text = NULL;

	snprintf(path, sizeof path, "%d/fdinfo/%d", call->tid, fd);
	ssize_t n = bv_read_file_at(call->sup->proc_fd, path, 65536, &text);
	if (n < 0)
		return n == -ENOENT ? -EBADF : (int)n;
	char *p = strstr(text, "pos:"), *f = strstr(text, "flags:");
	if (!p || !f)
		return -EIO;
	*pos = strtoull(p + 4, NULL, 10);
	*flags = (int)strtol(f + 6, NULL, 8);
	return 0;
}
