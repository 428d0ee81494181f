#include "supervisor/init.h"
#include "base/fdpass.h"
#include "supervisor/builtin.h"
#include "supervisor/kernel.h"
#include "supervisor/title.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

extern char **environ;

/* ---- messages ---- */

typedef struct SpawnMsg {
	unsigned op; /* 1: spawn, 2: kill all */
	unsigned id;
	unsigned flags;
	mode_t mask;
	uint64_t ignored; /* bit N-1: signal N */
	size_t argc, envc, len; /* the memfd holds argc + envc NUL-terminated strings in len bytes */
} SpawnMsg;

enum { OP_SPAWN = 1, OP_KILL_ALL = 2 };
#define SPAWN_FDS 5 /* strings, stdin, stdout, stderr, cwd */

/* Returns the length, 0 at the end; fds beyond those received are -1. */
static ssize_t recv_fds(int sock, void *data, size_t len, int *fds, size_t n)
{
	char control[CMSG_SPACE(sizeof(int) * 8)];
	struct iovec iov = {data, len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	ssize_t got;

	for (size_t i = 0; i < n; i++)
		fds[i] = -1;
	do
		got = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return bv_neg_errno();
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (i < n)
				fds[i] = fd;
			else
				close(fd);
		}
	}
	return got;
}

/* ---- the floor under the filter ---- */

static void drop_capabilities(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {0};

	for (int cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
		; /* ends with EINVAL after the last one, or EPERM as an ordinary user, who has none to drop */
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	syscall(SYS_capset, &h, none);
}

typedef struct LandlockAttr {
	uint64_t fs, net, scoped;
} LandlockAttr;

static int landlock_ruleset(int abi, const LandlockAttr *attr)
{
	return (int)syscall(SYS_landlock_create_ruleset, attr, abi >= 6 ? sizeof *attr : abi >= 4 ? 16 : 8, 0);
}

/* Signals and abstract unix sockets only inside (ABI 6): one domain for init and every command, so that they reach each other. */
static void landlock_scope(int abi)
{
	const LandlockAttr attr = {.scoped = 1 | 2};
	CLEAN_FD int rules = abi >= 6 ? landlock_ruleset(abi, &attr) : -1;

	if (rules >= 0)
		syscall(SYS_landlock_restrict_self, rules, 0);
}

/* For each command: handled is everything this ABI knows, granted is executing (which the kernel counts as
 * reading too). Guests open nothing by themselves, so nothing else is needed. */
static int landlock_floor(int abi)
{
	const LandlockAttr attr = {.fs = abi >= 5 ? 0xffff : abi >= 3 ? 0x7fff : abi == 2 ? 0x3fff : 0x1fff};
	struct landlock_path_beneath_attr root = {.allowed_access = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE};
	CLEAN_FD int rules = landlock_ruleset(abi, &attr);
	CLEAN_FD int slash = open("/", O_PATH | O_CLOEXEC);

	if (rules < 0 || slash < 0)
		return bv_neg_errno();
	root.parent_fd = slash;
	if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &root, 0) < 0)
		return bv_neg_errno();
	return TAKE_FD(rules);
}

/* ---- a command ---- */

typedef struct Spawn {
	SpawnMsg msg;
	int fds[SPAWN_FDS];
	char *text;
	char **argv, **env; /* point into text */
} Spawn;

static int unpack_strings(Spawn *s)
{
	s->text = mmap(NULL, s->msg.len, PROT_READ | PROT_WRITE, MAP_PRIVATE, s->fds[0], 0);
	if (s->text == MAP_FAILED) {
		s->text = NULL;
		return bv_neg_errno();
	}
	char *p = s->text, *end = s->text + s->msg.len;
	s->argv = calloc(s->msg.argc + 1, sizeof(char *));
	s->env = calloc(s->msg.envc + 1, sizeof(char *));
	if (!s->argv || !s->env)
		return -ENOMEM;
	for (size_t i = 0; i < s->msg.argc + s->msg.envc; i++) {
		char *nul = p < end ? memchr(p, 0, (size_t)(end - p)) : NULL;
		if (!nul)
			return -EINVAL;
		if (i < s->msg.argc)
			s->argv[i] = p;
		else
			s->env[i - s->msg.argc] = p;
		p = nul + 1;
	}
	return 0;
}

