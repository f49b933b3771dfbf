"""A process that does what it is told, a line of JSON at a time, each deed in a child it forks.

So a deed can kill its process, and the next one begins in a clean one without importing everything again.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.proofs.deeds import DEEDS


def _in_child(order: dict) -> None:
    try:
        answer = {"answer": DEEDS[order["deed"]](**order["given"])}
    except BaseException:
        answer = {"trace": traceback.format_exc()}
    print(json.dumps(answer), flush=True)
    os._exit(0)


print(json.dumps({"answer": "ready"}), flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        _in_child(json.loads(line))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        print(json.dumps({"killed": os.WTERMSIG(status)}), flush=True)
