/* tests/escape/hidden.c - ways to a directory that is hidden (--hide hidden, and rw/hidden below the grant), and to the store of bvisor. */
#include "escape.h"

#include <dirent.h>
#include <linux/fs.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/mount.h>

#define RENAME(from, to, how) syscall(SYS_renameat2, AT_FDCWD, in(from), AT_FDCWD, in(to), how)

ATTEMPT(hidden_name, "by its name, in several spellings", GAINS, "")
{
	static const char *const forms[] = {"hidden/key", "./hidden/key", "host/../hidden/key", "host/sub/../../hidden/key", "hidden//key", "hidden/./key", "alias/hidden/key",
					    "hidden/../hidden/key", "host/to_hidden/key", "host/to_key", "host/abs_key", "rw/hidden/key", "rw/../hidden/key"};

	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
		look_at(in(forms[i]), forms[i]);
}

ATTEMPT(hidden_size, "its metadata: stat, statx, access, readlink, xattr", GAINS, "")
{
	struct stat st;
	char buf[64];

	if (stat(in("hidden/key"), &st) == 0 || lstat(in("hidden/key"), &st) == 0 || access(in("hidden/key"), F_OK) == 0)
		got("it is there");
	if (readlink(in("hidden/link"), buf, sizeof buf) > 0)
		got("the text of a link");
}

ATTEMPT(hidden_listing, "its name in the listing of its parent, and its own listing", GAINS, "")
{
	DIR *d = opendir(given("DIR"));

	NEED(d);
	for (struct dirent *e; (e = readdir(d));)
		if (strcmp(e->d_name, "hidden") == 0)
			got("its name");
	if (opendir(in("hidden")) && access(in("hidden/key"), F_OK) == 0)
		got("its listing");
}

ATTEMPT(hidden_dirfd, "from a descriptor of its parent, and of its neighbour with ..", GAINS, "")
{
	int d = open(given("DIR"), O_RDONLY | O_DIRECTORY), p = open(in("host"), O_PATH | O_DIRECTORY);

	look(openat(d, "hidden/key", O_RDONLY), "openat");
	look(openat(p, "../hidden/key", O_RDONLY), "openat with ..");
	look_at(fmt_path("/proc/self/fd/%d/../hidden/key", p), "fd/N/..");
	look_at(fmt_path("/dev/fd/%d/hidden/key", d), "/dev/fd/N");
}

ATTEMPT(hidden_cwd, "by working directories", GAINS, "")
{
	if (chdir(in("hidden")) == 0)
		look_at("key", "chdir");
	NEED(fchdir(open(in("host"), O_PATH | O_DIRECTORY)) == 0);
	look_at("../hidden/key", "fchdir to its neighbour");
	int fd = open(in("hidden"), O_PATH | O_DIRECTORY);
	if (fd >= 0 && fchdir(fd) == 0)
		look_at("key", "fchdir");
}

ATTEMPT(hidden_opath, "by an O_PATH descriptor of it", GAINS, "")
{
	int fd = open(in("hidden/key"), O_PATH);

	if (fd >= 0)
		look_at(fmt_path("/proc/self/fd/%d", fd), "O_PATH");
}

ATTEMPT(hidden_self_root, "by /proc/self/root, again and again", GAINS, "")
{
	look_at(fmt_path("/proc/self/root%s", in("hidden/key")), "self/root");
	look_at(fmt_path("/proc/thread-self/root/proc/self/root%s", in("hidden/key")), "root of root");
	look_at(fmt_path("/proc/self/task/%d/root%s", gettid(), in("hidden/key")), "task/TID/root");
}

ATTEMPT(hidden_self_cwd, "by /proc/self/cwd", GAINS, "")
{
	NEED(chdir(in("host")) == 0);
	look_at("/proc/self/cwd/../hidden/key", "self/cwd");
	look_at(fmt_path("/proc/%d/task/%d/cwd/../hidden/key", getpid(), gettid()), "task/TID/cwd");
}

