/* cli/pager.h - $PAGER (less) behind stdout. */
#ifndef CLI_PAGER_H
#define CLI_PAGER_H

#include <sys/types.h>

typedef struct Pager {
	pid_t pid;  /* 0: none runs */
	int stdout_fd; /* what stdout was */
} Pager;

/* From here on stdout goes to the pager. Without one (it cannot be started, or is "cat" or ""), stdout stays as it is. */
void pager_start(Pager *pager);
/* Ends the pager's input and waits until the user has left it. */
void pager_finish(Pager *pager);

#endif
