"""SGD in R^d itself (description 1), one pass over the weights a step.

A step's move and the next step's pre-activations read the same rows, so the move waits: the weights
are W + Cᵀ X, and the sweep that applies the move also draws the next batch and computes its
pre-activations from rows still in registers. Recording a state does not apply the waiting move to
W, hence the numbers do not depend on when states are recorded.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.kernels.dynamics.sgd.pace import go_on, share_of_rate, slower
from meanfield.kernels.dynamics.sgd.random import fill_normals, normal, read_stream, write_stream
from meanfield.kernels.dynamics.sgd.step import (
    at_step,
    batch_gradient,
    closed_risk,
    scale_entries,
    square_risk,
    squared_gradient,
)
from meanfield.kernels.options import serial, shared
from meanfield.kernels.simd import LANES, add, fill, load, multiply_add, store, total

BLOCK = 1024  # columns a sweep takes at a time: the samples' share of them stays in the first cache


@serial
def move_and_dot(w, c, x, fresh):
    """w += c x, and the new w·fresh.

    Written out: left to itself the compiler takes half as many numbers at a time, and a step in
    many dimensions, of which this is nine tenths, then takes a sixth longer.
    """
    even = odd = fill(0.0)
    factor = fill(c)
    whole = w.size // (2 * LANES) * (2 * LANES)
    for j in range(0, whole, 2 * LANES):
        left = multiply_add(factor, load(x, j), load(w, j))
        right = multiply_add(factor, load(x, j + LANES), load(w, j + LANES))
        store(w, j, left)
        store(w, j + LANES, right)
        even = multiply_add(left, load(fresh, j), even)
        odd = multiply_add(right, load(fresh, j + LANES), odd)
    product = total(add(even, odd))
    for j in range(whole, w.size):
        w[j] += c * x[j]
        product += w[j] * fresh[j]
    return product


@serial
def move(w, c, x):
    """w += c x."""
    for j in range(w.size):
        w[j] += c * x[j]


@serial
def dot(x, y):
    """x·y."""
    total = 0.0
    for j in range(x.size):
        total += x[j] * y[j]
    return total


@serial
def copy(x, out):
    """Copy x into out; in a loop, for a slice assignment adds seconds to the compilation."""
    for j in range(x.size):
        out[j] = x[j]


@serial
def rescale(w, factor):
    """w *= factor."""
    for j in range(w.size):
        w[j] *= factor


@serial
def sweep(s, W, W_star, X, C, scale, fresh, pre, pre_star):
    """Apply the waiting move, draw the next batch into X, and take its pre-activations.

    W (p, d), W_star (k, d), X (b, d), C (b, p), scale (p,), or (0,) where it would be 1,
    fresh (b, BLOCK); pre (b, p) and pre_star (b, k) are w·x, not yet over √d.
    """
    (p, d), b = W.shape, X.shape[0]
    pre[:], pre_star[:] = 0.0, 0.0
    for first in range(0, d, BLOCK):
        last = min(first + BLOCK, d)
        m = last - first
        for sample in range(b):
            s = fill_normals(s, fresh[sample, :m])
        for i in range(p):
            w = W[i, first:last]
            if scale.size > 0:
                rescale(w, scale[i])
            if b == 1:
                pre[0, i] += move_and_dot(w, C[0, i], X[0, first:last], fresh[0, :m])
                continue
            for sample in range(b):
                move(w, C[sample, i], X[sample, first:last])
            for sample in range(b):
                pre[sample, i] += dot(w, fresh[sample, :m])
        for sample in range(b):
            for r in range(W_star.shape[0]):
                pre_star[sample, r] += dot(W_star[r, first:last], fresh[sample, :m])
            copy(fresh[sample, :m], X[sample, first:last])
    return s


@serial
def to_sphere(W, X, C, pre, scale):
    """Make the waiting move end on |w|² = d: scale (p,) times the old row, C scaled as well.

    pre (b, p) is w·x. The norm is measured, not carried along, so rounding cannot pile up.
    """
    (p, d), b = W.shape, X.shape[0]
    squares = np.empty(p)
    for i in range(p):
        squares[i] = scale[i] * scale[i] * dot(W[i], W[i])
        for sample in range(b):
            squares[i] += 2.0 * scale[i] * C[sample, i] * pre[sample, i]
    for first in range(b):
        for second in range(b):
            gram = dot(X[first], X[second])
            for i in range(p):
                squares[i] += C[first, i] * C[second, i] * gram
    for i in range(p):
        factor = math.sqrt(d / squares[i])
        scale[i] *= factor
        for sample in range(b):
            C[sample, i] *= factor


@serial
def add_langevin_noise(s, size, W):
    """Independent noise of deviation `size` on every weight."""
    for i in range(W.shape[0]):
        for j in range(W.shape[1]):
            xi, s = normal(s)
            W[i, j] += size * xi
    return s


@serial
def products(W, X, pre):
    """pre_si = w_i·x_s."""
    for sample in range(X.shape[0]):
        for i in range(W.shape[0]):
            pre[sample, i] = dot(W[i], X[sample])


@serial
def step_weights(
    step, pace, share, s, W_star, a_star, W, X, C, scale, a, own, rest, fresh, pre, pre_star, value,
    move,
):  # fmt: skip
    """One update, in place: the state of the random numbers, and whether the error was finite.

    rest (b, 0) is what a sample has outside of X; fresh (b, BLOCK), pre (b, p), pre_star (b, k),
    value (p,) and move (p,) are work space.
    """
    root_d = math.sqrt(step.d)
    s = sweep(s, W, W_star, X, C, scale, fresh, pre, pre_star)
    scale_entries(pre, 1.0 / root_d)
    scale_entries(pre_star, 1.0 / root_d)
    s, finite = batch_gradient(step, s, a, a_star, pre, pre_star, X, rest, C, value, move)
    if own.size > 0:
        go_on(pace, own, share, squared_gradient(step, C, X, rest) if finite else math.inf)
    if not finite:
        return s, False
    scale_entries(C, 1.0 / root_d)
    for i in range(scale.size):
        scale[i] = step.keep
    if step.langevin > 0.0:  # the waiting move will multiply it by keep
        s = add_langevin_noise(s, step.langevin * root_d / step.keep, W)
    if step.spherical:
        if step.langevin > 0.0:
            products(W, X, pre)
        else:
            scale_entries(pre, root_d)
        to_sphere(W, X, C, pre, scale)
    return s, True


@serial
def run_weights(fixed, rates, pace, W_star, a_star, W, X, C, scale, a, own, words, steps):
    """`steps` updates of one run, in place; returns the updates made before an error overflowed.

    A run with a pace of its own may come to the time it goes to before; see `Pace`.
    """
    b, p = C.shape
    fresh, value, move = np.empty((b, BLOCK)), np.empty(p), np.empty(p)
    pre, pre_star = np.empty((b, p)), np.empty((b, W_star.shape[0]))
    rest = np.empty((b, 0))
    s = read_stream(words)
    done, share = steps, 1.0
    for n in range(steps):
        step = at_step(fixed, rates, n)
        if own.size > 0:
            share = share_of_rate(pace, own)
            if share == 0.0:
                done = n
                break
            step = slower(step, share)
        s, finite = step_weights(
            step, pace, share, s, W_star, a_star, W, X, C, scale, a, own, rest, fresh, pre,
            pre_star, value, move,
        )  # fmt: skip
        if not finite:
            done = n
            break
    write_stream(words, s)
    return done


@shared(lambda step, rates, pace, W_star, a_star, W, *rest: (len(W), 1.0 * W.size * rest[-2]))
def advance_weights(
    first, last, step, rates, pace, W_star, a_star, W, X, C, scale, a, own, words, steps, done
):
    """Every run by `steps` updates: W (runs, p, d), X (runs, b, d), C (runs, b, p), a (runs, p)."""
    for run in range(first, last):
        done[run] = run_weights(
            step,
            rates,
            pace,
            W_star,
            a_star,
            W[run],
            X[run],
            C[run],
            scale[run],
            a[run],
            own[run],
            words[run],
            steps,
        )


@serial
def apply_waiting_move(W, X, C, scale, out):
    """The weights of a run with its waiting move made: out (p, d)."""
    for i in range(W.shape[0]):
        copy(W[i], out[i])
        if scale.size > 0:
            rescale(out[i], scale[i])
        for sample in range(X.shape[0]):
            move(out[i], C[sample, i], X[sample])


@serial
def overlaps_of(W, W_star, Q, M):
    """Q = W Wᵀ/d and M = W W*ᵀ/d."""
    p, d = W.shape
    for i in range(p):
        for j in range(i + 1):
            Q[i, j] = Q[j, i] = dot(W[i], W[j]) / d
        for r in range(W_star.shape[0]):
            M[i, r] = dot(W[i], W_star[r]) / d


@shared(lambda W, *_: (len(W), 1.0 * W.size))
def current_weights(first, last, W, X, C, scale, out):
    """The weights of the runs with their waiting moves made: out (runs, p, d)."""
    for run in range(first, last):
        apply_waiting_move(W[run], X[run], C[run], scale[run], out[run])


@shared(lambda step, W_star, P, a_star, W, *_: (len(W), 0.2 * W.shape[1] * W.size))
def record_weights(first, last, step, W_star, P, a_star, W, a, by_matrix, Q, M, risk):
    """Overlaps Q (runs, p, p) and M (runs, p, k), where there is room for them, and risk (runs,).

    W (runs, p, d), a (runs, p); `by_matrix`: squares, whose risk takes no overlaps.
    """
    for run in range(first, last):
        if Q.shape[1] > 0:
            overlaps_of(W[run], W_star, Q[run], M[run])
        if by_matrix:
            risk[run] = square_risk(W[run], W_star, a[run], a_star)
        else:
            risk[run] = closed_risk(step.sigma, step.tau, Q[run], M[run], P, a[run], a_star)
