/* supervisor/pidns.c - see pidns.h.
 *
 * What is mounted below the host's /proc (of a container: masks of single files, /proc/sys for reading alone, lxcfs) is laid over the new one as well: guests see no more of the machine than without. */
#include "supervisor/pidns.h"
#include "supervisor/packet.h"

#include "base/pidns.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/mount.h>

#define MOUNTS_MAX (16 << 20)

static int keep_mount(int host_proc, const char *point)
{
	CLEAN_FD int fd = openat(host_proc, point + strlen("/proc/"), O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char from[32];

	if (fd < 0)
		return bv_neg_errno();
	snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
	return mount(from, point, NULL, MS_BIND, NULL) < 0 ? bv_neg_errno() : 0;
}

/* In the order in which they are listed: a mount comes before those on it. */
static int keep_mounts(int host_proc, char **err)
{
	CLEAN_FREE char *text = NULL;
	ssize_t n = bv_read_file_at(AT_FDCWD, "/proc/self/mountinfo", MOUNTS_MAX, &text);

	if (n < 0)
		return bv_fail(err, (int)n, "cannot read what is mounted here: %s", strerror((int)-n));
	for (char *line, *rest = text; (line = strsep(&rest, "\n"));) {
		char point[PATH_MAX];
		if (sscanf(line, "%*s %*s %*s %*s %4095s", point) != 1 || strncmp(point, "/proc/", strlen("/proc/")) != 0)
			continue;
		int r = keep_mount(host_proc, point);
		if (r < 0 && r != -ENOENT) /* of a process, which is nowhere in the new namespace */
			return bv_fail(err, r, "cannot have %s in the pid namespace, too: %s; leave --pidns out", point, strerror(-r));
	}
	return 0;
}

/* The kernel gives process 1 no signal that it has no handler for. */
static void on_term(int sig)
{
	_exit(128 + sig);
}

static int without(Supervisor *sup, bool required, int error, const char *what, char **err)
{
	const char *hint = error == -EPERM || error == -EACCES ? " (it takes CAP_SYS_ADMIN, which root has, but an ordinary user and --user do not, nor root of most containers)"
			   : error == -ENOSPC		       ? " (/proc/sys/user/max_pid_namespaces says how many there may be)"
							       : "";

	CLEAN_FREE char *text = bv_asprintf("--pidns: %s: %s%s", what, strerror(-error), hint);
	if (!text)
		return -ENOMEM;
	if (required)
		return bv_fail(err, error == -EACCES ? -EPERM : error, "%s; leave it out, or give --best-effort: processes are kept apart by the supervisor anyway", text);
	sup->pidns_warning = bv_asprintf("%s; processes are kept apart by the supervisor alone", text);
	return sup->pidns_warning ? 0 : -ENOMEM;
}

int pidns_start(Supervisor *sup, const cJSON *request, char **err)
{
	const char *wish = json_string(request, "pidns", NULL), *what = NULL;
	const struct sigaction term = {.sa_handler = on_term};
	Pidns ns = {.proc = -1};

	sup->pid = getpid();
	sup->host_proc = -1;
	if (!wish)
		return 0;
	int r = pidns_enter(&ns, &what);
	if (r < 0)
		return without(sup, strcmp(wish, "required") == 0, r, what, err);
	sup->pid = ns.outside;
	sup->host_proc = ns.proc;
	sigaction(SIGTERM, &term, NULL);
	return keep_mounts(ns.proc, err);
}
