/* A function that tracejit has compiled, as a library of C: instances, arguments, state, errors.

   "tables.h" is written at export. It says what there is (infos of inputs, outputs and state, where in a call's frame each of them
   is, the machine code of each level of instructions) and defines N(name), the public name. docs/artifact.md tells the rest. */

#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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
    size_t found;  /* the word of the number, or of the address of the elements, in row-major order */
    size_t wanted; /* the word for the address at which the caller wants them; 0 where machine code cannot write there */
};

struct state {
    size_t cell; /* the word of the frame */
    int changes;
    size_t there; /* the word that tells whether it is there, for what is not before the first call; else 0 */
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

#include "arrays.h"
#include "processor.h"

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

/* Arguments and results */

static int check_input(size_t number, const value *given) {
    const info *what = &inputs[number];
    int code = check_value("argument", what, given, what->is_written && !what->is_number);
    if (code != N(OK) || !what->is_written) return code;
    if (!is_dense(what, given->strides) || !is_aligned(what, given->data))
        return fail(N(ERROR_ARGUMENT), "argument %s is written by the call: its elements have to lie in order, and aligned",
                    what->name);
    return N(OK);
}

/* Memory that is written belongs to nothing else. */
static int check_apart(const value *given, const value *results) {
    const char *low[INPUTS + OUTPUTS + 1], *high[INPUTS + OUTPUTS + 1];
    for (size_t number = 0; number < INPUTS; number++) reach(&inputs[number], &given[number], &low[number], &high[number]);
    for (size_t number = 0; number < OUTPUTS; number++)
        reach(&outputs[number], &results[number], &low[INPUTS + number], &high[INPUTS + number]);
    for (size_t one = 0; one < INPUTS + OUTPUTS; one++) {
        const info *what = one < INPUTS ? &inputs[one] : &outputs[one - INPUTS];
        if (one < INPUTS && !what->is_written) continue;
        for (size_t other = 0; other < INPUTS + OUTPUTS; other++) {
            if (other == one || high[one] <= low[other] || high[other] <= low[one]) continue;
            return fail(N(ERROR_ARGUMENT), "%s is written, and shares memory with %s", what->name,
                        other < INPUTS ? inputs[other].name : outputs[other - INPUTS].name);
        }
    }
    return N(OK);
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
        self->is_there[number] = !state->there;
        if (state_infos[number].is_number) {
            self->cells[number] = state->number;
            continue;
        }
        self->cells[number].pointer = CONSTANTS + state->content;
        if (!state->changes) continue;
        if (!state->there) memcpy((void *)words[state->cell].pointer, CONSTANTS + state->content, bytes_of(&state_infos[number]));
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

/* Has a result be computed where the caller wants it, where that is possible. */
static void want(size_t number, word *words, const value *result) {
    const size_t wanted = output_places[number].wanted;
    if (!wanted) return;
    const int fits = is_dense(&outputs[number], result->strides) && (uintptr_t)result->data % LINE == 0;
    words[wanted].pointer = fits ? result->data : NULL;
}

static void unpack(const word *words, value *results) {
    for (size_t number = 0; number < OUTPUTS; number++) {
        const info *what = &outputs[number];
        const word found = words[output_places[number].found];
        if (what->is_number)
            give_number(what, found, &results[number]);
        else if (found.pointer != results[number].data)
            copy_array(what, results[number].data, results[number].strides, found.pointer, NULL);
    }
}

static int call(instance *self, word *words, const word *ready, value *results) {
    int64_t status;
    for (size_t number = 0; number < INPUTS; number++) words[input_cells[number]] = ready[number];
    for (size_t number = 0; number < STATES; number++) {
        words[states[number].cell] = self->cells[number];
        if (states[number].there) words[states[number].there].integer = self->is_there[number];
    }
    for (size_t number = 0; number < OUTPUTS; number++) want(number, words, &results[number]);
    status = self->level->call(words);
    if (status && failures[status - 1].code != N(ERROR_RAISED))
        return fail(failures[status - 1].code, "%s", failures[status - 1].text);
    if (CHANGES) {
        for (size_t number = 0; number < STATES; number++) {
            self->cells[number] = words[states[number].cell];
            if (states[number].there) self->is_there[number] = (int)words[states[number].there].integer;
        }
    }
    if (status) return fail(failures[status - 1].code, "%s", failures[status - 1].text);
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
