/* tests/unit/test_cowfs_durable.c - what a durable commit waits for, seen by a blob store that notes what it was asked to sync; and when nothing is
 * written at all. */
#include "tests/unit/cowfs_view.h"

#include <sys/file.h>

typedef struct NotingStore {
	BlobStore base_store;
	BlobStore *real;
} NotingStore;

static BlobId synced[16];
static size_t nsynced;
static BlobId names_to;
static BlobOps noting_ops;

static BlobStore *real_of(BlobStore *store)
{
	return CONTAINER_OF(store, NotingStore, base_store)->real;
}

static void noting_close(BlobStore *store)
{
	blob_close(real_of(store));
	free(CONTAINER_OF(store, NotingStore, base_store));
}

static int noting_create(BlobStore *store, BlobId id, mode_t mode, int flags, int *fd)
{
	return blob_create(real_of(store), id, mode, flags, fd);
}

static int noting_open(BlobStore *store, BlobId id, int flags, int *fd)
{
	return blob_open(real_of(store), id, flags, fd);
}

static int noting_statx(BlobStore *store, BlobId id, unsigned mask, struct statx *out)
{
	return blob_statx(real_of(store), id, mask, out);
}

static int noting_utimens(BlobStore *store, BlobId id, const struct timespec times[2])
{
	return blob_utimens(real_of(store), id, times);
}

static int noting_remove(BlobStore *store, BlobId id)
{
	return blob_remove(real_of(store), id);
}

static int noting_sync(BlobStore *store, BlobId id)
{
	if (nsynced < ARRAY_LEN(synced))
		synced[nsynced++] = id;
	return blob_sync(real_of(store), id);
}

static int noting_sync_names(BlobStore *store, BlobId from, BlobId to)
{
	names_to = to;
	return blob_sync_names(real_of(store), from, to);
}

static int noting_iterate(BlobStore *store, int (*visit)(void *ctx, BlobId id), void *ctx)
{
	return blob_iterate(real_of(store), visit, ctx);
}

static int noting_drop_kept(BlobStore *store)
{
	return blob_drop_kept(real_of(store));
}

static bool noting_hides_maps(BlobStore *store)
{
	(void)store;
	return false; /* nobody maps anything here */
}

static int open_noting(const char *const *settle)
{
	CowfsConfig config = {.db_path = at("meta.db"), .mark_dir = at("mark"), .flags = COWFS_CREATE, .durable = true, .settle = settle};
	NotingStore *store = calloc(1, sizeof *store);

	noting_ops = (BlobOps){.scheme = "noting", .durable = true, .close = noting_close, .create = noting_create, .open_blob = noting_open,
			       .statx = noting_statx, .utimens = noting_utimens, .remove = noting_remove, .sync = noting_sync,
			       .sync_names = noting_sync_names, .iterate = noting_iterate, .drop_kept = noting_drop_kept, .hides_maps = noting_hides_maps};
	store->base_store.ops = &noting_ops;
	assert_int_equal(blob_ops_find("dir")->open(at("blobs"), BLOB_OPEN_CREATE, &store->real, NULL), 0);
	config.blobs = &store->base_store;
	nsynced = 0;
	names_to = 0;
	return cowfs_open(&config, &fs, NULL);
}

static int setup_noting(void **state)
{
	assert_int_equal(setup(state), 0);
	assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
	return open_noting(NULL);
}

static bool was_synced(BlobId id)
{
	for (size_t i = 0; i < nsynced; i++)
		if (synced[i] == id || synced[i] == 0)
			return true;
	return false;
}

static int fsync_in(const char *name)
{
	CLEAN_LOC CowLoc loc = {0};

	assert_int_equal(cowfs_resolve(fs, &req, NULL, at(name), 0, 0, &loc), 0);
	return cowfs_fsync(fs, &req, &loc);
}

/* The blob of a file of the view, by the identity of what is opened. */
static BlobId blob_of(const char *name)
{
	char link[64], target[PATH_MAX] = "";
	int fd = open_in(name, O_RDONLY);

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	assert_true(readlink(link, target, sizeof target - 1) > 0);
	close(fd);
	return strtoull(strrchr(target, '/') + 1, NULL, 16);
}

