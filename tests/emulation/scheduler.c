// Runs the blocks of a kernel on this processor: a fiber for each CUDA thread, one block after another, in an order of threads that
// the caller chooses. A missing barrier gives other results in another order; a wrong address hits a guard page and names its thread;
// a thread that waits for ever is reported.
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef struct { unsigned x, y, z; } index3;
typedef struct {
  index3 thread, block, block_extent, grid_extent;
  unsigned lane, warp, number;
} thread_info;
typedef void (*warp_function)(void **arguments, unsigned lanes);
typedef struct {
  void (*thread)(const void *parameters);
  void (*block)(const void *parameters, thread_info *thread);
  char *(*shared)(void);
  unsigned parameter_bytes;
  int meets;
} kernel_info;

enum { STACK = 64 << 10, MOST_THREADS = 1024, SHARED = 232448, FENCE = 256, PATTERN = 0xa5 };
typedef enum { READY, AT_BARRIER, AT_WARP, DONE } state_kind;

typedef struct {
  void *stack;
  thread_info info;
  state_kind state;
  unsigned mask;  // of the warp operation it waits in
  void *argument;
  warp_function function;
} fiber;
typedef struct { unsigned alive, waiting; } warp_state;

__thread thread_info *emulated_current __attribute__((tls_model("initial-exec")));

static struct {
  void *scheduler;  // its stack pointer while a fiber runs
  char *stacks;
  fiber fibers[MOST_THREADS];
  warp_state warps[MOST_THREADS / 32];
  unsigned order[MOST_THREADS];
  unsigned count, warp_count, alive, at_barrier, prepared;
  const kernel_info *kernel;
  const void *parameters;
  fiber *current;
  sigjmp_buf escape;
  int running;
  char *message;
  size_t message_bytes;
} world;

// fibers

void emulated_switch(void **save, void *to);
#if defined(__x86_64__)
__asm__(
    ".text\n.globl emulated_switch\n.type emulated_switch,@function\nemulated_switch:\n"
    " pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
    " movq %rsp,(%rdi)\n movq %rsi,%rsp\n"
    " popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n"
    ".size emulated_switch,.-emulated_switch\n");
enum { SAVED = 6 };  // registers below the return address
#else
#error "the emulation switches fibers on x86-64 alone"
#endif

static void fiber_main(void) {
  for (;;) {  // once for each block
    world.kernel->thread(world.parameters);
    fiber *own = world.current;
    own->state = DONE;
    world.alive--;
    world.warps[own->info.warp].alive &= ~(1u << own->info.lane);
    emulated_switch(&own->stack, world.scheduler);
  }
}

static void prepare(unsigned number) {
  // Stacks are 64 KB apart: their tops are shifted, or the hot lines of all would share a few cache sets.
  uintptr_t top = (uintptr_t)world.stacks + (uintptr_t)(number + 1) * STACK - number * 832 % 8192;
  void **stack = (void **)(top & ~(uintptr_t)63);
  *--stack = 0;  // fiber_main never returns; this aligns its frame
  *--stack = (void *)fiber_main;
  for (int n = 0; n < SAVED; n++) *--stack = 0;
  world.fibers[number].stack = stack;
}

static void wait_as(state_kind state) {
  world.current->state = state;
  emulated_switch(&world.current->stack, world.scheduler);
}

static void resume(fiber *other) {
  world.current = other;
  emulated_current = &other->info;
  emulated_switch(&world.scheduler, other->stack);
}

static void fail(const char *what) {
  const thread_info *own = emulated_current;
  snprintf(world.message, world.message_bytes, "%s: block %u, thread (%u, %u)", what, own->block.x, own->thread.x, own->thread.y);
  siglongjmp(world.escape, 1);
}

// what threads call

void emulated_barrier(void) {
  if (!world.kernel->meets) fail("a barrier in a kernel that was said to have none");
  world.at_barrier++;
  wait_as(AT_BARRIER);
}

