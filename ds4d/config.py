"""Every setting, its unit and its presets: the command line and the page derive from them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class MachineConfig:
    """What a run uses of this machine; none of it is part of what a run makes."""

    device: Annotated[Literal["auto", "cuda", "cpu"], tyro.conf.arg(prefix_name=False)] = "auto"
    """where networks and Gaussians are computed; auto = the GPU where there is one"""
    weights: Annotated[str, tyro.conf.arg(prefix_name=False)] = field(
        default_factory=lambda: os.environ.get("DS4D_WEIGHTS", "")
    )
    """folder with weights, looked through before the hub's cache and the hub: OWNER/REPO/FILES"""
    low_memory: Annotated[bool, tyro.conf.arg(prefix_name=False)] = False
    """slower, but the whole chain fits a GPU with 16 GB; otherwise 24 GB"""
    rasterizer: Annotated[
        Literal["auto", "numba", "triton", "diff_gaussian"], tyro.conf.arg(prefix_name=False)
    ] = "auto"
    """who draws Gaussians in 4D stage and videos; auto = triton on a GPU, numba on a CPU"""


@dataclass(frozen=True)
class ClipConfig:
    """How a clip is read and sampled, and what is too much."""

    frames: int = 24
    """frames that the clip is sampled to, evenly"""
    size: int = 256
    """side of the square frames, pixels; less, down to 256, where the clip itself has less"""
    margin: float = 0.1
    """free border around the object on each side, fraction of the square's side"""
    start: float = 0.0
    """first moment of the clip that is used, seconds"""
    end: float | None = None
    """last moment of the clip that is used, seconds; None = its end"""
    max_seconds: float = 60.0
    """longest clip that is accepted, seconds"""
    max_pixels: int = 4096 * 2304
    """largest frame that is accepted, pixels"""
    max_bytes: int = 200_000_000
    """largest file that is accepted, bytes"""


@dataclass(frozen=True)
class MattingConfig:
    engine: Literal["auto", "alpha", "rembg", "classical"] = "auto"
    """who cuts the object out: alpha (already there), rembg (network), classical (graph cut)"""
    model: Literal["isnet-general-use", "birefnet-general-lite", "u2net"] = "isnet-general-use"
    """rembg's network"""


@dataclass(frozen=True)
class MultiviewConfig:
    engine: Literal["auto", "given", "zero123plus", "inflate"] = "auto"
    """who makes the six views: given (in a case folder), zero123plus (network), inflate"""
    views: Annotated[str, tyro.conf.arg(prefix_name=False)] = "multiview"
    """folder of given views inside a case folder; none = ignore them"""
    version: Literal["v1.2", "v1.1"] = "v1.2"
    """Zero123++'s weights"""
    white: bool = False
    """whether Zero123++ v1.2 draws on white, with the UNet that InstantMesh published"""
    steps: int = 28
    """denoising steps of Zero123++; 75 show more detail"""
    guidance: float = 4.0
    """how strongly Zero123++ follows the frame; 1 = no guidance, half the time"""
    redraw: tuple[str, ...] = ()
    """frames whose six views Zero123++ draws once more, as FRAME:TRY, both from 1 on: 3:1 5:2"""
    anchor: Literal["first", "none"] = "first"
    """first = later frames see the first one's views, so that all agree; none = each on its own"""
    slant: float | None = None
    """inflate: by how many degrees the right side is farther away; None = looked for in the clip"""
    depth: float = 1.0
    """inflate: thickness of the object, times what its silhouettes say"""


@dataclass(frozen=True)
class FeaturesConfig:
    engine: Literal["auto", "dinov2", "descriptors"] = "auto"
    """who describes the patches: dinov2 (network), descriptors (colour, gradients, coverage)"""
    model: Literal["base", "small", "large"] = "base"
    """DINOv2's size"""
    grid: int = 18
    """patches along a side of a view, for descriptors; DINOv2 has 37"""


@dataclass(frozen=True)
class MeshConfig:
    engine: Literal["auto", "given", "instantmesh", "inflated", "visual_hull"] = "auto"
    """who makes the mesh: given (file), instantmesh (network), inflated, visual_hull (carved)"""
    file: Annotated[str, tyro.conf.arg(name="mesh", prefix_name=False)] = ""
    """a mesh of the object that you bring: glb, obj or ply; it is fitted to the views"""
    model: Literal["large", "base"] = "large"
    """InstantMesh's size"""
    resolution: int = 96
    """cells along a side of the grid that the surface is cut from"""


@dataclass(frozen=True)
class VideoConfig:
    size: int = 384
    """side of the videos, pixels (even)"""
    seconds: float = 4.0
    """length of each video, seconds"""
    fps: int = 24
    """frames per second"""


