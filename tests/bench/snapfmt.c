/* tests/bench/snapfmt.c - what snapshots cost without a sandbox around them:
 *
 *   snapbench write LOCATION REF TREE   takes a snapshot of a tree; files that are as in the newest one of REF (inode, size, mtime) are kept unread
 *   snapbench load LOCATION REF         reads all records
 *   snapbench restore LOCATION REF DIR  writes the tree
 *   snapbench synth LOCATION REF N      N files without content, for the size of manifests
 *
 * Each prints one line of NAME=VALUE pairs: seconds, requests, bytes. tests/bench/snapfmt (the script) makes a table of it, beside restic's. The records are those of
 * a sandbox (snapshot/record.h), so tests/tools/snapread reads them. */
#include "snapshot/record.h"
#include "snapshot/snapshot.h"

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

typedef struct Entry {
	uint8_t key[RECORD_KEY_MAX];
	size_t key_len;
	Bytes value;
	uint64_t number; /* of the content; UINT64_MAX: none, UINT64_MAX - 1: kept */
	uint8_t *kept;
	size_t kept_len;
} Entry;

static Entry *entries;
static size_t n_entries, room_entries;
static SnapStore *store;
static ObjectStore *objects;
static SnapWriter *writer;
static uint64_t total_bytes, total_files, next_synthetic = 2;

static Entry *new_entry(void)
{
	if (n_entries == room_entries) {
		room_entries = room_entries ? 2 * room_entries : 1024;
		entries = realloc(entries, room_entries * sizeof *entries);
		if (!entries)
			err(1, "memory");
	}
	entries[n_entries] = (Entry){.number = UINT64_MAX};
	return &entries[n_entries++];
}

static int by_key(const void *a, const void *b)
{
	const Entry *x = a, *y = b;

	return key_compare(x->key, x->key_len, y->key, y->key_len);
}

/* ---- what the newest snapshot has ---- */
static Entry *old;
static size_t n_old, room_old;

static int remember(void *ctx, const Record *record)
{
	(void)ctx;
	if (n_old == room_old) {
		room_old = room_old ? 2 * room_old : 1024;
		old = realloc(old, room_old * sizeof *old);
	}
	Entry *e = &old[n_old++];
	*e = (Entry){.key_len = record->key_len, .kept_len = record->content_len, .kept = malloc(record->content_len + 1)};
	memcpy(e->key, record->key, record->key_len);
	bytes_put(&e->value, record->value, record->value_len);
	memcpy(e->kept, record->content, record->content_len);
	return 0;
}

static const Entry *known(const Entry *e)
{
	return n_old ? bsearch(e, old, n_old, sizeof *e, by_key) : NULL;
}

/* ---- walking a tree ---- */
static void add_dentry(uint64_t dir, const char *name, uint64_t inode)
{
	Entry *e = new_entry();

	e->key_len = record_key_dentry(e->key, dir, name, strlen(name));
	snap_dentry_encode(&(SnapDentry){.inode = inode}, &e->value);
}

static void add_content(Entry *e, int dir, const char *name)
{
	const Entry *before = known(e);

	if (before && before->value.len == e->value.len && memcmp(before->value.data, e->value.data, e->value.len) == 0 && snap_writer_keep(writer, before->kept, before->kept_len) == 1) {
		e->number = UINT64_MAX - 1;
		e->kept = before->kept;
		e->kept_len = before->kept_len;
		return;
	}
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		err(1, "%s", name);
	if (snap_writer_add_fd(writer, fd, &e->number) < 0)
		errx(1, "%s: %s", name, snap_writer_error(writer));
}

static void add_inode(uint64_t id, const struct stat *st, int dir, const char *name)
{
	char target[PATH_MAX];
	SnapInode inode = {.mode = st->st_mode, .uid = st->st_uid, .gid = st->st_gid, .nlink = (int32_t)st->st_nlink, .vdev = st->st_dev, .vino = st->st_ino, .have = 255, .mtime = st->st_mtim, .ctime = st->st_mtim};
	Entry *e = new_entry();

	if (S_ISLNK(st->st_mode)) {
		ssize_t n = readlinkat(dir, name, target, sizeof target);
		inode.target = target;
		inode.target_len = n < 0 ? 0 : (size_t)n;
	}
	e->key_len = record_key_inode(e->key, id);
	snap_inode_encode(&inode, &e->value);
	if (!S_ISREG(st->st_mode))
		return;
	total_files++;
	total_bytes += (uint64_t)st->st_size;
	add_content(e, dir, name);
}

static void walk(int parent, const char *path, uint64_t id)
{
	int fd = openat(parent, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!d)
		err(1, "%s", path);
	while ((entry = readdir(d))) {
		struct stat st;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		add_dentry(id, entry->d_name, st.st_ino + 1);
		add_inode(st.st_ino + 1, &st, dirfd(d), entry->d_name);
		if (S_ISDIR(st.st_mode))
			walk(dirfd(d), entry->d_name, st.st_ino + 1);
	}
	closedir(d);
}

