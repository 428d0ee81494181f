/* cowfs/meta_load.c - from the database to the index, trusting nothing: a row that cannot be true is named and refused (-EUCLEAN).
 *
 * All rows are read in one read transaction, so that a reader beside a running writer sees one commit. */
#include "meta_db.h"
#include "packed.h"

typedef struct Loader {
	CowMeta *meta;
	Cowfs *fs;
	char **err;
	uint64_t max_id;
	struct BlobSet *used; /* drop_unreferenced */
	bool looked_into; /* one directory: the view is in use */
} Loader;

static int damaged(Loader *l, const char *what, uint64_t id)
{
	return bv_fail(l->err, -EUCLEAN, "the database %s is damaged: %s (%llu)", l->meta->path, what, (unsigned long long)id);
}

static int each_row(Loader *l, const char *text, int (*visit)(Loader *l, sqlite3_stmt *stmt))
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(l->meta->db, text, -1, &stmt, NULL), bad = 0;

	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		rc = meta_step(l->meta, stmt);
		if (rc == SQLITE_ROW && (bad = visit(l, stmt)) < 0)
			break;
	}
	if (!bad && rc != SQLITE_DONE)
		bad = meta_failed(l->meta, rc, l->err);
	sqlite3_finalize(stmt);
	return bad;
}

static int take_text(sqlite3_stmt *stmt, int column, size_t max, char **out)
{
	const void *data = sqlite3_column_blob(stmt, column);
	int len = sqlite3_column_bytes(stmt, column);

	if (sqlite3_column_type(stmt, column) == SQLITE_NULL)
		return 0;
	if (len <= 0 || (size_t)len > max || memchr(data, 0, (size_t)len))
		return -EUCLEAN;
	*out = strndup(data, (size_t)len);
	return *out ? 0 : -ENOMEM;
}

static struct timespec time_at(const int64_t *v)
{
	return (struct timespec){.tv_sec = v[0], .tv_nsec = v[1] >= 0 && v[1] < 1000000000 ? v[1] : 0};
}

CowIdentity values_to_base(const int64_t v[META_BASE_VALUES])
{
	return (CowIdentity){.known = true, .dev = (uint64_t)v[0], .ino = (uint64_t)v[1], .size = (uint64_t)v[2], .mtime = time_at(v + 3),
			     .ctime = time_at(v + 5), .mode = (uint32_t)v[7], .uid = (uint32_t)v[8], .gid = (uint32_t)v[9]};
}

static int take_base(CowIdentity **out, const int64_t v[META_BASE_VALUES])
{
	CowIdentity *base = malloc(sizeof *base);

	if (!base)
		return -ENOMEM;
	*base = values_to_base(v);
	*out = base;
	return 0;
}

static int take_dentry_base(CowDentry *d, sqlite3_stmt *stmt)
{
	int64_t v[META_BASE_VALUES];

	if (sqlite3_column_type(stmt, 4) == SQLITE_NULL)
		return 0;
	for (int i = 0; i < META_BASE_VALUES; i++)
		v[i] = sqlite3_column_int64(stmt, 4 + i);
	return take_base(&d->base, v);
}

static void take_values(CowNode *node, const int64_t v[META_VALUES])
{
	node->flags = ((uint32_t)v[0] & (N_PRIVATE | N_CARRIED)) | N_STORED;
	node->have = (uint32_t)v[1] & OV_ALL;
	node->uid = (uid_t)v[3];
	node->gid = (gid_t)v[4];
	node->nlink = (int32_t)v[5];
	node->rdev = (dev_t)v[6];
	node->vdev = (dev_t)v[7];
	node->vino = (ino_t)v[8];
	node->blob = (BlobId)v[9];
	node->atime = time_at(v + 10);
	node->mtime = time_at(v + 12);
	node->ctime = time_at(v + 14);
	node->btime = time_at(v + 16);
}

