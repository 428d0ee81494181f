/* supervisor/cgroupfs.c - /sys/fs/cgroup for guests: one group of version 2, the sandbox's, whatever the host has. In it are the files that language runtimes
 * read to size themselves, with what the sandbox was given (hostview.h). Nothing in it can be changed, and no group of the host is seen.
 * Sources: Documentation/admin-guide/cgroup-v2.rst. */
#include "supervisor/hostview.h"
#include "supervisor/sysfs_internal.h"

#define PERIOD_US 100000
#define USAGE_AGE 50000000ULL /* nanoseconds */

typedef struct Group {
	const Foreign *f;
	const HostView *v;
	HostUsage usage;
} Group;

static void put_bound(FILE *out, uint64_t bound)
{
	if (bound)
		fprintf(out, "%llu\n", (unsigned long long)bound);
	else
		fputs("max\n", out);
}

static void put_controllers(const Group *g, FILE *out)
{
	(void)g;
	fputs("cpuset cpu memory pids\n", out);
}

static int put_pid(void *ctx, pid_t pid)
{
	fprintf(ctx, "%d\n", (int)pid);
	return 0;
}

static void put_procs(const Group *g, FILE *out)
{
	IGNORE_RESULT(proctree_list(g->f->tree, put_pid, out));
}

static void put_cpu_max(const Group *g, FILE *out)
{
	if (g->v->quota > 0)
		fprintf(out, "%.0f %d\n", g->v->quota * PERIOD_US, PERIOD_US);
	else
		fprintf(out, "max %d\n", PERIOD_US);
}

static void put_cpu_stat(const Group *g, FILE *out)
{
	unsigned long long tick = 1000000ULL / (unsigned long long)sysconf(_SC_CLK_TCK), user = g->usage.user * tick, system = g->usage.system * tick;

	fprintf(out, "usage_usec %llu\nuser_usec %llu\nsystem_usec %llu\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n", user + system, user, system);
}

static void put_cpu_weight(const Group *g, FILE *out)
{
	(void)g;
	fputs("100\n", out);
}

static void put_cpus(const Group *g, FILE *out)
{
	CLEAN_FREE char *text = NULL;

	if (!g->v->all_cpus)
		sysfs_put_cpus(out, &g->v->cpus);
	else if (bv_read_file_at(g->f->sys_fd, "devices/system/cpu/online", 65536, &text) > 0)
		fputs(text, out);
}

static void put_mems(const Group *g, FILE *out)
{
	CLEAN_FREE char *text = NULL;

	if (bv_read_file_at(g->f->sys_fd, "devices/system/node/has_memory", 65536, &text) > 0)
		fputs(text, out);
	else
		fputs("0\n", out);
}

static void put_memory_max(const Group *g, FILE *out)
{
	put_bound(out, g->v->memory);
}

static void put_memory_current(const Group *g, FILE *out)
{
	fprintf(out, "%llu\n", (unsigned long long)g->usage.memory);
}

static void put_memory_stat(const Group *g, FILE *out)
{
	unsigned long long own = g->usage.memory;

	fprintf(out, "anon %llu\nfile 0\nkernel 0\nshmem 0\ninactive_anon 0\nactive_anon %llu\ninactive_file 0\nactive_file 0\nunevictable 0\n", own, own);
}

static void put_max(const Group *g, FILE *out)
{
	(void)g;
	fputs("max\n", out);
}

static void put_zero(const Group *g, FILE *out)
{
	(void)g;
	fputs("0\n", out);
}

static void put_swap_max(const Group *g, FILE *out)
{
	fputs(g->v->memory ? "0\n" : "max\n", out);
}

static void put_pids_max(const Group *g, FILE *out)
{
	put_bound(out, g->v->pids);
}

static void put_pids_current(const Group *g, FILE *out)
{
	fprintf(out, "%u\n", g->usage.threads);
}

static const struct {
	const char *name;
	void (*put)(const Group *g, FILE *out);
	bool usage; /* needs it */
} files[] = {
	{ "cgroup.controllers", put_controllers, false },
	{ "cgroup.procs", put_procs, true },
	{ "cpu.max", put_cpu_max, false },
	{ "cpu.stat", put_cpu_stat, true },
	{ "cpu.weight", put_cpu_weight, false },
	{ "cpuset.cpus", put_cpus, false },
	{ "cpuset.cpus.effective", put_cpus, false },
	{ "cpuset.mems", put_mems, false },
	{ "cpuset.mems.effective", put_mems, false },
	{ "memory.current", put_memory_current, true },
	{ "memory.high", put_max, false },
	{ "memory.low", put_zero, false },
	{ "memory.max", put_memory_max, false },
	{ "memory.min", put_zero, false },
	{ "memory.stat", put_memory_stat, true },
	{ "memory.swap.current", put_zero, false },
	{ "memory.swap.max", put_swap_max, false },
	{ "pids.current", put_pids_current, true },
	{ "pids.max", put_pids_max, false },
};

const char *cgroupfs_name(size_t i)
{
	return i < ARRAY_LEN(files) ? files[i].name : NULL;
}

int cgroupfs_render(const Foreign *f, const char *name, bool may_block, FILE *out)
{
	Group g = { .f = f, .v = hostview_bounds(f->env.view) };

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if (strcmp(files[i].name, name) != 0)
			continue;
		int r = files[i].usage ? hostview_usage(f->env.view, f->tree, USAGE_AGE, may_block, &g.usage) : 0;
		if (r == 0)
			files[i].put(&g, out);
		return r;
	}
	return -ENOENT;
}
