/* lib/snapshot_look.c - see snapshot_look.h; and bv_snapshot_open, _close, _about, _read, _open_file, _readlink. */
#include "lib/base.h"
#include "lib/snapshot_view.h"
#include "lib/store.h"
#include "lib/view.h"

#include <fcntl.h>
#include <sys/mman.h>

#define LINKS_MAX 40

int look_failed(const BvSnapshot *s, int code, char *why, BvError **err)
{
	(void)lib_fail(err, code, "snapshot %s in %s: %s%s", s->title, s->place.location, why ? why : strerror(-code), lib_way_out(code));
	free(why);
	return code;
}

/* ---- opening ---- */

void bv_snapshot_close(BvSnapshot *s)
{
	if (!s)
		return;
	if (s->view)
		snapshot_view_close(s->view);
	free(s->view);
	snap_reader_close(s->reader);
	snapshots_close(&s->place);
	strv_free(s->hidden);
	free(s->title);
	pthread_mutex_destroy(&s->view_mu);
	free(s);
}

static int hide_default(const BvSnapshotOpenOptions *o, Strv *out, BvError **err)
{
	CLEAN_CONFIG SandboxConfig config = {0};
	CLEAN_FREE char *store = store_path(o->store, err);
	int r = store ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && o->show && o->show[i]; i++) {
		CLEAN_FREE char *path = path_absolute(o->show[i]);
		r = path ? strv_add(&config.show, path) : -ENOMEM;
	}
	if (r == 0)
		r = hide_list(store, &config, out);
	return r < 0 && (!err || !*err) ? lib_fail(err, r, "cannot tell what is hidden here: %s", strerror(-r)) : r;
}

static int open_reader(BvSnapshot *s, const char *name, const BvSnapshotOpenOptions *o, BvError **err)
{
	char *why = NULL;
	int r = snapshots_open(o->from, o->store, o->key, false, &s->place, err);

	if (r == 0)
		r = snapshots_find(&s->place, name, &s->ref, err);
	if (r < 0)
		return r;
	s->title = bv_asprintf("%s@%llu", s->ref.name, (unsigned long long)s->ref.number);
	if (!s->title)
		return lib_fail(err, -ENOMEM, "out of memory");
	r = snap_reader_open(s->place.store, &s->ref.id, &s->reader, &why);
	return r < 0 ? look_failed(s, r, why, err) : hide_default(o, &s->hidden, err);
}

int bv_snapshot_open(const char *name, const BvSnapshotOpenOptions *options, BvSnapshot **out, BvError **err)
{
	BvSnapshotOpenOptions o = BV_SNAPSHOT_OPEN_OPTIONS_INIT;
	BvSnapshot *s;

	if (lib_take_options(&o, sizeof(o), options) < 0)
		return lib_fail(err, -EINVAL, "the options have a size that this library does not know");
	s = calloc(1, sizeof(*s));
	if (!s)
		return lib_fail(err, -ENOMEM, "out of memory");
	pthread_mutex_init(&s->view_mu, NULL);
	int r = open_reader(s, name, &o, err);
	if (r < 0)
		bv_snapshot_close(s);
	else
		*out = s;
	return r;
}

void bv_snapshot_about(const BvSnapshot *s, BvSnapshotReceipt *out)
{
	const SnapInfo *info = snap_reader_info(s->reader);
	SnapTraffic t = snap_store_traffic(s->place.store);

	BvSnapshotReceipt told = {.number = s->ref.number, .files = info->totals.contents, .bytes = info->totals.content_bytes, .moved = t.received,
				  .requests = t.gets + t.puts + t.others};
	snprintf(told.name, sizeof(told.name), "%s", s->ref.name);
	id_hex(&s->ref.id, told.id);
	lib_give(out, &told, sizeof(told));
}

/* ---- records ---- */

void spot_release(Spot *spot)
{
	free(spot->host);
	free(spot->value);
	free(spot->content);
	*spot = (Spot){0};
}

