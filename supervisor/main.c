/* main.c - bvisor-supervisor: the supervisor as a program of its own, for programs that use libbvisor. */
#include "supervisor/run.h"

int main(void)
{
	supervisor_run();
}
