/* snapshot/writer.h - what the files of the writer share.
 *
 *   caller --files--> worker threads --new chunks--> the open pack --full--> upload (the store's threads) --arrived--> packs
 *
 * Invariants:
 *  W1 an id is claimed once, so each new chunk is in one pack;
 *  W2 `packs` names packs that have arrived; the index is made from it, when nothing is under way any more;
 *  W3 the first error stays; after it jobs are thrown away, uploads under way are waited for, and nothing is published.
 * Memory is bounded: FILES_MAX descriptors, one buffer a thread and CHUNKS_QUEUED more, UPLOADS_MAX packs and the open one, each below 21 MiB. A chunk that waits has a buffer of its length.
 *
 * Lock order: none is taken while another is held, but `lock` in `pack_lock` (the open pack waits for the place of an upload).
 *   lock       queues, contents, uploads, error, packs, counters
 *   ids_lock   known, mine
 *   pack_lock  the open pack */
#ifndef SNAPSHOT_WRITER_H
#define SNAPSHOT_WRITER_H

#include "snapshot/condemned.h"
#include "snapshot/content.h"
#include "snapshot/header.h"

#include <pthread.h>
#include <stdatomic.h>

enum { FILES_MAX = 128, CHUNKS_QUEUED = 4, UPLOADS_MAX = 3, THREADS_MAX = 4, SESSION_SECONDS = SNAP_GRACE / 6 };

typedef struct WorkFile {
	struct WorkFile *next;
	uint64_t number;
	int fd; /* -1: the source, or else the bytes */
	const SnapSource *source;
	uint64_t key;
	uint8_t *data;
	size_t len;
} WorkFile;

typedef struct WorkChunk {
	struct WorkChunk *next;
	SnapId id;
	uint8_t *data;
	size_t len;
	uint8_t kind;
} WorkChunk;

typedef struct Worker {
	SnapWriter *w;
	pthread_t thread;
	Coder *coder;
	Bytes out;	/* stored form of one chunk */
	uint8_t *small; /* CHUNK_WHOLE bytes */
} Worker;

typedef struct ParentIndex {
	SnapId id;
	size_t n; /* its plain length */
	bool condemned; /* or lists a pack that is: what is left of it goes into the new index */
} ParentIndex;

typedef struct ContentRef {
	uint8_t *data;
	uint32_t len;
} ContentRef;

typedef struct Upload {
	SnapWriter *w;
	Bytes pack;
	ChunkTable table;
	SnapId id;
	ObjectName name;
	struct iovec iov;
	ObjectRequest request;
} Upload;

struct SnapWriter {
	SnapStore *store;
	SnapWriterConfig config;
	SnapInfo parent; /* zeroes: none */
	Condemned condemned;
	ParentIndex *parents;
	size_t n_parents;
	Coder *coder; /* the caller's thread's */
	TreeWriter tree;
	TreeRoot root; /* once tree_ended */
	bool tree_ended;
	HeaderFields fields;
	uint64_t records;
	bool finished, same; /* same: the records are the parent's */

	pthread_mutex_t lock;
	pthread_cond_t work, room, done;
	WorkFile *files, **files_end;
	WorkChunk *chunks;
	size_t n_files, n_chunks, busy;
	ContentRef *contents;
	size_t n_contents, room_contents;
	unsigned uploads;
	int error;
	char *message;
	bool stop;
	IndexList packs;
	SnapProgress progress;
	SnapTotals totals;

	pthread_mutex_t ids_lock;
	SnapIndex known, mine;
	bool *shared; /* for each pack of known: the snapshot needs it */

	pthread_mutex_t pack_lock;
	Bytes pack;
	ChunkTable table;

	_Atomic bool failed; /* error is set */
	int64_t checked;     /* seconds of boot time when the condemned were read */
	_Atomic int64_t session_put;
	ObjectName session; /* empty: none */
	Worker workers[THREADS_MAX];
	unsigned n_workers;
};

/* ---- writer.c ---- */
/* Keeps the first error; returns it. Takes the message (malloc'ed, may be NULL). */
int writer_fail(SnapWriter *w, int error, char *message);

/* ---- writer_work.c ---- */
int workers_start(SnapWriter *w) MUST_CHECK;
void workers_stop(SnapWriter *w); /* throws away what is queued if there was an error; else it is done first */
int workers_drain(SnapWriter *w) MUST_CHECK; /* waits until nothing is queued */
/* Whether the parent has it; then its pack counts as shared. ids_lock held. */
bool chunk_share_locked(SnapWriter *w, const SnapId *id);
/* 1: nobody has it yet, it is the caller's to store; 0: it is known. */
int chunk_claim(SnapWriter *w, const SnapId *id) MUST_CHECK;
/* Stores a new chunk: takes the data over. By a worker if there is room in the queue, else at once with the coder and buffer of the calling thread. */
int chunk_store(SnapWriter *w, Coder *coder, Bytes *out, const SnapId *id, uint8_t kind, uint8_t *data, size_t len) MUST_CHECK;
/* The same at once, and without taking it over. */
int chunk_encode(SnapWriter *w, Coder *coder, Bytes *out, const SnapId *id, uint8_t kind, const uint8_t *data, size_t len) MUST_CHECK;

/* ---- writer_read.c ---- */
/* Reads a content to its end and keeps its reference. */
int file_read(Worker *worker, WorkFile *file) MUST_CHECK;

/* ---- writer_pack.c ---- */
int pack_append(SnapWriter *w, Coder *coder, ChunkRow *row, const Bytes *stored) MUST_CHECK;
int packs_flush(SnapWriter *w) MUST_CHECK; /* sends the open pack and waits for all */
void packs_wait(SnapWriter *w);
void session_end(SnapWriter *w);

/* ---- writer_index.c ---- */
int parents_load(SnapWriter *w, char **err) MUST_CHECK;
/* Puts the new index object, if one is needed, and says which ones the snapshot needs. */
int index_publish(SnapWriter *w, SnapInfo *info, char **err) MUST_CHECK;
/* -ESTALE if the collector has condemned meanwhile what the snapshot is made of. */
int recheck_condemned(SnapWriter *w, char **err) MUST_CHECK;

#endif
