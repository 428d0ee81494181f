/* sys_sock.c - sockets: families, and every call that carries an address. The supervisor acts with its own copy of the address on its own
 * duplicate of the guest's socket, so that nothing the guest writes afterwards matters (invariant 2). Unix socket paths go through
 * the view; other addresses are the host's for now. Sources: socket(2), connect(2), bind(2), send(2), unix(7). */
#include "supervisor/handlers.h"
#include "supervisor/init.h"
#include "supervisor/sysargs.h"
#include "supervisor/unixbind.h"

#include <linux/netlink.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

#define MAX_SEND (4 * 1024 * 1024)
#define MAX_IOV 1024
#define MAX_CONTROL (64 * 1024)
#define MAX_PASSED 253 /* SCM_MAX_FD */

int sys_socket(Call *call)
{
	switch ((int)call->args[0]) {
	case AF_UNIX:
	case AF_INET:
	case AF_INET6:
		return (call->args[1] & 0xf) == SOCK_RAW || (call->args[1] & 0xf) == SOCK_PACKET ? -EPERM : CALL_CONTINUE;
	case AF_NETLINK:
		return (int)call->args[2] == NETLINK_ROUTE ? CALL_CONTINUE : -EPROTONOSUPPORT;
	default:
		return -EAFNOSUPPORT;
	}
}

typedef struct Addr {
	struct sockaddr_storage ss;
	socklen_t len;
	int hold; /* > 0: a descriptor that the address goes through */
} Addr;

static void addr_release(Addr *a)
{
	if (a->hold > 0)
		close(a->hold);
}
#define CLEAN_ADDR __attribute__((cleanup(addr_release)))

static int read_addr(Call *call, uint64_t at, uint64_t len, Addr *out)
{
	if ((int)len < 0 || len > sizeof out->ss)
		return -EINVAL;
	memset(out, 0, sizeof *out);
	out->len = (socklen_t)len;
	return mem_read(call, at, &out->ss, (size_t)len);
}

static bool is_unix_path(const Addr *a)
{
	return a->len > offsetof(struct sockaddr_un, sun_path) && a->len <= sizeof(struct sockaddr_un) && /* longer: the kernel says EINVAL */
	       a->ss.ss_family == AF_UNIX && ((const struct sockaddr_un *)&a->ss)->sun_path[0];
}

static bool is_unix_abstract(const Addr *a)
{
	return a->len > offsetof(struct sockaddr_un, sun_path) && a->ss.ss_family == AF_UNIX && !((const struct sockaddr_un *)&a->ss)->sun_path[0];
}

/* The abstract namespace is the host's, so each sandbox has a prefix of its own there: guests meet guests, nobody else. */
static size_t abstract_prefix(const Supervisor *sup, char prefix[32])
{
	return (size_t)snprintf(prefix, 32, "bv%x:", (unsigned)sup->init->pid);
}

static int prefix_abstract(const Supervisor *sup, Addr *a)
{
	char prefix[32];
	size_t n = abstract_prefix(sup, prefix), head = offsetof(struct sockaddr_un, sun_path) + 1;

	if (a->len + n > sizeof(struct sockaddr_un))
		return -EINVAL;
	memmove((char *)&a->ss + head + n, (char *)&a->ss + head, a->len - head);
	memcpy((char *)&a->ss + head, prefix, n);
	a->len += (socklen_t)n;
	return 0;
}

static void unprefix_abstract(const Supervisor *sup, Addr *a)
{
	char prefix[32];
	size_t n = abstract_prefix(sup, prefix), head = offsetof(struct sockaddr_un, sun_path) + 1;

	if (a->len < head + n || memcmp((char *)&a->ss + head, prefix, n) != 0)
		return;
	memmove((char *)&a->ss + head, (char *)&a->ss + head + n, a->len - head - n);
	a->len -= (socklen_t)n;
}

/* The path in a unix address: up to its length, NUL-terminated by us. */
static void unix_path(const Addr *a, char path[sizeof(struct sockaddr_un)])
{
	size_t n = a->len - offsetof(struct sockaddr_un, sun_path);

	memcpy(path, ((const struct sockaddr_un *)&a->ss)->sun_path, n);
	path[n] = 0;
}

static int set_unix_path(Addr *a, const char *host)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	if (strlen(host) >= sizeof un.sun_path)
		return -ENAMETOOLONG;
	snprintf(un.sun_path, sizeof un.sun_path, "%s", host);
	memcpy(&a->ss, &un, sizeof un);
	a->len = sizeof un;
	return 0;
}

/* The path of a socket that could not be bound under its own name (unixbind.h). */
static bool named_neutrally(Call *call, const char *path, char shown[PATH_MAX])
{
	char host[STORE_PATH_MAX + sizeof(struct sockaddr_un)];

	if (strncmp(path, UNIX_NEUTRAL, strlen(UNIX_NEUTRAL)) != 0)
		return false;
	path += strlen(UNIX_NEUTRAL);
	if (path[0] == '/') {
		snprintf(shown, PATH_MAX, "%s", path);
		return true;
	}
	snprintf(host, sizeof host, "%s/%s", call->sup->mark_dir, path);
	return !strchr(path, '/') && cowfs_virtual_of_host(call->sup->fs, host, NULL, shown, PATH_MAX) > 0;
}

