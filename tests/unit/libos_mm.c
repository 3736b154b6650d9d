/* SPDX-License-Identifier: Apache-2.0
 *
 * The address space against a model that is one array entry a page: thousands of random operations, seeded
 * (VIGIL_TEST_SEED repeats a run). After each one protections, contents and real accessibility must agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_enclave.h"
#include "libos/mm/mm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 256
#define OPERATIONS 12000

syscall_fn sys_mmap, sys_munmap, sys_mremap, sys_madvise, sys_brk, sys_mincore, sys_msync, sys_mlock, sys_mlockall;

/* fs/ as mm/ sees it: descriptor 3 is a file of FILE_SIZE patterned bytes, 4 cannot be read. */
struct file {
    int fd, references;
};
#define FILE_SIZE 10000
static struct file files[2] = {{3, 0}, {4, 0}};

bool file_can_write(const struct file *file)
{
    (void)file;
    return true;
}

struct file *file_from_fd(int fd)
{
    if (fd != 3 && fd != 4)
        return NULL;
    files[fd - 3].references++;
    return &files[fd - 3];
}

struct file *file_get(struct file *file)
{
    file->references++;
    return file;
}

void file_put(struct file *file)
{
    file->references--;
}

uint64_t file_next_data(struct file *file, uint64_t from, uint64_t end)
{
    (void)file, (void)end;
    return from;
}

char *file_name(const struct file *file)
{
    (void)file;
    return NULL;
}

static unsigned char file_byte(uint64_t offset)
{
    return (unsigned char)(offset * 7 + offset / 251);
}

long file_pread(struct file *file, void *buf, size_t n, uint64_t offset)
{
    size_t i = 0;

    if (file->fd == 4)
        return -EBADF;
    for (; i < n && i < 3000 && offset + i < FILE_SIZE; i++)
        ((unsigned char *)buf)[i] = file_byte(offset + i);
    return (long)i;
}

static uint64_t base;

static int setup(void **state)
{
    (void)state;
    fake_enclave_init(PAGES * VIGIL_PAGE);
    base = boot_info()->app_start;
    assert_int_equal(mm_init(), 0);
    return 0;
}

static uint64_t page(uint64_t n)
{
    return base + n * VIGIL_PAGE;
}

/* ---- the model --------------------------------------------------------------------------------------------------- */
struct model_page {
    int prot;            /* -1: not mapped */
    unsigned char value; /* of every byte */
    bool shared, stale;  /* what keeps neighbours with the same protection in separate areas */
};
static struct model_page model[PAGES];

static void model_unmap(uint64_t first, uint64_t n)
{
    for (uint64_t i = first; i < first + n; i++)
        model[i] = (struct model_page){.prot = -1};
}

static void model_map(uint64_t first, uint64_t n, int prot, bool shared)
{
    for (uint64_t i = first; i < first + n; i++)
        model[i] = (struct model_page){.prot = prot, .shared = shared, .stale = prot == PROT_NONE};
}

static bool model_is(uint64_t first, uint64_t n, bool mapped)
{
    for (uint64_t i = first; i < first + n; i++)
        if ((model[i].prot >= 0) != mapped)
            return false;
    return true;
}

/* Highest free run of n pages, PAGES if none. */
static uint64_t model_gap(uint64_t n)
{
    for (uint64_t i = PAGES - n + 1; i-- > 0;)
        if (model_is(i, n, false))
            return i;
    return PAGES;
}

