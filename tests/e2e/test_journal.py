# SPDX-License-Identifier: Apache-2.0
"""Journals that were cut off, changed or made to do harm: never a crash, never half an output."""

import os
import random
import struct
import zlib

import pytest

from conftest import CONTROL, TARGETS, uncoil

MAGIC = b"UNCOILJ\n"
HEAD = struct.Struct("<III")
META, RING, COUNTS, IMAGE, THREAD_NAME, CODE, TIMES, STATS, END = range(1, 10)


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    path = tmp_path_factory.mktemp("journal") / "x.uncoil"
    result = uncoil("record", "-s", "-r", "500", "-o", path, "--", "/usr/bin/python3.11",
                    TARGETS / "family.py", "fork")
    assert result.code == 0, result.err
    return path.read_bytes()


def records(data):
    """(where it begins, type, payload) of each."""
    at, found = len(MAGIC), []
    while at < len(data):
        kind, length, _ = HEAD.unpack_from(data, at)
        found.append((at, kind, data[at + HEAD.size:at + HEAD.size + length]))
        at += HEAD.size + length
    return found


def pack(kind, payload, length=None):
    length = len(payload) if length is None else length
    crc = zlib.crc32(payload, zlib.crc32(struct.pack("<II", kind, length)))
    return HEAD.pack(kind, length, crc) + payload


def build(parts):
    return MAGIC + b"".join(pack(kind, payload) for kind, payload in parts)


def parts(data):
    return [(kind, payload) for _, kind, payload in records(data)]


@pytest.fixture
def replay(folder):
    """replay(bytes) -> Result; asserts that it ended in one of the ways it may."""
    (folder / "out").mkdir()

    def run(data, *outputs):
        (folder / "x.uncoil").write_bytes(data)
        outputs = outputs or ("x.svg", "x.folded", "x.txt")
        result = uncoil("replay", folder / "x.uncoil",
                        *sum((["-o", folder / "out" / name] for name in outputs), []), timeout=10)
        written = sorted(os.listdir(folder / "out"))
        assert result.code in (0, 1, 3), result
        assert not CONTROL.search(result.err)
        if result.code == 1:
            assert result.err.startswith("uncoil replay: cannot replay "), result.err
            assert result.err.count("\n") == 1
            assert not written
        else:
            assert written == sorted(outputs)
        for name in written:
            os.unlink(folder / "out" / name)
        return result
    return run


def test_whole(replay, journal):
    assert replay(journal).code == 0
    assert replay(build(parts(journal))).code == 0


def test_truncated(replay, journal):
    random.seed(2)
    begins = [at for at, _, _ in records(journal)] + [len(journal)]
    cuts = {at + more for at in begins for more in (-1, 0, 1)}
    if len(cuts) > 250:
        cuts = set(random.sample(sorted(cuts), 200)) | {at + d for at in begins[:5] + begins[-5:]
                                                        for d in (-1, 0, 1)}
    cuts |= {random.randrange(len(journal)) for _ in range(100)} | set(range(24))
    for cut in sorted(cut for cut in cuts if 0 <= cut < len(journal)):
        result = replay(journal[:cut], "x.svg")
        assert result.code == 1, cut
        assert "truncated" in result.err or cut < 8 and "not a journal" in result.err
    assert replay(journal + b"\0").code == 1


def test_flipped(replay, journal):
    random.seed(3)
    for position in random.sample(range(len(journal)), 300):
        data = bytearray(journal)
        data[position] ^= random.choice([1, 0x80, 0xff, random.randrange(1, 256)])
        result = replay(bytes(data), "x.svg")
        assert result.code == 1, position


def mutate(payload):
    data = bytearray(payload)
    for _ in range(random.choice([1, 1, 2, 8])):
        how = random.randrange(4)
        at = random.randrange(len(data)) if data else 0
        if how == 0 and data:
            data[at] = random.randrange(256)
        elif how == 1 and len(data) >= 4:
            at = random.randrange(len(data) - 3) & ~3
            data[at:at + 4] = struct.pack("<I", random.choice([0, 1, 2 ** 31, 2 ** 32 - 1, 600]))
        elif how == 2:
            del data[at:]
        else:
            data += os.urandom(random.randrange(64))
    return bytes(data)


