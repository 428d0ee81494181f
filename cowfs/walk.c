/* cowfs/walk.c - from a path to an object, as the kernel's path walk does it, in the view.
 *
 * A walk stands at `cur`: a record, an untouched host object (canonical path in w->path), or an object of a foreign file system. From a
 * record the next component is looked up among its dentries; where there is none, the rest of the path lies on the host (I4) and is
 * taken in one step if its directories are free of symlinks (walk_host_rest), else component by component. Symlinks are always walked in
 * the view, never by the host. The sysctls protected_symlinks, protected_hardlinks and protected_fifos are not emulated: they
 * differ between hosts, and within a sandbox there is one user. */
#include "internal.h"

enum { STEP_DONE = 0, STEP_LINK = 1, STEP_SLOW = 2 };

void walk_init(CowWalk *w, Cowfs *fs, const CowReq *req, unsigned flags, uint64_t resolve)
{
	memset(w, 0, offsetof(CowWalk, st));
	w->fs = fs;
	w->req = req;
	w->flags = flags;
	w->resolve = resolve;
	w->fd = -1;
	w->path[0] = '\0';
}

void walk_end(CowWalk *w)
{
	free(w->heap);
	w->heap = NULL;
	node_put(TAKE_PTR(w->entered));
	bv_close_fd(&w->fd);
	cowloc_release(&w->hold);
}

void walk_relock(CowWalk *w)
{
	if (w->flags & W_WRITE)
		fs_wrlock(w->fs);
	else
		fs_rdlock(w->fs);
}

const CowGrant *grant_for(Cowfs *fs, const char *path, size_t len)
{
	const CowGrant *best = NULL;

	for (const CowGrant *g = fs->grants; g; g = g->next)
		if (len >= g->len && memcmp(path, g->path, g->len) == 0 && (len == g->len || path[g->len] == '/' || g->len == 1) &&
		    (!best || g->len > best->len))
			best = g;
	return best;
}

static void stand_on_node(CowWalk *w, CowNode *node, const CowGrant *grant)
{
	w->cur = (CowAt){.kind = COW_NODE, .node = node, .grant = grant};
	if (node->dir && node->dir->grant)
		w->cur.grant = node->dir->grant;
	if (node->dir && node->dir->foreign) {
		w->cur = (CowAt){.kind = COW_FOREIGN, .foreign = node->dir->foreign, .fkind = COW_F_DIR};
		w->path[0] = '\0';
	}
	w->st_ok = false;
}

static int stand_on_loc(CowWalk *w, const CowLoc *loc)
{
	if (!loc) {
		stand_on_node(w, w->fs->root, NULL);
		return 0;
	}
	if (loc->kind == COW_NODE) {
		stand_on_node(w, loc->node, loc->grant);
		return 0;
	}
	size_t len = strlen(loc->path);
	if (len >= PATH_MAX)
		return -ENAMETOOLONG;
	if (loc->kind == COW_LOWER) {
		CowNode *node = node_by_origin(w->fs, loc->path, len);
		if (node) {
			stand_on_node(w, node, loc->grant);
			return 0;
		}
	}
	memcpy(w->path, loc->path, len + 1);
	w->cur = (CowAt){.kind = loc->kind, .foreign = loc->foreign, .grant = loc->grant, .len = len, .fkind = COW_F_NONE};
	w->st_ok = false;
	return 0;
}

static bool same_place(const CowWalk *w, const CowLoc *loc)
{
	if (!loc)
		return w->cur.kind == COW_NODE && w->cur.node == w->fs->root;
	if (w->cur.kind == COW_NODE && loc->kind == COW_LOWER)
		return w->cur.node->origin && strcmp(w->cur.node->origin, loc->path) == 0;
	if (w->cur.kind != loc->kind)
		return false;
	if (loc->kind == COW_NODE)
		return w->cur.node == loc->node;
	return w->cur.foreign == loc->foreign && strcmp(w->path, loc->path) == 0;
}

const char *walk_host_path(const CowWalk *w, const CowAt *at, char buf[PATH_MAX])
{
	if (at->kind == COW_NODE)
		return at->node->origin;
	memcpy(buf, w->path, at->len);
	buf[at->len] = '\0';
	return buf;
}

/* ---- one component ---- */

