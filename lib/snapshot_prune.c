/* lib/snapshot_prune.c - bv_snapshot_remove and bv_snapshot_prune: which states lose their name. Their bytes are the collector's.
 *
 * The newest state of a name goes last, as numbers are never used twice: a removal of some never has it among them, unless all of the name go. States are removed
 * one by one, oldest first, so an interrupted removal leaves what a repeat completes. */
#include "lib/snapshots.h"
#include "snapshot/hold.h"

#include <inttypes.h>
#include <time.h>

typedef struct State {
	SnapRef ref;
	SnapInfo info; /* prune: zeroes if it cannot be read */
	bool readable, remove, keep;
	char reason[256];
} State;

typedef struct States {
	State *all; /* of one name, by number */
	size_t n, room;
} States;

static void states_release(States *states)
{
	for (size_t i = 0; i < states->n; i++)
		snap_info_release(&states->all[i].info);
	free(states->all);
	*states = (States){0};
}
#define CLEAN_STATES __attribute__((cleanup(states_release)))

static int note_state(void *ctx, const SnapRef *ref)
{
	States *states = ctx;

	if (!BV_GROW(states->all, states->n, states->room))
		return -ENOMEM;
	states->all[states->n++] = (State){.ref = *ref};
	return 0;
}

static int load_states(const Snapshots *s, const char *name, States *out, BvError **err)
{
	char *why = NULL;
	int r = snap_ref_list(s->store, name, note_state, out, &why);

	if (r < 0)
		return lib_fail_text(err, r, why, s->location);
	if (out->n == 0)
		return lib_fail(err, -ENOENT, "there is no snapshot '%s' in %s (see `bvisor snapshots`)", name, s->location);
	return 0;
}

/* `number` 0: all. That somebody else was faster is success. */
static int remove_state(const Snapshots *s, const char *name, uint64_t number, BvError **err)
{
	char *why = NULL;
	int r = snap_ref_delete(s->store, name, number, &why);

	if (r == 0 || r == -ENOENT) {
		free(why);
		return 0;
	}
	return lib_fail_text(err, r, why, s->location);
}

/* ---- remove ---- */

typedef struct Removal {
	const Snapshots *s;
	const char *const *snapshots;
	void (*visit)(void *ctx, const char *name, uint64_t number);
	void *ctx;
	int removed;
} Removal;

static State *find_state(const States *states, uint64_t number)
{
	for (size_t i = 0; i < states->n; i++)
		if (states->all[i].ref.number == number)
			return &states->all[i];
	return NULL;
}

/* Marks what the arguments say of this name; *all: the name as a whole. */
static int select_states(const Removal *m, const char *name, States *states, bool *all, BvError **err)
{
	size_t selected = 0;
	int r = 0;

	*all = false;
	for (size_t i = 0; r == 0 && m->snapshots[i]; i++) {
		CLEAN_FREE char *word = NULL;
		uint64_t number;
		r = snapshots_split(m->snapshots[i], &word, &number, err);
		if (r < 0 || strcmp(word, name) != 0)
			continue;
		State *state = number ? find_state(states, number) : NULL;
		if (number && !state)
			r = lib_fail(err, -ENOENT, "there is no snapshot '%s' in %s (see `bvisor snapshots %s`)", m->snapshots[i], m->s->location, name);
		else if (!number)
			*all = true;
		else if (!state->remove) {
			state->remove = true;
			selected++;
		}
	}
	const State *newest = &states->all[states->n - 1];
	if (r == 0 && !*all && newest->remove && selected < states->n)
		r = lib_fail(err, -EBUSY,
			     "'%s@%" PRIu64 "' is what '%s' means now, and goes with all of it only: `bvisor snapshots rm %s` removes every state, a new snapshot of that name "
			     "makes this one an older one", name, newest->ref.number, name, name);
	return r;
}

static int remove_states(Removal *m, const char *name, const States *states, bool all, BvError **err)
{
	int r = all ? remove_state(m->s, name, 0, err) : 0;

	for (size_t i = 0; r == 0 && i < states->n; i++) {
		const State *state = &states->all[i];
		if (!all && !state->remove)
			continue;
		if (!all)
			r = remove_state(m->s, name, state->ref.number, err);
		if (r == 0) {
			m->removed++;
			if (m->visit)
				m->visit(m->ctx, name, state->ref.number);
		}
	}
	return r;
}

