/* lib/snapshots.c - see snapshots.h; and bv_snapshot_list. */
#include "lib/snapshots.h"
#include "lib/base.h"
#include "lib/store.h"
#include "lib/sync.h"
#include "snapshot/hold.h"

#include "base/hmap.h"

#include <fcntl.h>

/* ---- the store ---- */

static char *default_location(const char *home, BvError **err)
{
	const char *given = getenv("BVISOR_SNAPSHOTS");
	CLEAN_FREE char *store = NULL;

	if (given && *given)
		return strdup(given);
	store = store_path(home, err);
	return store ? bv_asprintf("%s/snapshots", store) : NULL;
}

void snapshots_close(Snapshots *s)
{
	snap_store_close(s->store);
	snap_key_free(s->key);
	object_close(s->objects);
	free(s->location);
	*s = (Snapshots){0};
}

static int open_store(Snapshots *s, BvError **err)
{
	char *why = NULL;
	int r = snap_store_open(s->objects, s->key, &s->store, &why);

	return r < 0 ? lib_fail_text(err, r, why, s->location) : 0;
}

int snapshots_open(const char *location, const char *home, const BvKeyOptions *key, bool write, Snapshots *out, BvError **err)
{
	CLEAN_SNAPSHOTS Snapshots s = {.location = location ? strdup(location) : default_location(home, err)};
	char *why = NULL;
	int r;

	if (!s.location)
		return err && *err ? bv_error_code(*err) : lib_fail(err, -ENOMEM, "out of memory");
	const char *options = strchr(s.location, '?');
	if (options && strchr(options, '@')) /* it may be a password, which no message repeats */
		return lib_fail(err, -EINVAL, "the location %.*s?... names a user in its endpoint: keys belong into the environment or ~/.aws/credentials", (int)(options - s.location), s.location);
	r = object_open(s.location, write, &s.objects, &why);
	if (r < 0)
		return lib_fail_text(err, r, why, s.location);
	r = open_store(&s, err);
	if (r == 0)
		r = snapshots_unlock(&s, key, write, err);
	if (r == 0 && s.key) {
		snap_store_close(TAKE_PTR(s.store));
		r = open_store(&s, err);
	}
	if (r < 0)
		return r;
	*out = s;
	s = (Snapshots){0};
	return 0;
}

bool snapshots_never_taken(int error, const char *location)
{
	const char *given = getenv("BVISOR_SNAPSHOTS");

	return error == -ENODEV && !location && !(given && *given);
}

bool snapshots_machine(char out[32])
{
	CLEAN_FREE char *id = NULL;
	ssize_t n = bv_read_file_at(AT_FDCWD, "/etc/machine-id", 64, &id);

	if (n < 32)
		return false;
	snprintf(out, 32, "%016llx", (unsigned long long)hash_stable(id, 32));
	return true;
}

char *snapshots_contents_path(const BvSandbox *sb, const Snapshots *s)
{
	return bv_asprintf("%s/contents-%016llx.db", sandbox_data_dir(sb), (unsigned long long)hash_stable(s->location, strlen(s->location)));
}

bool snapshots_name_valid(const char *name)
{
	return snap_ref_valid(name) == 0 && !snap_hold_is(name) && !sync_is_name(name);
}

int snapshots_find(const Snapshots *s, const char *text, SnapRef *out, BvError **err)
{
	const char *at = strchr(text, '@');
	CLEAN_FREE char *name = at ? strndup(text, (size_t)(at - text)) : strdup(text);
	char *why = NULL, *end = NULL;
	uint64_t number = 0;
	int r;

	if (!name)
		return lib_fail(err, -ENOMEM, "out of memory");
	bool newest = !at || !at[1] || strcmp(at + 1, "latest") == 0;
	if (!newest)
		number = strtoull(at + 1, &end, 10);
	if (snap_ref_valid(name) < 0 || (!newest && (at[1] < '1' || at[1] > '9' || *end)))
		return lib_fail(err, -EINVAL, "'%s' is no name of a snapshot: NAME or NAME@ for the newest state, or NAME@NUMBER for one of its earlier ones", text);
	r = snap_ref_read(s->store, name, number, out, &why);
	if (r == -ENOENT) {
		free(why);
		return lib_fail(err, r, "there is no snapshot '%s' in %s (see `bvisor snapshots`)", text, s->location);
	}
	return r < 0 ? lib_fail_text(err, r, why, s->location) : 0;
}

