/* net_denied.c - what was refused: counted, the last of it remembered, told to who asks and at the end of a command. */
#include "supervisor/net_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <time.h>

static void read_comm(Supervisor *sup, pid_t tid, char comm[17])
{
	char path[32], text[17] = "";
	CLEAN_FD int fd = -1;

	snprintf(path, sizeof path, "%d/comm", tid);
	fd = openat(sup->proc_fd, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
	snprintf(comm, 17, "%.*s", n > 0 ? (int)strcspn(text, "\n") : 0, text);
}

/* The same again, at once or not, is one entry: a program that tries for ever does not push the others out. */
static Denied *same_denied(Net *net, const Denied *d)
{
	for (size_t i = 0; i < MIN(net->n_denied, (size_t)DENIED_MAX); i++) {
		Denied *old = &net->denied[i];
		if (old->pid == d->pid && strcmp(old->to, d->to) == 0 && strcmp(old->protocol, d->protocol) == 0)
			return old;
	}
	return NULL;
}

static void note_denied(Net *net, Denied *d, const char *protocol, const char *to, const char *rule, const char *why)
{
	d->why = why;
	d->time = time(NULL);
	snprintf(d->protocol, sizeof d->protocol, "%s", protocol);
	snprintf(d->to, sizeof d->to, "%s", to);
	snprintf(d->rule, sizeof d->rule, "%s", rule);
	pthread_mutex_lock(&net->lock);
	Denied *entry = same_denied(net, d);
	if (!entry) {
		entry = &net->denied[net->n_denied++ % DENIED_MAX];
		*entry = *d;
	}
	entry->time = d->time;
	entry->count++;
	net->refused++;
	pthread_mutex_unlock(&net->lock);
}

int net_refuse(Call *call, const char *protocol, const char *to, const char *rule, const char *why)
{
	Denied d = {.pid = caller_tgid(&call->caller)};

	read_comm(call->sup, call->tid, d.comm);
	note_denied(call->sup->net, &d, protocol, to, rule, why);
	return -EACCES;
}

void net_refuse_name(Net *net, const char *name, const char *rule, const char *why)
{
	Denied d = {.comm = "a program"};

	note_denied(net, &d, "dns", name, rule, why);
}

static void add_denied(cJSON *list, const Denied *d)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNumberToObject(o, "time", (double)d->time);
	cJSON_AddNumberToObject(o, "pid", d->pid);
	cJSON_AddStringToObject(o, "comm", d->comm);
	cJSON_AddStringToObject(o, "protocol", d->protocol);
	cJSON_AddStringToObject(o, "to", d->to);
	cJSON_AddStringToObject(o, "why", d->why);
	cJSON_AddNumberToObject(o, "count", (double)d->count);
	cJSON_AddItemToArray(list, o);
}

void net_add_denied(Net *net, cJSON *o)
{
	pthread_mutex_lock(&net->lock);
	cJSON_AddNumberToObject(o, "denied", (double)net->refused);
	cJSON *last = cJSON_AddArrayToObject(o, "last");
	for (size_t i = net->n_denied > DENIED_MAX ? net->n_denied - DENIED_MAX : 0; i < net->n_denied; i++)
		add_denied(last, &net->denied[i % DENIED_MAX]);
	pthread_mutex_unlock(&net->lock);
}

char *net_remark(Net *net, uint64_t *seen)
{
	char *text = NULL;

	pthread_mutex_lock(&net->lock);
	if (net->refused > *seen) {
		const Denied *d = &net->denied[(net->n_denied - 1) % DENIED_MAX];
		uint64_t n = net->refused - *seen;
		text = bv_asprintf("%llu attempt%s to reach the network %s refused, such as %s to %s (%s): a sandbox with --allow %s may; `bvisor stats` lists them", (unsigned long long)n,
				   n == 1 ? "" : "s", n == 1 ? "was" : "were", d->comm, d->to, d->why, d->rule);
		*seen = net->refused;
	}
	pthread_mutex_unlock(&net->lock);
	return text;
}
