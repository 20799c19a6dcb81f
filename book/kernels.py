"""Kernels that start with PyTorch and fucore already imported: one process imports them, every kernel is a fork of it.

A kernel's first cells are imports that take three seconds of a core, the same for each chapter.  The server imports the same
modules once, before it has started any thread or drawn any number, and forks; each kernel goes on from there as from a fresh
start.  What was imported, and the content it had then, goes into each kernel's trace.

    python book/kernels.py serve <socket>                        the server; it ends when its standard input is closed
    python book/kernels.py start <socket> <connection file>      what Jupyter takes for the kernel: it ends with it, and it with this
"""

import json
import os
import select
import signal
import socket
import sys
import threading


def kernelspec(folder, address: str) -> str:
    """Write a kernel specification into ``folder``, to be found by ``JUPYTER_PATH=folder``; returns its name."""
    where = folder / "kernels" / "fucore-book"
    where.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-I", "-S", __file__, "start", address, "{connection_file}"]
    (where / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "fucore", "language": "python"}))
    return where.name


def serve(address: str) -> None:
    """Import, then fork a kernel for everyone who asks."""
    sys.path.pop(0)  # this folder, which no kernel has
    trace = address + ".trace"
    open(trace, "w").close()
    os.environ["FUCORE_TRACE"] = trace
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # as ipykernel does, before matplotlib is imported
    import ipykernel.kernelapp  # noqa: F401
    import IPython.display  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import pandas
    import scipy.stats  # noqa: F401
    import torch  # noqa: F401

    import fucore  # noqa: F401

    pandas.set_option("display.max_columns", 20)  # as in a notebook; outside of one pandas takes the width of a terminal
    with open(trace) as file:
        imported = file.read()
    if threading.active_count() > 1:
        raise SystemExit("a library started a thread when it was imported: a fork would lose it.")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the kernels
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        while sys.stdin.fileno() not in select.select([listener, sys.stdin.fileno()], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _become_kernel(connection, imported)
            connection.close()


def _become_kernel(connection: socket.socket, imported: str) -> None:
    """Take over environment and folder of who asked, and be the kernel."""
    with connection.makefile() as file:
        asked = json.loads(file.readline())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update({name: value for name, value in asked["environment"].items() if name != "JPY_PARENT_PID"})
    if os.environ.get("FUCORE_TRACE"):
        with open(os.environ["FUCORE_TRACE"], "a") as file:
            file.write(imported)
    threading.Thread(target=_obey, args=(connection,), daemon=True).start()
    from ipykernel.kernelapp import launch_new_instance

    try:
        launch_new_instance(argv=["-f", asked["file"], "--log-level=40"])
    finally:
        os._exit(0)


def _obey(connection: socket.socket) -> None:
    """Interrupt this kernel when asked to, and end it when who asked is gone."""
    while connection.recv(1):
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(1)


def start(address: str, file: str) -> None:
    """Ask for a kernel with this connection file, and stand for it: end when it ends."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        asked = {"file": file, "folder": os.getcwd(), "environment": dict(os.environ)}
        connection.sendall((json.dumps(asked) + "\n").encode())
        signal.signal(signal.SIGINT, lambda *_: connection.send(b"i"))
        while connection.recv(1):
            pass


if __name__ == "__main__":
    serve(sys.argv[2]) if sys.argv[1] == "serve" else start(*sys.argv[2:4])
