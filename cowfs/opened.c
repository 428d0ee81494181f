/* cowfs/opened.c - which objects of the host guests have opened: what a snapshot has to carry so that it can go on where they are not.
 *
 * A file beside the database holds their host paths, each ended by a zero byte, in the order in which they were opened first. It is written in
 * batches, by whoever notes a path when many wait, else by the writer thread and at the end: what was opened in the last seconds before a kill can be missing. A last path
 * without its zero byte was torn by such an end, and is cut off. Whether a path is there already is asked by a hash of 64 bits, and after OPENED_MAX paths none is
 * noted any more: the list is a help, never a promise.
 *
 * Not noted: what lies below a grant, which is the host's in any sandbox, and all that is no file of the host: foreign file systems, devices, FIFOs.
 *
 * fs->opened.lock is the innermost lock. Nothing is noted before opened_begin, nor where no file was named. */
#include "internal.h"

#define OPENED_MAX ((size_t)1 << 20)
#define OPENED_FULL 32768 /* bytes that are written at once, by whoever notes the next */
#define OPENED_FILE_MAX (OPENED_MAX * 256)

static bool seen_add(CowOpened *o, uint64_t hash)
{
	size_t at = hash & (o->room - 1);

	for (; o->seen[at]; at = (at + 1) & (o->room - 1))
		if (o->seen[at] == hash)
			return false;
	o->seen[at] = hash;
	o->count++;
	return true;
}

static bool make_room(CowOpened *o)
{
	CowOpened old = *o;

	if (o->count * 2 < o->room)
		return true;
	size_t room = MAX((size_t)1024, old.room * 2);
	uint64_t *seen = o->count < OPENED_MAX ? calloc(room, sizeof *seen) : NULL;
	if (!seen)
		return false;
	o->seen = seen;
	o->room = room;
	o->count = 0;
	for (size_t i = 0; i < old.room; i++)
		if (old.seen[i])
			(void)seen_add(o, old.seen[i]);
	free(old.seen);
	return true;
}

/* Is it new? Never zero: that marks an empty place. */
static bool is_new(CowOpened *o, const char *path, size_t len)
{
	return make_room(o) && seen_add(o, hash_bytes(path, len, 5) | 1);
}

/* What cannot be written is forgotten: a full disk is no reason to fail a guest's open. */
static void flush_locked(CowOpened *o)
{
	if (!o->waiting_len)
		return;
	CLEAN_FD int fd = open(o->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0)
		IGNORE_RESULT(bv_write_full(fd, o->waiting, o->waiting_len));
	o->waiting_len = 0;
	atomic_store(&o->waits, false);
}

void opened_flush(Cowfs *fs)
{
	CowOpened *o = &fs->opened;

	if (!o->path)
		return;
	pthread_mutex_lock(&o->lock);
	flush_locked(o);
	pthread_mutex_unlock(&o->lock);
}

void opened_note(Cowfs *fs, const char *path)
{
	CowOpened *o = &fs->opened;
	size_t len = strlen(path);
	bool first = false;

	if (!o->path || len >= PATH_MAX)
		return;
	pthread_mutex_lock(&o->lock);
	if (is_new(o, path, len)) {
		if (o->waiting_len + len + 1 > OPENED_FULL)
			flush_locked(o);
		memcpy(o->waiting + o->waiting_len, path, len + 1);
		o->waiting_len += len + 1;
		first = !atomic_exchange(&o->waits, true);
	}
	pthread_mutex_unlock(&o->lock);
	if (first) { /* the writer sleeps until there is something to do */
		pthread_mutex_lock(&fs->commit_lock);
		pthread_cond_signal(&fs->commit_wake);
		pthread_mutex_unlock(&fs->commit_lock);
	}
}

/* What an earlier run has noted. */
static int load(CowOpened *o)
{
	CLEAN_FREE char *text = NULL;
	ssize_t n = bv_read_file_at(AT_FDCWD, o->path, OPENED_FILE_MAX, &text);
	ssize_t whole = n;

	if (n < 0)
		return n == -ENOMEM ? -ENOMEM : 0;
	while (whole > 0 && text[whole - 1])
		whole--;
	for (ssize_t at = 0; at < whole;) {
		size_t len = strlen(text + at);
		(void)is_new(o, text + at, len);
		at += (ssize_t)len + 1;
	}
	if (whole < n)
		IGNORE_RESULT(truncate(o->path, whole)); /* else the next path is lost with it */
	return 0;
}

int opened_begin(Cowfs *fs, const char *path)
{
	CowOpened *o = &fs->opened;

	if (!path)
		return 0;
	o->waiting = malloc(OPENED_FULL);
	o->path = strdup(path);
	return o->waiting && o->path ? load(o) : -ENOMEM;
}

void opened_release(Cowfs *fs)
{
	CowOpened *o = &fs->opened;

	opened_flush(fs);
	pthread_mutex_destroy(&o->lock);
	free(o->path);
	free(o->waiting);
	free(o->seen);
}
