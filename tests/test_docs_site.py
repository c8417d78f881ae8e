"""The documentation: links are alive, commands are the parser's, every measure and every method has its entry."""

import importlib.util
import re
import shlex
import tomllib
import unicodedata
from pathlib import Path

import pytest

import genshift
from genshift import presets
from genshift.cli import data as data_commands
from genshift.cli.main import COMMANDS
from genshift.cli.parser import built_by
from genshift.errors import Refusal
from genshift.presets import METHODS, PRESETS
from genshift.report.model.measures import METRICS
from genshift.selection.rules import ESTIMATES, SCORES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
NOT_PARSED = {
    "adding.md": "its commands are run",
    "tutorials": "their commands are run",
    "results.md": "it is written from notes, which shorten commands",
}
SOURCES = [ROOT / "README.md", *(file for file in sorted(DOCS.rglob("*.md")) if file.name != "notes.md")]
CODE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
INLINE = re.compile(r"`[^`\n]+`")


@pytest.fixture(scope="module")
def builder():
    found = importlib.util.spec_from_file_location("build_site", DOCS / "build_site.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(builder, tmp_path_factory):
    """The folder that the site is built from."""
    if not (DOCS / "pages" / "hw2.html").exists():
        pytest.skip("a source distribution leaves the recorded pages and pictures out")
    out = tmp_path_factory.mktemp("site") / "docs"
    builder.assemble(out)
    return out


def headings(text):
    """The anchors of a page, as Markdown makes them of its headings."""
    titles = re.findall(r"^#+ +(.+?) *$", CODE.sub("", text), re.M)
    plain = (unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower() for title in titles)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip()) for title in plain}


def links(text):
    """(target, anchor) of every link and picture outside of code."""
    text = re.sub(r"`[^`\n]*`", "", CODE.sub("", text))
    return re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", text) + re.findall(
        r"^\[.+?\]: ([^#\s]+)(?:#(\S*))?", text, re.M
    )


def dead(page):
    """The links of a page that lead nowhere."""
    for target, anchor in links(page.read_text(encoding="utf-8")):
        place = page if not target else page.parent / target
        if re.match(r"\w+:", target) or not place.exists():
            yield target
        elif anchor and anchor not in headings(place.read_text(encoding="utf-8")):
            yield f"{target}#{anchor}"


def test_every_link_of_the_site_is_alive_and_leads_to_itself(pages):
    found = sorted(pages.rglob("*.md"))
    assert len(found) > 40
    assert {str(page.relative_to(pages)): gone for page in found if (gone := list(dead(page)))} == {}


def test_every_link_of_the_readme_is_alive():
    if not (DOCS / "pages" / "hw2.html").exists():
        pytest.skip("a source distribution leaves the recorded pages and pictures out")
    assert list(dead(ROOT / "README.md")) == []


def test_the_readme_begins_with_pictures():
    start = (ROOT / "README.md").read_text(encoding="utf-8")[:1_500]
    assert re.search(r"!\[.*?\]\((docs/.*?)\)", start)


def test_every_page_stands_in_the_navigation_once(pages):
    def files(entry):
        if isinstance(entry, str):
            return [entry]
        return [file for part in (entry.values() if isinstance(entry, dict) else entry) for file in files(part)]

    listed = files(tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"])
    there = [page.relative_to(pages).as_posix() for page in pages.rglob("*.md")]
    assert sorted(listed) == sorted(there)


def test_nothing_of_another_host_is_asked_for(pages):
    """Neither by a page nor by the theme; tests_slow/test_site.py watches a browser."""
    for file in [*pages.rglob("*.md"), *(pages / "assets").glob("*.*s")]:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"(?:src|href)=|@import|https?://", INLINE.sub("", CODE.sub("", text))), file
    theme = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    assert theme["theme"]["font"] is False and theme["extra"]["polyfills"] == ["assets/iframe-worker.js"]


# --- commands ---------------------------------------------------------------------------------------------------------


