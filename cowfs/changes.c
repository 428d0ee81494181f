/* cowfs/changes.c - the differences between the view and the host as it is now.
 *
 * Collected under fs->lock (records and one statx per change), sorted by construction: entries of a directory by name, each before what is
 * in it. Bytes are compared afterwards without the lock, and visit() runs without it, so that it may call cowfs. */
#include "internal.h"

#include <sys/xattr.h>

typedef struct Item {
	CowChange c;
	char *path, *old_path, *host_path, *over_path, *link_to, *compare; /* compare: host file whose bytes may equal the blob's */
	BlobId blob;
} Item;

/* A file with several names, under the one that came first. */
typedef struct Reported {
	HmapNode by_id;
	uint64_t id;
	char *path, *host; /* host: where the host has, or would have, that name; NULL if nowhere */
} Reported;

typedef struct Changes {
	Cowfs *fs;
	Item *items;
	size_t count, room;
	Hmap reported;
} Changes;

static int item_add(Changes *all, CowChangeKind kind, const char *path, const char *host, Item **out)
{
	if (!BV_GROW(all->items, all->count, all->room))
		return -ENOMEM;
	Item *item = &all->items[all->count];
	bool renamed = kind == COW_RENAMED;
	*item = (Item){.c = {.kind = kind}, .path = strdup(path), .old_path = renamed ? strdup(host) : NULL, .host_path = host ? strdup(host) : NULL};
	all->count++;
	if (!item->path || (renamed && !item->old_path) || (host && !item->host_path))
		return -ENOMEM;
	*out = item;
	return 0;
}

static void reported_free(Reported *r)
{
	free(r->path);
	free(r->host);
	free(r);
}

static void changes_free(Changes *all)
{
	for (size_t i = 0; i < all->count; i++) {
		free(all->items[i].path);
		free(all->items[i].old_path);
		free(all->items[i].host_path);
		free(all->items[i].over_path);
		free(all->items[i].link_to);
		free(all->items[i].compare);
	}
	HMAP_FOREACH_SAFE (&all->reported, n, tmp)
		reported_free(CONTAINER_OF(n, Reported, by_id));
	hmap_release(&all->reported);
	free(all->items);
}

/* Bases are only what was recorded: the host's object of today is no evidence of what the sandbox rested on. */
static CowIdentity node_base(const CowNode *node)
{
	return node->base ? *node->base : (CowIdentity){0};
}

/* ---- one object against the host's ---- */

static bool xattrs_differ(const CowNode *node, const char *host)
{
	CLEAN_FREE char *value = node->xattrs ? malloc(XATTR_SIZE_MAX) : NULL;

	for (const CowXattr *x = node->xattrs; x; x = x->next) {
		ssize_t n = value ? lgetxattr(host, x->name, value, XATTR_SIZE_MAX) : 0;
		if (!value || (x->deleted ? n >= 0 : n != (ssize_t)x->size || memcmp(value, xattr_value(x), x->size) != 0))
			return true; /* also when out of memory: a change too many is no loss */
	}
	return false;
}

static unsigned diff_of(Changes *all, const CowNode *node, const struct statx *now, const char *host, const struct statx *was, bool *compare)
{
	char text[PATH_MAX];
	unsigned diff = 0;

	if ((now->stx_mode & 07777) != (was->stx_mode & 07777))
		diff |= COW_DIFF_MODE;
	if (now->stx_uid != was->stx_uid || now->stx_gid != was->stx_gid)
		diff |= COW_DIFF_OWNER;
	if (!S_ISDIR(now->stx_mode) && (now->stx_mtime.tv_sec != was->stx_mtime.tv_sec || now->stx_mtime.tv_nsec != was->stx_mtime.tv_nsec))
		diff |= COW_DIFF_TIMES;
	if (xattrs_differ(node, host))
		diff |= COW_DIFF_XATTR;
	if (S_ISLNK(now->stx_mode) && (lower_readlink(all->fs, NULL, host, text, sizeof text) < 0 || strcmp(text, node->target) != 0))
		diff |= COW_DIFF_TARGET;
	if (S_ISREG(now->stx_mode) && node->blob) {
		diff |= COW_DIFF_CONTENT;
		*compare = now->stx_size == was->stx_size;
	}
	return diff;
}

