"""Where this checkout and its Python are."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = re.sub(r"([^\w@%+=:,./-])", r"\\\1", sys.executable)  # in a line for a shell, and in YAML without quotes
