/* lib/snapshot_view.h - a snapshot as a read-only view over the host: its rows in a temporary database, its contents fetched when they are opened. */
#ifndef LIB_SNAPSHOT_VIEW_H
#define LIB_SNAPSHOT_VIEW_H

#include "cowfs/cowfs.h"
#include "lib/snapshot_look.h"

/* Which records a view is made of. */
typedef struct RowSource {
	/* Calls `row` for each record, inodes in rising order. */
	int (*walk)(void *ctx, int (*row)(void *row_ctx, const Record *record), void *row_ctx, char **why);
	void *ctx;
} RowSource;

typedef struct LazyBlobs LazyBlobs;
typedef struct SnapshotView {
	Cowfs *fs;
	LazyBlobs *blobs; /* which content each blob of it is */
} SnapshotView;

/* A view of some of the records, while the snapshot is open. What is hidden by default is hidden in it. -EBADMSG, -EPROTO, -EACCES (it rests on what is hidden), -ENOSPC (temporary
 * files), those of the place. */
int snapshot_view_open(BvSnapshot *s, const RowSource *rows, SnapshotView *out, BvError **err) MUST_CHECK;
void snapshot_view_close(SnapshotView *view); /* a table of zeroes is fine */
/* The view of all records; it belongs to the snapshot and stays until that is closed. */
int snapshot_view_get(BvSnapshot *s, const SnapshotView **out, BvError **err) MUST_CHECK;
/* The content reference of a blob; false: it has none. */
bool snapshot_view_ref(const SnapshotView *view, BlobId blob, const uint8_t **ref, size_t *len);

#endif
