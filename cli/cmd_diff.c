/* cli/cmd_diff.c - `bvisor diff`: what a sandbox or snapshot changed, or two of them differ in, as git would show it. */
#include "cli/cli.h"
#include "cli/html.h"
#include "cli/pager.h"
#include "cli/patch.h"
#include "cli/version.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPT_STAT = OPT_FIRST, OPT_NAME_ONLY, OPT_COLOR, OPT_NO_PAGER, OPT_RAW, OPT_FROM, OPT_HTML };

typedef enum DiffFormat { DIFF_STATUS, DIFF_NAMES, DIFF_STAT, DIFF_PATCH, DIFF_JSON, DIFF_HTML } DiffFormat;

typedef struct DiffOptions {
	DiffFormat format;
	bool color, pager, raw;
	const char *from, *output;
	List paths;
} DiffOptions;

static const struct option diff_options[] = {
	{"stat", no_argument, NULL, OPT_STAT},	       {"patch", no_argument, NULL, 'p'},    {"json", no_argument, NULL, OPT_JSON},
	{"name-only", no_argument, NULL, OPT_NAME_ONLY}, {"color", required_argument, NULL, OPT_COLOR}, {"no-pager", no_argument, NULL, OPT_NO_PAGER},
	{"html", no_argument, NULL, OPT_HTML},	       {"output", required_argument, NULL, 'o'},
	{"raw", no_argument, NULL, OPT_RAW},	       {"from", required_argument, NULL, OPT_FROM}, LONG_KEY, LONG_COMMON,
	{0},
};

static DiffOptions parse(const Command *cmd, int argc, char **argv)
{
	DiffOptions o = {.pager = isatty(STDOUT_FILENO)};
	int c;

	while ((c = opts_next(cmd, argc, argv, ":po:", diff_options)) != -1) {
		switch (c) {
		case OPT_STAT: o.format = DIFF_STAT; break;
		case 'p': o.format = DIFF_PATCH; break;
		case OPT_JSON: o.format = DIFF_JSON; break;
		case OPT_HTML: o.format = DIFF_HTML; break;
		case 'o': o.output = optarg; break;
		case OPT_NAME_ONLY: o.format = DIFF_NAMES; break;
		case OPT_COLOR: color_choose(cmd, optarg); break;
		case OPT_NO_PAGER: o.pager = false; break;
		case OPT_RAW: o.raw = true; break;
		case OPT_FROM: o.from = optarg; break;
		default: key_option(key_of_command(), c);
		}
	}
	o.color = color_wanted();
	if (o.output && o.format != DIFF_HTML)
		usage_error(cmd, "--output goes with --html");
	if (o.format == DIFF_HTML && !o.output && isatty(STDOUT_FILENO))
		usage_error(cmd, "--html makes a page for a browser: --output FILE writes it into a file");
	return o;
}

/* ---- formats ---- */

static const char *kind_color(BvChangeKind kind)
{
	switch (kind) {
	case BV_ADDED: return "\033[32m";
	case BV_DELETED: return "\033[31m";
	case BV_RENAMED: return "\033[36m";
	case BV_MODIFIED:
	case BV_TYPE_CHANGED: break;
	}
	return "\033[33m";
}

typedef struct Print {
	const DiffOptions *o;
	BvSide before, after; /* before: nothing, for the host */
	const char *names[2]; /* of these, as given; NULL */
	Json json;
	bool json_begun;
	PatchTotals totals;
	Html *html; /* DIFF_HTML */
	size_t lost;
	char *lost_path; /* the first of them */
	List unchanged;	 /* messages on paths where nothing differs, for the end: a pager may have the terminal */
} Print;

/* Not before there is something to say: an error must not leave half an object. */
static void begin_json(Print *p)
{
	if (p->json_begun)
		return;
	p->json_begun = true;
	json_open(&p->json, NULL, '{');
	if (p->names[0])
		json_put_string(&p->json, "before", p->names[0]);
	if (p->after.sandbox)
		json_put_string(&p->json, "sandbox", bv_sandbox_name(p->after.sandbox));
	else
		json_put_string(&p->json, "snapshot", p->names[1]);
	json_open(&p->json, "changes", '[');
}

