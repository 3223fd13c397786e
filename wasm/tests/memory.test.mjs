// The module's memory: it stays small, is freed after errors too, and is given back. node runs each file of
// tests in a process of its own, so this one begins with a new module.

import assert from "node:assert/strict";
import { test } from "node:test";

import { decode, FormatError, labels } from "crackle-zarr";

import { memoryHeld } from "../src/module.js";
import { read } from "./fixtures.mjs";

test("memory is used again, and the module's memory stays small", async () => {
  const large = read("large.ckl");
  const work = async (times) => {
    for (let i = 0; i < times; i++) {
      await decode(large, { z: [i % 40, 40] });
      await labels(large);
    }
  };
  await work(80);
  const held = await memoryHeld();
  await work(120);
  assert.equal(await memoryHeld(), held);
  const voxels = 40 * 200 * 300 * 4;
  assert.ok(held < voxels, `${held} bytes are held, and the volume has ${voxels}`);
});

test("memory is freed after errors", async () => {
  const stream = read("large.ckl");
  const bad = stream.slice();
  bad[bad.length - 3] ^= 1; // the checksum of the last slice
  await assert.rejects(decode(bad), FormatError);
  const held = await memoryHeld();
  for (let i = 0; i < 40; i++) {
    await assert.rejects(decode(bad), FormatError);
    await assert.rejects(decode(stream, { label: "x" }), TypeError);
    await assert.rejects(labels(stream.subarray(0, stream.length - 1)), FormatError);
  }
  assert.equal(await memoryHeld(), held);
});

test("large memory is given back", async () => {
  const held = await memoryHeld();
  await assert.rejects(labels(new Uint8Array(100 * 2 ** 20)), FormatError);
  assert.ok((await memoryHeld()) <= held);
});
