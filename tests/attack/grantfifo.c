/* What a directory that was granted for writing can be used for: a FIFO that stalls the supervisor, a hidden name that is moved away with its
 * parent, other host files linked or moved into it, symbolic links and ".." out of it. RW: rw
 * HIDE: rw/sub/secret
 * HIDE: rw/env */
#include "attack.h"

static const char *dir;

static void fifo(void)
{
	int status;
	const char *path = in_dir(dir, "rw/fifo");

	NEED(mkfifo(path, 0600) == 0);
	pid_t reader = fork();
	if (reader == 0)
		_exit(open(path, O_RDONLY) < 0);
	usleep(100000);
	pid_t looker = fork();
	if (looker == 0) {
		struct stat st;
		_exit(stat("/etc/passwd", &st) < 0 || stat(dir, &st) < 0);
	}
	if (!ends_within(looker, 5, &status))
		won("a FIFO below a grant stalls every call of others");
	pid_t writer = fork();
	if (writer == 0)
		_exit(open(path, O_WRONLY) < 0);
	if (!ends_within(writer, 5, &status) || !ends_within(reader, 5, &status))
		won("the two ends of a FIFO below a grant do not meet");
	kill(reader, SIGKILL);
	kill(writer, SIGKILL);
	unlink(path);
}

static void try_secret(const char *name)
{
	char buf[64];
	int fd = open(in_dir(dir, name), O_RDONLY);

	if (fd >= 0 && read(fd, buf, sizeof buf) > 0)
		won("hidden bytes read as %s", name);
	close(fd);
}

static void move_secret(void)
{
	try_secret("rw/sub/secret/key");
	rename(in_dir(dir, "rw/sub"), in_dir(dir, "rw/moved"));
	try_secret("rw/moved/secret/key");
	rename(in_dir(dir, "rw/moved"), in_dir(dir, "rw/sub"));
	mkdir(in_dir(dir, "rw/other"), 0755);
	syscall(SYS_renameat2, AT_FDCWD, in_dir(dir, "rw/sub"), AT_FDCWD, in_dir(dir, "rw/other"), 2 /* RENAME_EXCHANGE */);
	try_secret("rw/other/secret/key");
	try_secret("rw/sub/secret/key");
	syscall(SYS_renameat2, AT_FDCWD, in_dir(dir, "rw/sub"), AT_FDCWD, in_dir(dir, "rw/other"), 2);
	rmdir(in_dir(dir, "rw/other"));
	mkdir(in_dir(dir, "rw/sub/secret"), 0755);
	try_secret("rw/sub/secret/key");
	rmdir(in_dir(dir, "rw/sub/secret"));
	symlink("sub/secret/key", in_dir(dir, "rw/l"));
	try_secret("rw/l");
	unlink(in_dir(dir, "rw/l"));
	static const int flags[] = {O_RDONLY | O_CREAT, O_RDWR | O_CREAT, O_WRONLY | O_CREAT | O_TRUNC};
	for (int i = 0; i < 3; i++) {
		char buf[64];
		int fd = open(in_dir(dir, "rw/env"), flags[i], 0644);
		if (fd >= 0 && read(fd, buf, sizeof buf) > 0)
			won("O_CREAT opened a hidden file");
		close(fd);
	}
	close(creat(in_dir(dir, "rw/mine"), 0644));
	rename(in_dir(dir, "rw/mine"), in_dir(dir, "rw/env"));
	unlink(in_dir(dir, "rw/env"));
	unlink(in_dir(dir, "rw/mine"));
}

