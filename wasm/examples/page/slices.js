// Slices of an array, from chunks that stay decoded for a while.

import * as zarr from "zarrita";

const KEPT_NBYTES = 256 * 2 ** 20;

/** Opens a Zarr array, or the finest level of OME-Zarr labels. */
export async function openLabels(url) {
  const node = await zarr.open(new zarr.FetchStore(url));
  if (node.kind === "array") return node;
  const attributes = node.attrs.ome ?? node.attrs;
  const path = attributes.multiscales?.[0]?.datasets?.[0]?.path;
  if (path === undefined) throw new Error(`${url} is a group without OME-Zarr labels: name an array in it`);
  return zarr.open(node.resolve(path), { kind: "array" });
}

/** The planes of the last two axes, along the axis before them. Further axes stay at 0. */
export class Slices {
  #chunks = new Map(); // by key, the least recently used first

  constructor(array) {
    this.array = array;
    const [height, width] = [1, 1, ...array.shape].slice(-2);
    Object.assign(this, { height, width, depth: array.shape.at(-3) ?? 1 });
  }

  /** A chunk; kept while there is room, so that the next slice does not decode it again. */
  #chunk(coordinates) {
    const key = coordinates.join();
    const chunk = this.#chunks.get(key) ?? this.array.getChunk(coordinates);
    this.#chunks.delete(key);
    this.#chunks.set(key, chunk);
    chunk.catch(() => this.#chunks.delete(key));
    const nbytes = this.array.chunks.reduce((a, b) => a * b, 8);
    const room = Math.max(Math.ceil(KEPT_NBYTES / nbytes), this.#inPlane());
    while (this.#chunks.size > room) this.#chunks.delete(this.#chunks.keys().next().value);
    return chunk;
  }

  #inPlane() {
    const [chunkHeight, chunkWidth] = [1, 1, ...this.array.chunks].slice(-2);
    return Math.ceil(this.height / chunkHeight) * Math.ceil(this.width / chunkWidth);
  }

  /** The labels of slice z, x fastest. */
  async get(z) {
    const rank = this.array.shape.length;
    const chunks = [1, 1, 1, ...this.array.chunks].slice(-3);
    const [chunkDepth, chunkHeight, chunkWidth] = chunks;
    const copies = [];
    let labels;
    for (let y = 0; y < this.height; y += chunkHeight)
      for (let x = 0; x < this.width; x += chunkWidth) {
        const place = [Math.floor(z / chunkDepth), y / chunkHeight, x / chunkWidth];
        const coordinates = [...new Array(Math.max(rank - 3, 0)).fill(0), ...place.slice(-Math.min(rank, 3))];
        copies.push(
          this.#chunk(coordinates).then(({ data, stride }) => {
            labels ??= new (data.get ? Uint8Array : data.constructor)(this.width * this.height);
            const voxels = data.get ? new Uint8Array(data.buffer, data.byteOffset, data.length) : data;
            const [alongZ, alongY, alongX] = [0, 0, 0, ...stride].slice(-3);
            const height = Math.min(chunkHeight, this.height - y);
            const width = Math.min(chunkWidth, this.width - x);
            for (let row = 0; row < height; row++) {
              const from = (z % chunkDepth) * alongZ + row * alongY;
              const to = (y + row) * this.width + x;
              if (alongX === 1) labels.set(voxels.subarray(from, from + width), to);
              else for (let i = 0; i < width; i++) labels[to + i] = voxels[from + i * alongX];
            }
          }),
        );
      }
    await Promise.all(copies);
    return labels;
  }
}
