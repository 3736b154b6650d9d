/* SPDX-License-Identifier: Apache-2.0 */
#include "libos/process/elf.h"

#include "enclave/enclave.h"

#include <asm/mman.h>
#include <linux/elf.h>

#define PIE_ALIGN (4ull << 20) /* where the linker puts programs with fixed addresses, so both look alike */
#define MAX_ALIGN (1ull << 30)

#define FAIL(...) \
    do { \
        format(cause, ELF_CAUSE_SIZE, __VA_ARGS__); \
        return false; \
    } while (0)

static bool read_exactly(const struct elf_source *source, void *buf, size_t n, uint64_t offset, const char *what,
                         char *cause)
{
    long got = source->read(source->context, buf, n, offset);

    if (got < 0)
        FAIL("cannot read the %s: error %ld", what, -got);
    if ((size_t)got < n)
        FAIL("truncated: the %s should end at byte %lu of the file, which is shorter", what, offset + n);
    return true;
}

static bool check_header(const Elf64_Ehdr *h, char *cause)
{
    if (memcmp(h->e_ident, ELFMAG, SELFMAG))
        FAIL("not an ELF program");
    if (h->e_ident[EI_CLASS] != ELFCLASS64)
        FAIL("not a 64-bit program: build it for x86-64");
    if (h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_machine != EM_X86_64)
        FAIL("built for another machine (%u), not for x86-64", h->e_machine);
    if (h->e_ident[EI_VERSION] != EV_CURRENT || h->e_version != EV_CURRENT)
        FAIL("unknown ELF version %u", h->e_version);
    if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
        FAIL("an ELF file of type %u, not an executable: link it", h->e_type);
    if (h->e_phentsize != sizeof(Elf64_Phdr))
        FAIL("malformed: program headers of %u bytes", h->e_phentsize);
    if (!h->e_phnum || h->e_phnum > ELF_MAX_HEADERS)
        FAIL("malformed: %u program headers (1 to %u are supported)", h->e_phnum, ELF_MAX_HEADERS);
    if (h->e_phoff > ~0ull - sizeof(Elf64_Phdr) * ELF_MAX_HEADERS)
        FAIL("malformed: program headers at offset 0x%lx", (unsigned long)h->e_phoff);
    return true;
}

static int segment_prot(uint32_t flags)
{
    return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) | (flags & PF_X ? PROT_EXEC : 0);
}

static bool check_segment(const Elf64_Phdr *p, unsigned i, char *cause)
{
    if (p->p_filesz > p->p_memsz)
        FAIL("malformed: segment %u has more bytes in the file (0x%lx) than in memory (0x%lx)", i,
             (unsigned long)p->p_filesz, (unsigned long)p->p_memsz);
    if (p->p_memsz > MAX_ALIGN << 17 || p->p_vaddr > ~0ull - p->p_memsz - VIGIL_PAGE)
        FAIL("malformed: segment %u covers 0x%lx bytes at 0x%lx", i, (unsigned long)p->p_memsz,
             (unsigned long)p->p_vaddr);
    if (p->p_offset > ~0ull - p->p_filesz)
        FAIL("malformed: segment %u lies at byte 0x%lx of the file", i, (unsigned long)p->p_offset);
    if (p->p_align & (p->p_align - 1) || p->p_align > MAX_ALIGN)
        FAIL("malformed: segment %u asks for an alignment of 0x%lx", i, (unsigned long)p->p_align);
    if (p->p_filesz && (p->p_vaddr ^ p->p_offset) & (VIGIL_PAGE - 1))
        FAIL("malformed: segment %u has its address (0x%lx) and file offset (0x%lx) at different places of a page", i,
             (unsigned long)p->p_vaddr, (unsigned long)p->p_offset);
    return true;
}

static bool add_segment(struct elf_image *image, const Elf64_Phdr *p, unsigned i, char *cause)
{
    if (!p->p_memsz)
        return true;
    if (!check_segment(p, i, cause))
        return false;
    if (image->segments == ELF_MAX_SEGMENTS)
        FAIL("more than %u segments to load", ELF_MAX_SEGMENTS);
    if (image->segments) {
        const struct elf_segment *before = &image->segment[image->segments - 1];
        if (p->p_vaddr < before->vaddr + before->memsz)
            FAIL("malformed: segment %u at 0x%lx overlaps or precedes the one before it (0x%lx to 0x%lx)", i,
                 (unsigned long)p->p_vaddr, (unsigned long)before->vaddr,
                 (unsigned long)(before->vaddr + before->memsz));
    } else {
        image->low = p->p_vaddr & ~(uint64_t)(VIGIL_PAGE - 1);
    }
    image->segment[image->segments++] = (struct elf_segment){
        .vaddr = p->p_vaddr,
        .memsz = p->p_memsz,
        .offset = p->p_offset,
        .filesz = p->p_filesz,
        .prot = segment_prot(p->p_flags),
    };
    image->high = (p->p_vaddr + p->p_memsz + VIGIL_PAGE - 1) & ~(uint64_t)(VIGIL_PAGE - 1);
    if (p->p_align > image->align)
        image->align = p->p_align;
    return true;
}

