/* cowfs/xattr.c - extended attributes: rows over what the host's object has. user.* of host files shows through; trusted.* and security.* of the
 * host do not (they mean something to the host's kernel only), the sandbox's own exist as rows for uid 0. ACLs are refused. Names and values are in memory, so what guests may set is bounded (HELD_MOST). */
#include "grant.h"
#include "internal.h"

#include <linux/limits.h>
#include <sys/xattr.h>

#define HELD_MOST ((size_t)32 << 20)

static _Atomic size_t held; /* bytes of names and values in memory, of all views of this process */

static size_t bytes_of(const CowXattr *x)
{
	return sizeof *x + x->nlen + 1U + x->size;
}

static void xattr_free(CowXattr *x)
{
	atomic_fetch_sub(&held, bytes_of(x));
	free(x);
}

const CowXattr *xattr_find(const CowNode *node, const char *name)
{
	const CowXattr *x = node->xattrs;

	while (x && strcmp(x->name, name) != 0)
		x = x->next;
	return x;
}

int xattr_set_row(CowNode *node, const char *name, const void *value, size_t size, bool deleted)
{
	size_t nlen = strlen(name);
	CowXattr *x = calloc(1, sizeof *x + nlen + 1 + size);

	if (!x)
		return -ENOMEM;
	x->size = (uint32_t)size;
	x->deleted = deleted;
	x->nlen = (uint8_t)nlen;
	memcpy(x->name, name, nlen);
	if (size)
		memcpy(x->name + nlen + 1, value, size);
	for (CowXattr **link = &node->xattrs; *link; link = &(*link)->next)
		if (strcmp((*link)->name, name) == 0) {
			CowXattr *old = *link;
			*link = old->next;
			xattr_free(old);
			break;
		}
	x->next = node->xattrs;
	node->xattrs = x;
	atomic_fetch_add(&held, bytes_of(x));
	return 0;
}

void xattrs_free(CowNode *node)
{
	while (node->xattrs) {
		CowXattr *next = node->xattrs->next;
		xattr_free(node->xattrs);
		node->xattrs = next;
	}
}

/* ---- names ---- */

/* Linux copies the name in before it looks at the path. */
static int name_length(const char *name)
{
	size_t len = strlen(name);
	return len == 0 || len > 255 ? -ERANGE : 0;
}

/* 0: allowed and stored as a row; else what Linux answers. */
static int name_check(const CowReq *req, const char *name, mode_t mode, bool reading)
{
	if (strncmp(name, "user.", 5) == 0) {
		if (!S_ISREG(mode) && !S_ISDIR(mode))
			return reading ? -ENODATA : -EPERM;
		return name[5] ? 0 : -EINVAL;
	}
	if (strncmp(name, "trusted.", 8) == 0)
		return req->cred->uid == 0 ? 0 : reading ? -ENODATA : -EPERM;
	if (strncmp(name, "security.", 9) == 0)
		return req->cred->uid == 0 || reading ? 0 : -EPERM;
	return -EOPNOTSUPP; /* system.posix_acl_* and unknown name spaces */
}

static bool shows_through(const char *name)
{
	return strncmp(name, "user.", 5) == 0;
}

/* A path of the host whose attributes show through: the origin, or the host object itself. NULL: none. */
static const char *host_of(const CowWalk *w, char buf[PATH_MAX])
{
	if (w->cur.kind == COW_NODE && !w->cur.node->origin)
		return NULL;
	return walk_host_path(w, &w->cur, buf);
}

/* ---- reading ---- */

static ssize_t cut(const void *data, size_t len, void *out, size_t size)
{
	if (size == 0)
		return (ssize_t)len;
	if (len > size)
		return -ERANGE;
	if (len)
		memcpy(out, data, len);
	return (ssize_t)len;
}

