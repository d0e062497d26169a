/**
 * Quarantine: damaged files are moved aside with a note, never deleted; torn bytes are copied there before
 * their space is given back.
 */

import { isTidemarkError } from '../base/errors.ts';
import type { File, FileSystem } from '../storage/file-system.ts';
import { readToEnd } from './read-to-end.ts';

/** Bytes copied at a time: what is torn may be as long as a segment. */
const COPIED_BYTES = 1024 * 1024;

export interface QuarantineNote {
  /** Path the bytes came from. */
  readonly from: string;
  /** Offset of the first byte kept, for bytes cut out of a file. */
  readonly offset?: number;
  readonly reason: string;
}

export class Quarantine {
  readonly #fs: FileSystem;
  readonly #dir: string;

  constructor(fs: FileSystem, dataDir: string) {
    this.#fs = fs;
    this.#dir = `${dataDir}/quarantine`;
  }

  /** Moves a file aside; when it resolves, the move is durable. Returns where it went. */
  async moveIn(path: string, reason: string): Promise<string> {
    const target = await this.#freeName(path.slice(path.lastIndexOf('/') + 1));
    await this.#writeNote(target, { from: path, reason });
    await this.#fs.rename(path, target);
    await this.#fs.syncDirectory(this.#dir);
    await this.#fs.syncDirectory(path.slice(0, path.lastIndexOf('/')));
    return target;
  }

  /** Keeps a copy of bytes that are about to be given up, up to `end`. Returns where they went. */
  async keep(name: string, note: Required<QuarantineNote>, end: number): Promise<string> {
    const target = await this.#freeName(name);
    await this.#writeNote(target, note);
    const source = await this.#fs.open(note.from, 'read');
    try {
      await this.#writeFile(target, async (file) => {
        const window = new Uint8Array(Math.min(COPIED_BYTES, end - note.offset));
        for (let at = note.offset; at < end; at += window.length) {
          const piece = window.subarray(0, Math.min(window.length, end - at));
          await file.write(piece.subarray(0, await readToEnd(source, piece, at)), at - note.offset);
        }
      });
    } finally {
      await source.close();
    }
    await this.#fs.syncDirectory(this.#dir);
    return target;
  }

  async #writeNote(target: string, note: QuarantineNote): Promise<void> {
    const bytes = Buffer.from(`${JSON.stringify(note, null, 2)}\n`);
    await this.#writeFile(`${target}.note.json`, (file) => file.write(bytes, 0));
  }

  async #writeFile(path: string, write: (file: File) => Promise<void>): Promise<void> {
    const file = await this.#fs.open(path, 'create');
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  /** A name not in use: the file's own, or with a number behind it. */
  async #freeName(name: string): Promise<string> {
    const parent = this.#dir.slice(0, this.#dir.lastIndexOf('/'));
    await this.#fs.makeDirectory(this.#dir);
    await this.#fs.syncDirectory(parent);
    const taken = new Set(await this.#fs.list(this.#dir));
    for (let number = 0; ; number++) {
      const free = number === 0 ? name : `${name}.${number}`;
      if (!taken.has(free) && !taken.has(`${free}.note.json`)) return `${this.#dir}/${free}`;
    }
  }
}

/** Runs a step whose failure for want of space or descriptors must not keep a node from starting. */
export async function ifThereIsRoom(step: () => Promise<unknown>): Promise<boolean> {
  try {
    await step();
    return true;
  } catch (error) {
    if (isTidemarkError(error) && error.remedy === 'retry') return false;
    throw error;
  }
}
