/* tests/escape/names.c - changes of host files and directories by name, and across a grant (rw/), below which changes are for the host. */
#include "escape.h"

#include <linux/fs.h>
#include <sys/xattr.h>

#define RENAME(from, to, how) syscall(SYS_renameat2, AT_FDCWD, in(from), AT_FDCWD, in(to), how)

ATTEMPT(name_write, "open for writing", HARMS, "")
{
	write_at(in("host/file"), O_WRONLY);
}

ATTEMPT(name_truncate, "truncate, and open with O_TRUNC", HARMS, "")
{
	truncate(in("host/file"), 3);
	close(open(in("host/other"), O_WRONLY | O_TRUNC));
}

ATTEMPT(name_create, "new files, directories, links, FIFOs", HARMS, "")
{
	close(creat(in("host/new"), 0644));
	mkdir(in("host/newdir"), 0755);
	symlink("file", in("host/newlink"));
	link(in("host/file"), in("host/newname"));
	mkfifo(in("host/newfifo"), 0600);
}

ATTEMPT(name_device, "a device node", HARMS, "")
{
	mknod(in("host/null"), S_IFCHR | 0666, 0x103);
	if (getuid())
		cannot("it takes a capability");
}

ATTEMPT(name_unlink, "unlink and rmdir", HARMS, "")
{
	unlink(in("host/file"));
	unlink(in("host/sub/inner"));
	rmdir(in("host/sub"));
}

ATTEMPT(name_rename, "renames of files and directories", HARMS, "")
{
	rename(in("host/file"), in("host/moved"));
	rename(in("host/sub"), in("host/movedsub"));
	rename(in("host"), in("movedhost"));
	rename(in("movedhost"), in("host"));
}

ATTEMPT(name_replace, "a new file moved over the host's", HARMS, "")
{
	write_at(in("host/mine"), O_WRONLY | O_CREAT);
	rename(in("host/mine"), in("host/file"));
}

ATTEMPT(name_exchange, "two host files exchanged", HARMS, "")
{
	RENAME("host/file", "host/other", RENAME_EXCHANGE);
}

ATTEMPT(name_whiteout, "a rename that leaves a whiteout", HARMS, "")
{
	if (RENAME("host/file", "host/moved", RENAME_WHITEOUT) < 0)
		cannot("no whiteouts here");
}

ATTEMPT(name_metadata, "chmod, chown, utimes and xattr by name", HARMS, "")
{
	chmod(in("host/file"), 0777);
	lchown(in("host/file"), getuid() ? getuid() : 12345, getgid());
	utimensat(AT_FDCWD, in("host/sub"), NULL, 0);
	setxattr(in("host/file"), "user.owned", "x", 1, 0);
	removexattr(in("host/file"), "user.kept");
}

ATTEMPT(name_symlink_metadata, "owner and times of a symbolic link itself", HARMS, "")
{
	const struct timespec past[2] = {{.tv_sec = 1}, {.tv_sec = 1}};

	utimensat(AT_FDCWD, in("host/link"), past, AT_SYMLINK_NOFOLLOW);
	fchownat(AT_FDCWD, in("host/link"), getuid() ? getuid() : 12345, getgid(), AT_SYMLINK_NOFOLLOW);
}

ATTEMPT(name_through_link, "a write through a symbolic link", HARMS, "")
{
	write_at(in("host/link"), O_WRONLY | O_APPEND);
}

ATTEMPT(name_own_link, "a write through a link made for it, from another place", HARMS, "")
{
	symlink(in("host/file"), in("host/sub/own"));
	write_at(in("host/sub/own"), O_WRONLY);
}

ATTEMPT(name_dangling, "O_CREAT through a dangling link", HARMS, "")
{
	symlink("made", in("host/dangling"));
	write_at(in("host/dangling"), O_WRONLY | O_CREAT);
}

ATTEMPT(name_dirfd, "everything relative to a descriptor of the host's directory", HARMS, "")
{
	int dir = open(in("host"), O_RDONLY | O_DIRECTORY);

	NEED(dir >= 0);
	write_to(openat(dir, "file", O_WRONLY));
	mkdirat(dir, "made", 0755);
	unlinkat(dir, "other", 0);
	renameat(dir, "sub", dir, "sub2");
	fchmodat(dir, "link", 0777, 0);
}

