/* tests/unit/test_cowfs_packed.c - packs: what was imported is read when somebody looks into its directory, and becomes rows with the first change. */
#include "cowfs/records.h"
#include "tests/unit/cowfs_view.h"

#include <pthread.h>
#include <sqlite3.h>
#include <sys/mount.h>

#define DIRS 40
#define FILES 30 /* in each */

static uint64_t dir_of(unsigned d)
{
	return 10 + d;
}

static uint64_t file_of(unsigned d, unsigned f)
{
	return 1000 + d * FILES + f;
}

static CowRecord name_of(uint64_t dir, const char *name, uint64_t id)
{
	return (CowRecord){.kind = COW_RECORD_DENTRY, .dir = dir, .id = id, .name = name, .n_name = strlen(name)};
}

static void give(CowImport *to, const CowRecord *record)
{
	char *err = NULL;
	int fd = -1, rc = cow_import_record(to, record, &fd, &err);

	if (rc < 0)
		print_message("%s\n", err);
	assert_int_equal(rc, 0);
	if (fd >= 0) {
		char text[32];
		snprintf(text, sizeof text, "file %llu", (unsigned long long)record->id);
		assert_int_equal(bv_write_full(fd, text, strlen(text)), 0);
		close(fd);
	}
}

static CowRecord inode_of(uint64_t id, uint32_t mode)
{
	return (CowRecord){.kind = COW_RECORD_INODE, .id = id, .mode = mode, .have = COW_RECORD_HAVE_OWN, .uid = geteuid(), .gid = getegid(), .nlink = S_ISDIR(mode) ? 2 : 1,
			   .blob = S_ISREG(mode) ? 1 : 0, .atime = {5, 6}, .mtime = {7, 8}, .ctime = {9, 10}};
}

static void give_names(CowImport *to)
{
	CowRecord r = name_of(1, "made", 2);
	char text[40];

	give(to, &r);
	for (unsigned d = 0; d < DIRS; d++) {
		snprintf(text, sizeof text, "d%02u", d);
		r = name_of(2, text, dir_of(d));
		give(to, &r);
	}
	r = name_of(2, "link", 500);
	give(to, &r);
	for (unsigned d = 0; d < DIRS; d++)
		for (unsigned f = 0; f < FILES; f++) {
			snprintf(text, sizeof text, "f%02u", f);
			r = name_of(dir_of(d), text, file_of(d, f));
			give(to, &r);
		}
}

static void give_inodes(CowImport *to)
{
	CowRecord r = inode_of(1, S_IFDIR | 0755);

	r.name = "/";
	r.n_name = 1;
	r.have = 0;
	give(to, &r);
	r = inode_of(2, S_IFDIR | 0755);
	r.nlink = 2 + DIRS;
	give(to, &r);
	for (unsigned d = 0; d < DIRS; d++) {
		r = inode_of(dir_of(d), S_IFDIR | 0755);
		give(to, &r);
	}
	r = inode_of(500, S_IFLNK | 0777);
	r.value = "d01/f01";
	r.n_value = strlen(r.value);
	give(to, &r);
	for (unsigned d = 0; d < DIRS; d++)
		for (unsigned f = 0; f < FILES; f++) {
			r = inode_of(file_of(d, f), S_IFREG | 0644);
			give(to, &r);
		}
}

/* /made/dNN/fNN, in the place of the view that there was. */
static CowImport *begin_import(void)
{
	CowImport *to = NULL;
	char *err = NULL;

	if (fs)
		assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
	assert_int_equal(bv_remove_tree_at(AT_FDCWD, at("meta.db")), 0);
	assert_int_equal(bv_remove_tree_at(AT_FDCWD, at("blobs")), 0);
	CowfsConfig config = {.db_path = at("meta.db"), .flags = COWFS_CREATE};
	assert_int_equal(blob_ops_find("dir")->open(at("blobs"), BLOB_OPEN_CREATE, &config.blobs, &err), 0);
	assert_int_equal(cow_import_begin(&config, &to, &err), 0);
	give_names(to);
	give_inodes(to);
	return to;
}

