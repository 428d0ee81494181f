/* cli/cmd_apply.c - `bvisor apply`: make a sandbox's changes on the host. Exit code 1 when something was left. */
#include "cli/cli.h"

enum { OPT_DRY_RUN = OPT_FIRST };

typedef struct Report {
	bool json, dry;
	const char *sandbox;
	Json out;
	bool begun; /* of the JSON object: an error before the first item must not leave half of one */
	size_t applied, conflicts, failed;
} Report;

static const char *result_word(BvApplyResult result)
{
	switch (result) {
	case BV_APPLIED: return "applied";
	case BV_WOULD_APPLY: return "would apply";
	case BV_CONFLICT: return "conflict";
	case BV_APPLY_FAILED: break;
	}
	return "failed";
}

static const char *result_color(BvApplyResult result)
{
	return result == BV_CONFLICT ? "yellow" : result == BV_APPLY_FAILED ? "red" : "green";
}

static void print_item_json(Json *j, const BvApplyItem *item)
{
	char kind[2] = {(char)item->kind, 0};

	json_open(j, NULL, '{');
	json_put_string(j, "kind", kind);
	json_put_string(j, "result", result_word(item->result));
	json_path(j, "path", item->path);
	if (item->old_path)
		json_path(j, "old_path", item->old_path);
	if (item->link_to)
		json_path(j, "link_to", item->link_to);
	json_put_string(j, "reason", item->reason);
	json_close(j, '}');
}

static void begin_json(Report *r)
{
	if (r->begun)
		return;
	r->begun = true;
	json_open(&r->out, NULL, '{');
	json_put_string(&r->out, "sandbox", r->sandbox);
	json_put_bool(&r->out, "dry_run", r->dry);
	json_open(&r->out, "items", '[');
}

static int on_item(void *ctx, const BvApplyItem *item)
{
	Report *r = ctx;

	progress_end();
	r->applied += item->result == BV_APPLIED || item->result == BV_WOULD_APPLY;
	r->conflicts += item->result == BV_CONFLICT;
	r->failed += item->result == BV_APPLY_FAILED;
	if (r->json) {
		begin_json(r);
		print_item_json(&r->out, item);
		return 0;
	}
	printf("%s%-11s%s %c ", color(result_color(item->result)), result_word(item->result), color("plain"), item->kind);
	if (item->old_path) {
		print_quoted(stdout, item->old_path);
		fputs(" -> ", stdout);
	}
	print_quoted(stdout, item->path);
	print_link(stdout, item->link_to);
	if (item->reason) {
		fputs("  (", stdout);
		print_plain(stdout, item->reason);
		putchar(')');
	}
	putchar('\n');
	return 0;
}

static int apply(BvSandbox *sb, const BvApplyOptions *options, Report *report)
{
	BvError *err = NULL;
	int r;

	report->dry = options->flags & BV_APPLY_DRY_RUN;
	report->sandbox = bv_sandbox_name(sb);
	r = bv_sandbox_apply(sb, options, on_item, report, &err);
	progress_end();
	if (r < 0)
		return cli_fail_error(err);
	if (report->json) {
		begin_json(report);
		json_close(&report->out, ']');
		json_int(&report->out, "applied", (int64_t)report->applied);
		json_int(&report->out, "conflicts", (int64_t)report->conflicts);
		json_int(&report->out, "failed", (int64_t)report->failed);
		json_close(&report->out, '}');
		putchar('\n');
	} else {
		printf("%zu %s, %zu conflict%s, %zu failed\n", report->applied, report->dry ? "to apply" : "applied", report->conflicts,
		       report->conflicts == 1 ? "" : "s", report->failed);
	}
	return r > 0 ? 1 : 0;
}

int cmd_apply(const Command *cmd, int argc, char **argv)
{
	static const struct option longs[] = {
		{"dry-run", no_argument, NULL, OPT_DRY_RUN}, {"json", no_argument, NULL, OPT_JSON}, LONG_KEY, LONG_COMMON, {0}};
	BvApplyOptions options = BV_APPLY_OPTIONS_INIT;
	Report report = {.out = {.out = stdout}};
	BvSandbox *sb = NULL;
	BvError *err = NULL;
	static List paths; /* lives until exit */
	int c, code;

	while ((c = opts_next(cmd, argc, argv, ":", longs)) != -1) {
		if (key_option(key_of_command(), c))
			continue;
		options.flags |= c == OPT_DRY_RUN ? BV_APPLY_DRY_RUN : 0;
		report.json = report.json || c == OPT_JSON;
	}
	const char *name = name_and_paths(argc, argv, absolute_path_with_links, &paths);
	options.paths = paths.items;
	options.progress = progress_show;
	if (open_sandbox(name, &sb, &err) < 0)
		return cli_fail_error(err);
	code = apply(sb, &options, &report);
	bv_sandbox_close(sb);
	return code;
}
