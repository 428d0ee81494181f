/* lib/export_oci.c - a layer as an OCI image (image-spec 1.0): a layout of files named after their SHA-256, in a directory or in a tar.
 *
 * The layer is compressed into a nameless file first, as its name and length are known only at its end. No times of today are in it: the same changes are the same image. */
#include "lib/export.h"
#include "lib/snapshot_look.h"

#include <fcntl.h>
#include <sys/utsname.h>

#define LAYOUT "{\"imageLayoutVersion\":\"1.0.0\"}"
#define LAYER_TYPE "application/vnd.oci.image.layer.v1.tar+gzip"
#define CONFIG_TYPE "application/vnd.oci.image.config.v1+json"
#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"

typedef struct Blob {
	char digest[72];
	char *text; /* or */
	int fd;
	uint64_t size;
} Blob;

typedef struct Image {
	const ArchiveLibrary *lib;
	struct archive *gzip;
	Sha256 *plain, *packed;
	char plain_digest[72];
	Blob layer, config, manifest;
	char *index;
	BvError **err;
} Image;

/* ---- the layer ---- */

static la_ssize_t on_packed(struct archive *a, void *ctx, const void *data, size_t len)
{
	Image *im = ctx;

	(void)a;
	im->layer.size += len;
	return sha256_add(im->packed, data, len) < 0 || bv_write_full(im->layer.fd, data, len) < 0 ? -1 : (la_ssize_t)len;
}

static int on_plain(void *ctx, const void *data, size_t len)
{
	Image *im = ctx;
	int r = sha256_add(im->plain, data, len);

	return r == 0 && im->lib->archive_write_data(im->gzip, data, len) != (la_ssize_t)len ? -ENOSPC : r;
}

static int open_gzip(Image *im)
{
	struct archive_entry *e = im->lib->archive_entry_new();
	int r = -EIO;

	im->gzip = im->lib->archive_write_new();
	if (im->gzip && e && im->lib->archive_write_set_format_raw(im->gzip) == ARCHIVE_OK && im->lib->archive_write_add_filter_gzip(im->gzip) == ARCHIVE_OK &&
	    im->lib->archive_write_set_options(im->gzip, "!timestamp") == ARCHIVE_OK && im->lib->archive_write_set_bytes_in_last_block(im->gzip, 1) == ARCHIVE_OK &&
	    im->lib->archive_write_open(im->gzip, im, NULL, on_packed, NULL) == ARCHIVE_OK) {
		im->lib->archive_entry_set_filetype(e, AE_IFREG);
		r = im->lib->archive_write_header(im->gzip, e) < ARCHIVE_WARN ? -EIO : 0;
	}
	im->lib->archive_entry_free(e);
	return r < 0 ? lib_fail(im->err, r, "cannot compress the layer: %s", im->gzip ? im->lib->archive_error_string(im->gzip) : "out of memory") : 0;
}

static int make_layer(Image *im, const BvSide *of, const BvExportOptions *o)
{
	ByteSink sink = {on_plain, im};
	int r;

	im->layer.fd = look_temporary();
	if (im->layer.fd < 0)
		return lib_fail(im->err, bv_neg_errno(), "cannot make a temporary file: %s", strerror(errno));
	im->plain = sha256_new(im->err);
	im->packed = im->plain ? sha256_new(im->err) : NULL;
	r = im->packed ? open_gzip(im) : -ENOMEM;
	if (r == 0)
		r = export_layer(of, o, &sink, im->err);
	if (r == 0 && im->lib->archive_write_close(im->gzip) != ARCHIVE_OK)
		r = lib_fail(im->err, -ENOSPC, "cannot write the layer to a temporary file (TMPDIR says where): %s", im->lib->archive_error_string(im->gzip));
	if (r == 0 && (sha256_text(im->plain, im->plain_digest) < 0 || sha256_text(im->packed, im->layer.digest) < 0))
		r = lib_fail(im->err, -ENOMEM, "out of memory");
	return r;
}

/* ---- what describes it ---- */

static int set_text(Image *im, Blob *b, cJSON *json, bool complete)
{
	b->text = complete ? cJSON_PrintUnformatted(json) : NULL;
	cJSON_Delete(json);
	if (!b->text)
		return lib_fail(im->err, -ENOMEM, "out of memory");
	b->size = strlen(b->text);
	b->fd = -1;
	return sha256_of(b->text, b->size, b->digest, im->err);
}

static const char *architecture(void)
{
	static const char *const names[][2] = {{"x86_64", "amd64"}, {"aarch64", "arm64"}, {"riscv64", "riscv64"}, {"ppc64le", "ppc64le"}, {"s390x", "s390x"}};
	static struct utsname u;

	if (uname(&u) == 0)
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			if (strcmp(u.machine, names[i][0]) == 0)
				return names[i][1];
	return "unknown";
}

