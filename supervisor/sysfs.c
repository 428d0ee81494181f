/* supervisor/sysfs.c - /sys for guests: a small, read-only allow-list of what programs ask to size themselves.
 *
 * Patterns are matched component by component ("*": any one name, "#": a number). A symlink of the host is never followed: none is in the
 * list but the names of joined v1 controllers ("cpu" -> "cpu,cpuacct"), whose text is checked to be a plain name. Of the control
 * groups only the sandbox's own directory and those above it exist, and in them only the limits and counters that
 * language runtimes read. */
#include "supervisor/foreign_internal.h"

#include <fcntl.h>
#include <fnmatch.h>

#define CGROUP_ROOT "fs/cgroup"

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

static const char *const cgroup_files[] = {
	"cgroup.controllers",	 "cpu.cfs_period_us",	"cpu.cfs_quota_us",	     "cpu.max",		      "cpu.shares",
	"cpu.stat",		 "cpu.weight",		"cpuacct.usage",	     "cpuset.cpus",	      "cpuset.cpus.effective",
	"cpuset.effective_cpus", "cpuset.mems",		"cpuset.mems.effective",     "memory.current",	      "memory.high",
	"memory.limit_in_bytes", "memory.max",		"memory.max_usage_in_bytes", "memory.stat",	      "memory.swap.current",
	"memory.swap.max",	 "memory.use_hierarchy", "memory.usage_in_bytes",    "memory.memsw.limit_in_bytes", "pids.current",
	"pids.max",
};

static bool matches(const char *const *patterns, size_t count, const char *path)
{
	for (size_t i = 0; i < count; i++)
		if (fnmatch(patterns[i], path, FNM_PATHNAME | FNM_NOESCAPE | FNM_PERIOD) == 0)
			return true;
	return false;
}

/* ---- control groups ---- */

/* One line "ID:CONTROLLERS:PATH" of /proc/<pid>/cgroup as a path below /sys; NULL for lines without a place there. */
static char *cgroup_dir(char *line)
{
	char *controllers = strchr(line, ':');
	char *path = controllers ? strchr(controllers + 1, ':') : NULL;

	if (!path)
		return NULL;
	*path++ = 0;
	controllers++;
	if (path[0] != '/' || strstr(path, "/..")) /* outside of what this namespace shows */
		return NULL;
	if (strncmp(controllers, "name=", 5) == 0)
		controllers += 5;
	const char *rest = path[1] ? path : "";
	return bv_asprintf("%s%s%s%s", CGROUP_ROOT, *controllers ? "/" : "", controllers, rest);
}

int sysfs_init(Foreign *f)
{
	CLEAN_FREE char *text = NULL;
	char path[32], *at;
	size_t lines = 2, n = 0;

	snprintf(path, sizeof(path), "%d/cgroup", (int)f->env.init_pid);
	if (bv_read_file_at(f->proc_fd, path, 64 * 1024, &text) < 0)
		return 0; /* a kernel without control groups: nothing to show */
	for (at = text; *at; at++)
		lines += *at == '\n';
	f->cgroups = calloc(lines, sizeof(*f->cgroups));
	if (!f->cgroups)
		return -ENOMEM;
	at = text;
	for (char *line; (line = strsep(&at, "\n"));) {
		char *dir = cgroup_dir(line);
		if (dir)
			f->cgroups[n++] = dir;
	}
	return 0;
}

void sysfs_release(Foreign *f)
{
	for (char **dir = f->cgroups; dir && *dir; dir++)
		free(*dir);
	free(f->cgroups);
	f->cgroups = NULL;
}

/* Is `path` (below /sys) one of the sandbox's groups, or above one? */
static bool is_cgroup_dir(const Foreign *f, const char *path, size_t len)
{
	for (char **dir = f->cgroups; dir && *dir; dir++)
		if (strncmp(*dir, path, len) == 0 && ((*dir)[len] == '/' || (*dir)[len] == 0))
			return true;
	return false;
}

static bool is_cgroup_file(const Foreign *f, const char *path)
{
	const char *name = strrchr(path, '/');

	return name && is_cgroup_dir(f, path, (size_t)(name - path)) && matches(cgroup_files, ARRAY_LEN(cgroup_files), name + 1);
}

/* "cpu" -> "cpu,cpuacct": a link beside the hierarchy whose text is a plain name. */
static bool is_controller_link(const Foreign *f, const char *path, char *text, size_t size)
{
	const char *name = path + strlen(CGROUP_ROOT "/");

	if (strncmp(path, CGROUP_ROOT "/", strlen(CGROUP_ROOT "/")) != 0 || strchr(name, '/'))
		return false;
	return foreign_readlinkat(f->sys_fd, path, text, size) > 0 && !strchr(text, '/') && text[0] != '.';
}

/* ---- ops ---- */

static int find(const Foreign *f, const char *path, CowForeignKind *kind)
{
	bool in_cgroups = strncmp(path, CGROUP_ROOT "/", strlen(CGROUP_ROOT "/")) == 0;
	char text[NAME_MAX + 1];
	struct statx st;

	if (in_cgroups && is_controller_link(f, path, text, sizeof(text))) {
		*kind = COW_F_SYMLINK;
		return 0;
	}
	bool dir = in_cgroups ? is_cgroup_dir(f, path, strlen(path)) : matches(allowed_dirs, ARRAY_LEN(allowed_dirs), path);
	bool file = in_cgroups ? is_cgroup_file(f, path) : matches(allowed_files, ARRAY_LEN(allowed_files), path);
	if (!dir && !file)
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
	char text[NAME_MAX + 1];
	CowForeignKind kind;
	int r = find(ctx, path, &kind);

	(void)req;
	if (r < 0)
		return r;
	if (kind != COW_F_SYMLINK || !is_controller_link(ctx, path, text, sizeof(text)))
		return -EINVAL;
	return foreign_cut(text, buf, size);
}

static int sysfs_statx(void *ctx, const CowReq *req, const char *path, unsigned mask, struct statx *out)
{
	const Foreign *f = ctx;
	CowForeignKind kind;
	int r = find(f, path, &kind);

	(void)req;
	return r < 0 ? r : foreign_statx(f->sys_fd, path, AT_SYMLINK_NOFOLLOW, mask, out);
}

static int sysfs_open(void *ctx, const CowReq *req, const char *path, int flags, int *fd)
{
	Foreign *f = ctx;
	CowForeignKind kind;
	int r = find(f, path, &kind);

	(void)req;
	if (r < 0)
		return r;
	if (kind == COW_F_SYMLINK && !(flags & O_PATH))
		return -ELOOP;
	if (!(flags & O_PATH) && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)))
		return kind == COW_F_DIR ? -EISDIR : -EACCES;
	int opened = openat(f->sys_fd, *path ? path : ".", foreign_open_flags(flags));
	if (opened < 0)
		return bv_neg_errno();
	if (kind == COW_F_DIR || (flags & O_PATH))
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

static int sysfs_list(void *ctx, const CowReq *req, const char *path,
		      int (*emit)(void *ectx, const char *name, uint64_t ino, unsigned char d_type), void *ectx)
{
	SysListing l = { .f = ctx, .dir = path };
	int fd, r = sysfs_open(ctx, req, path, O_RDONLY | O_DIRECTORY, &fd);

	return r < 0 ? r : foreign_list(fd, is_shown, &l, emit, ectx);
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
};
