// Times decoding for benchmarks/wasm.py: "node speed.mjs STREAM". Each line of input is one turn, which prints the
// milliseconds of the module's own work, and those of decode() with the copy into a new array.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

import { decode } from "../src/index.js";
import { openStream } from "../src/module.js";
import { readHeader } from "../src/stream.js";

const WARM_UP = 30; // turns until the engine has compiled all functions with its best compiler
const GROUP = 8; // slices at a time

const stream = new Uint8Array(readFileSync(process.argv[2]));

/** Decode into the module's memory, and leave the voxels there. */
async function inModule() {
  return openStream(stream, (open) => {
    const { shape, dtype } = readHeader(open);
    const [sx, sy, sz] = shape;
    const nbytes = (sx * sy * Number(dtype.replace(/^u?int/, ""))) / 8;
    const voxels = open.allocate(GROUP * nbytes);
    const start = performance.now();
    for (let z = 0; z < sz; z += GROUP) {
      const end = Math.min(z + GROUP, sz);
      open.call("decode", z, end, voxels, (end - z) * nbytes);
    }
    return performance.now() - start;
  });
}

async function inAll() {
  const start = performance.now();
  await decode(stream);
  return performance.now() - start;
}

for (let i = 0; i < WARM_UP; i++) {
  await inModule();
  await inAll();
}
console.log("ready");
for await (const _ of createInterface({ input: process.stdin })) {
  console.log(`${await inModule()} ${await inAll()}`);
}
