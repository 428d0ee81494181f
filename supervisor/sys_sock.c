/* sys_sock.c - sockets: families, options, and the calls that carry an address (sys_send.c has those that send). The supervisor acts with its own copy of the address on its own
 * duplicate of the guest's socket, so that nothing the guest writes afterwards matters (invariant 2). Unix socket paths go through
 * the view; what may be reached over the network says net.h. Sources: socket(2), connect(2), bind(2), listen(2), setsockopt(2), unix(7). */
#include "supervisor/handlers.h"
#include "supervisor/net.h"
#include "supervisor/sock_addr.h"
#include "supervisor/sysargs.h"
#include "supervisor/transfer.h"
#include "supervisor/unixbind.h"

#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define VAIN_ACCEPT_NS 1000000

int sys_socket(Call *call)
{
	int family = (int)call->args[0], type = (int)call->args[1] & 0xf, r;

	switch (family) {
	case AF_UNIX:
	case AF_INET:
	case AF_INET6:
		if (type == SOCK_RAW || type == SOCK_PACKET)
			return -EPERM;
		if (type > SOCK_PACKET)
			return -EINVAL;
		r = net_is_open(call->sup->net) ? 0 : net_check_socket(family, type, (int)call->args[2]);
		return r < 0 ? r : CALL_CONTINUE;
	case AF_NETLINK:
		return (int)call->args[2] == NETLINK_ROUTE ? CALL_CONTINUE : -EPROTONOSUPPORT;
	default:
		return -EAFNOSUPPORT;
	}
}

static int bind_unix(Call *call, int sock, Addr *a)
{
	char path[sizeof(struct sockaddr_un) + 1], host[PATH_MAX];
	CLEAN_LOC CowLoc at = {0};
	CLEAN_LOC CowLoc node = {0};
	mode_t mode = 0777 & ~task_umask(call);

	if (!call->req.may_block)
		return CALL_SLOW; /* it takes a process */
	addr_unix_path(a, path);
	call_note(call, path);
	int r = guest_at(call, AT_FDCWD, path, false, &at);
	if (r == 0)
		r = cowfs_socket_begin(call->sup->fs, &call->req, at.kind ? &at : NULL, path, mode, host, sizeof host, &node, &a->hold);
	if (r == 0 && node.kind == COW_NODE) {
		r = unix_bind_as(sock, (struct sockaddr *)&a->ss, a->len, call->sup->run_dir, host);
		cowfs_socket_done(call->sup->fs, &node, r);
	} else if (r == 0) { /* below a grant: at that very place of the host */
		r = addr_set_unix_path(a, host);
		if (r == 0 && bind(sock, (struct sockaddr *)&a->ss, a->len) < 0)
			r = bv_neg_errno();
		if (r == 0 && a->hold > 0 && fchmodat(AT_FDCWD, host, mode, AT_SYMLINK_NOFOLLOW) < 0) /* our umask is 0 */
			r = bv_neg_errno();
	}
	return r;
}

int sys_bind(Call *call)
{
	CLEAN_ADDR Addr a = {0};
	CLEAN_FD int sock = socket_fd(call, ARG_FD(call, 0));

	if (sock < 0)
		return sock;
	int r = addr_read(call, call->args[1], call->args[2], &a);
	if (r < 0)
		return r;
	if (addr_is_unix_path(&a))
		return bind_unix(call, sock, &a);
	if (addr_is_unix_abstract(&a) && (r = addr_prefix_abstract(call->sup, &a)) < 0)
		return r;
	r = net_bind(call->sup->net, call->sup->fake_root, sock, &a.ss, a.len);
	if (r == 0 && !call->sup->features.pidfd_getfd)
		net_pin_bound(call->sup->net, sock);
	return r;
}

/* Without a bind it gets a port now. */
int sys_listen(Call *call)
{
	CLEAN_FD int sock = socket_fd(call, ARG_FD(call, 0));

	if (sock < 0)
		return sock;
	int r = net_settle(call->sup->net, sock, true);
	if (r < 0)
		return r;
	net_note_own(call->sup->net, sock);
	return listen(sock, ARG_INT(call, 1)) < 0 ? bv_neg_errno() : 0;
}

static bool shares_ports(int level, int name)
{
	return level == SOL_SOCKET && (name == SO_REUSEADDR || name == SO_REUSEPORT);
}

static int set_reuse(Call *call, int name)
{
	CLEAN_FD int sock = socket_fd(call, ARG_FD(call, 0));
	int value;

	if (sock < 0)
		return sock;
	if (ARG_INT(call, 4) < (int)sizeof value)
		return -EINVAL;
	int r = mem_read(call, call->args[3], &value, sizeof value);
	return r < 0 ? r : net_set_reuse(call->sup->net, sock, name, value);
}

