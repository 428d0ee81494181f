/* cowfs/meta_import.c - records as the rows and packs of a new database; see records.h.
 *
 * What can be in packs (packed.h) is kept until all records are known, as the names of a snapshot come before their inodes. That is bounded: what is beyond HELD_MAX becomes rows at once. */
#include "meta_db.h"
#include "packed.h"
#include "unchanged.h"

#include "base/hmap.h"

#define IMPORT_BATCH ((size_t)4 << 20) /* bytes of rows in one transaction */
#define HELD_MAX ((size_t)64 << 20)

typedef struct BlobTimes {
	BlobId id;
	struct timespec times[2];
} BlobTimes;

typedef struct Origin {
	HmapNode node;
	size_t len;
	char path[];
} Origin;

typedef struct HeldName {
	uint64_t dir, id;
	size_t at; /* in name_bytes */
	uint32_t len;
} HeldName;

typedef struct HeldInode {
	uint64_t id;
	size_t at; /* in inode_bytes, as a pack has it */
	uint32_t len, names;
	bool row; /* it cannot be in a pack after all */
	bool packed;
} HeldInode;

/* A list that grows; `size` is that of its elements. */
typedef struct List {
	void *items;
	size_t n, room;
} List;

/* What may be in packs. */
typedef struct Held {
	Bytes name_bytes, inode_bytes;
	List names, inodes; /* HeldName, HeldInode */
	List dirs;	    /* uint64_t: of directories that may have a pack */
	size_t next_inode;
	List elsewhere;	    /* uint64_t: inodes that rows name, or that have attributes */
} Held;

struct CowImport {
	CowMeta *meta;
	BlobStore *blobs;
	Hmap origins;
	CowBatch batch;
	char *source; /* of remote bodies, or NULL */
	BlobRemote *remote;
	size_t n_remote, room_remote;
	BlobTimes *times; /* given to the blobs when they are full */
	size_t n_times, room_times;
	uint64_t max_id;
	Held held;
};

/* Room for one more at its end; NULL: no memory. */
static void *list_add(List *list, size_t size)
{
	void *grown = bv_grow(list->items, list->n, &list->room, size);

	if (!grown)
		return NULL;
	list->items = grown;
	return (char *)list->items + list->n++ * size;
}

static void held_release(Held *h)
{
	bytes_release(&h->name_bytes);
	bytes_release(&h->inode_bytes);
	free(h->names.items);
	free(h->inodes.items);
	free(h->dirs.items);
	free(h->elsewhere.items);
	*h = (Held){0};
}

void cow_import_free(CowImport *i)
{
	if (!i)
		return;
	meta_close(i->meta);
	blob_close(i->blobs);
	batch_reset(&i->batch);
	held_release(&i->held);
	HMAP_FOREACH_SAFE (&i->origins, n, next)
		free(CONTAINER_OF(n, Origin, node));
	hmap_release(&i->origins);
	for (size_t k = 0; k < i->n_remote; k++)
		free((void *)(uintptr_t)i->remote[k].ref);
	free(i->remote);
	free(i->source);
	free(i->times);
	free(i);
}

int cow_import_begin(const CowfsConfig *config, CowImport **out, char **err)
{
	CowImport *i = calloc(1, sizeof *i);

	if (!i) {
		blob_close(config->blobs);
		return -ENOMEM;
	}
	i->blobs = config->blobs;
	int rc = hmap_init(&i->origins);
	if (rc == 0)
		rc = meta_open(config, &i->meta, err);
	if (rc == 0 && i->meta->db)
		rc = bv_fail(err, -EEXIST, "%s is a database already", config->db_path);
	if (rc < 0) {
		cow_import_free(i);
		return rc;
	}
	*out = i;
	return 0;
}

