# SPDX-License-Identifier: Apache-2.0
"""Real processes under the real uncoil on the real kernel; as root. Run: make check-bpf

UNCOIL names the program (default ./uncoil). Nothing is mocked, and nothing is ended that was not
started here."""

import collections
import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

# Who starts the tests in the background has had SIGINT ignored, and what they start would ignore it too
signal.signal(signal.SIGINT, signal.default_int_handler)

TOP = pathlib.Path(__file__).resolve().parents[2]
TARGETS = pathlib.Path(__file__).resolve().parent / "targets"
UNCOIL = os.environ.get("UNCOIL", str(TOP / "uncoil"))
PROGRAMS = {"on_tick", "on_switch", "on_fork", "on_exec", "on_exit"}
WAIT = 20  # seconds; what takes longer hangs
# what a terminal obeys: C0 but newline, DEL, C1, line separators, bidirectional overrides
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def pyenv_root():
    found = shutil.which("pyenv")
    if not found:
        return pathlib.Path(os.environ.get("PYENV_ROOT", "/root/.pyenv"))
    return pathlib.Path(subprocess.run([found, "root"], capture_output=True, text=True,
                                       check=True, timeout=WAIT).stdout.strip())


def pyenv_python(prefix):
    """The newest pyenv Python of this X.Y; None if there is none."""
    found = sorted(pyenv_root().glob(f"versions/{prefix}.*/bin/python"))
    return str(found[-1]) if found else None


def interpreters():
    found = {"debian-3.11": "/usr/bin/python3.11"} if os.path.exists("/usr/bin/python3.11") else {}
    for minor in range(8, 14):
        for path in sorted(pyenv_root().glob(f"versions/3.{minor}.*/bin/python")):
            found[path.parents[1].name] = str(path)
    return found


class Python(str):
    """An interpreter's path, which knows its version."""

    @property
    def version(self):
        return tuple(map(int, self.full_version.split(".")))[:2]

    @property
    def full_version(self):
        match = re.search(r"versions/([\d.]+)/", self)
        return match[1] if match else re.search(r"python([\d.]+)[^/]*$", self)[1] + ".0"

    def exists(self):
        return os.path.exists(self)

    @property
    def name(self):
        return next(name for name, path in (PYTHONS | GOT).items() if path == self)


PYTHONS = {name: Python(path) for name, path in interpreters().items()}
SYSTEM = Python("/usr/bin/python3.11")
each_python = pytest.mark.parametrize("python", PYTHONS.values(), ids=PYTHONS.keys())

# what scripts/get-pythons makes; each is one word that runs the Python, in a root of its own
GOT_FOLDER = pathlib.Path(os.environ.get("UNCOIL_PYTHONS", TOP / ".output/pythons")) / "bin"
GOT = {name: Python(GOT_FOLDER / program) for name, program in {
    "bullseye-3.9": "bullseye-python3.9", "bookworm-3.11d": "bookworm-python3.11d",
    "trixie-3.13": "trixie-python3.13", "sid-3.13": "sid-python3.13",
    "sid-3.14": "sid-python3.14", "sid-3.15": "sid-python3.15",
    "free-threaded-3.14": "free-threaded-python3.14t"}.items()}


def got(name):
    """A parameter: this interpreter, or a skip that says how to get it."""
    suite = "free-threaded" if name.startswith("free-") else name.split("-")[0]
    return pytest.param(GOT[name], id=name, marks=[] if GOT[name].exists() else pytest.mark.skip(
        reason=f"there is no {name}: scripts/get-pythons {suite}"))


EVERY = [pytest.param(path, id=name) for name, path in PYTHONS.items()] + [got(n) for n in GOT]
every_python = pytest.mark.parametrize("python", EVERY)


Result = collections.namedtuple("Result", "code out err seconds pid")


def uncoil(*args, timeout=WAIT, **popen):
    """Runs uncoil to its end; fails the test if it hangs."""
    start = time.monotonic()
    popen = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
             **popen}
    command = popen.pop("wrapper", []) + [popen.pop("program", UNCOIL)] + list(map(os.fspath, args))
    process = subprocess.Popen(command, **popen)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        try:
            _, err = process.communicate(timeout=2)
        except subprocess.TimeoutExpired:
            err = "nothing yet: the command that it started holds its output"
        pytest.fail(f"{command} hangs; it said {err!r}")
    assert process.returncode >= 0, f"{command} died of signal {-process.returncode}: {err!r}"
    return Result(process.returncode, out, (err or b"").decode(), time.monotonic() - start,
                  process.pid)


Frame = collections.namedtuple("Frame", "name file line")