def commands(text):
    """The words after `genshift` of every command in sh blocks, and of those in the text that say more than a verb."""
    for language, block in CODE.findall(text):
        if language == "sh":
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if "genshift" in words:
                    start = words.index("genshift") + 1
                    yield [word for word in words[start:] if word != "&"]
    for inline in re.findall(r"`genshift ([^`]*)`", CODE.sub("", text)):
        words = shlex.split(inline)
        if any(word.startswith("-") for word in words) and not {"…", "--help", "--plugin"} & set(words):
            yield words


def parse(words):
    """Parses a command by its own parser, with the options of the preset that it names."""
    verb, *rest = words
    if verb == "data":
        parser = built_by(lambda words: data_commands.run([rest[0], *words]))[0]
        return parser.parse(rest[1:])
    parsed = built_by(COMMANDS[verb], *rest)[0].parse(rest)
    if verb in ("train", "show") and not parsed.preset.isupper():
        named = parsed.preset
        assert named in METHODS or named in PRESETS or presets.get(named)
    return parsed


@pytest.mark.parametrize("page", SOURCES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_is_one_of_the_parsers(page):
    if reason := NOT_PARSED.get(page.name) or NOT_PARSED.get(page.parent.name):
        pytest.skip(reason)
    for words in commands(page.read_text(encoding="utf-8")):
        if words and words != ["--version"]:
            try:
                parse(words)
            except (Refusal, KeyError, IndexError) as error:
                raise AssertionError(f"genshift {shlex.join(words)}: {error}") from error


def test_a_command_with_a_wrong_flag_would_be_found():
    with pytest.raises(Refusal, match="alignments"):
        parse(shlex.split("train adapt --source a --target b --alignments 0 --out runs/a"))
    with pytest.raises(Refusal, match="penalty"):
        parse(shlex.split("train adapt --source a --target b --gradient-penalty 0 --out runs/a"))
    assert list(commands("```sh\nx genshift ls  # a\n```\n`genshift train x --size 1`")) == [
        ["ls"],
        ["train", "x", "--size", "1"],
    ]


# --- entries ----------------------------------------------------------------------------------------------------------


def test_every_measure_has_its_entry():
    text = (DOCS / "measures.md").read_text(encoding="utf-8")
    entries = set(re.findall(r"`([\w/]+)`", "\n".join(re.findall(r"^\| (.*?) \|", text, re.M))))
    assert {*METRICS, *SCORES, *(f"estimate/{name}" for name in ESTIMATES)} - {"source"} <= entries


def test_every_method_has_its_entry_with_its_papers_and_what_it_gave():
    text = (DOCS / "methods" / "adaptation.md").read_text(encoding="utf-8")
    for row in METHODS.values():
        entry = text.partition(f"\n## {row.title}\n")[2].partition("\n## ")[0]
        assert entry, row.title
        assert f"<!-- gave: {row.name} -->" in entry or row.pretrained
        for paper in row.papers:
            assert not paper.arxiv or paper.arxiv in text, (row.name, paper.arxiv)


def test_every_generator_has_its_entry():
    text = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "methods").glob("*.md"))
    for name, preset in PRESETS.items():
        if preset.draws:
            assert f"### {name}\n\n<!-- gave: {name} -->" in text, name


def test_what_a_method_gave_is_that_of_docs_results(builder, pages):
    """The figure stands in the page as results.md has it; a name without a run is told, not passed over."""
    page = (pages / "methods" / "adaptation.md").read_text(encoding="utf-8")
    assert "| `adaptation` | mnistm→svhn | MDD | 82.50 ± 1.20 (se) |" in page and "gave:" not in page
    assert "| MDD | 82.50 ± 1.20 (se) " in (DOCS / "results.md").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="no run of 'nothing'"):
        builder.gave("nothing")


def test_the_reference_has_every_name_and_command(pages):
    python = (pages / "reference" / "python.md").read_text(encoding="utf-8")
    assert {f"## genshift.{name}" for name in genshift.__all__} <= set(python.splitlines())
    assert "*pictures*" not in python and "### Model.predict" in python
    lines = set((pages / "reference" / "commands.md").read_text(encoding="utf-8").splitlines())
    verbs = [*(name for name in COMMANDS if name != "data"), *(f"data {name}" for name in data_commands.COMMANDS)]
    assert {f"## genshift {name}" for name in verbs} <= lines
