# SPDX-License-Identifier: Apache-2.0
"""speedscope, the web application, in Chromium."""

import collections
import functools
import http.server
import json
import re
import subprocess
import threading
import time

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains

from conftest import UNCOIL, folded, printable, run

FLAGS = ["--headless=new", "--no-sandbox", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
         "--window-size=1600,20000"]
PATIENCE = 60  # seconds until a profile is shown; a busy machine's


def wait(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "speedscope shows nothing"
        time.sleep(.05)


class Handler(http.server.SimpleHTTPRequestHandler):
    """speedscope's files, and under /profile/ the one to open."""
    profile = None

    def do_GET(self):
        if not self.path.startswith("/profile/"):
            return super().do_GET()
        data = Handler.profile.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def site(consumers):
    handler = functools.partial(Handler, directory=str(consumers / "speedscope"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in FLAGS + [f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
    yield driver
    driver.quit()


@pytest.fixture
def opened(chromium, site):
    """opened(path) -> the page's title, once speedscope shows the profile."""
    def show(path):
        Handler.profile = path
        chromium.get("about:blank")
        chromium.get_log("browser")
        chromium.get(f"{site}/#profileURL={site}/profile/{path.name}")
        # an alert ("Unrecognized format") raises in here
        wait(lambda: chromium.title not in ("", "speedscope"))
        errors = [entry for entry in chromium.get_log("browser")
                  if entry["level"] == "SEVERE" and "favicon" not in entry["message"]]
        assert not errors
        return chromium.title
    return show


def sandwich(chromium):
    """The sandwich view's table: [(name, (total, self))], as it is drawn (what is in sight)."""
    found = []

    def look():
        ActionChains(chromium).send_keys("3").perform()  # lost while it still draws
        found[:] = chromium.execute_script(r"""
            return Array.from(document.querySelectorAll('table tr')).map(
                row => Array.from(row.querySelectorAll('td')).map(cell => cell.innerText)).filter(
                cells => cells.length == 3 && /^\s*[\d,]+ \(/.test(cells[0]))""")
        return found
    wait(look)
    return [(row[2].strip(), tuple(int(cell.strip().split(" ")[0].replace(",", "")) for cell in row[:2]))
            for row in found]


def sandwich_names(chromium):
    """The same of a profile whose weights are times."""
    found = []

    def look():
        ActionChains(chromium).send_keys("3").perform()
        found[:] = chromium.execute_script(r"""
            return Array.from(document.querySelectorAll('table tr')).map(
                row => Array.from(row.querySelectorAll('td')).map(cell => cell.innerText)).filter(
                cells => cells.length == 3)""")
        return found
    wait(look)
    return [(row[2].strip(), row[:2]) for row in found]


def folds(name):
    return re.sub(r"(\\x0[9abcd]|\s)+", " ", name).strip()


def sums(stacks):
    """name -> (total, self) over functions' names; a recursion counts once."""
    total, own = collections.Counter(), collections.Counter()
    for stack, count in stacks.items():
        own[stack[-1]] += count
        for frame in set(stack):
            total[frame] += count
    return {frame: (total[frame], own[frame]) for frame in total}


def test_it_counts_the_same(replay, opened, chromium):
    want = folded(replay(".folded"))
    path = replay(".speedscope.json")
    assert f"{sum(want.values())} samples".replace(",", "") in opened(path).replace(",", "")
    profile, = json.loads(path.read_text())["profiles"]
    assert profile["endValue"] == sum(profile["weights"]) == sum(want.values())
    # a frame is a function and a line; HTML folds white space
    expected = collections.Counter((folds(name), row) for (name, _, _), row in sums(want).items())
    shown = collections.Counter((folds(printable(name)), row) for name, row in sandwich(chromium))
    print("not shown", expected - shown, "not expected", shown - expected)
    assert sum(shown.values()) <= sum(expected.values())
    same = sum((expected & shown).values())
    assert same and same >= .9 * sum(shown.values())


def test_it_opens_a_chrome_timeline(live_journal, tmp_path, opened, chromium):
    """A profile a thread, in Chrome's format too."""
    path = tmp_path / "out.trace.json"
    run(UNCOIL, "replay", "-q", live_journal, "-o", path)
    chunks = [event for event in json.loads(path.read_text())["traceEvents"]
              if event["name"] == "ProfileChunk"]
    opened(path)
    text = chromium.find_element("css selector", "body").text
    assert f"/{len(chunks)})" in text


@pytest.mark.parametrize("mode", ["wall", "offcpu"])
def test_it_opens_a_chrome_timeline_of_waits(tmp_path, opened, chromium, mode):
    """Of the samples, if there are any, else of the slices."""
    target = subprocess.Popen(["/usr/bin/python3", "-c", "import time\nprint('ready', flush=True)\n"
                               "while True:\n  time.sleep(.01)\n  for _ in range(300000): pass"],
                              stdout=subprocess.PIPE)
    path = tmp_path / "out.trace.json"
    try:
        assert target.stdout.readline() == b"ready\n"
        run(UNCOIL, "record", "-q", "-p", target.pid, "-d", "0.5", "-r", "999", "--mode", mode, "-o", path)
    finally:
        target.kill()
        target.wait()
    events = json.loads(path.read_text())["traceEvents"]
    opened(path)
    names = [name for name, _ in sandwich_names(chromium)]
    if mode == "wall":
        assert any(event["name"] == "ProfileChunk" for event in events)
        assert any("<module>" in name for name in names), names
    else:
        assert any("[sleep]" in name for name in names), names


def test_each_thread_is_a_profile(replay, opened, chromium):
    want = folded(replay(".folded", "-t"))
    by_thread = collections.Counter()
    for stack, count in want.items():
        by_thread[stack[:2]] += count
    path = replay(".speedscope.json", "-t")
    profiles = json.loads(path.read_text())["profiles"]
    assert sorted(p["endValue"] for p in profiles) == sorted(by_thread.values())
    opened(path)
    if len(profiles) > 1:
        assert f"(1/{len(profiles)})" in chromium.find_element("css selector", "body").text
