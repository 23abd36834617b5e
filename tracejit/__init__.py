"""tracejit: write eager Python, run fused kernels, never get another answer.

>>> import tracejit as tj
>>> x = tj.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> y = (x * x).sum()
>>> y.backward()
>>> x.grad
tensor([2., 4., 6.])
"""

from __future__ import annotations

import math

from tracejit import autograd as autograd
from tracejit import eager as _eager  # noqa: F401  # installs the interpreters
from tracejit import nn as nn
from tracejit import optim as optim
from tracejit import random as random
from tracejit._config import config as config
from tracejit._errors import AutogradError as AutogradError
from tracejit._errors import AxisError as AxisError
from tracejit._errors import CompileError as CompileError
from tracejit._errors import DeviceUnavailable as DeviceUnavailable
from tracejit._errors import DTypeError as DTypeError
from tracejit._errors import ShapeError as ShapeError
from tracejit._errors import TracejitError as TracejitError
from tracejit.autograd.functional import grad as grad
from tracejit.autograd.functional import hessian as hessian
from tracejit.autograd.functional import jacobian as jacobian
from tracejit.autograd.functional import value_and_grad as value_and_grad
from tracejit.autograd.functional import vjp as vjp
from tracejit.autograd.tape import enable_grad as enable_grad
from tracejit.autograd.tape import is_grad_enabled as is_grad_enabled
from tracejit.autograd.tape import no_grad as no_grad
from tracejit.creation import arange as arange
from tracejit.creation import asarray as asarray
from tracejit.creation import empty as empty
from tracejit.creation import empty_like as empty_like
from tracejit.creation import eye as eye
from tracejit.creation import from_dlpack as from_dlpack
from tracejit.creation import from_numpy as from_numpy
from tracejit.creation import full as full
from tracejit.creation import full_like as full_like
from tracejit.creation import linspace as linspace
from tracejit.creation import ones as ones
from tracejit.creation import ones_like as ones_like
from tracejit.creation import set_default_dtype as set_default_dtype
from tracejit.creation import tensor as tensor
from tracejit.creation import zeros as zeros
from tracejit.creation import zeros_like as zeros_like
from tracejit.dtypes import DType as DType
from tracejit.dtypes import bfloat16 as bfloat16
from tracejit.dtypes import bool_ as bool  # noqa: F401  # the array API's name
from tracejit.dtypes import can_cast as can_cast
from tracejit.dtypes import finfo as finfo
from tracejit.dtypes import float16 as float16
from tracejit.dtypes import float32 as float32
from tracejit.dtypes import float64 as float64
from tracejit.dtypes import iinfo as iinfo
from tracejit.dtypes import int8 as int8
from tracejit.dtypes import int16 as int16
from tracejit.dtypes import int32 as int32
from tracejit.dtypes import int64 as int64
from tracejit.dtypes import result_type as result_type
from tracejit.dtypes import uint8 as uint8
from tracejit.dtypes import uint16 as uint16
from tracejit.dtypes import uint32 as uint32
from tracejit.dtypes import uint64 as uint64
from tracejit.ops.composite import batch_norm as batch_norm
from tracejit.ops.composite import cross_entropy as cross_entropy
from tracejit.ops.composite import dropout as dropout
from tracejit.ops.composite import gelu as gelu
from tracejit.ops.composite import layer_norm as layer_norm
from tracejit.ops.composite import log_softmax as log_softmax
from tracejit.ops.composite import logsumexp as logsumexp
from tracejit.ops.composite import mse_loss as mse_loss
from tracejit.ops.composite import silu as silu
from tracejit.ops.composite import softmax as softmax
from tracejit.ops.composite import stop_gradient as stop_gradient
from tracejit.ops.contract import dot as dot
from tracejit.ops.contract import einsum as einsum
from tracejit.ops.contract import kron as kron
from tracejit.ops.contract import matmul as matmul
from tracejit.ops.contract import outer as outer
from tracejit.ops.contract import tensordot as tensordot
from tracejit.ops.contract import trace as trace
from tracejit.ops.contract import vecdot as vecdot
from tracejit.ops.creation import tril as tril
from tracejit.ops.creation import triu as triu
from tracejit.ops.elementwise import abs as abs
from tracejit.ops.elementwise import add as add
from tracejit.ops.elementwise import astype as astype
from tracejit.ops.elementwise import bitwise_and as bitwise_and
from tracejit.ops.elementwise import bitwise_invert as bitwise_invert
from tracejit.ops.elementwise import bitwise_left_shift as bitwise_left_shift
from tracejit.ops.elementwise import bitwise_or as bitwise_or
from tracejit.ops.elementwise import bitwise_right_shift as bitwise_right_shift
from tracejit.ops.elementwise import bitwise_xor as bitwise_xor
from tracejit.ops.elementwise import ceil as ceil
from tracejit.ops.elementwise import clip as clip
from tracejit.ops.elementwise import copysign as copysign
from tracejit.ops.elementwise import divide as divide
from tracejit.ops.elementwise import equal as equal
from tracejit.ops.elementwise import floor as floor
from tracejit.ops.elementwise import floor_divide as floor_divide
from tracejit.ops.elementwise import greater as greater
from tracejit.ops.elementwise import greater_equal as greater_equal
from tracejit.ops.elementwise import isfinite as isfinite
from tracejit.ops.elementwise import isinf as isinf
from tracejit.ops.elementwise import isnan as isnan
from tracejit.ops.elementwise import less as less
from tracejit.ops.elementwise import less_equal as less_equal
from tracejit.ops.elementwise import logical_and as logical_and
from tracejit.ops.elementwise import logical_not as logical_not
from tracejit.ops.elementwise import logical_or as logical_or
from tracejit.ops.elementwise import logical_xor as logical_xor
from tracejit.ops.elementwise import maximum as maximum
from tracejit.ops.elementwise import minimum as minimum
from tracejit.ops.elementwise import multiply as multiply
from tracejit.ops.elementwise import negative as negative
from tracejit.ops.elementwise import nextafter as nextafter
from tracejit.ops.elementwise import not_equal as not_equal
from tracejit.ops.elementwise import positive as positive
from tracejit.ops.elementwise import reciprocal as reciprocal
from tracejit.ops.elementwise import remainder as remainder
from tracejit.ops.elementwise import round as round
from tracejit.ops.elementwise import sign as sign
from tracejit.ops.elementwise import signbit as signbit
from tracejit.ops.elementwise import sqrt as sqrt
from tracejit.ops.elementwise import square as square
from tracejit.ops.elementwise import subtract as subtract
from tracejit.ops.elementwise import trunc as trunc
from tracejit.ops.elementwise import where as where
from tracejit.ops.functions import acos as acos
from tracejit.ops.functions import acosh as acosh
from tracejit.ops.functions import asin as asin
from tracejit.ops.functions import asinh as asinh
from tracejit.ops.functions import atan as atan
from tracejit.ops.functions import atan2 as atan2
from tracejit.ops.functions import atanh as atanh
from tracejit.ops.functions import cos as cos
from tracejit.ops.functions import cosh as cosh
from tracejit.ops.functions import erf as erf
from tracejit.ops.functions import exp as exp
from tracejit.ops.functions import expm1 as expm1
from tracejit.ops.functions import hypot as hypot
from tracejit.ops.functions import log as log
from tracejit.ops.functions import log1p as log1p
from tracejit.ops.functions import log2 as log2
from tracejit.ops.functions import log10 as log10
from tracejit.ops.functions import logaddexp as logaddexp
from tracejit.ops.functions import pow as pow
from tracejit.ops.functions import relu as relu
from tracejit.ops.functions import sigmoid as sigmoid
from tracejit.ops.functions import sin as sin
from tracejit.ops.functions import sinh as sinh
from tracejit.ops.functions import softplus as softplus
from tracejit.ops.functions import tan as tan
from tracejit.ops.functions import tanh as tanh
from tracejit.ops.index import add_at as add_at
from tracejit.ops.index import diagonal as diagonal
from tracejit.ops.index import one_hot as one_hot
from tracejit.ops.index import scatter_add as scatter_add
from tracejit.ops.index import take as take
from tracejit.ops.index import take_along_axis as take_along_axis
from tracejit.ops.reduce import all as all
from tracejit.ops.reduce import any as any
from tracejit.ops.reduce import argmax as argmax
from tracejit.ops.reduce import argmin as argmin
from tracejit.ops.reduce import count_nonzero as count_nonzero
from tracejit.ops.reduce import cumulative_prod as cumulative_prod
from tracejit.ops.reduce import cumulative_sum as cumulative_sum
from tracejit.ops.reduce import max as max
from tracejit.ops.reduce import mean as mean
from tracejit.ops.reduce import min as min
from tracejit.ops.reduce import prod as prod
from tracejit.ops.reduce import std as std
from tracejit.ops.reduce import sum as sum
from tracejit.ops.reduce import var as var
from tracejit.ops.shape import broadcast_arrays as broadcast_arrays
from tracejit.ops.shape import broadcast_to as broadcast_to
from tracejit.ops.shape import expand_dims as expand_dims
from tracejit.ops.shape import flatten as flatten
from tracejit.ops.shape import matrix_transpose as matrix_transpose
from tracejit.ops.shape import moveaxis as moveaxis
from tracejit.ops.shape import permute_dims as permute_dims
from tracejit.ops.shape import reshape as reshape
from tracejit.ops.shape import squeeze as squeeze
from tracejit.ops.shape import swapaxes as swapaxes
from tracejit.ops.shape import transpose as transpose
from tracejit.ops.slicing import concat as concat
from tracejit.ops.slicing import flip as flip
from tracejit.ops.slicing import meshgrid as meshgrid
from tracejit.ops.slicing import pad as pad
from tracejit.ops.slicing import repeat as repeat
from tracejit.ops.slicing import roll as roll
from tracejit.ops.slicing import split as split
from tracejit.ops.slicing import stack as stack
from tracejit.ops.slicing import tile as tile
from tracejit.ops.slicing import unstack as unstack
from tracejit.tensor import Tensor as Tensor
from tracejit.tracing.compile import compile as compile
from tracejit.tracing.explain import Explanation as Explanation
from tracejit.tracing.explain import explain as explain

__version__ = "0.1.0.dev0"

e = math.e
inf = math.inf
nan = math.nan
newaxis = None
pi = math.pi


def devices() -> list[str]:
    """The devices that can be used here."""
    return ["cpu"]
