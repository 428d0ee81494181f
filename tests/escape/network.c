/* tests/escape/network.c - races for what the host serves over the network: addresses that change while they are looked at, and sockets that others bind, while their options are
 * set. The victim counts who connects and what it gets; the sandbox's own server is what may be reached. */
#include "escape.h"

#include <netinet/in.h>

#define SLOT 98

static struct sockaddr_in to, open_one, closed_one, own;

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int server(int type)
{
	socklen_t len = sizeof open_one;
	int s = socket(AF_INET, type | SOCK_NONBLOCK, 0);

	open_one = loopback(0);
	NEED(s >= 0 && bind(s, (struct sockaddr *)&open_one, len) == 0 && getsockname(s, (struct sockaddr *)&open_one, &len) == 0);
	NEED(type != SOCK_STREAM || listen(s, 64) == 0);
	return s;
}

static void put(const struct sockaddr_in *address)
{
	memcpy(&to, address, sizeof to);
	__atomic_signal_fence(__ATOMIC_SEQ_CST); /* or the compiler would leave out what is overwritten at once */
}

static void *swap(void *arg)
{
	for (;;) {
		put(&closed_one);
		put(&open_one);
	}
	return arg;
}

/* A server of its own, and an address that is this one's and the victim's in turn. */
static int begin(int type)
{
	pthread_t t;
	int s = server(type);

	closed_one = loopback(htons((uint16_t)given_number("PORT")));
	to = open_one;
	NEED(pthread_create(&t, NULL, swap, NULL) == 0);
	return s;
}

ATTEMPT(race_net_connect, "an internet address between the sandbox's server and the host's: connect", HARMS, "race")
{
	int listening = begin(SOCK_STREAM);

	for (double end = race_end(); now() < end;) {
		int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), u = socket(AF_INET, SOCK_DGRAM, 0);
		connect(s, (struct sockaddr *)&to, sizeof to);
		connect(u, (struct sockaddr *)&to, sizeof to);
		send(u, "x", 1, 0);
		close(accept(listening, NULL, NULL));
		close(s);
		close(u);
	}
}

ATTEMPT(race_net_sendto, "an internet address between the sandbox's server and the host's: sendto", HARMS, "race")
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	begin(SOCK_DGRAM);
	for (double end = race_end(); now() < end;)
		sendto(s, "x", 1, 0, (struct sockaddr *)&to, sizeof to);
}

ATTEMPT(race_net_sendmsg, "an internet address between the sandbox's server and the host's: sendmsg, sendmmsg", HARMS, "race")
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	struct iovec iov = {(char *)"x", 1};
	struct mmsghdr m[2] = {{.msg_hdr = {.msg_name = &open_one, .msg_namelen = sizeof to, .msg_iov = &iov, .msg_iovlen = 1}},
			       {.msg_hdr = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &iov, .msg_iovlen = 1}}};

	begin(SOCK_DGRAM);
	for (double end = race_end(); now() < end;) {
		sendmsg(s, &m[1].msg_hdr, 0);
		sendmmsg(s, m, 2, 0);
	}
}

/* ---- ports that the victim would share ---- */

static void set_reuse(int s, int value)
{
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &value, sizeof value);
	setsockopt(s, SOL_SOCKET, SO_REUSEPORT, &value, sizeof value);
}

static void disconnect(int s)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};

	connect(s, &none, sizeof none);
}

/* All that may give the socket a port, or change what it shares. */
static void *meddle(void *arg)
{
	const struct sockaddr_in any = {.sin_family = AF_INET};

	for (unsigned i = 0;; i++) {
		set_reuse(SLOT, 1);
		if (i % 4 == 0)
			bind(SLOT, (struct sockaddr *)&own, sizeof own); /* a port that is shared, in the sandbox */
		if (i % 4 == 1)
			bind(SLOT, (struct sockaddr *)&any, sizeof any);
		if (write(SLOT, "x", 1) < 0 && i % 4 == 2)
			disconnect(SLOT);
	}
	return arg;
}

static bool is_victims(uint16_t port)
{
	char text[16];

	snprintf(text, sizeof text, ",%u,", ntohs(port));
	return strstr(given("SHARED"), text) != NULL;
}

ATTEMPT(race_net_port, "a datagram port that a program of the host would share", GAINS, "race")
{
	pthread_t t;
	int first = socket(AF_INET, SOCK_DGRAM, 0);
	socklen_t len = sizeof own;

	set_reuse(first, 1);
	own = loopback(0);
	NEED(bind(first, (struct sockaddr *)&own, len) == 0 && getsockname(first, (struct sockaddr *)&own, &len) == 0);
	for (int i = 0; i < 2; i++)
		NEED(pthread_create(&t, NULL, meddle, NULL) == 0);
	for (double end = race_end(); now() < end && !has_got();) {
		struct sockaddr_in name = {0};
		int s = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		NEED(dup2(s, SLOT) == SLOT);
		set_reuse(s, 1);
		if (write(s, "x", 1) < 0)
			bind(s, (struct sockaddr *)&own, sizeof own);
		len = sizeof name;
		if (getsockname(s, (struct sockaddr *)&name, &len) == 0 && is_victims(name.sin_port))
			got("port %u", ntohs(name.sin_port));
		close(s);
	}
}
