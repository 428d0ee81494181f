/* bvisor.h - the C interface of libbvisor: commands on a copy-on-write view of the host.
 *
 *	BvError *err = NULL;
 *	BvSandbox *sb = NULL;
 *	BvCreateOptions create = BV_CREATE_OPTIONS_INIT;
 *	BvSpawnOptions spawn = BV_SPAWN_OPTIONS_INIT;
 *	BvOutput out;
 *	spawn.argv = (const char *const[]){"make", "-j2", NULL};
 *	if (bv_sandbox_create(&create, &sb, &err) < 0 || bv_sandbox_exec(sb, &spawn, NULL, 0, -1, &out, &err) < 0)
 *		fprintf(stderr, "%s\n", bv_error_message(err));
 *
 * Results. Functions return 0 or a count, or a negative errno. Every function with a `BvError **err` stores a message object
 * there on failure (err may be NULL; *err must be NULL or an object, which is replaced); the caller frees it. Other outputs are
 * untouched on failure. Errnos are listed in the order they are tested.
 *
 * Threads. Every function may be called from any thread, also on the same sandbox or process at the same time; only the close
 * functions need that nobody else uses the object. The library installs no signal handler, keeps no global state and starts
 * no thread in the caller's process. Each sandbox is served by one child process (`bvisor-supervisor`), which is started when it is first
 * needed and ends by itself.
 *
 * ABI. Option structs, and results that the caller has the memory of, begin with `size`, set by their _INIT macro: a program compiled with an older header keeps working, and
 * gets no more of a result than it has room for. Structs that a callback is shown may grow at their end only. Strings are bytes without encoding; paths are absolute paths of the sandbox's view unless
 * said otherwise. Times are seconds and nanoseconds since 1970 (UTC). */
