/* cowfs/setattr.c - chmod, chown, utimensat, truncate. Only truncate needs a body; the others change the record and, where there is a blob,
 * are mirrored to it (attr.c reads size and times of a blob from the blob). Rules: notify_change() and setattr_prepare() of the kernel. */
#include "grant.h"
#include "internal.h"

static int may_set(const CowReq *req, const struct statx *st, const CowAttr *attr)
{
	bool owner = cred_owns(req->cred, st->stx_uid);

	if ((attr->set & COW_SET_UID) && attr->uid != (uid_t)-1 && req->cred->uid != 0 && (!owner || attr->uid != st->stx_uid))
		return -EPERM;
	if ((attr->set & COW_SET_GID) && attr->gid != (gid_t)-1 && req->cred->uid != 0 &&
	    (!owner || (attr->gid != st->stx_gid && !cred_in_group(req->cred, attr->gid))))
		return -EPERM;
	if ((attr->set & COW_SET_MODE) && !owner)
		return -EPERM;
	if (!(attr->set & (COW_SET_ATIME | COW_SET_MTIME)) || owner)
		return 0;
	if (!(attr->set & COW_TIMES_NOW_OK))
		return -EPERM;
	return cred_allows(req->cred, st->stx_mode, st->stx_uid, st->stx_gid, W_OK);
}

/* via: the link of the body in a watched directory, or NULL. */
static void set_mode(Cowfs *fs, CowNode *node, const char *via, mode_t mode)
{
	node->mode = (node->mode & S_IFMT) | (mode & 07777);
	node->have |= OV_MODE;
	node->flags &= ~(unsigned)N_SETID;
	if (node->blob)
		(void)(via ? watch_chmod(fs, node->blob, via, (mode & 0777) | 0600) : blob_chmod(fs->blobs, node->blob, (mode & 0777) | 0600)); /* best effort, as the contract of blobs says */
}

static void set_owner(Cowfs *fs, CowNode *node, const char *via, const struct statx *st, const CowAttr *attr)
{
	if ((attr->set & COW_SET_UID) && attr->uid != (uid_t)-1) {
		node->uid = attr->uid;
		node->have |= OV_UID;
	}
	if ((attr->set & COW_SET_GID) && attr->gid != (gid_t)-1) {
		node->gid = attr->gid;
		node->have |= OV_GID;
	}
	mode_t kill = S_ISDIR(node->mode) ? 0 : S_ISUID | (st->stx_mode & S_IXGRP ? S_ISGID : 0);
	if (st->stx_mode & kill)
		set_mode(fs, node, via, st->stx_mode & ~kill);
}

static struct timespec resolved(struct timespec ts)
{
	return ts.tv_nsec == UTIME_NOW ? cow_now() : ts;
}

static void set_times(Cowfs *fs, CowNode *node, const char *via, const CowAttr *attr)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};

	if (attr->set & COW_SET_ATIME)
		times[0] = resolved(attr->atime);
	if (attr->set & COW_SET_MTIME)
		times[1] = resolved(attr->mtime);
	setid_settle(fs, node);
	if (node->blob && (via ? watch_utimens(fs, node->blob, via, times) : blob_utimens(fs->blobs, node->blob, times)) == 0)
		return;
	if (attr->set & COW_SET_ATIME) {
		node->atime = times[0];
		node->have |= OV_ATIME;
	}
	if (attr->set & COW_SET_MTIME) {
		node->mtime = times[1];
		node->have |= OV_MTIME;
	}
}

/* A link of procfs lives as long as it is looked at: what is set on it is as good as kept nowhere, and chmod knows no symlink. */
static int setattr_foreign(CowWalk *w, const CowAttr *attr)
{
	if (!S_ISLNK(walk_type(w)))
		return -EPERM;
	if (attr->set & COW_SET_MODE)
		return -EOPNOTSUPP;
	return (attr->set & (COW_SET_UID | COW_SET_GID)) && w->req->cred->uid != 0 ? -EPERM : 0;
}

/* Its times change, too. May release the lock. */
static int free_body(CowWalk *w, CowNode *node)
{
	CowNode *dir = w->dir.kind == COW_NODE ? node_get(w->dir.node) : NULL;
	node_get(node);
	int rc = body_fetch(w->fs, w->req, node);
	if (rc == 0)
		rc = seal_break(w->fs, w->req, node);
	node_put(node);
	node_put(dir);
	return rc;
}

