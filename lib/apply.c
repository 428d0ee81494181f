/* lib/apply.c - bv_sandbox_apply: see apply.h for the parts.
 *
 * Invariants:
 *  - One apply of a sandbox at a time (flock of apply.lock).
 *  - Nothing on the host changes before the journal is on the disk; the journal goes only after everything is. */
#include "lib/apply.h"
#include "lib/store.h"

#include <fcntl.h>
#include <sys/file.h>

typedef struct Visitor {
	int (*visit)(void *, const BvApplyItem *);
	void *ctx;
	int refused; /* conflicts and failures so far */
} Visitor;

/* Something selected lies in a directory that has to be made anew, as the host's was renamed: nobody was shown that as a change of its own. */
static bool is_needed(const Change *c, const Strv paths)
{
	for (size_t i = 0; c->anew && paths[i]; i++)
		if (path_is_below(paths[i], c->path))
			return true;
	return false;
}

int apply_make_steps(Apply *apply, Selection *selection)
{
	apply->steps = calloc(apply->changes.count + 1, sizeof(Step));
	if (!apply->steps)
		return -ENOMEM;
	for (size_t i = 0; i < apply->changes.count; i++) {
		const Change *c = &apply->changes.items[i];
		int taken = selection ? selection_takes(selection, change_public_kind(c->anew ? COW_MODIFIED : c->kind), c->path, c->kind == COW_RENAMED ? c->old_path : NULL) : 1;
		if (taken < 0)
			return taken;
		if (!taken && !is_needed(c, selection->paths))
			continue;
		Step *s = &apply->steps[apply->count++];
		s->change = c;
		apply->renames += c->kind == COW_RENAMED;
		if (c->kind == COW_RENAMED && apply_source_set(apply, s, strdup(c->old_path)) < 0)
			return -ENOMEM;
	}
	return 0;
}

