/* cowfs/remove.c - taking names away: unlink, rmdir, rename. A name that the host has, too, leaves a whiteout. */
#include "grant.h"
#include "internal.h"

static bool is_pinned(const CowWalk *w)
{
	if (w->cur.kind == COW_FOREIGN)
		return w->cur.len == 0;
	/* Below a grant only pins have records: what holds one may not move, as the host would move what the pin hides along. */
	if (w->cur.kind == COW_NODE && w->dir.grant && w->cur.node->dir && w->cur.node->dir->kids)
		return true;
	return w->cur.kind == COW_NODE && ((w->cur.node->flags & N_PIN) || w->cur.node == w->fs->root ||
					   (w->cur.node->dir && w->cur.node->dir->grant));
}

/* may_delete() of the kernel: write permission on the directory, sticky bit. */
static int may_remove(CowWalk *w, const CowNode *dir)
{
	struct statx st;
	int rc = node_allows(w->req, dir, W_OK | X_OK);

	if (rc < 0 || !(dir->mode & S_ISVTX) || cred_owns(w->req->cred, dir->uid))
		return rc;
	rc = walk_stat(w, &st);
	return rc < 0 ? rc : cred_owns(w->req->cred, st.stx_uid) ? 0 : -EPERM;
}

/* The host may have got the name after the sandbox had made its own: by apply, or by itself. */
static bool host_has_it_now(const CowWalk *w, const CowNode *dir)
{
	char path[PATH_MAX];
	struct statx st;

	if (!dir->origin || path_join(path, dir->origin, strlen(dir->origin), w->last, w->nlast) < 0)
		return false;
	int rc = lower_statx(w->fs, NULL, path, &st);
	return rc != -ENOENT && rc != -ENOTDIR && !(rc == -EACCES && dir_hides_name(w->fs, dir->origin, w->last));
}

/* Takes the entry off: whiteout if the host has the name. */
static int entry_remove(CowWalk *w, CowNode *dir)
{
	CowDentry *d = dentry_find(w->fs, dir, w->last, w->nlast);

	if (d && (d->flags & D_HIDE)) { /* the pin again, not a deletion */
		dentry_drop(w->fs, d);
		return dentry_set(w->fs, dir, w->last, w->nlast, NULL, D_OVER | D_HIDE | D_PIN);
	}
	if (d && !(d->flags & D_OVER) && !host_has_it_now(w, dir)) {
		dentry_drop(w->fs, d);
		return 0;
	}
	return dentry_set(w->fs, dir, w->last, w->nlast, NULL, D_OVER);
}

static int remove_record(CowWalk *w, CowNode *dir)
{
	Cowfs *fs = w->fs;
	CowNode *node;
	int rc = walk_cur_node(w, &node);

	if (rc < 0)
		return rc;
	rc = entry_remove(w, dir);
	if (rc < 0)
		return rc;
	if (S_ISDIR(node->mode)) {
		dir->nlink--;
		while (node->dir->kids)
			dentry_drop(fs, node->dir->kids); /* only whiteouts are left */
		if (node->flags & N_MARKER)
			marker_remove(fs, node); /* descriptors of it now see a removed directory */
	}
	watch_removed(fs, dir, w->last, w->nlast, node);
	node_unlinked(fs, node);
	dir_touch(fs, dir);
	return 0;
}

static int unlink_type_check(CowWalk *w, bool want_dir)
{
	bool is_dir = S_ISDIR(walk_type(w));

	if (want_dir)
		return is_dir ? 0 : -ENOTDIR;
	if (w->slash)
		return is_dir ? -EISDIR : -ENOTDIR;
	return is_dir ? -EISDIR : 0;
}

static int unlink_locked(CowWalk *w, bool want_dir)
{
	CowNode *dir;

	if (w->last_type != LAST_NORM)
		return !want_dir ? -EISDIR : w->last_type == LAST_DOT ? -EINVAL : w->last_type == LAST_DOTDOT ? -ENOTEMPTY : -EBUSY;
	int place = w->dir.kind == COW_FOREIGN ? 0 : change_place(w->fs, &w->dir);
	if (place < 0)
		return place;
	if (!w->found)
		return -ENOENT;
	if (w->dir.kind == COW_FOREIGN)
		return want_dir && !S_ISDIR(walk_type(w)) ? -ENOTDIR : -EPERM;
	if (is_pinned(w))
		return -EBUSY;
	if (place == 1)
		return grant_unlink(w, want_dir);
	int rc = walk_dir_node(w, &dir);
	if (rc == 0)
		rc = may_remove(w, dir);
	if (rc == 0)
		rc = unlink_type_check(w, want_dir);
	if (rc == 0 && want_dir)
		rc = dir_is_empty(w->fs, w->cur.kind == COW_NODE ? w->cur.node : NULL, w->path);
	return rc < 0 ? rc : remove_record(w, dir);
}

