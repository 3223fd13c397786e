// The C library in WebAssembly: loading it, its memory, and its statuses as exceptions.
//
// The module is part of a JavaScript file, in base 64. So it loads in the same way in node, in pages, in
// workers and behind every bundler, without a second request.

import { WASM } from "../dist/wasm.js";
import { FormatError } from "./errors.js";

// Values of crackle_status in csrc/crackle.h.
const OK = 0;
const BAD_ARGUMENT = 1;
const NO_MEMORY = 2;
const TOO_LARGE = 9;

// struct crackle_where: two 32-bit numbers.
const WHERE_NBYTES = 8;
const NO_SLICE = 0xffff_ffff;

// WebAssembly memory never shrinks. An instance with more than this is replaced after the call.
const KEPT_NBYTES = 64 * 2 ** 20;

/** @type {Promise<WebAssembly.Module> | undefined} */
let compiled;
/** @type {Promise<{exports: any, isUsable: boolean}> | undefined} */
let kept;

function compile() {
  const text = atob(WASM);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return WebAssembly.compile(bytes);
}

async function instantiate() {
  compiled ??= compile();
  const { exports } = await WebAssembly.instantiate(await compiled, {});
  exports._initialize();
  return { exports, isUsable: true };
}

/** The instance of the module; the same for all calls, so that its memory is used again. */
async function load() {
  for (;;) {
    const loading = (kept ??= instantiate());
    const instance = await loading;
    if (instance.isUsable) return instance;
    if (kept === loading) kept = undefined;
  }
}

/** The bytes that a caller passes as a stream, without a copy. */
function bytesOf(stream) {
  if (stream instanceof Uint8Array) return stream;
  if (ArrayBuffer.isView(stream)) return new Uint8Array(stream.buffer, stream.byteOffset, stream.byteLength);
  if (stream instanceof ArrayBuffer) return new Uint8Array(stream);
  if (typeof SharedArrayBuffer !== "undefined" && stream instanceof SharedArrayBuffer)
    return new Uint8Array(stream);
  throw new TypeError(`a Crackle stream is a Uint8Array or an ArrayBuffer, not ${describe(stream)}`);
}

function describe(value) {
  return value === null || typeof value !== "object"
    ? String(value)
    : (value.constructor?.name ?? "an object");
}

/**
 * A stream in the module's memory, for the time of one call of openStream().
 *
 * Memory can grow during any call of the module, which detaches all views of it. So no view is kept: bytes()
 * makes a new one each time.
 */
class OpenStream {
  #exports;
  #allocated = [];
  #where;

  constructor(exports) {
    this.#exports = exports;
  }

  /** Copy a stream into memory. */
  take(stream) {
    this.#where = this.allocate(WHERE_NBYTES);
    this.nbytes = stream.byteLength;
    this.address = this.allocate(this.nbytes);
    this.bytes(this.address, this.nbytes).set(stream);
  }

  /** The address of new memory, which is freed at the end. */
  allocate(nbytes) {
    // malloc() takes 32 bits, so a larger number would be cut to its lower half.
    const address = nbytes < 2 ** 32 ? this.#exports.malloc(Math.max(nbytes, 1)) >>> 0 : 0;
    if (address === 0) throw new RangeError(`WebAssembly has no memory for ${nbytes} more bytes`);
    this.#allocated.push(address);
    return address;
  }

  /** A view of memory, valid until the next call of allocate() or call(). */
  bytes(address, nbytes) {
    return new Uint8Array(this.#exports.memory.buffer, address, nbytes);
  }

  /** Call a function of exports.c with the stream, arguments and 'where'; throws what its status says. */
  call(name, ...args) {
    const status = this.#exports[name](this.address, this.nbytes, ...args, this.#where);
    if (status !== OK) throw this.#error(status);
  }

  #error(status) {
    const message = this.#text(this.#exports.status_message(status));
    if (status === NO_MEMORY || status === BAD_ARGUMENT || status === TOO_LARGE)
      return new RangeError(message);
    const [sectionNumber, sliceNumber] = new Uint32Array(
      this.bytes(this.#where, WHERE_NBYTES).slice().buffer,
    );
    const section = sectionNumber === 0 ? null : this.#text(this.#exports.section_name(sectionNumber));
    const slice = section === null || sliceNumber === NO_SLICE ? null : sliceNumber;
    const where = slice === null ? `section: ${section}` : `section: ${section}, slice z = ${slice}`;
    const place = section === null ? "" : ` (${where})`;
    return new FormatError(`not a sound Crackle stream: ${message}${place}`, section, slice);
  }

  #text(address) {
    const memory = new Uint8Array(this.#exports.memory.buffer, address >>> 0);
    return String.fromCharCode(...memory.subarray(0, memory.indexOf(0)));
  }

  free() {
    for (const address of this.#allocated) this.#exports.free(address);
    this.#allocated = [];
  }
}

/**
 * Call 'use' with a stream in the module's memory, and free all its memory afterwards, also after an
 * exception.
 *
 * 'use' is synchronous: no other call can interrupt it.
 *
 * @template T
 * @param {Uint8Array | ArrayBuffer} stream
 * @param {(open: OpenStream) => T} use
 * @returns {Promise<T>}
 */
export async function openStream(stream, use) {
  const bytes = bytesOf(stream);
  const instance = await load();
  const open = new OpenStream(instance.exports);
  try {
    open.take(bytes);
    return use(open);
  } catch (error) {
    // A trap leaves the module in an unknown state, so that nothing of it is used again.
    if (error instanceof WebAssembly.RuntimeError) instance.isUsable = false;
    throw error;
  } finally {
    if (instance.isUsable) open.free();
    if (instance.exports.memory.buffer.byteLength > KEPT_NBYTES) instance.isUsable = false;
  }
}

/** How many bytes of WebAssembly memory are held: for tests. */
export async function memoryHeld() {
  return (await load()).exports.memory.buffer.byteLength;
}
