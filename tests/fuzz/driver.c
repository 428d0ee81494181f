/* tests/fuzz/driver.c - runs a fuzz target on every file of the given directories, for builds without libFuzzer. */
#include "base/util.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(int dir, const char *name)
{
	char *data = NULL;
	ssize_t size = bv_read_file_at(dir, name, 1 << 24, &data);

	if (size < 0) {
		fprintf(stderr, "%s: %s\n", name, strerror((int)-size));
		return -1;
	}
	LLVMFuzzerTestOneInput((const uint8_t *)data, (size_t)size);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long runs = 0;

	for (int i = 1; i < argc; i++) {
		DIR *dir = opendir(argv[i]);
		struct dirent *entry;
		if (!dir) {
			perror(argv[i]);
			return 1;
		}
		while ((entry = readdir(dir)))
			if (entry->d_name[0] != '.' && run_file(dirfd(dir), entry->d_name) == 0)
				runs++;
		closedir(dir);
	}
	printf("%lu inputs\n", runs);
	return runs ? 0 : 1;
}
