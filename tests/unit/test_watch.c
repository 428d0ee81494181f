/* What bv_sandbox_watch tells of what happens to files, and when it ends. */
#include "tests/unit/sandbox_fixture.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>

typedef struct Events {
	char text[65536]; /* "created /a\n"..., without the leading directory */
	size_t len;
	const char *root;
} Events;

static const char *name_of(const Events *e, const char *path)
{
	size_t n = strlen(e->root);

	assert_true(strncmp(path, e->root, n) == 0);
	return path[n] == '/' ? path + n + 1 : ".";
}

static int note(void *ctx, const BvWatchEvent *event)
{
	static const struct {
		unsigned what;
		const char *name;
	} names[] = {{BV_WATCH_CREATED, "created"}, {BV_WATCH_MODIFIED, "modified"}, {BV_WATCH_REMOVED, "removed"}, {BV_WATCH_RENAMED, "renamed"}, {BV_WATCH_ATTRIB, "attrib"}, {BV_WATCH_OVERFLOW, "overflow"}};
	Events *e = ctx;
	const char *name = NULL;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].what == event->what)
			name = names[i].name;
	assert_non_null(name);
	assert_true(!event->old_path == (event->what != BV_WATCH_RENAMED));
	int n = snprintf(e->text + e->len, sizeof(e->text) - e->len, "%s %s", name, name_of(e, event->path));
	e->len += (size_t)n;
	n = snprintf(e->text + e->len, sizeof(e->text) - e->len, event->old_path ? " from %s\n" : "\n", event->old_path ? name_of(e, event->old_path) : "");
	e->len += (size_t)n;
	assert_true(e->len < sizeof(e->text));
	return 0;
}

static BvWatch *watch(BvSandbox *sb, const char *path, int recursive, int wanted)
{
	BvWatch *w = NULL;

	assert_int_equal(TRY(bv_sandbox_watch, sb, path, recursive, &w), wanted);
	assert_true(!w == (wanted < 0));
	return w;
}

/* Events until one is `last`, or nothing comes for 10 s. */
static void collect(BvWatch *w, Events *e, const char *root, const char *last)
{
	BvError *err = NULL;

	*e = (Events){.root = root};
	while (!strstr(e->text, last)) {
		int r = bv_watch_read(w, 10000, note, e, &err);
		if (r <= 0)
			fail_msg("%d %s; no '%s' in:\n%s", r, bv_error_message(err), last, e->text);
	}
}

static void expect(const Events *e, const char *line)
{
	char whole[300];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	if (strncmp(e->text, whole + 1, strlen(whole) - 1) != 0 && !strstr(e->text, whole))
		fail_msg("no '%s' in:\n%s", line, e->text);
}

static void each_change_of_a_directory_is_told(void **state)
{
	BvSandbox *sb = create_plain();
	Events e;

	(void)state;
	guest(sb, "mkdir dir dir/sub other; touch dir/a dir/c other/x", "");
	BvWatch *w = watch(sb, at("dir"), 0, 0);
	guest(sb, "echo 1 > dir/new; chmod 600 dir/a; mv dir/a dir/b; mv other/x dir/x; mv dir/c other/c; rm dir/b; mkdir dir/d; touch dir/sub/deeper; rmdir dir/d; ln -s x dir/last", "");
	collect(w, &e, at("dir"), "created last\n");
	assert_string_equal(e.text, "created new\nmodified new\nattrib a\nrenamed b from a\ncreated x\nremoved c\nremoved b\ncreated d\nremoved d\ncreated last\n");
	bv_watch_close(w);
	discard(sb);
}

static void functions_of_the_library_are_told_as_commands_are(void **state)
{
	BvSandbox *sb = create_plain();
	Events e;

	(void)state;
	assert_int_equal(TRY(bv_sandbox_make_dir, sb, at("dir"), 0, 0755), 0);
	BvWatch *w = watch(sb, at("dir"), 1, 0);
	assert_int_equal(WRITE(sb, at("dir/a"), "x", 0), 0);
	assert_int_equal(TRY(bv_sandbox_rename_file, sb, at("dir/a"), at("dir/b"), 0), 0);
	assert_int_equal(TRY(bv_sandbox_remove_file, sb, at("dir/b"), 0), 0);
	collect(w, &e, at("dir"), "removed b\n");
	assert_string_equal(e.text, "created a\nmodified a\nrenamed b from a\nremoved b\n");
	bv_watch_close(w);
	discard(sb);
}