ATTEMPT(name_opath, "everything relative to an O_PATH descriptor of the host's directory", HARMS, "")
{
	int dir = open(in("host"), O_PATH | O_DIRECTORY);

	NEED(dir >= 0);
	write_to(openat(dir, "file", O_WRONLY));
	mkdirat(dir, "made", 0755);
	unlinkat(dir, "other", 0);
}

ATTEMPT(name_fd_metadata, "mode and times of a directory by its descriptor", HARMS, "")
{
	int dir = open(in("host/sub"), O_RDONLY | O_DIRECTORY);

	NEED(dir >= 0);
	fchmod(dir, 0700);
	futimens(dir, NULL);
}

ATTEMPT(name_cwd, "everything relative to the working directory", HARMS, "")
{
	NEED(chdir(in("host/sub")) == 0);
	write_at("inner", O_WRONLY);
	write_at("../file", O_WRONLY);
	mkdir("made", 0755);
	chmod(".", 0700);
}

ATTEMPT(name_fchdir, "everything relative to a directory entered by fchdir", HARMS, "")
{
	NEED(fchdir(open(in("host/sub"), O_PATH | O_DIRECTORY)) == 0);
	write_at("inner", O_WRONLY);
	unlink("../file");
}

ATTEMPT(name_proc_cwd, "by /proc/self/cwd and its ..", HARMS, "")
{
	NEED(chdir(in("host/sub")) == 0);
	write_at("/proc/self/cwd/inner", O_WRONLY);
	write_at("/proc/self/cwd/../file", O_WRONLY | O_TRUNC);
	unlink("/proc/thread-self/cwd/../other");
}

ATTEMPT(name_proc_root, "by /proc/self/root", HARMS, "")
{
	write_at(fmt_path("/proc/self/root%s", in("host/file")), O_WRONLY);
	unlink(fmt_path("/proc/self/root/proc/self/root%s", in("host/other")));
}

ATTEMPT(name_victim_root, "by the root of a process of the host", HARMS, "")
{
	write_at(fmt_path("/proc/%d/root%s", victim(), in("host/file")), O_WRONLY);
}

ATTEMPT(name_victim_cwd, "by the working directory of a process of the host", HARMS, "")
{
	write_at(fmt_path("/proc/%d/cwd/../host/file", victim()), O_WRONLY);
	write_at(fmt_path("/proc/%d/task/%d/cwd/key", victim(), victim()), O_WRONLY);
}

ATTEMPT(name_init_root, "by the root of process 1", HARMS, "")
{
	int fd = open(fmt_path("/proc/1/root%s", in("host/file")), O_WRONLY);

	if (fd < 0 && errno == EACCES)
		cannot("it is another user's");
	write_to(fd);
}

ATTEMPT(name_tmpfile, "an unnamed file linked into a host directory", HARMS, "")
{
	int fd = open(in("host"), O_TMPFILE | O_RDWR, 0644);

	NEED(fd >= 0 && write(fd, "owned", 5) == 5);
	NEED(linkat(AT_FDCWD, fmt_path("/proc/self/fd/%d", fd), AT_FDCWD, in("host/linked"), AT_SYMLINK_FOLLOW) == 0);
}

ATTEMPT(name_in_root, "openat2 with RESOLVE_IN_ROOT and RESOLVE_BENEATH from the host's root", HARMS, "")
{
	int root = open("/", O_PATH | O_DIRECTORY);
	uint64_t how[3] = {O_WRONLY, 0, 0x10 /* RESOLVE_IN_ROOT */};

	write_to((int)syscall(SYS_openat2, root, in("host/file"), how, sizeof how));
	how[2] = 0x08; /* RESOLVE_BENEATH */
	write_to((int)syscall(SYS_openat2, root, in("host/other") + 1, how, sizeof how));
}

ATTEMPT(name_long, "a path of nearly PATH_MAX bytes", HARMS, "")
{
	char path[4096], *at = path;
	const char *rest = in("host/file");

	while ((size_t)(at - path) + strlen(rest) + 3 < sizeof path) {
		memcpy(at, "/.", 2);
		at += 2;
	}
	memcpy(at, rest, strlen(rest) + 1);
	write_at(path, O_WRONLY);
}

