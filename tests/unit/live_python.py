# SPDX-License-Identifier: Apache-2.0
"""The other side of test_live_python.c: says where its objects are and what they are, one fact a
line, fields separated by tabs, then waits for the end of its input. Runs on 3.8 and later."""
import ctypes
import os
import sys
import sysconfig
import threading

sys.stdout.reconfigure(encoding="utf-8", newline="\n")
addr2line = ctypes.pythonapi.PyCode_Addr2Line
addr2line.argtypes = [ctypes.py_object, ctypes.c_int]
keep = []


def clean(text):
    """What text_clean() and object_str() make of it."""
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else "\u2400" if c == "\0" else c
                   for c in text)


def fact(*fields):
    sys.stdout.write("\t".join(str(f) for f in fields) + "\n")


def codes_of(code):
    yield code
    for const in code.co_consts:
        if hasattr(const, "co_code"):
            yield from codes_of(const)


def tell_code(code):
    keep.append(code)
    name = getattr(code, "co_qualname", code.co_name)
    fact("code", id(code), code.co_firstlineno, clean(name), clean(code.co_filename))
    unit = 2 if sys.version_info[:2] == (3, 10) else 1
    lines = []
    for a in range(0, len(code.co_code), 2):
        line = addr2line(code, a)
        lines.append("%d:%d" % (a // unit, max(line, 0)))
    fact("lines", " ".join(lines))


def function(a, b):
    def näme(x):
        return (x +
                b(x))

    return [lambda: (a,
                     näme) for _ in b]


class Klasse:
    class 内部:
        def метод(self): yield self

    async def co(self):
        async with self as x:
            await x


def tell_codes():
    for code in codes_of(compile(open(__file__, encoding="utf-8").read(), __file__, "exec")):
        tell_code(code)
    for f in (function, Klasse.内部.метод, Klasse.co, threading.Thread.run, os.walk):
        tell_code(f.__code__)
    for name in ("", "a" * 100, "a\0b", "\ud800x", "</script>", "\U0001f40d" * 9, "é" * 200):
        code = function.__code__.replace(co_name=name, co_filename=name + "/x")
        if sys.version_info >= (3, 11):
            code = code.replace(co_qualname=name)
        tell_code(code)


def tell_dict(d):
    keep.append(d)
    fact("dict", id(d), " ".join("%d:%d" % (id(k), id(v)) for k, v in d.items()) or "-")


def tell_dicts():
    tell_dict({})
    tell_dict({"a": 1})
    tell_dict({i: i for i in range(10)})
    tell_dict({1: 2, "x": 3, None: 4})
    tell_dict({str(i): i for i in range(300)})
    tell_dict({i: str(i) for i in range(100000 // 2)})
    holes = {str(i): i for i in range(1000)}
    for i in range(0, 1000, 3):
        del holes[str(i)]
    tell_dict(holes)
    tell_dict(sys.modules)
    tell_dict(vars(threading))


def tell_attrs():
    class Plain:
        pass

    class Slots:
        __slots__ = ("x", "__dict__")

    class Error(Exception):
        pass

    class List(list):
        pass

    class Sub(Plain):
        pass

    objects = []
    for cls in (Plain, Slots, Error, List, Sub):
        for how in ("split", "vars", "many", "deleted", "empty", "order", "replaced"):
            o = cls()
            objects.append((o, how))
            if how == "empty":
                continue
            if how == "order":
                o.late = []
            o.attr = []
            o.other = []
            if how == "vars":
                vars(o)["more"] = []
            elif how == "many":
                for i in range(50):
                    setattr(o, "attr%d" % i, [])
            elif how == "deleted":
                del o.attr
            elif how == "replaced":
                o.__dict__ = {"attr": []}
    keep.append(objects)
    objects.append((threading, "module"))
    threading.attr = []
    for o, how in objects:
        value = getattr(o, "attr", None)
        fact("attr", id(o), 0 if value is None else id(value), type(o).__name__ + "/" + how)


def tell_module(d):
    keep.append(d)
    name = d.get("__name__")
    if isinstance(name, str):
        fact("module", id(d), clean(name).encode()[:512].decode("utf-8", "ignore"))
    else:
        fact("module", id(d))


def tell_modules():
    class Namespace:
        pass

    class Dict(dict):
        pass

    tell_module(globals())  # the first one teaches the key
    for name in sorted(sys.modules):
        tell_module(vars(sys.modules[name]))
    tell_module({})
    exec("def f(): pass", {})
    for cnt in (0, 1, 4, 5, 100, 127, 128, 10000, 140000):
        names = {"name%d" % i: i for i in range(cnt)}
        tell_module(dict(names))
        exec("def f(): pass\n__name__ = 'of %d'" % cnt, names)
        tell_module(names)
        tell_module({**names, cnt: None})  # a table of any keys
        holes = [dict(names) for _ in range(3)]
        for d in holes:
            for i in range(0, cnt, 2):
                del d["name%d" % i]
        holes[1]["__name__"] = "again"
        del holes[2]["__name__"]
        for d in holes:
            tell_module(d)
    split = [Namespace(), Namespace()]
    for o in split:
        o.x = o.y = 1
        o.__name__ = "split"
    del split[1].__name__
    for o in split:
        tell_module(vars(o))
    tell_module({"".join(["__na", "me__"]): "no interned key"})
    tell_module(Dict(__name__="of a subclass"))
    for name in ("", "a.b", "m" * 600, "名" * 300, "\0\ud800\U0001f40d", 7, None, b"m"):
        tell_module({"__builtins__": {}, "__name__": name})


def tell_threads():
    ready = threading.Barrier(8)

    def run():
        ready.wait()
        sys.stdin.read()

    names = ["plain", "mit Ümlaut", "名前", "\U0001f40d snake", "", "名" * 100, "zero\0 \ud800"]
    threads = [threading.Thread(target=run, name=n, daemon=True) for n in names]
    for t in threads:
        t.start()
    ready.wait()
    vars(threads[1])["extra"] = 1
    threads[2].extra = 1
    assert threads[3].__dict__
    for i in range(40):
        setattr(threads[4], "extra%d" % i, i)
    threads[6].name += " renamed"
    for t in threads + [threading.main_thread()]:
        text = clean(t.name).encode()[:256].decode("utf-8", "ignore")
        fact("thread", t.ident, text)
    fact("nothread", 12345)


def main():
    get = getattr(ctypes.pythonapi, "PyInterpreterState_Get", None) \
        if sys.version_info >= (3, 9) else ctypes.pythonapi._PyInterpreterState_Get
    get.restype = ctypes.c_void_p
    build = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else \
        "d" if hasattr(sys, "gettotalrefcount") else "-"
    fact("version", *sys.version_info[:2], build)
    fact("interp", get())
    tell_codes()
    tell_attrs()
    tell_dicts()
    tell_modules()
    tell_threads()
    fact("end")
    sys.stdout.flush()
    sys.stdin.read()


main()
