/* Files of a sandbox, changed from outside: each does what a command of the sandbox would, with its errors, and nothing to the host. */
#include "tests/unit/sandbox_fixture.h"

typedef struct Seen {
	BvEntry entry;
	char path[512], name[256], target[512];
	int visits;
} Seen;

static int see(void *ctx, const BvEntry *e)
{
	Seen *s = ctx;

	s->entry = *e;
	snprintf(s->path, sizeof(s->path), "%s", e->path);
	snprintf(s->name, sizeof(s->name), "%s", e->name);
	snprintf(s->target, sizeof(s->target), "%s", e->target ? e->target : "");
	s->visits++;
	return 7;
}

static int stat_of(BvSandbox *sb, const char *path, unsigned flags, Seen *s)
{
	*s = (Seen){0};
	return TRY(bv_sandbox_stat, sb, path, flags, see, s);
}

static void a_written_file_is_there_for_commands_and_in_the_diff_alone(void **state)
{
	BvSandbox *sb = create_plain();
	int fd = -1;
	char buf[16] = "";

	(void)state;
	put_host("file", "host\n");
	assert_int_equal(WRITE(sb, at("file"), "new\n", 0), 0);
	assert_int_equal(WRITE(sb, at("made"), "", 0), 0);
	guest(sb, "cat file; stat -c %s:%a made", "new\n0:644\n");
	assert_int_equal(bv_sandbox_open_file(sb, at("file"), &fd, NULL), 0);
	assert_int_equal(read(fd, buf, sizeof(buf)), 4);
	close(fd);
	assert_int_equal(access(at("made"), F_OK), -1);
	fd = open(at("file"), O_RDONLY);
	assert_int_equal(read(fd, buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "host\n", 5);
	close(fd);
	unlink(at("file"));
	discard(sb);
}

static void writing_keeps_the_object_and_appending_its_content(void **state)
{
	BvSandbox *sb = create_plain();
	Seen before, after;

	(void)state;
	guest(sb, "echo 12345 > old; chmod 600 old; ln old other; ln -s old link", "");
	assert_int_equal(stat_of(sb, at("old"), 0, &before), 7);
	assert_int_equal(WRITE(sb, at("link"), "ab", 0), 0);
	assert_int_equal(WRITE(sb, at("other"), "cd", BV_FILE_APPEND), 0);
	assert_int_equal(stat_of(sb, at("old"), 0, &after), 7);
	assert_true(before.entry.ino == after.entry.ino && before.entry.mode == after.entry.mode && after.entry.bytes == 4);
	guest(sb, "cat old", "abcd");
	discard(sb);
}

static void bytes_and_names_are_bytes(void **state)
{
	BvSandbox *sb = create_plain();
	const size_t size = 3 << 20;
	unsigned char *data = malloc(size);
	const char *names[] = {"quote\"back\\slash", "new\nline", "\xff\xfe", "\xe2\x82\xac", " ", "%s%n", "{}"};
	FILE *f = fopen(at("same"), "w");

	(void)state;
	assert_true(data && f);
	for (size_t i = 0; i < size; i++)
		data[i] = (unsigned char)(i * 2654435761U >> 13);
	fwrite(data, 1, size, f);
	fclose(f);
	assert_int_equal(TRY(bv_sandbox_write_file, sb, at("large"), data, size, 0, 0600), 0);
	guest(sb, "cmp large same && stat -c %a large", "600\n");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		Seen s;
		assert_int_equal(WRITE(sb, at(names[i]), names[i], BV_FILE_EXCLUSIVE), 0);
		assert_int_equal(stat_of(sb, at(names[i]), 0, &s), 7);
		assert_string_equal(s.name, names[i]);
		assert_int_equal(s.entry.bytes, strlen(names[i]));
	}
	assert_int_equal(TRY(bv_sandbox_write_file, sb, at("zero"), "a\0b", 3, 0, 0600), 0);
	guest(sb, "tr '\\000' Z < zero; rm zero large; ls | wc -l", "aZb9\n");
	unlink(at("same"));
	free(data);
	discard(sb);
}

