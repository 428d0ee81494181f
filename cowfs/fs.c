/* cowfs/fs.c - the life of a view, and the small things about objects as a whole. */
#include "unchanged.h"

int (*cowfs_fault_hook)(const char *step);

void cowloc_release(CowLoc *loc)
{
	node_put(loc->node);
	free(loc->path);
	*loc = (CowLoc){0};
}

int cowloc_copy(const CowLoc *from, CowLoc *to)
{
	CowLoc copy = *from;

	if (from->path && !(copy.path = strdup(from->path)))
		return -ENOMEM;
	if (copy.node)
		node_get(copy.node);
	*to = copy;
	return 0;
}

/* ---- open ---- */

static int init_locks(Cowfs *fs)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	/* a steady stream of look-ups must not starve a change; no caller takes the lock twice */
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	int rc = pthread_rwlock_init(&fs->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	pthread_mutex_init(&fs->list_lock, NULL);
	pthread_mutex_init(&fs->spool_lock, NULL);
	pthread_mutex_init(&fs->unchanged.lock, NULL);
	pthread_mutex_init(&fs->arrive_lock, NULL);
	pthread_mutex_init(&fs->commit_lock, NULL);
	pthread_mutex_init(&fs->opened.lock, NULL);
	pthread_cond_init(&fs->commit_done, NULL);
	pthread_condattr_t cond;
	pthread_condattr_init(&cond);
	pthread_condattr_setclock(&cond, CLOCK_MONOTONIC);
	pthread_cond_init(&fs->commit_wake, &cond);
	pthread_condattr_destroy(&cond);
	return -rc;
}

static int init_tables(Cowfs *fs)
{
	int rc = 0;

	fs->dirty_nodes_end = &fs->dirty_nodes;
	fs->dirty_dentries_end = &fs->dirty_dentries;
	fs->orphans_end = &fs->orphans;
	Hmap *maps[] = {&fs->nodes, &fs->dentries, &fs->idents, &fs->origins};
	for (size_t i = 0; i < ARRAY_LEN(maps) && rc == 0; i++)
		rc = hmap_init(maps[i]);
	if (rc == 0 && !(fs->lower = calloc(1, sizeof *fs->lower)))
		rc = -ENOMEM;
	if (rc == 0)
		pthread_mutex_init(&fs->lower->lock, NULL);
	return rc;
}

static int make_root(Cowfs *fs)
{
	struct statx st;
	CowNode *root = node_find(fs, COW_ROOT_ID);
	int rc = lower_statx(fs, NULL, "/", &st);

	if (rc < 0)
		return rc;
	if (!root) {
		root = node_new(fs, COW_ROOT_ID, st.stx_mode);
		if (!root)
			return -ENOMEM;
		node_from_statx(root, &st);
		rc = node_set_base(root, &st);
		if (rc == 0)
			rc = node_set_origin(fs, root, "/");
		if (rc < 0) {
			node_put(root);
			return rc;
		}
		node_insert(fs, root);
	}
	root->vdev = statx_dev(&st);
	root->vino = st.stx_ino;
	ident_set(fs, &root->lower_id, root, root->vdev, root->vino);
	fs->root = root;
	return 0;
}

void grants_free(CowGrant *list)
{
	while (list) {
		CowGrant *next = list->next;
		free(list);
		list = next;
	}
}

static void fs_free(Cowfs *fs)
{
	if (!fs)
		return;
	meta_close(fs->meta);
	quota_free(fs);
	seal_release(fs);
	opened_release(fs);
	fs_free_index(fs);
	if (fs->lower)
		pthread_mutex_destroy(&fs->lower->lock);
	free(fs->lower);
	lists_free(fs);
	grants_free(fs->grants);
	grants_free(fs->sockets);
	while (fs->foreigns) {
		CowForeign *next = fs->foreigns->next;
		free(fs->foreigns);
		fs->foreigns = next;
	}
	if (fs->mark_fd >= 0)
		close(fs->mark_fd);
	free(fs->mark_dir);
	if (fs->watch_fd >= 0)
		close(fs->watch_fd);
	free(fs->watch_dir);
	free(fs->dead_blobs);
	free(fs->dying);
	free(fs->filled);
	free(fs->filling);
	if (fs->batch)
		batch_reset(fs->batch);
	free(fs->batch);
	free(fs->unchanged.path);
	free(fs->trouble);
	blob_close(fs->blobs);
	pthread_rwlock_destroy(&fs->lock);
	pthread_mutex_destroy(&fs->list_lock);
	pthread_mutex_destroy(&fs->commit_lock);
	pthread_cond_destroy(&fs->commit_wake);
	pthread_cond_destroy(&fs->commit_done);
	free(fs);
}

