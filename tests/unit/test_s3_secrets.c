/* tests/unit/test_s3_secrets.c - after a store was opened with the keys of a profile, and while it is used, the secret is nowhere in what a core dump of the process would
 * have: all its writable memory is searched, save mappings that the kernel leaves out of dumps. The secret itself is kept only as its complement here. */
#include "backends/s3/store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/uio.h>

#include <cmocka.h>

#define LEN 40

static char dir[64];
static uint8_t complement[LEN];

static void write_secret(int fd)
{
	for (int i = 0; i < LEN; i++) {
		uint8_t c = (uint8_t)~complement[i];
		assert_int_equal(write(fd, &c, 1), 1);
	}
}

/* A few bytes are enough: parts of it count, too. */
static int count_in(const uint8_t *data, size_t n)
{
	int found = 0;

	for (size_t i = 0; i + 16 <= n; i++) {
		size_t k = 0;
		while (k < 16 && (data[i + k] ^ complement[8 + k]) == 0xff)
			k++;
		found += k == 16;
	}
	return found;
}

/* Reads a mapping through the kernel, in pieces that overlap. */
static int search(uintptr_t from, uintptr_t to)
{
	static uint8_t piece[65536];
	int found = 0;

	for (uintptr_t at = from; at < to; at += sizeof piece - 16) {
		struct iovec local = {piece, MIN(sizeof piece, to - at)}, remote = {(void *)at, MIN(sizeof piece, to - at)};
		ssize_t n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
		if (n > 0 && !(at <= (uintptr_t)piece && (uintptr_t)piece < at + (size_t)n))
			found += count_in(piece, (size_t)n);
	}
	return found;
}

/* How often the secret is in memory: in what a dump has, and in what it has not. */
static void count_secrets(int *dumped, int *hidden)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	char line[512], access[8] = "";
	uintptr_t from = 0, to = 0, a, b;

	*dumped = *hidden = 0;
	assert_non_null(maps);
	while (fgets(line, sizeof line, maps)) {
		if (sscanf(line, "%jx-%jx %7s", &a, &b, access) == 3) {
			from = a;
			to = b;
		} else if (strncmp(line, "VmFlags:", 8) == 0 && strncmp(access, "rw", 2) == 0) {
			*(strstr(line, " dd") ? hidden : dumped) += search(from, to);
		}
	}
	fclose(maps);
}

static int setup(void **state)
{
	CLEAN_FREE char *path = NULL;
	static const char *const unset[] = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_PROFILE"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(unset); i++)
		unsetenv(unset[i]);
	snprintf(dir, sizeof dir, "/var/tmp/bvisor-secret-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(getrandom(complement, sizeof complement, 0), sizeof complement);
	for (int i = 0; i < LEN; i++)
		complement[i] = (uint8_t) ~("abcdefghijklmnopqrstuvwxyz012345"[complement[i] % 32]);
	path = bv_asprintf("%s/credentials", dir);
	CLEAN_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	for (int i = 0; i < 200; i++) /* more than a page of others */
		dprintf(fd, "[other-%d]\naws_access_key_id = no\n", i);
	dprintf(fd, "[default]\naws_access_key_id = identity\naws_secret_access_key = ");
	write_secret(fd);
	dprintf(fd, "\n[last]\nregion = x\n");
	setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
	setenv("AWS_MAX_ATTEMPTS", "2", 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return bv_remove_tree_at(AT_FDCWD, dir);
}

static void the_secret_is_in_no_dump(void **state)
{
	ObjectStore *store = NULL;
	char *err = NULL;
	int dumped, hidden;

	(void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip(); /* their shadows are terabytes */
#endif
	assert_int_equal(object_s3_ops.open("//bucket?endpoint=http://127.0.0.1:9", false, &store, &err), 0);
	for (int i = 0; i < 3; i++) /* nobody listens there, but each attempt is signed */
		assert_int_equal(object_put(store, "name", "data", 4, 0, &err), -ECONNREFUSED);
	count_secrets(&dumped, &hidden);
	assert_int_equal(dumped, 0);
	assert_int_equal(hidden, 1); /* so the search finds what is there */
	assert_int_equal(count_in((const uint8_t *)err, strlen(err)), 0);
	object_close(store);
	count_secrets(&dumped, &hidden);
	assert_int_equal(dumped, 0);
	assert_int_equal(hidden, 0);
	free(err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(the_secret_is_in_no_dump, setup, teardown)};

	return cmocka_run_group_tests_name("secrets in memory", tests, NULL, NULL);
}
