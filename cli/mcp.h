/* cli/mcp.h - `bvisor mcp`: one sandbox as tools of a Model Context Protocol server, JSON-RPC 2.0 on standard input and output, a message a line.
 *
 *  mcp.c        the protocol: lines, requests, answers, cancelling; what a line says is checked here, and against the table of tools
 *  mcp_tools.c  the table, and the tools for files, differences and snapshots
 *  mcp_run.c    the tool `run`
 *
 * Threads. The main thread reads; each call of a tool has a thread of its own (those of a batch one, one after the other), so that a ping and a cancellation are heard meanwhile. Server.out_lock is held while a line is written, Server.lock for the list of
 * calls, Server.sandbox_lock for reading by whoever uses the sandbox and for writing by who replaces it; none is taken while another is held, but for out_lock, which may be last. */
#ifndef CLI_MCP_H
#define CLI_MCP_H

#include "cli/create.h"

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdatomic.h>

enum { MCP_PARSE_ERROR = -32700, MCP_INVALID_REQUEST = -32600, MCP_NO_METHOD = -32601, MCP_INVALID_PARAMS = -32602, MCP_INTERNAL_ERROR = -32603, MCP_BUSY = -32000, MCP_NOT_INITIALIZED = -32002 };

typedef struct Server {
	CreateOptions *options;
	const char *cwd; /* what relative paths of tools are relative to */
	pthread_rwlock_t sandbox_lock;
	BvSandbox *sb; /* NULL: it was lost (restore failed half-way) */
	char *name;
	List snapshots; /* names that states were taken under, malloc'ed; of Server.lock, too */
	pthread_mutex_t lock, out_lock;
	pthread_cond_t idle;
	struct Call *calls; /* that are at work */
	size_t n_calls, n_threads;
	struct Call *later; /* the main thread's: those of the batch that it reads */
	bool initialized;
	int signals; /* a descriptor */
	atomic_bool ending, mute; /* mute: nothing is written any more, as nobody reads */
} Server;

typedef struct Call {
	struct Call *next;
	Server *server;
	cJSON *id;
	const struct Tool *tool;
	cJSON *arguments;      /* an object */
	cJSON *progress_token; /* or NULL */
	int64_t told_ms;       /* when progress was last told */
	atomic_bool cancelled; /* no answer is wanted, and the work shall end */
	cJSON *batch;	       /* the answer goes there; NULL: it is written */
	struct Call *later;    /* the next one of this batch */
} Call;

/* An argument of a tool: its place in the schema, and what is checked before the tool is called. */
typedef enum ArgumentType { ARG_STRING, ARG_INTEGER, ARG_BOOLEAN, ARG_STRINGS, ARG_STRING_MAP } ArgumentType;
typedef struct Argument {
	const char *name;
	ArgumentType type;
	bool required;
	const char *about;
	const char *words[3]; /* ARG_STRING: only one of these, up to a NULL; none: any */
} Argument;

/* What a tool has to say: a text, and the same for programs. */
typedef struct Result {
	char *text;	 /* malloc'ed; need not be UTF-8 */
	cJSON *structured; /* an object, or NULL; its strings are UTF-8 */
	bool failed;
} Result;

typedef struct Tool {
	const char *name, *title, *about;
	const Argument *arguments; /* up to one without a name */
	bool read_only, destructive, needs_apply;
	bool exclusive; /* it takes the sandbox away while it works */
	void (*call)(Call *call, Result *result);
} Tool;

const Tool *mcp_tool_at(size_t i); /* NULL behind the last */
void mcp_run(Call *call, Result *result);

/* Arguments that were checked: those of the tool, of their types. */
const char *mcp_string(const Call *call, const char *name, const char *otherwise);
int64_t mcp_integer(const Call *call, const char *name, int64_t otherwise);
bool mcp_flag(const Call *call, const char *name, bool otherwise);
/* Absolute; the caller's to free. */
char *mcp_join(const Call *call, const char *path); /* of the sandbox, from its directory; malloc'ed */
char *mcp_path(const Call *call, const char *name, const char *otherwise);
/* NULL-terminated, the caller's to free (not what is in it). NULL: the argument is missing. */
const char **mcp_strings(const Call *call, const char *name);

/* The result is that it failed, and why; the error is freed. */
void mcp_fail(Result *result, const char *fmt, ...) PRINTF_LIKE(2, 3);
void mcp_fail_error(Result *result, BvError *err);
bool mcp_cancelled(const Call *call);
/* Tells how far it is, if the client wants to know, and not too often; total 0: unknown. False: it was not told. */
bool mcp_progress(Call *call, double done, double total, const char *message);
/* malloc'ed: bytes that are no UTF-8, and NULs, as U+FFFD. */
char *mcp_utf8(const char *bytes, size_t len);
void *mcp_check(void *made); /* ends the program if it is NULL: memory is out */

#endif
