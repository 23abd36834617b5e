"""Plans in an artifact: as JSON, and checked as they are read, so that none reaches outside the memory that it is given.

What a kernel that was generated makes of a launch's dims is in its machine code; that these two belong together is what the
entries' hashes say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod

from tracejit import dtypes
from tracejit._errors import ArtifactError
from tracejit._gate import late
from tracejit._records import replace
from tracejit.artifact import Argument, BufferSpec, HostCall, LaunchSpec, Place, Plan, Segment
from tracejit.portable import Plans
from tracejit.runtime import slabs
from tracejit.standalone import products
from tracejit.standalone.reading import from_json, to_compact_json

MOST_MEMORY = 1 << 40
"""Bytes that a plan may ask for."""
MOST_THREADS, MOST_SHARED, MOST_PARAMETERS = 1024, 227 << 10, 4096
"""Of a block on a GPU its threads and the bytes of its shared memory, and bytes of a launch's parameters."""
_DTYPES = {dtype.name: dtype for dtype in dtypes.ALL}
_WORDS = 1 << 63


def plans_to_json(plans: Plans) -> bytes:
    """Without the kernels' texts, of which there is machine code."""
    plain = tuple(
        replace(plan, kernels=(), account=None, steps=tuple(map(_printed, plan.steps)))
        for plan in plans.plans
    )
    return to_compact_json(replace(plans, plans=plain))


def plans_from_json(data: bytes, entry: str, device: str) -> Plans:
    """Plans for a CPU, or a GPU. Raises ArtifactError for what is no plan, or one that would reach outside its memory."""
    found: Plans = from_json(data, Plans, entry)
    if (found.runner is None) is (device == "cpu"):
        raise ArtifactError(
            f"entry {entry}: launches of a CPU's plans, and no others, need what runs them"
        )
    plans = []
    for number, plan in enumerate(found.plans):
        where = f"entry {entry}: plan {number}"
        if any(isinstance(step, HostCall) for step in plan.steps):
            plan = replace(plan, steps=tuple(_parsed(step, where) for step in plan.steps))
        plans.append(plan)
        _Checker(plan, found.kernels, where, is_for_gpu=device != "cpu").run()
    return Plans(tuple(plans), found.kernels, found.runner)


def _printed(step: LaunchSpec | HostCall) -> LaunchSpec | HostCall:
    if isinstance(step, LaunchSpec):
        return step
    shown = late("tracejit.ir.printer").print_param
    return replace(step, params=tuple((name, shown(value)) for name, value in step.params))


def _parsed(step: LaunchSpec | HostCall, where: str) -> LaunchSpec | HostCall:
    if isinstance(step, LaunchSpec):
        return step
    literal, parse = late("tracejit.ir.parser").literal, late("ast").parse
    try:
        params = tuple(
            (name, literal(parse(str(text), mode="eval").body)) for name, text in step.params
        )
    except (ValueError, KeyError, SyntaxError, TypeError, RecursionError, MemoryError):
        raise ArtifactError(f"{where}: {step.op}: a parameter is no value") from None
    return replace(step, params=params)


def size_of(spec: BufferSpec, where: str) -> tuple[int, int]:
    """Where the bytes of an array begin and end, counted from its first element. Raises ArtifactError for what is no array."""
    dtype = _DTYPES.get(spec.dtype)
    if dtype is None:
        raise ArtifactError(f"{where}: {spec.dtype!r} is no dtype")
    strides = spec.strides
    if len(spec.shape) > 32 or (strides is not None and len(strides) != len(spec.shape)):
        raise ArtifactError(f"{where}: one stride per dimension, of which there are at most 32")
    if not all(0 <= extent < MOST_MEMORY for extent in spec.shape):
        raise ArtifactError(f"{where}: {list(spec.shape)} is no shape")
    if 0 in spec.shape:
        return 0, 0
    count = 1
    for extent in spec.shape:
        count *= extent
    reaches = (
        [count - 1]
        if strides is None
        else [stride * (extent - 1) for extent, stride in zip(spec.shape, strides)]
    )
    low = sum(reach for reach in reaches if reach < 0) * dtype.itemsize
    high = (sum(reach for reach in reaches if reach > 0) + 1) * dtype.itemsize
    if high - low > MOST_MEMORY:
        raise ArtifactError(f"{where}: the array is larger than {MOST_MEMORY} bytes")
    return low, high


