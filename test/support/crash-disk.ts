/**
 * A file system in memory, of one directory, that knows what a power cut may leave: any subset of the
 * unsynced sectors, one of them perhaps torn, and any subset of the unsynced names. It records every call.
 */
import { TidemarkError } from '../../src/base/errors.ts';
import type { File, FileLock, FileStat, FileSystem, OpenMode } from '../../src/storage/file-system.ts';

const SECTOR_BYTES = 512;

/** Files of more unsynced sectors than this are left by a power cut in four ways only. */
const SUBSET_SECTORS_MAX = 4;

/** What is on the disk: names without the directory, and bytes. */
export type DiskImage = ReadonlyMap<string, Uint8Array>;

interface Inode {
  live: Uint8Array;
  durable: Uint8Array;
}

type Names = Map<string, Inode>;

export class CrashDisk implements FileSystem {
  /** Calls that change something, in order: `write status 4096+4096`, `syncData status`. */
  readonly trace: string[] = [];

  /** Called before each of them, and before each read; what it throws is the outcome of the call. */
  onCall: (call: string) => void = () => undefined;

  readonly #live: Names;
  #durable: Names;
  #changes: ((names: Names) => void)[] = [];

  constructor(image: DiskImage = new Map()) {
    this.#live = new Map([...image].map(([name, bytes]) => [name, { live: bytes, durable: bytes }]));
    this.#durable = new Map(this.#live);
  }

  /** Every image that a power cut may leave now. */
  images(): DiskImage[] {
    const images: DiskImage[] = [];
    for (let subset = 0; subset < 2 ** this.#changes.length; subset++) {
      const names = new Map(this.#durable);
      for (const [at, change] of this.#changes.entries()) if ((subset >> at) & 1) change(names);
      images.push(...imagesOf([...names]));
    }
    return images;
  }

  /** What programs see now. */
  current(): DiskImage {
    return new Map([...this.#live].map(([name, inode]) => [name, Uint8Array.from(inode.live)]));
  }

  async makeDirectory(): Promise<void> {}

  async list(): Promise<string[]> {
    return [...this.#live.keys()].toSorted();
  }

  async stat(path: string): Promise<FileStat | null> {
    const inode = this.#live.get(nameOf(path));
    return inode === undefined ? null : { kind: 'file', bytes: inode.live.length };
  }

  async open(path: string, mode: OpenMode): Promise<File> {
    const name = nameOf(path);
    const found = this.#live.get(name);
    if (mode !== 'create') {
      if (found === undefined) throw failure('TIDEMARK_FILE_MISSING', path);
      return this.#fileOf(path, found);
    }
    if (found !== undefined) throw failure('TIDEMARK_FILE_EXISTS', path);
    const inode: Inode = { live: new Uint8Array(0), durable: new Uint8Array(0) };
    this.#change(`create ${name}`, (names) => void names.set(name, inode));
    return this.#fileOf(path, inode);
  }

  async rename(from: string, to: string): Promise<void> {
    const inode = this.#live.get(nameOf(from))!;
    this.#change(`rename ${nameOf(from)} ${nameOf(to)}`, (names) => {
      names.delete(nameOf(from));
      names.set(nameOf(to), inode);
    });
  }

  async remove(path: string): Promise<void> {
    this.#change(`remove ${nameOf(path)}`, (names) => void names.delete(nameOf(path)));
  }

  async syncDirectory(): Promise<void> {
    this.#record('syncDirectory');
    this.#durable = new Map(this.#live);
    this.#changes = [];
  }

  async lock(): Promise<FileLock> {
    return { release: async () => undefined };
  }

  #record(call: string): void {
    this.onCall(call);
    this.trace.push(call);
  }

  #change(call: string, change: (names: Names) => void): void {
    this.#record(call);
    this.#changes.push(change);
    change(this.#live);
  }

  #fileOf(path: string, inode: Inode): File {
    const name = nameOf(path);
    const sync = (kind: string): void => {
      this.#record(`${kind} ${name}`);
      inode.durable = inode.live;
    };
    const readSync = (target: Uint8Array, offset: number): number => {
      this.onCall(`read ${name} ${offset}`);
      const bytes = inode.live.subarray(offset, offset + target.length);
      target.set(bytes);
      return bytes.length;
    };
    const writeSync = (source: Uint8Array, offset: number): void => {
      this.#record(`write ${name} ${offset}+${source.length}`);
      const grown = new Uint8Array(Math.max(inode.live.length, offset + source.length));
      grown.set(inode.live);
      grown.set(source, offset);
      inode.live = grown;
    };
    return {
      path,
      size: async () => inode.live.length,
      read: async (target, offset) => readSync(target, offset),
      readSync,
      write: async (source, offset) => writeSync(source, offset),
      writeSync,
      sync: async () => sync('sync'),
      syncData: async () => sync('syncData'),
      truncate: () => Promise.reject(failure('TIDEMARK_IO', path)),
      close: async () => undefined,
    };
  }
}

export function failure(
  code: 'TIDEMARK_IO' | 'TIDEMARK_FILE_MISSING' | 'TIDEMARK_FILE_EXISTS',
  path: string,
) {
  return new TidemarkError(code, `${path}: failed by the test`, { remedy: 'repair', facts: { path } });
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** All ways to give each name one of its possible contents. */
function imagesOf(names: readonly (readonly [string, Inode])[]): DiskImage[] {
  const [first, ...rest] = names;
  if (first === undefined) return [new Map()];
  const [name, inode] = first;
  const others = imagesOf(rest);
  return contentsOf(inode).flatMap((bytes) => others.map((other) => new Map([[name, bytes], ...other])));
}

/** What a power cut may leave of one file. */
function contentsOf({ live, durable }: Inode): Uint8Array[] {
  const unsynced: number[] = [];
  for (let at = 0; at < live.length; at += SECTOR_BYTES) {
    const isEqual = at < durable.length && Buffer.compare(sectorOf(live, at), sectorOf(durable, at)) === 0;
    if (!isEqual) unsynced.push(at);
  }
  if (unsynced.length > SUBSET_SECTORS_MAX) {
    const half = unsynced.filter((_, at) => at % 2 === 0);
    return [[], half, unsynced.slice(0, 1), unsynced].map((kept) => mix(live, durable, kept, null));
  }

  const contents: Uint8Array[] = [];
  for (let subset = 0; subset < 2 ** unsynced.length; subset++) {
    const kept = unsynced.filter((_, at) => (subset >> at) & 1);
    contents.push(mix(live, durable, kept, null), ...kept.map((torn) => mix(live, durable, kept, torn)));
  }
  return contents;
}

/** The durable bytes with the kept sectors of the live ones; of the torn sector only the first half. */
function mix(
  live: Uint8Array,
  durable: Uint8Array,
  kept: readonly number[],
  torn: number | null,
): Uint8Array {
  const bytes = new Uint8Array(kept.length > 0 ? live.length : durable.length);
  bytes.set(durable);
  for (const at of kept) {
    const sector = sectorOf(live, at);
    bytes.set(at === torn ? sector.subarray(0, SECTOR_BYTES / 2) : sector, at);
  }
  return bytes;
}

function sectorOf(bytes: Uint8Array, at: number): Uint8Array {
  return bytes.subarray(at, at + SECTOR_BYTES);
}
