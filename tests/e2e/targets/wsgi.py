# SPDX-License-Identifier: Apache-2.0
"""An application for uWSGI, mounted twice: then each mount has an interpreter of its own."""
import os
import time


def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end: pass


def first():
    burn(.02)


def second():
    burn(.02)


def application(environ, start_response):
    {"/first": first, "/second": second}.get(environ["SCRIPT_NAME"], lambda: None)()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % os.getpid()]
