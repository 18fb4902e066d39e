"""A study is a value: frozen, hashed alike everywhere, refused with the key's name."""

import dataclasses
import json
import math
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import meanfield as mf
from meanfield.studies import read_results
from meanfield.studies.parts import LAWS
from meanfield.studies.plain_values import digest, plain
from tests.studies.small import final_length, product, small, swish

ROOT = Path(__file__).parent.parent.parent
TOML = """
name = "from a file"
replicas = 2
grid."problem.dim" = [10, 20, 40]

[start]
n = 8
law = "gaussian_measure"

[solver]
save_at = 3
t_end = 0.2
description = "mean_field"

[problem]
target.k = 1
"""


def test_the_same_study_from_a_file(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(TOML)
    study = mf.Study.from_toml(path)
    assert study == small() and hash(study) == hash(small())
    assert study.hash == small().hash
    assert study.name == "from a file" and len(study.runs) == 6


def test_the_hash_does_not_depend_on_the_process():
    code = "from tests.studies.small import small; print(small().hash)"
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT,
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert other.stdout.strip() == small().hash


def test_the_hash_is_of_what_is_run_and_not_of_how_it_is_said():
    study = small()
    said_otherwise = small(
        problem={"activation": "erf", "dim": 10, "target": {"k": 1, "gram": [[1]], "noise": 0}},
        start={"n": np.int64(8), "scale": 1, "law": "gaussian_measure"},
        grid={"size": [{"problem.dim": d} for d in (10.0, 20, 40)]},
        name="another name",
    )
    assert said_otherwise == study
    changes = [
        {"seed": 1}, {"replicas": 3}, {"observables": ["energy"]}, {"grid": {}},
        {"start": {"law": "gaussian_measure", "n": 9}},
        {"solver": {"description": "mean_field", "t_end": 0.2, "save_at": 3, "rtol": 1e-5}},
    ]  # fmt: skip
    hashes = {small(**change).hash for change in changes}
    assert len(hashes | {study.hash}) == len(changes) + 1


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def shuffled(value):
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(list(value))}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


def test_functions_of_users_are_known_by_name():
    """A function, its name, and a target that a library function makes."""
    said = [
        small(problem=mf.Problem(mf.MultiIndexTarget(product, k=2), swish)),
        small(problem={
            "target": {"kind": "multi-index", "function": "tests.studies.small:product", "k": 2},
            "activation": "tests.studies.small:swish",
        }),
    ]  # fmt: skip
    assert said[0] == said[1]
    described = said[0].runs[0].parameters["problem"]
    assert described["target"]["function"] == "tests.studies.small:product"
    assert described["activation"]["function"] == "tests.studies.small:swish"
    ready = small(problem={"target": {"kind": "hermite_link", "degree": 3}})
    assert ready == small(problem=mf.Problem(mf.targets.hermite_link(3)))
    grid = {"problem.activation": ["erf", "relu", "tests.studies.small:swish"]}
    assert len({run.key for run in small(grid=grid).runs}) == 6


@given(plain_values)
def test_digests_ignore_the_order_of_keys(value):
    assert digest(shuffled(value)) == digest(value) == digest(plain(value, "value"))


def test_digests_are_what_they_were():
    """A change here would orphan every store there is."""
    assert digest({"b": [1.0, 2.5], "a": "é"}) == digest({"a": "é", "b": [1, 2.5]})
    assert digest({"a": 1}).startswith("015abd7f5cc57a2dd94b7590f04ad808")


def test_keys_of_runs_are_those_from_before_methods_had_names():
    """A key that is lost makes a run of an old store anew, under other seeds even."""
    solver = {"description": "mean_field", "t_end": 0.2, "save_at": 3}
    plain, said, other = (
        small(solver=solver | more).runs[0].key
        for more in ({}, {"method": "auto"}, {"method": "bogacki_shampine"})
    )
    assert plain == said != other
    assert plain.startswith("d4b4709318f9d2d31e8b2a83982608b5")


def test_a_study_is_frozen_and_travels():
    study = small(grid={"problem.dim": [10, math.inf]})
    with pytest.raises(dataclasses.FrozenInstanceError):
        study.seed = 3
    copy = pickle.loads(pickle.dumps(study))
    assert copy == study and copy.parameters() == study.parameters()
    assert copy.runs[-1].parameters["problem"]["dim"] == "inf"


def test_replicas_share_their_seeds_over_the_grid_and_over_studies():
    seeds = [run.parameters["seeds"] for run in small().runs]
    assert seeds[:2] == seeds[2:4] == seeds[4:] and seeds[0] != seeds[1]
    more = [run.parameters["seeds"] for run in small(replicas=3, grid={}).runs]
    assert more[:2] == seeds[:2]


