/* tests/bench/cowedit.c - opens an existing file for writing, overwrites 64 KiB in its middle, closes it: cowedit FILE */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static char block[64 * 1024];
	struct stat st;
	int fd = argc == 2 ? open(argv[1], O_RDWR) : -1;
	if (fd < 0 || fstat(fd, &st))
		err(1, "usage: cowedit FILE");
	if (pwrite(fd, block, sizeof(block), st.st_size / 2) != (ssize_t)sizeof(block) || close(fd))
		err(1, "%s", argv[1]);
	return 0;
}
