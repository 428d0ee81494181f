/* tests/unit/test_snap_crowd.c - eight clients on one store at once: snapshots, forks, removals and collections in any order, and clients that die at any request.
 * What was reported as taken is never damaged. The clock of the store runs fast, but no operation takes longer than half the grace by it. */
#include "tests/unit/snap_fixture.h"

#include "snapshot/housekeeping.h"

enum { CLIENTS = 8, STEPS = 40, TAKEN = CLIENTS * STEPS + 1 };

/* What a client sees of the store: it dies after so many requests. */
typedef struct Wire {
	ObjectStore base;
	MemStore *mem;
	long left; /* negative: it lives */
	pthread_mutex_t lock;
} Wire;

typedef struct Crowd {
	MemStore *mem;
	pthread_mutex_t lock; /* everything below */
	struct {
		SnapId id;
		World world;
	} taken[TAKEN];
	size_t n_taken;
	int64_t started[CLIENTS]; /* when the operation under way began; INT64_MAX: none */
} Crowd;

typedef struct Client {
	Crowd *crowd;
	unsigned number;
	pthread_t thread;
	uint64_t seed;
	unsigned done, died, refused;
	char name[20];
	bool has;
	SnapId id;
} Client;

/* From any thread. */
static void die(const char *who, const char *what)
{
	fprintf(stderr, "%s: %s\n", who, what ? what : "(no message)");
	abort();
}

static bool wire_is_cut(Wire *wire)
{
	pthread_mutex_lock(&wire->lock);
	bool cut = wire->left == 0;
	if (wire->left > 0)
		wire->left--;
	pthread_mutex_unlock(&wire->lock);
	return cut;
}

static void wire_submit(ObjectStore *store, ObjectRequest *q)
{
	Wire *wire = (Wire *)store;

	if (!wire_is_cut(wire)) {
		mem_submit(&wire->mem->base, q);
		return;
	}
	q->result = -ECONNREFUSED;
	q->error = strdup("the client is dead");
	q->done(q);
}

static int wire_list(ObjectStore *store, const char *prefix, int (*visit)(void *ctx, const char *name, uint64_t size, int64_t age), void *ctx, char **err)
{
	Wire *wire = (Wire *)store;

	return wire_is_cut(wire) ? bv_fail(err, -ECONNREFUSED, "the client is dead") : mem_list(&wire->mem->base, prefix, visit, ctx, err);
}

static int wire_has_if_absent(ObjectStore *store, char **err)
{
	return mem_has_if_absent(&((Wire *)store)->mem->base, err);
}

static const ObjectOps wire_ops = {.scheme = "wire", .submit = wire_submit, .list = wire_list, .has_if_absent = wire_has_if_absent};

/* One more operation begins: some time has passed, if that makes none too long. */
static void begin(Client *c)
{
	Crowd *crowd = c->crowd;
	const int64_t step = SNAP_GRACE / 12;

	pthread_mutex_lock(&crowd->lock);
	pthread_mutex_lock(&crowd->mem->lock);
	bool may = true;
	for (size_t i = 0; i < CLIENTS; i++)
		may = may && (crowd->started[i] == INT64_MAX || crowd->mem->now + step - crowd->started[i] < SNAP_GRACE / 2);
	if (may)
		crowd->mem->now += step;
	crowd->started[c->number] = crowd->mem->now;
	pthread_mutex_unlock(&crowd->mem->lock);
	pthread_mutex_unlock(&crowd->lock);
}

static void end(Client *c)
{
	pthread_mutex_lock(&c->crowd->lock);
	c->crowd->started[c->number] = INT64_MAX;
	pthread_mutex_unlock(&c->crowd->lock);
}

static bool any_taken(Client *c, SnapId *id, World *world)
{
	Crowd *crowd = c->crowd;

	pthread_mutex_lock(&crowd->lock);
	bool any = crowd->n_taken > 0;
	if (any) {
		size_t i = dice(&c->seed) % crowd->n_taken;
		*id = crowd->taken[i].id;
		*world = crowd->taken[i].world;
	}
	pthread_mutex_unlock(&crowd->lock);
	return any;
}

static int take(Client *c, SnapStore *s)
{
	Crowd *crowd = c->crowd;
	World world = {0};
	SnapId parent, id;
	char *err = NULL;
	bool has = any_taken(c, &parent, &world);

	world_change(&world, 1 + dice(&c->seed) % 15, &c->seed);
	int r = snap_try(s, &world, has ? &parent : NULL, c->name, &id, &err);
	free(err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&crowd->lock);
	crowd->taken[crowd->n_taken].id = id;
	crowd->taken[crowd->n_taken++].world = world;
	pthread_mutex_unlock(&crowd->lock);
	return 0;
}

