/* tests/unit/test_blob_conformance.c - the contract of backends/blob.h, sentence by sentence, for every row of the registry.
 *
 * Each test gets a Place: a fresh path on which the backend under test accepts a store, and the store opened there. A new backend
 * is tested as soon as it is in the registry; base_dir() says where its stores can lie. */
#include "tests/unit/blob_place.h"

#include <pthread.h>
#include <sys/wait.h>

static void make(Place *p, BlobId id, const char *text)
{
	int fd = -1;

	assert_int_equal(blob_create(p->store, id, 0644, O_RDWR, &fd), 0);
	assert_int_equal(bv_write_full(fd, text, strlen(text)), 0);
	close(fd);
}

static void expect_content(Place *p, BlobId id, const char *text)
{
	char buf[256];
	int fd = -1;

	assert_int_equal(blob_open(p->store, id, O_RDONLY, &fd), 0);
	ssize_t n = bv_read_full(fd, buf, sizeof buf - 1);
	assert_int_equal(n, strlen(text));
	assert_memory_equal(buf, text, (size_t)n);
	close(fd);
}

static struct statx stat_of(Place *p, BlobId id)
{
	struct statx st;

	assert_int_equal(blob_statx(p->store, id, STATX_BASIC_STATS, &st), 0);
	return st;
}

/* ---- opening a store ---- */

static int count_blob(void *ctx, BlobId id)
{
	(void)id;
	++*(int *)ctx;
	return 0;
}

