/* snapshot/collect.h - what the files of the collector share. Everything belongs to one call of snap_collect; the order of its steps is the argument that it is
 * safe beside writers (docs/SNAPSHOT_FORMAT.md), so nothing is to be moved without reading that. */
#ifndef SNAPSHOT_COLLECT_H
#define SNAPSHOT_COLLECT_H

#include "snapshot/inventory.h"

typedef struct PackUse {
	SnapId id;
	uint64_t total, live; /* bytes of chunks */
	bool listed; /* in an index object that is needed */
} PackUse;

typedef struct Collect {
	SnapStore *s;
	SnapCollectConfig config;
	SnapCollectResult result;
	Coder *coder;
	Condemned state;    /* as the last collector left it */
	Condemned next;	    /* as this one does */
	SnapIndex sessions; /* packs of writers that are at work */
	SnapIndex referenced; /* snapshots that a ref means */
	Mark mark;	      /* what those lead to, and snapshots that are not condemned yet */
	int64_t began;
	SnapIndex moved;    /* where chunks were moved to */
	IndexList moved_list;
	IndexList tables;   /* all index objects that are needed */
	Inventory packs, indexes, snapshots;
	PackUse *uses;	    /* of packs.all, in its order */
	bool changed;
} Collect;

/* Adds a name to next as this round's. */
int condemn(Collect *c, uint8_t kind, const SnapId *id) MUST_CHECK;
/* A chunk that was moved counts where it is now. */
bool is_live(const Collect *c, const SnapId *pack, const ChunkRow *row);

/* ---- repack.c ---- */
/* Copies what is needed out of packs that are mostly not, and puts the index object of where it is now; the old ones are condemned. */
int repack(Collect *c, char **err) MUST_CHECK;

#endif
