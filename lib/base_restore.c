/* lib/base_restore.c - see base.h: which of what a snapshot carries is needed here, and the rows for it.
 *
 * What is carried comes first, sorted by path, each after its directory; then the ordinary rows pass by; in the end it is known what has a row already, and under which number. A file that is
 * needed is put into the directory that rests on its directory's path, wherever the view shows that, unless that name has a row. A snapshot may come from anybody: nothing in it is trusted. */
#include "lib/base.h"

#include "base/hmap.h"
#include "lib/store.h"
#include "lib/view.h"

#include <fcntl.h>
#include <limits.h>
#include <time.h>

#define ROOT_ID 1

typedef struct Carried {
	HmapNode node; /* by path */
	char *path;
	SnapInode inode; /* target points into the value below */
	uint8_t *value, *content;
	size_t content_len;
	struct stat st; /* of the host's, if it has one */
	bool is_here, needed, used;
	bool blocked; /* a row rests on it that is of another type */
	uint64_t id; /* the row that rests on it, or was made for it; 0: none */
	CowRecord *xattrs; /* their names and values are our own */
	size_t n_xattrs;
} Carried;

typedef struct Name { /* a row of a name */
	HmapNode node;
	uint64_t dir;
	size_t len;
	char name[];
} Name;

struct BasePlan {
	char *const *hidden;
	Carried **all; /* by path */
	size_t n, room;
	Hmap paths, names;
	uint64_t max_id;
	bool has_root;
	struct stat root_st;
	struct timespec now;
	BaseAdd add;
	void *ctx;
};

int base_plan_new(char *const *hidden, BasePlan **out)
{
	BasePlan *p = calloc(1, sizeof(*p));
	int r = p ? hmap_init(&p->paths) : -ENOMEM;

	if (r == 0)
		r = hmap_init(&p->names);
	if (r == 0 && stat("/", &p->root_st) < 0)
		r = bv_neg_errno();
	if (r < 0) {
		base_plan_free(p);
		return r;
	}
	clock_gettime(CLOCK_REALTIME, &p->now);
	p->hidden = hidden;
	p->max_id = ROOT_ID;
	*out = p;
	return 0;
}

static void carried_free(Carried *c)
{
	for (size_t i = 0; i < c->n_xattrs; i++) {
		free((char *)(uintptr_t)c->xattrs[i].name);
		free((char *)(uintptr_t)c->xattrs[i].value);
	}
	free(c->xattrs);
	free(c->path);
	free(c->value);
	free(c->content);
	free(c);
}

void base_plan_free(BasePlan *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n; i++)
		carried_free(p->all[i]);
	HMAP_FOREACH_SAFE (&p->names, n, next)
		free(CONTAINER_OF(n, Name, node));
	hmap_release(&p->paths);
	hmap_release(&p->names);
	free(p->all);
	free(p);
}

bool base_is_record(const Record *record)
{
	return record->key_len > 0 && *(const char *)record->key == 'b';
}

uint64_t base_plan_used(const BasePlan *p)
{
	uint64_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		n += p->all[i]->used && !S_ISDIR(p->all[i]->inode.mode);
	return n;
}

static Carried *find(const BasePlan *p, const char *path, size_t len)
{
	for (HmapNode *n = hmap_first(&p->paths, hash_bytes(path, len, 0)); n; n = hmap_next(n)) {
		Carried *c = CONTAINER_OF(n, Carried, node);
		if (strncmp(c->path, path, len) == 0 && !c->path[len])
			return c;
	}
	return NULL;
}

/* Of the directory that the path is in; "/" has length 1. */
static size_t parent_len(const char *path)
{
	size_t n = (size_t)(strrchr(path, '/') - path);

	return MAX(n, 1U);
}

/* ---- what is carried ---- */

static uint8_t *copy_bytes_of(const void *data, size_t len)
{
	uint8_t *copy = malloc(len + 1);

	if (copy && len)
		memcpy(copy, data, len);
	if (copy)
		copy[len] = 0;
	return copy;
}

/* Names that are names, below directories that are carried, too. */
static bool is_sound_path(const BasePlan *p, const char *path)
{
	for (const char *at = path; *at;) {
		size_t n = strcspn(at + 1, "/");
		if (*at != '/' || n == 0 || n > NAME_MAX || (at[1] == '.' && (n == 1 || (n == 2 && at[2] == '.'))))
			return false;
		at += n + 1;
	}
	size_t up = parent_len(path);
	const Carried *dir = up > 1 ? find(p, path, up) : NULL;
	return path[0] == '/' && strlen(path) < PATH_MAX && (up == 1 || (dir && S_ISDIR(dir->inode.mode)));
}

