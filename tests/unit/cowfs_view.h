/* tests/unit/cowfs_view.h - a view on a small host tree, for the unit tests of cowfs: BASE/h is the host's, BASE/meta.db and BASE/blobs the sandbox's.
 * Names are relative to BASE. */
#ifndef TESTS_UNIT_COWFS_VIEW_H
#define TESTS_UNIT_COWFS_VIEW_H

#include "base/maps.h"
#include "cowfs/cowfs.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/xattr.h>

#include <cmocka.h>

static char base[64];
static Cowfs *fs;
static CowCred cred; /* this process's: the host's files belong to the one whose view it is */
static const CowReq req = {.cred = &cred, .may_block = true};

static inline const char *at(const char *rest)
{
	static char buf[4][PATH_MAX];
	static int turn;
	char *out = buf[turn++ % 4];

	snprintf(out, PATH_MAX, "%s/%s", base, rest);
	return out;
}

static inline void put_host(const char *name, const char *text)
{
	int fd = open(at(name), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(bv_write_full(fd, text, strlen(text)), 0);
	close(fd);
}

/* What this process has mapped: the tests hold on overlayfs, too. */
static inline int list_own_maps(void *ctx, bool guests, CowMappedVisit visit, void *visit_ctx)
{
	(void)ctx;
	(void)guests;
	return maps_of_process(getpid(), visit, visit_ctx);
}

static int (*list_maps)(void *ctx, bool guests, CowMappedVisit visit, void *visit_ctx) = list_own_maps;
static uint64_t spool_bound;

static inline int open_view(unsigned flags)
{
	char *err = NULL;
	CowfsConfig config = {.db_path = at("meta.db"), .mark_dir = at("mark"), .flags = flags, .mapped = list_maps, .spool_bound = spool_bound};

	assert_int_equal(blob_ops_find("dir")->open(at("blobs"), BLOB_OPEN_CREATE, &config.blobs, &err), 0);
	int rc = cowfs_open(&config, &fs, &err);
	if (rc < 0) {
		print_message("%s\n", err);
		fs = NULL;
	}
	free(err);
	return rc;
}

static inline void reopen_view(void)
{
	assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
	assert_int_equal(open_view(0), 0);
}

static inline int setup(void **state)
{
	(void)state;
	cred = (CowCred){.uid = geteuid(), .gid = getegid()};
	strcpy(base, "/var/tmp/cowfs-test-XXXXXX");
	assert_non_null(mkdtemp(base));
	assert_int_equal(mkdir(at("h"), 0755), 0);
	assert_int_equal(mkdir(at("h/sub"), 0755), 0);
	assert_int_equal(mkdir(at("mark"), 0700), 0);
	put_host("h/a", "alpha");
	put_host("h/sub/b", "beta");
	assert_int_equal(open_view(COWFS_CREATE), 0);
	return 0;
}

static inline int teardown(void **state)
{
	char *err = NULL;

	(void)state;
	if (fs) {
		int rc = cowfs_check(fs, &err);
		if (rc < 0)
			print_message("%s\n", err);
		assert_int_equal(rc, 0);
		assert_int_equal(cowfs_close(fs), 0);
	}
	fs = NULL;
	return bv_remove_tree_at(AT_FDCWD, base);
}

static inline int open_in(const char *name, int flags)
{
	struct open_how how = {.flags = (unsigned)flags, .mode = flags & O_CREAT ? 0644 : 0};
	CowFile file = {.fd = -1};
	int rc = cowfs_openat(fs, &req, NULL, at(name), &how, &file);

	return rc < 0 ? rc : file.fd;
}

static inline void put(const char *name, const char *text)
{
	int fd = open_in(name, O_CREAT | O_TRUNC | O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(bv_write_full(fd, text, strlen(text)), 0);
	close(fd);
}

static inline void assert_text(const char *name, const char *text)
{
	char buf[64] = "";
	int fd = open_in(name, O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(bv_read_full(fd, buf, sizeof buf - 1), strlen(text));
	assert_string_equal(buf, text);
	close(fd);
}

static inline int stat_in(const char *name, struct statx *st)
{
	return cowfs_statx(fs, &req, NULL, at(name), COW_NOFOLLOW, STATX_BASIC_STATS, st);
}

static char told[4096];

static inline int tell(void *ctx, const CowChange *c)
{
	size_t n = strlen(told), skip = strlen(base) + 1;

	(void)ctx;
	snprintf(told + n, sizeof told - n, "%c %s%s%s\n", "AMDTR"[c->kind], c->path + skip, c->old_path ? " < " : "", c->old_path ? c->old_path + skip : "");
	return 0;
}

static inline void assert_changes(const char *expected)
{
	told[0] = '\0';
	assert_int_equal(cowfs_changes(fs, false, tell, NULL), 0);
	assert_string_equal(told, expected);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
