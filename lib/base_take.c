/* lib/base_take.c - see base.h: what a snapshot carries, found and written.
 *
 * The rows are read twice: records first, which say what directories rest on, then names, which say where a marked row is and what was replaced. Files of the host are opened by the
 * writer's workers, and may change or go at any time: one that changes while it is read is copied aside and read from there; one that is gone is left out. */
#include "lib/base.h"

#include "base/hmap.h"
#include "lib/snapshot_look.h"
#include "lib/store.h"
#include "lib/view.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define TOGETHER 1024 /* files that are on their way to the writer at once */
#define LIST_MAX ((size_t)1 << 28)

typedef enum State { UNSEEN, HERE, LEFT } State;

typedef struct Entry {
	char *path;
	bool asked; /* the host's is wanted, whatever it is; else only a directory, which leads to such */
	bool dropped; /* the sandbox has something else there */
	const CowRecord *row; /* of a marked row: the copy is told, not the host's */
	_Atomic State state;
	struct stat st; /* of the host's */
	bool again; /* it changed while it was read */
	uint64_t content;
	uint8_t *ref; /* known from the last time */
	size_t ref_len;
} Entry;

typedef struct Known { /* a directory with its origin, or a marked row */
	HmapNode node;
	CowRecord row;
	char *origin, *target;
	uint8_t *remote;
} Known;

typedef struct RowXattr { /* of a marked row */
	uint64_t id;
	char *name;
	uint8_t *value;
	size_t len;
} RowXattr;

struct BaseTake {
	CowExport *rows;
	bool host;     /* files of this host, too */
	uint64_t came; /* rows up to this number are not the sandbox's own: they ask for nothing */
	Entry *all; /* by path, once sorted */
	size_t n, room;
	Hmap known;
	RowXattr *xattrs; /* by name within an id */
	size_t n_xattrs, room_xattrs;
	Strv hidden, rw;
	SnapSource source;
	const SandboxConfig *config;
};

char *base_list_path(const BvSandbox *sb)
{
	return bv_asprintf("%s/opened", sandbox_data_dir(sb));
}

BaseCount base_count(const SnapInfo *info)
{
	CLEAN_FREE char *text = snapshots_field(info, SNAP_FIELD_BASE);
	unsigned long long files = 0, bytes = 0;

	if (!text || sscanf(text, "%llu %llu", &files, &bytes) != 2)
		return (BaseCount){0};
	return (BaseCount){.files = files, .bytes = bytes};
}

bool base_carries(const SnapInfo *info)
{
	const uint8_t *value;
	size_t len;

	return snap_info_field(info, SNAP_FIELD_BASE, &value, &len) == 0;
}

void base_take_free(BaseTake *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->n; i++) {
		free(b->all[i].path);
		free(b->all[i].ref);
	}
	HMAP_FOREACH_SAFE (&b->known, n, next) {
		Known *k = CONTAINER_OF(n, Known, node);
		free(k->origin);
		free(k->target);
		free(k->remote);
		free(k);
	}
	hmap_release(&b->known);
	for (size_t i = 0; i < b->n_xattrs; i++) {
		free(b->xattrs[i].name);
		free(b->xattrs[i].value);
	}
	free(b->xattrs);
	strv_free(b->hidden);
	free(b->all);
	free(b);
}

/* ---- what there is ---- */

static bool is_marked(const CowRecord *r)
{
	return r->kind == COW_RECORD_INODE && (r->flags & COW_RECORD_CARRIED);
}

static const Known *find_known(const BaseTake *b, uint64_t id)
{
	for (HmapNode *n = hmap_first(&b->known, hash_u64(id, 0)); n; n = hmap_next(n))
		if (CONTAINER_OF(n, Known, node)->row.id == id)
			return CONTAINER_OF(n, Known, node);
	return NULL;
}

