"""Guards: what a replay checks of the state before the call. They run no user code, and compare types before values.

Each guard gives conditions; the first that does not hold ends the attempt, and tells which guard it was. A guard that cannot
even be evaluated (a key is gone) does not hold.
"""

from tracejit.tracing.replay.guards.calls import ArgumentsAre, ModeIs, SettingsAre, settings
from tracejit.tracing.replay.guards.classes import (
    BasesAre,
    ClassEntry,
    ClassHas,
    ClassLacks,
    entry_of,
    is_changeable,
)
from tracejit.tracing.replay.guards.guard import Guard, Was
from tracejit.tracing.replay.guards.memory import (
    ALIGNED_AND_WRITEABLE,
    ArrayIs,
    MemoryApart,
    TensorIs,
    ViewIs,
    extent,
    lie_apart,
    view_path,
)
from tracejit.tracing.replay.guards.objects import (
    AllDistinct,
    CodeIs,
    Differ,
    Is,
    SameObject,
    TypeIs,
)
from tracejit.tracing.replay.guards.sizes import SizeIs
from tracejit.tracing.replay.guards.values import (
    Computed,
    Equals,
    KeyIn,
    KeysAre,
    LengthIs,
    NumberIs,
    ResultIs,
    TruthIs,
)
from tracejit.tracing.replay.lasting import MISSING, Missing

__all__ = [
    "ALIGNED_AND_WRITEABLE",
    "AllDistinct",
    "ArgumentsAre",
    "ArrayIs",
    "BasesAre",
    "ClassEntry",
    "ClassHas",
    "ClassLacks",
    "CodeIs",
    "Computed",
    "Differ",
    "Equals",
    "Guard",
    "Is",
    "KeyIn",
    "KeysAre",
    "LengthIs",
    "MISSING",
    "MemoryApart",
    "Missing",
    "ModeIs",
    "NumberIs",
    "ResultIs",
    "SameObject",
    "SettingsAre",
    "SizeIs",
    "TensorIs",
    "TruthIs",
    "TypeIs",
    "ViewIs",
    "Was",
    "entry_of",
    "extent",
    "is_changeable",
    "lie_apart",
    "settings",
    "view_path",
]
