/* supervisor/call.h - one system call of a guest under way, and what a handler may do with it.
 *
 * A handler is: decode (copy each argument in once, invariant 2), one call into cowfs, encode. It returns the value for the guest (>= 0),
 * a negative errno, or one of the CALL_* answers. A handler that would wait returns CALL_SLOW or gets -EINPROGRESS from cowfs
 * (req.may_block is false on the receiver thread): it must not have changed anything before; the dispatcher runs it again on a worker. */
#ifndef SUPERVISOR_CALL_H
#define SUPERVISOR_CALL_H

#include "supervisor/supervisor.h"
#include "supervisor/table.h"

enum {
	CALL_CONTINUE = INT32_MIN,	   /* let the kernel do it: only where no pointer argument mattered (design, invariant 2) */
	CALL_REPLIED = INT32_MIN + 1,	   /* the handler has answered (ADDFD with SEND, a rewrite) */
	CALL_SLOW = INT32_MIN + 2,	   /* run again on a worker thread */
};

typedef struct Call {
	Supervisor *sup;
	Listener *listener;
	uint64_t id;
	pid_t tid;
	int nr;
	uint64_t args[6];
	uint64_t ip;
	uint64_t content; /* task_note_content(); 0: not known */
	const Syscall *row;
	SupCaller caller;
	CowReq req;
	size_t sent;   /* bytes of a stream, before the call turned out to wait: sys_send.c */
	bool gone;     /* the answer found nobody */
	bool expected; /* by task_expect() */
	atomic_bool seized; /* the thread was stopped with ptrace: what it calls now is what we make it call (ptrace.c) */
	struct Held *held; /* the thread is in a ptrace stop, its notification was answered: the value goes into its registers */
	char detail[512]; /* for the trace: the decoded path; empty if none */
} Call;

/* Does the notification still wait for us? False once the guest was killed (or interrupted, on kernels without WAIT_KILLABLE_RECV). */
bool call_valid(const Call *call);
/* Hands *fd to the guest as the call's result. Returns CALL_REPLIED, a number to answer with (*fd is closed then), or a negative errno. */
int call_reply_fd(Call *call, int *fd, bool cloexec);
/* The same, and *fd is closed before the guest goes on: what it does next finds the file as if only it had it open (no ETXTBSY, no lock, no end of a pipe is left). Where
 * signals interrupt calls that wait for their answer (no features.killable) the guest may keep the descriptor while its call comes again: call_reply_fd avoids that. */
int call_hand_over(Call *call, int *fd, bool cloexec);
/* The same for an O_PATH descriptor, which the kernel does not let us add directly (ptrace.c). */
int call_reply_path_fd(Call *call, int fd, bool cloexec);
/* Makes the guest's descriptor `guest_fd` refer to our `fd` (dup2 in the guest). 0 or negative errno; the call is still unanswered. */
int call_replace_fd(Call *call, int fd, int guest_fd, bool cloexec);
/* Gives the guest a descriptor while its call is unanswered: its number there, or negative errno. */
int call_give_fd(Call *call, int fd, bool cloexec);
/* Answers now; the return value says whether the guest was still there. */
bool call_answer(Call *call, int64_t value);
/* Notes a decoded path for the trace. */
void call_note(Call *call, const char *path);

/* ---- guest memory (mem.c): -EFAULT where the kernel would say so ---- */
int mem_read(const Call *call, uint64_t addr, void *buf, size_t len) MUST_CHECK;
int mem_write(const Call *call, uint64_t addr, const void *buf, size_t len) MUST_CHECK;
/* A NUL-terminated string of at most size-1 bytes: its length, -EFAULT, or -ENAMETOOLONG. */
ssize_t mem_read_string(const Call *call, uint64_t addr, char *buf, size_t size) MUST_CHECK;
/* A path argument (PATH_MAX), noted for the trace. buf is PATH_MAX bytes. */
int mem_read_path(Call *call, uint64_t addr, char *buf) MUST_CHECK;

/* ---- what the guest's descriptors and cwd stand for (guestfd.c) ---- */
/* The object behind a descriptor; AT_FDCWD is the cwd. -EBADF, -ENOENT (no longer in the view). For descriptors that are no files (sockets,
 * pipes, memfds): -EXDEV. `raw` (may be NULL) gets the host's statx. */
