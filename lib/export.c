/* lib/export.c - see export.h; and bv_snapshot_export.
 *
 * What is in the layer the records say (cowfs_layer), whatever the host has now; what it is like the view says. Names come in order, times of reading and names of users are left out: the same
 * changes are the same bytes. */
#include "lib/export.h"
#include "lib/snapshot_view.h"
#include "lib/view.h"

#include "base/hmap.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/xattr.h>

typedef struct Named { /* a file with several names, under the first that was written */
	HmapNode node;
	uint64_t dev, ino;
	char *path;
} Named;

typedef struct Export {
	const ArchiveLibrary *lib;
	struct archive *archive;
	const BvExportOptions *o;
	const ByteSink *sink;
	int sink_error;
	Cowfs *fs;
	const SnapshotView *view; /* of a snapshot */
	BvSnapshot *snapshot;
	ViewRequest request;
	Hmap named;
	char *whole; /* a moved directory that was written with all that is in it: records below it were, too */
	BvError **err;
} Export;

static la_ssize_t on_bytes(struct archive *a, void *ctx, const void *data, size_t len)
{
	Export *x = ctx;

	(void)a;
	x->sink_error = x->sink->put(x->sink->ctx, data, len);
	return x->sink_error < 0 ? -1 : (la_ssize_t)len;
}

static void note(const Export *x, const char *path, const char *what)
{
	CLEAN_FREE char *text = x->o->note ? bv_asprintf("%s: %s", path, what) : NULL;

	if (text)
		x->o->note(x->o->note_ctx, text);
}

static int fail_path(const Export *x, int code, const char *path, const char *why)
{
	return lib_fail(x->err, code, "%s: %s", path, why ? why : strerror(-code));
}

static int archive_failed(const Export *x, const char *path)
{
	const char *why = x->lib->archive_error_string(x->archive);

	if (x->sink_error < 0)
		return lib_fail(x->err, x->sink_error, "cannot write the archive: %s", strerror(-x->sink_error));
	return fail_path(x, -EIO, path, why ? why : "cannot be written to the archive");
}

static int put_header(Export *x, struct archive_entry *e, const char *path)
{
	/* A warning is a name that is no UTF-8, which is written as it is. */
	return x->lib->archive_write_header(x->archive, e) < ARCHIVE_WARN ? archive_failed(x, path) : 0;
}

static struct archive_entry *new_entry(Export *x, const char *path, bool is_dir)
{
	struct archive_entry *e = x->lib->archive_entry_new();
	CLEAN_FREE char *name = bv_asprintf("%s%s", path + 1, is_dir ? "/" : "");

	if (!e || !name) {
		x->lib->archive_entry_free(e);
		(void)lib_fail(x->err, -ENOMEM, "out of memory");
		return NULL;
	}
	x->lib->archive_entry_set_pathname(e, name);
	return e;
}

/* ---- deletions ---- */

static int put_mark(Export *x, const char *path)
{
	struct archive_entry *e = new_entry(x, path, false);
	int r;

	if (!e)
		return -ENOMEM;
	x->lib->archive_entry_set_mode(e, S_IFREG);
	x->lib->archive_entry_set_size(e, 0);
	x->lib->archive_entry_set_mtime(e, 0, 0);
	r = put_header(x, e, path);
	x->lib->archive_entry_free(e);
	return r;
}

static int put_whiteout(Export *x, const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	CLEAN_FREE char *mark = bv_asprintf("%.*s.wh.%s", (int)(name - path), path, name);

	return mark ? put_mark(x, mark) : lib_fail(x->err, -ENOMEM, "out of memory");
}

static int put_opaque(Export *x, const char *path)
{
	CLEAN_FREE char *mark = bv_asprintf("%s/.wh..wh..opq", path);

	return mark ? put_mark(x, mark) : lib_fail(x->err, -ENOMEM, "out of memory");
}

/* ---- objects ---- */

static int add_xattrs(Export *x, struct archive_entry *e, const char *path)
{
	ssize_t n = cowfs_listxattr(x->fs, &x->request.req, NULL, path, COW_NOFOLLOW, NULL, 0);
	CLEAN_FREE char *names = n > 0 ? malloc((size_t)n) : NULL;
	CLEAN_FREE char *value = names ? malloc(XATTR_SIZE_MAX) : NULL;

	if (n <= 0)
		return 0;
	if (!value)
		return lib_fail(x->err, -ENOMEM, "out of memory");
	n = cowfs_listxattr(x->fs, &x->request.req, NULL, path, COW_NOFOLLOW, names, (size_t)n);
	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1) {
		ssize_t len = cowfs_getxattr(x->fs, &x->request.req, NULL, path, COW_NOFOLLOW, names + at, value, XATTR_SIZE_MAX);
		if (len < 0)
			return fail_path(x, (int)len, path, "an extended attribute cannot be read");
		x->lib->archive_entry_xattr_add_entry(e, names + at, value, (size_t)len);
	}
	return 0;
}

