/* tests/unit/test_blob_snapshots.c - the second half of the contract of backends/blob.h, for every row of the registry: what is kept for a snapshot, and blobs that
 * are still in the store of one. */
#include "tests/unit/blob_place.h"

#include <pthread.h>
#include <sys/mman.h>

static void assert_kept(Place *p, BlobId id, const char *text)
{
	char buf[32] = "";
	int fd;

	assert_int_equal(blob_open_kept(p->store, id, &fd), 0);
	assert_int_equal(bv_read_full(fd, buf, sizeof buf - 1), strlen(text));
	assert_string_equal(buf, text);
	close(fd);
}

static int no_blob(void *ctx, BlobId id)
{
	(void)ctx;
	fail_msg("blob %ju is shown", (uintmax_t)id);
	return 0;
}

static void what_is_kept_stays_until_it_is_dropped(void **state)
{
	const struct timespec times[2] = {{5, 6}, {7, 8}};
	Place *p = *state;
	struct stat st;
	int fd, kept;

	assert_int_equal(blob_drop_kept(p->store), 0);
	assert_int_equal(blob_open_kept(p->store, 4, &fd), -ENOENT);
	assert_int_equal(blob_keep(p->store, 4, 0), -ENOENT);
	assert_int_equal(blob_keep(p->store, 4, BLOB_KEEP_MOVE), -ENOENT);
	assert_int_equal(blob_create(p->store, 4, 0600, O_RDWR, &fd), 0);
	assert_int_equal(bv_write_full(fd, "first", 5), 0);
	assert_int_equal(blob_utimens(p->store, 4, times), 0);
	assert_int_equal(blob_keep(p->store, 4, BLOB_KEEP_CLONE), 0);
	assert_int_equal(pwrite(fd, "secon", 5, 0), 5);
	assert_int_equal(blob_keep(p->store, 4, BLOB_KEEP_CLONE), 0); /* the first one stays */
	assert_kept(p, 4, "first");
	assert_int_equal(blob_open_kept(p->store, 4, &kept), 0);
	assert_int_equal(fstat(kept, &st), 0);
	assert_true(st.st_atim.tv_sec == 5 && st.st_mtim.tv_sec == 7 && st.st_mtim.tv_nsec == 8);
	close(kept);
	assert_int_equal(blob_keep(p->store, 4, BLOB_KEEP_MOVE), 0);
	assert_kept(p, 4, "first");
	close(fd);
	assert_int_equal(blob_create(p->store, 5, 0600, O_RDWR, &fd), 0);
	assert_int_equal(bv_write_full(fd, "moved", 5), 0);
	close(fd);
	assert_int_equal(blob_keep(p->store, 5, BLOB_KEEP_MOVE), 0);
	assert_kept(p, 5, "moved");
	assert_int_equal(blob_iterate(p->store, no_blob, NULL), 0);
	assert_int_equal(blob_drop_kept(p->store), 0);
	assert_int_equal(blob_open_kept(p->store, 5, &fd), -ENOENT);
	reopen(p, BLOB_OPEN_READONLY);
	assert_int_equal(blob_keep(p->store, 5, 0), -EROFS);
	assert_int_equal(blob_drop_kept(p->store), -EROFS);
}

static _Atomic unsigned fetches, released;

static int fetch_text(void *ctx, const char *source, const void *ref, size_t len, int fd, char **err)
{
	assert_ptr_equal(ctx, &fetches);
	assert_string_equal(source, "over there");
	fetches++;
	usleep(2000);
	if (len == 5 && memcmp(ref, "seven", 5) == 0)
		*err = strdup("soon gone");
	return len == 3 && memcmp(ref, "bad", 3) == 0 ? bv_fail(err, -ETIMEDOUT, "no answer") : bv_write_full(fd, ref, len);
}

static void note_release(void *ctx)
{
	assert_ptr_equal(ctx, &fetches);
	released++;
}

static void *open_seven(void *ctx)
{
	Place *p = ctx;
	int fd = -1;

	assert_int_equal(blob_open(p->store, 7, O_RDONLY, &fd), 0);
	close(fd);
	return NULL;
}

