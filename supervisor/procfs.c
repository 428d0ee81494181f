/* supervisor/procfs.c - /proc for guests: an allow-list (procfs_table.c) over the host's procfs, cut down to the sandbox's processes.
 *
 * A path is taken apart once (procfs_parse): the process part becomes a checked ProcRef, the rest must be a row of the allow-list. All
 * host calls then go through the ProcRef's directory and never through a number (F3), and never follow a link of the host. "self" is a
 * symlink made from the caller, so that no other code here knows the word (F2).
 *
 * Staleness: files of kind PROC_TEXT show the state of the moment they were opened; reading again from 0 gives the same, but for those that
 * are kept up to date (ROW_LIVE). Linux makes these texts anew at each read. PROC_RAW files are the kernel's own and always fresh. */
#include "supervisor/hostview.h"
#include "supervisor/procfs_internal.h"
#include "supervisor/vcred.h"

#include <fcntl.h>
#include <stdio.h>

/* Takes a leading process number off *path. 0: there is none. */
static pid_t take_pid(const char **path)
{
	size_t len = strspn(*path, "0123456789");
	char end = (*path)[len];

	if (len == 0 || len > 9 || (*path)[0] == '0' || (end && end != '/'))
		return 0;
	pid_t pid = (pid_t)strtol(*path, NULL, 10);
	*path += len + (end == '/');
	return pid;
}

static int parse_task(Foreign *f, const CowReq *req, pid_t pid, const char *rest, ProcPath *at)
{
	SupCaller *caller = foreign_caller(req);
	const char *leaf = rest;

	at->tid = pid;
	if (strncmp(rest, "task/", 5) == 0) {
		leaf = rest + 5;
		at->tid = take_pid(&leaf);
		if (at->tid == 0 || strncmp(leaf, "task", 4) == 0) /* a thread has no task directory */
			return -ENOENT;
	}
	at->row = procfs_task_row(leaf);
	if (!at->row)
		return -ENOENT;
	int r = proctree_get(f->tree, pid, &at->ref);
	if (r < 0)
		return r == -ESRCH ? -ENOENT : r;
	at->own = caller && at->ref->tgid == caller_tgid(caller);
	at->caller = at->own && at->tid == caller->tid;
	at->dirfd = at->ref->fd;
	if (at->ref->forked && !at->own) { /* its memory is still a copy of the supervisor's */
		procfs_release_path(f, at);
		return -ENOENT;
	}
	return 0;
}

int procfs_parse(Foreign *f, const CowReq *req, const char *path, ProcPath *out)
{
	ProcPath at = { .dirfd = f->proc_fd, .may_block = req && req->may_block };
	size_t len = strlen(path);
	char clean[sizeof(at.rel)];
	const char *rest = clean;
	int r = 0;

	if (len >= sizeof(clean))
		return -ENOENT;
	memcpy(clean, path, len + 1);
	if (len && clean[len - 1] == '/') {
		at.target = true;
		clean[len - 1] = 0;
	}
	pid_t pid = take_pid(&rest);
	if (pid)
		r = parse_task(f, req, pid, rest, &at);
	else if (!(at.row = procfs_global_row(rest)))
		r = -ENOENT;
	if (r < 0)
		return r;
	if (at.target && at.row->kind != PROC_FD && at.row->kind != PROC_NS) {
		procfs_release_path(f, &at);
		return -ENOENT;
	}
	memcpy(at.rel, rest, strlen(rest) + 1);
	*out = at;
	const char *slash = strrchr(out->rel, '/');
	out->name = slash ? slash + 1 : out->rel;
	return 0;
}

void procfs_release_path(Foreign *f, ProcPath *at)
{
	proctree_put(f->tree, at->ref);
	at->ref = NULL;
}

static CowForeignKind kind_of(const ProcPath *at)
{
	switch (at->row->kind) {
	case PROC_DIR:
		return COW_F_DIR;
	case PROC_SELF:
	case PROC_THREAD_SELF:
	case PROC_LINK:
		return COW_F_SYMLINK;
	case PROC_CWD:
	case PROC_ROOT:
	case PROC_EXE:
	case PROC_FD:
	case PROC_NS:
		return at->target ? COW_F_FILE : COW_F_MAGIC;
	case PROC_RAW:
	case PROC_TEXT:
	case PROC_DENIED:
		break;
	}
	return COW_F_FILE;
}

