/* supervisor/unixbind.h - binding a guest's unix socket so that the kernel knows it by the guest's own path. */
#ifndef SUPERVISOR_UNIXBIND_H
#define SUPERVISOR_UNIXBIND_H

#include "base/util.h"

#include <sys/socket.h>

/* Where the exact path cannot be given, the kernel's name for the socket is this and the guest's absolute path (or, if that is too
 * long, the marker's name). No other name begins so that we made. */
#define UNIX_NEUTRAL "bv:"

/* Binds `sock` with the address `addr` (AF_UNIX, a path), and leaves the socket's file as `host_path`, which must not exist. `scratch` is a
 * directory of ours on the same file system. Takes a process of its own: for a worker thread. 0, or a negative errno. */
int unix_bind_as(int sock, const struct sockaddr *addr, socklen_t len, const char *scratch, const char *host_path) MUST_CHECK;

#endif