class Stacks(list):
    """Folded stacks: (frames, count)."""

    def __init__(self, folded):
        super().__init__()
        text = folded.decode() if isinstance(folded, bytes) else folded
        assert text == "" or text.endswith("\n")
        for line in text.split("\n")[:-1]:
            match = re.fullmatch(r"(.*) (\d+)", line)
            assert match, f"no folded stack: {line!r}"
            assert not CONTROL.search(line), f"control character: {line!r}"
            self.append((tuple(map(self.frame, match[1].split(";"))), int(match[2])))

    @staticmethod
    def frame(text):
        match = re.fullmatch(r"(.*?)(?: \((.*?)(?::(\d+))?\))?", text)
        return Frame(match[1], match[2], match[3] and int(match[3]))

    @property
    def total(self):
        return sum(count for _, count in self)

    def having(self, name):
        return [(frames, count) for frames, count in self if any(f.name == name for f in frames)]

    def count(self, name):
        return sum(count for _, count in self.having(name))

    def names(self):
        return {frame.name for frames, _ in self for frame in frames}

    def lines(self, name, below=None):
        """line -> samples, of all frames with this name (called `below`, if given)."""
        lines = collections.Counter()
        for frames, count in self:
            for i, frame in enumerate(frames):
                if frame.name == name and (not below or frames[i + 1:i + 2] and
                                           frames[i + 1].name == below):
                    lines[frame.line] += count
        return lines


def stacks(path):
    return Stacks(pathlib.Path(path).read_bytes())


def marks(script):
    """Line numbers by `# line: NAME` in a target."""
    text = (TARGETS / script).read_text().split("\n")
    return {match[1]: n for n, line in enumerate(text, 1)
            for match in [re.search(r"# line: (\S+)", line)] if match}


def wait_for(condition, what, seconds=WAIT):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(.01)


def cpu_ns(pid):
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def computed(pid, seconds):
    """Waits until it has used so much more CPU time: on a busy machine that takes a while."""
    end = cpu_ns(pid) + seconds * 1e9
    wait_for(lambda: cpu_ns(pid) >= end, f"{pid} to use {seconds} s of CPU time")


def state(pid):
    try:
        return re.search(r"^State:\t(.)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1]
    except FileNotFoundError:
        return None


class Target(subprocess.Popen):
    """A process started by a test."""

    def __init__(self, command, **popen):
        popen = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, **popen}
        super().__init__(command, **popen)

    def said(self, word, seconds=WAIT):
        """Waits until it prints `word`; returns all that was printed."""
        text, end = b"", time.monotonic() + seconds
        while word not in text:
            left = end - time.monotonic()
            assert left > 0 and select.select([self.stdout], [], [], left)[0], f"no {word!r}"
            chunk = os.read(self.stdout.fileno(), 65536)
            assert chunk, f"{self.args} ended before it said {word!r}: {text!r}"
            text += chunk
        return text

    def assert_computes(self):
        assert self.poll() is None, f"the target ended with {self.returncode}"
        assert state(self.pid) in "RS"
        before = cpu_ns(self.pid)
        wait_for(lambda: cpu_ns(self.pid) > before, "the target to use CPU time")


@pytest.fixture
def start():
    """start(command...) -> Target; all of them end with the test."""
    started = []

    def begin(*command, **popen):
        started.append(Target(list(map(os.fspath, command)), **popen))
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(WAIT)
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()


@pytest.fixture
def target(start):
    """target(script, args..., python=SYSTEM) -> Target that has said "ready"."""
    def begin(script, *args, python=SYSTEM, **popen):
        process = start(python, TARGETS / script, *args, **popen)
        process.said(b"ready")
        return process
    return begin


@pytest.fixture
def busy(target):
    return target("busy.py")


@pytest.fixture
def folder():
    """A folder that every user may enter and only root may write; gone afterwards."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="uncoil-e2e-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def programs():
    """Ids of the BPF programs and links that have the names of uncoil's."""
    def show(what):
        done = subprocess.run(["/usr/sbin/bpftool", what, "show", "-j"], capture_output=True,
                              timeout=WAIT)
        return json.loads(done.stdout or b"[]") if done.returncode == 0 else []

    progs = {p["id"] for p in show("prog") if p.get("name") in PROGRAMS}
    return progs, {link["prog_id"] for link in show("link") if link.get("prog_id") in progs}


def programs_owned():
    """Ids of the programs that some process holds: other recordings at the same time."""
    owned = set()
    for path in pathlib.Path("/proc").glob("[0-9]*/fd"):
        try:
            for fd in os.scandir(path):
                if os.readlink(fd.path).startswith(("anon_inode:bpf", "anon_inode:[perf")):
                    info = (path.parent / "fdinfo" / fd.name).read_text()
                    owned.update(map(int, re.findall(r"^prog_id:\s+(\d+)", info, re.M)))
        except OSError:
            continue
    return owned


def maps(process):
    """name -> id of the BPF maps that a process holds."""
    ids = set()
    for path in pathlib.Path(f"/proc/{process.pid}/fdinfo").iterdir():
        ids.update(re.findall(r"^map_id:\s+(\d+)", path.read_text(), re.M))
    found = {}
    for number in ids:
        shown = subprocess.run(["/usr/sbin/bpftool", "map", "show", "id", number, "-j"],
                               capture_output=True, check=True)
        found[json.loads(shown.stdout)["name"]] = number
    return found