/* So many files in directories of 100. */
static void synthesize(uint64_t count)
{
	uint64_t dir = 1;

	for (uint64_t i = 0; i < count; i++) {
		struct stat st = {.st_mode = S_IFREG | 0644, .st_ino = next_synthetic, .st_mtim = {.tv_sec = 1700000000 + (time_t)(i * 7919 % 100000), .tv_nsec = (long)(i * 104729 % 1000000000)}};
		char name[40];
		if (i % 100 == 0) {
			snprintf(name, sizeof name, "directory-%llu", (unsigned long long)(i / 100));
			add_dentry(1, name, next_synthetic);
			dir = next_synthetic++;
			st.st_ino = next_synthetic;
		}
		snprintf(name, sizeof name, "some-file-%llu.js", (unsigned long long)(i * 2654435761u % 1000003));
		add_dentry(dir, name, next_synthetic);
		SnapInode inode = {.mode = st.st_mode, .uid = 1000, .gid = 1000, .nlink = 1, .vdev = 2049, .vino = (1ULL << 51) + next_synthetic, .have = 255, .mtime = st.st_mtim, .ctime = st.st_mtim, .atime = st.st_mtim, .btime = st.st_mtim};
		Entry *e = new_entry();
		e->key_len = record_key_inode(e->key, next_synthetic++);
		snap_inode_encode(&inode, &e->value);
		e->kept = malloc(40); /* as if it had a chunk of its own */
		e->kept_len = 0;
		total_files++;
	}
}

static double seconds(void)
{
	return (double)bv_now_ns() / 1e9;
}

