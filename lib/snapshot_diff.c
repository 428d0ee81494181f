/* lib/snapshot_diff.c - bv_snapshot_diff, against the host; and bv_snapshot_compare: two views over the same host, from the root on.
 *
 * Only names that a record of either view has anything to do with are looked at, unless the two have different directories in one place: then all names of both. */
#include "lib/snapshot_delta.h"
#include "lib/view.h"

#include "base/hmap.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/xattr.h>

typedef struct Side {
	const char *name;
	Cowfs *fs;
	BvSandbox *used;       /* whose shared view it is */
	Cowfs *own;	       /* to be closed */
	SnapshotView delta;    /* likewise */
	const SnapshotView *view; /* of a snapshot */
	BvSnapshot *snapshot;
	Hmap objects; /* Known: what its names of interest are */
} Side;

typedef struct Known {
	HmapNode node;
	struct statx st;
	const char *path; /* one of Compare.names; or Told's own */
	char *own;
} Known;

typedef struct Compare {
	Side sides[2]; /* before, after */
	ViewRequest request;
	char **names; /* of interest to either, by path_order */
	size_t n_names, room;
	char *buried; /* a directory with differences that have no path; NULL: there is none */
	Hmap told; /* Known: files with several names, under the first that was told */
	Selection selection;
	int (*visit)(void *ctx, const BvChange *change);
	void *ctx;
	BvError **err;
} Compare;

enum { BEFORE, AFTER };

/* ---- objects ---- */

static bool look(Compare *c, int side, const char *path, struct statx *out)
{
	return path && cowfs_statx(c->sides[side].fs, &c->request.req, NULL, path, COW_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, out) == 0;
}

/* By what stays when it is written to or renamed. */
static bool same_object(const struct statx *a, const struct statx *b)
{
	bool born = (a->stx_mask & b->stx_mask & STATX_BTIME) != 0;

	return a->stx_ino == b->stx_ino && a->stx_dev_major == b->stx_dev_major && a->stx_dev_minor == b->stx_dev_minor && (a->stx_mode & S_IFMT) == (b->stx_mode & S_IFMT) &&
	       (!born || (a->stx_btime.tv_sec == b->stx_btime.tv_sec && a->stx_btime.tv_nsec == b->stx_btime.tv_nsec));
}

static uint64_t object_hash(const struct statx *st)
{
	return hash_u64(st->stx_ino, ((uint64_t)st->stx_dev_major << 32) + st->stx_dev_minor);
}

static const Known *known_find(const Hmap *map, const struct statx *st)
{
	for (HmapNode *n = hmap_first(map, object_hash(st)); n; n = hmap_next(n))
		if (same_object(&CONTAINER_OF(n, Known, node)->st, st))
			return CONTAINER_OF(n, Known, node);
	return NULL;
}

