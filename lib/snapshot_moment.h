/* lib/snapshot_moment.h - a sandbox as it is at one moment, to be read at leisure: one that is stopped is kept so, one that runs is frozen by its supervisor, and goes on. */
#ifndef LIB_SNAPSHOT_MOMENT_H
#define LIB_SNAPSHOT_MOMENT_H

#include "cowfs/records.h"
#include "lib/conn.h"

typedef struct Moment {
	CowExport *rows;
	int lock;     /* of a stopped sandbox; -1 */
	Conn *conn;   /* to the supervisor of one that runs, which thaws it when this closes; or NULL */
	bool unsteady; /* guests could not be stopped while files that they write were kept */
	CowState state;
	bool written; /* somebody else than guests has bodies open for writing */
	double pause; /* how long they stood still, in seconds */
} Moment;

/* -EBUSY (an interrupted apply; another snapshot), and what opening the database gives. */
int moment_begin(BvSandbox *sb, bool held, Moment *out, BvError **err) MUST_CHECK; /* held: the caller keeps the sandbox stopped */
/* The rows alone, as of the last commit. frozen: by moment_begin. */
int moment_rows(const BvSandbox *sb, bool frozen, CowExport **out, BvError **err) MUST_CHECK;
/* All was read. An error: what was read is not all of that moment. */
int moment_end(Moment *m, const BvSandbox *sb, BvError **err) MUST_CHECK;
void moment_close(Moment *m); /* nothing may read from m->rows any more */

#endif
