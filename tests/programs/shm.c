/* SPDX-License-Identifier: Apache-2.0
 *
 * System V's shared memory in one process: made, found, attached, detached, counted, removed while attached. Keys are of the
 * process id: natively the segments are the system's. */
#include "check.h"

#include <pthread.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#define PAGE 4096
#define NOWHERE ((void *)-1)

static key_t key(int n)
{
    return (getpid() & 0xffff) << 8 | n << 24 | 0x5a;
}

static unsigned long attached(int id)
{
    struct shmid_ds ds = {0};

    CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
    return ds.shm_nattch;
}

static void found_by_key(void)
{
    CHECK_ERRNO(shmget(key(1), PAGE, 0600), ENOENT);
    int id = shmget(key(1), 3 * PAGE + 5, IPC_CREAT | IPC_EXCL | 0640);
    REQUIRE(id >= 0);
    CHECK_EQ(shmget(key(1), 0, 0), id);
    CHECK_EQ(shmget(key(1), PAGE, IPC_CREAT | 0600), id);
    CHECK_ERRNO(shmget(key(1), PAGE, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    CHECK_ERRNO(shmget(key(1), 3 * PAGE + 6, 0600), EINVAL);
    CHECK_ERRNO(shmget(key(2), 0, IPC_CREAT | 0600), EINVAL);

    struct shmid_ds ds;
    CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
    CHECK_EQ(ds.shm_segsz, 3 * PAGE + 5);
    CHECK_EQ(ds.shm_perm.mode, 0640);
    CHECK_EQ(ds.shm_perm.__key, key(1));
    CHECK_EQ(ds.shm_cpid, getpid());
    CHECK(ds.shm_ctime > 0 && !ds.shm_atime && !ds.shm_dtime && !ds.shm_nattch);
    ds.shm_perm.mode = 0600;
    CHECK_EQ(shmctl(id, IPC_SET, &ds), 0);
    CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
    CHECK_EQ(ds.shm_perm.mode, 0600);
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
    CHECK_ERRNO(shmctl(id, IPC_STAT, &ds), EINVAL);
    CHECK_ERRNO(shmat(id, NULL, 0) == NOWHERE ? -1 : 0, EINVAL);
    CHECK_ERRNO(shmget(key(1), 0, 0), ENOENT);
    int next = shmget(IPC_PRIVATE, 1, 0600);
    CHECK(next >= 0 && next != id); /* an old number is not a new segment's */
    CHECK_EQ(shmctl(next, IPC_RMID, NULL), 0);
}

static void *in_thread(void *page)
{
    ((char *)page)[1]++;
    return NULL;
}

static void contents_outlive_an_attachment(void)
{
    int id = shmget(IPC_PRIVATE, 40 * PAGE, 0600);
    REQUIRE(id >= 0);
    char *p = shmat(id, NULL, 0);
    REQUIRE(p != NOWHERE);
    CHECK_EQ(attached(id), 1);
    for (int i = 0; i < 40 * PAGE; i += 512)
        CHECK_EQ(p[i], 0);
    strcpy(p, "first");
    strcpy(p + 40 * PAGE - 10, "last");
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, in_thread, p), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(shmdt(p), 0);
    CHECK_ERRNO(shmdt(p), EINVAL);
    CHECK_EQ(attached(id), 0);

    const char *q = shmat(id, NULL, SHM_RDONLY);
    REQUIRE(q != NOWHERE);
    CHECK(!strcmp(q, "fjrst") && !strcmp(q + 40 * PAGE - 10, "last"));
    CHECK_ERRNO(mprotect((void *)q, PAGE, PROT_READ | PROT_WRITE), EACCES);
    CHECK_EQ(shmdt(q), 0);
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
}

static void at_a_given_address(void)
{
    int id = shmget(IPC_PRIVATE, 2 * PAGE, 0600);
    char *room = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    REQUIRE(id >= 0 && room != MAP_FAILED);
    memset(room, 'x', 4 * PAGE);
    CHECK_ERRNO(shmat(id, room, 0) == NOWHERE ? -1 : 0, EINVAL); /* it is taken */
    CHECK_ERRNO(shmat(id, room + 100, 0) == NOWHERE ? -1 : 0, EINVAL);
    CHECK_ERRNO(shmat(id, NULL, SHM_REMAP) == NOWHERE ? -1 : 0, EINVAL);
    CHECK_ERRNO(shmat(id + 1, NULL, 0) == NOWHERE ? -1 : 0, EINVAL);
    CHECK(shmat(id, room + PAGE + 5, SHM_REMAP | SHM_RND) == room + PAGE);
    CHECK(room[0] == 'x' && !room[PAGE] && !room[3 * PAGE - 1] && room[3 * PAGE] == 'x');
    CHECK_ERRNO(shmdt(room), EINVAL);
    CHECK_ERRNO(shmdt(room + 2 * PAGE), EINVAL);
    CHECK_EQ(shmdt(room + PAGE), 0);
    CHECK_EQ(munmap(room + PAGE, 2 * PAGE), 0); /* nothing is there */
    CHECK(shmat(id, room + PAGE, 0) == room + PAGE);
    CHECK_EQ(munmap(room + PAGE, 2 * PAGE), 0); /* counts as detaching */
    CHECK_EQ(attached(id), 0);
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
    munmap(room, 4 * PAGE);
}

static void removed_while_attached(void)
{
    int id = shmget(key(3), PAGE, IPC_CREAT | 0600);
    char *p = shmat(id, NULL, 0);
    struct shmid_ds ds;

    REQUIRE(id >= 0 && p != NOWHERE);
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
    CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
    CHECK_EQ(ds.shm_perm.mode, 0600 | SHM_DEST);
    CHECK_ERRNO(shmget(key(3), 0, 0), ENOENT);
    strcpy(p, "still");
    int other = shmget(key(3), PAGE, IPC_CREAT | IPC_EXCL | 0600);
    CHECK(other >= 0 && other != id);
    CHECK(!strcmp(p, "still"));
    CHECK_EQ(shmdt(p), 0);
    CHECK_ERRNO(shmctl(id, IPC_STAT, &ds), EINVAL);
    CHECK_EQ(shmctl(other, IPC_RMID, NULL), 0);
}

static void many(void)
{
    enum { N = 50 };
    int ids[N];
    char *at[N];

    for (int i = 0; i < N; i++) {
        ids[i] = shmget(IPC_PRIVATE, PAGE * (1 + i % 3), 0600);
        at[i] = shmat(ids[i], NULL, 0);
        REQUIRE(ids[i] >= 0 && at[i] != NOWHERE);
        at[i][0] = (char)i;
    }
    for (int i = 0; i < N; i += 2)
        CHECK(!shmctl(ids[i], IPC_RMID, NULL) && at[i][0] == i && !shmdt(at[i]));
    for (int i = 1; i < N; i += 2)
        CHECK(at[i][0] == i && attached(ids[i]) == 1 && !shmdt(at[i]) && !shmctl(ids[i], IPC_RMID, NULL));
}

static void wrong_numbers(void)
{
    struct shmid_ds ds;

    CHECK_ERRNO(shmctl(0x7fffffff, IPC_STAT, &ds), EINVAL);
    CHECK_ERRNO(shmctl(-1, IPC_RMID, NULL), EINVAL);
    CHECK_ERRNO(shmdt(&ds), EINVAL);
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "key", found_by_key },
        { "contents", contents_outlive_an_attachment },
        { "address", at_a_given_address },
        { "removed", removed_while_attached },
        { "many", many },
        { "wrong", wrong_numbers },
    };

    return RUN_SECTIONS(sections, argc, argv);
}
