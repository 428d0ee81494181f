/* cowfs/unchanged.c - states of a view have names, so that who has one whole need not look at 30,000 bodies to learn that nothing has changed since.
 *
 * A name stands for the rows and bodies of one moment. Two moments have the same name only if nothing can have changed in between; that in doubt they have different
 * ones costs a look. Why nothing is missed:
 *  U1 Rows change in batches; each that is not empty is noted (commit.c). What is dirty and not yet in the database of a frozen moment goes with a batch after it.
 *  U2 Who changes a body by name comes by seal_break, before he does; that is noted. So is each open, also for reading (times of access are told, too).
 *  U3 Who changes a body by a descriptor or a mapping has the file open for writing: he was noted when he opened it, and if he still has it at a freeze, the lease
 *     that seal.c asks for is refused, and the state counts as changed from its first instant on. A mapping holds its file open; where it does
 *     not (overlayfs), what is mapped is looked at once the lease was granted (mapped.c has the argument why nobody gets in between).
 *  U4 Descriptors may outlive guests and supervisor, in a process of the host that was given one (which is looked at for mappings, too, if it is the same user's). So what has a
 *     name is also *closed*: nobody has a body open for writing. The supervisor's view has names only if it was closed when it was opened: as the file CLOSED says, or because it was new.
 *  U5 CLOSED, beside the database, holds the name of a state that nobody has open. It goes before anything can change, when the view is opened for changing. It comes back at a clean
 *     end, if nobody has a body open by then (few can: else that is left to who wants to know), or by who looks at a stopped view, before he reads it, after he has asked
 *     for a lease of each body, and then for who has one mapped. So after a kill there is none.
 *  U6 What differs from an older state is told as the inodes whose bodies were noted since that had been told; if they are too many, nothing is. Rows are not told: they are read.
 *  U7 A power cut may bring the file back, and lose rows and bytes that it stood for. Who remembers names forgets them with the boot (contents.h).
 * Not seen is who writes into the sandbox's store by its own path, which nothing but bvisor is to do. */
#include "unchanged.h"

#include <sys/random.h>
#include <unistd.h>

#define CLOSED "closed"
#define FEW 256 /* bodies that are asked about at the end: 1 ms */
#define TEXT_MAX ((size_t)COW_STATE_NAME * 2 + COW_STATE_TOUCHED * 17) /* NAME[ SINCE[ INODE]...] and a newline; inodes in hex */

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

static bool take_name(const char **at, char name[COW_STATE_NAME])
{
	size_t n = strspn(*at, "0123456789abcdef");

	if (n != COW_STATE_NAME - 1)
		return false;
	snprintf(name, COW_STATE_NAME, "%s", *at);
	*at += n;
	return true;
}

/* The whole of it, or it was never finished. */
static bool parse(const char *text, CowState *out)
{
	CowState s = {0};
	const char *at = text;
	char *end;

	if (!take_name(&at, s.name))
		return false;
	if (*at == ' ') {
		at++;
		if (!take_name(&at, s.since))
			return false;
	}
	for (; *at == ' ' && s.n_touched < COW_STATE_TOUCHED; at = end)
		s.touched[s.n_touched++] = strtoull(at + 1, &end, 16);
	if (strcmp(at, "\n") != 0)
		return false;
	*out = s;
	return true;
}

bool unchanged_read(const char *path, CowState *out)
{
	CLEAN_FREE char *text = NULL;

	*out = (CowState){0};
	return bv_read_file_at(AT_FDCWD, path, TEXT_MAX, &text) > 0 && parse(text, out);
}

static bool write_state(const char *path, const CowState *s)
{
	CLEAN_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	char text[TEXT_MAX];
	int n = snprintf(text, sizeof text, "%s%s%s", s->name, *s->since ? " " : "", s->since);

	for (size_t i = 0; *s->since && i < s->n_touched; i++)
		n += snprintf(text + n, sizeof text - (size_t)n, " %jx", (uintmax_t)s->touched[i]);
	n += snprintf(text + n, sizeof text - (size_t)n, "\n");
	return fd >= 0 && bv_write_full(fd, text, (size_t)n) == 0;
}

