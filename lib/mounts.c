#include "lib/mounts.h"

#include <fcntl.h>

/* A file system is told by its device; `root` is the directory of it that is shown at `point`. */
typedef struct Mount {
	const char *device, *root, *point, *type;
} Mount;

struct Mounts {
	char *text; /* what the mounts point into */
	Mount *items;
	size_t count, room;
};

/* A blank, tab, line feed and backslash stand as \ooo. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++)
		if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] && from[3]) {
			*to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	*to = 0;
}

/* A line: mount, parent, device, root, point, options, more of these, "-", type, and more. */
static bool parse_line(char *line, Mount *out)
{
	char *fields[5], *type = strstr(line, " - ");

	if (!type)
		return false;
	*type = 0;
	type += 3;
	type[strcspn(type, " ")] = 0;

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		fields[i] = strsep(&line, " ");
		if (!fields[i])
			return false;
	}
	unescape(fields[3]);
	unescape(fields[4]);
	*out = (Mount){fields[2], fields[3], fields[4], type};
	return true;
}

int mounts_parse(const char *text, Mounts **out)
{
	Mounts *m = calloc(1, sizeof *m);
	char *rest = m ? m->text = strdup(text) : NULL;

	if (!rest) {
		mounts_free(m);
		return -ENOMEM;
	}
	for (char *line; (line = strsep(&rest, "\n"));) {
		if (!BV_GROW(m->items, m->count, m->room)) {
			mounts_free(m);
			return -ENOMEM;
		}
		m->count += parse_line(line, &m->items[m->count]);
	}
	*out = m;
	return 0;
}

int mounts_read(Mounts **out)
{
	CLEAN_FREE char *text = NULL;
	ssize_t n = bv_read_file_at(AT_FDCWD, "/proc/self/mountinfo", 16 << 20, &text);

	return n < 0 ? (int)n : mounts_parse(text, out);
}

void mounts_free(Mounts *mounts)
{
	if (!mounts)
		return;
	free(mounts->text);
	free(mounts->items);
	free(mounts);
}

/* What of `path` comes after `dir`: empty or with a slash in front. NULL: it is not below it. */
static const char *rest_below(const char *path, const char *dir)
{
	size_t len = strcmp(dir, "/") == 0 ? 0 : strlen(dir);

	return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == 0) ? path + len : NULL;
}

/* `rest` as above. */
static char *joined(const char *dir, const char *rest)
{
	return bv_asprintf("%s%s", *rest && strcmp(dir, "/") == 0 ? "" : dir, rest);
}

/* Of mounts at one place the last one is on top. */
static const Mount *mount_of(const Mounts *mounts, const char *path)
{
	const Mount *found = NULL;

	for (size_t i = 0; i < mounts->count; i++) {
		const Mount *m = &mounts->items[i];
		if (rest_below(path, m->point) && (!found || strlen(m->point) >= strlen(found->point)))
			found = m;
	}
	return found;
}

int mounts_aliases(const Mounts *mounts, const char *path, Strv *out)
{
	const Mount *own = mount_of(mounts, path);
	CLEAN_FREE char *within = own ? joined(own->root, rest_below(path, own->point)) : NULL;

	if (!within)
		return own ? -ENOMEM : 0;
	for (size_t i = 0; i < mounts->count; i++) {
		const Mount *m = &mounts->items[i];
		const char *rest = m != own && strcmp(m->device, own->device) == 0 ? rest_below(within, m->root) : NULL;
		CLEAN_FREE char *alias = rest ? joined(m->point, rest) : NULL;
		int r = !rest ? 0 : !alias ? -ENOMEM : strcmp(alias, path) == 0 || strv_has((const char *const *)*out, alias) ? 0 : strv_add(out, alias);
		if (r < 0)
			return r;
	}
	return 0;
}

int mounts_of_kernel(const Mounts *mounts, Strv *out)
{
	static const char *const types[] = {"proc", "sysfs", "devpts", "devtmpfs", "mqueue", "cgroup", "cgroup2", "bpf", "debugfs", "tracefs", "securityfs", "configfs",
					    "binfmt_misc", "pstore", "efivarfs", "selinuxfs", "smackfs", "fusectl", "nfsd", "rpc_pipefs", NULL};
	int r = 0;

	for (size_t i = 0; i < mounts->count && r == 0; i++)
		if (strv_has(types, mounts->items[i].type))
			r = strv_add(out, mounts->items[i].point);
	return r;
}