static void check_page(uint64_t i)
{
    unsigned char buf[VIGIL_PAGE];
    int prot = model[i].prot;

    if (mm_prot_at(page(i)) != prot)
        fail_msg("page %u: protection %d, expected %d", (unsigned)i, mm_prot_at(page(i)), prot);
    int expected = prot > 0 ? 0 : -EFAULT;
    if (copy_from_user(buf, (void *)page(i), sizeof(buf)) != expected)
        fail_msg("page %u: readable or not, against its protection %d", (unsigned)i, prot);
    if (expected)
        return;
    if (buf[0] != model[i].value || memcmp(buf, buf + 1, sizeof(buf) - 1))
        fail_msg("page %u: contents 0x%02x.., expected 0x%02x", (unsigned)i, buf[0], model[i].value);
    expected = prot & PROT_WRITE ? 0 : -EFAULT;
    if (copy_to_user((void *)page(i), buf, 1) != expected)
        fail_msg("page %u: writable or not, against its protection %d", (unsigned)i, prot);
}

static void scribble(uint64_t i, unsigned char value)
{
    unsigned char buf[VIGIL_PAGE];

    if (model[i].prot < 0 || !(model[i].prot & PROT_WRITE))
        return;
    memset(buf, value, sizeof(buf));
    assert_int_equal(copy_to_user((void *)page(i), buf, sizeof(buf)), 0);
    model[i].value = value;
}

/* ---- random operations ------------------------------------------------------------------------------------------- */
static uint64_t seed;

static uint64_t any(uint64_t limit)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (seed >> 11) % limit;
}

static int any_prot(void)
{
    static const int prots[] = {PROT_NONE, PROT_READ, PROT_RW, PROT_RW, PROT_RW, PROT_READ | PROT_EXEC};
    return prots[any(sizeof(prots) / sizeof(prots[0]))];
}

static void random_map(uint64_t at, uint64_t n)
{
    int prot = any_prot(), kind = (int)any(4);
    long result;

    if (kind == 0) {
        result = mm_map(page(at), n * VIGIL_PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED);
        assert_int_equal(result, page(at));
        model_map(at, n, prot, false);
    } else if (kind == 1) {
        result = mm_map(page(at), n * VIGIL_PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE);
        assert_int_equal(result, model_is(at, n, false) ? (long)page(at) : -EEXIST);
        if (result > 0)
            model_map(at, n, prot, false);
    } else {
        uint64_t place = kind == 2 && model_is(at, n, false) ? at : model_gap(n);
        result = mm_map(kind == 2 ? page(at) : 0, n * VIGIL_PAGE, prot, MAP_SHARED | MAP_ANONYMOUS);
        assert_int_equal(result, place < PAGES ? (long)page(place) : -ENOMEM);
        if (result > 0)
            model_map(place, n, prot, true);
    }
}

static void random_protect(uint64_t at, uint64_t n)
{
    int prot = any_prot();
    uint64_t i = at;

    for (; i < at + n && model[i].prot >= 0; i++) {
        model[i].prot = prot;
        model[i].stale = model[i].stale && prot == PROT_NONE;
    }
    assert_int_equal(mm_protect(page(at), n * VIGIL_PAGE, prot), i == at + n ? 0 : -ENOMEM);
}

static void random_discard(uint64_t at, uint64_t n)
{
    assert_int_equal(mm_discard(page(at), n * VIGIL_PAGE), model_is(at, n, true) ? 0 : -ENOMEM);
    for (uint64_t i = at; i < at + n; i++)
        model[i].value = 0;
}

static void model_move(uint64_t from, uint64_t old_n, uint64_t to, uint64_t new_n)
{
    struct model_page moved[PAGES];

    for (uint64_t i = 0; i < new_n; i++)
        moved[i] = model[from + (i < old_n ? i : 0)];
    for (uint64_t i = old_n; i < new_n; i++)
        moved[i].value = 0;
    model_unmap(from, old_n);
    memcpy(model + to, moved, new_n * sizeof(moved[0]));
}

/* One area in mm's eyes? Neighbours that differ in nothing must have been merged. */
static bool model_one_area(uint64_t first, uint64_t n)
{
    const struct model_page *a = &model[first];

    for (const struct model_page *b = a; b < a + n; b++)
        if (b->prot != a->prot || b->shared != a->shared || b->stale != a->stale)
            return false;
    return true;
}