static int check_node(Loader *l, const CowNode *node)
{
	if (!node->id || (node->id == COW_ROOT_ID && !S_ISDIR(node->mode)) || node_find(l->fs, node->id))
		return damaged(l, "bad record number", node->id);
	if (S_ISLNK(node->mode) ? !node->target : node->target != NULL)
		return damaged(l, "record without the target of its symlink, or with one and no symlink", node->id);
	if (node->origin && (node->origin[0] != '/' || node->blob))
		return damaged(l, "record with a bad origin", node->id);
	if (S_ISREG(node->mode) && !node->blob && !node->origin)
		return damaged(l, "file without content", node->id);
	if (node->blob && !S_ISREG(node->mode) && !S_ISFIFO(node->mode))
		return damaged(l, "content of what is no file", node->id);
	return 0;
}

static int load_inode(Loader *l, sqlite3_stmt *stmt)
{
	CLEAN_FREE char *origin = NULL;
	int64_t v[META_VALUES];
	uint64_t id = (uint64_t)sqlite3_column_int64(stmt, 0);

	for (int i = 0; i < META_VALUES; i++)
		v[i] = sqlite3_column_int64(stmt, 3 + i);
	CowNode *node = node_new(l->fs, id, (mode_t)v[2]);
	if (!node)
		return -ENOMEM;
	take_values(node, v);
	int rc = take_text(stmt, 1, PATH_MAX - 1, &origin);
	if (rc == 0)
		rc = take_text(stmt, 2, PATH_MAX - 1, &node->target);
	if (rc == -EUCLEAN)
		rc = damaged(l, "record with a bad path", id);
	if (rc == 0 && (v[2] & ~0xffffLL))
		rc = damaged(l, "record with a bad mode", id);
	if (rc == 0 && v[18])
		rc = take_base(&node->base, v + 19);
	if (rc == 0 && origin)
		rc = node_set_origin(l->fs, node, origin);
	if (rc == 0)
		rc = check_node(l, node);
	if (rc < 0) {
		node_drop_origin(l->fs, node);
		node_put(node);
		return rc;
	}
	l->max_id = MAX(l->max_id, MAX(id, node->blob));
	node_insert(l->fs, node);
	return 0;
}

static int load_dentry(Loader *l, sqlite3_stmt *stmt)
{
	uint64_t dir_id = (uint64_t)sqlite3_column_int64(stmt, 0), id = (uint64_t)sqlite3_column_int64(stmt, 2);
	const char *name = sqlite3_column_blob(stmt, 1);
	int len = sqlite3_column_bytes(stmt, 1);
	CowNode *dir = node_find(l->fs, dir_id), *node = id ? node_find(l->fs, id) : NULL;

	if (id >= COW_PIN_IDS || dir_id >= COW_PIN_IDS)
		return 0; /* of a pin: it means nothing without it */
	if (!dir || !S_ISDIR(dir->mode))
		return damaged(l, "name in a directory that is not there", dir_id);
	if (id && (!node || node->id == COW_ROOT_ID))
		return damaged(l, "name of a record that is not there", id);
	if (len < 1 || !name_is_sound(name, (size_t)len))
		return damaged(l, "bad name in directory", dir_id);
	if (node && S_ISDIR(node->mode) && node->names)
		return damaged(l, "directory with two names", id);
	if (dentry_find(l->fs, dir, name, (size_t)len))
		return damaged(l, "name that comes twice in directory", dir_id);
	int rc = dentry_set(l->fs, dir, name, (size_t)len, node, ((unsigned)sqlite3_column_int(stmt, 3) & (D_OVER | D_HIDE)) | D_SHELL);
	if (rc < 0)
		return rc;
	CowDentry *d = dentry_find(l->fs, dir, name, (size_t)len);
	d->flags |= D_STORED;
	return take_dentry_base(d, stmt);
}