static bool add_interpreter(const struct elf_source *source, struct elf_image *image, const Elf64_Phdr *p, char *cause)
{
    if (image->interpreter[0])
        FAIL("malformed: it names two dynamic loaders");
    if (p->p_filesz < 2 || p->p_filesz > sizeof(image->interpreter) || p->p_offset > ~0ull - p->p_filesz)
        FAIL("malformed: the name of its dynamic loader has %lu bytes", (unsigned long)p->p_filesz);
    if (!read_exactly(source, image->interpreter, p->p_filesz, p->p_offset, "name of the dynamic loader", cause))
        return false;
    if (!image->interpreter[0] || strnlen(image->interpreter, p->p_filesz) != p->p_filesz - 1)
        FAIL("malformed: the name of its dynamic loader is not a string");
    return true;
}

static bool add_header(const struct elf_source *source, struct elf_image *image, const Elf64_Phdr *p, unsigned i,
                       char *cause)
{
    switch (p->p_type) {
    case PT_LOAD:
        return add_segment(image, p, i, cause);
    case PT_INTERP:
        return add_interpreter(source, image, p, cause);
    case PT_GNU_STACK:
        image->exec_stack = p->p_flags & PF_X;
        return true;
    default:
        return true;
    }
}

/* The last byte of every segment must be in the file: found out before anything is loaded. */
static bool check_contents(const struct elf_source *source, const struct elf_image *image, char *cause)
{
    char last, what[24];

    for (uint32_t i = 0; i < image->segments; i++) {
        const struct elf_segment *s = &image->segment[i];
        format(what, sizeof(what), "loadable segment %u", i);
        if (s->filesz && !read_exactly(source, &last, 1, s->offset + s->filesz - 1, what, cause))
            return false;
    }
    return true;
}

static bool check_entry(const struct elf_image *image, char *cause)
{
    for (uint32_t i = 0; i < image->segments; i++) {
        const struct elf_segment *s = &image->segment[i];
        if (s->prot & PROT_EXEC && image->entry >= s->vaddr && image->entry - s->vaddr < s->memsz)
            return true;
    }
    FAIL("malformed: the entry point 0x%lx is not in an executable segment (a shared library?)",
         (unsigned long)image->entry);
}

static void find_headers_in_memory(struct elf_image *image, uint64_t phoff)
{
    uint64_t size = image->phnum * sizeof(Elf64_Phdr);

    for (uint32_t i = 0; i < image->segments && !image->phdr; i++) {
        const struct elf_segment *s = &image->segment[i];
        if (phoff >= s->offset && phoff - s->offset <= s->filesz && size <= s->filesz - (phoff - s->offset))
            image->phdr = s->vaddr + (phoff - s->offset);
    }
}

bool elf_parse(const struct elf_source *source, struct elf_image *image, char *cause)
{
    Elf64_Phdr headers[ELF_MAX_HEADERS]; /* 3.5 KiB */
    Elf64_Ehdr h = {0};
    long got = source->read(source->context, &h, sizeof(h), 0);

    if (got < 0)
        FAIL("cannot read it: error %ld", -got);
    if (got < (long)sizeof(h)) {
        /* A short script or text deserves its own message. */
        if (got < SELFMAG || memcmp(h.e_ident, ELFMAG, SELFMAG))
            return check_header(&h, cause);
        FAIL("truncated: it ends inside the ELF header");
    }
    if (!check_header(&h, cause))
        return false;
    if (!read_exactly(source, headers, h.e_phnum * sizeof(headers[0]), h.e_phoff, "program headers", cause))
        return false;
    *image = (struct elf_image){
        .pie = h.e_type == ET_DYN, .entry = h.e_entry, .phnum = h.e_phnum, .align = VIGIL_PAGE};
    for (unsigned i = 0; i < h.e_phnum; i++)
        if (!add_header(source, image, &headers[i], i, cause))
            return false;
    if (!image->segments)
        FAIL("malformed: nothing to load");
    find_headers_in_memory(image, h.e_phoff);
    return check_entry(image, cause) && check_contents(source, image, cause);
}

static bool fits(uint64_t at, uint64_t size, uint64_t end)
{
    return at && at <= end && size <= end - at;
}

bool elf_place_at(const struct elf_image *image, uint64_t start, uint64_t end, uint64_t *bias, char *cause)
{
    uint64_t size = image->high - image->low, at = (start + image->align - 1) & ~(image->align - 1);

    /* The bias, not only the address, is a multiple of the alignment. */
    *bias = at - (image->low & ~(image->align - 1));
    if (!fits(at, size + (image->low & (image->align - 1)), end))
        FAIL("it needs 0x%lx bytes, the application memory has 0x%lx: enlarge sgx.enclave_size", (unsigned long)size,
             (unsigned long)(end - start));
    return true;
}

bool elf_place(const struct elf_image *image, uint64_t start, uint64_t end, uint64_t *bias, char *cause)
{
    uint64_t size = image->high - image->low;

    if (!image->pie) {
        *bias = 0;
        if (image->low < start || image->high > end)
            FAIL("it is linked to 0x%lx-0x%lx, outside the application memory 0x%lx-0x%lx: enlarge sgx.enclave_size "
                 "or link it with -static-pie", (unsigned long)image->low, (unsigned long)image->high,
                 (unsigned long)start, (unsigned long)end);
        return true;
    }
    uint64_t align = image->align > PIE_ALIGN ? image->align : PIE_ALIGN;
    uint64_t at = (start + align - 1) & ~(align - 1);
    if (fits(at, size + (image->low & (image->align - 1)), end))
        start = at;
    return elf_place_at(image, start, end, bias, cause);
}
