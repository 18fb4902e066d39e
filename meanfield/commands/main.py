"""The command line: `python -m meanfield`, the concentration study, and its other commands."""

from __future__ import annotations

import argparse
import math
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from meanfield import checks, display
from meanfield._version import __version__
from meanfield.activations import ACTIVATIONS, get_activation
from meanfield.commands import studies, warmup
from meanfield.commands.studies import add_running, threads_of
from meanfield.integrate.interrupts import Terminated, raising_on_sigterm
from meanfield.problem import check_dim
from meanfield.storage import read_archive
from meanfield.studies import ConcentrationStudy, concentration_study
from meanfield.studies.concentration_result import STUDY_FORMAT
from meanfield.studies.executors import open_executor
from meanfield.studies.store import Store
from meanfield.targets import CommitteeTarget, information_exponent

Command = Callable[[Sequence[str]], int]
COMMANDS: dict[str, Command] = {
    "study": studies.study,
    "report": studies.report,
    "warmup": warmup.run,
}
RESULTS = "concentration.npz"
DIMS = "10,30,100,300,1000,inf"
INTRODUCTION = """\
A two-layer network of infinite width learns a target that depends on k directions of its
d-dimensional input. As d grows, its neurons stay close to the subspace those directions span.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the first word names, or else the concentration study.

    Returns
    -------
    int
        0 if all went well; 1 if runs failed, are not made, or could not be made here; 2 for
        unusable arguments or files; 130 after Ctrl-C and 143 after SIGTERM.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = COMMANDS[words.pop(0)] if words and words[0] in COMMANDS else concentration
    with raising_on_sigterm():
        try:
            return command(words)
        except KeyboardInterrupt as error:
            if (result := vars(error).get("result")) is not None:
                print(result.text(), flush=True)
            said = str(error).partition("; what was")[0]
            print(f"stopped: {said or 'interrupted'}", file=sys.stderr)
            return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)
        except (ValueError, TypeError, OSError, ImportError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except RuntimeError as error:  # of a run, or of the executor
            print(f"stopped: {error}", file=sys.stderr)
            return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m meanfield",
        description="Mean-field training in growing input dimension: how the neurons concentrate "
        "on the subspace spanned by the target's directions.",
        epilog=f"Other commands, each with its own --help: {', '.join(COMMANDS)}.",
    )
    parser.add_argument("--version", action="version", version=f"meanfield {__version__}")
    add = parser.add_argument
    add("--dims", nargs="+", default=[DIMS], help=f"input dimensions, inf allowed ({DIMS})")
    add("-n", "--neurons", type=int, default=10_000, help="neurons in each run (10000)")
    add(
        "--t-end", type=float, default=30.0, help="final time, where an SGD step takes γ/(p d) (30)"
    )
    add("-k", type=int, default=1, help="number of target directions (1)")
    names = f"{', '.join(ACTIVATIONS)}, leaky_relu, hermite1 to hermite20"
    add("--activation", default="erf", type=_activation, help=f"of the student (erf): {names}")
    add("--target-activation", default="erf", type=_activation, help="of the target (erf)")
    add("--replicas", type=int, default=4, help="independent starts in each dimension (4)")
    add("--seed", type=int, default=0, help="seed of the starts (0)")
    add("--out", type=Path, default=Path("meanfield-results"),
        help="folder of the study: stopped in any way, the same command goes on there")  # fmt: skip
    add_running(parser, "serial")
    return parser


def _activation(name: str) -> str:
    """The name of an activation, checked while the command line is parsed."""
    try:
        return get_activation(name).name
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def concentration(arguments: Sequence[str]) -> int:
    """Run the concentration study and write its results and figure; see `main`."""
    options = _parser().parse_args(arguments)
    started = time.perf_counter()
    target = CommitteeTarget(k=options.k, activation=options.target_activation)
    dims = [_dim(word, target.k) for word in ",".join(options.dims).split(",") if word]
    _check(options)
    _check_folder(options.out)
    with open_executor(options.executor, options.workers, options.scheduler) as executor:
        if executor is None:
            return 0
        _introduce(options, dims)
        if warning := _saddle(target, dims):
            print(f"\n{textwrap.fill(warning, 100)}", flush=True)
        study = concentration_study(
            target, dims, options.neurons, options.t_end, options.activation, options.seed,
            None if options.executor == "serial" else executor, options.out,
            replicas=options.replicas, threads=threads_of(options), progress=True,
            retry=options.retry, extend=options.extend,
        )  # fmt: skip
    return _write(study, options.out, len(dims), started)


def _introduce(options: argparse.Namespace, dims: Sequence[float]) -> None:
    print(INTRODUCTION)
    print(
        f"{options.neurons:,} {options.activation} neurons, w ~ N(0, I_d), to t = "
        f"{options.t_end:g}; target: {options.target_activation} committee, k = {options.k}; "
        f"d = {', '.join(map(display.text, dims))}",
        flush=True,
    )


def _check_folder(out: Path) -> None:
    """Refuse one with results from before they had a store: they would be written over."""
    file = out / RESULTS
    if file.exists() and not Store(out).specification.exists():
        header, _ = read_archive(file, STUDY_FORMAT)
        version = header.get("parameters", {}).get("version")
        raise ValueError(
            f"{file} holds a study made by version {version}, of which {out} has no runs; "
            "choose another folder with --out"
        )


def _write(study: ConcentrationStudy, out: Path, cases: int, started: float) -> int:
    from meanfield.plotting import plot_concentration

    print("\n" + study.text() + "\n")
    try:
        results = study.save(out / RESULTS)
        figure = out / "concentration.png"
        plot_concentration(study, figure)
    except OSError as error:
        print(f"error: cannot write to {out}: {error}", file=sys.stderr)
        return 1
    print(f"results  {results.resolve()}  (read with mf.load_study, as the folder is)")
    print(f"figure   {figure.resolve()}")
    print(f"done in {time.perf_counter() - started:.0f} s")
    return 1 if study.messages or len(study.dims) < cases else 0


def _check(options: argparse.Namespace) -> None:
    """Refuse numbers that no study has, before anything is printed or written."""
    checks.integer(options.neurons, "n (--neurons)")
    checks.integer(options.replicas, "replicas")
    checks.integer(options.seed, "seed", minimum=0)
    checks.thread_count(options.threads)
    checks.real(options.t_end, "t_end", above=0.0)


def _saddle(target: CommitteeTarget, dims: Sequence[float]) -> str:
    """What to expect of a target without a linear part; nothing of another."""
    try:
        exponent = information_exponent(target)
    except ValueError:  # it has none that can be told
        return ""
    if exponent == 1:
        return ""
    wait = "log d" if exponent == 2 else f"d to the power {0.5 * (exponent - 2):g}"
    said = (
        f"note: this target has information exponent {exponent}: its Hermite coefficients begin at "
        f"that degree, and neurons of a Gaussian start wait at a saddle for a time that grows like "
        f"{wait}."
    )
    if math.inf in dims:
        said += (
            " At d = ∞ they never leave it: no velocity leads away, its relative error means "
            "nothing, and neither do distances to d = ∞. Leave inf out of --dims for the rest."
        )
    return said


def _dim(word: str, k: int) -> float:
    if word.strip() in ("inf", "∞"):
        return math.inf
    try:
        value = float(word)
    except ValueError:
        raise ValueError(f"--dims must hold integers and inf, got {word!r}") from None
    return check_dim(value, k, "--dims")
