/**
 * zstd (RFC 8878), level 3. Compression runs in one pinned WebAssembly build (zstd.wasm.ts) everywhere, because the
 * bytes it makes are part of the format: versions of zstd compress differently, and clients that compress differently
 * do not deduplicate against each other. Decompression gives the same bytes in every implementation, so Node uses its
 * own.
 *
 * Emscripten's loader is not used: it asks for a file beside the code, and its globals serve one instance only.
 */
import { gunzipBase64, zstdDecompress } from "#primitives";

const LEVEL = 3;
const MAGIC = 0xfd2f_b528;
const PAGE_BYTES = 65_536;
const MEMORY_LIMIT_BYTES = 256 * 1024 * 1024;

/** Names of the module's imports and exports, which Emscripten shortens; those of the pinned build. */
interface ZstdExports {
  readonly f: WebAssembly.Memory;
  /** Constructors; called once. */
  g(): void;
  /** ZSTD_isError */
  h(code: number): number;
  /** ZSTD_compressBound */
  i(size: number): number;
  /** ZSTD_createCCtx */
  j(): number;
  /** ZSTD_compress_usingDict */
  l(
    c: number,
    to: number,
    room: number,
    from: number,
    size: number,
    dict: number,
    dictBytes: number,
    n: number,
  ): number;
  /** ZSTD_createDCtx */
  n(): number;
  /** ZSTD_decompress_usingDict */
  q(d: number, to: number, room: number, from: number, size: number, dict: number, dictBytes: number): number;
  /** malloc */
  s(size: number): number;
}

/**
 * Compresses into one frame that states its content size and has neither checksum nor dictionary.
 * @returns a view that the next call overwrites
 */
export type Compress = (bytes: Uint8Array) => Uint8Array;

/**
 * Decompresses exactly one frame as `Compress` makes it.
 * @param sizeBytes length that the content must have; the frame must state it. Nothing larger is allocated
 * @returns memory of its own, or undefined for anything but such a frame
 */
export type Decompress = (frame: Uint8Array, sizeBytes: number) => Uint8Array | undefined;

let compiling: Promise<WebAssembly.Module> | undefined;
let compressor: Promise<Compress> | undefined;
let decompressor: Promise<Decompress> | undefined;

/** The compressor of this thread; loaded when it is first asked for. */
export function loadCompressor(): Promise<Compress> {
  compressor ??= instantiate().then(createCompressor);
  return compressor;
}

/** The decompressor: of the platform if it has one. */
export function loadDecompressor(): Promise<Decompress> {
  decompressor ??= zstdDecompress === undefined ? loadKernelDecompressor() : Promise.resolve(checked(zstdDecompress));
  return decompressor;
}

/** The decompressor of the pinned build. */
export async function loadKernelDecompressor(): Promise<Decompress> {
  return checked(createDecompressor(await instantiate()));
}

async function instantiate(): Promise<ZstdExports> {
  compiling ??= compile();
  const module = await compiling;
  let memory: WebAssembly.Memory | undefined;
  const ended = (): never => {
    throw new Error("the zstd module has aborted");
  };
  const grow = (wantedBytes: number): number => {
    const wanted = wantedBytes >>> 0;
    if (memory === undefined || wanted > MEMORY_LIMIT_BYTES) return 0;
    memory.grow(Math.ceil((wanted - memory.buffer.byteLength) / PAGE_BYTES));
    return 1;
  };
  const { exports } = await WebAssembly.instantiate(module, {
    a: { a: ended, b: () => undefined, c: ended, d: () => 0, e: grow },
  });
  const zstd = exports as unknown as ZstdExports;
  memory = zstd.f;
  zstd.g();
  return zstd;
}

async function compile(): Promise<WebAssembly.Module> {
  // Loaded when it is needed: a page whose bundler splits code downloads it only then.
  const { ZSTD_WASM_GZIP_BASE64 } = await import("./zstd.wasm.ts");
  return await WebAssembly.compile(await gunzipBase64(ZSTD_WASM_GZIP_BASE64));
}

