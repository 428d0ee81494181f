/* snapshot/envelope.h - the frame of index and snapshot objects: magic with version, flags, key, plain length, salt, stored form.
 *
 * An object in an envelope is named after the SHA-256 of all its bytes, so whoever reads it by name knows that it is what was written.
 * Errors: -EBADMSG (damaged), -EPROTO (a newer version), -ENOKEY (sealed with a key that is not given), -ENOMEM; messages name the object. */
#ifndef SNAPSHOT_ENVELOPE_H
#define SNAPSHOT_ENVELOPE_H

#include "snapshot/coder.h"

#define MAGIC_PACK "BVSNAPP1"
#define MAGIC_TABLE "BVSNAPT1"
#define MAGIC_INDEX "BVSNAPI1"
#define MAGIC_SNAPSHOT "BVSNAPS1"
#define MAGIC_COLLECT "BVSNAPC1"
#define MAGIC_SIZE 8
/* Random bytes make every pack and every envelope another object, also with the same content: one that is put is never one that a collector is about to remove. */
#define SALT_SIZE 8
#define ENVELOPE_HEAD (MAGIC_SIZE + 4 + KEY_ID_SIZE + 8 + SALT_SIZE)
#define ENVELOPE_MAX ((size_t)1 << 30) /* plain */

/* 0, -EPROTO (same kind, newer version) or -EBADMSG. */
int magic_check(const void *data, size_t len, const char *magic, const char *name, char **err) MUST_CHECK;
/* Appends the envelope of `plain`. */
int envelope_encode(Coder *coder, const char *magic, const void *plain, size_t len, Bytes *out) MUST_CHECK;
/* `name` is for messages. *plain is the caller's to free. */
int envelope_decode(Coder *coder, const char *magic, const char *name, const void *data, size_t len, uint8_t **plain, size_t *n, char **err) MUST_CHECK;

#endif
