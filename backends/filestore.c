/* backends/filestore.c - blobs as plain files: ROOT/<id / 1024, hex>/<id, hex>.
 *
 * Every operation names "shard/id" relative to the one descriptor of the root: the second path component costs a tenth of a
 * microsecond, and no cache of shard descriptors has to be bounded, locked or evicted. A shard is made when the first
 * create in it finds it missing, so opening a fresh store makes no directories.
 *
 * Invariants
 *  1. A name below a shard is either a whole blob or not there: create is one openat(O_CREAT|O_EXCL).
 *  2. No file of the store carries set-user-ID or set-group-ID: the store's owner is a host user, the bit was a guest's wish.
 *  3. The owner can always read and write a blob, so that an unprivileged supervisor never locks itself out.
 *
 * Durability of names. DirState counts names made in a directory and how many of them an fsync covered; a sync skips
 * the fsync of a directory that had no new name since. For a shard the counter exists from its first sync on:
 * a create before that needs no mark, because the first sync of a shard always syncs it. A shard is made under the lock together with
 * its mark, so nobody can put a blob into a shard whose name is not counted yet.
 *
 * Lock order: FileStore.lock is a leaf. */
#include "backends/filestore.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

typedef struct BlobName {
	char text[40];
	uint64_t shard;
} BlobName;

static BlobName name_of(BlobId id)
{
	BlobName name = {.shard = id >> SHARD_BITS};

	snprintf(name.text, sizeof name.text, "%jx/%jx", (uintmax_t)name.shard, (uintmax_t)id);
	return name;
}

static mode_t host_mode(mode_t mode)
{
	return (mode & 01777) | S_IRUSR | S_IWUSR;
}

static Shard *shard_find_locked(FileStore *fs, uint64_t number)
{
	for (HmapNode *n = hmap_first(&fs->shards, hash_u64(number, 0)); n; n = hmap_next(n)) {
		Shard *shard = CONTAINER_OF(n, Shard, link);
		if (shard->number == number)
			return shard;
	}
	return NULL;
}

static void note_new_name(FileStore *fs, uint64_t number)
{
	pthread_mutex_lock(&fs->lock);
	Shard *shard = shard_find_locked(fs, number);
	if (shard)
		shard->names.made++;
	pthread_mutex_unlock(&fs->lock);
}

static int make_shard(FileStore *fs, uint64_t number)
{
	char text[20];
	int r = 0;

	if (atomic_load(&fs->late))
		r = filestore_appear(fs, true);
	if (r < 0)
		return r;
	snprintf(text, sizeof text, "%jx", (uintmax_t)number);
	pthread_mutex_lock(&fs->lock);
	if (mkdirat(fs->root, text, 0700) == 0)
		fs->root_names.made++;
	else if (errno != EEXIST)
		r = bv_neg_errno();
	pthread_mutex_unlock(&fs->lock);
	return r;
}

static int open_new(FileStore *fs, const BlobName *name, mode_t mode, int flags)
{
	int fd = openat(fs->root, name->text, flags | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, mode); /* O_EXCL follows no link */

	if (fd >= 0)
		return fd;
	int r = bv_neg_errno();
	if (r == -EINVAL && (flags & O_DIRECT)) /* the kernel tells when the file is made already */
		unlinkat(fs->root, name->text, 0);
	return r;
}

int filestore_create(BlobStore *store, BlobId id, mode_t mode, int flags, int *fd)
{
	FileStore *fs = filestore_of(store);
	BlobName name = name_of(id);
	int made;

	if (fs->readonly)
		return -EROFS;
	if (id == 0 || (flags & (O_PATH | O_DIRECTORY))) /* O_TMPFILE has O_DIRECTORY in it */
		return -EINVAL;
	mode = host_mode(mode);
	made = open_new(fs, &name, mode, flags);
	if (made == -ENOENT) {
		int r = make_shard(fs, name.shard);
		if (r < 0)
			return r;
		made = open_new(fs, &name, mode, flags);
	}
	if (made < 0)
		return made;
	if ((mode & fs->masked) && fchmod(made, mode) < 0) {
		int r = bv_neg_errno();
		unlinkat(fs->root, name.text, 0);
		close(made);
		return r;
	}
	note_new_name(fs, name.shard);
	*fd = made;
	return 0;
}