static ssize_t get_locked(CowWalk *w, const char *name, void *value, size_t size)
{
	char buf[PATH_MAX];
	int rc = w->cur.kind == COW_FOREIGN ? -EOPNOTSUPP : name_check(w->req, name, walk_type(w), true);

	if (rc < 0)
		return rc;
	if (w->cur.kind == COW_NODE && !w->cur.grant) {
		rc = node_allows(w->req, w->cur.node, R_OK);
		const CowXattr *x = xattr_find(w->cur.node, name);
		if (rc == 0 && x)
			return x->deleted ? -ENODATA : cut(xattr_value(x), x->size, value, size);
	}
	const char *host = host_of(w, buf);
	if (rc < 0 || !host || !shows_through(name))
		return rc < 0 ? rc : -ENODATA;
	ssize_t n = lgetxattr(host, name, value, size);
	return n < 0 ? (errno == EOPNOTSUPP ? -ENODATA : bv_neg_errno()) : n;
}

ssize_t cowfs_getxattr(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, const char *name, void *value, size_t size)
{
	CowWalk w;

	if (name_length(name) < 0)
		return -ERANGE;
	walk_init(&w, fs, req, flags, 0);
	fs_rdlock(fs);
	ssize_t rc = walk_run(&w, at, path);
	if (rc == 0)
		rc = get_locked(&w, name, value, size);
	fs_unlock(fs);
	walk_end(&w);
	return rc;
}

typedef struct NameList {
	char *out;
	size_t size, len;
} NameList;

static int add_name(NameList *list, const char *name)
{
	size_t n = strlen(name) + 1;

	if (list->size) {
		if (list->len + n > list->size)
			return -ERANGE;
		memcpy(list->out + list->len, name, n);
	}
	list->len += n;
	return 0;
}

static int list_host_names(const CowWalk *w, const char *host, NameList *list)
{
	CLEAN_FREE char *names = malloc(XATTR_LIST_MAX);
	int rc = 0;

	if (!names)
		return -ENOMEM;
	ssize_t n = llistxattr(host, names, XATTR_LIST_MAX);
	for (ssize_t at = 0; at < n && rc == 0; at += (ssize_t)strlen(names + at) + 1)
		if (shows_through(names + at) && !(w->cur.kind == COW_NODE && xattr_find(w->cur.node, names + at)))
			rc = add_name(list, names + at);
	return rc;
}

ssize_t cowfs_listxattr(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, char *out, size_t size)
{
	NameList list = {out, size, 0};
	char buf[PATH_MAX];
	CowWalk w;

	walk_init(&w, fs, req, flags, 0);
	fs_rdlock(fs);
	int rc = walk_run(&w, at, path);
	bool foreign = rc == 0 && w.cur.kind == COW_FOREIGN;
	for (const CowXattr *x = rc == 0 && w.cur.kind == COW_NODE ? w.cur.node->xattrs : NULL; x && rc == 0; x = x->next)
		if (!x->deleted && (req->cred->uid == 0 || strncmp(x->name, "trusted.", 8) != 0))
			rc = add_name(&list, x->name);
	const char *host = rc == 0 && !foreign ? host_of(&w, buf) : NULL;
	if (host)
		rc = list_host_names(&w, host, &list);
	fs_unlock(fs);
	walk_end(&w);
	return rc < 0 ? rc : (ssize_t)list.len;
}

static int import_one(CowNode *node, const char *host, const char *name, char *value)
{
	ssize_t len = lgetxattr(host, name, value, XATTR_SIZE_MAX);

	if (len < 0 && (errno == ENODATA || errno == EACCES))
		return 0; /* removed since it was listed; or a file that only its owner's chmod would make readable */
	if (len < 0)
		return bv_neg_errno();
	node->flags |= N_XATTR;
	return xattr_set_row(node, name, value, (size_t)len, false);
}

/* The host's attributes become rows: the host's object is no longer asked after a copy-up. */
int xattr_import(CowNode *node, const char *host)
{
	ssize_t n = llistxattr(host, NULL, 0); /* most files have none */

	if (n <= 0)
		return n == 0 || errno == EOPNOTSUPP ? 0 : bv_neg_errno();
	CLEAN_FREE char *names = malloc(XATTR_LIST_MAX), *value = malloc(XATTR_SIZE_MAX);
	int rc = names && value ? 0 : -ENOMEM;
	n = rc == 0 ? llistxattr(host, names, XATTR_LIST_MAX) : 0;
	if (n < 0)
		return bv_neg_errno();
	for (ssize_t at = 0; at < n && rc == 0; at += (ssize_t)strlen(names + at) + 1)
		if (shows_through(names + at) && !xattr_find(node, names + at))
			rc = import_one(node, host, names + at, value);
	return rc;
}

