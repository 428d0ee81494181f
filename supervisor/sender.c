/* sender.c - see sender.h. */
#include "supervisor/sender.h"

#include "base/fdpass.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#define MAX_PASSED 253	/* SCM_MAX_FD */
#define PATIENCE_MS 100 /* with other processes of this user that have many descriptors on their way */

typedef enum Stage { STAGE_NEW, STAGE_SENDING, STAGE_DONE } Stage;

/* What both have. The supervisor trusts what is in it as far as its own process: guests cannot reach it. */
typedef struct Window {
	_Atomic int stage;
	int64_t result; /* at STAGE_DONE */
	int flags;
	socklen_t name_len;
	size_t control_len, data_len, n_passed;
	struct sockaddr_storage name;
	_Alignas(16) char control[SENDER_CONTROL];
	char data[SENDER_DATA];
} Window;

struct Sender {
	Window *window;
	pthread_mutex_t lock;
	int sock; /* -1: there is no process. Protected by lock, as is all in the window */
	bool used;
};

int sender_new(Sender **out)
{
	Sender *s = calloc(1, sizeof *s);

	if (!s)
		return -ENOMEM;
	s->sock = -1;
	s->window = mmap(NULL, sizeof *s->window, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->window == MAP_FAILED) {
		int r = bv_neg_errno();
		free(s);
		return r;
	}
	pthread_mutex_init(&s->lock, NULL);
	*out = s;
	return 0;
}

void sender_free(Sender *s)
{
	if (!s)
		return;
	bv_close_fd(&s->sock);
	munmap(s->window, sizeof *s->window);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

bool sender_was_used(Sender *s)
{
	pthread_mutex_lock(&s->lock);
	bool used = s->used;
	pthread_mutex_unlock(&s->lock);
	return used;
}

/* ---- the process ---- */

/* SCM_RIGHTS name descriptors of the supervisor, SCM_CREDENTIALS its number. */
static void renumber(struct msghdr *m, const int *passed, size_t n)
{
	const pid_t self = getpid();
	size_t at = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS && c->cmsg_len == CMSG_LEN(sizeof(struct ucred)))
			memcpy(CMSG_DATA(c) + offsetof(struct ucred, pid), &self, sizeof self);
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = MIN((c->cmsg_len - CMSG_LEN(0)) / sizeof(int), n - at);
		memcpy(CMSG_DATA(c), passed + at, count * sizeof(int));
		at += count;
	}
}

static int64_t send_it(Window *w, int to, const int *passed)
{
	struct iovec iov = {w->data, w->data_len};
	struct msghdr m = {.msg_name = w->name_len ? &w->name : NULL, .msg_namelen = w->name_len, .msg_iov = &iov, .msg_iovlen = 1};

	if (w->control_len) {
		m.msg_control = w->control;
		m.msg_controllen = w->control_len;
		renumber(&m, passed, w->n_passed);
	}
	atomic_store(&w->stage, STAGE_SENDING);
	ssize_t n = sendmsg(to, &m, w->flags | MSG_NOSIGNAL | MSG_DONTWAIT);
	return n < 0 ? bv_neg_errno() : n;
}

static bool serve(Window *w, int sock)
{
	int to = -1, passed[MAX_PASSED];
	size_t n = 0;
	char byte;

	if (bv_recv_fds(sock, &byte, 1, &to, 1) != 1 || to < 0)
		return false;
	for (size_t part; n < w->n_passed; n += part) {
		part = MIN(w->n_passed - n, (size_t)FDPASS_MAX);
		if (bv_recv_fds(sock, &byte, 1, passed + n, part) != 1)
			return false;
	}
	w->result = send_it(w, to, passed);
	atomic_store(&w->stage, STAGE_DONE);
	close(to);
	for (size_t i = 0; i < n; i++)
		close(passed[i]);
	return send(sock, &byte, 1, MSG_NOSIGNAL) == 1;
}

_Noreturn void sender_main(const Sender *s, int sock, int door)
{
	int fds[] = {sock, door};

	prctl(PR_SET_NAME, "bvisor-sender", 0, 0, 0);
	if (bv_keep_fds(fds, ARRAY_LEN(fds)) < 0 || bv_write_full(fds[1], "0", 1) < 0)
		_exit(1);
	close(fds[1]);
	while (serve(s->window, fds[0]))
		;
	_exit(0);
}

/* ---- the supervisor's side ---- */

static int begin_locked(Sender *s, int keeper)
{
	int ends[2];

	if (s->sock >= 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return bv_neg_errno();
	int r = bv_send_fds(keeper, "s", 1, &ends[1], 1, PATIENCE_MS);
	close(ends[1]);
	if (r < 0)
		close(ends[0]);
	else
		s->sock = ends[0];
	s->used = s->used || r == 0;
	return r;
}

static void fill(Window *w, const struct msghdr *m, size_t n_passed, int flags)
{
	w->flags = flags;
	w->name_len = m->msg_name ? m->msg_namelen : 0;
	w->control_len = m->msg_control ? m->msg_controllen : 0;
	w->data_len = m->msg_iov->iov_len;
	w->n_passed = n_passed;
	if (w->name_len)
		memcpy(&w->name, m->msg_name, w->name_len);
	if (w->control_len)
		memcpy(w->control, m->msg_control, w->control_len);
	if (w->data_len)
		memcpy(w->data, m->msg_iov->iov_base, w->data_len);
	atomic_store(&w->stage, STAGE_NEW);
}

/* -EPIPE: it has ended. */
static int ask(int process, int sock, const int *passed, size_t n)
{
	char byte = 'm';
	int r = bv_send_fds(process, &byte, 1, &sock, 1, PATIENCE_MS), none;

	for (size_t at = 0, part; at < n && r == 0; at += part) {
		part = MIN(n - at, (size_t)FDPASS_MAX);
		r = bv_send_fds(process, &byte, 1, passed + at, part, PATIENCE_MS);
	}
	if (r < 0)
		return r == -ECONNRESET ? -EPIPE : r;
	ssize_t got = bv_recv_fds(process, &byte, 1, &none, 0);
	return got == 1 ? 0 : -EPIPE;
}

ssize_t sender_send(Sender *s, int keeper, int sock, const struct msghdr *m, const int *passed, size_t n, int flags)
{
	Window *w = s->window;
	ssize_t r = -EPIPE;

	if (n > MAX_PASSED || m->msg_iov->iov_len > sizeof w->data || (m->msg_control && m->msg_controllen > sizeof w->control) || m->msg_namelen > sizeof w->name)
		return -EMSGSIZE;
	pthread_mutex_lock(&s->lock);
	fill(w, m, n, flags);
	for (int tries = 0; r == -EPIPE && tries < 2 && atomic_load(&w->stage) == STAGE_NEW; tries++) { /* one that had ended before costs nothing */
		r = begin_locked(s, keeper);
		if (r < 0)
			break;
		r = ask(s->sock, sock, passed, n);
		if (r < 0)
			bv_close_fd(&s->sock); /* also where it waits for descriptors that could not be passed */
	}
	if (r == -EPIPE || r == 0)
		r = atomic_load(&w->stage) == STAGE_DONE ? w->result : -ENOBUFS;
	pthread_mutex_unlock(&s->lock);
	return r;
}
