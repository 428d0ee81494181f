/* supervisor/proctree.c - membership in the sandbox, decided from the parent chain in the host's /proc.
 *
 * How a chain is walked without a race: open the directory of P, then read the child's parent again through the child's own
 * descriptor. If it is still P, then P was the parent while its directory was open, so the descriptor is that of the parent and
 * not of a later process with the same number (a parent's number is not free while a child names it: when the parent dies the
 * child names another). Membership never ends before the process does, so a checked ProcRef stays valid.
 *
 * Lock: tree->lock protects slots[] and the reference counts; it is not held during system calls on /proc. */
#include "supervisor/proctree.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { SLOTS = 128, MAX_DEPTH = 4096, MAX_RETRIES = 8 };

struct ProcTree {
	pthread_mutex_t lock;
	pid_t init_pid;
	bool init_exe_known;
	dev_t init_dev; /* the program that init runs */
	ino_t init_ino;
	ProcRef *slots[SLOTS]; /* direct-mapped by pid; each holds one reference */
};

static int open_proc_dir(pid_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : bv_neg_errno();
	return fd;
}

static long status_field(const char *status, const char *key)
{
	const char *at = strstr(status, key);

	return at ? strtol(at + strlen(key), NULL, 10) : -1;
}

/* tgid (may be NULL) and parent of the process behind `fd`. -ESRCH when it is gone. */
static int read_parent(int fd, pid_t *tgid, pid_t *ppid)
{
	CLEAN_FREE char *status = NULL;
	ssize_t n = bv_read_file_at(fd, "status", 64 * 1024, &status);

	if (n < 0)
		return n == -EMFILE || n == -ENFILE || n == -ENOMEM ? (int)n : -ESRCH;
	long t = status_field(status, "\nTgid:"), p = status_field(status, "\nPPid:");
	if (t <= 0 || p < 0)
		return -ESRCH;
	if (tgid)
		*tgid = (pid_t)t;
	*ppid = (pid_t)p;
	return 0;
}

/* One step up: *fd, whose parent was read as *ppid, is replaced by the confirmed parent. -EAGAIN: the parent changed meanwhile
 * (*ppid is the new one). `keep` says that *fd belongs to somebody else. */
static int step_up(int *fd, bool keep, pid_t *ppid)
{
	pid_t again, above;
	CLEAN_FD int parent = open_proc_dir(*ppid);
	int r = read_parent(*fd, NULL, &again);

	if (r < 0)
		return r;
	if (parent < 0 || again != *ppid) {
		if (parent == -EMFILE || parent == -ENFILE)
			return parent;
		*ppid = again;
		return -EAGAIN;
	}
	r = read_parent(parent, NULL, &above);
	if (r == -ESRCH)
		return -EAGAIN;
	if (r < 0)
		return r;
	if (!keep)
		close(*fd);
	*fd = TAKE_FD(parent);
	*ppid = above;
	return 0;
}

/* Does the chain from `fd` (parent `ppid`) end at init? 0 or -ESRCH. */
static int check_chain(const ProcTree *tree, int fd, pid_t ppid)
{
	int at = fd, r = -ESRCH, retries = 0;

	for (int depth = 0; depth < MAX_DEPTH; depth++) {
		if (ppid == tree->init_pid) {
			r = 0;
			break;
		}
		if (ppid <= 1)
			break;
		int s = step_up(&at, at == fd, &ppid);
		if (s == -EAGAIN && ++retries < MAX_RETRIES)
			continue;
		if (s < 0) {
			r = s == -EAGAIN ? -ESRCH : s;
			break;
		}
	}
	if (at != fd)
		close(at);
	return r;
}

static bool runs_init_program(const ProcTree *tree, int fd)
{
	struct stat st;

	return tree->init_exe_known && fstatat(fd, "exe", &st, 0) == 0 && st.st_dev == tree->init_dev && st.st_ino == tree->init_ino;
}

int proctree_new(pid_t init_pid, ProcTree **out)
{
	ProcTree *tree = calloc(1, sizeof(*tree));
	struct stat st;

	if (!tree)
		return -ENOMEM;
	CLEAN_FD int fd = open_proc_dir(init_pid);
	if (fd < 0) {
		free(tree);
		return fd;
	}
	tree->init_pid = init_pid;
	if (fstatat(fd, "exe", &st, 0) == 0) {
		tree->init_exe_known = true;
		tree->init_dev = st.st_dev;
		tree->init_ino = st.st_ino;
	}
	pthread_mutex_init(&tree->lock, NULL);
	*out = tree;
	return 0;
}

