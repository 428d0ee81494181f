/* cli/cmd_prune.c - removing states of snapshots: snapshots rm, snapshots prune. */
#include "cli/cli.h"

#include <inttypes.h>
#include <time.h>

enum { OPT_FROM = OPT_FIRST, OPT_LAST, OPT_HOURLY, OPT_DAILY, OPT_WEEKLY, OPT_MONTHLY, OPT_YEARLY, OPT_TAG, OPT_DRY_RUN };

#define FROM_OPTION "  --from PLACE         where the snapshots are (default: as for snapshot)\n"

static const char free_room[] = "`bvisor gc` frees the room";

/* ---- rm ---- */

typedef struct Removed {
	Json j;
	bool json;
} Removed;

static void on_removed(void *ctx, const char *name, uint64_t number)
{
	Removed *removed = ctx;

	if (removed->json) {
		json_open(&removed->j, NULL, '{');
		json_put_string(&removed->j, "snapshot", name);
		json_int(&removed->j, "number", (int64_t)number);
		json_close(&removed->j, '}');
	} else {
		printf("removed %s@%" PRIu64 "\n", name, number);
	}
}

const Command snapshots_rm = {"snapshots rm", "[OPTION...] SNAPSHOT[@NUMBER]...", "Remove states of snapshots, or all states of a name",
	FROM_OPTION KEY_OPTION_HELP "  --json               print JSON\n"
	"  --help               show this\n"
	"\nOnly the names go; `bvisor gc` frees the room. The newest state of a name can be removed only with all others.\n",
	NULL, "  bvisor snapshots rm work@3\n"};

int cmd_snapshots_rm(int argc, char **argv)
{
	static const struct option longs[] = {{"from", required_argument, NULL, OPT_FROM}, {"json", no_argument, NULL, OPT_JSON}, LONG_KEY, LONG_COMMON, {0}};
	BvRemoveOptions options = BV_REMOVE_OPTIONS_INIT;
	Removed removed = {.j = {.out = stdout}};
	BvKeyOptions key;
	BvError *err = NULL;
	int c;

	key_begin(&key);
	options.key = &key;
	while ((c = opts_next(&snapshots_rm, argc, argv, ":", longs)) != -1) {
		if (key_option(&key, c))
			continue;
		options.from = c == OPT_FROM ? optarg : options.from;
		removed.json = removed.json || c == OPT_JSON;
	}
	if (optind == argc)
		usage_error(&snapshots_rm, "which snapshot?");
	if (removed.json)
		json_open(&removed.j, NULL, '[');
	int r = bv_snapshot_remove((const char *const *)argv + optind, &options, on_removed, &removed, &err);
	if (r < 0)
		return cli_fail_error(err);
	if (removed.json) {
		json_close(&removed.j, ']');
		putchar('\n');
	} else {
		puts(free_room);
	}
	return 0;
}

/* ---- prune ---- */

typedef struct Pruned {
	Json j;
	bool json, dry;
	size_t kept;
} Pruned;

static void on_state(void *ctx, const BvPruneItem *item)
{
	Pruned *p = ctx;
	char time[32] = "?";

	p->kept += item->keep != 0;
	if (p->json) {
		json_open(&p->j, NULL, '{');
		json_put_string(&p->j, "snapshot", item->name);
		json_int(&p->j, "number", (int64_t)item->number);
		json_int(&p->j, "seconds", item->seconds);
		json_put_bool(&p->j, "keep", item->keep != 0);
		json_put_string(&p->j, "reason", item->reason);
		json_close(&p->j, '}');
		return;
	}
	if (item->seconds)
		local_time(item->seconds, time);
	printf("%s %s@%" PRIu64 "  %s  ", item->keep ? "keep   " : "remove ", item->name, item->number, time);
	print_quoted(stdout, item->reason);
	putchar('\n');
}

const Command snapshots_prune = {"snapshots prune", "[OPTION...] [NAME...]", "Remove the states that no rule keeps, of each name by itself (default: of all)",
	FROM_OPTION "  --keep-last N        keep the N newest\n"
	"  --keep-hourly N      keep the newest of each of the N last hours that have one\n"
	"  --keep-daily N, --keep-weekly N, --keep-monthly N, --keep-yearly N\n"
	"                       the same for days, weeks, months and years\n"
	"  --keep-tag TAG       keep all with this tag (repeatable)\n"
	"  --dry-run            say what would be removed, change nothing\n"
	KEY_OPTION_HELP "  --json               print JSON\n"
	"  --help               show this\n"
	"\nWhat one rule keeps is kept; the newest state always is. Only names are removed; `bvisor gc` frees the room.\n",
	NULL, "  bvisor snapshots prune --dry-run --keep-daily 7 --keep-weekly 5\n"};

int cmd_snapshots_prune(int argc, char **argv)
{
	static const struct option longs[] = {
		{"from", required_argument, NULL, OPT_FROM}, {"keep-last", required_argument, NULL, OPT_LAST}, {"keep-hourly", required_argument, NULL, OPT_HOURLY},
		{"keep-daily", required_argument, NULL, OPT_DAILY}, {"keep-weekly", required_argument, NULL, OPT_WEEKLY}, {"keep-monthly", required_argument, NULL, OPT_MONTHLY},
		{"keep-yearly", required_argument, NULL, OPT_YEARLY}, {"keep-tag", required_argument, NULL, OPT_TAG}, {"dry-run", no_argument, NULL, OPT_DRY_RUN},
		{"json", no_argument, NULL, OPT_JSON}, LONG_KEY, LONG_COMMON, {0}};
	static List tags; /* lives until exit */
	BvPruneOptions options = BV_PRUNE_OPTIONS_INIT;
	static const char *const names[] = {"--keep-last", "--keep-hourly", "--keep-daily", "--keep-weekly", "--keep-monthly", "--keep-yearly"};
	unsigned *const counts[] = {&options.keep_last, &options.keep_hourly, &options.keep_daily, &options.keep_weekly, &options.keep_monthly, &options.keep_yearly};
	Pruned pruned = {.j = {.out = stdout}};
	BvKeyOptions key;
	BvError *err = NULL;
	int c;

	key_begin(&key);
	options.key = &key;
	while ((c = opts_next(&snapshots_prune, argc, argv, ":", longs)) != -1) {
		switch (c) {
		case OPT_FROM: options.from = optarg; break;
		case OPT_TAG: list_add(&tags, optarg); break;
		case OPT_DRY_RUN: pruned.dry = true; break;
		case OPT_JSON: pruned.json = true; break;
		case OPT_KEY_FILE:
		case OPT_PASSPHRASE_FILE: key_option(&key, c); break;
		default: *counts[c - OPT_LAST] = parse_positive(&snapshots_prune, names[c - OPT_LAST], optarg);
		}
	}
	options.flags = pruned.dry ? BV_PRUNE_DRY_RUN : 0;
	options.keep_tags = tags.items;
	if (pruned.json)
		json_open(&pruned.j, NULL, '[');
	int r = bv_snapshot_prune((const char *const *)argv + optind, &options, on_state, &pruned, &err);
	if (r < 0)
		return cli_fail_error(err);
	if (pruned.json) {
		json_close(&pruned.j, ']');
		putchar('\n');
	} else {
		printf("%zu kept, %d %s%s%s\n", pruned.kept, r, pruned.dry ? "would be removed" : "removed", r ? "; " : "", r ? free_room : "");
	}
	return 0;
}
