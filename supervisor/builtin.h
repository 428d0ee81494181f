/* supervisor/builtin.h - changes of files that are asked for from outside, made by a process in the sandbox.
 *
 * Such a process is forked by init as a command is, below the same filter and limits, but executes nothing: it makes plain system calls, which the supervisor answers as those of
 * any guest. So there is one way to the view, and every rule holds: grants, hidden paths, a read-only sandbox, a fake root, limits.
 *
 * Who else is in the sandbox may be hostile, and does what it likes to the tree meanwhile, and to this process what guests may do to each other: kill it, and stop it (init.h). In /proc it is shown to nobody, as
 * its memory is init's (ProcRef.forked). Should it be looked into all the same: its descriptors are the caller's data, sealed, and nothing else, and an answer is an exit code, or goes through a socket, which
 * cannot be opened through /proc/PID/fd. */
#ifndef SUPERVISOR_BUILTIN_H
#define SUPERVISOR_BUILTIN_H

/* args: CALL FLAGS MODE PATH [TO], as in `file` of control.h, numbers as decimal text. Descriptor 0 is that of the request. Ends the process: the exit code is 0 or an errno. */
_Noreturn void builtin_run(char *const *args);

/* Those that have files of their own. 0 or a positive errno. */
int builtin_remove_tree(const char *path);
int builtin_watch(const char *path, int recursive);

#endif
