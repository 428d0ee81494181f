/* supervisor/features.h - what the running kernel offers, found by trying, and what a test asked to act without. */
#ifndef SUPERVISOR_FEATURES_H
#define SUPERVISOR_FEATURES_H

#include <stdbool.h>

typedef struct Features {
	bool sync_wakeup;  /* SECCOMP_IOCTL_NOTIF_SET_FLAGS, kernel 6.6 */
	bool killable;	   /* SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, kernel 5.19 */
	bool pidfd_getfd;  /* kernel 5.6; refused by Docker's default profile */
	bool openat2;	   /* kernel 5.6 */
	bool link_empty;   /* linkat with AT_EMPTY_PATH is for everybody who has opened the file, not for root alone, kernel 6.10 */
	bool null_path;	   /* stat and statx with AT_EMPTY_PATH take a null path for an empty one, kernel 6.11 */
	bool ficlone;	   /* decided per copy; false only when masked */
	int newest_call;   /* emulated calls with a higher number are unknown to the kernel, and so to guests */
	int landlock_abi;  /* 0: none */
	bool sock_diag;	   /* found when it is needed (net_owner.h); false only when masked */
	bool cgroups;	   /* found when a limit needs one (cgroup.h); false only when masked */
} Features;

/* Fills *out by trying each; `mask` is a comma-separated list of sync, killable, pidfd_getfd, openat2, ficlone, landlock, sock_diag, cgroups (NULL: none). */
void features_probe(Features *out, const char *mask);

#endif