/* Before anything of the command runs. One that cannot be entered would be a limit that does not hold. */
static int enter_limits(const InitConfig *config)
{
	for (int i = 0; i < config->n_doors; i++)
		if (write(config->doors[i], "0", 1) != 1)
			return errno;
	if (config->cpus && sched_setaffinity(0, sizeof *config->cpus, config->cpus) < 0)
		return errno;
	return 0;
}

/* Runs in the child, which still shares init's descriptor table: the listener's number is told over `up`, init passes it on and closes it, says
 * so over `down`, and only then the table becomes the child's own. Never returns. */
static void child_main(const InitConfig *config, const Spawn *s, int landlock, int up, int down)
{
	struct sock_fprog prog = {config->filter_len, (struct sock_filter *)(uintptr_t)config->filter};
	unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | (config->killable ? SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV : 0);
	const struct rlimit no_core = {1, 1}, no_core_either = {0, 0};
	sigset_t none;
	char ack;
	int err = 0;

	setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* who was given a key cannot be looked into, and a supervisor that is not root has to stop this thread for its first exec */
	sigemptyset(&none);
	for (int sig = 1; sig < NSIG; sig++) /* those of who asked for the command; ours are the supervisor's */
		signal(sig, s->msg.ignored >> (sig - 1) & 1 ? SIG_IGN : SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setrlimit(RLIMIT_NOFILE, &config->nofile);
	/* The kernel would write it into the cwd, which is a directory of the host, or, but with 1, give it to a program of root's. */
	if (setrlimit(RLIMIT_CORE, &no_core) < 0)
		setrlimit(RLIMIT_CORE, &no_core_either);
	umask(s->msg.mask);
	environ = s->env;
	err = enter_limits(config);
	if (!err && fchdir(s->fds[4]) < 0)
		err = errno;
	if (!err && (s->msg.flags & SPAWN_TTY) && ioctl(s->fds[1], TIOCSCTTY, 0) < 0)
		err = errno;
	if (!err && landlock >= 0 && syscall(SYS_landlock_restrict_self, landlock, 0) < 0)
		err = errno;
	int listener = err ? -err : (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
	if (listener < 0 && !err)
		listener = -errno;
	if (write(up, &listener, sizeof listener) != sizeof listener || listener < 0 || read(down, &ack, 1) != 1)
		_exit(125);
	/* From here on every call passes the filter; those used are native, execve is answered by the supervisor. */
	close_range(3, ~0U, CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC);
	int stdio[3] = {s->fds[1], s->fds[2], s->fds[3]};
	if (write(up, &err, sizeof err) != sizeof err) /* the table is ours now */
		_exit(125);
	/* The descriptors were received by init and are all above 2, so none is overwritten before it is copied. */
	for (int i = 0; i < 3; i++) {
		if (s->msg.flags & SPAWN_CLOSED << i)
			close(i);
		else
			dup2(stdio[i], i);
	}
	if (s->msg.flags & SPAWN_BUILTIN) {
		close_range(3, ~0U, 0); /* `up` among them: it has begun */
		builtin_run(s->argv);
	}
	execvp(s->argv[0], s->argv);
	err = errno;
	if (write(up, &err, sizeof err) != sizeof err)
		_exit(125);
	_exit(126);
}

typedef struct Self {
	const InitConfig *config;
	int sock;
	int landlock; /* ruleset descriptor or -1 */
	pid_t *builtins;
	size_t n_builtins, room;
} Self;

static void tell(Self *self, InitEvent e)
{
	if (e.fd >= 0)
		IGNORE_RESULT(bv_send_fds(self->sock, &e, sizeof e, &e.fd, 1, FDPASS_PATIENCE));
	else
		IGNORE_RESULT(bv_send_fds(self->sock, &e, sizeof e, NULL, 0, 0));
}

/* One number from the child. 0: got it; -EPIPE: the pipe closed; -ESRCH: the child died (the pipe may still be open in our shared table). Other guests may
 * stop it: it dies then, as nothing else is done until it goes on. */
static int read_number(int up, pid_t pid, int *out)
{
	struct pollfd p = {.fd = up, .events = POLLIN};
	siginfo_t info;

	for (;;) {
		info.si_pid = 0;
		bool dead = waitid(P_PID, (id_t)pid, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
		if (dead && info.si_code == CLD_STOPPED) {
			kill(pid, SIGKILL);
			IGNORE_RESULT(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
		}
		if (poll(&p, 1, dead ? 0 : 100) > 0)
			return bv_read_full(up, out, sizeof *out) == sizeof *out ? 0 : -EPIPE;
		if (dead)
			return -ESRCH;
	}
}

static int run_child(Self *self, Spawn *s, pid_t *pid)
{
	int up[2] = {-1, -1}, down[2] = {-1, -1}, listener, err;

	if (pipe2(up, O_CLOEXEC) < 0 || pipe2(down, O_CLOEXEC) < 0)
		return errno;
	*pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (*pid < 0)
		return errno;
	if (*pid == 0)
		child_main(self->config, s, self->landlock, up[1], down[0]);
	err = ECANCELED; /* if it dies before it has begun: somebody has killed it */
	if (read_number(up[0], *pid, &listener) < 0)
		goto out;
	if (listener < 0) {
		err = -listener;
		goto out;
	}
	tell(self, (InitEvent){.kind = EVENT_LISTENER, .id = s->msg.id, .fd = listener});
	close(listener);
	if (write(down[1], "", 1) != 1)
		goto out;
	if (read_number(up[0], *pid, &err) < 0)
		goto out;
	close(up[1]);
	up[1] = -1;
	if (read_number(up[0], *pid, &err) < 0)
		err = 0; /* closed by the exec, or killed right after it */
out:
	for (int i = 0; i < 2; i++) {
		if (up[i] >= 0)
			close(up[i]);
		close(down[i]);
	}
	return err;
}

static void do_spawn(Self *self, Spawn *s)
{
	pid_t pid = 0;
	int err = -unpack_strings(s);

	if (!err && (s->msg.flags & SPAWN_BUILTIN) && !BV_GROW(self->builtins, self->n_builtins, self->room))
		err = ENOMEM;
	if (!err)
		err = run_child(self, s, &pid);
	if (!err && (s->msg.flags & SPAWN_BUILTIN))
		self->builtins[self->n_builtins++] = pid;
	tell(self, (InitEvent){.kind = EVENT_STARTED, .id = s->msg.id, .pid = pid, .error = err, .fd = -1});
	free(s->argv);
	free(s->env);
	if (s->text)
		munmap(s->text, s->msg.len);
	for (int i = 0; i < SPAWN_FDS; i++)
		if (s->fds[i] >= 0)
			close(s->fds[i]);
}

static bool serve_one(Self *self)
{
	Spawn s = {0};
	ssize_t n = recv_fds(self->sock, &s.msg, sizeof s.msg, s.fds, SPAWN_FDS);

	if (n != sizeof s.msg)
		return false; /* the supervisor is gone */
	if (s.msg.op == OP_SPAWN) {
		do_spawn(self, &s);
	} else {
		kill_descendants();
		tell(self, (InitEvent){.kind = EVENT_ALL_DEAD, .fd = -1});
	}
	return true;
}

static pid_t *find_builtin(Self *self, pid_t pid)
{
	for (size_t i = 0; i < self->n_builtins; i++)
		if (self->builtins[i] == pid)
			return &self->builtins[i];
	return NULL;
}

static void reap(Self *self)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | __WALL)) > 0) {
		pid_t *builtin = find_builtin(self, pid);
		if (WIFSTOPPED(status)) {
			if (builtin)
				kill(pid, SIGKILL);
			continue;
		}
		if (builtin)
			*builtin = self->builtins[--self->n_builtins];
		tell(self, (InitEvent){.kind = EVENT_EXITED, .pid = pid, .status = status, .fd = -1});
	}
}

