/* snapshot/diff.c - which records two snapshots do not share, reading only the pieces that they do not share. Locks: reader.h.
 *
 * Where pieces end follows from the keys, so what is alike is cut alike: two walkers go through the trees, each with a stack of what is still to come (subtrees not yet
 * read, or the records of one piece). Two subtrees with the same id have the same records, and both are passed over. Else the one that begins first, or is higher, is opened. */
#include "snapshot/reader.h"

enum { AHEAD = 32 }; /* pieces that are read together */

typedef struct Node {
	TreeRoot piece;
	Bytes first; /* key: all of it are not below this one */
	uint8_t *data; /* if it was read ahead */
} Node;

typedef struct Frame {
	Node *nodes;
	size_t n, at;
	unsigned level;
} Frame;

typedef struct Walker {
	SnapReader *r;
	Coder *coder;
	Frame frames[TREE_LEVELS + 1];
	size_t depth;
	uint8_t *leaf; /* a piece of level 0 that is being read */
	PieceReader *p;
	bool in_leaf, done; /* in_leaf: p stands on a record */
	char **err;
} Walker;

static void nodes_free(Node *nodes, size_t n)
{
	for (size_t i = 0; nodes && i < n; i++) {
		bytes_release(&nodes[i].first);
		free(nodes[i].data);
	}
	free(nodes);
}

static int walker_init(Walker *w, SnapReader *r, char **err)
{
	*w = (Walker){.r = r, .err = err, .p = malloc(sizeof *w->p), .depth = 1};
	w->frames[0] = (Frame){.nodes = calloc(1, sizeof(Node)), .n = 1, .level = TREE_LEVELS};
	if (!w->p || !w->frames[0].nodes || coder_new(r->store->key, &w->coder) < 0)
		return bv_fail(err, -ENOMEM, "not enough memory");
	w->frames[0].nodes[0].piece = r->info.root;
	return 0;
}

static void walker_release(Walker *w)
{
	for (size_t i = 0; i < w->depth; i++)
		nodes_free(w->frames[i].nodes, w->frames[i].n);
	free(w->leaf);
	free(w->p);
	coder_free(w->coder);
}

static Frame *top(Walker *w)
{
	return &w->frames[w->depth - 1];
}

static Node *head(Walker *w)
{
	return &top(w)->nodes[top(w)->at];
}

/* Past the subtree at the head, and all frames that end with it. */
static void pass(Walker *w)
{
	top(w)->at++;
	while (w->depth && top(w)->at == top(w)->n) {
		nodes_free(top(w)->nodes, top(w)->n);
		w->depth--;
		if (w->depth)
			top(w)->at++;
	}
	w->done = w->depth == 0;
}

static int damaged(Walker *w, const Node *node)
{
	char hex[65];

	id_hex(&node->piece.id, hex);
	return bv_fail(w->err, -EBADMSG, "piece %.16s of the manifest is damaged: its records are none", hex);
}

/* Is it among what the other one is about to come to? Then it is likely to be passed over. */
static bool is_expected(const Walker *other, const SnapId *id)
{
	for (size_t d = 0; d < other->depth; d++)
		for (size_t i = other->frames[d].at; i < other->frames[d].n; i++)
			if (id_equal(&other->frames[d].nodes[i].piece.id, id))
				return true;
	return false;
}

/* Reads the piece at the head, and with it those after it that will be needed, too. */
static int read_head(Walker *w, const Walker *other)
{
	Frame *f = top(w);
	PieceWanted wanted[AHEAD];
	size_t which[AHEAD], n = 0;

	for (size_t i = f->at; i < f->n && n < AHEAD; i++) {
		if (f->nodes[i].data || (i > f->at && is_expected(other, &f->nodes[i].piece.id)))
			continue;
		which[n] = i;
		wanted[n++] = (PieceWanted){.piece = f->nodes[i].piece};
	}
	int r = reader_read_pieces(w->r, w->coder, wanted, n, true, w->err);
	for (size_t i = 0; i < n; i++)
		f->nodes[which[i]].data = wanted[i].data;
	return r;
}

static int next_record(Walker *w)
{
	int r = piece_next(w->p);

	if (r < 0)
		return damaged(w, head(w));
	if (r > 0)
		return 0;
	w->in_leaf = false;
	pass(w);
	return 0;
}

