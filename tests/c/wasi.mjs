// Runs a test program of WebAssembly: "node wasi.mjs PROGRAM". The programs only print and exit, so these few
// functions of WASI will do; those of node 20 abort in programs whose memory has grown.

import { readFileSync, writeSync } from "node:fs";

class Exit extends Error {}

let memory;
const view = () => new DataView(memory.buffer); // memory may grow between two calls

const functions = {
  fd_write(file, pieces, count, writtenAt) {
    let written = 0;
    for (let i = 0; i < count; i++) {
      const [start, length] = [0, 4].map((at) => view().getUint32(pieces + 8 * i + at, true));
      written += writeSync(file, new Uint8Array(memory.buffer, start, length));
    }
    view().setUint32(writtenAt, written, true);
    return 0;
  },
  fd_fdstat_get(_file, status) {
    new Uint8Array(memory.buffer, status, 24).fill(0);
    view().setUint8(status, 2); // a terminal
    return 0;
  },
  fd_seek: () => 70, // no file
  fd_close: () => 0,
  proc_exit(code) {
    throw Object.assign(new Exit(), { code });
  },
};

const module = new WebAssembly.Module(readFileSync(process.argv[2]));
const { exports } = new WebAssembly.Instance(module, { wasi_snapshot_preview1: functions });
memory = exports.memory;
try {
  exports._start();
} catch (error) {
  if (!(error instanceof Exit)) throw error;
  process.exitCode = error.code;
}
