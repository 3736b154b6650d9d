/* SPDX-License-Identifier: Apache-2.0
 *
 * The layout of an enclave, made concrete: a list of ranges in the order in which they are added and measured.
 * include/vigil/layout.h says what it looks like. */
#include "image/internal.h"

#include <stdlib.h>
#include <string.h>

#define RW (SGX_SECINFO_REG | SGX_SECINFO_R | SGX_SECINFO_W)
#define RANGES_PER_THREAD 5
#define FIXED_RANGES 20
#define HEAP_MAX (64ull << 20)
#define HEAP_MAX_DYNAMIC (1ull << 30)

struct plan { uint64_t elf, config, config_length, threads, thread_limit, stride, app_end, heap, heap_ready; };

static void add(struct image *image, const char *name, uint64_t offset, uint64_t length, uint64_t flags,
                const void *content, bool measured)
{
    image->ranges[image->range_count++] = (struct image_range){name, offset, length, flags, content, measured};
}

static void add_thread(struct image *image, uint64_t block, struct sgx_tcs *tcs)
{
    const bool notify = image->config->flags & VIGIL_FLAG_AEX_NOTIFY;
    const uint64_t tcb = block + VIGIL_TB_TCB * VIGIL_PAGE;

    tcs->flags = notify ? SGX_TCS_AEXNOTIFY : 0;
    tcs->ossa = block + VIGIL_TB_SSA * VIGIL_PAGE;
    tcs->nssa = VIGIL_NSSA;
    tcs->oentry = image->entry;
    tcs->ofsbase = tcs->ogsbase = tcb;
    tcs->fslimit = tcs->gslimit = 0xfff;
    /* Stacks and the XSAVE area hold nothing that is read before it is written; SSA and TCB start as measured zeros. */
    add(image, "kernel stack", block + VIGIL_TB_KSTACK * VIGIL_PAGE, VIGIL_KSTACK_PAGES * VIGIL_PAGE, RW, NULL, false);
    add(image, "stage-1 stack", block + VIGIL_TB_S1STACK * VIGIL_PAGE, VIGIL_S1STACK_PAGES * VIGIL_PAGE, RW, NULL, false);
    add(image, "SSA and TCB", block + VIGIL_TB_SSA * VIGIL_PAGE,
        (VIGIL_NSSA * VIGIL_SSAFRAMESIZE + 1) * VIGIL_PAGE, RW, NULL, true);
    add(image, "XSAVE area", block + VIGIL_TB_XSAVE * VIGIL_PAGE, VIGIL_XSAVE_PAGES * VIGIL_PAGE, RW, NULL, false);
    add(image, "TCS", block + VIGIL_TB_TCS * VIGIL_PAGE, VIGIL_PAGE, SGX_SECINFO_TCS, tcs, true);
}

/* With dynamic memory the threads of the start are not the limit: an eighth of ELRANGE is set aside for more. */
static uint64_t thread_limit(const struct vigil_config *config, uint64_t stride)
{
    uint64_t room = config->enclave_size / 8 / stride;

    if (!(config->flags & VIGIL_FLAG_EDMM) || room < config->max_threads)
        return config->max_threads;
    return room < VIGIL_THREAD_LIMIT ? room : VIGIL_THREAD_LIMIT;
}

static int make_plan(struct plan *plan, const struct vigil_config *config, uint64_t elf_span, struct image_error *error)
{
    uint64_t config_length = PAGE_UP(config->size);

    const bool dynamic = config->flags & VIGIL_FLAG_EDMM;

    plan->stride = (uint64_t)VIGIL_TB_PAGES * VIGIL_PAGE;
    plan->thread_limit = thread_limit(config, plan->stride);
    uint64_t needed = elf_span + config_length + plan->stride * plan->thread_limit + VIGIL_PAGE;
    if (needed + VIGIL_APP_START + (4u << 20) > config->enclave_size)
        return image_fail(error, "sgx.enclave_size is %lu bytes: too small for %u threads (sgx.max_threads) and a program; "
                          "the runtime alone needs %lu", config->enclave_size, config->max_threads, needed);
    plan->elf = config->enclave_size - elf_span;
    plan->config = plan->elf - config_length;
    plan->config_length = config_length;
    plan->threads = plan->config - plan->stride * plan->thread_limit;
    plan->app_end = plan->threads - VIGIL_PAGE;

    uint64_t heap = (plan->app_end - VIGIL_APP_START) / 16, most = dynamic ? HEAP_MAX_DYNAMIC : HEAP_MAX;
    plan->heap = plan->app_end - ((heap < most ? heap : most) & ~(uint64_t)(VIGIL_PAGE - 1));
    plan->heap_ready = dynamic ? plan->heap + VIGIL_HEAP_READY : plan->app_end;
    return 0;
}

