/* tests/unit/foreign_fixture_impl.h - the functions of foreign_fixture.h, and those of cowfs.
 *
 * Included by exactly one file of each test program. It is no library: its cowfs would be taken by other tests. */
#include "tests/unit/foreign_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

static Fixture *current;

/* ---- init ---- */

static void arrange(const char *file)
{
	int fds[2];
	int f = open(file, O_RDONLY), root = open("/", O_RDONLY | O_DIRECTORY);

	if (f < 0 || root < 0 || pipe(fds) < 0)
		_exit(1);
	int keep_f = fcntl(f, F_DUPFD, 20), keep_p = fcntl(fds[0], F_DUPFD, 20), keep_r = fcntl(root, F_DUPFD, 20);
	dup2(keep_f, 7);
	dup2(keep_p, 8);
	dup2(keep_r, 9);
	fcntl(fds[1], F_DUPFD, 40); /* the pipe keeps a writer */
}

static void swap_on_signal(const sigset_t *signals)
{
	int own = memfd_create("own", 0), sig;

	if (own < 0 || sigwait(signals, &sig) != 0)
		_exit(1);
	dup2(own, 7);
	for (;;)
		pause();
}

static void own_terminal(void)
{
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
	char name[64];

	if (master < 0 || unlockpt(master) < 0 || ptsname_r(master, name, sizeof(name)) != 0)
		_exit(1);
	setsid();
	int slave = open(name, O_RDWR);
	if (slave < 0 || ioctl(slave, TIOCSCTTY, 0) < 0)
		_exit(1);
	for (int i = 0; i < 3; i++)
		dup2(slave, i);
}

static void become_guest(char kind, const char *file, int report)
{
	char *env[] = { (char *)"FIXTURE=guest", NULL };
	sigset_t usr1;
	pid_t self;
	int keep = fcntl(report, F_DUPFD_CLOEXEC, 50); /* before arrange() takes the low numbers */

	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	if (kind == GUEST_TTY)
		own_terminal();
	else
		arrange(file);
	if (kind == GUEST_SECOND) {
		pid_t child = fork();
		if (child) {
			for (;;)
				pause();
		}
	}
	if (kind == GUEST_SWAP)
		dup2(8, 7);
	self = getpid();
	if (write(keep, &self, sizeof(self)) != sizeof(self))
		_exit(1);
	if (kind == GUEST_SWAP)
		swap_on_signal(&usr1);
	if (kind == GUEST_FORKED)
		for (;;)
			pause();
	execle("/bin/sleep", "sleep", "1000", (char *)NULL, env);
	_exit(1);
}

static void init_main(int commands, int answers, const char *file)
{
	char kind;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGCHLD, SIG_IGN); /* reaps by itself */
	while (read(commands, &kind, 1) == 1) {
		if (fork() == 0) {
			signal(SIGCHLD, SIG_DFL);
			become_guest(kind, file, answers);
		}
	}
	_exit(0);
}

/* ---- callbacks ---- */

static int loc_of_fd(struct Supervisor *sup, pid_t tid, int fd, CowLoc *out)
{
	char link[64], text[PATH_MAX];

	(void)sup;
	snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)tid, fd);
	ssize_t n = readlink(link, text, sizeof(text) - 1);
	if (n < 0)
		return bv_neg_errno();
	text[n] = 0;
	if (strncmp(text, "/usr/", 5) != 0 && strncmp(text, "/etc/", 5) != 0)
		return -ENOENT;
	*out = (CowLoc){ .kind = COW_LOWER, .path = strdup(text) };
	return 0;
}

static int loc_of_cwd(struct Supervisor *sup, pid_t tid, CowLoc *out)
{
	(void)sup, (void)tid;
	*out = (CowLoc){ .kind = COW_LOWER, .path = strdup(FIX_CWD) };
	return 0;
}