/* `more` adds records before they end. */
static void import(void (*more)(CowImport *to))
{
	CowImport *to = begin_import();
	char *err = NULL;

	if (more)
		more(to);
	assert_int_equal(cow_import_finish(to, &err), 0);
	cow_import_free(to);
}

static long number(const char *query)
{
	sqlite3_stmt *stmt = NULL;
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(at("meta.db"), &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, query, -1, &stmt, NULL), SQLITE_OK);
	int rc = sqlite3_step(stmt);
	assert_true(rc == SQLITE_ROW || rc == SQLITE_DONE);
	long n = rc == SQLITE_ROW ? (long)sqlite3_column_int64(stmt, 0) : 0;
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return n;
}

static size_t nodes(void)
{
	CowfsStats stats;

	cowfs_stats(fs, &stats);
	return stats.nodes;
}

/* "/made/dDD/NAME"; without a name the directory. */
static const char *in_dir(unsigned d, const char *name)
{
	static char path[4][64];
	static int turn;
	char *out = path[turn++ % 4];

	snprintf(out, sizeof path[0], "/made/d%02u%s%s", d, name ? "/" : "", name ? name : "");
	return out;
}

static void assert_made(const char *path, uint64_t id)
{
	struct open_how how = {.flags = O_RDONLY};
	CowFile file = {.fd = -1};
	char buf[64] = "", text[64];

	snprintf(text, sizeof text, "file %llu", (unsigned long long)id);

	assert_int_equal(cowfs_openat(fs, &req, NULL, path, &how, &file), 0);
	assert_int_equal(bv_read_full(file.fd, buf, sizeof buf - 1), strlen(text));
	assert_string_equal(buf, text);
	close(file.fd);
}

static int stat_made(const char *path, struct statx *st)
{
	return cowfs_statx(fs, &req, NULL, path, COW_NOFOLLOW, STATX_BASIC_STATS, st);
}

static size_t count_names(const char *path)
{
	_Alignas(8) char buf[4096];
	uint64_t pos = 0;
	size_t n = 0;
	ssize_t got;
	CLEAN_LOC CowLoc dir = {0};

	assert_int_equal(cowfs_resolve(fs, &req, NULL, path, COW_DIRECTORY, 0, &dir), 0);
	while ((got = cowfs_getdents(fs, &req, &dir, &pos, buf, sizeof buf)) > 0)
		for (ssize_t i = 0; i < got; i += *(const uint16_t *)(const void *)(buf + i + 16)) /* d_reclen */
			n++;
	assert_int_equal(got, 0);
	return n - 2;
}

static void a_directory_is_read_when_somebody_looks_into_it(void **state)
{
	struct statx st;

	(void)state;
	import(NULL);
	assert_int_equal(number("SELECT count(*) FROM packed"), DIRS + 1);
	assert_int_equal(number("SELECT count(*) FROM inode"), DIRS + 2);
	assert_int_equal(open_view(COWFS_LAZY), 0);
	assert_int_equal(nodes(), DIRS + 2);
	assert_int_equal(stat_made("/made/d03", &st), 0);
	assert_int_equal(nodes(), DIRS + 2); /* its own name is a row */
	assert_made("/made/d03/f07", file_of(3, 7));
	assert_int_equal(nodes(), DIRS + 2 + FILES);
	assert_int_equal(stat_made("/made/d03/f07", &st), 0);
	assert_int_equal(st.stx_mtime.tv_sec, 7);
	assert_int_equal(st.stx_mtime.tv_nsec, 8);
	assert_int_equal(stat_made("/made/d04/none", &st), -ENOENT);
	assert_int_equal(nodes(), DIRS + 2 + 2 * FILES);
	assert_int_equal(count_names("/made/d05"), FILES);
	assert_made("/made/link", file_of(1, 1));
	assert_int_equal(cowfs_commit(fs, false), 0);
	assert_int_equal(number("SELECT count(*) FROM packed"), DIRS + 1); /* looking changes nothing */
	assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
	assert_int_equal(open_view(COWFS_READONLY), 0); /* all at once */
	assert_int_equal(nodes(), DIRS + 2 + DIRS * FILES + 1);
	assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
}

