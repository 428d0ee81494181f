/* cli/cmd_fork.c - `bvisor fork`: sandboxes that go on from one state, each its own way; `bvisor log`: the states of one. */
#include "cli/cli.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum { OPT_FROM = OPT_FIRST, OPT_REFS_ONLY };

/* ---- fork ---- */

typedef struct Fork {
	const char *from;
	bool refs_only, json, resumed; /* resumed: the last of several is not there, so those that are were made before this was interrupted */
	BvKeyOptions key;
	LimitOptions limits;
	unsigned count; /* 0: one, under the name as it is given */
	Json j;
} Fork;

static unsigned parse_count(const Command *cmd, const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end || n < 1 || n > 1000 || *text == '-')
		usage_error(cmd, "-n: '%s' is no number from 1 to 1000", text);
	return (unsigned)n;
}

/* What is forked: a snapshot; or, if the name is that of a sandbox, what that sandbox is now. malloc'ed, or NULL after a message. */
static char *find_source(Fork *f, const char *source)
{
	BvSnapshotOptions options = BV_SNAPSHOT_OPTIONS_INIT;
	BvSnapshotReceipt receipt = BV_SNAPSHOT_RECEIPT_INIT;
	BvSandbox *sb = NULL;
	BvError *err = NULL;

	int r = find_sandbox(source, &sb, &err);
	if (r < 0) {
		cli_fail_error(err);
		return NULL;
	}
	if (r == 0)
		return xasprintf("%s", source);
	if (!f->from && bv_sandbox_place(sb))
		f->from = xasprintf("%s", bv_sandbox_place(sb)); /* lives until exit */
	options.to = f->from;
	options.message = "forked";
	options.flags = BV_SNAPSHOT_IF_CHANGED; /* the same state again: so an interrupted fork is completed by the same command */
	options.key = &f->key;
	r = limits_inherit(&f->limits, sb, &err);
	if (r == 0)
		r = bv_sandbox_snapshot(sb, &options, &receipt, &err);
	bv_sandbox_close(sb);
	if (r < 0) {
		cli_fail_error(err);
		return NULL;
	}
	return xasprintf("%s@%llu", receipt.name, (unsigned long long)receipt.number);
}

static int fork_one(Fork *f, const char *source, const char *name)
{
	BvForkOptions options = BV_FORK_OPTIONS_INIT;
	BvRestoreOptions restore = BV_RESTORE_OPTIONS_INIT;
	BvSnapshotReceipt receipt = BV_SNAPSHOT_RECEIPT_INIT;
	BvSandbox *sb = NULL;
	BvError *err = NULL;

	options.from = restore.from = f->from;
	options.key = restore.key = &f->key;
	restore.name = name;
	restore.limits = &f->limits.limits;
	if (bv_snapshot_fork(source, name, &options, &receipt, &err) < 0)
		return cli_fail_error(err);
	int r = f->refs_only ? 0 : bv_snapshot_restore(name, &restore, &sb, NULL, &err);
	if (r < 0 && !(r == -EEXIST && f->resumed))
		return cli_fail_error(err);
	bv_error_free(err);
	if (sb)
		bv_sandbox_close(sb);
	if (f->json) {
		json_open(&f->j, NULL, '{');
		json_put_string(&f->j, "snapshot", receipt.name);
		json_put_string(&f->j, "id", receipt.id);
		json_put_string(&f->j, "sandbox", f->refs_only ? NULL : name);
		json_close(&f->j, '}');
	} else {
		printf("%s\n", name);
	}
	return 0;
}

int cmd_fork(const Command *cmd, int argc, char **argv)
{
	static const struct option longs[] = {{"from", required_argument, NULL, OPT_FROM}, {"count", required_argument, NULL, 'n'},
					      {"refs-only", no_argument, NULL, OPT_REFS_ONLY}, {"json", no_argument, NULL, OPT_JSON}, LONG_LIMITS, LONG_KEY, LONG_COMMON, {0}};
	Fork f = {.j = {.out = stdout}, .limits = LIMIT_OPTIONS_INIT};
	int c, code = 0;

	key_begin(&f.key);
	while ((c = opts_next(cmd, argc, argv, ":n:", longs)) != -1) {
		switch (c) {
		case OPT_FROM: f.from = optarg; break;
		case 'n': f.count = parse_count(cmd, optarg); break;
		case OPT_REFS_ONLY: f.refs_only = true; break;
		case OPT_JSON: f.json = true; break;
		default:
			if (!limit_option(cmd, &f.limits, c))
				key_option(&f.key, c);
		}
	}
	if (f.refs_only && f.limits.given)
		usage_error(cmd, "limits are those of sandboxes: with --refs-only there is none");
	if (optind + 2 != argc)
		usage_error(cmd, "%s", optind + 2 < argc ? "one name at a time (-n makes several)" : "what is to be forked, and under which name?");
	char *source = find_source(&f, argv[optind]);
	if (!source)
		return EXIT_BVISOR;
	if (f.json)
		json_open(&f.j, NULL, '[');
	if (f.count > 1) {
		char *last = xasprintf("%s-%u", argv[optind + 1], f.count);
		f.resumed = !is_sandbox(last);
		free(last);
	}
	for (unsigned i = 1; code == 0 && i <= (f.count ? f.count : 1); i++) {
		char *name = f.count ? xasprintf("%s-%u", argv[optind + 1], i) : xasprintf("%s", argv[optind + 1]);
		code = fork_one(&f, source, name);
		free(name);
	}
	if (f.json) {
		json_close(&f.j, ']');
		putchar('\n');
	}
	free(source);
	return code;
}

