/* limits.c - see limits.h. */
#include "supervisor/limits.h"
#include "supervisor/cgroup.h"
#include "supervisor/diskmeter.h"
#include "supervisor/init.h"
#include "supervisor/meter.h"
#include "supervisor/packet.h"
#include "supervisor/supervisor.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>

#define CPU_PERIOD_US 100000
#define MEMORY_LEAST ((uint64_t)256 << 10)
#define MEMORY_LEAST_PAGES 64
#define NUMBER_MAX 9e15 /* what a JSON number keeps exactly */

typedef struct LimitState {
	Limits asked;
	bool enforced[LIMIT_KINDS];
	const char *by[LIMIT_KINDS];
	Cgroup group;
	Sender *sender; /* NULL: no control group counts memory */
	Meter *meter; /* of what no control group counts; NULL: nothing */
	DiskMeter *disk; /* NULL: no limit of bytes */
	_Atomic uint64_t full[2]; /* calls that were answered EDQUOT, for bytes and for files */
	char *warning;
	pthread_t watcher;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool watches;
	bool stop, poked; /* protected by lock */
} LimitState;

static const char *const names[LIMIT_KINDS] = {"memory", "cpus", "pids", "io-read", "io-write", "disk", "disk-files", "nofile"};

int limits_read(const cJSON *start, Limits *out)
{
	const cJSON *o = cJSON_GetObjectItemCaseSensitive(start, "limits");

	*out = (Limits){.best_effort = json_bool(o, "best_effort", false)};
	for (int k = 0; k < LIMIT_KINDS; k++) {
		double value = json_number(o, names[k], 0) * (k == LIMIT_CPUS ? 1000 : 1);
		if (!(value >= 0 && value <= NUMBER_MAX))
			return -EINVAL;
		out->of[k] = value > 0 ? MAX((uint64_t)(value + (k == LIMIT_CPUS ? 0.5 : 0)), UINT64_C(1)) : 0;
	}
	return 0;
}

bool limits_any(const Supervisor *sup)
{
	return sup->limits;
}

bool limits_of_disk(const Supervisor *sup)
{
	return sup->limits && sup->limits->asked.of[LIMIT_DISK];
}

const char *limits_warning(const Supervisor *sup)
{
	return sup->limits ? sup->limits->warning : NULL;
}

/* A value as people write it. */
static const char *text_of(LimitKind kind, uint64_t value, char out[48])
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	size_t unit = 0;
	double scaled = (double)value;

	if (kind == LIMIT_CPUS) {
		snprintf(out, 48, "%g", scaled / 1000);
	} else if (kind == LIMIT_PIDS || kind == LIMIT_FILES || kind == LIMIT_NOFILE) {
		snprintf(out, 48, "%llu", (unsigned long long)value);
	} else {
		while (scaled >= 1024 && unit + 1 < ARRAY_LEN(units)) {
			scaled /= 1024;
			unit++;
		}
		snprintf(out, 48, "%.*f %s%s", scaled < 10 && unit && scaled != (double)(int)scaled, scaled, units[unit], kind == LIMIT_IO_READ || kind == LIMIT_IO_WRITE ? "/s" : "");
	}
	return out;
}

/* ---- what cannot be ---- */

/* A line is kept as a warning, or is the error. */
static int cannot(LimitState *s, LimitKind kind, const char *why, char **err)
{
	if (!s->asked.best_effort)
		return bv_fail(err, -EOPNOTSUPP, "--%s cannot be enforced here: %s; with --best-effort it runs without", names[kind], why);
	char *longer = bv_asprintf("%s%s--%s is not enforced: %s", s->warning ? s->warning : "", s->warning ? "\n" : "", names[kind], why);
	if (!longer)
		return -ENOMEM;
	free(s->warning);
	s->warning = longer;
	return 0;
}

static uint64_t number_in(const char *path, uint64_t otherwise)
{
	CLEAN_FREE char *text = NULL;

	return bv_read_file_at(AT_FDCWD, path, 4096, &text) > 0 ? strtoull(text, NULL, 10) : otherwise;
}

