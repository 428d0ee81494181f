/* cli/cmd_net.c - `bvisor net`: what a sandbox may reach over the network, and what was refused; and to change it. */
#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <time.h>

enum { OPT_NET = OPT_FIRST, OPT_ALLOW, OPT_DENY };

static int print_json(void *ctx, const BvNetwork *n)
{
	Json j = {.out = stdout};

	(void)ctx;
	json_open(&j, NULL, '{');
	json_put_string(&j, "mode", n->mode);
	json_open(&j, "allow", '[');
	for (size_t i = 0; n->allow[i]; i++)
		json_put_string(&j, NULL, n->allow[i]);
	json_close(&j, ']');
	json_open(&j, "publish", '[');
	for (size_t i = 0; n->publish[i]; i++)
		json_put_string(&j, NULL, n->publish[i]);
	json_close(&j, ']');
	json_int(&j, "denied", (int64_t)n->denied);
	json_open(&j, "last", '[');
	for (size_t i = 0; i < n->n_last; i++) {
		json_open(&j, NULL, '{');
		json_int(&j, "time", n->last[i].time);
		json_int(&j, "pid", n->last[i].pid);
		json_put_string(&j, "comm", n->last[i].comm);
		json_put_string(&j, "protocol", n->last[i].protocol);
		json_put_string(&j, "to", n->last[i].to);
		json_put_string(&j, "why", n->last[i].why);
		json_int(&j, "count", (int64_t)n->last[i].count);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_close(&j, '}');
	putchar('\n');
	return 0;
}

static int print_text(void *ctx, const BvNetwork *n)
{
	(void)ctx;
	printf("network: %s\n", n->mode);
	for (size_t i = 0; n->allow[i]; i++) {
		fputs(i ? "         " : "allowed: ", stdout);
		print_quoted(stdout, n->allow[i]);
		putchar('\n');
	}
	for (size_t i = 0; n->publish[i]; i++)
		printf("%s%s\n", i ? "           " : "published: ", n->publish[i]);
	if (n->denied)
		printf("refused: %" PRIu64 "\n", n->denied);
	for (size_t i = 0; i < n->n_last; i++) {
		const BvDenied *d = &n->last[i];
		char when[32] = "?";
		time_t t = (time_t)d->time;
		struct tm tm;
		if (localtime_r(&t, &tm))
			strftime(when, sizeof(when), "%H:%M:%S", &tm);
		printf("  %s %6" PRIu64 "x  %-4s ", when, d->count, d->protocol);
		print_quoted(stdout, d->to);
		printf("  by ");
		print_quoted(stdout, d->comm);
		printf("  (%s)\n", d->why);
	}
	return 0;
}

int cmd_net(const Command *cmd, int argc, char **argv)
{
	static const struct option longs[] = {{"net", required_argument, NULL, OPT_NET}, {"allow", required_argument, NULL, OPT_ALLOW}, {"deny", required_argument, NULL, OPT_DENY},
					      {"json", no_argument, NULL, OPT_JSON}, LONG_COMMON, {0}};
	BvNetworkChange change = BV_NETWORK_CHANGE_INIT;
	List allow = {0}, deny = {0};
	BvSandbox *sb = NULL;
	BvError *err = NULL;
	bool json = false;
	int c;

	while ((c = opts_next(cmd, argc, argv, ":", longs)) != -1) {
		switch (c) {
		case OPT_NET: change.net = optarg; break;
		case OPT_ALLOW: list_add(&allow, optarg); break;
		case OPT_DENY: list_add(&deny, optarg); break;
		default: json = true; break;
		}
	}
	const char *name = optional_name(cmd, argc, argv);
	change.allow = allow.items;
	change.deny = deny.items;
	bool changes = change.net || allow.count || deny.count;
	int r = bv_sandbox_open(NULL, name, &sb, &err);
	if (r == 0 && changes && (r = bv_sandbox_set_network(sb, &change, &err)) == -EINVAL)
		usage_error(cmd, "%s", bv_error_message(err));
	if (r == 0 && (json || !changes))
		r = bv_sandbox_network(sb, json ? print_json : print_text, NULL, &err);
	bv_sandbox_close(sb);
	return r < 0 ? cli_fail_error(err) : 0;
}
