/* backends/filestore_life.c - opening and closing a store of plain files, and saying what is wrong with one.
 *
 * ROOT/format holds one line, "bvisor blobs 1". It is written aside and renamed, so it is never half there while the machine runs;
 * after a power cut before the first sync it may be missing or empty, and then nothing was promised yet: a root
 * without any shard is started anew. A root that has shards but no valid marker is refused and left as it is. */
#include "backends/filestore.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

#define MARKER_FAMILY "bvisor blobs "
#define MARKER MARKER_FAMILY "1\n"

/* The umask without changing it, which would be seen by other threads. All bits when it cannot be known: then every new
 * file gets an fchmod. A default ACL takes bits in ways of its own, so it counts as all bits, too. */
static mode_t masked_bits(int root)
{
	CLEAN_FREE char *status = NULL;
	unsigned mask = 0;
	const char *line;

	if (fgetxattr(root, "system.posix_acl_default", NULL, 0) > 0)
		return 07777;
	if (bv_read_file_at(AT_FDCWD, "/proc/self/status", 65536, &status) < 0)
		return 07777;
	line = strstr(status, "\nUmask:");
	if (!line || sscanf(line, "\nUmask: %o", &mask) != 1)
		return 07777;
	return mask;
}

static int has_shards(int root)
{
	int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	uint64_t number;
	bool found = false;

	if (!dir) {
		int r = bv_neg_errno();
		if (fd >= 0)
			close(fd);
		return r;
	}
	while (!found && (entry = readdir(dir)))
		found = filestore_parse_hex(entry->d_name, &number);
	closedir(dir);
	return found;
}