static uint64_t host_memory(void)
{
	struct sysinfo info;

	return sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit : UINT64_MAX;
}

static int check_one(const LimitState *s, LimitKind kind, uint64_t host, const char *whose, char **err)
{
	char asked[48], has[48];

	if (s->asked.of[kind] <= host)
		return 0;
	return bv_fail(err, -ERANGE, "--%s %s is more than %s: %s", names[kind], text_of(kind, s->asked.of[kind], asked), whose, text_of(kind, host, has));
}

/* With less the kernel ends a process before its first instruction, or cannot load it. */
static int check_least(const LimitState *s, char **err)
{
	uint64_t asked = s->asked.of[LIMIT_MEMORY], least = MAX(MEMORY_LEAST, (uint64_t)sysconf(_SC_PAGESIZE) * MEMORY_LEAST_PAGES);
	char text[48], needed[48];

	if (!asked || asked >= least)
		return 0;
	return bv_fail(err, -ERANGE, "--memory %s is less than a program takes to start: %s at least", text_of(LIMIT_MEMORY, asked, text), text_of(LIMIT_MEMORY, least, needed));
}

/* The kernel would take more, and never enforce it. */
static int check_host(const LimitState *s, const Supervisor *sup, const struct rlimit *nofile, char **err)
{
	uint64_t pids = MIN(number_in("/proc/sys/kernel/pid_max", UINT64_MAX), number_in("/proc/sys/kernel/threads-max", UINT64_MAX));
	int cpus = CPU_COUNT(&sup->cpus);
	int r = check_least(s, err);

	if (r == 0)
		r = check_one(s, LIMIT_MEMORY, host_memory(), "this machine has", err);
	if (r == 0)
		r = check_one(s, LIMIT_MEMORY, s->group.ceiling[CGROUP_MEMORY], "the control group of the caller may use", err);
	if (r == 0)
		r = check_one(s, LIMIT_CPUS, cpus ? (uint64_t)cpus * 1000 : UINT64_MAX, "the caller may use", err);
	if (r == 0)
		r = check_one(s, LIMIT_CPUS, s->group.ceiling[CGROUP_CPU], "the control group of the caller may use", err);
	if (r == 0)
		r = check_one(s, LIMIT_PIDS, pids, "this machine can have", err);
	if (r == 0)
		r = check_one(s, LIMIT_PIDS, s->group.ceiling[CGROUP_PIDS], "the control group of the caller may have", err);
	if (r == 0)
		r = check_one(s, LIMIT_NOFILE, nofile->rlim_max, "the caller's hard limit (ulimit -Hn)", err);
	return r;
}

/* ---- what can be ---- */

/* A write that failed is a reason not to count on the group. */
static int note(Cgroup *g, CgroupKind kind, const char *file, int r)
{
	if (r == 0)
		return 0;
	free(g->why[kind]);
	g->why[kind] = bv_asprintf("%s/%s: %s", g->of[kind]->path, file, strerror(-r));
	g->of[kind] = NULL;
	return g->why[kind] ? 0 : -ENOMEM;
}

static int set_memory(Cgroup *g, uint64_t bytes)
{
	const CgroupLeaf *leaf = g->of[CGROUP_MEMORY];
	const char *file = leaf->v2 ? "memory.max" : "memory.limit_in_bytes", *swap = leaf->v2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes";
	int r = cgroup_write_number(leaf, file, bytes);

	/* Swap is no way to have more. Without that file there is no swap, or none is counted. */
	if (r == 0 && faccessat(leaf->dir, swap, F_OK, 0) == 0)
		r = cgroup_write_number(leaf, file = swap, leaf->v2 ? 0 : bytes);
	if (r == 0 && !leaf->v2) /* version 2 counts it as memory; the kernel may be without */
		IGNORE_RESULT(cgroup_write_number(leaf, "memory.kmem.tcp.limit_in_bytes", bytes));
	return note(g, CGROUP_MEMORY, file, r);
}

