/* snapshot/chunker.h - where a stream of bytes is cut, decided by the bytes themselves: after an insertion the cuts are soon the same again.
 *
 * FastCDC: a gear hash over the last 64 bytes, a harder condition for short chunks and an easier one for long ones. 256 KiB to 4 MiB, about 1 MiB on average:
 * as many cuts as restic makes, so that as few bytes are stored again when a part of a file changes. The two conditions differ little: the more they do, the more a cut depends on
 * where the chunk began, and the later two streams that become the same are cut the same. Where a file is cut is no part of the format, but writers that
 * cut differently share nothing. With a key the table depends on it, so that lengths of chunks do not tell known files. No locking: one per stream. */
#ifndef SNAPSHOT_CHUNKER_H
#define SNAPSHOT_CHUNKER_H

#include "base/util.h"

#define CHUNK_MIN ((size_t)256 << 10)
#define CHUNK_LONG ((size_t)640 << 10) /* from here on the easier condition */
#define CHUNK_AVERAGE ((size_t)1 << 20) /* what that comes to */
#define CHUNK_MAX ((size_t)4 << 20)
#define CHUNK_WHOLE ((size_t)512 << 10) /* up to this a file is one chunk */

typedef struct Gear {
	uint64_t table[256];
} Gear;

typedef struct Chunker {
	const Gear *gear;
	uint64_t hash;
	size_t len; /* of the chunk that is being cut */
} Chunker;

void gear_init(Gear *gear, uint64_t seed);
/* Goes on with `len` more bytes. Returns how many of them belong to the chunk that ends there (then the next chunk begins), or 0: it goes on after all of them. */
size_t chunker_cut(Chunker *c, const uint8_t *data, size_t len);

#endif
