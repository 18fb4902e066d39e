"""SGD in few dimensions with many neurons: the loops run along the neurons.

As in `weights`, a step's move waits for the next sweep over the weights. They are held as
(d, p), so that a sweep is d passes over rows of neurons: one multiply-add moves a weight and one
projects it.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.kernels.dynamics.sgd.random import fill_normals, read_stream, write_stream
from meanfield.kernels.dynamics.sgd.step import at_step, batch_gradient, scale_entries
from meanfield.kernels.options import serial, shared

BLOCK = 1024  # neurons a sweep takes at a time: what it gathers of them stays in the first cache


@serial
def move_and_project(w, c, x, fresh, pre):
    """w += c x, and pre += w fresh."""
    for i in range(w.size):
        value = w[i] + c[i] * x
        w[i] = value
        pre[i] += value * fresh


@serial
def sweep(s, W, W_star, x, c, fresh, pre, pre_star):
    """Apply the waiting move c xᵀ, draw the next sample into x, and take its pre-activations.

    W (d, p), W_star (k, d), x (d,), c (p,), fresh (d,); pre (p,) and pre_star (k,) are w·x, not
    yet over √d.
    """
    d, p = W.shape
    s = fill_normals(s, fresh)
    pre[:] = 0.0
    for first in range(0, p, BLOCK):
        last = min(first + BLOCK, p)
        for j in range(d):
            move_and_project(W[j, first:last], c[first:last], x[j], fresh[j], pre[first:last])
    for r in range(W_star.shape[0]):
        pre_star[r] = 0.0
        for j in range(d):
            pre_star[r] += W_star[r, j] * fresh[j]
    for j in range(d):
        x[j] = fresh[j]
    return s


@serial
def step_wide(step, s, W_star, a_star, W, X, C, a, rest, fresh, pre, pre_star, value, move):
    """One update, in place: the state of the random numbers, and whether the error was finite.

    rest (1, 0) is what a sample has outside of X; fresh (d,), pre (1, p), pre_star (1, k),
    value (p,) and move (p,) are work space.
    """
    part = 1.0 / math.sqrt(step.d)
    s = sweep(s, W, W_star, X[0], C[0], fresh, pre[0], pre_star[0])
    scale_entries(pre, part)
    scale_entries(pre_star, part)
    s, finite = batch_gradient(step, s, a, a_star, pre, pre_star, X, rest, C, value, move)
    if finite:
        scale_entries(C, part)
    return s, finite


@serial
def run_wide(fixed, rates, W_star, a_star, W, X, C, a, words, steps):
    """`steps` updates of one run, in place; returns the updates made before an error overflowed."""
    d, p = W.shape
    fresh, value, move = np.empty(d), np.empty(p), np.empty(p)
    pre, pre_star = np.empty((1, p)), np.empty((1, W_star.shape[0]))
    rest = np.empty((1, 0))
    s = read_stream(words)
    done = steps
    for n in range(steps):
        step = at_step(fixed, rates, n)
        s, finite = step_wide(
            step, s, W_star, a_star, W, X, C, a, rest, fresh, pre, pre_star, value, move
        )
        if not finite:
            done = n
            break
    write_stream(words, s)
    return done


@shared(lambda step, rates, W_star, a_star, W, *rest: (len(W), 1.0 * W.size * rest[-2]))
def advance_wide(first, last, step, rates, W_star, a_star, W, X, C, a, words, steps, done):
    """Every run by `steps` updates: W (runs, d, p), X (runs, 1, d), C (runs, 1, p), a (runs, p)."""
    for run in range(first, last):
        done[run] = run_wide(
            step, rates, W_star, a_star, W[run], X[run], C[run], a[run], words[run], steps
        )


@shared(lambda W, *_: (len(W), 1.0 * W.size))
def current_weights_wide(first, last, W, X, C, out):
    """The weights of the runs with their waiting moves made: out (runs, p, d)."""
    for run in range(first, last):
        d, p = W[run].shape
        for i in range(p):
            for j in range(d):
                out[run, i, j] = W[run, j, i] + C[run, 0, i] * X[run, 0, j]