static void assert_blob(Place *p, BlobId id, const char *text)
{
	char buf[32] = "";
	int fd;

	assert_int_equal(blob_open(p->store, id, O_RDONLY, &fd), 0);
	assert_int_equal(bv_read_full(fd, buf, sizeof buf - 1), strlen(text));
	assert_string_equal(buf, text);
	close(fd);
}

static void reopen_fetching(Place *p, unsigned flags)
{
	reopen(p, flags);
	assert_string_equal(blob_source(p->store), "over there");
	blob_set_fetch(p->store, fetch_text, NULL, &fetches, note_release);
}

static void remote_blobs_are_fetched_once_and_only_when_needed(void **state)
{
	const BlobRemote list[] = {{.id = 7, .size = 5, .times = {{5, 6}, {7, 8}}, .mode = 0640, .ref = "seven", .ref_len = 5}, {.id = 9, .size = 3, .ref = "bad", .ref_len = 3},
				   {.id = 3000, .size = 4, .ref = "more", .ref_len = 4}, {.id = 3001, .size = 9, .ref = "short", .ref_len = 5}};
	Place *p = *state;
	pthread_t threads[8];
	struct statx st;
	const void *ref;
	size_t len;
	int fd;

	fetches = released = 0;
	assert_null(blob_source(p->store));
	assert_true(blob_is_here(p->store, 7));
	assert_int_equal(blob_put_remote(p->store, "over there", list, ARRAY_LEN(list)), 0);
	reopen_fetching(p, 0);
	assert_int_equal(blob_statx(p->store, 7, STATX_BASIC_STATS, &st), 0);
	assert_true(st.stx_size == 5 && st.stx_mtime.tv_sec == 7 && st.stx_mtime.tv_nsec == 8 && S_ISREG(st.stx_mode) && !(st.stx_mask & STATX_INO));
	assert_int_equal(blob_remote_ref(p->store, 7, NULL, &ref, &len), 0);
	assert_true(len == 5 && memcmp(ref, "seven", 5) == 0);
	assert_int_equal(blob_statx(p->store, 8, STATX_SIZE, &st), -ENOENT);
	assert_int_equal(blob_fetch(p->store, 8), -ENOENT);
	assert_int_equal(blob_iterate(p->store, no_blob, NULL), 0);
	assert_int_equal(blob_sync(p->store, 7), 0);
	assert_int_equal(blob_keep(p->store, 7, 0), 0);
	assert_int_equal(fetches, 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, open_seven, p), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(fetches, 1);
	assert_blob(p, 7, "seven");
	assert_int_equal(blob_statx(p->store, 7, STATX_BASIC_STATS, &st), 0);
	assert_true((st.stx_mask & STATX_INO) && st.stx_mtime.tv_sec == 7 && (st.stx_mode & 0777) == 0640);
	assert_int_equal(blob_remote_ref(p->store, 7, NULL, &ref, &len), -ENOENT);
	assert_int_equal(blob_open(p->store, 9, O_RDONLY, &fd), -ETIMEDOUT);
	CLEAN_FREE char *why = blob_fetch_error(p->store);
	assert_string_equal(why, "no answer");
	CLEAN_FREE char *remark = blob_fetch_error(p->store); /* of seven, which could be fetched */
	assert_string_equal(remark, "soon gone");
	assert_null(blob_fetch_error(p->store));
	assert_int_equal(blob_fetch(p->store, 3001), -EIO); /* not what was promised */
	free(blob_fetch_error(p->store));
	assert_false(blob_is_here(p->store, 3001));
	assert_int_equal(blob_open(p->store, 3000, O_WRONLY | O_APPEND, &fd), 0);
	assert_int_equal(bv_write_full(fd, "+", 1), 0);
	close(fd);
	reopen_fetching(p, BLOB_OPEN_READONLY);
	assert_blob(p, 3000, "more+"); /* what was changed here counts */
	assert_int_equal(blob_remove(p->store, 3000), -EROFS);
	reopen_fetching(p, 0);
	assert_int_equal(blob_remove(p->store, 7), 0);
	reopen_fetching(p, BLOB_OPEN_READONLY);
	assert_blob(p, 7, "seven"); /* a copy: nothing is written */
	assert_false(blob_is_here(p->store, 7));
	assert_int_equal(blob_fetch(p->store, 7), -EROFS);
	assert_int_equal(released, 3);
}

