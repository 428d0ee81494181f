/* lib/look_list.c - directories, listed: bv_snapshot_list_dir (what the snapshot has, straight from its manifest) and bv_sandbox_list_dir (all that a command would see). */
#include "lib/snapshot_look.h"
#include "lib/view.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sysmacros.h>

typedef int (*Visit)(void *ctx, const BvEntry *entry);

typedef struct Names {
	Strv list; /* NULL while empty */
	uint64_t *ids; /* of a snapshot: record numbers, 0: deleted */
	size_t count, room;
	char *why;
} Names;

static void names_release(Names *n)
{
	strv_free(n->list);
	free(n->ids);
	free(n->why);
}

static int add_name(Names *n, const char *name, size_t len, uint64_t id)
{
	if (n->count == n->room) {
		size_t room = MAX(64, n->room * 2);
		char **list = realloc(n->list, (room + 1) * sizeof(*list));
		if (list)
			n->list = list;
		uint64_t *ids = list ? realloc(n->ids, room * sizeof(*ids)) : NULL;
		if (!ids)
			return -ENOMEM;
		n->ids = ids;
		n->room = room;
	}
	n->list[n->count] = strndup(name, len);
	if (!n->list[n->count])
		return -ENOMEM;
	n->ids[n->count++] = id;
	n->list[n->count] = NULL;
	return 0;
}

static char *join(const char *dir, const char *name)
{
	return bv_asprintf("%s/%s", strcmp(dir, "/") == 0 ? "" : dir, name);
}

static void fill_entry(BvEntry *e, const struct stat *st)
{
	e->mode = st->st_mode;
	e->uid = st->st_uid;
	e->gid = st->st_gid;
	e->bytes = (uint64_t)st->st_size;
	e->ino = st->st_ino;
	e->links = (uint32_t)st->st_nlink;
	e->mtime_sec = st->st_mtim.tv_sec;
	e->mtime_nsec = st->st_mtim.tv_nsec;
}

/* ---- of a snapshot ---- */

typedef struct Listing {
	BvSnapshot *s;
	bool deep;
	Visit visit;
	void *ctx;
	BvError **err;
} Listing;

static int on_dentry(void *ctx, const Record *record)
{
	Names *names = ctx;
	CowRecord row;
	int r = record_decode(record, &row);

	if (r < 0)
		return bv_fail(&names->why, r, r == -EPROTO ? "it was written by a newer version of bvisor: use that" : "it is damaged: a name makes no sense");
	if (row.n_name == 0 || row.n_name > NAME_MAX || memchr(row.name, '/', row.n_name) || memchr(row.name, 0, row.n_name))
		return bv_fail(&names->why, -EBADMSG, "it is damaged: a name makes no sense");
	return add_name(names, row.name, row.n_name, row.id);
}

static int read_names(Listing *l, uint64_t dir, Names *names)
{
	uint8_t key[RECORD_KEY_MAX];
	char *why = NULL;
	int r = snap_reader_walk(l->s->reader, key, record_key_dentry(key, dir, "", 0), on_dentry, names, &why);

	if (r < 0)
		return look_failed(l->s, r, names->why ? TAKE_PTR(names->why) : TAKE_PTR(why), l->err);
	free(why);
	return 0;
}

static int tell_spot(Listing *l, const char *path, const Spot *spot)
{
	CLEAN_FREE char *target = (spot->id || spot->carried) && spot->inode.target ? strndup(spot->inode.target, spot->inode.target_len) : NULL;
	CLEAN_FREE char *origin = NULL;
	BvEntry e = {.path = path, .name = path_last(path), .target = target};
	char text[PATH_MAX];
	struct stat st;
	int r = spot_stat(l->s, spot, &st);

	bool host = !spot->id && !spot->carried;

	if (r < 0 && host)
		return lib_fail(l->err, r, "%s: %s", path, strerror(-r));
	e.flags = (r < 0 ? BV_ENTRY_MISSING : 0U) | (host || (spot->inode.origin && !S_ISDIR(st.st_mode)) ? BV_ENTRY_HOST : 0U);
	fill_entry(&e, &st);
	if (host && S_ISLNK(st.st_mode)) {
		ssize_t n = readlink(spot->host, text, sizeof(text) - 1);
		text[MAX(n, 0)] = '\0';
		e.target = text;
	}
	if (spot->id && spot->inode.origin)
		origin = strndup(spot->inode.origin, spot->inode.origin_len);
	e.origin = origin && strcmp(origin, path) != 0 ? origin : NULL;
	return l->visit(l->ctx, &e);
}

