"""Faults of a Ray cluster and of the page's processes, for benchmarks.faults.

python -m benchmarks.faults_of_machines STORE    serves a folder of jobs, as the page does
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from ds4d.errors import UserError

from .faults import LIMIT, STOPPED, same
from .tiny import CLIP, TINY

CLIPS = 2  # of a batch
WAIT = 2.0  # seconds for a stage to begin, in which a process can be killed
JUMP = signal.SIGUSR1  # to the page: its clock jumps
WEEK = 7 * 86_400.0  # seconds
START = 15.0  # seconds in which a server or a Ray begins and works on a run


def ray_worker(times: int, whole: Path, seed: int) -> dict:
    """kill -9 of a process of Ray that computes a stage, in a batch of two clips."""

    def kill(dice: random.Random) -> None:
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            at_work = [p for p in psutil.process_iter(["cmdline"]) if _computes(p)]
            if at_work:
                return dice.choice(at_work).kill()
            time.sleep(0.1)

    from ds4d.batch import cluster

    with cluster.connected("", dashboard=False) as machines:
        return _batches("ray_worker", ray_worker.__doc__, times, whole, seed, machines, kill)


def ray_node(times: int, whole: Path, seed: int) -> dict:
    """kill -9 of a node of a Ray of two, in a batch of two clips; another one joins later."""
    from ray.cluster_utils import Cluster

    from ds4d.batch import cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    workers = [nodes.add_node(num_cpus=1) for _ in range(2)]

    def kill(dice: random.Random) -> None:
        lost = workers.pop(dice.randrange(len(workers)))
        nodes.remove_node(lost, allow_graceful=False)
        workers.append(nodes.add_node(num_cpus=1))

    try:
        with cluster.connected(nodes.address, dashboard=False) as machines:
            machines = dataclasses.replace(machines, local=True)
            return _batches("ray_node", ray_node.__doc__, times, whole, seed, machines, kill)
    finally:
        nodes.shutdown()


def _computes(process: psutil.Process) -> bool:
    """True for a process of Ray that is at work in a stage of one of our clips."""
    line = " ".join(process.info["cmdline"] or [])
    return line.startswith("ray::") and " of fault" in line


def _batches(
    name: str, what: str, times: int, whole: Path, seed: int, machines, kill: Callable
) -> dict:
    """Batches of two clips, in each of which `kill` is called at a random moment."""
    from ds4d.batch.orders import Order
    from ds4d.batch.runs import Runs
    from ds4d.batch.schedule import Schedule

    counts = {"what": what, "times": 0, "lost": 0, "wrong": 0, "traces": 0, "repeated": 0}
    seconds = 0.0  # of a batch that is left alone
    for number in range(-2, times):  # Ray starts its processes in the first
        dice = random.Random(f"{name} {seed} {number}")
        with tempfile.TemporaryDirectory() as out:
            orders = [Order(f"fault{n}", str(CLIP.absolute()), TINY) for n in range(CLIPS)]
            ended: list = []
            schedule = Schedule(orders, Runs(out), machines, 1, ended.extend)
            work = threading.Thread(target=schedule.run)
            started = time.perf_counter()
            work.start()
            if number >= 0:  # in this thread: only the main one may start a node of Ray
                time.sleep(dice.uniform(0.0, seconds))
                kill(dice)
            work.join()
            if number < 0:
                seconds = time.perf_counter() - started
                continue
            counts["times"] += 1
            counts["repeated"] += schedule.losses
            counts["lost"] += CLIPS - len(ended)
            for clip in ended:
                done = clip.outcome.state == "done"
                counts["lost"] += not done
                counts["traces"] += "Traceback" in clip.outcome.sentence
                counts["wrong"] += done and not same(Path(out) / clip.order.name, whole)
                if not done:
                    print(clip.stage, clip.outcome, file=sys.stderr)
    return counts


def page_worker(times: int, whole: Path, seed: int) -> dict:
    """kill -9 of the page's worker; the visitor presses Continue."""

    def fault(server: subprocess.Popen, dice: random.Random, store: Path) -> subprocess.Popen:
        time.sleep(dice.uniform(0.0, START))
        for process in psutil.Process(server.pid).children():
            process.kill()
        return server

    return _pages("page_worker", page_worker.__doc__, times, whole, seed, fault)