static bool is_sound(const Carried *c)
{
	const SnapInode *i = &c->inode;
	const char *end = i->target ? memchr(i->target, 0, i->target_len) : NULL;

	if (i->mode & ~(uint32_t)0xffff)
		return false;
	switch (i->mode & S_IFMT) {
	case S_IFDIR: return !i->target && !c->content_len;
	case S_IFREG: return !i->target && c->content_len;
	case S_IFLNK: return i->target && i->target_len > 0 && i->target_len < PATH_MAX && !end && !c->content_len;
	default: return false;
	}
}

/* What guests do not see here cannot be shown to them by a snapshot. */
static int check_place(const BasePlan *p, const char *path, char **why)
{
	if (view_is_synthetic(path))
		return bv_fail(why, -EACCES, "it carries %s of a host, which no sandbox can see", path);
	for (size_t i = 0; p->hidden && p->hidden[i]; i++)
		if (path_is_below(path, p->hidden[i]))
			return bv_fail(why, -EACCES, "it carries %s, which is hidden here; --show %s allows it", path, p->hidden[i]);
	return 0;
}

static bool same_link(const SnapInode *i, const char *path)
{
	char text[PATH_MAX];
	ssize_t n = readlink(path, text, sizeof(text));

	return i->target && n == (ssize_t)i->target_len && memcmp(text, i->target, (size_t)n) == 0;
}

bool base_is_same(const SnapInode *i, const char *path, const struct stat *st)
{
	if (!st || ((st->st_mode ^ i->mode) & S_IFMT))
		return false;
	if (S_ISLNK(i->mode))
		return same_link(i, path);
	return S_ISDIR(i->mode) || (!((st->st_mode ^ i->mode) & 07777) && i->base_known && (uint64_t)st->st_size == i->base.size && st->st_mtim.tv_sec == i->base.mtime.tv_sec &&
				    st->st_mtim.tv_nsec == i->base.mtime.tv_nsec && faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0);
}

/* Not through a symlink where the other machine had a directory. */
static void compare(const BasePlan *p, Carried *c)
{
	size_t up = parent_len(c->path);
	const Carried *dir = up > 1 ? find(p, c->path, up) : NULL;

	c->is_here = (!dir || (dir->is_here && !dir->needed)) && lstat(c->path, &c->st) == 0;
	c->needed = !base_is_same(&c->inode, c->path, c->is_here ? &c->st : NULL);
}

static int append(BasePlan *p, Carried *c)
{
	if (!BV_GROW(p->all, p->n, p->room))
		return -ENOMEM;
	p->all[p->n++] = c;
	hmap_insert(&p->paths, &c->node, hash_bytes(c->path, strlen(c->path), 0));
	return 0;
}

static int take_object(BasePlan *p, const Record *record, const char *path, size_t len, char **why)
{
	Carried *c = calloc(1, sizeof(*c));
	int r = c ? 0 : -ENOMEM;

	if (r == 0) {
		c->path = strndup(path, len);
		c->value = copy_bytes_of(record->value, record->value_len);
		c->content = copy_bytes_of(record->content, record->content_len);
		c->content_len = record->content_len;
		r = c->path && c->value && c->content ? snap_inode_decode(c->value, record->value_len, &c->inode) : -ENOMEM;
	}
	if (r == 0)
		r = is_sound(c) && is_sound_path(p, c->path) ? check_place(p, c->path, why) : -EBADMSG;
	if (r == 0) {
		compare(p, c);
		r = append(p, c);
	}
	if (r < 0 && c)
		carried_free(c);
	return r;
}

