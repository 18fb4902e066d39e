"""Ctrl-C ends a script, and SIGTERM as it does; both leave a checkpoint first, in every solver."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from subprocess import PIPE, STDOUT

import pytest

import meanfield as mf
from meanfield.integrate.interrupts import Terminated, raising_on_sigterm
from tests.dynamics.test_checkpoint import CASES, norm, solve
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).parent.parent.parent
LANGEVIN = mf.Problem(
    mf.CommitteeTarget(k=1), dim=10, temperature=0.1, weight_decay=0.5, second_layer_decay=0.5
)

ENGINES = [*CASES, "temperature"]


def struck_by(number, count=3):
    """An observable that is the signal the `count`-th time it is asked."""
    asked = []

    def observable(t, state):
        asked.append(t)
        if len(asked) == count:
            signal.raise_signal(number)
        return norm(t, state)

    return observable


def at_a_temperature(path=None, observable=norm):
    return mf.solve_mean_field(
        LANGEVIN, mf.gaussian_measure(LANGEVIN, 20, seed=1), 1.0, save_at=7, step=0.05,
        observables={"norm": observable}, checkpoint=path,
    )  # fmt: skip


def call(case, path=None, observable=norm):
    if case == "temperature":
        return at_a_temperature(path, observable)
    return solve(case, path, observable)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("case", ENGINES)
def test_a_signal_ends_the_call_and_leaves_a_checkpoint(case, number, tmp_path):
    path, whole = tmp_path / "run.part", call(case)
    kind = KeyboardInterrupt if number == signal.SIGINT else SystemExit
    with pytest.raises(kind) as caught:
        call(case, path, struck_by(number))
    assert caught.value.result.status is mf.Status.INTERRUPTED and path.exists()
    if number == signal.SIGTERM:
        assert caught.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert call(case, path) == whole


def terminated(folder, *words):
    """How a process ends that has SIGTERM while it waits."""
    command = [sys.executable, "-m", "tests.dynamics.signalled", *words]
    process = subprocess.Popen(command, cwd=ROOT, stdout=PIPE, stderr=STDOUT, text=True)
    wait_until((folder / "begun").exists, process)
    process.terminate()
    output, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, output


@pytest.mark.parametrize("case", ["mean_field", "overlaps", "law", "temperature"])
def test_sigterm_ends_a_process_and_leaves_a_checkpoint(case, tmp_path):
    assert terminated(tmp_path, case, str(tmp_path)) == (143, "")
    asked = {"resumed": [], "whole": []}

    def run(name, path):
        return call(case, path, lambda t, state: asked[name].append(t) or norm(t, state))

    assert run("resumed", tmp_path / "run.part") == run("whole", None)
    assert 0 < len(asked["resumed"]) < len(asked["whole"])
    assert not (tmp_path / "run.part").exists()


@pytest.mark.parametrize("case", ["mean_field", "overlaps", "law"])
def test_sigterm_before_the_solver_has_begun_spoils_nothing(case, tmp_path):
    path = tmp_path / "run.part"
    with pytest.raises(SystemExit):
        call(case, path, struck_by(signal.SIGTERM))
    before = path.read_bytes()
    assert terminated(tmp_path, case, str(tmp_path), "early") == (143, "")
    assert path.read_bytes() == before and call(case, path) == call(case)


def test_who_asks_has_the_result_of_ctrl_c_but_sigterm_ends_all_the_same():
    with mf.return_on_interrupt():
        found = call("law", None, struck_by(signal.SIGINT))
        assert found.status is mf.Status.INTERRUPTED and len(found.t) > 0
        with pytest.raises(SystemExit):
            call("law", None, struck_by(signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt, match="this error's `result`"):
        call("law", None, struck_by(signal.SIGINT))


def test_a_second_sigterm_does_not_cut_short_what_the_first_leaves():
    written = []
    with pytest.raises(SystemExit), raising_on_sigterm():  # noqa: PT012
        try:
            signal.raise_signal(signal.SIGTERM)
        except Terminated as error:
            signal.raise_signal(signal.SIGTERM)
            written.append("all")
            raise error
    assert written


def test_a_programs_own_handler_stays():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        assert call("law", None, struck_by(signal.SIGTERM)).success
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


LOOP = """
    import signal
    import meanfield as mf

    signal.signal(signal.SIGINT, signal.default_int_handler)
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=10, learning_rate=0.5)
    def first(t, state):
        if t > 0.0:
            signal.raise_signal(signal.{name})
        return 0.0
    for i in range(3):
        print("call", i, flush=True)
        mf.simulate_sgd(problem, mf.gaussian_overlaps(problem, 2), 1.0, save_at=3,
                        observables={{"x": first}})
    print("the end")
"""


@pytest.mark.parametrize(("name", "codes"), [("SIGINT", (-2, 130)), ("SIGTERM", (143,))])
def test_one_signal_ends_a_script_with_a_loop(name, codes):
    script = textwrap.dedent(LOOP.format(name=name))
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ended.returncode in codes and ended.stdout == "call 0\n"
