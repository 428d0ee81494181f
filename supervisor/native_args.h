/* supervisor/native_args.h - argument values with which an otherwise emulated call stays native. Positive lists: a new value of a newer
 * kernel is refused until somebody has looked at it. */
#ifndef SUPERVISOR_NATIVE_ARGS_H
#define SUPERVISOR_NATIVE_ARGS_H

#include "supervisor/table.h"

extern const ArgNative msync_async, pid_zero, rlimit_native, prlimit_native, prctl_native, personality_query, fcntl_native, ioctl_native, no_address, setsockopt_native;

#endif
