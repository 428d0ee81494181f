/* tests/escape/main.c - the registry, and what all attempts use. Usage: escape list | run NAME | victim DIR NONCE | helper WHAT | write PATH | whoami | ran */
#include "escape.h"

extern const Attempt *const __start_attempts[], *const __stop_attempts[];
static int *gains; /* shared with the child that makes the attempt */

static void say(const char *mark, const char *fmt, va_list ap)
{
	fputs(mark, stdout);
	vprintf(fmt, ap);
	putchar('\n');
	fflush(stdout);
}

void got(const char *fmt, ...)
{
	va_list ap;

	__atomic_add_fetch(gains, 1, __ATOMIC_SEQ_CST);
	va_start(ap, fmt);
	say("GOT: ", fmt, ap);
	va_end(ap);
}

bool has_got(void)
{
	return __atomic_load_n(gains, __ATOMIC_SEQ_CST) > 0;
}

void cannot(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("cannot: ", fmt, ap);
	va_end(ap);
	exit(0);
}

static char *next_buffer(void)
{
	static char buffers[16][4096];
	static unsigned n;

	return buffers[__atomic_fetch_add(&n, 1, __ATOMIC_SEQ_CST) % 16];
}

const char *in(const char *name)
{
	return fmt_path("%s/%s", given("DIR"), name);
}

const char *fmt_path(const char *fmt, ...)
{
	char *buf = next_buffer();
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, 4096, fmt, ap);
	va_end(ap);
	return buf;
}

const char *given(const char *name)
{
	char var[64];

	snprintf(var, sizeof var, "ESCAPE_%s", name);
	const char *value = getenv(var);
	NEED(value);
	return value;
}

long given_number(const char *name)
{
	return strtol(given(name), NULL, 0);
}

pid_t victim(void)
{
	return (pid_t)given_number("VICTIM");
}

bool is_secret(const char *buf, size_t len, const char *how)
{
	const char *at = memmem(buf, len, "SECRET ", 7);

	if (!at)
		return false;
	int n = (int)(len - (size_t)(at - buf));
	got("%s: %.*s", how, n < 40 ? n : 40, at);
	return true;
}

void look(int fd, const char *how)
{
	char buf[16384];
	ssize_t n;

	if (fd < 0)
		return;
	while ((n = read(fd, buf, sizeof buf)) > 0)
		if (is_secret(buf, (size_t)n, how))
			break;
	close(fd);
}

void look_at(const char *path, const char *how)
{
	look(open(path, O_RDONLY | O_NONBLOCK), how);
}

void write_to(int fd)
{
	if (fd < 0)
		return;
	if (write(fd, "owned", 5) != 5)
		printf("not written: %s\n", strerror(errno));
	close(fd);
}

void write_at(const char *path, int flags)
{
	write_to(open(path, flags, 0666));
}

int host_file(void)
{
	int fd = open(in("host/file"), O_RDONLY);

	NEED(fd >= 0);
	return fd;
}

struct sockaddr_un unix_addr(const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	NEED(strlen(path) < sizeof un.sun_path);
	memcpy(un.sun_path, path, strlen(path));
	return un;
}

struct sockaddr_un abstract_addr(const char *name, socklen_t *len)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	memcpy(un.sun_path + 1, name, strlen(name));
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
	return un;
}

double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double race_end(void)
{
	return now() + strtod(given("RACE"), NULL);
}

bool ends_within(pid_t pid, double seconds, int *status)
{
	for (double end = now() + seconds; now() < end; usleep(1000))
		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
	return false;
}

bool still_served(void)
{
	int status = 1;
	pid_t pid = fork();

	if (pid == 0) {
		struct stat st;
		int fd = open(in("host/served"), O_RDWR | O_CREAT | O_TRUNC, 0600);
		_exit(stat("/", &st) < 0 || fd < 0 || write(fd, "x", 1) != 1 || unlink(in("host/served")) < 0);
	}
	return pid > 0 && ends_within(pid, 20, &status) && status == 0;
}

static const Attempt *find(const char *name)
{
	for (const Attempt *const *a = __start_attempts; a < __stop_attempts; a++)
		if (strcmp((*a)->name, name) == 0)
			return *a;
	return NULL;
}

static int list(void)
{
	for (const Attempt *const *a = __start_attempts; a < __stop_attempts; a++) {
		const char *base = strrchr((*a)->file, '/');
		printf("%s\t%s\t%s\t%s\t%s\n", base ? base + 1 : (*a)->file, (*a)->name, (*a)->natively, (*a)->needs, (*a)->what);
	}
	return 0;
}

/* The attempt is made by a child, so that its verdict is heard whatever becomes of it. */
static int run(const Attempt *a)
{
	int status = 0;

	gains = mmap(NULL, sizeof *gains, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	NEED(a && gains != MAP_FAILED);
	pid_t pid = fork();
	NEED(pid >= 0);
	if (pid == 0) {
		a->body();
		exit(0);
	}
	signal(SIGTERM, SIG_IGN); /* of kill(-1) */
	if (!ends_within(pid, 90, &status)) {
		kill(pid, SIGKILL);
		puts("it hangs");
		return 4;
	}
	if (WIFSIGNALED(status))
		printf("ended by signal %d\n", WTERMSIG(status));
	if (WIFEXITED(status) && WEXITSTATUS(status))
		return WEXITSTATUS(status);
	puts(*gains ? "escape: got it" : "escape: held");
	return 0;
}

/* What a program with more rights than its caller's runs. */
static int whoami(void)
{
	char text[8192] = "";
	const char *at;
	int fd = open("/proc/self/status", O_RDONLY);

	if (geteuid() != getuid() || getegid() != getgid())
		printf("GOT: effective user %u, group %u\n", geteuid(), getegid());
	if (read(fd, text, sizeof text - 1) > 0 && (at = strstr(text, "CapEff:")) && strtoull(at + 7, NULL, 16))
		printf("GOT: %.24s\n", at);
	return 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	if (argc == 2 && strcmp(argv[1], "list") == 0)
		return list();
	if (argc == 3 && strcmp(argv[1], "run") == 0)
		return run(find(argv[2]));
	if (argc == 4 && strcmp(argv[1], "victim") == 0)
		return victim_main(argv[2], argv[3]);
	if (argc == 3 && strcmp(argv[1], "helper") == 0)
		return helper_main(argv[2]);
	if (argc == 3 && strcmp(argv[1], "write") == 0) { /* what attempts with programs run */
		write_at(argv[2], O_WRONLY);
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "whoami") == 0)
		return whoami();
	if (argc == 2 && strcmp(argv[1], "ran") == 0)
		return puts("GOT: it ran") < 0;
	fputs("usage: escape list | run NAME | victim DIR NONCE | helper WHAT | write PATH | whoami | ran\n", stderr);
	return 2;
}
