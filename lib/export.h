/* lib/export.h - the changes of a sandbox or snapshot as a layer in tar, and such layers in an OCI image (export_oci.c).
 *
 * A layer is what docker and others make of one: the entries that are new or changed, `.wh.NAME` for a name that is deleted, and `.wh..wh..opq` in a directory through which nothing shows. */
#ifndef LIB_EXPORT_H
#define LIB_EXPORT_H

#include "lib/archive.h"

/* Where bytes go; a negative answer ends it. */
typedef struct ByteSink {
	int (*put)(void *ctx, const void *data, size_t len);
	void *ctx;
} ByteSink;

int export_layer(const BvSide *of, const BvExportOptions *options, const ByteSink *sink, BvError **err) MUST_CHECK;
/* To a directory (which is made), else as a tar to fd. */
int export_oci(const BvSide *of, const BvExportOptions *options, int fd, BvError **err) MUST_CHECK;

#endif