static int load_xattr(Loader *l, sqlite3_stmt *stmt)
{
	uint64_t id = (uint64_t)sqlite3_column_int64(stmt, 0);
	CowNode *node = node_find(l->fs, id);
	CLEAN_FREE char *name = NULL;
	int rc = take_text(stmt, 1, 255, &name);

	if (rc == -ENOMEM)
		return rc;
	if (!node || rc < 0 || !name)
		return damaged(l, "bad extended attribute of record", id);
	bool deleted = sqlite3_column_type(stmt, 2) == SQLITE_NULL;
	return xattr_set_row(node, name, sqlite3_column_blob(stmt, 2), (size_t)sqlite3_column_bytes(stmt, 2), deleted);
}

/* ---- device numbers ---- */

static const MetaDevice *device_find(const CowMeta *meta, dev_t was)
{
	for (size_t i = 0; i < meta->n_devices; i++)
		if (meta->devices[i].was == was)
			return &meta->devices[i];
	return NULL;
}

static dev_t device_now(const CowMeta *meta, dev_t was)
{
	const MetaDevice *found = device_find(meta, was);

	return found ? found->now : was;
}

/* ---- packs ---- */

static void take_record(const CowMeta *meta, CowNode *node, const CowRecord *r)
{
	node->flags = N_STORED;
	node->have = (uint16_t)r->have;
	node->uid = r->uid;
	node->gid = r->gid;
	node->nlink = r->nlink;
	node->vdev = device_now(meta, (dev_t)r->vdev);
	node->vino = (ino_t)r->vino;
	node->blob = r->blob;
	node->atime = r->atime;
	node->mtime = r->mtime;
	node->ctime = r->ctime;
	node->btime = r->btime;
}

static int identify(Loader *l, CowNode *node);

/* Again after an error: what is there already stays. */
static int load_item(Loader *l, CowNode *dir, const PackItem *item)
{
	const CowRecord *r = &item->inode;
	const CowDentry *there = dentry_find(l->fs, dir, item->name, item->n_name);

	if (there && (there->flags & D_PACKED))
		return 0;
	if (there || node_find(l->fs, r->id))
		return damaged(l, "a pack and a row say different things of a name or record", r->id);
	CowNode *node = node_new(l->fs, r->id, (mode_t)r->mode);
	if (!node)
		return -ENOMEM;
	take_record(l->meta, node, r);
	int rc = !r->value || (node->target = strndup(r->value, r->n_value)) ? identify(l, node) : -ENOMEM;
	if (rc < 0) {
		ident_clear(l->fs, &node->own_id);
		node_put(node);
		return rc;
	}
	node_insert(l->fs, node);
	rc = dentry_set(l->fs, dir, item->name, item->n_name, node, D_SHELL | D_PACKED);
	if (rc < 0) {
		node->flags &= ~(unsigned)N_STORED;
		node->blob = 0;
		node_remove(l->fs, node); /* nothing knows it yet */
		return rc;
	}
	dentry_find(l->fs, dir, item->name, item->n_name)->flags |= D_STORED;
	l->max_id = MAX(l->max_id, r->id);
	return 0;
}

static int load_items(Loader *l, CowNode *dir, const void *pack, int len)
{
	PackReader reader = pack_reader(pack, (size_t)len);
	PackItem item;
	int rc;

	while ((rc = pack_next(&reader, &item)) > 0)
		if ((rc = load_item(l, dir, &item)) < 0)
			return rc;
	return rc == -EUCLEAN ? damaged(l, "the pack of a directory makes no sense", dir->id) : rc;
}

static CowNode *dir_with_pack(Loader *l, sqlite3_stmt *stmt)
{
	CowNode *dir = node_find(l->fs, (uint64_t)sqlite3_column_int64(stmt, 0));

	return dir && S_ISDIR(dir->mode) && !dir->origin ? dir : NULL;
}

static int load_pack(Loader *l, sqlite3_stmt *stmt)
{
	CowNode *dir = dir_with_pack(l, stmt);

	if (!dir)
		return damaged(l, "a pack of what is no new directory", (uint64_t)sqlite3_column_int64(stmt, 0));
	dir->flags |= N_PACK_ROW;
	return load_items(l, dir, sqlite3_column_blob(stmt, 1), sqlite3_column_bytes(stmt, 1));
}

