/* supervisor/procfs_mounts.c - mounts, mountinfo and mountstats: the view is one file system, with those in it that the sandbox has of its own. What the
 * host has mounted where is its own matter, and a guest could do nothing with it: it may not mount, and statfs answers for each path.
 *
 * Numbers of devices are those that stat shows, and the root has the type of the host's, which statfs shows: programs compare them. */
#include "supervisor/procfs_internal.h"

#include <sys/stat.h>

typedef struct Mount {
	int id, parent;
	const char *path, *type, *source, *options, *super;
} Mount;

static const Mount mounts[] = {
	{ 1, 0, "/", NULL, "bvisor", "rw,relatime", "rw" },
	{ 2, 1, "/proc", "proc", "proc", "rw,nosuid,nodev,noexec,relatime", "rw" },
	{ 3, 1, "/sys", "sysfs", "sysfs", "ro,nosuid,nodev,noexec,relatime", "ro" },
	{ 4, 3, "/sys/fs/cgroup", "cgroup2", "cgroup", "ro,nosuid,nodev,noexec,relatime", "rw" },
	{ 5, 1, "/dev", "tmpfs", "tmpfs", "rw,nosuid", "rw,mode=755" },
	{ 6, 5, "/dev/pts", "devpts", "devpts", "rw,nosuid,noexec,relatime", "rw,mode=600,ptmxmode=666" },
	{ 7, 5, "/dev/shm", "tmpfs", "shm", "rw,nosuid,nodev", "rw" },
};

/* Of the host's mountinfo: device and type of what is mounted on "/", the last one that is. "ID PARENT DEVICE ROOT POINT OPTIONS ... - TYPE SOURCE SUPER" */
static void find_root(char *in, char *device, size_t device_size, char *type, size_t type_size)
{
	char dev[32], point[8], fs[64];

	for (char *line; (line = strsep(&in, "\n"));) {
		const char *dash = strstr(line, " - ");
		if (!dash || sscanf(line, "%*d %*d %31s %*s %7s", dev, point) != 2 || strcmp(point, "/") != 0 || sscanf(dash + 3, "%63s", fs) != 1)
			continue;
		snprintf(device, device_size, "%s", dev);
		snprintf(type, type_size, "%s", fs);
	}
}

static void device_of(const Foreign *f, const char *path, char *text, size_t size)
{
	struct statx st;
	CowCred root = { 0 };
	CowReq req = { .cred = &root };

	if (cowfs_statx(f->env.fs, &req, NULL, path, 0, STATX_BASIC_STATS, &st) == 0)
		snprintf(text, size, "%u:%u", st.stx_dev_major, st.stx_dev_minor);
}

static void put_mount(const Foreign *f, const char *name, const Mount *m, const char *root_device, const char *root_type, FILE *out)
{
	const char *type = m->type ? m->type : root_type;
	char device[32] = "0:0";

	if (strcmp(name, "mountstats") == 0) {
		fprintf(out, "device %s mounted on %s with fstype %s\n", m->source, m->path, type);
	} else if (strcmp(name, "mounts") == 0) {
		fprintf(out, "%s %s %s %s 0 0\n", m->source, m->path, type, m->options);
	} else {
		snprintf(device, sizeof(device), "%s", root_device);
		if (m->type)
			device_of(f, m->path, device, sizeof(device));
		fprintf(out, "%d %d %s / %s %s - %s %s %s\n", m->id, m->parent, device, m->path, m->options, type, m->source, m->super);
	}
}

int procfs_render_mounts(const Foreign *f, const ProcPath *at, char *in, FILE *out)
{
	CLEAN_FREE char *info = NULL;
	char device[32] = "0:0", type[64] = "overlay";

	(void)in;
	if (bv_read_file_at(f->proc_fd, "self/mountinfo", 16 * 1024 * 1024, &info) > 0)
		find_root(info, device, sizeof(device), type, sizeof(type));
	for (size_t i = 0; i < ARRAY_LEN(mounts); i++)
		put_mount(f, at->name, &mounts[i], device, type, out);
	return 0;
}
