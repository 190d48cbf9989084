# SPDX-License-Identifier: Apache-2.0
"""What holds of every trace, whatever was traced. A Trace is made of jsonl's objects, a Timeline of chrome's or
of what perfetto.py makes of the other format; `problems` has a sentence for each thing that cannot be:

	no activation ends before it begins;
	what runs on one track nests: two calls of a thread are apart, or one is within the other;
	a caller lasts as long as what it calls together, and its own time is the rest of its time;
	each call's caller and depth are those of the call that it is in;
	an exception is where one can be;
	a generator's span is from its first activation to its last, and its active time is that of all of them.

Calls that were left out on purpose (a filter, a bound) are no problem: `whole` says that none were, and then
depth, caller and own time must add up to the nanosecond."""
import collections

BEGAN = {"call", "resume", "throw", "before"}
ENDED = {"return", "yield", "raise", "open", "unseen"}
CALL = {"pid": int, "tid": int, "name": str, "start_ns": int, "end_ns": int, "depth": int, "began": str,
        "ended": str, "self_ns": int, "frame": str}
KNOWN = {"file": str, "line": int, "module": str, "exception": str, "caller": str, "caller_line": int}
TYPES = {"trace", "call", "raise", "catch", "span", "end"}


def label(call):
    return f"{call.get('name')} {call.get('start_ns')}..{call.get('end_ns')} of {call.get('tid')}"


class Problems(list):
    """No end of sentences helps anybody."""
    MAX = 200

    def say(self, *words):
        if len(self) < self.MAX:
            self.append(" ".join(map(str, words)))


