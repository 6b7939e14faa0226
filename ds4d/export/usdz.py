"""One mesh that moves as usdz, the file that phones show: a UsdSkel skeleton and a texture."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..mesh.io import TO_GLTF
from ..moving_mesh.model import MovingMesh, Part, media_type
from ..moving_mesh.skinning import Skin
from .bones import bones_of

RATE = 24.0  # time codes per second


def write_usdz(
    path: Path,
    moving: MovingMesh,
    skin: Skin,  # of its vertices
    times: Sequence[float],  # [T] seconds, increasing
    motion: np.ndarray | None = None,  # [T, 3] translations of the whole object, in the world
) -> None:
    """Write the rest pose, its textures, bones without a hierarchy and their keyframes; Y up.

    The root motion moves the prim that holds everything.
    """
    from pxr import Gf, Sdf, Usd, UsdGeom, UsdSkel, UsdUtils

    with tempfile.TemporaryDirectory() as folder:
        layer = Path(folder) / "object.usdc"
        stage = Usd.Stage.CreateNew(str(layer))
        UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
        UsdGeom.SetStageMetersPerUnit(stage, 1.0)
        stage.SetTimeCodesPerSecond(RATE)
        stage.SetStartTimeCode(times[0] * RATE)
        stage.SetEndTimeCode(times[-1] * RATE)
        root = UsdSkel.Root.Define(stage, "/object")
        stage.SetDefaultPrim(root.GetPrim())
        if motion is not None:
            place = root.AddTranslateOp()
            for time, where in zip(times, motion @ TO_GLTF.T, strict=True):
                place.Set(Gf.Vec3d(*where.tolist()), time * RATE)
        _write_skeleton(stage, skin, times)
        for number, part in enumerate(moving.parts):
            mesh = _write_part(stage, number, part, skin)
            material = _write_material(stage, number, part, Path(folder))
            from pxr import UsdShade

            UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)
        stage.GetRootLayer().Save()
        made = Path(folder) / "object.usdz"
        if not UsdUtils.CreateNewUsdzPackage(Sdf.AssetPath(str(layer)), str(made)):
            raise OSError(f"{path.name} could not be packed")
        path.write_bytes(made.read_bytes())


def _write_skeleton(stage, skin: Skin, times: Sequence[float]) -> None:
    from pxr import Gf, UsdSkel, Vt

    bones = bones_of(skin)
    paths: list[str] = []
    for number, (name, parent) in enumerate(zip(bones.names, bones.parents, strict=True)):
        name = re.sub(r"\W", "_", name)
        if not name or name[0].isdigit() or name in {path.split("/")[-1] for path in paths}:
            name = f"_{number}_{name}"
        paths.append(f"{paths[parent]}/{name}" if parent >= 0 else name)
    names = Vt.TokenArray(paths)
    skeleton = UsdSkel.Skeleton.Define(stage, "/object/skeleton")
    skeleton.CreateJointsAttr(names)
    skeleton.CreateBindTransformsAttr(_matrices(bones.poses))
    skeleton.CreateRestTransformsAttr(_matrices(bones.rest))
    animation = UsdSkel.Animation.Define(stage, "/object/skeleton/clip")
    animation.CreateJointsAttr(names)
    animation.CreateScalesAttr(Vt.Vec3hArray([Gf.Vec3h(1, 1, 1)] * len(paths)))
    place_keys, turn_keys = animation.CreateTranslationsAttr(), animation.CreateRotationsAttr()
    for time, where, turn in zip(times, bones.places, bones.turns, strict=True):
        place_keys.Set(Vt.Vec3fArray.FromNumpy(where.astype(np.float32)), time * RATE)
        quaternions = [Gf.Quatf(float(w), float(x), float(y), float(z)) for x, y, z, w in turn]
        turn_keys.Set(Vt.QuatfArray(quaternions), time * RATE)
    binding = UsdSkel.BindingAPI.Apply(skeleton.GetPrim())
    binding.CreateAnimationSourceRel().SetTargets([animation.GetPath()])


def _matrices(poses: np.ndarray):
    """Poses [B, 4, 4] as USD has them, for row vectors."""
    from pxr import Gf, Vt

    return Vt.Matrix4dArray([Gf.Matrix4d(*pose.T.ravel().tolist()) for pose in poses])


def _write_part(stage, number: int, part: Part, skin: Skin):
    """The UsdGeom.Mesh of a part, bound to the skeleton."""
    from pxr import Gf, Sdf, UsdGeom, UsdSkel, Vt

    mine = slice(part.start, part.stop)
    mesh = UsdGeom.Mesh.Define(stage, f"/object/part_{number}")
    points = skin.rest[mine] @ TO_GLTF.T
    mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(points.astype(np.float32)))
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray([3] * len(part.faces)))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(part.faces.astype(np.int32).ravel()))
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateDoubleSidedAttr(part.material.two_sided)
    mesh.CreateExtentAttr(
        Vt.Vec3fArray([Gf.Vec3f(*points.min(0).tolist()), Gf.Vec3f(*points.max(0).tolist())])
    )
    variables = UsdGeom.PrimvarsAPI(mesh)
    if part.uv is not None:
        uv = variables.CreatePrimvar(
            "st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.vertex
        )
        upwards = np.stack([part.uv[:, 0], 1 - part.uv[:, 1]], 1)
        uv.Set(Vt.Vec2fArray.FromNumpy(upwards.astype(np.float32)))
    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    binding.CreateSkeletonRel().SetTargets([Sdf.Path("/object/skeleton")])
    binding.CreateGeomBindTransformAttr(Gf.Matrix4d(1))
    bones, weights = skin.rig.bones[mine], skin.rig.weights[mine]
    binding.CreateJointIndicesPrimvar(False, bones.shape[1]).Set(
        Vt.IntArray.FromNumpy(bones.astype(np.int32).ravel())
    )
    binding.CreateJointWeightsPrimvar(False, bones.shape[1]).Set(
        Vt.FloatArray.FromNumpy(weights.astype(np.float32).ravel())
    )
    return mesh


def _write_material(stage, number: int, part: Part, folder: Path):
    """A UsdPreviewSurface; an unlit one shines in its own colours."""
    from pxr import Gf, Sdf, UsdShade

    look, types = part.material, Sdf.ValueTypeNames
    material = UsdShade.Material.Define(stage, f"/object/material_{number}")
    surface = UsdShade.Shader.Define(stage, f"/object/material_{number}/surface")
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("roughness", types.Float).Set(look.roughness)
    surface.CreateInput("metallic", types.Float).Set(look.metallic)
    channel = "emissiveColor" if look.unlit else "diffuseColor"
    if look.unlit:
        surface.CreateInput("diffuseColor", types.Color3f).Set(Gf.Vec3f(0, 0, 0))
    color = surface.CreateInput(channel, types.Color3f)
    color.Set(Gf.Vec3f(*look.color[:3]))
    if look.image is not None:
        file = (
            folder
            / f"texture_{number}{'.png' if media_type(look.image) == 'image/png' else '.jpg'}"
        )
        file.write_bytes(look.image)
        reader = UsdShade.Shader.Define(stage, f"/object/material_{number}/uv")
        reader.CreateIdAttr("UsdPrimvarReader_float2")
        reader.CreateInput("varname", types.String).Set("st")
        texture = UsdShade.Shader.Define(stage, f"/object/material_{number}/texture")
        texture.CreateIdAttr("UsdUVTexture")
        texture.CreateInput("file", types.Asset).Set(Sdf.AssetPath(f"./{file.name}"))
        texture.CreateInput("sourceColorSpace", types.Token).Set("sRGB")
        texture.CreateInput("st", types.Float2).ConnectToSource(
            reader.CreateOutput("result", types.Float2)
        )
        scale = texture.CreateInput("scale", types.Float4)
        scale.Set(Gf.Vec4f(*look.color))
        color.ConnectToSource(texture.CreateOutput("rgb", types.Float3))
    material.CreateSurfaceOutput().ConnectToSource(surface.CreateOutput("surface", types.Token))
    return material
