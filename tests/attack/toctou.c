/* A thread rewrites what other threads pass: a path between a visible and a hidden file, a descriptor between two directories, a socket address
 * between the sandbox's and the host's socket. Nothing hidden may come out. HIDE: secret. SOCKET: host/sock */
#include "attack.h"

#include <linux/openat2.h>

static char path[4096], a[4096], b[4096];
static const char *dir;
static volatile bool go = true;
static struct sockaddr_un addr, addr_a, addr_b;
#define SLOT 98
static int fd_a, fd_b;

static void *flip(void *arg)
{
	(void)arg;
	while (go) {
		memcpy(path, b, sizeof path);
		memcpy(&addr, &addr_b, sizeof addr);
		dup2(fd_b, SLOT);
		memcpy(path, a, sizeof path);
		memcpy(&addr, &addr_a, sizeof addr);
		dup2(fd_a, SLOT);
	}
	return NULL;
}

static void look(int fd, const char *how)
{
	char buf[64] = "";

	if (fd < 0)
		return;
	if (read(fd, buf, sizeof buf - 1) > 0 && strstr(buf, "SECRET"))
		won("%s gave the hidden file", how);
	close(fd);
}

static void one_round(void)
{
	struct open_how how = {.flags = O_RDONLY};
	struct stat st;
	char relative[] = "key";

	look(open(path, O_RDONLY), "open");
	look((int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how), "openat2");
	int p = open(path, O_PATH);
	if (p >= 0) {
		char self[64];
		snprintf(self, sizeof self, "/proc/self/fd/%d", p);
		look(open(self, O_RDONLY), "O_PATH and reopen");
		if (syscall(SYS_newfstatat, p, "", &st, AT_EMPTY_PATH) == 0 && st.st_size == 18)
			won("O_PATH and fstat of the hidden file");
		close(p);
	}
	if (stat(path, &st) == 0 && st.st_size == 18)
		won("stat");
	look(openat(SLOT, relative, O_RDONLY), "openat");
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	if (connect(s, (struct sockaddr *)&addr, sizeof addr) == 0)
		won("connected to the host's socket");
	close(s);
	s = socket(AF_UNIX, SOCK_DGRAM, 0);
	if (sendto(s, "x", 1, 0, (struct sockaddr *)&addr, sizeof addr) == 1)
		won("sent to the host's socket");
	struct iovec iov = {(char *)"x", 1};
	struct msghdr m = {.msg_name = &addr, .msg_namelen = sizeof addr, .msg_iov = &iov, .msg_iovlen = 1};
	if (sendmsg(s, &m, 0) == 1)
		won("sendmsg to the host's socket");
	close(s);
}

/* chdir is left to the kernel where it agrees: a lost race puts the kernel's cwd into a hidden directory. */
static void change_dir(void)
{
	char here[4096];

	snprintf(a, sizeof a, "%s/host/sub", dir);
	snprintf(b, sizeof b, "%s/secret/", dir);
	for (double end = race_end(2); now() < end && !wins;) {
		if (chdir(path) < 0)
			continue;
		look(open("key", O_RDONLY), "chdir");
		look(open("./key", O_RDONLY), "chdir");
		if (getcwd(here, sizeof here) && strstr(here, "secret"))
			won("getcwd says %s", here);
	}
	if (chdir("/") < 0)
		won("cannot leave");
}

int main(int argc, char **argv)
{
	pthread_t t;

	dir = argc > 1 ? argv[1] : ".";
	snprintf(a, sizeof a, "%s/host/file", dir);
	snprintf(b, sizeof b, "%s/secret/key", dir);
	memcpy(path, a, sizeof path);
	addr_a = addr_b = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(addr_a.sun_path, sizeof addr_a.sun_path, "/tmp/nobody");
	snprintf(addr_b.sun_path, sizeof addr_b.sun_path, "%.100s", in_dir(dir, "host/sock"));
	fd_a = open(in_dir(dir, "host"), O_RDONLY | O_DIRECTORY);
	fd_b = open(dir, O_RDONLY | O_DIRECTORY);
	NEED(fd_a >= 0 && fd_b >= 0);
	pthread_create(&t, NULL, flip, NULL);
	for (double end = race_end(5); now() < end && !wins;)
		one_round();
	change_dir();
	go = false;
	pthread_join(t, NULL);
	return verdict();
}