static int check_search(CowWalk *w)
{
	switch (w->cur.kind) {
	case COW_NODE:
		if (!S_ISDIR(w->cur.node->mode))
			return -ENOTDIR;
		return w->cur.grant ? 0 : node_allows(w->req, w->cur.node, X_OK);
	case COW_LOWER:
		return w->st_ok && !S_ISDIR(w->st.stx_mode) ? -ENOTDIR : 0;
	default:
		return w->cur.fkind == COW_F_NONE || w->cur.fkind == COW_F_DIR ? 0 : -ENOTDIR;
	}
}

/* The host object at w->path[0..len) was found (w->st): is it known under another of its names? */
/* The record of this object of the host (no directory), made under another of its names; or NULL. */
static CowNode *recorded_under_other_name(Cowfs *fs, const struct statx *st)
{
	if (!atomic_load_explicit(&fs->lower_idents, memory_order_relaxed))
		return NULL;
	CowNode *node = ident_find(fs, statx_dev(st), st->stx_ino);
	if (!node || (node->flags & N_DEAD))
		return NULL;
	if ((st->stx_mask & STATX_BTIME) && node->btime.tv_sec &&
	    (node->btime.tv_sec != st->stx_btime.tv_sec || (uint32_t)node->btime.tv_nsec != st->stx_btime.tv_nsec))
		return NULL; /* the host used the inode number again */
	return node;
}

static void stand_on_host(CowWalk *w, size_t len, const CowGrant *grant)
{
	w->cur = (CowAt){.kind = COW_LOWER, .len = len, .grant = grant};
	w->st_ok = true;
	CowNode *node = S_ISDIR(w->st.stx_mode) ? NULL : recorded_under_other_name(w->fs, &w->st);
	if (!node)
		return;
	stand_on_node(w, node, grant);
	w->cur.len = len;
}

static int step_host(CowWalk *w, const char *base, size_t blen, const char *name, size_t n)
{
	char text[256];
	const CowGrant *grant = w->cur.grant;
	ssize_t len = path_join(w->path, base, blen, name, n);

	if (len < 0)
		return (int)len;
	if (!grant && !w->resolve && lower_peek(w->fs, w->path, (size_t)len, text, sizeof text) == LOWER_DIR) {
		w->cur = (CowAt){.kind = COW_LOWER, .len = (size_t)len};
		w->st_ok = false;
		return 0;
	}
	int rc = closed_lookup(w, lower_statx(w->fs, grant, w->path, &w->st));
	if (rc < 0) {
		w->path[w->dir.kind == COW_LOWER ? w->dir.len : 0] = '\0';
		return rc;
	}
	if (!grant && S_ISDIR(w->st.stx_mode))
		lower_note(w->fs, w->path, (size_t)len, LOWER_DIR, NULL);
	stand_on_host(w, (size_t)len, grant);
	return 0;
}

static int step_foreign(CowWalk *w, const char *name, size_t n)
{
	CowForeignKind kind;
	size_t len = w->cur.len;

	if (len + 1 + n >= PATH_MAX)
		return -ENAMETOOLONG;
	if (len)
		w->path[len++] = '/';
	memcpy(w->path + len, name, n);
	w->path[len + n] = '\0';
	const CowForeign *foreign = w->cur.foreign;
	fs_unlock(w->fs);
	int rc = foreign->ops->lookup(foreign->ctx, w->req, w->path, &kind);
	walk_relock(w);
	if (rc < 0) {
		w->path[w->dir.len] = '\0';
		return rc;
	}
	w->cur.len = len + n;
	w->cur.fkind = kind;
	return 0;
}

/* Does ".." lead from dir to where the walk began, as far as records tell? What rests on the host below it has no pack. */
static bool is_below_start(const CowWalk *w, const CowNode *dir)
{
	if (w->start && w->start->kind == COW_NODE)
		return node_is_ancestor(w->start->node, dir);
	const CowNode *node = w->start ? node_by_origin(w->fs, w->start->path, strlen(w->start->path)) : w->fs->root;
	return node && node_is_ancestor(node, dir);
}

/* The lock may be released: what the walk stands on stays. */
static int load_dir(CowWalk *w, CowNode *dir)
{
	if (w->flags & W_WRITE)
		return dir_load(w->fs, dir);
	node_get(dir);
	int rc = dir_ready(w->fs, dir);
	node_put(w->entered);
	w->entered = dir;
	if (rc == 0 && (w->resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT))) /* it may have been moved out meanwhile: Linux says the same */
		rc = is_below_start(w, dir) ? 0 : -EAGAIN;
	return rc;
}

