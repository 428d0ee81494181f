/* A directory tree deeper than any path is long, walked, renamed and left behind for diff. */
#include "attack.h"

#define DEPTH 3000

int main(void)
{
	struct stat st;
	char cwd[4096];

	NEED(mkdir("/tmp/attack.deep", 0755) == 0 && chdir("/tmp/attack.deep") == 0);
	double start = now();
	for (int i = 0; i < DEPTH; i++)
		if (mkdir("d", 0755) < 0 || chdir("d") < 0) {
			printf("depth %d: %s\n", i, strerror(errno));
			break;
		}
	close(creat("leaf", 0644));
	if (stat("leaf", &st) < 0 || st.st_size != 0)
		won("the leaf of a deep tree: %s", strerror(errno));
	if (getcwd(cwd, sizeof cwd) || errno != ENAMETOOLONG)
		printf("getcwd: %s\n", strerror(errno));
	for (int i = 0; i < 100; i++)
		if (chdir("../../../../../../../../../..") < 0)
			break;
	if (rename("/tmp/attack.deep", "/tmp/attack.moved") < 0)
		won("rename: %s", strerror(errno));
	printf("%.1f s\n", now() - start);
	return verdict();
}
