"""A server process of the zero-downtime proof: one mall over ASGI on a port, for whoever asks."""

from __future__ import annotations

import sys

import uvicorn

from mallcore import Mall, Principal
from mallcore.adapters.asgi import MallASGI

if __name__ == "__main__":
    mall = Mall.open(sys.argv[1])
    app = MallASGI(mall, lambda request: Principal.system("reader"))
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
