/* lib/snapshot_take.c - bv_sandbox_snapshot: the rows and bytes of a sandbox, as it is at one moment, into an object store.
 *
 * The database is read twice in one transaction: first the contents go to the writer, which reads and sends them on other threads, then the records with what
 * the contents became. When the last of them is known all was read, and the moment may pass; only if it lasted till then the snapshot is published. What the last snapshot
 * of this name has is not sent again. */
#include "lib/snapshot_moment.h"
#include "lib/snapshots.h"

typedef struct Take {
	Moment moment;
	SnapWriter *writer;
	SnapSource source;
	uint64_t *contents; /* the writer's number of each content, in the order of the inodes */
	size_t count, room, next;
	char **why;
} Take;

static bool has_bytes(const CowRecord *r)
{
	return r->kind == COW_RECORD_INODE && r->blob && S_ISREG(r->mode);
}

static int writer_failed(Take *t, int code)
{
	const char *said = snap_writer_error(t->writer);

	return bv_fail(t->why, code, "%s", said ? said : strerror(-code));
}

static int open_content(void *ctx, uint64_t key, int *fd, bool *stays, char **err)
{
	const Take *t = ctx;

	return cow_export_blob(t->moment.rows, key, fd, stays, err);
}

static bool content_changed(void *ctx, uint64_t key)
{
	const Take *t = ctx;

	return cow_export_changed(t->moment.rows, key);
}

static int add_content(void *ctx, const CowRecord *r)
{
	Take *t = ctx;

	if (!has_bytes(r))
		return 0;
	if (t->count == t->room) {
		size_t room = MAX(256, t->room * 2);
		uint64_t *more = realloc(t->contents, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		t->contents = more;
		t->room = room;
	}
	int rc = snap_writer_add(t->writer, &t->source, r->blob, &t->contents[t->count]);
	t->count += rc == 0;
	return rc < 0 ? writer_failed(t, rc) : 0;
}

static int add_record(void *ctx, const CowRecord *r)
{
	Take *t = ctx;
	uint8_t key[RECORD_KEY_MAX];
	CLEAN_BYTES Bytes value = {0};
	Record record = {.key = key};
	const uint8_t *ref = NULL;
	int rc = 0;

	record.key_len = record_encode(r, key, &value);
	if (value.failed)
		return -ENOMEM;
	if (has_bytes(r))
		rc = snap_writer_content(t->writer, t->contents[t->next++], &ref, &record.content_len);
	record.content = ref;
	record.value = value.data;
	record.value_len = value.len;
	if (rc == 0)
		rc = snap_writer_record(t->writer, &record);
	return rc < 0 ? writer_failed(t, rc) : 0;
}

static int add_field(SnapWriter *w, const char *name, const char *text)
{
	return text ? snap_writer_field(w, name, text, strlen(text)) : 0;
}

/* What the restored sandbox needs to know of this one. What it was granted is not in it: a snapshot may come from elsewhere. */
static int add_fields(const BvSandbox *sb, SnapWriter *w, const BvSnapshotOptions *o)
{
	const SandboxConfig *c = &sb->config;
	int rc = add_field(w, "sandbox", c->name);

	if (rc == 0)
		rc = add_field(w, "message", o->message);
	char since[64], machine[32];

	snprintf(since, sizeof(since), "%lld.%09ld", (long long)c->since_sec, c->since_nsec);
	if (rc == 0)
		rc = add_field(w, "since", since);
	if (rc == 0 && snapshots_machine(machine))
		rc = add_field(w, "machine", machine);
	if (rc == 0)
		rc = add_field(w, "cwd", c->cwd);
	if (rc == 0 && c->ro)
		rc = add_field(w, "ro", "1");
	for (size_t i = 0; rc == 0 && c->command && c->command[i]; i++) {
		char name[32];
		snprintf(name, sizeof(name), "command/%06zu", i);
		rc = add_field(w, name, c->command[i]);
	}
	return rc;
}

static int transfer(Take *t, const BvSandbox *sb, const BvSnapshotOptions *o)
{
	int r = cow_export_walk(t->moment.rows, add_content, t, t->why);

	if (r == 0)
		r = cow_export_walk(t->moment.rows, add_record, t, t->why);
	if (r == 0 && (r = add_fields(sb, t->writer, o)) < 0)
		r = writer_failed(t, r);
	return r;
}

static void fill_receipt(const Snapshots *s, const SnapRef *ref, const Take *take, BvSnapshotReceipt *out)
{
	SnapProgress p = snap_writer_progress(take->writer);
	SnapTraffic t = snap_store_traffic(s->store);

	if (!out)
		return;
	*out = (BvSnapshotReceipt){.size = sizeof(*out), .number = ref->number, .files = p.contents, .bytes = p.content_bytes, .new_bytes = p.new_plain, .moved = t.sent,
				   .requests = t.gets + t.puts + t.others, .pause = take->moment.pause, .flags = take->moment.unsteady ? BV_SNAPSHOT_UNSTEADY : 0};
	snprintf(out->name, sizeof(out->name), "%s", ref->name);
	id_hex(&ref->id, out->id);
}

static int take(BvSandbox *sb, const Snapshots *s, const BvSnapshotOptions *o, BvSnapshotReceipt *out, BvError **err)
{
	const char *name = o->name ? o->name : sb->config.name;
	CLEAN_FREE char *why = NULL;
	SnapRef last = {0}, made = {0};
	SnapId id;
	Take t = {.why = &why, .moment = {.lock = -1}, .source = {open_content, content_changed, &t}};
	int r = snap_ref_read(s->store, name, 0, &last, &why);

	if (r == -ENOENT) {
		free(TAKE_PTR(why));
		r = 0;
	}
	SnapWriterConfig config = {.parent = last.number ? &last.id : NULL};
	if (r == 0)
		r = snap_writer_begin(s->store, &config, &t.writer, &why);
	if (r == 0)
		r = moment_begin(sb, &t.moment, err);
	if (r == 0)
		r = transfer(&t, sb, o);
	if (r == 0)
		r = moment_end(&t.moment, sb, err);
	if (r == 0)
		r = snap_writer_finish(t.writer, name, last.number, &id, &made, &why);
	if (r == 0)
		fill_receipt(s, &made, &t, out);
	else if (!err || !*err)
		(void)lib_fail(err, r, "snapshot of '%s' to %s: %s", sb->config.name, s->location, why ? why : strerror(-r));
	snap_writer_free(t.writer); /* its threads read through the moment */
	moment_close(&t.moment);
	free(t.contents);
	return r;
}

int bv_sandbox_snapshot(BvSandbox *sb, const BvSnapshotOptions *options, BvSnapshotReceipt *receipt, BvError **err)
{
	BvSnapshotOptions o = BV_SNAPSHOT_OPTIONS_INIT;
	CLEAN_SNAPSHOTS Snapshots s = {0};
	int r;

	if (lib_take_options(&o, sizeof(o), options) < 0)
		return lib_fail(err, -EINVAL, "the options have a size that this library does not know");
	if (o.name && snap_ref_valid(o.name) < 0)
		return lib_fail(err, -EINVAL, "'%s' is no name for a snapshot: use letters, digits, '.', '_' and '-'", o.name);
	r = snapshots_open(o.to, sb->store, true, &s, err);
	return r < 0 ? r : take(sb, &s, &o, receipt, err);
}
