/* backends/filestore_remote.c - blobs that are not here yet: ROOT/remote says of each its size and times, and what to ask for its bytes.
 *
 * The file is written once, when a sandbox is made of a snapshot, and never changed: a blob is remote as long as ROOT has no file for it. So whatever has a file,
 * fetched or changed by a guest, counts, and one that was removed is not asked for, as no record names it any more. A blob gets its name when it is complete.
 *
 *   Head, source (text), entries by rising id, references. Numbers as the machine has them: it is a file of this machine alone.
 *
 * Fetching is somebody else's matter (BlobFetch); what a reference means, too. Locks: fetch_lock, a leaf but for the fetch itself, sees to it that nobody fetches what
 * another one is fetching. */
#include "backends/filestore.h"

#include "base/hmap.h"

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

typedef struct Entry {
	uint64_t id, size;
	int64_t atime, mtime;
	uint32_t atime_ns, mtime_ns, mode, ref_len;
	uint64_t ref_at;
} Entry;

struct Remote {
	const char *map;
	size_t size;
	const Entry *entries;
	size_t n;
	const char *source; /* in a copy, NUL-terminated */
	const uint8_t *refs;
	size_t refs_len;
	BlobFetch fetch;
	void *ctx;
	void (*release)(void *ctx);
	pthread_mutex_t lock;
	pthread_cond_t done;
	char *error;  /* of the first fetch that failed since somebody asked */
	BlobId *busy; /* being fetched */
	size_t nbusy, busy_room;
	_Atomic unsigned number; /* of names of unfinished files */
};