static int make_config(Image *im)
{
	cJSON *root = cJSON_CreateObject(), *fs = cJSON_AddObjectToObject(root, "rootfs"), *ids;
	bool ok = cJSON_AddStringToObject(root, "architecture", architecture()) && cJSON_AddStringToObject(root, "os", "linux") && cJSON_AddObjectToObject(root, "config") &&
		  cJSON_AddStringToObject(fs, "type", "layers") && (ids = cJSON_AddArrayToObject(fs, "diff_ids")) && cJSON_AddItemToArray(ids, cJSON_CreateString(im->plain_digest));

	return set_text(im, &im->config, root, ok);
}

static cJSON *descriptor(const char *type, const Blob *b)
{
	cJSON *d = cJSON_CreateObject();

	if (!cJSON_AddStringToObject(d, "mediaType", type) || !cJSON_AddStringToObject(d, "digest", b->digest) || !cJSON_AddNumberToObject(d, "size", (double)b->size)) {
		cJSON_Delete(d);
		return NULL;
	}
	return d;
}

static int make_manifest(Image *im)
{
	cJSON *root = cJSON_CreateObject(), *layers;
	bool ok = cJSON_AddNumberToObject(root, "schemaVersion", 2) && cJSON_AddStringToObject(root, "mediaType", MANIFEST_TYPE) &&
		  cJSON_AddItemToObject(root, "config", descriptor(CONFIG_TYPE, &im->config)) && (layers = cJSON_AddArrayToObject(root, "layers")) &&
		  cJSON_AddItemToArray(layers, descriptor(LAYER_TYPE, &im->layer));

	return set_text(im, &im->manifest, root, ok);
}

static int make_index(Image *im, const char *name)
{
	cJSON *root = cJSON_CreateObject(), *list = NULL, *entry = descriptor(MANIFEST_TYPE, &im->manifest), *notes = cJSON_AddObjectToObject(entry, "annotations");
	bool ok = cJSON_AddNumberToObject(root, "schemaVersion", 2) && cJSON_AddStringToObject(root, "mediaType", "application/vnd.oci.image.index.v1+json") &&
		  (list = cJSON_AddArrayToObject(root, "manifests")) && cJSON_AddStringToObject(notes, "org.opencontainers.image.ref.name", name);

	if (!ok || !cJSON_AddItemToArray(list, entry)) {
		cJSON_Delete(entry);
		ok = false;
	}
	im->index = ok ? cJSON_PrintUnformatted(root) : NULL;
	cJSON_Delete(root);
	return im->index ? 0 : lib_fail(im->err, -ENOMEM, "out of memory");
}

/* ---- the layout, in a directory ---- */

static int copy_blob(const Blob *b, int to)
{
	CLEAN_FREE char *buf = b->text ? NULL : malloc(1 << 16);
	ssize_t n = 1;
	int r = 0;

	if (b->text)
		return bv_write_full(to, b->text, b->size);
	if (!buf || lseek(b->fd, 0, SEEK_SET) < 0)
		return -ENOMEM;
	while (r == 0 && n > 0) {
		n = bv_read_full(b->fd, buf, 1 << 16);
		r = n < 0 ? (int)n : bv_write_full(to, buf, (size_t)n);
	}
	return r;
}

static int write_file(int dir, const char *name, const Blob *b)
{
	CLEAN_FD int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
	int r = fd < 0 ? bv_neg_errno() : copy_blob(b, fd);

	return r == 0 && fsync(fd) < 0 ? bv_neg_errno() : r;
}

static Blob text_blob(char *text)
{
	return (Blob){.text = text, .size = strlen(text), .fd = -1};
}

static int write_blobs(const Image *im, int (*put)(void *ctx, const char *name, const Blob *b), void *ctx)
{
	const Blob *blobs[] = {&im->layer, &im->config, &im->manifest};
	char layout[] = LAYOUT;
	Blob first = text_blob(layout), last = text_blob(im->index);
	int r = put(ctx, "oci-layout", &first);

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(blobs); i++) {
		char name[96];
		snprintf(name, sizeof(name), "blobs/sha256/%s", blobs[i]->digest + strlen("sha256:"));
		r = put(ctx, name, blobs[i]);
	}
	return r == 0 ? put(ctx, "index.json", &last) : r; /* what names something comes after it */
}

static int put_in_dir(void *ctx, const char *name, const Blob *b)
{
	return write_file(*(int *)ctx, name, b);
}