static _Noreturn void init_main(const InitConfig *config, int sock)
{
	Self self = {.config = config, .sock = sock, .landlock = -1};
	struct signalfd_siginfo info;
	sigset_t mask;

	title_take();
	title_set("bvisor-init");
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	drop_capabilities();
	if (config->landlock_abi > 0) {
		self.landlock = landlock_floor(config->landlock_abi);
		landlock_scope(config->landlock_abi);
	}
	sigfillset(&mask);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	int sfd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	struct pollfd p[2] = {{.fd = sock, .events = POLLIN}, {.fd = sfd, .events = POLLIN}};
	for (;;) {
		if (poll(p, 2, -1) < 0)
			continue;
		if (p[1].revents) {
			while (read(sfd, &info, sizeof info) > 0)
				;
			reap(&self);
		}
		if (p[0].revents && !serve_one(&self))
			break;
	}
	kill_descendants();
	_exit(0);
}

int init_start(const InitConfig *config, Init *out)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return bv_neg_errno();
	pid_t pid = fork();
	if (pid < 0) {
		int r = bv_neg_errno();
		close(sv[0]);
		close(sv[1]);
		return r;
	}
	if (pid == 0) {
		/* Nothing of the supervisor's may stay open here: the control connection's end must be seen by its peer. */
		InitConfig own = *config;
		int fds[1 + ARRAY_LEN(own.doors)] = {sv[1]};
		memcpy(fds + 1, own.doors, sizeof own.doors);
		if (bv_keep_fds(fds, 1 + (size_t)own.n_doors) < 0)
			_exit(1);
		memcpy(own.doors, fds + 1, sizeof own.doors);
		init_main(&own, fds[0]);
	}
	close(sv[1]);
	*out = (Init){.pid = pid, .sock = sv[0]};
	return 0;
}

