/* sys_recv.c - recvfrom, recvmsg, recvmmsg in a closed network. The kernel does them, save for datagrams from addresses that the guest knows by another name: of our name server, which
 * stands for the one that it has asked, and of other guests (net_map.c). Sources: recv(2), recvmmsg(2). */
#include "supervisor/handlers.h"
#include "supervisor/net.h"
#include "supervisor/sock_addr.h"
#include "supervisor/sysargs.h"
#include "supervisor/transfer.h"

#include <stddef.h>
#include <sys/uio.h>

#define MAX_IOV 1024
#define MAX_DATAGRAM (64 * 1024)
#define MAX_CONTROL 4096

typedef struct Received {
	struct msghdr hdr;
	struct sockaddr_storage from;
	struct iovec iov;
	char control[MAX_CONTROL], data[MAX_DATAGRAM];
} Received;

/* The guest's socket, if its answers may be such ones; CALL_CONTINUE: it is none of these. Asked before it is duplicated, as that may take the guest's thread out of its call. */
static int asking_socket(Call *call)
{
	struct statx st;

	if (!net_has_routed(call->sup->net) || guest_fd_statx(call, ARG_FD(call, 0), STATX_INO, &st) < 0 || !net_is_routed(call->sup->net, st.stx_ino))
		return CALL_CONTINUE;
	return socket_fd(call, ARG_FD(call, 0));
}

/* One attempt, which does not wait. */
static ssize_t try_receive(Call *call, int sock, int flags, Received *m)
{
	m->iov = (struct iovec){m->data, sizeof m->data};
	m->hdr = (struct msghdr){.msg_name = &m->from, .msg_namelen = sizeof m->from, .msg_iov = &m->iov, .msg_iovlen = 1, .msg_control = m->control, .msg_controllen = sizeof m->control};
	ssize_t n = recvmsg(sock, &m->hdr, flags | MSG_DONTWAIT);

	if (n < 0)
		return bv_neg_errno();
	if (m->hdr.msg_namelen)
		net_show_peer(call->sup->net, sock, &m->from, &m->hdr.msg_namelen);
	return n;
}

/* First without waiting; only a worker waits, and has no room for a message meanwhile. *out is the caller's to free. */
static ssize_t receive(Call *call, int sock, int flags, Received **out)
{
	SocketWait wait = {.sock = -1};

	for (;;) {
		CLEAN_FREE Received *m = malloc(sizeof *m);
		ssize_t n = m ? try_receive(call, sock, flags, m) : -ENOMEM;
		if (n >= 0) {
			*out = TAKE_PTR(m);
			return n;
		}
		if (n != -EAGAIN || (flags & (MSG_DONTWAIT | MSG_ERRQUEUE)) || !socket_waits(sock)) /* the queue of errors is never waited for */
			return n;
		if (!call->req.may_block)
			return CALL_SLOW;
		free(TAKE_PTR(m));
		if (wait.sock < 0)
			wait = socket_wait_begin(sock, false);
		int r = socket_wait(&wait);
		if (r < 0)
			return r;
	}
}

static int write_name(Call *call, uint64_t at, socklen_t room, const Received *m)
{
	return mem_write(call, at, &m->from, MIN(room, m->hdr.msg_namelen));
}

int sys_recvfrom(Call *call)
{
	CLEAN_FD int sock = asking_socket(call);
	CLEAN_FREE Received *m = NULL;
	size_t room = (size_t)call->args[2];
	socklen_t name_room = 0;

	if (sock < 0)
		return sock;
	int r = call->args[5] ? mem_read(call, call->args[5], &name_room, sizeof name_room) : 0;
	if (r == 0 && (int)name_room < 0)
		r = -EINVAL;
	ssize_t n = r < 0 ? r : receive(call, sock, ARG_INT(call, 3), &m);
	if (n < 0)
		return (int)n;
	r = mem_write(call, call->args[1], m->data, MIN(room, MIN((size_t)n, sizeof m->data)));
	if (r == 0)
		r = write_name(call, call->args[4], name_room, m);
	if (r == 0)
		r = mem_write(call, call->args[5], &m->hdr.msg_namelen, sizeof m->hdr.msg_namelen);
	return r < 0 ? r : ARG_INT(call, 3) & MSG_TRUNC ? (int)n : (int)MIN((size_t)n, room);
}

/* Spreads the data over the guest's buffers; *copied is how much of them there was room for. */
static int scatter(Call *call, const struct msghdr *g, const Received *m, size_t len, size_t *copied)
{
	struct iovec iov[MAX_IOV];
	int r = g->msg_iovlen > MAX_IOV ? -EMSGSIZE : mem_read(call, (uint64_t)(uintptr_t)g->msg_iov, iov, g->msg_iovlen * sizeof *iov);

	*copied = 0;
	for (size_t i = 0; r == 0 && i < g->msg_iovlen && *copied < len; i++) {
		size_t part = MIN(iov[i].iov_len, len - *copied);
		r = mem_write(call, (uint64_t)(uintptr_t)iov[i].iov_base, m->data + *copied, part);
		*copied += part;
	}
	return r;
}

static int receive_message(Call *call, int sock, uint64_t at, int flags)
{
	CLEAN_FREE Received *m = NULL;
	struct msghdr g;
	size_t copied = 0;
	int r = mem_read(call, at, &g, sizeof g);
	ssize_t n = r < 0 ? r : receive(call, sock, flags, &m);

	if (n < 0)
		return (int)n;
	r = scatter(call, &g, m, MIN((size_t)n, sizeof m->data), &copied);
	if (r == 0 && g.msg_name) {
		r = write_name(call, (uint64_t)(uintptr_t)g.msg_name, g.msg_namelen, m);
		g.msg_namelen = m->hdr.msg_namelen;
	}
	g.msg_flags = m->hdr.msg_flags | (copied < (size_t)n ? MSG_TRUNC : 0) | (g.msg_controllen < m->hdr.msg_controllen ? MSG_CTRUNC : 0);
	g.msg_controllen = MIN(g.msg_controllen, m->hdr.msg_controllen);
	if (r == 0 && g.msg_controllen)
		r = mem_write(call, (uint64_t)(uintptr_t)g.msg_control, m->control, g.msg_controllen);
	if (r == 0)
		r = mem_write(call, at, &g, sizeof g);
	return r < 0 ? r : flags & MSG_TRUNC ? (int)n : (int)copied;
}

int sys_recvmsg(Call *call)
{
	CLEAN_FD int sock = asking_socket(call);

	return sock < 0 ? sock : receive_message(call, sock, call->args[1], ARG_INT(call, 2));
}

/* One message: what more there is comes with the next call. */
int sys_recvmmsg(Call *call)
{
	CLEAN_FD int sock = asking_socket(call);

	if (sock < 0 || call->args[2] == 0)
		return sock < 0 ? sock : 0;
	int r = receive_message(call, sock, call->args[1], ARG_INT(call, 3) & ~MSG_WAITFORONE);
	unsigned len = (unsigned)r;
	if (r >= 0)
		r = mem_write(call, call->args[1] + offsetof(struct mmsghdr, msg_len), &len, sizeof len);
	return r < 0 ? r : 1;
}
