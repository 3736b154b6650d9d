/* SPDX-License-Identifier: Apache-2.0
 *
 * See pages.h. */
#include "libos/mm/pages.h"

#define AROUND_MAX 16 /* pages that one fault adds at most */

int page_prot(int prot)
{
    /* x86 page tables have no write-only or (without protection keys) execute-only pages. */
    prot &= PROT_READ | PROT_WRITE | PROT_EXEC;
    return prot ? prot | PROT_READ : PROT_NONE;
}

/* ---- all memory is there ------------------------------------------------------------------------------------------- */
static int set_static(uint64_t start, uint64_t end, int prot)
{
    return ocall_protect(start, end - start, page_prot(prot)) ? -ENOMEM : 0;
}

static int open_static(uint64_t start, uint64_t end, int prot)
{
    if (set_static(start, end, PROT_RW) || wipe_user((void *)start, end - start))
        return -ENOMEM;
    return page_prot(prot) == PROT_RW ? 0 : set_static(start, end, prot);
}

/* The program's own access goes on meanwhile, so permissions are only added for the time. */
static int zero_static(uint64_t start, uint64_t end, int prot)
{
    bool writable = prot & PROT_WRITE;

    if (!writable && set_static(start, end, prot | PROT_WRITE))
        return -ENOMEM;
    int error = wipe_user((void *)start, end - start) ? -ENOMEM : 0;
    if (!writable && set_static(start, end, prot))
        error = -ENOMEM;
    return error;
}

/* The old pages become readable for the time. */
static int move_static(uint64_t from, uint64_t to, uint64_t length, uint64_t new_length, int prot)
{
    bool readable = page_prot(prot) != PROT_NONE;

    if (set_static(to, to + new_length, PROT_RW) || (!readable && set_static(from, from + length, PROT_READ)))
        return -ENOMEM;
    if (copy_to_user((void *)to, (void *)from, length) || wipe_user((void *)(to + length), new_length - length))
        return -ENOMEM;
    return page_prot(prot) == PROT_RW ? 0 : set_static(to, to + new_length, prot);
}

/* ---- dynamic memory ------------------------------------------------------------------------------------------------ */
/* What is there moves; holes stay holes. */
static int move_dynamic(uint64_t from, uint64_t to, uint64_t length, int prot)
{
    int rights = page_prot(prot);

    for (uint64_t at = pages_find(from, from + length, true); at < from + length;) {
        uint64_t end = pages_find(at, from + length, false), target = to + (at - from);
        if (pages_commit(target, target + (end - at), PROT_RW, false) || pages_protect(at, end, rights, rights | PROT_READ))
            return -ENOMEM;
        memcpy((void *)target, (void *)at, end - at);
        if (pages_protect(at, end, rights | PROT_READ, rights) || pages_protect(target, target + (end - at), PROT_RW, rights))
            return -ENOMEM;
        at = pages_find(end, from + length, true);
    }
    return 0;
}

/* How many pages are there without a hole from `page` on, in steps of `step`, at most limit. */
static uint64_t run(uint64_t page, int64_t step, uint64_t limit)
{
    uint64_t n = 0;

    while (n < limit && page_present(page + (uint64_t)(step * (int64_t)n)))
        n++;
    return n;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The more pages there are next to this one, the more are added on its other side: 1, 2, 4 ... for memory that is used in
 * order, upwards or downwards, and 1 for memory that is not. */
int pages_fault(uint64_t page, uint64_t low, uint64_t high, int prot)
{
    if (page_present(page))
        return 0;
    uint64_t below = run(page - VIGIL_PAGE, -VIGIL_PAGE, least((page - low) / VIGIL_PAGE, AROUND_MAX - 1));
    uint64_t above = run(page + VIGIL_PAGE, VIGIL_PAGE, least((high - page) / VIGIL_PAGE - 1, AROUND_MAX - 1));
    uint64_t start = page, end = page + VIGIL_PAGE;

    if (below >= above)
        end = page + least((high - page) / VIGIL_PAGE, below + 1) * VIGIL_PAGE;
    else
        start = page - least((page - low) / VIGIL_PAGE, above) * VIGIL_PAGE;
    /* If there is not enough memory for all, then for the one. */
    if (!pages_commit(start, end, page_prot(prot), true) || page_present(page))
        return 1;
    return pages_commit(page, page + VIGIL_PAGE, page_prot(prot), true) ? -ENOMEM : 1;
}

/* ---- either -------------------------------------------------------------------------------------------------------- */
int pages_open(uint64_t start, uint64_t end, int prot)
{
    int error = edmm_on() ? 0 : open_static(start, end, prot);

    mitigation_memory_changed();
    return error;
}

/* Written without a look: where a look takes no memory, as in the software SGX, the write after it would be another fault. More
 * than malloc() asks for at a time is another matter. */
#define USED_AT_ONCE (256u << 10)
int pages_open_to_use(uint64_t start, uint64_t end, int prot)
{
    if (edmm_on() || end - start > USED_AT_ONCE)
        return pages_open(start, end, prot);
    int error = set_static(start, end, prot) || clear_user((void *)start, end - start) ? -ENOMEM : 0;

    mitigation_memory_changed();
    return error;
}

int pages_take(uint64_t start, uint64_t end, int prot)
{
    int error = edmm_on() ? 0 : set_static(start, end, prot);

    mitigation_memory_changed();
    return error;
}

int pages_set(uint64_t start, uint64_t end, int from, int to)
{
    int error = edmm_on() ? pages_protect(start, end, page_prot(from), page_prot(to)) : set_static(start, end, to);

    mitigation_memory_changed();
    return error;
}

void pages_close(uint64_t start, uint64_t end)
{
    /* If the host refuses, stray accesses do not fault, nothing worse: pages are zeroed, or new, before their next use. */
    if (edmm_on())
        (void)pages_trim(start, end);
    else
        (void)set_static(start, end, PROT_NONE);
    mitigation_memory_changed();
}

int pages_zero(uint64_t start, uint64_t end, int prot)
{
    int error = edmm_on() ? pages_trim(start, end) : zero_static(start, end, prot);

    mitigation_memory_changed();
    return error;
}

int pages_move(uint64_t from, uint64_t to, uint64_t length, uint64_t new_length, int prot)
{
    int error = edmm_on() ? move_dynamic(from, to, length, prot) : move_static(from, to, length, new_length, prot);

    mitigation_memory_changed();
    return error;
}