static bool is_clean(Place *p, BlobId id)
{
	struct statx st;
	const void *ref;
	size_t len;

	return blob_statx(p->store, id, STATX_BASIC_STATS, &st) == 0 && (st.stx_mask & STATX_INO) && blob_remote_ref(p->store, id, &st, &ref, &len) == 0;
}

static void open_and_close(Place *p, BlobId id, int flags)
{
	int fd = -1;

	assert_int_equal(blob_open(p->store, id, flags, &fd), 0);
	close(fd);
}

static size_t count_clean(Place *p, uint64_t *total)
{
	BlobClean *list = NULL;
	size_t n = 0;

	assert_int_equal(blob_list_clean(p->store, total, &list, &n), 0);
	for (size_t i = 0; i < n; i++)
		assert_true(list[i].bytes > 0 && list[i].bytes <= *total);
	free(list);
	return n;
}

static void what_was_not_changed_can_go_and_comes_again(void **state)
{
	const BlobRemote list[] = {{.id = 7, .size = 5, .mode = 0640, .ref = "seven", .ref_len = 5}, {.id = 9, .size = 4, .ref = "nine", .ref_len = 4}, {.id = 11, .size = 6, .ref = "eleven", .ref_len = 6},
				   {.id = 12, .size = 6, .ref = "twelve", .ref_len = 6}};
	const struct timespec times[2] = {{1, 2}, {3, 4}};
	Place *p = *state;
	uint64_t total;
	int fd = -1;

	fetches = released = 0;
	assert_int_equal(blob_put_remote(p->store, "over there", list, ARRAY_LEN(list)), 0);
	reopen_fetching(p, 0);
	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		open_and_close(p, list[i].id, O_RDONLY);
	assert_int_equal(fetches, 4);
	assert_int_equal(blob_create(p->store, 20, 0600, O_WRONLY, &fd), 0);
	assert_int_equal(bv_write_full(fd, "mine", 4), 0);
	close(fd);
	assert_int_equal(count_clean(p, &total), 4);
	assert_int_equal(blob_drop(p->store, 20), -ENOENT); /* nobody else has it */

	open_and_close(p, 9, O_WRONLY); /* nothing was written, but could have been */
	assert_false(is_clean(p, 9));
	assert_int_equal(blob_drop(p->store, 9), -ENOENT);
	assert_int_equal(blob_utimens(p->store, 11, times), 0);
	assert_false(is_clean(p, 11));
	assert_int_equal(blob_chmod(p->store, 12, 0600), 0);
	assert_false(is_clean(p, 12));

	assert_int_equal(blob_open(p->store, 7, O_RDONLY, &fd), 0);
	assert_true(is_clean(p, 7));
	assert_int_equal(blob_drop(p->store, 7), -EBUSY);
	void *map = mmap(NULL, 5, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	assert_int_equal(blob_drop(p->store, 7), -EBUSY);
	munmap(map, 5);
	reopen_fetching(p, BLOB_OPEN_READONLY);
	assert_true(is_clean(p, 7)); /* known to who only reads, too */
	assert_false(is_clean(p, 9));
	assert_int_equal(blob_drop(p->store, 7), -EROFS);
	reopen_fetching(p, 0);
	assert_int_equal(count_clean(p, &total), 1);
	assert_int_equal(blob_drop(p->store, 7), 0);
	assert_false(blob_is_here(p->store, 7));
	assert_int_equal(blob_drop(p->store, 7), -ENOENT);
	assert_blob(p, 7, "seven");
	assert_int_equal(fetches, 5);
	assert_true(is_clean(p, 7));
	assert_int_equal(blob_drop(p->store, 1000), -ENOENT);
}

static void a_newer_list_replaces_the_one_in_use(void **state)
{
	const BlobRemote first[] = {{.id = 7, .size = 5, .ref = "seven", .ref_len = 5}};
	Place *p = *state;
	BlobStore *other = NULL;
	struct statx st;
	uint64_t total;
	char *err = NULL;
	int fd = -1;

	fetches = released = 0;
	blob_set_fetch(p->store, fetch_text, NULL, &fetches, note_release);
	assert_int_equal(blob_create(p->store, 3, 0600, O_WRONLY, &fd), 0);
	assert_int_equal(bv_write_full(fd, "three", 5), 0);
	close(fd);
	assert_int_equal(count_clean(p, &total), 0);
	assert_int_equal(blob_statx(p->store, 3, STATX_BASIC_STATS, &st), 0);
	/* Another process has stored it. */
	assert_int_equal(p->ops->open(p->path, 0, &other, &err), 0);
	const BlobRemote second[] = {{.id = 3, .size = 5, .ref = "three", .ref_len = 5, .times = {{1, 1}, {st.stx_mtime.tv_sec, st.stx_mtime.tv_nsec}}, .here_known = true, .here_ino = st.stx_ino,
				      .here_ctime = {st.stx_ctime.tv_sec, st.stx_ctime.tv_nsec}}, first[0]};
	assert_int_equal(blob_put_remote(other, "over there", second, ARRAY_LEN(second)), 0);
	blob_close(other);
	assert_true(blob_is_here(p->store, 7)); /* not known yet */
	assert_int_equal(blob_reload_remote(p->store, &err), 0);
	assert_false(blob_is_here(p->store, 7));
	assert_blob(p, 7, "seven");
	assert_int_equal(count_clean(p, &total), 2);
	assert_int_equal(blob_drop(p->store, 3), 0);
	assert_blob(p, 3, "three");
	open_and_close(p, 3, O_RDWR);
	assert_false(is_clean(p, 3));
	/* The one before it, put once more, says nothing of what is here now. */
	assert_int_equal(blob_put_remote(p->store, "over there", second, ARRAY_LEN(second)), 0);
	assert_int_equal(blob_reload_remote(p->store, &err), 0);
	assert_false(is_clean(p, 3));
	assert_false(is_clean(p, 7));
	assert_int_equal(fetches, 2);
	assert_int_equal(released, 0);
}

typedef struct Record {
	uint64_t id, ino;
	int64_t ctime;
	uint64_t flags;
} Record;

/* As if the machine was started anew; `spoil` (may be NULL) is asked for each record, false: it and what follows did not reach the disk. */
static void start_machine(Place *p, bool (*spoil)(Record *record))
{
	char path[160], byte = 0;
	Record record;
	off_t at = 64;

	blob_close(TAKE_PTR(p->store));
	snprintf(path, sizeof path, "%s/remote.here", p->path);
	int fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, &byte, 1, 24), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, 24), 1);
	for (; spoil && pread(fd, &record, sizeof record, at) == sizeof record; at += (off_t)sizeof record) {
		if (!spoil(&record)) {
			assert_int_equal(ftruncate(fd, at), 0);
			break;
		}
		assert_int_equal(pwrite(fd, &record, sizeof record, at), sizeof record);
	}
	close(fd);
}

