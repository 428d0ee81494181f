/* lib/settle.h - the files of a new sandbox on the disk, before it can be seen. */
#ifndef LIB_SETTLE_H
#define LIB_SETTLE_H

#include "lib/internal.h"

/* Every file and directory of the tree below `path`, itself included, is on the disk. Few of them are synced one by one, so that nobody waits for what
 * others have written; more than SETTLE_EACH_MAX with their file system. `path`'s own name is its parent's matter: settle_directory.
 * 0, -ENOMEM, or the errno of open(2), fsync(2) or syncfs(2). */
int settle_tree(const char *path) MUST_CHECK;
/* The names in one directory are on the disk: 0, or the errno of open(2) or fsync(2). */
int settle_directory(const char *path) MUST_CHECK;

#define SETTLE_EACH_MAX 64

#endif