static int host_statx(const ProcPath *at, unsigned mask, struct statx *out)
{
	return foreign_statx(at->dirfd, at->rel, at->target ? 0 : AT_SYMLINK_NOFOLLOW, mask, out);
}

static int procfs_lookup(void *ctx, const CowReq *req, const char *path, CowForeignKind *kind)
{
	ProcPath at;
	struct statx st;
	int r = procfs_parse(ctx, req, path, &at);

	if (r < 0)
		return r;
	if ((at.row->kind == PROC_SELF || at.row->kind == PROC_THREAD_SELF) && !foreign_caller(req))
		r = -ENOENT;
	else
		r = host_statx(&at, STATX_TYPE, &st);
	if (r == 0)
		*kind = kind_of(&at);
	procfs_release_path(ctx, &at);
	return r;
}

/* A process belongs to its effective ids. What the kernel gives to root, as it could not be dumped, is so: not to who is root here. */
static void show_owner(const Foreign *f, const ProcPath *at, struct statx *out)
{
	VcredIds ids;

	if (!f->env.ids_of || out->stx_uid != geteuid())
		return;
	f->env.ids_of(f->env.sup, at->tid, &ids);
	out->stx_uid = ids.uid[1];
	out->stx_gid = ids.gid[1];
}

static int procfs_statx(void *ctx, const CowReq *req, const char *path, unsigned mask, struct statx *out)
{
	ProcPath at;
	int r = procfs_parse(ctx, req, path, &at);

	if (r < 0)
		return r;
	r = host_statx(&at, mask, out);
	if (r == 0 && at.ref && !at.target)
		show_owner(ctx, &at, out);
	procfs_release_path(ctx, &at);
	return r;
}

/* May this object be opened with these flags? The kernel's own checks would be made with the supervisor's credentials. */
static int check_open(const ProcPath *at, int flags)
{
	bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);

	if (at->row->kind == PROC_NS && at->target)
		return -EACCES;
	if (flags & O_PATH)
		return 0;
	if (kind_of(at) == COW_F_SYMLINK || kind_of(at) == COW_F_MAGIC)
		return -ELOOP;
	if (at->row->kind == PROC_DIR)
		return writes ? -EISDIR : 0;
	if (flags & O_DIRECTORY)
		return -ENOTDIR;
	if (at->row->kind == PROC_DENIED)
		return -EACCES;
	if ((at->row->flags & ROW_OWN) && !at->own)
		return -EACCES;
	if (writes && at->row->kind != PROC_FD && !((at->row->flags & ROW_WRITE_OWN) && at->own))
		return -EACCES;
	return 0;
}

static int open_native(const ProcPath *at, int flags, int *fd)
{
	int opened = openat(at->dirfd, *at->rel ? at->rel : ".", foreign_open_flags(flags));

	if (opened < 0)
		return errno == ESRCH ? -ENOENT : bv_neg_errno();
	*fd = opened;
	return 0;
}

/* Is the host's own text right? */
static bool is_as_is(const Foreign *f, const ProcRow *row)
{
	HostView *v = f->env.view;
	unsigned only = row->flags & (ROW_IF_CPUS | ROW_IF_MEMORY | ROW_IF_NAME | ROW_IF_RELEASE);

	return only && !((only & ROW_IF_CPUS) && !v->all_cpus) && !((only & ROW_IF_MEMORY) && hostview_bounds(v)->memory) && !((only & ROW_IF_NAME) && v->host_name[0]) &&
	       !((only & ROW_IF_RELEASE) && v->release[0]);
}

static bool is_text(const Foreign *f, const ProcPath *at)
{
	return at->row->kind == PROC_TEXT && (f->env.ids_of || !(at->row->flags & ROW_IF_IDS));
}

static int open_parsed(Foreign *f, const ProcPath *at, const char *path, int flags, int *fd)
{
	int r = check_open(at, flags);

	if (r < 0)
		return r;
	if (at->target)
		return procfs_open_target(f, at, flags, fd);
	if (is_text(f, at) && !(flags & O_PATH) && !is_as_is(f, at->row)) {
		r = at->row->flags & ROW_LIVE ? procfs_open_live(f, at, fd) : procfs_open_text(f, at, fd);
		if (r == 0)
			ident_put_fd(f->ident, FOREIGN_PROC, *fd, path);
		return r;
	}
	r = open_native(at, flags, fd);
	if (r == 0 && (at->row->kind == PROC_DIR || (flags & O_PATH)))
		ident_put_fd(f->ident, FOREIGN_PROC, *fd, path);
	return r;
}