int cowfs_unlink(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, int flags)
{
	CowWalk w;

	if (flags & ~AT_REMOVEDIR)
		return -EINVAL;
	walk_init(&w, fs, req, COW_NOFOLLOW | W_PARENT | W_WRITE, 0);
	fs_wrlock(fs);
	int rc = walk_run(&w, at, path);
	if (rc == 0)
		rc = unlink_locked(&w, flags & AT_REMOVEDIR);
	fs_unlock(fs);
	walk_end(&w);
	return rc;
}

/* ---- rename ---- */

typedef struct Rename {
	CowWalk *from, *to;
	CowNode *from_dir, *to_dir, *node, *victim; /* victim: what the new name had, or NULL */
	unsigned flags;
	bool from_too_long, to_too_long; /* a name of more than NAME_MAX bytes in a directory that was found */
} Rename;

static int rename_find(Rename *r)
{
	CowWalk *from = r->from, *to = r->to;

	if (from->dir.kind != to->dir.kind && (from->dir.kind == COW_FOREIGN || to->dir.kind == COW_FOREIGN))
		return -EXDEV;
	if (from->last_type != LAST_NORM || to->last_type != LAST_NORM)
		return (r->flags & RENAME_NOREPLACE) && to->last_type != LAST_NORM && from->last_type == LAST_NORM ? -EEXIST : -EBUSY;
	if (r->from_too_long)
		return -ENAMETOOLONG;
	if (!from->found)
		return -ENOENT;
	if (r->to_too_long)
		return -ENAMETOOLONG;
	if ((r->flags & RENAME_NOREPLACE) && to->found)
		return -EEXIST;
	if ((r->flags & RENAME_EXCHANGE) && !to->found)
		return -ENOENT;
	if (from->dir.kind == COW_FOREIGN)
		return from->dir.foreign == to->dir.foreign ? -EPERM : -EXDEV;
	bool from_is_dir = S_ISDIR(walk_type(from)), to_is_dir = to->found && S_ISDIR(walk_type(to));
	if (!from_is_dir && (from->slash || (!(r->flags & RENAME_EXCHANGE) && to->slash)))
		return -ENOTDIR;
	if ((r->flags & RENAME_EXCHANGE) && !to_is_dir && to->slash)
		return -ENOTDIR;
	return is_pinned(from) || (to->found && is_pinned(to)) ? -EBUSY : 0;
}

static int rename_records(Rename *r)
{
	int rc = walk_dir_node(r->from, &r->from_dir);

	if (rc == 0)
		rc = walk_dir_node(r->to, &r->to_dir);
	if (rc == 0 && r->from_dir->vdev != r->to_dir->vdev)
		rc = -EXDEV;
	if (rc == 0)
		rc = walk_changed_node(r->from, &r->node);
	if (rc == 0 && r->to->found)
		rc = walk_cur_node(r->to, &r->victim);
	if (rc < 0)
		return rc;
	if (S_ISDIR(r->node->mode) && node_is_ancestor(r->node, r->to_dir))
		return -EINVAL;
	if (r->victim && S_ISDIR(r->victim->mode) && node_is_ancestor(r->victim, r->from_dir))
		return r->flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	return 0;
}

static int rename_check(Rename *r)
{
	int rc = may_remove(r->from, r->from_dir);

	if (rc < 0)
		return rc;
	rc = r->victim ? may_remove(r->to, r->to_dir) : node_allows(r->to->req, r->to_dir, W_OK | X_OK);
	if (rc == 0 && r->victim && !(r->flags & RENAME_EXCHANGE)) {
		bool dir = S_ISDIR(r->node->mode), onto = S_ISDIR(r->victim->mode);
		if (dir && !onto)
			return -ENOTDIR;
		if (!dir && onto)
			return -EISDIR;
	}
	/* A directory that moves to another parent gets a new "..": it must be writable. */
	if (rc == 0 && S_ISDIR(r->node->mode) && r->from_dir != r->to_dir)
		rc = node_allows(r->from->req, r->node, W_OK);
	if (rc == 0 && (r->flags & RENAME_EXCHANGE) && S_ISDIR(r->victim->mode) && r->from_dir != r->to_dir)
		rc = node_allows(r->from->req, r->victim, W_OK);
	/* The file system itself is the last to be asked. */
	if (rc == 0 && r->victim && !(r->flags & RENAME_EXCHANGE) && S_ISDIR(r->victim->mode) && r->victim != r->node)
		rc = dir_is_empty(r->to->fs, r->victim, NULL);
	return rc;
}

/* After this the change of the two entries allocates nothing more for an entry that is there. */
static int keep_bases(Rename *r)
{
	CowDentry *from = dentry_find(r->from->fs, r->from_dir, r->from->last, r->from->nlast);
	CowDentry *to = dentry_find(r->to->fs, r->to_dir, r->to->last, r->to->nlast);
	int rc = from ? dentry_keep_base(from) : 0;

	return rc == 0 && to ? dentry_keep_base(to) : rc;
}

