/* tests/guest/sync.c - every way to make data durable, on every kind of descriptor.
 * COVERS: sync fsync fdatasync syncfs sync_file_range msync */
#include "guest.h"

static void every_call(const char *label, int fd)
{
	LABEL(fsync(fd), "fsync %s", label);
	LABEL(fdatasync(fd), "fdatasync %s", label);
	LABEL(syncfs(fd), "syncfs %s", label);
	LABEL(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE), "sync_file_range %s", label);
}

static int unlinked_file(void)
{
	int fd = open("fresh", O_RDWR);

	unlink("fresh");
	return fd;
}

int main(void)
{
	int pipes[2];

	ERR(put("fresh", "x"));
	ERR(mkdir("newdir", 0755));
	ERR(pipe(pipes));
	every_call("host file", open("file", O_RDONLY));
	every_call("written host file", open("file2", O_RDWR));
	every_call("new file", open("fresh", O_RDWR));
	every_call("host directory", open("dir", O_RDONLY));
	every_call("new directory", open("newdir", O_RDONLY));
	every_call("O_PATH", open("file", O_PATH));
	every_call("pipe", pipes[0]);
	every_call("fifo", open("fifo", O_RDWR));
	every_call("/dev/null", open("/dev/null", O_RDWR));
	every_call("bad", 999);
	every_call("unlinked", unlinked_file());
	int fd = FD(open("synced", O_RDWR | O_CREAT | O_SYNC | O_DIRECT, 0644));
	close_quiet(fd);
	fd = FD(open("synced", O_RDWR | O_CREAT | O_DSYNC, 0644));
	VAL(write(fd, "durable", 7));
	sync();
	char *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	m[0] = 'D';
	ERR(msync(m, 4096, MS_SYNC));
	ERR(msync(m, 4096, MS_ASYNC));
	ERR(msync(m + 1, 4096, MS_SYNC));
	show("synced");
	ERR(rename("synced", "newdir/synced"));
	ERR(fsync(open("newdir", O_RDONLY)));
	show("newdir/synced");
	for (int i = 0; i < 50; i++)
		if (pwrite(fd, "again", 5, i) != 5 || fsync(fd) < 0)
			printf("round %d: %s\n", i, errname(errno));
	return 0;
}
