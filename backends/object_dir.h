/* backends/object_dir.h - an object store in a directory: what object_dir.c (the store) and object_dir_files.c (its files) share.
 *
 * Layout: an object is the regular file ROOT/NAME. ROOT/.tmp holds what is being written; no name of an object begins with a dot, so that
 * it is never shown.
 *
 * Invariants
 *  1. A file outside .tmp is whole and durable: it is written in .tmp, synced, and then linked (IF_ABSENT) or renamed to its name; the directories
 *     that lead to it are synced before the put is answered.
 *  2. No symbolic link below ROOT is followed: each part of a name is opened with O_NOFOLLOW, from the descriptor of the one before.
 *  3. What a dead writer left in .tmp is removed by a later one when it is a day old, by the clock of the file system (which may be
 *     another machine's). A writer that needs longer than that for one object fails, and nothing is lost. */
#ifndef BACKENDS_OBJECT_DIR_H
#define BACKENDS_OBJECT_DIR_H

#include "backends/object_pool.h"

#include <stdatomic.h>

#define DIR_STORE_THREADS 4
#define DIR_STORE_TEMP ".tmp"

typedef struct DirStore {
	ObjectStore base;
	int root;
	char *path; /* as the user wrote it, for messages */
	atomic_bool swept;
	atomic_ulong last_temp; /* numbers the temporary names of this store */
	uint64_t temp_key;	/* random, so that names of other writers differ */

	ObjectPool pool;
} DirStore;

static inline DirStore *dir_store_of(ObjectStore *store)
{
	return CONTAINER_OF(store, DirStore, base);
}

/* Does the request, in this thread, and sets its outputs; does not call done. */
void dir_store_do(DirStore *ds, ObjectRequest *request);
int dir_store_list(ObjectStore *store, const char *prefix, int (*visit)(void *ctx, const char *name, uint64_t size, int64_t age), void *ctx, char **err);
int dir_store_has_if_absent(ObjectStore *store, char **err);

#endif
