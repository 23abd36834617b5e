/* A function that tracejit has compiled, as a library of C: instances, arguments, state, errors.

   "tables.h" is written at export. It says what there is (infos of inputs, outputs and state, where in a call's frame each of them
   is, the machine code of each level of instructions) and defines N(name), the public name. docs/artifact.md tells the rest. */

#define _GNU_SOURCE
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif
#ifdef __x86_64__
#include <cpuid.h>
#endif

#define LINE 64 /* what memory is aligned to */

typedef union {
    int64_t integer;
    double real;
    const void *pointer;
    void (*code)(void);
} word;

struct level {
    const char *name;
    int64_t (*call)(word *frame);
    void (*run)(void);
    const word *const *tables;
    size_t workspace, scratch; /* bytes, and those of each thread more */
};

struct area {
    size_t word, offset; /* in the frame: what holds its address, and its bytes from the begin */
};

struct result {
    int64_t slot; /* the word of the frame; -1: the number is the same in each call */
    int64_t offset;
    const int64_t *strides; /* in bytes */
    word known;
    size_t cell; /* the word with the address of its memory, if that may be the caller's; else 0 */
};

struct state {
    size_t cell; /* the word of the frame */
    int changes, is_there;
    int64_t content; /* of a tensor: where in the constants it is at first */
    word number;
};

struct failure {
    int code;
    const char *text;
};

#include "tables.h"

typedef N(value) value;
typedef N(info) info;
typedef N(instance) instance;

struct frame {
    struct frame *next;
    word *words;
};

struct N(instance) {
    pthread_rwlock_t turn; /* held for reading by calls that change nothing, for writing by all others */
    pthread_mutex_t guard; /* of `idle` */
    struct frame *idle;
    const struct level *level;
    int64_t threads;
    word cells[STATES + 1];
    void *own[STATES + 1]; /* memory of tensors that were set, and that calls do not change */
    int is_there[STATES + 1];
};

/* Errors */

static _Thread_local char message[1024];

__attribute__((format(printf, 2, 3))) static int fail(int code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return code;
}

const char *N(message)(void) { return message; }

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    {"bool", 1},   {"int8", 1},   {"int16", 2},   {"int32", 4},   {"int64", 8},    {"uint8", 1},   {"uint16", 2},
    {"uint32", 4}, {"uint64", 8}, {"float16", 2}, {"bfloat16", 2}, {"float32", 4}, {"float64", 8},
};
#define DTYPES ((int)(sizeof dtypes / sizeof *dtypes))

/* `float32[2,3]`, or `a number of float64` */
static void describe(char *text, size_t size, int is_number, int dtype, int ndim, const int64_t *shape) {
    const char *name = dtype >= 0 && dtype < DTYPES ? dtypes[dtype].name : "no dtype";
    size_t used = (size_t)snprintf(text, size, is_number ? "a number of %s" : "%s[", name);
    if (is_number) return;
    for (int axis = 0; axis < ndim && axis < MOST_AXES && shape && used < size; axis++)
        used += (size_t)snprintf(text + used, size - used, axis ? ",%lld" : "%lld", (long long)shape[axis]);
    if (used < size) snprintf(text + used, size - used, "]");
}

/* Arrays */

static size_t size_of(const info *what) { return dtypes[what->dtype].size; }

static size_t bytes_of(const info *what) {
    size_t bytes = size_of(what);
    for (int axis = 0; axis < what->ndim; axis++) bytes *= (size_t)what->shape[axis];
    return bytes;
}

static int is_dense(const info *what, const int64_t *strides) {
    int64_t step = (int64_t)size_of(what);
    if (!strides) return 1;
    for (int axis = what->ndim; axis-- > 0; step *= what->shape[axis])
        if (strides[axis] != step && what->shape[axis] != 1) return 0;
    return 1;
}

/* The strides of elements that lie one after the other. */
static void dense_strides(const info *what, int64_t *strides) {
    int64_t step = (int64_t)size_of(what);
    for (int axis = what->ndim; axis-- > 0; step *= what->shape[axis]) strides[axis] = step;
}

