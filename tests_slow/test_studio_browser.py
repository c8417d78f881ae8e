"""The studio in a headless Chromium, family by family, on a desktop's and a telephone's width: what a user does, and no
complaint of the browser's, no request off the machine, and nothing wider than the window."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import browser
import pytest
import tiny
from data_files import png
from PIL import Image

import genshift
from genshift.runs.folder import RunFolder
from genshift.runs.forms import SWEEP

pytest.importorskip("uvicorn", reason="the extra studio is not installed")

WIDTHS = [(1280, 900), (390, 800)]
# Where pictures of the pages are left to be looked at.
SHOTS = os.environ.get("GENSHIFT_SHOTS")
RUNS = ("classifier", "dann", "diffusion", "gan", "source", "vae")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each family that has learnt something, and a broken one."""
    root = tmp_path_factory.mktemp("studio")
    folder, faces = root / "runs", tiny.write_faces(root / "faces", 32, train=200, test=60)
    small = {"width": 16, "size": 32, "latent": 16}
    genshift.train("digits-classifier", folder / "classifier", data="uci", images=24_000, width=16, threads=1)
    genshift.train("demo-source", folder / "source", images=6_000, threads=1)
    genshift.train("demo-dann", folder / "dann", images=6_000, threads=1)
    genshift.train(
        "digits-diffusion", folder / "diffusion", data="uci", images=2_000, width=32, threads=1, evaluate=False
    )
    genshift.train("faces-vae", folder / "vae", data=faces, images=3_000, threads=1, prior="normal", **small)
    genshift.train("faces-gan", folder / "gan", data=faces, images=1_000, threads=1, **small)
    few = {"samplers": ["dpm++2m"], "intervals": [(0.0, 1.0)], "clips": ["off"]}
    genshift.sweep(folder / "diffusion", folder / "classifier", count=20, guidance=[1.0, 2.0], steps=[4, 8], **few)
    (folder / "broken").mkdir()
    (folder / "broken" / "config.json").write_text('{"preset": ')
    return folder


@contextmanager
def served(folder):
    """The address of a studio, a process of its own as users start it."""
    words = [sys.executable, "-m", "genshift", "studio", str(folder), "--no-browser"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())[0]
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture(scope="module")
def address(runs):
    with served(runs) as where:
        yield where


@pytest.fixture(scope="module")
def chromium():
    with browser.browser() as opened:
        yield opened


@contextmanager
def visited(chromium, address, run="", size=WIDTHS[0], expected=()):
    """A page of the studio, whose complaints must be none but those `expected`."""
    context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, accept_downloads=True)
    context.set_default_timeout(browser.PATIENCE)
    page, complaints = context.new_page(), []
    page.on("console", lambda m: m.type in ("error", "warning") and complaints.append(f"console: {m.text}"))
    page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
    own = (address, "data:", f"blob:{address}")
    page.on("request", lambda r: r.url.startswith(own) or complaints.append(f"request: {r.url}"))
    page.goto(f"{address}#{run}")
    page.wait_for_selector(f"body[data-shown='{run or 'all'}']")
    yield page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than the window"
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{run or 'all'}-{size[0]}.png", full_page=True)
    context.close()
    assert [one for one in complaints if not any(known in one for known in expected)] == []


def until(page, expression, seconds=120):
    """Waits for what is true of the page; its own policy lets no text be run there as code."""
    end = time.monotonic() + seconds
    while not (found := page.evaluate(expression)):
        assert time.monotonic() < end, (
            f"{expression} never came; the page says: {page.locator('main').inner_text()[:500]}"
        )
        time.sleep(0.05)
    return found


