# SPDX-License-Identifier: Apache-2.0
"""The flame graph in a real browser: what a user sees, clicks and types, and what a hostile name
must not do. Run with Debian's python3, which has selenium:

    /usr/bin/python3 -m pytest tests/svg
"""

import os
import pathlib
import re
import subprocess
import time

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.chrome.service import Service

TOP = pathlib.Path(__file__).resolve().parents[2]
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="session")
def svgs(tmp_path_factory):
    """A directory with the SVGs of make_svg.c, from the sources as they are now."""
    where = tmp_path_factory.mktemp("svg")
    subprocess.run(["make", "-s", ".output/libuncoil.a"], cwd=TOP, check=True)
    subprocess.run([os.environ.get("CC", "gcc"), "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-Iuser", "-Ibpf",
                    "-I.output", "-Itests", "tests/svg/make_svg.c", ".output/libuncoil.a", "-lbpf", "-lelf",
                    "-lz", "-lm", "-o", where / "make_svg"], cwd=TOP, check=True)
    subprocess.run([where / "make_svg", where], check=True)
    return where


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in FLAGS + [f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
    yield driver
    driver.quit()


class Page:
    """One open flame graph."""

    def __init__(self, driver, svgs):
        self.driver = driver
        self.svgs = svgs

    def open(self, name, width=1400, height=700, scheme="light"):
        self.resize(width, height)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": scheme}]})
        self.driver.get((self.svgs / f"{name}.svg").as_uri())
        return self

    def resize(self, width, height):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})
        self.js("return new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))")

    def js(self, script, *args):
        return self.driver.execute_script(script, *args)

    def id(self, name):
        return self.driver.find_element(By.ID, name)

    def text(self, name):
        return self.js("return document.getElementById(arguments[0]).textContent", name)

    def frame(self, start):
        """The first frame whose name starts so."""
        found = self.js("""return Array.from(document.querySelectorAll('svg.f')).find(
            f => f.querySelector('title').textContent.startsWith(arguments[0]))""", start)
        assert found is not None, f"no frame {start}"
        return found

    def box(self, start):
        return self.js("""const r = arguments[0].querySelector('rect').getBoundingClientRect();
            return { x: r.x, y: r.y, width: r.width, height: r.height }""", self.frame(start))

    def label(self, start):
        return self.js("const t = arguments[0].querySelector('text'); "
                       "return t ? t.textContent : ''", self.frame(start))

    def is_shown(self, start):
        return self.js("return getComputedStyle(arguments[0]).display", self.frame(start)) != "none"

    def focused(self):
        return self.js("""const a = document.activeElement;
            return a && a.matches('.f') ? a.querySelector('title').textContent.split('\\n')[0]
                                        : a && a.id""")

    def keys(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()

    def ctrl(self, key):
        ActionChains(self.driver).key_down(Keys.CONTROL).send_keys(key).key_up(
            Keys.CONTROL).perform()

    def point_at(self, start):
        ActionChains(self.driver).move_to_element(self.frame(start)).perform()

    def click(self, start):
        ActionChains(self.driver).move_to_element(self.frame(start)).click().perform()

    def search(self, text):
        """By mouse and keys: chromedriver's element.send_keys() cannot focus in a fresh SVG."""
        self.id("search").click()
        self.ctrl("a")
        self.keys(text)

    def full_width(self):
        return self.box("all\n")["width"]


@pytest.fixture
def page(chromium, svgs):
    chromium.get_log("browser")
    yield Page(chromium, svgs)
    # whatever the test did, the script must not have stumbled
    assert chromium.get_log("browser") == []


@pytest.mark.parametrize("path", sorted((TOP / "tests/golden").glob("*/expected.svg")), ids=lambda path: path.parent.name)
def test_recorded_ones_are_well_formed(path):
    """Of real recordings, every kind of frame among them."""
    subprocess.run(["xmllint", "--noout", "--huge", path], check=True)


@pytest.mark.parametrize("name", ["normal", "hostile", "big", "empty", "narrow", "huge"])
def test_is_well_formed_and_self_contained(svgs, name):
    subprocess.run(["xmllint", "--noout", "--huge", svgs / f"{name}.svg"], check=True)
    text = (svgs / f"{name}.svg").read_text()
    markup = re.sub(r"<!\[CDATA\[.*?\]\]>", "", text, flags=re.S)
    assert not re.search(r"""\s(href|src|on\w+|xlink:href)\s*=\s*["']""",
                         re.sub(r">[^<]*<", "><", markup))
    assert "url(" not in text and "@import" not in text
    assert set(re.findall(r"https?://[\w./]+", markup)) == {"http://www.w3.org/2000/svg"}


def test_says_what_was_recorded(page):
    page.open("normal")
    assert page.driver.title == ("uncoil: on-CPU flame graph of pid 4242 "
                                 "gunicorn: master [shop.wsgi]")
    lines = page.js("""return Array.from(document.querySelectorAll('#uncoil > text')).map(
        t => t.firstChild.data)""")
    assert lines == [
        "uncoil: on-CPU flame graph",
        "3 targets: pid 4242 · CPython 3.11.2 · gunicorn: master [shop.wsgi] and 2 more",
        "on-CPU · 99 Hz per thread · 30.0 s · 2,095 samples · 2023-11-14 22:13:20 UTC",
        "37 samples lost: the ring buffer was full",
        "12 samples had no Python frame",
        "3 stacks were cut at 512 frames",
    ]
    tip = page.js("return document.querySelector('text.line title').textContent")
    assert [line.split(" · ")[0] for line in tip.split("\n")] == ["pid 4242", "pid 4250",
                                                                  "pid 4251"]
    legend = page.js("""return Array.from(document.querySelectorAll('#legend text')).map(
        t => t.textContent)""")
    assert legend == ["process", "thread", "application", "library", "standard library",
                      "not a Python frame"]


def test_no_samples(page):
    page.open("empty")
    assert "No samples" in page.js("return document.documentElement.textContent")
    page.click("all\n")
    page.search("a")
    assert page.text("matched") == "matched: 0.00 %"


def test_undrawn_samples_are_named(page):
    page.open("narrow")
    assert ("100 samples (0.05 %) in frames narrower than 0.01 %: not drawn"
            in page.js("return document.documentElement.textContent"))


def test_pointing_shows_details(page):
    page.open("normal")
    page.point_at("catalogue_view")
    assert page.text("name") == "catalogue_view (shop/views.py:88)"
    assert page.text("numbers") == ("1,655 samples (79.00 %), self 120 (5.73 %) · "
                                    "/srv/shop/src/shop/views.py")
    page.point_at("escape")
    assert page.text("name") == "escape (html/__init__.py:19)"
    assert page.text("numbers") == "48 samples (2.29 %), self 48 (2.29 %)"


def test_click_zooms_and_button_resets(page):
    page.open("normal")
    before = page.box("QuerySet")
    assert before["width"] < page.full_width() / 3
    assert not page.id("reset").is_enabled()
    page.click("QuerySet")
    full = page.full_width()
    assert page.box("QuerySet")["width"] == pytest.approx(full, abs=.5)
    assert page.box("SQLCompiler")["width"] == pytest.approx(full * 365 / 460, abs=.5)
    for caller in ("catalogue_view", "WSGIHandler", "process 4250"):
        assert page.box(caller)["width"] == pytest.approx(full, abs=.5)
        assert "up" in page.frame(caller).get_attribute("class").split()
    assert not page.is_shown("price_with") and not page.is_shown("thread 4257")
    page.point_at("SQLCompiler")
    assert page.text("numbers") == ("365 samples (17.42 %), self 160 (7.64 %), "
                                    "79.35 % of the zoomed frame")
    page.click("catalogue_view")
    assert page.is_shown("price_with") and not page.is_shown("thread 4257")
    page.id("reset").click()
    assert page.box("QuerySet") == before
    assert page.is_shown("thread 4257")
    assert not page.id("reset").is_enabled()
    assert not page.js("return document.querySelectorAll('.up').length")


def test_zoom_gives_labels_to_frames_that_had_none(page):
    page.open("normal", width=700)
    assert page.label("lru_cache") == ""
    page.click("Discount")
    page.click("lru_cache")
    assert page.label("lru_cache") == "lru_cache.<locals>.wrapper (functools.py:512)"
    page.keys(Keys.ESCAPE)
    assert page.label("lru_cache") == ""


def test_search_highlights_and_sums(page):
    page.open("normal")
    page.search("PRIC")
    assert page.text("matched") == "matched: 0.00 %"  # a capital: case matters
    page.search("json|pric")
    hits = page.js("""return Array.from(document.querySelectorAll('.f.hit title')).map(
        t => t.textContent.split(/[ .]/)[0])""")
    assert hits == ["price_with_every_discount_that_could_possibly_apply", "Discount", "loads",
                    "JSONDecoder", "JSONDecoder", "dumps"]
    # 882 + 99 + 66 of 2095: what is below a match counts once
    assert page.text("matched") == "matched: 49.98 %"
    fill = "return getComputedStyle(arguments[0].querySelector('rect')).fill"
    assert page.js(fill, page.frame("dumps")) != page.js(fill, page.frame("escape"))
    page.click("catalogue_view")
    assert page.text("matched") == "matched: 53.29 % of the zoomed frame"
    page.search("(")
    assert page.text("matched") == "not a regular expression"
    assert page.id("search").get_attribute("aria-invalid") == "true"
    page.keys(Keys.ESCAPE)
    assert page.text("matched") == ""
    assert not page.js("return document.querySelectorAll('.hit, .searching').length")


def test_keyboard_only(page):
    page.open("normal")
    page.keys(Keys.TAB)
    assert page.focused() == "all"
    assert page.text("numbers").startswith("2,095 samples (100.00 %)")
    page.keys(Keys.ARROW_DOWN * 8)
    assert page.focused().startswith("catalogue_view")
    assert page.text("name").startswith("catalogue_view")
    assert len(page.driver.find_elements(By.CSS_SELECTOR, ".f[tabindex='0']")) == 1
    page.keys(Keys.ARROW_RIGHT)
    assert page.focused().startswith("SessionMiddleware")
    page.keys(Keys.ARROW_RIGHT * 5)
    assert page.focused().startswith("warenkorb")
    page.keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ENTER)
    assert page.focused().startswith("catalogue_view")
    assert page.box("catalogue_view")["width"] == pytest.approx(page.full_width(), abs=.5)
    page.keys(Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.SPACE)
    assert page.box("QuerySet")["width"] == pytest.approx(page.full_width(), abs=.5)
    page.keys(Keys.BACKSPACE)
    assert page.box("QuerySet")["width"] < page.full_width()
    assert page.box("catalogue_view")["width"] == pytest.approx(page.full_width(), abs=.5)
    page.keys(Keys.ARROW_UP, Keys.ARROW_UP)
    assert page.focused().startswith("WSGIHandler")
    page.keys(Keys.ESCAPE)
    assert page.box("catalogue_view")["width"] < page.full_width()
    page.keys(Keys.HOME)
    assert page.focused() == "all"
    page.keys(Keys.TAB)  # past all frames at once; the disabled button is passed over
    assert page.focused() == "search"


