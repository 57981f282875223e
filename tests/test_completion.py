"""Tab completion in bash, as docs/completion.bash sets it up."""

import shlex
import shutil
import sys

import pytest

from tests.documents import ROOT, shell

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


def complete(*words):
    """Return what is offered for the last of the words."""
    quoted = " ".join(shlex.quote(word) for word in (sys.executable, *words))
    return shell(
        f"source docs/completion.bash; COMP_WORDS=({quoted}); COMP_CWORD={len(words)}\n"
        '_pseudo_anomaly; printf "%s\\n" "${COMPREPLY[@]}"',
        ROOT,
    ).split()


@pytest.mark.parametrize(
    "words, offered",
    [
        (["-m", "tr"], {"training"}),
        (["-m", "pipeline", "ve"], {"verify"}),
        (["-m", "pipeline", "run", "--stages.flow.engine", ""], {"tvl1", "opencv", "fast"}),
        (["-m", "training", "autoencoder", "--tr"], {"--tracker"}),
        (["-m", "evaluation", "detect", "--alarm.r"], {"--alarm.rate"}),
        (["-m", "evaluation", "score", "--config", "evaluation/presets/d"],
         {"evaluation/presets/demo.yaml"}),
        (["-m", "http.server", "--b"], set()),
        (["script.py", "-"], set()),
    ],
)  # fmt: skip
def test_words_are_completed(words, offered):
    assert set(complete(*words)) == offered