static int rename_exchange(Rename *r)
{
	Cowfs *fs = r->from->fs;
	bool a = S_ISDIR(r->node->mode), b = S_ISDIR(r->victim->mode);
	int rc = dentry_set(fs, r->from_dir, r->from->last, r->from->nlast, r->victim, 0);

	if (rc == 0)
		rc = dentry_set(fs, r->to_dir, r->to->last, r->to->nlast, r->node, 0);
	if (rc < 0)
		return rc;
	r->from_dir->nlink += b - a;
	r->to_dir->nlink += a - b;
	node_changed(fs, r->victim);
	watch_exchanged(fs, r->from, r->from_dir, r->to, r->to_dir, r->node, r->victim);
	return 0;
}

static int rename_move(Rename *r)
{
	Cowfs *fs = r->from->fs;
	bool is_dir = S_ISDIR(r->node->mode);
	CowDentry *at = dentry_find(fs, r->to_dir, r->to->last, r->to->nlast);

	if (r->victim && S_ISDIR(r->victim->mode))
		while (r->victim->dir->kids)
			dentry_drop(fs, r->victim->dir->kids);
	int rc = dentry_set(fs, r->to_dir, r->to->last, r->to->nlast, r->node, r->victim && !at ? D_OVER : 0);
	if (rc < 0)
		return rc;
	rc = entry_remove(r->from, r->from_dir);
	if (rc < 0)
		return rc;
	if (is_dir) {
		r->from_dir->nlink--;
		r->to_dir->nlink++;
	}
	watch_moved(fs, r->from, r->from_dir, r->to, r->to_dir, r->node, r->victim);
	if (r->victim) {
		if (r->node->blob && !(r->node->flags & N_PRIVATE))
			filled_blob_add(fs, r->node->blob);
		if (S_ISDIR(r->victim->mode)) {
			r->to_dir->nlink--;
			if (r->victim->flags & N_MARKER)
				marker_remove(fs, r->victim);
		}
		node_unlinked(fs, r->victim);
	}
	return 0;
}

static int rename_locked(Rename *r)
{
	Cowfs *fs = r->from->fs;
	int rc = rename_find(r);

	if (rc < 0)
		return rc;
	int from = record_place(fs, &r->from->dir), to = record_place(fs, &r->to->dir);
	if (from < 0 || to < 0)
		return from < 0 ? from : to;
	if (to == 1 && name_is_hidden(r->to))
		return -EACCES;
	if (from == 1 || to == 1)
		return r->from->dir.grant == r->to->dir.grant ? grant_rename(r->from, r->to, r->flags) : -EXDEV;
	rc = rename_records(r);
	if (rc < 0)
		return rc;
	if (r->victim == r->node)
		return 0; /* two names of one file: nothing happens */
	rc = rename_check(r);
	if (rc == 0)
		rc = keep_bases(r);
	if (rc == 0)
		rc = r->flags & RENAME_EXCHANGE ? rename_exchange(r) : rename_move(r);
	if (rc < 0)
		return rc;
	fs->moved = true;
	node_changed(fs, r->node);
	dir_touch(fs, r->from_dir);
	dir_touch(fs, r->to_dir);
	return 0;
}

int cowfs_rename(Cowfs *fs, const CowReq *req, const CowLoc *old_at, const char *old_path, const CowLoc *new_at, const char *new_path, unsigned flags)
{
	CowWalk from, to;
	Rename r = {.from = &from, .to = &to, .flags = flags};

	if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) || flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	walk_init(&from, fs, req, COW_NOFOLLOW | W_PARENT | W_WRITE, 0);
	walk_init(&to, fs, req, COW_NOFOLLOW | W_PARENT | W_WRITE, 0);
	fs_wrlock(fs);
	int rc = walk_run(&from, old_at, old_path);
	/* The second walk may release the lock (foreign file systems): keep what the first one stands on. */
	CowNode *kept[2] = {NULL, NULL};
	if (rc == 0 && from.dir.kind == COW_NODE)
		kept[0] = node_get(from.dir.node);
	if (rc == 0 && from.found && from.cur.kind == COW_NODE)
		kept[1] = node_get(from.cur.node);
	/* Linux walks to both directories first, then compares them and looks at the old name, then at the new one: see rename_find. */
	r.from_too_long = rc == -ENAMETOOLONG && from.in_last;
	if (rc == 0 || r.from_too_long)
		rc = walk_run(&to, new_at, new_path);
	r.to_too_long = rc == -ENAMETOOLONG && to.in_last;
	if (r.to_too_long)
		rc = 0;
	if (rc == 0 && from.last_type == LAST_NORM && kept[1] && (kept[1]->flags & N_DEAD))
		rc = -ENOENT; /* meanwhile; "." may have been removed long ago */
	if (rc == 0)
		rc = rename_locked(&r);
	fs_unlock(fs);
	node_put(kept[0]);
	node_put(kept[1]);
	walk_end(&from);
	walk_end(&to);
	return rc;
}
