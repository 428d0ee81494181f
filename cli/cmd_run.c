/* cli/cmd_run.c - `bvisor run` and `bvisor exec`: a command in a new sandbox, or in one that is there. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define MESSAGE_MAX 200

enum { OPT_NAME = OPT_FIRST, OPT_BACKEND, OPT_CWD, OPT_ENV, OPT_CLEAR_ENV, OPT_RW, OPT_HIDE, OPT_SHOW, OPT_RO, OPT_TIMEOUT, OPT_TRACE, OPT_RM, OPT_GENERATIONS, OPT_SPOOL, OPT_SYNC, OPT_NET, OPT_ALLOW, OPT_DNS, OPT_PUBLISH, OPT_HOSTNAME, OPT_RELEASE, OPT_MEMORY, OPT_CPUS, OPT_PIDS, OPT_IO_READ, OPT_IO_WRITE, OPT_DISK, OPT_DISK_FILES, OPT_NOFILE, OPT_BEST_EFFORT, OPT_OUTPUT, OPT_FAKE_ROOT, OPT_PIDNS, OPT_USER };

typedef struct Parsed {
	BvCreateOptions create;
	BvLimits limits;
	SessionOptions session;
	List rw, hide, show, allow, publish, env_changes;
	bool clear_env, interactive, tty, rm, generations;
	const char *trace;
} Parsed;

#define LONG_COMMAND \
	{"cwd", required_argument, NULL, OPT_CWD}, {"env", required_argument, NULL, OPT_ENV}, {"clear-env", no_argument, NULL, OPT_CLEAR_ENV}, \
		{"timeout", required_argument, NULL, OPT_TIMEOUT}, {"output-limit", required_argument, NULL, OPT_OUTPUT}, {"trace", required_argument, NULL, OPT_TRACE}, {"interactive", no_argument, NULL, 'i'}, \
		{"tty", no_argument, NULL, 't'}, {"detach", no_argument, NULL, 'd'}, {"generations", no_argument, NULL, OPT_GENERATIONS}, {"user", required_argument, NULL, OPT_USER}, LONG_KEY, LONG_COMMON

#define LONG_LIMITS \
	{"memory", required_argument, NULL, OPT_MEMORY}, {"cpus", required_argument, NULL, OPT_CPUS}, {"pids", required_argument, NULL, OPT_PIDS}, \
		{"io-read", required_argument, NULL, OPT_IO_READ}, {"io-write", required_argument, NULL, OPT_IO_WRITE}, {"disk", required_argument, NULL, OPT_DISK}, \
		{"disk-files", required_argument, NULL, OPT_DISK_FILES}, {"nofile", required_argument, NULL, OPT_NOFILE}, {"best-effort", no_argument, NULL, OPT_BEST_EFFORT}

static const struct option run_options[] = {
	{"name", required_argument, NULL, OPT_NAME}, {"backend", required_argument, NULL, OPT_BACKEND}, {"rw", required_argument, NULL, OPT_RW},
	{"hide", required_argument, NULL, OPT_HIDE}, {"show", required_argument, NULL, OPT_SHOW},	{"ro", no_argument, NULL, OPT_RO},
	{"rm", no_argument, NULL, OPT_RM},	     {"spool-size", required_argument, NULL, OPT_SPOOL}, {"sync", required_argument, NULL, OPT_SYNC},
	{"net", required_argument, NULL, OPT_NET},   {"allow", required_argument, NULL, OPT_ALLOW}, {"dns", required_argument, NULL, OPT_DNS}, {"publish", required_argument, NULL, OPT_PUBLISH},
	{"hostname", required_argument, NULL, OPT_HOSTNAME}, {"kernel-release", required_argument, NULL, OPT_RELEASE}, {"fake-root", no_argument, NULL, OPT_FAKE_ROOT}, {"pidns", no_argument, NULL, OPT_PIDNS}, LONG_LIMITS, LONG_COMMAND,						{0},
};
static const struct option exec_options[] = {LONG_COMMAND, {0}};

static bool take_limit(const Command *cmd, BvLimits *l, int c)
{
	switch (c) {
	case OPT_MEMORY: l->memory = parse_size(cmd, "--memory", optarg); return true;
	case OPT_CPUS: l->cpus = parse_cpus(cmd, "--cpus", optarg); return true;
	case OPT_PIDS: l->pids = parse_limit(cmd, "--pids", optarg); return true;
	case OPT_IO_READ: l->io_read = parse_size(cmd, "--io-read", optarg); return true;
	case OPT_IO_WRITE: l->io_write = parse_size(cmd, "--io-write", optarg); return true;
	case OPT_DISK: l->disk = parse_size(cmd, "--disk", optarg); return true;
	case OPT_DISK_FILES: l->disk_files = parse_limit(cmd, "--disk-files", optarg); return true;
	case OPT_NOFILE: l->nofile = parse_limit(cmd, "--nofile", optarg); return true;
	case OPT_BEST_EFFORT: l->flags |= BV_LIMITS_BEST_EFFORT; return true;
	default: return false;
	}
}

static void take_option(const Command *cmd, Parsed *p, int c)
{
	switch (c) {
	case OPT_NAME: p->create.name = optarg; break;
	case OPT_BACKEND: p->create.backend = optarg; break;
	case OPT_CWD: p->session.cwd = optarg; break;
	case OPT_ENV:
		if (optarg[0] == '\0' || optarg[0] == '=')
			usage_error(cmd, "--env: '%s' names no variable", optarg);
		list_add(&p->env_changes, optarg);
		break;
	case OPT_CLEAR_ENV: p->clear_env = true; break;
	case OPT_RW: list_add(&p->rw, optarg); break;
	case OPT_HIDE: list_add(&p->hide, optarg); break;
	case OPT_SHOW: list_add(&p->show, optarg); break;
	case OPT_NET: p->create.net = optarg; break;
	case OPT_DNS: p->create.dns = optarg; break;
	case OPT_ALLOW: list_add(&p->allow, optarg); break;
	case OPT_PUBLISH: list_add(&p->publish, optarg); break;
	case OPT_RO: p->create.flags |= BV_CREATE_READ_ONLY; break;
	case OPT_TIMEOUT: p->session.timeout_ms = parse_duration(cmd, "--timeout", optarg); break;
	case OPT_OUTPUT: p->session.output_limit = parse_size(cmd, "--output-limit", optarg); break;
	case OPT_TRACE: p->trace = optarg; break;
	case OPT_USER: become_user(cmd, optarg); break;
	case OPT_RM: p->rm = true; break;
	case OPT_FAKE_ROOT: p->create.flags |= BV_CREATE_FAKE_ROOT; break;
	case OPT_PIDNS: p->create.flags |= BV_CREATE_PIDNS; break;
	case OPT_SYNC: p->create.flags |= parse_sync(cmd, optarg) ? BV_CREATE_CONTINUOUS : 0; break;
	case OPT_SPOOL: p->create.spool = parse_size(cmd, "--spool-size", optarg); break;
	case OPT_GENERATIONS: p->generations = true; break;
	case OPT_HOSTNAME: p->create.hostname = optarg; break;
	case OPT_RELEASE: p->create.kernel_release = optarg; break;
	case 'i': p->interactive = true; break;
	case 't': p->tty = true; break;
	case 'd': p->session.detach = true; break;
	default:
		if (!take_limit(cmd, &p->limits, c) && !key_option(key_of_command(), c))
			usage_error(cmd, "unknown option");
	}
}

static Parsed parse(const Command *cmd, int argc, char **argv, const struct option *longs)
{
	Parsed p = {.create = BV_CREATE_OPTIONS_INIT, .limits = BV_LIMITS_INIT, .session = {.trace_fd = -1, .timeout_ms = -1}};
	int c;

	while ((c = opts_next(cmd, argc, argv, "+:itd", longs)) != -1)
		take_option(cmd, &p, c);
	if (p.session.detach && (p.rm || p.tty || p.session.timeout_ms >= 0 || p.session.output_limit))
		usage_error(cmd, "--detach goes with none of --rm, --tty, --timeout and --output-limit");
	if (p.generations && (p.rm || p.session.detach))
		usage_error(cmd, "--generations goes with neither --rm nor --detach");
	return p;
}

/* ---- environment ---- */

