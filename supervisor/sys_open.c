/* sys_open.c - open, creat, openat, openat2, umask. Source: open(2), openat2(2), fs/open.c build_open_flags(). */
#include "supervisor/handlers.h"
#include "supervisor/sysargs.h"

#include <linux/openat2.h>

#define KNOWN_OPEN_FLAGS \
	(O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_DSYNC | O_SYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | \
	 O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH | O_TMPFILE | O_ASYNC | 0100000)
#define TMPFILE_BIT (O_TMPFILE & ~O_DIRECTORY)
#define KNOWN_RESOLVE \
	(RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | RESOLVE_IN_ROOT | RESOLVE_CACHED)

/* Only such a path can lead to where the guest is already; others are spared the second walk. */
static bool may_lead_back(const char *path)
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	return (n >= 1 && path[n - 1] == '.' && (n == 1 || path[n - 2] == '/' || path[n - 2] == '.')) || strncmp(path, "/proc/", 6) == 0 || strncmp(path, "/dev/fd/", 8) == 0;
}

/* A removed directory has no place any more from which it could be opened anew, but the guest has it as its cwd or in a descriptor, to which "."
 * or a link of /proc has led. */
static int open_removed_dir(Call *call, const PathArg *p, const struct open_how *how)
{
	CLEAN_LOC CowLoc dir = {0};
	CLEAN_FD int fd = -1;
	struct statx st;
	char link[48];

	int r = cowfs_resolve(call->sup->fs, &call->req, patharg_at(p), p->path, how->flags & O_NOFOLLOW ? COW_NOFOLLOW : 0, how->resolve, &dir);
	if (r < 0 || !cowfs_is_removed(call->sup->fs, &dir) || cowfs_statx(call->sup->fs, &call->req, &dir, "", COW_EMPTY_PATH, STATX_TYPE, &st) < 0 ||
	    !S_ISDIR(st.stx_mode))
		return -ENOENT;
	if (how->flags & TMPFILE_BIT)
		return -ENOENT;
	if (how->flags & O_CREAT || (how->flags & (O_ACCMODE | O_TRUNC)) != O_RDONLY)
		return -EISDIR;
	r = how->flags & O_PATH ? 0 : cowfs_access(call->sup->fs, &call->req, &dir, "", COW_EMPTY_PATH, R_OK);
	if (r == 0)
		r = guest_held_dir(call, &dir, link);
	if (r < 0)
		return r;
	fd = openat(call->sup->proc_fd, link, (int)(how->flags & (O_PATH | O_NONBLOCK | O_NOATIME)) | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return bv_neg_errno();
	return guest_is_object(call->sup, fd, &dir) ? TAKE_FD(fd) : -ENOENT; /* the guest has put something else there meanwhile */
}

/* Is it still the empty file that this call made? Not what a link led to, nor what another guest has written meanwhile. */
static bool is_untouched(Call *call, const PathArg *p)
{
	struct statx st;

	return cowfs_statx(call->sup->fs, &call->req, patharg_at(p), p->path, COW_NOFOLLOW, STATX_BASIC_STATS, &st) == 0 && S_ISREG(st.stx_mode) &&
	       st.stx_size == 0 && st.stx_nlink == 1;
}

/* A file of a foreign file system or a pipe may be opened through /proc/self/fd; those come back as plain descriptors too. */
static int do_open(Call *call, int dirfd, uint64_t path, struct open_how *how)
{
	CLEAN_PATH PathArg p = {0};
	CowFile file = {.fd = -1};
	int r = mem_read_path(call, path, p.path);

	if (r < 0)
		return r;
	if (p.path[0] == 0)
		return -ENOENT;
	if ((how->flags & (O_TRUNC | O_PATH)) == O_TRUNC)
		r = guest_fd_free(call); /* before the content goes */
	if (r < 0)
		return r;
	r = guest_at(call, dirfd, p.path, false, &p.at);
	/* RESOLVE_BENEATH and IN_ROOT are relative to dirfd even for absolute paths. */
	if (r == 0 && p.path[0] == '/' && (how->resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)))
		r = guest_at(call, dirfd, ".", false, &p.at);
	if (r < 0)
		return r;
	if (how->flags & (O_CREAT | TMPFILE_BIT))
		how->mode &= ~(uint64_t)task_umask(call);
	r = cowfs_openat(call->sup->fs, &call->req, patharg_at(&p), p.path, how, &file);
	if (r == -ENOENT && may_lead_back(p.path))
		r = file.fd = open_removed_dir(call, &p, how);
	if (r < 0)
		return r;
	if (how->flags & O_PATH)
		r = call_reply_path_fd(call, file.fd, how->flags & O_CLOEXEC);
	else if (!call->held && !file.created && fcntl(file.fd, F_GETPIPE_SZ) >= 0)
		r = call_hand_over(call, &file.fd, how->flags & O_CLOEXEC); /* each open end counts: EPIPE, ENXIO, end of file */
	else
		r = call_reply_fd(call, &file.fd, how->flags & O_CLOEXEC);
	bool refused = r < 0 && r != CALL_REPLIED; /* no descriptor was free: the kernel would have seen that before it made the file */
	if (file.created && (refused || call->gone) && is_untouched(call, &p)) /* gone: killed before the call, or a signal came and the call comes again */
		(void)!cowfs_unlink(call->sup->fs, &call->req, patharg_at(&p), p.path, 0);
	bv_close_fd(&file.fd);
	return r;
}

