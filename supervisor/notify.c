/* notify.c - one receiver thread per listener takes a notification, answers the fast calls itself (one hot thread: each wake-up of another would cost
 * a cold cache and a scheduler round), and hands on what may wait.
 *
 * Exactly one reply: a handler's return value is answered here and nowhere else, unless it says CALL_REPLIED. A guest that was
 * killed meanwhile makes the answer fail with ENOENT, which is no error. */
#include "supervisor/freeze.h"
#include "supervisor/kernel.h"
#include "supervisor/notify_internal.h"
#include "supervisor/vcred.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <time.h>

bool call_valid(const Call *call)
{
	return ioctl(call->listener->fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &call->id) == 0;
}

bool call_answer(Call *call, int64_t value)
{
	struct seccomp_notif_resp resp = {.id = call->id};

	if (call->held) {
		call_release_held(call, value);
		return true;
	}
	if (value == CALL_CONTINUE)
		resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	else if (value < 0)
		resp.error = (int32_t)value;
	else
		resp.val = value;
	gate_enter(call->sup);
	bool sent = ioctl(call->listener->fd, SECCOMP_IOCTL_NOTIF_SEND, &resp) == 0;
	gate_leave(call->sup);
	if (sent)
		return true;
	call->gone = true;
	if (!call->sup->features.killable && value >= 0 && call->row && call->content)
		task_note_late(call, value);
	else if (!call->sup->features.killable && call->expected)
		task_expect_again(call);
	return false;
}

/* An ADDFD that a signal interrupts before the guest has taken the descriptor takes it back, but with SEND the call is answered all the same: with 0.
 * Workers are signalled (workers_tick), also because an answered call looks like one whose guest is gone; so not now. */
static int add_fd(const Call *call, struct seccomp_notif_addfd *add)
{
	sigset_t kick, old;

	if (!call->req.may_block)
		return ioctl(call->listener->fd, SECCOMP_IOCTL_NOTIF_ADDFD, add);
	sigemptyset(&kick);
	sigaddset(&kick, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &kick, &old);
	int r = ioctl(call->listener->fd, SECCOMP_IOCTL_NOTIF_ADDFD, add);
	int saved = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = saved;
	return r;
}

/* Injecting a descriptor wakes the guest, which installs it, which wakes us: unlike an answer that is no synchronous wake-up, so the scheduler
 * sends the guest to an idle processor, which (in a virtual machine) takes 30 us and more to come out of its idle state. For that
 * moment the guest is bound to the processor where it called and where we run now. Only on the receiver thread, and only while no guest has
 * ever set an affinity of its own. */
static bool keep_on_this_cpu(Call *call)
{
	Listener *li = call->listener;
	cpu_set_t here;

	/* The guest has to stay in its call until it is unbound: a child that it forks, say, would be bound for ever. */
	if (call->req.may_block || !call->sup->features.killable || !call->sup->cpus_known || atomic_load(&call->sup->affinity_used))
		return false;
	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	if (!li->bound_calls && sched_setaffinity(0, sizeof here, &here) == 0) /* the guest wakes us in its turn */
		li->bound_calls = 1;
	return sched_setaffinity(call->tid, sizeof here, &here) == 0;
}

#define BOUND_MAX 16

/* The receiver, bound by keep_on_this_cpu, stays so only while one guest alone calls again and again, and not for long: it may be moved. A guest on
 * another processor would have to wait for this one. */
static void unbind_receiver(Listener *li)
{
	if (!li->bound_calls || (li->in_a_row >= BOUND_MAX && li->bound_calls < BOUND_MAX))
		return;
	li->bound_calls = 0;
	sched_setaffinity(0, sizeof li->sup->cpus, &li->sup->cpus);
}

static void note_caller(Listener *li, pid_t tid)
{
	li->in_a_row = tid == li->caller ? li->in_a_row + 1 : 0;
	li->caller = tid;
	li->bound_calls += li->bound_calls > 0;
	unbind_receiver(li);
}

/* First the descriptor, then, the guest unbound, the answer. */
static int reply_fd_here(Call *call, struct seccomp_notif_addfd *add)
{
	add->flags = 0;
	int r = add_fd(call, add);
	int err = r < 0 ? bv_neg_errno() : 0;

	sched_setaffinity(call->tid, sizeof call->sup->cpus, &call->sup->cpus);
	unbind_receiver(call->listener);
	if (r >= 0)
		call_answer(call, r);
	return err;
}

