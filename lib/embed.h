/* lib/embed.h - for an executable that has the supervisor linked in; not part of the public interface. */
#ifndef LIB_EMBED_H
#define LIB_EMBED_H

/* From now on a sandbox is started by a fork that calls `run`, which must not return, instead of by the program bvisor-supervisor (unless
 * $BVISOR_SUPERVISOR names one). Only for a program that has one thread when it starts a sandbox. The fork is a child of the program.
 * The program is bvisor's own: see secret_own_process; `run` NULL says only that. */
void launch_embed(void (*run)(void));

#endif
