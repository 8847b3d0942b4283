#ifndef SYNSHARD_CRASH_H
#define SYNSHARD_CRASH_H

#include <stddef.h>

/* Copies the line and installs the handler of SIGABRT and SIGQUIT. Returns 0, or -1 when the line is too long or the
 * system refuses. */
int crash_guard(const char *line, size_t n);

#endif
