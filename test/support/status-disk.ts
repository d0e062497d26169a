/** The lossy disk as tests of the status file see it: one directory, what it holds, what a crash leaves. */

import { crc32c } from '../../src/base/crc32c.ts';
import { TidemarkError } from '../../src/base/errors.ts';
import type { File, FileLock, FileStat, FileSystem, OpenMode } from '../../src/storage/file-system.ts';
import type { CrashImageOptions } from '../../src/testing/crash-choices.ts';
import { LossyDisk } from '../../src/testing/lossy-disk.ts';
import { LossyFileSystem } from '../../src/testing/lossy-file-system.ts';
import { type Call, InterposedFileSystem } from './interposed-file-system.ts';

const DIR = 'data';
const NAMES = ['status', 'status.tmp'];

/** Of the outcomes of a crash, so many that a walk three crashes deep takes seconds; with SOAK=1, hours. */
const IMAGES: CrashImageOptions =
  process.env['SOAK'] === '1'
    ? { subsetUnitsMax: 8, randomSubsets: 8, byteTearsMax: 8 }
    : { subsetUnitsMax: 1, randomSubsets: 4, byteTearsMax: 1, fillings: ['old', 'garbage'] };

/** What is in the directory: names, and bytes. */
export type DiskImage = ReadonlyMap<string, Uint8Array>;

export class StatusDisk implements FileSystem {
  /** Calls that change something, in order: `write status 4096+4096`, `sync-data status`. */
  readonly trace: string[] = [];

  /** Called before each of them, and before each read; what it throws is the outcome of the call. */
  onCall: (call: string) => void = () => undefined;

  readonly #lossy: LossyFileSystem;
  readonly #calls: InterposedFileSystem;
  #changes = 0;
  /** The images after so many changes: reads change nothing. */
  #known: { readonly changes: number; readonly images: DiskImage[] } | null = null;

  constructor(image: DiskImage = new Map()) {
    this.#lossy = new LossyFileSystem({ completionOrder: 'issued' }, diskWith(image));
    this.#calls = new InterposedFileSystem(this.#lossy);
    this.#calls.onCall = (call) => this.#note(call);
  }

  /** What a power cut may leave now, no outcome twice. */
  images(): DiskImage[] {
    const changes = this.#changes;
    if (this.#known?.changes !== changes) this.#known = { changes, images: this.#newImages() };
    return this.#known.images;
  }

  #newImages(): DiskImage[] {
    const images = new Map<string, DiskImage>();
    for (const { files } of this.#lossy.crashImages(IMAGES)) {
      const image = imageOf(files);
      const words = [...image].map(([name, bytes]) => `${name} ${bytes.length} ${crc32c(bytes)}`);
      images.set(words.join(), image);
    }
    return [...images.values()];
  }

  /** What programs see now. */
  current(): DiskImage {
    return imageOf(this.#lossy);
  }

  makeDirectory(path: string): Promise<void> {
    return this.#calls.makeDirectory(path);
  }

  list(path: string): Promise<string[]> {
    return this.#calls.list(path);
  }

  stat(path: string): Promise<FileStat | null> {
    return this.#calls.stat(path);
  }

  open(path: string, mode: OpenMode): Promise<File> {
    return this.#calls.open(path, mode);
  }

  rename(from: string, to: string): Promise<void> {
    return this.#calls.rename(from, to);
  }

  remove(path: string): Promise<void> {
    return this.#calls.remove(path);
  }

  syncDirectory(path: string): Promise<void> {
    return this.#calls.syncDirectory(path);
  }

  lock(path: string, note: string): Promise<FileLock> {
    return this.#calls.lock(path, note);
  }

  #note({ op, path, offset, bytes }: Call): void {
    const name = path.slice(path.lastIndexOf('/') + 1);
    if (op === 'read') this.onCall(`read ${name} ${offset}`);
    if (!/^(create|write|sync|sync-data|sync-directory|rename|remove|truncate)$/.test(op)) return;
    const call = op === 'write' ? `write ${name} ${offset}+${bytes}` : `${op} ${name}`;
    this.onCall(call);
    this.trace.push(call);
    this.#changes++;
  }
}

/** A disk on which the directory is durable, with all that is in it. */
function diskWith(image: DiskImage): LossyDisk {
  const disk = new LossyDisk();
  const directory = disk.newDirectory();
  disk.changeNames([{ directory: disk.root, name: DIR, node: directory }], `make ${DIR}`);
  disk.syncDirectory(disk.root, disk.sequence);
  for (const [name, bytes] of image) {
    const file = disk.newFile();
    disk.changeNames([{ directory, name, node: file }], `create ${name}`);
    if (bytes.length > 0) disk.write(file, bytes, 0, { kind: 'reaches' }, name);
    disk.syncFile(file, disk.sequence);
  }
  disk.syncDirectory(directory, disk.sequence);
  return disk;
}

function imageOf(files: LossyFileSystem): DiskImage {
  const found = NAMES.map((name) => [name, files.cachedBytes(`${DIR}/${name}`)] as const);
  return new Map(found.filter((entry): entry is [string, Uint8Array] => entry[1] !== null));
}

export function failure(
  code: 'TIDEMARK_IO' | 'TIDEMARK_FILE_MISSING' | 'TIDEMARK_FILE_EXISTS',
  path: string,
): TidemarkError {
  return new TidemarkError(code, `${path}: failed by the test`, { remedy: 'repair', facts: { path } });
}
