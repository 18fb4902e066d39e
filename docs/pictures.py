"""The pictures of the concept pages: `python docs/pictures.py` draws them anew into docs/images."""

import itertools
import json
import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from PIL import Image, ImageSequence
from scipy.special import erf

import meanfield as mf
from meanfield import plotting

IMAGES = Path(__file__).parent / "images"
INK, BLUE, GREY = "#222222", "#2c7fb8", "#9a9a9a"


def problem() -> None:
    """A neuron's two parts, and the clock."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.3), layout="constrained")
    left.set(xlim=(-0.35, 1.75), ylim=(-0.3, 1.35), aspect="equal")
    left.axis("off")
    arrow = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "lw": 1.6}
    left.annotate("", (1.6, 0), (-0.25, 0), arrowprops={**arrow, "color": GREY})
    left.annotate("", (0, 1.3), (0, -0.2), arrowprops={**arrow, "color": GREY})
    left.annotate("", (1.05, 0.8), (0, 0), arrowprops={**arrow, "color": INK, "lw": 2.4})
    left.plot([1.05, 1.05], [0, 0.8], ":", color=INK, lw=1)
    left.plot([0, 1.05], [0.8, 0.8], ":", color=INK, lw=1)
    left.annotate("", (1.05, 0), (0, 0), arrowprops={**arrow, "color": BLUE})
    left.annotate("", (0, 0.8), (0, 0), arrowprops={**arrow, "color": BLUE})
    left.text(0.52, -0.15, r"$u$", color=BLUE, ha="center", fontsize=13)
    left.text(-0.13, 0.38, r"$r$", color=BLUE, fontsize=13)
    left.text(1.08, 0.85, r"$w/\sqrt{d}$", color=INK, fontsize=13)
    left.text(1.2, -0.16, "target's directions (k)", color="0.35", ha="center", fontsize=9)
    left.text(0.06, 1.22, "all other directions (D = d − k)", color="0.35", fontsize=9)

    steps = {}
    for dim, width in ((50, 4), (200, 4), (50, 16)):
        task = mf.Problem(mf.CommitteeTarget(k=1), dim=dim, learning_rate=0.5)
        start = mf.gaussian_overlaps(task, width, seed=3)
        steps[dim, width] = mf.simulate_sgd(task, start, 20.0, seed=1, runs=1, save_at=60)
    for (dim, width), shade in zip(steps, (INK, BLUE, GREY), strict=True):
        run = steps[dim, width]
        label = f"d = {dim}, p = {width}: {round(run.t[-1] * width * dim / 0.5):,} steps"
        right.semilogy(run.t, run.risk[0], color=shade, lw=1.6, label=label)
    right.set(xlabel=r"time  t = ν γ/(p d)  after ν steps", ylabel="population risk")
    right.legend(frameon=False, fontsize=8)
    figure.savefig(IMAGES / "problem.png", dpi=130)


def statistics() -> None:
    """Q, M and P before and after learning."""
    task = mf.Problem(mf.CommitteeTarget(k=2), dim=500)
    start = mf.gaussian_overlaps(task, 6, seed=4)
    run = mf.solve_overlaps(task, start, 2000.0, save_at=[0.0, 2000.0])
    order = np.argsort(run.final.M[:, 1] - run.final.M[:, 0])
    figure, panels = plt.subplots(1, 2, figsize=(9.0, 3.9), layout="constrained")
    for ax, state, when in zip(panels, (start, run.final), ("t = 0", "t = 2000"), strict=True):
        Q, M = state.Q[np.ix_(order, order)], state.M[order]
        joint = np.block([[Q, M], [M.T, state.P]])
        image = ax.imshow(joint, cmap="RdBu_r", vmin=-1.5, vmax=1.5)
        ax.axhline(5.5, color=INK, lw=1)
        ax.axvline(5.5, color=INK, lw=1)
        ax.set(title=when, xticks=[2.5, 6.5], yticks=[2.5, 6.5])
        ax.set_xticklabels(["neurons", "target"])
        ax.set_yticklabels(["neurons", "target"], rotation=90, va="center")
        for x, y, name in ((-0.4, -0.4, "Q"), (5.6, -0.4, "M"), (-0.4, 5.6, "Mᵀ"), (5.6, 5.6, "P")):
            white = {"fc": "white", "ec": "none", "pad": 1.5, "alpha": 0.85}
            ax.text(x, y, name, ha="left", va="top", fontsize=10, bbox=white)
    figure.colorbar(image, ax=panels, shrink=0.8, label="overlap")
    figure.savefig(IMAGES / "statistics.png", dpi=130)


def descriptions() -> None:
    """How the descriptions nest: what each arrow neglects."""
    figure, ax = plt.subplots(figsize=(9.6, 3.2), layout="constrained")
    ax.set(xlim=(0, 10.2), ylim=(0, 3.4))
    ax.axis("off")
    for x, y, title, state in (
        (0.1, 2.2, "SGD in $\\mathbb{R}^d$", "Weights"),
        (3.8, 2.2, "SGD in law", "Overlaps"),
        (7.5, 2.2, "overlap ODE", "Overlaps"),
        (7.5, 0.2, "gradient flow", "Overlaps"),
        (3.8, 0.2, "mean field at d", "ParticleMeasure"),
        (0.1, 0.2, "mean field at d = ∞", "ParticleMeasure"),
    ):
        _box(ax, x, y, title, state)
    arrow = {"arrowstyle": "-|>", "color": INK, "lw": 1.4, "shrinkA": 2, "shrinkB": 2}
    for tail, head, where, text in (
        ((2.5, 2.7), (3.8, 2.7), (3.15, 2.92), "exact"),
        ((6.2, 2.7), (7.5, 2.7), (6.85, 3.0), r"$\sqrt{\gamma/(pd)}$"),
        ((8.7, 2.2), (8.7, 1.2), (8.98, 1.7), r"$\gamma/p$"),
        ((7.5, 0.7), (6.2, 0.7), (6.85, 0.95), r"$1/p,\ 1/\sqrt{p}$"),
        ((3.8, 0.7), (2.5, 0.7), (3.15, 0.92), r"$1/d$"),
    ):
        ax.annotate("", head, tail, arrowprops=arrow)
        ax.text(*where, text, ha="center", va="center", fontsize=10, color=BLUE)
    figure.savefig(IMAGES / "descriptions.png", dpi=130)


def _box(ax: Axes, x: float, y: float, title: str, state: str) -> None:
    shape = FancyBboxPatch((x, y), 2.4, 1.0, "round,pad=0,rounding_size=0.12", fc="white", ec=INK)
    ax.add_patch(shape)
    ax.text(x + 1.2, y + 0.64, title, ha="center", va="center", fontsize=11)
    ax.text(x + 1.2, y + 0.28, state, ha="center", va="center", fontsize=9, family="monospace")


def moving() -> None:
    """Neurons in the plane of two target directions; the law of their angles with the subspace."""
    task = mf.Problem(mf.CommitteeTarget(k=2), dim=10, learning_rate=0.1)
    start = mf.gaussian_overlaps(task, 8, seed=3)
    times = np.append(0.0, np.geomspace(0.3, 3000.0, 39))
    run = mf.solve_overlaps(task, start, 3000.0, save_at=times)
    _save_small(plotting.animate_neurons(run), "neurons.gif")
    task = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    law = mf.gaussian_measure(task, n=4000, sampling="antithetic-sobol")
    run = mf.solve_mean_field(task, law, 40.0, save_at=41)
    _save_small(plotting.animate_alignment(run), "alignment.gif")


def _save_small(animation: FuncAnimation, name: str) -> None:
    animation.save(IMAGES / name, writer=PillowWriter(fps=8), dpi=64)
    with Image.open(IMAGES / name) as picture:
        frames = [frame.convert("P", palette=Image.Palette.ADAPTIVE, colors=24)
                  for frame in ImageSequence.Iterator(picture)]  # fmt: skip
    frames[0].save(
        IMAGES / name, save_all=True, append_images=frames[1:], duration=120, loop=0, optimize=True
    )


def plateaus() -> None:
    """Times to leave a plateau, a staircase against a product, a committee that specialises."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12.6, 3.8), layout="constrained")
    dims = 10 ** np.arange(2, 7)
    for degree, shade in zip((1, 2, 3, 4), ("#9ecae1", BLUE, "#08519c", INK), strict=True):
        times = [_time_to_leave(degree, d) for d in dims]
        left.loglog(dims, times, "o-", color=shade, ms=4, lw=1, label=f"exponent {degree}")
    left.set(xlabel="input dimension d", ylabel="time to overlap 1/2")
    left.legend(frameon=False, fontsize=8)

    student = mf.activations.custom(
        lambda x: erf((x + 0.7) / math.sqrt(2)),
        lambda x: math.sqrt(2 / math.pi) * np.exp(-0.5 * (x + 0.7) ** 2),
        strip=3.5,
    )
    for target, style in ((mf.targets.staircase(3), "-"), (mf.targets.parity(3), "--")):
        task = mf.Problem(target, student, second_layer_rate=1.0)
        a = 4 * np.linspace(-1, 1, 40)
        start = mf.aligned_measure(task, 40, overlap=0.0, second_layer=a)
        run = mf.solve_mean_field(task, start, 12.0, save_at=61)
        u = np.sqrt((run.states.varying["u"] ** 2).mean(axis=1))
        for j, shade in enumerate(("#9ecae1", BLUE, "#08519c")):
            label = f"staircase, coordinate {j + 1}" if style == "-" else "product, all" * (j == 2)
            middle.plot(run.t, u[:, j], style, color=shade, label=label)
    middle.set(xlabel="time t", ylabel="root mean square of u")
    middle.legend(frameon=False, fontsize=8, loc=(0.48, 0.06))

    task = mf.Problem(mf.CommitteeTarget(k=2))
    start = mf.aligned_overlaps(task, 2, overlap=0.1, spread=1e-4, seed=1)
    run = mf.solve_overlaps(task, start, 450.0, sgd_noise=False, save_at=301, rtol=1e-8, atol=1e-12)
    M = run.states.varying["M"]
    for i, r in np.ndindex(2, 2):
        shade = BLUE if run.final.M[i, r] > 0.5 else GREY
        label = "a neuron and its unit" if shade == BLUE else "a neuron and the other unit"
        first = label not in right.get_legend_handles_labels()[1]
        right.plot(run.t, M[:, i, r], color=shade, lw=1.6, label=label if first else None)
    right.legend(frameon=False, fontsize=8, loc="upper left")
    right.set(xlabel="time t", ylabel="overlaps M", ylim=(-0.05, 1.05))
    figure.savefig(IMAGES / "plateaus.png", dpi=130)


