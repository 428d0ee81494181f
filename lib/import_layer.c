/* lib/import_layer.c - one layer into a sandbox; see import.h.
 *
 * The archive is made through cowfs, as a command in the sandbox would: no path of it ever reaches the host, and what it can do at worst is what a command in a sandbox can do. Beyond that,
 * names that only an attack, or a mistake, has are refused. Directories get their times at the end, when nothing more is made in them. */
#include "lib/import.h"

#include "base/hmap.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>

enum { MADE_ENTRY = 1, MADE_LINK = 2, MADE_DIR = 4, MADE_ABOVE = 8 /* something below it was made */ };

typedef struct Made { /* what the layer has made itself */
	HmapNode node;
	unsigned flags;
	char path[];
} Made;

typedef struct DirTime {
	char *path;
	struct timespec mtime;
} DirTime;

typedef struct Layer {
	Layers *l;
	struct archive *archive;
	struct archive_entry *e;
	char *path; /* of the entry in hand: absolute, in the view */
	Hmap made;
	DirTime *dirs;
	size_t n_dirs, room_dirs;
	size_t entries, not_there, lost_xattrs;
	bool slash_told;
} Layer;

void import_note(const Layers *l, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	if (!l->o->note)
		return;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) >= 0)
		l->o->note(l->o->note_ctx, text);
	va_end(ap);
	free(text);
}

int import_no_archive(const Layers *l, struct archive *archive)
{
	const char *why = archive ? l->lib->archive_error_string(archive) : "out of memory";

	return lib_fail(l->err, -EBADMSG, "this is no archive that can be imported: %s; it should be a tar, plain or compressed, as export writes one, or an OCI image", why ? why : "it cannot be read");
}

static int refuse(const Layer *y, const char *name, const char *why)
{
	return lib_fail(y->l->err, -EBADMSG, "the archive is refused: '%s' %s", name, why);
}

static int failed(const Layer *y, int code, const char *path)
{
	return lib_fail(y->l->err, code, "%s: %s", path, strerror(-code));
}

/* ---- names ---- */

/* "./a//b" and "/a/b" become "/a/b"; "" and "." "/". The caller's. */
static int clean_name(Layer *y, const char *name, char **out)
{
	size_t len = name ? strlen(name) : 0, n = 0;
	char *path;

	if (!name)
		return refuse(y, "?", "has a name that cannot be read");
	if (len >= PATH_MAX)
		return lib_fail(y->l->err, -EBADMSG, "the archive is refused: a name of %zu bytes", len);
	if (name[0] == '/' && !y->slash_told) {
		import_note(y->l, "leading '/' is taken off names, as of %s", name);
		y->slash_told = true;
	}
	path = malloc(len + 2);
	if (!path)
		return lib_fail(y->l->err, -ENOMEM, "out of memory");
	for (const char *p = name; *p;) {
		size_t part = strcspn(p, "/");
		if ((part == 2 && memcmp(p, "..", 2) == 0) || part > NAME_MAX) {
			free(path);
			return refuse(y, name, part == 2 ? "leads out of it by \"..\"" : "has a part of more than 255 bytes");
		}
		if (part > 0 && !(part == 1 && p[0] == '.')) {
			path[n++] = '/';
			memcpy(path + n, p, part);
			n += part;
		}
		p += part + (p[part] == '/');
	}
	if (n == 0)
		path[n++] = '/';
	path[n] = '\0';
	*out = path;
	return 0;
}

static Made *made_find(const Layer *y, const char *path, size_t len)
{
	for (HmapNode *h = hmap_first(&y->made, hash_bytes(path, len, 0)); h; h = hmap_next(h)) {
		Made *m = CONTAINER_OF(h, Made, node);
		if (strncmp(m->path, path, len) == 0 && m->path[len] == '\0')
			return m;
	}
	return NULL;
}

static unsigned made_flags(const Layer *y, const char *path)
{
	const Made *m = made_find(y, path, strlen(path));

	return m ? m->flags : 0;
}

