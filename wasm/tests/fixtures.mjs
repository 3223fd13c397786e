// What tests/wasm_cases.py has written, and the sample data of the codec's documentation.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder that wasm_cases.py has written. */
export const FOLDER = process.env.CRACKLE_FIXTURES;

/** The sample data of docs/zarr-extension. */
export const SAMPLES =
  process.env.CRACKLE_SAMPLES ??
  fileURLToPath(new URL("../../docs/zarr-extension/sample_data", import.meta.url));

if (!FOLDER) throw new Error("CRACKLE_FIXTURES names the folder of fixtures: run pytest tests/wasm");

export const manifest = JSON.parse(readFileSync(join(FOLDER, "manifest.json"), "utf8"));

export function read(file) {
  return new Uint8Array(readFileSync(join(FOLDER, file)));
}

export function readGolden(file) {
  return new Uint8Array(readFileSync(file));
}

export function bytesOf(data) {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

export function sha256(data) {
  return createHash("sha256").update(bytesOf(data)).digest("hex");
}

/** An array of a data type over bytes. */
export function typed(dtype, bytes) {
  const big = dtype.endsWith("64") ? "Big" : "";
  const name = `${big}${dtype.replace("uint", "Uint").replace(/^int/, "Int")}Array`;
  return new globalThis[name](bytes.slice().buffer);
}
