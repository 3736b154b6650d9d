/* SPDX-License-Identifier: Apache-2.0 */
#include "libos/fs/pseudo/pseudo.h"

#define TEXT_MAX (8u << 20)

bool text_room(struct text *text, size_t n)
{
    size_t size = text->size ? text->size : 2048 - 16; /* with the heap's header a power of two */

    if (text->failed || n > TEXT_MAX - text->used) {
        text->failed = true;
        return false;
    }
    while (size - text->used < n)
        size = size * 2 + 16;
    if (size == text->size)
        return true;
    char *data = kmalloc(size);
    if (!data) {
        text->failed = true;
        return false;
    }
    if (text->used)
        memcpy(data, text->data, text->used);
    kfree(text->data);
    text->data = data;
    text->size = size;
    return true;
}

void text_bytes(struct text *text, const void *data, size_t n)
{
    if (!n || !text_room(text, n))
        return;
    memcpy(text->data + text->used, data, n);
    text->used += n;
}

void text_added(struct text *text, int n)
{
    text->used += n < TEXT_LINE ? (size_t)n : TEXT_LINE - 1;
}

void text_name(struct text *text, const char *name)
{
    for (; *name; name++) {
        if (*name == '\n')
            text_bytes(text, "\\012", 4);
        else
            text_bytes(text, name, 1);
    }
}

static bool bit(const uint64_t *mask, uint32_t i)
{
    return mask[i / 64] >> i % 64 & 1;
}

void text_list(struct text *text, const uint64_t *mask, uint32_t bits)
{
    const char *between = "";

    for (uint32_t i = 0; i < bits; i++) {
        uint32_t first = i;
        if (!bit(mask, i))
            continue;
        while (i + 1 < bits && bit(mask, i + 1))
            i++;
        if (first == i)
            text_add(text, "%s%u", between, i);
        else
            text_add(text, "%s%u-%u", between, first, i);
        between = ",";
    }
}

void text_mask(struct text *text, const uint64_t *mask, uint32_t bits)
{
    uint32_t groups = (bits + 31) / 32;

    for (uint32_t g = groups; g--;) {
        uint32_t word = (uint32_t)(mask[g / 2] >> g % 2 * 32);
        char digits[12];
        int n = format(digits, sizeof(digits), "%08x", word), skip = 0;
        if (bits % 32 && g == groups - 1) /* the first group is as long as it needs to be */
            skip = n - (int)(bits % 32 + 3) / 4;
        text_bytes(text, digits + skip, (size_t)(n - skip));
        text_bytes(text, ",", g ? 1 : 0);
    }
}