static int mknod_new(FileStore *fs, const BlobName *name, mode_t mode)
{
	return mknodat(fs->root, name->text, mode, 0) < 0 ? bv_neg_errno() : 0;
}

int filestore_make_node(BlobStore *store, BlobId id, mode_t mode)
{
	FileStore *fs = filestore_of(store);
	BlobName name = name_of(id);
	int r;

	if (fs->readonly)
		return -EROFS;
	if (id == 0 || !S_ISFIFO(mode))
		return -EINVAL;
	mode = S_IFIFO | host_mode(mode);
	r = mknod_new(fs, &name, mode);
	if (r == -ENOENT && (r = make_shard(fs, name.shard)) == 0)
		r = mknod_new(fs, &name, mode);
	if (r < 0)
		return r;
	if ((mode & fs->masked) && fchmodat(fs->root, name.text, mode & 07777, 0) < 0) {
		r = bv_neg_errno();
		unlinkat(fs->root, name.text, 0);
		return r;
	}
	note_new_name(fs, name.shard);
	return 0;
}

/* Has somebody else (the supervisor, when we only read) made the store meanwhile? True once; keeps errno. */
static bool appeared(FileStore *fs)
{
	int saved = errno;
	bool now = atomic_load(&fs->late) && filestore_appear(fs, false) == 0;

	errno = saved;
	return now;
}

int filestore_make_shard(FileStore *fs, BlobId id)
{
	return make_shard(fs, name_of(id).shard);
}

void filestore_note_name(FileStore *fs, BlobId id)
{
	note_new_name(fs, name_of(id).shard);
}

int filestore_open_blob(BlobStore *store, BlobId id, int flags, int *fd)
{
	FileStore *fs = filestore_of(store);
	int r = filestore_open_here(fs, id, flags, fd);

	if (r != -ENOENT || !remote_any(fs))
		return r;
	if (fs->readonly)
		return remote_open_aside(fs, id, flags, fd);
	r = filestore_fetch(store, id);
	return r < 0 ? r : filestore_open_here(fs, id, flags, fd);
}

int filestore_open_here(FileStore *fs, BlobId id, int flags, int *fd)
{
	BlobName name = name_of(id);
	int opened;

	if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE)
		return -EINVAL;
	if (fs->readonly && !(flags & O_PATH) && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)))
		return -EROFS;
	if (id == 0 || here_is_suspect(fs, id))
		return -ENOENT;
	/* No retry on EINTR: only the open of a FIFO is interrupted, and then somebody wants it to end. */
	do
		opened = bv_openat_plain(fs->root, name.text, flags | O_CLOEXEC | (flags & O_PATH ? 0 : O_NOCTTY));
	while (opened < 0 && errno == ENOENT && appeared(fs));
	if (opened < 0)
		return bv_neg_errno();
	if (remote_any(fs))
		here_note_use(fs, id, !(flags & O_PATH) && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)));
	*fd = opened;
	return 0;
}

int filestore_statx(BlobStore *store, BlobId id, unsigned mask, struct statx *out)
{
	BlobName name = name_of(id);
	struct statx st;

	if (id == 0)
		return -ENOENT;
	if (here_is_suspect(filestore_of(store), id))
		return remote_statx(filestore_of(store), id, out);
	while (statx(filestore_of(store)->root, name.text, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, mask, &st) < 0)
		if (errno != ENOENT)
			return -errno;
		else if (!appeared(filestore_of(store)))
			return remote_statx(filestore_of(store), id, out);
	*out = st;
	return 0;
}

int filestore_utimens(BlobStore *store, BlobId id, const struct timespec times[2])
{
	FileStore *fs = filestore_of(store);
	BlobName name = name_of(id);

	if (fs->readonly)
		return -EROFS;
	if (id == 0)
		return -ENOENT;
	here_note_use(fs, id, true);
	return utimensat(fs->root, name.text, times, AT_SYMLINK_NOFOLLOW) < 0 ? bv_neg_errno() : 0;
}

int filestore_chmod(BlobStore *store, BlobId id, mode_t mode)
{
	FileStore *fs = filestore_of(store);
	BlobName name = name_of(id);

	if (fs->readonly)
		return -EROFS;
	if (id == 0)
		return -ENOENT;
	here_note_use(fs, id, true);
	return fchmodat(fs->root, name.text, host_mode(mode), 0) < 0 ? bv_neg_errno() : 0;
}