static int set_mark_dir(Cowfs *fs, const CowfsConfig *config, char **err)
{
	if (!config->mark_dir)
		return config->flags & COWFS_READONLY ? 0 : bv_fail(err, -EINVAL, "no directory for markers was given");
	fs->mark_dir = strdup(config->mark_dir);
	if (config->watch_dir) {
		fs->watch_dir = strdup(config->watch_dir);
		if (!fs->watch_dir)
			return -ENOMEM;
	}
	return fs->mark_dir ? 0 : -ENOMEM;
}

static int open_parts(Cowfs *fs, const CowfsConfig *config, char **err)
{
	int rc = init_tables(fs);

	if (rc == 0)
		rc = set_mark_dir(fs, config, err);
	if (rc == 0)
		rc = meta_open(config, &fs->meta, err);
	if (rc == 0 && !(config->flags & COWFS_READONLY))
		rc = unchanged_begin(fs, config->db_path);
	if (rc == 0)
		rc = meta_load(fs->meta, fs, err);
	if (rc == 0 && (rc = make_root(fs)) < 0)
		bv_fail(err, rc, "cannot look at the root directory: %s", strerror(-rc));
	if (rc == 0)
		rc = origins_relocate(fs);
	if (rc == 0)
		rc = opened_begin(fs, config->opened_path);
	if (rc == 0 && !(config->flags & COWFS_READONLY))
		rc = commit_start(fs);
	return rc;
}

int cowfs_open(const CowfsConfig *config, Cowfs **out, char **err)
{
	Cowfs *fs = calloc(1, sizeof *fs);

	if (!fs) {
		blob_close(config->blobs);
		return -ENOMEM;
	}
	fs->blobs = config->blobs;
	fs->mappers = mappers_of(config);
	fs->flags = config->flags;
	fs->durable = config->durable;
	fs->spool_bound = config->spool_bound;
	fs->fake_root = config->fake_root;
	fs->owner_uid = config->owner_uid;
	fs->owner_gid = config->owner_gid;
	fs->mark_fd = fs->watch_fd = fs->timeless = -1;
	fs->broken_openat2 = (config->flags & COWFS_NO_OPENAT2) != 0;
	atomic_init(&fs->next_id, COW_ROOT_ID + 1);
	fs->next_pin = COW_PIN_IDS;
	int rc = init_locks(fs);
	if (rc == 0)
		rc = seal_init(fs);
	if (rc == 0)
		rc = open_parts(fs, config, err);
	if (rc < 0) {
		fs_free(fs);
		return err && !*err ? bv_fail(err, rc, "cannot open the view of %s: %s", config->db_path, strerror(-rc)) : rc;
	}
	if (!(config->flags & COWFS_READONLY))
		IGNORE_RESULT(blob_drop_kept(fs->blobs)); /* of a snapshot that nobody finished */
	*out = fs;
	return 0;
}

int cowfs_close(Cowfs *fs)
{
	int rc = 0;

	if (!fs)
		return 0;
	if (fs->writer_runs) {
		IGNORE_RESULT(cowfs_thaw(fs));
		setid_settle_all(fs);
		rc = commit_stop(fs);
		spool_end(fs);
		if (rc == 0)
			unchanged_end(fs);
	}
	meta_close(TAKE_PTR(fs->meta));
	fs_free(fs);
	return rc;
}

/* ---- finding ---- */

int cowfs_resolve(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, uint64_t resolve, CowLoc *out)
{
	CowWalk w;
	CowLoc loc;

	walk_init(&w, fs, req, flags, resolve);
	fs_rdlock(fs);
	int rc = walk_run(&w, at, path);
	if (rc == 0)
		rc = walk_loc(&w, &loc);
	fs_unlock(fs);
	walk_end(&w);
	if (rc == 0)
		*out = loc;
	return rc;
}