static void copy_axes(int ndim, const int64_t *shape, size_t size, char *to, const int64_t *to_strides, const char *from,
                      const int64_t *from_strides) {
    if (ndim == 0) {
        memcpy(to, from, size);
        return;
    }
    for (int64_t index = 0; index < *shape; index++, to += *to_strides, from += *from_strides) {
        if (ndim > 1)
            copy_axes(ndim - 1, shape + 1, size, to, to_strides + 1, from, from_strides + 1);
        else if (size == 4)
            memcpy(to, from, 4);
        else if (size == 8)
            memcpy(to, from, 8);
        else
            memcpy(to, from, size);
    }
}

/* NULL for strides: the elements lie one after the other. */
static void copy_array(const info *what, void *to, const int64_t *to_strides, const void *from, const int64_t *from_strides) {
    int64_t dense[MOST_AXES + 1];
    size_t bytes = bytes_of(what);
    if (bytes == 0) return;
    if (is_dense(what, to_strides) && is_dense(what, from_strides)) {
        memcpy(to, from, bytes);
        return;
    }
    dense_strides(what, dense);
    copy_axes(what->ndim, what->shape, size_of(what), to, to_strides ? to_strides : dense, from,
              from_strides ? from_strides : dense);
}

/* Where the memory of an array begins and ends. */
static void reach(const info *what, const value *given, const char **low, const char **high) {
    *low = given->data;
    *high = given->data;
    if (bytes_of(what) == 0) return;
    if (!given->strides) {
        *high += bytes_of(what);
        return;
    }
    *high += size_of(what);
    for (int axis = 0; axis < what->ndim; axis++) {
        int64_t steps = given->strides[axis] * (what->shape[axis] - 1);
        if (steps < 0)
            *low += steps;
        else
            *high += steps;
    }
}

/* Whether two elements may share memory: told by the strides, each of which has to step over what the smaller ones reach. */
static int meets_itself(const info *what, const value *given) {
    int64_t reached = (int64_t)size_of(what);
    char done[MOST_AXES + 1] = {0};
    if (!given->strides || bytes_of(what) == 0) return 0;
    for (int turn = 0; turn < what->ndim; turn++) {
        int least = -1;
        for (int axis = 0; axis < what->ndim; axis++)
            if (!done[axis] && (least < 0 || llabs(given->strides[axis]) < llabs(given->strides[least]))) least = axis;
        done[least] = 1;
        if (what->shape[least] == 1) continue;
        if (llabs(given->strides[least]) < reached) return 1;
        reached += llabs(given->strides[least]) * (what->shape[least] - 1);
    }
    return 0;
}

static int is_aligned(const info *what, const void *data) { return (uintptr_t)data % size_of(what) == 0; }

/* Says that something else was given than is wanted. */
static int refuse(const char *role, const info *what, const value *given) {
    char wanted[256], got[256];
    describe(wanted, sizeof wanted, what->is_number, (int)what->dtype, what->ndim, what->shape);
    describe(got, sizeof got, given->is_number, (int)given->dtype, given->ndim, given->shape);
    return fail(N(ERROR_ARGUMENT), "%s %s is %s, got %s", role, what->name, wanted, got);
}

static int is_same(const info *what, const value *given) {
    if (given->dtype != what->dtype || !given->is_number != !what->is_number) return 0;
    if (what->is_number) return 1;
    if (given->ndim != what->ndim || (what->ndim && !given->shape)) return 0;
    for (int axis = 0; axis < what->ndim; axis++)
        if (given->shape[axis] != what->shape[axis]) return 0;
    return 1;
}

/* Whether a value is what is wanted there; `is_written` if its memory is written. */
static int check_value(const char *role, const info *what, const value *given, int is_written) {
    if (what->is_number && is_written) return N(OK);
    if (!is_same(what, given)) return refuse(role, what, given);
    if (what->is_number) return N(OK);
    if (!given->data && bytes_of(what)) return fail(N(ERROR_ARGUMENT), "%s %s has no memory", role, what->name);
    if (is_written && meets_itself(what, given))
        return fail(N(ERROR_ARGUMENT), "%s %s is written, and its elements share memory", role, what->name);
    return N(OK);
}

static int check_input(size_t number, const value *given) {
    const info *what = &inputs[number];
    int code = check_value("argument", what, given, what->is_written && !what->is_number);
    if (code != N(OK) || !what->is_written) return code;
    if (!is_dense(what, given->strides) || !is_aligned(what, given->data))
        return fail(N(ERROR_ARGUMENT), "argument %s is written by the call: its elements have to lie in order, and aligned",
                    what->name);
    return N(OK);
}

