/* supervisor/hostgroup.c - bounds of the control groups that bvisor itself runs in: a container's, a service's. What they leave is what the sandbox was given.
 *
 * Hierarchies are looked for where every distribution mounts them. A group whose directory is not there (the namespace of a container hides it) has the
 * mount's root for its own. */
#include "supervisor/hostview.h"

#include <fcntl.h>
#include <limits.h>

#define GROUPS "/sys/fs/cgroup"

/* Calls `read_bounds` with the directory of our group in the hierarchy, and with each one above it. */
static void walk_up(const char *mount, const char *path, void (*read_bounds)(HostView *v, int dir), HostView *v)
{
	char at[PATH_MAX];
	int n = snprintf(at, sizeof(at), "%s%s", mount, strcmp(path, "/") == 0 ? "" : path);

	for (size_t root = strlen(mount); n > 0 && (size_t)n < sizeof(at) && strlen(at) >= root;) {
		CLEAN_FD int dir = open(at, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir >= 0)
			read_bounds(v, dir);
		char *slash = strrchr(at, '/');
		if (strlen(at) == root || !slash)
			break;
		*slash = 0;
	}
}

/* "max", "-1" and what is no number are no bound: 0. */
static double number_of(int dir, const char *file, char **rest)
{
	CLEAN_FREE char *text = NULL;
	double value = 0;
	char *end;

	if (bv_read_file_at(dir, file, 256, &text) <= 0)
		return 0;
	value = strtod(text, &end);
	if (rest)
		*rest = strdup(end);
	return end != text && value > 0 ? value : 0;
}

static void bound(uint64_t *at, double value)
{
	if (value >= 1 && value < 9e18 && (*at == 0 || value < (double)*at))
		*at = (uint64_t)value;
}

static void bound_quota(HostView *v, double quota, double period)
{
	if (quota > 0 && period > 0 && (v->quota <= 0 || quota / period < v->quota))
		v->quota = quota / period;
}

static void read_v2(HostView *v, int dir)
{
	CLEAN_FREE char *period = NULL;
	double quota = number_of(dir, "cpu.max", &period);

	bound(&v->memory, number_of(dir, "memory.max", NULL));
	bound(&v->pids, number_of(dir, "pids.max", NULL));
	bound_quota(v, quota, period ? strtod(period, NULL) : 0);
}

static void read_memory(HostView *v, int dir)
{
	bound(&v->memory, number_of(dir, "memory.limit_in_bytes", NULL));
}

static void read_cpu(HostView *v, int dir)
{
	bound_quota(v, number_of(dir, "cpu.cfs_quota_us", NULL), number_of(dir, "cpu.cfs_period_us", NULL));
}

static void read_pids(HostView *v, int dir)
{
	bound(&v->pids, number_of(dir, "pids.max", NULL));
}

static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		if (strncmp(at, word, len) == 0 && (at[len] == ',' || at[len] == 0))
			return true;
	return false;
}

static const struct {
	const char *controller;
	void (*read_bounds)(HostView *v, int dir);
} v1[] = { { "memory", read_memory }, { "cpu", read_cpu }, { "pids", read_pids } };

/* "ID:CONTROLLERS:PATH" */
static void read_line(HostView *v, char *line)
{
	char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL, mount[128];

	if (!path || path[1] != '/' || strstr(path, "/.."))
		return;
	*path++ = 0;
	controllers++;
	if (!*controllers) {
		walk_up(GROUPS, path, read_v2, v);
		walk_up(GROUPS "/unified", path, read_v2, v);
	}
	for (size_t i = 0; *controllers && i < ARRAY_LEN(v1); i++) {
		if (!has_word(controllers, v1[i].controller))
			continue;
		snprintf(mount, sizeof(mount), GROUPS "/%.100s", controllers);
		if (access(mount, F_OK) < 0) /* some name only one of those that are mounted together */
			snprintf(mount, sizeof(mount), GROUPS "/%s", v1[i].controller);
		walk_up(mount, path, v1[i].read_bounds, v);
	}
}

void hostgroup_read(HostView *v)
{
	CLEAN_FREE char *text = NULL;
	char *at;

	if (bv_read_file_at(AT_FDCWD, "/proc/self/cgroup", 65536, &text) < 0)
		return; /* a kernel without control groups */
	at = text;
	for (char *line; (line = strsep(&at, "\n"));)
		read_line(v, line);
}
