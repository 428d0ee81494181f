/* cli/cmd_config.c - `bvisor config`: what files set, and which; `bvisor trust`: a project's file may loosen the sandbox. */
#include "cli/config.h"

#include <sys/stat.h>
#include <unistd.h>

enum { OPT_REVOKE = OPT_FIRST, OPT_LIST, OPT_PROFILE };

/* ---- config ---- */

typedef struct Shown {
	Json j;
	size_t refused;
} Shown;

static char *value_text(const TomlValue *v)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		exit(cli_fail("out of memory"));
	config_print_value(out, v);
	if (fclose(out) != 0)
		exit(cli_fail("out of memory"));
	return text;
}

/* A variable of the environment comes before the files. */
static bool is_overridden(const ConfigValue *v)
{
	return v->key->variable && getenv(v->key->variable);
}

static void print_value(void *ctx, const ConfigValue *v)
{
	Shown *s = ctx;
	char *text = value_text(v->value), *line = xasprintf("%s = %s", v->key->name, text);

	s->refused += v->refusal != NULL;
	printf("%-40s # ", line);
	print_quoted(stdout, v->file->path);
	printf(":%u", v->value->line);
	if (v->profile)
		printf(", profile %s", v->profile);
	if (is_overridden(v))
		printf("; $%s takes its place", v->key->variable);
	if (v->refusal)
		printf("; %sREFUSED%s: it %s", color("red"), color("plain"), v->refusal);
	putchar('\n');
	free(line);
	free(text);
}

static void put_text(void *ctx, const char *text)
{
	json_put_string(ctx, NULL, text);
}

static void json_value(void *ctx, const ConfigValue *v)
{
	Json *j = &((Shown *)ctx)->j;
	char *text = value_text(v->value);

	json_open(j, NULL, '{');
	json_put_string(j, "key", v->key->name);
	json_put_string(j, "toml", text);
	json_open(j, "values", '[');
	config_texts(v, put_text, j);
	json_close(j, ']');
	json_path(j, "file", v->file->path);
	json_int(j, "line", v->value->line);
	json_put_string(j, "from", v->file->project ? "project" : "user");
	json_put_string(j, "profile", v->profile);
	json_put_bool(j, "overridden", is_overridden(v));
	json_put_string(j, "refused", v->refusal);
	json_close(j, '}');
	free(text);
}

static void print_file(const char *what, const ConfigFile *f)
{
	printf("# %s file: ", what);
	if (!f->path)
		puts("none");
	else {
		print_quoted(stdout, f->path);
		puts(!f->project ? "" : f->trusted ? " (trusted)" : " (not trusted: it may only tighten the sandbox)");
	}
}

static void json_file(Json *j, const char *what, const ConfigFile *f)
{
	if (!f->path) {
		json_put_string(j, what, NULL);
		return;
	}
	json_open(j, what, '{');
	json_path(j, "path", f->path);
	json_put_bool(j, "trusted", f->trusted);
	json_close(j, '}');
}

int cmd_config(const Command *cmd, int argc, char **argv)
{
	static const struct option longs[] = {{"profile", required_argument, NULL, OPT_PROFILE}, {"json", no_argument, NULL, OPT_JSON}, LONG_COMMON, {0}};
	Shown shown = {.j = {.out = stdout}};
	bool json = false;
	int c;

	while ((c = opts_next(cmd, argc, argv, ":", longs)) != -1) {
		json = json || c == OPT_JSON;
		if (c == OPT_PROFILE)
			config_choose(optarg);
	}
	if (optind < argc)
		usage_error(cmd, "unexpected argument '%s'", argv[optind]);
	config_load();
	if (json) {
		json_open(&shown.j, NULL, '{');
		json_file(&shown.j, "user", config_file(false));
		json_file(&shown.j, "project", config_file(true));
		json_put_string(&shown.j, "profile", config_profile());
		json_put_string(&shown.j, "profile_by", config_profile_by());
		json_open(&shown.j, "values", '[');
		config_each(json_value, &shown);
		json_close(&shown.j, ']');
		json_close(&shown.j, '}');
		putchar('\n');
		return 0;
	}
	print_file("user", config_file(false));
	print_file("project", config_file(true));
	if (config_profile())
		printf("# profile: %s (%s)\n", config_profile(), config_profile_by());
	config_each(print_value, &shown);
	return shown.refused ? 1 : 0;
}