static int note_pack(Loader *l, sqlite3_stmt *stmt)
{
	CowNode *dir = dir_with_pack(l, stmt);

	if (!dir)
		return damaged(l, "a pack of what is no new directory", (uint64_t)sqlite3_column_int64(stmt, 0));
	dir->flags |= N_PACK_ROW | N_PACKED;
	atomic_fetch_add(&l->fs->packed_dirs, 1);
	return 0;
}

static int open_pack_db(CowMeta *meta)
{
	int rc = sqlite3_open_v2(meta->path, &meta->pack_db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);

	if (rc == SQLITE_OK) {
		sqlite3_busy_timeout(meta->pack_db, 5000);
		rc = sqlite3_exec(meta->pack_db, "PRAGMA cache_size=-64", NULL, NULL, NULL); /* KiB: each is read once */
	}
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v3(meta->pack_db, "SELECT items FROM packed WHERE dir = ?", -1, SQLITE_PREPARE_PERSISTENT, &meta->pack_stmt, NULL);
	if (rc != SQLITE_OK)
		sqlite3_close(TAKE_PTR(meta->pack_db));
	return meta_errno(rc);
}

static int load_packs(Loader *l)
{
	if (!l->meta->packs)
		return 0;
	if (!(l->fs->flags & COWFS_LAZY))
		return each_row(l, "SELECT dir, items FROM packed", load_pack);
	int rc = each_row(l, "SELECT dir FROM packed", note_pack);
	if (rc == 0 && atomic_load(&l->fs->packed_dirs) && !l->meta->readonly && (rc = open_pack_db(l->meta)) < 0) /* now: guests may take all descriptors */
		bv_fail(l->err, rc, "cannot open the database %s once more: %s", l->meta->path, strerror(-rc));
	return rc;
}

int meta_load_pack(CowMeta *meta, Cowfs *fs, CowNode *dir, char **err)
{
	Loader l = {.meta = meta, .fs = fs, .err = err, .looked_into = true};
	int rc = 0;

	if (!meta->pack_db)
		return bv_fail(err, -EIO, "the database %s was opened only to be checked", meta->path);
	int got = sqlite3_bind_int64(meta->pack_stmt, 1, (int64_t)dir->id);
	if (got == SQLITE_OK)
		got = meta_step(meta, meta->pack_stmt);
	if (got == SQLITE_ROW)
		rc = load_items(&l, dir, sqlite3_column_blob(meta->pack_stmt, 0), sqlite3_column_bytes(meta->pack_stmt, 0));
	else
		rc = got == SQLITE_DONE ? damaged(&l, "the pack of a directory is gone", dir->id) : bv_fail(err, meta_errno(got), "cannot read the database %s: %s", meta->path, sqlite3_errstr(got));
	sqlite3_reset(meta->pack_stmt);
	return rc;
}

/* ---- after the rows ---- */

/* A device number may differ after a reboot or on another kernel: ask the host once per device. */
static void refresh_devices(Loader *l)
{
	HMAP_FOREACH_SAFE (&l->fs->nodes, h, tmp) {
		CowNode *node = CONTAINER_OF(h, CowNode, by_id);
		struct statx st;
		if (device_find(l->meta, node->vdev) || l->meta->n_devices == ARRAY_LEN(l->meta->devices) || !node->origin || !S_ISDIR(node->mode))
			continue;
		if (lower_statx(l->fs, NULL, node->origin, &st) == 0 && st.stx_ino == node->vino)
			l->meta->devices[l->meta->n_devices++] = (MetaDevice){.was = node->vdev, .now = statx_dev(&st)};
	}
	HMAP_FOREACH_SAFE (&l->fs->nodes, h2, tmp2) {
		CowNode *node = CONTAINER_OF(h2, CowNode, by_id);
		node->vdev = device_now(l->meta, node->vdev);
	}
}

