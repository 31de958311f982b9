"""`python` and `dvc` as tests put them on the PATH: hand the command to the server of `forked_commands`, and stand for it.

Started as `python -IS forked_client.py PYTHON SOCKET WORD...`. Scripts and modules of nerveseg and DVC are forked;
all else goes to PYTHON itself.
"""
# pathlib takes longer to import than all else here
# ruff: noqa: PTH109, PTH110, PTH208, S606

import marshal
import os
import signal
import socket
import sys

CLIENTS = "FORKED_FOR"
FORWARDED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def is_forked(words: list[str]) -> bool:
    module = words[1].split(".")[0] if words[:1] == ["-m"] else ""
    return module in ("dvc", "nerveseg") or (bool(words) and words[0].endswith(".py"))


def main() -> None:
    python, address, *words = sys.argv[1:]
    if not is_forked(words):
        os.execv(python, [python, *words])
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        listed = [int(name) for name in os.listdir("/proc/self/fd")]  # among them the one that listed them
        numbers = [file for file in listed if file != server.fileno() and os.path.exists(f"/proc/self/fd/{file}")]
        clients = f"{os.getpid()} {os.environ.get(CLIENTS, '')}"
        request = marshal.dumps((words, os.getcwd(), {**os.environb, CLIENTS.encode(): clients.encode()}, numbers))
        socket.send_fds(server, [len(request).to_bytes(8)], numbers)
        server.sendall(request)
        pid = int.from_bytes(server.recv(8))
        for number in FORWARDED:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, lambda number, _: os.kill(pid, number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
        status = int.from_bytes(server.recv(4)) if pid else 1
    if os.WIFSIGNALED(status):
        if os.WTERMSIG(status) in FORWARDED:
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))


main()
