/* lib/conn.c - see conn.h.
 *
 * Invariants:
 *  - A listed call is in conn->calls exactly once and has no answer; an answer takes it off the list.
 *  - At most one thread has reading == true, and it holds no lock while it waits for the socket.
 *  - `dead` never goes back to false.
 * Sending needs no lock: a packet of a SOCK_SEQPACKET socket is sent whole or not at all. */
#include "lib/conn.h"
#include "base/fdpass.h"
#include "supervisor/control.h"

#include <poll.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#define CONN_MAX_FDS FDPASS_MAX

struct Conn {
	atomic_uint refs;
	int fd;
	pthread_mutex_t mu; /* protects what follows */
	pthread_cond_t changed;
	ConnCall *calls;
	uint64_t next_seq;
	bool reading;
	bool dead;
	char packet[CONTROL_INLINE]; /* belongs to the thread that reads */
};

int conn_new(int fd, Conn **out)
{
	CLEAN_FD int owned = lib_own_fd(fd);
	pthread_condattr_t attr;
	Conn *conn;

	if (owned < 0)
		return bv_neg_errno();
	conn = calloc(1, sizeof(*conn));
	if (!conn)
		return -ENOMEM;
	atomic_init(&conn->refs, 1);
	conn->fd = TAKE_FD(owned);
	conn->next_seq = 1;
	pthread_mutex_init(&conn->mu, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&conn->changed, &attr);
	pthread_condattr_destroy(&attr);
	*out = conn;
	return 0;
}

Conn *conn_get(Conn *conn)
{
	atomic_fetch_add(&conn->refs, 1);
	return conn;
}

void conn_put(Conn *conn)
{
	if (!conn || atomic_fetch_sub(&conn->refs, 1) != 1)
		return;
	close(conn->fd);
	pthread_cond_destroy(&conn->changed);
	pthread_mutex_destroy(&conn->mu);
	free(conn);
}

bool conn_is_dead(Conn *conn)
{
	bool dead;

	pthread_mutex_lock(&conn->mu);
	dead = conn->dead;
	pthread_mutex_unlock(&conn->mu);
	return dead;
}

cJSON *conn_request(const char *op)
{
	cJSON *request = cJSON_CreateObject();

	if (request && !cJSON_AddStringToObject(request, "op", op)) {
		cJSON_Delete(request);
		return NULL;
	}
	return request;
}

/* ---- sending ---- */

static int body_to_memfd(const char *text, size_t len, int *out)
{
	CLEAN_FD int fd = -1;
	int r;

	if (len > CONTROL_MAX)
		return -E2BIG;
	fd = memfd_create("bvisor-request", MFD_CLOEXEC);
	if (fd < 0)
		return bv_neg_errno();
	r = bv_write_full(fd, text, len);
	if (r < 0)
		return r;
	*out = TAKE_FD(fd);
	return 0;
}

static int send_packet(int sock, const char *body, size_t len, const int *fds, size_t nfds)
{
	int r = bv_send_fds(sock, body, len, fds, nfds, FDPASS_PATIENCE);

	return r == -EPIPE || r == -ENOTCONN ? -ECONNRESET : r;
}

static int send_body(int sock, const char *text, const int *fds, size_t nfds)
{
	size_t len = strlen(text);
	CLEAN_FD int memfd = -1;
	int all[CONN_MAX_FDS];
	int r;

	if (len <= CONTROL_INLINE)
		return send_packet(sock, text, len, fds, nfds);
	r = body_to_memfd(text, len, &memfd);
	if (r < 0)
		return r;
	all[0] = memfd;
	if (nfds > 0)
		memcpy(all + 1, fds, nfds * sizeof(int));
	return send_packet(sock, "@", 1, all, nfds + 1);
}

static void unlist_locked(Conn *conn, ConnCall *call)
{
	for (ConnCall **p = &conn->calls; *p; p = &(*p)->next) {
		if (*p == call) {
			*p = call->next;
			break;
		}
	}
	call->listed = false;
}

static int list_call(Conn *conn, ConnCall *call)
{
	int r = 0;

	pthread_mutex_lock(&conn->mu);
	if (conn->dead) {
		r = -ECONNRESET;
	} else {
		*call = (ConnCall){.next = conn->calls, .listed = true, .seq = conn->next_seq++};
		conn->calls = call;
	}
	pthread_mutex_unlock(&conn->mu);
	return r;
}

int conn_begin(Conn *conn, ConnCall *call, cJSON *request, const int *fds, size_t nfds)
{
	CLEAN_FREE char *text = NULL;
	int r = nfds < CONN_MAX_FDS ? list_call(conn, call) : -EINVAL;

	if (r == 0 && request && cJSON_AddNumberToObject(request, "seq", (double)call->seq))
		text = cJSON_PrintUnformatted(request);
	cJSON_Delete(request);
	if (r < 0)
		return r;
	r = text ? send_body(conn->fd, text, fds, nfds) : -ENOMEM;
	if (r < 0)
		conn_forget(conn, call);
	return r;
}

/* ---- receiving ---- */

/* Closes what came along but was not asked for; the first one is the body's memfd when the packet says so. */
static void take_fds(struct msghdr *msg, int *memfd)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (*memfd < 0)
				*memfd = fd;
			else
				close(fd);
		}
	}
}