static bool no_mark(Record *record)
{
	if (record->flags & 2)
		record->ino = 0;
	return true;
}

static bool nothing_of_seven(Record *record)
{
	return record->id != 7;
}

static void open_store(Place *p, unsigned flags)
{
	assert_int_equal(p->ops->open(p->path, flags, &p->store, NULL), 0);
	blob_set_fetch(p->store, fetch_text, NULL, &fetches, note_release);
}

static void fill_remote_place(Place *p)
{
	struct statx st;
	int fd = -1;

	fetches = released = 0;
	assert_int_equal(blob_create(p->store, 3, 0600, O_WRONLY, &fd), 0);
	assert_int_equal(bv_write_full(fd, "three", 5), 0);
	close(fd);
	assert_int_equal(blob_statx(p->store, 3, STATX_BASIC_STATS, &st), 0);
	const BlobRemote list[] = {{.id = 3, .size = 5, .ref = "three", .ref_len = 5, .times = {{1, 1}, {st.stx_mtime.tv_sec, st.stx_mtime.tv_nsec}}, .here_known = true, .here_ino = st.stx_ino,
				    .here_ctime = {st.stx_ctime.tv_sec, st.stx_ctime.tv_nsec}},
				   {.id = 7, .size = 5, .ref = "seven", .ref_len = 5, .times = {{1, 2}, {3, 4}}}, {.id = 9, .size = 4, .ref = "nine", .ref_len = 4, .times = {{1, 2}, {3, 4}}},
				   {.id = 11, .size = 6, .ref = "eleven", .ref_len = 6, .times = {{1, 2}, {3, 4}}}};
	assert_int_equal(blob_put_remote(p->store, "over there", list, ARRAY_LEN(list)), 0);
	reopen_fetching(p, 0);
	open_and_close(p, 9, O_RDONLY);
	open_and_close(p, 7, O_RDONLY);
	assert_int_equal(blob_open(p->store, 11, O_RDWR | O_TRUNC, &fd), 0);
	assert_int_equal(bv_write_full(fd, "mine", 4), 0);
	close(fd);
	assert_int_equal(fetches, 3);
}

