// The codec for zarrita.
//
// zarrita gives every codec of a chunk the chunk's logical shape. Behind "transpose", and in format 2 with
// order "F", the stream has the permuted shape: it is worked out here from the list of codecs. The voxels
// stay as they are, since zarrita's transpose gives strides to them. It does that for one transpose only, so
// the axes of further ones are moved here.

import { decodeChunk, isLabelType } from "./stream.js";

const NAMES = ["crackle", "numcodecs.crackle"];

/** What an option may be, and how to say so. */
const OPTIONS = {
  markov_model_order: [
    (value) => value === "auto" || isWithin(value, 12),
    'an integer from 0 to 12, or "auto"',
  ],
  allow_pins: [(value) => isWithin(value, 2) || typeof value === "boolean", "an integer from 0 to 2"],
  byteorder: [(value) => [null, "<", ">"].includes(value), '"<" or ">"'],
};

function isWithin(value, most) {
  return Number.isInteger(value) && value >= 0 && value <= most;
}

function checkOptions(configuration, names) {
  for (const [name, value] of Object.entries(configuration)) {
    if (!names.includes(name))
      throw new TypeError(`Crackle has the options ${names.join(", ")}, not ${name}`);
    const [isAllowed, allowed] = OPTIONS[name];
    if (!isAllowed(value))
      throw new TypeError(`${name} of Crackle is ${allowed}, not ${JSON.stringify(value)}`);
  }
}

/** The axes of a transpose: axis i of its result is axis order[i] of what it is given. */
function orderOf(codec, rank) {
  const order = codec.configuration?.order ?? "C";
  const axes = Array.from({ length: rank }, (_, i) => i);
  return order === "C" ? axes : order === "F" ? axes.reverse() : order;
}

function permute(values, order) {
  return order.map((axis) => values[axis]);
}

function stridesOf(shape, order) {
  const stride = new Array(shape.length);
  let step = 1;
  for (const axis of [...order].reverse()) {
    stride[axis] = step;
    step *= shape[axis];
  }
  return stride;
}

/**
 * Voxels in C order of 'shape', copied from voxels with other strides.
 *
 * @template {import("./index.d.ts").LabelArray} T
 * @param {T} data
 * @returns {T}
 */
function inOrder(data, shape, stride) {
  const out = new data.constructor(data.length);
  const rank = shape.length;
  const index = new Array(rank).fill(0);
  for (let to = 0, from = 0; to < out.length; to++) {
    out[to] = data[from];
    for (let axis = rank - 1; axis >= 0; axis--) {
      from += stride[axis];
      if (++index[axis] < shape[axis]) break;
      from -= stride[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return out;
}

/** Reverse the bytes of every voxel. */
function swapBytes(data) {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const width = data.BYTES_PER_ELEMENT;
  for (let at = 0; at < bytes.length; at += width) bytes.subarray(at, at + width).reverse();
}

/** Voxels of a bool array, with the interface of zarrita's BoolArray. */
export class BoolArray {
  #bytes;

  constructor(bytes) {
    this.#bytes =
      bytes instanceof Uint8Array
        ? bytes
        : typeof bytes === "number"
          ? new Uint8Array(bytes)
          : Uint8Array.from(bytes, Boolean);
  }
  get BYTES_PER_ELEMENT() {
    return 1;
  }
  get buffer() {
    return this.#bytes.buffer;
  }
  get byteOffset() {
    return this.#bytes.byteOffset;
  }
  get byteLength() {
    return this.#bytes.byteLength;
  }
  get length() {
    return this.#bytes.length;
  }
  get(index) {
    return index < this.#bytes.length ? this.#bytes[index] !== 0 : undefined;
  }
  set(index, value) {
    this.#bytes[index] = value ? 1 : 0;
  }
  fill(value) {
    this.#bytes.fill(value ? 1 : 0);
  }
  *[Symbol.iterator]() {
    for (const byte of this.#bytes) yield byte !== 0;
  }
}

/** See index.d.ts. */
export class CrackleCodec {
  kind = "array_to_bytes";
  #dtype;
  #shape;
  #stride;
  #storedShape;
  #furtherOrder;
  #swapped;

  constructor(configuration, meta) {
    const codecs = meta.codecs ?? [];
    const at = codecs.findIndex((codec) => NAMES.includes(codec.name));
    const before = codecs.slice(0, Math.max(at, 0));
    const isFormat2 = codecs[at]?.name === "numcodecs.crackle";
    const options = configuration ?? {};
    checkOptions(options, isFormat2 ? Object.keys(OPTIONS) : ["markov_model_order", "allow_pins"]);
    if (meta.dataType === undefined)
      throw new TypeError("crackle-zarr needs zarrita 0.7.5 or later, and this one tells it no data type");
    if (meta.dataType !== "bool" && !isLabelType(meta.dataType))
      throw new TypeError(
        `Crackle stores labels: integers or bool, not ${meta.dataType}. ` +
          "Another codec has to store this array",
      );

    const rank = meta.shape.length;
    const orders = before.filter((codec) => codec.name === "transpose").map((codec) => orderOf(codec, rank));
    const [first = orderOf({}, rank), ...further] = orders;
    this.#dtype = meta.dataType;
    this.#shape = meta.shape;
    this.#stride = stridesOf(meta.shape, first);
    this.#storedShape = orders.reduce(permute, meta.shape);
    this.#furtherOrder = further.length ? further.reduce(permute, orderOf({}, rank)) : null;
    // Format 2: zarrita lists big-endian data as a "bytes" codec. The stream then holds the labels with their
    // bytes reversed, unless the option says that it does not.
    const isBig = before.some((codec) => codec.name === "bytes" && codec.configuration?.endian === "big");
    this.#swapped = isBig && options.byteorder !== ">";
  }

  static fromConfig(configuration, meta) {
    return new CrackleCodec(configuration, meta);
  }

  async decode(bytes) {
    let data = await decodeChunk(bytes, { shape: this.#storedShape, dtype: this.#dtype });
    if (this.#furtherOrder) {
      // The strides, in the stream, of the axes that the first transpose made.
      const stored = stridesOf(this.#storedShape, orderOf({}, this.#storedShape.length));
      const stride = [];
      const shape = [];
      this.#furtherOrder.forEach((axis, i) => {
        stride[axis] = stored[i];
        shape[axis] = this.#storedShape[i];
      });
      data = inOrder(data, shape, stride);
    }
    if (this.#swapped) swapBytes(data);
    return {
      data: this.#dtype === "bool" ? new BoolArray(data) : data,
      shape: this.#shape,
      stride: this.#stride,
    };
  }

  encode() {
    throw new Error("crackle-zarr for JavaScript reads only: write the array with crackle_zarr in Python");
  }
}

/** See index.d.ts. */
export function register(registry) {
  for (const name of NAMES) registry.set(name, async () => CrackleCodec);
}
