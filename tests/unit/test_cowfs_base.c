/* tests/unit/test_cowfs_base.c - what a change remembers of the host's object that it replaced, so that apply can tell whether the host changed since. */
#include "tests/unit/cowfs_view.h"

typedef struct Found {
	const char *name;
	CowChange change;
	unsigned count;
} Found;

static int find_change(void *ctx, const CowChange *c)
{
	Found *found = ctx;

	if (strcmp(c->path, at(found->name)) == 0) {
		found->change = *c;
		found->count++;
	}
	return 0;
}

static CowChange change_of(const char *name)
{
	Found found = {.name = name};

	assert_int_equal(cowfs_changes(fs, false, find_change, &found), 0);
	assert_int_equal(found.count, 1);
	return found.change;
}

static struct stat host_stat(const char *name)
{
	struct stat st;

	assert_int_equal(lstat(at(name), &st), 0);
	return st;
}

static void assert_base(const CowIdentity *known, const struct stat *st)
{
	assert_true(known->known);
	assert_int_equal(known->dev, st->st_dev);
	assert_int_equal(known->ino, st->st_ino);
	assert_int_equal(known->size, st->st_size);
	assert_int_equal(known->mtime.tv_sec, st->st_mtim.tv_sec);
	assert_int_equal(known->mtime.tv_nsec, st->st_mtim.tv_nsec);
	assert_int_equal(known->ctime.tv_nsec, st->st_ctim.tv_nsec);
	assert_int_equal(known->mode, st->st_mode);
}

static void a_deletion_keeps_the_identity_of_what_was_deleted(void **state)
{
	struct stat was = host_stat("h/a");
	(void)state;
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/a"), 0), 0);
	for (int again = 0; again < 2; again++) {
		CowChange c = change_of("h/a");
		assert_int_equal(c.kind, COW_DELETED);
		assert_base(&c.base, &was);
		put_host("h/a", "the host writes it afterwards");
		reopen_view();
	}
}

static void a_replaced_file_keeps_the_identity_of_what_it_replaced(void **state)
{
	struct stat was = host_stat("h/a");
	(void)state;
	put("h/new", "new");
	assert_int_equal(cowfs_rename(fs, &req, NULL, at("h/new"), NULL, at("h/a"), 0), 0);
	reopen_view();
	CowChange c = change_of("h/a");
	assert_int_equal(c.kind, COW_MODIFIED);
	assert_base(&c.base, &was);
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/a"), 0), 0);
	c = change_of("h/a");
	assert_int_equal(c.kind, COW_DELETED);
	assert_base(&c.base, &was);
}

static void a_rename_over_a_host_file_reports_both(void **state)
{
	struct stat from, over;
	(void)state;
	from = host_stat("h/a");
	over = host_stat("h/sub/b");
	assert_int_equal(cowfs_rename(fs, &req, NULL, at("h/a"), NULL, at("h/sub/b"), 0), 0);
	reopen_view();
	CowChange c = change_of("h/sub/b");
	assert_int_equal(c.kind, COW_RENAMED);
	assert_base(&c.base, &from);
	assert_base(&c.over, &over);
}

static void a_file_that_moved_to_a_new_name_rests_on_nothing_there(void **state)
{
	struct stat was = host_stat("h/a");
	(void)state;
	put("h/a", "changed");
	assert_int_equal(cowfs_rename(fs, &req, NULL, at("h/a"), NULL, at("h/moved"), 0), 0);
	CowChange added = change_of("h/moved"), deleted = change_of("h/a");
	assert_int_equal(added.kind, COW_ADDED);
	assert_false(added.base.known);
	assert_int_equal(deleted.kind, COW_DELETED);
	assert_base(&deleted.base, &was);
}

static void a_directory_in_the_place_of_a_file_knows_the_file(void **state)
{
	struct stat was = host_stat("h/a");
	(void)state;
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/a"), 0), 0);
	assert_int_equal(cowfs_mkdir(fs, &req, NULL, at("h/a"), 0755), 0);
	reopen_view();
	CowChange c = change_of("h/a");
	assert_int_equal(c.kind, COW_TYPE_CHANGED);
	assert_base(&c.base, &was);
}

/* What apply does with a rename. */
static void apply_rename(const char *from, const char *to)
{
	assert_int_equal(rename(at(from), at(to)), 0);
}

static void a_renamed_directory_is_still_whole_after_the_host_renamed_it_too(void **state)
{
	CowAttr attr = {.set = COW_SET_MODE, .mode = 0600};
	struct statx st;
	(void)state;
	assert_int_equal(mkdir(at("h/sub/in"), 0755), 0);
	put_host("h/sub/in/c", "gamma");
	put_host("h/sub/d", "delta");
	assert_int_equal(cowfs_setattr(fs, &req, NULL, at("h/sub/in/c"), 0, &attr), 0); /* records below */
	assert_int_equal(cowfs_rename(fs, &req, NULL, at("h/sub"), NULL, at("h/dir"), 0), 0);
	apply_rename("h/sub", "h/dir");
	for (int again = 0; again < 3; again++) {
		if (again == 0)
			assert_int_equal(cowfs_commit(fs, false), 0); /* while it runs */
		else
			reopen_view();
		assert_text("h/dir/b", "beta");
		assert_text("h/dir/in/c", "gamma");
		assert_int_equal(stat_in("h/dir/in/c", &st), 0);
		assert_int_equal(st.stx_mode & 07777, 0600);
		assert_changes("M h/dir/in/c\n");
	}
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/dir/d"), 0), 0);
	assert_int_equal(stat_in("h/dir/d", &st), -ENOENT);
	reopen_view();
	assert_changes("D h/dir/d\nM h/dir/in/c\n");
}

