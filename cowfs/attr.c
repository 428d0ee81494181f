/* cowfs/attr.c - what stat shows, and who may do what. Permission rules are those of generic_permission() in the kernel's fs/namei.c,
 * without ACLs: records have none (xattr.c refuses them). For objects whose permissions are the host's own, the host judges by its ACLs. */
#include "internal.h"

struct timespec cow_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME_COARSE, &ts); /* the clock of the kernel's own inode times */
	return ts;
}

int statx_of_fd(int fd, struct statx *st)
{
	if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, COW_STATX_MASK | STATX_MNT_ID, st) < 0)
		return bv_neg_errno();
	return 0;
}

/* ---- permission ---- */

bool cred_in_group(const CowCred *cred, gid_t gid)
{
	if (cred->gid == gid)
		return true;
	for (size_t i = 0; i < cred->ngroups; i++)
		if (cred->groups[i] == gid)
			return true;
	return false;
}

bool cred_owns(const CowCred *cred, uid_t uid)
{
	return cred->uid == 0 || cred->uid == uid;
}

int cred_allows(const CowCred *cred, mode_t mode, uid_t uid, gid_t gid, int want)
{
	if (cred->uid == 0) {
		bool runs = S_ISDIR(mode) || (mode & 0111);
		return (want & X_OK) && !runs ? -EACCES : 0;
	}
	unsigned shift = cred->uid == uid ? 6 : cred_in_group(cred, gid) ? 3 : 0;
	return ((mode >> shift) & (unsigned)want) == (unsigned)want ? 0 : -EACCES;
}