static int made_add(Layer *y, const char *path, size_t len, unsigned flags)
{
	Made *m = made_find(y, path, len);

	if (!m) {
		m = calloc(1, sizeof(*m) + len + 1);
		if (!m)
			return lib_fail(y->l->err, -ENOMEM, "out of memory");
		memcpy(m->path, path, len);
		hmap_insert(&y->made, &m->node, hash_bytes(path, len, 0));
	}
	m->flags = (flags & MADE_ENTRY ? m->flags & MADE_ABOVE : m->flags) | flags;
	return 0;
}

static int note_made(Layer *y, const char *path, unsigned flags)
{
	int r = made_add(y, path, strlen(path), MADE_ENTRY | flags);

	for (size_t n = strlen(path); r == 0 && n-- > 1;)
		if (path[n] == '/')
			r = made_add(y, path, n, MADE_ABOVE);
	return r;
}

/* A link of the host on the way is followed, as in any command; one that the archive made is how archives lead astray. */
static int check_way(const Layer *y, const char *path)
{
	for (const char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		const Made *m = made_find(y, path, (size_t)(p - path));
		if (m && (m->flags & MADE_ENTRY) && !(m->flags & MADE_DIR))
			return refuse(y, path + 1, m->flags & MADE_LINK ? "lies below a symbolic link of the archive" : "lies below what is no directory in the archive");
	}
	return 0;
}

/* ---- removing ---- */

static int list_dir(Layer *y, const char *path, Strv *out)
{
	_Alignas(8) char buf[16384];
	CLEAN_LOC CowLoc loc = {0};
	uint64_t pos = 0;
	ssize_t n = 1;
	int r = cowfs_resolve(y->l->fs, &y->l->req, NULL, path, COW_DIRECTORY | COW_NOFOLLOW, 0, &loc);

	while (r == 0 && n > 0) {
		n = cowfs_getdents(y->l->fs, &y->l->req, &loc, &pos, buf, sizeof(buf));
		r = n < 0 ? (int)n : 0;
		for (ssize_t at = 0; r == 0 && at < n;) {
			const struct dirent64 *d = (const void *)(buf + at);
			if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
				r = strv_add(out, d->d_name);
			at += d->d_reclen;
		}
	}
	return r < 0 ? lib_fail(y->l->err, r, "%s: it is to be deleted, and cannot be read: %s", path, strerror(-r)) : 0;
}

/* With all that is in it; what the layer has made itself stays. *left: something did. */
static int remove_tree(Layer *y, const char *path, bool *left)
{
	CLEAN_STRV Strv names = NULL;
	struct statx st;
	bool kept = false;
	int r = cowfs_statx(y->l->fs, &y->l->req, NULL, path, COW_NOFOLLOW, STATX_TYPE, &st);

	if (r < 0)
		return r == -ENOENT ? 0 : failed(y, r, path);
	if (made_flags(y, path) & MADE_ENTRY && !S_ISDIR(st.stx_mode)) {
		*left = true;
		return 0;
	}
	if (!S_ISDIR(st.stx_mode)) {
		r = cowfs_unlink(y->l->fs, &y->l->req, NULL, path, 0);
		return r < 0 ? failed(y, r, path) : 0;
	}
	r = list_dir(y, path, &names);
	for (size_t i = 0; r == 0 && names && names[i]; i++) {
		CLEAN_FREE char *below = bv_asprintf("%s/%s", path, names[i]);
		r = below ? remove_tree(y, below, &kept) : lib_fail(y->l->err, -ENOMEM, "out of memory");
	}
	if (kept || (made_flags(y, path) & MADE_ENTRY)) {
		*left = true;
		return r;
	}
	if (r == 0 && (r = cowfs_unlink(y->l->fs, &y->l->req, NULL, path, AT_REMOVEDIR)) < 0)
		r = failed(y, r, path);
	return r;
}

