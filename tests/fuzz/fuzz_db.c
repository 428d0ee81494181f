/* tests/fuzz/fuzz_db.c - opening a damaged database: refused with a message or opened with its invariants, never a crash.
 *
 * The input is a list of changes to a valid database that every run makes anew: (offset 4 bytes, length 1 byte, bytes). A first byte that is odd
 * instead takes the rest of the input as the whole file; the next bit: packs are read when they are needed. */
#include "tests/oracle/oracle.h"

#include <sqlite3.h>

#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static World *world;
static char *valid;
static ssize_t valid_size;
static BlobId bodies[16]; /* what the valid database refers to: a damaged one may have them removed */
static size_t nbodies;

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

static int note_body(void *ctx, BlobId id)
{
	(void)ctx;
	if (nbodies < ARRAY_LEN(bodies))
		bodies[nbodies++] = id;
	return 0;
}

static void restore_bodies(BlobStore *store)
{
	for (size_t i = 0; i < nbodies; i++) {
		int fd;
		if (blob_create(store, bodies[i], 0600, O_RDWR, &fd) == 0)
			close(fd);
	}
}

/* All of it into the database file, of which the log is left out. */
static void move_log(const char *path)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *stmt = NULL;

	if (sqlite3_open(path, &db) != SQLITE_OK || sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(db, "SELECT (SELECT count(*) FROM packed) * (SELECT count(*) FROM dentry) * (SELECT count(*) FROM xattr)", -1, &stmt, NULL) != SQLITE_OK ||
	    sqlite3_step(stmt) != SQLITE_ROW || sqlite3_column_int(stmt, 0) == 0)
		fail("the valid database lacks something");
	sqlite3_finalize(stmt);
	sqlite3_close(db);
}

/* A view with all kinds of records in it, closed cleanly. */
static void make_valid(void)
{
	static const char *const kinds[] = {"made", "made/file", "fifo2", "link"};
	CowReq req = {.cred = &world->cred, .may_block = true};
	struct open_how how = {.flags = O_CREAT | O_RDWR, .mode = 0644};
	CLEAN_LOC CowLoc at = {0};
	CowFile file = {.fd = -1};
	char path[300];

	if (cowfs_resolve(world->fs, &req, NULL, world->lower, COW_DIRECTORY, 0, &at) < 0 || cowfs_mkdir(world->fs, &req, &at, kinds[0], 0755) < 0 ||
	    cowfs_openat(world->fs, &req, &at, kinds[1], &how, &file) < 0 || cowfs_mknod(world->fs, &req, &at, kinds[2], S_IFIFO | 0600, 0) < 0 ||
	    cowfs_symlink(world->fs, &req, "made/file", &at, kinds[3]) < 0 || cowfs_rename(world->fs, &req, &at, "d1", &at, "made/d1", 0) < 0 ||
	    cowfs_unlink(world->fs, &req, &at, "f1", 0) < 0 || cowfs_setxattr(world->fs, &req, &at, "f2", 0, "user.x", "value", 5, 0) < 0 ||
	    cowfs_link(world->fs, &req, &at, "f3", &at, "hard", 0) < 0)
		fail("cannot make the valid database");
	close(file.fd);
	cowloc_release(&at);
	if (cow_close_world(world) < 0 || cow_repack_world(world) < 0)
		fail(world->why);
	snprintf(path, sizeof path, "%s/meta.db", world->dir);
	move_log(path);
	snprintf(path, sizeof path, "%s/store", world->dir);
	BlobStore *store;
	if (blob_ops_find("dir")->open(path, 0, &store, NULL) < 0 || blob_iterate(store, note_body, NULL) < 0)
		fail("cannot list the blobs");
	blob_close(store);
	snprintf(path, sizeof path, "%s/meta.db", world->dir);
	valid_size = bv_read_file_at(AT_FDCWD, path, 1 << 24, &valid);
	if (valid_size <= 0)
		fail("cannot read the valid database");
}

