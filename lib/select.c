/* lib/select.c - see select.h. */
#include "lib/select.h"
#include "lib/host.h"
#include "lib/view.h"

#include <limits.h>

#define LINKS_MAX 40 /* as the kernel */

static ssize_t ask(const LinkSource *of, const char *path, char *buf, size_t size)
{
	ViewRequest request;
	ssize_t n;

	if (of->snapshot)
		return bv_snapshot_readlink(of->snapshot, path, buf, size, NULL);
	if (of->fs) {
		view_request_init(&request, NULL); /* not what somebody may see, but what there is */
		return cowfs_readlink(of->fs, &request.req, NULL, path, COW_NOFOLLOW, buf, size - 1);
	}
	CLEAN_FD int dir = -1;
	const char *name;
	int r = host_parent(path, &dir, &name); /* not through another link: what a view has there instead may hold one with the same text */
	if (r < 0)
		return r;
	n = readlinkat(dir, name, buf, size - 1);
	return n < 0 ? bv_neg_errno() : n;
}

/* Would both sources have it, whoever made it? */
static bool is_of_guests(const Selection *s, const char *path)
{
	const char *const *writable = s->sources[0].writable;

	return writable && writable[0] && path_is_selected(path, writable);
}

/* The text of a symbolic link; negative: it is none that is followed. */
static ssize_t read_link(const Selection *s, const char *path, char buf[PATH_MAX])
{
	char other[PATH_MAX];
	ssize_t n = ask(&s->sources[0], path, buf, PATH_MAX);

	if (s->rule == SELECT_EITHER && n == -ENOENT)
		n = ask(&s->sources[1], path, buf, PATH_MAX);
	else if (s->rule == SELECT_AGREED && n >= 0 && (is_of_guests(s, path) || ask(&s->sources[1], path, other, PATH_MAX) != n || memcmp(buf, other, (size_t)n) != 0))
		n = -ENOENT;
	if (n >= 0)
		buf[n] = '\0';
	return n;
}

/* Where `path` is, without symbolic links in its directories; the caller's. */
static int locate(const Selection *s, const char *path, char **out)
{
	CLEAN_FREE char *way = strdup(path);
	char at[PATH_MAX] = "", text[PATH_MAX];
	size_t len = 0;
	unsigned links = 0;

	for (const char *p = way; p && *p;) {
		const char *name = p + strspn(p, "/");
		size_t n = strcspn(name, "/"), before = len;
		if (len + n + 2 > sizeof(at))
			return -ENAMETOOLONG;
		len = path_append(at, len, name, n);
		at[len] = '\0';
		p = name + n;
		if (!*p || len <= before || links == LINKS_MAX || read_link(s, at, text) <= 0)
			continue;
		char *longer = bv_asprintf("%s%s", text, p);
		free(way);
		p = way = longer;
		links++;
		len = text[0] == '/' ? 0 : before;
	}
	*out = way ? strdup(len ? at : "/") : NULL;
	return *out ? 0 : -ENOMEM;
}

int selection_init(Selection *s, const char *const *given, LinkSource first, LinkSource second, SelectRule rule, BvError **err)
{
	size_t n = strv_len(given);
	int r = 0;

	*s = (Selection){.sources = {first, second}, .rule = rule};
	if (n == 0)
		return 0;
	s->paths = calloc(n + 1, sizeof(*s->paths));
	s->items = calloc(n, sizeof(*s->items));
	if (!s->paths || !s->items)
		r = lib_fail(err, -ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < n; i++) {
		s->items[i].given = given[i];
		if (given[i][0] != '/')
			r = lib_fail(err, -EINVAL, "%s: not an absolute path", given[i]);
		else if ((r = locate(s, given[i], &s->paths[i])) < 0)
			(void)lib_fail(err, r, "%.200s: %s", given[i], strerror(-r));
	}
	if (r < 0)
		selection_release(s);
	return r;
}

void selection_release(Selection *s)
{
	for (size_t i = 0; s->paths && s->items && s->paths[i]; i++) {
		free(s->items[i].above);
		free(s->items[i].above_other);
	}
	strv_free(s->paths);
	free(s->items);
	*s = (Selection){0};
}

/* What is below a directory that was deleted, renamed or replaced is no change of its own. */
static int note_above(Selected *item, BvChangeKind kind, const char *above, const char *other)
{
	char *copy = strdup(above), *copy_other = other ? strdup(other) : NULL;

	if (!copy || (other && !copy_other)) {
		free(copy);
		free(copy_other);
		return -ENOMEM;
	}
	free(item->above);
	free(item->above_other);
	item->above = copy;
	item->above_other = copy_other;
	item->above_kind = kind;
	return 0;
}

int selection_takes(Selection *s, BvChangeKind kind, const char *path, const char *old_path)
{
	bool whole = kind == BV_DELETED || kind == BV_RENAMED || kind == BV_TYPE_CHANGED;
	int taken = !s->paths, r = 0;

	for (size_t i = 0; s->paths && s->paths[i]; i++) {
		Selected *item = &s->items[i];
		if (path_is_below(path, s->paths[i]) || (old_path && path_is_below(old_path, s->paths[i]))) {
			item->met++;
			taken = 1;
		} else if (whole && !item->met && path_is_below(s->paths[i], path)) {
			r = note_above(item, kind, path, old_path);
		} else if (old_path && !item->met && path_is_below(s->paths[i], old_path)) {
			r = note_above(item, kind, old_path, path);
		}
		if (r < 0)
			return r;
	}
	return taken;
}

/* Does it lead elsewhere in the sandbox? */
static int why_of_links(const Selection *s, size_t i, char **out)
{
	const Selection inside = {.sources = {s->sources[0], s->sources[0]}, .rule = SELECT_EITHER};
	CLEAN_FREE char *there = NULL;
	int r = locate(&inside, s->paths[i], &there);

	if (r == 0 && strcmp(there, s->paths[i]) != 0 && !(*out = bv_asprintf("in the sandbox it leads through a symbolic link to %s", there)))
		r = -ENOMEM;
	return r == -ENAMETOOLONG ? 0 : r;
}

int selection_why(const Selection *s, size_t i, char **out)
{
	const Selected *item = &s->items[i];
	char text[PATH_MAX];

	*out = NULL;
	if (item->above && item->above_kind == BV_DELETED)
		*out = bv_asprintf("%s, which it is in, was deleted as a whole", item->above);
	else if (item->above && item->above_other)
		*out = bv_asprintf("%s, which it is in, is a directory that was renamed: its other name is %s", item->above, item->above_other);
	else if (item->above)
		*out = bv_asprintf("%s, which it is in, is of another type now", item->above);
	else if (read_link(s, s->paths[i], text) > 0)
		*out = bv_asprintf("it is a symbolic link; with a slash at its end the path means what that leads to");
	else
		return s->rule == SELECT_AGREED ? why_of_links(s, i, out) : 0;
	return *out ? 0 : -ENOMEM;
}

int selection_tell(const Selection *s, const BvDiffOptions *o, BvError **err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && o->unchanged && s->paths && s->paths[i]; i++) {
		CLEAN_FREE char *why = NULL;
		if (s->items[i].met)
			continue;
		r = selection_why(s, i, &why);
		if (r == 0)
			o->unchanged(o->unchanged_ctx, s->items[i].given, why);
	}
	return r < 0 ? lib_fail(err, r, "out of memory") : 0;
}
