/* snapshot/presence.h - are the packs there that contents need? */
#ifndef SNAPSHOT_PRESENCE_H
#define SNAPSHOT_PRESENCE_H

#include "snapshot/snapshot.h"
#include "snapshot/store.h"

typedef struct SnapPresence SnapPresence;

int snap_presence_begin(SnapReader *r, SnapPresence **out) MUST_CHECK; /* -ENOMEM */
void snap_presence_end(SnapPresence *p); /* NULL is allowed */
/* A content that is asked for. */
void snap_presence_note(SnapPresence *p, const void *ref, size_t len);
/* When all are noted. 0: every pack is there; 1: some are gone; errors of the store. */
int snap_presence_check(SnapPresence *p, char **err) MUST_CHECK;
/* The first pack that is gone. */
void snap_presence_lost(const SnapPresence *p, ObjectName out);
/* After that: whether a content that was noted can be had, as far as that can be told without fetching anything. */
bool snap_presence_has(SnapPresence *p, const void *ref, size_t len);

#endif