def test_axes_of_several_places():
    study = small(
        grid={
            "case": [
                {"problem.dim": 10, "start.n": 4},
                {"problem.dim": 20, "start.n": 6, "solver.rtol": 1e-4},
            ],
            "start.scale": [1.0, 0.5],
        },
        replicas=1,
    )
    assert [run.index for run in study.runs] == [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0)]
    last = study.runs[-1].parameters
    assert (last["problem"]["dim"], last["start"]["n"], last["start"]["scale"]) == (20, 6, 0.5)
    assert last["solver"]["rtol"] == 1e-4 and study.runs[0].parameters["solver"]["rtol"] == 1e-6


def test_lists_of_problems_and_reducing_functions():
    problems = [mf.Problem(mf.CommitteeTarget(k=k), dim=30) for k in (1, 2)]
    study = small(grid={"problem": problems}, observables=["risk", final_length])
    assert study.observables == ["risk", "tests.studies.small:final_length"]
    assert [run.parameters["problem"]["target"]["k"] for run in study.runs[::2]] == [1, 2]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"problem": {"dim": 10}}, r"problem\.target"),
        ({"problem": {"target": {"k": 0}}}, r"problem\.target: k "),
        ({"problem": {"target": {"k": 1}, "colour": 1}}, r"problem\.colour"),
        ({"problem": 3}, "problem must"),
        ({"problem": {"target": {"kind": "forest"}}}, r"problem\.target\.kind"),
        ({"problem": {"target": {"k": 1, "trees": 3}}}, r"problem\.target\.trees"),
        ({"problem": {"target": {"k": 1}, "activation": "swish"}}, "problem: activation"),
        ({"problem": {"target": {"k": 1}, "activation": "no.module:f"}}, r"no\.module:f"),
        (
            {"problem": {"target": {"kind": "multi-index", "function": "f", "k": 1}}},
            r"problem\.target\.function must be a function",
        ),
        (
            {"problem": mf.Problem(mf.MultiIndexTarget(lambda z: z[:, 0], k=1))},
            r"problem\.target\.function must be a function that other processes can import",
        ),
        ({"start": {"n": 8}}, r"start\.law is missing"),
        ({"start": {"law": "gaussian"}}, r"start\.law"),
        ({"start": {"law": "gaussian_measure"}}, r"start\.n is missing"),
        ({"start": {"law": "gaussian_measure", "n": "ten"}}, r"start\.n must be int"),
        ({"start": {"law": "gaussian_measure", "n": True}}, r"start\.n must be int"),
        ({"start": {"law": "gaussian_measure", "n": 8, "m": 1}}, r"start\.m"),
        ({"start": {"law": "no.module:draw"}}, r"no\.module:draw"),
        ({"start": {"law": "math:pi"}}, "must name a function"),
        ({"solver": {"t_end": 1.0}}, r"solver\.description is missing"),
        ({"solver": {"description": "euler", "t_end": 1.0}}, r"solver\.description"),
        ({"solver": {"description": "sgd"}}, r"solver\.t_end is missing"),
        ({"solver": {"description": "sgd", "t_end": "long"}}, r"solver\.t_end must be float"),
        (
            {"solver": {"description": "mean_field", "t_end": 1, "spherical": 1}},
            r"solver\.spherical must be bool",
        ),
        ({"solver": {"description": "sgd", "t_end": 1, "threads": 2}}, r"solver\.threads"),
        (
            {"solver": {"description": "sgd", "t_end": 1, "save_at": {"spacing": "cubic"}}},
            r"solver\.save_at\.spacing",
        ),
        (
            {"solver": {"description": "sgd", "t_end": 1, "save_at": {"count": 1}}},
            r"solver\.save_at: count",
        ),
        (
            {"solver": {"description": "overlaps", "t_end": 1}},
            r"start\.law must draw Overlaps .*, as aligned_overlaps, .*draws ParticleM",
        ),
        ({"observables": ["speed"]}, r"observables\[0\]"),
        ({"observables": "speed"}, r"observables\[0\]"),
        ({"observables": 3}, "observables must be"),
        ({"observables": ["risk", "risk"]}, "observables must differ"),
        ({"observables": ["tests.studies.small:nothing"]}, r"observables\[0\]"),
        ({"observables": [lambda solution: 0]}, r"observables\[0\]"),
        ({"grid": {"problem.dim": []}}, r"grid\.problem\.dim"),
        ({"grid": {"problem.dim": 10}}, r"grid\.problem\.dim"),
        ({"grid": {"problem.dim": [10, "many"]}}, "problem: dim"),
        ({"grid": {"problem.dim": [10, 10.0]}}, "same run twice"),
        ({"grid": {"case": [1, 2]}}, r"grid\.case"),
        ({"grid": {"case": [{"colour": 1}]}}, "colour"),
        ({"grid": {"case": [{"problem.dim": 1}], "problem.dim": [10]}}, "set by grid.case"),
        ({"grid": {"problem.dim.x": [10]}}, r"problem\.dim\.x"),
        ({"grid": {1: [10]}}, "grid must have words"),
        ({"grid": [10]}, "grid must be a dict"),
        ({"replicas": 0}, "replicas"),
        ({"seed": -1}, "seed"),
        ({"name": 3}, "name"),
        ({"problem": {"target": {"k": 1}, "dim": math.nan}}, r"problem\.dim"),
        ({"start": {"law": "gaussian_measure", "n": object()}}, r"start\.n must be a number"),
    ],
)
def test_what_is_wrong_is_named(change, named):
    with pytest.raises((ValueError, TypeError), match=named):
        small(**change)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("replicas = 2", "replicas = "), "line"),
        (("replicas = 2", "copies = 2"), "copies is not known"),
        (("[solver]", "[solvers]"), "solvers is not known"),
        (("target.k = 1", ""), r"problem\.target"),
        (("n = 8", "n = 0.5"), r"start\.n must be int"),
        (("[start]\nn = 8\nlaw = \"gaussian_measure\"", ""), "start is missing"),
    ],
)  # fmt: skip
def test_errors_of_a_file_name_it_and_the_key(tmp_path, change, named):
    path = tmp_path / "study.toml"
    path.write_text(TOML.replace(*change))
    with pytest.raises(ValueError, match=named) as caught:
        mf.Study.from_toml(path)
    assert str(path) in str(caught.value)


