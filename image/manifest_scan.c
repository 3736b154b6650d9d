/* SPDX-License-Identifier: Apache-2.0
 *
 * A look at a manifest before the parser sees it. The parser bounds nested values but not dotted keys: a.a.a... makes
 * one table inside another, and some ten thousand of them run it out of stack. */
#include "image/internal.h"

#include <string.h>

#define MAX_KEY_DOTS 64

/* Skips a string that begins at p with one of the four kinds of quotes; returns what lies behind it. */
static const char *skip_string(const char *p, const char *end)
{
    const char quote = *p;
    const bool multi_line = end - p >= 3 && p[1] == quote && p[2] == quote;

    for (p += multi_line ? 3 : 1; p < end; p++) {
        if (quote == '"' && *p == '\\') {
            p++;
        } else if (*p == quote && !multi_line) {
            return p + 1;
        } else if (*p == quote && end - p >= 3 && p[1] == quote && p[2] == quote) {
            p += 3;
            /* The text itself may end in two quotes. */
            for (int i = 0; i < 2 && p < end && *p == quote; i++)
                p++;
            return p;
        } else if (*p == '\n' && !multi_line) {
            return p; /* not TOML; the parser says where */
        }
    }
    return end;
}

size_t manifest_deep_key(const char *text, size_t size)
{
    const char *p = text, *end = text + size;
    unsigned dots = 0;

    while (p < end) {
        if (*p == '"' || *p == '\'') {
            p = skip_string(p, end);
            continue;
        }
        if (*p == '#') {
            const char *newline = memchr(p, '\n', (size_t)(end - p));
            p = newline ? newline : end;
            continue;
        }
        if (*p == '.' && ++dots > MAX_KEY_DOTS)
            break;
        if (strchr("=,[]{}\n", *p) && *p)
            dots = 0;
        p++;
    }
    size_t line = 0;
    for (const char *q = text; p < end && q <= p; q++)
        line += q == text || q[-1] == '\n';
    return line;
}