#ifndef BVISOR_BVISOR_H
#define BVISOR_BVISOR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#pragma GCC visibility push(default)
#ifdef __cplusplus
extern "C" {
#endif

typedef struct BvError BvError;
typedef struct BvSandbox BvSandbox;
typedef struct BvProcess BvProcess;

/* "MAJOR.MINOR.PATCH" of the library that is loaded. Static. */
const char *bv_version(void);

/* ---- errors ---- */

/* The message, one line without a final newline; "" for NULL. Valid until the object is freed. */
const char *bv_error_message(const BvError *err);
/* The negative errno that the failing function returned; 0 for NULL. */
int bv_error_code(const BvError *err);
/* What failed where that matters: "exec" (the command itself could not be executed), "cwd" (its directory), else "". */
const char *bv_error_stage(const BvError *err);
void bv_error_free(BvError *err); /* NULL is allowed */

/* What takes long calls the `progress` of its options (may be NULL) now and then, in the calling thread: what is done now ("files", "bytes", ...), and how much of it (total 0: not known). */
typedef void (*BvProgress)(void *ctx, const char *what, uint64_t done, uint64_t total);

/* Frees memory that the library handed over with "caller frees". NULL is allowed. */
void bv_free(void *memory);

/* ---- sandboxes ---- */

enum {
	BV_CREATE_READ_ONLY = 1, /* every change that a guest tries is answered EROFS */
	BV_CREATE_CONTINUOUS = 4, /* while a command runs, and when the last one has ended, its state goes to its backend, a place of snapshots: see bv_sandbox_follow. Not with EPHEMERAL */
	BV_CREATE_FAKE_ROOT = 8, /* commands see themselves as root, who owns what the caller owns: owners, set-id bits and device nodes are kept in the sandbox's records alone, and setuid(2) and its
				  * kin work. They can open what the caller can, and no more. Part of its snapshots */
	BV_CREATE_PIDNS = 16, /* commands are in a pid namespace of their own, which takes CAP_SYS_ADMIN: they have small pids, and the kernel itself keeps them from other processes and kills them when
			       * the supervisor ends, however. Where there is none: an error of the first spawn, or with BV_LIMITS_BEST_EFFORT a warning. Belongs to the sandbox, not to its snapshots */
	BV_CREATE_EPHEMERAL = 2, /* deleted when no handle and no command of BV_SPAWN_DETACH is left, with every process in it, however this process ends; nothing of it is durable */
};

enum {
	BV_LIMITS_BEST_EFFORT = 1, /* what cannot be enforced here, and a pid namespace (BV_CREATE_PIDNS) that cannot be had, is a warning (bv_sandbox_warning), not an error of the first spawn */
};
/* What all commands of a sandbox together may use; 0: no limit. Without control groups that may be written to, memory and processes are counted by the supervisor. */
typedef struct BvLimits {
	size_t size;
	unsigned flags;	     /* BV_LIMITS_* */
	double cpus;	     /* processors: 1.5 */
	uint64_t memory;     /* bytes, with those of swap; beyond that the kernel kills a process of the sandbox */
	uint64_t pids;	     /* processes and threads: EAGAIN */
	uint64_t io_read;    /* bytes per second, from each disk */
	uint64_t io_write;   /* the same to each disk; cgroup v2 only */
	uint64_t nofile;     /* descriptors of each process: EMFILE */
	uint64_t disk;	     /* bytes of what the sandbox changed: EDQUOT */
	uint64_t disk_files; /* and of how many objects: EDQUOT */
} BvLimits;
#define BV_LIMITS_INIT {sizeof(BvLimits), 0, 0, 0, 0, 0, 0, 0, 0, 0}

typedef struct BvCreateOptions {
	size_t size;
	unsigned flags;		    /* BV_CREATE_* */
	const char *store;	    /* directory of the store; NULL: $BVISOR_HOME, $XDG_DATA_HOME/bvisor, ~/.local/share/bvisor */
	const char *name;	    /* [A-Za-z0-9][A-Za-z0-9._-]{0,63}; NULL: one is made up, and only the newest ten such are kept */
	const char *backend;	    /* "dir" (in the store), "dir:PATH", "tmpfs", or a place of snapshots ("s3://BUCKET/PREFIX": as "dir", and the default for bv_sandbox_snapshot); NULL: "dir" */
	const char *const *rw;	    /* host paths below which changes go straight to the host; NULL-terminated; NULL: none */
	const char *const *hide;    /* host paths that guests shall not see, beside the default ones */
	const char *const *show;    /* host paths to take off the default hidden list */
	const char *const *command; /* for listings only: what the sandbox was made for */
	const char *cwd;	    /* for listings only */
	const char *const *env;	    /* "NAME=value": what each command of it gets beside the caller's environment (BvSpawnOptions.env NULL). Part of its snapshots: no place for secrets; NULL: none */
	uint64_t spool;		    /* bytes: files that a snapshot in the backend, a place, has are removed here beyond that, the least recently used first, and fetched again when they are opened; 0: no bound */
	const char *net; /* "host": the host's network, all of it; "internet": public addresses; "none"; NULL: "none" with rules of names or addresses in `allow`, else "internet" */
	const char *const *allow; /* what may be reached beside: "NAME", "*.NAME", "ADDRESS", "ADDRESS/BITS", each perhaps with ":PORT"; ":PORT"; "unix:PATH" (a socket of the host); ports may be FROM-TO; with the host's network unix sockets only; NULL: nothing */
	const char *dns; /* whom names are asked of, if not the host's name servers: "ADDRESS[:PORT],..."; NULL: those */
	const char *hostname;	    /* what guests see as the host's name: letters, digits, '.', '_' and '-', at most 64; NULL: the host's */
	const char *kernel_release; /* what they see as the kernel's release ("6.1.0-18-amd64"): likewise, also '+' and '~', beginning with a digit; NULL: the kernel's */
	const BvLimits *limits;	    /* belong to the sandbox, not to its snapshots (BvRestoreOptions and BvImportOptions have theirs); NULL: none */
	const char *const *publish; /* ports of guests that are the host's, too: "[[ADDRESS:]HOSTPORT:]PORT", at 127.0.0.1 and the same number if not said otherwise; not of a sandbox with the host's network, and not that of snapshots; NULL: none */
} BvCreateOptions;
#define BV_CREATE_OPTIONS_INIT {sizeof(BvCreateOptions), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL}

/* Makes a new sandbox in the store. *out is the caller's to close; the sandbox itself stays until bv_sandbox_remove (or see EPHEMERAL).
 * -EINVAL (name, backend, path, host name, kernel release, limit or size of the options), -EEXIST (name), -EACCES, -EROFS, -ENOSPC (store or backend), -ENOMEM. */
int bv_sandbox_create(const BvCreateOptions *options, BvSandbox **out, BvError **err);
/* Opens an existing sandbox; name NULL means the newest one, store NULL the default store. It stays as long as the handle does, also if it is EPHEMERAL (but see bv_sandbox_stop).
 * -EINVAL (name), -ENOENT (no such sandbox; its memory backend is gone after a reboot), -EPROTO (written by a newer version), -EUCLEAN
 * (damaged), -EACCES, -ENOMEM. */
int bv_sandbox_open(const char *store, const char *name, BvSandbox **out, BvError **err);
/* Gives up the handle; commands that were not started with BV_SPAWN_DETACH are killed. Processes of the sandbox must be closed first.
 * NULL is allowed. */
void bv_sandbox_close(BvSandbox *sandbox);

const char *bv_sandbox_name(const BvSandbox *sandbox); /* valid until close */
/* Where its snapshots go and it was perhaps restored from, if its backend is such a place; else NULL. Valid until it is closed. */
const char *bv_sandbox_place(const BvSandbox *sandbox);
const char *const *bv_sandbox_environment(const BvSandbox *sandbox); /* BvCreateOptions.env, or that of the snapshot; NULL: none. Valid until close */
int bv_sandbox_continuous(const BvSandbox *sandbox); /* whether it was made with BV_CREATE_CONTINUOUS */
int bv_sandbox_pidns(const BvSandbox *sandbox);	     /* whether it was made with BV_CREATE_PIDNS: its pids may mean something else, or nothing, on the host */
const char *bv_sandbox_dir(const BvSandbox *sandbox);  /* its directory in the store; valid until close */

/* Deletes the sandbox with everything in it. Afterwards the handle can only be closed.
 * -EBUSY (a command runs and `force` is 0, or another program has the sandbox open), -EACCES, -EIO. */
int bv_sandbox_remove(BvSandbox *sandbox, int force, BvError **err);
/* Deletes a sandbox that cannot be opened, as its description is damaged or of a newer version. Data that it kept elsewhere (tmpfs, dir:PATH) stay.
 * -EINVAL (name), -ENOENT, -EBUSY (somebody has it open, or a supervisor serves it), -EACCES, -EIO. */
int bv_sandbox_discard(const char *store, const char *name, BvError **err);
/* Kills every process of the sandbox, writes everything to disk and ends its supervisor. A stopped sandbox is success. One that is EPHEMERAL is deleted by it, whoever has it open. */
int bv_sandbox_stop(BvSandbox *sandbox, BvError **err);

typedef struct BvSandboxInfo {
	const char *name;
	const char *dir;
	const char *backend;	    /* as given at creation */
	const char *cwd;	    /* may be NULL */
	const char *const *command; /* NULL-terminated, may be NULL */
	int64_t created_sec;
	long created_nsec;
	int running; /* 1: a supervisor serves it now */
	int unnamed; /* 1: the name was made up; only the newest ten of these are kept */
	const char *damage; /* NULL, or why it cannot be opened (then only name and dir are set) */
	const char *const *env; /* BvCreateOptions.env; may be NULL */
} BvSandboxInfo;

/* Calls `visit` for every sandbox of the store, newest first; the info is valid during the call. Non-zero from visit stops and is
 * returned. An absent store is empty. -EACCES, -ENOMEM. */
int bv_sandbox_list(const char *store, int (*visit)(void *ctx, const BvSandboxInfo *info), void *ctx, BvError **err);

/* ---- commands ---- */

enum {
	BV_FD_INHERIT = -1, /* the caller's own descriptor 0, 1 or 2; closed in the command where it is closed or close-on-exec, as after execve(2) */
	BV_FD_NULL = -2,    /* /dev/null of the host */
	BV_FD_PIPE = -3,    /* a pipe, whose other end bv_process_fd gives */
};
enum {
	BV_SPAWN_TTY = 1,    /* stdin is a terminal that becomes the controlling terminal of the command */
	BV_SPAWN_DETACH = 2, /* the command goes on after the sandbox handle is closed */
	BV_SPAWN_DEFAULT_SIGNALS = 4, /* every signal has its default action in the command: for callers in which a runtime ignores some for itself, as Node and Python do SIGPIPE */
};

typedef struct BvSpawnOptions {
	size_t size;
	unsigned flags;		 /* BV_SPAWN_* */
	const char *const *argv; /* NULL-terminated, at least one; without a slash it is searched in the PATH of env inside the sandbox */
	const char *const *env;	 /* "NAME=value", NULL-terminated; NULL: the caller's environment, without what is withheld (bv_process_withholds), and the sandbox's (BvCreateOptions.env) */
	const char *cwd;	 /* directory of the view; NULL: the caller's current directory, also a deleted one */
	int fds[3];		 /* stdin, stdout, stderr: a descriptor, which stays the caller's, or BV_FD_* */
	int trace_fd;		 /* descriptor for a trace of system calls, or -1 */
	uint64_t output_limit;	 /* bv_sandbox_exec only: bytes of stdout and stderr together; beyond that the command is killed; 0: no limit */
} BvSpawnOptions;
#define BV_SPAWN_OPTIONS_INIT {sizeof(BvSpawnOptions), 0, NULL, NULL, NULL, {BV_FD_INHERIT, BV_FD_INHERIT, BV_FD_INHERIT}, -1, 0}

typedef struct BvStatus {
	int exit_code; /* 0..255, or -1 when a signal ended it */
	int signal;    /* 0, or the signal */
	int core_dumped;
} BvStatus;

/* Starts a command in the sandbox (also in one whose earlier commands have ended: it sees their files). *out is the caller's to close.
 * Signals that the caller ignores now are ignored in the command, as after execve(2), unless BV_SPAWN_DEFAULT_SIGNALS; the others have their default action.
 * -EINVAL (options), -E2BIG, -ENOENT/-EACCES/-ENOEXEC/-ENOTDIR/-ELOOP of the command ("stage" exec) or its directory (stage "cwd"),
 * -ENOSYS (the kernel lacks what bvisor needs; see bv_doctor), -EOPNOTSUPP (a limit cannot be enforced here), -EPERM (a pid namespace may not be made), -ERANGE (a limit is above what the host has), -EBUSY, -ECONNRESET (the supervisor died), -EMFILE, -ENOMEM. */
int bv_sandbox_spawn(BvSandbox *sandbox, const BvSpawnOptions *options, BvProcess **out, BvError **err);
/* Whether a variable ("NAME" or "NAME=value") of the caller's environment is withheld from commands unless it is given by `env` (else 0): keys and tokens of S3, where those and the keys of
 * snapshots are, and where bvisor has its own files (BVISOR_HOME and the like). With them a guest could reach the places that its own snapshots are in. */
enum { BV_WITHHELD_KEY = 1, BV_WITHHELD_PLACE = 2 };
int bv_process_withholds(const char *variable);
/* Waits for the end of the command, at most timeout_ms milliseconds (-1: for ever). The status may be NULL. May be asked again and by several threads at once: the
 * answer stays. -ETIMEDOUT, -ECONNRESET (the supervisor died, and with it the command). */
int bv_process_wait(BvProcess *process, int timeout_ms, BvStatus *status, BvError **err);
/* After bv_process_wait: what went wrong in the sandbox beside the command, for people, one line each (a limit was reached; a file could not be fetched from where the sandbox was restored from, or no
 * more can be soon); NULL: nothing. Valid until bv_process_close. */
const char *bv_process_remark(BvProcess *process);
/* Sends a signal to the command's first process. -EINVAL (signal), -ESRCH (it has ended), -ECONNRESET. */
int bv_process_kill(BvProcess *process, int signal, BvError **err);
/* Sends a signal to every process of the sandbox; with SIGKILL they are gone when it returns. A stopped sandbox is success. -EINVAL,
 * -ECONNRESET. */
int bv_sandbox_kill(BvSandbox *sandbox, int signal, BvError **err);
pid_t bv_process_pid(const BvProcess *process); /* as guests see it and bv_sandbox_ps tells it; without BV_CREATE_PIDNS the host sees the same */
/* The library's end of stream 0, 1 or 2 when it was asked for with BV_FD_PIPE, else -1. It stays the library's; closing it early is done
 * with bv_process_close_fd (end of file for the command's stdin). */
int bv_process_fd(const BvProcess *process, int stream);
void bv_process_close_fd(BvProcess *process, int stream);
/* Forgets the process: closes the pipe ends. A command that still runs goes on until the sandbox is closed. NULL is allowed. */
void bv_process_close(BvProcess *process);

enum {
	BV_KILLED_TIMEOUT = 1, /* timeout_ms had passed */
	BV_KILLED_OUTPUT = 2,  /* it wrote more than output_limit, which is what was captured */
};
typedef struct BvOutput {
	BvStatus status;
	char *out; /* captured bytes and a final NUL; NULL when that stream was not a pipe; caller frees with bv_free */
	size_t out_len;
	char *err;
	size_t err_len;
	int timed_out; /* BV_KILLED_*: a limit of this call has ended it; 0: none */
} BvOutput;

/* Spawn, feed `input` (may be NULL: then stdin is as in the options) to stdin, capture stdout and stderr until everybody has closed them, wait. BV_FD_INHERIT of streams 1 and 2
 * means "capture" here. After timeout_ms (-1: never), or when it has written more than output_limit, the command is killed. Errors of bv_sandbox_spawn and bv_process_wait. */
int bv_sandbox_exec(BvSandbox *sandbox, const BvSpawnOptions *options, const void *input, size_t input_len, int timeout_ms, BvOutput *out, BvError **err);

typedef struct BvProcessInfo {
	pid_t pid, ppid;
	uint64_t id;	  /* number of the command it belongs to, 0 when unknown */
	char state;	  /* as in ps(1): R, S, D, T, Z ... */
	const char *comm; /* name of its program */
	const char *const *args; /* command line, NULL-terminated; empty when it cannot be read */
	int64_t start;	  /* when it was started, in seconds since 1970 */
} BvProcessInfo;

/* Calls `visit` for every process of a running sandbox; none if it is stopped. Non-zero from visit stops and is returned.
 * -ECONNRESET, -ENOMEM. */
int bv_sandbox_ps(BvSandbox *sandbox, int (*visit)(void *ctx, const BvProcessInfo *info), void *ctx, BvError **err);
/* Counters and features of a running sandbox as one JSON object; of a stopped one with limits what was reached of those when its last command ended. *json is the caller's to free with bv_free.
 * -ESRCH (stopped), -ECONNRESET, -ENOMEM. */
int bv_sandbox_stats(BvSandbox *sandbox, char **json, BvError **err);

typedef struct BvNetworkChange {
	size_t size;
	const char *net;	  /* as BvCreateOptions.net; NULL: as it is */
	const char *const *allow; /* further rules; NULL: none */
	const char *const *deny;  /* rules to take off, as bv_sandbox_network shows them; NULL: none */
} BvNetworkChange;
#define BV_NETWORK_CHANGE_INIT {sizeof(BvNetworkChange), NULL, NULL, NULL}

/* Changes what the sandbox may reach, at once if it runs, and from then on. What is connected stays so. -EINVAL (mode or rule), -ENOENT (no such rule; a unix socket), -EBUSY (it runs, and
 * would be closed where it had the host's network, or the other way round), -ECONNRESET, -EACCES, -ENOSPC, -ENOMEM. */
int bv_sandbox_set_network(BvSandbox *sandbox, const BvNetworkChange *change, BvError **err);
typedef struct BvDenied {
	int64_t time; /* of the last one, seconds since 1970 */
	pid_t pid;    /* 0: not known */
	const char *comm, *protocol; /* of who tried; "tcp", "udp", "icmp", "dns", "other" */
	const char *to, *why; /* "ADDRESS:PORT", a name, or "NAME (ADDRESS)" */
	uint64_t count;
} BvDenied;
typedef struct BvNetwork {
	const char *mode; /* "host", "internet" or "none" */
	const char *const *allow; /* NULL-terminated */
	uint64_t denied; /* attempts since it runs; the last of them, each kind once: */
	const BvDenied *last;
	size_t n_last;
	const char *const *publish; /* "ADDRESS:HOSTPORT:PORT"; NULL-terminated */
} BvNetwork;

/* Calls `visit` once with what the sandbox may reach and, if it runs, what was refused; valid during the call. Returns what it returns. -ECONNRESET, -EUCLEAN, -ENOMEM. */
int bv_sandbox_network(BvSandbox *sandbox, int (*visit)(void *ctx, const BvNetwork *network), void *ctx, BvError **err);

typedef struct BvLimitInfo {
	const char *name; /* "memory", "cpus", "pids", "io-read", "io-write", "disk", "disk-files", "nofile" */
	const char *by;	  /* what enforces it: "cgroup v2", "cgroup v1", "supervisor", "affinity", "rlimit"; "nothing" (BV_LIMITS_BEST_EFFORT) */
	double limit;
	uint64_t peak; /* the most that was used since the supervisor started; 0: not known */
	uint64_t hits; /* how often it was reached: processes that were killed, calls that failed */
} BvLimitInfo;
/* Calls `visit` for each limit of a sandbox, with what was reached since its supervisor started; of a stopped one as it was when its last command ended. Non-zero from visit stops
 * and is returned. -ESRCH (stopped), -ECONNRESET, -ENOMEM. */
int bv_sandbox_limits(BvSandbox *sandbox, int (*visit)(void *ctx, const BvLimitInfo *info), void *ctx, BvError **err);
/* Other limits, from the next command on that starts its supervisor; they stay. NULL: none. -EINVAL, -EBUSY (it runs),
 * -EACCES, -ENOSPC, -ENOMEM. */
int bv_sandbox_set_limits(BvSandbox *sandbox, const BvLimits *limits, BvError **err);
/* What limits it has, as they were given; out->size is the caller's to set (BV_LIMITS_INIT). -EUCLEAN (damaged), -EACCES, -ENOMEM. */
int bv_sandbox_given_limits(BvSandbox *sandbox, BvLimits *out, BvError **err);
/* After bv_process_wait: the same, with the hits since that command was started. */
int bv_process_limits(BvProcess *process, int (*visit)(void *ctx, const BvLimitInfo *info), void *ctx);
/* After a spawn: the limits that are not enforced here, and why there is no pid namespace, one line each (BV_LIMITS_BEST_EFFORT); NULL: all is as asked for. Valid until close. */
const char *bv_sandbox_warning(const BvSandbox *sandbox);

enum {
	BV_ENTRY_HOST = 1,    /* its bytes are the host's */
	BV_ENTRY_MISSING = 2, /* ... which are not there: size and what the snapshot did not set are not known */
};
typedef struct BvEntry {
	const char *path; /* absolute */
	const char *name; /* its last component */
	uint32_t mode;	  /* type and permissions; 0: deleted, nothing below is set then */
	unsigned flags;	  /* BV_ENTRY_* */
	uint32_t uid, gid;
	uint64_t bytes, ino;
	uint32_t links;
	int64_t mtime_sec;
	long mtime_nsec;
	const char *target; /* of a symbolic link, else NULL */
	const char *origin; /* the host's path where that is another one (it was renamed), else NULL */
} BvEntry;
/* ---- files ----
 *
 * Changed as a command of the sandbox would do it, by a process of bvisor's own in it: with its rules, limits and errors (EROFS of a read-only sandbox, EDQUOT of a limit, ENOENT of what is hidden, the
 * ids of a fake root), and in order with what commands do: when a function returns, every command sees the change, as does bv_sandbox_diff. A sandbox without a running supervisor gets one. Several calls
 * may run at once. Other processes of the sandbox may change the same names meanwhile, as anywhere; they cannot keep a call waiting, but for what any program waits for: work on a large tree, or a file
 * that is fetched from a place of snapshots. bv_sandbox_kill with SIGKILL from another thread ends it.
 *
 * Paths are absolute, in the sandbox's view; symbolic links on the way, and the last one where nothing else is said, are followed as the kernel does. Before the errors of the system call itself, for all that follow:
 * -EINVAL (a relative path; a flag that is not of this function), errors of bv_sandbox_spawn without its "stage"s, -ECANCELED (the process that did it was killed: by bv_sandbox_kill, by another process of
 * the sandbox, or for its memory; what it had done by then stays). */

enum {
	BV_FILE_APPEND = 1,	 /* write_file: at the end */
	BV_FILE_EXCLUSIVE = 2,	 /* write_file: -EEXIST if it is there, also as a symbolic link */
	BV_FILE_PARENTS = 4,	 /* write_file, make_dir: missing directories above are made (mode 0777 less the umask); make_dir: an existing directory is success */
	BV_FILE_NO_FOLLOW = 8,	 /* stat: of the symbolic link itself */
	BV_FILE_RECURSIVE = 16,	 /* remove_file: a directory with all that is in it */
	BV_FILE_NO_REPLACE = 32, /* rename_file: -EEXIST if the new name is there */
};

/* Makes `data` (bytes; NULL if len is 0) the content of a file, which stays the same object with its mode and owner, or with BV_FILE_APPEND adds it. A new one gets `mode` less the caller's umask, as with open(2).
 * All of the data is in the sandbox before the file is touched, so a caller that dies leaves it as it was, or complete; but a disk or limit that is full leaves an emptied or new file, perhaps with as much as there was
 * room for, which -ENOSPC or -EDQUOT tells. Write to another name and rename if the old content must survive that. Nothing waits: a FIFO that nobody reads is -ENXIO, a full one -EAGAIN.
 * Errors of open(2) and write(2), among them -EISDIR, -EEXIST (BV_FILE_EXCLUSIVE), -ETXTBSY, -EFBIG; -ENOMEM (data is copied once). */
int bv_sandbox_write_file(BvSandbox *sandbox, const char *path, const void *data, size_t len, unsigned flags, mode_t mode, BvError **err);
/* A new directory, with `mode` less the caller's umask. Errors of mkdir(2); with BV_FILE_PARENTS -EEXIST only if what is there is no directory. What was made above stays on failure. */
int bv_sandbox_make_dir(BvSandbox *sandbox, const char *path, unsigned flags, mode_t mode, BvError **err);
/* Removes one name: of a file, a symbolic link (never what it leads to), or an empty directory. With BV_FILE_RECURSIVE also what is in it, without following a symbolic link and without leaving what was below `path`,
 * whatever others do to the tree; the first error ends that, and what was removed by then is gone: -ENOTEMPTY (somebody fills it again), -EBUSY (somebody has moved a directory out of it meanwhile; the root). Errors
 * of unlink(2) and rmdir(2). */
int bv_sandbox_remove_file(BvSandbox *sandbox, const char *path, unsigned flags, BvError **err);
/* rename(2): atomically, also over an existing file or empty directory (but with BV_FILE_NO_REPLACE); the last component of neither is followed. -EXDEV into or out of a path that was granted with `rw`. */
int bv_sandbox_rename_file(BvSandbox *sandbox, const char *from, const char *to, unsigned flags, BvError **err);
/* Calls `visit` once with the object at a path; the entry is valid during the call, its path is the given one without what says nothing ("//", "/./", "/../"). `flags` and `origin` of it are not set. Returns what visit returns.
 * Errors of stat(2). */
int bv_sandbox_stat(BvSandbox *sandbox, const char *path, unsigned flags, int (*visit)(void *ctx, const BvEntry *entry), void *ctx, BvError **err);

typedef struct BvWatch BvWatch;
enum {
	BV_WATCH_CREATED = 1,  /* it is there: made, linked, or moved here from elsewhere */
	BV_WATCH_MODIFIED = 2, /* its content */
	BV_WATCH_REMOVED = 4,  /* removed, or moved elsewhere. A directory is told of once, perhaps without what was in it */
	BV_WATCH_RENAMED = 8,
	BV_WATCH_ATTRIB = 16,  /* mode, owner, times, number of links, extended attributes */
	BV_WATCH_OVERFLOW = 32, /* events were lost, as too many came or there is no room for more watches; the path is the watched one: look at all of it */
};
typedef struct BvWatchEvent {
	const char *path; /* below the path as it was given to bv_sandbox_watch, or that itself */
	unsigned what;	  /* BV_WATCH_*, one of them */
	const char *old_path; /* of a rename within what is watched, else NULL */
} BvWatchEvent;

/* Tells what processes of the sandbox (and the functions above) do to a file, to the names of a directory, or, if `recursive` is not 0, to those of all directories below it, too; new ones from the moment that they come, and what
 * was in them by then as created (some of that twice). All is watched when it returns. A symbolic link at `path` is followed, others are not. What the host changes by itself is told only below a path that was granted with `rw`.
 * It needs an inotify instance and a watch for each directory of the user's (fs.inotify). *out is the caller's to close, before the sandbox. It keeps the supervisor running, but is no command that anybody waits for.
 * -EINVAL (a relative path), errors of bv_sandbox_spawn and open(2), -EMFILE, -ENOSPC (no more instances, or watches), -ECANCELED. */
int bv_sandbox_watch(BvSandbox *sandbox, const char *path, int recursive, BvWatch **out, BvError **err);
/* Becomes readable when there are events, or there will be none any more: for poll(2), and for nothing else. It stays the library's. */
int bv_watch_fd(const BvWatch *watch);
/* Waits for events, at most timeout_ms milliseconds (-1: for ever; 0: not at all), and calls `visit` for each that is there (at most a thousand or so at once), in their order; an event is valid during the call. Returns how many there were; 0: none within that
 * time. Non-zero from visit stops and is returned; the other events stay for the next call. One thread at a time. -ENOENT (what was watched has been removed or moved, which was told), -ECANCELED (the process that
 * watches was killed), -ECONNRESET (the supervisor died), -EPROTO. */
int bv_watch_read(BvWatch *watch, int timeout_ms, int (*visit)(void *ctx, const BvWatchEvent *event), void *ctx, BvError **err);
void bv_watch_close(BvWatch *watch); /* NULL is allowed */

/* ---- what changed ---- */

typedef enum BvChangeKind { BV_ADDED = 'A', BV_MODIFIED = 'M', BV_DELETED = 'D', BV_TYPE_CHANGED = 'T', BV_RENAMED = 'R' } BvChangeKind;
enum { BV_DIFF_CONTENT = 1, BV_DIFF_MODE = 2, BV_DIFF_OWNER = 4, BV_DIFF_TIMES = 8, BV_DIFF_XATTR = 16, BV_DIFF_TARGET = 32,
	BV_DIFF_LOST = 64 /* of any kind: the store has lost the content; bytes and mtime are not known */ };

typedef struct BvChange {
	BvChangeKind kind;
	unsigned diff;	      /* BV_DIFF_*: what differs, for BV_MODIFIED and BV_RENAMED */
	const char *path;     /* in the sandbox */
	const char *old_path; /* BV_RENAMED: on the host; else NULL */
	const char *link_to;  /* another name of the file at this path, reported earlier; else NULL */
	uint32_t mode;	      /* file type and permissions in the sandbox; 0 for BV_DELETED */
	uint32_t old_mode;    /* the same on the host when the sandbox first used it; 0 when unknown or BV_ADDED */
	uint32_t uid, gid;
	uint64_t bytes; /* size in the sandbox */
	int64_t mtime_sec;
	long mtime_nsec;
	const char *host_path; /* where the host has, or would have, what this is a change of: path, but for what is renamed or below a renamed directory */
} BvChange;

enum {
	BV_DIFF_RAW = 1, /* also what was changed and changed back */
};
typedef struct BvDiffOptions {
	size_t size;
	unsigned flags;		  /* BV_DIFF_RAW */
	const char *const *paths; /* only these paths and what is below them; NULL-terminated; NULL: everything. Symbolic links of the host in the directories of a path are followed
				   * where the sandbox has left them as they are (between snapshots, theirs), its last name is not, unless a slash is behind it */
	void (*unchanged)(void *ctx, const char *path, const char *why); /* called at the end for each of `paths` where nothing differs; why: a remark, or NULL; may be NULL */
	void *unchanged_ctx;
} BvDiffOptions;
#define BV_DIFF_OPTIONS_INIT {sizeof(BvDiffOptions), 0, NULL, NULL, NULL}

/* Calls `visit` for every difference between the sandbox's view and the host, sorted by path (parents before children; a deleted directory is one
 * entry). Works on running and stopped sandboxes, without changing anything. options NULL: all defaults. The change is valid during the
 * call. Files whose content the store has lost are shown with BV_DIFF_LOST, the others as ever. Non-zero from visit stops and is returned.
 * What has too long a path (PATH_MAX) is left out: -ENAMETOOLONG after all others. -EINVAL (options, a relative path), -ENOENT, -EUCLEAN (damaged), -EPROTO (newer), -ENOMEM. */
int bv_sandbox_diff(BvSandbox *sandbox, const BvDiffOptions *options, int (*visit)(void *ctx, const BvChange *change), void *ctx, BvError **err);
/* Opens a file of the view for reading; *fd (O_CLOEXEC) is the caller's. Symbolic links are followed. What commands have in /dev, /proc and /sys is of them as they run: for this function and all
 * others that look, of sandboxes and snapshots, these are empty directories. -EISDIR, errors as open(2), and of bv_sandbox_diff. */
int bv_sandbox_open_file(BvSandbox *sandbox, const char *path, int *fd, BvError **err);
/* Target of a symbolic link of the view, NUL-terminated and cut to size; returns its length. -EINVAL (no link), errors as readlink(2). */
ssize_t bv_sandbox_readlink(BvSandbox *sandbox, const char *path, char *buf, size_t size, BvError **err);

typedef enum BvApplyResult { BV_APPLIED = 0, BV_WOULD_APPLY, BV_CONFLICT, BV_APPLY_FAILED } BvApplyResult;
typedef struct BvApplyItem {
	BvChangeKind kind;
	BvApplyResult result;
	const char *path;
	const char *old_path; /* BV_RENAMED */
	const char *reason;   /* of a conflict or failure, or what could not be kept (owner); may be NULL */
	const char *link_to;  /* it is made (or would be) another name of the file at this path; else NULL */
} BvApplyItem;
enum {
	BV_APPLY_DRY_RUN = 1, /* decide and report, change nothing */
};
typedef struct BvApplyOptions {
	size_t size;
	unsigned flags;		  /* BV_APPLY_* */
	const char *const *paths; /* as in BvDiffOptions; nothing else is changed: half of a rename is a conflict, another name of a file outside becomes a file of its own */
	BvProgress progress;
	void *progress_ctx;
} BvApplyOptions;
#define BV_APPLY_OPTIONS_INIT {sizeof(BvApplyOptions), 0, NULL, NULL, NULL}

/* Makes the sandbox's changes on the host, where the host is unchanged since the sandbox first used it; what the host changed
 * meanwhile is reported as a conflict and left. First an apply that was interrupted is finished. Returns how many conflicts and failures
 * were reported. -ENODATA: the sandbox never changed anything at one of `paths` or below it, and nothing was applied (not if an interrupted apply was finished: that may have been it).
 * -EINVAL (options, a relative path), -EBUSY (another apply), -ENOENT, -EUCLEAN, -ENOSPC, -ENOMEM. */
int bv_sandbox_apply(BvSandbox *sandbox, const BvApplyOptions *options, int (*visit)(void *ctx, const BvApplyItem *item), void *ctx, BvError **err);

/* ---- snapshots ---- */

/* Snapshots are kept in a directory (its path, or "dir:PATH") or a bucket ("s3://BUCKET/PREFIX"); NULL: $BVISOR_SNAPSHOTS, else snapshots/ in the store. A name has
 * numbered states: NAME, NAME@ and NAME@latest are the newest, NAME@3 the third. Errors of the place, for all that follow: -ENODEV (no such directory or bucket), -EACCES, -ENOSPC, -ETIMEDOUT,
 * -ECONNREFUSED, -EHOSTUNREACH, -EBADMSG (damaged), -EPROTO (written by a newer version), -EIO. */

/* A place is encrypted with one key, or not at all: whoever takes the first snapshot there decides. A key is 32 bytes (or 64 hexadecimal digits) in a file, or random and kept in the
 * place itself, sealed with a passphrase. What is not given comes from $BVISOR_KEY_FILE or $BVISOR_PASSPHRASE_FILE. Files are read, and secrets wiped, within the call;
 * they are in no message, and in memory that no core dump shows but for the moment in which OpenSSL makes a key of a passphrase. Where there is a `key` below it may be NULL: the environment alone. -ENOKEY, for all that take one:
 * the place is encrypted and the key is missing or another one, or it is not encrypted and a key is given (from the environment: and snapshots would be written). */
typedef struct BvKeyOptions {
	size_t size;
	const char *key_file;	     /* may be a pipe */
	const char *passphrase_file; /* its first line; with an empty place, a key is made. Not both */
	/* Called if `place` needs a passphrase and none is given; may be NULL. Writes it into `passphrase`, with a final NUL; `attempt` counts from 0. A negative errno gives up (-ENOTTY: there is nobody
	 * to ask). The memory is the library's, and wiped. */
	int (*ask)(void *ctx, const char *place, int attempt, char *passphrase, size_t room);
	void *ctx; /* for ask */
} BvKeyOptions;
#define BV_KEY_OPTIONS_INIT {sizeof(BvKeyOptions), NULL, NULL, NULL, NULL}

/* The key of the place that this sandbox's files come from (bv_snapshot_restore), if it is encrypted: for starting commands, looking at files and taking snapshots with this handle, which ask for it when they need it. A key
 * from a pipe is read now, and kept in a file without a name until the handle is closed. A new sandbox (bv_sandbox_create) whose backend is a place: that is opened
 * with the key, and encrypted from now on if nothing is in it. Without this the environment says. `options` is copied. -EINVAL, -ENOMEM, and those of reading the pipe. */
int bv_sandbox_set_key(BvSandbox *sandbox, const BvKeyOptions *options, BvError **err);

typedef struct BvSnapshotOptions {
	size_t size;
	const char *to;	     /* the place; NULL: the sandbox's backend if it is one, else the default one */
	const char *name;    /* 1 to 128 of [0-9A-Za-z._-], the first no dot; NULL: the sandbox's */
	const char *message; /* for listings; may be NULL */
	const char *const *tags; /* words as a name has them; NULL-terminated; NULL: none */
	const BvKeyOptions *key;
	unsigned flags; /* BV_SNAPSHOT_WITH_BASE, BV_SNAPSHOT_IF_CHANGED */
	BvProgress progress;
	void *progress_ctx;
} BvSnapshotOptions;
#define BV_SNAPSHOT_OPTIONS_INIT {sizeof(BvSnapshotOptions), NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL}

typedef struct BvSnapshotReceipt {
	size_t size;
	char name[129];
	uint64_t number; /* which state of the name */
	char id[65];	 /* checksum of the whole, hexadecimal */
	uint64_t files, bytes; /* whose bytes are in the snapshot */
	uint64_t new_bytes;    /* of these, not there before */
	uint64_t moved, requests; /* bytes to or from the place, and requests */
	double pause;		  /* seconds for which processes of the sandbox stood still */
	unsigned flags;		  /* BV_SNAPSHOT_UNSTEADY, BV_RESTORE_UNHELD */
	uint64_t missing;	  /* restore: files whose bytes are lost in the place, as far as that can be told; opening one is EIO */
	uint64_t base_files, base_bytes; /* regular files of the host that the snapshot carries */
	uint64_t base_left; /* taking: files that were to be carried, but are gone or cannot be read */
	uint64_t base_used; /* restoring: carried files and symlinks that this host has not, or otherwise, so that the sandbox has those of the snapshot */
	char lost[256]; /* restore: why the first of those that are missing is; may be cut */
} BvSnapshotReceipt;
#define BV_SNAPSHOT_RECEIPT_INIT {sizeof(BvSnapshotReceipt), "", 0, "", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ""}
enum {
	BV_SNAPSHOT_IF_CHANGED = 8, /* option: if the newest state of the name is what the sandbox is, the receipt tells that one, and no new one is made */
	BV_SNAPSHOT_WITH_BASE = 2, /* option: carry the files of the host that commands in the sandbox have opened or executed, so that it can be restored where they are missing.
				    * Without it a sandbox that was itself restored from such a snapshot carries what came with that, and no file of this host */
	BV_RESTORE_UNHELD = 4,	   /* nothing can be written there: if the snapshot is removed, what was not fetched by then is lost */
	BV_SNAPSHOT_UNSTEADY = 1, /* its processes could not be stopped for that moment: files that they were writing may be of slightly different moments */
};

/* Takes a snapshot of a sandbox, running or not, as it is at one moment: a new state of the name, which is there as a whole or not at all. What the state before has is not
 * stored again. Processes stand still for milliseconds, and only if some of them has files open for writing; what they change while the snapshot is read and sent
 * costs them a copy of the file at the first change. The receipt may be NULL. -EBUSY (another snapshot of it is being taken; an apply was interrupted), -EINVAL, -ENOMEM. */
int bv_sandbox_snapshot(BvSandbox *sandbox, const BvSnapshotOptions *options, BvSnapshotReceipt *receipt, BvError **err);

/* Brings what a sandbox is now to its backend, a place, as the newest state of SANDBOX.sync, of which only the last two are kept. 1: it is there now; 0: nothing had changed. key may be NULL (then that of
 * bv_sandbox_set_key counts), and the receipt. Errors of bv_sandbox_snapshot; -EINVAL (its backend is no place). */
int bv_sandbox_sync(BvSandbox *sandbox, const BvKeyOptions *key, BvSnapshotReceipt *receipt, BvError **err);
typedef struct BvFollowOptions {
	size_t size;
	double seconds; /* between two states; 0: 5 */
	const BvKeyOptions *key;
	/* After each try: a new state (receipt), nothing new (both NULL), or why it failed. May be NULL. */
	void (*visit)(void *ctx, const BvSnapshotReceipt *receipt, const char *error);
	void *ctx;
} BvFollowOptions;
#define BV_FOLLOW_OPTIONS_INIT {sizeof(BvFollowOptions), 0, NULL, NULL, NULL}
/* bv_sandbox_sync, again and again, until no command is left and the last state is there; what cannot be reached is tried again, for ten minutes after the sandbox has stopped. A sandbox made with
 * BV_CREATE_CONTINUOUS is followed so by another process. -EALREADY (somebody follows it), -EINVAL, and why the last state is not there. */
int bv_sandbox_follow(BvSandbox *sandbox, const BvFollowOptions *options, BvError **err);

typedef struct BvRestoreOptions {
	size_t size;
	const char *from;    /* the place */
	const char *store;   /* of sandboxes, as in BvCreateOptions */
	const char *name;    /* of the new sandbox; NULL: one is made up */
	const char *backend; /* as in BvCreateOptions */
	const char *const *show; /* as in BvCreateOptions */
	unsigned flags;		 /* BV_RESTORE_* */
	const BvKeyOptions *key;
	uint64_t spool; /* as in BvCreateOptions */
	BvProgress progress;
	void *progress_ctx;
	const BvLimits *limits; /* as in BvCreateOptions: those of the sandbox that the snapshot is of are not part of it */
} BvRestoreOptions;
#define BV_RESTORE_OPTIONS_INIT {sizeof(BvRestoreOptions), NULL, NULL, NULL, NULL, NULL, 0, NULL, 0, NULL, NULL, NULL}
enum {
	BV_RESTORE_PREFETCH = 1, /* fetch everything now: the sandbox does not need the place any more, nor its key */
	BV_RESTORE_CONTINUOUS = 4, /* as BV_CREATE_CONTINUOUS */
	BV_RESTORE_IN_PLACE = 2, /* of the stopped sandbox `name` (NULL: the snapshot's name), which keeps its grants, its limits and its backend ("dir", or a place). What it was is first kept as a
				  * new state of its name in that place, if anything has run in it. show, limits and backend are ignored. -EBUSY (it runs), -ENOENT, -EOPNOTSUPP (another backend) */
};

/* A new sandbox with all that a snapshot ("NAME" or "NAME@NUMBER") has. Names and metadata are there, compared with their checksums, when this returns; the bytes of a file come
 * from the place when it is first opened (EIO in the sandbox while that cannot be reached), unless BV_RESTORE_PREFETCH. What the first one was granted on its host (rw, show) is not taken over; what was hidden from it (hide) is, but for `show`.
 * Of what the snapshot carries of a host (BV_SNAPSHOT_WITH_BASE) the sandbox gets what is missing here, or differs in type, permissions, size or time of modification. *out is the caller's to close; the receipt may be NULL.
 * -ENOENT (no such snapshot), -EEXIST (the sandbox's name), -EACCES (also: it rests on what is hidden here), -EINVAL, -ENOMEM, and those of the place. */
int bv_snapshot_restore(const char *snapshot, const BvRestoreOptions *options, BvSandbox **out, BvSnapshotReceipt *receipt, BvError **err);

enum { BV_DRIFT_GONE = 1, BV_DRIFT_TYPE = 2, BV_DRIFT_CONTENT = 4 /* size or time of modification */, BV_DRIFT_MODE = 8, BV_DRIFT_OWNER = 16 };
typedef struct BvDrift {
	const char *path; /* on the host */
	unsigned what;	  /* BV_DRIFT_* */
	uint64_t bytes, was_bytes;
} BvDrift;
/* Is the host what the sandbox rests on? Calls `visit` for each file of the host that the sandbox has changed, renamed, replaced or deleted and that is not what it was when it
 * first did; also on another machine than that one. *checked (may be NULL): how many were compared. Non-zero from visit stops and is returned.
 * What a snapshot carried (BV_SNAPSHOT_WITH_BASE) is not compared: the sandbox does not rest on the host there. The errors of bv_sandbox_diff. */
int bv_sandbox_verify(BvSandbox *sandbox, int (*visit)(void *ctx, const BvDrift *drift), void *ctx, uint64_t *checked, BvError **err);

typedef struct BvForkOptions {
	size_t size;
	const char *from; /* the place */
	const BvKeyOptions *key;
} BvForkOptions;
#define BV_FORK_OPTIONS_INIT {sizeof(BvForkOptions), NULL, NULL}

/* A new name, with one state, for what a snapshot ("NAME" or "NAME@NUMBER") is: nothing is copied, however large it is, and from now on each goes its own way. The receipt (may be
 * NULL) has the new name. A name that means just this state and no other, as after a fork that was interrupted, is taken as it is. -ENOENT, -EEXIST (the name has other states
 * already), -EINVAL, -ENOMEM, and those of the place. */
int bv_snapshot_fork(const char *snapshot, const char *name, const BvForkOptions *options, BvSnapshotReceipt *receipt, BvError **err);

typedef struct BvSnapshotInfo {
	const char *name;
	uint64_t number;
	const char *id;
	const char *message, *sandbox; /* may be NULL */
	int64_t seconds;	       /* when it was taken */
	uint32_t nanoseconds;
	uint64_t files, bytes;
	uint64_t stored;    /* bytes that it added to the place */
	const char *damage; /* NULL, or why it cannot be read (then only name, number and id are set) */
	int with_base;	    /* 1: it carries files of the host, perhaps none */
	uint64_t base_files, base_bytes;
} BvSnapshotInfo;
/* Calls `visit` for every state of every name (or of one: `name`), by name and number. The info is valid during the call. Non-zero from visit stops and is returned. */
int bv_snapshot_list(const char *from, const char *name, int (*visit)(void *ctx, const BvSnapshotInfo *info), void *ctx, BvError **err);

typedef struct BvSnapshotListOptions {
	size_t size;
	const char *from; /* the place */
	const char *name; /* NULL: all */
	const BvKeyOptions *key;
} BvSnapshotListOptions;
#define BV_SNAPSHOT_LIST_OPTIONS_INIT {sizeof(BvSnapshotListOptions), NULL, NULL, NULL}
/* bv_snapshot_list with a key. */
int bv_snapshot_list_with(const BvSnapshotListOptions *options, int (*visit)(void *ctx, const BvSnapshotInfo *info), void *ctx, BvError **err);

/* ---- looking into snapshots ---- */

typedef struct BvSnapshot BvSnapshot;
typedef struct BvSnapshotOpenOptions {
	size_t size;
	const char *from;	 /* the place */
	const char *store;	 /* of sandboxes, as in BvCreateOptions: the default place is in it, and what is in it is hidden */
	const char *const *show; /* as in BvCreateOptions */
	const BvKeyOptions *key;
} BvSnapshotOpenOptions;
#define BV_SNAPSHOT_OPEN_OPTIONS_INIT {sizeof(BvSnapshotOpenOptions), NULL, NULL, NULL, NULL}

/* Opens a snapshot ("NAME", "NAME@", "NAME@NUMBER") to look at it; nothing is restored, and of its contents only what is asked for is fetched. What it did not
 * change is the host's, as a sandbox would show it. *out is the caller's to close. -EINVAL (name), -ENOENT, those of the place, -ENOMEM. */
int bv_snapshot_open(const char *snapshot, const BvSnapshotOpenOptions *options, BvSnapshot **out, BvError **err);
void bv_snapshot_close(BvSnapshot *snapshot); /* NULL is allowed */
/* Which one it is, and what was moved for it so far. */
void bv_snapshot_about(const BvSnapshot *snapshot, BvSnapshotReceipt *out);

/* Calls `sink` with the bytes of a file, piece by piece. Symbolic links are followed. Non-zero from sink stops and is returned. Of a file that the snapshot
 * did not change, or only renamed or gave other attributes, the bytes are the host's: -ENOENT if that has none. -EACCES (also: it rests on what is hidden here),
 * -EISDIR, -ENXIO (it has no bytes: a socket, a FIFO), errors as open(2), those of the place. */
int bv_snapshot_read(BvSnapshot *snapshot, const char *path, int (*sink)(void *ctx, const void *data, size_t len), void *ctx, BvError **err);
/* The same as a nameless temporary file; *fd (O_CLOEXEC) is the caller's. And -ENOSPC. */
int bv_snapshot_open_file(BvSnapshot *snapshot, const char *path, int *fd, BvError **err);
/* As bv_sandbox_readlink. */
ssize_t bv_snapshot_readlink(BvSnapshot *snapshot, const char *path, char *buf, size_t size, BvError **err);

enum {
	BV_LIST_RECURSIVE = 1, /* what is below, too: each directory before what is in it */
};
typedef struct BvListOptions {
	size_t size;
	unsigned flags; /* BV_LIST_* */
} BvListOptions;
#define BV_LIST_OPTIONS_INIT {sizeof(BvListOptions), 0}

/* Calls `visit` for each entry of a directory that is in the snapshot: what was changed, deleted, or leads to something changed; by name. What is only the host's is
 * not listed. A path that is no directory is visited itself. The entry is valid during the call. Non-zero from visit stops and is returned. -ENOENT, -ENOTDIR, -ELOOP,
 * those of the place. */
int bv_snapshot_list_dir(BvSnapshot *snapshot, const char *path, const BvListOptions *options, int (*visit)(void *ctx, const BvEntry *entry), void *ctx, BvError **err);
/* The same of a sandbox, running or not: everything that a command in it would see. */
int bv_sandbox_list_dir(BvSandbox *sandbox, const char *path, const BvListOptions *options, int (*visit)(void *ctx, const BvEntry *entry), void *ctx, BvError **err);

/* As bv_sandbox_diff: what a sandbox restored from the snapshot would differ in from the host as it is now. All of the list of the snapshot is read; of contents that are as long as the host's
 * file checksums are compared, and nothing is fetched. */
int bv_snapshot_diff(BvSnapshot *snapshot, const BvDiffOptions *options, int (*visit)(void *ctx, const BvChange *change), void *ctx, BvError **err);

typedef struct BvSide { /* exactly one of these */
	BvSandbox *sandbox;
	BvSnapshot *snapshot;
} BvSide;
/* Calls `visit` for every difference between two views over the host: as bv_sandbox_diff, with `before` in the place of the host. A file or directory that is the same object under
 * another name (by inode number and time of birth) is BV_RENAMED. host_path is the path in `before`. Of two snapshots that are states of one sandbox, only what differs is read of their lists, and
 * the names; contents are compared by their references (two that are cut otherwise, which no version of bvisor does to the same file, would count as different). -EINVAL, errors of
 * bv_sandbox_diff and of bv_snapshot_diff. */
int bv_snapshot_compare(const BvSide *before, const BvSide *after, const BvDiffOptions *options, int (*visit)(void *ctx, const BvChange *change), void *ctx, BvError **err);

/* ---- archives ---- */

enum { BV_ARCHIVE_TAR, BV_ARCHIVE_OCI };

typedef struct BvExportOptions {
	size_t size;
	int format;	       /* BV_ARCHIVE_* */
	const char *directory; /* BV_ARCHIVE_OCI: the layout goes into this directory, which is made; NULL: as a tar to the descriptor */
	void (*note)(void *ctx, const char *text); /* what is left out; may be NULL */
	void *note_ctx;
} BvExportOptions;
#define BV_EXPORT_OPTIONS_INIT {sizeof(BvExportOptions), BV_ARCHIVE_TAR, NULL, NULL, NULL}

/* Writes the changes of a sandbox (as of its last commit, if it is running) or a snapshot to `fd`, which stays the caller's: a tar (pax), or an OCI image with one layer (gzip). Deletions are
 * .wh.NAME, a directory through which nothing of the host shows has .wh..wh..opq; a directory that was renamed is there with all that is in it. Sockets and devices are left out. The same
 * changes give the same bytes. -EINVAL (options; a name that means a deletion), -ENOSYS (libarchive or, for OCI, OpenSSL is not installed), -ENOENT (the host has no more what something rests on),
 * -EACCES, -EIO, -ENOSPC, -EEXIST (the directory has an image), errors of bv_sandbox_diff and bv_snapshot_diff. */
int bv_snapshot_export(const BvSide *of, const BvExportOptions *options, int fd, BvError **err);

enum {
	BV_IMPORT_FAKE_ROOT = 1, /* as BV_CREATE_FAKE_ROOT: what is root's in the archive is the commands' own */
};
typedef struct BvImportOptions {
	size_t size;
	int format;	       /* BV_ARCHIVE_* */
	const char *directory; /* BV_ARCHIVE_OCI: an image layout; NULL: a tar from the descriptor */
	const char *store;     /* of sandboxes, as in BvCreateOptions */
	const char *name;      /* of the new sandbox; NULL: one is made up */
	const char *backend;   /* as in BvCreateOptions */
	void (*note)(void *ctx, const char *text); /* what was left out or made harmless; may be NULL */
	void *note_ctx;
	unsigned flags; /* BV_IMPORT_* */
	const BvLimits *limits; /* as in BvCreateOptions */
} BvImportOptions;
#define BV_IMPORT_OPTIONS_INIT {sizeof(BvImportOptions), BV_ARCHIVE_TAR, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL}

/* Makes a new stopped sandbox whose changes are those of a layer (tar: pax, ustar or GNU; also compressed), or of all layers of an OCI image, over this host. It is there as a whole or not at all. Nothing
 * outside of it changes, whatever the archive says: a leading slash is taken off; devices, and what is below /dev, /proc and /sys, are left out. Refused (-EBADMSG) are "..", names below a symbolic
 * link of the archive, hard links to what is not in it, and what is truncated or not what its checksum says. *out is the caller's to close. -EINVAL, -EEXIST (the sandbox's name), -ENOSYS,
 * -EACCES (also: a directory that is to be deleted cannot be read), -EFBIG, -ENOSPC, -ENOMEM. */
int bv_sandbox_import(int fd, const BvImportOptions *options, BvSandbox **out, BvError **err);

/* ---- what takes care of a place of snapshots ----
 *
 * All of these may run beside each other and beside whoever takes or restores snapshots, on any machine. */

enum {
	BV_GC_ALONE = 1,   /* the caller knows that nobody else uses the place now: all that nothing needs goes at once */
	BV_GC_DRY_RUN = 2, /* change nothing, say what a first round would do */
};
typedef struct BvGcOptions {
	size_t size;
	unsigned flags;	   /* BV_GC_* */
	const char *from;  /* the place */
	int64_t grace;	   /* seconds that something is condemned before it goes; 0: an hour (ALONE: none) */
	BvProgress progress;
	void *ctx; /* for progress */
	const BvKeyOptions *key;
} BvGcOptions;
#define BV_GC_OPTIONS_INIT {sizeof(BvGcOptions), 0, NULL, 0, NULL, NULL, NULL}

typedef struct BvGcResult {
	size_t size;
	uint64_t snapshots, packs, bytes;	 /* what is needed: snapshots that have a name, and what they lead to */
	uint64_t condemned;			 /* objects that will go, after the grace period, in a later round */
	uint64_t removed, removed_bytes;	 /* objects that have gone */
	uint64_t repacked, moved_bytes;		 /* packs that were written anew as little of them is needed, and what that is */
} BvGcResult;
#define BV_GC_RESULT_INIT {sizeof(BvGcResult), 0, 0, 0, 0, 0, 0, 0, 0}

/* One round of collection: removes what an earlier round condemned at least the grace period ago, and condemns what no snapshot with a name leads to. The room of a removed snapshot
 * is free after some rounds. If anything cannot be read, nothing is removed. The result may be NULL.
 * -EINVAL (a grace period of less than an hour, without ALONE), -EEXIST (other collectors were faster, again and again), -ESTALE (it took so long that nothing more could be
 * removed safely), -ENOMEM, and those of the place. */
int bv_snapshot_gc(const BvGcOptions *options, BvGcResult *result, BvError **err);

enum {
	BV_CHECK_READ_DATA = 1,	   /* read and compare every byte; else tables and manifests */
	BV_CHECK_REPAIR_INDEX = 2, /* first make the index of all packs again, for snapshots whose index is lost */
};
typedef struct BvCheckOptions {
	size_t size;
	unsigned flags;	  /* BV_CHECK_* */
	const char *from; /* the place */
	BvProgress progress;
	void *ctx; /* for progress */
	const BvKeyOptions *key;
} BvCheckOptions;
#define BV_CHECK_OPTIONS_INIT {sizeof(BvCheckOptions), 0, NULL, NULL, NULL, NULL}

typedef struct BvCheckResult {
	size_t size;
	uint64_t states, snapshots, packs, chunks, bytes; /* looked at; bytes: with READ_DATA */
	uint64_t damaged, hurt;				  /* objects that are damaged or missing; states that are incomplete for that */
	uint64_t indexed;				  /* REPAIR_INDEX: packs in the new index */
} BvCheckResult;
#define BV_CHECK_RESULT_INIT {sizeof(BvCheckResult), 0, 0, 0, 0, 0, 0, 0, 0}

typedef struct BvDamage {
	const char *object;   /* what is damaged or missing: the name of an object, or a part of one; NULL: this is a snapshot that is hurt */
	const char *snapshot; /* the snapshot's name, else NULL */
	uint64_t number;      /* and which state */
	const char *message;  /* for a snapshot: the first thing that it lacks */
} BvDamage;

/* Looks at all that snapshots lead to, and calls `visit` (may be NULL) for each damaged object, then for each state that is hurt; Returns 0 if all
 * is well, 1 if there is damage. The result may be NULL. -EINVAL, -ENOMEM, and those of the place: then it could not be made. */
int bv_snapshot_check(const BvCheckOptions *options, void (*visit)(void *ctx, const BvDamage *damage), void *ctx, BvCheckResult *result, BvError **err);

typedef struct BvRemoveOptions {
	size_t size;
	const char *from; /* the place */
	const BvKeyOptions *key;
} BvRemoveOptions;
#define BV_REMOVE_OPTIONS_INIT {sizeof(BvRemoveOptions), NULL, NULL}

/* Removes states: "NAME@NUMBER" one, "NAME" all of that name; the list is NULL-terminated. Calls `visit` (may be NULL) for each that was removed. Only the names go; bv_snapshot_gc frees
 * the room later. Nothing is removed if one of them is not there. Returns how many were removed. -EINVAL, -ENOENT, -EBUSY (the newest state of a name
 * goes only together with all others), -ENOMEM, and those of the place. */
int bv_snapshot_remove(const char *const *snapshots, const BvRemoveOptions *options, void (*visit)(void *ctx, const char *name, uint64_t number), void *ctx, BvError **err);

enum {
	BV_PRUNE_DRY_RUN = 1, /* decide and report, remove nothing */
};
typedef struct BvPruneOptions {
	size_t size;
	unsigned flags;	  /* BV_PRUNE_* */
	const char *from; /* the place */
	unsigned keep_last; /* so many of the newest states; 0: this rule is not used, for all of these */
	unsigned keep_hourly, keep_daily, keep_weekly, keep_monthly, keep_yearly; /* the newest state of each of so many (local) hours, ... that have one */
	const char *const *keep_tags; /* all with one of these tags; NULL-terminated; NULL: none */
	const BvKeyOptions *key;
} BvPruneOptions;
#define BV_PRUNE_OPTIONS_INIT {sizeof(BvPruneOptions), 0, NULL, 0, 0, 0, 0, 0, 0, NULL, NULL}

typedef struct BvPruneItem {
	const char *name;
	uint64_t number;
	int64_t seconds;    /* when it was taken; 0: it cannot be read */
	int keep;	    /* 0: it was removed (DRY_RUN: would be) */
	const char *reason; /* the rules that keep it, or that none does */
} BvPruneItem;

/* Removes the states that no rule keeps, of each of these names (NULL-terminated; NULL or empty: all) by itself, and calls `visit` (may be NULL) for each state, removed
 * or not. The newest state is always kept, and what cannot be read. The rules are restic's: the oldest state counts for a rule that has not used up its
 * number. Returns how many were removed (DRY_RUN: would be). -EINVAL (also: no rule), -ENOENT (a name), -ENOMEM, and those of the place. */
int bv_snapshot_prune(const char *const *names, const BvPruneOptions *options, void (*visit)(void *ctx, const BvPruneItem *item), void *ctx, BvError **err);

typedef struct BvCopyOptions {
	size_t size;
	const char *from, *to; /* the places */
	const char *as;	       /* another name in `to`, for one snapshot; NULL: the same */
	BvProgress progress;
	void *ctx; /* for progress */
	const BvKeyOptions *from_key, *to_key;
} BvCopyOptions;
#define BV_COPY_OPTIONS_INIT {sizeof(BvCopyOptions), NULL, NULL, NULL, NULL, NULL, NULL, NULL}

typedef struct BvCopyItem {
	const char *name; /* the state in `from` */
	uint64_t number;
	const char *to_name; /* and in `to` */
	uint64_t to_number;
	int copied;	       /* 0: it was there already */
	uint64_t files, bytes; /* that were read, as the target did not have them */
	uint64_t sent;	       /* bytes of contents and records that were put there */
} BvCopyItem;

/* Copies states from one place into another: "NAME@NUMBER" one, "NAME" all that the other place lacks, oldest first; the list is NULL-terminated. They become further states of the name there, with the time
 * and message that they have; one that is there already (under any number of the name) is not copied again. Only what the target lacks is sent, encrypted with its key. Everything is
 * compared with its checksums, and a state can be seen in the target when all of it is there: an interrupted copy is completed by a repeat. Calls `visit` (may be NULL) for each state.
 * Large files need room for one at a time in $TMPDIR (else /var/tmp). Returns how many were copied. -EINVAL, -ENOENT, -ENOKEY (also: what is encrypted would not be in an empty target),
 * -EEXIST (others make states of this name there, again and again), -ESTALE (it took so long that what it shares is being removed: repeat it), -ENOMEM, and those of the places. */
int bv_snapshot_copy(const char *const *snapshots, const BvCopyOptions *options, void (*visit)(void *ctx, const BvCopyItem *item), void *ctx, BvError **err);

/* ---- this machine ---- */

typedef struct BvFeature {
	const char *name;
	int works;
	int required;		 /* 1: bvisor cannot run without it */
	const char *reason;	 /* what was tried and what it said; never NULL */
	const char *consequence; /* of its absence; never NULL */
} BvFeature;
/* Tries every kernel feature that bvisor can use, really, and calls `visit` for each. store NULL: the default one (FICLONE and writability are tried
 * there). Returns 1 if bvisor can run here, 0 if not. -ENOMEM. */
int bv_doctor(const char *store, int (*visit)(void *ctx, const BvFeature *feature), void *ctx, BvError **err);

#ifdef __cplusplus
}
#endif
#pragma GCC visibility pop

#endif
