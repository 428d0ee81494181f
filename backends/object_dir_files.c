/* backends/object_dir_files.c - the files of a directory of objects: writing, reading, removing and listing them. See object_dir.h for what holds. */
#include "backends/object_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#define TEMP_MAX_AGE (24 * 3600)

/* ---- names ---- */

static int open_dir(int at, const char *part)
{
	int fd = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? bv_neg_errno() : fd;
}

/* One directory further; with `make` it is made, and its name made durable. */
static int step(int at, const char *part, bool make)
{
	int fd = open_dir(at, part);

	if (fd != -ENOENT || !make)
		return fd;
	if (mkdirat(at, part, 0700) < 0 && errno != EEXIST)
		return bv_neg_errno();
	return fsync(at) < 0 ? bv_neg_errno() : open_dir(at, part);
}

/* The directory that holds `name`, and the last part of the name (within it). A link or a file in the way is -ENOTDIR or -ELOOP. */
static int walk(DirStore *ds, const char *name, bool make, int *dir, const char **leaf)
{
	CLEAN_FD int at = bv_dup(ds->root);
	char part[256];
	const char *slash;

	if (at < 0)
		return bv_neg_errno();
	for (; (slash = strchr(name, '/')); name = slash + 1) {
		size_t len = (size_t)(slash - name);
		if (len >= sizeof part)
			return -ENAMETOOLONG;
		memcpy(part, name, len);
		part[len] = 0;
		int next = step(at, part, make);
		if (next < 0)
			return next;
		close(at);
		at = next;
	}
	*dir = TAKE_FD(at);
	*leaf = name;
	return 0;
}

/* ---- writing ---- */

typedef struct Temp {
	int dir; /* .tmp */
	char name[48];
} Temp;

/* Closes and removes it (it has gone already where it was renamed). */
static void temp_release(Temp *temp)
{
	if (temp->dir < 0)
		return;
	unlinkat(temp->dir, temp->name, 0);
	bv_close_fd(&temp->dir);
}

/* Removes what is older than a day, by the clock that gave `now` its time. */
static void sweep(int dir, int now_fd)
{
	struct stat now, st;
	int fd = open_dir(dir, ".");
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while (fstat(now_fd, &now) == 0 && (entry = readdir(d)))
		if (fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && now.st_mtime - st.st_mtime > TEMP_MAX_AGE)
			unlinkat(dir, entry->d_name, 0);
	closedir(d);
}

/* A new file in .tmp. *fd and temp are the caller's. */
static int temp_make(DirStore *ds, Temp *temp, int *fd)
{
	CLEAN_FD int dir = step(ds->root, DIR_STORE_TEMP, true);
	int made;

	if (dir < 0)
		return dir;
	snprintf(temp->name, sizeof temp->name, "%016jx-%lu", (uintmax_t)ds->temp_key, atomic_fetch_add(&ds->last_temp, 1) + 1);
	made = openat(dir, temp->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (made < 0)
		return bv_neg_errno();
	if (!atomic_exchange(&ds->swept, true))
		sweep(dir, made);
	temp->dir = TAKE_FD(dir);
	*fd = made;
	return 0;
}

/* Gives the file its name if nothing has it. Where there are no hard links (some network and removable file systems) a rename that does
 * not replace is the same; -EOPNOTSUPP where that is missing, too. */
static int publish_if_absent(const Temp *temp, int dir, const char *leaf)
{
	if (linkat(temp->dir, temp->name, dir, leaf, 0) == 0)
		return 0;
	if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS)
		return bv_neg_errno();
	if (renameat2(temp->dir, temp->name, dir, leaf, RENAME_NOREPLACE) == 0)
		return 0;
	return errno == EINVAL || errno == ENOSYS ? -EOPNOTSUPP : bv_neg_errno();
}

static int write_all(int fd, const struct iovec *in, int n_in)
{
	int r = 0;

	for (int i = 0; r == 0 && i < n_in; i++)
		r = bv_write_full(fd, in[i].iov_base, in[i].iov_len);
	if (r == 0 && fsync(fd) < 0)
		r = bv_neg_errno();
	return r;
}