// Completes every group of waiting lanes that all its living lanes have joined; whether there was one.
static int complete(unsigned number) {
  warp_state *warp = &world.warps[number];
  fiber *lanes = &world.fibers[number * 32];
  int completed = 0;
  for (unsigned left = warp->waiting; left;) {
    fiber *first = &lanes[__builtin_ctz(left)];
    unsigned group = 0;
    for (unsigned n = 0; n < 32; n++)
      if ((warp->waiting & first->mask) >> n & 1 && lanes[n].mask == first->mask && lanes[n].function == first->function) group |= 1u << n;
    left &= ~group;
    if (group != (first->mask & warp->alive)) continue;
    void *arguments[32];
    for (unsigned n = 0; n < 32; n++) arguments[n] = group >> n & 1 ? lanes[n].argument : 0;
    first->function(arguments, group);
    warp->waiting &= ~group;
    for (unsigned n = 0; n < 32; n++) if (group >> n & 1) lanes[n].state = READY;
    completed = 1;
  }
  return completed;
}

void emulated_warp(unsigned mask, void *argument, warp_function function) {
  fiber *own = world.current;
  if (!world.kernel->meets) fail("a warp operation in a kernel that was said to have none");
  if (!(mask >> own->info.lane & 1)) fail("a warp operation whose mask leaves out its lane");
  own->mask = mask, own->argument = argument, own->function = function;
  world.warps[own->info.warp].waiting |= 1u << own->info.lane;
  wait_as(AT_WARP);
}

// blocks

static int run_ready(unsigned warp) {
  int ran = 0;
  for (unsigned n = warp * 32; n < (warp + 1) * 32 && n < world.count; n++) {
    fiber *next = &world.fibers[world.order[n]];
    if (next->state != READY) continue;
    resume(next);
    ran = 1;
  }
  unsigned number = world.order[warp * 32] / 32;
  return (world.warps[number].waiting && complete(number)) | ran;
}

static int stuck(unsigned block) {
  unsigned n = 0;
  while (world.fibers[n].state == DONE) n++;
  const char *where = world.fibers[n].state == AT_WARP ? "warp operation" : "barrier";
  snprintf(world.message, world.message_bytes,
           "deadlock: block %u: %u of %u living threads are at __syncthreads, and thread %u waits at a %s to which others never come",
           block, world.at_barrier, world.alive, n, where);
  return -1;
}

static int run_block(index3 block) {
  world.alive = world.count;
  world.at_barrier = 0;
  for (unsigned n = 0; n < world.warp_count; n++) {
    unsigned lanes = world.count - n * 32;
    world.warps[n] = (warp_state){lanes >= 32 ? 0xffffffffu : (1u << lanes) - 1, 0};
  }
  for (unsigned n = 0; n < world.count; n++) {
    world.fibers[n].info.block = block;
    world.fibers[n].state = READY;
  }
  while (world.alive) {
    int ran = 0;
    for (unsigned warp = 0; warp < world.warp_count; warp++)
      while (run_ready(warp)) ran = 1;
    if (world.alive && world.at_barrier == world.alive) {
      for (unsigned n = 0; n < world.count; n++) if (world.fibers[n].state == AT_BARRIER) world.fibers[n].state = READY;
      world.at_barrier = 0;
    } else if (!ran && world.alive) return stuck(block.x);
  }
  return 0;
}

static unsigned random_below(uint64_t *state, unsigned limit) {
  *state = *state * 6364136223846793005ull + 1442695040888963407ull;
  return (unsigned)(*state >> 33) % limit;
}

static void shuffle(unsigned *values, unsigned count, uint64_t *state) {
  for (unsigned n = count; n > 1; n--) {
    unsigned other = random_below(state, n), kept = values[n - 1];
    values[n - 1] = values[other], values[other] = kept;
  }
}

// Warps one after another and lanes within them: ascending (0), descending (1), or by a seed. A warp that is not full stays last.
static void set_order(int order) {
  uint64_t state = 12345 + (uint64_t)order;
  unsigned warps[MOST_THREADS / 32], whole = world.count / 32;
  for (unsigned n = 0; n < world.warp_count; n++) warps[n] = order == 1 && n < whole ? whole - 1 - n : n;
  if (order > 1) shuffle(warps, whole, &state);
  for (unsigned n = 0; n < world.warp_count; n++) {
    unsigned first = warps[n] * 32, count = world.count - first < 32 ? world.count - first : 32;
    for (unsigned lane = 0; lane < count; lane++) world.order[n * 32 + lane] = first + (order == 1 ? count - 1 - lane : lane);
    if (order > 1) shuffle(&world.order[n * 32], count, &state);
  }
}