static int exe_of(struct Supervisor *sup, pid_t tgid, char *buf, size_t size)
{
	(void)sup, (void)tgid;
	snprintf(buf, size, "%s", FIX_EXE);
	return 0;
}

/* A point in the middle of an open, at which a test can act. */
static bool is_given(struct Supervisor *sup, dev_t dev, ino_t ino)
{
	(void)sup;
	if (current->on_given)
		current->on_given(current->on_given_ctx);
	return current->given_ino && dev == current->given_dev && ino == current->given_ino;
}

pid_t caller_tgid(SupCaller *caller)
{
	return caller->tgid;
}

/* ---- cowfs ---- */

static struct {
	char path[32], plain[48];
	const CowForeignOps *ops;
	void *ctx;
} pins[32];
static size_t pin_count;

static int pin(const char *path, const char *plain, const char *more, const CowForeignOps *ops, void *ctx)
{
	if (pin_count == ARRAY_LEN(pins))
		return -ENOSPC;
	snprintf(pins[pin_count].path, sizeof(pins[0].path), "%s", path);
	snprintf(pins[pin_count].plain, sizeof(pins[0].plain), "%s%s", plain, more);
	pins[pin_count].ops = ops;
	pins[pin_count++].ctx = ctx;
	return 0;
}

int cowfs_pin_dir(Cowfs *fs, const char *path, mode_t mode)
{
	(void)fs, (void)mode;
	return pin(path, "dir", "", NULL, NULL);
}
int cowfs_pin_device(Cowfs *fs, const char *path)
{
	(void)fs;
	return pin(path, "device", "", NULL, NULL);
}
int cowfs_pin_symlink(Cowfs *fs, const char *path, const char *target)
{
	(void)fs;
	return pin(path, "link:", target, NULL, NULL);
}
int cowfs_pin_foreign(Cowfs *fs, const char *path, const CowForeignOps *ops, void *ctx, const CowForeign **out)
{
	(void)fs;
	*out = (const CowForeign *)(const void *)ops; /* any value that differs from the others */
	return pin(path, "foreign", "", ops, ctx);
}

void cowloc_release(CowLoc *loc)
{
	free(loc->path);
	*loc = (CowLoc){ .kind = COW_NONE };
}
int cowfs_resolve(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, uint64_t resolve, CowLoc *out)
{
	(void)fs, (void)req, (void)at, (void)flags, (void)resolve;
	*out = (CowLoc){ .kind = COW_NODE, .path = strdup(path) };
	return 0;
}
int cowfs_by_identity(Cowfs *fs, dev_t dev, ino_t ino, CowLoc *out)
{
	(void)fs, (void)dev, (void)ino, (void)out;
	return -ESTALE;
}
int cowfs_by_host_path(Cowfs *fs, const CowReq *req, const char *host_path, dev_t dev, ino_t ino, CowLoc *out)
{
	(void)fs, (void)req, (void)dev, (void)ino;
	*out = (CowLoc){ .kind = COW_LOWER, .path = strdup(host_path) };
	return 0;
}
int cowfs_statx(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, unsigned mask, struct statx *out)
{
	(void)fs, (void)req, (void)at, (void)flags;
	return statx(AT_FDCWD, path, 0, mask, out) < 0 ? bv_neg_errno() : 0;
}
ssize_t cowfs_virtual_path(Cowfs *fs, const CowLoc *loc, char *buf, size_t size)
{
	(void)fs;
	size_t len = strlen(loc->path);
	if (len >= size)
		return -ERANGE;
	memcpy(buf, loc->path, len + 1);
	return (ssize_t)len;
}
ssize_t cowfs_removed_path(Cowfs *fs, const CowLoc *loc, char *buf, size_t size)
{
	return cowfs_virtual_path(fs, loc, buf, size);
}
ssize_t cowfs_virtual_of_host(Cowfs *fs, const char *host_path, bool *removed, char *buf, size_t size)
{
	(void)fs, (void)removed;
	if (strcmp(host_path, current->file) == 0)
		return snprintf(buf, size, "/virtual/blob");
	if (strncmp(host_path, current->scratch, strlen(current->scratch)) == 0)
		return -ENOENT;
	return snprintf(buf, size, "%s", host_path);
}

