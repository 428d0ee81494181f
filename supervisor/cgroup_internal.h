/* supervisor/cgroup_internal.h - between cgroup.c and cgroup_leaf.c. */
#ifndef SUPERVISOR_CGROUP_INTERNAL_H
#define SUPERVISOR_CGROUP_INTERNAL_H

#include "supervisor/cgroup.h"

bool cgroup_has_word(const char *list, const char *word, char separator);

#endif