static void the_umask_and_missing_parents_are_as_of_a_command(void **state)
{
	BvSandbox *sb = create_plain();

	(void)state;
	umask(027);
	assert_int_equal(WRITE(sb, at("a/b/c/file"), "x", 0), -ENOENT);
	assert_int_equal(TRY(bv_sandbox_write_file, sb, at("a/b/c/file"), "x", 1, BV_FILE_PARENTS, 0666), 0);
	assert_int_equal(TRY(bv_sandbox_make_dir, sb, at("d/e"), 0, 0777), -ENOENT);
	assert_int_equal(TRY(bv_sandbox_make_dir, sb, at("d/e"), BV_FILE_PARENTS, 0700), 0);
	assert_int_equal(TRY(bv_sandbox_make_dir, sb, at("d/e"), BV_FILE_PARENTS, 0777), 0);
	assert_int_equal(TRY(bv_sandbox_make_dir, sb, at("d/e"), 0, 0777), -EEXIST);
	assert_int_equal(TRY(bv_sandbox_make_dir, sb, at("a/b/c/file"), BV_FILE_PARENTS, 0777), -EEXIST);
	assert_int_equal(TRY(bv_sandbox_make_dir, sb, at("a/b/c/file/x"), BV_FILE_PARENTS, 0777), -ENOTDIR);
	assert_int_equal(TRY(bv_sandbox_make_dir, sb, "/", BV_FILE_PARENTS, 0777), 0);
	assert_int_equal(TRY(bv_sandbox_make_dir, sb, at("t/u/"), BV_FILE_PARENTS, 0777), 0);
	umask(022);
	guest(sb, "stat -c '%n %a' a a/b/c/file d d/e t/u", "a 750\na/b/c/file 640\nd 750\nd/e 700\nt/u 750\n");
	discard(sb);
}

