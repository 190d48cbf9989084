# SPDX-License-Identifier: Apache-2.0
"""Two children, one after the other, with the same process id: the first runs one function, the second
another, or another program (reused.py [PYTHON CODE])."""
import os
import sys
import time


def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass


def first():
    burn(.2)


def second():
    burn(.2)


def begin(function):
    pid = os.fork()
    if not pid:
        function()
        os._exit(0)
    return pid


def wait(pid):
    os.waitpid(pid, 0)


def again():
    if sys.argv[1:]:
        os.execv(sys.argv[1], [sys.argv[1], "-c", sys.argv[2]])
    second()


wanted = begin(first)
wait(wanted)
for _ in range(200):
    with open("/proc/sys/kernel/ns_last_pid", "w") as file:
        file.write(str(wanted - 1))
    go, come = os.pipe()
    pid = os.fork()
    if not pid:
        # somebody else may have been quicker: then nothing is run
        if os.getpid() == wanted:
            again()
        os._exit(0)
    os.close(go)
    os.close(come)
    wait(pid)
    if pid == wanted:
        print("reused", wanted, flush=True)
        break
else:
    print("busy", flush=True)
