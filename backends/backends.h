/* backends/backends.h - the rows of the registries, one per backend file. Private to backends/. */
#ifndef BACKENDS_BACKENDS_H
#define BACKENDS_BACKENDS_H

#include "backends/blob.h"
#include "backends/object.h"

extern const BlobOps blob_dir_ops;
extern const BlobOps blob_tmpfs_ops;

extern const ObjectOps object_dir_ops;
/* Open only: the store it opens has the ops of the plugin. */
extern const ObjectOps object_s3_loader_ops;
extern const ObjectOps object_s3v2_loader_ops;

#endif
