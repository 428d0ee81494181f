/* lib/limits.h - the limits of a sandbox: in its description, in the start request, in answers of the supervisor. */
#ifndef LIB_LIMITS_H
#define LIB_LIMITS_H

#include "lib/internal.h"

/* A caller's limits (NULL: none). -EINVAL. */
int lib_limits_take(const BvLimits *given, BvLimits *out, BvError **err) MUST_CHECK;
bool lib_limits_any(const BvLimits *limits);
/* "limits" of an object, as in supervisor/control.h; nothing if there are none. False: no memory. */
bool lib_limits_add(cJSON *object, const BvLimits *limits) MUST_CHECK;
/* From such an object. -EUCLEAN. */
int lib_limits_parse(const cJSON *object, BvLimits *out) MUST_CHECK;
/* Of the next start: those of the description, or what bv_sandbox_set_limits has put in their place. -EUCLEAN. */
int lib_limits_now(const BvSandbox *sb, BvLimits *out, BvError **err) MUST_CHECK;
/* The answer to "stats", the caller's; of a stopped sandbox what limits were reached when its last command ended. -ESRCH: it is stopped, and that is not known. */
int lib_stats(BvSandbox *sb, cJSON **out, BvError **err) MUST_CHECK;
/* Those that an answer reports. */
int lib_limits_visit(const cJSON *answer, int (*visit)(void *ctx, const BvLimitInfo *info), void *ctx);

#endif
