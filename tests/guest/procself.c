/* tests/guest/procself.c - what /proc tells a process about itself is about itself, with the paths that it knows.
 * COVERS: readlink openat getdents64 */
#include "guest.h"

#include <pthread.h>

static void print_link(const char *path)
{
	char buf[PATH_MAX];
	ssize_t n = readlink(path, buf, sizeof(buf));

	printf("   %s = ", path);
	if (n < 0)
		printf("%s", errname(errno));
	else
		print_path(buf, (size_t)n);
	printf("\n");
}

static void fd_link(const char *label, int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	printf("%s", label);
	print_link(path);
}

/* A removed directory is reached through whoever has it. */
static void opened_again(const char *path, int flags)
{
	int fd = open(path, flags, 0600);

	printf("   open %s %#x: %s\n", path[0] == '/' ? "fd" : path, flags, fd < 0 ? errname(errno) : "0");
	if (fd < 0)
		return;
	struct stat st;
	char buf[4096];
	TRUTH(fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && st.st_nlink == 0);
	ERR(syscall(__NR_getdents64, fd, buf, sizeof(buf)));
	ERR(openat(fd, "new", O_CREAT | O_WRONLY, 0600));
	fd_link("again", fd);
	close(fd);
}

static void removed_directories(void)
{
	static const int flags[] = {O_RDONLY | O_DIRECTORY, O_RDONLY, O_PATH, O_WRONLY, O_RDONLY | O_CREAT, O_RDONLY | O_NOFOLLOW};
	int here = open(".", O_RDONLY);
	char path[64], below[72];

	for (int lower = 0; lower < 2; lower++) {
		const char *name = lower ? "emptydir" : "rdd";
		if (!lower)
			mkdir(name, 0755);
		int held = open(name, O_RDONLY | O_DIRECTORY);
		ERR(rmdir(name));
		snprintf(path, sizeof(path), "/proc/self/fd/%d", held);
		snprintf(below, sizeof(below), "/dev/fd/%d/.", held);
		for (size_t i = 0; i < COUNT(flags); i++) {
			opened_again(path, flags[i]);
			opened_again(below, flags[i]);
		}
		ERR(chdir(path));
		opened_again(".", O_RDONLY);
		ERR(chdir("."));
		ERR(fchdir(here));
		close(held);
		ERR(open(path, O_RDONLY));
	}
	close(here);
}

static void links(void)
{
	char buf[64];
	ssize_t n = readlink("/proc/self", buf, sizeof(buf) - 1);

	TRUTH(n > 0 && (buf[n] = 0, atoi(buf)) == getpid());
	n = readlink("/proc/thread-self", buf, sizeof(buf) - 1);
	TRUTH(n > 0 && (buf[n] = 0, strstr(buf, "/task/") != NULL));
	print_link("/proc/self/cwd");
	print_link("/proc/self/root");
	print_link("/proc/self/exe");
	fd_link("lower", open("file", O_RDONLY));
	fd_link("written", open("file2", O_RDWR));
	int fresh = open("fresh", O_RDWR | O_CREAT, 0644);
	fd_link("fresh", fresh);
	int dir = open("dir", O_RDONLY);
	fd_link("dir", dir);
	mkdir("newdir", 0755);
	int newdir = open("newdir", O_RDONLY);
	fd_link("newdir", newdir);
	fd_link("through a link", open("dirlink/a", O_RDONLY));
	fd_link("O_PATH", open("link", O_PATH | O_NOFOLLOW));
	rename("fresh", "newdir/moved");
	fd_link("moved", fresh);
	rename("newdir", "dir/newdir");
	fd_link("moved with its directory", fresh);
	fd_link("directory", newdir);
	unlink("dir/newdir/moved");
	fd_link("deleted", fresh);
	rmdir("dir/newdir");
	fd_link("deleted directory", newdir);
	fd_link("closed", 999);
	fd_link("null", open("/dev/null", O_RDONLY));
	ERR(chdir("dir/sub"));
	print_link("/proc/self/cwd");
	ERR(rename("../../dir", "../../dir2"));
	print_link("/proc/self/cwd");
	ERR(chdir("../.."));
}

