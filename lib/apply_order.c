/* lib/apply_order.c - carrying out what was decided, in an order in which nothing is lost:
 *
 *  1. directories are made and objects renamed, until nothing more moves: a rename needs its new parent, and frees the place where another
 *     object goes; renames that wait for each other in a circle exchange their objects
 *  2. deletions (now that nothing is needed any more that lies below them)
 *  3. files, symbolic links, FIFOs, further names of files
 *  4. metadata of what stays, directories last and children before parents, so that their times hold
 *
 * Steps are sorted by path, so a parent comes before what is in it. */
#include "lib/apply.h"

#include <fcntl.h>
#include <sys/stat.h>

#define CHUNK 512 /* objects that are written aside before one sync */

static bool is_pending(const Step *s)
{
	return s->state == STEP_PENDING;
}

static Step *pending_from(Apply *apply, const char *path, const Step *except)
{
	for (Step *s = apply->steps; s < apply->steps + apply->count; s++)
		if (s != except && is_pending(s) && s->from && strcmp(s->from, path) == 0)
			return s;
	return NULL;
}

static void step_done(Apply *apply, Step *s, int dirfd)
{
	int r = host_sync_add(&apply->sync, dirfd);

	if (r < 0)
		step_failed(s, r, "sync its directory");
	else
		s->state = STEP_DONE;
}

/* ---- directories ---- */

/* 1: done or failed; 0: something that has yet to be renamed is in the way. */
static int try_directory(Apply *apply, Step *s)
{
	CLEAN_FD int dirfd = -1;
	const char *name;
	struct stat st;
	int r = host_parent(s->change->path, &dirfd, &name);

	if (r < 0) {
		step_failed(s, r, "reach its directory");
		return 1;
	}
	if (pending_from(apply, s->change->path, s))
		return 0;
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
	for (Step *s = apply->steps; s < apply->steps + apply->count; s++) {
		const char *old = s->from && is_pending(s) ? s->from : NULL;
		const char *base = NULL, *target = NULL;
		if (old && path_is_below(old, from))
			base = from, target = to;
		else if (old && exchange && path_is_below(old, to))
			base = to, target = from;
		if (!base)
			continue;
		char *now = bv_asprintf("%s%s", target, old + strlen(base));
		if (!now)
			return -ENOMEM;
		free(s->from);
		s->from = now;
	}
	return 0;
}

static bool is_object(int dirfd, const char *name, const Step *s)
{
	struct statx st;

	return statx(dirfd, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &st) == 0 && st.stx_ino == s->ino && host_dev(&st) == s->dev;
}

static int rename_over(int from_dir, const char *from, int to_dir, const char *to)
{
	int r;

	if (renameat(from_dir, from, to_dir, to) == 0)
		return 0;
	if (errno != EISDIR && errno != ENOTDIR && errno != ENOTEMPTY && errno != EEXIST)
		return bv_neg_errno();
	r = bv_remove_tree_at(to_dir, to); /* decided: it is older than the sandbox */
	if (r == 0 && renameat(from_dir, from, to_dir, to) < 0)
		r = bv_neg_errno();
	return r;
}

/* An interrupted apply may have done this rename already, or have moved its source on (an exchange in a circle). */
static bool find_source(Apply *apply, Step *s, int *dirfd, const char **name)
{
	for (size_t i = 0; i <= apply->count; i++) {
		const char *at = i == 0 ? s->from : apply->steps[i - 1].change->old_path;
		if (!at || host_parent(at, dirfd, name) < 0)
			continue;
		if (is_object(*dirfd, *name, s)) {
			char *found = strdup(at);
			if (found) {
				free(s->from);
				s->from = found;
				*name = strrchr(found, '/') + 1;
				return true;
			}
		}
		bv_close_fd(dirfd);
	}
	return false;
}

static int try_rename(Apply *apply, Step *s, bool exchange)
{
	CLEAN_FD int to_dir = -1, from_dir = -1;
	CLEAN_FREE char *from = NULL;
	const char *to, *source;
	int r = host_parent(s->change->path, &to_dir, &to);

	if (r < 0) {
		step_failed(s, r, "reach its directory");
		return 1;
	}
	if (is_object(to_dir, to, s)) {
		step_done(apply, s, to_dir);
		return 1;
	}
	if (!exchange && pending_from(apply, s->change->path, s))
		return 0;
	if (!find_source(apply, s, &from_dir, &source)) {
		step_conflict(s, "%s is gone from the host", s->change->old_path);
		return 1;
	}
	from = strdup(s->from);
	if (!from)
		r = -ENOMEM;
	else if (exchange)
		r = renameat2(from_dir, source, to_dir, to, RENAME_EXCHANGE) < 0 ? bv_neg_errno() : 0;
	else
		r = rename_over(from_dir, source, to_dir, to);
	if (r < 0) {
		step_failed(s, r, "rename it");
		return 1;
	}
	step_done(apply, s, to_dir);
	r = moved(apply, from, s->change->path, exchange);
	if (r == 0)
		r = host_sync_add(&apply->sync, from_dir);
	if (r < 0)
		step_failed(s, r, "rename it");
	return 1;
}

