/* cli/html.c - see html.h. Each change is written as it comes, into memory; its line of the tree, and the sums, are known before it, so the page is put together at the end. */
#include "cli/base64.h"
#include "cli/html.h"
#include "cli/html_rows.h"
#include "cli/html_text.h"
#include "cli/sha256.h"
#include "cli/version.h"
#include "page.h"

#include <inttypes.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

enum { CHANGES_MAX = 5000, TEXT_MAX = 8 << 20, IMAGE_MAX = 1 << 20, IMAGES_MAX = 16 << 20, OPEN_ROWS = 400 };

typedef struct Item {
	char *path;
	char kind;
	size_t number, added, deleted;
	uint64_t size;
	bool has_size;
} Item;

struct Html {
	const char *const *names;
	char *sandbox; /* or snapshot */
	FILE *out;     /* the changes, into `body` */
	char *body;
	size_t body_len;
	Item *items;
	size_t count, room;
	size_t kinds[128], left_out, added, deleted;
	RowBudget budget;
	size_t image_bytes;
};

static void check(bool good)
{
	if (!good)
		exit(cli_fail("out of memory"));
}

Html *html_new(const char *const names[2])
{
	Html *h = xrealloc(NULL, sizeof(*h));

	*h = (Html){.names = names, .budget = ROW_BUDGET_INIT};
	h->out = open_memstream(&h->body, &h->body_len);
	check(h->out);
	return h;
}

void html_free(Html *h)
{
	if (!h)
		return;
	if (h->out)
		fclose(h->out);
	for (size_t i = 0; i < h->count; i++)
		free(h->items[i].path);
	free(h->items);
	free(h->sandbox);
	free(h->body);
	free(h);
}

static void put_string(FILE *out, const char *text)
{
	html_text(out, text, strlen(text));
}

static void put_size(FILE *out, uint64_t bytes)
{
	char text[32];

	fputs(human_size(bytes, text), out);
}

/* The directory dim, the name bold. */
static void put_path(FILE *out, const char *path)
{
	const char *slash = strrchr(path, '/');

	fputs("<i>", out);
	html_text(out, path, slash ? (size_t)(slash - path) + 1 : 0);
	fputs("</i><b>", out);
	put_string(out, slash ? slash + 1 : path);
	fputs("</b>", out);
}

/* ---- what a file is ---- */

