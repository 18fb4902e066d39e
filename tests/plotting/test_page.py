"""A study as one page."""

import re

import numpy as np
import pytest

import meanfield as mf
from meanfield.commands.main import main
from meanfield.plotting import save_report


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    study = mf.Study(
        mf.Problem(mf.CommitteeTarget(k=1)),
        {"law": "gaussian_measure", "n": 20},
        {"description": "mean_field", "t_end": 1.0, "save_at": 4},
        ["risk", "leak"],
        {"problem.dim": [20, "inf"]},
        replicas=2,
        name="<script>alert(1)</script>",
    )
    store = tmp_path_factory.mktemp("page") / "store"
    return study.run(store=store), store


def test_the_page_has_what_was_found_and_how(results, tmp_path):
    found, _ = results
    page = save_report(found, tmp_path / "page.html").read_text(encoding="utf-8")
    mean = found.array("risk")[0, :, -1].mean()
    assert f"{mean:.6g}" in page and mf.__version__ in page and '"hash"' not in page
    assert page.count("<svg") == 2 and page.count("<title>") == 1 + page.count("<circle")
    assert page.count("<tr>") == 1 + len(found.records)
    # names are words, not orders; nothing comes from elsewhere
    assert "<script" not in page and not re.search(r"https?://", page)


def test_failures_are_told_with_their_messages(tmp_path):
    study = mf.Study(
        mf.Problem(mf.CommitteeTarget(k=1)),
        {"law": "gaussian_measure", "n": 20},
        {"description": "mean_field", "t_end": 1.0, "save_at": 3},
        ["risk"],
        {"start.scale": [1.0, -1.0]},
    )
    results = study.run()
    assert results.failures
    page = save_report(results, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Failures" in page and "scale must be" in page and "Traceback" in page


def test_the_command_writes_it_into_the_folder_or_elsewhere(results, tmp_path, capsys):
    _, store = results
    assert main(["report", str(store), "--html"]) == 0
    assert (store / "report.html").exists() and "report.html" in capsys.readouterr().out
    assert main(["report", str(store), "--html", str(tmp_path / "mine.html")]) == 0
    assert (tmp_path / "mine.html").read_bytes() == (store / "report.html").read_bytes()


def test_points_lie_where_their_values_say(results, tmp_path):
    found, _ = results
    page = save_report(found, tmp_path / "page.html").read_text(encoding="utf-8")
    drawing = page.split("<h3>risk</h3>")[1].split("</svg>")[0]
    points = re.findall(r"cy='([\d.]+)'[^>]*><title>[^<]*?: ([\d.e-]+)", drawing)
    heights, values = np.array(points, dtype=float).T
    straight = np.corrcoef(heights, values)[0, 1]
    assert len(points) == 8 and straight < -0.9999  # up is more, in proportion


def test_what_is_no_study_is_refused(tmp_path):
    with pytest.raises(TypeError, match="results"):
        save_report({}, tmp_path / "page.html")
