"""Runs a server and what works beside it, as one: `run_both.py SERVER… -- COMPANION…`.

`make demo` runs the site and `pm_run` by it. Both end when this is told to (Ctrl-C, SIGTERM, a terminal that is
closed) and when the server ends. A companion that ends by itself is told of; the server goes on without it.
"""

import ctypes
import shlex
import signal
import subprocess
import sys

SECONDS_TO_END = 10

WATCHED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGALRM}
PR_SET_PDEATHSIG = 1  # of Linux's prctl(2)


def prepare() -> None:
    """In a new process, before its program: end with us, and leave Ctrl-C to us."""
    # A terminal tells everybody. Who has just begun would answer with a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
    if sys.platform == "linux":  # even if we are killed; elsewhere there is nothing like it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def start(command: list[str]) -> subprocess.Popen[bytes]:
    """Start a program. (`preexec_fn` is safe where there is no second thread.)"""
    return subprocess.Popen(command, preexec_fn=prepare)


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    """Ask all that still run to end, and wait until they have; those who take long, or a second Ctrl-C, are killed."""
    for process in processes:
        process.terminate()  # does nothing to one that has ended
    signal.alarm(SECONDS_TO_END)
    while [process for process in processes if process.poll() is None]:
        if signal.sigwait(WATCHED) in (signal.SIGINT, signal.SIGALRM):
            for process in processes:
                process.kill()
    signal.alarm(0)


def main(arguments: list[str]) -> int:
    """Run both until it is over; the server's exit code, or 0 where we were told to end."""
    if "--" not in arguments:
        sys.stderr.write("Usage: run_both.py SERVER… -- COMPANION…\n")
        return 2
    middle = arguments.index("--")
    # Signals wait until they are asked for, so none comes between two steps.
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    signal.signal(signal.SIGCHLD, lambda *_signal: None)  # without a handler some systems drop it
    processes: list[subprocess.Popen[bytes]] = []
    try:
        processes.append(start(arguments[:middle]))
        processes.append(start(arguments[middle + 1 :]))
        return watch(*processes)
    finally:
        end(processes)


def watch(server: subprocess.Popen[bytes], companion: subprocess.Popen[bytes]) -> int:
    """Wait until the server has ended, or we are told to end."""
    is_told = False
    while server.poll() is None:
        if companion.poll() is not None and not is_told:
            is_told = True
            what = shlex.join(map(str, companion.args))
            sys.stderr.write(f"Ended with code {companion.returncode}, and is not started again: {what}\n")
            sys.stderr.flush()
        if signal.sigwait(WATCHED) != signal.SIGCHLD:
            return 0
    # As a shell tells of one that a signal ended.
    return server.returncode if server.returncode >= 0 else 128 - server.returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
