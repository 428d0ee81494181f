/* backends/filestore_keep.c - what a snapshot that is being taken still has to read of blobs that change or go meanwhile: ROOT/kept/<id, hex>.
 *
 * A kept file gets its name when it is complete, and the first one stays: whoever copies a blob twice copies it before anybody writes to it, or finds
 * the name taken. Nothing here is ever made durable: with the supervisor the snapshot ends. */
#include "backends/filestore.h"

#include <fcntl.h>
#include <stdio.h>

#define KEPT "kept"

typedef struct KeptName {
	char text[40];
} KeptName;

static KeptName kept_name(BlobId id)
{
	KeptName name;

	snprintf(name.text, sizeof name.text, KEPT "/%jx", (uintmax_t)id);
	return name;
}

static int make_dir(FileStore *fs)
{
	return mkdirat(fs->root, KEPT, 0700) < 0 && errno != EEXIST ? bv_neg_errno() : 0;
}

/* A blob that goes becomes the kept one itself. */
static int move(FileStore *fs, BlobId id, const KeptName *kept)
{
	BlobPlace place;
	int r = filestore_place(&fs->base, id, &place);

	if (r < 0)
		return r;
	if (linkat(fs->root, place.name, fs->root, kept->text, 0) < 0 && errno != EEXIST)
		return bv_neg_errno();
	return unlinkat(fs->root, place.name, 0) < 0 && errno != ENOENT ? bv_neg_errno() : 0;
}

static int copy(FileStore *fs, BlobId id, bool clone, const KeptName *kept)
{
	static _Atomic unsigned number;
	CLEAN_FD int from = -1;
	CLEAN_FD int to = -1;
	char temporary[64];
	struct stat st;
	int r = faccessat(fs->root, kept->text, F_OK, 0) == 0 ? 1 : filestore_open_here(fs, id, O_RDONLY | O_NONBLOCK, &from);

	if (r != 0)
		return MIN(r, 0);
	snprintf(temporary, sizeof temporary, KEPT "/.%u", ++number);
	to = openat(fs->root, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0 || fstat(from, &st) < 0)
		r = bv_neg_errno();
	if (r == 0)
		r = bv_copy_data(from, to, (uint64_t)st.st_size, clone);
	if (r == 0 && futimens(to, (struct timespec[2]){st.st_atim, st.st_mtim}) < 0)
		r = bv_neg_errno();
	if (r == 0 && linkat(fs->root, temporary, fs->root, kept->text, 0) < 0 && errno != EEXIST)
		r = bv_neg_errno();
	unlinkat(fs->root, temporary, 0);
	return r;
}

static int keep(FileStore *fs, BlobId id, unsigned how, const KeptName *kept)
{
	return how & BLOB_KEEP_MOVE ? move(fs, id, kept) : copy(fs, id, how & BLOB_KEEP_CLONE, kept);
}

int filestore_keep(BlobStore *store, BlobId id, unsigned how)
{
	FileStore *fs = filestore_of(store);
	KeptName kept = kept_name(id);

	if (fs->readonly)
		return -EROFS;
	if (id == 0)
		return -ENOENT;
	if (!blob_is_here(store, id))
		return 0; /* nobody can change it before it is */
	int r = keep(fs, id, how, &kept);
	if (r == -ENOENT && (r = make_dir(fs)) == 0) /* the first one; or the blob is missing, which the second try says */
		r = keep(fs, id, how, &kept);
	return r;
}

int filestore_open_kept(BlobStore *store, BlobId id, int *fd)
{
	KeptName kept = kept_name(id);

	if (id == 0)
		return -ENOENT;
	int opened = bv_openat_plain(filestore_of(store)->root, kept.text, O_RDONLY | O_NOATIME | O_CLOEXEC);
	if (opened < 0)
		return bv_neg_errno();
	*fd = opened;
	return 0;
}

int filestore_drop_kept(BlobStore *store)
{
	FileStore *fs = filestore_of(store);

	if (fs->readonly)
		return -EROFS;
	return atomic_load(&fs->late) ? 0 : bv_remove_tree_at(fs->root, KEPT);
}