static void random_remap(uint64_t at, uint64_t n)
{
    uint64_t new_n = 1 + any(PAGES / 8), to = any(PAGES - new_n);
    int kind = (int)any(3), flags = kind == 0 ? 0 : kind == 1 ? MREMAP_MAYMOVE : MREMAP_MAYMOVE | MREMAP_FIXED;
    long result = mm_remap(page(at), n * VIGIL_PAGE, new_n * VIGIL_PAGE, flags, page(to));

    if (kind == 2 && at < to + new_n && to < at + n) {
        assert_int_equal(result, -EINVAL);
        return;
    }
    if (model[at].prot < 0) {
        assert_int_equal(result, -EFAULT);
        return;
    }
    if (kind != 2 && new_n <= n) {
        assert_int_equal(result, page(at));
        model_unmap(at + new_n, n - new_n);
        return;
    }
    assert_int_equal(result == -EFAULT, !model_one_area(at, n));
    if (result == -EFAULT)
        return;
    bool grows = kind != 2 && at + new_n <= PAGES && model_is(at + n, new_n - n, false);
    if (result < 0) {
        assert_int_equal(result, -ENOMEM);
        assert_false(grows);
        assert_true(kind == 0 || (kind == 1 && model_gap(new_n) == PAGES));
        return;
    }
    uint64_t place = ((uint64_t)result - base) / VIGIL_PAGE;
    assert_int_equal(place, kind == 2 ? to : grows ? at : model_gap(new_n));
    if (place == at) {
        for (uint64_t i = at + n; i < at + new_n; i++) {
            model[i] = model[at];
            model[i].value = 0;
        }
        return;
    }
    if (kind == 2)
        model_unmap(to, new_n);
    model_move(at, n, place, new_n);
}

static void random_operations_match_the_model(void **state)
{
    const char *given = getenv("VIGIL_TEST_SEED");
    uint64_t first_seed = given ? strtoull(given, NULL, 0) : 0x9e3779b97f4a7c15ull;

    (void)state;
    seed = first_seed;
    model_unmap(0, PAGES);
    for (int i = 0; i < OPERATIONS; i++) {
        uint64_t at = any(PAGES), most = PAGES - at < PAGES / 6 ? PAGES - at : PAGES / 6, n = 1 + any(most);
        switch (any(6)) {
        case 0:
        case 1:
            random_map(at, n);
            break;
        case 2:
            assert_int_equal(mm_unmap(page(at), n * VIGIL_PAGE), 0);
            model_unmap(at, n);
            break;
        case 3:
            random_protect(at, n);
            break;
        case 4:
            random_remap(at, n);
            break;
        case 5:
            random_discard(at, n);
            break;
        }
        for (int k = 0; k < 6; k++)
            scribble(any(PAGES), (unsigned char)(1 + any(255)));
        for (int k = 0; k < 6; k++)
            check_page(any(PAGES));
        if (i % 64 == 0)
            for (uint64_t k = 0; k < PAGES; k++)
                check_page(k);
        uint64_t mapped = 0;
        for (uint64_t k = 0; k < PAGES; k++)
            mapped += model[k].prot >= 0;
        assert_int_equal(mm_mapped_bytes(), mapped * VIGIL_PAGE);
    }
}