static void print_status(const Print *p, const BvChange *c)
{
	fputs(p->o->color ? kind_color(c->kind) : "", stdout);
	printf("%c\t", c->kind);
	if (c->old_path) {
		print_quoted(stdout, c->old_path);
		putchar('\t');
	}
	print_quoted(stdout, c->path);
	if (c->link_to) {
		fputs("\thard link to ", stdout);
		print_quoted(stdout, c->link_to);
	}
	puts(p->o->color ? "\033[0m" : "");
}

static void print_json(Json *j, const BvChange *c)
{
	static const struct {
		unsigned bit;
		const char *name;
	} bits[] = {{BV_DIFF_CONTENT, "content"}, {BV_DIFF_MODE, "mode"},   {BV_DIFF_OWNER, "owner"},
		    {BV_DIFF_TIMES, "times"},	  {BV_DIFF_XATTR, "xattr"}, {BV_DIFF_TARGET, "target"},
		    {BV_DIFF_LOST, "lost"}};
	char kind[2] = {(char)c->kind, 0};

	json_open(j, NULL, '{');
	json_put_string(j, "kind", kind);
	json_path(j, "path", c->path);
	if (c->old_path)
		json_path(j, "old_path", c->old_path);
	if (c->link_to)
		json_path(j, "link_to", c->link_to);
	json_open(j, "differs", '[');
	for (size_t i = 0; i < ARRAY_LEN(bits); i++)
		if (c->diff & bits[i].bit)
			json_put_string(j, NULL, bits[i].name);
	json_close(j, ']');
	if (c->mode) {
		json_put_string(j, "type", type_name(c->mode));
		json_int(j, "mode", c->mode & 07777);
		json_int(j, "uid", c->uid);
		json_int(j, "gid", c->gid);
		json_int(j, "size", (int64_t)c->bytes);
		json_int(j, "mtime", c->mtime_sec);
		json_int(j, "mtime_nsec", c->mtime_nsec);
	}
	if (c->old_mode) {
		json_put_string(j, "old_type", type_name(c->old_mode));
		json_int(j, "old_mode", c->old_mode & 07777);
	}
	json_close(j, '}');
}

static int print_change(void *ctx, const BvChange *c)
{
	Print *p = ctx;

	if ((c->diff & BV_DIFF_LOST) && p->lost++ == 0)
		p->lost_path = quoted(c->path);
	switch (p->o->format) {
	case DIFF_STATUS: print_status(p, c); break;
	case DIFF_NAMES:
		print_quoted(stdout, c->path);
		putchar('\n');
		break;
	case DIFF_STAT: patch_stat_line(stdout, &p->before, &p->after, c, p->o->color, &p->totals); break;
	case DIFF_HTML: html_add(p->html, &p->before, &p->after, c); break;
	case DIFF_PATCH: patch_print(stdout, &p->before, &p->after, c, p->o->color); break;
	case DIFF_JSON:
		begin_json(p);
		print_json(&p->json, c);
		break;
	}
	return ferror(stdout) ? 1 : 0; /* the pager has gone */
}

static void note_unchanged(void *ctx, const char *path, const char *why)
{
	Print *p = ctx;

	list_add(&p->unchanged, xasprintf("%s: nothing differs there%s%s%s", path, why ? " (" : "", why ? why : "", why ? ")" : ""));
}

static void tell_unchanged(Print *p)
{
	for (size_t i = 0; i < p->unchanged.count; i++) {
		(void)cli_fail("%s", p->unchanged.items[i]);
		free((void *)(uintptr_t)p->unchanged.items[i]);
	}
	free(p->unchanged.items);
}

