/* tests/guest/hostinfo.c - what programs learn of the machine: each source is there, in the kernel's form, and all of them agree. A sandbox without options has what
 * the host has, but for times, which count from its start.
 * COVERS: uname sysinfo getrlimit prlimit64 getrusage times getcpu sched_getaffinity sched_setaffinity statfs */
#include "guest.h"

#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/utsname.h>

static char text[1 << 20];

static const char *slurp(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;

	for (ssize_t n; fd >= 0 && len < sizeof(text) - 1 && (n = read(fd, text + len, sizeof(text) - 1 - len)) > 0;)
		len += (size_t)n;
	text[len] = 0;
	if (fd >= 0)
		close(fd);
	return text;
}

static unsigned long long after(const char *path, const char *key)
{
	const char *at = strstr(slurp(path), key);

	return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

static int lines_with(const char *path, const char *start)
{
	int count = 0;

	for (const char *at = slurp(path); at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
		count += strncmp(at, start, strlen(start)) == 0;
	return count;
}

/* "0-3,8" */
static int listed(const char *path, cpu_set_t *out)
{
	CPU_ZERO(out);
	for (const char *at = slurp(path); *at >= '0' && *at <= '9';) {
		char *end;
		unsigned long from = strtoul(at, &end, 10), to = *end == '-' ? strtoul(end + 1, &end, 10) : from;
		for (; from <= to; from++)
			CPU_SET(from, out);
		at = *end == ',' ? end + 1 : end;
	}
	return CPU_COUNT(out);
}

static void names(void)
{
	struct utsname u, again;
	char host[256];

	ERR(uname(&u));
	printf("%s|%s|%s|%s|%s|%s\n", u.sysname, u.nodename, u.release, u.version, u.machine, u.domainname);
	ERR(gethostname(host, sizeof(host)));
	TRUTH(strcmp(host, u.nodename) == 0);
	TRUTH(strstr(slurp("/proc/sys/kernel/hostname"), u.nodename) == text);
	TRUTH(strstr(slurp("/proc/sys/kernel/osrelease"), u.release) == text);
	TRUTH(strstr(slurp("/proc/sys/kernel/version"), u.version) == text);
	TRUTH(strstr(slurp("/proc/sys/kernel/domainname"), u.domainname) == text);
	TRUTH(strstr(slurp("/proc/version"), u.release) != NULL);
	ERR(syscall(__NR_uname, NULL));
	ERR(syscall(__NR_uname, 16));
	syscall(__NR_personality, 0x0020000); /* UNAME26 */
	ERR(uname(&again));
	printf("%s\n", again.release);
	syscall(__NR_personality, 0);
	ERR(uname(&again));
	TRUTH(strcmp(u.release, again.release) == 0);
}

static void memory(void)
{
	struct sysinfo s;

	ERR(sysinfo(&s));
	printf("%llu %u\n", (unsigned long long)s.totalram * s.mem_unit, s.mem_unit);
	printf("%llu\n", (unsigned long long)s.totalswap * s.mem_unit);
	TRUTH(s.freeram > 0 && s.freeram <= s.totalram);
	TRUTH(s.procs >= 1);
	TRUTH(after("/proc/meminfo", "MemTotal:") == (unsigned long long)s.totalram * s.mem_unit / 1024);
	TRUTH(after("/proc/meminfo", "\nMemAvailable:") <= after("/proc/meminfo", "MemTotal:"));
	TRUTH((unsigned long long)sysconf(_SC_PHYS_PAGES) * (unsigned long long)sysconf(_SC_PAGESIZE) == (unsigned long long)s.totalram * s.mem_unit);
	ERR(syscall(__NR_sysinfo, NULL));
	ERR(syscall(__NR_sysinfo, 16));
	TRUTH(strstr(slurp("/proc/vmstat"), "nr_free_pages ") != NULL);
	TRUTH(strncmp(slurp("/proc/swaps"), "Filename", 8) == 0);
}

/* The clock of /proc: start of a process, uptime and boot time are of one kind. */
static void times_agree(void)
{
	struct sysinfo s;
	double up, idle;
	unsigned long long start = 0, hz = (unsigned long long)sysconf(_SC_CLK_TCK), btime = after("/proc/stat", "\nbtime ");
	char state = '?';

	ERR(sysinfo(&s));
	TRUTH(sscanf(slurp("/proc/uptime"), "%lf %lf", &up, &idle) == 2 && up >= 0 && idle >= 0);
	TRUTH(up - (double)s.uptime < 5 && (double)s.uptime - up < 5);
	double now = (double)time(NULL);
	TRUTH(now - (double)btime - up < 5 && up - (now - (double)btime) < 5);
	const char *rest = strrchr(slurp("/proc/self/stat"), ')');
	TRUTH(rest && sscanf(rest + 2, "%c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &state, &start) == 2);
	TRUTH(state == 'R');
	double age = up - (double)start / (double)hz;
	TRUTH(age > -2 && age < 60);
	TRUTH(after("/proc/stat", "\nprocesses ") > 0 && after("/proc/stat", "\nprocs_running ") > 0);
	double load[3];
	int running, total, last;
	TRUTH(sscanf(slurp("/proc/loadavg"), "%lf %lf %lf %d/%d %d", &load[0], &load[1], &load[2], &running, &total, &last) == 6);
	TRUTH(running >= 1 && total >= running && last > 1);
}

/* What is kept open says something new after a while. */
static void texts_are_kept_up_to_date(void)
{
	char first[256] = "", again[256] = "";
	int fd = open("/proc/uptime", O_RDONLY | O_CLOEXEC);

	TRUTH(pread(fd, first, sizeof(first) - 1, 0) > 0);
	for (int i = 0; i < 500 && strtod(again, NULL) <= strtod(first, NULL); i++) {
		usleep(20000);
		memset(again, 0, sizeof(again));
		if (pread(fd, again, sizeof(again) - 1, 0) <= 0)
			break;
	}
	TRUTH(strtod(again, NULL) > strtod(first, NULL));
	close(fd);
}

static void processors(void)
{
	cpu_set_t mine, shown, one, none;
	unsigned cpu = 0;
	int wrong = 0, n = sched_getaffinity(0, sizeof(mine), &mine) == 0 ? CPU_COUNT(&mine) : -1;

	printf("%d %ld\n", n, sysconf(_SC_NPROCESSORS_ONLN));
	TRUTH(listed("/sys/devices/system/cpu/online", &shown) == n && CPU_EQUAL(&mine, &shown));
	TRUTH(lines_with("/proc/stat", "cpu") == n + 1);
	TRUTH(lines_with("/proc/cpuinfo", "processor") == n);
	ERR(syscall(__NR_getcpu, &cpu, NULL, NULL));
	TRUTH(CPU_ISSET(cpu, &mine));
	TRUTH(listed("/sys/devices/system/cpu/possible", &shown) > (int)cpu);
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, &mine))
			continue;
		CPU_ZERO(&one);
		CPU_SET(i, &one);
		wrong += sched_setaffinity(0, sizeof(one), &one) < 0 || sched_getcpu() != i;
	}
	VAL(wrong);
	CPU_ZERO(&none);
	ERR(sched_setaffinity(0, sizeof(none), &none));
	ERR(sched_setaffinity(0, 0, &none));
	ERR(syscall(__NR_sched_setaffinity, 0, sizeof(none), 16));
	ERR(sched_setaffinity(99999999, sizeof(mine), &mine));
	ERR(sched_setaffinity(0, sizeof(mine), &mine));
}

/* Native: what the kernel says is the process's own. */
static void own(void)
{
	struct rlimit limit, other;
	struct rusage usage;
	struct tms t;

	ERR(getrlimit(RLIMIT_NOFILE, &limit));
	printf("%llu %llu\n", (unsigned long long)limit.rlim_cur, (unsigned long long)limit.rlim_max);
	ERR(prlimit(0, RLIMIT_NOFILE, NULL, &other));
	TRUTH(memcmp(&limit, &other, sizeof(limit)) == 0);
	limit.rlim_cur = 64;
	ERR(prlimit(getpid(), RLIMIT_NOFILE, &limit, NULL));
	ERR(getrlimit(RLIMIT_NOFILE, &other));
	TRUTH(other.rlim_cur == 64);
	ERR(getrusage(RUSAGE_SELF, &usage));
	TRUTH(usage.ru_maxrss > 0 && usage.ru_utime.tv_sec < 60);
	TRUTH(times(&t) != (clock_t)-1 && t.tms_utime < 60 * sysconf(_SC_CLK_TCK));
}

static void mounts(void)
{
	struct statfs sf;
	struct stat st;
	char line[64];

	ERR(stat("/", &st));
	snprintf(line, sizeof(line), " %u:%u / / ", (unsigned)(st.st_dev >> 8 & 0xfff), (unsigned)((st.st_dev & 0xff) | (st.st_dev >> 12 & 0xfff00)));
	TRUTH(strstr(slurp("/proc/self/mountinfo"), line) != NULL);
	TRUTH(strstr(slurp("/proc/self/mounts"), " /proc proc ") != NULL);
	ERR(statfs("/", &sf));
	printf("%lx %lld\n", (unsigned long)sf.f_type, (long long)sf.f_blocks);
	TRUTH(strstr(slurp("/proc/self/cgroup"), ":/") != NULL);
}

int main(void)
{
	names();
	memory();
	times_agree();
	texts_are_kept_up_to_date();
	processors();
	own();
	mounts();
	return 0;
}
