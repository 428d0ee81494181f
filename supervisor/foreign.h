/* supervisor/foreign.h - /proc, /dev and /sys as guests see them: pins on cowfs, answered by the files procfs*.c, devfs.c, sysfs.c.
 *
 * What always holds:
 *  F1 Default deny: a name that is in no allow-list does not exist.
 *  F2 "self" is the caller. No file of the supervisor, of init or of a process outside the sandbox is ever opened for a guest.
 *  F3 A process is opened through a descriptor of its /proc directory that was checked once; such a descriptor never comes to
 *     mean another process, so the reuse of a pid cannot be turned into access.
 *  F4 Nothing outside the guest's own process can be changed: only a short list of files of the caller's own thread group opens for writing.
 *  F5 No text names the store, the run directory or a blob (ForeignEnv.private_dirs).
 *  F6 A terminal can be opened by a guest if the guest made it, has it as its controlling terminal, or was given it.
 *  F7 What a text says of the machine is what the sandbox was given (hostview.h) or what its own processes do, never what others do on it (memory without a bound excepted).
 *
 * Thread-safe after foreign_init. Lock order: none of the locks here is held while cowfs or the callbacks are called. */
#ifndef SUPERVISOR_FOREIGN_H
#define SUPERVISOR_FOREIGN_H

#include <limits.h>

#include "cowfs/cowfs.h"
#include "supervisor/caller.h"
#include "supervisor/proctree.h"

#include <netinet/in.h>

typedef struct Foreign Foreign;
struct VcredIds;

typedef struct ForeignEnv {
	Cowfs *fs;
	pid_t init_pid;
	pid_t supervisor_pid;
	/* The view's object of a guest's descriptor or cwd. 0 with *out the caller's to release, else a negative errno: the
	 * object has no place in the view. */
	int (*loc_of_fd)(struct Supervisor *sup, pid_t tid, int fd, CowLoc *out);
	int (*loc_of_cwd)(struct Supervisor *sup, pid_t tid, CowLoc *out);
	/* Virtual path of the program that the process runs, NUL-terminated. 0 or negative errno. */
	int (*exe_of)(struct Supervisor *sup, pid_t tgid, char *buf, size_t size);
	/* Was this object given to the sandbox from outside? NULL (the normal case): what foreign_add_given was told. */
	bool (*is_given)(struct Supervisor *sup, dev_t dev, ino_t ino);
	struct HostView *view; /* hostview.h */
	/* The ids that a process shows; NULL: the kernel's. */
	void (*ids_of)(struct Supervisor *sup, pid_t tid, struct VcredIds *out);
	/* An address of this machine as guests know it (net_show); NULL: as it is. */
	bool (*show_address)(struct Supervisor *sup, int protocol, struct sockaddr_in6 *address);
	struct Supervisor *sup;
	const char *scratch_dir;	 /* run directory; never named to a guest */
	const char *const *private_dirs; /* further host directories never named to a guest (store); NULL-terminated, may be NULL */
} ForeignEnv;

/* Does all pins; call before the first guest. The strings of `env` are copied. -ENOMEM, and errors of cowfs_pin_*. */
int foreign_init(const ForeignEnv *env, Foreign **out) MUST_CHECK;
void foreign_free(Foreign *f); /* after the last call of cowfs; NULL is allowed */
/* Who belongs to the sandbox; owned by `f`. */
ProcTree *foreign_proctree(Foreign *f);
/* Was a guest ever given a descriptor of a directory (or rendered text) of /proc, /sys or /dev/pts? The kernel would list all of the host in it. */
bool foreign_was_opened(Foreign *f);
/* To be called some times a second: brings texts up to date that guests have open. False: none is, it need not be called soon. */
bool foreign_tick(Foreign *f);
/* A descriptor that the sandbox is given from outside (stdin, stdout, stderr of a spawn); `fd` stays the caller's. Through
 * /proc/<pid>/fd/N such an object is reopened as it is (no copy-up: it is where output goes), and with no more access than the
 * guest's descriptor has. A terminal gets a name in /dev/pts, too. Call before the guest starts. -ENOSPC, -ENOMEM: the object then
 * is treated like any other. */
int foreign_add_given(Foreign *f, int fd) MUST_CHECK;
/* Only the terminal's part of it. -ENOTTY for what is no terminal, -ENOSPC, -ENOMEM. */
int foreign_add_terminal(Foreign *f, int fd) MUST_CHECK;

#endif
