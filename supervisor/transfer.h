/* supervisor/transfer.h - for calls that carry data of guests over a socket: what their copies may take together, and how they wait.
 *
 * Who waits for a socket holds no copy meanwhile: it tries without waiting, gives the copy back, waits, and makes the copy anew. So thousands of calls that wait take next to nothing, and
 * who waits for room for a copy never waits for a guest. */
#ifndef SUPERVISOR_TRANSFER_H
#define SUPERVISOR_TRANSFER_H

#include "base/util.h"

#include <sys/types.h>

/* A copy in hand, all of which together have COPIES_MAX bytes: who makes one waits until there is room for it. */
typedef struct Copy {
	char *data;
	size_t room;
} Copy;
int copy_take(Copy *copy, size_t room) MUST_CHECK; /* -ENOMEM */
void copy_give(Copy *copy); /* may be empty */
#define CLEAN_COPY __attribute__((cleanup(copy_give)))

/* One call that waits for a socket, in turn with attempts that found it not ready. Only a worker may. */
typedef struct SocketWait {
	int sock;
	short events; /* POLLIN, POLLOUT */
	unsigned vain; /* times that it was ready by poll(2) and the attempt failed all the same: a datagram for a full queue */
	uint64_t until; /* by the socket's own timeout; 0: for ever */
} SocketWait;
SocketWait socket_wait_begin(int sock, bool sends);
/* 0: to be tried again; -EAGAIN: the socket's time is over; -EINTR. */
int socket_wait(SocketWait *wait) MUST_CHECK;

#endif
