"""Settings with their units, and the presets; command line and page are derived from them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple

import tyro

DAY = 86_400  # seconds


class Range(NamedTuple):
    """The values that a number may have, both ends included; `ranges.check` tests them."""

    least: float
    most: float


@dataclass(frozen=True)
class MachineConfig:
    """The use of this machine; nothing here is part of the result."""

    device: Annotated[Literal["auto", "cuda", "cpu"], tyro.conf.arg(prefix_name=False)] = "auto"
    """Device for networks and Gaussians; auto = a GPU if there is one."""
    weights: Annotated[str, tyro.conf.arg(prefix_name=False)] = field(
        default_factory=lambda: os.environ.get("DS4D_WEIGHTS", "")
    )
    """Folder of weights as OWNER/REPO/FILES, searched before the hub's cache and the hub."""
    low_memory: Annotated[bool, tyro.conf.arg(prefix_name=False)] = False
    """Run slower, so that the pretrained engines fit a GPU with 16 GB instead of 24 GB."""
    commercial: Annotated[bool, tyro.conf.arg(prefix_name=False)] = field(
        default_factory=lambda: os.environ.get("DS4D_COMMERCIAL", "") not in ("", "0")
    )
    """Use no weights whose licence forbids commercial use, or leaves it in doubt."""
    rasterizer: Annotated[
        Literal["auto", "numba", "triton", "diff_gaussian"], tyro.conf.arg(prefix_name=False)
    ] = "auto"
    """Rasterizer of the 4D stage and the videos; auto = triton on a GPU, numba on a CPU."""
    chosen_on: tyro.conf.Suppress[str] = ""
    """Kind of device, cuda or cpu, on which engines are chosen, in a run whose stages are spread
    over machines with and without a GPU; empty = this machine's."""


@dataclass(frozen=True)
class ClipConfig:
    """Reading and sampling of a clip, and the limits of what is accepted."""

    frames: Annotated[int, Range(2, 1000)] = 24
    """Number of frames, sampled evenly from the clip."""
    size: Annotated[int, Range(16, 2048)] = 256
    """Side of the square frames, pixels; less, but at least 256, if the clip has fewer pixels."""
    margin: Annotated[float, Range(0, 0.45)] = 0.1
    """Free border around the object on each side, as a fraction of the square's side."""
    interpolate: Literal[1, 2, 3, 4] = 1
    """Factor on the frame rate: frames between the clip's are made; 1 = none."""
    between: Literal["auto", "flow", "rife"] = "auto"
    """Engine of these frames: flow (optical flow), rife (network)."""
    start: Annotated[float, Range(0, DAY)] = 0.0
    """Beginning of the used part of the clip, seconds."""
    end: Annotated[float | None, Range(0, DAY)] = None
    """End of the used part of the clip, seconds; None = the clip's end."""
    max_seconds: Annotated[float, Range(0.1, DAY)] = 60.0
    """Longest clip that is accepted, seconds."""
    max_pixels: Annotated[int, Range(1, 1e9)] = 4096 * 2304
    """Largest frame that is accepted, pixels."""
    max_bytes: Annotated[int, Range(1, 1e12)] = 200_000_000
    """Largest file that is accepted, bytes."""


@dataclass(frozen=True)
class MattingConfig:
    engine: Literal["auto", "alpha", "rembg", "classical", "sam2"] = "auto"
    """Engine of the mattes: alpha (the clip's own), rembg (network), classical (graph cut), sam2
    (the object that strokes on a few frames show, by name only)."""
    model: Literal["isnet-general-use", "birefnet-general-lite", "u2net"] = "isnet-general-use"
    """Network of rembg."""


@dataclass(frozen=True)
class MultiviewConfig:
    engine: Literal["auto", "given", "zero123plus", "l4gm", "relief", "inflate"] = "auto"
    """Engine of the six views: given (case folder), zero123plus, l4gm (Gaussians of all frames, by
    name only), relief (depth network and our shape prior), inflate (our shape prior)."""
    depth_network: Literal["auto", "moge-2-vits", "depth-anything-v2-small"] = "auto"
    """Network of relief; auto = the first of the two whose weights are to be had."""
    views: Annotated[str, tyro.conf.arg(prefix_name=False)] = "multiview"
    """Folder of given views inside a case folder; none = ignore them."""
    version: Literal["v1.2", "v1.1"] = "v1.2"
    """Version of Zero123++'s weights."""
    white: bool = False
    """Generate on a white background, by the UNet that InstantMesh published for v1.2."""
    steps: Annotated[int, Range(1, 1000)] = 28
    """Denoising steps of Zero123++; 75 show more detail."""
    solver: Literal["euler", "unipc"] = "euler"
    """Solver of Zero123++'s denoising: euler (as published), unipc (for about half the steps; not
    looked at with the published weights yet)."""
    guidance: Annotated[float, Range(0, 50)] = 4.0
    """Guidance scale of Zero123++; 1 = no guidance, in half the time."""
    redraw: tuple[str, ...] = ()
    """Frames whose views are generated with another seed, FRAME:TRY counted from 1: 3:1 5:2."""
    anchor: Literal["first", "none"] = "first"
    """Frame that later frames attend to for consistency; none = each frame is on its own."""
    slant: Annotated[float | None, Range(-80, 80)] = None
    """Degrees by which the object's right side is farther away, for relief and inflate;
    None = estimated."""
    depth: Annotated[float, Range(0.05, 10)] = 1.0
    """Factor on the object's estimated thickness, for relief and inflate."""
    sides: Literal["auto", "given", "instantmesh", "inflate"] = "auto"
    """Side views of the first frame, for l4gm: given (level views of a case folder), instantmesh (a
    mesh by Zero123++ and InstantMesh), inflate; auto = the first of these that there is."""
    between: bool = False
    """Make the frames that --clip.interpolate 3 adds by L4GM's second network, for l4gm."""


