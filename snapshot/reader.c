/* snapshot/reader.c - opening a snapshot and walking its records. Invariants and locks: reader.h. */
#include "snapshot/reader.h"

static int load_index(SnapReader *r, Coder *coder, const SnapId *id, char **err)
{
	IndexList list;
	int e = kept_load_index(r->store, coder, id, &list, NULL, err);

	if (e < 0)
		return e;
	for (size_t i = 0; e == 0 && i < list.n; i++)
		e = index_add(&r->index, &list.packs[i].pack, &list.packs[i].table);
	index_list_release(&list);
	return e < 0 ? bv_fail(err, e, "not enough memory for the index") : 0;
}

int snap_reader_open(SnapStore *s, const SnapId *id, SnapReader **out, char **err)
{
	SnapReader *r = calloc(1, sizeof *r);
	Coder *coder = NULL;

	if (!r || coder_new(s->key, &coder) < 0 || index_init(&r->index) < 0) {
		coder_free(coder);
		free(r);
		return bv_fail(err, -ENOMEM, "not enough memory");
	}
	r->store = s;
	pthread_mutex_init(&r->lock, NULL);
	int e = snap_info_load(s, id, &r->info, err);
	for (size_t i = 0; e == 0 && i < r->info.n_index; i++) {
		char *why = NULL;
		e = load_index(r, coder, &r->info.index[i], &why);
		if (e == -ENOENT || e == -EBADMSG) { /* told for each chunk that is missed */
			free(r->index_error);
			r->index_error = TAKE_PTR(why);
			e = 0;
		}
		if (e < 0)
			bv_fail(err, e, "%s", why ? why : "an index could not be read");
		free(why);
	}
	coder_free(coder);
	if (e < 0) {
		snap_reader_close(r);
		return e;
	}
	*out = r;
	return 0;
}

static void leaf_release(KeptLeaf *leaf)
{
	free(leaf->data);
	free(leaf->records);
	bytes_release(&leaf->keys);
	*leaf = (KeptLeaf){0};
}

