/* lib/snapshot_restore.c - bv_snapshot_restore: a new sandbox from a snapshot.
 *
 * All records are fetched and compared with their checksums before the sandbox can be seen under its name: it is there as a whole, or not at all. Contents are left where they are
 * until somebody opens them (snapshot/fetcher.h), or are fetched, too. */
#include "lib/base.h"
#include "lib/hold.h"
#include "lib/limits.h"
#include "lib/snapshots.h"
#include "lib/store.h"
#include "lib/view.h"
#include "snapshot/fetcher.h"
#include "snapshot/presence.h"

#include <fcntl.h>
#include <time.h>

#define FETCH_AT_ONCE 256 /* files that are filled together */

typedef struct Restore {
	const Snapshots *s;
	SnapReader *reader;
	CowImport *rows;
	SnapFetch items[FETCH_AT_ONCE];
	CowRecord rows_of[FETCH_AT_ONCE]; /* of each item, for one that cannot be had; `remote` is the item's ref, what else it points to is gone */
	size_t count;
	bool prefetch;
	uint64_t held; /* generation of the hold; 0: none was put */
	uint64_t missing; /* contents that cannot be had */
	char lost[256];	  /* why the first of them cannot */
	SnapId id;
	const SnapRef *ref;
	Strv hidden; /* host paths that guests do not see */
	BasePlan *base;
	BvProgress progress; /* or NULL */
	void *progress_ctx;
	uint64_t done; /* records */
	char *why;
} Restore;

static bool is_lost(int error)
{
	return error == -ENOENT || error == -EBADMSG;
}

/* Fetches what is waiting. What is lost is no reason to lose the rest. */
static int fill_files(Restore *t)
{
	CLEAN_FREE char *why = NULL;
	int r = t->count ? snap_reader_fetch_many(t->reader, t->items, t->count, &why) : 0;

	if (r < 0 && !is_lost(r))
		bv_fail(&t->why, r, "%s", why ? why : strerror(-r));
	else
		r = 0;
	for (size_t i = 0; i < t->count; i++) {
		if (close(t->items[i].fd) < 0 && r == 0) /* a full disk may be told only here */
			r = bv_fail(&t->why, bv_neg_errno(), "cannot write a file of the sandbox: %s", strerror(errno));
		if (r == 0 && t->items[i].result < 0) {
			if (!t->lost[0] && why)
				snprintf(t->lost, sizeof(t->lost), "%s", why);
			r = is_lost(t->items[i].result) ? cow_import_lost(t->rows, &t->rows_of[i]) : t->items[i].result;
			t->missing++;
		}
		free((void *)(uintptr_t)t->items[i].ref);
	}
	t->count = 0;
	return r;
}

static int wait_for_content(Restore *t, const CowRecord *row, const uint8_t *content, size_t len, int fd)
{
	uint8_t *ref = malloc(len);
	CowRecord *kept = &t->rows_of[t->count];
	int r = ref ? snap_content_size(content, len, &kept->remote_size) : -ENOMEM;

	if (r < 0) {
		close(fd);
		free(ref);
		return r;
	}
	const uint64_t size = kept->remote_size;
	memcpy(ref, content, len);
	*kept = *row;
	kept->remote = ref;
	kept->n_remote = len;
	kept->remote_size = size;
	t->items[t->count++] = (SnapFetch){.ref = ref, .len = len, .fd = fd};
	return t->count < FETCH_AT_ONCE ? 0 : fill_files(t);
}

/* A snapshot may come from anybody: it shall not show guests what is hidden from them, by another name. */
static int check_origin(Restore *t, const CowRecord *row)
{
	CLEAN_FREE char *origin = row->kind == COW_RECORD_INODE && row->name ? strndup(row->name, row->n_name) : NULL;

	if (!origin)
		return 0;
	if (view_is_synthetic(origin))
		return bv_fail(&t->why, -EACCES, "it rests on %s of the host, which no sandbox can see", origin);
	for (size_t i = 0; t->hidden && t->hidden[i]; i++)
		if (path_is_below(origin, t->hidden[i]))
			return bv_fail(&t->why, -EACCES, "it rests on %s, which is hidden here; --show %s allows it", origin, t->hidden[i]);
	return 0;
}

