"""Neural networks: modules with PyTorch's names and meanings."""

from tracejit.nn import functional as functional
from tracejit.nn import init as init
from tracejit.nn.activation import GELU as GELU
from tracejit.nn.activation import ReLU as ReLU
from tracejit.nn.activation import Sigmoid as Sigmoid
from tracejit.nn.activation import Softmax as Softmax
from tracejit.nn.activation import Tanh as Tanh
from tracejit.nn.container import Flatten as Flatten
from tracejit.nn.container import Sequential as Sequential
from tracejit.nn.convolution import Conv1d as Conv1d
from tracejit.nn.convolution import Conv2d as Conv2d
from tracejit.nn.dropout import Dropout as Dropout
from tracejit.nn.linear import Embedding as Embedding
from tracejit.nn.linear import Linear as Linear
from tracejit.nn.loss import CrossEntropyLoss as CrossEntropyLoss
from tracejit.nn.loss import MSELoss as MSELoss
from tracejit.nn.module import Module as Module
from tracejit.nn.normalization import BatchNorm1d as BatchNorm1d
from tracejit.nn.normalization import LayerNorm as LayerNorm
from tracejit.nn.parameter import Parameter as Parameter
from tracejit.nn.pooling import AdaptiveAvgPool2d as AdaptiveAvgPool2d
from tracejit.nn.pooling import AvgPool1d as AvgPool1d
from tracejit.nn.pooling import AvgPool2d as AvgPool2d
from tracejit.nn.pooling import MaxPool1d as MaxPool1d
from tracejit.nn.pooling import MaxPool2d as MaxPool2d
