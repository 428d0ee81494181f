/* The library's end of the control protocol, against a peer that is played here: many threads on one connection, answers in any order,
 * large bodies, lost connections. */
#include "lib/conn.h"
#include "supervisor/control.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cmocka.h>

#define THREADS 8
#define CALLS 200

typedef struct Pair {
	Conn *conn;
	int peer;
} Pair;

static Pair make_pair(void)
{
	int ends[2];
	Pair p;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(conn_new(ends[0], &p.conn), 0);
	p.peer = ends[1];
	return p;
}

/* The next request as the peer sees it; *fd gets the first descriptor that came along. NULL at the end. */
static cJSON *peer_receive(int sock, int *fd)
{
	static _Thread_local char packet[CONTROL_INLINE];
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * 8)];
	} control;
	struct iovec iov = {packet, sizeof(packet)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof(control.space)};
	ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);

	if (n <= 0)
		return NULL;
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	if (c && fd)
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	return n == 1 && packet[0] == '@' ? cJSON_CreateTrue() : cJSON_ParseWithLength(packet, (size_t)n);
}

static void peer_answer(int sock, double seq, const char *fields)
{
	char *text = bv_asprintf("{\"seq\": %.0f, \"ok\": true%s}", seq, fields);

	assert_non_null(text);
	assert_int_equal(send(sock, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	free(text);
}

static double seq_of(const cJSON *request)
{
	return cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(request, "seq"));
}

static double value_of(const cJSON *answer)
{
	return cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(answer, "value"));
}

/* Answers pairs of requests, where a second one comes soon, in reverse order, with the value that was asked for. */
static void *reversing_peer(void *arg)
{
	int sock = *(int *)arg;

	for (;;) {
		cJSON *first = peer_receive(sock, NULL);
		struct pollfd more = {.fd = sock, .events = POLLIN};
		cJSON *second = first && poll(&more, 1, 5) > 0 ? peer_receive(sock, NULL) : NULL;
		const cJSON *order[] = {second, first};
		for (size_t i = 0; i < 2; i++) {
			char field[64];
			if (!order[i])
				continue;
			snprintf(field, sizeof(field), ", \"value\": %.0f", value_of(order[i]));
			peer_answer(sock, seq_of(order[i]), field);
		}
		bool ended = !first;
		cJSON_Delete(first);
		cJSON_Delete(second);
		if (ended)
			return NULL;
	}
}

typedef struct Caller {
	Conn *conn;
	int number, wrong;
} Caller;

static void *call_often(void *arg)
{
	Caller *c = arg;

	for (int i = 0; i < CALLS; i++) {
		cJSON *request = conn_request("echo"), *answer = NULL;
		double value = c->number * 1000 + i;
		cJSON_AddNumberToObject(request, "value", value);
		if (conn_call(c->conn, request, NULL, 0, &answer, NULL) < 0 || value_of(answer) != value)
			c->wrong++;
		cJSON_Delete(answer);
	}
	return NULL;
}

static void threads_get_their_own_answers_in_any_order(void **state)
{
	Pair p = make_pair();
	pthread_t peer, threads[THREADS];
	Caller callers[THREADS];

	(void)state;
	pthread_create(&peer, NULL, reversing_peer, &p.peer);
	for (int i = 0; i < THREADS; i++) {
		callers[i] = (Caller){p.conn, i, 0};
		pthread_create(&threads[i], NULL, call_often, &callers[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(callers[i].wrong, 0);
	}
	conn_put(p.conn);
	pthread_join(peer, NULL);
	close(p.peer);
}

static void a_wait_can_time_out_and_be_asked_again(void **state)
{
	Pair p = make_pair();
	ConnCall call;

	(void)state;
	assert_int_equal(conn_begin(p.conn, &call, conn_request("wait"), NULL, 0), 0);
	assert_int_equal(conn_wait(p.conn, &call, 0), -ETIMEDOUT);
	assert_int_equal(conn_wait(p.conn, &call, 20), -ETIMEDOUT);
	peer_answer(p.peer, (double)call.seq, ", \"exit\": 3");
	assert_int_equal(conn_wait(p.conn, &call, 1000), 0);
	assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(call.answer, "exit")), 3);
	conn_forget(p.conn, &call);
	conn_put(p.conn);
	close(p.peer);
}

static void an_answer_that_nobody_waits_for_any_more_is_dropped(void **state)
{
	Pair p = make_pair();
	ConnCall forgotten, next;

	(void)state;
	assert_int_equal(conn_begin(p.conn, &forgotten, conn_request("a"), NULL, 0), 0);
	conn_forget(p.conn, &forgotten);
	assert_int_equal(conn_begin(p.conn, &next, conn_request("b"), NULL, 0), 0);
	peer_answer(p.peer, (double)forgotten.seq, "");
	peer_answer(p.peer, (double)next.seq, "");
	assert_int_equal(conn_wait(p.conn, &next, 1000), 0);
	cJSON_Delete(next.answer);
	conn_put(p.conn);
	close(p.peer);
}

