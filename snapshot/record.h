/* snapshot/record.h - the records of a sandbox: its rows (docs/SCHEMA.md) as keys and values that are the same on every machine.
 *
 *   'b', path                   what the host had there and the sandbox read (the fields of 'i', of which few are used)
 *   'b', path, 0, name          ... one of its extended attributes (the fields of 'x')
 *   'd', u64 directory, name    a name; without an inode: a whiteout
 *   'i', u64 inode              an object; its content reference is that of its bytes
 *   's', name                   what the sandbox says of itself
 *   'x', u64 inode, name        an extended attribute; without a value: removed
 * Numbers in keys are big-endian, so keys sort as they count. A value is a list of fields: u8 tag, varint length, bytes; tags rise, what is 0 or empty is left out.
 * A reader passes over tags that it does not know below 128, and refuses (-EPROTO) those from 128 on.
 *
 * What is decoded points into the value. No locking. */
#ifndef SNAPSHOT_RECORD_H
#define SNAPSHOT_RECORD_H

#include "snapshot/id.h"

#include <time.h>

#define RECORD_KEY_MAX (9 + 255) /* but of 'b' */
#define RECORD_BASE_KEY_MAX 4096

typedef struct SnapIdentity { /* of a host object, as cowfs keeps it */
	uint64_t dev, ino, size;
	struct timespec mtime, ctime;
	uint32_t mode, uid, gid;
} SnapIdentity;

typedef struct SnapInode {
	uint32_t flags, have, mode, uid, gid;
	int32_t nlink;
	uint64_t rdev, vdev, vino;
	struct timespec atime, mtime, ctime, btime;
	const char *origin, *target; /* NULL: none; not NUL-terminated */
	size_t origin_len, target_len;
	bool base_known;
	SnapIdentity base;
} SnapInode;

typedef struct SnapDentry {
	uint64_t inode; /* 0: a whiteout */
	uint32_t flags;
	bool base_known;
	SnapIdentity base;
} SnapDentry;

typedef struct SnapXattr {
	bool removed;
	const void *value;
	size_t len;
} SnapXattr;

/* Each returns the length of the key. */
size_t record_key_inode(uint8_t key[RECORD_KEY_MAX], uint64_t id);
size_t record_key_dentry(uint8_t key[RECORD_KEY_MAX], uint64_t dir, const char *name, size_t len); /* len at most 255 */
size_t record_key_xattr(uint8_t key[RECORD_KEY_MAX], uint64_t id, const char *name, size_t len);
size_t record_key_state(uint8_t key[RECORD_KEY_MAX], const char *name);
/* `name` NULL: the object itself. 0: they are too long for a key. */
size_t record_key_base(uint8_t key[RECORD_BASE_KEY_MAX], const char *path, const char *name);
/* kind: 'b', 'd', 'i', 's' or 'x'; id 0 for 'b' and 's'; name: what follows. -EBADMSG. */
int record_key_parse(const void *key, size_t len, char *kind, uint64_t *id, const char **name, size_t *name_len) MUST_CHECK;

void snap_inode_encode(const SnapInode *inode, Bytes *out);
void snap_dentry_encode(const SnapDentry *dentry, Bytes *out);
void snap_xattr_encode(const SnapXattr *xattr, Bytes *out);
/* -EBADMSG, -EPROTO. */
int snap_inode_decode(const void *value, size_t len, SnapInode *out) MUST_CHECK;
int snap_dentry_decode(const void *value, size_t len, SnapDentry *out) MUST_CHECK;
int snap_xattr_decode(const void *value, size_t len, SnapXattr *out) MUST_CHECK;

#endif