static void fsync_of_one_file_syncs_copies_of_host_files_and_all_names(void **state)
{
	(void)state;
	int fd = open_in("h/a", O_WRONLY | O_APPEND); /* a copy-up: the host's bytes are no longer shown */
	close(fd);
	put("h/mine", "mine");
	put("h/other", "other");
	assert_int_equal(fsync_in("h/mine"), 0);
	assert_true(was_synced(blob_of("h/mine")));
	assert_true(was_synced(blob_of("h/a")));
	assert_false(was_synced(blob_of("h/other")));
	assert_true(names_to >= blob_of("h/other"));
	size_t before = nsynced;
	assert_int_equal(fsync_in("h/mine"), 0);
	assert_int_equal(nsynced, before + 1); /* the copy is durable: it is not asked for again */
}

static void a_file_renamed_over_another_is_synced_with_the_next_durable_commit(void **state)
{
	(void)state;
	put("h/tmp", "new text");
	assert_int_equal(cowfs_rename(fs, &req, NULL, at("h/tmp"), NULL, at("h/a"), 0), 0);
	assert_int_equal(cowfs_commit(fs, false), 0);
	assert_int_equal(nsynced, 0);
	assert_int_equal(fsync_in("h"), 0); /* a directory: a commit barrier */
	assert_true(was_synced(blob_of("h/a")));
}

static void the_first_durable_commit_settles_what_leads_to_the_database(void **state)
{
	char path[PATH_MAX];
	const char *const missing[] = {path, NULL};
	(void)state;
	snprintf(path, sizeof path, "%s", at("h/sub/b/settle-me"));
	assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
	assert_int_equal(open_noting(missing), 0);
	put("h/mine", "mine");
	assert_int_equal(fsync_in("h/mine"), -ENOTDIR); /* it was looked for */
	assert_int_equal(unlink(at("h/sub/b")), 0);
	assert_int_equal(mkdir(at("h/sub/b"), 0755), 0);
	assert_int_equal(fsync_in("h/mine"), 0);
	assert_int_equal(rmdir(at("h/sub/b")), 0);
	put_host("h/sub/b", "beta");
	assert_int_equal(fsync_in("h/mine"), 0); /* only once */
}

