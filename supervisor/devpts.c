/* supervisor/devpts.c - /dev/pts with the terminals that the sandbox may open (F6), and "ptmx" and "tty", to which /dev/ptmx and
 * /dev/tty are links. "tty" is found by its name, but not listed.
 *
 * A known terminal is kept as an O_PATH descriptor of its device node. The kernel removes the node from devpts when the master closes,
 * so a link count of 0 says that the terminal is gone; its number may then belong to somebody else on the host, but the
 * descriptor never leads there. Terminals are opened through that descriptor, never by number.
 *
 * Where they come from: a guest opened ptmx (the new slave is recorded); the supervisor was given one (foreign_add_terminal); a
 * guest holds one as descriptor 0..2 or as its controlling terminal (recorded when it asks).
 *
 * Known limit: opening a terminal without O_NOCTTY does not make it the controlling terminal of a session leader that has none, because the
 * kernel does that for the process that calls open(2). TIOCSCTTY, which login_tty(3) uses, works.
 *
 * Lock: t->lock protects the list. */
#include "supervisor/foreign_internal.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

enum { MAX_TERMINALS = 1024, PTS_MAJOR = 136, PTS_MAJORS = 8 };

typedef struct Terminal {
	int node; /* O_PATH */
	dev_t rdev;
} Terminal;

struct Terminals {
	pthread_mutex_t lock;
	Terminal list[MAX_TERMINALS];
	size_t count;
};

int terminals_new(Terminals **out)
{
	Terminals *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	*out = t;
	return 0;
}

void terminals_free(Terminals *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++)
		close(t->list[i].node);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static void drop_dead_locked(Terminals *t)
{
	struct stat st;

	for (size_t i = 0; i < t->count;) {
		if (fstat(t->list[i].node, &st) == 0 && st.st_nlink > 0) {
			i++;
			continue;
		}
		close(t->list[i].node);
		t->list[i] = t->list[--t->count];
	}
}

static bool is_pts(dev_t rdev)
{
	return major(rdev) >= PTS_MAJOR && major(rdev) < PTS_MAJOR + PTS_MAJORS;
}

/* Records the terminal behind `node` (O_PATH, taken over in any case). */
static int record(Terminals *t, int node)
{
	CLEAN_FD int mine = node;
	struct stat st, known;
	int r = 0;

	if (fstat(mine, &st) < 0)
		return bv_neg_errno();
	if (!S_ISCHR(st.st_mode))
		return -ENOTTY;
	pthread_mutex_lock(&t->lock);
	drop_dead_locked(t);
	for (size_t i = 0; i < t->count && mine >= 0; i++)
		if (t->list[i].rdev == st.st_rdev && fstat(t->list[i].node, &known) == 0 && known.st_dev == st.st_dev &&
		    known.st_ino == st.st_ino)
			bv_close_fd(&mine);
	if (mine >= 0 && t->count == MAX_TERMINALS)
		r = -ENOSPC;
	else if (mine >= 0)
		t->list[t->count++] = (Terminal){ .node = TAKE_FD(mine), .rdev = st.st_rdev };
	pthread_mutex_unlock(&t->lock);
	return r;
}

/* A duplicate of the node of the living terminal `rdev`; -ENOENT. */
static int find_terminal(Terminals *t, dev_t rdev)
{
	int fd = -ENOENT;

	pthread_mutex_lock(&t->lock);
	drop_dead_locked(t);
	for (size_t i = 0; i < t->count && fd < 0; i++) {
		if (t->list[i].rdev != rdev)
			continue;
		fd = fcntl(t->list[i].node, F_DUPFD_CLOEXEC, 3);
		if (fd < 0)
			fd = bv_neg_errno();
	}
	pthread_mutex_unlock(&t->lock);
	return fd;
}

int foreign_add_terminal(Foreign *f, int fd)
{
	char link[40];
	struct termios tio;

	if (tcgetattr(fd, &tio) < 0)
		return -ENOTTY;
	snprintf(link, sizeof(link), "self/fd/%d", fd);
	int node = openat(f->proc_fd, link, O_PATH | O_CLOEXEC);
	return node < 0 ? bv_neg_errno() : record(f->terminals, node);
}

/* ---- terminals that a process holds ---- */

/* Controlling terminal from field 7 of stat; 0: none. */
static dev_t controlling_rdev(const ProcRef *ref)
{
	CLEAN_FREE char *text = NULL;
	int tty = 0;

	if (bv_read_file_at(ref->fd, "stat", 8192, &text) < 0)
		return 0;
	const char *end = strrchr(text, ')');
	if (!end || sscanf(end + 1, " %*c %*d %*d %*d %d", &tty) != 1)
		return 0;
	/* The kernel's 32-bit form: minor in bits 0-7 and 20-31, major in 8-19. */
	unsigned v = (unsigned)tty;
	return v ? makedev((v >> 8) & 0xfff, (v & 0xff) | ((v >> 12) & 0xfff00)) : 0;
}