static void a_late_store_is_made_for_its_first_blob(void **state)
{
	Place *p = *state;
	char path[160];
	BlobStore *writer = NULL, *reader = NULL;
	struct statx st;
	int fd = -1, count = 0;

	snprintf(path, sizeof path, "%s/late", p->dir);
	assert_int_equal(p->ops->open(path, BLOB_OPEN_CREATE | BLOB_OPEN_LATE, &writer, NULL), 0);
	assert_int_equal(p->ops->open(path, BLOB_OPEN_READONLY | BLOB_OPEN_LATE, &reader, NULL), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(blob_open(writer, 7, O_RDONLY, &fd), -ENOENT);
	assert_int_equal(blob_iterate(reader, count_blob, &count), 0);
	assert_int_equal(blob_create(reader, 7, 0600, O_RDWR, &fd), -EROFS);
	assert_int_equal(blob_remove(writer, 7), 0);
	assert_int_equal(blob_sync_names(writer, 1, 1000), 0); /* the end of a sandbox without a blob */
	assert_int_equal(blob_sync(writer, 0), 0);
	assert_int_equal(count, 0);
	assert_int_equal(blob_create(writer, 7, 0640, O_RDWR, &fd), 0);
	close(fd);
	assert_int_equal(blob_statx(reader, 7, STATX_MODE, &st), 0);
	assert_int_equal(st.stx_mode & 0777, 0640);
	assert_int_equal(blob_iterate(reader, count_blob, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(blob_sync(writer, 7), 0);
	blob_close(reader);
	blob_close(writer);
	assert_int_equal(p->ops->open(path, BLOB_OPEN_READONLY, &reader, NULL), 0); /* a whole store, with its marker */
	blob_close(reader);
}

static void a_store_that_is_being_made_is_an_empty_one_to_who_reads(void **state)
{
	Place *p = *state;
	char path[160];
	BlobStore *reader = NULL;
	int count = 0;

	snprintf(path, sizeof path, "%s/early", p->dir);
	assert_int_equal(mkdir(path, 0700), 0); /* its marker comes next */
	assert_int_equal(p->ops->open(path, BLOB_OPEN_READONLY | BLOB_OPEN_LATE, &reader, NULL), 0);
	assert_int_equal(blob_iterate(reader, count_blob, &count), 0);
	assert_int_equal(count, 0);
	blob_close(reader);
	assert_int_equal(p->ops->open(path, BLOB_OPEN_READONLY, &reader, NULL), -ENOENT);
}

static void open_without_create_finds_no_store(void **state)
{
	Place *p = *state;
	char path[160], *err = NULL;
	BlobStore *untouched = (BlobStore *)p;

	snprintf(path, sizeof path, "%s/none", p->dir);
	assert_int_equal(p->ops->open(path, 0, &untouched, &err), -ENOENT);
	assert_ptr_equal(untouched, p);
	assert_non_null(strstr(err, path));
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(p->ops->open(path, BLOB_OPEN_CREATE | BLOB_OPEN_READONLY, &untouched, &err), -ENOENT);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(p->ops->open(path, 0, &untouched, NULL), -ENOENT);
	free(err);
}

static void open_refuses_a_path_that_is_no_directory(void **state)
{
	Place *p = *state;
	char path[160], *err = NULL;
	BlobStore *store = NULL;

	snprintf(path, sizeof path, "%s/file", p->dir);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(p->ops->open(path, BLOB_OPEN_CREATE, &store, &err), -ENOTDIR);
	assert_non_null(strstr(err, path));
	free(err);
}

static void blobs_stay_after_close_and_reopen(void **state)
{
	Place *p = *state;

	make(p, 7, "seven");
	make(p, 5000, "five thousand");
	reopen(p, 0);
	expect_content(p, 7, "seven");
	expect_content(p, 5000, "five thousand");
	reopen(p, BLOB_OPEN_CREATE);
	expect_content(p, 7, "seven");
}

static void close_accepts_null(void **state)
{
	Place *p = *state;

	p->ops->close(NULL);
	blob_close(NULL);
}

static void write_marker(Place *p, const char *text)
{
	char path[160];

	snprintf(path, sizeof path, "%s/format", p->path);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(bv_write_full(fd, text, strlen(text)), 0);
	close(fd);
}

static void expect_refused(Place *p, int code)
{
	BlobStore *store = NULL;
	char *err = NULL;

	assert_int_equal(p->ops->open(p->path, BLOB_OPEN_CREATE, &store, &err), code);
	assert_non_null(strstr(err, p->path));
	assert_null(store);
	free(err);
}

static void a_damaged_or_newer_marker_is_refused_and_left_alone(void **state)
{
	Place *p = *state;
	char path[160], *text = NULL;

	make(p, 1, "kept");
	write_marker(p, "something else\n");
	expect_refused(p, -EUCLEAN);
	write_marker(p, "");
	expect_refused(p, -EUCLEAN);
	write_marker(p, "bvisor blobs 2\n");
	expect_refused(p, -EPROTO);
	snprintf(path, sizeof path, "%s/format", p->path);
	assert_int_equal(bv_read_file_at(AT_FDCWD, path, 4096, &text), 15);
	assert_string_equal(text, "bvisor blobs 2\n");
	free(text);
	assert_int_equal(unlink(path), 0);
	expect_refused(p, -EUCLEAN);
	assert_int_equal(access(path, F_OK), -1);
	write_marker(p, "bvisor blobs 1\n");
	reopen(p, 0);
	expect_content(p, 1, "kept");
}

static void an_empty_store_without_marker_is_started_anew(void **state)
{
	Place *p = *state;

	write_marker(p, "");
	reopen(p, BLOB_OPEN_CREATE);
	reopen(p, 0);
}

/* ---- creating ---- */

static void create_gives_an_empty_file_open_for_reading_and_writing(void **state)
{
	Place *p = *state;
	char buf[8];
	int fd = -1;
	struct stat st;

	assert_int_equal(blob_create(p->store, 1, 0644, O_RDWR, &fd), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(st.st_size, 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(pwrite(fd, "bytes", 5, 0), 5);
	assert_int_equal(pread(fd, buf, sizeof buf, 0), 5);
	assert_memory_equal(buf, "bytes", 5);
	close(fd);
}

static void create_gives_the_flags_asked_for(void **state)
{
	Place *p = *state;
	static const int flags[] = {O_RDONLY, O_WRONLY, O_RDWR, O_WRONLY | O_APPEND, O_RDWR | O_NONBLOCK, O_WRONLY | O_SYNC};
	int fd = -1;

	for (BlobId id = 1; id <= ARRAY_LEN(flags); id++) {
		assert_int_equal(blob_create(p->store, id, 0600, flags[id - 1], &fd), 0);
		assert_int_equal(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK | O_SYNC), flags[id - 1]);
		close(fd);
	}
	assert_int_equal(blob_create(p->store, 40, 0600, O_PATH, &fd), -EINVAL);
	assert_int_equal(blob_create(p->store, 40, 0600, O_TMPFILE | O_RDWR, &fd), -EINVAL);
	assert_int_equal(blob_create(p->store, 1, 0600, O_DIRECTORY | O_DIRECT, &fd), -EINVAL);
	assert_int_equal(stat_of(p, 1).stx_mode, S_IFREG | 0600); /* what is there stays */
	if (blob_create(p->store, 40, 0600, O_RDWR | O_DIRECT, &fd) == 0) {
		close(fd);
	} else { /* a file system without O_DIRECT: nothing is left behind */
		assert_int_equal(blob_create(p->store, 40, 0600, O_RDWR, &fd), 0);
		close(fd);
	}
}

static void create_gives_the_mode_whatever_the_umask_was(void **state)
{
	Place *p = *state;
	static const mode_t modes[] = {0600, 0644, 0666, 0755, 0777, 0711, 01777};
	static const mode_t umasks[] = {0, 022, 077, 0777};
	BlobId id = 1;
	int fd = -1;

	for (size_t u = 0; u < ARRAY_LEN(umasks); u++) {
		mode_t before = umask(umasks[u]);
		reopen(p, BLOB_OPEN_CREATE);
		for (size_t m = 0; m < ARRAY_LEN(modes); m++, id += 2) {
			assert_int_equal(blob_create(p->store, id, modes[m], O_RDWR, &fd), 0);
			close(fd);
			assert_int_equal(stat_of(p, id).stx_mode, S_IFREG | modes[m]);
			assert_int_equal(blob_make_node(p->store, id + 1, S_IFIFO | modes[m]), 0);
			assert_int_equal(stat_of(p, id + 1).stx_mode, S_IFIFO | modes[m]);
		}
		umask(before);
	}
}

static void create_adds_owner_bits_and_drops_set_id_bits(void **state)
{
	Place *p = *state;
	int fd = -1;

	assert_int_equal(blob_create(p->store, 1, 0, O_RDWR, &fd), 0);
	close(fd);
	assert_int_equal(stat_of(p, 1).stx_mode, S_IFREG | 0600);
	assert_int_equal(blob_create(p->store, 2, 06755, O_RDWR, &fd), 0);
	close(fd);
	assert_int_equal(stat_of(p, 2).stx_mode, S_IFREG | 0755);
}

static void create_of_an_id_that_is_there_fails_and_changes_nothing(void **state)
{
	Place *p = *state;
	int fd = -77;

	make(p, 3, "first");
	assert_int_equal(blob_create(p->store, 3, 0600, O_RDWR, &fd), -EEXIST);
	assert_int_equal(fd, -77);
	assert_int_equal(blob_make_node(p->store, 3, S_IFIFO | 0600), -EEXIST);
	expect_content(p, 3, "first");
}

static void id_zero_is_never_a_blob(void **state)
{
	Place *p = *state;
	BlobPlace place;
	struct statx st;
	int fd = -1;

	assert_int_equal(blob_create(p->store, 0, 0600, O_RDWR, &fd), -EINVAL);
	assert_int_equal(blob_make_node(p->store, 0, S_IFIFO), -EINVAL);
	assert_int_equal(blob_open(p->store, 0, O_RDONLY, &fd), -ENOENT);
	assert_int_equal(blob_statx(p->store, 0, STATX_SIZE, &st), -ENOENT);
	assert_int_equal(blob_place(p->store, 0, &place), -ENOENT);
	assert_int_equal(blob_remove(p->store, 0), 0);
}

static void fifos_are_made_and_other_nodes_refused(void **state)
{
	Place *p = *state;
	int rd = -1, wr = -1;
	char c;

	assert_int_equal(blob_make_node(p->store, 9, S_IFIFO | 0640), 0);
	assert_int_equal(blob_open(p->store, 9, O_RDONLY | O_NONBLOCK, &rd), 0);
	assert_int_equal(blob_open(p->store, 9, O_WRONLY | O_NONBLOCK, &wr), 0);
	assert_int_equal(write(wr, "x", 1), 1);
	assert_int_equal(read(rd, &c, 1), 1);
	close(rd);
	close(wr);
	assert_int_equal(blob_truncate(p->store, 9, 0), -EINVAL);
	assert_int_equal(blob_make_node(p->store, 10, S_IFCHR | 0600), -EINVAL);
	assert_int_equal(blob_make_node(p->store, 10, S_IFREG | 0600), -EINVAL);
	assert_int_equal(blob_make_node(p->store, 10, S_IFSOCK | 0600), -EINVAL);
	assert_int_equal(blob_make_node(p->store, 10, S_IFDIR | 0600), -EINVAL);
}

static void largest_ids_work(void **state)
{
	Place *p = *state;
	BlobPlace place;
	struct stat st;

	make(p, UINT64_MAX, "last");
	make(p, (BlobId)1 << 40, "far");
	expect_content(p, UINT64_MAX, "last");
	assert_int_equal(blob_place(p->store, UINT64_MAX, &place), 0);
	assert_int_equal(fstatat(place.dirfd, place.name, &st, 0), 0);
	assert_int_equal(st.st_size, 4);
}

/* ---- opening ---- */

static void open_gives_the_flags_asked_for(void **state)
{
	Place *p = *state;
	struct stat st;
	int fd = -1;

	make(p, 1, "abc");
	assert_int_equal(blob_open(p->store, 1, O_WRONLY | O_APPEND, &fd), 0);
	assert_int_equal(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND), O_WRONLY | O_APPEND);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(write(fd, "def", 3), 3);
	close(fd);
	expect_content(p, 1, "abcdef");
	assert_int_equal(blob_open(p->store, 1, O_PATH, &fd), 0);
	assert_int_equal(read(fd, &st, 1), -1);
	assert_int_equal(errno, EBADF);
	close(fd);
	assert_int_equal(blob_open(p->store, 1, O_RDONLY | O_NOATIME | O_SYNC | O_NONBLOCK, &fd), 0);
	assert_int_equal(fcntl(fd, F_GETFL) & (O_NOATIME | O_SYNC | O_NONBLOCK), O_NOATIME | O_SYNC | O_NONBLOCK);
	close(fd);
	assert_int_equal(blob_open(p->store, 1, O_RDWR | O_TRUNC, &fd), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 0);
	close(fd);
}

static void open_refuses_to_create(void **state)
{
	Place *p = *state;
	int fd = -77;

	assert_int_equal(blob_open(p->store, 1, O_RDWR | O_CREAT, &fd), -EINVAL);
	assert_int_equal(blob_open(p->store, 1, O_RDWR | O_TMPFILE, &fd), -EINVAL);
	assert_int_equal(blob_open(p->store, 1, O_RDWR, &fd), -ENOENT);
	assert_int_equal(fd, -77);
}

static void a_missing_blob_is_enoent_everywhere(void **state)
{
	Place *p = *state;
	struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
	struct statx st;
	int fd = -1;

	make(p, 1, "the shard is there");
	for (BlobId id = 2; id < 100000; id += 99990) {
		assert_int_equal(blob_open(p->store, id, O_RDONLY, &fd), -ENOENT);
		assert_int_equal(blob_statx(p->store, id, STATX_SIZE, &st), -ENOENT);
		assert_int_equal(blob_utimens(p->store, id, now), -ENOENT);
		assert_int_equal(blob_chmod(p->store, id, 0600), -ENOENT);
		assert_int_equal(blob_truncate(p->store, id, 1), -ENOENT);
		assert_int_equal(blob_remove(p->store, id), 0);
	}
}

/* ---- metadata ---- */

static void truncate_grows_with_zeros_and_shrinks(void **state)
{
	Place *p = *state;

	make(p, 1, "abcdef");
	assert_int_equal(blob_truncate(p->store, 1, 3), 0);
	expect_content(p, 1, "abc");
	assert_int_equal(blob_truncate(p->store, 1, 1 << 20), 0);
	assert_int_equal(stat_of(p, 1).stx_size, 1 << 20);
	assert_int_equal(blob_truncate(p->store, 1, 3), 0);
	expect_content(p, 1, "abc");
	assert_int_equal(blob_truncate(p->store, 1, UINT64_MAX), -EFBIG);
}

static void times_are_kept_as_given_and_omit_leaves_them(void **state)
{
	Place *p = *state;
	struct timespec first[2] = {{.tv_sec = 1000, .tv_nsec = 123456789}, {.tv_sec = 2000, .tv_nsec = 987654321}};
	struct timespec second[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 3000}};

	make(p, 1, "");
	assert_int_equal(blob_utimens(p->store, 1, first), 0);
	struct statx st = stat_of(p, 1);
	assert_int_equal(st.stx_atime.tv_sec, 1000);
	assert_int_equal(st.stx_atime.tv_nsec, 123456789);
	assert_int_equal(st.stx_mtime.tv_sec, 2000);
	assert_int_equal(st.stx_mtime.tv_nsec, 987654321);
	assert_int_equal(blob_utimens(p->store, 1, second), 0);
	st = stat_of(p, 1);
	assert_int_equal(st.stx_atime.tv_sec, 1000);
	assert_int_equal(st.stx_mtime.tv_sec, 3000);
}

static void chmod_adds_and_drops_the_bits_that_create_does(void **state)
{
	Place *p = *state;

	make(p, 1, "");
	assert_int_equal(blob_chmod(p->store, 1, 0751), 0);
	assert_int_equal(stat_of(p, 1).stx_mode, S_IFREG | 0751);
	assert_int_equal(blob_chmod(p->store, 1, 06000), 0);
	assert_int_equal(stat_of(p, 1).stx_mode, S_IFREG | 0600);
	expect_content(p, 1, "");
}

static void place_names_the_very_file(void **state)
{
	Place *p = *state;
	BlobPlace place;
	struct stat st;

	make(p, 4097, "here");
	assert_int_equal(blob_place(p->store, 4097, &place), 0);
	assert_int_equal(fstatat(place.dirfd, place.name, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_ino, stat_of(p, 4097).stx_ino);
	assert_int_equal(blob_place(p->store, 4098, &place), 0); /* not looked at */
}

/* ---- removing ---- */

static void remove_is_idempotent_and_spares_open_files(void **state)
{
	Place *p = *state;
	char buf[8];
	int fd = -1, again = -1;

	make(p, 1, "alive");
	assert_int_equal(blob_open(p->store, 1, O_RDWR, &fd), 0);
	assert_int_equal(blob_remove(p->store, 1), 0);
	assert_int_equal(blob_remove(p->store, 1), 0);
	assert_int_equal(blob_open(p->store, 1, O_RDONLY, &again), -ENOENT);
	assert_int_equal(pread(fd, buf, sizeof buf, 0), 5);
	assert_memory_equal(buf, "alive", 5);
	assert_int_equal(pwrite(fd, "A", 1, 0), 1);
	close(fd);
	reopen(p, 0);
	assert_int_equal(blob_open(p->store, 1, O_RDONLY, &again), -ENOENT);
}

/* ---- durability: that the calls answer; that bytes survive is what the kill tests check ---- */

static void sync_succeeds_for_one_and_for_all(void **state)
{
	Place *p = *state;

	make(p, 1, "one");
	make(p, 2048, "another shard");
	assert_int_equal(blob_make_node(p->store, 3, S_IFIFO | 0600), 0);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(blob_sync(p->store, 1), 0);
		assert_int_equal(blob_sync(p->store, 2048), 0);
		assert_int_equal(blob_sync(p->store, 3), 0);
		assert_int_equal(blob_sync(p->store, 0), 0);
		make(p, (BlobId)100 + (unsigned)round, "new name in a synced shard");
	}
	if (p->ops->durable)
		assert_int_equal(blob_sync(p->store, 77), -ENOENT);
}

/* ---- iterate ---- */

typedef struct Seen {
	Place *place;
	BlobId last, count, stop_at;
	bool remove;
} Seen;

static int see(void *ctx, BlobId id)
{
	Seen *seen = ctx;

	assert_true(id > seen->last);
	seen->last = id;
	seen->count++;
	if (seen->remove)
		assert_int_equal(blob_remove(seen->place->store, id), 0);
	return id == seen->stop_at ? 42 : 0;
}

static void iterate_shows_every_blob_once_in_order(void **state)
{
	Place *p = *state;
	Seen seen = {.place = p};

	assert_int_equal(blob_iterate(p->store, see, &seen), 0);
	assert_int_equal(seen.count, 0);
	for (BlobId id = 1; id <= 3000; id += 3)
		make(p, id, "");
	assert_int_equal(blob_make_node(p->store, 100000, S_IFIFO), 0);
	assert_int_equal(blob_iterate(p->store, see, &seen), 0);
	assert_int_equal(seen.count, 1001);
	assert_int_equal(seen.last, 100000);
}

static void iterate_stops_at_a_non_zero_answer(void **state)
{
	Place *p = *state;
	Seen seen = {.place = p, .stop_at = 1500};

	for (BlobId id = 1; id <= 3000; id += 1)
		make(p, id, "");
	assert_int_equal(blob_iterate(p->store, see, &seen), 42);
	assert_int_equal(seen.count, 1500);
}

static void the_visitor_may_remove_what_it_is_shown(void **state)
{
	Place *p = *state;
	Seen seen = {.place = p, .remove = true};

	for (BlobId id = 1; id <= 3000; id++)
		make(p, id, "");
	assert_int_equal(blob_iterate(p->store, see, &seen), 0);
	assert_int_equal(seen.count, 3000);
	seen = (Seen){.place = p};
	assert_int_equal(blob_iterate(p->store, see, &seen), 0);
	assert_int_equal(seen.count, 0);
}

static void iterate_ignores_names_that_are_no_blobs(void **state)
{
	Place *p = *state;
	Seen seen = {.place = p};
	static const char *const strays[] = {"0/01", "0/A", "0/0", "0/5.tmp", "0/fffffffffffffffff", "0/401", "stray"};
	char path[200];

	make(p, 1, "");
	for (size_t i = 0; i < ARRAY_LEN(strays); i++) {
		snprintf(path, sizeof path, "%s/%s", p->path, strays[i]);
		close(open(path, O_CREAT | O_WRONLY, 0600));
	}
	assert_int_equal(blob_iterate(p->store, see, &seen), 0);
	assert_int_equal(seen.count, 1);
}

/* ---- read-only stores ---- */

static void a_readonly_store_refuses_every_change_and_reads(void **state)
{
	Place *p = *state;
	struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
	int fd = -1;

	make(p, 1, "read me");
	reopen(p, BLOB_OPEN_READONLY);
	expect_content(p, 1, "read me");
	assert_int_equal(stat_of(p, 1).stx_size, 7);
	assert_int_equal(blob_create(p->store, 2, 0600, O_RDWR, &fd), -EROFS);
	assert_int_equal(blob_make_node(p->store, 2, S_IFIFO | 0600), -EROFS);
	assert_int_equal(blob_open(p->store, 1, O_RDWR, &fd), -EROFS);
	assert_int_equal(blob_open(p->store, 1, O_WRONLY, &fd), -EROFS);
	assert_int_equal(blob_open(p->store, 1, O_RDONLY | O_TRUNC, &fd), -EROFS);
	assert_int_equal(blob_utimens(p->store, 1, now), -EROFS);
	assert_int_equal(blob_chmod(p->store, 1, 0600), -EROFS);
	assert_int_equal(blob_truncate(p->store, 1, 0), -EROFS);
	assert_int_equal(blob_remove(p->store, 1), -EROFS);
	assert_int_equal(blob_sync(p->store, 1), 0);
	Seen seen = {.place = p};
	assert_int_equal(blob_iterate(p->store, see, &seen), 0);
	assert_int_equal(seen.count, 1);
	expect_content(p, 1, "read me");
}

/* Runs body in a child that has no capability to write where it has no permission. True if the body returned true. */
static bool as_ordinary_user(bool (*body)(Place *p), Place *p)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		if (geteuid() == 0 && (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0))
			_exit(2);
		_exit(body(p) ? 0 : 1);
	}
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool open_is_refused(Place *p)
{
	BlobStore *store = NULL;
	char *err = NULL, below[160];

	if (p->ops->open(p->path, BLOB_OPEN_CREATE, &store, &err) != -EACCES || !err || !strstr(err, p->path))
		return false;
	snprintf(below, sizeof below, "%s/new", p->path);
	return p->ops->open(below, BLOB_OPEN_CREATE, &store, &err) == -EACCES && strstr(err, below);
}

static void an_unwritable_path_is_refused_with_its_name(void **state)
{
	Place *p = *state;

	assert_int_equal(chmod(p->dir, 0755), 0);
	char above[160];
	snprintf(above, sizeof above, "%s/a", p->dir);
	assert_int_equal(chmod(above, 0755), 0);
	assert_int_equal(chmod(p->path, 0555), 0);
	assert_true(as_ordinary_user(open_is_refused, p));
	assert_int_equal(chmod(p->path, 0755), 0);
}

/* ---- threads ---- */

enum { THREADS = 8, ROUNDS = 400 };

typedef struct Worker {
	Place *place;
	unsigned number;
	unsigned wins; /* ids that all threads try to create */
	bool ok;
} Worker;

static bool own_blob_round(BlobStore *store, BlobId id)
{
	char buf[32], back[32];
	int fd = -1, len = snprintf(buf, sizeof buf, "blob %ju", (uintmax_t)id);
	struct statx st;
	bool ok;

	if (blob_create(store, id, 0644, O_RDWR, &fd) < 0)
		return false;
	ok = bv_write_full(fd, buf, (size_t)len) == 0;
	close(fd);
	if (id % 100 == 0)
		ok = ok && blob_sync(store, id) == 0;
	ok = ok && blob_statx(store, id, STATX_SIZE, &st) == 0 && st.stx_size == (uint64_t)len;
	if (!ok || blob_open(store, id, O_RDONLY, &fd) < 0)
		return false;
	ok = bv_read_full(fd, back, sizeof back) == len && memcmp(buf, back, (size_t)len) == 0;
	close(fd);
	return ok && (id % 2 || blob_remove(store, id) == 0);
}

static void *work(void *arg)
{
	Worker *w = arg;
	int fd = -1;

	w->ok = true;
	for (unsigned i = 0; i < ROUNDS && w->ok; i++) {
		int r = blob_create(w->place->store, 1000000 + i * 50, 0600, O_RDWR, &fd);
		if (r == 0) {
			w->wins++;
			close(fd);
		} else if (r != -EEXIST) {
			w->ok = false;
		}
		w->ok = w->ok && own_blob_round(w->place->store, 1 + i * THREADS + w->number);
	}
	return NULL;
}

static void eight_threads_share_a_store(void **state)
{
	Place *p = *state;
	Worker workers[THREADS];
	pthread_t threads[THREADS];
	unsigned wins = 0;

	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (Worker){.place = p, .number = i};
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_true(workers[i].ok);
		wins += workers[i].wins;
	}
	assert_int_equal(wins, ROUNDS); /* exclusive: one thread made each shared id */
	Seen seen = {.place = p};
	assert_int_equal(blob_iterate(p->store, see, &seen), 0);
	assert_int_equal(seen.count, ROUNDS + ROUNDS * THREADS / 2);
}