static int set_cpus(Cgroup *g, uint64_t thousandths)
{
	const CgroupLeaf *leaf = g->of[CGROUP_CPU];
	uint64_t quota = MAX(thousandths * (CPU_PERIOD_US / 1000), UINT64_C(1000)); /* the least that the kernel takes */
	char text[48];
	int r;

	if (leaf->v2) {
		snprintf(text, sizeof text, "%llu %d", (unsigned long long)quota, CPU_PERIOD_US);
		return note(g, CGROUP_CPU, "cpu.max", cgroup_write(leaf, "cpu.max", text));
	}
	r = cgroup_write_number(leaf, "cpu.cfs_period_us", CPU_PERIOD_US);
	if (r == 0)
		r = cgroup_write_number(leaf, "cpu.cfs_quota_us", quota);
	return note(g, CGROUP_CPU, "cpu.cfs_quota_us", r);
}

static bool is_disk(const char *name)
{
	return name[0] != '.' && strncmp(name, "loop", 4) != 0 && strncmp(name, "ram", 3) != 0 && strncmp(name, "zram", 4) != 0;
}

/* For each disk of this machine; partitions cannot have a limit. */
static int set_io(Cgroup *g, bool write, uint64_t bytes)
{
	const CgroupLeaf *leaf = g->of[CGROUP_IO];
	const char *file = leaf->v2 ? "io.max" : write ? "blkio.throttle.write_bps_device" : "blkio.throttle.read_bps_device";
	DIR *d = opendir("/sys/block");
	struct dirent *e;
	char line[96];
	size_t disks = 0;
	int r = 0;

	while (d && r == 0 && (e = readdir(d))) {
		CLEAN_FREE char *path = bv_asprintf("/sys/block/%s/dev", e->d_name), *dev = NULL;
		if (!is_disk(e->d_name) || !path || bv_read_file_at(AT_FDCWD, path, 32, &dev) <= 0)
			continue;
		dev[strcspn(dev, "\n")] = '\0';
		snprintf(line, sizeof line, leaf->v2 ? write ? "%s wbps=%llu" : "%s rbps=%llu" : "%s %llu", dev, (unsigned long long)bytes);
		r = cgroup_write(leaf, file, line);
		disks += r == 0;
		if (r == -ENODEV) /* of /sys/block, but takes no limits */
			r = 0;
	}
	if (d)
		closedir(d);
	return note(g, CGROUP_IO, file, r == 0 && disks == 0 ? -ENODEV : r);
}

/* So many, beginning somewhere else for each sandbox. */
static int bind_cpus(Supervisor *sup, uint64_t thousandths)
{
	unsigned want = (unsigned)((thousandths + 999) / 1000), have = (unsigned)CPU_COUNT(&sup->cpus), nth = 0;
	unsigned first = have ? (unsigned)getpid() % have : 0;
	cpu_set_t chosen;

	if (want >= have)
		return 0;
	CPU_ZERO(&chosen);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &sup->cpus) && (nth++ + have - first) % have < want)
			CPU_SET(cpu, &chosen);
	sup->cpus = chosen;
	sup->cpus_known = want > 1;
	sup->cpus_limited = true;
	return 0;
}

static void enforced(LimitState *s, LimitKind kind, const char *by)
{
	s->enforced[kind] = true;
	s->by[kind] = by;
}

static const char *group_name(const LimitState *s, CgroupKind kind)
{
	return s->group.of[kind]->v2 ? "cgroup v2" : "cgroup v1";
}

static int apply_memory(LimitState *s)
{
	uint64_t bytes = s->asked.of[LIMIT_MEMORY];
	int r = bytes && s->group.of[CGROUP_MEMORY] ? set_memory(&s->group, bytes) : 0;

	if (bytes && r == 0)
		enforced(s, LIMIT_MEMORY, s->group.of[CGROUP_MEMORY] ? group_name(s, CGROUP_MEMORY) : "supervisor");
	return r;
}

static int apply_pids(LimitState *s)
{
	uint64_t pids = s->asked.of[LIMIT_PIDS];
	int r = pids && s->group.of[CGROUP_PIDS] ? note(&s->group, CGROUP_PIDS, "pids.max", cgroup_write_number(s->group.of[CGROUP_PIDS], "pids.max", pids)) : 0;

	if (pids && r == 0)
		enforced(s, LIMIT_PIDS, s->group.of[CGROUP_PIDS] ? group_name(s, CGROUP_PIDS) : "supervisor");
	return r;
}

