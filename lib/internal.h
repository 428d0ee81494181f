/* lib/internal.h - what the files of libbvisor share: errors, string lists, the description of a sandbox on disk, the handles.
 *
 * Lock order:
 *   BvSandbox.view_mu   the shared read-only view (view.c)
 *   BvSandbox.mu        which connection the handle has (started once, replaced when the supervisor is gone)
 *     Conn.mu           see conn.h; never held while a message for another object is handled */
#ifndef LIB_INTERNAL_H
#define LIB_INTERNAL_H

#include "base/util.h"
#include "include/bvisor/bvisor.h"

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdio.h>

/* ---- errors (error.c) ---- */

struct BvError {
	int code;
	const char *stage; /* static */
	char *message;	   /* never NULL in a finished object; "" is the last resort */
};

/* Replaces *err by a message object; err may be NULL. Returns code. */
int lib_fail(BvError **err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The same with a malloc'ed text of a lower layer, which is taken over; NULL falls back to strerror. `what` is put before it unless it is in it. */
int lib_fail_text(BvError **err, int code, char *text, const char *what);
/* What a message about a snapshot that is damaged, or not all there, is to end with; or "". */
const char *lib_way_out(int code);
/* Before an attempt is repeated: one that then succeeds leaves no error. */
void lib_error_clear(BvError **err);
void lib_error_stage(BvError **err, const char *stage);

/* Copies a caller's versioned struct over the defaults: `own` bytes at most; -EINVAL when its size is not plausible. */
int lib_take_options(void *dst, size_t own, const void *src) MUST_CHECK;
/* -EINVAL if there are others than the known ones: what a program asks for is not left out. */
int lib_check_flags(unsigned flags, unsigned known, BvError **err) MUST_CHECK;
/* Fills a caller's versioned struct, of the size that it says; it may be NULL. What an older caller has no room for is left out; `size` becomes what was filled. */
void lib_give(void *out, const void *made, size_t own);

/* Takes `fd` over and returns one above 2 for it; -1 and errno. Each descriptor that outlives a call of the library passes here: a host program that
 * closed 0, 1 or 2 must not find ours there. */
int lib_own_fd(int fd) MUST_CHECK;

/* ---- NULL-terminated string lists (strv.c) ---- */

typedef char **Strv;
void strv_free(Strv list);
int strv_add(Strv *list, const char *text) MUST_CHECK;	 /* copies; -ENOMEM */
int strv_copy(Strv *to, const char *const *from) MUST_CHECK; /* from NULL: empty list NULL */
size_t strv_len(const char *const *list);
bool strv_has(const char *const *list, const char *text);
static inline void strv_cleanup(Strv *list)
{
	strv_free(*list);
}
#define CLEAN_STRV __attribute__((cleanup(strv_cleanup)))

/* path == root, or below it. Both absolute and without trailing slash ("/" excepted). */
bool path_is_below(const char *path, const char *root);
/* The last component; of the root the whole. */
const char *path_last(const char *path);
/* Cuts the last component off an absolute path, in place; false: it is the root's, and stays. */
bool path_go_up(char *path);
/* As strcmp, in the order of a tree: what is below a directory comes right after it. */
int path_order(const char *a, const char *b);
/* Is `path` one of the selected ones or below one? NULL or empty list: yes. */
bool path_is_selected(const char *path, const char *const *selection);
/* Appends one component to the absolute path that is built in `out`, `len` bytes without a slash at their end and without NUL; "." does nothing, ".." goes up. Returns the new length. */
size_t path_append(char *out, size_t len, const char *name, size_t n);
/* Absolute, without "//", "/./" and trailing slashes; ".." is resolved as text. A relative path starts at the current directory. NULL: -ENOMEM or no cwd. */
char *path_absolute(const char *path);

bool environment_is_entry(const char *text); /* "NAME=..." */
/* What guests may be shown as names of the machine: text that programs take for one, and that fits struct utsname. */
bool machine_is_hostname(const char *text);
bool machine_is_release(const char *text);

/* ---- sandbox.json (config.c) ---- */

#define SANDBOX_FORMAT 1

typedef enum PidnsWish { PIDNS_NONE, PIDNS_IF_PERMITTED, PIDNS_REQUIRED } PidnsWish;

typedef struct SandboxConfig {
	char *name;
	char *backend;	/* as given: "dir", "dir:PATH", "tmpfs" */
	char *data_dir; /* where meta.db and blobs are; NULL: the sandbox's own directory */
	char *cwd;	/* may be NULL */
	char *hostname, *kernel_release; /* what guests see as such; NULL: the host's */
	Strv command, rw, hide, show;
	char *net;  /* what guests may reach: "host", "internet" or "none"; NULL, of an older sandbox: "host" */
	char *dns;  /* "ADDRESS[:PORT],...": whom names are asked of; NULL: the host's name servers */
	Strv allow; /* rules of what they may reach beside that (base/netrule.h) */
	Strv publish; /* "ADDRESS:HOSTPORT:PORT": where the host reaches a port of theirs; not that of copies */
	Strv env; /* "NAME=value": of each command of the sandbox, beside the caller's */
	bool ro, unnamed, ephemeral;
	uint64_t spool;	 /* bytes of files that can be fetched again which may be here; 0: as many as there is room for */
	bool continuous; /* what changes goes to the backend, a place, all the time (sync.h) */
	BvLimits limits;
	PidnsWish pidns; /* commands are in a pid namespace of their own; not of copies */
	bool fake_root; /* commands see themselves as root */
	uid_t uid; /* with fake_root: whose objects of the host are root's in it */
	gid_t gid;
	bool carries; /* restored from a snapshot that carries files of a host: its own go on to do so (base.h) */
	int64_t created_sec;
	long created_nsec;
	/* What changed on the host later than this may have been changed without the sandbox's knowledge: when it was made, of a restored one when the
	 * snapshot's sandbox was made, or 0 if that was another machine. */
	int64_t since_sec;
	long since_nsec;
} SandboxConfig;

void config_release(SandboxConfig *config);
/* The caller becomes root in it, or nobody does. */
void config_set_fake_root(SandboxConfig *config, bool on);
/* The word for it in the description, and for the supervisor; NULL: none. */
const char *config_pidns_word(PidnsWish wish);
/* Whom its view shows as the owner of what these own on the host. */
uid_t config_shows_uid(const SandboxConfig *config, uid_t uid);
gid_t config_shows_gid(const SandboxConfig *config, gid_t gid);
/* Reads DIRFD/sandbox.json. -ENOENT, -EPROTO (newer format), -EUCLEAN (not what we write), -EACCES, -ENOMEM. */
int config_read(int dirfd, SandboxConfig *out, BvError **err) MUST_CHECK;
int config_write(int dirfd, const SandboxConfig *config, BvError **err) MUST_CHECK;
/* An array of strings, empty for NULL, as member `key`. False: no memory. */
bool config_add_list(cJSON *json, const char *key, Strv list) MUST_CHECK;
/* What was changed of a sandbox since, beside its description: the whole file in its directory, or the one before. o NULL: -ENOMEM. */
int sandbox_write_json(const BvSandbox *sb, const char *file, const cJSON *o, BvError **err) MUST_CHECK;
#define CLEAN_CONFIG __attribute__((cleanup(config_release)))

/* ---- network (network.c) ---- */

/* Checks the mode and the rules, and puts them into the config. net NULL: the default. -EINVAL, -ENOENT (a unix socket), -ENOMEM. */
/* Of what a user says now: -EINVAL for rules with the host's network, which refuses nothing; unix sockets are beside it. What was kept may have such rules. */
int network_check_new(const char *net, const char *const *allow, BvError **err) MUST_CHECK;
int network_config(const char *net, const char *const *allow, const char *dns, SandboxConfig *c, BvError **err) MUST_CHECK;
/* Adds the ports that the host reaches, each "[[ADDRESS:]HOSTPORT:]PORT", to a config that has its mode. -EINVAL, -ENOMEM. */
int network_publish(const char *const *publish, SandboxConfig *c, BvError **err) MUST_CHECK;
/* A rule that a snapshot may bring: no socket of this host. */
bool network_is_rule(const char *text);
/* Fills in `net` and `allow` (of a config of zeroes): what the description says, or what was changed since (DIR/network.json). -EUCLEAN, -EACCES, -ENOMEM. */
int network_now(const BvSandbox *sb, SandboxConfig *out, BvError **err) MUST_CHECK;
/* Adds them to the request that starts a supervisor. */
int network_request(cJSON *req, const BvSandbox *sb, BvError **err) MUST_CHECK;

/* ---- handles ---- */

/* A sandbox looked at from outside (view.h). */
typedef struct View {
	struct Cowfs *fs;  /* NULL: nothing was ever changed */
	struct Conn *conn; /* to the supervisor, which leaves the blobs alone meanwhile; NULL: none runs */
} View;

struct BvSandbox {
	char *store; /* absolute */
	char *dir;   /* absolute: store/sandboxes/NAME */
	int dirfd;   /* of dir; holds the claim, shared: keeps others from removing the sandbox under us */
	SandboxConfig config;
	pthread_mutex_t mu;
	struct Conn *conn; /* protected by mu; one reference; NULL until needed */
	bool is_new; /* protected by mu: nobody can have started a supervisor yet */
	pid_t owner; /* the process that has made or opened the handle, not a fork of it */
	bool prunes; /* protected by mu: older sandboxes are to be looked for, see sandbox_prune_once */
	bool joined; /* protected by mu: conn leads to a supervisor that somebody else started, and nothing was spawned on it yet */
	char *warning; /* of the supervisor's start; NULL: none. Written once, before the first spawn returns */
	int key_fd; /* of a key that came from a pipe, or -1 */
	BvKeyOptions key; /* of bv_sandbox_set_key, with paths of our own; size 0: nothing was said (unlock.h) */
	pthread_mutex_t view_mu;
	struct View view; /* protected by view_mu: opened by the first of view_users, closed by the last */
	unsigned view_users;
};

/* Where the data are: config.data_dir or dir. */
const char *sandbox_data_dir(const BvSandbox *sb);
/* The connection to the supervisor (referenced for the caller: conn_put). `start` also starts one; without it -ESRCH when none runs. */
int sandbox_connect(BvSandbox *sb, bool start, struct Conn **out, BvError **err) MUST_CHECK;
/* apply.c: -EBUSY if an apply was interrupted, or, unless `running`, is at work: objects that the sandbox rests on may be anywhere. */
int apply_check_none(const BvSandbox *sb, bool running, BvError **err) MUST_CHECK;
/* Gives the reference back, and does not use that connection again. */
bool sandbox_disconnect(BvSandbox *sb, struct Conn *conn);
/* How many processes run in it: 0 if it is not running, or does not answer. */
size_t sandbox_processes(BvSandbox *sb);

/* Waits until nobody serves the sandbox, and keeps others from doing so as long as *lock is open. -EBUSY: commands run. */
int sandbox_hold_stopped(BvSandbox *sb, int *lock, BvError **err) MUST_CHECK;
/* A new sandbox that nobody sees until it is published. `fill` makes its data in sandbox_data_dir(). */
int sandbox_create_filled(SandboxConfig *config, const char *home, const char *name, int (*fill)(BvSandbox *sb, void *ctx, BvError **err), void *ctx, BvSandbox **out,
			  BvError **err) MUST_CHECK;

/* The same in the place of a stopped sandbox, whose lock the caller holds, and with its description: one step, after which the old one is deleted. */
int sandbox_replace_filled(const BvSandbox *old, int (*fill)(BvSandbox *sb, void *ctx, BvError **err), void *ctx, BvSandbox **out, BvError **err) MUST_CHECK;

/* After a new unnamed sandbox was made: deletes those beyond the newest. Called when its command runs, so that nobody waits for it. */
void sandbox_prune_once(BvSandbox *sb);

#endif
