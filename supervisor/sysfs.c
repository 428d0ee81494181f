/* supervisor/sysfs.c - /sys for guests: a small, read-only allow-list of what programs ask to size themselves.
 *
 * Patterns are matched component by component ("*": any one name, "#": a number). A symlink of the host is never followed: none is in the
 * list. What names processors is rendered where the sandbox has not all of them (sysfs_cpu.c); of the control groups there is one, the sandbox's, whose files are
 * not the host's at all (cgroupfs.c). */
#include "supervisor/sysfs_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

static const char *const allowed_dirs[] = {
	"",
	"devices",
	"devices/system",
	"devices/system/cpu",
	"devices/system/cpu/cpu[0-9]*",
	"devices/system/cpu/cpu[0-9]*/topology",
	"devices/system/cpu/cpu[0-9]*/cache",
	"devices/system/cpu/cpu[0-9]*/cache/index[0-9]*",
	"devices/system/node",
	"devices/system/node/node[0-9]*",
	"kernel",
	"kernel/mm",
	"kernel/mm/transparent_hugepage",
	"kernel/mm/hugepages",
	"kernel/mm/hugepages/hugepages-*",
	"fs",
	CGROUP_ROOT,
};

static const char *const allowed_files[] = {
	"devices/system/cpu/online",
	"devices/system/cpu/offline",
	"devices/system/cpu/possible",
	"devices/system/cpu/present",
	"devices/system/cpu/kernel_max",
	"devices/system/cpu/isolated",
	"devices/system/cpu/cpu[0-9]*/online",
	"devices/system/cpu/cpu[0-9]*/topology/*",
	"devices/system/cpu/cpu[0-9]*/cache/index[0-9]*/*",
	"devices/system/node/online",
	"devices/system/node/possible",
	"devices/system/node/has_cpu",
	"devices/system/node/has_memory",
	"devices/system/node/has_normal_memory",
	"devices/system/node/node[0-9]*/cpulist",
	"devices/system/node/node[0-9]*/cpumap",
	"devices/system/node/node[0-9]*/distance",
	"devices/system/node/node[0-9]*/meminfo",
	"kernel/mm/transparent_hugepage/enabled",
	"kernel/mm/transparent_hugepage/defrag",
	"kernel/mm/transparent_hugepage/hpage_pmd_size",
	"kernel/mm/hugepages/hugepages-*/nr_hugepages",
	"kernel/mm/hugepages/hugepages-*/free_hugepages",
};

static bool matches(const char *const *patterns, size_t count, const char *path)
{
	for (size_t i = 0; i < count; i++)
		if (fnmatch(patterns[i], path, FNM_PATHNAME | FNM_NOESCAPE | FNM_PERIOD) == 0)
			return true;
	return false;
}

/* Number of a file of the control group, or -1. */
static int cgroup_file(const char *path)
{
	if (strncmp(path, CGROUP_ROOT "/", strlen(CGROUP_ROOT "/")) != 0)
		return -1;
	for (size_t i = 0; cgroupfs_name(i); i++)
		if (strcmp(path + strlen(CGROUP_ROOT "/"), cgroupfs_name(i)) == 0)
			return (int)i;
	return -1;
}

/* ---- ops ---- */

static int find(const Foreign *f, const char *path, CowForeignKind *kind)
{
	struct statx st;

	if (strncmp(path, CGROUP_ROOT "/", strlen(CGROUP_ROOT "/")) == 0) {
		*kind = COW_F_FILE;
		return cgroup_file(path) >= 0 ? 0 : -ENOENT;
	}
	bool dir = matches(allowed_dirs, ARRAY_LEN(allowed_dirs), path);
	bool file = matches(allowed_files, ARRAY_LEN(allowed_files), path);
	if ((!dir && !file) || !sysfs_is_given(f, path))
		return -ENOENT;
	int r = foreign_statx(f->sys_fd, path, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &st);
	if (r < 0)
		return r;
	if (!(dir && S_ISDIR(st.stx_mode)) && !(file && S_ISREG(st.stx_mode)))
		return -ENOENT;
	*kind = S_ISDIR(st.stx_mode) ? COW_F_DIR : COW_F_FILE;
	return 0;
}

static int sysfs_lookup(void *ctx, const CowReq *req, const char *path, CowForeignKind *kind)
{
	(void)req;
	return find(ctx, path, kind);
}

static int sysfs_follow(void *ctx, const CowReq *req, const char *path, CowLoc *out)
{
	(void)ctx, (void)req, (void)path, (void)out;
	return -EINVAL; /* no magic links here */
}

static ssize_t sysfs_readlink(void *ctx, const CowReq *req, const char *path, char *buf, size_t size)
{
	CowForeignKind kind;
	int r = find(ctx, path, &kind);

	(void)req, (void)buf, (void)size;
	return r < 0 ? r : -EINVAL; /* no links either */
}

