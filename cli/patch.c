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

static void print_modes(const BvChange *c, const Version *before, const Version *after)
{
	if (!before->mode)
		printf("new file mode %06o\n", after->mode);
	else if (!after->mode)
		printf("deleted file mode %06o\n", before->mode);
	else if (before->mode != after->mode)
		printf("old mode %06o\nnew mode %06o\n", before->mode, after->mode);
	if (c->old_path) {
		char *from = quoted(c->old_path), *to = quoted(c->path);
		printf("rename from %s\nrename to %s\n", from, to);
		free(from);
		free(to);
	}
	if (c->link_to) {
		char *to = quoted(c->link_to);
		printf("hard link to %s\n", to);
		free(to);
	}
	if (c->diff & BV_DIFF_OWNER)
		printf("new owner %u:%u\n", c->uid, c->gid);
	if (c->diff & BV_DIFF_XATTR)
		puts("extended attributes differ");
}

static void print_content(const char *a, const char *b, const Version *before, const Version *after, bool color)
{
	const UnifiedStyle style = {3, color ? "\033[1m" : "", color ? "\033[36m" : "", color ? "\033[32m" : "", color ? "\033[31m" : "", color ? "\033[0m" : ""};
	char *hunks = NULL;
	size_t len = 0, added, deleted;
	FILE *out;

	if (version_is_binary(before) || version_is_binary(after)) {
		printf("Binary files %s and %s differ\n", before->mode ? a : "/dev/null", after->mode ? b : "/dev/null");
		return;
	}
	out = open_memstream(&hunks, &len);
	if (!out || unified_diff(out, version_text(before), version_text(after), &style, &added, &deleted) < 0 || fclose(out) != 0)
		exit(cli_fail("out of memory"));
	if (added + deleted > 0)
		printf("%s--- %s%s\n%s+++ %s%s\n", style.header, before->mode ? a : "/dev/null", style.reset, style.header, after->mode ? b : "/dev/null",
		       style.reset);
	fwrite(hunks, 1, len, stdout);
	free(hunks);
}

void patch_print(const BvSide *before_side, const BvSide *after_side, const BvChange *c, bool color)
{
	char *a = prefixed("a", c->old_path ? c->old_path : c->path), *b = prefixed("b", c->path);
	Version before, after;

	versions_load(before_side, after_side, c, &before, &after);
	printf("%sdiff --bvisor %s %s%s\n", color ? "\033[1m" : "", a, b, color ? "\033[0m" : "");
	print_modes(c, &before, &after);
	if (!c->link_to && (version_has_text(&before) || version_has_text(&after)))
		print_content(a, b, &before, &after, color);
	free(before.bytes);
	free(after.bytes);
	free(a);
	free(b);
}

/* ---- --stat ---- */

static void print_bar(size_t added, size_t deleted, bool color)
{
	size_t total = added + deleted, width = total < STAT_WIDTH ? total : STAT_WIDTH;
	size_t plus = total ? (added * width + total - 1) / total : 0;

	fputs(color ? "\033[32m" : "", stdout);
	for (size_t i = 0; i < plus; i++)
		putchar('+');
	fputs(color ? "\033[31m" : "", stdout);
	for (size_t i = plus; i < width; i++)
		putchar('-');
	fputs(color ? "\033[0m" : "", stdout);
}

void patch_stat_line(const BvSide *before_side, const BvSide *after_side, const BvChange *c, bool color, PatchTotals *totals)
{
	const UnifiedStyle style = {3, "", "", "", "", ""};
	Version before, after;
	size_t added = 0, deleted = 0;

	versions_load(before_side, after_side, c, &before, &after);
	putchar(' ');
	if (c->old_path) {
		print_quoted(stdout, c->old_path);
		fputs(" => ", stdout);
	}
	print_quoted(stdout, c->path);
	fputs(" | ", stdout);
	if (version_is_binary(&before) || version_is_binary(&after)) {
		printf("Bin %zu -> %zu bytes", before.len, after.len);
	} else {
		if (!c->link_to && (version_has_text(&before) || version_has_text(&after)) &&
		    unified_diff(NULL, version_text(&before), version_text(&after), &style, &added, &deleted) < 0)
			exit(cli_fail("out of memory"));
		printf("%zu ", added + deleted);
		print_bar(added, deleted, color);
	}
	putchar('\n');
	totals->files++;
	totals->added += added;
	totals->deleted += deleted;
	free(before.bytes);
	free(after.bytes);
}

void patch_stat_total(const PatchTotals *t)
{
	printf(" %zu path%s changed, %zu insertion%s(+), %zu deletion%s(-)\n", t->files, t->files == 1 ? "" : "s", t->added, t->added == 1 ? "" : "s",
	       t->deleted, t->deleted == 1 ? "" : "s");
}
