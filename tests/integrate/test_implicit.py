"""Implicit steps: order for any matrix, damping where it is stiff, and when they are chosen."""

import numpy as np
import pytest

from meanfield.integrate import Status, integrate
from meanfield.integrate.equation import Equation
from meanfield.integrate.implicit import Implicit, Subspace, extrapolation_weights, find_subspace
from meanfield.kernels.integrate import BLOCK
from meanfield.kernels.threads import thread_limit
from tests.integrate.test_adaptive import START, exact, run, slope, smooth, states

NONE = Subspace([], 0.0, 0.0, 0)


def begin(rhs, y0, columns=4):
    """An equation standing at y0, t = 0, its slope there, and a method of so many columns."""
    equation = Equation(rhs, np.array(y0, dtype=float), 1e-6, 1e-9)
    method = Implicit(equation)
    method.columns, method.exponent = columns, 1.0 / columns
    equation.slope(0.0, 0, 1)
    return equation, method


def single_step(rhs, y0, h, columns, subspace=NONE, V=None):
    equation, method = begin(rhs, y0, columns)
    if V is not None:
        equation.rows[list(equation.basis[: len(V)])] = V
    step = method.attempt(0.0, h, tuple(range(7)), subspace)
    return equation.rows[step.rows[0]].copy(), equation.rows[step.rows[-1]].copy(), step


@pytest.mark.parametrize("k", range(2, 7))
def test_weights(k):
    """They cancel the powers 1/n, …, 1/n^{k-1} of an expansion, and one fewer."""
    n = np.arange(1, k + 1.0)
    best, difference = extrapolation_weights(k)
    powers = [(best @ n**-m, (best - difference) @ n**-m) for m in range(k)]
    assert powers[0] == pytest.approx((1.0, 1.0))
    assert np.abs([p[0] for p in powers[1:]]) == pytest.approx(0.0, abs=1e-11)
    assert np.abs([p[1] for p in powers[1 : k - 1]]) == pytest.approx(0.0, abs=1e-11)


@pytest.mark.parametrize("with_matrix", [False, True])
@pytest.mark.parametrize("columns", [3, 4, 5])
def test_order_whatever_the_matrix(columns, with_matrix):
    """One step errs as h^{k+1}, its estimate as h^k, with A = 0 or one that fits nothing."""
    V, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    subspace = Subspace([[-0.6, 0.2], [0.1, -0.4]], 0.0, 0.6, 2) if with_matrix else NONE
    sizes = np.array([0.2, 0.14, 0.1, 0.07])
    errors, estimates = [], []
    for h in sizes:
        y, estimate, _ = single_step(
            smooth, START, h, columns, subspace, V[:2] if subspace.B else None
        )
        errors.append(abs(y - exact([0.0, h])[-1]).max())
        estimates.append(abs(estimate).max())
    assert slope(sizes, errors) == pytest.approx(columns + 1, abs=0.5)
    assert slope(sizes, estimates) == pytest.approx(columns, abs=0.5)


@pytest.mark.parametrize("columns", [3, 4, 5, 6])
def test_stability(columns):
    """With its eigenvalue known, a mode is damped at any step; unknown, up to h |λ| of about 2."""

    def factor(z, known):
        subspace = Subspace([[z]], 0.0, -z, 1) if known else NONE
        linear = single_step(lambda t, y, out: np.multiply(z, y, out), [1.0], 1.0, columns,
                             subspace, [[1.0]] if known else None)  # fmt: skip
        return abs(linear[0][0])

    stiff = -np.geomspace(1e-3, 1e9, 100)
    assert max(factor(z, True) for z in stiff) < 1.0
    assert factor(-1e9, True) < 1e-6
    assert max(factor(z, False) for z in np.linspace(-1.9, -0.01, 30)) < 1.0


def spectrum_problem(values, seed=0):
    """y' = A y with A symmetric of the given eigenvalues, its rest slow; and its eigenvectors."""
    n = 40
    X, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))
    w = np.concatenate((values, -np.linspace(0.001, 0.01, n - len(values))))
    A = (X * w) @ X.T
    return (lambda t, y, out: np.matmul(A, y, out)), X, n


@pytest.mark.parametrize("values", [[-50.0], [-50.0, -20.0, -7.0], [-50.0, -20.0, -20.0, -20.0]])
def test_stiff_directions_are_found(values):
    """From what a few failed steps show of them; equal eigenvalues take one more each."""
    rhs, X, n = spectrum_problem(values)
    equation, _ = begin(rhs, np.random.default_rng(1).normal(size=n))
    found = None
    for i in range(len(values)):
        equation.rows[6] = X[:, : len(values)] @ np.random.default_rng(i).normal(size=len(values))
        found = find_subspace(equation, 0.0, 1.0, (0, 1), (2, 3), 6, found)
    V = equation.rows[list(equation.basis[: len(found.B)])]
    assert found.stiff == len(values) and len(V) == len(values) + 1
    assert V @ V.T == pytest.approx(np.eye(len(V)), abs=1e-10)
    eigenvalues = np.sort(np.linalg.eigvals(np.array(found.B)).real)
    assert eigenvalues[:-1] == pytest.approx(sorted(values), rel=1e-5)
    assert found.radius == pytest.approx(50.0, rel=1e-5) and found.leak < 0.1
    assert np.linalg.norm(X[:, : len(values)].T @ V[:-1].T, axis=1) == pytest.approx(1.0, abs=1e-6)


