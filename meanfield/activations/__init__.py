"""Activation functions, by name or of one's own."""

from meanfield.activations.base import Activation as Activation
from meanfield.activations.library import ACTIVATIONS as ACTIVATIONS
from meanfield.activations.library import get_activation as get_activation
from meanfield.activations.library import hermite as hermite
from meanfield.activations.library import leaky_relu as leaky_relu
from meanfield.activations.library import named as named
from meanfield.activations.own import custom as custom
