/* cowfs/pins.c - what the front end lays over the view: grants, hidden names, private directories, devices, foreign file systems.
 *
 * A pin is a record or a whiteout that is not stored (N_PIN, D_PIN). Its ancestors get ordinary records. Pins are laid before the first
 * guest runs, but for hidden names, which may come later. What guests make inside a pinned directory is a child of a record that is not stored, so it is not stored either: /dev and
 * /dev/shm start empty with each run. */
#include "internal.h"

static const CowCred root_cred = {.uid = 0};
static const CowReq pin_req = {.cred = &root_cred, .may_block = true};

/* Walks to the parent. 0: w->dir, w->found and w->last are set; 1: an ancestor is missing. fs->lock is held for writing on return. */
static int find_place(CowWalk *w, Cowfs *fs, const char *path)
{
	int rc = fs->pending ? cowfs_commit(fs, false) : 0; /* what is covered from now on must be in the database as it was */

	walk_init(w, fs, &pin_req, W_PARENT | W_WRITE | COW_NOFOLLOW, 0);
	fs_wrlock(fs);
	if (rc == 0)
		rc = walk_run(w, NULL, path);
	const CowDentry *d = rc == 0 && w->found && w->dir.kind == COW_NODE ? dentry_find(fs, w->dir.node, w->last, w->nlast) : NULL;
	if (d && (d->flags & D_PACKED) && fs->writer_runs) { /* a pack would go with the next change beside it, and with it what is covered */
		dir_unpack(fs, w->dir.node);
		fs_unlock(fs);
		walk_end(w);
		return find_place(w, fs, path);
	}
	return rc == -ENOENT || rc == -ENOTDIR ? 1 : rc;
}

static int leave(CowWalk *w, int rc)
{
	fs_unlock(w->fs);
	walk_end(w);
	return rc;
}

/* Puts node (or a hiding whiteout) under the name; `over`: the host has the name, too. What was there keeps what it needs to know about the host. */
static int lay_at(Cowfs *fs, CowNode *dir, const char *name, size_t len, CowNode *node, unsigned flags, bool over)
{
	CowDentry *covered = dentry_find(fs, dir, name, len);

	if (covered && covered->node)
		covered->node->flags |= N_COVERED;
	int rc = dentry_set(fs, dir, name, len, node, flags | D_PIN | (over ? D_OVER : 0));
	if (rc == 0 && node)
		node_insert(fs, node);
	return rc;
}

static int lay(CowWalk *w, CowNode *node)
{
	CowNode *dir;
	int rc = w->last_type != LAST_NORM || w->dir.kind == COW_FOREIGN ? -EINVAL : walk_dir_node(w, &dir);

	return rc < 0 ? rc : lay_at(w->fs, dir, w->last, w->nlast, node, 0, w->found);
}

static CowNode *pin_node(CowWalk *w, mode_t mode)
{
	CowNode *node = node_new(w->fs, w->fs->next_pin++, mode);

	if (!node)
		return NULL;
	node->flags = N_PIN | N_PRIVATE;
	node->have = OV_ALL;
	node->nlink = S_ISDIR(mode) ? 2 : 1;
	node->uid = w->fs->fake_root ? 0 : geteuid();
	node->gid = w->fs->fake_root ? 0 : getegid();
	node->atime = node->mtime = node->ctime = node->btime = cow_now();
	node->vdev = w->dir.kind == COW_NODE ? w->dir.node->vdev : w->fs->root->vdev;
	return node;
}

/* ---- what is named by its place on the host ----
 *
 * Hidden names and grants mean objects of the host, so they are found there (symlinks included) and looked for in the view by what its
 * directories rest on: a guest of an earlier run may have renamed a directory above them, or put a symlink in its place. */

