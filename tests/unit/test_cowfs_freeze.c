/* tests/unit/test_cowfs_freeze.c - cowfs_freeze: what a reader of the database sees stays as it was at that moment, whatever is done meanwhile. */
#include "cowfs/internal.h"
#include "cowfs/records.h"
#include "tests/unit/cowfs_view.h"

#include <pthread.h>
#include <semaphore.h>

static CowExport *moment;

/* As a snapshot does it. */
static void freeze(size_t want_writers)
{
	CowfsConfig config = {.db_path = at("meta.db"), .flags = COWFS_READONLY};
	size_t writers = 99;
	char *err = NULL;

	assert_int_equal(cowfs_freeze_prepare(fs, &writers), 0);
	assert_int_equal(writers, want_writers);
	assert_int_equal(cowfs_freeze(fs), 0);
	assert_int_equal(blob_ops_find("dir")->open(at("blobs"), BLOB_OPEN_READONLY, &config.blobs, &err), 0);
	assert_int_equal(cow_export_open(&config, true, &moment, &err), 0);
	cowfs_freeze_release(fs);
}

typedef struct Sought {
	const char *name;
	uint64_t id;
	BlobId blob;
	struct timespec mtime;
} Sought;

static int seek(void *ctx, const CowRecord *r)
{
	Sought *s = ctx;

	if (r->kind == COW_RECORD_DENTRY && r->n_name == strlen(s->name) && memcmp(r->name, s->name, r->n_name) == 0)
		s->id = r->id;
	if (r->kind == COW_RECORD_INODE && r->id == s->id) {
		s->blob = r->blob;
		s->mtime = r->mtime;
	}
	return 0;
}

/* The name's content at that moment; names without a body are "-". */
static void assert_was(const char *name, const char *text)
{
	Sought s = {.name = name};
	char buf[64] = "", *err = NULL;
	bool stays;
	int fd;

	assert_int_equal(cow_export_walk(moment, seek, &s, &err), 0);
	if (strcmp(text, "-") == 0) {
		assert_int_equal(s.blob, 0);
		return;
	}
	assert_int_equal(cow_export_blob(moment, s.blob, &fd, &stays, &err), 0);
	assert_int_equal(bv_read_full(fd, buf, sizeof buf - 1), strlen(text));
	assert_string_equal(buf, text);
	close(fd);
}

static int thaw(void)
{
	cow_export_close(TAKE_PTR(moment));
	int rc = cowfs_thaw(fs);
	assert_int_equal(access(at("blobs/kept"), F_OK), -1);
	return rc;
}

static void bodies_stay_whatever_is_done_to_them(void **state)
{
	struct timespec old;
	CowAttr times = {.set = COW_SET_MTIME, .mtime = {7, 8}};
	Sought s = {.name = "touched"};
	char *err = NULL;

	(void)state;
	for (const char *const *name = (const char *const[]){"h/over", "h/cut", "h/gone", "h/moved", "h/trunc", "h/touched", "h/quiet", NULL}; *name; name++)
		put(*name, "before");
	int held = open_in("h/held", O_CREAT | O_WRONLY);
	assert_int_equal(bv_write_full(held, "before", 6), 0);
	freeze(1);
	assert_int_equal(bv_write_full(held, ", after", 7), 0); /* without cowfs */
	put("h/over", "after");
	int fd = open_in("h/cut", O_WRONLY);
	assert_int_equal(bv_write_full(fd, "A", 1), 0);
	close(fd);
	assert_int_equal(cowfs_truncate(fs, &req, NULL, at("h/trunc"), 2), 0);
	assert_int_equal(cowfs_setattr(fs, &req, NULL, at("h/touched"), 0, &times), 0);
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/gone"), false), 0);
	assert_int_equal(cowfs_rename(fs, &req, NULL, at("h/moved"), NULL, at("h/over"), 0), 0);
	put("h/new", "after");
	put("h/a", "after"); /* a copy of the host's */
	assert_int_equal(cowfs_commit(fs, true), 0);
	put("h/over", "after again");
	assert_int_equal(cowfs_commit(fs, false), 0);
	for (const char *const *name = (const char *const[]){"over", "cut", "gone", "moved", "trunc", "touched", "quiet", "held", NULL}; *name; name++)
		assert_was(*name, "before");
	assert_was("new", "-");
	assert_was("a", "-");
	assert_int_equal(cow_export_walk(moment, seek, &s, &err), 0);
	old = s.mtime;
	assert_true(old.tv_sec != 7);
	assert_int_equal(thaw(), 0);
	assert_text("h/over", "after again");
	assert_text("h/cut", "Aefore");
	assert_text("h/trunc", "be");
	assert_text("h/held", "before, after");
	close(held);
}

static void who_has_closed_is_no_writer(void **state)
{
	(void)state;
	put("h/x", "1");
	int reading = open_in("h/x", O_RDONLY);
	freeze(0);
	assert_int_equal(thaw(), 0);
	int writing = open_in("h/x", O_RDWR);
	freeze(1);
	assert_int_equal(bv_write_full(writing, "2", 1), 0);
	assert_was("x", "1");
	assert_int_equal(thaw(), 0);
	freeze(1); /* still open: the second time, too */
	assert_int_equal(pwrite(writing, "3", 1, 0), 1);
	assert_was("x", "2");
	close(writing);
	assert_int_equal(thaw(), 0);
	freeze(0);
	assert_int_equal(thaw(), 0);
	close(reading);
}

