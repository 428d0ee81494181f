#include "snapshot/record.h"

/* Tags; those of dentries and xattrs are their own. */
enum { I_MODE = 1, I_UID, I_GID, I_NLINK, I_RDEV, I_VDEV, I_VINO, I_HAVE, I_FLAGS, I_ATIME, I_MTIME, I_CTIME, I_BTIME, I_ORIGIN, I_TARGET, I_BASE };
enum { D_INODE = 1, D_FLAGS, D_BASE };
enum { X_VALUE = 1, X_REMOVED };
#define MUST_KNOW 128

static size_t numbered(uint8_t *key, char kind, uint64_t id, const char *name, size_t len)
{
	key[0] = (uint8_t)kind;
	for (unsigned i = 0; i < 8; i++)
		key[1 + i] = (uint8_t)(id >> (56 - 8 * i));
	if (len)
		memcpy(key + 9, name, len);
	return 9 + len;
}

size_t record_key_inode(uint8_t key[RECORD_KEY_MAX], uint64_t id)
{
	return numbered(key, 'i', id, NULL, 0);
}

size_t record_key_dentry(uint8_t key[RECORD_KEY_MAX], uint64_t dir, const char *name, size_t len)
{
	return numbered(key, 'd', dir, name, MIN(len, (size_t)255));
}

size_t record_key_xattr(uint8_t key[RECORD_KEY_MAX], uint64_t id, const char *name, size_t len)
{
	return numbered(key, 'x', id, name, MIN(len, (size_t)255));
}

size_t record_key_state(uint8_t key[RECORD_KEY_MAX], const char *name)
{
	size_t len = strnlen(name, RECORD_KEY_MAX - 1);

	key[0] = 's';
	memcpy(key + 1, name, len);
	return 1 + len;
}

size_t record_key_base(uint8_t key[RECORD_BASE_KEY_MAX], const char *path, const char *name)
{
	size_t path_len = strlen(path), name_len = name ? strlen(name) : 0, len = 1 + path_len + (name ? 1 + name_len : 0);

	if (len > RECORD_BASE_KEY_MAX)
		return 0;
	key[0] = 'b';
	memcpy(key + 1, path, path_len);
	if (!name)
		return len;
	key[1 + path_len] = 0;
	memcpy(key + 2 + path_len, name, name_len);
	return len;
}

int record_key_parse(const void *key, size_t len, char *kind, uint64_t *id, const char **name, size_t *name_len)
{
	const uint8_t *k = key;
	uint64_t v = 0;

	if (len == 0 || !memchr("bdisx", k[0], 5))
		return -EBADMSG;
	size_t head = k[0] == 's' || k[0] == 'b' ? 1 : 9, max = k[0] == 'b' ? RECORD_BASE_KEY_MAX : RECORD_KEY_MAX;
	if (len < head || (k[0] == 'i' && len != head) || (k[0] != 'i' && (len == head || len > max)))
		return -EBADMSG;
	for (size_t i = 1; i < head; i++)
		v = v << 8 | k[i];
	*kind = (char)k[0];
	*id = v;
	*name = (const char *)k + head;
	*name_len = len - head;
	return 0;
}

static void put_number(Bytes *out, unsigned tag, uint64_t v)
{
	Bytes field = {0};

	if (v == 0)
		return;
	bytes_varint(&field, v);
	bytes_u8(out, tag);
	bytes_blob(out, field.data, field.len);
	out->failed |= field.failed;
	bytes_release(&field);
}

static void put_time(Bytes *out, const struct timespec *t)
{
	bytes_signed(out, t->tv_sec);
	bytes_varint(out, (uint64_t)t->tv_nsec);
}

static void put_time_field(Bytes *out, unsigned tag, const struct timespec *t)
{
	Bytes field = {0};

	if (t->tv_sec == 0 && t->tv_nsec == 0)
		return;
	put_time(&field, t);
	bytes_u8(out, tag);
	bytes_blob(out, field.data, field.len);
	out->failed |= field.failed;
	bytes_release(&field);
}

