/* sys_send.c - sendto, sendmsg, sendmmsg: the supervisor sends a copy of the message, with its own copy of the address and its own duplicates of the descriptors in it, so that
 * nothing the guest writes afterwards matters (invariant 2). A stream is sent in pieces. A call that has to wait drops its copy, waits for the socket, and makes and checks the copy anew: so the
 * calls that wait hold nothing. Sources: send(2), sendmmsg(2), cmsg(3). */
#include "supervisor/handlers.h"
#include "supervisor/net.h"
#include "supervisor/sock_addr.h"
#include "supervisor/sysargs.h"
#include "supervisor/transfer.h"
#include "supervisor/vcred.h"

#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define MAX_DATAGRAM ((size_t)4 << 20)
#define MAX_AT_ONCE ((size_t)4 << 20)  /* of a stream by a call that does not wait */
#define MAX_STREAM ((size_t)0x7ffff000) /* as the kernel has it */
#define PIECE ((size_t)256 << 10)      /* of a stream */
#define MAX_IOV 1024
#define MAX_CONTROL (64 * 1024)
#define MAX_PASSED 253 /* SCM_MAX_FD */

/* What the guest has said, as far as it is no data. */
typedef struct Source {
	struct msghdr hdr;
	struct iovec one; /* of sendto */
	int flags;
	bool stream;
	size_t done; /* bytes of a stream that were sent */
	size_t left; /* behind the piece in hand */
} Source;

typedef struct Message {
	Addr addr;
	NetPin *pin;
	struct msghdr hdr;
	struct iovec iov;
	Copy data;
	char *control;
	int passed[MAX_PASSED];
	size_t n_passed;
} Message;

static void message_release(Message *m)
{
	for (size_t i = 0; i < m->n_passed; i++)
		close(m->passed[i]);
	copy_give(&m->data);
	free(m->control);
	net_unpin(&m->pin);
	addr_release(&m->addr);
}
#define CLEAN_MESSAGE __attribute__((cleanup(message_release)))

/* Skips what was sent; *total is what there is behind it. */
static int sum_of(struct iovec *iov, size_t count, size_t skip, size_t *total)
{
	*total = 0;
	for (size_t i = 0; i < count; i++) {
		if ((ssize_t)iov[i].iov_len < 0)
			return -EINVAL;
		iov[i].iov_len = MIN(iov[i].iov_len, MAX_STREAM);
		size_t over = MIN(skip, iov[i].iov_len);
		skip -= over;
		iov[i].iov_base = (char *)iov[i].iov_base + over;
		iov[i].iov_len -= over;
		*total += iov[i].iov_len;
	}
	return 0;
}