/* The runner sees whether a host file changed. */
static void pull_in(void)
{
	static const char *const ways[] = {"rw/in1", "rw/in2", "rw/in3"};
	int fd;

	if (link(in_dir(dir, "host/file"), in_dir(dir, ways[0])) == 0 || rename(in_dir(dir, "host/file"), in_dir(dir, ways[1])) == 0 ||
	    rename(in_dir(dir, "host/sub"), in_dir(dir, ways[2])) == 0)
		puts("a host object came into the grant");
	int ro = open(in_dir(dir, "host/file"), O_RDONLY);
	char self[64];
	snprintf(self, sizeof self, "/proc/self/fd/%d", ro);
	linkat(AT_FDCWD, self, AT_FDCWD, in_dir(dir, "rw/in4"), AT_SYMLINK_FOLLOW);
	linkat(ro, "", AT_FDCWD, in_dir(dir, "rw/in5"), AT_EMPTY_PATH);
	for (int i = 1; i <= 5; i++) {
		char name[16];
		snprintf(name, sizeof name, "rw/in%d", i);
		fd = open(in_dir(dir, name), O_WRONLY | O_TRUNC);
		if (fd >= 0 && write(fd, "owned", 5) == 5)
			close(fd);
	}
	symlink("../host/file", in_dir(dir, "rw/out"));
	fd = open(in_dir(dir, "rw/out"), O_WRONLY | O_TRUNC);
	close(fd);
	chmod(in_dir(dir, "rw/out"), 0777);
	truncate(in_dir(dir, "rw/out"), 0);
	fd = open(in_dir(dir, "rw/../host/file"), O_WRONLY | O_TRUNC);
	close(fd);
	mkdir(in_dir(dir, "rw/../host/made"), 0755);
}

static volatile bool go = true;

/* A unix socket by path: bound and connected in the directory that was checked. `out` is a link to host, which has a listening socket. */
static void sockets(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	char name[64];

	for (int i = 0; i < 400 && !wins; i++) {
		snprintf(name, sizeof name, "rw/s1/u%d", i);
		snprintf(un.sun_path, sizeof un.sun_path, "%.100s", in_dir(dir, name));
		int s = socket(AF_UNIX, SOCK_STREAM, 0);
		bind(s, (struct sockaddr *)&un, sizeof un);
		close(s);
		snprintf(un.sun_path, sizeof un.sun_path, "%.100s", in_dir(dir, "rw/s1/sock"));
		s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (bind(s, (struct sockaddr *)&un, sizeof un) == 0)
			listen(s, 1);
		int c = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		for (int k = 0; k < 20; k++) {
			struct ucred cred = {0};
			socklen_t len = sizeof cred;
			if (connect(c, (struct sockaddr *)&un, sizeof un) == 0 && getsockopt(c, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.pid != getpid()) {
				won("connected to process %d of the host", cred.pid);
				break;
			}
		}
		close(c);
		close(s);
		unlink(un.sun_path);
	}
}

static void *swap(void *arg)
{
	(void)arg;
	symlink("../host", in_dir(dir, "rw/s2"));
	while (go)
		syscall(SYS_renameat2, AT_FDCWD, in_dir(dir, "rw/s1"), AT_FDCWD, in_dir(dir, "rw/s2"), 2);
	return NULL;
}

/* A directory and a link that leads out of the grant change places all the time. */
static void race(void)
{
	pthread_t t;
	char made[32];

	mkdir(in_dir(dir, "rw/s1"), 0755);
	pthread_create(&t, NULL, swap, NULL);
	for (int i = 0; i < 1500; i++) {
		snprintf(made, sizeof made, "rw/s1/n%d", i);
		int fd = open(in_dir(dir, made), O_WRONLY | O_CREAT, 0644);
		if (fd >= 0) {
			if (write(fd, "x", 1) != 1)
				puts("nothing written");
			close(fd);
		}
		chmod(in_dir(dir, "rw/s1/file"), 0777);
		truncate(in_dir(dir, "rw/s1/file"), 0);
		mkdir(in_dir(dir, "rw/s1/d"), 0755);
		unlink(in_dir(dir, made));
	}
	sockets();
	go = false;
	pthread_join(t, NULL);
}

int main(int argc, char **argv)
{
	dir = argc > 1 ? argv[1] : ".";
	move_secret();
	pull_in();
	race();
	fifo();
	return verdict();
}