static int known_add(Hmap *map, const struct statx *st, const char *path, bool copy)
{
	Known *k = calloc(1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	k->st = *st;
	k->own = copy ? strdup(path) : NULL;
	k->path = copy ? k->own : path;
	if (!k->path) {
		free(k);
		return -ENOMEM;
	}
	hmap_insert(map, &k->node, object_hash(st));
	return 0;
}

static void known_free(Hmap *map)
{
	HMAP_FOREACH_SAFE (map, n, next) {
		free(CONTAINER_OF(n, Known, node)->own);
		free(CONTAINER_OF(n, Known, node));
	}
	hmap_release(map);
}

/* Under which name `before` has the object that `after` has as `path`, if it has it elsewhere and not here; NULL: it is no renamed one. And the other way round. */
static const char *moved_to(Compare *c, int side, const struct statx *st, const char *path)
{
	struct statx now;
	const Known *k = known_find(&c->sides[side].objects, st);

	if (!k || (path && strcmp(k->path, path) == 0) || view_is_synthetic(k->path))
		return NULL;
	return look(c, !side, k->path, &now) && same_object(&now, st) ? NULL : k->path;
}

/* ---- what differs ---- */

static int read_both(int a, int b)
{
	CLEAN_FREE char *buf = malloc(2 << 16);
	ssize_t n = 1;

	if (!buf)
		return -ENOMEM;
	while (n > 0) {
		n = bv_read_full(a, buf, 1 << 16);
		if (n < 0)
			return (int)n;
		if (bv_read_full(b, buf + (1 << 16), 1 << 16) != n || memcmp(buf, buf + (1 << 16), (size_t)n) != 0)
			return 0;
	}
	return 1;
}

/* Where a side has the bytes of a file. */
typedef struct Body {
	BlobId blob;
	char host[PATH_MAX];
	const uint8_t *ref;
	size_t len;
} Body;

static int find_body(Compare *c, int side, const char *path, Body *out)
{
	const Side *s = &c->sides[side];
	int r = cowfs_body(s->fs, &c->request.req, path, &out->blob, out->host);

	out->ref = NULL;
	if (r == 0 && out->blob && s->view)
		(void)snapshot_view_ref(s->view, out->blob, &out->ref, &out->len);
	return r;
}

static int open_body(Compare *c, int side, const char *path)
{
	int fd = -1, r = cowfs_open_virtual(c->sides[side].fs, path, O_RDONLY | O_NOFOLLOW | O_NOCTTY, &fd);

	return r < 0 ? r : fd;
}

/* 1, 0, or why they cannot be compared. */
static int same_content(Compare *c, const char *before, const char *after)
{
	const char *paths[2] = {before, after};
	Body bodies[2];
	int fds[2] = {-1, -1}, r = 0;

	for (int i = 0; i < 2 && r == 0; i++)
		r = find_body(c, i, paths[i], &bodies[i]);
	if (r < 0)
		return r;
	if (bodies[0].ref && bodies[1].ref)
		return bodies[0].len == bodies[1].len && memcmp(bodies[0].ref, bodies[1].ref, bodies[0].len) == 0;
	if (!bodies[0].blob && !bodies[1].blob && bodies[0].host[0] && strcmp(bodies[0].host, bodies[1].host) == 0)
		return 1;
	for (int i = 0; i < 2 && r >= 0; i++)
		if (!bodies[i].ref)
			r = fds[i] = open_body(c, i, paths[i]);
	if (r >= 0 && (bodies[0].ref || bodies[1].ref)) {
		int of = bodies[0].ref ? 0 : 1;
		r = snap_reader_same(c->sides[of].snapshot->reader, bodies[of].ref, bodies[of].len, fds[!of], NULL);
	} else if (r >= 0) {
		r = read_both(fds[0], fds[1]);
	}
	bv_close_fd(&fds[0]);
	bv_close_fd(&fds[1]);
	return r;
}

static ssize_t list_xattrs(Compare *c, int side, const char *path, char **out)
{
	ssize_t n = cowfs_listxattr(c->sides[side].fs, &c->request.req, NULL, path, COW_NOFOLLOW, NULL, 0);

	*out = n >= 0 ? malloc((size_t)n + 1) : NULL;
	return *out && n > 0 ? cowfs_listxattr(c->sides[side].fs, &c->request.req, NULL, path, COW_NOFOLLOW, *out, (size_t)n) : 0;
}

static bool has_same_xattr(Compare *c, const char *paths[2], const char *name, char *buf)
{
	ssize_t n[2];

	for (int i = 0; i < 2; i++)
		n[i] = cowfs_getxattr(c->sides[i].fs, &c->request.req, NULL, paths[i], COW_NOFOLLOW, name, buf + i * XATTR_SIZE_MAX, XATTR_SIZE_MAX);
	return n[0] == n[1] && (n[0] <= 0 || memcmp(buf, buf + XATTR_SIZE_MAX, (size_t)n[0]) == 0);
}

static bool xattrs_differ(Compare *c, const char *before, const char *after)
{
	CLEAN_FREE char *one = NULL, *other = NULL, *buf = NULL;
	const char *paths[2] = {before, after};
	ssize_t n = list_xattrs(c, BEFORE, before, &one), m = list_xattrs(c, AFTER, after, &other);

	if (n <= 0 && m <= 0)
		return false;
	if (n != m)
		return true;
	buf = malloc(2 * (size_t)XATTR_SIZE_MAX);
	for (ssize_t at = 0; buf && at < n; at += (ssize_t)strlen(one + at) + 1)
		if (!has_same_xattr(c, paths, one + at, buf))
			return true;
	return !buf; /* a change too many is no loss */
}

static bool targets_differ(Compare *c, const char *before, const char *after)
{
	char text[2][PATH_MAX];
	ssize_t n = cowfs_readlink(c->sides[BEFORE].fs, &c->request.req, NULL, before, COW_NOFOLLOW, text[0], PATH_MAX);
	ssize_t m = cowfs_readlink(c->sides[AFTER].fs, &c->request.req, NULL, after, COW_NOFOLLOW, text[1], PATH_MAX);

	return n != m || n < 0 || memcmp(text[0], text[1], (size_t)n) != 0;
}

static unsigned diff_of(Compare *c, const char *before, const char *after, const struct statx *a, const struct statx *b)
{
	unsigned diff = 0;

	if ((a->stx_mode & 07777) != (b->stx_mode & 07777))
		diff |= BV_DIFF_MODE;
	if (a->stx_uid != b->stx_uid || a->stx_gid != b->stx_gid)
		diff |= BV_DIFF_OWNER;
	if (!S_ISDIR(b->stx_mode) && (a->stx_mtime.tv_sec != b->stx_mtime.tv_sec || a->stx_mtime.tv_nsec != b->stx_mtime.tv_nsec))
		diff |= BV_DIFF_TIMES;
	if (xattrs_differ(c, before, after))
		diff |= BV_DIFF_XATTR;
	if (S_ISLNK(b->stx_mode) && targets_differ(c, before, after))
		diff |= BV_DIFF_TARGET;
	/* What cannot be compared may differ: a change too many is no loss. */
	if (S_ISREG(b->stx_mode) && (a->stx_size != b->stx_size || same_content(c, before, after) != 1))
		diff |= BV_DIFF_CONTENT;
	return diff;
}

/* ---- telling ---- */

static int tell(Compare *c, BvChange *change, const struct statx *a, const struct statx *b)
{
	const Known *first = b && b->stx_nlink > 1 && !S_ISDIR(b->stx_mode) ? known_find(&c->told, b) : NULL;
	int r = 0;

	if (view_is_synthetic(change->path))
		return 0;
	int taken = selection_takes(&c->selection, change->kind, change->path, change->old_path);
	if (taken <= 0)
		return taken < 0 ? lib_fail(c->err, taken, "out of memory") : 0;
	change->old_mode = a ? a->stx_mode : 0;
	if (b) {
		change->mode = b->stx_mode;
		change->uid = b->stx_uid;
		change->gid = b->stx_gid;
		change->bytes = b->stx_size;
		change->mtime_sec = b->stx_mtime.tv_sec;
		change->mtime_nsec = b->stx_mtime.tv_nsec;
		change->link_to = first ? first->path : NULL;
		if (!first && b->stx_nlink > 1 && !S_ISDIR(b->stx_mode))
			r = known_add(&c->told, b, change->path, true);
	}
	return r < 0 ? lib_fail(c->err, r, "out of memory") : c->visit(c->ctx, change);
}

/* ---- directories ---- */

typedef struct Children {
	char **names;
	size_t count, room;
} Children;

static void children_release(Children *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->names[i]);
	free(l->names);
}