static void set_up(void)
{
	if (world)
		return;
	umask(0);
	world = calloc(1, sizeof *world);
	if (world_init(world, "/dev/shm", "dir", 1) < 0)
		fail(world->why);
	make_valid();
}

static __attribute__((destructor)) void clean_up(void)
{
	if (!world)
		return;
	world_release(world, false);
	free(valid);
	free(world);
	world = NULL;
}

static void write_database(const uint8_t *data, size_t size)
{
	char path[300];
	CLEAN_FREE char *copy = malloc((size_t)valid_size);
	static const char *const leftovers[] = {"meta.db-wal", "meta.db-shm"};

	for (size_t i = 0; i < ARRAY_LEN(leftovers); i++) {
		snprintf(path, sizeof path, "%s/%s", world->dir, leftovers[i]);
		unlink(path);
	}
	snprintf(path, sizeof path, "%s/meta.db", world->dir);
	unlink(path);
	CLEAN_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (size && data[0] & 1) {
		if (bv_write_full(fd, data + 1, size - 1) < 0)
			fail("cannot write the database");
		return;
	}
	memcpy(copy, valid, (size_t)valid_size);
	for (size_t at = 1; at + 5 <= size;) {
		uint32_t offset;
		memcpy(&offset, data + at, 4);
		size_t len = MIN((size_t)data[at + 4], size - at - 5);
		offset %= (uint32_t)valid_size;
		len = MIN(len, (size_t)valid_size - offset);
		memcpy(copy + offset, data + at + 5, len);
		at += 5 + len + (len == 0);
	}
	if (bv_write_full(fd, copy, (size_t)valid_size) < 0)
		fail("cannot write the database");
}

static int pass(void *ctx, const CowChange *change)
{
	(void)ctx;
	(void)change;
	return 0;
}

/* What opened must hold together: look at everything, and change something. */
static void use(Cowfs *fs)
{
	CowReq req = {.cred = &world->cred, .may_block = true};
	static const char *const names[] = {"made/file", "made/d1/f1", "f1", "f2", "hard", "link", "d1"};
	char path[300], *err = NULL;
	struct statx st;
	int r;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof path, "%s/%s", world->lower, names[i]);
		if (cowfs_statx(fs, &req, NULL, path, COW_NOFOLLOW, STATX_BASIC_STATS, &st) > 0)
			fail("stat answered a positive number");
	}
	snprintf(path, sizeof path, "%s/new", world->lower);
	if (cowfs_mkdir(fs, &req, NULL, path, 0700) > 0)
		fail("mkdir answered a positive number");
	if (cowfs_changes(fs, false, pass, NULL) > 0)
		fail("a list of changes answered a positive number");
	r = cowfs_check(fs, &err);
	if (r < 0 && !err)
		fail("a violated invariant without a message");
	free(err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char store[200], db[200], marks[200], *err = NULL;
	CowfsConfig config = {.db_path = db, .mark_dir = marks, .flags = size && data[0] & 2 ? COWFS_LAZY : 0};
	Cowfs *fs = NULL;

	set_up();
	write_database(data, size);
	snprintf(store, sizeof store, "%s/store", world->dir);
	snprintf(db, sizeof db, "%s/meta.db", world->dir);
	snprintf(marks, sizeof marks, "%s/marks", world->dir);
	if (bv_remove_tree_at(AT_FDCWD, marks) < 0 || mkdir(marks, 0700) < 0 || blob_ops_find("dir")->open(store, 0, &config.blobs, &err) < 0)
		fail(err ? err : "cannot prepare");
	restore_bodies(config.blobs);
	int r = cowfs_open(&config, &fs, &err);
	if (r < 0 && (!err || fs))
		fail("refused without a message, or with a result");
	if (r == 0) {
		use(fs);
		(void)!cowfs_close(fs); /* a damaged database may refuse the last commit */
	}
	free(err);
	return 0;
}
