#include "supervisor/packet.h"
#include "base/fdpass.h"
#include "supervisor/control.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

void packet_release(Packet *p)
{
	cJSON_Delete(p->json);
	for (size_t i = 0; i < p->n_fds; i++)
		if (p->fds[i] >= 0)
			close(p->fds[i]);
	*p = (Packet){0};
}

static void take_fds(struct msghdr *m, Packet *p)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (p->n_fds < PACKET_FDS)
				p->fds[p->n_fds++] = fd;
			else
				close(fd);
		}
	}
}

/* The body of a large packet: the first descriptor, which is no longer counted. */
static int read_body_fd(Packet *p, char **out, size_t *len)
{
	struct stat st;

	if (p->n_fds == 0 || fstat(p->fds[0], &st) < 0 || st.st_size > CONTROL_MAX)
		return -EMSGSIZE;
	CLEAN_FREE char *buf = malloc((size_t)st.st_size + 1);
	if (!buf)
		return -ENOMEM;
	if (pread(p->fds[0], buf, (size_t)st.st_size, 0) != st.st_size)
		return -EIO;
	close(p->fds[0]);
	memmove(p->fds, p->fds + 1, --p->n_fds * sizeof *p->fds);
	*len = (size_t)st.st_size;
	*out = TAKE_PTR(buf);
	return 0;
}

int packet_receive(int sock, Packet *out)
{
	char control[CMSG_SPACE(sizeof(int) * PACKET_FDS)];
	CLEAN_FREE char *buf = malloc(CONTROL_INLINE);
	Packet p = {0};
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	struct iovec iov = {buf, CONTROL_INLINE};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	do
		n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return bv_neg_errno();
	take_fds(&m, &p);
	size_t len = (size_t)n;
	int r = n == 0 ? -EPIPE : (m.msg_flags & MSG_TRUNC) ? -EMSGSIZE : 0;
	if (r == 0 && n == 1 && buf[0] == '@') {
		CLEAN_FREE char *body = NULL;
		r = read_body_fd(&p, &body, &len);
		if (r == 0) {
			free(buf);
			buf = TAKE_PTR(body);
		}
	}
	if (r == 0) {
		p.json = cJSON_ParseWithLength(buf, len);
		if (!cJSON_IsObject(p.json))
			r = -EPROTO;
	}
	if (r < 0) {
		packet_release(&p);
		return r;
	}
	*out = p;
	return 0;
}

static int send_body_fd(int sock, const char *text, size_t len)
{
	CLEAN_FD int fd = memfd_create("packet", MFD_CLOEXEC);

	if (fd < 0)
		return bv_neg_errno();
	int r = bv_write_full(fd, text, len);
	return r < 0 ? r : bv_send_fds(sock, "@", 1, &fd, 1, FDPASS_PATIENCE);
}

int packet_send(int sock, cJSON *json)
{
	CLEAN_FREE char *text = cJSON_PrintUnformatted(json);

	cJSON_Delete(json);
	if (!text)
		return -ENOMEM;
	size_t len = strlen(text);
	return len > CONTROL_INLINE ? send_body_fd(sock, text, len) : bv_send_fds(sock, text, len, NULL, 0, 0);
}

const char *json_string(const cJSON *o, const char *name, const char *otherwise)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, name);

	return cJSON_IsString(v) ? v->valuestring : otherwise;
}

double json_number(const cJSON *o, const char *name, double otherwise)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, name);

	return cJSON_IsNumber(v) ? v->valuedouble : otherwise;
}

bool json_bool(const cJSON *o, const char *name, bool otherwise)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, name);

	return cJSON_IsBool(v) ? cJSON_IsTrue(v) : otherwise;
}

uint64_t json_set(const cJSON *o, const char *name, int first)
{
	const cJSON *item;
	uint64_t bits = 0;

	cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(o, name))
	{
		if (cJSON_IsNumber(item) && item->valueint >= first && item->valueint - first < 64)
			bits |= UINT64_C(1) << (item->valueint - first);
	}
	return bits;
}

char **json_strings(const cJSON *o, const char *name)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, name), *item;
	char **out = calloc((size_t)(v ? cJSON_GetArraySize(v) : 0) + 1, sizeof *out);
	size_t n = 0;

	if (!out)
		return NULL;
	cJSON_ArrayForEach(item, v) if (cJSON_IsString(item)) out[n++] = item->valuestring;
	return out;
}
