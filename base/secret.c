#include "base/secret.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>

void *secret_new(size_t size)
{
	void *secret = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (secret == MAP_FAILED)
		return NULL;
	/* All three are as good as the kernel has them; what fails leaves the secret where others of the process are. */
	madvise(secret, size, MADV_DONTDUMP);
	madvise(secret, size, MADV_WIPEONFORK);
	mlock(secret, size);
	return secret;
}

void secret_free(void *secret, size_t size)
{
	if (!secret)
		return;
	explicit_bzero(secret, size);
	munmap(secret, size);
}

static const struct {
	const char *name;
	SecretKind kind;
} variables[] = {
	{"AWS_ACCESS_KEY_ID", SECRET_KEY},
	{"AWS_SECRET_ACCESS_KEY", SECRET_KEY},
	{"AWS_SESSION_TOKEN", SECRET_KEY},
	{"AWS_SECURITY_TOKEN", SECRET_KEY},
	{"AWS_CONTAINER_AUTHORIZATION_TOKEN", SECRET_KEY},
	{"AWS_CONTAINER_CREDENTIALS_FULL_URI", SECRET_KEY},
	{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", SECRET_KEY},
	{"BVISOR_KEY_FILE", SECRET_KEY},
	{"BVISOR_PASSPHRASE_FILE", SECRET_KEY},
	{"BVISOR_HOME", SECRET_PLACE},
	{"BVISOR_SNAPSHOTS", SECRET_PLACE},
	{"BVISOR_SUPERVISOR", SECRET_PLACE},
	{"BVISOR_PLUGINS", SECRET_PLACE},
};
static atomic_bool own_process;

SecretKind secret_variable(const char *entry)
{
	size_t len = strcspn(entry, "=");

	for (size_t i = 0; i < ARRAY_LEN(variables); i++)
		if (strlen(variables[i].name) == len && memcmp(variables[i].name, entry, len) == 0)
			return variables[i].kind;
	return SECRET_NONE;
}

void secret_exposed(void)
{
	struct rlimit limit;

	/* 1 is less than any core file has, and the one value at which the kernel starts no program that would take the dump, either. */
	if (!own_process || getrlimit(RLIMIT_CORE, &limit) < 0)
		return;
	limit.rlim_cur = MIN((rlim_t)1, limit.rlim_max);
	setrlimit(RLIMIT_CORE, &limit);
}

void secret_own_process(void)
{
	own_process = true;
	for (size_t i = 0; i < ARRAY_LEN(variables); i++)
		if (getenv(variables[i].name))
			secret_exposed();
}
