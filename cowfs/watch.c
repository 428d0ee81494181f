/* cowfs/watch.c - what inotify watches of guests rest on.
 *
 * The kernel raises events for real changes of real objects only. So a directory that a guest watches gets a shadow: a directory in
 * watch_dir with one entry for each visible name, which the watch is put on; from then on each change of names and attributes is done on the
 * shadow, too, and the kernel makes the events, with names, cookies and the guest's mask. The entry of a regular file with a blob is
 * a hard link to that blob, and who opens the file by that name gets it through that link: so native reads and writes raise the
 * directory's events. The entry of an untouched host file is an empty stand-in, whose inode becomes the blob when the file is copied
 * up (an entry cannot be replaced without an event); so is that of a body which is elsewhere, until it is fetched.
 * The watch on a file is on its blob. A second link of that blob in watch_dir (the alias) is what "it was renamed" is done with.
 *
 * Guests hold descriptors of markers and blobs, never of a shadow. Shadows are made and changed under fs->lock held for writing; a step on
 * one that fails (a full disk) loses the event, nothing else. Nothing here is stored: watch_dir ends with the run.
 *
 * Not seen: changes that others make on the host in a watched directory of the view; writes through descriptors opened before the
 * directory was watched; of a directory with more than WATCH_PREFILL names the removal of names beyond those. An untouched host file of more than
 * COWFS_INLINE_COPY bytes is watched itself, without a copy. */
#include "internal.h"

#include <sys/inotify.h>
#include <sys/syscall.h>

#define WATCH_PREFILL 10000

static const char limbo[] = "limbo";

/* A directory's shadow ('w' or 'v') or a blob's alias ('f' or 'g'): renaming to the other letter raises IN_MOVE_SELF. */
static void shadow_name(const CowNode *node, bool other, char out[WATCH_PATH])
{
	bool second = !!(node->flags & N_WATCH_ALT) != other;
	bool dir = S_ISDIR(node->mode);

	snprintf(out, WATCH_PATH, "%c%llx", dir ? (second ? 'v' : 'w') : (second ? 'g' : 'f'), (unsigned long long)(dir ? node->id : node->blob));
}

static void entry_path(const CowNode *dir, const char *name, size_t len, char out[WATCH_PATH])
{
	shadow_name(dir, false, out);
	size_t at = strlen(out);
	snprintf(out + at, WATCH_PATH - at, "/%.*s", (int)len, name);
}

static bool is_watched(const Cowfs *fs, const CowNode *node)
{
	return fs->watches && node && (node->flags & N_WATCHED);
}

static int link_blob(Cowfs *fs, const CowNode *node, const char *at)
{
	BlobPlace place;
	int rc = blob_place(fs->blobs, node->blob, &place);

	if (rc < 0)
		return rc;
	return linkat(place.dirfd, place.name, fs->watch_fd, at, 0) < 0 ? bv_neg_errno() : 0;
}

/* The stand-in of another name of the same file: the body will have both. */
static bool link_stand_in(Cowfs *fs, const CowNode *node, const char *at)
{
	char other[WATCH_PATH];

	for (const CowDentry *d = node->nlink > 1 ? node->names : NULL; d; d = d->alias) {
		entry_path(d->dir, d->name, d->len, other); /* of a directory without a shadow there is none */
		if (linkat(fs->watch_fd, other, fs->watch_fd, at, 0) == 0)
			return true;
	}
	return false;
}

static int make_entry(Cowfs *fs, const CowNode *node, mode_t type, const char *at)
{
	int rc;

	if (node && S_ISREG(type) && ((node->blob && link_blob(fs, node, at) == 0) || link_stand_in(fs, node, at)))
		return 0;
	if (S_ISDIR(type))
		rc = mkdirat(fs->watch_fd, at, 0700);
	else if (S_ISLNK(type))
		rc = symlinkat("-", fs->watch_fd, at);
	else
		rc = mknodat(fs->watch_fd, at, (S_ISFIFO(type) || S_ISSOCK(type) ? type & S_IFMT : S_IFREG) | 0600, 0);
	return rc < 0 ? bv_neg_errno() : 0;
}

/* ---- raising single events ---- */

