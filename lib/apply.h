/* lib/apply.h - making a sandbox's changes on the host: what the parts of apply share.
 *
 *  apply.c          the order of things: lock, finish an interrupted one, decide, journal, carry out, report
 *  apply_decide.c   is the host unchanged since the sandbox first used it?
 *  apply_order.c    directories and renames first, then deletions, files, metadata
 *  apply_move.c     directories and renames
 *  apply_write.c    one object: written aside, then renamed into place
 *  apply_sources.c  where the objects are that are yet to be renamed
 *  apply_remember.c what this one has changed on the host, for later ones
 *  applied.c        what earlier applies put on the host
 *  journal.c        what was decided, on disk before the first step
 *
 * Every step can be repeated: it looks at what is on the host and does what is missing. */
#ifndef LIB_APPLY_H
#define LIB_APPLY_H

#include "base/hmap.h"
#include "lib/applied.h"
#include "lib/view.h"

typedef enum StepState { STEP_PENDING = 0, STEP_DONE, STEP_CONFLICT, STEP_FAILED } StepState;

typedef struct Step {
	const Change *change; /* of Apply.changes */
	StepState state;
	char *reason; /* of a conflict or failure, or a remark */
	char *from;   /* COW_RENAMED: where the object is on the host now (other renames move it); set by apply_source_set */
	uint64_t dev, ino; /* COW_RENAMED: which object; host_dev() form */
	bool aside;	   /* its new object waits under the aside name */
	bool parked;	   /* COW_RENAMED: its object waits beside its place (apply_move.c) */
	bool apart;	   /* it is a name of what is not selected, and becomes a file of its own */
} Step;

typedef struct SourceIndex {
	Hmap at, above;
} SourceIndex;

typedef struct Apply {
	BvSandbox *sb;
	Cowfs *fs;
	ViewRequest request;
	ChangeList changes;
	Step *steps; /* one per selected change, same order (sorted by path) */
	size_t count, renames;
	SourceIndex sources;
	HostSync sync;
	Applied applied; /* by earlier applies */
	Strv hidden; /* host paths that guests do not see */
	char **directories; /* NULL-terminated: in which this one changes entries, and nobody else has changed anything; or NULL */
	const char *const *paths; /* what is selected, which nothing outside of is changed for; NULL: all */
	bool resumed;	 /* an interrupted one is being finished */
	bool finished;	 /* one was, by this call */
	BvProgress progress; /* or NULL */
	void *progress_ctx;
	uint64_t done; /* steps */
} Apply;

void step_conflict(Step *step, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A step that could not be done: missing or replaced directories of the host are conflicts, the rest is a failure. */
void step_failed(Step *step, int code, const char *doing);
void step_remark(Step *step, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Syncs the directory `dirfd`, in time. */
void step_done(Apply *apply, Step *step, int dirfd);

static inline bool step_is_pending(const Step *s)
{
	return s->state == STEP_PENDING;
}
static inline bool step_makes_directory(const Step *s)
{
	return (s->change->kind == COW_ADDED || s->change->kind == COW_TYPE_CHANGED || (s->change->kind == COW_MODIFIED && s->change->anew)) &&
	       (s->change->now.stx_mode & S_IFMT) == S_IFDIR;
}
/* apply_decide.c. Is the host's object at `path` what the sandbox's change rests on? Without a recorded base it is if nobody touched it since the
 * sandbox was made. */
bool apply_is_unchanged(const Apply *apply, const char *path, const struct statx *host, const CowIdentity *base);
/* Does this step write a new object (not a directory) in place of what is there? */
bool step_writes(const Step *s);

/* apply_decide.c: sets STEP_CONFLICT where the host is not what the sandbox's change rests on, and the source of each rename. */
void apply_decide(Apply *apply);
/* `from` stays where it is on the host although the sandbox has it at `to`: what would be done in its place would be done to it. */
void apply_refuse_at(Apply *apply, const char *from, const char *to);
/* apply_sources.c. `from` is taken over, also on failure (NULL: -ENOMEM). */
int apply_source_set(Apply *apply, Step *step, char *from) MUST_CHECK;
/* The pending step, other than `except`, whose object is at path[0..len). */
Step *apply_source_at(const Apply *apply, const char *path, size_t len, const Step *except);
/* Is there one at `path` or at a directory above it? Are there perhaps some at or below it? */
bool apply_source_above(const Apply *apply, const char *path, const Step *except);
bool apply_sources_below(const Apply *apply, const char *path);
void apply_sources_release(Apply *apply);
/* apply_move.c */
void apply_move(Apply *apply);
/* Deletes what renames have put aside, unless one of them failed whose object may be in it. */
void apply_drop_replaced(Apply *apply);
/* apply_order.c: carries out what is pending. */
void apply_carry_out(Apply *apply);

/* apply_write.c. The name is the same at every attempt, so a leftover of an interrupted one is found and replaced. */
void apply_aside_name(const char *path, char out[40]);
int write_aside(Apply *apply, Step *step, int dirfd) MUST_CHECK;
/* Is it made another name of the file at change->link_to, rather than a file of its own? */
bool write_is_link(const Apply *apply, const Step *step);
/* -EEXIST if the step adds an object, and the host has one there now. */
int write_publish(Apply *apply, Step *step, int dirfd, const char *name) MUST_CHECK;
/* Mode, owner, times, xattrs of an object that is there: those in `what` (COW_DIFF_*). What cannot be kept becomes a remark. */
int write_metadata(Apply *apply, Step *step, int dirfd, const char *name, unsigned what) MUST_CHECK;

/* apply_remember.c. Notes before the first step the directories in which objects will come and go. */
int apply_note_directories(Apply *apply) MUST_CHECK;
/* Takes down what is on the host now, before the journal goes: what it names was made by us. */
int apply_remember(Apply *apply) MUST_CHECK;

/* journal.c */
int journal_write(const Apply *apply, BvError **err) MUST_CHECK;
/* Makes of what an interrupted apply left the steps to finish: returns 1, or 0 if there is none. */
int journal_load(Apply *apply, BvError **err) MUST_CHECK;
int journal_remove(const Apply *apply) MUST_CHECK;
/* Steps for those of apply->changes that are selected (NULL: all). */
int apply_make_steps(Apply *apply, Selection *selection) MUST_CHECK;
/* NULL if it was not selected. */
const Step *apply_step_of(const Apply *apply, const Change *change);
/* NULL if nothing is changed there, or was not selected. */
Change *apply_find_change(const ChangeList *changes, const char *path);
Step *apply_step_at(const Apply *apply, const char *path);
/* Does what is changed at `path`, or a directory above it that is more than modified, not become what the sandbox has, as `is_made` says of such a change? */
bool apply_leads_to_unmade(const ChangeList *changes, const char *path, bool (*is_made)(const void *ctx, const Change *change), const void *ctx);

#endif
