/* lib/snapshot_take.c - bv_sandbox_snapshot: the rows and bytes of a sandbox, as it is at one moment, into an object store.
 *
 * One walk over the database. What the memory of contents (cowfs/contents.h) knows is neither read nor sent; other contents go to the writer, which reads and sends them on other
 * threads, and the records wait in order until it is known what those became. When the last record is written all was read, and the moment may pass; only if it lasted till
 * then the snapshot is published. */
#include "lib/base.h"
#include "lib/hold.h"
#include "lib/snapshot_moment.h"
#include "lib/snapshots.h"
#include "lib/spool.h"
#include "lib/store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#define WAITING_MAX 4096 /* records */

typedef struct Waiting {
	CowRecord row; /* of an inode with a new content: what the memory needs to know. What it points to is gone */
	uint8_t key[RECORD_KEY_MAX];
	size_t key_len;
	Bytes value, known; /* known: the reference of a content that the store has */
	uint64_t content;   /* the writer's number; NONE: it is known, or has none */
} Waiting;

#define NONE UINT64_MAX

typedef struct Take {
	Moment moment;
	SnapWriter *writer;
	SnapId parent; /* the writer's config points here until it has finished */
	SnapSource source;
	CowContents *contents; /* or NULL */
	Spool *spool;	       /* or NULL */
	BaseTake *base;	       /* or NULL */
	BaseCount carried;
	bool same; /* as the parent: no record was looked at */
	Waiting *waiting;      /* a ring */
	size_t first, count;
	uint64_t written; /* records */
	const BvSnapshotOptions *options;
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

static int write_record(Take *t, const Waiting *w, const uint8_t *ref, size_t len)
{
	if (t->options->progress)
		t->options->progress(t->options->progress_ctx, "entries", ++t->written, 0); /* how many there are is known at the end: they are walked once */
	const Record record = {.key = w->key, .key_len = w->key_len, .content = ref, .content_len = len, .value = w->value.data, .value_len = w->value.len};
	int rc = snap_writer_record(t->writer, &record);

	return rc < 0 ? writer_failed(t, rc) : 0;
}

static void waiting_release(Waiting *w)
{
	bytes_release(&w->value);
	bytes_release(&w->known);
}

static int note_spooled(Take *t, const CowRecord *row, const uint8_t *ref, size_t len)
{
	return t->spool && len && has_bytes(row) ? spool_add(t->spool, row, ref, len) : 0;
}

static int write_first(Take *t)
{
	Waiting *w = &t->waiting[t->first];
	const uint8_t *ref = w->known.data;
	size_t len = w->known.len;
	int rc = w->content == NONE ? 0 : snap_writer_content(t->writer, w->content, &ref, &len);

	if (rc < 0)
		return writer_failed(t, rc);
	rc = write_record(t, w, ref, len);
	if (rc == 0)
		rc = note_spooled(t, &w->row, ref, len);
	if (rc == 0 && w->content != NONE && t->contents)
		cow_contents_put(t->contents, &w->row, ref, len);
	return rc;
}

/* Until at most `leave` records wait. */
static int write_waiting(Take *t, size_t leave)
{
	int rc = 0;

	for (; rc == 0 && t->count > leave; t->first = (t->first + 1) % WAITING_MAX, t->count--) {
		rc = write_first(t);
		waiting_release(&t->waiting[t->first]);
	}
	return rc;
}

/* 1: the store has it, and ref says where. */
static int find_content(Take *t, const CowRecord *r, const uint8_t **ref, size_t *len)
{
	if (r->remote && snap_writer_keep(t->writer, r->remote, r->n_remote) == 1) { /* not fetched since the restore */
		*ref = r->remote;
		*len = r->n_remote;
		return 1;
	}
	if (!t->contents || !cow_contents_find(t->contents, r, ref, len))
		return 0;
	int kept = snap_writer_keep(t->writer, *ref, *len);
	return kept < 0 ? 0 : kept; /* a memory that makes no sense is none */
}

static int add_record(void *ctx, const CowRecord *r)
{
	Take *t = ctx;
	Waiting w = {.content = NONE};
	const uint8_t *ref = NULL;
	size_t len = 0;
	int rc = 0;

	if (base_take_has(t->base, r)) /* it was told as one of the host's; what of it is not here is to be found all the same */
		return r->remote ? note_spooled(t, r, r->remote, r->n_remote) : 0;
	w.key_len = record_encode(r, w.key, &w.value);
	if (w.value.failed) {
		bytes_release(&w.value);
		return -ENOMEM;
	}
	bool known = has_bytes(r) && find_content(t, r, &ref, &len) > 0;
	if (has_bytes(r) && !known) {
		rc = snap_writer_add(t->writer, &t->source, r->blob, &w.content);
		if (rc < 0)
			rc = writer_failed(t, rc);
	} else if (t->count == 0) { /* nobody waits */
		rc = write_record(t, &w, ref, len);
		if (rc == 0)
			rc = note_spooled(t, r, ref, len);
		waiting_release(&w);
		return rc;
	}
	if (rc == 0)
		rc = write_waiting(t, WAITING_MAX - 1);
	bytes_put(&w.known, ref, len);
	if (rc < 0 || w.known.failed) {
		waiting_release(&w);
		return rc < 0 ? rc : -ENOMEM;
	}
	w.row = *r;
	t->waiting[(t->first + t->count++) % WAITING_MAX] = w;
	return 0;
}

static int add_field(SnapWriter *w, const char *name, const char *text)
{
	return text ? snap_writer_field(w, name, text, strlen(text)) : 0;
}

/* Fields NAME/000000, NAME/000001, ... of what `leave_out` (may be NULL) does not name. */
static int add_list(SnapWriter *w, const char *name, Strv list, bool (*leave_out)(const char *text))
{
	int rc = 0;

	for (size_t i = 0, n = 0; rc == 0 && list && list[i]; i++) {
		char field[32];
		if (leave_out && leave_out(list[i]))
			continue;
		snprintf(field, sizeof(field), "%s/%06zu", name, n++);
		rc = add_field(w, field, list[i]);
	}
	return rc;
}

static bool is_grant(const char *rule)
{
	return strncmp(rule, "unix:", 5) == 0;
}

/* What the restored sandbox needs to know of this one. What it was granted is not in it: a snapshot may come from elsewhere. */
static int add_fields(const BvSandbox *sb, SnapWriter *w, const BvSnapshotOptions *o)
{
	const SandboxConfig *c = &sb->config;
	int rc = add_field(w, "sandbox", c->name);

	if (rc == 0)
		rc = add_field(w, "message", o->message);
	for (size_t i = 0; rc == 0 && o->tags && o->tags[i]; i++) {
		char name[160];
		snprintf(name, sizeof(name), "tag/%s", o->tags[i]);
		rc = add_field(w, name, "1");
	}
	char since[64], machine[32];

	CLEAN_FREE char *instance = hold_name(c);
	if (rc == 0)
		rc = instance ? add_field(w, "instance", instance) : -ENOMEM;
	snprintf(since, sizeof(since), "%lld.%09ld", (long long)c->since_sec, c->since_nsec);
	if (rc == 0)
		rc = add_field(w, "since", since);
	if (rc == 0 && snapshots_machine(machine))
		rc = add_field(w, "machine", machine);
	if (rc == 0)
		rc = add_field(w, "cwd", c->cwd);
	if (rc == 0 && c->ro)
		rc = add_field(w, "ro", "1");
	if (rc == 0 && c->hostname)
		rc = add_field(w, "hostname", c->hostname);
	if (rc == 0 && c->kernel_release)
		rc = add_field(w, "kernel_release", c->kernel_release);
	if (rc == 0 && c->fake_root)
		rc = add_field(w, "fake-root", "1");
	CLEAN_CONFIG SandboxConfig now = {0};
	if (rc == 0)
		rc = network_now(sb, &now, NULL);
	if (rc == 0)
		rc = add_field(w, "net", now.net);
	if (rc == 0)
		rc = add_list(w, "allow", now.allow, is_grant);
	if (rc == 0)
		rc = add_list(w, "hide", c->hide, NULL);
	if (rc == 0)
		rc = add_list(w, "command", c->command, NULL);
	if (rc == 0)
		rc = add_list(w, "env", c->env, NULL);
	return rc;
}

/* Nothing has changed since the snapshot that the memory is of. */
static bool is_same(Take *t)
{
	const char *then = t->contents ? cow_contents_moment(t->contents) : "";

	if (!*then || strcmp(then, t->moment.state.name) != 0 || snap_writer_same(t->writer) != 1)
		return false;
	cow_contents_keep(t->contents);
	return true;
}

/* What is remembered counts as long as nobody writes who does not ask: a store into a mapping need not change a time. */
static void distrust_memory(Take *t)
{
	if (t->contents && t->moment.written)
		cow_contents_close(TAKE_PTR(t->contents));
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static bool recall(void *ctx, CowRecord *inode)
{
	Take *t = ctx;
	const CowState *s = &t->moment.state;

	return !bsearch(&inode->id, s->touched, s->n_touched, sizeof s->touched[0], by_number) && cow_contents_recall(t->contents, inode);
}

/* Of what the memory knows, only bodies that may have changed since are looked at. */
static void look_at_few(Take *t)
{
	CowState *s = &t->moment.state;

	if (!t->contents || !*s->since || strcmp(s->since, cow_contents_moment(t->contents)) != 0)
		return;
	qsort(s->touched, s->n_touched, sizeof s->touched[0], by_number);
	cow_export_recall(t->moment.rows, recall, t);
}

static int transfer(Take *t, const BvSandbox *sb, const BvSnapshotOptions *o)
{
	bool host = o->flags & BV_SNAPSHOT_WITH_BASE, carries = host || sb->config.carries;
	int r = carries ? base_take_begin(sb, t->moment.rows, host, &t->base, t->why) : 0;

	if (r == 0 && carries)
		r = base_take_write(t->base, t->writer, t->contents, &t->carried, t->why);
	if (r == 0 && !carries)
		look_at_few(t);
	t->same = r == 0 && !carries && is_same(t);
	if (r == 0 && !t->same)
		r = cow_export_walk(t->moment.rows, add_record, t, t->why);
	if (r == 0)
		r = write_waiting(t, 0);
	if (r == 0 && (r = add_fields(sb, t->writer, o)) < 0)
		r = writer_failed(t, r);
	return r;
}

static void fill_receipt(const Snapshots *s, const SnapRef *ref, const Take *take, BvSnapshotReceipt *out)
{
	SnapProgress p = snap_writer_progress(take->writer);
	SnapTraffic t = snap_store_traffic(s->store);

	BvSnapshotReceipt told = {.number = ref->number, .files = p.held, .bytes = p.held_bytes, .new_bytes = p.new_plain, .moved = t.sent,
				  .requests = t.gets + t.puts + t.others, .pause = take->moment.pause, .flags = take->moment.unsteady ? BV_SNAPSHOT_UNSTEADY : 0,
				  .base_files = take->carried.files, .base_bytes = take->carried.bytes, .base_left = take->carried.left};
	snprintf(told.name, sizeof(told.name), "%s", ref->name);
	id_hex(&ref->id, told.id);
	lib_give(out, &told, sizeof(told));
}

/* One for each place. What it knows is in the snapshot that this sandbox was, in that place, when it was last stored or restored: that one is the parent. */
static CowContents *open_contents(const BvSandbox *sb, const Snapshots *s)
{
	CLEAN_FREE char *path = snapshots_contents_path(sb, s);

	return path ? cow_contents_open(path) : NULL;
}

/* The snapshot of which not everything has to be sent again. */
static int begin_writer(Take *t, const Snapshots *s, const SnapRef *last)
{
	t->parent = last->id;
	SnapWriterConfig config = {.parent = last->number ? &t->parent : NULL};
	const char *state = t->contents ? cow_contents_state(t->contents) : "";
	bool known = id_parse(state, strlen(state), &t->parent) == 0;
	int r = -ENOENT;

	if (known) {
		config.parent = &t->parent;
		r = snap_writer_begin(s->store, &config, &t->writer, t->why);
		if (r != -ENOENT)
			return r;
		free(TAKE_PTR(*t->why)); /* it was removed since */
		t->parent = last->id;
		config.parent = last->number ? &t->parent : NULL;
	}
	if (t->contents && cow_contents_forget(t->contents) < 0)
		cow_contents_close(TAKE_PTR(t->contents));
	return snap_writer_begin(s->store, &config, &t->writer, t->why);
}

static void remember(const Take *t, const SnapRef *made)
{
	char state[65];

	id_hex(&made->id, state);
	if (t->contents) {
		cow_contents_moment_is(t->contents, t->base ? "" : t->moment.state.name); /* what is carried changes without the sandbox */
		cow_contents_finish(t->contents, state);
	}
}

/* One after another: the second one finds what the first one has sent. */
static int take_turn(const BvSandbox *sb)
{
	int fd = openat(sb->dirfd, "taking", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	while (fd >= 0 && flock(fd, LOCK_EX) < 0 && errno == EINTR)
		;
	return fd;
}

int snapshot_take(BvSandbox *sb, unsigned flags, const Snapshots *s, const BvSnapshotOptions *o, BvSnapshotReceipt *out, BvError **err)
{
	const char *name = o->name ? o->name : sb->config.name;
	CLEAN_FD int turn = take_turn(sb); /* where none can be had, the supervisor refuses the second one */
	CLEAN_FREE char *why = NULL;
	SnapRef last = {0}, made = {0};
	SnapId id;
	Take t = {.why = &why, .options = o, .moment = {.lock = -1}, .source = {open_content, content_changed, &t}, .waiting = calloc(WAITING_MAX, sizeof(*t.waiting))};
	int r = t.waiting ? snap_ref_read(s->store, name, 0, &last, &why) : -ENOMEM;

	(void)turn;
	if (r == -ENOENT) {
		free(TAKE_PTR(why));
		r = 0;
	}
	if (r == 0) {
		t.contents = open_contents(sb, s);
		r = begin_writer(&t, s, &last);
	}
	if (r == 0)
		r = spool_begin(sb, s, &t.spool);
	if (r == 0)
		r = moment_begin(sb, flags & TAKE_HELD, &t.moment, err);
	if (r == 0) {
		distrust_memory(&t);
		r = transfer(&t, sb, o);
	}
	if (r == 0)
		r = moment_end(&t.moment, sb, err);
	if (r == 0 && (flags & TAKE_IF_CHANGED) && last.number && memcmp(&last.id, &t.parent, sizeof(last.id)) == 0)
		r = snap_writer_unchanged(t.writer, &why);
	if (r == 0)
		r = snap_writer_finish(t.writer, name, UINT64_MAX, &id, &made, &why); /* the number after what others have made meanwhile */
	if (r == 0) {
		remember(&t, &made);
		if (t.spool && !t.same) /* else the list that is there names all that it would */
			spool_publish(t.spool, sb, s, &made.id, &t.moment);
		fill_receipt(s, &made, &t, out);
	} else if (r == 1) {
		fill_receipt(s, &last, &t, out);
	} else if (!err || !*err) {
		(void)lib_fail(err, r, "snapshot of '%s' to %s: %s", sb->config.name, s->location, why ? why : strerror(-r));
	}
	snap_writer_free(t.writer); /* its threads read through the moment */
	base_take_free(t.base);
	cow_contents_close(t.contents);
	spool_free(t.spool);
	moment_close(&t.moment);
	for (size_t i = 0; i < t.count; i++)
		waiting_release(&t.waiting[(t.first + i) % WAITING_MAX]);
	free(t.waiting);
	return r;
}

static int ignore_entry(void *ctx, const BvEntry *entry)
{
	(void)ctx, (void)entry;
	return 0;
}

/* A sandbox that nobody has used yet has no database: its supervisor makes one, and is there as long as somebody who has used it. */
static int use_unused(BvSandbox *sb, BvError **err)
{
	CLEAN_FREE char *db = bv_asprintf("%s/meta.db", sandbox_data_dir(sb));

	if (!db)
		return lib_fail(err, -ENOMEM, "out of memory");
	if (access(db, F_OK) == 0 || errno != ENOENT)
		return 0; /* whoever opens it tells */
	return bv_sandbox_stat(sb, "/", 0, ignore_entry, NULL, err);
}

int bv_sandbox_snapshot(BvSandbox *sb, const BvSnapshotOptions *options, BvSnapshotReceipt *receipt, BvError **err)
{
	BvSnapshotOptions o = BV_SNAPSHOT_OPTIONS_INIT;
	CLEAN_SNAPSHOTS Snapshots s = {0};
	int r;

	if (lib_take_options(&o, sizeof(o), options) < 0)
		return lib_fail(err, -EINVAL, "the options have a size that this library does not know");
	if (!snapshots_name_valid(o.name ? o.name : sb->config.name))
		return lib_fail(err, -EINVAL, "'%s' is no name for a snapshot: use letters, digits, '.', '_' and '-', without 'held.' before and '.sync' behind; --as gives another one", o.name ? o.name : sb->config.name);
	for (size_t i = 0; o.tags && o.tags[i]; i++)
		if (snap_ref_valid(o.tags[i]) < 0)
			return lib_fail(err, -EINVAL, "'%s' is no tag: use letters, digits, '.', '_' and '-'", o.tags[i]);
	if (!o.key && sb->key.size)
		o.key = &sb->key;
	r = snapshots_open(o.to || !backend_is_place(sb->config.backend) ? o.to : sb->config.backend, sb->store, o.key, true, &s, err);
	if (r == 0)
		r = use_unused(sb, err);
	if (r == 0)
		r = snapshot_take(sb, o.flags & BV_SNAPSHOT_IF_CHANGED ? TAKE_IF_CHANGED : 0, &s, &o, receipt, err);
	return MIN(r, 0);
}
