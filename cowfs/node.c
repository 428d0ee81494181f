/* cowfs/node.c - the index: records, names, identities and origins, and how a record comes to be and dies.
 *
 * Everything that changes needs fs->lock held for writing; finding needs it for reading. node_put alone may be called without it: the last
 * reference is only ever dropped after the record has left all tables. */
#include "internal.h"

/* ---- records ---- */

CowNode *node_new(Cowfs *fs, uint64_t id, mode_t mode)
{
	CowNode *node = calloc(1, sizeof *node);

	(void)fs;
	if (!node)
		return NULL;
	if (S_ISDIR(mode)) {
		node->dir = calloc(1, sizeof *node->dir);
		if (!node->dir) {
			free(node);
			return NULL;
		}
	}
	atomic_init(&node->refs, 1);
	node->id = id;
	node->mode = mode;
	node->vino = COW_INO_BASE + id;
	return node;
}

void node_insert(Cowfs *fs, CowNode *node)
{
	hmap_insert(&fs->nodes, &node->by_id, hash_u64(node->id, 0));
}

CowNode *node_get(CowNode *node)
{
	atomic_fetch_add_explicit(&node->refs, 1, memory_order_relaxed);
	return node;
}

void node_put(CowNode *node)
{
	while (node && atomic_fetch_sub_explicit(&node->refs, 1, memory_order_acq_rel) == 1) {
		CowNode *parent = node->last ? node->last->dir : NULL; /* its reference goes, too: a loop, since trees are deep */
		xattrs_free(node);
		free(node->last);
		free(node->dir);
		free(node->origin);
		free(node->target);
		free(node->base);
		free(node);
		node = parent;
	}
}

CowNode *node_find(Cowfs *fs, uint64_t id)
{
	for (HmapNode *h = hmap_first(&fs->nodes, hash_u64(id, 0)); h; h = hmap_next(h)) {
		CowNode *node = CONTAINER_OF(h, CowNode, by_id);
		if (node->id == id)
			return node;
	}
	return NULL;
}

void node_drop_origin(Cowfs *fs, CowNode *node)
{
	if (!node->origin)
		return;
	hmap_remove(&fs->origins, &node->by_origin);
	free(node->origin);
	node->origin = NULL;
}

int node_set_origin(Cowfs *fs, CowNode *node, const char *origin)
{
	char *copy = strdup(origin);

	if (!copy)
		return -ENOMEM;
	node_drop_origin(fs, node);
	node->origin = copy;
	hmap_insert(&fs->origins, &node->by_origin, hash_bytes(copy, strlen(copy), 2));
	return 0;
}

CowNode *node_by_origin(Cowfs *fs, const char *path, size_t len)
{
	for (HmapNode *h = hmap_first(&fs->origins, hash_bytes(path, len, 2)); h; h = hmap_next(h)) {
		CowNode *node = CONTAINER_OF(h, CowNode, by_origin);
		if (!(node->flags & N_DEAD) && strncmp(node->origin, path, len) == 0 && !node->origin[len])
			return node;
	}
	return NULL;
}

void node_dirty(Cowfs *fs, CowNode *node)
{
	if (!S_ISDIR(node->mode))
		node->flags &= ~(unsigned)N_CARRIED;
	if (node->flags & (N_DIRTY | N_PIN | N_PRIVATE))
		return;
	if (node->names && (node->names->flags & D_PACKED))
		dir_unpack(fs, node->names->dir);
	if (node->flags & N_DIRTY)
		return;
	quota_new_node(fs, node);
	node->flags |= N_DIRTY;
	node_get(node);
	node->dirty_next = NULL;
	*fs->dirty_nodes_end = node;
	fs->dirty_nodes_end = &node->dirty_next;
	if (!(node->flags & N_STORED)) /* a row without a name would lead nowhere */
		for (CowDentry *d = node->names; d; d = d->alias)
			dentry_dirty(fs, d);
	commit_poke(fs);
}