/* Not by which a connection becomes something else than what was connected: ESP, SMC. */
static int set_protocol_above(Call *call)
{
	char name[16] = "";
	CLEAN_FD int sock = socket_fd(call, ARG_FD(call, 0));

	if (sock < 0)
		return sock;
	if (ARG_INT(call, 4) < 1)
		return -EINVAL;
	int r = mem_read(call, call->args[3], name, MIN((size_t)ARG_INT(call, 4), sizeof name - 1));
	if (r < 0)
		return r;
	const char *known = strcmp(name, "tls") == 0 ? name : "-"; /* which the kernel does not have */
	return setsockopt(sock, IPPROTO_TCP, TCP_ULP, known, (socklen_t)strlen(known)) < 0 ? bv_neg_errno() : 0;
}

int sys_setsockopt(Call *call)
{
	int level = ARG_INT(call, 1), name = ARG_INT(call, 2);

	if (shares_ports(level, name))
		return set_reuse(call, name);
	if (level == IPPROTO_TCP && name == TCP_ULP)
		return set_protocol_above(call);
	int r = net_check_option(level, name);
	return r < 0 ? r : CALL_CONTINUE;
}

int sys_getsockopt(Call *call)
{
	int level = ARG_INT(call, 1), name = ARG_INT(call, 2), room, value;

	if (!shares_ports(level, name))
		return CALL_CONTINUE;
	CLEAN_FD int sock = socket_fd(call, ARG_FD(call, 0));
	if (sock < 0)
		return sock;
	int r = mem_read(call, call->args[4], &room, sizeof room);
	if (r == 0 && room < 0)
		r = -EINVAL;
	if (r == 0)
		r = net_get_reuse(call->sup->net, sock, name, &value);
	if (r < 0)
		return r;
	room = MIN(room, (int)sizeof value);
	r = mem_write(call, call->args[3], &value, (size_t)room);
	return r < 0 ? r : mem_write(call, call->args[4], &room, sizeof room);
}

/* Within this machine a connection is there at once, or refused, unless the listener is busy: that is waited for on a worker, where the same call goes on waiting. */
static int connect_nearby(int sock, const Addr *a)
{
	const struct timeval soon = {.tv_usec = 1};
	struct timeval own;
	socklen_t len = sizeof own;

	if (getsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &own, &len) < 0 || setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon) < 0)
		return CALL_SLOW;
	int r = connect(sock, (const struct sockaddr *)&a->ss, a->len) < 0 ? bv_neg_errno() : 0;
	IGNORE_RESULT(setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &own, len));
	return r == -EINPROGRESS ? CALL_SLOW : r;
}

int sys_connect(Call *call)
{
	CLEAN_ADDR Addr a = {0};
	CLEAN_PIN NetPin *pin = NULL;
	CLEAN_FD int sock = socket_fd(call, ARG_FD(call, 0));

	if (sock < 0)
		return sock;
	bool waits = !call->req.may_block && socket_waits(sock);
	int r = addr_read(call, call->args[1], call->args[2], &a);
	bool nearby = waits && r == 0 && net_is_nearby(&a.ss, a.len);
	if (waits && !nearby)
		return CALL_SLOW;
	if (r == 0)
		r = addr_translate(call, &a);
	if (r == 0)
		r = net_route(call, sock, NET_CONNECT, &a.ss, &a.len, &pin);
	if (r < 0)
		return r;
	r = nearby ? connect_nearby(sock, &a) : connect(sock, (struct sockaddr *)&a.ss, a.len) < 0 ? bv_neg_errno() : 0;
	if (r != -EINPROGRESS)
		return r;
	call_answer(call, r); /* the kernel's own answer, which as a return value would mean "again on a worker" */
	return CALL_REPLIED;
}

static void restore_neutral(Call *call, Addr *a)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	char path[sizeof(struct sockaddr_un) + 1], shown[PATH_MAX];

	addr_unix_path(a, path);
	/* Bound below a grant it went through our descriptor: as if bound by its own name from its directory. */
	const char *own = strncmp(path, "/proc/self/fd/", 14) == 0 ? strchr(path + 14, '/') : NULL;
	if (!own && !addr_named_neutrally(call, path, shown))
		return;
	snprintf(un.sun_path, sizeof un.sun_path, "%s", own ? own + 1 : shown);
	memcpy(&a->ss, &un, sizeof un);
	a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(un.sun_path) + 1);
}

/* As the guest knows it. */
static void show_address(Call *call, int sock, bool own, Addr *a)
{
	(own ? net_show_own : net_show_peer)(call->sup->net, sock, &a->ss, &a->len);
	if (addr_is_unix_abstract(a))
		addr_unprefix_abstract(call->sup, a);
	if (addr_is_unix_path(a))
		restore_neutral(call, a);
}

