# SPDX-License-Identifier: Apache-2.0
"""The differential flame graph in a real browser, of two golden journals."""

import os
import re
import subprocess

import pytest

from test_flame import TOP, Page, chromium  # noqa: F401: a fixture

GOLDEN = TOP / "tests/golden"


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diff")
    subprocess.run([os.environ.get("UNCOIL", TOP / "uncoil"), "diff", GOLDEN / "threads-3.11/journal",
                    GOLDEN / "recursion-3.8/journal", "-o", folder / "diff.svg"], check=True,
                   stdout=subprocess.DEVNULL, timeout=60)
    return folder


@pytest.fixture
def page(chromium, where):  # noqa: F811
    chromium.get_log("browser")
    yield Page(chromium, where)
    assert chromium.get_log("browser") == []


def test_zoom_search_and_details(page, where):
    subprocess.run(["xmllint", "--noout", "--huge", where / "diff.svg"], check=True)
    page.open("diff")
    assert page.driver.title == "uncoil: differential flame graph"
    assert page.label("all\n") == "all"
    page.point_at("<module> (recursion.py)")
    assert page.text("name") == "<module> (recursion.py)"
    assert re.match(r"A 0\.00 %, B 100\.00 %: \+100\.00 \(", page.text("numbers"))
    # half of the width is B's, and as much as that is what both have
    whole = page.full_width()
    assert abs(page.box("<module> (recursion.py)")["width"] - whole / 2) < 2
    page.click("<module> (recursion.py)")
    assert abs(page.box("<module> (recursion.py)")["width"] - whole) < 2
    page.keys("\ue00c")  # Escape
    page.search("spin|bottom")
    assert float(re.search(r"([\d.]+) %", page.text("matched"))[1]) > 90


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(page, scheme):
    """WCAG's contrast of 4.5 between a frame's colour and its text, in each of the colours."""
    page.open("diff", scheme=scheme)
    colours = page.js("""
        const found = {};
        const f = document.querySelector('svg.f'), old = f.getAttribute('class');
        for (const c of ['d0', 'd1', 'd2', 'd3', 'e1', 'e2', 'e3']) {
            f.setAttribute('class', 'f ' + c);
            found[c] = [getComputedStyle(f.querySelector('rect')).fill,
                        getComputedStyle(f.querySelector('text')).fill];
        }
        f.setAttribute('class', old);
        return found;""")
    assert len({fill for fill, _ in colours.values()}) == 7

    def luminance(text):
        def part(c):
            c = int(c) / 255
            return c / 12.92 if c <= .03928 else ((c + .055) / 1.055) ** 2.4
        r, g, b = map(part, re.findall(r"\d+", text)[:3])
        return .2126 * r + .7152 * g + .0722 * b

    for name, (fill, text) in colours.items():
        dark, light = sorted(map(luminance, (fill, text)))
        assert (light + .05) / (dark + .05) >= 4.5, (name, fill, text)
