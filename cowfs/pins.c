/* cowfs/pins.c - what the front end lays over the view: grants, hidden names, private directories, devices, foreign file systems.
 *
 * A pin is a record or a whiteout that is not stored (N_PIN, D_PIN). Its ancestors get ordinary records. Pins are laid before the first
 * guest runs. What guests make inside a pinned directory is a child of a record that is not stored, so it is not stored either: /dev and
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
	return rc == -ENOENT || rc == -ENOTDIR ? 1 : rc;
}

static int leave(CowWalk *w, int rc)
{
	fs_unlock(w->fs);
	walk_end(w);
	return rc;
}

/* Puts node (or a hiding whiteout) at the place; the entry keeps what it needs to know about the host. */
static int lay(CowWalk *w, CowNode *node, unsigned flags)
{
	CowNode *dir;
	int rc = w->last_type != LAST_NORM || w->dir.kind == COW_FOREIGN ? -EINVAL : walk_dir_node(w, &dir);

	CowDentry *covered = rc == 0 ? dentry_find(w->fs, dir, w->last, w->nlast) : NULL;
	if (covered && covered->node)
		covered->node->flags |= N_COVERED;
	if (rc == 0)
		rc = dentry_set(w->fs, dir, w->last, w->nlast, node, flags | D_PIN | (w->found ? D_OVER : 0));
	if (rc == 0 && node)
		node_insert(w->fs, node);
	return rc;
}

static CowNode *pin_node(CowWalk *w, mode_t mode)
{
	CowNode *node = node_new(w->fs, w->fs->next_pin++, mode);

	if (!node)
		return NULL;
	node->flags = N_PIN | N_PRIVATE;
	node->have = OV_ALL;
	node->nlink = S_ISDIR(mode) ? 2 : 1;
	node->uid = geteuid();
	node->gid = getegid();
	node->atime = node->mtime = node->ctime = node->btime = cow_now();
	node->vdev = w->dir.kind == COW_NODE ? w->dir.node->vdev : w->fs->root->vdev;
	return node;
}

int cowfs_pin_hide(Cowfs *fs, const char *path)
{
	CowWalk w;
	int rc = find_place(&w, fs, path);

	CowDentry *own = rc == 0 && w.dir.kind == COW_NODE ? dentry_find(fs, w.dir.node, w.last, w.nlast) : NULL;
	if (own && own->node && !own->node->origin)
		own->flags |= D_HIDE; /* the guest made its own in an earlier run */
	else if (rc == 0 && w.last_type == LAST_NORM) /* also when nothing is there now: the host may make it later */
		rc = lay(&w, NULL, D_HIDE);
	return leave(&w, MIN(rc, 0));
}

int cowfs_pin_grant(Cowfs *fs, const char *path, bool writable)
{
	CowWalk w;
	CowNode *node = NULL;
	char buf[PATH_MAX];
	struct statx st;

	walk_init(&w, fs, &pin_req, W_WRITE, 0);
	fs_wrlock(fs);
	int rc = walk_run(&w, NULL, path);
	if (rc == 0)
		rc = w.cur.kind == COW_FOREIGN ? -EINVAL : walk_stat(&w, &st);
	if (rc == 0 && !S_ISDIR(st.stx_mode))
		rc = -ENOTDIR;
	if (rc == 0)
		rc = walk_cur_node(&w, &node);
	if (rc == 0 && !node->origin)
		rc = -ENOENT; /* the sandbox's own directory: there is nothing of the host to grant */
	if (rc < 0)
		return leave(&w, rc);
	const char *host = walk_host_path(&w, &w.cur, buf);
	CowGrant *grant = calloc(1, sizeof *grant + strlen(host) + 1);
	if (!grant)
		return leave(&w, -ENOMEM);
	grant->writable = writable;
	grant->len = strlen(host);
	memcpy(grant->path, host, grant->len + 1);
	grant->next = fs->grants;
	fs->grants = grant;
	node->dir->grant = grant;
	return leave(&w, 0);
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
	rc = node ? lay(&w, node, 0) : -ENOMEM;
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
	rc = node && node->target ? lay(&w, node, 0) : -ENOMEM;
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
		rc = lay(&w, node, 0);
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
	rc = node && foreign ? lay(&w, node, 0) : -ENOMEM;
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
