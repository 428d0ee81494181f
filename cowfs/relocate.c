/* cowfs/relocate.c - origins follow the host when it makes a rename that the sandbox has made before (apply).
 *
 * A renamed object of the host rests on its old path. Once the host has it under the new path, the old one leads nowhere, or to something else.
 * Then the object's own virtual paths are tried, and one is accepted if the host has the very same object (device, inode number, type) there; what lies
 * below the old path is looked for below the new one. Only records whose path on the host differs from their place in the view are looked at. */
#include "internal.h"

static bool is_object(Cowfs *fs, const char *path, const CowNode *node)
{
	struct statx st;

	return lower_statx(fs, NULL, path, &st) == 0 && statx_dev(&st) == node->vdev && st.stx_ino == node->vino &&
	       (st.stx_mode & S_IFMT) == (node->mode & S_IFMT);
}

/* Does the origin differ from that of the directory which the view shows it in? */
static bool is_moved(const CowNode *node)
{
	const CowDentry *d = node->names;

	if (!node->origin || !d || (node->flags & (N_PIN | N_PRIVATE | N_DEAD)))
		return false;
	if (!d->dir->origin)
		return true;
	size_t head = d->dir->origin[1] ? strlen(d->dir->origin) : 0;
	return strncmp(node->origin, d->dir->origin, head) != 0 || node->origin[head] != '/' || strcmp(node->origin + head + 1, d->name) != 0;
}

static int set_origin(Cowfs *fs, CowNode *node, const char *path)
{
	int rc = node_set_origin(fs, node, path);

	if (rc == 0 && !(fs->flags & COWFS_READONLY))
		node_dirty(fs, node);
	return rc;
}

/* The host has its name now, so removing it must leave a whiteout. */
static void note_on_host(Cowfs *fs, CowDentry *d)
{
	d->flags |= D_OVER;
	if (!(fs->flags & COWFS_READONLY))
		dentry_dirty(fs, d);
}

static int relocate_below(Cowfs *fs, const char *old, const char *now)
{
	char path[PATH_MAX];
	size_t len = strlen(old);
	int rc = 0;

	HMAP_FOREACH_SAFE (&fs->nodes, h, tmp) {
		CowNode *node = CONTAINER_OF(h, CowNode, by_id);
		if (rc < 0 || !node->origin || strncmp(node->origin, old, len) != 0 || node->origin[len] != '/')
			continue;
		if (snprintf(path, sizeof path, "%s%s", now, node->origin + len) < (int)sizeof path && is_object(fs, path, node))
			rc = set_origin(fs, node, path);
	}
	return rc;
}

static int relocate(Cowfs *fs, CowNode *node)
{
	char path[PATH_MAX];
	CowDentry *d = is_object(fs, node->origin, node) ? NULL : node->names;

	while (d && (dentry_virtual_path(d, path) < 0 || !is_object(fs, path, node)))
		d = d->alias;
	if (!d)
		return 0;
	CLEAN_FREE char *old = strdup(node->origin);
	int rc = old ? set_origin(fs, node, path) : -ENOMEM;
	if (rc < 0)
		return rc;
	note_on_host(fs, d);
	return S_ISDIR(node->mode) ? relocate_below(fs, old, path) : 0;
}

int origins_relocate(Cowfs *fs)
{
	int rc = 0;

	fs->moved = false;
	HMAP_FOREACH_SAFE (&fs->nodes, h, tmp) {
		CowNode *node = CONTAINER_OF(h, CowNode, by_id);
		if (rc < 0 || !is_moved(node))
			continue;
		fs->moved = true;
		rc = relocate(fs, node);
	}
	return rc;
}