/* From cur (now w->dir) to its entry `name`. */
static int step_name(CowWalk *w, const char *name, size_t n)
{
	int rc = check_search(w);

	w->dir = w->cur;
	if (rc < 0)
		return rc;
	if (n > NAME_MAX) /* a removed directory is not even asked */
		return w->cur.kind == COW_NODE && (w->cur.node->flags & N_DEAD) ? -ENOENT : -ENAMETOOLONG;
	if (w->cur.kind == COW_FOREIGN)
		return step_foreign(w, name, n);
	if (w->cur.kind == COW_LOWER)
		return step_host(w, w->path, w->cur.len, name, n);

	CowNode *dir = w->cur.node;
	CowDentry *d = dentry_find(w->fs, dir, name, n);
	if (!d && (dir->flags & N_PACKED)) {
		rc = load_dir(w, dir);
		if (rc < 0)
			return rc;
		d = dentry_find(w->fs, dir, name, n);
	}
	if (d && d->node) {
		stand_on_node(w, d->node, w->cur.grant);
		return w->cur.kind == COW_FOREIGN && (w->resolve & RESOLVE_NO_XDEV) ? -EXDEV : 0;
	}
	if (d || !dir->origin || (dir->flags & N_DEAD))
		return -ENOENT;
	return step_host(w, dir->origin, strlen(dir->origin), name, n);
}

/* Search permission was checked. */
static int step_up(CowWalk *w)
{
	if ((w->resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) && same_place(w, w->start))
		return w->resolve & RESOLVE_BENEATH ? -EXDEV : 0;
	if (w->cur.kind == COW_FOREIGN && w->cur.len) {
		char *slash = strrchr(w->path, '/');
		w->cur.len = slash ? (size_t)(slash - w->path) : 0;
		w->path[w->cur.len] = '\0';
		w->cur.fkind = COW_F_DIR;
		return 0;
	}
	if (w->cur.kind == COW_LOWER) {
		char *slash = strrchr(w->path, '/');
		size_t len = slash == w->path ? 1 : (size_t)(slash - w->path);
		CowNode *node = node_by_origin(w->fs, w->path, len);
		w->path[len] = '\0';
		if (node) {
			stand_on_node(w, node, grant_for(w->fs, w->path, len));
			return 0;
		}
		w->cur.len = len;
		w->st_ok = false;
		return 0;
	}
	CowNode *node = w->cur.kind == COW_FOREIGN ? w->cur.foreign->node : w->cur.node;
	if (node == w->fs->root)
		return 0;
	CowNode *parent = node_parent(node);
	if (!parent && node->last)
		parent = node->last->dir; /* a removed directory keeps its "..", as a dentry of the kernel does */
	node = parent;
	if (!node)
		return -ENOENT;
	stand_on_node(w, node, w->cur.grant && node->origin ? grant_for(w->fs, node->origin, strlen(node->origin)) : NULL);
	return 0;
}

/* ---- the rest of a path on the host, at once ---- */

/* Copies the components of rest behind w->path[0..len), without doubled slashes. Returns the length, 0 if there is "." or "..". */
static size_t join_plain(CowWalk *w, size_t len, const char *rest, size_t *parent)
{
	if (len == 1 && w->path[0] == '/')
		len = 0;
	*parent = len;
	while (*rest) {
		size_t n = strcspn(rest, "/");
		if ((n == 1 && rest[0] == '.') || (n == 2 && rest[0] == '.' && rest[1] == '.') || len + n + 2 > PATH_MAX || n > NAME_MAX)
			return 0;
		*parent = len;
		w->path[len++] = '/';
		memcpy(w->path + len, rest, n);
		len += n;
		rest += n;
		w->slash = *rest == '/';
		rest += strspn(rest, "/");
	}
	w->path[len] = '\0';
	return len;
}

/* Opens what w->st describes, w->cur being the untouched host object. Only regular files and directories: opening a FIFO or a device of the
 * host is felt by the host's processes, even if it is closed again. Whatever fails here is tried again with its checks. */