static void put_variable(List *env, const char *entry, size_t name_len)
{
	for (size_t i = 0; i < env->count; i++) {
		if (strncmp(env->items[i], entry, name_len) == 0 && env->items[i][name_len] == '=') {
			env->items[i] = entry;
			return;
		}
	}
	list_add(env, entry);
}

/* NAME=value sets; NAME alone takes the caller's value, which matters after --clear-env, and for what is withheld without it. */
static List make_environment(const Parsed *p, const char *const *own)
{
	List env = {0};

	for (char **e = environ; !p->clear_env && *e; e++)
		if (!bv_process_withholds(*e))
			list_add(&env, *e);
	for (size_t i = 0; !p->clear_env && own && own[i]; i++)
		put_variable(&env, own[i], strcspn(own[i], "="));
	for (size_t i = 0; i < p->env_changes.count; i++) {
		const char *change = p->env_changes.items[i];
		size_t len = strcspn(change, "=");
		const char *value = change[len] == '=' ? NULL : getenv(change);
		if (change[len] == '=')
			put_variable(&env, change, len);
		else if (value)
			put_variable(&env, xasprintf("%s=%s", change, value), len);
	}
	if (!env.items) { /* an empty list is not the same as none */
		list_add(&env, "");
		env.items[0] = NULL;
	}
	return env;
}

