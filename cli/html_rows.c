/* cli/html_rows.c - see html_rows.h. Deleted lines wait until it is known which added ones follow them: those that stand opposite are compared word by word. */
#include "cli/html_rows.h"
#include "cli/cli.h"
#include "cli/html_text.h"

enum { FILE_ROWS = 2000, LINE_MAX_SHOWN = 2000, WORDS_MAX = 1000, CONTEXT = 3 };

typedef struct Lines {
	Text *items;
	size_t count, room;
} Lines;

typedef struct Rows {
	FILE *out;
	bool one_sided;
	size_t x, y; /* numbers of the next lines, from 1 on */
	size_t rows, left_out;
	Lines deleted, added; /* that wait */
	RowBudget *budget;
} Rows;

static void lines_add(Lines *l, Text line)
{
	if (l->count == l->room) {
		l->room = l->room ? 2 * l->room : 64;
		l->items = xrealloc(l->items, l->room * sizeof(*l->items));
	}
	l->items[l->count++] = line;
}

static bool has_room(Rows *r)
{
	if (r->budget->rows == 0 || r->rows >= FILE_ROWS) {
		r->left_out++;
		return false;
	}
	r->budget->rows--;
	r->rows++;
	return true;
}

/* ---- one line ---- */

static Text without_newline(Text line)
{
	return (Text){line.bytes, line.len - (line.len > 0 && line.bytes[line.len - 1] == '\n')};
}

static void put_line(FILE *out, Text line)
{
	const Text text = without_newline(line);
	size_t shown = text.len < LINE_MAX_SHOWN ? text.len : LINE_MAX_SHOWN;

	while (shown < text.len && shown > 0 && (text.bytes[shown] & 0xc0) == 0x80) /* not within a character */
		shown--;
	html_text(out, text.bytes, shown);
	if (shown < text.len)
		fprintf(out, "<span class=\"eof\"> … %zu more bytes</span>", text.len - shown);
	if (text.len == line.len)
		fputs("<span class=\"eof\"> (no newline at the end)</span>", out);
}

typedef struct Words {
	FILE *out;
	UnifiedKind side; /* whose line it is */
	bool marked;
} Words;

static void put_word(void *ctx, UnifiedKind kind, Text word)
{
	Words *w = ctx;
	bool mark = kind != UNIFIED_SAME;

	if (mark && kind != w->side)
		return;
	if (mark != w->marked)
		fputs(mark ? "<mark>" : "</mark>", w->out);
	w->marked = mark;
	html_text(w->out, word.bytes, word.len);
}

static void put_words(FILE *out, UnifiedKind side, Text before, Text after)
{
	Words words = {out, side, false};
	const UnifiedVisitor v = {NULL, put_word, &words};

	if (unified_words(before, after, &v) < 0)
		exit(cli_fail("out of memory"));
	if (words.marked)
		fputs("</mark>", out);
}

static void count_same(void *ctx, UnifiedKind kind, Text word)
{
	size_t *same = ctx;

	*same += kind == UNIFIED_SAME && word.bytes[0] != ' ' && word.bytes[0] != '\t' ? word.len : 0;
}

/* Lines that have little in common are better shown as they are. */
static bool are_alike(Rows *r, Text before, Text after)
{
	size_t same = 0;
	const UnifiedVisitor v = {NULL, count_same, &same};
	const size_t work = before.len * after.len, longer = before.len > after.len ? before.len : after.len;

	if (before.len == 0 || after.len == 0 || before.len > WORDS_MAX || after.len > WORDS_MAX || work > r->budget->work)
		return false;
	r->budget->work -= work;
	if (unified_words(before, after, &v) < 0)
		exit(cli_fail("out of memory"));
	return same * 3 >= longer;
}

/* ---- rows ---- */

static void put_cell(Rows *r, const char *class, size_t number, Text line)
{
	fprintf(r->out, "<i class=\"%s\">%zu</i><code class=\"%s\">", class, number, class);
	put_line(r->out, line);
	fputs("</code>", r->out);
}

static void put_empty(Rows *r)
{
	if (!r->one_sided)
		fputs("<i class=\"x\"></i><code class=\"x\"></code>", r->out);
}

static void put_same(Rows *r, Text line)
{
	if (has_room(r)) {
		fprintf(r->out, "<div class=\"r s\"><i>%zu</i><code>", r->x);
		put_line(r->out, line);
		fprintf(r->out, "</code><i>%zu</i><code>", r->y);
		put_line(r->out, line);
		fputs("</code></div>\n", r->out);
	}
	r->x++;
	r->y++;
}

static void put_changed(Rows *r, size_t i)
{
	const Text *before = i < r->deleted.count ? &r->deleted.items[i] : NULL, *after = i < r->added.count ? &r->added.items[i] : NULL;
	const Text a = before ? without_newline(*before) : (Text){0}, b = after ? without_newline(*after) : (Text){0};
	const bool ends_alike = before && after && (a.len == before->len) == (b.len == after->len);

	if (!has_room(r))
		return;
	fputs("<div class=\"r\">", r->out);
	if (ends_alike && a.len < before->len && are_alike(r, a, b)) {
		fprintf(r->out, "<i class=\"o\">%zu</i><code class=\"o\">", r->x + i);
		put_words(r->out, UNIFIED_DELETED, a, b);
		fprintf(r->out, "</code><i class=\"n\">%zu</i><code class=\"n\">", r->y + i);
		put_words(r->out, UNIFIED_ADDED, a, b);
		fputs("</code>", r->out);
	} else {
		if (before)
			put_cell(r, "o", r->x + i, *before);
		else
			put_empty(r);
		if (after)
			put_cell(r, "n", r->y + i, *after);
		else
			put_empty(r);
	}
	fputs("</div>\n", r->out);
}

static void flush(Rows *r)
{
	const size_t n = r->deleted.count > r->added.count ? r->deleted.count : r->added.count;

	for (size_t i = 0; i < n; i++)
		put_changed(r, i);
	r->x += r->deleted.count;
	r->y += r->added.count;
	r->deleted.count = r->added.count = 0;
}

static void on_hunk(void *ctx, size_t a, size_t a_count, size_t b, size_t b_count)
{
	Rows *r = ctx;

	flush(r);
	if ((a > 0 || b > 0 || r->rows > 0) && !r->one_sided && r->budget->rows > 0 && r->rows < FILE_ROWS)
		fprintf(r->out, "<div class=\"h\">@@ −%zu,%zu +%zu,%zu @@</div>\n", a_count ? a + 1 : a, a_count, b_count ? b + 1 : b, b_count);
	r->x = a + 1;
	r->y = b + 1;
}

static void on_part(void *ctx, UnifiedKind kind, Text line)
{
	Rows *r = ctx;

	if (kind == UNIFIED_SAME) {
		flush(r);
		put_same(r, line);
	} else {
		lines_add(kind == UNIFIED_DELETED ? &r->deleted : &r->added, line);
	}
}

int html_rows(FILE *out, Text before, Text after, bool one_sided, RowBudget *budget, RowCounts *counts)
{
	Rows r = {.out = out, .one_sided = one_sided, .x = 1, .y = 1, .budget = budget};
	const UnifiedVisitor v = {on_hunk, on_part, &r};

	*counts = (RowCounts){0};
	fprintf(out, "<div class=\"diff%s\">\n", one_sided ? " one" : "");
	int result = unified_lines(before, after, CONTEXT, &v, &counts->added, &counts->deleted);
	if (result == 0)
		flush(&r);
	fputs("</div>\n", out);
	counts->left_out = r.left_out;
	free(r.deleted.items);
	free(r.added.items);
	return result;
}