static void a_large_request_travels_as_a_memfd(void **state)
{
	Pair p = make_pair();
	cJSON *request = conn_request("spawn"), *seen;
	char *big = malloc(200001), *text = NULL;
	int fd = -1;
	ConnCall call;

	(void)state;
	memset(big, 'x', 200000);
	big[200000] = '\0';
	cJSON_AddStringToObject(request, "big", big);
	assert_int_equal(conn_begin(p.conn, &call, request, (const int[]){0, 1, 2}, 3), 0);
	seen = peer_receive(p.peer, &fd);
	assert_true(cJSON_IsTrue(seen));
	cJSON_Delete(seen);
	off_t size = lseek(fd, 0, SEEK_END);
	assert_true(size > 200000);
	text = calloc(1, (size_t)size + 1);
	assert_int_equal(pread(fd, text, (size_t)size, 0), size);
	assert_non_null(strstr(text, big));
	conn_forget(p.conn, &call);
	close(fd);
	free(text);
	free(big);
	conn_put(p.conn);
	close(p.peer);
}

static void a_request_that_is_too_large_is_e2big(void **state)
{
	Pair p = make_pair();
	cJSON *request = conn_request("spawn");
	char *big = malloc(CONTROL_MAX + 1);
	ConnCall call;

	(void)state;
	memset(big, 'x', CONTROL_MAX);
	big[CONTROL_MAX] = '\0';
	cJSON_AddStringToObject(request, "big", big);
	assert_int_equal(conn_begin(p.conn, &call, request, NULL, 0), -E2BIG);
	free(big);
	conn_put(p.conn);
	close(p.peer);
}

static void a_lost_connection_ends_every_call(void **state)
{
	Pair p = make_pair();
	ConnCall call, late;

	(void)state;
	assert_int_equal(conn_begin(p.conn, &call, conn_request("wait"), NULL, 0), 0);
	close(p.peer);
	assert_int_equal(conn_wait(p.conn, &call, -1), -ECONNRESET);
	assert_true(conn_is_dead(p.conn));
	assert_int_equal(conn_begin(p.conn, &late, conn_request("wait"), NULL, 0), -ECONNRESET);
	conn_put(p.conn);
}

static void answers_without_sense_are_survived(void **state)
{
	static const char *const nonsense[] = {"", "{", "[]", "null", "{\"seq\": \"1\"}", "{\"seq\": 1e300}", "@", "{\"seq\": -1}", "\xff\xfe"};
	Pair p = make_pair();
	ConnCall call;

	(void)state;
	assert_int_equal(conn_begin(p.conn, &call, conn_request("x"), NULL, 0), 0);
	for (size_t i = 1; i < ARRAY_LEN(nonsense); i++)
		assert_true(send(p.peer, nonsense[i], strlen(nonsense[i]), 0) >= 0);
	peer_answer(p.peer, (double)call.seq, "");
	assert_int_equal(conn_wait(p.conn, &call, 1000), 0);
	cJSON_Delete(call.answer);
	conn_put(p.conn);
	close(p.peer);
}

static void an_error_keeps_errno_message_and_stage(void **state)
{
	cJSON *answer = cJSON_Parse("{\"ok\": false, \"errno\": 2, \"error\": \"not there\", \"stage\": \"exec\"}");
	cJSON *bad = cJSON_Parse("{\"ok\": false, \"errno\": -5}");
	BvError *err = NULL;

	(void)state;
	assert_int_equal(conn_verdict(answer, &err), -ENOENT);
	assert_string_equal(bv_error_message(err), "not there");
	assert_string_equal(bv_error_stage(err), "exec");
	assert_int_equal(bv_error_code(err), -ENOENT);
	assert_int_equal(conn_verdict(bad, &err), -EPROTO);
	assert_int_equal(conn_verdict(NULL, NULL), -EPROTO);
	bv_error_free(err);
	cJSON_Delete(answer);
	cJSON_Delete(bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_get_their_own_answers_in_any_order),
		cmocka_unit_test(a_wait_can_time_out_and_be_asked_again),
		cmocka_unit_test(an_answer_that_nobody_waits_for_any_more_is_dropped),
		cmocka_unit_test(a_large_request_travels_as_a_memfd),
		cmocka_unit_test(a_request_that_is_too_large_is_e2big),
		cmocka_unit_test(a_lost_connection_ends_every_call),
		cmocka_unit_test(answers_without_sense_are_survived),
		cmocka_unit_test(an_error_keeps_errno_message_and_stage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
