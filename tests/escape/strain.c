/* tests/escape/strain.c - the supervisor's own memory, descriptors, threads and time, used up by what guests pass to it. Others must go on being served. */
#include "escape.h"

#include <sys/inotify.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#define NO_SUPERVISOR FAILS("there is no supervisor")

static void check(void)
{
	if (!still_served())
		got("others are no longer served");
}

ATTEMPT(strain_vectors, "messages of 1,024 vectors of 4 MiB, from many processes", NO_SUPERVISOR, "")
{
	static struct iovec iov[1024];
	char *big = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct sockaddr_un un = unix_addr("host/sub/nobody");
	struct msghdr m = {.msg_name = &un, .msg_namelen = sizeof un, .msg_iov = iov, .msg_iovlen = 1024};

	NEED(big != MAP_FAILED && chdir(given("DIR")) == 0);
	for (size_t i = 0; i < 1024; i++)
		iov[i] = (struct iovec){big, 4 << 20};
	for (int i = 0; i < 8; i++)
		if (fork() == 0) {
			int sv[2];
			socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
			for (int k = 0; k < 20; k++) {
				sendmsg(sv[0], &(struct msghdr){.msg_iov = iov, .msg_iovlen = 1024}, MSG_DONTWAIT);
				sendmsg(sv[0], &m, MSG_DONTWAIT);
			}
			_exit(0);
		}
	check();
	while (wait(NULL) > 0)
		;
	check();
}

ATTEMPT(strain_vector_lengths, "vectors whose lengths wrap around", NO_SUPERVISOR, "")
{
	static const size_t lengths[] = {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / 2 + 1, 1UL << 63, UINT32_MAX, 1UL << 32};
	int sv[2];

	NEED(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv) == 0);
	for (size_t i = 0; i < 6; i++)
		for (size_t n = 0; n < 6; n++) {
			struct iovec iov[3] = {{sv, lengths[i]}, {sv, lengths[n]}, {sv, 1}};
			struct msghdr m = {.msg_iov = iov, .msg_iovlen = n ? 3 : lengths[i], .msg_control = sv, .msg_controllen = lengths[n]};
			sendmsg(sv[0], &m, MSG_DONTWAIT);
			syscall(SYS_sendto, sv[0], sv, lengths[i], MSG_DONTWAIT, sv, lengths[n]);
		}
	check();
}

ATTEMPT(strain_argv, "2 MiB of words for a script of the sandbox's own", NO_SUPERVISOR, "")
{
	static char *argv[65536];
	static char word[100000];
	int fd = open(in("host/own.sh"), O_WRONLY | O_CREAT, 0755);

	NEED(fd >= 0 && write(fd, "#!/bin/true\n", 12) == 12 && close(fd) == 0);
	memset(word, 'x', sizeof word - 1);
	for (int round = 0; round < 4; round++) {
		int status;
		pid_t pid = fork();
		for (size_t i = 0; i < 65535; i++)
			argv[i] = round == 0 ? (char *)"0123456789" : round == 1 ? word : round == 2 && i < 20 ? word : round == 3 ? (char *)"" : NULL;
		if (pid == 0) {
			execve(in("host/own.sh"), argv, round == 3 ? argv : environ);
			_exit(1);
		}
		NEED(ends_within(pid, 40, &status));
	}
	check();
}

ATTEMPT(strain_paths, "paths of PATH_MAX, without an end, and at the border of memory", NO_SUPERVISOR, "")
{
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct stat st;

	NEED(page != MAP_FAILED && munmap(page + 4096, 4096) == 0);
	for (size_t n = 0; n < 4096; n += 61) {
		char *at = page + n;
		memset(page, n % 3 ? '/' : 'a', 4096);
		open(at, O_RDONLY);
		stat(at, &st);
		rename(at, at);
		symlink(at, at);
		execve(at, (char **)(void *)at, (char **)(void *)at);
		setxattr(at, at, at, 4096, 0);
		syscall(SYS_openat2, AT_FDCWD, at, at, 4096);
		connect(0, (struct sockaddr *)at, 4096);
	}
	check();
}

