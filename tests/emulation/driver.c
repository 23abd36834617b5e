// A libcuda.so.1 for machines without a GPU: the part of NVIDIA's driver that pycuda and tracejit call, over the emulation.
//
// A kernel's image is a library of the emulation instead of machine code of a GPU. Work is done at once, in the order in which
// it is enqueued, or as late as may be. Where the driver is strict, so is this: a context is current for one thread, a kernel is
// launched on its own device, whose memory alone it can touch, memory ends where a page begins that may not be touched, 48 KB of
// shared memory are not exceeded unasked, an error of a kernel stays, and a forked child gets nothing. What is not here is made a
// function that says "not supported" (see standin.py).
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

typedef int Status;
typedef uintptr_t Address;
enum {
  SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, INVALID_DEVICE = 101, INVALID_IMAGE = 200,
  INVALID_CONTEXT = 201, NO_BINARY_FOR_GPU = 209, PEER_UNSUPPORTED = 217, INVALID_HANDLE = 400, NOT_FOUND = 500, NOT_READY = 600,
  ILLEGAL_ADDRESS = 700, PEER_ALREADY_ENABLED = 704, LAUNCH_FAILED = 719, NOT_SUPPORTED = 801, CAPTURE_UNSUPPORTED = 900,
};
enum { MOST_DEVICES = 4, MOST_CONTEXTS = 64, PAGE = 4096, PROCESSORS = 4, COMMON_SHARED = 48 << 10, MOST_SHARED = 232448, MOST_THREADS = 1024, MOST_PARAMETERS = 4096 };

typedef struct {  // as the emulation's libraries export it
  void (*thread)(const void *), (*block)(const void *, void *);
  char *(*shared)(void);
  unsigned parameter_bytes;
  int meets;
} Kernel;
static int (*emulated_launch)(const Kernel *, unsigned grid, unsigned team, unsigned teams, unsigned shared_bytes,
                              const void *parameters, int order, char *message, size_t message_bytes);
__attribute__((constructor)) static void begin(void) {
  void *scheduler = dlopen(SCHEDULER, RTLD_NOW | RTLD_GLOBAL);  // for all: kernels refer to it by name
  emulated_launch = scheduler ? dlsym(scheduler, "emulated_launch") : 0;
}

// ---- what tests set and ask

typedef struct { long launches, graph_launches, captures, updates, copies_in, copies_out, waits, allocations, modules, peer_copies; } Counts;
enum { FAIL_INSTANTIATE = 1, FAIL_CAPTURE_INFO = 2, FAIL_UPDATE = 4 };
static Counts counts;
static size_t limit = (size_t)1 << 30;
static int order, idle, failing, busy, late, hidden, peers = 1, devices = 1;
Counts *standin_counts(void) { return &counts; }
void standin_set_limit(size_t nbytes) { limit = nbytes; }  // each device's memory
void standin_set_devices(int count) { devices = count; }   // how many there are, from now on
void standin_set_peers(int yes) { peers = yes; }           // whether they can read each other's memory
void standin_set_order(int which) { order = which; }       // of a block's threads: 0 forward, 1 backward, more: shuffled
void standin_set_idle(int yes) { idle = yes; }             // kernels do nothing, so that what the host does can be timed
void standin_set_busy(int yes) { busy = yes; }             // no event has come yet, for who asks
void standin_set_failing(int which) { failing = which; }   // what is refused from now on: a sum of FAIL_...

// ---- state

typedef struct Block { char *start, *pages; size_t nbytes, mapped; int device; struct Block *next; } Block;
typedef enum { LAUNCH, COPY, FILL, WAIT } Kind;
typedef struct { void *library; int local_bytes, device; } Module;
typedef struct Function { const Kernel *kernel; int shared_bytes, most_shared, device; char name[128]; } Function;
typedef struct Node {
  Kind kind;
  Function *function; unsigned grid[3], block[3], shared; void *parameters;
  char *target; const char *source; void *held; size_t nbytes; unsigned value; int width;
  struct Stream *other; long mark;
  struct Node *next;
} Node;
typedef struct { Node *first, *last, **end; } Graph;
typedef struct Stream { Graph *captured; int device; Node *first, **end; long enqueued, done; struct Stream *next; } Stream;
typedef struct { double milliseconds; int device; Stream *stream; long mark; } Event;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;                      // of memory
static pthread_mutex_t work = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;         // of what is enqueued and done
static Block *blocks;
static size_t used[MOST_DEVICES];
static pid_t process;
static Status fault[MOST_DEVICES];
static char message[512] = "unspecified launch failure";
static Stream default_streams[MOST_DEVICES], *streams;
static int has_peer[MOST_DEVICES][MOST_DEVICES];
static __thread int depth, stack[MOST_CONTEXTS];  // this thread's contexts: the primary ones of devices

