/* tests/fault/wrap.h - makes one call fail: of all wrapped calls (wrap.list) that are made while `armed`, the N-th. */
#ifndef TESTS_FAULT_WRAP_H
#define TESTS_FAULT_WRAP_H

#include <stdatomic.h>
#include <stdbool.h>

typedef struct Fault {
	_Atomic bool armed;
	_Atomic unsigned long calls;   /* made so far while armed */
	_Atomic unsigned long fail_at; /* 0: none */
	_Atomic unsigned long fired;
	const char *volatile name; /* of the call that failed */
} Fault;

extern Fault fault;

#endif