/* Opening and following what /proc points to. */
static void followed(void)
{
	char path[96];
	struct stat a, b;
	int fd = FD(open("file", O_RDONLY)), dir = FD(open("dir2", O_RDONLY)), gone = FD(open("gone", O_RDWR | O_CREAT, 0600));

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ERR(stat(path, &a));
	ERR(fstat(fd, &b));
	TRUTH(a.st_ino == b.st_ino);
	ERR(lstat(path, &a));
	TRUTH(S_ISLNK(a.st_mode));
	int again = FD(open(path, O_RDWR));
	VAL(write(again, "HELLO", 5));
	show("file");
	snprintf(path, sizeof(path), "/proc/self/fd/%d/sub/c", dir);
	show(path);
	snprintf(path, sizeof(path), "/proc/self/fd/%d/made", dir);
	ERR(put(path, "made through proc"));
	show("dir2/made");
	snprintf(path, sizeof(path), "/proc/%d/cwd/file", getpid());
	TRUTH(same_file(path, "file"));
	snprintf(path, sizeof(path), "/proc/self/root%.60s", "/etc/hostname");
	TRUTH(same_file(path, "/etc/hostname") || access("/etc/hostname", F_OK) < 0);
	unlink("gone");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", gone);
	VAL(write(gone, "still", 5));
	again = FD(open(path, O_RDONLY));
	char buf[8];
	VAL(read(again, buf, 5));
	ERR(unlink(path));
	ERR(rename(path, "x"));
	ERR(mkdir("/proc/self/x", 0755));
	ERR(open("/proc/self/x", O_CREAT | O_WRONLY, 0644));
	ERR(open("/proc/self/nothing", O_RDONLY));
	ERR(open("/proc/99999999/status", O_RDONLY));
}

static long field(const char *file, const char *name)
{
	char line[4096];
	long value = -1;
	FILE *f = fopen(file, "re");

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, name, strlen(name)) == 0)
			value = strtol(line + strlen(name), NULL, 10);
	if (f)
		fclose(f);
	return value;
}

static void *thread(void *arg)
{
	char path[64];

	(void)arg;
	TRUTH(field("/proc/thread-self/status", "Pid:") == syscall(__NR_gettid));
	TRUTH(field("/proc/self/status", "Pid:") == getpid());
	snprintf(path, sizeof(path), "/proc/self/task/%ld/status", syscall(__NR_gettid));
	TRUTH(field(path, "Tgid:") == getpid());
	return NULL;
}

static void texts(void)
{
	char buf[4096] = "";
	pthread_t t;

	TRUTH(field("/proc/self/status", "Pid:") == getpid());
	TRUTH(field("/proc/self/status", "PPid:") == getppid());
	TRUTH(field("/proc/self/status", "Umask:") == 22);
	pthread_create(&t, NULL, thread, NULL);
	pthread_join(t, NULL);
	int fd = open("/proc/self/cmdline", O_RDONLY);
	ssize_t n = read(fd, buf, sizeof(buf));
	TRUTH(n > 8 && strstr(buf, "procself"));
	close(fd);
	fd = open("/proc/self/comm", O_RDONLY);
	n = read(fd, buf, sizeof(buf) - 1);
	print_bytes(buf, n < 0 ? 0 : (size_t)n);
	printf("\n");
	close(fd);
	FILE *maps = fopen("/proc/self/maps", "re");
	bool found = false, lie = false;
	while (maps && fgets(buf, sizeof(buf), maps)) {
		found |= strstr(buf, "/procself\n") != NULL;
		lie |= strstr(buf, "/blobs/") != NULL;
	}
	TRUTH(found && !lie);
	TRUTH(field("/proc/meminfo", "MemTotal:") > 0);
	TRUTH(access("/proc/mounts", R_OK) == 0 && access("/proc/self/mountinfo", R_OK) == 0);
	TRUTH(access("/proc/cpuinfo", R_OK) == 0 && access("/proc/sys/kernel/osrelease", R_OK) == 0);
}

/* The descriptors that are listed are those that are open. */
static void listed(void)
{
	int wrong = 0, count = 0;
	DIR *dir = opendir("/proc/self/fd");

	for (struct dirent *d; dir && (d = readdir(dir));)
		if (d->d_name[0] != '.') {
			count++;
			wrong += fcntl(atoi(d->d_name), F_GETFD) < 0;
		}
	TRUTH(dir && count > 3 && wrong == 0);
	if (dir)
		closedir(dir);
	dir = opendir("/proc");
	bool self = false, other = false;
	for (struct dirent *d; dir && (d = readdir(dir));) {
		self |= atoi(d->d_name) == getpid();
		other |= strcmp(d->d_name, "cpuinfo") == 0;
	}
	TRUTH(self && other);
	if (dir)
		closedir(dir);
}

int main(void)
{
	links();
	followed();
	texts();
	listed();
	removed_directories();
	return 0;
}
