/* cli/create.c - see create.h. */
#include "cli/create.h"
#include "cli/config.h"

#include <errno.h>
#include <unistd.h>

enum { OPT_NAME = OPT_FIRST, OPT_BACKEND, OPT_CWD, OPT_ENV, OPT_CLEAR_ENV, OPT_RW, OPT_HIDE, OPT_SHOW, OPT_RO, OPT_TIMEOUT, OPT_TRACE, OPT_RM, OPT_GENERATIONS, OPT_SPOOL, OPT_SYNC, OPT_NET, OPT_ALLOW, OPT_DNS, OPT_PUBLISH, OPT_HOSTNAME, OPT_RELEASE, OPT_OUTPUT, OPT_FAKE_ROOT, OPT_PIDNS, OPT_USER, OPT_PROFILE, OPT_NO_CONFIG, OPT_ALLOW_APPLY, OPT_ALLOW_SNAPSHOT };

#define LONG_COMMAND \
	{"cwd", required_argument, NULL, OPT_CWD}, {"env", required_argument, NULL, OPT_ENV}, {"clear-env", no_argument, NULL, OPT_CLEAR_ENV}, \
		{"timeout", required_argument, NULL, OPT_TIMEOUT}, {"output-limit", required_argument, NULL, OPT_OUTPUT}, {"trace", required_argument, NULL, OPT_TRACE}, {"interactive", no_argument, NULL, 'i'}, \
		{"tty", no_argument, NULL, 't'}, {"detach", no_argument, NULL, 'd'}, {"generations", no_argument, NULL, OPT_GENERATIONS}, {"user", required_argument, NULL, OPT_USER}, LONG_KEY, LONG_COMMON

#define LONG_CREATE \
	{"name", required_argument, NULL, OPT_NAME}, {"backend", required_argument, NULL, OPT_BACKEND}, {"rw", required_argument, NULL, OPT_RW}, {"hide", required_argument, NULL, OPT_HIDE}, \
		{"show", required_argument, NULL, OPT_SHOW}, {"ro", no_argument, NULL, OPT_RO}, {"spool-size", required_argument, NULL, OPT_SPOOL}, \
		{"sync", required_argument, NULL, OPT_SYNC}, {"net", required_argument, NULL, OPT_NET}, {"allow", required_argument, NULL, OPT_ALLOW}, {"dns", required_argument, NULL, OPT_DNS}, \
		{"publish", required_argument, NULL, OPT_PUBLISH}, {"hostname", required_argument, NULL, OPT_HOSTNAME}, {"kernel-release", required_argument, NULL, OPT_RELEASE}, \
		{"fake-root", no_argument, NULL, OPT_FAKE_ROOT}, {"pidns", no_argument, NULL, OPT_PIDNS}, {"profile", required_argument, NULL, OPT_PROFILE}, {"no-config", no_argument, NULL, OPT_NO_CONFIG}, LONG_LIMITS

const struct option run_options[] = {LONG_CREATE, {"rm", no_argument, NULL, OPT_RM}, LONG_COMMAND, {0}};
const struct option exec_options[] = {LONG_COMMAND, {0}};
const struct option mcp_options[] = {LONG_CREATE, {"allow-apply", no_argument, NULL, OPT_ALLOW_APPLY}, {"allow-snapshot", required_argument, NULL, OPT_ALLOW_SNAPSHOT}, {"cwd", required_argument, NULL, OPT_CWD}, {"env", required_argument, NULL, OPT_ENV},
				     {"clear-env", no_argument, NULL, OPT_CLEAR_ENV}, {"timeout", required_argument, NULL, OPT_TIMEOUT}, {"output-limit", required_argument, NULL, OPT_OUTPUT},
				     LONG_KEY, LONG_COMMON, {0}};

static void take_option(const Command *cmd, CreateOptions *p, int c)
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
	case OPT_USER:
	case OPT_PROFILE:
	case OPT_NO_CONFIG: break; /* see choose_files */
	case OPT_ALLOW_APPLY: p->allow_apply = true; break;
	case OPT_ALLOW_SNAPSHOT: list_add(&p->snapshots, optarg); break;
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
		if (!limit_option(cmd, &p->limits, c) && !key_option(key_of_command(), c))
			usage_error(cmd, "unknown option");
	}
}

/* ---- the command line, and files ---- */

typedef struct Given {
	int option;
	const char *value;
} Given;

typedef struct CommandLine {
	const Command *cmd;
	const struct option *longs;
	Given *given;
	size_t count;
	CreateOptions *p;
} CommandLine;

static void read_line(CommandLine *l, int argc, char **argv)
{
	int c;

	while ((c = opts_next(l->cmd, argc, argv, l->longs == mcp_options ? ":" : "+:itd", l->longs)) != -1) {
		l->given = xrealloc(l->given, (l->count + 1) * sizeof(*l->given));
		l->given[l->count++] = (Given){c, optarg};
	}
}

