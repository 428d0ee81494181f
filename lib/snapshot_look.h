/* lib/snapshot_look.h - an open snapshot, and finding one object in it by its path.
 *
 * Only the pieces of the manifest on the way are fetched, and the reader keeps those. What the snapshot did not change is the host's, as a sandbox would show it. */
#ifndef LIB_SNAPSHOT_LOOK_H
#define LIB_SNAPSHOT_LOOK_H

#include "lib/snapshots.h"

#include <limits.h>
#include <sys/stat.h>

struct BvSnapshot {
	Snapshots place;
	SnapRef ref;
	SnapReader *reader;
	char *title; /* NAME@NUMBER */
	Strv hidden; /* host paths that no sandbox sees by default */
	pthread_mutex_t view_mu;
	struct SnapshotView *view; /* protected by view_mu: all its rows as a view over the host (snapshot_view.h), made when it is first needed and kept */
};

/* An object: a record of the snapshot, or the host's. */
typedef struct Spot {
	uint64_t id; /* record number; 0: the host's own */
	char *host;  /* id 0: its path there */
	bool carried; /* id 0: the host lacks it, or has it otherwise: the snapshot's copy (base.h) */
	SnapInode inode; /* points into value */
	uint8_t *value, *content;
	size_t content_len;
} Spot;

void spot_release(Spot *spot); /* a table of zeroes is fine */
#define CLEAN_SPOT __attribute__((cleanup(spot_release)))

/* The record with that number. -EBADMSG (there is none). */
int spot_load(BvSnapshot *s, uint64_t id, Spot *out, BvError **err) MUST_CHECK;
/* By an absolute path. follow: also a symbolic link at its end. -ENOENT (also: deleted, hidden), -ENOTDIR, -ELOOP, -ENAMETOOLONG, those of the place. */
int spot_find(BvSnapshot *s, const char *path, bool follow, Spot *out, BvError **err) MUST_CHECK;
/* What a sandbox would show of it. A record that rests on the host needs that: -ENOENT, and then what the record knows. */
int spot_stat(BvSnapshot *s, const Spot *spot, struct stat *out) MUST_CHECK;
/* Is this path of the host one that no sandbox sees, or below one? */
bool look_is_hidden(const BvSnapshot *s, const char *host);
/* The path on the host that a record rests on; the caller's. *out is NULL if it rests on nothing. -EACCES: what is there is hidden. */
int spot_origin(BvSnapshot *s, const Spot *spot, char **out, BvError **err) MUST_CHECK;
/* A nameless file, for bytes that a descriptor is wanted of; -1 and errno. */
int look_temporary(void);
/* A message with the snapshot's name; for what went wrong below. `why` (may be NULL) is freed. */
int look_failed(const BvSnapshot *s, int code, char *why, BvError **err);

#endif
