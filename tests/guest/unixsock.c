/* tests/guest/unixsock.c - unix sockets by path: bound in the tree, reached by name, gone with the name.
 * COVERS: socket bind connect listen accept accept4 getsockname getpeername sendto sendmsg sendmmsg recvfrom recvmsg socketpair */
#include "guest.h"

#include <sys/socket.h>
#include <sys/un.h>

static socklen_t address(struct sockaddr_un *a, const char *path)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	strncpy(a->sun_path, path, sizeof(a->sun_path) - 1);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
}

static int bind_at(int type, const char *path)
{
	struct sockaddr_un a;
	int s = socket(AF_UNIX, type, 0);
	socklen_t len = address(&a, path);

	if (LABEL(bind(s, (struct sockaddr *)&a, len), "bind type %d %s", type, path) < 0) {
		close(s);
		return -1;
	}
	return s;
}

static int connect_to(int type, const char *path)
{
	struct sockaddr_un a;
	int s = socket(AF_UNIX, type, 0);
	socklen_t len = address(&a, path);

	if (LABEL(connect(s, (struct sockaddr *)&a, len), "connect type %d %s", type, path) < 0) {
		close(s);
		return -1;
	}
	return s;
}

static void print_name(const char *label, int s, int (*get)(int, struct sockaddr *, socklen_t *))
{
	struct sockaddr_un a;
	socklen_t len = sizeof(a);

	memset(&a, 0, sizeof(a));
	if (get(s, (struct sockaddr *)&a, &len) < 0) {
		printf("   %s: %s\n", label, errname(errno));
		return;
	}
	printf("   %s: family %d length %d ", label, a.sun_family, (int)len);
	print_bytes(a.sun_path, len > offsetof(struct sockaddr_un, sun_path) ? len - offsetof(struct sockaddr_un, sun_path) : 0);
	printf("\n");
}

static int get_sock(int s, struct sockaddr *a, socklen_t *n)
{
	return getsockname(s, a, n);
}

static int get_peer(int s, struct sockaddr *a, socklen_t *n)
{
	return getpeername(s, a, n);
}

static void talk(int type, const char *path)
{
	char buf[32] = "";
	int server = bind_at(type, path);

	look(path);
	print_name("server", server, get_sock);
	connect_to(type, path); /* not listening yet */
	ERR(listen(server, 5));
	int client = connect_to(type, path), peer = FD(accept(server, NULL, NULL));
	print_name("client's peer", client, get_peer);
	print_name("accepted", peer, get_sock);
	VAL(write(client, "hello", 5));
	VAL(read(peer, buf, sizeof(buf)));
	VAL(write(peer, buf, 5));
	VAL(read(client, buf, sizeof(buf)));
	close(client);
	VAL(read(peer, buf, sizeof(buf)));
	close(peer);
	bind_at(type, path);
	connect_to(type == SOCK_STREAM ? SOCK_DGRAM : SOCK_STREAM, path);
	ERR(close(server));
	look(path);
	connect_to(type, path);
	ERR(open(path, O_RDWR));
	ERR(rename(path, "moved-sock"));
	look("moved-sock");
	ERR(unlink("moved-sock"));
	connect_to(type, path);
}

static void names(void)
{
	const char *const paths[] = {"file", "dir", "link", "dangling", "nothing/s", "file/s", "", "dir/s", "dirlink/s2", "rodir/s", "closed/s", "loop1", "sock", "new/"};

	for (size_t i = 0; i < COUNT(paths); i++) {
		if (*paths[i])
			close_quiet(bind_at(SOCK_STREAM, paths[i]));
		close_quiet(connect_to(SOCK_STREAM, paths[i]));
		close_quiet(connect_to(SOCK_DGRAM, paths[i]));
	}
	int s = bind_at(SOCK_STREAM, "renamed-server");
	ERR(listen(s, 20));
	ERR(rename("renamed-server", "new-name"));
	close_quiet(connect_to(SOCK_STREAM, "renamed-server"));
	close_quiet(connect_to(SOCK_STREAM, "new-name"));
	ERR(link("new-name", "second-name"));
	close_quiet(connect_to(SOCK_STREAM, "second-name"));
	ERR(symlink("new-name", "sock-link"));
	close_quiet(connect_to(SOCK_STREAM, "sock-link"));
	ERR(unlink("new-name"));
	close_quiet(connect_to(SOCK_STREAM, "second-name"));
	ERR(chmod("second-name", 0));
	look("second-name");
	umask(077);
	close_quiet(bind_at(SOCK_STREAM, "masked"));
	look("masked");
	umask(022);
	ERR(chdir("dir/sub"));
	s = bind_at(SOCK_STREAM, "../relative");
	ERR(listen(s, 20));
	close_quiet(connect_to(SOCK_STREAM, "../relative"));
	ERR(chdir("../.."));
	close_quiet(connect_to(SOCK_STREAM, "dir/relative"));
	list("dir");
}

