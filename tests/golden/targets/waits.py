# SPDX-License-Identifier: Apache-2.0
"""Threads that wait: asleep, for a lock, for the GIL, for a peer, for work; one all the time."""
import select
import socket
import threading
import time


def naps():
    while True:
        time.sleep(.01)


def waits(lock):
    while True:
        lock.acquire(timeout=.02)


def computes():
    while True: pass


def answers(ours):
    while True:
        ours.sendall(ours.recv(1))
        time.sleep(.005)


def asks(theirs):
    while True:
        theirs.sendall(b"?")
        theirs.recv(1)


def loops():
    poll = select.epoll()
    while True:
        poll.poll(.05)


lock = threading.Lock()
lock.acquire()
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
for run, *args in ((naps,), (waits, lock), (computes,), (computes,), (answers, server.accept()[0]),
                   (asks, client), (loops,), (threading.Event().wait,)):
    threading.Thread(target=run, args=args, name=run.__name__, daemon=True).start()
print("ready", flush=True)
time.sleep(60)
