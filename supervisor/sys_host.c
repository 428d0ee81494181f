/* sys_host.c - uname and sysinfo: the machine as the sandbox was given it (hostview.h). Sources: uname(2), sysinfo(2), kernel/sys.c.
 * getrlimit, getrusage, times and sched_getaffinity of the caller itself need nobody in between: what the kernel says is the process's own. */
#include "supervisor/handlers.h"
#include "supervisor/hostview.h"
#include "supervisor/call.h"

#include <stdio.h>
#include <sys/personality.h>
#include <sys/sysinfo.h>

#define SYSINFO_AGE 1000000000ULL /* compilers ask for the memory each time they start */

/* `setarch --uname-2.6`: the kernel makes another release of it, for whoever has that bit, so the question is asked with it. */
static bool has_old_uname(const Call *call)
{
	CLEAN_FREE char *text = NULL;
	char path[32];

	snprintf(path, sizeof path, "%d/personality", (int)call->tid);
	return bv_read_file_at(call->sup->proc_fd, path, 64, &text) > 0 && (strtoul(text, NULL, 16) & UNAME26);
}

int sys_uname(Call *call)
{
	const HostView *v = call->sup->view;
	struct utsname name;

	if (!v->host_name[0] && !v->release[0])
		return CALL_CONTINUE; /* the pointer is only written to */
	bool old = !v->release[0] && has_old_uname(call);
	if (old)
		personality(UNAME26); /* of this thread alone */
	int r = hostview_uname(v, &name);
	if (old)
		personality(0);
	return r < 0 ? r : mem_write(call, call->args[0], &name, sizeof name);
}

static void give_memory(const HostView *v, const HostUsage *u, struct sysinfo *si)
{
	uint64_t used = MIN(u->memory, v->memory);

	si->totalram = v->memory;
	si->freeram = v->memory - used;
	si->sharedram = si->bufferram = si->totalswap = si->freeswap = si->totalhigh = si->freehigh = 0;
	si->mem_unit = 1;
}

int sys_sysinfo(Call *call)
{
	HostView *v = call->sup->view;
	struct sysinfo si;
	HostUsage usage;
	int r = hostview_usage(v, call->sup->tree, SYSINFO_AGE, call->req.may_block, &usage);

	if (r < 0)
		return r; /* -EINPROGRESS: on a worker */
	if (sysinfo(&si) < 0)
		return bv_neg_errno();
	si.uptime = (long)hostview_uptime(v);
	for (int i = 0; i < 3; i++)
		si.loads[i] = usage.loads[i] << (SI_LOAD_SHIFT - HOSTVIEW_LOAD_BITS);
	si.procs = (unsigned short)MIN(usage.threads, UINT16_MAX);
	if (hostview_bounds(v)->memory)
		give_memory(v, &usage, &si);
	return mem_write(call, call->args[0], &si, sizeof si);
}
