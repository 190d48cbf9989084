# SPDX-License-Identifier: Apache-2.0
"""Threads that each wait for one thing, again and again, and are named after what uncoil calls it."""
import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

MIB = 1 << 20


def pair():
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    client = socket.create_connection(server.getsockname())
    return server.accept()[0], client


def feed(write, pause=.02):
    """Something from time to time, by a process of its own: no thread here waits for another."""
    if os.fork() == 0:
        while os.getppid() == PARENT:
            time.sleep(pause)
            write()
        os._exit(0)


def sleeps():
    while True:
        time.sleep(.03)


def sleeps_in_select():
    while True:
        select.select([], [], [], .03)


def waits_for_lock():
    lock = threading.Lock()
    lock.acquire()
    while True:
        lock.acquire(timeout=.03)


def reads_socket():
    ours, theirs = SOCKET
    while True:
        ours.recv(10)


def reads_socket_in_time():
    ours, theirs = TIMED
    ours.settimeout(5)
    while True:
        ours.recv(10)


def reads_pipe():
    while True:
        os.read(PIPE[0], 10)


def reads_unix_socket():
    while True:
        UNIX[0].recv(10)


def loops():
    poll = select.epoll()
    poll.register(EPOLL[0], select.EPOLLIN)
    while True:
        poll.poll()
        os.read(EPOLL[0], 10)


def polls_two():
    poll = select.poll()
    poll.register(POLL[0], select.POLLIN)
    poll.register(1, 0)
    while True:
        poll.poll()
        os.read(POLL[0], 10)


def accepts():
    SERVER.accept()


def has_child():
    while True:
        subprocess.call(["sleep", ".05"])


def syncs():
    with tempfile.TemporaryFile(dir=os.environ["UNCOIL_DISK"]) as file:
        while True:
            file.seek(0)
            file.write(os.urandom(MIB))
            file.flush()
            os.fsync(file.fileno())


def waits_for_signal():
    signal.sigtimedwait([signal.SIGUSR2], 60)


def forever():
    threading.Event().wait()


PARENT = os.getpid()
SOCKET, TIMED = pair(), pair()
PIPE, EPOLL, POLL = os.pipe(), os.pipe(), os.pipe()
UNIX = socket.socketpair()
SERVER = socket.socket()
SERVER.bind(("127.0.0.1", 0))
SERVER.listen()
feed(lambda: [SOCKET[1].send(b"x"), TIMED[1].send(b"x"), os.write(PIPE[1], b"x"), os.write(EPOLL[1], b"x"),
              os.write(POLL[1], b"x"), UNIX[1].send(b"x")])

NAMES = {
    "[sleep]": sleeps,
    "[sleep] select": sleeps_in_select,
    "[lock]": waits_for_lock,
    "[socket read 127.0.0.1:%d]" % SOCKET[1].getsockname()[1]: reads_socket,
    "[socket wait 127.0.0.1:%d]" % TIMED[1].getsockname()[1]: reads_socket_in_time,
    "[pipe read]": reads_pipe,
    "[unix socket read]": reads_unix_socket,
    "[epoll]": loops,
    "[poll]": polls_two,
    "[socket accept :%d]" % SERVER.getsockname()[1]: accepts,
    "[child process]": has_child,
    "[disk sync]": syncs,
    "[signal wait]": waits_for_signal,
    "[lock] forever": forever,
}
for name, function in NAMES.items():
    threading.Thread(target=function, name=name, daemon=True).start()
print("ready", flush=True)
time.sleep(60)