int host_allows(const CowReq *req, const char *path, int want)
{
	if (req->cred->uid == 0 || req->cred->uid != geteuid())
		return -ENOTSUP;
	if (faccessat(AT_FDCWD, path, want, AT_EACCESS | AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	return errno == EACCES ? -EACCES : -ENOTSUP; /* a file system that is read-only for the host is not for the view */
}

int node_allows(const CowReq *req, const CowNode *node, int want)
{
	int rc = req ? cred_allows(req->cred, node->mode, node->uid, node->gid, want) : 0;

	if (rc < 0 && node->origin && !(node->have & (OV_MODE | OV_OWNER)) && host_allows(req, node->origin, want) == 0)
		return 0;
	return rc;
}

int walk_allows(const CowWalk *w, const struct statx *st, int want)
{
	const CowNode *node = w->cur.kind == COW_NODE ? w->cur.node : NULL;
	int rc = -ENOTSUP;

	if (!node || (node->origin && !(node->have & (OV_MODE | OV_OWNER))))
		rc = host_allows(w->req, node ? node->origin : w->path, want);
	return rc != -ENOTSUP ? rc : cred_allows(w->req->cred, st->stx_mode, st->stx_uid, st->stx_gid, want);
}

int change_place(Cowfs *fs, const CowAt *at)
{
	if (fs->flags & (COWFS_RO_VIEW | COWFS_READONLY))
		return -EROFS;
	if (!at->grant)
		return 0;
	return at->grant->writable ? 1 : -EROFS;
}

int record_place(Cowfs *fs, const CowAt *at)
{
	int place = change_place(fs, at);

	return place == 0 ? atomic_load(&fs->stuck) : place;
}

/* ---- stat ---- */

static struct statx_timestamp stamp(struct timespec ts)
{
	return (struct statx_timestamp){.tv_sec = ts.tv_sec, .tv_nsec = (uint32_t)ts.tv_nsec};
}

static bool later(struct timespec a, const struct statx_timestamp *b)
{
	return a.tv_sec != b->tv_sec ? a.tv_sec > b->tv_sec : (uint32_t)a.tv_nsec > b->tv_nsec;
}

static uint32_t dir_links(const CowNode *node, const struct statx *st)
{
	if (node->flags & N_DEAD)
		return 0;
	if (!node->origin)
		return (uint32_t)node->nlink;
	if (st->stx_nlink < 2)
		return st->stx_nlink; /* file systems that do not count subdirectories */
	return (uint32_t)MAX(2, (int32_t)st->stx_nlink + node->nlink);
}

void node_override(const CowNode *node, struct statx *st)
{
	unsigned have = node->have;

	st->stx_dev_major = major(node->vdev);
	st->stx_dev_minor = minor(node->vdev);
	st->stx_ino = node->vino;
	st->stx_mode = (uint16_t)(have & OV_MODE ? setid_mode(node, st) : (node->mode & S_IFMT) | (st->stx_mode & 07777U));
	if (have & OV_UID)
		st->stx_uid = node->uid;
	if (have & OV_GID)
		st->stx_gid = node->gid;
	if (have & OV_ATIME)
		st->stx_atime = stamp(node->atime);
	if (have & OV_MTIME)
		st->stx_mtime = stamp(node->mtime);
	if ((have & OV_CTIME) && later(node->ctime, &st->stx_ctime))
		st->stx_ctime = stamp(node->ctime);
	if (node->btime.tv_sec) {
		st->stx_btime = stamp(node->btime);
		st->stx_mask |= STATX_BTIME;
	}
	if (S_ISDIR(node->mode))
		st->stx_nlink = dir_links(node, st);
	else if (have & OV_NLINK)
		st->stx_nlink = (uint32_t)MAX(0, node->nlink);
	if (S_ISCHR(node->mode) || S_ISBLK(node->mode)) {
		st->stx_rdev_major = major(node->rdev);
		st->stx_rdev_minor = minor(node->rdev);
	}
}

/* An object that has no file of the host to ask: everything is in the record. */
void statx_of_record(const CowNode *node, struct statx *st)
{
	*st = (struct statx){.stx_mask = STATX_BASIC_STATS, .stx_blksize = 4096, .stx_mode = (uint16_t)node->mode, .stx_uid = node->uid,
			     .stx_gid = node->gid, .stx_nlink = (uint32_t)MAX(0, node->nlink), .stx_atime = stamp(node->atime),
			     .stx_mtime = stamp(node->mtime), .stx_ctime = stamp(node->ctime)};
	if (S_ISDIR(node->mode)) {
		st->stx_size = 4096;
		st->stx_blocks = 8;
		if (node->origin)
			st->stx_nlink = 2;
	}
	if (node->target)
		st->stx_size = strlen(node->target);
}

int node_statx(Cowfs *fs, const CowNode *node, struct statx *out)
{
	struct statx st;
	int rc = 0;

	if (node->blob) {
		rc = blob_statx(fs->blobs, node->blob, COW_STATX_MASK, &st);
	} else if (node->origin) {
		rc = lower_statx(fs, node->dir ? node->dir->grant : NULL, node->origin, &st);
		/* The host removed a directory that has changes in it, or made something else of it: the record keeps it. */
		if ((host_is_gone(rc) || (rc == 0 && (st.stx_mode & S_IFMT) != (node->mode & S_IFMT))) &&
		    (S_ISDIR(node->mode) || node->target)) {
			statx_of_record(node, &st);
			rc = 0;
		} else if (rc == 0 && (st.stx_mode & S_IFMT) != (node->mode & S_IFMT)) {
			rc = -ESTALE;
		}
	} else {
		statx_of_record(node, &st);
	}
	if (rc < 0)
		return rc == -ENOENT && node->blob ? body_lost(fs, node->blob) : rc;
	node_override(node, &st);
	*out = st;
	return 0;
}

static int foreign_statx(CowWalk *w, unsigned mask, struct statx *out)
{
	const CowForeign *foreign = w->cur.foreign;
	int rc = foreign->ops->statx(foreign->ctx, w->req, w->path, mask, out);

	if (rc == 0)
		owner_show(w->fs, out);
	return rc;
}

int cowfs_statx(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, unsigned mask, struct statx *out)
{
	CowWalk w;

	walk_init(&w, fs, req, flags, 0);
	fs_rdlock(fs);
	int rc = walk_run(&w, at, path);
	bool foreign = rc == 0 && w.cur.kind == COW_FOREIGN;
	if (rc == 0 && !foreign)
		rc = walk_stat(&w, out);
	fs_unlock(fs);
	if (foreign)
		rc = foreign_statx(&w, mask, out);
	walk_end(&w);
	return rc;
}

void cowfs_translate_statx(Cowfs *fs, struct statx *inout)
{
	struct statx st;

	owner_show(fs, inout);
	fs_rdlock(fs);
	CowNode *node = ident_find(fs, statx_dev(inout), inout->stx_ino);
	if (node && (S_ISDIR(node->mode) || S_ISLNK(node->mode) || S_ISSOCK(node->mode))) {
		if (node_statx(fs, node, &st) == 0)
			*inout = st;
		else
			node_override(node, inout);
	} else if (node) {
		node_override(node, inout);
	}
	fs_unlock(fs);
}

int cowfs_access(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, int mode)
{
	struct statx st;
	CowWalk w;

	walk_init(&w, fs, req, flags, 0);
	fs_rdlock(fs);
	int rc = walk_run(&w, at, path), place = 0, allowed = 0;
	bool foreign = rc == 0 && w.cur.kind == COW_FOREIGN;
	if (rc == 0 && !foreign) {
		rc = walk_stat(&w, &st);
		place = change_place(fs, &w.cur);
		if (rc == 0 && mode != F_OK)
			allowed = walk_allows(&w, &st, mode);
	}
	fs_unlock(fs);
	if (foreign)
		rc = foreign_statx(&w, STATX_BASIC_STATS, &st);
	if (rc == 0 && mode != F_OK && foreign)
		allowed = cred_allows(req->cred, st.stx_mode, st.stx_uid, st.stx_gid, mode);
	walk_end(&w);
	if (rc < 0 || mode == F_OK)
		return rc;
	if ((mode & W_OK) && place == -EROFS && (S_ISREG(st.stx_mode) || S_ISDIR(st.stx_mode) || S_ISLNK(st.stx_mode)))
		return -EROFS;
	return allowed;
}

ssize_t cowfs_readlink(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, char *buf, size_t size)
{
	char text[PATH_MAX];
	CowWalk w;

	if (size == 0)
		return -EINVAL;
	walk_init(&w, fs, req, flags | COW_NOFOLLOW, 0);
	fs_rdlock(fs);
	ssize_t rc = walk_run(&w, at, path);
	bool foreign = rc == 0 && w.cur.kind == COW_FOREIGN;
	if (rc == 0 && !S_ISLNK(walk_type(&w)))
		rc = w.last_type == LAST_NONE ? -ENOENT : -EINVAL;
	else if (rc == 0 && w.cur.kind == COW_NODE)
		rc = snprintf(text, PATH_MAX, "%s", w.cur.node->target); /* a target is shorter than PATH_MAX */
	else if (rc == 0 && w.cur.kind == COW_LOWER) {
		if (!w.cur.grant)
			opened_note(fs, w.path);
		rc = lower_readlink(fs, w.cur.grant, w.path, text, sizeof text);
	}
	fs_unlock(fs);
	if (rc == 0 && foreign)
		rc = w.cur.foreign->ops->readlink(w.cur.foreign->ctx, req, w.path, text, sizeof text);
	walk_end(&w);
	if (rc <= 0)
		return rc;
	rc = MIN(rc, (ssize_t)size);
	memcpy(buf, text, (size_t)rc);
	return rc;
}

/* 1: *out has it. 0: it is that of the place where this file system is pinned, which has one of its kind on the host: `host`. */
static int foreign_statfs(Cowfs *fs, const CowWalk *w, char host[PATH_MAX], struct statfs *out)
{
	const CowForeign *f = w->cur.foreign;
	char top[1] = "";
	const CowLoc pin = {.kind = COW_FOREIGN, .foreign = f, .path = top};
	int rc = f->ops->statfs ? f->ops->statfs(f->ctx, w->path, out) : -EOPNOTSUPP;

	if (rc != -EOPNOTSUPP)
		return rc < 0 ? rc : 1;
	return cowfs_virtual_path(fs, &pin, host, PATH_MAX) < 0 ? -ENOENT : 0;
}

int cowfs_statfs(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, struct statfs *out)
{
	char host[PATH_MAX] = "/";
	CowWalk w;

	walk_init(&w, fs, req, flags, 0);
	fs_rdlock(fs);
	int rc = walk_run(&w, at, path);
	if (rc == 0 && w.cur.kind == COW_LOWER)
		memcpy(host, w.path, w.cur.len + 1);
	else if (rc == 0 && w.cur.kind == COW_NODE && w.cur.node->origin)
		snprintf(host, PATH_MAX, "%s", w.cur.node->origin); /* an origin is shorter than PATH_MAX */
	fs_unlock(fs);
	if (rc == 0 && w.cur.kind == COW_FOREIGN)
		rc = foreign_statfs(fs, &w, host, out);
	if (rc == 0) {
		CLEAN_FD int fd = lower_open(fs, host, O_PATH | O_NOFOLLOW, 0);
		rc = fd < 0 ? fd : fstatfs(fd, out) < 0 ? bv_neg_errno() : 0;
		if (rc == 0 && w.cur.kind != COW_FOREIGN && !w.cur.grant)
			rc = quota_statfs(fs, req->may_block, out);
	}
	walk_end(&w);
	return MIN(rc, 0);
}

/* ---- after a change ---- */

void node_changed(Cowfs *fs, CowNode *node)
{
	node->ctime = cow_now();
	node->have |= OV_CTIME;
	node_dirty(fs, node);
}

void dir_touch(Cowfs *fs, CowNode *dir)
{
	dir->mtime = dir->ctime = cow_now();
	dir->have |= OV_MTIME | OV_CTIME;
	dir->dir->gen++;
	node_dirty(fs, dir);
}
