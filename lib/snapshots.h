/* lib/snapshots.h - what the files about snapshots share: the store that a user named, and a sandbox's rows as the records of a snapshot. */
#ifndef LIB_SNAPSHOTS_H
#define LIB_SNAPSHOTS_H

#include "cowfs/records.h"
#include "lib/internal.h"
#include "snapshot/record.h"
#include "snapshot/snapshot.h"

typedef struct Snapshots {
	char *location;
	ObjectStore *objects;
	SnapStore *store;
} Snapshots;

/* `location` as a user gives it, NULL: $BVISOR_SNAPSHOTS, else snapshots/ in the store of sandboxes (`home`, NULL: the default one). `create`: a directory that is not
 * there is made. Errors of object_open. */
int snapshots_open(const char *location, const char *home, bool create, Snapshots *out, BvError **err) MUST_CHECK;
void snapshots_close(Snapshots *s); /* zeroes are fine */
/* Whether an error of snapshots_open only says that no snapshot was ever taken: the default directory is not there yet. */
bool snapshots_never_taken(int error, const char *location);
#define CLEAN_SNAPSHOTS __attribute__((cleanup(snapshots_close)))

/* What tells this machine from others, and nothing of it; false: unknown. */
bool snapshots_machine(char out[32]);
/* "NAME", "NAME@" or "NAME@latest": its newest state; "NAME@NUMBER": the snapshot that it means. -EINVAL, -ENOENT, errors of the store. */
int snapshots_find(const Snapshots *s, const char *text, SnapRef *out, BvError **err) MUST_CHECK;

/* Where a sandbox remembers what its bodies are called in this place (cowfs/contents.h); the caller's to free, NULL: out of memory. */
char *snapshots_contents_path(const BvSandbox *sb, const Snapshots *s);

/* bv_sandbox_snapshot into an open place. held: the caller keeps the sandbox stopped. */
int snapshot_take(BvSandbox *sb, bool held, const Snapshots *s, const BvSnapshotOptions *o, BvSnapshotReceipt *out, BvError **err) MUST_CHECK;

/* A field of a snapshot as text, the caller's to free; NULL: it has none. */
char *snapshots_field(const SnapInfo *info, const char *name);

/* The key and the value of a row. */
size_t record_encode(const CowRecord *r, uint8_t key[RECORD_KEY_MAX], Bytes *value);
/* And back: what it points to is in key and value. -EBADMSG, -EPROTO. */
int record_decode(const Record *record, CowRecord *out) MUST_CHECK;

#endif
