"""What the processor of this machine can do, asked without the engines."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

# Its instructions that multiply bfloat16, as Linux names them. Others convert to float32 first, and lose.
BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16"})


@lru_cache
def multiplies_bfloat16(file: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor has instructions for products of bfloat16; False where the system does not say."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return False
    found = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return bool(found) and not BFLOAT16.isdisjoint(found[1].split())
