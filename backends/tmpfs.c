/* backends/tmpfs.c - blobs in memory: files below a directory that must lie on a tmpfs, chosen by the caller. They survive the supervisor but
 * not a reboot, so syncing has nothing to do. */
#include "backends/backends.h"
#include "backends/filestore.h"

#include <linux/magic.h>

static const FileStoreKind tmpfs_kind = {
	.ops = &blob_tmpfs_ops,
	.required_magic = TMPFS_MAGIC,
	.magic_help = "the tmpfs backend needs a directory on a tmpfs, such as /dev/shm; use the dir backend for other file systems",
};

static int tmpfs_open(const char *path, unsigned flags, BlobStore **out, char **err)
{
	return filestore_open(&tmpfs_kind, path, flags, out, err);
}

const BlobOps blob_tmpfs_ops = {.scheme = "tmpfs", .durable = false, .open = tmpfs_open, FILESTORE_OPS};