static int add_row(void *ctx, CowRecord *row, const uint8_t *content, size_t len)
{
	Restore *t = ctx;
	int fd = -1, r = 0;

	if (t->progress)
		t->progress(t->progress_ctx, "entries", ++t->done, snap_reader_info(t->reader)->totals.records);
	if (len && !t->prefetch) {
		row->remote = content;
		row->n_remote = len;
		r = snap_content_size(content, len, &row->remote_size);
	}
	if (r == 0)
		r = cow_import_record(t->rows, row, &fd, &t->why);
	if (r == 0 && fd >= 0 && len == 0)
		close(fd); /* cannot be: record_decode looks for it */
	else if (r == 0 && fd >= 0)
		r = wait_for_content(t, row, content, len, fd);
	return r;
}

static int on_record(void *ctx, const Record *record)
{
	Restore *t = ctx;
	CowRecord row;
	const uint8_t *content = record->content;
	size_t len = record->content_len;

	if (base_is_record(record))
		return base_plan_record(t->base, record, &t->why);
	int r = record_decode(record, &row);
	if (r < 0)
		return bv_fail(&t->why, r, r == -EPROTO ? "it was written by a newer version of bvisor: use that" : "it is damaged: a record makes no sense");
	r = check_origin(t, &row);
	if (r == 0)
		r = base_plan_row(t->base, &row, &content, &len);
	return r == 0 ? add_row(t, &row, content, len) : r;
}

static int begin_rows(const BvSandbox *sb, CowImport **out, char **why)
{
	CLEAN_FREE char *db = bv_asprintf("%s/meta.db", sandbox_data_dir(sb));
	CLEAN_FREE char *blobs = bv_asprintf("%s/blobs", sandbox_data_dir(sb));
	bool memory = strcmp(sb->config.backend, "tmpfs") == 0;
	CowfsConfig config = {.db_path = db, .flags = COWFS_CREATE, .durable = !memory};
	const BlobOps *ops = blob_ops_find(memory ? "tmpfs" : "dir");
	int r = db && blobs && ops ? ops->open(blobs, BLOB_OPEN_CREATE, &config.blobs, why) : -ENOMEM;

	return r < 0 ? r : cow_import_begin(&config, out, why);
}

static int note_content(void *ctx, const void *ref, size_t len)
{
	snap_presence_note(ctx, ref, len);
	return 0;
}

typedef struct Counting {
	SnapPresence *presence;
	uint64_t missing;
} Counting;

static int count_content(void *ctx, const Record *record)
{
	Counting *c = ctx;

	c->missing += record->content_len && !snap_presence_has(c->presence, record->content, record->content_len);
	return 0;
}

/* ---- what asks the place while the rows are written ---- */

typedef struct Aside {
	int (*run)(struct Aside *a);
	Restore *t;
	const BvSandbox *sb;
	SnapPresence *presence;
	pthread_t thread;
	bool started, done;
	int result;
	BvError *error;
	char *why;
} Aside;

static void *run_aside(void *ctx)
{
	Aside *a = ctx;

	a->result = a->run(a);
	return NULL;
}

static void aside_start(Aside *a)
{
	a->started = true;
	a->done = pthread_create(&a->thread, NULL, run_aside, a) != 0;
	if (a->done)
		a->result = a->run(a);
}

/* `r` counts before what it says. */
static int aside_join(Aside *a, int r, BvError **err)
{
	if (!a->started)
		return r;
	if (!a->done)
		pthread_join(a->thread, NULL);
	if (r == 0 && a->result < 0) {
		r = a->result;
		a->t->why = a->t->why ? a->t->why : TAKE_PTR(a->why);
		if (a->error && err && !*err)
			*err = TAKE_PTR(a->error);
	}
	bv_error_free(a->error);
	free(a->why);
	a->started = false;
	return r;
}

static int run_hold(Aside *a)
{
	return hold_add(a->t->s, &a->sb->config, &a->t->id, &a->t->held, &a->error);
}

