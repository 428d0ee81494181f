/* backends/filestore_remote.c - blobs whose bytes are elsewhere, too: ROOT/remote says of each its size and times, and what to ask for its bytes.
 *
 * The list is replaced as a whole: when a sandbox is made of a snapshot, and when one was taken of it (put_remote, by a process that may be another one; reload). A blob
 * without a file in ROOT is not here, and counts as the list says; one with a file, fetched or changed by a guest, counts as it is, and one that was removed is not asked for,
 * as no record names it any more. A blob gets its name when it is complete.
 *
 *   Head, source (text), entries by rising id, references. Numbers as the machine has them: it is a file of this machine alone.
 *
 * Fetching is somebody else's matter (BlobFetch); what a reference means, too. Which files are as they were fetched, and may go: filestore_here.c. */
#include "backends/filestore_remote.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#define REMOTE "remote"
#define ASIDE_IN_MEMORY (16 << 20)
#define MAGIC "bvisor remote 1\n"

typedef struct Head {
	char magic[16];
	uint64_t hash; /* of what follows it */
	uint64_t entries, source_len, refs_len;
} Head;

const RemoteEntry *remote_find(const RemoteList *list, BlobId id)
{
	size_t low = 0, high = list->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (list->entries[mid].id == id)
			return &list->entries[mid];
		if (list->entries[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* ---- the file ---- */

static void list_release(RemoteList *list)
{
	here_release(list);
	if (list->map)
		munmap((void *)(uintptr_t)list->map, list->size);
	free(list->source);
	*list = (RemoteList){.here_fd = -1};
}

Remote *remote_new(void)
{
	Remote *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	pthread_rwlock_init(&r->list_lock, NULL);
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->done, NULL);
	pthread_cond_init(&r->wake, NULL);
	r->list.here_fd = -1;
	return r;
}

void remote_free(Remote *r)
{
	if (!r)
		return;
	if (r->release)
		r->release(r->ctx);
	list_release(&r->list);
	pthread_rwlock_destroy(&r->list_lock);
	pthread_mutex_destroy(&r->lock);
	pthread_cond_destroy(&r->done);
	pthread_cond_destroy(&r->wake);
	free(r->pending);
	free(r->busy);
	free(r->error);
	free(r->remark);
	free(r);
}

static bool is_sound(const RemoteList *list)
{
	for (size_t i = 0; i < list->n; i++) {
		const RemoteEntry *e = &list->entries[i];
		if (!e->id || (i && e->id <= e[-1].id) || e->ref_at > list->refs_len || e->ref_len > list->refs_len - e->ref_at || e->size > INT64_MAX)
			return false;
	}
	return true;
}

static bool parse(RemoteList *list)
{
	Head h;

	if (list->size < sizeof h)
		return false;
	memcpy(&h, list->map, sizeof h);
	size_t left = list->size - sizeof h;
	if (memcmp(h.magic, MAGIC, sizeof h.magic) != 0 || h.source_len % 8 || h.source_len > left || h.entries > (left - h.source_len) / sizeof(RemoteEntry) ||
	    h.refs_len != left - h.source_len - h.entries * sizeof(RemoteEntry) || h.hash != hash_stable(list->map + sizeof h, left))
		return false;
	list->hash = h.hash;
	list->source = strndup(list->map + sizeof h, h.source_len);
	list->entries = (const RemoteEntry *)(const void *)(list->map + sizeof h + h.source_len);
	list->n = h.entries;
	list->refs = (const uint8_t *)(list->entries + list->n);
	list->refs_len = h.refs_len;
	return list->source && is_sound(list);
}

/* 0: `out` is what is there, or nothing if there is no file. */
static int list_load(FileStore *fs, RemoteList *out)
{
	CLEAN_FD int fd = openat(fs->root, REMOTE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	RemoteList list = {.here_fd = -1};
	struct stat st;

	*out = list;
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return bv_neg_errno();
	void *map = st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
	if (map == MAP_FAILED)
		return st.st_size ? bv_neg_errno() : -EUCLEAN;
	list.map = map;
	list.size = (size_t)st.st_size;
	int r = parse(&list) ? here_load(fs, &list) : -EUCLEAN;
	if (r == 0)
		*out = list;
	else
		list_release(&list);
	return r;
}

int remote_load(FileStore *fs, const char *path, char **err)
{
	RemoteList fresh, old;
	int r = list_load(fs, &fresh);

	if (r == -EUCLEAN)
		return bv_fail(err, r, "blob store %s is damaged: its file \"" REMOTE "\" is not what bvisor wrote; nothing was changed", path);
	if (r < 0)
		return bv_fail(err, r, "cannot read %s/" REMOTE ": %s", path, strerror(-r));
	pthread_rwlock_wrlock(&fs->remote->list_lock);
	old = fs->remote->list;
	fs->remote->list = fresh;
	atomic_store(&fs->remote->any, fresh.source != NULL);
	pthread_rwlock_unlock(&fs->remote->list_lock);
	list_release(&old);
	return 0;
}

int filestore_reload_remote(BlobStore *store, char **err)
{
	FileStore *fs = filestore_of(store);

	return atomic_load(&fs->late) && filestore_appear(fs, false) < 0 ? 0 : remote_load(fs, "of the sandbox", err);
}

static int write_remote(int fd, const Head *h, char *rest, size_t len)
{
	int r = bv_write_full(fd, h, sizeof *h);

	return r < 0 ? r : bv_write_full(fd, rest, len);
}

static void fill(char *rest, const char *source, size_t source_len, const BlobRemote *list, size_t n)
{
	RemoteEntry *e = (RemoteEntry *)(void *)(rest + source_len);
	char *refs = (char *)(e + n);
	uint64_t at = 0;

	memcpy(rest, source, strlen(source));
	for (size_t i = 0; i < n; i++) {
		e[i] = (RemoteEntry){.id = list[i].id, .size = list[i].size, .atime = list[i].times[0].tv_sec, .mtime = list[i].times[1].tv_sec,
			       .atime_ns = (uint32_t)list[i].times[0].tv_nsec, .mtime_ns = (uint32_t)list[i].times[1].tv_nsec, .mode = list[i].mode,
			       .ref_len = (uint32_t)list[i].ref_len, .ref_at = at};
		memcpy(refs + at, list[i].ref, list[i].ref_len);
		at += list[i].ref_len;
	}
}

int filestore_put_remote(BlobStore *store, const char *source, const BlobRemote *list, size_t n)
{
	FileStore *fs = filestore_of(store);
	size_t source_len = (strlen(source) + 8) & ~(size_t)7;
	Head h = {.magic = MAGIC, .entries = n, .source_len = source_len};
	CLEAN_FD int fd = -1;

	if (fs->readonly)
		return -EROFS;
	for (size_t i = 0; i < n; i++) {
		if (i && list[i].id <= list[i - 1].id)
			return -EINVAL;
		h.refs_len += list[i].ref_len;
	}
	size_t len = source_len + n * sizeof(RemoteEntry) + h.refs_len;
	CLEAN_FREE char *rest = calloc(1, len);
	if (!rest)
		return -ENOMEM;
	fill(rest, source, source_len, list, n);
	h.hash = hash_stable(rest, len);
	here_write(fs, h.hash, list, n);
	fd = openat(fs->root, REMOTE ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = fd < 0 ? bv_neg_errno() : write_remote(fd, &h, rest, len);
	if (r == 0 && store->ops->durable && fsync(fd) < 0)
		r = bv_neg_errno();
	if (r == 0 && renameat(fs->root, REMOTE ".new", fs->root, REMOTE) < 0)
		r = bv_neg_errno();
	if (r < 0)
		unlinkat(fs->root, REMOTE ".new", 0);
	return r;
}

/* ---- what is not here ---- */

bool remote_any(const FileStore *fs)
{
	return atomic_load_explicit(&fs->remote->any, memory_order_acquire);
}

/* A copy of an entry and of what a fetch of it is given, as the list may be replaced meanwhile. */
typedef struct Wanted {
	RemoteEntry e;
	char *source;
	uint8_t *ref;
} Wanted;

static void wanted_release(Wanted *w)
{
	free(w->source);
	free(w->ref);
}
#define CLEAN_WANTED __attribute__((cleanup(wanted_release)))

static int wanted_take(Remote *r, BlobId id, Wanted *out)
{
	int rc = -ENOENT;

	*out = (Wanted){0};
	pthread_rwlock_rdlock(&r->list_lock);
	const RemoteEntry *e = remote_find(&r->list, id);
	if (e) {
		*out = (Wanted){.e = *e, .source = strdup(r->list.source), .ref = malloc(e->ref_len + 1)};
		rc = out->source && out->ref ? 0 : -ENOMEM;
		if (rc == 0)
			memcpy(out->ref, r->list.refs + e->ref_at, e->ref_len);
	}
	pthread_rwlock_unlock(&r->list_lock);
	return rc;
}

const char *filestore_source(BlobStore *store)
{
	const FileStore *fs = filestore_of(store);

	return remote_any(fs) ? fs->remote->list.source : NULL;
}

void filestore_set_fetch(BlobStore *store, BlobFetch fetch, BlobCheck check, void *ctx, void (*release)(void *ctx))
{
	Remote *r = filestore_of(store)->remote;

	r->fetch = fetch;
	r->check = check;
	r->ctx = ctx;
	r->release = release;
}

static bool has_name(FileStore *fs, BlobId id)
{
	BlobPlace place;

	return filestore_place(&fs->base, id, &place) == 0 && faccessat(fs->root, place.name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Under list_lock. */
static bool has_file(FileStore *fs, const RemoteEntry *e)
{
	return !(fs->readonly && fs->remote->list.here[e - fs->remote->list.entries].suspect) && has_name(fs, e->id);
}

bool filestore_is_here(BlobStore *store, BlobId id)
{
	FileStore *fs = filestore_of(store);

	if (!remote_any(fs))
		return true;
	pthread_rwlock_rdlock(&fs->remote->list_lock);
	const RemoteEntry *e = remote_find(&fs->remote->list, id);
	bool here = !e || has_file(fs, e);
	pthread_rwlock_unlock(&fs->remote->list_lock);
	return here;
}

int filestore_remote_ref(BlobStore *store, BlobId id, const struct statx *body, const void **ref, size_t *len)
{
	FileStore *fs = filestore_of(store);
	int r = -ENOENT;

	if (!remote_any(fs))
		return r;
	pthread_rwlock_rdlock(&fs->remote->list_lock);
	const RemoteList *list = &fs->remote->list;
	const RemoteEntry *e = remote_find(list, id);
	if (e && (body && (body->stx_mask & STATX_INO) ? here_matches(list, e, body) : !has_file(fs, e))) {
		*ref = list->refs + e->ref_at;
		*len = e->ref_len;
		r = 0;
	}
	pthread_rwlock_unlock(&fs->remote->list_lock);
	return r;
}

int remote_statx(const FileStore *fs, BlobId id, struct statx *out)
{
	int r = -ENOENT;

	if (!remote_any(fs))
		return r;
	pthread_rwlock_rdlock(&fs->remote->list_lock);
	const RemoteEntry *e = remote_find(&fs->remote->list, id);
	if (e) {
		*out = (struct statx){.stx_mask = STATX_TYPE | STATX_MODE | STATX_SIZE | STATX_BLOCKS | STATX_ATIME | STATX_MTIME | STATX_CTIME | STATX_NLINK,
				      .stx_mode = (uint16_t)(S_IFREG | (e->mode & 07777)), .stx_nlink = 1, .stx_size = e->size, .stx_blocks = (e->size + 4095) / 4096 * 8,
				      .stx_blksize = 4096, .stx_atime = {.tv_sec = e->atime, .tv_nsec = e->atime_ns}, .stx_mtime = {.tv_sec = e->mtime, .tv_nsec = e->mtime_ns},
				      .stx_ctime = {.tv_sec = e->mtime, .tv_nsec = e->mtime_ns}};
		r = 0;
	}
	pthread_rwlock_unlock(&fs->remote->list_lock);
	return r;
}

static void note_error(Remote *r, char *why)
{
	pthread_mutex_lock(&r->lock);
	if (!r->error)
		r->error = TAKE_PTR(why);
	pthread_mutex_unlock(&r->lock);
	free(why);
}

static void note_remark(Remote *r, char *remark)
{
	pthread_mutex_lock(&r->lock);
	free(r->remark);
	r->remark = remark;
	pthread_mutex_unlock(&r->lock);
}

char *filestore_fetch_error(BlobStore *store)
{
	Remote *r = filestore_of(store)->remote;

	pthread_mutex_lock(&r->lock);
	char *error = r->error ? TAKE_PTR(r->error) : TAKE_PTR(r->remark);
	pthread_mutex_unlock(&r->lock);
	return error;
}

static int fetch_into(Remote *r, const Wanted *w, int fd)
{
	const struct timespec times[2] = {{w->e.atime, w->e.atime_ns}, {w->e.mtime, w->e.mtime_ns}};
	struct stat st;
	char *why = NULL;
	int rc = r->fetch ? r->fetch(r->ctx, w->source, w->ref, w->e.ref_len, fd, &why) : -EIO;

	if (rc < 0)
		note_error(r, why ? why : strdup(strerror(-rc)));
	else if (why)
		note_remark(r, why);
	if (rc == 0 && (fstat(fd, &st) < 0 || (uint64_t)st.st_size != w->e.size))
		rc = -EIO;
	if (rc == 0 && futimens(fd, times) < 0)
		rc = bv_neg_errno();
	return rc;
}

static bool is_busy(const Remote *r, BlobId id)
{
	for (size_t i = 0; i < r->nbusy; i++)
		if (r->busy[i] == id)
			return true;
	return false;
}

/* 1: it is this thread's to fetch, which end() ends. 0: another one has. A negative errno: another one has tried just now. */
static int begin(Remote *r, BlobId id)
{
	int ours = 0;

	pthread_mutex_lock(&r->lock);
	if (is_busy(r, id)) {
		while (is_busy(r, id))
			pthread_cond_wait(&r->done, &r->lock);
		ours = r->failed == id ? r->failure : 0;
	} else {
		if (r->nbusy == r->busy_room) {
			BlobId *more = realloc(r->busy, (r->busy_room + 16) * sizeof *more);
			if (more) {
				r->busy = more;
				r->busy_room += 16;
			}
		}
		if (r->nbusy < r->busy_room)
			r->busy[r->nbusy++] = id;
		ours = 1; /* without memory: two may fetch the same, and one is thrown away */
	}
	pthread_mutex_unlock(&r->lock);
	return ours;
}

static void end(Remote *r, BlobId id, int result)
{
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->nbusy; i++)
		if (r->busy[i] == id) {
			r->busy[i] = r->busy[--r->nbusy];
			break;
		}
	if (result < 0 || r->failed == id) {
		r->failed = result < 0 ? id : 0;
		r->failure = result;
	}
	pthread_cond_broadcast(&r->done);
	pthread_mutex_unlock(&r->lock);
}

static int fetch_named(FileStore *fs, const Wanted *w)
{
	BlobPlace place;
	CLEAN_FD int fd = -1;
	char temporary[40];
	int r = filestore_place(&fs->base, w->e.id, &place);

	if (r == 0)
		r = filestore_make_shard(fs, w->e.id);
	if (r < 0)
		return r;
	pthread_mutex_lock(&fs->remote->lock);
	snprintf(temporary, sizeof temporary, ".fetch-%d-%u", (int)getpid(), fs->remote->number++);
	pthread_mutex_unlock(&fs->remote->lock);
	unlinkat(fs->root, temporary, 0); /* of one who was killed; a name of its own, never bytes that somebody else has */
	fd = openat(fs->root, temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return bv_neg_errno();
	r = fetch_into(fs->remote, w, fd);
	if (r == 0 && fchmod(fd, (w->e.mode & 0777) | S_IRUSR | S_IWUSR) < 0)
		r = bv_neg_errno();
	bv_close_fd(&fd); /* or who executes it at once finds a text file busy */
	if (r == 0)
		r = here_publish(fs, &w->e, temporary, place.name);
	unlinkat(fs->root, temporary, 0);
	if (r == 0)
		filestore_note_name(fs, w->e.id);
	return r;
}

int filestore_fetch(BlobStore *store, BlobId id)
{
	FileStore *fs = filestore_of(store);

	if (!remote_any(fs))
		return -ENOENT;
	if (fs->readonly)
		return -EROFS;
	CLEAN_WANTED Wanted w;
	int r = wanted_take(fs->remote, id, &w);
	while (r == 0 && !has_name(fs, id)) {
		int ours = begin(fs->remote, id);
		if (ours <= 0) {
			r = ours; /* many that wait for a place that is away fail together, not one after another */
			continue;
		}
		r = has_name(fs, id) ? 0 : fetch_named(fs, &w);
		end(fs->remote, id, r);
	}
	return r;
}

static int make_aside(uint64_t size)
{
	const char *tmp = getenv("TMPDIR");
	int fd = size > ASIDE_IN_MEMORY ? open(tmp && *tmp == '/' ? tmp : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : -1;

	return fd >= 0 ? fd : memfd_create("bvisor-blob", MFD_CLOEXEC);
}

/* For who only looks: a file without a name. */
int remote_open_aside(FileStore *fs, BlobId id, int flags, int *fd)
{
	CLEAN_WANTED Wanted w;
	char path[64];
	int r = wanted_take(fs->remote, id, &w);

	if (r == 0 && (flags & O_ACCMODE) != O_RDONLY)
		r = -EROFS;
	if (r < 0)
		return r;
	CLEAN_FD int aside = make_aside(w.e.size);
	r = aside < 0 ? bv_neg_errno() : fetch_into(fs->remote, &w, aside);
	if (r < 0)
		return r;
	snprintf(path, sizeof path, "/proc/self/fd/%d", aside);
	int opened = open(path, O_RDONLY | O_CLOEXEC);
	if (opened < 0)
		return bv_neg_errno();
	*fd = opened;
	return 0;
}
