/* tests/cli/faildisk.c - to be preloaded: the N-th fsync of the process fails (FAIL_FSYNC), and every renameat2 from the M-th on (FAIL_RENAME); 0: none. FAIL_MARK is made at the former. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
static int at(const char *name, int *count) { const char *n = getenv(name); return n && atoi(n) ? ++*count - atoi(n) : -1; }
int fsync(int fd) { static int count; if (at("FAIL_FSYNC", &count) == 0) { close(creat(getenv("FAIL_MARK"), 0600)); errno = EIO; return -1; } return syscall(SYS_fsync, fd); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{ static int count; if (at("FAIL_RENAME", &count) >= 0) { errno = EIO; return -1; } return syscall(SYS_renameat2, a, from, b, to, flags); }
