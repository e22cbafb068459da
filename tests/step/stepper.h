/* Takes a process through the program one instruction at a time, with ptrace, so that a test can
 * kill it after any of them.  x86-64 only.
 *
 * Stepped are the instructions of the program itself, that is of ticketd's code which the test (or
 * the server) is linked from.  A call into a shared library (libc, SQLite, OpenSSL) counts as one
 * step and runs at full speed, what it calls back included; stepper_syscall stops inside of one.
 * The program must be linked with -z now: what the dynamic linker does in between is not expected.
 *
 * The test's process only, one thread.  Whatever happens to it, no stepped process outlives it.
 * Faults fail the cmocka test that is running. */
#ifndef TICKETD_TESTS_STEP_STEPPER_H
#define TICKETD_TESTS_STEP_STEPPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct stepper {
    pid_t pid;
    /* where the program's own instructions are */
    uintptr_t code_begin;
    uintptr_t code_end;
    uintptr_t base;    /* where the executable's file begins in memory */
    uintptr_t end;     /* it is not stepped beyond this one */
    uint8_t call_code; /* what stands at `end` while stepper_syscall is used */
    bool in_call;
};

/* For main: whether this process may trace.  If not, it has told that all tests are skipped. */
bool stepper_is_permitted(void);

/* Forks a child that calls run(context), and stops it before the first instruction of the function
 * `from`, which it must reach.  It ends when `run` returns. */
void stepper_start(struct stepper *stepper, void (*run)(void *context), void *context,
                   uintptr_t from);

/* Stops a descendant that is running. */
void stepper_attach(struct stepper *stepper, pid_t pid);

/* Where its program has that function, by the symbol table of the executable. */
uintptr_t stepper_address_of(const struct stepper *stepper, const char *function);

/* Lets it run to that address. */
void stepper_run_to(struct stepper *stepper, uintptr_t address);

/* It stands before the first instruction of a function: the end is where that returns to. */
void stepper_end_at_return(struct stepper *stepper);

/* Takes `count` steps.  false: the end came before, and it stands there. */
bool stepper_step(struct stepper *stepper, unsigned count);

/* Runs to the end, if it is not there. */
void stepper_finish(struct stepper *stepper);

/* Runs to the next point at which it enters or leaves the kernel.  false: the end came before. */
bool stepper_syscall(struct stepper *stepper);

/* Kills it, and waits until it is gone. */
void stepper_kill(struct stepper *stepper);

#endif
