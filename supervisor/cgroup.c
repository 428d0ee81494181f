/* cgroup.c - see cgroup.h: finding the place. Making and removing leaves: cgroup_leaf.c. */
#include "supervisor/cgroup_internal.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

const char *cgroup_word(CgroupKind kind, bool v2)
{
	static const char *const words[CGROUP_KINDS] = {"memory", "cpu", "pids", "io"};

	return kind == CGROUP_IO && !v2 ? "blkio" : words[kind];
}

void cgroup_place_release(CgroupPlace *place)
{
	free(place->mount);
	free(place->own);
	*place = (CgroupPlace){0};
}

/* Is `word` one of the words of `list`, which `separator` divides? */
bool cgroup_has_word(const char *list, const char *word, char separator)
{
	size_t len = strlen(word);

	for (const char *at = list; (at = strstr(at, word)); at += len) {
		char end = at[len];
		if ((at == list || at[-1] == separator) && (end == separator || end == '\n' || end == '\0'))
			return true;
	}
	return false;
}

/* The path of our group in a hierarchy: NULL word means v2. Cuts the text into pieces. */
static char *membership_path(char *text, const char *word)
{
	char *rest = text;

	for (char *line; (line = strsep(&rest, "\n"));) {
		char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!path)
			continue;
		*path++ = '\0';
		if (path[0] == '/' && (word ? cgroup_has_word(controllers + 1, word, ',') : controllers[1] == '\0'))
			return path;
	}
	return NULL;
}

typedef struct Mount {
	char root[PATH_MAX], point[PATH_MAX], options[1024];
	bool v2;
} Mount;

/* "ID PARENT DEVICE ROOT POINT OPTIONS... - TYPE SOURCE SUPEROPTIONS" */
static bool parse_mount(const char *line, Mount *m)
{
	char type[32];
	const char *dash = strstr(line, " - ");

	if (!dash || sscanf(line, "%*s %*s %*s %4095s %4095s", m->root, m->point) != 2 || sscanf(dash + 3, "%31s %*s %1023s", type, m->options) != 2)
		return false;
	m->v2 = strcmp(type, "cgroup2") == 0;
	return m->v2 || strcmp(type, "cgroup") == 0;
}

/* Where the mount shows `path` of its hierarchy; NULL: nowhere. */
static char *shown_at(const Mount *m, const char *path)
{
	size_t len = strcmp(m->root, "/") == 0 ? 0 : strlen(m->root);

	if (strncmp(path, m->root, len) != 0 || (len && path[len] != '/' && path[len] != '\0') || strstr(path, "/.."))
		return NULL;
	path += len;
	return bv_asprintf("%s%s", m->point, strcmp(path, "/") == 0 ? "" : path);
}

static int find_mount(const char *mountinfo, const char *word, const char *path, CgroupPlace *out)
{
	CLEAN_FREE Mount *m = malloc(sizeof *m);
	CLEAN_FREE char *text = NULL;

	if (!m)
		return -ENOMEM;
	ssize_t n = bv_read_file_at(AT_FDCWD, mountinfo, 16 << 20, &text);
	if (n < 0)
		return (int)n;
	char *rest = text;
	for (char *line; (line = strsep(&rest, "\n"));) {
		if (!parse_mount(line, m) || m->v2 != !word || (word && !cgroup_has_word(m->options, word, ',')))
			continue;
		CLEAN_FREE char *own = shown_at(m, path);
		if (!own || access(own, F_OK) < 0)
			continue;
		*out = (CgroupPlace){.v2 = m->v2, .mount = strdup(m->point), .own = TAKE_PTR(own)};
		return out->mount ? 0 : -ENOMEM;
	}
	return -ENOENT;
}

static int find_hierarchy(const CgroupSource *source, const char *word, CgroupPlace *out)
{
	CLEAN_FREE char *text = NULL;
	ssize_t n = bv_read_file_at(AT_FDCWD, source->membership, 1 << 20, &text);

	if (n < 0)
		return (int)n;
	const char *path = membership_path(text, word);
	return path ? find_mount(source->mountinfo, word, path, out) : -ENOENT;
}

static bool group_has(const char *group, const char *word)
{
	CLEAN_FREE char *path = bv_asprintf("%s/cgroup.controllers", group);
	CLEAN_FREE char *text = NULL;

	return path && bv_read_file_at(AT_FDCWD, path, 4096, &text) >= 0 && cgroup_has_word(text, word, ' ');
}

int cgroup_find(const CgroupSource *source, CgroupKind kind, CgroupPlace *out)
{
	CgroupPlace place = {0};
	int r = find_hierarchy(source, NULL, &place);

	if (r == 0) { /* the groups above ours may have what ours was not given */
		CLEAN_FREE char *at = strdup(place.own);
		bool has = false;
		for (size_t len = strlen(place.mount); at && !has;) {
			has = group_has(at, cgroup_word(kind, true));
			char *slash = strrchr(at, '/');
			if (strlen(at) <= len || !slash)
				break;
			*slash = '\0';
		}
		if (has) {
			*out = place;
			return 0;
		}
		cgroup_place_release(&place);
	}
	return find_hierarchy(source, cgroup_word(kind, false), out);
}
