/* lib/apply_move.c - the first part of carrying out: directories are made and objects renamed, until nothing more moves.
 *
 * A rename needs its new parent, and frees the place where another object goes. Renames that wait for each other in a circle exchange their
 * objects. One that waits for a directory in its own place (a becomes a/b, and a/c becomes a) is put aside (parked). A tree of the host in whose place another
 * object goes is put aside, too (replaced), as renames may take objects out of it, and deleted when all have: the host's object is the only place where
 * those bytes are. All these names follow from the steps, so an interrupted apply is finished by looking there (find_source). */
#include "lib/apply.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

static Step *pending_from(const Apply *apply, const char *path, const Step *except)
{
	return apply_source_at(apply, path, strlen(path), except);
}

static bool moves(const Step *s)
{
	return step_is_pending(s) && (step_makes_directory(s) || s->change->kind == COW_RENAMED);
}

/* Will the directory in which this step's place is be made or renamed later? What is there now is another. */
static bool waits_for_parent(const Apply *apply, const Step *step)
{
	char above[PATH_MAX];

	snprintf(above, sizeof(above), "%s", step->change->path);
	while (apply->renames && path_go_up(above)) {
		const Step *s = apply_step_at(apply, above);
		if (s && moves(s))
			return true;
	}
	return false;
}

/* ---- directories ---- */

/* 1: done or failed; 0: something that has yet to be renamed is in the way. */
static int try_directory(Apply *apply, Step *s)
{
	CLEAN_FD int dirfd = -1;
	const char *name;
	struct stat st;

	if (apply->renames && (pending_from(apply, s->change->path, s) || waits_for_parent(apply, s)))
		return 0;
	int r = host_parent(s->change->path, &dirfd, &name);
	if (r < 0) {
		step_failed(s, r, "reach its directory");
		return 1;
	}
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode) && s->change->kind == COW_TYPE_CHANGED)
		(void)unlinkat(dirfd, name, 0);
	if (mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
		step_failed(s, bv_neg_errno(), "make the directory");
	else if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
		step_conflict(s, "something else is in its place");
	else
		step_done(apply, s, dirfd); /* its metadata come in phase 4 */
	return 1;
}

/* ---- renames ---- */

/* What lay below `from` lies below `to` now. With `exchange` also the other way round. */
static int moved(Apply *apply, const char *from, const char *to, bool exchange)
{
	if (!apply_sources_below(apply, from) && !(exchange && apply_sources_below(apply, to)))
		return 0;
	for (Step *s = apply->steps; s < apply->steps + apply->count; s++) {
		const char *old = s->from && step_is_pending(s) ? s->from : NULL;
		const char *base = NULL, *target = NULL;
		if (old && path_is_below(old, from))
			base = from, target = to;
		else if (old && exchange && path_is_below(old, to))
			base = to, target = from;
		if (!base)
			continue;
		int r = apply_source_set(apply, s, bv_asprintf("%s%s", target, old + strlen(base)));
		if (r < 0)
			return r;
	}
	return 0;
}

static bool is_object(int dirfd, const char *name, const Step *s)
{
	struct statx st;

	return statx(dirfd, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &st) == 0 && st.stx_ino == s->ino && host_dev(&st) == s->dev;
}

/* Where a rename's object waits while a directory is made in its place. */
static char *parked_path(const char *from)
{
	char name[40];

	apply_aside_name(from, name);
	return bv_asprintf("%.*s/%s", (int)(strrchr(from, '/') - from), from, name);
}

/* Where the tree waits that the object renamed to `path` replaces. */
static char *replaced_path(const char *path)
{
	CLEAN_FREE char *salted = bv_asprintf("%s/", path);

	if (!salted)
		return NULL;
	char name[40];
	apply_aside_name(salted, name);
	return bv_asprintf("%.*s/%s", (int)(strrchr(path, '/') - path), path, name);
}

