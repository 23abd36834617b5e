/* A function that tracejit has compiled, as a library of C: instances, arguments, state, errors.

   "names.h" and "tables.h" are written at export. The former defines N(name), the public name, and how many there are of what; the
   latter says what there is: infos of inputs, outputs and state; of each combination of the sizes that calls choose, or of the only
   one, where in a call's frame each of them is, and the machine code of each level of instructions. docs/artifact.md tells the
   rest. */

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
    void (*run)(void);
};

/* The machine code of one level for one combination of sizes. */
struct code {
    int64_t (*call)(word *frame);
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
    int changes;
    int is_there;    /* before the first call */
    int64_t content; /* of a tensor: where in the constants it is at first */
    word number;
};

struct held {
    size_t cell;  /* the word of the frame for a piece of state */
    size_t there; /* the word that tells whether it is there, for what is not before the first call; else 0 */
};

/* What a call can fail for: a code, and which parts its text has, from which on and how many. */
struct failure {
    int code;
    size_t first, count;
};

/* A size that each call chooses, and an axis of an argument that has it. */
struct chosen {
    size_t size, input;
    int axis;
};

#include "names.h"

typedef N(value) value;
typedef N(info) info;
typedef N(instance) instance;

#include "messages.h"

/* All that depends on the sizes. */
struct combination {
    const int64_t *sizes;
    const info *inputs, *outputs;
    const size_t *input_cells;
    const struct result *output_places;
    const struct held *held;
    const struct area *areas;
    size_t area_count, words, workspace; /* `workspace`: where it begins, in bytes */
    const struct failure *failures;
    const struct part *parts;
    const struct code *codes; /* of each level */
};

#include "tables.h"

#include "arrays.h"
#include "processor.h"

struct frame {
    struct frame *next;
    word *words;
};

struct N(instance) {
    pthread_rwlock_t turn; /* held for reading by calls that change nothing, for writing by all others */
    pthread_mutex_t guard; /* of `idle` */
    struct frame *idle[COMBINATIONS];
    size_t level;
    int64_t threads;
    word cells[STATES + 1];
    void *own[STATES + 1]; /* memory of tensors that calls change, and of others that were set */
    int is_there[STATES + 1];
};

/* Sizes */

/* Finds what there is for the sizes that the arguments have, of which nothing but dtypes and shapes is looked at. */
static int find_combination(const value *given, const struct combination **found) {
    int64_t sizes[SIZES + 1] = {0};
    const char *from[SIZES + 1] = {0};
    for (size_t number = 0; number < INPUTS; number++)
        if (!is_same(&inputs[number], &given[number])) return refuse("argument", &inputs[number], &given[number]);
    for (size_t place = 0; place < CHOSEN; place++) {
        const struct chosen *each = &chosen[place];
        const char *name = inputs[each->input].name;
        const int64_t size = given[each->input].shape[each->axis];
        if (from[each->size] && sizes[each->size] != size)
            return fail(N(ERROR_ARGUMENT), "%s is %lld by argument %s, and %lld by argument %s", size_names[each->size],
                        (long long)sizes[each->size], from[each->size], (long long)size, name);
        sizes[each->size] = size;
        from[each->size] = name;
    }
    for (size_t number = 0; number < COMBINATIONS; number++) {
        *found = &combinations[number];
        if (memcmp(sizes, (*found)->sizes, SIZES * sizeof *sizes) == 0) return N(OK);
    }
    return refuse_sizes(sizes);
}

/* Arguments and results */

static int check_input(const info *what, const value *given) {
    int code = check_value("argument", what, given, what->is_written && !what->is_number);
    if (code != N(OK) || !what->is_written) return code;
    if (!is_dense(what, given->strides) || !is_aligned(what, given->data))
        return fail(N(ERROR_ARGUMENT), "argument %s is written by the call: its elements have to lie in order, and aligned",
                    what->name);
    return N(OK);
}

