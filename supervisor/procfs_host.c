/* supervisor/procfs_host.c - texts of /proc that show the machine: what the sandbox was given of it (hostview.h), and what its own processes do with it.
 * Sources: proc(5), fs/proc/{stat,uptime,loadavg,meminfo,array}.c. */
#include "supervisor/hostview.h"
#include "supervisor/procfs_internal.h"

#define USAGE_AGE 50000000ULL /* nanoseconds */

static uint64_t ticks_per_second(void)
{
	return (uint64_t)sysconf(_SC_CLK_TCK);
}

static int usage_of(const Foreign *f, const ProcPath *at, HostUsage *out)
{
	return hostview_usage(f->env.view, f->tree, USAGE_AGE, at->may_block, out);
}

/* Ticks that all processors together had nothing to do: what the host did with them does not count. */
static uint64_t idle_ticks(const HostView *v, const HostUsage *u)
{
	uint64_t all = (uint64_t)(hostview_uptime(v) * (double)ticks_per_second()) * hostview_cpu_count(v);

	return all > u->user + u->system ? all - u->user - u->system : 0;
}

int procfs_render_uptime(const Foreign *f, const ProcPath *at, char *in, FILE *out)
{
	HostUsage u;
	int r = usage_of(f, at, &u);

	(void)in;
	if (r == 0)
		fprintf(out, "%.2f %.2f\n", hostview_uptime(f->env.view), (double)idle_ticks(f->env.view, &u) / (double)ticks_per_second());
	return r;
}

int procfs_render_loadavg(const Foreign *f, const ProcPath *at, char *in, FILE *out)
{
	HostUsage u;
	int r = usage_of(f, at, &u);

	(void)in;
	if (r < 0)
		return r;
	for (int i = 0; i < 3; i++)
		fprintf(out, "%lu.%02lu ", u.loads[i] >> HOSTVIEW_LOAD_BITS, ((u.loads[i] & ((1UL << HOSTVIEW_LOAD_BITS) - 1)) * 100) >> HOSTVIEW_LOAD_BITS);
	/* Who reads this runs, though it waits for us now. */
	fprintf(out, "%u/%u %d\n", MAX(u.running, 1), MAX(u.threads, 1), (int)u.newest);
	return 0;
}

/* ---- stat ---- */

static void put_cpu(FILE *out, const char *name, uint64_t user, uint64_t system, uint64_t idle)
{
	fprintf(out, "%s %llu 0 %llu %llu 0 0 0 0 0 0\n", name, (unsigned long long)user, (unsigned long long)system, (unsigned long long)idle);
}

/* Which processor did how much nobody counts: each gets an equal share, the first what is left over. */
static void put_share(FILE *out, const char *name, const HostUsage *u, uint64_t idle, unsigned count, bool first)
{
	put_cpu(out, name, u->user / count + (first ? u->user % count : 0), u->system / count + (first ? u->system % count : 0),
		idle / count + (first ? idle % count : 0));
}

static unsigned long long field_after(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

int procfs_render_stat(const Foreign *f, const ProcPath *at, char *in, FILE *out)
{
	const HostView *v = f->env.view;
	unsigned long long btime = field_after(in, "\nbtime ") + v->start;
	unsigned count = hostview_cpu_count(v);
	bool first = true;
	HostUsage u;
	int r = usage_of(f, at, &u);

	if (r < 0)
		return r;
	uint64_t idle = idle_ticks(v, &u);
	put_cpu(out, "cpu ", u.user, u.system, idle);
	for (char *line; (line = strsep(&in, "\n")) && strncmp(line, "cpu", 3) == 0;) {
		line[strcspn(line, " ")] = 0;
		if (!line[3] || !hostview_has_cpu(v, (unsigned)strtoul(line + 3, NULL, 10)))
			continue;
		put_share(out, line, &u, idle, count, first);
		first = false;
	}
	/* Interrupts and context switches are the host's; what waits for a disk nobody counts. */
	fprintf(out, "intr 0\nctxt 0\nbtime %llu\nprocesses %llu\nprocs_running %u\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n", btime,
		(unsigned long long)atomic_load(&v->forks) + 1, MAX(u.running, 1));
	return 0;
}

/* ---- memory ---- */

typedef struct Line {
	const char *name;
	uint64_t kb;
} Line;

static uint64_t value_of(const Line *lines, size_t count, const char *name, size_t len)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(lines[i].name) == len && memcmp(lines[i].name, name, len) == 0)
			return lines[i].kb;
	return 0;
}

static const char *const sizes_of_the_kernel[] = { "Hugepagesize", "VmallocTotal" };

static bool is_fact(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(sizes_of_the_kernel); i++)
		if (strlen(sizes_of_the_kernel[i]) == len && memcmp(sizes_of_the_kernel[i], name, len) == 0)
			return true;
	return false;
}

/* Under a bound: what the processes have of their own is used, all else is free. The host's caches are nobody's here. */
int procfs_render_meminfo(const Foreign *f, const ProcPath *at, char *in, FILE *out)
{
	uint64_t total = hostview_bounds(f->env.view)->memory / 1024, used;
	HostUsage u;
	int r = usage_of(f, at, &u);

	if (r < 0)
		return r;
	used = MIN(u.memory / 1024, total);
	uint64_t available = MIN(total - used, field_after(in, "\nMemAvailable:"));
	const Line lines[] = { { "MemTotal", total },	  { "MemFree", total - used }, { "MemAvailable", available }, { "Active", used },	     { "Active(anon)", used },
			       { "AnonPages", used }, { "Committed_AS", used },	   { "CommitLimit", total } };
	for (char *line; (line = strsep(&in, "\n")) && (in || *line);) {
		size_t len = strcspn(line, ":");
		const char *unit = strstr(line, " kB") ? " kB" : "";
		if (!line[len])
			continue;
		if (is_fact(line, len)) {
			fprintf(out, "%s\n", line);
			continue;
		}
		line[len] = 0;
		fprintf(out, "%s:%*llu%s\n", line, (int)MAX(24 - (int)len - 1, 1), (unsigned long long)value_of(lines, ARRAY_LEN(lines), line, len), unit);
	}
	return 0;
}