def _time_to_leave(degree: int, d: int) -> float:
    """Time from overlap 1/√d to 1/2 under gradient flow on the sphere."""
    task = mf.Problem(mf.CommitteeTarget(k=1, activation=f"hermite{degree}"), f"hermite{degree}", d)
    start = mf.aligned_overlaps(task, 1, overlap=1 / math.sqrt(d))
    growing = 0.0 if degree < 3 else d ** (degree / 2 - 1) / (degree * (degree - 2))
    late = 0.6 + 0.25 * math.log(d) * (degree > 1) + growing
    run = mf.solve_overlaps(
        task, start, late, spherical=True, save_at=np.linspace(0, late, 2001), atol=1e-14
    )
    m = run.states.varying["M"][:, 0, 0]
    before = int(np.argmax(m > 0.5))
    return float(np.interp(0.5, m[before - 1 : before + 1], run.t[before - 1 : before + 1]))


def calibration() -> None:
    """True over stated errors at random problems, from what the benchmark left."""
    found = json.loads((IMAGES.parent / "calibration.json").read_text(encoding="utf-8"))
    kinds = (("mean field", BLUE), ("overlaps", INK), ("γ/p term", GREY))
    figure, ax = plt.subplots(figsize=(8.4, 3.2), layout="constrained")
    for shift, (kind, shade) in enumerate(kinds):
        counts, edges = found[kind]["counts"], found[kind]["edges"]
        answered = sum(counts)
        places = np.arange(len(counts)) + 0.27 * (shift - 1)
        label = f"{kind}: {answered} problems, {found[kind]['beyond_1.5']} beyond 1.5"
        ax.bar(places, 100 * np.array(counts) / max(answered, 1), 0.25, color=shade, label=label)
    names = [f"{low} to {high}" for low, high in itertools.pairwise(edges)]
    ax.set_xticks(np.arange(len(names)), [n.replace("inf", "∞") for n in names], fontsize=8)
    ax.axvline(edges.index("1.5") - 0.5, color="0.4", ls=":", lw=1.2)
    ax.set(xlabel="true error over stated", ylabel="problems, %")
    ax.legend(frameon=False, fontsize=8)
    figure.savefig(IMAGES / "calibration.png", dpi=130)


