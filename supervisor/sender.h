/* supervisor/sender.h - sends messages for guests from inside their control group, so that what the kernel keeps for a message counts as memory of the sandbox, as if the guest had sent it.
 *
 * The sender is a process in the group's leaf, made by the keeper (cgroup.h) when the first message is sent, and no part of the sandbox: guests neither see nor signal it. The supervisor puts a
 * message into a window of memory that both have, passes the socket (and the descriptors in the message) over a unix socket, and gets the result. Nothing waits there but for memory: a call that has to
 * wait for its socket does so elsewhere (transfer.h).
 *
 * When memory is short the kernel may kill it as any process of the group. The supervisor sees its end, the call in hand fails with ENOBUFS, and the next one has another made. It is told as any
 * process that was killed for memory.
 *
 *   supervisor: sender_send ──request, socket──► sender: sendmsg ──► the guest's socket
 *                           ◄──────result───────
 */
#ifndef SUPERVISOR_SENDER_H
#define SUPERVISOR_SENDER_H

#include "base/util.h"

#include <sys/socket.h>

#define SENDER_CONTROL ((size_t)64 << 10) /* bytes of control data, and */
#define SENDER_DATA ((size_t)4 << 20)	  /* of others, that a message may have */

typedef struct Sender Sender;

/* Makes the window. Before the keeper is forked. */
int sender_new(Sender **out) MUST_CHECK;
void sender_free(Sender *sender); /* NULL is allowed */
/* What the process does, whose end of the connection is `sock`; `door`: cgroup.procs of the leaf. */
_Noreturn void sender_main(const Sender *sender, int sock, int door);

/* sendmsg(2) without waiting for the socket, with one buffer. m's SCM_RIGHTS name the `n` descriptors `passed`, in this order. `keeper`: where a process is asked for. Bytes, or negative errno;
 * -ENOBUFS: the process has ended. Any thread that may wait. */
ssize_t sender_send(Sender *sender, int keeper, int sock, const struct msghdr *m, const int *passed, size_t n, int flags) MUST_CHECK;
/* Has there been a process? */
bool sender_was_used(Sender *sender);

#endif