/* The bytes of a file, as an open one. */
static int open_bytes(Export *x, const char *path, int *fd)
{
	char host[PATH_MAX];
	BlobId blob = 0;
	const uint8_t *ref;
	size_t len;
	int r = cowfs_body(x->fs, &x->request.req, path, &blob, host);

	if (r == 0 && x->view && blob && snapshot_view_ref(x->view, blob, &ref, &len)) {
		CLEAN_FD int file = look_temporary();
		char *why = NULL;
		if (file < 0)
			return lib_fail(x->err, bv_neg_errno(), "cannot make a temporary file: %s", strerror(errno));
		r = snap_reader_fetch_fd(x->snapshot->reader, ref, len, file, &why);
		if (r < 0)
			return look_failed(x->snapshot, r, why, x->err);
		*fd = TAKE_FD(file);
		return 0;
	}
	if (r == 0)
		r = cowfs_open_virtual(x->fs, path, O_RDONLY | O_NOFOLLOW | O_NOCTTY, fd);
	CLEAN_FREE char *why = r < 0 && blob ? cowfs_fetch_error(x->fs) : NULL;
	if (why || (r == -EIO && blob))
		return fail_path(x, r, path, why ? why : "its content is missing from the store, or cannot be read");
	if (r < 0 && !blob && host[0])
		return lib_fail(x->err, r, "%s: its bytes are those of the host's %s: %s", path, host, strerror(-r));
	return r < 0 ? fail_path(x, r, path, NULL) : 0;
}

/* Where the file has bytes; nothing is said if it has them everywhere. */
static void add_holes(Export *x, struct archive_entry *e, int fd, off_t size)
{
	off_t hole = size ? lseek(fd, 0, SEEK_HOLE) : size;
	bool any = false;

	if (hole < 0 || hole >= size)
		return;
	for (off_t at = 0; at < size;) {
		off_t data = lseek(fd, at, SEEK_DATA);
		if (data < 0 || data >= size)
			break;
		hole = lseek(fd, data, SEEK_HOLE);
		at = hole < 0 || hole > size ? size : hole;
		x->lib->archive_entry_sparse_add_entry(e, data, at - data);
		any = true;
	}
	if (!any)
		x->lib->archive_entry_sparse_add_entry(e, 0, 0);
}

/* Exactly `size` bytes, as the header says, though the file of a running sandbox may change meanwhile. */
static int put_bytes(Export *x, const char *path, int fd, off_t size)
{
	CLEAN_FREE char *buf = malloc(1 << 18);

	if (!buf)
		return lib_fail(x->err, -ENOMEM, "out of memory");
	for (off_t at = 0; at < size;) {
		size_t n = (size_t)MIN(size - at, (off_t)1 << 18);
		off_t data = lseek(fd, at, SEEK_DATA);
		ssize_t got = 0;
		if (data < 0 && errno != ENXIO)
			data = at; /* a file system that does not know holes */
		if (data > at)
			n = (size_t)MIN((off_t)n, data - at);
		if (data == at) {
			got = pread(fd, buf, n, at);
			if (got < 0)
				return fail_path(x, bv_neg_errno(), path, NULL);
		}
		memset(buf + got, 0, n - (size_t)got);
		if (x->lib->archive_write_data(x->archive, buf, n) != (la_ssize_t)n)
			return archive_failed(x, path);
		at += (off_t)n;
	}
	return 0;
}

static int put_file(Export *x, struct archive_entry *e, const char *path)
{
	CLEAN_FD int fd = -1;
	struct stat st;
	int r = open_bytes(x, path, &fd);

	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return fail_path(x, bv_neg_errno(), path, NULL);
	x->lib->archive_entry_set_size(e, st.st_size);
	add_holes(x, e, fd, st.st_size);
	r = put_header(x, e, path);
	return r == 0 ? put_bytes(x, path, fd, st.st_size) : r;
}

static int put_link(Export *x, struct archive_entry *e, const char *path)
{
	char target[PATH_MAX];
	ssize_t n = cowfs_readlink(x->fs, &x->request.req, NULL, path, COW_NOFOLLOW, target, sizeof(target) - 1);

	if (n < 0)
		return fail_path(x, (int)n, path, NULL);
	target[n] = '\0';
	x->lib->archive_entry_set_symlink(e, target);
	return put_header(x, e, path);
}

