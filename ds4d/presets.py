"""Sets of values that a run can start from."""

from __future__ import annotations

from .config import (
    ClipConfig,
    Config,
    FeaturesConfig,
    FourdConfig,
    MeshConfig,
    MultiviewConfig,
    VideoConfig,
)

PRESETS: dict[str, Config] = {
    # A few minutes on two CPU cores.
    "preview": Config(),
    # Three times the images of preview, at the resolution of Zero123++: longer on a CPU.
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
    # The paper's sizes and weights (docs/method.md, section 15). Lengths are converted to our world
    # units: 0.9136 in the published code is 0.5 here.
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
            hard_frames=0.0,
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
            color_knots=0,
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
