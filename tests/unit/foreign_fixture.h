/* tests/unit/foreign_fixture.h - a sandbox's process tree without a sandbox, and the few functions of cowfs that /proc, /dev and /sys use.
 *
 * The test process plays the supervisor and is an outsider; a forked child plays init (a subreaper); its children are the guests. A
 * guest is a shell program that sleeps; its descriptors can be arranged before. cowfs is replaced by functions that record the pins and map
 * FIX_SCRATCH/blob to /virtual/blob. */
#ifndef TESTS_FOREIGN_FIXTURE_H
#define TESTS_FOREIGN_FIXTURE_H

#include "supervisor/foreign.h"
#include "supervisor/hostview.h"

#define FIX_EXE "/virtual/bin/program"
#define FIX_CWD "/virtual/cwd"

typedef struct Fixture {
	pid_t init;
	int to_init, from_init;
	char scratch[64]; /* a real directory; private */
	char file[80];	  /* a file in it */
	HostView view;	  /* all of the host, until a test says otherwise */
	Foreign *foreign;
	dev_t given_dev; /* what is_given answers true for */
	ino_t given_ino;
	void (*on_given)(void *ctx); /* called in is_given */
	void *on_given_ctx;
} Fixture;

typedef enum GuestKind {
	GUEST_PLAIN = 'p',   /* sleeps; FIXTURE=guest in its environment; descriptor 7: the file read-only, 8: a pipe, 9: "/" */
	GUEST_SECOND = 's',  /* its child of the same kind is what is returned */
	GUEST_FORKED = 'f',  /* has not exec'ed: still a copy of the supervisor's program */
	GUEST_SWAP = 'w',    /* like FORKED; descriptor 7: the read end of a pipe; on SIGUSR1 it becomes a memory file, read-write */
	GUEST_TTY = 't',     /* leader of a session with a controlling terminal of its own, on descriptors 0-2 */
} GuestKind;

Fixture *fixture_new(void);
void fixture_free(Fixture *fx);
pid_t fixture_guest(Fixture *fx, GuestKind kind);
/* Kills a guest and waits until its number is free. */
void fixture_kill(Fixture *fx, pid_t pid);
/* The pin at `path`: its operations and context; or NULL. */
const CowForeignOps *fixture_pin(const char *path, void **ctx);
/* "dir", "device", "link:TARGET" or NULL. */
const char *fixture_plain_pin(const char *path);

#endif
