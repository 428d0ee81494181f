/* lib/snapshot_delta.h - of two snapshots, the records that they do not share, with all that leads to these from the root: two small views that differ where the snapshots do.
 *
 * What is left out is the same in both and in the same place, so both views show the host there instead, and nobody who compares them sees it. */
#ifndef LIB_SNAPSHOT_DELTA_H
#define LIB_SNAPSHOT_DELTA_H

#include "lib/snapshot_view.h"

typedef struct Delta Delta;

/* *out is NULL if the two are not states of one sandbox: then records with the same number are not the same object, and only whole views can be compared. err names the snapshots. */
int delta_read(BvSnapshot *before, BvSnapshot *after, Delta **out, BvError **err) MUST_CHECK;
void delta_free(Delta *d); /* NULL is allowed */
bool delta_is_empty(const Delta *d);
/* The rows of one side (0: before, 1: after), while the delta is there. */
RowSource delta_rows(Delta *d, int side);

#endif