int spot_load(BvSnapshot *s, uint64_t id, Spot *out, BvError **err)
{
	uint8_t key[RECORD_KEY_MAX];
	CLEAN_SPOT Spot spot = {.id = id};
	char *why = NULL;
	size_t len;
	int r = snap_reader_find(s->reader, key, record_key_inode(key, id), &spot.content, &spot.content_len, &spot.value, &len, &why);

	if (r == -ENOENT) {
		free(why);
		why = NULL;
		r = bv_fail(&why, -EBADMSG, "it is damaged: a name leads to record %llu, which is not there", (unsigned long long)id);
	}
	if (r == 0)
		r = snap_inode_decode(spot.value, len, &spot.inode);
	if (r == -EPROTO && !why)
		bv_fail(&why, r, "it was written by a newer version of bvisor: use that");
	if (r < 0)
		return look_failed(s, r, why, err);
	free(why);
	*out = spot;
	spot = (Spot){0};
	return 0;
}

/* The root has a record only if anything was ever changed. */
static int root_spot(BvSnapshot *s, Spot *out, BvError **err)
{
	CLEAN_FREE uint8_t *content = NULL, *value = NULL;
	uint8_t key[RECORD_KEY_MAX];
	size_t content_len, len;
	char *why = NULL;
	int r = snap_reader_find(s->reader, key, record_key_inode(key, 1), &content, &content_len, &value, &len, &why);

	if (r == 0)
		return spot_load(s, 1, out, err);
	if (r != -ENOENT)
		return look_failed(s, r, why, err);
	free(why);
	*out = (Spot){.host = strdup("/")};
	return out->host ? 0 : lib_fail(err, -ENOMEM, "out of memory");
}

bool look_is_hidden(const BvSnapshot *s, const char *host)
{
	if (view_is_synthetic(host))
		return true;
	for (size_t i = 0; s->hidden && s->hidden[i]; i++)
		if (path_is_below(host, s->hidden[i]))
			return true;
	return false;
}

int spot_origin(BvSnapshot *s, const Spot *spot, char **out, BvError **err)
{
	CLEAN_FREE char *origin = spot->inode.origin ? strndup(spot->inode.origin, spot->inode.origin_len) : NULL;

	if (spot->inode.origin && !origin)
		return lib_fail(err, -ENOMEM, "out of memory");
	/* A snapshot may come from anybody: it shall not show what is hidden, by another name. */
	if (origin && (look_is_hidden(s, origin) || view_is_synthetic(origin)))
		return lib_fail(err, -EACCES, "snapshot %s: it rests on %s, which no sandbox can see here (`bvisor restore --show` could allow it)", s->title, origin);
	*out = TAKE_PTR(origin);
	return 0;
}

static struct timespec stat_time(const SnapInode *i, unsigned bit, struct timespec record, struct timespec host)
{
	return i->have & bit || !i->origin ? record : host;
}

int spot_stat(BvSnapshot *s, const Spot *spot, struct stat *out)
{
	enum { HAVE_MODE = 1, HAVE_UID = 2, HAVE_GID = 4, HAVE_MTIME = 16 }; /* docs/SCHEMA.md */
	const SnapInode *i = &spot->inode;
	CLEAN_FREE char *origin = NULL;
	struct stat st = {0};
	uint64_t size = 0;
	int r = 0;

	if (!spot->id && !spot->carried)
		return lstat(spot->host, out) < 0 ? bv_neg_errno() : 0;
	r = spot_origin(s, spot, &origin, NULL);
	if (r == 0 && origin && (lstat(origin, &st) < 0 || (st.st_mode & S_IFMT) != (i->mode & S_IFMT))) {
		r = -ENOENT;
		st = (struct stat){0};
	}
	bool host = origin && r == 0;
	if (!host || (i->have & HAVE_MODE))
		st.st_mode = i->mode;
	if (!host || (i->have & HAVE_UID))
		st.st_uid = i->uid;
	if (!host || (i->have & HAVE_GID))
		st.st_gid = i->gid;
	if (!host || (i->have & HAVE_MTIME))
		st.st_mtim = stat_time(i, HAVE_MTIME, i->mtime, st.st_mtim);
	st.st_ino = i->vino;
	st.st_rdev = i->rdev;
	if (!origin)
		st.st_nlink = (nlink_t)MAX(i->nlink, 1);
	if (spot->content_len > 0 && snap_content_size(spot->content, spot->content_len, &size) == 0)
		st.st_size = (off_t)size;
	else if (i->target)
		st.st_size = (off_t)i->target_len;
	*out = st;
	return r;
}