class Trace:
    def __init__(self, lines, whole=True):
        self.problems = Problems()
        self.whole = whole
        self.lines = lines
        self.calls = [line for line in lines if line.get("type") == "call"]
        self.check_lines()
        self.calls = [call for call in self.calls if self.check_call(call)]
        # a greenlet's stack is not its thread's: what is within what is not told by the times
        self.parted = {(call["pid"], call["tid"]) for call in self.calls if call.get("parked")}
        for (pid, tid), calls in self.by(self.calls, "pid", "tid").items():
            if (pid, tid) not in self.parted:
                self.check_thread(calls)
        self.check_frames()
        self.check_exceptions()

    @staticmethod
    def by(lines, *keys):
        groups = collections.defaultdict(list)
        for line in lines:
            groups[tuple(line[key] for key in keys)].append(line)
        return groups

    def check_lines(self):
        say = self.problems.say
        kinds = [line.get("type") for line in self.lines]
        if not kinds or kinds[0] != "trace" or kinds.count("trace") != 1:
            say("the first line, and no other, is that of the trace")
        if not kinds or kinds[-1] != "end" or kinds.count("end") != 1:
            say("the last line, and no other, is that of the end: it was cut off")
        elif not isinstance(self.lines[-1].get("lost"), dict):
            say("the end does not tell what was lost")
        for kind in set(kinds) - TYPES:
            say("a line of an unknown type:", kind)

    def check_call(self, call):
        """False: nothing more can be said of it."""
        say = self.problems.say
        for key, kind in {**CALL, **{key: kind for key, kind in KNOWN.items() if key in call}}.items():
            if type(call.get(key)) is not kind:
                say(label(call), "has no", key, "that is", kind.__name__)
                return False
        if call["began"] not in BEGAN or call["ended"] not in ENDED:
            say(label(call), "began by", call["began"], "and ended by", call["ended"])
        if call["end_ns"] < call["start_ns"]:
            say(label(call), "ends before it begins")
            return False
        if not 0 <= call["self_ns"] <= call["end_ns"] - call["start_ns"]:
            say(label(call), "has an own time of", call["self_ns"])
        if call["depth"] < 0 or call.get("line", 1) < 1 or call.get("caller_line", 1) < 1:
            say(label(call), "has a number that is none")
        if (call["ended"] == "raise") < bool(call.get("exception")):
            say(label(call), "ended by", call["ended"], "and has an exception that left it")
        return True

    def check_thread(self, calls):
        """One thread's calls nest."""
        say = self.problems.say
        # a caller before what it calls, even if both begin or end in the same nanosecond
        calls.sort(key=lambda call: (call["start_ns"], call["depth"], -call["end_ns"]))
        stack, inner = [], {}
        for call in calls:
            while stack and stack[-1]["end_ns"] <= call["start_ns"] and not self.is_in(call, stack[-1]):
                stack.pop()
            parent = stack[-1] if stack else None
            if parent and call["end_ns"] > parent["end_ns"]:
                say(label(call), "overlaps", label(parent))
                stack.pop()
                continue
            self.check_parent(call, parent, len(stack))
            if parent:
                inner[id(parent)] = inner.get(id(parent), 0) + call["end_ns"] - call["start_ns"]
            stack.append(call)
        for call in calls:
            self.check_sum(call, inner.get(id(call), 0))

    @staticmethod
    def is_in(call, parent):
        """Of those that touch: an instant at the end of its caller is in it."""
        return call["start_ns"] == call["end_ns"] == parent["end_ns"] and call["depth"] > parent["depth"]

    def check_parent(self, call, parent, depth):
        say = self.problems.say
        if parent and call["depth"] <= parent["depth"]:
            say(label(call), "is in", label(parent), "and not deeper:", call["depth"], parent["depth"])
        if not self.whole:
            return
        if call["depth"] != depth:
            say(label(call), "has depth", call["depth"], "and is in", depth, "calls")
        name = parent["name"] if parent else None
        if call.get("caller") != name:
            say(label(call), "has the caller", call.get("caller"), "and is in", name)

    def check_sum(self, call, inner):
        duration = call["end_ns"] - call["start_ns"]
        if inner > duration:
            self.problems.say(label(call), "lasts", duration, "and what it calls", inner)
        elif self.whole and call["self_ns"] != duration - inner:
            self.problems.say(label(call), "has an own time of", call["self_ns"], "of", duration - inner)

    def check_frames(self):
        """Activations of one generator, one after the other, and its span."""
        say = self.problems.say
        spans = [line for line in self.lines if line.get("type") == "span"]
        whose = self.by([call for call in self.calls if call["began"] in ("resume", "throw")
                         or call["ended"] == "yield"], "pid", "frame", "name")
        for span in spans:
            if span["end_ns"] < span["start_ns"]:
                say("span of", label(span), "ends before it begins")
                continue
            own = [c for c in whose.get((span["pid"], span["frame"], span["name"]), [])
                   if span["start_ns"] <= c["start_ns"] and c["end_ns"] <= span["end_ns"]]
            active = sum(c["end_ns"] - c["start_ns"] for c in own)
            if not 0 <= span["active_ns"] <= span["end_ns"] - span["start_ns"]:
                say("span of", label(span), "was active for", span["active_ns"])
            if self.whole and own and active != span["active_ns"]:
                say("span of", label(span), "was active for", span["active_ns"], "and its activations for", active)
            if self.whole and own and len(own) != span.get("activations", len(own)):
                say("span of", label(span), "has", span["activations"], "activations, and there are", len(own))
            for call in own:
                call["spanned"] = True
            if self.whole and own and min(c["start_ns"] for c in own) != span["start_ns"]:
                say("span of", label(span), "begins before its first activation")
        if not spans:
            return
        for calls in whose.values():
            for call in calls:
                if self.whole and not call.get("spanned") and call["ended"] != "unseen":
                    say(label(call), "is of a generator, and in no span of it")

    def check_exceptions(self):
        """Each is raised or caught within a call of the function that it is told of, if that is there at all."""
        threads = self.by(self.calls, "pid", "tid", "name")
        for line in self.lines:
            if line.get("type") not in ("raise", "catch"):
                continue
            calls = threads.get((line["pid"], line["tid"], line["name"]), [])
            if self.whole and not any(c["start_ns"] <= line["ts_ns"] <= c["end_ns"] for c in calls):
                self.problems.say(line["type"], line.get("exception"), "at", line["ts_ns"], "in no call of", line["name"])
            if not line.get("exception"):
                self.problems.say(line["type"], "at", line["ts_ns"], "of no exception")


