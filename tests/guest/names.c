/* tests/guest/names.c - names and paths at their limits: 255 bytes, 4095 bytes, any byte but NUL and slash, chains of links.
 * COVERS: openat newfstatat mkdir rename unlink symlink readlink link */
#include "guest.h"

static void name_lengths(void)
{
	char name[300];

	memset(name, 'q', sizeof(name));
	for (size_t n = 254; n <= 257; n++) {
		name[n] = 0;
		LABEL(put(name, "x") ? 0 : -1, "create a name of %zu", n);
		LABEL(access(name, F_OK), "access %zu", n);
		LABEL(unlink(name), "unlink %zu", n);
		LABEL(mkdir(name, 0755), "mkdir %zu", n);
		LABEL(rename(name, "short"), "rename from %zu", n);
		LABEL(rename("short", name), "rename to %zu", n);
		LABEL(rmdir(name), "rmdir %zu", n);
		LABEL(symlink("file", name), "symlink %zu", n);
		LABEL(unlink(name), "unlink %zu", n);
		LABEL(link("file", name), "link %zu", n);
		LABEL(unlink(name), "unlink %zu", n);
		LABEL(mkfifo(name, 0600), "mkfifo %zu", n);
		LABEL(unlink(name), "unlink %zu", n);
		rmdir("short");
		name[n] = 'q';
	}
	memset(name, 'n', 255);
	name[255] = 0;
	ERR(chdir("names"));
	show(name);
	ERR(rename(name, "shorter"));
	ERR(rename("shorter", name));
	show(name);
	name[255] = 'n';
	name[256] = 0;
	ERR(access(name, F_OK));
	ERR(chdir(".."));
}

/* "./././file" of exactly n bytes. */
static void path_lengths(void)
{
	static char path[5000];

	for (size_t n = 4094; n <= 4097; n++) {
		memset(path, 0, sizeof(path));
		memset(path, '/', n - 4);
		path[0] = '.';
		memcpy(path + n - 4, "file", 4);
		LABEL(access(path, F_OK), "access path of %zu", n);
		LABEL(open(path, O_RDONLY), "open path of %zu", n);
		memcpy(path + n - 4, "newd", 4);
		LABEL(mkdir(path, 0755), "mkdir path of %zu", n);
		LABEL(rmdir(path), "rmdir path of %zu", n);
		LABEL(rename("file2", path), "rename to path of %zu", n);
		LABEL(rename(path, "file2"), "rename from path of %zu", n);
		LABEL(symlink(path, "long-target"), "symlink to path of %zu", n);
		LABEL(unlink("long-target"), "unlink %zu", n);
		LABEL(symlink("x", path), "symlink at path of %zu", n);
		LABEL(unlink(path), "unlink path of %zu", n);
	}
}

static void odd_bytes(void)
{
	const char *const odd[] = {"a\nb", "\xff\xfe", " ", "\t", "\x01", "\x7f", "-rf", "*", "..a", "...", "\\", "'", "\"", "%s", "a b", "caf\xc3\xa9", "\xc3", ".hidden", "~"};

	ERR(mkdir("odd", 0755));
	ERR(chdir("odd"));
	for (size_t i = 0; i < COUNT(odd); i++) {
		LABEL(put(odd[i], odd[i]) ? 0 : -1, "odd #%zu", i);
		show(odd[i]);
	}
	list(".");
	for (size_t i = 0; i < COUNT(odd); i++) {
		LABEL(rename(odd[i], "../names/moved"), "rename odd #%zu", i);
		LABEL(rename("../names/moved", odd[i]), "rename back #%zu", i);
		LABEL(unlink(odd[i]), "unlink odd #%zu", i);
	}
	ERR(chdir("../names"));
	list(".");
	show("new\nline");
	show("bad\xff\xfeutf8");
	ERR(chmod("bad\xff\xfeutf8", 0600));
	ERR(put("new\nline", "changed"));
	ERR(unlink(" space "));
	list(".");
	ERR(chdir(".."));
}

static void links(void)
{
	char name[32];

	for (int i = 0; i < 42; i++) {
		snprintf(name, sizeof(name), "chain%d", i);
		LABEL(access(name, F_OK), "chain of %d", 42 - i);
	}
	ERR(access("loop1", F_OK));
	ERR(access("loop1/x", F_OK));
	ERR(access("selfloop/x/y", F_OK));
	ERR(open("loop1", O_RDONLY | O_CREAT, 0600));
	ERR(open("selfloop", O_RDONLY | O_NOFOLLOW));
	ERR(mkdir("loop1/x", 0755));
	ERR(symlink("new41", "new40"));
	ERR(symlink("file", "new41"));
	for (int i = 39; i >= 0; i--) {
		char target[32];

		snprintf(name, sizeof(name), "new%d", i);
		snprintf(target, sizeof(target), "new%d", i + 1);
		if (symlink(target, name) < 0)
			printf("new%d: %s\n", i, errname(errno));
	}
	ERR(access("new0", F_OK));
	ERR(access("new1", F_OK));
	ERR(access("new2", F_OK));
	ERR(symlink("dirlink/sub/../../dirlink", "twisted"));
	show("twisted/sub/../a");
	ERR(symlink("new-target", "dir/here"));
	ERR(put("dir/here", "made through a link"));
	show("dir/new-target");
	ERR(symlink("/", "rootlink"));
	TRUTH(same_file("rootlink/usr", "/usr"));
	ERR(symlink("/proc/self/cwd", "cwdlink"));
	show("cwdlink/file");
	ERR(put("cwdlink/by-cwd", "x"));
	show("by-cwd");
}

static void dots(void)
{
	const char *const paths[] = {"dir/../file", "dir/./a", "./dir/sub/../../file", "nothing/../file", "file/../file2", "dirlink/../file", "dir/sub/deep/../../..//file", "////", "/../../../usr", "dir//",
		"dir/sub/..", "...", ".../x", "link/.", "dirlink/.", "dangling/..", "closed/..", "noread/.."};

	for (size_t i = 0; i < COUNT(paths); i++) {
		LABEL(access(paths[i], F_OK), "dots %s", paths[i]);
		LABEL(open(paths[i], O_RDONLY | O_NOFOLLOW | O_PATH), "dots open %s", paths[i]);
	}
}

int main(void)
{
	name_lengths();
	path_lengths();
	odd_bytes();
	links();
	dots();
	return 0;
}
