/* SPDX-License-Identifier: Apache-2.0
 *
 * Long computations that live in vector registers: fpstate [MILLISECONDS OF CPU TIME, each part]. Whatever interrupts
 * them, every bit must come out right, with and without signal handlers that use the same registers in between. */
#include "registers.h"

#include <math.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

static int highest, milliseconds = 150;
static volatile int handled;

static void handler(int sig)
{
    handled += sig == SIGALRM;
    registers_trash();
}

static void set_timer(long microseconds)
{
    struct itimerval timer = { { 0, microseconds }, { 0, microseconds } };
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
    sigaction(SIGALRM, &action, NULL);
    CHECK_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static bool time_left(int64_t *until)
{
    int64_t now = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    if (!*until)
        *until = now + milliseconds * 1000000ll;
    return now < *until;
}

/* All registers hold random bits while a loop spins. */
static void hold(int level)
{
    int64_t until = 0;
    registers_level = level;
    for (uint64_t seed = 1; time_left(&until); seed++) {
        registers_fill(&registers_in, seed);
        registers_spin = 2000000;
        registers_spin_here();
        registers_compare(&registers_out, &registers_in, level, 0, FLAGS_COMPARED & ~0x8d4ul); /* dec writes the rest */
    }
    registers_level = highest;
}

static void hold_all(void)
{
    for (int level = 0; level <= highest; level++)
        hold(level);
}

static void hold_all_with_handler(void)
{
    handled = 0;
    registers_level = highest;
    set_timer(2000);
    hold_all();
    set_timer(0);
    CHECK(handled > 0);
}

/* Eight accumulators of four 64-bit lanes: x = x * odd + constant, x ^= x >> 29, in vector code and in scalar code. */
typedef uint64_t lanes __attribute__((vector_size(32)));
#define ACCUMULATORS 8
#define ROUNDS 200000

__attribute__((noinline, target("avx2"))) static uint64_t mix_avx2(uint64_t seed)
{
    lanes x[ACCUMULATORS];
    for (int i = 0; i < ACCUMULATORS; i++)
        x[i] = (lanes){ seed + 4 * i, seed + 4 * i + 1, seed + 4 * i + 2, seed + 4 * i + 3 };
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < ACCUMULATORS; i++) {
            x[i] = (x[i] << 7) + x[i] + 0x9e3779b97f4a7c15ull;
            x[i] ^= x[i] >> 29;
        }
    return hash_bytes(HASH_START, x, sizeof(x));
}

__attribute__((noinline, optimize("no-tree-vectorize"))) static uint64_t mix_scalar(uint64_t seed)
{
    uint64_t x[4 * ACCUMULATORS];
    for (int i = 0; i < 4 * ACCUMULATORS; i++) {
        uint64_t value = seed + i;
        for (int round = 0; round < ROUNDS; round++) {
            value = (value << 7) + value + 0x9e3779b97f4a7c15ull;
            value ^= value >> 29;
        }
        x[i] = value;
    }
    return hash_bytes(HASH_START, x, sizeof(x));
}

static void integer_vectors(void)
{
    if (!__builtin_cpu_supports("avx2"))
        return;
    int64_t until = 0;
    uint64_t expected = mix_scalar(42);
    while (time_left(&until))
        CHECK_EQ(mix_avx2(42), expected);
}

static double sum_sse(int n)
{
    double sum = 0;
    for (int i = 1; i <= n; i++)
        sum += sqrt(i) / (i + 0.5);
    return sum;
}

static long double sum_x87(int n)
{
    long double sum = 0;
    for (int i = 1; i <= n; i++)
        sum += sqrtl(i) / (i + 0.5L);
    return sum;
}

static void floating_point(void)
{
    int64_t until = 0;
    double expected = sum_sse(300000), got;
    long double long_expected = sum_x87(300000), long_got;
    while (time_left(&until)) {
        got = sum_sse(300000);
        long_got = sum_x87(300000);
        CHECK(!memcmp(&got, &expected, 8));
        CHECK(!memcmp(&long_got, &long_expected, 10));
    }
}

static void compute_with_handler(void)
{
    handled = 0;
    registers_level = highest;
    set_timer(1000);
    integer_vectors();
    floating_point();
    set_timer(0);
    CHECK(handled > 0);
}

/* Rounding, precision, flush-to-zero and the sticky flags stay what the program made them. */
static void control_words(void)
{
    static const uint32_t mxcsr_values[] = { 0x1f80, 0x3f80, 0x5fc0, 0x7f80, 0xff80, 0x9fc0, 0x1fbf };
    static const uint16_t fcw_values[] = { 0x37f, 0x77f, 0xb7f, 0xf7f, 0x27f, 0x07f, 0x37f };
    set_timer(1000);
    for (int i = 0; i < 7; i++) {
        uint32_t mxcsr = 0, saved_mxcsr = 0x1f80;
        uint16_t fcw = 0, saved_fcw = 0x37f;
        uint64_t spins = 20000000;
        __asm__ volatile("ldmxcsr %3\n fldcw %4\n"
                         "1: dec %2\n jnz 1b\n"
                         "stmxcsr %0\n fnstcw %1\n"
                         "ldmxcsr %5\n fldcw %6\n"
                         : "=m"(mxcsr), "=m"(fcw), "+r"(spins)
                         : "m"(mxcsr_values[i]), "m"(fcw_values[i]), "m"(saved_mxcsr), "m"(saved_fcw) : "cc");
        CHECK_EQ(mxcsr, mxcsr_values[i]);
        CHECK_EQ(fcw, fcw_values[i]);
    }
    set_timer(0);
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "registers hold", hold_all },
        { "registers hold while handlers run", hold_all_with_handler },
        { "integer vectors", integer_vectors },
        { "floating point", floating_point },
        { "computing while handlers run", compute_with_handler },
        { "control words", control_words },
    };
    if (argc > 1 && argv[1][0] != '-')
        milliseconds = atoi(argv[1]);
    highest = registers_highest_level();
    printf("vector registers: %s\n", registers_level_name(highest));
    double sum = sum_sse(300000);
    long double long_sum = sum_x87(300000);
    printf("scalar mix: %016lx, sum: %a, long sum: %La\n", mix_scalar(1), sum, long_sum);
    return RUN_SECTIONS(sections, argc, argv);
}