static int list_record_dir(Listing *l, const char *path, uint64_t id);

static int list_name(Listing *l, const char *dir, const char *name, uint64_t id)
{
	CLEAN_FREE char *path = join(dir, name);
	CLEAN_SPOT Spot spot = {0};
	int r;

	if (!path)
		return lib_fail(l->err, -ENOMEM, "out of memory");
	if (strlen(path) >= 2 * (size_t)PATH_MAX) /* a circle in a damaged one ends here, at the latest */
		return lib_fail(l->err, -ENAMETOOLONG, "%.60s...: deeper than a path can say", path);
	if (!id)
		return l->visit(l->ctx, &(BvEntry){.path = path, .name = path_last(path)});
	r = spot_load(l->s, id, &spot, l->err);
	if (r == 0)
		r = tell_spot(l, path, &spot);
	return r == 0 && l->deep && S_ISDIR(spot.inode.mode) ? list_record_dir(l, path, id) : r;
}

static int list_record_dir(Listing *l, const char *path, uint64_t id)
{
	Names names = {0};
	int r = read_names(l, id, &names);

	for (size_t i = 0; r == 0 && i < names.count; i++)
		r = list_name(l, path, names.list[i], names.ids[i]);
	names_release(&names);
	return r;
}

int bv_snapshot_list_dir(BvSnapshot *s, const char *given, const BvListOptions *options, Visit visit, void *ctx, BvError **err)
{
	BvListOptions o = BV_LIST_OPTIONS_INIT;
	CLEAN_FREE char *path = NULL;
	CLEAN_SPOT Spot spot = {0};
	struct stat st;

	if (lib_take_options(&o, sizeof(o), options) < 0)
		return lib_fail(err, -EINVAL, "the options have a size that this library does not know");
	Listing l = {s, o.flags & BV_LIST_RECURSIVE, visit, ctx, err};
	int r = spot_find(s, given, true, &spot, err);
	if (r < 0)
		return r;
	path = path_absolute(given);
	if (!path)
		return lib_fail(err, -ENOMEM, "out of memory");
	if (spot.id)
		return S_ISDIR(spot.inode.mode) ? list_record_dir(&l, path, spot.id) : tell_spot(&l, path, &spot);
	/* The host's directory: nothing in it is the snapshot's. */
	return spot_stat(s, &spot, &st) == 0 && S_ISDIR(st.st_mode) ? 0 : tell_spot(&l, path, &spot);
}

/* ---- of a sandbox ---- */

typedef struct Look {
	BvSandbox *sb;
	Cowfs *fs;
	ViewRequest request;
	bool deep;
	Visit visit;
	void *ctx;
	BvError **err;
} Look;

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_dirents(Names *names, const char *buf, size_t len)
{
	int r = 0;

	for (size_t at = 0; r == 0 && at < len;) {
		const struct dirent64 *d = (const void *)(buf + at);
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			r = add_name(names, d->d_name, strlen(d->d_name), 0);
		at += d->d_reclen;
	}
	return r;
}

static int read_view_names(Look *l, const char *path, Names *names)
{
	_Alignas(8) char buf[16384];
	CLEAN_LOC CowLoc loc = {0};
	uint64_t pos = 0;
	ssize_t n = 1;
	int r = cowfs_resolve(l->fs, &l->request.req, NULL, path, COW_DIRECTORY, 0, &loc);

	while (r == 0 && n > 0) {
		n = cowfs_getdents(l->fs, &l->request.req, &loc, &pos, buf, sizeof(buf));
		r = n < 0 ? (int)n : add_dirents(names, buf, (size_t)n);
	}
	if (r == 0 && names->count)
		qsort(names->list, names->count, sizeof(*names->list), by_text);
	return r < 0 ? lib_fail(l->err, r, "%s: %s", path, strerror(-r)) : 0;
}