static void open_host_now(CowWalk *w)
{
	int flags = w->open_flags;
	bool probe = !(flags & (O_PATH | O_DIRECTORY | O_NONBLOCK));

	if (w->cur.kind != COW_LOWER || !(S_ISDIR(w->st.stx_mode) || (S_ISREG(w->st.stx_mode) && !w->slash)))
		return;
	/* O_NONBLOCK in case it became a FIFO meanwhile: no waiting under the lock. Taken off again before a guest sees it. */
	int fd = lower_open(w->fs, w->path, flags | (probe ? O_NONBLOCK : 0), 0);
	if (fd >= 0 && probe && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0) {
		close(fd);
		return;
	}
	w->fd = fd < 0 ? -1 : fd;
}

static void name_last(CowWalk *w, const char *name, size_t n)
{
	w->last_type = LAST_NORM;
	w->nlast = MIN(n, (size_t)NAME_MAX);
	memcpy(w->last, name, w->nlast);
	w->last[w->nlast] = '\0';
}

/* From cur (a record with origin, or a host directory) all of w->rest. STEP_SLOW: do one component; STEP_LINK: the last is a symlink. */
static int walk_host_rest(CowWalk *w)
{
	CowAt from = w->cur;
	w->in_last = false;
	size_t base = from.kind == COW_NODE ? strlen(from.node->origin) : from.len, parent;

	if (w->resolve || base >= PATH_MAX || ((w->flags & W_CREATE) && w->rest[strlen(w->rest) - 1] == '/'))
		return STEP_SLOW;
	if (from.kind == COW_NODE)
		memcpy(w->path, from.node->origin, base + 1);
	size_t len = join_plain(w, base, w->rest, &parent);
	bool single = parent == base || (base == 1 && parent == 0);
	int rc = len ? 0 : STEP_SLOW;
	if (!rc && !single)
		rc = lower_prefix(w->fs, from.grant, w->path, parent) < 0 ? STEP_SLOW : 0;
	if (rc) {
		w->path[from.kind == COW_LOWER ? base : 0] = '\0';
		return rc;
	}
	w->dir = single ? from : (CowAt){.kind = COW_LOWER, .len = parent, .grant = from.grant};
	name_last(w, w->path + parent + 1, len - parent - 1);
	rc = closed_lookup(w, lower_statx(w->fs, from.grant, w->path, &w->st));
	if (rc < 0) {
		w->path[w->dir.kind == COW_LOWER ? w->dir.len : 0] = '\0';
		return rc;
	}
	stand_on_host(w, len, from.grant);
	if (w->flags & W_OPEN)
		open_host_now(w);
	return S_ISLNK(walk_type(w)) ? STEP_LINK : STEP_DONE;
}

/* ---- symlinks ---- */

static ssize_t link_text(CowWalk *w, char *text, size_t size)
{
	if (w->cur.kind == COW_NODE) {
		size_t n = strlen(w->cur.node->target);
		memcpy(text, w->cur.node->target, n + 1);
		return (ssize_t)n;
	}
	if (w->cur.kind == COW_LOWER) {
		if (!w->cur.grant)
			opened_note(w->fs, w->path); /* it leads to what is opened, or is not there: then it is no loss */
		return lower_readlink(w->fs, w->cur.grant, w->path, text, size);
	}
	const CowForeign *foreign = w->cur.foreign;
	fs_unlock(w->fs);
	ssize_t n = foreign->ops->readlink(foreign->ctx, w->req, w->path, text, size - 1);
	walk_relock(w);
	if (n >= 0)
		text[n] = '\0';
	return n;
}

static int jump_magic(CowWalk *w)
{
	const CowForeign *foreign = w->cur.foreign;
	CowForeignKind kind = COW_F_NONE;
	CowLoc to = {0};

	if (w->resolve & (RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH | RESOLVE_IN_ROOT))
		return w->resolve & RESOLVE_NO_MAGICLINKS ? -ELOOP : -EXDEV;
	fs_unlock(w->fs);
	int rc = foreign->ops->follow(foreign->ctx, w->req, w->path, &to);
	if (rc == 0 && to.kind == COW_FOREIGN) /* mostly a file: what it is must be known before it is opened */
		rc = to.foreign->ops->lookup(to.foreign->ctx, w->req, to.path, &kind);
	walk_relock(w);
	if (rc < 0) {
		cowloc_release(&to);
		return rc;
	}
	cowloc_release(&w->hold);
	w->hold = to;
	rc = stand_on_loc(w, &w->hold);
	if (rc == 0 && w->cur.kind == COW_FOREIGN && to.kind == COW_FOREIGN)
		w->cur.fkind = kind;
	if (rc == 0 && w->cur.kind == COW_LOWER) { /* the type must be known: it need not be a directory */
		rc = walk_stat(w, &w->st);
		w->st_ok = rc == 0;
	}
	return rc;
}

