/* cli/create.h - the options by which a sandbox is made and commands in it are started, shared by `run`, `exec` and `mcp`. */
#ifndef CLI_CREATE_H
#define CLI_CREATE_H

#include "cli/cli.h"

typedef struct CreateOptions {
	BvCreateOptions create;
	LimitOptions limits;
	SessionOptions session;
	List rw, hide, show, allow, publish, env_changes, snapshots;
	bool clear_env, interactive, tty, rm, generations, allow_apply;
	const char *trace;
	bool configured; /* some of it is from files */
} CreateOptions;

extern const struct option run_options[], exec_options[], mcp_options[];

/* Parses; with `configured` what the command line has not is from the files of config.h. What the result points to lives until exit. */
CreateOptions create_parse(const Command *cmd, int argc, char **argv, const struct option *longs, bool configured);
/* Makes the sandbox. 0, or an exit code after a message. */
int create_sandbox(const Command *cmd, CreateOptions *p, BvSandbox **out);
/* The environment of a command, if it is not what the library makes of ours; `own`: what the sandbox has (may be NULL). */
void create_environment(CreateOptions *p, const char *const *own);

#endif