static struct stat stat_of(const struct statx *x)
{
	return (struct stat){.st_mode = x->stx_mode, .st_uid = x->stx_uid, .st_gid = x->stx_gid, .st_size = (off_t)x->stx_size, .st_ino = x->stx_ino, .st_nlink = x->stx_nlink,
			     .st_mtim = {.tv_sec = x->stx_mtime.tv_sec, .tv_nsec = x->stx_mtime.tv_nsec}};
}

static int tell_path(Look *l, const char *path, bool *is_dir)
{
	BvEntry e = {.path = path, .name = path_last(path)};
	char target[PATH_MAX];
	struct statx x;
	int r = cowfs_statx(l->fs, &l->request.req, NULL, path, COW_NOFOLLOW, STATX_BASIC_STATS, &x);

	if (r == -ENOENT && !is_dir) /* removed meanwhile */
		return 0;
	if (r < 0)
		return lib_fail(l->err, r, "%s: %s", path, strerror(-r));
	struct stat st = stat_of(&x);
	fill_entry(&e, &st);
	if (S_ISLNK(x.stx_mode)) {
		ssize_t n = cowfs_readlink(l->fs, &l->request.req, NULL, path, COW_NOFOLLOW, target, sizeof(target) - 1);
		target[MAX(n, 0)] = '\0';
		e.target = target;
	}
	if (is_dir)
		*is_dir = S_ISDIR(x.stx_mode);
	return l->visit(l->ctx, &e);
}

static int list_view_dir(Look *l, const char *path)
{
	Names names = {0};
	int r = read_view_names(l, path, &names);

	for (size_t i = 0; r == 0 && i < names.count; i++) {
		CLEAN_FREE char *below = join(path, names.list[i]);
		bool is_dir = false;
		r = below ? tell_path(l, below, l->deep ? &is_dir : NULL) : lib_fail(l->err, -ENOMEM, "out of memory");
		if (r == 0 && is_dir)
			r = list_view_dir(l, below);
	}
	names_release(&names);
	return r;
}

static int list_view(Look *l, const char *path)
{
	struct statx x;
	int r = cowfs_statx(l->fs, &l->request.req, NULL, path, 0, STATX_TYPE, &x);
	bool is_dir;

	if (r < 0)
		return lib_fail(l->err, r, "%s in sandbox '%s': %s", path, bv_sandbox_name(l->sb), strerror(-r));
	return S_ISDIR(x.stx_mode) ? list_view_dir(l, path) : tell_path(l, path, &is_dir);
}

int bv_sandbox_list_dir(BvSandbox *sb, const char *given, const BvListOptions *options, Visit visit, void *ctx, BvError **err)
{
	BvListOptions o = BV_LIST_OPTIONS_INIT;
	CLEAN_FREE char *path = path_absolute(given);
	Look l = {.sb = sb, .visit = visit, .ctx = ctx, .err = err};
	int r;

	if (lib_take_options(&o, sizeof(o), options) < 0)
		return lib_fail(err, -EINVAL, "the options have a size that this library does not know");
	if (given[0] != '/')
		return lib_fail(err, -EINVAL, "%s: not an absolute path", given);
	if (!path)
		return lib_fail(err, -ENOMEM, "out of memory");
	l.deep = o.flags & BV_LIST_RECURSIVE;
	view_request_init(&l.request, &sb->config);
	r = view_get(sb, &l.fs, err);
	if (r < 0)
		return r;
	if (l.fs)
		r = list_view(&l, path);
	else
		r = lib_fail(err, -ENOENT, "no command has run in sandbox '%s' yet", bv_sandbox_name(sb));
	view_put(sb);
	return r;
}
