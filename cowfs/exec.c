/* cowfs/exec.c - a name that the kernel can execute for an object of the view. */
#include "grant.h"
#include "internal.h"

/* A link to the blob under the guest's own file name: hard if blob and exec_dir share a file system, else symbolic. */
static int link_blob(Cowfs *fs, BlobId blob, const char *exec_dir, const char *name, char out[PATH_MAX])
{
	static _Atomic uint64_t serial;
	char dir[PATH_MAX], target[PATH_MAX], proc[64];
	BlobPlace place;
	int rc = blob_place(fs->blobs, blob, &place);

	if (rc < 0)
		return rc;
	/* a directory per exec: two guests may run different files of one name at once */
	if (snprintf(dir, sizeof dir, "%s/%llx", exec_dir, (unsigned long long)atomic_fetch_add(&serial, 1)) >= (int)sizeof dir - NAME_MAX - 2)
		return -ENAMETOOLONG;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST && (errno != ENOENT || (rc = bv_mkdir_all(dir)) < 0))
		return rc < 0 ? rc : bv_neg_errno();
	snprintf(out, PATH_MAX, "%.*s/%s", PATH_MAX - NAME_MAX - 2, dir, name);
	(void)unlink(out); /* a leftover of an earlier run; linkat tells if it could not go */
	if (linkat(place.dirfd, place.name, AT_FDCWD, out, 0) == 0)
		return 0;
	snprintf(proc, sizeof proc, "/proc/self/fd/%d", place.dirfd);
	ssize_t n = readlink(proc, target, sizeof target - sizeof place.name - 2);
	if (n < 0)
		return bv_neg_errno();
	snprintf(target + n, sizeof place.name + 2, "/%s", place.name);
	return symlink(target, out) < 0 ? bv_neg_errno() : 0;
}

static int may_exec(CowWalk *w, struct statx *st)
{
	int rc = w->cur.kind == COW_FOREIGN ? -EACCES : walk_stat(w, st);

	if (rc < 0)
		return rc;
	if (S_ISLNK(st->stx_mode))
		return -ELOOP;
	if (!S_ISREG(st->stx_mode))
		return -EACCES;
	return walk_allows(w, st, X_OK);
}

/* ETXTBSY: somebody has the blob open for writing. A read lease is refused exactly then. */
static bool is_being_written(int fd)
{
	if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
		return errno == EAGAIN;
	(void)fcntl(fd, F_SETLEASE, F_UNLCK); /* dropping what was just granted */
	return false;
}

/* The kernel takes the process's name from the path as it was given, also when that is a symlink. */
static const char *given_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	return *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 ? name : NULL;
}

/* By descriptor: newer kernels name the process after the file. */
static const char *own_name(const CowNode *node)
{
	return node->names ? node->names->name : node->last ? node->last->name : "exe";
}

static int place_blob(CowWalk *w, CowNode *node, const char *path, const char *exec_dir, CowExec *out)
{
	CLEAN_FD int fd = -1;
	const char *given = given_name(path);
	const char *name = given ? given : w->last_type == LAST_NORM && w->nlast ? w->last : own_name(node);
	int rc = blob_open(w->fs->blobs, node->blob, O_RDONLY, &fd);

	if (rc < 0)
		return rc == -ENOENT ? body_lost(w->fs, node->blob) : rc;
	if (is_being_written(fd))
		return -ETXTBSY;
	(void)blob_chmod(w->fs->blobs, node->blob, (node->mode & 0777) | 0700); /* the record's bits were checked; execve tells if it failed */
	rc = link_blob(w->fs, node->blob, exec_dir, name, out->host_path);
	if (rc < 0)
		return rc;
	out->lower = false;
	out->fd = TAKE_FD(fd);
	return 0;
}

static int place_host(CowWalk *w, CowExec *out)
{
	char buf[PATH_MAX];
	const char *host = walk_host_path(w, &w->cur, buf);

	if (!host)
		return -ENOENT;
	int fd = lower_open(w->fs, host, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	snprintf(out->host_path, sizeof out->host_path, "%s", host);
	if (!w->cur.grant)
		opened_note(w->fs, host);
	out->fd = fd;
	return 0;
}

int cowfs_exec_place(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, const char *exec_dir, CowExec *out)
{
	char virtual_path[PATH_MAX];
	struct statx st;
	CLEAN_LOC CowLoc loc = {0};
	CowWalk w;

	walk_init(&w, fs, req, flags, 0);
	fs_rdlock(fs);
	int rc = walk_run(&w, at, path);
	if (rc == 0)
		rc = may_exec(&w, &st);
	if (rc == 0)
		rc = walk_loc(&w, &loc);
	if (rc == 0 && w.cur.kind == COW_NODE && w.cur.node->blob)
		rc = body_fetch(fs, req, w.cur.node); /* loc has a reference */
	if (rc == 0 && w.cur.kind == COW_NODE && w.cur.node->blob)
		rc = place_blob(&w, w.cur.node, path, exec_dir, out);
	else if (rc == 0)
		rc = place_host(&w, out);
	bool blob = rc == 0 && w.cur.kind == COW_NODE && w.cur.node->blob;
	fs_unlock(fs);
	walk_end(&w);
	if (rc == 0 && !blob)
		out->lower = cowfs_virtual_path(fs, &loc, virtual_path, sizeof virtual_path) > 0 && strcmp(virtual_path, out->host_path) == 0;
	return rc;
}