/* Each makes one change in directory `d`. */
static int change_mode(unsigned d)
{
	CowAttr attr = {.set = COW_SET_MODE, .mode = 0600};

	return cowfs_setattr(fs, &req, NULL, in_dir(d, "f01"), 0, &attr);
}

static int unlink_one(unsigned d)
{
	return cowfs_unlink(fs, &req, NULL, in_dir(d, "f01"), 0);
}

static int rename_out(unsigned d)
{
	return cowfs_rename(fs, &req, NULL, in_dir(d, "f01"), NULL, "/made/out", 0);
}

static int rename_over(unsigned d)
{
	return cowfs_rename(fs, &req, NULL, in_dir(d, "f01"), NULL, in_dir(d, "f02"), 0);
}

static int link_one(unsigned d)
{
	return cowfs_link(fs, &req, NULL, in_dir(d, "f01"), NULL, "/made/hard", 0);
}

static int give_attribute(unsigned d)
{
	return cowfs_setxattr(fs, &req, NULL, in_dir(d, "f01"), 0, "user.note", "x", 1, 0);
}

static int write_one(unsigned d)
{
	struct open_how how = {.flags = O_WRONLY | O_TRUNC};
	CowFile file = {.fd = -1};
	int rc = cowfs_openat(fs, &req, NULL, in_dir(d, "f01"), &how, &file);

	close(file.fd);
	return rc;
}

static int make_one(unsigned d)
{
	struct open_how how = {.flags = O_WRONLY | O_CREAT | O_EXCL, .mode = 0644};
	CowFile file = {.fd = -1};
	int rc = cowfs_openat(fs, &req, NULL, in_dir(d, "new"), &how, &file);

	close(file.fd);
	return rc;
}

static int make_again(unsigned d)
{
	struct open_how how = {.flags = O_WRONLY | O_CREAT | O_EXCL, .mode = 0644};
	CowFile file = {.fd = -1};

	return cowfs_openat(fs, &req, NULL, in_dir(d, "f01"), &how, &file) == -EEXIST ? 0 : -1;
}

static int move_directory(unsigned d)
{
	return cowfs_rename(fs, &req, NULL, in_dir(d, NULL), NULL, "/made/moved", 0);
}

static int remove_full(unsigned d)
{
	return cowfs_unlink(fs, &req, NULL, in_dir(d, NULL), AT_REMOVEDIR) == -ENOTEMPTY ? 0 : -1;
}

static int rename_over_full(unsigned d)
{
	(void)d;
	int rc = cowfs_mkdir(fs, &req, NULL, "/made/other", 0755);
	return rc == 0 && cowfs_rename(fs, &req, NULL, "/made/other", NULL, in_dir(d, NULL), 0) == -ENOTEMPTY ? cowfs_unlink(fs, &req, NULL, "/made/other", AT_REMOVEDIR) : -1;
}

static int remove_all(unsigned d)
{
	int rc = 0;

	for (unsigned f = 0; f < FILES && rc == 0; f++) {
		char name[16];
		snprintf(name, sizeof name, "f%02u", f);
		rc = cowfs_unlink(fs, &req, NULL, in_dir(d, name), 0);
	}
	return rc < 0 ? rc : cowfs_unlink(fs, &req, NULL, in_dir(d, NULL), AT_REMOVEDIR);
}

static char listing[1 << 18];

