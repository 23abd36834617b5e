"""What instrumented code calls: each hook does what Python would do, and tells the recording what it depends on."""

from tracejit.tracing.replay.hooks.hooks import HOOKS as HOOKS
