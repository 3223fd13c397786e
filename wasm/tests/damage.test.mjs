// Damaged streams: the errors are those of Python, nothing is decoded, and no memory is lost.

import assert from "node:assert/strict";
import { test } from "node:test";

import { contains, decode, FormatError, header, labels } from "crackle-zarr";

import { manifest, read, sha256 } from "./fixtures.mjs";

test("errors are those of Python: message, section and slice", async () => {
  assert.ok(manifest.damaged.length > 500);
  for (const { hex, message, section, slice } of manifest.damaged) {
    await assert.rejects(decode(Buffer.from(hex, "hex")), (error) => {
      assert.ok(error instanceof FormatError, String(error));
      assert.deepEqual([error.message, error.section, error.slice], [message, section, slice]);
      return true;
    });
  }
});

test("every byte that is changed is an error, or makes no difference", async () => {
  const stream = read("constant.ckl");
  const one = manifest.streams.find(({ name }) => name === "constant");
  let errors = 0;
  for (let at = 0; at < stream.length; at++) {
    for (const change of [0x01, 0x80, 0xff]) {
      const bad = stream.slice();
      bad[at] ^= change;
      try {
        assert.equal(sha256((await decode(bad)).data), one.sha256, `byte ${at}`);
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        errors++;
      }
    }
  }
  assert.ok(errors > stream.length);
});

test("questions refuse damaged label tables", async () => {
  const stream = read("uint32.ckl");
  const [first] = await labels(stream);
  const [sx, sy, sz] = (await header(stream)).shape;
  const table = 29 + 4 * sz + 4 + 8; // header, crack index and its checksum, the number of labels
  assert.ok(sx && sy);
  const bad = stream.slice();
  bad[table] ^= 1;
  await assert.rejects(labels(bad), { name: "FormatError", section: "labels" });
  await assert.rejects(contains(bad, first), { name: "FormatError", section: "labels" });
  await assert.rejects(decode(bad, { label: first }), { name: "FormatError", section: "labels" });
  await assert.rejects(decode(bad, { z: 0 }), { name: "FormatError", section: "labels" });
});

test("what is no stream is refused", async () => {
  await assert.rejects(header(new Uint8Array(0)), FormatError);
  await assert.rejects(labels(new Uint8Array(1000)), FormatError);
  await assert.rejects(decode(new TextEncoder().encode("<!doctype html><title>404</title>".repeat(9))), {
    name: "FormatError",
    section: "header",
  });
});