@dataclass(frozen=True)
class FourdConfig:
    """The 4D optimization: paper sections 3.2 to 3.5."""

    points: int = 4000
    """Gaussians at the start"""
    points_from: Literal["mesh", "random"] = "mesh"
    """where they start: on the mesh, or grey and anywhere in a ball"""
    static_iterations: int = 150
    """steps on the middle frame alone, before anything moves"""
    dynamic_iterations: int = 2000
    """steps over all frames, with HexPlane, TSSF and the deformation heads"""
    times_per_step: int = 2
    """frames that are drawn in a step, each from two views: several agree on what suits all"""
    shuffled: bool = True
    """frames and views are dealt like cards, each once before any comes again; otherwise they are
    thrown with dice, as in the code that the paper builds on"""
    front_always: bool = False
    """one view of each pair is the real front view; otherwise both are drawn from all views"""
    image_size: int = 256
    """side of the images that are drawn in training, pixels; at most that of the views"""

    features: Literal["none", "frames", "dsfd"] = "dsfd"
    """what the deformation reads of the views: nothing, features as they are, or decoupled ones"""
    projection: Literal["token", "map"] = "token"
    """DSFD's product (eq. 1): per token, or one scalar for a whole feature map"""
    reference: Literal["middle", "average", "both"] = "both"
    """what DSFD calls static: the middle frame, the mean over time, or both averaged"""
    fusion: Literal["front", "average", "ga", "da"] = "da"
    """whose features: the front view's, or TSSF's mean, global awareness, distance awareness"""
    distance: Literal["elements", "scalar", "alone"] = "elements"
    """DA: difference of each channel, or their sum, beside the features; alone = without these"""
    scores: Literal["point", "channel"] = "point"
    """GA and DA weigh a view's features as one, or each channel by itself"""
    feature_width: int = 16
    """channels that DSFD's features are reduced to before they are sampled"""
    visibility: Literal["depth", "none"] = "depth"
    """whether a Gaussian behind others reads no features from a view"""
    depth_tolerance: float = 0.02
    """how far behind the drawn surface a Gaussian is still seen, world units"""
    visibility_every: int = 100
    """steps between two looks at who is visible from where"""

    plane_size: int = 64
    """cells of the coarsest HexPlane level along each axis of space"""
    plane_times: int = 25
    """cells of the HexPlane along time"""
    plane_levels: int = 2
    """HexPlane levels, each twice as fine in space as the one before"""
    plane_width: int = 16
    """channels of each HexPlane level"""
    bound: float = 0.55
    """half side of the cube that the HexPlane covers, world units"""
    time_map: Literal["half", "full"] = "full"
    """cells that the clip's time covers: half as published code has it, or all"""
    hidden_width: int = 32
    """width of the deformation network"""
    hidden_layers: int = 1
    """layers that join all features, before each head's two"""
    zero_heads: bool = True
    """whether the deformation heads start at zero, so that nothing moves at first"""

    antialiased: bool = True
    """whether a Gaussian smaller than a pixel is drawn fainter, and not larger: then training on
    small images and drawing large ones, or from nearby, agree"""
    warps: Literal["auto", "on", "off"] = "auto"
    """whether pseudo views are bent and tinted a little while training; auto = where they do not
    agree"""
    warp_pull: float = 1.0
    """weight of the bends' squared lengths, which holds them small"""
    tint_pull: float = 0.1
    """weight of the tints' squares, which holds them small"""

    front_rgb: float = 2.0
    """weight of the colour error in the front view"""
    front_alpha: float = 0.5
    """weight of the matte error in the front view"""
    view_rgb: float = 1.0
    """weight of the colour error in the six other views"""
    view_alpha: float = 0.25
    """weight of the matte error in the six other views"""
    perceptual: float = 0.1
    """weight of the perceptual error in the six other views"""
    perceptual_loss: Literal["auto", "lpips", "structural"] = "auto"
    """who judges it: lpips (network), structural (SSIM and gradients)"""
    exclude: tuple[str, ...] = ()
    """drawn views that count for nothing, as FRAME:VIEW, both from 1 on: 3:4 5:2"""
    sds: float = 0.0
    """weight of score distillation by Zero123; 0 = off"""
    sds_model: Literal["zero123-xl", "stable-zero123"] = "zero123-xl"
    """Zero123's weights"""
    robust: bool = True
    """absolute errors; otherwise squared ones, as in the paper"""
    smooth_time: float = 0.0
    """weight of the second differences of the HexPlane along time"""
    smooth_space: float = 0.0
    """weight of the second differences of the HexPlane along space"""
    sparse_time: float = 0.0
    """weight of the time planes' distance to one"""

    means_lr: tuple[float, float] = (2.4e-3, 8e-5)
    """learning rate of the positions, first and last, world units"""
    network_lr: tuple[float, float] = (1e-3, 1e-4)
    """learning rate of TSSF and the deformation network, first and last"""
    plane_lr: tuple[float, float] = (2e-2, 2e-3)
    """learning rate of the HexPlane, first and last"""
    warp_lr: float = 1e-4
    """learning rate of the bends of pseudo views, sides of the image"""
    tint_lr: float = 5e-4
    """learning rate of the tints of pseudo views"""
    color_lr: float = 0.005
    """learning rate of the colours"""
    opacity_lr: float = 0.02
    """learning rate of the opacities, before the sigmoid"""
    scale_lr: float = 0.01
    """learning rate of the logarithms of the scales"""
    rotation_lr: float = 0.002
    """learning rate of the quaternions"""
    square_decay: float = 0.99
    """what Adam's mean of squared gradients keeps from step to step; less forgets sooner how steep
    the beginning was"""

    averaged: int = 100
    """steps that the result is a running mean over, at most a twentieth of the dynamic ones; 0 = it
    is what the last step left"""

    densify_from: int = 300
    """first step that adds Gaussians"""
    densify_until: int = 1500
    """last step that adds or removes Gaussians"""
    densify_every: int = 100
    """steps between two rounds of adding and removing"""
    densify_share: float = 0.025
    """share of the Gaussians with the largest image gradients that is cloned or split"""
    max_gaussians: int = 4500
    """no Gaussians are added beyond this number"""
    prune_opacity: float = 0.01
    """Gaussians fainter than this are removed"""
    split_scale: float = 0.055
    """a Gaussian larger than this is split, a smaller one cloned; world units"""
    prune_scales: tuple[float, float] = (0.0005, 0.055)
    """Gaussians smaller or larger than this are removed, world units"""
    checkpoint_every: int = 500
    """steps between two checkpoints"""


