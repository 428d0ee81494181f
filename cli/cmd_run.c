/* cli/cmd_run.c - `bvisor run` and `bvisor exec`: a command in a new sandbox, or in one that is there. */
#include "cli/create.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define MESSAGE_MAX 200

static int prepare(CreateOptions *p, char **command)
{
	p->session.argv = (const char *const *)command;
	p->session.tty = !p->session.detach && session_wants_tty(p->interactive, p->tty);
	if (!p->trace)
		return 0;
	p->session.trace_fd = open(p->trace, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	return p->session.trace_fd < 0 ? cli_fail("cannot write the trace %s: %s", p->trace, strerror(errno)) : 0;
}

/* ---- run ---- */

static int count_change(void *ctx, const BvChange *change)
{
	(void)change;
	++*(size_t *)ctx;
	return 0;
}

/* The one line at the end, for people only. */
static void print_summary(BvSandbox *sb)
{
	const char *name = bv_sandbox_name(sb);
	size_t count = 0;

	if (!isatty(STDERR_FILENO))
		return;
	if (bv_sandbox_diff(sb, NULL, count_change, &count, NULL) < 0)
		return;
	if (count == 0)
		fprintf(stderr, "bvisor: no changes in sandbox %s\n", name);
	else
		fprintf(stderr, "bvisor: %zu change%s in sandbox %s; see them: bvisor diff %s; make them on the host: bvisor apply %s\n", count,
			count == 1 ? "" : "s", name, name, name);
}

/* What the sandbox is after the command, under the command's words. The command's own exit code stays, unless it cannot be kept. */
static int keep_generation(BvSandbox *sb, const CreateOptions *p, int code)
{
	BvSnapshotOptions options = BV_SNAPSHOT_OPTIONS_INIT;
	BvError *err = NULL;
	char *words = xasprintf("%s", p->session.argv[0]);

	for (size_t i = 1; p->session.argv[i]; i++) {
		char *longer = xasprintf("%s %s", words, p->session.argv[i]);
		free(words);
		words = longer;
	}
	if (strlen(words) > MESSAGE_MAX)
		memcpy(words + MESSAGE_MAX - 3, "...", 4);
	options.message = words;
	int r = bv_sandbox_snapshot(sb, &options, NULL, &err);
	free(words);
	return r < 0 ? cli_fail_error(err) : code;
}

/* The last state is there, or it is said that it is not: the command's exit code stays. */
static void end_sync(BvSandbox *sb)
{
	BvError *err = NULL;

	if (bv_sandbox_continuous(sb) && bv_sandbox_sync(sb, NULL, NULL, &err) < 0)
		cli_fail("the last changes are not in %s yet: %s; they are here, and go there with the next command, or `bvisor sync %s`", bv_sandbox_place(sb), bv_error_message(err),
			 bv_sandbox_name(sb));
	bv_error_free(err);
}

static int finish_run(BvSandbox *sb, const CreateOptions *p, bool started, int code)
{
	BvError *err = NULL;

	if (p->rm || !started) { /* a command that never ran left nothing to look at */
		if (bv_sandbox_remove(sb, 1, &err) < 0 && started)
			code = cli_fail_error(err);
		else
			bv_error_free(err);
	} else if (p->session.detach) {
		printf("%s\n", bv_sandbox_name(sb));
	} else {
		if (p->generations)
			code = keep_generation(sb, p, code);
		end_sync(sb);
		print_summary(sb);
	}
	bv_sandbox_close(sb);
	return code;
}

int cmd_run(const Command *cmd, int argc, char **argv)
{
	static CreateOptions p; /* what options point to lives until exit */
	BvSandbox *sb = NULL;
	bool started;
	int code;

	p = create_parse(cmd, argc, argv, run_options, true);
	if (optind >= argc)
		usage_error(cmd, "no command given");
	code = prepare(&p, argv + optind);
	if (code == 0)
		code = create_sandbox(cmd, &p, &sb);
	if (code != 0)
		return code;
	code = session_run(sb, &p.session, &started);
	return finish_run(sb, &p, started, code);
}

/* ---- exec ---- */

/* `exec NAME -- CMD...` or `exec -- CMD...` (the newest one): the "--" tells them apart, so it is required. */
static char **split_exec(const Command *cmd, int argc, char **argv, const char **name)
{
	bool dashes_before = optind > 1 && strcmp(argv[optind - 1], "--") == 0;
	int command = optind;

	*name = NULL;
	if (!dashes_before && optind < argc) {
		*name = argv[optind];
		if (optind + 1 >= argc || strcmp(argv[optind + 1], "--") != 0)
			usage_error(cmd, "'--' is missing before the command");
		command = optind + 2;
	}
	if (command >= argc)
		usage_error(cmd, "no command given");
	return argv + command;
}

int cmd_exec(const Command *cmd, int argc, char **argv)
{
	static CreateOptions p; /* what options point to lives until exit */
	BvSandbox *sb = NULL;
	BvError *err = NULL;
	const char *name;
	bool started;
	int code;

	p = create_parse(cmd, argc, argv, exec_options, false);
	code = prepare(&p, split_exec(cmd, argc, argv, &name));
	if (code != 0)
		return code;
	if (open_sandbox(name, &sb, &err) < 0)
		return cli_fail_error(err);
	create_environment(&p, bv_sandbox_environment(sb));
	code = session_run(sb, &p.session, &started);
	if (p.generations && started)
		code = keep_generation(sb, &p, code);
	if (started && !p.session.detach)
		end_sync(sb);
	bv_sandbox_close(sb);
	return code;
}
