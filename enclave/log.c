/* SPDX-License-Identifier: Apache-2.0
 *
 * The log: one finished line at a time, through a part of the bounce memory that nothing else uses. */
#include "enclave/internal.h"

#include <stdarg.h>

#define LINE_MAX 1024

static uint32_t level_now = VIGIL_LOG_ERROR;

void log_set_level(uint32_t level)
{
    level_now = level <= VIGIL_LOG_ALL ? level : VIGIL_LOG_ALL;
}

void log_init(void)
{
    log_set_level(config()->log_level);
}

bool log_enabled(enum vigil_log_level level)
{
    return level <= level_now && level_now != VIGIL_LOG_NONE;
}

void log_line(enum vigil_log_level level, const char *fmt, ...)
{
    char line[LINE_MAX];
    struct tcb *t = tcb_current();

    if (!log_enabled(level) || !t->shared)
        return;
    va_list args;
    va_start(args, fmt);
    memcpy(line, "vigil: ", 7);
    int n = format_args(line + 7, sizeof(line) - 8, fmt, args) + 7;
    va_end(args);
    if (n > (int)sizeof(line) - 2)
        n = sizeof(line) - 2;
    line[n++] = '\n';
    /* Behind the end of what bounce_alloc gives out (ocall_thread_init). */
    void *untrusted_line = (void *)(t->bounce + t->bounce_size);
    untrusted_write(untrusted_line, line, (size_t)n);
    ocall(VIGIL_OCALL_LOG, (long)untrusted_line, n, 0, 0, 0, 0);
}
