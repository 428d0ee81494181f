/* lib/snapshot_restore.c - bv_snapshot_restore: a new sandbox from a snapshot.
 *
 * All records are fetched and compared with their checksums before the sandbox can be seen under its name: it is there as a whole, or not at all. Contents are left where they are
 * until somebody opens them (snapshot/fetcher.h), or are fetched, too. */
#include "cowfs/contents.h"
#include "lib/snapshots.h"
#include "lib/store.h"
#include "lib/view.h"
#include "snapshot/fetcher.h"

#include <fcntl.h>
#include <time.h>

#define FETCH_AT_ONCE 256 /* files that are filled together */

typedef struct Restore {
	const Snapshots *s;
	SnapReader *reader;
	CowImport *rows;
	SnapFetch items[FETCH_AT_ONCE];
	uint8_t *refs[FETCH_AT_ONCE];
	size_t count;
	bool prefetch;
	SnapId id;
	const SnapRef *ref;
	Strv hidden; /* host paths that guests do not see */
	char *why;
} Restore;

/* Fetches what is waiting. */
static int fill_files(Restore *t)
{
	int r = t->count ? snap_reader_fetch_many(t->reader, t->items, t->count, &t->why) : 0;

	for (size_t i = 0; i < t->count; i++) {
		if (close(t->items[i].fd) < 0 && r == 0) /* a full disk may be told only here */
			r = bv_fail(&t->why, bv_neg_errno(), "cannot write a file of the sandbox: %s", strerror(errno));
		free(t->refs[i]);
	}
	t->count = 0;
	return r;
}

