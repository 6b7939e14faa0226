"""Make the bundled results of the bundled clips: python -m examples.make_results [NAME ...]

Runs the project's own chain on each clip and keeps what the page shows of the run folder.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from ds4d import pipeline
from ds4d.presets import PRESETS
from ds4d.run.progress import show
from ds4d.run.workspace import Workspace, replacing

HERE = Path(__file__).resolve().parent
KEPT = (
    "run.json", "previews", "multiview/grid.mp4", "mesh.glb", "videos", "fourd.safetensors",
    "exports/object.ds4d",
)  # fmt: skip
PUPPET = {"animate": {"engine": "puppet"}}  # the record of a clip that was made of a picture


def make(clip: Path) -> None:
    """Run the preview preset on a clip and replace its bundled result."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        show(pipeline.generate(clip, workspace, PRESETS["preview"]))
        with replacing(HERE / "results" / clip.stem) as target:
            for name in KEPT:
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                source = workspace / name
                copy = shutil.copytree if source.is_dir() else shutil.copy2
                copy(source, target / name)
            if any((HERE / "pictures").glob(f"{clip.stem}.*")):
                (target / "drafts").mkdir()
                (target / "drafts/made.json").write_text(json.dumps(PUPPET))


if __name__ == "__main__":
    wanted = set(sys.argv[1:])
    for path in sorted((HERE / "clips").iterdir()):
        if not wanted or path.stem in wanted:
            make(path)
