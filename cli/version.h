/* cli/version.h - a file before and after a change. "Before" is the host's file as it is now, or another sandbox's or snapshot's; "after" is the sandbox's or snapshot's. */
#ifndef CLI_VERSION_H
#define CLI_VERSION_H

#include "cli/cli.h"
#include "cli/unified.h"

typedef struct Version {
	uint32_t mode; /* 0: there is none */
	bool too_large;
	char *bytes; /* content of a regular file, target of a symlink; malloc'ed or NULL */
	size_t len;
} Version;

/* Both are the caller's, who frees their bytes. before_side: neither a sandbox nor a snapshot means the host. What cannot be read was told, and is counted. */
void versions_load(const BvSide *before_side, const BvSide *after_side, const BvChange *c, Version *before, Version *after);
/* How many files of sandboxes could not be read so far: what was printed is not all. */
unsigned versions_failed(void);
bool version_has_text(const Version *v);
Text version_text(const Version *v);
bool version_is_binary(const Version *v);

#endif