static int write_dir(const Image *im, const char *path)
{
	if (mkdir(path, 0777) < 0 && errno != EEXIST)
		return lib_fail(im->err, bv_neg_errno(), "cannot make the directory %s: %s", path, strerror(errno));
	CLEAN_FD int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = dir < 0 ? bv_neg_errno() : 0;
	if (r == 0 && faccessat(dir, "index.json", F_OK, 0) == 0)
		return lib_fail(im->err, -EEXIST, "%s has an image already: give another directory", path);
	if (r == 0 && ((mkdirat(dir, "blobs", 0777) < 0 && errno != EEXIST) || (mkdirat(dir, "blobs/sha256", 0777) < 0 && errno != EEXIST)))
		r = bv_neg_errno();
	if (r == 0)
		r = write_blobs(im, put_in_dir, &dir);
	return r < 0 ? lib_fail(im->err, r, "cannot write the image to %s: %s", path, strerror(-r)) : 0;
}

/* ---- the layout, in a tar ---- */

typedef struct Outer {
	const Image *im;
	struct archive *archive;
	int fd;
} Outer;

static la_ssize_t on_outer(struct archive *a, void *ctx, const void *data, size_t len)
{
	(void)a;
	return bv_write_full(((Outer *)ctx)->fd, data, len) < 0 ? -1 : (la_ssize_t)len;
}

static int put_data(Outer *o, const Blob *b)
{
	const ArchiveLibrary *lib = o->im->lib;
	CLEAN_FREE char *buf = malloc(1 << 16);
	ssize_t n = 1;

	if (b->text)
		return lib->archive_write_data(o->archive, b->text, b->size) == (la_ssize_t)b->size ? 0 : -EIO;
	if (!buf || lseek(b->fd, 0, SEEK_SET) < 0)
		return -ENOMEM;
	while (n > 0) {
		n = bv_read_full(b->fd, buf, 1 << 16);
		if (n < 0 || (n > 0 && lib->archive_write_data(o->archive, buf, (size_t)n) != (la_ssize_t)n))
			return n < 0 ? (int)n : -EIO;
	}
	return 0;
}

static int put_in_tar(void *ctx, const char *name, const Blob *b)
{
	Outer *o = ctx;
	const ArchiveLibrary *lib = o->im->lib;
	struct archive_entry *e = lib->archive_entry_new();
	int r = e ? 0 : -ENOMEM;

	if (r == 0) {
		lib->archive_entry_set_pathname(e, name);
		lib->archive_entry_set_mode(e, S_IFREG | 0644);
		lib->archive_entry_set_size(e, (la_int64_t)b->size);
		lib->archive_entry_set_mtime(e, 0, 0);
		r = lib->archive_write_header(o->archive, e) < ARCHIVE_WARN ? -EIO : put_data(o, b);
	}
	lib->archive_entry_free(e);
	return r;
}

static int write_tar(const Image *im, int fd)
{
	Outer o = {im, im->lib->archive_write_new(), fd};
	int r = o.archive && im->lib->archive_write_set_format_pax(o.archive) == ARCHIVE_OK && im->lib->archive_write_set_bytes_in_last_block(o.archive, 1) == ARCHIVE_OK &&
				im->lib->archive_write_open(o.archive, &o, NULL, on_outer, NULL) == ARCHIVE_OK ?
			0 : -ENOMEM;

	if (r == 0)
		r = write_blobs(im, put_in_tar, &o);
	if (r == 0 && im->lib->archive_write_close(o.archive) != ARCHIVE_OK)
		r = -EIO;
	if (r < 0)
		r = lib_fail(im->err, r, "cannot write the image: %s", o.archive && im->lib->archive_error_string(o.archive) ? im->lib->archive_error_string(o.archive) : strerror(-r));
	if (o.archive)
		im->lib->archive_write_free(o.archive);
	return r;
}

int export_oci(const BvSide *of, const BvExportOptions *options, int fd, BvError **err)
{
	Image im = {.lib = archive_library(err), .layer.fd = -1, .err = err};
	const char *name = of->snapshot ? of->snapshot->ref.name : bv_sandbox_name(of->sandbox);
	int r = im.lib ? make_layer(&im, of, options) : -ENOSYS;

	if (r == 0)
		r = make_config(&im);
	if (r == 0)
		r = make_manifest(&im);
	if (r == 0)
		r = make_index(&im, name);
	if (r == 0)
		r = options->directory ? write_dir(&im, options->directory) : write_tar(&im, fd);
	if (im.gzip)
		im.lib->archive_write_free(im.gzip);
	sha256_free(im.plain);
	sha256_free(im.packed);
	bv_close_fd(&im.layer.fd);
	cJSON_free(im.config.text);
	cJSON_free(im.manifest.text);
	cJSON_free(im.index);
	return r;
}