static void put_locked(ProcRef *ref)
{
	if (ref && --ref->refs == 0) {
		close(ref->fd);
		free(ref);
	}
}

void proctree_free(ProcTree *tree)
{
	if (!tree)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		put_locked(tree->slots[i]);
	pthread_mutex_destroy(&tree->lock);
	free(tree);
}

pid_t proctree_init_pid(const ProcTree *tree)
{
	return tree->init_pid;
}

void proctree_put(ProcTree *tree, ProcRef *ref)
{
	if (!ref)
		return;
	pthread_mutex_lock(&tree->lock);
	put_locked(ref);
	pthread_mutex_unlock(&tree->lock);
}

static ProcRef *cached(ProcTree *tree, pid_t pid)
{
	pthread_mutex_lock(&tree->lock);
	ProcRef *ref = tree->slots[(unsigned)pid % SLOTS];
	if (ref && ref->pid == pid)
		ref->refs++;
	else
		ref = NULL;
	pthread_mutex_unlock(&tree->lock);
	if (ref && faccessat(ref->fd, "stat", F_OK, 0) < 0) { /* gone: the number may mean another process by now */
		proctree_put(tree, ref);
		ref = NULL;
	}
	return ref;
}

static void remember(ProcTree *tree, ProcRef *ref)
{
	pthread_mutex_lock(&tree->lock);
	ProcRef **slot = &tree->slots[(unsigned)ref->pid % SLOTS];
	put_locked(*slot);
	*slot = ref;
	ref->refs++;
	pthread_mutex_unlock(&tree->lock);
}

int proctree_get(ProcTree *tree, pid_t pid, ProcRef **out)
{
	pid_t tgid, ppid;

	if (pid <= 1 || pid == tree->init_pid)
		return -ESRCH;
	ProcRef *ref = cached(tree, pid);
	if (ref) {
		*out = ref;
		return 0;
	}
	CLEAN_FD int fd = open_proc_dir(pid);
	if (fd < 0)
		return fd;
	int r = read_parent(fd, &tgid, &ppid);
	if (r == 0 && tgid == tree->init_pid) /* a thread of init */
		r = -ESRCH;
	if (r == 0)
		r = check_chain(tree, fd, ppid);
	if (r < 0)
		return r;
	ref = malloc(sizeof(*ref));
	if (!ref)
		return -ENOMEM;
	*ref = (ProcRef){ .pid = pid, .tgid = tgid, .forked = runs_init_program(tree, fd), .refs = 1 };
	ref->fd = TAKE_FD(fd);
	if (!ref->forked) /* "no longer" lasts, "still" does not */
		remember(tree, ref);
	*out = ref;
	return 0;
}

bool proctree_is_guest(ProcTree *tree, pid_t pid)
{
	ProcRef *ref;

	if (proctree_get(tree, pid, &ref) < 0)
		return false;
	proctree_put(tree, ref);
	return true;
}

pid_t proctree_tgid(pid_t tid)
{
	pid_t tgid, ppid;
	CLEAN_FD int fd = open_proc_dir(tid);

	if (fd < 0)
		return fd;
	int r = read_parent(fd, &tgid, &ppid);
	return r < 0 ? r : tgid;
}

bool procref_socket(const ProcRef *ref, int fd, uint64_t *ino)
{
	char link[32], text[64];

	snprintf(link, sizeof link, "fd/%d", fd);
	ssize_t n = readlinkat(ref->fd, link, text, sizeof text - 1);
	text[MAX(n, 0)] = 0;
	return sscanf(text, "socket:[%" SCNu64, ino) == 1;
}

typedef struct Sockets {
	ProcTree *tree;
	int (*visit)(void *ctx, pid_t pid, int fd, uint64_t ino);
	void *ctx;
} Sockets;

