/* cli/complete.c - completion: `bvisor completion SHELL` prints a small script, which asks `bvisor __complete WORD...` for what the last word may become.
 *
 * The answer is lines: a word, a tab and what it is; or a directive: ":files", ":dirs" (of the host), ":nospace" (the word goes on), ":command N" (words from the N-th on are a command line of its own). What is
 * possible is taken from the table of commands and the text of its help, so that there is nothing else to keep. */
#include "cli/cli.h"
#include "cli/config.h"
#include "completion.h"

#include <ctype.h>
#include <signal.h>
#include <unistd.h>

typedef struct Option {
	char name[40], value[24]; /* "--name" or "-n"; "": it takes none */
	char about[160];
} Option;

typedef struct Request {
	const char *prefix; /* what candidates begin with */
	const char *front;  /* goes before each: "--option=" */
	int front_len;
} Request;

/* ---- answers ---- */

/* Only what every shell takes as it is, and what is no directive: names from files and stores are not ours. */
static bool is_plain(const char *word)
{
	return *word && *word != ':' && word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@:+=/*-")] == '\0';
}

static void offer(const Request *r, const char *word, const char *about)
{
	if (strncmp(word, r->prefix, strlen(r->prefix)) != 0 || !is_plain(word))
		return;
	printf("%.*s%s", r->front_len, r->front, word);
	if (about && *about) {
		putchar('\t');
		print_plain(stdout, about);
	}
	putchar('\n');
}

static void offer_all(const Request *r, const char *const *words)
{
	for (; *words; words++)
		offer(r, *words, NULL);
}

static void offer_commands(const Request *r)
{
	for (size_t i = 0; command_at(i); i++)
		if (!(command_at(i)->flags & COMMAND_HIDDEN))
			offer(r, command_at(i)->name, command_at(i)->summary);
	offer(r, "help", "Show the options of a command, with examples");
}

static int offer_sandbox(void *ctx, const BvSandboxInfo *info)
{
	offer(ctx, info->name, info->damage ? "damaged" : info->running ? "sandbox, running" : "sandbox");
	return 0;
}

static void offer_sandboxes(const Request *r)
{
	config_set_places();
	(void)bv_sandbox_list(NULL, offer_sandbox, (void *)(uintptr_t)r, NULL);
}

static int offer_snapshot(void *ctx, const BvSnapshotInfo *info)
{
	char *name = xasprintf("%s@%llu", info->name, (unsigned long long)info->number);

	offer(ctx, name, info->message ? info->message : "snapshot");
	free(name);
	return 0;
}

/* Of a place on this machine: nobody waits for a bucket, or is asked for a key, when he presses a key. */
static void offer_snapshots(const Request *r)
{
	BvSnapshotListOptions options = BV_SNAPSHOT_LIST_OPTIONS_INIT;
	BvKeyOptions key = BV_KEY_OPTIONS_INIT;
	const char *place;

	config_set_places();
	place = getenv("BVISOR_SNAPSHOTS");
	options.key = &key;
	if (!place || !strstr(place, "://"))
		(void)bv_snapshot_list_with(&options, offer_snapshot, (void *)(uintptr_t)r, NULL);
}

static void offer_profile(void *ctx, const char *name)
{
	offer(ctx, name, "profile");
}

static void offer_profiles(const Request *r)
{
	config_load();
	config_profiles(offer_profile, (void *)(uintptr_t)r);
}

static void offer_signals(const Request *r)
{
	for (int s = 1; s < 32; s++)
		if (sigabbrev_np(s))
			offer(r, sigabbrev_np(s), sigdescr_np(s));
}

static void offer_variables(const Request *r)
{
	for (char **e = environ; *e; e++) {
		char *name = xasprintf("%.*s", (int)strcspn(*e, "="), *e);
		offer(r, name, NULL);
		free(name);
	}
}

static void offer_place(const Request *r)
{
	offer(r, "dir:", "a directory");
	offer(r, "s3://", "a bucket");
	puts(":nospace\n:dirs");
}

/* ---- options, from the text of the help ---- */

static const char *skip_spaces(const char *p)
{
	return p + strspn(p, " ");
}

/* One option of "  -x, --name VALUE  about": what stands at *p; false at the end of them. */
static bool read_option(const char **p, Option *o)
{
	size_t n = strcspn(*p, " ,\n");

	if (**p != '-' || n < 2 || n >= sizeof(o->name))
		return false;
	*o = (Option){0};
	memcpy(o->name, *p, n);
	*p += n;
	if (**p == ' ' && (*p)[1] != ' ' && (*p)[1] != '-') {
		n = strcspn(++*p, " ,\n");
		memcpy(o->value, *p, n < sizeof(o->value) ? n : sizeof(o->value) - 1);
		*p += n;
	}
	if (**p == ',')
		*p = skip_spaces(*p + 1);
	return true;
}

/* Calls `visit` for each option, which stand before the first empty line; true ends it. The value of the last one on a line is that of all of it ("-s, --signal SIGNAL"). */
static void each_option(const Command *cmd, bool (*visit)(void *ctx, const Option *o), void *ctx)
{
	for (const char *line = cmd->options; line && *line && *line != '\n'; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		Option found[6];
		size_t count = 0;
		const char *p = line;
		if (strncmp(p, "  -", 3) != 0)
			continue;
		p = skip_spaces(p);
		while (count < ARRAY_LEN(found) && read_option(&p, &found[count]))
			count++;
		p = skip_spaces(p);
		for (size_t i = 0; i < count; i++) {
			if (!found[i].value[0])
				memcpy(found[i].value, found[count - 1].value, sizeof(found[i].value));
			snprintf(found[i].about, sizeof(found[i].about), "%.*s", (int)strcspn(p, "\n"), p);
			if (visit(ctx, &found[i]))
				return;
		}
	}
}

static bool offer_option(void *ctx, const Option *o)
{
	offer(ctx, o->name, o->about);
	return false;
}

typedef struct Search {
	const char *name;
	size_t len;
	Option found;
	bool is_found;
} Search;

static bool match_option(void *ctx, const Option *o)
{
	Search *s = ctx;

	if (strlen(o->name) != s->len || memcmp(o->name, s->name, s->len) != 0)
		return false;
	s->found = *o;
	return s->is_found = true;
}

/* Whether `word` is an option whose value is the next word, or stands behind '='. */
static bool takes_value(const Command *cmd, const char *word, size_t len, Option *out)
{
	Search s = {.name = word, .len = len};

	each_option(cmd, match_option, &s);
	*out = s.found;
	return s.is_found && s.found.value[0];
}

static void complete_value(const Request *r, const Option *o)
{
	static const struct {
		const char *value, *option; /* option NULL: of any */
		const char *words[4];
	} fixed[] = {{"NET", NULL, {"internet", "none", "host", NULL}}, {"WHEN", "--sync", {"on-snapshot", "continuous", NULL}}, {"WHEN", NULL, {"auto", "always", "never", NULL}},
		     {"FORMAT", NULL, {"tar", "oci", NULL}}, {"B", NULL, {"dir", "tmpfs", NULL}}};

	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		if (strcmp(o->value, fixed[i].value) == 0 && (!fixed[i].option || strcmp(o->name, fixed[i].option) == 0)) {
			offer_all(r, fixed[i].words);
			break;
		}
	if (strcmp(o->value, "PATH") == 0 || strcmp(o->value, "FILE") == 0)
		puts(":files");
	else if (strcmp(o->value, "DIR") == 0)
		puts(":dirs");
	else if (strcmp(o->value, "PLACE") == 0 || strcmp(o->value, "B") == 0)
		offer_place(r);
	else if (strcmp(o->value, "SIGNAL") == 0)
		offer_signals(r);
	else if (strcmp(o->name, "--profile") == 0)
		offer_profiles(r);
	else if (strcmp(o->name, "--env") == 0)
		offer_variables(r);
}

/* ---- arguments ---- */

typedef struct ViewOffer {
	const Request *r;
	int dir_len; /* of r's prefix: what stands before the names */
	size_t files, dirs;
} ViewOffer;

static int offer_entry(void *ctx, const BvEntry *e)
{
	ViewOffer *o = ctx;
	const bool dir = type_name(e->mode) && strcmp(type_name(e->mode), "directory") == 0;
	char *word = xasprintf("%.*s%s%s", o->dir_len, o->r->prefix, e->name, dir ? "/" : "");

	if (strncmp(word, o->r->prefix, strlen(o->r->prefix)) == 0 && is_plain(word)) {
		offer(o->r, word, NULL);
		*(dir ? &o->dirs : &o->files) += 1;
	}
	free(word);
	return 0;
}

/* Paths as a sandbox has them; false: there are none that begin so. */
static bool offer_view(const Request *r, const char *name)
{
	const char *slash = strrchr(r->prefix, '/');
	BvListOptions options = BV_LIST_OPTIONS_INIT;
	ViewOffer o = {.r = r, .dir_len = slash ? (int)(slash - r->prefix) + 1 : 0};
	BvSandbox *sb = NULL;

	config_set_places();
	if (!slash || names_snapshot(name) || bv_sandbox_open(NULL, name, &sb, NULL) < 0)
		return false;
	char *text = xasprintf("%.*s", o.dir_len, r->prefix), *dir = absolute_path(text);
	(void)bv_sandbox_list_dir(sb, dir, &options, offer_entry, &o, NULL);
	bv_sandbox_close(sb);
	free(dir);
	free(text);
	if (o.dirs && !o.files)
		puts(":nospace");
	return o.dirs + o.files > 0;
}

static void offer_sub_commands(const Request *r)
{
	offer(r, "rm", "Remove states of snapshots");
	offer(r, "prune", "Remove the states that no rule keeps");
}

/* `at`: how many arguments are before this one, the first of them `first`. The words of the usage line say what it may be. */
static void complete_argument(const Command *cmd, const Request *r, size_t at, const char *first)
{
	bool many = strstr(cmd->args, "NAME...") || strstr(cmd->args, "]..."); /* of the same kind */
	bool snapshot = strstr(cmd->args, "SNAPSHOT") || strstr(cmd->args, "NAME@N") || strstr(cmd->args, "BEFORE"), sandbox = strstr(cmd->args, "NAME") || strstr(cmd->args, "SANDBOX");

	if (strcmp(cmd->name, "completion") == 0) {
		static const char *const shells[] = {"bash", "zsh", "fish", NULL};
		offer_all(r, at == 0 ? shells : shells + 3);
		return;
	}
	if (strcmp(cmd->name, "snapshots") == 0 && at == 0)
		offer_sub_commands(r);
	if ((at == 0 || many || strstr(cmd->args, "BEFORE")) && sandbox && strcmp(cmd->name, "snapshots") != 0)
		offer_sandboxes(r);
	if ((at == 0 || many || strstr(cmd->args, "BEFORE")) && (snapshot || strcmp(cmd->name, "log") == 0))
		offer_snapshots(r);
	if (at > 0 && sandbox && strstr(cmd->args, "PATH") && offer_view(r, first))
		return;
	if (strstr(cmd->args, "PATH") || strstr(cmd->args, "FILE") || strstr(cmd->args, "ARCHIVE"))
		puts(":files");
}

/* ---- the line ---- */

static const Command *sub_command(const Command *cmd, const char *word)
{
	if (strcmp(cmd->name, "snapshots") == 0 && strcmp(word, "rm") == 0)
		return &snapshots_rm;
	return strcmp(cmd->name, "snapshots") == 0 && strcmp(word, "prune") == 0 ? &snapshots_prune : NULL;
}

/* "--option=begin" */
static bool complete_joined_value(const Command *cmd, const char *word)
{
	const char *equals = strncmp(word, "--", 2) == 0 ? strchr(word, '=') : NULL;
	Option o;

	if (!equals)
		return false;
	const Request r = {equals + 1, word, (int)(equals + 1 - word)};
	if (takes_value(cmd, word, (size_t)(equals - word), &o))
		complete_value(&r, &o);
	return true;
}

/* words[0] is the command's name, words[n - 1] the one to complete; `before`: how many stand before words[0]. */
static void complete_command(const Command *cmd, char **words, size_t n, size_t before)
{
	bool starts = strstr(cmd->args, "COMMAND"), run = starts && strcmp(cmd->name, "exec") != 0;
	const Request r = {words[n - 1], "", 0};
	const char *first = NULL;
	size_t arguments = 0;
	Option o = {0};

	for (size_t i = 1; i + 1 < n; i++) {
		if (strcmp(words[i], "--") == 0) {
			if (starts)
				printf(":command\t%zu\n", before + i + 1);
			else
				puts(":files");
			return;
		}
		if (words[i][0] == '-' && words[i][1]) {
			if (!strchr(words[i], '=') && takes_value(cmd, words[i], strlen(words[i]), &o) && ++i + 1 == n) {
				complete_value(&r, &o);
				return;
			}
			continue;
		}
		if (run) {
			printf(":command\t%zu\n", before + i);
			return;
		}
		first = first ? first : words[i];
		if (arguments++ == 0 && sub_command(cmd, words[i])) {
			complete_command(sub_command(cmd, words[i]), words + i, n - i, before + i);
			return;
		}
	}
	if (complete_joined_value(cmd, r.prefix))
		return;
	if (r.prefix[0] == '-')
		each_option(cmd, offer_option, (void *)(uintptr_t)&r);
	else if (run)
		printf(":command\t%zu\n", before + n - 1);
	else
		complete_argument(cmd, &r, arguments, first);
}

int cmd_complete(const Command *cmd, int argc, char **argv)
{
	static const char *const own[] = {"--user", "--profile", "--no-config", "--color", "--help", "--version", NULL};
	const Request r = {argc > 1 ? argv[argc - 1] : "", "", 0};
	int at = 1;

	(void)cmd;
	for (; at + 1 < argc && argv[at][0] == '-'; at++) {
		static const char *const when[] = {"auto", "always", "never", NULL};
		bool profile = strcmp(argv[at], "--profile") == 0, colors = strcmp(argv[at], "--color") == 0;
		if (!profile && !colors && strcmp(argv[at], "--user") != 0)
			continue;
		if (++at + 1 == argc) {
			if (profile)
				offer_profiles(&r);
			else if (colors)
				offer_all(&r, when);
			return 0;
		}
		if (profile)
			config_choose(argv[at]);
	}
	if (at + 1 >= argc) {
		if (r.prefix[0] == '-')
			offer_all(&r, own);
		else
			offer_commands(&r);
		return 0;
	}
	const Command *of = find_command(argv[at]);
	if (strcmp(argv[at], "help") == 0)
		offer_commands(&r);
	else if (of)
		complete_command(of, argv + at, (size_t)(argc - at), (size_t)at - 1);
	return 0;
}

int cmd_completion(const Command *cmd, int argc, char **argv)
{
	static const struct option longs[] = {LONG_COMMON, {0}};
	static const struct {
		const char *shell, *script;
	} scripts[] = {{"bash", asset_bvisor_bash}, {"zsh", asset_bvisor_zsh}, {"fish", asset_bvisor_fish}};

	while (opts_next(cmd, argc, argv, ":", longs) != -1)
		;
	const char *shell = optional_name(cmd, argc, argv);
	for (size_t i = 0; shell && i < ARRAY_LEN(scripts); i++)
		if (strcmp(shell, scripts[i].shell) == 0) {
			fputs(scripts[i].script, stdout);
			return 0;
		}
	usage_error(cmd, "%s%s%s: bash, zsh and fish are known", shell ? "'" : "which shell", shell ? shell : "", shell ? "' is no shell that is known" : "");
}
