# SPDX-License-Identifier: Apache-2.0
"""Two threads, each of which runs code of the main interpreter and of one of its own in turns, so
many times; at the end each tells how much CPU time which function used. `packing` runs without the
GIL: no thread state is current then."""
import sys
import threading

try:
    import _interpreters as interpreters  # 3.13 and later
except ImportError:
    import _xxsubinterpreters as interpreters

SOURCE = """
import sys, time, zlib
clock = time.thread_time
data = bytes(range(256)) * 2000
used = {}

def inside_THREAD(seconds):
    start = clock()
    while clock() < start + seconds: pass
    used["inside_THREAD"] = used.get("inside_THREAD", 0) + clock() - start

def packing_THREAD(times):
    start = clock()
    for _ in range(times):
        zlib.compress(data, 6)
    used["packing_THREAD"] = used.get("packing_THREAD", 0) + clock() - start

def outside_THREAD(seconds):
    start = clock()
    while clock() < start + seconds: pass
    used["outside_THREAD"] = used.get("outside_THREAD", 0) + clock() - start

def tell(where):
    for name, seconds in used.items():
        sys.stdout.write("used %s %s %.4f\\n" % (where, name, seconds))
    sys.stdout.flush()
"""


def run(thread, times):
    source, inner, outer = SOURCE.replace("THREAD", thread), interpreters.create(), {}
    exec(source, outer)
    interpreters.run_string(inner, source)
    for _ in range(times):
        outer["outside_" + thread](.007)
        interpreters.run_string(inner, "inside_%s(.011)" % thread)
        interpreters.run_string(inner, "packing_%s(2)" % thread)
        outer["packing_" + thread](1)
        outer["outside_" + thread](.002)
    interpreters.run_string(inner, "tell('inner')")
    outer["tell"]("outer")
    interpreters.destroy(inner)


other = threading.Thread(target=run, args=("other", int(sys.argv[1])))
other.start()
if sys.version_info < (3, 12):
    other.join()  # one GIL for all, and no interpreter hears that another one asks for it
run("main", int(sys.argv[1]))
other.join()
