/* cowfs/unchanged.h - the names of states: see unchanged.c. For cowfs itself; what others use is in cowfs.h and records.h. */
#ifndef COWFS_UNCHANGED_H
#define COWFS_UNCHANGED_H

#include "internal.h"
#include "meta.h"

/* Where it stands that the view of that database is closed. False: nowhere. */
bool unchanged_path(const char *db_path, char out[PATH_MAX]);
/* The state of a view that is closed; false: it is not known to be. */
bool unchanged_read(const char *path, CowState *out);
/* It is closed, and as nobody ever saw it. False: that could not be written down. */
bool unchanged_make(const char *path, CowState *out);
/* Somebody may remember the state by its name. */
void unchanged_told(const char *path, const CowState *state);

/* Before anything changes. A negative errno: what says that nothing does cannot be removed. */
int unchanged_begin(Cowfs *fs, const char *db_path) MUST_CHECK;
/* A moment, fs->lock held for writing; what was changed so far is of it. Then those are to be noted of whom somebody goes on writing. */
void unchanged_freeze(Cowfs *fs);
/* All is in the database, and nobody uses the view any more. */
void unchanged_end(Cowfs *fs);

/* Something changes, or may from now on without our being asked: rows, or (a node) its body. fs->lock held for writing. */
void unchanged_note(Cowfs *fs, const CowNode *node);

#endif
