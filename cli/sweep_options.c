/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line of vigil sweep. */
#include "cli/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_LIMIT 86400 /* seconds */

static const char usage[] =
    "usage: vigil sweep [options] -- PROGRAM [ARGS...]\n"
    "\n"
    "Runs PROGRAM in an enclave of the software SGX once undisturbed, then again and again, each time with an event in front\n"
    "of another instruction of a region, and compares standard output and exit status. The program must print the same\n"
    "each time by itself; what it does to files is not undone. Standard input is read once and given to every run.\n"
    "\n"
    "  --region FROM..TO     from the first arrival at symbol FROM to the next at TO; or FUNCTION, until it returns\n"
    "                        (default: main)\n"
    "  --all                 from the program's first instruction to its end\n"
    "  --depth 1|2           2: a second event in front of an instruction of what handles the first (default 1)\n"
    "  --inject A[,B]        the events, first and second (default aex):\n"
    "                          aex     an interrupt\n"
    "                          signal  an interrupt, and a signal from the host (see --signal)\n"
    "                          fault   the page the instruction accesses is away until it has faulted\n"
    "                          claim   an interrupt that the host calls a SIGSEGV\n"
    "  --signal N[,M]        which signals (default 23, SIGURG, which programs ignore; then 17, SIGCHLD)\n"
    "  --stride N[,M]        take every N-th instruction, and every M-th second one (default: so that it takes about a minute)\n"
    "  --limit SECONDS       a run has failed after so many and 20 times what the undisturbed one takes (default 10)\n"
    "  --replay SCHEDULE     one run with just these events, as a failure's report shows them; the program may print\n"
    "  --json                the result as a JSON object on standard output\n"
    "  --enclave-size SIZE, --max-threads N, --aex-policy KEY=VALUE   as for `vigil run`\n"
    "  --help                this text\n"
    "\n"
    "Of loops the first, second, middle and last iteration are taken. Exit status: 0 all runs were equal, 1 some were not,\n"
    "130 interrupted; 2 to 4, 126 and 127 as for `vigil run`.\n";

static const char *const inject_names[SWEEP_INJECTS] = {
    [SWEEP_AEX] = "aex", [SWEEP_SIGNAL] = "signal", [SWEEP_CLAIM] = "claim", [SWEEP_PAGE] = "fault"};

static bool inject_by_name(const char *name, size_t length, enum sweep_inject *inject)
{
    for (unsigned i = 0; i < SWEEP_INJECTS; i++) {
        if (strlen(inject_names[i]) == length && !strncmp(inject_names[i], name, length)) {
            *inject = (enum sweep_inject)i;
            return true;
        }
    }
    return false;
}

static bool parse_injects(const char *text, enum sweep_inject inject[2])
{
    const char *comma = strchr(text, ',');
    size_t length = comma ? (size_t)(comma - text) : strlen(text);

    if (!inject_by_name(text, length, &inject[0]))
        return false;
    inject[1] = SWEEP_AEX;
    return !comma || inject_by_name(comma + 1, strlen(comma + 1), &inject[1]);
}

/* N or N,M; without M it stays as it is. */
static bool parse_two(const char *text, uint64_t max, uint64_t value[2])
{
    char *end = (char *)text;

    for (int i = 0; i < 2; i++) {
        errno = 0;
        if (*end < '0' || *end > '9')
            return false;
        value[i] = strtoull(end, &end, 10);
        if (errno || !value[i] || value[i] > max)
            return false;
        if (!*end)
            return true;
        if (*end++ != ',')
            return false;
    }
    return false;
}