@dataclass(frozen=True)
class Config:
    """A whole run."""

    preset: Literal["preview", "standard", "paper"] = "preview"
    """which set of values the run started from"""
    ablation: Literal["none", "plain", "A", "B", "C", "D", "E", "F", "G", "H"] = "none"
    """which row of the paper's ablation table the preset was changed to; plain = 4D-GS alone"""
    seed: int = 0
    """the only source of randomness"""
    clip: ClipConfig = field(default_factory=ClipConfig)
    matting: MattingConfig = field(default_factory=MattingConfig)
    multiview: MultiviewConfig = field(default_factory=MultiviewConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    fourd: FourdConfig = field(default_factory=FourdConfig)
    videos: VideoConfig = field(default_factory=VideoConfig)
    machine: MachineConfig = field(default_factory=MachineConfig)


PRESETS: dict[str, Config] = {
    # What two CPU cores do in a few minutes.
    "preview": Config(),
    # Three times the pictures, as large as Zero123++ draws them: for patient CPUs.
    "standard": Config(
        preset="standard",
        clip=ClipConfig(size=320),
        mesh=MeshConfig(resolution=128),
        fourd=FourdConfig(
            max_gaussians=6000,
            static_iterations=150,
            dynamic_iterations=3400,
            densify_until=2300,
            densify_share=0.05,
            times_per_step=4,
            image_size=320,
            warp_lr=5e-5,
        ),
        videos=VideoConfig(size=512),
    ),
    # The paper's sizes and weights (method sections 5 to 7). Lengths are in our world, whose unit
    # is 1 / 0.5473 of the published code's: 0.5 here is what 0.9136 is there.
    "paper": Config(
        preset="paper",
        clip=ClipConfig(size=512),
        multiview=MultiviewConfig(steps=75),
        features=FeaturesConfig(grid=37),
        mesh=MeshConfig(resolution=256),
        fourd=FourdConfig(
            points=10_000,
            max_gaussians=100_000,
            static_iterations=1000,
            dynamic_iterations=6000,
            times_per_step=4,
            shuffled=False,
            front_always=True,
            image_size=512,
            feature_width=64,
            hidden_width=64,
            plane_size=64,
            plane_levels=4,
            plane_width=32,
            bound=0.876,
            time_map="half",
            zero_heads=False,
            antialiased=False,
            warps="off",
            robust=False,
            front_rgb=20_000.0,
            front_alpha=5000.0,
            view_rgb=0.0,
            view_alpha=0.0,
            perceptual=1000.0,
            sds=1.0,
            smooth_time=5.0,
            smooth_space=0.05,
            sparse_time=0.05,
            means_lr=(1.1e-4, 1.1e-6),
            network_lr=(1.6e-4, 1.6e-6),
            plane_lr=(1.6e-3, 1.6e-4),
            square_decay=0.999,
            averaged=0,
            densify_from=1200,
            densify_until=6000,
        ),
        videos=VideoConfig(size=512),
    ),
}