/* Replaces a virtual unix path by the host path of that socket. */
static int translate_addr(Call *call, Addr *a)
{
	char path[sizeof(struct sockaddr_un) + 1], host[PATH_MAX];
	CLEAN_LOC CowLoc at = {0};

	if (is_unix_abstract(a))
		return prefix_abstract(call->sup, a);
	if (!is_unix_path(a))
		return 0;
	unix_path(a, path);
	call_note(call, path);
	int r = guest_at(call, AT_FDCWD, path, false, &at);
	if (r == 0)
		r = cowfs_socket_place(call->sup->fs, &call->req, at.kind ? &at : NULL, path, host, sizeof host, &a->hold);
	/* recvfrom is the kernel's, so what a guest answers to may be a neutral name. */
	char shown[PATH_MAX];
	if (r == -ENOENT && named_neutrally(call, path, shown))
		r = cowfs_socket_place(call->sup->fs, &call->req, NULL, shown, host, sizeof host, &a->hold);
	return r < 0 ? r : set_unix_path(a, host);
}

static int socket_fd(Call *call, int fd)
{
	struct stat st;
	int dup = fd < 0 ? -EBADF : guest_fd_dup(call, fd);

	if (dup >= 0 && fstat(dup, &st) == 0 && !S_ISSOCK(st.st_mode)) {
		close(dup);
		return -ENOTSOCK;
	}
	return dup;
}

static int bind_unix(Call *call, int sock, Addr *a)
{
	char path[sizeof(struct sockaddr_un) + 1], host[PATH_MAX];
	CLEAN_LOC CowLoc at = {0};
	CLEAN_LOC CowLoc node = {0};
	mode_t mode = 0777 & ~task_umask(call);

	if (!call->req.may_block)
		return CALL_SLOW; /* it takes a process */
	unix_path(a, path);
	call_note(call, path);
	int r = guest_at(call, AT_FDCWD, path, false, &at);
	if (r == 0)
		r = cowfs_socket_begin(call->sup->fs, &call->req, at.kind ? &at : NULL, path, mode, host, sizeof host, &node, &a->hold);
	if (r == 0 && node.kind == COW_NODE) {
		r = unix_bind_as(sock, (struct sockaddr *)&a->ss, a->len, call->sup->run_dir, host);
		cowfs_socket_done(call->sup->fs, &node, r);
	} else if (r == 0) { /* below a grant: at that very place of the host */
		r = set_unix_path(a, host);
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
	int r = read_addr(call, call->args[1], call->args[2], &a);
	if (r < 0)
		return r;
	if (is_unix_path(&a))
		return bind_unix(call, sock, &a);
	if (is_unix_abstract(&a))
		r = prefix_abstract(call->sup, &a);
	if (r < 0)
		return r;
	return bind(sock, (struct sockaddr *)&a.ss, a.len) < 0 ? bv_neg_errno() : 0;
}

/* Would a connect on this socket wait? Not if the guest made it non-blocking. */
static bool waits(int sock)
{
	int flags = fcntl(sock, F_GETFL);

	return flags >= 0 && !(flags & O_NONBLOCK);
}

int sys_connect(Call *call)
{
	CLEAN_ADDR Addr a = {0};
	CLEAN_FD int sock = socket_fd(call, ARG_FD(call, 0));

	if (sock < 0)
		return sock;
	if (!call->req.may_block && waits(sock))
		return CALL_SLOW;
	int r = read_addr(call, call->args[1], call->args[2], &a);
	if (r == 0)
		r = translate_addr(call, &a);
	if (r < 0)
		return r;
	r = connect(sock, (struct sockaddr *)&a.ss, a.len) < 0 ? bv_neg_errno() : 0;
	if (r != -EINPROGRESS)
		return r;
	call_answer(call, r); /* the kernel's own answer, which as a return value would mean "again on a worker" */
	return CALL_REPLIED;
}

/* ---- sending ---- */

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

static int read_message(Call *call, uint64_t at, Message *m)
{
	struct msghdr g;
	int r = mem_read(call, at, &g, sizeof g);

	if (r < 0)
		return r;
	if (g.msg_name && g.msg_namelen) {
		r = read_addr(call, (uint64_t)(uintptr_t)g.msg_name, MIN(g.msg_namelen, sizeof m->addr.ss), &m->addr);
		if (r == 0)
			r = translate_addr(call, &m->addr);
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
	bool may_wait = !(flags & MSG_DONTWAIT) && waits(sock);
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
	int r = read_addr(call, call->args[4], call->args[5], &m.addr);
	if (r == 0)
		r = translate_addr(call, &m.addr);
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
	int r = read_message(call, call->args[1], &m);
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
		r = read_message(call, at, &m);
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

static void restore_neutral(Call *call, Addr *a)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	char path[sizeof(struct sockaddr_un) + 1], shown[PATH_MAX];

	unix_path(a, path);
	/* Bound below a grant it went through our descriptor: as if bound by its own name from its directory. */
	const char *own = strncmp(path, "/proc/self/fd/", 14) == 0 ? strchr(path + 14, '/') : NULL;
	if (!own && !named_neutrally(call, path, shown))
		return;
	snprintf(un.sun_path, sizeof un.sun_path, "%s", own ? own + 1 : shown);
	memcpy(&a->ss, &un, sizeof un);
	a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(un.sun_path) + 1);
}

/* getsockname, getpeername: a unix path is shown as the guest knows it. */
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
	if ((peer ? getpeername : getsockname)(sock, (struct sockaddr *)&a.ss, &a.len) < 0)
		return bv_neg_errno();
	if (is_unix_abstract(&a))
		unprefix_abstract(call->sup, &a);
	if (is_unix_path(&a))
		restore_neutral(call, &a);
	r = mem_write(call, call->args[1], &a.ss, MIN(room, a.len));
	return r < 0 ? r : mem_write(call, call->args[2], &a.len, sizeof a.len);
}