@pytest.mark.parametrize("how", ["/", "ctrl-f"])
def test_keys_of_the_search(page, how):
    page.open("normal")
    page.ctrl("f") if how == "ctrl-f" else page.keys("/")
    assert page.focused() == "search"
    page.keys("decode/?n")  # keys mean nothing else while typing
    assert page.id("search").get_attribute("value") == "decode/?n"
    page.keys(Keys.BACKSPACE * 3, Keys.ENTER)
    assert page.focused().startswith("loads") or page.focused().startswith("JSONDecoder.decode")
    first = page.focused()
    page.keys("n")
    assert page.focused() != first
    page.keys("N")
    assert page.focused() == first
    page.keys(Keys.ESCAPE)
    assert page.text("matched") == ""


def test_help(page):
    page.open("normal")
    assert not page.id("help").is_displayed()
    page.keys("?")
    assert page.id("help").is_displayed()
    assert "Backspace" in page.id("help").text
    assert page.focused() == "close"
    page.keys(Keys.ESCAPE)
    assert not page.id("help").is_displayed()
    page.id("ask").click()
    assert page.id("help").is_displayed()
    page.id("close").click()
    assert not page.id("help").is_displayed()


def test_hostile_names_stay_text(page, svgs):
    page.open("hostile")
    title = page.driver.title
    assert title.startswith("uncoil: on-CPU flame graph of pid 1 python -c '</text><script>")
    assert page.label("</script>").startswith("</s")
    for n in range(30):
        frame = page.js("return document.querySelectorAll('.f')[arguments[0] + 1]", n)
        if frame.is_displayed():
            ActionChains(page.driver).move_to_element(frame).click().perform()
        page.keys(Keys.ESCAPE)
    page.search("script|img")
    page.resize(500, 600)
    assert page.driver.title == title
    count = "return document.querySelectorAll(arguments[0]).length"
    assert page.js(count, "script") == 1
    assert page.js(count, "img, iframe, b, i, u, a, image, use, animate, set") == 0
    assert page.js(count, "foreignObject") == 2
    assert page.js("""return Array.from(document.querySelectorAll('*')).every(e =>
        Array.from(e.attributes).every(a => !a.name.startsWith('on')))""")
    page.keys(Keys.ESCAPE)
    page.click("\\x1b]0;pwned")
    assert page.text("name").startswith("\\x1b]0;pwned\\x07\\x1b[31mred\\x1b[0m\\x0a\\x0d\\x09tab")
    shown = page.js("return document.documentElement.textContent")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", shown)