/* What is at `to` is a tree, or a file where a directory goes: it is put aside. It is older than the sandbox, that was decided. */
static int rename_over(Apply *apply, const Step *s, int from_dir, const char *from, int to_dir, const char *to)
{
	CLEAN_FREE char *replaced = NULL;
	int r;

	if (s->change->placeless && !apply->resumed && faccessat(to_dir, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST; /* it came with the directory: nothing that the sandbox has seen */
	if (renameat(from_dir, from, to_dir, to) == 0)
		return 0;
	if (errno != EISDIR && errno != ENOTDIR && errno != ENOTEMPTY && errno != EEXIST)
		return bv_neg_errno();
	replaced = replaced_path(s->change->path);
	if (!replaced)
		return -ENOMEM;
	if (renameat2(to_dir, to, to_dir, strrchr(replaced, '/') + 1, RENAME_NOREPLACE) < 0)
		return bv_neg_errno();
	r = moved(apply, s->change->path, replaced, false);
	if (r == 0 && renameat(from_dir, from, to_dir, to) < 0)
		r = bv_neg_errno();
	if (r < 0 && renameat2(to_dir, strrchr(replaced, '/') + 1, to_dir, to, RENAME_NOREPLACE) == 0)
		IGNORE_RESULT(moved(apply, replaced, s->change->path, false));
	return r;
}

/* Takes `at` over; if the object is there, it is s->from, and *name in *dirfd. */
static bool is_source(Apply *apply, Step *s, char *at, int *dirfd, const char **name)
{
	if (at && host_parent(at, dirfd, name) == 0) {
		if (is_object(*dirfd, *name, s)) {
			if (apply_source_set(apply, s, at) == 0)
				return true; /* *name points into it */
			at = NULL;
		}
		bv_close_fd(dirfd);
	}
	free(at);
	return false;
}

/* An interrupted apply may have done this rename already, or have moved its source on: in a circle, or aside, or with the tree around it. */
static bool find_source(Apply *apply, Step *s, int *dirfd, const char **name)
{
	if (is_source(apply, s, strdup(s->from), dirfd, name))
		return true;
	if (!s->parked && is_source(apply, s, parked_path(s->from), dirfd, name))
		return s->parked = true;
	for (const Step *t = apply->steps; t < apply->steps + apply->count; t++) {
		if (t->change->kind != COW_RENAMED)
			continue;
		if (is_source(apply, s, strdup(t->change->old_path), dirfd, name))
			return true;
		if (!path_is_below(s->from, t->change->path))
			continue;
		CLEAN_FREE char *replaced = replaced_path(t->change->path);
		if (replaced && is_source(apply, s, bv_asprintf("%s%s", replaced, s->from + strlen(t->change->path)), dirfd, name))
			return true;
	}
	return false;
}

/* Looks through a tree for the rename's object: its path in a malloc'ed string, or NULL. */
static char *search_below(const Step *s, int dirfd, const char *path)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	char *found = NULL;

	if (!d && fd >= 0)
		close(fd);
	while (d && !found && (e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		CLEAN_FREE char *at = bv_asprintf("%s/%s", path, e->d_name);
		CLEAN_FD int child = -1;
		if (at && is_object(fd, e->d_name, s))
			found = TAKE_PTR(at);
		else if (at && (child = openat(fd, e->d_name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) >= 0)
			found = search_below(s, child, at);
	}
	if (d)
		closedir(d);
	return found;
}

/* An interrupted apply has put it somewhere and then moved the tree around it: where renamed trees are now. */
static bool search_source(Apply *apply, Step *s, int *dirfd, const char **name)
{
	for (const Step *t = apply->steps; apply->resumed && t < apply->steps + apply->count; t++) {
		CLEAN_FD int parent = -1, dir = -1;
		const char *last;
		if (t->change->kind != COW_RENAMED || t == s || host_parent(t->change->path, &parent, &last) < 0)
			continue;
		dir = openat(parent, last, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (dir >= 0 && is_source(apply, s, search_below(s, dir, t->change->path), dirfd, name))
			return true;
	}
	return false;
}

/* Will a directory above the rename's object be renamed, too? */
static bool pending_above(const Apply *apply, const Step *step)
{
	return apply_source_above(apply, step->from, step);
}

/* An interrupted apply has put aside what was in the step's place: what other renames take from there is found there. */
static int note_replaced(Apply *apply, const Step *s)
{
	CLEAN_FREE char *replaced = apply->resumed ? replaced_path(s->change->path) : NULL;
	struct statx st;

	if (!replaced)
		return apply->resumed ? -ENOMEM : 0;
	return host_statx(replaced, &st) == 0 ? moved(apply, s->change->path, replaced, false) : 0;
}

static void do_rename(Apply *apply, Step *s, bool exchange, int from_dir, const char *name, int to_dir, const char *to)
{
	CLEAN_FREE char *from = NULL;
	char source[NAME_MAX + 1]; /* name is in s->from, which may change */
	int r;

	snprintf(source, sizeof source, "%s", name);
	r = note_replaced(apply, s);
	if (r == 0 && exchange)
		r = renameat2(from_dir, source, to_dir, to, RENAME_EXCHANGE) < 0 ? bv_neg_errno() : 0;
	else if (r == 0)
		r = rename_over(apply, s, from_dir, source, to_dir, to);
	from = r == 0 ? strdup(s->from) : NULL;
	if (r == 0 && !from)
		r = -ENOMEM;
	if (r < 0) {
		step_failed(s, r, "rename it");
		return;
	}
	step_done(apply, s, to_dir);
	r = moved(apply, from, s->change->path, exchange);
	if (r == 0)
		r = host_sync_add(&apply->sync, from_dir);
	if (r < 0)
		step_failed(s, r, "rename it");
}

/* Both are names of one file on the host: rename(2) would do nothing. */
static void drop_other_name(Apply *apply, Step *s)
{
	CLEAN_FD int dirfd = -1;
	const char *name;

	if (S_ISDIR(s->change->now.stx_mode) || host_parent(s->from, &dirfd, &name) < 0 || !is_object(dirfd, name, s))
		return;
	int r = unlinkat(dirfd, name, 0) < 0 ? bv_neg_errno() : host_sync_add(&apply->sync, dirfd);
	if (r < 0)
		step_failed(s, r, "remove its old name");
}

static int try_rename(Apply *apply, Step *s, bool exchange)
{
	CLEAN_FD int to_dir = -1, from_dir = -1;
	const char *to, *name;

	if (waits_for_parent(apply, s) || (exchange && !pending_from(apply, s->change->path, s)))
		return 0;
	if (exchange && (path_is_below(s->from, s->change->path) || path_is_below(s->change->path, s->from)))
		return 0; /* a directory and what lies in it: the kernel does not exchange them, but one of them can be put aside */
	if (!apply->resumed && !exchange && pending_from(apply, s->change->path, s)) /* nearly always, in a chain: before any look at the host */
		return 0;
	int r = host_parent(s->change->path, &to_dir, &to);
	if (r < 0) {
		step_failed(s, r, "reach its directory");
		return 1;
	}
	if (is_object(to_dir, to, s)) { /* done by an interrupted apply, or it came there with its directory */
		step_done(apply, s, to_dir);
		if (!apply->resumed && strcmp(s->from, s->change->path) != 0)
			drop_other_name(apply, s);
		if (note_replaced(apply, s) < 0 || (strcmp(s->from, s->change->path) != 0 && moved(apply, s->from, s->change->path, false) < 0))
			step_failed(s, -ENOMEM, "rename it");
		return 1;
	}
	if (apply->resumed && !exchange && pending_from(apply, s->change->path, s))
		return 0;
	bool found = find_source(apply, s, &from_dir, &name);
	if (!found && pending_above(apply, s)) /* an interrupted apply may have done that one */
		return 0;
	if (found || search_source(apply, s, &from_dir, &name))
		do_rename(apply, s, exchange, from_dir, name, to_dir, to);
	else
		step_conflict(s, "%s is gone from the host", s->change->old_path);
	return 1;
}

/* Puts one rename's object aside, for a directory that waits to be made in its place. Crash-safe: find_source looks there. */
static bool park_one(Apply *apply)
{
	for (Step *s = apply->steps; s < apply->steps + apply->count; s++) {
		CLEAN_FD int dirfd = -1;
		CLEAN_FREE char *parked = NULL, *from = NULL;
		const char *name;
		if (!step_is_pending(s) || !s->from || s->parked || !find_source(apply, s, &dirfd, &name) || s->parked)
			continue;
		from = strdup(s->from);
		parked = from ? parked_path(from) : NULL;
		if (!parked || renameat2(dirfd, name, dirfd, strrchr(parked, '/') + 1, RENAME_NOREPLACE) < 0)
			continue;
		s->parked = true;
		return moved(apply, from, parked, false) == 0 && host_sync_add(&apply->sync, dirfd) == 0;
	}
	return false;
}

/* Moves s, then what has waited for the place that it left, and so on: a chain of renames ends in one pass, whatever the order of its names.
 * Returns how many came to an end. With `exchange` one. */
static size_t move_chain(Apply *apply, Step *s, bool exchange)
{
	size_t ended = 0;

	while (s && moves(s)) {
		bool renames = s->change->kind == COW_RENAMED;
		if (!(renames ? try_rename(apply, s, exchange) : !exchange && try_directory(apply, s)))
			break;
		ended++;
		s = renames && !exchange && s->state == STEP_DONE ? apply_step_at(apply, s->from) : NULL;
	}
	return ended;
}

/* One pass; how many steps came to an end. With `exchange` it stops after the first rename of a circle. */
static size_t move_pass(Apply *apply, bool exchange)
{
	size_t ended = 0;

	for (Step *s = apply->steps; s < apply->steps + apply->count && !(exchange && ended); s++)
		ended += move_chain(apply, s, exchange);
	return ended;
}

void apply_move(Apply *apply)
{
	while (move_pass(apply, false) > 0 || move_pass(apply, true) > 0 || park_one(apply))
		;
	for (Step *s = apply->steps; s < apply->steps + apply->count; s++)
		if (moves(s))
			step_conflict(s, "what is in its place on the host could not be moved away");
	for (const Step *s = apply->steps; s < apply->steps + apply->count; s++)
		if (s->from && (s->state == STEP_CONFLICT || s->state == STEP_FAILED))
			apply_refuse_at(apply, s->change->old_path, s->change->path);
}


static bool may_be_needed(const Apply *apply, const char *place, const char *replaced)
{
	for (const Step *s = apply->steps; s < apply->steps + apply->count; s++)
		if (s->from && (s->state == STEP_CONFLICT || s->state == STEP_FAILED) && (path_is_below(s->from, replaced) || path_is_below(s->from, place)))
			return true;
	return false;
}

void apply_drop_replaced(Apply *apply)
{
	for (Step *s = apply->steps; s < apply->steps + apply->count; s++) {
		CLEAN_FREE char *replaced = s->change->kind == COW_RENAMED ? replaced_path(s->change->path) : NULL;
		CLEAN_FD int dirfd = -1;
		const char *name;
		if (!replaced || host_parent(replaced, &dirfd, &name) < 0 || faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		int r = may_be_needed(apply, s->change->path, replaced) ? -EBUSY : bv_remove_tree_at(dirfd, name);
		if (r < 0 && r != -ENOENT)
			step_remark(s, "what was in its place is kept in %s", replaced);
	}
}