/* ---- walking ---- */

typedef struct Way {
	BvSnapshot *s;
	const char *path; /* as asked for */
	Spot *stack;	  /* from the root to where we are */
	size_t n, room;
	char *rest;
	unsigned links;
	BvError **err;
} Way;

static void way_release(Way *w)
{
	for (size_t i = 0; i < w->n; i++)
		spot_release(&w->stack[i]);
	free(w->stack);
	free(w->rest);
}

/* Takes the spot over. */
static int push(Way *w, Spot *spot)
{
	if (!BV_GROW(w->stack, w->n, w->room))
		return lib_fail(w->err, -ENOMEM, "out of memory");
	w->stack[w->n++] = *spot;
	*spot = (Spot){0};
	return 0;
}

static int lost_way(const Way *w, int code)
{
	return lib_fail(w->err, code, "%s in snapshot %s: %s", w->path, w->s->title, strerror(-code));
}

typedef struct Twin {
	const struct stat *st;
	uint64_t id;
} Twin;

static int is_twin(void *ctx, const Record *record)
{
	Twin *twin = ctx;
	SnapInode i;
	const char *name;
	size_t len;
	char kind;

	if (snap_inode_decode(record->value, record->value_len, &i) < 0 || !i.base_known || i.base.dev != twin->st->st_dev || i.base.ino != twin->st->st_ino)
		return 0;
	return record_key_parse(record->key, record->key_len, &kind, &twin->id, &name, &len) == 0;
}

/* A host file with several names is one file in the sandbox, too, whichever name it was changed by. 1: it has a record. Only such a file needs a walk over all of them. */
static int find_other_name(Way *w, const struct stat *st, Spot *out)
{
	Twin twin = {.st = st};
	char *why = NULL;
	int r = snap_reader_walk(w->s->reader, "i", 1, is_twin, &twin, &why);

	if (r < 0)
		return look_failed(w->s, r, why, w->err);
	free(why);
	if (r == 0)
		return 0;
	r = spot_load(w->s, twin.id, out, w->err);
	return r < 0 ? r : 1;
}

/* 1: the snapshot carries a file, link or directory of this path. st: what the host has there, or NULL. */
static int find_carried(BvSnapshot *s, const char *path, const struct stat *st, Spot *out, BvError **err)
{
	CLEAN_FREE uint8_t *key = base_carries(snap_reader_info(s->reader)) ? malloc(RECORD_BASE_KEY_MAX) : NULL;
	CLEAN_SPOT Spot spot = {.carried = true};
	char *why = NULL;
	size_t len, key_len = key ? record_key_base(key, path, NULL) : 0;
	int r = key_len ? snap_reader_find(s->reader, key, key_len, &spot.content, &spot.content_len, &spot.value, &len, &why) : -ENOENT;

	if (r == 0)
		r = snap_inode_decode(spot.value, len, &spot.inode);
	if (r < 0 && r != -ENOENT)
		return look_failed(s, r, why, err);
	free(why);
	if (r == -ENOENT || base_is_same(&spot.inode, path, st))
		return 0;
	spot.host = strdup(path);
	if (!spot.host)
		return lib_fail(err, -ENOMEM, "out of memory");
	*out = spot;
	spot = (Spot){0};
	return 1;
}