ATTEMPT(hidden_victim_root, "by the root of a process of the host", GAINS, "")
{
	look_at(fmt_path("/proc/%d/root%s", victim(), in("hidden/key")), "root");
	look_at(fmt_path("/proc/%d/task/%d/root%s", victim(), victim(), in("hidden/key")), "task/TID/root");
}

ATTEMPT(hidden_victim_cwd, "by the working directory of a process of the host", GAINS, "")
{
	look_at(fmt_path("/proc/%d/cwd/key", victim()), "cwd");
}

ATTEMPT(hidden_victim_fd, "by a descriptor of a process of the host", GAINS, "")
{
	look_at(fmt_path("/proc/%d/fd/100", victim()), "fd/100");
}

ATTEMPT(hidden_parents, "by the roots and working directories of init, the supervisor and all their neighbours", GAINS, "")
{
	for (pid_t pid = getpid() - 60; pid < getpid() + 3; pid++) {
		if (pid <= 0 || pid == getpid())
			continue;
		look_at(fmt_path("/proc/%d/root%s", pid, in("hidden/key")), "a neighbour's root");
		look_at(fmt_path("/proc/%d/cwd/key", pid), "a neighbour's cwd");
		for (int fd = 3; fd < 12; fd++)
			look_at(fmt_path("/proc/%d/fd/%d%s", pid, fd, in("hidden/key")), "a neighbour's descriptor");
	}
}

ATTEMPT(hidden_first_root, "by the root of process 1", GAINS, "")
{
	struct stat st;

	if (stat("/proc/1/root/", &st) < 0 && errno == EACCES)
		cannot("it is another user's");
	look_at(fmt_path("/proc/1/root%s", in("hidden/key")), "1/root");
}

ATTEMPT(hidden_map_files, "by /proc/self/map_files", GAINS, "")
{
	char *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, open(in("hidden/key"), O_RDONLY), 0);

	if (map == MAP_FAILED)
		return;
	look_at(fmt_path("/proc/self/map_files/%lx-%lx", (unsigned long)map, (unsigned long)map + 4096), "map_files");
	is_secret(map, 4096, "the mapping itself");
}

ATTEMPT(hidden_link, "by a hard link made to it", GAINS, "")
{
	link(in("hidden/key"), in("host/linked"));
	look_at(in("host/linked"), "link");
	link(in("rw/hidden/key"), in("rw/linked"));
	look_at(in("rw/linked"), "link below the grant");
}

ATTEMPT(hidden_symlink, "by symbolic links made to it, direct and in a chain", GAINS, "")
{
	symlink("hidden", in("s0"));
	for (int i = 1; i < 30; i++)
		symlink(fmt_path("s%d", i - 1), in(fmt_path("s%d", i)));
	look_at(in("s29/key"), "a chain of links");
}

ATTEMPT(hidden_rename, "moved to another name", GAINS, "")
{
	rename(in("hidden"), in("public"));
	look_at(in("public/key"), "moved");
	rename(in("rw/hidden"), in("rw/public"));
	look_at(in("rw/public/key"), "moved below the grant");
}

ATTEMPT(hidden_rename_parent, "its parent moved away", GAINS, "")
{
	const char *moved = fmt_path("%s.moved", given("DIR"));

	NEED(rename(given("DIR"), moved) == 0);
	look_at(fmt_path("%s/hidden/key", moved), "under the parent's new name");
	mkdir(given("DIR"), 0755);
	look_at(in("hidden/key"), "under the parent's old name");
	rmdir(given("DIR"));
	NEED(rename(moved, given("DIR")) == 0);
	look_at(in("hidden/key"), "after it was moved back");
}

ATTEMPT(hidden_rename_grant_parent, "its parent below the grant moved and exchanged", GAINS, "")
{
	rename(in("rw/deep"), in("rw/deep2"));
	look_at(in("rw/deep2/hidden/key"), "moved");
	mkdir(in("rw/other"), 0755);
	RENAME("rw/deep", "rw/other", RENAME_EXCHANGE);
	look_at(in("rw/other/hidden/key"), "exchanged");
	look_at(in("rw/deep/hidden/key"), "by its name");
}

