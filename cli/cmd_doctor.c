/* cli/cmd_doctor.c - `bvisor doctor`: what of this machine works for bvisor; exit code 0 only if bvisor can run here. */
#include "cli/cli.h"

#include <unistd.h>

static int doctor_json(void *ctx, const BvFeature *f)
{
	Json *j = ctx;

	json_open(j, NULL, '{');
	json_put_string(j, "name", f->name);
	json_put_bool(j, "works", f->works);
	json_put_bool(j, "required", f->required);
	json_put_string(j, "reason", f->reason);
	json_put_string(j, "consequence", f->works ? NULL : f->consequence);
	json_close(j, '}');
	return 0;
}

static int doctor_line(void *ctx, const BvFeature *f)
{
	const char *word = f->works ? "yes" : f->required ? "NO" : "no";

	(void)ctx;
	printf("%-22s %s%-4s%s %s\n", f->name, color(f->works ? "green" : f->required ? "red" : "yellow"), word, color("plain"), f->reason);
	if (!f->works)
		printf("%-22s      %s\n", "", f->consequence);
	return 0;
}

int cmd_doctor(const Command *cmd, int argc, char **argv)
{
	static const struct option longs[] = {{"json", no_argument, NULL, OPT_JSON}, LONG_COMMON, {0}};
	bool json = false;
	Json features = {.out = stdout};
	BvError *err = NULL;
	int r;

	while (opts_next(cmd, argc, argv, ":", longs) != -1)
		json = true;
	if (optind < argc)
		usage_error(cmd, "unexpected argument '%s'", argv[optind]);
	if (json) {
		json_open(&features, NULL, '{');
		json_open(&features, "features", '[');
	}
	r = json ? bv_doctor(NULL, doctor_json, &features, &err) : bv_doctor(NULL, doctor_line, NULL, &err);
	if (r < 0)
		return cli_fail_error(err);
	if (json) {
		json_close(&features, ']');
		json_put_bool(&features, "can_run", r > 0);
		json_close(&features, '}');
		putchar('\n');
	} else {
		puts(r > 0 ? "bvisor can run here." : "bvisor cannot run here: see NO above.");
	}
	return r > 0 ? 0 : 1;
}
