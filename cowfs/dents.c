/* cowfs/dents.c - listing directories: the host's entries and the sandbox's as one list, sorted by position.
 *
 * The position of an entry is a hash of its name, so it stays the same while entries come and go, and any position can be gone to. Sorted
 * lists are kept for a moment (COW_LISTS of them) so that a large directory is not read anew for each buffer; a list is as good as its
 * directory's generation, and 50 ms for what the host may change. */
#include "internal.h"

#include <sys/syscall.h>

typedef struct Entry {
	uint64_t pos, ino;
	uint32_t name; /* offset in names */
	unsigned char type, len;
} Entry;

struct CowList {
	uint64_t id, gen, time;
	char *path; /* foreign directories: path inside; else NULL */
	const CowForeign *foreign;
	Entry *entries;
	size_t count, room, names_len, names_room;
	char *names;
};

typedef struct HostDirent {
	uint64_t d_ino;
	int64_t d_off;
	uint16_t d_reclen;
	unsigned char d_type;
	char d_name[];
} HostDirent;

#define DOT_POS 1
#define DOTDOT_POS 2
#define DIRENT_HEAD offsetof(HostDirent, d_name)

uint64_t dent_pos(const char *name, size_t len)
{
	uint64_t pos = hash_stable(name, len) >> 2;
	return MAX(pos, 3);
}

static void list_free(CowList *list)
{
	if (!list)
		return;
	free(list->path);
	free(list->entries);
	free(list->names);
	free(list);
}

void lists_free(Cowfs *fs)
{
	for (size_t i = 0; i < COW_LISTS; i++)
		list_free(fs->lists[i]);
}

static int list_add(CowList *list, uint64_t pos, const char *name, size_t len, uint64_t ino, unsigned char type)
{
	if (!BV_GROW(list->entries, list->count, list->room))
		return -ENOMEM;
	if (list->names_len + len + 1 > list->names_room) {
		size_t room = MAX(2048, list->names_room * 2);
		char *more = realloc(list->names, room);
		if (!more)
			return -ENOMEM;
		list->names = more;
		list->names_room = room;
	}
	list->entries[list->count++] = (Entry){pos, ino, (uint32_t)list->names_len, type, (unsigned char)len};
	memcpy(list->names + list->names_len, name, len);
	list->names[list->names_len + len] = '\0';
	list->names_len += len + 1;
	return 0;
}

static int by_pos(const void *a, const void *b)
{
	const Entry *x = a, *y = b;
	return x->pos < y->pos ? -1 : x->pos > y->pos;
}

static void list_sort(CowList *list)
{
	if (list->count)
		qsort(list->entries, list->count, sizeof *list->entries, by_pos);
	for (size_t i = 1; i < list->count; i++) /* two names with one hash: all but impossible, but never lose one */
		if (list->entries[i].pos <= list->entries[i - 1].pos)
			list->entries[i].pos = list->entries[i - 1].pos + 1;
}

static unsigned char type_of(mode_t mode)
{
	return (unsigned char)((mode & S_IFMT) >> 12);
}

/* ---- the host's half ---- */

