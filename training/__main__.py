r"""Shards to trained networks. ``--help`` after any command explains it.

Settings come from YAML presets and from the command line; the later one wins:

    python -m training autoencoder --network spatial --config training/presets/quick.yaml \
        --config training/methods/unified.yaml --shards runs/ped2/quick/shards.json \
        --out runs/ped2/quick/unified-seed0/spatial --seed 0 --batch 8

A preset has sections: ``run`` (how the work is carried out), ``autoencoder`` (both networks),
``spatial`` and ``temporal`` (one of them), ``discriminator``, ``inpainter``, ``bank``. Each command
takes its own; the narrower section wins. Training on several GPUs or processes:

    torchrun --nproc-per-node 2 -m training autoencoder ...

Exit status: 0 trained (or trained already), 1 the loss is not finite, 2 a wrong setting,
3 wrong data, 4 the machine, 130 stopped with a checkpoint: the same command goes on.
``--debug`` shows tracebacks.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace, set_parsing_settings

from pipeline.base.cli import Parser
from pipeline.base.errors import ConfigurationError, run_main
from pipeline.base.presets import by_name
from training.settings.bank import BankTraining
from training.settings.base import AutoencoderTraining, DiscriminatorTraining, RunSettings
from training.settings.inpainter import InpainterTraining

SECTIONS = ("run", "autoencoder", "spatial", "temporal", "discriminator", "inpainter", "bank")


class CommandParser(Parser):
    """A command's parser, which knows its sections of a preset."""

    sections: tuple[str, ...] = ()


class PresetFile(ActionConfigFile):
    """``--config``: take a preset's sections that belong to this command, the last one winning."""

    @staticmethod
    def apply_config(parser: ArgumentParser, cfg: Namespace, dest: str, value: str) -> None:
        """Read the file and hand its flattened sections to jsonargparse."""
        assert isinstance(parser, CommandParser)
        settings = flatten_preset(read_yaml(Path(value)), parser.sections, value)
        ActionConfigFile.apply_config(parser, cfg, dest, yaml.safe_dump(settings))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises
    ------
    ConfigurationError
        If there is no such file, or it holds something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: not found; presets are in training/presets") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: cannot be read as YAML: {error}") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path}: is no mapping of settings")
    return content


def flatten_preset(
    preset: dict[str, Any], sections: tuple[str, ...], source: str
) -> dict[str, Any]:
    """Merge some sections of a preset; a file without sections is taken as it is.

    >>> flatten_preset({"autoencoder": {"p": 0.4, "batch": 4}, "temporal": {"p": 0.5}},
    ...                ("autoencoder", "temporal"), "preset.yaml")
    {'p': 0.5, 'batch': 4}

    Raises
    ------
    ConfigurationError
        For a section of another name, or one that holds no settings.
    """
    if not any(name in SECTIONS for name in preset):
        return preset
    flat: dict[str, Any] = {}
    for name, section in preset.items():
        if name not in SECTIONS:
            raise ConfigurationError(
                f"{source}: {name!r} is no section of a preset; those are {', '.join(SECTIONS)}"
            )
        if section is not None and not isinstance(section, dict):
            raise ConfigurationError(f"{source}: section {name!r} holds no settings")
    for name in sections:
        flat |= preset.get(name) or {}
    return flat


def build_parser(network: str | None = None) -> ArgumentParser:
    """Return the parser of all commands.

    Parameters
    ----------
    network
        Whose section of presets ``autoencoder`` takes.
    """
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = Parser(prog="python -m training", description=__doc__)
    commands = parser.add_subcommands(dest="command")

    for name, (settings, _, text) in commands_by_name().items():
        command = CommandParser(description=text)
        narrow = (network,) if name == "autoencoder" and network else ()
        command.sections = (*(("run",) if in_steps(settings) else ()), name, *narrow)
        _add_arguments(command, settings)
        commands.add_subcommand(name, command, help=text.partition("\n")[0])
    return parser