/* Are the packs there of what is fetched later, as far as that can be told? */
static int run_presence(Aside *a)
{
	Counting c = {.presence = a->presence};
	int r = snap_presence_check(a->presence, &a->why);

	ObjectName pack = "";
	if (r == 1)
		snap_presence_lost(a->presence, pack);
	if (pack[0])
		snprintf(a->t->lost, sizeof(a->t->lost), "%s is gone", pack);
	if (r == 1) /* not often: so nobody has kept what each record needs */
		r = snap_reader_walk(a->t->reader, "", 0, count_content, &c, &a->why);
	a->t->missing = c.missing;
	return MIN(r, 0);
}

static int presence_begin(Restore *t, SnapPresence **out)
{
	int r = snap_presence_begin(t->reader, out);

	return r < 0 ? r : cow_import_each_remote(t->rows, note_content, *out);
}

static int leave_contents(Restore *t)
{
	CLEAN_FREE char *source = snap_fetcher_source(t->s->location, t->s->key, &t->id);

	return source ? cow_import_remote(t->rows, source) : -ENOMEM;
}

/* The next snapshot in this place has to send only what was changed since. */
static void remember_parent(const BvSandbox *sb, const Restore *t)
{
	CLEAN_FREE char *path = snapshots_contents_path(sb, t->s);
	CowContents *contents = path ? cow_contents_open(path) : NULL;
	char state[65];

	id_hex(&t->id, state);
	if (contents)
		cow_contents_finish(contents, state);
	cow_contents_close(contents);
}

static int import_rows(Restore *t)
{
	int r = snap_reader_walk(t->reader, "", 0, on_record, t, &t->why), left;

	if (r == 0)
		r = base_plan_finish(t->base, add_row, t, &t->why);
	left = r < 0 ? 0 : fill_files(t);
	return r == 0 ? left : r;
}

static void drop_waiting(Restore *t)
{
	for (size_t i = 0; i < t->count; i++) {
		close(t->items[i].fd);
		free((void *)(uintptr_t)t->items[i].ref);
	}
	t->count = 0;
}

static int fill_rows(Restore *t, BvSandbox *sb, Aside *presence, BvError **err)
{
	int r = base_plan_new(t->hidden, &t->base);

	if (r == 0)
		r = begin_rows(sb, &t->rows, &t->why);
	if (r == 0)
		r = leave_contents(t);
	if (r == 0)
		r = import_rows(t);
	if (r == 0 && !t->prefetch && (r = presence_begin(t, &presence->presence)) == 0)
		aside_start(presence);
	if (r == 0)
		r = cow_import_finish(t->rows, &t->why);
	cow_import_free(TAKE_PTR(t->rows));
	drop_waiting(t);
	if (r == 0)
		remember_parent(sb, t);
	return r == 0 ? view_check(sb, err) : r;
}

/* Called when the new sandbox's directory is there and not yet to be seen. */
static int fill_sandbox(BvSandbox *sb, void *ctx, BvError **err)
{
	Restore *t = ctx;
	Aside hold = {.run = run_hold, .t = t, .sb = sb}, presence = {.run = run_presence, .t = t, .sb = sb};
	int r = hide_list(sb->store, &sb->config, &t->hidden);

	if (r == 0 && !t->prefetch)
		aside_start(&hold);
	if (r == 0)
		r = fill_rows(t, sb, &presence, err);
	r = aside_join(&hold, r, err);
	r = aside_join(&presence, r, err);
	snap_presence_end(presence.presence);
	bool full = r == -ENOSPC || r == -EDQUOT;
	if (r < 0 && (!err || !*err))
		(void)lib_fail(err, r, "cannot restore %s@%llu from %s: %s%s%s", t->ref->name, (unsigned long long)t->ref->number, t->s->location, t->why ? t->why : strerror(-r),
			       full ? "; make room in " : lib_way_out(r), !full ? "" : sb->config.data_dir ? sb->config.data_dir : sb->store);
	return r;
}

