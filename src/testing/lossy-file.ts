/** An open file of the lossy file system. */

import { assert } from '../base/assert.ts';
import type { File, OpenMode } from '../storage/file-system.ts';
import { type CallGate, refusal } from './lossy-calls.ts';
import type { DiskFile, LossyDisk, WriteFate } from './lossy-disk.ts';
import type { Strike } from './lossy-faults.ts';
import { PAGE_BYTES } from './pages.ts';

const REACHES: WriteFate = { kind: 'reaches' };

/** What an open file needs of the file system it belongs to. */
export interface LossyHost {
  readonly disk: LossyDisk;
  readonly gate: CallGate;
  capacityBytes: number;
  /** The file at a path, which must be there. */
  locate(path: string): DiskFile;
}

export class LossyFile implements File {
  readonly path: string;
  readonly #host: LossyHost;
  readonly #file: DiskFile;
  readonly #mode: OpenMode;
  #isClosed = false;
  #closing: Promise<void> | null = null;
  /** Calls that have not completed; close waits for them. */
  readonly #inFlight = new Set<Promise<unknown>>();

  constructor(host: LossyHost, file: DiskFile, init: { readonly path: string; readonly mode: OpenMode }) {
    this.#host = host;
    this.#file = file;
    this.path = init.path;
    this.#mode = init.mode;
  }

  size(): Promise<number> {
    return this.#later(() =>
      this.#host.gate.enter({ op: 'size', path: this.path }, () => this.#file.cache.bytes),
    );
  }

  read(target: Uint8Array, offset: number): Promise<number> {
    return this.#later(() => this.#read(target, offset));
  }

  readSync(target: Uint8Array, offset: number): number {
    this.#assertOpen();
    return this.#read(target, offset);
  }

  write(source: Uint8Array, offset: number): Promise<void> {
    const issued = Buffer.from(source);
    return this.#later(() => {
      assert(
        issued.equals(source),
        `the buffer of a pending write of ${this.path} at ${offset} did not change`,
      );
      this.#write(issued, offset);
    });
  }

  writeSync(source: Uint8Array, offset: number): void {
    this.#assertOpen();
    this.#write(source, offset);
  }

  sync(): Promise<void> {
    return this.#sync('sync');
  }

  syncData(): Promise<void> {
    return this.#sync('sync-data');
  }

  truncate(bytes: number): Promise<void> {
    assertOffset(bytes);
    const call = { op: 'truncate', path: this.path, offset: bytes } as const;
    return this.#later(() =>
      this.#host.gate.enter(call, () => {
        if (this.#mode === 'read') throw refusal(call, 'EINVAL');
        this.#host.disk.resize(this.#file, bytes, `truncate ${this.path} to ${bytes}`);
      }),
    );
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled(this.#inFlight);
    const { gate } = this.#host;
    await gate.later(() => gate.enter({ op: 'close', path: this.path }, () => {}));
  }

  async #later<Result>(task: () => Result): Promise<Result> {
    this.#assertOpen();
    return this.#track(this.#host.gate.later(task));
  }

  async #sync(op: 'sync' | 'sync-data'): Promise<void> {
    this.#assertOpen();
    const { disk, gate } = this.#host;
    const call = { op, path: this.path } as const;
    // A sync covers what was written before it was called; a write that overtakes it may be left out.
    const covers = disk.sequence;
    await this.#track(
      gate.laterSync(call, () =>
        gate.enter(call, (strike) => {
          if (strike?.kind !== 'sync-loss') return disk.syncFile(this.#file, covers);
          disk.dropWrites(this.#file, covers);
          throw refusal(call, 'EIO');
        }),
      ),
    );
  }

  async #track<Result>(completion: Promise<Result>): Promise<Result> {
    this.#inFlight.add(completion);
    try {
      return await completion;
    } finally {
      this.#inFlight.delete(completion);
    }
  }

  #read(target: Uint8Array, offset: number): number {
    assertOffset(offset);
    const call = { op: 'read', path: this.path, offset, bytes: target.length } as const;
    return this.#host.gate.enter(call, (strike) => {
      if (strike?.kind === 'bit-flip') this.#flip(strike);
      const wanted = strike?.kind === 'short-read' ? Math.min(strike.bytes, target.length) : target.length;
      return this.#file.cache.read(target.subarray(0, wanted), offset);
    });
  }

  #write(source: Uint8Array, offset: number): void {
    assertOffset(offset);
    const call = { op: 'write', path: this.path, offset, bytes: source.length } as const;
    this.#host.gate.enter(call, (strike) => {
      if (source.length === 0) return;
      if (this.#mode === 'read') throw refusal(call, 'EBADF');
      const fitting = source.subarray(0, this.#fittingBytes(offset, source.length));
      const label = `${this.path} [${offset}, ${offset + fitting.length})`;
      if (fitting.length > 0) this.#host.disk.write(this.#file, fitting, offset, this.#fateOf(strike), label);
      if (fitting.length < source.length) {
        throw refusal({ ...call, offset: offset + fitting.length }, 'ENOSPC');
      }
    });
  }

  #fateOf(strike: Strike | null): WriteFate {
    if (strike?.kind === 'lost-write') return { kind: 'lost' };
    if (strike?.kind !== 'misdirected-write') return REACHES;
    // The file may have been renamed since it was opened; the device knows blocks, not names.
    const file = strike.toPath === this.path ? this.#file : this.#host.locate(strike.toPath);
    return { kind: 'misdirected', file, offset: strike.toOffset };
  }

  /** How much of a write the disk has room for: pages that exist are free, new ones count. */
  #fittingBytes(offset: number, bytes: number): number {
    const { disk, capacityBytes } = this.#host;
    if (capacityBytes === Infinity) return bytes;
    let pagesLeft = Math.floor((capacityBytes - disk.allocatedBytes()) / PAGE_BYTES);
    for (let at = offset; at < offset + bytes; at += PAGE_BYTES - (at % PAGE_BYTES)) {
      if (this.#file.cache.isHole(at) && --pagesLeft < 0) return at - offset;
    }
    return bytes;
  }

  #flip({ offset, bit }: { readonly offset: number; readonly bit: number }): void {
    const byte = new Uint8Array(1);
    if (this.#file.cache.read(byte, offset) === 0) return;
    byte[0]! ^= 1 << bit;
    this.#file.cache.write(byte, offset);
    if (offset < this.#file.durable.bytes) this.#file.durable.write(byte, offset);
  }

  #assertOpen(): void {
    assert(!this.#isClosed, `${this.path} is open`);
  }
}

function assertOffset(offset: number): void {
  assert(Number.isSafeInteger(offset) && offset >= 0, `an offset is an integer from 0, got ${offset}`);
}
