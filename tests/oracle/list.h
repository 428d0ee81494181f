/* tests/oracle/list.h - directory listings of the view, whole and in steps while the directory changes. */
#ifndef TESTS_ORACLE_LIST_H
#define TESTS_ORACLE_LIST_H

#include "tests/oracle/oracle.h"

void names_release(Names *names);
/* Lists a directory of the view in one go, sorted by name, without "." and "..". 0 or negative errno. */
int list_whole(World *w, const CowLoc *dir, int fd, Names *out);
int cow_loc_of_fd(World *w, int fd, CowLoc *loc);

/* A listing in steps on a directory slot: what was there from the first to the last step is shown exactly once. */
void list_start(World *w, int slot);
void list_step(World *w, int slot, size_t bytes);
void list_end(World *w, int slot);
void list_forget(Listing *listing);

#endif