static int host_child(Way *w, const char *dir, const char *name, size_t len, Spot *out)
{
	CLEAN_FREE char *path = bv_asprintf("%s/%.*s", strcmp(dir, "/") == 0 ? "" : dir, (int)len, name);
	struct stat st;

	if (!path)
		return lib_fail(w->err, -ENOMEM, "out of memory");
	if (look_is_hidden(w->s, path))
		return lost_way(w, -ENOENT);
	bool here = lstat(path, &st) == 0;
	int r = here ? 0 : bv_neg_errno(), carried = find_carried(w->s, path, here ? &st : NULL, out, w->err);
	if (carried != 0)
		return MIN(carried, 0);
	if (!here)
		return lib_fail(w->err, r, "%s: the snapshot %s has no change of it, and %s of the host: %s", w->path, w->s->title, path, strerror(-r));
	if (S_ISREG(st.st_mode) && st.st_nlink > 1) {
		r = find_other_name(w, &st, out);
		if (r != 0)
			return MIN(r, 0);
	}
	*out = (Spot){.host = TAKE_PTR(path)};
	return 0;
}

/* The entry of a record's directory: its own, else that of the host's directory that it rests on. */
static int record_child(Way *w, const Spot *dir, const char *name, size_t len, Spot *out)
{
	uint8_t key[RECORD_KEY_MAX];
	CLEAN_FREE uint8_t *content = NULL, *value = NULL;
	CLEAN_FREE char *origin = NULL;
	size_t content_len, value_len;
	SnapDentry d;
	char *why = NULL;
	int r = snap_reader_find(w->s->reader, key, record_key_dentry(key, dir->id, name, len), &content, &content_len, &value, &value_len, &why);

	if (r == -ENOENT) {
		free(why);
		r = spot_origin(w->s, dir, &origin, w->err);
		if (r < 0)
			return r;
		return origin ? host_child(w, origin, name, len, out) : lost_way(w, -ENOENT);
	}
	if (r == 0)
		r = snap_dentry_decode(value, value_len, &d);
	if (r < 0)
		return look_failed(w->s, r, why, w->err);
	if (d.inode == 0)
		return lib_fail(w->err, -ENOENT, "%s: deleted in the snapshot %s", w->path, w->s->title);
	return spot_load(w->s, d.inode, out, w->err);
}

static int child(Way *w, const char *name, size_t len, Spot *out)
{
	const Spot *dir = &w->stack[w->n - 1];

	if (len > NAME_MAX)
		return lost_way(w, -ENAMETOOLONG);
	return dir->id ? record_child(w, dir, name, len, out) : host_child(w, dir->host, name, len, out);
}

/* 1: a directory, 2: a symbolic link, 0: something else. */
static int kind_of(const Spot *spot)
{
	struct stat st;
	mode_t mode = spot->id || spot->carried ? spot->inode.mode : lstat(spot->host, &st) == 0 ? st.st_mode : 0;

	return S_ISDIR(mode) ? 1 : S_ISLNK(mode) ? 2 : 0;
}

static char *link_text(const Spot *spot)
{
	char text[PATH_MAX];
	ssize_t n;

	if (spot->id || spot->carried)
		return spot->inode.target ? strndup(spot->inode.target, spot->inode.target_len) : NULL;
	n = readlink(spot->host, text, sizeof(text));
	return n > 0 && n < (ssize_t)sizeof(text) ? strndup(text, (size_t)n) : NULL;
}

static int follow_link(Way *w, const Spot *link, const char *rest)
{
	CLEAN_FREE char *text = link_text(link);
	char *joined;

	if (++w->links > LINKS_MAX)
		return lost_way(w, -ELOOP);
	if (!text || !*text)
		return lost_way(w, -ENOENT);
	joined = bv_asprintf("%s%s", text, rest);
	if (!joined)
		return lib_fail(w->err, -ENOMEM, "out of memory");
	if (strlen(joined) >= PATH_MAX) {
		free(joined);
		return lost_way(w, -ENAMETOOLONG);
	}
	if (text[0] == '/')
		while (w->n > 1)
			spot_release(&w->stack[--w->n]);
	free(w->rest);
	w->rest = joined;
	return 0;
}

