# SPDX-License-Identifier: Apache-2.0
"""What Python itself says of its functions' begins and ends, function by function: sys.monitoring's events
from 3.12 on, before that sys.setprofile's, told apart by the opcode at which they come.

    with oracle() as seen:
        work()
    seen.functions()  [[file, first line, name, {"start": 3, "return": 3, ...}, [[caller, calls], ...]], ...]

The kinds are those of sys.monitoring: start, resume, throw, return, yield, unwind; before 3.11 "yield from" is
a kind of its own. Before 3.11 nothing tells a resumption from a throw(), and a generator that is thrown into
before it starts is a start. A yield of None is taken for an exception before 3.12: the programs yield other
things. A name is the qualified one, and before 3.11 the plain one. The oracle's own functions are not among
them."""
import collections
import sys
import threading

OLD = sys.version_info < (3, 12)


def name_of(code):
    return code.co_filename, code.co_firstlineno, getattr(code, "co_qualname", code.co_name)


class Counts:
    """Per thread, since += is not atomic."""

    def __init__(self):
        self.counts = {}  # no Counter: a part of that is written in Python
        self.edges = {}

    def count(self, kind, code, frame=None):
        if code.co_filename == __file__:
            return
        name, thread = name_of(code), threading.get_ident()
        key = thread, name, kind
        self.counts[key] = self.counts.get(key, 0) + 1
        if kind == "start" and frame:
            key = thread, name, name_of(frame.f_code)
            self.edges[key] = self.edges.get(key, 0) + 1

    def kinds(self):
        """kind -> how many, of all functions."""
        total = collections.Counter()
        for (_, _, kind), cnt in self.counts.items():
            total[kind] += cnt
        return total

    def functions(self):
        found = {}
        for (_, name, kind), cnt in self.counts.items():
            found.setdefault(name, (collections.Counter(), collections.Counter()))[0][kind] += cnt
        for (_, name, caller), cnt in self.edges.items():
            found[name][1][caller] += cnt
        return [[*name, dict(kinds), [[*edge] for edge in callers.items()]]
                for name, (kinds, callers) in sorted(found.items())]


class Monitoring(Counts):
    KINDS = {"PY_START": "start", "PY_RESUME": "resume", "PY_THROW": "throw",
             "PY_RETURN": "return", "PY_YIELD": "yield", "PY_UNWIND": "unwind"}
    TOOL = 4

    def __enter__(self):
        m = sys.monitoring
        m.use_tool_id(self.TOOL, "oracle")
        for name, kind in self.KINDS.items():
            m.register_callback(self.TOOL, getattr(m.events, name), self.callback(kind))
        m.set_events(self.TOOL, sum(getattr(m.events, name) for name in self.KINDS))
        return self

    def callback(self, kind):
        if kind == "start":
            return lambda code, *what: self.count(kind, code, sys._getframe(1).f_back)
        return lambda code, *what: self.count(kind, code)

    def __exit__(self, *what):
        sys.monitoring.set_events(self.TOOL, 0)
        sys.monitoring.free_tool_id(self.TOOL)


class Profile(Counts):
    def __enter__(self):
        import opcode
        self.names = opcode.opname
        self.yield_from = bytes([opcode.opmap.get("YIELD_FROM", 0)])
        self.code = {}  # copied anew at each look, from 3.11 on
        threading.setprofile(self.event)
        sys.setprofile(self.event)
        return self

    def event(self, frame, event, arg):
        code = frame.f_code
        if event == "call":
            kind = self.begin(code, frame.f_lasti)
            self.count(kind, code, frame.f_back)
        elif event == "return":
            self.count(self.end(code, frame.f_lasti, arg), code)

    def at(self, code, lasti):
        """(name, argument) of the instruction there."""
        if sys.version_info < (3, 11):
            text = code.co_code
        else:
            text = self.code.get(id(code), (None,))
            if text[0] is not code:  # which keeps it, and so its address, too: not if it comes by the thousand
                text = code, code.co_code
                if len(self.code) < 1000:
                    self.code[id(code)] = text
            text = text[1]
        return (self.names[text[lasti]], text[lasti + 1], text[lasti + 2:lasti + 3]) if lasti >= 0 else ("", 0, b"")

    def begin(self, code, lasti):
        if sys.version_info < (3, 11):
            return "start" if lasti < 0 else "resume"
        name, arg, _ = self.at(code, lasti)
        return "throw" if name != "RESUME" else "resume" if arg & 3 else "start"

    def end(self, code, lasti, arg):
        name, _, following = self.at(code, lasti)
        if name == "RETURN_VALUE":
            return "return"
        if arg is None:
            return "unwind"
        # YIELD_FROM is set back, to be executed again
        if sys.version_info < (3, 11) and following == self.yield_from:
            return "yield from"
        return "yield" if name == "YIELD_VALUE" else "unwind"

    def __exit__(self, *what):
        sys.setprofile(None)
        threading.setprofile(None)


def oracle():
    return Profile() if OLD else Monitoring()


def trace(frame, event, arg):
    """Line by line, as debuggers and coverage do."""
    return trace if frame.f_code.co_filename != __file__ else None


def hooks_on():
    """A callable of C's that takes whatever it is given: no Python code of its own runs."""
    if OLD:
        threading.setprofile(slice)
        sys.setprofile(slice)
        return
    m = sys.monitoring
    m.use_tool_id(3, "hooks")
    events = m.events
    wanted = (events.PY_START, events.PY_RESUME, events.PY_RETURN, events.PY_YIELD)
    for event in wanted:
        m.register_callback(3, event, slice)
    m.set_events(3, sum(wanted))
