/* /dev/null and its kin are the host's objects: their names and metadata must not be. The runner compares them. */
#include "attack.h"

#include <sys/ioctl.h>
#include <sys/xattr.h>

int main(void)
{
	static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/pts/ptmx"};
	struct timespec past[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
	char path[64];
	int pool[4] = {0};

	for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
		const char *d = devices[i];
		int fd = open(d, O_RDWR | O_NONBLOCK | O_NOCTTY);
		chmod(d, 0);
		chown(d, 12345, 12345);
		utimensat(AT_FDCWD, d, past, 0);
		truncate(d, 0);
		setxattr(d, "user.attack", "x", 1, 0);
		if (fd >= 0) {
			fchmod(fd, 0);
			fchown(fd, 12345, 12345);
			futimens(fd, past);
			fsetxattr(fd, "user.attack", "x", 1, 0);
			ioctl(fd, 0x40045201 /* RNDADDTOENTCNT */, pool);
			ioctl(fd, 0x5206 /* RNDCLEARPOOL */, pool);
			snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
			chmod(path, 0);
			linkat(AT_FDCWD, path, AT_FDCWD, "/tmp/attack.dev", AT_SYMLINK_FOLLOW);
			close(fd);
		}
		link(d, "/tmp/attack.dev2");
		rename(d, "/tmp/attack.dev3");
		unlink(d);
	}
	static const char *const forbidden[] = {"/dev/mem", "/dev/kmem", "/dev/kmsg", "/dev/sda", "/dev/vda", "/dev/loop-control", "/dev/fuse", "/dev/kvm", "/dev/net/tun",
						"/dev/tty0", "/dev/tty1", "/dev/ttyS0", "/dev/console", "/dev/input/event0", "/dev/hpet", "/dev/uinput", "/dev/vhost-vsock"};
	for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++)
		if (open(forbidden[i], O_RDONLY | O_NONBLOCK | O_NOCTTY) >= 0)
			won("%s opened", forbidden[i]);
	if (mknod("/tmp/attack.mem", S_IFCHR | 0600, 0x101) == 0 && open("/tmp/attack.mem", O_RDONLY) >= 0)
		won("a device made and opened");
	return verdict();
}
