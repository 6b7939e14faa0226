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


class Nodes:
    """A tree of geometry nodes, and what its nodes are made of."""

    def __init__(self):
        self.tree = bpy.data.node_groups.new(NAME, "GeometryNodeTree")
        for way in ("INPUT", "OUTPUT"):
            socket = {"in_out": way, "socket_type": "NodeSocketGeometry"}
            self.tree.interface.new_socket("Geometry", **socket)

    def node(self, kind, inputs=(), **settings):
        """Create a node; inputs are values or outputs of other nodes."""
        made = self.tree.nodes.new(kind)
        for key, value in settings.items():
            setattr(made, key, value)
        for key, value in dict(inputs).items():
            if isinstance(value, bpy.types.NodeSocket):
                self.tree.links.new(value, made.inputs[key])
            else:
                made.inputs[key].default_value = value
        return made

    def math(self, operation, *values):
        """A number of up to three others."""
        return self.node("ShaderNodeMath", enumerate(values), operation=operation).outputs[0]

    def vector(self, operation, *vectors):
        """A vector of two others, or their distance."""
        made = self.node("ShaderNodeVectorMath", enumerate(vectors), operation=operation)
        return made.outputs[1 if operation == "DISTANCE" else 0]

    def attribute(self, kind, name):
        """A named attribute of points."""
        reader = self.node("GeometryNodeInputNamedAttribute", {"Name": name}, data_type=kind)
        return next(output for output in reader.outputs if output.enabled)

    def mixed(self, a, b, share):
        """Vectors between two others."""
        difference = self.vector("SUBTRACT", b, a)
        inputs = {0: difference, "Scale": share}
        step = self.node("ShaderNodeVectorMath", inputs, operation="SCALE").outputs[0]
        return self.vector("ADD", a, step)


def animation(frames, look, count, times, fps):
    """Build the geometry nodes: N points, each interpolated between two of the T frames.

    `frames` is an object of T x N points, frame by frame, with attributes rotation and scale.
    """
    nodes = Nodes()
    now = clock(nodes, times, fps)
    before = nodes.math("FLOOR", now)
    after = nodes.math("MINIMUM", nodes.math("ADD", before, 1.0), len(times) - 1.0)
    share = nodes.math("SUBTRACT", now, before)
    source = nodes.node("GeometryNodeObjectInfo", {"Object": frames}).outputs["Geometry"]
    number = nodes.node("GeometryNodeInputIndex").outputs[0]

    def sampled(kind, value, frame):
        """Sample an attribute of the point's Gaussian at a frame."""
        index = nodes.math("MULTIPLY_ADD", frame, float(count), number)
        inputs = {"Geometry": source, "Value": value, "Index": index}
        return nodes.node("GeometryNodeSampleIndex", inputs, data_type=kind).outputs[0]

    place = nodes.node("GeometryNodeInputPosition").outputs[0]
    places = [sampled("FLOAT_VECTOR", place, frame) for frame in (before, after)]
    far = nodes.math("GREATER_THAN", nodes.vector("DISTANCE", *places), MAX_GLIDE)
    to_nearest = nodes.math("SUBTRACT", nodes.math("ROUND", share), share)
    share = nodes.math("ADD", share, nodes.math("MULTIPLY", far, to_nearest))
    scale = nodes.attribute("FLOAT_VECTOR", "scale")
    sizes = [sampled("FLOAT_VECTOR", scale, frame) for frame in (before, after)]
    # Rotations are not interpolated: they hardly change between neighbouring frames.
    rotation = nodes.attribute("QUATERNION", "rotation")
    turn = sampled("QUATERNION", rotation, nodes.math("ROUND", now))
    place_balls(nodes, look, nodes.mixed(*places, share), turn, nodes.mixed(*sizes, share))
    return nodes.tree


def clock(nodes, times, fps):
    """The (fractional) index of the frame that is shown, as a value with keyframes."""
    now = nodes.node("ShaderNodeValue")
    for number, time in enumerate(times):
        now.outputs[0].default_value = number
        now.outputs[0].keyframe_insert("default_value", frame=1 + time * fps)
    linearize(nodes.tree)
    return now.outputs[0]


def place_balls(nodes, look, places, turns, sizes):
    """Put an ellipsoid of a material at every point of the tree's input, and give that out."""
    start, end = nodes.node("NodeGroupInput"), nodes.node("NodeGroupOutput")
    inputs = {"Geometry": start.outputs[0], "Position": places}
    moved = nodes.node("GeometryNodeSetPosition", inputs)
    ball = nodes.node("GeometryNodeMeshIcoSphere", {"Radius": RADIUS, "Subdivisions": 2})
    inputs = {"Geometry": ball.outputs[0], "Material": look}
    painted = nodes.node("GeometryNodeSetMaterial", inputs)
    inputs = {"Points": moved.outputs[0], "Instance": painted.outputs[0], "Rotation": turns}
    instances = nodes.node("GeometryNodeInstanceOnPoints", inputs | {"Scale": sizes})
    nodes.tree.links.new(instances.outputs[0], end.inputs[0])


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
