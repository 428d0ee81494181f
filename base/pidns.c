/* base/pidns.c - see pidns.h.
 *
 * Who unshares does not enter a pid namespace: the first child does. So the caller waits until that one has its /proc, and ends; what the caller has open, locked and allocated is the child's as well. */
#include "base/pidns.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>

typedef enum Step { STEP_PID_NAMESPACE, STEP_PROC, STEP_MOUNT_NAMESPACE, STEP_MOUNT } Step;

static const char *const steps[] = {
	[STEP_PID_NAMESPACE] = "a pid namespace cannot be made",
	[STEP_PROC] = "/proc cannot be used",
	[STEP_MOUNT_NAMESPACE] = "a mount namespace cannot be made",
	[STEP_MOUNT] = "/proc cannot be mounted for the new pid namespace",
};

typedef struct Verdict {
	Step step;
	int error;
} Verdict;

/* In a chroot "/" may be no mount. Then only what we mount on is cut off, which is enough as we mount nothing else. */
static int cut_off_mounts(void)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 && mount(NULL, "/proc", NULL, MS_PRIVATE, NULL) < 0)
		return bv_neg_errno();
	return 0;
}

static int mount_proc(Pidns *out, Step *step)
{
	char self[16] = "";

	*step = STEP_MOUNT_NAMESPACE;
	if (unshare(CLONE_NEWNS) < 0)
		return bv_neg_errno();
	int r = cut_off_mounts();
	if (r < 0)
		return r;
	*step = STEP_PROC;
	CLEAN_FD int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0 || readlink("/proc/self", self, sizeof self - 1) < 0)
		return bv_neg_errno();
	*step = STEP_MOUNT;
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return bv_neg_errno();
	*out = (Pidns){.outside = (pid_t)strtol(self, NULL, 10), .proc = TAKE_FD(proc)};
	return 0;
}

/* In the child. Returns only with success. */
static int go_on(Pidns *out, int tell)
{
	Verdict v = {0};

	setsid(); /* that of the parent has the number 0 here */
	v.error = mount_proc(out, &v.step);
	if (write(tell, &v, sizeof v) != sizeof v || v.error < 0)
		_exit(1);
	return 0;
}

static Verdict wait_for(pid_t child, int tell)
{
	Verdict v = {.step = STEP_PID_NAMESPACE, .error = -ECHILD};

	if (bv_read_full(tell, &v, sizeof v) == sizeof v && v.error == 0)
		_exit(0);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	return v;
}

int pidns_enter(Pidns *out, const char **what)
{
	CLEAN_FD int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC), tell = -1, told = -1;
	int ends[2];

	*what = steps[own < 0 ? STEP_PROC : STEP_PID_NAMESPACE];
	if (own < 0 || pipe2(ends, O_CLOEXEC) < 0)
		return bv_neg_errno();
	told = ends[0];
	tell = ends[1];
	if (unshare(CLONE_NEWPID) < 0)
		return bv_neg_errno();
	pid_t pid = fork();
	if (pid == 0)
		return go_on(out, tell);
	Verdict v = {.step = STEP_PID_NAMESPACE, .error = pid < 0 ? bv_neg_errno() : 0};
	bv_close_fd(&tell);
	if (pid > 0)
		v = wait_for(pid, told);
	if (setns(own, CLONE_NEWPID) < 0) /* else no child could be made any more */
		return bv_neg_errno();
	*what = steps[v.step];
	return v.error;
}
