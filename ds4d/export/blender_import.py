"""Import what DS4D exports into Blender 4.0 or later, and write it on as FBX or USD.

    blender --python import_ds4d.py -- object.glb                  # the mesh with its skeleton
    blender --python import_ds4d.py -- object_morph.glb            # the mesh with shape keys
    blender --python import_ds4d.py -- points_cache.npz            # moving coloured ellipsoids
    blender -b --python import_ds4d.py -- object.glb object.fbx    # a second file is written: fbx,
                                                                   # usdc, usdz or blend
Or run this file in Blender's text editor; it then expects points_cache.npz in the same folder. The
animation of the ellipsoids consists of geometry nodes only: the saved .blend plays and renders
anywhere, without this script and without the cache.
"""

from __future__ import annotations

import sys
from pathlib import Path

import bpy
import numpy as np

NAME = "DS4D"
RADIUS = 1.5  # of an ellipsoid, standard deviations of its Gaussian
MIN_OPACITY = 0.1  # Gaussians below are left out
MAX_GLIDE = 0.04  # world units; larger moves between two frames are jumps, not interpolated


def load(path):
    """Load the arrays of the cache, without Gaussians too faint to be shown as solid."""
    with np.load(path) as cache:
        arrays = dict(cache)
    seen = arrays["opacities"] > MIN_OPACITY
    for name in ("means", "quats", "scales"):  # [T, N, ..]
        arrays[name] = arrays[name][:, seen]
    arrays["colors"] = arrays["colors"][seen]
    return arrays


def points(name, arrays, attributes):
    """Add an object that consists of vertices with attributes {name: (kind, property, values)}."""
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(len(arrays))
    mesh.vertices.foreach_set("co", arrays.astype(np.float32).ravel())
    for label, (kind, field, values) in attributes.items():
        attribute = mesh.attributes.new(label, kind, "POINT")
        attribute.data.foreach_set(field, values.astype(np.float32).ravel())
    mesh.update()
    thing = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(thing)
    return thing


def linear(srgb):
    """Convert sRGB colours to linear light."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def material():
    """Create an emissive material in the colour of each Gaussian, independent of lighting."""
    made = bpy.data.materials.new(NAME)
    made.use_nodes = True
    tree = made.node_tree
    tree.nodes.clear()
    color = tree.nodes.new("ShaderNodeAttribute")
    color.attribute_type, color.attribute_name = "INSTANCER", "color"
    light = tree.nodes.new("ShaderNodeEmission")
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    tree.links.new(color.outputs["Color"], light.inputs["Color"])
    tree.links.new(light.outputs["Emission"], output.inputs["Surface"])
    return made


def animation(frames, look, count, times, fps):
    """Build the geometry nodes: N points, each interpolated between two of the T frames.

    `frames` is an object of T x N points, frame by frame, with attributes rotation and scale. A
    keyframed value holds the (fractional) frame index over time.
    """
    tree = bpy.data.node_groups.new(NAME, "GeometryNodeTree")
    tree.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")

    def node(kind, inputs=(), **settings):
        """Create a node; inputs are values or outputs of other nodes."""
        made = tree.nodes.new(kind)
        for key, value in settings.items():
            setattr(made, key, value)
        for key, value in dict(inputs).items():
            if isinstance(value, bpy.types.NodeSocket):
                tree.links.new(value, made.inputs[key])
            else:
                made.inputs[key].default_value = value
        return made

    def math(operation, a, b=0.0):
        return node("ShaderNodeMath", {0: a, 1: b}, operation=operation).outputs[0]

    now = node("ShaderNodeValue")
    now.outputs[0].default_value = 0.0
    for number, time in enumerate(times):  # fractional frame index
        now.outputs[0].default_value = number
        now.outputs[0].keyframe_insert("default_value", frame=1 + time * fps)
    linearize(tree)
    before = math("FLOOR", now.outputs[0])
    after = math("MINIMUM", math("ADD", before, 1.0), len(times) - 1.0)
    share = math("SUBTRACT", now.outputs[0], before)

    source = node("GeometryNodeObjectInfo", {"Object": frames}).outputs["Geometry"]
    number = node("GeometryNodeInputIndex").outputs[0]

    def sampled(kind, value, frame):
        """Sample an attribute of the point's Gaussian at a frame."""
        index = math("MULTIPLY_ADD", frame, float(count))
        tree.links.new(number, index.node.inputs[2])
        inputs = {"Geometry": source, "Value": value, "Index": index}
        return node("GeometryNodeSampleIndex", inputs, data_type=kind).outputs[0]

    def attribute(kind, name):
        reader = node("GeometryNodeInputNamedAttribute", {"Name": name}, data_type=kind)
        return next(output for output in reader.outputs if output.enabled)

    place = node("GeometryNodeInputPosition").outputs[0]
    places = [sampled("FLOAT_VECTOR", place, frame) for frame in (before, after)]
    way = node("ShaderNodeVectorMath", dict(enumerate(places)), operation="DISTANCE").outputs[1]
    far = math("GREATER_THAN", way, MAX_GLIDE)
    jump = math("MULTIPLY", far, math("SUBTRACT", math("ROUND", share), share))
    share = math("ADD", share, jump)

    def mixed(a, b):
        difference = node("ShaderNodeVectorMath", {0: b, 1: a}, operation="SUBTRACT").outputs[0]
        step = node("ShaderNodeVectorMath", {0: difference}, operation="SCALE")
        tree.links.new(share, step.inputs["Scale"])
        total = {0: a, 1: step.outputs[0]}
        return node("ShaderNodeVectorMath", total, operation="ADD").outputs[0]

    sizes = [
        sampled("FLOAT_VECTOR", attribute("FLOAT_VECTOR", "scale"), f) for f in (before, after)
    ]
    # Rotations are not interpolated: they hardly change between neighbouring frames.
    turn = sampled("QUATERNION", attribute("QUATERNION", "rotation"), math("ROUND", now.outputs[0]))

    start, end = node("NodeGroupInput"), node("NodeGroupOutput")
    moved = node(
        "GeometryNodeSetPosition", {"Geometry": start.outputs[0], "Position": mixed(*places)}
    )
    ball = node("GeometryNodeMeshIcoSphere", {"Radius": RADIUS, "Subdivisions": 2})
    painted = node("GeometryNodeSetMaterial", {"Geometry": ball.outputs[0], "Material": look})
    instances = node(
        "GeometryNodeInstanceOnPoints",
        {
            "Points": moved.outputs[0],
            "Instance": painted.outputs[0],
            "Rotation": turn,
            "Scale": mixed(*sizes),
        },
    )
    tree.links.new(instances.outputs[0], end.inputs[0])
    return tree