static int sockets_of(const Sockets *s, const ProcRef *ref)
{
	int fds = openat(ref->fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = fds < 0 ? NULL : fdopendir(fds);
	uint64_t ino;

	for (const struct dirent *e; d && r == 0 && (e = readdir(d));) {
		int fd = (int)strtol(e->d_name, NULL, 10);
		if (e->d_name[0] != '.' && procref_socket(ref, fd, &ino))
			r = s->visit(s->ctx, ref->pid, fd, ino);
	}
	if (d)
		closedir(d);
	else
		bv_close_fd(&fds);
	return r;
}

static int sockets_of_process(void *ctx, pid_t pid)
{
	const Sockets *s = ctx;
	ProcRef *ref;

	if (proctree_get(s->tree, pid, &ref) < 0)
		return 0; /* gone */
	int r = ref->forked ? 0 : sockets_of(s, ref);
	proctree_put(s->tree, ref);
	return r;
}

int proctree_sockets(ProcTree *tree, int (*visit)(void *ctx, pid_t pid, int fd, uint64_t ino), void *ctx)
{
	Sockets s = {tree, visit, ctx};

	return proctree_list(tree, sockets_of_process, &s);
}

int proctree_kill(ProcTree *tree, pid_t pid, int sig)
{
	ProcRef *ref;
	int r = proctree_get(tree, pid, &ref);

	if (r < 0)
		return r;
	if (ref->tgid != pid)
		r = -ESRCH;
	/* A descriptor of /proc/<pid> serves as a pidfd here (Linux 5.1). */
	else if (syscall(SYS_pidfd_send_signal, ref->fd, sig, NULL, 0) < 0)
		r = bv_neg_errno();
	proctree_put(tree, ref);
	return r;
}

/* ---- listing ---- */

typedef struct Row {
	pid_t pid, ppid;
	signed char member; /* -1 not known yet */
} Row;

static int by_pid(const void *a, const void *b)
{
	const Row *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

static pid_t ppid_from_stat(int proc, const char *name)
{
	CLEAN_FREE char *text = NULL;
	char path[300];

	snprintf(path, sizeof(path), "%s/stat", name);
	if (bv_read_file_at(proc, path, 8192, &text) < 0)
		return -1;
	const char *end = strrchr(text, ')'); /* comm may hold anything, also ")" */
	return end && strlen(end) > 4 ? (pid_t)strtol(end + 4, NULL, 10) : -1;
}

static int read_rows(Row **rows, size_t *count)
{
	DIR *d = opendir("/proc");
	Row *list = NULL;
	size_t n = 0, cap = 0;

	if (!d)
		return bv_neg_errno();
	for (struct dirent *e; (e = readdir(d));) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		if (n == cap) {
			cap = cap ? cap * 2 : 256;
			Row *bigger = reallocarray(list, cap, sizeof(*list));
			if (!bigger) {
				free(list);
				closedir(d);
				return -ENOMEM;
			}
			list = bigger;
		}
		pid_t ppid = ppid_from_stat(dirfd(d), e->d_name);
		if (ppid >= 0)
			list[n++] = (Row){ .pid = (pid_t)strtol(e->d_name, NULL, 10), .ppid = ppid, .member = -1 };
	}
	closedir(d);
	if (n)
		qsort(list, n, sizeof(*list), by_pid);
	*rows = list;
	*count = n;
	return 0;
}

/* Follows the chain in the snapshot up to a known answer, which then holds for every row on the way. */
static bool is_member(Row *rows, size_t count, Row *row, pid_t init_pid)
{
	Row *at = row;
	signed char answer = 0;

	for (size_t depth = 0; at && depth < MAX_DEPTH; depth++) {
		if (at->member >= 0) {
			answer = at->member;
			break;
		}
		if (at->ppid == init_pid) {
			answer = 1;
			break;
		}
		Row key = { .pid = at->ppid };
		at = at->ppid > 1 && at->ppid != at->pid ? bsearch(&key, rows, count, sizeof(*rows), by_pid) : NULL;
	}
	for (at = row; at && at->member < 0;) {
		Row key = { .pid = at->ppid };
		at->member = answer;
		at = at->ppid > 1 ? bsearch(&key, rows, count, sizeof(*rows), by_pid) : NULL;
		if (at && at->pid == init_pid)
			break;
	}
	return answer;
}

int proctree_list(ProcTree *tree, int (*visit)(void *ctx, pid_t pid), void *ctx)
{
	CLEAN_FREE Row *rows = NULL;
	size_t count = 0;
	int r = read_rows(&rows, &count);

	for (size_t i = 0; r == 0 && i < count; i++) {
		if (rows[i].pid != tree->init_pid && is_member(rows, count, &rows[i], tree->init_pid))
			r = visit(ctx, rows[i].pid);
	}
	return r;
}
