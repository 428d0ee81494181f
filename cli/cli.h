/* cli/cli.h - what the commands of `bvisor` share.
 *
 * The CLI is a thin user of libbvisor. Every command is one row of the table in main.c and one function: parse, call the library, print.
 * Exit codes: the guest's own; 125 an error of bvisor, 126 not executable, 127 not found, 128+n ended by signal n, 124 timeout or output limit. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "include/bvisor/bvisor.h"

#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

enum { EXIT_TIMEOUT = 124, EXIT_BVISOR = 125, EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127, EXIT_SIGNAL = 128 };

typedef struct Command {
	const char *name;
	const char *args;    /* after the name in the usage line */
	const char *summary; /* one line, in `bvisor --help` */
	const char *options; /* the body of `bvisor NAME --help` */
	int (*run)(const struct Command *cmd, int argc, char **argv);
	const char *examples; /* lines of it; may be NULL */
	unsigned flags;
} Command;
enum {
	COMMAND_NO_PLACES = 1, /* runs without the places of configuration files, or asks for them itself */
	COMMAND_HIDDEN = 2,    /* is in no list */
	COMMAND_THREADS = 4,   /* has threads when it starts supervisors, so they are no forks of it */
};

/* The table (commands.c); NULL behind its end, or if there is none of that name. */
const Command *command_at(size_t i);
const Command *find_command(const char *name);

/* A growing NULL-terminated list of strings that belong to somebody else. */
typedef struct List {
	const char **items; /* NULL while empty */
	size_t count;
} List;
void list_add(List *list, const char *item);

int cmd_run(const Command *cmd, int argc, char **argv);
int cmd_exec(const Command *cmd, int argc, char **argv);
int cmd_ps(const Command *cmd, int argc, char **argv);
int cmd_ls(const Command *cmd, int argc, char **argv);
int cmd_rm(const Command *cmd, int argc, char **argv);
int cmd_kill(const Command *cmd, int argc, char **argv);
int cmd_stats(const Command *cmd, int argc, char **argv);
int cmd_diff(const Command *cmd, int argc, char **argv);
int cmd_apply(const Command *cmd, int argc, char **argv);
int cmd_cat(const Command *cmd, int argc, char **argv);
int cmd_snapshot(const Command *cmd, int argc, char **argv);
int cmd_verify(const Command *cmd, int argc, char **argv);
int verify_print(BvSandbox *sb, bool json, size_t *count); /* 0, or an exit code after a message */
int cmd_fork(const Command *cmd, int argc, char **argv);
int cmd_log(const Command *cmd, int argc, char **argv);
void print_snapshot(const BvSnapshotInfo *info); /* a line of a listing */
/* What is listed has no states; `from` as for the library. 125 after a message. */
int fail_no_snapshot(const char *name, const char *from);
int cmd_restore(const Command *cmd, int argc, char **argv);
int cmd_snapshots(const Command *cmd, int argc, char **argv);
int cmd_export(const Command *cmd, int argc, char **argv);
int cmd_import(const Command *cmd, int argc, char **argv);
int cmd_net(const Command *cmd, int argc, char **argv);
int cmd_sync(const Command *cmd, int argc, char **argv);
/* `snapshots rm` and `snapshots prune`: argv[0] is that word. */
extern const Command snapshots_rm, snapshots_prune;
int cmd_snapshots_rm(int argc, char **argv);
int cmd_snapshots_prune(int argc, char **argv);
int cmd_push(const Command *cmd, int argc, char **argv);
int cmd_pull(const Command *cmd, int argc, char **argv);
int cmd_gc(const Command *cmd, int argc, char **argv);
int cmd_fsck(const Command *cmd, int argc, char **argv);
int cmd_doctor(const Command *cmd, int argc, char **argv);
int cmd_completion(const Command *cmd, int argc, char **argv);
int cmd_complete(const Command *cmd, int argc, char **argv);
int cmd_mcp(const Command *cmd, int argc, char **argv);
int cmd_config(const Command *cmd, int argc, char **argv);
int cmd_trust(const Command *cmd, int argc, char **argv);