def test_the_files_in_the_documentation_are_studies(tmp_path):
    page = (ROOT / "docs" / "howto" / "studies.md").read_text(encoding="utf-8")
    whole, axis = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    for text in (whole, whole.partition("[grid]")[0] + axis):
        path = tmp_path / "study.toml"
        path.write_text(text)
        assert len(mf.Study.from_toml(path).runs) in (4, 12)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        mf.Study.from_toml(tmp_path / "nothing.toml")


LAW = """
from __future__ import annotations
from typing import TYPE_CHECKING
import meanfield as mf
if TYPE_CHECKING:
    from meanfield import Problem

def draw(problem: Problem, n: int, seed: int = 0):
    return mf.gaussian_measure(problem, n, seed=seed)
"""


def test_a_start_may_name_types_that_are_not_there_when_it_runs(tmp_path, monkeypatch):
    (tmp_path / "typed_start.py").write_text(LAW)
    monkeypatch.syspath_prepend(tmp_path)
    assert len(small(start={"law": "typed_start:draw", "n": 8}).runs) == 6


def test_starts_by_name_are_those_of_the_library():
    """All of them, and two that the concentration study has for itself."""
    drawn = {
        name for name, law in vars(mf.starts).items()
        if name.endswith(("_measure", "_weights", "_overlaps")) and callable(law)
    }  # fmt: skip
    assert set(LAWS) == drawn | {"gaussian_network", "given_measure"} and len(drawn) == 9


def test_seeds_are_common_or_the_points_own():
    """Common ones are those of every version; own ones stay with a point when the grid grows."""
    common = small()
    pairs = [tuple(run.parameters["seeds"]) for run in common.runs]
    assert pairs[-1] == (673228719, 1136656250) and len(set(pairs)) == 2
    own = small(independent=True)
    seeds = {run.key: tuple(run.parameters["seeds"]) for run in own.runs}
    assert len(set(seeds.values())) == 6 and own.hash != common.hash
    grown = small(independent=True, grid={"problem.dim": [5, 10, 20, 40]}, replicas=3)
    assert seeds.items() <= {r.key: tuple(r.parameters["seeds"]) for r in grown.runs}.items()
    assert mf.Study(**own.parameters()) == own
    with pytest.raises(TypeError, match="independent"):
        small(independent=1)


def test_a_folder_from_before_there_were_independent_seeds_is_read(tmp_path):
    small(replicas=1).run(store=tmp_path)
    described = json.loads((tmp_path / "study.json").read_text())
    del described["study"]["independent"], described["seal"]
    described["format_version"] = 1
    (tmp_path / "study.json").write_text(json.dumps(described))
    assert read_results(tmp_path).complete
    assert small(replicas=1).run(store=tmp_path).complete


def test_a_study_keeps_by_name_what_runs_can_observe():
    """One list: what studies describe without measuring it themselves, projections measure."""
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=10)
    theirs = {name for name in mf.projection.observables(problem) if "angle_of" not in name}
    described = mf.studies.OBSERVABLES.items()
    assert theirs == {name for name, observable in described if observable.measure is None}
