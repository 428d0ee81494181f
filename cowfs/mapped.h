/* cowfs/mapped.h - which bodies somebody has in memory, where a lease does not tell: see mapped.c. For cowfs itself. */
#ifndef COWFS_MAPPED_H
#define COWFS_MAPPED_H

#include "base/hmap.h"
#include "cowfs/cowfs.h"

/* Whom to ask; of a view or an export. */
typedef struct CowMappers {
	int (*ask)(void *ctx, bool guests, CowMappedVisit visit, void *visit_ctx);
	void *ctx;
	BlobStore *blobs;
	bool always; /* act as if leases did not tell */
} CowMappers;
CowMappers mappers_of(const CowfsConfig *config);

/* Zeroes are one that was not taken: nothing is mapped. */
typedef struct CowMapped {
	bool taken, unknown; /* unknown: all may be */
	bool news; /* in this pass */
	Hmap files;
	char root[PATH_MAX]; /* of the blobs, with a slash at the end; "": it cannot be told */
} CowMapped;

/* Does a lease that is granted say nothing of who has mapped the body? */
bool mappers_needed(const CowMappers *m);
/* All that is mapped now and was before, wherever mappers_needed; nothing elsewhere. Takes milliseconds, and more for those who are no guests. It has to be asked after the lease: see mapped.c. */
void mapped_take(const CowMappers *m, bool guests, CowMapped *out);
void mapped_release(CowMapped *mapped);
/* Has somebody the body mapped, `shared`: in a way in which he may change it? */
bool mapped_has(const CowMapped *mapped, BlobStore *blobs, BlobId id, bool shared);

#endif
