/* mem.c - guest memory, copied in once and copied out with the guest's own page protections (process_vm_* does not override them, as
 * writing to /proc/PID/mem would). */
#include "supervisor/call.h"

#include <limits.h>
#include <sys/uio.h>

#define PAGE 4096u

static ssize_t vm_read(pid_t tid, uint64_t addr, void *buf, size_t len)
{
	struct iovec local = {buf, len};
	struct iovec remote = {(void *)(uintptr_t)addr, len};
	ssize_t n = process_vm_readv(tid, &local, 1, &remote, 1, 0);

	if (n < 0)
		return errno == EFAULT || errno == ENOMEM ? -EFAULT : bv_neg_errno();
	return n;
}

int mem_read(const Call *call, uint64_t addr, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = vm_read(call->tid, addr + done, (char *)buf + done, len - done);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return -EFAULT;
		done += (size_t)n;
	}
	return 0;
}

int mem_write(const Call *call, uint64_t addr, const void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		struct iovec local = {(char *)(uintptr_t)buf + done, len - done};
		struct iovec remote = {(void *)(uintptr_t)(addr + done), len - done};
		ssize_t n = process_vm_writev(call->tid, &local, 1, &remote, 1, 0);
		if (n < 0)
			return errno == EFAULT || errno == ENOMEM ? -EFAULT : bv_neg_errno();
		if (n == 0)
			return -EFAULT;
		done += (size_t)n;
	}
	return 0;
}

/* Never reads past a page border before the terminator was looked for: the next page may be unmapped. */
ssize_t mem_read_string(const Call *call, uint64_t addr, char *buf, size_t size)
{
	size_t done = 0, step = 256;

	while (done < size) {
		size_t in_page = PAGE - (size_t)((addr + done) % PAGE);
		size_t want = MIN(MIN(in_page, step), size - done);
		ssize_t n = vm_read(call->tid, addr + done, buf + done, want);
		if (n <= 0)
			return n < 0 ? n : -EFAULT;
		char *end = memchr(buf + done, 0, (size_t)n);
		if (end)
			return end - buf;
		done += (size_t)n;
		step = PAGE;
	}
	return -ENAMETOOLONG;
}

int mem_read_path(Call *call, uint64_t addr, char *buf)
{
	ssize_t n = mem_read_string(call, addr, buf, PATH_MAX);

	if (n < 0)
		return (int)n;
	call_note(call, buf);
	return 0;
}