def commands_by_name() -> dict[str, tuple[type, str, str]]:
    """Return each command's settings, what it calls (module:function), and what it does.

    The functions are named, not imported: one of them imports diffusers, for seconds.
    """
    return {
        "autoencoder": (
            AutoencoderTraining,
            "training.loops.autoencoder:train_autoencoder",
            "Train A^s, A^t or a peer's autoencoder.\n\n"
            "The preset says how long and how wide, the method which pseudo-anomalies:\n\n"
            "    python -m training autoencoder --config training/presets/quick.yaml \\\n"
            "        --config training/methods/unified.yaml --network spatial \\\n"
            "        --shards RUN/shards.json --out RUN/unified-seed0/spatial\n\n"
            "Interrupted, the same command goes on; finished, it ends at once.",
        ),
        "discriminator": (
            DiscriminatorTraining,
            "training.loops.discriminator:train_discriminator",
            "Train D on the features of normal and of inpainted frames.\n\n"
            "    python -m training discriminator --shards RUN/shards.json \\\n"
            "        --config training/presets/quick.yaml --out RUN/unified-seed0/discriminator",
        ),
        "inpainter": (
            InpainterTraining,
            "training.loops.inpainter:train_inpainter",
            "Train the project's own latent diffusion inpainter.\n\n"
            "    python -m training inpainter --shards RUN/shards-frames.json --out OUT \\\n"
            "        --start pipeline/models/inpainting/weights/plaza-ldm --vq_steps 0\n\n"
            "OUT/model is then a value of the pipeline's --stages.inpaint.model.",
        ),
        "bank": (
            BankTraining,
            "training.loops.bank:train_bank",
            "Choose exemplars of what normal places look like.\n\n"
            "    python -m training bank --shards RUN/shards.json \\\n"
            "        --out RUN/unified-seed0/appearance\n\n"
            "`python -m evaluation score` then has the indicator appearance.",
        ),
    }


def _add_arguments(command: ArgumentParser, settings: type) -> None:
    command.add_argument(
        "--config",
        action=PresetFile,
        help="A preset or a method (YAML); the later wins, and options over both.",
    )
    command.add_argument(
        "--shards", type=Path, required=True, help="shards.json of a pipeline run."
    )
    command.add_argument("--out", type=Path, required=True, help="Folder of this training.")
    command.add_argument(
        "--overwrite", type=bool, default=False, help="Begin again, whatever is in OUT."
    )
    command.add_class_arguments(settings, None)
    if in_steps(settings):
        command.add_argument(
            "--resume",
            type=bool,
            default=False,
            help="Fail unless there is a checkpoint to go on from.",
        )
        command.add_class_arguments(RunSettings, None)


def in_steps(settings: type) -> bool:
    """Whether a command trains step by step, so that it has checkpoints and a way to run."""
    from training.settings.bank import BankTraining

    return settings is not BankTraining


def main() -> None:
    """Parse the command line and train."""
    arguments = by_name(sys.argv[1:], Path(__file__).parent)
    parser = build_parser(option(arguments, "--network"))
    parsed = parser.instantiate(parser.parse_args(arguments))
    given = parsed[parsed.command]
    settings, function, _ = commands_by_name()[parsed.command]
    module, _, name = function.partition(":")
    train = getattr(importlib.import_module(module), name)
    chosen = _pick(settings, given)
    if not in_steps(settings):
        train(given.shards, given.out, chosen, overwrite=given.overwrite)
        return
    train(
        given.shards,
        given.out,
        chosen,
        _pick(RunSettings, given),
        resume=given.resume,
        overwrite=given.overwrite,
    )


def _pick(settings: type, given: Namespace) -> Any:
    """Make a dataclass of the arguments that are its fields."""
    return settings(**{field.name: given[field.name] for field in fields(settings)})


def option(arguments: list[str], name: str) -> str | None:
    """Return the last value of an option among command-line arguments, before they are parsed.

    >>> option(["autoencoder", "--network=spatial"], "--network")
    'spatial'
    """
    value = None
    for at, argument in enumerate(arguments):
        if argument == name and at + 1 < len(arguments):
            value = arguments[at + 1]
        elif argument.startswith(f"{name}="):
            value = argument.partition("=")[2]
    return value


def script() -> NoReturn:
    """Run as a console script."""
    run_main(main)


if __name__ == "__main__":
    script()
