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

static const char *const variables[] = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
					"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "BVISOR_KEY_FILE", "BVISOR_PASSPHRASE_FILE",
					/* where our own files are */ "BVISOR_HOME", "BVISOR_SNAPSHOTS", "BVISOR_SUPERVISOR", "BVISOR_PLUGINS"};
static atomic_bool own_process;

bool secret_is_variable(const char *entry)
{
	size_t len = strcspn(entry, "=");

	for (size_t i = 0; i < ARRAY_LEN(variables); i++)
		if (strlen(variables[i]) == len && memcmp(variables[i], entry, len) == 0)
			return true;
	return false;
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
		if (getenv(variables[i]))
			secret_exposed();
}
