"""The names of `tracejit`, which has them from when this is imported: when the first of them is asked for, or an op applied."""

from __future__ import annotations

import math
import sys
from types import ModuleType

from tracejit import autograd as autograd
from tracejit import cuda as cuda
from tracejit import eager as _eager  # noqa: F401  # installs the interpreters
from tracejit import nn as nn
from tracejit import optim as optim
from tracejit import random as random
from tracejit._config import config as config
from tracejit._errors import ArtifactError as ArtifactError
from tracejit._errors import ArtifactRaised as ArtifactRaised
from tracejit._errors import AutogradError as AutogradError
from tracejit._errors import AxisError as AxisError
from tracejit._errors import CompileError as CompileError
from tracejit._errors import DeviceError as DeviceError
from tracejit._errors import DeviceMemoryError as DeviceMemoryError
from tracejit._errors import DeviceUnavailable as DeviceUnavailable
from tracejit._errors import DTypeError as DTypeError
from tracejit._errors import ExportError as ExportError
from tracejit._errors import MemoryLimitError as MemoryLimitError
from tracejit._errors import RecompileError as RecompileError
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
from tracejit.dtypes import isdtype as isdtype
from tracejit.dtypes import result_type as result_type
from tracejit.dtypes import uint8 as uint8
from tracejit.dtypes import uint16 as uint16
from tracejit.dtypes import uint32 as uint32
from tracejit.dtypes import uint64 as uint64
from tracejit.nn.functional import cross_entropy as cross_entropy
from tracejit.ops import abs as abs
from tracejit.ops import acos as acos
from tracejit.ops import acosh as acosh
from tracejit.ops import add as add
from tracejit.ops import add_at as add_at
from tracejit.ops import addcdiv as addcdiv
from tracejit.ops import all as all
from tracejit.ops import any as any
from tracejit.ops import argmax as argmax
from tracejit.ops import argmin as argmin
from tracejit.ops import argsort as argsort
from tracejit.ops import asin as asin
from tracejit.ops import asinh as asinh
from tracejit.ops import atan as atan
from tracejit.ops import atan2 as atan2
from tracejit.ops import atanh as atanh
from tracejit.ops import batch_norm as batch_norm
from tracejit.ops import bitwise_and as bitwise_and
from tracejit.ops import bitwise_invert as bitwise_invert
from tracejit.ops import bitwise_left_shift as bitwise_left_shift
from tracejit.ops import bitwise_or as bitwise_or
from tracejit.ops import bitwise_right_shift as bitwise_right_shift
from tracejit.ops import bitwise_xor as bitwise_xor
from tracejit.ops import broadcast_to as broadcast_to
from tracejit.ops import ceil as ceil
from tracejit.ops import clip as clip
from tracejit.ops import concat as concat
from tracejit.ops import conj as conj
from tracejit.ops import copysign as copysign
from tracejit.ops import cos as cos
from tracejit.ops import cosh as cosh
from tracejit.ops import count_nonzero as count_nonzero
from tracejit.ops import cumulative_prod as cumulative_prod
from tracejit.ops import cumulative_sum as cumulative_sum
from tracejit.ops import diagonal as diagonal
from tracejit.ops import diff as diff
from tracejit.ops import digamma as digamma
from tracejit.ops import divide as divide
from tracejit.ops import dot as dot
from tracejit.ops import dropout as dropout
from tracejit.ops import einsum as einsum
from tracejit.ops import equal as equal
from tracejit.ops import erf as erf
from tracejit.ops import erfc as erfc
from tracejit.ops import erfinv as erfinv
from tracejit.ops import exp as exp
from tracejit.ops import expand_dims as expand_dims
from tracejit.ops import expm1 as expm1
from tracejit.ops import flatten as flatten
from tracejit.ops import flip as flip
from tracejit.ops import floor as floor
from tracejit.ops import floor_divide as floor_divide
from tracejit.ops import gelu as gelu
from tracejit.ops import greater as greater
from tracejit.ops import greater_equal as greater_equal
from tracejit.ops import hypot as hypot
from tracejit.ops import imag as imag
from tracejit.ops import isfinite as isfinite
from tracejit.ops import isin as isin
from tracejit.ops import isinf as isinf
from tracejit.ops import isnan as isnan
from tracejit.ops import kron as kron
from tracejit.ops import layer_norm as layer_norm
from tracejit.ops import lerp as lerp
from tracejit.ops import less as less
from tracejit.ops import less_equal as less_equal
from tracejit.ops import lgamma as lgamma
from tracejit.ops import log as log
from tracejit.ops import log1p as log1p
from tracejit.ops import log2 as log2
from tracejit.ops import log10 as log10
from tracejit.ops import log_softmax as log_softmax
from tracejit.ops import logaddexp as logaddexp
from tracejit.ops import logical_and as logical_and
from tracejit.ops import logical_not as logical_not
from tracejit.ops import logical_or as logical_or
from tracejit.ops import logical_xor as logical_xor
from tracejit.ops import logit as logit
from tracejit.ops import logsumexp as logsumexp
from tracejit.ops import matmul as matmul
from tracejit.ops import matrix_transpose as matrix_transpose
from tracejit.ops import max as max
from tracejit.ops import maximum as maximum
from tracejit.ops import mean as mean
from tracejit.ops import meshgrid as meshgrid
from tracejit.ops import min as min
from tracejit.ops import minimum as minimum
from tracejit.ops import moveaxis as moveaxis
from tracejit.ops import mse_loss as mse_loss
from tracejit.ops import multiply as multiply
from tracejit.ops import negative as negative
from tracejit.ops import nextafter as nextafter
from tracejit.ops import not_equal as not_equal
from tracejit.ops import one_hot as one_hot
from tracejit.ops import outer as outer
from tracejit.ops import pad as pad
from tracejit.ops import permute_dims as permute_dims
from tracejit.ops import polygamma as polygamma
from tracejit.ops import positive as positive
from tracejit.ops import pow as pow
from tracejit.ops import prod as prod
from tracejit.ops import real as real
from tracejit.ops import reciprocal as reciprocal
from tracejit.ops import relu as relu
from tracejit.ops import remainder as remainder
from tracejit.ops import repeat as repeat
from tracejit.ops import roll as roll
from tracejit.ops import round as round
from tracejit.ops import scatter_add as scatter_add
from tracejit.ops import searchsorted as searchsorted
from tracejit.ops import sigmoid as sigmoid
from tracejit.ops import sign as sign
from tracejit.ops import signbit as signbit
from tracejit.ops import silu as silu
from tracejit.ops import sin as sin
from tracejit.ops import sinh as sinh
from tracejit.ops import softmax as softmax
from tracejit.ops import softplus as softplus
from tracejit.ops import sort as sort
from tracejit.ops import split as split
from tracejit.ops import sqrt as sqrt
from tracejit.ops import square as square
from tracejit.ops import squeeze as squeeze
from tracejit.ops import stack as stack
from tracejit.ops import std as std
from tracejit.ops import stop_gradient as stop_gradient
from tracejit.ops import subtract as subtract
from tracejit.ops import sum as sum
from tracejit.ops import swapaxes as swapaxes
from tracejit.ops import take as take
from tracejit.ops import take_along_axis as take_along_axis
from tracejit.ops import tan as tan
from tracejit.ops import tanh as tanh
from tracejit.ops import tensordot as tensordot
from tracejit.ops import tile as tile
from tracejit.ops import trace as trace
from tracejit.ops import transpose as transpose
from tracejit.ops import tril as tril
from tracejit.ops import triu as triu
from tracejit.ops import trunc as trunc
from tracejit.ops import unstack as unstack
from tracejit.ops import var as var
from tracejit.ops import vecdot as vecdot
from tracejit.ops import where as where
from tracejit.ops import xlogy as xlogy
from tracejit.runtime.device import get_num_threads as get_num_threads
from tracejit.runtime.device import set_num_threads as set_num_threads
from tracejit.runtime.pool import empty_cache as empty_cache
from tracejit.standard import astype as astype
from tracejit.standard import broadcast_arrays as broadcast_arrays
from tracejit.standard import devices as devices
from tracejit.standard import namespace_info as __array_namespace_info__  # noqa: F401  # the array API's name
from tracejit.standard import nonzero as nonzero
from tracejit.standard import reshape as reshape
from tracejit.standard import unique_all as unique_all
from tracejit.standard import unique_counts as unique_counts
from tracejit.standard import unique_inverse as unique_inverse
from tracejit.standard import unique_values as unique_values
from tracejit.tensor import Tensor as Tensor
from tracejit.tracing.background import synchronize as synchronize
from tracejit.tracing.compile import compile as compile
from tracejit.tracing.explain import Explanation as Explanation
from tracejit.tracing.explain import explain as explain

__array_api_version__ = "2024.12"

e = math.e
inf = math.inf
nan = math.nan
newaxis = None
pi = math.pi

_names = {
    name: value
    for name, value in vars().items()
    if name.startswith("__array_") or not name.startswith("_")
}
_tracejit = sys.modules["tracejit"]
vars(_tracejit).update(_names)
_tracejit.__class__ = ModuleType
