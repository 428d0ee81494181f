/* snapshot/housekeeping.h - fsck, collection and repair of a store, and copies into another. They list objects; nothing else in this layer does as a rule.
 *
 * Each of these functions may run beside writers, readers and each other, on any machine: docs/SNAPSHOT_FORMAT.md says why that is safe. Errors and messages: snapshot.h. */
#ifndef SNAPSHOT_HOUSEKEEPING_H
#define SNAPSHOT_HOUSEKEEPING_H

#include "snapshot/snapshot.h"

/* Where it is: what is done now, and how much of it (total 0: not known). May be NULL. */
typedef void (*SnapStep)(void *ctx, const char *what, uint64_t done, uint64_t total);

/* ---- check.c ---- */
typedef struct SnapCheckConfig {
	bool read_data; /* reads every pack and hashes every chunk; else only tables are read */
	/* An object (or "chunk ...") is damaged or missing. */
	void (*damage)(void *ctx, const char *object, const char *message);
	/* What a generation of a ref leads to is not complete; the message is that of the first thing it lacks. */
	void (*hurt)(void *ctx, const SnapRef *ref, const char *message);
	SnapStep step;
	void *ctx;
} SnapCheckConfig;

typedef struct SnapCheckResult {
	uint64_t refs, snapshots, pieces, chunks, packs, bytes; /* looked at */
	uint64_t damaged, hurt;
} SnapCheckResult;

/* 0: the check was made, and out says what it found. A negative errno: it could not be made. */
int snap_check(SnapStore *s, const SnapCheckConfig *config, SnapCheckResult *out, char **err) MUST_CHECK;

/* ---- collect.c ---- */
typedef struct SnapCollectConfig {
	int64_t grace;	     /* seconds; 0: SNAP_GRACE. Less is refused (-EINVAL), unless */
	bool alone;	     /* the caller knows that nobody else writes to the store now */
	unsigned repack;     /* packs of which less than so many percent are needed are written anew; 0: 50; above 100: none */
	bool dry_run;
	SnapStep step;
	void *ctx;
} SnapCollectConfig;

typedef struct SnapCollectResult {
	uint64_t snapshots, live_packs, live_bytes;    /* what is needed */
	uint64_t condemned;			       /* objects that are newly to go, after the grace period */
	uint64_t removed, removed_bytes;	       /* objects that went now */
	uint64_t repacked, moved_bytes;		       /* packs written anew, and what they still held */
} SnapCollectResult;

/* One round: removes what an earlier round condemned at least the grace period ago, condemns what is unreachable now (of a snapshot that lost its name the
 * snapshot first, in the next round what it alone needs). Anything that cannot be read ends it before
 * anything is removed. -EEXIST: another collector was faster, nothing is lost. */
int snap_collect(SnapStore *s, const SnapCollectConfig *config, SnapCollectResult *out, char **err) MUST_CHECK;

/* ---- repair.c ---- */
/* Makes an index of all packs from their own tables, for snapshots whose index objects are lost. *packs: how many could be read. */
int snap_rebuild_index(SnapStore *s, uint64_t *packs, char **err) MUST_CHECK;

/* ---- copy.c ---- */
typedef struct SnapCopyConfig {
	/* A snapshot of the source and its copy in the target: what is the same in both is neither read nor sent again. from_base may be NULL: then to_base is only the parent. */
	const SnapId *from_base, *to_base;
	SnapStep step; /* bytes of contents; what: the text for it */
	void *ctx;
	const char *what;
} SnapCopyConfig;

/* The same snapshot in another store, with the time and all fields of this one and the field "origin" (snap_origin); its id is another one. Everything is compared with its id
 * when it is read, and encrypted with the key of the target. Nothing leads to it yet: snap_ref_append. */
int snap_copy(SnapStore *from, const SnapId *id, SnapStore *to, const SnapCopyConfig *config, SnapId *out, SnapProgress *result, char **err) MUST_CHECK;
/* The id, as text, of the snapshot that this one is a copy of, or its own: two with the same origin have the same content. -EBADMSG. */
int snap_origin(const SnapInfo *info, char hex[65]) MUST_CHECK;

#endif