/* An earlier name of the same file, or NULL; then this one is remembered. */
static int first_name(Export *x, const char *path, const struct statx *st, const char **out)
{
	uint64_t dev = (uint64_t)st->stx_dev_major << 32 | st->stx_dev_minor, hash = hash_u64(st->stx_ino, dev);
	Named *n;

	*out = NULL;
	if (S_ISDIR(st->stx_mode) || st->stx_nlink < 2)
		return 0;
	for (HmapNode *h = hmap_first(&x->named, hash); h; h = hmap_next(h)) {
		n = CONTAINER_OF(h, Named, node);
		if (n->dev == dev && n->ino == st->stx_ino) {
			*out = n->path;
			return 0;
		}
	}
	n = calloc(1, sizeof(*n));
	if (n)
		*n = (Named){.dev = dev, .ino = st->stx_ino, .path = strdup(path)};
	if (!n || !n->path) {
		free(n);
		return lib_fail(x->err, -ENOMEM, "out of memory");
	}
	hmap_insert(&x->named, &n->node, hash);
	return 0;
}

static int put_entry(Export *x, struct archive_entry *e, const char *path, const struct statx *st)
{
	const char *first;
	int r = first_name(x, path, st, &first);

	x->lib->archive_entry_set_mode(e, st->stx_mode);
	x->lib->archive_entry_set_uid(e, st->stx_uid);
	x->lib->archive_entry_set_gid(e, st->stx_gid);
	x->lib->archive_entry_set_mtime(e, st->stx_mtime.tv_sec, (long)st->stx_mtime.tv_nsec);
	x->lib->archive_entry_set_size(e, 0);
	if (r == 0 && first) {
		x->lib->archive_entry_set_hardlink(e, first + 1);
		return put_header(x, e, path);
	}
	if (r == 0)
		r = add_xattrs(x, e, path);
	if (r < 0)
		return r;
	return S_ISREG(st->stx_mode) ? put_file(x, e, path) : S_ISLNK(st->stx_mode) ? put_link(x, e, path) : put_header(x, e, path);
}

static int put_object(Export *x, const char *path, const struct statx *st)
{
	struct archive_entry *e;
	int r;

	if (strncmp(strrchr(path, '/') + 1, ".wh.", 4) == 0)
		return fail_path(x, -EINVAL, path, "a name that begins with .wh. means a deletion in a layer; rename it (`bvisor exec`), or keep the sandbox with `bvisor snapshot`");
	if (!S_ISREG(st->stx_mode) && !S_ISDIR(st->stx_mode) && !S_ISLNK(st->stx_mode) && !S_ISFIFO(st->stx_mode)) {
		note(x, path, S_ISSOCK(st->stx_mode) ? "left out: a socket is nothing to keep" : "left out: a device");
		return 0;
	}
	e = new_entry(x, path, S_ISDIR(st->stx_mode));
	r = e ? put_entry(x, e, path, st) : -ENOMEM;
	if (r == 0 && x->lib->archive_write_finish_entry(x->archive) < ARCHIVE_WARN)
		r = archive_failed(x, path);
	x->lib->archive_entry_free(e);
	return r;
}

/* ---- a directory of the host that was moved: all of it ---- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_dir(Export *x, const char *path, Strv *out)
{
	_Alignas(8) char buf[16384];
	CLEAN_LOC CowLoc loc = {0};
	uint64_t pos = 0;
	ssize_t n = 1;
	int r = cowfs_resolve(x->fs, &x->request.req, NULL, path, COW_DIRECTORY | COW_NOFOLLOW, 0, &loc);

	while (r == 0 && n > 0) {
		n = cowfs_getdents(x->fs, &x->request.req, &loc, &pos, buf, sizeof(buf));
		r = n < 0 ? (int)n : 0;
		for (ssize_t at = 0; r == 0 && at < n;) {
			const struct dirent64 *d = (const void *)(buf + at);
			if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
				r = strv_add(out, d->d_name);
			at += d->d_reclen;
		}
	}
	if (*out)
		qsort(*out, strv_len((const char *const *)*out), sizeof(**out), by_text);
	return r < 0 ? fail_path(x, r, path, NULL) : 0;
}

static int put_tree(Export *x, const char *path)
{
	CLEAN_STRV Strv names = NULL;
	int r = list_dir(x, path, &names);

	for (size_t i = 0; r == 0 && names && names[i]; i++) {
		CLEAN_FREE char *below = bv_asprintf("%s/%s", path, names[i]);
		struct statx st;
		r = below ? cowfs_statx(x->fs, &x->request.req, NULL, below, COW_NOFOLLOW, STATX_BASIC_STATS, &st) : -ENOMEM;
		if (r == -ENOENT) { /* the host has removed it meanwhile */
			r = 0;
			continue;
		}
		r = r < 0 ? fail_path(x, r, below ? below : path, NULL) : put_object(x, below, &st);
		if (r == 0 && S_ISDIR(st.stx_mode))
			r = put_tree(x, below);
	}
	return r;
}