static int report_modified(Changes *all, const CowNode *node, const CowDentry *d, CowChangeKind kind, const char *path, const char *host,
			   const struct statx *now, const struct statx *was)
{
	bool compare = false, renamed = kind == COW_RENAMED;
	unsigned diff = diff_of(all, node, now, host, was, &compare);
	Item *item;

	if (!diff && kind == COW_MODIFIED)
		return 0;
	int rc = item_add(all, kind, path, host, &item);
	if (rc < 0)
		return rc;
	item->c.diff = diff;
	item->c.now = *now;
	item->c.base = renamed || !d ? node_base(node) : dentry_base(d);
	if (renamed && d && d->base)
		item->c.over = *d->base;
	item->blob = node->blob;
	if (compare)
		item->compare = strdup(host);
	return compare && !item->compare ? -ENOMEM : 0;
}

/* The host's half cannot be looked at (a directory above it denies that, its file system does not answer): all that the record changes is told. That hides
 * nothing of the others, and apply will say why this one cannot be made. */
static int report_unseen(Changes *all, const CowNode *node, const CowDentry *d, const char *path, const char *host, bool renamed)
{
	unsigned diff = (node->have & OV_MODE ? COW_DIFF_MODE : 0U) | (node->have & OV_OWNER ? COW_DIFF_OWNER : 0U) |
			((node->have & OV_MTIME) && !S_ISDIR(node->mode) ? COW_DIFF_TIMES : 0U) | (node->xattrs ? COW_DIFF_XATTR : 0U);
	Item *item;

	if (!diff && !renamed)
		return 0;
	int rc = item_add(all, renamed ? COW_RENAMED : COW_MODIFIED, path, node->origin, &item);
	if (rc < 0)
		return rc;
	item->c.diff = diff;
	statx_of_record(node, &item->c.now);
	node_override(node, &item->c.now);
	item->c.base = renamed ? node_base(node) : dentry_base(d);
	if (renamed && d->base)
		item->c.over = *d->base;
	return renamed && host && !(item->over_path = strdup(host)) ? -ENOMEM : 0;
}

/* host: NULL if it has no such object. */
static int report(Changes *all, CowChangeKind kind, const char *path, const char *host, const struct statx *now, const CowDentry *d)
{
	Item *item;
	int rc = item_add(all, kind, path, host, &item);

	if (rc < 0)
		return rc;
	if (now)
		item->c.now = *now;
	if (d)
		item->c.base = dentry_base(d);
	return 0;
}

static const Reported *reported_find(const Changes *all, const CowNode *node)
{
	for (HmapNode *n = hmap_first(&all->reported, hash_u64(node->id, 0)); n; n = hmap_next(n))
		if (CONTAINER_OF(n, Reported, by_id)->id == node->id)
			return CONTAINER_OF(n, Reported, by_id);
	return NULL;
}

/* Further names of this file are to lead to `path`. */
static int note_reported(Changes *all, const CowNode *node, const char *path, const char *host)
{
	Reported *r = calloc(1, sizeof *r);

	if (!r)
		return -ENOMEM;
	*r = (Reported){.id = node->id, .path = strdup(path), .host = host ? strdup(host) : NULL};
	if (!r->path || (host && !r->host)) {
		reported_free(r);
		return -ENOMEM;
	}
	hmap_insert(&all->reported, &r->by_id, hash_u64(node->id, 0));
	return 0;
}

/* ---- what a snapshot carried ---- */

static void drop_last(Changes *all)
{
	Item *item = &all->items[--all->count];

	free(item->path);
	free(item->host_path);
}

/* A directory that is here only because a snapshot carried it is a change if it was changed itself, or something is below it. */
static void drop_carried_dir(Changes *all, const CowNode *dir, size_t before)
{
	bool only = all->count == before + 1 && (all->items[before].c.kind == COW_ADDED || all->items[before].c.kind == COW_TYPE_CHANGED);

	if (only && !(dir->have & (OV_MODE | OV_OWNER)) && !dir->xattrs)
		drop_last(all);
}

/* ---- directories ---- */

/* gone: the host's directory `host` is shown elsewhere, because it or one above it was renamed. */
static int collect_dir(Changes *all, const CowNode *dir, const char *path, const char *host, bool gone);

/* The name under which the view shows it where the host has it, or NULL. */
static const CowDentry *name_at_origin(const CowNode *node)
{
	for (const CowDentry *d = node->names; d; d = d->alias) {
		char path[PATH_MAX];
		if (d->dir->origin && path_join(path, d->dir->origin, strlen(d->dir->origin), d->name, d->len) > 0 && strcmp(path, node->origin) == 0)
			return d;
	}
	return NULL;
}