def page_server(times: int, whole: Path, seed: int) -> dict:
    """kill -9 of the page; it is started again, and the visitor presses Continue."""

    def fault(server: subprocess.Popen, dice: random.Random, store: Path) -> subprocess.Popen:
        time.sleep(dice.uniform(0.0, START))
        server.kill()
        server.wait()
        return _server(store)

    return _pages("page_server", page_server.__doc__, times, whole, seed, fault)


def two_servers(times: int, whole: Path, seed: int) -> dict:
    """A second page on the same folder of jobs: it refuses to start."""

    def fault(server: subprocess.Popen, dice: random.Random, store: Path) -> subprocess.Popen:
        time.sleep(dice.uniform(1.0, 3.0))
        second = _server(store)
        assert second.wait(LIMIT) == 1, "two pages serve one folder"
        return server

    return _pages("two_servers", two_servers.__doc__, times, whole, seed, fault)


def page_stopped(times: int, whole: Path, seed: int) -> dict:
    """SIGSTOP of the page for a minute, while its worker goes on."""

    def fault(server: subprocess.Popen, dice: random.Random, store: Path) -> subprocess.Popen:
        time.sleep(dice.uniform(0.0, START))
        server.send_signal(signal.SIGSTOP)
        time.sleep(STOPPED)
        server.send_signal(signal.SIGCONT)
        return server

    return _pages("page_stopped", page_stopped.__doc__, times, whole, seed, fault)


def clock(times: int, whole: Path, seed: int) -> dict:
    """The page's clock jumps three times, by up to a week forward or back each time."""

    def fault(server: subprocess.Popen, dice: random.Random, store: Path) -> subprocess.Popen:
        for _ in range(3):
            time.sleep(dice.uniform(1.0, START / 2))
            server.send_signal(JUMP)
        return server

    return _pages("clock", clock.__doc__, times, whole, seed, fault)


def _pages(name: str, what: str, times: int, whole: Path, seed: int, fault: Callable) -> dict:
    """A job each time, on a page with which something happens at a random moment."""
    from page.jobs.queue import Queue
    from page.jobs.store import RECORD, Store
    from page.limits import Limits

    counts = {"what": what, "times": 0, "lost": 0, "wrong": 0, "traces": 0}
    for number in range(times):
        dice = random.Random(f"{name} {seed} {number}")
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary) / "jobs"
            store = Store(root, Limits())
            job = Queue(store).submit(store.create(CLIP.absolute(), TINY, "visitor"))
            counts["times"] += 1
            server = fault(_server(root), dice, root)
            try:
                deadline = time.monotonic() + LIMIT
                while store.find(job.id).state != "done" and time.monotonic() < deadline:
                    time.sleep(0.2)
            except UserError as error:  # it was deleted
                print(error, file=sys.stderr)
            finally:
                _end(server)
            record = job.folder / RECORD
            shown = json.loads(record.read_text()) if record.exists() else {}
            done = shown.get("state") == "done"
            counts["lost"] += not done
            counts["traces"] += "Traceback" in f"{shown}{(root.parent / 'out').read_text()}"
            counts["wrong"] += done and not same(job.folder, whole)
    return counts


def _server(root: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "benchmarks.faults_of_machines", str(root)]
    with open(root.parent / "out", "a") as out:
        return subprocess.Popen(command, stdout=out, stderr=out)


def _end(server: subprocess.Popen) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        processes = [psutil.Process(server.pid), *_children(server)]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=10)


def _children(server: subprocess.Popen) -> Iterator[psutil.Process]:
    yield from psutil.Process(server.pid).children(recursive=True)


def serve(root: Path) -> None:
    """Serve the jobs of a folder, delete old ones, and press Continue on what ended badly."""
    signal.signal(JUMP, _jump)
    from page.jobs.queue import Queue
    from page.jobs.store import Store
    from page.limits import Limits

    logging.basicConfig()
    store = Store(root, Limits())
    try:
        claim = store.claim()
    except UserError as error:
        sys.exit(str(error))
    queue = Queue(store)
    queue.start()
    while claim:
        store.sweep()
        for job in store.all():
            if job.state in ("failed", "cancelled"):
                queue.submit(job)
        time.sleep(0.2)


def _jump(*_: object) -> None:
    """Move the clock of this process, as far as Python shows it."""
    before, by = time.time, random.uniform(-WEEK, WEEK)
    time.time = lambda: before() + by


FAULTS = {
    fault.__name__: fault
    for fault in (
        ray_worker, ray_node, page_worker, page_server, page_stopped, two_servers, clock
    )
}  # fmt: skip

if __name__ == "__main__":
    serve(Path(sys.argv[1]))
