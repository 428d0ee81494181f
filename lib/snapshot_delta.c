/* lib/snapshot_delta.c - see snapshot_delta.h. */
#include "lib/snapshot_delta.h"

#include "base/hmap.h"

typedef struct Row { /* a copy; the bytes follow one another in `bytes` */
	uint8_t *bytes;
	size_t key_len, content_len, value_len;
} Row;

typedef struct Rows { /* in order of keys */
	Row *items;
	size_t count, room;
} Rows;

typedef struct Link { /* a name of `id` is in `dir` */
	uint64_t id, dir;
} Link;

typedef struct Need {
	HmapNode node;
	uint64_t id;
} Need;

typedef struct DeltaSide {
	Delta *delta;
	Rows changed; /* what this side has otherwise than the other */
} DeltaSide;

struct Delta {
	BvSnapshot *after;
	DeltaSide sides[2];
	Rows names;  /* unchanged, but on the way */
	Rows inodes; /* unchanged, but named */
	Link *links;
	size_t n_links, room_links;
	Hmap needed;
	uint64_t *ids; /* of `needed`: first those whose own names were not looked at yet, in the end all, rising */
	size_t n_ids, room_ids;
	bool unrelated;
	char *why;
};

/* ---- lists ---- */

static void rows_release(Rows *rows)
{
	for (size_t i = 0; i < rows->count; i++)
		free(rows->items[i].bytes);
	free(rows->items);
}

static Record record_of(const Row *row)
{
	return (Record){row->bytes, row->bytes + row->key_len, row->bytes + row->key_len + row->content_len, row->key_len, row->content_len, row->value_len};
}

static int rows_add(Rows *rows, const Record *r)
{
	if (!BV_GROW(rows->items, rows->count, rows->room))
		return -ENOMEM;
	Row row = {.bytes = malloc(r->key_len + r->content_len + r->value_len + 1), .key_len = r->key_len, .content_len = r->content_len, .value_len = r->value_len};
	if (!row.bytes)
		return -ENOMEM;
	memcpy(row.bytes, r->key, r->key_len);
	if (r->content_len)
		memcpy(row.bytes + r->key_len, r->content, r->content_len);
	if (r->value_len)
		memcpy(row.bytes + r->key_len + r->content_len, r->value, r->value_len);
	rows->items[rows->count++] = row;
	return 0;
}

