#include "base/fdpass.h"

#include <sys/socket.h>
#include <time.h>

int bv_send_fds(int sock, const void *data, size_t len, const int *fds, size_t n, int patience)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * FDPASS_MAX)];
	} control = {0};
	struct iovec iov = {(void *)(uintptr_t)data, len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n > FDPASS_MAX)
		return -EINVAL;
	if (n) {
		m.msg_control = control.space;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	}
	for (uint64_t until = 0;;) {
		if (sendmsg(sock, &m, MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno == EINTR)
			continue;
		int err = bv_neg_errno();
		if (err != -ETOOMANYREFS || patience <= 0)
			return err;
		uint64_t now = bv_now_ns();
		until = until ? until : now + (uint64_t)patience * 1000000;
		if (now >= until)
			return err;
		nanosleep(&(struct timespec){0, 5000000}, NULL); /* a signal may end it early */
	}
}

ssize_t bv_recv_fds(int sock, void *data, size_t len, int *fds, size_t n)
{
	char control[CMSG_SPACE(sizeof(int) * FDPASS_MAX)];
	struct iovec iov = {data, len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	ssize_t got;

	for (size_t i = 0; i < n; i++)
		fds[i] = -1;
	do
		got = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return bv_neg_errno();
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (i < n)
				fds[i] = fd;
			else
				close(fd);
		}
	}
	return got;
}