/* open(2) ignores flags it does not know, and drops what makes no sense with O_PATH. */
static int legacy_open(Call *call, int dirfd, uint64_t path, int flags, mode_t mode)
{
	struct open_how how = {.flags = (uint64_t)(uint32_t)flags & KNOWN_OPEN_FLAGS, .mode = mode & 07777};

	if (how.flags & O_PATH)
		how.flags &= O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC;
	if (!(how.flags & (O_CREAT | TMPFILE_BIT)))
		how.mode = 0;
	if (how.flags & TMPFILE_BIT) {
		if ((how.flags & O_TMPFILE) != O_TMPFILE || (how.flags & O_ACCMODE) == O_RDONLY)
			return -EINVAL;
	}
	if ((how.flags & O_CREAT) && (how.flags & O_DIRECTORY))
		return -EINVAL; /* since 6.4 */
	return do_open(call, dirfd, path, &how);
}

int sys_open(Call *call)
{
	return legacy_open(call, AT_FDCWD, call->args[0], ARG_INT(call, 1), ARG_MODE(call, 2));
}

int sys_creat(Call *call)
{
	return legacy_open(call, AT_FDCWD, call->args[0], O_CREAT | O_WRONLY | O_TRUNC, ARG_MODE(call, 1));
}

int sys_openat(Call *call)
{
	return legacy_open(call, ARG_FD(call, 0), call->args[1], ARG_INT(call, 2), ARG_MODE(call, 3));
}

/* copy_struct_from_user: a longer struct of a newer program is fine while the rest is zero. */
static int read_open_how(Call *call, struct open_how *how)
{
	unsigned char raw[4096];
	uint64_t size = call->args[3];

	if (size < sizeof *how)
		return -EINVAL;
	if (size > sizeof raw)
		return -E2BIG;
	int r = mem_read(call, call->args[2], raw, (size_t)size);
	if (r < 0)
		return r;
	for (size_t i = sizeof *how; i < size; i++)
		if (raw[i])
			return -E2BIG;
	memcpy(how, raw, sizeof *how);
	return 0;
}

int sys_openat2(Call *call)
{
	struct open_how how;
	int r = read_open_how(call, &how);

	if (r < 0)
		return r;
	if ((how.flags & ~(uint64_t)KNOWN_OPEN_FLAGS) || (how.resolve & ~(uint64_t)KNOWN_RESOLVE))
		return -EINVAL;
	if ((how.resolve & RESOLVE_BENEATH) && (how.resolve & RESOLVE_IN_ROOT))
		return -EINVAL;
	bool creates = how.flags & (O_CREAT | TMPFILE_BIT);
	if (creates ? (how.mode & ~07777ULL) : how.mode != 0)
		return -EINVAL;
	if ((how.flags & O_PATH) && (how.flags & ~(uint64_t)(O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC)))
		return -EINVAL;
	if (how.flags & TMPFILE_BIT) {
		if ((how.flags & O_TMPFILE) != O_TMPFILE || (how.flags & O_ACCMODE) == O_RDONLY)
			return -EINVAL;
	}
	if ((how.flags & O_CREAT) && (how.flags & O_DIRECTORY))
		return -EINVAL;
	if (how.resolve & RESOLVE_CACHED) {
		if (how.flags & (O_TRUNC | O_CREAT | TMPFILE_BIT))
			return -EAGAIN;
		how.resolve &= ~(uint64_t)RESOLVE_CACHED; /* a hint: everything we answer comes from memory or the host's cache */
	}
	return do_open(call, ARG_FD(call, 0), call->args[1], &how);
}

int sys_umask(Call *call)
{
	task_set_umask(call, (mode_t)call->args[0]);
	return CALL_CONTINUE;
}
