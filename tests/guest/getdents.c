/* tests/guest/getdents.c - listing directories: merged content, positions, changes while listing, ten thousand entries.
 * FIXTURE: many
 * COVERS: getdents64 getdents lseek */
#include "guest.h"

struct Dirent64 {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

/* d_ino and d_type must be what stat says. */
static void check_identity(const char *path)
{
	DIR *dir = opendir(path);
	int wrong = 0, dots = 0, count = 0;

	if (!dir) {
		printf("%s: %s\n", path, errname(errno));
		return;
	}
	for (struct dirent *d; (d = readdir(dir)); count++) {
		struct stat st;

		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			dots++;
		if (fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_ino != d->d_ino ||
		    (d->d_type != DT_UNKNOWN && d->d_type != IFTODT(st.st_mode))) {
			wrong++;
			printf("   %s/", path);
			print_bytes(d->d_name, strlen(d->d_name));
			printf(" d_type %d disagrees with lstat\n", d->d_type);
		}
	}
	printf("%s: %d entries, %d dots, %d wrong\n", path, count, dots, wrong);
	closedir(dir);
}

static void merged(void)
{
	check_identity(".");
	check_identity("dir");
	check_identity("names");
	ERR(unlink("dir/a"));
	ERR(put("dir/new", "x"));
	ERR(mkdir("dir/newdir", 0755));
	ERR(symlink("x", "dir/newlink"));
	ERR(mkfifo("dir/newfifo", 0644));
	ERR(rename("dir/b", "dir/b2"));
	ERR(chmod("dir/sub", 0700));
	ERR(rename("file", "dir/file"));
	check_identity("dir");
	list("dir");
	ERR(rename("dir", "dir2"));
	check_identity("dir2");
	list("dir2");
	ERR(unlink("names/new\nline"));
	list("names");
	ERR(rmdir("emptydir"));
	ERR(mkdir("emptydir", 0755));
	check_identity("emptydir");
	check_identity(".");
	list("closed");
	list("file2");
	list("nothing");
	check_identity("dirlink");
}

/* Raw reads with buffers of every size; the whole listing must not depend on it. */
static int raw_count(int fd, size_t size, int *calls)
{
	char *buf = malloc(size);
	int count = 0;
	long n;

	*calls = 0;
	lseek(fd, 0, SEEK_SET);
	while ((n = syscall(__NR_getdents64, fd, buf, size)) > 0) {
		++*calls;
		for (long at = 0; at < n; at += ((struct Dirent64 *)(void *)(buf + at))->reclen)
			count++;
	}
	if (n < 0) {
		printf("   size %zu: %s\n", size, errname(errno));
		count = -1;
	}
	free(buf);
	return count;
}

static void buffers(const char *path)
{
	const size_t sizes[] = {0, 1, 8, 23, 24, 32, 48, 100, 280, 300, 1000, 32768, 1 << 20};
	int fd = open(path, O_RDONLY | O_DIRECTORY), calls;

	for (size_t i = 0; i < COUNT(sizes); i++) {
		int n = raw_count(fd, sizes[i], &calls);

		printf("%s by %zu: %d\n", path, sizes[i], n);
	}
	close_quiet(fd);
}

/* telldir/seekdir come back to the same name, also after others were removed. */
static void positions(const char *path, const char *remove_fmt)
{
	DIR *dir = opendir(path);
	long at[40];
	char names[40][256];
	int n = 0, wrong = 0;

	if (!dir)
		return;
	for (; n < 40; n++) {
		at[n] = telldir(dir);
		struct dirent *d = readdir(dir);
		if (!d)
			break;
		snprintf(names[n], sizeof(names[n]), "%s", d->d_name);
	}
	for (int i = n - 1; i >= 0; i--) {
		seekdir(dir, at[i]);
		struct dirent *d = readdir(dir);
		wrong += !d || strcmp(d->d_name, names[i]) != 0;
	}
	printf("%s: %d positions, %d wrong\n", path, n, wrong);
	if (remove_fmt) {
		for (int i = 0; i < 10; i++) {
			char gone[300];

			snprintf(gone, sizeof(gone), remove_fmt, i * 100);
			unlink(gone);
		}
		wrong = 0;
		for (int i = 0; i < n; i++) {
			struct stat st;

			if (fstatat(dirfd(dir), names[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
				continue;
			seekdir(dir, at[i]);
			struct dirent *d = readdir(dir);
			wrong += !d || strcmp(d->d_name, names[i]) != 0;
		}
		printf("%s after removals: %d wrong\n", path, wrong);
	}
	rewinddir(dir);
	int count = 0;
	while (readdir(dir))
		count++;
	printf("%s rewound: %d\n", path, count);
	closedir(dir);
}

/* What is there all the time is listed exactly once while other names come and go. */
static void changing(const char *path)
{
	static unsigned char seen[10000];
	DIR *dir = opendir(path);
	int step = 0, twice = 0, missed = 0;

	memset(seen, 0, sizeof(seen));
	for (struct dirent *d; (d = readdir(dir)); step++) {
		char name[64];
		unsigned i;

		if (sscanf(d->d_name, "entry-%u", &i) == 1 && i < COUNT(seen))
			twice += seen[i]++;
		if (step % 50 == 0) {
			snprintf(name, sizeof(name), "%s/extra-%d", path, step);
			put(name, "");
			snprintf(name, sizeof(name), "%s/extra-%d", path, step - 50);
			unlink(name);
			snprintf(name, sizeof(name), "%s/entry-%05d", path, step * 7 % 10000 | 1);
			unlink(name);
		}
	}
	closedir(dir);
	for (unsigned i = 0; i < COUNT(seen); i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s/entry-%05u", path, i);
		missed += !seen[i] && access(name, F_OK) == 0;
	}
	printf("%s while changing: %d twice, %d missed\n", path, twice, missed);
}

static void many_new(void)
{
	int made = 0;

	ERR(mkdir("fresh", 0755));
	for (int i = 0; i < 10000; i++) {
		char name[64];

		snprintf(name, sizeof(name), "fresh/entry-%05d", i);
		made += mknod(name, S_IFREG | 0600, 0) == 0;
	}
	VAL(made);
	check_identity("fresh");
	positions("fresh", "fresh/entry-%05d");
	changing("fresh");
}

static void odd_calls(void)
{
	char buf[1024];
	int file = FD(open("file2", O_RDONLY)), path = FD(open("other", O_PATH)), dir = FD(open("other", O_RDONLY));

	ERR(syscall(__NR_getdents64, file, buf, sizeof(buf)));
	ERR(syscall(__NR_getdents64, path, buf, sizeof(buf)));
	ERR(syscall(__NR_getdents64, 999, buf, sizeof(buf)));
	ERR(syscall(__NR_getdents64, dir, NULL, 0));
	ERR(syscall(__NR_getdents64, dir, buf, 1));
	VAL(syscall(__NR_getdents64, dir, buf, sizeof(buf)) > 0);
	VAL(syscall(__NR_getdents64, dir, buf, sizeof(buf)));
	VAL(syscall(__NR_getdents64, dir, buf, sizeof(buf)));
	VAL(lseek(dir, 0, SEEK_SET));
	int twin = FD(dup(dir));
	VAL(syscall(__NR_getdents64, twin, buf, sizeof(buf)) > 0);
	VAL(syscall(__NR_getdents64, dir, buf, sizeof(buf)));
	ERR(lseek(dir, -1, SEEK_SET));
	ERR(read(dir, buf, 1));
	ERR(rename("other", "other2"));
	VAL(lseek(dir, 0, SEEK_SET));
	VAL(syscall(__NR_getdents64, dir, buf, sizeof(buf)) > 0);
	ERR(mkdir("gone", 0755));
	int gone = FD(open("gone", O_RDONLY));
	ERR(rmdir("gone"));
	VAL(syscall(__NR_getdents64, gone, buf, sizeof(buf)));
#ifdef __NR_getdents
	VAL(lseek(dir, 0, SEEK_SET));
	VAL(syscall(__NR_getdents, dir, buf, sizeof(buf)) > 0);
	VAL(syscall(__NR_getdents, dir, buf, sizeof(buf)));
	ERR(syscall(__NR_getdents, file, buf, sizeof(buf)));
	VAL(lseek(dir, 0, SEEK_SET));
	ERR(syscall(__NR_getdents, dir, buf, 1));
#endif
}

int main(void)
{
	merged();
	check_identity("many");
	buffers("many");
	buffers("names");
	buffers("dir2");
	positions("many", NULL);
	positions("many", "many/entry-%05d");
	changing("many");
	many_new();
	odd_calls();
	/* A descriptor of O_PATH lists nothing, whoever answers. */
	ERR(mkdir("dir/made-now", 0755));
	char entries[1024];
	int path = FD(open("dir", O_PATH | O_DIRECTORY));
	ERR(syscall(__NR_getdents64, path, entries, sizeof(entries)));
	return 0;
}
