"""Tiny networks in the place of rembg's: what is dark is the object."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

# Side of the input; the input's name; level between object and background after rembg's own
# normalisation (grey 0.5); whether the answer is logits.
MODELS = {
    "isnet-general-use": (1024, "input_image", 0.0, False),
    "u2net": (320, "input.1", 0.227, False),
    "birefnet-general-lite": (1024, "input_image", 0.227, True),
}
SLOPE = 8.0


def make(folder: Path) -> None:
    """Write FOLDER/rembg/MODEL.onnx for each model."""
    (folder / "rembg").mkdir(parents=True, exist_ok=True)
    for model, (size, name, level, logits) in MODELS.items():
        onnx.save(network(size, name, level, logits), folder / "rembg" / f"{model}.onnx")


def network(size: int, name: str, level: float, logits: bool) -> onnx.ModelProto:
    """mask [1, 1, S, S] = sigmoid(SLOPE (level - mean of the colours)) of an image [1, 3, S, S]."""
    nodes = [
        helper.make_node("ReduceMean", [name], ["grey"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["level", "grey"], ["dark"]),
        helper.make_node("Mul", ["dark", "slope"], ["logits"]),
    ]
    if not logits:
        nodes.append(helper.make_node("Sigmoid", ["logits"], ["mask"]))
    image = helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, size, size])
    answer = helper.make_tensor_value_info(
        "logits" if logits else "mask", TensorProto.FLOAT, [1, 1, size, size]
    )
    constants = [
        helper.make_tensor("level", TensorProto.FLOAT, [], [level]),
        helper.make_tensor("slope", TensorProto.FLOAT, [], [SLOPE]),
    ]
    graph = helper.make_graph(nodes, "dark", [image], [answer], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8  # old enough for every onnxruntime in use
    return model
