#include "snapshot/chunker.h"

/* Ones at the top: these bits of the hash depend on the most bytes. */
#define MASK_HARD 0xfffff00000000000ULL /* 20 bits */
#define MASK_EASY 0xffffe00000000000ULL /* 19 bits */
#define WINDOW 64

static uint64_t splitmix(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

void gear_init(Gear *gear, uint64_t seed)
{
	for (size_t i = 0; i < ARRAY_LEN(gear->table); i++)
		gear->table[i] = splitmix(&seed);
}

/* The first place in data[at..end) after which the hash has no bit of the mask; 0 if there is none. */
static size_t scan(Chunker *c, const uint8_t *data, size_t at, size_t end, uint64_t mask)
{
	const uint64_t *table = c->gear->table;
	uint64_t hash = c->hash;

	while (at < end) {
		hash = (hash << 1) + table[data[at++]];
		if (!(hash & mask))
			return at;
	}
	c->hash = hash;
	return 0;
}

static size_t cut(Chunker *c, size_t at)
{
	c->hash = 0;
	c->len = 0;
	return at;
}

size_t chunker_cut(Chunker *c, const uint8_t *data, size_t len)
{
	size_t at = 0, start = c->len;

	/* The hash forgets what is older than the window, so most of the minimum needs no look. */
	if (start < CHUNK_MIN - WINDOW)
		at = MIN(len, CHUNK_MIN - WINDOW - start);
	const struct {
		size_t end;
		uint64_t mask;
	} parts[] = {{CHUNK_MIN, UINT64_MAX}, {CHUNK_LONG, MASK_HARD}, {CHUNK_MAX, MASK_EASY}};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		size_t end = parts[i].end > start ? MIN(len, parts[i].end - start) : 0;
		size_t found = at < end ? scan(c, data, at, end, parts[i].mask) : 0;
		if (found)
			return cut(c, found);
		at = MAX(at, end);
	}
	c->len = start + at;
	return c->len >= CHUNK_MAX ? cut(c, at) : 0;
}
