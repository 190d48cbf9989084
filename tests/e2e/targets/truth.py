# SPDX-License-Identifier: Apache-2.0
"""What a trace has to get right, always the same: calls, generators, coroutines, exceptions on all their ways,
frames and code objects at addresses that were another's a moment before.

    truth.py MODE SECTION,... FILE...   FILE: those that are imported, so that a Python in a root of its own gets them
        plain      says "ready"; works for each byte that it reads and says "done"; at the end prints facts
        hooked     the same, with sys.monitoring or sys.setprofile on, and a callable of C's as callback
        settrace   the same, under a trace function
        counted    the same, under the oracle, which it prints at the end
        count      works once more, under the oracle, and prints it

Each works once before. Between ready and done no Python code runs but the work: os.read() and os.write() are C. What is made is not
bound where it has to be freed at a certain place: a frame's dict of locals, which hooks make, lives longer."""
import sys

sys.dont_write_bytecode = True
import contextlib
import functools
import gc
import json
import operator
import os
import threading
import weakref

import chance
import kinds
import oracle
import suspends

FACTS = {}


# --- recursion

def deep(n):
    return deep(n - 1) + 1 if n else 0


def even(n):
    return n == 0 or odd(n - 1)


def odd(n):
    return n != 0 and even(n - 1)


def climb(n):
    """Raises at 60, caught by every seventh, again and again."""
    if n == 60:
        raise KeyError(n)
    if n % 7:
        return climb(n + 1)
    try:
        return climb(n + 1)
    except KeyError:
        if n > 20:
            raise
        return n


def in_a_thread(function, *args):
    """With a C stack for any depth."""
    before = threading.stack_size(512 << 20)
    thread = threading.Thread(target=function, args=args)
    thread.start()
    threading.stack_size(before)
    thread.join()


def dive():
    assert deep(9900) == 9900


def recursion():
    sys.setrecursionlimit(12000)
    in_a_thread(dive)
    sys.setrecursionlimit(1000)
    assert even(100) and not odd(100)
    for _ in range(20):
        assert climb(0) == 14


# --- comprehensions, lambdas

class Shelf:
    sizes = [len(word) for word in ("a", "bc", "def")]  # its own function before 3.13
    total = sum(size for size in sizes)


def comprehensions():
    for n in range(20):
        assert [x * x for x in range(n)][-1:] == [(n - 1) ** 2] * (n > 0)
        assert len({x: [y for y in range(x)] for x in range(5)}) == 5
        assert {(lambda y: y + 1)(x) for x in range(3)} == {1, 2, 3}
        assert sum(x for x in (y for y in range(n))) == n * (n - 1) // 2
        assert sum(1 for a in range(4) for b in (c for c in range(a) if c)) == 3
        assert list(map(lambda x, n=n: x + n, range(3))) == [n, n + 1, n + 2]


# --- classes

class Point:
    def __init__(self, x, y=0):
        if x == 13:
            raise ValueError(x)
        self.x, self.y = x, y

    def __lt__(self, other):
        return self.x < other.x

    def __eq__(self, other):
        if other.x == 7:
            raise TypeError("seven")
        return self.x == other.x

    __hash__ = None


class Point3(Point):
    def __init__(self, x, y, z):
        super().__init__(x, y)
        self.z = z

    def __new__(cls, *args):
        return super().__new__(cls)


class Answers:
    def __init__(self):
        return 1


class Meta(type):
    def __call__(cls, *args):
        return super().__call__(*args)


class Made(metaclass=Meta):
    def __init__(self, n):
        self.inner = Point(n) if n % 2 else None


class Slotted:
    __slots__ = ("a",)

    def __init__(self, a):
        self.a = [Point(i) for i in range(a)]


def answers():
    try:
        Answers()
    except TypeError:
        return 1
    return 0


def point(n):
    try:
        return Point(n % 20)
    except ValueError:
        return None


def classes():
    for n in range(400):
        point(n)
    for n in range(100):
        Point3(n + 14, 1, 2)
        Made(n + 14)
        Slotted(n % 5)
    assert sum(answers() for _ in range(50)) == 50


# --- called from C

@functools.lru_cache(maxsize=None)
def cached(n):
    return n if n < 2 else cached(n - 1) + cached(n - 2)


def key(n):
    return -n


def bad_key(n):
    if n == 5:
        raise LookupError(n)
    return n


def compare(a, b):
    return a - b


class Described:
    @property
    def there(self):
        return 1

    @property
    def missing(self):
        raise AttributeError("missing")

    def __length_hint__(self):
        raise TypeError("no hint")

    def __iter__(self):
        return self

    def __next__(self):
        self.left = getattr(self, "left", 5) - 1
        if self.left < 0:
            raise StopIteration
        return self.left

    @classmethod
    def of_class(cls):
        return cls

    @staticmethod
    def of_nobody(n):
        return n


def from_c():
    cached.cache_clear()
    assert cached(50) == 12586269025
    for _ in range(20):
        sorted(range(10), key=key)
        sorted(range(10), key=functools.cmp_to_key(compare))
        max([Point(1), Point(2), Point(3)], key=operator.attrgetter("x"))
        try:
            sorted(range(10), key=bad_key)
        except LookupError:
            pass
        functools.partial(compare, 3)(2)
        operator.methodcaller("of_nobody", 3)(Described())
        Described.of_class()
        # the same frame again and again, left by exceptions that C swallows: nothing of Python's in between
        assert not any(map(hasattr, [Described()] * 20, ["missing"] * 20))
        assert list(map(getattr, [Described()] * 6, ["missing", "there"] * 3, [0] * 6)) == [0, 1] * 3
        assert list(Described()) == [4, 3, 2, 1, 0]
        try:
            [Point(1), Point(7)].index(Point(7))
        except TypeError:
            pass


