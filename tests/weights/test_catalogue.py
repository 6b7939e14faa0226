import re
import typing
from pathlib import Path

import pytest

from ds4d import animate, interpolation
from ds4d.animate import imagine
from ds4d.config import FeaturesConfig, FourdConfig, MattingConfig, MeshConfig, MultiviewConfig
from ds4d.evaluation import papers
from ds4d.matting import sam2
from ds4d.weights import CATALOGUE


def choices(config: type, field: str) -> list[str]:
    return list(typing.get_args(typing.get_type_hints(config)[field]))


def test_every_choice_in_the_settings_has_its_weights():
    names = [f"rembg-{model}" for model in choices(MattingConfig, "model")]
    names += [f"zero123plus-{version}" for version in choices(MultiviewConfig, "version")]
    names += [f"dinov2-{model}" for model in choices(FeaturesConfig, "model")]
    names += [f"instantmesh-{model}" for model in choices(MeshConfig, "model")]
    names += choices(FourdConfig, "sds_model")
    names += ["instantmesh-unet", "dino-vitb16", "lpips-vgg16", "l4gm-recon", "l4gm-interp"]
    names += [name for name in choices(MultiviewConfig, "depth_network") if name != "auto"]
    names += set(papers.WEIGHTS.values()) - set(names)
    names += [*animate.WEIGHTS.values(), *imagine.WEIGHTS.values()]
    names += [interpolation.RIFE, sam2.WEIGHTS]
    assert sorted(names) == sorted(CATALOGUE)


@pytest.mark.parametrize("weights", CATALOGUE.values(), ids=CATALOGUE)
def test_what_is_downloaded_can_never_change(weights):
    pinned = re.fullmatch("[0-9a-f]{40}", weights.revision)
    checked = re.fullmatch("(md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})", weights.checksum)
    assert checked and len(weights.files) == 1 if weights.url else pinned
    assert weights.bytes > 0 and weights.licence and weights.use


def test_no_pickle_is_fetched_where_safetensors_are_published():
    for name in ("zero123plus-v1.2", "dinov2-base", "zero123-xl", "stable-zero123", "l4gm-recon"):
        assert not [file for file in CATALOGUE[name].files if file.endswith((".bin", ".ckpt"))]


def test_non_commercial_licences_say_so():
    assert "non-commercial" in CATALOGUE["zero123plus-v1.2"].licence
    assert "non-commercial" in CATALOGUE["stable-zero123"].licence
    assert "non-commercial" in CATALOGUE["l4gm-recon"].licence
    for weights in CATALOGUE.values():
        assert weights.not_commercial or "non-commercial" not in weights.licence, weights.name


def test_weights_for_commercial_use_are_those_whose_licence_is_clear():
    allowed = {name for name, weights in CATALOGUE.items() if not weights.not_commercial}
    assert allowed == {
        "rembg-isnet-general-use", "rembg-birefnet-general-lite", "rembg-u2net", "dinov2-small",
        "dinov2-base", "dinov2-large", "dino-vitb16", "lpips-vgg16", "wan2.2-ti2v-5b", "sdxl-base",
        "clip-vit-b32", "clip-vit-b32-laion", "i3d-kinetics400", "rife-4.6", "inception-fid",
        "ssd-1b", "moge-2-vits", "depth-anything-v2-small", "sam2.1-hiera-tiny",
    }  # fmt: skip


def test_a_space_preloads_what_is_looked_for():
    """At other revisions, or with files left out, the weights would be downloaded once more."""
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    preloaded = re.findall(r"^ +- (\S+/\S+) (\S+) ([0-9a-f]{40})$", readme, re.MULTILINE)
    found = {(repo, revision): set(files.split(",")) for repo, files, revision in preloaded}
    for name in (
        "zero123plus-v1.2",
        "moge-2-vits",
        "dinov2-base",
        "instantmesh-large",
        "l4gm-recon",
    ):
        weights = CATALOGUE[name]
        assert found[weights.repo, weights.revision] >= set(weights.files)
    pinned = {(weights.repo, weights.revision) for weights in CATALOGUE.values()}
    assert set(found) <= pinned