@dataclass(frozen=True)
class FeaturesConfig:
    engine: Literal["auto", "dinov2", "descriptors"] = "auto"
    """Engine of the features: dinov2 (network), descriptors (colour, gradients, coverage)."""
    model: Literal["base", "small", "large"] = "base"
    """Size of DINOv2."""
    grid: Annotated[int, Range(2, 128)] = 18
    """Patches along a side of a view, for descriptors; DINOv2 has 37."""


@dataclass(frozen=True)
class MeshConfig:
    engine: Literal["auto", "given", "instantmesh", "inflated", "visual_hull"] = "auto"
    """Engine of the mesh: given (file), instantmesh (network), inflated, visual_hull."""
    file: Annotated[str, tyro.conf.arg(name="mesh", prefix_name=False)] = ""
    """Mesh of the object that you provide (glb, obj or ply); it is fitted to the views."""
    model: Literal["large", "base"] = "large"
    """Size of InstantMesh."""
    resolution: Annotated[int, Range(8, 512)] = 96
    """Cells along a side of the grid from which the mesh is extracted."""


@dataclass(frozen=True)
class ExportConfig:
    """The files for other programs: the mesh that moves, and splats."""

    triangles: Annotated[int, Range(2000, 20_000)] = 8000
    """Triangles of the moving mesh, at most about this many."""
    texture: Annotated[int, Range(64, 4096)] = 1024
    """Side of its texture, texels."""
    bones: Annotated[int, Range(1, 128)] = 96
    """Bones of its skeleton at most."""
    ply_sh: Literal[0, 3] = 0
    """Degree of the spherical harmonics in the splat files (ply); 3 = with columns of zeros that
    some importers insist on, for example Unity's."""


@dataclass(frozen=True)
class VideoConfig:
    size: Annotated[int, Range(2, 4096)] = 384
    """Side of the videos, pixels (even)."""
    seconds: Annotated[float, Range(0.01, 120)] = 4.0
    """Length of each video, seconds."""
    fps: Annotated[int, Range(1, 120)] = 24
    """Frames per second."""


