/* snapshot/id.h - the 32-byte ids of objects and chunks. */
#ifndef SNAPSHOT_ID_H
#define SNAPSHOT_ID_H

#include "base/bytes.h"

typedef struct SnapId {
	uint8_t b[32];
} SnapId;

void bytes_id(Bytes *b, const SnapId *id);
bool cursor_id(Cursor *c, SnapId *out);

static inline bool id_equal(const SnapId *a, const SnapId *b)
{
	return memcmp(a->b, b->b, sizeof a->b) == 0;
}
static inline int id_compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(SnapId));
}
static inline uint64_t id_hash(const SnapId *id, uint64_t seed)
{
	uint64_t h;
	memcpy(&h, id->b, sizeof h);
	return h ^ seed;
}
void id_hex(const SnapId *id, char out[65]);
int id_parse(const char *hex, size_t len, SnapId *out) MUST_CHECK; /* 64 lower-case digits, else -EINVAL */

#endif
