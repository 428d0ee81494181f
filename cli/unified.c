/* cli/unified.c - see unified.h. Myers' O(ND) algorithm, in its linear-space form, over hashed lines.
 *
 * Invariant: the marks say, for each line of a, whether it is deleted, and for each line of b, whether it is added; the unmarked
 * lines of both, in order, are equal. Where texts have almost nothing in common the search is cut off at COST_MAX and the
 * part is reported as replaced: still a correct difference, only not the shortest. */
#include "cli/unified.h"
#include "cli/hash.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define COST_MAX 4096

typedef struct Line {
	const char *start;
	size_t len; /* with its newline, if it has one */
	uint64_t hash;
} Line;

typedef struct Side {
	Line *lines;
	size_t count;
	bool *changed;
} Side;

typedef struct Myers {
	Side a, b;
	ptrdiff_t *forward, *backward; /* furthest x of each diagonal, index 0 in the middle */
} Myers;

bool text_is_binary(Text text)
{
	return text.len > 0 && memchr(text.bytes, 0, text.len < 8000 ? text.len : 8000) != NULL;
}

static int split(Text text, Side *side)
{
	size_t count = 0;

	for (size_t i = 0; i < text.len; i++)
		count += text.bytes[i] == '\n';
	side->lines = calloc(count + 1, sizeof(Line));
	side->changed = calloc(count + 1, sizeof(bool));
	if (!side->lines || !side->changed)
		return -1;
	for (size_t at = 0; at < text.len;) {
		const char *start = text.bytes + at;
		const char *end = memchr(start, '\n', text.len - at);
		size_t len = end ? (size_t)(end - start) + 1 : text.len - at;
		side->lines[side->count++] = (Line){start, len, hash_bytes(start, len)};
		at += len;
	}
	return 0;
}

static bool same(const Myers *m, ptrdiff_t x, ptrdiff_t y)
{
	const Line *a = &m->a.lines[x], *b = &m->b.lines[y];

	return a->hash == b->hash && a->len == b->len && memcmp(a->start, b->start, a->len) == 0;
}

typedef struct Box {
	ptrdiff_t x0, x1, y0, y1; /* lines [x0, x1) of a and [y0, y1) of b */
} Box;

/* Where the furthest path of cost d on diagonal k starts its run of equal lines, from the furthest ones of cost d - 1; -1 if no path inside
 * the box gets there. */
static ptrdiff_t furthest_start(const ptrdiff_t *v, ptrdiff_t k, ptrdiff_t d, ptrdiff_t width, ptrdiff_t height)
{
	ptrdiff_t down = -1, right = -1;

	if (d == 0)
		return 0;
	if (k < d && v[k + 1] >= 0 && v[k + 1] - k <= height)
		down = v[k + 1];
	if (k > -d && v[k - 1] >= 0 && v[k - 1] < width)
		right = v[k - 1] + 1;
	return down > right ? down : right;
}

/* Extends one diagonal of the forward search (or, `back`, of the one that goes backward from the end, where x and y count lines from there). */
static ptrdiff_t extend(Myers *m, const Box *b, bool back, ptrdiff_t k, ptrdiff_t d)
{
	ptrdiff_t width = b->x1 - b->x0, height = b->y1 - b->y0;
	ptrdiff_t *v = back ? m->backward : m->forward;
	ptrdiff_t x = furthest_start(v, k, d, width, height), y = x - k;

	while (x >= 0 && x < width && y < height && (back ? same(m, b->x1 - x - 1, b->y1 - y - 1) : same(m, b->x0 + x, b->y0 + y)))
		x++, y++;
	return v[k] = x;
}

/* A point on a shortest path through the middle of the box; false when the search was cut off. Forward diagonal k is backward diagonal delta - k;
 * with an odd delta the two searches meet after a forward step, with an even one after a backward step. */
static bool find_middle(Myers *m, const Box *b, ptrdiff_t *x, ptrdiff_t *y)
{
	ptrdiff_t width = b->x1 - b->x0, height = b->y1 - b->y0, delta = width - height;

	for (ptrdiff_t d = 0; d <= (width + height + 1) / 2 && d <= COST_MAX; d++) {
		for (int back = 0; back < 2; back++) {
			const ptrdiff_t *other = back ? m->forward : m->backward;
			ptrdiff_t done = back ? d : d - 1; /* cost that the other search has reached */
			for (ptrdiff_t k = -d; k <= d; k += 2) {
				ptrdiff_t at = extend(m, b, back, k, d), facing = delta - k;
				if (at < 0 || back == (delta & 1) || facing < -done || facing > done || other[facing] < 0 || at + other[facing] < width)
					continue;
				*x = back ? b->x1 - at : b->x0 + at;
				*y = back ? b->y1 - (at - k) : b->y0 + (at - k);
				return true;
			}
		}
	}
	return false;
}