/* ---- single properties ------------------------------------------------------------------------------------------- */
static void host_content_and_old_data_never_show(void **state)
{
    unsigned char byte;

    (void)state;
    model_unmap(0, PAGES);
    /* PROT_NONE first, accessible later: the 0xa5 of the fake host must be gone. */
    assert_int_equal(mm_map(page(8), 16 * VIGIL_PAGE, PROT_NONE, MAP_FIXED | MAP_PRIVATE), page(8));
    assert_int_equal(mm_protect(page(10), VIGIL_PAGE, PROT_READ), 0);
    assert_int_equal(copy_from_user(&byte, (void *)page(10), 1), 0);
    assert_int_equal(byte, 0);
    /* Data survives PROT_NONE ... */
    assert_int_equal(mm_protect(page(10), VIGIL_PAGE, PROT_RW), 0);
    byte = 0x42;
    assert_int_equal(copy_to_user((void *)page(10), &byte, 1), 0);
    assert_int_equal(mm_protect(page(8), 16 * VIGIL_PAGE, PROT_NONE), 0);
    assert_int_equal(mm_protect(page(8), 16 * VIGIL_PAGE, PROT_READ), 0);
    assert_int_equal(copy_from_user(&byte, (void *)page(10), 1), 0);
    assert_int_equal(byte, 0x42);
    /* ... but not unmapping. */
    assert_int_equal(mm_unmap(page(10), VIGIL_PAGE), 0);
    assert_int_equal(copy_from_user(&byte, (void *)page(10), 1), -EFAULT);
    assert_int_equal(mm_map(page(10), VIGIL_PAGE, PROT_READ, MAP_FIXED | MAP_PRIVATE), page(10));
    assert_int_equal(copy_from_user(&byte, (void *)page(10), 1), 0);
    assert_int_equal(byte, 0);
}

static void bad_arguments(void **state)
{
    uint64_t space = PAGES * VIGIL_PAGE;
    int anonymous = MAP_PRIVATE | MAP_ANONYMOUS;

    (void)state;
    assert_int_equal(sys_mmap(0, 0, PROT_RW, anonymous, -1, 0), -EINVAL);
    assert_int_equal(sys_mmap(0, -1, PROT_RW, anonymous, -1, 0), -ENOMEM);
    assert_int_equal(sys_mmap(0, (long)space + 1, PROT_RW, anonymous, -1, 0), -ENOMEM);
    assert_int_equal(sys_mmap(0, 4096, PROT_RW, MAP_ANONYMOUS, -1, 0), -EINVAL);
    assert_int_equal(sys_mmap(0, 4096, PROT_RW, anonymous, -1, 1), -EINVAL);
    assert_int_equal(sys_mmap((long)page(1) + 1, 4096, PROT_RW, anonymous | MAP_FIXED, -1, 0), -EINVAL);
    assert_int_equal(sys_mmap((long)page(PAGES), 4096, PROT_RW, anonymous | MAP_FIXED, -1, 0), -ENOMEM);
    assert_int_equal(sys_mmap(0x1000, 4096, PROT_RW, anonymous | MAP_FIXED, -1, 0), -ENOMEM);
    assert_int_equal(sys_mmap(0, 4096, PROT_RW, MAP_PRIVATE, 99, 0), -EBADF);
    assert_int_equal(sys_mmap(0, 4096, PROT_RW, MAP_PRIVATE, 4, 0), -EACCES);
    assert_int_equal(mm_unmap(page(1) + 1, 4096), -EINVAL);
    assert_int_equal(mm_unmap(page(1), 0), -EINVAL);
    assert_int_equal(mm_unmap(page(1), -page(1)), -EINVAL);
    assert_int_equal(mm_unmap(0, (uint64_t)-4096), 0);
    assert_int_equal(mm_protect(page(1), 4096, PROT_READ), -ENOMEM);
    assert_int_equal(mm_protect(page(1), 4096, 0x40), -EINVAL);
    assert_int_equal(mm_protect(page(1), 0, PROT_READ), 0);
    assert_int_equal(mm_remap(page(1), 4096, 8192, 0, 0), -EFAULT);
    assert_int_equal(sys_madvise((long)page(1), 4096, MADV_WILLNEED, 0, 0, 0), -ENOMEM);
    assert_int_equal(sys_madvise((long)page(1), 4096, 12345, 0, 0, 0), -EINVAL);
    assert_int_equal(sys_msync((long)page(1), 4096, MS_SYNC | MS_ASYNC, 0, 0, 0), -EINVAL);
    assert_int_equal(sys_mlock((long)page(1), 4096, 0, 0, 0, 0), -ENOMEM);
    assert_int_equal(sys_mlockall(0, 0, 0, 0, 0, 0), -EINVAL);
    assert_int_equal(files[0].references, 0);
    assert_int_equal(files[1].references, 0);
    assert_int_equal(mm_mapped_bytes(), 0);
}

