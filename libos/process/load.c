/* SPDX-License-Identifier: Apache-2.0
 *
 * Loads the program. Nothing of it runs before all of it is in place. */
#include "libos/process/elf.h"
#include "libos/process/process.h"

#include "libos/mm/mm.h"

#include <linux/fcntl.h>

#define READ_CHUNK (256u << 10)

/* Up to n bytes, fewer only at the end of the file. buf in runtime or application memory. */
static long read_fully(void *context, void *buf, size_t n, uint64_t offset)
{
    size_t done = 0;

    while (done < n) {
        size_t want = n - done < READ_CHUNK ? n - done : READ_CHUNK;
        bounce_reset(); /* the first thread is not in a system call: all bounce memory is free */
        long got = file_pread(context, (char *)buf + done, want, offset + done);
        if (got < 0)
            return got;
        if (!got)
            break;
        if ((size_t)got > want)
            return -EIO;
        done += (size_t)got;
    }
    return (long)done;
}

static uint64_t first_page(const struct elf_segment *s)
{
    return page_down(s->vaddr);
}

static uint64_t end_page(const struct elf_segment *s)
{
    return page_up(s->vaddr + s->memsz);
}

/* Maps the segment's pages read-write, except one it shares with the segment before. */
static int map_segment(const struct elf_image *image, uint32_t i, uint64_t bias)
{
    uint64_t start = first_page(&image->segment[i]), end = end_page(&image->segment[i]);

    if (i && start < end_page(&image->segment[i - 1]))
        start = end_page(&image->segment[i - 1]);
    if (start >= end)
        return 0;
    long at = mm_map(start + bias, end - start, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE);
    if (at < 0)
        return (int)at;
    /* What the file gives is wanted at once; the rest when it is used. */
    uint64_t content = page_up(image->segment[i].vaddr + image->segment[i].filesz);
    return content > start ? mm_populate(start + bias, content - start) : 0;
}

/* The pages that are this segment's alone, if it is code that the program cannot change. */
static void tell_of_code(const struct elf_image *image, uint32_t i, uint64_t bias)
{
    const struct elf_segment *s = &image->segment[i];
    uint64_t start = first_page(s), end = s->vaddr + s->memsz;

    if (!(s->prot & PROT_EXEC) || s->prot & PROT_WRITE)
        return;
    if (i && end_page(&image->segment[i - 1]) > start)
        start += VIGIL_PAGE;
    if (i + 1 < image->segments && first_page(&image->segment[i + 1]) < end_page(s))
        end = page_down(end);
    if (start < end)
        mitigation_code_loaded(start + bias, end + bias);
}

/* A page shared by segments gets what any of them needs. */
static int protect_segments(const struct elf_image *image, uint64_t bias)
{
    for (uint32_t i = 0; i < image->segments; i++) {
        const struct elf_segment *s = &image->segment[i];
        uint64_t start = first_page(s) + bias;
        int error = mm_protect(start, end_page(s) + bias - start, s->prot);
        if (error)
            return error;
        int shared = s->prot;
        for (uint32_t k = i; k-- > 0 && end_page(&image->segment[k]) + bias > start;)
            shared |= image->segment[k].prot;
        if (shared != s->prot)
            error = mm_protect(start, VIGIL_PAGE, shared);
        if (error)
            return error;
    }
    return 0;
}

static bool load_image(struct file *file, const struct elf_image *image, uint64_t bias, char *cause)
{
    for (uint32_t i = 0; i < image->segments; i++) {
        const struct elf_segment *s = &image->segment[i];
        int error = map_segment(image, i, bias);
        if (error) {
            format(cause, ELF_CAUSE_SIZE, "cannot map loadable segment %u (0x%lx bytes at 0x%lx): %s (error %d)", i,
                   (unsigned long)s->memsz, (unsigned long)(s->vaddr + bias),
                   error == -ENOMEM ? "no enclave memory (EPC or sgx.enclave_size)" : "not there", -error);
            return false;
        }
        long got = read_fully(file, (void *)(s->vaddr + bias), s->filesz, s->offset);
        if (got != (long)s->filesz) {
            format(cause, ELF_CAUSE_SIZE, "cannot read loadable segment %u: %ld of %lu bytes", i, got,
                   (unsigned long)s->filesz);
            return false;
        }
    }
    for (uint32_t i = 0; i < image->segments; i++)
        tell_of_code(image, i, bias);
    int error = protect_segments(image, bias);
    if (error)
        format(cause, ELF_CAUSE_SIZE, "cannot protect its segments: error %d", -error);
    return !error;
}

void load_program(const char *path, struct program *program)
{
    char cause[ELF_CAUSE_SIZE];
    struct elf_image image;
    uint64_t bias;
    int error = 0;
    struct file *file = file_open(path, O_RDONLY, 0, &error);

    if (!file) {
        bool missing = error == -ENOENT || error == -ENOTDIR;
        format(cause, sizeof(cause),
               missing           ? "not found: loader.entrypoint or libos.entrypoint must name a file inside the mounts"
               : error == -EACCES ? "access denied: name it in sgx.allowed_files or sgx.trusted_files"
                                  : "cannot open it: error %d", -error);
        start_fail(missing ? 127 : 126, path, cause);
    }
    struct elf_source source = {read_fully, file};
    if (!elf_parse(&source, &image, cause) ||
        !elf_place(&image, boot_info()->app_start, boot_info()->app_end, &bias, cause) ||
        !load_image(file, &image, bias, cause))
        start_fail(126, path, cause);
    debugger_loaded(file_host_fd(file), bias);
    file_put(file);
    mm_set_brk(image.high + bias);
    program->entry = image.entry + bias;
    program->phdr = image.phdr ? image.phdr + bias : 0;
    program->phnum = image.phnum;
    program->exec_stack = image.exec_stack;
}
