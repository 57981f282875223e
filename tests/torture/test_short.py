"""The faults of ``make torture``, each a few times."""

import random
import shutil
import subprocess

import pytest

from tests.torture import faults

needs_mount = pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0,
    reason="needs a mount namespace (unshare --mount)",
)


def check(row):
    assert row.survived == row.tried, row


def test_kill_9_of_the_process_group(tmp_path):
    check(faults.killed(tmp_path, 2, random.Random(1), kinds=("share",)))


@needs_mount
def test_a_full_disk(tmp_path):
    check(faults.disk_full(tmp_path, 7))


@needs_mount
def test_a_read_only_cache(tmp_path):
    check(faults.read_only(tmp_path))


def test_a_directory_removed_under_a_run(tmp_path):
    check(faults.folder_removed(tmp_path, 1, random.Random(2)))


def test_bit_flips(tmp_path):
    check(faults.bit_flips(tmp_path, 24, random.Random(3)))


def test_two_runs_at_once(tmp_path):
    check(faults.together(tmp_path, 2, 1, True))


def test_a_network_file_system(tmp_path):
    check(faults.network_file_system(tmp_path, 1))