static int procfs_open(void *ctx, const CowReq *req, const char *path, int flags, int *fd)
{
	ProcPath at;
	int r = procfs_parse(ctx, req, path, &at);

	if (r < 0)
		return r;
	r = open_parsed(ctx, &at, path, flags, fd);
	procfs_release_path(ctx, &at);
	return r;
}

/* ---- listing ---- */

typedef struct PidList {
	pid_t *pids;
	size_t count, cap;
} PidList;

static int add_pid(void *ctx, pid_t pid)
{
	PidList *list = ctx;

	if (list->count == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 64;
		pid_t *bigger = reallocarray(list->pids, cap, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		list->pids = bigger;
		list->cap = cap;
	}
	list->pids[list->count++] = pid;
	return 0;
}

static int compare_pids(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return (x > y) - (x < y);
}

typedef struct Listing {
	const char *leaf; /* path of the directory in its table */
	bool task, threads;
	PidList guests;
} Listing;

static bool is_shown(void *ctx, const char *name)
{
	const Listing *l = ctx;
	char path[NAME_MAX + sizeof(((ProcPath *)0)->rel) + 2];
	const char *number = name;
	pid_t pid = take_pid(&number);

	if (l->threads)
		return pid != 0;
	if (!l->task && !*l->leaf && pid)
		return l->guests.count && bsearch(&pid, l->guests.pids, l->guests.count, sizeof(pid), compare_pids);
	snprintf(path, sizeof(path), "%s%s%s", l->leaf, *l->leaf ? "/" : "", name);
	return (l->task ? procfs_task_row(path) : procfs_global_row(path)) != NULL;
}

static int procfs_list(void *ctx, const CowReq *req, const char *path,
		       int (*emit)(void *ectx, const char *name, uint64_t ino, unsigned char d_type), void *ectx)
{
	Foreign *f = ctx;
	ProcPath at;
	int r = procfs_parse(f, req, path, &at), fd;

	if (r < 0)
		return r;
	Listing l = { .task = at.ref != NULL, .leaf = at.row->path };
	l.threads = l.task && strcmp(l.leaf, "task") == 0;
	if (at.row->kind != PROC_DIR)
		r = -ENOTDIR;
	if (r == 0 && !l.task && !*l.leaf)
		r = proctree_list(f->tree, add_pid, &l.guests);
	if (r == 0)
		r = open_native(&at, O_RDONLY | O_DIRECTORY, &fd);
	if (r == 0)
		r = foreign_list(fd, is_shown, &l, emit, ectx);
	free(l.guests.pids);
	procfs_release_path(f, &at);
	return r;
}

/* The number in a remembered path may belong to another process by now: the name must still have that identity. Memory files
 * (PROC_TEXT) have an identity of their own; for them the process must be there. */
static int procfs_by_identity(void *ctx, dev_t dev, ino_t ino, char *path, size_t size)
{
	Foreign *f = ctx;
	ProcPath at;
	struct statx st;
	char found[sizeof(at.rel)];
	int r = ident_get(f->ident, FOREIGN_PROC, dev, ino, found, sizeof(found));

	if (r == 0)
		r = procfs_parse(f, NULL, found, &at);
	if (r < 0)
		return r;
	r = host_statx(&at, STATX_INO, &st);
	if (r == 0 && !is_text(f, &at) && (st.stx_ino != ino || makedev(st.stx_dev_major, st.stx_dev_minor) != dev))
		r = -ENOENT;
	procfs_release_path(f, &at);
	size_t len = strlen(found) + 1;
	if (r == 0 && len > size)
		r = -ERANGE;
	if (r == 0)
		memcpy(path, found, len);
	return r;
}

const CowForeignOps procfs_ops = {
	.lookup = procfs_lookup,
	.follow = procfs_follow,
	.readlink = procfs_readlink,
	.statx = procfs_statx,
	.open = procfs_open,
	.list = procfs_list,
	.by_identity = procfs_by_identity,
	.create_error = ENOENT,
};
