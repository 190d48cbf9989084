# SPDX-License-Identifier: Apache-2.0
"""What inside.py looks at. argv: which; each says "ready", and what else is to be known, in one line."""

import os
import socket
import sys
import threading
import time


def burn():
    end = time.monotonic() + .2
    while time.monotonic() < end:
        sum(range(100))


def busy():
    print("ready", flush=True)
    while True:
        burn()


def deep(depth):
    depth = int(depth)
    if depth > 1:
        return deep(depth - 1)
    print("ready", flush=True)
    while True:
        burn()


def spinners():
    def one():
        while True:
            sum(range(100))

    def two():
        while True:
            sum(range(100))

    for function in (one, two):
        threading.Thread(target=function).start()
    print("ready", flush=True)


def family():
    def child():
        end = time.process_time() + .5
        while time.process_time() < end:
            pass

    for function in (child, lambda: os.execv(sys.executable, [sys.executable, __file__, "executed"])):
        pid = os.fork()
        if not pid:
            function()
            os._exit(0)
        os.waitpid(pid, 0)


def executed():
    end = time.process_time() + 1
    while time.process_time() < end:
        pass




def waits():
    def sleep():
        while True:
            time.sleep(.1)

    def receive(ours):
        while True:
            ours.recv(1)

    def lock(seconds):
        mutex = threading.Lock()
        mutex.acquire()
        while True:
            mutex.acquire(timeout=seconds)

    server = socket.create_server(("127.0.0.1", 0))
    pairs = [(socket.create_connection(server.getsockname()), server.accept()[0]) for _ in range(2)]
    os.path.exists("/tmp/there") and os.unlink("/tmp/there")
    unix = socket.socket(socket.AF_UNIX)
    unix.bind("/tmp/there")
    unix.listen()
    local = socket.socket(socket.AF_UNIX)
    local.connect("/tmp/there")
    for name, function, *args in (("sleeps", sleep), ("locked", lock, -1), ("again", lock, .05),
                                  ("receives", receive, pairs[0][0]),
                                  ("receives for ever", receive, pairs[1][0]),
                                  ("local", receive, local)):
        threading.Thread(target=function, args=args, name=name).start()
    print("ready", server.getsockname()[1], flush=True)
    while True:
        time.sleep(.05)
        pairs[0][1].send(b"x")


globals()[sys.argv[1]](*sys.argv[2:])
