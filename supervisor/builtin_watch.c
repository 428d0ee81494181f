/* builtin_watch.c - what happens to the names of a directory, or of a tree, told as FileEvents over descriptor 0 until the other end is closed.
 *
 * Made of inotify(7): one watch for each directory. What it does not do by itself:
 *  - A directory that comes is watched from then on, and what was made in it before that is told as created; so an object may be told twice.
 *  - The two halves of a rename become one event; half a rename, out of the tree or into it, is a removal or a creation.
 *  - After an overflow, directories that were missed are looked for, and watched.
 * Whoever does not read lets the kernel's queue run full: the socket is written to with waiting. */
#include "supervisor/builtin.h"
#include "supervisor/control.h"

#include "base/util.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define WANTED (IN_CREATE | IN_DELETE | IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF)
#define PAIR_MS 20 /* for the second half of a rename */

typedef struct Watched {
	int wd;
	char *path;
} Watched;

typedef struct Watcher {
	int fd;
	const char *root;
	int root_wd;
	int recursive;
	Watched *list; /* by wd: the kernel gives rising ones */
	size_t n, room;
	char **todo; /* directories still to be watched and read */
	size_t n_todo, todo_room;
	struct { /* the first half of a rename */
		uint32_t cookie;
		int is_dir;
		char *path; /* NULL: none */
	} from;
} Watcher;

/* ---- telling ---- */

static void tell(uint32_t what, const char *path, const char *old)
{
	FileEvent e = {what, (uint16_t)strlen(path), (uint16_t)(old ? strlen(old) : 0)};
	const struct iovec parts[] = {{&e, sizeof e}, {(void *)(uintptr_t)path, e.path_len}, {(void *)(uintptr_t)old, e.old_len}};

	if (writev(0, parts, ARRAY_LEN(parts)) < 0)
		_exit(0); /* nobody listens any more */
}

static char *join(const char *dir, const char *name)
{
	return bv_asprintf("%s/%s", strcmp(dir, "/") == 0 ? "" : dir, name);
}

/* ---- the table ---- */