static bool rows_have(const Rows *rows, const void *key, size_t len)
{
	size_t low = 0, high = rows->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = key_compare(rows->items[middle].bytes, rows->items[middle].key_len, key, len);
		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static bool is_needed(const Delta *d, uint64_t id)
{
	for (HmapNode *n = hmap_first(&d->needed, hash_u64(id, 0)); n; n = hmap_next(n))
		if (CONTAINER_OF(n, Need, node)->id == id)
			return true;
	return false;
}

static int need(Delta *d, uint64_t id)
{
	if (id == 0 || is_needed(d, id))
		return 0;
	if (!BV_GROW(d->ids, d->n_ids, d->room_ids))
		return -ENOMEM;
	Need *n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->id = id;
	hmap_insert(&d->needed, &n->node, hash_u64(id, 0));
	d->ids[d->n_ids++] = id;
	return 0;
}

static int add_link(Delta *d, uint64_t id, uint64_t dir)
{
	if (id == 0)
		return 0;
	if (!BV_GROW(d->links, d->n_links, d->room_links))
		return -ENOMEM;
	d->links[d->n_links++] = (Link){id, dir};
	return 0;
}

void delta_free(Delta *d)
{
	if (!d)
		return;
	rows_release(&d->sides[0].changed);
	rows_release(&d->sides[1].changed);
	rows_release(&d->names);
	rows_release(&d->inodes);
	HMAP_FOREACH_SAFE (&d->needed, n, next)
		free(CONTAINER_OF(n, Need, node));
	hmap_release(&d->needed);
	free(d->links);
	free(d->ids);
	free(d->why);
	free(d);
}

bool delta_is_empty(const Delta *d)
{
	return d->sides[0].changed.count == 0 && d->sides[1].changed.count == 0;
}

/* ---- what differs ---- */

static int parse(Delta *d, const Record *r, char *kind, uint64_t *id)
{
	const char *name;
	size_t len;

	return record_key_parse(r->key, r->key_len, kind, id, &name, &len) < 0 ? bv_fail(&d->why, -EBADMSG, "it is damaged: a record makes no sense") : 0;
}

/* Two records of one number that are not two states of one object. */
static int check_related(Delta *d, const Record *before, const Record *after)
{
	SnapInode a, b;

	if (snap_inode_decode(before->value, before->value_len, &a) < 0 || snap_inode_decode(after->value, after->value_len, &b) < 0)
		return bv_fail(&d->why, -EBADMSG, "it is damaged: a record makes no sense");
	bool moved = S_ISDIR(a.mode) && (a.origin_len != b.origin_len || (a.origin_len && memcmp(a.origin, b.origin, a.origin_len) != 0));
	if (a.vdev != b.vdev || a.vino != b.vino || (a.mode & S_IFMT) != (b.mode & S_IFMT) || a.btime.tv_sec != b.btime.tv_sec || a.btime.tv_nsec != b.btime.tv_nsec || moved)
		d->unrelated = true;
	return 0;
}

static int note_changed(Delta *d, int side, const Record *r)
{
	uint64_t id;
	char kind;
	SnapDentry name;
	int e = parse(d, r, &kind, &id);

	if (e == 0)
		e = rows_add(&d->sides[side].changed, r);
	if (e == 0)
		e = need(d, id); /* of a name: the directory */
	if (e < 0 || kind != 'd')
		return e;
	if (snap_dentry_decode(r->value, r->value_len, &name) < 0)
		return bv_fail(&d->why, -EBADMSG, "it is damaged: a name makes no sense");
	e = need(d, name.inode);
	return e == 0 ? add_link(d, name.inode, id) : e;
}

static int on_difference(void *ctx, const Record *before, const Record *after)
{
	Delta *d = ctx;

	if (*(const char *)(before ? before : after)->key == 'b')
		return 0; /* what it was made on is no change */
	int r = before ? note_changed(d, 0, before) : 0;

	if (r == 0 && after)
		r = note_changed(d, 1, after);
	if (r == 0 && before && after && ((const char *)before->key)[0] == 'i')
		r = check_related(d, before, after);
	return r == 0 && d->unrelated ? 1 : r;
}

/* ---- what leads there ---- */

static int on_name(Delta *d, const Record *r, uint64_t *dir, uint64_t *id, bool *changed)
{
	SnapDentry name;
	char kind;
	int e = parse(d, r, &kind, dir);

	if (e < 0)
		return e;
	if (snap_dentry_decode(r->value, r->value_len, &name) < 0)
		return bv_fail(&d->why, -EBADMSG, "it is damaged: a name makes no sense");
	*id = name.inode;
	*changed = rows_have(&d->sides[1].changed, r->key, r->key_len);
	return 0;
}

static int note_link(void *ctx, const Record *r)
{
	Delta *d = ctx;
	uint64_t dir = 0, id = 0;
	bool changed = false;
	int e = on_name(d, r, &dir, &id, &changed);

	return e < 0 || changed ? e : add_link(d, id, dir);
}

static int keep_name(void *ctx, const Record *r)
{
	Delta *d = ctx;
	uint64_t dir = 0, id = 0;
	bool changed = false;
	int e = on_name(d, r, &dir, &id, &changed);

	if (e < 0 || changed)
		return e;
	return id ? (is_needed(d, id) ? rows_add(&d->names, r) : 0) : is_needed(d, dir) ? rows_add(&d->names, r) : 0;
}

static int by_id(const void *a, const void *b)
{
	const Link *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* All directories above what is needed: ids grows while it is gone through. */
static int climb(Delta *d)
{
	int r = 0;

	if (d->n_links)
		qsort(d->links, d->n_links, sizeof(*d->links), by_id);
	for (size_t i = 0; r == 0 && i < d->n_ids; i++) {
		size_t low = 0, high = d->n_links;
		while (low < high) {
			size_t middle = (low + high) / 2;
			if (d->links[middle].id < d->ids[i])
				low = middle + 1;
			else
				high = middle;
		}
		for (; r == 0 && low < d->n_links && d->links[low].id == d->ids[i]; low++)
			r = need(d, d->links[low].dir);
	}
	if (d->n_ids)
		qsort(d->ids, d->n_ids, sizeof(*d->ids), by_number);
	return r;
}

/* Those of which both sides have the same record: the later one's reader has read what lies around it. */
static int keep_inodes(Delta *d)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < d->n_ids; i++) {
		uint8_t key[RECORD_KEY_MAX];
		size_t len = record_key_inode(key, d->ids[i]);
		CLEAN_FREE uint8_t *content = NULL, *value = NULL;
		Record record = {.key = key, .key_len = len};
		if (rows_have(&d->sides[0].changed, key, len) || rows_have(&d->sides[1].changed, key, len))
			continue;
		r = snap_reader_find(d->after->reader, key, len, &content, &record.content_len, &value, &record.value_len, &d->why);
		record.content = content;
		record.value = value;
		if (r == 0)
			r = rows_add(&d->inodes, &record);
	}
	return r;
}