/* ---- trust ---- */

static void print_loosening(void *ctx, const ConfigValue *v)
{
	char *text = value_text(v->value);

	(void)ctx;
	printf("  line %u: %s = %s%s%s\n", v->value->line, v->key->name, text, v->profile ? "  in profile " : "", v->profile ? v->profile : "");
	free(text);
}

static void print_record(void *ctx, const char *path, bool current)
{
	Json *j = ctx;

	if (j) {
		json_open(j, NULL, '{');
		json_path(j, "path", path);
		json_put_bool(j, "current", current);
		json_close(j, '}');
		return;
	}
	print_quoted(stdout, path);
	puts(current ? "" : "  (changed since, or gone: not trusted)");
}

static int list_trusted(bool json)
{
	Json j = {.out = stdout};

	if (!json)
		return trust_each(print_record, NULL);
	json_open(&j, NULL, '[');
	(void)trust_each(print_record, &j);
	json_close(&j, ']');
	putchar('\n');
	return 0;
}

/* What is meant: a file, the bvisor.toml of a directory, or the nearest one; as the search from its directory names it. */
static char *meant_file(const char *given)
{
	struct stat st;

	if (!given)
		return config_find_project();
	bool dir = stat(given, &st) == 0 && S_ISDIR(st.st_mode);
	const char *slash = strrchr(given, '/');
	char *parent = dir ? xasprintf("%s", given) : slash ? xasprintf("%.*s", (int)(slash - given) + 1, given) : xasprintf(".");
	char *real = realpath(parent, NULL);
	const char *name = dir ? "bvisor.toml" : slash ? slash + 1 : given;
	char *path = real ? xasprintf("%s/%s", strcmp(real, "/") == 0 ? "" : real, name) : xasprintf("%s", given);

	free(real);
	free(parent);
	return path;
}

static int withdraw(const char *path)
{
	int r = trust_remove(path);

	if (r < 0)
		return cli_fail("%s is not trusted: `bvisor trust --list` shows what is", path);
	if (r == 0) {
		print_quoted(stdout, path);
		puts(" is not trusted any more");
	}
	return r;
}

static int trust(const Command *cmd, char *path)
{
	static ConfigFile file;
	const char *name = strrchr(path, '/');

	if (!name || strcmp(name, "/bvisor.toml") != 0)
		usage_error(cmd, "%s: a project's file is called bvisor.toml", path);
	if (!config_open(path, true, &file))
		return cli_fail("%s is not there", path);
	int r = trust_add(&file);
	if (r != 0)
		return r;
	print_quoted(stdout, file.path);
	puts(" is trusted as it is now.");
	if (config_needs_trust(&file, print_loosening, NULL) == 0)
		puts("  It does nothing that needs it.");
	return 0;
}

int cmd_trust(const Command *cmd, int argc, char **argv)
{
	static const struct option longs[] = {{"revoke", no_argument, NULL, OPT_REVOKE}, {"list", no_argument, NULL, OPT_LIST}, {"json", no_argument, NULL, OPT_JSON}, LONG_COMMON, {0}};
	bool revoked = false, list = false, json = false;
	int c;

	while ((c = opts_next(cmd, argc, argv, ":", longs)) != -1) {
		revoked = revoked || c == OPT_REVOKE;
		list = list || c == OPT_LIST;
		json = json || c == OPT_JSON;
	}
	const char *given = optional_name(cmd, argc, argv);
	if (list && (revoked || given))
		usage_error(cmd, "--list goes with nothing else");
	if (json && !list)
		usage_error(cmd, "--json goes with --list");
	if (list)
		return list_trusted(json);
	char *path = meant_file(given);
	if (!path)
		return cli_fail("there is no bvisor.toml in the current directory or above it");
	return revoked ? withdraw(path) : trust(cmd, path);
}
