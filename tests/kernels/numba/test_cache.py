"""Kernels are compiled again when any file changes that was compiled into them."""

import pytest

from ds4d.kernels.numba.cache import forget_stale


@pytest.fixture
def package(tmp_path):
    for name in ("lanes.py", "splat/cpu_pixels.py", "fourd/kernels/planes.py", "video.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("SIZE = 1\n")
    forget_stale(tmp_path)
    for folder in (tmp_path / "splat", tmp_path / "fourd/kernels"):
        (folder / "__pycache__").mkdir()
        (folder / "__pycache__" / "blend-1.py311.nbi").touch()
    return tmp_path


def compiled(package):
    return len([*package.rglob("*.nbi")])


def test_what_is_up_to_date_is_kept(package):
    forget_stale(package)
    (package / "video.py").write_text("SIZE = 2\n")  # no kernel
    forget_stale(package)
    assert compiled(package) == 2


@pytest.mark.parametrize("name", ["lanes.py", "splat/cpu_pixels.py", "fourd/kernels/planes.py"])
def test_a_change_anywhere_forgets_everything_once(package, name):
    (package / name).write_text("SIZE = 2\n")
    forget_stale(package)
    assert compiled(package) == 0
    (package / "splat/__pycache__/blend-1.py311.nbi").touch()
    forget_stale(package)
    assert compiled(package) == 1


def test_a_package_that_cannot_be_written_is_left_alone(package, monkeypatch):
    (package / "lanes.py").write_text("SIZE = 2\n")

    def refuse(*arguments, **keywords):
        raise PermissionError

    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    forget_stale(package)
    assert compiled(package) == 2
