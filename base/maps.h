/* base/maps.h - which files the processes of this machine have in memory, as /proc/PID/maps shows them. */
#ifndef BASE_MAPS_H
#define BASE_MAPS_H

#include "base/util.h"

/* path is what the kernel shows: " (deleted)" may follow, line breaks are escaped. ino: on some kernels that of a file below an overlay. shared: MAP_SHARED, also for reading alone. */
typedef void (*MapsVisit)(void *ctx, const char *path, uint64_t ino, bool shared);

/* Each mapping of a file that the process has. Of one that is gone there are none. -EACCES, -EPERM, -ENOMEM... */
int maps_of_process(pid_t pid, MapsVisit visit, void *ctx) MUST_CHECK;

/* The same for all processes that `proc` (the path of a /proc) has: one pass, in which one may be missed that begins while another ends. Those that may not be looked into are passed over, unless
 * `matters` (NULL: none does) says of one that it does: -EACCES. What else maps_of_process gives. */
int maps_of_all(const char *proc, bool (*matters)(void *ctx, pid_t pid), void *matters_ctx, MapsVisit visit, void *ctx) MUST_CHECK;

#endif