Change *apply_find_change(const ChangeList *changes, const char *path)
{
	size_t low = 0, high = changes->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = path_order(changes->items[middle].path, path);
		if (order == 0)
			return &changes->items[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

bool apply_leads_to_unmade(const ChangeList *changes, const char *path, bool (*is_made)(const void *ctx, const Change *change), const void *ctx)
{
	const Change *c = apply_find_change(changes, path);
	char above[PATH_MAX];

	if (c && !is_made(ctx, c))
		return true;
	snprintf(above, sizeof(above), "%s", path);
	while (path_go_up(above)) {
		c = apply_find_change(changes, above);
		if (c && c->kind != COW_MODIFIED && !is_made(ctx, c))
			return true;
	}
	return false;
}

/* Steps are some of the changes, in the same order. */
const Step *apply_step_of(const Apply *apply, const Change *change)
{
	size_t low = 0, high = apply->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (apply->steps[middle].change == change)
			return &apply->steps[middle];
		if (apply->steps[middle].change < change)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

Step *apply_step_at(const Apply *apply, const char *path)
{
	const Change *c = apply_find_change(&apply->changes, path);
	const Step *s = c ? apply_step_of(apply, c) : NULL;

	return s ? &apply->steps[s - apply->steps] : NULL;
}

static void apply_reset(Apply *apply)
{
	for (size_t i = 0; apply->steps && i < apply->count; i++) {
		free(apply->steps[i].from);
		free(apply->steps[i].reason);
	}
	free(TAKE_PTR(apply->steps));
	apply->count = apply->renames = 0;
	apply_sources_release(apply);
	strv_free(TAKE_PTR(apply->directories));
	changes_release(&apply->changes);
	host_sync_release(&apply->sync);
	applied_release(&apply->applied);
}

static BvApplyResult public_result(StepState state, bool dry)
{
	if (state == STEP_CONFLICT)
		return BV_CONFLICT;
	if (state == STEP_FAILED)
		return BV_APPLY_FAILED;
	return dry ? BV_WOULD_APPLY : BV_APPLIED;
}

static int report(const Apply *apply, bool dry, const char *const *paths, Visitor *v)
{
	int r = 0;

	for (size_t i = 0; i < apply->count && r == 0; i++) {
		const Step *s = &apply->steps[i];
		if (s->change->anew && !s->change->diff && s->state != STEP_FAILED)
			continue; /* no change that anybody was shown */
		BvApplyItem item = {
			.kind = change_public_kind(s->change->anew ? COW_MODIFIED : s->change->kind),
			.result = public_result(s->state, dry),
			.path = s->change->path,
			.old_path = s->change->anew ? NULL : s->change->old_path,
			.reason = s->reason,
			.link_to = write_is_link(apply, s) ? s->change->link_to : NULL,
		};
		v->refused += item.result == BV_CONFLICT || item.result == BV_APPLY_FAILED;
		r = v->visit ? v->visit(v->ctx, &item) : 0;
	}
	for (size_t i = 0; r == 0 && apply->changes.buried && apply->changes.buried[i] && !apply->resumed; i++) {
		const BvApplyItem item = {.kind = BV_MODIFIED, .result = BV_APPLY_FAILED, .path = apply->changes.buried[i],
					  .reason = "what is below it has names for which no path is long enough: that is in the sandbox only"};
		if (!path_is_selected(item.path, paths))
			continue;
		v->refused++;
		r = v->visit ? v->visit(v->ctx, &item) : 0;
	}
	return r;
}

static int carry_out_synced(Apply *apply, BvError **err)
{
	int r;

	apply_carry_out(apply);
	r = host_sync(&apply->sync);
	if (r == 0)
		r = apply_remember(apply);
	if (r == 0)
		r = journal_remove(apply);
	return r < 0 ? lib_fail(err, r, "what was applied could not be synced to the disk: %s; apply again", strerror(-r)) : 0;
}

static int finish_interrupted(Apply *apply, const BvApplyOptions *o, Visitor *v, BvError **err)
{
	int r;

	(void)o; /* all that was begun */
	if (!apply->fs)
		return 0;
	r = changes_collect(apply->fs, CHANGES_ANEW, NULL, &apply->changes);
	apply->resumed = true;
	if (r == 0)
		r = applied_load(apply->sb->dirfd, &apply->applied);
	if (r < 0)
		return lib_fail(err, r, "cannot compare the sandbox with the host: %s", strerror(-r));
	r = journal_load(apply, err);
	apply->finished = r > 0;
	if (r > 0)
		r = carry_out_synced(apply, err);
	if (r == 0)
		r = report(apply, false, NULL, v);
	return r;
}

static bool has_interrupted(const BvSandbox *sb)
{
	return faccessat(sb->dirfd, "apply.journal", F_OK, 0) == 0;
}

static int check_finished(const BvSandbox *sb, BvError **err)
{
	if (!has_interrupted(sb))
		return 0;
	return lib_fail(err, -EBUSY, "an apply of '%s' was interrupted: run `bvisor apply %s` to finish it first", sb->config.name, sb->config.name);
}

int apply_check_none(const BvSandbox *sb, bool running, BvError **err)
{
	CLEAN_FD int lock = has_interrupted(sb) ? openat(sb->dirfd, "apply.lock", O_RDWR | O_CLOEXEC) : -1;

	if (lock >= 0 && flock(lock, LOCK_SH | LOCK_NB) < 0)
		return running ? 0 : lib_fail(err, -EBUSY, "an apply of '%s' is at work: try again when it has ended", sb->config.name);
	return check_finished(sb, err);
}

static int refuse_lost(const Apply *apply, BvError **err)
{
	for (size_t i = 0; i < apply->count; i++)
		if (apply->steps[i].change->diff & COW_DIFF_LOST)
			return lib_fail(err, -EUCLEAN, "the content of %s is missing from the store of sandbox '%s': nothing was applied; name other paths to apply those",
					apply->steps[i].change->path, apply->sb->config.name);
	return 0;
}

/* 1: the sandbox has a record of its own at or below this path. */
static int is_recorded(void *path, const CowLayerItem *item)
{
	return !item->passed && path_is_below(item->path, path);
}

/* A path that means nothing is a mistake, unless what was changed there is on the host by now. */
static int refuse_unchanged(const Apply *apply, const Selection *s, BvError **err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && s->paths && s->paths[i] && !apply->finished; i++) {
		CLEAN_FREE char *why = NULL;
		r = s->items[i].met ? 1 : apply->fs ? cowfs_layer(apply->fs, is_recorded, s->paths[i]) : 0;
		if (r == 0 && (r = selection_why(s, i, &why)) == 0)
			return lib_fail(err, -ENODATA, "%s: the sandbox changed nothing there%s%s%s; nothing was applied", s->items[i].given, why ? " (" : "", why ? why : "",
					why ? ")" : "");
		r = MIN(r, 0);
	}
	return r < 0 ? lib_fail(err, r, "out of memory") : 0;
}

/* The steps of what is selected. */
static int select_steps(Apply *apply, Selection *selection, BvError **err)
{
	int r = changes_collect(apply->fs, CHANGES_ANEW, NULL, &apply->changes);

	if (r == 0)
		r = applied_load(apply->sb->dirfd, &apply->applied);
	if (r == 0)
		r = apply_make_steps(apply, selection);
	for (size_t i = 0; r >= 0 && apply->changes.buried && apply->changes.buried[i]; i++)
		r = selection_takes(selection, BV_MODIFIED, apply->changes.buried[i], NULL);
	if (r < 0)
		return lib_fail(err, r, "cannot compare the sandbox with the host: %s", strerror(-r));
	r = refuse_unchanged(apply, selection, err);
	return r == 0 ? refuse_lost(apply, err) : r;
}

static int apply_steps(Apply *apply, const BvApplyOptions *o, Visitor *v, BvError **err)
{
	bool dry = o->flags & BV_APPLY_DRY_RUN;
	int r = 0;

	apply->resumed = false;
	apply_decide(apply);
	if (!dry && apply->count > 0) {
		r = apply_note_directories(apply);
		r = r < 0 ? lib_fail(err, r, "out of memory") : journal_write(apply, err);
		if (r == 0)
			r = carry_out_synced(apply, err);
	}
	return r < 0 ? r : report(apply, dry, apply->paths, v);
}

static int apply_selected(Apply *apply, const BvApplyOptions *o, Visitor *v, BvError **err)
{
	Selection selection;
	int r = selection_init(&selection, o->paths, (LinkSource){.fs = apply->fs, .writable = (const char *const *)apply->sb->config.rw}, (LinkSource){0}, SELECT_AGREED, err);

	if (r < 0)
		return r;
	apply->paths = (const char *const *)selection.paths;
	r = select_steps(apply, &selection, err);
	if (r == 0)
		r = apply_steps(apply, o, v, err);
	apply->paths = NULL;
	selection_release(&selection);
	return r;
}

static int with_view(Apply *apply, const BvApplyOptions *o, Visitor *v, int (*part)(Apply *, const BvApplyOptions *, Visitor *, BvError **),
		     BvError **err)
{
	View view = {0};
	int r = view_open(apply->sb, &view, err);

	apply->fs = view.fs;
	if (r == 0)
		r = part(apply, o, v, err);
	apply_reset(apply);
	apply->fs = NULL;
	view_release(&view);
	return r;
}

static int apply_locked(BvSandbox *sb, const BvApplyOptions *o, Visitor *v, BvError **err)
{
	Apply apply = {.sb = sb, .progress = o->progress, .progress_ctx = o->progress_ctx};
	int r = 0;

	view_request_init(&apply.request, &sb->config);
	r = hide_list(sb->store, &sb->config, &apply.hidden);
	if (r < 0)
		return lib_fail(err, r, "cannot list what is hidden from the sandbox: %s", strerror(-r));
	if (o->flags & BV_APPLY_DRY_RUN)
		r = check_finished(sb, err);
	else if (has_interrupted(sb))
		r = with_view(&apply, o, v, finish_interrupted, err);
	if (r == 0) /* with a view that has seen what the other did */
		r = with_view(&apply, o, v, apply_selected, err);
	strv_free(apply.hidden);
	return r < 0 || (o->flags & BV_APPLY_DRY_RUN) ? r : view_commit_running(sb, err);
}

int bv_sandbox_apply(BvSandbox *sb, const BvApplyOptions *options, int (*visit)(void *, const BvApplyItem *), void *ctx, BvError **err)
{
	BvApplyOptions o = BV_APPLY_OPTIONS_INIT;
	CLEAN_FD int lock = openat(sb->dirfd, "apply.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	Visitor v = {visit, ctx, 0};
	int r;

	if (lib_take_options(&o, sizeof(o), options) < 0)
		return lib_fail(err, -EINVAL, "the options have a size that this library does not know");
	if (lock < 0)
		return lib_fail(err, bv_neg_errno(), "cannot write to %s: %s", sb->dir, strerror(errno));
	if (flock(lock, LOCK_EX | LOCK_NB) < 0)
		return lib_fail(err, -EBUSY, "another apply of sandbox '%s' is at work", sb->config.name);
	r = apply_locked(sb, &o, &v, err);
	return r < 0 ? r : v.refused;
}