/* What says which machine this is and who its users are: another one's name servers or accounts would be wrong there. */
static bool is_of_machine(const char *path)
{
	static const char *const all[] = {"/run", "/var/run", "/etc/resolv.conf", "/etc/hosts", "/etc/hostname", "/etc/machine-id", "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow",
					  "/etc/subuid", "/etc/subgid"};
	size_t len = strlen(path);

	for (size_t i = 0; i < ARRAY_LEN(all); i++) /* and what tools leave of them: "/etc/shadow-" */
		if (path_is_below(path, all[i]) || (len == strlen(all[i]) + 1 && path[len - 1] == '-' && strncmp(path, all[i], len - 1) == 0))
			return true;
	return false;
}

static bool is_left_alone(const BaseTake *b, const char *path)
{
	if (path[0] != '/' || view_is_synthetic(path) || is_of_machine(path))
		return true;
	for (size_t i = 0; b->hidden && b->hidden[i]; i++)
		if (path_is_below(path, b->hidden[i]))
			return true;
	for (size_t i = 0; b->rw && b->rw[i]; i++)
		if (path_is_below(path, b->rw[i]))
			return true;
	return false;
}

static int add_entry(BaseTake *b, const char *path, const Entry *like)
{
	if (is_left_alone(b, path) || !path[1])
		return 0;
	if (!BV_GROW(b->all, b->n, b->room))
		return -ENOMEM;
	char *copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	b->all[b->n] = *like;
	b->all[b->n++].path = copy;
	return 0;
}

static int read_list(BaseTake *b, const BvSandbox *sb, char **why)
{
	CLEAN_FREE char *path = base_list_path(sb), *text = NULL;
	ssize_t n = path ? bv_read_file_at(AT_FDCWD, path, LIST_MAX, &text) : -ENOMEM;
	int r = 0;

	if (n == -ENOENT)
		return 0;
	if (n < 0)
		return bv_fail(why, (int)n, "cannot read %s: %s", path, strerror((int)-n));
	while (n > 0 && text[n - 1]) /* a last line that was torn */
		n--;
	for (ssize_t at = 0; r == 0 && at < n; at += (ssize_t)strlen(text + at) + 1)
		r = add_entry(b, text + at, &(Entry){.asked = true});
	return r;
}

static int copy_known(Known *k, const CowRecord *r)
{
	k->row = *r;
	k->origin = r->name ? strndup(r->name, r->n_name) : NULL;
	k->target = r->value ? strndup(r->value, r->n_value) : NULL;
	k->remote = r->remote ? malloc(r->n_remote + 1) : NULL;
	if ((r->name && !k->origin) || (r->value && !k->target) || (r->remote && !k->remote))
		return -ENOMEM;
	if (k->remote)
		memcpy(k->remote, r->remote, r->n_remote);
	k->row.name = k->origin;
	k->row.value = k->target;
	k->row.remote = k->remote;
	return 0;
}

static int note_inode(void *ctx, const CowRecord *r)
{
	BaseTake *b = ctx;
	bool dir = S_ISDIR(r->mode);

	if (r->kind != COW_RECORD_INODE || (!r->name && !is_marked(r)))
		return 0;
	Known *k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	int rc = copy_known(k, r);
	bool asked = !dir && b->host && r->id > b->came;
	hmap_insert(&b->known, &k->node, hash_u64(r->id, 0));
	if (rc == 0 && k->origin && (dir || asked))
		rc = add_entry(b, k->origin, &(Entry){.asked = asked, .row = dir && is_marked(r) ? &k->row : NULL});
	return rc;
}

static int note_xattr(BaseTake *b, const CowRecord *r)
{
	if (!BV_GROW(b->xattrs, b->n_xattrs, b->room_xattrs))
		return -ENOMEM;
	RowXattr *x = &b->xattrs[b->n_xattrs++];
	*x = (RowXattr){.id = r->id, .name = strndup(r->name, r->n_name), .value = malloc(r->n_value + 1), .len = r->n_value};
	if (!x->name || !x->value)
		return -ENOMEM;
	memcpy(x->value, r->value, r->n_value);
	return 0;
}