/* ---- options (opts.c) ---- */

enum { OPT_HELP = 1000, OPT_JSON, OPT_KEY_FILE, OPT_PASSPHRASE_FILE, OPT_MEMORY, OPT_CPUS, OPT_PIDS, OPT_IO_READ, OPT_IO_WRITE, OPT_DISK, OPT_DISK_FILES, OPT_NOFILE, OPT_BEST_EFFORT, OPT_FIRST }; /* commands number their own long options from OPT_FIRST on */
#define LONG_COMMON {"help", no_argument, NULL, OPT_HELP}
/* Of every command that opens a place of snapshots: beside LONG_COMMON, key_begin before the loop, key_option in it (it says whether the option was one of these). */
#define LONG_KEY {"key-file", required_argument, NULL, OPT_KEY_FILE}, {"passphrase-file", required_argument, NULL, OPT_PASSPHRASE_FILE}
#define KEY_OPTION_HELP \
	"  --key-file FILE      the place is encrypted with the key in FILE (or $BVISOR_KEY_FILE)\n" \
	"  --passphrase-file FILE  ... with the passphrase in the first line of FILE (or $BVISOR_PASSPHRASE_FILE)\n"
void key_begin(BvKeyOptions *key);
bool key_option(BvKeyOptions *key, int option);
/* For commands that open one place, by way of other functions: the same options, kept for the whole process. */
BvKeyOptions *key_of_command(void);
/* Of every command that makes a sandbox (limits.c): beside LONG_COMMON, limit_option in the loop (it says whether the option was one of these). */
#define LONG_LIMITS \
	{"memory", required_argument, NULL, OPT_MEMORY}, {"cpus", required_argument, NULL, OPT_CPUS}, {"pids", required_argument, NULL, OPT_PIDS}, \
		{"io-read", required_argument, NULL, OPT_IO_READ}, {"io-write", required_argument, NULL, OPT_IO_WRITE}, {"disk", required_argument, NULL, OPT_DISK}, \
		{"disk-files", required_argument, NULL, OPT_DISK_FILES}, {"nofile", required_argument, NULL, OPT_NOFILE}, {"best-effort", no_argument, NULL, OPT_BEST_EFFORT}
typedef struct LimitOptions {
	BvLimits limits;
	bool given; /* any of them */
} LimitOptions;
#define LIMIT_OPTIONS_INIT {.limits = BV_LIMITS_INIT}
bool limit_option(const Command *cmd, LimitOptions *o, int option);
/* What was not given is as that sandbox has it. Errors of bv_sandbox_given_limits. */
int limits_inherit(LimitOptions *o, BvSandbox *from, BvError **err);
/* bv_sandbox_open in the default store, with the key of the command. */
int open_sandbox(const char *name, BvSandbox **out, BvError **err);

/* The next option as getopt_long gives it, -1 at the end. Answers --help itself, and ends the program on an unknown option or a missing
 * value. `shorts` begins with "+:" (stop at the first argument) or ":". */
int opts_next(const Command *cmd, int argc, char **argv, const char *shorts, const struct option *longs);
/* Of --user (user.c): this process is that user afterwards, or ends with a message; where it has to become him, main begins anew. */
void become_user(const Command *cmd, const char *text);
void user_remember_argv(char **argv);
/* From now on a usage error is one of that file and line ("FILE:LINE"), not of the command line; NULL: of the command line again. */
void set_error_origin(const char *origin);
/* The word of a list that is most like another one. */
typedef struct Nearest {
	const char *word, *found;
	size_t distance; /* of `found`, or more than is like it */
} Nearest;
Nearest nearest_begin(const char *word);
void nearest_offer(Nearest *nearest, const char *candidate);
const char *nearest_found(const Nearest *nearest); /* NULL: none is like it */
/* One line that names what is wrong, and the usage; exit 125. */
_Noreturn void usage_error(const Command *cmd, const char *fmt, ...) PRINTF_LIKE(2, 3);
void print_help(const Command *cmd);
/* A number from 1 on; a usage error otherwise. */
unsigned parse_positive(const Command *cmd, const char *option, const char *text);
/* Of --sync: whether it is "continuous". */
bool parse_sync(const Command *cmd, const char *text);
/* Bytes: "500M", "20G", "1GiB". */
uint64_t parse_size(const Command *cmd, const char *option, const char *text);
/* The same, and larger. */
uint64_t parse_limit(const Command *cmd, const char *option, const char *text);
/* Processors: "2", "0.5". */
double parse_cpus(const Command *cmd, const char *option, const char *text);
/* "90", "1.5s", "500ms", "2m", "1h": milliseconds; a usage error otherwise. */
int parse_duration(const Command *cmd, const char *option, const char *text);
/* "TERM", "SIGTERM", "15"; a usage error otherwise. */
int parse_signal(const Command *cmd, const char *text);
/* The one optional sandbox name that is left, NULL for the newest; more arguments are a usage error. */
const char *optional_name(const Command *cmd, int argc, char **argv);