static int device_now(void) { return stack[depth - 1]; }
static Status ready(void) {
  if (process != getpid()) return NOT_INITIALIZED;
  return depth ? fault[device_now()] : INVALID_CONTEXT;
}
#define NEEDS_CONTEXT { Status found = ready(); if (found) return found; }

void standin_recover(void) { memset(fault, 0, sizeof fault); }  // which a device never does

// ---- devices and contexts

Status cuInit(unsigned flags) {
  if (process && process != getpid()) return NOT_INITIALIZED;
  process = getpid();
  return flags ? INVALID_VALUE : SUCCESS;
}
// Asked for by NVRTC, which else calls it unseen.
Status cuGetExportTable(const void **table, const void *id) { *table = 0; return NOT_SUPPORTED; }
Status cuDriverGetVersion(int *version) { *version = 13000; return SUCCESS; }
Status cuDeviceGetCount(int *count) { *count = devices; return process == getpid() ? SUCCESS : NOT_INITIALIZED; }
Status cuDeviceGet(int *device, int index) { *device = index; return index < 0 || index >= devices ? INVALID_DEVICE : SUCCESS; }
Status cuDeviceGetName(char *name, int size, int device) { snprintf(name, size, "host emulation"); return SUCCESS; }
Status cuDeviceTotalMem_v2(size_t *nbytes, int device) { *nbytes = limit; return SUCCESS; }
Status cuDeviceComputeCapability(int *major, int *minor, int device) { *major = 9; *minor = 0; return SUCCESS; }
Status cuDeviceGetAttribute(int *value, int attribute, int device) {
  static const int known[][2] = {  // by the numbers of cuda.h
      {1, MOST_THREADS}, {2, 1024}, {3, 1024}, {4, 64}, {5, 2147483647}, {6, 65535}, {7, 65535}, {8, COMMON_SHARED}, {10, 32},
      {12, 65536}, {16, PROCESSORS}, {38, 50 << 20}, {39, 2048}, {41, 1}, {75, 9}, {76, 0}, {81, 233472}, {97, MOST_SHARED},
  };
  *value = 0;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (known[i][0] == attribute) *value = known[i][1];
  return SUCCESS;
}
Status cuDeviceGetPCIBusId(char *text, int size, int device) { snprintf(text, size, "0000:%02x:00.0", device); return SUCCESS; }
static void *context_of(int device) { return (void *)(uintptr_t)(1 + device); }
static int device_of(void *context) { return (int)(uintptr_t)context - 1; }
Status cuDevicePrimaryCtxRetain(void **context, int device) { *context = context_of(device); return process == getpid() ? SUCCESS : NOT_INITIALIZED; }
Status cuDevicePrimaryCtxRelease_v2(int device) { return SUCCESS; }
Status cuCtxPushCurrent_v2(void *context) {
  if (process != getpid()) return NOT_INITIALIZED;
  if (depth == MOST_CONTEXTS) return INVALID_VALUE;
  stack[depth++] = device_of(context);
  return SUCCESS;
}
Status cuCtxPopCurrent_v2(void **context) {
  if (!depth) return INVALID_CONTEXT;
  *context = context_of(stack[--depth]);
  return SUCCESS;
}
Status cuCtxSetCurrent(void *context) {
  if (process != getpid()) return NOT_INITIALIZED;
  depth -= depth > 0;
  return context ? cuCtxPushCurrent_v2(context) : SUCCESS;
}
Status cuCtxGetCurrent(void **context) {
  if (process != getpid()) return NOT_INITIALIZED;
  *context = depth ? context_of(device_now()) : 0;
  return SUCCESS;
}
Status cuCtxGetDevice(int *device) { NEEDS_CONTEXT *device = device_now(); return SUCCESS; }
Status cuDeviceCanAccessPeer(int *can, int device, int other) { *can = peers && device != other; return SUCCESS; }
Status cuCtxEnablePeerAccess(void *context, unsigned flags) {
  NEEDS_CONTEXT
  int *has = &has_peer[device_now()][device_of(context)];
  if (!peers || device_of(context) == device_now()) return PEER_UNSUPPORTED;
  if (*has) return PEER_ALREADY_ENABLED;
  *has = 1;
  return SUCCESS;
}
Status cuCtxGetApiVersion(void *context, unsigned *version) { *version = 13000; return SUCCESS; }