static int note_name(void *ctx, const CowRecord *r)
{
	BaseTake *b = ctx;
	const Known *dir = r->kind == COW_RECORD_DENTRY ? find_known(b, r->dir) : NULL, *of = r->id ? find_known(b, r->id) : NULL;

	if (r->kind == COW_RECORD_XATTR)
		return of && is_marked(&of->row) && r->value ? note_xattr(b, r) : 0;
	if (!dir || !dir->origin)
		return 0;
	CLEAN_FREE char *path = bv_asprintf("%s/%.*s", strcmp(dir->origin, "/") == 0 ? "" : dir->origin, (int)r->n_name, r->name);
	if (!path)
		return -ENOMEM;
	if (of && is_marked(&of->row) && !S_ISDIR(of->row.mode))
		return add_entry(b, path, &(Entry){.row = &of->row});
	return of && of->origin && strcmp(of->origin, path) == 0 ? 0 : add_entry(b, path, &(Entry){.dropped = true});
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const Entry *)a)->path, ((const Entry *)b)->path);
}

static void sort(BaseTake *b)
{
	size_t kept = 0;

	if (b->n)
		qsort(b->all, b->n, sizeof(*b->all), by_path);
	for (size_t i = 0; i < b->n; i++) {
		Entry *last = kept ? &b->all[kept - 1] : NULL, *e = &b->all[i];
		if (!last || strcmp(last->path, e->path) != 0) {
			b->all[kept++] = *e;
			continue;
		}
		last->asked |= e->asked;
		last->dropped |= e->dropped;
		last->row = last->row ? last->row : e->row;
		free(e->path);
	}
	b->n = kept;
}

/* A rename lets a record rest on a path whose name now means something else: the file is needed all the same. */
static int keep_origins(BaseTake *b)
{
	HMAP_FOREACH_SAFE (&b->known, n, next) {
		const Known *k = CONTAINER_OF(n, Known, node);
		Entry *e = k->origin ? bsearch(&(Entry){.path = k->origin}, b->all, b->n, sizeof(*b->all), by_path) : NULL;
		if (e)
			e->dropped = false;
	}
	return 0;
}

static int add_parents(BaseTake *b)
{
	size_t n = b->n;
	const char *last = "";
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		CLEAN_FREE char *path = strdup(b->all[i].path);
		if (!path)
			return -ENOMEM;
		while (r == 0 && path_go_up(path) && path[1]) {
			if (path_is_below(last, path)) /* so are those above */
				break;
			r = b->all[i].dropped && !b->all[i].row ? 0 : add_entry(b, path, &(Entry){0});
		}
		last = b->all[i].dropped ? last : b->all[i].path;
	}
	sort(b);
	return r;
}

static int find_all(BaseTake *b, const BvSandbox *sb, char **why)
{
	SandboxConfig plain = sb->config; /* what was granted is no less secret elsewhere */

	plain.show = plain.rw = NULL;
	b->rw = sb->config.rw;
	b->config = &sb->config;
	int r = hide_list(sb->store, &plain, &b->hidden);
	if (r == 0)
		r = cow_export_walk(b->rows, note_inode, b, why);
	if (r == 0)
		r = cow_export_walk(b->rows, note_name, b, why);
	if (r == 0 && b->host)
		r = read_list(b, sb, why);
	if (r == 0 && sb->config.cwd) /* where commands are started */
		r = add_entry(b, sb->config.cwd, &(Entry){0});
	sort(b);
	if (r == 0)
		r = keep_origins(b);
	return r < 0 ? r : add_parents(b);
}

int base_take_begin(const BvSandbox *sb, CowExport *rows, bool host, BaseTake **out, char **why)
{
	BaseTake *b = calloc(1, sizeof(*b));
	int r = b ? hmap_init(&b->known) : -ENOMEM;

	if (b) {
		b->rows = rows;
		b->came = cow_export_came(rows);
		b->host = host && (b->came || !sb->config.carries); /* before `came` was kept, the list had what a snapshot named */
	}
	if (r == 0)
		r = find_all(b, sb, why);
	if (r < 0)
		base_take_free(b);
	else
		*out = b;
	return r;
}

bool base_take_has(const BaseTake *b, const CowRecord *r)
{
	const Known *k = b && r->kind != COW_RECORD_INODE && r->id ? find_known(b, r->id) : NULL;

	if (!b)
		return false;
	return k ? is_marked(&k->row) && !S_ISDIR(k->row.mode) : is_marked(r) && !S_ISDIR(r->mode);
}