/* For an entry in its place. */
static int make_room(Layer *y, bool is_dir)
{
	struct statx st;
	bool left = false;
	int r = cowfs_statx(y->l->fs, &y->l->req, NULL, y->path, COW_NOFOLLOW, STATX_TYPE, &st);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return failed(y, r, y->path);
	if (is_dir && S_ISDIR(st.stx_mode))
		return 1;
	Made *m = made_find(y, y->path, strlen(y->path));
	if (m && (m->flags & MADE_ENTRY))
		import_note(y->l, "%s is in the archive more than once: the last one counts", y->path + 1);
	if (m && (m->flags & MADE_ABOVE))
		return refuse(y, y->path + 1, "takes the place of a directory of the archive that is not empty");
	if (m)
		m->flags = 0;
	return remove_tree(y, y->path, &left);
}

/* ---- making ---- */

static int set_attributes(Layer *y, const char *path, bool with_time)
{
	const ArchiveLibrary *lib = y->l->lib;
	CowAttr owner = {.set = COW_SET_UID | COW_SET_GID | COW_CHOWN, .uid = (uid_t)lib->archive_entry_uid(y->e), .gid = (gid_t)lib->archive_entry_gid(y->e)};
	CowAttr rest = {.set = COW_SET_MODE, .mode = lib->archive_entry_mode(y->e) & 07777};
	bool link = lib->archive_entry_filetype(y->e) == AE_IFLNK;
	int r = cowfs_setattr(y->l->fs, &y->l->req, NULL, path, COW_NOFOLLOW, &owner);

	if (link)
		rest.set = 0;
	if (with_time && lib->archive_entry_mtime_is_set(y->e)) {
		rest.set |= COW_SET_MTIME;
		rest.mtime = (struct timespec){lib->archive_entry_mtime(y->e), lib->archive_entry_mtime_nsec(y->e)};
	}
	if (r == 0 && rest.set)
		r = cowfs_setattr(y->l->fs, &y->l->req, NULL, path, COW_NOFOLLOW, &rest);
	return r < 0 ? failed(y, r, path) : 0;
}

static int set_xattrs(Layer *y)
{
	const ArchiveLibrary *lib = y->l->lib;
	const char *name;
	const void *value;
	size_t len;

	for (lib->archive_entry_xattr_reset(y->e); lib->archive_entry_xattr_next(y->e, &name, &value, &len) == ARCHIVE_OK;) {
		int r = cowfs_setxattr(y->l->fs, &y->l->req, NULL, y->path, COW_NOFOLLOW, name, value, len, 0);
		if (r == -EOPNOTSUPP || r == -EPERM || r == -EINVAL || r == -ERANGE || r == -E2BIG) {
			if (y->lost_xattrs++ == 0)
				import_note(y->l, "%s: the extended attribute %s is left out: %s", y->path + 1, name, strerror(-r));
		} else if (r < 0) {
			return failed(y, r, y->path);
		}
	}
	return 0;
}

/* Directories that the archive does not name. */
static int make_parents(Layer *y)
{
	bool root = y->l->o->flags & BV_IMPORT_FAKE_ROOT;
	CowAttr own = {.set = COW_SET_UID | COW_SET_GID | COW_CHOWN, .uid = root ? 0 : geteuid(), .gid = root ? 0 : getegid()};
	int r = 0;

	for (char *p = strchr(y->path + 1, '/'); r == 0 && p; p = strchr(p + 1, '/')) {
		struct statx st;
		*p = '\0';
		r = cowfs_statx(y->l->fs, &y->l->req, NULL, y->path, 0, STATX_TYPE, &st);
		if (r == -ENOENT) {
			r = cowfs_mkdir(y->l->fs, &y->l->req, NULL, y->path, 0755);
			if (r == 0)
				r = cowfs_setattr(y->l->fs, &y->l->req, NULL, y->path, COW_NOFOLLOW, &own);
		} else if (r == 0 && !S_ISDIR(st.stx_mode)) {
			r = -ENOTDIR;
		}
		if (r < 0)
			(void)failed(y, r, y->path);
		*p = '/';
	}
	return r;
}

static int archive_failed(const Layer *y, const char *what)
{
	const char *why = y->l->lib->archive_error_string(y->archive);

	return lib_fail(y->l->err, -EBADMSG, "the archive is damaged%s%s: %s", what ? " at " : "", what ? what : "", why ? why : "it cannot be read");
}