bool unchanged_make(const char *path, CowState *out)
{
	*out = (CowState){0};
	if (new_name(out->name) && write_state(path, out))
		return true;
	*out->name = 0;
	return false;
}

static CowState only_named(const CowState *state)
{
	CowState s = {0};

	memcpy(s.name, state->name, sizeof s.name);
	return s;
}

void unchanged_told(const char *path, const CowState *state)
{
	CowState s = only_named(state);

	if (*state->since && !write_state(path, &s))
		IGNORE_RESULT(unlink(path));
}

int unchanged_begin(Cowfs *fs, const char *db_path)
{
	CowUnchanged *u = &fs->unchanged;
	char path[PATH_MAX];

	if (!unchanged_path(db_path, path))
		return 0;
	u->closed = unchanged_read(path, &u->now);
	if (unlink(path) < 0 && errno != ENOENT)
		return bv_neg_errno();
	if (!u->closed && meta_is_unwritten(fs->meta))
		u->closed = new_name(u->now.name);
	if (!*u->now.since)
		memcpy(u->now.since, u->now.name, sizeof u->now.since);
	u->path = u->closed ? strdup(path) : NULL;
	return 0;
}

static bool is_touched(const CowState *s, uint64_t id)
{
	for (size_t i = s->n_touched; i-- > 0;)
		if (s->touched[i] == id)
			return true;
	return false;
}

void unchanged_note(Cowfs *fs, const CowNode *node)
{
	CowState *s = &fs->unchanged.now;

	pthread_mutex_lock(&fs->unchanged.lock); /* fs->lock may be held for reading only */
	fs->unchanged.changed = true;
	if (node && *s->since && !is_touched(s, node->id)) {
		if (s->n_touched < COW_STATE_TOUCHED)
			s->touched[s->n_touched++] = node->id;
		else
			*s->since = 0;
	}
	pthread_mutex_unlock(&fs->unchanged.lock);
}

static void settle_name(CowUnchanged *u)
{
	if (u->closed && u->changed)
		u->closed = new_name(u->now.name);
	u->changed = false;
}

void unchanged_freeze(Cowfs *fs)
{
	CowUnchanged *u = &fs->unchanged;

	settle_name(u);
	u->frozen = u->now;
	u->now = only_named(&u->now);
	memcpy(u->now.since, u->now.name, sizeof u->now.since);
}

void cowfs_state(Cowfs *fs, CowState *out)
{
	fs_rdlock(fs);
	*out = fs->unchanged.closed ? fs->unchanged.frozen : (CowState){0};
	fs_unlock(fs);
}

/* The marks of seal.c are on all that was opened for writing and not yet found closed. */
static bool is_any(Cowfs *fs, bool (*what)(Cowfs *fs, const CowNode *node, void *ctx), void *ctx)
{
	HMAP_FOREACH_SAFE (&fs->nodes, h, tmp) {
		const CowNode *node = CONTAINER_OF(h, CowNode, by_id);
		if ((node->flags & N_WRITER) && what(fs, node, ctx))
			return true;
	}
	return false;
}

static bool is_open(Cowfs *fs, const CowNode *node, void *ctx)
{
	size_t *asked = ctx;

	return ++*asked > FEW || seal_is_opened(fs, node);
}

static bool is_mapped(Cowfs *fs, const CowNode *node, void *ctx)
{
	return node->blob && mapped_has(ctx, fs->blobs, node->blob, true);
}

static bool is_closed(Cowfs *fs)
{
	CowMapped mapped;
	size_t asked = 0;

	if (is_any(fs, is_open, &asked))
		return false;
	if (!asked)
		return true;
	mapped_take(&fs->mappers, false, &mapped);
	bool closed = !is_any(fs, is_mapped, &mapped);
	mapped_release(&mapped);
	return closed;
}

void unchanged_end(Cowfs *fs)
{
	CowUnchanged *u = &fs->unchanged;

	if (!u->path || !u->closed || !is_closed(fs))
		return;
	settle_name(u);
	if (u->closed && strcmp(u->now.since, u->now.name) == 0)
		*u->now.since = 0;
	if (u->closed)
		IGNORE_RESULT(write_state(u->path, &u->now));
}
