"""Run the whole pipeline on two machines that share nothing but a network, and print what is typed on each.

    unshare --user --map-root-user --net python bench/two_machines.py FOLDER

The machines are network namespaces of this computer, joined by a virtual cable. That needs Linux, but not root. Machine `one`
also runs what a team has elsewhere: Git's server, a store that speaks S3 (moto), MLflow's server, and Dask's scheduler. The
pipeline is that of this checkout, with tiny params. FOLDER is new; the clones of both machines and `mlflow.db` stay in it.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from nerveseg.errors import NervesegError, told_plainly
from nerveseg.processes.parent import end_cleanly

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests" / "support"))
ONE, TWO = "10.0.0.1", "10.0.0.2"
SCHEDULER = f"tcp://{ONE}:8786"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
    "MLFLOW_TRACKING_URI": f"http://{ONE}:5000", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "PYTHONPATH": "src",  # in place of an environment of each clone
}  # fmt: skip
SERVERS = (
    "git daemon --reuseaddr --export-all --enable=receive-pack --base-path=.",
    f"moto_server -H {ONE} -p 9000",
    f"mlflow server --host {ONE} --port 5000 --workers 1 --backend-store-uri sqlite:///mlflow.db",
    f"dask scheduler --host {ONE} --port 8786 --no-dashboard",
)
PORTS = (9418, 9000, 5000, 8786)

LITTLE: dict[str, dict[str, object]] = {
    "phantom": {"frames_per_subject": 6},  # 36 frames: Dask sends 32 at once, so each of its workers has something to do
    "unet": {"epochs": 2}, "gan": {"critic": "none", "epochs": 1}, "export": {"precision": "float32"},
}  # fmt: skip


@dataclass(frozen=True)
class Machine:
    name: str
    folder: Path
    network: tuple[str, ...] = ()  # the words before a command that lead into it

    @contextmanager
    def started(self, command: str, log: Path | None = None) -> "Iterator[subprocess.Popen[str]]":
        """Start what one types on this machine; it is killed at the end of the block."""
        from processes import started

        print(f"{self.name}$ {command}", flush=True)
        where = f" > {log} 2>&1" if log else ""
        words, environment = [*self.network, "bash", "-c", command + where], os.environ | ENVIRONMENT
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with started(words, cwd=self.folder, env=environment, **pipes) as process:
            yield process

    def run(self, command: str) -> None:
        with self.started(command) as process:
            end(process)

    def hand_over(self, other: "Machine", outputs: str = "") -> None:
        """Push what has been run here, and pull it there."""
        self.run("git add . && git commit -qm run && git push -q && dvc push -q")
        other.run(f"git pull -q && dvc pull -q {outputs}".rstrip())


def end(process: "subprocess.Popen[str]") -> None:
    """Print what a command printed; raise NervesegError if it failed."""
    said, _ = process.communicate()
    told = [f"    {line}\n" for line in said.splitlines() if line and "%|" not in line]  # no bars of progress
    print("".join(told), end="", flush=True)
    if process.returncode:
        raise NervesegError("the last command failed; see its output above")


@contextmanager
def two_networks() -> Iterator[tuple[str, ...]]:
    """Join the network of this process, the first machine's, to a new one; yield the words that lead there."""
    from processes import eventually, run, started

    if run("ip", "-oneline", "link", "show", "up"):
        raise NervesegError("this would change the network that is in use; start with the command that --help shows")
    with started(["unshare", "--net", "sleep", "infinity"]) as other:
        words = ("nsenter", "--net", "--target", str(other.pid))
        mine = Path("/proc/self/ns/net").readlink()
        eventually(lambda: Path(f"/proc/{other.pid}/ns/net").readlink() != mine, other)
        run("ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", str(other.pid))
        for entrance, address in (((), ONE), (words, TWO)):
            run(*entrance, "ip", "address", "add", f"{address}/24", "dev", "cable")
            for device in ("lo", "cable"):
                run(*entrance, "ip", "link", "set", device, "up")
        yield words


def serve(folder: Path, running: ExitStack) -> None:
    """Start the servers, with a repository and a bucket; return when all answer."""
    from processes import eventually

    team = Machine("one", folder)
    servers = [
        running.enter_context(team.started(command, folder / f"{command.split()[0]}.log")) for command in SERVERS
    ]
    eventually(lambda: all(answers(port) for port in PORTS), *servers)
    urllib.request.urlopen(urllib.request.Request(f"http://{ONE}:9000/team", method="PUT")).close()


def answers(port: int) -> bool:
    try:
        socket.create_connection((ONE, port), timeout=1).close()
    except OSError:
        return False
    return True


def tasks_done() -> list[int]:
    """Wait for both of Dask's workers; return how many tasks each has done."""
    from distributed import Client

    with Client(SCHEDULER) as client:
        client.wait_for_workers(2)
        return list(client.run(lambda dask_worker: dask_worker.state.executed_count).values())


def trainer(index: int) -> str:
    """Return the setting that makes a command one of the two workers of a training."""
    cluster = {"worker": [f"{address}:12345" for address in (ONE, TWO)]}
    return f"TF_CONFIG='{json.dumps({'cluster': cluster, 'task': {'type': 'worker', 'index': index}})}'"


def run_pipeline(one: Machine, two: Machine) -> None:
    for machine in (one, two):
        Machine(machine.name, machine.folder.parent, machine.network).run(
            f"git clone -q git://{ONE}/nerveseg.git {machine.name}"
        )
    one.run("dvc remote add -d team s3://team/dvc && dvc remote modify team endpointurl http://10.0.0.1:9000")
    with ExitStack() as workers:
        for machine in (one, two):
            log = machine.folder.with_suffix(".dask.log")
            workers.enter_context(machine.started(f"dask worker {SCHEDULER} --no-nanny --nthreads 1", log))
        one.run("dvc repro -q phantom")
        one.hand_over(two, "phantom")
        tasks_done()
        one.run(f"DASK_SCHEDULER_ADDRESS={SCHEDULER} dvc repro -q augment")
        print(f"tasks done by each of Dask's workers: {', '.join(map(str, tasks_done()))}", flush=True)
    one.hand_over(two, "preprocess augment")
    with one.started(f"{trainer(0)} dvc repro") as chief, two.started(f"{trainer(1)} python -m nerveseg.pipeline train_unet") as worker:  # fmt: skip
        end(chief)
        end(worker)
    one.hand_over(two)
    two.run("dvc repro")


def main() -> None:
    from pipeline_workspace import new_workspace
    from processes import run

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder.resolve()
    with two_networks() as network, ExitStack() as running:
        folder.mkdir()
        new_workspace(folder / "start", **LITTLE)
        run("git", "clone", "-q", "--bare", folder / "start", folder / "nerveseg.git")
        serve(folder, running)
        run_pipeline(Machine("one", folder / "one"), Machine("two", folder / "two", network))


if __name__ == "__main__":
    with told_plainly():
        end_cleanly()
        main()
