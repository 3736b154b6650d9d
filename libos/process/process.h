/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside process/, and what other parts may ask of it beyond libos/libos.h. */
#ifndef VIGIL_PROCESS_H
#define VIGIL_PROCESS_H

#include "libos/libos.h"

uint32_t process_uid(void);
uint32_t process_gid(void);
/* The soft limit of a resource (RLIMIT_*), ~0 for none. */
uint64_t process_rlimit(int resource);
/* Is there a live thread with this tid? */
bool process_has_thread(uint32_t tid);

/* ---- start-up ---------------------------------------------------------------------------------------------------- */
/* "vigil: PATH: cause", and the process ends with code 126, or 127 if the program does not exist. */
_Noreturn void start_fail(int code, const char *path, const char *cause);

struct elf_image;
struct program {
    uint64_t entry, phdr, phnum;
    bool exec_stack;
    int argc, envc;
    const char **argv, **envp;  /* in runtime memory */
};
/* Maps the program and says where it is; does not return on an error. */
void load_program(const char *path, struct program *program);
/* Maps the first stack and fills it as execve does. Returns the stack pointer; does not return on an error. */
uint64_t make_stack(const char *path, const struct program *program);
/* Fills argv and envp from the configuration and what the host may say. Does not return on an error. */
void collect_arguments(struct program *program);

#endif