# --- exceptions

def fail(n):
    raise IndexError(n)


def through(n, down):
    return through(n, down - 1) if down else fail(n)


def same_frame(n):
    for i in range(n):
        try:
            raise KeyError(i)
        except KeyError:
            pass
    return n


def two_up(n):
    try:
        return through(n, 1)
    except IndexError:
        return kinds.leaf(n)


def reraised(n):
    try:
        through(n, 3)
    except IndexError:
        raise


def chained(n):
    try:
        reraised(n)
    except IndexError as error:
        raise ValueError(n) from error


def in_finally(n):
    try:
        chained(n)
    finally:
        raise OverflowError(n)


def suppressed(n):
    with contextlib.suppress(OverflowError):
        in_finally(n)
    return n


@contextlib.contextmanager
def managed(n):
    try:
        yield n + 1
    except IndexError:
        pass


def again_at_once(n):
    """The frames that an exception left are used again by the next call."""
    for i in range(n):
        try:
            through(i, i % 5)
        except IndexError:
            pass
        kinds.leaf(i)
        try:
            fail(i)
        except IndexError:
            fail_not(i)


def fail_not(n):
    return n


def by_generator(n):
    try:
        return sum(through(i, 2) for i in range(n))
    except IndexError:
        return 0


def exceptions():
    for n in range(1, 40):
        same_frame(5)
        two_up(n)
        suppressed(n)
        again_at_once(10)
        by_generator(n)
        with managed(n):
            fail(n)
        try:
            list(map(through, [1] * 4, [2] * 4))
        except IndexError:
            pass
        try:
            [x for x in range(4) if through(x, x)]
        except IndexError:
            pass
        try:
            (lambda: through(1, 25))()
        except IndexError:
            pass


# --- what is called when something is freed

class Noisy:
    def __init__(self, n):
        self.n = n

    def __del__(self):
        kinds.leaf(self.n)
        if self.n == 3:
            raise ValueError("of no consequence")


class Knot:
    def __del__(self):
        kinds.leaf(0)


def knot():
    knot = Knot()
    knot.self = knot


def on_death(ref):
    kinds.leaf(1)


def spend(a, b):
    return a, b


def unwinds(n):
    return spend(Noisy(n), fail(n))


def holds(n):
    thing = Noisy(n)
    return fail(thing.n)


def freed():
    sys.unraisablehook = str  # C's
    try:
        for n in range(20):
            Noisy(n % 5)
            for function in (unwinds, holds):
                try:
                    function(n % 5)
                except IndexError:
                    pass
            refs = [weakref.ref(Described(), on_death), weakref.ref(Point(1), on_death)]
            assert [ref() for ref in refs] == [None, None]
            knot()
            gc.collect()
    finally:
        sys.unraisablehook = sys.__unraisablehook__


# --- code objects that come and go, at the same addresses

def made():
    for n in range(150):
        names = {}
        exec(compile(f"def made_{n}(n):\n\treturn n + {n}", f"made_{n % 50}.py", "exec"), names)
        assert names.pop(f"made_{n}")(1) == n + 1
        assert eval(compile("\n" * (n % 30) + f"(lambda: {n})()", "lambdas.py", "eval")) == n
        names = {}


# --- threads

def worker(n):
    for _ in range(2):
        kinds.fib(8)
        list(suspends.tree(4))
        again_at_once(10)
        kinds.drive(suspends.level(3))
        list(map(hasattr, [Described()] * 20, ["missing"] * 20))


def threads():
    started = [threading.Thread(target=worker, args=(n,), name=f"worker-{n}") for n in range(8)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


# --- refused calls; not with an oracle, whose callbacks would be refused as well

def bottomless(n):
    FACTS["bottomless"] += 1
    return bottomless(n + 1)


def by_c(n):
    FACTS["by_c"] += 1
    return next(map(by_c, [n + 1]))


def refused():
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(150)
    for name, function in (("bottomless", bottomless), ("by_c", by_c)):
        FACTS[name] = 0
        for _ in range(3):
            try:
                function(0)
            except RecursionError:
                pass
    sys.setrecursionlimit(limit)


SECTIONS = {section.__name__: section for section in (
    recursion, comprehensions, classes, from_c, suspends.generators, suspends.coroutines, exceptions, freed,
    made, threads, refused)}
SECTIONS["kinds"] = kinds.work
SECTIONS["chance"] = chance.chance


def work(sections):
    for section in sections:
        section()


def hook(mode):
    if mode == "hooked":
        oracle.hooks_on()
    elif mode == "settrace":
        threading.settrace(oracle.trace)
        sys.settrace(oracle.trace)
    elif mode in ("count", "counted"):
        return oracle.oracle().__enter__()


def main(mode, sections):
    gc.disable()
    sys.setswitchinterval(1e-3)
    sections = [SECTIONS[name] for name in sections.split(",")]
    work(sections)  # what is specialised after some calls is, from here on
    hooks = hook(mode)
    if mode == "count":
        work(sections)
    else:
        os.write(1, b"ready\n")
        while os.read(0, 1):
            work(sections)
            os.write(1, b"done\n")
    if hooks:
        hooks.__exit__()
        print(json.dumps([f for f in hooks.functions() if f[2] != "hook"]))
    else:
        sys.settrace(None)
        print(json.dumps(FACTS))


if __name__ == "__main__":
    main(*sys.argv[1:3])