PHASES = set("XBEbneMistfC")


class Timeline:
    """Of chrome's events: slices of a track (pid, tid) nest, async ones (b, e) come in pairs by (category, id), a
    flow ends after it begins."""

    def __init__(self, document):
        self.problems = Problems()
        events = document["traceEvents"] if isinstance(document, dict) else document
        self.slices, self.spans, self.flows = [], [], []
        tracks, pairs, flows = collections.defaultdict(list), collections.defaultdict(list), {}
        for event in events:
            phase = event.get("ph")
            if phase not in PHASES:
                self.problems.say("an event of phase", phase)
            elif phase in "XBE":
                tracks[event["pid"], event["tid"]].append(event)
            elif phase in "bne":
                pairs[event["pid"], event.get("cat"), event["id"]].append(event)
            elif phase in "stf":
                flows.setdefault((event.get("cat"), event["id"]), []).append(event)
        for track in tracks.values():
            self.check_track(track)
        for key, pair in pairs.items():
            self.check_pair(key, pair)
        for key, flow in flows.items():
            self.check_flow(key, flow)

    @staticmethod
    def ns(us):
        return round(us * 1000)

    def check_track(self, events):
        """X as they are, B and E by their order; then as one."""
        say = self.problems.say
        slices, stack = [], []
        for event in events:
            at = self.ns(event["ts"])
            if event["ph"] == "X":
                if event["dur"] < 0:
                    say(event.get("name"), "at", at, "has a negative duration")
                    continue
                slices.append((at, at + self.ns(event["dur"]), event.get("name")))
            elif event["ph"] == "B":
                if stack and at < stack[-1][0]:
                    say(event.get("name"), "begins before", stack[-1][1], "in which it is")
                stack.append((at, event.get("name")))
            elif not stack:
                say("an end at", at, "of nothing")
            else:
                start, name = stack.pop()
                if event.get("name", name) != name:
                    say(event["name"], "ends where", name, "is open")
                if at < start:
                    say(name, "ends before it begins, at", at)
                slices.append((start, max(at, start), name))
        for start, name in stack:
            say(name, "at", start, "never ends")
        open_ = []
        for start, end, name in sorted(slices, key=lambda s: (s[0], -s[1])):
            while open_ and open_[-1][1] <= start:
                open_.pop()
            if open_ and end > open_[-1][1]:
                say(name, f"{start}..{end} overlaps", *open_[-1])
                continue
            open_.append((start, end, name))
        self.slices += slices

    def check_pair(self, key, events):
        say = self.problems.say
        stack = []
        for event in events:
            at = self.ns(event["ts"])
            if event["ph"] == "b":
                stack.append((at, event["name"]))
            elif event["ph"] == "e":
                if not stack:
                    say("an end at", at, "of no span", key)
                    continue
                start, name = stack.pop()
                if at < start:
                    say("span of", name, "ends before it begins, at", at)
                self.spans.append((start, at, name))
        for start, name in stack:
            say("span of", name, "at", start, "never ends")

    def check_flow(self, key, events):
        phases = [event["ph"] for event in events]
        at = [self.ns(event["ts"]) for event in sorted(events, key=lambda event: "stf".index(event["ph"]))]
        phases.sort(key="stf".index)
        if phases[0] != "s" or phases.count("s") != 1 or phases[-1] != "f" or phases.count("f") != 1:
            self.problems.say("flow", key, "is", "".join(phases))
        elif at != sorted(at):
            self.problems.say("flow", key, "ends before it begins")
        else:
            self.flows.append((at[0], at[-1]))
