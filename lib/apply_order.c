/* lib/apply_order.c - carrying out what was decided, in an order in which nothing is lost:
 *
 *  1. directories are made and objects renamed (apply_move.c)
 *  2. deletions (now that nothing is needed any more that lies below them)
 *  3. files, symbolic links, FIFOs, further names of files
 *  4. metadata of what stays, directories last and children before parents, so that their times hold
 *
 * Steps are sorted by path, so a parent comes before what is in it. */
#include "lib/apply.h"

#include <fcntl.h>
#include <sys/stat.h>

#define CHUNK 512 /* objects that are written aside before one sync */

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
	return step_writes(s) && (step_is_pending(s) || (s->state == STEP_DONE && s->change->kind == COW_RENAMED));
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
	CLEAN_FREE char *unread = r < 0 ? cowfs_fetch_error(apply->fs) : NULL; /* its content is still in a place of snapshots */
	if (r < 0)
		step_failed(s, r, "write it");
	if (unread)
		step_remark(s, "%s", unread);
}

static void publish_one(Apply *apply, Step *s)
{
	CLEAN_FD int dirfd = -1;
	const char *name;
	int r = host_parent(s->change->path, &dirfd, &name);

	if (r == 0)
		r = write_publish(apply, s, dirfd, name);
	if (r == -EEXIST && s->change->kind == COW_ADDED)
		step_conflict(s, "the host has made its own since");
	else if (r < 0)
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
		else if (what && step_is_pending(s))
			step_done(apply, s, dirfd);
		else if (step_is_pending(s))
			s->state = STEP_DONE;
	}
}

void apply_carry_out(Apply *apply)
{
	apply_move(apply);
	int r = cowfs_commit(apply->fs, false); /* what the view shows of renamed objects is on the host under their new names now */
	for (Step *s = apply->steps; r < 0 && s < apply->steps + apply->count; s++)
		if (step_is_pending(s))
			step_failed(s, r, "follow what was renamed");
	apply_drop_replaced(apply);
	for (Step *s = apply->steps; s < apply->steps + apply->count; s++)
		if (step_is_pending(s) && s->change->kind == COW_DELETED)
			delete_one(apply, s);
	write_round(apply, false);
	write_round(apply, true);
	finish_metadata(apply);
}