/* cur is a symlink that is to be followed; `after` is what comes behind it in the path. */
static int follow_link(CowWalk *w, const char *after)
{
	char text[PATH_MAX];

	if (++w->links > COW_MAX_LINKS || (w->resolve & RESOLVE_NO_SYMLINKS))
		return -ELOOP;
	if (w->cur.kind == COW_FOREIGN && w->cur.fkind == COW_F_MAGIC) {
		w->rest = after;
		return jump_magic(w);
	}
	ssize_t n = link_text(w, text, sizeof text);
	if (n <= 0)
		return n < 0 ? (int)n : -ENOENT;
	size_t alen = strlen(after);
	char *joined = malloc((size_t)n + alen + 1);
	if (!joined)
		return -ENOMEM;
	memcpy(joined, text, (size_t)n);
	memcpy(joined + n, after, alen + 1);
	free(w->heap);
	w->heap = joined;
	w->rest = joined;
	if (text[0] != '/') {
		w->cur = w->dir;
		w->st_ok = false;
		if (w->cur.kind != COW_NODE)
			w->path[w->cur.len] = '\0';
		return 0;
	}
	/* Linux knows the root's mount only once it has needed the root: else it answers for a link to "/" without looking (nd_jump_root). */
	if ((w->resolve & RESOLVE_BENEATH) || ((w->resolve & RESOLVE_NO_XDEV) && !(w->resolve & RESOLVE_IN_ROOT) && !w->root_known))
		return -EXDEV;
	return stand_on_loc(w, w->resolve & RESOLVE_IN_ROOT ? w->start : NULL);
}

mode_t walk_type(CowWalk *w)
{
	if (w->cur.kind == COW_NODE)
		return w->cur.node->mode & S_IFMT;
	if (w->cur.kind == COW_LOWER)
		return w->st_ok ? w->st.stx_mode & S_IFMT : S_IFDIR;
	switch (w->cur.fkind) {
	case COW_F_FILE:
		return S_IFREG;
	case COW_F_SYMLINK:
	case COW_F_MAGIC:
		return S_IFLNK;
	default:
		return S_IFDIR;
	}
}

/* ---- the loop ---- */

#define NOT_A_MOUNT_ID (1ULL << 62) /* set in what stands for a mount where the kernel has none */

static uint64_t mount_of_stat(const struct statx *st)
{
	return st->stx_mask & STATX_MNT_ID ? st->stx_mnt_id : statx_dev(st) | NOT_A_MOUNT_ID; /* kernels before 5.8 do not tell */
}

/* What the sandbox made is on the mount of the nearest directory that the host has; each pinned directory is a mount of its own. */
static uint64_t mount_of_node(Cowfs *fs, const CowNode *node)
{
	struct statx st;

	for (; node; node = node->names ? node->names->dir : node->last ? node->last->dir : NULL) { /* a removed one is still on its mount */
		if ((node->flags & N_PIN) && node->dir)
			return node->vdev | NOT_A_MOUNT_ID;
		if (node->origin && lower_statx(fs, NULL, node->origin, &st) == 0)
			return mount_of_stat(&st);
	}
	return fs->root->vdev | NOT_A_MOUNT_ID;
}

/* RESOLVE_NO_XDEV: is cur still on the mount where the walk began? */
static int check_device(CowWalk *w, bool begin)
{
	uint64_t mount;

	if (!(w->resolve & RESOLVE_NO_XDEV))
		return 0;
	if (w->cur.kind == COW_FOREIGN) {
		mount = (uint64_t)(uintptr_t)w->cur.foreign | NOT_A_MOUNT_ID;
	} else if (w->cur.kind == COW_NODE && !w->cur.len) {
		mount = mount_of_node(w->fs, w->cur.node);
	} else { /* on the host, or known under another name, which may be gone */
		struct statx st;
		int rc = w->cur.kind == COW_NODE ? lower_statx(w->fs, w->cur.grant, w->path, &st) : walk_stat(w, &st);
		if (rc < 0)
			return rc;
		mount = mount_of_stat(&st);
	}
	if (begin)
		w->mount = mount;
	return mount == w->mount ? 0 : -EXDEV;
}

