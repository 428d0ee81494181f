#include "tests/oracle/oracle.h"

#include <stdarg.h>

uint64_t random_u64(uint64_t *state)
{
	uint64_t x = (*state += 0x9e3779b97f4a7c15ULL);

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

unsigned random_below(uint64_t *state, unsigned n)
{
	return (unsigned)(random_u64(state) % n);
}

void fill_pattern(unsigned char *buf, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (unsigned char)(seed + i * 31 + (i >> 8));
}

int world_fail(World *w, const char *fmt, ...)
{
	va_list ap;

	if (w->why[0])
		return -1;
	va_start(ap, fmt);
	vsnprintf(w->why, sizeof w->why, fmt, ap);
	va_end(ap);
	return -1;
}
