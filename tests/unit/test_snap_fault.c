/* tests/unit/test_snap_fault.c - every request of a snapshot fails once, and the machine stops after every put: nothing half is visible, what was there is intact, and
 * the same again completes. */
#include "tests/unit/snap_fixture.h"

#include "snapshot/housekeeping.h"

typedef struct Fixture {
	MemStore *mem;
	SnapStore *store;
	World before, after;
	SnapId first;
} Fixture;

static Fixture fixture(bool if_absent)
{
	Fixture f = {.mem = mem_new()};
	uint64_t seed = 3;

	f.mem->no_if_absent = !if_absent;
	assert_int_equal(snap_store_open(&f.mem->base, NULL, &f.store, NULL), 0);
	world_change(&f.before, 60, &seed);
	f.first = snap_take(f.store, &f.before, NULL, "box");
	f.after = f.before;
	world_change(&f.after, 6, &seed);
	return f;
}

static void fixture_end(Fixture *f)
{
	snap_store_close(f->store);
	object_close(&f->mem->base);
}

static void fresh_store(Fixture *f)
{
	snap_store_close(f->store); /* another process */
	assert_int_equal(snap_store_open(&f->mem->base, NULL, &f->store, NULL), 0);
}

static void is_clean(Fixture *f)
{
	SnapCheckConfig config = {.read_data = true};
	SnapCheckResult result;
	char *err = NULL;

	if (snap_check(f->store, &config, &result, &err) < 0)
		fail_msg("%s", err);
	assert_int_equal(result.damaged, 0);
	assert_int_equal(result.hurt, 0);
}

/* What is visible is the old one, whole, or the new one, whole; a repeat makes it the new one. */
static void all_is_well(Fixture *f, int result, const SnapId *id)
{
	SnapRef ref;
	SnapId again;
	char *err = NULL;

	fresh_store(f);
	if (snap_ref_read(f->store, "box", 0, &ref, &err) < 0)
		fail_msg("%s", err);
	assert_int_equal(ref.number, result == 0 ? 2 : 1);
	assert_true(id_equal(&ref.id, result == 0 ? id : &f->first));
	assert_snap_equal(f->store, &f->first, &f->before);
	if (result == 0)
		assert_snap_equal(f->store, id, &f->after);
	is_clean(f);
	if (snap_try(f->store, &f->after, &f->first, "box", &again, &err) < 0)
		fail_msg("%s", err);
	assert_snap_equal(f->store, &again, &f->after);
	is_clean(f);
}

static void each_request_fails(bool if_absent, bool on)
{
	unsigned long failures = 0;

	for (unsigned long n = 1;; n++) {
		Fixture f = fixture(if_absent);
		SnapId id = {0};
		char *err = NULL;
		fresh_store(&f);
		f.mem->calls = 0;
		f.mem->fail_at = n;
		f.mem->fail_on = on;
		f.mem->fail_with = n % 2 ? -EIO : -ETIMEDOUT;
		int r = snap_try(f.store, &f.after, &f.first, "box", &id, &err);
		bool reached = f.mem->calls >= n;
		f.mem->fail_at = 0;
		if (r < 0 && !err)
			fail_msg("request %lu failed, and there is no message", n);
		free(err);
		all_is_well(&f, r, &id);
		failures += r < 0;
		fixture_end(&f);
		if (!reached)
			break;
	}
	assert_true(failures >= 8);
}

static void each_request_fails_once(void **state)
{
	(void)state;
	each_request_fails(true, false);
}

static void the_store_goes_away_at_each_request(void **state)
{
	(void)state;
	each_request_fails(true, true);
}

static void a_crash_after_each_put_leaves_no_half_snapshot(void **state)
{
	bool done = false;

	(void)state;
	for (unsigned long n = 0; !done; n++) {
		Fixture f = fixture(true);
		SnapId id = {0};
		SnapRef ref;
		fresh_store(&f);
		unsigned long before = f.mem->puts;
		f.mem->stop_after_puts = before + n;
		char *err = NULL;
		int r = snap_try(f.store, &f.after, &f.first, "box", &id, &err);
		free(err);
		done = f.mem->puts - before < n;
		f.mem->stop_after_puts = 0;
		fresh_store(&f);
		/* A snapshot whose ref was put counts, though nobody was told so. */
		assert_int_equal(snap_ref_read(f.store, "box", 0, &ref, NULL), 0);
		assert_snap_equal(f.store, &ref.id, ref.number == 2 ? &f.after : &f.before);
		if (r == 0)
			assert_int_equal(ref.number, 2);
		is_clean(&f);
		fixture_end(&f);
	}
}

static void reading_fails_with_a_message_at_each_request(void **state)
{
	Fixture f = fixture(true);
	unsigned long failures = 0;

	(void)state;
	for (unsigned long n = 1;; n++) {
		char *err = NULL;
		fresh_store(&f);
		f.mem->calls = 0;
		f.mem->fail_at = n;
		int r = snap_compare(f.store, &f.first, &f.before, &err);
		bool reached = f.mem->calls >= n;
		f.mem->fail_at = 0;
		assert_true(!reached || r == -EIO);
		assert_true((r < 0) == (err != NULL));
		free(err);
		failures += r < 0;
		if (!reached)
			break;
	}
	assert_true(failures > 10);
	fixture_end(&f);
}

static void cancelling_ends_and_publishes_nothing(void **state)
{
	Fixture f = fixture(true);
	SnapWriterConfig config = {.parent = &f.first};
	SnapWriter *w;
	uint64_t number;
	char *err = NULL;
	SnapRef ref;
	SnapId id;

	(void)state;
	assert_int_equal(snap_writer_begin(f.store, &config, &w, &err), 0);
	for (int i = 0; i < 20; i++)
		assert_int_equal(snap_writer_add_fd(w, fd_of(5000 + (uint64_t)i, 1000000, 0), &number), 0);
	snap_writer_cancel(w);
	assert_int_equal(snap_writer_add_bytes(w, "x", 1, &number), -ECANCELED);
	assert_int_equal(snap_writer_finish(w, "box", UINT64_MAX, &id, NULL, &err), -ECANCELED);
	assert_non_null(strstr(err, "cancelled"));
	free(err);
	snap_writer_free(w);
	assert_int_equal(snap_ref_read(f.store, "box", 0, &ref, NULL), 0);
	assert_int_equal(ref.number, 1);
	is_clean(&f);
	fixture_end(&f);
}

static void what_is_no_file_is_an_error(void **state)
{
	Fixture f = fixture(true);
	SnapWriterConfig config = {.parent = NULL};
	SnapWriter *w;
	uint64_t number;
	char *err = NULL;
	SnapId id;

	(void)state;
	assert_int_equal(snap_writer_begin(f.store, &config, &w, &err), 0);
	assert_int_equal(snap_writer_add_fd(w, open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), &number), 0);
	const uint8_t *ref;
	size_t len;
	assert_int_equal(snap_writer_content(w, number, &ref, &len), -EINVAL);
	assert_non_null(strstr(snap_writer_error(w), "no regular file"));
	assert_int_equal(snap_writer_finish(w, NULL, 0, &id, NULL, &err), -EINVAL);
	free(err);
	snap_writer_free(w);
	fixture_end(&f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_request_fails_once),
		cmocka_unit_test(the_store_goes_away_at_each_request),
		cmocka_unit_test(a_crash_after_each_put_leaves_no_half_snapshot),
		cmocka_unit_test(reading_fails_with_a_message_at_each_request),
		cmocka_unit_test(cancelling_ends_and_publishes_nothing),
		cmocka_unit_test(what_is_no_file_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
