/* cowfs/layer.c - the records of a view as a layer over the host, whatever the host has now: what export writes, and what two views can differ in. */
#include "internal.h"

typedef struct Layer {
	CowLayerItem *items; /* paths and origins are theirs */
	size_t count, room;
} Layer;

static void layer_free(Layer *all)
{
	for (size_t i = 0; i < all->count; i++)
		free((char *)(uintptr_t)all->items[i].path);
	free(all->items);
}

/* Does it rest on the host's object of its own place? */
static bool is_in_place(const CowDentry *d)
{
	const CowNode *node = d->node, *dir = d->dir;
	char path[PATH_MAX];

	return node->origin && dir->origin && path_join(path, dir->origin, strlen(dir->origin), d->name, d->len) > 0 && strcmp(path, node->origin) == 0;
}

static int add(Layer *all, const CowDentry *d, const char *path)
{
	const CowNode *node = d->node;

	if (!BV_GROW(all->items, all->count, all->room))
		return -ENOMEM;
	CowLayerItem *item = &all->items[all->count];
	*item = (CowLayerItem){.path = strdup(path)};
	if (!item->path)
		return -ENOMEM;
	all->count++;
	if (!node)
		return 0;
	item->id = node->id;
	item->is_dir = S_ISDIR(node->mode);
	bool in_place = is_in_place(d);
	item->moved = node->origin && !in_place;
	item->covers = item->is_dir && (d->flags & D_OVER) && !in_place;
	item->passed = in_place && !node->have && !node->xattrs;
	return 0;
}

static int add_buried(Layer *all, const char *dir)
{
	if (all->count && all->items[all->count - 1].buries && strcmp(all->items[all->count - 1].path, dir) == 0)
		return 0;
	if (!BV_GROW(all->items, all->count, all->room))
		return -ENOMEM;
	all->items[all->count] = (CowLayerItem){.path = strdup(dir), .buries = true};
	return all->items[all->count].path ? (all->count++, 0) : -ENOMEM;
}

static int by_name(const void *a, const void *b)
{
	const CowDentry *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static bool is_told(const CowDentry *d)
{
	if ((d->flags & D_PIN) || (d->node && (d->node->flags & (N_PIN | N_PRIVATE | N_COVERED))))
		return false;
	return d->node || (d->flags & (D_OVER | D_HIDE)) == D_OVER;
}

static int collect(Layer *all, const CowNode *dir, const char *path)
{
	CLEAN_FREE const CowDentry **kids = malloc((dir->dir->nkids + 1) * sizeof *kids);
	CLEAN_FREE char *below = malloc(PATH_MAX); /* not on the stack: a level for each directory */
	size_t n = 0;
	int rc = kids && below ? 0 : -ENOMEM;

	for (const CowDentry *d = dir->dir->kids; rc == 0 && d; d = d->next)
		if (is_told(d))
			kids[n++] = d;
	if (n)
		qsort(kids, n, sizeof *kids, by_name);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (path_join(below, path, strlen(path), kids[i]->name, kids[i]->len) < 0) {
			rc = add_buried(all, path);
			continue;
		}
		if (dentry_is_carried(kids[i], below) && !S_ISDIR(kids[i]->node->mode))
			continue; /* what the sandbox rests on */
		rc = add(all, kids[i], below);
		if (rc == 0 && kids[i]->node && S_ISDIR(kids[i]->node->mode))
			rc = collect(all, kids[i]->node, below);
	}
	return rc;
}

int cowfs_layer(Cowfs *fs, int (*visit)(void *ctx, const CowLayerItem *item), void *ctx)
{
	Layer all = {0};
	int rc = dirs_load_all(fs);

	fs_rdlock(fs);
	if (rc == 0)
		rc = collect(&all, fs->root, "/");
	fs_unlock(fs);
	for (size_t i = 0; rc == 0 && i < all.count; i++)
		rc = visit(ctx, &all.items[i]);
	layer_free(&all);
	return rc;
}

int cowfs_body(Cowfs *fs, const CowReq *req, const char *path, BlobId *blob, char host[PATH_MAX])
{
	CLEAN_LOC CowLoc loc = {0};
	int rc = cowfs_resolve(fs, req, NULL, path, COW_NOFOLLOW, 0, &loc);

	if (rc < 0)
		return rc;
	*blob = 0;
	host[0] = '\0';
	fs_rdlock(fs);
	const char *from = loc.kind == COW_LOWER ? loc.path : loc.kind == COW_NODE ? loc.node->origin : NULL;
	if (loc.kind == COW_NODE)
		*blob = loc.node->blob;
	if (!*blob && from && strlen(from) < PATH_MAX)
		memcpy(host, from, strlen(from) + 1);
	fs_unlock(fs);
	return 0;
}
