/* backends/filestore_here.c - which files are as the list says (filestore_remote.c), so that nobody has to read them again, and they may go when room is needed.
 *
 * ROOT/remote.here: a head that names the list and this start of the machine, then records (blob, inode, ctime); the last one of a blob counts. Written when a blob was fetched, and once
 * more (inode 0) before somebody who can change it gets a descriptor. So what counts is not only the time, which says nothing within a tick of the clock, and not all of the
 * truth where stores into mapped memory leave no trace (tmpfs). A lost record, or file, costs a second reading. Size and mtime are compared, too: a guest may set them through a
 * descriptor for reading.
 *
 * Power cuts: nobody waits for the disk when a blob is fetched, so after one its file may have a name and not its bytes. A thread makes durable what was fetched, a second later, and then
 * writes a mark. When the machine was started anew, what was fetched after the last mark, and still has the inode and ctime of its record, is removed, to be fetched again; and what has no record,
 * the time of its entry, and less than its size. Everything else stays: what a guest has changed, what was here before the list, and what had reached the disk.
 *
 * A file goes only while nobody has it open: the kernel grants the write lease of filestore_drop only then. */
#include "backends/filestore_remote.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#define HERE "remote.here"
#define MAGIC "bvisor here 2\n"
#define MANY 64 /* files that are rather made durable all at once */
#define TICKS_NS 50000000 /* clocks of files go in steps of up to 10 ms */

typedef struct HereHead {
	char magic[16];
	uint64_t list; /* its hash */
	char boot[40];
} HereHead;

enum {
	FETCHED = 1,
	MARK = 2, /* of no blob: what was fetched by the first `ino` records is on the disk */
};

typedef struct HereRecord {
	uint64_t id, ino;
	int64_t ctime;
	uint64_t flags;
} HereRecord;

static int64_t nanoseconds(int64_t sec, long nsec)
{
	return sec * INT64_C(1000000000) + nsec;
}

static bool make_head(uint64_t hash, HereHead *out)
{
	CLEAN_FREE char *boot = NULL;
	ssize_t n = bv_read_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", sizeof out->boot - 1, &boot);

	*out = (HereHead){.magic = MAGIC, .list = hash};
	if (n <= 0)
		return false;
	memcpy(out->boot, boot, (size_t)n);
	return true;
}

/* ---- the file ---- */

void here_release(RemoteList *list)
{
	free(list->here);
	free(list->used);
	list->here = NULL;
	list->used = NULL;
	bv_close_fd(&list->here_fd);
}

static void take_record(RemoteList *list, const HereRecord *record)
{
	const RemoteEntry *e = record->flags & MARK ? NULL : remote_find(list, record->id);

	if (record->flags & MARK)
		list->marked = record->ino;
	if (e)
		list->here[e - list->entries] =
			(RemoteHere){.ino = record->ino, .ctime = record->ctime, .number = list->records, .fetched = record->flags & FETCHED, .known = true};
	list->records++;
}

static bool is_durable(const RemoteList *list, const RemoteHere *here)
{
	return here->fetched && here->number < list->marked;
}

/* False: it says nothing of this list. *now: it is of this start of the machine. */
static bool read_file(int fd, RemoteList *list, bool *now)
{
	HereHead ours, theirs;
	HereRecord records[256];
	ssize_t n = bv_read_full(fd, &theirs, sizeof theirs);

	if (n != sizeof theirs || !make_head(list->hash, &ours) || memcmp(&ours, &theirs, offsetof(HereHead, boot)) != 0)
		return false;
	*now = memcmp(&ours, &theirs, sizeof ours) == 0;
	while ((n = bv_read_full(fd, records, sizeof records)) > 0)
		for (size_t i = 0; i < (size_t)n / sizeof *records; i++)
			take_record(list, &records[i]);
	return n == 0;
}

