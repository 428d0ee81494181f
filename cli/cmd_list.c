/* cli/cmd_list.c - sandboxes and their processes: ls without a name, ps, stats, rm, kill. */
#include "cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

static const struct option json_options[] = {{"json", no_argument, NULL, OPT_JSON}, LONG_COMMON, {0}};

static bool parse_json(const Command *cmd, int argc, char **argv)
{
	bool json = false;

	while (opts_next(cmd, argc, argv, ":", json_options) != -1)
		json = true;
	return json;
}

void json_time(Json *j, const char *key, int64_t sec, long nsec)
{
	char text[64];
	time_t t = (time_t)sec;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) == 0) {
		json_put_string(j, key, NULL);
		return;
	}
	char *full = xasprintf("%s.%09ldZ", text, nsec);
	json_put_string(j, key, full);
	free(full);
}

/* ---- ls ---- */

static int ls_json(void *ctx, const BvSandboxInfo *info)
{
	Json *j = ctx;

	json_open(j, NULL, '{');
	json_put_string(j, "name", info->name);
	json_path(j, "dir", info->dir);
	json_put_string(j, "damage", info->damage);
	if (!info->damage) {
		json_time(j, "created", info->created_sec, info->created_nsec);
		json_put_bool(j, "running", info->running);
		json_put_bool(j, "unnamed", info->unnamed);
		json_put_string(j, "backend", info->backend);
		json_path(j, "cwd", info->cwd);
		json_open(j, "command", '[');
		for (size_t i = 0; info->command && info->command[i]; i++)
			json_put_string(j, NULL, info->command[i]);
		json_close(j, ']');
		json_open(j, "env", '[');
		for (size_t i = 0; info->env && info->env[i]; i++)
			json_put_string(j, NULL, info->env[i]);
		json_close(j, ']');
	}
	json_close(j, '}');
	return 0;
}

