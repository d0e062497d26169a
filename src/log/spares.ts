/**
 * Spare segments: files that are zeroed and synced ahead of need, so that a batch overwrites allocated space
 * (a sync then writes no metadata) and so that a full disk is met before the log has to write.
 *
 * The reserve is also the ballast: with fewer than SPARES_WANTED spares and no space to make more, the log
 * refuses new commands while it can still start, close and truncate. It resumes by itself when there is
 * space.
 */

import { isZero } from '../base/bytes.ts';
import { isTidemarkError, TidemarkError } from '../base/errors.ts';
import type { Clock, Timer } from '../base/time.ts';
import type { File, FileSystem } from '../storage/file-system.ts';
import type { LogEvent } from './log-events.ts';

/** Spares kept ready: one for the next rotation, one for the restart after a crash. */
export const SPARES_WANTED = 2;

/** Bytes zeroed by one write: small, so that the disk serves the log in between. */
const ZERO_BYTES = 1024 * 1024;

/** Pause before space, or file descriptors, are asked for again, in milliseconds. */
const RETRY_MS = 1000;

export interface SparesConfig {
  readonly fs: FileSystem;
  /** The log's directory. */
  readonly dir: string;
  readonly segmentBytes: number;
  readonly clock: Clock;
  /** A spare could not be made for a reason that more space or time does not cure. */
  readonly onFailure: (error: unknown) => void;
  /** Told when a shortage begins and when it ends. */
  readonly onEvent: (event: LogEvent) => void;
}

/** A zeroed, synced file, open for writing; the taker renames and closes it. */
export interface Spare {
  readonly path: string;
  readonly file: File;
}

export class Spares {
  readonly #config: SparesConfig;
  readonly #ready: Spare[] = [];
  #named = 0;
  #filling: Promise<void> | null = null;
  /** The spare being made, for those who wait for it. */
  #making: Promise<Spare> | null = null;
  #shortage: TidemarkError | null = null;
  #shortSince = 0;
  #retry: Timer | null = null;
  #isClosed = false;

  constructor(config: SparesConfig) {
    this.#config = config;
  }

  /** Why there is no reserve and none to be had now; null while all is well. */
  get shortage(): TidemarkError | null {
    return this.#shortage;
  }

  /**
   * Takes over the spares that an earlier run left, after checking that they are zero and of the right size.
   * @param unknown Names in the directory that are not ours; no spare will take one of them.
   */
  async adopt(names: readonly string[], unknown: readonly string[]): Promise<void> {
    const { fs, dir } = this.#config;
    for (const name of [...names, ...unknown.filter(isSpareName)]) {
      this.#named = Math.max(this.#named, Number(name.slice(SPARE_PREFIX.length)));
    }
    for (const name of names) {
      const path = `${dir}/${name}`;
      const file = this.#ready.length < SPARES_WANTED ? await this.#openIfUsable(path) : null;
      if (file === null) await fs.remove(path);
      else this.#ready.push({ path, file });
    }
  }

  async #openIfUsable(path: string): Promise<File | null> {
    const file = await this.#config.fs.open(path, 'write');
    try {
      if (await this.#isUsable(file)) return file;
    } catch (error) {
      await file.close();
      throw error;
    }
    await file.close();
    return null;
  }

