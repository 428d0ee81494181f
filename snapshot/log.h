/* snapshot/log.h - objects PREFIX/<16 hex digits>, numbered from 1 without gaps by whoever comes first: what refs and collections are.
 *
 * The next number is taken with a put that is atomic (OBJECT_IF_ABSENT); a hint object, PREFIX/hint, says about how far it went, so that the newest one is found with
 * two requests and no listing. A hint may be late or missing, never too high for what is there but after a removal; whoever doubts lists.
 * Where the store has no such put, PREFIX/lease is taken first, which serves well-meaning writers with about the same clock: log_append says what is checked. */
#ifndef SNAPSHOT_LOG_H
#define SNAPSHOT_LOG_H

#include "snapshot/store.h"

#define LOG_LEASE_SECONDS 60

void log_name(const char *prefix, uint64_t number, ObjectName out);
/* The number at the end of a name below prefix; -EINVAL. */
int log_number(const char *name, uint64_t *number) MUST_CHECK;
int64_t boot_seconds(void); /* that go on while the machine sleeps */
int log_token(char token[33]) MUST_CHECK; /* random, as text */
/* The newest one and its bytes; *number 0 (and no bytes): there is none. `dense`: number 1 is never removed, so that nothing is listed when there is none. */
int log_newest(SnapStore *s, const char *prefix, bool dense, uint64_t *number, uint8_t **body, size_t *n, char **err) MUST_CHECK;
/* Adds `number`. -EEXIST (then somebody else has), -EBUSY (another writer's lease). */
int log_append(SnapStore *s, const char *prefix, uint64_t number, const void *data, size_t len, char **err) MUST_CHECK;
void log_hint(SnapStore *s, const char *prefix, uint64_t number); /* best effort */

/* ---- ref.c ---- */
/* snap_ref_append of a snapshot that was just put. */
int ref_append(SnapStore *s, const char *name, uint64_t expected, const SnapId *id, SnapRef *out, char **err) MUST_CHECK;

#endif