int filestore_truncate(BlobStore *store, BlobId id, uint64_t size)
{
	CLEAN_FD int fd = -1;
	int r;

	if (size > INT64_MAX)
		return -EFBIG;
	/* O_NONBLOCK: a FIFO answers ENXIO instead of waiting for a reader; truncating one is EINVAL. */
	r = filestore_open_blob(store, id, O_WRONLY | O_NONBLOCK, &fd);
	if (r < 0)
		return r == -ENXIO ? -EINVAL : r;
	return ftruncate(fd, (off_t)size) < 0 ? bv_neg_errno() : 0;
}

int filestore_place(BlobStore *store, BlobId id, BlobPlace *out)
{
	BlobName name = name_of(id);

	if (id == 0)
		return -ENOENT;
	out->dirfd = filestore_of(store)->root;
	memcpy(out->name, name.text, sizeof name.text);
	return 0;
}

int filestore_remove(BlobStore *store, BlobId id)
{
	FileStore *fs = filestore_of(store);
	BlobName name = name_of(id);

	if (fs->readonly)
		return -EROFS;
	if (id == 0 || unlinkat(fs->root, name.text, 0) == 0 || errno == ENOENT)
		return 0;
	return bv_neg_errno();
}

/* ---- durability ---- */

static int sync_dir(int at, const char *path)
{
	CLEAN_FD int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return bv_neg_errno();
	return fsync(fd) < 0 ? bv_neg_errno() : 0;
}

/* The names in the shard, if there are new ones. */
static int sync_shard(FileStore *fs, uint64_t number)
{
	Shard *shard, *fresh = malloc(sizeof *fresh);
	uint64_t made = 0;
	bool clean = false;
	char text[20];
	int r;

	pthread_mutex_lock(&fs->lock);
	shard = shard_find_locked(fs, number);
	if (!shard && fresh) {
		shard = TAKE_PTR(fresh);
		*shard = (Shard){.number = number, .names = {.made = 1}};
		hmap_insert(&fs->shards, &shard->link, hash_u64(number, 0));
	}
	if (shard) {
		made = shard->names.made;
		clean = shard->names.synced >= made;
	}
	pthread_mutex_unlock(&fs->lock);
	free(fresh);
	if (clean)
		return 0;
	snprintf(text, sizeof text, "%jx", (uintmax_t)number);
	r = sync_dir(fs->root, text);
	if (r < 0 || !shard)
		return r;
	pthread_mutex_lock(&fs->lock);
	shard->names.synced = MAX(shard->names.synced, made);
	pthread_mutex_unlock(&fs->lock);
	return 0;
}

/* The marker and the directories above the root, which opening may have made without waiting for the disk. Directories that
 * cannot be opened were not made by us. */
static int sync_marker_and_above(FileStore *fs)
{
	CLEAN_FD int marker = openat(fs->root, "format", O_RDONLY | O_CLOEXEC);
	CLEAN_FD int dir = bv_dup(fs->root);
	struct stat below, above;

	if (marker < 0 || fsync(marker) < 0 || dir < 0 || fstat(dir, &below) < 0)
		return bv_neg_errno();
	for (;;) {
		int up = openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (up < 0)
			return 0;
		close(dir);
		dir = up;
		if (fstat(up, &above) < 0)
			return bv_neg_errno();
		if (above.st_dev != below.st_dev || above.st_ino == below.st_ino)
			return 0;
		if (fsync(up) < 0)
			return bv_neg_errno();
		below = above;
	}
}

/* The names of the shards, the marker, and the root's own name. */
static int sync_root(FileStore *fs)
{
	uint64_t made;
	bool clean, settled;
	int r;

	pthread_mutex_lock(&fs->lock);
	made = fs->root_names.made;
	clean = fs->root_names.synced >= made;
	settled = fs->settled;
	pthread_mutex_unlock(&fs->lock);
	if (!clean && fsync(fs->root) < 0)
		return bv_neg_errno();
	r = settled ? 0 : sync_marker_and_above(fs);
	if (r < 0)
		return r;
	pthread_mutex_lock(&fs->lock);
	fs->root_names.synced = MAX(fs->root_names.synced, made);
	fs->settled = true;
	pthread_mutex_unlock(&fs->lock);
	return 0;
}

