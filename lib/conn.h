/* lib/conn.h - one connection to a supervisor: requests out, answers in any order, from any number of threads.
 *
 * No thread of its own: a thread that waits for an answer becomes the reader if nobody reads, hands each packet to the call it
 * belongs to, and gives the reading on when its own answer has come. */
#ifndef LIB_CONN_H
#define LIB_CONN_H

#include "lib/internal.h"

typedef struct Conn Conn;

/* A request on its way. It lives in the caller's memory and must stay there until conn_wait returned 0 or -ECONNRESET, or conn_forget. */
typedef struct ConnCall {
	struct ConnCall *next; /* the three are protected by Conn.mu */
	cJSON *answer;
	bool listed;
	uint64_t seq;
} ConnCall;

/* Takes the descriptor over (also on failure). */
int conn_new(int fd, Conn **out) MUST_CHECK;
Conn *conn_get(Conn *conn);
void conn_put(Conn *conn); /* the last one closes; NULL is allowed */
/* The other end is gone: every call answers -ECONNRESET. */
bool conn_is_dead(Conn *conn);

/* Sends `request` (taken over; "seq" is added) with descriptors (the caller's). -E2BIG (more than CONTROL_MAX), -ECONNRESET, -ENOMEM, -EMFILE. */
int conn_begin(Conn *conn, ConnCall *call, cJSON *request, const int *fds, size_t nfds) MUST_CHECK;
/* Waits at most timeout_ms (-1: for ever). 0: call->answer is the caller's; -ETIMEDOUT: still on its way; -ECONNRESET. */
int conn_wait(Conn *conn, ConnCall *call, int timeout_ms) MUST_CHECK;
/* No answer is wanted any more. */
void conn_forget(Conn *conn, ConnCall *call);

/* What an answer says: 0, or its errno with message and stage in *err. */
int conn_verdict(const cJSON *answer, BvError **err) MUST_CHECK;
/* begin + wait for ever + verdict. *answer may be NULL if only success matters; else the caller's. */
int conn_call(Conn *conn, cJSON *request, const int *fds, size_t nfds, cJSON **answer, BvError **err) MUST_CHECK;

/* {"op": op}, or NULL. */
cJSON *conn_request(const char *op);

#endif
