/* cli/patch.h - one change of a sandbox as text: a unified diff in git's form, or a line of --stat. */
#ifndef CLI_PATCH_H
#define CLI_PATCH_H

#include "cli/cli.h"

typedef struct PatchTotals {
	size_t files, added, deleted;
} PatchTotals;

void patch_print(BvSandbox *sb, const BvChange *change, bool color);
void patch_stat_line(BvSandbox *sb, const BvChange *change, bool color, PatchTotals *totals);
void patch_stat_total(const PatchTotals *totals);

#endif