static void a_run_without_changes_writes_nothing(void **state)
{
	struct stat st;
	(void)state;
	assert_text("h/a", "alpha");
	assert_int_equal(cowfs_commit(fs, true), 0);
	assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
	assert_int_equal(stat(at("meta.db"), &st), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(open_view(COWFS_READONLY), 0);
	assert_changes("");
}

static void a_first_write_that_did_not_end_is_begun_again(void **state)
{
	(void)state;
	assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
	assert_int_equal(truncate(at("meta.db"), 5 * 4096), 0); /* without its first page */
	assert_int_equal(open_view(0), 0);
	put("h/new", "new");
	reopen_view();
	assert_text("h/new", "new");
}

static void what_a_lost_run_left_in_the_store_does_not_stand_in_the_way(void **state)
{
	BlobStore *store;
	int fd;
	(void)state;
	put("h/first", "1");
	assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
	assert_int_equal(blob_ops_find("dir")->open(at("blobs"), 0, &store, NULL), 0);
	for (BlobId id = 1; id < 40; id++)
		if (blob_create(store, id, 0600, O_RDWR, &fd) == 0)
			close(fd);
	blob_close(store);
	assert_int_equal(open_view(0), 0);
	assert_text("h/first", "1");
	put("h/second", "2");
	put("h/a", "changed");
	reopen_view();
	assert_text("h/second", "2");
	assert_text("h/a", "changed");
}

static bool blob_is_there(BlobId id)
{
	char name[64];

	snprintf(name, sizeof name, "blobs/%jx/%jx", (uintmax_t)(id >> 10), (uintmax_t)id);
	return access(at(name), F_OK) == 0;
}

static bool goes_at_once(bool renamed_over)
{
	put("h/tmp", "2");
	put("h/over", "3");
	BlobId id = blob_of("h/over");
	assert_true(blob_is_there(id));
	if (renamed_over)
		assert_int_equal(cowfs_rename(fs, &req, NULL, at("h/tmp"), NULL, at("h/over"), 0), 0);
	else
		assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/over"), 0), 0);
	return !blob_is_there(id);
}

/* Not if the writer thread, which runs every 50 ms, has just come between. */
static void a_new_file_that_nobody_has_open_goes_with_its_name_at_once(void **state)
{
	int tries = 0;
	(void)state;
	while (!goes_at_once(false))
		assert_true(++tries < 50);
	while (!goes_at_once(true))
		assert_true(++tries < 50);
	assert_text("h/over", "2");
	reopen_view();
	assert_text("h/over", "2");
	assert_changes("A h/over\n");
}

static void a_file_without_a_name_stays_while_it_is_open(void **state)
{
	char buf[8];
	(void)state;
	put("h/held", "body");
	int fd = open_in("h/held", O_RDONLY);
	BlobId id = blob_of("h/held");
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/held"), 0), 0);
	assert_true(blob_is_there(id));
	assert_int_equal(pread(fd, buf, sizeof buf, 0), 4);
	close(fd);
	/* O_PATH is not seen as open: after the first of them no file goes at once */
	put("h/path", "body");
	fd = open_in("h/path", O_PATH);
	id = blob_of("h/path");
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/path"), 0), 0);
	assert_true(blob_is_there(id));
	close(fd);
}

/* A file of O_TMPFILE is on the orphan list from the beginning; that it got a name and lost it must not free it from under the list. */
static void a_nameless_file_that_was_named_is_dropped_by_the_reaper_only(void **state)
{
	struct open_how how = {.flags = O_TMPFILE | O_RDWR, .mode = 0600};
	struct stat st;
	char name[40];
	int held[80];
	(void)state;
	for (int i = 0; i < 60; i++) {
		CLEAN_LOC CowLoc loc = {0};
		CowFile file = {.fd = -1};
		assert_int_equal(cowfs_openat(fs, &req, NULL, at("h"), &how, &file), 0);
		assert_int_equal(fstat(file.fd, &st), 0);
		assert_int_equal(cowfs_by_identity(fs, st.st_dev, st.st_ino, &loc), 0);
		snprintf(name, sizeof name, "h/l%d", i);
		assert_int_equal(cowfs_link(fs, &req, &loc, "", NULL, at(name), AT_EMPTY_PATH), 0);
		close(file.fd);
		if (i % 2) {
			assert_int_equal(cowfs_unlink(fs, &req, NULL, at(name), 0), 0);
		} else {
			put("h/over", "x");
			assert_int_equal(cowfs_rename(fs, &req, NULL, at("h/over"), NULL, at(name), 0), 0);
		}
	}
	assert_int_equal(cowfs_commit(fs, false), 0);
	for (size_t i = 0; i < ARRAY_LEN(held); i++) { /* enough that the reaper comes */
		snprintf(name, sizeof name, "h/held%zu", i);
		put(name, "x");
		held[i] = open_in(name, O_RDONLY);
		assert_int_equal(cowfs_unlink(fs, &req, NULL, at(name), 0), 0);
	}
	for (int i = 0; i < 20; i++) {
		usleep(20000);
		assert_int_equal(cowfs_commit(fs, false), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(held); i++)
		close(held[i]);
	reopen_view();
}

/* An access mode of 3 is no reading and no writing, so a lease does not see it. */
static void a_file_open_for_neither_reading_nor_writing_stays(void **state)
{
	(void)state;
	int fd = open_in("h/three", O_CREAT | O_ACCMODE);
	BlobId id = blob_of("h/three");
	assert_true(fd >= 0);
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/three"), 0), 0);
	assert_true(blob_is_there(id));
	close(fd);
}

static void a_file_that_the_database_knows_goes_after_its_row(void **state)
{
	(void)state;
	put("h/known", "1");
	BlobId id = blob_of("h/known");
	assert_int_equal(cowfs_commit(fs, false), 0);
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/known"), 0), 0);
	assert_true(blob_is_there(id));
	reopen_view();
	assert_false(blob_is_there(id));
	assert_changes("");
}

#define NOTING(f) cmocka_unit_test_setup_teardown(f, setup_noting, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NOTING(fsync_of_one_file_syncs_copies_of_host_files_and_all_names),
		NOTING(a_file_renamed_over_another_is_synced_with_the_next_durable_commit),
		NOTING(the_first_durable_commit_settles_what_leads_to_the_database),
		NOTING(a_run_without_changes_writes_nothing),
		CASE(a_first_write_that_did_not_end_is_begun_again),
		CASE(a_new_file_that_nobody_has_open_goes_with_its_name_at_once),
		CASE(a_file_without_a_name_stays_while_it_is_open),
		CASE(a_nameless_file_that_was_named_is_dropped_by_the_reaper_only),
		CASE(a_file_open_for_neither_reading_nor_writing_stays),
		CASE(a_file_that_the_database_knows_goes_after_its_row),
		CASE(what_a_lost_run_left_in_the_store_does_not_stand_in_the_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
