"""Optimizers: PyTorch's names and meanings; updates are plain tensor code, in place."""

from tracejit.optim.adam import Adam as Adam
from tracejit.optim.adam import AdamW as AdamW
from tracejit.optim.lr_scheduler import CosineAnnealingLR as CosineAnnealingLR
from tracejit.optim.lr_scheduler import LRScheduler as LRScheduler
from tracejit.optim.lr_scheduler import StepLR as StepLR
from tracejit.optim.optimizer import Optimizer as Optimizer
from tracejit.optim.sgd import SGD as SGD