/* The group's directory is the host's, its files are nobody's. */
static int cgroup_statx(const Foreign *f, int number, unsigned mask, struct statx *out)
{
	int r = foreign_statx(f->sys_fd, CGROUP_ROOT, AT_SYMLINK_NOFOLLOW, mask | STATX_BASIC_STATS, out);

	if (r < 0)
		return r;
	out->stx_mode = S_IFREG | 0444;
	out->stx_nlink = 1;
	out->stx_ino += 1 + (unsigned)number;
	out->stx_size = out->stx_blocks = 0;
	return 0;
}

static int sysfs_statx(void *ctx, const CowReq *req, const char *path, unsigned mask, struct statx *out)
{
	const Foreign *f = ctx;
	CowForeignKind kind;
	int r = find(f, path, &kind), number = cgroup_file(path);

	(void)req;
	if (r < 0)
		return r;
	return number >= 0 ? cgroup_statx(f, number, mask, out) : foreign_statx(f->sys_fd, path, AT_SYMLINK_NOFOLLOW, mask, out);
}

static int open_text(Foreign *f, const char *path, bool may_block, int flags, int *fd)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return -ENOMEM;
	int r = cgroup_file(path) >= 0 ? cgroupfs_render(f, path + strlen(CGROUP_ROOT "/"), may_block, out) : sysfs_cpu_render(f, path, out);
	bool failed = ferror(out) != 0;
	if ((fclose(out) != 0 || failed) && r == 0)
		r = -ENOMEM;
	if (r == 0)
		r = foreign_sealed_file(f, strrchr(path, '/') + 1, text, len, flags, fd);
	free(text);
	return r;
}

static int sysfs_open(void *ctx, const CowReq *req, const char *path, int flags, int *fd)
{
	Foreign *f = ctx;
	CowForeignKind kind;
	int r = find(f, path, &kind), opened = -1;
	bool text = cgroup_file(path) >= 0 || sysfs_cpu_is_text(f, path);

	if (r < 0)
		return r;
	if (!(flags & O_PATH) && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)))
		return kind == COW_F_DIR ? -EISDIR : -EACCES;
	if (text && (flags & O_DIRECTORY))
		return -ENOTDIR;
	if (text) {
		r = open_text(f, path, req && req->may_block, flags, &opened);
	} else {
		opened = openat(f->sys_fd, *path ? path : ".", foreign_open_flags(flags));
		r = opened < 0 ? bv_neg_errno() : 0;
	}
	if (r < 0)
		return r;
	if (kind == COW_F_DIR || text || (flags & O_PATH))
		ident_put_fd(f->ident, FOREIGN_SYS, opened, path);
	*fd = opened;
	return 0;
}

typedef struct SysListing {
	const Foreign *f;
	const char *dir;
} SysListing;

static bool is_shown(void *ctx, const char *name)
{
	const SysListing *l = ctx;
	char path[PATH_MAX];
	CowForeignKind kind;
	int n = snprintf(path, sizeof(path), "%s%s%s", l->dir, *l->dir ? "/" : "", name);

	return n > 0 && (size_t)n < sizeof(path) && find(l->f, path, &kind) == 0;
}

static int list_cgroup(const Foreign *f, int (*emit)(void *ectx, const char *name, uint64_t ino, unsigned char d_type), void *ectx)
{
	struct statx st;
	int r = 0;

	for (size_t i = 0; r == 0 && cgroupfs_name(i); i++) {
		r = cgroup_statx(f, (int)i, STATX_INO, &st);
		if (r == 0)
			r = emit(ectx, cgroupfs_name(i), st.stx_ino, DT_REG);
	}
	return r;
}

static int sysfs_list(void *ctx, const CowReq *req, const char *path,
		      int (*emit)(void *ectx, const char *name, uint64_t ino, unsigned char d_type), void *ectx)
{
	SysListing l = { .f = ctx, .dir = path };

	if (strcmp(path, CGROUP_ROOT) == 0)
		return list_cgroup(ctx, emit, ectx);
	int fd, r = sysfs_open(ctx, req, path, O_RDONLY | O_DIRECTORY, &fd);

	return r < 0 ? r : foreign_list(fd, is_shown, &l, emit, ectx);
}

/* Runtimes tell by the type which version of groups there is. */
static int sysfs_statfs(void *ctx, const char *path, struct statfs *out)
{
	size_t len = strlen(CGROUP_ROOT);

	(void)ctx;
	if (strncmp(path, CGROUP_ROOT, len) != 0 || (path[len] && path[len] != '/'))
		return -EOPNOTSUPP;
	*out = (struct statfs){ .f_type = CGROUP2_SUPER_MAGIC, .f_bsize = 4096, .f_frsize = 4096, .f_namelen = NAME_MAX, .f_flags = ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC };
	return 0;
}

static int sysfs_by_identity(void *ctx, dev_t dev, ino_t ino, char *path, size_t size)
{
	Foreign *f = ctx;

	return ident_get(f->ident, FOREIGN_SYS, dev, ino, path, size);
}

const CowForeignOps sysfs_ops = {
	.lookup = sysfs_lookup,
	.follow = sysfs_follow,
	.readlink = sysfs_readlink,
	.statx = sysfs_statx,
	.open = sysfs_open,
	.list = sysfs_list,
	.by_identity = sysfs_by_identity,
	.statfs = sysfs_statfs,
};
