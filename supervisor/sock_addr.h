/* supervisor/sock_addr.h - socket addresses of guests: read once, and made those of the host. Sources: unix(7), ip(7). */
#ifndef SUPERVISOR_SOCK_ADDR_H
#define SUPERVISOR_SOCK_ADDR_H

#include "supervisor/call.h"

#include <sys/socket.h>
#include <sys/un.h>

typedef struct Addr {
	struct sockaddr_storage ss;
	socklen_t len;
	int hold; /* > 0: a descriptor that the address goes through */
} Addr;
void addr_release(Addr *a);
#define CLEAN_ADDR __attribute__((cleanup(addr_release)))

/* -EINVAL, -EFAULT. */
int addr_read(Call *call, uint64_t at, uint64_t len, Addr *out) MUST_CHECK;
bool addr_is_unix_path(const Addr *a);
bool addr_is_unix_abstract(const Addr *a);
/* The path in a unix address: up to its length, NUL-terminated by us. */
void addr_unix_path(const Addr *a, char path[sizeof(struct sockaddr_un)]);
int addr_set_unix_path(Addr *a, const char *host) MUST_CHECK;
/* The abstract namespace is the host's, so each sandbox has a prefix of its own there: guests meet guests, nobody else. */
int addr_prefix_abstract(const Supervisor *sup, Addr *a) MUST_CHECK;
void addr_unprefix_abstract(const Supervisor *sup, Addr *a);
/* The path of a socket that could not be bound under its own name (unixbind.h). */
bool addr_named_neutrally(Call *call, const char *path, char shown[PATH_MAX]);
/* Of a unix socket, the address on the host. */
int addr_translate(Call *call, Addr *a) MUST_CHECK;

/* Our duplicate of the guest's socket: -EBADF, -ENOTSOCK, CALL_SLOW. */
int socket_fd(Call *call, int fd) MUST_CHECK;
/* Would a connect on it wait? Not if the guest made it non-blocking. */
bool socket_waits(int sock);

#endif
