/* cowfs/names.c - making and linking names. Each call: walk to the parent, check in the order of Linux (fs/namei.c: filename_create,
 * may_create), make records of what is touched, change the index. Below a writable grant the host is changed instead (grant.c). */
#include "grant.h"
#include "internal.h"

CowNode *node_make(Cowfs *fs, const CowReq *req, const CowNode *dir, mode_t mode)
{
	CowNode *node = node_new(fs, atomic_fetch_add(&fs->next_id, 1), mode);

	if (!node)
		return NULL;
	node->uid = req->cred->uid;
	node->gid = req->cred->gid;
	if (dir->mode & S_ISGID) {
		node->gid = dir->gid;
		if (S_ISDIR(mode))
			node->mode |= S_ISGID;
		else if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && req->cred->uid != 0 && !cred_in_group(req->cred, dir->gid))
			node->mode &= ~(mode_t)S_ISGID;
	}
	node->vdev = dir->vdev;
	node->have = OV_ALL;
	node->nlink = S_ISDIR(mode) ? 2 : 1;
	node->atime = node->mtime = node->ctime = node->btime = cow_now();
	node->flags |= dir->flags & N_PRIVATE;
	return node;
}

int node_publish(Cowfs *fs, CowNode *dir, const char *name, size_t len, CowNode *node)
{
	int rc = dentry_set(fs, dir, name, len, node, 0);

	if (rc < 0)
		return rc;
	if (S_ISDIR(node->mode))
		dir->nlink++;
	node_insert(fs, node);
	node_dirty(fs, node);
	dir_touch(fs, dir);
	watch_made(fs, dir, name, len, node, false);
	return 0;
}

bool name_is_hidden(const CowWalk *w)
{
	const CowDentry *d = w->dir.kind == COW_NODE ? dentry_find(w->fs, w->dir.node, w->last, w->nlast) : NULL;

	return d && !d->node && (d->flags & D_HIDE);
}

int create_check(CowWalk *w, bool is_dir, CowNode **dir)
{
	if (w->last_type != LAST_NORM || w->found)
		return -EEXIST;
	if (w->slash && !is_dir)
		return -ENOENT;
	if (w->dir.kind == COW_FOREIGN)
		return w->dir.foreign->ops->create_error ? -w->dir.foreign->ops->create_error : -EACCES;
	int place = record_place(w->fs, &w->dir);
	if (place) /* on the host the hidden object has that name: it would be opened or replaced */
		return place == 1 && name_is_hidden(w) ? -EACCES : place;
	int rc = walk_dir_node(w, dir);
	if (rc < 0)
		return rc;
	rc = node_allows(w->req, *dir, W_OK | X_OK);
	return rc < 0 ? rc : quota_record(w->fs, true);
}

/* Walks to the parent of a new name. 0 with *dir, 1 (host), or an error; the lock is held either way. */
static int begin_create(CowWalk *w, Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, bool is_dir, CowNode **dir)
{
	walk_init(w, fs, req, COW_NOFOLLOW | W_PARENT | W_WRITE, 0);
	fs_wrlock(fs);
	int rc = walk_run(w, at, path);
	/* A name with a trailing slash is followed by the walk; mkdir("link/") must see the link itself as existing: it does, found is set. */
	return rc < 0 ? rc : create_check(w, is_dir, dir);
}

static int end_create(CowWalk *w, int rc)
{
	fs_unlock(w->fs);
	walk_end(w);
	return rc;
}

int cowfs_mkdir(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, mode_t mode)
{
	CowNode *dir;
	CowWalk w;
	int rc = begin_create(&w, fs, req, at, path, true, &dir);

	if (rc == 1)
		rc = grant_mkdir(&w, mode);
	else if (rc == 0) {
		CowNode *node = node_make(fs, req, dir, S_IFDIR | (mode & (S_ISVTX | 0777)));
		rc = node ? node_publish(fs, dir, w.last, w.nlast, node) : -ENOMEM;
		if (rc < 0)
			node_put(node);
	}
	return end_create(&w, rc);
}

int cowfs_symlink(Cowfs *fs, const CowReq *req, const char *target, const CowLoc *at, const char *path)
{
	CowNode *dir;
	CowWalk w;

	if (!*target)
		return -ENOENT;
	if (strnlen(target, PATH_MAX) >= PATH_MAX)
		return -ENAMETOOLONG;
	int rc = begin_create(&w, fs, req, at, path, false, &dir);
	if (rc == 1)
		rc = grant_symlink(&w, target);
	else if (rc == 0) {
		CowNode *node = node_make(fs, req, dir, S_IFLNK | 0777);
		if (node)
			node->target = strdup(target);
		rc = node && node->target ? node_publish(fs, dir, w.last, w.nlast, node) : -ENOMEM;
		if (rc < 0)
			node_put(node);
	}
	return end_create(&w, rc);
}

