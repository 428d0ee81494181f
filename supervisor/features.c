#include "supervisor/features.h"
#include "supervisor/kernel.h"

#include "base/util.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static bool masked(const char *mask, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = mask; p && *p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
		if (strncmp(p, word, len) == 0 && (p[len] == 0 || p[len] == ','))
			return true;
	return false;
}

static bool have_openat2(void)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC};
	long fd = syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof how);

	if (fd < 0)
		return false;
	close((int)fd);
	return true;
}

static bool have_pidfd_getfd(void)
{
	CLEAN_FD int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	CLEAN_FD int fd = self < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, self, self, 0);

	return fd >= 0;
}

/* Whether the file is his is asked first, so the error tells: ENOENT, no, or EBADF, of the place of the new name. Who may read everything is not asked. */
static bool have_link_empty(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct had[2] = {0}, d[2];
	const int word = CAP_DAC_READ_SEARCH / 32;

	if (syscall(SYS_capget, &h, had) < 0)
		return true;
	memcpy(d, had, sizeof d);
	d[word].effective &= ~(1U << CAP_DAC_READ_SEARCH % 32);
	syscall(SYS_capset, &h, d);
	CLEAN_FD int root = open("/", O_PATH | O_CLOEXEC);
	bool have = linkat(root, "", -1, "x", AT_EMPTY_PATH) < 0 && errno == EBADF;
	syscall(SYS_capset, &h, had);
	return have;
}

static bool have_null_path(void)
{
	CLEAN_FD int root = open("/", O_PATH | O_CLOEXEC);
	struct statx st;

	return root >= 0 && syscall(SYS_statx, root, NULL, AT_EMPTY_PATH, STATX_TYPE, &st) == 0;
}

/* An unknown flag is refused with EINVAL before the filter pointer is looked at (EFAULT). */
static bool have_filter_flag(unsigned long flag)
{
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flag, NULL) < 0 && errno == EFAULT;
}

/* The kernel gives numbers in order, so it has all below the newest that it has. Tried with arguments that no call accepts. */
static int newest_call(void)
{
	static const int emulated[] = {__NR_file_getattr, __NR_setxattrat, __NR_fchmodat2};

	for (size_t i = 0; i < ARRAY_LEN(emulated); i++)
		if (syscall(emulated[i], -1, NULL, 0, NULL, 0, -1) >= 0 || errno != ENOSYS)
			return i == 0 ? INT_MAX : emulated[i - 1] - 1;
	return emulated[ARRAY_LEN(emulated) - 1] - 1;
}

void features_probe(Features *out, const char *mask)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	*out = (Features){
	    .sync_wakeup = !masked(mask, "sync"), /* tried on the listener itself */
	    .killable = !masked(mask, "killable") &&
			have_filter_flag(SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV),
	    .pidfd_getfd = !masked(mask, "pidfd_getfd") && have_pidfd_getfd(),
	    .openat2 = !masked(mask, "openat2") && have_openat2(),
	    .link_empty = have_link_empty(),
	    .null_path = have_null_path(),
	    .newest_call = newest_call(),
	    .ficlone = !masked(mask, "ficlone"),
	    .landlock_abi = masked(mask, "landlock") || abi < 0 ? 0 : (int)abi,
	    .sock_diag = !masked(mask, "sock_diag"),
	    .cgroups = !masked(mask, "cgroups"),
	};
}