ATTEMPT(hidden_exchange, "exchanged with a visible directory", GAINS, "")
{
	RENAME("hidden", "host/sub", RENAME_EXCHANGE);
	look_at(in("host/sub/key"), "exchanged");
}

ATTEMPT(hidden_replaced, "an own directory in its place, moved away again", GAINS, "")
{
	mkdir(in("own"), 0755);
	rename(in("own"), in("hidden"));
	look_at(in("hidden/key"), "own one moved over it");
	rename(in("hidden"), in("own2"));
	look_at(in("hidden/key"), "own one moved away");
	rmdir(in("hidden"));
	mkdir(in("hidden"), 0755);
	look_at(in("hidden/key"), "after mkdir");
	rmdir(in("hidden"));
	look_at(in("hidden/key"), "after rmdir");
	close(creat(in("hidden"), 0644));
	unlink(in("hidden"));
	look_at(in("hidden/key"), "after unlink of a file");
}

ATTEMPT(hidden_create, "O_CREAT opens what is there", GAINS, "")
{
	look(open(in("hidden/key"), O_RDWR | O_CREAT, 0644), "O_CREAT");
	look(open(in("rw/hidden/key"), O_RDWR | O_CREAT, 0644), "O_CREAT below the grant");
	look(open(in("rw/env"), O_RDONLY | O_CREAT, 0644), "O_CREAT of a file below the grant");
	look(open(in("rw/env"), O_RDWR | O_CREAT, 0644), "... for writing");
}

ATTEMPT(hidden_write, "writes to it, by name and below the grant", HARMS, "")
{
	write_at(in("hidden/key"), O_WRONLY);
	write_at(in("rw/hidden/key"), O_WRONLY);
	unlink(in("rw/hidden/key"));
	close(creat(in("rw/mine"), 0644));
	rename(in("rw/mine"), in("rw/hidden/key"));
	rename(in("rw/mine"), in("rw/hidden"));
	rename(in("rw/mine"), in("rw/env"));
	unlink(in("rw/env"));
	mkdir(in("rw/hidden/made"), 0755);
}

ATTEMPT(hidden_inotify, "events of it", GAINS, "")
{
	if (inotify_add_watch(inotify_init1(0), in("hidden"), IN_ALL_EVENTS) >= 0 && access(in("hidden/key"), F_OK) == 0)
		got("a watch on it");
}

ATTEMPT(hidden_fanotify, "events of its whole file system", GAINS, "")
{
	int fd = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID, O_RDONLY);

	if (fd < 0)
		cannot("fanotify_init: %s", strerror(errno));
	if (fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, in("hidden")) == 0)
		got("a mark on it");
}

ATTEMPT(hidden_handle, "by its handle", GAINS, "")
{
	struct {
		struct file_handle h;
		char room[128];
	} handle = {.h = {.handle_bytes = 128}};
	int id;

	if (name_to_handle_at(AT_FDCWD, in("hidden/key"), &handle.h, &id, 0) < 0)
		cannot("no handle: %s", strerror(errno));
	int fd = open_by_handle_at(open("/", O_RDONLY), &handle.h, O_RDONLY);
	if (fd < 0 && errno == EPERM)
		cannot("it takes a capability");
	look(fd, "open_by_handle_at");
}

ATTEMPT(hidden_chroot, "from another root directory", GAINS, "")
{
	if (chroot(given("DIR")) < 0)
		cannot("chroot: %s", strerror(errno));
	look_at("/hidden/key", "chroot");
}

