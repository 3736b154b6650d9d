/* SPDX-License-Identifier: Apache-2.0
 *
 * The software SGX as a backend. */
#include "host/internal.h"
#include "image/remember.h"
#include "softsgx/softsgx.h"

#include <asm/sgx.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static struct softsgx_enclave *enclave;

static void probe(struct host_sgx *sgx)
{
    uint32_t leaf0[4], leaf1[4];

    *sgx = (struct host_sgx){.name = "software", .usable = true};
    if (!softsgx_cpuid(0x12, 0, leaf0) || !softsgx_cpuid(0x12, 1, leaf1)) {
        sgx->usable = false;
        snprintf(sgx->reason, sizeof(sgx->reason), "the software SGX does not enumerate itself");
        return;
    }
    sgx->sgx1 = leaf0[0] & 1;
    sgx->sgx2 = leaf0[0] & 2;
    sgx->edeccssa = leaf0[0] & (1u << 11);
    sgx->exinfo = leaf0[1] & SGX_MISC_EXINFO;
    sgx->aex_notify = leaf1[0] & (1u << 10);
    sgx->xfrm = softsgx_xfrm();
    snprintf(sgx->reason, sizeof(sgx->reason), "always there; protects nothing");
}

static int fail(struct image_error *error, const char *what, int status)
{
    if (status == -ENOMEM)
        snprintf(error->text, sizeof(error->text), "software SGX: %s: no memory, or not enough EPC (--epc-size)", what);
    else if (status < 0)
        snprintf(error->text, sizeof(error->text), "software SGX: %s: %s", what, strerror(-status));
    else
        snprintf(error->text, sizeof(error->text), "software SGX: %s (SGX error %d)", what, status);
    return -1;
}

/* Error texts for what EINIT refuses. */
static const char *einit_refusal(int status)
{
    switch (status) {
    case SGX_INVALID_MEASUREMENT:
        return "EINIT: the image is not the one that was signed; sign it again";
    case SGX_INVALID_SIGNATURE:
    case SGX_INVALID_SIG_STRUCT:
        return "EINIT: the signature is wrong; sign the image again";
    case SGX_INVALID_ATTRIBUTE:
        return "EINIT: the signed attributes are not granted here";
    default:
        return "EINIT";
    }
}

static const struct host_options *options_now;

/* The interrupt schedule of a test, for the calling thread. */
static void schedule(uint64_t ordinal)
{
    const struct host_options *options = options_now;

    if (options->aex == HOST_AEX_RANDOM || (options->aex == HOST_AEX_THREADS && ordinal))
        softsgx_aex_random(options->aex_seed + ordinal, (uint32_t)options->aex_n);
    else if (ordinal)
        return;
    else if (options->aex == HOST_AEX_AFTER)
        softsgx_aex_after(options->aex_n);
    else if (options->aex == HOST_AEX_EVERY)
        softsgx_aex_every();
}

/* Pages the image does not have are no business of the kernel's, as if nothing were mapped there: it adds none. (To the
 * guard pages of later thread blocks it would add one, which is PENDING: a guard as good as any.) */
static int close_gaps(const struct image *image)
{
    uint64_t threads = image->tcs0 - VIGIL_TB_TCS * VIGIL_PAGE;
    int status = softsgx_protect(enclave, 0, VIGIL_APP_START, PROT_NONE);

    /* Application memory is the LibOS's, which begins by closing it: then that is nothing to do. */
    if (!status && !(image->config->flags & VIGIL_FLAG_EDMM))
        status = softsgx_protect(enclave, VIGIL_APP_START, image->heap - VIGIL_APP_START, PROT_NONE);
    if (!status)
        status = softsgx_protect(enclave, image->app_end, threads - image->app_end, PROT_NONE);
    for (uint32_t i = 0; !status && i < image->config->max_threads; i++) {
        uint64_t block = threads + i * image->thread_stride;
        status = softsgx_protect(enclave, block, VIGIL_TB_KSTACK * VIGIL_PAGE, PROT_NONE);
        if (!status)
            status = softsgx_protect(enclave, block + (VIGIL_TB_S1STACK - 1) * VIGIL_PAGE, VIGIL_PAGE, PROT_NONE);
    }
    return status;
}

static bool recall(const void *question, size_t question_size, void *answer, size_t answer_size)
{
    return image_recall("measurement", question, question_size, answer, answer_size);
}

static void remember(const void *question, size_t question_size, const void *answer, size_t answer_size)
{
    image_remember("measurement", question, question_size, answer, answer_size);
}

static const struct softsgx_memory memory_of_measurements = {recall, remember};

