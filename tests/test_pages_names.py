"""Whatever the pages name exists: options, settings, files, modules, headings, imports, fields."""

import ast
import functools
import re

import pytest
import yaml

from pipeline.data.manifestfile import read_manifest
from pipeline.execution.executors.site import load_site
from tests.documents import ROOT
from tests.pages import NOT_HERE, PAGES, blocks, missing, options, parsers, source, spans, text

page_by_page = pytest.mark.parametrize("page", PAGES)
#: Options that no parser of this project's lists.
FOREIGN = {
    "--extra-index-url", "--resources", "--local-dir", "--revision", "--qos", "--mem", "--array",
    "--test-only", "--logdir", "--nproc-per-node", "--recursive",
    "--debug", "--print_completion",  # taken before the parsers are asked
}  # fmt: skip


@functools.cache
def smaller_programs():
    """Return the text of the programs that have parsers of their own."""
    files = [file for top in ("benchmarks", "pipeline/models") for file in ROOT.glob(f"{top}/*.py")]
    return "".join(file.read_text() for file in files)


@page_by_page
def test_every_option_in_a_sentence_exists(page):
    found = []
    for line, code in spans(page):
        if not re.match(r"(make|pytest|\S*python|pip|sbatch|hf|dask|torchrun|git) ", code):
            names = [n.rstrip(".") for n in re.findall(r"(?<!\S)--[a-z][\w.-]*", code)]
            wrong = [name for name in names if name not in options() | FOREIGN]
            found += [
                (f"{page}:{line}", f"there is no option {name}")
                for name in wrong
                if f'"{name}"' not in smaller_programs()
            ]
    assert missing(found) == []


@page_by_page
def test_every_setting_in_a_sentence_exists(page):
    pattern = r"((?:stages|source|scoring|fusing|cluster|alarm|engine_settings)\.[a-z_.]+)"
    found = [
        (f"{page}:{line}", f"there is no setting {name[1]}")
        for line, code in spans(page)
        if (name := re.fullmatch(rf"{pattern}(: .*)?", code))
        and f"--{name[1]}" not in options()
        and not name[1].endswith(".json")
    ]
    assert missing(found) == []


@page_by_page
def test_every_file_in_a_sentence_exists(page):
    tops = "pipeline|training|evaluation|data_manifests|benchmarks|tests|docs"
    found = [
        (f"{page}:{line}", f"there is no {path[0]}")
        for line, code in spans(page)
        for path in re.finditer(rf"(?<![\w/.])(?:{tops})/[\w./*-]+", code)
        if not list(ROOT.glob(path[0].rstrip("/"))) and not NOT_HERE.search(code)
    ]
    assert missing(found) == []


@page_by_page
def test_every_module_in_a_sentence_exists(page):
    found = []
    for line, code in spans(page):
        if name := re.fullmatch(r"((?:pipeline|training|evaluation)(?:\.[a-z_]+)+)(\.\w+)?", code):
            parent, _, last = name[0].rpartition(".")
            own = source(parent)
            if source(name[0]) or (ROOT / name[0].replace(".", "/")).is_dir():
                continue
            if own is None or not re.search(rf"\b{last}\b", own.read_text()):
                found.append((f"{page}:{line}", f"there is no {name[0]}"))
    assert missing(found) == []


def slug(heading):
    """Return a heading's anchor as code hosts and the site make it."""
    words = re.sub(r"[^\w\s-]", "", heading.lower().replace("`", ""))
    return words.strip().replace(" ", "-")


@page_by_page
def test_every_link_leads_somewhere(page):
    found = []
    prose = re.sub(r"^```.*?^```$", "", text(page), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        if not path.exists():
            found.append((page, f"{target} leads nowhere"))
        elif anchor and anchor not in map(
            slug, re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        ):
            found.append((page, f"{target}: no such heading"))
    assert missing(found) == []


# ---------------------------------------------------------------- blocks


def unknown(node):
    """Yield the names that an import takes from this project and that are not there."""
    if not isinstance(node, ast.ImportFrom) or node.module is None:
        return
    package = node.module.replace(".", "/")
    if package.partition("/")[0] in ("pipeline", "training", "evaluation"):
        files = (ROOT / f"{package}.py", ROOT / package / "__init__.py")
        held = "".join(file.read_text() for file in files if file.is_file())
        for alias in node.names:
            if not re.search(rf"\b{alias.name}\b", held) and not NOT_HERE.search(node.module):
                yield f"{node.module} has no {alias.name}"


@page_by_page
def test_blocks_of_python_name_what_exists(page):
    found = [
        (f"{page}:{line}", fault)
        for line, code in blocks(page, "python")
        for node in ast.walk(ast.parse(code))
        for fault in unknown(node)
    ]
    assert missing(found) == []


@page_by_page
def test_blocks_of_yaml_can_be_read(page):
    for _, code in blocks(page, "yaml"):
        assert isinstance(yaml.safe_load(code), dict)


def test_the_site_of_the_clusters_page_is_one(tmp_path):
    for number, (_, code) in enumerate(blocks("docs/clusters.md", "yaml")):
        (tmp_path / f"{number}.yaml").write_text(code)
        load_site(str(tmp_path / f"{number}.yaml"))


def test_the_manifest_of_the_manifests_page_is_one(tmp_path):
    ((_, code),) = blocks("data_manifests/README.md", "yaml")
    (tmp_path / "gate.yaml").write_text(code)
    assert read_manifest(tmp_path / "gate.yaml").name == "gate"


@pytest.mark.parametrize("page", ["docs/models.md", "docs/settings.md"])
def test_presets_on_pages_are_taken(page, tmp_path):
    for _, code in blocks(page, "yaml"):
        (tmp_path / "mine.yaml").write_text(code)
        words = ["--config", str(tmp_path / "mine.yaml"), "--source.manifest", "demo"]
        parsers("pipeline")["run"].parse_args([*words, "--source.data", "d", "--out", "o"])
