# SPDX-License-Identifier: Apache-2.0
"""kin.py MODE: calls f(), makes children in one way, and calls f() again. A child waits a little and then calls
child_f(). As a worker: forks one that calls child_f() for each byte that it gets, as its parent does f()."""
import multiprocessing
import os
import subprocess
import sys
import time

CALLS = 1000
WAIT = .4  # by then a child has its probes


def f():
    pass


def child_f():
    pass


def parent():
    for _ in range(CALLS):
        f()


def child():
    time.sleep(WAIT)
    for _ in range(CALLS):
        child_f()


def forked():
    pid = os.fork()
    if not pid:
        child()
        os._exit(0)
    os.waitpid(pid, 0)


def pool(method):
    children = [multiprocessing.get_context(method).Process(target=child) for _ in range(2)]
    for process in children:
        process.start()
    for process in children:
        process.join()


def grand():
    """The child is gone before anybody can have heard of it."""
    if not os.fork():
        if not os.fork():
            child()
            os._exit(0)
        os._exit(0)
    os.wait()
    time.sleep(2 * WAIT)


def worker():
    mine, its = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        os.close(mine[1])
        while os.read(mine[0], 1):
            for _ in range(CALLS):
                child_f()
            os.write(its[1], b"x")
        os._exit(0)
    os.write(1, b"ready\n")
    for byte in iter(lambda: os.read(0, 1), b""):
        if byte == b"p":
            os.write(1, b"%d\n" % pid)
        elif byte == b"f":
            os.close(mine[1])
            os.waitpid(pid, 0)
            mine, its = os.pipe(), os.pipe()
            pid = os.fork()
            if not pid:
                os.close(mine[1])
                while os.read(mine[0], 1):
                    for _ in range(CALLS):
                        child_f()
                    os.write(its[1], b"x")
                os._exit(0)
            os.write(1, b"%d\n" % pid)
        else:
            parent()
            os.write(mine[1], b"x")
            os.read(its[0], 1)
            os.write(1, b"done\n")


def main():
    mode = sys.argv[1]
    if mode == "child":
        return child()
    if mode == "worker":
        return worker()
    parent()
    if mode in ("fork", "spawn"):
        pool(mode)
    elif mode == "os.fork":
        forked()
    elif mode == "grand":
        grand()
    elif mode == "subprocess":
        subprocess.run([sys.executable, __file__, "child"], check=True)
    elif mode == "shell":
        subprocess.run(f"'{sys.executable}' '{__file__}' child; true", shell=True, check=True)
    elif mode == "exec":
        os.execv(sys.executable, [sys.executable, __file__, "child"])
    parent()


if __name__ == "__main__":
    main()
