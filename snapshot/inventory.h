/* snapshot/inventory.h - what housekeeping shares: the objects of a store by kind, sets of ids, and what is reachable.
 *
 * No locking: everything belongs to one call. */
#ifndef SNAPSHOT_INVENTORY_H
#define SNAPSHOT_INVENTORY_H

#include "snapshot/housekeeping.h"
#include "snapshot/reader.h"

typedef struct Listed {
	SnapId id;
	uint64_t size;
	int64_t age;
} Listed;
typedef struct Inventory {
	Listed *all; /* sorted by id */
	size_t n, room;
} Inventory;

/* The objects below "packs/", "index/" or "snapshots/" whose names are ids. */
int inventory_list(SnapStore *s, const char *prefix, Inventory *out, char **err) MUST_CHECK;
void inventory_release(Inventory *inventory);
const Listed *inventory_find(const Inventory *inventory, const SnapId *id);

/* All generations of all refs. */
typedef struct RefList {
	SnapRef *all;
	size_t n, room;
} RefList;
int ref_list_all(SnapStore *s, RefList *out, char **err) MUST_CHECK;

/* What snapshots lead to. */
typedef struct Mark {
	SnapIndex ids;	     /* chunks and pieces */
	SnapIndex snapshots; /* that were marked */
	SnapIndex indexes;   /* index objects that they name */
} Mark;
int mark_init(Mark *m) MUST_CHECK;
void mark_release(Mark *m);
/* Any error leaves the mark incomplete: nothing may be removed then. */
int mark_snapshot(SnapStore *s, Mark *m, const SnapId *id, char **err) MUST_CHECK;

/* The table of one pack, with one or two requests. `size`: of the pack. */
int read_pack_table(SnapStore *s, Coder *coder, const SnapId *id, uint64_t size, ChunkTable *out, char **err) MUST_CHECK;

#endif
