"""The one record of settings: `tj.config`. No switch is read anywhere else.

Settings hold for the whole process: every thread sees a change at once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from tracejit import dtypes
from tracejit._records import About, dataclass, field, fields
from tracejit.dtypes import DType

if TYPE_CHECKING:
    from pathlib import Path


def _switch(text: str | bool) -> bool:
    choices = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}
    if (text := str(text).lower()) not in choices:
        raise ValueError(f"expected one of {', '.join(choices)}")
    return choices[text]


def _eager(text: str) -> Literal["compiled", "numpy"]:
    if text not in ("compiled", "numpy"):
        raise ValueError("expected 'compiled' or 'numpy'")
    return text  # type: ignore[return-value]  # narrowed by the guard


def _float_dtype(text: str | DType) -> DType:
    named = {dtype.name: dtype for dtype in dtypes.FLOATING}
    name = text.name if isinstance(text, DType) else text
    if name not in named:
        raise ValueError(f"expected one of {', '.join(named)}")
    return named[name]


def _device(text: str) -> str:
    kind, _, index = text.partition(":")
    if text != "auto" and not (kind in ("cpu", "cuda") and (index.isdecimal() or text == kind)):
        raise ValueError("expected 'auto', 'cpu', or a GPU such as 'cuda:1'")
    return text


def _count(text: str | int) -> int:
    number = int(text)
    if number < 0:
        raise ValueError("expected a number that is not negative")
    return number


def _folder(text: str | Path | None) -> Path | None:
    if not text:
        return None
    from pathlib import Path  # slow to import, and seldom needed

    return Path(text).expanduser()


def _about(env: str, parse: Callable[[Any], Any], help: str) -> dict[str, Any]:
    return {"env": env, "parse": parse, "help": help}


@dataclass(slots=True)
class Config:
    """The settings; each can be given in the environment, assigned, or set for a block.

    >>> import tracejit as tj
    >>> with tj.config.scope(eager="numpy"):
    ...     tj.config.eager
    'numpy'
    """

    eager: Literal["compiled", "numpy"] = field(
        default="compiled",
        metadata=_about("TRACEJIT_EAGER", _eager, "how an op outside a compiled function runs"),
    )
    default_dtype: DType = field(
        default=dtypes.float32,
        metadata=_about("TRACEJIT_DEFAULT_DTYPE", _float_dtype, "the dtype of Python floats"),
    )
    default_device: str = field(
        default="cpu",
        metadata=_about(
            "TRACEJIT_DEFAULT_DEVICE",
            _device,
            "where tensors are made; auto: the first GPU that can be used, or else the CPU",
        ),
    )
    dump_dir: Path | None = field(
        default=None,
        metadata=_about("TRACEJIT_DUMP", _folder, "where the compiler writes what each stage made"),
    )
    dump_asm: bool = field(
        default=False,
        metadata=_about(
            "TRACEJIT_DUMP_ASM", _switch, "write each kernel's machine code there, too"
        ),
    )
    verify_ir: bool = field(
        default=False,
        metadata=_about("TRACEJIT_VERIFY_IR", _switch, "check the program after every stage"),
    )
    num_threads: int = field(
        default=0,
        metadata=_about("TRACEJIT_NUM_THREADS", _count, "threads of the pool; 0: one per core"),
    )
    cache_dir: Path | None = field(
        default=None,
        metadata=_about(
            "TRACEJIT_CACHE_DIR", _folder, "where machine code is kept; None: the user's cache"
        ),
    )
    cache_bytes: int = field(
        default=1 << 30,
        metadata=_about(
            "TRACEJIT_CACHE_BYTES", _count, "the size to which the cache is cut; 0: no cache"
        ),
    )
    target: str = field(
        default="",
        metadata=_about(
            "TRACEJIT_TARGET", str, "the instruction set to compile for; empty: this machine's"
        ),
    )
    node_budget: int = field(
        default=20_000,
        metadata=_about(
            "TRACEJIT_NODE_BUDGET", _count, "ops recorded before a pending graph is run"
        ),
    )
    fuse: bool = field(
        default=True, metadata=_about("TRACEJIT_FUSE", _switch, "make one kernel of several ops")
    )
    native_calls: bool = field(
        default=True,
        metadata=_about(
            "TRACEJIT_NATIVE_CALLS",
            _switch,
            "have machine code take calls, where it fits Python and NumPy",
        ),
    )
    epoch: int = field(init=False)
    """Changes with every change of a setting."""

    def __post_init__(self) -> None:
        for setting in self._settings():
            if (text := os.environ.get(setting.metadata["env"])) is not None:
                setattr(self, setting.name, text)

    def __setattr__(self, name: str, value: Any) -> None:
        setting = _BY_NAME.get(name)
        if setting is None:
            raise AttributeError(f"tracejit has no setting {name!r}; it has {', '.join(_BY_NAME)}")
        with _lock:
            write = object.__setattr__
            write(self, name, _checked(setting, value))
            write(self, "epoch", getattr(self, "epoch", 0) + 1)
            for tell in after_change:
                tell(name)

    def changed(self) -> None:
        """Notes that something has changed, other than a setting, which every recording depends on."""
        with _lock:
            object.__setattr__(self, "epoch", self.epoch + 1)

    @contextmanager
    def scope(self, **changes: Any) -> Iterator[Config]:
        """Inside the block the settings have these values, in every thread."""
        before = {name: getattr(self, name) for name in changes}
        try:
            for name, value in changes.items():
                setattr(self, name, value)
            yield self
        finally:
            for name, value in before.items():
                setattr(self, name, value)

    def __reduce__(self) -> str:
        """Copied and pickled by name: there is one."""
        return "config"

    @staticmethod
    def _settings() -> list[About]:
        return list(_BY_NAME.values())

    def __str__(self) -> str:
        lines = [(f"{s.name} = {getattr(self, s.name)!r}", s) for s in self._settings()]
        width = max(len(text) for text, _ in lines)
        return "\n".join(
            f"{text:<{width}}  # {s.metadata['help']} ({s.metadata['env']})" for text, s in lines
        )


def _checked(setting: About, value: Any) -> Any:
    """`value`, which may be text from the environment, as the setting holds it."""
    try:
        return setting.metadata["parse"](value)
    except (TypeError, ValueError) as error:
        origin = f"{setting.name} ({setting.metadata['env']})"
        raise ValueError(f"{origin} = {value!r}: {error}") from None


_lock = threading.RLock()
after_change: list[Callable[[str], None]] = []
"""What is called with the name of a setting that has been set."""
_BY_NAME = {setting.name: setting for setting in fields(Config) if setting.init}
config = Config()
