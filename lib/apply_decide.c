/* lib/apply_decide.c - three ways: what the host was when the sandbox first used it (base), what it is now, what the sandbox has.
 *
 * Host unchanged since the base: the change may be made. Host equal to the sandbox: nothing is left to do. Otherwise: a conflict.
 * All is decided before the first step, because steps change what later ones would look at (the ctime of a file with several names). */
#include "lib/apply.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>

static void PRINTF_LIKE(2, 0) set_reason(Step *step, const char *fmt, va_list ap)
{
	char *text = NULL;

	if (vasprintf(&text, fmt, ap) < 0)
		return;
	free(step->reason);
	step->reason = text;
}

void step_conflict(Step *step, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_reason(step, fmt, ap);
	va_end(ap);
	step->state = STEP_CONFLICT;
}

void step_remark(Step *step, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_reason(step, fmt, ap);
	va_end(ap);
}

void step_failed(Step *step, int code, const char *doing)
{
	step_remark(step, "cannot %s: %s", doing, strerror(-code));
	step->state = code == -ENOTDIR || code == -ELOOP ? STEP_CONFLICT : STEP_FAILED;
}

void step_done(Apply *apply, Step *s, int dirfd)
{
	int r = host_sync_add(&apply->sync, dirfd);

	if (r < 0)
		step_failed(s, r, "sync its directory");
	else
		s->state = STEP_DONE;
	if (apply->progress)
		apply->progress(apply->progress_ctx, "changes", ++apply->done, apply->count);
}

/* ---- comparing ---- */

static bool same_time(struct statx_timestamp a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && (long)a.tv_nsec == b.tv_nsec;
}

/* Records know owners as the view shows them. */
static bool is_owner(const Apply *apply, const struct statx *host, uid_t uid, gid_t gid)
{
	const SandboxConfig *c = &apply->sb->config;

	return config_shows_uid(c, host->stx_uid) == uid && config_shows_gid(c, host->stx_gid) == gid;
}

static bool is_base(const Apply *apply, const struct statx *host, const CowIdentity *base)
{
	if (!base->known || ((host->stx_mode ^ base->mode) & S_IFMT) || host->stx_ino != base->ino)
		return false;
	if (S_ISDIR(host->stx_mode)) /* its size and times follow its entries, which have steps of their own */
		return is_owner(apply, host, base->uid, base->gid) && host->stx_mode == base->mode;
	return host->stx_size == base->size && same_time(host->stx_mtime, base->mtime) && same_time(host->stx_ctime, base->ctime);
}

static bool is_older(const struct statx *host, const Apply *apply)
{
	const SandboxConfig *c = &apply->sb->config;

	return host->stx_ctime.tv_sec < c->since_sec || (host->stx_ctime.tv_sec == c->since_sec && (long)host->stx_ctime.tv_nsec <= c->since_nsec);
}

bool apply_is_unchanged(const Apply *apply, const char *path, const struct statx *host, const CowIdentity *base)
{
	return applied_matches(&apply->applied, path, host) || (base->known ? is_base(apply, host, base) : is_older(host, apply));
}

static bool same_bytes(int a, int b)
{
	char x[65536], y[65536];

	for (;;) {
		ssize_t n = bv_read_full(a, x, sizeof(x)), m = bv_read_full(b, y, sizeof(y));
		if (n < 0 || n != m || memcmp(x, y, (size_t)n) != 0)
			return false;
		if (n == 0)
			return true;
	}
}

/* Is the host's object what the sandbox has? Then the change is made already. */
static bool is_equal(Apply *apply, const Change *c, const struct statx *host)
{
	CLEAN_FD int dirfd = -1, ours = -1, theirs = -1;
	char a[PATH_MAX], b[PATH_MAX];
	const char *name;

	if (host->stx_mode != c->now.stx_mode || host_parent(c->host_path, &dirfd, &name) < 0)
		return false;
	if (S_ISLNK(host->stx_mode)) {
		ssize_t n = readlinkat(dirfd, name, a, sizeof(a));
		ssize_t m = cowfs_readlink(apply->fs, &apply->request.req, NULL, c->path, COW_NOFOLLOW, b, sizeof(b));
		return n > 0 && n == m && memcmp(a, b, (size_t)n) == 0;
	}
	if (!S_ISREG(host->stx_mode))
		return true;
	if (host->stx_size != c->now.stx_size || !is_owner(apply, host, c->now.stx_uid, c->now.stx_gid))
		return false;
	ours = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return ours >= 0 && cowfs_open_virtual(apply->fs, c->path, O_RDONLY, &theirs) == 0 && same_bytes(ours, theirs);
}

