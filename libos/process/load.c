/* SPDX-License-Identifier: Apache-2.0
 *
 * Loads a program and its dynamic loader. Nothing of it runs before all of it is in place. */
#include "libos/process/elf.h"
#include "libos/process/process.h"

#include "libos/mm/mm.h"
#include "libos/rewrite/rewrite.h"

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
    if (start >= end)
        return;
    mitigation_code_loaded(start + bias, end + bias);
    rewrite_code_loaded(start + bias, end + bias);
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
    else
        debugger_loaded(file_host_fd(file), bias);
    return !error;
}

/* ---- before anything is given up: can it be run? ------------------------------------------------------------------- */
static int open_file(const char *path, struct file **file, char *cause)
{
    int error = 0;

    *file = file_open(path, O_RDONLY, 0, &error);
    if (*file)
        return 0;
    format(cause, ELF_CAUSE_SIZE,
           error == -ENOENT || error == -ENOTDIR
               ? "not found: loader.entrypoint or libos.entrypoint must name a file inside the mounts"
           : error == -EACCES ? "access denied: name it in sgx.allowed_files or sgx.trusted_files"
                              : "cannot open it: error %d", -error);
    return error;
}

static int parse(struct file *file, struct elf_image *image, char *cause)
{
    struct elf_source source = {read_fully, file};

    return elf_parse(&source, image, cause) ? 0 : -ENOEXEC;
}

/* The dynamic loader that the program names. */
static int open_interpreter(struct executable *e, char *cause)
{
    char why[ELF_CAUSE_SIZE];
    int error = open_file(e->image.interpreter, &e->interpreter_file, why);

    if (!error)
        error = parse(e->interpreter_file, &e->interpreter, why);
    if (!error && !e->interpreter.pie) {
        format(why, sizeof(why), "it is linked to fixed addresses");
        error = -ELIBBAD;
    }
    if (error)
        format(cause, ELF_CAUSE_SIZE, "its dynamic loader %s: %s", e->image.interpreter, why);
    return error == -ENOEXEC ? -ELIBBAD : error;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

/* "#!INTERPRETER [ARGUMENT]": the interpreter becomes the program, the script's name its argument. */
static int read_script_line(struct executable *e, const char *line, char *cause)
{
    size_t size = strlen(line) + 1;
    char *name = kmalloc(size);

    if (!name)
        return -ENOMEM;
    char *end = name + size - 1;
    memcpy(name, line, size);
    e->text[e->texts++] = name;
    while (end > name && blank(end[-1]))
        *--end = 0;
    while (blank(*name))
        name++;
    char *argument = name;
    while (*argument && !blank(*argument))
        argument++;
    if (*argument)
        *argument++ = 0;
    while (blank(*argument))
        argument++;
    if (!*name) {
        format(cause, ELF_CAUSE_SIZE, "a script whose first line names no interpreter");
        return -ENOEXEC;
    }
    if (e->prefix_start < SCRIPT_PREFIX)
        e->prefix_start++; /* the name of a script that is another one's interpreter is there already */
    e->prefix[--e->prefix_start] = e->path;
    if (*argument)
        e->prefix[--e->prefix_start] = argument;
    e->prefix[--e->prefix_start] = name;
    e->path = name;
    return 0;
}

/* The first line of a script, without "#!"; 0: not a script. */
static int first_line(struct file *file, char line[SCRIPT_LINE], char *cause)
{
    long got = read_fully(file, line, SCRIPT_LINE - 1, 0);

    if (got < 2 || line[0] != '#' || line[1] != '!')
        return 0;
    line[got] = 0;
    char *end = strchr(line, '\n');
    if (!end && got == SCRIPT_LINE - 1) {
        format(cause, ELF_CAUSE_SIZE, "a script whose first line has more than %d characters", SCRIPT_LINE - 2);
        return -ENOEXEC;
    }
    if (end)
        *end = 0;
    memmove(line, line + 2, strlen(line + 2) + 1);
    return 1;
}

static int may_execute(struct file *file, char *cause)
{
    if (file_executable(file))
        return 0;
    format(cause, ELF_CAUSE_SIZE, "not a regular file, or not executable");
    return -EACCES;
}

/* Follows scripts to the program behind them. */
static int open_program(struct executable *e, bool strict, char *cause)
{
    char line[SCRIPT_LINE];

    for (unsigned depth = 0;; depth++) {
        int status = open_file(e->path, &e->file, cause);
        if (!status && strict)
            status = may_execute(e->file, cause);
        if (!status)
            status = first_line(e->file, line, cause);
        if (status <= 0)
            return status;
        file_put(e->file);
        e->file = NULL;
        if (depth == SCRIPT_DEPTH) {
            format(cause, ELF_CAUSE_SIZE, "a script whose interpreter is a script, more than %d times", SCRIPT_DEPTH);
            return -ELOOP;
        }
        status = read_script_line(e, line, cause);
        if (status)
            return status;
    }
}

void executable_close(struct executable *e)
{
    if (!e)
        return;
    if (e->file)
        file_put(e->file);
    if (e->interpreter_file)
        file_put(e->interpreter_file);
    for (uint32_t i = 0; i < e->texts; i++)
        kfree(e->text[i]);
    kfree(e);
}

int executable_open(struct executable **out, const char *path, bool strict, char *cause)
{
    struct executable *e = kzalloc(sizeof(*e));

    *out = e;
    if (!e) {
        format(cause, ELF_CAUSE_SIZE, "the runtime has no memory to load it");
        return -ENOMEM;
    }
    format(cause, ELF_CAUSE_SIZE, "the runtime has no memory to load it"); /* unless something else is said */
    e->path = path;
    e->prefix_start = SCRIPT_PREFIX;
    int error = open_program(e, strict, cause);
    if (!error)
        error = parse(e->file, &e->image, cause);
    if (!error && e->image.interpreter[0])
        error = open_interpreter(e, cause);
    if (error) {
        executable_close(e);
        *out = NULL;
    }
    return error;
}

/* ---- into memory --------------------------------------------------------------------------------------------------- */
/* The loader goes where mappings go, away from the program and the heap behind it. */
static bool place_interpreter(const struct elf_image *image, uint64_t *bias, char *cause)
{
    uint64_t size = image->high - image->low + image->align;
    long at = mm_map(0, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);

    if (at < 0) {
        format(cause, ELF_CAUSE_SIZE, "no room for its dynamic loader: enlarge sgx.enclave_size");
        return false;
    }
    mm_unmap((uint64_t)at, size);
    return elf_place_at(image, (uint64_t)at, (uint64_t)at + size, bias, cause);
}

static bool load_interpreter(const struct executable *e, struct program *program, char *cause)
{
    uint64_t bias;

    if (!place_interpreter(&e->interpreter, &bias, cause) ||
        !load_image(e->interpreter_file, &e->interpreter, bias, cause))
        return false;
    program->interpreter_base = bias;
    program->start = e->interpreter.entry + bias;
    return true;
}

bool executable_load(const struct executable *e, struct program *program, char *cause)
{
    uint64_t bias;

    if (!elf_place(&e->image, boot_info()->app_start, boot_info()->app_end, &bias, cause) ||
        !load_image(e->file, &e->image, bias, cause))
        return false;
    mm_set_brk(e->image.high + bias);
    program->entry = program->start = e->image.entry + bias;
    program->phdr = e->image.phdr ? e->image.phdr + bias : 0;
    program->phnum = e->image.phnum;
    program->exec_stack = e->image.exec_stack;
    return !e->interpreter_file || load_interpreter(e, program, cause);
}
