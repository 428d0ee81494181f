/* tests/guest/mmap.c - mappings of files that change: shared ones stay coherent, private ones do not leak, executable ones run.
 * COVERS: mmap munmap msync mprotect mremap madvise */
#include "guest.h"

/* The end of the line of /proc/self/maps that has this name in it. */
static void show_mapping(const char *name)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[4096];

	while (maps && fgets(line, sizeof(line), maps)) {
		char *at = strstr(line, name);
		if (at)
			printf("maps: %s", at);
	}
	if (maps)
		fclose(maps);
}

static void shared(const char *path)
{
	char buf[16] = "";
	int fd = FD(open(path, O_RDWR)), again = FD(open(path, O_RDONLY));
	char *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), *r = mmap(NULL, 4096, PROT_READ, MAP_SHARED, again, 0);

	TRUTH(m != MAP_FAILED && r != MAP_FAILED);
	memcpy(m, "MAPPED", 6);
	VAL(pread(fd, buf, 6, 0));
	print_bytes(buf, 6);
	VAL(pread(again, buf, 6, 0));
	print_bytes(buf, 6);
	TRUTH(memcmp(r, "MAPPED", 6) == 0);
	VAL(pwrite(fd, "WRITTEN", 7, 0));
	TRUTH(memcmp(m, "WRITTEN", 7) == 0 && memcmp(r, "WRITTEN", 7) == 0);
	ERR(msync(m, 4096, MS_SYNC));
	close(fd);
	m[0] = 'w';
	VAL(pread(again, buf, 1, 0));
	print_bytes(buf, 1);
	show(path);
	ERR(rename(path, "renamed-map"));
	m[1] = 'r';
	show("renamed-map");
	show_mapping("renamed-map");
	ERR(unlink("renamed-map"));
	show_mapping("renamed-map");
	m[2] = 'i';
	TRUTH(r[2] == 'i');
	munmap(m, 4096);
	munmap(r, 4096);
	close(again);
}

static int forked_fd;
static char *forked_map;

static void child_maps(void)
{
	forked_map[0] = 'C';
	char *own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, forked_fd, 0);
	TRUTH(own[0] == 'C');
	own[1] = 'H';
}

static void kinds(void)
{
	int ro = FD(open("file2", O_RDONLY)), wo = FD(open("file2", O_WRONLY)), dir = FD(open("dir", O_RDONLY)), path = FD(open("file2", O_PATH)), empty = FD(open("empty", O_RDWR));

	ERR(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ro, 0));
	ERR(mmap(NULL, 4096, PROT_READ, MAP_SHARED, wo, 0));
	ERR(mmap(NULL, 4096, PROT_READ, MAP_SHARED, dir, 0));
	ERR(mmap(NULL, 4096, PROT_READ, MAP_SHARED, path, 0));
	ERR(mmap(NULL, 4096, PROT_READ, MAP_SHARED, 999, 0));
	ERR(mmap(NULL, 0, PROT_READ, MAP_SHARED, ro, 0));
	ERR(mmap(NULL, 4096, PROT_READ, MAP_SHARED, ro, 1));
	ERR(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, empty, 0));
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, ro, 0);
	p[0] = 'P';
	show("file2");
	ERR(mprotect(p, 4096, PROT_READ | PROT_EXEC));
	forked_fd = FD(open("dir/a", O_RDWR));
	ERR(ftruncate(forked_fd, 4096));
	forked_map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, forked_fd, 0);
	in_child("child", child_maps);
	TRUTH(forked_map[0] == 'C' && forked_map[1] == 'H');
}

/* A private mapping of an untouched host file keeps its bytes when the file is written in the sandbox and replaced by rename. */
static void replaced(void)
{
	int fd = FD(open("hard1", O_RDONLY));
	char *m = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);

	ERR(put("replacement", "a new body\n"));
	ERR(rename("replacement", "hard1"));
	print_bytes(m, 9);
	printf("\n");
	show("hard1");
	show("hard2");
}

static void executable(void)
{
#ifdef __x86_64__
	static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov eax, 42; ret */
#else
	static const unsigned char code[] = {0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6}; /* mov w0, 42; ret */
#endif
	int fd = FD(open("code", O_RDWR | O_CREAT, 0755));

	VAL(write(fd, code, sizeof(code)) == (ssize_t)sizeof(code));
	void *m = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	TRUTH(m != MAP_FAILED);
	int (*run)(void);
	memcpy(&run, &m, sizeof(run));
	VAL(run());
}

static void big_and_holes(void)
{
	int fd = FD(open("sparse", O_RDWR));
	char *m = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	TRUTH(m != MAP_FAILED);
	VAL(m[1 << 19]);
	m[1 << 19] = 'M';
	char c = 0;
	VAL(pread(fd, &c, 1, 1 << 19));
	VAL(c);
	m = mremap(m, 1 << 20, 2 << 20, MREMAP_MAYMOVE);
	TRUTH(m != MAP_FAILED);
	VAL(m[1 << 20]);
	ERR(madvise(m, 4096, MADV_DONTNEED));
	fd = FD(open("big", O_RDWR));
	m = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	TRUTH(m != MAP_FAILED && m[256 + 7] == 7);
	memset(m + 4096, 'z', 4096);
	VAL(pread(fd, &c, 1, 5000));
	VAL(c);
}

int main(void)
{
	shared("file");
	ERR(put("fresh", "fresh file\n"));
	shared("fresh");
	kinds();
	replaced();
	executable();
	big_and_holes();
	return 0;
}