/* [NAME] [--] [PATH...]: a first argument without a slash (and not "." or "..") is the name of a sandbox; after "--" all are paths. The paths
 * are added as `absolute` makes them, one of the two below. Returns the name or NULL. */
const char *name_and_paths(int argc, char **argv, char *(*absolute)(const char *path), List *paths);
/* The same in two steps, for who takes more names: how many arguments before "--" have no slash (and are not "." or ".."); and those after so many as paths. */
size_t leading_words(int argc, char **argv);
void add_paths(int argc, char **argv, size_t names, char *(*absolute)(const char *path), List *paths);
char *absolute_path(const char *path); /* "a//b/./c/.." -> "/cwd/a/b", as text; malloc'ed */
char *absolute_path_with_links(const char *path); /* for who follows links in it: "a//b/./c/../" -> "/cwd/a/b/c/../" */
/* Is "--" the last argument, so that there is no path? */
bool ends_with_dashes(void);
/* "NAME@..." means a state of a snapshot, wherever a sandbox is asked for; NULL does not. No name of a sandbox has an '@'. */
bool names_snapshot(const char *name);
/* Of a word that means a sandbox if there is one of that name, and a snapshot otherwise. 1: there is, and it is *out; 0: there is none, nor an error; else the error of
 * bv_sandbox_open: there is one that cannot be opened, and a snapshot that is called the same is not meant. */
int find_sandbox(const char *name, BvSandbox **out, BvError **err);
/* Is there one, whether it can be opened or not? */
bool is_sandbox(const char *name);
/* The list of `bvisor ls` without a name (cmd_list.c); an exit code. */
int list_sandboxes(bool json);

/* ---- failing and memory ---- */