/* A host path as cowfs itself would have written it: "/", or components that are names. */
static bool is_canonical(const char *path, size_t len)
{
	for (size_t at = 0; at < len && len > 1;) {
		const char *name = path + at + 1, *slash = memchr(name, '/', len - at - 1);
		size_t n = slash ? (size_t)(slash - name) : len - at - 1;
		if (path[at] != '/' || !name_is_sound(name, n))
			return false;
		at += n + 1;
	}
	return len > 0 && path[0] == '/' && !memchr(path, 0, len);
}

/* What is hidden, or granted, is found by the host path that a record rests on: there may be only one for each path, and no other spelling of it. */
static int note_origin(CowImport *i, const CowRecord *r, char **err)
{
	uint64_t hash = hash_bytes(r->name, r->n_name, 0);

	if (!is_canonical(r->name, r->n_name))
		return bv_fail(err, -EBADMSG, "record %llu rests on what is no path", (unsigned long long)r->id);
	for (HmapNode *n = hmap_first(&i->origins, hash); n; n = hmap_next(n)) {
		const Origin *o = CONTAINER_OF(n, Origin, node);
		if (o->len == r->n_name && memcmp(o->path, r->name, o->len) == 0)
			return bv_fail(err, -EBADMSG, "two records rest on %.*s", (int)o->len, o->path);
	}
	Origin *o = malloc(sizeof *o + r->n_name);
	if (!o)
		return -ENOMEM;
	o->len = r->n_name;
	memcpy(o->path, r->name, r->n_name);
	hmap_insert(&i->origins, &o->node, hash);
	return 0;
}

static int note_times(CowImport *i, const CowRecord *r)
{
	if (!BV_GROW(i->times, i->n_times, i->room_times))
		return -ENOMEM;
	i->times[i->n_times++] = (BlobTimes){r->id, {r->atime, r->mtime}};
	return 0;
}

/* The blob gets the number of its inode, which no other one has. */
static int make_blob(CowImport *i, const CowRecord *r, int *fd, char **err)
{
	int rc;

	if (!S_ISREG(r->mode) && !S_ISFIFO(r->mode))
		return bv_fail(err, -EBADMSG, "record %llu has a content, and is no file", (unsigned long long)r->id);
	rc = S_ISREG(r->mode) ? blob_create(i->blobs, r->id, r->mode & 07777, O_WRONLY, fd) : blob_make_node(i->blobs, r->id, r->mode);
	if (rc == -EEXIST)
		return bv_fail(err, -EBADMSG, "record %llu comes twice", (unsigned long long)r->id);
	if (rc == 0)
		rc = note_times(i, r);
	return rc < 0 ? bv_fail(err, rc, "cannot make a file of the sandbox: %s", strerror(-rc)) : 0;
}

int cow_import_remote(CowImport *i, const char *source)
{
	i->source = strdup(source);
	return i->source ? 0 : -ENOMEM;
}

static int note_remote(CowImport *i, const CowRecord *r)
{
	if (!BV_GROW(i->remote, i->n_remote, i->room_remote))
		return -ENOMEM;
	void *ref = malloc(r->n_remote + 1);
	if (!ref)
		return -ENOMEM;
	memcpy(ref, r->remote, r->n_remote);
	i->remote[i->n_remote++] = (BlobRemote){.id = r->id, .size = r->remote_size, .times = {r->atime, r->mtime}, .mode = r->mode & 0777, .ref = ref, .ref_len = r->n_remote};
	return 0;
}

int cow_import_lost(CowImport *i, const CowRecord *r)
{
	int rc = blob_remove(i->blobs, r->id);

	for (size_t k = i->n_times; rc == 0 && k-- > 0;)
		if (i->times[k].id == r->id) {
			i->times[k] = i->times[--i->n_times];
			break;
		}
	return rc < 0 ? rc : note_remote(i, r);
}

int cow_import_each_remote(const CowImport *i, int (*visit)(void *ctx, const void *ref, size_t len), void *ctx)
{
	int rc = 0;

	for (size_t k = 0; k < i->n_remote && rc == 0; k++)
		rc = visit(ctx, i->remote[k].ref, i->remote[k].ref_len);
	return rc;
}

