/* tests/cli/fetch.c - a client of HTTP that needs nothing but a C library, to be linked with musl, whose resolver is its own: fetch NAME PORT. Prints the status, or what failed. */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	char text[512];
	int status = 0;

	if (argc != 3)
		return 2;
	int r = getaddrinfo(argv[1], argv[2], &hints, &found);
	if (r != 0) {
		printf("%s\n", gai_strerror(r));
		return 1;
	}
	int s = socket(found->ai_family, SOCK_STREAM, 0);
	if (s < 0 || connect(s, found->ai_addr, found->ai_addrlen) < 0) {
		perror("connect");
		return 1;
	}
	int n = snprintf(text, sizeof(text), "GET / HTTP/1.0\r\nHost: %.200s\r\n\r\n", argv[1]);
	if (write(s, text, (size_t)n) != n || (n = (int)read(s, text, sizeof(text) - 1)) <= 0)
		return 1;
	text[n] = 0;
	if (sscanf(text, "HTTP/%*d.%*d %d", &status) == 1)
		printf("%d", status);
	freeaddrinfo(found);
	return status != 200;
}