ATTEMPT(hidden_openat2, "openat2 with a root of its own", GAINS, "")
{
	uint64_t how[3] = {O_RDONLY, 0, 0x10 /* RESOLVE_IN_ROOT */};
	int d = open(given("DIR"), O_PATH | O_DIRECTORY);

	look((int)syscall(SYS_openat2, d, "/hidden/key", how, sizeof how), "RESOLVE_IN_ROOT");
	look((int)syscall(SYS_openat2, d, "../../../../hidden/key", how, sizeof how), "RESOLVE_IN_ROOT and ..");
	how[2] = 0;
	look((int)syscall(SYS_openat2, d, "host/../hidden/key", how, sizeof how), "openat2");
}

ATTEMPT(hidden_new_mounts, "by a copy of its mount", GAINS, "")
{
	int fd = (int)syscall(428 /* open_tree */, AT_FDCWD, given("DIR"), 1 /* OPEN_TREE_CLONE */);

	if (fd < 0)
		cannot("open_tree: %s", strerror(errno));
	look(openat(fd, "hidden/key", O_RDONLY), "open_tree");
}

ATTEMPT(hidden_bind_mount, "by a bind mount of it that the host has at another place", GAINS, "bind")
{
	look_at(in("host/bound/../../hidden/key"), ".. of the mount");
	look_at(in("host/bound_hidden/key"), "the mount");
}

ATTEMPT(hidden_proc_mount, "/proc of the host mounted at another place, as in a chroot", GAINS, "kernel")
{
	char buf[64] = "", link[256];
	int mem = open(in(fmt_path("kernel/proc/%d/mem", victim())), O_RDONLY);

	if (pread(mem, buf, sizeof buf, given_number("SECRET_AT")) > 0)
		is_secret(buf, sizeof buf, "mem");
	look_at(in(fmt_path("kernel/proc/%d/environ", victim())), "environ");
	look_at(in(fmt_path("kernel/proc/%d/fd/100", victim())), "fd/100");
	look_at(in(fmt_path("kernel/proc/%d/cwd/key", victim())), "cwd");
	look_at(fmt_path("%s/%d/root%s", in("kernel/proc"), victim(), in("hidden/key")), "root");
	if (readlink(in(fmt_path("kernel/proc/%d/exe", victim())), link, sizeof link) > 0)
		got("exe");
	if (open(in("kernel/proc/kallsyms"), O_RDONLY) >= 0 || open(in("kernel/proc/self/root"), O_RDONLY) >= 0)
		got("files of the kernel");
}

ATTEMPT(hidden_proc_mount_write, "... written to", HARMS, "kernel")
{
	int fd = open(in(fmt_path("kernel/proc/%d/oom_score_adj", victim())), O_WRONLY);

	if (fd >= 0 && write(fd, "777", 3) != 3)
		puts("not written");
}

ATTEMPT(hidden_sys_mount, "/sys and /dev of the host mounted at another place", GAINS, "kernel")
{
	if (open(in("kernel/sys/kernel/mm/transparent_hugepage/enabled"), O_RDONLY) >= 0 || open(in("kernel/sys/class/net/lo/address"), O_RDONLY) >= 0)
		got("/sys");
	if (open(in("kernel/dev/ptmx"), O_RDWR | O_NOCTTY) >= 0 || open(in("kernel/dev/mem"), O_RDONLY) >= 0 || open(in("kernel/dev/loop-control"), O_RDONLY) >= 0)
		got("/dev");
}

ATTEMPT(hidden_device, "a device node of the host outside of /dev", GAINS, "device")
{
	if (open(in("host/zero"), O_RDONLY) >= 0 || open(in("host/disk"), O_RDONLY) >= 0)
		got("the device");
}

ATTEMPT(hidden_script, "a script in it is run", GAINS, "")
{
	char *const argv[] = {(char *)"script", NULL};

	for (int i = 0; i < 2; i++) {
		int p[2];
		NEED(pipe(p) == 0);
		pid_t pid = fork();
		if (pid == 0) {
			dup2(p[1], 1);
			if (i == 0)
				execv(in("hidden/script"), argv);
			else
				execl("/bin/sh", "sh", in("hidden/script"), NULL);
			_exit(1);
		}
		close(p[1]);
		look(p[0], "what it prints");
		waitpid(pid, NULL, 0);
	}
}