@dataclass(frozen=True)
class FourdConfig:
    """The 4D optimization: paper sections 3.2 to 3.5."""

    points: Annotated[int, Range(1, 1_000_000)] = 4000
    """Number of Gaussians at the start."""
    points_from: Literal["mesh", "random"] = "mesh"
    """Initial positions: on the mesh, or uniform in a ball and grey."""
    start: Literal["points", "gaussians"] = "points"
    """Initial Gaussians: faint ones on these points, or those that the middle frame's views were
    rendered from, thinned (l4gm)."""
    static_iterations: Annotated[int, Range(0, 1_000_000)] = 150
    """Steps of the static stage, on the middle frame alone."""
    dynamic_iterations: Annotated[int, Range(1, 1_000_000)] = 2000
    """Steps of the dynamic stage, on all frames, with HexPlane, TSSF and the deformation heads."""
    times_per_step: Annotated[int, Range(1, 64)] = 2
    """Frames rendered in each step, from two views each."""
    shuffled: bool = True
    """Sample frames and views in shuffled epochs; otherwise independently, as in the code that the
    paper builds on."""
    hard_frames: Annotated[float, Range(0, 2)] = 1.0
    """Power of a frame's error in the front view with which shuffled sampling prefers it; 0 = all
    frames equally often."""
    front_always: bool = False
    """Make the real front view one of each pair; otherwise sample both from all views."""
    image_size: Annotated[int, Range(16, 2048)] = 256
    """Side of the training images, pixels; at most that of the views."""

    features: Literal["none", "frames", "dsfd"] = "dsfd"
    """View features that the deformation reads: none, raw ones, or those that DSFD decouples."""
    projection: Literal["token", "map"] = "token"
    """Product in DSFD (eq. 1): per token, or one scalar for a whole feature map."""
    reference: Literal["middle", "average", "both"] = "both"
    """Static reference of DSFD: the middle frame, the mean over time, or the mean of both."""
    fusion: Literal["front", "average", "ga", "da"] = "da"
    """Fusion of the views' features: the front view alone, or TSSF by mean, global awareness (ga)
    or distance awareness (da)."""
    distance: Literal["elements", "scalar", "alone"] = "elements"
    """Distance in DA: of each channel or their sum, beside the features; alone = no features."""
    scores: Literal["point", "channel"] = "point"
    """Weights in GA and DA: one per view, or one per view and channel."""
    feature_width: Annotated[int, Range(1, 1024)] = 16
    """Channels that DSFD's features are reduced to before sampling."""
    visibility: Literal["depth", "none"] = "depth"
    """Occlusion test: a Gaussian behind others reads no features from a view; none = no test."""
    depth_tolerance: float = 0.02
    """Largest distance behind the rendered surface at which a Gaussian counts as visible, world
    units."""
    visibility_every: Annotated[int, Range(1, 1_000_000)] = 100
    """Steps between two updates of the visibility."""

    plane_size: Annotated[int, Range(2, 512)] = 64
    """Cells of the coarsest HexPlane level along each axis of space."""
    plane_times: Annotated[int, Range(2, 1000)] = 25
    """Cells of the HexPlane along time."""
    plane_levels: Annotated[int, Range(1, 8)] = 2
    """Number of HexPlane levels, each twice as fine in space as the one before."""
    plane_width: Annotated[int, Range(1, 256)] = 16
    """Channels of each HexPlane level."""
    bound: Annotated[float, Range(0.01, 100)] = 0.55
    """Half the side of the cube that the HexPlane covers, world units."""
    time_map: Literal["half", "full"] = "full"
    """Share of the HexPlane's cells along time that the clip covers: half, as in published code, or
    all."""
    hidden_width: Annotated[int, Range(1, 1024)] = 32
    """Width of the deformation network."""
    hidden_layers: Annotated[int, Range(0, 16)] = 1
    """Layers that join all features, before the two of each head."""
    zero_heads: bool = True
    """Initialize the last layers of the deformation heads with zeros: nothing moves at first."""

    color_knots: Annotated[int, Range(0, 1000)] = 24
    """Moments, evenly spread over the clip, at which each Gaussian has a colour of its own, linear
    between them; 0 = constant colours, as in the paper."""
    antialiased: bool = True
    """Render Gaussians smaller than a pixel fainter instead of larger (Mip-Splatting), so that
    training on small images and rendering large ones agree."""
    warps: Literal["auto", "on", "off"] = "auto"
    """Learn a small 2D warp and colour change for each generated view; auto = where the views
    disagree."""
    warp_pull: float = 1.0
    """Weight of the L2 regularizer of these warps."""
    tint_pull: float = 0.1
    """Weight of the L2 regularizer of these colour changes."""

    front_rgb: float = 2.0
    """Weight of the colour loss in the front view."""
    front_alpha: float = 0.5
    """Weight of the matte loss in the front view."""
    view_rgb: float = 1.0
    """Weight of the colour loss in the other views."""
    view_alpha: float = 0.25
    """Weight of the matte loss in the other views."""
    perceptual: float = 0.1
    """Weight of the perceptual loss in the other views."""
    perceptual_loss: Literal["auto", "lpips", "structural"] = "auto"
    """Perceptual loss: lpips (a network), or structural (SSIM and gradients)."""
    exclude: tuple[str, ...] = ()
    """Views to leave out, as FRAME:VIEW, both counted from 1: 3:4 5:2."""
    sds: float = 0.0
    """Weight of score distillation by Zero123; 0 = off."""
    sds_model: Literal["zero123-xl", "stable-zero123"] = "zero123-xl"
    """Zero123 model for score distillation."""
    robust: bool = True
    """L1 photometric losses; otherwise L2, as in the paper."""
    smooth_time: float = 0.0
    """Weight of the HexPlane's roughness along time (squared second differences)."""
    smooth_space: float = 0.0
    """Weight of the HexPlane's roughness along space (squared second differences)."""
    sparse_time: float = 0.0
    """Weight of the L1 distance of the time planes to one."""

    means_lr: tuple[float, float] = (2.4e-3, 8e-5)
    """Learning rate of the positions, first and last, world units."""
    network_lr: tuple[float, float] = (1e-3, 1e-4)
    """Learning rate of TSSF and the deformation network, first and last."""
    plane_lr: tuple[float, float] = (2e-2, 2e-3)
    """Learning rate of the HexPlane, first and last."""
    warp_lr: Annotated[float, Range(0, 10)] = 1e-4
    """Learning rate of the view warps, sides of the image."""
    tint_lr: Annotated[float, Range(0, 10)] = 5e-4
    """Learning rate of the colour changes of views."""
    color_lr: Annotated[float, Range(0, 10)] = 0.005
    """Learning rate of the colours."""
    opacity_lr: Annotated[float, Range(0, 10)] = 0.02
    """Learning rate of the opacities, before the sigmoid."""
    scale_lr: Annotated[float, Range(0, 10)] = 0.01
    """Learning rate of the logarithms of the scales."""
    rotation_lr: Annotated[float, Range(0, 10)] = 0.002
    """Learning rate of the quaternions."""
    square_decay: Annotated[float, Range(0, 0.999999)] = 0.99
    """Decay of Adam's mean of squared gradients (beta2)."""

    averaged: int = 100
    """Steps over which the result is a running mean, at most a twentieth of the dynamic ones; 0 =
    the last step's parameters."""

    densify_from: int = 300
    """Step after which Gaussians are added and removed."""
    densify_until: int = 1500
    """Step until which Gaussians are added and removed."""
    densify_every: Annotated[int, Range(1, 1_000_000)] = 100
    """Steps between two densifications."""
    densify_share: Annotated[float, Range(0, 1)] = 0.025
    """Share of the Gaussians, those with the largest image gradients, that is cloned or split."""
    max_gaussians: Annotated[int, Range(1, 2_000_000)] = 4500
    """Largest number of Gaussians."""
    prune_opacity: Annotated[float, Range(0, 1)] = 0.01
    """Opacity below which Gaussians are removed."""
    split_scale: Annotated[float, Range(1e-6, 10)] = 0.055
    """Scale above which Gaussians are split and below which they are cloned, world units."""
    prune_scales: tuple[float, float] = (0.0005, 0.055)
    """Smallest and largest scale; Gaussians beyond are removed, world units."""
    checkpoint_every: Annotated[int, Range(1, 1_000_000)] = 500
    """Steps between two checkpoints."""