/* One component; *at moves on. */
static int step(Way *w, const char **at, bool follow)
{
	size_t slashes = strspn(*at, "/"), len = strcspn(*at + slashes, "/");
	const char *name = *at + slashes, *rest = name + len;
	CLEAN_SPOT Spot next = {0};

	if (kind_of(&w->stack[w->n - 1]) != 1)
		return lost_way(w, -ENOTDIR);
	*at = rest;
	if (len == 0 || (len == 1 && name[0] == '.'))
		return 0;
	if (len == 2 && name[0] == '.' && name[1] == '.') {
		if (w->n > 1)
			spot_release(&w->stack[--w->n]);
		return 0;
	}
	int r = child(w, name, len, &next);
	if (r == 0 && kind_of(&next) == 2 && (follow || *rest)) {
		r = follow_link(w, &next, rest);
		*at = w->rest;
		return r;
	}
	return r < 0 ? r : push(w, &next);
}

int spot_find(BvSnapshot *s, const char *path, bool follow, Spot *out, BvError **err)
{
	Way w = {.s = s, .path = path, .err = err};
	CLEAN_SPOT Spot root = {0};
	int r;

	if (path[0] != '/')
		return lib_fail(err, -EINVAL, "%s: not an absolute path", path);
	if (strlen(path) >= PATH_MAX)
		return lib_fail(err, -ENAMETOOLONG, "%.40s...: %s", path, strerror(ENAMETOOLONG));
	r = root_spot(s, &root, err);
	if (r == 0)
		r = push(&w, &root);
	w.rest = r == 0 ? strdup(path) : NULL;
	if (r == 0 && !w.rest)
		r = lib_fail(err, -ENOMEM, "out of memory");
	for (const char *at = w.rest; r == 0 && *at;)
		r = step(&w, &at, follow);
	if (r == 0) {
		*out = w.stack[w.n - 1];
		w.n--;
	}
	way_release(&w);
	return r;
}

/* ---- contents ---- */

typedef int (*Sink)(void *ctx, const void *data, size_t len);

static int read_fd(int fd, Sink sink, void *ctx)
{
	CLEAN_FREE char *buf = malloc(1 << 16);
	ssize_t n = buf ? 1 : -ENOMEM;
	int r = 0;

	while (r == 0 && n > 0) {
		n = bv_read_full(fd, buf, 1 << 16);
		if (n > 0)
			r = sink(ctx, buf, (size_t)n);
	}
	return r ? r : n < 0 ? (int)n : 0;
}

static int read_content(BvSnapshot *s, const Spot *spot, Sink sink, void *ctx, BvError **err)
{
	char *why = NULL;
	int r = snap_reader_stream(s->reader, spot->content, spot->content_len, sink, ctx, &why);

	if (r < 0)
		return look_failed(s, r, why, err);
	free(why);
	return r;
}

/* The host's file that holds its bytes; -ENOENT with the reason if it is not here. */
static int open_host(BvSnapshot *s, const Spot *spot, const char *path, int *fd, BvError **err)
{
	CLEAN_FREE char *origin = NULL;
	struct stat st;
	int r = spot->id ? spot_origin(s, spot, &origin, err) : 0;

	if (r < 0)
		return r;
	const char *host = spot->id ? origin : spot->host;
	CLEAN_FD int opened = host ? lib_own_fd(bv_openat_plain(AT_FDCWD, host, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)) : -1;
	if (opened < 0 && host && spot->id)
		r = lib_fail(err, bv_neg_errno(), "%s: the snapshot %s has only its name and attributes; its bytes are those of the host's %s: %s", path, s->title, host, strerror(errno));
	else if (opened < 0)
		r = lib_fail(err, host ? bv_neg_errno() : -ENXIO, "%s: %s", path, host ? strerror(errno) : "it has no bytes to read");
	else if (fstat(opened, &st) < 0 || S_ISDIR(st.st_mode))
		r = lib_fail(err, -EISDIR, "%s: %s", path, strerror(EISDIR));
	else
		*fd = TAKE_FD(opened);
	return r;
}

