/* transfer.c - see transfer.h. */
#include "supervisor/transfer.h"

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#define COPIES_MAX ((size_t)64 << 20)
#define VAIN_LEAST_NS 200000 /* doubled each time */
#define VAIN_DOUBLINGS 6

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t given = PTHREAD_COND_INITIALIZER;
static size_t taken; /* protected by lock */

int copy_take(Copy *copy, size_t room)
{
	pthread_mutex_lock(&lock);
	while (taken && taken + room > COPIES_MAX)
		pthread_cond_wait(&given, &lock);
	taken += room;
	pthread_mutex_unlock(&lock);
	*copy = (Copy){malloc(room + 1), room};
	if (copy->data)
		return 0;
	copy_give(copy);
	return -ENOMEM;
}

void copy_give(Copy *copy)
{
	free(copy->data);
	pthread_mutex_lock(&lock);
	taken -= copy->room;
	pthread_cond_broadcast(&given);
	pthread_mutex_unlock(&lock);
	*copy = (Copy){0};
}

SocketWait socket_wait_begin(int sock, bool sends)
{
	SocketWait w = {.sock = sock, .events = sends ? POLLOUT : POLLIN};
	struct timeval own = {0};
	socklen_t len = sizeof own;

	if (getsockopt(sock, SOL_SOCKET, sends ? SO_SNDTIMEO : SO_RCVTIMEO, &own, &len) == 0 && (own.tv_sec || own.tv_usec))
		w.until = bv_now_ns() + (uint64_t)own.tv_sec * 1000000000 + (uint64_t)own.tv_usec * 1000;
	return w;
}

/* Nanoseconds that are left; UINT64_MAX: for ever. */
static uint64_t time_left(const SocketWait *w)
{
	uint64_t now = w->until ? bv_now_ns() : 0;

	return w->until ? w->until - MIN(w->until, now) : UINT64_MAX;
}

int socket_wait(SocketWait *w)
{
	struct pollfd p = {.fd = w->sock, .events = w->events};
	uint64_t left = time_left(w);

	if (w->vain) { /* poll(2) says that it is ready */
		uint64_t ns = MIN(left, (uint64_t)VAIN_LEAST_NS << MIN(w->vain - 1, (unsigned)VAIN_DOUBLINGS));
		if (nanosleep(&(struct timespec){0, (long)ns}, NULL) < 0)
			return bv_neg_errno();
		left = time_left(w);
	}
	if (left == 0)
		return -EAGAIN;
	const struct timespec at_most = {(time_t)(left / 1000000000), (long)(left % 1000000000)};
	int n = ppoll(&p, 1, w->until ? &at_most : NULL, NULL);
	if (n < 0)
		return bv_neg_errno();
	w->vain++;
	return n == 0 ? -EAGAIN : 0;
}
