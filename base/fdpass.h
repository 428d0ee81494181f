/* base/fdpass.h - descriptors through a unix socket (SCM_RIGHTS, unix(7)). No locking, no memory. */
#ifndef BASE_FDPASS_H
#define BASE_FDPASS_H

#include "base/util.h"

enum {
	FDPASS_MAX = 8,
	/* How many descriptors are on their way is counted for all processes of a user; who may not send one more for the moment waits this long, in milliseconds. */
	FDPASS_PATIENCE = 2000
};

/* Sends `len` bytes (> 0) in one message, with `n` descriptors (<= FDPASS_MAX, 0: none), which stay the caller's. Where the user has as many on
 * their way as the caller may have open (RLIMIT_NOFILE), it is tried again for `patience` milliseconds. 0; -ETOOMANYREFS: still so; or another errno
 * of sendmsg(2), never EINTR, without SIGPIPE. Async-signal-safe. */
int bv_send_fds(int sock, const void *data, size_t len, const int *fds, size_t n, int patience);

/* Receives one message of at most `len` bytes: its length, 0 at the end, or negative errno. Of its descriptors (close-on-exec) the first `n` are the caller's, further ones are closed; -1
 * stands for each that did not come. Async-signal-safe. */
ssize_t bv_recv_fds(int sock, void *data, size_t len, int *fds, size_t n);

#endif
