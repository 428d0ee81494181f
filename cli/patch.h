/* cli/patch.h - one change of a sandbox or snapshot as text: a unified diff in git's form, or a line of --stat. */
#ifndef CLI_PATCH_H
#define CLI_PATCH_H

#include "cli/cli.h"

typedef struct PatchTotals {
	size_t files, added, deleted;
} PatchTotals;

/* before: neither a sandbox nor a snapshot means the host. */
void patch_print(FILE *out, const BvSide *before, const BvSide *after, const BvChange *change, bool color);
void patch_stat_line(FILE *out, const BvSide *before, const BvSide *after, const BvChange *change, bool color, PatchTotals *totals);
void patch_stat_total(FILE *out, const PatchTotals *totals);

#endif