static int is_apart(const info *what, const value *one, const info *which, const value *other) {
    const char *low, *high, *begin, *end;
    reach(what, one, &low, &high);
    reach(which, other, &begin, &end);
    return high <= begin || end <= low;
}

/* Memory that is written belongs to nothing else. */
static int check_apart(const value *given, const value *results) {
    for (size_t one = 0; one < INPUTS + OUTPUTS; one++) {
        const info *what = one < INPUTS ? &inputs[one] : &outputs[one - INPUTS];
        const value *written = one < INPUTS ? &given[one] : &results[one - INPUTS];
        if (what->is_number || (one < INPUTS && !what->is_written)) continue;
        for (size_t other = 0; other < INPUTS + OUTPUTS; other++) {
            const info *which = other < INPUTS ? &inputs[other] : &outputs[other - INPUTS];
            const value *also = other < INPUTS ? &given[other] : &results[other - INPUTS];
            if (other != one && !which->is_number && !is_apart(what, written, which, also))
                return fail(N(ERROR_ARGUMENT), "%s is written, and shares memory with %s", what->name, which->name);
        }
    }
    return N(OK);
}

/* Threads and levels */

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
static int find_level(const char *name, const struct level **found) {
    for (size_t number = 0; number < LEVELS; number++) {
        *found = &levels[number];
        if ((!name || strcmp(name, levels[number].name) == 0) && runs(levels[number].name)) return N(OK);
    }
    return fail(N(ERROR_PROCESSOR), "%s is none of the levels of this processor and this library, which was made for %s",
                name ? name : "the best", LEVEL_NAMES);
}

/* Frames: the memory of one call at a time */

static void *take_memory(size_t bytes) { return aligned_alloc(LINE, (bytes + LINE - 1) / LINE * LINE + LINE); }

static struct frame *new_frame(const instance *self) {
    const struct level *level = self->level;
    struct frame *frame = malloc(sizeof *frame);
    word *words = take_memory(WORKSPACE + level->workspace + (size_t)self->threads * level->scratch);
    if (!frame || !words) {
        free(frame);
        free(words);
        return NULL;
    }
    memset(words, 0, WORDS * sizeof *words);
    words[0].integer = self->threads;
    words[1].code = level->run;
    words[2].pointer = CONSTANTS;
    for (size_t number = 0; number < PROGRAMS; number++) words[3 + number].pointer = level->tables[number];
    for (size_t number = 0; number < AREAS; number++)
        words[areas[number].word].pointer = (char *)words + areas[number].offset;
    frame->words = words;
    frame->next = NULL;
    return frame;
}

static struct frame *take_frame(instance *self) {
    struct frame *frame;
    pthread_mutex_lock(&self->guard);
    frame = self->idle;
    if (frame) self->idle = frame->next;
    pthread_mutex_unlock(&self->guard);
    return frame ? frame : new_frame(self);
}

static void give_frame(instance *self, struct frame *frame) {
    pthread_mutex_lock(&self->guard);
    frame->next = self->idle;
    self->idle = frame;
    pthread_mutex_unlock(&self->guard);
}

/* Instances */

static void begin_state(instance *self, word *words) {
    for (size_t number = 0; number < STATES; number++) {
        const struct state *state = &states[number];
        self->is_there[number] = state->is_there;
        if (state_infos[number].is_number) {
            self->cells[number] = state->number;
            continue;
        }
        self->cells[number].pointer = CONSTANTS + state->content;
        if (!state->changes) continue;
        if (state->is_there) memcpy((void *)words[state->cell].pointer, CONSTANTS + state->content, bytes_of(&state_infos[number]));
        self->cells[number] = words[state->cell];
    }
}

int N(create)(instance **out, const N(options) *options) {
    const struct level *level;
    instance *self;
    struct frame *frame;
    int64_t threads = options && options->threads ? options->threads : cores();
    int code = find_level(options ? options->level : NULL, &level);
    if (!out) return fail(N(ERROR_ARGUMENT), "there is no place for the instance");
    *out = NULL;
    if (code != N(OK)) return code;
    if (threads < 0) return fail(N(ERROR_ARGUMENT), "%lld is no number of threads", (long long)threads);
    self = calloc(1, sizeof *self);
    if (!self) return fail(N(ERROR_MEMORY), "there is no memory for an instance");
    self->level = level;
    self->threads = threads < POOL_MOST_THREADS ? threads : POOL_MOST_THREADS;
    frame = new_frame(self);
    if (!frame) {
        free(self);
        return fail(N(ERROR_MEMORY), "there is no memory for an instance");
    }
    pthread_rwlock_init(&self->turn, NULL);
    pthread_mutex_init(&self->guard, NULL);
    begin_state(self, frame->words);
    give_frame(self, frame);
    offer_threads((int32_t)self->threads);
    *out = self;
    return N(OK);
}

