/* snapshot/fetcher.h - bytes of a restored sandbox that are still in the store of its snapshot: what a blob store calls for those (backends/blob.h, BlobFetch).
 *
 * The store is opened with the first fetch, so a sandbox whose store cannot be reached goes on with what is here. */
#ifndef SNAPSHOT_FETCHER_H
#define SNAPSHOT_FETCHER_H

#include "backends/blob.h"
#include "snapshot/snapshot.h"

/* What a blob store is to remember (BlobOps.put_remote): which snapshot, and where. The caller's to free; NULL: out of memory. */
char *snap_fetcher_source(const char *place, const SnapId *id);
/* The store, if any of its blobs is remote, fetches them from there until it is closed. -EBADMSG (the source makes no sense), -ENOMEM. */
int snap_fetcher_attach(BlobStore *blobs, char **err) MUST_CHECK;

#endif
