/* supervisor/procfs_table.c - the allow-list of /proc. What has no row here does not exist for a guest (F1).
 *
 * Left out on purpose: host details and controls (cmdline, kcore, kmsg, kallsyms, keys, modules, slabinfo, zoneinfo, sysrq-trigger, timer_list,
 * sched_debug, interrupts, bus, irq, diskstats, locks); map_files (jumps straight to
 * backing files); syscall and stack. pagemap is denied, because the kernel decides with the opener's privileges
 * whether physical addresses are shown, and the opener would be the supervisor. */
#include "supervisor/procfs_internal.h"

static const ProcRow global_rows[] = {
	{ "", PROC_DIR },
	{ "self", PROC_SELF },
	{ "thread-self", PROC_THREAD_SELF },
	{ "mounts", PROC_LINK, 0, "self/mounts" },
	{ "net", PROC_LINK, 0, "self/net" },
	/* What the sandbox was given (hostview.h). */
	{ "cpuinfo", PROC_TEXT, ROW_IF_CPUS, .render = procfs_render_cpuinfo },
	{ "loadavg", PROC_TEXT, ROW_LIVE, .render = procfs_render_loadavg },
	{ "meminfo", PROC_TEXT, ROW_LIVE | ROW_IF_MEMORY, .render = procfs_render_meminfo },
	{ "stat", PROC_TEXT, ROW_LIVE, .render = procfs_render_stat },
	{ "uptime", PROC_TEXT, ROW_LIVE, .render = procfs_render_uptime },
	{ "version", PROC_TEXT, ROW_IF_RELEASE, .render = procfs_render_version },
	/* Facts of the kernel, which say nothing of what the host does. */
	{ "devices", PROC_RAW },
	{ "filesystems", PROC_RAW },
	/* What the host does: programs want to read it, and need nothing of it. */
	{ "vmstat", PROC_TEXT, .render = procfs_render_counters },
	{ "swaps", PROC_TEXT, .render = procfs_render_header },
	{ "cgroups", PROC_TEXT, .render = procfs_render_cgroups },
	{ "sys", PROC_DIR },
	{ "sys/fs", PROC_DIR },
	{ "sys/fs/file-max", PROC_RAW },
	{ "sys/fs/file-nr", PROC_TEXT, .render = procfs_render_file_nr },
	{ "sys/fs/nr_open", PROC_RAW },
	{ "sys/fs/pipe-max-size", PROC_RAW },
	{ "sys/fs/pipe-user-pages-soft", PROC_RAW },
	{ "sys/fs/aio-max-nr", PROC_RAW },
	{ "sys/fs/protected_hardlinks", PROC_RAW },
	{ "sys/fs/protected_symlinks", PROC_RAW },
	{ "sys/fs/inotify", PROC_DIR },
	{ "sys/fs/inotify/max_user_watches", PROC_RAW },
	{ "sys/fs/inotify/max_user_instances", PROC_RAW },
	{ "sys/fs/inotify/max_queued_events", PROC_RAW },
	{ "sys/kernel", PROC_DIR },
	{ "sys/kernel/ostype", PROC_RAW },
	{ "sys/kernel/osrelease", PROC_TEXT, ROW_IF_RELEASE, .render = procfs_render_uts },
	{ "sys/kernel/version", PROC_RAW },
	{ "sys/kernel/hostname", PROC_TEXT, ROW_IF_NAME, .render = procfs_render_uts },
	{ "sys/kernel/domainname", PROC_TEXT, ROW_IF_NAME, .render = procfs_render_uts },
	{ "sys/kernel/arch", PROC_RAW },
	{ "sys/kernel/pid_max", PROC_RAW },
	{ "sys/kernel/threads-max", PROC_RAW },
	{ "sys/kernel/ngroups_max", PROC_RAW },
	{ "sys/kernel/cap_last_cap", PROC_RAW },
	{ "sys/kernel/overflowuid", PROC_RAW },
	{ "sys/kernel/overflowgid", PROC_RAW },
	{ "sys/kernel/randomize_va_space", PROC_RAW },
	{ "sys/kernel/perf_event_paranoid", PROC_RAW },
	{ "sys/kernel/sched_rr_timeslice_ms", PROC_RAW },
	{ "sys/kernel/shmmax", PROC_RAW },
	{ "sys/kernel/shmall", PROC_RAW },
	{ "sys/kernel/shmmni", PROC_RAW },
	{ "sys/kernel/sem", PROC_RAW },
	{ "sys/kernel/msgmax", PROC_RAW },
	{ "sys/kernel/seccomp", PROC_DIR },
	{ "sys/kernel/seccomp/actions_avail", PROC_RAW },
	{ "sys/kernel/yama", PROC_DIR },
	{ "sys/kernel/yama/ptrace_scope", PROC_RAW },
	{ "sys/kernel/random", PROC_DIR },
	{ "sys/kernel/random/boot_id", PROC_TEXT, .render = procfs_render_boot_id },
	{ "sys/kernel/random/uuid", PROC_RAW },
	{ "sys/kernel/random/entropy_avail", PROC_RAW },
	{ "sys/kernel/random/poolsize", PROC_RAW },
	{ "sys/vm", PROC_DIR },
	{ "sys/vm/overcommit_memory", PROC_RAW },
	{ "sys/vm/overcommit_ratio", PROC_RAW },
	{ "sys/vm/max_map_count", PROC_RAW },
	{ "sys/vm/mmap_min_addr", PROC_RAW },
	{ "sys/vm/nr_hugepages", PROC_RAW },
	{ "sys/vm/swappiness", PROC_RAW },
	{ "sys/net", PROC_DIR },
	{ "sys/net/core", PROC_DIR },
	{ "sys/net/core/somaxconn", PROC_RAW },
	{ "sys/net/core/rmem_max", PROC_RAW },
	{ "sys/net/core/wmem_max", PROC_RAW },
	{ "sys/net/core/rmem_default", PROC_RAW },
	{ "sys/net/core/wmem_default", PROC_RAW },
	{ "sys/net/ipv4", PROC_DIR },
	{ "sys/net/ipv4/ip_local_port_range", PROC_RAW },
	{ "sys/net/ipv4/tcp_fastopen", PROC_RAW },
	{ "sys/net/ipv4/tcp_keepalive_time", PROC_RAW },
	{ "sys/net/ipv4/tcp_max_syn_backlog", PROC_RAW },
	{ "sys/net/ipv6", PROC_DIR },
	{ "sys/net/ipv6/conf", PROC_DIR },
	{ "sys/net/ipv6/conf/all", PROC_DIR },
	{ "sys/net/ipv6/conf/all/disable_ipv6", PROC_RAW },
};