static int add_child(Children *l, const char *name, size_t len)
{
	if (!BV_GROW(l->names, l->count, l->room))
		return -ENOMEM;
	l->names[l->count] = strndup(name, len);
	return l->names[l->count] ? (l->count++, 0) : -ENOMEM;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int by_path(const void *a, const void *b)
{
	return path_order(*(char *const *)a, *(char *const *)b);
}

/* Names right below `dir` that a record of either side has to do with. */
static int add_interesting(Compare *c, const char *dir, Children *out)
{
	size_t low = 0, high = c->n_names, len = strcmp(dir, "/") == 0 ? 0 : strlen(dir);
	int r = 0;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (path_order(c->names[middle], dir) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t last = 0; r == 0 && low < c->n_names && path_is_below(c->names[low], dir); low++) {
		const char *name = c->names[low] + len + 1;
		size_t n = strcspn(name, "/");
		if (last && out->count && strlen(out->names[out->count - 1]) == n && memcmp(out->names[out->count - 1], name, n) == 0)
			continue;
		r = add_child(out, name, n);
		last = 1;
	}
	return r;
}

static int add_all(Compare *c, int side, const char *dir, Children *out)
{
	_Alignas(8) char buf[8192];
	CLEAN_LOC CowLoc loc = {0};
	uint64_t pos = 0;
	ssize_t n = 1;
	int r = cowfs_resolve(c->sides[side].fs, &c->request.req, NULL, dir, COW_DIRECTORY | COW_NOFOLLOW, 0, &loc);

	while (r == 0 && n > 0) {
		n = cowfs_getdents(c->sides[side].fs, &c->request.req, &loc, &pos, buf, sizeof(buf));
		if (n < 0)
			return n == -EACCES ? 0 : (int)n; /* as for the host: its entries cannot be told */
		for (ssize_t at = 0; r == 0 && at < n;) {
			const struct dirent64 *d = (const void *)(buf + at);
			if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
				r = add_child(out, d->d_name, strlen(d->d_name));
			at += d->d_reclen;
		}
	}
	return r;
}

static int compare_name(Compare *c, const char *before, const char *after);

/* before NULL: all of it is new. alike: the same directory on both sides, so that names without a record are the same. */
static int compare_dir(Compare *c, const char *before, const char *after, bool alike)
{
	Children all = {0};
	int r = before ? add_interesting(c, before, &all) : 0;

	if (r == 0 && (!before || strcmp(before, after) != 0))
		r = add_interesting(c, after, &all);
	if (r == 0 && before && !alike)
		r = add_all(c, BEFORE, before, &all);
	if (r == 0 && !alike)
		r = add_all(c, AFTER, after, &all);
	if (r < 0)
		r = lib_fail(c->err, r, "cannot compare the directory %s: %s", after, strerror(-r));
	if (all.count)
		qsort(all.names, all.count, sizeof(*all.names), by_text);
	for (size_t i = 0; r == 0 && i < all.count; i++) {
		CLEAN_FREE char *a = before ? bv_asprintf("%s/%s", strcmp(before, "/") == 0 ? "" : before, all.names[i]) : NULL;
		CLEAN_FREE char *b = bv_asprintf("%s/%s", strcmp(after, "/") == 0 ? "" : after, all.names[i]);
		if (i && strcmp(all.names[i], all.names[i - 1]) == 0)
			continue;
		r = b && (a || !before) ? compare_name(c, a, b) : lib_fail(c->err, -ENOMEM, "out of memory");
	}
	children_release(&all);
	return r;
}

static int tell_renamed(Compare *c, const char *from, const char *to, const struct statx *b)
{
	struct statx a;
	BvChange change = {.kind = BV_RENAMED, .path = to, .old_path = from, .host_path = from};

	if (!look(c, BEFORE, from, &a))
		a = *b;
	change.diff = diff_of(c, from, to, &a, b);
	int r = tell(c, &change, &a, b);
	return r == 0 && S_ISDIR(b->stx_mode) ? compare_dir(c, from, to, true) : r;
}

static int tell_both(Compare *c, const char *before, const char *after, const struct statx *a, const struct statx *b)
{
	bool other_type = (a->stx_mode & S_IFMT) != (b->stx_mode & S_IFMT), is_dir = S_ISDIR(b->stx_mode);
	BvChange change = {.kind = other_type ? BV_TYPE_CHANGED : BV_MODIFIED, .path = after, .host_path = before};
	int r = 0;

	change.diff = other_type ? 0 : diff_of(c, before, after, a, b);
	if (other_type || change.diff)
		r = tell(c, &change, a, b);
	return r == 0 && is_dir ? compare_dir(c, other_type ? NULL : before, after, !other_type && same_object(a, b)) : r;
}

/* A name in a directory: `before` is its path there, which is another one below what was renamed. */
static int compare_name(Compare *c, const char *before, const char *after)
{
	struct statx a, b;
	bool was = look(c, BEFORE, before, &a), is = look(c, AFTER, after, &b);
	int r = 0;

	if (was && is && same_object(&a, &b))
		return tell_both(c, before, after, &a, &b);
	const char *from = is ? moved_to(c, BEFORE, &b, before) : NULL;
	if (from)
		return tell_renamed(c, from, after, &b);
	if (was && is)
		return tell_both(c, before, after, &a, &b);
	if (is) {
		r = tell(c, &(BvChange){.kind = BV_ADDED, .path = after, .host_path = before ? before : after}, NULL, &b);
		return r == 0 && S_ISDIR(b.stx_mode) ? compare_dir(c, NULL, after, false) : r;
	}
	if (was && !moved_to(c, AFTER, &a, after)) /* that is told where it is now */
		r = tell(c, &(BvChange){.kind = BV_DELETED, .path = after, .host_path = before}, &a, NULL);
	return r;
}

/* ---- the two sides ---- */

static int note_name(void *ctx, const CowLayerItem *item)
{
	Compare *c = ctx;

	if (view_is_synthetic(item->path))
		return 0;
	if (item->buries) {
		if (!c->buried)
			c->buried = strdup(item->path);
		return c->buried ? 0 : -ENOMEM;
	}
	if (!BV_GROW(c->names, c->n_names, c->room))
		return -ENOMEM;
	c->names[c->n_names] = strdup(item->path);
	return c->names[c->n_names] ? (c->n_names++, 0) : -ENOMEM;
}

static int note_objects(Compare *c)
{
	int r = hmap_init(&c->told);

	for (int side = 0; side < 2 && r == 0; side++)
		r = hmap_init(&c->sides[side].objects);
	for (size_t i = 0; r == 0 && i < c->n_names; i++) {
		struct statx st;
		for (int side = 0; side < 2 && r == 0; side++)
			if ((i == 0 || strcmp(c->names[i], c->names[i - 1]) != 0) && look(c, side, c->names[i], &st))
				r = known_add(&c->sides[side].objects, &st, c->names[i], false);
	}
	return r;
}

static int compare(Compare *c)
{
	struct statx a, b;
	int r = 0;

	for (int side = 0; side < 2 && r == 0; side++)
		r = cowfs_layer(c->sides[side].fs, note_name, c);
	if (c->n_names)
		qsort(c->names, c->n_names, sizeof(*c->names), by_path);
	if (r == 0)
		r = note_objects(c);
	if (r < 0)
		return lib_fail(c->err, r, "cannot compare %s and %s: %s", c->sides[BEFORE].name, c->sides[AFTER].name, strerror(-r));
	return look(c, BEFORE, "/", &a) && look(c, AFTER, "/", &b) ? tell_both(c, "/", "/", &a, &b) : lib_fail(c->err, -EIO, "cannot look at the root directory");
}

static int open_sandbox(Side *s, BvSandbox *sb, BvError **err)
{
	int r = view_get(sb, &s->fs, err);

	s->name = bv_sandbox_name(sb);
	if (r < 0)
		return r;
	s->used = sb;
	if (!s->fs) {
		r = view_open_untouched(sb, &s->own, err);
		s->fs = s->own;
	}
	return r;
}

static int open_snapshot(Side *s, BvSnapshot *snapshot, Delta *delta, int side, BvError **err)
{
	int r = 0;

	s->name = snapshot->title;
	s->snapshot = snapshot;
	if (delta) {
		RowSource rows = delta_rows(delta, side);
		r = snapshot_view_open(snapshot, &rows, &s->delta, err);
		s->view = &s->delta;
	} else {
		r = snapshot_view_get(snapshot, &s->view, err);
	}
	if (r == 0)
		s->fs = s->view->fs;
	return r;
}

static void compare_release(Compare *c)
{
	for (int side = 0; side < 2; side++) {
		Side *s = &c->sides[side];
		known_free(&s->objects);
		snapshot_view_close(&s->delta);
		view_close(s->own);
		if (s->used)
			view_put(s->used);
	}
	known_free(&c->told);
	selection_release(&c->selection);
	for (size_t i = 0; i < c->n_names; i++)
		free(c->names[i]);
	free(c->names);
	free(c->buried);
}

/* Where links are: in the later one, and what that has not in the earlier one. Of snapshots the views need not have all of it. */
static int select_paths(Compare *c, const BvSide *sides[2], const BvDiffOptions *o)
{
	LinkSource sources[2];

	for (int i = 0; i < 2; i++)
		sources[i] = sides[i]->snapshot ? (LinkSource){.snapshot = sides[i]->snapshot} : (LinkSource){.fs = c->sides[i].fs};
	return selection_init(&c->selection, o->paths, sources[AFTER], sources[BEFORE], SELECT_EITHER, c->err);
}

int bv_snapshot_compare(const BvSide *before, const BvSide *after, const BvDiffOptions *options, int (*visit)(void *, const BvChange *), void *ctx, BvError **err)
{
	BvDiffOptions o = BV_DIFF_OPTIONS_INIT;
	const BvSide *sides[2] = {before, after};
	Compare c = {.visit = visit, .ctx = ctx, .err = err};
	Delta *delta = NULL;
	int r = 0;

	if (lib_take_options(&o, sizeof(o), options) < 0)
		return lib_fail(err, -EINVAL, "the options have a size that this library does not know");
	for (int i = 0; i < 2; i++)
		if (!sides[i]->sandbox == !sides[i]->snapshot)
			return lib_fail(err, -EINVAL, "a side of a comparison is either a sandbox or a snapshot");
	view_request_init(&c.request, NULL); /* not what somebody may see, but what there is */
	if (before->snapshot && after->snapshot) {
		r = delta_read(before->snapshot, after->snapshot, &delta, err);
		if (r < 0)
			return r;
	}
	bool same = delta && delta_is_empty(delta);
	for (int i = 0; i < 2 && r == 0 && !same; i++)
		r = sides[i]->sandbox ? open_sandbox(&c.sides[i], sides[i]->sandbox, err) : open_snapshot(&c.sides[i], sides[i]->snapshot, delta, i, err);
	if (r == 0)
		r = select_paths(&c, sides, &o);
	if (r == 0 && !same)
		r = compare(&c);
	if (r == 0)
		r = selection_tell(&c.selection, &o, err);
	if (r == 0 && c.buried)
		r = lib_fail_buried(c.buried, err);
	compare_release(&c);
	delta_free(delta);
	return r;
}

int bv_snapshot_diff(BvSnapshot *s, const BvDiffOptions *options, int (*visit)(void *, const BvChange *), void *ctx, BvError **err)
{
	CLEAN_FREE char *what = bv_asprintf("snapshot %s", s->title);
	const SnapshotView *view;
	int r = what ? snapshot_view_get(s, &view, err) : lib_fail(err, -ENOMEM, "out of memory");

	return r < 0 ? r : view_diff(view->fs, what, options, visit, ctx, err);
}