/* A new file: durable records first, then their mark. Best effort. */
static void write_file(int root, uint64_t hash, const HereRecord *durable, size_t n, const HereRecord *others, size_t n_others)
{
	const HereRecord mark = {.ino = n, .flags = MARK};
	HereHead head;
	CLEAN_FD int fd = make_head(hash, &head) ? openat(root, HERE ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
	int r = fd < 0 ? -EIO : bv_write_full(fd, &head, sizeof head);

	if (r == 0 && n)
		r = bv_write_full(fd, durable, n * sizeof *durable);
	if (r == 0)
		r = bv_write_full(fd, &mark, sizeof mark);
	if (r == 0 && n_others)
		r = bv_write_full(fd, others, n_others * sizeof *others);
	if (r < 0 || renameat(root, HERE ".new", root, HERE) < 0)
		unlinkat(root, HERE ".new", 0);
}

/* Of a file that is there, and was before the machine was started anew: may it lack bytes? */
static bool is_doubtful(const RemoteList *list, size_t i, const struct stat *st)
{
	const RemoteHere *here = &list->here[i];
	const RemoteEntry *e = &list->entries[i];

	if (!here->known)
		return e->mtime == st->st_mtim.tv_sec && e->mtime_ns == st->st_mtim.tv_nsec && (uint64_t)st->st_size < e->size;
	return here->fetched && !is_durable(list, here) && here->ino == st->st_ino && here->ctime == nanoseconds(st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
}

static void recover(FileStore *fs, RemoteList *list, size_t i, const struct stat *st, const char *name)
{
	RemoteHere *here = &list->here[i];
	bool doubtful = is_doubtful(list, i, st);

	if (doubtful && fs->readonly) { /* who writes removes it */
		list->suspects = true;
		*here = (RemoteHere){.suspect = true};
	} else if (doubtful && unlinkat(fs->root, name, 0) == 0) {
		*here = (RemoteHere){0};
	} else if (!is_durable(list, here)) {
		*here = (RemoteHere){.known = true};
	}
}

/* A new file of what is known of each file here. started: the machine was, since the old one was written. */
static void begin_anew(FileStore *fs, RemoteList *list, bool started)
{
	CLEAN_FREE HereRecord *durable = calloc(list->n + 1, sizeof *durable);
	CLEAN_FREE HereRecord *others = calloc(list->n + 1, sizeof *others);
	BlobPlace place;
	struct stat st;
	size_t n = 0, n_others = 0;

	for (size_t i = 0; durable && others && i < list->n; i++) {
		RemoteHere *here = &list->here[i];
		const RemoteEntry *e = &list->entries[i];
		if (filestore_place(&fs->base, e->id, &place) < 0 || fstatat(fs->root, place.name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			*here = (RemoteHere){0};
			continue;
		}
		if (started)
			recover(fs, list, i, &st, place.name);
		const HereRecord record = {e->id, here->ino, here->ctime, here->fetched ? FETCHED : 0};
		if (is_durable(list, here))
			durable[n++] = record;
		else if (here->known || !started)
			others[n_others++] = record;
	}
	if (!durable || !others || fs->readonly)
		return;
	write_file(fs->root, list->hash, durable, n, others, n_others);
	list->records = list->marked = 0; /* read again, so that the numbers are those of the file */
	memset(list->here, 0, list->n * sizeof *list->here);
	CLEAN_FD int fd = openat(fs->root, HERE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool now;
	if (fd >= 0 && !read_file(fd, list, &now))
		memset(list->here, 0, list->n * sizeof *list->here);
}

int here_load(FileStore *fs, RemoteList *list)
{
	CLEAN_FD int fd = openat(fs->root, HERE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool now = true;

	list->here = calloc(list->n + 1, sizeof *list->here);
	list->used = calloc(list->n + 1, sizeof *list->used);
	if (!list->here || !list->used)
		return -ENOMEM;
	bool ours = fd >= 0 && read_file(fd, list, &now);
	if (ours && !now)
		begin_anew(fs, list, true);
	if (!ours)
		memset(list->here, 0, list->n * sizeof *list->here);
	return 0;
}

/* Of the list before, unless it is so young that a change would leave no trace. */
static bool was_fetched(FileStore *fs, BlobId id, HereRecord *out, bool *durable)
{
	Remote *r = fs->remote;
	struct timespec now;
	bool fetched = false;

	clock_gettime(CLOCK_REALTIME, &now);
	pthread_rwlock_rdlock(&r->list_lock);
	pthread_mutex_lock(&r->lock);
	const RemoteEntry *e = remote_find(&r->list, id);
	const RemoteHere *here = e ? &r->list.here[e - r->list.entries] : NULL;
	if (here && here->fetched && here->ino && here->ctime < nanoseconds(now.tv_sec, now.tv_nsec) - TICKS_NS) {
		*out = (HereRecord){.id = id, .ino = here->ino, .ctime = here->ctime, .flags = FETCHED};
		*durable = is_durable(&r->list, here);
		fetched = true;
	}
	pthread_mutex_unlock(&r->lock);
	pthread_rwlock_unlock(&r->list_lock);
	return fetched;
}

void here_write(FileStore *fs, uint64_t hash, const BlobRemote *list, size_t n)
{
	CLEAN_FREE HereRecord *durable = calloc(n + 1, sizeof *durable);
	CLEAN_FREE HereRecord *others = calloc(n + 1, sizeof *others);
	size_t n_durable = 0, n_others = 0;

	for (size_t i = 0; durable && others && i < n; i++) {
		HereRecord record = {.id = list[i].id, .ino = list[i].here_ino, .ctime = nanoseconds(list[i].here_ctime.tv_sec, list[i].here_ctime.tv_nsec)};
		bool is_on_disk = false, fetched = was_fetched(fs, list[i].id, &record, &is_on_disk);
		if (is_on_disk)
			durable[n_durable++] = record;
		else if (fetched || list[i].here_known)
			others[n_others++] = record;
	}
	if (durable && others)
		write_file(fs->root, hash, durable, n_durable, others, n_others);
}

/* For adding: the one of this list, or a new one. Whoever replaces the list replaces it, too, and what is added to the old one is lost. */
static int open_for_adding(FileStore *fs, RemoteList *list)
{
	HereHead ours, theirs;
	struct stat st;

	if (!make_head(list->hash, &ours))
		return -1;
	CLEAN_FD int fd = openat(fs->root, HERE, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	/* A torn record, of a full disk, would shift those that follow. */
	if (fd >= 0 && bv_read_full(fd, &theirs, sizeof theirs) == sizeof theirs && memcmp(&ours, &theirs, sizeof ours) == 0 && fstat(fd, &st) == 0 &&
	    ((size_t)st.st_size - sizeof theirs) % sizeof(HereRecord) == 0)
		return TAKE_FD(fd);
	begin_anew(fs, list, false);
	return openat(fs->root, HERE, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
}

/* Under Remote.lock. False: it is not written down. */
static bool add_record(FileStore *fs, RemoteList *list, const HereRecord *record)
{
	if (list->here_fd < 0)
		list->here_fd = open_for_adding(fs, list);
	ssize_t n = list->here_fd >= 0 ? write(list->here_fd, record, sizeof *record) : -1;
	if (n > 0 && n < (ssize_t)sizeof *record) /* a full disk: what follows would be shifted */
		IGNORE_RESULT(ftruncate(list->here_fd, lseek(list->here_fd, 0, SEEK_END) - n));
	list->records += n == (ssize_t)sizeof *record;
	return n == (ssize_t)sizeof *record;
}

/* What is not written down must not be believed by the next one who reads: then there is no file at all, and what is added goes nowhere. */
static void forget_locked(FileStore *fs, RemoteList *list, const RemoteEntry *e)
{
	list->here[e - list->entries] = (RemoteHere){.known = true};
	if (!add_record(fs, list, &(HereRecord){.id = e->id})) {
		unlinkat(fs->root, HERE, 0);
	}
}

/* ---- files ---- */

bool here_is_suspect(FileStore *fs, BlobId id)
{
	Remote *r = fs->remote;

	if (!fs->readonly || !remote_any(fs))
		return false;
	pthread_rwlock_rdlock(&r->list_lock);
	const RemoteEntry *e = r->list.suspects ? remote_find(&r->list, id) : NULL;
	bool suspect = e && r->list.here[e - r->list.entries].suspect;
	pthread_rwlock_unlock(&r->list_lock);
	return suspect;
}

void here_note_use(FileStore *fs, BlobId id, bool writes)
{
	Remote *r = fs->remote;

	if (!remote_any(fs) || fs->readonly)
		return;
	pthread_rwlock_rdlock(&r->list_lock);
	const RemoteEntry *e = remote_find(&r->list, id);
	if (e) {
		pthread_mutex_lock(&r->lock);
		r->list.used[e - r->list.entries] = bv_now_coarse_ns();
		const RemoteHere *here = &r->list.here[e - r->list.entries];
		if (writes && (here->ino || !here->known)) /* also of one of which nothing is known: it is not to be taken for what was fetched */
			forget_locked(fs, &r->list, e);
		pthread_mutex_unlock(&r->lock);
	}
	pthread_rwlock_unlock(&r->list_lock);
}

/* ---- to the disk ---- */

static void sync_files(FileStore *fs, const BlobId *ids, size_t n)
{
	if (n > MANY) {
		IGNORE_RESULT(syncfs(fs->root));
		return;
	}
	for (size_t i = 0; i < n; i++) {
		BlobPlace place;
		CLEAN_FD int fd = filestore_place(&fs->base, ids[i], &place) == 0 ? bv_openat_plain(fs->root, place.name, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
		if (fd >= 0)
			IGNORE_RESULT(fdatasync(fd));
	}
}

/* What was fetched before `records` is on the disk, if the list is still the one. */
static void write_mark(FileStore *fs, uint64_t hash, uint64_t records)
{
	Remote *r = fs->remote;
	int fd = -1;

	pthread_rwlock_rdlock(&r->list_lock);
	pthread_mutex_lock(&r->lock);
	if (r->list.hash == hash && add_record(fs, &r->list, &(HereRecord){.ino = records, .flags = MARK})) {
		r->list.marked = records;
		fd = r->list.here_fd;
	}
	pthread_mutex_unlock(&r->lock);
	if (fd >= 0)
		IGNORE_RESULT(fdatasync(fd)); /* it is closed only under list_lock for writing */
	pthread_rwlock_unlock(&r->list_lock);
}

static void sync_pending(FileStore *fs)
{
	Remote *r = fs->remote;

	pthread_rwlock_rdlock(&r->list_lock);
	pthread_mutex_lock(&r->lock);
	CLEAN_FREE BlobId *ids = TAKE_PTR(r->pending);
	size_t n = r->n_pending;
	uint64_t hash = r->list.hash, records = r->list.records;
	r->n_pending = r->pending_room = 0;
	pthread_mutex_unlock(&r->lock);
	pthread_rwlock_unlock(&r->list_lock);
	sync_files(fs, ids, n);
	write_mark(fs, hash, records);
}

static void *sync_loop(void *ctx)
{
	FileStore *fs = ctx;
	Remote *r = fs->remote;

	pthread_mutex_lock(&r->lock);
	while (!r->ending || r->n_pending) {
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++;
		if (!r->n_pending)
			pthread_cond_wait(&r->wake, &r->lock);
		else if (!r->ending) /* more come, and are made durable together */
			pthread_cond_timedwait(&r->wake, &r->lock, &until);
		if (!r->n_pending)
			continue;
		pthread_mutex_unlock(&r->lock);
		sync_pending(fs);
		pthread_mutex_lock(&r->lock);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* Under Remote.lock. Without memory, or a thread, it is fetched again after the next start of the machine. */
static void note_pending(FileStore *fs, BlobId id)
{
	Remote *r = fs->remote;

	if (!BV_GROW(r->pending, r->n_pending, r->pending_room))
		return;
	r->pending[r->n_pending++] = id;
	if (!r->syncs)
		r->syncs = pthread_create(&r->syncer, NULL, sync_loop, fs) == 0;
	pthread_cond_signal(&r->wake);
}

void here_end(FileStore *fs)
{
	Remote *r = fs->remote;

	pthread_mutex_lock(&r->lock);
	r->ending = true;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
	if (r->syncs)
		pthread_join(r->syncer, NULL);
	r->syncs = false;
}

/* Never two names at a time: who is killed in between leaves none that another fetch would write to. */
static int move_to(int root, const char *temporary, const char *name)
{
	if (renameat2(root, temporary, root, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS) /* a file system that does not know the flag */
		return -1;
	int made = linkat(root, temporary, root, name, 0), why = errno;
	if (made == 0)
		unlinkat(root, temporary, 0); /* that sets its ctime once more */
	errno = why;
	return made;
}

/* Whoever finds the name and opens it for writing notes that after this. */
int here_publish(FileStore *fs, const RemoteEntry *fetched, const char *temporary, const char *name)
{
	Remote *r = fs->remote;
	struct stat st;
	int rc = 0;

	pthread_rwlock_rdlock(&r->list_lock);
	pthread_mutex_lock(&r->lock);
	if (move_to(fs->root, temporary, name) < 0) {
		rc = errno == EEXIST ? 0 : bv_neg_errno();
	} else {
		const RemoteEntry *e = remote_find(&r->list, fetched->id);
		if (e && fstatat(fs->root, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
			RemoteHere *here = &r->list.here[e - r->list.entries];
			*here = (RemoteHere){.ino = st.st_ino, .ctime = nanoseconds(st.st_ctim.tv_sec, st.st_ctim.tv_nsec), .fetched = true, .known = true};
			r->list.used[e - r->list.entries] = bv_now_coarse_ns();
			uint64_t before = r->list.records;
			if (add_record(fs, &r->list, &(HereRecord){e->id, here->ino, here->ctime, FETCHED}))
				here->number = r->list.records - 1;
			else
				*here = (RemoteHere){0};
			if (r->list.records > before && fs->base.ops->durable)
				note_pending(fs, e->id);
		}
	}
	pthread_mutex_unlock(&r->lock);
	pthread_rwlock_unlock(&r->list_lock);
	return rc;
}

bool here_matches(const RemoteList *list, const RemoteEntry *e, const struct statx *st)
{
	const RemoteHere *here = &list->here[e - list->entries];

	return here->ino && here->ino == st->stx_ino && here->ctime == nanoseconds(st->stx_ctime.tv_sec, st->stx_ctime.tv_nsec) && e->size == st->stx_size &&
	       e->mtime == st->stx_mtime.tv_sec && e->mtime_ns == st->stx_mtime.tv_nsec;
}

/* ---- what may go ---- */

typedef struct CleanList {
	FileStore *fs;
	uint64_t total;
	BlobClean *items;
	size_t n, room;
} CleanList;

#define CLEAN_MASK (STATX_INO | STATX_CTIME | STATX_MTIME | STATX_SIZE | STATX_BLOCKS | STATX_MODE)

static int note_clean(void *ctx, BlobId id)
{
	CleanList *l = ctx;
	const RemoteList *list = &l->fs->remote->list;
	const RemoteEntry *e;
	struct statx st;

	if (filestore_statx(&l->fs->base, id, CLEAN_MASK, &st) < 0 || !(st.stx_mask & STATX_INO))
		return 0; /* it went meanwhile */
	l->total += st.stx_blocks * 512;
	if (!BV_GROW(l->items, l->n, l->room))
		return -ENOMEM;
	pthread_rwlock_rdlock(&l->fs->remote->list_lock);
	pthread_mutex_lock(&l->fs->remote->lock);
	if ((e = remote_find(list, id)) && here_matches(list, e, &st)) {
		l->items[l->n++] = (BlobClean){.id = id, .bytes = st.stx_blocks * 512, .used = list->used[e - list->entries], .here_since = nanoseconds(st.stx_ctime.tv_sec, st.stx_ctime.tv_nsec)};
	}
	pthread_mutex_unlock(&l->fs->remote->lock);
	pthread_rwlock_unlock(&l->fs->remote->list_lock);
	return 0;
}

/* What is only here must not go. */
static bool source_is_there(FileStore *fs)
{
	Remote *r = fs->remote;

	pthread_rwlock_rdlock(&r->list_lock);
	CLEAN_FREE char *source = r->list.source ? strdup(r->list.source) : NULL;
	pthread_rwlock_unlock(&r->list_lock);
	return source && (!r->check || r->check(r->ctx, source) == 0);
}

int filestore_list_clean(BlobStore *store, uint64_t *total, BlobClean **list, size_t *n)
{
	CleanList l = {.fs = filestore_of(store)};
	int r = filestore_iterate(store, note_clean, &l);

	if (r == 0 && l.n && !source_is_there(l.fs))
		l.n = 0;
	if (r < 0) {
		free(l.items);
		return r;
	}
	*total = l.total;
	*list = l.items;
	*n = l.n;
	return 0;
}

/* Under both locks: nobody who opens it meanwhile has noted that yet, but his descriptor refuses us the lease. SIGURG: as in cowfs/seal.c. */
static int drop_locked(FileStore *fs, BlobId id)
{
	const RemoteList *list = &fs->remote->list;
	const RemoteEntry *e = remote_find(list, id);
	BlobPlace place;
	struct statx st;
	int r = e ? filestore_place(&fs->base, id, &place) : -ENOENT;

	if (r < 0)
		return r;
	CLEAN_FD int fd = bv_openat_plain(fs->root, place.name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return bv_neg_errno();
	if (statx(fd, "", AT_EMPTY_PATH, CLEAN_MASK, &st) < 0 || !here_matches(list, e, &st))
		return -ENOENT;
	IGNORE_RESULT(fcntl(fd, F_SETSIG, SIGURG));
	if (fcntl(fd, F_SETLEASE, F_WRLCK) < 0)
		return -EBUSY;
	if (unlinkat(fs->root, place.name, 0) < 0)
		return bv_neg_errno();
	fs->remote->list.here[e - list->entries] = (RemoteHere){0}; /* of a number that may come again, with another ctime: nothing to write down */
	return 0;
}

int filestore_drop(BlobStore *store, BlobId id)
{
	FileStore *fs = filestore_of(store);
	Remote *r = fs->remote;

	if (fs->readonly)
		return -EROFS;
	pthread_rwlock_rdlock(&r->list_lock);
	pthread_mutex_lock(&r->lock);
	int rc = drop_locked(fs, id);
	pthread_mutex_unlock(&r->lock);
	pthread_rwlock_unlock(&r->list_lock);
	return rc;
}