/* ---- names ---- */

int procfs_render_version(const Foreign *f, const ProcPath *at, char *in, FILE *out)
{
	struct utsname name;
	int r = hostview_uname(f->env.view, &name);

	(void)at, (void)in;
	if (r == 0)
		fprintf(out, "%s version %s (bvisor@localhost) %s\n", name.sysname, name.release, name.version);
	return r;
}

int procfs_render_uts(const Foreign *f, const ProcPath *at, char *in, FILE *out)
{
	struct utsname name;
	int r = hostview_uname(f->env.view, &name);

	(void)in;
	if (r < 0)
		return r;
	const char *text = strcmp(at->name, "hostname") == 0 ? name.nodename : strcmp(at->name, "domainname") == 0 ? name.domainname : name.release;
	fprintf(out, "%s\n", text);
	return 0;
}

int procfs_render_boot_id(const Foreign *f, const ProcPath *at, char *in, FILE *out)
{
	char id[40];

	(void)at, (void)in;
	hostview_boot_id(f->env.view, id);
	fprintf(out, "%s\n", id);
	return 0;
}

/* ---- cpuinfo ---- */

enum { MAX_CORES = CPU_SETSIZE };
typedef struct Core {
	long package, core;
} Core;

static long number_in(const char *block, const char *key)
{
	const char *at = strstr(block, key);

	at = at ? strchr(at, ':') : NULL;
	return at ? strtol(at + 1, NULL, 10) : -1;
}

/* "processor : N" begins a block; those without one are of the whole machine. */
static bool is_block_shown(const HostView *v, const char *block)
{
	return strncmp(block, "processor", 9) != 0 || hostview_has_cpu(v, (unsigned)number_in(block, "processor"));
}

/* How many shown processors, or (cores) how many different cores of them, are in the package. */
static unsigned count_in(const Core *shown, size_t n, long package, bool cores)
{
	unsigned count = 0;

	for (size_t i = 0; i < n; i++) {
		bool counts = shown[i].package == package;
		for (size_t j = 0; j < i && cores && counts; j++)
			counts = shown[j].package != package || shown[j].core != shown[i].core;
		count += counts;
	}
	return count;
}

static void put_block(FILE *out, char *block, const Core *shown, size_t n)
{
	long package = number_in(block, "\nphysical id");

	for (char *line; (line = strsep(&block, "\n"));) {
		const char *colon = strchr(line, ':');
		bool cores = strncmp(line, "cpu cores", 9) == 0;
		if (colon && package >= 0 && (cores || strncmp(line, "siblings", 8) == 0))
			fprintf(out, "%.*s %u\n", (int)(colon - line) + 1, line, count_in(shown, n, package, cores));
		else
			fprintf(out, "%s\n", line);
	}
	putc('\n', out);
}

/* Cuts the next block off; NULL at the end. */
static char *next_block(char **in)
{
	char *block = *in, *end = block ? strstr(block, "\n\n") : NULL;

	if (!block || !*block)
		return NULL;
	if (end) {
		*end = 0;
		*in = end + 2;
	} else {
		size_t len = strlen(block);
		block[len - (block[len - 1] == '\n')] = 0;
		*in = NULL;
	}
	return block;
}

int procfs_render_cpuinfo(const Foreign *f, const ProcPath *at, char *in, FILE *out)
{
	const HostView *v = f->env.view;
	CLEAN_FREE Core *shown = calloc(MAX_CORES, sizeof(*shown));
	CLEAN_FREE char **blocks = NULL;
	size_t n = 0, count = 0, room = 0;

	(void)at;
	if (!shown)
		return -ENOMEM;
	for (char *block; (block = next_block(&in));) {
		if (!is_block_shown(v, block))
			continue;
		if (!BV_GROW(blocks, count, room))
			return -ENOMEM;
		blocks[count++] = block;
		if (strncmp(block, "processor", 9) == 0 && n < MAX_CORES)
			shown[n++] = (Core){ number_in(block, "\nphysical id"), number_in(block, "\ncore id") };
	}
	for (size_t i = 0; i < count; i++)
		put_block(out, blocks[i], shown, n);
	return 0;
}

/* ---- a process ---- */

enum { STAT_STATE = 0, STAT_START = 19 }; /* fields behind "(comm) " */

/* Its start counts from the sandbox's, as uptime does: ps adds the two. The thread that asks runs, though it waits for us now. */
int procfs_render_task_stat(const Foreign *f, const ProcPath *at, char *in, FILE *out)
{
	unsigned long long moved = f->env.view->start * ticks_per_second();
	char *rest = strrchr(in, ')'); /* comm may hold anything */

	if (!rest || rest[1] != ' ')
		return -EIO;
	fprintf(out, "%.*s ", (int)(rest + 1 - in), in);
	rest += 2;
	for (int field = 0; rest; field++) {
		char *word = strsep(&rest, " ");
		if (field == STAT_START) {
			unsigned long long start = strtoull(word, NULL, 10);
			fprintf(out, "%llu", start > moved ? start - moved : 0);
		} else if (field == STAT_STATE && at->caller) {
			putc('R', out);
		} else {
			fputs(word, out);
		}
		if (rest)
			putc(' ', out);
	}
	return 0;
}
