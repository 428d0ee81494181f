/* sys_send.c - sendto, sendmsg, sendmmsg: the supervisor sends a copy of the message, with its own copy of the address and its own duplicates of the descriptors in it, so that
 * nothing the guest writes afterwards matters (invariant 2). Sources: send(2), sendmmsg(2), cmsg(3). */
#include "supervisor/handlers.h"
#include "supervisor/net.h"
#include "supervisor/sock_addr.h"
#include "supervisor/sysargs.h"

#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define MAX_SEND (4 * 1024 * 1024)
#define MAX_IOV 1024
#define MAX_CONTROL (64 * 1024)
#define MAX_PASSED 253 /* SCM_MAX_FD */

typedef struct Message {
	Addr addr;
	struct msghdr hdr;
	struct iovec iov;
	char *data;
	char *control;
	int passed[MAX_PASSED];
	size_t n_passed;
} Message;

static void message_release(Message *m)
{
	for (size_t i = 0; i < m->n_passed; i++)
		close(m->passed[i]);
	free(m->data);
	free(m->control);
	addr_release(&m->addr);
}

static int read_iov(Call *call, uint64_t at, size_t count, Message *m)
{
	struct iovec iov[MAX_IOV];
	size_t total = 0, done = 0;

	if (count > MAX_IOV)
		return -EMSGSIZE;
	int r = mem_read(call, at, iov, count * sizeof *iov);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		if ((ssize_t)iov[i].iov_len < 0)
			return -EINVAL;
		iov[i].iov_len = MIN(iov[i].iov_len, MAX_SEND - total); /* a stream sends less; a datagram of that size fails below */
		total += iov[i].iov_len;
	}
	m->data = malloc(total + 1);
	if (!m->data)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		r = mem_read(call, (uint64_t)(uintptr_t)iov[i].iov_base, m->data + done, iov[i].iov_len);
		if (r < 0)
			return r;
		done += iov[i].iov_len;
	}
	m->iov = (struct iovec){m->data, total};
	m->hdr.msg_iov = &m->iov;
	m->hdr.msg_iovlen = 1;
	return 0;
}

/* Descriptors in SCM_RIGHTS are the guest's numbers: replaced by our duplicates. */
static int translate_rights(Call *call, Message *m, struct cmsghdr *c)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	int *fds = (int *)(void *)CMSG_DATA(c);

	for (size_t i = 0; i < n; i++) {
		if (m->n_passed == MAX_PASSED)
			return -EINVAL;
		int dup = fds[i] < 0 ? -EBADF : guest_fd_dup(call, fds[i]);
		if (dup < 0)
			return dup;
		m->passed[m->n_passed++] = dup;
		fds[i] = dup;
	}
	return 0;
}

static int read_control(Call *call, uint64_t at, size_t len, Message *m)
{
	if (len == 0)
		return 0;
	if (len > MAX_CONTROL)
		return -ENOBUFS;
	m->control = malloc(len);
	if (!m->control)
		return -ENOMEM;
	int r = mem_read(call, at, m->control, len);
	if (r < 0)
		return r;
	m->hdr.msg_control = m->control;
	m->hdr.msg_controllen = len;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m->hdr); c; c = CMSG_NXTHDR(&m->hdr, c)) {
		size_t left = len - (size_t)((char *)c - m->control);
		if (c->cmsg_len < sizeof *c || c->cmsg_len > left)
			return -EINVAL;
		r = net_is_open(call->sup->net) ? 0 : net_check_control(call->sup->net, c);
		if (r < 0)
			return r;
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS)
			return -EPERM; /* the kernel would check them against the supervisor */
		if (c->cmsg_type == SCM_RIGHTS)
			r = translate_rights(call, m, c);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_message(Call *call, int sock, uint64_t at, Message *m)
{
	struct msghdr g;
	int r = mem_read(call, at, &g, sizeof g);

	if (r < 0)
		return r;
	if (g.msg_name && g.msg_namelen) {
		r = addr_read(call, (uint64_t)(uintptr_t)g.msg_name, MIN(g.msg_namelen, sizeof m->addr.ss), &m->addr);
		if (r == 0)
			r = addr_translate(call, &m->addr);
		if (r == 0)
			r = net_route(call, sock, NET_SEND, &m->addr.ss, &m->addr.len);
		if (r < 0)
			return r;
		m->hdr.msg_name = &m->addr.ss;
		m->hdr.msg_namelen = m->addr.len;
	}
	r = read_iov(call, (uint64_t)(uintptr_t)g.msg_iov, g.msg_iovlen, m);
	return r < 0 ? r : read_control(call, (uint64_t)(uintptr_t)g.msg_control, g.msg_controllen, m);
}

