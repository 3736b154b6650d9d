/* SPDX-License-Identifier: Apache-2.0
 *
 * What vigil sweep says: progress on a terminal, the summary with the way to repeat each failure, JSON. */
#include "cli/sweep.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void clear_line(void)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

void sweep_progress(const struct sweep_report *r)
{
    enum { WIDTH = 30 };
    static struct timespec last;
    const struct sweep_tally *t = &r->tally;
    struct timespec now;
    char bar[WIDTH + 1];

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!isatty(STDERR_FILENO) || (now.tv_sec - last.tv_sec) * 1000 + (now.tv_nsec - last.tv_nsec) / 1000000 < 100)
        return;
    last = now;
    uint64_t filled = t->planned ? t->runs * WIDTH / t->planned : 0;
    memset(bar, '.', WIDTH);
    memset(bar, '#', filled < WIDTH ? filled : WIDTH);
    bar[WIDTH] = 0;
    fprintf(stderr, "\r\033[K[%s] %lu of about %lu runs, %lu failed", bar, t->runs, t->planned, t->failures);
}

void sweep_note_failure(struct sweep_report *r, const struct sweep_shot *shot, const char *what)
{
    r->tally.failures++;
    if (r->kept == sizeof(r->failure) / sizeof(r->failure[0]))
        return;
    struct sweep_failure *f = &r->failure[r->kept++];
    sweep_shot_text(shot, f->text);
    f->what = what;
    f->rip = shot->points ? shot->at[shot->points - 1].rip : 0;
}

/* ---- the summary ---- */

/* In the quotes of a shell. */
static void print_quoted(const char *text)
{
    if (*text && !text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%")]) {
        fputs(text, stdout);
        return;
    }
    putchar('\'');
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*text);
    putchar('\'');
}

static void print_replay(const struct sweep_report *r, const char *schedule)
{
    const struct sweep_options *o = r->options;

    fputs("vigil sweep", stdout);
    if (o->all)
        fputs(" --all", stdout);
    if (o->region) {
        fputs(" --region ", stdout);
        print_quoted(o->region);
    }
    printf(" --signal %d,%d", o->signal[0], o->signal[1]);
    if (o->own_size) {
        fputs(" --enclave-size ", stdout);
        print_quoted(o->run.enclave_size);
    }
    if (o->run.max_threads) {
        fputs(" --max-threads ", stdout);
        print_quoted(o->run.max_threads);
    }
    for (unsigned i = 0; i < o->run.policy_count; i++) {
        fputs(" --aex-policy ", stdout);
        print_quoted(o->run.policies[i]);
    }
    if (o->limit != SWEEP_LIMIT)
        printf(" --limit %u", o->limit);
    printf(" --replay '%s' --", schedule);
    for (int i = 0; i < r->argc; i++) {
        putchar(' ');
        print_quoted(r->argv[i]);
    }
}

static void print_json_string(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        if ((unsigned char)*text < ' ')
            printf("\\u%04x", *text);
        else
            putchar(*text);
    }
    putchar('"');
}

/* "name+0x12" of the program or of the runtime, "?" if there is no symbol. */
static void place(const struct sweep_report *r, uint64_t rip, char *text, size_t size)
{
    bool runtime = rip >= sweep_map.runtime_low;
    const void *elf = runtime ? r->image->runtime_file : r->elf.data;
    uint64_t offset, base = runtime ? sweep_map.elf_base : r->bias;
    const char *name = sweep_symbol_before(elf, runtime ? r->image->runtime_size : r->elf.size, rip - base, &offset);

    snprintf(text, size, name ? "%s%s+0x%lx" : "?", runtime ? "runtime:" : "", name, offset);
}

static void print_json(const struct sweep_report *r)
{
    const struct sweep_tally *t = &r->tally;
    char where[200];

    fputs("{\"program\": [", stdout);
    for (int i = 0; i < r->argc; i++) {
        fputs(i ? ", " : "", stdout);
        print_json_string(r->argv[i]);
    }
    printf("], \"depth\": %u, \"instructions\": %lu, \"boundaries\": %lu, \"runs\": %lu, \"pairs\": %lu, \"failed\": %lu, "
           "\"not_reached\": %lu, \"plain_aex_instead\": %lu, \"interrupted\": %s, \"failures\": [",
           r->options->depth, t->boundaries, t->chosen, t->runs, t->pairs, t->failures, t->unreached, t->pointless,
           t->interrupted ? "true" : "false");
    for (unsigned i = 0; i < r->kept; i++) {
        place(r, r->failure[i].rip, where, sizeof(where));
        printf("%s{\"rip\": \"0x%lx\", \"place\": ", i ? ", " : "", r->failure[i].rip);
        print_json_string(where);
        fputs(", \"what\": ", stdout);
        print_json_string(r->failure[i].what);
        fputs(", \"schedule\": ", stdout);
        print_json_string(r->failure[i].text);
        fputs("}", stdout);
    }
    puts("]}");
}

static void print_text(const struct sweep_report *r)
{
    enum { SHOWN = 10 };
    const struct sweep_tally *t = &r->tally;
    char where[200];

    for (unsigned i = 0; i < r->kept && i < SHOWN; i++) {
        if (!*r->failure[i].text) { /* the stepped run: there is no event to repeat */
            printf("FAILED before any event: %s\n", r->failure[i].what);
            continue;
        }
        place(r, r->failure[i].rip, where, sizeof(where));
        printf("FAILED at %s (0x%lx): %s\n  ", where, r->failure[i].rip, r->failure[i].what);
        print_replay(r, r->failure[i].text);
        putchar('\n');
    }
    if (t->failures > SHOWN)
        printf("... and %lu more\n", t->failures - SHOWN);
    printf("%s%lu instructions, %lu boundaries; ", t->interrupted ? "interrupted: " : "", t->boundaries, t->chosen);
    if (r->options->depth == 2)
        printf("%lu pairs, ", t->pairs);
    printf("%lu runs with events, %lu failed", t->runs, t->failures);
    if (t->unreached)
        printf(", %lu did not come to their boundary", t->unreached);
    if (t->pointless)
        printf(", %lu with a plain AEX for want of a page", t->pointless);
    putchar('\n');
}

int sweep_summary(const struct sweep_report *r)
{
    clear_line();
    if (r->options->json)
        print_json(r);
    else
        print_text(r);
    int status = finish_output();
    if (status)
        return status;
    return r->tally.interrupted ? EXIT_INTERRUPTED : r->tally.failures ? EXIT_DIFFERENT : 0;
}
