"""The same study on a Dask cluster and under mpiexec, for real."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from meanfield.studies import read_results
from meanfield.studies.executors import open_executor
from tests.studies.small import same, small
from tests.waiting import PATIENCE

ROOT = Path(__file__).parent.parent.parent
MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
TOML = """
problem.target.k = 1
start = { law = "tests.studies.small:fragile", n = 8 }
solver = { description = "mean_field", t_end = 0.2, save_at = 3 }
grid."problem.dim" = [10, 20, 40]
replicas = 2
"""

needs_dask = pytest.mark.skipif(find_spec("distributed") is None, reason="Dask is not installed")
needs_mpi = pytest.mark.skipif(
    find_spec("mpi4py") is None or MPIEXEC is None,
    reason="mpi4py or mpiexec is not installed: pip install '.[mpi]'",
)


def fragile():
    return small(start={"law": "tests.studies.small:fragile", "n": 8})


@pytest.mark.extra
@needs_dask
@pytest.mark.filterwarnings("ignore")  # Dask's own, when it closes
def test_a_dask_cluster(tmp_path):
    with open_executor("dask", workers=2) as executor:
        results = fragile().run(executor, tmp_path)
        assert results.counts == {"success": 4, "failed": 2}
        again = fragile().run(executor, tmp_path, retry=True)
    assert same(again, results) and same(results, fragile().run())
    assert "no start in 20 dimensions" in results.failures[0].traceback


def test_loky(tmp_path):
    loky = pytest.importorskip("loky", reason="loky is not installed")
    with loky.get_reusable_executor(max_workers=2) as executor:
        assert same(fragile().run(executor, tmp_path), fragile().run())


@pytest.mark.extra
@needs_mpi
@pytest.mark.parametrize("ranks", [1, 2])
def test_ranks_of_mpi(tmp_path, ranks):
    (tmp_path / "study.toml").write_text(TOML)
    command = [MPIEXEC, "-n", str(ranks), sys.executable, "-m", "meanfield", "study",
               str(tmp_path / "study.toml"), "--out", str(tmp_path / "out"),
               "--executor", "mpi"]  # fmt: skip
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 1, ended.stderr  # two runs fail
    assert "4 success" in ended.stdout and ended.stdout.count("results in") == 1
    assert same(read_results(tmp_path / "out"), fragile().run())


@pytest.mark.parametrize(("engine", "module"), [("dask", "distributed"), ("mpi", "mpi4py")])
def test_an_engine_that_is_not_there_names_its_extra(engine, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, f"{module}.futures", None)
    with pytest.raises(ImportError, match=rf"pip install .*\[{engine}\]"), open_executor(engine):
        pass


def test_unknown_engines_are_refused():
    with pytest.raises(ValueError, match="executor must be one of 'process'"), open_executor("ray"):
        pass