static int tell_all(void *ctx, const CowLayerItem *item)
{
	struct statx st = {0};
	size_t n = strlen(listing);

	(void)ctx;
	if (item->path)
		(void)stat_made(item->path, &st);
	snprintf(listing + n, sizeof listing - n, "%s %o %u %llu %lld\n", item->path, st.stx_mode, st.stx_nlink, (unsigned long long)st.stx_ino, (long long)st.stx_mtime.tv_sec);
	return 0;
}

static char *list_all(void)
{
	listing[0] = 0;
	assert_int_equal(cowfs_layer(fs, tell_all, NULL), 0);
	return strdup(listing);
}

/* What was changed is the same after closing and opening, lazily or not, and only the packs of what was changed have become rows. */
static void a_change_makes_rows_of_its_directory(void **state)
{
	static const struct {
		int (*change)(unsigned d);
		int packs; /* how many go */
	} cases[] = {{change_mode, 1}, {unlink_one, 1}, {rename_out, 1}, {rename_over, 1}, {link_one, 1}, {give_attribute, 1}, {write_one, 0}, {make_one, 0}, {make_again, 0},
		     {move_directory, 0}, {remove_full, 0}, {rename_over_full, 0}, {remove_all, 1}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		import(NULL);
		assert_int_equal(open_view(COWFS_LAZY), 0);
		assert_int_equal(cases[i].change(6), 0);
		CLEAN_FREE char *before = list_all(), *err = NULL;
		assert_int_equal(cowfs_check(fs, &err), 0);
		if (number("SELECT count(*) FROM packed") != DIRS + 1 - cases[i].packs)
			print_message("case %zu\n", i);
		assert_int_equal(number("SELECT count(*) FROM packed"), DIRS + 1 - cases[i].packs);
		for (int lazy = 1; lazy >= 0; lazy--) {
			assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
			assert_int_equal(open_view(lazy ? COWFS_LAZY : 0), 0);
			CLEAN_FREE char *after = list_all();
			assert_string_equal(after, before);
		}
	}
}

static void give_what_is_not_packed(CowImport *to)
{
	CowRecord r = name_of(dir_of(0), "twice", 600);

	give(to, &r);
	r = name_of(dir_of(1), "also", 600);
	give(to, &r);
	r = inode_of(600, S_IFREG | 0600);
	r.nlink = 2;
	r.have |= 64; /* its number of links */
	give(to, &r);
	r = name_of(dir_of(0), "noted", 601);
	give(to, &r);
	r = inode_of(601, S_IFREG | 0600);
	give(to, &r);
	r = (CowRecord){.kind = COW_RECORD_XATTR, .id = 601, .name = "user.x", .n_name = 6, .value = "y", .n_value = 1};
	give(to, &r);
	r = name_of(dir_of(0), "fifo", 602);
	give(to, &r);
	r = inode_of(602, S_IFIFO | 0600);
	r.blob = 1;
	give(to, &r);
}

static void what_cannot_be_packed_is_beside_it(void **state)
{
	struct statx st;
	char value[8];

	(void)state;
	import(give_what_is_not_packed);
	assert_int_equal(number("SELECT count(*) FROM inode WHERE id IN (600, 601, 602)"), 3);
	assert_int_equal(open_view(COWFS_LAZY), 0);
	assert_int_equal(count_names("/made/d00"), FILES + 3);
	assert_int_equal(stat_made("/made/d01/also", &st), 0);
	assert_int_equal(st.stx_nlink, 2);
	assert_int_equal(cowfs_getxattr(fs, &req, NULL, "/made/d00/noted", 0, "user.x", value, sizeof value), 1);
	assert_int_equal(stat_made("/made/d00/fifo", &st), 0);
	assert_true(S_ISFIFO(st.stx_mode));
}

static void damage(const char *change)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(at("meta.db"), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, change, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_changes(db), 1);
	sqlite3_close(db);
}

