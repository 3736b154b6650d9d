/* SPDX-License-Identifier: Apache-2.0
 *
 * A small printf: %s %d %i %u %x %c %p %% with '0', '-', width, precision for strings, and l/ll/z. Anything else is
 * printed as it stands, so that a wrong format shows. */
#include "enclave/internal.h"

#include <stdarg.h>

struct out { char *buf; size_t size, length; };

static void put(struct out *o, char c)
{
    if (o->length + 1 < o->size)
        o->buf[o->length] = c;
    o->length++;
}

static void put_padded(struct out *o, const char *s, size_t n, int width, bool left, char pad)
{
    int fill = width > (int)n ? width - (int)n : 0;
    for (int i = 0; !left && i < fill; i++)
        put(o, pad);
    for (size_t i = 0; i < n; i++)
        put(o, s[i]);
    for (int i = 0; left && i < fill; i++)
        put(o, ' ');
}

static size_t digits(char out[24], uint64_t value, unsigned base, bool negative)
{
    char tmp[24];
    size_t n = 0, len = 0;
    do {
        tmp[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    if (negative)
        tmp[n++] = '-';
    while (n)
        out[len++] = tmp[--n];
    return len;
}

static void put_number(struct out *o, char kind, uint64_t value, bool is_signed, int width, bool left, bool zero)
{
    char text[24];
    bool negative = is_signed && (int64_t)value < 0;
    size_t n = digits(text, negative ? 0 - value : value, kind == 'x' || kind == 'p' ? 16 : 10, negative);
    put_padded(o, text, n, width, left, zero ? '0' : ' ');
}

static uint64_t fetch(va_list *args, bool is_signed, int longs)
{
    if (longs)
        return va_arg(*args, uint64_t);
    return is_signed ? (uint64_t)(int64_t)va_arg(*args, int) : va_arg(*args, unsigned);
}

int format_args(char *buf, size_t size, const char *fmt, va_list untouched)
{
    struct out o = {.buf = buf, .size = size};
    va_list args;
    va_copy(args, untouched);
    for (; *fmt; fmt++) {
        if (*fmt != '%') {
            put(&o, *fmt);
            continue;
        }
        bool left = false, zero = false;
        int width = 0, precision = -1, longs = 0;
        for (fmt++; *fmt == '-' || *fmt == '0'; fmt++)
            *fmt == '-' ? (left = true) : (zero = true);
        for (; *fmt >= '0' && *fmt <= '9'; fmt++)
            width = width * 10 + *fmt - '0';
        if (*fmt == '.' && fmt[1] == '*') {
            precision = va_arg(args, int);
            fmt += 2;
        }
        for (; *fmt == 'l' || *fmt == 'z'; fmt++)
            longs++;
        if (*fmt == 's') {
            const char *s = va_arg(args, const char *);
            s = s ? s : "(null)";
            put_padded(&o, s, precision >= 0 ? strnlen(s, (size_t)precision) : strlen(s), width, left, ' ');
        } else if (*fmt == 'c') {
            put(&o, (char)va_arg(args, int));
        } else if (*fmt == 'd' || *fmt == 'i') {
            put_number(&o, 'd', fetch(&args, true, longs), true, width, left, zero);
        } else if (*fmt == 'u' || *fmt == 'x') {
            put_number(&o, *fmt, fetch(&args, false, longs), false, width, left, zero);
        } else if (*fmt == 'p') {
            put(&o, '0'), put(&o, 'x');
            put_number(&o, 'p', va_arg(args, uint64_t), false, 0, false, false);
        } else {
            put(&o, '%');
            if (*fmt != '%')
                fmt--;
        }
    }
    va_end(args);
    if (size)
        buf[o.length < size ? o.length : size - 1] = 0;
    return (int)o.length;
}

int format(char *buf, size_t size, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = format_args(buf, size, fmt, args);
    va_end(args);
    return n;
}
