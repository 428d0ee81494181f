/* cowfs/check.c - the numbered invariants of internal.h, verified. For tests, doctor and fsck: it looks at everything. */
#include "internal.h"
#include "meta.h"

static int bad(char **err, const char *invariant, uint64_t id)
{
	return bv_fail(err, -EUCLEAN, "invariant violated: %s (record %llu)", invariant, (unsigned long long)id);
}

static int check_dentry(Cowfs *fs, const CowDentry *d, char **err)
{
	if (!d->dir || node_find(fs, d->dir->id) != d->dir || !S_ISDIR(d->dir->mode) || d->dir->id != d->dir_id)
		return bad(err, "I1 a name is in a directory of the index", d->dir_id);
	if (dentry_find(fs, d->dir, d->name, d->len) != d)
		return bad(err, "I1 a name is unique in its directory", d->dir_id);
	if (d->node && node_find(fs, d->node->id) != d->node)
		return bad(err, "I1 a name leads to a record of the index", d->dir_id);
	if (d->node && (d->node->flags & N_DEAD))
		return bad(err, "I5 what has a name is not dead", d->node->id);
	return 0;
}

static int check_links(Cowfs *fs, const CowNode *node, char **err)
{
	const CowNode *up = node;
	size_t names = 0, limit = fs->nodes.count + 1;

	for (const CowDentry *d = node->names; d; d = d->alias)
		names++;
	if (node->flags & N_COVERED)
		return 0;
	if (!S_ISDIR(node->mode))
		return (node->have & OV_NLINK) && !node->lower_id.listed && names != (size_t)MAX(0, node->nlink) ? bad(err, "I5 links are names", node->id) : 0;
	if (names > 1)
		return bad(err, "I2 a directory has one name", node->id);
	if (node->flags & N_DEAD)
		return names ? bad(err, "I5 what is dead has no name", node->id) : 0;
	while (up->names && limit--)
		up = up->names->dir;
	return up->id == COW_ROOT_ID || (up->flags & N_COVERED) ? 0 : bad(err, "I2 a directory hangs on the root", node->id);
}

static int check_content(Cowfs *fs, const CowNode *node, char **err)
{
	struct statx st;

	if (S_ISREG(node->mode) && !node->blob && !node->origin && !(node->flags & N_DEAD))
		return bad(err, "I6 a file has content", node->id);
	if (!node->blob)
		return 0;
	int rc = blob_statx(fs->blobs, node->blob, STATX_INO, &st);
	if (rc == -ENOENT)
		return bad(err, "I6 a row names bytes that are there", node->id);
	if (rc < 0) /* which says nothing about them */
		return bv_fail(err, rc, "cannot read the blob store: %s", strerror(-rc));
	if (!(st.stx_mask & STATX_INO))
		return 0; /* not here yet */
	CowNode *found = ident_find(fs, statx_dev(&st), st.stx_ino);
	return found == node ? 0 : bad(err, "I6 a blob has one record", node->id);
}

static int check_index(Cowfs *fs, char **err)
{
	int rc = 0;

	HMAP_FOREACH_SAFE (&fs->dentries, h, next_d)
		rc = rc < 0 ? rc : check_dentry(fs, CONTAINER_OF(h, CowDentry, hash), err);
	HMAP_FOREACH_SAFE (&fs->nodes, h2, next_n) {
		const CowNode *node = CONTAINER_OF(h2, CowNode, by_id);
		rc = rc < 0 ? rc : check_links(fs, node, err);
		rc = rc < 0 ? rc : check_content(fs, node, err);
	}
	return rc;
}

int cowfs_check(Cowfs *fs, char **err)
{
	int rc = cowfs_commit(fs, false);

	if (rc < 0)
		return bv_fail(err, rc, "the last changes could not be written: %s", strerror(-rc));
	fs_rdlock(fs);
	rc = check_index(fs, err);
	fs_unlock(fs);
	return rc < 0 ? rc : meta_check(fs->meta, err);
}