static int open_inner(Walker *w, const Node *node)
{
	Frame frame = {.level = w->p->level};
	size_t room = 0;
	int r;

	while ((r = piece_next(w->p)) > 0) {
		if (!BV_GROW(frame.nodes, frame.n, room)) {
			r = -ENOMEM;
			break;
		}
		Node *child = &frame.nodes[frame.n++];
		*child = (Node){0};
		bytes_put(&child->first, w->p->key, w->p->key_len);
		r = child->first.failed ? -ENOMEM : piece_child(w->p, &child->piece.id, &child->piece.plain);
		if (r < 0)
			break;
	}
	if (r == 0 && (frame.n == 0 || w->depth == ARRAY_LEN(w->frames)))
		r = -EBADMSG;
	if (r < 0) {
		nodes_free(frame.nodes, frame.n);
		return r == -EBADMSG ? damaged(w, node) : bv_fail(w->err, r, "not enough memory");
	}
	w->frames[w->depth++] = frame;
	return 0;
}

/* Reads the subtree at the head: its subtrees, or its records, come in its place. */
static int open_head(Walker *w, const Walker *other)
{
	Node *node = head(w);
	int r = node->data ? 0 : read_head(w, other);

	if (r < 0)
		return r;
	free(w->leaf);
	w->leaf = TAKE_PTR(node->data);
	unsigned level = top(w)->level;
	if (piece_open(w->p, w->leaf, node->piece.plain) < 0 || (w->depth > 1 ? w->p->level + 1 != level : w->p->level >= level))
		return damaged(w, node);
	if (w->p->level > 0)
		return open_inner(w, node);
	w->in_leaf = true;
	return next_record(w);
}

/* Of two heads, by the first key that may be there; the end is after all. */
static int compare(Walker *a, Walker *b)
{
	if (a->done || b->done)
		return a->done - b->done;
	const void *ka = a->in_leaf ? a->p->key : head(a)->first.data, *kb = b->in_leaf ? b->p->key : head(b)->first.data;
	return key_compare(ka, a->in_leaf ? a->p->key_len : head(a)->first.len, kb, b->in_leaf ? b->p->key_len : head(b)->first.len);
}

static bool is_subtree(const Walker *w)
{
	return !w->done && !w->in_leaf;
}

static Record record_of(const Walker *w)
{
	return (Record){w->p->key, w->p->content, w->p->value, w->p->key_len, w->p->content_len, w->p->value_len};
}

static bool same_bytes(const void *a, size_t a_len, const void *b, size_t b_len)
{
	return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static int tell(Walker *a, Walker *b, int order, int (*visit)(void *ctx, const Record *before, const Record *after), void *ctx)
{
	Record x = order <= 0 ? record_of(a) : (Record){0}, y = order >= 0 ? record_of(b) : (Record){0};
	int r = 0;

	if (order || !same_bytes(x.content, x.content_len, y.content, y.content_len) || !same_bytes(x.value, x.value_len, y.value, y.value_len))
		r = visit(ctx, order <= 0 ? &x : NULL, order >= 0 ? &y : NULL);
	if (r == 0 && order <= 0)
		r = next_record(a);
	if (r == 0 && order >= 0)
		r = next_record(b);
	return r;
}

static int step(Walker *a, Walker *b, int (*visit)(void *ctx, const Record *before, const Record *after), void *ctx)
{
	int order = compare(a, b);

	if (is_subtree(a) && is_subtree(b)) {
		if (id_equal(&head(a)->piece.id, &head(b)->piece.id)) {
			pass(a);
			pass(b);
			return 0;
		}
		/* Where both begin alike, the higher one: what is below it may be the other. */
		if (order == 0 && top(a)->level != top(b)->level)
			order = top(a)->level > top(b)->level ? -1 : 1;
		return order <= 0 ? open_head(a, b) : open_head(b, a);
	}
	/* A subtree whose first key is not after the other's record. */
	if (is_subtree(a) && order <= 0)
		return open_head(a, b);
	if (is_subtree(b) && order >= 0)
		return open_head(b, a);
	return tell(a, b, order, visit, ctx);
}

int snap_reader_diff(SnapReader *before, SnapReader *after, int (*visit)(void *ctx, const Record *before, const Record *after), void *ctx, char **err)
{
	Walker *w = calloc(2, sizeof *w);
	int r = w ? 0 : bv_fail(err, -ENOMEM, "not enough memory");

	if (r == 0)
		r = walker_init(&w[0], before, err);
	if (r == 0)
		r = walker_init(&w[1], after, err);
	while (r == 0 && !(w[0].done && w[1].done))
		r = step(&w[0], &w[1], visit, ctx);
	for (size_t i = 0; w && i < 2; i++)
		walker_release(&w[i]);
	free(w);
	return r;
}
