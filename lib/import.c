/* lib/import.c - bv_sandbox_import: a new sandbox from a layer or an image. It is made aside, and can be seen under its name only when it is complete. */
#include "lib/import.h"
#include "lib/limits.h"
#include "lib/snapshot_look.h"
#include "lib/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#define TEXT_MAX ((size_t)4 << 20) /* of an index, a manifest */
#define NESTED_MAX 4		   /* an index in an index */

/* ---- an image: its files, from a directory or out of a tar ---- */

typedef struct File {
	char *name;
	int fd;
} File;

typedef struct Image {
	Layers *l;
	int dir; /* -1: the files of a tar */
	File *files;
	size_t count, room;
} Image;

static void image_release(Image *im)
{
	for (size_t i = 0; i < im->count; i++) {
		free(im->files[i].name);
		bv_close_fd(&im->files[i].fd);
	}
	free(im->files);
	bv_close_fd(&im->dir);
}

/* "./blobs//x" as "blobs/x". */
static const char *plain_name(const char *name)
{
	while (name && (name[0] == '/' || (name[0] == '.' && name[1] == '/')))
		name += name[0] == '/' ? 1 : 2;
	return name;
}

static int store_file(Image *im, struct archive *a, const char *name)
{
	const ArchiveLibrary *lib = im->l->lib;
	const void *data;
	size_t len;
	la_int64_t at;
	int got, r = 0;

	if (!BV_GROW(im->files, im->count, im->room))
		return lib_fail(im->l->err, -ENOMEM, "out of memory");
	File *f = &im->files[im->count];
	*f = (File){strdup(name), look_temporary()};
	im->count++;
	if (!f->name || f->fd < 0)
		return lib_fail(im->l->err, f->name ? bv_neg_errno() : -ENOMEM, "cannot make a temporary file: %s", strerror(errno));
	while (r == 0 && (got = lib->archive_read_data_block(a, &data, &len, &at)) >= ARCHIVE_WARN && got != ARCHIVE_EOF)
		if (lseek(f->fd, at, SEEK_SET) < 0 || (r = bv_write_full(f->fd, data, len)) < 0)
			r = lib_fail(im->l->err, r < 0 ? r : bv_neg_errno(), "cannot write a temporary file (TMPDIR says where): %s", strerror(errno));
	return r == 0 && got != ARCHIVE_EOF ? lib_fail(im->l->err, -EBADMSG, "the archive is damaged at %s: %s", name, lib->archive_error_string(a)) : r;
}

static int unpack(Image *im, int fd)
{
	ARCHIVE_LOCALE;
	const ArchiveLibrary *lib = im->l->lib;
	struct archive *a = lib->archive_read_new();
	struct archive_entry *e;
	int r = 0, got = ARCHIVE_OK;

	if (!a || lib->archive_read_support_format_tar(a) != ARCHIVE_OK || lib->archive_read_support_filter_gzip(a) < ARCHIVE_WARN || lib->archive_read_open_fd(a, fd, 1 << 16) != ARCHIVE_OK)
		r = import_no_archive(im->l, a);
	while (r == 0 && (got = lib->archive_read_next_header(a, &e)) >= ARCHIVE_WARN && got != ARCHIVE_EOF) {
		const char *name = plain_name(lib->archive_entry_pathname(e));
		if (name && lib->archive_entry_filetype(e) == AE_IFREG && (strncmp(name, "blobs/", 6) == 0 || strcmp(name, "index.json") == 0))
			r = store_file(im, a, name);
	}
	if (r == 0 && got != ARCHIVE_EOF)
		r = lib_fail(im->l->err, -EBADMSG, "the archive is damaged: %s", lib->archive_error_string(a));
	if (a)
		lib->archive_read_free(a);
	return r;
}