static bool moves(const Step *s)
{
	return is_pending(s) && (step_makes_directory(s) || s->change->kind == COW_RENAMED);
}

/* One pass; how many steps came to an end. With `exchange` it stops after the first rename of a circle. */
static size_t move_pass(Apply *apply, bool exchange)
{
	size_t ended = 0;

	for (Step *s = apply->steps; s < apply->steps + apply->count && !(exchange && ended); s++) {
		if (!moves(s))
			continue;
		if (s->change->kind == COW_RENAMED)
			ended += (size_t)try_rename(apply, s, exchange);
		else if (!exchange)
			ended += (size_t)try_directory(apply, s);
	}
	return ended;
}

static void move_all(Apply *apply)
{
	while (move_pass(apply, false) > 0 || move_pass(apply, true) > 0)
		;
	for (Step *s = apply->steps; s < apply->steps + apply->count; s++)
		if (moves(s))
			step_conflict(s, "what is in its place on the host could not be moved away");
}

/* ---- deletions ---- */

static void delete_one(Apply *apply, Step *s)
{
	CLEAN_FD int dirfd = -1;
	const char *name;
	int r = host_parent(s->change->path, &dirfd, &name);

	if (r == 0)
		r = bv_remove_tree_at(dirfd, name);
	if (r == -ENOENT) /* its directory is gone too */
		s->state = STEP_DONE;
	else if (r < 0)
		step_failed(s, r, "delete it");
	else
		step_done(apply, s, dirfd);
}

/* ---- files ---- */

static bool writes(const Step *s)
{
	return step_writes(s) && (is_pending(s) || (s->state == STEP_DONE && s->change->kind == COW_RENAMED));
}

static void prepare_one(Apply *apply, Step *s)
{
	CLEAN_FD int dirfd = -1;
	const char *name;
	int r = host_parent(s->change->path, &dirfd, &name);

	if (r == 0)
		r = host_sync_add(&apply->sync, dirfd);
	if (r == 0)
		r = write_aside(apply, s, dirfd);
	if (r < 0)
		step_failed(s, r, "write it");
}

static void publish_one(Apply *apply, Step *s)
{
	CLEAN_FD int dirfd = -1;
	const char *name;
	int r = host_parent(s->change->path, &dirfd, &name);

	if (r == 0)
		r = write_publish(apply, s, dirfd, name);
	if (r < 0)
		step_failed(s, r, "put it into place");
	else
		step_done(apply, s, dirfd);
}

static void publish_chunk(Apply *apply, size_t from, size_t to)
{
	int r = host_sync(&apply->sync);

	for (size_t i = from; i < to; i++) {
		Step *s = &apply->steps[i];
		if (s->aside && r < 0)
			step_failed(s, r, "sync it");
		else if (s->aside)
			publish_one(apply, s);
	}
}

/* Further names of a file need the file in its place, so they wait for a second round. */
static void write_round(Apply *apply, bool links)
{
	size_t start = 0, waiting = 0;

	for (size_t i = 0; i < apply->count; i++) {
		Step *s = &apply->steps[i];
		if (!writes(s) || (s->change->link_to != NULL) != links)
			continue;
		prepare_one(apply, s);
		if (++waiting < CHUNK)
			continue;
		publish_chunk(apply, start, i + 1);
		start = i + 1;
		waiting = 0;
	}
	if (waiting > 0)
		publish_chunk(apply, start, apply->count);
}

/* ---- metadata ---- */

static unsigned metadata_left(const Step *s)
{
	const unsigned all = COW_DIFF_MODE | COW_DIFF_OWNER | COW_DIFF_XATTR;

	if (s->state == STEP_CONFLICT || s->state == STEP_FAILED || s->change->kind == COW_DELETED || s->change->link_to)
		return 0;
	if (step_makes_directory(s))
		return all | COW_DIFF_TIMES;
	return step_writes(s) ? 0 : s->change->diff & (all | COW_DIFF_TIMES);
}

static void finish_metadata(Apply *apply)
{
	for (size_t i = apply->count; i-- > 0;) {
		Step *s = &apply->steps[i];
		unsigned what = metadata_left(s);
		CLEAN_FD int dirfd = -1;
		const char *name;
		int r = what ? host_parent(s->change->path, &dirfd, &name) : 0;
		if (what && r == 0)
			r = write_metadata(apply, s, dirfd, name, what);
		if (r < 0)
			step_failed(s, r, "set its metadata");
		else if (what && is_pending(s))
			step_done(apply, s, dirfd);
		else if (is_pending(s))
			s->state = STEP_DONE;
	}
}

void apply_carry_out(Apply *apply)
{
	move_all(apply);
	for (Step *s = apply->steps; s < apply->steps + apply->count; s++)
		if (is_pending(s) && s->change->kind == COW_DELETED)
			delete_one(apply, s);
	write_round(apply, false);
	write_round(apply, true);
	finish_metadata(apply);
}