static int write_at(int fd, const char *data, size_t len, la_int64_t at)
{
	while (len) {
		ssize_t n = pwrite(fd, data, len, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return bv_neg_errno();
		data += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_bytes(Layer *y, int fd)
{
	la_int64_t size = y->l->lib->archive_entry_size(y->e), at;
	const void *data;
	size_t len;
	int got = ARCHIVE_OK, r = 0;

	while (r == 0 && (got = y->l->lib->archive_read_data_block(y->archive, &data, &len, &at)) >= ARCHIVE_WARN && got != ARCHIVE_EOF) {
		if (at < 0 || at > INT64_MAX - (la_int64_t)len || at + (la_int64_t)len > size)
			return refuse(y, y->path + 1, "has bytes behind its end");
		r = write_at(fd, data, len, at);
	}
	if (r == 0 && got != ARCHIVE_EOF)
		return archive_failed(y, y->path + 1);
	if (r == 0 && ftruncate(fd, size) < 0)
		r = bv_neg_errno();
	return r < 0 ? lib_fail(y->l->err, r, "%s: cannot write its %lld bytes: %s", y->path + 1, (long long)size, strerror(-r)) : 0;
}

static int make_file(Layer *y)
{
	struct open_how how = {.flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, .mode = 0600};
	CowFile file = {.fd = -1};
	int r = cowfs_openat(y->l->fs, &y->l->req, NULL, y->path, &how, &file);

	if (r < 0)
		return failed(y, r, y->path);
	r = write_bytes(y, file.fd);
	if (close(file.fd) < 0 && r == 0)
		r = failed(y, bv_neg_errno(), y->path);
	return r;
}

static int make_hard_link(Layer *y, const char *name)
{
	CLEAN_FREE char *target = NULL;
	int r = clean_name(y, name, &target);

	if (r < 0)
		return r;
	unsigned flags = made_flags(y, target);
	if (!(flags & MADE_ENTRY) || (flags & MADE_DIR))
		return lib_fail(y->l->err, -EBADMSG, "the archive is refused: '%s' is a hard link to '%s', which is no file of it", y->path + 1, name);
	if (strcmp(target, y->path) == 0)
		return 0;
	r = make_room(y, false);
	if (r == 0 && (r = cowfs_link(y->l->fs, &y->l->req, NULL, target, NULL, y->path, 0)) < 0)
		return failed(y, r, y->path);
	return r < 0 ? r : note_made(y, y->path, flags & MADE_LINK);
}

static int add_dir_time(Layer *y)
{
	if (!y->l->lib->archive_entry_mtime_is_set(y->e))
		return 0;
	if (!BV_GROW(y->dirs, y->n_dirs, y->room_dirs))
		return lib_fail(y->l->err, -ENOMEM, "out of memory");
	y->dirs[y->n_dirs] = (DirTime){strdup(y->path), {y->l->lib->archive_entry_mtime(y->e), y->l->lib->archive_entry_mtime_nsec(y->e)}};
	return y->dirs[y->n_dirs].path ? (y->n_dirs++, 0) : lib_fail(y->l->err, -ENOMEM, "out of memory");
}

static int make_dir(Layer *y)
{
	int r = make_room(y, true);

	if (r == 0 && (r = cowfs_mkdir(y->l->fs, &y->l->req, NULL, y->path, 0700)) < 0)
		return failed(y, r, y->path);
	if (r >= 0)
		r = set_attributes(y, y->path, false);
	if (r == 0)
		r = set_xattrs(y);
	if (r == 0)
		r = add_dir_time(y);
	return r == 0 ? note_made(y, y->path, MADE_DIR) : r;
}

static int make_other(Layer *y, mode_t type)
{
	const char *target = y->l->lib->archive_entry_symlink(y->e);
	int r = make_room(y, false);

	if (r < 0)
		return r;
	if (type == AE_IFLNK && (!target || !*target))
		return refuse(y, y->path + 1, "is a symbolic link without a target");
	if (type == AE_IFREG)
		r = make_file(y);
	else if (type == AE_IFLNK)
		r = cowfs_symlink(y->l->fs, &y->l->req, target, NULL, y->path);
	else
		r = cowfs_mknod(y->l->fs, &y->l->req, NULL, y->path, S_IFIFO | 0600, 0);
	if (r < 0)
		return y->l->err && *y->l->err ? r : failed(y, r, y->path);
	if (type != AE_IFLNK)
		r = set_xattrs(y);
	if (r == 0)
		r = set_attributes(y, y->path, true);
	return r == 0 ? note_made(y, y->path, type == AE_IFLNK ? MADE_LINK : 0) : r;
}

/* ---- deletions ---- */

/* What the host has in the directory goes; and if nothing was made in it yet, it becomes a directory of its own, through which nothing shows that the host may get later. */
static int make_opaque(Layer *y)
{
	CowAttr owner = {.set = COW_SET_UID | COW_SET_GID | COW_CHOWN}, mode = {.set = COW_SET_MODE};
	Made *m = made_find(y, y->path, strlen(y->path));
	unsigned flags = m ? m->flags : 0;
	struct statx st;
	bool left = false;
	int r = cowfs_statx(y->l->fs, &y->l->req, NULL, y->path, COW_NOFOLLOW, STATX_BASIC_STATS, &st);

	if (r == -ENOENT)
		return 0;
	if (r == 0 && !S_ISDIR(st.stx_mode))
		return refuse(y, y->path + 1, "is no directory, and everything in it is to be deleted");
	if (r < 0)
		return failed(y, r, y->path);
	if (m && !(flags & MADE_ABOVE))
		m->flags = 0;
	r = remove_tree(y, y->path, &left);
	if (r < 0 || left || (flags & MADE_ABOVE))
		return r;
	if (m)
		m->flags = flags;
	owner.uid = st.stx_uid;
	owner.gid = st.stx_gid;
	mode.mode = st.stx_mode & 07777;
	r = cowfs_mkdir(y->l->fs, &y->l->req, NULL, y->path, 0700);
	if (r == 0)
		r = cowfs_setattr(y->l->fs, &y->l->req, NULL, y->path, COW_NOFOLLOW, &owner);
	if (r == 0)
		r = cowfs_setattr(y->l->fs, &y->l->req, NULL, y->path, COW_NOFOLLOW, &mode);
	return r < 0 ? failed(y, r, y->path) : 0;
}

/* 1: the entry is a mark, and was dealt with. */
static int take_mark(Layer *y)
{
	char *name = strrchr(y->path, '/') + 1;
	struct statx st;
	bool left = false;
	int r;

	if (strncmp(name, ".wh.", 4) != 0)
		return 0;
	if (strcmp(name, ".wh..wh..opq") == 0) {
		if (name == y->path + 1)
			return refuse(y, "/", "is to be deleted as a whole");
		name[-1] = '\0'; /* the directory */
		r = make_opaque(y);
		return r < 0 ? r : 1;
	}
	if (strncmp(name, ".wh..wh.", 8) == 0) /* what a file system of the past kept beside */
		return 1;
	memmove(name, name + 4, strlen(name + 4) + 1);
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return refuse(y, y->path + 1, "is no name that can be deleted");
	if (made_flags(y, y->path)) {
		import_note(y->l, "%s is deleted by the archive that has it: it is kept", y->path + 1);
		return 1;
	}
	r = cowfs_statx(y->l->fs, &y->l->req, NULL, y->path, COW_NOFOLLOW, STATX_TYPE, &st);
	y->not_there += r == -ENOENT || r == -ENOTDIR;
	if (r == -ENOENT || r == -ENOTDIR)
		return 1;
	r = remove_tree(y, y->path, &left);
	return r < 0 ? r : 1;
}

/* ---- all of it ---- */

static int take_entry(Layer *y)
{
	const ArchiveLibrary *lib = y->l->lib;
	const char *link = lib->archive_entry_hardlink(y->e);
	mode_t type = lib->archive_entry_filetype(y->e);
	int r;

	free(TAKE_PTR(y->path));
	r = clean_name(y, lib->archive_entry_pathname(y->e), &y->path);
	if (r < 0 || strcmp(y->path, "/") == 0) /* the root is the host's */
		return r;
	if (y->entries++ == 0 && strcmp(y->path, "/oci-layout") == 0 && type == AE_IFREG)
		return lib_fail(y->l->err, -EINVAL, "this is an OCI image, not a layer: use --format oci");
	if (view_is_synthetic(y->path)) {
		if (type != AE_IFDIR)
			import_note(y->l, "%s is left out: a sandbox has its own /dev, /proc and /sys", y->path + 1);
		return 0;
	}
	if ((r = check_way(y, y->path)) < 0 || (r = take_mark(y)) != 0)
		return MIN(r, 0);
	if (!link && type != AE_IFDIR && type != AE_IFREG && type != AE_IFLNK && type != AE_IFIFO) {
		import_note(y->l, "%s is left out: a %s cannot be made in a sandbox", y->path + 1, type == AE_IFSOCK ? "socket" : "device");
		return 0;
	}
	if (type == AE_IFREG && !link && (!lib->archive_entry_size_is_set(y->e) || lib->archive_entry_size(y->e) < 0))
		return refuse(y, y->path + 1, "has no size");
	r = make_parents(y);
	if (r < 0)
		return r;
	return link ? make_hard_link(y, link) : type == AE_IFDIR ? make_dir(y) : make_other(y, type);
}

static int take_all(Layer *y)
{
	int r = 0, got = ARCHIVE_OK;

	while (r == 0 && (got = y->l->lib->archive_read_next_header(y->archive, &y->e)) >= ARCHIVE_WARN && got != ARCHIVE_EOF)
		r = take_entry(y);
	if (r == 0 && got != ARCHIVE_EOF)
		r = archive_failed(y, y->path ? y->path + 1 : NULL);
	for (size_t i = y->n_dirs; r == 0 && i-- > 0;) {
		CowAttr attr = {.set = COW_SET_MTIME, .mtime = y->dirs[i].mtime};
		r = cowfs_setattr(y->l->fs, &y->l->req, NULL, y->dirs[i].path, COW_NOFOLLOW, &attr);
		r = r < 0 && r != -ENOENT ? failed(y, r, y->dirs[i].path) : 0;
	}
	if (r == 0 && y->not_there)
		import_note(y->l, "names that the archive deletes, and this host does not have: %zu", y->not_there);
	if (r == 0 && y->lost_xattrs > 1)
		import_note(y->l, "extended attributes that are left out: %zu", y->lost_xattrs);
	return r;
}

static int open_archive(Layer *y, int fd)
{
	const ArchiveLibrary *lib = y->l->lib;

	y->archive = lib->archive_read_new();
	if (!y->archive)
		return lib_fail(y->l->err, -ENOMEM, "out of memory");
	if (lib->archive_read_support_filter_gzip(y->archive) < ARCHIVE_WARN || lib->archive_read_support_filter_zstd(y->archive) < ARCHIVE_WARN ||
	    lib->archive_read_support_filter_xz(y->archive) < ARCHIVE_WARN || lib->archive_read_support_filter_bzip2(y->archive) < ARCHIVE_WARN ||
	    lib->archive_read_support_format_tar(y->archive) != ARCHIVE_OK || lib->archive_read_open_fd(y->archive, fd, 1 << 16) != ARCHIVE_OK)
		return y->l->o->format == BV_ARCHIVE_OCI ? archive_failed(y, NULL) : import_no_archive(y->l, y->archive); /* a layer of an image is not what was given */
	return 0;
}

int import_layer(Layers *l, int fd)
{
	ARCHIVE_LOCALE;
	Layer y = {.l = l};
	int r = hmap_init(&y.made) < 0 ? lib_fail(l->err, -ENOMEM, "out of memory") : open_archive(&y, fd);

	if (r == 0)
		r = take_all(&y);
	if (y.archive)
		l->lib->archive_read_free(y.archive);
	HMAP_FOREACH_SAFE (&y.made, n, next)
		free(CONTAINER_OF(n, Made, node));
	hmap_release(&y.made);
	for (size_t i = 0; i < y.n_dirs; i++)
		free(y.dirs[i].path);
	free(y.dirs);
	free(y.path);
	return r;
}