static const Entry *find(const Remote *r, BlobId id)
{
	size_t low = 0, high = r ? r->n : 0;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (r->entries[mid].id == id)
			return &r->entries[mid];
		if (r->entries[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* ---- the file ---- */

void remote_free(Remote *r)
{
	if (!r)
		return;
	if (r->release)
		r->release(r->ctx);
	munmap((void *)(uintptr_t)r->map, r->size);
	pthread_mutex_destroy(&r->lock);
	pthread_cond_destroy(&r->done);
	free((void *)(uintptr_t)r->source);
	free(r->busy);
	free(r->error);
	free(r);
}

static bool is_sound(const Remote *r)
{
	for (size_t i = 0; i < r->n; i++) {
		const Entry *e = &r->entries[i];
		if (!e->id || (i && e->id <= e[-1].id) || e->ref_at > r->refs_len || e->ref_len > r->refs_len - e->ref_at || e->size > INT64_MAX)
			return false;
	}
	return true;
}

static bool parse(Remote *r)
{
	Head h;

	if (r->size < sizeof h)
		return false;
	memcpy(&h, r->map, sizeof h);
	size_t left = r->size - sizeof h;
	if (memcmp(h.magic, MAGIC, sizeof h.magic) != 0 || h.source_len % 8 || h.source_len > left || h.entries > (left - h.source_len) / sizeof(Entry) ||
	    h.refs_len != left - h.source_len - h.entries * sizeof(Entry) || h.hash != hash_stable(r->map + sizeof h, left))
		return false;
	r->source = strndup(r->map + sizeof h, h.source_len);
	r->entries = (const Entry *)(const void *)(r->map + sizeof h + h.source_len);
	r->n = h.entries;
	r->refs = (const uint8_t *)(r->entries + r->n);
	r->refs_len = h.refs_len;
	return r->source && is_sound(r);
}

int remote_load(int root, const char *path, Remote **out, char **err)
{
	CLEAN_FD int fd = openat(root, REMOTE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return bv_fail(err, bv_neg_errno(), "cannot read %s/" REMOTE ": %s", path, strerror(errno));
	Remote *r = calloc(1, sizeof *r);
	if (!r)
		return -ENOMEM;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->done, NULL);
	r->size = (size_t)st.st_size;
	r->map = r->size ? mmap(NULL, r->size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
	bool mapped = r->map != MAP_FAILED;
	if (!mapped)
		r->map = NULL, r->size = 0;
	if (!mapped || !parse(r)) {
		remote_free(r);
		return bv_fail(err, -EUCLEAN, "blob store %s is damaged: its file \"" REMOTE "\" is not what bvisor wrote; nothing was changed", path);
	}
	*out = r;
	return 0;
}

static int write_remote(int fd, const Head *h, char *rest, size_t len)
{
	int r = bv_write_full(fd, h, sizeof *h);

	return r < 0 ? r : bv_write_full(fd, rest, len);
}

static void fill(char *rest, const char *source, size_t source_len, const BlobRemote *list, size_t n)
{
	Entry *e = (Entry *)(void *)(rest + source_len);
	char *refs = (char *)(e + n);
	uint64_t at = 0;

	memcpy(rest, source, strlen(source));
	for (size_t i = 0; i < n; i++) {
		e[i] = (Entry){.id = list[i].id, .size = list[i].size, .atime = list[i].times[0].tv_sec, .mtime = list[i].times[1].tv_sec,
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
	size_t len = source_len + n * sizeof(Entry) + h.refs_len;
	CLEAN_FREE char *rest = calloc(1, len);
	if (!rest)
		return -ENOMEM;
	fill(rest, source, source_len, list, n);
	h.hash = hash_stable(rest, len);
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

const char *filestore_source(BlobStore *store)
{
	const Remote *r = filestore_of(store)->remote;

	return r ? r->source : NULL;
}

void filestore_set_fetch(BlobStore *store, BlobFetch fetch, void *ctx, void (*release)(void *ctx))
{
	Remote *r = filestore_of(store)->remote;

	if (r) {
		r->fetch = fetch;
		r->ctx = ctx;
		r->release = release;
	} else if (release) {
		release(ctx);
	}
}

static bool has_file(FileStore *fs, BlobId id)
{
	BlobPlace place;

	return filestore_place(&fs->base, id, &place) == 0 && faccessat(fs->root, place.name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int filestore_remote_ref(BlobStore *store, BlobId id, const void **ref, size_t *len)
{
	FileStore *fs = filestore_of(store);
	const Entry *e = find(fs->remote, id);

	if (!e || has_file(fs, id))
		return -ENOENT;
	*ref = fs->remote->refs + e->ref_at;
	*len = e->ref_len;
	return 0;
}

int remote_statx(const Remote *r, BlobId id, struct statx *out)
{
	const Entry *e = find(r, id);

	if (!e)
		return -ENOENT;
	*out = (struct statx){.stx_mask = STATX_TYPE | STATX_MODE | STATX_SIZE | STATX_BLOCKS | STATX_ATIME | STATX_MTIME | STATX_CTIME | STATX_NLINK,
			      .stx_mode = (uint16_t)(S_IFREG | (e->mode & 07777)), .stx_nlink = 1, .stx_size = e->size, .stx_blocks = (e->size + 4095) / 4096 * 8, .stx_blksize = 4096,
			      .stx_atime = {.tv_sec = e->atime, .tv_nsec = e->atime_ns}, .stx_mtime = {.tv_sec = e->mtime, .tv_nsec = e->mtime_ns},
			      .stx_ctime = {.tv_sec = e->mtime, .tv_nsec = e->mtime_ns}};
	return 0;
}

static void note_error(Remote *r, char *why)
{
	pthread_mutex_lock(&r->lock);
	if (!r->error)
		r->error = TAKE_PTR(why);
	pthread_mutex_unlock(&r->lock);
	free(why);
}

char *filestore_fetch_error(BlobStore *store)
{
	Remote *r = filestore_of(store)->remote;
	char *error = NULL;

	if (r) {
		pthread_mutex_lock(&r->lock);
		error = TAKE_PTR(r->error);
		pthread_mutex_unlock(&r->lock);
	}
	return error;
}

static int fetch_into(Remote *r, const Entry *e, int fd)
{
	const struct timespec times[2] = {{e->atime, e->atime_ns}, {e->mtime, e->mtime_ns}};
	struct stat st;
	char *why = NULL;
	int rc = r->fetch ? r->fetch(r->ctx, r->refs + e->ref_at, e->ref_len, fd, &why) : -EIO;

	if (rc < 0)
		note_error(r, why ? why : strdup(strerror(-rc)));

	if (rc == 0 && (fstat(fd, &st) < 0 || (uint64_t)st.st_size != e->size))
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

/* True: it is this thread's to fetch, which remote_end ends. */
static bool begin(Remote *r, BlobId id)
{
	bool ours = false;

	pthread_mutex_lock(&r->lock);
	if (is_busy(r, id)) {
		while (is_busy(r, id))
			pthread_cond_wait(&r->done, &r->lock);
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
		ours = true; /* without memory: two may fetch the same, and one is thrown away */
	}
	pthread_mutex_unlock(&r->lock);
	return ours;
}

static void end(Remote *r, BlobId id)
{
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->nbusy; i++)
		if (r->busy[i] == id) {
			r->busy[i] = r->busy[--r->nbusy];
			break;
		}
	pthread_cond_broadcast(&r->done);
	pthread_mutex_unlock(&r->lock);
}

static int fetch_named(FileStore *fs, const Entry *e)
{
	BlobPlace place;
	CLEAN_FD int fd = -1;
	char temporary[40];
	int r = filestore_place(&fs->base, e->id, &place);

	if (r == 0)
		r = filestore_make_shard(fs, e->id);
	if (r < 0)
		return r;
	snprintf(temporary, sizeof temporary, ".fetch-%u", atomic_fetch_add(&fs->remote->number, 1));
	fd = openat(fs->root, temporary, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return bv_neg_errno();
	r = fetch_into(fs->remote, e, fd);
	if (r == 0 && fchmod(fd, (e->mode & 0777) | S_IRUSR | S_IWUSR) < 0)
		r = bv_neg_errno();
	if (r == 0 && linkat(fs->root, temporary, fs->root, place.name, 0) < 0 && errno != EEXIST)
		r = bv_neg_errno();
	unlinkat(fs->root, temporary, 0);
	if (r == 0)
		filestore_note_name(fs, e->id);
	return r;
}

int filestore_fetch(BlobStore *store, BlobId id)
{
	FileStore *fs = filestore_of(store);
	const Entry *e = find(fs->remote, id);

	if (!e)
		return -ENOENT;
	if (fs->readonly)
		return -EROFS;
	while (!has_file(fs, id)) {
		if (!begin(fs->remote, id))
			continue; /* another one did: or failed, and then this one tries */
		int r = has_file(fs, id) ? 0 : fetch_named(fs, e);
		end(fs->remote, id);
		if (r < 0)
			return r;
	}
	return 0;
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
	const Entry *e = find(fs->remote, id);
	char path[64];

	if (!e || (flags & O_ACCMODE) != O_RDONLY)
		return e ? -EROFS : -ENOENT;
	CLEAN_FD int aside = make_aside(e->size);
	int r = aside < 0 ? bv_neg_errno() : fetch_into(fs->remote, e, aside);
	if (r < 0)
		return r;
	snprintf(path, sizeof path, "/proc/self/fd/%d", aside);
	int opened = open(path, O_RDONLY | O_CLOEXEC);
	if (opened < 0)
		return bv_neg_errno();
	*fd = opened;
	return 0;
}
