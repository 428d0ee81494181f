/* cowfs/unchanged.h - the names of states: see unchanged.c. For cowfs itself; what others use is in cowfs.h and records.h. */
#ifndef COWFS_UNCHANGED_H
#define COWFS_UNCHANGED_H

#include "internal.h"
#include "meta.h"

/* Where it stands that the view of that database is closed. False: nowhere. */
bool unchanged_path(const char *db_path, char out[PATH_MAX]);
/* The name of a view that is closed; false, and "": it is not known to be. */
bool unchanged_read(const char *path, char name[COW_STATE_NAME]);
/* It is closed, and as nobody ever saw it. False, and "": that could not be written down. */
bool unchanged_make(const char *path, char name[COW_STATE_NAME]);

/* Before anything changes. A negative errno: what says that nothing does cannot be removed. */
int unchanged_begin(Cowfs *fs, const char *db_path) MUST_CHECK;
/* A moment, fs->lock held for writing; what was changed so far is of it. written: somebody goes on writing. */
void unchanged_freeze(Cowfs *fs, bool written);
/* All is in the database, and nobody uses the view any more. */
void unchanged_end(Cowfs *fs);

/* Something changes, or may from now on without our being asked. fs->lock held for writing. */
static inline void unchanged_note(Cowfs *fs)
{
	atomic_store(&fs->unchanged.changed, true);
}

#endif
