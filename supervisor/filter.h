/* supervisor/filter.h - the seccomp filter, derived from the syscall table. */
#ifndef SUPERVISOR_FILTER_H
#define SUPERVISOR_FILTER_H

#include "base/util.h"
#include "supervisor/table.h"

#include <linux/filter.h>

/* A malloc'ed program: foreign calling conventions (32-bit, x32) get ENOSYS, native rows are allowed (under the row's argument
 * conditions), everything else is notified. `flags`: FILTER_* of table.h. -ENOMEM, -E2BIG. */
int filter_build(unsigned flags, struct sock_filter **out, unsigned short *len) MUST_CHECK;

#endif