static size_t strings_size(char *const list[], size_t *count)
{
	size_t size = 0;

	for (*count = 0; list[*count]; ++*count)
		size += strlen(list[*count]) + 1;
	return size;
}

static int strings_fd(char *const argv[], char *const env[], SpawnMsg *msg)
{
	CLEAN_FD int fd = memfd_create("spawn", MFD_CLOEXEC);
	size_t len = strings_size(argv, &msg->argc);

	if (fd < 0)
		return bv_neg_errno();
	msg->len = len + strings_size(env, &msg->envc);
	CLEAN_FREE char *text = malloc(msg->len);
	if (!text)
		return -ENOMEM;
	char *end = text;
	for (size_t i = 0; i < msg->argc + msg->envc; i++) {
		const char *string = i < msg->argc ? argv[i] : env[i - msg->argc];
		size_t size = strlen(string) + 1;
		memcpy(end, string, size);
		end += size;
	}
	int r = bv_write_full(fd, text, msg->len);
	return r < 0 ? r : TAKE_FD(fd);
}

int init_spawn(Init *init, const InitSpawn *spawn)
{
	SpawnMsg msg = {.op = OP_SPAWN, .id = spawn->id, .flags = spawn->flags, .mask = spawn->mask, .ignored = spawn->ignored};
	CLEAN_FD int strings = strings_fd(spawn->argv, spawn->env, &msg);

	if (strings < 0)
		return strings;
	int all[SPAWN_FDS] = {strings, spawn->fds[0], spawn->fds[1], spawn->fds[2], spawn->fds[3]};
	return bv_send_fds(init->sock, &msg, sizeof msg, all, SPAWN_FDS, FDPASS_PATIENCE);
}

int init_kill_all(Init *init)
{
	SpawnMsg msg = {.op = OP_KILL_ALL};

	return bv_send_fds(init->sock, &msg, sizeof msg, NULL, 0, 0);
}

void init_end(Init *init)
{
	kill(init->pid, SIGKILL);
	close(init->sock);
}

int init_receive(Init *init, InitEvent *out)
{
	InitEvent e = {0};
	int fd;
	ssize_t n = recv_fds(init->sock, &e, sizeof e, &fd, 1);

	if (n < 0)
		return (int)n;
	if (n != sizeof e)
		e = (InitEvent){.kind = EVENT_GONE};
	e.fd = fd;
	*out = e;
	return 0;
}