def test_wrong_with_right_checksums(replay, journal):
    """What a checksum does not catch: journals that someone has made."""
    random.seed(4)
    original = parts(journal)
    for _ in range(300):
        changed = list(original)
        for _ in range(random.choice([1, 1, 3, 20])):
            at = random.randrange(len(changed))
            kind, payload = changed[at]
            how = random.randrange(5)
            if how < 2:
                changed[at] = kind, mutate(payload)
            elif how == 2:
                changed[at] = random.randrange(0, 10), payload
            elif how == 3:
                changed.insert(random.randrange(len(changed)), changed[at])
            else:
                del changed[at]
        replay(build(changed), "x.svg", "x.folded", "x.txt")


@pytest.mark.parametrize("kind", range(1, 9))
def test_without_records_of_a_kind(replay, journal, kind):
    result = replay(build([(k, p) for k, p in parts(journal) if k != kind]))
    if kind in (META, END):
        assert result.code == 1
    elif kind in (STATS, THREAD_NAME, CODE):
        assert result.code in (0, 1, 3)


def test_endless_loop_of_images(replay, journal):
    """Forks whose parent is their own child."""
    forks = [(k, p) for k, p in parts(journal) if k == RING and p[:2] == b"\x04\0"]
    assert forks
    data = bytearray(forks[0][1])
    own, parent = data[16:20], data[40:44]
    data[16:20], data[40:44] = parent, own
    circle = [(RING, bytes(data)), forks[0], (RING, bytes(data))]
    every = parts(journal)
    replay(build(every[:-2] + circle + every[-2:]))


def test_very_large_counts(replay, journal):
    """Sums that overflow."""
    changed = [(k, p) for k, p in parts(journal)]
    for i, (kind, payload) in enumerate(changed):
        if kind == COUNTS:
            data = bytearray(payload)
            for at in range(16, len(data), 24):
                data[at:at + 8] = b"\xff" * 8
            changed[i] = kind, bytes(data)
    replay(build(changed))


@pytest.mark.parametrize("length", [0, 2 ** 20, 2 ** 20 + 1, 2 ** 32 - 1])
def test_lengths(replay, length):
    result = replay(MAGIC + pack(META, b"", length))
    assert result.code == 1


def no_file(folder):
    return folder / "none", "No such file"


def directory(folder):
    (folder / "d").mkdir()
    return folder / "d", "Is a directory"


def fifo(folder):
    os.mkfifo(folder / "f")
    return folder / "f", "Invalid argument"


def empty(folder):
    (folder / "e").write_bytes(b"")
    return folder / "e", "not a journal"


def other(folder):
    return "/bin/true", "not a journal"


def zeros(_):
    return "/dev/zero", "Invalid argument"


def sparse(folder):
    with open(folder / "s", "wb") as file:
        file.write(MAGIC)
        file.truncate(100 << 30)
    return folder / "s", "corrupt"


def hostile(folder):
    return folder / "no\x1b[31m\nuncoil: fine", r"no\x1b[31m\x0auncoil: fine: No such file"


@pytest.mark.parametrize("case", [no_file, directory, fifo, empty, other, zeros, sparse, hostile])
def test_not_a_journal(folder, case):
    path, words = case(folder)
    result = uncoil("replay", path, "-o", folder / "x.svg")
    assert result.code == 1 and result.seconds < 2
    assert result.err.startswith("uncoil replay: cannot replay ") and words in result.err
    assert result.err.count("\n") == 1
    assert not (folder / "x.svg").exists()


def test_replay_onto_itself(folder, journal):
    path = folder / "x.uncoil"
    path.write_bytes(journal)
    result = uncoil("replay", path, "-o", path)
    assert result.code == 1 and "a replay writes no journal" in result.err
    assert path.read_bytes() == journal
    result = uncoil("replay", path, "-f", "folded", "-o", path)  # asked for, and it works
    assert result.code == 0 and b"child_function" in path.read_bytes()


def test_unreadable_as_nobody(folder, journal):
    from conftest import UNCOIL, as_nobody
    (folder / "uncoil").write_bytes(open(UNCOIL, "rb").read())
    (folder / "uncoil").chmod(0o755)
    (folder / "x.uncoil").write_bytes(journal)
    (folder / "x.uncoil").chmod(0o600)
    result = uncoil("replay", folder / "x.uncoil", "-f", "folded", "-o", "-",
                    program=folder / "uncoil", preexec_fn=as_nobody)
    assert result.code == 1 and "Permission denied" in result.err and result.out == b""