/* Records the descriptor if it is a terminal with this number (0: any pty). */
static void record_fd(Foreign *f, const ProcRef *ref, const char *number, dev_t wanted)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "fd/%.20s", number);
	CLEAN_FD int node = openat(ref->fd, path, O_PATH | O_CLOEXEC);
	if (node < 0 || fstat(node, &st) < 0 || !S_ISCHR(st.st_mode))
		return;
	if (wanted ? st.st_rdev != wanted : !is_pts(st.st_rdev))
		return;
	int r = record(f->terminals, TAKE_FD(node));
	(void)r; /* full: the terminal then cannot be opened by name */
}

/* A process that has the terminal open somewhere among its descriptors. */
static void record_from_all(Foreign *f, const ProcRef *ref, dev_t wanted)
{
	int fd = openat(ref->fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d) {
		bv_close_fd(&fd);
		return;
	}
	for (const struct dirent *e; (e = readdir(d));)
		if (isdigit((unsigned char)e->d_name[0]))
			record_fd(f, ref, e->d_name, wanted);
	closedir(d);
}

static ProcRef *caller_ref(Foreign *f, const CowReq *req)
{
	SupCaller *caller = foreign_caller(req);
	ProcRef *ref = NULL;

	return caller && proctree_get(f->tree, caller_tgid(caller), &ref) == 0 ? ref : NULL;
}

static void record_stdio(Foreign *f, const CowReq *req)
{
	ProcRef *ref = caller_ref(f, req);

	if (!ref)
		return;
	record_fd(f, ref, "0", 0);
	record_fd(f, ref, "1", 0);
	record_fd(f, ref, "2", 0);
	proctree_put(f->tree, ref);
}

static int open_node(Foreign *f, int node, int flags, int *fd)
{
	CLEAN_FD int mine = node;
	char own[40];

	if (flags & O_PATH) {
		*fd = TAKE_FD(mine);
		return 0;
	}
	if (flags & O_DIRECTORY)
		return -ENOTDIR;
	snprintf(own, sizeof(own), "self/fd/%d", mine); /* the supervisor's own descriptor, not a number in devpts */
	int opened = openat(f->proc_fd, own, foreign_open_flags(flags) & ~O_NOFOLLOW);
	if (opened < 0)
		return bv_neg_errno();
	*fd = opened;
	return 0;
}

static int open_controlling(Foreign *f, const CowReq *req, int flags, int *fd)
{
	ProcRef *ref = caller_ref(f, req);

	if (!ref)
		return -ENXIO;
	dev_t rdev = controlling_rdev(ref);
	int node = -ENOENT;
	if (rdev) {
		/* Its own descriptors first: they are in the right devpts instance for sure. */
		record_from_all(f, ref, rdev);
		node = find_terminal(f->terminals, rdev);
	}
	proctree_put(f->tree, ref);
	return node < 0 ? -ENXIO : open_node(f, node, flags, fd);
}

/* ---- /dev/pts ---- */

/* The number of a terminal's name; -1: not a name of one. */
static long pts_number(const char *path)
{
	size_t len = strspn(path, "0123456789");

	return len > 0 && len <= 7 && path[len] == 0 && (path[0] != '0' || len == 1) ? strtol(path, NULL, 10) : -1;
}

static dev_t pts_rdev(long number)
{
	return makedev(PTS_MAJOR, (unsigned)number);
}

static int node_of(Foreign *f, const CowReq *req, const char *path)
{
	long number = pts_number(path);

	if (number < 0)
		return -ENOENT;
	int node = find_terminal(f->terminals, pts_rdev(number));
	if (node != -ENOENT)
		return node;
	record_stdio(f, req);
	return find_terminal(f->terminals, pts_rdev(number));
}

/* The host's device behind the two names that are no terminals of their own. */
static const char *device_of(const char *path)
{
	if (strcmp(path, "ptmx") == 0)
		return "/dev/ptmx";
	return strcmp(path, "tty") == 0 ? "/dev/tty" : NULL;
}

static int pts_lookup(void *ctx, const CowReq *req, const char *path, CowForeignKind *kind)
{
	if (*path == 0) {
		*kind = COW_F_DIR;
		return 0;
	}
	if (!device_of(path)) {
		CLEAN_FD int node = node_of(ctx, req, path);
		if (node < 0)
			return node;
	}
	*kind = COW_F_FILE;
	return 0;
}

