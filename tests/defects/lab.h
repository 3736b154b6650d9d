/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a target program in an enclave of this machine's software SGX, in a child process, under callbacks that step,
 * break, look and interfere. What a callback finds ends the child at once: lab_fail. */
#ifndef VIGIL_DEFECTS_LAB_H
#define VIGIL_DEFECTS_LAB_H

#include "enclave/tcb.h"
#include "host/internal.h"
#include "softsgx/softsgx.h"

enum {
    LAB_LEGACY = 1,       /* AEX-Notify off */
    LAB_NO_EXINFO = 2,    /* page faults are not reported to the enclave */
};

struct lab_run {
    const char *path;                   /* the target's argument */
    unsigned flags;
    const char *const *policies;        /* KEY=VALUE of sgx.aex_notify, up to NULL; or NULL */
    void (*image)(struct image *image);  /* between layout and signature; in regular context */
    void (*tamper)(struct image *image); /* behind the signature */
    void (*ready)(void);                /* the program is in memory and has not run; a breakpoint callback */
    softsgx_break_fn begin, end;        /* the target's pass_begin and pass_end */
};

/* Runs it; returns the wait status: HOST_EXIT_REFUSED << 8 if the enclave could not be started. Ends this process with
 * status 2 if the child cannot even begin. */
int lab_run(const struct lab_run *run);
/* 0 if the target ended with status 0 and nothing failed; else 1, and lab_reason() says what. */
int lab_check(const struct lab_run *run);
/* The same for the end that the caller expects. */
int lab_check_status(const struct lab_run *run, int wait_status);

/* Says what is wrong, for lab_reason(); three numbers fill the format's %lx or %lu. In the child it ends the child. May
 * be called in callbacks. Returns 1. */
int lab_fail(const char *format, uint64_t a, uint64_t b, uint64_t c);
const char *lab_reason(void);
void lab_forget(void);
/* What the last child wrote to standard error. */
extern char lab_errors[65536];

/* Numbers for the parent: set in the child, read after lab_run. Zeroed by lab_run. */
extern uint64_t *lab_count;

/* Options of this process. */
struct lab_options {
    const char *runtime, *target, *vigil, *source;
    uint64_t stride;    /* 1: everything, more: samples */
    bool planted;       /* the defect is to be planted */
};
extern struct lab_options lab_options;

/* Runs a command and returns its wait status; output: where its standard output and error go, as one. */
int lab_command(const char *const argv[], char *output, size_t size);

/* ---- for callbacks ---- */
struct lab_map {
    struct softsgx_enclave *enclave;
    uint64_t tcs0, tcb0, stride;                   /* the first thread's, and bytes from one to the next */
    uint64_t resume_begin, resume_end, final_jump; /* the restartable resume */
    uint64_t stage1_entry, stage1_done, ocall_raw, ocall_return, thread_entry, thread_leave, gate;
    uint64_t runtime_low;                          /* everything from here up is not the application */
    uint64_t text_low, text_high;                  /* the runtime's code */
    uint64_t pass_begin, pass_end;                 /* the target's */
};
extern struct lab_map lab;

/* In the child: where it is in the enclave. In the parent: its address in the file. */
uint64_t lab_runtime_symbol(const char *name);
uint64_t lab_runtime_size(const char *name);
uint64_t lab_target_symbol(const char *name);
uint64_t lab_target_word(const char *symbol_name); /* its value now */

void lab_read(uint64_t address, void *to, uint64_t length);
void lab_write(uint64_t address, const void *from, uint64_t length);
uint64_t lab_word(uint64_t address);
void lab_set_word(uint64_t address, uint64_t value);

/* SSA[0].GPRSGX.AEXNOTIFY of a thread. */
uint8_t lab_armed(uint64_t tcs);
void lab_set_armed(uint64_t tcs, uint8_t value);
/* The arming instruction writes 0 (on: as it should be, 1). A defect to plant. */
void lab_arming(bool on);

enum lab_where { LAB_APPLICATION, LAB_RESUME /* armed, not the application */, LAB_RUNTIME, LAB_STAGE1 };
enum lab_where lab_where(const struct softsgx_boundary *b);

/* A host signal that the program handles (SIGUSR1), to this thread; it arrives with the AEX that is asked for now. */
void lab_signal(void);
/* In a callback at pass_begin: the target ends after this pass. */
void lab_last_pass(const struct softsgx_boundary *b);
void lab_break(uint64_t address, softsgx_break_fn fn);
void lab_break_at(uint64_t address, softsgx_step_fn fn);

/* Faults of the enclave on their way to the host: true if the hook dealt with it, and the host's own handler must not
 * see it. context: the ucontext after the AEX; an AEX in stage 1 is not told. */
typedef bool (*lab_fault_fn)(int sig, siginfo_t *info, ucontext_t *uc);
void lab_hook_faults(lab_fault_fn fn);

/* Each address of some code once: due() is true once for each, or for every stride-th. */
struct lab_tour {
    uint64_t low, high, stride, seen, taken;
    uint8_t visited[1 << 17];
};
void lab_tour_init(struct lab_tour *tour, uint64_t low, uint64_t high, uint64_t stride);
bool lab_tour_due(struct lab_tour *tour, uint64_t address);
#endif