/* The types that browsers take as images and that no script can be in; by their first bytes. NULL: none of them. */
static const char *image_type(const Version *v)
{
	static const struct {
		const char *magic, *type;
		size_t len;
	} types[] = {{"\x89PNG\r\n\x1a\n", "png", 8}, {"\xff\xd8\xff", "jpeg", 3}, {"GIF87a", "gif", 6}, {"GIF89a", "gif", 6}};

	if (!S_ISREG(v->mode) || !v->bytes || v->len == 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (v->len >= types[i].len && memcmp(v->bytes, types[i].magic, types[i].len) == 0)
			return types[i].type;
	return v->len >= 12 && memcmp(v->bytes, "RIFF", 4) == 0 && memcmp(v->bytes + 8, "WEBP", 4) == 0 ? "webp" : NULL;
}

static void put_image(Html *h, const Version *v, const char *label)
{
	const char *type = image_type(v);

	if (!type)
		return;
	fputs("<figure>", h->out);
	if (v->len <= IMAGE_MAX && h->image_bytes + v->len <= IMAGES_MAX) {
		h->image_bytes += v->len;
		fprintf(h->out, "<img alt=\"%s\" src=\"data:image/%s;base64,", label, type);
		base64_put(h->out, v->bytes, v->len);
		fputs("\">", h->out);
	} else {
		fputs("<p class=\"note\">Too large to be shown here.</p>", h->out);
	}
	fprintf(h->out, "<figcaption>%s: %s, ", label, type);
	put_size(h->out, v->len);
	fputs("</figcaption></figure>\n", h->out);
}

static void put_sum(FILE *out, const char *label, const Version *v)
{
	char hex[65];

	if (!v->mode)
		return;
	fprintf(out, "<tr><th>%s</th><td>", label);
	put_size(out, v->len);
	fprintf(out, " (%zu bytes)</td><td><code>", v->len);
	fputs(v->bytes && !v->too_large && sha256_hex(v->bytes, v->len, hex) ? hex : v->too_large ? "too large to be looked at" : "", out);
	fputs("</code></td></tr>\n", out);
}

static void put_binary(Html *h, const Version *before, const Version *after)
{
	fputs("<table>\n", h->out);
	put_sum(h->out, "Before", before);
	put_sum(h->out, "After", after);
	fputs("</table>\n", h->out);
}

/* ---- one change ---- */

static void put_tag(FILE *out, const char *text)
{
	fprintf(out, "<span class=\"tag\">%s</span>\n", text);
}

static void put_tags(Html *h, const BvChange *c, const Version *before, const Version *after)
{
	char text[80];
	const uint32_t mode = after->mode ? after->mode : c->mode, old_mode = before->mode ? before->mode : c->old_mode;

	if (c->kind == BV_ADDED || c->kind == BV_DELETED) {
		const uint32_t only = c->kind == BV_ADDED ? mode : old_mode;
		if (only && !S_ISREG(only) && type_name(only))
			put_tag(h->out, type_name(only));
		if (c->kind == BV_ADDED && (only & 0111) && S_ISREG(only))
			put_tag(h->out, "executable");
	} else if (mode && old_mode && (mode & S_IFMT) != (old_mode & S_IFMT)) {
		snprintf(text, sizeof(text), "%s → %s", type_name(old_mode) ? type_name(old_mode) : "?", type_name(mode) ? type_name(mode) : "?");
		put_tag(h->out, text);
	} else if (mode && old_mode && (mode & 07777) != (old_mode & 07777)) {
		snprintf(text, sizeof(text), "mode %04o → %04o", old_mode & 07777, mode & 07777);
		put_tag(h->out, text);
	} else if (S_ISLNK(mode) && S_ISLNK(old_mode)) {
		put_tag(h->out, type_name(mode));
	}
	if (c->diff & BV_DIFF_OWNER) {
		snprintf(text, sizeof(text), "owner → %u:%u", c->uid, c->gid);
		put_tag(h->out, text);
	}
	if (c->diff & BV_DIFF_XATTR)
		put_tag(h->out, "extended attributes");
	if (c->diff & BV_DIFF_LOST)
		put_tag(h->out, "content lost from the store");
	if (c->link_to) {
		fputs("<span class=\"tag\">hard link to ", h->out);
		put_string(h->out, c->link_to);
		fputs("</span>\n", h->out);
	}
}

static void put_facts(Html *h, const BvChange *c, const Version *before, const Version *after, const RowCounts *rows)
{
	const bool old = S_ISREG(before->mode), now = S_ISREG(after->mode);

	fputs("<span class=\"facts\">", h->out);
	if (rows->added)
		fprintf(h->out, "<span class=\"plus\">+%zu</span>", rows->added);
	if (rows->deleted)
		fprintf(h->out, "<span class=\"minus\">−%zu</span>", rows->deleted);
	if ((old || now) && !(c->diff & BV_DIFF_LOST)) {
		fputs("<span>", h->out);
		if (old)
			put_size(h->out, before->len);
		if (old && now && before->len != after->len)
			fputs(" → ", h->out);
		if (now && (!old || before->len != after->len))
			put_size(h->out, after->len);
		fputs("</span>", h->out);
	}
	fputs("</span>", h->out);
}

static void put_heading(Html *h, const BvChange *c, const Version *before, const Version *after, const RowCounts *rows)
{
	static const char *const words[] = {['A'] = "added", ['M'] = "modified", ['D'] = "deleted", ['T'] = "another type", ['R'] = "renamed"};

	fprintf(h->out, "<span class=\"kind %c\" title=\"%s\">%c</span> <span class=\"path\">", c->kind, words[c->kind], c->kind);
	if (c->old_path) {
		fputs("<span class=\"was\">", h->out);
		put_string(h->out, c->old_path);
		fputs("</span> → ", h->out);
	}
	put_path(h->out, c->path);
	fputs("</span>\n", h->out);
	put_tags(h, c, before, after);
	put_facts(h, c, before, after, rows);
}

static void put_left_out(FILE *out, const char *what, const BvChange *c)
{
	fprintf(out, "<p class=\"note warn\">%s; <code>bvisor diff -p NAME -- ", what);
	put_string(out, c->path);
	fputs("</code> shows all.</p>\n", out);
}

/* Where a symbolic link points to is a line; *line is the caller's to free. */
static Text comparable(const Version *v, char **line)
{
	const Text text = version_text(v);

	if (!S_ISLNK(v->mode))
		return text;
	*line = xasprintf("%.*s\n", (int)text.len, text.bytes);
	return (Text){*line, strlen(*line)};
}

static void put_text_diff(Html *h, const BvChange *c, const Version *before, const Version *after, RowCounts *rows)
{
	char what[120], *lines[2] = {NULL, NULL};
	const Text texts[] = {comparable(before, &lines[0]), comparable(after, &lines[1])};

	check(html_rows(h->out, texts[0], texts[1], !before->mode || !after->mode, &h->budget, rows) == 0);
	free(lines[0]);
	free(lines[1]);
	if (rows->left_out == 0)
		return;
	snprintf(what, sizeof(what), "%zu more lines are left out", rows->left_out);
	put_left_out(h->out, what, c);
}

/* What changed in the content, into h->out; nothing if that stayed. */
static void put_content(Html *h, const BvChange *c, const Version *before, const Version *after, RowCounts *rows)
{
	const bool differs = before->len != after->len || !before->mode != !after->mode || (before->bytes && after->bytes && memcmp(before->bytes, after->bytes, after->len) != 0) || before->too_large ||
			     after->too_large;

	if (c->link_to || (c->diff & BV_DIFF_LOST) || !differs || (!version_has_text(before) && !version_has_text(after)))
		return;
	if (image_type(before) || image_type(after)) {
		fputs("<div class=\"images\">\n", h->out);
		put_image(h, before, "Before");
		put_image(h, after, "After");
		fputs("</div>\n", h->out);
	}
	if (version_is_binary(before) || version_is_binary(after) || before->len + after->len > TEXT_MAX) {
		put_binary(h, before, after);
		return;
	}
	if (before->len + after->len == 0)
		fputs("<p class=\"note\">An empty file.</p>\n", h->out);
	else
		put_text_diff(h, c, before, after, rows);
}

static Item *new_item(Html *h, const BvChange *c)
{
	if (h->count == h->room) {
		h->room = h->room ? 2 * h->room : 64;
		h->items = xrealloc(h->items, h->room * sizeof(*h->items));
	}
	h->items[h->count] = (Item){.path = xasprintf("%s", c->path), .kind = (char)c->kind, .number = h->count};
	return &h->items[h->count++];
}

/* The content comes first into memory of its own: how many lines it has stands above it. */
static char *make_content(Html *h, const BvChange *c, const Version *before, const Version *after, RowCounts *rows)
{
	FILE *page = h->out;
	char *text = NULL;
	size_t len = 0;

	h->out = open_memstream(&text, &len);
	check(h->out);
	put_content(h, c, before, after, rows);
	check(fclose(h->out) == 0);
	h->out = page;
	return text;
}

void html_add(Html *h, const BvSide *before_side, const BvSide *after_side, const BvChange *c)
{
	Version before, after;
	RowCounts rows = {0};

	if (!h->sandbox)
		h->sandbox = xasprintf("%s", after_side->sandbox ? bv_sandbox_name(after_side->sandbox) : h->names[1]);
	h->kinds[(unsigned char)c->kind & 127]++;
	if (h->count == CHANGES_MAX) {
		h->left_out++;
		return;
	}
	versions_load(before_side, after_side, c, &before, &after);
	Item *item = new_item(h, c);
	char *content = make_content(h, c, &before, &after, &rows);
	item->added = rows.added;
	item->deleted = rows.deleted;
	item->has_size = S_ISREG(after.mode) && !(c->diff & BV_DIFF_LOST);
	item->size = after.len;
	h->added += rows.added;
	h->deleted += rows.deleted;
	fprintf(h->out, "<article id=\"c%zu\" data-kind=\"%c\">", item->number, c->kind);
	if (*content) {
		fprintf(h->out, "<details%s><summary>", rows.added + rows.deleted > OPEN_ROWS ? "" : " open");
		put_heading(h, c, &before, &after, &rows);
		fprintf(h->out, "</summary>\n%s</details>", content);
	} else {
		fputs("<div class=\"sum-only\">", h->out);
		put_heading(h, c, &before, &after, &rows);
		fputs("</div>", h->out);
	}
	fputs("</article>\n", h->out);
	free(content);
	free(before.bytes);
	free(after.bytes);
}

/* ---- the tree ---- */

/* What is in a directory comes right behind it. */
static int by_path(const void *a, const void *b)
{
	const unsigned char *x = (const unsigned char *)((const Item *)a)->path, *y = (const unsigned char *)((const Item *)b)->path;

	while (*x && *x == *y)
		x++, y++;
	const int cx = *x == '/' ? 1 : *x ? *x + 2 : 0, cy = *y == '/' ? 1 : *y ? *y + 2 : 0;
	return cx - cy;
}

static void put_item(FILE *out, const Item *item, size_t from, const char *slash)
{
	fprintf(out, "<a class=\"%c\" href=\"#c%zu\"><span class=\"kind\">%c</span><span class=\"name\">", item->kind, item->number, item->kind);
	put_string(out, item->path[from] ? item->path + from : item->path);
	fprintf(out, "%s</span>", slash);
	if (item->added)
		fprintf(out, "<span class=\"size plus\">+%zu</span>", item->added);
	if (item->deleted)
		fprintf(out, "<span class=\"size minus\">−%zu</span>", item->deleted);
	if (item->has_size) {
		fputs("<span class=\"size\">", out);
		put_size(out, item->size);
		fputs("</span>", out);
	}
	fputs("</a>", out);
}

/* How many of the items begin with the first `len` bytes of the first. */
static size_t count_below(const Item *items, size_t n, size_t len)
{
	size_t i = 1;

	while (i < n && strncmp(items[i].path, items[0].path, len) == 0)
		i++;
	return i;
}

/* The directory that all of the items are in, from the component after `from` on: its length with the slash; 0: the first is no directory's. */
static size_t common_directory(const Item *items, size_t n, size_t from)
{
	size_t found = 0;

	for (const char *slash = strchr(items[0].path + from, '/'); slash; slash = strchr(slash + 1, '/')) {
		const size_t len = (size_t)(slash - items[0].path) + 1;
		if (found && count_below(items, n, len) < n)
			break;
		found = len;
	}
	return found;
}

/* How many of the items are in the first one, a directory. */
static size_t count_inside(const Item *items, size_t n)
{
	const size_t len = strlen(items[0].path);

	if (n < 2 || strncmp(items[1].path, items[0].path, len) != 0 || items[1].path[len] != '/')
		return 0;
	return count_below(items + 1, n - 1, len + 1);
}

static size_t put_branch(FILE *out, const Item *items, size_t n, size_t from);

/* A path is at most PATH_MAX bytes, so this ends. */
static void put_tree(FILE *out, const Item *items, size_t n, size_t from)
{
	fputs("<ul>\n", out);
	for (size_t i = 0; i < n;)
		i += put_branch(out, items + i, n - i, from);
	fputs("</ul>\n", out);
}

/* The first item and what belongs below the same line; returns how many these are. */
static size_t put_branch(FILE *out, const Item *items, size_t n, size_t from)
{
	const char *slash = strchr(items[0].path + from, '/');
	const size_t inside = slash ? 0 : count_inside(items, n), below = slash ? count_below(items, n, (size_t)(slash - items[0].path) + 1) : inside + 1;
	const size_t len = inside ? strlen(items[0].path) + 1 : slash ? common_directory(items, below, from) : 0;

	if (below == 1) {
		fputs("<li>", out);
		put_item(out, items, from, "");
		fputs("</li>\n", out);
		return 1;
	}
	fputs("<li class=\"dir\"><details open><summary>", out);
	if (inside)
		put_item(out, items, from, "/");
	else
		html_text(out, items[0].path + from, len - from);
	fputs("</summary>", out);
	put_tree(out, items + (inside > 0), below - (inside > 0), len);
	fputs("</details></li>\n", out);
	return below;
}

/* ---- the page ---- */

/* Nothing on the page was made by somebody who could know it. */
static void make_nonce(char out[33])
{
	unsigned char random[16];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		exit(cli_fail("no random numbers can be had"));
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(out + 2 * i, 3, "%02x", random[i]);
}

static size_t count_all(const Html *h)
{
	return h->count + h->left_out;
}

static void put_kinds(const Html *h, FILE *out)
{
	static const struct {
		char kind;
		const char *word;
	} kinds[] = {{'A', "added"}, {'M', "modified"}, {'D', "deleted"}, {'R', "renamed"}, {'T', "other type"}};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (h->kinds[(unsigned char)kinds[i].kind])
			fprintf(out, "<button type=\"button\" data-kind=\"%c\" aria-pressed=\"true\">%zu %s</button>\n", kinds[i].kind, h->kinds[(unsigned char)kinds[i].kind], kinds[i].word);
}

static void put_header(const Html *h, FILE *out)
{
	fputs("<header><h1>", out);
	put_string(out, h->sandbox ? h->sandbox : h->names[1] ? h->names[1] : "sandbox");
	fputs(" <small>compared with ", out);
	put_string(out, h->names[0] ? h->names[0] : "the host");
	fprintf(out, "</small></h1>\n<span class=\"sum\">%zu change%s <span class=\"plus\">+%zu</span> <span class=\"minus\">−%zu</span></span>\n", count_all(h), count_all(h) == 1 ? "" : "s", h->added, h->deleted);
	fputs("<div class=\"tools\">\n", out);
	put_kinds(h, out);
	fputs("<button type=\"button\" id=\"fold\">Fold</button>\n<input type=\"search\" id=\"filter\" placeholder=\"Filter: path or text ( / )\" aria-label=\"Filter by path or text\" autocomplete=\"off\">\n</div></header>\n", out);
}

static void put_head(const Html *h, FILE *out, const char *nonce)
{
	fprintf(out,
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'nonce-%s'; script-src 'nonce-%s'; img-src data:; base-uri 'none'; form-action 'none'\">\n"
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n"
		"<title>",
		nonce, nonce);
	put_string(out, h->sandbox ? h->sandbox : "bvisor diff");
	fprintf(out, ": %zu change%s</title>\n<style nonce=\"%s\">\n%s</style>\n</head>\n<body>\n", count_all(h), count_all(h) == 1 ? "" : "s", nonce, asset_diff_css);
}

void html_print(Html *h, FILE *out)
{
	char nonce[33], when[32];

	make_nonce(nonce);
	check(fclose(h->out) == 0);
	h->out = NULL;
	if (h->count)
		qsort(h->items, h->count, sizeof(*h->items), by_path);
	put_head(h, out, nonce);
	put_header(h, out);
	fputs("<div class=\"page\">\n<nav aria-label=\"Changes\">\n", out);
	put_tree(out, h->items, h->count, 0);
	fputs("</nav>\n<main>\n", out);
	fwrite(h->body, 1, h->body_len, out);
	if (h->left_out)
		fprintf(out, "<p class=\"note warn\">%zu more changes are left out of this page; <code>bvisor diff</code> lists all.</p>\n", h->left_out);
	fprintf(out, "<p class=\"empty\" id=\"none\"%s>%s</p>\n</main>\n</div>\n", h->count ? " hidden" : "", h->count ? "No change is like that." : "Nothing was changed.");
	fprintf(out, "<footer>Made by bvisor %s on %s. The page is complete in itself: it loads nothing.</footer>\n<script nonce=\"%s\">\n%s</script>\n</body>\n</html>\n", bv_version(),
		local_time((int64_t)time(NULL), when), nonce, asset_diff_js);
}