static int read_delta(Delta *d, BvSnapshot *before, BvSnapshot *after)
{
	int r = snap_reader_diff(before->reader, after->reader, on_difference, d, &d->why);

	if (r != 0 || delta_is_empty(d))
		return d->unrelated ? 0 : r;
	r = snap_reader_walk(after->reader, "d", 1, note_link, d, &d->why);
	if (r == 0)
		r = climb(d);
	if (r == 0)
		r = snap_reader_walk(after->reader, "d", 1, keep_name, d, &d->why);
	return r == 0 ? keep_inodes(d) : r;
}

int delta_read(BvSnapshot *before, BvSnapshot *after, Delta **out, BvError **err)
{
	Delta *d = calloc(1, sizeof(*d));
	int r = d ? hmap_init(&d->needed) : -ENOMEM;

	if (r < 0) {
		free(d);
		return lib_fail(err, r, "out of memory");
	}
	d->after = after;
	d->sides[0].delta = d->sides[1].delta = d;
	r = read_delta(d, before, after);
	if (r < 0)
		(void)lib_fail(err, r, "cannot compare the snapshots %s and %s: %s", before->title, after->title, d->why ? d->why : strerror(-r));
	else
		*out = d->unrelated ? NULL : d;
	if (r < 0 || d->unrelated)
		delta_free(d);
	return r;
}

/* ---- as rows ---- */

/* Two lists, each in order of keys, as one; of the kinds in `kinds` only. */
static int give(const Rows *a, const Rows *b, const char *kinds, int (*row)(void *ctx, const Record *record), void *ctx)
{
	size_t i = 0, k = 0;
	int r = 0;

	while (r == 0 && (i < a->count || k < b->count)) {
		bool first = k == b->count || (i < a->count && key_compare(a->items[i].bytes, a->items[i].key_len, b->items[k].bytes, b->items[k].key_len) < 0);
		Record record = record_of(first ? &a->items[i++] : &b->items[k++]);
		if (strchr(kinds, ((const char *)record.key)[0]))
			r = row(ctx, &record);
	}
	return r;
}

static int walk_side(void *ctx, int (*row)(void *row_ctx, const Record *record), void *row_ctx, char **why)
{
	DeltaSide *side = ctx;
	int r = give(&side->changed, &side->delta->names, "d", row, row_ctx);

	(void)why;
	if (r == 0)
		r = give(&side->changed, &side->delta->inodes, "i", row, row_ctx);
	return r == 0 ? give(&side->changed, &(Rows){0}, "x", row, row_ctx) : r;
}

RowSource delta_rows(Delta *d, int side)
{
	return (RowSource){walk_side, &d->sides[side]};
}
