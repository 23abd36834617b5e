// CUDA C on this processor: put ahead of an unchanged kernel text, so that g++ compiles its __global__ functions. Threads, barriers
// and warp operations are the scheduler's (scheduler.c); only what the emitted texts use is here.
#ifndef EMULATED
#define EMULATED 1

#define __global__ __attribute__((visibility("default")))
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) __attribute__((aligned(bytes)))
// Static storage in a block, and allowed after `extern`: both kinds of declarations compile as they are.
#define __shared__ thread_local

struct emulated_index { unsigned x, y, z; };

extern "C" {
// What a thread knows of itself.
struct emulated_thread {
  emulated_index thread, block, block_extent, grid_extent;
  unsigned lane, warp, number;
};
extern __thread emulated_thread *emulated_current __attribute__((tls_model("initial-exec")));

void emulated_barrier(void);

// Waits until every living lane of `mask` has come here with the same mask and function. The last one calls the function once with
// each lane's argument (null for a lane that takes no part), which does the work of the whole warp.
typedef void (*emulated_warp_function)(void **arguments, unsigned lanes);
void emulated_warp(unsigned mask, void *argument, emulated_warp_function function);

struct emulated_kernel {
  void (*thread)(const void *parameters);
  void (*block)(const void *parameters, emulated_thread *thread);  // all threads in turn, of a kernel without barriers
  char *(*shared)(void);  // dynamic shared memory, if it has any
  unsigned parameter_bytes;
  int meets;  // whether it has barriers or warp operations
};

float sinf(float), cosf(float), tanf(float), fmodf(float, float);
double sin(double), cos(double), tan(double), fmod(double, double);
}

#define threadIdx (emulated_current->thread)
#define blockIdx (emulated_current->block)
#define blockDim (emulated_current->block_extent)
#define gridDim (emulated_current->grid_extent)

struct __align__(8) int2 { int x, y; };
struct __align__(16) int4 { int x, y, z, w; };

template <class T> static inline void store_global(T *to, T value) { *to = value; }

// bits and arithmetic

template <class To, class From> static inline To emulated_bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "bits of one size");
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}
static inline int __float_as_int(float x) { return emulated_bits<int>(x); }
static inline float __int_as_float(int x) { return emulated_bits<float>(x); }
static inline long long __double_as_longlong(double x) { return emulated_bits<long long>(x); }
static inline double __longlong_as_double(long long x) { return emulated_bits<double>(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline float half_to_float(short x) { return (float)emulated_bits<_Float16>(x); }
static inline short float_to_half(float x) { return emulated_bits<short>((_Float16)x); }
static inline short float_to_bfloat(float x) {
  unsigned bits = emulated_bits<unsigned>(x);
  return x != x ? 0x7fff : (short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#define EMULATED_BUILTIN(name) \
  static inline float name##f(float x) { return __builtin_##name##f(x); } \
  static inline double name(double x) { return __builtin_##name(x); }
EMULATED_BUILTIN(fabs)
EMULATED_BUILTIN(sqrt)
EMULATED_BUILTIN(floor)
EMULATED_BUILTIN(ceil)
EMULATED_BUILTIN(trunc)
EMULATED_BUILTIN(rint)
static inline float fmaf(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
static inline float copysignf(float a, float b) { return __builtin_copysignf(a, b); }
static inline double copysign(double a, double b) { return __builtin_copysign(a, b); }

// barriers and warp operations

static inline void __syncthreads() { emulated_barrier(); }
static void emulated_nothing(void **, unsigned) {}
static inline void __syncwarp(unsigned mask = 0xffffffffu) {
  char argument;
  emulated_warp(mask, &argument, emulated_nothing);
}

template <class T> struct emulated_shuffle { T value, result; int source; };

template <class T> static void emulated_shuffle_warp(void **arguments, unsigned lanes) {
  for (int lane = 0; lane < 32; lane++) {
    if (!(lanes >> lane & 1)) continue;
    auto *own = (emulated_shuffle<T> *)arguments[lane];
    if (lanes >> own->source & 1) own->result = ((emulated_shuffle<T> *)arguments[own->source])->value;
    else __builtin_memset((void *)&own->result, 0xff, sizeof(T));  // undefined on a GPU
  }
}
template <class T> static inline T emulated_from(unsigned mask, T value, int source) {
  emulated_shuffle<T> own = {value, value, source};
  emulated_warp(mask, &own, emulated_shuffle_warp<T>);
  return own.result;
}
template <class T> static inline T __shfl_sync(unsigned mask, T value, int source) {
  return emulated_from(mask, value, source & 31);
}
template <class T> static inline T __shfl_down_sync(unsigned mask, T value, unsigned distance) {
  int lane = (int)emulated_current->lane, source = lane + (int)distance;
  return emulated_from(mask, value, source > 31 ? lane : source);
}

struct emulated_vote { int predicate; unsigned result; };

static void emulated_vote_warp(void **arguments, unsigned lanes) {
  unsigned result = 0;
  for (int lane = 0; lane < 32; lane++)
    if (lanes >> lane & 1 && ((emulated_vote *)arguments[lane])->predicate) result |= 1u << lane;
  for (int lane = 0; lane < 32; lane++)
    if (lanes >> lane & 1) ((emulated_vote *)arguments[lane])->result = result;
}
static inline unsigned __ballot_sync(unsigned mask, int predicate) {
  emulated_vote own = {predicate, 0};
  emulated_warp(mask, &own, emulated_vote_warp);
  return own.result;
}

// copies that go on meanwhile: each lands when its group is waited for, and not before, so that a missing wait shows

struct emulated_copy { void *to; const void *from; unsigned bytes, group; };
struct emulated_copies { unsigned count, groups; emulated_copy copies[128]; };
static emulated_copies emulated_pending[1024];

template <class T> static inline void copy_ahead(T *to, const T *from) {
  emulated_copies &own = emulated_pending[emulated_current->number];
  if (own.count == 128) __builtin_trap();
  own.copies[own.count++] = {to, from, sizeof(T), own.groups};
}
static inline void end_of_group() { emulated_pending[emulated_current->number].groups++; }
template <int PENDING> static inline void await_groups() {
  emulated_copies &own = emulated_pending[emulated_current->number];
  unsigned kept = 0;
  for (unsigned n = 0; n < own.count; n++) {
    const emulated_copy &copy = own.copies[n];
    if (copy.group + PENDING < own.groups) __builtin_memcpy(copy.to, copy.from, copy.bytes);
    else own.copies[kept++] = copy;
  }
  own.count = kept;
}

// what is appended to a text: its kernel for the scheduler; and, for one that asks for it, dynamic shared memory (as much as sm_90 has)

#define EMULATED_SHARED thread_local __align__(1024) char shared[232448]; \
  static char *emulated_shared() { return shared; }
#define EMULATED_KERNEL(name, shared, meets) \
  static void emulated_thread_##name(const void *parameters) { name(*(const Segments *)parameters); } \
  static void emulated_block_##name(const void *parameters, emulated_thread *own) { \
    own->number = 0; \
    for (own->thread.y = 0; own->thread.y < own->block_extent.y; own->thread.y++) \
      for (own->thread.x = 0; own->thread.x < own->block_extent.x; own->thread.x++, own->number++) { \
        own->lane = own->number % 32, own->warp = own->number / 32; \
        name(*(const Segments *)parameters); \
      } \
  } \
  extern "C" __attribute__((visibility("default"))) const emulated_kernel emulated_kernel_##name = { \
    emulated_thread_##name, emulated_block_##name, shared, sizeof(Segments), meets};
#endif