Status cuGetErrorString(Status status, const char **text) {
  static const struct { Status status; const char *text; } known[] = {
      {SUCCESS, "no error"}, {INVALID_VALUE, "invalid argument"}, {OUT_OF_MEMORY, "out of memory"},
      {NOT_INITIALIZED, "initialization error"}, {INVALID_DEVICE, "invalid device ordinal"},
      {INVALID_IMAGE, "device kernel image is invalid"}, {INVALID_CONTEXT, "invalid device context"},
      {NO_BINARY_FOR_GPU, "no kernel image is available for execution on the device"}, {NOT_FOUND, "named symbol not found"},
      {PEER_UNSUPPORTED, "peer access is not supported between these two devices"}, {INVALID_HANDLE, "invalid resource handle"},
      {ILLEGAL_ADDRESS, message}, {LAUNCH_FAILED, message}, {NOT_SUPPORTED, "operation not supported"},
      {CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing"},
  };
  *text = "unknown error";
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (known[i].status == status) *text = known[i].text;
  return SUCCESS;
}

// ---- memory: each allocation ends, to 16 bytes, where a page begins that may not be touched

Status cuMemAlloc_v2(Address *address, size_t nbytes) {
  NEEDS_CONTEXT
  if (!nbytes) return INVALID_VALUE;
  pthread_mutex_lock(&lock);
  Status status = OUT_OF_MEMORY;
  if (used[device_now()] + nbytes <= limit) {
    size_t mapped = (nbytes + PAGE - 1) / PAGE * PAGE + PAGE;
    char *pages = mmap(0, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages != MAP_FAILED) {
      mprotect(pages + mapped - PAGE, PAGE, PROT_NONE);
      Block *block = malloc(sizeof *block);
      *block = (Block){pages + mapped - PAGE - (nbytes + 15) / 16 * 16, pages, nbytes, mapped, device_now(), blocks};
      blocks = block;
      used[block->device] += nbytes;
      counts.allocations++;
      if (nbytes <= 1 << 20) memset(block->start, 0xff, nbytes);  // NaN: nobody may count on zeros
      if (hidden) mprotect(pages, mapped - PAGE, PROT_NONE);
      *address = (Address)block->start;
      status = SUCCESS;
    }
  }
  pthread_mutex_unlock(&lock);
  return status;
}
static void finish_all(int device);

Status cuMemFree_v2(Address address) {
  if (process != getpid()) return NOT_INITIALIZED;
  Status status = INVALID_VALUE;
  if (!depth) return INVALID_CONTEXT;
  finish_all(device_now());
  pthread_mutex_lock(&lock);
  for (Block **at = &blocks; *at; at = &(*at)->next)
    if ((Address)(*at)->start == address && (*at)->device == device_now()) {
      Block *block = *at;
      *at = block->next;
      munmap(block->pages, block->mapped);
      used[block->device] -= block->nbytes;
      free(block);
      status = SUCCESS;
      break;
    }
  pthread_mutex_unlock(&lock);
  return status;
}
static int owner_of(Address address, size_t nbytes) {  // the device whose memory that is; -1 if it is none's
  int found = -1;
  pthread_mutex_lock(&lock);
  for (Block *block = blocks; block && found < 0; block = block->next)
    if (address >= (Address)block->start && address + nbytes <= (Address)block->start + block->nbytes) found = block->device;
  pthread_mutex_unlock(&lock);
  return found;
}
// What can be touched: while a kernel runs its device's memory, at other times that of all, or, if it is hidden, that of none.
static void protect(int protection, int but_for) {
  pthread_mutex_lock(&lock);
  for (Block *block = blocks; block; block = block->next)
    if (block->device != but_for) mprotect(block->pages, block->mapped - PAGE, protection);
  pthread_mutex_unlock(&lock);
}
enum { NOBODY = -1, ALL = PROT_READ | PROT_WRITE };
void standin_set_hidden(int yes) {  // the host touches no memory of a device
  pthread_mutex_lock(&work);
  hidden = yes;
  protect(hidden ? PROT_NONE : ALL, NOBODY);
  pthread_mutex_unlock(&work);
}
// Page-locked memory of the host: some ranges, the oldest of which are forgotten.
static struct { Address start, end; } locked[64];
static int is_locked(Address address) {
  for (int n = 0; n < 64; n++)
    if (address >= locked[n].start && address < locked[n].end) return 1;
  return 0;
}
Status cuPointerGetAttribute(void *value, int attribute, Address address) {
  enum { MEMORY_TYPE = 2, HOST = 1, DEVICE_ORDINAL = 9 };
  if (attribute == MEMORY_TYPE && is_locked(address)) { *(unsigned *)value = HOST; return SUCCESS; }
  if (attribute != DEVICE_ORDINAL || owner_of(address, 1) < 0) return INVALID_VALUE;
  *(int *)value = owner_of(address, 1);
  return SUCCESS;
}
Status cuMemGetInfo_v2(size_t *unused, size_t *total) {
  NEEDS_CONTEXT
  *total = limit;
  *unused = limit > used[device_now()] ? limit - used[device_now()] : 0;
  return SUCCESS;
}
Status cuMemHostAlloc(void **memory, size_t nbytes, unsigned flags) {
  NEEDS_CONTEXT
  static unsigned next;
  if (posix_memalign(memory, PAGE, nbytes)) return OUT_OF_MEMORY;
  locked[next % 64].start = (Address)*memory;
  locked[next++ % 64].end = (Address)*memory + nbytes;
  return SUCCESS;
}
Status cuMemFreeHost(void *memory) {
  for (int n = 0; n < 64; n++)
    if (locked[n].start == (Address)memory) locked[n].end = 0;
  free(memory);
  return SUCCESS;
}

// ---- streams: what is enqueued on one is done at once, or captured; late streams do it when somebody waits for it

static Stream *stream_of(void *handle) {
  if ((uintptr_t)handle > 2) return handle;
  Stream *stream = &default_streams[device_now()];
  stream->device = device_now();
  return stream;
}

static Status run(const Node *node);
static void let_go(Node *node) {
  free(node->parameters);
  free(node->held);
  free(node);
}

static void finish(Stream *stream, long mark) {  // does what was enqueued up to there
  pthread_mutex_lock(&work);
  while (stream->done < mark) {
    Node *node = stream->first;
    stream->first = node->next;
    stream->done++;
    run(node);
    let_go(node);
  }
  pthread_mutex_unlock(&work);
}
static void finish_all(int device) {
  for (Stream *stream = streams; stream; stream = stream->next)
    if (stream->device == device) finish(stream, stream->enqueued);
}
void standin_set_late(int yes) {  // streams do as late as may be what they are given
  late = yes;
  for (int device = 0; device < MOST_DEVICES; device++) finish_all(device);
}

static Node *copy_of(Node node) {
  Node *kept = malloc(sizeof *kept);
  *kept = node;
  kept->next = 0;
  if (node.kind == LAUNCH) kept->parameters = memcpy(malloc(MOST_PARAMETERS), node.parameters, MOST_PARAMETERS);
  if (node.kind == COPY && owner_of((Address)node.source, node.nbytes) < 0 && !is_locked((Address)node.source))
    kept->source = kept->held = memcpy(malloc(node.nbytes), node.source, node.nbytes);  // the driver has its bytes by now
  return kept;
}

static Status enqueue(void *handle, Node node) {
  Stream *stream = stream_of(handle);
  if (stream->captured) {
    Node *kept = copy_of(node);
    *stream->captured->end = kept;
    stream->captured->end = &kept->next;
    stream->captured->last = kept;
    return SUCCESS;
  }
  pthread_mutex_lock(&work);
  Status status = SUCCESS;
  if (late && (uintptr_t)handle > 2) {
    Node *kept = copy_of(node);
    if (stream->done == stream->enqueued++) stream->end = &stream->first;
    *stream->end = kept;
    stream->end = &kept->next;
  } else {
    finish_all(stream->device);  // a default stream comes after all others
    status = run(&node);
  }
  pthread_mutex_unlock(&work);
  return status;
}
Status cuStreamCreate(void **handle, unsigned flags) {
  NEEDS_CONTEXT
  Stream *stream = *handle = calloc(1, sizeof(Stream));
  stream->device = device_now();
  stream->next = streams;
  streams = stream;
  return SUCCESS;
}
Status cuStreamDestroy_v2(void *handle) {
  for (Stream **at = &streams; *at; at = &(*at)->next)
    if (*at == handle) {
      finish(handle, (*at)->enqueued);
      *at = (*at)->next;
      free(handle);
      break;
    }
  return SUCCESS;
}
static Status wait_for(Stream *stream, long mark) {
  counts.waits++;
  finish(stream, mark);
  return fault[stream->device];
}
Status cuCtxSynchronize(void) { NEEDS_CONTEXT counts.waits++; finish_all(device_now()); return ready(); }
Status cuStreamSynchronize(void *handle) {
  NEEDS_CONTEXT
  Stream *stream = stream_of(handle);
  return stream->captured ? CAPTURE_UNSUPPORTED : wait_for(stream, stream->enqueued);
}
Status cuStreamQuery(void *handle) { NEEDS_CONTEXT return stream_of(handle)->done < stream_of(handle)->enqueued ? NOT_READY : SUCCESS; }
static uintptr_t waiting;
uintptr_t standin_waiting(void) { return waiting; }  // the stream that was told last to wait
Status cuStreamWaitEvent(void *handle, Event *event, unsigned flags) {
  NEEDS_CONTEXT
  waiting = (uintptr_t)handle;
  return event->stream ? enqueue(handle, (Node){.kind = WAIT, .other = event->stream, .mark = event->mark}) : SUCCESS;
}

static Status copy(Address target, Address source, size_t nbytes, void *stream) {
  return enqueue(stream, (Node){.kind = COPY, .target = (char *)target, .source = (const char *)source, .nbytes = nbytes});
}
// Memory of a device is recycled in the order of its own stream: what is copied on another's is an error.
static int is_at_home(Address address, size_t nbytes, void *stream) { return owner_of(address, nbytes) == stream_of(stream)->device; }
Status cuMemcpyHtoDAsync_v2(Address target, const void *source, size_t nbytes, void *stream) {
  NEEDS_CONTEXT
  counts.copies_in++;
  return is_at_home(target, nbytes, stream) ? copy(target, (Address)source, nbytes, stream) : INVALID_VALUE;
}
Status cuMemcpyDtoHAsync_v2(void *target, Address source, size_t nbytes, void *handle) {
  NEEDS_CONTEXT
  counts.copies_out++;
  if (!is_at_home(source, nbytes, handle)) return INVALID_VALUE;
  Status status = copy((Address)target, source, nbytes, handle);
  Stream *stream = stream_of(handle);
  if (!stream->captured && !is_locked((Address)target)) finish(stream, stream->enqueued);  // of other memory the driver waits for it
  return status;
}
Status cuMemcpyDtoDAsync_v2(Address target, Address source, size_t nbytes, void *stream) {
  NEEDS_CONTEXT
  return is_at_home(source, nbytes, stream) && is_at_home(target, nbytes, stream) ? copy(target, source, nbytes, stream) : INVALID_VALUE;
}
Status cuMemcpyPeerAsync(Address target, void *there, Address source, void *here, size_t nbytes, void *stream) {
  NEEDS_CONTEXT
  counts.peer_copies++;
  if (owner_of(source, nbytes) != device_of(here) || owner_of(target, nbytes) != device_of(there)) return INVALID_VALUE;
  return has_peer[device_of(here)][device_of(there)] ? copy(target, source, nbytes, stream) : PEER_UNSUPPORTED;
}
Status cuMemcpyHtoD_v2(Address target, const void *source, size_t nbytes) { return cuMemcpyHtoDAsync_v2(target, source, nbytes, 0); }
Status cuMemcpyDtoH_v2(void *target, Address source, size_t nbytes) { return cuMemcpyDtoHAsync_v2(target, source, nbytes, 0); }
Status cuMemcpyDtoD_v2(Address target, Address source, size_t nbytes) { return cuMemcpyDtoDAsync_v2(target, source, nbytes, 0); }

static Status fill(Address target, unsigned value, int width, size_t count, void *stream) {
  NEEDS_CONTEXT
  if (!is_at_home(target, count * width, stream)) return INVALID_VALUE;
  return enqueue(stream, (Node){.kind = FILL, .target = (char *)target, .nbytes = count * width, .value = value, .width = width});
}
Status cuMemsetD8Async(Address target, unsigned char value, size_t count, void *stream) { return fill(target, value, 1, count, stream); }
Status cuMemsetD32Async(Address target, unsigned value, size_t count, void *stream) { return fill(target, value, 4, count, stream); }
Status cuMemsetD8_v2(Address target, unsigned char value, size_t count) { return fill(target, value, 1, count, 0); }
Status cuMemsetD32_v2(Address target, unsigned value, size_t count) { return fill(target, value, 4, count, 0); }

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}
Status cuEventCreate(Event **event, unsigned flags) {
  NEEDS_CONTEXT
  *event = calloc(1, sizeof(Event));
  (*event)->device = device_now();
  return SUCCESS;
}
Status cuEventDestroy_v2(void *event) { free(event); return SUCCESS; }
Status cuEventRecord(Event *event, void *handle) {
  NEEDS_CONTEXT
  Stream *stream = stream_of(handle);
  if (event->device != stream->device) return INVALID_HANDLE;
  *event = (Event){now(), event->device, stream, stream->enqueued};
  return SUCCESS;
}
static int has_come(const Event *event) { return !event->stream || event->stream->done >= event->mark; }
Status cuEventQuery(const Event *event) { NEEDS_CONTEXT return busy || !has_come(event) ? NOT_READY : SUCCESS; }
Status cuEventSynchronize(const Event *event) { NEEDS_CONTEXT return event->stream ? wait_for(event->stream, event->mark) : SUCCESS; }
Status cuEventElapsedTime_v2(float *milliseconds, Event *first, Event *second) {
  *milliseconds = (float)(second->milliseconds - first->milliseconds);
  return SUCCESS;
}

