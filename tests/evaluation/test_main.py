import sys
from pathlib import Path

import pytest
import yaml

from evaluation import __main__, commands
from pipeline.base.errors import run_main
from tests.documents import ROOT

PRESETS = sorted((Path(__main__.__file__).parent / "presets").glob("*.yaml"))


def run(monkeypatch, name, *arguments):
    """Run the command line with a command that only says what it was given."""
    given = {}

    # The real signature, so that jsonargparse checks and builds what it names.
    real = getattr(commands, name)

    def fake(*args, **options):
        given.update(options)

    fake.__signature__ = __import__("inspect").signature(real)
    fake.__doc__, fake.__annotations__, fake.__module__ = (
        real.__doc__, real.__annotations__, real.__module__,
    )  # fmt: skip
    fake.__wrapped__ = real
    monkeypatch.setattr(commands, name, fake)
    monkeypatch.setattr(sys, "argv", ["evaluation", name, *arguments])
    __main__.main()
    return given


def test_arguments_without_a_name_are_the_list():
    assert __main__.named(["compare", "a", "--out=o", "b"]) == [
        "compare", "--out=o", "--runs", '["a", "b"]',
    ]  # fmt: skip
    assert __main__.named(["detect", "--help"]) == ["detect", "--help"]
    assert __main__.named(["score", "--run", "r"]) == ["score", "--run", "r"]
    assert __main__.named([]) == []


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_presets_are_valid_and_overrides_win(monkeypatch, preset):
    given = run(monkeypatch, "score", "--config", str(preset), "--run", "r", "--scoring.batch", "3")
    assert given["scoring"].batch == 3
    wanted = yaml.safe_load(preset.read_text())
    found = [(p.name, p.normalise) for p in given["fusing"].protocols]
    assert found == [(p["name"], p["normalise"]) for p in wanted["fusing"]["protocols"]]
    assert given["page"].thumbnails == wanted["page"]["thumbnails"]


def test_there_is_a_preset_for_each_name_of_the_pipelines():
    assert {path.stem for path in PRESETS} == {
        path.stem for path in (ROOT / "pipeline/presets").glob("*.yaml")
    }


def test_detect_takes_videos_as_they_are(monkeypatch):
    given = run(monkeypatch, "detect", "--run", "r", "a b.mp4", "rtsp://gate/1", "--out", "o",
                "--alarm.rate", "2")  # fmt: skip
    assert given["videos"] == ["a b.mp4", "rtsp://gate/1"]
    assert given["alarm"].rate == 2


def test_wrong_settings_exit_with_2(monkeypatch, capsys):
    for wrong in (["--scoring.batch", "0"], ["--fusing.eta", "best"], ["--nothing", "1"]):
        with pytest.raises(SystemExit) as stopped:
            run_main(lambda wrong=wrong: run(monkeypatch, "score", "--run", "r", *wrong) and None)
        assert stopped.value.code == 2
        assert wrong[0].split(".")[-1].strip("-") in capsys.readouterr().err
