/* lib/snapshot_fork.c - bv_snapshot_fork: another name for what a snapshot is. */
#include "lib/snapshots.h"

/* -EEXIST: unless an interrupted fork has made the very name. */
static int append(const Snapshots *s, const char *name, const SnapRef *source, SnapRef *made, BvError **err)
{
	CLEAN_FREE char *why = NULL;
	int r = snap_ref_append(s->store, name, 0, &source->id, made, &why);

	if (r == -EEXIST && snap_ref_read(s->store, name, 0, made, NULL) == 0 && made->number == 1 && memcmp(&made->id, &source->id, sizeof(made->id)) == 0)
		return 0;
	if (r == -EEXIST)
		return lib_fail(err, r, "there is a snapshot '%s' in %s already: take another name, or remove that with `bvisor snapshots rm %s`", name, s->location, name);
	return r < 0 ? lib_fail_text(err, r, TAKE_PTR(why), s->location) : 0;
}

int bv_snapshot_fork(const char *snapshot, const char *name, const BvForkOptions *options, BvSnapshotReceipt *receipt, BvError **err)
{
	BvForkOptions o = BV_FORK_OPTIONS_INIT;
	CLEAN_SNAPSHOTS Snapshots s = {0};
	SnapRef source, made;
	int r;

	if (lib_take_options(&o, sizeof(o), options) < 0)
		return lib_fail(err, -EINVAL, "the options have a size that this library does not know");
	if (!snapshots_name_valid(name))
		return lib_fail(err, -EINVAL, "'%s' is no name for a snapshot: use letters, digits, '.', '_' and '-', without 'held.' before and '.sync' behind", name);
	r = snapshots_open(o.from, NULL, o.key, false, &s, err);
	if (r == 0)
		r = snapshots_find(&s, snapshot, &source, err);
	if (r == 0)
		r = append(&s, name, &source, &made, err);
	if (r < 0)
		return r;
	if (receipt) {
		SnapTraffic t = snap_store_traffic(s.store);
		BvSnapshotReceipt told = {.number = made.number, .moved = t.sent, .requests = t.gets + t.puts + t.others};
		snprintf(told.name, sizeof(told.name), "%s", made.name);
		id_hex(&made.id, told.id);
		lib_give(receipt, &told, sizeof(told));
	}
	return 0;
}