// ---- kernels

// Thread-local memory of a library: all that its text declares as __shared__, the dynamic part with as much as there can be.
static int local_memory(const unsigned char *image) {
  enum { THREAD_LOCAL = 7 };
  uint64_t headers, nbytes;
  uint16_t size_of_header, number;
  memcpy(&headers, image + 32, 8);
  memcpy(&size_of_header, image + 54, 2);
  memcpy(&number, image + 56, 2);
  for (int n = 0; n < number; n++) {
    const unsigned char *header = image + headers + (size_t)n * size_of_header;
    uint32_t type;
    memcpy(&type, header, 4);
    memcpy(&nbytes, header + 40, 8);
    if (type == THREAD_LOCAL) return (int)nbytes;
  }
  return 0;
}

Status cuModuleLoadDataEx(Module **module, const void *image, unsigned options, void *names, void *values) {
  NEEDS_CONTEXT
  const unsigned char *bytes = image;
  enum { CUDA_MACHINE = 190 };
  if (memcmp(bytes, "\177ELF", 4) || bytes[18] == CUDA_MACHINE) return NO_BINARY_FOR_GPU;
  uint64_t sections;
  uint16_t size_of_section, number;
  memcpy(&sections, bytes + 40, 8);
  memcpy(&size_of_section, bytes + 58, 2);
  memcpy(&number, bytes + 60, 2);
  size_t nbytes = sections + (size_t)size_of_section * number;
  char path[] = P_tmpdir "/tracejit-kernel-XXXXXX";  // a new name each time, as dlopen knows files by their names
  int file = mkstemp(path);
  Status status = write(file, image, nbytes) == (ssize_t)nbytes ? SUCCESS : INVALID_IMAGE;
  close(file);
  void *library = status ? 0 : dlopen(path, RTLD_NOW | RTLD_LOCAL);
  unlink(path);
  if (!library) return INVALID_IMAGE;
  *module = malloc(sizeof **module);
  **module = (Module){library, local_memory(bytes), device_now()};
  counts.modules++;
  return SUCCESS;
}
Status cuModuleLoadData(Module **module, const void *image) { return cuModuleLoadDataEx(module, image, 0, 0, 0); }
Status cuModuleUnload(Module *module) { dlclose(module->library); free(module); return SUCCESS; }
Status cuModuleGetFunction(void **function, Module *module, const char *name) {
  char symbol[256];
  snprintf(symbol, sizeof symbol, "emulated_kernel_%s", name);
  const Kernel *kernel = dlsym(module->library, symbol);
  if (!kernel) return NOT_FOUND;
  Function *made = calloc(1, sizeof *made);
  const int declared = module->local_bytes - (kernel->shared ? MOST_SHARED : 0);
  *made = (Function){kernel, declared, COMMON_SHARED - declared, module->device};
  snprintf(made->name, sizeof made->name, "%s", name);
  *function = made;
  return SUCCESS;
}
enum { ATTRIBUTE_SHARED = 1, ATTRIBUTE_MOST_SHARED = 8 };
Status cuFuncGetAttribute(int *value, int attribute, Function *function) {
  *value = attribute == 0 ? MOST_THREADS : attribute == ATTRIBUTE_SHARED ? function->shared_bytes :
           attribute == ATTRIBUTE_MOST_SHARED ? function->most_shared : 0;
  return SUCCESS;
}
Status cuFuncSetAttribute(Function *function, int attribute, int value) {
  if (attribute != ATTRIBUTE_MOST_SHARED) return SUCCESS;
  if (value + function->shared_bytes > MOST_SHARED) return INVALID_VALUE;
  function->most_shared = value;
  return SUCCESS;
}
Status cuFuncSetBlockShape(void *function, int x, int y, int z) { return SUCCESS; }
Status cuLaunchKernel(Function *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                      void *stream, void **parameters, void **extra) {
  NEEDS_CONTEXT
  enum { END = 0, POINTER = 1, SIZE = 2 };
  char packed[MOST_PARAMETERS] = {0};
  const void *given = 0;
  size_t nbytes = 0;
  uint64_t threads = (uint64_t)bx * by * bz;
  if (!gx || gy != 1 || gz != 1 || bz != 1 || !threads || threads > MOST_THREADS) return INVALID_VALUE;
  if ((int)shared > function->most_shared || !extra) return INVALID_VALUE;
  if (function->device != device_now() || stream_of(stream)->device != device_now()) return INVALID_HANDLE;
  for (; (uintptr_t)*extra != END; extra += 2) {
    if ((uintptr_t)*extra == POINTER) given = extra[1];
    if ((uintptr_t)*extra == SIZE) nbytes = *(size_t *)extra[1];
  }
  if (nbytes != function->kernel->parameter_bytes || nbytes > MOST_PARAMETERS) return INVALID_VALUE;
  memcpy(packed, given, nbytes);
  return enqueue(stream, (Node){.kind = LAUNCH, .function = function, .grid = {gx, gy, gz}, .block = {bx, by, bz}, .shared = shared, .parameters = packed});
}