/* IN_ATTRIB: setting the owner that it has is a change for the kernel. */
static void raise_attrib(Cowfs *fs, const char *at)
{
	IGNORE_RESULT(fchownat(fs->watch_fd, at, geteuid(), (gid_t)-1, AT_SYMLINK_NOFOLLOW)); /* a lost event, nothing else */
}

/* IN_OPEN, IN_CLOSE, and for a directory IN_ACCESS: it is opened to be listed. */
static void raise_open(Cowfs *fs, const char *at)
{
	char buf[1024];
	CLEAN_FD int fd = openat(fs->watch_fd, at, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		IGNORE_RESULT(syscall(SYS_getdents64, fd, buf, sizeof buf)); /* ENOTDIR for files */
}

static void raise_move_self(Cowfs *fs, CowNode *node)
{
	char from[WATCH_PATH], to[WATCH_PATH];

	shadow_name(node, false, from);
	shadow_name(node, true, to);
	if (renameat(fs->watch_fd, from, fs->watch_fd, to) == 0)
		node->flags ^= N_WATCH_ALT;
}

/* ---- putting a watch on ---- */

static bool have_shadows(Cowfs *fs)
{
	if (fs->watch_fd < 0 && fs->watch_dir && bv_mkdir_all(fs->watch_dir) == 0)
		fs->watch_fd = open(fs->watch_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fs->watch_fd >= 0;
}

static int prefill(Cowfs *fs, CowNode *dir)
{
	_Alignas(8) char buf[16384];
	char at[WATCH_PATH];
	uint64_t pos = 0;
	size_t count = 0;
	ssize_t n = dir_load(fs, dir);

	while (n >= 0 && count < WATCH_PREFILL && (n = node_getdents(fs, dir, &pos, buf, sizeof buf)) > 0)
		for (ssize_t i = 0; i < n; count++) {
			const struct dirent64 *e = (const void *)(buf + i);
			size_t len = strlen(e->d_name);
			i += e->d_reclen;
			if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
				continue;
			const CowDentry *d = dentry_find(fs, dir, e->d_name, len);
			entry_path(dir, e->d_name, len, at);
			int rc = make_entry(fs, d ? d->node : NULL, DTTOIF(e->d_type), at);
			if (rc < 0 && rc != -EEXIST)
				return rc;
		}
	return n < 0 ? (int)n : 0;
}

static int watch_dir(Cowfs *fs, CowNode *dir, char at[WATCH_PATH])
{
	shadow_name(dir, false, at);
	if (dir->flags & N_WATCHED)
		return 0;
	if (dir->flags & N_DEAD)
		return -ENOENT;
	if (quota_room(fs, 1) < 0)
		return -ENOSPC; /* inotify(7) knows no EDQUOT */
	if (mkdirat(fs->watch_fd, at, 0700) < 0 && errno != EEXIST)
		return bv_neg_errno();
	int rc = prefill(fs, dir);
	if (rc < 0) {
		IGNORE_RESULT(bv_remove_tree_at(fs->watch_fd, at)); /* what stays ends with the run */
		return rc;
	}
	return 0;
}

/* 1: the host's own file is watched. */
static int watch_file(Cowfs *fs, const CowReq *req, CowWalk *w, CowNode **node, char at[WATCH_PATH])
{
	struct statx st;
	int rc = walk_stat(w, &st);

	if (rc < 0)
		return rc;
	bool has_blob = w->cur.kind == COW_NODE && w->cur.node->blob;
	if (!has_blob && st.stx_size > COWFS_INLINE_COPY)
		return 1;
	rc = walk_cur_node(w, node);
	if (rc == 0)
		rc = (*node)->blob ? body_fetch(fs, req, *node) : copyup_node(fs, req, *node, false);
	if (rc < 0)
		return has_blob ? rc : 1; /* one that cannot be copied can be watched all the same */
	shadow_name(*node, false, at);
	if (!((*node)->flags & N_WATCHED) && link_blob(fs, *node, at) < 0)
		return 1;
	return 0;
}

static int place_locked(Cowfs *fs, const CowReq *req, CowWalk *w, uint32_t mask, int *fd)
{
	char at[WATCH_PATH];
	CowNode *node;
	mode_t type = walk_type(w);
	int rc = 1;

	if (w->cur.kind == COW_FOREIGN || change_place(fs, &w->cur) != 0 || !have_shadows(fs))
		return 1; /* only the host changes it */
	if (S_ISDIR(type)) {
		rc = walk_cur_node(w, &node);
		if (rc == 0)
			rc = watch_dir(fs, node, at);
	} else if (S_ISREG(type)) {
		rc = watch_file(fs, req, w, &node, at);
	}
	if (rc)
		return rc;
	int opened = openat(fs->watch_fd, at, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (opened < 0)
		return bv_neg_errno();
	if (!(node->flags & N_WATCHED))
		fs->watches++;
	node->flags |= N_WATCHED | (mask & (IN_OPEN | IN_ACCESS | IN_CLOSE_NOWRITE) ? N_WATCH_OPENS : 0);
	*fd = opened;
	return 0;
}

int cowfs_watch_place(Cowfs *fs, const CowReq *req, const CowLoc *loc, uint32_t mask, int *fd)
{
	CowFile file;
	CowWalk w;

	walk_init(&w, fs, req, COW_EMPTY_PATH | COW_NOFOLLOW | W_WRITE, 0);
	fs_wrlock(fs);
	int rc = walk_run(&w, loc, "");
	if (rc == 0)
		rc = place_locked(fs, req, &w, mask, fd);
	fs_unlock(fs);
	walk_end(&w);
	if (rc <= 0)
		return rc;
	rc = cowfs_open_loc(fs, req, loc, O_PATH | O_NOFOLLOW, &file);
	if (rc == 0)
		*fd = file.fd;
	return rc;
}

/* ---- changes of names ---- */

void watch_made(Cowfs *fs, const CowNode *dir, const char *name, size_t len, const CowNode *node, bool linked)
{
	char at[WATCH_PATH];

	if (is_watched(fs, dir)) {
		entry_path(dir, name, len, at);
		IGNORE_RESULT(make_entry(fs, node, node->mode, at)); /* a lost event, nothing else */
	} else if (linked && is_watched(fs, node)) {
		shadow_name(node, false, at);
		raise_attrib(fs, at);
	}
}

static void remove_entry(Cowfs *fs, const char *at)
{
	if (unlinkat(fs->watch_fd, at, 0) < 0 && errno == EISDIR)
		IGNORE_RESULT(bv_remove_tree_at(fs->watch_fd, at)); /* a lost event, nothing else */
}

/* The watched file has lost a name that was in no watched directory. Its last one, while nobody has it open, is told of with its end. */
static void file_lost_name(Cowfs *fs, const CowNode *node, bool last)
{
	char at[WATCH_PATH];

	if (last && blob_is_unused(fs, node->blob))
		return;
	shadow_name(node, false, at);
	raise_attrib(fs, at);
}

/* A directory's own end. What it cannot tell of itself any more (its names) was told before. */
static void dir_gone(Cowfs *fs, CowNode *dir)
{
	char at[WATCH_PATH];

	shadow_name(dir, false, at);
	remove_entry(fs, at);
	dir->flags &= ~(unsigned)(N_WATCHED | N_WATCH_OPENS | N_WATCH_ALT);
	fs->watches--;
}

static void self_removed(Cowfs *fs, const CowNode *dir, CowNode *node)
{
	if (!is_watched(fs, node))
		return;
	if (S_ISDIR(node->mode)) {
		dir_gone(fs, node);
		return;
	}
	if (!is_watched(fs, dir))
		file_lost_name(fs, node, node->nlink <= 1);
	if (node->nlink <= 1)
		fs->reap_soon = true;
}

void watch_removed(Cowfs *fs, const CowNode *dir, const char *name, size_t len, CowNode *node)
{
	char at[WATCH_PATH];

	self_removed(fs, dir, node);
	if (!is_watched(fs, dir))
		return;
	entry_path(dir, name, len, at);
	remove_entry(fs, at);
}

typedef struct Side {
	const CowNode *dir;
	const char *name;
	size_t len;
} Side;

/* From a watched directory, or into one, or both. The side that nobody watches is a name in limbo for a moment. */
static void move_entry(Cowfs *fs, const Side *from, const Side *to, const CowNode *node)
{
	char a[WATCH_PATH], b[WATCH_PATH];
	bool out = is_watched(fs, from->dir), in = is_watched(fs, to->dir);

	snprintf(a, sizeof a, "%s", limbo);
	snprintf(b, sizeof b, "%s", limbo);
	if (out)
		entry_path(from->dir, from->name, from->len, a);
	if (in)
		entry_path(to->dir, to->name, to->len, b);
	bool there = out && faccessat(fs->watch_fd, a, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	if (!there) { /* not prefilled, or nobody watches where it was */
		snprintf(a, sizeof a, "%s", limbo);
		if (!in || make_entry(fs, node, node->mode, a) < 0)
			return;
	}
	IGNORE_RESULT(renameat(fs->watch_fd, a, fs->watch_fd, b)); /* a lost event, nothing else */
	remove_entry(fs, limbo);
}

static void moved_self(Cowfs *fs, const Side *from, const Side *to, CowNode *node)
{
	bool moved = !S_ISDIR(node->mode) && (is_watched(fs, from->dir) || is_watched(fs, to->dir)); /* the blob itself was renamed */

	if (is_watched(fs, node) && !moved)
		raise_move_self(fs, node);
}

void watch_moved(Cowfs *fs, const CowWalk *from, const CowNode *from_dir, const CowWalk *to, const CowNode *to_dir, CowNode *node, CowNode *victim)
{
	const Side a = {from_dir, from->last, from->nlast}, b = {to_dir, to->last, to->nlast};

	if (!fs->watches)
		return;
	move_entry(fs, &a, &b, node);
	if (victim)
		self_removed(fs, to_dir, victim);
	moved_self(fs, &a, &b, node);
}

void watch_exchanged(Cowfs *fs, const CowWalk *from, const CowNode *from_dir, const CowWalk *to, const CowNode *to_dir, CowNode *node, CowNode *other)
{
	const Side a = {from_dir, from->last, from->nlast}, b = {to_dir, to->last, to->nlast};
	char x[WATCH_PATH], y[WATCH_PATH];

	if (!fs->watches)
		return;
	if (is_watched(fs, from_dir) && is_watched(fs, to_dir)) {
		entry_path(from_dir, a.name, a.len, x);
		entry_path(to_dir, b.name, b.len, y);
		IGNORE_RESULT(renameat2(fs->watch_fd, x, fs->watch_fd, y, RENAME_EXCHANGE)); /* a lost event, nothing else */
	} else {
		const CowNode *none = NULL;
		const Side nowhere = {none, "", 0};
		move_entry(fs, &a, &nowhere, node);
		move_entry(fs, &b, &nowhere, other);
		move_entry(fs, &nowhere, &b, node);
		move_entry(fs, &nowhere, &a, other);
	}
	moved_self(fs, &a, &b, node);
	moved_self(fs, &b, &a, other);
}

void watch_forget(Cowfs *fs, CowNode *node)
{
	if (S_ISDIR(node->mode)) {
		dir_gone(fs, node);
		return;
	}
	node->flags &= ~(unsigned)(N_WATCHED | N_WATCH_OPENS); /* its alias goes with the blob */
	fs->watches--;
	fs->had_file_watch = true;
}

void watch_blob_removed(Cowfs *fs, BlobId id)
{
	char at[WATCH_PATH];

	if (!fs->had_file_watch)
		return;
	for (int i = 0; i < 2; i++) {
		snprintf(at, sizeof at, "%c%llx", i ? 'g' : 'f', (unsigned long long)id);
		(void)unlinkat(fs->watch_fd, at, 0); /* only watched ones have an alias */
	}
}

/* ---- opening, attributes ---- */

/* The watched directory (if any) and name by which the walk came to cur; of what was named by a descriptor, also one of procfs, one of its names. */
static bool watched_entry(const CowWalk *w, const CowNode *node, unsigned flag, char at[WATCH_PATH])
{
	Cowfs *fs = w->fs;

	if (!fs->watches)
		return false;
	if (w->last_type == LAST_NORM && w->dir.kind != COW_FOREIGN) {
		const CowNode *dir = w->dir.kind == COW_NODE ? w->dir.node : w->dir.kind == COW_LOWER ? node_by_origin(fs, w->path, w->dir.len) : NULL;
		if (!is_watched(fs, dir) || !(dir->flags & flag))
			return false;
		entry_path(dir, w->last, w->nlast, at);
		return true;
	}
	for (const CowDentry *d = node ? node->names : NULL; d; d = d->alias)
		if (is_watched(fs, d->dir) && (d->dir->flags & flag)) {
			entry_path(d->dir, d->name, d->len, at);
			return true;
		}
	return false;
}

/* Who was here and is not has no inode: his number may be another's now. */
static bool is_body(const CowNode *node, const struct stat *st)
{
	return node->own_id.listed && st->st_ino == node->own_id.ino && (uint32_t)st->st_dev == node->own_id.dev;
}

bool watch_entry_of(const CowWalk *w, const CowNode *node, char at[WATCH_PATH])
{
	struct stat st;

	return watched_entry(w, node, N_WATCHED, at) && node->blob && S_ISREG(node->mode) && fstatat(w->fs->watch_fd, at, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       is_body(node, &st);
}

void watch_opened(const CowWalk *w, const CowNode *node, int flags)
{
	char at[WATCH_PATH];
	Cowfs *fs = w->fs;

	if (!fs->watches || (flags & O_PATH))
		return;
	if (watched_entry(w, node, N_WATCH_OPENS, at))
		raise_open(fs, at);
	if (node && S_ISDIR(node->mode) && is_watched(fs, node) && (node->flags & N_WATCH_OPENS)) {
		shadow_name(node, false, at);
		raise_open(fs, at);
	}
}

/* The store does not open it itself, and has to know that it may be changed from now on. */
static void tell_store(Cowfs *fs, BlobId id)
{
	const struct timespec as_they_are[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};

	IGNORE_RESULT(blob_utimens(fs->blobs, id, as_they_are)); /* nothing is done that could fail */
}

int watch_reopen(const CowWalk *w, const CowNode *node, int flags, int *fd)
{
	char at[WATCH_PATH];

	if (!watch_entry_of(w, node, at))
		return -ENOENT;
	int opened = openat(w->fs->watch_fd, at, flags | O_NOFOLLOW | O_CLOEXEC);
	if (opened < 0)
		return bv_neg_errno();
	if ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC))
		tell_store(w->fs, node->blob);
	bv_close_fd(fd);
	*fd = opened;
	return 0;
}

void watch_attrib(const CowWalk *w, const CowNode *node, bool blob_told)
{
	char at[WATCH_PATH];
	struct stat st;
	Cowfs *fs = w->fs;

	if (!fs->watches)
		return;
	bool named = watched_entry(w, node, N_WATCHED, at);
	bool is_blob = named && !S_ISDIR(node->mode) && fstatat(fs->watch_fd, at, &st, AT_SYMLINK_NOFOLLOW) == 0 && is_body(node, &st);
	if (named && !(is_blob && blob_told))
		raise_attrib(fs, at);
	if (is_watched(fs, node) && !is_blob && !blob_told) {
		shadow_name(node, false, at);
		raise_attrib(fs, at);
	}
}

int watch_utimens(Cowfs *fs, BlobId id, const char *at, const struct timespec times[2])
{
	tell_store(fs, id);
	return utimensat(fs->watch_fd, at, times, AT_SYMLINK_NOFOLLOW) < 0 ? bv_neg_errno() : 0;
}

int watch_chmod(Cowfs *fs, BlobId id, const char *at, mode_t mode)
{
	tell_store(fs, id);
	return fchmodat(fs->watch_fd, at, mode, 0) < 0 ? bv_neg_errno() : 0;
}

int watch_truncate(Cowfs *fs, BlobId id, const char *at, uint64_t size)
{
	char path[WATCH_PATH + 40];

	tell_store(fs, id);
	snprintf(path, sizeof path, "/proc/self/fd/%d/%s", fs->watch_fd, at);
	return truncate(path, (off_t)size) < 0 ? bv_neg_errno() : 0;
}

/* ---- bodies that come: by copy-up ---- */

static bool stat_entry(Cowfs *fs, const CowDentry *d, char at[WATCH_PATH], struct stat *st)
{
	if (!is_watched(fs, d->dir))
		return false;
	entry_path(d->dir, d->name, d->len, at);
	return fstatat(fs->watch_fd, at, st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st->st_mode);
}

static nlink_t count_entries(Cowfs *fs, const CowNode *node, ino_t ino)
{
	char at[WATCH_PATH];
	struct stat st;
	nlink_t n = 0;

	for (const CowDentry *d = node->names; d; d = d->alias)
		n += stat_entry(fs, d, at, &st) && st.st_ino == ino;
	return n;
}

/* One that nothing but names of this file has: no body. */
static bool find_stand_in(Cowfs *fs, const CowNode *node, char at[WATCH_PATH])
{
	struct stat st;

	for (const CowDentry *d = fs->watches ? node->names : NULL; d; d = d->alias)
		if (stat_entry(fs, d, at, &st) && st.st_nlink == count_entries(fs, node, st.st_ino))
			return true;
	return false;
}

bool watch_stand_in(Cowfs *fs, CowNode *node, char at[WATCH_PATH])
{
	if ((node->flags & N_WATCH_TAKEN) || !find_stand_in(fs, node, at))
		return false;
	node->flags |= N_WATCH_TAKEN;
	return true;
}

static void aside_name(BlobId id, char out[WATCH_PATH])
{
	snprintf(out, WATCH_PATH, "t%llx", (unsigned long long)id);
}

int watch_adopt(Cowfs *fs, const char *at, BlobId id, mode_t mode, int *fd)
{
	char second[WATCH_PATH];
	BlobPlace place;
	int adopted = -1;

	int rc = blob_place(fs->blobs, id, &place);
	if (rc < 0)
		return rc;
	aside_name(id, second);
	if (linkat(fs->watch_fd, at, fs->watch_fd, second, 0) < 0)
		return bv_neg_errno();
	if (renameat(fs->watch_fd, second, place.dirfd, place.name) < 0) {
		rc = bv_neg_errno();
		(void)unlinkat(fs->watch_fd, second, 0); /* what stays ends with the run */
		return rc;
	}
	rc = blob_chmod(fs->blobs, id, mode);
	if (rc == 0)
		rc = blob_open(fs->blobs, id, O_RDWR | O_TRUNC, &adopted);
	if (rc < 0)
		return rc;
	bv_close_fd(fd);
	*fd = adopted;
	return 0;
}

/* ---- and by fetching ---- */

bool watch_rests_on(const Cowfs *fs, const CowNode *node)
{
	for (const CowDentry *d = fs->watches ? node->names : NULL; d; d = d->alias)
		if (is_watched(fs, d->dir))
			return true;
	return false;
}

bool watch_take_stand_in(Cowfs *fs, const CowNode *node)
{
	char at[WATCH_PATH], aside[WATCH_PATH];

	if (!find_stand_in(fs, node, at))
		return false;
	aside_name(node->blob, aside);
	return linkat(fs->watch_fd, at, fs->watch_fd, aside, 0) == 0;
}

static int fill(Cowfs *fs, int from, int to)
{
	struct stat st;

	if (fstat(from, &st) < 0)
		return bv_neg_errno();
	const struct timespec times[2] = {st.st_atim, st.st_mtim};
	int rc = copy_bytes(fs, from, to, (uint64_t)st.st_size);
	if (rc == 0 && (fchmod(to, st.st_mode & 07777) < 0 || futimens(to, times) < 0))
		rc = bv_neg_errno();
	if (rc == 0 && fs->durable && fsync(to) < 0) /* after a power cut nobody would know that it was only fetched */
		rc = bv_neg_errno();
	return rc;
}

int watch_fill(Cowfs *fs, BlobId id)
{
	CLEAN_FD int from = -1;
	char aside[WATCH_PATH];
	int rc = blob_open(fs->blobs, id, O_RDONLY, &from);

	if (rc < 0)
		return rc;
	aside_name(id, aside);
	CLEAN_FD int to = openat(fs->watch_fd, aside, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0)
		return bv_neg_errno();
	rc = fill(fs, from, to);
	if (rc < 0)
		IGNORE_RESULT(ftruncate(to, 0)); /* a stand-in as before */
	return rc;
}

void watch_end_fill(Cowfs *fs, BlobId id, bool takes_place)
{
	char aside[WATCH_PATH];
	BlobPlace place;

	aside_name(id, aside);
	if (!takes_place || blob_place(fs->blobs, id, &place) < 0 || renameat(fs->watch_fd, aside, place.dirfd, place.name) < 0)
		IGNORE_RESULT(unlinkat(fs->watch_fd, aside, 0)); /* what stays ends with the run */
}