  /**
   * A spare of at least `bytesMin` bytes.
   * @throws TidemarkError TIDEMARK_DISK_FULL or TIDEMARK_RESOURCES when there is none and none can be made.
   */
  async take(bytesMin: number): Promise<Spare> {
    if (bytesMin > this.#config.segmentBytes) return this.#make(bytesMin);
    while (this.#ready.length === 0 && this.#making !== null) await this.#making.catch(() => undefined);
    return this.#ready.shift() ?? this.#make(this.#config.segmentBytes);
  }

  /**
   * As `take`, for a rotation: leaves one for the restart after a crash, which must not need space on a disk
   * that is full by then. So it waits for the spare that is being made, instead of taking the last.
   */
  async takeForRotation(bytesMin: number): Promise<Spare> {
    if (bytesMin <= this.#config.segmentBytes && this.#ready.length < SPARES_WANTED) {
      this.refill();
      await this.#filling;
      if (this.#ready.length < SPARES_WANTED && this.#shortage !== null) throw this.#shortage;
    }
    return this.take(bytesMin);
  }

  /** Brings the reserve back to SPARES_WANTED, in the background. */
  refill(): void {
    if (this.#isClosed || this.#filling !== null || this.#ready.length >= SPARES_WANTED) return;
    this.#retry?.cancel();
    this.#filling = this.#fill().finally(() => {
      this.#filling = null;
    });
  }

  /**
   * As `refill`, and waits until one spare is ready or none is to be had. A restart after a crash needs one:
   * without it no command may make the tail one that has to be succeeded.
   */
  async reserveOne(): Promise<void> {
    this.refill();
    while (this.#ready.length === 0 && this.#making !== null) await this.#making.catch(() => undefined);
  }

  /** Waits for the spare being made and closes all: no file is touched after the lock is released. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#filling;
    this.#retry?.cancel();
    await Promise.all(this.#ready.splice(0).map(({ file }) => file.close()));
  }

  async #fill(): Promise<void> {
    try {
      while (!this.#isClosed && this.#ready.length < SPARES_WANTED) {
        this.#making = this.#make(this.#config.segmentBytes);
        this.#ready.push(await this.#making);
      }
      this.#endShortage();
    } catch (error) {
      if (!(error instanceof TidemarkError) || error.remedy !== 'retry') return this.#config.onFailure(error);
      this.#beginShortage(error);
      this.#retry = this.#config.clock.after(RETRY_MS, () => this.refill());
    } finally {
      this.#making = null;
    }
  }

  /** Or goes on with it, for a newer reason. */
  #beginShortage(error: TidemarkError): void {
    const { clock, onEvent } = this.#config;
    const isNew = this.#shortage === null;
    this.#shortage = error;
    if (!isNew) return;
    this.#shortSince = clock.monotonic();
    onEvent({ kind: 'shortage-began', code: error.code, message: error.message });
  }

  #endShortage(): void {
    const { clock, onEvent } = this.#config;
    if (this.#shortage === null) return;
    this.#shortage = null;
    onEvent({ kind: 'shortage-ended', tookMs: clock.monotonic() - this.#shortSince });
  }

  async #make(bytes: number): Promise<Spare> {
    const { fs, dir } = this.#config;
    const path = `${dir}/${SPARE_PREFIX}${++this.#named}`;
    const file = await fs.open(path, 'create');
    try {
      const zeros = new Uint8Array(Math.min(ZERO_BYTES, bytes));
      for (let offset = 0; offset < bytes; offset += zeros.length) {
        await file.write(zeros.subarray(0, Math.min(zeros.length, bytes - offset)), offset);
      }
      await file.sync();
      // Its name too: a reserve that a power cut takes away is none for the restart.
      await fs.syncDirectory(dir);
      return { path, file };
    } catch (error) {
      await file.close();
      // Gives back what it took: a half-made spare on a full disk helps nobody.
      if (isTidemarkError(error) && error.remedy === 'retry') await fs.remove(path);
      throw error;
    }
  }

  async #isUsable(file: File): Promise<boolean> {
    const { segmentBytes } = this.#config;
    if ((await file.size()) !== segmentBytes) return false;
    const window = new Uint8Array(Math.min(ZERO_BYTES, segmentBytes));
    for (let offset = 0; offset < segmentBytes; offset += window.length) {
      const wanted = Math.min(window.length, segmentBytes - offset);
      const read = await file.read(window.subarray(0, wanted), offset);
      if (read < wanted || !isZero(window.subarray(0, read))) return false;
    }
    return true;
  }
}

const SPARE_PREFIX = 'spare-';

export function isSpareName(name: string): boolean {
  return /^spare-\d{1,15}$/.test(name);
}