static void report(const char *what, double took)
{
	SnapTraffic t = snap_store_traffic(store);
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	printf("%s=%.3f files=%llu bytes=%llu requests=%llu gets=%llu puts=%llu sent=%llu received=%llu rss_kib=%ld cpu=%.2f\n", what, took,
	       (unsigned long long)total_files, (unsigned long long)total_bytes, (unsigned long long)(t.gets + t.puts + t.others), (unsigned long long)t.gets,
	       (unsigned long long)t.puts, (unsigned long long)t.sent, (unsigned long long)t.received, usage.ru_maxrss,
	       (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
}

static void write_records(void)
{
	if (n_entries)
		qsort(entries, n_entries, sizeof *entries, by_key);
	for (size_t i = 0; i < n_entries; i++) {
		Entry *e = &entries[i];
		const uint8_t *content = e->kept;
		size_t len = e->kept_len;
		if (i && by_key(e - 1, e) == 0)
			continue; /* another name of the same file */
		if (e->number < UINT64_MAX - 1 && snap_writer_content(writer, e->number, &content, &len) < 0)
			errx(1, "%s", snap_writer_error(writer));
		Record record = {.key = e->key, .key_len = e->key_len, .content = content, .content_len = len, .value = e->value.data, .value_len = e->value.len};
		if (snap_writer_record(writer, &record) < 0)
			errx(1, "record");
	}
}

static int write_snapshot(const char *ref, const char *tree, bool synthetic)
{
	SnapWriterConfig config = {0};
	char *message = NULL;
	SnapRef newest;
	SnapReader *r;
	SnapId id;
	double start = seconds(), known_at, added_at;
	int e = snap_ref_read(store, ref, 0, &newest, &message);

	if (e == 0) {
		config.parent = &newest.id;
		if (snap_reader_open(store, &newest.id, &r, &message) < 0 || snap_reader_walk(r, NULL, 0, remember, NULL, &message) < 0)
			errx(1, "%s", message);
		snap_reader_close(r);
	}
	known_at = seconds();
	if (snap_writer_begin(store, &config, &writer, &message) < 0)
		errx(1, "%s", message);
	if (synthetic)
		synthesize(strtoull(tree, NULL, 10));
	else
		walk(AT_FDCWD, tree, 1);
	added_at = seconds();
	write_records();
	if (snap_writer_finish(writer, ref, UINT64_MAX, &id, NULL, &message) < 0)
		errx(1, "%s", message);
	printf("known=%.3f added=%.3f ", known_at - start, added_at - known_at);
	report("write", seconds() - start);
	snap_writer_free(writer);
	return 0;
}

static int count_record(void *ctx, const Record *record)
{
	size_t *n = ctx;

	(void)record;
	++*n;
	return 0;
}

static SnapReader *open_newest(const char *ref)
{
	char *message = NULL;
	SnapReader *r;
	SnapRef newest;

	if (snap_ref_read(store, ref, 0, &newest, &message) < 0 || snap_reader_open(store, &newest.id, &r, &message) < 0)
		errx(1, "%s", message);
	return r;
}

static int load(const char *ref)
{
	double start = seconds();
	char *message = NULL;
	size_t n = 0;
	SnapReader *r = open_newest(ref);

	if (snap_reader_walk(r, NULL, 0, count_record, &n, &message) < 0)
		errx(1, "%s", message);
	printf("records=%zu ", n);
	report("load", seconds() - start);
	snap_reader_close(r);
	return 0;
}

/* ---- restoring ---- */
enum { BATCH = 800 };
typedef struct File {
	char *path;
	const Entry *entry;
	uint64_t position;
	mode_t mode;
	struct timespec mtime;
} File;
static File *files;
static size_t n_files, room_files;

static int by_position(const void *a, const void *b)
{
	const File *x = a, *y = b;

	return (x->position > y->position) - (x->position < y->position);
}

/* In the order of the store, whatever the tree's is. */
static void restore_files(SnapReader *r)
{
	static SnapFetch batch[BATCH];
	char *message = NULL;

	if (n_files)
		qsort(files, n_files, sizeof *files, by_position);
	for (size_t at = 0; at < n_files;) {
		size_t n = MIN((size_t)BATCH, n_files - at);
		for (size_t i = 0; i < n; i++) {
			const File *f = &files[at + i];
			int fd = open(f->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, f->mode);
			if (fd < 0)
				err(1, "%s", f->path);
			batch[i] = (SnapFetch){.ref = f->entry->kept, .len = f->entry->kept_len, .fd = fd};
		}
		if (snap_reader_fetch_many(r, batch, n, &message) < 0)
			errx(1, "%s", message);
		for (size_t i = 0; i < n; i++) {
			const struct timespec times[2] = {files[at + i].mtime, files[at + i].mtime};
			IGNORE_RESULT(futimens(batch[i].fd, times));
			close(batch[i].fd);
		}
		at += n;
	}
}

static void restore_dir(SnapReader *r, uint64_t id, const char *path);

static void restore_one(SnapReader *r, uint64_t id, const char *path)
{
	Entry key = {0};
	SnapInode inode;
	char target[PATH_MAX];

	key.key_len = record_key_inode(key.key, id);
	const Entry *e = known(&key);
	if (!e || snap_inode_decode(e->value.data, e->value.len, &inode) < 0)
		errx(1, "%s has no inode", path);
	if (S_ISDIR(inode.mode)) {
		mkdir(path, 0700);
		restore_dir(r, id, path);
	} else if (S_ISLNK(inode.mode)) {
		snprintf(target, sizeof target, "%.*s", (int)inode.target_len, inode.target);
		if (symlink(target, path) < 0)
			err(1, "%s", path);
	} else if (S_ISREG(inode.mode)) {
		if (n_files == room_files) {
			room_files = room_files ? 2 * room_files : 1024;
			files = realloc(files, room_files * sizeof *files);
		}
		files[n_files++] = (File){strdup(path), e, snap_reader_position(r, e->kept, e->kept_len), inode.mode & 0777, inode.mtime};
		total_files++;
	}
}

static void restore_dir(SnapReader *r, uint64_t id, const char *path)
{
	Entry key = {0};
	size_t low = 0, high = n_old;

	key.key_len = record_key_dentry(key.key, id, "", 0);
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (by_key(&old[middle], &key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < n_old && old[low].key_len > 9 && memcmp(old[low].key, key.key, 9) == 0; low++) {
		SnapDentry dentry;
		CLEAN_FREE char *below = bv_asprintf("%s/%.*s", path, (int)(old[low].key_len - 9), (const char *)old[low].key + 9);
		if (snap_dentry_decode(old[low].value.data, old[low].value.len, &dentry) < 0)
			errx(1, "%s: damaged", below);
		restore_one(r, dentry.inode, below);
	}
}

static int restore(const char *ref, const char *dir)
{
	double start = seconds();
	char *message = NULL;
	SnapReader *r = open_newest(ref);

	if (snap_reader_walk(r, NULL, 0, remember, NULL, &message) < 0)
		errx(1, "%s", message);
	printf("known=%.3f ", seconds() - start);
	mkdir(dir, 0700);
	restore_dir(r, 1, dir);
	restore_files(r);
	report("restore", seconds() - start);
	snap_reader_close(r);
	return 0;
}

int main(int argc, char **argv)
{
	char *message = NULL;

	if (argc < 4)
		errx(2, "usage: snapbench write|load|restore|synth LOCATION REF [TREE|DIR|N]");
	if (object_open(argv[2], true, &objects, &message) < 0 || snap_store_open(objects, NULL, &store, &message) < 0)
		errx(1, "%s", message);
	int r = 2;
	if (strcmp(argv[1], "write") == 0 && argc == 5)
		r = write_snapshot(argv[3], argv[4], false);
	else if (strcmp(argv[1], "synth") == 0 && argc == 5)
		r = write_snapshot(argv[3], argv[4], true);
	else if (strcmp(argv[1], "restore") == 0 && argc == 5)
		r = restore(argv[3], argv[4]);
	else if (strcmp(argv[1], "load") == 0)
		r = load(argv[3]);
	snap_store_close(store);
	object_close(objects);
	return r;
}
