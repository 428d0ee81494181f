/* tests/escape/sockets.c - unix sockets of the host: by path, by abstract name, by what comes over them. The victim counts who connects and what it gets. */
#include "escape.h"

static int stream(void)
{
	int s = socket(AF_UNIX, SOCK_STREAM, 0);

	NEED(s >= 0);
	return s;
}

static void connect_to(const char *path)
{
	struct sockaddr_un un = unix_addr(path);

	connect(stream(), (struct sockaddr *)&un, sizeof un);
}

static void enter(const char *name)
{
	NEED(chdir(in(name)) == 0);
}

ATTEMPT(sock_path, "connect by path", HARMS, "")
{
	enter(".");
	connect_to("host/sock");
	connect_to("./host/../host/sock");
}

ATTEMPT(sock_symlink, "connect through a symbolic link", HARMS, "")
{
	enter("host");
	NEED(symlink("sock", "own") == 0);
	connect_to("own");
}

ATTEMPT(sock_renamed, "connect in a directory that was renamed, and to a socket that was", HARMS, "")
{
	enter(".");
	rename("host/sock", "host/moved");
	connect_to("host/moved");
	rename("host", "host2");
	connect_to("host2/moved");
	connect_to("host2/sock");
}

ATTEMPT(sock_linked, "connect to another hard link of the socket, and to one below the grant", HARMS, "")
{
	enter(".");
	link("host/sock", "host/linked");
	connect_to("host/linked");
	link("host/sock", "rw/linked");
	connect_to("rw/linked");
}

ATTEMPT(sock_proc, "connect by /proc/self/cwd, root and fd/N", HARMS, "")
{
	enter("host");
	connect_to("/proc/self/cwd/sock");
	connect_to(fmt_path("/proc/self/fd/%d/sock", open(".", O_PATH | O_DIRECTORY)));
	connect_to(fmt_path("/proc/self/fd/%d", open("sock", O_PATH)));
}

ATTEMPT(sock_victim_cwd, "connect by the working directory of the victim", HARMS, "")
{
	connect_to(fmt_path("/proc/%d/cwd/../host/sock", victim()));
}

ATTEMPT(sock_length, "connect with lengths that end within or behind the path", HARMS, "")
{
	struct sockaddr_un un = unix_addr("host/sockX");

	enter(".");
	for (socklen_t len = 0; len <= sizeof un + 8; len++) {
		char room[256] = {0};
		memcpy(room, &un, sizeof un);
		connect(stream(), (struct sockaddr *)room, len);
	}
}

ATTEMPT(sock_abstract, "connect to an abstract name", HARMS, "")
{
	socklen_t len;
	struct sockaddr_un un = abstract_addr(given("ABSTRACT"), &len);

	connect(stream(), (struct sockaddr *)&un, len);
}

ATTEMPT(sock_abstract_prefix, "names that a prefix of the sandbox might make the host's", FAILS("natively a name is a name"), "")
{
	for (int cut = 0; cut < 24; cut++) {
		socklen_t len;
		struct sockaddr_un un = abstract_addr(given("ABSTRACT"), &len);
		memmove(un.sun_path + 1 + cut, un.sun_path + 1, len - offsetof(struct sockaddr_un, sun_path) - 1);
		memset(un.sun_path + 1, cut % 2 ? 0 : ':', (size_t)cut);
		connect(stream(), (struct sockaddr *)&un, len + (socklen_t)cut);
	}
}

ATTEMPT(sock_abstract_bind, "an abstract name taken away from the host's programs", FAILS("the runner has not reserved one"), "")
{
	socklen_t len;
	struct sockaddr_un un = abstract_addr(given("ABSTRACT"), &len), real;

	NEED(bind(stream(), (struct sockaddr *)&un, len) == 0); /* that one is the victim's: here it is ours */
	socklen_t shown = sizeof real;
	int s = stream();
	NEED(bind(s, (struct sockaddr *)&un, sizeof(sa_family_t)) == 0 && getsockname(s, (struct sockaddr *)&real, &shown) == 0);
}

ATTEMPT(sock_datagram, "sendto by path", HARMS, "")
{
	struct sockaddr_un un = unix_addr("host/dsock");

	enter(".");
	sendto(socket(AF_UNIX, SOCK_DGRAM, 0), "x", 1, 0, (struct sockaddr *)&un, sizeof un);
}

ATTEMPT(sock_datagram_abstract, "sendto an abstract name", HARMS, "")
{
	socklen_t len;
	struct sockaddr_un un = abstract_addr(fmt_path("%s-d", given("ABSTRACT")), &len);

	sendto(socket(AF_UNIX, SOCK_DGRAM, 0), "x", 1, 0, (struct sockaddr *)&un, len);
}

ATTEMPT(sock_datagram_connect, "connect, then send without an address", HARMS, "")
{
	struct sockaddr_un un = unix_addr("host/dsock");
	int s = socket(AF_UNIX, SOCK_DGRAM, 0);

	enter(".");
	connect(s, (struct sockaddr *)&un, sizeof un);
	send(s, "x", 1, 0);
	if (write(s, "x", 1) != 1)
		puts("not written");
}

