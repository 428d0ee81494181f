/* tests/unit/blob_place.h - a store of one backend in a scratch directory, for tests that run for every row of the registry (run_for_all). */
#ifndef TESTS_UNIT_BLOB_PLACE_H
#define TESTS_UNIT_BLOB_PLACE_H

#include "backends/blob.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

typedef struct Place {
	const BlobOps *ops;
	char dir[96];	/* scratch, removed afterwards */
	char path[128]; /* where the store is */
	BlobStore *store;
} Place;

static inline const char *base_dir(const BlobOps *ops)
{
	return strcmp(ops->scheme, "tmpfs") == 0 ? "/dev/shm" : "/var/tmp";
}

static inline void reopen(Place *p, unsigned flags)
{
	char *err = NULL;
	int r;

	blob_close(p->store);
	p->store = NULL;
	r = p->ops->open(p->path, flags, &p->store, &err);
	if (r < 0)
		fail_msg("open %s: %d %s", p->path, r, err ? err : "(no message)");
	assert_null(err);
	assert_ptr_equal(p->store->ops, p->ops);
}

static inline int setup(void **state)
{
	Place *p = calloc(1, sizeof *p);

	p->ops = *state;
	snprintf(p->dir, sizeof p->dir, "%s/bvisor-conf-XXXXXX", base_dir(p->ops));
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof p->path, "%s/a/store", p->dir);
	reopen(p, BLOB_OPEN_CREATE);
	*state = p;
	return 0;
}

static inline int teardown(void **state)
{
	Place *p = *state;

	blob_close(p->store);
	assert_int_equal(bv_remove_tree_at(AT_FDCWD, p->dir), 0);
	free(p);
	return 0;
}

#define T(f) {#f, f, setup, teardown, NULL}

/* How many groups failed. */
static inline int run_for_all(const struct CMUnitTest *body, size_t n)
{
	struct CMUnitTest *tests = calloc(n, sizeof *tests);
	int failed = 0;

	assert_non_null(tests);
	for (const BlobOps *const *row = blob_ops_all(); *row; row++) {
		memcpy(tests, body, n * sizeof *tests);
		for (size_t i = 0; i < n; i++)
			tests[i].initial_state = (void *)(uintptr_t)*row;
		printf("backend %s\n", (*row)->scheme);
		failed += _cmocka_run_group_tests((*row)->scheme, tests, n, NULL, NULL);
	}
	free(tests);
	return failed;
}

#endif
