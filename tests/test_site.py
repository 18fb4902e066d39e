"""The documentation and the page of a study as a reader sees them, in headless Chromium.

The documentation is looked for where `python -m sphinx -b html docs docs/_build/html` puts it.
"""

import contextlib
import functools
import html
import http.server
import json
import re
import shutil
import subprocess
import threading
import urllib.parse
from pathlib import Path

import pytest

import meanfield as mf
from meanfield.plotting import save_report

SITE = Path(__file__).parent.parent / "docs" / "_build" / "html"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
PHONE = 390  # pixels
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
# opens a page of the site in a frame as wide as asked, and writes down what it measures there; a
# search is given time to find something
PROBE = """<!doctype html><body><iframe id=f style="width:{width}px;height:1200px"></iframe><script>
const frame = document.getElementById("f");
const measure = left => {{
  const page = frame.contentDocument, top = page.querySelector("article") || page.body;
  const found = [...page.querySelectorAll("ul.search li a")].map(e => e.innerText);
  if (left && page.querySelector("#search-results") && !found.length)
    return setTimeout(measure, 500, left - 1);
  const sizes = selector =>
    [...page.querySelectorAll(selector)].map(e => e.getBoundingClientRect().height);
  document.body.innerText = JSON.stringify({{
    // what sticks out of the page, unless it scrolls by itself
    outside: [...top.querySelectorAll("*")].filter(e => {{
      for (let up = e; up != top; up = up.parentElement)
        if (up != e && getComputedStyle(up).overflowX != "visible") return false;
      return e.getBoundingClientRect().right > {width} + 1;
    }}).map(e => e.outerHTML.slice(0, 80)),
    formulas: sizes("math"),
    pictures: [...page.querySelectorAll("article img")].map(e => e.naturalWidth),
    drawings: sizes("svg"),
    points: [...page.querySelectorAll("svg circle")].map(e => e.textContent),
    rows: page.querySelectorAll("table tr").length,
    fetched: frame.contentWindow.performance.getEntriesByType("resource").map(e => e.name),
    definitions: page.querySelectorAll("article dl dt").length,
    found: found,
  }});
}};
frame.onload = () => setTimeout(measure, 300, 20);
frame.src = "{page}";
</script>"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")
built = pytest.mark.skipif(not SITE.exists(), reason="the documentation is not built")


class _Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        address = urllib.parse.urlparse(self.path)
        if address.path != "/probe":
            return super().do_GET()
        asked = {name: values[0] for name, values in urllib.parse.parse_qs(address.query).items()}
        body = PROBE.format(**asked).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None

    def log_message(self, *_):
        pass


def shown(address, profiles):
    """What a browser makes of a page; what it says if it makes nothing."""
    command = [BROWSER, *FLAGS, f"--user-data-dir={profiles.mktemp('browser')}",
               "--virtual-time-budget=15000", "--dump-dom", address]  # fmt: skip
    with contextlib.suppress(subprocess.TimeoutExpired):
        ended = subprocess.run(command, capture_output=True, text=True, timeout=180)
        return ended.stdout if ended.returncode == 0 else ended.stderr
    return "nothing in three minutes"


@contextlib.contextmanager
def looking(directory, profiles):
    """What a page of a folder measures at a width.

    On a busy machine a browser may not come up, or come up late: it is asked three times.
    """
    handler = functools.partial(_Handler, directory=directory)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def look(page, width=1200):
        query = urllib.parse.urlencode({"page": page, "width": width})
        said = []
        for _ in range(3):
            said.append(shown(f"http://127.0.0.1:{server.server_port}/probe?{query}", profiles))
            if measured := re.search(r"<body>(\{.*\})</body>", said[-1], re.S):
                return json.loads(html.unescape(measured[1]))
        pytest.fail(f"{page} cannot be looked at: {said}")

    yield look
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def look(tmp_path_factory):
    with looking(SITE, tmp_path_factory) as found:
        yield found


@built
@pytest.mark.parametrize(
    "page", ["numerics.html", "concepts/training.html", "concepts/problem.html"]
)
def test_mathematics_is_drawn_without_a_network(look, page):
    formulas = look(f"/{page}")["formulas"]
    assert len(formulas) > 15 and min(formulas) > 4


@built
def test_pages_ask_nothing_of_the_network():
    foreign = {
        (page.name, found)
        for page in SITE.rglob("*.html")
        for found in re.findall(
            r'<(?:script|img|link)[^>]+(?:src|href)="(https?://[^"]+)"', page.read_text("utf-8")
        )
    }
    assert not foreign


@built
def test_definition_lists_are_lists(look):
    assert look("/numerics.html")["definitions"] > 5


@built
@pytest.mark.parametrize("page", ["concepts/concentration.html", "concepts/regimes.html"])
def test_pictures_are_there(look, page):
    pictures = look(f"/{page}")["pictures"]
    assert pictures and min(pictures) > 100


@built
@pytest.mark.parametrize(
    "page", ["index.html", "numerics.html", "performance.html", "concepts/training.html",
             "getting-started.html"]
)  # fmt: skip
def test_a_phone_scrolls_one_way(look, page):
    assert look(f"/{page}", PHONE)["outside"] == []


@built
@pytest.mark.parametrize(
    "words", ["anneal", "fixed point", "steady state", "pandas", "covariance", "gradient flow"]
)
def test_search_finds(look, words):
    query = urllib.parse.urlencode({"q": words})
    assert look(f"/search.html?{query}")["found"]


@pytest.mark.parametrize("width", [1200, PHONE])
def test_the_page_of_a_study(tmp_path, tmp_path_factory, width):
    study = mf.Study(
        mf.Problem(mf.CommitteeTarget(k=1)),
        {"law": "gaussian_measure", "n": 20},
        {"description": "mean_field", "t_end": 1.0, "save_at": 4},
        ["risk", "leak"],
        {"problem.dim": [20, 50, 1000]},
        replicas=2,
    )
    results = study.run()
    save_report(results, tmp_path / "report.html")
    with looking(tmp_path, tmp_path_factory) as look:
        page = look("/report.html", width)
    assert page["fetched"] == [] and page["outside"] == []
    assert len(page["drawings"]) == 2 and min(page["drawings"]) > 100
    assert page["rows"] == 1 + len(results.records)
    last = results.array("risk")[0, :, -1].mean()
    assert any(f"{last:.6g}" in point for point in page["points"])  # where a mouse rests
