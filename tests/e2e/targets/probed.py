# SPDX-License-Identifier: Apache-2.0
"""Calls f() so often as it is told to, here or elsewhere: a line of input each, a line of output when it is done."""
import ctypes
import os
import sys
import threading

CALLS = 1000


def f():
    pass


def work():
    for _ in range(CALLS):
        f()


def elsewhere():
    """work() in a thread that has the process for itself: its main thread ends."""
    threading.Event().wait(.2)
    print("alone", flush=True)
    threading.Event().wait()


def main():
    to_child = 0
    work()
    work()  # specialised by now
    print("ready", flush=True)
    for word in map(str.strip, sys.stdin):
        if word == "work":
            work()
            print("done", flush=True)
        elif word == "thread":
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            print("done", flush=True)
        elif word == "fork":
            from_parent, to_child = os.pipe()
            child = os.fork()
            if not child:
                os.close(to_child)
                while os.read(from_parent, 1):
                    work()
                    print("done", flush=True)
                os._exit(0)
            os.close(from_parent)
            print(child, flush=True)
        elif word == "child":
            os.write(to_child, b"x")  # it says that it is done
        elif word == "leave":
            threading.Thread(target=elsewhere).start()
            ctypes.CDLL(None).pthread_exit(None)


main()