static int write_address(Call *call, uint64_t at, uint64_t len_at, socklen_t room, const Addr *a)
{
	int r = mem_write(call, at, &a->ss, MIN(room, a->len));

	return r < 0 ? r : mem_write(call, len_at, &a->len, sizeof a->len);
}

static bool is_listening(int sock)
{
	int value = 0;
	socklen_t len = sizeof value;

	return getsockopt(sock, SOL_SOCKET, SO_ACCEPTCONN, &value, &len) == 0 && value;
}

static int accept_now(int sock, int flags, Addr *a)
{
	a->len = sizeof a->ss;
	int fd = accept4(sock, (struct sockaddr *)&a->ss, &a->len, SOCK_CLOEXEC | (flags & SOCK_NONBLOCK));
	return fd < 0 ? bv_neg_errno() : fd;
}

/* There is a connection, but another may take it first, and the socket waits then: O_NONBLOCK would be set for the guest, too. So this thread is sent its signal
 * again and again meanwhile, as the first may come too early. -EINTR, -EAGAIN: nothing was left. */
static int accept_ready(int sock, int flags, Addr *a)
{
	const struct itimerspec often = {.it_interval = {0, VAIN_ACCEPT_NS}, .it_value = {0, VAIN_ACCEPT_NS}};
	struct sigevent kick = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1, .sigev_notify_thread_id = gettid()};
	timer_t timer;
	bool timed = timer_create(CLOCK_MONOTONIC, &kick, &timer) == 0; /* without it (RLIMIT_SIGPENDING) that waits until somebody connects */

	if (timed)
		timer_settime(timer, 0, &often, NULL);
	int fd = accept_now(sock, flags, a);
	if (timed)
		timer_delete(timer);
	return fd;
}

/* A connection that is taken cannot be put back. So none is for a guest that has been killed, or that has no number for it. */
static int may_accept(Call *call)
{
	return call->held || call_valid(call) ? guest_fd_free(call) : -EINTR;
}

static int accept_waiting(Call *call, int sock, int flags, Addr *a)
{
	SocketWait wait = socket_wait_begin(sock, false);
	int r;

	do {
		wait.vain = 0; /* another was first, and poll(2) knows that */
		r = socket_wait(&wait);
		if (r == 0)
			r = may_accept(call);
		if (r < 0)
			return r;
		r = accept_ready(sock, flags, a);
	} while (r == -EINTR || r == -EAGAIN);
	return r;
}

/* accept, accept4 that ask who it is. On the receiver thread only where the kernel will not wait. */
int sys_accept(Call *call)
{
	int flags = call->nr == __NR_accept4 ? ARG_INT(call, 3) : 0;
	Addr a = {.len = sizeof a.ss};
	CLEAN_FD int sock = socket_fd(call, ARG_FD(call, 0));
	CLEAN_FD int fd = -1;
	socklen_t room = 0;

	if (sock < 0)
		return sock;
	if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK))
		return -EINVAL;
	int r = may_accept(call);
	if (r < 0)
		return r;
	bool waits = socket_waits(sock) && is_listening(sock);
	if (waits && !call->req.may_block)
		return CALL_SLOW;
	fd = waits ? accept_waiting(call, sock, flags, &a) : accept_now(sock, flags, &a);
	if (fd < 0)
		return fd;
	show_address(call, fd, false, &a);
	r = mem_read(call, call->args[2], &room, sizeof room);
	if (r == 0 && (int)room < 0)
		r = -EINVAL;
	if (r == 0)
		r = write_address(call, call->args[1], call->args[2], room, &a);
	return r < 0 ? r : call_reply_fd(call, &fd, flags & SOCK_CLOEXEC);
}

/* getsockname, getpeername. */
int sys_sockname(Call *call)
{
	Addr a = {.len = sizeof a.ss};
	socklen_t room;
	CLEAN_FD int sock = socket_fd(call, ARG_FD(call, 0));

	if (sock < 0)
		return sock;
	int r = mem_read(call, call->args[2], &room, sizeof room);
	if (r < 0)
		return r;
	if ((int)room < 0)
		return -EINVAL;
	bool peer = call->nr == __NR_getpeername;
	r = peer ? 0 : net_settle(call->sup->net, sock, false);
	if (r < 0)
		return r;
	if ((peer ? getpeername : getsockname)(sock, (struct sockaddr *)&a.ss, &a.len) < 0)
		return bv_neg_errno();
	show_address(call, sock, !peer, &a);
	return write_address(call, call->args[1], call->args[2], room, &a);
}
