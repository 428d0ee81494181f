#include "supervisor/hostview.h"

#include <fcntl.h>
#include <sys/random.h>
#include <time.h>

#define NS 1000000000ULL
#define LOAD_STEP (5 * NS)
#define LOAD_BITS HOSTVIEW_LOAD_BITS
#define LOAD_ONE (1UL << LOAD_BITS)
#define USAGE_TEXT 8192

static uint64_t boottime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * NS + (uint64_t)now.tv_nsec;
}

void hostview_read_cpus(const char *text, cpu_set_t *out)
{
	CPU_ZERO(out);
	for (const char *at = text; *at >= '0' && *at <= '9';) {
		char *end;
		unsigned long from = strtoul(at, &end, 10), to = from;
		if (*end == '-')
			to = strtoul(end + 1, &end, 10);
		for (; from <= to && from < CPU_SETSIZE; from++)
			CPU_SET(from, out);
		at = *end == ',' ? end + 1 : end;
	}
}

/* Are these all the processors that are online? */
static bool is_whole_host(const cpu_set_t *cpus)
{
	CLEAN_FREE char *text = NULL;
	cpu_set_t online, both;

	if (bv_read_file_at(AT_FDCWD, "/sys/devices/system/cpu/online", 65536, &text) <= 0)
		return true;
	hostview_read_cpus(text, &online);
	CPU_AND(&both, &online, cpus);
	return CPU_EQUAL(&both, &online);
}

static int take_name(char to[HOSTVIEW_NAME], const char *from)
{
	size_t len = from ? strlen(from) : 0;

	if (len >= HOSTVIEW_NAME)
		return -EINVAL;
	if (len)
		memcpy(to, from, len);
	to[len] = 0;
	return 0;
}

int hostview_init(HostView *v, const cpu_set_t *cpus, const char *host_name, const char *release)
{
	*v = (HostView){0};
	int r = take_name(v->host_name, host_name);
	if (r == 0)
		r = take_name(v->release, release);
	if (r < 0)
		return r;
	if (cpus)
		v->cpus = *cpus;
	v->all_cpus = !cpus || is_whole_host(cpus);
	v->start = boottime_ns() / NS;
	pthread_mutex_init(&v->lock, NULL);
	return 0;
}

const HostView *hostview_bounds(HostView *v)
{
	if (atomic_load(&v->bounds_known))
		return v;
	pthread_mutex_lock(&v->lock);
	if (!atomic_load(&v->bounds_known)) {
		uint64_t all = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
		hostgroup_read(v);
		if (v->memory >= all)
			v->memory = 0;
		atomic_store(&v->bounds_known, true);
	}
	pthread_mutex_unlock(&v->lock);
	return v;
}

bool hostview_has_cpu(const HostView *v, unsigned cpu)
{
	return v->all_cpus || (cpu < CPU_SETSIZE && CPU_ISSET(cpu, &v->cpus));
}

unsigned hostview_cpu_count(const HostView *v)
{
	int n = CPU_COUNT(&v->cpus);

	return n > 0 ? (unsigned)n : (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
}

unsigned hostview_last_cpu(const HostView *v)
{
	unsigned last = 0;

	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &v->cpus))
			last = cpu;
	return last;
}

double hostview_uptime(const HostView *v)
{
	return (double)(boottime_ns() - v->start * NS) / 1e9;
}

int hostview_uname(const HostView *v, struct utsname *out)
{
	if (uname(out) < 0)
		return bv_neg_errno();
	if (v->host_name[0]) {
		snprintf(out->nodename, sizeof out->nodename, "%s", v->host_name);
		snprintf(out->domainname, sizeof out->domainname, "(none)"); /* the host's would name it */
	}
	if (v->release[0])
		snprintf(out->release, sizeof out->release, "%s", v->release);
	return 0;
}

void hostview_boot_id(HostView *v, char out[40])
{
	unsigned char b[16];

	pthread_mutex_lock(&v->lock);
	if (!v->boot_id[0] && getrandom(b, sizeof b, 0) == sizeof b) {
		b[6] = (b[6] & 0x0f) | 0x40;
		b[8] = (b[8] & 0x3f) | 0x80;
		snprintf(v->boot_id, sizeof v->boot_id, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3], b[4], b[5], b[6],
			 b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
	}
	memcpy(out, v->boot_id, sizeof v->boot_id);
	pthread_mutex_unlock(&v->lock);
}

/* ---- what is used ---- */

typedef struct Sum {
	HostUsage usage;
	unsigned long long newest_start;
} Sum;