static void mark(Myers *m, const Box *b)
{
	for (ptrdiff_t x = b->x0; x < b->x1; x++)
		m->a.changed[x] = true;
	for (ptrdiff_t y = b->y0; y < b->y1; y++)
		m->b.changed[y] = true;
}

static void compare(Myers *m, Box b)
{
	ptrdiff_t x, y;

	for (;;) {
		while (b.x0 < b.x1 && b.y0 < b.y1 && same(m, b.x0, b.y0))
			b.x0++, b.y0++;
		while (b.x0 < b.x1 && b.y0 < b.y1 && same(m, b.x1 - 1, b.y1 - 1))
			b.x1--, b.y1--;
		if (b.x0 == b.x1 || b.y0 == b.y1 || !find_middle(m, &b, &x, &y) || (x == b.x0 && y == b.y0) || (x == b.x1 && y == b.y1)) {
			mark(m, &b);
			return;
		}
		compare(m, (Box){b.x0, x, b.y0, y});
		b.x0 = x;
		b.y0 = y;
	}
}

/* ---- hunks ---- */

static void visit_hunk(const UnifiedVisitor *v, const Myers *m, const Box *b)
{
	ptrdiff_t x = b->x0, y = b->y0;

	if (v->hunk)
		v->hunk(v->ctx, (size_t)b->x0, (size_t)(b->x1 - b->x0), (size_t)b->y0, (size_t)(b->y1 - b->y0));
	while (x < b->x1 || y < b->y1) {
		const bool deleted = x < b->x1 && m->a.changed[x], added = !deleted && y < b->y1 && m->b.changed[y];
		const Line *line = added ? &m->b.lines[y] : &m->a.lines[x];
		v->part(v->ctx, deleted ? UNIFIED_DELETED : added ? UNIFIED_ADDED : UNIFIED_SAME, (Text){line->start, line->len});
		x += !added;
		y += !deleted;
	}
}

/* The next run of changes from (*x, *y) on; false at the end. */
static bool next_change(const Myers *m, ptrdiff_t *x, ptrdiff_t *y, Box *run)
{
	ptrdiff_t na = (ptrdiff_t)m->a.count, nb = (ptrdiff_t)m->b.count;

	while (*x < na && *y < nb && !m->a.changed[*x] && !m->b.changed[*y])
		++*x, ++*y;
	if (*x == na && *y == nb)
		return false;
	run->x0 = *x;
	run->y0 = *y;
	while (*x < na && m->a.changed[*x])
		++*x;
	while (*y < nb && m->b.changed[*y])
		++*y;
	run->x1 = *x;
	run->y1 = *y;
	return true;
}

/* Widens a run by context lines; both sides of it are equal there, so one count serves both. */
static void add_context(const Myers *m, Box *hunk, size_t context)
{
	ptrdiff_t before = (ptrdiff_t)context, after = (ptrdiff_t)context;

	if (before > hunk->x0)
		before = hunk->x0;
	if (before > hunk->y0)
		before = hunk->y0;
	if (after > (ptrdiff_t)m->a.count - hunk->x1)
		after = (ptrdiff_t)m->a.count - hunk->x1;
	hunk->x0 -= before;
	hunk->y0 -= before;
	hunk->x1 += after;
	hunk->y1 += after;
}

static void visit_hunks(const UnifiedVisitor *v, const Myers *m, size_t context)
{
	ptrdiff_t x = 0, y = 0;
	Box hunk, run;
	bool more = next_change(m, &x, &y, &hunk);

	while (more) {
		while ((more = next_change(m, &x, &y, &run)) && run.x0 - hunk.x1 <= 2 * (ptrdiff_t)context) {
			hunk.x1 = run.x1;
			hunk.y1 = run.y1;
		}
		add_context(m, &hunk, context);
		visit_hunk(v, m, &hunk);
		hunk = run;
	}
}