/* 1: a record rests on a file of the host that is not here as it was, but carried. */
static int find_resting(BvSnapshot *s, const Spot *spot, Spot *out, BvError **err)
{
	CLEAN_FREE char *origin = NULL;
	struct stat st;
	int r = spot->id ? spot_origin(s, spot, &origin, err) : 0;

	if (r == 0 && origin)
		r = find_carried(s, origin, lstat(origin, &st) == 0 ? &st : NULL, out, err);
	return r == 1 && out->content_len == 0 ? 0 : r;
}

int bv_snapshot_read(BvSnapshot *s, const char *path, int (*sink)(void *, const void *, size_t), void *ctx, BvError **err)
{
	CLEAN_SPOT Spot spot = {0};
	CLEAN_SPOT Spot copy = {0};
	CLEAN_FD int fd = -1;
	int r = spot_find(s, path, true, &spot, err);

	if (r < 0)
		return r;
	if ((spot.id || spot.carried) && S_ISDIR(spot.inode.mode))
		return lib_fail(err, -EISDIR, "%s: %s", path, strerror(EISDIR));
	if (spot.content_len > 0)
		return read_content(s, &spot, sink, ctx, err);
	r = find_resting(s, &spot, &copy, err);
	if (r != 0)
		return r < 0 ? r : read_content(s, &copy, sink, ctx, err);
	r = open_host(s, &spot, path, &fd, err);
	if (r == 0 && (r = read_fd(fd, sink, ctx)) < 0)
		return lib_fail(err, r, "%s: %s", path, strerror(-r));
	return r;
}

int look_temporary(void)
{
	const char *dir = getenv("TMPDIR");
	int fd = open(dir && dir[0] == '/' ? dir : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return lib_own_fd(fd >= 0 ? fd : memfd_create("bvisor", MFD_CLOEXEC)); /* a file system without nameless files */
}

static int write_sink(void *ctx, const void *data, size_t len)
{
	return bv_write_full(*(int *)ctx, data, len);
}

int bv_snapshot_open_file(BvSnapshot *s, const char *path, int *fd, BvError **err)
{
	CLEAN_FD int file = look_temporary();
	int r = file < 0 ? lib_fail(err, bv_neg_errno(), "cannot make a temporary file: %s", strerror(errno)) : 0;

	if (r == 0)
		r = bv_snapshot_read(s, path, write_sink, &file, err);
	if (r < 0)
		return err && *err ? r : lib_fail(err, r, "%s: cannot write its bytes to a temporary file: %s", path, strerror(-r));
	if (lseek(file, 0, SEEK_SET) < 0)
		return lib_fail(err, bv_neg_errno(), "%s: %s", path, strerror(errno));
	*fd = TAKE_FD(file);
	return 0;
}

ssize_t bv_snapshot_readlink(BvSnapshot *s, const char *path, char *buf, size_t size, BvError **err)
{
	CLEAN_SPOT Spot spot = {0};
	int r = size > 0 ? spot_find(s, path, false, &spot, err) : lib_fail(err, -EINVAL, "no room for the answer");

	if (r < 0)
		return r;
	CLEAN_FREE char *text = kind_of(&spot) == 2 ? link_text(&spot) : NULL;
	if (!text)
		return lib_fail(err, -EINVAL, "%s: no symbolic link", path);
	size_t n = MIN(strlen(text), size - 1);
	memcpy(buf, text, n);
	buf[n] = '\0';
	return (ssize_t)n;
}