static int print_diff(Print *p, BvError **err)
{
	BvDiffOptions options = BV_DIFF_OPTIONS_INIT;
	bool json = p->o->format == DIFF_JSON;
	int r;

	options.flags = p->o->raw ? BV_DIFF_RAW : 0;
	options.paths = p->o->paths.items;
	options.unchanged = note_unchanged;
	options.unchanged_ctx = p;
	if (p->names[0])
		r = bv_snapshot_compare(&p->before, &p->after, &options, print_change, p, err);
	else if (p->after.snapshot)
		r = bv_snapshot_diff(p->after.snapshot, &options, print_change, p, err);
	else
		r = bv_sandbox_diff(p->after.sandbox, &options, print_change, p, err);
	if (json && r == 0) {
		begin_json(p);
		json_close(&p->json, ']');
		json_close(&p->json, '}');
		putchar('\n');
	}
	if (r == 0 && p->o->format == DIFF_STAT)
		patch_stat_total(stdout, &p->totals);
	return r < 0 ? r : 0;
}

/* ---- what is meant ---- */

/* [A [B]] [PATH...]: names have no slash. The second word is a name if nothing else is possible, and not guessed if it may be both. */
static size_t find_names(const Command *cmd, int argc, char **argv, const char *names[2])
{
	size_t words = leading_words(argc, argv);
	const char *second = words > 1 ? argv[optind + 1] : NULL;

	names[0] = NULL;
	names[1] = words ? argv[optind] : NULL;
	if (!second || !(names_snapshot(second) || is_sandbox(second)))
		return words ? 1 : 0;
	bool last = words == 2 && argc - optind == 2 && ends_with_dashes();
	if (!names_snapshot(second) && !last && access(second, F_OK) == 0)
		usage_error(cmd, "'%s' is a sandbox, and a path here: write ./%s for the path, or put -- after the names", second, second);
	names[0] = names[1];
	names[1] = second;
	return 2;
}

static int open_side(const char *name, const char *from, BvSide *out, BvError **err)
{
	BvSnapshotOpenOptions options = BV_SNAPSHOT_OPEN_OPTIONS_INIT;

	options.from = from;
	options.key = key_of_command();
	return names_snapshot(name) ? bv_snapshot_open(name, &options, &out->snapshot, err) : open_sandbox(name, &out->sandbox, err);
}

static void close_side(BvSide *side)
{
	bv_snapshot_close(side->snapshot);
	bv_sandbox_close(side->sandbox);
}

/* 0, or an exit code after a message. */
static int write_page(Print *p)
{
	const char *path = p->o->output;
	FILE *out = path && strcmp(path, "-") != 0 ? fopen(path, "we") : stdout;

	if (!out)
		return cli_fail("cannot write %s: %s", path, strerror(errno));
	html_print(p->html, out);
	if (out != stdout && (ferror(out) | fclose(out)) != 0)
		return cli_fail("cannot write %s: %s", path, strerror(errno));
	return 0;
}

static int tell_lost(const Print *p)
{
	return cli_fail("sandbox '%s' is damaged: the content of %s is missing from its store (files so damaged: %zu); the others can be read and applied by their paths",
			bv_sandbox_name(p->after.sandbox), p->lost_path, p->lost);
}

int cmd_diff(const Command *cmd, int argc, char **argv)
{
	static DiffOptions o; /* what options point to lives until exit */
	Print print = {.o = &o, .json = {.out = stdout}};
	BvError *err = NULL;
	Pager pager = {0};
	int r = 0, code = 0;

	o = parse(cmd, argc, argv);
	add_paths(argc, argv, find_names(cmd, argc, argv, print.names), absolute_path_with_links, &o.paths);
	if (print.names[0])
		r = open_side(print.names[0], o.from, &print.before, &err);
	if (r == 0)
		r = open_side(print.names[1], o.from, &print.after, &err);
	if (r == 0 && o.pager && o.format != DIFF_JSON && o.format != DIFF_HTML)
		pager_start(&pager);
	if (r == 0 && o.format == DIFF_HTML)
		print.html = html_new(print.names);
	if (r == 0)
		r = print_diff(&print, &err);
	pager_finish(&pager);
	if (r == 0 && print.html)
		code = write_page(&print);
	html_free(print.html);
	tell_unchanged(&print);
	if (r == 0 && print.lost > 0)
		code = tell_lost(&print);
	else if (versions_failed())
		code = EXIT_BVISOR; /* each was told */
	free(print.lost_path);
	close_side(&print.before);
	close_side(&print.after);
	return r < 0 ? cli_fail_error(err) : code;
}
