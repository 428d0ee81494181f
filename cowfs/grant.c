/* cowfs/grant.c - see grant.h. The modes that callers give have the guest's umask applied already, so the host's own must not be: the
 * supervisor runs with umask 0. */
#include "grant.h"

/* Descriptor of w->dir on the host. */
static int open_dir(const CowWalk *w)
{
	char buf[PATH_MAX];
	const char *path = walk_host_path(w, &w->dir, buf);

	return path ? lower_open(w->fs, path, O_PATH | O_DIRECTORY, 0) : -ENOENT;
}

static int result(int rc)
{
	return rc < 0 ? bv_neg_errno() : 0;
}

/* What is a fake root's becomes the user's there, whose rights a set-ID file would hand on. */
static mode_t hosts_mode(const CowWalk *w, mode_t mode)
{
	return w->fs->fake_root ? mode & ~(mode_t)(S_ISUID | S_ISGID) : mode;
}

int grant_mkdir(CowWalk *w, mode_t mode)
{
	CLEAN_FD int dir = open_dir(w);
	return dir < 0 ? dir : result(mkdirat(dir, w->last, mode));
}

int grant_symlink(CowWalk *w, const char *target)
{
	CLEAN_FD int dir = open_dir(w);
	return dir < 0 ? dir : result(symlinkat(target, dir, w->last));
}

int grant_mknod(CowWalk *w, mode_t mode)
{
	CLEAN_FD int dir = open_dir(w);
	return dir < 0 ? dir : result(mknodat(dir, w->last, hosts_mode(w, mode), 0));
}

int grant_link(CowWalk *from, CowWalk *to)
{
	char buf[PATH_MAX];
	const char *name, *path = walk_host_path(from, &from->cur, buf);
	CLEAN_FD int dir = open_dir(to), source = lower_open_parent(from->fs, path, &name);

	if (dir < 0 || source < 0)
		return dir < 0 ? dir : source;
	return result(linkat(source, name, dir, to->last, 0));
}

int grant_unlink(CowWalk *w, bool is_dir)
{
	CLEAN_FD int dir = open_dir(w);
	if (dir < 0)
		return dir;
	if (!is_dir && w->slash)
		return S_ISDIR(walk_type(w)) ? -EISDIR : -ENOTDIR;
	return result(unlinkat(dir, w->last, is_dir ? AT_REMOVEDIR : 0));
}

int grant_rename(CowWalk *from, CowWalk *to, unsigned flags)
{
	CLEAN_FD int a = open_dir(from), b = open_dir(to);
	if (a < 0 || b < 0)
		return a < 0 ? a : b;
	return result(renameat2(a, from->last, b, to->last, flags));
}

int grant_open(CowWalk *w, int flags, mode_t mode, bool create)
{
	char buf[PATH_MAX];

	if (!create)
		return lower_open(w->fs, walk_host_path(w, &w->cur, buf), flags & ~O_CREAT, 0);
	CLEAN_FD int dir = open_dir(w);
	if (dir < 0)
		return dir;
	/* O_NOFOLLOW: a guest may have put a symlink there since we looked */
	int fd = openat(dir, w->last, flags | O_CREAT | O_NOFOLLOW | O_CLOEXEC, hosts_mode(w, mode));
	return fd < 0 ? bv_neg_errno() : fd;
}

int grant_proc_path(CowWalk *w, int *fd, char path[64])
{
	char buf[PATH_MAX];
	int opened = lower_open(w->fs, walk_host_path(w, &w->cur, buf), O_PATH | O_NOFOLLOW, 0);

	if (opened < 0)
		return opened;
	*fd = opened;
	snprintf(path, 64, "/proc/self/fd/%d", opened);
	return 0;
}

static struct timespec time_or_omit(const CowAttr *attr, unsigned bit, struct timespec ts)
{
	return attr->set & bit ? ts : (struct timespec){.tv_nsec = UTIME_OMIT};
}

/* What is shown as a fake root's is his own. */
static unsigned hosts_id(const CowWalk *w, unsigned id, unsigned own)
{
	return w->fs->fake_root && id == 0 ? own : id;
}

int grant_setattr(CowWalk *w, const CowAttr *attr)
{
	struct timespec times[2] = {time_or_omit(attr, COW_SET_ATIME, attr->atime), time_or_omit(attr, COW_SET_MTIME, attr->mtime)};
	CLEAN_FD int fd = -1;
	char path[64];
	int rc = grant_proc_path(w, &fd, path);

	if (rc == 0 && (attr->set & (COW_SET_UID | COW_SET_GID | COW_CHOWN)))
		rc = result(fchownat(fd, "", attr->set & COW_SET_UID ? hosts_id(w, attr->uid, w->fs->owner_uid) : (uid_t)-1,
				     attr->set & COW_SET_GID ? hosts_id(w, attr->gid, w->fs->owner_gid) : (gid_t)-1, AT_EMPTY_PATH));
	if (rc == 0 && (attr->set & COW_SET_MODE))
		rc = S_ISLNK(walk_type(w)) ? -EOPNOTSUPP : result(chmod(path, S_ISDIR(walk_type(w)) ? attr->mode : hosts_mode(w, attr->mode)));
	if (rc == 0 && (attr->set & (COW_SET_ATIME | COW_SET_MTIME)))
		rc = result(S_ISLNK(walk_type(w)) ? utimensat(fd, "", times, AT_EMPTY_PATH) : utimensat(AT_FDCWD, path, times, 0));
	return rc;
}

int grant_truncate(CowWalk *w, uint64_t size)
{
	CLEAN_FD int fd = -1;
	char path[64];
	int rc = grant_proc_path(w, &fd, path);

	return rc < 0 ? rc : result(truncate(path, (off_t)size));
}
