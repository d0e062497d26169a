/**
 * Quarantine: damaged files are moved aside with a note, never deleted; torn bytes are copied there before
 * their space is given back.
 */

import { isTidemarkError } from '../base/errors.ts';
import type { FileSystem } from '../storage/file-system.ts';

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

  /** Keeps bytes that are about to be given up. Returns where they went. */
  async keep(name: string, bytes: Uint8Array, note: QuarantineNote): Promise<string> {
    const target = await this.#freeName(name);
    await this.#writeNote(target, note);
    await this.#writeFile(target, bytes);
    await this.#fs.syncDirectory(this.#dir);
    return target;
  }

  async #writeNote(target: string, note: QuarantineNote): Promise<void> {
    await this.#writeFile(`${target}.note.json`, Buffer.from(`${JSON.stringify(note, null, 2)}\n`));
  }

  async #writeFile(path: string, bytes: Uint8Array): Promise<void> {
    const file = await this.#fs.open(path, 'create');
    try {
      await file.write(bytes, 0);
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