int cowfs_by_identity(Cowfs *fs, dev_t dev, ino_t ino, CowLoc *out)
{
	char path[PATH_MAX];

	fs_rdlock(fs);
	CowNode *node = ident_find(fs, dev, ino);
	if (node) {
		*out = (CowLoc){.kind = COW_NODE, .node = node_get(node), .grant = node->dir ? node->dir->grant : NULL};
		fs_unlock(fs);
		return 0;
	}
	char *held = lower_held(fs, dev, ino);
	fs_unlock(fs);
	if (held) {
		*out = (CowLoc){.kind = COW_LOWER, .path = held};
		return 0;
	}
	for (CowForeign *f = fs->foreigns; f; f = f->next) {
		if (!f->ops->by_identity || f->ops->by_identity(f->ctx, dev, ino, path, sizeof path) < 0)
			continue;
		char *copy = strdup(path);
		if (!copy)
			return -ENOMEM;
		*out = (CowLoc){.kind = COW_FOREIGN, .foreign = f, .path = copy};
		return 0;
	}
	return -ESTALE;
}

/* The name of node, or with `removed` the one that it had, and the directory of that. NULL: none. */
static const char *name_of(const CowNode *node, bool removed, const CowNode **dir)
{
	if (node->names) {
		*dir = node->names->dir;
		return node->names->name;
	}
	if (!removed || !node->last)
		return NULL;
	*dir = node->last->dir;
	return node->last->name;
}

static ssize_t path_of_node(const CowNode *node, bool removed, char *buf, size_t size)
{
	size_t at = size;
	const char *name;

	for (; (name = name_of(node, removed, &node)) != NULL;) {
		size_t n = strlen(name);
		if (at < n + 2)
			return -ERANGE;
		at -= n;
		memcpy(buf + at, name, n);
		buf[--at] = '/';
	}
	if (node->id != COW_ROOT_ID)
		return -ENOENT;
	if (at == size && size)
		buf[--at] = '/';
	size_t len = size - at;
	if (len + 1 > size)
		return -ERANGE;
	memmove(buf, buf + at, len);
	buf[len] = '\0';
	return (ssize_t)len;
}

ssize_t node_virtual_path(const CowNode *node, char *buf, size_t size)
{
	return path_of_node(node, false, buf, size);
}

ssize_t dentry_virtual_path(const CowDentry *d, char buf[PATH_MAX])
{
	char dir[PATH_MAX];
	ssize_t n = node_virtual_path(d->dir, dir, sizeof dir);

	return n < 0 ? n : path_join(buf, dir, (size_t)n, d->name, d->len);
}

/* The host path is shown in the view if its nearest record has a name and no entry of that record stands in its way. */
static ssize_t virtual_of_lower(Cowfs *fs, const char *host, char *buf, size_t size)
{
	size_t len = strlen(host), n = len;
	CowNode *node = NULL;

	for (; n > 1; n--)
		if ((n == len || host[n] == '/') && (node = node_by_origin(fs, host, n)))
			break;
	if (!node) {
		node = fs->root;
		n = 0;
	}
	ssize_t head = node_virtual_path(node, buf, size);
	if (head < 0 || n == len || (n == 0 && len == 1))
		return head;
	const char *name = host + n + 1;
	const CowDentry *d = S_ISDIR(node->mode) ? dentry_find(fs, node, name, strcspn(name, "/")) : NULL;
	bool foreign = d && d->node && d->node->dir && d->node->dir->foreign; /* shows the host's under its own names */
	if (!S_ISDIR(node->mode) || (d && !foreign))
		return -ENOENT; /* hidden or replaced */
	if (head == 1)
		head = 0;
	if ((size_t)head + len - n + 1 > size)
		return -ERANGE;
	memcpy(buf + head, host + n, len - n + 1);
	return head + (ssize_t)(len - n);
}

/* Does the view show that object itself under this name? */
static bool is_same_object(Cowfs *fs, CowWalk *w, dev_t dev, ino_t ino)
{
	struct statx st;

	if (w->cur.kind == COW_FOREIGN) {
		const CowForeign *f = w->cur.foreign;
		fs_unlock(fs); /* the walk stands on a path of its own, nothing can change below it */
		int rc = f->ops->statx(f->ctx, w->req, w->path, STATX_INO, &st);
		fs_rdlock(fs);
		if (rc < 0)
			return false;
	} else if (w->cur.kind == COW_NODE && w->cur.node->origin) {
		if (lower_statx(fs, NULL, w->cur.node->origin, &st) < 0)
			return false;
	} else if (w->cur.kind != COW_LOWER || walk_stat(w, &st) < 0) {
		return false;
	}
	return statx_dev(&st) == dev && st.stx_ino == ino;
}

