/* snapshot/header.h - the snapshot object: an envelope around one piece whose records are the fields; keys that begin with '!' must be understood by readers. */
#ifndef SNAPSHOT_HEADER_H
#define SNAPSHOT_HEADER_H

#include "snapshot/store.h"

/* What the writer itself says; the caller's fields are kept beside, see docs/SNAPSHOT_FORMAT.md. */
typedef struct HeaderField {
	Bytes name, value;
} HeaderField;
typedef struct HeaderFields {
	HeaderField *all;
	size_t n;
} HeaderFields;
void header_fields_release(HeaderFields *f);
/* -EINVAL: a name that the writer uses itself, or none. */
int header_set(HeaderFields *f, const char *name, const void *value, size_t len) MUST_CHECK;
/* info's own parts and the fields, as the plain bytes of a snapshot object. Adds to f. */
int header_encode(const SnapInfo *info, HeaderFields *f, Bytes *out) MUST_CHECK;
/* Takes the plain bytes over, also on failure. -EBADMSG, -EPROTO. */
int header_decode(uint8_t *plain, size_t n, const char *name, SnapInfo *out, char **err) MUST_CHECK;

#endif
