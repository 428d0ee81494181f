/* supervisor/native_args.h - argument values with which an otherwise emulated call stays native. Positive lists: a new value of a newer
 * kernel is refused until somebody has looked at it. */
#ifndef SUPERVISOR_NATIVE_ARGS_H
#define SUPERVISOR_NATIVE_ARGS_H

#include "supervisor/table.h"

/* A flag that means nothing to a receiving call: with it the call is the kernel's, also where it is emulated. Nothing depends on its being so. */
#define RECV_NATIVE 0x800 /* MSG_CONFIRM */

extern const ArgNative msync_async, pid_zero, rlimit_native, prlimit_native, prctl_native, personality_query, fcntl_native, ioctl_native, no_address, no_peer, recv_native, setsockopt_native, clock_native;

#endif