/* Does cur, found as the last component, have to be followed? */
static bool follows_last(const CowWalk *w)
{
	if (w->flags & W_PARENT)
		return !(w->flags & COW_NOFOLLOW); /* unlink("link/") and the like see the link */
	return w->slash || !(w->flags & COW_NOFOLLOW);
}

static int finish(CowWalk *w)
{
	w->found = true;
	if ((w->slash || (w->flags & COW_DIRECTORY)) && !S_ISDIR(walk_type(w)))
		return w->flags & W_PARENT ? 0 : -ENOTDIR; /* the caller of a W_PARENT walk knows its own order of errors */
	return 0;
}

static bool can_leave_index(const CowWalk *w, size_t n)
{
	if (w->cur.kind == COW_LOWER)
		return true;
	if (w->cur.kind != COW_NODE || !w->cur.node->origin || !S_ISDIR(w->cur.node->mode) || (w->cur.node->flags & N_DEAD))
		return false;
	return (w->cur.grant || node_allows(w->req, w->cur.node, X_OK) == 0) && n <= NAME_MAX && !dentry_find(w->fs, w->cur.node, w->rest, n);
}

/* "." and ".." ask for search permission, too; below the host's directories no step of ours asks for it. Root may search any. */
static int check_search_dots(CowWalk *w)
{
	int rc = check_search(w);

	if (rc == 0 && w->cur.kind == COW_LOWER && w->req && w->req->cred->uid != 0 && faccessat(AT_FDCWD, w->path, X_OK, AT_EACCESS) < 0)
		return bv_neg_errno();
	return rc;
}

static int walk_component(CowWalk *w, size_t n, bool last, const char *after)
{
	const char *name = w->rest;

	if (n == 1 && name[0] == '.') {
		w->last_type = LAST_DOT;
		w->rest = after;
		return last ? check_search_dots(w) : check_search(w); /* else the next name meets it */
	}
	if (n == 2 && name[0] == '.' && name[1] == '.') {
		w->last_type = LAST_DOTDOT;
		w->rest = after;
		int rc = check_search_dots(w);
		w->root_known |= rc == 0;
		if (rc == 0)
			rc = step_up(w);
		return rc < 0 ? rc : check_device(w, false);
	}
	name_last(w, name, n);
	w->in_last = last;
	int rc = step_name(w, name, n);
	if (rc < 0)
		return rc == -ENOENT && last && (w->flags & W_PARENT) ? 1 : rc;
	rc = check_device(w, false);
	if (rc == 0 && S_ISLNK(walk_type(w)) && (!last || follows_last(w))) {
		rc = follow_link(w, after);
		return rc < 0 ? rc : check_device(w, false);
	}
	w->rest = after;
	return rc;
}

static int walk_loop(CowWalk *w)
{
	for (;;) {
		w->rest += strspn(w->rest, "/");
		if (!*w->rest)
			return finish(w);
		size_t n = strcspn(w->rest, "/");
		const char *after = w->rest + n;
		bool last = !after[strspn(after, "/")];

		w->slash = last && *after;
		bool dots = w->rest[0] == '.' && (n == 1 || (n == 2 && w->rest[1] == '.')); /* exist: the caller says EEXIST or EISDIR */
		if (w->slash && (w->flags & W_CREATE) && !dots) {
			int rc = check_search(w);
			return rc < 0 ? rc : -EISDIR;
		}
		if (!(n <= 2 && w->rest[0] == '.') && can_leave_index(w, n)) {
			int rc = walk_host_rest(w);
			if (rc == -ENOENT && (w->flags & W_PARENT))
				return 0;
			if (rc < 0)
				return rc;
			if (rc == STEP_DONE || (rc == STEP_LINK && !follows_last(w)))
				return finish(w);
			if (rc == STEP_LINK) {
				rc = follow_link(w, w->slash ? "/" : "");
				if (rc < 0)
					return rc;
				continue;
			}
			w->slash = last && *after;
		}
		int rc = walk_component(w, n, last, after);
		if (rc)
			return rc > 0 ? 0 : rc;
	}
}

