#include "base/hmap.h"

#include <pthread.h>
#include <sys/random.h>

#define MIN_BUCKETS 64

int hmap_init(Hmap *map)
{
	map->buckets = calloc(MIN_BUCKETS, sizeof *map->buckets);
	if (!map->buckets)
		return -ENOMEM;
	map->mask = MIN_BUCKETS - 1;
	map->count = 0;
	return 0;
}

void hmap_release(Hmap *map)
{
	free(map->buckets);
	*map = (Hmap){0};
}

static void grow(Hmap *map)
{
	size_t size = (map->mask + 1) * 2;
	HmapNode **bigger = calloc(size, sizeof *bigger);

	if (!bigger)
		return; /* longer chains, nothing worse */
	HMAP_FOREACH_SAFE (map, n, tmp) {
		n->next = bigger[n->hash & (size - 1)];
		bigger[n->hash & (size - 1)] = n;
	}
	free(map->buckets);
	map->buckets = bigger;
	map->mask = size - 1;
}

void hmap_insert(Hmap *map, HmapNode *node, uint64_t hash)
{
	if (map->count > map->mask)
		grow(map);
	node->hash = hash;
	node->next = map->buckets[hash & map->mask];
	map->buckets[hash & map->mask] = node;
	map->count++;
}

void hmap_remove(Hmap *map, HmapNode *node)
{
	HmapNode **link = &map->buckets[node->hash & map->mask];

	while (*link != node)
		link = &(*link)->next;
	*link = node->next;
	node->next = NULL;
	map->count--;
}

static uint64_t process_key;

static void make_key(void)
{
	if (getrandom(&process_key, sizeof process_key, GRND_NONBLOCK) != sizeof process_key)
		process_key = (uint64_t)(uintptr_t)&process_key * 0x9e3779b97f4a7c15ULL;
}

static uint64_t mix_bytes(const unsigned char *p, size_t len, uint64_t h)
{
	while (len >= 8) {
		uint64_t w;
		memcpy(&w, p, 8);
		h = hash_u64(h ^ w, 0x9e3779b97f4a7c15ULL);
		p += 8;
		len -= 8;
	}
	uint64_t w = 0;
	memcpy(&w, p, len);
	return hash_u64(h ^ w ^ ((uint64_t)len << 56), 0x9e3779b97f4a7c15ULL);
}

uint64_t hash_bytes(const void *data, size_t len, uint64_t seed)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_key);
	return mix_bytes(data, len, process_key ^ seed);
}

uint64_t hash_stable(const void *data, size_t len)
{
	return mix_bytes(data, len, 0x62766973ULL);
}