/* ---- all of it ---- */

static int put_item(void *ctx, const CowLayerItem *item)
{
	Export *x = ctx;
	struct statx st;
	int r;

	if (item->passed || view_is_synthetic(item->path) || (x->whole && path_is_below(item->path, x->whole)))
		return 0;
	if (item->buries)
		return lib_fail_buried(item->path, x->err);
	if (item->id == 0)
		return put_whiteout(x, item->path);
	r = cowfs_statx(x->fs, &x->request.req, NULL, item->path, COW_NOFOLLOW, STATX_BASIC_STATS, &st);
	if (r < 0 && item->is_dir && !item->moved) { /* the host has it no more, or never had; what is in it is there */
		note(x, item->path, "the host does not have this directory: it is written with mode 0755");
		st = (struct statx){.stx_mode = S_IFDIR | 0755};
		r = 0;
	}
	if (r < 0)
		return lib_fail(x->err, r, "%s: the host has no more what it rests on (%s)", item->path, strerror(-r));
	r = put_object(x, item->path, &st);
	if (r == 0 && item->covers)
		r = put_opaque(x, item->path);
	if (r == 0 && item->moved && item->is_dir) {
		free(x->whole);
		x->whole = strdup(item->path);
		r = x->whole ? put_tree(x, item->path) : lib_fail(x->err, -ENOMEM, "out of memory");
	}
	return r;
}

static int open_archive(Export *x)
{
	x->archive = x->lib->archive_write_new();
	if (!x->archive || x->lib->archive_write_set_format_pax(x->archive) != ARCHIVE_OK || x->lib->archive_write_set_options(x->archive, "pax:xattrheader=SCHILY") != ARCHIVE_OK ||
	    x->lib->archive_write_set_bytes_in_last_block(x->archive, 1) != ARCHIVE_OK || x->lib->archive_write_open(x->archive, x, NULL, on_bytes, NULL) != ARCHIVE_OK)
		return lib_fail(x->err, -EIO, "cannot write an archive: %s", x->archive ? x->lib->archive_error_string(x->archive) : "out of memory");
	return 0;
}

static int write_layer(Export *x)
{
	ARCHIVE_LOCALE;
	int r = hmap_init(&x->named) < 0 ? lib_fail(x->err, -ENOMEM, "out of memory") : open_archive(x);

	if (r == 0 && x->fs)
		r = cowfs_layer(x->fs, put_item, x);
	if (r < 0 && x->err && !*x->err)
		r = lib_fail(x->err, r, "cannot write the layer: %s", strerror(-r));
	if (r == 0 && x->lib->archive_write_close(x->archive) != ARCHIVE_OK)
		r = archive_failed(x, "end");
	if (x->archive)
		x->lib->archive_write_free(x->archive);
	HMAP_FOREACH_SAFE (&x->named, n, next) {
		free(CONTAINER_OF(n, Named, node)->path);
		free(CONTAINER_OF(n, Named, node));
	}
	hmap_release(&x->named);
	free(x->whole);
	return r;
}

int export_layer(const BvSide *of, const BvExportOptions *o, const ByteSink *sink, BvError **err)
{
	Export x = {.lib = archive_library(err), .o = o, .sink = sink, .err = err, .snapshot = of->snapshot};
	int r;

	if (!x.lib)
		return -ENOSYS;
	view_request_init(&x.request, NULL); /* not what somebody may see, but what there is */
	r = of->snapshot ? snapshot_view_get(of->snapshot, &x.view, err) : view_get(of->sandbox, &x.fs, err);
	if (r < 0)
		return r;
	if (of->snapshot)
		x.fs = x.view->fs;
	r = write_layer(&x);
	if (of->sandbox)
		view_put(of->sandbox);
	return r;
}

static int put_fd(void *ctx, const void *data, size_t len)
{
	return bv_write_full(*(int *)ctx, data, len);
}

int bv_snapshot_export(const BvSide *of, const BvExportOptions *options, int fd, BvError **err)
{
	BvExportOptions o = BV_EXPORT_OPTIONS_INIT;
	ByteSink sink = {put_fd, &fd};

	if (lib_take_options(&o, sizeof(o), options) < 0)
		return lib_fail(err, -EINVAL, "the options have a size that this library does not know");
	if (!of->sandbox == !of->snapshot)
		return lib_fail(err, -EINVAL, "either a sandbox or a snapshot is exported");
	if (o.format == BV_ARCHIVE_OCI)
		return export_oci(of, &o, fd, err);
	return o.format == BV_ARCHIVE_TAR && !o.directory ? export_layer(of, &o, &sink, err) : lib_fail(err, -EINVAL, "no such format");
}
