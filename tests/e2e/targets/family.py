# SPDX-License-Identifier: Apache-2.0
"""family.py MODE [PYTHON]: makes children in one way, waits for them, and says what CPU time they
and it have used. With --wait it waits for SIGUSR1 first."""
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time

SECONDS = .12


def spin(seconds=SECONDS):
    end = time.process_time() + seconds
    while time.process_time() < end: pass


def parent_function():
    spin()


def child_function():
    spin()


def grandchild_function():
    spin()


def forked(function, then=None):
    pid = os.fork()
    if not pid:
        try:
            function()
            if then:
                then()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def by_fork():
    forked(child_function, then=lambda: forked(grandchild_function))


def by_multiprocessing():
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=child_function), context.Process(target=grandchild_function)]
    for child in children:
        child.start()
    for child in children:
        child.join()


def by_subprocess():
    subprocess.run([sys.argv[2], __file__, "exec-child", sys.argv[2]], check=True)


def by_exec_child():
    child_function()
    subprocess.run([sys.argv[2], __file__, "exec-grandchild"], check=True)


def by_exec_grandchild():
    grandchild_function()


def by_exec_self():
    os.execv(sys.argv[2], [sys.argv[2], __file__, "exec-child-alone"])


def by_exec_child_alone():
    child_function()


if __name__ == "__main__":
    if "--wait" in sys.argv:
        signal.signal(signal.SIGUSR1, lambda *_: None)
        print("ready", flush=True)
        signal.pause()
    if sys.argv[1] in ("fork", "multiprocessing", "subprocess", "exec-self"):
        parent_function()
    {"fork": by_fork, "multiprocessing": by_multiprocessing, "subprocess": by_subprocess,
     "exec-self": by_exec_self, "exec-child": by_exec_child, "exec-grandchild": by_exec_grandchild,
     "exec-child-alone": by_exec_child_alone}[sys.argv[1]]()
    if not sys.argv[1].startswith("exec-"):
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        print("used", *(u.ru_utime + u.ru_stime for u in used), flush=True)