/* For each name once: everything is looked at before anything is removed. */
static int each_name(Removal *m, bool remove, BvError **err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && m->snapshots[i]; i++) {
		CLEAN_FREE char *name = NULL;
		CLEAN_STATES States states = {0};
		uint64_t number;
		bool first = true, all;
		r = snapshots_split(m->snapshots[i], &name, &number, err);
		for (size_t k = 0; r == 0 && k < i; k++) {
			CLEAN_FREE char *before = NULL;
			r = snapshots_split(m->snapshots[k], &before, &number, err);
			first = first && r == 0 && strcmp(before, name) != 0;
		}
		if (r < 0 || !first)
			continue;
		r = load_states(m->s, name, &states, err);
		if (r == 0)
			r = select_states(m, name, &states, &all, err);
		if (r == 0 && remove)
			r = remove_states(m, name, &states, all, err);
	}
	return r;
}

int bv_snapshot_remove(const char *const *snapshots, const BvRemoveOptions *options, void (*visit)(void *, const char *, uint64_t), void *ctx, BvError **err)
{
	BvRemoveOptions o = BV_REMOVE_OPTIONS_INIT;
	CLEAN_SNAPSHOTS Snapshots s = {0};
	Removal m = {&s, snapshots, visit, ctx, 0};

	if (lib_take_options(&o, sizeof(o), options) < 0)
		return lib_fail(err, -EINVAL, "the options have a size that this library does not know");
	if (!snapshots || !snapshots[0])
		return lib_fail(err, -EINVAL, "which snapshot?");
	int r = snapshots_open(o.from, NULL, o.key, false, &s, err);
	if (r == 0)
		r = each_name(&m, false, err);
	if (r == 0)
		r = each_name(&m, true, err);
	return r < 0 ? r : m.removed;
}

/* ---- prune ---- */

/* Of each period the newest state is kept, of so many periods that have one. */
typedef struct Rule {
	const char *name;
	unsigned left;
	char last[32];
} Rule;

enum { RULE_LAST, RULE_HOURLY, RULE_DAILY, RULE_WEEKLY, RULE_MONTHLY, RULE_YEARLY, RULES };

/* What tells one period of a rule from another; each state is one for RULE_LAST. */
static void period_of(size_t rule, const State *state, size_t nth, char out[32])
{
	time_t when = (time_t)state->info.seconds;
	struct tm tm = {0};

	localtime_r(&when, &tm);
	switch (rule) {
	case RULE_LAST: snprintf(out, 32, "%zu", nth); break;
	case RULE_HOURLY: strftime(out, 32, "%Y-%m-%d %H", &tm); break;
	case RULE_DAILY: strftime(out, 32, "%Y-%m-%d", &tm); break;
	case RULE_WEEKLY: strftime(out, 32, "%G-W%V", &tm); break;
	case RULE_MONTHLY: strftime(out, 32, "%Y-%m", &tm); break;
	default: strftime(out, 32, "%Y", &tm); break;
	}
}

static void add_reason(State *state, const char *prefix, const char *text)
{
	size_t used = strlen(state->reason);

	state->keep = true;
	snprintf(state->reason + used, sizeof(state->reason) - used, "%s%s%s", used ? ", " : "", prefix, text);
}

/* The oldest state is kept too, as long as a rule has periods left: so the history is as long as it can be. */
static void apply_rule(Rule *rules, size_t which, State *state, size_t nth, bool oldest)
{
	Rule *rule = &rules[which];
	char period[32] = "";

	if (!rule->left)
		return;
	period_of(which, state, nth, period);
	bool other = strcmp(period, rule->last) != 0;
	if (!other && !oldest)
		return;
	add_reason(state, other ? "" : "oldest ", rule->name);
	memcpy(rule->last, period, sizeof(period));
	rule->left--;
}

static bool has_tag(const SnapInfo *info, const char *tag)
{
	CLEAN_FREE char *field = bv_asprintf("tag/%s", tag);
	const uint8_t *value;
	size_t n;

	return field && snap_info_field(info, field, &value, &n) == 0;
}

static int newest_first(const void *a, const void *b)
{
	const State *x = *(State *const *)a, *y = *(State *const *)b;

	if (x->info.seconds != y->info.seconds)
		return x->info.seconds < y->info.seconds ? 1 : -1;
	if (x->info.nanoseconds != y->info.nanoseconds)
		return x->info.nanoseconds < y->info.nanoseconds ? 1 : -1;
	return x->ref.number < y->ref.number ? 1 : -1;
}

static int decide(const BvPruneOptions *o, States *states)
{
	Rule rules[RULES] = {{"last", o->keep_last, ""}, {"hourly", o->keep_hourly, ""}, {"daily", o->keep_daily, ""},
			     {"weekly", o->keep_weekly, ""}, {"monthly", o->keep_monthly, ""}, {"yearly", o->keep_yearly, ""}};
	CLEAN_FREE State **order = calloc(states->n, sizeof(*order));
	size_t n = 0;

	if (!order)
		return -ENOMEM;
	add_reason(&states->all[states->n - 1], "", "newest");
	for (size_t i = 0; i < states->n; i++) {
		State *state = &states->all[i];
		if (state->readable)
			order[n++] = state;
		else
			add_reason(state, "", "it cannot be read (see `bvisor fsck`)");
	}
	qsort(order, n, sizeof(*order), newest_first);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < RULES; k++)
			apply_rule(rules, k, order[i], i, i + 1 == n);
		for (size_t k = 0; o->keep_tags && o->keep_tags[k]; k++)
			if (has_tag(&order[i]->info, o->keep_tags[k]))
				add_reason(order[i], "tag ", o->keep_tags[k]);
	}
	return 0;
}

