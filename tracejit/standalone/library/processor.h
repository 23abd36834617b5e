/* The levels of instructions that the processor has, and the threads that all instances share. */

#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif
#ifdef __x86_64__
#include <cpuid.h>
#endif

static pthread_mutex_t pool_guard = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t pool_once = PTHREAD_ONCE_INIT;
static int32_t pool_threads;

static int32_t *pool_word(size_t offset) { return (int32_t *)(void *)(pool + offset); }

static void resize_pool(int32_t threads) {
    __atomic_store_n(pool_word(POOL_THREADS), threads, __ATOMIC_SEQ_CST);
    __atomic_store_n(pool_word(POOL_STARTED), 0, __ATOMIC_SEQ_CST); /* missing ones are made when there is work */
}

/* A child process has the memory of its parent's threads, but not the threads. */
static void forget_threads(void) {
    memset(pool, 0, sizeof pool);
    pthread_mutex_init(&pool_guard, NULL);
    resize_pool(pool_threads);
}

static void watch_forks(void) { pthread_atfork(NULL, NULL, forget_threads); }

static void offer_threads(int32_t threads) {
    pthread_once(&pool_once, watch_forks);
    pthread_mutex_lock(&pool_guard);
    if (threads > pool_threads) resize_pool(pool_threads = threads);
    pthread_mutex_unlock(&pool_guard);
}

/* Cores that this process may run on, and that its control group may use. */
static int32_t cores(void) {
    long count = sysconf(_SC_NPROCESSORS_ONLN);
#ifdef __linux__
    long quota, period;
    cpu_set_t set;
    FILE *limits = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
    if (limits && fscanf(limits, "%ld %ld", &quota, &period) == 2 && period > 0 && quota < count * period)
        count = (quota + period - 1) / period;
    if (limits) fclose(limits);
#endif
    return count < 1 ? 1 : (int32_t)count;
}

#ifdef __x86_64__
#define BIT(number) (1u << (number))

/* Whether the system keeps the registers that are given by their bits in XCR0. */
static int keeps(unsigned registers) {
    unsigned low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & registers) == registers;
}

/* What x86-64-v2, v3 and v4 are, each of which is all before it and more. */
static int runs(const char *level) {
    const unsigned v2 = BIT(9) | BIT(13) | BIT(19) | BIT(20) | BIT(23); /* SSSE3, CX16, SSE4.1, SSE4.2, POPCNT */
    const unsigned v3 = BIT(12) | BIT(22) | BIT(27) | BIT(28) | BIT(29); /* FMA, MOVBE, OSXSAVE, AVX, F16C */
    const unsigned more_v3 = BIT(3) | BIT(5) | BIT(8); /* BMI1, AVX2, BMI2 */
    const unsigned v4 = BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31); /* AVX-512 F, DQ, CD, BW, VL */
    unsigned first, second, third, eax, ebx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &first, &edx) || (first & v2) != v2) return 0;
    if (strcmp(level, "sse") == 0) return 1;
    if ((first & v3) != v3 || !keeps(BIT(1) | BIT(2))) return 0; /* XMM and YMM */
    if (!__get_cpuid(0x80000001, &eax, &ebx, &third, &edx) || !(third & BIT(5))) return 0; /* LZCNT */
    if (!__get_cpuid_count(7, 0, &eax, &second, &ebx, &edx) || (second & more_v3) != more_v3) return 0;
    if (strcmp(level, "avx2") == 0) return 1;
    return strcmp(level, "avx512") == 0 && (second & v4) == v4 && keeps(BIT(5) | BIT(6) | BIT(7)); /* masks and ZMM */
}
#else
static int runs(const char *level) { return strcmp(level, "neon") == 0; }
#endif

/* The best level, or the one of this name. */
static int find_level(const char *name, size_t *found) {
    for (*found = 0; *found < LEVELS; ++*found)
        if ((!name || strcmp(name, levels[*found].name) == 0) && runs(levels[*found].name)) return N(OK);
    return fail(N(ERROR_PROCESSOR), "%s is none of the levels of this processor and this library, which was made for %s",
                name ? name : "the best", LEVEL_NAMES);
}