def linearize(animated):
    """Interpolate linearly between the keyframes of a node tree or an object."""
    action = animated.animation_data.action
    if hasattr(action, "fcurves"):
        curves = action.fcurves
    else:  # Blender 5
        curves = action.layers[0].strips[0].channelbags[0].fcurves
    for curve in curves:
        for key in curve.keyframe_points:
            key.interpolation = "LINEAR"


def build(path):
    """Build the animated object in the open scene."""
    arrays = load(path)
    means, scales, times = arrays["means"], arrays["scales"], arrays["times"].tolist()
    count = means.shape[1]
    frames = points(
        f"{NAME} frames",
        means.reshape(-1, 3),
        {
            "scale": ("FLOAT_VECTOR", "vector", scales),
            "rotation": ("QUATERNION", "value", arrays["quats"]),
        },
    )
    frames.hide_render = True
    frames.hide_set(True)
    colors = np.concatenate([linear(arrays["colors"]), np.ones((count, 1))], 1)
    thing = points(NAME, means[0], {"color": ("FLOAT_COLOR", "color", colors)})
    scene = bpy.context.scene
    fps = scene.render.fps / scene.render.fps_base
    modifier = thing.modifiers.new(NAME, "NODES")
    modifier.node_group = animation(frames, material(), count, times, fps)
    if "root_motion" in arrays:  # the object crossed the clip's frame
        for time, place in zip(times, arrays["root_motion"].tolist(), strict=True):
            thing.location = place
            thing.keyframe_insert("location", frame=1 + time * fps)
        linearize(thing)
    scene.frame_start, scene.frame_end = 1, round(1 + times[-1] * fps)
    return thing


def arguments():
    """Paths of the file to read and of the one to write, or None: the arguments after "--", or
    points_cache.npz beside this script."""
    named = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    if named:
        return Path(named[0]), Path(named[1]) if len(named) > 1 else None
    text = getattr(bpy.context.space_data, "text", None)
    script = Path(bpy.path.abspath(text.filepath)) if text else Path(__file__)
    return script.with_name("points_cache.npz"), None


def load_mesh(path):
    """Import a glb in place of the start-up cube; the scene ends with the animation."""
    for thing in list(bpy.data.objects):
        bpy.data.objects.remove(thing)
    bpy.ops.import_scene.gltf(filepath=str(path))
    ends = [action.frame_range[1] for action in bpy.data.actions]
    bpy.context.scene.frame_end = round(max(ends, default=1))


def save(path):
    """Write the scene as fbx, usdc, usdz or blend."""
    if path.suffix == ".fbx":
        bpy.ops.export_scene.fbx(filepath=str(path), path_mode="COPY", embed_textures=True)
    elif path.suffix == ".blend":
        bpy.ops.wm.save_as_mainfile(filepath=str(path))
    else:
        bpy.ops.wm.usd_export(filepath=str(path), export_animation=True)


if __name__ == "__main__":
    source, target = arguments()
    if source.suffix == ".glb":
        load_mesh(source)
    else:
        build(source)
    if target is not None:
        save(target.resolve())
