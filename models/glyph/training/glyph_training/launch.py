"""Starts data-parallel processes; kept free of torch, so that waiting costs no memory."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path


def launch(arguments: list[str], processes: int, pid_file: Path) -> int:
    """Runs this program's `arguments` in `processes` processes and waits for them.

    SIGTERM or SIGINT is passed on, so every process saves and ends; when one
    fails, the others are ended too. Returns the worst exit status.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(processes):
        env = os.environ | {
            "RANK": str(rank),
            "WORLD_SIZE": str(processes),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        }
        command = [sys.executable, "-u", "-m", "glyph_training", *arguments]
        children.append(subprocess.Popen(command, env=env))
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    pid_file.write_text(f"{os.getpid()}\n")

    def end(*_: object) -> None:
        for child in children:
            if child.poll() is None:
                child.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    worst = 0
    try:
        waiting = list(children)
        while waiting:
            for child in list(waiting):
                try:
                    status = child.wait(timeout=0.5)
                except subprocess.TimeoutExpired:
                    continue
                waiting.remove(child)
                if status != 0:
                    worst = worst or status
                    end()
    finally:
        pid_file.unlink(missing_ok=True)
    return 1 if worst else 0
