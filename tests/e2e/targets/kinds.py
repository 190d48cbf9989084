# SPDX-License-Identifier: Apache-2.0
"""Begins and ends of every kind, always the same number of each.

    kinds.py plain       says "ready"; works for each byte "w" that it reads, and says "done"
                         for "f" a child that it forks works as well
    kinds.py hooked      the same, under sys.monitoring or sys.setprofile from before on
    kinds.py count       works, and prints what Python itself counts: {"begin": 1234, ...}

Between ready and done no Python code runs but the work: os.read() and os.write() are C. REPEAT: how
many times it works."""
import os
import sys

# compiled once: a new code object has to be instrumented first, and begins twice
EVALUATED = compile("leaf(1)", "evaluated", "eval")
REPEAT = int(sys.argv[2]) if len(sys.argv) > 2 else 1
MADE = 0
GENEXPRS = 0


def made(value):
    global MADE
    MADE += 1
    return value


def leaf(n):
    return n


def nothing(n):
    pass


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def deep(n):
    return deep(n - 1) + 1 if n else 0


def counter(n):
    for i in range(n):
        yield i + 1


def delegating(n):
    yield from made(counter(n))
    yield from made(counter(n))
    return 7


def failing(n):
    if n % 3 == 0:
        raise ValueError(n)
    return n


def passing(n):
    return failing(n)


def catching(n):
    try:
        return passing(n)
    except ValueError:
        return -1


def guarded(n):
    try:
        for i in range(n):
            try:
                yield i + 1
            except KeyError:
                yield -1
    finally:
        leaf(0)


def raising(n):
    yield n + 1
    raise RuntimeError("ends by exception")


class Steps:
    def __init__(self, n):
        self.n = n

    def __await__(self):
        for i in range(self.n):
            yield i + 1
        return self.n


async def inner(n):
    return await made(Steps(n))


async def outer(n):
    return await made(inner(n)) + await made(inner(n + 1))


async def ticks(n):
    for i in range(n):
        await made(Steps(1))
        yield i


async def ticking(n):
    total = 0
    async for i in made(ticks(n)):
        total += i
    return total


def drive(coro):
    steps = 0
    while True:
        try:
            coro.send(None)
        except StopIteration as stop:
            return steps, stop.value
        steps += 1


class Thing:
    def __init__(self, n):
        self.n = n

    def __lt__(self, other):
        return self.n < other.n

    def __enter__(self):
        return self

    def __exit__(self, *what):
        return True

    @property
    def double(self):
        return self.n * 2


def calls():
    global GENEXPRS
    for i in range(2000):
        leaf(i)
        nothing(i)
    fib(12)
    deep(200)
    list(map(leaf, range(500)))
    sorted([Thing(n % 17) for n in range(60)])
    GENEXPRS += 1
    sum(t.double for t in made([Thing(n) for n in range(50)]))
    for i in range(100):
        with Thing(i):
            raise OSError
    eval(EVALUATED)
    (lambda *a, **k: leaf(a))(1, 2, x=3)
    leaf(*(1,))


def generators():
    for i in range(20):
        list(made(counter(100)))
        list(made(delegating(10)))
    for i in range(30):
        g = made(guarded(5))
        next(g)
        g.throw(KeyError)
        next(g)
        g.close()
        h = made(guarded(5))
        next(h)
        try:
            h.throw(TypeError)
        except TypeError:
            pass
        del h
        # closed and freed from the stack: a local would live on in the dict that setprofile makes
        # before 3.11, and end where Python does not look
        next(made(guarded(3)))
        made(counter(3))
    for i in range(40):
        try:
            list(made(raising(i)))
        except RuntimeError:
            pass


def coroutines():
    for i in range(20):
        drive(made(outer(i)))
        drive(made(ticking(i)))


def exceptions():
    for i in range(300):
        catching(i)
    for i in range(100):
        try:
            next(made(guarded(0)))
        except StopIteration:
            pass


def work():
    assert fib(10) == 55 and deep(50) == 50
    calls()
    generators()
    coroutines()
    exceptions()


def hooks_on():
    """A callable of C's that takes whatever it is given: no Python code of its own runs."""
    if sys.version_info < (3, 12):
        sys.setprofile(slice)
        return
    m = sys.monitoring
    m.use_tool_id(3, "kinds")
    events = m.events
    wanted = (events.PY_START, events.PY_RESUME, events.PY_RETURN, events.PY_YIELD)
    for event in wanted:
        m.register_callback(3, event, slice)
    m.set_events(3, sum(wanted))


