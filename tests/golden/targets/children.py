# SPDX-License-Identifier: Apache-2.0
"""Once told to, forks a child and executes another, all with hostile names."""
import ctypes
import os
import signal
import sys
import time

NAMES = ["</script><b>&amp;", "\x1b[31mred", "two\nlines;semicolon", "right\u202eto left",
         "nul\0surrogate\udcff"]


def spin(seconds=.03):
    end = time.process_time() + seconds
    while time.process_time() < end: pass


def template():
    spin()


def hostile():
    ctypes.CDLL(None).prctl(15, b"\x1b[1m;<b>\xff\n", 0, 0, 0)  # PR_SET_NAME
    for name in NAMES:
        code = template.__code__.replace(co_name=name, co_qualname="Class." + name,
                                         co_filename="/srv/%s.py" % name)
        type(template)(code, globals())()


if "child" in sys.argv:
    hostile()
    sys.exit()
signal.signal(signal.SIGUSR1, lambda *_: None)
print("ready", flush=True)
signal.pause()
spin()
pid = os.fork()
if not pid:
    hostile()
    os._exit(0)
os.waitpid(pid, 0)
os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-IS", __file__, "child", "--password",
          "secret1", "\x1b[31m", "</script>")