/* Whoever looks into it gets EIO, again and again; the rest is as it was. Opened for reading alone, it is refused with a message. */
static void a_damaged_pack_is_not_believed(void **state)
{
	static const char *const changes[] = {
		"UPDATE packed SET items = substr(items, 1, length(items) - 1) WHERE dir = 13",		/* cut */
		"UPDATE packed SET items = items || x'02' WHERE dir = 13",				/* and more */
		"UPDATE packed SET items = items || items WHERE dir = 13",				/* names again */
		"UPDATE packed SET items = (SELECT items FROM packed WHERE dir = 12) WHERE dir = 13",	/* records of another */
		"UPDATE packed SET items = x'032e2e2f' || substr(items, 5) WHERE dir = 13",		/* a name that is none */
		"UPDATE packed SET items = x'0366303000' || substr(items, 7) WHERE dir = 13",		/* record 0 */
		"DELETE FROM packed WHERE dir = 13",
	};
	struct statx st;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		import(NULL);
		bool gone = i + 1 == ARRAY_LEN(changes);
		if (!gone)
			damage(changes[i]);
		assert_int_equal(open_view(COWFS_LAZY), 0);
		if (gone)
			damage(changes[i]); /* under the supervisor's feet */
		assert_int_equal(stat_made("/made/d02/f00", &st), 0);
		assert_int_equal(stat_made("/made/d03/none", &st), -EIO);
		assert_int_equal(stat_made("/made/d03/none", &st), -EIO);
		assert_int_equal(change_mode(3), -EIO); /* of what could be read: else the rest would go */
		assert_int_equal(cowfs_commit(fs, false), 0);
		if (!gone)
			assert_int_equal(number("SELECT count(*) FROM packed"), DIRS + 1);
		CLEAN_FREE char *why = cowfs_fetch_error(fs);
		assert_non_null(why);
		assert_non_null(strstr(why, "is damaged"));
		assert_int_equal(stat_made("/made/d04/f00", &st), 0);
		assert_int_equal(cowfs_unlink(fs, &req, NULL, "/made/d03", AT_REMOVEDIR), -EIO);
		assert_int_equal(cowfs_rename(fs, &req, NULL, "/made/d03", NULL, "/made/aside", 0), 0); /* its own name is a row */
		assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
		if (!gone)
			assert_int_equal(open_view(COWFS_READONLY), -EUCLEAN);
	}
}

static void bad_packs_are_not_imported(void **state)
{
	char *err = NULL;

	(void)state;
	for (int i = 0; i < 3; i++) {
		CowImport *to = begin_import();
		CowRecord r = name_of(dir_of(0), i == 0 ? "f00" : "zz", 700); /* a name that is there */
		give(to, &r);
		r = inode_of(700, i == 1 ? S_IFREG | 0644 | 1 << 20 : S_IFREG | 0644); /* a mode that is none: a row, which nobody believes */
		give(to, &r);
		if (i == 2)
			r = inode_of(500, S_IFLNK | 0777), r.value = "again", r.n_value = 5, give(to, &r); /* a record that is there */
		assert_int_equal(cow_import_finish(to, &err), i == 1 ? 0 : -EBADMSG);
		free(TAKE_PTR(err));
		cow_import_free(to);
		if (i == 1)
			assert_int_equal(open_view(COWFS_LAZY), -EUCLEAN);
	}
}

/* After an unclean end what no row and no pack names goes, and nothing else. */
static void bodies_of_packs_are_no_leftovers(void **state)
{
	char *err = NULL;
	BlobStore *blobs = NULL;
	int fd = -1;

	(void)state;
	import(NULL);
	damage("UPDATE state SET value = 0 WHERE key = 'clean'");
	assert_int_equal(blob_ops_find("dir")->open(at("blobs"), 0, &blobs, &err), 0);
	assert_int_equal(blob_create(blobs, 999999, 0600, O_WRONLY, &fd), 0);
	close(fd);
	blob_close(blobs);
	assert_int_equal(open_view(COWFS_LAZY), 0);
	assert_int_equal(blob_ops_find("dir")->open(at("blobs"), 0, &blobs, &err), 0);
	assert_false(blob_is_here(blobs, 999999) && blob_open(blobs, 999999, O_RDONLY, &fd) == 0);
	blob_close(blobs);
	assert_made("/made/d39/f29", file_of(39, 29));
}