def clipped(page):
    """No label may be seen outside of its frame: the frames clip, and labels are cut to fit."""
    return page.js("""
        return Array.from(document.querySelectorAll('.f')).filter(f =>
            getComputedStyle(f).display !== 'none').every(f => {
                const t = f.querySelector('text');
                const r = f.querySelector('rect').getBoundingClientRect();
                const wide = t ? t.getBoundingClientRect().width : 0;
                return getComputedStyle(f).overflow === 'hidden' &&
                    (!wide || wide <= r.width || /[^\\x20-\\x7e\\u2026]/.test(t.textContent));
            })""")


@pytest.mark.parametrize("name", ["normal", "hostile", "big"])
def test_long_names_are_clipped(page, name):
    page.open(name)
    assert clipped(page)
    page.resize(500, 700)
    assert clipped(page)
    page.js("document.querySelectorAll('.f')[3].dispatchEvent("
            "new MouseEvent('click', { bubbles: true }))")
    assert clipped(page)


def test_resizing_keeps_it_readable(page):
    page.open("normal", width=1400)
    wide = page.label("QuerySet")
    assert page.full_width() == pytest.approx(1380, abs=1)
    page.resize(600, 500)
    assert page.full_width() == pytest.approx(580, abs=1)
    assert page.label("QuerySet") != wide and page.label("QuerySet").endswith("…")
    assert page.box("QuerySet")["height"] == 17
    size = page.js("return getComputedStyle(document.querySelector('.f text')).fontSize")
    assert size == "12px"
    for name in ("reset", "search", "ask"):
        box = page.id(name).rect
        assert box["x"] >= 0 and box["x"] + box["width"] <= 600
    page.resize(1400, 700)
    assert page.label("QuerySet") == wide


