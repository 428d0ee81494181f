/* tests/unit/snap_fixture.h - made-up sandboxes for the tests of snapshots: contents by number and seed, snapshots of them, and the comparison. */
#ifndef TESTS_SNAP_FIXTURE_H
#define TESTS_SNAP_FIXTURE_H

#include "base/hmap.h"
#include "snapshot/snapshot.h"
#include "tests/unit/object_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

/* A sandbox: file i has the content of seed seeds[i] and size sizes[i]; seed 0: no such file. */
enum { FILES = 60 };
typedef struct World {
	uint64_t seeds[FILES];
	uint32_t sizes[FILES];
	uint32_t holes[FILES]; /* this many bytes at 1/3 of the file are a hole */
} World;

static inline uint64_t dice(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15ULL;
	return hash_u64(*state, 77);
}

/* Half random, half repeated, so that it is compressed. */
static inline uint8_t *content_of(uint64_t seed, size_t size, size_t hole)
{
	uint8_t *data = malloc(size + 8);

	for (size_t i = 0; i < size; i += 8) {
		uint64_t v = i / 64 % 2 ? seed : hash_u64(seed, i);
		memcpy(data + i, &v, 8);
	}
	memset(data + size / 3, 0, MIN(hole, size - size / 3));
	return data;
}

static inline int fd_of(uint64_t seed, size_t size, size_t hole)
{
	CLEAN_FREE uint8_t *data = content_of(seed, size, hole);
	int fd = memfd_create("content", MFD_CLOEXEC);
	size_t from = size / 3, to = from + MIN(hole, size - from);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(pwrite(fd, data, from, 0), (ssize_t)from);
	assert_int_equal(pwrite(fd, data + to, size - to, (off_t)to), (ssize_t)(size - to));
	return fd;
}

static inline void world_change(World *world, unsigned files, uint64_t *state)
{
	for (unsigned i = 0; i < files; i++) {
		size_t at = dice(state) % FILES;
		unsigned kind = dice(state) % 20;
		world->seeds[at] = kind == 0 ? 0 : 1 + dice(state) % 1000;
		world->sizes[at] = (uint32_t)(kind < 3 ? dice(state) % 100 : kind < 18 ? dice(state) % 20000 : 300000 + dice(state) % 900000);
		world->holes[at] = kind == 18 ? 100000 : 0;
	}
}

static inline size_t key_of(size_t file, char key[40])
{
	return (size_t)snprintf(key, 40, "file/%04zu", file * 7);
}

/* 0 or the first error; *id untouched on failure. Everything is given anew: what is the same is found out. */
static inline int snap_try(SnapStore *s, const World *world, const SnapId *parent, const char *ref, SnapId *id, char **err)
{
	SnapWriterConfig config = {.parent = parent, .threads = 2};
	uint64_t numbers[FILES];
	SnapWriter *w;
	int r = snap_writer_begin(s, &config, &w, err);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < FILES; i++) {
		if (!world->seeds[i])
			continue;
		if (i % 3) {
			r = snap_writer_add_fd(w, fd_of(world->seeds[i], world->sizes[i], world->holes[i]), &numbers[i]);
		} else {
			CLEAN_FREE uint8_t *data = content_of(world->seeds[i], world->sizes[i], world->holes[i]);
			r = snap_writer_add_bytes(w, data, world->sizes[i], &numbers[i]);
		}
	}
	for (size_t i = 0; r == 0 && i < FILES; i++) {
		const uint8_t *content = NULL;
		size_t len = 0;
		char key[40];
		if (!world->seeds[i])
			continue;
		r = snap_writer_content(w, numbers[i], &content, &len);
		if (r == 0)
			r = snap_writer_record(w, &(Record){.key = key, .key_len = key_of(i, key), .content = content, .content_len = len, .value = &world->seeds[i], .value_len = 8});
	}
	if (r == 0)
		r = snap_writer_field(w, "message", "hello", 5);
	if (r == 0)
		r = snap_writer_finish(w, ref, UINT64_MAX, id, NULL, err);
	else
		bv_fail(err, r, "%s", snap_writer_error(w) ? snap_writer_error(w) : strerror(-r));
	snap_writer_free(w);
	return r;
}

typedef struct Compare {
	SnapReader *r;
	const World *world;
	size_t next, count;
	char *err;
	int result;
} Compare;

/* Wrong data is a failed test; an error is what the comparison answers. */
static inline int compare_record(void *ctx, const Record *record)
{
	Compare *c = ctx;
	char key[40];
	uint8_t *data;
	size_t n;

	while (c->next < FILES && !c->world->seeds[c->next])
		c->next++;
	assert_true(c->next < FILES);
	size_t i = c->next++;
	assert_int_equal(record->key_len, key_of(i, key));
	assert_memory_equal(record->key, key, record->key_len);
	assert_int_equal(record->value_len, 8);
	assert_memory_equal(record->value, &c->world->seeds[i], 8);
	c->count++;
	int r = snap_reader_fetch_range(c->r, record->content, record->content_len, 0, UINT64_MAX, &data, &n, &c->err);
	if (r < 0)
		return r;
	CLEAN_FREE uint8_t *want = content_of(c->world->seeds[i], c->world->sizes[i], c->world->holes[i]);
	assert_int_equal(n, c->world->sizes[i]);
	assert_memory_equal(data, want, n);
	free(data);
	return 0;
}

/* 0: all is there and equal; else an error (with a message). */
static inline int snap_compare(SnapStore *s, const SnapId *id, const World *world, char **err)
{
	Compare c = {.world = world};
	int r = snap_reader_open(s, id, &c.r, err);

	if (r < 0)
		return r;
	r = snap_reader_walk(c.r, NULL, 0, compare_record, &c, &c.err);
	while (r == 0 && c.next < FILES)
		assert_false(world->seeds[c.next++]);
	if (r < 0)
		bv_fail(err, r, "%s", c.err ? c.err : "(no message)");
	free(c.err);
	snap_reader_close(c.r);
	return r;
}

static inline void assert_snap_equal(SnapStore *s, const SnapId *id, const World *world)
{
	char *err = NULL;
	int r = snap_compare(s, id, world, &err);

	if (r < 0)
		fail_msg("%d: %s", r, err);
}

static inline SnapId snap_take(SnapStore *s, const World *world, const SnapId *parent, const char *ref)
{
	char *err = NULL;
	SnapId id = {0};
	int r = snap_try(s, world, parent, ref, &id, &err);

	if (r < 0)
		fail_msg("%d: %s", r, err);
	return id;
}

#endif