void N(destroy)(instance *self) {
    if (!self) return;
    for (struct frame *frame = self->idle, *next; frame; frame = next) {
        next = frame->next;
        free(frame->words);
        free(frame);
    }
    for (size_t number = 0; number < STATES; number++) free(self->own[number]);
    pthread_rwlock_destroy(&self->turn);
    pthread_mutex_destroy(&self->guard);
    free(self);
}

/* Calls */

static word number_of(const info *what, const value *given) {
    word found;
    if (what->dtype == N(FLOAT64))
        found.real = given->number.real;
    else
        found.integer = what->dtype == N(BOOL) ? given->number.integer != 0 : given->number.integer;
    return found;
}

static void give_number(const info *what, word found, value *out) {
    out->dtype = what->dtype;
    out->is_number = 1;
    if (what->dtype == N(FLOAT64))
        out->number.real = found.real;
    else
        out->number.integer = found.integer;
}

/* Arguments as machine code takes them; memory that they are copied to is put into `packed`. */
static int pack(const value *given, word *ready, void **packed) {
    for (size_t number = 0; number < INPUTS; number++) {
        const info *what = &inputs[number];
        if (what->is_number) {
            ready[number] = number_of(what, &given[number]);
            continue;
        }
        ready[number].pointer = given[number].data;
        if (is_dense(what, given[number].strides) && is_aligned(what, given[number].data)) continue;
        packed[number] = take_memory(bytes_of(what));
        if (!packed[number]) return fail(N(ERROR_MEMORY), "there is no memory for a copy of argument %s", what->name);
        copy_array(what, packed[number], NULL, given[number].data, given[number].strides);
        ready[number].pointer = packed[number];
    }
    return N(OK);
}

/* Has a result be written where the caller wants it, if machine code can: gives what the cell held. */
static word send(size_t number, word *words, const value *result) {
    size_t cell = output_places[number].cell;
    word area = words[cell];
    if (cell && is_dense(&outputs[number], result->strides) && (uintptr_t)result->data % LINE == 0)
        words[cell].pointer = result->data;
    return area;
}

static void unpack(const word *words, value *results) {
    for (size_t number = 0; number < OUTPUTS; number++) {
        const info *what = &outputs[number];
        const struct result *from = &output_places[number];
        word found = from->slot < 0 ? from->known : words[from->slot];
        if (what->is_number)
            give_number(what, found, &results[number]);
        else if (found.pointer != results[number].data)
            copy_array(what, results[number].data, results[number].strides, (const char *)found.pointer + from->offset,
                       from->strides);
    }
}

static int call(instance *self, word *words, const word *ready, value *results) {
    word kept[OUTPUTS + 1];
    int64_t status;
    for (size_t number = 0; number < INPUTS; number++) words[input_cells[number]] = ready[number];
    for (size_t number = 0; number < STATES; number++) words[states[number].cell] = self->cells[number];
    for (size_t number = 0; number < OUTPUTS; number++) kept[number] = send(number, words, &results[number]);
    status = self->level->call(words);
    for (size_t number = OUTPUTS; number-- > 0;) words[output_places[number].cell] = kept[number];
    if (status) return fail(failures[status - 1].code, "%s", failures[status - 1].text);
    if (CHANGES) {
        for (size_t number = 0; number < STATES; number++) {
            self->cells[number] = words[states[number].cell];
            self->is_there[number] = 1;
        }
    }
    unpack(words, results);
    return N(OK);
}

static int take_turn(instance *self, const word *ready, value *results) {
    struct frame *frame;
    int code;
    if (CHANGES)
        pthread_rwlock_wrlock(&self->turn);
    else
        pthread_rwlock_rdlock(&self->turn);
    frame = take_frame(self);
    if (frame) {
        code = call(self, frame->words, ready, results);
        give_frame(self, frame);
    } else {
        code = fail(N(ERROR_MEMORY), "there is no memory for a call");
    }
    pthread_rwlock_unlock(&self->turn);
    return code;
}