/** Memory inside the module that grows to the largest call; at most a few sizes occur. */
class Room {
  readonly #zstd: ZstdExports;
  #address = 0;
  #bytes = 0;

  constructor(zstd: ZstdExports) {
    this.#zstd = zstd;
  }

  /** Never freed: after the growth to the largest frame there is one block of that size. */
  at(bytes: number): number {
    if (bytes <= this.#bytes) return this.#address;
    this.#bytes = Math.max(bytes, 4 * this.#bytes, PAGE_BYTES);
    this.#address = this.#zstd.s(this.#bytes);
    if (this.#address === 0) throw new Error(`the zstd module has no memory for ${bytes} bytes`);
    return this.#address;
  }
}

function createCompressor(zstd: ZstdExports): Compress {
  const context = zstd.j();
  const [from, to] = [new Room(zstd), new Room(zstd)];
  return (bytes) => {
    const room = zstd.i(bytes.length);
    const [source, target] = [from.at(bytes.length), to.at(room)];
    new Uint8Array(zstd.f.buffer).set(bytes, source);
    const length = zstd.l(context, target, room, source, bytes.length, 0, 0, LEVEL);
    if (zstd.h(length) !== 0) throw new Error(`zstd cannot compress ${bytes.length} bytes: ${length}`);
    return new Uint8Array(zstd.f.buffer, target, length);
  };
}

function createDecompressor(zstd: ZstdExports): Decompress {
  const context = zstd.n();
  const [from, to] = [new Room(zstd), new Room(zstd)];
  return (frame, sizeBytes) => {
    const [source, target] = [from.at(frame.length), to.at(sizeBytes)];
    new Uint8Array(zstd.f.buffer).set(frame, source);
    const length = zstd.q(context, target, sizeBytes, source, frame.length, 0, 0);
    if (zstd.h(length) !== 0 || length !== sizeBytes) return undefined;
    return new Uint8Array(zstd.f.buffer, target, length).slice();
  };
}

/**
 * Checks the frame before anything is decompressed, so that every decompressor accepts the same frames: implementations
 * differ about several frames in a row, skippable frames and bytes after the end.
 */
function checked(decompress: Decompress): Decompress {
  return (frame, sizeBytes) => (isFrameOf(frame, sizeBytes) ? decompress(frame, sizeBytes) : undefined);
}

/** Whether bytes are one frame (RFC 8878, §3.1.1) of a single segment with this content size, and nothing else. */
function isFrameOf(frame: Uint8Array, sizeBytes: number): boolean {
  if (frame.length < 6) return false;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const descriptor = view.getUint8(4);
  // Single segment: the window is the content, so that no larger one is allocated. No checksum, no dictionary.
  if (view.getUint32(0, true) !== MAGIC || (descriptor & 0x3f) !== 0x20) return false;
  const sizeOfSize = 1 << (descriptor >> 6);
  let position = 5 + sizeOfSize;
  if (frame.length < position) return false;
  if (contentSize(view, sizeOfSize) !== sizeBytes) return false;
  for (;;) {
    if (position + 3 > frame.length) return false;
    const head = view.getUint16(position, true) | (view.getUint8(position + 2) << 16);
    const type = (head >> 1) & 3;
    if (type === 3) return false;
    position += 3 + (type === 1 ? 1 : head >> 3);
    if (position > frame.length) return false;
    if ((head & 1) === 1) return position === frame.length;
  }
}

function contentSize(view: DataView, sizeOfSize: number): number {
  if (sizeOfSize === 1) return view.getUint8(5);
  if (sizeOfSize === 2) return view.getUint16(5, true) + 256;
  return sizeOfSize === 4 ? view.getUint32(5, true) : Number(view.getBigUint64(5, true));
}