/* ---- changing ---- */

static int may_change(CowWalk *w, const char *name)
{
	struct statx st;
	int rc = name_check(w->req, name, walk_type(w), false);

	if (rc == 0)
		rc = walk_stat(w, &st);
	if (rc < 0)
		return rc;
	if (!shows_through(name))
		return 0;
	if (S_ISDIR(st.stx_mode) && (st.stx_mode & S_ISVTX) && !cred_owns(w->req->cred, st.stx_uid))
		return -EPERM;
	return cred_allows(w->req->cred, st.stx_mode, st.stx_uid, st.stx_gid, W_OK);
}

typedef struct XattrChange {
	const char *name;
	const void *value; /* NULL: remove */
	size_t size;
	int xflags;
} XattrChange;

static int change_on_host(CowWalk *w, const XattrChange *c)
{
	CLEAN_FD int fd = -1;
	char path[64];

	if (!shows_through(c->name))
		return -EPERM;
	int rc = grant_proc_path(w, &fd, path);
	if (rc < 0)
		return rc;
	rc = c->value ? setxattr(path, c->name, c->value, c->size, c->xflags) : removexattr(path, c->name);
	return rc < 0 ? bv_neg_errno() : 0;
}

static int change_locked(CowWalk *w, const XattrChange *c)
{
	CowNode *node;

	if (w->cur.kind == COW_FOREIGN)
		return -EPERM;
	int place = record_place(w->fs, &w->cur);
	int rc = place < 0 ? place : may_change(w, c->name);
	if (rc < 0)
		return rc;
	if (place == 1)
		return change_on_host(w, c);
	const CowXattr *row = w->cur.kind == COW_NODE ? xattr_find(w->cur.node, c->name) : NULL;
	size_t old_size = row ? row->size : 0;
	ssize_t old = get_locked(w, c->name, NULL, 0);
	if (old < 0 && old != -ENODATA && old != -EACCES)
		return (int)old;
	if (old == -ENODATA && (!c->value || (c->xflags & XATTR_REPLACE)))
		return -ENODATA;
	if (old >= 0 && c->value && (c->xflags & XATTR_CREATE))
		return -EEXIST;
	if (c->value && (!row || c->size > old_size) && atomic_load(&held) + sizeof *row + strlen(c->name) + c->size > HELD_MOST)
		return -ENOSPC; /* as of a file system whose room for attributes is bounded; ours are in memory */
	rc = c->value ? quota_record(w->fs, false) : 0;
	if (rc == 0)
		rc = walk_changed_node(w, &node);
	if (rc == 0)
		rc = xattr_set_row(node, c->name, c->value, c->value ? c->size : 0, !c->value);
	if (rc < 0)
		return rc;
	quota_new_xattr(w->fs, strlen(c->name), c->value ? c->size : 0, old_size);
	node->flags |= N_XATTR;
	node_changed(w->fs, node);
	watch_attrib(w, node, false);
	return 0;
}

static int change_xattr(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, const XattrChange *c)
{
	CowWalk w;

	if (name_length(c->name) < 0)
		return -ERANGE;
	walk_init(&w, fs, req, flags | W_WRITE, 0);
	fs_wrlock(fs);
	int rc = walk_run(&w, at, path);
	if (rc == 0)
		rc = change_locked(&w, c);
	fs_unlock(fs);
	walk_end(&w);
	return rc;
}

int cowfs_setxattr(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, const char *name, const void *value, size_t size, int xflags)
{
	const XattrChange c = {name, size ? value : "", size, xflags};

	if (xflags & ~(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	if (name_length(name) < 0)
		return -ERANGE;
	if (size > XATTR_SIZE_MAX)
		return -E2BIG;
	return change_xattr(fs, req, at, path, flags, &c);
}

int cowfs_removexattr(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, const char *name)
{
	const XattrChange c = {name, NULL, 0, 0};

	return change_xattr(fs, req, at, path, flags, &c);
}
