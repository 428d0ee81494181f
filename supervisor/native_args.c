#include "supervisor/native_args.h"

#include <asm/termbits.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/prctl.h>
#include <linux/sockios.h>
#include <linux/random.h>
#include <asm/ioctls.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/mman.h>

#define LOW32 0xffffffffULL
#define LIST(name, argument, bits, ...) \
	static const uint64_t name##_values[] = {__VA_ARGS__}; \
	const ArgNative name = {argument, bits, sizeof name##_values / sizeof(uint64_t), name##_values}

#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY 1027
#endif
#ifndef F_CREATED_QUERY
#define F_CREATED_QUERY 1028
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#define PR_GET_MEMORY_MERGE 68
#endif

/* msync without MS_SYNC starts nothing that must be durable. */
LIST(msync_async, 2, MS_SYNC, 0);
LIST(pid_zero, 0, LOW32, 0);
LIST(no_address, 4, UINT64_MAX, 0);
LIST(no_peer, 1, UINT64_MAX, 0);
LIST(recv_native, 2, RECV_NATIVE, RECV_NATIVE);
/* All but RLIMIT_CORE, which is 4. What is no resource is emulated and so refused by the kernel. */
#define RESOURCES 0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
LIST(rlimit_native, 0, LOW32, RESOURCES);
static const ArgNative prlimit_resources = {1, LOW32, sizeof rlimit_native_values / sizeof(uint64_t), rlimit_native_values, NULL};
const ArgNative prlimit_native = {0, LOW32, 1, pid_zero_values, &prlimit_resources};
/* Clocks of the system (0 to 11), auxiliary ones, and those of the caller itself: with a pid of 0. */
LIST(clock_native, 0, LOW32, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23, (uint32_t)-1, (uint32_t)-2, (uint32_t)-3, (uint32_t)-4, (uint32_t)-5, (uint32_t)-6, (uint32_t)-7, (uint32_t)-8);
LIST(personality_query, 0, LOW32, 0xffffffffu, 0);

LIST(prctl_native, 0, LOW32, PR_SET_NAME, PR_GET_NAME, PR_SET_PDEATHSIG, PR_GET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS,
	PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER, PR_SET_TIMERSLACK, PR_GET_TIMERSLACK, PR_GET_SECCOMP, PR_CAPBSET_READ, PR_CAP_AMBIENT,
	PR_GET_SECUREBITS, PR_GET_KEEPCAPS, PR_GET_TID_ADDRESS, PR_SET_THP_DISABLE, PR_GET_THP_DISABLE, PR_SET_VMA, PR_GET_SPECULATION_CTRL,
	PR_SET_SPECULATION_CTRL, PR_SET_FP_MODE, PR_GET_FP_MODE, PR_GET_TSC, PR_SET_UNALIGN, PR_GET_UNALIGN, PR_SET_FPEMU, PR_GET_FPEMU, PR_SET_FPEXC,
	PR_GET_FPEXC, PR_SVE_SET_VL, PR_SVE_GET_VL, PR_SET_TAGGED_ADDR_CTRL, PR_GET_TAGGED_ADDR_CTRL, PR_PAC_RESET_KEYS, PR_MCE_KILL_GET,
	PR_SET_MEMORY_MERGE, PR_GET_MEMORY_MERGE);

/* Not F_SETOWN*, F_SETSIG (signals to strangers), F_SETLEASE (stalls the host's writers), F_NOTIFY, F_SET_RW_HINT. */
LIST(fcntl_native, 1, LOW32, F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK,
	F_OFD_SETLKW, F_GETOWN, F_GETOWN_EX, F_GETSIG, F_GETLEASE, F_SETPIPE_SZ, F_GETPIPE_SZ, F_ADD_SEALS, F_GET_SEALS, F_GET_RW_HINT, F_DUPFD_QUERY,
	F_CREATED_QUERY);

/* Levels that have nothing to do with the way which packets take. */
LIST(setsockopt_native, 1, LOW32, SOL_SOCKET, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMPV6, SOL_NETLINK, SOL_TLS);

/* Terminals without TIOCSTI, TIOCLINUX, TIOCCONS, TIOCSETD; files without anything that sets; sockets' reading requests. */
LIST(ioctl_native, 1, LOW32, TCGETS, TCSETS, TCSETSW, TCSETSF, TCGETA, TCSETA, TCSETAW, TCSETAF, TCGETS2, TCSETS2, TCSETSW2, TCSETSF2, TCSBRK, TCSBRKP, TCXONC, TCFLSH, TIOCEXCL, TIOCNXCL,
	TIOCSCTTY, TIOCNOTTY, TIOCGPGRP, TIOCSPGRP, TIOCOUTQ, TIOCGWINSZ, TIOCSWINSZ, TIOCGSID, TIOCPKT, TIOCGPTN, TIOCSPTLCK, TIOCGPTLCK, TIOCGPKT,
	TIOCGETD, TIOCGEXCL, TIOCSIG, FIONREAD, FIONBIO, FIOASYNC, FIOCLEX, FIONCLEX, FIOQSIZE, FICLONE, FICLONERANGE, FIGETBSZ, FS_IOC_GETFLAGS, FS_IOC_FIEMAP,
	FS_IOC_FSGETXATTR, FS_IOC_GETVERSION, SIOCATMARK, SIOCINQ, SIOCGIFNAME, SIOCGIFCONF, SIOCGIFFLAGS, SIOCGIFADDR, SIOCGIFDSTADDR, SIOCGIFBRDADDR,
	SIOCGIFNETMASK, SIOCGIFMTU, SIOCGIFHWADDR, SIOCGIFINDEX, SIOCGIFTXQLEN, SIOCGSTAMP_OLD, SIOCGSTAMPNS_OLD, RNDGETENTCNT, BLKGETSIZE, BLKSSZGET, BLKGETSIZE64);