static void who_opens_what_is_lost_is_told(void **state)
{
	struct open_how how = {.flags = O_RDONLY};
	CowFile file = {.fd = -1};
	BlobStore *blobs = NULL;
	char *err = NULL;

	(void)state;
	import(NULL);
	assert_int_equal(blob_ops_find("dir")->open(at("blobs"), 0, &blobs, &err), 0);
	assert_int_equal(blob_remove(blobs, file_of(8, 8)), 0);
	blob_close(blobs);
	assert_int_equal(open_view(COWFS_LAZY), 0);
	assert_int_equal(count_names("/made/d08"), FILES);
	assert_int_equal(cowfs_openat(fs, &req, NULL, "/made/d08/f08", &how, &file), -EIO);
	CLEAN_FREE char *why = cowfs_fetch_error(fs);
	assert_non_null(why);
	assert_non_null(strstr(why, "the content of a file"));
	assert_null(cowfs_fetch_error(fs));
	assert_made("/made/d08/f09", file_of(8, 9));
	assert_int_equal(cowfs_unlink(fs, &req, NULL, "/made/d08/f08", 0), 0);
	reopen_view(); /* as the damage is gone */
}

static int count_record(void *ctx, const CowRecord *r)
{
	size_t *counts = ctx;

	counts[r->kind]++;
	return 0;
}

typedef struct Order {
	CowRecord last;
	char name[NAME_MAX + 1];
	bool wrong;
} Order;

static int check_order(void *ctx, const CowRecord *r)
{
	Order *o = ctx;
	int order = r->kind != o->last.kind ? (int)r->kind - (int)o->last.kind : 0;

	if (!order && r->kind == COW_RECORD_DENTRY)
		order = r->dir != o->last.dir ? (r->dir > o->last.dir ? 1 : -1) : strncmp(r->name, o->name, r->n_name);
	else if (!order && r->kind == COW_RECORD_INODE)
		order = r->id > o->last.id ? 1 : -1;
	o->wrong |= o->last.id && order <= 0;
	o->last = *r;
	if (r->kind == COW_RECORD_DENTRY)
		snprintf(o->name, sizeof o->name, "%.*s", (int)r->n_name, r->name);
	return 0;
}

static void packs_are_exported_between_rows(void **state)
{
	size_t counts[3] = {0};
	Order order = {0};
	CowExport *e = NULL;
	char *err = NULL;

	(void)state;
	import(give_what_is_not_packed);
	assert_int_equal(open_view(COWFS_LAZY), 0);
	assert_int_equal(change_mode(6), 0);
	assert_int_equal(make_one(7), 0);
	assert_int_equal(cowfs_commit(fs, false), 0);
	CowfsConfig config = {.db_path = at("meta.db"), .flags = COWFS_READONLY};
	assert_int_equal(blob_ops_find("dir")->open(at("blobs"), BLOB_OPEN_READONLY, &config.blobs, &err), 0);
	assert_int_equal(cow_export_open(&config, false, &e, &err), 0);
	assert_int_equal(cow_export_walk(e, count_record, counts, &err), 0);
	assert_int_equal(counts[COW_RECORD_DENTRY], 1 + DIRS + 1 + DIRS * FILES + 4 + 1);
	assert_int_equal(counts[COW_RECORD_INODE], 2 + DIRS + 1 + DIRS * FILES + 3 + 1);
	assert_int_equal(counts[COW_RECORD_XATTR], 1);
	assert_int_equal(cow_export_walk(e, check_order, &order, &err), 0); /* and a second time */
	assert_false(order.wrong);
	cow_export_close(e);
}

#define MANY 5000