/* What had reached the disk stays, and is still known to be as it was fetched; what was changed stays. */
static void what_was_fetched_stays_when_the_machine_is_started_anew(void **state)
{
	Place *p = *state;

	if (!p->ops->durable)
		return; /* with the machine all of it goes */
	fill_remote_place(p);
	start_machine(p, NULL);
	for (unsigned flags = BLOB_OPEN_READONLY;; flags = 0) {
		open_store(p, flags);
		for (BlobId id = 3; id <= 11; id += id == 3 ? 4 : 2)
			assert_true(blob_is_here(p->store, id));
		assert_true(is_clean(p, 7));
		assert_false(is_clean(p, 11));
		assert_blob(p, 11, "mine");
		if (!flags)
			break;
		blob_close(TAKE_PTR(p->store));
	}
	assert_int_equal(fetches, 3);
}

/* A power cut: what was not made durable may have lost bytes, and comes again. */
static void what_may_have_lost_bytes_is_fetched_again(void **state)
{
	Place *p = *state;
	struct statx st;
	int fd = -1;

	fill_remote_place(p);
	start_machine(p, no_mark);
	/* Who only looks, before anybody has started a command. */
	assert_int_equal(p->ops->open(p->path, BLOB_OPEN_READONLY, &p->store, NULL), 0);
	assert_true(blob_is_here(p->store, 3) && blob_is_here(p->store, 11) && !blob_is_here(p->store, 7));
	assert_int_equal(blob_statx(p->store, 7, STATX_INO, &st), 0);
	assert_false(st.stx_mask & STATX_INO);
	assert_int_equal(blob_open(p->store, 7, O_RDONLY, &fd), -EIO); /* nobody fetches here */
	free(blob_fetch_error(p->store));
	blob_close(TAKE_PTR(p->store));
	open_store(p, 0);
	assert_true(blob_is_here(p->store, 3) && blob_is_here(p->store, 11) && !blob_is_here(p->store, 7) && !blob_is_here(p->store, 9));
	assert_blob(p, 11, "mine");
	assert_blob(p, 3, "three");
	assert_int_equal(fetches, 3);
	assert_blob(p, 7, "seven");
	assert_blob(p, 9, "nine");
	assert_int_equal(fetches, 5);
	/* Even the record is lost: only what is shorter than it should be is doubted. */
	for (int torn = 0; torn < 2; torn++) {
		BlobPlace place;
		blob_close(TAKE_PTR(p->store));
		open_store(p, 0);
		assert_int_equal(blob_place(p->store, 7, &place), 0);
		if (torn)
			fd = openat(place.dirfd, place.name, O_WRONLY | O_TRUNC);
		if (torn)
			close(fd);
		assert_int_equal(utimensat(place.dirfd, place.name, (struct timespec[2]){{1, 2}, {3, 4}}, 0), 0);
		start_machine(p, nothing_of_seven);
		open_store(p, 0);
		assert_int_equal(blob_is_here(p->store, 7), !torn);
	}
}