int walk_run(CowWalk *w, const CowLoc *at, const char *path)
{
	w->start = at;
	w->root_known = *path == '/';
	w->rest = path;
	w->last_type = LAST_ROOT;
	if (!*path) {
		if (!(w->flags & COW_EMPTY_PATH))
			return -ENOENT;
		w->last_type = LAST_NONE;
		int rc = stand_on_loc(w, at);
		if (rc == 0 && w->cur.kind == COW_LOWER) { /* it may be no directory, and known under another name by now */
			rc = lower_statx(w->fs, w->cur.grant, w->path, &w->st);
			if (rc == 0)
				stand_on_host(w, w->cur.len, w->cur.grant);
		}
		return rc < 0 ? rc : finish(w);
	}
	if (strnlen(path, PATH_MAX) >= PATH_MAX)
		return -ENAMETOOLONG;
	if (*path == '/' && (w->resolve & RESOLVE_BENEATH))
		return -EXDEV;
	/* An absolute path has nothing to do with `at`, which may be on another mount, or removed. */
	int rc = stand_on_loc(w, *path == '/' && !(w->resolve & RESOLVE_IN_ROOT) ? NULL : at);
	if (rc == 0)
		rc = check_device(w, true);
	if (rc < 0)
		return rc;
	if (*path != '/' && w->cur.kind == COW_NODE && !S_ISDIR(w->cur.node->mode))
		return -ENOTDIR;
	return walk_loop(w);
}

/* ---- what was found ---- */

int walk_loc(const CowWalk *w, CowLoc *out)
{
	CowLoc loc = {.kind = w->cur.kind, .foreign = w->cur.foreign, .grant = w->cur.grant};

	if (w->cur.kind != COW_NODE || w->cur.len) {
		loc.path = strndup(w->path, w->cur.len);
		if (!loc.path)
			return -ENOMEM;
	}
	if (w->cur.kind == COW_NODE)
		loc.node = node_get(w->cur.node);
	*out = loc;
	return 0;
}

int walk_stat(CowWalk *w, struct statx *st)
{
	if (w->cur.kind == COW_NODE)
		return node_statx(w->fs, w->cur.node, st);
	if (!w->st_ok) {
		int rc = lower_statx(w->fs, w->cur.grant, w->path, &w->st);
		if (rc < 0)
			return rc;
		w->st_ok = true;
	}
	*st = w->st;
	return 0;
}

int walk_dir_node(CowWalk *w, CowNode **out)
{
	if (w->dir.kind == COW_NODE) {
		*out = w->dir.node;
		return w->dir.node->flags & N_DEAD ? -ENOENT : 0;
	}
	return node_for_dir(w->fs, w->path, w->dir.len, out);
}

/* Record of the host file at w->path; made unless a change that came meanwhile (the first half of a rename, say) made it. */
static int host_file_node(CowWalk *w, const struct statx *st, CowNode **out)
{
	const char *slash = strrchr(w->path, '/'), *name = slash + 1;
	CowNode *dir, *known;
	int rc = node_for_dir(w->fs, w->path, slash == w->path ? 1 : (size_t)(slash - w->path), &dir);

	if (rc < 0)
		return rc;
	CowDentry *d = dentry_find(w->fs, dir, name, strlen(name));
	if (d && d->node) {
		*out = d->node;
		return 0;
	}
	known = w->cur.kind == COW_NODE ? w->cur.node : ident_find(w->fs, statx_dev(st), st->stx_ino);
	if (!known || S_ISDIR(known->mode) || (known->flags & N_DEAD))
		return node_for_file(w->fs, dir, name, strlen(name), w->path, st, out);
	rc = dentry_set(w->fs, dir, name, strlen(name), known, D_OVER);
	if (rc == 0)
		*out = known;
	return rc;
}

int walk_changed_node(CowWalk *w, CowNode **out)
{
	int rc = w->cur.kind == COW_NODE ? 0 : quota_record(w->fs, true);

	return rc < 0 ? rc : walk_cur_node(w, out);
}

int walk_cur_node(CowWalk *w, CowNode **out)
{
	struct statx st;

	if (w->cur.kind == COW_NODE && !w->cur.len) {
		*out = w->cur.node;
		return 0;
	}
	if (w->cur.kind == COW_NODE) /* found by identity under a name that has no entry yet */
		return host_file_node(w, NULL, out);
	int rc = walk_stat(w, &st);
	if (rc < 0)
		return rc;
	if (S_ISDIR(st.stx_mode))
		return node_for_dir(w->fs, w->path, w->cur.len, out);
	return host_file_node(w, &st, out);
}