static void files_are_copied_in(void **state)
{
    unsigned char buf[3 * VIGIL_PAGE];

    (void)state;
    long at = sys_mmap(0, 2 * VIGIL_PAGE + 5, PROT_READ | PROT_EXEC, MAP_PRIVATE, 3, VIGIL_PAGE);
    assert_true(at > 0);
    assert_int_equal(mm_prot_at((uint64_t)at), PROT_READ | PROT_EXEC);
    assert_int_equal(copy_from_user(buf, (void *)at, sizeof(buf)), 0);
    for (unsigned i = 0; i < sizeof(buf); i++)
        assert_int_equal(buf[i], VIGIL_PAGE + i < FILE_SIZE ? file_byte(VIGIL_PAGE + i) : 0);
    assert_int_equal(copy_to_user((void *)at, buf, 1), -EFAULT);
    assert_int_equal(sys_madvise(at, VIGIL_PAGE, MADV_DONTNEED, 0, 0, 0), 0);
    assert_int_equal(copy_from_user(buf, (void *)at, 1), 0);
    assert_int_equal(buf[0], file_byte(VIGIL_PAGE));
    /* Somewhere else, and more of it. */
    assert_int_equal(files[0].references, 1);
    long to = sys_mremap(at, sizeof(buf), sizeof(buf) + 4096, MREMAP_MAYMOVE, 0, 0);
    assert_true(to > 0 && to != at);
    assert_int_equal(mm_prot_at((uint64_t)at), -1);
    assert_int_equal(mm_prot_at((uint64_t)to), PROT_READ | PROT_EXEC);
    assert_int_equal(copy_from_user(buf, (void *)to, sizeof(buf)), 0);
    assert_int_equal(buf[0], file_byte(VIGIL_PAGE));
    /* A hole in the middle: two mappings of the file are left. */
    assert_int_equal(sys_munmap(to + 4096, 4096, 0, 0, 0, 0), 0);
    assert_int_equal(files[0].references, 2);
    assert_int_equal(sys_munmap(to, sizeof(buf) + 4096, 0, 0, 0, 0), 0);
    assert_int_equal(files[0].references, 0);
}

static void brk_grows_and_shrinks(void **state)
{
    uint64_t start = page(4), limit = start + 8 * VIGIL_PAGE;
    unsigned char byte = 9;

    (void)state;
    fake_config()->brk_max_size = limit - start;
    mm_set_brk(start - 100);
    assert_int_equal(sys_brk(0, 0, 0, 0, 0, 0), start);
    assert_int_equal(sys_brk((long)start + 5000, 0, 0, 0, 0, 0), start + 5000);
    assert_int_equal(copy_to_user((void *)(start + 8191), &byte, 1), 0);
    assert_int_equal(copy_to_user((void *)(start + 8192), &byte, 1), -EFAULT);
    assert_int_equal(sys_brk((long)limit + 1, 0, 0, 0, 0, 0), start + 5000);
    assert_int_equal(sys_brk((long)limit, 0, 0, 0, 0, 0), limit);
    assert_int_equal(sys_brk((long)start - 1, 0, 0, 0, 0, 0), limit);
    assert_int_equal(sys_brk((long)start + 1, 0, 0, 0, 0, 0), start + 1);
    assert_int_equal(mm_prot_at(start + 4096), -1);
    assert_int_equal(sys_brk((long)start + 8192, 0, 0, 0, 0, 0), start + 8192);
    assert_int_equal(copy_from_user(&byte, (void *)(start + 8191), 1), 0);
    assert_int_equal(byte, 0);
    /* Something in the way. */
    assert_int_equal(mm_map(start + 8192, 4096, PROT_NONE, MAP_FIXED), start + 8192);
    assert_int_equal(sys_brk((long)start + 8193, 0, 0, 0, 0, 0), start + 8192);
}

