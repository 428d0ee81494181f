/* cowfs/changes.c - the differences between the view and the host as it is now.
 *
 * Collected under fs->lock (records and one statx per change), sorted by construction: entries of a directory by name, each before what is
 * in it. Bytes are compared afterwards without the lock, and visit() runs without it, so that it may call cowfs. */
#include "internal.h"

#include <sys/xattr.h>

typedef struct Item {
	CowChange c;
	char *path, *old_path, *link_to, *compare; /* compare: host file whose bytes may equal the blob's */
	BlobId blob;
} Item;

typedef struct Changes {
	Cowfs *fs;
	Item *items;
	size_t count, room;
	struct Reported {
		uint64_t id;
		char *path;
	} *reported; /* files with several names, as they came */
	size_t nreported, reported_room;
} Changes;

static int item_add(Changes *all, CowChangeKind kind, const char *path, const char *old_path, Item **out)
{
	if (all->count == all->room) {
		size_t room = MAX(64, all->room * 2);
		Item *more = realloc(all->items, room * sizeof *more);
		if (!more)
			return -ENOMEM;
		all->items = more;
		all->room = room;
	}
	Item *item = &all->items[all->count];
	*item = (Item){.c = {.kind = kind}, .path = strdup(path), .old_path = old_path ? strdup(old_path) : NULL};
	all->count++;
	if (!item->path || (old_path && !item->old_path))
		return -ENOMEM;
	*out = item;
	return 0;
}

