/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a program: refused with a cause, or an image that keeps its promises and is loaded into an enclave. */
#include "fake_enclave.h"
#include "libos/libos.h"
#include "libos/mm/mm.h"
#include "libos/process/elf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define APP (512u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *program;
static size_t program_size;
static uint64_t the_file[256];    /* all that anybody may look at is zero */

static void must(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "broken promise: %s\n", what);
    abort();
}

/* ---- fs/ as the loader sees it: every name is this file ---- */
struct file *file_open(const char *path, int flags, int mode, int *error)
{
    (void)path, (void)flags, (void)mode;
    *error = 0;
    return (struct file *)the_file;
}

long file_pread(struct file *file, void *buf, size_t n, uint64_t offset)
{
    must(file == (struct file *)the_file, "what is read is the program");
    if (offset >= program_size)
        return 0;
    if (n > program_size - offset)
        n = program_size - offset;
    memcpy(buf, program + offset, n);
    return (long)n;
}

void file_put(struct file *file)
{
    (void)file;
}

struct file *file_from_fd(int fd)
{
    (void)fd;
    return NULL;
}

static long read_program(void *context, void *buf, size_t n, uint64_t offset)
{
    return file_pread(context, buf, n, offset);
}

static void check(const struct elf_image *image)
{
    must(image->segments && image->segments <= ELF_MAX_SEGMENTS, "there are segments");
    must(image->align >= VIGIL_PAGE && !(image->align & (image->align - 1)), "the alignment is one");
    must(image->low % VIGIL_PAGE == 0 && image->high % VIGIL_PAGE == 0 && image->low < image->high, "there is a range");
    must(memchr(image->interpreter, 0, sizeof(image->interpreter)), "the loader's name has an end");
    for (uint32_t i = 0; i < image->segments; i++) {
        const struct elf_segment *s = &image->segment[i];
        must(s->vaddr >= image->low && s->memsz <= image->high - s->vaddr, "segments lie in the range");
        must(s->filesz <= s->memsz, "a segment has room for its file");
        must(!i || s->vaddr >= s[-1].vaddr + s[-1].memsz, "segments ascend");
    }
}

static void start(void *arg)
{
    (void)arg;
    libos_start();
    must(user_range_ok((void *)current_regs()->rip, 1), "the program starts in its memory");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct elf_source source = {read_program, the_file};
    static struct elf_image image;
    static bool ready;
    char cause[ELF_CAUSE_SIZE] = "";
    uint64_t bias;

    program = data;
    program_size = size;
    if (!ready) {
        fake_enclave_init(APP);
        ready = true;
    }
    if (!elf_parse(&source, &image, cause)) {
        must(cause[0], "a refusal has a cause");
        return 0;
    }
    check(&image);
    if (elf_place(&image, boot_info()->app_start, boot_info()->app_end, &bias, cause))
        must(image.low + bias >= boot_info()->app_start && image.high + bias <= boot_info()->app_end && image.high + bias > image.low + bias,
             "a place is inside");
    fake_enclave_init(APP);
    fake_config()->log_level = VIGIL_LOG_NONE;
    fake_config()->stack_size = 64 << 10;
    fake_config()->brk_max_size = 64 << 10;
    int status = fake_catch_exit(start, NULL);
    must(status == -1 || status == 126 << 8 || status == 127 << 8, "it is loaded, or refused");
    return 0;
}
