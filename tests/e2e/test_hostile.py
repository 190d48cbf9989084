# SPDX-License-Identifier: Apache-2.0
"""Names that would do harm where they are shown, and secrets that must not be shown."""

import os
import re
import subprocess
import xml.etree.ElementTree as xml

import pytest

from conftest import CONTROL, PYTHONS, SYSTEM, TARGETS, Stacks, Target, uncoil

SECRET = "hunter2"
ARGS = [b"--password", b"hunter2-1", b"--token=hunter2-2", b"postgres://u:hunter2-3@h/db",
        b"TOKEN=hunter2-4", b"--api-key", b"hunter2-6",
        b"AWS_SECRET_ACCESS_KEY=hunter2-7", b"https://user:hunter2-8@example.org/x?access_token=hunter2-9",
        b"--Password=hunter2-10", b"Authorization: Bearer hunter2-11",
        b"\x1b[31m</script><b>&\n;", b"\xff\xfe\x80", "\u202e".encode(), b"x" * 10240]
KINDS = ("svg", "folded", "txt")


@pytest.fixture(scope="module", params=PYTHONS.values(), ids=PYTHONS.keys())
def recorded(request, tmp_path_factory):
    where = tmp_path_factory.mktemp("hostile")
    target = Target([request.param, TARGETS / "hostile.py", *ARGS], cwd="/")
    try:
        target.said(b"ready")
        result = uncoil("record", "-t", "-r", "2000", "-d", "1", "-p", str(target.pid),
                        *sum((["-o", where / f"x.{kind}"] for kind in (*KINDS, "uncoil")), []))
        assert target.poll() is None
    finally:
        target.kill()
        target.wait()
        target.stdout.close()
    assert result.code == 0, result.err
    replayed = uncoil("replay", where / "x.uncoil", "-t",
                      *sum((["-o", where / f"y.{kind}"] for kind in KINDS), []))
    assert replayed.code == 0, replayed.err
    assert result.out + replayed.out == b""
    (where / "stderr").write_text(result.err + replayed.err)
    return where

def test_replay_is_the_same(recorded):
    for kind in KINDS:
        assert (recorded / f"x.{kind}").read_bytes() == (recorded / f"y.{kind}").read_bytes()


def test_svg_is_well_formed_and_inert(recorded):
    subprocess.run(["xmllint", "--noout", recorded / "x.svg"], check=True, timeout=20)
    text = (recorded / "x.svg").read_text()
    assert not CONTROL.search(text.replace("\t", " "))
    root = xml.fromstring(text)
    svg = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f".//{svg}script")) == 1
    assert not [e for e in root.iter() if e.tag in (svg + "b", svg + "foreignObject", svg + "a")]
    assert not [name for e in root.iter() for name in e.attrib if name.lower().startswith("on")]
    titles = "".join(e.text or "" for e in root.iter(svg + "title"))
    assert "</script><script>alert(1)</script>" in titles and "a&b&amp;&#0;&bogus;" in titles


def test_folded_is_one_line_a_stack(recorded):
    data = (recorded / "x.folded").read_bytes()
    seen = Stacks(data)  # asserts that each line is one, and no control character
    lines = [line.rsplit(" ", 1)[0] for line in data.decode().split("\n")]
    assert len(lines) == len(set(lines))
    assert all(frames[0].name.startswith("process ") and frames[1].name.startswith("thread ")
               for frames, _ in seen)
    names = {line.rsplit(";", 2)[1] for line in lines if ";" in line}
    for name in (r"\x1b[31mred\x1b]0;title\x07".replace(";", r"\x3b"), r"two\x0alines",
                 r"semi\x3bcolon", "nul\u2400here", "right\\u202eto\\u202cleft\\u2066x\\u2069"):
        assert any(name in each for each in names), name


def test_text_and_terminal_have_no_control_characters(recorded):
    assert not CONTROL.search((recorded / "x.txt").read_text())
    assert not CONTROL.search((recorded / "stderr").read_text())


def test_long_names_are_bounded(recorded):
    """10 kB of a name are not 10 kB a frame."""
    assert max(map(len, (recorded / "x.folded").read_text().split("\n"))) < 20000


def test_no_secret_anywhere(recorded):
    for path in recorded.iterdir():
        data = path.read_bytes()
        at = data.find(SECRET.encode())
        assert at < 0, (path.name, data[max(0, at - 60):at + 20])
    assert b"***" in (recorded / "x.txt").read_bytes()


@pytest.mark.parametrize("args", [
    ["-c", "pass", "--password", "hunter2"], ["-c", "password = 'hunter2'"],
    ["-m", "this", "--db=mysql://root:hunter2@db"], ["-W", "ignore", "-c", "pass", "TOKEN=hunter2"]],
    ids=str)
def test_no_secret_of_a_command(folder, args):
    outputs = [folder / f"x.{kind}" for kind in (*KINDS, "uncoil")]
    result = uncoil("record", "-r", "1000", *sum((["-o", o] for o in outputs), []), "--", SYSTEM,
                    *args)
    assert result.code == 0, result.err
    for path in outputs:
        assert b"hunter2" not in path.read_bytes(), path
    assert "hunter2" not in result.err


@pytest.mark.parametrize("args", [["doctor"], ["dump"], ["dump", "--json"]], ids=" ".join)
def test_no_secret_where_a_process_is_shown(target, args):
    process = target("hostile.py", *ARGS)
    result = uncoil(*args, "-p", str(process.pid))
    text = result.out.decode()
    assert result.code == 0 and SECRET not in text + result.err, result
    assert "--password *** --token=***" in text
    assert "--json" in args or not CONTROL.search(text)


def test_no_secret_of_the_environment(target, folder):
    busy = target("busy.py", env={**os.environ, "PASSWORD": SECRET})
    result = uncoil("record", "-d", "0.2", "-p", str(busy.pid), "-o", folder / "x.uncoil")
    assert result.code == 0 and SECRET.encode() not in (folder / "x.uncoil").read_bytes()


def test_hostile_program_name(start, folder, assert_failed):
    """Not a Python, and called so that its name would clear the terminal."""
    path = folder / "\x1b[2J\nuncoil: fine"
    os.link("/bin/sleep", path) if os.stat("/bin").st_dev == os.stat(folder).st_dev else None
    path.write_bytes(open("/bin/sleep", "rb").read()) if not path.exists() else None
    path.chmod(0o755)
    process = start(path, "60")
    result = uncoil("record", "-p", str(process.pid), "-o", "/tmp/never.svg")
    assert_failed(result, "is not a Python process")
    assert not re.search("\x1b", result.err) and not os.path.exists("/tmp/never.svg")