static void datagrams(void)
{
	struct sockaddr_un a, from;
	socklen_t len, from_len = sizeof(from);
	char buf[32] = "";
	int server = bind_at(SOCK_DGRAM, "dgram"), client = socket(AF_UNIX, SOCK_DGRAM, 0), named = bind_at(SOCK_DGRAM, "dgram-client");

	len = address(&a, "dgram");
	VAL(sendto(client, "one", 3, 0, (struct sockaddr *)&a, len));
	VAL(recvfrom(server, buf, sizeof(buf), 0, (struct sockaddr *)&from, &from_len));
	VAL(from_len);
	VAL(sendto(named, "two", 3, 0, (struct sockaddr *)&a, len));
	from_len = sizeof(from);
	memset(&from, 0, sizeof(from));
	VAL(recvfrom(server, buf, sizeof(buf), 0, (struct sockaddr *)&from, &from_len));
	printf("   from %s\n", from.sun_path);
	VAL(sendto(server, "back", 4, 0, (struct sockaddr *)&from, from_len));
	VAL(recv(named, buf, sizeof(buf), MSG_DONTWAIT));
	struct iovec io = {buf, 4};
	struct mmsghdr m[2] = {{.msg_hdr = {.msg_name = &a, .msg_namelen = len, .msg_iov = &io, .msg_iovlen = 1}}, {.msg_hdr = {.msg_name = &a, .msg_namelen = len, .msg_iov = &io, .msg_iovlen = 1}}};
	VAL(sendmsg(client, &m[0].msg_hdr, 0));
	VAL(recv(server, buf, sizeof(buf), MSG_DONTWAIT));
	VAL(sendmmsg(client, m, 2, 0));
	VAL(recv(server, buf, sizeof(buf), MSG_DONTWAIT));
	VAL(recv(server, buf, sizeof(buf), MSG_DONTWAIT));
	len = address(&a, "nothing");
	VAL(sendto(client, "x", 1, 0, (struct sockaddr *)&a, len));
	VAL(sendmsg(client, &m[0].msg_hdr, 0));
	VAL(sendmmsg(client, m, 2, 0));
	len = address(&a, "file");
	VAL(sendto(client, "x", 1, 0, (struct sockaddr *)&a, len));
	close(server);
	len = address(&a, "dgram");
	VAL(sendto(client, "x", 1, 0, (struct sockaddr *)&a, len));
}

static void abstract(void)
{
	struct sockaddr_un a;
	char name[64];
	int s = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(name, sizeof(name), "#guest-test-%d", getpid());
	socklen_t len = address(&a, name) - 1;
	a.sun_path[0] = 0;
	ERR(connect(c, (struct sockaddr *)&a, len));
	ERR(bind(s, (struct sockaddr *)&a, len));
	ERR(bind(c, (struct sockaddr *)&a, len));
	ERR(listen(s, 1));
	ERR(connect(c, (struct sockaddr *)&a, len));
	int autobound = socket(AF_UNIX, SOCK_STREAM, 0);
	ERR(bind(autobound, (struct sockaddr *)&a, sizeof(sa_family_t)));
}

static void long_names(void)
{
	struct sockaddr_un a;
	int s = socket(AF_UNIX, SOCK_STREAM, 0);

	memset(&a, 'x', sizeof(a));
	a.sun_family = AF_UNIX;
	ERR(bind(s, (struct sockaddr *)&a, sizeof(a))); /* 108 bytes, no NUL */
	ERR(bind(s, (struct sockaddr *)&a, sizeof(a)));
	list(".");
	s = socket(AF_UNIX, SOCK_STREAM, 0);
	ERR(bind(s, (struct sockaddr *)&a, sizeof(a) + 1));
	memcpy(a.sun_path, "cut-here", 9);
	ERR(bind(s, (struct sockaddr *)&a, offsetof(struct sockaddr_un, sun_path) + 3));
	look("cut");
	a.sun_family = AF_INET + 40;
	ERR(connect(s, (struct sockaddr *)&a, 20));
	ERR(connect(999, (struct sockaddr *)&a, 20));
	ERR(connect(open("file", O_RDONLY), (struct sockaddr *)&a, 20));
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	talk(SOCK_STREAM, "stream");
	talk(SOCK_SEQPACKET, "seqpacket");
	names();
	datagrams();
	abstract();
	long_names();
	return 0;
}
