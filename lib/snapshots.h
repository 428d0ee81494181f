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
	SnapKey *key; /* NULL: it is not encrypted */
	SnapStore *store;
} Snapshots;

/* `location` as a user gives it, NULL: $BVISOR_SNAPSHOTS, else snapshots/ in the store of sandboxes (`home`, NULL: the default one). `write`: snapshots will be put there, so a
 * directory that is not there is made, and an empty place is from now on encrypted with the key that is given, or not at all. `key` may be NULL: the
 * environment says. Errors of object_open, and -ENOKEY. */
int snapshots_open(const char *location, const char *home, const BvKeyOptions *key, bool write, Snapshots *out, BvError **err) MUST_CHECK;
/* snapshot_key.c, for snapshots_open: finds the key of a place whose store was opened without one. */
int snapshots_unlock(Snapshots *s, const BvKeyOptions *key, bool write, BvError **err) MUST_CHECK;
/* The key with this id (16 hex digits), if it is in a file that is given: without asking the place. -ENOKEY. */
int snapshots_key_from_file(const BvKeyOptions *key, const char *id, SnapKey **out) MUST_CHECK;
void snapshots_close(Snapshots *s); /* zeroes are fine */
/* Whether a key is given, by the options (may be NULL) or by the environment. */
bool snapshots_key_given(const BvKeyOptions *key);
/* Whether an error of snapshots_open only says that no snapshot was ever taken: the default directory is not there yet. */
bool snapshots_never_taken(int error, const char *location);
#define CLEAN_SNAPSHOTS __attribute__((cleanup(snapshots_close)))

/* What tells this machine from others, and nothing of it; false: unknown. */
bool snapshots_machine(char out[32]);
/* A name that a user may give to a snapshot. */
bool snapshots_name_valid(const char *name);
/* "NAME", "NAME@" or "NAME@latest": its newest state; "NAME@NUMBER": the snapshot that it means. -EINVAL, -ENOENT, errors of the store. */
int snapshots_find(const Snapshots *s, const char *text, SnapRef *out, BvError **err) MUST_CHECK;

/* Where a sandbox remembers what its bodies are called in this place (cowfs/contents.h); the caller's to free, NULL: out of memory. */
char *snapshots_contents_path(const BvSandbox *sb, const Snapshots *s);

enum {
	TAKE_HELD = 1,	     /* the caller keeps the sandbox stopped */
	TAKE_IF_CHANGED = 2, /* only if it is not what the newest state of the name is */
};
/* bv_sandbox_snapshot into an open place. 1: TAKE_IF_CHANGED, and nothing has changed; the receipt is of the newest state then. */
int snapshot_take(BvSandbox *sb, unsigned flags, const Snapshots *s, const BvSnapshotOptions *o, BvSnapshotReceipt *out, BvError **err) MUST_CHECK;

/* "NAME@NUMBER", or "NAME" for all states (number 0), without asking the store. *name is the caller's. -EINVAL. */
int snapshots_split(const char *text, char **name, uint64_t *number, BvError **err) MUST_CHECK;

/* A field of a snapshot as text, the caller's to free; NULL: it has none. */
char *snapshots_field(const SnapInfo *info, const char *name);

/* The key and the value of a row. */
size_t record_encode(const CowRecord *r, uint8_t key[RECORD_KEY_MAX], Bytes *value);
/* And back: what it points to is in key and value. -EBADMSG, -EPROTO. */
int record_decode(const Record *record, CowRecord *out) MUST_CHECK;

#endif
