# SPDX-License-Identifier: Apache-2.0
"""Threads that each sleep on one socket for ever. argv: a folder for UNIX sockets, and "netns" to do so
in a network namespace of its own. Tells how each thread's socket should be called as one line of JSON,
then "ready"."""
import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
import threading
import time

CLONE_NEWNET, SIOCSIFFLAGS, IFF_UP = 0x40000000, 0x8914, 1

if "netns" in sys.argv:
    assert ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))

keep, want = [], {}


def sleeps(name, on, kind, peer=None, path=None, timeout=None, doing="recv"):
    """A thread that sleeps in on.recv(1), or another call of it."""
    def sleep():
        on.settimeout(timeout)
        on.recv(1) if doing == "recv" else getattr(on, doing)()
    keep.append(on)
    port = on.getsockname()[1] if on.family in (socket.AF_INET, socket.AF_INET6) else None
    want[name] = {"kind": kind, "peer": peer, "path": path, "local_port": port}
    threading.Thread(target=sleep, name=name, daemon=True).start()


def connected(family, address):
    server = socket.socket(family)
    server.bind(address)
    server.listen()
    client = socket.socket(family)
    client.connect(server.getsockname())
    return server, client, server.accept()[0]


def shown(address):
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


for family, host, name in ((socket.AF_INET, "127.0.0.1", "4"), (socket.AF_INET6, "::1", "6")):
    server, client, accepted = connected(family, (host, 0))
    sleeps("tcp" + name, client, "tcp", shown(server.getsockname()))
    sleeps("tcp timed" + name, accepted, "tcp", shown(client.getsockname()), timeout=1000)
    sleeps("tcp listens" + name, server, "tcp", doing="accept")
    udp = socket.socket(family, socket.SOCK_DGRAM)
    udp.bind((host, 0))
    sleeps("udp" + name, udp, "udp")
    to = socket.socket(family, socket.SOCK_DGRAM)
    to.connect(udp.getsockname())
    sleeps("udp connected" + name, to, "udp", shown(udp.getsockname()))

path = sys.argv[1] + "/a\x1b socket"
server, client, accepted = connected(socket.AF_UNIX, path)
sleeps("unix", client, "unix", peer=path)
sleeps("unix accepted", accepted, "unix", path=path)
sleeps("unix listens", server, "unix", path=path, doing="accept")
name = b"\0uncoil\0%d" % os.getpid()
server, client, accepted = connected(socket.AF_UNIX, name)
sleeps("unix abstract", client, "unix", peer=name.replace(b"\0", b"@").decode())
keep += [server, accepted]
ours, theirs = socket.socketpair()
keep.append(theirs)
sleeps("unix pair", ours, "unix")

print(json.dumps(want), flush=True)
print("ready", flush=True)
time.sleep(1000)
