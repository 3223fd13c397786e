// header, labels, contains and decode on streams: all data types, options, and writers.

import assert from "node:assert/strict";
import { test } from "node:test";

import { contains, decode, decodeChunk, header, labels } from "crackle-zarr";

import { manifest, read, readGolden, sha256 } from "./fixtures.mjs";

const ONE = read("uint32.ckl");
const OF_ONE = manifest.streams.find((one) => one.name === "uint32");

for (const one of manifest.streams) {
  test(`stream: ${one.name}`, async () => {
    const stream = read(one.file);
    const [sx, sy, sz] = one.shape;
    const head = await header(stream);
    assert.deepEqual([head.shape, head.dtype], [one.shape, one.dtype]);

    const found = await labels(stream);
    assert.deepEqual([...found].map(String), one.labels);
    const wide = one.dtype.endsWith("64");
    assert.equal(found instanceof BigUint64Array || found instanceof BigInt64Array, wide);

    const whole = await decode(stream);
    assert.deepEqual([whole.shape, whole.stride], [one.shape, [1, sx, sx * sy]]);
    assert.equal(whole.data.length, sx * sy * sz);
    assert.equal(sha256(whole.data), one.sha256);

    const half = Math.floor(sz / 2);
    const part = await decode(stream, { z: [half, sz] });
    assert.deepEqual(part.shape, [sx, sy, sz - half]);
    assert.equal(sha256(part.data), one.half);

    const label = wide ? BigInt(one.some) : Number(one.some);
    const mask = await decode(stream, { label });
    assert.ok(mask.data instanceof Uint8Array);
    assert.equal(sha256(mask.data), one.mask);
    assert.equal(await contains(stream, label), one.labels.length > 0);
    assert.equal(await contains(stream, BigInt(label)), one.labels.length > 0);
  });
}

for (const one of manifest.golden) {
  test(`golden: ${one.name}`, async () => {
    const stream = readGolden(one.file);
    const { data, shape } = await decode(stream);
    assert.deepEqual(shape, one.shape);
    assert.equal((await header(stream)).dtype, one.dtype);
    assert.equal(sha256(data), one.sha256);
  });
}

test("one slice is a volume of one slice", async () => {
  const [sx, sy] = OF_ONE.shape;
  const whole = await decode(ONE);
  const slice = await decode(ONE, { z: 3 });
  assert.deepEqual(slice.shape, [sx, sy, 1]);
  assert.deepEqual(slice.data, whole.data.slice(3 * sx * sy, 4 * sx * sy));
  const mask = await decode(ONE, { z: 3, label: slice.data[100] });
  assert.deepEqual(
    mask.data,
    Uint8Array.from(slice.data, (label) => (label === slice.data[100] ? 1 : 0)),
  );
  assert.deepEqual((await decode(ONE, { z: [2, 2] })).shape, [sx, sy, 0]);
});

test("slices outside of the volume are refused", async () => {
  for (const z of [-1, 9, 1.5, [0, 10], [5, 4], [0, NaN], "3"]) {
    await assert.rejects(decode(ONE, { z }), RangeError, String(z));
  }
});

test("labels that a data type cannot have are nowhere", async () => {
  const unsigned = read("uint64.ckl");
  const signed = read("int64.ckl");
  const [first] = await labels(signed);
  assert.equal(await contains(signed, first), true);
  assert.equal(await contains(signed, BigInt.asUintN(64, first)), false, "the same bits, unsigned");
  const [large] = await labels(unsigned);
  assert.equal(await contains(unsigned, large), true);
  assert.equal(await contains(unsigned, BigInt.asIntN(64, large)), false, "the same bits, signed");
  assert.equal(await contains(ONE, 2n ** 70n), false);
  assert.equal(await contains(ONE, -1), false);
  const mask = await decode(ONE, { label: -1 });
  assert.ok(mask.data.length > 0 && mask.data.every((voxel) => voxel === 0));
});

test("labels that are no exact integers are refused", async () => {
  for (const label of [1.5, "7", null, NaN, 2 ** 60]) {
    await assert.rejects(contains(ONE, label), TypeError, String(label));
    await assert.rejects(decode(ONE, { label }), TypeError, String(label));
  }
});

test("a stream is given as an array, a buffer or a view", async () => {
  const within = new Uint8Array(ONE.length + 5);
  within.set(ONE, 3);
  const shared = new SharedArrayBuffer(ONE.length);
  new Uint8Array(shared).set(ONE);
  const forms = [
    ONE.slice().buffer,
    new DataView(within.buffer, 3, ONE.length),
    within.subarray(3, 3 + ONE.length),
    shared,
    Buffer.from(ONE),
  ];
  for (const form of forms) assert.equal(sha256((await decode(form)).data), OF_ONE.sha256);
  for (const other of ["crkl", null, 5, [1, 2], {}]) await assert.rejects(labels(other), TypeError);
});

test("a chunk has the shape and the data type that are asked for, or is refused", async () => {
  const [sx, sy, sz] = OF_ONE.shape;
  const chunk = await decodeChunk(ONE, { shape: [1, sz, sy, sx], dtype: "uint32" });
  assert.equal(sha256(chunk), OF_ONE.sha256);
  const refused = (shape, dtype, message) =>
    assert.rejects(decodeChunk(ONE, { shape, dtype }), { name: "FormatError", section: "header", message });
  await refused([sz, sy, sx], "int32", /needs int32/);
  await refused([sx, sy, sz], "uint32", /a chunk of uint32 and shape \(70, 37, 9\) needs/);
  await assert.rejects(decodeChunk(ONE, { shape: [sz, sy, sx], dtype: "float32" }), TypeError);
});

test("calls at once share the module", async () => {
  const all = manifest.streams.filter((one) => one.labels.length);
  const calls = Array.from({ length: 60 }, (_, i) => all[i % all.length]);
  const digests = await Promise.all(calls.map(async (one) => sha256((await decode(read(one.file))).data)));
  assert.deepEqual(
    digests,
    calls.map((one) => one.sha256),
  );
});
