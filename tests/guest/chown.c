/* tests/guest/chown.c - changing owners: root may give anything, others only among their groups.
 * COVERS: chown lchown fchown fchownat */
#include "guest.h"

static void objects(void)
{
	const char *const paths[] = {"file", "hard1", "setid", "dir", "emptydir", "link", "dirlink", "dangling", "loop1", "fifo", "sock", "nothing", "nothing/x", "file/x", "file/", "", ".", "closed/x", "big"};
	const struct {
		uid_t uid;
		gid_t gid;
	} to[] = {{(uid_t)-1, (gid_t)-1}, {geteuid(), (gid_t)-1}, {(uid_t)-1, getegid()}, {geteuid(), getegid()}, {1234, (gid_t)-1}, {(uid_t)-1, 4321}, {77, 88}, {0, 0}};

	for (size_t i = 0; i < COUNT(paths); i++)
		for (size_t t = 0; t < COUNT(to); t++) {
			if (LABEL(chown(paths[i], to[t].uid, to[t].gid), "chown %s #%zu", paths[i], t) == 0) {
				struct stat st;

				if (stat(paths[i], &st) == 0 && !S_ISDIR(st.st_mode))
					print_stat(paths[i], &st);
			}
			LABEL(lchown(paths[i], to[t].uid, to[t].gid), "lchown %s #%zu", paths[i], t);
			look(paths[i]);
		}
}

static void by_descriptor(void)
{
	int file = FD(open("file2", O_RDONLY)), path = FD(open("file2", O_PATH)), dir = FD(open("dir", O_RDONLY)), link = FD(open("link", O_PATH | O_NOFOLLOW));

	ERR(fchown(file, 11, 12));
	look("file2");
	ERR(fchown(path, 13, 14));
	ERR(fchown(999, 1, 1));
	ERR(fchown(dir, 15, 16));
	look("dir");
	ERR(fchownat(dir, "a", 17, 18, 0));
	look("dir/a");
	ERR(fchownat(file, "a", 17, 18, 0));
	ERR(fchownat(999, "a", 17, 18, 0));
	ERR(fchownat(dir, "uplink", 19, 20, AT_SYMLINK_NOFOLLOW));
	look("dir/uplink");
	look("other/x");
	ERR(fchownat(dir, "uplink", 21, 22, 0));
	look("other/x");
	ERR(fchownat(path, "", 23, 24, AT_EMPTY_PATH));
	look("file2");
	ERR(fchownat(link, "", 25, 26, AT_EMPTY_PATH));
	look("link");
	ERR(fchownat(link, "", 25, 26, 0));
	ERR(fchownat(dir, "a", 17, 18, 0x8000));
}

static void consequences(void)
{
	struct stat st;

	ERR(put("mine", "x"));
	ERR(chmod("mine", 06755));
	ERR(chown("mine", geteuid(), getegid()));
	look("mine");
	ERR(chmod("mine", 02745));
	ERR(chown("mine", (uid_t)-1, (gid_t)-1));
	look("mine");
	ERR(stat("private", &st));
	ERR(chown("private", geteuid(), getegid()));
	ERR(stat("private", &st));
	VAL(st.st_mtime == 1500000000);
	TRUTH(recent(st.st_ctim));
	show("private");
	int fd = FD(open("private", O_WRONLY | O_APPEND));
	ERR(fchown(fd, geteuid(), getegid()));
	ERR(write(fd, "+", 1));
	look("private");
}

int main(void)
{
	objects();
	by_descriptor();
	consequences();
#ifdef __NR_chown
	ERR(syscall(__NR_chown, "empty", geteuid(), getegid()));
	ERR(syscall(__NR_lchown, "chain0", geteuid(), 31));
	look("chain0");
#endif
	return 0;
}
