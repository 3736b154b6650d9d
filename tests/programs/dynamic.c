/* SPDX-License-Identifier: Apache-2.0
 *
 * What only dynamic programs do: libraries loaded at run time, with constructors, thread-local data and their own
 * dependencies; the auxiliary vector as the dynamic loader leaves it. */
#include "check.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <sys/auxv.h>

typedef int count_fn(void);

static char *library_path(const char *program)
{
    static char path[4096];
    const char *slash = strrchr(program, '/');

    snprintf(path, sizeof(path), "%.*s/libdynamic_test.so", slash ? (int)(slash - program) : 1, slash ? program : ".");
    return path;
}

static void *count_twice(void *function)
{
    count_fn *count = *(count_fn **)function;

    CHECK_EQ(count(), 1); /* of this thread's own */
    CHECK_EQ(count(), 2);
    return NULL;
}

static void load_at_run_time(const char *path)
{
    void *library = dlopen(path, RTLD_NOW);
    pthread_t thread;

    if (!library)
        printf("%s\n", dlerror());
    CHECK(library != NULL);
    const char **message = dlsym(library, "dynamic_message");
    count_fn *count = (count_fn *)(uintptr_t)dlsym(library, "dynamic_count");
    CHECK(message && count);
    CHECK(!strcmp(*message, "constructed"));
    CHECK_EQ(count(), 1);
    CHECK_EQ(pthread_create(&thread, NULL, count_twice, &count), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(count(), 2);
    CHECK_EQ(dlclose(library), 0);
    CHECK(dlopen(path, RTLD_NOW | RTLD_NOLOAD) == NULL);
    for (int i = 0; i < 20; i++) {
        library = dlopen(path, RTLD_LAZY);
        CHECK(library != NULL);
        CHECK_EQ(dlclose(library), 0);
    }
    CHECK(dlopen("/nowhere/libnothing.so", RTLD_NOW) == NULL);
    CHECK(strstr(dlerror(), "libnothing.so") != NULL);
}

static int count_objects(struct dl_phdr_info *info, size_t size, void *count)
{
    (void)size;
    CHECK(info->dlpi_phnum > 0);
    ++*(int *)count;
    return 0;
}

static void loaded_objects(void)
{
    int count = 0;

    dl_iterate_phdr(count_objects, &count);
    CHECK(count >= 3); /* the program, libc, the loader */
    CHECK(getauxval(AT_BASE) != 0);
    CHECK_EQ(getauxval(AT_BASE) % 4096, 0);
    CHECK(getauxval(AT_ENTRY) != 0);
}

int main(int argc, char **argv)
{
    (void)argc;
    loaded_objects();
    printf("objects: ok\n");
    load_at_run_time(library_path(argv[0]));
    printf("dlopen: ok\n");
    return 0;
}