static int operate(Client *c, SnapStore *s)
{
	SnapCollectConfig config = {0};
	SnapCollectResult result;
	unsigned kind = dice(&c->seed) % 10;
	World world;
	SnapId id;

	if (kind < 4)
		return take(c, s);
	if (kind < 6)
		return any_taken(c, &id, &world) ? snap_ref_append(s, c->name, UINT64_MAX, &id, NULL, NULL) : 0;
	if (kind < 8 && c->has)
		return snap_ref_delete(s, c->name, 0, NULL);
	return snap_collect(s, &config, &result, NULL);
}

/* What the client's own name leads to is whole. */
static void look(Client *c, SnapStore *s)
{
	Crowd *crowd = c->crowd;
	World world;
	SnapRef ref;
	char *err = NULL;
	bool found = false;
	int r = snap_ref_read(s, c->name, 0, &ref, &err);

	c->has = r == 0;
	if (r == -ENOENT) {
		free(err);
		return;
	}
	if (r < 0)
		die(c->name, err);
	pthread_mutex_lock(&crowd->lock);
	for (size_t i = 0; i < crowd->n_taken && !found; i++) {
		found = id_equal(&crowd->taken[i].id, &ref.id);
		if (found)
			world = crowd->taken[i].world;
	}
	pthread_mutex_unlock(&crowd->lock);
	if (found && snap_compare(s, &ref.id, &world, &err) < 0)
		die(c->name, err);
}

static void *live(void *arg)
{
	Client *c = arg;

	for (unsigned i = 0; i < STEPS; i++) {
		Wire wire = {.base = {&wire_ops}, .mem = c->crowd->mem, .left = dice(&c->seed) % 4 ? -1 : (long)(dice(&c->seed) % 30), .lock = PTHREAD_MUTEX_INITIALIZER};
		SnapStore *s;
		if (snap_store_open(&wire.base, NULL, &s, NULL) < 0)
			abort();
		begin(c);
		int r = operate(c, s);
		end(c);
		c->done += r == 0;
		c->died += r == -ECONNREFUSED;
		c->refused += r < 0 && r != -ECONNREFUSED;
		/* -ESTALE: condemned; -ENOENT: removed; -EEXIST: another collector; -EAGAIN: removed while it was read. */
		if (r < 0 && r != -ECONNREFUSED && r != -ESTALE && r != -ENOENT && r != -EEXIST && r != -EAGAIN)
			die(c->name, strerror(-r));
		wire.left = -1;
		begin(c);
		look(c, s);
		end(c);
		snap_store_close(s);
	}
	return NULL;
}

static void eight_clients_lose_nothing(void **state)
{
	Crowd *crowd = calloc(1, sizeof *crowd);
	Client clients[CLIENTS] = {{0}};
	SnapCheckConfig config = {.read_data = true};
	SnapCheckResult result;
	SnapStore *s;
	char *err = NULL;
	unsigned done = 0, died = 0, refused = 0;

	(void)state;
	crowd->mem = mem_new();
	pthread_mutex_init(&crowd->lock, NULL);
	for (unsigned i = 0; i < CLIENTS; i++)
		crowd->started[i] = INT64_MAX;
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i] = (Client){.crowd = crowd, .number = i, .seed = i * 7919 + 5};
		snprintf(clients[i].name, sizeof clients[i].name, "client%u", i);
		assert_int_equal(pthread_create(&clients[i].thread, NULL, live, &clients[i]), 0);
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		pthread_join(clients[i].thread, NULL);
		done += clients[i].done;
		died += clients[i].died;
		refused += clients[i].refused;
	}
	size_t packs;
	mem_bytes(crowd->mem, "packs/", &packs);
	print_message("%u done, %u died, %u refused, %zu snapshots, %zu packs left, %lld hours\n", done, died, refused, crowd->n_taken, packs,
		      (long long)(crowd->mem->now - 1000000) / 3600);
	assert_true(done > CLIENTS * STEPS / 3);
	assert_int_equal(snap_store_open(&crowd->mem->base, NULL, &s, NULL), 0);
	if (snap_check(s, &config, &result, &err) < 0)
		fail_msg("%s", err);
	assert_int_equal(result.damaged, 0);
	snap_store_close(s);
	object_close(&crowd->mem->base);
	free(crowd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(eight_clients_lose_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
