/* tests/unit/test_cowfs_mapped.c - where leases say nothing of who has a body mapped, that is looked at: as if the store were on overlayfs, whatever it is on. */
#include "cowfs/records.h"
#include "tests/unit/cowfs_view.h"

/* What somebody is said to have mapped; nobody has a descriptor of it. */
static char seen_path[PATH_MAX];
static uint64_t seen_ino;
static bool seen_shared;
static int seen_from, passes, all_passes, seen_error;

static int tell_maps(void *ctx, bool guests, CowMappedVisit visit, void *visit_ctx)
{
	(void)ctx;
	all_passes += !guests;
	visit(visit_ctx, "/usr/lib/libc.so.6", 1, false);
	if (++passes >= seen_from && *seen_path)
		visit(visit_ctx, seen_path, seen_ino, seen_shared);
	return seen_error;
}

static int setup_blind(void **state)
{
	*seen_path = '\0';
	seen_ino = 2;
	seen_shared = true;
	seen_from = passes = all_passes = seen_error = 0;
	list_maps = tell_maps;
	int rc = setup(state);
	assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
	return rc < 0 ? rc : open_view(COWFS_BLIND_LEASES);
}

static int teardown_blind(void **state)
{
	spool_bound = 0;
	list_maps = list_own_maps;
	return teardown(state);
}

static BlobId blob_of(const char *name)
{
	struct statx st;

	assert_int_equal(stat_in(name, &st), 0);
	return st.stx_ino - (UINT64_C(1) << 51);
}

static const char *file_of(const char *name)
{
	static char path[80];
	BlobId id = blob_of(name);

	snprintf(path, sizeof path, "blobs/%jx/%jx", (uintmax_t)(id >> 10), (uintmax_t)id);
	return at(path);
}

static void see(const char *path, bool shared)
{
	snprintf(seen_path, sizeof seen_path, "%s", path);
	seen_shared = shared;
}

static CowState state;

/* Takes a moment, which has to have met that many writers before guests were stopped. */
static void freeze(size_t want)
{
	size_t writers = 99;

	assert_int_equal(cowfs_freeze_prepare(fs, &writers), 0);
	assert_int_equal(writers, want);
	assert_int_equal(cowfs_freeze(fs), 0);
	cowfs_state(fs, &state);
}

static void assert_writers(size_t want)
{
	freeze(want);
	assert_int_equal(cowfs_thaw(fs), 0);
}

static bool name_stays(size_t want_writers)
{
	CowState before = state;

	assert_writers(want_writers);
	return *before.name && strcmp(before.name, state.name) == 0;
}

static void who_has_a_body_mapped_is_a_writer(void **unused)
{
	(void)unused;
	put("h/x", "1");
	see(file_of("h/x"), true);
	assert_writers(1);
	assert_false(name_stays(1));
	assert_false(name_stays(1));
	*seen_path = '\0';
	assert_false(name_stays(0)); /* it was there after the last moment */
	assert_true(name_stays(0));
	assert_true(name_stays(0));
}

static void what_is_mapped_is_kept_as_it_was_at_the_moment(void **unused)
{
	char kept[80];

	(void)unused;
	put("h/x", "1");
	put("h/y", "1");
	see(file_of("h/x"), true);
	freeze(1);
	snprintf(kept, sizeof kept, "blobs/kept/%jx", (uintmax_t)blob_of("h/x"));
	assert_int_equal(access(at(kept), F_OK), 0);
	snprintf(kept, sizeof kept, "blobs/kept/%jx", (uintmax_t)blob_of("h/y"));
	assert_int_equal(access(at(kept), F_OK), -1);
	assert_int_equal(cowfs_thaw(fs), 0);
}

static void a_mapping_of_its_own_changes_no_body(void **unused)
{
	(void)unused;
	put("h/x", "1");
	see(file_of("h/x"), false);
	assert_writers(0);
	assert_true(name_stays(0));
}

static void a_body_is_known_by_its_inode_too(void **unused)
{
	struct stat st;

	(void)unused;
	put("h/x", "1");
	assert_int_equal(lstat(file_of("h/x"), &st), 0);
	seen_ino = st.st_ino;
	see("/by/another/name (deleted)", true);
	assert_writers(1);
	seen_ino++;
	assert_writers(0);
}

static void a_mapping_that_one_pass_misses_is_found(void **unused)
{
	(void)unused;
	put("h/x", "1");
	see(file_of("h/x"), true);
	seen_from = 2;
	assert_writers(1);
}

static void what_cannot_be_known_may_be_mapped(void **unused)
{
	(void)unused;
	put("h/x", "1");
	seen_error = -EACCES;
	assert_writers(1);
	assert_false(name_stays(1));
	seen_error = 0;
	assert_false(name_stays(0));
	assert_true(name_stays(0));
}

