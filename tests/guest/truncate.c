/* tests/guest/truncate.c - sizes: truncate, ftruncate and the modes of fallocate.
 * COVERS: truncate ftruncate fallocate */
#include "guest.h"

#ifndef FALLOC_FL_KEEP_SIZE
#include <linux/falloc.h>
#endif

static void size_of(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		printf("   %s: %s\n", path, errname(errno));
	else
		printf("   %s: size %lld sparse %d mtime %s mode %04o\n", path, (long long)st.st_size, st.st_blocks * 512 < st.st_size, recent(st.st_mtim) ? "recent" : "old", st.st_mode & 07777);
}

static void paths(void)
{
	const char *const all[] = {"file", "empty", "hard1", "sparse", "big", "dir", "link", "dirlink", "dangling", "loop1", "fifo", "sock", "nothing", "nothing/x", "file/x", "file/", "", ".", "closed/x",
		"readonly", "noperm", "rodir/inside"};
	const off_t sizes[] = {5, 0, 1000000, 100, -1, INT64_MIN};

	for (size_t i = 0; i < COUNT(all); i++)
		for (size_t s = 0; s < COUNT(sizes); s++) {
			LABEL(truncate(all[i], sizes[s]), "truncate %s %lld", all[i], (long long)sizes[s]);
			size_of(all[i]);
		}
	ERR(truncate("file2", 11));
	ERR(truncate("file2", 20));
	show("file2");
	ERR(truncate("file2", INT64_MAX));
	size_of("file2");
}

static void descriptors(void)
{
	int fd = FD(open("file2", O_RDWR)), ro = FD(open("file2", O_RDONLY)), dir = FD(open("dir", O_RDONLY)), pipes[2];

	ERR(ftruncate(fd, 3));
	size_of("file2");
	ERR(ftruncate(ro, 3));
	ERR(ftruncate(dir, 3));
	ERR(ftruncate(999, 3));
	ERR(ftruncate(fd, -1));
	ERR(pipe(pipes));
	ERR(ftruncate(pipes[1], 0));
	ERR(ftruncate(fd, 1 << 20));
	size_of("file2");
	ERR(unlink("file2"));
	ERR(ftruncate(fd, 7));
	VAL(lseek(fd, 0, SEEK_END));
}

static void allocate(void)
{
	const int modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE, 0x80, 0x1000};
	int fd = FD(open("big", O_RDWR)), ro = FD(open("big", O_RDONLY)), dir = FD(open("dir", O_RDONLY));

	for (size_t i = 0; i < COUNT(modes); i++) {
		char byte = 0;

		LABEL(fallocate(fd, modes[i], 65536, 65536), "fallocate %#x", modes[i]);
		size_of("big");
		VAL(pread(fd, &byte, 1, 65536 + 7));
		printf("   byte %d\n", byte);
		LABEL(fallocate(fd, modes[i], 4 << 20, 4096), "fallocate beyond %#x", modes[i]);
		size_of("big");
	}
	ERR(fallocate(ro, 0, 0, 10));
	ERR(fallocate(dir, 0, 0, 10));
	ERR(fallocate(999, 0, 0, 10));
	ERR(fallocate(fd, 0, -1, 10));
	ERR(fallocate(fd, 0, 0, 0));
	ERR(posix_fallocate(fd, 0, 8192));
}

int main(void)
{
	paths();
	ERR(truncate("file2", 11));
	descriptors();
	allocate();
	return 0;
}
