/* supervisor/packet.h - one JSON object a packet, with descriptors (see control.h). */
#ifndef SUPERVISOR_PACKET_H
#define SUPERVISOR_PACKET_H

#include "base/util.h"

#include <cjson/cJSON.h>

#define PACKET_FDS 8

typedef struct Packet {
	cJSON *json;
	int fds[PACKET_FDS];
	size_t n_fds;
} Packet;

void packet_release(Packet *p); /* closes the descriptors that are left */
/* -EPIPE at the end of the connection, -EPROTO for what is no JSON object, -EMSGSIZE. */
int packet_receive(int sock, Packet *out) MUST_CHECK;
/* Takes `json` over. -EPIPE when the peer is gone. */
int packet_send(int sock, cJSON *json) MUST_CHECK;

/* Members of an object; the default where there is none of that type. */
const char *json_string(const cJSON *o, const char *name, const char *otherwise);
double json_number(const cJSON *o, const char *name, double otherwise);
/* A list of numbers as a set: bit N for first + N; members beyond 64 bits are left out. */
uint64_t json_set(const cJSON *o, const char *name, int first);
bool json_bool(const cJSON *o, const char *name, bool otherwise);
/* A NULL-terminated array of the strings of o[name]; the array is the caller's to free, the strings belong to o. Empty if absent. */
char **json_strings(const cJSON *o, const char *name);

#endif
