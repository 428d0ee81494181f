/* lib/import.h - layers of an archive made into the changes of a new sandbox: one layer (import_layer.c), and where they come from (import.c). */
#ifndef LIB_IMPORT_H
#define LIB_IMPORT_H

#include "lib/archive.h"
#include "lib/view.h"

typedef struct Layers {
	const ArchiveLibrary *lib;
	const BvImportOptions *o;
	Cowfs *fs; /* of the new sandbox, for writing */
	CowReq req;
	CowCred cred;
	BvError **err;
} Layers;

/* Reads a tar, compressed or not, from the descriptor's position on, and makes its entries. -EBADMSG with a message for what is refused. */
int import_layer(Layers *l, int fd) MUST_CHECK;
/* All layers of an image layout, in their order: from a directory, or from a tar (directory NULL). */
int import_image(Layers *l, int fd, const char *directory) MUST_CHECK;
/* -EBADMSG: what was given is not an archive at all, which is said with what it should be. archive NULL: out of memory. */
int import_no_archive(const Layers *l, struct archive *archive);
void import_note(const Layers *l, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