static size_t position(const Watcher *w, int wd)
{
	size_t low = 0, high = w->n;

	while (low < high) {
		size_t mid = (low + high) / 2;
		if (w->list[mid].wd < wd)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static Watched *find(const Watcher *w, int wd)
{
	size_t at = position(w, wd);

	return at < w->n && w->list[at].wd == wd ? &w->list[at] : NULL;
}

/* 0 or ENOMEM. A watch that is there already (the same directory under another name) gets the new path. */
static int note(Watcher *w, int wd, const char *path)
{
	size_t at = position(w, wd);
	char *copy = strdup(path);

	if (!copy)
		return ENOMEM;
	if (at < w->n && w->list[at].wd == wd) {
		free(w->list[at].path);
		w->list[at].path = copy;
		return 0;
	}
	if (!BV_GROW(w->list, w->n, w->room)) {
		free(copy);
		return ENOMEM;
	}
	memmove(w->list + at + 1, w->list + at, (w->n++ - at) * sizeof *w->list);
	w->list[at] = (Watched){wd, copy};
	return 0;
}

static void forget(Watcher *w, Watched *one)
{
	free(one->path);
	memmove(one, one + 1, (size_t)(w->list + --w->n - one) * sizeof *one);
}

/* "" for dir itself, "/..." for what is below; NULL: neither. */
static const char *below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/') ? path + n : NULL;
}

static void unwatch(Watcher *w, Watched *one)
{
	inotify_rm_watch(w->fd, one->wd);
	forget(w, one);
}

static void forget_tree(Watcher *w, const char *path)
{
	for (size_t i = w->n; i-- > 0;)
		if (below(w->list[i].path, path))
			unwatch(w, &w->list[i]);
}

/* What is so deep now that no path can say it is not watched any more. */
static void rename_tree(Watcher *w, const char *from, const char *to)
{
	bool lost = false;

	for (size_t i = w->n; i-- > 0;) {
		const char *rest = below(w->list[i].path, from);
		if (!rest)
			continue;
		char *path = strlen(to) + strlen(rest) < PATH_MAX ? bv_asprintf("%s%s", to, rest) : NULL;
		if (path) {
			free(w->list[i].path);
			w->list[i].path = path;
		} else {
			unwatch(w, &w->list[i]);
			lost = true;
		}
	}
	if (lost)
		tell(FILE_OVERFLOW, w->root, NULL);
}

/* ---- directories that are there ---- */

/* What happens to directories while they are looked at: somebody removed or exchanged one, or it cannot be read. */
static int passable(int err)
{
	return err == ENOENT || err == ENOTDIR || err == ELOOP || err == EACCES || err == ENAMETOOLONG;
}

static int push(Watcher *w, char *path)
{
	if (!path || !BV_GROW(w->todo, w->n_todo, w->todo_room)) {
		free(path);
		return ENOMEM;
	}
	w->todo[w->n_todo++] = path;
	return 0;
}

static int see_entry(Watcher *w, int dir, const char *path, const struct dirent64 *d, int report)
{
	CLEAN_FREE char *at = join(path, d->d_name);
	struct stat st;
	int is_dir = d->d_type == DT_DIR;

	if (!at)
		return ENOMEM;
	if (d->d_type == DT_UNKNOWN)
		is_dir = fstatat(dir, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
	if (report)
		tell(FILE_CREATED, at, NULL);
	return is_dir && w->recursive ? push(w, TAKE_PTR(at)) : 0;
}

static int read_dir(Watcher *w, const char *path, int report)
{
	_Alignas(8) char buf[8192];
	CLEAN_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return errno;
	for (;;) {
		ssize_t n = getdents64(fd, buf, sizeof buf);
		if (n <= 0)
			return n < 0 ? errno : 0;
		for (ssize_t at = 0; at < n && !err;) {
			const struct dirent64 *d = (const void *)(buf + at);
			if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
				err = see_entry(w, fd, path, d, report);
			at += d->d_reclen;
		}
		if (err)
			return err;
	}
}

/* Watched first and read then: what is made in between is told twice, and not never. */
static int watch_dir(Watcher *w, const char *path, int report)
{
	int wd = inotify_add_watch(w->fd, path, WANTED | IN_ONLYDIR | IN_DONT_FOLLOW);
	int err = wd < 0 ? errno : note(w, wd, path);

	return err ? err : read_dir(w, path, report);
}

/* All on the list, and what is below. The first error that is not passable. */
static int watch_todo(Watcher *w, int report)
{
	int first = 0;

	while (w->n_todo) {
		CLEAN_FREE char *path = w->todo[--w->n_todo];
		int err = watch_dir(w, path, report);
		if (err && !passable(err) && !first)
			first = err;
	}
	return first;
}

static void watch_new(Watcher *w, const char *path)
{
	if (!w->recursive)
		return;
	int err = push(w, strdup(path));
	if (!err)
		err = watch_todo(w, 1);
	if (err)
		tell(FILE_OVERFLOW, w->root, NULL);
}

static int begin(Watcher *w)
{
	char *root = realpath(w->root, NULL); /* a symbolic link is followed here, and nowhere else */

	if (!root)
		return errno;
	w->root_wd = inotify_add_watch(w->fd, root, WANTED);
	int err = w->root_wd < 0 ? errno : note(w, w->root_wd, w->root);
	if (!err && w->recursive && (err = read_dir(w, root, 0)) == ENOTDIR)
		err = 0;
	free(root);
	return err ? err : watch_todo(w, 0);
}

/* ---- events ---- */

static void settle_from(Watcher *w)
{
	CLEAN_FREE char *path = TAKE_PTR(w->from.path);

	if (!path)
		return;
	tell(FILE_REMOVED, path, NULL);
	if (w->from.is_dir)
		forget_tree(w, path);
}

static void on_moved_to(Watcher *w, const struct inotify_event *e, const char *path)
{
	CLEAN_FREE char *old = TAKE_PTR(w->from.path); /* on_event has settled that of another one */

	if (old) {
		if (e->mask & IN_ISDIR)
			rename_tree(w, old, path);
		tell(FILE_RENAMED, path, old);
		return;
	}
	tell(FILE_CREATED, path, NULL);
	if (e->mask & IN_ISDIR)
		watch_new(w, path);
}

static void on_name(Watcher *w, const struct inotify_event *e, const char *path)
{
	if (e->mask & IN_MOVED_TO) {
		on_moved_to(w, e, path);
		return;
	}
	if (e->mask & IN_MOVED_FROM) {
		w->from.cookie = e->cookie;
		w->from.is_dir = (e->mask & IN_ISDIR) != 0;
		w->from.path = strdup(path);
	}
	if (e->mask & IN_CREATE)
		tell(FILE_CREATED, path, NULL);
	if ((e->mask & IN_CREATE) && (e->mask & IN_ISDIR))
		watch_new(w, path);
	if (e->mask & IN_MODIFY)
		tell(FILE_MODIFIED, path, NULL);
	if (e->mask & IN_ATTRIB)
		tell(FILE_ATTRIB, path, NULL);
	if (e->mask & IN_DELETE)
		tell(FILE_REMOVED, path, NULL);
}

/* Of what was asked for itself. That of another directory is told by the one above it. */
static void on_root(Watcher *w, const struct inotify_event *e)
{
	if (e->mask & IN_MODIFY)
		tell(FILE_MODIFIED, w->root, NULL);
	if (e->mask & IN_ATTRIB)
		tell(FILE_ATTRIB, w->root, NULL);
	if (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF)) {
		tell(FILE_REMOVED, w->root, NULL);
		_exit(0);
	}
}

static void on_event(Watcher *w, const struct inotify_event *e)
{
	/* First: what is below a directory that has gone is not watched any more. */
	if (!(e->mask & IN_MOVED_TO) || e->cookie != w->from.cookie)
		settle_from(w);
	Watched *dir = find(w, e->wd);
	if (e->mask & IN_Q_OVERFLOW) {
		tell(FILE_OVERFLOW, w->root, NULL);
		if (w->recursive && read_dir(w, w->root, 0) == 0)
			IGNORE_RESULT(watch_todo(w, 0)); /* what cannot be watched was told just now */
		return;
	}
	if (!dir)
		return;
	if (e->mask & IN_IGNORED) {
		forget(w, dir);
		return;
	}
	if (!e->len) {
		if (e->wd == w->root_wd)
			on_root(w, e);
		return;
	}
	CLEAN_FREE char *path = join(dir->path, e->name);
	if (path)
		on_name(w, e, path);
	else
		tell(FILE_OVERFLOW, w->root, NULL);
}

static void read_events(Watcher *w)
{
	_Alignas(struct inotify_event) char buf[16384];
	ssize_t n = read(w->fd, buf, sizeof buf);

	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *e = (const void *)(buf + at);
		on_event(w, e);
		at += (ssize_t)(sizeof *e + e->len);
	}
}

int builtin_watch(const char *path, int recursive)
{
	Watcher w = {.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), .root = path, .recursive = recursive};
	int err = w.fd < 0 ? errno : begin(&w);

	if (err)
		return err;
	tell(0, path, NULL);
	for (;;) {
		struct pollfd p[2] = {{.fd = w.fd, .events = POLLIN}, {.fd = 0}};
		int n = poll(p, 2, w.from.path ? PAIR_MS : -1);
		if (p[1].revents)
			return 0;
		if (n == 0)
			settle_from(&w);
		else if (p[0].revents)
			read_events(&w);
	}
}