/* Calls visit for each name but "." and ".."; its non-zero answer stops. */
static int list_host(Cowfs *fs, const char *path, int (*visit)(void *ctx, const HostDirent *d), void *ctx)
{
	_Alignas(HostDirent) char buf[16384];
	int rc = 0;
	long n = 0;
	CLEAN_FD int fd = lower_open(fs, path, O_RDONLY | O_DIRECTORY, 0);

	if (fd == -EACCES) /* the record allows it, or nothing but its being empty is asked */
		fd = lower_open_owned(fs, path, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd == -EACCES && dir_is_closed(fs, path) ? 0 : fd;
	while (rc == 0 && (n = syscall(SYS_getdents64, fd, buf, sizeof buf)) > 0) {
		for (long at = 0; rc == 0 && at < n;) {
			const HostDirent *d = (const HostDirent *)(const void *)(buf + at);
			at += d->d_reclen;
			if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
				rc = visit(ctx, d);
		}
	}
	return n < 0 ? bv_neg_errno() : rc;
}

static int is_name(void *ctx, const HostDirent *d)
{
	const char *const *name = ctx;

	return strcmp(d->d_name, *name) == 0;
}

int dir_lists_name(Cowfs *fs, const char *path, const char *name)
{
	return list_host(fs, path, is_name, &name);
}

typedef struct Merge {
	Cowfs *fs;
	const CowNode *dir;
	CowList *list;
} Merge;

static int add_host_entry(void *ctx, const HostDirent *d)
{
	Merge *m = ctx;
	size_t len = strlen(d->d_name);

	if (m->dir && dentry_find(m->fs, m->dir, d->d_name, len))
		return 0; /* hidden, or listed from the record */
	return list_add(m->list, dent_pos(d->d_name, len), d->d_name, len, d->d_ino, d->d_type);
}

static int found_one(void *ctx, const HostDirent *d)
{
	Merge *m = ctx;
	return m->dir && dentry_find(m->fs, m->dir, d->d_name, strlen(d->d_name)) ? 0 : -ENOTEMPTY;
}

int dir_is_empty(Cowfs *fs, CowNode *node, const char *host_path)
{
	Merge m = {fs, node, NULL};
	int rc = node ? dir_load(fs, node) : 0;

	if (rc < 0)
		return rc;
	for (CowDentry *d = node ? node->dir->kids : NULL; d; d = d->next)
		if (d->node)
			return -ENOTEMPTY;
	const char *path = node ? node->origin : host_path;
	rc = path ? list_host(fs, path, found_one, &m) : 0;
	return host_is_gone(rc) ? 0 : rc;
}

/* ---- a merged list ---- */

static uint64_t ino_of_parent(Cowfs *fs, const CowNode *node)
{
	const CowNode *up = node_parent(node);
	return up ? up->vino : fs->root->vino;
}

static int merge_entries(Cowfs *fs, const CowNode *dir, CowList *list)
{
	Merge m = {fs, dir, list};
	int rc = list_add(list, DOT_POS, ".", 1, dir->vino, DT_DIR);

	if (rc == 0)
		rc = list_add(list, DOTDOT_POS, "..", 2, ino_of_parent(fs, dir), DT_DIR);
	for (CowDentry *d = dir->dir->kids; d && rc == 0; d = d->next)
		if (d->node)
			rc = list_add(list, dent_pos(d->name, d->len), d->name, d->len, d->node->vino, type_of(d->node->mode));
	if (rc == 0 && dir->origin)
		rc = list_host(fs, dir->origin, add_host_entry, &m);
	if (host_is_gone(rc))
		rc = 0; /* the host removed its half */
	list_sort(list);
	return rc;
}

/* The position is kept in the open file of a directory of procfs or sysfs, which take no offset beyond 31 bits. Numbers (processes,
 * descriptors) come last and in order, as in Linux: ps(1) and pidof(1) print what they read in that order. */
static uint64_t foreign_pos(const char *name, size_t len)
{
	const uint64_t numbers = UINT64_C(1) << 30;

	if (len < 10 && strspn(name, "0123456789") == len)
		return numbers + strtoul(name, NULL, 10);
	return DOTDOT_POS + 1 + dent_pos(name, len) % (numbers / 2);
}

static int add_foreign(void *ectx, const char *name, uint64_t ino, unsigned char type)
{
	size_t len = strlen(name);
	return len > NAME_MAX ? 0 : list_add(ectx, foreign_pos(name, len), name, len, ino, type);
}

static ssize_t fill(const CowList *list, uint64_t *pos, void *buf, size_t size)
{
	size_t lo = 0, hi = list->count, used = 0;
	uint64_t at = *pos;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (list->entries[mid].pos <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (at == 0)
		lo = 0;
	for (; lo < list->count; lo++) {
		const Entry *e = &list->entries[lo];
		size_t need = (DIRENT_HEAD + e->len + 1 + 7) & ~(size_t)7;
		if (used + need > size) {
			if (!used)
				return -EINVAL;
			break;
		}
		HostDirent *d = (HostDirent *)(void *)((char *)buf + used);
		memset((char *)d + need - 8, 0, 8);
		d->d_ino = e->ino;
		d->d_off = (int64_t)e->pos;
		d->d_reclen = (uint16_t)need;
		d->d_type = e->type;
		memcpy(d->d_name, list->names + e->name, e->len + 1U);
		used += need;
		at = e->pos;
	}
	*pos = at;
	return (ssize_t)used;
}

/* ---- the cache of lists; protected by fs->list_lock ---- */

static CowList *cached_list(Cowfs *fs, const CowNode *dir)
{
	for (size_t i = 0; i < COW_LISTS; i++) {
		CowList *list = fs->lists[i];
		if (list && list->id == dir->id && list->gen == dir->dir->gen && bv_now_coarse_ns() - list->time < COW_LOWER_TTL_NS)
			return list;
	}
	return NULL;
}

static void cache_list(Cowfs *fs, CowList *list)
{
	size_t slot = fs->list_clock++ % COW_LISTS;

	for (size_t i = 0; i < COW_LISTS; i++)
		if (fs->lists[i] && fs->lists[i]->id == list->id)
			slot = i;
	list_free(fs->lists[slot]);
	fs->lists[slot] = list;
}

ssize_t node_getdents(Cowfs *fs, const CowNode *dir, uint64_t *pos, void *buf, size_t size)
{
	if (!S_ISDIR(dir->mode))
		return -ENOTDIR;
	if (dir->flags & N_DEAD)
		return -ENOENT;
	pthread_mutex_lock(&fs->list_lock);
	CowList *list = *pos ? cached_list(fs, dir) : NULL;
	ssize_t rc = 0;
	if (!list) {
		list = calloc(1, sizeof *list);
		rc = list ? merge_entries(fs, dir, list) : -ENOMEM;
		if (rc == 0) {
			list->id = dir->id;
			list->gen = dir->dir->gen;
			list->time = bv_now_coarse_ns();
			cache_list(fs, list);
		} else {
			list_free(list);
		}
	}
	if (rc == 0)
		rc = fill(list, pos, buf, size);
	pthread_mutex_unlock(&fs->list_lock);
	return rc;
}

static ssize_t getdents_foreign(const CowReq *req, const CowLoc *dir, uint64_t *pos, void *buf, size_t size)
{
	CowList *list = calloc(1, sizeof *list);
	struct statx st;
	const CowForeign *f = dir->foreign;

	if (!list)
		return -ENOMEM;
	ssize_t rc = f->ops->statx(f->ctx, req, dir->path, STATX_INO, &st);
	if (rc == 0)
		rc = list_add(list, DOT_POS, ".", 1, st.stx_ino, DT_DIR);
	if (rc == 0)
		rc = list_add(list, DOTDOT_POS, "..", 2, st.stx_ino, DT_DIR);
	if (rc == 0)
		rc = f->ops->list(f->ctx, req, dir->path, add_foreign, list);
	if (rc == 0) {
		list_sort(list);
		rc = fill(list, pos, buf, size);
	}
	list_free(list);
	return rc;
}

/* A host directory by its path, without record. */
static ssize_t getdents_host(Cowfs *fs, const CowLoc *dir, uint64_t *pos, void *buf, size_t size)
{
	CowList *list = calloc(1, sizeof *list);
	Merge m = {fs, NULL, list};
	struct statx st;
	ssize_t rc = list ? lower_statx(fs, dir->grant, dir->path, &st) : -ENOMEM;

	if (rc == 0)
		rc = list_add(list, DOT_POS, ".", 1, st.stx_ino, DT_DIR);
	if (rc == 0)
		rc = list_add(list, DOTDOT_POS, "..", 2, st.stx_ino, DT_DIR);
	if (rc == 0)
		rc = list_host(fs, dir->path, add_host_entry, &m);
	if (rc == 0) {
		list_sort(list);
		rc = fill(list, pos, buf, size);
	}
	list_free(list);
	return rc;
}

ssize_t cowfs_getdents(Cowfs *fs, const CowReq *req, const CowLoc *dir, uint64_t *pos, void *buf, size_t size)
{
	if (dir->kind == COW_FOREIGN)
		return getdents_foreign(req, dir, pos, buf, size);
	fs_rdlock(fs);
	CowNode *node = dir->kind == COW_NODE ? dir->node : node_by_origin(fs, dir->path, strlen(dir->path));
	ssize_t rc = node && dir->kind == COW_NODE ? dir_ready(fs, node) : 0; /* a host directory has no pack */
	if (rc == 0)
		rc = node ? node_getdents(fs, node, pos, buf, size) : getdents_host(fs, dir, pos, buf, size);
	fs_unlock(fs);
	return rc;
}

/* ---- raw descriptors of directories that were changed after they had been opened ---- */

static CowNode *record_of(Cowfs *fs, const CowLoc *dir)
{
	if (dir->kind == COW_NODE)
		return S_ISDIR(dir->node->mode) && dir_ready(fs, dir->node) == 0 ? dir->node : NULL;
	return dir->kind == COW_LOWER ? node_by_origin(fs, dir->path, strlen(dir->path)) : NULL;
}

bool cowfs_dir_is_clean(Cowfs *fs, const CowLoc *dir)
{
	if (dir->kind == COW_FOREIGN)
		return false;
	fs_rdlock(fs);
	CowNode *node = record_of(fs, dir);
	bool clean = !node ? dir->kind == COW_LOWER : node->origin && !node->dir->kids && !(node->flags & N_DEAD);
	fs_unlock(fs);
	return clean;
}

size_t cowfs_filter_dents(Cowfs *fs, const CowLoc *dir, void *buf, size_t len)
{
	size_t kept = 0;

	fs_rdlock(fs);
	CowNode *node = record_of(fs, dir);
	for (size_t at = 0; at < len;) {
		HostDirent *d = (HostDirent *)(void *)((char *)buf + at);
		size_t size = d->d_reclen;
		CowDentry *e = node ? dentry_find(fs, node, d->d_name, strlen(d->d_name)) : NULL;
		at += size;
		if (e && (!e->node || !(e->flags & D_OVER)))
			continue; /* deleted; or listed by cowfs_upper_dents */
		if (e) {
			d->d_ino = e->node->vino;
			d->d_type = type_of(e->node->mode);
		}
		memmove((char *)buf + kept, d, size);
		kept += size;
	}
	fs_unlock(fs);
	return kept;
}

ssize_t cowfs_upper_dents(Cowfs *fs, const CowLoc *dir, uint64_t *cursor, void *buf, size_t size)
{
	CowList list = {0};
	ssize_t rc = 0;

	fs_rdlock(fs);
	CowNode *node = record_of(fs, dir);
	for (CowDentry *d = node ? node->dir->kids : NULL; d && rc == 0; d = d->next)
		if (d->node && !(d->flags & D_OVER))
			rc = list_add(&list, dent_pos(d->name, d->len), d->name, d->len, d->node->vino, type_of(d->node->mode));
	fs_unlock(fs);
	if (rc == 0) {
		list_sort(&list);
		rc = fill(&list, cursor, buf, size);
	}
	free(list.entries);
	free(list.names);
	return rc;
}