/* Of a process (/proc/PID/...) and of a thread (/proc/PID/task/TID/...); what a thread does not have the host says. */
static const ProcRow task_rows[] = {
	{ "", PROC_DIR },
	{ "task", PROC_DIR },
	{ "cwd", PROC_CWD },
	{ "root", PROC_ROOT },
	{ "exe", PROC_EXE },
	{ "fd", PROC_DIR },
	{ "fd/#", PROC_FD },
	{ "fdinfo", PROC_DIR },
	{ "fdinfo/#", PROC_RAW },
	{ "stat", PROC_TEXT, .render = procfs_render_task_stat },
	{ "statm", PROC_RAW },
	{ "status", PROC_TEXT, ROW_IF_IDS, .render = procfs_render_status },
	{ "cmdline", PROC_RAW },
	{ "comm", PROC_RAW, ROW_WRITE_OWN },
	{ "environ", PROC_RAW },
	{ "auxv", PROC_RAW },
	{ "limits", PROC_RAW },
	{ "cgroup", PROC_TEXT, .render = procfs_render_cgroup },
	{ "cpuset", PROC_TEXT, .render = procfs_render_cpuset },
	{ "io", PROC_RAW },
	{ "sched", PROC_RAW },
	{ "schedstat", PROC_RAW },
	{ "wchan", PROC_RAW },
	{ "personality", PROC_RAW },
	{ "children", PROC_RAW },
	{ "timers", PROC_RAW },
	{ "timerslack_ns", PROC_RAW, ROW_WRITE_OWN },
	{ "coredump_filter", PROC_RAW, ROW_WRITE_OWN },
	{ "oom_score", PROC_RAW },
	{ "oom_score_adj", PROC_RAW, ROW_WRITE_OWN },
	{ "loginuid", PROC_RAW },
	{ "sessionid", PROC_RAW },
	{ "uid_map", PROC_RAW },
	{ "gid_map", PROC_RAW },
	{ "projid_map", PROC_RAW },
	{ "setgroups", PROC_RAW },
	{ "attr", PROC_DIR },
	{ "attr/current", PROC_RAW },
	{ "attr/exec", PROC_RAW },
	{ "attr/prev", PROC_RAW },
	{ "clear_refs", PROC_RAW, ROW_WRITE_OWN | ROW_OWN },
	/* The memory of the caller itself, which it can change anyway; of others not even for reading. The descriptor stays
	 * bound to the address space of the moment of opening. */
	{ "mem", PROC_RAW, ROW_WRITE_OWN | ROW_OWN },
	{ "pagemap", PROC_DENIED },
	{ "maps", PROC_TEXT, .render = procfs_render_maps },
	{ "smaps", PROC_TEXT, .render = procfs_render_maps },
	{ "smaps_rollup", PROC_RAW },
	{ "numa_maps", PROC_TEXT, .render = procfs_render_numa_maps },
	{ "mounts", PROC_TEXT, .render = procfs_render_mounts },
	{ "mountinfo", PROC_TEXT, .render = procfs_render_mounts },
	{ "mountstats", PROC_TEXT, .render = procfs_render_mounts },
	{ "ns", PROC_DIR },
	{ "ns/cgroup", PROC_NS },
	{ "ns/ipc", PROC_NS },
	{ "ns/mnt", PROC_NS },
	{ "ns/net", PROC_NS },
	{ "ns/pid", PROC_NS },
	{ "ns/pid_for_children", PROC_NS },
	{ "ns/time", PROC_NS },
	{ "ns/time_for_children", PROC_NS },
	{ "ns/user", PROC_NS },
	{ "ns/uts", PROC_NS },
	{ "net", PROC_DIR },
	/* What packets of a guest take. */
	{ "net/if_inet6", PROC_RAW },
	{ "net/igmp", PROC_RAW },
	{ "net/ipv6_route", PROC_RAW },
	{ "net/route", PROC_RAW },
	/* What the host does with the network. */
	{ "net/dev", PROC_TEXT, .render = procfs_render_counters },
	{ "net/netstat", PROC_TEXT, .render = procfs_render_counters },
	{ "net/protocols", PROC_TEXT, .render = procfs_render_counters },
	{ "net/snmp", PROC_TEXT, .render = procfs_render_counters },
	{ "net/snmp6", PROC_TEXT, .render = procfs_render_counters },
	{ "net/sockstat", PROC_TEXT, .render = procfs_render_counters },
	{ "net/sockstat6", PROC_TEXT, .render = procfs_render_counters },
	{ "net/arp", PROC_TEXT, .render = procfs_render_header },
	{ "net/netlink", PROC_TEXT, .render = procfs_render_header },
	{ "net/packet", PROC_TEXT, .render = procfs_render_header },
	/* Sockets that the sandbox's processes hold. */
	{ "net/raw", PROC_TEXT, .render = procfs_render_sockets },
	{ "net/raw6", PROC_TEXT, .render = procfs_render_sockets },
	{ "net/tcp", PROC_TEXT, .render = procfs_render_sockets },
	{ "net/tcp6", PROC_TEXT, .render = procfs_render_sockets },
	{ "net/udp", PROC_TEXT, .render = procfs_render_sockets },
	{ "net/udp6", PROC_TEXT, .render = procfs_render_sockets },
	{ "net/udplite", PROC_TEXT, .render = procfs_render_sockets },
	{ "net/udplite6", PROC_TEXT, .render = procfs_render_sockets },
	{ "net/unix", PROC_TEXT, .render = procfs_render_sockets },
};

/* A descriptor number as the kernel prints it: digits, no leading zero. */
static bool is_number(const char *s)
{
	size_t len = strspn(s, "0123456789");

	return len > 0 && len <= 10 && s[len] == 0 && (s[0] != '0' || len == 1);
}

static bool row_matches(const ProcRow *row, const char *path)
{
	size_t len = strlen(row->path);

	if (len == 0 || row->path[len - 1] != '#')
		return strcmp(row->path, path) == 0;
	return strncmp(row->path, path, len - 1) == 0 && is_number(path + len - 1);
}

static const ProcRow *find(const ProcRow *rows, size_t count, const char *path)
{
	for (size_t i = 0; i < count; i++)
		if (row_matches(&rows[i], path))
			return &rows[i];
	return NULL;
}

const ProcRow *procfs_global_row(const char *path)
{
	return find(global_rows, ARRAY_LEN(global_rows), path);
}

const ProcRow *procfs_task_row(const char *path)
{
	return find(task_rows, ARRAY_LEN(task_rows), path);
}