/* One process: /proc/PID/stat has all that is asked for, but for its own memory. */
static int read_stat(pid_t pid, char text[USAGE_TEXT], const char *name)
{
	char path[48];

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	CLEAN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, USAGE_TEXT - 1);
	if (n <= 0)
		return -ESRCH;
	text[n] = 0;
	return 0;
}

typedef struct ProcStat {
	char state;
	unsigned long long utime, stime, cutime, cstime, threads, start;
} ProcStat;

static int parse_stat(pid_t pid, ProcStat *out)
{
	char text[USAGE_TEXT];
	int r = read_stat(pid, text, "stat");
	const char *end = r < 0 ? NULL : strrchr(text, ')');

	if (!end || sscanf(end + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu %*d %*d %llu %*d %llu", &out->state, &out->utime, &out->stime,
			   &out->cutime, &out->cstime, &out->threads, &out->start) != 7)
		return -ESRCH;
	return 0;
}

static int add_process(void *ctx, pid_t pid)
{
	Sum *sum = ctx;
	HostUsage *u = &sum->usage;
	unsigned long long resident, shared;
	char text[USAGE_TEXT];
	ProcStat st;

	if (parse_stat(pid, &st) < 0)
		return 0;
	u->user += st.utime + st.cutime;
	u->system += st.stime + st.cstime;
	u->processes++;
	u->threads += (unsigned)st.threads;
	u->running += st.state == 'R';
	if (st.start >= sum->newest_start) {
		sum->newest_start = st.start;
		u->newest = pid;
	}
	if (read_stat(pid, text, "statm") == 0 && sscanf(text, "%*u %llu %llu", &resident, &shared) == 2 && resident > shared)
		u->memory += (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
	return 0;
}

/* x^n of a fixed-point number. */
static uint64_t power(uint64_t x, uint64_t n)
{
	uint64_t result = LOAD_ONE;

	for (; n; n >>= 1, x = (x * x + LOAD_ONE / 2) >> LOAD_BITS)
		if (n & 1)
			result = (result * x + LOAD_ONE / 2) >> LOAD_BITS;
	return result;
}

/* As the kernel's load averages, in steps of 5 seconds, but of the time that was used: so they can be made when somebody asks, and nobody has to count
 * meanwhile. What waits for a processor is not in them. */
static void age_loads_locked(HostView *v, uint64_t now)
{
	static const uint64_t decay[3] = {1884, 2014, 2037}; /* e^(-5/60), e^(-5/300), e^(-5/900) */
	uint64_t steps = (now - v->load_at) / LOAD_STEP, ticks = v->usage.user + v->usage.system, hz = (uint64_t)sysconf(_SC_CLK_TCK);

	if (steps == 0)
		return;
	uint64_t busy = (ticks - v->load_ticks) * LOAD_ONE * (NS / hz) / (now - v->load_at);
	for (int i = 0; i < 3; i++) {
		uint64_t left = power(decay[i], steps);
		uint64_t load = v->usage.loads[i] * left + busy * (LOAD_ONE - left);
		v->usage.loads[i] = (unsigned long)((load + (busy >= v->usage.loads[i] ? LOAD_ONE - 1 : 0)) >> LOAD_BITS);
	}
	v->load_at = now;
	v->load_ticks = ticks;
}

/* Times never go back, also where the kernel forgets those of a child that nobody waited for. */
static void sample_locked(HostView *v, ProcTree *tree, uint64_t now)
{
	Sum sum = {0};
	ProcStat init;

	IGNORE_RESULT(proctree_list(tree, add_process, &sum));
	if (parse_stat(proctree_init_pid(tree), &init) == 0) {
		sum.usage.user += init.cutime;
		sum.usage.system += init.cstime;
	}
	sum.usage.user = MAX(sum.usage.user, v->usage.user);
	sum.usage.system = MAX(sum.usage.system, v->usage.system);
	memcpy(sum.usage.loads, v->usage.loads, sizeof v->usage.loads);
	v->usage = sum.usage;
	if (!v->sampled)
		v->load_at = v->start * NS;
	age_loads_locked(v, now);
	v->sampled = now;
}

int hostview_usage(HostView *v, ProcTree *tree, uint64_t max_age, bool may_block, HostUsage *out)
{
	int r = 0;

	if (may_block)
		pthread_mutex_lock(&v->lock);
	else if (pthread_mutex_trylock(&v->lock) != 0) /* somebody makes one */
		return -EINPROGRESS;
	uint64_t now = boottime_ns();
	if (!v->sampled || now - v->sampled > max_age) {
		if (may_block)
			sample_locked(v, tree, now);
		else
			r = -EINPROGRESS;
	}
	if (r == 0)
		*out = v->usage;
	pthread_mutex_unlock(&v->lock);
	return r;
}