void snap_reader_close(SnapReader *r)
{
	if (!r)
		return;
	snap_info_release(&r->info);
	index_release(&r->index);
	index_release(&r->moved);
	for (size_t i = 0; r->pieces && i < KEPT_PIECES; i++)
		free(r->pieces[i].data);
	free(r->pieces);
	leaf_release(&r->leaf);
	free(r->index_error);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

const SnapInfo *snap_reader_info(const SnapReader *r)
{
	return &r->info;
}

typedef PieceWanted Child;

typedef struct Walk {
	SnapReader *r;
	Coder *coder;
	const PieceVisitor *v;
	char **err;
} Walk;

static int got_piece(void *ctx, const Want *want, const uint8_t *plain)
{
	Child *children = ctx, *child = &children[want->item];

	child->data = malloc(want->plain + 1);
	if (!child->data)
		return -ENOMEM;
	memcpy(child->data, plain, want->plain);
	return 0;
}

static KeptPiece *place_of(SnapReader *r, const SnapId *id)
{
	return &r->pieces[id_hash(id, 0) % KEPT_PIECES];
}

/* What was compared with its id when it was read. */
static bool recall(SnapReader *r, Child *child)
{
	pthread_mutex_lock(&r->lock);
	const KeptPiece *kept = r->pieces ? place_of(r, &child->piece.id) : NULL;
	if (kept && kept->data && kept->plain == child->piece.plain && id_equal(&kept->id, &child->piece.id)) {
		child->data = malloc(kept->plain + 1);
		if (child->data)
			memcpy(child->data, kept->data, kept->plain);
	}
	pthread_mutex_unlock(&r->lock);
	return child->data != NULL;
}

/* Without memory for it nothing is kept: it is read again then. */
static void keep_piece(SnapReader *r, const Child *child)
{
	uint8_t *copy = malloc(child->piece.plain + 1);

	pthread_mutex_lock(&r->lock);
	if (!r->pieces)
		r->pieces = calloc(KEPT_PIECES, sizeof *r->pieces);
	KeptPiece *place = copy && r->pieces ? place_of(r, &child->piece.id) : NULL;
	if (place) {
		free(place->data);
		memcpy(copy, child->data, child->piece.plain);
		*place = (KeptPiece){child->piece.id, TAKE_PTR(copy), child->piece.plain};
	}
	pthread_mutex_unlock(&r->lock);
	free(copy);
}

static void lost_piece(void *ctx, const Want *want, int error)
{
	Child *children = ctx;

	children[want->item].error = error;
}

int reader_read_pieces(SnapReader *r, Coder *coder, PieceWanted *pieces, size_t n, bool keep, char **message)
{
	FetchSink sink = {.got = got_piece, .lost = lost_piece, .ctx = pieces};
	Want *wants = calloc(n, sizeof *wants);
	size_t missing = 0;

	if (!wants)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (!keep || !recall(r, &pieces[i]))
			wants[missing++] = (Want){.id = pieces[i].piece.id, .plain = pieces[i].piece.plain, .item = i};
	int e = missing ? fetch_chunks(r, coder, wants, missing, &sink, message) : 0;
	for (size_t i = 0; keep && i < missing; i++)
		if (pieces[wants[i].item].data)
			keep_piece(r, &pieces[wants[i].item]);
	free(wants);
	return e;
}

static int damaged(Walk *w, const SnapId *id)
{
	char hex[65];

	id_hex(id, hex);
	return bv_fail(w->err, -EBADMSG, "piece %.16s of the manifest is damaged: its records are none", hex);
}

static int walk_children(Walk *w, Child *children, size_t n, int level);

/* Whether keys from `from` up to (without) `to` (NULL: no end) may begin with the prefix. */
static bool may_match(const PieceVisitor *v, const uint8_t *from, size_t from_len, const uint8_t *to, size_t to_len)
{
	if (v->prefix_len == 0)
		return true;
	if (to && key_compare(to, to_len, v->prefix, v->prefix_len) <= 0)
		return false;
	return from_len <= v->prefix_len ? key_compare(from, from_len, v->prefix, v->prefix_len) <= 0 :
					   memcmp(from, v->prefix, v->prefix_len) <= 0;
}

/* The children of a piece above level 0. */
static int gather(Walk *w, PieceReader *p, Child **out, size_t *n)
{
	CLEAN_BYTES Bytes before = {0};
	Child *all = NULL;
	size_t count = 0, room = 0;
	int r;

	while ((r = piece_next(p)) > 0) {
		/* The one before is known to match only now that its end is known. */
		if (count && before.len && !may_match(w->v, before.data, before.len, p->key, p->key_len))
			count--;
		if (!BV_GROW(all, count, room)) {
			r = -ENOMEM;
			break;
		}
		before.len = 0;
		all[count] = (Child){0};
		r = piece_child(p, &all[count].piece.id, &all[count].piece.plain);
		if (r < 0)
			break;
		if (!may_match(w->v, p->key, p->key_len, NULL, 0))
			continue;
		bytes_put(&before, p->key, p->key_len);
		count++;
	}
	if (r < 0 || before.failed) {
		free(all);
		return r < 0 ? r : -ENOMEM;
	}
	*out = all;
	*n = count;
	return 0;
}

static int visit_records(Walk *w, PieceReader *p)
{
	const PieceVisitor *v = w->v;
	int r;

	while ((r = piece_next(p)) > 0) {
		Record record = {p->key, p->content, p->value, p->key_len, p->content_len, p->value_len};
		if (p->key_len < v->prefix_len || (v->prefix_len && memcmp(p->key, v->prefix, v->prefix_len) != 0))
			continue;
		r = v->record(v->ctx, &record);
		if (r)
			break;
	}
	return r;
}

#define LEAF_KEYS_MAX ((size_t)4 << 20)

static bool fill_leaf(KeptLeaf *leaf, const Child *child)
{
	CLEAN_FREE PieceReader *p = malloc(sizeof *p);
	size_t room = 0;
	int r;

	leaf->data = malloc(child->piece.plain + 1);
	if (!p || !leaf->data)
		return false;
	memcpy(leaf->data, child->data, child->piece.plain);
	if (piece_open(p, leaf->data, child->piece.plain) < 0)
		return false;
	while ((r = piece_next(p)) > 0) {
		if (leaf->keys.len + p->key_len > LEAF_KEYS_MAX) /* keys that share most of their bytes are small in a piece only */
			return false;
		if (!BV_GROW(leaf->records, leaf->n, room))
			return false;
		leaf->records[leaf->n++] = (Record){(const void *)(uintptr_t)leaf->keys.len, p->content, p->value, p->key_len, p->content_len, p->value_len};
		bytes_put(&leaf->keys, p->key, p->key_len);
	}
	for (size_t i = 0; i < leaf->n; i++)
		leaf->records[i].key = leaf->keys.data + (uintptr_t)leaf->records[i].key;
	return r == 0 && !leaf->keys.failed;
}

/* What cannot be kept is read again. */
static void keep_leaf(SnapReader *r, const Child *child)
{
	KeptLeaf leaf = {0};

	if (!fill_leaf(&leaf, child))
		leaf_release(&leaf);
	pthread_mutex_lock(&r->lock);
	leaf_release(&r->leaf);
	r->leaf = leaf;
	pthread_mutex_unlock(&r->lock);
}

static int by_key(const void *a, const void *b)
{
	const Record *x = a, *y = b;

	return key_compare(x->key, x->key_len, y->key, y->key_len);
}

/* level -1: any (the root). */
static int walk_piece(Walk *w, const Child *child, int level)
{
	CLEAN_FREE PieceReader *p = malloc(sizeof *p);
	Child *below = NULL;
	size_t n = 0;

	if (!p)
		return bv_fail(w->err, -ENOMEM, "not enough memory");
	int r = piece_open(p, child->data, child->piece.plain);
	if (r < 0 || (level >= 0 && p->level != (unsigned)level))
		return damaged(w, &child->piece.id);
	if (p->level == 0) {
		if (w->v->keep_leaf)
			keep_leaf(w->r, child);
		r = visit_records(w, p);
		return r == -EBADMSG && p->left && p->c.bad ? damaged(w, &child->piece.id) : r;
	}
	r = gather(w, p, &below, &n);
	if (r < 0)
		return r == -EBADMSG ? damaged(w, &child->piece.id) : bv_fail(w->err, r, "not enough memory");
	r = walk_children(w, below, n, (int)p->level - 1);
	free(below);
	return r;
}

static int walk_batch(Walk *w, Child *children, size_t n, int level)
{
	CLEAN_FREE char *message = NULL;
	/* A walk over everything needs each piece once; one with a prefix is a look-up, and others follow it. */
	int r = reader_read_pieces(w->r, w->coder, children, n, w->v->prefix_len > 0, &message);

	if (r < 0 && !w->v->lost)
		r = bv_fail(w->err, r, "%s", message ? message : "not enough memory");
	else
		r = 0;
	for (size_t i = 0; i < n; i++) {
		Child *child = &children[i];
		if (r == 0 && child->data)
			r = walk_piece(w, child, level);
		else if (r == 0)
			r = w->v->lost(w->v->ctx, &child->piece.id, child->error ? child->error : -ENOMEM, message);
		free(TAKE_PTR(child->data));
	}
	return r;
}

static int walk_children(Walk *w, Child *children, size_t n, int level)
{
	size_t kept = 0;
	int r = 0;

	for (size_t i = 0; i < n; i++)
		if (!w->v->enter || w->v->enter(w->v->ctx, &children[i].piece.id))
			children[kept++] = children[i];
	for (size_t at = 0; r == 0 && at < kept;) {
		uint64_t size = 0;
		size_t count = 0;
		while (at + count < kept && (count == 0 || size + children[at + count].piece.plain <= FETCH_WINDOW))
			size += children[at + count++].piece.plain;
		r = walk_batch(w, children + at, count, level);
		at += count;
	}
	return r;
}

int reader_visit(SnapReader *r, const PieceVisitor *v, char **err)
{
	Walk w = {.r = r, .v = v, .err = err};
	Child root = {.piece = r->info.root};
	int e = coder_new(r->store->key, &w.coder);

	if (e < 0)
		return bv_fail(err, e, "not enough memory");
	e = walk_children(&w, &root, 1, -1);
	coder_free(w.coder);
	return e;
}

int snap_reader_walk(SnapReader *r, const void *prefix, size_t len, int (*visit)(void *ctx, const Record *record), void *ctx, char **err)
{
	return reader_visit(r, &(PieceVisitor){.record = visit, .ctx = ctx, .prefix = prefix, .prefix_len = len}, err);
}

typedef struct Find {
	size_t len;
	Bytes content, value;
	bool found;
} Find;

static int found(void *ctx, const Record *record)
{
	Find *f = ctx;

	if (record->key_len != f->len) /* a longer key comes after it */
		return 1;
	bytes_reserve(&f->content, 1);
	bytes_reserve(&f->value, 1);
	bytes_put(&f->content, record->content, record->content_len);
	bytes_put(&f->value, record->value, record->value_len);
	f->found = true;
	return f->content.failed || f->value.failed ? -ENOMEM : 1;
}

/* 0: it is not in that piece. */
static int find_kept(SnapReader *r, const void *key, size_t len, Find *f)
{
	pthread_mutex_lock(&r->lock);
	const Record *record = r->leaf.n ? bsearch(&(Record){.key = key, .key_len = len}, r->leaf.records, r->leaf.n, sizeof *r->leaf.records, by_key) : NULL;
	int e = record ? found(f, record) : 0;
	pthread_mutex_unlock(&r->lock);
	return e;
}

int snap_reader_find(SnapReader *r, const void *key, size_t len, uint8_t **content, size_t *content_len, uint8_t **value, size_t *value_len, char **err)
{
	Find f = {.len = len};
	int e = find_kept(r, key, len, &f);

	if (e == 0)
		e = reader_visit(r, &(PieceVisitor){.record = found, .ctx = &f, .prefix = key, .prefix_len = len, .keep_leaf = true}, err);
	if (e == -ENOENT) /* a pack is gone: whether there is such a record is not known */
		e = -EBADMSG;
	if (e >= 0 && !f.found)
		e = bv_fail(err, -ENOENT, "the snapshot has no such record");
	if (e < 0) {
		bytes_release(&f.content);
		bytes_release(&f.value);
		return e;
	}
	*content = f.content.data;
	*content_len = f.content.len;
	*value = f.value.data;
	*value_len = f.value.len;
	return 0;
}
