/* cli/cmd_sync.c - `bvisor sync`: the state of a sandbox goes to its backend, once or all the time. */
#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <time.h>

enum { OPT_FOLLOW = OPT_FIRST, OPT_INTERVAL };

static int print_state(const BvSnapshotReceipt *receipt, bool changed, bool json)
{
	if (json) {
		Json j = {.out = stdout};
		json_open(&j, NULL, '{');
		json_put_bool(&j, "changed", changed);
		if (changed) {
			json_put_string(&j, "snapshot", receipt->name);
			json_int(&j, "number", (int64_t)receipt->number);
			json_int(&j, "moved", (int64_t)receipt->moved);
		}
		json_close(&j, '}');
		putchar('\n');
		return 0;
	}
	if (changed)
		printf("%s@%" PRIu64 "\n", receipt->name, receipt->number);
	return 0;
}

/* One line each for who reads the log; a failure that repeats itself is said once. */
static void report(void *ctx, const BvSnapshotReceipt *receipt, const char *error)
{
	char **last = ctx, when[32];
	time_t now = time(NULL);
	struct tm tm;

	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", localtime_r(&now, &tm));
	if (error && (!*last || strcmp(*last, error) != 0))
		cli_fail("%s %s", when, error);
	else if (receipt && *last)
		cli_fail("%s %s@%" PRIu64 ": all is there again", when, receipt->name, receipt->number);
	if (!error || !*last || strcmp(*last, error) != 0) {
		free(*last);
		*last = error ? xasprintf("%s", error) : NULL;
	}
}

static int follow(BvSandbox *sb, double seconds)
{
	BvFollowOptions options = BV_FOLLOW_OPTIONS_INIT;
	BvError *err = NULL;
	char *last = NULL;

	options.seconds = seconds;
	options.visit = report;
	options.ctx = &last;
	int r = bv_sandbox_follow(sb, &options, &err);
	free(last);
	if (r == -EALREADY) {
		bv_error_free(err);
		return 0;
	}
	return r < 0 ? cli_fail_error(err) : 0;
}

static int once(BvSandbox *sb, bool json)
{
	BvSnapshotReceipt receipt = BV_SNAPSHOT_RECEIPT_INIT;
	BvError *err = NULL;
	int r = bv_sandbox_sync(sb, NULL, &receipt, &err);

	return r < 0 ? cli_fail_error(err) : print_state(&receipt, r == 1, json);
}

int cmd_sync(const Command *cmd, int argc, char **argv)
{
	static const struct option longs[] = {{"follow", no_argument, NULL, OPT_FOLLOW}, {"interval", required_argument, NULL, OPT_INTERVAL}, {"json", no_argument, NULL, OPT_JSON},
					      LONG_KEY, LONG_COMMON, {0}};
	bool follows = false, json = false;
	BvSandbox *sb = NULL;
	BvError *err = NULL;
	double seconds = 0;
	int c;

	while ((c = opts_next(cmd, argc, argv, ":", longs)) != -1) {
		switch (c) {
		case OPT_FOLLOW: follows = true; break;
		case OPT_INTERVAL: seconds = parse_duration(cmd, "--interval", optarg) / 1000.0; break;
		case OPT_JSON: json = true; break;
		default: key_option(key_of_command(), c);
		}
	}
	if (optind + 1 < argc)
		usage_error(cmd, "one sandbox at a time");
	if (follows && json)
		usage_error(cmd, "--json does not go with --follow");
	if (open_sandbox(optind < argc ? argv[optind] : NULL, &sb, &err) < 0)
		return cli_fail_error(err);
	int code = follows ? follow(sb, seconds) : once(sb, json);
	bv_sandbox_close(sb);
	return code;
}
