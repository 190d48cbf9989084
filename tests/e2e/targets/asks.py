# SPDX-License-Identifier: Apache-2.0
"""One line asks two servers in turn, over connections that have the same descriptor: A answers after 30
ms, B after 3. Prints what it waited for each, in microseconds. asks.py ROUNDS"""
import ctypes
import os
import socket
import sys
import time


def serve(delay):
    listener = socket.create_server(("127.0.0.1", 0), backlog=50)
    port = listener.getsockname()[1]
    if os.fork():
        listener.close()
        return port
    ctypes.CDLL(None).prctl(1, 9)  # ends with its parent
    while True:
        asked, _ = listener.accept()
        asked.recv(1)
        time.sleep(delay)
        asked.send(b"x")
        asked.close()


def ask(port):
    with socket.create_connection(("127.0.0.1", port)) as server:
        server.send(b"q")
        start = time.monotonic_ns()
        server.recv(1)  # line: waits
        return time.monotonic_ns() - start


ports = [serve(.03), serve(.003)]
spent = [0, 0]
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[1])):
    for n, port in enumerate(ports):
        spent[n] += ask(port)
print("waited" + "".join(f" {port}:{ns // 1000}" for port, ns in zip(ports, spent)) + ".", flush=True)
sys.stdin.readline()