ATTEMPT(sock_message, "sendmsg with a path", HARMS, "")
{
	struct sockaddr_un un = unix_addr("host/dsock");
	struct iovec iov = {(char *)"x", 1};
	struct msghdr m = {.msg_name = &un, .msg_namelen = sizeof un, .msg_iov = &iov, .msg_iovlen = 1};

	enter(".");
	sendmsg(socket(AF_UNIX, SOCK_DGRAM, 0), &m, 0);
}

ATTEMPT(sock_messages, "sendmmsg, whose second message has the path", HARMS, "")
{
	struct sockaddr_un un = unix_addr("host/dsock"), own = unix_addr("host/sub/own");
	struct iovec iov = {(char *)"x", 1};
	struct mmsghdr m[2] = {{.msg_hdr = {.msg_name = &own, .msg_namelen = sizeof own, .msg_iov = &iov, .msg_iovlen = 1}},
			       {.msg_hdr = {.msg_name = &un, .msg_namelen = sizeof un, .msg_iov = &iov, .msg_iovlen = 1}}};

	enter(".");
	NEED(bind(socket(AF_UNIX, SOCK_DGRAM, 0), (struct sockaddr *)&own, sizeof own) == 0);
	NEED(sendmmsg(socket(AF_UNIX, SOCK_DGRAM, 0), m, 2, 0) >= 1);
}

ATTEMPT(sock_pair_to_path, "sendto from one end of a socket pair", HARMS, "")
{
	struct sockaddr_un un = unix_addr("host/dsock");
	int sv[2];

	enter(".");
	NEED(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv) == 0);
	sendto(sv[0], "x", 1, 0, (struct sockaddr *)&un, sizeof un);
}

ATTEMPT(sock_replace, "the host's socket replaced by one of its own", HARMS, "")
{
	struct sockaddr_un un = unix_addr("host/sock");
	int s = stream();

	enter(".");
	NEED(unlink("host/sock") == 0 && bind(s, (struct sockaddr *)&un, sizeof un) == 0 && listen(s, 1) == 0);
}

ATTEMPT(sock_bind, "a socket bound in the host's directory, and over a file", HARMS, "")
{
	struct sockaddr_un un = unix_addr("host/new.sock"), over = unix_addr("host/file");

	enter(".");
	bind(stream(), (struct sockaddr *)&over, sizeof over);
	NEED(bind(stream(), (struct sockaddr *)&un, sizeof un) == 0);
}

/* A descriptor that came with a message. */
static int received(int s)
{
	char control[CMSG_SPACE(sizeof(int))] = {0}, byte;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	int fd = -1;

	if (recvmsg(s, &m, 0) == 1 && CMSG_FIRSTHDR(&m))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
	return fd;
}

ATTEMPT(sock_receive, "a descriptor for writing received from a process of the host", HARMS, "")
{
	struct sockaddr_un un = unix_addr("host/sock");
	int s = stream();

	enter(".");
	if (connect(s, (struct sockaddr *)&un, sizeof un) == 0)
		write_to(received(s));
}

ATTEMPT(sock_receive_dir, "a directory's descriptor received over an inherited socket", HARMS, "stdin=giver")
{
	int dir = received(0);

	NEED(dir >= 0);
	write_to(openat(dir, "file", O_WRONLY));
	unlinkat(dir, "other", 0);
	mkdirat(dir, "made", 0755);
	write_to(openat(dir, "../rw/../host/sub/inner", O_WRONLY));
}

ATTEMPT(sock_receive_dir_hidden, "what is hidden, from a directory's descriptor received over an inherited socket", GAINS, "stdin=giver")
{
	int dir = received(0);

	NEED(dir >= 0);
	look(openat(dir, "../hidden/key", O_RDONLY), "openat");
	look_at(fmt_path("/proc/self/fd/%d/../hidden/key", dir), "fd/N");
	NEED(fchdir(dir) == 0);
	look_at("../hidden/key", "fchdir");
}

ATTEMPT(sock_credentials, "credentials of others in a message", FAILS("it takes a capability"), "")
{
	const struct ucred of[] = {{victim(), getuid(), getgid()}, {getppid(), getuid(), getgid()}, {getpid(), getuid() + 1, getgid()}, {getpid(), getuid(), getgid() + 1}};
	struct ucred cred;
	char control[CMSG_SPACE(sizeof cred)] = {0};
	struct iovec iov = {(char *)"x", 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	int sv[2];

	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
	*CMSG_FIRSTHDR(&m) = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_CREDENTIALS, .cmsg_len = CMSG_LEN(sizeof cred)};
	for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
		cred = of[i];
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &cred, sizeof cred);
		if (sendmsg(sv[0], &m, 0) == 1)
			got("was believed: %d %u %u", cred.pid, cred.uid, cred.gid);
	}
}

ATTEMPT(sock_rights_of_others, "numbers of descriptors that only the supervisor has, sent as ours", FAILS("there is no supervisor"), "")
{
	int sv[2];

	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
	for (int fd = sv[1] + 1; fd < 60; fd++) {
		char control[CMSG_SPACE(sizeof fd)] = {0};
		struct iovec iov = {(char *)"x", 1};
		struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
		*CMSG_FIRSTHDR(&m) = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &fd, sizeof fd);
		if (fcntl(fd, F_GETFD) < 0 && sendmsg(sv[0], &m, MSG_DONTWAIT) == 1)
			got("descriptor %d, which we do not have", fd);
	}
}
