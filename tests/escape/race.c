/* tests/escape/race.c - races: a second thread, another sandbox or the host changes what a call is about while it is looked at. */
#include "escape.h"

#include <linux/fs.h>
#include <linux/openat2.h>

#define SLOT 98

static char path[4096], path_a[4096], path_b[4096];
static struct sockaddr_un addr, addr_a, addr_b;
static struct iovec iov[2];
static struct open_how how, how_a, how_b;
static int fd_a, fd_b;
static volatile bool go = true;

/* Each round changes all that attempts may have set up. */
static void *flip(void *arg)
{
	(void)arg;
	while (go) {
		memcpy(path, path_b, sizeof path);
		memcpy(&addr, &addr_b, sizeof addr);
		memcpy(&how, &how_b, sizeof how);
		dup2(fd_b, SLOT);
		iov[0].iov_base = NULL;
		memcpy(path, path_a, sizeof path);
		memcpy(&addr, &addr_a, sizeof addr);
		memcpy(&how, &how_a, sizeof how);
		dup2(fd_a, SLOT);
		iov[0].iov_base = path;
	}
	return NULL;
}

static void begin(void)
{
	pthread_t t;

	if (fd_a <= 0) {
		fd_a = open("/dev/null", O_RDONLY);
		fd_b = open("/dev/null", O_WRONLY);
	}
	memcpy(path, path_a, sizeof path);
	NEED(fd_a >= 0 && fd_b >= 0 && dup2(fd_a, SLOT) == SLOT && pthread_create(&t, NULL, flip, NULL) == 0);
}

static void paths(const char *a, const char *b)
{
	snprintf(path_a, sizeof path_a, "%s", a);
	snprintf(path_b, sizeof path_b, "%s", b);
}

/* Until the end of the race, or the first success. */
#define RACE(...) for (double end_ = race_end(); now() < end_ && !has_got();) __VA_ARGS__

ATTEMPT(race_open, "a path between a visible and a hidden file: open, openat2, O_PATH, stat", GAINS, "race")
{
	struct open_how plain = {.flags = O_RDONLY};
	struct stat st;

	paths(in("host/file"), in("hidden/key"));
	begin();
	RACE({
		look(open(path, O_RDONLY), "open");
		look((int)syscall(SYS_openat2, AT_FDCWD, path, &plain, sizeof plain), "openat2");
		int fd = open(path, O_PATH);
		look_at(fmt_path("/proc/self/fd/%d", fd), "O_PATH");
		close(fd);
		if (stat(path, &st) == 0 && st.st_size < 100)
			got("stat");
	})
}

ATTEMPT(race_link, "paths of link, symlink, rename and readlink between visible and hidden files", GAINS, "race")
{
	char text[64];

	paths(in("host/file"), in("hidden/key"));
	begin();
	RACE({
		link(path, in("host/linked"));
		look_at(in("host/linked"), "link");
		unlink(in("host/linked"));
		if (readlink(path, text, sizeof text) > 0)
			got("readlink");
	})
}

ATTEMPT(race_flags, "openat2's flags in memory between reading and writing", HARMS, "race")
{
	how_a = (struct open_how){.flags = O_RDONLY};
	how_b = (struct open_how){.flags = O_WRONLY};
	how = how_a;
	begin();
	RACE({
		write_to((int)syscall(SYS_openat2, AT_FDCWD, in("host/file"), &how, sizeof how));
		usleep(100);
	})
}

ATTEMPT(race_chdir, "chdir between a visible and a hidden directory", GAINS, "race")
{
	char here[4096];

	paths(in("host/sub"), in("hidden/"));
	begin();
	RACE({
		if (chdir(path) == 0) {
			look(open("key", O_RDONLY), "chdir");
			look(open("./key", O_RDONLY), "chdir");
			if (getcwd(here, sizeof here) && strstr(here, "/hidden"))
				got("getcwd: %s", here);
		}
	})
}

