/* cowfs/contents.h - what each body was called where it was sent last, so that what has not changed since is neither read nor sent again.
 *
 * A memory beside the database, in a file of its own. It is a cache: losing it costs reading everything once. But a wrong entry would put another content into a snapshot, so
 * an entry counts only while the file is known to be untouched (cow_contents_moment), or is, to the nanosecond, the one that was read (number, inode, size, mtime and the ctime that nobody can set), was not changed within
 * the last ticks of the clock before it was read, and the machine has not been started anew since: after a power cut times may be those of bytes that are lost.
 * The whole counts only for the snapshot that it was made for (`state`), and says what the view was called then (unchanged.c). */
#ifndef COWFS_CONTENTS_H
#define COWFS_CONTENTS_H

#include "cowfs/records.h"

typedef struct CowContents CowContents;

/* The memory in `path`, made if it is missing, and emptied if it is of another boot. NULL: there is none to be had (somebody else has it, too), which is no failure. */
CowContents *cow_contents_open(const char *path);
/* What cow_contents_finish was given last; "": there is nothing in it. */
const char *cow_contents_state(const CowContents *c);
int cow_contents_forget(CowContents *c) MUST_CHECK; /* all of it. A negative errno: it is of no use any more, close it */
/* What stands for the body of an inode of which cow_export_walk tells, if it is unchanged: it belongs to c until the next call. Inodes come in rising order. */
bool cow_contents_find(CowContents *c, const CowRecord *inode, const uint8_t **ref, size_t *len);
/* The view differs from that moment, but not in this body: its times, and what cow_contents_find compares, as they were then. False: it is not remembered. */
bool cow_contents_recall(CowContents *c, CowRecord *inode);
/* The body was read after `inode` was told, and stayed the same. Ignored if that is too soon after its last change. */
void cow_contents_put(CowContents *c, const CowRecord *inode, const uint8_t *ref, size_t len);
/* What cow_contents_moment_is was given for what cow_contents_finish said; a view of this name (CowState) is, rows and bodies, that snapshot. "": unknown. */
const char *cow_contents_moment(const CowContents *c);
void cow_contents_moment_is(CowContents *c, const char *name);
void cow_contents_keep(CowContents *c); /* what is in it stays, also what nobody asked for */
/* From now on it is of `state`. */
void cow_contents_finish(CowContents *c, const char *state);
void cow_contents_close(CowContents *c); /* without finish: nothing is kept. NULL is allowed */

#endif
