/* sys_xattr.c - the twelve xattr calls and the four *xattrat of 6.13. Sources: xattr(7), fs/xattr.c. */
#include "supervisor/handlers.h"
#include "supervisor/sysargs.h"

#include <linux/limits.h>
#include <linux/xattr.h>

/* What an xattr call is about: a path with its start, or a descriptor. */
typedef struct XattrTarget {
	PathArg p;
	unsigned flags;
} XattrTarget;

static void target_release(XattrTarget *t)
{
	cowloc_release(&t->p.at);
}
#define CLEAN_TARGET __attribute__((cleanup(target_release)))

static int target_path(Call *call, int fd, uint64_t path, int at_flags, XattrTarget *t)
{
	int r = patharg_get(call, fd, path, at_flags & AT_EMPTY_PATH, &t->p);

	t->flags = walk_flags(at_flags);
	return r == -EXDEV ? -EOPNOTSUPP : r;
}

static int target_fd(Call *call, int fd, XattrTarget *t)
{
	int r = guest_fd_usable(call, fd);

	if (r < 0)
		return r;
	t->p.path[0] = 0;
	t->flags = COW_EMPTY_PATH;
	r = guest_fd_loc(call, fd, &t->p.at, NULL);
	return r == -EXDEV ? -EOPNOTSUPP : r;
}

/* strncpy_from_user of a name: empty or too long is ERANGE. */
static int read_name(Call *call, uint64_t addr, char name[XATTR_NAME_MAX + 1])
{
	ssize_t n = mem_read_string(call, addr, name, XATTR_NAME_MAX + 1);

	return n == 0 || n == -ENAMETOOLONG ? -ERANGE : n < 0 ? (int)n : 0;
}