def test_growing_directions_stay_explicit():
    damping = Subspace([[2.0, 0.0], [0.0, -1e9]], 0.0, 1e9, 2).damping(0.4)
    assert damping == pytest.approx(np.diag([0.0, -1.0]), abs=1e-8)


def relaxation(rates):
    """A slow circle in two components; the others follow it, at their own rates."""

    def rhs(t, y, out):
        out[0], out[1] = -0.01 * y[1], 0.01 * y[0]
        out[2:] = -rates * (y[2:] - np.sin(y[0])) - 0.05 * y[2:].mean()

    return rhs


STIFF = np.array([100.0, 30.0, 30.0] + [0.02] * 60)
REST = np.array([1.0, 0.0] + [0.0] * 63)


def test_a_stiff_problem_is_seen_and_eased():
    times = np.linspace(0.0, 300.0, 11)
    found = run(relaxation(STIFF), REST, 300.0, times)
    tight = run(relaxation(STIFF), REST, 300.0, times, rtol=1e-8, atol=1e-11)
    assert found.status is Status.SUCCESS
    assert found.stats["implicit_steps"] > 0 and "implicit" in found.stats["method"]
    # an explicit step is at most 3.3/100 long
    assert found.stats["rhs_evaluations"] < 0.05 * 6 * 300.0 / 0.033
    assert np.array(states(found)) == pytest.approx(np.array(states(tight)), abs=3e-5)


def test_saving_does_not_change_implicit_steps():
    few = run(relaxation(STIFF), REST, 300.0, [300.0])
    many = run(relaxation(STIFF), REST, 300.0, np.linspace(0.0, 300.0, 8))
    assert few.y.tobytes() == many.y.tobytes()
    assert few.stats["steps"] == many.stats["steps"]
    assert few.stats["rhs_evaluations"] < many.stats["rhs_evaluations"]


def test_where_implicit_steps_do_not_pay_they_are_given_up():
    """Hundreds of stiff directions, of which no few stand out."""
    rates = np.linspace(50.0, 100.0, 400)
    start = np.concatenate(([1.0, 0.0], np.zeros(400)))
    found = run(relaxation(rates), start, 20.0, [20.0])
    assert found.status is Status.SUCCESS
    assert found.stats["rhs_evaluations"] < 1.6 * 6 * 20.0 / (3.3 / 100.0)
    assert found.stats["implicit_steps"] < 0.2 * found.stats["steps"]


def test_a_split_state_takes_the_same_steps():
    """Half of a system that is there twice, with sums doubled, goes as the whole."""
    one = relaxation(STIFF)

    def twice(t, y, out):
        one(t, y[::2], out[::2])
        one(t, y[1::2], out[1::2])

    whole = run(twice, np.repeat(REST, 2), 50.0, [50.0])
    half = run(one, REST, 50.0, [50.0], total=lambda sums: 2.0 * sums)
    for name in ("steps", "implicit_steps"):  # where growth is looked for, parts look apart
        assert half.stats[name] == whole.stats[name] > 0
    assert half.y == pytest.approx(whole.y[::2], rel=1e-6)


def test_threads_do_not_change_a_bit_of_implicit_steps():
    rates = np.concatenate((STIFF[:3], np.linspace(0.01, 0.03, 3 * BLOCK)))
    start, finals = np.concatenate(([1.0, 0.0], np.zeros(len(rates)))), []
    for threads in (1, 2):
        with thread_limit(threads):
            finals.append(run(relaxation(rates), start, 20.0, [20.0]))
    assert finals[0].stats["implicit_steps"] > 0
    assert finals[0].stats == finals[1].stats
    assert finals[0].y.tobytes() == finals[1].y.tobytes()


class Memory:
    """A checkpoint in memory, written when asked."""

    def __init__(self, every=0):
        self.snapshot, self.every, self.count = None, every, 0

    def load(self):
        return self.snapshot

    def outside(self):
        return {}

    def restore(self, outside):
        pass

    def due(self):
        self.count += 1
        return self.every > 0 and self.count % self.every == 0

    def save(self, snapshot):
        self.snapshot = snapshot._replace(
            arrays={name: np.array(array) for name, array in snapshot.arrays.items()}
        )


@pytest.mark.slow
@pytest.mark.parametrize("where", ["rhs", "observe"])
def test_stopped_at_any_moment_it_goes_on_alike(where):
    """Ctrl-C in each of many calls, explicit and implicit; the resumed run has the same bits."""
    times, rhs = np.linspace(0.0, 200.0, 15), relaxation(STIFF)
    whole = run(rhs, REST, 200.0, times)
    assert whole.stats["implicit_steps"] > 3
    moments = range(1, 15) if where == "observe" else range(3, whole.stats["rhs_evaluations"], 23)
    for moment in moments:
        calls, memory = {"rhs": 0, "observe": 0}, Memory(every=3)

        def called(name, calls=calls, moment=moment):
            calls[name] += 1
            if name == where and calls[name] == moment:
                raise KeyboardInterrupt

        def stopping(t, y, out, called=called):
            called("rhs")
            rhs(t, y, out)

        def observe(t, y, called=called):
            called("observe")
            return {"y": y.copy()}

        options = {"rtol": 1e-6, "atol": 1e-9, "checkpoint": memory}
        stopped = integrate(stopping, REST, 200.0, times, observe, **options)
        assert stopped.status is Status.INTERRUPTED
        resumed = integrate(rhs, REST, 200.0, times, observe, **options)
        assert resumed.stats == whole.stats
        assert resumed.y.tobytes() == whole.y.tobytes()
        assert np.array(states(resumed)).tobytes() == np.array(states(whole)).tobytes()