static size_t count_changed(const Side *side)
{
	size_t n = 0;

	for (size_t i = 0; i < side->count; i++)
		n += side->changed[i];
	return n;
}

static int solve(Myers *m)
{
	size_t reach = m->a.count + m->b.count;

	if (reach > COST_MAX)
		reach = COST_MAX;
	reach += 2;
	ptrdiff_t *space = calloc(2 * (2 * reach + 1), sizeof(ptrdiff_t));
	if (!space)
		return -1;
	m->forward = space + reach;
	m->backward = space + (2 * reach + 1) + reach;
	compare(m, (Box){0, (ptrdiff_t)m->a.count, 0, (ptrdiff_t)m->b.count});
	free(space);
	return 0;
}

static int visit(Text a, Text b, int (*cut)(Text text, Side *side), size_t context, const UnifiedVisitor *v, size_t *added, size_t *deleted)
{
	Myers m = {0};
	int r = cut(a, &m.a) < 0 || cut(b, &m.b) < 0 ? -1 : solve(&m);

	if (r == 0 && v)
		visit_hunks(v, &m, context);
	if (r == 0) {
		*added = count_changed(&m.b);
		*deleted = count_changed(&m.a);
	}
	free(m.a.lines);
	free(m.a.changed);
	free(m.b.lines);
	free(m.b.changed);
	return r;
}

int unified_lines(Text a, Text b, size_t context, const UnifiedVisitor *v, size_t *added, size_t *deleted)
{
	return visit(a, b, split, context, v, added, deleted);
}

static bool is_word(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c >= 0x80;
}

static int split_words(Text text, Side *side)
{
	side->lines = calloc(text.len + 1, sizeof(Line));
	side->changed = calloc(text.len + 1, sizeof(bool));
	if (!side->lines || !side->changed)
		return -1;
	for (size_t at = 0; at < text.len;) {
		const char *start = text.bytes + at;
		size_t len = 1;
		while (is_word((unsigned char)start[0]) && at + len < text.len && is_word((unsigned char)start[len]))
			len++;
		side->lines[side->count++] = (Line){start, len, hash_bytes(start, len)};
		at += len;
	}
	return 0;
}

int unified_words(Text a, Text b, const UnifiedVisitor *v)
{
	size_t added, deleted;

	return visit(a, b, split_words, a.len + b.len, v, &added, &deleted);
}

/* ---- printing ---- */

static void print_line(FILE *out, char sign, const char *colour, const char *reset, Text line)
{
	bool newline = line.len > 0 && line.bytes[line.len - 1] == '\n';

	fprintf(out, "%s%c", colour, sign);
	fwrite(line.bytes, 1, line.len - newline, out);
	fprintf(out, "%s\n", reset);
	if (!newline)
		fputs("\\ No newline at end of file\n", out);
}

/* As diff -u: a count of 1 is left out, an empty range names the line before it. */
static void print_range(FILE *out, char sign, size_t start, size_t count)
{
	fprintf(out, "%c%zu", sign, count == 0 ? start : start + 1);
	if (count != 1)
		fprintf(out, ",%zu", count);
}

typedef struct Printing {
	FILE *out;
	const UnifiedStyle *style;
} Printing;

static void print_hunk(void *ctx, size_t a, size_t a_count, size_t b, size_t b_count)
{
	const Printing *p = ctx;

	fprintf(p->out, "%s@@ ", p->style->hunk);
	print_range(p->out, '-', a, a_count);
	fputc(' ', p->out);
	print_range(p->out, '+', b, b_count);
	fprintf(p->out, " @@%s\n", p->style->reset);
}

static void print_part(void *ctx, UnifiedKind kind, Text line)
{
	const Printing *p = ctx;

	if (kind == UNIFIED_SAME)
		print_line(p->out, ' ', "", "", line);
	else
		print_line(p->out, kind == UNIFIED_ADDED ? '+' : '-', kind == UNIFIED_ADDED ? p->style->add : p->style->del, p->style->reset, line);
}

int unified_diff(FILE *out, Text a, Text b, const UnifiedStyle *style, size_t *added, size_t *deleted)
{
	Printing p = {out, style};
	const UnifiedVisitor v = {print_hunk, print_part, &p};

	return unified_lines(a, b, style->context, out ? &v : NULL, added, deleted);
}