/* Written in place with its time kept, while nothing was known of it: no reason to take it for what was fetched. */
static void what_was_written_is_never_taken_for_what_was_fetched(void **state)
{
	Place *p = *state;
	char path[160];
	int fd = -1;

	fill_remote_place(p);
	blob_close(TAKE_PTR(p->store));
	snprintf(path, sizeof path, "%s/remote.here", p->path);
	assert_int_equal(unlink(path), 0);
	open_store(p, 0);
	assert_int_equal(blob_open(p->store, 7, O_RDWR, &fd), 0);
	assert_int_equal(pwrite(fd, "S", 1, 0), 1);
	assert_int_equal(ftruncate(fd, 4), 0);
	assert_int_equal(futimens(fd, (struct timespec[2]){{1, 2}, {3, 4}}), 0);
	assert_int_equal(fsync(fd), 0);
	close(fd);
	start_machine(p, no_mark);
	open_store(p, 0);
	assert_blob(p, 7, "Seve");
}

static void a_damaged_memory_of_what_is_here_is_none(void **state)
{
	const BlobRemote list[] = {{.id = 7, .size = 5, .ref = "seven", .ref_len = 5}};
	Place *p = *state;
	char path[160];
	struct stat st;

	fetches = released = 0;
	assert_int_equal(blob_put_remote(p->store, "over there", list, 1), 0);
	snprintf(path, sizeof path, "%s/remote.here", p->path);
	for (int damage = 0; damage < 4; damage++) {
		reopen_fetching(p, 0);
		IGNORE_RESULT(blob_remove(p->store, 7));
		open_and_close(p, 7, O_RDONLY);
		assert_true(is_clean(p, 7));
		assert_int_equal(stat(path, &st), 0);
		int fd = open(path, O_RDWR);
		if (damage == 0)
			assert_int_equal(ftruncate(fd, st.st_size - 1), 0); /* torn */
		else if (damage == 1)
			assert_int_equal(pwrite(fd, "x", 1, 20), 1); /* of another list */
		else if (damage == 2)
			assert_int_equal(pwrite(fd, "x", 1, 26), 1); /* of another start of the machine */
		else
			assert_int_equal(unlink(path), 0);
		close(fd);
		reopen_fetching(p, 0);
		assert_int_equal(is_clean(p, 7), p->ops->durable && (damage == 0 || damage == 2)); /* what is torn is the mark then; it had reached the disk */
		assert_blob(p, 7, "seven");
	}
}

static void damaged_remote_lists_are_refused(void **state)
{
	const BlobRemote list[] = {{.id = 7, .size = 5, .ref = "seven", .ref_len = 5}}, unsorted[] = {{.id = 7}, {.id = 7}};
	Place *p = *state;
	char path[160], *err = NULL;
	unsigned char byte;

	assert_int_equal(blob_put_remote(p->store, "x", unsorted, 2), -EINVAL);
	assert_int_equal(blob_put_remote(p->store, "x", list, 1), 0);
	blob_close(TAKE_PTR(p->store));
	snprintf(path, sizeof path, "%s/remote", p->path);
	int fd = open(path, O_RDWR);
	off_t size = lseek(fd, 0, SEEK_END);
	assert_true(fd >= 0 && size > 0);
	for (off_t at = 0; at < size; at++) {
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 0x10;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		assert_int_equal(p->ops->open(p->path, 0, &p->store, &err), -EUCLEAN);
		assert_non_null(strstr(err, p->path));
		free(TAKE_PTR(err));
		byte ^= 0x10;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	for (off_t len = size - 1; len >= 0; len--) {
		assert_int_equal(ftruncate(fd, len), 0);
		assert_int_equal(p->ops->open(p->path, 0, &p->store, &err), -EUCLEAN);
		free(TAKE_PTR(err));
	}
	close(fd);
	unlink(path);
	reopen(p, 0);
}

static const struct CMUnitTest body[] = {
	T(what_is_kept_stays_until_it_is_dropped),
	T(remote_blobs_are_fetched_once_and_only_when_needed),
	T(what_was_not_changed_can_go_and_comes_again),
	T(a_newer_list_replaces_the_one_in_use),
	T(what_was_fetched_stays_when_the_machine_is_started_anew),
	T(what_may_have_lost_bytes_is_fetched_again),
	T(what_was_written_is_never_taken_for_what_was_fetched),
	T(a_damaged_memory_of_what_is_here_is_none),
	T(damaged_remote_lists_are_refused),
};

int main(void)
{
	return run_for_all(body, ARRAY_LEN(body)) ? 1 : 0;
}
