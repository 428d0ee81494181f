/* backends/registry.c - the table of backends. A new backend is one file and one row here. */
#include "backends/backends.h"

static const BlobOps *const rows[] = {&blob_dir_ops, &blob_tmpfs_ops, NULL};

const BlobOps *const *blob_ops_all(void)
{
	return rows;
}

const BlobOps *blob_ops_find(const char *scheme)
{
	for (const BlobOps *const *row = rows; *row; row++)
		if (strcmp((*row)->scheme, scheme) == 0)
			return *row;
	return NULL;
}
