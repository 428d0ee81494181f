/* cowfs/unchanged.c - states of a view have names, so that who has one whole need not look at 30,000 bodies to learn that nothing has changed since.
 *
 * A name stands for the rows and bodies of one moment. Two moments have the same name only if nothing can have changed in between; that in doubt they have different
 * ones costs a look. Why nothing is missed:
 *  U1 Rows change in batches; each that is not empty is noted (commit.c). What is dirty and not yet in the database of a frozen moment goes with a batch after it.
 *  U2 Who changes a body by name comes by seal_break, before he does; that is noted. So is each open, also for reading (times of access are told, too).
 *  U3 Who changes a body by a descriptor or a mapping has the file open for writing: he was noted when he opened it, and if he still has it at a freeze, the lease
 *     that seal.c asks for is refused, and the state counts as changed from its first instant on. A mapping holds its file open.
 *  U4 Descriptors may outlive guests and supervisor, in a process of the host that was given one. So what has a name is also *closed*: nobody has a body open for writing. The
 *     supervisor's view has names only if it was closed when it was opened: as the file CLOSED says, or because it was new.
 *  U5 CLOSED, beside the database, holds the name of a state that nobody has open. It goes before anything can change, when the view is opened for changing. It comes back at a clean
 *     end, if nobody has a body open by then (few can: else that is left to who wants to know), or by who looks at a stopped view, before he reads it, after he has asked
 *     for a lease of each body. So after a kill there is none.
 *  U6 A power cut may bring the file back, and lose rows and bytes that it stood for. Who remembers names forgets them with the boot (contents.h).
 * Not seen is who writes into the sandbox's store by its own path, which nothing but bvisor is to do. */
#include "unchanged.h"

#include <sys/random.h>
#include <unistd.h>

#define CLOSED "closed"
#define FEW 256 /* bodies that are asked about at the end: 1 ms */

bool unchanged_path(const char *db_path, char out[PATH_MAX])
{
	const char *slash = db_path ? strrchr(db_path, '/') : NULL;

	return slash && snprintf(out, PATH_MAX, "%.*s/" CLOSED, (int)(slash - db_path), db_path) < PATH_MAX;
}

static bool new_name(char name[COW_STATE_NAME])
{
	uint64_t random[2];

	*name = 0;
	if (getrandom(random, sizeof random, 0) == sizeof random)
		snprintf(name, COW_STATE_NAME, "%016jx%016jx", (uintmax_t)random[0], (uintmax_t)random[1]);
	return *name;
}

bool unchanged_read(const char *path, char name[COW_STATE_NAME])
{
	CLEAN_FREE char *text = NULL;
	ssize_t n = bv_read_file_at(AT_FDCWD, path, COW_STATE_NAME, &text);

	snprintf(name, COW_STATE_NAME, "%s", n == COW_STATE_NAME - 1 ? text : ""); /* the whole of it, or it was never finished */
	return *name;
}

/* A file that was not written whole says nothing. */
static bool write_name(const char *path, const char *name)
{
	CLEAN_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd >= 0 && bv_write_full(fd, name, strlen(name)) == 0;
}

bool unchanged_make(const char *path, char name[COW_STATE_NAME])
{
	if (new_name(name) && write_name(path, name))
		return true;
	*name = 0;
	return false;
}

int unchanged_begin(Cowfs *fs, const char *db_path)
{
	CowUnchanged *u = &fs->unchanged;
	char path[PATH_MAX];

	if (!unchanged_path(db_path, path))
		return 0;
	u->closed = unchanged_read(path, u->name);
	if (unlink(path) < 0 && errno != ENOENT)
		return bv_neg_errno();
	if (!u->closed && meta_is_unwritten(fs->meta))
		u->closed = new_name(u->name);
	u->path = u->closed ? strdup(path) : NULL;
	return 0;
}

void unchanged_freeze(Cowfs *fs, bool written)
{
	CowUnchanged *u = &fs->unchanged;

	if (atomic_exchange(&u->changed, written) && u->closed)
		u->closed = new_name(u->name);
}

bool cowfs_state_name(Cowfs *fs, char name[COW_STATE_NAME])
{
	fs_rdlock(fs);
	snprintf(name, COW_STATE_NAME, "%s", fs->unchanged.closed ? fs->unchanged.name : "");
	fs_unlock(fs);
	return *name;
}

/* The marks of seal.c are on all that was opened for writing and not yet found closed. */
static bool is_closed(Cowfs *fs)
{
	size_t asked = 0;

	HMAP_FOREACH_SAFE (&fs->nodes, h, tmp) {
		CowNode *node = CONTAINER_OF(h, CowNode, by_id);
		if ((node->flags & N_WRITER) && (++asked > FEW || seal_is_written(fs, node)))
			return false;
	}
	return true;
}

void unchanged_end(Cowfs *fs)
{
	CowUnchanged *u = &fs->unchanged;

	if (u->path && u->closed && is_closed(fs) && (!u->changed || new_name(u->name)))
		IGNORE_RESULT(write_name(u->path, u->name));
}
