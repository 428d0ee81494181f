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
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/mman.h>

#define LOW32 0xffffffffULL
#define DEFINE_LIST(scope, name, argument, bits, ...) \
	static const uint64_t name##_values[] = {__VA_ARGS__}; \
	scope const ArgNative name = {argument, bits, sizeof name##_values / sizeof(uint64_t), name##_values, NULL, NULL}
#define LIST(...) DEFINE_LIST(, __VA_ARGS__)
#define PRIVATE_LIST(...) DEFINE_LIST(static, __VA_ARGS__)

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
static const ArgNative prlimit_resources = {1, LOW32, sizeof rlimit_native_values / sizeof(uint64_t), rlimit_native_values, NULL, NULL};
const ArgNative prlimit_native = {0, LOW32, 1, pid_zero_values, &prlimit_resources, NULL};
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

/* Levels that have nothing to do with the way which packets take, and what is set of every socket at each start of a server or client. Not SO_REUSEADDR and SO_REUSEPORT: net.h. */
PRIVATE_LIST(socket_names, 2, LOW32, SO_BROADCAST, SO_SNDBUF, SO_RCVBUF, SO_KEEPALIVE, SO_OOBINLINE, SO_PRIORITY, SO_LINGER, SO_PASSCRED, SO_RCVLOWAT, SO_RCVTIMEO_OLD, SO_SNDTIMEO_OLD,
	SO_TIMESTAMP_OLD, SO_TIMESTAMPNS_OLD, SO_TIMESTAMPING_OLD, SO_RXQ_OVFL, SO_PEEK_OFF, SO_INCOMING_CPU, SO_ZEROCOPY, SO_TIMESTAMP_NEW, SO_TIMESTAMPNS_NEW, SO_TIMESTAMPING_NEW,
	SO_RCVTIMEO_NEW, SO_SNDTIMEO_NEW);
static const uint64_t socket_level[] = {SOL_SOCKET};
static const ArgNative socket_option_native = {1, LOW32, 1, socket_level, &socket_names, NULL};
PRIVATE_LIST(tcp_names, 2, LOW32, TCP_NODELAY, TCP_MAXSEG, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_SYNCNT, TCP_LINGER2, TCP_DEFER_ACCEPT, TCP_QUICKACK, TCP_CONGESTION,
	TCP_USER_TIMEOUT, TCP_FASTOPEN, TCP_NOTSENT_LOWAT, TCP_FASTOPEN_CONNECT, TCP_INQ);
static const uint64_t tcp_level[] = {IPPROTO_TCP};
static const ArgNative tcp_option_native = {1, LOW32, 1, tcp_level, &tcp_names, &socket_option_native};
static const uint64_t setsockopt_levels[] = {IPPROTO_ICMPV6, SOL_NETLINK, SOL_TLS};
const ArgNative setsockopt_native = {1, LOW32, sizeof setsockopt_levels / sizeof(uint64_t), setsockopt_levels, NULL, &tcp_option_native};
/* All others but these two are the kernel's to tell, too; which level a name is of does not matter here. */
PRIVATE_LIST(getsockopt_names, 2, LOW32, SO_TYPE, SO_ERROR, SO_SNDBUF, SO_RCVBUF, SO_PEERCRED, SO_RCVTIMEO_OLD, SO_SNDTIMEO_OLD, SO_ACCEPTCONN, SO_PROTOCOL, SO_DOMAIN, SO_COOKIE);
static const uint64_t getsockopt_levels[] = {IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMPV6, SOL_NETLINK, SOL_TLS};
const ArgNative getsockopt_native = {1, LOW32, sizeof getsockopt_levels / sizeof(uint64_t), getsockopt_levels, NULL, &getsockopt_names};

/* Terminals without TIOCSTI, TIOCLINUX, TIOCCONS, TIOCSETD; files without anything that sets; sockets' reading requests. */
LIST(ioctl_native, 1, LOW32, TCGETS, TCSETS, TCSETSW, TCSETSF, TCGETA, TCSETA, TCSETAW, TCSETAF, TCGETS2, TCSETS2, TCSETSW2, TCSETSF2, TCSBRK, TCSBRKP, TCXONC, TCFLSH, TIOCEXCL, TIOCNXCL,
	TIOCSCTTY, TIOCNOTTY, TIOCGPGRP, TIOCSPGRP, TIOCOUTQ, TIOCGWINSZ, TIOCSWINSZ, TIOCGSID, TIOCPKT, TIOCGPTN, TIOCSPTLCK, TIOCGPTLCK, TIOCGPKT,
	TIOCGETD, TIOCGEXCL, TIOCSIG, FIONREAD, FIONBIO, FIOASYNC, FIOCLEX, FIONCLEX, FIOQSIZE, FICLONE, FICLONERANGE, FIGETBSZ, FS_IOC_GETFLAGS, FS_IOC_FIEMAP,
	FS_IOC_FSGETXATTR, FS_IOC_GETVERSION, SIOCATMARK, SIOCINQ, SIOCGIFNAME, SIOCGIFCONF, SIOCGIFFLAGS, SIOCGIFADDR, SIOCGIFDSTADDR, SIOCGIFBRDADDR,
	SIOCGIFNETMASK, SIOCGIFMTU, SIOCGIFHWADDR, SIOCGIFINDEX, SIOCGIFTXQLEN, SIOCGSTAMP_OLD, SIOCGSTAMPNS_OLD, RNDGETENTCNT, BLKGETSIZE, BLKSSZGET, BLKGETSIZE64);
