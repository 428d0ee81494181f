/* cli/cmd_snapshot.c - snapshots of sandboxes: snapshot, restore, snapshots. */
#include "cli/cli.h"

#include <time.h>

enum { OPT_TO = OPT_FIRST, OPT_FROM, OPT_NAME, OPT_AS, OPT_BACKEND, OPT_SHOW, OPT_PREFETCH, OPT_IN_PLACE, OPT_STRICT, OPT_SPOOL, OPT_SYNC, OPT_TAG, OPT_WITH_BASE };

static void json_receipt(Json *j, const BvSnapshotReceipt *r)
{
	json_put_string(j, "snapshot", r->name);
	json_int(j, "number", (int64_t)r->number);
	json_put_string(j, "id", r->id);
	json_int(j, "files", (int64_t)r->files);
	json_int(j, "bytes", (int64_t)r->bytes);
	json_int(j, "moved", (int64_t)r->moved);
	json_int(j, "requests", (int64_t)r->requests);
	json_int(j, "base_files", (int64_t)r->base_files);
	json_int(j, "base_bytes", (int64_t)r->base_bytes);
}

const char *local_time(int64_t seconds, char out[32])
{
	time_t when = (time_t)seconds;
	struct tm tm;

	if (!localtime_r(&when, &tm) || strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		memcpy(out, "?", 2);
	return out;
}

const char *human_size(uint64_t bytes, char out[32])
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	snprintf(out, 32, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return out;
}

/* ---- snapshot ---- */

int cmd_snapshot(const Command *cmd, int argc, char **argv)
{
	static const struct option longs[] = {{"to", required_argument, NULL, OPT_TO}, {"as", required_argument, NULL, OPT_AS},
					      {"message", required_argument, NULL, 'm'}, {"tag", required_argument, NULL, OPT_TAG}, {"with-base", no_argument, NULL, OPT_WITH_BASE}, {"json", no_argument, NULL, OPT_JSON}, LONG_KEY, LONG_COMMON, {0}};
	static List tags; /* lives until exit */
	BvSnapshotOptions options = BV_SNAPSHOT_OPTIONS_INIT;
	BvSnapshotReceipt receipt = BV_SNAPSHOT_RECEIPT_INIT;
	BvKeyOptions key;
	BvSandbox *sb = NULL;
	BvError *err = NULL;
	bool json = false;
	char total[32], moved[32];
	int c;

	key_begin(&key);
	options.key = &key;
	while ((c = opts_next(cmd, argc, argv, ":m:", longs)) != -1) {
		switch (c) {
		case OPT_TO: options.to = optarg; break;
		case OPT_AS: options.name = optarg; break;
		case 'm': options.message = optarg; break;
		case OPT_TAG: list_add(&tags, optarg); break;
		case OPT_WITH_BASE: options.flags |= BV_SNAPSHOT_WITH_BASE; break;
		case OPT_JSON: json = true; break;
		default: key_option(&key, c);
		}
	}
	options.tags = tags.items;
	options.progress = progress_show;
	const char *name = optional_name(cmd, argc, argv);
	if (bv_sandbox_open(NULL, name, &sb, &err) < 0)
		return cli_fail_error(err);
	int r = bv_sandbox_snapshot(sb, &options, &receipt, &err);
	progress_end();
	bv_sandbox_close(sb);
	if (r < 0)
		return cli_fail_error(err);
	if (json) {
		Json j = {.out = stdout};
		json_open(&j, NULL, '{');
		json_receipt(&j, &receipt);
		json_int(&j, "new_bytes", (int64_t)receipt.new_bytes);
		json_int(&j, "pause_us", (int64_t)(receipt.pause * 1e6));
		json_put_bool(&j, "unsteady", receipt.flags & BV_SNAPSHOT_UNSTEADY);
		json_int(&j, "base_left", (int64_t)receipt.base_left);
		json_close(&j, '}');
		putchar('\n');
	} else {
		printf("%s@%llu: %llu files, %s; %s sent", receipt.name, (unsigned long long)receipt.number, (unsigned long long)receipt.files,
		       human_size(receipt.bytes, total), human_size(receipt.moved, moved));
		if (receipt.base_files)
			printf("; with %llu file%s of the host", (unsigned long long)receipt.base_files, receipt.base_files == 1 ? "" : "s");
		if (receipt.pause > 0)
			printf("; stood still for %.1f ms", receipt.pause * 1e3);
		putchar('\n');
	}
	if (receipt.base_left)
		fprintf(stderr, "bvisor: %llu file%s of the host that '%s' has opened %s gone or cannot be read: not carried\n", (unsigned long long)receipt.base_left,
			receipt.base_left == 1 ? "" : "s", receipt.name, receipt.base_left == 1 ? "is" : "are");
	if (receipt.flags & BV_SNAPSHOT_UNSTEADY)
		fprintf(stderr, "bvisor: processes of '%s' could not be stopped for a moment (is ptrace refused here?): files that were being written may not belong together\n", receipt.name);
	return 0;
}

/* ---- restore ---- */

static int count_one(void *ctx, const BvDrift *drift)
{
	(void)drift;
	++*(size_t *)ctx;
	return 0;
}

/* 0, or a negative errno with a message: nobody knows then. */
static int count_drift(BvSandbox *sb, size_t *count, BvError **err)
{
	*count = 0;
	return bv_sandbox_verify(sb, count_one, count, NULL, err);
}

/* --strict: the sandbox goes; the exit code. */
static int take_back(BvSandbox *sb, int code)
{
	BvError *err = NULL;

	if (bv_sandbox_remove(sb, 1, &err) < 0)
		code = cli_fail_error(err);
	bv_sandbox_close(sb);
	return code;
}

static int refuse_drift(BvSandbox *sb)
{
	size_t count;
	int code = verify_print(sb, false, &count);

	if (code == 0)
		code = cli_fail("the host is not what the snapshot rests on (above): nothing was restored; without --strict it is");
	return take_back(sb, code);
}

/* Of one that was put back, and keeps those that are not given. */
static int set_limits(BvSandbox *sb, LimitOptions *limits, BvError **err)
{
	int r = limits_inherit(limits, sb, err);

	return r < 0 ? r : bv_sandbox_set_limits(sb, &limits->limits, err);
}

int cmd_restore(const Command *cmd, int argc, char **argv)
{
	static const struct option longs[] = {{"from", required_argument, NULL, OPT_FROM}, {"name", required_argument, NULL, OPT_NAME},
					      {"backend", required_argument, NULL, OPT_BACKEND}, {"show", required_argument, NULL, OPT_SHOW}, {"spool-size", required_argument, NULL, OPT_SPOOL}, {"sync", required_argument, NULL, OPT_SYNC},
					      {"prefetch", no_argument, NULL, OPT_PREFETCH}, {"in-place", no_argument, NULL, OPT_IN_PLACE}, {"strict", no_argument, NULL, OPT_STRICT}, {"json", no_argument, NULL, OPT_JSON}, LONG_LIMITS, LONG_KEY, LONG_COMMON, {0}};
	static List show; /* lives until exit */
	BvRestoreOptions options = BV_RESTORE_OPTIONS_INIT;
	LimitOptions limits = LIMIT_OPTIONS_INIT;
	BvSnapshotReceipt receipt = BV_SNAPSHOT_RECEIPT_INIT;
	BvKeyOptions key;
	BvSandbox *sb = NULL;
	BvError *err = NULL;
	bool json = false, strict = false;
	char total[32];
	int c;

	key_begin(&key);
	options.key = &key;
	while ((c = opts_next(cmd, argc, argv, ":", longs)) != -1) {
		switch (c) {
		case OPT_FROM: options.from = optarg; break;
		case OPT_NAME: options.name = optarg; break;
		case OPT_BACKEND: options.backend = optarg; break;
		case OPT_SHOW: list_add(&show, optarg); break;
		case OPT_SYNC: options.flags |= parse_sync(cmd, optarg) ? BV_RESTORE_CONTINUOUS : 0; break;
		case OPT_SPOOL: options.spool = parse_size(cmd, "--spool-size", optarg); break;
		case OPT_PREFETCH: options.flags |= BV_RESTORE_PREFETCH; break;
		case OPT_IN_PLACE: options.flags |= BV_RESTORE_IN_PLACE; break;
		case OPT_STRICT: strict = true; break;
		case OPT_JSON: json = true; break;
		default:
			if (!limit_option(cmd, &limits, c))
				key_option(&key, c);
		}
	}
	options.show = show.items;
	if (optind + 1 != argc)
		usage_error(cmd, "%s", optind < argc ? "one snapshot at a time" : "which snapshot?");
	if (strict && (options.flags & BV_RESTORE_IN_PLACE))
		usage_error(cmd, "--strict does not go with --in-place: the sandbox is replaced before the host is looked at");
	options.progress = progress_show;
	options.limits = &limits.limits;
	int r = bv_snapshot_restore(argv[optind], &options, &sb, &receipt, &err);
	progress_end();
	if (r < 0)
		return cli_fail_error(err);
	if (limits.given && (options.flags & BV_RESTORE_IN_PLACE) && set_limits(sb, &limits, &err) < 0) {
		bv_sandbox_close(sb);
		return cli_fail_error(err);
	}
	size_t drift;
	if (receipt.flags & BV_RESTORE_UNHELD)
		fprintf(stderr, "bvisor: nothing can be written to %s: should the snapshot be removed there, files that were not opened by then are lost; --prefetch fetches them now\n", options.from ? options.from : "the place");
	if (count_drift(sb, &drift, &err) < 0) {
		int code = cli_fail_error(err);
		if (strict)
			return take_back(sb, code);
	} else if (strict && drift) {
		return refuse_drift(sb);
	}
	if (json) {
		Json j = {.out = stdout};
		json_open(&j, NULL, '{');
		json_put_string(&j, "sandbox", bv_sandbox_name(sb));
		json_receipt(&j, &receipt);
		json_int(&j, "drift", (int64_t)drift);
		json_int(&j, "missing", (int64_t)receipt.missing);
		json_int(&j, "base_used", (int64_t)receipt.base_used);
		json_close(&j, '}');
		putchar('\n');
	} else {
		printf("%s: %llu files, %s from %s@%llu", bv_sandbox_name(sb), (unsigned long long)receipt.files, human_size(receipt.bytes, total), receipt.name,
		       (unsigned long long)receipt.number);
		if (receipt.base_used)
			printf("; %llu file%s of the base come%s from the snapshot", (unsigned long long)receipt.base_used, receipt.base_used == 1 ? "" : "s",
			       receipt.base_used == 1 ? "s" : "");
		putchar('\n');
	}
	if (drift)
		fprintf(stderr, "bvisor: %zu file%s of this host that it rests on %s not what %s when it was used: bvisor verify %s\n", drift, drift == 1 ? "" : "s",
			drift == 1 ? "is" : "are", drift == 1 ? "it was" : "they were", bv_sandbox_name(sb));
	if (receipt.missing)
		cli_fail("%llu of %llu files are lost%s%s%s: opening one gives an input/output error, all else was restored; `bvisor fsck` says what is damaged, and which snapshots that hurts",
			 (unsigned long long)receipt.missing, (unsigned long long)receipt.files, receipt.lost[0] ? " (" : "", receipt.lost, receipt.lost[0] ? ")" : "");
	bv_sandbox_close(sb);
	return receipt.missing ? EXIT_BVISOR : 0;
}

/* ---- snapshots ---- */

typedef struct Shown {
	Json j;
	bool json, json_begun;
	size_t count, damaged;
} Shown;

/* Not before there is something to say: an error must not leave half a list. */
static void begin_json(Shown *s)
{
	if (!s->json_begun)
		json_open(&s->j, NULL, '[');
	s->json_begun = true;
}

static void snapshot_json(Json *j, const BvSnapshotInfo *info)
{
	json_open(j, NULL, '{');
	json_put_string(j, "snapshot", info->name);
	json_int(j, "number", (int64_t)info->number);
	json_put_string(j, "id", info->id);
	json_put_string(j, "damage", info->damage);
	if (!info->damage) {
		json_put_string(j, "sandbox", info->sandbox);
		json_put_string(j, "message", info->message);
		json_int(j, "seconds", info->seconds);
		json_int(j, "files", (int64_t)info->files);
		json_int(j, "bytes", (int64_t)info->bytes);
		json_int(j, "stored", (int64_t)info->stored);
		json_put_bool(j, "with_base", info->with_base);
		json_int(j, "base_files", (int64_t)info->base_files);
		json_int(j, "base_bytes", (int64_t)info->base_bytes);
	}
	json_close(j, '}');
}

void print_snapshot(const BvSnapshotInfo *info)
{
	char time[32], size[32];

	if (info->damage) {
		printf("%s@%llu  damaged: %s\n", info->name, (unsigned long long)info->number, info->damage);
		return;
	}
	printf("%s@%llu  %s  %llu files, %s", info->name, (unsigned long long)info->number, local_time(info->seconds, time), (unsigned long long)info->files,
	       human_size(info->bytes, size));
	if (info->with_base)
		printf(" (with %llu of the host)", (unsigned long long)info->base_files);
	if (info->message) {
		fputs("  ", stdout);
		print_quoted(stdout, info->message);
	}
	putchar('\n');
}

static int on_snapshot(void *ctx, const BvSnapshotInfo *info)
{
	Shown *s = ctx;

	s->count++;
	s->damaged += info->damage != NULL;
	if (s->json) {
		begin_json(s);
		snapshot_json(&s->j, info);
	} else {
		print_snapshot(info);
	}
	return 0;
}

int fail_no_snapshot(const char *name, const char *from)
{
	const char *usual = getenv("BVISOR_SNAPSHOTS");
	const char *place = from ? from : usual && *usual ? usual : "the store";

	if (is_sandbox(name))
		return cli_fail("sandbox '%s' has no snapshots in %s: `bvisor snapshot%s%s %s` takes one, `bvisor snapshots%s%s` lists those of others", name, place, from ? " --to " : "",
				from ? from : "", name, from ? " --from " : "", from ? from : "");
	return cli_fail("there is no snapshot '%s' in %s: `bvisor snapshots%s%s` lists those that there are", name, place, from ? " --from " : "", from ? from : "");
}

int cmd_snapshots(const Command *cmd, int argc, char **argv)
{
	static const struct option longs[] = {{"from", required_argument, NULL, OPT_FROM}, {"json", no_argument, NULL, OPT_JSON}, LONG_KEY, LONG_COMMON, {0}};
	BvSnapshotListOptions options = BV_SNAPSHOT_LIST_OPTIONS_INIT;
	Shown shown = {.j = {.out = stdout}};
	BvKeyOptions key;
	BvError *err = NULL;
	int c;

	if (argc > 1 && strcmp(argv[1], "rm") == 0)
		return cmd_snapshots_rm(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "prune") == 0)
		return cmd_snapshots_prune(argc - 1, argv + 1);
	key_begin(&key);
	options.key = &key;
	while ((c = opts_next(cmd, argc, argv, ":", longs)) != -1) {
		if (!key_option(&key, c)) {
			options.from = c == OPT_FROM ? optarg : options.from;
			shown.json = shown.json || c == OPT_JSON;
		}
	}
	options.name = optional_name(cmd, argc, argv);
	if (bv_snapshot_list_with(&options, on_snapshot, &shown, &err) < 0)
		return cli_fail_error(err);
	if (options.name && shown.count == 0)
		return fail_no_snapshot(options.name, options.from);
	if (shown.json) {
		begin_json(&shown);
		json_close(&shown.j, ']');
		putchar('\n');
	}
	return shown.damaged ? 1 : 0;
}