class _Checker:
    """Checks one plan."""

    def __init__(
        self, plan: Plan, kernels: Mapping[str, str], where: str, *, is_for_gpu: bool
    ) -> None:
        self.is_for_gpu = is_for_gpu
        self.plan = plan
        self.kernels = kernels
        self.where = where

    def run(self) -> None:
        plan = self.plan
        self.require(not plan.kernels and not plan.account, "it has kernels' texts, or an account")
        self.require(0 <= plan.arena_bytes <= MOST_MEMORY, "its scratch memory is too large")
        self.require(all(name in _DTYPES for name in plan.scalars), "a scalar of no dtype")
        self.require(plan.threads is None or plan.threads > 0, "it has no threads")
        self.require(all(0 <= n < len(plan.inputs) for n in plan.written), "it writes no input")
        self.require(all(spec.strides is None for spec in plan.outputs), "an output has strides")
        self.places: dict[Place, list[tuple[int, int]]] = {
            Place.INPUT: [size_of(spec, self.where) for spec in plan.inputs],
            Place.OUTPUT: [size_of(spec, self.where) for spec in plan.outputs],
            Place.SCALAR: [(0, 8)] * len(plan.scalars),
            Place.ARENA: [(0, plan.arena_bytes)],
            Place.CONSTANT: [(0, len(plan.constants))],
        }
        for number, step in enumerate(plan.steps):
            self.where = f"{self.where.partition(': step')[0]}: step {number}"
            if isinstance(step, LaunchSpec):
                self.launch(step)
            else:
                self.host(step)

    def require(self, claim: bool, why: str) -> None:
        if not claim:
            raise ArtifactError(f"{self.where}: {why}")

    def place(self, argument: Argument, low: int = 0, high: int = 0) -> None:
        """Whether an argument, with the bytes from `low` to `high`, is within its memory."""
        known = self.places[argument.place]
        self.require(0 <= argument.index < len(known), "an argument of no memory")
        begin, end = known[argument.index]
        is_inside = begin <= argument.offset + low and argument.offset + high <= end
        self.require(is_inside, f"an argument outside its {argument.place.value}")

    def launch(self, launch: LaunchSpec) -> None:
        names = launch.kernels or (launch.kernel,) * len(launch.segments)
        self.require(len(names) == len(launch.segments) > 0, "one kernel per segment")
        for name in (*names, launch.kernel, *launch.calls):
            self.require(name in self.kernels, f"there is no kernel {name!r}")
        self.require(0 < launch.grain < _WORDS, "its grain is no number of tasks")
        self.require(0 <= launch.scratch_bytes <= MOST_MEMORY >> 8, "its scratch is too large")
        if self.is_for_gpu:
            self.shape(launch)
        else:
            self.require(launch.shape is None, "it is for a GPU")
        for name, segment in zip(names, launch.segments):
            self.require(0 <= segment.tasks < _WORDS >> 8, "no number of tasks")
            self.require(all(-_WORDS < dim < _WORDS for dim in segment.dims), "a dim is no word")
            for argument in segment.arguments:
                self.place(argument)
            if self.is_for_gpu:
                continue
            if name == slabs.KERNEL:
                self.slabs(segment, launch)
            self.product(name, segment, launch)

    def shape(self, launch: LaunchSpec) -> None:
        """Whether any GPU can run a launch like this one."""
        shape = launch.shape
        self.require(shape is not None, "it is for a CPU")
        assert shape is not None
        self.require(not launch.kernels and not launch.calls, "one kernel of a GPU's calls none")
        self.require(shape.team > 0 and shape.teams > 0, "it has no threads")
        self.require(shape.threads <= MOST_THREADS, f"a block has at most {MOST_THREADS} threads")
        self.require(0 <= shape.shared_bytes <= MOST_SHARED, "its shared memory is too large")
        self.require(0 <= shape.scratch_bytes <= MOST_MEMORY >> 8, "its scratch is too large")
        words = sum(len(each.arguments) + len(each.dims) + 1 for each in launch.segments)
        self.require(8 * (words + 2) <= MOST_PARAMETERS, "it has too many parameters")

    def product(self, kernel: str, segment: Segment, launch: LaunchSpec) -> None:
        """Whether a matrix product stays within its operands and its result."""
        try:
            reach = products.reach_of(kernel, segment)
        except ValueError as error:
            raise ArtifactError(f"{self.where}: {kernel}: {error}") from None
        self.require(len(reach) in (0, len(segment.arguments)), "a product has three arguments")
        self.require(launch.scratch_bytes >= products.scratch_of(kernel), "too little scratch")
        for argument, (low, high) in zip(segment.arguments, reach):
            self.place(argument, low, high)

    def slabs(self, segment: Segment, launch: LaunchSpec) -> None:
        """Whether the dims of a launch that calls others are whole."""
        words = iter(segment.dims)
        try:
            digits = self.count(next(words), segment.dims)
            radices = [next(words) for _ in range(digits)]
            self.require(all(n > 0 for n in radices), "a digit has no radix")
            self.require(segment.tasks <= prod(radices), "more slabs than there are")
            scratch_at, rounds = next(words), next(words)
            self.require(0 <= scratch_at <= launch.scratch_bytes, "a slab's scratch is outside")
            for _ in range(self.count(rounds, segment.dims)):
                repeats, parts = next(words), next(words)
                self.require(repeats > 0, "rounds of no number")
                for _ in range(self.count(parts, segment.dims)):
                    self.part(words, digits, scratch_at, segment, launch)
        except (StopIteration, RuntimeError):
            raise ArtifactError(f"{self.where}: a slab's parts are cut") from None
        self.require(next(words, None) is None, "there is more than a slab's parts")

    def part(
        self,
        words: Iterator[int],
        digits: int,
        scratch_at: int,
        segment: Segment,
        launch: LaunchSpec,
    ) -> None:
        """What one kernel does to a slab."""
        kernel, tasks, pointers, dims = (next(words) for _ in range(4))
        self.require(0 <= kernel < len(launch.calls) and tasks >= 0, "a part of no kernel")
        self.require(8 * pointers <= scratch_at, "a slab's pointers are outside")
        for _ in range(self.count(pointers, segment.dims)):
            place, *_ = (next(words) for _ in range(digits + 3))
            is_known = slabs.SCRATCH <= place < len(segment.arguments)
            self.require(is_known, "a slab's pointer is to no argument")
        for _ in range(self.count(dims, segment.dims)):
            next(words)

    def count(self, number: int, words: Sequence[int]) -> int:
        self.require(0 <= number <= len(words), "a slab's parts are cut")
        return number

    def host(self, call: HostCall) -> None:
        ops = late("tracejit.ops.registry").REGISTRY
        self.require(call.op in ops, f"there is no op {call.op!r}")
        specs = (*call.inputs, call.output)
        self.require(len(specs) == len(call.arguments), "one argument per array")
        for spec, argument in zip(specs, call.arguments):
            self.place(argument, *size_of(spec, self.where))
