// Functions on one stream: header, labels, contains, decode.

import { FormatError } from "./errors.js";
import { openStream } from "./module.js";

// Slices are decoded in groups of about this many bytes, each copied out before the next. So the module's
// memory stays small, and the copy reads what is still in the cache.
const GROUP_NBYTES = 2 * 2 ** 20;

// A damaged header may claim slices of any size. Larger ones are believed only if the label table is sound.
const CREDIBLE_NBYTES = 16 * 2 ** 20;

const ARRAYS = {
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
};

/** Whether there is a typed array for a data type. */
export function isLabelType(dtype) {
  return Object.hasOwn(ARRAYS, dtype);
}

/** The header of an open stream. */
export function readHeader(open) {
  const address = open.allocate(14 * 4);
  open.call("header", address);
  const f = new Uint32Array(open.bytes(address, 14 * 4).slice().buffer);
  return {
    shape: [f[0], f[1], f[2]],
    dtype: `${f[9] ? "int" : "uint"}${8 * f[4]}`,
    formatVersion: f[3],
    storedWidth: f[5],
    permissible: f[6] === 1,
    labelFormat: f[7] === 0 ? "flat" : "pins",
    order: f[8] ? "F" : "C",
    markovModelOrder: f[10],
    isSorted: f[11] === 1,
    numLabelBytes: f[12] + f[13] * 2 ** 32,
  };
}

/** The label table of an open stream in stored order, as an array of the stream's data type. */
export function readTable(open, dtype) {
  const count = open.allocate(8);
  open.call("table_size", count);
  const [size] = new BigUint64Array(open.bytes(count, 8).slice().buffer);
  const nbytes = 8 * Number(size);
  const address = open.allocate(nbytes);
  open.call("read_table", address, Number(size));
  const table = new BigUint64Array(open.bytes(address, nbytes).slice().buffer);
  if (dtype === "uint64") return table;
  const signed = new BigInt64Array(table.buffer);
  return dtype === "int64" ? signed : ARRAYS[dtype].from(signed, Number);
}

/** Ascending, without repeats. */
function distinct(labels) {
  labels.sort();
  return labels.filter((label, i) => i === 0 || label !== labels[i - 1]);
}

/** A label as the 64 bits that C takes; null if no volume of the data type has it. */
function bitsOf(label, dtype) {
  if (typeof label !== "bigint" && !Number.isInteger(label))
    throw new TypeError(`a label is an integer, as a number or a BigInt, not ${String(label)}`);
  if (typeof label === "number" && !Number.isSafeInteger(label))
    throw new TypeError(`the label ${label} is not exact as a number: use a BigInt, such as 2n ** 60n`);
  const bits = BigInt(label);
  const fits = dtype.startsWith("u") ? BigInt.asUintN(64, bits) === bits : BigInt.asIntN(64, bits) === bits;
  return fits ? bits : null;
}

function volumeText(header) {
  return `${header.dtype} and shape (x, y, z) = (${header.shape.join(", ")})`;
}

/** An array for voxels, or an error that says how large it would have been. */
function allocateVoxels(TypedArray, count) {
  try {
    return new TypedArray(count);
  } catch (error) {
    const nbytes = count * TypedArray.BYTES_PER_ELEMENT;
    throw new RangeError(
      `there is no memory for ${nbytes} bytes of voxels: decode some slices at a time, with z`,
      {
        cause: error,
      },
    );
  }
}

/** Decode the slices [start, end) of an open stream, x fastest; of a mask if 'bits' is given. */
function decodeSlices(open, header, start, end, bits) {
  const TypedArray = bits === undefined ? ARRAYS[header.dtype] : Uint8Array;
  const [sx, sy] = header.shape;
  const width = TypedArray.BYTES_PER_ELEMENT;
  const count = sx * sy * (end - start);
  if (bits === null || count === 0) {
    readTable(open, header.dtype); // a damaged table is an error here as well
    return allocateVoxels(TypedArray, count);
  }
  const perGroup = Math.min(end - start, Math.max(1, Math.floor(GROUP_NBYTES / (sx * sy * width))));
  if (sx * sy * width > CREDIBLE_NBYTES) readTable(open, header.dtype);
  const group = open.allocate(sx * sy * width * perGroup);
  let voxels;
  for (let z = start; z < end; z += perGroup) {
    const stop = Math.min(z + perGroup, end);
    const nbytes = sx * sy * width * (stop - z);
    if (bits === undefined) open.call("decode", z, stop, group, nbytes);
    else open.call("decode_mask", z, stop, bits, group, nbytes);
    voxels ??= allocateVoxels(TypedArray, count);
    new Uint8Array(voxels.buffer).set(open.bytes(group, nbytes), sx * sy * width * (z - start));
  }
  return voxels;
}

function slicesOf(z, sz) {
  const [start, end] = z === undefined ? [0, sz] : typeof z === "number" ? [z, z + 1] : z;
  if (!Number.isInteger(start) || !Number.isInteger(end) || start < 0 || start > end || end > sz)
    throw new RangeError(`z is a slice or [start, end) within 0 to ${sz}, not ${JSON.stringify(z)}`);
  return [start, end];
}

/** See index.d.ts. */
export async function header(stream) {
  return openStream(stream, readHeader);
}

/** See index.d.ts. */
export async function labels(stream) {
  return openStream(stream, (open) => distinct(readTable(open, readHeader(open).dtype)));
}

/** See index.d.ts. */
export async function contains(stream, label) {
  return openStream(stream, (open) => {
    const bits = bitsOf(label, readHeader(open).dtype);
    if (bits === null) return false;
    const found = open.allocate(4);
    open.call("contains", bits, found);
    return open.bytes(found, 4)[0] !== 0;
  });
}

/** See index.d.ts. */
export async function decode(stream, { label, z } = {}) {
  return openStream(stream, (open) => {
    const head = readHeader(open);
    const [sx, sy, sz] = head.shape;
    const [start, end] = slicesOf(z, sz);
    const bits = label === undefined ? undefined : bitsOf(label, head.dtype);
    const data = decodeSlices(open, head, start, end, bits);
    return { data, shape: [sx, sy, end - start], stride: [1, sx, sx * sy] };
  });
}

/** See index.d.ts. */
export async function decodeChunk(stream, { shape, dtype }) {
  const stored = dtype === "bool" ? "uint8" : dtype;
  if (!isLabelType(stored))
    throw new TypeError(
      `Crackle stores labels: integers or bool, not ${dtype}. Another codec has to store this array`,
    );
  const [sy, sx] = [1, 1, ...shape].slice(-2);
  const volume = [sx, sy, shape.slice(0, -2).reduce((a, b) => a * b, 1)];
  return openStream(stream, (open) => {
    const head = readHeader(open);
    const needed = { dtype: stored, shape: volume };
    if (volumeText(head) !== volumeText(needed))
      throw new FormatError(
        `the chunk holds a Crackle stream of ${volumeText(head)}; ` +
          `a chunk of ${dtype} and shape (${shape.join(", ")}) needs ${volumeText(needed)}`,
        "header",
      );
    if (dtype === "bool" && readTable(open, stored).some((label) => label > 1))
      throw new FormatError("the chunk of a bool array holds labels other than 0 and 1", "labels");
    return decodeSlices(open, head, 0, volume[2], undefined);
  });
}