/* Elsewhere the host's times say nothing. */
static void take_since(const SnapInfo *info, SandboxConfig *c)
{
	CLEAN_FREE char *machine = snapshots_field(info, "machine"), *since = snapshots_field(info, "since");
	char ours[32];
	long long sec;
	long nsec;

	if (machine && since && snapshots_machine(ours) && strcmp(machine, ours) == 0 && sscanf(since, "%lld.%9ld", &sec, &nsec) == 2) {
		c->since_sec = sec;
		c->since_nsec = nsec;
	}
}

/* Fields NAME/000000, NAME/000001, ...; what `good` (may be NULL) does not like is left out: a snapshot may come from anybody. */
static int take_list(const SnapInfo *info, const char *name, bool (*good)(const char *text), Strv *out)
{
	for (size_t i = 0;; i++) {
		char field[32];
		snprintf(field, sizeof(field), "%s/%06zu", name, i);
		CLEAN_FREE char *word = snapshots_field(info, field);
		if (!word)
			return 0;
		int r = !good || good(word) ? strv_add(out, word) : 0;
		if (r < 0)
			return r;
	}
}

/* A sandbox that was closed stays so. */
static int take_network(const SnapInfo *info, SandboxConfig *c, BvError **err)
{
	CLEAN_FREE char *net = snapshots_field(info, "net");
	CLEAN_STRV Strv allow = NULL;
	int r = take_list(info, "allow", network_is_rule, &allow);

	return r < 0 ? lib_fail(err, r, "out of memory") : network_config(net ? net : "host", (const char *const *)allow, NULL, c, err);
}

static bool is_absolute(const char *path)
{
	return path[0] == '/';
}

/* What was hidden from the sandbox stays so, but for what is to be shown. */
static int take_hidden(const SnapInfo *info, SandboxConfig *c)
{
	CLEAN_STRV Strv hide = NULL;
	int r = take_list(info, "hide", is_absolute, &hide);

	for (size_t i = 0; r == 0 && hide && hide[i]; i++) {
		CLEAN_FREE char *path = path_absolute(hide[i]);
		if (!path)
			return -ENOMEM;
		if (!c->show || !path_is_selected(path, (const char *const *)c->show))
			r = strv_add(&c->hide, path);
	}
	return r;
}

/* What is no such name is nobody's. */
static void take_machine(const SnapInfo *info, SandboxConfig *c)
{
	CLEAN_FREE char *hostname = snapshots_field(info, "hostname"), *release = snapshots_field(info, "kernel_release");

	if (hostname && machine_is_hostname(hostname))
		c->hostname = TAKE_PTR(hostname);
	if (release && machine_is_release(release))
		c->kernel_release = TAKE_PTR(release);
}

static int config_from_snapshot(const Snapshots *s, const SnapInfo *info, const BvRestoreOptions *o, SandboxConfig *c, BvError **err)
{
	CLEAN_FREE char *ro = snapshots_field(info, "ro"), *fake_root = snapshots_field(info, "fake-root");
	struct timespec now;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &now);
	c->created_sec = now.tv_sec;
	c->created_nsec = now.tv_nsec;
	c->backend = strdup(o->backend ? o->backend : backend_is_place(s->location) ? s->location : "dir"); /* its own snapshots go where it came from */
	c->continuous = o->flags & BV_RESTORE_CONTINUOUS;
	if (c->continuous && c->backend && !backend_is_place(c->backend))
		return lib_fail(err, -EINVAL, "only a sandbox with a bucket as its backend (s3://BUCKET/PREFIX) can be kept there all the time");
	r = lib_limits_take(o->limits, &c->limits, err);
	if (r < 0)
		return r;
	take_since(info, c);
	c->carries = base_carries(info);
	c->cwd = snapshots_field(info, "cwd");
	c->ro = ro != NULL;
	r = take_network(info, c, err);
	if (r < 0)
		return r;
	config_set_fake_root(c, fake_root != NULL);
	c->unnamed = !o->name;
	c->spool = o->spool;
	take_machine(info, c);
	if (r == 0)
		r = take_list(info, "command", NULL, &c->command);
	if (r == 0)
		r = take_list(info, "env", environment_is_entry, &c->env);
	if (r < 0 || !c->backend)
		return lib_fail(err, -ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && o->show && o->show[i]; i++) {
		CLEAN_FREE char *path = path_absolute(o->show[i]);
		r = path ? strv_add(&c->show, path) : -ENOMEM;
	}
	if (r == 0)
		r = take_hidden(info, c);
	return r < 0 ? lib_fail(err, r, "out of memory") : 0;
}