/* First without waiting; only a worker waits. SIGPIPE must hit the guest, not us. */
static int do_send(Call *call, int sock, Message *m, int flags)
{
	bool may_wait = !(flags & MSG_DONTWAIT) && socket_waits(sock);
	bool quiet = flags & MSG_NOSIGNAL;

	if (flags & MSG_ZEROCOPY)
		return -ENOBUFS; /* send(2): callers copy then. It would send our buffer after it was freed */
	ssize_t n = sendmsg(sock, &m->hdr, flags | MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN && may_wait) {
		if (!call->req.may_block)
			return CALL_SLOW;
		n = sendmsg(sock, &m->hdr, flags | MSG_NOSIGNAL);
	}
	if (n >= 0)
		return (int)n;
	int err = bv_neg_errno();
	if (err == -EPIPE && !quiet)
		syscall(SYS_tgkill, caller_tgid(&call->caller), call->tid, SIGPIPE);
	return err;
}

int sys_sendto(Call *call)
{
	__attribute__((cleanup(message_release))) Message m = {0};
	CLEAN_FD int sock = socket_fd(call, ARG_FD(call, 0));
	size_t len = MIN((size_t)call->args[2], (size_t)MAX_SEND);

	if (sock < 0)
		return sock;
	int r = addr_read(call, call->args[4], call->args[5], &m.addr);
	if (r == 0)
		r = addr_translate(call, &m.addr);
	if (r == 0)
		r = net_route(call, sock, NET_SEND, &m.addr.ss, &m.addr.len);
	if (r < 0)
		return r;
	m.data = malloc(len + 1);
	if (!m.data)
		return -ENOMEM;
	r = mem_read(call, call->args[1], m.data, len);
	if (r < 0)
		return r;
	m.iov = (struct iovec){m.data, len};
	m.hdr = (struct msghdr){.msg_name = &m.addr.ss, .msg_namelen = m.addr.len, .msg_iov = &m.iov, .msg_iovlen = 1};
	return do_send(call, sock, &m, ARG_INT(call, 3));
}

int sys_sendmsg(Call *call)
{
	__attribute__((cleanup(message_release))) Message m = {0};

	if (task_take_expected(call))
		return CALL_CONTINUE; /* call_take_fd */
	CLEAN_FD int sock = socket_fd(call, ARG_FD(call, 0));
	if (sock < 0)
		return sock;
	int r = read_message(call, sock, call->args[1], &m);
	return r < 0 ? r : do_send(call, sock, &m, ARG_INT(call, 2));
}

int sys_sendmmsg(Call *call)
{
	CLEAN_FD int sock = socket_fd(call, ARG_FD(call, 0));
	unsigned count = MIN((unsigned)call->args[2], 1024u), sent = 0;
	int r = 0;

	if (sock < 0)
		return sock;
	for (; sent < count; sent++) {
		__attribute__((cleanup(message_release))) Message m = {0};
		uint64_t at = call->args[1] + sent * sizeof(struct mmsghdr);
		r = read_message(call, sock, at, &m);
		if (r == 0)
			r = do_send(call, sock, &m, ARG_INT(call, 3));
		if (r == CALL_SLOW && sent)
			break; /* some were sent: report those */
		if (r < 0)
			break;
		unsigned len = (unsigned)r;
		r = mem_write(call, at + offsetof(struct mmsghdr, msg_len), &len, sizeof len);
		if (r < 0)
			break;
	}
	return sent ? (int)sent : r;
}
