/** A node whose scrub a test watches: its clock stands still until the test moves it. */

import { setImmediate as turn } from 'node:timers/promises';
import type { CheckpointOptions } from '../../src/checkpoint/checkpoint-options.ts';
import type { NodeEvent } from '../../src/node/events.ts';
import { open } from '../../src/node/open.ts';
import type { ScrubOptions } from '../../src/node/scrub-options.ts';
import type { ScrubReport } from '../../src/node/scrubber.ts';
import type { FileSystem } from '../../src/storage/file-system.ts';
import { MemoryFileSystem } from '../../src/storage/memory-file-system.ts';
import { ManualClock } from '../../src/testing/manual-clock.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import { DATA_DIR, NEWEST_ONLY, SEGMENT_BYTES } from './test-log.ts';

export const DAY_MS = 24 * 3_600_000;

/** Ids of files are never drawn twice. */
let seedsUsed = 0;

/** Commands of one entry. */
const BATCH = 20;

export interface ScrubbedOptions {
  readonly fs?: FileSystem;
  readonly clock?: ManualClock;
  readonly scrub?: ScrubOptions;
  readonly checkpoint?: CheckpointOptions;
}

export class ScrubbedNode {
  readonly fs: FileSystem;
  readonly clock: ManualClock;
  readonly node: Awaited<ReturnType<typeof open>>;
  readonly events: NodeEvent[] = [];
  readonly #watching: Promise<void>;

  private constructor(
    node: Awaited<ReturnType<typeof open>>,
    { fs, clock }: { readonly fs: FileSystem; readonly clock: ManualClock },
  ) {
    this.node = node;
    this.fs = fs;
    this.clock = clock;
    this.#watching = this.#watch();
  }

  static async open(options: ScrubbedOptions = {}): Promise<ScrubbedNode> {
    const { fs = new MemoryFileSystem(), clock = new ManualClock() } = options;
    const node = await open({
      dir: DATA_DIR,
      log: { segmentBytes: SEGMENT_BYTES },
      checkpoint: {
        ...NEWEST_ONLY,
        checkpointOnClose: false,
        checkpointIntervalMs: 0,
        ...options.checkpoint,
      },
      scrub: { ...options.scrub },
      doors: { fs, clock, chance: new SeededRandom(++seedsUsed) },
    });
    return new ScrubbedNode(node, { fs, clock });
  }

  async #watch(): Promise<void> {
    for await (const event of this.node.events()) this.events.push(event);
  }

  /** What was told, without the time. */
  told<Kind extends NodeEvent['kind']>(kind: Kind): (NodeEvent & { readonly kind: Kind })[] {
    return this.events.filter((event): event is NodeEvent & { readonly kind: Kind } => event.kind === kind);
  }

  /** Sets every key to a value of its own in this round, some at a time: an entry each. */
  async fill(round: string, keys = 200): Promise<void> {
    for (let from = 0; from < keys; from += BATCH) {
      const batch = Array.from({ length: Math.min(BATCH, keys - from) }, (_, at) => from + at);
      await Promise.all(batch.map((at) => this.node.submit('SET', keyOf(at), valueOf(round, at))));
    }
  }

  async isFilled(round: string, keys = 200): Promise<boolean> {
    const names = Array.from({ length: keys }, (_, at) => keyOf(at));
    const values = (await this.node.query('MGET', ...names)) as (Uint8Array | null)[];
    return values.every(
      (value, at) => value !== null && Buffer.from(value).toString() === valueOf(round, at),
    );
  }

  /** Lets time pass in steps, and whatever wants to run in between. */
  async pass(ms: number, stepMs: number, isOver: () => boolean = () => false): Promise<void> {
    for (let passed = 0; passed < ms && !isOver(); passed += stepMs) {
      this.clock.advance(stepMs);
      await settleTurns();
    }
  }

  /** A whole pass on request. */
  async scrub(): Promise<ScrubReport> {
    let report: ScrubReport | null = null;
    let failure: unknown = null;
    this.node.scrub().then(
      (found) => (report = found),
      (error: unknown) => (failure = error),
    );
    await settleTurns();
    await this.pass(10_000_000, 20, () => report !== null || failure !== null);
    if (report === null) throw failure;
    return report;
  }

  async close(): Promise<void> {
    await this.node.close();
    await this.#watching;
  }
}

export async function settleTurns(): Promise<void> {
  for (let turns = 0; turns < 6; turns++) await turn();
}

const keyOf = (at: number): string => `key-${String(at).padStart(5, '0')}`;
const valueOf = (round: string, at: number): string => `${round} ${at} `.padEnd(300, '.');

/** Turns one bit of a file over, where it stands. */
export async function flipBit(fs: FileSystem, path: string, offset: number): Promise<void> {
  const file = await fs.open(path, 'write');
  const byte = new Uint8Array(1);
  await file.read(byte, offset);
  byte[0]! ^= 1;
  await file.write(byte, offset);
  await file.close();
}