/* Whose files, and which of them. */
static void choose_files(const CommandLine *l)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->given[i].option == OPT_USER)
			become_user(l->cmd, l->given[i].value);
	for (size_t i = 0; i < l->count; i++) {
		if (l->given[i].option == OPT_PROFILE)
			config_choose(l->given[i].value);
		else if (l->given[i].option == OPT_NO_CONFIG)
			config_disable();
	}
	config_set_places();
}

static const struct option *find_option(const CommandLine *l, const char *name)
{
	const struct option *o = l->longs;

	while (o->name && strcmp(o->name, name) != 0)
		o++;
	return o->name ? o : NULL; /* NULL: an option of `run` that this command has not */
}

static bool is_given(void *ctx, const char *key)
{
	const CommandLine *l = ctx;
	const struct option *o = find_option(l, key);

	for (size_t i = 0; o && i < l->count; i++)
		if (l->given[i].option == o->val)
			return true;
	return false;
}

static void take_given(const CommandLine *l, int option, const char *value)
{
	optarg = (char *)(uintptr_t)value;
	take_option(l->cmd, l->p, option);
}

static void take_configured(void *ctx, const char *key, const char *text)
{
	const CommandLine *l = ctx;
	const struct option *o = find_option(l, key);

	if (!o)
		return;
	take_given(l, o->val, text);
	l->p->configured = true;
}

static void check(const Command *cmd, const CreateOptions *p)
{
	if (p->session.detach && (p->rm || p->tty || p->session.timeout_ms >= 0 || p->session.output_limit))
		usage_error(cmd, "--detach goes with none of --rm, --tty, --timeout and --output-limit%s", p->configured ? " (which files may have set: see bvisor config)" : "");
	if (p->generations && (p->rm || p->session.detach))
		usage_error(cmd, "--generations goes with neither --rm nor --detach");
}

CreateOptions create_parse(const Command *cmd, int argc, char **argv, const struct option *longs, bool configured)
{
	CreateOptions p = {.create = BV_CREATE_OPTIONS_INIT, .limits = LIMIT_OPTIONS_INIT, .session = {.trace_fd = -1, .timeout_ms = -1}};
	CommandLine l = {.cmd = cmd, .longs = longs, .p = &p};

	read_line(&l, argc, argv);
	choose_files(&l);
	if (configured)
		config_run_values(is_given, take_configured, &l);
	for (size_t i = 0; i < l.count; i++)
		take_given(&l, l.given[i].option, l.given[i].value);
	free(l.given);
	check(cmd, &p);
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
static List make_environment(const CreateOptions *p, const char *const *own)
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

/* `own`: what the sandbox has. Without options the library does the same. */
void create_environment(CreateOptions *p, const char *const *own)
{
	if (p->clear_env || p->env_changes.count > 0)
		p->session.env = make_environment(p, own).items;
}

/* What is said of the sandbox, and goes with it: not what has its value from here, which may be a secret. */
static List sandbox_environment(const CreateOptions *p)
{
	List env = {0};

	for (size_t i = 0; i < p->env_changes.count; i++)
		if (strchr(p->env_changes.items[i], '=') && !bv_process_withholds(p->env_changes.items[i]))
			put_variable(&env, p->env_changes.items[i], strcspn(p->env_changes.items[i], "="));
	return env;
}

/* Shells export the host's name; who gives another one does not mean that. */
static void rename_host(CreateOptions *p)
{
	for (size_t i = 0; i < p->env_changes.count; i++)
		if (strncmp(p->env_changes.items[i], "HOSTNAME=", 9) == 0)
			return;
	if (p->create.hostname && getenv("HOSTNAME"))
		list_add(&p->env_changes, xasprintf("HOSTNAME=%s", p->create.hostname));
}

/* ---- making it ---- */

static void fill(CreateOptions *p)
{
	p->create.rw = p->rw.items;
	p->create.hide = p->hide.items;
	p->create.show = p->show.items;
	p->create.allow = p->allow.items;
	p->create.publish = p->publish.items;
	p->create.command = p->session.argv;
	rename_host(p);
	p->create.env = sandbox_environment(p).items;
	create_environment(p, NULL);
	p->create.limits = &p->limits.limits;
	p->session.owns_sandbox = true;
	p->create.flags |= p->rm ? BV_CREATE_EPHEMERAL : 0;
}

int create_sandbox(const Command *cmd, CreateOptions *p, BvSandbox **out)
{
	BvError *err = NULL;
	char *cwd = getcwd(NULL, 0);
	int r;

	fill(p);
	p->create.cwd = p->session.cwd ? p->session.cwd : cwd;
	r = bv_sandbox_create(&p->create, out, &err);
	free(cwd);
	if (r == -EINVAL)
		usage_error(cmd, "%s%s", bv_error_message(err), p->configured ? " (some values are from files: see bvisor config)" : "");
	if (r < 0)
		return cli_fail_error(err);
	if (bv_sandbox_set_key(*out, key_of_command(), &err) < 0) {
		(void)bv_sandbox_remove(*out, 1, NULL);
		bv_sandbox_close(*out);
		*out = NULL;
		return cli_fail_error(err);
	}
	return 0;
}