int snapshots_split(const char *text, char **name, uint64_t *number, BvError **err)
{
	const char *at = strchr(text, '@');
	char *end = NULL;
	uint64_t n = at ? strtoull(at + 1, &end, 10) : 0;
	CLEAN_FREE char *word = at ? strndup(text, (size_t)(at - text)) : strdup(text);

	if (!word)
		return lib_fail(err, -ENOMEM, "out of memory");
	if (snap_ref_valid(word) < 0 || (at && (at[1] < '1' || at[1] > '9' || *end)))
		return lib_fail(err, -EINVAL, "'%s' is no snapshot: NAME for all its states, or NAME@NUMBER for one", text);
	*name = TAKE_PTR(word);
	*number = n;
	return 0;
}

/* ---- records ---- */

static SnapIdentity identity_out(const CowIdentity *b)
{
	return (SnapIdentity){.dev = b->dev, .ino = b->ino, .size = b->size, .mtime = b->mtime, .ctime = b->ctime, .mode = b->mode, .uid = b->uid, .gid = b->gid};
}

static CowIdentity identity_in(bool known, const SnapIdentity *b)
{
	if (!known)
		return (CowIdentity){0};
	return (CowIdentity){.known = true, .dev = b->dev, .ino = b->ino, .size = b->size, .mtime = b->mtime, .ctime = b->ctime, .mode = b->mode, .uid = b->uid,
			     .gid = b->gid};
}

size_t record_encode(const CowRecord *r, uint8_t key[RECORD_KEY_MAX], Bytes *value)
{
	switch (r->kind) {
	case COW_RECORD_DENTRY: {
		SnapDentry d = {.inode = r->id, .flags = r->flags, .base_known = r->base.known, .base = identity_out(&r->base)};
		snap_dentry_encode(&d, value);
		return record_key_dentry(key, r->dir, r->name, r->n_name);
	}
	case COW_RECORD_INODE: {
		SnapInode i = {.flags = r->flags & ~(uint32_t)COW_RECORD_CARRIED, .have = r->have, .mode = r->mode, .uid = r->uid, .gid = r->gid, .nlink = r->nlink, .rdev = r->rdev, .vdev = r->vdev,
			       .vino = r->vino, .atime = r->atime, .mtime = r->mtime, .ctime = r->ctime, .btime = r->btime, .origin = r->name, .target = r->value,
			       .origin_len = r->n_name, .target_len = r->n_value, .base_known = r->base.known, .base = identity_out(&r->base)};
		snap_inode_encode(&i, value);
		return record_key_inode(key, r->id);
	}
	case COW_RECORD_XATTR: {
		SnapXattr x = {.removed = !r->value, .value = r->value, .len = r->n_value};
		snap_xattr_encode(&x, value);
		return record_key_xattr(key, r->id, r->name, r->n_name);
	}
	}
	return 0;
}

static int decode_inode(const Record *record, CowRecord *out)
{
	SnapInode i;
	int r = snap_inode_decode(record->value, record->value_len, &i);

	if (r < 0)
		return r;
	*out = (CowRecord){.kind = COW_RECORD_INODE, .id = out->id, .flags = i.flags & ~(uint32_t)COW_RECORD_CARRIED, .have = i.have, .mode = i.mode, .uid = i.uid, .gid = i.gid, .nlink = i.nlink,
			   .rdev = i.rdev, .vdev = i.vdev, .vino = i.vino, .atime = i.atime, .mtime = i.mtime, .ctime = i.ctime, .btime = i.btime, .name = i.origin,
			   .value = i.target, .n_name = i.origin_len, .n_value = i.target_len, .base = identity_in(i.base_known, &i.base)};
	/* Not every file has bytes of its own: one with an origin uses the host's. A FIFO of the sandbox is one in any case. */
	out->blob = record->content_len > 0 || (S_ISFIFO(i.mode) && !i.origin);
	return S_ISREG(i.mode) && !i.origin && !out->blob ? -EBADMSG : 0;
}

