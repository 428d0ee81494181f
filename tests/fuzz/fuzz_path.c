/* tests/fuzz/fuzz_path.c - any bytes as a sequence of calls with any bytes as paths, on a view over a small tree.
 *
 * The input is read as records: call, flags, then two NUL-terminated paths. Found: crashes and sanitizer reports, violated invariants
 * after the last call, and a lower tree that changed. The tree and the view are made once; each input starts from an empty upper layer. */
#include "tests/oracle/oracle.h"

#include <sys/stat.h>
#include <sys/xattr.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Input {
	const uint8_t *at, *end;
} Input;

static World *world;
static char *before;

static unsigned take_byte(Input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static unsigned take_16(Input *in)
{
	unsigned low = take_byte(in);

	return low | take_byte(in) << 8;
}

/* A leading 0x01 stands for the root of the tree, so that absolute paths are not left to luck. */
static void take_path(Input *in, char *buf, size_t size)
{
	size_t n = 0;

	if (in->at < in->end && *in->at == 1) {
		in->at++;
		n = (size_t)snprintf(buf, size, "%s", world->lower);
	}
	while (in->at < in->end && *in->at && n + 1 < size)
		buf[n++] = (char)*in->at++;
	if (in->at < in->end && !*in->at)
		in->at++;
	buf[n] = 0;
}

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

static void fresh_view(void)
{
	char path[300];

	cow_close_world(world);
	world->why[0] = 0;
	snprintf(path, sizeof path, "%s/store", world->dir);
	if (bv_remove_tree_at(AT_FDCWD, path) < 0)
		fail("cannot remove the old store");
	static const char *const files[] = {"meta.db", "meta.db-wal", "meta.db-shm"};
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(path, sizeof path, "%s/%s", world->dir, files[i]);
		unlink(path);
	}
	if (cow_open_world(world, true) < 0)
		fail(world->why);
}

static void set_up(void)
{
	char lower[200];

	if (world)
		return;
	umask(0);
	world = calloc(1, sizeof *world);
	if (world_init(world, "/dev/shm", "dir", 1) < 0)
		fail(world->why);
	snprintf(lower, sizeof lower, "%s/lower", world->dir);
	before = manifest_take(lower, false);
}

/* atexit would run in libFuzzer's children, too; the scratch directory of a finding is left for looking at. */
static __attribute__((destructor)) void clean_up(void)
{
	if (!world)
		return;
	world_release(world, false);
	free(before);
	free(world);
	world = NULL;
}

static void open_and_use(Input *in, const CowReq *req, const CowLoc *at, const char *p1)
{
	struct open_how how = {.flags = take_16(in) & ~(unsigned)O_DIRECT, .mode = take_16(in) & 07777, .resolve = take_byte(in) & 0x1f};
	CowFile file = {.fd = -1};
	char buf[64];

	how.flags |= take_byte(in) & 1 ? (unsigned)O_PATH : (unsigned)O_NONBLOCK;
	if (cowfs_openat(world->fs, req, at, p1, &how, &file) < 0)
		return;
	struct statx st;
	if (statx(file.fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st) == 0)
		cowfs_translate_statx(world->fs, &st);
	if (write(file.fd, p1, strlen(p1)) < 0 && read(file.fd, buf, sizeof buf) < 0)
		errno = 0; /* a descriptor without either right is fine */
	close(file.fd);
}

static void list_dir(const CowReq *req, const CowLoc *at, const char *p1, size_t size)
{
	_Alignas(8) char buf[600];
	CLEAN_LOC CowLoc loc = {0};
	uint64_t pos = size * 7919;

	if (cowfs_resolve(world->fs, req, at, p1, COW_DIRECTORY, 0, &loc) < 0 || loc.kind == COW_LOWER)
		return;
	while (cowfs_getdents(world->fs, req, &loc, &pos, buf, MIN(size, sizeof buf)) > 0)
		;
}

