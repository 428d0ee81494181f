/* cowfs/socket.c - unix sockets by path. The socket itself is a real one in mark_dir, whose path is short enough for sun_path; its record is
 * published only after the caller's bind(2) succeeded. It lives as long as the run: afterwards connecting is refused, as for any
 * socket file whose server is gone. */
#include "internal.h"

#include <sys/un.h>

static int host_path_of(const Cowfs *fs, const CowNode *node, char *out, size_t size)
{
	char name[40];

	marker_name(node, name);
	size_t need = strlen(fs->mark_dir) + 1 + strlen(name) + 1;
	if (need > size || need > sizeof ((struct sockaddr_un *)0)->sun_path)
		return -ENAMETOOLONG;
	snprintf(out, size, "%s/%s", fs->mark_dir, name);
	return 0;
}

/* Below a grant the place is named through a descriptor that the caller holds while it uses the name: the host's path could lead elsewhere
 * by then, when a guest puts a symlink in the place of a directory. */
static int granted_place(CowWalk *w, const CowAt *at, const char *name, char *out, size_t size, int *hold)
{
	char buf[PATH_MAX];
	int fd = lower_open(w->fs, walk_host_path(w, at, buf), O_PATH | O_NOFOLLOW, 0);

	if (fd < 0)
		return fd;
	if ((size_t)snprintf(out, size, "/proc/self/fd/%d%s%s", fd, *name ? "/" : "", name) >= size) {
		close(fd);
		return -ENAMETOOLONG;
	}
	*hold = fd;
	return 0;
}

/* The record waits with its directory and name: it is in the index (so that done() finds it) but has no name yet. */
int cowfs_socket_begin(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, mode_t mode, char *host_path, size_t size, CowLoc *out,
		       int *hold)
{
	CowNode *dir;
	CowWalk w;

	walk_init(&w, fs, req, COW_NOFOLLOW | W_PARENT | W_WRITE, 0);
	fs_wrlock(fs);
	int rc = walk_run(&w, at, path);
	if (rc == 0)
		rc = create_check(&w, false, &dir);
	if (rc == 1) {
		rc = granted_place(&w, &w.dir, w.last, host_path, size, hold);
		if (rc == 0)
			*out = (CowLoc){.kind = COW_NONE}; /* the host's bind does all */
	} else if (rc == 0) {
		CowNode *node = node_make(fs, req, dir, S_IFSOCK | (mode & 07777));
		rc = node ? marker_dir(fs) : -ENOMEM;
		if (rc == 0)
			rc = host_path_of(fs, node, host_path, size);
		if (rc == 0)
			rc = node_publish(fs, dir, w.last, w.nlast, node);
		if (rc == 0)
			*out = (CowLoc){.kind = COW_NODE, .node = node_get(node)};
		else
			node_put(node);
	}
	fs_unlock(fs);
	walk_end(&w);
	return rc == -EEXIST ? -EADDRINUSE : rc;
}

void cowfs_socket_done(Cowfs *fs, const CowLoc *socket, int bind_result)
{
	char name[40];

	if (socket->kind != COW_NODE)
		return;
	fs_wrlock(fs);
	CowNode *node = socket->node;
	if (bind_result == 0) {
		if (marker_make(fs, node, name) < 0)
			bind_result = -EIO;
	}
	if (bind_result < 0 && !(node->flags & N_DEAD) && node->names) {
		CowNode *dir = node->names->dir;
		CowDentry *d = node->names;
		watch_removed(fs, dir, d->name, d->len, node);
		if (!(d->flags & D_OVER))
			dentry_drop(fs, d);
		else if (dentry_set(fs, dir, d->name, d->len, NULL, d->flags & (D_OVER | D_HIDE)) < 0)
			bind_result = -ENOMEM; /* cannot be: the entry is there, nothing is allocated */
		node_unlinked(fs, node);
		dir_touch(fs, dir);
	}
	fs_unlock(fs);
}

/* A socket of the host that was named by who started the sandbox. */
static bool is_pinned(const CowWalk *w)
{
	char buf[PATH_MAX];
	const char *host = w->cur.kind == COW_LOWER ? walk_host_path(w, &w->cur, buf) : "";

	for (const CowGrant *g = w->fs->sockets; g; g = g->next)
		if (strcmp(g->path, host) == 0)
			return true;
	return false;
}

int cowfs_socket_place(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, char *host_path, size_t size, int *hold)
{
	struct statx st;
	CowWalk w;

	walk_init(&w, fs, req, 0, 0);
	fs_rdlock(fs);
	int rc = walk_run(&w, at, path);
	if (rc == 0)
		rc = w.cur.kind == COW_FOREIGN ? -ECONNREFUSED : walk_stat(&w, &st);
	if (rc == 0)
		rc = cred_allows(req->cred, st.stx_mode, st.stx_uid, st.stx_gid, W_OK);
	if (rc == 0 && !S_ISSOCK(st.stx_mode))
		rc = -ECONNREFUSED;
	if (rc == 0 && ((w.cur.grant && w.cur.grant->writable) || is_pinned(&w))) {
		rc = granted_place(&w, &w.cur, "", host_path, size, hold);
	} else if (rc == 0) {
		bool own = w.cur.kind == COW_NODE && (w.cur.node->flags & N_MARKER) && !w.cur.node->origin;
		rc = own ? host_path_of(fs, w.cur.node, host_path, size) : -ECONNREFUSED;
	}
	fs_unlock(fs);
	walk_end(&w);
	return rc;
}