def stopping() -> None:
    """A plateau that is no end, and times to a risk."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.3), layout="constrained")
    task = mf.Problem(mf.CommitteeTarget(k=2), dim=200)
    near = np.array([[1e-3, 0.0], [0.0, 1e-3]])
    start = mf.Overlaps(1 / 3 + 2 * near, 6**-0.5 + near, np.eye(2), [1.0, 1.0])
    run = mf.solve_overlaps(task, start, 400.0, save_at=401)
    stop = mf.solve_overlaps(task, start, 400.0, until=mf.until.steady(0.1))
    slow = np.abs(np.diff(run.M, axis=0)).max(axis=(1, 2)) * np.maximum(run.t[1:], 1.0)
    fooled = run.t[1:][int(np.argmax(slow < 0.1 * np.abs(run.M).max()))]
    left.semilogy(run.t, run.risk, color=INK, lw=1.6)
    for t, label, shade in (
        (fooled, "slow enough, but left", GREY), (stop.stopped_at, "steady(0.1)", BLUE)
    ):  # fmt: skip
        height = float(np.interp(t, run.t, run.risk))
        left.plot(t, height, "o", color=shade, label=f"{label}: t = {t:.0f}")
    left.set(xlabel="time t", ylabel="population risk")
    left.legend(frameon=False, fontsize=8)

    noisy = mf.Problem(mf.CommitteeTarget(k=1, noise=0.05), dim=50, learning_rate=0.5)
    levels = np.geomspace(0.1, 0.01, 8)
    for dim, shade in ((50, GREY), (400, BLUE)):
        at = noisy.at_dim(dim)
        begin = mf.Overlaps([[1.0, 0.1], [0.1, 0.8]], [[0.3], [-0.2]], [[1.0]], [1.0, 1.0])
        times = np.array(
            [
                mf.simulate_sgd(at, begin, 30.0, runs=40, until=mf.until.risk_below(x)).stopped_at
                for x in levels
            ]
        )
        label = f"SGD, d = {dim}: mean and scatter of 40 runs"
        right.errorbar(
            levels, times.mean(axis=1), times.std(axis=1), fmt="o", ms=4, color=shade, label=label
        )
    theory = [
        mf.solve_overlaps(noisy, begin, 30.0, until=mf.until.risk_below(x)).stopped_at
        for x in levels
    ]
    right.semilogx(levels, theory, color=INK, lw=1.6, label="overlap ODEs")
    right.set(xlabel="risk to be met", ylabel="time until then")
    right.legend(frameon=False, fontsize=8)
    figure.savefig(IMAGES / "stopping.png", dpi=130)


def clipping() -> None:
    """The risk under gradients clipped at several norms, and what is left of it late."""
    target = mf.CommitteeTarget(k=1, noise=0.3)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.3), layout="constrained")
    start = mf.gaussian_overlaps(mf.Problem(target, dim=200), p=2, seed=1)
    for c, colour in ((math.inf, INK), (0.5, BLUE), (0.2, "#c0392b"), (0.1, GREY)):
        task = mf.Problem(target, dim=200, learning_rate=1.5, clip_norm=c)
        theory = mf.solve_overlaps(task, start, 60.0, save_at=121)
        sgd = mf.simulate_sgd(task, start, 60.0, runs=50, save_at=13)
        label = "not clipped" if math.isinf(c) else f"c = {c:g}"
        left.semilogy(theory.t, theory.risk, color=colour, lw=1.4, label=label)
        left.semilogy(sgd.t, sgd.risk.mean(axis=0), "o", ms=3.5, color=colour)
    left.set(xlabel="time t", ylabel="population risk")
    left.legend(frameon=False, fontsize=8)
    thresholds = np.geomspace(0.05, 4.0, 12)
    tasks = [mf.Problem(target, learning_rate=1.5, clip_norm=c) for c in (*thresholds, math.inf)]
    *ends, free = [mf.solve_overlaps(task, start, 60.0, save_at=[60.0]).risk[0] for task in tasks]
    right.loglog(thresholds, ends, "o-", ms=3.5, color=BLUE, lw=1.4)
    right.axhline(free, color=INK, lw=1, ls=":", label="not clipped")
    right.legend(frameon=False, fontsize=8)
    right.set(xlabel="threshold c", ylabel="risk at t = 60")
    figure.savefig(IMAGES / "clipping.png", dpi=130)


def tasks() -> None:
    """Forgetting: the risk under each of two tasks."""
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.3), sharey=True, layout="constrained")
    unit = mf.CommitteeTarget(k=1)
    for ax, likeness in zip(axes, (0.0, 0.8), strict=True):
        first, second = mf.targets.together(unit, unit, [[likeness]])
        one, two = (mf.Problem(each, dim=200, learning_rate=0.2) for each in (first, second))
        start = mf.gaussian_overlaps(one, p=2, seed=1)
        theory = mf.solve_overlaps(one, start, 30.0, save_at=61).then(two, 60.0, save_at=61)
        sgd = mf.simulate_sgd(one, start, 30.0, runs=10, save_at=11).then(two, 60.0, save_at=11)
        for name, target, shade in (("first", first, BLUE), ("second", second, INK)):
            ax.semilogy(theory.t, theory.risk_under(target), color=shade, label=f"{name} task")
            ax.semilogy(sgd.t, sgd.risk_under(target).mean(axis=0), "o", ms=4, color=shade)
        ax.axvline(30.0, color=GREY, ls=":", lw=1.2)
        ax.set(xlabel="time t", title=f"tasks with overlap {likeness:g}")
    axes[0].set(ylabel="population risk")
    axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(IMAGES / "tasks.png", dpi=130)


if __name__ == "__main__":
    pictures = problem, statistics, descriptions, moving, plateaus, calibration, stopping, tasks
    for draw in (*pictures, clipping):
        draw()