/* Its place on the host as collect_dir counts it: an own directory is compared with what the host has in its place. */
static ssize_t place_of(const CowDentry *d, char buf[PATH_MAX])
{
	const CowNode *dir = d->dir;
	ssize_t n;

	if (dir->origin)
		return path_join(buf, dir->origin, strlen(dir->origin), d->name, d->len);
	n = dir->names ? place_of(dir->names, buf) : -ENOENT;
	return n < 0 ? n : path_join(buf, buf, (size_t)n, d->name, d->len);
}

/* Of a file with several names, the one that the others are reported as links to: NULL if `d` is that name. */
static const CowDentry *main_name(const CowNode *node, const CowDentry *d)
{
	const CowDentry *first = node->origin ? name_at_origin(node) : NULL;
	char place[PATH_MAX];

	for (const CowDentry *n = node->origin && !first ? node->names : NULL; n && !first; n = n->alias)
		if (place_of(n, place) > 0 && strcmp(place, node->origin) == 0)
			first = n;
	return first == d ? NULL : first;
}

/* Is the host's object at this path shown under another name? */
static bool is_renamed_away(Changes *all, const char *host)
{
	const CowNode *moved = node_by_origin(all->fs, host, strlen(host));

	return moved && moved->names && !name_at_origin(moved);
}

static int report_anew(Changes *all, size_t before, const char *path, const char *host, const struct statx *now, const CowDentry *d)
{
	int rc = all->count == before ? report(all, COW_MODIFIED, path, host, now, d) : 0;

	if (rc == 0)
		all->items[before].c.anew = true;
	return rc;
}

/* Another name of the file at link_to, which the host has, or would have, at link_host. It is no change if the host has the same object there. */
static int report_link(Changes *all, const CowDentry *d, const char *path, const char *host, const struct statx *now, const struct statx *was,
		       const char *link_to, const char *link_host)
{
	const CowNode *node = d->node;
	struct statx old;
	size_t before = all->count;
	int rc;

	if (!was) {
		rc = report(all, COW_ADDED, path, host, now, d);
	} else if ((was->stx_mode & S_IFMT) != (node->mode & S_IFMT)) {
		rc = report(all, COW_TYPE_CHANGED, path, host, now, d);
	} else if (link_host && lower_statx(all->fs, NULL, link_host, &old) == 0 && old.stx_ino == was->stx_ino && statx_dev(&old) == statx_dev(was)) {
		rc = report_modified(all, node, d, COW_MODIFIED, path, host, now, was);
	} else {
		rc = report(all, COW_MODIFIED, path, host, now, d);
		if (rc == 0)
			all->items[before].c.diff = COW_DIFF_CONTENT;
	}
	if (rc == 0 && all->count > before && !(all->items[before].link_to = strdup(link_to)))
		rc = -ENOMEM;
	return rc;
}

/* 1: a further name of a file, and so reported; 0: not so. */
static int collect_link(Changes *all, const CowDentry *d, const char *path, const char *host, const struct statx *now, const struct statx *was)
{
	const CowNode *node = d->node;
	const Reported *r = reported_find(all, node);
	const CowDentry *first = r ? NULL : main_name(node, d);
	char buf[PATH_MAX];
	int rc;

	if (r)
		rc = report_link(all, d, path, host, now, was, r->path, r->host);
	else if (first && dentry_virtual_path(first, buf) > 0)
		rc = report_link(all, d, path, host, now, was, buf, node->origin);
	else
		return 0;
	return rc < 0 ? rc : 1;
}

