"""Lanes give the same bits for every target; compiled kernels are kept, and made anew when due."""

import os
import subprocess
import sys

import numpy as np
import pytest

from pipeline.models.simd import cache, lanes

TARGETS = {
    "native": {},
    "avx2": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"},
    "no FMA": {"NUMBA_CPU_NAME": "generic"},
}

# All operations that round, on numbers of many sizes; prints the bits of each result.
PROGRAM = """
import numpy as np
from numba import njit
from pipeline.models.simd import lanes as L

@njit(error_model="numpy")
def kernel(x, y, out):
    a, b = L.load(x, 0), L.load(y, 0)
    L.store(out, 0, L.fma(a, b, L.splat(np.float32(-0.3))))
    L.store(out, 16, L.div(a, b))
    L.store(out, 32, L.root(a))
    L.store(out, 48, L.add(L.mul(a, b), b))
    L.store(out, 64, L.limit(L.sub(a, b), b))
    L.store(out, 80, L.floor(L.mul(a, b)))
    out[96] = L.total(a)

x, y = np.random.default_rng(0).lognormal(0, 4, (2, 16)).astype(np.float32)
out = np.zeros(97, np.float32)
kernel(x, y, out)
print(out.tobytes().hex())
"""


@pytest.fixture(scope="module")
def bits():
    """What the program prints, by target."""
    return {name: _run(PROGRAM, options) for name, options in TARGETS.items()}


def _run(program, options):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_CPU")}
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, env=environment | options, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="names x86 targets")
def test_the_same_bits_for_every_target(bits):
    assert len(set(bits.values())) == 1, bits


def test_operations_are_rounded_correctly(bits):
    out = np.frombuffer(bytes.fromhex(bits["native"]), np.float32)
    x, y = np.random.default_rng(0).lognormal(0, 4, (2, 16)).astype(np.float32)
    exact = x.astype(np.longdouble) * y - np.longdouble(np.float32(0.3))
    np.testing.assert_array_equal(out[:16], exact.astype(np.float32))
    np.testing.assert_array_equal(out[16:32], x / y)
    np.testing.assert_array_equal(out[32:48], np.sqrt(x))
    np.testing.assert_array_equal(out[48:64], x * y + y)
    np.testing.assert_array_equal(out[64:80], np.clip(x - y, -y, y))
    assert out[96] == np.add.accumulate(x)[-1]


@pytest.fixture
def kernel_of_two_modules(tmp_path, monkeypatch):
    """A kernel that takes a number from a second module; it says whether it was compiled."""
    monkeypatch.setattr(cache.config, "CACHE_DIR", "")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "its_kernel.py").write_text(
        "from its_part import FACTOR\n"
        "from pipeline.models.simd.lanes import compiled\n"
        "@compiled\n"
        "def times(x):\n"
        "    return FACTOR * x\n"
    )

    def call(factor):
        for name in ("its_kernel", "its_part"):
            sys.modules.pop(name, None)
        (tmp_path / "its_part.py").write_text(f"FACTOR = {factor}  # {'#' * factor}\n")
        cache.stamp.cache_clear()
        from its_kernel import times

        return times(7), bool(times.stats.cache_misses)

    return call


def test_an_edit_beside_a_kernel_is_noticed(kernel_of_two_modules):
    assert kernel_of_two_modules(2) == (14, True)
    assert kernel_of_two_modules(2) == (14, False)
    assert kernel_of_two_modules(3) == (21, True)


def test_an_edit_of_the_lanes_is_noticed(tmp_path, monkeypatch):
    lanes_folder = tmp_path / "simd"
    lanes_folder.mkdir()
    monkeypatch.setattr(cache, "__file__", str(lanes_folder / "cache.py"))
    stamps = set()
    for content in ("a = 1", "a = 2"):
        (lanes_folder / "lanes.py").write_text(content)
        cache.stamp.cache_clear()
        stamps.add(cache.stamp(tmp_path))
    cache.stamp.cache_clear()
    assert len(stamps) == 2


def test_a_folder_of_last_resort_is_this_users_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(cache, "LOCATORS", f"{cache.__name__}.Temporary")
    double = cache.cached(lambda x: 2 * x)
    assert double(3) == 6
    assert list(cache.temporary_folder().rglob("*.nbi"))
    cache.temporary_folder().chmod(0o770)  # numba would unpickle what another put there
    with pytest.raises(RuntimeError, match="no locator"):
        cache.cached(lambda x: 3 * x)


def test_kernels_compile_without_a_writable_cache(monkeypatch, caplog):
    def no_folder(function, **options):
        raise RuntimeError("cannot cache function 'double': no locator available")

    monkeypatch.setattr(lanes, "cached", no_folder)
    lanes._warn_once.cache_clear()
    for factor in (2, 3):
        assert lanes.compiled(lambda x, k=factor: k * x)(3) == 3 * factor
    assert caplog.text.count("NUMBA_CACHE_DIR") == 1