/* The body of a new regular file or FIFO. */
static int give_blob(Cowfs *fs, CowNode *node)
{
	CLEAN_FD int fd = -1;
	struct statx st;
	int rc;

	if (S_ISFIFO(node->mode)) {
		rc = body_make_fifo(fs, node->id, node->mode);
		if (rc == 0)
			rc = blob_statx(fs->blobs, node->id, COW_STATX_MASK, &st);
	} else {
		rc = body_create(fs, node->id, node->mode & 07777, O_RDWR, &fd);
		if (rc == 0)
			rc = statx_of_fd(fd, &st);
	}
	if (rc < 0)
		return rc;
	node->blob = node->id;
	node->have &= ~(unsigned)(OV_ATIME | OV_MTIME | OV_CTIME);
	ident_set(fs, &node->own_id, node, statx_dev(&st), st.stx_ino);
	return 0;
}

int cowfs_mknod(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, mode_t mode, dev_t dev)
{
	CowNode *dir;
	CowWalk w;

	bool device = S_ISCHR(mode) || S_ISBLK(mode);
	if ((mode & S_IFMT) == 0)
		mode |= S_IFREG;
	if (S_ISDIR(mode))
		return -EPERM;
	if (!S_ISREG(mode) && !S_ISFIFO(mode) && !S_ISSOCK(mode) && !device)
		return -EINVAL;
	int rc = begin_create(&w, fs, req, at, path, false, &dir);
	if (rc >= 0 && device && (rc == 1 || !fs->fake_root || req->cred->uid != 0))
		rc = -EPERM;
	else if (rc == 1)
		rc = grant_mknod(&w, mode);
	else if (rc == 0) {
		CowNode *node = node_make(fs, req, dir, mode & (S_IFMT | 07777));
		if (node && device)
			node->rdev = dev;
		rc = !node ? -ENOMEM : S_ISSOCK(mode) || device ? 0 : give_blob(fs, node);
		if (rc == 0)
			rc = node_publish(fs, dir, w.last, w.nlast, node);
		if (rc < 0 && node) {
			if (node->blob)
				(void)blob_remove(fs->blobs, node->blob); /* unreferenced: removed at the next start if not now */
			ident_clear(fs, &node->own_id);
			node_put(node);
		}
	}
	return end_create(&w, rc);
}

/* ---- link ---- */

static int link_node(CowWalk *w, CowNode *dir, CowNode *node)
{
	Cowfs *fs = w->fs;

	if (node->vdev != dir->vdev)
		return -EXDEV;
	if ((node->flags & N_DEAD) || (node->nlink <= 0 && !(node->flags & N_TMPFILE)))
		return -ENOENT;
	int rc = dentry_set(fs, dir, w->last, w->nlast, node, 0);
	if (rc < 0)
		return rc;
	node->nlink = node->flags & N_TMPFILE ? 1 : node->nlink + 1;
	node->flags &= ~(unsigned)N_TMPFILE;
	node->have |= OV_NLINK;
	node_changed(fs, node);
	dir_touch(fs, dir);
	watch_made(fs, dir, w->last, w->nlast, node, true);
	return 0;
}

int cowfs_link(Cowfs *fs, const CowReq *req, const CowLoc *old_at, const char *old_path, const CowLoc *new_at, const char *new_path, int flags)
{
	CowWalk from, to;
	CowNode *dir, *node;
	unsigned how = W_WRITE | (flags & AT_SYMLINK_FOLLOW ? 0 : COW_NOFOLLOW) | (flags & AT_EMPTY_PATH ? COW_EMPTY_PATH : 0);
	CLEAN_LOC CowLoc old = {0};

	if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	walk_init(&from, fs, req, how, 0);
	fs_wrlock(fs);
	int rc = walk_run(&from, old_at, old_path);
	if (rc == 0)
		rc = walk_loc(&from, &old);
	walk_init(&to, fs, req, COW_NOFOLLOW | W_PARENT | W_WRITE, 0);
	if (rc == 0)
		rc = walk_run(&to, new_at, new_path);
	if (rc == 0)
		rc = create_check(&to, false, &dir);
	if (rc >= 0 && from.cur.kind == COW_FOREIGN)
		rc = -EXDEV;
	else if (rc >= 0 && S_ISDIR(walk_type(&from)))
		rc = -EPERM;
	else if (rc == 1 || (rc == 0 && from.cur.grant))
		rc = rc == 1 && from.cur.grant && from.cur.grant == to.dir.grant ? grant_link(&from, &to) : -EXDEV;
	else if (rc == 0) {
		rc = walk_changed_node(&from, &node);
		if (rc == 0)
			rc = link_node(&to, dir, node);
	}
	fs_unlock(fs);
	walk_end(&from);
	walk_end(&to);
	return rc;
}
