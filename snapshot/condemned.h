/* snapshot/condemned.h - what the collector has said: names of objects that will be removed, and where chunks were moved to.
 *
 * Collections are the log `collect`: each generation holds the whole state, in an envelope. Number 1 is never removed. What is condemned in a generation is removed
 * by a later collection, SNAP_GRACE after that generation was written and if it is still unreachable. Whoever has read the state may share for half the grace what it
 * does not list: docs/SNAPSHOT_FORMAT.md has the argument. */
#ifndef SNAPSHOT_CONDEMNED_H
#define SNAPSHOT_CONDEMNED_H

#include "snapshot/log.h"

#define COLLECT_LOG "collect"
#define SESSIONS "sessions/"

typedef struct CondemnedName {
	uint8_t kind; /* 'p' pack, 'i' index, 's' snapshot */
	SnapId id;
	uint64_t since; /* the generation that condemned it, or spared it */
	bool spared;	/* it turned out to be needed: not to be removed, but neither to be shared for a grace period more */
} CondemnedName;

typedef struct Condemned {
	uint64_t number; /* of the generation; 0: nothing was ever collected */
	CondemnedName *names; /* sorted by kind and id */
	size_t n;
	SnapId *moved; /* index objects that go before those that snapshots name */
	size_t n_moved;
} Condemned;

int condemned_load(SnapStore *s, Coder *coder, Condemned *out, char **err) MUST_CHECK;
void condemned_release(Condemned *c); /* a table of zeroes is fine */
bool condemned_has(const Condemned *c, uint8_t kind, const SnapId *id);
/* Adds the names of all generations after `number` (those too that are removed by now). */
int condemned_since(SnapStore *s, Coder *coder, uint64_t number, Condemned *out, char **err) MUST_CHECK;
/* Publishes as generation c->number + 1, which becomes c->number. -EEXIST: another collector was faster. Sorts the names. */
int condemned_append(SnapStore *s, Coder *coder, Condemned *c, char **err) MUST_CHECK;
int condemned_decode(const void *plain, size_t n, Condemned *out) MUST_CHECK;

#endif