@dataclass(frozen=True)
class AnimateConfig:
    """A clip that is made of a picture; the chain takes it like any other clip."""

    engine: Literal["auto", "wan", "svd", "puppet"] = "auto"
    """Engine of the motion: wan (Wan 2.2), svd (Stable Video Diffusion), puppet (no weights)."""
    prompt: str = ""
    """Words for the motion, for wan: "the fox turns its head and wags its tail"."""
    seeds: Annotated[tuple[int, ...], Range(0, 2**32)] = (0,)
    """Seeds of wan and svd; several give a clip each, and one that shows them side by side."""
    steps: Annotated[int | None, Range(1, 1000)] = None
    """Denoising steps; None = 40 for wan, 25 for svd."""
    motion: Literal["auto", "all", "breathe", "sway", "hop", "nod", "wave", "walk"] = "auto"
    """Motion of puppet; auto = one that suits the object's outline, all = a clip of each."""
    frames: Annotated[int, Range(2, 240)] = 24
    """Number of frames; the last one leads back to the first."""
    fps: Annotated[float, Range(1, 60)] = 12.0
    """Frames per second of the clip."""
    size: Annotated[int, Range(64, 2048)] = 512
    """Side of the square frames, pixels."""


@dataclass(frozen=True)
class ImagineConfig:
    """Pictures that are made from words."""

    model: Literal["sdxl", "ssd-1b"] = "sdxl"
    """Network: sdxl (Stable Diffusion XL base 1.0), ssd-1b (smaller and newer, Apache-2.0)."""
    seeds: Annotated[tuple[int, ...], Range(0, 2**32)] = (0, 1, 2, 3)
    """Seeds; each gives a picture."""
    steps: Annotated[int, Range(1, 1000)] = 30
    """Denoising steps."""
    size: Annotated[int, Range(64, 2048)] = 1024
    """Side of the pictures, pixels; a multiple of 8."""


@dataclass(frozen=True)
class Config:
    """All settings of a run."""

    preset: Literal["preview", "standard", "paper"] = "preview"
    """Set of values to start from."""
    ablation: Literal["none", "plain", "A", "B", "C", "D", "E", "F", "G", "H"] = "none"
    """Row of the paper's ablation table to change the preset to; plain = 4D-GS alone."""
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0
    """Seed of all random numbers."""
    clip: ClipConfig = field(default_factory=ClipConfig)
    matting: MattingConfig = field(default_factory=MattingConfig)
    multiview: MultiviewConfig = field(default_factory=MultiviewConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    fourd: FourdConfig = field(default_factory=FourdConfig)
    videos: VideoConfig = field(default_factory=VideoConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    machine: MachineConfig = field(default_factory=MachineConfig)
