"""Execute notebooks and keep their pictures: `python docs/render.py 2-regimes 3-concentration`.

Pictures go to docs/images as NAME-1.png and so on, in the order of the cells. MEANFIELD_FULL=1 in
the environment asks for the published sizes; the notebooks themselves stay without outputs.
"""

import base64
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def render(name: str) -> list[Path]:
    """Execute one notebook; the pictures it drew."""
    notebook = nbformat.read(HERE.parent / "notebooks" / f"{name}.ipynb", as_version=4)
    NotebookClient(notebook, timeout=None).execute()
    pictures = [
        output["data"]["image/png"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    paths = []
    for i, picture in enumerate(pictures, start=1):
        paths.append(HERE / "images" / f"{name}-{i}.png")
        paths[-1].write_bytes(base64.b64decode(picture))
    return paths


if __name__ == "__main__":
    for name in sys.argv[1:]:
        for path in render(name):
            print(path)