static int put(DirStore *ds, ObjectRequest *request)
{
	__attribute__((cleanup(temp_release))) Temp temp = {.dir = -1};
	CLEAN_FD int fd = -1;
	CLEAN_FD int dir = -1;
	const char *leaf;
	int r = temp_make(ds, &temp, &fd);

	if (r == 0)
		r = write_all(fd, request->in, request->n_in);
	if (r == 0)
		r = walk(ds, request->name, true, &dir, &leaf);
	if (r < 0)
		return r;
	if (request->flags & OBJECT_IF_ABSENT)
		r = publish_if_absent(&temp, dir, leaf);
	else if (renameat(temp.dir, temp.name, dir, leaf) < 0)
		r = bv_neg_errno();
	if (r < 0)
		return r;
	return fsync(dir) < 0 ? bv_neg_errno() : 0;
}

static int delete(DirStore *ds, ObjectRequest *request)
{
	CLEAN_FD int dir = -1;
	const char *leaf;
	int r = walk(ds, request->name, false, &dir, &leaf);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	if (unlinkat(dir, leaf, 0) < 0)
		return errno == ENOENT ? 0 : bv_neg_errno();
	return fsync(dir) < 0 ? bv_neg_errno() : 0;
}

/* ---- reading ---- */

static int open_object(DirStore *ds, const char *name, int *fd, struct stat *st)
{
	CLEAN_FD int dir = -1;
	const char *leaf;
	int r = walk(ds, name, false, &dir, &leaf);

	if (r < 0)
		return r;
	CLEAN_FD int opened = openat(dir, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (opened < 0)
		return bv_neg_errno();
	if (fstat(opened, st) < 0)
		return bv_neg_errno();
	if (S_ISDIR(st->st_mode))
		return -ENOENT;
	if (!S_ISREG(st->st_mode))
		return -ELOOP;
	*fd = TAKE_FD(opened);
	return 0;
}

static int head(DirStore *ds, ObjectRequest *request)
{
	CLEAN_FD int fd = -1;
	struct stat st;
	int r = open_object(ds, request->name, &fd, &st);

	if (r == 0)
		request->size = (uint64_t)st.st_size;
	return r;
}

static int get(DirStore *ds, ObjectRequest *request)
{
	CLEAN_FREE uint8_t *body = NULL;
	CLEAN_FD int fd = -1;
	struct stat st;
	uint64_t size, want;
	int r = open_object(ds, request->name, &fd, &st);

	if (r < 0)
		return r;
	size = (uint64_t)st.st_size;
	want = request->offset < size ? size - request->offset : 0;
	if (request->length)
		want = MIN(want, request->length);
	body = malloc(MAX(want, (uint64_t)1));
	if (!body)
		return -ENOMEM;
	if (want && lseek(fd, (off_t)request->offset, SEEK_SET) < 0)
		return bv_neg_errno();
	ssize_t n = bv_read_full(fd, body, want);
	if (n < 0)
		return (int)n;
	if ((uint64_t)n != want)
		return -EBADMSG; /* objects do not change: somebody cut it */
	request->size = size;
	request->n_body = want;
	request->body = TAKE_PTR(body);
	return 0;
}

/* ---- answers ---- */

/* The errnos of the contract, and what to do about them. */
static int explain(int code, const char **way_out)
{
	switch (code) {
	case -ENOENT:
		*way_out = "there is no such object";
		return code;
	case -EEXIST:
		*way_out = "it is there already";
		return code;
	case -EACCES:
	case -EPERM:
		*way_out = "permission denied; check who owns the directory";
		return -EACCES;
	case -ENOSPC:
	case -EDQUOT:
		*way_out = "no space left; free some there";
		return -ENOSPC;
	case -EROFS:
		*way_out = "the file system is read-only; choose another directory for writing";
		return code;
	case -ELOOP:
		*way_out = "a symbolic link or a special file is in the way; objects are plain files";
		return -EIO;
	case -ENOTDIR:
	case -EISDIR:
		*way_out = "another object or directory has this name or a part of it";
		return -EIO;
	case -EBADMSG:
		*way_out = "the file was cut while it was read; do not change the files of a store";
		return code;
	case -EOPNOTSUPP:
		*way_out = "the file system has neither hard links nor an exclusive rename";
		return code;
	case -ENOMEM:
		*way_out = "out of memory";
		return code;
	default:
		*way_out = strerror(-code);
		return -EIO;
	}
}

static int fail(DirStore *ds, const char *doing, const char *name, int code, char **err)
{
	const char *way_out;
	int answer = explain(code, &way_out);

	return bv_fail(err, answer, "cannot %s dir:%s/%s: %s", doing, ds->path, name, way_out);
}

void dir_store_do(DirStore *ds, ObjectRequest *request)
{
	static const struct {
		const char *word;
		int (*run)(DirStore *ds, ObjectRequest *request);
	} verbs[] = {
		[OBJECT_PUT] = {"put", put},
		[OBJECT_GET] = {"get", get},
		[OBJECT_HEAD] = {"look at", head},
		[OBJECT_DELETE] = {"delete", delete},
	};
	int r = verbs[request->verb].run(ds, request);

	/* A file where a directory is looked for is no such object; to a put it is in the way. */
	if (r == -ENOTDIR && request->verb != OBJECT_PUT)
		r = request->verb == OBJECT_DELETE ? 0 : -ENOENT;
	request->result = r < 0 ? fail(ds, verbs[request->verb].word, request->name, r, &request->error) : 0;
}

int dir_store_has_if_absent(ObjectStore *store, char **err)
{
	DirStore *ds = dir_store_of(store);
	__attribute__((cleanup(temp_release))) Temp temp = {.dir = -1};
	CLEAN_FD int fd = -1;
	char probe[64];
	int r = temp_make(ds, &temp, &fd);

	if (r == 0) {
		snprintf(probe, sizeof probe, "%s-probe", temp.name);
		r = publish_if_absent(&temp, temp.dir, probe);
		unlinkat(temp.dir, probe, 0);
	}
	if (r == -EOPNOTSUPP)
		return 0;
	return r < 0 ? fail(ds, "write to", "", r, err) : 1;
}

/* ---- listing ---- */

typedef struct Entry {
	char name[257]; /* of a directory with '/' at the end, so that whole names sort by their bytes */
	uint64_t size;
	int64_t mtime;
} Entry;

typedef struct Listing {
	const char *prefix;
	int64_t now;
	int (*visit)(void *ctx, const char *name, uint64_t size, int64_t age);
	void *ctx;
	char name[600]; /* of where we are, with '/' at the end */
	char broken[900]; /* what cannot be looked at */
	bool stopped;	/* by visit: the answer is its, no errno */
} Listing;

static int compare_entries(const void *a, const void *b)
{
	return strcmp(((const Entry *)a)->name, ((const Entry *)b)->name);
}

/* Whether something beginning with `name` can begin with the prefix, which one of the two is the longer one. */
static bool matches(const Listing *listing, const char *name, bool is_dir)
{
	size_t len = strlen(name), prefix = strlen(listing->prefix);

	return is_dir ? strncmp(name, listing->prefix, MIN(len, prefix)) == 0 : len >= prefix && strncmp(name, listing->prefix, prefix) == 0;
}

/* May an entry of the directory that is being listed be asked for, or have below it what is? */
static bool may_be_asked_for(const Listing *listing, const char *part, bool is_dir)
{
	char whole[sizeof listing->name + NAME_MAX + 2];

	snprintf(whole, sizeof whole, "%s%s%s", listing->name, part, is_dir ? "/" : "");
	return object_prefix_valid(whole) && matches(listing, whole, is_dir);
}

static int cannot_tell(Listing *listing, const char *part, int error)
{
	snprintf(listing->broken, sizeof listing->broken, "%s%s", listing->name, part);
	return error;
}

/* 1 if it is an entry to show or to enter, 0 if it is none. Only what is gone is not there: who collects garbage takes a name that is not listed for one that was removed, so one that
 * cannot be looked at, or that is a link, under which there may be anything, is an error. */
static int look_at(Listing *listing, int dir, const char *part, Entry *out)
{
	struct stat st;

	if (!object_name_valid(part))
		return 0;
	bool may_match = may_be_asked_for(listing, part, true);
	if (fstatat(dir, part, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT || !may_match ? 0 : cannot_tell(listing, part, bv_neg_errno());
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return !may_match ? 0 : cannot_tell(listing, part, -ELOOP);
	*out = (Entry){.size = (uint64_t)st.st_size, .mtime = st.st_mtime};
	snprintf(out->name, sizeof out->name, "%s%s", part, S_ISDIR(st.st_mode) ? "/" : "");
	return S_ISDIR(st.st_mode) ? may_match : may_be_asked_for(listing, part, false);
}

static int read_entries(Listing *listing, int fd, Entry **out, size_t *n_out)
{
	CLEAN_FREE Entry *entries = NULL;
	size_t n = 0, cap = 0;
	DIR *d = fdopendir(fd);
	struct dirent *entry;
	int r = 0;

	if (!d) {
		r = bv_neg_errno();
		close(fd);
		return r;
	}
	while (r == 0 && (errno = 0, entry = readdir(d))) {
		if (!BV_GROW(entries, n, cap)) {
			r = -ENOMEM;
			break;
		}
		r = look_at(listing, fd, entry->d_name, &entries[n]);
		if (r < 0)
			break;
		n += (size_t)r;
		r = 0;
	}
	if (r == 0 && errno)
		r = bv_neg_errno();
	closedir(d);
	if (r == 0 && n)
		qsort(entries, n, sizeof *entries, compare_entries);
	*n_out = n;
	*out = r == 0 ? TAKE_PTR(entries) : NULL;
	return r;
}

static int list_dir(Listing *listing, int at, const char *part)
{
	CLEAN_FREE Entry *entries = NULL;
	CLEAN_FD int dir = open_dir(at, part);
	size_t n = 0, len = strlen(listing->name);
	int fd = dir < 0 ? -1 : bv_dup(dir), r;

	if (dir < 0)
		return dir == -ENOENT ? 0 : cannot_tell(listing, "", dir); /* removed meanwhile */
	if (fd < 0)
		return bv_neg_errno();
	r = read_entries(listing, fd, &entries, &n);
	for (size_t i = 0; r == 0 && i < n; i++) {
		Entry *e = &entries[i];
		size_t end = strlen(e->name) - 1;
		snprintf(listing->name + len, sizeof listing->name - len, "%s", e->name);
		if (e->name[end] == '/') {
			e->name[end] = 0;
			r = list_dir(listing, dir, e->name);
		} else if ((r = listing->visit(listing->ctx, listing->name, e->size, MAX(listing->now - e->mtime, 0)))) {
			listing->stopped = true;
		}
		listing->name[len] = 0;
	}
	return r;
}

/* The time by the clock of the file system; by ours where nothing can be written. */
static int64_t store_now(DirStore *ds)
{
	__attribute__((cleanup(temp_release))) Temp temp = {.dir = -1};
	CLEAN_FD int fd = -1;
	struct stat st;

	return temp_make(ds, &temp, &fd) == 0 && fstat(fd, &st) == 0 ? st.st_mtime : time(NULL);
}

int dir_store_list(ObjectStore *store, const char *prefix, int (*visit)(void *ctx, const char *name, uint64_t size, int64_t age), void *ctx, char **err)
{
	DirStore *ds = dir_store_of(store);
	Listing listing = {.prefix = prefix, .now = store_now(ds), .visit = visit, .ctx = ctx};
	int r = list_dir(&listing, ds->root, ".");

	return r < 0 && !listing.stopped ? fail(ds, "list", listing.broken[0] ? listing.broken : prefix, r, err) : r;
}