class Monitoring:
    """sys.monitoring's own counts, 3.12 on."""
    KINDS = {"PY_START": "start", "PY_RESUME": "resume", "PY_THROW": "throw",
             "PY_RETURN": "return", "PY_YIELD": "yield", "PY_UNWIND": "unwind"}

    def __enter__(self):
        m = sys.monitoring
        m.use_tool_id(3, "kinds")
        self.counts = dict.fromkeys(self.KINDS.values(), 0)
        for name, kind in self.KINDS.items():
            m.register_callback(3, getattr(m.events, name), self.callback(kind))
        m.set_events(3, sum(getattr(m.events, name) for name in self.KINDS))
        return self

    def callback(self, kind):
        counts = self.counts
        own = (Monitoring.__enter__.__code__, Monitoring.__exit__.__code__)

        def count(code, *what):
            if code not in own:
                counts[kind] += 1
        return count

    def __exit__(self, *what):
        sys.monitoring.set_events(3, 0)

    def result(self):
        c = self.counts
        c["begin"] = c["start"] + c["resume"]
        c["clear"] = c["return"] + c["unwind"]
        return c


class Profile:
    """Before 3.12: sys.setprofile's calls and returns, told apart by the opcode at which they come."""

    def __enter__(self):
        import opcode
        self.names = opcode.opname
        self.yield_from = bytes([opcode.opmap.get("YIELD_FROM", 0)])
        self.counts = dict.fromkeys(["enter", "leave", "begin", "throw", "return", "yield",
                                     "delegate", "unwind"], 0)
        self.own = (Profile.__enter__.__code__, Profile.__exit__.__code__)
        sys.setprofile(self.event)
        return self

    def event(self, frame, event, arg):
        counts, code = self.counts, frame.f_code
        if event not in ("call", "return") or code in self.own:
            return
        at = frame.f_lasti
        name = self.names[code.co_code[at]] if at >= 0 else ""
        if sys.version_info < (3, 11) and code.co_code[at + 2:at + 3] == self.yield_from:
            name = "YIELD_FROM"  # it is set back, to be executed again
        if event == "call":
            counts["enter"] += 1
            counts["begin" if name == "RESUME" else "throw"] += 1
            return
        counts["leave"] += 1
        if name == "RETURN_VALUE":
            counts["return"] += 1
        elif name == "YIELD_VALUE" and arg is not None:
            counts["yield"] += 1
        elif name == "YIELD_FROM" and arg is not None:
            pass
        else:
            counts["unwind"] += 1

    def __exit__(self, *what):
        sys.setprofile(None)

    def opcodes(self, frame, event, arg):
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        code = frame.f_code.co_code
        if event == "opcode" and code[frame.f_lasti] == self.yield_from[0]:
            self.counts["delegate"] += 1
        return self.opcodes

    def result(self):
        if sys.version_info >= (3, 11):
            del self.counts["enter"], self.counts["leave"], self.counts["delegate"]
            return self.counts
        # what is left is executed without its function suspending: to be seen by opcode only
        sys.settrace(self.opcodes)
        for _ in range(REPEAT):
            work()
        sys.settrace(None)
        del self.counts["begin"], self.counts["throw"]
        return self.counts


def main(mode):
    if mode == "count":
        oracle = Monitoring() if sys.version_info >= (3, 12) else Profile()
        with oracle:
            for _ in range(REPEAT):
                work()
        # what nothing else counts. Since 3.15 a generator expression has a RESUME more, before it is made
        counts = {"make": MADE, "genexpr": GENEXPRS if sys.version_info >= (3, 15) else 0}
        counts.update(oracle.result())
        print(counts)
        return
    if mode == "hooked":
        hooks_on()
        work()
    os.write(1, b"ready\n")
    byte = os.read(0, 1)
    while byte:
        child = os.fork() if byte == b"f" else None
        for _ in range(REPEAT):
            work()
        if child == 0:
            os._exit(7)
        assert not child or os.waitpid(child, 0)[1] == 7 << 8
        os.write(1, b"done\n")
        byte = os.read(0, 1)


if __name__ == "__main__":
    main(sys.argv[1])