static int begin_restore(Restore *t, const Snapshots *s, const SnapRef *ref, const BvRestoreOptions *o, BvError **err)
{
	t->s = s;
	t->id = ref->id;
	t->ref = ref;
	t->progress = o->progress;
	t->progress_ctx = o->progress_ctx;
	t->prefetch = o->flags & BV_RESTORE_PREFETCH;
	int r = snap_reader_open(s->store, &ref->id, &t->reader, &t->why);
	return r < 0 ? lib_fail(err, r, "cannot read the snapshot '%s' in %s: %s%s", ref->name, s->location, t->why ? t->why : strerror(-r), lib_way_out(r)) : 0;
}

static void end_restore(Restore *t)
{
	snap_reader_close(t->reader);
	base_plan_free(t->base);
	strv_free(t->hidden);
	free(t->why);
}

static void note_outcome(const Restore *t, BvSnapshotReceipt *receipt)
{
	receipt->flags = t->held || t->prefetch ? 0 : BV_RESTORE_UNHELD;
	receipt->missing = t->missing;
	snprintf(receipt->lost, sizeof(receipt->lost), "%s", t->lost);
	receipt->base_used = t->base ? base_plan_used(t->base) : 0;
}

static int restore(const Snapshots *s, const SnapRef *ref, const BvRestoreOptions *o, BvSandbox **out, BvSnapshotReceipt *receipt, BvError **err)
{
	Restore *t = calloc(1, sizeof(*t));
	SandboxConfig config = {0};
	BvSandbox *sb = NULL;
	int r;

	if (!t)
		return lib_fail(err, -ENOMEM, "out of memory");
	r = begin_restore(t, s, ref, o, err);
	if (r == 0)
		r = config_from_snapshot(s, snap_reader_info(t->reader), o, &config, err);
	const SandboxConfig made = {.created_sec = config.created_sec, .created_nsec = config.created_nsec};
	if (r == 0)
		r = sandbox_create_filled(&config, o->store, o->name, fill_sandbox, t, &sb, err);
	if (r == 0)
		*out = sb;
	else if (sb)
		bv_sandbox_close(sb);
	note_outcome(t, receipt);
	if (r < 0 && t->held)
		hold_release(s, &made);
	config_release(&config);
	end_restore(t);
	free(t);
	return r;
}

/* 1: no command has run in it and nothing was changed, so that there is no state to keep. */
static int is_unused(BvSandbox *sb, BvError **err)
{
	Cowfs *fs = NULL;
	int r = view_get(sb, &fs, err);

	if (r < 0)
		return r;
	view_put(sb);
	return !fs;
}

/* Nothing of what it was is lost: that is a state of its own first, while nobody can start a command. */
static int restore_in_place(const Snapshots *s, const SnapRef *ref, const BvRestoreOptions *o, BvSandbox **out, BvSnapshotReceipt *receipt, BvError **err)
{
	CLEAN_FREE Restore *t = calloc(1, sizeof(*t));
	CLEAN_FREE char *message = bv_asprintf("before %s@%llu was restored", ref->name, (unsigned long long)ref->number);
	CLEAN_FD int lock = -1;
	BvSnapshotOptions keep = BV_SNAPSHOT_OPTIONS_INIT;
	BvSandbox *old = NULL;
	int r = t && message ? 0 : lib_fail(err, -ENOMEM, "out of memory");

	keep.message = message;
	if (r == 0)
		r = bv_sandbox_open(o->store, o->name ? o->name : ref->name, &old, err);
	if (r == 0)
		r = sandbox_hold_stopped(old, &lock, err);
	if (r == 0)
		r = apply_check_none(old, false, err);
	const int unused = r == 0 ? is_unused(old, err) : r;
	r = MIN(unused, 0);
	if (unused == 0)
		r = snapshot_take(old, TAKE_HELD, s, &keep, NULL, err);
	if (r == 0)
		r = begin_restore(t, s, ref, o, err);
	if (r == 0) {
		old->config.since_sec = old->config.since_nsec = 0;
		take_since(snap_reader_info(t->reader), &old->config);
		old->config.carries = base_carries(snap_reader_info(t->reader));
		CLEAN_FREE char *fake_root = snapshots_field(snap_reader_info(t->reader), "fake-root");
		config_set_fake_root(&old->config, fake_root != NULL);
		r = sandbox_replace_filled(old, fill_sandbox, t, out, err);
	}
	if (t)
		note_outcome(t, receipt);
	if (r == 0 && t->prefetch)
		hold_release(s, &old->config);
	else if (r == 0) /* else what the sandbox was goes on to be held, too */
		hold_only(s, &old->config, t->held);
	if (old)
		bv_sandbox_close(old);
	if (t)
		end_restore(t);
	return r;
}

