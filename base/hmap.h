/* base/hmap.h - an intrusive chained hash table: the element embeds an HmapNode, the caller computes the 64-bit hash.
 *
 * No locking. Elements may be removed while iterating with HMAP_FOREACH_SAFE; it and hmap_release may be used on a table of zeroes, too.
 * Growth is amortised; a failed growth (out of memory) leaves the table working, only slower, so insertion cannot fail after hmap_init
 * succeeded. */
#ifndef BASE_HMAP_H
#define BASE_HMAP_H

#include "base/util.h"

typedef struct HmapNode {
	struct HmapNode *next;
	uint64_t hash;
} HmapNode;

typedef struct Hmap {
	HmapNode **buckets;
	size_t mask;
	size_t count;
} Hmap;

int hmap_init(Hmap *map) MUST_CHECK; /* -ENOMEM */
void hmap_release(Hmap *map);	     /* frees the buckets, not the elements */
void hmap_insert(Hmap *map, HmapNode *node, uint64_t hash);
void hmap_remove(Hmap *map, HmapNode *node); /* node must be in the table */

/* First node with that hash, and the next one after `node` with the same hash; NULL at the end. */
static inline HmapNode *hmap_first(const Hmap *map, uint64_t hash)
{
	HmapNode *n = map->buckets[hash & map->mask];
	while (n && n->hash != hash)
		n = n->next;
	return n;
}
static inline HmapNode *hmap_next(const HmapNode *node)
{
	HmapNode *n = node->next;
	while (n && n->hash != node->hash)
		n = n->next;
	return n;
}
#define HMAP_FOREACH_SAFE(map, n, tmp) \
	for (size_t b_ = 0; (map)->buckets && b_ <= (map)->mask; b_++) \
		for (HmapNode *n = (map)->buckets[b_], *tmp = n ? n->next : NULL; n; n = tmp, tmp = n ? n->next : NULL)

/* 64-bit mixes; hash_bytes is keyed by a per-process random value, so that names chosen by a guest cannot be made to
 * collide on purpose. hash_stable is unkeyed and the same on every machine and run (directory positions use it). */
uint64_t hash_bytes(const void *data, size_t len, uint64_t seed);
uint64_t hash_stable(const void *data, size_t len);
static inline uint64_t hash_u64(uint64_t x, uint64_t seed)
{
	x ^= seed;
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ULL;
	x ^= x >> 33;
	return x;
}

#endif