void node_remove(Cowfs *fs, CowNode *node)
{
	if (node->flags & N_GONE)
		return;
	node->flags |= N_GONE | N_DEAD;
	while (node->dir && node->dir->kids)
		dentry_drop(fs, node->dir->kids);
	ident_clear(fs, &node->lower_id);
	ident_clear(fs, &node->own_id);
	if (node->flags & N_MARKER)
		marker_remove(fs, node);
	if (node->flags & N_WATCHED)
		watch_forget(fs, node);
	node_drop_origin(fs, node);
	quota_node_gone(fs, node);
	hmap_remove(&fs->nodes, &node->by_id);
	if (node->blob) {
		quota_gone(fs, node->blob);
		dead_blob_add(fs, node->blob);
	}
	if (node->flags & N_STORED)
		node_dirty(fs, node);
	node_put(node);
}

void node_from_statx(CowNode *node, const struct statx *st)
{
	node->mode = st->stx_mode;
	node->uid = st->stx_uid;
	node->gid = st->stx_gid;
	node->rdev = makedev(st->stx_rdev_major, st->stx_rdev_minor);
	node->atime = (struct timespec){st->stx_atime.tv_sec, st->stx_atime.tv_nsec};
	node->mtime = (struct timespec){st->stx_mtime.tv_sec, st->stx_mtime.tv_nsec};
	node->ctime = (struct timespec){st->stx_ctime.tv_sec, st->stx_ctime.tv_nsec};
	if (st->stx_mask & STATX_BTIME)
		node->btime = (struct timespec){st->stx_btime.tv_sec, st->stx_btime.tv_nsec};
	node->vdev = statx_dev(st);
	node->vino = st->stx_ino;
}

int node_set_base(CowNode *node, const struct statx *st)
{
	if (!node->base && !(node->base = malloc(sizeof *node->base)))
		return -ENOMEM;
	*node->base = (CowIdentity){
		.known = true, .dev = statx_dev(st), .ino = st->stx_ino, .size = st->stx_size,
		.mtime = {st->stx_mtime.tv_sec, st->stx_mtime.tv_nsec}, .ctime = {st->stx_ctime.tv_sec, st->stx_ctime.tv_nsec},
		.mode = st->stx_mode, .uid = st->stx_uid, .gid = st->stx_gid};
	return 0;
}

bool node_is_orphan(const CowNode *node)
{
	return (node->flags & (N_DEAD | N_TMPFILE)) != 0;
}

CowNode *node_parent(const CowNode *node)
{
	return node->names ? node->names->dir : NULL;
}

bool node_is_ancestor(const CowNode *maybe, const CowNode *node)
{
	for (; node; node = node_parent(node))
		if (node == maybe)
			return true;
	return false;
}

/* ---- names ---- */

static uint64_t dentry_hash(uint64_t dir_id, const char *name, size_t len)
{
	return hash_bytes(name, len, hash_u64(dir_id, 1));
}

CowDentry *dentry_find(Cowfs *fs, const CowNode *dir, const char *name, size_t len)
{
	for (HmapNode *h = hmap_first(&fs->dentries, dentry_hash(dir->id, name, len)); h; h = hmap_next(h)) {
		CowDentry *d = CONTAINER_OF(h, CowDentry, hash);
		if (d->dir == dir && d->len == len && memcmp(d->name, name, len) == 0)
			return d;
	}
	return NULL;
}

void dentry_dirty(Cowfs *fs, CowDentry *d)
{
	if (d->flags & D_PACKED)
		dir_unpack(fs, d->dir);
	if ((d->flags & (D_DIRTY | D_PIN)) || (d->dir && (d->dir->flags & (N_PIN | N_PRIVATE))))
		return;
	quota_new_dentry(fs, d);
	d->flags |= D_DIRTY;
	d->dirty_next = NULL;
	*fs->dirty_dentries_end = d;
	fs->dirty_dentries_end = &d->dirty_next;
	if (d->dir && !(d->dir->flags & N_STORED))
		node_dirty(fs, d->dir);
	if (d->node && !(d->node->flags & N_STORED))
		node_dirty(fs, d->node);
	commit_poke(fs);
}

static void forget_last(CowNode *node)
{
	if (!node->last)
		return;
	node_put(node->last->dir);
	free(node->last);
	node->last = NULL;
}