ATTEMPT(race_exec, "execve between a visible and a hidden script", GAINS, "race")
{
	paths("/bin/true", in("hidden/script"));
	begin();
	RACE({
		int status;
		int p[2];
		NEED(pipe(p) == 0);
		pid_t pid = vfork();
		if (pid == 0) {
			char *const argv[] = {(char *)"x", NULL};
			dup2(p[1], 1);
			execve(path, argv, NULL);
			_exit(1);
		}
		close(p[1]);
		look(p[0], "a hidden script ran");
		waitpid(pid, &status, 0);
	})
}

ATTEMPT(race_argv, "the words of a script of the sandbox's own, which the supervisor copies", FAILS("there is no supervisor"), "race")
{
	int fd = open(in("host/own.sh"), O_WRONLY | O_CREAT, 0755);
	NEED(fd >= 0 && write(fd, "#!/bin/true\n", 12) == 12 && close(fd) == 0);
	paths("word", "");
	begin();
	RACE({
		char *argv[64];
		int status;
		for (size_t i = 0; i < 63; i++)
			argv[i] = iov[0].iov_base;
		argv[63] = NULL;
		pid_t pid = fork();
		if (pid == 0) {
			pthread_t t;
			pthread_create(&t, NULL, flip, NULL);
			for (size_t i = 0; i < 63; i++)
				argv[i] = i % 2 ? path : (char *)&addr;
			execv(in("host/own.sh"), argv);
			_exit(1);
		}
		waitpid(pid, &status, 0);
	})
	if (!still_served())
		got("the supervisor no longer answers");
}

ATTEMPT(race_dirfd, "a directory's descriptor between two directories", GAINS, "race")
{
	fd_a = open(in("host"), O_RDONLY | O_DIRECTORY);
	fd_b = open(given("DIR"), O_RDONLY | O_DIRECTORY);
	begin();
	RACE({
		look(openat(SLOT, "hidden/key", O_RDONLY), "openat");
		look(openat(SLOT, "../hidden/key", O_RDONLY), "openat with ..");
	})
}

ATTEMPT(race_fchmod, "a descriptor between a file of the sandbox's own and a host file: fchmod, ftruncate, futimens", HARMS, "race")
{
	fd_a = open(in("host/mine"), O_RDWR | O_CREAT, 0600);
	fd_b = host_file();
	begin();
	RACE({
		fchmod(SLOT, 0640);
		futimens(SLOT, NULL);
		ftruncate(SLOT, 3);
	})
}

ATTEMPT(race_listing, "a descriptor between a clean directory and /proc, listed", GAINS, "race")
{
	static char buf[65536];

	fd_a = open("/proc", O_RDONLY | O_DIRECTORY);
	fd_b = open(in("host/sub"), O_RDONLY | O_DIRECTORY);
	begin();
	RACE({
		lseek(fd_a, 0, SEEK_SET);
		lseek(fd_b, 0, SEEK_SET);
		long n = syscall(SYS_getdents64, SLOT, buf, sizeof buf);
		for (long at = 0; at < n; at += *(unsigned short *)(void *)(buf + at + 16))
			if (strcmp(buf + at + 19, "1") == 0)
				got("the host's processes");
	})
}

static void addresses(const char *b)
{
	NEED(chdir(given("DIR")) == 0);
	addr = addr_a = unix_addr("host/sub/nobody");
	addr_b = unix_addr(b);
}

ATTEMPT(race_connect, "an address between nobody's and the host's socket: connect", HARMS, "race")
{
	addresses("host/sock");
	begin();
	RACE({
		int s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(s, (struct sockaddr *)&addr, sizeof addr);
		close(s);
	})
}

ATTEMPT(race_sendto, "an address between nobody's and the host's socket: sendto", HARMS, "race")
{
	int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	addresses("host/dsock");
	begin();
	RACE(sendto(s, "x", 1, 0, (struct sockaddr *)&addr, sizeof addr);)
}

