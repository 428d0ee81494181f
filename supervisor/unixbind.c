/* unixbind.c - the kernel keeps the text that a unix socket was bound with, and hands it out natively: recvmsg, recvfrom, accept. So it has to
 * be the guest's own, though the file lies in the run directory.
 *
 * A short-lived process binds in an empty directory, in which it made the directories that the path names: a relative path from there, an
 * absolute one with that directory as its root, for which an ordinary user needs a user namespace. Where that is refused, the name is a
 * neutral one (UNIX_NEUTRAL). The file is then moved to its place; the kernel finds a socket by its inode. The process does nothing
 * but system calls: it is forked from a program with threads. */
#include "supervisor/unixbind.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define PATH_ROOM (sizeof(struct sockaddr_un) - offsetof(struct sockaddr_un, sun_path))

typedef struct Binding {
	int sock, scratch, place; /* directories: where to bind, where the file goes */
	const char *name;	  /* in place */
	char path[PATH_ROOM + 1];
} Binding;

/* Makes or removes each directory that the path goes through. ".." and what is there already fail, as they should. */
static void make_dirs(char *path)
{
	for (char *p = path + 1; *p; p++)
		if (*p == '/') {
			*p = 0;
			(void)mkdir(path, 0700);
			*p = '/';
		}
}

static void remove_dirs(char *path)
{
	for (char *p = path + strlen(path); p > path; p--)
		if (*p == '/') {
			*p = 0;
			(void)rmdir(path);
			*p = '/';
		}
}

/* A relative path may begin with "..": it is bound from as deep as it climbs. */
static unsigned climbs(const char *path)
{
	unsigned n = 0;

	for (const char *p = path; (p = strstr(p, "..")) != NULL; p += 2)
		n++;
	return n;
}

static int bind_here(const Binding *b, char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	int r = 0;

	memcpy(un.sun_path, path, len);
	make_dirs(path);
	if (bind(b->sock, (struct sockaddr *)&un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		r = bv_neg_errno();
	else if (renameat(AT_FDCWD, path, b->place, b->name) < 0)
		r = bv_neg_errno();
	remove_dirs(path);
	return r;
}

static int bind_relative(const Binding *b, char *path)
{
	unsigned depth = climbs(path);
	int r = 0;

	for (unsigned i = 0; i < depth && r == 0; i++)
		r = mkdir("d", 0700) < 0 || chdir("d") < 0 ? bv_neg_errno() : 0;
	if (r == 0)
		r = bind_here(b, path);
	for (unsigned i = 0; i < depth; i++)
		if (chdir("..") == 0)
			(void)rmdir("d");
	return r;
}

static int bind_neutral(const Binding *b)
{
	char path[PATH_ROOM + sizeof UNIX_NEUTRAL];

	if (strlen(b->path) + strlen(UNIX_NEUTRAL) <= PATH_ROOM)
		snprintf(path, sizeof path, UNIX_NEUTRAL "%s", b->path);
	else
		snprintf(path, sizeof path, UNIX_NEUTRAL "%.40s", b->name);
	return bind_relative(b, path);
}

static int bind_in_child(Binding *b)
{
	if (fchdir(b->scratch) < 0)
		return bv_neg_errno();
	if (b->path[0] != '/')
		return bind_relative(b, b->path);
	bool rooted = chroot(".") == 0 || (unshare(CLONE_NEWUSER) == 0 && chroot(".") == 0);
	return rooted ? bind_here(b, b->path) : bind_neutral(b);
}

static int run_child(Binding *b)
{
	int status;
	pid_t pid = _Fork();

	if (pid < 0)
		return bv_neg_errno();
	if (pid == 0)
		_exit(-bind_in_child(b)); /* an errno below 256: what bind and mkdir can say */
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return bv_neg_errno();
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

int unix_bind_as(int sock, const struct sockaddr *addr, socklen_t len, const char *scratch, const char *host_path)
{
	static _Atomic unsigned serial;
	Binding b = {.sock = sock};
	char dir[PATH_MAX], place[PATH_MAX];
	const char *slash = strrchr(host_path, '/');

	snprintf(place, sizeof place, "%.*s", (int)(slash - host_path), host_path);
	snprintf(dir, sizeof dir, "%s/b%u", scratch, serial++);
	memcpy(b.path, ((const struct sockaddr_un *)(const void *)addr)->sun_path, MIN(len - offsetof(struct sockaddr_un, sun_path), PATH_ROOM));
	b.name = slash + 1;
	CLEAN_FD int place_fd = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (place_fd < 0 || (mkdir(dir, 0700) < 0 && errno != EEXIST))
		return bv_neg_errno();
	CLEAN_FD int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	b.place = place_fd;
	b.scratch = dir_fd;
	int r = dir_fd < 0 ? bv_neg_errno() : run_child(&b);
	(void)rmdir(dir); /* what stays is removed with the run directory */
	return r;
}