ATTEMPT(strain_deep, "a tree of 2,000 directories, walked and moved", NO_SUPERVISOR, "")
{
	NEED(chdir(in("host/sub")) == 0);
	for (int i = 0; i < 2000; i++)
		if (mkdir("d", 0755) < 0 || chdir("d") < 0)
			break;
	char here[4096];
	getcwd(here, sizeof here);
	write_at("leaf", O_WRONLY | O_CREAT);
	rename(in("host/sub/d"), in("host/moved"));
	check();
}

ATTEMPT(strain_links, "chains and circles of symbolic links", NO_SUPERVISOR, "")
{
	struct stat st;
	char path[4096] = "";

	NEED(chdir(in("host/sub")) == 0 && symlink("b", "a") == 0 && symlink("a", "b") == 0 && symlink(".", "self") == 0);
	for (int i = 0; i < 100; i++)
		symlink(fmt_path("l%d", i + 1), fmt_path("l%d", i));
	for (int i = 0; i < 800; i++)
		memcpy(path + i * 5, "self/", 5);
	for (int i = 0; i < 300; i++) {
		if (stat("a", &st) == 0 || stat("l0", &st) == 0 || stat(path, &st) == 0)
			got("a circle has an end");
		open(i % 2 ? "l70" : path, O_RDWR | O_CREAT, 0644);
	}
	check();
}

static void *ask(void *arg)
{
	struct stat st;

	(void)arg;
	for (int i = 0; i < 30; i++) {
		stat(in("host/file"), &st);
		close(open(in("host/other"), O_RDWR));
	}
	return NULL;
}

ATTEMPT(strain_threads, "1,500 threads that ask at the same time", NO_SUPERVISOR, "slow")
{
	static pthread_t t[1500];
	pthread_attr_t attr;
	size_t n = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	while (n < 1500 && pthread_create(&t[n], &attr, ask, NULL) == 0)
		n++;
	check();
	for (size_t i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	check();
}

ATTEMPT(strain_forks, "a fork bomb of 400 processes, half of them orphans", NO_SUPERVISOR, "slow")
{
	for (int i = 0; i < 200; i++)
		if (fork() == 0) {
			if (fork() == 0)
				setsid();
			ask(NULL);
			_exit(0);
		}
	check();
	while (wait(NULL) > 0)
		;
	check();
}

ATTEMPT(strain_descriptors, "descriptors in flight in sockets, more than a process may have", NO_SUPERVISOR, "alone")
{
	int fds[253], sv[2], sent = 0;
	char control[CMSG_SPACE(sizeof fds)] = {0};
	struct iovec iov = {(char *)"x", 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};

	for (int i = 0; i < 253; i++)
		fds[i] = 1;
	*CMSG_FIRSTHDR(&m) = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fds)};
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), fds, sizeof fds);
	for (int pair = 0; pair < 40 && socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0; pair++)
		while (sendmsg(sv[0], &m, MSG_DONTWAIT) == 1)
			sent++;
	printf("%d messages with descriptors\n", sent);
	check();
}

ATTEMPT(strain_open, "as many open files, directories and links as can be had", NO_SUPERVISOR, "")
{
	struct rlimit lim;

	NEED(getrlimit(RLIMIT_NOFILE, &lim) == 0);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	NEED(chdir(in("host/sub")) == 0);
	for (int i = 0; i < 3000; i++) {
		const char *name = fmt_path("%d", i);
		if (mkdir(name, 0755) < 0 || open(name, i % 2 ? O_RDONLY | O_DIRECTORY : O_PATH) < 0)
			break;
		symlink(name, fmt_path("%d.link", i));
	}
	check();
}

ATTEMPT(strain_misses, "30,000 names that are not there", NO_SUPERVISOR, "slow")
{
	struct stat st;

	for (int i = 0; i < 30000; i++)
		stat(in(fmt_path("host/none/%d", i)), &st);
	for (int i = 0; i < 6000; i++)
		unlink(in(fmt_path("host/none.%d", i)));
	check();
}

ATTEMPT(strain_watches, "watches of directories with many names, changed meanwhile", NO_SUPERVISOR, "slow")
{
	int fd = inotify_init1(IN_NONBLOCK);

	NEED(chdir(in("host/sub")) == 0);
	for (int i = 0; i < 3000; i++)
		close(creat(fmt_path("%d", i), 0644));
	for (int i = 0; i < 200; i++) {
		int w = inotify_add_watch(fd, ".", IN_ALL_EVENTS);
		rename("0", "00");
		rename("00", "0");
		inotify_rm_watch(fd, w);
	}
	check();
}