/* "bvisor: MESSAGE" on stderr; returns 125, so that `return cli_fail(...)` is one step. */
int cli_fail(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* The same with the message of a library error, which is freed. */
int cli_fail_error(BvError *err);
/* What main returns: the code, but where output did not arrive (a full disk). A pager or head(1) that left early is no error. */
int cli_finish(int code);
int64_t now_ms(void); /* since some moment that stays the same */
/* malloc and friends that end the program with 125 when memory is out. */
void *xrealloc(void *p, size_t size);
char *xasprintf(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* ---- a command with a terminal or without (session.c, tty.c) ---- */

typedef struct SessionOptions {
	const char *const *argv;
	const char *const *env; /* NULL: ours */
	const char *cwd;	/* NULL: ours */
	int trace_fd;		/* -1 */
	int timeout_ms;		/* -1: none */
	uint64_t output_limit;	/* bytes of stdout and stderr together; 0: none */
	bool tty;
	bool detach;
	bool owns_sandbox; /* the second signal and the timeout kill everything in it, not just this command */
} SessionOptions;

/* Starts the command, forwards signals and (tty) the terminal, waits. Returns the exit code of bvisor. *started says whether the command
 * began to run. */
int session_run(BvSandbox *sb, const SessionOptions *o, bool *started);
/* -i/-t as given, or both when stdin and stdout are a terminal and neither is given. */
bool session_wants_tty(bool interactive, bool tty);

typedef struct Tty Tty;
/* A pty of our own with the size of the user's terminal, which becomes raw (when stdin is one). NULL with errno. */
Tty *tty_open(int *slave);
void tty_resize(Tty *tty);
int tty_master(const Tty *tty);
/* Moves what is there from stdin to the command, or from the command to stdout; false at the end of that direction. */
bool tty_input(Tty *tty);
bool tty_output(Tty *tty);
/* How many bytes the command has written to it. */
uint64_t tty_written(const Tty *tty);
/* Restores the user's terminal. NULL is allowed. */
void tty_close(Tty *tty);

typedef struct Output Output;
/* Pipes for the command in the place of stdout and stderr, whose ends for it are put into fds[1] and fds[2], the caller's to close (one descriptor where both are the same file; untouched where
 * ours is closed). NULL with errno. */
Output *output_open(uint64_t limit, int fds[3]);
/* What to poll (fd -1: nothing), and what to do then. False: there was more than the limit, which is passed on and no more. */
void output_polls(const Output *output, struct pollfd polls[2]);
bool output_step(Output *output, const struct pollfd polls[2]);
void output_finish(Output *output); /* the command has ended */
bool output_exceeded(const Output *output); /* NULL: no */
void output_close(Output *output); /* NULL is allowed */
/* The text of a remark or warning, which may have more lines than one. */
void cli_tell(const char *lines);

/* ---- printing ---- */

/* `text` as in git: unchanged, or in double quotes with C escapes when it holds control characters, quotes, backslashes or bytes
 * that are no UTF-8. */
void print_quoted(FILE *out, const char *text);
void print_plain(FILE *out, const char *text); /* control characters as \\ooo */
char *quoted(const char *text); /* malloc'ed */
/* " (hard link to PATH)" behind a path, for lists; nothing if link_to is NULL. */
void print_link(FILE *out, const char *link_to);
const char *local_time(int64_t seconds, char out[32]); /* "2026-01-31 23:59:59"; "?" if there is no such time; returns out */
const char *human_size(uint64_t bytes, char out[32]); /* "1.5 MiB"; returns out */
/* Of --color: always, never or auto; a usage error otherwise. */
void color_choose(const Command *cmd, const char *when);
bool color_wanted(void); /* on standard output, now: ask before a pager takes it */
/* What a terminal makes that colour of ("red", "green", "yellow", "cyan", "bold", "plain"); "" if it is not wanted. */
const char *color(const char *name);
/* For the library's `progress`: one line on the terminal, nothing if stderr is none. progress_end takes it away. */
void progress_show(void *ctx, const char *what, uint64_t done, uint64_t total);
void progress_end(void);
/* Length of what makes a terminal do something, 0 if it is none: names of files in messages are a guest's choice. C1 controls have two bytes in UTF-8. */
size_t control_length(const unsigned char *at);
/* Length of the UTF-8 sequence at p (1-4), 0 if it is none. */
size_t utf8_length(const unsigned char *p);

/* JSON, written as it goes (json.c). Commas are inserted by the writer. */
typedef struct Json {
	FILE *out;
	bool comma;
} Json;
void json_open(Json *j, const char *key, char bracket); /* key NULL inside an array; bracket '{' or '[' */
void json_close(Json *j, char bracket);
void json_put_string(Json *j, const char *key, const char *value); /* NULL: null. Bytes that are no UTF-8 become U+FFFD */
/* A path: like json_put_string, and KEY_hex with the exact bytes when they are no UTF-8. */
void json_path(Json *j, const char *key, const char *value);
void json_int(Json *j, const char *key, int64_t value);
void json_put_bool(Json *j, const char *key, bool value);
/* As text with nanoseconds, in UTC; null if it is out of range (cmd_list.c). */
void json_time(Json *j, const char *key, int64_t sec, long nsec);
/* The type in a mode: "file", "directory", ...; NULL: none that is known. */
const char *type_name(uint32_t mode);
void json_raw(Json *j, const char *key, const char *json);

#endif
