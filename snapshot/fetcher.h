/* snapshot/fetcher.h - bytes of a restored sandbox that are still in the store of its snapshot: what a blob store calls for those (backends/blob.h, BlobFetch).
 *
 * The store is opened with the first fetch, so a sandbox whose store cannot be reached goes on with what is here. */
#ifndef SNAPSHOT_FETCHER_H
#define SNAPSHOT_FETCHER_H

#include "backends/blob.h"
#include "snapshot/snapshot.h"

/* What a blob store is to remember (BlobOps.put_remote): which snapshot, the key that it takes (NULL: none), and where. The caller's to free; NULL: out of memory. */
char *snap_fetcher_source(const char *place, const SnapKey *key, const SnapId *id);
/* And back: *place points into the source, key is "" or 16 hex digits. -EBADMSG. */
int snap_fetcher_parse(const char *source, SnapId *id, char key[2 * KEY_ID_SIZE + 1], const char **place) MUST_CHECK;
/* Who has the key of an encrypted place. `get` is asked when it is needed, from any thread; the key belongs to ctx. It is released with the blob store. Both may be NULL. */
typedef struct SnapKeyring {
	int (*get)(void *ctx, const char *place, const SnapKey **out, char **err);
	void (*release)(void *ctx);
	void *ctx;
} SnapKeyring;
/* The store, if blobs of it are remote, fetches them from there until it is closed. The keyring is taken over, also on failure; `hold` (NULL: none; copied) is renewed
 * (hold.h). -ENOMEM. */
int snap_fetcher_attach(BlobStore *blobs, SnapKeyring keys, const char *hold, char **err) MUST_CHECK;

#endif
