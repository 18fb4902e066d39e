"""Random numbers inside compiled loops: one explicit stream a run.

The state of a stream is four unsigned 64-bit words held by the caller (xoshiro256++, Blackman &
Vigna 2021), so what a run draws depends neither on threads nor on how its steps are grouped into
calls. Normals come from a ziggurat of 256 layers (Marsaglia & Tsang 2000), chi-squared draws from
the squeeze of Marsaglia & Tsang (2000, "A simple method for generating gamma variables"). Both are
exact: they reject, they do not approximate.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from meanfield.kernels.options import serial

LAYERS = 256
TAIL = 3.6541528853610088  # where the base layer ends and the tail begins
AREA = 4.92867323399e-3  # of each layer, tail included in the base one

U17, U19, U23, U41, U45 = (np.uint64(m) for m in (17, 19, 23, 41, 45))
U1, U11 = np.uint64(1), np.uint64(11)
LAYER_MASK = np.uint64(LAYERS - 1)
TWO_TO_MINUS_53 = 2.0**-53


def ziggurat_edges() -> NDArray[np.float64]:
    """Right edges of the layers, widest (the base, tail folded in) to 0; shape (LAYERS + 1,)."""
    x = np.zeros(LAYERS + 1)
    x[0], x[1] = AREA / math.exp(-0.5 * TAIL * TAIL), TAIL
    for i in range(1, LAYERS - 1):
        height = math.exp(-0.5 * x[i] * x[i]) + AREA / x[i]
        x[i + 1] = math.sqrt(-2.0 * math.log(height))
    return x


EDGE = ziggurat_edges()
HEIGHT = np.exp(-0.5 * EDGE * EDGE)


@serial
def read_stream(words):
    """The stream held in words (4,), as the tuple that the draws pass along.

    A tuple lives in registers; the same words updated in memory at every draw cost six times more.
    """
    return words[0], words[1], words[2], words[3]


@serial
def write_stream(words, s):
    """Put a stream back into words (4,)."""
    words[0], words[1], words[2], words[3] = s


@serial
def next_word(s):
    """64 random bits, and the stream moved on."""
    s0, s1, s2, s3 = s
    word = s0 + s3
    word = ((word << U23) | (word >> U41)) + s0
    shifted = s1 << U17
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= shifted
    return word, (s0, s1, s2, (s3 << U45) | (s3 >> U19))


@serial
def uniform(s):
    """A uniform in (0, 1]: its logarithm is finite."""
    word, s = next_word(s)
    return (np.float64(np.int64(word >> U11)) + 1.0) * TWO_TO_MINUS_53, s


@serial
def edge_or_tail(s, layer, x):
    """The rare part of the ziggurat, once x misses the layer's inner box: accepted, value, s."""
    first, s = uniform(s)
    if layer > 0:
        height = HEIGHT[layer] + first * (HEIGHT[layer + 1] - HEIGHT[layer])
        return height < math.exp(-0.5 * x * x), x, s
    while True:
        beyond = -math.log(first) / TAIL
        second, s = uniform(s)
        if -2.0 * math.log(second) > beyond * beyond:
            return True, math.copysign(TAIL + beyond, x), s
        first, s = uniform(s)


@serial
def normal(s):
    """A standard normal, and the stream moved on."""
    while True:
        word, s = next_word(s)
        layer = word & LAYER_MASK
        # the layer takes the low 8 bits, the signed fraction the high 54: they share none
        x = np.float64(np.int64(word) >> np.int64(10)) * TWO_TO_MINUS_53 * EDGE[layer]
        if abs(x) < EDGE[layer + U1]:
            return x, s
        accepted, x, s = edge_or_tail(s, np.int64(layer), x)
        if accepted:
            return x, s


@serial
def fill_normals(s, out):
    """Standard normals into out (m,); returns the stream moved on."""
    for j in range(out.size):
        out[j], s = normal(s)
    return s


@serial
def chi_square(s, degrees):
    """χ² with a whole number of degrees of freedom, 0 included; and the stream moved on."""
    if degrees < 0.5:
        return 0.0, s
    if degrees < 1.5:
        x, s = normal(s)
        return x * x, s
    shape = 0.5 * degrees - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * shape)
    while True:
        x, s = normal(s)
        u, s = uniform(s)
        v = 1.0 + c * x
        if v <= 0.0:
            continue
        v = v * v * v
        quick = u < 1.0 - 0.0331 * (x * x) * (x * x)
        if quick or math.log(u) < 0.5 * x * x + shape * (1.0 - v + math.log(v)):
            return 2.0 * shape * v, s
