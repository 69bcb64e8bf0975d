"""Which Tieout this is: the package's version, and the commit where it runs from a checkout."""

import importlib.metadata
import subprocess
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[5]


def told() -> str:
    """`0.1.0 (git 1a2b3c4d5e, changed)`"""
    try:
        version = importlib.metadata.version("tieout-devstack")
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"
    commit = _git("rev-parse", "--short=10", "HEAD")
    if not commit:
        return version
    changed = ", changed" if _git("status", "--porcelain", "--untracked-files=no") else ""
    return f"{version} (git {commit}{changed})"


def _git(*words: str) -> str:
    """Nothing where this is no checkout, or there is no git."""
    if not (_ROOT / ".git").exists() or not (_ROOT / "tieout").is_file():
        return ""  # Somebody else's repository around an installed package is not meant.
    try:
        done = subprocess.run(["git", "-C", str(_ROOT), *words], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
