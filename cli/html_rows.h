/* cli/html_rows.h - the difference of two texts side by side, with what changed within a line. */
#ifndef CLI_HTML_ROWS_H
#define CLI_HTML_ROWS_H

#include "cli/unified.h"

typedef struct RowBudget {
	size_t rows; /* that the page may still have */
	size_t work; /* comparisons within lines: the product of their lengths */
} RowBudget;
#define ROW_BUDGET_INIT {30000, 200000000}

typedef struct RowCounts {
	size_t added, deleted, left_out; /* lines; left_out: of the rows that there would be */
} RowCounts;

/* one_sided: there is no text before, or none after. Returns 0, or -1 when out of memory. */
int html_rows(FILE *out, Text before, Text after, bool one_sided, RowBudget *budget, RowCounts *counts);

#endif