static void errors_are_those_of_the_system_calls(void **state)
{
	BvSandbox *sb = create_plain();
	char name[300], longest[5000];

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	memset(longest, '/', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	guest(sb, "mkdir dir dir/sub full; touch file dir/x; ln -s loop loop; ln -s nowhere dangling; mkfifo fifo; cp /bin/sleep program; ./program 60 </dev/null >/dev/null 2>&1 &", "");
	assert_int_equal(WRITE(sb, "relative", "", 0), -EINVAL);
	assert_int_equal(WRITE(sb, "", "", 0), -EINVAL);
	assert_int_equal(WRITE(sb, at("f"), "", BV_FILE_RECURSIVE), -EINVAL);
	assert_int_equal(TRY(bv_sandbox_make_dir, sb, at("f"), BV_FILE_APPEND, 0777), -EINVAL);
	assert_int_equal(TRY(bv_sandbox_remove_file, sb, at("f"), 64), -EINVAL);
	assert_int_equal(TRY(bv_sandbox_rename_file, sb, at("file"), "x", 0), -EINVAL);
	assert_int_equal(WRITE(sb, at(name), "", 0), -ENAMETOOLONG);
	assert_int_equal(WRITE(sb, longest, "", 0), -ENAMETOOLONG);
	assert_int_equal(WRITE(sb, at("dir"), "", 0), -EISDIR);
	assert_int_equal(WRITE(sb, at("file/x"), "", BV_FILE_PARENTS), -ENOTDIR);
	assert_int_equal(WRITE(sb, at("loop"), "", 0), -ELOOP);
	assert_int_equal(WRITE(sb, at("file"), "", BV_FILE_EXCLUSIVE), -EEXIST);
	assert_int_equal(WRITE(sb, at("dangling"), "", BV_FILE_EXCLUSIVE), -EEXIST);
	assert_int_equal(WRITE(sb, at("fifo"), "x", 0), -ENXIO);
	assert_int_equal(WRITE(sb, at("program"), "x", 0), -ETXTBSY);
	assert_int_equal(WRITE(sb, "/proc/version", "x", 0), -EACCES);
	assert_int_equal(WRITE(sb, "/dev/null", "x", 0), 0);
	assert_int_equal(TRY(bv_sandbox_remove_file, sb, at("dir"), 0), -ENOTEMPTY);
	assert_int_equal(TRY(bv_sandbox_remove_file, sb, at("missing"), BV_FILE_RECURSIVE), -ENOENT);
	assert_int_equal(TRY(bv_sandbox_remove_file, sb, "/", BV_FILE_RECURSIVE), -EBUSY);
	assert_int_equal(TRY(bv_sandbox_remove_file, sb, at("dir/sub/.."), BV_FILE_RECURSIVE), -EINVAL);
	assert_int_equal(TRY(bv_sandbox_remove_file, sb, at("dir/."), BV_FILE_RECURSIVE), -EINVAL);
	assert_int_equal(TRY(bv_sandbox_rename_file, sb, at("missing"), at("x"), 0), -ENOENT);
	assert_int_equal(TRY(bv_sandbox_rename_file, sb, at("file"), at("full"), 0), -EISDIR);
	assert_int_equal(TRY(bv_sandbox_rename_file, sb, at("dir"), at("dir/sub/x"), 0), -EINVAL);
	assert_int_equal(TRY(bv_sandbox_rename_file, sb, at("full"), at("dir"), 0), -ENOTEMPTY);
	guest(sb, "ls; ls dir", "dangling\ndir\nfifo\nfile\nfull\nloop\nprogram\nsub\nx\n");
	discard(sb);
}

static void a_rename_is_one_step_over_what_is_there(void **state)
{
	BvSandbox *sb = create_plain();

	(void)state;
	guest(sb, "echo 1 > one; echo 2 > two; mkdir empty dir; touch dir/x; ln -s two link", "");
	assert_int_equal(TRY(bv_sandbox_rename_file, sb, at("one"), at("two"), BV_FILE_NO_REPLACE), -EEXIST);
	assert_int_equal(TRY(bv_sandbox_rename_file, sb, at("one"), at("two"), 0), 0);
	assert_int_equal(TRY(bv_sandbox_rename_file, sb, at("dir"), at("empty"), 0), 0);
	assert_int_equal(TRY(bv_sandbox_rename_file, sb, at("link"), at("moved"), BV_FILE_NO_REPLACE), 0);
	guest(sb, "cat two; readlink moved; ls . empty", "1\ntwo\n.:\nempty\nmoved\ntwo\n\nempty:\nx\n");
	discard(sb);
}

static void stat_tells_what_a_command_sees(void **state)
{
	BvSandbox *sb = create_plain();
	char wanted[400];
	Seen s;

	(void)state;
	guest(sb, "printf 123 > file; chmod 4711 file; touch -d @1000000000.5 file; ln file other; mkdir dir; ln -s file link; ln -s missing dangling", "");
	assert_int_equal(stat_of(sb, below(host, "/dir/.././file"), 0, &s), 7);
	assert_string_equal(s.path, at("file"));
	assert_string_equal(s.name, "file");
	assert_true(s.visits == 1 && !s.entry.target && !s.entry.origin && s.entry.mtime_sec == 1000000000 && s.entry.mtime_nsec == 500000000);
	snprintf(wanted, sizeof(wanted), "%x %u %u %llu %llu %u\n", s.entry.mode, s.entry.uid, s.entry.gid, (unsigned long long)s.entry.bytes, (unsigned long long)s.entry.ino, s.entry.links);
	guest(sb, "stat -c '%f %u %g %s %i %h' file", wanted);
	assert_true(S_ISREG(s.entry.mode) && (s.entry.mode & 07777) == 04711 && s.entry.bytes == 3 && s.entry.links == 2);
	assert_int_equal(stat_of(sb, at("link"), 0, &s), 7);
	assert_true(S_ISREG(s.entry.mode) && !s.entry.target);
	assert_int_equal(stat_of(sb, at("link"), BV_FILE_NO_FOLLOW, &s), 7);
	assert_true(S_ISLNK(s.entry.mode) && strcmp(s.target, "file") == 0);
	assert_int_equal(stat_of(sb, at("dangling"), 0, &s), -ENOENT);
	assert_int_equal(stat_of(sb, at("dangling"), BV_FILE_NO_FOLLOW, &s), 7);
	assert_int_equal(stat_of(sb, at("dir"), 0, &s), 7);
	assert_true(S_ISDIR(s.entry.mode));
	assert_int_equal(stat_of(sb, "/", 0, &s), 7);
	assert_string_equal(s.name, "/");
	discard(sb);
}

static void a_tree_is_removed_without_what_its_links_lead_to(void **state)
{
	BvSandbox *sb = create_plain();

	(void)state;
	mkdir(at("tree"), 0755);
	put_host("tree/of-the-host", "x");
	guest(sb, "mkdir keep; touch keep/file; ln -s ../keep tree/link; ln -s keep top; for i in 1 2 3 4 5 6 7 8 9; do mkdir -p tree/$i/a/b tree/$i/c; touch tree/$i/a/b/x tree/$i/y; done\n"
		  "for i in $(seq 3000); do echo > tree/9/c/$i; done",
	      "");
	assert_int_equal(TRY(bv_sandbox_remove_file, sb, at("top"), BV_FILE_RECURSIVE), 0);
	assert_int_equal(TRY(bv_sandbox_remove_file, sb, at("tree///"), BV_FILE_RECURSIVE), 0);
	guest(sb, "ls . keep", ".:\nkeep\n\nkeep:\nfile\n");
	assert_int_equal(access(at("tree/of-the-host"), F_OK), 0);
	unlink(at("tree/of-the-host"));
	rmdir(at("tree"));
	discard(sb);
}

/* Deeper than a path can say, and than there are descriptors. */
static void a_deep_tree_is_removed(void **state)
{
	BvSandbox *sb = create_plain();
	int code;
	char *out = guest_in(sb, (const char *const[]){"python3", "-c", "import os\nfor i in range(3000):\n os.mkdir('d'); os.chdir('d')\nopen('f', 'w')", NULL}, &code);

	(void)state;
	bv_free(out);
	assert_int_equal(code, 0);
	assert_int_equal(TRY(bv_sandbox_remove_file, sb, at("d"), BV_FILE_RECURSIVE), 0);
	guest(sb, "ls", "");
	discard(sb);
}

static void a_read_only_sandbox_refuses_all(void **state)
{
	BvCreateOptions o = BV_CREATE_OPTIONS_INIT;
	Seen s;

	(void)state;
	put_host("file", "x");
	o.flags = BV_CREATE_READ_ONLY;
	BvSandbox *sb = create_with(&o);
	assert_int_equal(WRITE(sb, at("file"), "y", 0), -EROFS);
	assert_int_equal(WRITE(sb, at("a/b"), "y", BV_FILE_PARENTS), -EROFS);
	assert_int_equal(TRY(bv_sandbox_make_dir, sb, at("dir"), 0, 0777), -EROFS);
	assert_int_equal(TRY(bv_sandbox_remove_file, sb, at("file"), 0), -EROFS);
	assert_int_equal(TRY(bv_sandbox_rename_file, sb, at("file"), at("other"), 0), -EROFS);
	assert_int_equal(stat_of(sb, at("file"), 0, &s), 7);
	discard(sb);
	unlink(at("file"));
}

static void grants_reach_the_host_and_hidden_names_are_nowhere(void **state)
{
	BvCreateOptions o = BV_CREATE_OPTIONS_INIT;
	const char *rw[] = {at("rw"), NULL}, *hide[] = {at("secret"), NULL};
	Seen s;

	(void)state;
	mkdir(at("rw"), 0755);
	mkdir(at("secret"), 0755);
	put_host("secret/key", "x");
	o.rw = rw;
	o.hide = hide;
	BvSandbox *sb = create_with(&o);
	assert_int_equal(WRITE(sb, at("rw/a/made"), "y", BV_FILE_PARENTS), 0);
	assert_int_equal(access(at("rw/a/made"), F_OK), 0);
	assert_int_equal(WRITE(sb, at("inside"), "y", 0), 0);
	assert_int_equal(TRY(bv_sandbox_rename_file, sb, at("inside"), at("rw/inside"), 0), -EXDEV);
	assert_int_equal(TRY(bv_sandbox_remove_file, sb, at("rw/a"), BV_FILE_RECURSIVE), 0);
	assert_int_equal(access(at("rw/a"), F_OK), -1);
	assert_int_equal(stat_of(sb, at("secret/key"), 0, &s), -ENOENT);
	assert_int_equal(TRY(bv_sandbox_remove_file, sb, at("secret"), BV_FILE_RECURSIVE), -ENOENT);
	assert_int_equal(access(at("secret/key"), F_OK), 0);
	discard(sb);
	unlink(at("secret/key"));
	rmdir(at("secret"));
	rmdir(at("rw"));
}

static void limits_hold(void **state)
{
	BvCreateOptions o = BV_CREATE_OPTIONS_INIT;
	BvLimits limits = BV_LIMITS_INIT;
	const size_t size = 16 << 20;
	char *data = calloc(1, size);

	(void)state;
	limits.disk = 8 << 20;
	limits.pids = 3;
	limits.flags = BV_LIMITS_BEST_EFFORT;
	o.limits = &limits;
	BvSandbox *sb = create_with(&o);
	BvProcess *hog = attacker(sb, (const char *const[]){"/bin/sh", "-c", "sleep 60 & echo x; sleep 60", NULL});
	assert_int_equal(TRY(bv_sandbox_write_file, sb, at("large"), data, size, 0, 0644), -EDQUOT);
	assert_int_equal(TRY(bv_sandbox_write_file, sb, at("small"), data, 4 << 20, 0, 0644), 0); /* with as many processes as may be */
	assert_int_equal(TRY(bv_sandbox_write_file, sb, at("small"), data, 6 << 20, BV_FILE_APPEND, 0644), -EDQUOT);
	end(hog);
	assert_int_equal(bv_sandbox_kill(sb, 9, NULL), 0);
	guest(sb, "stat -c '%n %s' *", "large 0\nsmall 4194304\n");
	discard(sb);
	free(data);
}

static void a_fake_root_owns_what_is_made_for_it(void **state)
{
	BvCreateOptions o = BV_CREATE_OPTIONS_INIT;
	Seen s;

	(void)state;
	o.flags = BV_CREATE_FAKE_ROOT;
	BvSandbox *sb = create_with(&o);
	assert_int_equal(WRITE(sb, at("file"), "x", 0), 0);
	guest(sb, "stat -c %u:%g file; chown 12:34 file", "0:0\n");
	assert_int_equal(WRITE(sb, at("file"), "y", 0), 0);
	assert_int_equal(stat_of(sb, at("file"), 0, &s), 7);
	assert_true(s.entry.uid == 12 && s.entry.gid == 34);
	discard(sb);
}

/* Where there may be one. */
static void a_pid_namespace_makes_no_difference(void **state)
{
	BvCreateOptions o = BV_CREATE_OPTIONS_INIT;
	BvLimits limits = BV_LIMITS_INIT;
	BvWatch *w = NULL;
	Seen s;

	(void)state;
	limits.flags = BV_LIMITS_BEST_EFFORT;
	o.flags = BV_CREATE_PIDNS;
	o.limits = &limits;
	BvSandbox *sb = create_with(&o);
	assert_int_equal(WRITE(sb, at("dir/file"), "x", BV_FILE_PARENTS), 0);
	assert_int_equal(stat_of(sb, at("dir/file"), 0, &s), 7);
	assert_int_equal(TRY(bv_sandbox_watch, sb, at("dir"), 1, &w), 0);
	BvProcess *killer = attacker(sb, (const char *const[]){"/bin/sh", "-c", "echo x; while :; do kill -STOP -1; done", NULL});
	assert_int_equal(TRY(bv_watch_read, w, 30000, NULL, NULL), -ECANCELED);
	end(killer);
	bv_watch_close(w);
	assert_int_equal(TRY(bv_sandbox_remove_file, sb, at("dir"), BV_FILE_RECURSIVE), 0);
	discard(sb);
}

static void a_stopped_sandbox_is_started(void **state)
{
	BvSandbox *sb = create_plain();
	Seen s;

	(void)state;
	assert_int_equal(WRITE(sb, at("file"), "x", 0), 0);
	assert_int_equal(bv_sandbox_stop(sb, NULL), 0);
	assert_int_equal(stat_of(sb, at("file"), 0, &s), 7);
	assert_int_equal(bv_sandbox_stop(sb, NULL), 0);
	assert_int_equal(WRITE(sb, at("file"), "x", BV_FILE_APPEND), 0);
	guest(sb, "cat file", "xx");
	discard(sb);
}

/* What runs no command does not make it look as if one did. */
static int count_process(void *ctx, const BvProcessInfo *info)
{
	(void)info;
	++*(int *)ctx;
	return 0;
}

static void nothing_is_left_of_a_call(void **state)
{
	BvSandbox *sb = create_plain();
	int processes = 0, before;

	(void)state;
	assert_int_equal(WRITE(sb, at("file"), "x", 0), 0);
	before = descriptors();
	for (int i = 0; i < 50; i++)
		assert_int_equal(WRITE(sb, at(i % 2 ? "file" : "missing/file"), "x", 0), i % 2 ? 0 : -ENOENT);
	assert_int_equal(descriptors(), before);
	assert_int_equal(bv_sandbox_ps(sb, count_process, &processes, NULL), 0);
	assert_int_equal(processes, 0);
	assert_int_equal(bv_sandbox_remove(sb, 0, NULL), 0);
	bv_sandbox_close(sb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_written_file_is_there_for_commands_and_in_the_diff_alone),
		cmocka_unit_test(writing_keeps_the_object_and_appending_its_content),
		cmocka_unit_test(bytes_and_names_are_bytes),
		cmocka_unit_test(the_umask_and_missing_parents_are_as_of_a_command),
		cmocka_unit_test(errors_are_those_of_the_system_calls),
		cmocka_unit_test(a_rename_is_one_step_over_what_is_there),
		cmocka_unit_test(stat_tells_what_a_command_sees),
		cmocka_unit_test(a_tree_is_removed_without_what_its_links_lead_to),
		cmocka_unit_test(a_deep_tree_is_removed),
		cmocka_unit_test(a_read_only_sandbox_refuses_all),
		cmocka_unit_test(grants_reach_the_host_and_hidden_names_are_nowhere),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(a_fake_root_owns_what_is_made_for_it),
		cmocka_unit_test(a_pid_namespace_makes_no_difference),
		cmocka_unit_test(a_stopped_sandbox_is_started),
		cmocka_unit_test(nothing_is_left_of_a_call),
	};

	return cmocka_run_group_tests(tests, set_up_store, tear_down_store);
}