static void changes_free(Changes *all)
{
	for (size_t i = 0; i < all->count; i++) {
		free(all->items[i].path);
		free(all->items[i].old_path);
		free(all->items[i].link_to);
		free(all->items[i].compare);
	}
	for (size_t i = 0; i < all->nreported; i++)
		free(all->reported[i].path);
	free(all->reported);
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
	int rc = item_add(all, kind, path, renamed ? host : NULL, &item);
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

static int report(Changes *all, CowChangeKind kind, const char *path, const struct statx *now, const CowDentry *d)
{
	Item *item;
	int rc = item_add(all, kind, path, NULL, &item);

	if (rc < 0)
		return rc;
	if (now)
		item->c.now = *now;
	if (d)
		item->c.base = dentry_base(d);
	return 0;
}

/* Another name of a file that was reported: says so in the last item. */
static int note_links(Changes *all, const CowNode *node, size_t before, const char *path)
{
	if (all->count == before || node->nlink < 2 || S_ISDIR(node->mode))
		return 0;
	for (size_t i = 0; i < all->nreported; i++)
		if (all->reported[i].id == node->id) {
			Item *item = &all->items[all->count - 1];
			item->link_to = strdup(all->reported[i].path);
			return item->link_to ? 0 : -ENOMEM;
		}
	if (all->nreported == all->reported_room) {
		size_t room = MAX(16, all->reported_room * 2);
		void *more = realloc(all->reported, room * sizeof *all->reported);
		if (!more)
			return -ENOMEM;
		all->reported = more;
		all->reported_room = room;
	}
	char *copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	all->reported[all->nreported].id = node->id;
	all->reported[all->nreported++].path = copy;
	return 0;
}

/* ---- directories ---- */

static int collect_dir(Changes *all, const CowNode *dir, const char *path, const char *host);

static bool has_name_at_origin(const CowNode *node)
{
	for (const CowDentry *d = node->names; d; d = d->alias) {
		char path[PATH_MAX];
		if (d->dir->origin && path_join(path, d->dir->origin, strlen(d->dir->origin), d->name, d->len) > 0 && strcmp(path, node->origin) == 0)
			return true;
	}
	return false;
}

static int collect_node(Changes *all, const CowDentry *d, const char *path, const char *host, const struct statx *was)
{
	CowNode *node = d->node;
	struct statx now, at_origin;
	size_t before = all->count;
	bool is_dir = S_ISDIR(node->mode);
	const char *below = NULL;
	int rc = node_statx(all->fs, node, &now);

	if (rc < 0)
		return rc == -ENOENT || rc == -ESTALE ? 0 : rc; /* the host took its half away */
	if (node->origin && (!host || strcmp(node->origin, host) != 0) && (is_dir || !has_name_at_origin(node)) &&
	    lower_statx(all->fs, NULL, node->origin, &at_origin) == 0) {
		rc = report_modified(all, node, d, COW_RENAMED, path, node->origin, &now, &at_origin);
		below = node->origin;
	} else if (!was) {
		rc = report(all, COW_ADDED, path, &now, d);
	} else if ((was->stx_mode & S_IFMT) != (node->mode & S_IFMT)) {
		rc = report(all, COW_TYPE_CHANGED, path, &now, d);
	} else {
		rc = report_modified(all, node, d, COW_MODIFIED, path, host, &now, was);
		below = host;
	}
	if (rc == 0)
		rc = note_links(all, node, before, path);
	return rc == 0 && is_dir ? collect_dir(all, node, path, below) : rc;
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
	if (names->count == names->room) {
		size_t room = MAX(32, names->room * 2);
		Name *more = realloc(names->list, room * sizeof *more);
		if (!more)
			return -ENOMEM;
		names->list = more;
		names->room = room;
	}
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

/* A directory without origin in the place of a host directory hides all of it: what it does not have is deleted. */
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

static int collect_name(Changes *all, const Name *n, const char *path, const char *host_dir)
{
	CLEAN_FREE char *paths = malloc(2 * (size_t)PATH_MAX); /* not on the stack: a level for each of up to PATH_MAX / 2 directories */
	char *virtual_path = paths, *host = paths + PATH_MAX;
	struct statx was;
	size_t len = strlen(n->name);
	const CowNode *moved;

	if (!paths)
		return -ENOMEM;
	if (path_join(virtual_path, path, strlen(path), n->name, len) < 0)
		return 0; /* deeper than a path can say */
	bool has_host = host_dir && !(n->d && (n->d->flags & D_HIDE)) && path_join(host, host_dir, strlen(host_dir), n->name, len) > 0;
	bool on_host = has_host && lower_statx(all->fs, NULL, host, &was) == 0;
	if (n->d && n->d->node)
		return collect_node(all, n->d, virtual_path, has_host ? host : NULL, on_host ? &was : NULL);
	if (!on_host)
		return 0;
	moved = node_by_origin(all->fs, host, strlen(host));
	if (moved && moved->names && !has_name_at_origin(moved))
		return 0; /* reported as renamed */
	return report(all, COW_DELETED, virtual_path, NULL, n->d);
}

static int collect_dir(Changes *all, const CowNode *dir, const char *path, const char *host)
{
	Names names = {0};
	int rc = 0;

	for (const CowDentry *d = dir->dir->kids; d && rc == 0; d = d->next)
		if (!(d->flags & D_PIN) && !(d->node && (d->node->flags & (N_PIN | N_PRIVATE))))
			rc = add_name(&names, d, d->name);
	if (rc == 0 && !dir->origin && host)
		rc = add_hidden_names(all, dir, host, &names);
	if (names.count)
		qsort(names.list, names.count, sizeof *names.list, by_name);
	for (size_t i = 0; i < names.count && rc == 0; i++)
		rc = collect_name(all, &names.list[i], path, host);
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
	if (item->c.kind == COW_MODIFIED && !item->c.diff && !raw)
		return 0;
	item->c.path = item->path;
	item->c.old_path = item->old_path;
	item->c.link_to = item->link_to;
	return visit(ctx, &item->c);
}

int cowfs_changes(Cowfs *fs, bool raw, int (*visit)(void *ctx, const CowChange *change), void *ctx)
{
	Changes all = {.fs = fs};
	struct statx now, was;

	fs_rdlock(fs);
	int rc = lower_statx(fs, NULL, "/", &was);
	if (rc == 0)
		rc = node_statx(fs, fs->root, &now);
	if (rc == 0)
		rc = report_modified(&all, fs->root, NULL, COW_MODIFIED, "/", "/", &now, &was);
	if (rc == 0)
		rc = collect_dir(&all, fs->root, "/", "/");
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
