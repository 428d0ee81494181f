/* lib/base.h - what a snapshot carries of the host (`snapshot --with-base`), so that it can be restored where the host lacks it.
 *
 * Carried are the files that guests have opened or executed (the list of cowfs/opened.c), those that records rest on which the sandbox itself has made, and the symlinks and directories
 * that lead to them, as the host has them when the snapshot is taken. In a snapshot they are records of their own (kind 'b'), by host path, so ordinary records are the same with and without.
 * Left out is what no sandbox may pass on: what is hidden by default, even if it was granted with --show; what lies below a --rw grant; /proc, /dev and /sys;
 * and what says which machine this is (/run, name servers, accounts), which each machine has of its own.
 *
 * On restore each is compared with this host. What is the same here (a directory: is one; a symlink: leads to the same; a file: type, permissions, size and mtime) is the host's.
 * What is missing or differs becomes rows of the sandbox with a mark (COW_RECORD_CARRIED): such a row shows the copy, is no change of the sandbox, and loses the mark with the first
 * change. A record that rested on such a file gets its content. What a guest had removed or replaced stays so.
 * The restored sandbox goes on to carry: its later snapshots tell marked rows as carried again.
 *
 * A snapshot may come from anybody, and go back to him. So no file of this host is carried because a snapshot names it:
 *  1. Without --with-base only marked rows are carried, whose content came with them, and directories.
 *  2. With it, too, of what came with a snapshot (cow_export_came) no record brings the host's file that it rests on: only a guest of this sandbox does that, by opening it.
 *  3. The list of a restored sandbox is empty: that a file looks like the carried one (base_is_same) does not say that its content is the same, nor that it stays so.
 *  4. What only leads to something is carried if it is a directory: of those the host tells owner and permissions. */
#ifndef LIB_BASE_H
#define LIB_BASE_H

#include "cowfs/contents.h"
#include "lib/snapshots.h"

#include <sys/stat.h>

/* In the data directory: what guests have opened. The caller's to free, NULL: out of memory. */
char *base_list_path(const BvSandbox *sb);

typedef struct BaseCount {
	uint64_t files, bytes; /* regular files */
	uint64_t left;	       /* recorded, but gone meanwhile, or not readable */
} BaseCount;
/* As the snapshot says; zeroes: it carries nothing. */
BaseCount base_count(const SnapInfo *info);
bool base_carries(const SnapInfo *info); /* it may be that nothing was to be carried */

/* ---- base_take.c ---- */

typedef struct BaseTake BaseTake;

/* What is to be carried by a snapshot of these rows, which are used until base_take_free. host: files of this host, too, as the user has asked for. */
int base_take_begin(const BvSandbox *sb, CowExport *rows, bool host, BaseTake **out, char **why) MUST_CHECK;
/* Reads, and writes the records, which come before all others. `contents` as in contents.h, NULL is allowed. The writer may use `b` until it is freed. */
int base_take_write(BaseTake *b, SnapWriter *w, CowContents *contents, BaseCount *out, char **why) MUST_CHECK;
/* Does base_take_write tell of this row? NULL: nothing is carried. */
bool base_take_has(const BaseTake *b, const CowRecord *r);
void base_take_free(BaseTake *b); /* NULL is allowed */

/* ---- base_restore.c ---- */

typedef struct BasePlan BasePlan;
/* A row to import; content: the reference of its bytes, len 0: it has none. */
typedef int (*BaseAdd)(void *ctx, CowRecord *row, const uint8_t *content, size_t len);

/* hidden: host paths that guests do not see, NULL-terminated, or NULL; the caller's. */
int base_plan_new(char *const *hidden, BasePlan **out) MUST_CHECK;
/* Is it a record of what is carried? Such come first. */
bool base_is_record(const Record *record);
/* Takes one. -EBADMSG (damaged), -EPROTO, -EACCES (it lies where no guest can see it), -ENOMEM. */
int base_plan_record(BasePlan *p, const Record *record, char **why) MUST_CHECK;
/* Each ordinary row, before it is imported: one that rests on a file that is missing here gets that file's content, in *content, which stays the plan's. */
int base_plan_row(BasePlan *p, CowRecord *row, const uint8_t **content, size_t *len) MUST_CHECK;
/* After the last one: the rows of what is not here. */
int base_plan_finish(BasePlan *p, BaseAdd add, void *ctx, char **why) MUST_CHECK;
/* Is the host's object at this path (st NULL: it has none) as good as the carried one? */
bool base_is_same(const SnapInode *carried, const char *path, const struct stat *st);
/* Files and symlinks that come from the snapshot. */
uint64_t base_plan_used(const BasePlan *p);
void base_plan_free(BasePlan *p); /* NULL is allowed */

#endif