static void set_threads(const thread_info *like) {
  for (unsigned n = 0; n < world.count; n++) {
    thread_info *own = &world.fibers[n].info;
    *own = *like;
    own->number = n, own->lane = n % 32, own->warp = n / 32;
    own->thread = (index3){n % like->block_extent.x, n / like->block_extent.x, 0};
    if (n >= world.prepared) prepare(n);
  }
  if (world.count > world.prepared) world.prepared = world.count;
}

static void on_fault(int signal_number, siginfo_t *info, void *context) {
  (void)context;
  if (!world.running) {
    signal(signal_number, SIG_DFL);
    return;
  }
  char what[64];
  snprintf(what, sizeof what, signal_number == SIGFPE ? "division by zero" : "invalid address %p", info->si_addr);
  fail(what);
}

// Shared memory begins as NaNs, and what lies behind it is looked at after the block.
static void fill_shared(char *shared, unsigned bytes) {
  memset(shared, 0xff, bytes);
  if (bytes + FENCE <= SHARED) memset(shared + bytes, PATTERN, FENCE);
}

static int is_overrun(const char *shared, unsigned bytes) {
  for (unsigned n = 0; bytes + FENCE <= SHARED && n < FENCE; n++)
    if ((unsigned char)shared[bytes + n] != PATTERN) return 1;
  return 0;
}

static int run_blocks(unsigned grid, thread_info *one, unsigned shared_bytes, int order) {
  char *shared = world.kernel->shared ? world.kernel->shared() : 0;
  for (unsigned n = 0; n < grid; n++) {
    index3 block = {order ? grid - 1 - n : n, 0, 0};
    if (shared) fill_shared(shared, shared_bytes);
    if (!world.kernel->meets) {
      one->block = block;
      emulated_current = one;
      world.kernel->block(world.parameters, one);
    } else if (run_block(block)) return 1;
    if (shared && is_overrun(shared, shared_bytes)) {
      snprintf(world.message, world.message_bytes, "block %u wrote past its %u bytes of dynamic shared memory", block.x, shared_bytes);
      return 1;
    }
  }
  return 0;
}

// Runs a kernel; 0, or 1 with a message. Of a process, one at a time.
int emulated_launch(const kernel_info *kernel, unsigned grid, unsigned team, unsigned teams, unsigned shared_bytes,
                    const void *parameters, int order, char *message, size_t message_bytes) {
  static char alternate[1 << 15];
  static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE};
  if (!grid || !team || !teams || team * teams > MOST_THREADS || shared_bytes > SHARED) {
    snprintf(message, message_bytes, "invalid launch: %u blocks of %u x %u threads, %u bytes of shared memory", grid, team, teams, shared_bytes);
    return 1;
  }
  if (!world.stacks)
    world.stacks = mmap(0, (size_t)MOST_THREADS * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  world.kernel = kernel, world.parameters = parameters;
  world.message = message, world.message_bytes = message_bytes;
  world.count = team * teams, world.warp_count = (world.count + 31) / 32;
  thread_info one = {.block_extent = {team, teams, 1}, .grid_extent = {grid, 1, 1}};
  set_threads(&one);
  set_order(order);
  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, outer_stack;
  sigaltstack(&stack, &outer_stack);
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER}, outer[3];
  for (int n = 0; n < 3; n++) sigaction(signals[n], &action, &outer[n]);
  int failed = 1;
  world.running = 1;
  if (!sigsetjmp(world.escape, 1)) failed = run_blocks(grid, &one, shared_bytes, order);
  world.running = 0;
  if (failed) world.prepared = 0;  // fibers were left in the middle of a block
  for (int n = 0; n < 3; n++) sigaction(signals[n], &outer[n], 0);
  sigaltstack(&outer_stack, 0);
  return failed;
}