/* ---- what the host has ---- */

static Entry *parent_of(const BaseTake *b, const Entry *e)
{
	CLEAN_FREE char *path = strdup(e->path);

	if (!path || !path_go_up(path) || !path[1])
		return NULL;
	return bsearch(&(Entry){.path = path}, b->all, b->n, sizeof(*b->all), by_path);
}

static bool is_readable(const Entry *e)
{
	return !S_ISREG(e->st.st_mode) || faccessat(AT_FDCWD, e->path, R_OK, AT_EACCESS) == 0;
}

/* Parents come before what is in them: no path here leads through a symlink. */
static void look(const BaseTake *b, Entry *e)
{
	const Entry *up = parent_of(b, e);
	bool has_up = strrchr(e->path, '/') == e->path || (up && up->state == HERE && (up->row ? S_ISDIR(up->row->mode) : S_ISDIR(up->st.st_mode)));

	if (e->row)
		e->state = has_up ? HERE : LEFT;
	else if (e->dropped || !has_up || lstat(e->path, &e->st) < 0 || (!e->asked && !S_ISDIR(e->st.st_mode)) || !is_readable(e))
		e->state = LEFT;
	else
		e->state = S_ISREG(e->st.st_mode) || S_ISDIR(e->st.st_mode) || S_ISLNK(e->st.st_mode) ? HERE : LEFT;
	e->st.st_uid = config_shows_uid(b->config, e->st.st_uid); /* as records know it */
	e->st.st_gid = config_shows_gid(b->config, e->st.st_gid);
}

static bool has_bytes(const Entry *e)
{
	return e->state == HERE && S_ISREG(e->row ? e->row->mode : e->st.st_mode);
}

/* What the memory of contents knows it by: a number below all inodes, which only the path decides. */
static CowRecord as_remembered(const Entry *e)
{
	CowRecord r = e->row ? *e->row : (CowRecord){.kind = COW_RECORD_INODE, .blob = 1, .mode = e->st.st_mode};

	r.id = hash_stable(e->path, strlen(e->path)) | (uint64_t)1 << 63;
	if (!e->row) {
		r.body.dev = e->st.st_dev;
		r.body.ino = e->st.st_ino;
		r.body.size = (uint64_t)e->st.st_size;
		r.body.mtime = e->st.st_mtim;
		r.body.ctime = e->st.st_ctim;
	}
	return r;
}

typedef struct Order {
	int64_t id;
	Entry *entry;
} Order;

static int by_id(const void *a, const void *b)
{
	const Order *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static int know(Entry *e, SnapWriter *w, const uint8_t *ref, size_t len)
{
	if (snap_writer_keep(w, ref, len) != 1)
		return 0;
	e->ref = malloc(len);
	if (!e->ref)
		return -ENOMEM;
	memcpy(e->ref, ref, len);
	e->ref_len = len;
	return 0;
}

/* What has not changed since the last snapshot is not read. */
static int recall(BaseTake *b, SnapWriter *w, CowContents *contents)
{
	CLEAN_FREE Order *order = calloc(b->n + 1, sizeof(*order));
	size_t n = 0;
	int r = order ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < b->n; i++) {
		Entry *e = &b->all[i];
		if (!has_bytes(e))
			continue;
		if (e->row && e->row->remote)
			r = know(e, w, e->row->remote, e->row->n_remote);
		else
			order[n++] = (Order){(int64_t)as_remembered(e).id, e};
	}
	if (n)
		qsort(order, n, sizeof(*order), by_id);
	for (size_t i = 0; r == 0 && contents && i < n; i++) {
		CowRecord as = as_remembered(order[i].entry);
		const uint8_t *ref;
		size_t len;
		if (cow_contents_find(contents, &as, &ref, &len))
			r = know(order[i].entry, w, ref, len);
	}
	return r;
}

/* ---- the writer's side: called from its threads, each entry by one at a time ---- */

static int open_host(const char *path)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_NOATIME);

	if (fd < 0 && errno == EPERM)
		fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return lib_own_fd(fd);
}

