"""The command line: presets, methods and overrides; what it refuses, and with which status."""

import json
import sys
from pathlib import Path

import pytest
import yaml

import training
from pipeline.base.errors import ConfigurationError, run_main
from training.__main__ import build_parser, flatten_preset, main, option, read_yaml
from training.settings.base import AutoencoderTraining, DiscriminatorTraining, RunSettings

HERE = Path(training.__file__).parent
PRESETS = sorted((HERE / "presets").glob("*.yaml"))
METHODS = sorted((HERE / "methods").glob("*.yaml"))
TINY = ("--size", "16", "--epochs", "1", "--stride", "4", "--batch", "4", "--workers", "0",
        "--architecture.channels", "[2,2,2,2]")  # fmt: skip


def parsed(*arguments, network="spatial"):
    given = ["autoencoder", "--network", network, "--shards", "s.json", "--out", "o", *arguments]
    return build_parser(network).parse_args(given).autoencoder


def run(monkeypatch, *arguments):
    """Run the command; return its exit status."""
    monkeypatch.setattr(sys, "argv", ["training", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        run_main(main)
    return stop.value.code


def test_the_files_are_those_of_the_documentation():
    assert sorted(p.stem for p in PRESETS) == [
        "demo", "paper", "paper-embedded", "peers", "peers-memae", "quick", "two-cores",
    ]  # fmt: skip
    assert [p.stem for p in METHODS] == [
        "baseline", "memae", "patch", "skip-frame", "steal", "unified",
    ]  # fmt: skip


@pytest.mark.parametrize("method", METHODS, ids=lambda p: p.stem)
@pytest.mark.parametrize("preset", PRESETS, ids=lambda p: p.stem)
def test_every_preset_and_method_holds_valid_settings(preset, method):
    peers = ("patch", "skip-frame", "steal")
    for network in ("spatial",) if method.stem in peers else ("spatial", "temporal"):
        parser = build_parser(network)
        given = parser.instantiate(parser.parse_args([
            "autoencoder", "--network", network, "--shards", "s", "--out", "o",
            "--config", str(preset), "--config", str(method),
        ])).autoencoder  # fmt: skip
        settings = AutoencoderTraining(
            **{name: given[name] for name in AutoencoderTraining.__dataclass_fields__}
        )
        assert settings.method == method.stem
        RunSettings(**{name: given[name] for name in RunSettings.__dataclass_fields__})
    discriminator = build_parser().parse_args([
        "discriminator", "--shards", "s", "--out", "o", "--config", str(preset),
    ]).discriminator  # fmt: skip
    DiscriminatorTraining(
        **{name: discriminator[name] for name in DiscriminatorTraining.__dataclass_fields__}
    )


def test_the_paper_preset_is_the_paper():
    files = ("--config", str(HERE / "presets/paper.yaml"))
    for network, p in (("spatial", 0.4), ("temporal", 0.5)):
        given = parsed(*files, network=network)
        assert (given.p, given.batch, given.epochs, given.stride, given.size) == (
            p,
            24,
            25,
            1,
            None,
        )
        assert (given.learning_rate, given.precision, given.architecture.channels) == (
            1e-4, "fp32", (96, 128, 256, 256),
        )  # fmt: skip


def test_methods_set_what_the_peers_did():
    def method(name):
        return parsed(
            "--config",
            str(HERE / "presets/paper.yaml"),
            "--config",
            str(HERE / f"methods/{name}.yaml"),
        )

    assert method("baseline").p == 0
    assert (method("patch").pseudo_anomaly, method("patch").p) == ("patch", 0.2)
    assert (method("skip-frame").pseudo_anomaly, method("skip-frame").p) == ("skip-frame", 0.2)
    steal = method("steal")
    assert (steal.pseudo_anomaly, steal.p, steal.negative) == ("skip-frame", 0.01, True)
    memae = method("memae")
    assert (memae.p, memae.architecture.tanh, memae.architecture.memory.slots) == (0, False, 2000)
    assert memae.architecture.memory.shrinkage == 0.0025


def test_later_settings_win_and_narrow_sections_win(tmp_path):
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(
        {"run": {"workers": 3}, "temporal": {"p": 0.7}, "autoencoder": {"p": 0.1, "batch": 2},
         "discriminator": {"hidden": 3}}))  # fmt: skip
    (tmp_path / "b.yaml").write_text("autoencoder: {batch: 5, architecture: {tanh: false}}")
    a, b = ("--config", str(tmp_path / "a.yaml")), ("--config", str(tmp_path / "b.yaml"))
    assert parsed(*a).p == 0.1 and parsed(*a, network="temporal").p == 0.7
    assert parsed(*a).workers == 3
    both = parsed(*a, *b)
    assert (both.batch, both.p, both.architecture.tanh) == (5, 0.1, False)
    assert parsed(*a, *b, "--batch", "6").batch == 6
    assert parsed(*b, *a).batch == 2


def test_a_flat_file_as_print_config_writes_it_is_taken_as_it_is():
    assert flatten_preset({"p": 0.3}, ("autoencoder",), "x.yaml") == {"p": 0.3}


@pytest.mark.parametrize("content, message", [
    ({"autoencoder": {}, "autencoder": {}}, "'autencoder' is no section"),
    ({"autoencoder": 3}, "holds no settings"),
])  # fmt: skip
def test_bad_presets_are_named(content, message):
    with pytest.raises(ConfigurationError, match=f"x.yaml: .*{message}"):
        flatten_preset(content, ("autoencoder",), "x.yaml")


@pytest.mark.parametrize("content", [b"- 1", b"a: [", b"\xff\xfe\x00", b""])
def test_bad_yaml_is_named(tmp_path, content):
    (tmp_path / "bad.yaml").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"bad\.yaml"):
        read_yaml(tmp_path / "bad.yaml")