static int read_data(Call *call, Source *src, Message *m)
{
	size_t count = src->hdr.msg_iovlen, total = 0, done = 0;
	CLEAN_FREE struct iovec *iov = count > MAX_IOV ? NULL : malloc((count + 1) * sizeof *iov);
	int r = 0;

	if (!iov)
		return count > MAX_IOV ? -EMSGSIZE : -ENOMEM;
	if (src->hdr.msg_iov == &src->one)
		iov[0] = src->one;
	else
		r = mem_read(call, (uint64_t)(uintptr_t)src->hdr.msg_iov, iov, count * sizeof *iov);
	if (r == 0)
		r = sum_of(iov, count, src->done, &total);
	if (r < 0)
		return r;
	if (!src->stream && total > MAX_DATAGRAM)
		return -EMSGSIZE;
	size_t len = src->stream ? MIN(total, PIECE) : total;
	src->left = total - len;
	r = copy_take(&m->data, len);
	for (size_t i = 0; i < count && r == 0; i++) {
		size_t part = MIN(iov[i].iov_len, len - done);
		r = mem_read(call, (uint64_t)(uintptr_t)iov[i].iov_base, m->data.data + done, part);
		done += part;
	}
	m->iov = (struct iovec){m->data.data, len};
	m->hdr.msg_iov = &m->iov;
	m->hdr.msg_iovlen = 1;
	return r;
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

static bool is_one_of(unsigned id, const unsigned ids[4])
{
	return id == ids[0] || id == ids[1] || id == ids[2];
}

/* The kernel believes who makes the call, which is the supervisor: others' are refused, as where one has no capability, and of one's own the receiver gets what it gets of any message that guests send. */
static int translate_credentials(Call *call, struct cmsghdr *c)
{
	struct ucred cred;
	VcredIds ids;

	if (c->cmsg_len != CMSG_LEN(sizeof cred))
		return -EINVAL;
	memcpy(&cred, CMSG_DATA(c), sizeof cred);
	if (cred.uid == (uid_t)-1 || cred.gid == (gid_t)-1)
		return -EINVAL;
	vcred_ids(call->sup->vcreds, call->tid, &ids);
	if (cred.pid != caller_tgid(&call->caller) || !is_one_of(cred.uid, ids.uid) || !is_one_of(cred.gid, ids.gid))
		return -EPERM;
	cred = (struct ucred){getpid(), getuid(), getgid()};
	memcpy(CMSG_DATA(c), &cred, sizeof cred);
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
			r = translate_credentials(call, c);
		else if (c->cmsg_type == SCM_RIGHTS)
			r = translate_rights(call, m, c);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_name(Call *call, int sock, const struct msghdr *g, Message *m)
{
	int r = addr_read(call, (uint64_t)(uintptr_t)g->msg_name, g->msg_namelen, &m->addr);

	if (r == 0)
		r = addr_translate(call, &m->addr);
	if (r == 0)
		r = net_route(call, sock, NET_SEND, &m->addr.ss, &m->addr.len, &m->pin);
	m->hdr.msg_name = &m->addr.ss;
	m->hdr.msg_namelen = m->addr.len;
	return r;
}

/* One attempt, which does not wait. */
static ssize_t try_send(Call *call, int sock, Source *src)
{
	CLEAN_MESSAGE Message m = {0};
	int flags = src->flags, r = 0;

	if (src->done) /* what comes first has gone with the first piece */
		flags &= ~MSG_FASTOPEN;
	else if (src->hdr.msg_name)
		r = read_name(call, sock, &src->hdr, &m);
	if (r == 0)
		r = read_data(call, src, &m);
	if (r == 0 && !src->done)
		r = read_control(call, (uint64_t)(uintptr_t)src->hdr.msg_control, src->hdr.msg_controllen, &m);
	if (r < 0)
		return r;
	if (flags & MSG_ZEROCOPY)
		return -ENOBUFS; /* send(2): callers copy then. It would send our buffer after it was freed */
	ssize_t n = limits_count_sends(call->sup) ? limits_send(call->sup, sock, &m.hdr, m.passed, m.n_passed, flags) : sendmsg(sock, &m.hdr, flags | MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return limits_count_sends(call->sup) ? n : bv_neg_errno();
	src->left += m.iov.iov_len - (size_t)n;
	return n;
}

/* In pieces, as long as there is room and more to send. */
static ssize_t try_pieces(Call *call, int sock, Source *src, bool waits)
{
	size_t most = call->req.may_block && waits ? MAX_STREAM : waits ? PIECE : MAX_AT_ONCE, begin = src->done;
	ssize_t n;

	do {
		n = try_send(call, sock, src);
		src->done += n > 0 ? (size_t)n : 0;
	} while (n > 0 && src->left && src->stream && src->done - begin < most && src->done < MAX_STREAM);
	return n;
}

static bool is_stream(int sock)
{
	int type = 0;
	socklen_t len = sizeof type;

	return getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

/* EAGAIN of a datagram socket that has no port is that it got none, for which nobody waits. */
static bool lacks_port(int sock)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof ss;

	return getsockname(sock, (struct sockaddr *)&ss, &len) == 0 && (ss.ss_family == AF_INET || ss.ss_family == AF_INET6) && ((struct sockaddr_in *)&ss)->sin_port == 0;
}

/* Bytes that were sent, or why none was. First without waiting; only a worker waits, and goes on where the first attempt has ended. */
static int send_all(Call *call, int sock, Source *src)
{
	bool waits = !(src->flags & MSG_DONTWAIT) && socket_waits(sock);
	SocketWait wait = socket_wait_begin(sock, true);
	ssize_t n;
	int r;

	if (!call->req.may_block && (limits_count_sends(call->sup) || (waits && (src->flags & MSG_FASTOPEN))))
		return CALL_SLOW; /* it may wait for memory; it connects */
	src->stream = is_stream(sock) && !(src->flags & (MSG_OOB | MSG_FASTOPEN));
	for (;;) {
		size_t before = src->done;
		n = try_pieces(call, sock, src, waits);
		if (n == -EINPROGRESS && waits) { /* it is connecting, and nothing was sent */
			src->flags &= ~MSG_FASTOPEN;
			src->hdr.msg_name = NULL;
			n = -EAGAIN;
		}
		bool more = n == -EAGAIN || (n > 0 && src->stream && src->left && src->done < MAX_STREAM);
		if (!waits || !more || (n == -EAGAIN && lacks_port(sock)))
			break;
		if (!call->req.may_block)
			return CALL_SLOW;
		if (src->done > before)
			wait.vain = 0;
		r = n == -EAGAIN ? socket_wait(&wait) : 0;
		if (r < 0) {
			n = r;
			break;
		}
	}
	if (src->done || n >= 0)
		return src->done ? (int)src->done : (int)n;
	if (n == -EPIPE && !(src->flags & MSG_NOSIGNAL) && is_stream(sock)) /* SIGPIPE must hit the guest, not us; other sockets give none */
		syscall(SYS_tgkill, caller_tgid(&call->caller), call->tid, SIGPIPE);
	return (int)n;
}

/* On the receiver thread a part may have been sent before the call has to wait: the worker is told. */
static int send_one(Call *call, int sock, Source *src)
{
	src->done = call->sent;
	int r = send_all(call, sock, src);
	call->sent = r == CALL_SLOW ? src->done : 0;
	return r;
}

/* EINPROGRESS is the kernel's own answer (MSG_FASTOPEN), which as a return value would mean "again on a worker". */
static int finish(Call *call, int r)
{
	if (r != -EINPROGRESS)
		return r;
	call_answer(call, r);
	return CALL_REPLIED;
}

static int read_header(Call *call, uint64_t at, int flags, Source *out)
{
	*out = (Source){.flags = flags};
	int r = mem_read(call, at, &out->hdr, sizeof out->hdr);

	if (!out->hdr.msg_name || !out->hdr.msg_namelen) {
		out->hdr.msg_name = NULL;
		out->hdr.msg_namelen = 0;
	}
	out->hdr.msg_namelen = MIN(out->hdr.msg_namelen, sizeof(struct sockaddr_storage));
	return r;
}

int sys_sendto(Call *call)
{
	CLEAN_FD int sock = socket_fd(call, ARG_FD(call, 0));
	Source src = {.hdr = {.msg_name = (void *)(uintptr_t)call->args[4], .msg_namelen = (socklen_t)call->args[5], .msg_iovlen = 1},
		      .one = {(void *)(uintptr_t)call->args[1], MIN((size_t)call->args[2], MAX_STREAM)},
		      .flags = ARG_INT(call, 3)};

	src.hdr.msg_iov = &src.one;
	return sock < 0 ? sock : finish(call, send_one(call, sock, &src));
}

int sys_sendmsg(Call *call)
{
	Source src;

	if (task_take_expected(call))
		return CALL_CONTINUE; /* call_take_fd */
	CLEAN_FD int sock = socket_fd(call, ARG_FD(call, 0));
	if (sock < 0)
		return sock;
	int r = read_header(call, call->args[1], ARG_INT(call, 2), &src);
	return r < 0 ? r : finish(call, send_one(call, sock, &src));
}

int sys_sendmmsg(Call *call)
{
	CLEAN_FD int sock = socket_fd(call, ARG_FD(call, 0));
	unsigned count = MIN((unsigned)call->args[2], 1024u), sent = 0;
	int r = 0;

	if (sock < 0)
		return sock;
	for (; sent < count; sent++) {
		uint64_t at = call->args[1] + sent * sizeof(struct mmsghdr);
		Source src;
		r = read_header(call, at, ARG_INT(call, 3), &src);
		if (r == 0)
			r = send_one(call, sock, &src);
		if (r == CALL_SLOW && sent) { /* some were sent: those are reported, the last one perhaps in part */
			r = (int)call->sent;
			call->sent = 0;
			if (r == 0)
				break;
			count = sent + 1;
		}
		if (r < 0)
			break;
		unsigned len = (unsigned)r;
		r = mem_write(call, at + offsetof(struct mmsghdr, msg_len), &len, sizeof len);
		if (r < 0)
			break;
	}
	return sent ? (int)sent : finish(call, r);
}
