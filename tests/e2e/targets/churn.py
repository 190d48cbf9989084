# SPDX-License-Identifier: Apache-2.0
"""Ever new stacks of ever new code objects."""
SOURCE = """
def f(rest):
    for _ in range(1000): pass
    if rest: rest[0](rest[1:])
"""

print("ready", flush=True)
while True:
    functions = []
    for _ in range(12):
        scope = {}
        exec(SOURCE, scope)
        functions.append(scope["f"])
    functions[0](functions[1:])
