// crackle-zarr: Crackle label volumes in JavaScript.
//
// A stream is a volume of labels with the axes (x, y, z). x is the fastest axis in memory. All functions
// return promises, since WebAssembly is compiled at the first call. They verify every checksum of what they
// read.

/** A Crackle stream, such as a chunk of a Zarr array or a file with the suffix .ckl. */
export type Stream = Uint8Array | ArrayBufferLike | ArrayBufferView;

/** Labels of 64 bits are BigInts. */
export type LabelArray =
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array;

export type LabelType = "uint8" | "uint16" | "uint32" | "uint64" | "int8" | "int16" | "int32" | "int64";

/**
 * A stream is damaged, truncated, foreign, or of an unknown version.
 *
 * zarrita throws a CodecPipelineError, whose `cause` is this error.
 */
export class FormatError extends Error {
  constructor(message: string, section?: string | null, slice?: number | null);
  /** The name of the damaged section, or null. */
  readonly section: string | null;
  /** The number of the damaged slice, or null. */
  readonly slice: number | null;
}

export interface Header {
  /** (x, y, z). */
  shape: [number, number, number];
  dtype: LabelType;
  formatVersion: 0 | 1;
  /** Bytes of a label in the label table. */
  storedWidth: 1 | 2 | 4 | 8;
  /** Whether the coded cracks lie between equal labels. */
  permissible: boolean;
  labelFormat: "flat" | "pins";
  /** The memory order in which Python returns the volume. decode() returns x fastest in any case. */
  order: "C" | "F";
  /** 0 is no model. */
  markovModelOrder: number;
  /** Whether the label table ascends. */
  isSorted: boolean;
  numLabelBytes: number;
}

/**
 * The header of a stream; its first 29 bytes are enough.
 *
 * @throws FormatError
 */
export function header(stream: Stream): Promise<Header>;

/**
 * All labels of a stream, ascending, of the stream's data type. Decodes no voxel.
 *
 * @throws FormatError
 */
export function labels(stream: Stream): Promise<LabelArray>;

/**
 * Whether a stream has a label. Decodes no voxel.
 *
 * @param label above 2^53 as a BigInt
 * @throws FormatError, or TypeError if the label is not an exact integer
 */
export function contains(stream: Stream, label: number | bigint): Promise<boolean>;

export interface DecodeOptions {
  /** A slice, or the slices [start, end). */
  z?: number | readonly [number, number];
  /** Decode a mask of this label: 1 where a voxel has it, else 0. */
  label?: number | bigint;
}

export interface Volume<T = LabelArray> {
  data: T;
  /** (x, y, z). */
  shape: [number, number, number];
  /** Voxel (x, y, z) is data[x * stride[0] + y * stride[1] + z * stride[2]]. */
  stride: [number, number, number];
}

/**
 * The labels of a volume, of some of its slices, or a mask of one label.
 *
 * @throws FormatError, RangeError if there are no such slices or no memory, or TypeError
 */
export function decode(
  stream: Stream,
  options: DecodeOptions & { label: number | bigint },
): Promise<Volume<Uint8Array>>;
export function decode(stream: Stream, options?: DecodeOptions): Promise<Volume>;

/**
 * The voxels of a Zarr chunk, in C order of its shape: for viewers that bring their own Zarr.
 *
 * The last axis of the chunk is x of the stream, the one before is y, and all others together are z. Voxels
 * of a bool array are 0 and 1 in a Uint8Array.
 *
 * @throws FormatError also if the stream has another shape or data type
 */
export function decodeChunk(
  stream: Stream,
  chunk: { shape: readonly number[]; dtype: LabelType | "bool" },
): Promise<LabelArray>;

/** What zarrita tells a codec of the chunks of an array. */
export interface ChunkMetadata {
  dataType: string;
  shape: number[];
  codecs: { name: string; configuration: Record<string, unknown> }[];
}

/** The codec of zarrita for Zarr format 3 ("crackle") and format 2 ("numcodecs.crackle"). It reads only. */
export class CrackleCodec {
  readonly kind: "array_to_bytes";
  /** @throws TypeError for an unknown option, or a data type that is neither an integer nor bool */
  constructor(configuration: Record<string, unknown> | undefined, meta: ChunkMetadata);
  static fromConfig(configuration: unknown, meta: ChunkMetadata): CrackleCodec;
  /** @throws FormatError, or RangeError if there is no memory */
  decode(bytes: Uint8Array): Promise<{ data: any; shape: number[]; stride: number[] }>;
  /** @throws Error always: arrays are written with Python */
  encode(chunk: unknown): never;
}

/**
 * Make zarrita read Crackle arrays of both formats: `register(zarr.registry)`.
 *
 * @param registry the `registry` of zarrita, or a Map of the same kind
 */
export function register(registry: { set(name: string, load: () => Promise<any>): unknown }): void;
