/* tests/escape/escape.h - attempts to get out of a sandbox, many to a file, each a function with a line in one registry.
 *
 * An attempt has a target on the host: a tree of files and a process, the victim (victim.c), which the runner (tests/escape/run) makes anew for
 * each run. It is made natively first and has to succeed there, and then in a sandbox, where it has to fail.
 *   HARMS   natively the host is another one afterwards: the runner compares tree and victim
 *   GAINS   natively the attempt has something that a guest may not have: it says so with got(), or prints what only the host's secret says
 *   FAILS   natively it does not work either, for the reason given; run in the sandbox only
 * needs: words for the runner, listed at its function prepare(). */
#ifndef ESCAPE_H
#define ESCAPE_H

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

typedef struct Attempt {
	const char *file, *name, *what, *natively, *needs;
	void (*body)(void);
} Attempt;

#define HARMS "harms"
#define GAINS "gains"
#define FAILS(reason) "fails: " reason

#define ATTEMPT(id, what, natively, needs) \
	static void id(void); \
	static const Attempt id##_attempt = {__FILE__, #id, what, natively, needs, id}; \
	__attribute__((section("attempts"), used)) static const Attempt *const id##_entry = &id##_attempt; \
	static void id(void)

/* The attempt has what a guest may not have. */
__attribute__((format(printf, 1, 2))) void got(const char *fmt, ...);
bool has_got(void);
/* It cannot be made here, natively or at all: the rest of it is left out. */
__attribute__((format(printf, 1, 2), noreturn)) void cannot(const char *fmt, ...);

/* A step that the attempt needs but that has nothing to do with it. */
#define NEED(cond) \
	do { \
		if (!(cond)) { \
			printf("could not be made: %s:%d: %s: %s\n", __FILE__, __LINE__, #cond, strerror(errno)); \
			exit(3); \
		} \
	} while (0)

/* A path in the target's tree, in one of a few static buffers. */
const char *in(const char *name);
/* Such as /proc/self/fd/7; in the same buffers. */
__attribute__((format(printf, 1, 2))) const char *fmt_path(const char *fmt, ...);
/* What the runner said about the target; NEEDs it. */
const char *given(const char *name);
long given_number(const char *name);
pid_t victim(void);

/* Reads what it can and prints it if it has a secret of the host in it; closes. */
void look(int fd, const char *how);
void look_at(const char *path, const char *how);
bool is_secret(const char *buf, size_t len, const char *how);
/* Writes to it if it is one, and closes. */
void write_to(int fd);
void write_at(const char *path, int flags);
/* host/file, read-only. */
int host_file(void);
struct sockaddr_un unix_addr(const char *path);
struct sockaddr_un abstract_addr(const char *name, socklen_t *len);

double now(void);
/* When a race ends that began now. */
double race_end(void);
bool ends_within(pid_t pid, double seconds, int *status);
/* Another process asks the supervisor for some things; false if it does not get its answers soon. */
bool still_served(void);

int victim_main(const char *dir, const char *nonce);
int helper_main(const char *what);

#endif
