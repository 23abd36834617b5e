"""Optimizers: PyTorch's names and meanings; updates are plain tensor code, in place."""

from tracejit.optim.adam import Adam as Adam
from tracejit.optim.adam import AdamW as AdamW
from tracejit.optim.adaptive import Adagrad as Adagrad
from tracejit.optim.adaptive import RMSprop as RMSprop
from tracejit.optim.lr_scheduler import ConstantLR as ConstantLR
from tracejit.optim.lr_scheduler import CosineAnnealingLR as CosineAnnealingLR
from tracejit.optim.lr_scheduler import CosineAnnealingWarmRestarts as CosineAnnealingWarmRestarts
from tracejit.optim.lr_scheduler import ExponentialLR as ExponentialLR
from tracejit.optim.lr_scheduler import LambdaLR as LambdaLR
from tracejit.optim.lr_scheduler import LinearLR as LinearLR
from tracejit.optim.lr_scheduler import LRScheduler as LRScheduler
from tracejit.optim.lr_scheduler import MultiStepLR as MultiStepLR
from tracejit.optim.lr_scheduler import OneCycleLR as OneCycleLR
from tracejit.optim.lr_scheduler import PolynomialLR as PolynomialLR
from tracejit.optim.lr_scheduler import ReduceLROnPlateau as ReduceLROnPlateau
from tracejit.optim.lr_scheduler import SequentialLR as SequentialLR
from tracejit.optim.lr_scheduler import StepLR as StepLR
from tracejit.optim.optimizer import Optimizer as Optimizer
from tracejit.optim.sgd import SGD as SGD