def test_zoom_survives_resizing(page):
    page.open("normal")
    page.click("QuerySet")
    page.resize(800, 600)
    assert page.box("QuerySet")["width"] == pytest.approx(780, abs=1)


def test_tools_stay_in_sight(page):
    page.open("big", width=1000, height=500)
    page.js("window.scrollTo(0, 900)")
    page.js("return new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")
    assert page.js("return document.getElementById('tools').getBoundingClientRect().top") == 0
    # moving by keys keeps the focused frame out of the tools' shadow and in the window
    page.js("window.scrollTo(0, 0)")
    page.keys(Keys.TAB, Keys.ARROW_DOWN * 60)
    for _ in range(2):
        at = page.js("return document.activeElement.getBoundingClientRect().top")
        assert 68 <= at <= 500 - 17
        page.keys(Keys.ARROW_UP * 55)


CONTRAST = """
    const light = c => {
        const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(v => v / 255).map(
            v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
        return .2126 * r + .7152 * g + .0722 * b;
    };
    const contrast = (a, b) => {
        const [hi, lo] = [light(a), light(b)].sort((x, y) => y - x);
        return (hi + .05) / (lo + .05);
    };
    const paper = getComputedStyle(document.getElementById('paper')).fill;
    const mix = (a, o) => {
        const p = paper.match(/\\d+/g), q = a.match(/\\d+/g);
        return 'rgb(' + p.map((v, i) => v * (1 - o) + q[i] * o).join(' ') + ')';
    };
    let worst = 99;
    const check = f => {
        const rect = getComputedStyle(f.querySelector('rect'));
        const text = getComputedStyle(f.querySelector('text')).fill;
        worst = Math.min(worst, contrast(text, mix(rect.fill, Number(rect.fillOpacity))));
    };
    const f = Array.from(document.querySelectorAll('.f')).find(x => x.querySelector('text'));
    const as = f.getAttribute('class');
    for (const kind of 'rptmwgals')
        for (let shade = 0; shade < 6; shade++)
            for (const extra of ['', ' up', ' hit']) {
                f.setAttribute('class', `f ${kind} h${shade}${extra}`);
                document.getElementById('frames').classList.toggle('searching',
                                                                   extra === ' hit');
                check(f);
            }
    for (const line of document.querySelectorAll('#uncoil > text'))
        worst = Math.min(worst, contrast(getComputedStyle(line).fill, paper));
    return worst;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(page, scheme):
    page.open("normal", scheme=scheme)
    paper = page.js("return getComputedStyle(document.getElementById('paper')).fill")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    assert page.js(CONTRAST) >= 4.5


def test_accessible_names(page):
    page.open("normal")
    frame = page.frame("catalogue_view")
    assert frame.aria_role == "treeitem"
    assert frame.accessible_name.startswith("catalogue_view (shop/views.py:88)")
    assert page.id("frames").aria_role == "tree"
    assert page.id("search").accessible_name == "Search frames by regular expression"


def test_is_a_picture_without_script(page, svgs):
    """In <img> no script runs: the file's own size and labels show."""
    (svgs / "img.html").write_text('<body style="margin:0"><img src="normal.svg">')
    page.driver.get((svgs / "img.html").as_uri())
    assert page.js("return document.images[0].naturalWidth") == 1200
    text = (svgs / "normal.svg").read_text()
    assert "<text x=\"3\" y=\"12\">WSGIHandler.__call__ (django/core/" in text


def test_stays_fast(page):
    """20,000 frames; the limits are generous, they catch what is quadratic."""
    start = time.monotonic()
    page.open("huge")
    assert time.monotonic() - start < 15
    start = time.monotonic()
    page.js("document.querySelectorAll('.f')[150].dispatchEvent("
            "new MouseEvent('click', { bubbles: true }));"
            "document.getElementById('frames').getBoundingClientRect()")
    page.keys(Keys.ESCAPE)
    page.search("function_1")
    assert page.text("matched") == "matched: 100.00 %"
    assert time.monotonic() - start < 10
