/* lib/settle.c - see settle.h. */
#include "lib/settle.h"

#include <fcntl.h>
#include <fts.h>
#include <unistd.h>

static void fts_cleanup(FTS **fts)
{
	if (*fts)
		fts_close(*fts);
}

/* Some file systems cannot sync a directory by itself (EINVAL): those are synced as a whole. */
static int sync_with(int (*sync_fd)(int fd), const char *path, int flags)
{
	CLEAN_FD int fd = open(path, O_RDONLY | O_CLOEXEC | flags);

	if (fd < 0)
		return bv_neg_errno();
	if (sync_fd(fd) == 0 || (errno == EINVAL && syncfs(fd) == 0))
		return 0;
	return bv_neg_errno();
}

int settle_directory(const char *path)
{
	return sync_with(fsync, path, O_DIRECTORY); /* the store may be reached through a symlink */
}

/* What is in a directory comes before the directory. */
static int sync_entry(const FTSENT *entry)
{
	switch (entry->fts_info) {
	case FTS_F:
	case FTS_DP:
		return sync_with(fsync, entry->fts_accpath, O_NOFOLLOW);
	case FTS_DNR:
	case FTS_ERR:
	case FTS_NS:
		return -entry->fts_errno;
	default: /* FTS_D comes again; a symbolic link or a FIFO has nothing but its name */
		return 0;
	}
}

int settle_tree(const char *path)
{
	CLEAN_FREE char *root = strdup(path);
	char *const roots[] = {root, NULL};
	__attribute__((cleanup(fts_cleanup))) FTS *fts = root ? fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL) : NULL;
	int r = fts ? 0 : -ENOMEM;
	FTSENT *entry;

	for (size_t n = 0; r == 0 && (errno = 0, entry = fts_read(fts)) != NULL; n++) {
		if (n == SETTLE_EACH_MAX)
			return sync_with(syncfs, path, O_NOFOLLOW);
		r = sync_entry(entry);
	}
	return r == 0 && errno ? bv_neg_errno() : r;
}