static void while_guests_stand_still_only_they_are_asked_about_what_is_new(void **unused)
{
	size_t writers;

	(void)unused;
	put("h/x", "1");
	see(file_of("h/x"), true);
	assert_int_equal(cowfs_freeze_prepare(fs, &writers), 0);
	int before = passes;
	assert_int_equal(cowfs_freeze(fs), 0);
	assert_int_equal(passes, before); /* that it is mapped is known */
	assert_int_equal(cowfs_thaw(fs), 0);
	assert_int_equal(cowfs_freeze_prepare(fs, &writers), 0);
	before = all_passes;
	put("h/y", "1");
	see(file_of("h/y"), true);
	assert_int_equal(cowfs_freeze(fs), 0);
	assert_int_equal(all_passes, before);
	assert_true(passes > before);
	assert_int_equal(cowfs_thaw(fs), 0);
	assert_writers(1); /* nobody has x mapped any more */
}

static void what_went_since_it_was_found_mapped_is_not_missed(void **unused)
{
	char file[PATH_MAX];
	size_t writers;

	(void)unused;
	put("h/x", "1");
	snprintf(file, sizeof file, "%s", file_of("h/x"));
	see(file, true);
	assert_int_equal(cowfs_freeze_prepare(fs, &writers), 0);
	assert_int_equal(rename(file, at("away")), 0); /* as if it had been removed with a batch */
	assert_int_equal(cowfs_freeze(fs), 0);
	assert_int_equal(rename(at("away"), file), 0);
	assert_int_equal(cowfs_thaw(fs), 0);
}

static void nobody_is_asked_about_nothing(void **unused)
{
	(void)unused;
	assert_writers(0);
	assert_int_equal(passes, 0);
}

static bool has_name(bool *written)
{
	CowfsConfig config = {.db_path = at("meta.db"), .flags = COWFS_READONLY | COWFS_BLIND_LEASES, .mapped = tell_maps};
	CowExport *e;
	char *err = NULL;

	assert_int_equal(blob_ops_find("dir")->open(at("blobs"), BLOB_OPEN_READONLY, &config.blobs, &err), 0);
	assert_int_equal(cow_export_open(&config, false, &e, &err), 0);
	bool has = cow_export_state(e, &state, written);
	cow_export_close(e);
	return has;
}

static void a_mapping_that_outlives_the_view_leaves_it_without_a_name(void **unused)
{
	bool written;

	(void)unused;
	put("h/x", "1");
	see(file_of("h/x"), true);
	assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
	assert_int_equal(access(at("closed"), F_OK), -1);
	assert_false(has_name(&written));
	assert_true(written);
	*seen_path = '\0';
	assert_true(has_name(&written));
	assert_int_equal(open_view(COWFS_BLIND_LEASES), 0);
}

/* As if it could be fetched again as it is. */
static void make_remote(const char *name)
{
	struct stat st;
	BlobStore *blobs;

	assert_int_equal(lstat(file_of(name), &st), 0);
	const BlobRemote remote = {.id = blob_of(name), .size = (uint64_t)st.st_size, .times = {st.st_atim, st.st_mtim}, .mode = st.st_mode, .ref = "ref", .ref_len = 3,
				   .here_known = true, .here_ino = st.st_ino, .here_ctime = st.st_ctim};
	assert_int_equal(blob_ops_find("dir")->open(at("blobs"), 0, &blobs, NULL), 0);
	assert_int_equal(blob_put_remote(blobs, "nowhere", &remote, 1), 0);
	blob_close(blobs);
}

static void a_body_that_is_mapped_stays_here(void **unused)
{
	char file[PATH_MAX];

	(void)unused;
	put("h/x", "1");
	make_remote("h/x");
	assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
	spool_bound = 1;
	assert_int_equal(open_view(COWFS_BLIND_LEASES), 0);
	snprintf(file, sizeof file, "%s", file_of("h/x"));
	see(file, false);
	assert_int_equal(cowfs_spool_changed(fs, NULL), 0);
	assert_int_equal(access(file, F_OK), 0);
	*seen_path = '\0';
	usleep(300000); /* it was asked about, as if it were used */
	assert_int_equal(cowfs_spool_changed(fs, NULL), 0);
	assert_int_equal(access(file, F_OK), -1);
}

#define BLIND(f) cmocka_unit_test_setup_teardown(f, setup_blind, teardown_blind)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BLIND(who_has_a_body_mapped_is_a_writer),
		BLIND(what_is_mapped_is_kept_as_it_was_at_the_moment),
		BLIND(a_mapping_of_its_own_changes_no_body),
		BLIND(a_body_is_known_by_its_inode_too),
		BLIND(a_mapping_that_one_pass_misses_is_found),
		BLIND(what_cannot_be_known_may_be_mapped),
		BLIND(while_guests_stand_still_only_they_are_asked_about_what_is_new),
		BLIND(what_went_since_it_was_found_mapped_is_not_missed),
		BLIND(nobody_is_asked_about_nothing),
		BLIND(a_mapping_that_outlives_the_view_leaves_it_without_a_name),
		BLIND(a_body_that_is_mapped_stays_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
