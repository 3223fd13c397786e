// Labels as colours: each label has one, and a highlighted label dims all others.

/** A number from 0 to 2^32 - 1 that looks random and depends on the label alone. */
function scramble(low, high) {
  let h = Math.imul(low ^ Math.imul(high, 0x9e3779b1), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** The two 32-bit halves of a label. */
export function halves(label) {
  const bits = BigInt.asUintN(64, BigInt(label));
  return [Number(bits & 0xffffffffn), Number(bits >> 32n)];
}

/** Red, green and blue, none of them dark; 0, the background, is black. */
export function colorOf(low, high) {
  if (low === 0 && high === 0) return [0, 0, 0];
  const h = scramble(low, high);
  return [64 + (h & 0xff) * 0.75, 64 + ((h >>> 8) & 0xff) * 0.75, 64 + ((h >>> 16) & 0xff) * 0.75];
}

/**
 * Draw labels into the pixels of an image.
 *
 * @param {ArrayLike<number> | BigUint64Array | BigInt64Array} labels one per pixel
 * @param {Uint8ClampedArray} pixels red, green, blue and alpha of each pixel
 * @param {number | bigint | null} highlighted the label that keeps its colour, or null for all
 */
export function paint(labels, pixels, highlighted) {
  // BigInts are slow, so labels of 64 bits are read as two halves.
  const isWide = labels.BYTES_PER_ELEMENT === 8;
  const words = isWide ? new Uint32Array(labels.buffer, labels.byteOffset, 2 * labels.length) : labels;
  const wanted = highlighted === null ? null : halves(highlighted);
  for (let i = 0, at = 0; i < labels.length; i++, at += 4) {
    const low = (isWide ? words[2 * i] : words[i]) >>> 0;
    const high = isWide ? words[2 * i + 1] : words[i] < 0 ? 0xffffffff : 0;
    const [red, green, blue] = colorOf(low, high);
    const dim = wanted === null || (low === wanted[0] && high === wanted[1]) ? 1 : 0.2;
    pixels[at] = red * dim;
    pixels[at + 1] = green * dim;
    pixels[at + 2] = blue * dim;
    pixels[at + 3] = 255;
  }
}
