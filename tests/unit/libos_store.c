/* SPDX-License-Identifier: Apache-2.0
 *
 * The pages of files that are inside: against a model that is one array. */
#include "fs_fixture.h"

#include "libos/fs/store.h"
#include "libos/mm/mm.h"

#include <errno.h>

#define MODEL (3u << 20)

static char model[MODEL], chunk[MODEL];
static uint64_t seed = 1;

static uint64_t random_below(uint64_t n)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (seed >> 24) % n;
}

static long write_at(struct store *s, const void *data, size_t n, int64_t offset, uint64_t limit)
{
    struct io io;
    io_runtime(&io, (void *)data, n);
    return store_write(s, &io, offset, limit, NULL);
}

static long read_at(struct store *s, void *data, size_t n, uint64_t offset)
{
    struct io io;
    io_runtime(&io, data, n);
    return store_read(s, &io, offset);
}

static void compare(struct store *s, uint64_t size)
{
    memset(chunk, 0x55, sizeof(chunk));
    assert_int_equal(store_size(s), size);
    assert_int_equal(read_at(s, chunk, sizeof(chunk), 0), size);
    assert_memory_equal(chunk, model, size);
}

static void a_store_is_an_array(void **state)
{
    struct store s = {0};
    uint64_t size = 0;

    (void)state;
    memset(model, 0, sizeof(model));
    for (int round = 0; round < 600; round++) {
        uint64_t at = random_below(MODEL - 20000), n = 1 + random_below(round % 4 ? 5000 : 20000);
        switch (random_below(6)) {
        case 0: /* shorter or longer */
            assert_int_equal(store_truncate(&s, at), 0);
            if (at < size)
                memset(model + at, 0, size - at);
            size = at;
            break;
        case 1:
            store_punch(&s, at, n);
            memset(model + at, 0, n);
            break;
        case 2: { /* at the end */
            uint64_t room = MODEL - size < n ? MODEL - size : n;
            for (uint64_t i = 0; i < room; i++)
                model[size + i] = chunk[i] = (char)random_below(256);
            assert_int_equal(write_at(&s, chunk, room, -1, STORE_MAX), room);
            size += room;
            break;
        }
        default:
            for (uint64_t i = 0; i < n; i++)
                model[at + i] = chunk[i] = (char)random_below(256);
            assert_int_equal(write_at(&s, chunk, n, (int64_t)at, STORE_MAX), n);
            if (at + n > size)
                size = at + n;
        }
        if (round % 20 == 0)
            compare(&s, size);
        uint64_t from = random_below(MODEL), want = from >= size ? 0 : size - from < 3000 ? size - from : 3000;
        assert_int_equal(read_at(&s, chunk, 3000, from), want);
        assert_memory_equal(chunk, model + from, want);
    }
    compare(&s, size);
    assert_true(s.pages > 0);
    store_free(&s);
    assert_int_equal(store_pages_used(), 0);
}

static void holes_cost_nothing(void **state)
{
    struct store s = {0};
    char byte = 7;

    (void)state;
    for (unsigned shift = 0; shift < 62; shift += 3)
        assert_int_equal(write_at(&s, &byte, 1, 1ll << shift, STORE_MAX), 1);
    assert_true(s.pages <= 20);
    assert_true(store_pages_used() < 100);
    for (unsigned shift = 0; shift < 62; shift += 3) {
        char got[2] = {1, 1};
        assert_int_equal(read_at(&s, got, 2, (1ull << shift) - 1), 2);
        assert_int_equal(got[1], 7);
        assert_int_equal(got[0], 0);
    }
    assert_int_equal(store_seek(&s, 0, 9000, SEEK_DATA), 1 << 15);
    assert_int_equal(store_seek(&s, 0, 1 << 15, SEEK_HOLE), (1 << 15) + 4096);
    assert_int_equal(store_seek(&s, 0, (1ll << 57) + 4096, SEEK_DATA), 1ll << 60);
    assert_int_equal(store_seek(&s, 0, (1ll << 60) + 1, SEEK_DATA), -ENXIO);
    assert_int_equal(store_seek(&s, 0, 1ll << 60, SEEK_HOLE), (1ll << 60) + 1);
    assert_int_equal(store_seek(&s, 5, -6, SEEK_CUR), -EINVAL);
    assert_int_equal(store_seek(&s, 5, INT64_MAX, SEEK_CUR), -EOVERFLOW);
    assert_int_equal(store_seek(&s, 0, -1, SEEK_END), 1ll << 60);
    assert_int_equal(store_truncate(&s, 10), 0);
    assert_int_equal(s.pages, 1);
    assert_int_equal(store_truncate(&s, 0), 0);
    assert_int_equal(store_pages_used(), 0);
    assert_int_equal(write_at(&s, &byte, 1, INT64_MAX, STORE_MAX), -EFBIG);
    assert_int_equal(write_at(&s, &byte, 1, 10, 5), -EPERM);
    assert_int_equal(write_at(&s, "0123456789", 10, 0, 5), 5);
    store_free(&s);
}

