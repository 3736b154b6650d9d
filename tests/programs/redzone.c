/* SPDX-License-Identifier: Apache-2.0
 *
 * The 128 bytes below RSP belong to a leaf function. Neither an interrupt nor a signal handler on the same stack may
 * touch them: redzone [ROUNDS]. */
#include "check.h"

#include <signal.h>
#include <sys/time.h>

static volatile sig_atomic_t handled;

static void handler(int sig)
{
    volatile char noise[2048];
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = i + sig;
    handled++;
}

/* Fills the red zone, spins, and counts the words that changed. Never moves RSP. */
long redzone_changed(uint64_t pattern, uint64_t spins);
__asm__(".text\n"
        ".globl redzone_changed\n"
        "redzone_changed:\n"
        "    mov $-128, %rcx\n"
        "1:  lea (%rdi,%rcx), %rax\n"
        "    mov %rax, (%rsp,%rcx)\n"
        "    add $8, %rcx\n"
        "    jnz 1b\n"
        "2:  dec %rsi\n"
        "    jnz 2b\n"
        "    xor %edx, %edx\n"
        "    mov $-128, %rcx\n"
        "3:  lea (%rdi,%rcx), %rax\n"
        "    cmp %rax, (%rsp,%rcx)\n"
        "    je 4f\n"
        "    inc %edx\n"
        "4:  add $8, %rcx\n"
        "    jnz 3b\n"
        "    mov %edx, %eax\n"
        "    ret\n");

/* Pushes and pops without end: RSP moves at every instruction, and every value is live while it does. */
long pushes_wrong(uint64_t rounds);
__asm__(".globl pushes_wrong\n"
        "pushes_wrong:\n"
        "    xor %eax, %eax\n"
        "1:  lea 1(%rdi), %rdx\n"
        "    push %rdi\n"
        "    push %rdx\n"
        "    pop %rcx\n"
        "    cmp %rcx, %rdx\n"
        "    je 2f\n"
        "    inc %eax\n"
        "2:  pop %rcx\n"
        "    cmp %rcx, %rdi\n"
        "    je 3f\n"
        "    inc %eax\n"
        "3:  dec %rdi\n"
        "    jnz 1b\n"
        "    ret\n");

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? atol(argv[1]) : 60;
    struct itimerval timer = { { 0, 1000 }, { 0, 1000 } };
    struct sigaction action = { .sa_handler = handler };
    for (long i = 0; i < rounds; i++)
        CHECK_EQ(redzone_changed(i * 0x123456789abcdefull, 5000000), 0);
    CHECK_EQ(pushes_wrong(30000000), 0);
    printf("under interrupts: %s\n", checks_failed ? "FAILED" : "ok");
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    for (long i = 0; i < rounds; i++)
        CHECK_EQ(redzone_changed(i * 0xfedcba987654321ull, 5000000), 0);
    CHECK_EQ(pushes_wrong(30000000), 0);
    timer = (struct itimerval){ 0 };
    setitimer(ITIMER_REAL, &timer, NULL);
    CHECK(handled > 0);
    printf("under handlers: %s\n", checks_failed ? "FAILED" : "ok");
    return checks_failed != 0;
}
