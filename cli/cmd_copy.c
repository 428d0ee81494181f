/* cli/cmd_copy.c - snapshots from one place into another: push, pull. They differ in which place has the default. */
#include "cli/cli.h"

#include <inttypes.h>

enum { OPT_FROM = OPT_FIRST, OPT_TO, OPT_AS, OPT_FROM_KEY, OPT_FROM_PASSPHRASE, OPT_TO_KEY, OPT_TO_PASSPHRASE };

typedef struct Copied {
	Json j;
	bool json, begun;
} Copied;

static void json_begin(Copied *c)
{
	if (c->json && !c->begun)
		json_open(&c->j, NULL, '[');
	c->begun = true;
}

static void on_copied(void *ctx, const BvCopyItem *item)
{
	Copied *c = ctx;
	char size[32], sent[32];

	progress_end();
	if (c->json) {
		json_begin(c);
		json_open(&c->j, NULL, '{');
		json_put_string(&c->j, "snapshot", item->name);
		json_int(&c->j, "number", (int64_t)item->number);
		json_put_string(&c->j, "to_snapshot", item->to_name);
		json_int(&c->j, "to_number", (int64_t)item->to_number);
		json_put_bool(&c->j, "copied", item->copied != 0);
		json_int(&c->j, "read_files", (int64_t)item->files);
		json_int(&c->j, "read_bytes", (int64_t)item->bytes);
		json_int(&c->j, "sent", (int64_t)item->sent);
		json_close(&c->j, '}');
	} else if (item->copied) {
		printf("%s@%" PRIu64 " -> %s@%" PRIu64 ": %" PRIu64 " files read, %s; %s sent\n", item->name, item->number, item->to_name, item->to_number, item->files,
		       human_size(item->bytes, size), human_size(item->sent, sent));
	} else {
		printf("%s@%" PRIu64 " is there already: %s@%" PRIu64 "\n", item->name, item->number, item->to_name, item->to_number);
	}
	if (!c->json)
		fflush(stdout); /* a state may take long */
}

/* What is given for one place goes before what is given for both. */
static void merge_key(BvKeyOptions *own, const BvKeyOptions *both)
{
	if (own->key_file || own->passphrase_file)
		return;
	own->key_file = both->key_file;
	own->passphrase_file = both->passphrase_file;
}

static int copy(const Command *cmd, int argc, char **argv, bool push)
{
	static const struct option longs[] = {
		{"from", required_argument, NULL, OPT_FROM}, {"to", required_argument, NULL, OPT_TO}, {"as", required_argument, NULL, OPT_AS},
		{"from-key-file", required_argument, NULL, OPT_FROM_KEY}, {"from-passphrase-file", required_argument, NULL, OPT_FROM_PASSPHRASE},
		{"to-key-file", required_argument, NULL, OPT_TO_KEY}, {"to-passphrase-file", required_argument, NULL, OPT_TO_PASSPHRASE},
		{"json", no_argument, NULL, OPT_JSON}, LONG_KEY, LONG_COMMON, {0}};
	BvCopyOptions options = BV_COPY_OPTIONS_INIT;
	BvKeyOptions both, from, to;
	Copied copied = {.j = {.out = stdout}};
	BvError *err = NULL;
	int c;

	key_begin(&both);
	key_begin(&from);
	key_begin(&to);
	while ((c = opts_next(cmd, argc, argv, ":", longs)) != -1) {
		switch (c) {
		case OPT_FROM: options.from = optarg; break;
		case OPT_TO: options.to = optarg; break;
		case OPT_AS: options.as = optarg; break;
		case OPT_FROM_KEY: key_option(&from, OPT_KEY_FILE); break;
		case OPT_FROM_PASSPHRASE: key_option(&from, OPT_PASSPHRASE_FILE); break;
		case OPT_TO_KEY: key_option(&to, OPT_KEY_FILE); break;
		case OPT_TO_PASSPHRASE: key_option(&to, OPT_PASSPHRASE_FILE); break;
		case OPT_JSON: copied.json = true; break;
		default: key_option(&both, c);
		}
	}
	merge_key(&from, &both);
	merge_key(&to, &both);
	if (optind == argc)
		usage_error(cmd, "which snapshot?");
	if (push ? !options.to : !options.from)
		usage_error(cmd, push ? "where to? --to PLACE says it" : "where from? --from PLACE says it");
	options.from_key = &from;
	options.to_key = &to;
	options.progress = progress_show;
	int r = bv_snapshot_copy((const char *const *)argv + optind, &options, on_copied, &copied, &err);
	progress_end();
	if (r < 0)
		return cli_fail_error(err);
	json_begin(&copied);
	if (copied.json) {
		json_close(&copied.j, ']');
		putchar('\n');
	}
	return 0;
}

int cmd_push(const Command *cmd, int argc, char **argv)
{
	return copy(cmd, argc, argv, true);
}

int cmd_pull(const Command *cmd, int argc, char **argv)
{
	return copy(cmd, argc, argv, false);
}