typedef struct Prune {
	const Snapshots *s;
	const BvPruneOptions *o;
	void (*visit)(void *ctx, const BvPruneItem *item);
	void *ctx;
	int removed;
} Prune;

/* A state that cannot be read for damage stays; any other error ends it: then nothing is known of any state. */
static int load_infos(const Snapshots *s, States *states, BvError **err)
{
	static const SnapId none;

	for (size_t i = 0; i < states->n; i++) {
		State *state = &states->all[i];
		char *why = NULL;
		int r = id_equal(&state->ref.id, &none) ? -EBADMSG : snap_info_load(s->store, &state->ref.id, &state->info, &why);
		if (r < 0 && r != -EBADMSG && r != -ENOENT && r != -EPROTO)
			return lib_fail_text(err, r, why, s->location);
		free(why);
		state->readable = r == 0;
	}
	return 0;
}

static int prune_name(Prune *p, const char *name, BvError **err)
{
	CLEAN_STATES States states = {0};
	int r = load_states(p->s, name, &states, err);

	if (r == 0)
		r = load_infos(p->s, &states, err);
	if (r == 0 && decide(p->o, &states) < 0)
		r = lib_fail(err, -ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < states.n; i++) {
		const State *state = &states.all[i];
		if (!state->keep && !(p->o->flags & BV_PRUNE_DRY_RUN))
			r = remove_state(p->s, name, state->ref.number, err);
		if (r < 0)
			break;
		p->removed += !state->keep;
		if (p->visit)
			p->visit(p->ctx, &(BvPruneItem){.name = name, .number = state->ref.number, .seconds = state->info.seconds, .keep = state->keep,
							.reason = state->keep ? state->reason : "no rule keeps it"});
	}
	return r;
}

static int note_name(void *ctx, const SnapRef *ref)
{
	Strv *names = ctx;
	size_t n = strv_len((const char *const *)*names);

	/* A name's generations come one after another. */
	return snap_hold_is(ref->name) || (n && strcmp((*names)[n - 1], ref->name) == 0) ? 0 : strv_add(names, ref->name);
}

static int prune_all(Prune *p, BvError **err)
{
	CLEAN_STRV Strv names = NULL;
	char *why = NULL;
	int r = snap_ref_list(p->s->store, "", note_name, &names, &why);

	if (r < 0)
		return lib_fail_text(err, r, why, p->s->location);
	for (size_t i = 0; r == 0 && names && names[i]; i++) {
		r = prune_name(p, names[i], err);
		if (r == -ENOENT) { /* removed meanwhile */
			lib_error_clear(err);
			r = 0;
		}
	}
	return r;
}

int bv_snapshot_prune(const char *const *names, const BvPruneOptions *options, void (*visit)(void *, const BvPruneItem *), void *ctx, BvError **err)
{
	BvPruneOptions o = BV_PRUNE_OPTIONS_INIT;
	CLEAN_SNAPSHOTS Snapshots s = {0};
	Prune p = {&s, &o, visit, ctx, 0};

	if (lib_take_options(&o, sizeof(o), options) < 0 || (o.flags & ~(unsigned)BV_PRUNE_DRY_RUN))
		return lib_fail(err, -EINVAL, "the options have a size or a flag that this library does not know");
	if (!o.keep_last && !o.keep_hourly && !o.keep_daily && !o.keep_weekly && !o.keep_monthly && !o.keep_yearly && !(o.keep_tags && o.keep_tags[0]))
		return lib_fail(err, -EINVAL, "what shall be kept? At least one rule is needed, such as --keep-last 5");
	for (size_t i = 0; names && names[i]; i++)
		if (snap_ref_valid(names[i]) < 0)
			return lib_fail(err, -EINVAL, "'%s' is no name of a snapshot; `bvisor snapshots rm` removes single states", names[i]);
	int r = snapshots_open(o.from, NULL, o.key, false, &s, err);
	if (snapshots_never_taken(r, o.from) && !(names && names[0])) {
		lib_error_clear(err);
		return 0;
	}
	if (r == 0 && !(names && names[0]))
		r = prune_all(&p, err);
	for (size_t i = 0; r == 0 && names && names[i]; i++)
		r = prune_name(&p, names[i], err);
	return r < 0 ? r : p.removed;
}
