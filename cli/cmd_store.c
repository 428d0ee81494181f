/* cli/cmd_store.c - what takes care of a place of snapshots: gc, fsck. */
#include "cli/cli.h"

#include <inttypes.h>

enum { OPT_FROM = OPT_FIRST, OPT_GRACE, OPT_ALONE, OPT_DRY_RUN, OPT_READ_DATA, OPT_REPAIR_INDEX };

static void no_arguments(const Command *cmd, int argc, char **argv)
{
	if (optind < argc)
		usage_error(cmd, "unexpected argument '%s'", argv[optind]);
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

/* ---- gc ---- */

static void gc_print(const BvGcResult *r, const BvGcOptions *o)
{
	bool dry = o->flags & BV_GC_DRY_RUN;
	char live[32], freed[32], moved[32];

	printf("%" PRIu64 " snapshot%s in use, %s in %" PRIu64 " pack%s\n", r->snapshots, plural(r->snapshots), human_size(r->bytes, live), r->packs, plural(r->packs));
	printf("%s %" PRIu64 " object%s, %s\n", dry ? "would remove" : "removed", r->removed, plural(r->removed), human_size(r->removed_bytes, freed));
	if (r->repacked)
		printf("%s %" PRIu64 " pack%s, of which %s is needed\n", dry ? "would write anew" : "wrote anew", r->repacked, plural(r->repacked), human_size(r->moved_bytes, moved));
	if (r->condemned)
		printf("%s %" PRIu64 " object%s: a `bvisor gc` after the grace period removes %s\n", dry ? "would condemn" : "condemned", r->condemned, plural(r->condemned),
		       r->condemned == 1 ? "it" : "them");
}

static void gc_json(const BvGcResult *r)
{
	Json j = {.out = stdout};

	json_open(&j, NULL, '{');
	json_int(&j, "snapshots", (int64_t)r->snapshots);
	json_int(&j, "packs", (int64_t)r->packs);
	json_int(&j, "bytes", (int64_t)r->bytes);
	json_int(&j, "condemned", (int64_t)r->condemned);
	json_int(&j, "removed", (int64_t)r->removed);
	json_int(&j, "removed_bytes", (int64_t)r->removed_bytes);
	json_int(&j, "repacked", (int64_t)r->repacked);
	json_int(&j, "moved_bytes", (int64_t)r->moved_bytes);
	json_close(&j, '}');
	putchar('\n');
}

int cmd_gc(const Command *cmd, int argc, char **argv)
{
	static const struct option longs[] = {{"from", required_argument, NULL, OPT_FROM}, {"grace", required_argument, NULL, OPT_GRACE}, {"alone", no_argument, NULL, OPT_ALONE},
					      {"dry-run", no_argument, NULL, OPT_DRY_RUN}, {"json", no_argument, NULL, OPT_JSON}, LONG_KEY, LONG_COMMON, {0}};
	BvGcOptions options = BV_GC_OPTIONS_INIT;
	BvGcResult result = BV_GC_RESULT_INIT;
	BvKeyOptions key;
	BvError *err = NULL;
	bool json = false;
	int c;

	key_begin(&key);
	options.key = &key;
	while ((c = opts_next(cmd, argc, argv, ":", longs)) != -1) {
		switch (c) {
		case OPT_FROM: options.from = optarg; break;
		case OPT_GRACE: options.grace = (parse_duration(cmd, "--grace", optarg) + 999LL) / 1000; break;
		case OPT_ALONE: options.flags |= BV_GC_ALONE; break;
		case OPT_DRY_RUN: options.flags |= BV_GC_DRY_RUN; break;
		case OPT_JSON: json = true; break;
		default: key_option(&key, c);
		}
	}
	no_arguments(cmd, argc, argv);
	options.progress = progress_show;
	int r = bv_snapshot_gc(&options, &result, &err);
	progress_end();
	if (r < 0)
		return cli_fail_error(err);
	if (json)
		gc_json(&result);
	else
		gc_print(&result, &options);
	return 0;
}

/* ---- fsck ---- */

typedef struct Found {
	Json j;
	bool json, begun, hurt; /* hurt: the list of objects has ended */
} Found;

/* Nothing is printed before it is known that the check can be made. */
static void fsck_json_begin(Found *f)
{
	if (f->begun)
		return;
	f->begun = true;
	json_open(&f->j, NULL, '{');
	json_open(&f->j, "damaged", '[');
}

static void damage_json(Found *f, const BvDamage *damage)
{
	Json *j = &f->j;

	fsck_json_begin(f);
	if (damage->snapshot && !f->hurt) {
		json_close(j, ']');
		json_open(j, "hurt", '[');
		f->hurt = true;
	}
	json_open(j, NULL, '{');
	if (damage->snapshot) {
		json_put_string(j, "snapshot", damage->snapshot);
		json_int(j, "number", (int64_t)damage->number);
	} else {
		json_put_string(j, "object", damage->object);
	}
	json_put_string(j, "message", damage->message);
	json_close(j, '}');
}

static void on_damage(void *ctx, const BvDamage *damage)
{
	Found *f = ctx;

	progress_end();
	if (f->json) {
		damage_json(f, damage);
		return;
	}
	if (damage->snapshot)
		printf("hurt: %s@%" PRIu64 ": ", damage->snapshot, damage->number);
	else if (strstr(damage->message, damage->object)) /* most messages name it */
		fputs("damaged: ", stdout);
	else
		printf("damaged: %s: ", damage->object);
	print_plain(stdout, damage->message);
	putchar('\n');
}

static void fsck_json_end(Found *f, const BvCheckResult *r)
{
	Json *j = &f->j;

	fsck_json_begin(f);
	json_close(j, ']');
	if (!f->hurt) {
		json_open(j, "hurt", '[');
		json_close(j, ']');
	}
	json_int(j, "states", (int64_t)r->states);
	json_int(j, "snapshots", (int64_t)r->snapshots);
	json_int(j, "packs", (int64_t)r->packs);
	json_int(j, "chunks", (int64_t)r->chunks);
	json_int(j, "bytes_read", (int64_t)r->bytes);
	json_int(j, "indexed", (int64_t)r->indexed);
	json_close(j, '}');
	putchar('\n');
}

static void fsck_print_end(const BvCheckResult *r, const BvCheckOptions *o)
{
	char read[32];

	if (o->flags & BV_CHECK_REPAIR_INDEX)
		printf("made an index of %" PRIu64 " pack%s\n", r->indexed, plural(r->indexed));
	printf("%" PRIu64 " snapshot%s, %" PRIu64 " pack%s, %" PRIu64 " chunk%s", r->states, plural(r->states), r->packs, plural(r->packs), r->chunks, plural(r->chunks));
	if (o->flags & BV_CHECK_READ_DATA)
		printf(", %s read", human_size(r->bytes, read));
	if (!r->damaged && !r->hurt)
		puts(": all is well");
	else
		printf(": %" PRIu64 " damaged, %" PRIu64 " snapshot%s hurt\n", r->damaged, r->hurt, plural(r->hurt));
}

int cmd_fsck(const Command *cmd, int argc, char **argv)
{
	static const struct option longs[] = {{"from", required_argument, NULL, OPT_FROM}, {"read-data", no_argument, NULL, OPT_READ_DATA},
					      {"repair-index", no_argument, NULL, OPT_REPAIR_INDEX}, {"json", no_argument, NULL, OPT_JSON}, LONG_KEY, LONG_COMMON, {0}};
	BvCheckOptions options = BV_CHECK_OPTIONS_INIT;
	Found found = {.j = {.out = stdout}};
	BvCheckResult result = BV_CHECK_RESULT_INIT;
	BvKeyOptions key;
	BvError *err = NULL;
	int c;

	key_begin(&key);
	options.key = &key;
	while ((c = opts_next(cmd, argc, argv, ":", longs)) != -1) {
		switch (c) {
		case OPT_FROM: options.from = optarg; break;
		case OPT_READ_DATA: options.flags |= BV_CHECK_READ_DATA; break;
		case OPT_REPAIR_INDEX: options.flags |= BV_CHECK_REPAIR_INDEX; break;
		case OPT_JSON: found.json = true; break;
		default: key_option(&key, c);
		}
	}
	no_arguments(cmd, argc, argv);
	options.progress = progress_show;
	int r = bv_snapshot_check(&options, on_damage, &found, &result, &err);
	progress_end();
	if (r < 0)
		return cli_fail_error(err);
	if (found.json)
		fsck_json_end(&found, &result);
	else
		fsck_print_end(&result, &options);
	return r;
}
