/* backends/s3/probe.c - can this server put only if absent? Some say no (501), some do not know the condition and overwrite, so it is tried: two puts of
 * one random name, of which the second must be refused. Asked once per store; who needs the answer meanwhile waits in a list.
 *
 *   UNKNOWN --first who asks--> ASKING --put, put, delete--> YES or NO;  an error leads back to UNKNOWN and to all who wait. */
#include "backends/s3/store.h"

#include <semaphore.h>
#include <stdio.h>
#include <sys/random.h>

typedef struct Probe {
	S3Call call;
	S3Store *store;
	char name[96]; /* begins with a dot: no name of an object, so that no listing shows it */
	int answer;
	char *message;
	bool made;
} Probe;

void s3_nonce(char out[40])
{
	uint64_t random[2] = {0};

	/* Without random bytes at boot time, the clock: it only has to differ. */
	if (getrandom(random, sizeof random, GRND_NONBLOCK) != sizeof random)
		random[0] = bv_now_ns(), random[1] = (uint64_t)getpid();
	snprintf(out, 40, "%016jx%016jx", (uintmax_t)random[0], (uintmax_t)random[1]);
}

static void settle(Probe *probe)
{
	S3Store *store = probe->store;
	S3Waiter *waiters;

	pthread_mutex_lock(&store->lock);
	store->if_absent = probe->answer < 0 ? S3_UNKNOWN : probe->answer ? S3_YES : S3_NO;
	waiters = TAKE_PTR(store->waiters);
	pthread_mutex_unlock(&store->lock);
	for (S3Waiter *next; waiters; waiters = next) {
		next = waiters->next;
		waiters->told(waiters, probe->answer, probe->message);
	}
	free(probe->message);
	free(probe);
}

static void begin(Probe *probe, const char *method, void (*done)(S3Call *call))
{
	free(probe->call.body);
	free(probe->call.error);
	probe->call = (S3Call){.doing = "probe", .method = method, .name = probe->name, .done = done, .user = probe};
	if (method[0] == 'P')
		probe->call.headers[0] = (S3Pair){"if-none-match", "*"};
	else
		probe->call.cleanup = true;
	s3_call_begin(&probe->store->wire, &probe->call);
}

static void removed(S3Call *call)
{
	Probe *probe = call->user;

	/* Left behind at worst, an empty object that nobody sees. */
	free(call->body);
	free(call->error);
	settle(probe);
}

static void put_twice(S3Call *call)
{
	Probe *probe = call->user;
	bool again = call->result == 0 && !probe->made;

	if (again) {
		probe->made = true;
		begin(probe, "PUT", put_twice);
		return;
	}
	/* Also to the first put, whose answer was lost: nobody else has this name. */
	if (call->result == 0 || call->result == -EOPNOTSUPP || call->result == -EEXIST) {
		probe->answer = call->result == -EEXIST;
	} else {
		probe->answer = call->result;
		probe->message = TAKE_PTR(call->error);
	}
	begin(probe, "DELETE", removed);
}

void s3_ask_if_absent(S3Store *store, S3Waiter *waiter)
{
	Probe *probe = NULL;
	int known;

	pthread_mutex_lock(&store->lock);
	known = store->if_absent;
	if (known == S3_UNKNOWN && (probe = calloc(1, sizeof *probe)))
		store->if_absent = S3_ASKING;
	if (probe || known == S3_ASKING) {
		waiter->next = store->waiters;
		store->waiters = waiter;
	}
	pthread_mutex_unlock(&store->lock);
	if (known == S3_YES || known == S3_NO) {
		waiter->told(waiter, known == S3_YES, NULL);
	} else if (probe) {
		char nonce[40];
		s3_nonce(nonce);
		probe->store = store;
		snprintf(probe->name, sizeof probe->name, ".bvisor-probe/%s", nonce);
		begin(probe, "PUT", put_twice);
	} else if (known == S3_UNKNOWN) {
		waiter->told(waiter, -ENOMEM, NULL);
	}
}

typedef struct SyncWaiter {
	S3Waiter waiter;
	sem_t done;
	int answer;
	char **err;
} SyncWaiter;

static void tell_sync(S3Waiter *waiter, int answer, const char *message)
{
	SyncWaiter *sync = CONTAINER_OF(waiter, SyncWaiter, waiter);

	sync->answer = answer;
	if (answer < 0)
		bv_fail(sync->err, answer, "%s", message ? message : strerror(-answer));
	sem_post(&sync->done);
}

int s3_store_has_if_absent(ObjectStore *store, char **err)
{
	SyncWaiter sync = {.waiter = {.told = tell_sync}, .err = err};

	sem_init(&sync.done, 0, 0);
	s3_ask_if_absent(s3_store_of(store), &sync.waiter);
	while (sem_wait(&sync.done) < 0)
		;
	sem_destroy(&sync.done);
	return sync.answer;
}