static int pts_statx(void *ctx, const CowReq *req, const char *path, unsigned mask, struct statx *out)
{
	if (*path == 0)
		return foreign_statx(AT_FDCWD, "/dev/pts", 0, mask, out);
	if (device_of(path))
		return foreign_statx(AT_FDCWD, device_of(path), 0, mask, out);
	CLEAN_FD int node = node_of(ctx, req, path);
	return node < 0 ? node : foreign_statx(node, "", 0, mask, out);
}

/* A new pair. /dev/ptmx makes it in the devpts that is mounted at /dev/pts beside it. */
static int open_ptmx(Foreign *f, int flags, int *fd)
{
	char path[32];
	unsigned number;
	struct stat st;
	CLEAN_FD int master = open("/dev/ptmx", foreign_open_flags(flags) & ~O_NOFOLLOW);

	if (master < 0)
		return bv_neg_errno();
	if (ioctl(master, TIOCGPTN, &number) < 0)
		return bv_neg_errno();
	snprintf(path, sizeof(path), "/dev/pts/%u", number);
	CLEAN_FD int node = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (node < 0 || fstat(node, &st) < 0)
		return bv_neg_errno();
	if (st.st_rdev != pts_rdev((long)number))
		return -EIO;
	int r = record(f->terminals, TAKE_FD(node));
	if (r == 0)
		*fd = TAKE_FD(master);
	return r;
}

static int open_device(Foreign *f, const CowReq *req, const char *device, int flags, int *fd)
{
	if (flags & O_DIRECTORY)
		return -ENOTDIR;
	if (flags & O_PATH) {
		int node = open(device, O_PATH | O_CLOEXEC);
		if (node < 0)
			return bv_neg_errno();
		*fd = node;
		return 0;
	}
	return strcmp(device, "/dev/ptmx") == 0 ? open_ptmx(f, flags, fd) : open_controlling(f, req, flags, fd);
}

static int pts_open(void *ctx, const CowReq *req, const char *path, int flags, int *fd)
{
	Foreign *f = ctx;

	if (*path == 0) {
		if ((flags & O_ACCMODE) != O_RDONLY)
			return -EISDIR;
		int dir = open("/dev/pts", foreign_open_flags(flags) | O_DIRECTORY);
		if (dir < 0)
			return bv_neg_errno();
		ident_put_fd(f->ident, FOREIGN_PTS, dir, "");
		*fd = dir;
		return 0;
	}
	if (device_of(path))
		return open_device(f, req, device_of(path), flags, fd);
	int node = node_of(f, req, path);
	return node < 0 ? node : open_node(f, node, flags, fd);
}

static int compare_rdev(const void *a, const void *b)
{
	dev_t x = *(const dev_t *)a, y = *(const dev_t *)b;

	return (x > y) - (x < y);
}

static int pts_list(void *ctx, const CowReq *req, const char *path,
		    int (*emit)(void *ectx, const char *name, uint64_t ino, unsigned char d_type), void *ectx)
{
	Foreign *f = ctx;
	Terminals *t = f->terminals;
	dev_t rdevs[MAX_TERMINALS];
	size_t n = 0;
	char name[16];

	if (*path != 0)
		return -ENOTDIR;
	record_stdio(f, req);
	pthread_mutex_lock(&t->lock);
	drop_dead_locked(t);
	for (size_t i = 0; i < t->count; i++)
		if (is_pts(t->list[i].rdev))
			rdevs[n++] = t->list[i].rdev;
	pthread_mutex_unlock(&t->lock);
	qsort(rdevs, n, sizeof(*rdevs), compare_rdev);
	int r = emit(ectx, "ptmx", 2, DT_CHR);
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (i && rdevs[i] == rdevs[i - 1])
			continue;
		snprintf(name, sizeof(name), "%u", minor(rdevs[i]));
		r = emit(ectx, name, minor(rdevs[i]) + 3, DT_CHR); /* devpts numbers its inodes so */
	}
	return r;
}

static int pts_by_identity(void *ctx, dev_t dev, ino_t ino, char *path, size_t size)
{
	Foreign *f = ctx;

	return ident_get(f->ident, FOREIGN_PTS, dev, ino, path, size);
}

static ssize_t no_link(void *ctx, const CowReq *req, const char *path, char *buf, size_t size)
{
	(void)ctx, (void)req, (void)path, (void)buf, (void)size;
	return -EINVAL;
}

static int no_follow(void *ctx, const CowReq *req, const char *path, CowLoc *out)
{
	(void)ctx, (void)req, (void)path, (void)out;
	return -EINVAL;
}

const CowForeignOps devpts_ops = {
	.lookup = pts_lookup,
	.follow = no_follow,
	.readlink = no_link,
	.statx = pts_statx,
	.open = pts_open,
	.list = pts_list,
	.by_identity = pts_by_identity,
};