static int decode_dentry(const Record *record, CowRecord *out)
{
	SnapDentry d;
	int r = snap_dentry_decode(record->value, record->value_len, &d);

	if (r < 0)
		return r;
	out->kind = COW_RECORD_DENTRY;
	out->dir = out->id;
	out->id = d.inode;
	out->flags = d.flags;
	out->base = identity_in(d.base_known, &d.base);
	return 0;
}

static int decode_xattr(const Record *record, CowRecord *out)
{
	SnapXattr x;
	int r = snap_xattr_decode(record->value, record->value_len, &x);

	if (r < 0)
		return r;
	out->kind = COW_RECORD_XATTR;
	out->value = x.removed ? NULL : x.value ? x.value : "";
	out->n_value = x.removed ? 0 : x.len;
	return 0;
}

int record_decode(const Record *record, CowRecord *out)
{
	CowRecord r = {0};
	char kind;
	int rc = record_key_parse(record->key, record->key_len, &kind, &r.id, &r.name, &r.n_name);

	if (rc == 0 && kind == 'i')
		rc = decode_inode(record, &r);
	else if (rc == 0 && kind == 'd')
		rc = decode_dentry(record, &r);
	else if (rc == 0 && kind == 'x')
		rc = decode_xattr(record, &r);
	else if (rc == 0)
		rc = -EPROTO;
	if (rc == 0)
		*out = r;
	return rc;
}

/* ---- listing ---- */

typedef struct Listing {
	const Snapshots *s;
	bool all;
	int (*visit)(void *ctx, const BvSnapshotInfo *info);
	void *ctx;
} Listing;

char *snapshots_field(const SnapInfo *info, const char *name)
{
	const uint8_t *value;
	size_t n;

	return snap_info_field(info, name, &value, &n) == 0 ? strndup((const char *)value, n) : NULL;
}

static int list_one(void *ctx, const SnapRef *ref)
{
	const Listing *l = ctx;
	SnapInfo info = {0};
	char id[65];

	if (!l->all && snap_hold_is(ref->name))
		return 0;
	CLEAN_FREE char *why = NULL;
	int r = snap_info_load(l->s->store, &ref->id, &info, &why);
	CLEAN_FREE char *message = r == 0 ? snapshots_field(&info, "message") : NULL;
	CLEAN_FREE char *sandbox = r == 0 ? snapshots_field(&info, "sandbox") : NULL;

	BaseCount base = r == 0 ? base_count(&info) : (BaseCount){0};

	id_hex(&ref->id, id);
	BvSnapshotInfo item = {.name = ref->name, .number = ref->number, .id = id, .message = message, .sandbox = sandbox, .seconds = info.seconds,
			       .nanoseconds = info.nanoseconds, .files = info.totals.contents, .bytes = info.totals.content_bytes,
			       .stored = info.totals.stored, .with_base = r == 0 && base_carries(&info), .base_files = base.files, .base_bytes = base.bytes,
			       .damage = r < 0 ? (why ? why : strerror(-r)) : NULL};
	r = l->visit(l->ctx, &item);
	snap_info_release(&info);
	return r;
}

int bv_snapshot_list_with(const BvSnapshotListOptions *options, int (*visit)(void *, const BvSnapshotInfo *), void *ctx, BvError **err)
{
	BvSnapshotListOptions o = BV_SNAPSHOT_LIST_OPTIONS_INIT;
	CLEAN_SNAPSHOTS Snapshots s = {0};
	Listing l = {&s, o.name != NULL, visit, ctx};
	char *why = NULL;

	if (lib_take_options(&o, sizeof(o), options) < 0)
		return lib_fail(err, -EINVAL, "the options have a size that this library does not know");
	int r = snapshots_open(o.from, NULL, o.key, false, &s, err);
	if (snapshots_never_taken(r, o.from)) {
		lib_error_clear(err);
		return 0;
	}
	if (r < 0)
		return r;
	r = snap_ref_list(s.store, o.name ? o.name : "", list_one, &l, &why);
	return r < 0 ? lib_fail_text(err, r, why, s.location) : r;
}

int bv_snapshot_list(const char *location, const char *name, int (*visit)(void *, const BvSnapshotInfo *), void *ctx, BvError **err)
{
	BvSnapshotListOptions o = BV_SNAPSHOT_LIST_OPTIONS_INIT;

	o.from = location;
	o.name = name;
	return bv_snapshot_list_with(&o, visit, ctx, err);
}