int N(run)(instance *self, const value *given, size_t given_count, value *results, size_t result_count) {
    word ready[INPUTS + 1];
    void *packed[INPUTS + 1] = {0};
    int code = N(OK);
    if (!self || (!given && INPUTS) || (!results && OUTPUTS))
        return fail(N(ERROR_ARGUMENT), "there is no %s", !self ? "instance" : !given && INPUTS ? "argument" : "place for results");
    if (given_count != INPUTS || result_count != OUTPUTS)
        return fail(N(ERROR_ARGUMENT), "%d arguments and %d results are wanted, and %zu and %zu given", INPUTS, OUTPUTS,
                    given_count, result_count);
    for (size_t number = 0; number < INPUTS && code == N(OK); number++) code = check_input(number, &given[number]);
    for (size_t number = 0; number < OUTPUTS && code == N(OK); number++)
        code = check_value("result", &outputs[number], &results[number], 1);
    if (code == N(OK)) code = check_apart(given, results);
    if (code == N(OK)) code = pack(given, ready, packed);
    if (code == N(OK)) code = take_turn(self, ready, results);
    for (size_t number = 0; number < INPUTS; number++) free(packed[number]);
    return code;
}

/* State */

static int find_state(const instance *self, const char *name, size_t *number) {
    if (!self) return fail(N(ERROR_ARGUMENT), "there is no instance");
    for (*number = 0; name && *number < STATES; ++*number)
        if (strcmp(state_infos[*number].name, name) == 0) return N(OK);
    return fail(N(ERROR_STATE), "there is no state %s", name ? name : "without a name");
}

int N(get_state)(instance *self, const char *name, value *out) {
    size_t number;
    int code = find_state(self, name, &number);
    const info *what = &state_infos[number];
    if (code != N(OK)) return code;
    if (!out) return fail(N(ERROR_ARGUMENT), "there is no place for %s", name);
    code = check_value("state", what, out, 1);
    if (code != N(OK)) return code;
    pthread_rwlock_rdlock(&self->turn);
    if (!self->is_there[number]) {
        code = fail(N(ERROR_STATE), "no call has set the state %s yet", name);
    } else if (what->is_number) {
        give_number(what, self->cells[number], out);
    } else {
        copy_array(what, out->data, out->strides, self->cells[number].pointer, NULL);
    }
    pthread_rwlock_unlock(&self->turn);
    return code;
}

/* The memory that a tensor of the state is written to; NULL if there is none. */
static void *state_memory(instance *self, size_t number) {
    if (states[number].changes) return (void *)self->cells[number].pointer;
    if (!self->own[number]) self->own[number] = take_memory(bytes_of(&state_infos[number]));
    return self->own[number];
}

int N(set_state)(instance *self, const char *name, const value *given) {
    size_t number;
    int code = find_state(self, name, &number);
    const info *what = &state_infos[number];
    if (code != N(OK)) return code;
    if (!given) return fail(N(ERROR_ARGUMENT), "there is no value for %s", name);
    code = check_value("state", what, given, 0);
    if (code != N(OK)) return code;
    pthread_rwlock_wrlock(&self->turn);
    if (what->is_number) {
        self->cells[number] = number_of(what, given);
    } else {
        void *memory = state_memory(self, number);
        if (memory) {
            copy_array(what, memory, NULL, given->data, given->strides);
            self->cells[number].pointer = memory;
        } else {
            code = fail(N(ERROR_MEMORY), "there is no memory for the state %s", name);
        }
    }
    if (code == N(OK)) self->is_there[number] = 1;
    pthread_rwlock_unlock(&self->turn);
    return code;
}

/* What there is */

size_t N(input_count)(void) { return INPUTS; }
size_t N(output_count)(void) { return OUTPUTS; }
size_t N(state_count)(void) { return STATES; }
const info *N(input_info)(size_t index) { return index < INPUTS ? &inputs[index] : NULL; }
const info *N(output_info)(size_t index) { return index < OUTPUTS ? &outputs[index] : NULL; }
const info *N(state_info)(size_t index) { return index < STATES ? &state_infos[index] : NULL; }
const char *N(version)(void) { return VERSION; }
const char *N(level)(const instance *self) { return self ? self->level->name : ""; }
int32_t N(threads)(const instance *self) { return self ? (int32_t)self->threads : 0; }
