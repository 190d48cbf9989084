# SPDX-License-Identifier: Apache-2.0
"""Whatever can be a name is a bad one. The functions' names: f%d by number in NAMES."""
import ctypes
import sys
import threading
import time

NAMES = [
    "</script><script>alert(1)</script>", "a&b&amp;&#0;&bogus;", "<b>bold</b>", "]]>", "<!--",
    "\x1b[31mred\x1b]0;title\x07", "two\nlines", "carriage\rreturn", "tab\tand\vmore", "semi;colon",
    "quote\"'`", "nul\0here", "surrogate\udcff\ud800", "right\u202eto\u202cleft\u2066x\u2069",
    "c1\x9b31m\x85\x7f", "line\u2028para\u2029", "\ufffe\uffff", "x" * 10240, "ü" * 5000,
    "\U0001f40d" * 3000, "", " ", "spaces at end 7", "(a (b:3", "[no interpreter found]", "%s%n%x",
    "\ufeffbom", "../../etc/passwd", "$(reboot)`reboot`", "e\u0301\u0301\u0301", "\x00\x01\x02",
]


def spin():
    end = time.thread_time() + .002
    while time.thread_time() < end: pass


def template():
    spin()


def renamed(**fields):
    return type(template)(template.__code__.replace(**fields), globals())


functions = []
for name in NAMES:
    functions.append(renamed(co_name=name))
    functions.append(renamed(co_name="in_file", co_filename="/srv/" + name + ".py"))
    if sys.version_info >= (3, 11):
        functions.append(renamed(co_name="f", co_qualname="Class." + name))
source = b"def undecodable(): spin()\n"
names = {"spin": spin}
exec(compile(source, b"/srv/\xff\xfe\x80.py".decode("utf-8", "surrogateescape"), "exec"), names)
functions.append(names["undecodable"])


def work(index):
    while True:
        for function in functions:
            function()
            if index % 7 == 1:
                time.sleep(.01)


prctl = ctypes.CDLL(None).prctl
prctl(15, b"\x1b[1m;<b>\xff\n", 0, 0, 0)  # PR_SET_NAME
for i, name in enumerate(NAMES):
    def named(i=i):
        prctl(15, NAMES[i].encode("utf-8", "replace")[:15], 0, 0, 0)
        spin()
        time.sleep(1e6)
    threading.Thread(target=named, name=name, daemon=True).start() if i else None
print("ready", flush=True)
for i in range(4):
    threading.Thread(target=work, args=(i,), name=NAMES[i], daemon=True).start()
while True:
    for name in NAMES[4:]:  # each thread gets to be seen
        thread = threading.Thread(target=spin, name=name)
        thread.start()
        thread.join()