static int prepare(Parsed *p, char **command)
{
	p->session.argv = (const char *const *)command;
	p->session.tty = !p->session.detach && session_wants_tty(p->interactive, p->tty);
	if (!p->trace)
		return 0;
	p->session.trace_fd = open(p->trace, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	return p->session.trace_fd < 0 ? cli_fail("cannot write the trace %s: %s", p->trace, strerror(errno)) : 0;
}

/* `own`: what the sandbox has. Without options the library does the same. */
static void set_environment(Parsed *p, const char *const *own)
{
	if (p->clear_env || p->env_changes.count > 0)
		p->session.env = make_environment(p, own).items;
}

/* What is said of the sandbox, and goes with it: not what has its value from here, which may be a secret. */
static List sandbox_environment(const Parsed *p)
{
	List env = {0};

	for (size_t i = 0; i < p->env_changes.count; i++)
		if (strchr(p->env_changes.items[i], '=') && !bv_process_withholds(p->env_changes.items[i]))
			put_variable(&env, p->env_changes.items[i], strcspn(p->env_changes.items[i], "="));
	return env;
}

/* ---- run ---- */

/* Shells export the host's name; who gives another one does not mean that. */
static void rename_host(Parsed *p)
{
	for (size_t i = 0; i < p->env_changes.count; i++)
		if (strncmp(p->env_changes.items[i], "HOSTNAME=", 9) == 0)
			return;
	if (p->create.hostname && getenv("HOSTNAME"))
		list_add(&p->env_changes, xasprintf("HOSTNAME=%s", p->create.hostname));
}

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
static int keep_generation(BvSandbox *sb, const Parsed *p, int code)
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

static int finish_run(BvSandbox *sb, const Parsed *p, bool started, int code)
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
	static Parsed p; /* what options point to lives until exit */
	BvSandbox *sb = NULL;
	BvError *err = NULL;
	bool started;
	int code;

	p = parse(cmd, argc, argv, run_options);
	if (optind >= argc)
		usage_error(cmd, "no command given");
	code = prepare(&p, argv + optind);
	if (code != 0)
		return code;
	char *cwd = getcwd(NULL, 0);
	p.create.rw = p.rw.items;
	p.create.hide = p.hide.items;
	p.create.show = p.show.items;
	p.create.allow = p.allow.items;
	p.create.publish = p.publish.items;
	p.create.command = p.session.argv;
	rename_host(&p);
	p.create.env = sandbox_environment(&p).items;
	set_environment(&p, NULL);
	p.create.cwd = p.session.cwd ? p.session.cwd : cwd;
	p.create.limits = &p.limits;
	p.session.owns_sandbox = true;
	p.create.flags |= p.rm ? BV_CREATE_EPHEMERAL : 0;
	code = bv_sandbox_create(&p.create, &sb, &err);
	if (code == 0 && (code = bv_sandbox_set_key(sb, key_of_command(), &err)) < 0) {
		(void)bv_sandbox_remove(sb, 1, NULL);
		bv_sandbox_close(sb);
		return cli_fail_error(err);
	}
	if (code == -EINVAL)
		usage_error(cmd, "%s", bv_error_message(err));
	code = code < 0 ? cli_fail_error(err) : 0;
	free(cwd);
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
	static Parsed p; /* what options point to lives until exit */
	BvSandbox *sb = NULL;
	BvError *err = NULL;
	const char *name;
	bool started;
	int code;

	p = parse(cmd, argc, argv, exec_options);
	code = prepare(&p, split_exec(cmd, argc, argv, &name));
	if (code != 0)
		return code;
	if (open_sandbox(name, &sb, &err) < 0)
		return cli_fail_error(err);
	set_environment(&p, bv_sandbox_environment(sb));
	code = session_run(sb, &p.session, &started);
	if (p.generations && started)
		code = keep_generation(sb, &p, code);
	if (started && !p.session.detach)
		end_sync(sb);
	bv_sandbox_close(sb);
	return code;
}