static int write_batch(CowImport *i, bool last, char **err)
{
	i->batch.next_id = i->max_id + 1;
	i->batch.came = last ? MAX((uint64_t)COW_ROOT_ID, i->max_id) : 0;
	int rc = meta_write(i->meta, &i->batch, last, last, false);

	batch_reset(&i->batch);
	return rc < 0 ? bv_fail(err, rc, "cannot write the database %s: %s", i->meta->path, strerror(-rc)) : 0;
}

static int add_row(CowImport *i, const CowRecord *r, char **err)
{
	_Static_assert(COW_RECORD_OVER == (int)D_OVER && COW_RECORD_CARRIED == (int)N_CARRIED && COW_RECORD_HAVE_OWN == (int)(OV_MODE | OV_OWNER), "the index says the same");
	static const CowRowKind kinds[] = {[COW_RECORD_DENTRY] = ROW_DENTRY, [COW_RECORD_INODE] = ROW_INODE, [COW_RECORD_XATTR] = ROW_XATTR};
	CowRow row = {.kind = kinds[r->kind], .id = r->id, .dir = r->dir, .flags = r->flags, .have = r->have, .mode = r->mode, .uid = r->uid, .gid = r->gid,
		      .nlink = r->nlink, .rdev = r->rdev, .vdev = r->vdev, .vino = r->vino ? r->vino : COW_INO_BASE + r->id, .blob = r->blob ? r->id : 0, .atime = r->atime, .mtime = r->mtime,
		      .ctime = r->ctime, .btime = r->btime, .base = r->base};
	int rc = batch_add(&i->batch, &row, r->name, r->n_name, r->value, r->n_value);

	if (rc < 0)
		return bv_fail(err, rc, "out of memory");
	return i->batch.len < IMPORT_BATCH ? 0 : write_batch(i, false, err);
}

/* ---- packs ---- */

static bool has_room(const Held *h)
{
	return h->name_bytes.len + h->inode_bytes.len + h->names.n * sizeof(HeldName) + h->inodes.n * sizeof(HeldInode) < HELD_MAX;
}

static int hold_name(Held *h, const CowRecord *r)
{
	HeldName *name = list_add(&h->names, sizeof *name);

	if (!name)
		return -ENOMEM;
	*name = (HeldName){r->dir, r->id, h->name_bytes.len, (uint32_t)r->n_name};
	bytes_put(&h->name_bytes, r->name, r->n_name);
	return h->name_bytes.failed ? -ENOMEM : 0;
}

static int hold_inode(Held *h, const CowRecord *r)
{
	HeldInode *inode = list_add(&h->inodes, sizeof *inode);
	CowRecord as_row = *r;

	if (!inode)
		return -ENOMEM;
	*inode = (HeldInode){.id = r->id, .at = h->inode_bytes.len};
	if (!as_row.vino)
		as_row.vino = COW_INO_BASE + r->id;
	pack_put_inode(&h->inode_bytes, &as_row);
	inode->len = (uint32_t)(h->inode_bytes.len - inode->at);
	return h->inode_bytes.failed ? -ENOMEM : 0;
}

static int note_id(List *list, uint64_t id)
{
	uint64_t *at = list_add(list, sizeof *at);

	if (at)
		*at = id;
	return at ? 0 : -ENOMEM;
}

/* 1: it is held; 0: it is to be a row. */
static int hold(CowImport *i, const CowRecord *r)
{
	Held *h = &i->held;
	int rc = 0;

	if (r->kind == COW_RECORD_DENTRY && pack_takes_name(r) && has_room(h))
		rc = hold_name(h, r);
	else if (r->kind == COW_RECORD_INODE && pack_takes_inode(r) && has_room(h))
		rc = hold_inode(h, r);
	else if (r->kind == COW_RECORD_INODE)
		return pack_takes_dir(r) ? note_id(&h->dirs, r->id) : 0;
	else
		return r->id ? note_id(&h->elsewhere, r->id) : 0;
	return rc < 0 ? rc : 1;
}

