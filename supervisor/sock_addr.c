#include "supervisor/sock_addr.h"
#include "supervisor/init.h"
#include "supervisor/unixbind.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>

void addr_release(Addr *a)
{
	if (a->hold > 0)
		close(a->hold);
}

int addr_read(Call *call, uint64_t at, uint64_t len, Addr *out)
{
	if ((int)len < 0 || len > sizeof out->ss)
		return -EINVAL;
	memset(out, 0, sizeof *out);
	out->len = (socklen_t)len;
	return mem_read(call, at, &out->ss, (size_t)len);
}

bool addr_is_unix_path(const Addr *a)
{
	return a->len > offsetof(struct sockaddr_un, sun_path) && a->len <= sizeof(struct sockaddr_un) && /* longer: the kernel says EINVAL */
	       a->ss.ss_family == AF_UNIX && ((const struct sockaddr_un *)&a->ss)->sun_path[0];
}

bool addr_is_unix_abstract(const Addr *a)
{
	return a->len > offsetof(struct sockaddr_un, sun_path) && a->ss.ss_family == AF_UNIX && !((const struct sockaddr_un *)&a->ss)->sun_path[0];
}

static size_t abstract_prefix(const Supervisor *sup, char prefix[32])
{
	return (size_t)snprintf(prefix, 32, "bv%x:", (unsigned)sup->init->pid);
}

int addr_prefix_abstract(const Supervisor *sup, Addr *a)
{
	char prefix[32];
	size_t n = abstract_prefix(sup, prefix), head = offsetof(struct sockaddr_un, sun_path) + 1;

	if (a->len + n > sizeof(struct sockaddr_un))
		return -EINVAL;
	memmove((char *)&a->ss + head + n, (char *)&a->ss + head, a->len - head);
	memcpy((char *)&a->ss + head, prefix, n);
	a->len += (socklen_t)n;
	return 0;
}

void addr_unprefix_abstract(const Supervisor *sup, Addr *a)
{
	char prefix[32];
	size_t n = abstract_prefix(sup, prefix), head = offsetof(struct sockaddr_un, sun_path) + 1;

	if (a->len < head + n || memcmp((char *)&a->ss + head, prefix, n) != 0)
		return;
	memmove((char *)&a->ss + head, (char *)&a->ss + head + n, a->len - head - n);
	a->len -= (socklen_t)n;
}

void addr_unix_path(const Addr *a, char path[sizeof(struct sockaddr_un)])
{
	size_t n = a->len - offsetof(struct sockaddr_un, sun_path);

	memcpy(path, ((const struct sockaddr_un *)&a->ss)->sun_path, n);
	path[n] = 0;
}

int addr_set_unix_path(Addr *a, const char *host)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	if (strlen(host) >= sizeof un.sun_path)
		return -ENAMETOOLONG;
	snprintf(un.sun_path, sizeof un.sun_path, "%s", host);
	memcpy(&a->ss, &un, sizeof un);
	a->len = sizeof un;
	return 0;
}

bool addr_named_neutrally(Call *call, const char *path, char shown[PATH_MAX])
{
	char host[STORE_PATH_MAX + sizeof(struct sockaddr_un)];

	if (strncmp(path, UNIX_NEUTRAL, strlen(UNIX_NEUTRAL)) != 0)
		return false;
	path += strlen(UNIX_NEUTRAL);
	if (path[0] == '/') {
		snprintf(shown, PATH_MAX, "%s", path);
		return true;
	}
	snprintf(host, sizeof host, "%s/%s", call->sup->mark_dir, path);
	return !strchr(path, '/') && cowfs_virtual_of_host(call->sup->fs, host, NULL, shown, PATH_MAX) > 0;
}

/* Replaces a virtual unix path by the host path of that socket. */
int addr_translate(Call *call, Addr *a)
{
	char path[sizeof(struct sockaddr_un) + 1], host[PATH_MAX];
	CLEAN_LOC CowLoc at = {0};

	if (addr_is_unix_abstract(a))
		return addr_prefix_abstract(call->sup, a);
	if (!addr_is_unix_path(a))
		return 0;
	addr_unix_path(a, path);
	call_note(call, path);
	int r = guest_at(call, AT_FDCWD, path, false, &at);
	if (r == 0)
		r = cowfs_socket_place(call->sup->fs, &call->req, at.kind ? &at : NULL, path, host, sizeof host, &a->hold);
	/* recvfrom is the kernel's, so what a guest answers to may be a neutral name. */
	char shown[PATH_MAX];
	if (r == -ENOENT && addr_named_neutrally(call, path, shown))
		r = cowfs_socket_place(call->sup->fs, &call->req, NULL, shown, host, sizeof host, &a->hold);
	return r < 0 ? r : addr_set_unix_path(a, host);
}

int socket_fd(Call *call, int fd)
{
	struct stat st;
	int dup = fd < 0 ? -EBADF : guest_fd_dup(call, fd);

	if (dup >= 0 && fstat(dup, &st) == 0 && !S_ISSOCK(st.st_mode)) {
		close(dup);
		return -ENOTSOCK;
	}
	return dup;
}

bool socket_waits(int sock)
{
	int flags = fcntl(sock, F_GETFL);

	return flags >= 0 && !(flags & O_NONBLOCK);
}
