// Arrays of both Zarr formats through zarrita, and the sample data of the codec's documentation.

import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import FileSystemStore from "@zarrita/storage/fs";
import * as zarr from "zarrita";

import { CrackleCodec, FormatError, register } from "crackle-zarr";

import { bytesOf, FOLDER, manifest, read, SAMPLES, typed } from "./fixtures.mjs";

register(zarr.registry);

function open(folder) {
  return zarr.open(new FileSystemStore(folder), { kind: "array" });
}

/** The voxels of a chunk or a selection in C order. */
function inOrder({ data, shape, stride }) {
  const get = (at) => (data.get ? Number(data.get(at)) : data[at]);
  const out = [];
  const walk = (axis, at) => {
    if (axis === shape.length) out.push(get(at));
    else for (let i = 0; i < shape[axis]; i++) walk(axis + 1, at + i * stride[axis]);
  };
  walk(0, 0);
  return out;
}

for (const { name, shape, dtype } of manifest.arrays) {
  const stored = dtype === "bool" ? "uint8" : dtype;

  test(`array: ${name}`, async () => {
    const array = await open(join(FOLDER, name));
    assert.deepEqual([array.shape, array.dtype], [shape, dtype]);
    const expected = typed(stored, read(`${name}.raw`));
    const whole = await zarr.get(array);
    assert.equal(whole.data.constructor.name.includes("Big"), dtype.endsWith("64"));
    assert.deepEqual(inOrder(whole), [...expected]);

    // A plane of the last axis cuts through every chunk across its slices.
    const rank = shape.length;
    const place = Math.min(5, shape[rank - 1] - 1);
    const cut = await zarr.get(array, [...Array(rank - 1).fill(null), place]);
    const step = shape[rank - 1];
    const wanted = [...expected].filter((_, i) => i % step === place);
    assert.deepEqual(rank === 1 ? [cut].map(Number) : inOrder(cut), wanted);

    const chunk = await array.getChunk(Array(rank).fill(0));
    const corner = await zarr.get(
      array,
      array.chunks.map((n, i) => zarr.slice(0, Math.min(n, shape[i]))),
    );
    assert.deepEqual(chunk.shape, array.chunks);
    if (array.chunks.every((n, i) => n <= shape[i])) assert.deepEqual(inOrder(chunk), inOrder(corner));
  });
}

test("sample data: blobs", async () => {
  const array = await open(join(SAMPLES, "blobs_uint32.zarr"));
  const { data, shape } = await zarr.get(array);
  assert.deepEqual(shape, [5, 18, 22]);
  const expected = [];
  for (let z = 0; z < 5; z++)
    for (let y = 0; y < 18; y++)
      for (let x = 0; x < 22; x++) {
        const ring = 1000000 + Math.floor(((x - 9) ** 2 + (y - 8) ** 2) / 40) + Math.floor(z / 3);
        expected.push(y >= 16 && x >= 16 ? 7 : ring);
      }
  assert.deepEqual([...data], expected);
});

test("sample data: stripes, sharded", async () => {
  const array = await open(join(SAMPLES, "stripes_int16_sharded.zarr"));
  const { data, shape } = await zarr.get(array);
  assert.deepEqual(shape, [2, 4, 12, 14]);
  const expected = [];
  for (let c = 0; c < 2; c++)
    for (let z = 0; z < 4; z++)
      for (let y = 0; y < 12; y++)
        for (let x = 0; x < 14; x++) expected.push(Math.floor((x + 2 * y + 3 * z) / 8) - 4 * c - 2);
  assert.deepEqual([...data], expected);
});

test("a damaged chunk is an error with the library's message as its cause", async () => {
  const folder = mkdtempSync(join(tmpdir(), "crackle-"));
  try {
    cpSync(join(FOLDER, "v3_uint32"), folder, { recursive: true });
    const file = join(folder, "c", "0", "0", "0");
    const bytes = readFileSync(file);
    bytes[bytes.length - 1] ^= 1;
    writeFileSync(file, bytes);
    const array = await open(folder);
    await assert.rejects(zarr.get(array), (error) => {
      const cause = error.cause ?? error;
      assert.ok(cause instanceof FormatError, String(cause));
      assert.match(cause.message, /^not a sound Crackle stream: .*slice z = 3/);
      return true;
    });
    assert.ok(readdirSync(folder).length > 0);
    writeFileSync(file, readFileSync(join(FOLDER, "v3_uint64", "c", "0", "0", "0")));
    await assert.rejects(zarr.get(array), (error) =>
      /holds a Crackle stream of uint64/.test(error.cause.message),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("metadata that the specification calls invalid are refused", () => {
  const meta = (dataType, name = "crackle") => ({
    dataType,
    shape: [2, 3, 4],
    codecs: [{ name, configuration: {} }],
  });
  const make = (configuration, dataType = "uint32", name = "crackle") =>
    CrackleCodec.fromConfig(configuration, meta(dataType, name));
  for (const configuration of [
    undefined,
    {},
    { markov_model_order: "auto" },
    { markov_model_order: 12, allow_pins: 2 },
  ])
    make(configuration);
  make({ byteorder: ">" }, "uint32", "numcodecs.crackle");
  for (const configuration of [
    { markov_model_order: 13 },
    { markov_model_order: "few" },
    { allow_pins: 3 },
    { level: 3 },
    { byteorder: ">" },
  ])
    assert.throws(() => make(configuration), TypeError, JSON.stringify(configuration));
  assert.throws(() => make({}, "float32"), /integers or bool, not float32/);
  const older = { data_type: "uint32", shape: [2, 3, 4], codecs: [] };
  assert.throws(() => CrackleCodec.fromConfig({}, older), /zarrita 0.7.5 or later/);
  assert.throws(() => make({}).encode(), /reads only/);
});

test("voxels of bool chunks have the interface of zarrita's", async () => {
  const array = await open(join(FOLDER, "v3_bool"));
  const { data } = await array.getChunk([0, 0, 0]);
  const bytes = bytesOf(data);
  assert.equal(data.length, bytes.length);
  assert.deepEqual([...data], [...bytes].map(Boolean));
  assert.equal(data.get(3), bytes[3] === 1);
  assert.equal(data.get(data.length), undefined);
  data.set(3, true);
  assert.equal(data.get(3), true);
  data.fill(false);
  assert.ok(![...data].includes(true));
});