/* Memory that is written belongs to nothing else. */
static int check_apart(const struct combination *of, const value *given, const value *results) {
    const char *low[INPUTS + OUTPUTS + 1], *high[INPUTS + OUTPUTS + 1];
    for (size_t number = 0; number < INPUTS; number++)
        reach(&of->inputs[number], &given[number], &low[number], &high[number]);
    for (size_t number = 0; number < OUTPUTS; number++)
        reach(&of->outputs[number], &results[number], &low[INPUTS + number], &high[INPUTS + number]);
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

static struct frame *new_frame(const instance *self, const struct combination *of) {
    const struct code *code = &of->codes[self->level];
    struct frame *frame = malloc(sizeof *frame);
    word *words = take_memory(of->workspace + code->workspace + (size_t)self->threads * code->scratch);
    if (!frame || !words) {
        free(frame);
        free(words);
        return NULL;
    }
    memset(words, 0, of->words * sizeof *words);
    words[0].integer = self->threads;
    words[1].code = levels[self->level].run;
    words[2].pointer = CONSTANTS;
    for (size_t number = 0; number < PROGRAMS; number++) words[3 + number].pointer = code->tables[number];
    for (size_t number = 0; number < of->area_count; number++)
        words[of->areas[number].word].pointer = (char *)words + of->areas[number].offset;
    frame->words = words;
    frame->next = NULL;
    return frame;
}

static struct frame *take_frame(instance *self, const struct combination *of) {
    struct frame **idle = &self->idle[of - combinations], *frame;
    pthread_mutex_lock(&self->guard);
    frame = *idle;
    if (frame) *idle = frame->next;
    pthread_mutex_unlock(&self->guard);
    return frame ? frame : new_frame(self, of);
}

static void give_frame(instance *self, const struct combination *of, struct frame *frame) {
    struct frame **idle = &self->idle[of - combinations];
    pthread_mutex_lock(&self->guard);
    frame->next = *idle;
    *idle = frame;
    pthread_mutex_unlock(&self->guard);
}

/* Instances */

/* Memory of tensors that calls change trades places with that of frames, so that it may be in any of them later. */
static int begin_state(instance *self) {
    for (size_t number = 0; number < STATES; number++) {
        const struct state *state = &states[number];
        const size_t bytes = bytes_of(&state_infos[number]);
        self->is_there[number] = state->is_there;
        if (state_infos[number].is_number) {
            self->cells[number] = state->number;
            continue;
        }
        self->cells[number].pointer = CONSTANTS + state->content;
        if (!state->changes) continue;
        self->own[number] = take_memory(bytes);
        if (!self->own[number]) return fail(N(ERROR_MEMORY), "there is no memory for the state %s", state_infos[number].name);
        if (state->is_there) memcpy(self->own[number], CONSTANTS + state->content, bytes);
        self->cells[number].pointer = self->own[number];
    }
    return N(OK);
}

int N(create)(instance **out, const N(options) *options) {
    size_t level;
    instance *self;
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
    pthread_rwlock_init(&self->turn, NULL);
    pthread_mutex_init(&self->guard, NULL);
    code = begin_state(self);
    if (code != N(OK)) {
        N(destroy)(self);
        return code;
    }
    offer_threads((int32_t)self->threads);
    *out = self;
    return N(OK);
}

void N(destroy)(instance *self) {
    if (!self) return;
    for (size_t number = 0; number < COMBINATIONS; number++) {
        for (struct frame *frame = self->idle[number], *next; frame; frame = next) {
            next = frame->next;
            free(frame->words);
            free(frame);
        }
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
static int pack(const struct combination *of, const value *given, word *ready, void **packed) {
    for (size_t number = 0; number < INPUTS; number++) {
        const info *what = &of->inputs[number];
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
static void want(const struct combination *of, size_t number, word *words, const value *result) {
    const size_t wanted = of->output_places[number].wanted;
    if (!wanted) return;
    const int fits = is_dense(&of->outputs[number], result->strides) && (uintptr_t)result->data % LINE == 0;
    words[wanted].pointer = fits ? result->data : NULL;
}

static void unpack(const struct combination *of, const word *words, value *results) {
    for (size_t number = 0; number < OUTPUTS; number++) {
        const info *what = &of->outputs[number];
        const word found = words[of->output_places[number].found];
        if (what->is_number)
            give_number(what, found, &results[number]);
        else if (found.pointer != results[number].data)
            copy_array(what, results[number].data, results[number].strides, found.pointer, NULL);
    }
}

/* Says what the status of a call's code tells. */
static int fail_for(const struct combination *of, int64_t status, const word *words) {
    const struct failure *failure = &of->failures[status - 1];
    say(&of->parts[failure->first], failure->count, words);
    return failure->code;
}

static int call(instance *self, const struct combination *of, word *words, const word *ready, value *results) {
    int64_t status;
    const struct held *held = of->held;
    for (size_t number = 0; number < INPUTS; number++) words[of->input_cells[number]] = ready[number];
    for (size_t number = 0; number < STATES; number++) {
        words[held[number].cell] = self->cells[number];
        if (held[number].there) words[held[number].there].integer = self->is_there[number];
    }
    for (size_t number = 0; number < OUTPUTS; number++) want(of, number, words, &results[number]);
    status = of->codes[self->level].call(words);
    if (status && of->failures[status - 1].code != N(ERROR_RAISED)) return fail_for(of, status, words);
    if (CHANGES) {
        for (size_t number = 0; number < STATES; number++) {
            self->cells[number] = words[held[number].cell];
            if (held[number].there) self->is_there[number] = (int)words[held[number].there].integer;
        }
    }
    if (status) return fail_for(of, status, words);
    unpack(of, words, results);
    return N(OK);
}

static int take_turn(instance *self, const struct combination *of, const word *ready, value *results) {
    struct frame *frame;
    int code;
    if (CHANGES)
        pthread_rwlock_wrlock(&self->turn);
    else
        pthread_rwlock_rdlock(&self->turn);
    frame = take_frame(self, of);
    if (frame) {
        code = call(self, of, frame->words, ready, results);
        give_frame(self, of, frame);
    } else {
        code = fail(N(ERROR_MEMORY), "there is no memory for a call");
    }
    pthread_rwlock_unlock(&self->turn);
    return code;
}

int N(run)(instance *self, const value *given, size_t given_count, value *results, size_t result_count) {
    word ready[INPUTS + 1];
    void *packed[INPUTS + 1] = {0};
    const struct combination *of;
    int code;
    if (!self || (!given && INPUTS) || (!results && OUTPUTS))
        return fail(N(ERROR_ARGUMENT), "there is no %s", !self ? "instance" : !given && INPUTS ? "argument" : "place for results");
    if (given_count != INPUTS || result_count != OUTPUTS)
        return fail(N(ERROR_ARGUMENT), "%d arguments and %d results are wanted, and %zu and %zu given", INPUTS, OUTPUTS,
                    given_count, result_count);
    code = find_combination(given, &of);
    for (size_t number = 0; number < INPUTS && code == N(OK); number++) code = check_input(&of->inputs[number], &given[number]);
    for (size_t number = 0; number < OUTPUTS && code == N(OK); number++)
        code = check_value("result", &of->outputs[number], &results[number], 1);
    if (code == N(OK)) code = check_apart(of, given, results);
    if (code == N(OK)) code = pack(of, given, ready, packed);
    if (code == N(OK)) code = take_turn(self, of, ready, results);
    for (size_t number = 0; number < INPUTS; number++) free(packed[number]);
    return code;
}

int N(output_shape)(size_t index, const value *given, size_t given_count, int64_t *shape) {
    const struct combination *of;
    int code;
    if (index >= OUTPUTS) return fail(N(ERROR_ARGUMENT), "there are %d results, and none of number %zu", OUTPUTS, index);
    if ((!given && INPUTS) || given_count != INPUTS)
        return fail(N(ERROR_ARGUMENT), "%d arguments are wanted, and %zu given", INPUTS, given ? given_count : 0);
    code = find_combination(given, &of);
    if (code != N(OK)) return code;
    if (!shape && of->outputs[index].ndim) return fail(N(ERROR_ARGUMENT), "there is no place for a shape");
    for (int axis = 0; axis < of->outputs[index].ndim; axis++) shape[axis] = of->outputs[index].shape[axis];
    return N(OK);
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
    if (states[number].changes) return (void *)self->cells[number].pointer; /* its own, or of a frame */
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
size_t N(size_count)(void) { return SIZES; }
const char *N(size_name)(size_t index) { return index < SIZES ? size_names[index] : NULL; }
size_t N(combination_count)(void) { return COMBINATIONS; }
const int64_t *N(combination)(size_t index) { return index < COMBINATIONS ? combinations[index].sizes : NULL; }
const char *N(version)(void) { return VERSION; }
const char *N(level)(const instance *self) { return self ? levels[self->level].name : ""; }
int32_t N(threads)(const instance *self) { return self ? (int32_t)self->threads : 0; }