int cowfs_by_host_path(Cowfs *fs, const CowReq *req, const char *host_path, dev_t dev, ino_t ino, CowLoc *out)
{
	char path[PATH_MAX];
	CowLoc loc;
	CowWalk w;

	if (host_path[0] != '/')
		return -ENOENT;
	(void)req;
	walk_init(&w, fs, NULL, COW_NOFOLLOW, RESOLVE_NO_SYMLINKS); /* no permission checks: the guest holds it already */
	fs_rdlock(fs);
	ssize_t n = virtual_of_lower(fs, host_path, path, sizeof path);
	int rc = n < 0 ? -ENOENT : walk_run(&w, NULL, path);
	if (rc == 0 && !is_same_object(fs, &w, dev, ino))
		rc = -ENOENT;
	if (rc == 0)
		rc = walk_loc(&w, &loc);
	if (rc == 0 && loc.kind == COW_LOWER && !loc.grant && S_ISDIR(walk_type(&w)))
		lower_hold(fs, dev, ino, loc.path);
	fs_unlock(fs);
	walk_end(&w);
	if (rc == 0)
		*out = loc;
	return rc < 0 ? -ENOENT : 0;
}

ssize_t cowfs_virtual_path(Cowfs *fs, const CowLoc *loc, char *buf, size_t size)
{
	ssize_t rc;

	fs_rdlock(fs);
	if (loc->kind == COW_NODE && (loc->node->names || !loc->path)) {
		rc = node_virtual_path(loc->node, buf, size);
	} else if (loc->kind == COW_FOREIGN) {
		rc = node_virtual_path(loc->foreign->node, buf, size);
		size_t len = strlen(loc->path);
		if (rc > 0 && len && (size_t)rc + len + 2 > size)
			rc = -ERANGE;
		else if (rc > 0 && len) {
			buf[rc] = '/';
			memcpy(buf + rc + 1, loc->path, len + 1);
			rc += (ssize_t)len + 1;
		}
	} else {
		rc = virtual_of_lower(fs, loc->path, buf, size);
	}
	fs_unlock(fs);
	return rc;
}

bool cowfs_is_removed(Cowfs *fs, const CowLoc *loc)
{
	if (loc->kind != COW_NODE)
		return false;
	fs_rdlock(fs);
	bool removed = loc->node->flags & N_DEAD;
	fs_unlock(fs);
	return removed;
}

ssize_t cowfs_removed_path(Cowfs *fs, const CowLoc *loc, char *buf, size_t size)
{
	if (loc->kind != COW_NODE)
		return -ENOENT;
	fs_rdlock(fs);
	ssize_t n = path_of_node(loc->node, true, buf, size);
	fs_unlock(fs);
	return n;
}

ssize_t cowfs_virtual_of_host(Cowfs *fs, const char *host_path, bool *removed, char *buf, size_t size)
{
	struct stat st;
	ssize_t rc = -ENOENT;
	bool known = stat(host_path, &st) == 0;

	fs_rdlock(fs);
	CowNode *node = known ? ident_find(fs, st.st_dev, st.st_ino) : NULL;
	if (node && node->own_id.listed && node->own_id.dev == st.st_dev && node->own_id.ino == st.st_ino)
		rc = removed && (*removed = node->flags & N_DEAD) ? path_of_node(node, true, buf, size) : node_virtual_path(node, buf, size);
	else if (host_path[0] == '/')
		rc = virtual_of_lower(fs, host_path, buf, size);
	fs_unlock(fs);
	return rc;
}

void cowfs_stats(Cowfs *fs, CowfsStats *out)
{
	fs_rdlock(fs);
	*out = fs->stats;
	out->nodes = fs->nodes.count;
	out->dentries = fs->dentries.count;
	HMAP_FOREACH_SAFE (&fs->dentries, h, next_d)
		out->whiteouts += !CONTAINER_OF(h, CowDentry, hash)->node;
	HMAP_FOREACH_SAFE (&fs->nodes, h, next_n) {
		CowNode *node = CONTAINER_OF(h, CowNode, by_id);
		struct statx st;
		if (!node->blob || blob_statx(fs->blobs, node->blob, STATX_BLOCKS, &st) < 0)
			continue;
		out->blobs++;
		out->blob_bytes += st.stx_blocks * 512;
	}
	fs_unlock(fs);
}
