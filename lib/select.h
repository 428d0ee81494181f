/* lib/select.h - which changes the paths that a caller gave mean.
 *
 * A path means the change that is there, and those below. Changes are told by paths without symbolic links in their directories, callers write what they see: so the links in the directories of a
 * path are followed first, its last name is not. A slash, "." or ".." at its end has the last name followed, too. What does not exist stays as it was written.
 *
 * Where the changes are to be made on the host, whoever runs in the sandbox has no say in which are meant: a link is followed if the sandbox has it as the host has it (SELECT_AGREED), and
 * cannot have made it there. */
#ifndef LIB_SELECT_H
#define LIB_SELECT_H

#include "cowfs/cowfs.h"
#include "lib/internal.h"

typedef enum SelectRule { SELECT_AGREED /* links that both sources have */, SELECT_EITHER /* what the first lacks is looked for in the second */ } SelectRule;

/* Who knows of symbolic links: a view, a snapshot, or (zeroes) the host. */
typedef struct LinkSource {
	Cowfs *fs;
	BvSnapshot *snapshot;
	const char *const *writable; /* of a view: where its guests write to the host, so links there are theirs; may be NULL */
} LinkSource;

typedef struct Selected {
	const char *given;
	size_t met;		    /* changes that it means */
	char *above, *above_other;  /* a change whose directory it is in, though it means none itself; and, of a rename, its other path */
	BvChangeKind above_kind;
} Selected;

typedef struct Selection {
	Strv paths; /* where the given ones are; NULL: everything is selected */
	Selected *items; /* one for each */
	LinkSource sources[2];
	SelectRule rule;
} Selection;

/* `given` (NULL or empty: everything) must stay. -EINVAL (a relative path), -ENAMETOOLONG, -ENOMEM. */
int selection_init(Selection *s, const char *const *given, LinkSource first, LinkSource second, SelectRule rule, BvError **err) MUST_CHECK;
void selection_release(Selection *s); /* of zeroes, too */
/* Is a change selected? It is noted, for the two below. old_path: of what was renamed, else NULL. -ENOMEM, 1 or 0. */
int selection_takes(Selection *s, BvChangeKind kind, const char *path, const char *old_path) MUST_CHECK;
/* Why no change was selected by paths[i], as far as it can be told; the caller's. *out is NULL: nothing is known. -ENOMEM. */
int selection_why(const Selection *s, size_t i, char **out) MUST_CHECK;
/* Tells the caller of bv_sandbox_diff and its kin of each path that has selected nothing. */
int selection_tell(const Selection *s, const BvDiffOptions *o, BvError **err) MUST_CHECK;

#endif