static int lost_content(Loader *l, const CowNode *node)
{
	char path[PATH_MAX];

	if (!node->names || dentry_virtual_path(node->names, path) < 0)
		snprintf(path, sizeof path, "record %llu", (unsigned long long)node->id);
	return bv_fail(l->err, -EUCLEAN, "the sandbox of %s is damaged: the content of %s (blob %llu) is missing; what is left can be looked at and applied", l->meta->path,
		       path, (unsigned long long)node->blob);
}

static int identify(Loader *l, CowNode *node)
{
	struct statx st;

	if (node->base && node->base->known)
		ident_set(l->fs, &node->lower_id, node, node->vdev, node->vino);
	if (!node->blob)
		return 0;
	int rc = blob_statx(l->fs->blobs, node->blob, STATX_INO, &st);
	if (rc == -ENOENT && (l->meta->readonly || l->looked_into)) { /* what is there can be looked at; who opens it is told */
		l->fs->stats.lost++;
		return 0;
	}
	if (rc == -ENOENT)
		return lost_content(l, node);
	if (rc < 0)
		return bv_fail(l->err, rc, "cannot read the blob store: %s", strerror(-rc));
	if (st.stx_mask & STATX_INO) /* it is here */
		ident_set(l->fs, &node->own_id, node, statx_dev(&st), st.stx_ino);
	return 0;
}

static int identify_all(Loader *l)
{
	int rc = 0;

	HMAP_FOREACH_SAFE (&l->fs->nodes, h, tmp)
		rc = rc < 0 ? rc : identify(l, CONTAINER_OF(h, CowNode, by_id));
	return rc;
}

/* I1, I2: all names lead to the root. */
static int check_tree(Loader *l)
{
	size_t limit = l->fs->nodes.count + 1;

	HMAP_FOREACH_SAFE (&l->fs->nodes, h, tmp) {
		CowNode *node = CONTAINER_OF(h, CowNode, by_id), *up = node;
		size_t steps = 0;
		if (!S_ISDIR(node->mode))
			continue;
		while (up->names && steps++ < limit)
			up = up->names->dir;
		if (up->id != COW_ROOT_ID)
			return damaged(l, "directory that does not hang on the root", node->id);
	}
	return 0;
}

typedef struct BlobSet {
	uint64_t *ids;
	size_t count, room;
	uint64_t max;
} BlobSet;

