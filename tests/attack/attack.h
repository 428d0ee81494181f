/* tests/attack/attack.h - for programs that try to break out. Exit status 0 and a last line "held" mean that the sandbox held; won() says what
 * the attack got. The runner (tests/attack/run) gives the fixture's directory as argv[1] and checks the host itself afterwards. */
#ifndef ATTACK_H
#define ATTACK_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int wins;

__attribute__((format(printf, 1, 2), unused)) static void won(const char *fmt, ...)
{
	va_list ap;

	wins++;
	va_start(ap, fmt);
	printf("WON: ");
	vprintf(fmt, ap);
	putchar('\n');
	va_end(ap);
	fflush(stdout);
}

/* A step that the attack needs but that has nothing to do with it. */
#define NEED(cond) \
	do { \
		if (!(cond)) { \
			printf("cannot attack: %s: %s\n", #cond, strerror(errno)); \
			exit(3); \
		} \
	} while (0)

__attribute__((unused)) static int verdict(void)
{
	puts(wins ? "broken" : "held");
	return wins ? 1 : 0;
}

__attribute__((unused)) static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Waits for a child at most `seconds`; false when it is still there. */
__attribute__((unused)) static bool ends_within(pid_t pid, double seconds, int *status)
{
	for (double end = now() + seconds; now() < end; usleep(1000))
		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
	return false;
}

/* argv[1] + "/" + name, in one of a few static buffers. */
__attribute__((unused)) static const char *in_dir(const char *dir, const char *name)
{
	static char buf[8][4096];
	static unsigned n;
	char *b = buf[n++ % 8];

	snprintf(b, sizeof buf[0], "%s/%s", dir, name);
	return b;
}

#endif