def test_code_in_yaml_is_not_run(tmp_path):
    (tmp_path / "evil.yaml").write_text("p: !!python/object/apply:os.getcwd []")
    with pytest.raises(ConfigurationError, match="cannot be read as YAML"):
        read_yaml(tmp_path / "evil.yaml")


def test_option_finds_both_ways_of_writing_it():
    assert option(["--network", "temporal"], "--network") == "temporal"
    assert option(["--network=spatial", "--network=temporal"], "--network") == "temporal"
    assert option(["--networks", "x"], "--network") is None
    assert option(["--network"], "--network") is None


def test_it_trains_and_says_so(monkeypatch, shards, tmp_path, capsys):
    out = tmp_path / "spatial"
    arguments = ("autoencoder", "--network", "spatial", "--shards", shards, "--out", out, *TINY)
    method = ("--config", HERE / "methods/unified.yaml")
    assert run(monkeypatch, *arguments, *method) == 0
    assert f"{out}: trained on" in capsys.readouterr().out
    assert json.loads((out / "recipe.json").read_text())["settings"]["method"] == "unified"
    assert run(monkeypatch, *arguments, *method) == 0
    assert "nothing to do" in capsys.readouterr().out
    d = ("discriminator", "--shards", shards, "--out", tmp_path / "d", "--epochs", "1")
    assert run(monkeypatch, *d) == 0
    assert (tmp_path / "d/recipe.json").exists()


@pytest.mark.parametrize("arguments, message", [
    (("--p", "1.5"), "p: 1.5: must be a probability"),
    (("--p", "much"), "Expected a <class 'float'>"),
    (("--network", "audio"), "audio"),
    (("--configuration", "x"), "configuration"),
    (("--config", "/nowhere/x.yaml"), "not found"),
    (("--resume",), "no checkpoint to resume from"),
    (("--size", "48"), "32x32"),
])  # fmt: skip
def test_wrong_requests_end_with_status_2(
    monkeypatch, shards, tmp_path, capsys, arguments, message
):
    base = ("autoencoder", "--network", "spatial", "--shards", shards, "--out", tmp_path, *TINY)
    assert run(monkeypatch, *base, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_a_preset_with_p_of_one_and_a_half_is_refused(monkeypatch, shards, tmp_path, capsys):
    (tmp_path / "wrong.yaml").write_text("autoencoder: {p: 1.5}")
    base = ("autoencoder", "--network", "spatial", "--shards", shards, "--out", tmp_path / "o")
    assert run(monkeypatch, *base, "--config", tmp_path / "wrong.yaml") == 2
    assert "error: p: 1.5: must be a probability, 0 ... 1" in capsys.readouterr().err
