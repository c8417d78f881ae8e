"""The site, built strictly and opened in a browser: pages at two widths, the search, every link, no request off it."""

import html.parser
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import PATIENCE, browser

ROOT = Path(__file__).parents[1]
SITE = ROOT / "build" / "site"
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
LOOKED_AT = (
    "index.html",
    "gallery.html",
    "howto/gan-collapsed.html",
    "guide/two-domains.html",
    "methods/adaptation.html",
    "measures.html",
    "results.html",
    "reference/commands.html",
    "reference/python.html",
)


@pytest.fixture(scope="module")
def site():
    """The site, built anew; a warning of the builder is an error."""
    pytest.importorskip("zensical", reason="the extra docs is not installed")
    build = [sys.executable, ROOT / "docs" / "build_site.py"]
    done = subprocess.run(build, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout + done.stderr
    return SITE


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


class _Page(html.parser.HTMLParser):
    """What a page links and loads, and what in it can be linked."""

    def __init__(self, file):
        super().__init__()
        self.targets, self.anchors = [], set()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        loaded = tag in ("link", "script", "img", "iframe", "source")
        self.targets += [(found[name], loaded) for name in ("href", "src") if found.get(name)]


def test_every_link_of_the_site_is_alive(site):
    """Of all pages, and of nothing outside; the recorded pages cite papers by address and are not read here."""
    read = {
        file: _Page(file) for file in site.rglob("*.html") if file.parent.name != "pages" and file.name != "404.html"
    }
    assert len(read) > 40
    wrong = []
    for file, page in read.items():
        for target, _loaded in page.targets:
            parts = urlsplit(target)
            place = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            place = place / "index.html" if place.is_dir() else place
            alive = not parts.scheme and not parts.netloc and place.is_file()
            if alive and parts.fragment and place in read:
                alive = unquote(parts.fragment) in read[place].anchors
            if not alive and not target.startswith("data:"):
                wrong.append((file.relative_to(site).as_posix(), target))
    assert wrong == []


@contextmanager
def opened(chromium, file, size, scheme="light"):
    """A page of the site, offline; and what it complained of or asked for outside."""
    context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    context.set_offline(True)
    context.set_default_timeout(PATIENCE)
    page, complaints = context.new_page(), []
    inside = SITE.resolve().as_uri()
    page.on(
        "request", lambda r: r.url.startswith((inside, "data:", "about:")) or complaints.append(f"request: {r.url}")
    )
    page.on("requestfailed", lambda r: complaints.append(f"failed: {r.url}"))
    page.on("console", lambda m: m.type == "error" and complaints.append(f"console: {m.text}"))
    page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
    page.goto(file.resolve().as_uri())
    yield page, complaints
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", LOOKED_AT)
def test_a_page_fits_its_window_in_light_and_dark(site, chromium, name, size, scheme):
    with opened(chromium, site / name, SIZES[size], scheme) as (page, complaints):
        page.wait_for_selector("article h1")
        page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
        page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        ground = page.evaluate(
            "[document.body, document.documentElement].map(e => getComputedStyle(e).backgroundColor)"
            ".find(c => c !== 'rgba(0, 0, 0, 0)')"
        )
        shade = sum(float(part) for part in ground.partition("(")[2].rstrip(")").split(",")[:3]) / 3
        assert shade < 64 if scheme == "dark" else shade > 192
        assert complaints == []


@pytest.mark.parametrize("size", SIZES)
def test_the_search_answers_without_a_network(site, chromium, size):
    with opened(chromium, site / "index.html", SIZES[size]) as (page, complaints):
        page.wait_for_selector("article h1")
        page.keyboard.press("/")
        page.keyboard.type("collapsed")
        page.get_by_role("option", name="My GAN collapsed").wait_for()
        page.keyboard.press("Enter")
        page.wait_for_url("**/howto/gan-collapsed.html*")
        assert complaints == []


def test_a_page_of_a_study_opens_from_the_gallery(site, chromium):
    with opened(chromium, site / "gallery.html", SIZES["desktop"]) as (page, complaints):
        page.get_by_role("link", name="hw3, question by question").click()
        page.wait_for_selector("body[data-ready]")
        assert page.locator(".plot").count() > 5 and complaints == []