static int collect_node(Changes *all, const CowDentry *d, const char *path, const char *host, const struct statx *was, bool gone)
{
	CowNode *node = d->node;
	struct statx now, old;
	size_t before = all->count;
	bool is_dir = S_ISDIR(node->mode), anew = false, at_origin = node->origin && host && strcmp(node->origin, host) == 0;
	const char *below = NULL;
	bool carried = dentry_is_carried(d, path);
	if (carried && !is_dir)
		return 0;
	int rc = node_statx(all->fs, node, &now);
	unsigned lost = rc == -EIO && node->blob && all->fs->stats.lost ? COW_DIFF_LOST : 0;

	if (lost) {
		statx_of_record(node, &now);
		node_override(node, &now);
		rc = 0;
	}
	if (rc < 0 && (node->blob || rc == -ENOMEM))
		return rc;
	if (rc < 0 && !is_dir && (host_is_gone(rc) || rc == -ESTALE))
		return 0; /* the host took its half away */
	if (rc < 0) {
		rc = report_unseen(all, node, d, path, host, gone || !at_origin);
		return rc == 0 && is_dir ? collect_dir(all, node, path, node->origin, false) : rc;
	}
	rc = is_dir ? 0 : collect_link(all, d, path, host, &now, was);
	if (rc > 0 && all->count > before)
		all->items[before].c.diff |= lost;
	if (rc != 0)
		return MIN(rc, 0);
	if (node->origin && (gone || !at_origin) && lower_statx(all->fs, NULL, node->origin, &old) == 0) {
		rc = report_modified(all, node, d, COW_RENAMED, path, node->origin, &now, &old);
		if (rc == 0 && host && !(all->items[before].over_path = strdup(host)))
			rc = -ENOMEM;
		if (rc == 0)
			all->items[before].c.anew = at_origin;
		below = node->origin;
	} else if (!was) {
		rc = report(all, COW_ADDED, path, host, &now, d);
	} else if ((was->stx_mode & S_IFMT) != (node->mode & S_IFMT)) {
		rc = report(all, COW_TYPE_CHANGED, path, host, &now, d);
	} else {
		rc = report_modified(all, node, d, COW_MODIFIED, path, host, &now, was);
		below = host;
		anew = is_dir && !node->origin && (gone || is_renamed_away(all, host));
		if (rc == 0 && anew)
			rc = report_anew(all, before, path, host, &now, d);
	}
	if (rc == 0 && all->count > before)
		all->items[before].c.diff |= lost;
	if (rc == 0 && node->nlink > 1 && !is_dir)
		rc = note_reported(all, node, path, below ? below : host);
	if (rc == 0 && is_dir)
		rc = collect_dir(all, node, path, below, anew);
	if (rc == 0 && is_dir && carried)
		drop_carried_dir(all, node, before);
	return rc;
}

typedef struct Name {
	const CowDentry *d; /* NULL: the host's only, in a directory that hides it */
	const char *name;
	char *own;
} Name;

typedef struct Names {
	Name *list;
	size_t count, room;
} Names;

static int add_name(Names *names, const CowDentry *d, const char *name)
{
	if (!BV_GROW(names->list, names->count, names->room))
		return -ENOMEM;
	char *own = d ? NULL : strdup(name);
	if (!d && !own)
		return -ENOMEM;
	names->list[names->count++] = (Name){d, d ? d->name : own, own};
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const Name *)a)->name, ((const Name *)b)->name);
}

/* A directory without origin in the place of a host directory hides all of it: what it does not have is deleted, if guests have removed that directory. */
static int add_hidden_names(Changes *all, const CowNode *dir, const char *host, Names *names)
{
	int fd = lower_open(all->fs, host, O_RDONLY | O_DIRECTORY, 0), rc = 0;
	DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;

	if (!stream) {
		if (fd >= 0)
			close(fd);
		return 0; /* not readable: its entries cannot be told */
	}
	for (struct dirent *e; rc == 0 && (e = readdir(stream));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && !dentry_find(all->fs, dir, e->d_name, strlen(e->d_name)))
			rc = add_name(names, NULL, e->d_name);
	closedir(stream);
	return rc;
}

/* Once for a directory, whose names come one after the other. */
static int report_buried(Changes *all, const char *path)
{
	const Item *last = all->count ? &all->items[all->count - 1] : NULL;
	Item *item;

	return last && last->c.kind == COW_BURIED && strcmp(last->path, path) == 0 ? 0 : item_add(all, COW_BURIED, path, NULL, &item);
}

static int collect_name(Changes *all, const Name *n, const char *path, const char *host_dir, bool gone)
{
	CLEAN_FREE char *paths = malloc(2 * (size_t)PATH_MAX); /* not on the stack: a level for each of up to PATH_MAX / 2 directories */
	char *virtual_path = paths, *host = paths + PATH_MAX;
	struct statx was;
	size_t len = strlen(n->name);

	if (!paths)
		return -ENOMEM;
	if (path_join(virtual_path, path, strlen(path), n->name, len) < 0)
		return report_buried(all, path);
	bool has_host = host_dir && !(n->d && (n->d->flags & D_HIDE)) && path_join(host, host_dir, strlen(host_dir), n->name, len) > 0;
	int seen = has_host ? lower_statx(all->fs, NULL, host, &was) : -ENOENT;
	if (n->d && n->d->node)
		return collect_node(all, n->d, virtual_path, has_host ? host : NULL, seen == 0 ? &was : NULL, gone);
	if (host_is_gone(seen) || is_renamed_away(all, host)) /* that is reported as renamed */
		return 0;
	return report(all, COW_DELETED, virtual_path, host, NULL, n->d);
}