static int by_id(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof x); /* each of these begins with it */
	memcpy(&y, b, sizeof y);
	return (x > y) - (x < y);
}

static void *list_find(const List *list, size_t size, uint64_t id)
{
	return list->n ? bsearch(&id, list->items, list->n, size, by_id) : NULL;
}

/* A snapshot's records come sorted. */
static void list_sort(List *list, size_t size)
{
	const char *items = list->items;
	bool sorted = true;

	for (size_t k = 1; sorted && k < list->n; k++)
		sorted = by_id(items + (k - 1) * size, items + k * size) <= 0;
	if (!sorted)
		qsort(list->items, list->n, size, by_id);
}

/* Mostly it is the one behind that which was found last. */
static HeldInode *held_inode(Held *h, uint64_t id)
{
	HeldInode *inodes = h->inodes.items, *found = NULL;

	if (h->next_inode < h->inodes.n && inodes[h->next_inode].id == id)
		found = &inodes[h->next_inode];
	else
		found = list_find(&h->inodes, sizeof(HeldInode), id);
	if (found)
		h->next_inode = (size_t)(found - inodes) + 1;
	return found;
}

/* Counts the names of each inode that is held. */
static int count_names(Held *h, char **err)
{
	const HeldName *names = h->names.items;
	const HeldInode *inodes = h->inodes.items;
	const uint64_t *elsewhere = h->elsewhere.items;

	list_sort(&h->inodes, sizeof(HeldInode));
	list_sort(&h->dirs, sizeof(uint64_t));
	for (size_t k = 1; k < h->inodes.n; k++)
		if (inodes[k].id == inodes[k - 1].id)
			return bv_fail(err, -EBADMSG, "record %llu comes twice", (unsigned long long)inodes[k].id);
	for (size_t k = 0; k < h->names.n; k++) {
		HeldInode *inode = held_inode(h, names[k].id);
		if (inode)
			inode->names++;
	}
	for (size_t k = 0; k < h->elsewhere.n; k++) {
		HeldInode *inode = held_inode(h, elsewhere[k]);
		if (inode)
			inode->row = true;
	}
	return 0;
}

static bool goes_into_pack(const Held *h, const HeldInode *inode, const Bytes *pack, const HeldName *name)
{
	return inode && inode->names == 1 && !inode->row && name_is_sound((const char *)h->name_bytes.data + name->at, name->len) && pack->len < PACK_MAX;
}

static int add_pack(CowImport *i, uint64_t dir, const Bytes *pack, char **err)
{
	CowRow row = {.kind = ROW_PACK, .dir = dir};

	if (pack->failed || batch_add(&i->batch, &row, NULL, 0, (const char *)pack->data, pack->len) < 0)
		return bv_fail(err, -ENOMEM, "out of memory");
	return i->batch.len < IMPORT_BATCH ? 0 : write_batch(i, false, err);
}

/* The names of one directory, from the first on. */
static int pack_dir(CowImport *i, const HeldName *first, size_t n, char **err)
{
	Held *h = &i->held;
	bool packs = list_find(&h->dirs, sizeof(uint64_t), first->dir) != NULL;
	CLEAN_BYTES Bytes pack = {0};
	int rc = 0;

	for (size_t k = 0; k < n && rc == 0; k++) {
		const HeldName *name = &first[k];
		const char *text = (const char *)h->name_bytes.data + name->at;
		if (k && name[-1].len == name->len && memcmp(h->name_bytes.data + name[-1].at, text, name->len) == 0)
			return bv_fail(err, -EBADMSG, "a name comes twice in directory %llu", (unsigned long long)name->dir);
		HeldInode *inode = packs ? held_inode(h, name->id) : NULL;
		if (goes_into_pack(h, inode, &pack, name)) {
			pack_put_name(&pack, text, name->len);
			bytes_put(&pack, h->inode_bytes.data + inode->at, inode->len);
			inode->packed = true;
		} else {
			CowRecord r = {.kind = COW_RECORD_DENTRY, .dir = name->dir, .id = name->id, .name = text, .n_name = name->len};
			rc = add_row(i, &r, err);
		}
	}
	return rc < 0 || !pack.len ? rc : add_pack(i, first->dir, &pack, err);
}