@pytest.fixture(scope="session")
def strays_before():
    progs, _ = programs()
    return progs - programs_owned()


@pytest.fixture
def nothing_left(strays_before):
    """nothing_left(): no BPF program or link without an owner."""
    def check():
        def none():
            progs, links = programs()
            return not (progs | links) - programs_owned() - strays_before
        wait_for(none, "BPF programs without an owner to go", 10)
    return check


@pytest.fixture
def assert_failed(nothing_left):
    """assert_failed(result, word..., code, folder, but): one sentence, nothing written, nothing
    left. `but`: names that lie in the folder rightly."""
    def check(result, *words, code=1, folder=None, but=()):
        lines = [line for line in result.err.split("\n") if line.startswith("uncoil")]
        assert result.code == code, result
        assert len(lines) == 1, result.err
        for word in words:
            assert word in lines[0], f"no {word!r} in {lines[0]!r}"
        assert not CONTROL.search(result.err)
        rest = [line for line in result.err.split("\n")[:-1]
                if line not in lines and not line.startswith(("recording ", "warning: ", "the command "))]
        assert not rest, rest
        if folder:
            assert sorted(os.listdir(folder)) == sorted(but)
        nothing_left()
        return lines[0]
    return check


@pytest.fixture
def recorder(start):
    """recorder(args...) -> a Target: uncoil record that has attached and runs."""
    def begin(*args, **popen):
        process = start(UNCOIL, "record", *args, stderr=subprocess.PIPE, **popen)
        assert select.select([process.stderr], [], [], WAIT)[0]
        line = process.stderr.readline()
        assert line.startswith(b"recording "), line
        return process
    return begin


def finish(process):
    """Waits for a recorder's end; its Result."""
    try:
        out, err = process.communicate(timeout=WAIT)
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail(f"{process.args} hangs")
    assert process.returncode >= 0, f"it died of signal {-process.returncode}: {err!r}"
    return Result(process.returncode, out, err.decode(), 0, process.pid)


# --- the matrix: interpreter by feature

MATRIX = TOP / "docs/interpreters.md"
FEATURES = {}  # (interpreter, feature) -> worst outcome of the tests that are marked with it
RANK = ["passed", "skipped", "failed"]
WORDS = {"passed": "yes", "skipped": "not tried", "failed": "NO"}


def pytest_addoption(parser):
    parser.addoption("--write-matrix", action="store_true",
                     help="write what the tests saw to docs/interpreters.md")


def pytest_configure(config):
    config.addinivalue_line("markers", "feature(name): a column of the matrix")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    feature = item.get_closest_marker("feature")
    params = item.callspec.params if hasattr(item, "callspec") else {}
    python = params.get("python", params.get("seen"))
    if feature and python and (call.when == "call" or report.outcome != "passed"):
        key = python.name, feature.args[0]
        FEATURES[key] = max(FEATURES.get(key, "passed"), report.outcome, key=RANK.index)


def matrix_read():
    """The table in docs/interpreters.md: (interpreter, feature) -> word."""
    rows = [[cell.strip() for cell in line.strip("|\n").split("|")]
            for line in MATRIX.read_text().splitlines() if line.startswith("|")]
    return {(row[0], column): cell for row in rows[2:] for column, cell in
            zip(rows[0][1:], row[1:])} if rows else {}


def matrix_rows(cells):
    """The table's lines; interpreters and features in the order of the tests."""
    names = list(dict.fromkeys(name for name, _ in cells))
    columns = list(dict.fromkeys(column for _, column in cells))
    table = [["interpreter", *columns]]
    table += [[name, *(cells.get((name, column), "-") for column in columns)] for name in
              sorted(names, key=list(PYTHONS | GOT).index)]
    widths = [max(map(len, column)) for column in zip(*table)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in table]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def pytest_terminal_summary(terminalreporter, config):
    if not FEATURES:
        return
    cells = {key: WORDS[outcome] for key, outcome in FEATURES.items()}
    terminalreporter.section("interpreters")
    for line in matrix_rows(cells):
        terminalreporter.write_line(line)
    if config.getoption("--write-matrix"):
        text = MATRIX.read_text()
        start, end = text.index("| interpreter"), text.rindex("|\n") + 2
        MATRIX.write_text(text[:start] + "\n".join(matrix_rows(cells)) + "\n" + text[end:])


def pytest_sessionfinish(session):
    """What docs/interpreters.md says must be what was seen, where something was."""
    if not FEATURES or session.config.getoption("--write-matrix"):
        return
    said = matrix_read()
    # what failed has been told already
    wrong = [f"{name}, {feature}: {said.get((name, feature), 'nothing')}, but it is {WORDS[outcome]}"
             for (name, feature), outcome in FEATURES.items() if outcome == "passed"
             # a machine may have Pythons that the document does not list
             and name in {n for n, _ in said} and said.get((name, feature)) != WORDS[outcome]]
    if wrong:
        print("\nFAILED docs/interpreters.md says:", *wrong, sep="\n  ")
        session.exitstatus = session.exitstatus or 1


def as_nobody():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
