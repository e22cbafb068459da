/* cmocka.h with the headers that it needs before it. */
#ifndef TICKETD_TESTS_CRASH_CMOCKA_FIRST_H
#define TICKETD_TESTS_CRASH_CMOCKA_FIRST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