static void a_large_body_waits_for_a_worker(void **state)
{
	const CowReq now = {.cred = &cred};
	struct open_how how = {.flags = O_WRONLY};
	CowFile file = {.fd = -1};

	(void)state;
	put("h/large", "big");
	assert_int_equal(cowfs_truncate(fs, &req, NULL, at("h/large"), COWFS_INLINE_COPY + 1), 0);
	freeze(0);
	assert_int_equal(cowfs_openat(fs, &now, NULL, at("h/large"), &how, &file), -EINPROGRESS);
	assert_int_equal(access(at("blobs/kept"), F_OK), -1);
	assert_int_equal(cowfs_openat(fs, &req, NULL, at("h/large"), &how, &file), 0);
	assert_int_equal(access(at("blobs/kept"), F_OK), 0);
	close(file.fd);
	assert_int_equal(thaw(), 0);
}

static sem_t keeping;

static int keep_slowly(const char *step)
{
	if (strcmp(step, "keep") == 0) {
		sem_post(&keeping);
		nanosleep(&(struct timespec){0, 200000000}, NULL);
	}
	return 0;
}

typedef struct Opener {
	char path[PATH_MAX];
	CowFile file;
	int rc;
} Opener;

static void *open_for_writing(void *arg)
{
	struct open_how how = {.flags = O_RDWR};
	Opener *o = arg;

	o->rc = cowfs_openat(fs, &req, NULL, o->path, &how, &o->file);
	return NULL;
}

/* Without the lock, as a large one is. */
static void what_is_kept_when_a_snapshot_ends_is_not_of_the_next(void **state)
{
	Opener opener = {.file.fd = -1}, again = {.file.fd = -1};
	Sought s = {.name = "large"};
	char text[4] = "", *err = NULL;
	pthread_t thread;
	bool stays;
	int fd;

	(void)state;
	put("h/large", "old");
	assert_int_equal(cowfs_truncate(fs, &req, NULL, at("h/large"), COWFS_INLINE_COPY + 1), 0);
	snprintf(opener.path, sizeof opener.path, "%s", at("h/large"));
	freeze(0);
	sem_init(&keeping, 0, 0);
	cowfs_fault_hook = keep_slowly;
	assert_int_equal(pthread_create(&thread, NULL, open_for_writing, &opener), 0);
	sem_wait(&keeping);
	assert_int_equal(thaw(), 0);
	cowfs_fault_hook = NULL;
	pthread_join(thread, NULL);
	assert_int_equal(opener.rc, 0);
	assert_int_equal(access(at("blobs/kept"), F_OK), -1);
	assert_int_equal(pwrite(opener.file.fd, "new", 3, 0), 3);
	close(opener.file.fd);
	freeze(0);
	memcpy(again.path, opener.path, sizeof again.path);
	open_for_writing(&again);
	assert_int_equal(pwrite(again.file.fd, "NOT", 3, 0), 3);
	close(again.file.fd);
	assert_int_equal(cow_export_walk(moment, seek, &s, &err), 0);
	assert_int_equal(cow_export_blob(moment, s.blob, &fd, &stays, &err), 0);
	assert_int_equal(read(fd, text, 3), 3);
	assert_string_equal(text, "new");
	close(fd);
	assert_int_equal(thaw(), 0);
}

static void only_one_at_a_time(void **state)
{
	size_t writers;

	(void)state;
	freeze(0);
	assert_int_equal(cowfs_freeze_prepare(fs, &writers), -EBUSY);
	assert_int_equal(thaw(), 0);
	assert_int_equal(cowfs_freeze_prepare(fs, &writers), 0);
	assert_int_equal(cowfs_freeze_prepare(fs, &writers), -EBUSY);
	assert_int_equal(cowfs_thaw(fs), 0);
	freeze(0);
	cow_export_close(TAKE_PTR(moment));
	assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0); /* in the middle of it */
	assert_int_equal(open_view(0), 0);
}

/* The guest is not to suffer. */
static void what_cannot_be_kept_fails_the_snapshot_only(void **state)
{
	(void)state;
	put("h/x", "before");
	freeze(0);
	put_host("blobs/kept", "in the way");
	put("h/x", "after");
	assert_text("h/x", "after");
	assert_true(thaw() < 0);
	freeze(0);
	assert_was("x", "after");
	assert_int_equal(thaw(), 0);
}

static void what_was_kept_does_not_outlive_its_supervisor(void **state)
{
	(void)state;
	assert_int_equal(mkdir(at("blobs/kept"), 0700), 0);
	put_host("blobs/kept/7", "old");
	reopen_view();
	assert_int_equal(access(at("blobs/kept"), F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bodies_stay_whatever_is_done_to_them, setup, teardown),
		cmocka_unit_test_setup_teardown(who_has_closed_is_no_writer, setup, teardown),
		cmocka_unit_test_setup_teardown(a_large_body_waits_for_a_worker, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_kept_when_a_snapshot_ends_is_not_of_the_next, setup, teardown),
		cmocka_unit_test_setup_teardown(only_one_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_kept_fails_the_snapshot_only, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_kept_does_not_outlive_its_supervisor, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
