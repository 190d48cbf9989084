# SPDX-License-Identifier: Apache-2.0
"""Generators: nested, resumed by callers that alternate, sent to, thrown into, closed, abandoned."""


def helper(n):
    return n + 1


def count(n):
    for i in range(n):
        yield helper(i)


def middle(n):
    for i in count(n):
        yield i


def outer(n):
    yield from middle(n)


def loop():
    for i in outer(20):
        use(i)


def use(i):
    return i


def echo():
    value = 0
    while True:
        try:
            value = yield heard(value)
        except ValueError:
            value = caught()


def heard(value):
    return value


def caught():
    return 1


def left(g, n):
    return g.send(n)  # calls: echo


def right(g):
    return g.throw(ValueError)  # calls: echo


def talk():
    g = echo()
    next(g)  # calls: echo
    for n in range(10):
        left(g, n)
        right(g)
    g.close()  # calls: echo


def expressions():
    total = sum(helper(i) for i in range(20))  # calls: <genexpr>
    total += max(i for i in middle(10))  # calls: <genexpr>
    return total


def abandoned():
    g = held()
    next(g)  # calls: held
    g = None  # calls: held


def held():
    try:
        yield 1
    finally:
        released()


def released():
    return None


def start():
    print("ready", flush=True)
    while True:
        loop()
        talk()
        expressions()
        abandoned()


start()
