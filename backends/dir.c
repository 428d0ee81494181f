/* backends/dir.c - the default backend: blobs are files below a directory of any local file system, and survive a reboot. */
#include "backends/backends.h"
#include "backends/filestore.h"

static const FileStoreKind dir_kind = {.ops = &blob_dir_ops};

static int dir_open(const char *path, unsigned flags, BlobStore **out, char **err)
{
	return filestore_open(&dir_kind, path, flags, out, err);
}

const BlobOps blob_dir_ops = {.scheme = "dir", .durable = true, .open = dir_open, FILESTORE_OPS};
