/* lib/snapshot_copy.c - bv_snapshot_copy: states of snapshots from one place into another.
 *
 * Which states the target has already is told by their origin (snapshot/housekeeping.h), so a repeat goes on where an interrupted copy ended. A state is copied
 * as a whole before its name is published. */
#include "lib/snapshots.h"

#include "snapshot/housekeeping.h"

#include <inttypes.h>

enum { TRIES = 5 };

typedef struct Twin {
	SnapRef ref;
	char origin[65];
} Twin;

typedef struct Twins {
	Twin *all; /* by number */
	size_t n, room;
} Twins;

typedef struct Transfer {
	Snapshots from, to;
	const BvCopyOptions *o;
	void (*visit)(void *ctx, const BvCopyItem *item);
	void *ctx;
	int copied;
} Transfer;

static int note_twin(void *ctx, const SnapRef *ref)
{
	Twins *twins = ctx;

	if (!BV_GROW(twins->all, twins->n, twins->room))
		return -ENOMEM;
	twins->all[twins->n++] = (Twin){.ref = *ref};
	return 0;
}

/* All states of a name, none if there is no such name. One of the target that is damaged is no reason not to copy: it has no origin then. */
static int load_twins(const Snapshots *s, const char *name, bool strict, Twins *out, BvError **err)
{
	char *why = NULL;
	int r;

	out->n = 0;
	r = snap_ref_list(s->store, name, note_twin, out, &why);
	for (size_t i = 0; r == 0 && i < out->n; i++) {
		Twin *t = &out->all[i];
		SnapInfo info = {0};
		r = snap_info_load(s->store, &t->ref.id, &info, &why);
		if (r == 0)
			r = snap_origin(&info, t->origin);
		snap_info_release(&info);
		if (!strict && (r == -EBADMSG || r == -ENOENT)) {
			free(TAKE_PTR(why));
			r = 0;
		}
	}
	return r < 0 ? lib_fail_text(err, r, why, s->location) : 0;
}

static const Twin *find_twin(const Twins *twins, const char *origin)
{
	for (size_t i = 0; i < twins->n; i++)
		if (strcmp(twins->all[i].origin, origin) == 0)
			return &twins->all[i];
	return NULL;
}

static void tell(Transfer *t, const Twin *source, const SnapRef *there, const SnapProgress *p)
{
	t->copied += p != NULL;
	if (t->visit)
		t->visit(t->ctx, &(BvCopyItem){.name = source->ref.name, .number = source->ref.number, .to_name = there->name, .to_number = there->number, .copied = p != NULL,
					       .files = p ? p->contents : 0, .bytes = p ? p->content_bytes : 0, .sent = p ? p->sent : 0});
}

/* The name, last. Somebody else may have made states of it meanwhile, perhaps this one. */
static int publish(Transfer *t, const char *name, const Twin *source, const SnapId *id, Twins *targets, SnapRef *made, BvError **err)
{
	char *why = NULL;
	int r = -EEXIST;

	for (int i = 0; r == -EEXIST && i < TRIES; i++) {
		free(TAKE_PTR(why));
		if (i > 0) {
			r = load_twins(&t->to, name, false, targets, err);
			const Twin *there = r == 0 ? find_twin(targets, source->origin) : NULL;
			if (r < 0)
				return r;
			if (there) {
				*made = there->ref;
				return 0;
			}
		}
		r = snap_ref_append(t->to.store, name, targets->n ? targets->all[targets->n - 1].ref.number : 0, id, made, &why);
	}
	return r < 0 ? lib_fail_text(err, r, why, t->to.location) : 0;
}

static int copy_state(Transfer *t, const char *name, const Twin *source, const Twin *base, const Twin *base_copy, Twins *targets, BvError **err)
{
	CLEAN_FREE char *what = bv_asprintf("%s@%" PRIu64 ", bytes", source->ref.name, source->ref.number);
	/* Without a copy of the state before, the newest one of that name may have something of this one. */
	const Twin *parent = base_copy ? base_copy : targets->n ? &targets->all[targets->n - 1] : NULL;
	SnapCopyConfig config = {.from_base = base_copy ? &base->ref.id : NULL, .to_base = parent && parent->origin[0] ? &parent->ref.id : NULL, .step = t->o->progress,
				 .ctx = t->o->ctx, .what = what};
	SnapProgress progress;
	SnapRef made;
	SnapId id;
	char *why = NULL;
	int r = snap_copy(t->from.store, &source->ref.id, t->to.store, &config, &id, &progress, &why);

	if (r < 0) {
		(void)lib_fail(err, r, "cannot copy %s@%" PRIu64 " of %s to %s: %s", source->ref.name, source->ref.number, t->from.location, t->to.location, why ? why : strerror(-r));
		free(why);
		return r;
	}
	r = publish(t, name, source, &id, targets, &made, err);
	if (r < 0)
		return r;
	tell(t, source, &made, &progress);
	Twin copy = {.ref = made};
	snprintf(copy.origin, sizeof(copy.origin), "%s", source->origin);
	if (note_twin(targets, &made) < 0)
		return lib_fail(err, -ENOMEM, "out of memory");
	targets->all[targets->n - 1] = copy;
	return 0;
}

