/* tests/tools/dockerlike.c - runs a command as an unprivileged container of Docker's default settings would.
 *
 * Usage: dockerlike COMMAND [ARG...]
 *
 * What makes such a container hard for bvisor is not its namespaces but what is refused there: there are no capabilities, none can be
 * had (no_new_privs, no user namespaces), and a seccomp filter answers EPERM to the system calls that Docker's default
 * profile leaves out for a container without added capabilities. The profile is an allow-list; here its complement is written, for
 * the calls of both architectures. Calls newer than the profile get ENOSYS, as runc arranges it, so that C libraries fall back.
 *
 * Exit code: the command's own; 125 if the environment cannot be made, 126/127 if the command cannot be executed. */
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIRST_UNKNOWN 463 /* setxattrat: the first call that the profile has never heard of */
#define LAST_UNKNOWN 479
#define NAMESPACES (CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP)

/* Left out for everybody without the capability that the line names. */
static const char *const refused[] = {
	/* CAP_SYS_ADMIN */ "bpf", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick", "lookup_dcookie", "mount", "mount_setattr",
	"move_mount", "name_to_handle_at", "open_tree", "perf_event_open", "pivot_root", "quotactl", "quotactl_fd", "setdomainname", "sethostname", "setns",
	"swapoff", "swapon", "syslog", "umount", "umount2", "unshare",
	/* CAP_DAC_READ_SEARCH */ "open_by_handle_at",
	/* CAP_SYS_BOOT */ "kexec_file_load", "kexec_load", "reboot",
	/* CAP_SYS_CHROOT */ "chroot",
	/* CAP_SYS_MODULE */ "create_module", "delete_module", "finit_module", "get_kernel_syms", "init_module", "query_module",
	/* CAP_SYS_NICE */ "get_mempolicy", "mbind", "migrate_pages", "move_pages", "set_mempolicy", "set_mempolicy_home_node",
	/* CAP_SYS_PACCT */ "acct",
	/* CAP_SYS_PTRACE */ "kcmp", "pidfd_getfd", "process_madvise",
	/* CAP_SYS_RAWIO */ "ioperm", "iopl",
	/* CAP_SYS_TIME */ "clock_settime", "settimeofday",
	/* CAP_SYS_TTY_CONFIG */ "vhangup",
	/* nobody has them */ "add_key", "io_uring_enter", "io_uring_register", "io_uring_setup", "keyctl", "nfsservctl", "request_key", "sysfs",
	"uselib", "userfaultfd", "ustat", "_sysctl",
};

static int refuse(scmp_filter_ctx filter, int number, int error)
{
	return seccomp_rule_add(filter, SCMP_ACT_ERRNO(error), number, 0);
}

static int refuse_by_name(scmp_filter_ctx filter)
{
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		int number = seccomp_syscall_resolve_name(refused[i]);
		int r = number < 0 ? 0 : refuse(filter, number, EPERM); /* negative: not a call of this architecture */
		if (r < 0) {
			fprintf(stderr, "dockerlike: %s: %s\n", refused[i], strerror(-r));
			return r;
		}
	}
	return 0;
}

/* The calls of which the profile refuses some arguments only. */
static int refuse_by_argument(scmp_filter_ctx filter)
{
	int r = 0;
	for (unsigned bit = 0; bit < 32 && r == 0; bit++) {
		scmp_datum_t flag = (scmp_datum_t)1 << bit;
		if (flag & (scmp_datum_t)NAMESPACES)
			r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag));
	}
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_VSOCK));
	return r;
}

static int load_filter(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	if (!filter)
		return -ENOMEM;
	int r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW); /* the profile lets 32-bit programs run */
	if (r == 0)
		r = refuse_by_name(filter);
	if (r == 0)
		r = refuse_by_argument(filter);
	if (r == 0) /* its flags are in memory, where no filter can look */
		r = refuse(filter, SCMP_SYS(clone3), ENOSYS);
	for (int number = FIRST_UNKNOWN; number <= LAST_UNKNOWN && r == 0; number++)
		r = refuse(filter, number, ENOSYS);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}

/* All capability sets empty; the bounding set too, if that is still allowed. */
static int drop_capabilities(void)
{
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* EPERM: there is nothing to drop */
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0 } };
	return syscall(SYS_capset, &head, none) == 0 ? 0 : -errno;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: dockerlike COMMAND [ARG...]\n");
		return 125;
	}
	int r = drop_capabilities();
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		r = -errno;
	if (r == 0)
		r = load_filter();
	if (r < 0) {
		fprintf(stderr, "dockerlike: %s\n", strerror(-r));
		return 125;
	}
	execvp(argv[1], argv + 1);
	fprintf(stderr, "dockerlike: %s: %s\n", argv[1], strerror(errno));
	return errno == ENOENT ? 127 : 126;
}
