"""One problem of each kind, on the oldest versions that pyproject.toml declares.

    python -m tests.oldest pins     # name==version of each dependency, for pip
    python -m tests.oldest FILE     # solves, and compares with the numbers in the file if it exists

No test of the suite, which runs on the newest versions: `.ci/run` solves on both, each in its own
environment. The answers are to agree far within what they are worth.
"""

from __future__ import annotations

import json
import math
import sys
import tomllib
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path

PROJECT = Path(__file__).parent.parent / "pyproject.toml"
ROUNDING = 1e-7


def minimums():
    """The version below which a dependency is not declared to work, by its name."""
    declared = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    return dict(dependency.split(">=") for dependency in declared)


def square(z):
    return z[:, 0] ** 2


def problems():
    """What each kind of problem is asked for: a call that returns a number, by name."""
    import meanfield as mf

    problem = mf.Problem(mf.CommitteeTarget(k=1, noise=0.1), dim=20, learning_rate=0.5)
    own = mf.Problem(mf.MultiIndexTarget(square, k=1), "tanh", math.inf)
    weights = mf.gaussian_weights(problem, 2)
    start, law = weights.overlaps(), mf.gaussian_measure(problem, 30)
    other = mf.gaussian_measure(problem, 30, seed=1)

    def risk(solution):
        assert solution.status is mf.Status.SUCCESS, solution.message
        return float(solution.risk[..., -1].mean())

    def study():
        solver = {"description": "overlaps", "t_end": 0.1, "save_at": 2}
        made = mf.Study(problem, {"law": "gaussian_overlaps", "p": 2}, solver).run()
        return float(made.array("risk").ravel()[-1])

    def picture():
        return len(mf.solve_overlaps(problem, start, 0.1, save_at=5).plot().lines)

    return {
        "mean field": lambda: risk(mf.solve_mean_field(problem, law, 0.1)),
        "own target": lambda: risk(mf.solve_mean_field(own, mf.gaussian_measure(own, 30), 0.1)),
        "overlap equations": lambda: risk(mf.solve_overlaps(problem, start, 0.1)),
        "SGD in law": lambda: risk(mf.simulate_sgd(problem, start, 0.1)),
        "SGD in R^d": lambda: risk(mf.simulate_sgd(problem, weights, 0.1)),
        "fluctuations": lambda: risk(mf.solve_fluctuations(problem, start, 0.1)),
        "diffusion": lambda: risk(mf.simulate_diffusion(problem, start, 0.1)),
        "stationary point": lambda: float(mf.find_stationary(problem, start).risk),
        "transport": lambda: float(mf.transport.wasserstein(law, other)),
        "study": study,
        "picture": picture,
    }


def solved(name):
    return problems()[name]()


if __name__ == "__main__":
    (asked,) = sys.argv[1:]
    if asked == "pins":
        print(*(f"{name}=={least}" for name, least in minimums().items()))
        sys.exit()
    print(f"Python {sys.version.split()[0]},", ", ".join(f"{n} {version(n)}" for n in minimums()))
    names = list(problems())
    with ProcessPoolExecutor(2) as pool:
        found = dict(zip(names, pool.map(solved, names), strict=True))
    if not (file := Path(asked)).exists():
        file.write_text(json.dumps(found))
    for name, expected in json.loads(file.read_text()).items():
        print(f"{name}: {found[name]!r}, {expected!r} elsewhere")
        assert math.isclose(found[name], expected, rel_tol=ROUNDING), name