/* `number` 0: all states, oldest first. */
static int copy_name(Transfer *t, const char *name, uint64_t number, const char *to_name, BvError **err)
{
	Twins sources = {0}, targets = {0};
	const Twin *base = NULL;
	bool found = false;
	int r = load_twins(&t->from, name, true, &sources, err);

	if (r == 0)
		r = load_twins(&t->to, to_name, false, &targets, err);
	for (size_t i = 0; r == 0 && i < sources.n; i++) {
		const Twin *source = &sources.all[i];
		const Twin *there = find_twin(&targets, source->origin);
		bool wanted = number == 0 || source->ref.number == number;
		found = found || wanted;
		if (wanted && there)
			tell(t, source, &there->ref, NULL);
		else if (wanted) {
			const Twin *base_copy = base ? find_twin(&targets, base->origin) : NULL;
			Twin copy = base_copy ? *base_copy : (Twin){0}; /* targets may move */
			r = copy_state(t, to_name, source, base, base_copy ? &copy : NULL, &targets, err);
		}
		if (wanted || there)
			base = source;
	}
	if (r == 0 && !found)
		r = number ? lib_fail(err, -ENOENT, "there is no snapshot '%s@%" PRIu64 "' in %s (see `bvisor snapshots %s`)", name, number, t->from.location, name) :
			     lib_fail(err, -ENOENT, "there is no snapshot '%s' in %s (see `bvisor snapshots`)", name, t->from.location);
	free(sources.all);
	free(targets.all);
	return r;
}

static int copy_all(Transfer *t, const char *const *snapshots, BvError **err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && snapshots[i]; i++) {
		CLEAN_FREE char *name = NULL;
		uint64_t number;
		r = snapshots_split(snapshots[i], &name, &number, err);
		if (r == 0)
			r = copy_name(t, name, number, t->o->as ? t->o->as : name, err);
	}
	return r;
}

/* What is encrypted here shall not be in the clear elsewhere because an option was forgotten. */
static int check_new_place(const Transfer *t, BvError **err)
{
	CLEAN_SNAPSHOTS Snapshots to = {0};
	SnapSealing sealing = {.by = SNAP_UNDECIDED};
	char *why = NULL;

	if (!t->from.key || snapshots_key_given(t->o->to_key))
		return 0;
	int r = snapshots_open(t->o->to, NULL, t->o->to_key, false, &to, err);
	if (r == 0 && snap_sealing_read(to.store, &sealing, &why) < 0)
		return lib_fail_text(err, -EIO, why, to.location);
	if (r == -ENODEV) /* or no such bucket: who opens it to write is told */
		lib_error_clear(err);
	else if (r < 0)
		return r;
	if (sealing.by != SNAP_UNDECIDED)
		return 0;
	return lib_fail(err, -ENOKEY, "%s is encrypted, and the copy would not be, as the target is empty and no key is given for it: give --to-passphrase-file or --to-key-file",
			t->from.location);
}

int bv_snapshot_copy(const char *const *snapshots, const BvCopyOptions *options, void (*visit)(void *, const BvCopyItem *), void *ctx, BvError **err)
{
	BvCopyOptions o = BV_COPY_OPTIONS_INIT;
	Transfer t = {.o = &o, .visit = visit, .ctx = ctx};
	int r = 0;

	if (lib_take_options(&o, sizeof(o), options) < 0)
		return lib_fail(err, -EINVAL, "the options have a size that this library does not know");
	if (!snapshots || !snapshots[0])
		return lib_fail(err, -EINVAL, "which snapshot?");
	if (o.as && (!snapshots_name_valid(o.as) || snapshots[1]))
		return lib_fail(err, -EINVAL, snapshots[1] ? "one snapshot at a time can get another name ('%s')" : "'%s' is no name for a snapshot: use letters, digits, '.', '_' and '-'", o.as);
	for (size_t i = 0; r == 0 && snapshots[i]; i++) {
		CLEAN_FREE char *name = NULL;
		uint64_t number;
		r = snapshots_split(snapshots[i], &name, &number, err);
	}
	if (r == 0)
		r = snapshots_open(o.from, NULL, o.from_key, false, &t.from, err);
	if (r == 0)
		r = check_new_place(&t, err);
	if (r == 0)
		r = snapshots_open(o.to, NULL, o.to_key, true, &t.to, err);
	if (r == 0)
		r = copy_all(&t, snapshots, err);
	snapshots_close(&t.from);
	snapshots_close(&t.to);
	return r < 0 ? r : t.copied;
}
