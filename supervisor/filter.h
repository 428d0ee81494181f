/* supervisor/filter.h - the seccomp filter, derived from the syscall table. */
#ifndef SUPERVISOR_FILTER_H
#define SUPERVISOR_FILTER_H

#include "base/util.h"

#include <linux/filter.h>

/* A malloc'ed program: foreign calling conventions (32-bit, x32) get ENOSYS, native rows are allowed (under the row's argument
 * conditions), everything else is notified. -ENOMEM, -E2BIG. */
enum {
	FILTER_ROOT = 1, /* the supervisor is root, or guests see themselves as root (virtual credentials) */
	FILTER_NET = 2,	 /* the network is closed */
	FILTER_DISK = 4, /* the layer has a bound of bytes */
};
int filter_build(unsigned flags, struct sock_filter **out, unsigned short *len) MUST_CHECK;

#endif