int call_reply_fd(Call *call, int *fd, bool cloexec)
{
	if (call->held)
		return call_reply_held_fd(call, *fd, cloexec);
	/* A worker may have to wait for a processor before it closes its own. The receiver does so before it takes the guest's next call. */
	if (call->req.may_block && call->sup->features.killable)
		return call_hand_over(call, fd, cloexec);
	struct seccomp_notif_addfd add = {
	    .id = call->id, .flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = (uint32_t)*fd, .newfd_flags = cloexec ? O_CLOEXEC : 0};
	gate_enter(call->sup);
	int err = keep_on_this_cpu(call) ? reply_fd_here(call, &add) : add_fd(call, &add) < 0 ? bv_neg_errno() : 0;
	gate_leave(call->sup);

	call->gone |= err == -ENOENT;
	if (err == 0 || call->gone)
		return CALL_REPLIED;
	return err; /* EMFILE: the guest's own limit */
}

int call_give_fd(Call *call, int fd, bool cloexec)
{
	struct seccomp_notif_addfd add = {.id = call->id, .srcfd = (uint32_t)fd, .newfd_flags = cloexec ? O_CLOEXEC : 0};
	int r = add_fd(call, &add);

	return r < 0 ? bv_neg_errno() : r;
}

int call_hand_over(Call *call, int *fd, bool cloexec)
{
	int given = call_give_fd(call, *fd, cloexec);

	bv_close_fd(fd);
	call->gone |= given == -ENOENT;
	return call->gone ? CALL_REPLIED : given;
}

int call_replace_fd(Call *call, int fd, int guest_fd, bool cloexec)
{
	struct seccomp_notif_addfd add = {.id = call->id,
					  .flags = SECCOMP_ADDFD_FLAG_SETFD,
					  .srcfd = (uint32_t)fd,
					  .newfd = (uint32_t)guest_fd,
					  .newfd_flags = cloexec ? O_CLOEXEC : 0};

	return add_fd(call, &add) < 0 ? bv_neg_errno() : 0;
}

void call_note(Call *call, const char *path)
{
	if (!call->listener->trace)
		return;
	size_t used = strlen(call->detail);
	snprintf(call->detail + used, sizeof call->detail - used, "%s\"%s\"", used ? ", " : "", path);
}

void call_trace(const Call *call, int64_t value)
{
	FILE *out = call->listener->trace;
	struct timespec t;
	const char *name = call->row ? call->row->name : "?";

	if (!out)
		return;
	clock_gettime(CLOCK_REALTIME, &t);
	flockfile(out);
	fprintf(out, "%lld.%06ld [%d] ", (long long)t.tv_sec, t.tv_nsec / 1000, call->tid);
	if (call->row)
		fprintf(out, "%s(%s%s%#llx, %#llx, %#llx, %#llx)", name, call->detail, call->detail[0] ? "; " : "", (unsigned long long)call->args[0],
			(unsigned long long)call->args[1], (unsigned long long)call->args[2], (unsigned long long)call->args[3]);
	else
		fprintf(out, "syscall_%d()", call->nr);
	if (value == CALL_CONTINUE)
		fputs(" -> kernel", out);
	else if (value == CALL_REPLIED)
		fputs(" = done", out);
	else if (value < 0)
		fprintf(out, " = -%s", strerrorname_np((int)-value) ? strerrorname_np((int)-value) : "?");
	else
		fprintf(out, " = %lld", (long long)value);
	if (call->row && call->row->policy == POLICY_REFUSE)
		fprintf(out, " (refused: %s)", call->row->reason);
	fputc('\n', out);
	fflush(out);
	funlockfile(out);
}

