/* cli/patch.c - see patch.h. */
#include "cli/patch.h"
#include "cli/version.h"

#define STAT_WIDTH 40

/* ---- -p ---- */

static char *prefixed(const char *prefix, const char *path)
{
	char *joined = xasprintf("%s%s", prefix, path);
	char *result = quoted(joined);

	free(joined);
	return result;
}

static void print_modes(FILE *out, const BvChange *c, const Version *before, const Version *after)
{
	if (!before->mode)
		fprintf(out, "new file mode %06o\n", after->mode);
	else if (!after->mode)
		fprintf(out, "deleted file mode %06o\n", before->mode);
	else if (before->mode != after->mode)
		fprintf(out, "old mode %06o\nnew mode %06o\n", before->mode, after->mode);
	if (c->old_path) {
		char *from = quoted(c->old_path), *to = quoted(c->path);
		fprintf(out, "rename from %s\nrename to %s\n", from, to);
		free(from);
		free(to);
	}
	if (c->link_to) {
		char *to = quoted(c->link_to);
		fprintf(out, "hard link to %s\n", to);
		free(to);
	}
	if (c->diff & BV_DIFF_OWNER)
		fprintf(out, "new owner %u:%u\n", c->uid, c->gid);
	if (c->diff & BV_DIFF_XATTR)
		fputs("extended attributes differ\n", out);
}

static void print_content(FILE *to, const char *a, const char *b, const Version *before, const Version *after, bool color)
{
	const UnifiedStyle style = {3, color ? "\033[1m" : "", color ? "\033[36m" : "", color ? "\033[32m" : "", color ? "\033[31m" : "", color ? "\033[0m" : ""};
	char *hunks = NULL;
	size_t len = 0, added, deleted;
	FILE *out;

	if (version_is_binary(before) || version_is_binary(after)) {
		fprintf(to, "Binary files %s and %s differ\n", before->mode ? a : "/dev/null", after->mode ? b : "/dev/null");
		return;
	}
	out = open_memstream(&hunks, &len);
	if (!out || unified_diff(out, version_text(before), version_text(after), &style, &added, &deleted) < 0 || fclose(out) != 0)
		exit(cli_fail("out of memory"));
	if (added + deleted > 0)
		fprintf(to, "%s--- %s%s\n%s+++ %s%s\n", style.header, before->mode ? a : "/dev/null", style.reset, style.header, after->mode ? b : "/dev/null",
		       style.reset);
	fwrite(hunks, 1, len, to);
	free(hunks);
}

void patch_print(FILE *out, const BvSide *before_side, const BvSide *after_side, const BvChange *c, bool color)
{
	char *a = prefixed("a", c->old_path ? c->old_path : c->path), *b = prefixed("b", c->path);
	Version before, after;

	versions_load(before_side, after_side, c, &before, &after);
	fprintf(out, "%sdiff --bvisor %s %s%s\n", color ? "\033[1m" : "", a, b, color ? "\033[0m" : "");
	print_modes(out, c, &before, &after);
	if (!c->link_to && (version_has_text(&before) || version_has_text(&after)))
		print_content(out, a, b, &before, &after, color);
	free(before.bytes);
	free(after.bytes);
	free(a);
	free(b);
}

/* ---- --stat ---- */

static void print_bar(FILE *out, size_t added, size_t deleted, bool color)
{
	size_t total = added + deleted, width = total < STAT_WIDTH ? total : STAT_WIDTH;
	size_t plus = total ? (added * width + total - 1) / total : 0;

	fputs(color ? "\033[32m" : "", out);
	for (size_t i = 0; i < plus; i++)
		fputc('+', out);
	fputs(color ? "\033[31m" : "", out);
	for (size_t i = plus; i < width; i++)
		fputc('-', out);
	fputs(color ? "\033[0m" : "", out);
}

void patch_stat_line(FILE *out, const BvSide *before_side, const BvSide *after_side, const BvChange *c, bool color, PatchTotals *totals)
{
	const UnifiedStyle style = {3, "", "", "", "", ""};
	Version before, after;
	size_t added = 0, deleted = 0;

	versions_load(before_side, after_side, c, &before, &after);
	fputc(' ', out);
	if (c->old_path) {
		print_quoted(out, c->old_path);
		fputs(" => ", out);
	}
	print_quoted(out, c->path);
	print_link(out, c->link_to);
	fputs(" | ", out);
	if (version_is_binary(&before) || version_is_binary(&after)) {
		fprintf(out, "Bin %zu -> %zu bytes", before.len, after.len);
	} else {
		if (!c->link_to && (version_has_text(&before) || version_has_text(&after)) &&
		    unified_diff(NULL, version_text(&before), version_text(&after), &style, &added, &deleted) < 0)
			exit(cli_fail("out of memory"));
		fprintf(out, "%zu ", added + deleted);
		print_bar(out, added, deleted, color);
	}
	fputc('\n', out);
	totals->files++;
	totals->added += added;
	totals->deleted += deleted;
	free(before.bytes);
	free(after.bytes);
}

void patch_stat_total(FILE *out, const PatchTotals *t)
{
	fprintf(out, " %zu path%s changed, %zu insertion%s(+), %zu deletion%s(-)\n", t->files, t->files == 1 ? "" : "s", t->added, t->added == 1 ? "" : "s",
	       t->deleted, t->deleted == 1 ? "" : "s");
}
