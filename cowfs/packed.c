/* cowfs/packed.c - see packed.h: the bytes of packs, and directories that have one. */
#include "packed.h"
#include "meta.h"

/* ---- the bytes ---- */

bool pack_takes_name(const CowRecord *d)
{
	return d->id && !d->flags && !d->base.known;
}

static bool is_time(const struct timespec *t)
{
	return t->tv_nsec >= 0 && t->tv_nsec < 1000000000;
}

static bool is_sound_inode(const CowRecord *r)
{
	if (r->id <= COW_ROOT_ID || r->id >= COW_PIN_IDS || (r->mode & ~0xffffU) || !is_time(&r->atime) || !is_time(&r->mtime) || !is_time(&r->ctime) || !is_time(&r->btime))
		return false;
	return S_ISLNK(r->mode) ? r->value && r->n_value && r->n_value < PATH_MAX && !memchr(r->value, 0, r->n_value) : S_ISREG(r->mode);
}

bool pack_takes_inode(const CowRecord *r)
{
	return !r->flags && !r->name && !r->base.known && r->nlink == 1 && !r->rdev && !r->blob == S_ISLNK(r->mode) && is_sound_inode(r);
}

bool pack_takes_dir(const CowRecord *r)
{
	return S_ISDIR(r->mode) && !r->flags && !r->name;
}

void pack_put_name(Bytes *pack, const char *name, size_t len)
{
	bytes_blob(pack, name, len);
}

static void put_time(Bytes *pack, const struct timespec *t)
{
	bytes_signed(pack, t->tv_sec);
	bytes_varint(pack, (uint64_t)t->tv_nsec);
}

void pack_put_inode(Bytes *pack, const CowRecord *r)
{
	uint64_t vino = r->vino == COW_INO_BASE + r->id ? 0 : r->vino;

	bytes_varint(pack, r->id);
	bytes_varint(pack, r->mode);
	bytes_varint(pack, r->uid);
	bytes_varint(pack, r->gid);
	bytes_varint(pack, r->have & OV_ALL);
	bytes_varint(pack, r->vdev);
	bytes_varint(pack, vino);
	put_time(pack, &r->atime);
	put_time(pack, &r->mtime);
	put_time(pack, &r->ctime);
	put_time(pack, &r->btime);
	if (S_ISLNK(r->mode))
		bytes_blob(pack, r->value, r->n_value);
}

static uint32_t take_u32(Cursor *c)
{
	uint64_t v = cursor_varint(c);

	c->bad |= v > UINT32_MAX;
	return (uint32_t)v;
}

static struct timespec take_time(Cursor *c)
{
	int64_t sec = cursor_signed(c);

	return (struct timespec){.tv_sec = sec, .tv_nsec = (long)cursor_varint(c)};
}

bool pack_take_inode(Cursor *c, CowRecord *r)
{
	*r = (CowRecord){.kind = COW_RECORD_INODE, .id = cursor_varint(c), .nlink = 1};
	r->mode = take_u32(c);
	r->uid = take_u32(c);
	r->gid = take_u32(c);
	r->have = take_u32(c);
	r->vdev = cursor_varint(c);
	r->vino = cursor_varint(c);
	if (!r->vino)
		r->vino = COW_INO_BASE + r->id;
	r->atime = take_time(c);
	r->mtime = take_time(c);
	r->ctime = take_time(c);
	r->btime = take_time(c);
	if (S_ISLNK(r->mode))
		r->value = (const char *)cursor_blob(c, &r->n_value);
	r->blob = S_ISREG(r->mode) ? r->id : 0;
	c->bad |= (r->have & ~(unsigned)OV_ALL) || !is_sound_inode(r);
	return !c->bad;
}

PackReader pack_reader(const void *pack, size_t len)
{
	return (PackReader){.c = cursor_of(pack, len)};
}

int pack_next(PackReader *r, PackItem *out)
{
	if (cursor_done(&r->c))
		return 0;
	*out = (PackItem){.at = r->c.at};
	out->name = (const char *)cursor_blob(&r->c, &out->n_name);
	if (r->c.bad || !name_is_sound(out->name, out->n_name) || (r->last && name_order(r->last, r->n_last, out->name, out->n_name) >= 0) || !pack_take_inode(&r->c, &out->inode))
		return -EUCLEAN;
	r->last = out->name;
	r->n_last = out->n_name;
	return 1;
}

/* ---- directories ---- */

/* Of a pack of which only a part was read nothing stays: the first change of that part would take the whole pack away. Nothing knows them yet, as the lock was not released since. */
static void forget_items(Cowfs *fs, CowNode *dir)
{
	for (CowDentry *d = dir->dir->kids, *next; d; d = next) {
		CowNode *node = d->node;
		next = d->next;
		if (!(d->flags & D_PACKED))
			continue;
		d->flags &= (uint8_t)~(D_PACKED | D_STORED);
		dentry_drop(fs, d);
		node->flags &= ~(unsigned)N_STORED;
		node->blob = 0;
		node_remove(fs, node);
	}
}

int dir_load(Cowfs *fs, CowNode *dir)
{
	if (!(dir->flags & N_PACKED))
		return 0;
	dir->flags &= ~(unsigned)N_PACKED; /* so that names can be set */
	char *err = NULL;
	int rc = meta_load_pack(fs->meta, fs, dir, &err);
	fs->packs_loaded++;
	if (rc == 0) {
		atomic_fetch_sub(&fs->packed_dirs, 1);
	} else {
		forget_items(fs, dir);
		dir->flags |= N_PACKED;
	}
	if (err)
		trouble_note(fs, err);
	return rc == -EUCLEAN ? -EIO : rc;
}

int dir_ready(Cowfs *fs, CowNode *dir)
{
	if (!(dir->flags & N_PACKED))
		return 0;
	fs_unlock(fs);
	fs_wrlock(fs);
	int rc = dir_load(fs, dir);
	fs_unlock(fs);
	fs_rdlock(fs);
	return rc;
}

int dirs_load_all(Cowfs *fs)
{
	size_t n = 0;
	int rc = 0;

	if (!atomic_load(&fs->packed_dirs))
		return 0;
	fs_wrlock(fs);
	CLEAN_FREE CowNode **dirs = malloc((atomic_load(&fs->packed_dirs) + 1) * sizeof *dirs);
	HMAP_FOREACH_SAFE (&fs->nodes, h, next) { /* loading one adds to the table */
		CowNode *node = CONTAINER_OF(h, CowNode, by_id);
		if (dirs && (node->flags & N_PACKED))
			dirs[n++] = node;
	}
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = dir_load(fs, dirs[i]);
	fs_unlock(fs);
	return dirs ? rc : -ENOMEM;
}

void dir_unpack(Cowfs *fs, CowNode *dir)
{
	if (!(dir->flags & N_PACK_ROW))
		return;
	dir->flags = (dir->flags & ~(unsigned)N_PACK_ROW) | N_PACK_GONE;
	node_dirty(fs, dir);
	for (CowDentry *d = dir->dir->kids; d; d = d->next) {
		if (!(d->flags & D_PACKED))
			continue;
		d->flags &= (uint8_t)~D_PACKED;
		dentry_dirty(fs, d);
		node_dirty(fs, d->node);
	}
}
