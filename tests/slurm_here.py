"""A real Slurm of one node on this machine: munged, slurmctld and slurmd, in a folder of their own."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

NEEDS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
PATIENCE = 60.0
"""Seconds in which the node must be there."""

CONFIGURATION = """\
ClusterName=here
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str | None:
    """Why there can be none here; None where there can."""
    missing = [name for name in NEEDS if shutil.which(name) is None]
    if missing:
        return f"Slurm is not installed (apt-get install slurm-wlm): no {', '.join(missing)}"
    if os.geteuid():
        return "Slurm's daemons start jobs of other users: they need root"
    return None


def _port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def running(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which Slurm's commands speak to it.

    Raises:
        RuntimeError: it did not come up, with the ends of its logs.
    """
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    (folder / "munge.key").chmod(0o600)
    configuration = folder / "slurm.conf"
    configuration.write_text(
        CONFIGURATION.format(host=socket.gethostname(), folder=folder, controller=_port(), daemon=_port())
    )
    environment = {**os.environ, "SLURM_CONF": str(configuration)}
    daemons = {
        "munged": ["munged", "--foreground", "--force", *_munge(folder)],
        "slurmctld": ["slurmctld", "-D", "-f", str(configuration)],
        "slurmd": ["slurmd", "-D", "-f", str(configuration)],
    }
    with ExitStack() as stack:
        for name, command in daemons.items():
            log = stack.enter_context((folder / f"{name}.log").open("wb"))
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            if name == "munged":
                _wait((folder / "munge.socket").exists)
        up = _wait(lambda: "idle" in _told(environment, "sinfo", "--noheader", "--format=%T"))
        if not up:
            said = {name: (folder / f"{name}.log").read_text(errors="replace")[-400:] for name in daemons}
            raise RuntimeError(f"Slurm did not come up: {said}")
        yield environment
        subprocess.run(["scancel", "--signal=KILL", "--full", "--user=root"], env=environment, check=False)
        _wait(lambda: not _told(environment, "squeue", "--noheader"))


def _munge(folder: Path) -> list[str]:
    files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed"}
    files["log-file"] = "log"
    return [f"--{option}={folder}/munge.{name}" for option, name in files.items()]


def _told(environment: dict[str, str], *command: str) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout


def _wait(done: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if done():
            return True
        time.sleep(0.2)
    return False
