/* lib/snapshot_store.c - bv_snapshot_gc and bv_snapshot_check: collection and fsck of a place of snapshots.
 *
 * What they do and why it is safe beside writers is the snapshot layer's (snapshot/housekeeping.h); here are options, repeats and messages. */
#include "lib/snapshots.h"

#include "snapshot/hold.h"
#include "snapshot/housekeeping.h"

/* A removed snapshot goes in the round after it was condemned, what it alone needed in the one after that, what that left of packs in one more. */
enum { ROUNDS_ALONE = 8, TRIES = 5 };

static int options_unknown(BvError **err)
{
	return lib_fail(err, -EINVAL, "the options have a size or a flag that this library does not know");
}

/* ---- gc ---- */

static void add_round(BvGcResult *sum, const SnapCollectResult *round)
{
	sum->snapshots = round->snapshots;
	sum->packs = round->live_packs;
	sum->bytes = round->live_bytes;
	sum->condemned = round->condemned;
	sum->removed += round->removed;
	sum->removed_bytes += round->removed_bytes;
	sum->repacked += round->repacked;
	sum->moved_bytes += round->moved_bytes;
}

/* One round; another collector that publishes meanwhile is no reason to give up. */
static int collect(const Snapshots *s, const SnapCollectConfig *config, SnapCollectResult *out, BvError **err)
{
	char *why = NULL;
	int r = -EEXIST;

	for (int i = 0; r == -EEXIST && i < TRIES; i++) {
		free(TAKE_PTR(why));
		r = snap_collect(s->store, config, out, &why);
	}
	if (r == -EEXIST)
		r = lib_fail(err, r, "%s: other collections are made there all the time; nothing is lost, they do the same", s->location);
	else if (r < 0)
		return lib_fail_text(err, r, why, s->location);
	free(why);
	return r;
}

static int expire_holds(const Snapshots *s, BvError **err)
{
	char *why = NULL;
	int r = snap_hold_expire(s->store, SNAP_HOLD_AGE, &why);

	return r < 0 ? lib_fail_text(err, r, why, s->location) : 0;
}

int bv_snapshot_gc(const BvGcOptions *options, BvGcResult *result, BvError **err)
{
	BvGcOptions o = BV_GC_OPTIONS_INIT;
	BvGcResult sum = BV_GC_RESULT_INIT;
	CLEAN_SNAPSHOTS Snapshots s = {0};

	if (lib_take_options(&o, sizeof(o), options) < 0 || (o.flags & ~(unsigned)(BV_GC_ALONE | BV_GC_DRY_RUN)))
		return options_unknown(err);
	bool alone = o.flags & BV_GC_ALONE, dry = o.flags & BV_GC_DRY_RUN;
	if (o.grace < 0 || (o.grace && o.grace < SNAP_GRACE && !alone))
		return lib_fail(err, -EINVAL, "a grace period of less than an hour would take what others are about to use: give a longer one, or --alone if nobody else uses the place");
	int r = snapshots_open(o.from, NULL, o.key, false, &s, err);
	SnapCollectConfig config = {.grace = o.grace, .alone = alone, .dry_run = dry, .step = o.progress, .ctx = o.ctx};
	if (snapshots_never_taken(r, o.from)) {
		lib_error_clear(err);
		r = 0;
	} else {
		if (r == 0 && !dry)
			r = expire_holds(&s, err);
		bool more = r == 0;
		for (int i = 0; more && i < ROUNDS_ALONE; i++) {
			SnapCollectResult round;
			r = collect(&s, &config, &round, err);
			if (r == 0)
				add_round(&sum, &round);
			more = r == 0 && alone && !o.grace && !dry && (round.condemned || round.removed);
		}
	}
	if (r == 0)
		lib_give(result, &sum, sizeof(sum));
	return r;
}

/* ---- fsck ---- */

typedef struct Check {
	void (*visit)(void *ctx, const BvDamage *damage);
	void *ctx;
	const BvCheckOptions *options;
} Check;

static void on_damage(void *ctx, const char *object, const char *message)
{
	const Check *c = ctx;

	if (c->visit)
		c->visit(c->ctx, &(BvDamage){.object = object, .message = message ? message : "it cannot be read"});
}

static void on_hurt(void *ctx, const SnapRef *ref, const char *message)
{
	const Check *c = ctx;

	if (c->visit)
		c->visit(c->ctx, &(BvDamage){.snapshot = ref->name, .number = ref->number, .message = message});
}

static void on_step(void *ctx, const char *what, uint64_t done, uint64_t total)
{
	const Check *c = ctx;

	if (c->options->progress)
		c->options->progress(c->options->ctx, what, done, total);
}

static int check(const Snapshots *s, Check *c, BvCheckResult *out, BvError **err)
{
	SnapCheckConfig config = {.read_data = c->options->flags & BV_CHECK_READ_DATA, .damage = on_damage, .hurt = on_hurt, .step = on_step, .ctx = c};
	SnapCheckResult found = {0};
	char *why = NULL;
	int r = c->options->flags & BV_CHECK_REPAIR_INDEX ? snap_rebuild_index(s->store, &out->indexed, &why) : 0;

	if (r == 0)
		r = snap_check(s->store, &config, &found, &why);
	if (r < 0)
		return lib_fail_text(err, r, why, s->location);
	out->states = found.refs;
	out->snapshots = found.snapshots;
	out->packs = found.packs;
	out->chunks = found.chunks;
	out->bytes = found.bytes;
	out->damaged = found.damaged;
	out->hurt = found.hurt;
	return found.damaged || found.hurt ? 1 : 0;
}

int bv_snapshot_check(const BvCheckOptions *options, void (*visit)(void *, const BvDamage *), void *ctx, BvCheckResult *result, BvError **err)
{
	BvCheckOptions o = BV_CHECK_OPTIONS_INIT;
	BvCheckResult found = BV_CHECK_RESULT_INIT;
	Check c = {visit, ctx, &o};
	CLEAN_SNAPSHOTS Snapshots s = {0};

	if (lib_take_options(&o, sizeof(o), options) < 0 || (o.flags & ~(unsigned)(BV_CHECK_READ_DATA | BV_CHECK_REPAIR_INDEX)))
		return options_unknown(err);
	int r = snapshots_open(o.from, NULL, o.key, false, &s, err);
	if (snapshots_never_taken(r, o.from)) {
		lib_error_clear(err);
		r = 0;
	} else if (r == 0) {
		r = check(&s, &c, &found, err);
	}
	if (r >= 0)
		lib_give(result, &found, sizeof(found));
	return r;
}