/* ---- log ---- */

typedef struct Log {
	BvSnapshotInfo *states; /* of each the message and the damage are ours, and nothing else that it points to stays */
	size_t count;
} Log;

static int note_state(void *ctx, const BvSnapshotInfo *info)
{
	Log *log = ctx;
	BvSnapshotInfo state = *info;

	state.message = info->message ? xasprintf("%s", info->message) : NULL;
	state.damage = info->damage ? xasprintf("%s", info->damage) : NULL;
	log->states = xrealloc(log->states, (log->count + 1) * sizeof(*log->states));
	log->states[log->count++] = state;
	return 0;
}

static void json_state(Json *j, const BvSnapshotInfo *s)
{
	json_open(j, NULL, '{');
	json_put_string(j, "snapshot", s->name);
	json_int(j, "number", (int64_t)s->number);
	json_put_string(j, "damage", s->damage);
	json_put_string(j, "message", s->message);
	json_int(j, "seconds", s->seconds);
	json_int(j, "files", (int64_t)s->files);
	json_int(j, "bytes", (int64_t)s->bytes);
	json_close(j, '}');
}

/* The sandbox's name, and, unless one is given, the place of its snapshots. The name need not be one of a sandbox here. */
static char *log_name(const char *given, const char **from)
{
	BvSandbox *sb = NULL;
	BvError *err = NULL;

	int r = given ? find_sandbox(given, &sb, &err) : bv_sandbox_open(NULL, NULL, &sb, &err);
	if (r < 0) {
		cli_fail_error(err);
		return NULL;
	}
	if (!sb)
		return xasprintf("%s", given);
	char *name = xasprintf("%s", bv_sandbox_name(sb));
	if (!*from && bv_sandbox_place(sb))
		*from = xasprintf("%s", bv_sandbox_place(sb)); /* lives until exit */
	bv_sandbox_close(sb);
	return name;
}

int cmd_log(const Command *cmd, int argc, char **argv)
{
	static const struct option longs[] = {{"from", required_argument, NULL, OPT_FROM}, {"json", no_argument, NULL, OPT_JSON}, LONG_KEY, LONG_COMMON, {0}};
	BvSnapshotListOptions options = BV_SNAPSHOT_LIST_OPTIONS_INIT;
	BvKeyOptions key;
	Json j = {.out = stdout};
	BvError *err = NULL;
	bool json = false;
	Log log = {0};
	int c;

	key_begin(&key);
	options.key = &key;
	while ((c = opts_next(cmd, argc, argv, ":", longs)) != -1) {
		if (key_option(&key, c))
			continue;
		options.from = c == OPT_FROM ? optarg : options.from;
		json = json || c == OPT_JSON;
	}
	char *name = log_name(optional_name(cmd, argc, argv), &options.from);
	if (!name)
		return EXIT_BVISOR;
	options.name = name;
	if (bv_snapshot_list_with(&options, note_state, &log, &err) < 0)
		return cli_fail_error(err);
	if (log.count == 0)
		return fail_no_snapshot(name, options.from);
	if (json)
		json_open(&j, NULL, '[');
	for (size_t i = log.count; i-- > 0;) { /* the newest first */
		BvSnapshotInfo *state = &log.states[i];
		state->name = name;
		if (json)
			json_state(&j, state);
		else
			print_snapshot(state);
		free((void *)(uintptr_t)state->message);
		free((void *)(uintptr_t)state->damage);
	}
	if (json) {
		json_close(&j, ']');
		putchar('\n');
	}
	free(log.states);
	free(name);
	return 0;
}