static void put_base(Bytes *out, unsigned tag, const SnapIdentity *base)
{
	Bytes field = {0};

	bytes_varint(&field, base->dev);
	bytes_varint(&field, base->ino);
	bytes_varint(&field, base->size);
	put_time(&field, &base->mtime);
	put_time(&field, &base->ctime);
	bytes_varint(&field, base->mode);
	bytes_varint(&field, base->uid);
	bytes_varint(&field, base->gid);
	bytes_u8(out, tag);
	bytes_blob(out, field.data, field.len);
	out->failed |= field.failed;
	bytes_release(&field);
}

static void put_text(Bytes *out, unsigned tag, const void *text, size_t len)
{
	if (!text)
		return;
	bytes_u8(out, tag);
	bytes_blob(out, text, len);
}

static uint64_t zigzag(int64_t v)
{
	return ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0);
}

void snap_inode_encode(const SnapInode *inode, Bytes *out)
{
	put_number(out, I_MODE, inode->mode);
	put_number(out, I_UID, inode->uid);
	put_number(out, I_GID, inode->gid);
	put_number(out, I_NLINK, zigzag(inode->nlink));
	put_number(out, I_RDEV, inode->rdev);
	put_number(out, I_VDEV, inode->vdev);
	put_number(out, I_VINO, inode->vino);
	put_number(out, I_HAVE, inode->have);
	put_number(out, I_FLAGS, inode->flags);
	put_time_field(out, I_ATIME, &inode->atime);
	put_time_field(out, I_MTIME, &inode->mtime);
	put_time_field(out, I_CTIME, &inode->ctime);
	put_time_field(out, I_BTIME, &inode->btime);
	put_text(out, I_ORIGIN, inode->origin, inode->origin_len);
	put_text(out, I_TARGET, inode->target, inode->target_len);
	if (inode->base_known)
		put_base(out, I_BASE, &inode->base);
}

void snap_dentry_encode(const SnapDentry *dentry, Bytes *out)
{
	put_number(out, D_INODE, dentry->inode);
	put_number(out, D_FLAGS, dentry->flags);
	if (dentry->base_known)
		put_base(out, D_BASE, &dentry->base);
}

void snap_xattr_encode(const SnapXattr *xattr, Bytes *out)
{
	if (xattr->removed)
		put_number(out, X_REMOVED, 1);
	else
		put_text(out, X_VALUE, xattr->value ? xattr->value : "", xattr->len);
}

/* ---- decoding ---- */
typedef struct Field {
	unsigned tag;
	Cursor c;
} Field;

/* 1: the next field, 0: no more, -EBADMSG. */
static int next_field(Cursor *in, Field *field)
{
	size_t len;

	if (in->at == in->end)
		return in->bad ? -EBADMSG : 0;
	unsigned tag = cursor_u8(in);
	const uint8_t *at = cursor_blob(in, &len);
	if (in->bad || tag <= field->tag)
		return -EBADMSG;
	*field = (Field){tag, cursor_of(at, len)};
	return 1;
}

static int get_u32(Cursor *c, uint32_t *out)
{
	uint64_t v = cursor_varint(c);

	*out = (uint32_t)v;
	return cursor_done(c) && v <= UINT32_MAX ? 0 : -EBADMSG;
}

static int get_u64(Cursor *c, uint64_t *out)
{
	*out = cursor_varint(c);
	return cursor_done(c) ? 0 : -EBADMSG;
}

static int read_time(Cursor *c, struct timespec *out)
{
	int64_t seconds = cursor_signed(c);
	uint64_t ns = cursor_varint(c);

	*out = (struct timespec){.tv_sec = seconds, .tv_nsec = (long)ns};
	return !c->bad && ns < 1000000000 ? 0 : -EBADMSG;
}

static int get_time(Cursor *c, struct timespec *out)
{
	return read_time(c, out) == 0 && cursor_done(c) ? 0 : -EBADMSG;
}

static int get_base(Cursor *c, bool *known, SnapIdentity *out)
{
	out->dev = cursor_varint(c);
	out->ino = cursor_varint(c);
	out->size = cursor_varint(c);
	int r = read_time(c, &out->mtime);
	if (r == 0)
		r = read_time(c, &out->ctime);
	uint64_t mode = cursor_varint(c), uid = cursor_varint(c), gid = cursor_varint(c);
	if (r < 0 || !cursor_done(c) || mode > UINT32_MAX || uid > UINT32_MAX || gid > UINT32_MAX)
		return -EBADMSG;
	out->mode = (uint32_t)mode;
	out->uid = (uint32_t)uid;
	out->gid = (uint32_t)gid;
	*known = true;
	return 0;
}