/* Where the sandbox's own snapshots are; *place stays NULL for the default place, and if there is no such sandbox, which is said later. */
static int find_own_place(const char *snapshot, const BvRestoreOptions *o, char **place, BvError **err)
{
	CLEAN_FREE char *name = o->name ? strdup(o->name) : strndup(snapshot, strcspn(snapshot, "@"));
	BvError *why = NULL;
	BvSandbox *sb = NULL;
	int r = name ? bv_sandbox_open(o->store, name, &sb, &why) : -ENOMEM;

	if (r == 0 && bv_sandbox_place(sb) && !(*place = strdup(bv_sandbox_place(sb))))
		r = -ENOMEM;
	if (r == -ENOENT || r == -EINVAL)
		r = 0;
	if (r < 0)
		(void)lib_fail(err, r, "%s", why ? bv_error_message(why) : "out of memory");
	bv_error_free(why);
	bv_sandbox_close(sb);
	return r;
}

int bv_snapshot_restore(const char *name, const BvRestoreOptions *options, BvSandbox **out, BvSnapshotReceipt *receipt, BvError **err)
{
	BvRestoreOptions o = BV_RESTORE_OPTIONS_INIT;
	CLEAN_SNAPSHOTS Snapshots s = {0};
	SnapInfo info = {0};
	SnapRef ref;
	BvSnapshotReceipt outcome = {0};
	int r;

	if (lib_take_options(&o, sizeof(o), options) < 0)
		return lib_fail(err, -EINVAL, "the options have a size that this library does not know");
	if (lib_check_flags(o.flags, BV_RESTORE_PREFETCH | BV_RESTORE_CONTINUOUS | BV_RESTORE_IN_PLACE, err) < 0)
		return -EINVAL;
	CLEAN_FREE char *own = NULL;
	if ((o.flags & BV_RESTORE_IN_PLACE) && !o.from && (r = find_own_place(name, &o, &own, err)) < 0)
		return r;
	r = snapshots_open(own ? own : o.from, o.store, o.key, o.flags & BV_RESTORE_IN_PLACE, &s, err);
	if (r == 0)
		r = snapshots_find(&s, name, &ref, err);
	if (r == 0)
		r = o.flags & BV_RESTORE_IN_PLACE ? restore_in_place(&s, &ref, &o, out, &outcome, err) : restore(&s, &ref, &o, out, &outcome, err);
	if (r == 0 && receipt && snap_info_load(s.store, &ref.id, &info, NULL) == 0) {
		SnapTraffic t = snap_store_traffic(s.store);
		BaseCount base = base_count(&info);
		outcome.number = ref.number;
		outcome.files = info.totals.contents;
		outcome.bytes = info.totals.content_bytes;
		outcome.moved = t.received;
		outcome.requests = t.gets + t.puts + t.others;
		outcome.base_files = base.files;
		outcome.base_bytes = base.bytes;
		snprintf(outcome.name, sizeof(outcome.name), "%s", ref.name);
		id_hex(&ref.id, outcome.id);
		lib_give(receipt, &outcome, sizeof(outcome));
		snap_info_release(&info);
	}
	return r;
}