/* At its begin; the caller's. */
static int open_file(Image *im, const char *name, int *out)
{
	CLEAN_FD int fd = -1;

	if (im->dir >= 0)
		fd = lib_own_fd(bv_openat_plain(im->dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
	for (size_t i = im->count; im->dir < 0 && fd < 0 && i-- > 0;)
		if (strcmp(im->files[i].name, name) == 0)
			fd = lib_own_fd(fcntl(im->files[i].fd, F_DUPFD_CLOEXEC, 3));
	if (fd < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return lib_fail(im->l->err, -EBADMSG, "this is no complete OCI image: %s is not in it", name);
	*out = TAKE_FD(fd);
	return 0;
}

/* What a descriptor names, compared with its checksum. */
static int open_blob(Image *im, const cJSON *descriptor, int *out)
{
	const char *digest = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(descriptor, "digest"));
	CLEAN_FREE char *buf = malloc(1 << 16);
	CLEAN_FD int fd = -1;
	char name[96], sum[72];
	ssize_t n = 1;

	if (!digest || strncmp(digest, "sha256:", 7) != 0 || strlen(digest) != 71 || strspn(digest + 7, "0123456789abcdef") != 64)
		return lib_fail(im->l->err, -EBADMSG, "the image is damaged: a checksum in it is none (or of another kind than sha256)");
	snprintf(name, sizeof(name), "blobs/sha256/%s", digest + 7);
	int r = open_file(im, name, &fd);
	Sha256 *h = r == 0 && buf ? sha256_new(im->l->err) : NULL;
	if (r == 0 && !h)
		r = -ENOMEM;
	while (r == 0 && n > 0) {
		n = bv_read_full(fd, buf, 1 << 16);
		r = n < 0 ? lib_fail(im->l->err, (int)n, "%s: %s", name, strerror((int)-n)) : sha256_add(h, buf, (size_t)n);
	}
	if (r == 0 && (sha256_text(h, sum) < 0 || strcmp(sum, digest) != 0))
		r = lib_fail(im->l->err, -EBADMSG, "the image is damaged: %s is not what its name says", name);
	sha256_free(h);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = lib_fail(im->l->err, bv_neg_errno(), "%s: %s", name, strerror(errno));
	if (r == 0)
		*out = TAKE_FD(fd);
	return r;
}

static int read_json(Image *im, int fd, cJSON **out)
{
	CLEAN_FREE char *text = malloc(TEXT_MAX + 1);
	ssize_t n = text ? bv_read_full(fd, text, TEXT_MAX) : -ENOMEM;

	if (n < 0)
		return lib_fail(im->l->err, (int)n, "cannot read a description of the image: %s", strerror((int)-n));
	text[n] = '\0';
	*out = (size_t)n < TEXT_MAX ? cJSON_ParseWithLength(text, (size_t)n) : NULL;
	return *out ? 0 : lib_fail(im->l->err, -EBADMSG, "the image is damaged: a description is no JSON");
}

static int take_layers(Image *im, const cJSON *manifest)
{
	const cJSON *layers = cJSON_GetObjectItemCaseSensitive(manifest, "layers"), *layer;
	int r = cJSON_IsArray(layers) ? 0 : lib_fail(im->l->err, -EBADMSG, "the image is damaged: its manifest names no layers");

	cJSON_ArrayForEach (layer, layers) {
		CLEAN_FD int fd = -1;
		if (r == 0)
			r = open_blob(im, layer, &fd);
		if (r == 0)
			r = import_layer(im->l, fd);
	}
	return r;
}

/* The first image of an index, or of the index that is its first entry. */
static int take_index(Image *im, const cJSON *index, unsigned depth)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(index, "manifests"), *first = cJSON_GetArrayItem(list, 0);
	CLEAN_FD int fd = -1;
	cJSON *json = NULL;

	if (!list)
		return take_layers(im, index);
	if (!first || depth == NESTED_MAX)
		return lib_fail(im->l->err, -EBADMSG, "the image is damaged: its index names no manifest");
	if (depth == 0 && cJSON_GetArraySize(list) > 1)
		import_note(im->l, "the first of %d images is taken", cJSON_GetArraySize(list));
	int r = open_blob(im, first, &fd);
	if (r == 0)
		r = read_json(im, fd, &json);
	if (r == 0)
		r = take_index(im, json, depth + 1);
	cJSON_Delete(json);
	return r;
}

int import_image(Layers *l, int fd, const char *directory)
{
	Image im = {.l = l, .dir = directory ? lib_own_fd(open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) : -1};
	CLEAN_FD int index = -1;
	cJSON *json = NULL;
	int r = directory && im.dir < 0 ? lib_fail(l->err, bv_neg_errno(), "%s: %s", directory, strerror(errno)) : 0;

	if (r == 0 && !directory)
		r = unpack(&im, fd);
	if (r == 0)
		r = open_file(&im, "index.json", &index);
	if (r == 0)
		r = read_json(&im, index, &json);
	if (r == 0)
		r = take_index(&im, json, 0);
	cJSON_Delete(json);
	image_release(&im);
	return r;
}

/* ---- the sandbox ---- */

typedef struct Import {
	Layers layers;
	int fd;
} Import;

static int open_new(BvSandbox *sb, Cowfs **out, BvError **err)
{
	CLEAN_FREE char *db = bv_asprintf("%s/meta.db", sandbox_data_dir(sb));
	CLEAN_FREE char *blobs = bv_asprintf("%s/blobs", sandbox_data_dir(sb));
	CLEAN_FREE char *run = bv_asprintf("%s/run", sb->dir);
	bool memory = backend_is_memory(sb->config.backend);
	CowfsConfig config = {.db_path = db, .mark_dir = run, .flags = COWFS_CREATE, .durable = !memory};
	CLEAN_STRV Strv hidden = NULL;
	Cowfs *fs = NULL;
	char *why = NULL;
	view_take_identity(&config, &sb->config);
	int r = db && blobs && run ? blob_ops_find(memory ? "tmpfs" : "dir")->open(blobs, BLOB_OPEN_CREATE, &config.blobs, &why) : -ENOMEM;

	if (r == 0)
		r = cowfs_open(&config, &fs, &why);
	if (r == 0)
		r = hide_list(sb->store, &sb->config, &hidden);
	for (size_t i = 0; r == 0 && hidden && hidden[i]; i++)
		r = cowfs_pin_hide(fs, hidden[i]);
	if (r < 0) {
		view_close(fs);
		return lib_fail_text(err, r, why, sandbox_data_dir(sb));
	}
	*out = fs;
	return 0;
}

static int fill_sandbox(BvSandbox *sb, void *ctx, BvError **err)
{
	Import *im = ctx;
	Layers *l = &im->layers;
	int r = open_new(sb, &l->fs, err), end;

	if (r < 0)
		return r;
	l->err = err;
	l->cred = (CowCred){0}; /* owners are those of the archive; what the host lets nobody read stays unread */
	l->req = (CowReq){.cred = &l->cred, .may_block = true};
	r = l->o->format == BV_ARCHIVE_OCI ? import_image(l, im->fd, l->o->directory) : import_layer(l, im->fd);
	if (r == 0 && (r = cowfs_commit(l->fs, !backend_is_memory(sb->config.backend))) < 0)
		r = lib_fail(err, r, "cannot write the sandbox to the disk: %s", strerror(-r));
	end = cowfs_close(l->fs);
	if (r == 0 && end < 0)
		r = lib_fail(err, end, "cannot write the sandbox to the disk: %s", strerror(-end));
	return r == 0 ? view_check(sb, err) : r;
}

int bv_sandbox_import(int fd, const BvImportOptions *options, BvSandbox **out, BvError **err)
{
	BvImportOptions o = BV_IMPORT_OPTIONS_INIT;
	Import im = {.fd = fd};
	CLEAN_CONFIG SandboxConfig config = {0};
	BvSandbox *sb = NULL;
	struct timespec now;

	if (lib_take_options(&o, sizeof(o), options) < 0)
		return lib_fail(err, -EINVAL, "the options have a size that this library does not know");
	if (lib_check_flags(o.flags, BV_IMPORT_FAKE_ROOT, err) < 0)
		return -EINVAL;
	if ((o.format != BV_ARCHIVE_TAR && o.format != BV_ARCHIVE_OCI) || (o.directory && o.format != BV_ARCHIVE_OCI))
		return lib_fail(err, -EINVAL, "no such format");
	im.layers = (Layers){.lib = archive_library(err), .o = &o, .err = err};
	if (!im.layers.lib)
		return -ENOSYS;
	clock_gettime(CLOCK_REALTIME, &now);
	config = (SandboxConfig){.backend = strdup(o.backend ? o.backend : "dir"), .unnamed = !o.name, .created_sec = now.tv_sec, .created_nsec = now.tv_nsec, .since_sec = now.tv_sec,
				 .since_nsec = now.tv_nsec};
	if (!config.backend)
		return lib_fail(err, -ENOMEM, "out of memory");
	config_set_fake_root(&config, o.flags & BV_IMPORT_FAKE_ROOT);
	int r = lib_limits_take(o.limits, &config.limits, err);
	if (r == 0)
		r = network_config(NULL, NULL, NULL, &config, err);
	if (r < 0) {
		config_release(&config);
		return r;
	}
	r = sandbox_create_filled(&config, o.store, o.name, fill_sandbox, &im, &sb, err);
	if (r == 0)
		*out = sb;
	else if (sb)
		bv_sandbox_close(sb);
	return r;
}