static int handle(Call *call)
{
	Supervisor *sup = call->sup;

	call->detail[0] = 0;
	if (!call->row) {
		if (call->nr >= 0 && (size_t)call->nr < ARRAY_LEN(sup->unknown))
			atomic_fetch_add(&sup->unknown[call->nr], 1);
		return -ENOSYS;
	}
	if (call->row->policy == POLICY_REFUSE) {
		atomic_fetch_add(&sup->counts[call->row - syscall_table], 1);
		return -call->row->error;
	}
	if (call->nr > sup->features.newest_call)
		return -ENOSYS;
	if (!sup->features.killable) {
		int64_t value;
		bool known = call->row->once && task_note_content(call) == 0;
		if (workers_has_stale(sup->workers, call))
			return CALL_SLOW;
		if (known && task_take_late(call, &value))
			return (int)value;
	}
	return call->row->handler(call);
}

void call_run(Call *call)
{
	int value = handle(call);

	if (!call->req.may_block && (value == CALL_SLOW || value == -EINPROGRESS || limits_retry(call->sup, value))) {
		int r = workers_submit(call->sup->workers, call);
		if (r == 0)
			return;
		value = call->sent ? (int)call->sent : r;
	}
	if (value != CALL_REPLIED)
		call_answer(call, value);
	call_trace(call, value);
}

/* Did the last process with this filter end? RECV answers ENOENT for ever then, as it does once for a guest that was killed meanwhile. */
static bool is_deserted(const Listener *li)
{
	struct pollfd p = {.fd = li->fd};

	return poll(&p, 1, 0) > 0 && (p.revents & POLLHUP);
}

/* False when nothing will come any more. */
static bool receive_one(Listener *li, struct seccomp_notif *n)
{
	Call call;

	memset(n, 0, sizeof *n); /* the kernel insists */
	if (ioctl(li->fd, SECCOMP_IOCTL_NOTIF_RECV, n) < 0)
		return errno != ENOENT || !is_deserted(li); /* EINTR: told to stop */
	note_caller(li, (pid_t)n->pid);
	call.sup = li->sup;
	call.listener = li;
	call.id = n->id;
	call.tid = (pid_t)n->pid;
	call.nr = n->data.nr;
	memcpy(call.args, n->data.args, sizeof call.args);
	call.row = syscall_find(call.nr);
	call.caller = (SupCaller){.tid = call.tid, .sup = li->sup};
	call.ip = n->data.instruction_pointer;
	call.content = 0;
	call.sent = 0;
	call.gone = call.expected = false;
	atomic_init(&call.seized, false);
	call.held = NULL;
	call.req = (CowReq){.cred = &li->sup->cred, .caller = &call.caller};
	if (vcred_in_use(li->sup->vcreds))
		call.req.cred = vcred_of(li->sup->vcreds, call.tid);
	call_run(&call);
	return true;
}

static void *receiver(void *arg)
{
	Listener *li = arg;
	struct seccomp_notif n;

	if (li->sup->cpus_limited) /* keep_on_this_cpu binds guests to the processor that it is on */
		sched_setaffinity(0, sizeof li->sup->cpus, &li->sup->cpus);
	while (!atomic_load(&li->stop) && receive_one(li, &n))
		;
	return NULL;
}

int listener_start(Supervisor *sup, int fd, FILE *trace, Listener **out)
{
	Listener *li = calloc(1, sizeof *li);

	if (!li) {
		close(fd);
		return -ENOMEM;
	}
	*li = (Listener){.sup = sup, .fd = fd, .trace = trace};
	if (sup->features.sync_wakeup && ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) < 0)
		sup->features.sync_wakeup = false; /* before 6.6: slower, nothing else */
	int r = pthread_create(&li->thread, NULL, receiver, li);
	if (r) {
		close(fd);
		free(li);
		return -r;
	}
	*out = li;
	return 0;
}

int listener_fd(const Listener *li)
{
	return li->fd;
}

void listener_stop(Listener *li)
{
	if (!li)
		return;
	atomic_store(&li->stop, true);
	/* A signal that arrives just before the ioctl is lost, so it is sent until the thread has ended (it may have done so by itself). */
	for (;;) {
		struct timespec until;
		pthread_kill(li->thread, SIGUSR1);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += 2000000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000;
		}
		if (pthread_timedjoin_np(li->thread, NULL, &until) == 0)
			break;
	}
	while (atomic_load(&li->in_flight)) {
		workers_tick(li->sup->workers);
		usleep(1000);
	}
	close(li->fd);
	free(li);
}