static int write_marker(int root)
{
	CLEAN_FD int fd = openat(root, "format.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r;

	if (fd < 0)
		return bv_neg_errno();
	r = bv_write_full(fd, MARKER, strlen(MARKER));
	if (r == 0 && renameat(root, "format.new", root, "format") < 0)
		r = bv_neg_errno();
	if (r < 0)
		unlinkat(root, "format.new", 0);
	return r;
}

static const char *way_out(int code)
{
	switch (code) {
	case -EROFS:
		return "choose a directory on a writable file system";
	case -EACCES:
	case -EPERM:
		return "choose a directory that you own";
	case -ENOSPC:
	case -EDQUOT:
		return "free some space there, or choose another directory";
	case -ENOTDIR:
		return "choose a directory";
	default:
		return "choose another directory";
	}
}

static int fail_path(char **err, int code, const char *doing, const char *path)
{
	return bv_fail(err, code, "cannot %s blob store %s: %s; %s", doing, path, strerror(-code), way_out(code));
}

/* The marker is missing or empty: a new store, or a damaged one? */
static int start_store(int root, const char *path, unsigned flags, char **err)
{
	int r = has_shards(root);

	if (r < 0)
		return fail_path(err, r, "read", path);
	if (r > 0)
		return bv_fail(err, -EUCLEAN, "blob store %s is damaged: its file \"format\" is missing or empty though blobs are there; nothing was changed", path);
	if ((flags & BLOB_OPEN_READONLY) && (flags & BLOB_OPEN_LATE))
		return 0; /* somebody makes it just now: nothing is in it yet */
	if (!(flags & BLOB_OPEN_CREATE) || (flags & BLOB_OPEN_READONLY))
		return bv_fail(err, -ENOENT, "no blob store at %s", path);
	r = write_marker(root);
	return r < 0 ? fail_path(err, r, "make", path) : 0;
}

static int check_marker(int root, const char *path, unsigned flags, char **err)
{
	CLEAN_FREE char *text = NULL;
	ssize_t len = bv_read_file_at(root, "format", 4096, &text);

	if (len == -ENOENT || len == 0)
		return start_store(root, path, flags, err);
	if (len < 0 && len != -EFBIG)
		return fail_path(err, (int)len, "read", path);
	if (text && strcmp(text, MARKER) == 0)
		return 0;
	if (text && strncmp(text, MARKER_FAMILY, strlen(MARKER_FAMILY)) == 0)
		return bv_fail(err, -EPROTO, "blob store %s was written by a newer bvisor; nothing was changed", path);
	return bv_fail(err, -EUCLEAN, "blob store %s is damaged: its file \"format\" is not what bvisor wrote; nothing was changed", path);
}

/* The directory that a store is to be in. */
static int open_above(const char *path, int *root)
{
	const char *slash = strrchr(path, '/');
	CLEAN_FREE char *above = slash && slash[1] ? strndup(path, (size_t)MAX(slash - path, 1)) : NULL;

	if (!above)
		return -EINVAL;
	int fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return bv_neg_errno();
	*root = fd;
	return 0;
}

/* *late: root is the directory above. */
static int open_root(const char *path, unsigned flags, int *root, bool *late, char **err)
{
	int r = 0, fd;

	*late = (flags & BLOB_OPEN_LATE) && access(path, F_OK) < 0 && errno == ENOENT && open_above(path, root) == 0;
	if (*late)
		return 0;
	if ((flags & BLOB_OPEN_CREATE) && !(flags & BLOB_OPEN_READONLY))
		r = bv_mkdir_all(path);
	if (r < 0)
		return fail_path(err, r, "make", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		r = bv_neg_errno();
		return r == -ENOENT ? bv_fail(err, r, "no blob store at %s", path) : fail_path(err, r, "open", path);
	}
	*root = fd;
	return 0;
}

static int check_place(const FileStoreKind *kind, int root, const char *path, unsigned flags, char **err)
{
	struct statfs sfs;

	if (kind->required_magic) {
		if (fstatfs(root, &sfs) < 0)
			return fail_path(err, bv_neg_errno(), "open", path);
		if ((long)sfs.f_type != kind->required_magic)
			return bv_fail(err, -EINVAL, "cannot use %s: %s", path, kind->magic_help);
	}
	if (!(flags & BLOB_OPEN_READONLY) && faccessat(root, ".", W_OK | X_OK, AT_EACCESS) < 0)
		return fail_path(err, bv_neg_errno(), "write to", path);
	return 0;
}

int filestore_open(const FileStoreKind *kind, const char *path, unsigned flags, BlobStore **out, char **err)
{
	CLEAN_FD int root = -1;
	FileStore *fs;
	bool late;
	int r = open_root(path, flags, &root, &late, err);

	if (r == 0)
		r = check_place(kind, root, path, flags, err);
	if (r == 0 && !late)
		r = check_marker(root, path, flags, err);
	if (r < 0)
		return r;
	fs = calloc(1, sizeof *fs);
	if (!fs || hmap_init(&fs->shards) < 0) {
		free(fs);
		return bv_fail(err, -ENOMEM, "cannot open blob store %s: out of memory", path);
	}
	fs->base.ops = kind->ops;
	fs->readonly = flags & BLOB_OPEN_READONLY;
	if (!(fs->remote = remote_new()) || (late && !(fs->late_name = strdup(strrchr(path, '/') + 1)))) {
		hmap_release(&fs->shards);
		remote_free(fs->remote);
		free(fs);
		return bv_fail(err, -ENOMEM, "cannot open blob store %s: out of memory", path);
	}
	atomic_init(&fs->late, late);
	atomic_init(&fs->masked, fs->readonly || late ? 0 : masked_bits(root));
	fs->root_names.made = 1; /* what an earlier run left may not be durable */
	pthread_mutex_init(&fs->lock, NULL);
	fs->root = TAKE_FD(root);
	r = late ? 0 : remote_load(fs, path, err);
	if (r < 0) {
		filestore_close(&fs->base);
		return r;
	}
	*out = &fs->base;
	return 0;
}

/* Under fs->lock. dup3 replaces the directory in one step for all that use its number. */
static int appear_locked(FileStore *fs, bool make)
{
	if (make && mkdirat(fs->root, fs->late_name, 0700) < 0 && errno != EEXIST)
		return bv_neg_errno();
	CLEAN_FD int root = openat(fs->root, fs->late_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (root < 0)
		return bv_neg_errno();
	int r = make ? write_marker(root) : 0;
	if (r < 0)
		return r;
	if (!fs->readonly)
		atomic_store(&fs->masked, masked_bits(root));
	if (dup3(root, fs->root, O_CLOEXEC) < 0)
		return bv_neg_errno();
	atomic_store(&fs->late, false);
	return 0;
}

int filestore_appear(FileStore *fs, bool make)
{
	pthread_mutex_lock(&fs->lock);
	int r = atomic_load(&fs->late) ? appear_locked(fs, make) : 0;
	pthread_mutex_unlock(&fs->lock);
	return r;
}

void filestore_close(BlobStore *store)
{
	FileStore *fs;

	if (!store)
		return;
	fs = filestore_of(store);
	here_end(fs);
	HMAP_FOREACH_SAFE (&fs->shards, n, tmp)
		free(CONTAINER_OF(n, Shard, link));
	hmap_release(&fs->shards);
	pthread_mutex_destroy(&fs->lock);
	remote_free(fs->remote);
	close(fs->root);
	free(fs->late_name);
	free(fs);
}