static void give_many(CowImport *to)
{
	char text[40];

	for (unsigned i = 0; i < MANY; i++) {
		snprintf(text, sizeof text, "one-of-many-%06u", i);
		CowRecord r = name_of(dir_of(0), text, 100000 + i);
		give(to, &r);
		r = inode_of(100000 + i, S_IFREG | 0644);
		give(to, &r);
	}
}

static void fill_disk(int fd)
{
	static char junk[65536];

	for (ssize_t n = sizeof junk; n > 0; n /= 2)
		while (write(fd, junk, (size_t)n) > 0)
			;
}

/* The removal of one file makes rows of all the others first, and there is room for that. */
static void a_full_disk_is_emptied_by_a_removal_in_a_pack(void **state)
{
	struct open_how how = {.flags = O_WRONLY};
	CowFile file = {.fd = -1};
	int rc = -ENOSPC;

	(void)state;
	assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
	if (mount("tmpfs", base, "tmpfs", 0, "size=64m") < 0)
		skip(); /* only root may mount */
	import(give_many);
	assert_int_equal(open_view(COWFS_LAZY), 0);
	assert_int_equal(cowfs_openat(fs, &req, NULL, "/made/d00/f00", &how, &file), 0);
	assert_int_equal(cowfs_mkdir(fs, &req, NULL, "/made/first", 0755), 0); /* room is kept with the first batch */
	assert_int_equal(cowfs_commit(fs, false), 0);
	fill_disk(file.fd);
	close(file.fd);
	assert_int_equal(cowfs_unlink(fs, &req, NULL, "/made/d00/f00", 0), 0);
	for (int i = 0; i < 100 && rc == -ENOSPC; i++) {
		usleep(50000);
		rc = cowfs_mkdir(fs, &req, NULL, "/made/dir", 0755);
		if (rc == 0)
			rc = cowfs_commit(fs, false);
	}
	assert_int_equal(rc, 0);
	assert_int_equal(count_names("/made/d00"), FILES - 1 + MANY);
	assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
	assert_int_equal(umount(base), 0);
}

static _Atomic int surprises; /* cmocka's assertions work in the main thread only */

static void *look_around(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	for (int i = 0; i < 300; i++) {
		char path[64];
		struct statx st;
		seed = seed * 1103515245 + 12345;
		unsigned d = seed / 65536 % DIRS, f = seed / 7 % FILES;
		snprintf(path, sizeof path, "/made/d%02u/f%02u", d, f);
		if (stat_made(path, &st) != 0 || st.stx_mtime.tv_sec != 7)
			surprises++;
		CowAttr attr = {.set = COW_SET_MODE, .mode = 0640};
		if (i % 10 == 0 && cowfs_setattr(fs, &req, NULL, path, 0, &attr) != 0)
			surprises++;
		snprintf(path, sizeof path, "/made/d%02u", d);
		CowLoc dir = {0};
		char buf[8192];
		uint64_t pos = 0;
		if (cowfs_resolve(fs, &req, NULL, path, COW_DIRECTORY, 0, &dir) != 0 || cowfs_getdents(fs, &req, &dir, &pos, buf, sizeof buf) < 500)
			surprises++;
		cowloc_release(&dir);
	}
	return NULL;
}

static void several_may_look_at_once(void **state)
{
	pthread_t threads[4];

	(void)state;
	import(NULL);
	assert_int_equal(open_view(COWFS_LAZY), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, look_around, (void *)(uintptr_t)(i + 1)), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(surprises, 0);
	assert_int_equal(count_names("/made"), DIRS + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_directory_is_read_when_somebody_looks_into_it), CASE(a_change_makes_rows_of_its_directory), CASE(what_cannot_be_packed_is_beside_it), CASE(a_damaged_pack_is_not_believed),
		CASE(bad_packs_are_not_imported), CASE(bodies_of_packs_are_no_leftovers), CASE(who_opens_what_is_lost_is_told), CASE(packs_are_exported_between_rows), CASE(a_full_disk_is_emptied_by_a_removal_in_a_pack), CASE(several_may_look_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
