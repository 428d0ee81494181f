/* tests/bench/connects.c - what a TCP connection on the loopback costs: connects serve | connects PORT
 *
 * `serve` prints its port and answers one byte to each byte until its input ends. The other form connects, asks, reads the answer and closes,
 * 2,000 times in batches, and prints the nanoseconds of one in the median batch. */
#include <arpa/inet.h>
#include <err.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCHES = 10, BATCH = 200 };

static void must(int ok, const char *what)
{
	if (!ok)
		err(1, "%s", what);
}

static int serve(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int s = socket(AF_INET, SOCK_STREAM, 0);
	char byte;

	must(s >= 0 && bind(s, (struct sockaddr *)&at, len) == 0 && listen(s, 512) == 0 && getsockname(s, (struct sockaddr *)&at, &len) == 0, "listen");
	printf("%d\n", ntohs(at.sin_port));
	fflush(stdout);
	for (;;) {
		struct pollfd wait[] = { { s, POLLIN, 0 }, { 0, POLLIN, 0 } };

		must(poll(wait, 2, -1) > 0, "poll");
		if (wait[1].revents)
			return 0;
		int c = accept(s, NULL, NULL);
		if (c >= 0 && read(c, &byte, 1) == 1 && write(c, &byte, 1) != 1)
			warn("write");
		close(c);
	}
}

static void one(const struct sockaddr_in *to)
{
	const struct linger at_once = { 1, 0 }; /* no TIME_WAIT, which would use the ports up */
	char byte = 'x';
	int s = socket(AF_INET, SOCK_STREAM, 0);

	must(s >= 0 && connect(s, (const struct sockaddr *)to, sizeof(*to)) == 0, "connect");
	must(write(s, &byte, 1) == 1 && read(s, &byte, 1) == 1, "answer");
	setsockopt(s, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(s);
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	uint64_t took[BATCHES];

	if (argc != 2)
		errx(2, "usage: connects serve | connects PORT");
	if (strcmp(argv[1], "serve") == 0)
		return serve();
	to.sin_port = htons((uint16_t)atoi(argv[1]));
	for (int b = 0; b < BATCHES; b++) {
		uint64_t begin = now_ns();

		for (int i = 0; i < BATCH; i++)
			one(&to);
		took[b] = (now_ns() - begin) / BATCH;
	}
	qsort(took, BATCHES, sizeof(took[0]), ascending);
	printf("%llu\n", (unsigned long long)took[BATCHES / 2]);
	return 0;
}
