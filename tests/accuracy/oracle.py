# SPDX-License-Identifier: Apache-2.0
"""Which stacks can exist? Asked of a program's source, and of nothing that uncoil does.

A program's text is parsed into a grammar: for each function the lines that it has, and for each of
its lines the functions that can be called there. A stack is possible if it begins at <module> (or
where the program says that one begins), each frame stands on a line of its caller that calls it, and
the leaf stands on one of its own lines. What the text does not show is said in comments of the
programs:

    # calls: a b          what is called on this line through C, or otherwise not by a name
    # before 3.10 calls: a b
    # into a library      a function of the standard library is called here;
    # from a library      this function is called by one
    # root                a stack may begin with this function
    # at most: N          so often at most is this function on a stack
    # library roots: a b  stacks may begin with these functions of a library
    # made: D             code that was made at run time, of a generation whose last digit is D

Names must be unique in a program. A leaf without a line is no error: some instructions have none."""

import ast
import collections
import re

Frame = collections.namedtuple("Frame", "name file line")
COMPREHENSIONS = {ast.ListComp: "<listcomp>", ast.SetComp: "<setcomp>", ast.DictComp: "<dictcomp>"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
UNREAD = "? (name not read)"
COLLECTOR = {"[garbage collection]", "[during garbage collection]"}
MADE = re.compile(r"(outer|inner|innermost)_(\d+)")
MADE_LINES = {"outer": (0, 1), "inner": (2, 3), "innermost": (4, 4), "<module>": (0, 4)}
FRAME = re.compile(r"(.*?)(?: \((.*?)(?::(\d+))?\))?")


def folded(text):
    """(frames, count) of each line of folded stacks."""
    for line in text.split("\n")[:-1]:
        stack, count = line.rsplit(" ", 1)
        frames = []
        for each in stack.split(";"):
            name, file, number = FRAME.fullmatch(each).groups()
            frames.append(Frame(name.rsplit(".", 1)[-1], file, number and int(number)))
        yield frames, int(count)


class Grammar:
    def __init__(self, path, version):
        """`version`: (3, 11). Comprehensions have frames of their own before 3.12."""
        # relative to where the program was started, or whole: one in a root of its own is started there
        self.file, self.names = path.name, {path.name, str(path)}
        self.version = version
        self.inlined = version >= (3, 12)
        self.lines = collections.defaultdict(set)  # function -> its lines
        self.calls = collections.defaultdict(set)  # (function, line) -> functions called there
        self.at_most, self.made = {}, {}
        self.roots, self.library_roots = {"<module>"}, set()
        self.into, self.out_of = set(), set()
        text = path.read_text()
        self.tree = ast.parse(text)
        self.classes = {n.name: n for n in ast.walk(self.tree) if isinstance(n, ast.ClassDef)}
        self.visit("<module>", self.tree)
        self.comments(text.split("\n"))

    def visit(self, name, node):
        """All that belongs to the frame `name`, which begins at `node`."""
        if hasattr(node, "lineno"):
            self.lines[name].add(node.lineno)
        for child in ast.iter_child_nodes(node):
            self.look(name, child)

    def look(self, name, node):
        if hasattr(node, "lineno"):
            self.lines[name].add(node.lineno)
        if isinstance(node, FUNCTIONS):
            self.visit(getattr(node, "name", "<lambda>"), node)
        elif isinstance(node, ast.GeneratorExp) or \
                (type(node) in COMPREHENSIONS and not self.inlined):
            inner = COMPREHENSIONS.get(type(node), "<genexpr>")
            self.calls[name, node.lineno].add(inner)
            self.look(name, node.generators[0].iter)
            self.visit(inner, node)
        elif isinstance(node, ast.ClassDef):
            self.calls[name, node.lineno].add(node.name)
            self.visit(node.name, node)
        else:
            if isinstance(node, ast.Call):
                self.calls[name, node.lineno] |= self.callees(node.func)
            for child in ast.iter_child_nodes(node):
                self.look(name, child)

    def callees(self, func):
        if not isinstance(func, ast.Name):
            return set()
        if func.id in self.classes:
            return {n.name for n in self.classes[func.id].body
                    if isinstance(n, ast.FunctionDef) and n.name in ("__init__", "__new__")}
        return {func.id}

    def comments(self, text):
        owners = collections.defaultdict(set)
        for name, lines in list(self.lines.items()):
            for line in lines:
                owners[line].add(name)
        for number, line in enumerate(text, 1):
            if "  # " not in line:
                continue
            code, comments = line.split("  # ", 1)
            defined = re.search(r"def (\w+)", code)
            for comment in comments.split("; "):
                self.comment(number, comment, defined, owners[number])

    def comment(self, number, comment, defined, owners):
        key, _, value = comment.partition(": ")
        if key == "calls" or (key == "before 3.10 calls" and self.version < (3, 10)):
            for name in owners:
                self.calls[name, number] |= set(value.split())
        elif key == "before 3.10 calls":
            pass
        elif key == "made":
            self.made[number] = int(value)
        elif key == "at most":
            self.at_most[defined[1]] = int(value)
        elif key == "library roots":
            self.library_roots |= set(value.split())
        elif key == "root":
            self.roots.add(defined[1])
        elif key == "into a library":
            self.into.add(number)
        elif key == "from a library":
            self.out_of.add(defined[1])
        else:
            raise ValueError(f"{self.file}:{number}: comment {comment!r} is not understood")

    def kind(self, frame):
        if frame.file in self.names:
            return "own"
        return "made" if frame.file and frame.file.startswith("<made-") else "library"

    def wrong(self, frames, rootless):
        """Why this stack cannot be; None if it can. `rootless`: its root end is known to be cut."""
        first, leaf = frames[0], frames[-1]
        kinds = [self.kind(frame) for frame in frames]
        if not rootless and first.name not in (self.roots if kinds[0] == "own" else
                                               self.library_roots):
            return f"no stack begins with {first.name}"
        for i in range(len(frames) - 1):
            if not self.follows(frames[i], kinds[i], frames[i + 1], kinds[i + 1]):
                return f"{show(frames[i])} does not call {show(frames[i + 1])}"
        if kinds[-1] == "own" and leaf.line and leaf.line not in self.lines[leaf.name]:
            return f"{show(leaf)} is not one of its lines"
        if kinds[-1] == "made" and leaf.line and not self.made_line(leaf):
            return f"{show(leaf)} is not one of its lines"
        for name, most in self.at_most.items():
            if sum(frame.name == name for frame in frames) > most:
                return f"{name} more than {most} times"
        return None

    def follows(self, caller, kind, callee, callee_kind):
        if kind == callee_kind == "library":
            return True
        if kind == "library":
            return callee_kind == "own" and callee.name in self.out_of
        if callee_kind == "library":
            return caller.line in self.into
        if callee_kind == "own":
            if callee.name not in self.calls[caller.name, caller.line] or kind != "own":
                return False
            # the frames of these are told apart by their line, which is their caller's
            return callee.name not in ("<listcomp>", "<genexpr>") or \
                callee.line in (caller.line, None)
        return self.follows_made(caller, kind, callee)

    @staticmethod
    def made_line(frame):
        match = MADE.fullmatch(frame.name)
        generation = int(frame.file[6:-1])
        if match and int(match[2]) != generation:
            return False
        if not match and frame.line == 1:
            return True  # where a module begins, whatever line its first statement has
        low, high = MADE_LINES[match[1] if match else frame.name]
        return low <= frame.line - (generation % 40 + 1) <= high

    def follows_made(self, caller, kind, callee):
        match = MADE.fullmatch(callee.name)
        if not match:
            return callee.name == "<module>" and "made" in self.calls[caller.name, caller.line]
        if callee.file != f"<made-{match[2]}>":
            return False
        if kind == "own":
            return match[1] == "outer" and self.made.get(caller.line) == int(match[2]) % 10
        by = {"inner": "outer", "innermost": "inner"}.get(match[1])
        return caller.name == f"{by}_{match[2]}" and \
            caller.line == int(match[2]) % 40 + 1 + MADE_LINES[by][1]


def show(frame):
    return f"{frame.name} ({frame.file}:{frame.line})"


class Verdict:
    """What the stacks of a program amount to."""

    def __init__(self):
        self.samples = self.impossible = self.cut = 0
        self.marked = collections.Counter()  # what uncoil said itself that it does not know -> samples
        self.why = collections.Counter()

    def judge(self, grammar, text):
        for frames, count in folded(text):
            self.samples += count
            frames = [frame for frame in frames if frame.name not in COLLECTOR]  # is nobody's caller
            marks = [frame.name for frame in frames if frame.name.startswith("[")]
            known = [frame for frame in frames if not frame.name.startswith("[")]
            for mark in marks:
                self.marked[mark] += count
            unread = any("?" in (frame.name, frame.file) for frame in known)
            if unread:  # and said so, in a remark
                self.marked[UNREAD] += count
            why = grammar.wrong(known, bool(marks)) if known and not unread else None
            if why:
                self.impossible += count
                shown = ";".join(map(show, known[:3] + known[-3:] if len(known) > 6 else known))
                self.why[f"{why}: {shown}"] += count
