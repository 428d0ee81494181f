/* backends/backends.h - the rows of the registry, one per backend file. Private to backends/. */
#ifndef BACKENDS_BACKENDS_H
#define BACKENDS_BACKENDS_H

#include "backends/blob.h"

extern const BlobOps blob_dir_ops;
extern const BlobOps blob_tmpfs_ops;

#endif
