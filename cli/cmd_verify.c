/* cli/cmd_verify.c - `bvisor verify`: is the host still what a sandbox rests on? */
#include "cli/cli.h"

static const struct {
	unsigned bit;
	const char *name;
} kinds[] = {{BV_DRIFT_GONE, "gone"}, {BV_DRIFT_TYPE, "type"}, {BV_DRIFT_CONTENT, "content"}, {BV_DRIFT_MODE, "mode"}, {BV_DRIFT_OWNER, "owner"}};

typedef struct Verified {
	Json j;
	bool json;
	size_t count;
} Verified;

static int on_drift(void *ctx, const BvDrift *drift)
{
	Verified *v = ctx;

	v->count++;
	if (v->json) {
		json_open(&v->j, NULL, '{');
		json_path(&v->j, "path", drift->path);
		json_open(&v->j, "differs", '[');
		for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
			if (drift->what & kinds[i].bit)
				json_put_string(&v->j, NULL, kinds[i].name);
		json_close(&v->j, ']');
		json_int(&v->j, "size", (int64_t)drift->bytes);
		json_int(&v->j, "was_size", (int64_t)drift->was_bytes);
		json_close(&v->j, '}');
		return 0;
	}
	for (size_t i = 0, n = 0; i < ARRAY_LEN(kinds); i++)
		if (drift->what & kinds[i].bit)
			printf("%s%s", n++ ? "," : "", kinds[i].name);
	putchar('\t');
	print_quoted(stdout, drift->path);
	putchar('\n');
	return 0;
}

int verify_print(BvSandbox *sb, bool json, size_t *count)
{
	Verified v = {.json = json, .j = {.out = stdout}};
	uint64_t checked = 0;
	BvError *err = NULL;

	if (json) {
		json_open(&v.j, NULL, '{');
		json_put_string(&v.j, "sandbox", bv_sandbox_name(sb));
		json_open(&v.j, "drift", '[');
	}
	if (bv_sandbox_verify(sb, on_drift, &v, &checked, &err) < 0)
		return cli_fail_error(err);
	if (json) {
		json_close(&v.j, ']');
		json_int(&v.j, "checked", (int64_t)checked);
		json_close(&v.j, '}');
		putchar('\n');
	}
	*count = v.count;
	return 0;
}

int cmd_verify(const Command *cmd, int argc, char **argv)
{
	static const struct option longs[] = {{"json", no_argument, NULL, OPT_JSON}, LONG_COMMON, {0}};
	BvSandbox *sb = NULL;
	BvError *err = NULL;
	size_t count = 0;
	bool json = false;

	while (opts_next(cmd, argc, argv, ":", longs) != -1)
		json = true;
	const char *name = optional_name(cmd, argc, argv);
	if (bv_sandbox_open(NULL, name, &sb, &err) < 0)
		return cli_fail_error(err);
	int code = verify_print(sb, json, &count);
	bv_sandbox_close(sb);
	return code ? code : count > 0;
}