int sweep_parse(int argc, char **argv, struct sweep_options *o)
{
    static const struct option longs[] = {
        {"region", required_argument, NULL, 'r'}, {"all", no_argument, NULL, 'a'}, {"depth", required_argument, NULL, 'd'},
        {"inject", required_argument, NULL, 'i'}, {"signal", required_argument, NULL, 'g'},
        {"stride", required_argument, NULL, 's'}, {"limit", required_argument, NULL, 'l'}, {"replay", required_argument, NULL, 'p'}, {"json", no_argument, NULL, 'j'},
        {"enclave-size", required_argument, NULL, 'e'}, {"max-threads", required_argument, NULL, 'm'},
        {"aex-policy", required_argument, NULL, 'o'}, {"help", no_argument, NULL, 'h'}, {0}};
    uint64_t two[2];

    for (int c; (c = getopt_long(argc, argv, "+:", longs, NULL)) != -1;) {
        switch (c) {
        case 'r': o->region = optarg; break;
        case 'a': o->all = true; break;
        case 'd':
            if (strcmp(optarg, "1") && strcmp(optarg, "2"))
                return complain(EXIT_USAGE, "--depth is 1 or 2, not %s", optarg);
            o->depth = (unsigned)(optarg[0] - '0');
            break;
        case 'i':
            if (!parse_injects(optarg, o->inject))
                return complain(EXIT_USAGE, "--inject is aex, signal, fault or claim, or two of them as in aex,signal; not %s", optarg);
            break;
        case 'g':
            two[1] = (uint64_t)o->signal[1];
            if (!parse_two(optarg, 64, two) || two[0] == SIGKILL || two[0] == SIGSTOP || two[1] == SIGKILL || two[1] == SIGSTOP)
                return complain(EXIT_USAGE, "--signal is a signal's number, or two; not %s", optarg);
            o->signal[0] = (int)two[0], o->signal[1] = (int)two[1];
            break;
        case 's':
            if (!parse_two(optarg, 1u << 30, o->stride))
                return complain(EXIT_USAGE, "--stride is a number from 1 on, or two as in 10,50; not %s", optarg);
            break;
        case 'l':
            two[1] = 0;
            if (strchr(optarg, ',') || !parse_two(optarg, MAX_LIMIT, two))
                return complain(EXIT_USAGE, "--limit is a number of seconds from 1 to %d, not %s", MAX_LIMIT, optarg);
            o->limit = (unsigned)two[0];
            break;
        case 'p': o->replay = optarg; break;
        case 'j': o->json = true; break;
        case 'e': o->run.enclave_size = optarg, o->own_size = true; break;
        case 'm': o->run.max_threads = optarg; break;
        case 'o':
            if (o->run.policy_count == MAX_POLICIES)
                return complain(EXIT_USAGE, "--aex-policy more than %d times", MAX_POLICIES);
            o->run.policies[o->run.policy_count++] = optarg;
            break;
        case 'h': fputs(usage, stdout); return finish_output();
        default: return complain_option(c, argc, argv);
        }
    }
    if (o->all && o->region)
        return complain(EXIT_USAGE, "--all and --region: one of them");
    if (o->replay && o->json)
        return complain(EXIT_USAGE, "--replay and --json: one of them");
    if (optind >= argc || strcmp(argv[optind - 1], "--"))
        return complain(EXIT_USAGE, "nothing to sweep: give `-- PROGRAM`; see `vigil sweep --help`");
    return -1;
}

/* ---- regions ---- */

static int look_up(const struct elf_file *elf, const char *path, const char *name, uint64_t *value)
{
    if (sweep_symbol(elf->data, elf->size, name, value))
        return 0;
    const char *nearest = sweep_nearest_symbol(elf->data, elf->size, name);
    if (!nearest)
        return complain(EXIT_BAD_INPUT, "%s: no symbol table, so %s cannot be found: link it without -s, or use --all", path, name);
    return complain(EXIT_BAD_INPUT, "%s: no symbol %s; the nearest name is %s. --region names another, --all takes everything",
                    path, name, nearest);
}

int sweep_find_region(const struct sweep_options *o, const char *path, struct elf_file *elf, struct sweep_region *region)
{
    const char *text = o->region ? o->region : "main", *dots = strstr(text, "..");
    char from[256];
    struct stat st;

    *region = (struct sweep_region){.all = o->all, .to_return = !o->all && !dots};
    *elf = (struct elf_file){MAP_FAILED, 0};
    size_t length = dots ? (size_t)(dots - text) : strlen(text);
    if (!o->all && (!length || length >= sizeof(from) || (dots && !dots[2])))
        return complain(EXIT_USAGE, "--region is FROM..TO or FUNCTION, not %s", text);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && !fstat(fd, &st) && st.st_size > 0) {
        elf->size = (size_t)st.st_size;
        elf->data = mmap(NULL, elf->size, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    if (fd >= 0)
        close(fd);
    if (elf->data == MAP_FAILED)
        return complain(EXIT_BAD_INPUT, "%s: cannot be read: %m", path);
    if (o->all)
        return 0;
    memcpy(from, text, length);
    from[length] = 0;
    int status = look_up(elf, path, from, &region->from);
    if (!status && dots)
        status = look_up(elf, path, dots + 2, &region->to);
    return status;
}

/* ---- schedules: KIND:RIP@ADDRESS#ARRIVAL+STEPS[,...], numbers but ARRIVAL and STEPS hexadecimal ---- */

void sweep_shot_text(const struct sweep_shot *shot, char text[SWEEP_TEXT])
{
    int n = 0;

    text[0] = 0;
    for (unsigned i = 0; i < shot->points; i++)
        n += snprintf(text + n, (size_t)(SWEEP_TEXT - n), "%s%s:%lx@%lx#%u+%u", i ? "," : "", inject_names[shot->inject[i]],
                      shot->at[i].rip, shot->at[i].address, shot->at[i].arrival, shot->at[i].steps);
}

bool sweep_shot_parse(const char *text, struct sweep_shot *shot)
{
    *shot = (struct sweep_shot){0};
    for (const char *p = text; shot->points < 2;) {
        struct sweep_landing *l = &shot->at[shot->points];
        const char *colon = strchr(p, ':');
        int used = 0;
        if (!colon || !inject_by_name(p, (size_t)(colon - p), &shot->inject[shot->points]) ||
            sscanf(colon + 1, "%lx@%lx#%u+%u%n", &l->rip, &l->address, &l->arrival, &l->steps, &used) != 4 || !l->arrival)
            return false;
        shot->points++;
        p = colon + 1 + used;
        if (!*p)
            return true;
        if (*p++ != ',')
            return false;
    }
    return false;
}