/* ---- backends that need a certain place ---- */

static void tmpfs_refuses_another_file_system(void **state)
{
	const BlobOps *tmpfs = blob_ops_find("tmpfs");
	BlobStore *store = NULL;
	char dir[] = "/proc/self", *err = NULL;

	(void)state;
	assert_non_null(tmpfs);
	assert_int_equal(tmpfs->open(dir, 0, &store, &err), -EINVAL);
	assert_non_null(strstr(err, "tmpfs"));
	free(err);
}

static void the_registry_finds_its_rows_and_nothing_else(void **state)
{
	(void)state;
	for (const BlobOps *const *row = blob_ops_all(); *row; row++)
		assert_ptr_equal(blob_ops_find((*row)->scheme), *row);
	assert_non_null(blob_ops_find("dir"));
	assert_true(blob_ops_find("dir")->durable);
	assert_false(blob_ops_find("tmpfs")->durable);
	assert_null(blob_ops_find("di"));
	assert_null(blob_ops_find(""));
}

static const struct CMUnitTest body[] = {
	T(open_without_create_finds_no_store),
	T(open_refuses_a_path_that_is_no_directory),
	T(blobs_stay_after_close_and_reopen),
	T(close_accepts_null),
	T(a_damaged_or_newer_marker_is_refused_and_left_alone),
	T(an_empty_store_without_marker_is_started_anew),
	T(create_gives_an_empty_file_open_for_reading_and_writing),
	T(create_gives_the_flags_asked_for),
	T(create_gives_the_mode_whatever_the_umask_was),
	T(create_adds_owner_bits_and_drops_set_id_bits),
	T(create_of_an_id_that_is_there_fails_and_changes_nothing),
	T(id_zero_is_never_a_blob),
	T(fifos_are_made_and_other_nodes_refused),
	T(largest_ids_work),
	T(open_gives_the_flags_asked_for),
	T(open_refuses_to_create),
	T(a_missing_blob_is_enoent_everywhere),
	T(a_late_store_is_made_for_its_first_blob),
	T(a_store_that_is_being_made_is_an_empty_one_to_who_reads),
	T(truncate_grows_with_zeros_and_shrinks),
	T(times_are_kept_as_given_and_omit_leaves_them),
	T(chmod_adds_and_drops_the_bits_that_create_does),
	T(place_names_the_very_file),
	T(remove_is_idempotent_and_spares_open_files),
	T(sync_succeeds_for_one_and_for_all),
	T(iterate_shows_every_blob_once_in_order),
	T(iterate_stops_at_a_non_zero_answer),
	T(the_visitor_may_remove_what_it_is_shown),
	T(iterate_ignores_names_that_are_no_blobs),
	T(a_readonly_store_refuses_every_change_and_reads),
	T(an_unwritable_path_is_refused_with_its_name),
	T(eight_threads_share_a_store),
};

int main(void)
{
	static const struct CMUnitTest once[] = {
		cmocka_unit_test(tmpfs_refuses_another_file_system),
		cmocka_unit_test(the_registry_finds_its_rows_and_nothing_else),
	};
	int failed = cmocka_run_group_tests(once, NULL, NULL);

	failed += run_for_all(body, ARRAY_LEN(body));
	return failed ? 1 : 0;
}