static int take_xattr(BasePlan *p, const Record *record, const char *path, size_t len, const char *name, size_t name_len)
{
	Carried *c = find(p, path, len);
	SnapXattr x;
	int r = snap_xattr_decode(record->value, record->value_len, &x);

	if (r < 0)
		return r;
	if (!c || !S_ISREG(c->inode.mode) || x.removed || record->content_len || name_len < 6 || name_len > 255 || memcmp(name, "user.", 5) != 0 || memchr(name, 0, name_len))
		return -EBADMSG;
	CowRecord *more = realloc(c->xattrs, (c->n_xattrs + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	c->xattrs = more;
	more[c->n_xattrs] = (CowRecord){.kind = COW_RECORD_XATTR, .name = (char *)copy_bytes_of(name, name_len), .n_name = name_len, .value = (char *)copy_bytes_of(x.value, x.len),
					.n_value = x.len};
	c->n_xattrs++;
	return more[c->n_xattrs - 1].name && more[c->n_xattrs - 1].value ? 0 : -ENOMEM;
}

int base_plan_record(BasePlan *p, const Record *record, char **why)
{
	const char *path, *zero;
	uint64_t id;
	size_t len;
	char kind;
	int r = record_key_parse(record->key, record->key_len, &kind, &id, &path, &len);

	zero = r == 0 ? memchr(path, 0, len) : NULL;
	if (r == 0)
		r = zero ? take_xattr(p, record, path, (size_t)(zero - path), zero + 1, len - (size_t)(zero - path) - 1) : take_object(p, record, path, len, why);
	if (r == -EBADMSG)
		return bv_fail(why, r, "it is damaged: a record of what it carries makes no sense");
	return r == -EPROTO ? bv_fail(why, r, "it was written by a newer version of bvisor: use that") : r;
}

/* ---- ordinary rows ---- */

static uint64_t name_hash(uint64_t dir, const char *name, size_t len)
{
	return hash_bytes(name, len, dir);
}

static bool has_name(const BasePlan *p, uint64_t dir, const char *name, size_t len)
{
	for (HmapNode *n = hmap_first(&p->names, name_hash(dir, name, len)); n; n = hmap_next(n)) {
		const Name *known = CONTAINER_OF(n, Name, node);
		if (known->dir == dir && known->len == len && memcmp(known->name, name, len) == 0)
			return true;
	}
	return false;
}

static int note_name(BasePlan *p, const CowRecord *row)
{
	Name *n = p->n ? malloc(sizeof(*n) + row->n_name) : NULL;

	if (!p->n)
		return 0;
	if (!n)
		return -ENOMEM;
	n->dir = row->dir;
	n->len = row->n_name;
	memcpy(n->name, row->name, row->n_name);
	hmap_insert(&p->names, &n->node, name_hash(n->dir, n->name, n->len));
	return 0;
}

/* Guests may hold the host's own directory open: it is known by its numbers. */
static void be_the_hosts(CowRecord *row, const struct stat *st)
{
	row->vdev = st->st_dev;
	row->vino = st->st_ino;
	row->base = (CowIdentity){.known = true, .dev = st->st_dev, .ino = st->st_ino, .size = (uint64_t)st->st_size, .mtime = st->st_mtim, .ctime = st->st_ctim, .mode = st->st_mode,
				  .uid = st->st_uid, .gid = st->st_gid};
}

/* A directory that came with a snapshot was, on one machine after the other, the host's or not. */
static void place_dir(const BasePlan *p, CowRecord *row, const Carried *c)
{
	if (c->needed) {
		row->flags |= COW_RECORD_CARRIED;
		row->vdev = p->root_st.st_dev; /* the other machine's numbers may mean something else here */
		row->vino = 0;
		row->base.known = false;
	} else if (!row->have && !row->base.known) {
		be_the_hosts(row, &c->st);
	}
}

/* It keeps what the record says, and becomes a file of the sandbox. */
static void give_content(CowRecord *row, Carried *c, const uint8_t **content, size_t *len)
{
	enum { HAVE_MTIME = 16 }; /* docs/SCHEMA.md */

	if (!(row->have & HAVE_MTIME))
		row->atime = row->mtime = c->inode.mtime;
	row->have |= COW_RECORD_HAVE_OWN;
	row->name = NULL;
	row->n_name = 0;
	row->blob = 1;
	*content = c->content;
	*len = c->content_len;
	c->used = true;
}

int base_plan_row(BasePlan *p, CowRecord *row, const uint8_t **content, size_t *len)
{
	p->max_id = MAX(p->max_id, row->id);
	if (row->kind == COW_RECORD_DENTRY)
		return note_name(p, row);
	if (row->kind == COW_RECORD_INODE && row->id == ROOT_ID)
		p->has_root = true;
	if (row->kind != COW_RECORD_INODE || !row->name)
		return 0;
	Carried *c = find(p, row->name, row->n_name);
	if (!c)
		return 0;
	c->id = row->id;
	c->blocked = (row->mode ^ c->inode.mode) & S_IFMT;
	if (c->blocked)
		return 0;
	if (S_ISDIR(row->mode))
		place_dir(p, row, c);
	else if (c->needed && S_ISREG(row->mode) && *len == 0)
		give_content(row, c, content, len);
	return 0;
}

/* ---- rows of what is not here ---- */

/* What the sandbox rests on, for apply: nothing, where the host has nothing that could be lost. */
static CowIdentity identity(const Carried *c)
{
	const SnapIdentity *b = &c->inode.base;

	return (CowIdentity){.known = c->is_here && c->inode.base_known, .dev = b->dev, .ino = b->ino, .size = b->size, .mtime = b->mtime, .ctime = b->ctime, .mode = b->mode, .uid = b->uid, .gid = b->gid};
}

static int add_name_row(BasePlan *p, uint64_t dir, const char *path, uint64_t id)
{
	const char *name = strrchr(path, '/') + 1;
	CowRecord row = {.kind = COW_RECORD_DENTRY, .dir = dir, .id = id, .flags = COW_RECORD_OVER, .name = name, .n_name = strlen(name)};

	return p->add(p->ctx, &row, NULL, 0);
}

/* Every name hangs on the root, which has no row where nothing was changed. */
static int root_row(BasePlan *p)
{
	const struct stat *st = &p->root_st;
	CowRecord row = {.kind = COW_RECORD_INODE, .id = ROOT_ID, .mode = st->st_mode, .uid = st->st_uid, .gid = st->st_gid, .vdev = st->st_dev, .vino = st->st_ino, .atime = st->st_atim,
			 .mtime = st->st_mtim, .ctime = st->st_ctim, .name = "/", .n_name = 1};

	if (p->has_root)
		return 0;
	p->has_root = true;
	return p->add(p->ctx, &row, NULL, 0);
}

/* One that the host has is the host's. */
static CowRecord dir_row(const BasePlan *p, const Carried *c)
{
	CowRecord row = {.kind = COW_RECORD_INODE, .id = c->id, .flags = COW_RECORD_CARRIED, .mode = S_IFDIR | (c->inode.mode & (07777 & ~S_ISUID)), .uid = c->inode.uid,
			 .gid = c->inode.gid, .vdev = p->root_st.st_dev, .atime = p->now, .mtime = p->now, .ctime = p->now, .name = c->path,
			 .n_name = strlen(c->path), .base = identity(c)};

	if (c->needed)
		return row;
	row.mode = c->st.st_mode;
	row.uid = c->st.st_uid;
	row.gid = c->st.st_gid;
	be_the_hosts(&row, &c->st);
	return row;
}

/* Whoever made the snapshot: no program here gets privileges from it. */
static CowRecord file_row(const BasePlan *p, const Carried *c)
{
	bool file = S_ISREG(c->inode.mode);

	return (CowRecord){.kind = COW_RECORD_INODE, .id = c->id, .flags = COW_RECORD_CARRIED, .have = COW_RECORD_HAVE_OWN, .mode = (c->inode.mode & S_IFMT) | (c->inode.mode & 0777),
			   .uid = c->inode.uid, .gid = c->inode.gid, .nlink = 1, .vdev = p->root_st.st_dev, .atime = c->inode.mtime, .mtime = c->inode.mtime, .ctime = c->inode.mtime,
			   .value = file ? NULL : c->inode.target, .n_value = file ? 0 : c->inode.target_len, .base = identity(c), .blob = file};
}

static int make_row(BasePlan *p, Carried *c, uint64_t dir)
{
	c->id = ++p->max_id;
	bool is_dir = S_ISDIR(c->inode.mode);
	CowRecord row = is_dir ? dir_row(p, c) : file_row(p, c);
	int r = add_name_row(p, dir, c->path, c->id);

	c->used = c->needed;
	if (r == 0)
		r = p->add(p->ctx, &row, c->content, is_dir ? 0 : c->content_len);
	for (size_t i = 0; r == 0 && i < c->n_xattrs; i++) {
		c->xattrs[i].id = c->id;
		r = p->add(p->ctx, &c->xattrs[i], NULL, 0);
	}
	return r;
}

/* The row of the directory that a path is in, made with those above it. 0 in *id: the sandbox has something else there. */
static int dir_of(BasePlan *p, const char *path, uint64_t *id)
{
	Carried *chain[PATH_MAX / 2], *c;
	size_t n = 0, len = parent_len(path);
	int r = root_row(p);

	*id = ROOT_ID;
	for (; len > 1 && (c = find(p, path, len)) && !c->id; len = parent_len(c->path))
		chain[n++] = c;
	if (len > 1)
		*id = c->blocked ? 0 : c->id;
	while (r == 0 && *id && n > 0) {
		const char *name = strrchr(chain[--n]->path, '/') + 1;
		if (has_name(p, *id, name, strlen(name))) {
			*id = 0;
			return 0;
		}
		r = make_row(p, chain[n], *id);
		*id = chain[n]->id;
	}
	return r;
}

int base_plan_finish(BasePlan *p, BaseAdd add, void *ctx, char **why)
{
	int r = 0;

	p->add = add;
	p->ctx = ctx;
	for (size_t i = 0; r == 0 && i < p->n; i++) {
		Carried *c = p->all[i];
		const char *name = strrchr(c->path, '/') + 1;
		uint64_t dir = 0;
		if (!c->needed || c->id)
			continue;
		r = dir_of(p, c->path, &dir);
		if (r == 0 && dir && !has_name(p, dir, name, strlen(name)))
			r = make_row(p, c, dir);
	}
	return r < 0 && why && !*why ? bv_fail(why, r, "cannot take over what it carries: %s", strerror(-r)) : r;
}