/* Without memory it is not remembered: then the removed object is shown without a path. */
static void remember_last(CowNode *node, const CowDentry *d)
{
	if (!d->dir)
		return;
	node->last = malloc(sizeof *node->last + d->len + 1U);
	if (!node->last)
		return;
	node->last->dir = node_get(d->dir);
	memcpy(node->last->name, d->name, d->len + 1U);
}

static void dentry_attach(CowDentry *d, CowNode *node)
{
	d->node = node;
	d->alias = NULL;
	if (node) {
		forget_last(node);
		d->alias = node->names;
		node->names = d;
	}
}

static void dentry_detach(CowDentry *d)
{
	if (d->node) {
		CowDentry **link = &d->node->names;
		while (*link != d)
			link = &(*link)->alias;
		*link = d->alias;
		if (!d->node->names)
			remember_last(d->node, d);
	}
	d->node = NULL;
}

static CowDentry *dentry_insert(Cowfs *fs, CowNode *dir, const char *name, size_t len)
{
	CowDentry *d = calloc(1, sizeof *d + len + 1);

	if (!d)
		return NULL;
	d->dir = dir;
	d->dir_id = dir->id;
	d->len = (uint8_t)len;
	memcpy(d->name, name, len);
	d->next = dir->dir->kids;
	d->pprev = &dir->dir->kids;
	if (d->next)
		d->next->pprev = &d->next;
	dir->dir->kids = d;
	dir->dir->nkids++;
	hmap_insert(&fs->dentries, &d->hash, dentry_hash(dir->id, name, len));
	return d;
}

/* A name of the host gets another meaning for the first time: keeps what the host had, so that apply can tell whether it changed since. */
int dentry_keep_base(CowDentry *d)
{
	if (d->base || !(d->flags & D_OVER) || !d->node || !d->node->base)
		return 0;
	d->base = malloc(sizeof *d->base);
	if (!d->base)
		return -ENOMEM;
	*d->base = *d->node->base;
	return 0;
}

CowIdentity dentry_base(const CowDentry *d)
{
	const CowIdentity *own = d->node && (d->flags & D_OVER) ? d->node->base : NULL; /* else it is of another name */

	if (d->base && !(own && own->dev == d->base->dev && own->ino == d->base->ino))
		return *d->base;
	return own ? *own : (CowIdentity){0}; /* the newer one, where both are of the same object: copy-up renews it */
}

bool dentry_is_carried(const CowDentry *d, const char *path)
{
	char own[PATH_MAX];

	return d->node && (d->node->flags & N_CARRIED) && d->dir->origin && path_join(own, d->dir->origin, strlen(d->dir->origin), d->name, d->len) > 0 &&
	       strcmp(own, path) == 0;
}

int dentry_set(Cowfs *fs, CowNode *dir, const char *name, size_t len, CowNode *node, unsigned flags)
{
	CowDentry *d = dentry_find(fs, dir, name, len);
	int rc = d ? 0 : dir_load(fs, dir);

	if (rc < 0)
		return rc;
	if (!d)
		d = dentry_find(fs, dir, name, len);
	if (!d && !(d = dentry_insert(fs, dir, name, len)))
		return -ENOMEM;
	if (d->node != node && dentry_keep_base(d) < 0)
		return -ENOMEM;
	if (d->flags & D_PACKED) /* while it still says what the pack does */
		dir_unpack(fs, dir);
	if (node && node->names && (node->names->flags & D_PACKED)) /* what is in a pack has one name */
		dir_unpack(fs, node->names->dir);
	if (d->node)
		dentry_detach(d);
	dentry_attach(d, node);
	if (!(flags & D_PIN))
		d->flags &= (uint8_t)~D_PIN;
	d->flags |= (uint8_t)(flags & ~D_SHELL);
	dir->dir->gen++;
	if (!(flags & D_SHELL))
		dentry_dirty(fs, d);
	return 0;
}

void dentry_free(CowDentry *d)
{
	free(d->base);
	free(d);
}

