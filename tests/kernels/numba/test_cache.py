"""Compiled kernels are never mixed up, and go when any file changes that was compiled into them."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from numba import njit
from numba.core.caching import CacheImpl, IndexDataCacheFile

from ds4d.kernels.numba.cache import forget_stale


@pytest.fixture
def package(tmp_path):
    for name in ("simd.py", "pixels.py", "notes.txt"):
        (tmp_path / name).write_text("SIZE = 1\n")
    forget_stale(tmp_path)
    for name in ("blend", "tiles"):
        (tmp_path / "__pycache__" / f"{name}-1.py311.nbi").touch()
    return tmp_path


def compiled(package):
    return len([*package.rglob("*.nbi")])


def test_what_is_up_to_date_is_kept(package):
    forget_stale(package)
    (package / "notes.txt").write_text("SIZE = 2\n")  # no kernel
    forget_stale(package)
    assert compiled(package) == 2


@pytest.mark.parametrize("name", ["simd.py", "pixels.py"])
def test_a_change_anywhere_forgets_everything_once(package, name):
    (package / name).write_text("SIZE = 2\n")
    forget_stale(package)
    assert compiled(package) == 0
    (package / "__pycache__/blend-1.py311.nbi").touch()
    forget_stale(package)
    assert compiled(package) == 1


def test_a_package_that_cannot_be_written_is_left_alone(package, monkeypatch):
    (package / "simd.py").write_text("SIZE = 2\n")

    def refuse(*arguments, **keywords):
        raise PermissionError

    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    forget_stale(package)
    assert compiled(package) == 2


def test_kernels_compile_where_no_folder_can_be_written(tmp_path, monkeypatch):
    own = next(c for c in CacheImpl._locator_classes if c.__name__ == "OfThisProcess")
    monkeypatch.setattr(CacheImpl, "_locator_classes", [own])
    with pytest.warns(UserWarning, match="every run compiles them again"):
        doubled = njit(cache=True)(double)
        assert doubled(4) == 8


def test_forms_that_are_compiled_at_the_same_time_stay_apart(tmp_path, monkeypatch):
    def slowly(file, overloads):
        time.sleep(0.02)
        save(file, overloads)

    save = IndexDataCacheFile._save_index
    monkeypatch.setattr(IndexDataCacheFile, "_save_index", slowly)

    def keep(form):
        IndexDataCacheFile(str(tmp_path), "kernel", "stamp").save(form, f"code of {form}")

    with ThreadPoolExecutor(4) as pool:  # a lock holds between threads as between processes
        list(pool.map(keep, range(4)))
    kept = IndexDataCacheFile(str(tmp_path), "kernel", "stamp")
    assert [kept.load(form) for form in range(4)] == [f"code of {form}" for form in range(4)]


def double(x):
    return 2 * x