static int load(const struct image *image, const struct sgx_secs *secs, const struct host_options *options,
                struct image_error *error)
{
    options_now = options;
    softsgx_set_epc_limit(options->epc_size);
    int status = softsgx_process_init();
    if (status)
        return fail(error, "cannot start (the machine must offer FSGSBASE instructions)", status);
    softsgx_set_memory(options->remember ? &memory_of_measurements : NULL);
    status = softsgx_create(secs, &enclave);
    if (status)
        return fail(error, "ECREATE", status);
    for (size_t i = 0; i < image->range_count; i++) {
        const struct image_range *r = &image->ranges[i];
        struct sgx_secinfo secinfo = {.flags = r->secinfo_flags};
        status = softsgx_add_pages(enclave, r->offset, r->content, r->length, &secinfo, r->measured);
        if (status)
            return fail(error, r->name, status);
    }
    status = close_gaps(image);
    if (status)
        return fail(error, "page permissions", status);
    status = softsgx_init(enclave, &image->sigstruct);
    if (status)
        return fail(error, einit_refusal(status), status);
    if (!host_plain(options) && !softsgx_accelerate(enclave)) {
        host_fast_eenter = softsgx_fast_eenter;
        host_fast_bases = softsgx_fast_bases;
    }
    softsgx_set_tick_hz(options->tick_hz);
    if (options->loaded)
        options->loaded(options->loaded_arg);
    return 0;
}

static int thread_init(uint64_t ordinal)
{
    int status = softsgx_thread_init();
    if (!status)
        schedule(ordinal);
    return status;
}

/* The enclave looks at all of what it gets, lest it find other things there than zeroes, and each page that is only looked at
 * costs a fault. The kernel can do with one for 2 MiB of them. Not at the end, where stacks begin to be used: memory is then
 * taken 2 MiB at a time. */
#define HUGE (2ull << 20)
#define STACK_IN_USE (512u << 10)
static void hint_bulk(uint64_t address, uint64_t length)
{
    uint64_t start = (address + HUGE - 1) & -HUGE, end = (address + length - STACK_IN_USE) & -HUGE;

    if (length >= 3 * HUGE && start < end)
        madvise((void *)start, end - start, MADV_HUGEPAGE);
}

static int protect(uint64_t address, uint64_t length, int prot)
{
    int status = softsgx_protect(enclave, address, length, prot);

    if (!status && prot & PROT_WRITE)
        hint_bulk(address, length);
    return status;
}

static int memory(uint32_t operation, uint64_t address, uint64_t length, uint64_t argument)
{
    struct sgx_enclave_restrict_permissions restriction = {.offset = address, .length = length, .permissions = argument};
    struct sgx_enclave_modify_types types = {.offset = address, .length = length};
    struct sgx_enclave_remove_pages removal = {.offset = address, .length = length};

    switch (operation) {
    case VIGIL_MEMORY_ADD:
        return softsgx_augment(enclave, address, length);
    case VIGIL_MEMORY_RESTRICT:
        return softsgx_restrict_permissions(enclave, &restriction);
    case VIGIL_MEMORY_TRIM:
    case VIGIL_MEMORY_TCS:
        types.page_type = operation == VIGIL_MEMORY_TRIM ? SGX_PT_TRIM : SGX_PT_TCS;
        return softsgx_modify_types(enclave, &types);
    case VIGIL_MEMORY_REMOVE:
        return softsgx_remove_pages(enclave, &removal);
    default:
        return -EINVAL;
    }
}

static void print_stats(int fd)
{
    struct softsgx_stats s;
    struct softsgx_epc epc;
    softsgx_get_stats(&s);
    dprintf(fd,
            "vigil: stats: processor: EENTER %lu, ERESUME %lu, of them notifications %lu, EEXIT %lu, EDECCSSA %lu, AEX %lu "
            "(interrupts %lu, exceptions %lu), ticks %lu\n",
            s.eenter, s.eresume, s.eresume_notify, s.eexit, s.edeccssa, s.aex, s.aex_interrupt, s.aex_exception, s.ticks);
    softsgx_get_epc(enclave, &epc);
    dprintf(fd, "vigil: stats: EPC: valid %lu, pending %lu, trimmed %lu, added %lu, removed %lu\n", epc.valid, epc.pending,
            epc.trimmed, epc.added, epc.removed);
}

const struct sgx_backend backend_software = {
    .probe = probe,
    .load = load,
    .protect = protect,
    .memory = memory,
    .thread_init = thread_init,
    .thread_fast = softsgx_fast_self,
    .thread_exit = softsgx_thread_exit,
    .sigaction = softsgx_sigaction,
    .print_stats = print_stats,
};

struct softsgx_enclave *host_software_enclave(void)
{
    return enclave;
}