ATTEMPT(race_sendmsg, "address, vectors and buffers of sendmsg and sendmmsg", HARMS, "race")
{
	int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	struct mmsghdr m = {.msg_hdr = {.msg_name = &addr, .msg_namelen = sizeof addr, .msg_iov = iov, .msg_iovlen = 2}};

	addresses("host/dsock");
	paths("x", "y");
	iov[0] = iov[1] = (struct iovec){path, 1};
	begin();
	RACE({
		sendmsg(s, &m.msg_hdr, 0);
		sendmmsg(s, &m, 1, 0);
	})
}

static void *exchange(void *arg)
{
	(void)arg;
	while (go)
		syscall(SYS_renameat2, AT_FDCWD, in("rw/s1"), AT_FDCWD, in("rw/s2"), RENAME_EXCHANGE);
	return NULL;
}

/* rw/s1 is a directory at one moment and a link to host at the next. */
static void write_below_grant(void)
{
	struct sockaddr_un un = unix_addr("rw/s1/made.sock");

	NEED(chdir(given("DIR")) == 0);
	RACE({
		write_at(in("rw/s1/file"), O_WRONLY | O_CREAT);
		chmod(in("rw/s1/other"), 0777);
		truncate(in("rw/s1/other"), 0);
		mkdir(in("rw/s1/made"), 0755);
		rename(in("rw/inside"), in("rw/s1/moved"));
		int s = socket(AF_UNIX, SOCK_STREAM, 0);
		bind(s, (struct sockaddr *)&un, sizeof un);
		close(s);
		unlink(in("rw/s1/link"));
	})
}

ATTEMPT(race_grant, "a directory below the grant and a link out of it change places", HARMS, "race")
{
	pthread_t t;

	NEED(mkdir(in("rw/s1"), 0755) == 0 && symlink("../host", in("rw/s2")) == 0 && pthread_create(&t, NULL, exchange, NULL) == 0);
	write_below_grant();
}

ATTEMPT(race_other_sandbox, "another sandbox with the same grant does that", HARMS, "race helper=exchange")
{
	write_below_grant();
}

ATTEMPT(race_host_link, "the host makes a directory a link to a hidden one and back", GAINS, "race hosthelper=exchange_host")
{
	RACE({
		look_at(in("host/s1/key"), "open");
		int dir = open(in("host/s1"), O_RDONLY | O_DIRECTORY);
		look(openat(dir, "key", O_RDONLY), "openat");
		close(dir);
		if (chdir(in("host/s1")) == 0)
			look_at("key", "chdir");
	})
}

static void *move_about(void *arg)
{
	(void)arg;
	while (go) {
		rename(in("host/sub"), in("host/deep/er/sub"));
		rename(in("host/deep/er/sub"), in("host/sub"));
	}
	return NULL;
}

ATTEMPT(race_walker, "a directory is moved while a path with .. goes through it", HARMS, "race")
{
	pthread_t t;

	mkdir(in("host/deep"), 0755);
	mkdir(in("host/deep/er"), 0755);
	int dir = open(in("host/sub"), O_RDONLY | O_DIRECTORY);
	NEED(dir >= 0 && fchdir(dir) == 0 && pthread_create(&t, NULL, move_about, NULL) == 0);
	RACE({
		write_at("../../host/file", O_WRONLY);
		write_to(openat(dir, "../../hidden/key", O_WRONLY));
		write_to(openat(dir, "../../../hidden/key", O_WRONLY));
		write_at(in("host/deep/er/sub/../../../../hidden/key"), O_WRONLY);
		unlinkat(dir, "../../other", 0);
	})
}

/* What other processes do in some of these races: until they are ended. */
int helper_main(const char *what)
{
	bool host = strcmp(what, "exchange_host") == 0;
	const char *a = in(host ? "host/s1" : "rw/s1"), *b = in(host ? "host/s2" : "rw/s2");

	NEED(mkdir(a, 0755) == 0 && symlink(host ? "../hidden" : "../host", b) == 0);
	puts("ready");
	for (;;)
		syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}