static void a_tree_is_watched_as_it_grows_and_moves(void **state)
{
	BvSandbox *sb = create_plain();
	Events e;

	(void)state;
	mkdir(at("tree"), 0755);
	mkdir(at("tree/of-the-host"), 0755);
	put_host("tree/of-the-host/file", "x");
	guest(sb, "mkdir -p tree/a/b outside/p/q; ln -s ../outside tree/link", "");
	BvWatch *w = watch(sb, at("tree"), 1, 0);
	guest(sb, "echo y > tree/of-the-host/file; touch outside/unseen; mkdir -p tree/n/m/o; touch tree/n/m/o/deep; mv tree/a tree/z; touch tree/z/b/after; mv outside/p tree/p; touch tree/p/q/r", "");
	collect(w, &e, at("tree"), "created p/q/r\n");
	expect(&e, "modified of-the-host/file");
	expect(&e, "created n");
	expect(&e, "created n/m");
	expect(&e, "created n/m/o");
	expect(&e, "created n/m/o/deep");
	expect(&e, "renamed z from a");
	expect(&e, "created z/b/after");
	expect(&e, "created p");
	expect(&e, "created p/q");
	assert_null(strstr(e.text, "unseen"));
	guest(sb, "mv tree/z outside/z; touch outside/z/b/gone; rm -r tree/p; touch tree/last", "");
	collect(w, &e, at("tree"), "created last\n");
	expect(&e, "removed z");
	expect(&e, "removed p/q/r");
	expect(&e, "removed p");
	assert_null(strstr(e.text, "gone"));
	bv_watch_close(w);
	discard(sb);
	unlink(at("tree/of-the-host/file"));
	rmdir(at("tree/of-the-host"));
	rmdir(at("tree"));
}

static void a_file_can_be_watched_itself(void **state)
{
	BvSandbox *sb = create_plain();
	BvError *err = NULL;
	Events e;

	(void)state;
	guest(sb, "echo 1 > file; ln -s file link", "");
	BvWatch *w = watch(sb, at("link"), 1, 0); /* the root is followed */
	guest(sb, "echo 2 >> file; chmod 600 file; mv file moved", "");
	collect(w, &e, at("link"), "removed .\n");
	assert_string_equal(e.text, "modified .\nattrib .\nremoved .\n");
	assert_int_equal(bv_watch_read(w, 10000, note, &e, &err), -ENOENT);
	assert_int_equal(bv_watch_read(w, 0, note, &e, &err), -ENOENT); /* and so on */
	bv_error_free(err);
	bv_watch_close(w);
	discard(sb);
}

static void what_cannot_be_watched_is_said_at_once(void **state)
{
	BvSandbox *sb = create_plain();

	(void)state;
	guest(sb, "ln -s loop loop; touch file", "");
	watch(sb, "relative", 1, -EINVAL);
	watch(sb, at("missing"), 1, -ENOENT);
	watch(sb, at("loop"), 1, -ELOOP);
	watch(sb, at("file/x"), 0, -ENOTDIR);
	bv_watch_close(NULL);
	discard(sb);
}

static int stop_at_two(void *ctx, const BvWatchEvent *event)
{
	(void)event;
	return ++*(int *)ctx == 2 ? 42 : 0;
}