static Status launch(const Node *node) {
  char why[400];
  const int device = node->function->device;
  if (idle || fault[device]) return fault[device];
  if (devices > 1) protect(PROT_NONE, device);
  int failed = emulated_launch(node->function->kernel, node->grid[0], node->block[0], node->block[1], node->shared,
                               node->parameters, order, why, sizeof why);
  if (devices > 1) protect(ALL, device);
  counts.launches++;
  if (failed) {
    snprintf(message, sizeof message, "%s: %s", node->function->name, why);
    fault[device] = strstr(why, "invalid address") ? ILLEGAL_ADDRESS : LAUNCH_FAILED;
  }
  return fault[device];
}

static Status done(const Node *node) {
  switch (node->kind) {
    case LAUNCH: return launch(node);
    case COPY: memmove(node->target, node->source, node->nbytes); break;
    case FILL: for (size_t at = 0; at < node->nbytes; at += node->width) memcpy(node->target + at, &node->value, node->width); break;
    case WAIT: finish(node->other, node->mark); break;
  }
  return SUCCESS;
}

static Status run(const Node *node) {
  if (!hidden) return done(node);
  protect(ALL, NOBODY);
  Status status = done(node);
  protect(PROT_NONE, NOBODY);
  return status;
}

// ---- graphs

