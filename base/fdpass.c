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
