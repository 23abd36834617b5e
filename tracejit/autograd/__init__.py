"""Reverse-mode differentiation: a tape over the ops' gradient rules, and gradients of functions on top of it."""

from tracejit.autograd.engine import backward as backward
from tracejit.autograd.engine import grad as grad
from tracejit.autograd.tape import enable_grad as enable_grad
from tracejit.autograd.tape import is_grad_enabled as is_grad_enabled
from tracejit.autograd.tape import no_grad as no_grad
