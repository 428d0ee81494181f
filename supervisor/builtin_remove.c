/* builtin_remove.c - a directory with all that is in it, while others in the sandbox may change the tree.
 *
 * One descriptor is open at a time, that of the directory which is emptied, so depth costs no descriptors. Invariants:
 *  - It is entered by name from the one above, never through a symbolic link; and left by "..", which has to be the very directory that it was entered from: else somebody has
 *    moved it, and the removal ends there. So nothing is removed but what was below `path` when it was entered.
 *  - A directory that was emptied once and is not empty then ends the removal: whoever fills it again does not keep it going. */
#include "supervisor/builtin.h"

#include "base/util.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

typedef struct Above {
	dev_t dev;
	ino_t ino;
	char *name; /* of the directory below it that was entered */
} Above;

typedef struct Removal {
	int fd; /* the directory that is emptied */
	struct stat self; /* what it is */
	Above *above; /* from the outermost one */
	size_t depth, room;
} Removal;

static int enter(Removal *r, const char *name)
{
	struct stat st;

	if (!BV_GROW(r->above, r->depth, r->room))
		return ENOMEM;
	CLEAN_FD int fd = openat(r->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	CLEAN_FREE char *copy = strdup(name);
	if (fd < 0 || fstat(fd, &st) < 0)
		return errno;
	if (!copy)
		return ENOMEM;
	r->above[r->depth++] = (Above){r->self.st_dev, r->self.st_ino, TAKE_PTR(copy)};
	close(r->fd);
	r->fd = TAKE_FD(fd);
	r->self = st;
	return 0;
}

/* Goes up, and removes the directory that was left. */
static int leave(Removal *r)
{
	Above *above = &r->above[--r->depth];
	CLEAN_FREE char *name = above->name;
	struct stat st;
	CLEAN_FD int fd = openat(r->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0)
		return errno;
	if (st.st_dev != above->dev || st.st_ino != above->ino)
		return EBUSY;
	close(r->fd);
	r->fd = TAKE_FD(fd);
	r->self = st;
	return unlinkat(r->fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? errno : 0;
}

/* One name of r->fd. 0: it is gone; -1: it was a directory with something in it, and r->fd is that now; or an errno. */
static int remove_name(Removal *r, const char *name)
{
	if (unlinkat(r->fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return errno;
	if (unlinkat(r->fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != ENOTEMPTY)
		return errno;
	int err = enter(r, name);
	return err == ENOENT ? 0 : err ? err : -1;
}

/* Until r->fd is empty: 0; it is another one now: -1; or an errno. */
static int remove_names(Removal *r)
{
	_Alignas(8) char buf[8192];

	for (;;) {
		ssize_t n = getdents64(r->fd, buf, sizeof buf);
		if (n <= 0)
			return n < 0 ? errno : 0;
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *d = (const void *)(buf + at);
			int err = strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 ? 0 : remove_name(r, d->d_name);
			if (err)
				return err;
			at += d->d_reclen;
		}
	}
}

static int empty(Removal *r)
{
	for (;;) {
		int err = remove_names(r);
		if (err == 0 && r->depth == 0)
			return 0;
		if (err == 0)
			err = leave(r);
		if (err > 0)
			return err;
	}
}

int builtin_remove_tree(const char *path)
{
	CLEAN_FREE char *parent = strdup(path);
	Removal r = {.fd = -1};
	size_t len = strlen(path);

	if (!parent)
		return ENOMEM;
	while (len > 1 && parent[len - 1] == '/')
		parent[--len] = '\0';
	char *slash = strrchr(parent, '/');
	CLEAN_FREE char *name = strdup(slash + 1);
	if (!name)
		return ENOMEM;
	if (!name[0])
		return EBUSY; /* the root */
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return EINVAL;
	slash[slash == parent] = '\0';
	CLEAN_FD int dir = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return errno;
	r.fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (r.fd < 0 || fstat(r.fd, &r.self) < 0)
		return errno;
	int err = empty(&r);
	if (err == 0 && unlinkat(dir, name, AT_REMOVEDIR) < 0)
		err = errno;
	return err;
}
