"""Render one more animation of a finished job: `python -m page.jobs.animate FOLDER orbit gif`."""

from __future__ import annotations

import sys
from pathlib import Path

from ds4d.errors import UserError

from .store import load


def main(folder: str, video: str, kind: str) -> int:
    from ds4d.fourd.asset import Asset
    from ds4d.render import animation
    from ds4d.run import device
    from ds4d.run.workspace import Workspace

    config = load(Path(folder)).config
    workspace = Workspace(folder, ours=True)
    asset = Asset.load(workspace / "fourd.safetensors").to(device.pick(config.machine.device))
    try:
        for _ in animation.run(
            asset, workspace, video, kind, config.videos, config.machine.rasterizer
        ):
            pass
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
