/* lib/files.h - calls of processes of bvisor's own in a sandbox, for files.c and watch.c. */
#ifndef LIB_FILES_H
#define LIB_FILES_H

#include "lib/conn.h"

typedef struct FileCall {
	const char *call; /* of `file` in supervisor/control.h, as the others */
	const char *path, *to; /* to: NULL but for a rename */
	unsigned flags, allowed; /* allowed: those that mean something */
	mode_t mode;
	int fd; /* the caller's; -1: none */
} FileCall;

/* Checks and begins it. *out is the caller's to close. -EINVAL, -ENAMETOOLONG, errors of bv_sandbox_spawn. */
int file_begin(BvSandbox *sb, const FileCall *call, BvProcess **out, BvError **err) MUST_CHECK;
/* Waits for its end. 0, or what went wrong, with a message for people. */
int file_end(BvSandbox *sb, const FileCall *call, BvProcess *process, BvError **err) MUST_CHECK;

#endif
