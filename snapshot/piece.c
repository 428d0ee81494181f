#include "snapshot/piece.h"

#include "base/hmap.h"

int key_compare(const void *a, size_t a_len, const void *b, size_t b_len)
{
	size_t n = MIN(a_len, b_len);
	int c = n ? memcmp(a, b, n) : 0;

	return c ? c : (a_len > b_len) - (a_len < b_len);
}

int piece_open(PieceReader *p, const void *data, size_t len)
{
	p->c = cursor_of(data, len);
	p->level = cursor_u8(&p->c);
	p->left = cursor_varint(&p->c);
	p->key_len = 0;
	p->any = false;
	p->content = p->value = NULL;
	p->content_len = p->value_len = 0;
	return p->c.bad || p->level >= TREE_LEVELS || p->left > cursor_left(&p->c) ? -EBADMSG : 0;
}

int piece_next(PieceReader *p)
{
	size_t rest_len;

	if (p->left == 0)
		return cursor_done(&p->c) ? 0 : -EBADMSG;
	uint64_t shared = cursor_varint(&p->c);
	const uint8_t *rest = cursor_blob(&p->c, &rest_len);
	p->content = cursor_blob(&p->c, &p->content_len);
	p->value = cursor_blob(&p->c, &p->value_len);
	if (p->c.bad || shared > p->key_len || rest_len == 0 || rest_len > KEY_MAX - shared || p->value_len > VALUE_MAX || p->content_len > VALUE_MAX)
		return -EBADMSG;
	if (p->any && key_compare(rest, rest_len, p->key + shared, p->key_len - (size_t)shared) <= 0)
		return -EBADMSG;
	memcpy(p->key + shared, rest, rest_len);
	p->key_len = (size_t)shared + rest_len;
	p->any = true;
	p->left--;
	return 1;
}

int piece_child(const PieceReader *p, SnapId *id, uint64_t *plain)
{
	Cursor c = cursor_of(p->value, p->value_len);

	cursor_id(&c, id);
	*plain = cursor_varint(&c);
	return cursor_done(&c) ? 0 : -EBADMSG;
}

void record_put(Bytes *body, const Bytes *last, const Record *record)
{
	const uint8_t *k = record->key;
	size_t shared = 0;

	while (shared < last->len && shared + 1 < record->key_len && last->data[shared] == k[shared])
		shared++;
	bytes_varint(body, shared);
	bytes_blob(body, k + shared, record->key_len - shared);
	bytes_blob(body, record->content, record->content_len);
	bytes_blob(body, record->value, record->value_len);
}

static void keep(Bytes *b, const void *key, size_t len)
{
	b->len = 0;
	bytes_put(b, key, len);
}

static int add_at(TreeWriter *t, unsigned level, const Record *record);

/* Ends the piece of a level; at->lone says which it was. */
static int flush(TreeWriter *t, unsigned level)
{
	TreeLevel *at = &t->levels[level];
	CLEAN_BYTES Bytes piece = {0};

	bytes_u8(&piece, level);
	bytes_varint(&piece, at->n);
	bytes_put(&piece, at->body.data, at->body.len);
	if (piece.failed || at->body.failed || at->first.failed || at->last.failed)
		return -ENOMEM;
	int r = t->emit(t->ctx, piece.data, piece.len, &at->lone.id);
	if (r < 0)
		return r;
	at->lone.plain = piece.len;
	at->pieces++;
	at->n = 0;
	at->body.len = at->last.len = 0;
	return 0;
}

static int flush_up(TreeWriter *t, unsigned level)
{
	CLEAN_BYTES Bytes value = {0};
	TreeLevel *at = &t->levels[level];
	int r = level + 1 < TREE_LEVELS ? flush(t, level) : -EFBIG;

	if (r < 0)
		return r;
	bytes_id(&value, &at->lone.id);
	bytes_varint(&value, at->lone.plain);
	if (value.failed)
		return -ENOMEM;
	return add_at(t, level + 1, &(Record){.key = at->first.data, .key_len = at->first.len, .value = value.data, .value_len = value.len});
}

/* A cut after a record is as likely as the record is long. */
static bool ends_piece(const TreeLevel *at, unsigned level, const Record *record)
{
	const size_t span = PIECE_AVERAGE - PIECE_MIN;
	size_t size = record->key_len + record->content_len + record->value_len;

	if (at->body.len < PIECE_MIN)
		return false;
	if (at->body.len >= PIECE_FULL || size >= span)
		return true;
	return hash_u64(hash_stable(record->key, record->key_len), level) < size * (UINT64_MAX / span);
}

static int add_at(TreeWriter *t, unsigned level, const Record *record)
{
	TreeLevel *at = &t->levels[level];

	if (at->n == 0)
		keep(&at->first, record->key, record->key_len);
	record_put(&at->body, &at->last, record);
	keep(&at->last, record->key, record->key_len);
	at->n++;
	if (at->body.failed || at->last.failed || at->first.failed)
		return -ENOMEM;
	return ends_piece(at, level, record) ? flush_up(t, level) : 0;
}

int tree_add(TreeWriter *t, const Record *record)
{
	if (record->key_len == 0 || record->key_len > KEY_MAX)
		return -EINVAL;
	if (record->value_len > VALUE_MAX || record->content_len > VALUE_MAX)
		return -EFBIG;
	if (t->any && key_compare(record->key, record->key_len, t->last.data, t->last.len) <= 0)
		return -EINVAL;
	keep(&t->last, record->key, record->key_len);
	t->any = true;
	return t->last.failed ? -ENOMEM : add_at(t, 0, record);
}

int tree_finish(TreeWriter *t, TreeRoot *root)
{
	for (unsigned level = 0; level < TREE_LEVELS; level++) {
		TreeLevel *at = &t->levels[level];
		int r = at->pieces == 0 ? flush(t, level) : at->n ? flush_up(t, level) : 0;
		if (r < 0)
			return r;
		if (at->pieces == 1) { /* all is in this one, so it needs none above it */
			*root = at->lone;
			return 0;
		}
	}
	return -EFBIG;
}

void tree_release(TreeWriter *t)
{
	bytes_release(&t->last);
	for (unsigned level = 0; level < TREE_LEVELS; level++) {
		bytes_release(&t->levels[level].body);
		bytes_release(&t->levels[level].first);
		bytes_release(&t->levels[level].last);
	}
}