ATTEMPT(name_map, "a shared writable mapping", HARMS, "")
{
	int fd = open(in("host/file"), O_RDWR);
	char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	NEED(map != MAP_FAILED);
	memcpy(map, "owned", 5);
	NEED(msync(map, 4096, MS_SYNC) == 0);
}

ATTEMPT(name_bind_mount, "a write through a bind mount that the host has in the tree", HARMS, "bind")
{
	write_at(in("host/bound/file"), O_WRONLY);
	unlink(in("host/bound/other"));
	mkdir(in("host/bound/made"), 0755);
}

ATTEMPT(grant_link, "a host file linked into the grant, then written there", HARMS, "")
{
	link(in("host/file"), in("rw/in"));
	write_at(in("rw/in"), O_WRONLY);
	linkat(host_file(), "", AT_FDCWD, in("rw/in2"), AT_EMPTY_PATH);
	write_at(in("rw/in2"), O_WRONLY);
}

ATTEMPT(grant_rename, "a host file and directory moved into the grant, then written there", HARMS, "")
{
	rename(in("host/file"), in("rw/in"));
	rename(in("host/sub"), in("rw/sub2"));
	write_at(in("rw/in"), O_WRONLY);
	write_at(in("rw/sub2/inner"), O_WRONLY);
}

ATTEMPT(grant_exchange, "a host file exchanged with one below the grant", HARMS, "")
{
	RENAME("host/file", "rw/inside", RENAME_EXCHANGE);
}

ATTEMPT(grant_symlink, "a link below the grant that leads out of it", HARMS, "")
{
	symlink("../host", in("rw/out"));
	write_at(in("rw/out/file"), O_WRONLY);
	truncate(in("rw/out/other"), 0);
	chmod(in("rw/out"), 0777);
	mkdir(in("rw/out/made"), 0755);
	rename(in("rw/inside"), in("rw/out/moved"));
}

ATTEMPT(grant_dotdot, "the parent of the grant", HARMS, "")
{
	int dir = open(in("rw"), O_RDONLY | O_DIRECTORY);

	NEED(dir >= 0 && chdir(in("rw")) == 0);
	write_to(openat(dir, "../host/file", O_WRONLY));
	unlink("../host/other");
	mkdir("../made", 0755);
}

ATTEMPT(grant_itself, "the grant itself, or its parent, moved away and made anew", HARMS, "")
{
	rename(in("rw"), in("elsewhere"));
	symlink("host", in("rw"));
	write_at(in("rw/file"), O_WRONLY);
	unlink(in("rw"));
	rename(in("elsewhere"), in("rw"));
	rename(in("."), fmt_path("%s.moved", given("DIR")));
	rename(given("DIR"), fmt_path("%s.moved", given("DIR")));
	write_at(fmt_path("%s.moved/host/file", given("DIR")), O_WRONLY);
	rename(fmt_path("%s.moved", given("DIR")), given("DIR"));
}

ATTEMPT(grant_tmpfile, "an unnamed file made below the grant, given a name outside of it", HARMS, "")
{
	int fd = open(in("rw"), O_TMPFILE | O_RDWR, 0644);

	NEED(fd >= 0 && write(fd, "owned", 5) == 5);
	linkat(AT_FDCWD, fmt_path("/proc/self/fd/%d", fd), AT_FDCWD, in("host/linked"), AT_SYMLINK_FOLLOW);
	linkat(fd, "", AT_FDCWD, in("host/linked2"), AT_EMPTY_PATH);
}

ATTEMPT(grant_device, "a device node below the grant, where it is on the host at once", GAINS, "")
{
	struct stat st;

	if (mknod(in("rw/null"), S_IFCHR | 0666, 0x103) < 0)
		cannot("mknod: %s", strerror(errno));
	if (stat(in("rw/null"), &st) == 0 && S_ISCHR(st.st_mode))
		got("the node");
}

ATTEMPT(grant_setuid, "a set-user-ID file left below the grant for others to run", FAILS("natively everybody may do that with a directory of his own"), "")
{
	struct stat st;

	write_at(in("rw/suid"), O_WRONLY | O_CREAT);
	chmod(in("rw/suid"), 04755);
	if (mknod(in("rw/mem"), S_IFCHR | 0666, 0x101) == 0 && open(in("rw/mem"), O_RDONLY) >= 0)
		got("a device below the grant");
	if (stat(in("rw/suid"), &st) < 0)
		got("the file has gone");
}
