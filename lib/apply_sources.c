/* lib/apply_sources.c - where on the host the objects are that are yet to be renamed, findable by path.
 *
 * Two tables, which only grow: `at` has the steps by the hash of their source, and an entry counts only if it is still that step's source;
 * `above` has the hash of each directory that a source lies or lay below, so an answer from it is "perhaps" or "no". */
#include "lib/apply.h"

typedef struct Source {
	HmapNode node;
	Step *step; /* NULL in `above` */
} Source;

static int add(Hmap *map, const char *path, size_t len, Step *step)
{
	int r = map->buckets ? 0 : hmap_init(map);
	Source *source = r == 0 ? calloc(1, sizeof(*source)) : NULL;

	if (!source)
		return -ENOMEM;
	source->step = step;
	hmap_insert(map, &source->node, hash_bytes(path, len, 0));
	return 0;
}

static bool has_above(const SourceIndex *index, const char *path, size_t len)
{
	return index->above.buckets && hmap_first(&index->above, hash_bytes(path, len, 0));
}

int apply_source_set(Apply *apply, Step *step, char *from)
{
	size_t len = from ? strlen(from) : 0;
	int r = from ? add(&apply->sources.at, from, len, step) : -ENOMEM;

	for (size_t n = len; r == 0 && n-- > 1;) {
		if (from[n] != '/')
			continue;
		if (has_above(&apply->sources, from, n)) /* then those above it are there, too */
			break;
		r = add(&apply->sources.above, from, n, NULL);
	}
	if (r < 0) {
		free(from);
		return r;
	}
	free(step->from);
	step->from = from;
	return 0;
}

Step *apply_source_at(const Apply *apply, const char *path, size_t len, const Step *except)
{
	if (!apply->sources.at.buckets)
		return NULL;
	for (HmapNode *n = hmap_first(&apply->sources.at, hash_bytes(path, len, 0)); n; n = hmap_next(n)) {
		Step *s = CONTAINER_OF(n, Source, node)->step;
		if (s != except && step_is_pending(s) && s->from && strncmp(s->from, path, len) == 0 && s->from[len] == '\0')
			return s;
	}
	return NULL;
}

bool apply_source_above(const Apply *apply, const char *path, const Step *except)
{
	size_t len = strlen(path);

	if (apply_source_at(apply, path, len, except))
		return true;
	while (len-- > 1)
		if (path[len] == '/' && apply_source_at(apply, path, len, except))
			return true;
	return false;
}

bool apply_sources_below(const Apply *apply, const char *path)
{
	return has_above(&apply->sources, path, strlen(path)) || apply_source_at(apply, path, strlen(path), NULL);
}

static void release(Hmap *map)
{
	HMAP_FOREACH_SAFE(map, n, next)
	{
		free(CONTAINER_OF(n, Source, node));
	}
	hmap_release(map);
}

void apply_sources_release(Apply *apply)
{
	release(&apply->sources.at);
	release(&apply->sources.above);
}
