/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside process/, and what other parts may ask of it beyond libos/libos.h. */
#ifndef VIGIL_PROCESS_H
#define VIGIL_PROCESS_H

#include "libos/libos.h"
#include "libos/process/elf.h"

uint32_t process_uid(void);
uint32_t process_gid(void);
/* The soft limit of a resource (RLIMIT_*), ~0 for none. */
uint64_t process_rlimit(int resource);
/* Is there a live thread with this tid? */
bool process_has_thread(uint32_t tid);

/* Where execve has put the arguments, the environment and the stack, and what it has told the program: for /proc. */
struct process_image {
    uint64_t arguments, arguments_end, environment, environment_end, stack;
    uint64_t auxv[2 * 32];
    uint32_t auxv_size;         /* bytes */
};
const struct process_image *process_image(void);
struct new_utsname;
const struct new_utsname *process_system_name(void);
struct rusage;
/* Of the process or the calling thread (RUSAGE_*), as the host says. 0 or -errno. */
int process_usage(int who, struct rusage *usage);
struct limit { uint64_t soft, hard; };
struct limit process_limit(int resource);
/* The processors the calling thread may run on, as the host says: at most `bytes` of a mask, a multiple of 8. Bytes filled in,
 * or -errno. There is at least one processor. */
long process_affinity(uint64_t *mask, uint64_t bytes);

/* ---- start-up ---------------------------------------------------------------------------------------------------- */
/* "vigil: PATH: cause", and the process ends with code 126, or 127 if the program does not exist. */
_Noreturn void start_fail(int code, const char *path, const char *cause);

struct program {
    uint64_t entry, phdr, phnum;
    uint64_t start;             /* the first instruction: entry, or the dynamic loader's */
    uint64_t interpreter_base;  /* the dynamic loader's bias, 0: none */
    bool exec_stack;
    int argc, envc;
    const char **argv, **envp;  /* in runtime memory */
};

/* A program that has been found to be one, its files open. */
#define SCRIPT_LINE 256         /* as Linux */
#define SCRIPT_DEPTH 4
#define SCRIPT_PREFIX (3 * SCRIPT_DEPTH)
struct executable {
    const char *path;           /* the program's own: of a script, its interpreter's */
    struct file *file, *interpreter_file;
    struct elf_image image, interpreter;
    const char *prefix[SCRIPT_PREFIX]; /* from prefix_start on: what takes the place of argv[0] for a script */
    uint32_t prefix_start, texts;
    char *text[SCRIPT_DEPTH];
};
/* 0 or -errno; then cause (ELF_CAUSE_SIZE bytes) says why. path must outlive it. strict: files have to be regular ones with
 * an x bit, as for execve; what the configuration names need not. */
int executable_open(struct executable **out, const char *path, bool strict, char *cause);
void executable_close(struct executable *e);
/* Maps it into an empty address space. */
bool executable_load(const struct executable *e, struct program *program, char *cause);
void process_name_thread(const char *path);
/* Takes program->argv, program->envp and an executable to the first instruction: current_regs() and the vector state
 * are set. False: cause says why. */
bool process_enter(const struct executable *e, struct program *program, char *cause);
/* Maps the first stack and fills it as execve does. Returns the stack pointer, 0 on an error: cause says why. */
uint64_t make_stack(const char *path, const struct program *program, char *cause);
/* Fills argv and envp from the configuration and what the host may say. Does not return on an error. */
void collect_arguments(struct program *program);

/* ---- cpuid.c ----------------------------------------------------------------------------------------------------- */
/* EAX, EBX, ECX, EDX, as far as the enclave has what they say. The host's word. */
void cpuid_get(uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
/* The program is at an instruction that raised #UD: if it is CPUID, it is done. */
bool cpuid_emulate(struct checkpoint *regs);

#endif