/* The canonical host path of the directory that holds `path`, and its last component. -ENOENT, -ENOTDIR, -EINVAL (no such component). */
static int split_on_host(const char *path, char dir[PATH_MAX], const char **name)
{
	const char *slash = strrchr(path, '/');
	CLEAN_FREE char *above = slash ? strndup(path, MAX((size_t)(slash - path), 1U)) : NULL;

	if (slash && !above)
		return -ENOMEM;
	if (!slash || !slash[1] || strcmp(slash + 1, ".") == 0 || strcmp(slash + 1, "..") == 0 || strlen(slash + 1) > NAME_MAX)
		return -EINVAL;
	*name = slash + 1;
	return realpath(above, dir) ? 0 : bv_neg_errno();
}

/* Is this entry the host's object `path`, whatever was changed of it? */
static bool is_of_host(const CowDentry *d, const char *path)
{
	return d->node->origin && strcmp(d->node->origin, path) == 0;
}

/* -EAGAIN: what would be covered is not in the database yet as it is now; a commit, and again. */
static int hide_name(Cowfs *fs, const char *above, const char *name, const char *path, bool on_host)
{
	size_t len = strlen(name);
	CowNode *dir;

	fs_wrlock(fs);
	int rc = node_showing(fs, above, &dir);
	CowDentry *d = rc == 0 ? dentry_find(fs, dir, name, len) : NULL;
	bool is_own = d && d->node && !is_of_host(d, path);
	if (is_own)
		d->flags |= D_HIDE; /* the guest has made it, in an earlier run or before this was to be hidden */
	else if (d && !d->node && (d->flags & D_HIDE))
		rc = 0; /* it is hidden */
	else if (d && (d->flags & D_DIRTY) && fs->pending)
		rc = -EAGAIN;
	else if (rc == 0)
		rc = lay_at(fs, dir, name, len, NULL, D_HIDE, on_host);
	fs_unlock(fs);
	return rc;
}

/* Nothing there that could be hidden, or be seen by anybody of our rights. */
static bool is_nothing(int rc)
{
	return rc == -ENOENT || rc == -ENOTDIR || rc == -EACCES || rc == -ELOOP;
}

int cowfs_pin_hide(Cowfs *fs, const char *path)
{
	char above[PATH_MAX], own[PATH_MAX], target[PATH_MAX];
	const char *name = NULL;
	struct statx st;
	int rc = split_on_host(path, above, &name);

	if (rc < 0)
		return is_nothing(rc) ? 0 : rc;
	ssize_t len = path_join(own, above, strlen(above), name, strlen(name));
	if (len < 0)
		return (int)len;
	bool on_host = lower_statx(fs, NULL, own, &st) == 0; /* if not: the host may make it later */
	do
		rc = hide_name(fs, above, name, own, on_host);
	while (rc == -EAGAIN && (rc = cowfs_commit(fs, false)) == 0);
	if (rc < 0)
		return is_nothing(rc) ? 0 : rc;
	if (on_host && S_ISLNK(st.stx_mode) && realpath(own, target)) /* what is to stay secret is behind the link */
		return cowfs_pin_hide(fs, target);
	return 0;
}

/* The canonical path of an object of the host of this type. -ENOTDIR, -ENOTSOCK: it is of another one. */
static int host_object(Cowfs *fs, const char *path, mode_t type, char host[PATH_MAX])
{
	struct statx st;

	if (!realpath(path, host))
		return bv_neg_errno();
	int rc = lower_statx(fs, NULL, host, &st);
	if (rc == 0 && (st.stx_mode & S_IFMT) != type)
		rc = type == S_IFDIR ? -ENOTDIR : -ENOTSOCK;
	return rc;
}

static int add_grant(CowGrant **list, const char *host, bool writable)
{
	CowGrant *grant = calloc(1, sizeof *grant + strlen(host) + 1);

	if (!grant)
		return -ENOMEM;
	grant->writable = writable;
	grant->len = strlen(host);
	memcpy(grant->path, host, grant->len + 1);
	grant->next = *list;
	*list = grant;
	return 0;
}

