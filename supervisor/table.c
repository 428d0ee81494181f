/* table.c - the rows. Their order is the order of the documentation; syscall_find() has an index of its own. */
#include "supervisor/table.h"
#include "supervisor/handlers.h"
#include "supervisor/kernel.h"
#include "supervisor/native_args.h"

#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>

#define NATIVE(n, why) {__NR_##n, #n, POLICY_NATIVE, 0, NULL, NULL, why, 0, 0}
#define EMULATE(n, handler, args, why) {__NR_##n, #n, POLICY_EMULATE, 0, handler, args, why, 0, 0}
#define EMULATE_ONCE(n, handler, args, why, what) {__NR_##n, #n, POLICY_EMULATE, 0, handler, args, why, 0, what}
#define EMULATE_IF(kind, n, handler, args, why) {__NR_##n, #n, POLICY_EMULATE, 0, handler, args, why, FILTER_##kind, 0}
#define REFUSE(n, err, why) {__NR_##n, #n, POLICY_REFUSE, err, NULL, NULL, why, 0, 0}

/* clang-format off */
const Syscall syscall_table[] = {
	/* ---- names and metadata by path ---- */
#ifdef __NR_open
	EMULATE(open, sys_open, NULL, "path"),
#endif
	EMULATE(openat, sys_openat, NULL, "path"),
	EMULATE(openat2, sys_openat2, NULL, "path"),
#ifdef __NR_creat
	EMULATE(creat, sys_creat, NULL, "path"),
#endif
#ifdef __NR_stat
	EMULATE(stat, sys_stat, NULL, "path"),
#endif
#ifdef __NR_lstat
	EMULATE(lstat, sys_lstat, NULL, "path"),
#endif
	EMULATE(newfstatat, sys_newfstatat, NULL, "path"),
	EMULATE(statx, sys_statx, NULL, "path"),
	EMULATE(fstat, sys_fstat, NULL, "the record may know better than the backing file"),
#ifdef __NR_access
	EMULATE(access, sys_access, NULL, "path"),
#endif
	EMULATE(faccessat, sys_faccessat, NULL, "path"),
	EMULATE(faccessat2, sys_faccessat2, NULL, "path"),
#ifdef __NR_readlink
	EMULATE(readlink, sys_readlink, NULL, "path"),
#endif
	EMULATE(readlinkat, sys_readlinkat, NULL, "path"),
#ifdef __NR_mkdir
	EMULATE_ONCE(mkdir, sys_mkdir, NULL, "path", ONCE_STRING(0)),
#endif
	EMULATE_ONCE(mkdirat, sys_mkdirat, NULL, "path", ONCE_STRING(1)),
#ifdef __NR_rmdir
	EMULATE_ONCE(rmdir, sys_rmdir, NULL, "path", ONCE_STRING(0)),
#endif
#ifdef __NR_mknod
	EMULATE_ONCE(mknod, sys_mknod, NULL, "path", ONCE_STRING(0)),
#endif
	EMULATE_ONCE(mknodat, sys_mknodat, NULL, "path", ONCE_STRING(1)),
#ifdef __NR_link
	EMULATE_ONCE(link, sys_link, NULL, "path", ONCE_STRING(0) | ONCE_STRING(1)),
#endif
	EMULATE_ONCE(linkat, sys_linkat, NULL, "path", ONCE_STRING(1) | ONCE_STRING(3)),
#ifdef __NR_symlink
	EMULATE_ONCE(symlink, sys_symlink, NULL, "path", ONCE_STRING(0) | ONCE_STRING(1)),
#endif
	EMULATE_ONCE(symlinkat, sys_symlinkat, NULL, "path", ONCE_STRING(0) | ONCE_STRING(2)),
#ifdef __NR_unlink
	EMULATE_ONCE(unlink, sys_unlink, NULL, "path", ONCE_STRING(0)),
#endif
	EMULATE_ONCE(unlinkat, sys_unlinkat, NULL, "path", ONCE_STRING(1)),
#ifdef __NR_rename
	EMULATE_ONCE(rename, sys_rename, NULL, "path", ONCE_STRING(0) | ONCE_STRING(1)),
#endif
	EMULATE_ONCE(renameat, sys_renameat, NULL, "path", ONCE_STRING(1) | ONCE_STRING(3)),
	EMULATE_ONCE(renameat2, sys_renameat2, NULL, "path", ONCE_STRING(1) | ONCE_STRING(3)),
#ifdef __NR_chmod
	EMULATE(chmod, sys_chmod, NULL, "path"),
#endif
	EMULATE(fchmod, sys_fchmod, NULL, "metadata of an object"),
	EMULATE(fchmodat, sys_fchmodat, NULL, "path"),
	EMULATE(fchmodat2, sys_fchmodat2, NULL, "path"),
#ifdef __NR_chown
	EMULATE(chown, sys_chown, NULL, "path"),
#endif
#ifdef __NR_lchown
	EMULATE(lchown, sys_lchown, NULL, "path"),
#endif
	EMULATE(fchown, sys_fchown, NULL, "metadata of an object"),
	EMULATE(fchownat, sys_fchownat, NULL, "path"),
#ifdef __NR_utime
	EMULATE(utime, sys_utime, NULL, "path"),
#endif
#ifdef __NR_utimes
	EMULATE(utimes, sys_utimes, NULL, "path"),
#endif
#ifdef __NR_futimesat
	EMULATE(futimesat, sys_futimesat, NULL, "path"),
#endif
	EMULATE(utimensat, sys_utimensat, NULL, "path"),
	EMULATE(truncate, sys_truncate, NULL, "path"),
	EMULATE(statfs, sys_statfs, NULL, "path"),
	EMULATE(fstatfs, sys_fstatfs, NULL, "must agree with statfs"),
	EMULATE(chdir, sys_chdir, NULL, "path"),
	EMULATE(fchdir, sys_fchdir, NULL, "the view decides on search permission"),
	EMULATE(getcwd, sys_getcwd, NULL, "virtual path"),
#ifdef __NR_getdents
	EMULATE_ONCE(getdents, sys_getdents, NULL, "merged directories", ONCE_POSITION),
#endif
	EMULATE_ONCE(getdents64, sys_getdents64, NULL, "merged directories", ONCE_POSITION),
	EMULATE(umask, sys_umask, NULL, "noted, then done by the kernel"),
	EMULATE(setxattr, sys_setxattr, NULL, "path"),
	EMULATE(getxattr, sys_getxattr, NULL, "path"),
	EMULATE(listxattr, sys_listxattr, NULL, "path"),
	EMULATE_ONCE(removexattr, sys_removexattr, NULL, "path", ONCE_STRING(0) | ONCE_STRING(1)),
	EMULATE(lsetxattr, sys_lsetxattr, NULL, "path"),
	EMULATE(lgetxattr, sys_lgetxattr, NULL, "path"),
	EMULATE(llistxattr, sys_llistxattr, NULL, "path"),
	EMULATE_ONCE(lremovexattr, sys_lremovexattr, NULL, "path", ONCE_STRING(0) | ONCE_STRING(1)),
	EMULATE(fsetxattr, sys_fsetxattr, NULL, "metadata of an object"),
	EMULATE(fgetxattr, sys_fgetxattr, NULL, "metadata of an object"),
	EMULATE(flistxattr, sys_flistxattr, NULL, "metadata of an object"),
	EMULATE_ONCE(fremovexattr, sys_fremovexattr, NULL, "metadata of an object", ONCE_STRING(1)),
	EMULATE(setxattrat, sys_setxattrat, NULL, "path"),
	EMULATE(getxattrat, sys_getxattrat, NULL, "path"),
	EMULATE(listxattrat, sys_listxattrat, NULL, "path"),
	EMULATE_ONCE(removexattrat, sys_removexattrat, NULL, "path", ONCE_STRING(1) | ONCE_STRING(3)),
	EMULATE(file_getattr, sys_file_attr, NULL, "inode flags are not kept: EOPNOTSUPP after the walk"),
	EMULATE(file_setattr, sys_file_attr, NULL, "inode flags are not kept: EOPNOTSUPP after the walk"),
	EMULATE(fsync, sys_fsync, NULL, "commit barrier"),
	EMULATE(fdatasync, sys_fsync, NULL, "commit barrier"),
	EMULATE(sync, sys_sync, NULL, "commit barrier"),
	EMULATE(syncfs, sys_syncfs, NULL, "commit barrier"),
	EMULATE(msync, sys_msync, &msync_async, "commit barrier"),
	EMULATE(inotify_add_watch, sys_inotify_add_watch, NULL, "path"),
	/* ---- programs and processes ---- */
	EMULATE(execve, sys_execve, NULL, "path"),
	EMULATE(execveat, sys_execveat, NULL, "path"),
	EMULATE(clone, sys_clone, NULL, "no new namespaces; ends when the supervisor ends"),
#ifdef __NR_fork
	EMULATE(fork, sys_fork, NULL, "ends when the supervisor ends"),
#endif
#ifdef __NR_vfork
	EMULATE(vfork, sys_fork, NULL, "ends when the supervisor ends"),
#endif
	REFUSE(clone3, ENOSYS, "its flags lie in memory, where they could change after the check; programs fall back to clone"),
	EMULATE(unshare, sys_unshare, NULL, "no namespaces"),
	EMULATE_ONCE(kill, sys_kill, NULL, "own processes only", ONCE),
	EMULATE_ONCE(tkill, sys_tkill, NULL, "own processes only", ONCE),
	EMULATE_ONCE(tgkill, sys_tgkill, NULL, "own processes only", ONCE),
	EMULATE(rt_sigqueueinfo, sys_tkill, NULL, "own processes only"),
	EMULATE(rt_tgsigqueueinfo, sys_tgkill, NULL, "own processes only"),
	EMULATE(pidfd_send_signal, sys_pidfd_send_signal, NULL, "own processes only: SO_PEERPIDFD names the supervisor"),
	EMULATE(pidfd_open, sys_check_pid, NULL, "own processes only"),
	EMULATE(getpgid, sys_check_pid, &pid_zero, "own processes only"),
	EMULATE(getsid, sys_check_pid, &pid_zero, "own processes only"),
	EMULATE(sched_getaffinity, sys_getaffinity, &pid_zero, "own processes only"),
	EMULATE(sched_setaffinity, sys_setaffinity, NULL, "own processes and the sandbox's processors only; notes that affinities are in use"),
	EMULATE(sched_getparam, sys_check_pid, &pid_zero, "own processes only"),
	EMULATE(sched_setparam, sys_check_pid, &pid_zero, "own processes only"),
	EMULATE(sched_getscheduler, sys_check_pid, &pid_zero, "own processes only"),
	EMULATE(sched_setscheduler, sys_check_pid, &pid_zero, "own processes only"),
	EMULATE(sched_getattr, sys_check_pid, &pid_zero, "own processes only"),
	EMULATE(sched_setattr, sys_check_pid, &pid_zero, "own processes only"),
	EMULATE(sched_rr_get_interval, sys_check_pid, &pid_zero, "own processes only"),
	EMULATE(prlimit64, sys_prlimit, &prlimit_native, "own processes only; no core files"),
	EMULATE(getrlimit, sys_rlimit, &rlimit_native, "no core files"),
	EMULATE(setrlimit, sys_rlimit, &rlimit_native, "no core files"),
	EMULATE(migrate_pages, sys_check_pid, &pid_zero, "own processes only"),
	EMULATE(move_pages, sys_check_pid, &pid_zero, "own processes only"),
	EMULATE(get_robust_list, sys_check_pid, &pid_zero, "own processes only"),
	EMULATE(getpriority, sys_priority, NULL, "own processes only"),
	EMULATE(setpriority, sys_priority, NULL, "own processes only"),
	EMULATE(ioprio_get, sys_priority, NULL, "own processes only"),
	EMULATE(ioprio_set, sys_priority, NULL, "own processes only"),
	EMULATE(prctl, sys_prctl, &prctl_native, "allow-list; a guest stays readable for the supervisor"),
	EMULATE(seccomp, sys_seccomp, NULL, "a second listener is impossible"),
	EMULATE(personality, sys_personality, &personality_query, "only harmless bits"),
	NATIVE(exit, "about the caller itself or its own children"),
	NATIVE(exit_group, "about the caller itself or its own children"),
	NATIVE(wait4, "about the caller itself or its own children"),
	NATIVE(waitid, "about the caller itself or its own children"),
	NATIVE(getpid, "about the caller itself or its own children"),
	NATIVE(gettid, "about the caller itself or its own children"),
	NATIVE(getppid, "about the caller itself or its own children"),
#ifdef __NR_getpgrp
	NATIVE(getpgrp, "about the caller itself or its own children"),
#endif
	NATIVE(setpgid, "about the caller itself or its own children"),
	NATIVE(setsid, "about the caller itself or its own children"),
	NATIVE(set_tid_address, "about the caller itself or its own children"),
	NATIVE(set_robust_list, "about the caller itself or its own children"),
	NATIVE(rseq, "about the caller itself or its own children"),
	NATIVE(restart_syscall, "about the caller itself or its own children"),
#ifdef __NR_arch_prctl
	NATIVE(arch_prctl, "about the caller itself or its own children"),
#endif
	NATIVE(sched_yield, "about the caller itself or its own children"),
	NATIVE(sched_get_priority_max, "about the caller itself or its own children"),
	NATIVE(sched_get_priority_min, "about the caller itself or its own children"),
	NATIVE(getcpu, "about the caller itself or its own children"),
	NATIVE(times, "about the caller itself or its own children"),
	NATIVE(getrusage, "about the caller itself or its own children"),
	NATIVE(membarrier, "about the caller itself or its own children"),
	EMULATE_IF(ROOT, getuid, sys_getid, NULL, "virtual credentials"),
	EMULATE_IF(ROOT, geteuid, sys_getid, NULL, "virtual credentials"),
	EMULATE_IF(ROOT, getgid, sys_getid, NULL, "virtual credentials"),
	EMULATE_IF(ROOT, getegid, sys_getid, NULL, "virtual credentials"),
	EMULATE_IF(ROOT, getresuid, sys_getresid, NULL, "virtual credentials"),
	EMULATE_IF(ROOT, getresgid, sys_getresid, NULL, "virtual credentials"),
	EMULATE_IF(ROOT, getgroups, sys_getgroups, NULL, "virtual credentials"),
	EMULATE_IF(ROOT, setuid, sys_setid, NULL, "virtual credentials"),
	EMULATE_IF(ROOT, setgid, sys_setid, NULL, "virtual credentials"),
	EMULATE_IF(ROOT, setreuid, sys_setid, NULL, "virtual credentials"),
	EMULATE_IF(ROOT, setregid, sys_setid, NULL, "virtual credentials"),
	EMULATE_IF(ROOT, setresuid, sys_setid, NULL, "virtual credentials"),
	EMULATE_IF(ROOT, setresgid, sys_setid, NULL, "virtual credentials"),
	EMULATE_IF(ROOT, setfsuid, sys_setfsid, NULL, "virtual credentials"),
	EMULATE_IF(ROOT, setfsgid, sys_setfsid, NULL, "virtual credentials"),
	EMULATE_IF(ROOT, setgroups, sys_setgroups, NULL, "virtual credentials"),
	NATIVE(capget, "a guest has no capability: the kernel refuses what matters"),
	NATIVE(capset, "a guest has no capability: the kernel refuses what matters"),
	NATIVE(rt_sigaction, "signals of the caller"),
	NATIVE(rt_sigprocmask, "signals of the caller"),
	NATIVE(rt_sigpending, "signals of the caller"),
	NATIVE(rt_sigsuspend, "signals of the caller"),
	NATIVE(rt_sigtimedwait, "signals of the caller"),
	NATIVE(rt_sigreturn, "signals of the caller"),
	NATIVE(sigaltstack, "signals of the caller"),
#ifdef __NR_signalfd
	NATIVE(signalfd, "signals of the caller"),
#endif
	NATIVE(signalfd4, "signals of the caller"),
#ifdef __NR_pause
	NATIVE(pause, "signals of the caller"),
#endif
#ifdef __NR_alarm
	NATIVE(alarm, "signals of the caller"),
#endif
	/* ---- data on open descriptors ---- */
	NATIVE(read, "data I/O is native (invariant 3)"),
	NATIVE(write, "data I/O is native (invariant 3)"),
	NATIVE(readv, "data I/O is native (invariant 3)"),
	NATIVE(writev, "data I/O is native (invariant 3)"),
	NATIVE(pread64, "data I/O is native (invariant 3)"),
	NATIVE(pwrite64, "data I/O is native (invariant 3)"),
	NATIVE(preadv, "data I/O is native (invariant 3)"),
	NATIVE(pwritev, "data I/O is native (invariant 3)"),
	NATIVE(preadv2, "data I/O is native (invariant 3)"),
	NATIVE(pwritev2, "data I/O is native (invariant 3)"),
	NATIVE(lseek, "data I/O is native (invariant 3)"),
	NATIVE(close, "data I/O is native (invariant 3)"),
	NATIVE(close_range, "data I/O is native (invariant 3)"),
	NATIVE(dup, "data I/O is native (invariant 3)"),
#ifdef __NR_dup2
	NATIVE(dup2, "data I/O is native (invariant 3)"),
#endif
	NATIVE(dup3, "data I/O is native (invariant 3)"),
	NATIVE(sendfile, "data I/O is native (invariant 3)"),
	NATIVE(splice, "data I/O is native (invariant 3)"),
	NATIVE(tee, "data I/O is native (invariant 3)"),
	NATIVE(vmsplice, "data I/O is native (invariant 3)"),
	NATIVE(copy_file_range, "data I/O is native (invariant 3)"),
	EMULATE_IF(DISK, fallocate, sys_fallocate, NULL, "takes any room at once"),
	NATIVE(ftruncate, "data I/O is native (invariant 3)"),
	NATIVE(fadvise64, "data I/O is native (invariant 3)"),
	NATIVE(readahead, "data I/O is native (invariant 3)"),
	NATIVE(sync_file_range, "data I/O is native (invariant 3)"),
	NATIVE(flock, "data I/O is native (invariant 3)"),
#ifdef __NR_pipe
	NATIVE(pipe, "data I/O is native (invariant 3)"),
#endif
	NATIVE(pipe2, "data I/O is native (invariant 3)"),
	NATIVE(cachestat, "data I/O is native (invariant 3)"),
	EMULATE(fcntl, sys_fcntl, &fcntl_native, "no leases, no signals to strangers"),
	EMULATE(ioctl, sys_ioctl, &ioctl_native, "allow-list: inode flags change a file through a read-only descriptor"),
#ifdef __NR_select
	NATIVE(select, "descriptors of the caller"),
#endif
	NATIVE(pselect6, "descriptors of the caller"),
#ifdef __NR_poll
	NATIVE(poll, "descriptors of the caller"),
#endif
	NATIVE(ppoll, "descriptors of the caller"),
#ifdef __NR_epoll_create
	NATIVE(epoll_create, "descriptors of the caller"),
#endif
	NATIVE(epoll_create1, "descriptors of the caller"),
	NATIVE(epoll_ctl, "descriptors of the caller"),
#ifdef __NR_epoll_wait
	NATIVE(epoll_wait, "descriptors of the caller"),
#endif
	NATIVE(epoll_pwait, "descriptors of the caller"),
	NATIVE(epoll_pwait2, "descriptors of the caller"),
#ifdef __NR_eventfd
	NATIVE(eventfd, "descriptors of the caller"),
#endif
	NATIVE(eventfd2, "descriptors of the caller"),
	NATIVE(timerfd_create, "descriptors of the caller"),
	NATIVE(timerfd_settime, "descriptors of the caller"),
	NATIVE(timerfd_gettime, "descriptors of the caller"),
#ifdef __NR_inotify_init
	NATIVE(inotify_init, "descriptors of the caller"),
#endif
	NATIVE(inotify_init1, "descriptors of the caller"),
	NATIVE(inotify_rm_watch, "descriptors of the caller"),
	NATIVE(memfd_create, "descriptors of the caller"),
	NATIVE(memfd_secret, "descriptors of the caller"),
	NATIVE(io_setup, "descriptors of the caller"),
	NATIVE(io_destroy, "descriptors of the caller"),
	NATIVE(io_submit, "descriptors of the caller"),
	NATIVE(io_cancel, "descriptors of the caller"),
	NATIVE(io_getevents, "descriptors of the caller"),
	NATIVE(io_pgetevents, "descriptors of the caller"),
	NATIVE(mmap, "memory of the caller"),
	NATIVE(munmap, "memory of the caller"),
	NATIVE(mremap, "memory of the caller"),
	NATIVE(mprotect, "memory of the caller"),
	NATIVE(brk, "memory of the caller"),
	NATIVE(madvise, "memory of the caller"),
	NATIVE(mlock, "memory of the caller"),
	NATIVE(mlock2, "memory of the caller"),
	NATIVE(mlockall, "memory of the caller"),
	NATIVE(munlock, "memory of the caller"),
	NATIVE(munlockall, "memory of the caller"),
	NATIVE(mincore, "memory of the caller"),
	NATIVE(remap_file_pages, "memory of the caller"),
	NATIVE(pkey_alloc, "memory of the caller"),
	NATIVE(pkey_free, "memory of the caller"),
	NATIVE(pkey_mprotect, "memory of the caller"),
	NATIVE(mseal, "memory of the caller"),
	NATIVE(map_shadow_stack, "memory of the caller"),
	NATIVE(get_mempolicy, "memory of the caller"),
	NATIVE(set_mempolicy, "memory of the caller"),
	NATIVE(mbind, "memory of the caller"),
	NATIVE(set_mempolicy_home_node, "memory of the caller"),
	NATIVE(futex, "time, synchronisation, random numbers"),
	NATIVE(futex_waitv, "time, synchronisation, random numbers"),
	NATIVE(futex_wake, "time, synchronisation, random numbers"),
	NATIVE(futex_wait, "time, synchronisation, random numbers"),
	NATIVE(futex_requeue, "time, synchronisation, random numbers"),
	NATIVE(nanosleep, "time, synchronisation, random numbers"),
	EMULATE(clock_nanosleep, sys_cpu_clock, &clock_native, "the clocks of own processes only; others of the kernel are native"),
	EMULATE(clock_gettime, sys_cpu_clock, &clock_native, "the clocks of own processes only; others of the kernel are native"),
	EMULATE(clock_getres, sys_cpu_clock, &clock_native, "the clocks of own processes only; others of the kernel are native"),
	NATIVE(gettimeofday, "time, synchronisation, random numbers"),
#ifdef __NR_time
	NATIVE(time, "time, synchronisation, random numbers"),
#endif
	NATIVE(getitimer, "time, synchronisation, random numbers"),
	NATIVE(setitimer, "time, synchronisation, random numbers"),
	EMULATE(timer_create, sys_cpu_clock, &clock_native, "the clocks of own processes only; others of the kernel are native"),
	NATIVE(timer_delete, "time, synchronisation, random numbers"),
	NATIVE(timer_settime, "time, synchronisation, random numbers"),
	NATIVE(timer_gettime, "time, synchronisation, random numbers"),
	NATIVE(timer_getoverrun, "time, synchronisation, random numbers"),
	NATIVE(getrandom, "time, synchronisation, random numbers"),
	EMULATE(uname, sys_uname, NULL, "host name and release can be the sandbox's own"),
	EMULATE(sysinfo, sys_sysinfo, NULL, "uptime, load, memory and processes of the sandbox"),
#ifdef __NR_set_thread_area
	NATIVE(set_thread_area, "time, synchronisation, random numbers"),
#endif
#ifdef __NR_get_thread_area
	NATIVE(get_thread_area, "time, synchronisation, random numbers"),
#endif
	/* ---- sockets ---- */
	EMULATE(socket, sys_socket, NULL, "allow-list of families"),
	EMULATE(socketpair, sys_socket, NULL, "allow-list of families"),
	EMULATE_ONCE(bind, sys_bind, NULL, "a path or an address; done on our own copy", ONCE_ADDRESS),
	EMULATE_ONCE(connect, sys_connect, NULL, "a path or an address; done on our own copy", ONCE_ADDRESS),
	EMULATE(sendto, sys_sendto, &no_address, "an address; done on our own copy"),
	EMULATE(sendmsg, sys_sendmsg, NULL, "an address; done on our own copy; credentials with it (SCM_CREDENTIALS) are the supervisor's, if one's own were given, else EPERM"),
	EMULATE(sendmmsg, sys_sendmmsg, NULL, "as sendmsg"),
	EMULATE(getsockname, sys_sockname, NULL, "unix socket names are virtual"),
	EMULATE(getpeername, sys_sockname, NULL, "unix socket names are virtual"),
	EMULATE_IF(NET, listen, sys_listen, NULL, "noted, as other guests may reach it"),
	EMULATE_IF(NET, accept, sys_accept, &no_peer, "shows who it is as the caller knows it"),
	EMULATE_IF(NET, accept4, sys_accept, &no_peer, "shows who it is as the caller knows it"),
	EMULATE_IF(NET, recvfrom, sys_recvfrom, &no_address, "messages of other guests and of our name server"),
	EMULATE_IF(NET, recvmsg, sys_recvmsg, &recv_native, "messages of other guests and of our name server"),
	EMULATE_IF(NET, recvmmsg, sys_recvmmsg, NULL, "messages of other guests and of our name server"),
	NATIVE(shutdown, "on a socket of the caller"),
	EMULATE_IF(NET, setsockopt, sys_setsockopt, &setsockopt_native, "no source routes; no ports of others"),
	EMULATE_IF(NET, getsockopt, sys_getsockopt, &getsockopt_native, "what was set of sharing ports is remembered"),
	/* ---- refused ---- */
	REFUSE(mount, EPERM, "mounts and namespaces"),
	REFUSE(umount2, EPERM, "mounts and namespaces"),
	REFUSE(pivot_root, EPERM, "mounts and namespaces"),
	REFUSE(chroot, EPERM, "mounts and namespaces"),
	REFUSE(fsopen, EPERM, "mounts and namespaces"),
	REFUSE(fsconfig, EPERM, "mounts and namespaces"),
	REFUSE(fsmount, EPERM, "mounts and namespaces"),
	REFUSE(fspick, EPERM, "mounts and namespaces"),
	REFUSE(open_tree, EPERM, "mounts and namespaces"),
	REFUSE(open_tree_attr, EPERM, "mounts and namespaces"),
	REFUSE(move_mount, EPERM, "mounts and namespaces"),
	REFUSE(mount_setattr, EPERM, "mounts and namespaces"),
	REFUSE(setns, EPERM, "mounts and namespaces"),
	REFUSE(statmount, ENOSYS, "would show the host's mounts"),
	REFUSE(listmount, ENOSYS, "would show the host's mounts"),
	REFUSE(listns, ENOSYS, "would show the host's mounts"),
	REFUSE(quotactl, EPERM, "administration of the host"),
	REFUSE(quotactl_fd, EPERM, "administration of the host"),
	REFUSE(acct, EPERM, "administration of the host"),
	REFUSE(swapon, EPERM, "administration of the host"),
	REFUSE(swapoff, EPERM, "administration of the host"),
	REFUSE(name_to_handle_at, EOPNOTSUPP, "handles would bypass names"),
	REFUSE(open_by_handle_at, EPERM, "handles bypass names"),
	REFUSE(fanotify_init, ENOSYS, "would watch the host's files"),
	REFUSE(fanotify_mark, ENOSYS, "would watch the host's files"),
#ifdef __NR_uselib
	REFUSE(uselib, ENOSYS, "obsolete"),
#endif
#ifdef __NR_ustat
	REFUSE(ustat, ENOSYS, "obsolete"),
#endif
#ifdef __NR_sysfs
	REFUSE(sysfs, ENOSYS, "obsolete"),
#endif
	REFUSE(mq_open, ENOSYS, "the host's message queues"),
	REFUSE(mq_unlink, ENOSYS, "the host's message queues"),
	REFUSE(mq_timedsend, ENOSYS, "the host's message queues"),
	REFUSE(mq_timedreceive, ENOSYS, "the host's message queues"),
	REFUSE(mq_notify, ENOSYS, "the host's message queues"),
	REFUSE(mq_getsetattr, ENOSYS, "the host's message queues"),
	REFUSE(shmget, ENOSYS, "the host's System V objects"),
	REFUSE(shmat, ENOSYS, "the host's System V objects"),
	REFUSE(shmctl, ENOSYS, "the host's System V objects"),
	REFUSE(shmdt, ENOSYS, "the host's System V objects"),
	REFUSE(semget, ENOSYS, "the host's System V objects"),
	REFUSE(semop, ENOSYS, "the host's System V objects"),
	REFUSE(semtimedop, ENOSYS, "the host's System V objects"),
	REFUSE(semctl, ENOSYS, "the host's System V objects"),
	REFUSE(msgget, ENOSYS, "the host's System V objects"),
	REFUSE(msgsnd, ENOSYS, "the host's System V objects"),
	REFUSE(msgrcv, ENOSYS, "the host's System V objects"),
	REFUSE(msgctl, ENOSYS, "the host's System V objects"),
	REFUSE(ptrace, EPERM, "reach into other processes"),
	REFUSE(process_vm_readv, EPERM, "reach into other processes"),
	REFUSE(process_vm_writev, EPERM, "reach into other processes"),
	REFUSE(process_madvise, EPERM, "reach into other processes"),
	REFUSE(process_mrelease, EPERM, "reach into other processes"),
	REFUSE(kcmp, EPERM, "reach into other processes"),
	REFUSE(pidfd_getfd, EPERM, "reach into other processes"),
	REFUSE(bpf, EPERM, "kernel programs"),
	REFUSE(perf_event_open, EACCES, "sees the host"),
	REFUSE(userfaultfd, EPERM, "stalls the supervisor's reads"),
	REFUSE(io_uring_setup, ENOSYS, "its operations pass no filter"),
	REFUSE(io_uring_enter, ENOSYS, "its operations pass no filter"),
	REFUSE(io_uring_register, ENOSYS, "its operations pass no filter"),
	REFUSE(add_key, ENOSYS, "the host's keyrings"),
	REFUSE(request_key, ENOSYS, "the host's keyrings"),
	REFUSE(keyctl, ENOSYS, "the host's keyrings"),
	REFUSE(landlock_create_ruleset, ENOSYS, "would promise what emulated calls do not keep"),
	REFUSE(landlock_add_rule, ENOSYS, "would promise what emulated calls do not keep"),
	REFUSE(landlock_restrict_self, ENOSYS, "would promise what emulated calls do not keep"),
	REFUSE(lsm_get_self_attr, ENOSYS, "security modules of the host"),
	REFUSE(lsm_set_self_attr, ENOSYS, "security modules of the host"),
	REFUSE(lsm_list_modules, ENOSYS, "security modules of the host"),
	REFUSE(kexec_load, EPERM, "administration of the host"),
	REFUSE(kexec_file_load, EPERM, "administration of the host"),
	REFUSE(init_module, EPERM, "administration of the host"),
	REFUSE(finit_module, EPERM, "administration of the host"),
	REFUSE(delete_module, EPERM, "administration of the host"),
	REFUSE(reboot, EPERM, "administration of the host"),
	REFUSE(syslog, EPERM, "administration of the host"),
	REFUSE(vhangup, EPERM, "administration of the host"),
	REFUSE(sethostname, EPERM, "administration of the host"),
	REFUSE(setdomainname, EPERM, "administration of the host"),
	REFUSE(settimeofday, EPERM, "administration of the host"),
	REFUSE(clock_settime, EPERM, "administration of the host"),
#ifdef __NR_ioperm
	REFUSE(ioperm, EPERM, "administration of the host"),
#endif
#ifdef __NR_iopl
	REFUSE(iopl, EPERM, "administration of the host"),
#endif
	NATIVE(adjtimex, "reading; the kernel refuses changes"),
	NATIVE(clock_adjtime, "reading; the kernel refuses changes"),
#ifdef __NR_modify_ldt
	REFUSE(modify_ldt, ENOSYS, "old entry points"),
#endif
	REFUSE(lookup_dcookie, EPERM, "profiling of the host"),
};
/* clang-format on */
const size_t syscall_count = sizeof syscall_table / sizeof syscall_table[0];

#define MAX_NR 1024
static const Syscall *by_nr[MAX_NR];

static void index_rows(void)
{
	for (size_t i = 0; i < syscall_count; i++)
		by_nr[syscall_table[i].nr] = &syscall_table[i];
}

const Syscall *syscall_find(int nr)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, index_rows);
	return nr >= 0 && nr < MAX_NR ? by_nr[nr] : NULL;
}