static int get_nlink(Cursor *c, int32_t *out)
{
	int64_t v = cursor_signed(c);

	*out = (int32_t)v;
	return cursor_done(c) && v >= INT32_MIN && v <= INT32_MAX ? 0 : -EBADMSG;
}

static int get_text(Cursor *c, const char **text, size_t *len)
{
	*text = (const char *)c->at;
	*len = cursor_left(c);
	return 0;
}

static int inode_field(SnapInode *i, Field *f)
{
	switch (f->tag) {
	case I_MODE:
		return get_u32(&f->c, &i->mode);
	case I_UID:
		return get_u32(&f->c, &i->uid);
	case I_GID:
		return get_u32(&f->c, &i->gid);
	case I_NLINK:
		return get_nlink(&f->c, &i->nlink);
	case I_RDEV:
		return get_u64(&f->c, &i->rdev);
	case I_VDEV:
		return get_u64(&f->c, &i->vdev);
	case I_VINO:
		return get_u64(&f->c, &i->vino);
	case I_HAVE:
		return get_u32(&f->c, &i->have);
	case I_FLAGS:
		return get_u32(&f->c, &i->flags);
	case I_ATIME:
		return get_time(&f->c, &i->atime);
	case I_MTIME:
		return get_time(&f->c, &i->mtime);
	case I_CTIME:
		return get_time(&f->c, &i->ctime);
	case I_BTIME:
		return get_time(&f->c, &i->btime);
	case I_ORIGIN:
		return get_text(&f->c, &i->origin, &i->origin_len);
	case I_TARGET:
		return get_text(&f->c, &i->target, &i->target_len);
	case I_BASE:
		return get_base(&f->c, &i->base_known, &i->base);
	default:
		return f->tag >= MUST_KNOW ? -EPROTO : 0;
	}
}

int snap_inode_decode(const void *value, size_t len, SnapInode *out)
{
	Cursor in = cursor_of(value, len);
	SnapInode inode = {0};
	Field field = {0};
	int r;

	while ((r = next_field(&in, &field)) > 0) {
		r = inode_field(&inode, &field);
		if (r < 0)
			break;
	}
	if (r == 0)
		*out = inode;
	return r;
}

int snap_dentry_decode(const void *value, size_t len, SnapDentry *out)
{
	Cursor in = cursor_of(value, len);
	SnapDentry dentry = {0};
	Field field = {0};
	int r;

	while ((r = next_field(&in, &field)) > 0) {
		if (field.tag == D_INODE)
			r = get_u64(&field.c, &dentry.inode);
		else if (field.tag == D_FLAGS)
			r = get_u32(&field.c, &dentry.flags);
		else if (field.tag == D_BASE)
			r = get_base(&field.c, &dentry.base_known, &dentry.base);
		else
			r = field.tag >= MUST_KNOW ? -EPROTO : 0;
		if (r < 0)
			break;
	}
	if (r == 0)
		*out = dentry;
	return r;
}

int snap_xattr_decode(const void *value, size_t len, SnapXattr *out)
{
	Cursor in = cursor_of(value, len);
	SnapXattr xattr = {0};
	Field field = {0};
	uint64_t removed = 0;
	int r;

	while ((r = next_field(&in, &field)) > 0) {
		if (field.tag == X_VALUE) {
			xattr.value = field.c.at;
			xattr.len = cursor_left(&field.c);
		} else if (field.tag == X_REMOVED) {
			r = get_u64(&field.c, &removed);
		} else {
			r = field.tag >= MUST_KNOW ? -EPROTO : 0;
		}
		if (r < 0)
			break;
	}
	xattr.removed = removed != 0;
	if (r == 0 && xattr.removed == (xattr.value != NULL))
		r = -EBADMSG;
	if (r == 0)
		*out = xattr;
	return r;
}