static void fill_secs(struct image *image)
{
    const struct vigil_config *config = image->config;

    image->secs.size = config->enclave_size;
    image->secs.ssaframesize = VIGIL_SSAFRAMESIZE;
    image->secs.miscselect = config->flags & VIGIL_FLAG_EXINFO ? SGX_MISC_EXINFO : 0;
    image->secs.attributes.flags = SGX_ATTR_MODE64BIT | (config->flags & VIGIL_FLAG_DEBUG ? SGX_ATTR_DEBUG : 0) |
                                   (config->flags & VIGIL_FLAG_AEX_NOTIFY ? SGX_ATTR_AEXNOTIFY : 0);
    image->secs.attributes.xfrm = SGX_XFRM_LEGACY | image->config->xfrm_required;
}

static void fill_boot_info(const struct image *image, const struct runtime_elf *elf, const struct plan *plan)
{
    *(struct vigil_boot_info *)(elf->memory + elf->boot_offset) = (struct vigil_boot_info){
        .magic = VIGIL_BOOT_MAGIC,
        .base = 0, .size = image->config->enclave_size,
        .app_start = VIGIL_APP_START, .app_end = plan->heap,
        .threads = plan->threads, .thread_stride = plan->stride, .thread_count = image->config->max_threads,
        .thread_limit = plan->thread_limit,
        .config = plan->config, .config_size = plan->config_length,
        .elf_base = plan->elf, .elf_end = plan->elf + elf->span,
        .heap = plan->heap, .heap_end = plan->app_end, .heap_ready = plan->heap_ready,
    };
}

/* The contents that are not the ELF: the configuration's pages, then one TCS page for each thread. */
static int make_memory(struct image *image, const struct plan *plan, struct image_error *error)
{
    size_t size = plan->config_length + (uint64_t)image->config->max_threads * VIGIL_PAGE;

    image->memory = aligned_alloc(VIGIL_PAGE, size);
    image->ranges = calloc(FIXED_RANGES + (size_t)image->config->max_threads * RANGES_PER_THREAD, sizeof(*image->ranges));
    if (!image->memory || !image->ranges)
        return image_fail(error, "out of memory for %u threads", image->config->max_threads);
    memset(image->memory, 0, size);
    memcpy(image->memory, image->config, image->config->size);
    return 0;
}

static void add_all(struct image *image, const struct runtime_elf *elf, const struct plan *plan)
{
    struct sgx_tcs *tcs = (struct sgx_tcs *)((char *)image->memory + plan->config_length);

    for (size_t i = 0; i < elf->segment_count; i++)
        add(image, "runtime", plan->elf + elf->segments[i].vaddr, elf->segments[i].length, elf->segments[i].secinfo_flags,
            elf->memory + elf->segments[i].vaddr, true);
    add(image, "configuration", plan->config, plan->config_length, SGX_SECINFO_REG | SGX_SECINFO_R, image->memory, true);
    for (uint32_t i = 0; i < image->config->max_threads; i++)
        add_thread(image, plan->threads + i * plan->stride, &tcs[i]);
    if (image->config->flags & VIGIL_FLAG_EDMM)
        add(image, "runtime heap", plan->heap, plan->heap_ready - plan->heap, RW, NULL, false);
    else
        add(image, "application memory", VIGIL_APP_START, plan->app_end - VIGIL_APP_START, RW | SGX_SECINFO_X, NULL, false);
}

int image_build(struct image *image, const void *runtime_elf, size_t runtime_size, const struct vigil_config *config,
                struct image_error *error)
{
    struct runtime_elf elf;
    struct plan plan = {0};

    memset(image, 0, sizeof(*image));
    if (config_check(config, config->size, error) || runtime_elf_open(&elf, runtime_elf, runtime_size, error) ||
        make_plan(&plan, config, elf.span, error))
        return -1;
    image->config = malloc(config->size);
    if (!image->config)
        return image_fail(error, "out of memory");
    memcpy(image->config, config, config->size);
    image->runtime_file = runtime_elf;
    image->runtime_size = runtime_size;
    int status = runtime_elf_relocate(&elf, runtime_elf, runtime_size, plan.elf, error);
    image->runtime_memory = elf.memory;
    if (status || make_memory(image, &plan, error)) {
        image_free(image);
        return -1;
    }
    image->entry = plan.elf + elf.entry;
    image->tcs0 = plan.threads + VIGIL_TB_TCS * VIGIL_PAGE;
    image->thread_stride = plan.stride;
    image->thread_limit = (uint32_t)plan.thread_limit;
    image->heap = plan.heap;
    image->app_end = plan.app_end;
    fill_secs(image);
    fill_boot_info(image, &elf, &plan);
    add_all(image, &elf, &plan);
    return 0;
}

void image_own_file(struct image *image, void *runtime_elf)
{
    image->owned_file = runtime_elf;
}

void image_forget_file(struct image *image)
{
    free(image->owned_file);
    image->owned_file = NULL;
    image->runtime_file = NULL;
    image->runtime_size = 0;
}

void image_free(struct image *image)
{
    free(image->ranges);
    free(image->config);
    free(image->memory);
    free(image->runtime_memory);
    free(image->owned_file);
    memset(image, 0, sizeof(*image));
}
