/* tests/guest/locks.c - flock and record locks between processes, on host files and new ones; leases.
 * COVERS: flock fcntl */
#include "guest.h"

#include <sys/file.h>

static const char *path;

static void other_flock(void)
{
	int fd = open(path, O_RDONLY), rw = open(path, O_RDWR);

	ERR(flock(fd, LOCK_SH | LOCK_NB));
	ERR(flock(rw, LOCK_EX | LOCK_NB));
	ERR(flock(fd, LOCK_UN));
}

static void other_record(void)
{
	int fd = open(path, O_RDWR);
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 5}, far = {.l_type = F_WRLCK, .l_start = 100, .l_len = 5};

	ERR(fcntl(fd, F_SETLK, &l));
	ERR(fcntl(fd, F_SETLK, &far));
	ERR(fcntl(fd, F_GETLK, &l));
	printf("   held: type %d parent %s\n", l.l_type, l.l_pid == getppid() ? "yes" : "no");
	l.l_pid = 0;
	l.l_type = F_RDLCK;
	ERR(fcntl(fd, F_OFD_SETLK, &l));
}

static void both(const char *name)
{
	path = name;
	int fd = FD(open(name, O_RDWR));

	ERR(flock(fd, LOCK_EX));
	in_child("other", other_flock);
	ERR(flock(fd, LOCK_SH));
	in_child("other", other_flock);
	ERR(flock(fd, LOCK_UN));
	in_child("other", other_flock);
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};
	ERR(fcntl(fd, F_SETLK, &l));
	in_child("other", other_record);
	l.l_type = F_UNLCK;
	ERR(fcntl(fd, F_SETLK, &l));
	in_child("other", other_record);
	close(fd);
}

/* A lock taken through one name, and one taken after the first write, is the same file's. */
static void by_names(void)
{
	ERR(link("hard1", "hard3"));
	int fd = FD(open("hard3", O_RDWR));
	ERR(write(fd, "T", 1));
	ERR(flock(fd, LOCK_EX));
	path = "hard2";
	in_child("other name", other_flock);
	ERR(rename("hard2", "dir/hard2"));
	path = "dir/hard2";
	in_child("renamed", other_flock);
	close(fd);
	in_child("released", other_flock);
}

static void directories(void)
{
	path = "dir";
	int fd = FD(open("dir", O_RDONLY)), second = FD(open("dir", O_RDONLY));

	ERR(flock(fd, LOCK_EX | LOCK_NB));
	ERR(flock(second, LOCK_EX | LOCK_NB));
	ERR(flock(fd, LOCK_UN));
	ERR(flock(second, LOCK_EX | LOCK_NB));
	ERR(mkdir("newdir", 0755));
	fd = FD(open("newdir", O_RDONLY));
	second = FD(open("newdir", O_RDONLY));
	ERR(flock(fd, LOCK_EX | LOCK_NB));
	ERR(flock(second, LOCK_SH | LOCK_NB));
}

static void waits(void)
{
	int status, fd = FD(open("file2", O_RDWR));

	ERR(flock(fd, LOCK_EX));
	pid_t pid = fork();
	if (pid == 0) {
		int own = open("file2", O_RDWR);

		_exit(flock(own, LOCK_EX) == 0 && pwrite(own, "after", 5, 0) == 5 ? 0 : 1);
	}
	nap_ms(100);
	show("file2");
	ERR(flock(fd, LOCK_UN));
	waitpid(pid, &status, 0);
	print_status("waiter", status);
	show("file2");
}

int main(void)
{
	both("file");
	ERR(put("fresh", "new file\n"));
	both("fresh");
	by_names();
	directories();
	waits();
	ERR(flock(999, LOCK_SH));
	ERR(flock(open("file", O_PATH), LOCK_SH));
	ERR(flock(open("file", O_RDONLY), 99));
	return 0;
}