int cowfs_pin_grant(Cowfs *fs, const char *path, bool writable)
{
	char host[PATH_MAX];
	CowNode *node;
	int rc = host_object(fs, path, S_IFDIR, host);

	if (rc < 0)
		return rc;
	fs_wrlock(fs);
	rc = node_showing(fs, host, &node);
	if (rc == 0 && node->dir->foreign)
		rc = -EINVAL;
	if (rc == 0 && (rc = add_grant(&fs->grants, host, writable)) == 0)
		node->dir->grant = fs->grants;
	fs_unlock(fs);
	return rc;
}

int cowfs_find_socket(Cowfs *fs, const char *path, CowSockets **list)
{
	char host[PATH_MAX];
	int rc = host_object(fs, path, S_IFSOCK, host);

	return rc < 0 ? rc : add_grant(list, host, false);
}

void cowfs_pin_sockets(Cowfs *fs, CowSockets *list)
{
	fs_wrlock(fs);
	CowGrant *before = fs->sockets;
	fs->sockets = list;
	fs_unlock(fs);
	grants_free(before);
}

void cowfs_free_sockets(CowSockets *list)
{
	grants_free(list);
}

int cowfs_pin_dir(Cowfs *fs, const char *path, mode_t mode)
{
	CowWalk w;
	int rc = find_place(&w, fs, path);

	if (rc != 0)
		return leave(&w, rc > 0 ? -ENOENT : rc);
	CowNode *node = pin_node(&w, S_IFDIR | (mode & 07777));
	if (node)
		node->vdev = makedev(0, 0xfffff - fs->pinned_dirs++); /* far from what the kernel gives out */
	rc = node ? lay(&w, node) : -ENOMEM;
	if (rc < 0)
		node_put(node);
	return leave(&w, rc);
}

int cowfs_pin_symlink(Cowfs *fs, const char *path, const char *target)
{
	CowWalk w;
	int rc = find_place(&w, fs, path);

	if (rc != 0)
		return leave(&w, rc > 0 ? -ENOENT : rc);
	CowNode *node = pin_node(&w, S_IFLNK | 0777);
	if (node)
		node->target = strdup(target);
	rc = node && node->target ? lay(&w, node) : -ENOMEM;
	if (rc < 0)
		node_put(node);
	return leave(&w, rc);
}

int cowfs_pin_device(Cowfs *fs, const char *path)
{
	struct statx st;
	CowWalk w;
	int rc = lower_statx(fs, NULL, path, &st);

	if (rc < 0)
		return rc;
	rc = find_place(&w, fs, path);
	if (rc != 0)
		return leave(&w, rc > 0 ? -ENOENT : rc);
	CowNode *node = pin_node(&w, st.stx_mode);
	if (!node)
		return leave(&w, -ENOMEM);
	node_from_statx(node, &st);
	node->have = 0;
	node->flags |= N_DEVICE;
	rc = S_ISLNK(st.stx_mode) ? -EINVAL : node_set_origin(fs, node, path);
	if (rc == 0)
		rc = lay(&w, node);
	if (rc < 0) {
		node_drop_origin(fs, node);
		node_put(node);
		return leave(&w, rc);
	}
	ident_set(fs, &node->own_id, node, node->vdev, node->vino);
	return leave(&w, 0);
}

int cowfs_pin_foreign(Cowfs *fs, const char *path, const CowForeignOps *ops, void *ctx, const CowForeign **out)
{
	CowWalk w;
	int rc = find_place(&w, fs, path);

	if (rc != 0)
		return leave(&w, rc > 0 ? -ENOENT : rc);
	CowNode *node = pin_node(&w, S_IFDIR | 0555);
	CowForeign *foreign = calloc(1, sizeof *foreign);
	rc = node && foreign ? lay(&w, node) : -ENOMEM;
	if (rc < 0) {
		node_put(node);
		free(foreign);
		return leave(&w, rc);
	}
	*foreign = (CowForeign){.ops = ops, .ctx = ctx, .node = node, .next = fs->foreigns};
	node->dir->foreign = foreign;
	fs->foreigns = foreign;
	if (out)
		*out = foreign;
	return leave(&w, 0);
}