def draw_by_mouse(page, points):
    """Strokes on the canvas: points as shares of its side."""
    canvas = page.locator("canvas.drawn")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    on_page = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*on_page[0])
    page.mouse.down()
    for point in on_page[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()


# --- classifiers and adapted runs ---------------------------------------------------------------------------------

ZERO = [
    (0.5, 0.1),
    (0.3, 0.25),
    (0.27, 0.5),
    (0.33, 0.78),
    (0.5, 0.9),
    (0.67, 0.78),
    (0.73, 0.5),
    (0.7, 0.25),
    (0.5, 0.1),
]


@pytest.mark.parametrize("size", WIDTHS)
def test_a_digit_that_is_drawn_is_recognised(chromium, address, size):
    with visited(chromium, address, "classifier", size) as page:
        draw_by_mouse(page, ZERO)
        page.wait_for_selector("#answer")
        assert page.locator("#answer").text_content().startswith("0, ")
        assert page.locator("#picture .bar").count() == 10 and page.locator("#picture figure").count() >= 8
        page.get_by_role("button", name="Clear").click()


@pytest.mark.parametrize("size", WIDTHS)
def test_a_file_is_named_and_source_only_stands_beside(chromium, address, size, tmp_path):
    from genshift.data import load

    digit = load("uci-m", "test").images[3].permute(1, 2, 0).numpy()
    (tmp_path / "digit.png").write_bytes(png(digit))
    with visited(chromium, address, "dann", size) as page:
        page.set_input_files("#picture input[type=file]", tmp_path / "digit.png")
        page.wait_for_selector("#answer")
        assert "Source-only: source" in page.locator("#picture").inner_text()
        said = page.locator("#answer").text_content()
        assert said.partition(",")[0] == genshift.load(_folder(address) / "dann").predict(tmp_path / "digit.png").label


FOLDERS: dict[str, Path] = {}


def _folder(address):
    return FOLDERS[address]


@pytest.fixture(autouse=True)
def known(request):
    if "address" in request.fixturenames:
        FOLDERS[request.getfixturevalue("address")] = request.getfixturevalue("runs")


BIG = "big.png"


@pytest.mark.parametrize(("run", "place"), [("dann", "#picture"), ("vae", "#sliders")])
def test_what_is_no_picture_is_told_in_a_sentence(chromium, address, tmp_path, run, place):
    (tmp_path / "text.png").write_text("no picture at all")
    Image.new("RGB", (10_000, 10_000)).save(tmp_path / BIG)
    with visited(chromium, address, run, expected=("422",)) as page:
        for name, said in (("text.png", "no picture that can be read"), (BIG, "10,000 × 10,000 pixels")):
            page.set_input_files(f"{place} input[type=file]", tmp_path / name)
            until(page, f"document.querySelector('{place}').innerText.includes({json.dumps(said)})")
        page.reload()
        page.wait_for_selector(f"body[data-shown='{run}']")


@pytest.mark.parametrize("size", WIDTHS)
@pytest.mark.parametrize("run", ["classifier", "dann"])
def test_the_map_shows_pictures_and_a_lasso_lists_them(chromium, address, run, size):
    with visited(chromium, address, run, size) as page:
        page.get_by_role("button", name="Show the map").click()
        canvas = page.locator(".map > canvas")
        canvas.wait_for()
        until(page, "studioMap.sheet && studioMap.sheet.complete && studioMap.frames > 0")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        x, y = page.evaluate("studioMap.place(5)")
        page.mouse.move(box["x"] + x, box["y"] + y)
        page.wait_for_selector(".tip:not([hidden])")
        assert "Taken for" in page.locator(".tip").inner_text()
        drawn = "document.querySelector('.tip canvas').getContext('2d').getImageData(0, 0, 28, 28).data"
        assert page.evaluate(f"new Set({drawn}).size") > 10, "its picture is there"
        for by in ("label", "domain", "confidence", "right"):
            page.get_by_label("coloured by").select_option(by)
            until(page, "studioMap.groups.length >= 1 && document.querySelectorAll('#map .legend .dot').length >= 1")
        page.get_by_role("button", name="Lasso").click()
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        corners = [(5, 5), (box["width"] - 5, 5), (box["width"] - 5, box["height"] / 2), (5, box["height"] / 2)]
        page.mouse.move(box["x"] + corners[0][0], box["y"] + corners[0][1])
        page.mouse.down()
        for corner in corners[1:]:
            page.mouse.move(box["x"] + corner[0], box["y"] + corner[1], steps=3)
        page.mouse.up()
        page.wait_for_selector("text=The lasso holds")
        held, whole = page.evaluate("[studioMap.held.size, studioMap.x.length]")
        upper = page.evaluate(
            f"[...studioMap.x.keys()].filter((i) => studioMap.place(i)[1] < {box['height'] / 2}).length"
        )
        assert 0 < held < whole and abs(held - upper) <= 2
        assert page.locator("#map .strip figure").count() == min(held, 200)


def test_a_map_of_5000_points_moves_smoothly(chromium, address):
    """Frames are counted while it is dragged; how many a busy machine draws is printed."""
    with visited(chromium, address, "classifier") as page:
        page.get_by_role("button", name="Show the map").click()
        page.locator(".map > canvas").wait_for()
        page.evaluate(
            """() => {
              const column = () => Array.from({ length: 5000 }, () => Math.random());
              studioMap.show(column(), column(), studioMap.sheet.src, studioMap.side);
              studioMap.colour(Array.from({ length: 5000 }, (_, i) => `hsl(${36 * (i % 10)} 70% 50%)`));
            }"""
        )
        rate, cost = page.evaluate(
            """() => new Promise((resolve) => {
              const from = studioMap.frames, begun = performance.now();
              let spent = 0;
              const turn = () => {
                studioMap.shift = [studioMap.shift[0] + 1, studioMap.shift[1]];
                const before = performance.now();
                studioMap.draw();
                spent += performance.now() - before;
                const seconds = (performance.now() - begun) / 1000, frames = studioMap.frames - from;
                if (seconds < 3) requestAnimationFrame(turn); else resolve([frames / seconds, spent / frames]);
              };
              requestAnimationFrame(turn);
            })"""
        )
        print(f"5,000 points: {rate:.0f} frames a second, {cost:.1f} ms of drawing each")
        assert rate > 0, "it was drawn again and again"


def test_pictures_are_labelled_by_keyboard_and_the_interval_is_told(chromium, runs, tmp_path):
    shutil.copytree(runs / "dann", tmp_path / "runs" / "dann")
    with served(tmp_path / "runs") as own, visited(chromium, own, "dann") as page:
        page.get_by_label("pictures in all").fill("20")
        page.get_by_role("button", name="Draw pictures to label").click()
        page.wait_for_selector("#queue img.large")
        for key in ["1", "2", "-", "Space", "3", "Backspace", *"4567890123456789"]:
            page.keyboard.press(key)
        until(page, "document.querySelector('#queue').innerText.includes('20 answered')")
        page.get_by_role("button", name="Save the labels").click()
        until(page, "document.querySelector('#interval').innerText.includes('95% interval')")
        (saved,) = (tmp_path / "runs" / "dann" / "labels").glob("labels-*-1-20.csv")
        lines = saved.read_text(encoding="utf-8").splitlines()
        assert len(lines) == 21 and lines[3].split(",")[2] == "none of these"
        page.reload()
        until(page, "document.querySelector('#interval')?.innerText.includes('95% interval')")
        assert page.get_by_label("pictures in all").input_value() == "20"


# --- diffusion ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", WIDTHS)
def test_a_diffusion_run_draws_two_settings_on_the_same_noise(chromium, address, size):
    with visited(chromium, address, "diffusion", size) as page:
        page.get_by_label("a second setting on the same noise").check()
        page.locator("#draw select").first.select_option("3")
        page.locator("#draw details").nth(1).evaluate("(details) => { details.open = true; }")
        page.locator("#draw details").nth(1).get_by_label("steps").fill("4")
        seen = page.evaluate_handle(
            """() => {
              const seen = new Set();
              new MutationObserver(() => seen.add(document.querySelector('#draw figure img')?.src)).observe(
                document.querySelector('#draw'), { childList: true, subtree: true });
              return seen;
            }"""
        )
        page.get_by_role("button", name="Draw", exact=True).click()
        until(
            page,
            "[...document.querySelectorAll('#draw p.faint')].filter((p) => p.innerText.includes('passes')).length == 2",
        )
        assert seen.evaluate("(seen) => seen.size") > 3, "states were shown on the way"
        assert "in 4 steps" in page.locator("#draw").inner_text()
        first, second = (
            page.locator("#draw .sides > div").nth(k).locator("img").nth(1).get_attribute("src") for k in (0, 1)
        )
        assert first != second


@pytest.mark.parametrize("size", WIDTHS)
def test_a_point_of_the_sweep_is_pressed_and_drawn(chromium, address, runs, size):
    rows = RunFolder(runs / "diffusion").read(SWEEP)["rows"]
    with visited(chromium, address, "diffusion", size) as page:
        page.wait_for_selector("#sweep svg circle")
        assert page.locator("#sweep svg").count() >= 2 and rows
        page.locator("#sweep svg circle").first.click()
        until(page, "document.querySelector('#draw').innerText.includes('network passes')")
        strengths = {f"{row['sampling']['guidance']:g}" for row in rows}
        assert page.locator("#draw").get_by_label("guidance", exact=True).first.input_value() in strengths


# --- VAEs and GANs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", WIDTHS)
def test_a_vae_reconstructs_moves_and_interpolates(chromium, address, size, tmp_path):
    for number, picture in enumerate(tiny.faces(2, 9, 32).images):
        (tmp_path / f"{number}.png").write_bytes(png(picture.permute(1, 2, 0).numpy()))
    with visited(chromium, address, "vae", size) as page:
        page.set_input_files("#sliders input[type=file]", tmp_path / "0.png")
        page.wait_for_selector("text=reconstruction, PSNR")
        page.wait_for_selector("#sliders .slider")
        assert page.locator("#sliders .slider label").all_text_contents()[:3] == ["Red", "Green", "Blue"]
        moved = page.get_by_alt_text("moved picture")
        own = "document.querySelector('#sliders [alt=reconstruction]').src"
        until(page, f"document.querySelector('#sliders [alt=\"moved picture\"]')?.src === {own}")
        before = moved.get_attribute("src")
        page.get_by_label("Red").focus()
        for _ in range(20):
            page.keyboard.press("ArrowRight")
        until(page, f"document.querySelector('#sliders [alt=\"moved picture\"]').src !== {json.dumps(before)}")
        page.get_by_role("button", name="Back to zero").click()
        until(page, f"document.querySelector('#sliders [alt=\"moved picture\"]').src === {json.dumps(before)}")
        for place in (0, 1):
            page.locator("#walk input[type=file]").nth(place).set_input_files(tmp_path / f"{place}.png")
        until(page, "document.querySelectorAll('#walk figcaption').length >= 4")
        until(page, "document.querySelectorAll('#walk > .strip img').length === 8")
        page.get_by_label("steps").fill("5")
        page.get_by_label("steps").blur()
        until(page, "document.querySelectorAll('#walk > .strip img').length === 5")


@pytest.mark.parametrize("size", WIDTHS)
def test_a_gan_walks_between_seeds_and_truncates(chromium, address, size):
    with visited(chromium, address, "gan", size) as page:
        until(page, "document.querySelectorAll('#walk > .strip img').length === 8")
        pictures = "[...document.querySelectorAll('#walk > .strip img')].map((one) => one.src)"
        before = page.evaluate(pictures)
        assert len(set(before)) == 8
        page.get_by_label("truncation").first.fill("0.5")
        until(page, f"({pictures})[0] !== {json.dumps(before[0])}")
        page.get_by_role("button", name="Another seed").nth(1).click()
        until(page, f"({pictures})[7] !== {json.dumps(before[7])}")


# --- a folder of runs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", WIDTHS)
def test_a_folder_shows_its_runs_curves_results_and_pictures(chromium, address, size):
    with visited(chromium, address, "", size) as page:
        said = page.locator("#list").inner_text()
        assert all(name in said for name in RUNS) and "config.json" in said
        page.wait_for_selector("#curves svg polyline")
        page.get_by_label("value").select_option("train/loss_label")
        until(page, "document.querySelectorAll('#curves svg polyline').length === 3")
        page.wait_for_selector("#compare table")
        page.get_by_role("button", name="Draw of each run").click()
        until(page, "document.querySelectorAll('#seeds img').length === 24", 300)
        page.get_by_role("link", name="gan").first.click()
        page.wait_for_selector("body[data-shown='gan']")
        page.evaluate("location.hash = ''")
        page.wait_for_selector("body[data-shown='all']")


def test_a_broken_run_is_told_and_a_run_may_go_while_it_is_open(chromium, runs, tmp_path):
    for name in ("gan", "vae", "broken"):
        shutil.copytree(runs / name, tmp_path / "runs" / name)
    with served(tmp_path / "runs") as own, visited(chromium, own, "broken", expected=("422",)) as page:
        assert "config.json" in page.get_by_role("alert").inner_text()
        page.select_option("#runs", "gan")
        page.wait_for_selector("body[data-shown='gan']")
        until(page, "document.querySelectorAll('#walk > .strip img').length === 8")
        shutil.rmtree(tmp_path / "runs" / "gan")
        page.get_by_role("button", name="Another seed").first.click()
        until(page, "document.querySelector('#walk').innerText.includes(\"There is no run 'gan'\")")
        page.select_option("#runs", "vae")
        page.wait_for_selector("body[data-shown='vae']")


def test_a_training_is_watched(chromium, tmp_path):
    """Its curve grows on the page while another process writes it."""
    run = tmp_path / "runs" / "growing"
    words = ["train", "demo-source", "--images", "40000", "--out", run, "--no-evaluate", "--threads", "1"]
    words = [sys.executable, "-m", "genshift", *map(str, words)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as training:
        try:
            while not (run / "metrics.jsonl").exists():
                assert training.poll() is None
                time.sleep(0.2)
            with served(tmp_path / "runs") as own, visited(chromium, own, "growing", expected=("422",)) as page:
                length = "document.querySelector('#curves polyline')?.getAttribute('points').split(' ').length ?? 0"
                before = until(page, length)
                until(page, f"({length}) > {before}")
                assert training.poll() is None, "it goes on"
        finally:
            training.terminate()


def test_two_users_draw_at_once(chromium, address):
    with visited(chromium, address, "diffusion") as one, visited(chromium, address, "gan") as other:
        one.get_by_role("button", name="Draw", exact=True).click()
        other.get_by_role("button", name="Another seed").first.click()
        until(other, "document.querySelectorAll('#walk > .strip img').length === 8")
        until(one, "document.querySelector('#draw').innerText.includes('network passes')")


def test_what_takes_how_long(chromium, address):
    """Printed, as of this machine: a guided digit, and a slider's picture."""
    with visited(chromium, address, "diffusion") as page:
        times = []
        for _ in range(3):
            page.evaluate("document.querySelectorAll('#draw p.faint').forEach((one) => { one.textContent = ''; })")
            begun = time.monotonic()
            page.get_by_role("button", name="Another seed").click()
            until(page, "document.querySelector('#draw').innerText.includes('network passes')")
            times.append(time.monotonic() - begun)
        print(f"a guided digit: {min(times):.2f} s")
    with visited(chromium, address, "vae") as page:
        page.wait_for_selector("#sliders .slider")
        page.get_by_label("Red").focus()
        for _ in range(10):
            page.keyboard.press("ArrowRight")
        until(page, "document.querySelector('#sliders [data-ms]')")
        print(f"a slider's picture: {float(page.locator('#sliders [data-ms]').get_attribute('data-ms')):.0f} ms")
    assert threading.active_count() < 100