int filestore_sync(BlobStore *store, BlobId id)
{
	FileStore *fs = filestore_of(store);
	BlobName name = name_of(id);
	CLEAN_FD int fd = -1;
	int r;

	if (!store->ops->durable)
		return 0;
	if (id == 0)
		return syncfs(fs->root) < 0 ? bv_neg_errno() : 0;
	/* O_NONBLOCK: only the name of a FIFO needs syncing. EINVAL below is the kernel's word for that. */
	r = filestore_open_here(fs, id, O_RDONLY | O_NONBLOCK, &fd);
	if (r == -ENOENT && !blob_is_here(store, id))
		return 0; /* nothing here can be lost */
	if (r < 0)
		return r;
	if (fdatasync(fd) < 0 && errno != EINVAL)
		return bv_neg_errno();
	r = sync_shard(fs, name.shard);
	return r < 0 ? r : sync_root(fs);
}

/* ---- listing ---- */

typedef struct IdList {
	uint64_t *ids;
	size_t len, cap;
} IdList;

static int id_list_add(IdList *list, uint64_t id)
{
	if (!BV_GROW(list->ids, list->len, list->cap))
		return -ENOMEM;
	list->ids[list->len++] = id;
	return 0;
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

bool filestore_parse_hex(const char *text, uint64_t *out)
{
	uint64_t value = 0;
	size_t len = strlen(text);

	if (len == 0 || len > 16 || (text[0] == '0' && len > 1) || strspn(text, "0123456789abcdef") != len)
		return false;
	for (const char *c = text; *c; c++)
		value = value << 4 | (uint64_t)(*c <= '9' ? *c - '0' : *c - 'a' + 10);
	*out = value;
	return true;
}

/* All names of a directory that are hex numbers, sorted. The list is complete before anything is done with it, so that visitors may
 * remove what they are shown. */
static int list_numbers(int at, const char *path, IdList *list)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		r = bv_neg_errno();
		if (fd >= 0)
			close(fd);
		return r;
	}
	while (r == 0 && (errno = 0, entry = readdir(dir))) {
		uint64_t number;
		if (filestore_parse_hex(entry->d_name, &number))
			r = id_list_add(list, number);
	}
	if (r == 0 && errno)
		r = bv_neg_errno();
	closedir(dir);
	if (r == 0 && list->len)
		qsort(list->ids, list->len, sizeof *list->ids, compare_ids);
	return r;
}

static int iterate_shard(FileStore *fs, uint64_t number, int (*visit)(void *ctx, BlobId id), void *ctx)
{
	IdList blobs = {0};
	char text[20];
	int r;

	snprintf(text, sizeof text, "%jx", (uintmax_t)number);
	r = list_numbers(fs->root, text, &blobs);
	for (size_t i = 0; r == 0 && i < blobs.len; i++)
		if (blobs.ids[i] && blobs.ids[i] >> SHARD_BITS == number)
			r = visit(ctx, blobs.ids[i]);
	free(blobs.ids);
	return r;
}

int filestore_iterate(BlobStore *store, int (*visit)(void *ctx, BlobId id), void *ctx)
{
	FileStore *fs = filestore_of(store);
	IdList shards = {0};
	int r = atomic_load(&fs->late) ? filestore_appear(fs, false) : 0;

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = list_numbers(fs->root, ".", &shards);

	for (size_t i = 0; r == 0 && i < shards.len; i++)
		r = iterate_shard(fs, shards.ids[i], visit, ctx);
	free(shards.ids);
	return r;
}

int filestore_sync_names(BlobStore *store, BlobId from, BlobId to)
{
	FileStore *fs = filestore_of(store);
	IdList shards = {0};

	if (!store->ops->durable || (atomic_load(&fs->late) && !appeared(fs)))
		return 0; /* nothing was made yet: the root is the directory above */
	int r = list_numbers(fs->root, ".", &shards);

	for (size_t i = 0; r == 0 && i < shards.len; i++)
		if (shards.ids[i] >= from >> SHARD_BITS && shards.ids[i] <= to >> SHARD_BITS)
			r = sync_shard(fs, shards.ids[i]);
	free(shards.ids);
	return r < 0 ? r : sync_root(fs);
}
