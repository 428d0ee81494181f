/* tests/guest/umask.c - the mask applies to all that makes files, per process, shared with CLONE_FS.
 * COVERS: umask */
#include "guest.h"

#include <pthread.h>

static int counter;

static void make_all(const char *label)
{
	char name[5][32];

	printf("%s\n", label);
	for (int i = 0; i < 5; i++)
		snprintf(name[i], sizeof(name[i]), "u%d", counter++);
	close_quiet(open(name[0], O_CREAT | O_WRONLY, 0777));
	mkdir(name[1], 0777);
	mknod(name[2], S_IFIFO | 0777, 0);
	mknod(name[3], S_IFREG | 0777, 0);
	if (symlink("x", name[4]) < 0)
		printf("no link\n");
	for (int i = 0; i < 5; i++)
		look(name[i]);
}

static void child(void)
{
	printf("   inherited %03o\n", umask(0777));
	counter = 100;
	make_all("child with 0777");
}

static void *thread(void *arg)
{
	(void)arg;
	printf("   thread sees %03o\n", umask(0111));
	return NULL;
}

static int clone_fs(void *arg)
{
	(void)arg;
	umask(0333);
	return 0;
}

int main(void)
{
	pthread_t t;
	static char stack[65536];
	int status;

	printf("first %03o\n", umask(0));
	make_all("mask 0");
	printf("was %03o\n", umask(0077));
	make_all("mask 077");
	printf("was %03o\n", umask(07777));
	printf("was %03o\n", umask(022));
	in_child("child", child);
	make_all("parent unchanged");
	pthread_create(&t, NULL, thread, NULL);
	pthread_join(t, NULL);
	make_all("as the thread set it");
	pid_t pid = clone(clone_fs, stack + sizeof(stack), CLONE_FS | SIGCHLD, NULL);
	waitpid(pid, &status, 0);
	make_all("as the CLONE_FS child set it");
	printf("was %03o\n", umask(022));
	return 0;
}