int guest_fd_loc(Call *call, int fd, CowLoc *out, struct statx *raw) MUST_CHECK;
/* The start of a *at path: out stays COW_NONE for absolute paths (never looks at fd then), else a directory. -EBADF, -ENOTDIR. */
int guest_at(Call *call, int fd, const char *path, bool empty_ok, CowLoc *out) MUST_CHECK;
int guest_cwd_loc(Supervisor *sup, pid_t tid, CowLoc *out) MUST_CHECK;
/* Where below /proc the caller has the directory `dir`: its cwd or one of its descriptors. -ENOENT: nowhere. It may put something else there at any
 * time: whoever opens it asks guest_is_object afterwards. */
int guest_held_dir(Call *call, const CowLoc *dir, char link[48]) MUST_CHECK;
bool guest_is_object(Supervisor *sup, int fd, const CowLoc *loc);
/* The host's statx of a guest descriptor. */
int guest_fd_statx(Call *call, int fd, unsigned mask, struct statx *out) MUST_CHECK;
/* Our own duplicate of the guest's descriptor (same open file description): by pidfd_getfd, or, where the kernel or an outer filter refuses
 * that, by making the guest send it (call_take_fd; slow, on a worker only: CALL_SLOW). -EBADF. */
int guest_fd_dup(Call *call, int fd) MUST_CHECK;
/* The same by pidfd_getfd only: -ENOSYS without. */
int guest_fd_dup_fast(Call *call, int fd) MUST_CHECK;
/* -EBADF: no such descriptor, or one of O_PATH, which most calls on descriptors do not take. Cheaper than guest_fd_info. */
int guest_fd_usable(Call *call, int fd) MUST_CHECK;
/* -EMFILE: the guest has no number left for one more descriptor, which the kernel sees before it does anything. 0: it has, or that cannot be told. */
int guest_fd_free(Call *call) MUST_CHECK;
/* pos and flags of /proc/PID/fdinfo/N. */
int guest_fd_info(Call *call, int fd, uint64_t *pos, int *flags) MUST_CHECK;

/* ---- rewriting a call in flight (ptrace.c) ---- */
typedef struct Rewrite {
	long nr;
	uint64_t args[6];
	unsigned arg_offsets; /* bit i: args[i] is an offset into data */
	const void *data;     /* copied to the guest, 16-byte aligned */
	size_t len;
	const uint32_t *relocs; /* offsets of 64-bit words in data that are offsets into data */
	size_t n_relocs;
} Rewrite;
/* Makes the guest issue another call instead (design section 5); when that comes in it is recognised and CONTINUEd. CALL_REPLIED or a
 * negative errno to answer with. */
int call_rewrite(Call *call, const Rewrite *rewrite);

/* The end of ptrace on a thread, which takes the signal (0: none); one that was killed meanwhile is reaped. */
void thread_detach(pid_t tid, int sig);
/* Answers so that the guest's thread takes its signal, or makes the call again if it has none. CALL_REPLIED or a negative errno. */
int call_restart(Call *call);

/* A duplicate of the guest's descriptor without pidfd_getfd. The calling thread of the guest is held from then on; the answer releases it. */
int call_take_fd(Call *call, int guest_fd);
void call_release_held(Call *call, int64_t value);
/* call_reply_fd and call_reply_path_fd for a held call: CALL_REPLIED. The other ways to give a descriptor or to rewrite are for calls that hold nothing. */
int call_reply_held_fd(Call *call, int fd, bool cloexec);

/* ---- tasks (task.c) ---- */
int tasks_new(TaskTable **out);
void tasks_free(TaskTable *tasks);
pid_t task_tgid(Supervisor *sup, pid_t tid);
/* The umask of the calling process. */
mode_t task_umask(Call *call);
void task_set_umask(Call *call, mode_t mask);
/* A call that this thread will make next, argument by argument: it is CONTINUEd. */
/* `data` (may be NULL) lies at `base` in the guest's memory and is put there once more before the call is continued: a signal handler that ran in
 * between had its frame there. */
void task_expect(Call *call, long nr, const uint64_t args[6], uint64_t base, const void *data, size_t len);
bool task_take_expected(Call *call);
/* Its answer found that a signal had come first: the kernel makes the call again. */
void task_expect_again(const Call *call);
/* Only without WAIT_KILLABLE_RECV: the thread had left this call for a signal when the answer came. The kernel makes a call that a signal interrupted
 * again after the handler, or the program does: the next one that is the same, from the same place, is given this answer instead. */
/* Before the handler: call->content gets what the arguments point to, and where relative paths start. -EFAULT, -ENAMETOOLONG: leave it to the handler. */
int task_note_content(Call *call);
void task_note_late(Call *call, int64_t value);
bool task_take_late(Call *call, int64_t *value);
/* A link in exec_dir that may be removed when the exec is certainly over. */
void task_link(Supervisor *sup, const char *path);
void task_drop_links(Supervisor *sup, bool all);

#endif
