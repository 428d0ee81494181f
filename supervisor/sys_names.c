/* sys_names.c - mkdir, mknod, link, symlink, unlink, rmdir, rename and their variants. Sources: the man pages, fs/namei.c. */
#include "supervisor/handlers.h"
#include "supervisor/sysargs.h"

#include <linux/fs.h>

static int do_mkdir(Call *call, int fd, uint64_t path, mode_t mode)
{
	CLEAN_PATH PathArg p = {0};
	int r = patharg_get(call, fd, path, false, &p);

	if (r < 0)
		return r;
	mode = (mode & 01777) & ~task_umask(call);
	return cowfs_mkdir(call->sup->fs, &call->req, patharg_at(&p), p.path, mode);
}

int sys_mkdir(Call *call)
{
	return do_mkdir(call, AT_FDCWD, call->args[0], ARG_MODE(call, 1));
}

int sys_mkdirat(Call *call)
{
	return do_mkdir(call, ARG_FD(call, 0), call->args[1], ARG_MODE(call, 2));
}

static int do_mknod(Call *call, int fd, uint64_t path, mode_t mode, uint64_t dev)
{
	CLEAN_PATH PathArg p = {0};
	int r = patharg_get(call, fd, path, false, &p);

	if (r < 0)
		return r;
	mode = (mode & S_IFMT) | ((mode & 07777) & ~task_umask(call));
	return cowfs_mknod(call->sup->fs, &call->req, patharg_at(&p), p.path, mode, (dev_t)(uint32_t)dev);
}

int sys_mknod(Call *call)
{
	return do_mknod(call, AT_FDCWD, call->args[0], ARG_MODE(call, 1), call->args[2]);
}

int sys_mknodat(Call *call)
{
	return do_mknod(call, ARG_FD(call, 0), call->args[1], ARG_MODE(call, 2), call->args[3]);
}

/* The kernel copies both names in, but tells what is wrong with the new one (`error`) only after it has looked up the old one, of which
 * rename needs no more than the parent. */
static int old_name_first(Call *call, const PathArg *from, unsigned walk, bool parent, int error)
{
	CLEAN_LOC CowLoc loc = {0};
	char path[PATH_MAX];

	memcpy(path, from->path, strlen(from->path) + 1);
	if (parent) {
		char *end = path + strlen(path);
		while (end > path && end[-1] == '/')
			end--;
		while (end > path && end[-1] != '/')
			end--;
		if (end == path)
			return error;
		*end = 0;
	}
	int r = cowfs_resolve(call->sup->fs, &call->req, patharg_at(from), path, walk, 0, &loc);
	return r < 0 ? r : error;
}

static int do_link(Call *call, int old_fd, uint64_t old_path, int new_fd, uint64_t new_path, int flags)
{
	CLEAN_PATH PathArg from = {0};
	CLEAN_PATH PathArg to = {0};

	if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if ((flags & AT_EMPTY_PATH) && call->req.cred->uid != 0 && !call->sup->features.link_empty)
		return -ENOENT;
	int r = patharg_get(call, old_fd, old_path, flags & AT_EMPTY_PATH, &from);
	if (r < 0)
		return r;
	r = patharg_get(call, new_fd, new_path, false, &to);
	if (r < 0)
		return old_name_first(call, &from, (flags & AT_SYMLINK_FOLLOW ? 0 : COW_NOFOLLOW) | (flags & AT_EMPTY_PATH ? COW_EMPTY_PATH : 0), false, r);
	return cowfs_link(call->sup->fs, &call->req, patharg_at(&from), from.path, patharg_at(&to), to.path, flags);
}

int sys_link(Call *call)
{
	return do_link(call, AT_FDCWD, call->args[0], AT_FDCWD, call->args[1], 0);
}

int sys_linkat(Call *call)
{
	return do_link(call, ARG_FD(call, 0), call->args[1], ARG_FD(call, 2), call->args[3], ARG_INT(call, 4));
}

static int do_symlink(Call *call, uint64_t target, int fd, uint64_t path)
{
	CLEAN_PATH PathArg p = {0};
	char text[PATH_MAX];
	ssize_t n = mem_read_string(call, target, text, sizeof text);

	if (n <= 0)
		return n < 0 ? (int)n : -ENOENT;
	int r = patharg_get(call, fd, path, false, &p);
	return r < 0 ? r : cowfs_symlink(call->sup->fs, &call->req, text, patharg_at(&p), p.path);
}

int sys_symlink(Call *call)
{
	return do_symlink(call, call->args[0], AT_FDCWD, call->args[1]);
}

int sys_symlinkat(Call *call)
{
	return do_symlink(call, call->args[0], ARG_FD(call, 1), call->args[2]);
}

static int do_unlink(Call *call, int fd, uint64_t path, int flags)
{
	CLEAN_PATH PathArg p = {0};

	if (flags & ~AT_REMOVEDIR)
		return -EINVAL;
	int r = patharg_get(call, fd, path, false, &p);
	return r < 0 ? r : cowfs_unlink(call->sup->fs, &call->req, patharg_at(&p), p.path, flags);
}

int sys_unlink(Call *call)
{
	return do_unlink(call, AT_FDCWD, call->args[0], 0);
}

int sys_rmdir(Call *call)
{
	return do_unlink(call, AT_FDCWD, call->args[0], AT_REMOVEDIR);
}

int sys_unlinkat(Call *call)
{
	return do_unlink(call, ARG_FD(call, 0), call->args[1], ARG_INT(call, 2));
}

static int do_rename(Call *call, int old_fd, uint64_t old_path, int new_fd, uint64_t new_path, unsigned flags)
{
	CLEAN_PATH PathArg from = {0};
	CLEAN_PATH PathArg to = {0};

	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return -EINVAL;
	if ((flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)) && (flags & RENAME_EXCHANGE))
		return -EINVAL;
	int r = patharg_get(call, old_fd, old_path, false, &from);
	if (r < 0)
		return r;
	r = patharg_get(call, new_fd, new_path, false, &to);
	if (r < 0)
		return old_name_first(call, &from, COW_DIRECTORY, true, r);
	return cowfs_rename(call->sup->fs, &call->req, patharg_at(&from), from.path, patharg_at(&to), to.path, flags);
}

int sys_rename(Call *call)
{
	return do_rename(call, AT_FDCWD, call->args[0], AT_FDCWD, call->args[1], 0);
}

int sys_renameat(Call *call)
{
	return do_rename(call, ARG_FD(call, 0), call->args[1], ARG_FD(call, 2), call->args[3], 0);
}

int sys_renameat2(Call *call)
{
	return do_rename(call, ARG_FD(call, 0), call->args[1], ARG_FD(call, 2), call->args[3], (unsigned)call->args[4]);
}
