"""How much memory does the codec need beyond input and output? Each peak is of a fresh process.

Linux only.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from _common import load, parser, save, show

CASES = {
    "default": {},
    "Markov 5": {"markov_model_order": 5},
    "pins 1": {"allow_pins": 1},
    "pins 2": {"allow_pins": 2},
    "parallel 2": {"parallel": 2},
    "C order": {"c_order": True},
}

CHILD = """
import json
import sys
import numpy as np
import crackle_zarr
from pathlib import Path

def kib(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])

def peak_of(call):
    call(small)                                      # load everything that is loaded once
    Path("/proc/self/clear_refs").write_text("5")    # the peak begins here
    before = kib("VmRSS")
    result = call(volume)
    return (kib("VmHWM") - before) / 1024, result

options = json.loads(sys.argv[2])
c_order = options.pop("c_order", False)
volume = np.load(sys.argv[1])
volume = np.ascontiguousarray(volume) if c_order else volume
small = volume[:8, :8, :8].copy(order="C" if c_order else "F")
options.setdefault("parallel", 1)
encoding, stream = peak_of(lambda v: crackle_zarr.compress(v, **options))
encoding -= len(stream) / 2**20
streams = {small.size: crackle_zarr.compress(small, **options), volume.size: stream}
volume += 0                                          # warm and writable: it becomes the output
decoding, _ = peak_of(
    lambda v: crackle_zarr.decompress(streams[v.size], out=v, parallel=options["parallel"])
)
print(encoding, decoding)
"""


def main() -> None:
    arguments = parser(__doc__).parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "volume.npy"
        np.save(path, load(arguments))
        for name, options in CASES.items():
            child = [sys.executable, "-P", "-c", CHILD, str(path), json.dumps(options)]
            done = subprocess.run(child, capture_output=True, text=True, check=True)
            results[name] = [float(value) for value in done.stdout.split()]
    rows = [[name, f"{encoding:.1f}", f"{decoding:.1f}"] for name, (encoding, decoding) in results.items()]
    show("Peak beyond input and output, MiB; the aim is 64", ["", "compress", "decompress(out=)"], rows)
    save(arguments.json, results)


if __name__ == "__main__":
    main()