/* ---- directories that are deleted as a whole ---- */

/* The first object below dirfd (whose path is `at`) that changed on the host after the sandbox was made, other than by an apply: 1 and its
 * name, or 0, or a negative errno. */
static int find_newer(const Apply *apply, int dirfd, const char *at, char *out, size_t size)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	int r = d ? 0 : bv_neg_errno();

	if (!d && fd >= 0)
		close(fd);
	while (r == 0 && (e = readdir(d))) {
		struct statx st;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (statx(fd, e->d_name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &st) < 0) {
			r = errno == ENOENT ? 0 : bv_neg_errno();
			continue;
		}
		CLEAN_FREE char *path = bv_asprintf("%s/%s", at, e->d_name);
		if (!path) {
			r = -ENOMEM;
		} else if (!is_older(&st, apply) && !applied_matches(&apply->applied, path, &st)) {
			snprintf(out, size, "%s", e->d_name);
			r = 1;
		} else if (S_ISDIR(st.stx_mode)) {
			CLEAN_FD int child = openat(fd, e->d_name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			r = child < 0 ? bv_neg_errno() : find_newer(apply, child, path, out, size);
		}
	}
	if (d)
		closedir(d);
	return r;
}

/* The host's tree at `path` goes, by this step. */
static void decide_delete_tree(const Apply *apply, Step *s, const char *path)
{
	CLEAN_FD int dirfd = -1, dir = -1;
	const char *name;
	char newer[NAME_MAX + 1] = "";
	struct statx st;

	for (size_t i = 0; apply->hidden && apply->hidden[i]; i++)
		if (path_is_below(apply->hidden[i], path) && host_statx(apply->hidden[i], &st) == 0) {
			step_conflict(s, "it has %s, which was hidden from the sandbox", apply->hidden[i]);
			return;
		}
	int r = host_parent(path, &dirfd, &name);

	if (r == 0 && (dir = openat(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		r = bv_neg_errno();
	if (r == 0)
		r = find_newer(apply, dir, path, newer, sizeof(newer));
	if (r < 0)
		step_failed(s, r, "look through the directory");
	else if (r > 0)
		step_conflict(s, "'%s' in it was changed on the host after the sandbox was made", newer);
}

/* ---- deciding ---- */

static bool is_rename_source(const Apply *apply, const char *path)
{
	return apply_source_at(apply, path, strlen(path), NULL);
}

static void decide_added(Apply *apply, Step *s, const struct statx *host)
{
	if (!host && s->change->base.known && !applied_has_object(&apply->applied, &s->change->base)) /* or renamed by an apply */
		step_conflict(s, "the host has deleted it since");
	if (!host || is_rename_source(apply, s->change->host_path))
		return;
	if (S_ISDIR(host->stx_mode) && S_ISDIR(s->change->now.stx_mode))
		return;
	if (is_equal(apply, s->change, host))
		s->state = STEP_DONE;
	else
		step_conflict(s, "the host has made its own since");
}

/* The new content comes as a new file, so names of the old one that the sandbox does not know keep the old content. */
static void remark_other_names(const Apply *apply, Step *s, const struct statx *host)
{
	uint32_t names = 1;

	if (host->stx_nlink < 2 || !step_writes(s) || s->change->link_to)
		return;
	for (const Step *t = apply->steps; t < apply->steps + apply->count; t++)
		names += t->change->link_to && strcmp(t->change->link_to, s->change->path) == 0;
	if (host->stx_nlink > names)
		step_remark(s, "other names that it has on the host (%u) keep the old content", host->stx_nlink - names);
}

static void decide_modified(Apply *apply, Step *s, const struct statx *host)
{
	if (!host)
		step_conflict(s, "the host has deleted it since");
	else if (is_rename_source(apply, s->change->host_path) || (s->change->anew && apply_source_above(apply, s->change->host_path, NULL)))
		return;
	else if (apply_is_unchanged(apply, s->change->host_path, host, &s->change->base) && S_ISDIR(host->stx_mode) && s->change->kind == COW_TYPE_CHANGED)
		decide_delete_tree(apply, s, s->change->host_path);
	else if (apply_is_unchanged(apply, s->change->host_path, host, &s->change->base))
		remark_other_names(apply, s, host);
	else if (!S_ISDIR(host->stx_mode) && is_equal(apply, s->change, host))
		return; /* only metadata may be left to do */
	else
		step_conflict(s, "the host has changed it since");
}

/* Is the host's directory the one that the sandbox has deleted? What is in it is another question. */
static bool is_same_directory(const Apply *apply, const Change *c, const struct statx *host)
{
	if (applied_matches(&apply->applied, c->host_path, host))
		return true;
	return c->base.known ? S_ISDIR(c->base.mode) && c->base.ino == host->stx_ino : is_older(host, apply);
}

static void decide_deleted(Apply *apply, Step *s, const struct statx *host)
{
	if (!host)
		s->state = STEP_DONE;
	else if (S_ISDIR(host->stx_mode) && !is_same_directory(apply, s->change, host))
		step_conflict(s, "the host has put another directory there since");
	else if (!S_ISDIR(host->stx_mode) && !apply_is_unchanged(apply, s->change->host_path, host, &s->change->base))
		step_conflict(s, "the host has changed it since");
	else if (S_ISDIR(host->stx_mode))
		decide_delete_tree(apply, s, s->change->host_path);
}

/* Half of a rename would change what is outside of what was asked for. */
static bool is_half(const Apply *apply, Step *s)
{
	bool from = path_is_selected(s->change->old_path, apply->paths), to = path_is_selected(s->change->path, apply->paths);

	if (from != to)
		step_conflict(s, "the sandbox has %s %s, which is outside of the paths given: name that, too", from ? "moved it to" : "moved it here from", from ? s->change->path : s->change->old_path);
	return from != to;
}

static void decide_renamed(Apply *apply, Step *s, const struct statx *target)
{
	struct statx source;
	int r = host_statx(s->change->old_path, &source);

	if (is_half(apply, s))
		return;
	if (r == -ENOENT)
		step_conflict(s, "the host has deleted or moved %s since", s->change->old_path);
	else if (r < 0)
		step_failed(s, r, "look at its old name");
	else if (!apply_is_unchanged(apply, s->change->old_path, &source, &s->change->base))
		step_conflict(s, "the host has changed %s since", s->change->old_path);
	else if (target && !is_rename_source(apply, s->change->over_path) && !apply_is_unchanged(apply, s->change->over_path, target, &s->change->over))
		step_conflict(s, "the host has made its own since");
	else {
		s->dev = host_dev(&source);
		s->ino = source.stx_ino;
		if (target && S_ISDIR(target->stx_mode) && !is_rename_source(apply, s->change->over_path))
			decide_delete_tree(apply, s, s->change->over_path);
	}
}

/* What the host has at its path now belongs to what the rename of a directory above it replaces. If that brings something to this place, it is left
 * alone when the step is carried out. */
static bool goes_into_renamed(const Apply *apply, const Step *step)
{
	char above[PATH_MAX];

	snprintf(above, sizeof(above), "%s", step->change->path);
	while (step->change->placeless && apply->renames && path_go_up(above)) {
		const Step *s = apply_step_at(apply, above);
		if (s && step_is_pending(s) && s->change->kind == COW_RENAMED)
			return true;
	}
	return false;
}

static bool is_hidden(const Apply *apply, const char *path)
{
	for (size_t i = 0; apply->hidden && apply->hidden[i]; i++)
		if (path_is_below(path, apply->hidden[i]))
			return true;
	return false;
}

/* Where on the host the step puts, changes or deletes something, as the host is now. */
static const char *place_on_host(const Change *c)
{
	return c->kind == COW_RENAMED ? c->over_path : c->host_path;
}

static void decide_one(Apply *apply, Step *s)
{
	struct statx st;
	int r = goes_into_renamed(apply, s) ? -ENOENT : host_statx(place_on_host(s->change), &st);
	const struct statx *host = r == 0 ? &st : NULL;

	if (r < 0 && r != -ENOENT && r != -ENOTDIR) {
		step_failed(s, r, "look at it on the host");
		return;
	}
	if (host && is_hidden(apply, place_on_host(s->change))) {
		step_conflict(s, "what the host has there was hidden from the sandbox");
		return;
	}
	if (s->change->link_to && !path_is_selected(s->change->link_to, apply->paths)) {
		s->apart = true;
		step_remark(s, "a file of its own: %s, of which it is another name in the sandbox, is outside of the paths given", s->change->link_to);
	}
	switch (s->change->kind) {
	case COW_ADDED: decide_added(apply, s, host); break;
	case COW_MODIFIED:
	case COW_TYPE_CHANGED: decide_modified(apply, s, host); break;
	case COW_DELETED: decide_deleted(apply, s, host); break;
	case COW_BURIED: break; /* not in the list */
	case COW_RENAMED: decide_renamed(apply, s, host); break;
	}
}

/* What lies in a directory that cannot be made cannot be made either. */
static void refuse_below(Apply *apply, const Step *refused)
{
	for (Step *s = apply->steps + (refused - apply->steps) + 1; s < apply->steps + apply->count; s++) {
		if (!path_is_below(s->change->path, refused->change->path)) /* path_order: all that are follow it */
			break;
		if (s->state == STEP_PENDING)
			step_conflict(s, "its directory %s is in conflict", refused->change->path);
	}
}

/* Does the step take away a tree of the host with `from` in it? */
static bool takes_away(const Step *s, const char *from)
{
	const Change *c = s->change;

	return (c->kind == COW_DELETED || c->kind == COW_TYPE_CHANGED || c->kind == COW_RENAMED) &&
	       path_is_below(from, place_on_host(c));
}

void apply_refuse_at(Apply *apply, const char *from, const char *to)
{
	for (Step *s = apply->steps; s < apply->steps + apply->count; s++)
		if (s->state == STEP_PENDING && strcmp(s->change->path, to) != 0 &&
		    (path_is_below(s->change->path, from) || (s->change->kind != COW_RENAMED && path_is_below(s->change->host_path, from)) ||
		     takes_away(s, from)))
			step_conflict(s, "%s, which the sandbox has renamed to %s, is still in its place", from, to);
}

static size_t count_pending(const Apply *apply)
{
	size_t n = 0;

	for (const Step *s = apply->steps; s < apply->steps + apply->count; s++)
		n += s->state == STEP_PENDING;
	return n;
}

/* Is the change, which is not to be made, one without which the host has no such directory? */
static bool leaves_no_directory(const Change *c)
{
	struct statx host;

	if (c->kind == COW_RENAMED)
		return true; /* what the host has there is another */
	if (c->kind != COW_DELETED && (c->now.stx_mode & S_IFMT) != S_IFDIR)
		return false;
	return (c->kind == COW_ADDED || c->kind == COW_TYPE_CHANGED) && (host_statx(c->path, &host) < 0 || !S_ISDIR(host.stx_mode));
}

/* What lies in a directory that the host will not have, as that is not selected. */
static void refuse_in_unselected(const Apply *apply, Step *s)
{
	char above[PATH_MAX];

	snprintf(above, sizeof(above), "%s", s->change->path);
	while (s->state == STEP_PENDING && path_go_up(above)) {
		const Change *c = apply_find_change(&apply->changes, above);
		if (!c || apply_step_of(apply, c) || !leaves_no_directory(c))
			continue;
		if (c->kind == COW_RENAMED)
			step_conflict(s, "the sandbox has renamed %s to %s, and the host has not: apply that, too", c->old_path, c->path);
		else
			step_conflict(s, "the host has no directory %s: apply that, too", c->path);
	}
}

/* A rename that is not made leaves its object, the only place where the host has those bytes, to what other steps do to that path. */
static void refuse_at_sources(Apply *apply)
{
	bool again = apply->changes.count > 0;

	while (again) {
		again = false;
		for (size_t i = 0; i < apply->changes.count; i++) {
			const Change *c = &apply->changes.items[i];
			if (c->kind != COW_RENAMED)
				continue;
			const Step *own = apply_step_of(apply, c);
			if (own && (own->state == STEP_PENDING || own->state == STEP_DONE))
				continue;
			size_t before = count_pending(apply);
			apply_refuse_at(apply, c->old_path, c->path);
			again |= count_pending(apply) != before;
		}
	}
}

void apply_decide(Apply *apply)
{
	for (Step *s = apply->steps; s < apply->steps + apply->count; s++) {
		if (s->state == STEP_PENDING)
			decide_one(apply, s);
		if (apply->count < apply->changes.count)
			refuse_in_unselected(apply, s);
		if (s->state == STEP_CONFLICT || s->state == STEP_FAILED)
			refuse_below(apply, s);
	}
	refuse_at_sources(apply);
}
