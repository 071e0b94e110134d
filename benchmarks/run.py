"""Time xscat and foscat on the same maps, one thread each: ``python benchmarks/run.py --help``."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import fields
import numpy as np

HERE = Path(__file__).parent
FOSCAT = "foscat==2026.6.1"
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
OURS_PER_ROUND = 5  # timed calls of xscat for each timed call of foscat


@dataclass(frozen=True)
class Case:
    """What both sides are asked for."""

    name: str
    grid: str
    size: int
    J: int
    foscat_J: int  # the same where foscat can do it
    kernel: int  # foscat's KERNELSZ
    rounds: int
    gigabytes: int  # free memory without which foscat is not started
    kind: str = "covariance"
    L: int = 4
    dtype: str = "float32"
    steps: int = 3
    iterations: int = 100
    our_iterations: int = 100  # fewer where the question is who reaches a residual first


CASES = [
    Case("healpix-64-5x5", "healpix", 64, 5, 5, kernel=5, rounds=3, gigabytes=18),
    Case("healpix-64-3x3", "healpix", 64, 5, 5, kernel=3, rounds=7, gigabytes=3),
    Case("healpix-128-3x3", "healpix", 128, 6, 6, kernel=3, rounds=3, gigabytes=8),
    Case("plane-256-5x5", "plane", 256, 7, 6, kernel=5, rounds=7, gigabytes=2),
    Case("synthesis-32-3x3", "healpix", 32, 4, 4, 3, rounds=1, gigabytes=2, kind="synthesis"),
    Case("synthesis-64-3x3", "healpix", 64, 5, 5, 3, rounds=1, gigabytes=4, kind="synthesis"),
    Case("sooner-32-3x3", "healpix", 32, 4, 4, 3, 1, 2, kind="synthesis", our_iterations=30),
    Case("sooner-64-3x3", "healpix", 64, 5, 5, 3, 1, 4, kind="synthesis", our_iterations=30),
]


class Worker:
    """A process that times one call for each line it is sent (measure.py)."""

    def __init__(self, side: str, python: str, case: dict):
        self.reports: list[dict] = []
        self.command = [python, "-W", "ignore", str(HERE / f"worker_{side}.py"), json.dumps(case)]

    def __enter__(self):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=os.environ | ONE_THREAD,
        )
        return self

    def __exit__(self, *error):
        self.process.communicate()
        self.log.close()

    def ask(self, what: str) -> dict:
        with suppress(BrokenPipeError):
            print(what, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise RuntimeError(f"{self.command[3]} stopped:\n{self.log.read().decode()[-2000:]}")
        self.reports.append(json.loads(line))
        return self.reports[-1]

    def summary(self) -> dict[str, float]:
        first, *later = self.reports
        times, baseline = [r["cpu"] for r in later], first["baseline"]
        return {
            "first call, CPU s": first["cpu"],
            "best, CPU s": min(times),
            "median, CPU s": statistics.median(times),
            "peak, MB": max(r["peak"] for r in self.reports) / 1e6,
            "first call above imports, MB": (first["peak"] - baseline) / 1e6,
            "later calls above imports, MB": (max(r["peak"] for r in later) - baseline) / 1e6,
        }


def foscat_python() -> str:
    """The interpreter that has foscat: XSCAT_FOSCAT_PYTHON, or that of an environment made here."""
    if given := os.environ.get("XSCAT_FOSCAT_PYTHON"):
        return given
    environment = HERE / ".venv-foscat"
    python, ready = environment / "bin" / "python", environment / FOSCAT
    if not ready.exists():
        pip = [python, "-m", "pip", "install", "--quiet"]
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run([*pip, "-c", HERE.parent / "constraints.txt", "torch"], check=True)
        subprocess.run([*pip, FOSCAT], check=True)
        ready.touch()
    return str(python)


def free_gigabytes() -> float:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 1e6


def compare(case: Case, pythons: dict[str, str], folder: Path) -> dict[str, dict[str, float]]:
    """One case on all sides, a call of one after a call of the other."""
    field = getattr(fields, case.grid)(case.size)
    np.save(folder / "map.npy", field)
    request = asdict(case) | {"map": str(folder / "map.npy")}
    outputs = {name: str(folder / f"{name}.npy") for name in pythons}
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(Worker(name, python, request | {"out": outputs[name]}))
            for name, python in pythons.items()
        }
        for worker in workers.values():
            worker.ask("warm-up")
        for _ in range(case.rounds):
            for name, worker in workers.items():
                again = OURS_PER_ROUND if name == "xscat" and case.kind == "covariance" else 1
                for _ in range(again):
                    worker.ask("run")
    rows = {name: worker.summary() for name, worker in workers.items()}
    if case.kind == "synthesis":
        for judge, python in pythons.items():
            for name, row in rows.items():
                asked = request | {"kind": "residual", "out": outputs[name]}
                with Worker(judge, python, asked) as worker:
                    row[f"residual in {judge}'s statistics"] = worker.ask("run")["value"]
    return rows


def table(name: str, rows: dict[str, dict[str, float]]) -> str:
    if len(rows) == 2:
        ours, theirs = rows["xscat"], rows["foscat"]
        rows = rows | {"ratio": {key: theirs[key] / ours[key] for key in ours}}
    columns = list(rows["xscat"])
    lines = [[name, *columns], ["---"] * (len(columns) + 1)]
    lines += [[side, *(f"{row[key]:.4g}" for key in columns)] for side, row in rows.items()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    names = [case.name for case in CASES]
    default = [case.name for case in CASES if case.kind == "covariance"]
    parser.add_argument(
        "names",
        nargs="*",
        metavar="case",
        help=f"of {', '.join(names)}; without names, all but synthesis, which takes minutes",
    )
    parser.add_argument("--without-foscat", action="store_true", help="time xscat alone")
    options = parser.parse_args()
    if unknown := set(options.names) - set(names):
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    pythons = {"xscat": sys.executable}
    if not options.without_foscat:
        pythons["foscat"] = foscat_python()
    for case in CASES:
        if case.name not in (options.names or default):
            continue
        sides = dict(pythons)
        if "foscat" in sides and free_gigabytes() < case.gigabytes:
            print(f"{case.name}: foscat needs {case.gigabytes} GB of free memory, left out")
            del sides["foscat"]
        with tempfile.TemporaryDirectory() as folder:
            print(table(case.name, compare(case, sides, Path(folder))), flush=True)


if __name__ == "__main__":
    main()