static int apply_cpus(LimitState *s, Supervisor *sup, char **err)
{
	uint64_t thousandths = s->asked.of[LIMIT_CPUS];
	bool fraction = thousandths % 1000;
	int r = 0;

	if (fraction && s->group.of[CGROUP_CPU])
		r = set_cpus(&s->group, thousandths);
	if (r < 0 || !thousandths)
		return r;
	if (fraction && !s->group.of[CGROUP_CPU]) {
		CLEAN_FREE char *why = bv_asprintf("a part of a processor takes a control group, and %s; a whole number of processors needs none", s->group.why[CGROUP_CPU]);
		r = why ? cannot(s, LIMIT_CPUS, why, err) : -ENOMEM;
	} else {
		enforced(s, LIMIT_CPUS, fraction ? group_name(s, CGROUP_CPU) : "affinity");
	}
	return r < 0 ? r : bind_cpus(sup, thousandths);
}

static int apply_io(LimitState *s, LimitKind kind, char **err)
{
	uint64_t bytes = s->asked.of[kind];
	bool write = kind == LIMIT_IO_WRITE;
	int r = bytes && s->group.of[CGROUP_IO] ? set_io(&s->group, write, bytes) : 0;

	if (!bytes || r < 0)
		return r;
	if (!s->group.of[CGROUP_IO])
		return cannot(s, kind, s->group.why[CGROUP_IO], err);
	if (write && !s->group.of[CGROUP_IO]->v2)
		return cannot(s, kind, "cgroup v1 limits direct writes (O_DIRECT) only, and most are written to the disk later; cgroup v2 limits all", err);
	enforced(s, kind, group_name(s, CGROUP_IO));
	return 0;
}

static unsigned group_kinds(const Limits *l)
{
	return (l->of[LIMIT_MEMORY] ? 1U << CGROUP_MEMORY : 0) | (l->of[LIMIT_CPUS] % 1000 ? 1U << CGROUP_CPU : 0) | (l->of[LIMIT_PIDS] ? 1U << CGROUP_PIDS : 0) |
	       (l->of[LIMIT_IO_READ] || l->of[LIMIT_IO_WRITE] ? 1U << CGROUP_IO : 0);
}

static int apply(LimitState *s, Supervisor *sup, struct rlimit *nofile, char **err)
{
	int r = check_host(s, sup, nofile, err);

	if (r == 0)
		r = apply_memory(s);
	if (r == 0)
		r = apply_pids(s);
	if (r == 0)
		r = apply_cpus(s, sup, err);
	if (r == 0)
		r = apply_io(s, LIMIT_IO_READ, err);
	if (r == 0)
		r = apply_io(s, LIMIT_IO_WRITE, err);
	if (r == 0 && s->asked.of[LIMIT_NOFILE]) {
		nofile->rlim_cur = nofile->rlim_max = s->asked.of[LIMIT_NOFILE];
		enforced(s, LIMIT_NOFILE, "rlimit");
	}
	return r;
}

int limits_start(Supervisor *sup, const Limits *limits, const char *name, struct rlimit *nofile, char **err)
{
	const CgroupSource self = CGROUP_SOURCE_SELF, none = {"/dev/null", "/dev/null"};
	bool any = false;

	for (int k = 0; k < LIMIT_KINDS; k++)
		any |= limits->of[k] != 0;
	if (!any)
		return 0;
	LimitState *s = calloc(1, sizeof *s);
	if (!s)
		return -ENOMEM;
	*s = (LimitState){.asked = *limits, .group.alive = -1};
	sup->limits = s;
	int r = cgroup_make(sup->features.cgroups ? &self : &none, group_kinds(limits), name, &s->group);
	if (r == 0)
		r = apply(s, sup, nofile, err);
	if (r == 0 && s->group.of[CGROUP_MEMORY])
		r = sender_new(&s->sender);
	if (r == 0 && s->group.count)
		r = cgroup_keep(&s->group, s->sender);
	return r;
}

