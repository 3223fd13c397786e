// Compiled, and never run: the types fit zarrita and their use.

import * as zarr from "zarrita";

import {
  type LabelArray,
  contains,
  decode,
  decodeChunk,
  FormatError,
  header,
  labels,
  register,
} from "crackle-zarr";

export async function use(stream: Uint8Array): Promise<number> {
  register(zarr.registry);
  const found: LabelArray = await labels(stream);
  const mask = await decode(stream, { label: 5n, z: [0, 3] });
  const bytes: Uint8Array = mask.data;
  const slice = await decode(stream, { z: 1 });
  const [sx] = slice.shape;
  const head = await header(stream.buffer);
  const chunk = await decodeChunk(stream, { shape: [1, 2, 3], dtype: head.dtype });
  if (await contains(stream, 7)) throw new FormatError("no", "labels", null);
  // @ts-expect-error a label is a number or a BigInt
  await contains(stream, "7");
  // @ts-expect-error there is no such data type
  await decodeChunk(stream, { shape: [1], dtype: "float32" });
  return found.length + bytes.length + sx + chunk.length;
}