static cJSON *parse_memfd(int fd)
{
	off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
	CLEAN_FREE char *text = NULL;

	if (size <= 0 || size > CONTROL_MAX || lseek(fd, 0, SEEK_SET) < 0)
		return NULL;
	text = malloc((size_t)size);
	if (!text || bv_read_full(fd, text, (size_t)size) != size)
		return NULL;
	return cJSON_ParseWithLength(text, (size_t)size);
}

/* Receives one packet without blocking. 1: *out is an answer or NULL for one that makes no sense; 0: nothing there; -ECONNRESET. */
static int receive(Conn *conn, cJSON **out)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * CONN_MAX_FDS)];
	} control;
	struct iovec iov = {conn->packet, sizeof(conn->packet)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof(control.space)};
	CLEAN_FD int memfd = -1;
	ssize_t n = recvmsg(conn->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -ECONNRESET;
	take_fds(&msg, &memfd);
	*out = n == 1 && conn->packet[0] == '@' ? parse_memfd(memfd) : cJSON_ParseWithLength(conn->packet, (size_t)n);
	return 1;
}

static void deliver_locked(Conn *conn, cJSON *answer)
{
	const cJSON *seq = cJSON_GetObjectItemCaseSensitive(answer, "seq");

	for (ConnCall *c = conn->calls; c && cJSON_IsNumber(seq); c = c->next) {
		if ((double)c->seq == seq->valuedouble) {
			unlist_locked(conn, c);
			c->answer = answer;
			return;
		}
	}
	cJSON_Delete(answer); /* forgotten meanwhile */
}

static int remaining_ms(uint64_t deadline)
{
	uint64_t now = bv_now_ns();

	if (deadline == UINT64_MAX)
		return -1;
	return now >= deadline ? 0 : (int)MIN((deadline - now + 999999) / 1000000, (uint64_t)1000000000);
}

/* The reader's turn: waits for one packet with the lock released. */
static void read_one_locked(Conn *conn, uint64_t deadline)
{
	struct pollfd p = {.fd = conn->fd, .events = POLLIN};
	cJSON *answer = NULL;
	int r = 0;

	conn->reading = true;
	pthread_mutex_unlock(&conn->mu);
	if (poll(&p, 1, remaining_ms(deadline)) > 0)
		r = receive(conn, &answer);
	pthread_mutex_lock(&conn->mu);
	conn->reading = false;
	if (r < 0)
		conn->dead = true;
	if (r > 0)
		deliver_locked(conn, answer);
	pthread_cond_broadcast(&conn->changed);
}

static void wait_for_reader_locked(Conn *conn, uint64_t deadline)
{
	struct timespec t = {(time_t)(deadline / 1000000000), (long)(deadline % 1000000000)};

	if (deadline == UINT64_MAX)
		pthread_cond_wait(&conn->changed, &conn->mu);
	else
		pthread_cond_timedwait(&conn->changed, &conn->mu, &t);
}

int conn_wait(Conn *conn, ConnCall *call, int timeout_ms)
{
	uint64_t deadline = timeout_ms < 0 ? UINT64_MAX : bv_now_ns() + (uint64_t)timeout_ms * 1000000;
	bool tried = false;
	int r = 0;

	pthread_mutex_lock(&conn->mu);
	while (!call->answer && r == 0) {
		if (conn->dead)
			r = -ECONNRESET;
		else if (tried && remaining_ms(deadline) == 0)
			r = -ETIMEDOUT;
		else if (conn->reading)
			wait_for_reader_locked(conn, deadline);
		else
			read_one_locked(conn, deadline);
		tried = true;
	}
	if (r == -ECONNRESET && call->listed)
		unlist_locked(conn, call);
	pthread_mutex_unlock(&conn->mu);
	return r;
}

void conn_forget(Conn *conn, ConnCall *call)
{
	pthread_mutex_lock(&conn->mu);
	if (call->listed)
		unlist_locked(conn, call);
	pthread_mutex_unlock(&conn->mu);
	cJSON_Delete(TAKE_PTR(call->answer));
}

int conn_verdict(const cJSON *answer, BvError **err)
{
	const cJSON *number = cJSON_GetObjectItemCaseSensitive(answer, "errno");
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(answer, "error"));
	const char *stage = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(answer, "stage"));
	int code = cJSON_IsNumber(number) && number->valueint > 0 && number->valueint < 4096 ? -number->valueint : -EPROTO;

	if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(answer, "ok")))
		return 0;
	(void)lib_fail(err, code, "%s", text ? text : strerror(-code));
	if (stage && strcmp(stage, "exec") == 0)
		lib_error_stage(err, "exec");
	if (stage && strcmp(stage, "cwd") == 0)
		lib_error_stage(err, "cwd");
	return code;
}

int conn_call(Conn *conn, cJSON *request, const int *fds, size_t nfds, cJSON **answer, BvError **err)
{
	ConnCall call;
	int r = conn_begin(conn, &call, request, fds, nfds);

	if (r == 0)
		r = conn_wait(conn, &call, -1);
	if (r == -ECONNRESET)
		return lib_fail(err, r, "the sandbox's supervisor ended unexpectedly");
	if (r < 0)
		return lib_fail(err, r, "cannot ask the sandbox's supervisor: %s", strerror(-r));
	r = conn_verdict(call.answer, err);
	if (r == 0 && answer)
		*answer = TAKE_PTR(call.answer);
	cJSON_Delete(call.answer);
	return r;
}