/* Is it, or one that it is in, in the place of a directory that guests have removed? If the host has got its own later, they have deleted nothing of that. */
static bool takes_hosts_place(const CowNode *dir)
{
	for (; !dir->origin && dir->names; dir = dir->names->dir)
		if (dir->names->flags & D_OVER)
			return true;
	return false;
}

static int collect_dir(Changes *all, const CowNode *dir, const char *path, const char *host, bool gone)
{
	Names names = {0};
	int rc = 0;

	for (const CowDentry *d = dir->dir->kids; d && rc == 0; d = d->next)
		if (!(d->flags & D_PIN) && !(d->node && (d->node->flags & (N_PIN | N_PRIVATE))))
			rc = add_name(&names, d, d->name);
	if (rc == 0 && host && takes_hosts_place(dir))
		rc = add_hidden_names(all, dir, host, &names);
	if (names.count)
		qsort(names.list, names.count, sizeof *names.list, by_name);
	for (size_t i = 0; i < names.count && rc == 0; i++)
		rc = collect_name(all, &names.list[i], path, host, gone);
	for (size_t i = 0; i < names.count; i++)
		free(names.list[i].own);
	free(names.list);
	return rc;
}

/* ---- telling ---- */

static bool same_bytes(Cowfs *fs, BlobId blob, const char *host)
{
	CLEAN_FD int a = -1, b = lower_open(fs, host, O_RDONLY | O_NONBLOCK, 0);
	CLEAN_FREE char *buf = malloc(2 << 16);
	ssize_t n = 1;
	int known = b < 0 ? -ENOTSUP : blob_same(fs->blobs, blob, b);

	if (known >= 0)
		return known;
	if (b < 0 || !buf || blob_open(fs->blobs, blob, O_RDONLY, &a) < 0)
		return false;
	while (n > 0) {
		n = bv_read_full(a, buf, 1 << 16);
		if (n < 0 || bv_read_full(b, buf + (1 << 16), 1 << 16) != n || memcmp(buf, buf + (1 << 16), (size_t)n) != 0)
			return false;
	}
	return true;
}

static int tell(Cowfs *fs, bool raw, Item *item, int (*visit)(void *ctx, const CowChange *change), void *ctx)
{
	if (item->compare && !raw && same_bytes(fs, item->blob, item->compare))
		item->c.diff &= ~(unsigned)COW_DIFF_CONTENT;
	if (item->c.kind == COW_MODIFIED && !item->c.diff && !item->c.anew && !raw)
		return 0;
	item->c.path = item->path;
	item->c.old_path = item->old_path;
	item->c.host_path = item->host_path;
	item->c.over_path = item->over_path;
	item->c.link_to = item->link_to;
	return visit(ctx, &item->c);
}

int cowfs_changes(Cowfs *fs, bool raw, int (*visit)(void *ctx, const CowChange *change), void *ctx)
{
	Changes all = {.fs = fs};
	struct statx now, was;

	int rc = hmap_init(&all.reported);
	if (rc == 0)
		rc = dirs_load_all(fs);
	fs_rdlock(fs);
	if (rc == 0)
		rc = lower_statx(fs, NULL, "/", &was);
	if (rc == 0)
		rc = node_statx(fs, fs->root, &now);
	if (rc == 0)
		rc = report_modified(&all, fs->root, NULL, COW_MODIFIED, "/", "/", &now, &was);
	if (rc == 0)
		rc = collect_dir(&all, fs->root, "/", "/", false);
	fs_unlock(fs);
	for (size_t i = 0; i < all.count && rc == 0; i++)
		rc = tell(fs, raw, &all.items[i], visit, ctx);
	changes_free(&all);
	return rc;
}

int cowfs_open_virtual(Cowfs *fs, const char *path, int flags, int *fd)
{
	const CowCred cred = {.uid = 0};
	const CowReq req = {.cred = &cred, .may_block = true};
	struct open_how how = {.flags = (unsigned)(flags | O_NONBLOCK)};
	CowFile file;

	if ((flags & (O_ACCMODE | O_CREAT | O_TRUNC)) != O_RDONLY)
		return -EROFS;
	int rc = cowfs_openat(fs, &req, NULL, path, &how, &file);
	if (rc == 0)
		*fd = file.fd;
	return rc;
}