static int wait_for_content(Restore *t, const Record *record, int fd)
{
	uint8_t *ref = malloc(record->content_len);

	if (!ref) {
		close(fd);
		return -ENOMEM;
	}
	memcpy(ref, record->content, record->content_len);
	t->refs[t->count] = ref;
	t->items[t->count++] = (SnapFetch){.ref = ref, .len = record->content_len, .fd = fd};
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

static int on_record(void *ctx, const Record *record)
{
	Restore *t = ctx;
	CowRecord row;
	int fd = -1;
	int r = record_decode(record, &row);

	if (r < 0)
		return bv_fail(&t->why, r, r == -EPROTO ? "it was written by a newer version of bvisor: use that" : "it is damaged: a record makes no sense");
	r = check_origin(t, &row);
	if (r == 0 && record->content_len && !t->prefetch) {
		row.remote = record->content;
		row.n_remote = record->content_len;
		r = snap_content_size(record->content, record->content_len, &row.remote_size);
	}
	if (r == 0)
		r = cow_import_record(t->rows, &row, &fd, &t->why);
	if (r == 0 && fd >= 0 && record->content_len == 0)
		close(fd); /* cannot be: record_decode looks for it */
	else if (r == 0 && fd >= 0)
		r = wait_for_content(t, record, fd);
	return r;
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

static int leave_contents(Restore *t)
{
	CLEAN_FREE char *source = snap_fetcher_source(t->s->location, &t->id);

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

/* Called when the new sandbox's directory is there and not yet to be seen. */
static int fill_sandbox(BvSandbox *sb, void *ctx, BvError **err)
{
	Restore *t = ctx;
	int r = hide_list(sb->store, &sb->config, &t->hidden), left;

	if (r == 0)
		r = begin_rows(sb, &t->rows, &t->why);
	if (r == 0 && !t->prefetch)
		r = leave_contents(t);
	if (r == 0)
		r = snap_reader_walk(t->reader, "", 0, on_record, t, &t->why);
	left = r < 0 ? 0 : fill_files(t);
	if (r == 0)
		r = left;
	if (r == 0)
		r = cow_import_finish(t->rows, &t->why);
	cow_import_free(TAKE_PTR(t->rows));
	for (size_t i = 0; i < t->count; i++) {
		close(t->items[i].fd);
		free(t->refs[i]);
	}
	t->count = 0;
	if (r == 0)
		remember_parent(sb, t);
	if (r == 0)
		r = view_check(sb, err);
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

static int config_from_snapshot(const Snapshots *s, const SnapInfo *info, const BvRestoreOptions *o, SandboxConfig *c, BvError **err)
{
	CLEAN_FREE char *ro = snapshots_field(info, "ro");
	struct timespec now;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &now);
	c->created_sec = now.tv_sec;
	c->created_nsec = now.tv_nsec;
	c->backend = strdup(o->backend ? o->backend : backend_is_place(s->location) ? s->location : "dir"); /* its own snapshots go where it came from */
	take_since(info, c);
	c->cwd = snapshots_field(info, "cwd");
	c->ro = ro != NULL;
	c->unnamed = !o->name;
	for (size_t i = 0; r == 0; i++) {
		char name[32];
		snprintf(name, sizeof(name), "command/%06zu", i);
		CLEAN_FREE char *word = snapshots_field(info, name);
		if (!word)
			break;
		r = strv_add(&c->command, word);
	}
	if (r < 0 || !c->backend)
		return lib_fail(err, -ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && o->show && o->show[i]; i++) {
		CLEAN_FREE char *path = path_absolute(o->show[i]);
		r = path ? strv_add(&c->show, path) : -ENOMEM;
	}
	return r < 0 ? lib_fail(err, r, "out of memory") : 0;
}

static int begin_restore(Restore *t, const Snapshots *s, const SnapRef *ref, const BvRestoreOptions *o, BvError **err)
{
	t->s = s;
	t->id = ref->id;
	t->ref = ref;
	t->prefetch = o->flags & BV_RESTORE_PREFETCH;
	int r = snap_reader_open(s->store, &ref->id, &t->reader, &t->why);
	return r < 0 ? lib_fail(err, r, "cannot read the snapshot '%s' in %s: %s%s", ref->name, s->location, t->why ? t->why : strerror(-r), lib_way_out(r)) : 0;
}

static void end_restore(Restore *t)
{
	snap_reader_close(t->reader);
	strv_free(t->hidden);
	free(t->why);
}

static int restore(const Snapshots *s, const SnapRef *ref, const BvRestoreOptions *o, BvSandbox **out, BvError **err)
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
	if (r == 0)
		r = sandbox_create_filled(&config, o->store, o->name, fill_sandbox, t, &sb, err);
	if (r == 0 && !backend_is_memory(sb->config.backend) && syncfs(sb->dirfd) < 0) /* its name and description: what is reported stays */
		r = lib_fail(err, bv_neg_errno(), "sandbox '%s' was made, but could not be written to the disk: %s", sb->config.name, strerror(errno));
	if (r == 0)
		*out = sb;
	else if (sb)
		bv_sandbox_close(sb);
	config_release(&config);
	end_restore(t);
	free(t);
	return r;
}

/* Nothing of what it was is lost: that is a state of its own first, while nobody can start a command. */
static int restore_in_place(const Snapshots *s, const SnapRef *ref, const BvRestoreOptions *o, BvSandbox **out, BvError **err)
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
	if (r == 0)
		r = snapshot_take(old, true, s, &keep, NULL, err);
	if (r == 0)
		r = begin_restore(t, s, ref, o, err);
	if (r == 0) {
		old->config.since_sec = old->config.since_nsec = 0;
		take_since(snap_reader_info(t->reader), &old->config);
		r = sandbox_replace_filled(old, fill_sandbox, t, out, err);
	}
	if (old)
		bv_sandbox_close(old);
	if (t)
		end_restore(t);
	return r;
}

int bv_snapshot_restore(const char *name, const BvRestoreOptions *options, BvSandbox **out, BvSnapshotReceipt *receipt, BvError **err)
{
	BvRestoreOptions o = BV_RESTORE_OPTIONS_INIT;
	CLEAN_SNAPSHOTS Snapshots s = {0};
	SnapInfo info = {0};
	SnapRef ref;
	int r;

	if (lib_take_options(&o, sizeof(o), options) < 0)
		return lib_fail(err, -EINVAL, "the options have a size that this library does not know");
	r = snapshots_open(o.from, o.store, o.key, o.flags & BV_RESTORE_IN_PLACE, &s, err);
	if (r == 0 && s.key) /* who fetches later would need the key, which is kept nowhere */
		o.flags |= BV_RESTORE_PREFETCH;
	if (r == 0)
		r = snapshots_find(&s, name, &ref, err);
	if (r == 0)
		r = o.flags & BV_RESTORE_IN_PLACE ? restore_in_place(&s, &ref, &o, out, err) : restore(&s, &ref, &o, out, err);
	if (r == 0 && receipt && snap_info_load(s.store, &ref.id, &info, NULL) == 0) {
		SnapTraffic t = snap_store_traffic(s.store);
		*receipt = (BvSnapshotReceipt){.size = sizeof(*receipt), .number = ref.number, .files = info.totals.contents, .bytes = info.totals.content_bytes,
					       .moved = t.received, .requests = t.gets + t.puts + t.others};
		snprintf(receipt->name, sizeof(receipt->name), "%s", ref.name);
		id_hex(&ref.id, receipt->id);
		snap_info_release(&info);
	}
	return r;
}