ATTEMPT(strain_attributes, "attributes of 64 KiB, many of them, and lists of them", NO_SUPERVISOR, "")
{
	static char value[70000];
	char name[64];

	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof name, "user.%d", i);
		if (setxattr(in("host/file"), name, value, i % 2 ? 65536 : 70000, 0) < 0 && errno == ENOSPC)
			break;
	}
	listxattr(in("host/file"), value, sizeof value);
	check();
}

ATTEMPT(strain_buffers, "buffers of impossible sizes for listings, links, attributes and paths", NO_SUPERVISOR, "")
{
	static const long sizes[] = {0, 1, -1, INT32_MAX, UINT32_MAX, INT64_MAX, 1L << 40};
	int dir = open(in("host"), O_RDONLY | O_DIRECTORY);
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t i = 0; i < 7; i++) {
		lseek(dir, i % 2 ? INT64_MAX : 0, SEEK_SET);
		syscall(SYS_getdents64, dir, page, sizes[i]);
		syscall(SYS_readlinkat, AT_FDCWD, in("host/link"), page, sizes[i]);
		syscall(SYS_getcwd, page, sizes[i]);
		syscall(SYS_getxattr, in("host/file"), "user.kept", page, sizes[i]);
		syscall(SYS_listxattr, in("host/file"), page, sizes[i]);
		syscall(SYS_setxattr, in("host/file"), "user.x", page, sizes[i], 0);
		syscall(SYS_sched_getaffinity, 0, sizes[i], page);
		syscall(SYS_openat2, AT_FDCWD, in("host/file"), page, sizes[i]);
		syscall(SYS_sendmmsg, dir, page, sizes[i], 0);
		syscall(SYS_truncate, in("host/other"), sizes[i]);
		syscall(SYS_getgroups, sizes[i], page);
	}
	check();
}

static void *hold(void *arg)
{
	open(arg, O_RDONLY);
	return NULL;
}

ATTEMPT(strain_blocked, "300 threads that wait in opens of FIFOs, then killed", NO_SUPERVISOR, "")
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		pthread_attr_t attr;
		pthread_attr_init(&attr);
		pthread_attr_setstacksize(&attr, 65536);
		mkfifo(in("host/fifo"), 0600);
		char *path = strdup(in("host/fifo"));
		for (int i = 0; i < 300; i++) {
			pthread_t t;
			pthread_create(&t, &attr, hold, path);
		}
		pause();
	}
	usleep(700000);
	check();
	kill(pid, SIGKILL);
	NEED(ends_within(pid, 20, &status));
	check();
}

ATTEMPT(strain_stopped, "a process stopped in the middle of its calls, for good", NO_SUPERVISOR, "")
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			ask(NULL);
	for (int i = 0; i < 50; i++) {
		usleep(2000);
		kill(pid, SIGSTOP);
		check();
		kill(pid, i < 49 ? SIGCONT : SIGSTOP);
	}
	kill(pid, SIGKILL);
	NEED(ends_within(pid, 20, &status));
}

ATTEMPT(strain_killed, "processes killed at every moment of their calls", NO_SUPERVISOR, "")
{
	for (int i = 0; i < 300; i++) {
		int status;
		pid_t pid = fork();
		if (pid == 0)
			for (;;) {
				close(open(in("host/new"), O_RDWR | O_CREAT, 0600));
				rename(in("host/new"), in("host/newer"));
				chdir(in("host/sub"));
				unlink(in("host/newer"));
			}
		usleep((useconds_t)(i * 7 % 2000));
		kill(pid, SIGKILL);
		NEED(ends_within(pid, 20, &status));
	}
	check();
}

ATTEMPT(strain_syncs, "fsync, sync and snapshots of state from many processes", NO_SUPERVISOR, "")
{
	for (int i = 0; i < 20; i++)
		if (fork() == 0) {
			for (int k = 0; k < 20; k++) {
				int fd = open(in(fmt_path("host/s%d.%d", i, k)), O_RDWR | O_CREAT, 0600);
				fsync(fd);
				close(fd);
				sync();
			}
			_exit(0);
		}
	check();
	while (wait(NULL) > 0)
		;
}
