/* cowfs/open.c - open(2) and its relatives: a host descriptor for an object of the view.
 *
 * An untouched host file opened for reading is the host's own file (one openat2 inside the walk). What is to be written gets a blob first
 * (copyup.c). Whatever may wait (the peer of a FIFO, a blob that has to be fetched) is opened without fs->lock. */
#include "grant.h"
#include "unchanged.h"

static bool wants_write(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

static int access_wanted(int flags)
{
	static const int want[] = {[O_RDONLY] = R_OK, [O_WRONLY] = W_OK, [O_RDWR] = R_OK | W_OK, [O_ACCMODE] = R_OK | W_OK};
	return want[flags & O_ACCMODE] | (flags & O_TRUNC ? W_OK : 0);
}

/* What the host gets of the guest's flags once the object exists. open(2) ignores bits that it does not know, openat2 does not. */
static int host_flags(int flags)
{
	const int known = O_ACCMODE | O_APPEND | O_NONBLOCK | O_SYNC | O_ASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_TRUNC;

	if (flags & O_PATH)
		return flags & (O_PATH | O_NOFOLLOW | O_DIRECTORY);
	return (flags & known) | O_NOCTTY;
}

/* Permission was checked: where the host still denies reading, who owns the object has the last word. He is root in the view, or `granted` it. */
static int open_host(Cowfs *fs, const char *path, int flags, bool granted)
{
	int fd = lower_open(fs, path, host_flags(flags), 0);

	return fd == -EACCES && (granted || fs->fake_root) ? lower_open_owned(fs, path, host_flags(flags)) : fd;
}

/* ---- opening a record ---- */

static int open_fifo(Cowfs *fs, const CowReq *req, CowNode *node, int flags, int *fd)
{
	bool waits = !(flags & (O_NONBLOCK | O_PATH)) && (flags & O_ACCMODE) != O_RDWR;
	int rc = 0;

	if (waits && !req->may_block)
		return -EINPROGRESS;
	if (!node->blob)
		rc = copyup_node(fs, req, node, false);
	if (rc < 0)
		return rc;
	BlobId blob = node->blob;
	fs_unlock(fs);
	rc = blob_open(fs->blobs, blob, flags & ~O_TRUNC, fd);
	fs_wrlock(fs);
	return rc;
}

static int open_marker(Cowfs *fs, CowNode *node, int flags, int *fd)
{
	char name[40];
	int rc = marker_make(fs, node, name);

	if (rc < 0)
		return rc;
	int opened = bv_openat_plain(fs->mark_fd, name, host_flags(flags) | O_CLOEXEC);
	if (opened < 0)
		return bv_neg_errno();
	*fd = opened;
	return 0;
}

static int open_dir(Cowfs *fs, CowNode *node, int flags, int *fd)
{
	if (node->flags & N_DEAD)
		return -ENOENT;
	if (!node->dir->kids && node->origin) {
		int opened = open_host(fs, node->origin, flags | O_DIRECTORY, false);
		if (opened >= 0)
			*fd = opened;
		if (opened != -ENOENT && !(opened == -EACCES && dir_is_closed(fs, node->origin)))
			return MIN(opened, 0);
	}
	return open_marker(fs, node, flags, fd);
}

/* The body is about to be written by the guest itself. */
static void note_writing(Cowfs *fs, const CowReq *req, CowNode *node, int flags)
{
	if (flags & O_TRUNC)
		setid_written(fs, req, node);
	setid_watch(fs, req, node);
	seal_note_writer(fs, node);
	if (node->flags & N_CARRIED)
		node_dirty(fs, node);
}

/* What is to be written has a body of its own then, and one that is elsewhere is here. */
static int prepare_body(Cowfs *fs, const CowReq *req, CowNode *node, int flags)
{
	if (!wants_write(flags))
		return body_fetch(fs, req, node);
	int rc = copyup_node(fs, req, node, flags & O_TRUNC);
	if (rc < 0)
		return rc;
	note_writing(fs, req, node, flags);
	return 0;
}

static void note_unseen(Cowfs *fs, CowNode *node, int flags)
{
	if ((flags & O_PATH) || (flags & O_ACCMODE) == O_ACCMODE) {
		node->flags |= N_UNSEEN;
		atomic_store(&fs->unseen_opened, true);
	}
}

static int open_file(Cowfs *fs, const CowReq *req, CowNode *node, int flags, int *fd)
{
	const int blob_flags = host_flags(flags) & ~O_DIRECTORY;
	bool writes = wants_write(flags) && !(flags & O_PATH);
	int rc = body_fetch(fs, req, node), opened = -1;

	if (rc < 0)
		return rc;
	if (writes && !node->blob && node->origin && (flags & O_TRUNC))
		rc = copyup_empty(fs, node, blob_flags, &opened);
	else if (writes)
		rc = copyup_node(fs, req, node, false);
	if (rc < 0)
		return rc;
	note_unseen(fs, node, flags);
	if (node->blob && opened < 0) {
		rc = blob_open(fs->blobs, node->blob, blob_flags, &opened);
		if (rc < 0)
			return rc == -ENOENT ? body_lost(fs, node->blob) : rc;
	}
	if (node->blob) {
		unchanged_note(fs, node);
		if (writes)
			note_writing(fs, req, node, flags);
		*fd = opened;
		return 0;
	}
	if (!node->origin)
		return -ENOENT;
	opened = open_host(fs, node->origin, flags, node->have & OV_MODE); /* a chmod in the sandbox */
	if (opened < 0)
		return opened;
	*fd = opened;
	return 0;
}

int open_node(Cowfs *fs, const CowReq *req, CowNode *node, int flags, int *fd)
{
	switch (node->mode & S_IFMT) {
	case S_IFDIR:
		return open_dir(fs, node, flags, fd);
	case S_IFREG:
		return open_file(fs, req, node, flags, fd);
	case S_IFIFO:
		return open_fifo(fs, req, node, host_flags(flags), fd);
	case S_IFLNK:
		return flags & O_PATH ? open_marker(fs, node, flags, fd) : -ELOOP;
	case S_IFSOCK:
		return flags & O_PATH ? open_marker(fs, node, flags, fd) : -ENXIO;
	default:
		break;
	}
	if (!(node->flags & N_DEVICE) && !(flags & O_PATH))
		return -EACCES; /* a device of the host that nobody granted, or one that is a record alone, as on a file system mounted with nodev */
	if (!node->origin)
		return open_marker(fs, node, flags, fd);
	int opened = lower_open(fs, node->origin, host_flags(flags), 0);
	if (opened < 0)
		return opened;
	*fd = opened;
	return 0;
}

/* ---- checks on what was found, in the order of may_open() ---- */

/* may_create_in_sticky() of the kernel, for what its sysctls do not decide: in a sticky directory that all may write to, O_CREAT opens nobody
 * else's socket, device or symlink. */
static int check_sticky(CowWalk *w, mode_t type, int flags)
{
	struct statx st;
	CowAt dir = w->dir;
	int rc;

	if (!(flags & O_CREAT) || S_ISREG(type) || S_ISFIFO(type) || S_ISDIR(type) || w->last_type != LAST_NORM)
		return 0;
	if (w->dir.kind == COW_FOREIGN || w->cur.kind == COW_FOREIGN)
		return 0;
	rc = walk_stat(w, &st);
	if (rc < 0)
		return rc;
	uid_t owner = st.stx_uid;
	char path[PATH_MAX];
	rc = dir.kind == COW_NODE ? node_statx(w->fs, dir.node, &st) : lower_statx(w->fs, dir.grant, walk_host_path(w, &dir, path), &st);
	if (rc < 0)
		return rc;
	return (st.stx_mode & S_ISVTX) && (st.stx_mode & S_IWOTH) && owner != st.stx_uid && owner != w->req->cred->uid ? -EACCES : 0;
}

static int check_type(CowWalk *w, mode_t type, int flags)
{
	if (w->slash && w->last_type == LAST_NORM && (flags & O_CREAT))
		return -EISDIR; /* before anything is looked up */
	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	if (S_ISDIR(type) && (flags & O_CREAT))
		return -EISDIR;
	if (w->slash && !S_ISDIR(type))
		return flags & O_CREAT ? -EISDIR : -ENOTDIR;
	int rc = check_sticky(w, type, flags);
	if (rc < 0)
		return rc;
	if ((flags & O_DIRECTORY) && !S_ISDIR(type))
		return -ENOTDIR;
	if (flags & O_PATH)
		return 0;
	if (S_ISLNK(type))
		return -ELOOP;
	return S_ISDIR(type) && (wants_write(flags)) ? -EISDIR : 0;
}

static bool has_blob(const CowWalk *w)
{
	return w->cur.kind == COW_NODE && w->cur.node->blob;
}

static int check_access(CowWalk *w, int flags)
{
	struct statx st;
	int place = change_place(w->fs, &w->cur), rc;

	if (flags & O_PATH)
		return 0;
	rc = walk_stat(w, &st);
	if (rc < 0)
		return rc;
	bool has_body = S_ISREG(st.stx_mode) || S_ISDIR(st.stx_mode);
	if (place == -EROFS && wants_write(flags) && has_body)
		return -EROFS;
	rc = walk_allows(w, &st, access_wanted(flags));
	if (rc == 0 && wants_write(flags) && S_ISREG(st.stx_mode) && !has_blob(w)) /* to be copied up */
		rc = MIN(0, record_place(w->fs, &w->cur));
	if (rc < 0)
		return rc;
	return (flags & O_NOATIME) && !cred_owns(w->req->cred, st.stx_uid) ? -EPERM : 0;
}

/* A body is opened through its name in a watched directory, so that the watch sees what is done to it. */
static int open_named(CowWalk *w, CowNode *node, int flags, int *fd)
{
	Cowfs *fs = w->fs;
	int rc = -ENOENT;

	if (fs->watches && S_ISREG(node->mode) && !(flags & O_PATH)) {
		rc = prepare_body(fs, w->req, node, flags);
		if (rc == 0)
			rc = watch_reopen(w, node, host_flags(flags) & ~(O_NOFOLLOW | O_DIRECTORY), fd);
		if (rc == 0) {
			note_unseen(fs, node, flags);
			unchanged_note(fs, node);
		}
		if (rc != -ENOENT)
			return rc;
	}
	rc = open_node(fs, w->req, node, flags, fd);
	if (rc == 0)
		watch_opened(w, node, flags);
	return rc;
}

/* The host's own object. The peer of a FIFO may never come, so that one is opened without the lock. */
static int open_granted(CowWalk *w, int flags)
{
	bool waits = S_ISFIFO(walk_type(w)) && !(flags & (O_NONBLOCK | O_PATH)) && (flags & O_ACCMODE) != O_RDWR;
	char buf[PATH_MAX], path[PATH_MAX];

	if (!waits)
		return grant_open(w, flags, 0, false);
	if (!w->req->may_block)
		return -EINPROGRESS;
	snprintf(path, sizeof path, "%s", walk_host_path(w, &w->cur, buf));
	fs_unlock(w->fs);
	int fd = lower_open(w->fs, path, flags, 0);
	walk_relock(w);
	return fd;
}

/* What is the host's, and not below a grant. */
static void note_reading(const CowWalk *w, const char *origin, int flags)
{
	if (origin && !(flags & O_PATH))
		opened_note(w->fs, origin);
}

/* cur exists and may be opened so. fs->lock is held for writing. */
static int open_found(CowWalk *w, int flags, int *fd)
{
	CowNode *node;

	if (w->cur.kind == COW_NODE && (w->cur.node->flags & N_PIN) && !w->cur.node->dir && !(w->cur.node->flags & N_DEVICE) &&
	    !S_ISLNK(w->cur.node->mode))
		return -EACCES;
	if (w->cur.grant) {
		int opened = open_granted(w, host_flags(flags));
		if (opened >= 0)
			*fd = opened;
		return MIN(opened, 0);
	}
	bool closed = S_ISDIR(walk_type(w)) && !(flags & O_PATH) && walk_is_closed(w);
	bool host_as_it_is = w->cur.kind == COW_LOWER && !closed && (flags & O_PATH || ((S_ISREG(walk_type(w)) || S_ISDIR(walk_type(w))) && !wants_write(flags)));
	if (host_as_it_is) {
		int opened = open_host(w->fs, w->path, flags, false);
		if (opened >= 0) {
			*fd = opened;
			watch_opened(w, NULL, flags);
			note_reading(w, w->path, flags);
		}
		return MIN(opened, 0);
	}
	mode_t type = walk_type(w);
	if (w->cur.kind == COW_LOWER && (S_ISCHR(type) || S_ISBLK(type) || S_ISSOCK(type)))
		return S_ISSOCK(type) ? -ENXIO : -EACCES;
	int rc = 0;
	if (w->cur.kind == COW_NODE)
		node = w->cur.node; /* nothing to record: the lock may be held for reading only */
	else
		rc = wants_write(flags) ? walk_changed_node(w, &node) : walk_cur_node(w, &node);
	if (rc < 0)
		return rc;
	/* open_node may release the lock. */
	CowNode *dir = w->dir.kind == COW_NODE ? node_get(w->dir.node) : NULL;
	node_get(node);
	rc = open_named(w, node, flags, fd);
	if (rc == 0 && (S_ISREG(node->mode) || S_ISDIR(node->mode)))
		note_reading(w, node->origin, flags);
	node_put(node);
	node_put(dir);
	return rc;
}

/* ---- creating ---- */

static int open_new_blob(Cowfs *fs, CowNode *node, int flags, int *out)
{
	CLEAN_FD int fd = -1;
	struct statx st;
	int rc = body_create(fs, node->id, node->mode & 07777, host_flags(flags) & ~(O_TRUNC | O_DIRECTORY | O_TMPFILE), &fd);

	if (rc < 0)
		return rc;
	rc = statx_of_fd(fd, &st);
	if (rc < 0) {
		(void)blob_remove(fs->blobs, node->id); /* unreferenced: removed at the next start if not now */
		return rc;
	}
	node->blob = node->id;
	node->have &= ~(unsigned)(OV_ATIME | OV_MTIME | OV_CTIME);
	ident_set(fs, &node->own_id, node, statx_dev(&st), st.stx_ino);
	*out = TAKE_FD(fd);
	note_unseen(fs, node, flags);
	return 0;
}

static int create_file(CowWalk *w, int flags, mode_t mode, int *fd)
{
	CowNode *dir;

	if (w->slash)
		return -EISDIR;
	int rc = create_check(w, false, &dir);
	if (rc < 0)
		return rc;
	if (rc == 1) {
		int opened = grant_open(w, flags, mode, true);
		if (opened >= 0)
			*fd = opened;
		return MIN(opened, 0);
	}
	CowNode *node = node_make(w->fs, w->req, dir, S_IFREG | (mode & 07777));
	if (!node)
		return -ENOMEM;
	rc = open_new_blob(w->fs, node, flags, fd);
	if (rc == 0)
		rc = node_publish(w->fs, dir, w->last, w->nlast, node);
	if (rc == 0) {
		if (w->fs->watches)
			IGNORE_RESULT(watch_reopen(w, node, host_flags(flags) & ~(O_TRUNC | O_NOFOLLOW | O_DIRECTORY), fd)); /* the descriptor in hand is as good */
		setid_watch(w->fs, w->req, node);
		seal_note_writer(w->fs, node);
		return 0;
	}
	bv_close_fd(fd);
	if (node->blob)
		(void)blob_remove(w->fs->blobs, node->blob); /* unreferenced: removed at the next start if not now */
	ident_clear(w->fs, &node->own_id);
	node_put(node);
	return rc;
}

/* O_TMPFILE: path is the directory. */
static int create_nameless(CowWalk *w, int flags, mode_t mode, int *fd)
{
	CowNode *dir;

	if (!S_ISDIR(walk_type(w)))
		return -ENOTDIR;
	if (w->cur.kind == COW_FOREIGN)
		return -EOPNOTSUPP;
	int rc = record_place(w->fs, &w->cur);
	if (rc < 0)
		return rc;
	if (rc == 1) {
		char buf[PATH_MAX];
		int opened = lower_open(w->fs, walk_host_path(w, &w->cur, buf), flags, mode);
		if (opened >= 0)
			*fd = opened;
		return MIN(opened, 0);
	}
	rc = walk_cur_node(w, &dir);
	if (rc == 0)
		rc = dir->flags & N_DEAD ? -ENOENT : node_allows(w->req, dir, W_OK | X_OK);
	if (rc == 0)
		rc = quota_record(w->fs, true);
	if (rc < 0)
		return rc;
	CowNode *node = node_make(w->fs, w->req, dir, S_IFREG | (mode & 07777));
	if (!node)
		return -ENOMEM;
	rc = open_new_blob(w->fs, node, flags, fd);
	if (rc < 0) {
		node_put(node);
		return rc;
	}
	node->nlink = 0;
	node->flags |= flags & O_EXCL ? N_DEAD : N_TMPFILE; /* O_EXCL: it can never get a name */
	node_insert(w->fs, node);
	orphan_add(w->fs, node);
	seal_note_writer(w->fs, node); /* it may get a name while it is written */
	return 0;
}

static int open_for_change(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, const struct open_how *how, CowFile *out)
{
	int flags = (int)how->flags, fd = -1;
	bool nameless = (flags & O_TMPFILE) == O_TMPFILE;
	size_t len = strlen(path);
	bool slash = len && path[len - 1] == '/'; /* "link/" is followed, O_NOFOLLOW or not */
	bool no_follow = ((flags & O_NOFOLLOW) && !slash) || (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
	bool created = false, foreign = false;
	CowWalk w;

	walk_init(&w, fs, req, (no_follow ? COW_NOFOLLOW : 0) | (nameless ? 0 : W_PARENT) | (flags & O_CREAT ? W_CREATE : 0) | W_WRITE, how->resolve);
	fs_wrlock(fs);
	int rc = walk_run(&w, at, path);
	if (rc == 0 && nameless)
		rc = create_nameless(&w, flags, (mode_t)how->mode, &fd);
	else if (rc == 0 && !w.found && !(flags & O_CREAT))
		rc = -ENOENT;
	else if (rc == 0 && !w.found) {
		rc = create_file(&w, flags, (mode_t)how->mode, &fd);
		created = rc == 0;
	} else if (rc == 0) {
		foreign = w.cur.kind == COW_FOREIGN;
		rc = check_type(&w, walk_type(&w), flags);
		if (rc == 0 && !foreign)
			rc = check_access(&w, flags);
		if (rc == 0 && !foreign)
			rc = open_found(&w, flags, &fd);
	}
	fs_unlock(fs);
	if (rc == 0 && foreign)
		rc = w.cur.foreign->ops->open(w.cur.foreign->ctx, req, w.path, flags & ~(O_CREAT | O_EXCL), &fd);
	walk_end(&w);
	if (rc == 0)
		*out = (CowFile){.fd = fd, .created = created};
	return rc;
}

/* ---- reading ---- */

static bool needs_record(CowWalk *w, int flags)
{
	if (w->cur.kind == COW_NODE)
		return !S_ISREG(w->cur.node->mode); /* markers and FIFOs may have to be made */
	if (S_ISDIR(walk_type(w)))
		return !(flags & O_PATH) && walk_is_closed(w);
	return !(flags & O_PATH) && !(S_ISREG(walk_type(w)) || S_ISLNK(walk_type(w)));
}

/* -EAGAIN: needs the lock for writing. */
static int try_open_reading(CowWalk *w, const CowLoc *at, const char *path, int flags, int *fd)
{
	int rc = walk_run(w, at, path);

	if (rc < 0)
		return rc;
	if (w->fd >= 0) {
		*fd = TAKE_FD(w->fd);
		watch_opened(w, NULL, flags);
		if (!w->cur.grant)
			note_reading(w, w->path, flags);
		return 0;
	}
	rc = check_type(w, walk_type(w), flags);
	if (rc < 0 || w->cur.kind == COW_FOREIGN)
		return rc;
	if (!w->cur.grant && needs_record(w, flags) && !(w->flags & W_WRITE))
		return -EAGAIN;
	rc = check_access(w, flags);
	return rc < 0 ? rc : open_found(w, flags, fd);
}

static int open_for_reading(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, const struct open_how *how, CowFile *out)
{
	int flags = (int)how->flags, fd = -1, rc = -EAGAIN;
	unsigned walk_flags = (flags & O_NOFOLLOW ? COW_NOFOLLOW : 0) | (flags & O_DIRECTORY ? COW_DIRECTORY : 0);
	CowWalk w;

	for (int write = 0; write < 2 && rc == -EAGAIN; write++) {
		walk_init(&w, fs, req, walk_flags | (write ? W_WRITE : W_OPEN), how->resolve);
		w.open_flags = host_flags(flags);
		pthread_rwlock_t *lock = &fs->lock;
		if (write)
			pthread_rwlock_wrlock(lock);
		else
			pthread_rwlock_rdlock(lock);
		rc = try_open_reading(&w, at, path, flags, &fd);
		fs_unlock(fs);
		if (rc == 0 && fd < 0)
			rc = w.cur.foreign->ops->open(w.cur.foreign->ctx, req, w.path, flags, &fd);
		walk_end(&w);
	}
	if (rc == 0)
		*out = (CowFile){.fd = fd};
	return rc;
}

int cowfs_openat(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, const struct open_how *how, CowFile *out)
{
	int flags = (int)how->flags;

	if ((flags & (O_CREAT | O_DIRECTORY | O_PATH)) == (O_CREAT | O_DIRECTORY))
		return -EINVAL; /* as Linux since 6.4; before, it made a regular file */
	if ((flags & O_TMPFILE) == O_TMPFILE && (flags & O_ACCMODE) == O_RDONLY && !(flags & O_PATH))
		return -EINVAL;
	if (flags & O_PATH) {
		struct open_how plain = {.flags = (unsigned)flags & (O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC), .resolve = how->resolve};
		return open_for_reading(fs, req, at, path, &plain, out);
	}
	if ((flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY) || ((flags & O_TMPFILE) == O_TMPFILE && (flags & O_ACCMODE) == O_RDONLY))
		return -EINVAL; /* before any look at the path, as in build_open_flags() */
	if ((flags & O_CREAT) || wants_write(flags))
		return open_for_change(fs, req, at, path, how, out);
	return open_for_reading(fs, req, at, path, how, out);
}

int cowfs_open_loc(Cowfs *fs, const CowReq *req, const CowLoc *loc, int flags, CowFile *out)
{
	CowWalk w;
	int fd = -1;

	if (loc->kind == COW_FOREIGN) {
		int rc = loc->foreign->ops->open(loc->foreign->ctx, req, loc->path, flags, &fd);
		if (rc == 0)
			*out = (CowFile){.fd = fd};
		return rc;
	}
	walk_init(&w, fs, req, COW_EMPTY_PATH | COW_NOFOLLOW | W_WRITE, 0);
	fs_wrlock(fs);
	int rc = walk_run(&w, loc, "");
	if (rc == 0)
		rc = walk_stat(&w, &w.st);
	if (rc == 0) {
		w.st_ok = true;
		rc = check_type(&w, walk_type(&w), flags & ~(O_CREAT | O_EXCL));
	}
	if (rc == 0)
		rc = check_access(&w, flags);
	if (rc == 0)
		rc = open_found(&w, flags & ~(O_CREAT | O_EXCL), &fd);
	fs_unlock(fs);
	walk_end(&w);
	if (rc == 0)
		*out = (CowFile){.fd = fd};
	return rc;
}

/* A foreign directory is opened on the host; the descriptor's own name is the place. */
static int foreign_cwd_place(const CowReq *req, const CowLoc *dir, int *fd, char *path, size_t size)
{
	CLEAN_FD int opened = -1;
	char link[32];

	int rc = dir->foreign->ops->open(dir->foreign->ctx, req, dir->path, O_PATH | O_DIRECTORY, &opened);
	if (rc < 0)
		return rc;
	snprintf(link, sizeof link, "/proc/self/fd/%d", opened);
	ssize_t n = readlink(link, path, size);
	if (n < 0)
		return bv_neg_errno();
	if ((size_t)n >= size)
		return -ERANGE;
	path[n] = '\0';
	*fd = TAKE_FD(opened);
	return 0;
}

int cowfs_cwd_place(Cowfs *fs, const CowReq *req, const CowLoc *dir, int *fd, char *path, size_t size)
{
	CowNode *node = NULL; /* whose marker it is */
	CowWalk w;
	char host[PATH_MAX];
	CLEAN_FD int opened = -1;

	if (dir->kind == COW_FOREIGN)
		return foreign_cwd_place(req, dir, fd, path, size);
	walk_init(&w, fs, req, COW_EMPTY_PATH | W_WRITE, 0);
	fs_wrlock(fs);
	int rc = walk_run(&w, dir, "");
	if (rc == 0 && w.cur.kind == COW_NODE && !S_ISDIR(w.cur.node->mode))
		rc = -ENOTDIR;
	if (rc == 0 && w.cur.kind == COW_NODE)
		rc = node_allows(req, w.cur.node, X_OK);
	bool closed = rc == 0 && walk_denies_search(&w); /* the kernel lets no guest in: a marker stands for it, too */
	if (closed)
		rc = walk_cur_node(&w, &node);
	if (closed && rc == 0)
		rc = open_marker(fs, node, O_RDONLY | O_DIRECTORY, &opened);
	else if (rc == 0)
		rc = open_found(&w, O_PATH | O_DIRECTORY, &opened);
	if (rc == 0 && w.cur.kind == COW_NODE && (w.cur.node->flags & N_MARKER) && (w.cur.node->dir->kids || !w.cur.node->origin))
		node = w.cur.node;
	if (rc == 0 && node) {
		char name[40];
		marker_name(node, name);
		snprintf(host, sizeof host, "%s/%s", fs->mark_dir, name);
	} else if (rc == 0) {
		char buf[PATH_MAX];
		snprintf(host, sizeof host, "%s", walk_host_path(&w, &w.cur, buf));
		if (!w.cur.grant)
			opened_note(fs, host);
	}
	fs_unlock(fs);
	walk_end(&w);
	if (rc == 0 && strlen(host) >= size)
		rc = -ERANGE;
	if (rc == 0) {
		memcpy(path, host, strlen(host) + 1);
		*fd = TAKE_FD(opened);
	}
	return rc;
}
