/* backends/s3/wire.h - the one thread of a store that talks to the server: libcurl's multi interface, with kept connections and a bound on how many calls are
 * on the wire. Renewed keys, the corrected clock and the region that a server named are its state, and only this thread touches them.
 *
 * Locks: S3Wire.lock guards the queue and `closing` only; no callback runs under it. */
#ifndef BACKENDS_S3_WIRE_H
#define BACKENDS_S3_WIRE_H

#include "backends/s3/call.h"
#include "backends/s3/cred.h"

#include <pthread.h>

typedef struct S3Wire {
	S3Config config;
	S3Credentials credentials;
	CURLM *multi;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock;
	S3Call *first, **last; /* begun, not yet taken by the thread */
	bool closing;

	/* The thread's own. */
	S3Call *ready, **ready_end; /* wait for a slot, oldest first */
	S3Call *later;		    /* wait for the end of their backoff */
	S3Call *on_wire; /* linked, too */
	int active;	 /* how many those are */
	bool ending;	 /* what it has seen of `closing` */
	int64_t clock_offset; /* what the server's clock is ahead of ours */
	char *region;	      /* that requests are signed for */
} S3Wire;

/* Takes the config over (also on failure). Asks for keys, so that a store without any fails at once. -EACCES, -ENOMEM, ... with a message. */
int s3_wire_init(S3Wire *wire, S3Config *config, char **err);
/* Ends all calls with -ECANCELED, save cleanup ones, which get one attempt. */
void s3_wire_release(S3Wire *wire);
/* From any thread, also from `done`. */
void s3_call_begin(S3Wire *wire, S3Call *call);
/* Begins and waits; not from the wire's own thread. Returns call->result. */
int s3_call_run(S3Wire *wire, S3Call *call);
/* "s3://BUCKET/PREFIX/NAME" for messages. malloc'ed. */
char *s3_where(const S3Config *config, const char *name);

#endif