int limits_doors(Supervisor *sup, int *fds)
{
	return sup->limits ? cgroup_doors(&sup->limits->group, fds) : 0;
}

/* ---- what the supervisor enforces itself ---- */

static void *watch(void *arg)
{
	LimitState *s = arg;
	struct timespec until;

	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		s->poked = false;
		pthread_mutex_unlock(&s->lock);
		unsigned ms = s->meter ? meter_look(s->meter) : UINT32_MAX;
		if (s->disk)
			ms = MIN(ms, diskmeter_look(s->disk));
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += (long)ms * 1000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_mutex_lock(&s->lock);
		if (!s->stop && !s->poked)
			pthread_cond_timedwait(&s->wake, &s->lock, &until);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* Perhaps under cowfs' lock. */
static void poke(void *ctx)
{
	LimitState *s = ctx;

	pthread_mutex_lock(&s->lock);
	s->poked = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

static int start_disk(Supervisor *sup, const char *where, char **err)
{
	LimitState *s = sup->limits;
	const CowQuotaConfig config = {.bytes = s->asked.of[LIMIT_DISK], .files = s->asked.of[LIMIT_FILES], .wake = poke, .ctx = s};
	struct statvfs st;
	int r = 0;

	if (!config.bytes && !config.files)
		return 0;
	if (statvfs(where, &st) == 0 && st.f_blocks)
		r = check_one(s, LIMIT_DISK, (uint64_t)st.f_blocks * st.f_frsize, "the file system of the store has", err);
	if (r == 0)
		r = cowfs_quota_start(sup->fs, &config);
	if (r == 0 && config.bytes)
		r = diskmeter_new(sup, config.bytes, &s->disk);
	enforced(s, LIMIT_DISK, "supervisor");
	enforced(s, LIMIT_FILES, "supervisor");
	return r;
}

int limits_start_view(Supervisor *sup, char **err)
{
	LimitState *s = sup->limits;

	if (!s)
		return 0;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, NULL);
	uint64_t memory = s->group.of[CGROUP_MEMORY] ? 0 : s->asked.of[LIMIT_MEMORY], pids = s->group.of[CGROUP_PIDS] ? 0 : s->asked.of[LIMIT_PIDS];
	int r = memory || pids ? meter_new(sup, memory, pids, &s->meter) : 0;
	char *slash = strrchr(sup->watch_dir, '/'); /* beside the bodies */
	CLEAN_FREE char *where = strndup(sup->watch_dir, slash ? (size_t)(slash - sup->watch_dir) : 0);
	if (r == 0)
		r = where ? start_disk(sup, where, err) : -ENOMEM;
	if (r < 0 || (!memory && !s->disk))
		return r;
	r = -pthread_create(&s->watcher, NULL, watch, s);
	s->watches = r == 0;
	return r < 0 ? bv_fail(err, r, "cannot start a thread that watches the limits: %s", strerror(-r)) : 0;
}

void limits_end(Supervisor *sup)
{
	LimitState *s = sup->limits;

	if (!s)
		return;
	if (s->watches) {
		pthread_mutex_lock(&s->lock);
		s->stop = true;
		pthread_cond_signal(&s->wake);
		pthread_mutex_unlock(&s->lock);
		pthread_join(s->watcher, NULL);
	}
	cgroup_remove(&s->group);
	sender_free(s->sender);
	meter_free(s->meter);
	diskmeter_free(s->disk);
	sup->limits = NULL; /* it stays: cowfs may call poke as long as it is there */
}

int limits_may_clone(Supervisor *sup, bool may_block)
{
	return sup->limits ? meter_may_clone(sup->limits->meter, may_block) : 0;
}

void limits_note_spawn(Supervisor *sup)
{
	if (sup->limits)
		meter_note_spawn(sup->limits->meter);
}

bool limits_count_sends(const Supervisor *sup)
{
	return sup->limits && sup->limits->sender;
}

/* It is no task of the guests': where one group counts both it gets a place of its own. */
static void make_place_for_sender(LimitState *s)
{
	const CgroupLeaf *leaf = s->group.of[CGROUP_PIDS];

	if (leaf && leaf == s->group.of[CGROUP_MEMORY] && !sender_was_used(s->sender))
		IGNORE_RESULT(cgroup_write_number(leaf, "pids.max", s->asked.of[LIMIT_PIDS] + 1));
}

ssize_t limits_send(Supervisor *sup, int sock, const struct msghdr *m, const int *passed, size_t n, int flags)
{
	LimitState *s = sup->limits;

	make_place_for_sender(s);
	return sender_send(s->sender, s->group.alive, sock, m, passed, n, flags);
}

bool limits_retry(Supervisor *sup, int value)
{
	return value == -EDQUOT && sup->limits && (sup->limits->asked.of[LIMIT_DISK] || sup->limits->asked.of[LIMIT_FILES]);
}

void limits_note_full(Supervisor *sup)
{
	unsigned full = cowfs_quota_full(sup->fs);

	if (full & COW_FULL_BYTES)
		atomic_fetch_add(&sup->limits->full[0], 1);
	if (full & COW_FULL_FILES)
		atomic_fetch_add(&sup->limits->full[1], 1);
}

/* ---- what was reached ---- */

typedef struct Counts {
	uint64_t peak[LIMIT_KINDS];
	LimitHits hits;
} Counts;

static void count_memory(LimitState *s, Counts *out)
{
	const CgroupLeaf *leaf = s->group.of[CGROUP_MEMORY];

	if (!leaf)
		return;
	uint64_t now = cgroup_number(leaf, leaf->v2 ? "memory.current" : "memory.usage_in_bytes", NULL, 0);
	out->peak[LIMIT_MEMORY] = cgroup_number(leaf, leaf->v2 ? "memory.peak" : "memory.max_usage_in_bytes", NULL, now); /* v2: kernel 5.19 */
	out->hits.of[LIMIT_MEMORY] = cgroup_number(leaf, leaf->v2 ? "memory.events" : "memory.oom_control", "oom_kill", 0);
	if (out->hits.of[LIMIT_MEMORY])
		out->peak[LIMIT_MEMORY] = MAX(out->peak[LIMIT_MEMORY], now);
}

static void count_pids(LimitState *s, Counts *out)
{
	const CgroupLeaf *leaf = s->group.of[CGROUP_PIDS];

	if (!leaf)
		return;
	uint64_t now = cgroup_number(leaf, "pids.current", NULL, 0);
	out->hits.of[LIMIT_PIDS] = cgroup_number(leaf, "pids.events", "max", 0);
	uint64_t ours = leaf == s->group.of[CGROUP_MEMORY] && sender_was_used(s->sender);
	uint64_t peak = cgroup_number(leaf, "pids.peak", NULL, out->hits.of[LIMIT_PIDS] ? s->asked.of[LIMIT_PIDS] + ours : now); /* kernel 6.1 */
	out->peak[LIMIT_PIDS] = peak - MIN(peak, ours);
}

static void count_disk(Supervisor *sup, Counts *out)
{
	LimitState *s = sup->limits;
	size_t none = 0;
	CowQuotaUsage u;

	IGNORE_RESULT(cowfs_quota_look(sup->fs, NULL, &none));
	cowfs_quota_usage(sup->fs, &u);
	out->peak[LIMIT_DISK] = u.peak;
	out->peak[LIMIT_FILES] = u.files;
	out->hits.of[LIMIT_DISK] = atomic_load(&s->full[0]) + (s->disk ? diskmeter_stopped(s->disk) : 0);
	out->hits.of[LIMIT_FILES] = atomic_load(&s->full[1]);
}

static void count(Supervisor *sup, Counts *out)
{
	LimitState *s = sup->limits;
	MeterCounts m = {0};

	*out = (Counts){0};
	if (s->meter) {
		meter_counts(s->meter, &m);
		out->peak[LIMIT_MEMORY] = m.memory_peak;
		out->hits.of[LIMIT_MEMORY] = m.memory_hits;
		out->peak[LIMIT_PIDS] = m.pids_peak;
		out->hits.of[LIMIT_PIDS] = m.pids_hits;
	}
	count_memory(s, out);
	count_pids(s, out);
	count_disk(sup, out);
}

void limits_hits(Supervisor *sup, LimitHits *out)
{
	Counts c = {0};

	if (sup->limits)
		count(sup, &c);
	*out = c.hits;
}

/* One line about one limit. */
static char *tell(const LimitState *s, LimitKind kind, uint64_t hits, uint64_t peak)
{
	char limit[48], most[48];

	text_of(kind, s->asked.of[kind], limit);
	text_of(kind, peak, most);
	switch (kind) {
	case LIMIT_MEMORY:
		return bv_asprintf("the memory limit of %s was reached: %llu process%s killed (peak %s); --memory sets it", limit, (unsigned long long)hits, hits == 1 ? " was" : "es were", most);
	case LIMIT_PIDS:
		return bv_asprintf("the limit of %s processes and threads was reached: %llu more %s refused (peak %s); --pids sets it", limit, (unsigned long long)hits, hits == 1 ? "was" : "were", most);
	case LIMIT_DISK:
		return bv_asprintf("the disk limit of %s was reached %llu time%s (peak %s): a call failed with EDQUOT, or a process that went on writing was ended; --disk sets it", limit,
				   (unsigned long long)hits, hits == 1 ? "" : "s", most);
	case LIMIT_FILES:
		return bv_asprintf("the limit of %s changed files and directories was reached: %llu call%s failed with EDQUOT; --disk-files sets it", limit, (unsigned long long)hits, hits == 1 ? "" : "s");
	default:
		return bv_asprintf("the limit --%s %s was reached %llu times (peak %s)", names[kind], limit, (unsigned long long)hits, most);
	}
}

char *limits_remark(Supervisor *sup, const LimitHits *before)
{
	char *all = NULL;
	Counts c;

	if (!sup->limits)
		return NULL;
	count(sup, &c);
	for (int k = 0; k < LIMIT_KINDS; k++) {
		uint64_t hits = c.hits.of[k] - MIN(before->of[k], c.hits.of[k]);
		CLEAN_FREE char *line = hits ? tell(sup->limits, (LimitKind)k, hits, c.peak[k]) : NULL;
		char *longer = line ? bv_asprintf("%s%s%s", all ? all : "", all ? "\n" : "", line) : NULL;
		if (longer) {
			free(all);
			all = longer;
		}
	}
	return all;
}

cJSON *limits_json(Supervisor *sup, const LimitHits *before)
{
	cJSON *list = cJSON_CreateArray();
	LimitState *s = sup->limits;
	Counts c = {0};

	if (s)
		count(sup, &c);
	for (int k = 0; s && k < LIMIT_KINDS; k++) {
		if (!s->asked.of[k])
			continue;
		uint64_t had = before ? before->of[k] : 0;
		cJSON *o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "name", names[k]);
		cJSON_AddNumberToObject(o, "limit", (double)s->asked.of[k] / (k == LIMIT_CPUS ? 1000 : 1));
		cJSON_AddStringToObject(o, "by", s->enforced[k] ? s->by[k] : "nothing");
		cJSON_AddNumberToObject(o, "peak", (double)c.peak[k]);
		cJSON_AddNumberToObject(o, "hits", (double)(c.hits.of[k] - MIN(had, c.hits.of[k])));
		cJSON_AddItemToArray(list, o);
	}
	return list;
}

/* For who asks when nothing runs any more. Best effort: it is a report. */
void limits_save(Supervisor *sup)
{
	CLEAN_FREE char *path = bv_asprintf("%s/limits.json", sup->dir), *aside = bv_asprintf("%s/limits.json.new", sup->dir);
	cJSON *list = limits_json(sup, NULL);
	CLEAN_FREE char *text = cJSON_PrintUnformatted(list);
	CLEAN_FD int fd = path && aside && text ? open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;

	cJSON_Delete(list);
	if (fd >= 0 && (bv_write_full(fd, text, strlen(text)) < 0 || rename(aside, path) < 0))
		unlink(aside);
}
