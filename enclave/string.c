/* SPDX-License-Identifier: Apache-2.0
 *
 * The mem* and str* that the compiler and the runtime need, without vector registers. */
#include "enclave/internal.h"

static inline uint64_t load(const char *p)
{
    uint64_t word;
    __builtin_memcpy(&word, p, sizeof(word));
    return word;
}

static inline void store(char *p, uint64_t word)
{
    __builtin_memcpy(p, &word, sizeof(word));
}

static inline void copy_few(char *d, const char *s, size_t n)
{
    if (n & 4)
        __builtin_memcpy(d, s, 4), d += 4, s += 4;
    if (n & 2)
        __builtin_memcpy(d, s, 2), d += 2, s += 2;
    if (n & 1)
        *d = *s;
}

/* Starting a REP costs more than the small copies that most are. The last word may overlap the one before it. */
void *memcpy(void *dst, const void *src, size_t n)
{
    char *d = dst;
    const char *s = src;

    if (n < 8) {
        copy_few(d, s, n);
        return dst;
    }
    uint64_t last = load(s + n - 8);
    char *end = d + n - 8;
    if (n <= 64) {
        for (; d < end; d += 8, s += 8)
            store(d, load(s));
    } else {
        size_t words = n / 8;
        __asm__ volatile("rep movsq" : "+D"(d), "+S"(s), "+c"(words) : : "memory");
    }
    store(end, last);
    return dst;
}

void copy_words(void *dst, const void *src, size_t n)
{
    size_t words = n / 8, bytes = n % 8;
    __asm__ volatile("rep movsq\n movq %3, %%rcx\n rep movsb" : "+D"(dst), "+S"(src), "+c"(words) : "r"(bytes) : "memory");
}

void *memmove(void *dst, const void *src, size_t n)
{
    if ((uintptr_t)dst - (uintptr_t)src >= n)
        return memcpy(dst, src, n);
    char *d = (char *)dst + n - 1;
    const char *s = (const char *)src + n - 1;
    __asm__ volatile("std\n rep movsb\n cld" : "+D"(d), "+S"(s), "+c"(n) : : "memory", "cc");
    return dst;
}

void *memset(void *dst, int c, size_t n)
{
    void *d = dst;
    size_t words = n / 8, bytes = n % 8;
    uint64_t pattern = 0x0101010101010101ull * (uint8_t)c;
    __asm__ volatile("rep stosq\n movq %3, %%rcx\n rep stosb"
                     : "+D"(d), "+c"(words) : "a"(pattern), "r"(bytes) : "memory");
    return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const unsigned char *x = a, *y = b;
    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

size_t strnlen(const char *s, size_t max)
{
    size_t n = 0;
    while (n < max && s[n])
        n++;
    return n;
}

size_t strlen(const char *s)
{
    return strnlen(s, SIZE_MAX);
}

int strncmp(const char *a, const char *b, size_t n)
{
    for (; n; n--, a++, b++)
        if (*a != *b || !*a)
            return (unsigned char)*a - (unsigned char)*b;
    return 0;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, SIZE_MAX);
}

char *strchr(const char *s, int c)
{
    for (;; s++) {
        if (*s == (char)c)
            return (char *)s;
        if (!*s)
            return NULL;
    }
}

char *strrchr(const char *s, int c)
{
    const char *found = NULL;
    for (;; s++) {
        if (*s == (char)c)
            found = s;
        if (!*s)
            return (char *)found;
    }
}
