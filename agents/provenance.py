"""What ran where: enough to know what a number was measured with."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from envs.breakout import cores


def provenance(device: torch.device) -> dict[str, Any]:
    """Say what ran where: commit, versions, device, threads, machine."""
    packages = ("torch", "stable-baselines3", "ale-py", "gymnasium", "numpy", "scikit-learn")
    return {
        "commit": _commit(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
        "machine": f"{platform.system()} {platform.machine()}, {cores()} cores",
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "started": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
    }


def _commit() -> str:
    root = Path(__file__).parent.parent
    try:
        if not (root / ".git").exists():  # git would look for a repository further up, and name that one's
            raise FileNotFoundError(root / ".git")
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=root, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown (not a git checkout)"
    return answer.stdout.strip()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown processor"
