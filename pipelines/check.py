"""Find the images that DALI cannot decode: python -m mixdali.pipelines.check FOLDER

DALI stops at such a file without saying which one it is, and cannot skip it.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nvidia.dali import fn, pipeline_def, types

from .arguments import thread_count
from .sources.files import EXTENSIONS

TOGETHER = 64


@pipeline_def(num_threads=1, device_id=None)
def _decoding(files: Sequence[str]) -> Any:
    encoded, _ = fn.readers.file(files=list(files))
    return fn.decoders.image(encoded, output_type=types.RGB, adjust_orientation=False).shape()


def undecodable(files: Sequence[str]) -> Iterator[str]:
    """Those of the files that DALI's decoder on the CPU refuses, in order; all of them are decoded."""
    groups = [files[start : start + TOGETHER] for start in range(0, len(files), TOGETHER)]
    with ThreadPoolExecutor(thread_count(None)) as pool:
        for refused in pool.map(_refused, groups):
            yield from refused


def _refused(files: Sequence[str]) -> list[str]:
    if _decodes(files):
        return []
    return [file for file in files if not _decodes([file])]


def _decodes(files: Sequence[str]) -> bool:
    try:
        _decoding(files, batch_size=len(files)).run()
    except RuntimeError:
        return False
    return True


def main() -> None:
    description = "Find the images that DALI cannot decode"
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}.check", description=description)
    parser.add_argument("folder", type=Path, help="decoded with all its subfolders")
    folder = parser.parse_args().folder
    if not folder.is_dir():
        sys.exit(f"there is no folder {folder}")
    files = sorted(str(path) for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS)
    if not files:
        sys.exit(f"{folder} holds no images: no file ends in {', '.join(EXTENSIONS)}")
    refused = 0
    for file in undecodable(files):
        print(file, flush=True)
        refused += 1
    print(f"{refused} of {len(files)} images cannot be decoded", file=sys.stderr)
    sys.exit(1 if refused else 0)


if __name__ == "__main__":
    main()