static int ls_line(void *ctx, const BvSandboxInfo *info)
{
	char when[32] = "?";
	time_t t = (time_t)info->created_sec;
	struct tm tm;
	bool *header = ctx;

	if (!*header)
		printf("%-24s %-8s %-17s %-8s %s\n", "NAME", "STATE", "CREATED", "BACKEND", "COMMAND");
	*header = true;
	if (info->damage) {
		printf("%-24s %-8s %s\n", info->name, "damaged", info->damage);
		return 0;
	}
	if (localtime_r(&t, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm);
	printf("%-24s %-8s %-17s %-8s", info->name, info->running ? "running" : "stopped", when, info->backend);
	for (size_t i = 0; info->command && info->command[i]; i++) {
		putchar(' ');
		print_quoted(stdout, info->command[i]);
	}
	putchar('\n');
	return 0;
}

int list_sandboxes(bool json)
{
	bool header = false;
	Json j = {.out = stdout};
	BvError *err = NULL;
	int r;

	if (json)
		json_open(&j, NULL, '[');
	r = json ? bv_sandbox_list(NULL, ls_json, &j, &err) : bv_sandbox_list(NULL, ls_line, &header, &err);
	if (r < 0)
		return cli_fail_error(err);
	if (json)
		fputs("]\n", stdout);
	return 0;
}

/* ---- ps ---- */

static int ps_json(void *ctx, const BvProcessInfo *info)
{
	Json *j = ctx;
	char state[2] = {info->state, 0};

	json_open(j, NULL, '{');
	json_int(j, "pid", info->pid);
	json_int(j, "ppid", info->ppid);
	json_int(j, "command", (int64_t)info->id);
	json_put_string(j, "state", state);
	json_put_string(j, "comm", info->comm);
	json_open(j, "args", '[');
	for (size_t i = 0; info->args[i]; i++)
		json_put_string(j, NULL, info->args[i]);
	json_close(j, ']');
	json_int(j, "start", info->start);
	json_close(j, '}');
	return 0;
}

static int ps_line(void *ctx, const BvProcessInfo *info)
{
	bool *header = ctx;

	if (!*header)
		printf("%8s %8s %s %s\n", "PID", "PPID", "S", "COMMAND");
	*header = true;
	printf("%8d %8d %c ", (int)info->pid, (int)info->ppid, info->state);
	print_quoted(stdout, info->args[0] ? info->args[0] : info->comm);
	for (size_t i = 1; info->args[0] && info->args[i]; i++) {
		putchar(' ');
		print_quoted(stdout, info->args[i]);
	}
	putchar('\n');
	return 0;
}

int cmd_ps(const Command *cmd, int argc, char **argv)
{
	bool json = parse_json(cmd, argc, argv), header = false;
	const char *name = optional_name(cmd, argc, argv);
	Json j = {.out = stdout};
	BvSandbox *sb = NULL;
	BvError *err = NULL;
	int r;

	if (bv_sandbox_open(NULL, name, &sb, &err) < 0)
		return cli_fail_error(err);
	if (json)
		json_open(&j, NULL, '[');
	r = json ? bv_sandbox_ps(sb, ps_json, &j, &err) : bv_sandbox_ps(sb, ps_line, &header, &err);
	bv_sandbox_close(sb);
	if (r < 0)
		return cli_fail_error(err);
	if (json)
		fputs("]\n", stdout);
	return 0;
}

int cmd_stats(const Command *cmd, int argc, char **argv)
{
	BvSandbox *sb = NULL;
	BvError *err = NULL;
	char *json = NULL;
	int r;

	(void)parse_json(cmd, argc, argv); /* stats are JSON in any case */
	const char *name = optional_name(cmd, argc, argv);
	if (bv_sandbox_open(NULL, name, &sb, &err) < 0)
		return cli_fail_error(err);
	r = bv_sandbox_stats(sb, &json, &err);
	bv_sandbox_close(sb);
	if (r < 0)
		return cli_fail_error(err);
	puts(json);
	bv_free(json);
	return 0;
}

/* ---- rm, kill ---- */

static int remove_one(const char *name, bool force)
{
	BvSandbox *sb = NULL;
	BvError *err = NULL;
	int r = bv_sandbox_open(NULL, name, &sb, &err);

	bool damaged = r == -EUCLEAN || r == -EPROTO;
	if (damaged && force && name) {
		bv_error_free(err);
		err = NULL;
		r = bv_sandbox_discard(NULL, name, &err);
	} else if (damaged && name) {
		cli_fail("`bvisor rm --force %s` deletes what is left of it", name);
	}
	if (r == 0 && sb)
		r = bv_sandbox_remove(sb, force, &err);
	bv_sandbox_close(sb);
	return r < 0 ? cli_fail_error(err) : 0;
}

typedef struct Stopped {
	List names;
	bool running_too;
} Stopped;

static int collect_name(void *ctx, const BvSandboxInfo *info)
{
	Stopped *s = ctx;

	if (s->running_too || (!info->damage && !info->running))
		list_add(&s->names, xasprintf("%s", info->name));
	return 0;
}

static int remove_all(bool force)
{
	Stopped s = {.running_too = force};
	BvError *err = NULL;
	int code = 0;

	if (bv_sandbox_list(NULL, collect_name, &s, &err) < 0)
		return cli_fail_error(err);
	for (size_t i = 0; i < s.names.count; i++) {
		int r = remove_one(s.names.items[i], force);
		code = r ? r : code;
		free((char *)(uintptr_t)s.names.items[i]);
	}
	free(s.names.items);
	return code;
}

int cmd_rm(const Command *cmd, int argc, char **argv)
{
	enum { OPT_ALL = OPT_FIRST };
	static const struct option longs[] = {{"force", no_argument, NULL, 'f'}, {"all", no_argument, NULL, OPT_ALL}, LONG_COMMON, {0}};
	bool force = false, all = false;
	int c, code = 0;

	while ((c = opts_next(cmd, argc, argv, ":f", longs)) != -1) {
		force = force || c == 'f';
		all = all || c == OPT_ALL;
	}
	if (all && optind < argc)
		usage_error(cmd, "--all takes no names");
	if (all)
		return remove_all(force);
	if (optind == argc)
		return remove_one(NULL, force);
	for (int i = optind; i < argc; i++) {
		int r = remove_one(argv[i], force);
		code = r ? r : code;
	}
	return code;
}

int cmd_kill(const Command *cmd, int argc, char **argv)
{
	static const struct option longs[] = {{"signal", required_argument, NULL, 's'}, LONG_COMMON, {0}};
	int signal = SIGKILL, c, r;
	BvSandbox *sb = NULL;
	BvError *err = NULL;

	while ((c = opts_next(cmd, argc, argv, ":s:", longs)) != -1)
		signal = parse_signal(cmd, optarg);
	const char *name = optional_name(cmd, argc, argv);
	if (bv_sandbox_open(NULL, name, &sb, &err) < 0)
		return cli_fail_error(err);
	r = bv_sandbox_kill(sb, signal, &err);
	bv_sandbox_close(sb);
	return r < 0 ? cli_fail_error(err) : 0;
}
