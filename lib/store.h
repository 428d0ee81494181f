/* lib/store.h - the store: a directory with one directory per sandbox, and where the backends put the data.
 *
 *	STORE/sandboxes/NAME/{sandbox.json, control.sock, run/, meta.db, blobs/}
 *	STORE/sandboxes/.trash-*	being deleted; what stays is swept when the next unnamed sandbox is made
 *	STORE/sandboxes/.new-*		being made; published by a rename, so a sandbox is there whole or not at all; swept, too
 *
 *	STORE/supervisor.log		what supervisors say that die of an error of their own
 *
 * Locks (flock, on what is there anyway, as each file costs a start its time): the claim is on the sandbox's directory, held shared by
 * every handle and exclusively by whoever removes it; the lock is on sandbox.json, which is never replaced, held exclusively by the
 * supervisor. Order: claim, then lock; a supervisor that deletes its sandbox tries for the claim without waiting. */
#ifndef LIB_STORE_H
#define LIB_STORE_H

#include "lib/internal.h"

#define BV_NAME_MAX 64

/* Absolute path of the store (given, or by the environment); NULL when out of memory or without a home (*err says which). */
char *store_path(const char *given, BvError **err);

bool name_is_valid(const char *name);
/* A readable name ("quiet-otter"); `attempt` > 0 adds a number. */
void name_generate(unsigned attempt, char out[BV_NAME_MAX + 1]);

/* Name of the newest sandbox; -ENOENT if there is none. */
int store_newest(const char *store, char out[BV_NAME_MAX + 1], BvError **err) MUST_CHECK;
/* Deletes the unnamed, stopped sandboxes beyond the newest `keep`, ephemeral ones whose supervisor was killed, and what an interrupted start or removal
 * left. Best effort. */
void store_prune(const char *store, size_t keep);

/* Takes the claim of an open sandbox directory, which is given back when that descriptor is closed: LOCK_SH or LOCK_EX, without waiting.
 * -EBUSY, -errno. */
int store_claim(int dirfd, int operation) MUST_CHECK;
/* Does a supervisor serve this sandbox directory now? */
bool store_is_running(int dirfd);
/* Deletes a sandbox whose claim the caller holds exclusively and that is not running (-EBUSY). */
int store_delete(const char *store, int dirfd, const SandboxConfig *config);

/* ---- backends (backend.c) ---- */

/* Checks `backend` and makes the directory for the data of a new sandbox, or for "tmpfs" chooses its name, which nobody else can have: the
 * directory itself is made after it was written down (backend_make_data), so that no crash leaves one that nobody knows of.
 * *data stays NULL for "dir"; else the caller's path.
 * -EINVAL (unknown word, relative path), -EACCES, -EROFS, -ENOSPC, -EEXIST ("dir:PATH" that holds this name already), -ENOMEM. */
int backend_prepare(const char *backend, const char *name, char **data, BvError **err) MUST_CHECK;
int backend_make_data(const char *backend, const char *data, BvError **err) MUST_CHECK;
bool backend_is_memory(const char *backend);
bool backend_is_place(const char *backend); /* of snapshots */
/* Directory that holds the tmpfs data of all sandboxes of this user, for the hidden list; NULL if there is none. */
char *backend_memory_root(void);

/* ---- what guests do not see by default (hide.c) ---- */

/* The complete list for a start: defaults less `show` and `rw`, the user's own list, the store, the data directory. */
int hide_list(const char *store, const SandboxConfig *config, Strv *out) MUST_CHECK;
/* Adds of it the files with keys that variables of the environment name: another caller's may be others than when the supervisor was started. */
int hide_add_named(const SandboxConfig *config, Strv *out) MUST_CHECK;

#endif
