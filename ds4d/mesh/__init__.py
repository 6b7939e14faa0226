"""Mesh stage: the views of the middle frame -> a coloured mesh, by one of several engines."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ..config import MachineConfig, MeshConfig
from ..errors import UserError
from ..run.engines import Engine, check_name, identity, usable
from ..run.workspace import content_key

# Multiview engines whose views InstantMesh can read: it was trained on the poses of Zero123++.
LEARNED_VIEWS = ("zero123plus", "l4gm")
INSTANTMESH_GB = 4.0  # GPU memory that InstantMesh needs


def choose(
    config: MeshConfig,
    machine: MachineConfig,
    views_engine: str,
    inflated: Path,  # the mesh that the views were rendered from; the file may be missing
) -> Engine:
    """Choose the engine; its run(images [V, S, S, 4], cameras, resolution) returns a Mesh.

    "auto" prefers, in this order: the user's own mesh; InstantMesh, where it can run and the views
    are of the kind that it was trained on; the mesh that the views were rendered from; the visual
    hull.

    Raises:
        UserError: the requested mesh was not given, or does not exist.
    """
    file = Path(config.file)
    if config.engine == "given" and not config.file:
        raise UserError("No mesh was given.", "Name its file with --mesh FILE.")
    if config.file and config.engine in ("auto", "given"):
        from . import given

        if not file.is_file():
            raise UserError(f"There is no mesh {config.file}.", "Check the path.")
        return Engine("given", file.name, partial(given.run, file=file), (content_key(file),))
    weights = (f"instantmesh-{config.model}",)
    can_run, why = config.engine == "instantmesh", "asked for"
    if config.engine == "auto" and views_engine not in LEARNED_VIEWS:
        why = f"InstantMesh is not for the views of {views_engine}"
    elif config.engine == "auto":
        can_run, why = usable(weights, machine, gpu_gb=INSTANTMESH_GB)
    if can_run:
        from . import instantmesh

        run = partial(instantmesh.run, model=config.model, machine=machine)
        return Engine("instantmesh", why, run, identity(weights, machine), weights)
    if config.engine == "inflated" and not inflated.exists():
        raise UserError(
            "These views were not rendered from a mesh.",
            "Choose the mesh engine visual_hull: it reconstructs one.",
        )
    if inflated.exists() and config.engine in ("auto", "inflated"):
        from . import from_inflation

        return Engine("inflated", why, partial(from_inflation.run, file=inflated))
    check_name(config.engine, "auto", "visual_hull")
    from . import visual_hull

    return Engine("visual_hull", why, visual_hull.run)