/* Nothing to read any more: an empty file in its place, for a record that is not written. */
static int leave_out(Entry *e, int *fd)
{
	e->state = LEFT;
	*fd = look_temporary();
	return *fd < 0 ? bv_neg_errno() : 0;
}

static int copy_aside(int from, const struct stat *st, int *fd)
{
	CLEAN_FD int copy = look_temporary();
	CLEAN_FREE char *buf = malloc(1 << 16);
	int r = copy < 0 ? bv_neg_errno() : buf ? 0 : -ENOMEM;
	off_t left = st->st_size;

	while (r == 0 && left > 0) {
		ssize_t n = bv_read_full(from, buf, (size_t)MIN(left, (off_t)1 << 16));
		if (n <= 0)
			break; /* it became shorter */
		r = bv_write_full(copy, buf, (size_t)n);
		left -= n;
	}
	if (r == 0)
		*fd = TAKE_FD(copy);
	return r;
}

static int open_content(void *ctx, uint64_t key, int *fd, bool *stays, char **err)
{
	BaseTake *b = ctx;
	Entry *e = &b->all[key];

	if (e->row)
		return cow_export_blob(b->rows, e->row->blob, fd, stays, err);
	CLEAN_FD int from = open_host(e->path);
	*stays = e->again;
	if (from < 0 || fstat(from, &e->st) < 0 || !S_ISREG(e->st.st_mode)) {
		*stays = true;
		return leave_out(e, fd);
	}
	if (e->again)
		return copy_aside(from, &e->st, fd);
	*fd = TAKE_FD(from);
	return 0;
}

static bool content_changed(void *ctx, uint64_t key)
{
	const BaseTake *b = ctx;
	Entry *e = &b->all[key];
	struct stat now;

	if (e->row)
		return cow_export_changed(b->rows, e->row->blob);
	e->again = lstat(e->path, &now) < 0 || now.st_ino != e->st.st_ino || now.st_size != e->st.st_size || now.st_mtim.tv_sec != e->st.st_mtim.tv_sec ||
		   now.st_mtim.tv_nsec != e->st.st_mtim.tv_nsec;
	return e->again;
}

/* ---- records ---- */

/* Times of directories change with all that others make in them, and say nothing to a sandbox. */
static SnapInode inode_of(const Entry *e)
{
	const struct stat *st = &e->st;
	const CowRecord *r = e->row;
	mode_t mode = r ? r->mode : st->st_mode;

	if (S_ISDIR(mode))
		return (SnapInode){.mode = mode, .uid = r ? r->uid : st->st_uid, .gid = r ? r->gid : st->st_gid};
	if (r) {
		return (SnapInode){.mode = r->mode, .uid = r->uid, .gid = r->gid, .mtime = r->mtime, .target = r->value, .target_len = r->n_value, .base_known = true,
				   .base = {.size = S_ISREG(r->mode) ? r->body.size : 0, .mtime = r->mtime, .mode = r->mode, .uid = r->uid, .gid = r->gid}};
	}
	return (SnapInode){.mode = st->st_mode, .uid = st->st_uid, .gid = st->st_gid, .mtime = st->st_mtim, .base_known = true,
			   .base = {st->st_dev, st->st_ino, (uint64_t)st->st_size, st->st_mtim, st->st_ctim, st->st_mode, st->st_uid, st->st_gid}};
}

static int put(SnapWriter *w, const Entry *e, const char *xattr, const Bytes *value, const uint8_t *ref, size_t len)
{
	uint8_t key[RECORD_BASE_KEY_MAX];
	size_t n = record_key_base(key, e->path, xattr);

	if (value->failed)
		return -ENOMEM;
	return n ? snap_writer_record(w, &(Record){.key = key, .key_len = n, .content = ref, .content_len = len, .value = value->data, .value_len = value->len}) : 0;
}

typedef struct Attributes {
	SnapWriter *w;
	const Entry *e;
} Attributes;