void dentry_drop(Cowfs *fs, CowDentry *d)
{
	if (d->flags & D_PACKED)
		dir_unpack(fs, d->dir);
	dentry_detach(d);
	*d->pprev = d->next;
	if (d->next)
		d->next->pprev = d->pprev;
	d->dir->dir->nkids--;
	d->dir->dir->gen++;
	hmap_remove(&fs->dentries, &d->hash);
	d->dir = NULL;
	d->flags |= D_GONE;
	if (d->flags & D_DIRTY)
		return; /* the next batch frees it */
	if (d->flags & D_STORED)
		dentry_dirty(fs, d);
	else
		dentry_free(d);
}

/* ---- identities ---- */

static uint64_t ident_hash(dev_t dev, ino_t ino)
{
	return hash_u64(ino, hash_u64(dev, 3));
}

static CowIdent *ident_entry(Cowfs *fs, dev_t dev, ino_t ino)
{
	for (HmapNode *h = hmap_first(&fs->idents, ident_hash(dev, ino)); h; h = hmap_next(h)) {
		CowIdent *ident = CONTAINER_OF(h, CowIdent, hash);
		if (ident->dev == dev && ident->ino == ino)
			return ident;
	}
	return NULL;
}

static CowNode *ident_node(CowIdent *ident)
{
	return ident->own ? CONTAINER_OF(ident, CowNode, own_id) : CONTAINER_OF(ident, CowNode, lower_id);
}

CowNode *ident_find(Cowfs *fs, dev_t dev, ino_t ino)
{
	CowIdent *ident = ident_entry(fs, dev, ino);
	return ident ? ident_node(ident) : NULL;
}

static bool counts_as_lower(CowIdent *ident)
{
	return !ident->own && !S_ISDIR(ident_node(ident)->mode);
}

void ident_clear(Cowfs *fs, CowIdent *ident)
{
	if (!ident->listed)
		return;
	hmap_remove(&fs->idents, &ident->hash);
	ident->listed = false;
	if (counts_as_lower(ident))
		atomic_fetch_sub_explicit(&fs->lower_idents, 1, memory_order_relaxed);
}

void ident_set(Cowfs *fs, CowIdent *ident, CowNode *node, dev_t dev, ino_t ino)
{
	CowIdent *older = ident_entry(fs, dev, ino);

	ident_clear(fs, ident);
	if (older && older != ident)
		ident_clear(fs, older); /* the host used the number again: what had it is gone */
	ident->own = ident == &node->own_id;
	ident->dev = (uint32_t)dev;
	ident->ino = ino;
	ident->listed = true;
	hmap_insert(&fs->idents, &ident->hash, ident_hash(dev, ino));
	if (counts_as_lower(ident))
		atomic_fetch_add_explicit(&fs->lower_idents, 1, memory_order_relaxed);
}

/* ---- records of host objects ---- */

static CowNode *node_of_host(Cowfs *fs, const char *path, const struct statx *st)
{
	CowNode *node = node_new(fs, atomic_fetch_add(&fs->next_id, 1), st->stx_mode);

	if (!node)
		return NULL;
	node_from_statx(node, st);
	if (node_set_base(node, st) < 0 || node_set_origin(fs, node, path) < 0) {
		node_put(node);
		return NULL;
	}
	node->nlink = S_ISDIR(st->stx_mode) ? 0 : (int32_t)st->stx_nlink;
	return node;
}

static int attach_host_node(Cowfs *fs, CowNode *dir, const char *name, size_t len, CowNode *node)
{
	bool shell = S_ISDIR(node->mode); /* says nothing by itself: stored with the first change in it or of it */
	int rc = dentry_set(fs, dir, name, len, node, shell ? D_OVER | D_SHELL : D_OVER);

	node->flags |= dir->flags & N_PRIVATE;
	node_insert(fs, node);
	if (rc < 0) {
		node_remove(fs, node);
		return rc;
	}
	ident_set(fs, &node->lower_id, node, node->vdev, node->vino);
	if (!shell)
		node_dirty(fs, node);
	return 0;
}

static int dir_shell(Cowfs *fs, CowNode *dir, const char *path, const char *name, size_t len, CowNode **out)
{
	struct statx st;
	int rc = lower_statx(fs, NULL, path, &st);

	if (rc < 0)
		return rc;
	if (!S_ISDIR(st.stx_mode))
		return -ENOTDIR;
	CowNode *node = node_of_host(fs, path, &st);
	if (!node)
		return -ENOMEM;
	rc = attach_host_node(fs, dir, name, len, node);
	if (rc < 0)
		return rc;
	*out = node;
	return 0;
}