static void a_stranger_in_the_new_place_is_not_taken_for_it(void **state)
{
	struct statx st;
	(void)state;
	assert_int_equal(cowfs_rename(fs, &req, NULL, at("h/sub"), NULL, at("h/dir"), 0), 0);
	assert_int_equal(cowfs_commit(fs, false), 0);
	apply_rename("h/sub", "h/elsewhere");
	assert_int_equal(mkdir(at("h/dir"), 0755), 0);
	put_host("h/dir/b", "a stranger");
	reopen_view();
	assert_int_equal(stat_in("h/dir/b", &st), -ENOENT);
}

static void removing_a_directory_that_was_applied_leaves_a_whiteout(void **state)
{
	struct statx st;
	(void)state;
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/sub/b"), 0), 0);
	assert_int_equal(cowfs_rename(fs, &req, NULL, at("h/sub"), NULL, at("h/dir"), 0), 0);
	apply_rename("h/sub", "h/dir");
	reopen_view();
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/dir"), AT_REMOVEDIR), 0);
	assert_int_equal(stat_in("h/dir", &st), -ENOENT);
	reopen_view();
	assert_int_equal(stat_in("h/dir", &st), -ENOENT);
	assert_changes("D h/dir\n");
}

static const CowAttr chmod_600 = {.set = COW_SET_MODE, .mode = 0600};

/* One that is gone, or cannot be looked at any more, hides no other. */
static void a_directory_of_the_host_may_become_anything(void **state)
{
	struct statx st;
	(void)state;
	for (int kind = 0; kind < 4; kind++) {
		assert_int_equal(cowfs_setattr(fs, &req, NULL, at("h/sub/b"), 0, &chmod_600), 0);
		put("h/z", "new");
		assert_int_equal(rename(at("h/sub"), at("h2")), 0);
		if (kind == 1)
			put_host("h/sub", "a file now");
		else if (kind > 1)
			assert_int_equal(symlink(kind == 2 ? "sub" : "none", at("h/sub")), 0);
		told[0] = '\0';
		assert_int_equal(cowfs_changes(fs, false, tell, NULL), 0);
		assert_non_null(strstr(told, " h/z\n"));
		assert_null(strstr(told, "h/sub/b"));
		assert_int_equal(stat_in("h/sub", &st), 0);
		assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/sub/b"), 0), 0);
		assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/sub"), AT_REMOVEDIR), 0);
		assert_int_equal(cowfs_close(TAKE_PTR(fs)), 0);
		assert_int_equal(unlink(at("meta.db")), 0);
		IGNORE_RESULT(unlink(at("meta.db-wal")));
		assert_int_equal(bv_remove_tree_at(AT_FDCWD, at("blobs")), 0);
		IGNORE_RESULT(unlink(at("h/sub")));
		assert_int_equal(rename(at("h2"), at("h/sub")), 0);
		assert_int_equal(open_view(COWFS_CREATE), 0);
	}
}

static void what_cannot_be_looked_at_is_told_and_hides_nothing(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip(); /* only root can become another user */
	put_host("h/sub/c", "gamma");
	put_host("h/sub/d", "delta");
	assert_int_equal(cowfs_setattr(fs, &req, NULL, at("h/sub/b"), 0, &chmod_600), 0);
	assert_int_equal(cowfs_unlink(fs, &req, NULL, at("h/sub/c"), 0), 0);
	assert_int_equal(cowfs_rename(fs, &req, NULL, at("h/sub/d"), NULL, at("h/d"), 0), 0);
	put("h/z", "new");
	assert_changes("R h/d < h/sub/d\nM h/sub/b\nD h/sub/c\nA h/z\n");
	assert_int_equal(chmod(base, 0755), 0);
	assert_int_equal(chmod(at("blobs"), 0755), 0);
	assert_int_equal(chmod(at("blobs/0"), 0755), 0);
	assert_int_equal(chmod(at("h/sub"), 0), 0);
	assert_int_equal(seteuid(65534), 0);
	told[0] = '\0';
	int rc = cowfs_changes(fs, false, tell, NULL);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(rc, 0);
	assert_non_null(strstr(told, "R h/d < h/sub/d\n"));
	assert_non_null(strstr(told, "M h/sub/b\nD h/sub/c\nA h/z\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_deletion_keeps_the_identity_of_what_was_deleted),
		CASE(a_replaced_file_keeps_the_identity_of_what_it_replaced),
		CASE(a_rename_over_a_host_file_reports_both),
		CASE(a_file_that_moved_to_a_new_name_rests_on_nothing_there),
		CASE(a_directory_in_the_place_of_a_file_knows_the_file),
		CASE(a_renamed_directory_is_still_whole_after_the_host_renamed_it_too),
		CASE(a_stranger_in_the_new_place_is_not_taken_for_it),
		CASE(removing_a_directory_that_was_applied_leaves_a_whiteout),
		CASE(a_directory_of_the_host_may_become_anything),
		CASE(what_cannot_be_looked_at_is_told_and_hides_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