static void set_attr(Input *in, const CowReq *req, const CowLoc *at, const char *p1)
{
	CowAttr attr = {.set = take_byte(in) & 63, .mode = take_16(in), .uid = take_16(in), .gid = take_16(in)};

	attr.atime = (struct timespec){.tv_sec = take_16(in), .tv_nsec = take_byte(in) & 1 ? UTIME_NOW : 7};
	attr.mtime = (struct timespec){.tv_sec = -(time_t)take_16(in), .tv_nsec = take_byte(in) & 1 ? UTIME_NOW : 9};
	if (cowfs_setattr(world->fs, req, at, p1, take_byte(in) & 7, &attr) > 0)
		fail("setattr answered a positive number");
}

static int one_call(Input *in, const CowReq *req, const CowLoc *at)
{
	char p1[PATH_MAX + 64], p2[PATH_MAX + 64], buf[300];
	unsigned call = take_byte(in), flags = take_byte(in);
	struct statx st;

	take_path(in, p1, sizeof p1);
	take_path(in, p2, sizeof p2);
	switch (call % 18) {
	case 0:
		open_and_use(in, req, at, p1);
		return 0;
	case 1:
		return cowfs_mkdir(world->fs, req, at, p1, 0755);
	case 2:
		return cowfs_unlink(world->fs, req, at, p1, flags & 1 ? AT_REMOVEDIR : 0);
	case 3:
		return cowfs_rename(world->fs, req, at, p1, at, p2, flags & 7);
	case 4:
		return cowfs_link(world->fs, req, at, p1, at, p2, flags & 1 ? AT_SYMLINK_FOLLOW : 0);
	case 5:
		return cowfs_symlink(world->fs, req, p2, at, p1);
	case 6:
		return (int)MIN(cowfs_readlink(world->fs, req, at, p1, flags & 7, buf, 1 + flags), 0);
	case 7:
		return cowfs_mknod(world->fs, req, at, p1, (mode_t)(flags << 8 | 0644), 0);
	case 8:
		set_attr(in, req, at, p1);
		return 0;
	case 9:
		return cowfs_truncate(world->fs, req, at, p1, take_16(in));
	case 10:
		return cowfs_setxattr(world->fs, req, at, p1, flags & 7, p2, p1, strlen(p1), flags >> 4 & 3);
	case 11:
		return (int)MIN(cowfs_getxattr(world->fs, req, at, p1, flags & 7, p2, buf, flags), 0);
	case 12:
		return (int)MIN(cowfs_listxattr(world->fs, req, at, p1, flags & 7, buf, sizeof buf), 0);
	case 13:
		return cowfs_removexattr(world->fs, req, at, p1, flags & 7, p2);
	case 14:
		return cowfs_access(world->fs, req, at, p1, flags & 3, flags >> 2 & 7);
	case 15:
		return cowfs_statx(world->fs, req, at, p1, flags & 7, STATX_BASIC_STATS, &st);
	case 16:
		list_dir(req, at, p1, flags * 4);
		return 0;
	default:
		return cowfs_commit(world->fs, false);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input in = {data, data + size};
	char *err = NULL;

	set_up();
	fresh_view();
	CowReq req = {.cred = &world->cred, .may_block = true};
	CLEAN_LOC CowLoc at = {0};
	if (cowfs_resolve(world->fs, &req, NULL, world->lower, COW_DIRECTORY, 0, &at) < 0)
		fail("the root of the tree is gone");
	for (int i = 0; i < 200 && in.at < in.end; i++)
		if (one_call(&in, &req, &at) > 0)
			fail("a call answered a positive number");
	if (cowfs_check(world->fs, &err) < 0)
		fail(err ? err : "check failed");
	char lower[200];
	snprintf(lower, sizeof lower, "%s/lower", world->dir);
	CLEAN_FREE char *now = manifest_take(lower, false);
	if (strcmp(before, now) != 0)
		fail("the lower tree was touched");
	return 0;
}
