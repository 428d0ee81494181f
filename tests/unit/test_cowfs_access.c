/* tests/unit/test_cowfs_access.c - extended attributes of any size, and the host's ACLs for an ordinary user. */
#include "tests/unit/cowfs_view.h"

#include <endian.h>

#define BIG 60000

static int open_path(const char *path, int flags, const CowReq *as)
{
	struct open_how how = {.flags = (unsigned)flags};
	CowFile file = {.fd = -1};
	int rc = cowfs_openat(fs, as, NULL, path, &how, &file);

	if (rc == 0)
		close(file.fd);
	return rc;
}

static void a_copy_up_keeps_attributes_of_the_largest_size(void **state)
{
	static char value[BIG], back[BIG];
	char path[] = "/dev/shm/cowfs-xattr-XXXXXX";
	int fd = mkstemp(path);
	(void)state;
	assert_true(fd >= 0);
	memset(value, 'v', sizeof value);
	if (fsetxattr(fd, "user.big", value, sizeof value, 0) < 0) {
		close(fd);
		unlink(path);
		skip(); /* the kernel has no user attributes on tmpfs (before 6.6) */
	}
	close(fd);
	assert_int_equal(open_path(path, O_RDWR, &req), 0);
	assert_int_equal(removexattr(path, "user.big"), 0); /* the host's is not asked any more */
	reopen_view();
	assert_int_equal(cowfs_getxattr(fs, &req, NULL, path, 0, "user.big", back, sizeof back), BIG);
	assert_memory_equal(value, back, BIG);
	unlink(path);
}

static void a_copy_up_keeps_many_attributes(void **state)
{
	char name[64], list[16384];
	int n = 0;
	(void)state;
	/* as many as the host's file system takes */
	for (snprintf(name, sizeof name, "user.%050d", n); setxattr(at("h/a"), name, "x", 1, 0) == 0 && n < 200; n++)
		snprintf(name, sizeof name, "user.%050d", n + 1);
	assert_true(n > 1);
	put("h/a", "changed");
	reopen_view();
	assert_int_equal(cowfs_listxattr(fs, &req, NULL, at("h/a"), 0, list, sizeof list), 56 * n);
}

/* The binary form of "u::rw-,u:UID:perm,g::---,m::rwx,o::---". */
static void set_acl(const char *path, uid_t uid, unsigned perm)
{
	struct { uint32_t version; struct { uint16_t tag, perm; uint32_t id; } e[5]; } acl = {
		htole32(2), {{htole16(1), htole16(6), ~0U}, {htole16(2), htole16(perm), htole32(uid)}, {htole16(4), 0, ~0U}, {htole16(16), htole16(7), ~0U}, {htole16(32), 0, ~0U}}};

	assert_int_equal(setxattr(path, "system.posix_acl_access", &acl, sizeof acl, 0), 0);
}

static void the_hosts_acl_speaks_for_untouched_objects(void **state)
{
	const CowCred user = {.uid = 65534, .gid = 65534};
	const CowReq as = {.cred = &user, .may_block = true};
	(void)state;
	if (geteuid() != 0)
		skip(); /* only root can become another user */
	assert_int_equal(chmod(base, 0755), 0);
	put_host("h/other", "o");
	set_acl(at("h/a"), 65534, 6);
	set_acl(at("h/other"), 65534, 0);
	assert_int_equal(chmod(at("h/sub/b"), 0644), 0);
	set_acl(at("h/sub"), 65534, 7);
	assert_int_equal(chmod(at("blobs"), 0777), 0);
	assert_int_equal(seteuid(65534), 0);
	int readable = cowfs_access(fs, &as, NULL, at("h/a"), 0, R_OK | W_OK), refused = cowfs_access(fs, &as, NULL, at("h/other"), 0, R_OK);
	int opened = open_path(at("h/a"), O_RDONLY, &as), not_opened = open_path(at("h/other"), O_WRONLY, &as);
	int made = cowfs_mkdir(fs, &as, NULL, at("h/sub/made"), 0755);
	int not_made = cowfs_mkdir(fs, &as, NULL, at("h/made"), 0755);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(readable, 0);
	assert_int_equal(refused, -EACCES);
	assert_int_equal(opened, 0);
	assert_int_equal(not_opened, -EACCES);
	assert_int_equal(made, 0);
	assert_int_equal(not_made, -EACCES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_copy_up_keeps_attributes_of_the_largest_size),
		CASE(a_copy_up_keeps_many_attributes),
		CASE(the_hosts_acl_speaks_for_untouched_objects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