/* ---- life ---- */

Fixture *fixture_new(void)
{
	Fixture *fx = calloc(1, sizeof(*fx));
	int commands[2], answers[2];

	if (!fx || pipe2(commands, O_CLOEXEC) < 0 || pipe2(answers, O_CLOEXEC) < 0)
		abort();
	current = fx;
	pin_count = 0;
	strcpy(fx->scratch, "/tmp/foreign-test-XXXXXX");
	if (!mkdtemp(fx->scratch))
		abort();
	snprintf(fx->file, sizeof(fx->file), "%s/blob", fx->scratch);
	CLEAN_FD int fd = open(fx->file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || bv_write_full(fd, "content\n", 8) < 0)
		abort();
	fx->init = fork();
	if (fx->init == 0) {
		close(commands[1]);
		close(answers[0]);
		init_main(commands[0], answers[1], fx->file);
	}
	close(commands[0]);
	close(answers[1]);
	fx->to_init = commands[1];
	fx->from_init = answers[0];
	if (hostview_init(&fx->view, NULL, NULL, NULL) < 0)
		abort();
	ForeignEnv env = { .init_pid = fx->init,
			   .view = &fx->view,
			   .supervisor_pid = getpid(),
			   .loc_of_fd = loc_of_fd,
			   .loc_of_cwd = loc_of_cwd,
			   .exe_of = exe_of,
			   .is_given = is_given,
			   .scratch_dir = fx->scratch };
	if (foreign_init(&env, &fx->foreign) < 0)
		abort();
	return fx;
}

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
}

static bool has_execed(pid_t pid)
{
	char path[32], text[32];

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	CLEAN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, text, sizeof(text)) >= 5 && memcmp(text, "sleep", 5) == 0;
}

pid_t fixture_guest(Fixture *fx, GuestKind kind)
{
	char word = (char)kind;
	pid_t pid;

	if (write(fx->to_init, &word, 1) != 1 || read(fx->from_init, &pid, sizeof(pid)) != sizeof(pid))
		abort();
	for (int i = 0; kind != GUEST_FORKED && kind != GUEST_SWAP && !has_execed(pid); i++) {
		if (i > 2000)
			abort();
		nap();
	}
	return pid;
}

void fixture_kill(Fixture *fx, pid_t pid)
{
	(void)fx;
	kill(pid, SIGKILL);
	for (int i = 0; kill(pid, 0) == 0; i++) {
		if (i > 2000)
			abort();
		nap();
	}
}

static int kill_one(void *ctx, pid_t pid)
{
	(void)ctx;
	kill(pid, SIGKILL);
	return 0;
}

void fixture_free(Fixture *fx)
{
	int r = proctree_list(foreign_proctree(fx->foreign), kill_one, NULL);

	close(fx->to_init);
	close(fx->from_init);
	kill(fx->init, SIGKILL);
	waitpid(fx->init, NULL, 0);
	foreign_free(fx->foreign);
	if (r < 0 || bv_remove_tree_at(AT_FDCWD, fx->scratch) < 0)
		abort();
	current = NULL;
	free(fx);
}

const CowForeignOps *fixture_pin(const char *path, void **ctx)
{
	for (size_t i = 0; i < pin_count; i++) {
		if (pins[i].ops && strcmp(pins[i].path, path) == 0) {
			*ctx = pins[i].ctx;
			return pins[i].ops;
		}
	}
	return NULL;
}

const char *fixture_plain_pin(const char *path)
{
	for (size_t i = 0; i < pin_count; i++)
		if (strcmp(pins[i].path, path) == 0)
			return pins[i].plain;
	return NULL;
}