static int by_name(const void *a, const void *b, void *ctx)
{
	const HeldName *x = a, *y = b;
	const Bytes *bytes = ctx;

	if (x->dir != y->dir)
		return x->dir < y->dir ? -1 : 1;
	return name_order((const char *)bytes->data + x->at, x->len, (const char *)bytes->data + y->at, y->len);
}

/* Everything that was held: as packs, and what cannot be in one as rows. */
static int write_held(CowImport *i, char **err)
{
	Held *h = &i->held;
	HeldName *names = h->names.items;
	int rc = count_names(h, err);

	bool sorted = true;

	for (size_t k = 1; sorted && k < h->names.n; k++)
		sorted = by_name(&names[k - 1], &names[k], &h->name_bytes) <= 0;
	if (rc == 0 && !sorted)
		qsort_r(names, h->names.n, sizeof *names, by_name, &h->name_bytes);
	for (size_t at = 0, n; at < h->names.n && rc == 0; at += n) {
		for (n = 1; at + n < h->names.n && names[at + n].dir == names[at].dir;)
			n++;
		rc = pack_dir(i, names + at, n, err);
	}
	for (size_t k = 0; k < h->inodes.n && rc == 0; k++) {
		const HeldInode *inode = (const HeldInode *)h->inodes.items + k;
		Cursor c = cursor_of(h->inode_bytes.data + inode->at, inode->len);
		CowRecord r;
		if (inode->packed)
			continue;
		rc = pack_take_inode(&c, &r) ? add_row(i, &r, err) : bv_fail(err, -EBADMSG, "record %llu makes no sense", (unsigned long long)inode->id);
	}
	held_release(h);
	return rc;
}

int cow_import_record(CowImport *i, const CowRecord *r, int *fd, char **err)
{
	CLEAN_FD int made = -1;

	if (r->n_name >= PATH_MAX || r->n_value >= (size_t)1 << 24 || r->id > INT64_MAX / 2 || (r->kind == COW_RECORD_INODE && !r->id))
		return bv_fail(err, -EBADMSG, "record %llu makes no sense", (unsigned long long)r->id);
	int rc = r->kind == COW_RECORD_INODE && r->name ? note_origin(i, r, err) : 0;
	if (rc == 0 && r->kind == COW_RECORD_INODE && r->blob)
		rc = i->source && r->remote && S_ISREG(r->mode) ? note_remote(i, r) : make_blob(i, r, &made, err);
	i->max_id = MAX(i->max_id, r->id);
	if (rc == 0 && (rc = hold(i, r)) < 0)
		bv_fail(err, rc, "out of memory");
	if (rc == 0)
		rc = add_row(i, r, err);
	else if (rc > 0)
		rc = 0;
	if (rc == 0)
		*fd = TAKE_FD(made);
	return rc;
}

int cow_import_finish(CowImport *i, char **err)
{
	char closed[PATH_MAX];
	CowState state;

	for (size_t k = 0; k < i->n_times; k++) {
		int rc = blob_utimens(i->blobs, i->times[k].id, i->times[k].times);
		if (rc < 0)
			return bv_fail(err, rc, "cannot set the times of a file of the sandbox: %s", strerror(-rc));
	}
	int rc = i->source && i->n_remote ? blob_put_remote(i->blobs, i->source, i->remote, i->n_remote) : 0;
	if (rc == 0 && i->meta->durable && i->n_times)
		rc = blob_sync(i->blobs, 0);
	if (rc < 0)
		return bv_fail(err, rc, "cannot write the files of the sandbox to the disk: %s", strerror(-rc));
	rc = write_held(i, err);
	if (rc == 0)
		rc = write_batch(i, true, err);
	if (rc == 0 && unchanged_path(i->meta->path, closed))
		unchanged_make(closed, &state); /* nobody has ever seen it */
	return rc;
}
