"""Tiny networks in the place of MoGe-2 and Depth Anything V2: bright is near."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import torch
from onnx import TensorProto, helper
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation

MOGE, DEPTH_ANYTHING = (
    "Ruicheng/moge-2-vits-normal-onnx",
    "depth-anything/Depth-Anything-V2-Small-hf",
)
WIDTH = 1.6  # of the frame in the points' unit
FARTHEST = 3.0  # z of black; white is 1 nearer


def make(folder: Path) -> None:
    """Write both repositories into FOLDER, in their published layouts."""
    (folder / MOGE).mkdir(parents=True, exist_ok=True)
    onnx.save(moge(), folder / MOGE / "model.onnx")
    make_depth_anything(folder / DEPTH_ANYTHING)


def moge() -> onnx.ModelProto:
    """Points of a weak perspective, normals towards the camera, a mask of ones.

    The last output has the name of the published file, not that of the program that exports it.
    """
    node = helper.make_node
    nodes = [
        node("ReduceMean", ["image"], ["grey"], axes=[1], keepdims=0),
        node("Sub", ["farthest", "grey"], ["z"]),
        node("Mul", ["grey", "zero"], ["zeros"]),
        node("Add", ["zeros", "one"], ["ones"]),
    ]
    for name, axis in (("x", "columns"), ("y", "rows")):
        nodes += [
            node("CumSum", ["ones", axis], [f"{name}_count"]),
            node("ReduceMax", [f"{name}_count"], [f"{name}_most"], keepdims=1),
            node("Div", [f"{name}_count", f"{name}_most"], [f"{name}_share"]),
            node("Mul", [f"{name}_share", "width"], [name]),
        ]
    nodes += [
        node("Sub", ["zeros", "one"], ["towards"]),
        *(node("Unsqueeze", [name, "last"], [f"{name}_last"])
          for name in ("x", "y", "z", "zeros", "towards")),
        node("Concat", ["x_last", "y_last", "z_last"], ["points"], axis=3),
        node("Concat", ["zeros_last", "zeros_last", "towards_last"], ["normal"], axis=3),
        node("Identity", ["ones"], ["mask"]),
        node("Cast", ["num_tokens"], ["tokens"], to=TensorProto.FLOAT),
        node("Reshape", ["tokens", "flat"], ["scale"]),
    ]  # fmt: skip
    numbers = {"farthest": FARTHEST, "zero": 0.0, "one": 1.0, "width": WIDTH}
    places = {"columns": ([], [2]), "rows": ([], [1]), "last": ([1], [3]), "flat": ([1], [1])}
    constants = [helper.make_tensor(n, TensorProto.FLOAT, [], [v]) for n, v in numbers.items()]
    constants += [helper.make_tensor(n, TensorProto.INT64, *v) for n, v in places.items()]
    value = helper.make_tensor_value_info
    inputs = [
        value("image", TensorProto.FLOAT, ["batch_size", 3, "height", "width_"]),
        value("num_tokens", TensorProto.INT64, []),
    ]
    shapes = {"points": ["b", "h", "w", 3], "normal": ["b", "h", "w", 3], "mask": ["b", "h", "w"]}
    outputs = [value(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    outputs.append(value("scale", TensorProto.FLOAT, ["b"]))
    graph = helper.make_graph(nodes, "moge", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8  # old enough for every onnxruntime in use
    return model


def make_depth_anything(folder: Path) -> None:
    """A random network under the published names; its config.json as published, but tiny."""
    backbone = {
        "architectures": ["Dinov2Model"], "hidden_size": 16, "image_size": 518, "mlp_ratio": 2,
        "model_type": "dinov2", "num_attention_heads": 2, "num_hidden_layers": 4,
        "out_features": ["stage1", "stage2", "stage3", "stage4"], "out_indices": [1, 2, 3, 4],
        "patch_size": 14, "reshape_hidden_states": False, "torch_dtype": "float32",
    }  # fmt: skip
    config = {
        "architectures": ["DepthAnythingForDepthEstimation"], "backbone": None,
        "backbone_config": backbone, "fusion_hidden_size": 8, "head_hidden_size": 4,
        "head_in_index": -1, "initializer_range": 0.02, "model_type": "depth_anything",
        "neck_hidden_sizes": [8, 8, 16, 16], "patch_size": 14,
        "reassemble_factors": [4, 2, 1, 0.5], "reassemble_hidden_size": 16,
        "torch_dtype": "float32", "transformers_version": None, "use_pretrained_backbone": False,
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = DepthAnythingForDepthEstimation(DepthAnythingConfig.from_dict(config))
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
    network.save_pretrained(folder)  # maps its own names to the published ones
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