static int setattr_locked(CowWalk *w, const CowAttr *attr)
{
	struct statx st;
	CowNode *node;

	if (w->cur.kind == COW_FOREIGN)
		return setattr_foreign(w, attr);
	int place = record_place(w->fs, &w->cur);
	int rc = place < 0 ? place : walk_stat(w, &st);
	if (rc < 0)
		return rc;
	if (place == 1)
		return grant_setattr(w, attr);
	if ((attr->set & COW_SET_MODE) && S_ISLNK(st.stx_mode))
		return -EOPNOTSUPP;
	rc = may_set(w->req, &st, attr);
	if (rc == 0)
		rc = walk_changed_node(w, &node);
	if (rc == 0 && (attr->set & (COW_SET_ATIME | COW_SET_MTIME)))
		rc = free_body(w, node);
	if (rc < 0)
		return rc;
	char entry[WATCH_PATH];
	const char *via = watch_entry_of(w, node, entry) ? entry : NULL;
	if (attr->set & (COW_SET_UID | COW_SET_GID | COW_CHOWN))
		set_owner(w->fs, node, via, &st, attr);
	if (attr->set & COW_SET_MODE) {
		gid_t gid = node->have & OV_GID ? node->gid : st.stx_gid;
		bool drop = w->req->cred->uid != 0 && !cred_in_group(w->req->cred, gid);
		set_mode(w->fs, node, via, drop ? attr->mode & ~(mode_t)S_ISGID : attr->mode);
	}
	if (attr->set & (COW_SET_ATIME | COW_SET_MTIME))
		set_times(w->fs, node, via, attr);
	setid_watch(w->fs, w->req, node);
	node_changed(w->fs, node);
	watch_attrib(w, node, node->blob && (attr->set & (COW_SET_MODE | COW_SET_ATIME | COW_SET_MTIME)));
	return 0;
}

int cowfs_setattr(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, const CowAttr *attr)
{
	CowWalk w;

	walk_init(&w, fs, req, flags | W_WRITE, 0);
	fs_wrlock(fs);
	int rc = walk_run(&w, at, path);
	if (rc == 0)
		rc = setattr_locked(&w, attr);
	fs_unlock(fs);
	walk_end(&w);
	return rc;
}

static int truncate_locked(CowWalk *w, uint64_t size)
{
	struct statx st;
	CowNode *node;

	if (w->cur.kind == COW_FOREIGN)
		return S_ISDIR(walk_type(w)) ? -EISDIR : -EACCES;
	int rc = walk_stat(w, &st);
	if (rc < 0)
		return rc;
	if (!S_ISREG(st.stx_mode))
		return S_ISDIR(st.stx_mode) ? -EISDIR : -EINVAL;
	bool own = w->cur.kind == COW_NODE && w->cur.node->blob; /* shortening it may make room */
	int place = own ? change_place(w->fs, &w->cur) : record_place(w->fs, &w->cur);
	if (place < 0)
		return place;
	rc = cred_allows(w->req->cred, st.stx_mode, st.stx_uid, st.stx_gid, W_OK);
	if (rc < 0)
		return rc;
	if (place == 1)
		return grant_truncate(w, size);
	rc = walk_changed_node(w, &node);
	if (rc < 0)
		return rc;
	/* copyup_node may release the lock. */
	CowNode *dir = w->dir.kind == COW_NODE ? node_get(w->dir.node) : NULL;
	char entry[WATCH_PATH];
	node_get(node);
	rc = copyup_node(w->fs, w->req, node, size == 0);
	if (rc == 0)
		rc = watch_entry_of(w, node, entry) ? watch_truncate(w->fs, node->blob, entry, size) : blob_truncate(w->fs->blobs, node->blob, size);
	if (rc == 0) {
		quota_note(w->fs, node->blob, NULL);
		setid_written(w->fs, w->req, node);
		node_changed(w->fs, node);
	}
	node_put(node);
	node_put(dir);
	return rc;
}

int cowfs_truncate(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, uint64_t size)
{
	CowWalk w;

	if (size > INT64_MAX)
		return -EINVAL;
	walk_init(&w, fs, req, W_WRITE, 0);
	fs_wrlock(fs);
	int rc = walk_run(&w, at, path);
	if (rc == 0)
		rc = truncate_locked(&w, size);
	fs_unlock(fs);
	walk_end(&w);
	return rc;
}