static void mincore_says_all_mapped_pages_are_there(void **state)
{
    unsigned char buf[3] = {0};

    (void)state;
    assert_int_equal(mm_map(page(3), 3 * VIGIL_PAGE, PROT_RW, MAP_FIXED), page(3));
    assert_int_equal(sys_mincore((long)page(3), 2 * VIGIL_PAGE, (long)page(5), 0, 0, 0), 0);
    assert_int_equal(copy_from_user(buf, (void *)page(5), 3), 0);
    assert_memory_equal(buf, "\1\1\0", 3);
    assert_int_equal(sys_mincore((long)page(3), 4 * VIGIL_PAGE, (long)page(5), 0, 0, 0), -ENOMEM);
    assert_int_equal(sys_mincore((long)page(3), VIGIL_PAGE, 16, 0, 0, 0), -EFAULT);
}

static void dontunmap_leaves_zeroes(void **state)
{
    unsigned char byte = 7;

    (void)state;
    assert_int_equal(mm_map(page(3), 2 * VIGIL_PAGE, PROT_RW, MAP_FIXED), page(3));
    assert_int_equal(copy_to_user((void *)page(3), &byte, 1), 0);
    int flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
    assert_int_equal(mm_remap(page(3), 4096, 8192, flags, 0), -EINVAL);
    long to = mm_remap(page(3), 8192, 8192, flags, 0);
    assert_true(to > 0 && (uint64_t)to != page(3));
    assert_int_equal(copy_from_user(&byte, (void *)to, 1), 0);
    assert_int_equal(byte, 7);
    assert_int_equal(copy_from_user(&byte, (void *)page(3), 1), 0);
    assert_int_equal(byte, 0);
}

static void failures_of_host_and_heap_are_enomem(void **state)
{
    (void)state;
    assert_int_equal(mm_map(page(3), 2 * VIGIL_PAGE, PROT_RW, MAP_FIXED), page(3));
    fake_protect_error = -ENOMEM;
    assert_int_equal(mm_map(page(9), VIGIL_PAGE, PROT_RW, MAP_FIXED), -ENOMEM);
    assert_int_equal(mm_protect(page(3), VIGIL_PAGE, PROT_READ), -ENOMEM);
    assert_int_equal(mm_prot_at(page(3)), PROT_RW);
    assert_int_equal(mm_prot_at(page(9)), -1);
    fake_protect_error = 0;
    fake_kmalloc_budget = 0;
    int failures = 0;
    for (int round = 0; round < 2 && !failures; round++)
        for (uint64_t i = 20; i < PAGES; i += 2)
            failures += mm_map(page(i), VIGIL_PAGE, round ? PROT_NONE : PROT_READ, MAP_FIXED) == -ENOMEM;
    assert_true(failures > 0);
    fake_kmalloc_budget = -1;
    assert_int_equal(mm_map(page(9), VIGIL_PAGE, PROT_RW, MAP_FIXED), page(9));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(failures_of_host_and_heap_are_enomem, setup),
        cmocka_unit_test_setup(random_operations_match_the_model, setup),
        cmocka_unit_test_setup(host_content_and_old_data_never_show, setup),
        cmocka_unit_test_setup(bad_arguments, setup),
        cmocka_unit_test_setup(files_are_copied_in, setup),
        cmocka_unit_test_setup(brk_grows_and_shrinks, setup),
        cmocka_unit_test_setup(mincore_says_all_mapped_pages_are_there, setup),
        cmocka_unit_test_setup(dontunmap_leaves_zeroes, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
