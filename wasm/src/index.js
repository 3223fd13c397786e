// crackle-zarr: Crackle label volumes in JavaScript. index.d.ts is the manual.

export { CrackleCodec, register } from "./codec.js";
export { FormatError } from "./errors.js";
export { contains, decode, decodeChunk, header, labels } from "./stream.js";
