# SPDX-License-Identifier: Apache-2.0
"""As many threads as are given, which sleep, and ever new ones that sleep briefly and end."""
import sys
import threading
import time

for _ in range(int(sys.argv[1])):
    threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
print("ready", flush=True)
while True:
    for _ in range(4):
        threading.Thread(target=time.sleep, args=(.1,), daemon=True).start()
    time.sleep(.003)
