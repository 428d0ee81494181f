/* supervisor/sysfs_internal.h - what the files behind /sys share: sysfs.c (the allow-list), sysfs_cpu.c (processors), cgroupfs.c (the control group). */
#ifndef SUPERVISOR_SYSFS_INTERNAL_H
#define SUPERVISOR_SYSFS_INTERNAL_H

#include "supervisor/foreign_internal.h"

#include <sched.h>

#define CGROUP_ROOT "fs/cgroup"

/* A list as the kernel prints it, with a line end. */
void sysfs_put_cpus(FILE *out, const cpu_set_t *cpus);
/* False for what belongs to a processor that the sandbox has not, and for what tells more of the memory than its bound. */
bool sysfs_is_given(const Foreign *f, const char *path);
/* Does this file name processors, and are not all of them the sandbox's? Then it is rendered. */
bool sysfs_cpu_is_text(const Foreign *f, const char *path);
int sysfs_cpu_render(const Foreign *f, const char *path, FILE *out) MUST_CHECK;

/* The group's files by number from 0 on; NULL behind the last. */
const char *cgroupfs_name(size_t i);
/* -ENOENT: there is no such file (`name` is inside CGROUP_ROOT); -EINPROGRESS: it takes milliseconds, and may_block is false. */
int cgroupfs_render(const Foreign *f, const char *name, bool may_block, FILE *out) MUST_CHECK;

#endif
