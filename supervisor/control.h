/* supervisor/control.h - the protocol between libbvisor and the supervisor process of one sandbox.
 *
 * Transport: AF_UNIX SOCK_SEQPACKET, one JSON object a packet, descriptors by SCM_RIGHTS. A body of more than
 * CONTROL_INLINE bytes travels as the single byte '@' plus a memfd with the body as the first descriptor (at most CONTROL_MAX bytes).
 * The library starts `bvisor-supervisor` with one end of a socketpair as descriptor 3; that is the first connection. Further clients connect
 * to SANDBOXDIR/control.sock. Each request carries "op" and "seq" (a number); the answer repeats "seq" and holds "ok": true with its
 * fields, or "ok": false, "errno": N (positive), "error": "message for people". Answers may come out of order (wait).
 *
 * The supervisor ends when: no command runs and no client is connected (and, if the sandbox is deleted then, nobody has its directory locked: flock, shared); or `stop`; then every
 * guest process is killed first.
 *
 *  start   (first connection, once) {"dir": SANDBOXDIR, "blobs": "dir:PATH"|"tmpfs:PATH", "db": PATH, "durable": bool,
 *           "rw": [PATH...], "hide": [PATH...], "ro": bool, "net": "host"|"internet"|"none", "allow": [RULE...] (base/netrule.h), "dns": SERVERS (may be absent), "mask": "sync,landlock,..." (features to act as if missing; tests),
 *           "remove": [PATH...] (the sandbox's directory and these are deleted when the supervisor ends, but not if it could not start, or has lost init while somebody has the directory locked; absent: it is kept),
 *           "hostname": NAME, "release": RELEASE (what guests see as such; absent: the host's),
 *           "spool": BYTES (0: no bound), "hold": NAME (of its hold in the place that its files come from; absent: none of them comes from elsewhere, nor will),
 *           "limits": {"memory", "io-read", "io-write", "disk": BYTES, "cpus", "pids", "disk-files", "nofile": N, "best_effort": bool} (limits.h; what guests see as given, too; absent: none),
 *           "key": true (a descriptor has come along, from which the key of that place is read),
 *           "pidns": "required"|"if permitted" (pidns.h; absent: none), "fake_root": bool (guests see themselves as root), "uid": N, "gid": N (whose objects of the host they see as root's)}
 *           -> {"pid": supervisor's} and, of limits that are not enforced and a pid namespace that was not permitted, "warning": LINES.
 *           Takes flock(SANDBOXDIR/sandbox.json) exclusively: EAGAIN when another supervisor has it.
 *  spawn   {"argv": [..], "env": ["K=V"..], "cwd": PATH, "tty": bool, "tied": bool, "umask": BITS, "ignored": [SIGNAL...],
 *           "closed": [0, 1, 2], "deleted": bool, "hide": [PATH...]} + descriptors stdin, stdout, stderr [, cwd] [, trace]
 *           tty: descriptor 0 becomes the controlling terminal. tied: killed when this connection closes. ignored: signals that the command
 *           starts with ignored (the client's own; every other one has its default action). closed: those of
 *           0, 1 and 2 that the command finds closed; the descriptor sent in its place can be any.
 *           deleted: the command starts in a directory that was deleted (ENOENT otherwise), which is sent, instead of that at PATH.
 *           hide (may be absent): names of the host that no guest sees from now on, beside those of the start; what guests have opened or renamed by then they keep.
 *           -> {"id": N, "pid": P (as guests see it)}; or errno ENOENT/EACCES/ENOEXEC... of the exec itself, "stage": "exec" (cwd: "stage": "cwd").
 *           argv[0] without a slash is searched in the PATH of env, inside the sandbox.
 *  file    {"call": "write"|"mkdir"|"remove"|"rename"|"stat"|"watch", "flags": FILE_*, "mode": BITS, "umask": BITS, "path": PATH, "to": PATH (rename)} [+ a descriptor]
 *           -> as spawn, tied. A process of bvisor's own does it in the sandbox, as a command would (builtin.h); its exit code is 0 or the errno. The
 *           descriptor is for write the bytes, a file; for stat and watch a SOCK_SEQPACKET socket, which gets a FileStat, or FileEvents: the first one when all is watched.
 *  wait    {"id": N} -> {"exit": code} or {"signal": S, "core": bool}, perhaps with "remark": "what else went wrong, for people" (lines) and "limits", as in stats with what was reached
 *           meanwhile, when it has ended (kept until asked once by the spawner)
 *           and what it did is in the database (not when the sandbox is to be deleted)
 *  kill    {"id": N or 0 for every guest, "signal": S} -> {}
 *  ps      -> {"processes": [{"pid","ppid","id","state","comm","args","start"}]}
 *  commit  {"durable": bool, "look": bool} -> {} : cowfs_commit, so that a reader of the database sees everything so far. look: no blob that it names goes until
 *  looked  -> {}, as often as that was said, or the end of the connection
 *  freeze  -> {"writers": N, "still": bool, "pause": SECONDS, "state": NAME or ""[, "since": NAME, "touched": [INODE...]]}: cowfs_freeze, and CowState. writers: how many bodies guests had open for writing; then they were made to stand still
 *           (still: all of them) for so long. Nothing else is answered, and no commit made, until the client has begun to read the database and says
 *  frozen  -> {}, within 2 s; else it is as if it had never been. Bodies stay as they were until
 *  thaw    -> {}, or errno: what was read since the freeze is not all of that moment. Also when the connection closes.
 *  net     {"net": MODE, "allow": [RULE...]} -> {} : other rules from now on; EBUSY from or to the mode host
 *  stats   -> {"calls": {"NAME": N...} of unsupported and refused calls, "features": {...}, "cowfs": {...}, "limits": [{"name", "limit", "by", "peak", "hits"}...]}
 *  stop    -> {} after all guests are dead, the database is closed (or the sandbox deleted) and the lock is free; then the connection ends.
 */
#ifndef SUPERVISOR_CONTROL_H
#define SUPERVISOR_CONTROL_H

#include <stdint.h>

#define CONTROL_INLINE (64 * 1024)
#define CONTROL_MAX (4 * 1024 * 1024) /* argv + env of a spawn must fit: more is E2BIG */
#define CONTROL_FD 3

/* The flags of `file` are those of bvisor.h. */
enum { FILE_APPEND = 1, FILE_EXCLUSIVE = 2, FILE_PARENTS = 4, FILE_NO_FOLLOW = 8, FILE_RECURSIVE = 16, FILE_NO_REPLACE = 32 };

typedef struct FileStat {
	uint64_t ino, bytes;
	int64_t mtime_sec;
	uint32_t mtime_nsec, mode, uid, gid, links;
	uint32_t target_len; /* of a symbolic link: so many bytes follow */
} FileStat;

enum { FILE_CREATED = 1, FILE_MODIFIED = 2, FILE_REMOVED = 4, FILE_RENAMED = 8, FILE_ATTRIB = 16, FILE_OVERFLOW = 32 };
typedef struct FileEvent {
	uint32_t what;		    /* FILE_*; 0 in the first one, which says that all is watched */
	uint16_t path_len, old_len; /* so many bytes follow: the path, and the old one of a rename, both absolute */
} FileEvent;

#endif