ATTEMPT(hidden_socket, "a socket in it", HARMS, "")
{
	struct sockaddr_un un = unix_addr("hidden/sock");

	NEED(chdir(given("DIR")) == 0);
	connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&un, sizeof un);
	un = unix_addr("host/to_hidden/sock");
	connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&un, sizeof un);
}

ATTEMPT(hidden_below_grant, "descriptors of the grant, and its names in /proc", GAINS, "")
{
	int d = open(in("rw"), O_RDONLY | O_DIRECTORY);

	look(openat(d, "hidden/key", O_RDONLY), "openat");
	look_at(fmt_path("/proc/self/fd/%d/hidden/key", d), "fd/N");
	NEED(chdir(in("rw/deep")) == 0);
	look_at("hidden/key", "cwd");
	look_at("/proc/self/cwd/hidden/key", "/proc/self/cwd");
}

ATTEMPT(store_listing, "the store's directory: databases, other sandboxes", GAINS, "")
{
	static const char *const names[] = {"", "/sandboxes", "/sandboxes/other", "/sandboxes/other/sandbox.json", "/sandboxes/other/meta.db", "/sandboxes/other/blobs"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (open(fmt_path("%s%s", given("STORE"), names[i]), O_RDONLY) >= 0)
			got("the store's %s", names[i]);
}

ATTEMPT(store_change, "the store changed: another sandbox's record", FAILS("the runner needs its store"), "")
{
	const char *record = fmt_path("%s/sandboxes/other/sandbox.json", given("STORE"));

	if (truncate(record, 0) == 0 || rename(fmt_path("%s/sandboxes/other", given("STORE")), fmt_path("%s/sandboxes/mine", given("STORE"))) == 0)
		got("changed it");
	mkdir(given("STORE"), 0755);
	rename(fmt_path("%s/..", given("STORE")), in("moved"));
	look_at(record, "after the parent's rename");
	if (open(record, O_RDONLY) >= 0)
		got("the record");
}

ATTEMPT(store_control, "another sandbox's control socket", GAINS, "")
{
	struct sockaddr_un un = unix_addr(fmt_path("%s/sandboxes/other/control.sock", given("STORE")));

	for (int kind = SOCK_STREAM; kind <= SOCK_SEQPACKET; kind++)
		if (connect(socket(AF_UNIX, kind, 0), (struct sockaddr *)&un, sizeof un) == 0)
			got("connected to the supervisor");
}

ATTEMPT(store_markers, "host paths of the sandbox's own directories, shown by /proc", FAILS("there is no store"), "")
{
	char text[65536];
	static const char *const files[] = {"/proc/self/maps", "/proc/self/mountinfo", "/proc/self/mounts"};

	mkdir(in("host/own"), 0755);
	NEED(chdir(in("host/own")) == 0);
	write_at("mine", O_WRONLY | O_CREAT);
	int mine = open("mine", O_RDWR);
	mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, mine, 0);
	for (size_t i = 0; i < 3; i++) {
		ssize_t n = read(open(files[i], O_RDONLY), text, sizeof text);
		if (n > 0 && memmem(text, (size_t)n, given("STORE"), strlen(given("STORE"))))
			got("the store's path in %s", files[i]);
	}
	ssize_t n = readlink(fmt_path("/proc/self/fd/%d", mine), text, sizeof text);
	if (n > 0 && memmem(text, (size_t)n, given("STORE"), strlen(given("STORE"))))
		got("the path of the body");
	n = readlink("/proc/self/cwd", text, sizeof text);
	if (n > 0 && memmem(text, (size_t)n, given("STORE"), strlen(given("STORE"))))
		got("the path of the marker");
	if (openat(AT_FDCWD, "..", O_TMPFILE | O_RDWR) >= 0 && access("../../blobs", F_OK) == 0)
		got("the store is the parent of the working directory");
}