static int put_xattr(const Attributes *a, const char *name, const void *data, size_t len)
{
	CLEAN_BYTES Bytes value = {0};

	snap_xattr_encode(&(SnapXattr){.value = data, .len = len}, &value);
	return put(a->w, a->e, name, &value, NULL, 0);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Those of users: the others say something to this host's kernel only. */
static int put_host_xattrs(const Attributes *a)
{
	char names[4096], value[4096];
	ssize_t n = llistxattr(a->e->path, names, sizeof(names));
	CLEAN_FREE const char **sorted = n > 0 ? calloc((size_t)n, sizeof(*sorted)) : NULL;
	size_t count = 0;
	int r = 0;

	if (n <= 0)
		return 0;
	if (!sorted)
		return -ENOMEM;
	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1)
		if (strncmp(names + at, "user.", 5) == 0)
			sorted[count++] = names + at;
	if (count)
		qsort(sorted, count, sizeof(*sorted), by_text);
	for (size_t i = 0; r == 0 && i < count; i++) {
		ssize_t len = lgetxattr(a->e->path, sorted[i], value, sizeof(value));
		if (len >= 0)
			r = put_xattr(a, sorted[i], value, (size_t)len);
	}
	return r;
}

static int put_row_xattrs(const BaseTake *b, const Attributes *a)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->n_xattrs; i++)
		if (b->xattrs[i].id == a->e->row->id)
			r = put_xattr(a, b->xattrs[i].name, b->xattrs[i].value, b->xattrs[i].len);
	return r;
}

static int put_entry(BaseTake *b, Entry *e, SnapWriter *w, CowContents *contents, BaseCount *count)
{
	CLEAN_BYTES Bytes value = {0};
	const Attributes a = {w, e};
	const uint8_t *ref = e->ref;
	size_t len = e->ref_len;
	char target[PATH_MAX];
	int r = 0;

	if (has_bytes(e) && !ref)
		r = snap_writer_content(w, e->content, &ref, &len);
	if (r < 0)
		return r;
	SnapInode inode = inode_of(e);
	if (e->state == HERE && S_ISLNK(inode.mode) && !e->row) {
		ssize_t n = readlink(e->path, target, sizeof(target));
		if (n <= 0 || (size_t)n >= sizeof(target))
			e->state = LEFT;
		inode.target = target;
		inode.target_len = (size_t)MAX(n, 0);
	}
	if (e->state != HERE) {
		count->left += e->asked && !e->dropped;
		return 0;
	}
	snap_inode_encode(&inode, &value);
	r = put(w, e, NULL, &value, ref, len);
	if (r == 0 && S_ISREG(inode.mode)) {
		CowRecord as = as_remembered(e);
		count->files++;
		count->bytes += inode.base.size;
		if (!e->ref && contents)
			cow_contents_put(contents, &as, ref, len);
		r = e->row ? put_row_xattrs(b, &a) : put_host_xattrs(&a);
	}
	return r;
}

static int say_count(SnapWriter *w, const BaseCount *count)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%llu %llu", (unsigned long long)count->files, (unsigned long long)count->bytes);

	return snap_writer_field(w, SNAP_FIELD_BASE, text, (size_t)n);
}

int base_take_write(BaseTake *b, SnapWriter *w, CowContents *contents, BaseCount *out, char **why)
{
	BaseCount count = {0};
	int r;

	b->source = (SnapSource){open_content, content_changed, b};
	for (size_t i = 0; i < b->n; i++)
		look(b, &b->all[i]);
	r = recall(b, w, contents);
	for (size_t from = 0; r == 0 && from < b->n; from += TOGETHER) {
		size_t to = MIN(b->n, from + TOGETHER);
		for (size_t i = from; r == 0 && i < to; i++)
			if (has_bytes(&b->all[i]) && !b->all[i].ref)
				r = snap_writer_add(w, &b->source, i, &b->all[i].content);
		for (size_t i = from; r == 0 && i < to; i++)
			r = put_entry(b, &b->all[i], w, contents, &count);
	}
	if (r == 0)
		r = say_count(w, &count);
	if (r < 0) {
		const char *said = snap_writer_error(w);
		return bv_fail(why, r, "what it rests on: %s", said ? said : strerror(-r));
	}
	*out = count;
	return 0;
}
