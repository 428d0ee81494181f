/* tests/oracle/prepare.c - the tree both sides start from: the same seed gives the same tree, with old times, below any root. */
#include "tests/oracle/oracle.h"

#include <sys/xattr.h>

static int put_file(int dir, const char *name, size_t size, mode_t mode, uint64_t seed)
{
	CLEAN_FREE unsigned char *buf = malloc(size + 1);
	CLEAN_FD int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL, mode);

	if (!buf || fd < 0)
		return -1;
	fill_pattern(buf, size, seed);
	return bv_write_full(fd, buf, size);
}

static int put_sparse(int dir, const char *name)
{
	CLEAN_FD int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0644);

	if (fd < 0 || ftruncate(fd, 500000) < 0)
		return -1;
	return pwrite(fd, "island", 6, 300000) == 6 ? 0 : -1;
}

/* Old times for an object of the tree, derived from its name so that both copies agree. */
static int age(int dir, const char *name, uint64_t seed)
{
	uint64_t h = hash_stable(name, strlen(name)) ^ seed;
	struct timespec t[2] = {
		{.tv_sec = 1000000000 + (time_t)(h % 100000000), .tv_nsec = (long)(h % 1000000000)},
		{.tv_sec = 1100000000 + (time_t)(h % 99999999), .tv_nsec = (long)(h / 7 % 1000000000)},
	};

	return utimensat(dir, name, t, AT_SYMLINK_NOFOLLOW);
}

static int put_special(int dir, const char *root)
{
	char text[300];
	int r = 0;

	snprintf(text, sizeof text, "%s/d1/f1", root);
	r |= symlinkat("f1", dir, "s1");
	r |= symlinkat("d1", dir, "sd");
	r |= symlinkat(text, dir, "sabs");
	r |= symlinkat("loop2", dir, "loop1");
	r |= symlinkat("loop1", dir, "loop2");
	r |= symlinkat("nowhere", dir, "dangling");
	r |= symlinkat("../f2", dir, "up");
	r |= mkfifoat(dir, "fifo", 0644);
	r |= linkat(dir, "f1", dir, "h1", 0);
	return r;
}

static int fill_dir(int dir, const char *root, uint64_t seed, int depth)
{
	static const char *const files[] = {"f1", "f2", "f3", "new\nline", "bad\xff\xfe"};
	static const char *const dirs[] = {"d1", "d2", "d3"};
	char long_name[256];
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		r |= put_file(dir, files[i], (seed >> i * 4) % 9 * 700, i == 2 ? 0600 : 0644, seed + i);
	r |= put_special(dir, root);
	memset(long_name, 'L', 255);
	long_name[255] = 0;
	if (depth == 0)
		r |= put_file(dir, long_name, 10, 0644, 1) | put_file(dir, "big", 400000, 0644, 2) | put_sparse(dir, "sparse");
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		r |= mkdirat(dir, dirs[i], 0755);
		CLEAN_FD int child = openat(dir, dirs[i], O_RDONLY | O_DIRECTORY);
		if (depth < 2)
			r |= fill_dir(child, root, seed * 31 + i, depth + 1);
		r |= fsetxattr(child, "user.dir", "d", 1, 0);
	}
	CLEAN_FD int file = openat(dir, "f2", O_RDONLY);
	r |= fsetxattr(file, "user.one", "value one", 9, 0) | fsetxattr(file, "user.two", "2", 1, 0);
	static const char *const all[] = {"f1", "f2", "f3", "new\nline", "bad\xff\xfe", "s1", "sd", "sabs", "loop1", "loop2", "dangling",
					  "up", "fifo", "d1", "d2", "d3"};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		r |= age(dir, all[i], seed);
	if (depth == 0)
		r |= age(dir, long_name, 0) | age(dir, "big", 0) | age(dir, "sparse", 0);
	return r;
}

int tree_prepare(const char *root, uint64_t seed)
{
	CLEAN_FREE char *up = bv_asprintf("%s", root);
	int r = bv_mkdir_all(root);

	if (r < 0 || !up || chmod(root, 0755) < 0)
		return -1;
	CLEAN_FD int dir = open(root, O_RDONLY | O_DIRECTORY);
	r = fill_dir(dir, root, seed, 0);
	/* The levels of "t" above the root, too. */
	for (int i = 0; i < 5 && r == 0; i++) {
		struct timespec same[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
		r = utimensat(AT_FDCWD, up, same, 0);
		*strrchr(up, '/') = 0;
	}
	return r;
}