static void memory_ends_with_enospc(void **state)
{
    struct store s = {0}, other = {0};
    uint64_t limit = store_pages_limit(), before = mm_mapped_bytes(), done = 0;
    long n;

    (void)state;
    assert_int_equal(store_allocate(&s, 0, (limit + 1) * 4096, false), -ENOSPC);
    assert_int_equal(store_size(&s), 0);
    assert_int_equal(store_pages_used(), 0);
    assert_int_equal(write_at(&other, "kept", 4, 0, STORE_MAX), 4);
    while ((n = write_at(&s, chunk, 100000, -1, STORE_MAX)) == 100000)
        done += (uint64_t)n;
    done += n > 0 ? (uint64_t)n : 0;
    assert_int_equal(write_at(&s, chunk, 1, -1, STORE_MAX), -ENOSPC);
    assert_true(done > (limit - limit / 64) * 4096 && done < limit * 4096);
    assert_int_equal(store_size(&s), done);
    assert_int_equal(store_allocate(&other, 0, 1 << 20, false), -ENOSPC);
    assert_int_equal(read_at(&other, chunk, 10, 0), 4);
    assert_memory_equal(chunk, "kept", 4);
    store_free(&s);
    store_free(&other);
    assert_int_equal(store_pages_used(), 0);
    assert_true(mm_mapped_bytes() <= before + (1 << 20)); /* one slab stays */
}

static void the_program_cannot_take_it_away(void **state)
{
    struct store s = {0};
    (void)state;
    assert_int_equal(write_at(&s, "data", 4, 0, STORE_MAX), 4);
    uint64_t page = (uint64_t)s.root;
    assert_int_equal(sys(__NR_mprotect, page, 4096, 0), -EINVAL);
    assert_int_equal(sys(__NR_mmap, page, 4096, 3, 0x32, -1, 0), -EINVAL);
    assert_int_equal(sys(__NR_mremap, page, 4096, 8192, 1), -EINVAL);
    assert_int_equal(sys(__NR_madvise, page, 4096, 4), -EINVAL);
    uint64_t low = map(4096), start = boot_info()->app_start, end = boot_info()->app_end;
    assert_int_equal(sys(__NR_munmap, start, end - start), 0); /* passes it over */
    assert_int_equal(mm_prot_at(low), -1);
    assert_int_equal(read_at(&s, chunk, 10, 0), 4);
    assert_memory_equal(chunk, "data", 4);
    store_free(&s);
}

static void without_nodes_nothing_breaks(void **state)
{
    struct store s = {0};
    (void)state;
    fake_protect_error = -ENOMEM;
    assert_int_equal(write_at(&s, "x", 1, 0, STORE_MAX), -ENOSPC);
    fake_protect_error = 0;
    assert_int_equal(store_size(&s), 0);
    assert_int_equal(write_at(&s, "x", 1, 1 << 30, STORE_MAX), 1);
    store_free(&s);
    assert_int_equal(store_pages_used(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FS_TEST(a_store_is_an_array),
        FS_TEST(holes_cost_nothing),
        FS_TEST(memory_ends_with_enospc),
        FS_TEST(the_program_cannot_take_it_away),
        FS_TEST(without_nodes_nothing_breaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