static void a_reader_waits_as_long_as_it_says_and_may_stop(void **state)
{
	BvSandbox *sb = create_plain();
	BvWatch *w = watch(sb, host, 0, 0);
	struct pollfd p = {.fd = bv_watch_fd(w), .events = POLLIN};
	double began = seconds();
	int n = 0;
	Events e;

	(void)state;
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(bv_watch_read(w, 200, stop_at_two, &n, NULL), 0);
	assert_true(seconds() - began >= 0.19);
	guest(sb, "touch a b c", "");
	assert_int_equal(poll(&p, 1, 10000), 1);
	int r = bv_watch_read(w, -1, stop_at_two, &n, NULL);
	if (r == 1) /* the second one came later */
		r = bv_watch_read(w, -1, stop_at_two, &n, NULL);
	assert_int_equal(r, 42);
	collect(w, &e, host, "created c\n");
	assert_null(strstr(e.text, "created a"));
	bv_watch_close(w);
	discard(sb);
}

/* Nobody reads: the kernel's queue runs full, and that is told; the watch goes on, also in what came meanwhile. */
static void an_overflow_is_told_and_survived(void **state)
{
	BvSandbox *sb = create_plain();
	Events *e = calloc(1, sizeof(*e));
	BvError *err = NULL;
	bool over = false;
	int code;

	(void)state;
	guest(sb, "mkdir dir; touch dir/f", "");
	BvWatch *w = watch(sb, at("dir"), 1, 0);
	bv_free(guest_in(sb, (const char *const[]){"python3", "-c", "import os\nfor i in range(12000):\n os.chmod('dir/f', 0o600); os.utime('dir')\nos.mkdir('dir/late')", NULL}, &code));
	assert_int_equal(code, 0);
	while (!over) {
		*e = (Events){.root = at("dir")};
		int r = bv_watch_read(w, 10000, note, e, &err);
		assert_true(r > 0);
		over = strstr(e->text, "overflow .\n");
	}
	while (bv_watch_read(w, 500, note, e, &err) > 0)
		*e = (Events){.root = at("dir")};
	guest(sb, "touch dir/late/x", "");
	collect(w, e, at("dir"), "created late/x\n");
	bv_watch_close(w);
	bv_error_free(err);
	free(e);
	discard(sb);
}

static int find_watcher(void *ctx, const BvProcessInfo *info)
{
	assert_string_equal(info->comm, "bvisor-watch");
	assert_true(info->args[0] && strcmp(info->args[0], "bvisor-watch") == 0 && !info->args[1]);
	*(pid_t *)ctx = info->pid;
	return 0;
}

static void its_process_ends_with_it_and_it_with_its_process(void **state)
{
	BvSandbox *sb = create_plain();
	pid_t pid = 0;
	Events e = {.root = host};
	BvError *err = NULL;

	(void)state;
	BvWatch *w = watch(sb, host, 1, 0);
	assert_int_equal(bv_sandbox_ps(sb, find_watcher, &pid, NULL), 0);
	assert_true(pid > 0);
	bv_watch_close(w);
	for (int i = 0; i < 1000 && kill(pid, 0) == 0; i++)
		usleep(10000);
	assert_int_equal(kill(pid, 0), -1);
	w = watch(sb, host, 1, 0);
	assert_int_equal(bv_sandbox_kill(sb, SIGKILL, NULL), 0);
	assert_int_equal(bv_watch_read(w, 10000, note, &e, &err), -ECANCELED);
	bv_watch_close(w);
	w = watch(sb, host, 1, 0);
	assert_int_equal(bv_sandbox_stop(sb, NULL), 0);
	int r = bv_watch_read(w, 10000, note, &e, &err);
	assert_true(r == -ECONNRESET || r == -ECANCELED);
	bv_watch_close(w);
	bv_error_free(err);
	discard(sb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_change_of_a_directory_is_told),
		cmocka_unit_test(functions_of_the_library_are_told_as_commands_are),
		cmocka_unit_test(a_tree_is_watched_as_it_grows_and_moves),
		cmocka_unit_test(a_file_can_be_watched_itself),
		cmocka_unit_test(what_cannot_be_watched_is_said_at_once),
		cmocka_unit_test(a_reader_waits_as_long_as_it_says_and_may_stop),
		cmocka_unit_test(an_overflow_is_told_and_survived),
		cmocka_unit_test(its_process_ends_with_it_and_it_with_its_process),
	};

	return cmocka_run_group_tests(tests, set_up_store, tear_down_store);
}