static int note_blob(void *ctx, BlobId id)
{
	BlobSet *set = ctx;

	set->max = MAX(set->max, id);
	if (!BV_GROW(set->ids, set->count, set->room))
		return -ENOMEM;
	set->ids[set->count++] = id;
	return 0;
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

/* Of those that are not in the index. */
static int note_packed_blobs(Loader *l, sqlite3_stmt *stmt)
{
	PackReader reader = pack_reader(sqlite3_column_blob(stmt, 1), (size_t)sqlite3_column_bytes(stmt, 1));
	PackItem item;
	int rc;

	while ((rc = pack_next(&reader, &item)) > 0)
		if (item.inode.blob && (rc = note_blob(l->used, item.inode.blob)) < 0)
			return rc;
	return rc == -EUCLEAN ? damaged(l, "the pack of a directory makes no sense", (uint64_t)sqlite3_column_int64(stmt, 0)) : rc;
}

static int drop_unreferenced(Loader *l)
{
	BlobSet all = {0}, used = {0};
	int rc = blob_iterate(l->fs->blobs, note_blob, &all);

	l->used = &used;
	HMAP_FOREACH_SAFE (&l->fs->nodes, h, tmp) {
		const CowNode *node = CONTAINER_OF(h, CowNode, by_id);
		if (rc == 0 && node->blob)
			rc = note_blob(&used, node->blob);
	}
	if (rc == 0 && atomic_load(&l->fs->packed_dirs))
		rc = each_row(l, "SELECT dir, items FROM packed", note_packed_blobs);
	if (rc == 0 && used.count)
		qsort(used.ids, used.count, sizeof *used.ids, compare_ids);
	for (size_t i = 0; i < all.count && rc == 0; i++)
		if (!used.count || !bsearch(&all.ids[i], used.ids, used.count, sizeof *used.ids, compare_ids))
			rc = blob_remove(l->fs->blobs, all.ids[i]);
	l->max_id = MAX(l->max_id, all.max);
	free(used.ids);
	free(all.ids);
	return rc;
}

static int note_max(void *ctx, BlobId id)
{
	Loader *l = ctx;

	l->max_id = MAX(l->max_id, id);
	return 0;
}

/* Without any row: a run that ended before its first batch may have left blobs. They are no proof of damage, and none of them is needed, but
 * none is removed either. */
static int skip_used_ids(Loader *l)
{
	int rc = l->meta->readonly ? 0 : blob_iterate(l->fs->blobs, note_max, l);

	atomic_store(&l->fs->next_id, MAX((uint64_t)COW_ROOT_ID, l->max_id) + 1);
	return rc;
}

int meta_load(CowMeta *meta, Cowfs *fs, char **err)
{
	Loader l = {.meta = meta, .fs = fs, .err = err};
	int64_t next = 0;

	if (meta->fresh)
		return skip_used_ids(&l);
	int rc = meta_exec(meta, "BEGIN");
	if (rc < 0)
		return bv_fail(err, rc, "cannot read the database %s: %s", meta->path, sqlite3_errmsg(meta->db));
	rc = each_row(&l, "SELECT * FROM inode", load_inode);
	if (rc == 0)
		rc = each_row(&l, "SELECT * FROM dentry", load_dentry);
	if (rc == 0)
		rc = each_row(&l, "SELECT inode, name, value FROM xattr", load_xattr);
	if (rc == 0 && (rc = meta_number(meta, "SELECT value FROM state WHERE key='next_id'", &next)) < 0)
		bv_fail(err, rc, "the database %s is damaged: %s", meta->path, sqlite3_errmsg(meta->db));
	if (rc == 0)
		rc = check_tree(&l);
	if (rc == 0)
		refresh_devices(&l);
	if (rc == 0)
		rc = identify_all(&l);
	if (rc == 0)
		rc = load_packs(&l);
	if (meta_exec(meta, "COMMIT") < 0 && rc == 0)
		rc = bv_fail(err, -EIO, "cannot read the database %s: %s", meta->path, sqlite3_errmsg(meta->db));
	if (rc == 0 && meta->unclean)
		rc = drop_unreferenced(&l);
	atomic_store(&fs->next_id, MAX((uint64_t)next, l.max_id + 1));
	return rc;
}

/* ---- check ---- */

int meta_check(CowMeta *meta, char **err)
{
	CowMeta own = {.path = meta->path, .readonly = true};
	int64_t lost = 0, lost_packs = 0;

	if (!meta->db)
		return 0; /* nothing was written yet */
	int rc = meta_errno(sqlite3_open_v2(meta->path, &own.db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL));

	if (rc == 0)
		rc = meta_integrity(&own, err);
	else
		bv_fail(err, rc, "cannot open the database %s to check it", meta->path);
	if (rc == 0)
		rc = meta_number(&own, "SELECT (SELECT count(*) FROM dentry WHERE inode IS NOT NULL AND inode NOT IN (SELECT id FROM inode))"
				       " + (SELECT count(*) FROM dentry WHERE dir NOT IN (SELECT id FROM inode))"
				       " + (SELECT count(*) FROM xattr WHERE inode NOT IN (SELECT id FROM inode))", &lost);
	if (rc == 0 && meta->packs)
		rc = meta_number(&own, "SELECT count(*) FROM packed WHERE dir NOT IN (SELECT id FROM inode WHERE origin IS NULL)", &lost_packs);
	if (rc < 0 && err && !*err)
		bv_fail(err, rc, "the database %s is damaged: %s", meta->path, sqlite3_errmsg(own.db));
	if (rc == 0 && lost + lost_packs)
		rc = bv_fail(err, -EUCLEAN, "the database %s is damaged: %lld rows lead nowhere", meta->path, (long long)(lost + lost_packs));
	sqlite3_close(own.db);
	return rc;
}