Status cuStreamBeginCapture_v2(void *handle, int mode) {
  NEEDS_CONTEXT
  Stream *stream = stream_of(handle);
  if (stream == &default_streams[stream->device] || stream->captured) return CAPTURE_UNSUPPORTED;
  stream->captured = calloc(1, sizeof(Graph));
  stream->captured->end = &stream->captured->first;
  return SUCCESS;
}
// The node that what is captured next comes after: the one captured last.
Status cuStreamGetCaptureInfo_v2(void *handle, int *status, uint64_t *id, Graph **graph, Node *const **nodes, size_t *count) {
  Stream *stream = stream_of(handle);
  if (!stream->captured || failing & FAIL_CAPTURE_INFO) return NOT_SUPPORTED;
  *status = 1;
  *nodes = &stream->captured->last;
  *count = stream->captured->last ? 1 : 0;
  return SUCCESS;
}
Status cuStreamEndCapture(void *handle, void **graph) {
  Stream *stream = stream_of(handle);
  *graph = stream->captured;
  stream->captured = 0;
  return *graph ? SUCCESS : INVALID_VALUE;
}
Status cuGraphInstantiateWithFlags(void **ready_graph, void *graph, unsigned long long flags) {
  NEEDS_CONTEXT
  if (failing & FAIL_INSTANTIATE) return NOT_SUPPORTED;
  counts.captures++;
  *ready_graph = graph;
  return SUCCESS;
}
typedef struct { void *function; unsigned grid[3], block[3], shared; void **parameters, **extra; void *kernel, *context; } NodeParams;
Status cuGraphKernelNodeGetParams_v2(const Node *node, NodeParams *found) {
  if (node->kind != LAUNCH) return INVALID_VALUE;
  *found = (NodeParams){.function = node->function, .shared = node->shared};
  memcpy(found->grid, node->grid, sizeof node->grid);
  memcpy(found->block, node->block, sizeof node->block);
  return SUCCESS;
}
// One parameter, a struct, is all that kernels have.
Status cuGraphExecKernelNodeSetParams_v2(Graph *graph, Node *node, const NodeParams *wanted) {
  NEEDS_CONTEXT
  const Node *own = graph->first;
  while (own && own != node) own = own->next;
  if (failing & FAIL_UPDATE || !own || own->kind != LAUNCH || wanted->function != own->function) return INVALID_VALUE;
  if (!wanted->parameters || wanted->extra || memcmp(wanted->grid, own->grid, sizeof own->grid)) return INVALID_VALUE;
  if (memcmp(wanted->block, own->block, sizeof own->block) || wanted->shared != own->shared) return INVALID_VALUE;
  counts.updates++;
  memcpy(node->parameters, wanted->parameters[0], node->function->kernel->parameter_bytes);
  return SUCCESS;
}
Status cuGraphLaunch(Graph *graph, void *stream) {
  NEEDS_CONTEXT
  counts.graph_launches++;
  Status status = SUCCESS;
  for (const Node *node = graph->first; node && !status; node = node->next) {
    if (node->kind == LAUNCH && (node->function->device != device_now() || stream_of(stream)->device != device_now())) return INVALID_HANDLE;
    status = enqueue(stream, *node);
  }
  return status;
}
Status cuGraphDestroy(void *graph) { return SUCCESS; }  // the one that is ready to run is the same
Status cuGraphExecDestroy(Graph *graph) {
  for (Node *node = graph->first; node;) {
    Node *next = node->next;
    let_go(node);
    node = next;
  }
  free(graph);
  return SUCCESS;
}