static int do_set(Call *call, XattrTarget *t, const char *name, uint64_t value, uint64_t size, int xflags)
{
	CLEAN_FREE char *buf = NULL;

	if (xflags & ~(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	if (size > XATTR_SIZE_MAX)
		return -E2BIG;
	buf = malloc(size + 1);
	if (!buf)
		return -ENOMEM;
	int r = mem_read(call, value, buf, (size_t)size);
	return r < 0 ? r : cowfs_setxattr(call->sup->fs, &call->req, patharg_at(&t->p), t->p.path, t->flags, name, buf, (size_t)size, xflags);
}

static int do_get(Call *call, XattrTarget *t, const char *name, uint64_t value, uint64_t size)
{
	CLEAN_FREE char *buf = NULL;

	size = MIN(size, (uint64_t)XATTR_SIZE_MAX);
	buf = malloc(size + 1);
	if (!buf)
		return -ENOMEM;
	ssize_t n = cowfs_getxattr(call->sup->fs, &call->req, patharg_at(&t->p), t->p.path, t->flags, name, size ? buf : NULL, (size_t)size);
	if (n > 0 && size) {
		int r = mem_write(call, value, buf, (size_t)n);
		if (r < 0)
			return r;
	}
	return (int)n;
}

static int do_list(Call *call, XattrTarget *t, uint64_t list, uint64_t size)
{
	CLEAN_FREE char *buf = NULL;

	size = MIN(size, (uint64_t)XATTR_LIST_MAX);
	buf = malloc(size + 1);
	if (!buf)
		return -ENOMEM;
	ssize_t n = cowfs_listxattr(call->sup->fs, &call->req, patharg_at(&t->p), t->p.path, t->flags, size ? buf : NULL, (size_t)size);
	if (n > 0 && size) {
		int r = mem_write(call, list, buf, (size_t)n);
		if (r < 0)
			return r;
	}
	return (int)n;
}

static int do_remove(Call *call, XattrTarget *t, const char *name)
{
	return cowfs_removexattr(call->sup->fs, &call->req, patharg_at(&t->p), t->p.path, t->flags, name);
}

typedef enum XattrOp { OP_SET, OP_GET, OP_LIST, OP_REMOVE } XattrOp;

/* Arguments behind the target: [name,] value, size, flags. */
static int run(Call *call, XattrOp op, XattrTarget *t, const uint64_t *rest)
{
	char name[XATTR_NAME_MAX + 1];

	if (op == OP_LIST)
		return do_list(call, t, rest[0], rest[1]);
	int r = read_name(call, rest[0], name);
	if (r < 0)
		return r;
	if (op == OP_SET)
		return do_set(call, t, name, rest[1], rest[2], (int)rest[3]);
	if (op == OP_GET)
		return do_get(call, t, name, rest[1], rest[2]);
	return do_remove(call, t, name);
}

static int by_path(Call *call, XattrOp op, int at_flags)
{
	CLEAN_TARGET XattrTarget t = {0};
	int r = target_path(call, AT_FDCWD, call->args[0], at_flags, &t);

	return r < 0 ? r : run(call, op, &t, call->args + 1);
}

static int by_fd(Call *call, XattrOp op)
{
	CLEAN_TARGET XattrTarget t = {0};
	int r = target_fd(call, ARG_FD(call, 0), &t);

	if (r == -EOPNOTSUPP && (op == OP_SET || op == OP_REMOVE))
		return -EPERM; /* a pipe or socket has no user.* attributes, and a guest no capability for others */
	return r < 0 ? r : run(call, op, &t, call->args + 1);
}

/* The *xattrat calls: (dirfd, path, at_flags, ...); set and get take a struct xattr_args {u64 value; u32 size; u32 flags}. */
struct xattr_args_6_13 {
	uint64_t value;
	uint32_t size;
	uint32_t flags;
};

static int at_rest(Call *call, XattrOp op, uint64_t rest[4])
{
	struct xattr_args_6_13 a;
	unsigned char raw[4096];

	rest[0] = call->args[3];
	if (op == OP_LIST)
		rest[1] = call->args[4];
	if (op == OP_LIST || op == OP_REMOVE)
		return 0;
	uint64_t usize = call->args[5];
	if (usize < sizeof a)
		return -EINVAL;
	if (usize > sizeof raw)
		return -E2BIG;
	int r = mem_read(call, call->args[4], raw, (size_t)usize);
	if (r < 0)
		return r;
	for (size_t i = sizeof a; i < usize; i++)
		if (raw[i])
			return -E2BIG;
	memcpy(&a, raw, sizeof a);
	if (op == OP_GET && a.flags)
		return -EINVAL;
	rest[1] = a.value;
	rest[2] = a.size;
	rest[3] = a.flags;
	return 0;
}

static int by_at(Call *call, XattrOp op)
{
	CLEAN_TARGET XattrTarget t = {0};
	uint64_t rest[4] = {0};
	int at_flags = ARG_INT(call, 2);

	if (at_flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	char first = 0;
	int r = at_rest(call, op, rest);
	if (r == 0 && (at_flags & AT_EMPTY_PATH) && call->args[1])
		r = mem_read(call, call->args[1], &first, 1);
	if (r == 0 && (at_flags & AT_EMPTY_PATH) && !first && ARG_FD(call, 0) != AT_FDCWD)
		r = target_fd(call, ARG_FD(call, 0), &t); /* as the f*xattr calls: no O_PATH */
	else if (r == 0)
		r = target_path(call, ARG_FD(call, 0), call->args[1], at_flags, &t);
	return r < 0 ? r : run(call, op, &t, rest);
}

int sys_setxattr(Call *call)
{
	return by_path(call, OP_SET, 0);
}
int sys_getxattr(Call *call)
{
	return by_path(call, OP_GET, 0);
}
int sys_listxattr(Call *call)
{
	return by_path(call, OP_LIST, 0);
}
int sys_removexattr(Call *call)
{
	return by_path(call, OP_REMOVE, 0);
}
int sys_lsetxattr(Call *call)
{
	return by_path(call, OP_SET, AT_SYMLINK_NOFOLLOW);
}
int sys_lgetxattr(Call *call)
{
	return by_path(call, OP_GET, AT_SYMLINK_NOFOLLOW);
}
int sys_llistxattr(Call *call)
{
	return by_path(call, OP_LIST, AT_SYMLINK_NOFOLLOW);
}
int sys_lremovexattr(Call *call)
{
	return by_path(call, OP_REMOVE, AT_SYMLINK_NOFOLLOW);
}
int sys_fsetxattr(Call *call)
{
	return by_fd(call, OP_SET);
}
int sys_fgetxattr(Call *call)
{
	return by_fd(call, OP_GET);
}
int sys_flistxattr(Call *call)
{
	return by_fd(call, OP_LIST);
}
int sys_fremovexattr(Call *call)
{
	return by_fd(call, OP_REMOVE);
}
int sys_setxattrat(Call *call)
{
	return by_at(call, OP_SET);
}
int sys_getxattrat(Call *call)
{
	return by_at(call, OP_GET);
}
int sys_listxattrat(Call *call)
{
	return by_at(call, OP_LIST);
}
int sys_removexattrat(Call *call)
{
	return by_at(call, OP_REMOVE);
}