/* Longest prefix of path that has a record; the root always has. */
static CowNode *nearest_record(Cowfs *fs, const char *path, size_t *len)
{
	for (size_t n = *len; n > 1; n--) {
		if (n != *len && path[n] != '/')
			continue;
		CowNode *node = node_by_origin(fs, path, n);
		if (node) {
			*len = n;
			return node;
		}
	}
	*len = 0;
	return fs->root;
}

int node_for_dir(Cowfs *fs, const char *path, size_t len, CowNode **out)
{
	char prefix[PATH_MAX];
	size_t done = len;
	CowNode *node = len > 1 ? nearest_record(fs, path, &done) : fs->root;

	if (len <= 1 || done == len) {
		*out = node;
		return 0;
	}
	while (done < len) {
		const char *name = path + done + 1;
		size_t n = strcspn(name, "/");

		done = (size_t)(name - path) + MIN(n, len - (size_t)(name - path));
		memcpy(prefix, path, done);
		prefix[done] = '\0';
		int rc = dir_shell(fs, node, prefix, name, done - (size_t)(name - path), &node);
		if (rc < 0)
			return rc;
	}
	*out = node;
	return 0;
}

int node_showing(Cowfs *fs, const char *path, CowNode **out)
{
	size_t len = strlen(path), done = len;
	CowNode *node = len > 1 ? nearest_record(fs, path, &done) : fs->root;

	if (len > 1 && done < len) { /* a name with an entry shows something else there by now, or nothing */
		const char *name = path + done + 1;
		if (!node->origin || dentry_find(fs, node, name, strcspn(name, "/")))
			return -ENOENT;
	}
	return node_for_dir(fs, path, len, out);
}

int node_for_file(Cowfs *fs, CowNode *dir, const char *name, size_t len, const char *path, const struct statx *st, CowNode **out)
{
	CowNode *node = node_of_host(fs, path, st);

	if (!node)
		return -ENOMEM;
	if (S_ISLNK(st->stx_mode)) {
		char text[PATH_MAX];
		ssize_t n = lower_readlink(fs, NULL, path, text, sizeof text);
		node->target = n >= 0 ? strdup(text) : NULL;
		if (!node->target) {
			node_drop_origin(fs, node);
			node_put(node);
			return n < 0 ? (int)n : -ENOMEM;
		}
	}
	int rc = attach_host_node(fs, dir, name, len, node);
	if (rc < 0)
		return rc;
	*out = node;
	return 0;
}

/* ---- the end of a record ---- */

void node_bury(Cowfs *fs, CowNode *node)
{
	CowNode **grave = &fs->graves[fs->grave_at++ % COW_GRAVES];

	node->flags |= N_DEAD;
	if (*grave)
		node_remove(fs, *grave);
	*grave = node;
	if (node->flags & N_STORED)
		node_dirty(fs, node);
}

void node_unlinked(Cowfs *fs, CowNode *node)
{
	if (!S_ISDIR(node->mode)) {
		node->nlink--;
		node->have |= OV_NLINK;
		node->ctime = cow_now();
		node->have |= OV_CTIME;
		node_dirty(fs, node);
		if (node->nlink > 0)
			return;
	}
	node->nlink = 0;
	node->flags |= N_DEAD;
	node->have |= OV_NLINK;
	quota_node_gone(fs, node);
	if (!node->blob)
		node_bury(fs, node);
	else if (!orphan_drop_new(fs, node))
		orphan_add(fs, node);
}

void fs_free_index(Cowfs *fs)
{
	HMAP_FOREACH_SAFE (&fs->dentries, h, next_d)
		dentry_free(CONTAINER_OF(h, CowDentry, hash));
	HMAP_FOREACH_SAFE (&fs->nodes, h, next_n) {
		CowNode *node = CONTAINER_OF(h, CowNode, by_id);
		node_put(node);
	}
	hmap_release(&fs->dentries);
	hmap_release(&fs->nodes);
	hmap_release(&fs->idents);
	hmap_release(&fs->origins);
}
